/* client_deaths.c - a client that is killed: its running and queued work stops, its streams and its record are free
 * again, whatever it was doing; the others notice nothing. A client that is only stopped goes on as if nothing had
 * happened. How soon the work stops is the benchmark's (clients.death); here it is only printed.
 *
 * client_deaths [kills] [seconds that a client is stopped]
 */
#include "modern_test.h"

enum { STREAMS = 12 };

typedef struct board {
    const char *instance;
    const script *script;
    int n_ready, may_end;
    size_t n_read;
} board;

/* Two answers run, the other requests wait for their turn or for a stream. The one that is read runs before the others are
 * sent: of requests that come while the host looks it may see a later one first. */
static void work_until_killed(void *data, int number) {
    (void)number;
    board *board = data;
    reading text = {0};
    lipc_stream *streams[STREAMS];
    lipc_client *client = client_of(board->instance);
    streams[0] = ask_endless(client);
    read_until(streams[0], &text, 1);
    for (int i = 1; i < STREAMS; i++)
        streams[i] = ask_endless(client);
    __atomic_add_fetch(&board->n_ready, 1, __ATOMIC_SEQ_CST);
    for (;;)
        read_some(streams[0], -1, &text);
}

/* The one who must not notice. */
static void look_on(void *data, int number) {
    (void)number;
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    lipc_request request = request_of("look on");
    request.ignore_eos = 1;
    request.priority = 100;
    lipc_stream *stream = submit(client, &request);
    while (!NOW(board->may_end)) {
        read_some(stream, 100, &text);
        CHECK_SAY(text.code == 0 || text.code == LIPC_E_TIMEOUT, "%s: %s", lipc_error_name(text.code),
                  lipc_error_message());
        __atomic_store_n(&board->n_read, text.n_bytes, __ATOMIC_RELEASE);
    }
    CHECK(script_has(board->script, 0, text.text, text.n_bytes));
    lipc_stream_close(stream);
    lipc_client_close(client);
}

/* Nobody has anything, but the onlooker if there is one. */
static bool is_cleared(const segment *segment, int n_onlookers) {
    return NOW(hub_in(segment)->n_running) == (uint32_t)n_onlookers && NOW(hub_in(segment)->n_queued) == 0 &&
           streams_in_use(segment) == n_onlookers && clients_in_use(segment) == n_onlookers;
}

static void timed_kills(const char *what, const char *const *arguments, const script *script, int n_kills) {
    char instance[64];
    test_host host;
    test_step("%d kills, %s", n_kills, what);
    board *board = shared_new(sizeof *board);
    double *times = calloc((size_t)n_kills, sizeof *times);
    test_instance(instance, "deaths");
    *board = (struct board){.instance = instance, .script = script};
    CHECK(times != NULL);
    segment segment = host_ready(&host, instance, arguments);
    host_files files = host_files_now(&host);
    /* Nobody looks on where there is no text: a model's answer ends with its context. */
    int n_onlookers = script != NULL;
    pid_t onlooker = script ? worker_start(look_on, board, 0) : 0;
    CHECK(WAITED(SOON_MS, !script || NOW(board->n_read) > 0));
    for (int i = 0; i < n_kills; i++) {
        pid_t victim = worker_start(work_until_killed, board, i);
        CHECK_SAY(WAITED(SOON_MS, NOW(board->n_ready) == i + 1), "client %d is not served", i);
        CHECK_SAY(WAITED(SOON_MS, NOW(hub_in(&segment)->n_running) == 3 && streams_in_use(&segment) == STREAMS),
                  "%u run, %d streams are in use", hub_in(&segment)->n_running, streams_in_use(&segment));
        double begin = test_now_ms();
        kill(victim, SIGKILL);
        while (!is_cleared(&segment, n_onlookers) && test_now_ms() < begin + test_scaled(SOON_MS))
            sched_yield();
        times[i] = test_now_ms() - begin;
        CHECK_SAY(is_cleared(&segment, n_onlookers), "kill %d: %u run, %u wait; in use: %d streams, %d records", i,
                  hub_in(&segment)->n_running, hub_in(&segment)->n_queued, streams_in_use(&segment),
                  clients_in_use(&segment));
        int status;
        CHECK_INT(waitpid(victim, &status, 0), ==, victim);
    }
    double p50 = quantile(times, n_kills, 0.5), p99 = quantile(times, n_kills, 0.99);
    printf("  from the kill to all stopped and freed: median %.2f ms, p99 %.2f ms, most %.2f ms\n", p50, p99,
           times[n_kills - 1]);
    free(times);
    __atomic_store_n(&board->may_end, 1, __ATOMIC_RELEASE);
    if (script)
        worker_wait(onlooker);
    host_check_files(&host, files);
    end_host(&host, &segment);
}

