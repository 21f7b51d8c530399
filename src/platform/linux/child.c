/* child.c - starting a program that belongs to a library and not to the application around it.
 *
 * The end of a program that has been executed raises SIGCHLD in its parent, whatever clone() was told, and an
 * application that waits for any child, or ignores SIGCHLD, takes its exit code. So that this does no harm the child is
 * known by a pidfd: it tells whether it has ended and cannot reach a stranger who was given the same pid.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct plat_child {
    pid_t pid;
    int process; /* pidfd; -1: the kernel has none (before 5.3) */
    int errors;  /* what it writes to standard error; without waiting */
    bool has_ended;
    int exit_code;
};

/* This process's environment with the variable that names it as the parent, which is written into `variable`; the caller
 * frees the array. NULL if memory ran out. */
static char **environment_of_child(char *variable, size_t size_bytes) {
    static const char name[] = PLAT_PARENT_VARIABLE "=";
    size_t n = 0, n_kept = 0;
    while (environ && environ[n]) n++;
    char **environment = calloc(n + 2, sizeof *environment);
    if (!environment) return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], name, sizeof name - 1) != 0) environment[n_kept++] = environ[i];
    snprintf(variable, size_bytes, "%s%d", name, (int)getpid());
    environment[n_kept] = variable;
    return environment;
}

/* In the child, which shares nothing with the parent but open files; only async-signal-safe calls. */
static _Noreturn void become(const char *path, char *const *arguments, char *const *environment, int nowhere, int output,
                             int errors, int refused) {
    sigset_t none;
    sigemptyset(&none);
    setsid();
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(nowhere, 0) >= 0 && dup2(output, 1) >= 0 && dup2(errors, 2) >= 0)
        execve(path, arguments, environment);
    int reason = errno;
    while (write(refused, &reason, sizeof reason) < 0 && errno == EINTR) {
    }
    _exit(127);
}

/* Why the program could not be executed; 0 once it is. The pipe closes by itself when it is. */
static int read_refusal(int refused) {
    int reason = 0;
    while (read(refused, &reason, sizeof reason) < 0 && errno == EINTR) {
    }
    return reason;
}

int plat_child_start(const char *path, const char *const *arguments, plat_child_output output, plat_child **result) {
    int errors[2] = {-1, -1}, refused[2] = {-1, -1}, nowhere = -1, reason = 0;
    char variable[64];
    *result = NULL;
    plat_child *child = calloc(1, sizeof *child);
    char **environment = environment_of_child(variable, sizeof variable);
    if (!child || !environment) {
        free(child);
        free(environment);
        return plat_fail(PLAT_E_NO_MEMORY);
    }
    child->errors = child->process = -1;
    nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere < 0 || pipe2(errors, O_CLOEXEC) < 0 || pipe2(refused, O_CLOEXEC) < 0) {
        reason = errno;
    } else {
        child->pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
        int heard = output == PLAT_CHILD_HEARD ? errors[1] : nowhere;
        if (child->pid == 0) become(path, (char *const *)arguments, environment, nowhere, heard, errors[1], refused[1]);
        if (child->pid < 0) reason = errno;
    }
    if (errors[1] >= 0) close(errors[1]);
    if (refused[1] >= 0) close(refused[1]);
    if (reason == 0 && (reason = read_refusal(refused[0])) != 0) waitpid(child->pid, NULL, __WALL);
    if (nowhere >= 0) close(nowhere);
    if (refused[0] >= 0) close(refused[0]);
    free(environment);
    child->errors = errors[0];
    if (reason != 0) {
        plat_child_close(child);
        errno = reason;
        return plat_fail(reason == ENOENT || reason == EACCES ? PLAT_E_NOT_FOUND : PLAT_E_SYSTEM);
    }
    fcntl(child->errors, F_SETFL, O_NONBLOCK);
    child->process = (int)syscall(SYS_pidfd_open, child->pid, 0); /* close-on-exec by itself */
    *result = child;
    return PLAT_OK;
}

int plat_child_pid(const plat_child *child) {
    return (int)child->pid;
}

size_t plat_child_read(plat_child *child, char *text, size_t size_bytes) {
    ssize_t n_bytes = read(child->errors, text, size_bytes);
    return n_bytes > 0 ? (size_t)n_bytes : 0;
}

/* Whether the process is gone, although its exit code was not for us. */
static bool is_taken_away(const plat_child *child) {
    struct pollfd process = {.fd = child->process, .events = POLLIN};
    return child->process < 0 || poll(&process, 1, 0) == 1;
}

bool plat_child_ended(plat_child *child, int *exit_code) {
    int status;
    if (!child->has_ended) {
        pid_t reaped = waitpid(child->pid, &status, WNOHANG | __WALL);
        if (reaped == child->pid) {
            child->has_ended = true;
            child->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        } else if (reaped < 0 && errno == ECHILD && is_taken_away(child)) {
            child->has_ended = true;
            child->exit_code = PLAT_EXIT_UNKNOWN;
        }
    }
    *exit_code = child->exit_code;
    return child->has_ended;
}

static void send(plat_child *child, int number) {
    if (child->has_ended) return;
    if (child->process >= 0)
        syscall(SYS_pidfd_send_signal, child->process, number, NULL, 0);
    else
        kill(child->pid, number);
}

void plat_child_stop(plat_child *child) {
    send(child, SIGTERM);
}

void plat_child_kill(plat_child *child) {
    send(child, SIGKILL);
}

void plat_child_close(plat_child *child) {
    if (!child) return;
    if (child->process >= 0) close(child->process);
    if (child->errors >= 0) close(child->errors);
    free(child);
}
