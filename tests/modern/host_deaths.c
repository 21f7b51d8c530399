/* host_deaths.c - the host is killed: every client that waits learns of it, having read all that was published; every
 * call then says HOST_GONE; and the same process attaches to the next host.
 *
 * Promised: within 10 ms, with 16 clients.
 */
#include "modern_test.h"

enum { CLIENTS = 16, ROUNDS = 5 };

typedef struct seat {
    char id[LIPC_STREAM_ID_SIZE];
    size_t n_read;
    double gone_ms;
} seat;

typedef struct board {
    const char *instance;
    const script *script;
    int n_waiting, n_gone, next_host;
    seat seats[CLIENTS];
} board;

static int on_delta(void *user_data, const lipc_delta *delta) {
    reading_add(user_data, delta);
    return 0;
}

static int wait_in_any(lipc_stream *const *streams, reading *text) {
    size_t index;
    for (;;) {
        CHECK_LIPC(lipc_stream_wait_any(streams, 2, -1, &index), LIPC_E_OK);
        lipc_delta delta;
        int code = lipc_stream_read(streams[index], 0, &delta);
        if (code == LIPC_E_TIMEOUT)
            continue;
        if (code < 0 && index == 0)
            return code;
        if (code == 0 && delta.n_bytes > 0 && index == 0)
            reading_add(text, &delta);
        /* The other one has ended first: from here on only the one. */
        if (code < 0)
            while (read_some(streams[0], -1, text))
                ;
        if (code < 0)
            return text->code;
    }
}

/* Waits in one of the ways there are until the host is gone. */
static int wait_for_the_end(int number, lipc_stream *const *streams, reading *text) {
    switch (number % 3) {
    case 0:
        while (read_some(streams[0], -1, text))
            ;
        return text->code;
    case 1:
        return lipc_stream_run(streams[0], -1, on_delta, text);
    default:
        return wait_in_any(streams, text);
    }
}

static void everything_is_gone(lipc_client *client, lipc_stream *stream, const char *id) {
    lipc_delta delta;
    lipc_progress progress;
    lipc_host_status status;
    lipc_stream *another;
    lipc_token token;
    lipc_prob prob;
    size_t n;
    CHECK_LIPC(lipc_stream_read(stream, -1, &delta), LIPC_E_HOST_GONE);
    CHECK_LIPC(lipc_stream_read(stream, 0, &delta), LIPC_E_HOST_GONE);
    CHECK_LIPC(lipc_stream_progress(stream, &progress), LIPC_E_HOST_GONE);
    CHECK_INT(progress.n_tokens, >, 0);
    CHECK_LIPC(lipc_stream_tokens(stream, progress.n_tokens, &token, 1, &n), LIPC_E_HOST_GONE);
    CHECK_LIPC(lipc_stream_probs(stream, progress.n_tokens, &prob, 1, &n), LIPC_E_HOST_GONE);
    CHECK_LIPC(lipc_stream_ask(client, "hello?", &another), LIPC_E_HOST_GONE);
    CHECK(another == NULL);
    CHECK_LIPC(lipc_stream_attach(client, id, 0, 0, &another), LIPC_E_HOST_GONE);
    CHECK(another == NULL);
    CHECK_LIPC(lipc_client_wait_ready(client, -1, NULL, NULL), LIPC_E_HOST_GONE);
    CHECK_LIPC(lipc_client_shutdown(client, -1), LIPC_E_NO_HOST);
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    CHECK_INT(status.state, ==, LIPC_HOST_GONE);
    lipc_stream_cancel(stream);
    lipc_client_interrupt(client);
}

