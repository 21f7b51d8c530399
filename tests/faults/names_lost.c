/* names_lost.c - somebody removes the names under a running host: its modern clients are served on, also by a worker that
 * takes over from a dead one; new clients find no host; the next host takes the names, and keeps them when the first
 * ends. (The classic channel: host/names_removed.) */
#include "faults_test.h"

static void check_answers(lipc_client *client, const script *script) {
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
}

static void check_no_host(const char *instance) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = 100;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_NO_HOST);
}

/* The same answer goes on in the next worker. */
static void kill_worker_during(lipc_client *client, segment *segment, const script *script) {
    lipc_stream *stream = ask(client, "hello");
    reading reading = {0};
    uint32_t worker = NOW(hub_in(segment)->worker_pid);
    read_until(stream, &reading, script->n_bytes / 4);
    CHECK(kill((pid_t)worker, SIGKILL) == 0);
    read_until(stream, &reading, script->n_bytes);
    CHECK_TEXT(reading.text, script->text);
    CHECK_SAY(WAITED(SOON_MS, NOW(hub_in(segment)->n_recoveries) == 1), "no worker has taken over");
    CHECK(NOW(hub_in(segment)->worker_pid) != worker);
    free(reading.text);
    lipc_stream_close(stream);
}

int main(void) {
    char instance[64];
    test_host first, second;
    test_begin("names_lost", 60);
    script script = script_new(1500);
    test_instance(instance, "lost");
    segment of_first = host_ready(&first, instance, REPLAY(script, "--rate", "800"));
    lipc_client *old = client_of(instance);

    test_step("removed during an answer");
    lipc_stream *stream = ask(old, "hello");
    reading reading = {0};
    read_until(stream, &reading, 1);
    objects_remove(instance);
    read_until(stream, &reading, script.n_bytes);
    CHECK_TEXT(reading.text, script.text);
    free(reading.text);
    lipc_stream_close(stream);
    check_answers(old, &script);
    check_no_host(instance);

    test_step("a worker that takes over without names");
    pid_t family[FAMILY_MOST];
    if (family_of(first.pid, family) > 1)
        kill_worker_during(old, &of_first, &script);
    check_answers(old, &script);
    check_no_host(instance);
    CHECK_INT(objects_count(instance), ==, 0);

    test_step("the next host takes the names");
    segment of_second = host_ready(&second, instance, REPLAY(script, "--rate", "0"));
    lipc_client *fresh = client_of(instance);
    check_answers(fresh, &script);
    check_answers(old, &script);

    test_step("the first ends and leaves them alone");
    CHECK_LIPC(lipc_client_shutdown(old, soon()), LIPC_E_OK);
    host_expect_exit(&first, 0, SOON_MS);
    lipc_client_close(old);
    segment_close(&of_first);
    CHECK_INT(objects_count(instance), ==, N_OBJECTS);
    check_answers(fresh, &script);
    lipc_client_close(fresh);
    end_undisturbed_host(&second, &of_second);
    free(script.text);
    return test_end();
}
