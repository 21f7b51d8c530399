/* worker_test.h - what the killers of workers and supervisors share: the worker as a process. */
#ifndef LIPC_TESTS_WORKER_TEST_H
#define LIPC_TESTS_WORKER_TEST_H

#include "../modern/modern_test.h"

#include <sys/resource.h>

/* Processes are crashed on purpose here; nobody wants their memory images. */
static inline void without_core_files(void) {
    const struct rlimit none = {0, 0};
    CHECK_INT(setrlimit(RLIMIT_CORE, &none), ==, 0);
}

static inline pid_t worker_awaited(const test_host *host) {
    pid_t worker;
    CHECK_SAY(WAITED(SOON_MS, (worker = process_child(host->pid)) > 0), "host %d starts no worker", (int)host->pid);
    return worker;
}

/* Kills it, and waits until the supervisor has buried it. */
static inline void worker_killed(const test_host *host, pid_t worker, int signal) {
    kill(worker, signal);
    CHECK_SAY(WAITED(SOON_MS, process_child(host->pid) != worker), "worker %d does not die of signal %d", (int)worker, signal);
}

/* The worker `pid` serves. */
static inline bool worker_serves(const segment *segment, pid_t pid) {
    return NOW(hub_in(segment)->worker_pid) == (uint32_t)pid && hub_state(segment) == LIPC_HUB_READY;
}

#endif
