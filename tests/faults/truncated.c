/* truncated.c - another program of the user truncates the segment of a running host. The worker that looks at what is gone
 * dies; the supervisor says why, makes the segment whole, and the next worker serves. Who cannot go on says why. */
#include "../cli/cli_test.h"
#include "../death/worker_test.h"
#include "faults_test.h"

static off_t size_of(const char *instance) {
    char path[256];
    struct stat status;
    return stat(object_path(path, instance, OBJECT_SEGMENT), &status) == 0 ? status.st_size : 0;
}

static void cut(const char *instance, off_t n_bytes) {
    char path[256];
    CHECK_INT(truncate(object_path(path, instance, OBJECT_SEGMENT), n_bytes), ==, 0);
}

/* Whether the host has begun anew since. In a process of its own: what is looked at may be gone the next moment. */
static void wait_for_recovery(void *data, int pid) {
    segment segment = {0};
    CHECK(WAITED(SOON_MS, has_come_to(&segment, data, (pid_t)pid, LIPC_HUB_READY) && hub_state(&segment) == LIPC_HUB_READY &&
                              NOW(hub_in(&segment)->n_recoveries) > 0));
}

/* The claim of the last stream, again and again from the moment that it is cut off: when the file is whole once more, it is
 * free under the generation after the one that the host knows, and was nothing else before. */
static void watch_claim(const char *instance, off_t offset, off_t whole) {
    char path[256];
    uint64_t claim = 0;
    int fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    while (pread(fd, &claim, sizeof claim, offset) != sizeof claim && size_of(instance) < whole) {
    }
    close(fd);
    CHECK_SAY(claim >> 32 > 1 && (claim & 0xFFFFFFFF) == LIPC_CLAIM_FREE, "the claim is %#llx",
              (unsigned long long)claim);
}

static void serves_on(const char *instance, const script *script, off_t n_bytes) {
    test_host host;
    test_step("to %lld bytes, idle", (long long)n_bytes);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "2000"));
    off_t whole = size_of(instance);
    off_t last = (off_t)(hub_in(&segment)->streams_offset + (hub_in(&segment)->n_streams - 1) * hub_in(&segment)->stream_size);
    segment_close(&segment);
    cut(instance, n_bytes);
    watch_claim(instance, last, whole);
    CHECK_SAY(WAITED(SOON_MS, size_of(instance) == whole || host_ended(&host, 0)), "nobody makes it whole");
    CHECK_SAY(host.running, "the host ended: %s", host_err(&host));
    worker_wait(worker_start(wait_for_recovery, (void *)(uintptr_t)instance, (int)host.pid));
    char *err = host_err(&host);
    CHECK_SAY(count_of(err, "truncated") == 1, "the cause is not named once: %s", err);
    free(err);
    lipc_client *client = client_of(instance);
    for (int i = 0; i < 10; i++) { /* each stream, and again */
        lipc_stream *stream = ask(client, "hello");
        check_whole(stream, script);
        lipc_stream_close(stream);
    }
    lipc_client_close(client);
    lipc_classic *classic;
    CHECK_LIPC(lipc_classic_open(instance, &classic), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(classic, soon()), LIPC_E_OK);
    check_classic_answer(classic, true, soon(), script);
    lipc_classic_close(classic);
    segment = segment_of(instance, host.pid, LIPC_HUB_READY);
    end_host(&host, &segment);
    check_host_left_nothing(&host);
}

/* Not the host that dies, and not the request that is to blame, however often. */
static void during_an_answer(const char *instance, const script *script) {
    test_host host;
    cli cli;
    test_step("during an answer to llamaipc");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "200"));
    segment_close(&segment);
    for (int i = 0; i < 3; i++) {
        off_t whole = size_of(instance);
        const char *words[] = {"ask", "hello", NULL};
        cli_start(&cli, NULL, false, words);
        struct stat status;
        CHECK(WAITED(SOON_MS, fstat(cli.out_fd, &status) == 0 && status.st_size > 0));
        cut(instance, 4096);
        cli_expect(&cli, CLI_EXIT_HOST_GONE);
        CHECK_SAY(cli.err[0] != 0, "llamaipc ends without a word");
        printf("  %s", cli.err);
        cli_free(&cli);
        CHECK(WAITED(SOON_MS, size_of(instance) == whole));
    }
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "hello");
    CHECK_SAY(!strstr(cli.err, "started"), "another host was started: %s", cli.err);
    cli_free(&cli);
    CHECK_SAY(!host_ended(&host, 0), "the host ended: %s", host_err(&host));
    host_stop(&host);
    check_host_left_nothing(&host);
}

static void one_process(const char *instance, const script *script) {
    test_host host;
    test_step("without a supervisor");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--no-supervise"));
    segment_close(&segment);
    cut(instance, 0);
    host_expect_exit(&host, 1, SOON_MS);
    char *err = host_err(&host);
    CHECK_SAY(strstr(err, "truncated"), "the cause is not named: %s", err);
    free(err);
    objects_remove(instance);
}

int main(void) {
    char instance[64];
    test_begin("truncated", 110);
    expect_crashes();
    test_instance(instance, "truncated");
    setenv("LIPC_NAME", instance, 1);
    script script = script_new(3000);
    test_host host;
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "0"));
    off_t one_stream = (off_t)(hub_in(&segment)->streams_offset + hub_in(&segment)->stream_size);
    end_host(&host, &segment);
    serves_on(instance, &script, 0);
    serves_on(instance, &script, 4096);
    serves_on(instance, &script, LIPC_HUB_END);
    serves_on(instance, &script, one_stream);
    during_an_answer(instance, &script);
    one_process(instance, &script);
    free(script.text);
    return test_end();
}
