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

/* A question whose answer is over soon, also where each token takes long. */
static inline lipc_stream *ask_shortly(lipc_client *client) {
    enum { TOKENS = 24 };
    lipc_request request = request_of("What is C++?");
    request.n_predict = TOKENS;
    return submit(client, &request);
}

/* The whole answer, which must end well; the caller's to free. The stream is closed. */
static inline char *text_of(lipc_stream *stream) {
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == 0, "%s (%s)", lipc_error_name(text.code), lipc_error_message());
    lipc_stream_close(stream);
    return text.text;
}

#endif
