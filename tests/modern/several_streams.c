/* several_streams.c - several streams over one waiter, several threads on one client, interrupting, time-outs, and
 * closing in any order. */
#include "modern_test.h"

#include <pthread.h>

enum { STREAMS = 6, THREADS = 6 };

/* ---- One waiter ---- */

static void waiter(const char *instance, const script *script) {
    test_host host;
    lipc_stream *streams[STREAMS], *left[STREAMS];
    reading texts[STREAMS] = {{0}};
    int turns[STREAMS] = {0}, which[STREAMS];
    size_t n_left = STREAMS;
    test_step("one waiter for %d streams", STREAMS);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "500"));
    lipc_client *client = client_of(instance);
    for (int i = 0; i < STREAMS; i++) {
        lipc_request request = request_of("several");
        request.n_predict = 50 * (i + 1);
        left[i] = streams[i] = submit(client, &request);
        which[i] = i;
    }
    while (n_left > 0) {
        size_t index;
        CHECK_LIPC(lipc_stream_wait_any(left, n_left, soon(), &index), LIPC_E_OK);
        CHECK_INT(index, <, n_left);
        int i = which[index];
        turns[i]++;
        bool has_text = read_some(left[index], 0, &texts[i]);
        CHECK_SAY(texts[i].code == 0, "there was nothing to read: %s", lipc_error_name(texts[i].code));
        if (has_text)
            continue;
        CHECK_INT(texts[i].n_bytes, ==, tokens_end(script, 50 * (i + 1)));
        CHECK(test_is_prefix(texts[i].text, texts[i].n_bytes, script->text));
        n_left--;
        left[index] = left[n_left];
        which[index] = which[n_left];
    }
    for (int i = 0; i < STREAMS; i++)
        CHECK_SAY(turns[i] > 10, "stream %d had %d turns", i, turns[i]);

    /* All have ended: each still counts, in its turn. */
    unsigned seen = 0;
    for (int i = 0; i < STREAMS; i++) {
        size_t index;
        CHECK_LIPC(lipc_stream_wait_any(streams, STREAMS, 0, &index), LIPC_E_OK);
        seen |= 1u << index;
    }
    CHECK_SAY(seen == (1u << STREAMS) - 1, "some are left out: %x", seen);
    lipc_client *other = client_of(instance);
    lipc_stream *mixed[2] = {streams[0], ask(other, "another client's")};
    size_t index;
    CHECK_LIPC(lipc_stream_wait_any(mixed, 2, 0, &index), LIPC_E_INVALID);
    CHECK_LIPC(lipc_stream_wait_any(NULL, 2, 0, &index), LIPC_E_INVALID);
    CHECK_LIPC(lipc_stream_wait_any(streams, 0, 0, &index), LIPC_E_INVALID);
    lipc_stream_close(mixed[1]);
    lipc_client_close(other);
    for (int i = 0; i < STREAMS; i++) {
        lipc_stream_close(streams[i]);
        free(texts[i].text);
    }
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* ---- Threads ---- */

typedef struct reader {
    lipc_client *client;
    const script *script;
    pthread_t thread;
    int code;
    int is_waiting;
} reader;

static void *read_many(void *data) {
    reader *reader = data;
    for (int i = 0; i < 20; i++) {
        lipc_stream *stream = ask(reader->client, "a thread of many");
        check_whole(stream, reader->script);
        lipc_stream_close(stream);
    }
    return NULL;
}

static void threads(const char *instance, const script *script) {
    test_host host;
    reader readers[THREADS];
    test_step("%d threads with streams of one client, fewer places than threads", THREADS);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "20000", "--streams", "4"));
    lipc_client *client = client_of(instance);
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (reader){.client = client, .script = script};
        CHECK_INT(pthread_create(&readers[i].thread, NULL, read_many, &readers[i]), ==, 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_join(readers[i].thread, NULL), ==, 0);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* ---- Interrupting, time-outs ---- */

