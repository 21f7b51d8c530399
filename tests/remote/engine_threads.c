/* engine_threads.c - the remote engine by itself, its two threads at full speed: answers read slowly and fast, cancelled at any moment, and
 * an engine that is closed in the midst of them. For ThreadSanitizer, too, which a whole host does not suit. */
#include "remote_test.h"

#include "engine/engine.h"
#include "platform/platform.h"

enum { AT_A_TIME = 12, SHORT_PIECES = 5, LONG_PIECES = 3000, FLOOD_PIECES = 64 * 960 };

/* ---- the server ---------------------------------------------------------------------------------------------------------- */

static void say_pieces(exchange *exchange, int n) {
    char members[64];
    say_start(exchange);
    for (int i = 0; i < n; i++) {
        snprintf(members, sizeof members, "\"content\":\"%d and so on and on and on, \"", i);
        if (!say_delta(exchange, members)) return;
    }
    say_finish(exchange, "stop");
    say_done(exchange);
}

static void say_short(exchange *exchange) {
    say_pieces(exchange, SHORT_PIECES);
}
static void say_long(exchange *exchange) {
    say_pieces(exchange, LONG_PIECES);
}
static void say_endless(exchange *exchange) {
    say_pieces(exchange, INT32_MAX);
}

/* Faster than it can be read, and a piece takes much less room than the network's thread waits for. */
static void say_flood(exchange *exchange) {
    enum { EVENTS = 64 };
    static const char event[] = "data: {\"choices\":[{\"delta\":{\"content\":\"%1000d\"}}]}\n\n";
    static char events[EVENTS * (sizeof event + 1024)];
    size_t n = 0;
    for (int i = 0; i < EVENTS; i++) n += (size_t)sprintf(events + n, event, 7);
    say_start(exchange);
    for (int i = 0; i < FLOOD_PIECES / EVENTS; i++)
        if (!say_piece(exchange, events, n)) return;
    say_finish(exchange, "stop");
    say_done(exchange);
}

static const play plays[] = {{"[flood]", say_flood, NULL}, {"[short]", say_short, NULL}, {"[long]", say_long, NULL}, {"[endless]", say_endless, NULL}, {NULL, NULL, NULL}};

/* ---- the loop that asks ----------------------------------------------------------------------------------------------------- */

static plat_doorbell bell;

static void on_news(void *user_data) {
    (void)user_data;
    plat_doorbell_ring(&bell, PLAT_BELL_ALL);
}

static engine *open_engine(const test_server *server) {
    static const char *addresses[1]; /* as long as the engine */
    char message[ENGINE_MESSAGE_SIZE];
    engine *engine;
    addresses[0] = server->address;
    const remote_engine_options options = {.addresses = addresses, .n_addresses = 1, .n_sequences = AT_A_TIME, .connect_timeout_s = 60,
                                           .idle_timeout_s = 600, .callbacks = {.on_news = on_news}};
    int error = remote_engine_open(&options, &engine, message, sizeof message);
    if (error == ENGINE_E_LIBRARY) test_skip("%s", message);
    CHECK_SAY(error == ENGINE_OK, "%s", message);
    return engine;
}

typedef struct asked {
    bool is_running, is_cancelled;
    int n_wanted; /* pieces; 0: it has no end */
    int n_pieces;
} asked;

static int admit(engine *engine, const char *text) {
    const engine_message message = {"user", text};
    engine_request request = {.messages = &message, .n_messages = 1, .n_predict = -1};
    int sequence = -1;
#define LEAVE(name, kind, ...) request.sampling.name = LIPC_PARAMETER_UNSET_##kind;
    LIPC_SAMPLING_MAP(LEAVE)
#undef LEAVE
    CHECK_SAY(engine_admit(engine, &request, &sequence) == ENGINE_OK, "%s", engine->message);
    return sequence;
}

static void take(const engine *engine, asked *answer, const engine_progress *progress) {
    char expected[64];
    if (progress->has_token) {
        snprintf(expected, sizeof expected, "%d and so on and on and on, ", answer->n_pieces++);
        CHECK_SAY(progress->n_bytes == strlen(expected) && memcmp(progress->text, expected, progress->n_bytes) == 0, "'%.*s' and not '%s'",
                  (int)progress->n_bytes, progress->text, expected);
    }
    if (progress->end == ENGINE_END_NONE) return;
    CHECK_SAY(progress->end == (answer->is_cancelled ? ENGINE_END_CANCELLED : ENGINE_END_TURN), "%s: %s", engine_end_text(progress->end), engine->message);
    if (!answer->is_cancelled) CHECK_INT(answer->n_pieces, ==, answer->n_wanted);
    answer->is_running = false;
}

