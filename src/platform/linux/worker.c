/* worker.c - a copy of this process that works for it, and dies with it. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void *plat_memory_shared(size_t size_bytes) {
    void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) return memory;
    plat_fail(PLAT_E_NO_MEMORY);
    return NULL;
}

int plat_worker_start(const char *title) {
    pid_t starter = getpid(), pid = fork();
    if (pid < 0) return plat_fail(errno == ENOMEM || errno == EAGAIN ? PLAT_E_NO_MEMORY : PLAT_E_SYSTEM);
    if (pid > 0) return (int)pid;
    prctl(PR_SET_NAME, title);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != starter) _exit(0); /* it died before it could be followed */
    return 0;
}

int plat_worker_wait(int pid, int *exit_code) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return plat_fail(PLAT_E_SYSTEM);
    *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool plat_signal_is_crash(int signal) {
    return signal != SIGKILL;
}
