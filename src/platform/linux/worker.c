/* worker.c - a copy of this process that works for it, and dies with it. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A file without a place has a name that people and tools see among the process's mappings. Where it is refused, memory
 * without a name does as well. */
void *plat_memory_shared(const char *segment_name, size_t size_bytes) {
    char label[PLAT_PATH_SIZE];
    snprintf(label, sizeof label, PLAT_OWNER_LABEL "%s", segment_name);
    int descriptor = memfd_create(label, MFD_CLOEXEC);
    bool is_labelled = descriptor >= 0 && ftruncate(descriptor, (off_t)size_bytes) == 0;
    void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (is_labelled ? 0 : MAP_ANONYMOUS),
                        is_labelled ? descriptor : -1, 0);
    if (descriptor >= 0) close(descriptor);
    if (memory != MAP_FAILED) return memory;
    plat_fail(PLAT_E_NO_MEMORY);
    return NULL;
}

int plat_worker_start(const char *title) {
    sigset_t before;
    plat_stop_hold(&before); /* its first instructions must not run this process's handlers */
    pid_t starter = getpid(), pid = fork();
    int error = pid < 0 ? plat_fail(errno == ENOMEM || errno == EAGAIN ? PLAT_E_NO_MEMORY : PLAT_E_SYSTEM) : PLAT_OK;
    if (pid != 0) sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) return error;
    if (pid > 0) return (int)pid;
    plat_stop_ignore();
    prctl(PR_SET_NAME, title);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != starter) _exit(0); /* it died before it could be followed */
    return 0;
}

bool plat_worker_began(void) {
    return false; /* it is a copy, and goes on where its starter was */
}

_Noreturn void plat_worker_end(int exit_code) {
    exit(exit_code);
}

int plat_worker_wait(int pid, int *exit_code) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return plat_fail(PLAT_E_SYSTEM);
    *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool plat_death_is_crash(int death) {
    return death != SIGKILL;
}

void plat_death_words(int death, char *words, size_t size_bytes) {
    snprintf(words, size_bytes, "was killed by signal %d (%s)", death, strsignal(death));
}
