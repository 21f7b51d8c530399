/* model_file.c - what can be said about a model's file before a library tries it, in better words than the library's. */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int engine_check_file(const char *path, char *message, size_t message_size) {
    struct stat status;
    /* Looked at before it is opened: opening a pipe would wait for its other end. */
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        snprintf(message, message_size, "the model '%s' is not a file; give a GGUF file", path);
        return ENGINE_E_MODEL_MISSING;
    }
    FILE *file = fopen(path, "rbe");
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
