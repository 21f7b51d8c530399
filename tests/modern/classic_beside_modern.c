/* classic_beside_modern.c - old clients of the guide and modern ones stream at the same time from the same host, and
 * neither has to wait until the other has had all that it asked for. */
#include "modern_test.h"

enum { MODERN = 6 };

typedef struct board {
    const char *instance;
    const script *script;
    int n_streaming, may_end;
} board;

static void stream_modern(void *data, int number) {
    (void)number;
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream = ask_endless(client);
    read_until(stream, &text, 1);
    __atomic_add_fetch(&board->n_streaming, 1, __ATOMIC_SEQ_CST);
    while (!NOW(board->may_end))
        CHECK(read_some(stream, soon(), &text));
    CHECK(script_has(board->script, 0, text.text, text.n_bytes));
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void check_classic(guide_client *client, const script *script, bool stream) {
    static guide_update update;
    CHECK(stream ? guide_stream(client, "a system prompt", QUESTION, soon(), &update)
                 : guide_request(client, NULL, QUESTION, soon(), &update));
    CHECK(update.complete);
    CHECK_TEXT(update.text, script->text);
}

static void side_by_side(const char *instance, const script *script) {
    test_host host;
    guide_client classic;
    pid_t workers[MODERN];
    board *board = shared_new(sizeof *board);
    test_step("%d modern clients and a classic one", MODERN);
    *board = (struct board){.instance = instance, .script = script};
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "1000"));
    CHECK(guide_open_within(&classic, instance, soon()));
    check_classic(&classic, script, true);
    for (int i = 0; i < MODERN; i++)
        workers[i] = worker_start(stream_modern, board, i);
    CHECK(WAITED(SOON_MS, NOW(board->n_streaming) == MODERN));
    for (int i = 0; i < 6; i++) {
        double begin = test_now_ms();
        check_classic(&classic, script, i % 2);
        printf("  classic answer of %d tokens at 1,000 a second: %.0f ms\n", count_tokens(script->text),
               test_now_ms() - begin);
    }
    __atomic_store_n(&board->may_end, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < MODERN; i++)
        worker_wait(workers[i]);
    /* And now nobody but the classic one. */
    check_nothing_left(&segment);
    check_classic(&classic, script, true);
    guide_close(&classic);
    end_host(&host, &segment);
}

/* A modern client has asked for more than there is to have; the classic one comes later and yet has the next turn. */
static void classic_has_its_turn(const char *instance, const script *script) {
    enum { N = 6 };
    test_host host;
    guide_client classic;
    static guide_update update;
    lipc_stream *streams[N];
    test_step("a modern client with %d requests, then the classic one", N);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "400", "-np", "2"));
    CHECK(guide_open_within(&classic, instance, soon()));
    lipc_client *client = client_of(instance);
    for (int i = 0; i < N; i++)
        streams[i] = ask(client, "many");
    CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->n_queued) == N - 2));
    CHECK(guide_send(&classic, NULL, QUESTION, true, soon()));
    CHECK_SAY(WAITED(SOON_MS, NOW(hub_in(&segment)->n_queued) == N - 1), "the classic request does not queue");
    CHECK_INT(progress_of(streams[2]).queue_position, ==, 1); /* behind the classic one */
    CHECK(guide_receive_stream(&classic, soon(), NULL, NULL, &update));
    CHECK_TEXT(update.text, script->text);
    /* The other place went to the modern client all the while, but its last request has not begun. */
    CHECK_INT(progress_of(streams[N - 1]).n_tokens, ==, 0);
    for (int i = 0; i < N; i++) {
        check_whole(streams[i], script);
        lipc_stream_close(streams[i]);
    }
    lipc_client_close(client);
    guide_close(&classic);
    end_host(&host, &segment);
}

/* One client with many requests, then one with one: the second does not wait for all of the first. */
static void modern_clients_are_fair(const char *instance, const script *script) {
    enum { N = 6 };
    test_host host;
    lipc_stream *streams[N];
    test_step("a modern client with %d requests, then another", N);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "400", "-np", "2"));
    lipc_client *greedy = client_of(instance), *modest = client_of(instance);
    for (int i = 0; i < N; i++)
        streams[i] = ask(greedy, "many");
    CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->n_queued) == N - 2));
    lipc_stream *one = ask(modest, "one");
    CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->n_queued) == N - 1));
    CHECK_INT(progress_of(one).queue_position, ==, 0);
    check_whole(one, script);
    CHECK_INT(progress_of(streams[N - 1]).n_tokens, ==, 0);
    lipc_stream_close(one);
    for (int i = 0; i < N; i++)
        lipc_stream_close(streams[i]);
    lipc_client_close(greedy);
    lipc_client_close(modest);
    end_host(&host, &segment);
}

/* Both ask the embedded model at the same time: each gets its own answer. */
static void own_answers(const char *instance) {
    static guide_update expected, update;
    test_host host;
    guide_client classic;
    test_step("each gets its own answer");
    segment segment = host_ready(&host, instance, EMBEDDED("-n", "100"));
    CHECK(guide_open_within(&classic, instance, soon()));
    lipc_client *client = client_of(instance);
    CHECK(guide_stream(&classic, NULL, QUESTION, soon(), &expected));
    lipc_stream *stream = ask(client, QUESTION_MULTIBYTE);
    reading modern = read_to_end(stream);
    CHECK_INT(modern.code, ==, 0);
    lipc_stream_close(stream);
    CHECK(strcmp(modern.text, expected.text) != 0);
    for (int i = 0; i < 10; i++) {
        lipc_stream *streams[3];
        CHECK(guide_send(&classic, NULL, QUESTION, true, soon()));
        for (int k = 0; k < 3; k++)
            streams[k] = ask(client, k == 2 ? QUESTION : QUESTION_MULTIBYTE);
        CHECK(guide_receive_stream(&classic, soon(), NULL, NULL, &update));
        CHECK_TEXT(update.text, expected.text);
        for (int k = 0; k < 3; k++) {
            if (k == 2)
                check_answer(streams[k], expected.text, expected.n_bytes);
            else
                check_answer(streams[k], modern.text, modern.n_bytes);
            lipc_stream_close(streams[k]);
        }
    }
    free(modern.text);
    lipc_client_close(client);
    guide_close(&classic);
    end_host(&host, &segment);
}

int main(void) {
    char instance[64];
    test_begin("classic_beside_modern", 60);
    script script = script_new(1500);
    test_instance(instance, "beside");
    side_by_side(instance, &script);
    classic_has_its_turn(instance, &script);
    modern_clients_are_fair(instance, &script);
    own_answers(instance);
    free(script.text);
    return test_end();
}