static void outlive(void *data, int number) {
    board *board = data;
    seat *seat = &board->seats[number];
    reading text = {0};
    lipc_client_options options;
    lipc_client *client;
    lipc_stream *streams[2];
    lipc_client_options_init(&options);
    options.name = board->instance;
    options.wakes_per_second = number < 3 ? 20 : 0;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    for (int i = 0; i < 2; i++)
        streams[i] = ask_endless(client);
    CHECK_LIPC(lipc_stream_id(streams[0], seat->id), LIPC_E_OK);
    read_until(streams[0], &text, 1);
    __atomic_add_fetch(&board->n_waiting, 1, __ATOMIC_SEQ_CST);
    int code = wait_for_the_end(number, streams, &text);
    seat->gone_ms = test_now_ms();
    seat->n_read = text.n_bytes;
    CHECK_SAY(code == LIPC_E_HOST_GONE, "%s: %s", lipc_error_name(code), lipc_error_message());
    CHECK(script_has(board->script, 0, text.text, text.n_bytes));
    everything_is_gone(client, streams[0], seat->id);
    __atomic_add_fetch(&board->n_gone, 1, __ATOMIC_SEQ_CST);

    CHECK(WAITED(SOON_MS, NOW(board->next_host)));
    lipc_client *next = client_of(board->instance);
    lipc_stream *stream = ask(next, "once more");
    check_whole(stream, board->script);
    lipc_stream_close(stream);
    if (number % 2)
        lipc_client_close(client);
    for (int i = 0; i < 2; i++)
        lipc_stream_close(streams[i]);
    if (number % 2 == 0)
        lipc_client_close(client);
    lipc_client_close(next);
}

static void kill_one(const char *instance, const script *script, double times[CLIENTS]) {
    test_host host;
    pid_t workers[CLIENTS];
    board *board = shared_new(sizeof *board);
    *board = (struct board){.instance = instance, .script = script};
    const char *const *arguments = REPLAY(*script, "--rate", "200", "--streams", "32");
    segment segment = host_ready(&host, instance, arguments);
    for (int i = 0; i < CLIENTS; i++)
        workers[i] = worker_start(outlive, board, i);
    CHECK(WAITED(SOON_MS, NOW(board->n_waiting) == CLIENTS));
    double begin = test_now_ms();
    host_kill(&host);
    CHECK_SAY(WAITED(SOON_MS, NOW(board->n_gone) == CLIENTS), "%d of %d clients have noticed", board->n_gone, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        times[i] = board->seats[i].gone_ms - begin;
        int index = stream_with_id(&segment, board->seats[i].id);
        CHECK_INT(index, >=, 0);
        CHECK_INT(board->seats[i].n_read, ==, n_published(stream_in(&segment, (uint32_t)index)));
    }
    uint32_t epoch = hub_in(&segment)->epoch;
    segment_close(&segment);
    segment = host_ready(&host, instance, arguments);
    CHECK_INT(hub_in(&segment)->epoch, ==, epoch + 1);
    __atomic_store_n(&board->next_host, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < CLIENTS; i++)
        worker_wait(workers[i]);
    end_host(&host, &segment);
}

static void killed_with_clients(const char *instance, const script *script) {
    double times[ROUNDS * CLIENTS];
    PART_WITH_COPIES("hosts with several clients");
    test_step("%d hosts with %d clients each are killed", ROUNDS, CLIENTS);
    for (int i = 0; i < ROUNDS; i++)
        kill_one(instance, script, times + i * CLIENTS);
    double median = quantile(times, ROUNDS * CLIENTS, 0.5), most = maximum(times, ROUNDS * CLIENTS);
    printf("  from the kill to the client's call returning: median %.2f ms, most %.2f ms\n", median, most);
}

/* A host that was killed while it was loading, with a client waiting for it to be ready. */
static void killed_while_loading(const char *instance) {
    test_host host;
    int n_caught = 0;
    test_step("killed while a client waits for it to be ready");
    for (int round = 0; round < 50 && n_caught < 3; round++) {
        host_start(&host, instance, NULL);
        segment segment = segment_of(instance, host.pid, LIPC_HUB_LOADING);
        host_pause(&host);
        if (hub_state(&segment) == LIPC_HUB_LOADING) {
            n_caught++;
            lipc_client *client = client_of(instance);
            CHECK_LIPC(lipc_client_wait_ready(client, 20, NULL, NULL), LIPC_E_TIMEOUT);
            kill(host.pid, SIGKILL);
            CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_HOST_GONE);
            lipc_client_close(client);
        }
        host_resume(&host);
        segment_close(&segment);
        host_kill(&host);
    }
    CHECK_INT(n_caught, >, 0);
    segment segment = host_ready(&host, instance, EMBEDDED("-n", "5"));
    end_host(&host, &segment);
}

int main(void) {
    char instance[64];
    test_begin("host_deaths", 90);
    script script = script_new(2000);
    test_instance(instance, "hostdeath");
    killed_with_clients(instance, &script);
    killed_while_loading(instance);
    free(script.text);
    return test_end();
}
