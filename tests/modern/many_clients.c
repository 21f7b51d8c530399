/* many_clients.c - 64 clients stream at once: all are served, whole, and equally far at any moment; whoever finds the
 * house full queues, sees its position, and is served in its turn. How equal their speeds are is the benchmark's
 * (clients.many.spread). */
#include "modern_test.h"

enum { CLIENTS = 64, BEHIND_PERCENT = 10 };

typedef struct seat {
    double rate;       /* tokens per second, as the client saw it */
    uint64_t *time_ns; /* when each token was published, from the host's first look on; shared */
    int may_end;
} seat;

typedef struct board {
    const char *instance;
    const script *script;
    int n_attached, n_submitted, go, n_streaming;
    seat seats[CLIENTS];
} board;

static void add(int *word) {
    __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
}

/* When the host published each token, by the clock of the machine. */
static void note_times(const char *instance, lipc_stream *stream, int n_tokens, uint64_t *time_ns) {
    char id[LIPC_STREAM_ID_SIZE];
    segment segment = segment_open(instance);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    int index = stream_with_id(&segment, id);
    CHECK_INT(index, >=, 0);
    for (int i = 0; i < n_tokens; i++) {
        lipc_token token;
        size_t n;
        CHECK_LIPC(lipc_stream_tokens(stream, (size_t)i, &token, 1, &n), LIPC_E_OK);
        CHECK_INT(n, ==, 1);
        time_ns[i] = stream_in(&segment, (uint32_t)index)->started_ns + token.time_ns;
    }
    segment_close(&segment);
}

static void stream_once(void *data, int number) {
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    add(&board->n_attached);
    CHECK(WAITED(SOON_MS, NOW(board->go)));
    lipc_stream *stream = ask(client, "all at once");
    add(&board->n_submitted);
    CHECK(read_some(stream, soon(), &text));
    double first_ms = test_now_ms();
    while (read_some(stream, soon(), &text))
        ;
    double end_ms = test_now_ms();
    CHECK_SAY(text.code == 0, "%s: %s", lipc_error_name(text.code), lipc_error_message());
    CHECK_TEXT(text.text, board->script->text);
    int n_tokens = progress_of(stream).n_tokens;
    CHECK_INT(n_tokens, ==, count_tokens(board->script->text));
    board->seats[number].rate = (n_tokens - 1) * 1e3 / (end_ms - first_ms);
    note_times(board->instance, stream, n_tokens, board->seats[number].time_ns);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void print_spread(double *rates) {
    double highest = maximum(rates, CLIENTS), median = quantile(rates, CLIENTS, 0.5), lowest = rates[0];
    printf("  as the clients saw it: %.1f to %.1f tokens/s, spread %.2f %%\n", lowest, highest,
           (highest - lowest) / median * 100);
}

/* When the first one has all of its tokens the others nearly have, however long anything took. */
static void check_equally_far(const board *board, int n_tokens) {
    uint64_t first_end_ns = UINT64_MAX;
    int fewest = n_tokens;
    for (int i = 0; i < CLIENTS; i++)
        if (board->seats[i].time_ns[n_tokens - 1] < first_end_ns)
            first_end_ns = board->seats[i].time_ns[n_tokens - 1];
    for (int i = 0; i < CLIENTS; i++) {
        int n = 0;
        while (n < n_tokens && board->seats[i].time_ns[n] <= first_end_ns)
            n++;
        fewest = n < fewest ? n : fewest;
    }
    printf("  when the first one was through, the last one had %d of %d tokens\n", fewest, n_tokens);
    CHECK_INT((n_tokens - fewest) * 100, <=, BEHIND_PERCENT * n_tokens);
}

static void all_at_once(const char *rate, const script *script) {
    char instance[64];
    test_host host;
    pid_t workers[CLIENTS];
    double rates[CLIENTS];
    int n_tokens = count_tokens(script->text);
    board *board = shared_new(sizeof *board);
    test_step("%d clients at once, --rate %s", CLIENTS, rate);
    test_instance(instance, "many");
    *board = (struct board){.instance = instance, .script = script};
    segment segment = host_ready(&host, instance, REPLAY(*script, "--streams", "64", "--rate", rate));
    for (int i = 0; i < CLIENTS; i++) {
        board->seats[i].time_ns = shared_new((size_t)n_tokens * sizeof(uint64_t));
        workers[i] = worker_start(stream_once, board, i);
    }
    CHECK(WAITED(SOON_MS, NOW(board->n_attached) == CLIENTS));
    CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->n_attached) == CLIENTS));
    /* The host stands still until all have asked: nobody has a start. */
    host_pause(&host);
    __atomic_store_n(&board->go, 1, __ATOMIC_SEQ_CST);
    CHECK(WAITED(SOON_MS, NOW(board->n_submitted) == CLIENTS));
    host_resume(&host);
    for (int i = 0; i < CLIENTS; i++)
        worker_wait(workers[i]);
    for (int i = 0; i < CLIENTS; i++)
        rates[i] = board->seats[i].rate;
    if (atof(rate) > 0)
        print_spread(rates);
    check_equally_far(board, n_tokens);
    end_host(&host, &segment);
}

