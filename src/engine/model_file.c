/* model_file.c - what can be said about a model's file before a library tries it, in better words than the library's. */
#define _FILE_OFFSET_BITS 64
#include "engine.h"

#include "../platform/platform.h"
#include "../text/model_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- models in parts ----------------------------------------------------------------------------------------------- */

/* Links may lead in a circle. */
#define LINKS_MOST 40

void engine_find_file(const char *path, char *found, size_t found_size) {
    char at[ENGINE_PATH_SIZE], next[ENGINE_PATH_SIZE];
    model_part part;
    snprintf(found, found_size, "%s", path);
    snprintf(at, sizeof at, "%s", path);
    for (int n_links = 0; n_links < LINKS_MOST; n_links++) {
        if (model_part_read(at, &part)) {
            model_part_write(at, &part, 1, found, found_size);
            return;
        }
        if (plat_path_follow(at, next, sizeof next) < 0) return;
        memcpy(at, next, sizeof at);
    }
}

/* ---- checking ------------------------------------------------------------------------------------------------------ */

static int check_one(const char *path, char *message, size_t message_size) {
    if (plat_file_size(path, NULL) == PLAT_E_UNEXPECTED) {
        snprintf(message, message_size, "the model '%s' is not a file; give a GGUF file", path);
        return ENGINE_E_MODEL_MISSING;
    }
    FILE *file = plat_file_open(path, "rb");
    if (!file) {
        snprintf(message, message_size, "cannot read the model file '%s': %s; give another", path, strerror(errno));
        return ENGINE_E_MODEL_MISSING;
    }
    char magic[4] = {0};
    int error = ENGINE_OK;
    if (fread(magic, 1, sizeof magic, file) != sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0) {
        snprintf(message, message_size, "'%s' is not a GGUF model (it does not begin with \"GGUF\"); convert it, or give "
                                        "another", path);
        error = ENGINE_E_MODEL_BAD;
    }
    fclose(file);
    return error;
}

/* Whether the other parts are there, before the library looks for them and calls all of it damaged. */
static int check_parts(const char *path, const model_part *part, char *message, size_t message_size) {
    char name[ENGINE_PATH_SIZE];
    for (int number = 1; number <= part->n_parts; number++) {
        model_part_write(path, part, number, name, sizeof name);
        if (plat_file_size(name, NULL) == PLAT_OK) continue;
        snprintf(message, message_size, "part %d of %d of the model is missing: there is no file '%s'", number, part->n_parts,
                 name);
        return ENGINE_E_MODEL_MISSING;
    }
    return ENGINE_OK;
}

int engine_check_file(const char *path, char *message, size_t message_size) {
    char found[ENGINE_PATH_SIZE];
    model_part part;
    engine_find_file(path, found, sizeof found);
    int error = model_part_read(found, &part) ? check_parts(found, &part, message, message_size) : ENGINE_OK;
    return error < 0 ? error : check_one(found, message, message_size);
}

/* ---- whether it is still the same ---------------------------------------------------------------------------------- */

static int64_t nanoseconds(const struct stat *status) {
#ifdef _WIN32
    (void)status;
    return 0; /* its library tells seconds */
#else
    return status->st_mtim.tv_nsec;
#endif
}

static bool look(const char *path, engine_file_state *state) {
    struct stat status;
    if (stat(path, &status) != 0) return false;
    *state = (engine_file_state){.inode = (uint64_t)status.st_ino, .size = (uint64_t)status.st_size,
                                 .seconds = (int64_t)status.st_mtime, .nanoseconds = nanoseconds(&status)};
    return true;
}

/* FNV-1a. */
uint64_t engine_add_to_sum(uint64_t sum, const void *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) sum = (sum ^ ((const unsigned char *)bytes)[i]) * 0x100000001B3u;
    return sum;
}

engine_file_state engine_file_look(const char *path) {
    unsigned char header[1 << 16];
    engine_file_state state = {0};
    if (!look(path, &state)) return state;
    uint64_t sum = engine_add_to_sum(0xCBF29CE484222325u, &state.size, sizeof state.size);
    sum = engine_add_to_sum(sum, &state.seconds, sizeof state.seconds);
    sum = engine_add_to_sum(sum, &state.nanoseconds, sizeof state.nanoseconds);
    FILE *file = plat_file_open(path, "rb");
    if (file) {
        sum = engine_add_to_sum(sum, header, fread(header, 1, sizeof header, file));
        fclose(file);
    }
    state.sum = sum ? sum : 1;
    return state;
}

bool engine_file_has_changed(const char *path, const engine_file_state *known) {
    engine_file_state now;
    if (known->sum == 0 || !look(path, &now) || now.inode != known->inode) return false;
    return now.size != known->size || now.seconds != known->seconds || now.nanoseconds != known->nanoseconds;
}

/* ---- whether it is a copy ------------------------------------------------------------------------------------------ */

static uint64_t sample(uint64_t sum, const char *path) {
    enum { N_SAMPLES = 256, SAMPLE_BYTES = 1024 };
    char bytes[SAMPLE_BYTES];
    uint64_t size;
    FILE *file = plat_file_size(path, &size) == PLAT_OK ? plat_file_open(path, "rb") : NULL;
    if (!file) return 0;
    sum = engine_add_to_sum(sum, &size, sizeof size);
    for (size_t n, n_read = 0; n_read < 65536 && (n = fread(bytes, 1, sizeof bytes, file)) > 0; n_read += n) sum = engine_add_to_sum(sum, bytes, n);
    for (uint64_t i = 0; i < N_SAMPLES; i++)
        if (fseeko(file, (off_t)(size / N_SAMPLES * i), SEEK_SET) == 0) sum = engine_add_to_sum(sum, bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    return sum ? sum : 1;
}

uint64_t engine_content_sum(const char *path) {
    char found[ENGINE_PATH_SIZE], name[ENGINE_PATH_SIZE];
    model_part part;
    uint64_t sum = 0xCBF29CE484222325u;
    engine_find_file(path, found, sizeof found);
    if (!model_part_read(found, &part)) return sample(sum, found);
    for (int number = 1; number <= part.n_parts && sum != 0; number++) {
        model_part_write(found, &part, number, name, sizeof name);
        sum = sample(sum, name);
    }
    return sum;
}