/* Attaches, asks, reads, cancels, lets go, follows, leaves: without an end. */
static void live_until_killed(void *data, int number) {
    board *board = data;
    uint64_t seed = (uint64_t)number;
    for (;;) {
        lipc_stream *streams[4] = {0}, *followed = NULL;
        char id[LIPC_STREAM_ID_SIZE];
        lipc_client *client = client_of(board->instance);
        for (int i = 0; i < 4; i++) {
            lipc_request request = request_of("what is it like?");
            request.detachable = test_random(&seed, 3) == 0;
            request.n_predict = (int32_t)test_random(&seed, 200);
            streams[i] = submit(client, &request);
        }
        for (int i = 0; i < 20; i++) {
            lipc_delta delta;
            lipc_stream_read(streams[test_random(&seed, 4)], (int)test_random(&seed, 2), &delta);
            if (test_random(&seed, 10) == 0)
                lipc_stream_cancel(streams[test_random(&seed, 4)]);
        }
        if (lipc_stream_id(streams[0], id) == 0 && lipc_stream_attach(client, id, 0, 1, &followed) == 0)
            lipc_stream_close(followed);
        for (int i = 0; i < 4; i++)
            test_random(&seed, 2) ? lipc_stream_close(streams[i]) : lipc_stream_detach(streams[i]);
        lipc_client_close(client);
    }
}

static void kills_at_any_moment(const script *script, int n_kills) {
    char instance[64];
    test_host host;
    uint64_t seed = 1;
    test_step("%d kills at any moment", n_kills);
    board *board = shared_new(sizeof *board);
    test_instance(instance, "anytime");
    *board = (struct board){.instance = instance, .script = script};
    /* So few streams that clients are also killed while they wait for one. */
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "3000", "--streams", "5", "-np", "3"));
    host_files files = host_files_now(&host);
    pid_t onlooker = worker_start(look_on, board, 0);
    CHECK(WAITED(SOON_MS, NOW(board->n_read) > 0));
    for (int i = 0; i < n_kills; i += 2) {
        pid_t victims[2];
        for (int k = 0; k < 2; k++)
            victims[k] = worker_start(live_until_killed, board, i + k + 1);
        test_pause_ms(test_scaled(12.0 * test_random(&seed, 1000) / 1000));
        for (int k = 0; k < 2; k++)
            worker_kill(victims[k]);
        CHECK_SAY(!host_ended(&host, 0), "the host ended with %d", host.exit_code);
    }
    CHECK(WAITED(SOON_MS, clients_in_use(&segment) == 1));
    /* What is left is detached; new clients get all the places but the onlooker's. */
    lipc_client *client = client_of(instance);
    lipc_stream *streams[4];
    lipc_request request = request_of("what is it like?");
    request.n_predict = 50;
    for (int i = 0; i < 4; i++)
        streams[i] = submit(client, &request);
    for (int i = 0; i < 4; i++)
        check_answer(streams[i], script->text, tokens_end(script, 50));
    for (int i = 0; i < 4; i++)
        lipc_stream_close(streams[i]);
    lipc_client_close(client);
    __atomic_store_n(&board->may_end, 1, __ATOMIC_RELEASE);
    worker_wait(onlooker);
    host_check_files(&host, files);
    end_host(&host, &segment);
}

static void read_whole(void *data, int number) {
    (void)number;
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream = ask(client, "slowly");
    while (read_some(stream, soon(), &text))
        __atomic_store_n(&board->n_read, text.n_bytes, __ATOMIC_RELEASE);
    CHECK_SAY(text.code == 0, "%s: %s", lipc_error_name(text.code), lipc_error_message());
    CHECK_TEXT(text.text, board->script->text);
    lipc_stream_close(stream);
    /* And asks once more. */
    stream = ask(client, "again");
    check_whole(stream, board->script);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void stopped_client(const script *script, double stopped_s) {
    char instance[64];
    test_host host;
    board *board = shared_new(sizeof *board);
    test_step("a client is stopped for %.0f s", stopped_s);
    test_instance(instance, "stopped");
    *board = (struct board){.instance = instance, .script = script};
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "400"));
    pid_t client = worker_start(read_whole, board, 0);
    CHECK(WAITED(SOON_MS, NOW(board->n_read) > 200));
    process_stop(client);
    uint64_t claim = NOW(record_in(&segment, 0)->claim);
    uint32_t before = n_published(stream_in(&segment, 0));
    CHECK_INT(before, <, script->n_bytes);
    CHECK(WAITED(SOON_MS, n_published(stream_in(&segment, 0)) > before + 200));
    test_pause_ms(stopped_s * 1e3);
    CHECK_INT(streams_in_use(&segment), ==, 1);
    CHECK_INT(NOW(record_in(&segment, 0)->claim), ==, claim);
    kill(client, SIGCONT);
    worker_wait(client);
    end_host(&host, &segment);
}

int main(int argc, char *argv[]) {
    int n_kills = argc > 1 ? atoi(argv[1]) : 200;
    double stopped_s = argc > 2 ? atof(argv[2]) : 3;
    test_begin("client_deaths", 120 + (unsigned)(n_kills / 4 + stopped_s));
    script text = script_new(4000);
    timed_kills("playing a text back", REPLAY(text, "--rate", "500", "--streams", "12", "-np", "3"), &text, n_kills);
    timed_kills("the embedded model", EMBEDDED("--streams", "12", "-np", "3", "-c", "4096"), NULL, (n_kills + 3) / 4);
    /* Nothing else makes it look. */
    timed_kills("a host that sleeps", REPLAY(text, "--rate", "0.01", "--streams", "12", "-np", "3"), NULL,
                (n_kills + 9) / 10);
    kills_at_any_moment(&text, n_kills);
    stopped_client(&text, stopped_s);
    free(text.text);
    return test_end();
}
