/* scenarios.c - see scenarios.h. */
#include "scenarios.h"

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        int got_ = (call);                                                                                             \
        if (got_ < 0)                                                                                                  \
            return got_;                                                                                               \
    } while (0)

script script_load(const char *path) {
    script loaded = {0};
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_SAY(fd >= 0 && fstat(fd, &status) == 0, "%s: %s", path, strerror(errno));
    loaded.n_bytes = (size_t)status.st_size;
    loaded.text = calloc(1, loaded.n_bytes + 1);
    CHECK(loaded.text && pread(fd, loaded.text, loaded.n_bytes, 0) == (ssize_t)loaded.n_bytes);
    close(fd);
    snprintf(loaded.path, sizeof loaded.path, "%s", path);
    return loaded;
}

/* Behind so many tokens; further than what is read token by token. */
enum { CALL_BEHIND = 40, CALL_TOKENS = 3 };
static const char call_lines[] = "call \"\" \"tool\"\narguments \"{\\\"a\\\": \"\narguments \"1}\"\n";
static const char call_arguments[] = "{\"a\": 1}";

script script_with_parts(const script *plain) {
    script made = {.text = plain->text, .n_bytes = plain->n_bytes};
    int fd = memfd_create("script", MFD_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(dup(fd), "w") : NULL;
    CHECK(file != NULL);
    fprintf(file, "lipc replay 1\nanswer\n");
    const char *at = plain->text;
    for (int i = 0; *at; i++) {
        size_t n_bytes = token_bytes(at);
        if (i == CALL_BEHIND) fprintf(file, "%s", call_lines);
        fprintf(file, "text \"");
        for (size_t k = 0; k < n_bytes; k++) at[k] == '\n' ? fprintf(file, "\\n") : fputc(at[k], file);
        fprintf(file, "\"\n");
        at += n_bytes;
    }
    CHECK(fclose(file) == 0);
    snprintf(made.path, sizeof made.path, "/proc/%d/fd/%d", (int)getpid(), fd);
    return made;
}

/* ---- modern ---- */

static int open_client(const char *instance, int wakes_per_second, lipc_client **client) {
    lipc_client_options options;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = soon();
    options.wakes_per_second = wakes_per_second;
    return lipc_client_open(&options, client);
}

int read_checked(lipc_stream *stream, const script *script, size_t n_bytes, size_t *n_read) {
    while (*n_read < n_bytes) {
        lipc_delta delta;
        TRY(lipc_stream_read(stream, soon(), &delta));
        if (delta.n_bytes == 0)
            return LIPC_E_OK;
        CHECK_INT(delta.offset, ==, *n_read);
        CHECK_SAY(script_has(script, delta.offset, delta.text, delta.n_bytes), "wrong text at %zu: \"%.*s\"", *n_read,
                  (int)delta.n_bytes, delta.text);
        *n_read += delta.n_bytes;
    }
    return LIPC_E_OK;
}

/* The answer is exactly these bytes of the script, and then over. */
static int read_exactly(lipc_stream *stream, const script *script, size_t n_bytes) {
    size_t n_read = 0;
    TRY(read_checked(stream, script, SIZE_MAX, &n_read));
    CHECK_INT(n_read, ==, n_bytes);
    return LIPC_E_OK;
}

static int open_stream(lipc_client *client, int n_predict, bool detachable, lipc_stream **stream) {
    lipc_request request = request_of("tell");
    request.n_predict = n_predict;
    request.detachable = detachable;
    return lipc_stream_open(client, &request, stream);
}

enum { N_SHORT = 12, N_AT_ONCE = 6 };

/* More requests than the host has places: the last ones wait, give up, and wait again. */
static int queue(lipc_client *client, const script *script) {
    lipc_stream *streams[N_AT_ONCE];
    for (int i = 0; i < N_AT_ONCE; i++)
        TRY(open_stream(client, N_SHORT, false, &streams[i]));
    for (int i = N_AT_ONCE - 1; i >= N_AT_ONCE / 2; i--) {
        lipc_stream_cancel(streams[i]);
        lipc_stream_close(streams[i]);
    }
    for (int i = N_AT_ONCE / 2; i < N_AT_ONCE; i++)
        TRY(open_stream(client, N_SHORT, false, &streams[i]));
    for (int i = 0; i < N_AT_ONCE; i++) {
        lipc_progress progress;
        TRY(lipc_stream_progress(streams[i], &progress));
        TRY(read_exactly(streams[i], script, tokens_end(script, N_SHORT)));
        lipc_stream_close(streams[i]);
    }
    return LIPC_E_OK;
}

/* Followed by another handle, which also keeps it; let go; found again by its id. */
static int detach_and_follow(lipc_client *client, const script *script) {
    char id[LIPC_STREAM_ID_SIZE];
    lipc_stream *stream, *follower;
    size_t n_read = 0;
    TRY(open_stream(client, -1, true, &stream));
    TRY(read_checked(stream, script, 1, &n_read)); /* it has a place now */
    TRY(lipc_stream_id(stream, id));
    TRY(lipc_stream_attach(client, id, 0, 1, &follower));
    lipc_stream_detach(stream);
    TRY(lipc_stream_attach(client, id, 0, 0, &stream));
    TRY(read_exactly(follower, script, script->n_bytes));
    lipc_stream_close(follower);
    TRY(read_exactly(stream, script, script->n_bytes));
    lipc_stream_close(stream);
    return LIPC_E_OK;
}

/* Requests that wait for a place without a handle. */
static int detach_while_waiting(lipc_client *client) {
    lipc_stream *streams[N_AT_ONCE];
    for (int i = 0; i < N_AT_ONCE; i++)
        TRY(open_stream(client, N_SHORT, true, &streams[i]));
    for (int i = 0; i < N_AT_ONCE; i++)
        lipc_stream_detach(streams[i]);
    return LIPC_E_OK;
}

static int endless(lipc_client *client, lipc_stream **stream) {
    lipc_request request = request_of("go on");
    request.ignore_eos = 1;
    request.n_predict = -1;
    return lipc_stream_open(client, &request, stream);
}

static int cancel(lipc_client *client, const script *script) {
    lipc_stream *stream;
    size_t n_read = 0;
    TRY(endless(client, &stream));
    TRY(read_checked(stream, script, 200, &n_read));
    lipc_stream_cancel(stream);
    int result = read_checked(stream, script, SIZE_MAX, &n_read);
    if (result != LIPC_E_CANCELLED)
        return result;
    lipc_stream_close(stream);
    return LIPC_E_OK;
}

static int be_refused(lipc_client *client) {
    lipc_stream *stream;
    lipc_delta delta;
    lipc_request request = request_of("tell");
    request.grammar = "root = not a grammar";
    TRY(lipc_stream_open(client, &request, &stream));
    int result = lipc_stream_read(stream, soon(), &delta);
    CHECK_INT(result, !=, LIPC_E_OK);
    if (result != LIPC_E_REFUSED)
        return result;
    lipc_stream_close(stream);
    return LIPC_E_OK;
}

static int be_paced(const char *instance, const script *script) {
    lipc_client *client;
    lipc_stream *stream;
    TRY(open_client(instance, 50, &client));
    TRY(open_stream(client, -1, false, &stream));
    TRY(read_exactly(stream, script, script->n_bytes));
    lipc_stream_close(stream);
    lipc_client_close(client);
    return LIPC_E_OK;
}

/* All parts: the text, and the call in its place. */
static int read_parts(lipc_client *client, const script *script) {
    lipc_stream *stream;
    size_t n_read = 0, n_arguments = 0;
    TRY(open_stream(client, -1, false, &stream));
    for (;;) {
        lipc_part_delta delta;
        TRY(lipc_stream_read_part(stream, soon(), &delta));
        if (delta.n_bytes == 0 && !delta.begins) break;
        if (delta.kind == LIPC_PART_TEXT) {
            CHECK_SAY(delta.offset == n_read && script_has(script, n_read, delta.text, delta.n_bytes), "wrong text at %zu",
                      n_read);
            n_read += delta.n_bytes;
            continue;
        }
        CHECK(delta.kind == LIPC_PART_CALL && delta.part == 0 && strcmp(delta.name, "tool") == 0);
        CHECK_SAY(n_read == tokens_end(script, CALL_BEHIND), "the call is at %zu", n_read);
        CHECK(delta.offset == n_arguments && n_arguments + delta.n_bytes < sizeof call_arguments);
        CHECK(memcmp(delta.text, call_arguments + n_arguments, delta.n_bytes) == 0);
        n_arguments += delta.n_bytes;
    }
    CHECK(n_read == script->n_bytes && n_arguments == sizeof call_arguments - 1);
    lipc_stream_close(stream);
    return LIPC_E_OK;
}

int scenario_modern(const char *instance, const script *script) {
    lipc_client *client;
    lipc_stream *stream;
    size_t n_read = 0;
    TRY(open_client(instance, 0, &client));
    TRY(lipc_client_wait_ready(client, soon(), NULL, NULL));
    TRY(queue(client, script));
    TRY(detach_and_follow(client, script));
    TRY(read_parts(client, script));
    TRY(cancel(client, script));
    TRY(be_refused(client));
    TRY(be_paced(instance, script));
    TRY(detach_while_waiting(client));
    TRY(endless(client, &stream));
    TRY(read_checked(stream, script, 50, &n_read));
    lipc_client_close(client);
    lipc_stream_close(stream);
    return LIPC_E_OK;
}

int scenario_modern_shutdown(const char *instance, const script *script) {
    lipc_client *client;
    lipc_stream *stream;
    TRY(open_client(instance, 0, &client));
    TRY(open_stream(client, N_SHORT, false, &stream));
    TRY(read_exactly(stream, script, tokens_end(script, N_SHORT)));
    lipc_stream_close(stream);
    TRY(lipc_client_shutdown(client, soon()));
    lipc_client_close(client);
    return LIPC_E_OK;
}

/* ---- classic ---- */

enum { LOST_MS = 5000 }; /* for an answer whose turn is taken away: that does not come */

typedef struct classic_watch {
    const script *script;
    int cancel_at; /* this update; 0: never */
    int n_updates;
    guide_client *thief; /* takes the turn away with the third update; NULL: nobody does */
    double first_ms; /* when the first text came */
} classic_watch;

static int on_update(void *user_data, const lipc_classic_result *update) {
    classic_watch *watch = user_data;
    CHECK_SAY(update->n_bytes <= watch->script->n_bytes && script_has(watch->script, 0, update->text, update->n_bytes),
              "wrong text: \"%.300s\"", update->text);
    if (update->n_bytes > 0 && watch->first_ms == 0)
        watch->first_ms = test_now_ms();
    if (watch->thief && watch->n_updates == 2)
        memset(watch->thief->block + 40972, 0x77, 4);
    return ++watch->n_updates == watch->cancel_at;
}

static int ask_classic(lipc_classic *handle, const script *script, bool stream) {
    lipc_classic_result result;
    classic_watch watch = {.script = script};
    TRY(stream ? lipc_classic_stream(handle, "be brief", "tell", soon(), on_update, &watch, &result)
               : lipc_classic_request(handle, NULL, "tell", soon(), &result));
    CHECK_SAY(result.n_bytes == script->n_bytes, "%zu bytes of %zu, %s, %d updates", (size_t)result.n_bytes,
              script->n_bytes, stream ? "streaming" : "at once", (int)result.n_updates);
    CHECK_TEXT(result.text, script->text);
    return LIPC_E_OK;
}

static int cancel_classic(lipc_classic *handle, const script *script) {
    lipc_classic_result result;
    classic_watch watch = {.script = script, .cancel_at = 3};
    int got = lipc_classic_stream(handle, NULL, "tell", soon(), on_update, &watch, &result);
    return got == LIPC_E_CANCELLED ? LIPC_E_OK : got;
}

/* What a client sees that was stopped, and finds another one's request in the block. */
static int lose_turn(lipc_classic *handle, const char *instance, const script *script) {
    guide_client thief;
    lipc_classic_result result;
    classic_watch watch = {.script = script, .thief = &thief};
    if (!guide_open_within(&thief, instance, soon()))
        return LIPC_E_NO_HOST;
    int got = lipc_classic_stream(handle, NULL, "tell", (int)test_scaled(LOST_MS), on_update, &watch, &result);
    guide_close(&thief);
    if (got != LIPC_E_TIMEOUT)
        return got;
    CHECK_SAY(!result.complete && script_has(script, 0, result.text, result.n_bytes), "wrong text: \"%.300s\"",
              result.text);
    return LIPC_E_OK;
}

int scenario_classic(const char *instance, const script *script) {
    lipc_classic *handle;
    TRY(lipc_classic_open(instance, &handle));
    TRY(lipc_classic_connect(handle, soon()));
    TRY(ask_classic(handle, script, true));
    TRY(ask_classic(handle, script, false));
    TRY(cancel_classic(handle, script));
    TRY(lose_turn(handle, instance, script));
    TRY(ask_classic(handle, script, true));
    lipc_classic_close(handle);
    return LIPC_E_OK;
}

int scenario_classic_shutdown(const char *instance, const script *script) {
    lipc_classic *handle;
    (void)script;
    TRY(lipc_classic_open(instance, &handle));
    TRY(lipc_classic_connect(handle, soon()));
    TRY(lipc_classic_shutdown(handle, soon()));
    lipc_classic_close(handle);
    return LIPC_E_OK;
}

enum { RUDE_MS = 2000, LATE_MS = 350 };

/* What is there now is a part of the text, and perhaps all of it. */
static void look_rudely(const guide_client *client, const script *script) {
    static guide_update update;
    guide_read(client, &update);
    CHECK_SAY(update.n_bytes <= script->n_bytes && script_has(script, 0, update.text, update.n_bytes),
              "wrong text: \"%.300s\"", update.text);
}

int scenario_rudely(const char *instance, const script *script) {
    guide_client client;
    int timeout_ms = (int)test_scaled(RUDE_MS);
    if (!guide_open_within(&client, instance, soon()))
        return LIPC_E_NO_HOST;
    memset(client.block + 40972, 0x55, 4); /* as if a program that is dead had left it */
    if (guide_send(&client, NULL, "tell", false, timeout_ms)) {
        WAITED(RUDE_MS, client.block[40966]);
        test_pause_ms(LATE_MS); /* the host gives up waiting for it, and pays when it comes */
        guide_take(client.response_written, timeout_ms);
        look_rudely(&client, script);
    }
    for (int i = 0; i < 3 && guide_send(&client, NULL, "tell", false, timeout_ms); i++) {
        WAITED(RUDE_MS, client.block[40966]);
        guide_write(&client, NULL, "and again", true);
        sem_post(client.prompts_written);
        /* The host takes it while this client's answer is not yet taken. On a busy machine that would otherwise be mere luck. */
        WAITED(RUDE_MS, guide_value(client.prompts_written) == 0);
        guide_take(client.response_written, timeout_ms);
        WAITED(RUDE_MS, client.block[40966]);
        look_rudely(&client, script);
        guide_take(client.response_written, timeout_ms);
    }
    if (guide_take(client.ready, timeout_ms))
        WAITED(RUDE_MS, guide_value(client.ready) > 0);
    guide_close(&client);
    return LIPC_E_OK;
}

/* ---- an answer that is left behind ---- */

enum { N_LONG = 2000 };

void leave_answer(const char *instance, const script *script, char id[LIPC_STREAM_ID_SIZE]) {
    size_t n_read = 0;
    lipc_client *client = client_of(instance);
    lipc_request request = request_of("at length");
    request.detachable = 1;
    request.ignore_eos = 1;
    request.n_predict = N_LONG;
    lipc_stream *stream = submit(client, &request);
    CHECK_LIPC(read_checked(stream, script, 1, &n_read), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    lipc_stream_detach(stream);
    lipc_client_close(client);
}

/* Bytes of text after so many tokens of what is played, over and over. */
static size_t played_bytes(const script *script, int n_tokens) {
    int n_played = count_tokens(script->text) + CALL_TOKENS, n_rest = n_tokens % n_played;
    if (n_rest > CALL_BEHIND) n_rest = n_rest > CALL_BEHIND + CALL_TOKENS ? n_rest - CALL_TOKENS : CALL_BEHIND;
    return (size_t)(n_tokens / n_played) * script->n_bytes + tokens_end(script, n_rest);
}

int find_answer(const char *instance, const script *script, const char *id) {
    lipc_client *client;
    lipc_stream *stream;
    TRY(open_client(instance, 0, &client));
    TRY(lipc_stream_attach(client, id, 0, 0, &stream));
    TRY(read_exactly(stream, script, played_bytes(script, N_LONG)));
    lipc_stream_close(stream);
    lipc_client_close(client);
    return LIPC_E_OK;
}

/* ---- newcomers ---- */

double serve_modern_newcomer(const char *instance, const script *script) {
    double begin = test_now_ms();
    size_t n_read = 0;
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "I am new");
    CHECK_LIPC(read_checked(stream, script, 1, &n_read), LIPC_E_OK);
    double first_ms = test_now_ms() - begin;
    CHECK_LIPC(read_checked(stream, script, SIZE_MAX, &n_read), LIPC_E_OK);
    CHECK_INT(n_read, ==, script->n_bytes);
    lipc_stream_close(stream);
    lipc_client_close(client);
    return first_ms;
}

double serve_classic_newcomer(const char *instance, const script *script) {
    double begin = test_now_ms();
    lipc_classic *handle;
    lipc_classic_result result;
    classic_watch watch = {.script = script};
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_stream(handle, NULL, "I am new", soon(), on_update, &watch, &result), LIPC_E_OK);
    CHECK_TEXT(result.text, script->text);
    lipc_classic_close(handle);
    return watch.first_ms - begin;
}
