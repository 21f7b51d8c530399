/* random_model.h - models and adapters made on the fly. */
#ifndef LIPC_TESTS_SUPPORT_RANDOM_MODEL_H
#define LIPC_TESTS_SUPPORT_RANDOM_MODEL_H

#include "harness.h"

#include <sys/wait.h>
#include <unistd.h>

static const char *random_model; /* the program that makes them */

/* NULL ends the options. */
static void make_random(const char *path, const char *const *options) {
    const char *argv[20] = {random_model};
    int n = 1, status;
    for (; options[n - 1]; n++) argv[n] = options[n - 1];
    argv[n] = path;
    pid_t pid = fork();
    if (pid == 0) {
        execv(random_model, (char *const *)argv);
        _exit(127);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_SAY(status == 0, "%s could not make %s", random_model, path);
}

#endif
