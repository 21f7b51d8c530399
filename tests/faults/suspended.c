/* suspended.c - a machine that sleeps: host and clients are stopped together, at any moment, and go on in any order.
 * Nothing is lost, nobody is taken for dead, and no time-out passes that was not asked for.
 *
 * suspended [SECONDS of the longest stop] [ROUNDS] [SEED] */
#include "faults_test.h"

enum { N_CLIENTS = 3, MODERN_CLIENT = 0, CLASSIC_CLIENT = 1, POLLING_CLIENT = 2 };

typedef struct board {
    const char *instance;
    const script *script;
    int may_end, n_ready;
    int n_answers[N_CLIENTS];
} board;

static void count_answer(board *board, int number) {
    if (__atomic_add_fetch(&board->n_answers[number], 1, __ATOMIC_SEQ_CST) == 1)
        __atomic_add_fetch(&board->n_ready, 1, __ATOMIC_SEQ_CST);
}

static void read_whole(lipc_stream *stream, const script *script) {
    reading reading = {.text = calloc(1, 1), .room = 1};
    while (read_some(stream, -1, &reading))
        ;
    CHECK_SAY(reading.code == 0, "%s (%s) after %zu bytes", lipc_error_name(reading.code), lipc_error_message(),
              reading.n_bytes);
    CHECK_TEXT(reading.text, script->text);
    free(reading.text);
}

static void stream_modern(board *board, int number) {
    lipc_client *client = client_of(board->instance);
    do {
        lipc_stream *stream = ask(client, "hello");
        read_whole(stream, board->script);
        lipc_stream_close(stream);
        count_answer(board, number);
    } while (!NOW(board->may_end));
    lipc_client_close(client);
}

static void stream_classic(board *board, int number) {
    lipc_classic *handle;
    CHECK_LIPC(lipc_classic_open(board->instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    do {
        check_classic_answer(handle, board->n_answers[number] % 2 == 0, -1, board->script);
        count_answer(board, number);
    } while (!NOW(board->may_end));
    lipc_classic_close(handle);
}

/* Looks once per frame, and never sleeps in the library. */
static void stream_polling(board *board, int number) {
    lipc_client *client = client_of(board->instance);
    do {
        lipc_stream *stream = ask(client, "hello");
        reading reading = {.text = calloc(1, 1), .room = 1};
        while (read_some(stream, 0, &reading) || reading.code == LIPC_E_TIMEOUT)
            test_breathe();
        CHECK_SAY(reading.code == 0, "%s (%s)", lipc_error_name(reading.code), lipc_error_message());
        CHECK_TEXT(reading.text, board->script->text);
        free(reading.text);
        lipc_stream_close(stream);
        count_answer(board, number);
    } while (!NOW(board->may_end));
    lipc_client_close(client);
}

static void be_client(void *data, int number) {
    static void (*const ways[N_CLIENTS])(board *, int) = {stream_modern, stream_classic, stream_polling};
    ways[number](data, number);
}

static void shuffle(pid_t *pids, int n, uint64_t *random) {
    for (int i = n - 1; i > 0; i--) {
        int other = (int)test_random(random, (uint32_t)i + 1);
        pid_t pid = pids[i];
        pids[i] = pids[other];
        pids[other] = pid;
    }
}

static void signal_all(pid_t *pids, int n, int number, uint64_t *random) {
    shuffle(pids, n, random);
    for (int i = 0; i < n; i++) {
        CHECK(kill(pids[i], number) == 0);
        if (test_random(random, 2))
            test_pause_ms(test_random(random, 3000) / 1e3);
    }
}

static void suspend(pid_t *pids, int n, double milliseconds, uint64_t *random) {
    signal_all(pids, n, SIGSTOP, random);
    test_pause_ms(milliseconds);
    signal_all(pids, n, SIGCONT, random);
}

int main(int argc, char *argv[]) {
    double seconds = argc > 1 ? atof(argv[1]) : 1.5;
    int n_rounds = argc > 2 ? atoi(argv[2]) : 40;
    uint64_t random = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    char instance[64];
    test_host host;
    pid_t clients[N_CLIENTS], pids[FAMILY_MOST + N_CLIENTS];
    test_begin("suspended", 60 + (unsigned)(4 * seconds) + (unsigned)n_rounds);
    script script = script_new(1500);
    test_instance(instance, "suspended");

    test_step("a host that is stopped in its start");
    for (int i = 0; i < 5; i++) {
        host_start_with(&host, instance, NULL, REPLAY(script, "--rate", "0"));
        test_pause_ms(i * 0.7);
        int n = family_of(host.pid, pids);
        suspend(pids, n, 30, &random);
        segment segment = segment_of(instance, host.pid, LIPC_HUB_READY);
        end_undisturbed_host(&host, &segment);
    }

    board *board = shared_new(sizeof *board);
    *board = (struct board){.instance = instance, .script = &script};
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "800"));
    for (int i = 0; i < N_CLIENTS; i++)
        pids[i] = clients[i] = worker_start(be_client, board, i);
    int n = N_CLIENTS + family_of(host.pid, pids + N_CLIENTS);
    CHECK_SAY(WAITED(SOON_MS, NOW(board->n_ready) == N_CLIENTS), "%d of %d clients are served", board->n_ready,
              N_CLIENTS);

    test_step("%d stops at any moment", n_rounds);
    for (int i = 0; i < n_rounds; i++) {
        test_pause_ms(test_random(&random, 40));
        suspend(pids, n, test_random(&random, 30), &random);
        CHECK_SAY(clients_in_use(&segment) == 2, "%d clients are attached", clients_in_use(&segment));
    }
    for (int i = 0; i < 2; i++) {
        test_step("stopped for %.1f s", seconds);
        test_pause_ms(test_random(&random, 40));
        suspend(pids, n, seconds * 1e3, &random);
        CHECK_SAY(clients_in_use(&segment) == 2, "%d clients are attached", clients_in_use(&segment));
    }

    test_step("all go on");
    for (int i = 0; i < N_CLIENTS; i++) {
        int before = NOW(board->n_answers[i]);
        CHECK_SAY(WAITED(SOON_MS, NOW(board->n_answers[i]) > before), "client %d gets no further answer", i);
    }
    __atomic_store_n(&board->may_end, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < N_CLIENTS; i++)
        worker_wait(clients[i]);
    printf("  answers: %d, %d, %d\n", board->n_answers[0], board->n_answers[1], board->n_answers[2]);
    guide_client classic;
    CHECK(guide_open(&classic, instance));
    check_idle_permits(&classic);
    guide_close(&classic);
    end_undisturbed_host(&host, &segment);
    free(script.text);
    return test_end();
}
