/* supervisor_kills.c - the supervisor is killed at random moments, and takes its worker along: clients learn of it, the
 * next host takes the same objects over with what lies in them, and an answer that outlives its owner or was let go of
 * goes on there to the text of an undisturbed run.
 *
 * supervisor_kills [kills with a text played back] [kills with the embedded model] [seed]
 */
#include "worker_test.h"

enum { CLIENTS = 3 };

typedef struct board {
    const char *instance;
    const script *script;           /* NULL: the embedded model */
    int may_end;
    int is_streaming[CLIENTS];      /* it has read text of the host that runs now */
    uint64_t gone_ns[CLIENTS];      /* when it learned of the last host's death */
    char id[LIPC_STREAM_ID_SIZE];   /* of the answer that lives on */
    int is_submitted;
} board;

typedef struct killing {
    board *board;
    const char *const *arguments;
    test_host host;
    double start_ms, worker_gone_ms, notice_ms; /* the latter two: the longest */
    reading expected, text;         /* of the answer that lives on: undisturbed, and read so far */
    int n_kills, n_answers, n_parts;
    uint64_t seed;
} killing;

/* ---- clients that outlive their hosts ---- */

/* Streams from one host after the other. */
static void outlive(void *data, int number) {
    board *board = data;
    int failed;
    while (!NOW(board->may_end)) {
        lipc_stream *stream;
        reading text = {0};
        lipc_client *client = client_of(board->instance);
        lipc_request request = request_of("What is UTF-8?");
        request.ignore_eos = 1;
        request.n_predict = -1;
        failed = lipc_stream_open(client, &request, &stream);
        while (failed == 0 && !NOW(board->may_end) && read_some(stream, 50, &text) | (text.code == LIPC_E_TIMEOUT))
            __atomic_store_n(&board->is_streaming[number], text.n_bytes > 0, __ATOMIC_SEQ_CST);
        failed = failed ? failed : text.code;
        CHECK_SAY(failed == LIPC_E_HOST_GONE || failed == 0 || failed == LIPC_E_TIMEOUT, "client %d: %s (%s)", number,
                  lipc_error_name(failed), lipc_error_message());
        if (failed == LIPC_E_HOST_GONE)
            __atomic_store_n(&board->gone_ns[number], now_ns(), __ATOMIC_SEQ_CST);
        __atomic_store_n(&board->is_streaming[number], 0, __ATOMIC_SEQ_CST);
        CHECK(!board->script || text.n_bytes == 0 || script_has(board->script, 0, text.text, text.n_bytes));
        free(text.text);
        lipc_stream_close(stream);
        lipc_client_close(client);
    }
}

static bool all_stream(const board *board) {
    for (int i = 0; i < CLIENTS; i++)
        if (!NOW(board->is_streaming[i]))
            return false;
    return true;
}

static bool all_have_noticed(const board *board) {
    for (int i = 0; i < CLIENTS; i++)
        if (NOW(board->is_streaming[i]))
            return false;
    return true;
}

/* ---- the answer that lives on ---- */

static lipc_request long_request(const board *board) {
    lipc_request request = request_of("What is C++?");
    request.detachable = request.ignore_eos = 1;
    request.n_predict = board->script ? 1500 : 300;
    request.seed = 42;
    request.temperature = 0.8f;
    return request;
}

static lipc_stream *submit_long(board *board, lipc_client *client) {
    lipc_request request = long_request(board);
    lipc_stream *stream = submit(client, &request);
    CHECK_LIPC(lipc_stream_id(stream, board->id), LIPC_E_OK);
    return stream;
}