static void *read_and_wait(void *data) {
    reader *reader = data;
    reading text = {0};
    size_t index;
    lipc_stream *stream = ask(reader->client, "once in a while");
    read_until(stream, &text, 1);
    __atomic_store_n(&reader->is_waiting, 1, __ATOMIC_SEQ_CST);
    if (reader->code) {
        reader->code = lipc_stream_wait_any(&stream, 1, -1, &index);
    } else {
        read_some(stream, -1, &text);
        reader->code = text.code;
    }
    /* The stream goes on. */
    CHECK_INT(progress_of(stream).state, ==, LIPC_STREAM_GENERATING);
    free(text.text);
    lipc_stream_close(stream);
    return NULL;
}

static void interrupting(const char *instance, const script *script) {
    test_host host;
    lipc_delta delta;
    size_t index;
    reader readers[2];
    test_step("interrupting, time-outs");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0.01"));
    lipc_client *client = client_of(instance);
    for (int i = 0; i < 2; i++) {
        readers[i] = (reader){.client = client, .script = script, .code = i};
        CHECK_INT(pthread_create(&readers[i].thread, NULL, read_and_wait, &readers[i]), ==, 0);
        CHECK(WAITED(SOON_MS, NOW(readers[i].is_waiting)));
    }
    /* One that comes before the call is not remembered: until both have been caught. */
    for (int i = 0; i < 2; i++)
        while (pthread_tryjoin_np(readers[i].thread, NULL) != 0) {
            lipc_client_interrupt(client);
            test_breathe();
        }
    for (int i = 0; i < 2; i++)
        CHECK_INT(readers[i].code, ==, LIPC_E_CANCELLED);
    lipc_client_interrupt(NULL);

    lipc_stream *stream = ask(client, "once in a while");
    CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_read(stream, 0, &delta), LIPC_E_TIMEOUT);
    double begin = test_now_ms();
    CHECK_LIPC(lipc_stream_read(stream, 30, &delta), LIPC_E_TIMEOUT);
    CHECK(test_now_ms() - begin >= 29);
    begin = test_now_ms();
    CHECK_LIPC(lipc_stream_wait_any(&stream, 1, 30, &index), LIPC_E_TIMEOUT);
    CHECK(test_now_ms() - begin >= 29);
    CHECK_LIPC(lipc_stream_wait_any(&stream, 1, 0, &index), LIPC_E_TIMEOUT);
    CHECK_LIPC(lipc_stream_read(NULL, 0, &delta), LIPC_E_INVALID);
    CHECK_LIPC(lipc_stream_read(stream, 0, NULL), LIPC_E_INVALID);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* ---- Streams that join and leave while somebody waits ---- */

typedef struct waiting {
    lipc_client *client;
    pthread_t thread;
    lipc_stream *found;
    int code;
} waiting;

static void *wait_for_any(void *data) {
    waiting *waiting = data;
    waiting->found = (lipc_stream *)waiting; /* so that NULL is an answer */
    waiting->code = lipc_client_wait_any(waiting->client, soon(), &waiting->found);
    return NULL;
}

static void start_waiting(waiting *waiting) {
    CHECK_INT(pthread_create(&waiting->thread, NULL, wait_for_any, waiting), ==, 0);
    test_breathe();
}

static void check_found(waiting *waiting, lipc_stream *expected) {
    CHECK_INT(pthread_join(waiting->thread, NULL), ==, 0);
    CHECK_LIPC(waiting->code, LIPC_E_OK);
    CHECK_SAY(waiting->found == expected, "not the stream that was to be found");
}

/* One whose first token has been read and whose second never comes. */
static lipc_stream *silent_stream(lipc_client *client) {
    lipc_delta delta;
    lipc_stream *stream = ask(client, "once in a while");
    CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), LIPC_E_OK);
    return stream;
}

