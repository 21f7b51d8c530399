/* idle_clients.c - a host with 16 attached clients that ask for nothing uses no measurable CPU, and neither do they:
 * before their first request, after it, and while they wait for their turn. */
#include "modern_test.h"

enum { CLIENTS = 16, WATCHED_MS = 3000, ALLOWED_MS = 10, WINDOWS = 3 };

typedef struct board {
    const char *instance;
    const script *script;
    int n_there;
} board;

/* Stops itself: an idle client that is surely not busy with the test. */
static void come_to_rest(board *board) {
    __atomic_add_fetch(&board->n_there, 1, __ATOMIC_SEQ_CST);
    raise(SIGSTOP);
}

static void ask_once(void *data, int number) {
    (void)number;
    board *board = data;
    lipc_client *client = client_of(board->instance);
    come_to_rest(board);
    lipc_stream *stream = ask(client, "something");
    check_whole(stream, board->script);
    come_to_rest(board);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void wait_in_vain(void *data, int number) {
    (void)number;
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream = ask(client, "something");
    __atomic_add_fetch(&board->n_there, 1, __ATOMIC_SEQ_CST);
    read_some(stream, -1, &text);
    CHECK_SAY(false, "there was something to read: %s", lipc_error_name(text.code));
}

static double cpu_of_all(const pid_t *workers) {
    double sum = 0;
    for (int i = 0; i < CLIENTS; i++)
        sum += process_cpu_ms(workers[i]);
    return sum;
}

static bool are_idle(const test_host *host, const pid_t *workers) {
    double before, clients_before;
    CHECK(WAITED(SOON_MS, (before = process_cpu_ms(host->pid), clients_before = cpu_of_all(workers), test_pause_ms(100),
                        process_cpu_ms(host->pid) - before < 2 && cpu_of_all(workers) - clients_before < 2)));
    CHECK(before > 0 && clients_before > 0);
    test_pause_ms(WATCHED_MS);
    double used = process_cpu_ms(host->pid) - before, clients_used = cpu_of_all(workers) - clients_before;
    printf("  host %.1f ms, %d clients %.1f ms, in %d ms\n", used, CLIENTS, clients_used, WATCHED_MS);
    return used <= ALLOWED_MS && clients_used <= ALLOWED_MS;
}

/* Who is busy is so in each window; what the machine takes away while it looks around is counted, too, but not always. */
static void check_idle(const test_host *host, const pid_t *workers, const char *when) {
    bool have_been_idle = false;
    test_step("%s", when);
    for (int i = 0; i < WINDOWS && !have_been_idle; i++)
        have_been_idle = are_idle(host, workers);
    CHECK_SAY(have_been_idle, "host or clients used more than %d ms of CPU in each of %d times %d ms", ALLOWED_MS, WINDOWS,
              WATCHED_MS);
}

static void let_go_on(const pid_t *workers) {
    for (int i = 0; i < CLIENTS; i++) {
        worker_wait_stopped(workers[i]);
        kill(workers[i], SIGCONT);
    }
}

static void attached(board *board) {
    test_host host;
    pid_t workers[CLIENTS];
    segment segment = host_ready(&host, board->instance, REPLAY(*board->script, "--streams", "16"));
    for (int i = 0; i < CLIENTS; i++)
        workers[i] = worker_start(ask_once, board, i);
    CHECK(WAITED(SOON_MS, NOW(board->n_there) == CLIENTS && NOW(hub_in(&segment)->n_attached) == CLIENTS));
    check_idle(&host, workers, "attached");
    let_go_on(workers);
    CHECK(WAITED(SOON_MS, NOW(board->n_there) == 2 * CLIENTS && streams_in_use(&segment) == CLIENTS));
    check_idle(&host, workers, "each keeps an answer");
    let_go_on(workers);
    for (int i = 0; i < CLIENTS; i++)
        worker_wait(workers[i]);
    end_host(&host, &segment);
}

static void waiting(board *board) {
    test_host host;
    pid_t workers[CLIENTS];
    reading text = {0};
    board->n_there = 0;
    /* The next token comes in 100 seconds; half of the clients wait for their turn, the others for a stream. */
    segment segment = host_ready(&host, board->instance,
                                 REPLAY(*board->script, "--streams", "9", "-np", "1", "--rate", "0.01"));
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream = ask_endless(client);
    read_until(stream, &text, 1);
    for (int i = 0; i < CLIENTS; i++)
        workers[i] = worker_start(wait_in_vain, board, i);
    CHECK(WAITED(SOON_MS, NOW(board->n_there) == CLIENTS && NOW(hub_in(&segment)->n_queued) == 8));
    check_idle(&host, workers, "waiting");
    for (int i = 0; i < CLIENTS; i++)
        worker_kill(workers[i]);
    lipc_stream_close(stream);
    lipc_client_close(client);
    free(text.text);
    end_host(&host, &segment);
}

int main(void) {
    char instance[64];
    test_begin("idle_clients", 60);
    script script = script_new(500);
    board *board = shared_new(sizeof *board);
    test_instance(instance, "idle");
    *board = (struct board){.instance = instance, .script = &script};
    attached(board);
    waiting(board);
    free(script.text);
    return test_end();
}
