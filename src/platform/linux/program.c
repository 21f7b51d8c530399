/* program.c - this program: its arguments and environment, files by their names, and how it is asked to end. */
#define _GNU_SOURCE
#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- arguments, environment, files --------------------------------------------------------------------------------- */

void plat_arguments(int *argc, char ***argv) {
    (void)argc, (void)argv; /* UTF-8 is how they come */
}

const char *plat_environment(const char *name) {
    return getenv(name);
}

FILE *plat_file_open(const char *path, const char *mode) {
    int flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (mode[0] == 'a' ? O_APPEND : O_TRUNC);
    int descriptor = open(path, flags | O_CLOEXEC, 0600);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, mode);
    if (!file && descriptor >= 0) close(descriptor);
    return file;
}

int plat_file_size(const char *path, uint64_t *n_bytes) {
    struct stat status;
    if (n_bytes) *n_bytes = 0;
    if (stat(path, &status) < 0) return plat_fail_errno();
    errno = EINVAL;
    if (!S_ISREG(status.st_mode)) return plat_fail(PLAT_E_UNEXPECTED);
    if (n_bytes) *n_bytes = (uint64_t)status.st_size;
    return PLAT_OK;
}

const char *plat_objects_place(void) {
    return PLAT_OBJECT_FOLDER;
}

int plat_library_folder(const void *symbol, char *path, size_t size_bytes) {
    Dl_info info;
    errno = ENOENT;
    if (!dladdr(symbol, &info) || !info.dli_fname) return plat_fail(PLAT_E_SYSTEM);
    const char *slash = strrchr(info.dli_fname, '/');
    int length = slash ? snprintf(path, size_bytes, "%.*s", (int)(slash - info.dli_fname), info.dli_fname) : -1;
    return length > 0 && (size_t)length < size_bytes ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

/* ---- being asked to end -------------------------------------------------------------------------------------------- */

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
#define N_ENDING (sizeof ending / sizeof ending[0])

static void (*on_stop)(int exit_code);

static void on_signal(int number) {
    int saved_errno = errno;
    on_stop(128 + number);
    errno = saved_errno;
}

static sigset_t ending_set(void) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < N_ENDING; i++) sigaddset(&set, ending[i]);
    return set;
}

void plat_stop_watch(void (*callback)(int exit_code)) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART, .sa_mask = ending_set()};
    on_stop = callback;
    for (size_t i = 0; i < N_ENDING; i++) {
        struct sigaction before;
        sigaction(ending[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) sigaction(ending[i], &action, NULL); /* nohup stays in force */
    }
    signal(SIGPIPE, SIG_IGN); /* nobody may read our log */
}

void plat_stop_hold(sigset_t *before) {
    sigset_t set = ending_set();
    sigprocmask(SIG_BLOCK, &set, before);
}

void plat_stop_ignore(void) {
    sigset_t set = ending_set();
    for (size_t i = 0; i < N_ENDING; i++) signal(ending[i], SIG_IGN);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

_Noreturn void plat_exit_now(int exit_code) {
    _exit(exit_code);
}
