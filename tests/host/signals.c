/* signals.c - SIGTERM and SIGINT: the first lets the answer at hand finish and ends with 0, the second ends at once;
 * nothing is left either way. --exit-with-parent ends the host with the process that started it. */
#include "host_test.h"

#include <sys/wait.h>

enum { DRAIN_TOKENS = 400 };

static void stream_until(guide_client *client, int n_updates) {
    int now = 0;
    CHECK(guide_send(client, NULL, "What is C++?", true, SOON_MS));
    CHECK(WAITED(SOON_MS, (memcpy(&now, client->block + 40962, 4), now >= n_updates)));
}

int main(void) {
    test_begin("signals", 120);
    char instance[64];
    test_host host;
    guide_client client;
    guide_update update;
    test_instance(instance, "signal");

    static const int numbers[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        test_step("signal %d, idle", numbers[i]);
        host_start(&host, instance, NULL);
        attach(&client, &host);
        check_serves(&client);
        kill(host.pid, numbers[i]);
        host_expect_exit(&host, 0, SOON_MS);
        CHECK_INT(objects_count(instance), ==, 0);
        guide_close(&client);

        test_step("signal %d, during an answer: it is finished", numbers[i]);
        host_start(&host, instance, "--ignore-eos", "-n", "400", "-c", "2048", NULL);
        attach(&client, &host);
        stream_until(&client, 5);
        kill(host.pid, numbers[i]);
        CHECK(guide_receive_stream(&client, SOON_MS, NULL, NULL, &update));
        CHECK(update.complete);
        CHECK_INT(update.tokens_generated, ==, DRAIN_TOKENS);
        host_expect_exit(&host, 0, SOON_MS);
        CHECK_INT(objects_count(instance), ==, 0);
        guide_close(&client);

        test_step("signal %d, twice: at once", numbers[i]);
        host_start(&host, instance, "--ignore-eos", "-n", "-1", "-c", "32768", NULL);
        attach(&client, &host);
        stream_until(&client, 5);
        kill(host.pid, numbers[i]);
        test_pause_ms(50);
        CHECK_SAY(!host_ended(&host, 0), "the first signal did not let the answer finish");
        kill(host.pid, numbers[i]);
        host_expect_exit(&host, 128 + numbers[i], SOON_MS);
        CHECK_INT(objects_count(instance), ==, 0);
        guide_close(&client);
    }

    test_step("while the model loads");
    for (int i = 0; i < 10; i++) {
        host_start(&host, instance, NULL);
        CHECK(WAITED(SOON_MS, objects_count(instance) == 5));
        test_pause_ms(i);
        kill(host.pid, SIGTERM);
        host_expect_exit(&host, 0, SOON_MS);
        CHECK_INT(objects_count(instance), ==, 0);
    }

    test_step("at any moment of the start");
    for (int i = 0; i < 40; i++) {
        host_start(&host, instance, NULL);
        test_pause_ms(i * 0.5);
        kill(host.pid, SIGTERM);
        CHECK(host_ended(&host, SOON_MS));
        /* Before it can have a handler the signal itself ends the process; then there is nothing to leave. */
        CHECK_SAY(host.exit_code == 0 || host.exit_code == 128 + SIGTERM, "ended with %d", host.exit_code);
        CHECK_SAY(objects_count(instance) == 0, "SIGTERM after %.1f ms left %d objects", i * 0.5,
                  objects_count(instance));
    }

    test_step("stopped for a while, as in a debugger");
    host_start(&host, instance, NULL);
    attach(&client, &host);
    check_serves(&client);
    CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
    host_pause(&host);
    test_pause_ms(50);
    CHECK(guide_send(&client, NULL, "What is C++?", true, SOON_MS));
    host_resume(&host);
    CHECK(guide_receive_stream(&client, SOON_MS, NULL, NULL, &update));
    guide_close(&client);
    host_stop(&host);

    test_step("--exit-with-parent");
    int to_parent[2];
    pid_t host_pid;
    CHECK(pipe(to_parent) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        host_start(&host, instance, "--exit-with-parent", NULL);
        if (write(to_parent[1], &host.pid, sizeof host.pid) != sizeof host.pid)
            _exit(1);
        for (;;)
            pause();
    }
    CHECK_INT(read(to_parent[0], &host_pid, sizeof host_pid), ==, sizeof host_pid);
    CHECK(guide_open_within(&client, instance, 5000));
    check_serves(&client);
    test_pause_ms(100);
    CHECK_SAY(kill(host_pid, 0) == 0, "the host ended while its parent lives");
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    /* This program is the subreaper, so the orphan is its child now. */
    int status = -1;
    CHECK_SAY(WAITED(SOON_MS, waitpid(host_pid, &status, WNOHANG) == host_pid), "the host outlives its parent");
    CHECK_SAY(WIFEXITED(status) && WEXITSTATUS(status) == 0, "ended with status %x", (unsigned)status);
    CHECK_INT(objects_count(instance), ==, 0);
    guide_close(&client);

    test_step("--exit-with-parent: the parent died before the host could look");
    setenv("LIPC_PARENT_PID", "2147483647", 1);
    host_start(&host, instance, "--exit-with-parent", NULL);
    unsetenv("LIPC_PARENT_PID");
    host_expect_exit(&host, 0, SOON_MS);
    CHECK_INT(objects_count(instance), ==, 0);
    return test_end();
}
