/* load_points.c - a host that changes its model dies behind each store to the journal that is about that: the next worker has
 * one of the two models, and does what was asked for. The same for what it shows of a model that is not in memory. crash_points
 * plays texts back, and has no model to change. */
#include "../death/worker_test.h"
#include "../support/test_model.h"

enum { VOCABULARY = 259 };

static char mark[64], path[64];

static void give_orders(void *reservation) {
    setenv("LIPC_FAILPOINT", reservation, 1);
    setenv("LIPC_FAILPOINT_MARK", mark, 1);
}

/* `step` with the number of its visit: some come when the first model is loaded, too. */
static void die_at(const char *step, const char *action) {
    char instance[64], reservation[128];
    test_host host;
    lipc_stream *change, *waits;
    lipc_delta delta;
    lipc_host_status status;
    snprintf(reservation, sizeof reservation, "%s:%s", step, action);
    test_step("%s", reservation);
    const test_host_setup setup = {.before_exec = give_orders, .data = reservation};
    test_instance(instance, "points");
    host_start_with(&host, instance, &setup, EMBEDDED("-n", "20"));
    segment segment = segment_of(instance, host.pid, LIPC_HUB_READY);
    pid_t first = worker_awaited(&host);
    lipc_client *client = client_of(instance);
    CHECK_LIPC(lipc_client_load(client, path, &change), LIPC_E_OK);
    waits = ask(client, QUESTION);
    CHECK_LIPC(lipc_stream_read(change, soon(), &delta), LIPC_E_OK);
    CHECK_INT(delta.n_bytes, ==, 0);
    CHECK_SAY(access(mark, F_OK) == 0, "nobody comes to the step");
    CHECK_INT(worker_awaited(&host), !=, first);
    reading text = read_to_end(waits);
    CHECK_INT(text.code, ==, 0);
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    CHECK_INT(status.n_vocab, ==, VOCABULARY);
    unlink(mark);
    free(text.text);
    lipc_stream_close(change);
    lipc_stream_close(waits);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void die_falling_asleep(const char *action) {
    char instance[64], reservation[128];
    test_host host;
    snprintf(reservation, sizeof reservation, "model.show.asleep:1:%s", action);
    test_step("%s", reservation);
    const test_host_setup setup = {.before_exec = give_orders, .data = reservation};
    test_instance(instance, "points");
    host_start_with(&host, instance, &setup, EMBEDDED("-n", "20", "--sleep-idle", "1"));
    segment segment = segment_of(instance, host.pid, LIPC_HUB_READY);
    CHECK_SAY(WAITED(SOON_MS, access(mark, F_OK) == 0), "nobody comes to the step");
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, QUESTION);
    reading text = read_to_end(stream);
    CHECK_INT(text.code, ==, 0);
    CHECK_INT(NOW(hub_in(&segment)->is_asleep), ==, 0);
    unlink(mark);
    free(text.text);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(void) {
    test_begin("load_points", 60);
    expect_crashes();
    snprintf(mark, sizeof mark, "/tmp/load_points-%d.mark", (int)getpid());
    snprintf(path, sizeof path, "/tmp/load_points-%d.gguf", (int)getpid());
    test_model_write(path, 0);
    die_at("journal.model.path:1", "kill");
    die_at("journal.model.path:1", "segv");
    die_at("journal.model.chosen:1", "kill");
    die_at("journal.model.chosen:1", "segv");
    die_at("journal.model.device_layers:4", "kill");
    die_at("journal.model.device_layers:4", "segv");
    die_falling_asleep("kill");
    die_falling_asleep("segv");
    unlink(path);
    return test_end();
}
