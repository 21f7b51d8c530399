/* faults_test.h - what the tests of the machine's faults share: all processes of a host, and the look at what is left. */
#ifndef LIPC_TESTS_FAULTS_TEST_H
#define LIPC_TESTS_FAULTS_TEST_H

#include "../modern/modern_test.h"

enum { FAMILY_MOST = 8 };

/* The process that was started, and its children. */
static inline int family_of(pid_t pid, pid_t family[FAMILY_MOST]) {
    char path[64];
    int n = 0, child;
    family[n++] = pid;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *children = fopen(path, "re");
    while (children && n < FAMILY_MOST && fscanf(children, "%d", &child) == 1)
        family[n++] = child;
    if (children)
        fclose(children);
    return n;
}

/* No child of this program is left; those whose parent has died are its children, too. */
static inline bool is_childless(void) {
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

/* The host has ended: neither a process nor an object of it is left. */
static inline void check_host_left_nothing(const test_host *host) {
    CHECK_SAY(WAITED(SOON_MS, is_childless()), "a process of the host is left");
    CHECK_SAY(objects_count(host->instance) == 0, "%d objects are left", objects_count(host->instance));
}

/* Neither was a worker replaced, nor is anything of a client left. */
static inline void end_undisturbed_host(test_host *host, segment *segment) {
    CHECK_INT(hub_in(segment)->n_recoveries, ==, 0);
    end_host(host, segment);
    check_host_left_nothing(host);
}

/* The whole answer of the classic channel, in streaming or normal mode, is the script. */
static inline void check_classic_answer(lipc_classic *handle, bool is_streaming, int timeout_ms, const script *script) {
    lipc_classic_result result;
    int error = is_streaming ? lipc_classic_stream(handle, NULL, "hello", timeout_ms, NULL, NULL, &result)
                             : lipc_classic_request(handle, NULL, "hello", timeout_ms, &result);
    CHECK_SAY(error == 0, "%s (%s)", lipc_error_name(error), lipc_error_message());
    CHECK_TEXT(result.text, script->text);
}

#endif