static int step(engine *engine, asked *answers) {
    engine_progress progress[AT_A_TIME];
    uint32_t seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL);
    if (engine_next_step_ns(engine) > plat_clock_ns()) plat_doorbell_wait(&bell, seen, plat_deadline_ns(SOON_MS));
    size_t n = engine_step(engine, progress);
    int n_ended = 0;
    for (size_t i = 0; i < n; i++) {
        take(engine, &answers[progress[i].sequence], &progress[i]);
        n_ended += progress[i].end != ENGINE_END_NONE;
    }
    return n_ended;
}

static void start_one(engine *engine, asked *answers, uint64_t *random) {
    static const char *const texts[] = {"[short]", "[short]", "[long]", "[endless]"};
    static const int wanted[] = {SHORT_PIECES, SHORT_PIECES, LONG_PIECES, 0};
    uint32_t kind = test_random(random, 4);
    int sequence = admit(engine, texts[kind]);
    CHECK(!answers[sequence].is_running);
    answers[sequence] = (asked){.is_running = true, .n_wanted = wanted[kind]};
}

/* What has no end is cancelled some time, and others are now and then. */
static void cancel_some(engine *engine, asked *answers, uint64_t *random) {
    for (int s = 0; s < AT_A_TIME; s++) {
        asked *answer = &answers[s];
        if (!answer->is_running || answer->is_cancelled || test_random(random, answer->n_wanted == 0 ? 50 : 3000) > 0) continue;
        answer->is_cancelled = true;
        engine_cancel(engine, s);
    }
}

static void check_many(const test_server *server, int n_wanted) {
    uint64_t random = 7;
    asked answers[AT_A_TIME] = {0};
    int n_begun = 0, n_running = 0;
    engine *engine = open_engine(server);
    test_step("%d answers, %d at a time", n_wanted, AT_A_TIME);
    while (n_begun < n_wanted || n_running > 0) {
        for (; n_begun < n_wanted && n_running < AT_A_TIME; n_begun++, n_running++) start_one(engine, answers, &random);
        cancel_some(engine, answers, &random);
        n_running -= step(engine, answers);
        if (test_random(&random, 2000) == 0) plat_pause_ms(5); /* rings fill up meanwhile */
    }
    CHECK(engine_next_step_ns(engine) == UINT64_MAX);
    engine_close(engine);
}

/* Each time the ring is full, what comes next has to follow without a wait: 60 MB would take minutes otherwise. */
static void check_full_ring(const test_server *server) {
    engine *engine = open_engine(server);
    engine_progress progress[AT_A_TIME];
    engine_end end = ENGINE_END_NONE;
    int n_pieces = 0;
    test_step("an answer that always fills the ring");
    admit(engine, "[flood]");
    while (end == ENGINE_END_NONE) {
        uint32_t seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL);
        if (engine_next_step_ns(engine) > plat_clock_ns()) plat_doorbell_wait(&bell, seen, plat_deadline_ns(SOON_MS));
        if (engine_step(engine, progress) == 0) continue;
        n_pieces += progress[0].has_token;
        end = progress[0].end;
    }
    CHECK_SAY(end == ENGINE_END_TURN, "%s: %s", engine_end_text(end), engine->message);
    CHECK_INT(n_pieces, ==, FLOOD_PIECES);
    engine_close(engine);
}

static void check_closing(const test_server *server) {
    test_step("closed in the midst of answers, at once, and without any");
    for (int i = 0; i < 20; i++) {
        asked answers[AT_A_TIME] = {0};
        engine *engine = open_engine(server);
        for (int s = 0; s < i % AT_A_TIME; s++) admit(engine, s % 2 ? "[endless]" : "[long]");
        for (int n = 0; n < i * 10 && i % AT_A_TIME > 0; n++) step(engine, answers);
        engine_close(engine);
    }
}

int main(int argc, char **argv) {
    test_server *server = calloc(1, sizeof *server);
    test_begin("remote_engine_threads", 120);
    CHECK(server != NULL && argc == 2);
    server_start(server, plays);
    check_closing(server);
    check_full_ring(server);
    check_many(server, atoi(argv[1]));
    server_stop(server);
    free(server);
    return test_end();
}
