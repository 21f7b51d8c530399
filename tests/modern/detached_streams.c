/* detached_streams.c - a detachable stream goes on without its client, however that ended, and is found again by its
 * id, from any byte on; others end with their client. What nobody owns any more is kept until its place is needed;
 * what is followed is kept until it has been read. */
#include "modern_test.h"

typedef struct board {
    const char *instance;
    const script *script;
    char ids[2][LIPC_STREAM_ID_SIZE]; /* detachable, and not */
    int is_ready;
    size_t n_read;
} board;

static lipc_stream *ask_detachable(lipc_client *client) {
    lipc_request request = request_of("go on without me");
    request.detachable = 1;
    return submit(client, &request);
}

static lipc_stream *ask_detachable_endless(lipc_client *client) {
    lipc_request request = request_of("go on without me");
    request.detachable = request.ignore_eos = 1;
    request.n_predict = -1;
    return submit(client, &request);
}

static void ask_and_die(void *data, int number) {
    (void)number;
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    lipc_stream *detachable = ask_detachable(client), *other = ask(client, "not without me");
    CHECK_LIPC(lipc_stream_id(detachable, board->ids[0]), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_id(other, board->ids[1]), LIPC_E_OK);
    CHECK_INT(strspn(board->ids[0], "0123456789abcdefABCDEF"), ==, 32);
    CHECK(strcmp(board->ids[0], board->ids[1]) != 0);
    read_until(other, &text, 20);
    text = (reading){0};
    read_until(detachable, &text, 20);
    board->n_read = text.n_bytes;
    __atomic_store_n(&board->is_ready, 1, __ATOMIC_RELEASE);
    raise(SIGSTOP);
}

static void client_dies(const char *instance, const script *script) {
    test_host host;
    lipc_stream *stream;
    board *board = shared_new(sizeof *board);
    test_step("the client is killed");
    *board = (struct board){.instance = instance, .script = script};
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "400"));
    pid_t worker = worker_start(ask_and_die, board, 0);
    CHECK(WAITED(SOON_MS, NOW(board->is_ready)));
    worker_kill(worker);
    CHECK(WAITED(SOON_MS, streams_in_use(&segment) == 1 && clients_in_use(&segment) == 0));
    lipc_client *client = client_of(instance);
    CHECK_LIPC(lipc_stream_attach(client, board->ids[1], 0, 0, &stream), LIPC_E_GONE);
    CHECK(stream == NULL);
    CHECK_LIPC(lipc_stream_attach(client, board->ids[0], board->n_read, 0, &stream), LIPC_E_OK);
    CHECK_INT(progress_of(stream).state, ==, LIPC_STREAM_GENERATING);
    reading text = read_to_end(stream);
    CHECK_INT(text.code, ==, 0);
    CHECK_INT(text.from, ==, board->n_read);
    CHECK_TEXT(text.text, script->text + board->n_read);
    free(text.text);

    /* This one now owns it: its close frees it, and then the id leads nowhere. */
    lipc_stream_close(stream);
    CHECK(WAITED(SOON_MS, streams_in_use(&segment) == 0));
    CHECK_LIPC(lipc_stream_attach(client, board->ids[0], 0, 0, &stream), LIPC_E_GONE);
    CHECK_LIPC(lipc_stream_attach(client, "00000000000000000000000000000000", 0, 0, &stream), LIPC_E_GONE);
    CHECK_LIPC(lipc_stream_attach(client, "not an id", 0, 0, &stream), LIPC_E_INVALID);
    CHECK_LIPC(lipc_stream_attach(client, "", 0, 0, &stream), LIPC_E_INVALID);
    CHECK_LIPC(lipc_stream_attach(client, NULL, 0, 0, &stream), LIPC_E_INVALID);
    CHECK_LIPC(lipc_stream_attach(client, "0000000000000000000000000000000000", 0, 0, &stream), LIPC_E_INVALID);
    CHECK(stream == NULL);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void client_lets_go(const char *instance, const script *script) {
    test_host host;
    lipc_stream *stream;
    char ids[3][LIPC_STREAM_ID_SIZE];
    test_step("the client lets go, or is closed");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "1500", "-np", "1"));
    lipc_client *client = client_of(instance), *other = client_of(instance);
    /* The first runs, the others wait for their turn: all of them go on. */
    for (int i = 0; i < 3; i++) {
        stream = ask_detachable(client);
        CHECK_LIPC(lipc_stream_id(stream, ids[i]), LIPC_E_OK);
        if (i < 2)
            lipc_stream_detach(stream);
    }
    lipc_client_close(client);
    lipc_stream_close(stream); /* after its client: it is no longer the owner, and ends nothing */
    /* One that is not detachable is closed by letting go. */
    lipc_stream_detach(ask(other, "ends"));
    for (int i = 0; i < 3; i++) {
        CHECK_LIPC(lipc_stream_attach(other, ids[i], 0, 0, &stream), LIPC_E_OK);
        check_whole(stream, script);
        lipc_stream_close(stream);
    }
    CHECK(WAITED(SOON_MS, streams_in_use(&segment) == 0));
    lipc_stream_detach(NULL);
    lipc_client_close(other);
    end_host(&host, &segment);
}