static void joining(const char *instance, const script *script) {
    test_host host;
    test_step("joining and leaving while somebody waits");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0.01", "--streams", "8"));
    waiting waiting = {.client = client_of(instance)};
    lipc_client *client = waiting.client;
    wait_for_any(&waiting);
    CHECK_LIPC(waiting.code, LIPC_E_OK);
    CHECK_SAY(waiting.found == NULL, "found one although none is awaited");

    lipc_stream *silent = silent_stream(client);
    CHECK_LIPC(lipc_stream_await(silent, 1), LIPC_E_OK);
    CHECK_LIPC(lipc_client_wait_any(client, 0, &waiting.found), LIPC_E_TIMEOUT);
    for (int i = 0; i < 20; i++) { /* text that comes behind the joining, and text that was there before */
        start_waiting(&waiting);
        lipc_stream *joined = ask(client, "later");
        if (i % 2 == 1) CHECK(WAITED(SOON_MS, progress_of(joined).n_bytes > 0));
        CHECK_LIPC(lipc_stream_await(joined, 1), LIPC_E_OK);
        CHECK_LIPC(lipc_stream_await(joined, 1), LIPC_E_OK);
        check_found(&waiting, joined);
        lipc_stream_close(joined);
    }
    lipc_stream *second = silent_stream(client);
    CHECK_LIPC(lipc_stream_await(second, 1), LIPC_E_OK);
    start_waiting(&waiting);
    CHECK_LIPC(lipc_stream_await(silent, 0), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_await(silent, 0), LIPC_E_OK);
    lipc_stream_close(second); /* the last one leaves */
    check_found(&waiting, NULL);

    CHECK_LIPC(lipc_stream_await(silent, 1), LIPC_E_OK);
    start_waiting(&waiting);
    while (pthread_tryjoin_np(waiting.thread, NULL) != 0) {
        lipc_client_interrupt(client);
        test_breathe();
    }
    CHECK_LIPC(waiting.code, LIPC_E_CANCELLED);
    CHECK_LIPC(lipc_client_wait_any(client, 30, &waiting.found), LIPC_E_TIMEOUT);
    CHECK_LIPC(lipc_client_wait_any(NULL, 0, &waiting.found), LIPC_E_INVALID);
    CHECK_LIPC(lipc_client_wait_any(client, 0, NULL), LIPC_E_INVALID);
    CHECK_LIPC(lipc_stream_await(NULL, 1), LIPC_E_INVALID);
    start_waiting(&waiting);
    host_kill(&host);
    check_found(&waiting, silent);
    segment_close(&segment);
    lipc_stream_close(silent);
    lipc_client_close(client);
}

/* One thread reads several streams, each of which it awaits again when it has read it. */
static void awaiting(const char *instance, const script *script, int wakes_per_second) {
    test_host host;
    reading texts[STREAMS] = {{0}};
    lipc_stream *streams[STREAMS], *found;
    int turns[STREAMS] = {0};
    test_step("awaited again and again, %d wakes a second", wakes_per_second);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "500"));
    lipc_client_options options = {0};
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    options.wakes_per_second = wakes_per_second;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    for (int i = 0; i < STREAMS; i++) {
        streams[i] = ask(client, "several");
        CHECK_LIPC(lipc_stream_await(streams[i], 1), LIPC_E_OK);
    }
    for (;;) {
        CHECK_LIPC(lipc_client_wait_any(client, soon(), &found), LIPC_E_OK);
        if (!found) break;
        int i = 0;
        while (streams[i] != found) i++;
        turns[i]++;
        if (read_some(found, 0, &texts[i])) CHECK_LIPC(lipc_stream_await(found, 1), LIPC_E_OK);
    }
    for (int i = 0; i < STREAMS; i++) {
        CHECK_TEXT(texts[i].text, script->text);
        CHECK_SAY(turns[i] > 10, "stream %d had %d turns", i, turns[i]);
        lipc_stream_close(streams[i]);
        free(texts[i].text);
    }
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* ---- The callback style ---- */

typedef struct called {
    reading text;
    int n_calls, stop_after;
} called;

static int on_delta(void *user_data, const lipc_delta *delta) {
    called *called = user_data;
    reading_add(&called->text, delta);
    return ++called->n_calls == called->stop_after;
}