static void stream_until_told(void *data, int number) {
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream = ask_endless(client);
    CHECK(read_some(stream, soon(), &text));
    add(&board->n_streaming);
    while (!NOW(board->seats[number].may_end))
        read_some(stream, 20, &text);
    CHECK(script_has(board->script, 0, text.text, text.n_bytes));
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static bool is_queued_at(lipc_stream *stream, int position) {
    lipc_progress progress = progress_of(stream);
    return progress.state == LIPC_STREAM_QUEUED && progress.queue_position == position;
}

static bool has_begun(lipc_stream *stream) {
    return progress_of(stream).n_tokens > 0;
}

/* Each of the streams sees its position; when one place is free the first goes in, and only that one. */
static void served_in_order(board *board, const segment *segment, lipc_stream *const *streams, int n, int *next_to_end,
                            int n_predict) {
    for (int i = 0; i < n; i++)
        CHECK_SAY(WAITED(SOON_MS, is_queued_at(streams[i], i)), "stream %d is at position %d in state %d", i,
                  progress_of(streams[i]).queue_position, progress_of(streams[i]).state);
    CHECK_INT(streams_in_use(segment), ==, CLIENTS);
    for (int turn = 0; turn < n; turn++) {
        __atomic_store_n(&board->seats[(*next_to_end)++].may_end, 1, __ATOMIC_SEQ_CST);
        CHECK_SAY(WAITED(SOON_MS, has_begun(streams[turn])), "stream %d is not served", turn);
        for (int i = turn + 1; i < n; i++)
            CHECK_SAY(WAITED(SOON_MS, is_queued_at(streams[i], i - turn - 1)), "turn %d: stream %d is at position %d",
                      turn, i, progress_of(streams[i]).queue_position);
        /* Its own place is not given to the next before it is closed, so that the order shows. */
        check_answer(streams[turn], board->script->text, tokens_end(board->script, n_predict));
        CHECK_INT(progress_of(streams[turn]).end, ==, LIPC_END_LIMIT);
        for (int i = turn + 1; i < n; i++)
            CHECK(!has_begun(streams[i]));
    }
}

static void full_house(const script *script) {
    enum { WAITING = 3, N_PREDICT = 20 };
    char instance[64];
    test_host host;
    pid_t workers[CLIENTS];
    lipc_client *clients[WAITING];
    lipc_stream *streams[WAITING];
    lipc_request request = request_of("one more");
    int next_to_end = 0;
    board *board = shared_new(sizeof *board);
    request.n_predict = N_PREDICT;
    test_instance(instance, "full");
    *board = (struct board){.instance = instance, .script = script};
    segment segment = host_ready(&host, instance, REPLAY(*script, "--streams", "64", "--rate", "100"));
    for (int i = 0; i < CLIENTS; i++)
        workers[i] = worker_start(stream_until_told, board, i);
    CHECK(WAITED(SOON_MS, NOW(board->n_streaming) == CLIENTS));

    test_step("three clients wait for a stream");
    for (int i = 0; i < WAITING; i++) {
        clients[i] = client_of(instance);
        streams[i] = submit(clients[i], &request);
        CHECK_SAY(WAITED(SOON_MS, is_queued_at(streams[i], i)), "client %d is at position %d", i,
                  progress_of(streams[i]).queue_position);
    }
    served_in_order(board, &segment, streams, WAITING, &next_to_end, N_PREDICT);
    for (int i = 0; i < WAITING; i++)
        lipc_stream_close(streams[i]);
    /* The three have given their places back: fill the house again. */
    lipc_stream *fillers[WAITING];
    for (int i = 0; i < WAITING; i++) {
        fillers[i] = ask_endless(clients[i]);
        CHECK(WAITED(SOON_MS, has_begun(fillers[i])));
    }

    test_step("three requests of one client wait for a stream");
    lipc_client *one = client_of(instance);
    for (int i = 0; i < WAITING; i++)
        streams[i] = submit(one, &request);
    served_in_order(board, &segment, streams, WAITING, &next_to_end, N_PREDICT);

    test_step("the end");
    for (int i = 0; i < CLIENTS; i++)
        __atomic_store_n(&board->seats[i].may_end, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < CLIENTS; i++)
        worker_wait(workers[i]);
    for (int i = 0; i < WAITING; i++) {
        lipc_stream_close(streams[i]);
        lipc_stream_close(fillers[i]);
        lipc_client_close(clients[i]);
    }
    lipc_client_close(one);
    end_host(&host, &segment);
}

int main(void) {
    test_begin("many_clients", 120);
    script brief = script_new(1800), lengthy = script_new(100000);
    all_at_once("100", &brief);
    all_at_once("0", &lengthy);
    full_house(&lengthy);
    free(brief.text);
    free(lengthy.text);
    return test_end();
}
