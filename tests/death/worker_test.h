/* worker_test.h - what the killers of workers and supervisors share: the worker as a process, and what a host holds. */
#ifndef LIPC_TESTS_WORKER_TEST_H
#define LIPC_TESTS_WORKER_TEST_H

#include "../modern/modern_test.h"

#include <dirent.h>
#include <sys/resource.h>

/* Processes are crashed on purpose here; nobody wants their memory images. */
static inline void without_core_files(void) {
    const struct rlimit none = {0, 0};
    CHECK_INT(setrlimit(RLIMIT_CORE, &none), ==, 0);
}

/* The supervisor's only child; 0 while it has none. A zombie counts until it is reaped. */
static inline pid_t worker_of(pid_t supervisor) {
    char path[64];
    int worker = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)supervisor, (int)supervisor);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &worker) != 1)
        worker = 0;
    fclose(file);
    return worker;
}

static inline pid_t worker_awaited(const test_host *host) {
    pid_t worker;
    CHECK_SAY(WAITED(SOON_MS, (worker = worker_of(host->pid)) > 0), "host %d starts no worker", (int)host->pid);
    return worker;
}

/* Kills it, and waits until the supervisor has buried it. */
static inline void worker_killed(const test_host *host, pid_t worker, int signal) {
    kill(worker, signal);
    CHECK_SAY(WAITED(SOON_MS, worker_of(host->pid) != worker), "worker %d does not die of signal %d", (int)worker, signal);
}

/* The worker `pid` serves. */
static inline bool worker_serves(const segment *segment, pid_t pid) {
    return NOW(hub_in(segment)->worker_pid) == (uint32_t)pid && hub_state(segment) == LIPC_HUB_READY;
}

/* Open descriptors of a process; -1 if there is no such process. */
static inline int fd_count(pid_t pid) {
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    struct dirent *entry;
    while ((entry = readdir(directory)))
        n += entry->d_name[0] != '.';
    closedir(directory);
    return n;
}

#endif
