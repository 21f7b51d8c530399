/* exit_codes_of_models.c - a model file that is missing, unreadable, a folder, truncated, damaged or foreign, and a
 * context that does not fit: each ends the host with its own code and one clear line, and leaves nothing behind. */
#include "host_test.h"

#include <fcntl.h>
#include <sys/stat.h>

static char folder[64];

static void copy_part(const char *from, const char *to, off_t from_byte, off_t n_bytes, unsigned noise_from) {
    static char block[65536];
    uint64_t random = 5;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK_SAY(in >= 0, "cannot open the model %s", from);
    CHECK(out >= 0);
    lseek(in, from_byte, SEEK_SET);
    for (off_t at = 0; at < n_bytes;) {
        size_t want = n_bytes - at < (off_t)sizeof block ? (size_t)(n_bytes - at) : sizeof block;
        ssize_t n = read(in, block, want);
        if (n <= 0)
            break;
        for (ssize_t i = 0; noise_from && i < n; i++)
            if (at + i >= noise_from && test_random(&random, 8) == 0)
                block[i] = (char)test_random(&random, 256);
        CHECK_INT(write(out, block, (size_t)n), ==, n);
        at += n;
    }
    close(in);
    close(out);
}

static const char *file(const char *name) {
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 128, "%s/%s", folder, name);
    return path;
}

int main(void) {
    test_begin("exit_codes_of_models", 180);
    char instance[64], model[4096];
    struct stat status;
    test_instance(instance, "model");
    snprintf(folder, sizeof folder, "/tmp/lipctest.XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    test_model_path(model, "tutor.gguf");
    CHECK_SAY(stat(model, &status) == 0, "no %s", model);

    test_step("missing");
    fails(instance, 3, "/no/such/model.gguf", (const char *const[]){"-m", "/no/such/model.gguf", NULL});
    test_step("a folder");
    fails(instance, 3, folder, (const char *const[]){"-m", folder, NULL});

    test_step("unreadable");
    copy_part(model, file("private.gguf"), 0, status.st_size, 0);
    if (nobody_runs_host(instance)) {
        test_host host;
        chmod(folder, 0711);
        test_host_setup setup = {.before_exec = to_nobody};
        host_start_with(&host, instance, &setup, (const char *const[]){"-m", file("private.gguf"), NULL});
        check_failure(&host, 3, file("private.gguf"));
    } else if (geteuid() != 0) {
        chmod(file("private.gguf"), 0);
        fails(instance, 3, "private.gguf", (const char *const[]){"-m", file("private.gguf"), NULL});
    } else {
        test_leave_out("an unreadable model: root may read everything, and nobody may not run the host here");
    }

    test_step("empty");
    copy_part(model, file("empty.gguf"), 0, 0, 0);
    fails(instance, 4, "empty.gguf", (const char *const[]){"-m", file("empty.gguf"), NULL});
    test_step("truncated");
    static const int shares[] = {1, 30, 60, 99};
    for (int i = 0; i < 4; i++) {
        copy_part(model, file("short.gguf"), 0, status.st_size * shares[i] / 100, 0);
        fails(instance, 4, "short.gguf", (const char *const[]){"-m", file("short.gguf"), NULL});
    }
    copy_part(model, file("short.gguf"), 0, 7, 0);
    fails(instance, 4, "short.gguf", (const char *const[]){"-m", file("short.gguf"), NULL});
    test_step("foreign");
    fails(instance, 4, "/proc/self/exe", (const char *const[]){"-m", "/proc/self/exe", NULL});
    FILE *text = fopen(file("notes.txt"), "w");
    for (int i = 0; i < 1000; i++)
        fprintf(text, "This is no model.\n");
    fclose(text);
    fails(instance, 4, "notes.txt", (const char *const[]){"-m", file("notes.txt"), NULL});
    test_step("damaged behind its first bytes");
    copy_part(model, file("damaged.gguf"), 0, status.st_size, 24);
    fails(instance, 4, "damaged.gguf", (const char *const[]){"-m", file("damaged.gguf"), NULL});

    test_step("a device that never ends, a pipe that nobody writes to");
    fails(instance, 3, "/dev/zero", (const char *const[]){"-m", "/dev/zero", NULL});
    CHECK(mkfifo(file("pipe.gguf"), 0600) == 0);
    fails(instance, 3, "pipe.gguf", (const char *const[]){"-m", file("pipe.gguf"), NULL});

    test_step("the context does not fit");
    fails(instance, 5, "2000000000", (const char *const[]){"-c", "2000000000", NULL});
    test_step("more answers at a time than a batch has rows");
    fails(instance, 5, "a batch of 2 tokens", (const char *const[]){"-b", "2", "-np", "4", NULL});
    fails(instance, 5, "a batch of 2 tokens", (const char *const[]){"-b", "2", "-np", "4", "--lookup", NULL});

    static const char *const files[] = {"private.gguf", "empty.gguf", "short.gguf", "notes.txt",
                                        "damaged.gguf", "pipe.gguf"};
    for (int i = 0; i < 6; i++)
        unlink(file(files[i]));
    CHECK(rmdir(folder) == 0);
    return test_end();
}
