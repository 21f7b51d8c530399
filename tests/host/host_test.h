/* host_test.h - what the tests of the host's options and failures share. */
#ifndef LIPC_TESTS_HOST_TEST_H
#define LIPC_TESTS_HOST_TEST_H

#include "../support/guide_client.h"
#include "../support/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


/* For test_host_setup.before_exec: another user than root. */
static inline void to_nobody(void *nothing) {
    (void)nothing;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(99);
}

/* Whether nobody may run the host where it and its libraries lie. */
static inline bool nobody_runs_host(const char *instance) {
    test_host host;
    test_host_setup setup = {.before_exec = to_nobody};
    if (geteuid() != 0)
        return false;
    host_start_with(&host, instance, &setup, (const char *const[]){"--version", NULL});
    return host_ended(&host, SOON_MS) && host.exit_code == 0;
}

/* Output of a host that has ended; owned by the test for its whole life. */
static inline char *said(const test_host *host) {
    return host_err(host);
}

static inline int count_lines(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* The failed host ended with the code, said why in exactly one error line that holds `reason`, and left nothing. */
static inline void check_failure(test_host *host, int exit_code, const char *reason) {
    host_expect_exit(host, exit_code, SOON_MS);
    char *err = said(host), *out = host_out(host);
    CHECK_SAY(count_of(err, "chatbot: error: ") == 1, "not exactly one error line: %s", err);
    CHECK_SAY(strncmp(strstr(err, "chatbot: error: "), err, 16) == 0 || count_of(err, "\nchatbot: error: ") == 1,
              "the error is not a line of its own: %s", err);
    CHECK_SAY(strstr(err, reason) != NULL, "the message does not say \"%s\": %s", reason, err);
    CHECK_SAY(out[0] == 0, "a failing host writes to stdout: %s", out);
    printf("  %s", strstr(err, "chatbot: error: "));
    CHECK_SAY(objects_count(host->instance) == 0, "%d objects are left", objects_count(host->instance));
    free(err);
    free(out);
}

/* The same, started here; with --log-level error that line is all there is on stderr. */
static inline void fails(const char *instance, int exit_code, const char *reason, const char *const *arguments) {
    test_host host;
    const char *with_level[32];
    int n = 0;
    while (arguments[n] && n < 28) {
        with_level[n] = arguments[n];
        n++;
    }
    host_start_with(&host, instance, NULL, arguments);
    check_failure(&host, exit_code, reason);
    with_level[n++] = "--log-level";
    with_level[n++] = "error";
    with_level[n] = NULL;
    host_start_with(&host, instance, NULL, with_level);
    check_failure(&host, exit_code, reason);
    char *err = said(&host);
    CHECK_SAY(count_lines(err) == 1, "more than one line: %s", err);
    free(err);
}

static inline void attach(guide_client *client, const test_host *host) {
    CHECK_SAY(guide_open_within(client, host->instance, (int)test_scaled(SOON_MS)), "no objects");
}

static inline void check_serves(guide_client *client) {
    static guide_update update;
    CHECK(guide_stream(client, NULL, "What is C++?", (int)test_scaled(SOON_MS), &update));
    CHECK(update.complete);
    CHECK_INT(update.n_bytes, >, 0);
}

#endif
