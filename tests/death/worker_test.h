/* worker_test.h - what the killers of workers and supervisors share: the worker as a process. */
#ifndef LIPC_TESTS_WORKER_TEST_H
#define LIPC_TESTS_WORKER_TEST_H

#include "../modern/modern_test.h"

#include <sys/resource.h>

/* To the end of an environment variable, which holds options separated by colons. */
static inline void add_option(const char *variable, const char *option) {
    char value[512];
    const char *before = getenv(variable);
    snprintf(value, sizeof value, "%s%s%s", before ? before : "", before ? ":" : "", option);
    CHECK_INT(setenv(variable, value, 1), ==, 0);
}

/* Hosts are crashed on purpose from here on: without memory images, and without a sanitizer that makes an exit of it. */
static inline void expect_crashes(void) {
    const struct rlimit none = {0, 0};
    CHECK_INT(setrlimit(RLIMIT_CORE, &none), ==, 0);
    add_option("ASAN_OPTIONS", "handle_segv=0:handle_sigbus=0");
    add_option("TSAN_OPTIONS", "handle_segv=0");
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