static void callbacks(const char *instance, const script *script) {
    test_host host;
    called all = {0}, some = {.stop_after = 3}, late = {0};
    test_step("the callback style");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "1000"));
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "call me");
    CHECK_LIPC(lipc_stream_run(stream, soon(), on_delta, &all), LIPC_E_OK);
    CHECK_TEXT(all.text.text, script->text);
    CHECK_INT(all.n_calls, >, 10);
    CHECK_LIPC(lipc_stream_run(stream, soon(), on_delta, &late), LIPC_E_OK);
    CHECK_INT(late.n_calls, ==, 0);
    lipc_stream_close(stream);
    stream = ask(client, "call me");
    CHECK_LIPC(lipc_stream_run(stream, soon(), on_delta, &some), LIPC_E_CANCELLED);
    CHECK(WAITED(SOON_MS, progress_of(stream).end == LIPC_END_CANCELLED));
    lipc_stream_close(stream);
    stream = ask(client, "call me");
    CHECK_LIPC(lipc_stream_run(stream, 30, on_delta, &late), LIPC_E_TIMEOUT);
    read_until(stream, &late.text, script->n_bytes);
    CHECK_TEXT(late.text.text, script->text);
    lipc_stream_close(stream);
    lipc_client_close(client);
    free(all.text.text);
    free(some.text.text);
    free(late.text.text);
    end_host(&host, &segment);
}

/* ---- Closing ---- */

static void closing(const char *instance, const script *script) {
    test_host host;
    lipc_delta delta;
    lipc_stream *streams[3], *none;
    lipc_progress progress;
    char id[LIPC_STREAM_ID_SIZE];
    test_step("closing in any order");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "500", "--streams", "2", "-np", "1"));
    for (int order = 0; order < 6; order++) {
        lipc_client *client = client_of(instance);
        /* One that runs, one that waits for its turn, one that waits for a stream. */
        for (int i = 0; i < 3; i++)
            streams[i] = ask(client, "to be closed");
        CHECK_LIPC(lipc_stream_read(streams[0], soon(), &delta), LIPC_E_OK);
        char kept[64];
        size_t n_kept = delta.n_bytes < sizeof kept ? delta.n_bytes : sizeof kept;
        memcpy(kept, delta.text, n_kept);
        if (order >= 3)
            lipc_client_close(client);
        if (order >= 3) {
            CHECK(memcmp(kept, delta.text, n_kept) == 0);
            for (int i = 0; i < 3; i++) {
                int code;
                while ((code = lipc_stream_read(streams[i], 100, &delta)) == 0 && delta.n_bytes > 0)
                    ;
                /* The host may have ended the work by now, and that still shows. */
                CHECK_SAY(code == LIPC_E_HOST_GONE || code == LIPC_E_CANCELLED, "after the client's close: %s",
                          lipc_error_name(code));
                code = lipc_stream_progress(streams[i], &progress);
                CHECK_SAY(code < 0 || progress.end == LIPC_END_CANCELLED, "progress: end %d", progress.end);
                CHECK_LIPC(lipc_stream_id(streams[i], id), LIPC_E_OK);
                lipc_stream_cancel(streams[i]);
            }
        }
        for (int i = 0; i < 3; i++)
            lipc_stream_close(streams[(i + order) % 3]);
        if (order < 3)
            lipc_client_close(client);
        check_nothing_left(&segment);
    }
    lipc_client_close(NULL);
    lipc_stream_close(NULL);
    CHECK_LIPC(lipc_stream_ask(NULL, "hello", &none), LIPC_E_INVALID);

    /* With the host gone. */
    lipc_client *client = client_of(instance);
    streams[0] = ask(client, "to be closed");
    streams[1] = ask(client, "to be closed");
    segment_close(&segment);
    host_kill(&host);
    lipc_stream_close(streams[1]);
    lipc_client_close(client);
    lipc_stream_close(streams[0]);
    segment = host_ready(&host, instance, REPLAY(*script, "--rate", "500", "--streams", "2", "-np", "1"));
    end_host(&host, &segment);
}

int main(void) {
    char instance[64];
    test_begin("several_streams", 60);
    script script = script_new(3000), brief = script_new(600);
    test_instance(instance, "several");
    waiter(instance, &script);
    threads(instance, &script);
    interrupting(instance, &script);
    joining(instance, &script);
    awaiting(instance, &script, 0);
    awaiting(instance, &script, 30);
    callbacks(instance, &brief);
    closing(instance, &script);
    free(script.text);
    free(brief.text);
    return test_end();
}