/* An owner that is killed with its host. */
static void submit_and_wait(void *data, int number) {
    board *board = data;
    (void)number;
    lipc_stream *stream = submit_long(board, client_of(board->instance));
    reading text = {0};
    read_until(stream, &text, 1);
    __atomic_store_n(&board->is_submitted, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
}

static void compare_and_forget(killing *killing) {
    const reading *expected = &killing->expected, *text = &killing->text;
    CHECK_SAY(text->code == 0, "after %d parts: %s (%s)", killing->n_parts, lipc_error_name(text->code),
              lipc_error_message());
    CHECK_SAY(text->n_bytes == expected->n_bytes && memcmp(text->text, expected->text, text->n_bytes) == 0,
              "read in %d parts: %zu bytes, undisturbed %zu:\n%s\nundisturbed:\n%s", killing->n_parts, text->n_bytes,
              expected->n_bytes, text->text, expected->text);
    free(killing->text.text);
    killing->text = (reading){0};
    killing->n_parts = 0;
    killing->n_answers++;
    killing->board->id[0] = 0;
}

/* Reads on where the last one stopped, and lets go again; or to the end. */
static void read_a_part(killing *killing, lipc_client *client, lipc_stream *stream, size_t n_bytes) {
    reading *text = &killing->text;
    bool goes_on = true;
    killing->n_parts++;
    for (size_t end = text->n_bytes + n_bytes; goes_on && text->n_bytes < end;)
        goes_on = read_some(stream, soon(), text);
    if (goes_on) {
        lipc_stream_detach(stream);
    } else {
        compare_and_forget(killing);
        lipc_stream_close(stream);
    }
    lipc_client_close(client);
}

/* Begins the answer that is to live on, or goes on with it. Returns its owner if that is to die with the host. */
static pid_t go_on(killing *killing) {
    board *board = killing->board;
    bool is_new = board->id[0] == 0;
    if (is_new && test_random(&killing->seed, 3) == 0) {
        board->is_submitted = 0;
        pid_t owner = worker_start(submit_and_wait, board, 0);
        CHECK(WAITED(SOON_MS, NOW(board->is_submitted)));
        return owner;
    }
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream;
    if (is_new)
        stream = submit_long(board, client);
    else
        CHECK_LIPC(lipc_stream_attach(client, board->id, killing->text.n_bytes, 0, &stream), LIPC_E_OK);
    CHECK_SAY(progress_of(stream).n_bytes >= killing->text.n_bytes, "the next host has %llu bytes of what was read up to %zu",
              (unsigned long long)progress_of(stream).n_bytes, killing->text.n_bytes);
    read_a_part(killing, client, stream, 1 + test_random(&killing->seed, 600));
    return 0;
}

/* ---- the killer ---- */

/* Children of the dead supervisor become ours. */
static bool is_gone(pid_t worker) {
    return waitpid(worker, NULL, WNOHANG) == worker || (kill(worker, 0) < 0 && errno == ESRCH);
}

static void kill_supervisor(killing *killing) {
    board *board = killing->board;
    pid_t worker = process_child(killing->host.pid);
    uint64_t killed_ns = now_ns();
    host_kill(&killing->host);
    if (worker > 0) {
        CHECK_SAY(WAITED(SOON_MS, is_gone(worker)), "kill %d: worker %d lives on", killing->n_kills, (int)worker);
        killing->worker_gone_ms = fmax(killing->worker_gone_ms, (double)(now_ns() - killed_ns) / 1e6);
    }
    CHECK_SAY(WAITED(SOON_MS, all_have_noticed(board)), "kill %d: a client does not notice", killing->n_kills);
    for (int i = 0; i < CLIENTS; i++)
        if (board->gone_ns[i] > killed_ns)
            killing->notice_ms = fmax(killing->notice_ms, (double)(board->gone_ns[i] - killed_ns) / 1e6);
    killing->n_kills++;
}

static void start_host(killing *killing) {
    host_start_with(&killing->host, killing->board->instance, NULL, killing->arguments);
}

/* One host's life: from its start to a random moment. */
static void live_and_die(killing *killing) {
    start_host(killing);
    if (test_random(&killing->seed, 4) == 0) {
        test_pause_ms(killing->start_ms * test_random(&killing->seed, 1000) / 1000);
        kill_supervisor(killing);
        return;
    }
    segment segment = segment_of(killing->board->instance, killing->host.pid, LIPC_HUB_STARTING);
    segment_close(&segment);
    pid_t owner = go_on(killing);
    if (test_random(&killing->seed, 2))
        CHECK(WAITED(SOON_MS, all_stream(killing->board)));
    test_pause_ms(10.0 * test_random(&killing->seed, 1000) / 1000);
    if (owner > 0)
        kill(owner, SIGKILL);
    kill_supervisor(killing);
    if (owner > 0)
        worker_kill(owner);
}

static void make_undisturbed(killing *killing) {
    start_host(killing);
    segment segment = segment_of(killing->board->instance, killing->host.pid, LIPC_HUB_READY);
    killing->start_ms = 1.2 * (test_now_ms() - killing->host.started_ms);
    lipc_client *client = client_of(killing->board->instance);
    lipc_stream *stream = submit_long(killing->board, client);
    killing->expected = read_to_end(stream);
    killing->board->id[0] = 0;
    CHECK_SAY(killing->expected.code == 0, "%s (%s)", lipc_error_name(killing->expected.code), lipc_error_message());
    CHECK_INT(killing->expected.n_bytes, >, 600);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&killing->host, &segment);
}