/* Only one owner: the second to attach follows, and its close ends nothing. */
static void owner_and_follower(const char *instance, const script *script) {
    test_host host;
    lipc_stream *owned, *followed;
    reading text = {0}, followed_text = {0};
    char id[LIPC_STREAM_ID_SIZE];
    test_step("an owner and followers");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "400"));
    lipc_client *first = client_of(instance), *second = client_of(instance), *third = client_of(instance);
    lipc_stream *stream = ask_detachable_endless(first);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    lipc_stream_detach(stream);
    CHECK_LIPC(lipc_stream_attach(second, id, 0, 0, &owned), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_attach(third, id, 0, 0, &followed), LIPC_E_OK);
    read_until(owned, &text, 1);
    read_until(followed, &followed_text, 1);
    lipc_stream_cancel(followed);
    lipc_stream_close(followed);
    CHECK_LIPC(lipc_stream_attach(third, id, 0, 0, &followed), LIPC_E_OK);
    followed_text.n_bytes = 0;
    read_until(owned, &text, 400);
    CHECK_INT(progress_of(owned).state, ==, LIPC_STREAM_GENERATING);

    /* The owner closes it in the middle: the follower reads what there is, to its end. */
    lipc_stream_close(owned);
    while (read_some(followed, soon(), &followed_text))
        ;
    CHECK_SAY(followed_text.code == LIPC_E_CANCELLED, "%s: %s", lipc_error_name(followed_text.code),
              lipc_error_message());
    CHECK_INT(followed_text.n_bytes, >=, 400);
    CHECK(script_has(script, 0, followed_text.text, followed_text.n_bytes));
    lipc_stream_close(followed);
    CHECK(WAITED(SOON_MS, streams_in_use(&segment) == 0));

    /* The owner closes it after its end, before the follower has read anything. */
    stream = ask(first, "whole");
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_attach(third, id, 0, 1, &followed), LIPC_E_OK);
    check_whole(stream, script);
    lipc_stream_close(stream);
    check_whole(followed, script);
    lipc_stream_close(followed);
    CHECK(WAITED(SOON_MS, streams_in_use(&segment) == 0));

    /* The owner's process leaves altogether. */
    stream = ask(first, "left");
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_attach(third, id, 0, 1, &followed), LIPC_E_OK);
    followed_text.n_bytes = 0;
    read_until(followed, &followed_text, 1);
    lipc_client_close(first);
    while (read_some(followed, soon(), &followed_text))
        ;
    CHECK_INT(followed_text.code, ==, LIPC_E_CANCELLED);
    CHECK(test_is_prefix(followed_text.text, followed_text.n_bytes, script->text));
    lipc_stream_close(followed);
    lipc_stream_close(stream);
    lipc_client_close(second);
    lipc_client_close(third);
    free(text.text);
    free(followed_text.text);
    end_host(&host, &segment);
}

/* What has ended and nobody owns stays until its place is needed, and then the one that ended first goes first. */
static void places_are_needed(const char *instance, const script *script) {
    enum { STREAMS = 3 };
    test_host host;
    char ids[STREAMS][LIPC_STREAM_ID_SIZE];
    lipc_stream *streams[STREAMS], *stream, *follower;
    test_step("places are needed");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0", "--streams", "3"));
    lipc_client *client = client_of(instance), *other = client_of(instance);
    for (int i = 0; i < STREAMS; i++) {
        stream = ask_detachable(client);
        CHECK_LIPC(lipc_stream_id(stream, ids[i]), LIPC_E_OK);
        check_whole(stream, script);
        lipc_stream_detach(stream);
    }
    CHECK_INT(streams_in_use(&segment), ==, STREAMS);
    lipc_client_close(client);
    CHECK_LIPC(lipc_stream_attach(other, ids[0], 0, 1, &follower), LIPC_E_OK);
    for (int i = 0; i < STREAMS; i++) {
        for (int k = 0; k < STREAMS; k++)
            CHECK_SAY((stream_with_id(&segment, ids[k]) >= 0) == (k >= i), "after %d more requests stream %d is %s", i,
                      k, k >= i ? "gone" : "still there");
        streams[i] = ask(other, "more");
        check_whole(streams[i], script);
    }
    /* The follower's was taken away under its eyes. */
    lipc_delta delta;
    CHECK_LIPC(lipc_stream_read(follower, 0, &delta), LIPC_E_GONE);
    CHECK_LIPC(lipc_stream_attach(other, ids[1], 0, 0, &stream), LIPC_E_GONE);
    lipc_stream_close(follower);
    for (int i = 0; i < STREAMS; i++)
        lipc_stream_close(streams[i]);
    lipc_client_close(other);
    end_host(&host, &segment);
}

int main(void) {
    char instance[64];
    test_begin("detached_streams", 60);
    script script = script_new(1500);
    test_instance(instance, "detached");
    client_dies(instance, &script);
    client_lets_go(instance, &script);
    owner_and_follower(instance, &script);
    places_are_needed(instance, &script);
    free(script.text);
    return test_end();
}