/* The last host serves everybody, and nothing is left of all its forerunners. */
static void serve_at_last(killing *killing, pid_t clients[CLIENTS]) {
    const char *instance = killing->board->instance;
    start_host(killing);
    segment segment = segment_of(instance, killing->host.pid, LIPC_HUB_READY);
    pid_t owner = go_on(killing); /* begins one if there is none */
    CHECK(WAITED(SOON_MS, all_stream(killing->board)));
    __atomic_store_n(&killing->board->may_end, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < CLIENTS; i++)
        worker_wait(clients[i]);
    if (owner > 0)
        worker_kill(owner);
    while (killing->board->id[0] != 0)
        go_on(killing);
    guide_client guide;
    static guide_update update;
    CHECK(guide_open(&guide, instance));
    CHECK(guide_stream(&guide, NULL, QUESTION_MULTIBYTE, soon(), &update));
    check_idle_permits(&guide);
    guide_close(&guide);
    CHECK_INT(hub_in(&segment)->epoch, >, 1);
    end_host(&killing->host, &segment);
}

static void kill_supervisors(const char *suffix, const script *script, const char *const *arguments, int n_kills,
                             uint64_t seed) {
    char instance[64];
    pid_t clients[CLIENTS];
    test_instance(instance, suffix);
    board *board = shared_new(sizeof *board);
    *board = (struct board){.instance = instance, .script = script};
    killing killing = {.board = board, .arguments = arguments, .seed = seed};
    make_undisturbed(&killing);
    int n_fds = process_fd_count(getpid());
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = worker_start(outlive, board, i);
    double begin = test_now_ms();
    while (killing.n_kills < n_kills) {
        live_and_die(&killing);
        for (int i = 0; i < CLIENTS; i++)
            CHECK_SAY(waitpid(clients[i], NULL, WNOHANG) == 0, "client %d has ended: see above", i);
    }
    serve_at_last(&killing, clients);
    printf("  %d kills in %.0f s; %d answers went on through them; longest: worker gone after %.1f ms, client told after "
           "%.1f ms\n", n_kills, (test_now_ms() - begin) / 1e3, killing.n_answers, killing.worker_gone_ms,
           killing.notice_ms);
    CHECK_INT(killing.n_answers, >, 0);
    CHECK_INT(process_fd_count(getpid()), ==, n_fds);
    free(killing.expected.text);
}

int main(int argc, char *argv[]) {
    int n_kills = argc > 1 ? atoi(argv[1]) : 60, n_model_kills = argc > 2 ? atoi(argv[2]) : 6;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    test_begin("supervisor_kills", 120 + (unsigned)(n_kills / 2 + n_model_kills * 5));
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
    script text = script_new(4000);
    test_step("%d kills with a text played back, seed %llu", n_kills, (unsigned long long)seed);
    kill_supervisors("replayed", &text, REPLAY(text, "--rate", "1000", "-np", "5"), n_kills, seed);
    test_step("%d kills with the embedded model", n_model_kills);
    if (n_model_kills > 0)
        kill_supervisors("model", NULL, (const char *const[]){"--log-level", "warn", "-t", "1", "-np", "5", "-c", "2048",
                                                              "-n", "60", "--repeatable", NULL}, n_model_kills, seed);
    free(text.text);
    return test_end();
}
