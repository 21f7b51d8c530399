/* refusals.c - what the host cannot serve it refuses, each with the code REFUSED and a sentence: through the library,
 * and written into the segment by a client that lies about every length. The others notice nothing.
 */
#include "modern_test.h"

#include "channel/hub.h"
#include "channel/request.h"
#include "channel/stream.h"

/* ---- An honest client beside ---- */

typedef struct board {
    const char *instance;
    const script *script;
    int may_end;
    size_t n_read;
} board;

static void stream_honestly(void *data, int number) {
    (void)number;
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream = ask_endless(client);
    while (!NOW(board->may_end)) {
        CHECK(read_some(stream, soon(), &text));
        __atomic_store_n(&board->n_read, text.n_bytes, __ATOMIC_RELEASE);
    }
    CHECK(script_has(board->script, 0, text.text, text.n_bytes));
    lipc_stream_close(stream);
    lipc_client_close(client);
}

/* ---- A client without the library ---- */

typedef struct raw {
    hub_view view;
    uint32_t client, stream;
    uint64_t client_claim, claim;
} raw;

static void raw_ring(const raw *raw) {
    lipc_doorbell *bell = &hub_of(&raw->view)->bell;
    plat_doorbell_ring(hub_bell(bell), PLAT_BELL_ALL);
}

static raw raw_attach(const segment *segment) {
    raw raw = {0};
    hub_identity identity;
    uint64_t start_time;
    CHECK_INT(hub_read(segment->base, segment->size, &raw.view, &identity), ==, HUB_OK);
    CHECK_INT(plat_process_start_time((int)getpid(), &start_time), ==, 0);
    CHECK(hub_client_attach(&raw.view, (uint32_t)getpid(), start_time, &raw.client, &raw.client_claim));
    raw_ring(&raw);
    return raw;
}

static void raw_claim(raw *raw) {
    CHECK(WAITED(SOON_MS, stream_claim_free(&raw->view, raw->client, &raw->stream, &raw->claim)));
}

static uint64_t claim_in(const raw *raw, uint32_t phase) {
    return stream_claim(phase, raw->client, stream_claim_generation(raw->claim));
}

static void raw_submit(raw *raw, uint32_t request_bytes) {
    lipc_stream_header *header = hub_stream(&raw->view, raw->stream);
    header->request_bytes = request_bytes;
    CHECK(stream_change_claim(header, raw->claim, claim_in(raw, LIPC_CLAIM_SUBMITTED)));
    raw_ring(raw);
}

static void raw_release(raw *raw) {
    CHECK(stream_change_claim(hub_stream(&raw->view, raw->stream), claim_in(raw, LIPC_CLAIM_SUBMITTED),
                              claim_in(raw, LIPC_CLAIM_RELEASED)));
    raw_ring(raw);
}

static void raw_snapshot(const raw *raw, stream_snapshot *snapshot) {
    stream_reader reader;
    stream_reader_begin(&reader, &raw->view, raw->stream, stream_claim_generation(raw->claim));
    stream_read_snapshot(&reader, snapshot);
}

/* Whatever lies in the request area is refused, with a sentence. */
static void expect_refusal(raw *raw, uint32_t request_bytes, const char *what) {
    stream_snapshot snapshot;
    raw_submit(raw, request_bytes);
    CHECK_SAY(WAITED(SOON_MS, (raw_snapshot(raw, &snapshot), snapshot.state == LIPC_STREAM_ENDED)), "%s: no answer", what);
    const char *message = hub_stream(&raw->view, raw->stream)->message;
    CHECK_SAY(snapshot.end == LIPC_END_REFUSED && snapshot.error == LIPC_E_REFUSED, "%s: end %u, error %d", what, snapshot.end,
              snapshot.error);
    CHECK_SAY(snapshot.n_bytes == 0 && snapshot.n_tokens == 0, "%s: it has text", what);
    size_t n = strnlen(message, 256);
    CHECK_SAY(n > 10 && n < 256 && test_is_utf8(message, n), "%s: no sentence: '%.*s'", what, (int)n, message);
    printf("  %s: %s\n", what, message);
    raw_release(raw);
}

/* A good request of two messages, two stop strings and a grammar, in the area of a newly claimed stream. */
static char *good_request(raw *raw, size_t *n_bytes) {
    static const lipc_message messages[] = {{"system", "be brief"}, {"user", "what is it, 123456?"}};
    static const char *const stops[] = {"stop", "halt"};
    char message[REQUEST_MESSAGE_SIZE];
    lipc_request request;
    lipc_request_init(&request);
    request.messages = messages;
    request.n_messages = 2;
    request.stops = stops;
    request.n_stops = 2;
    CHECK_INT(request_measure(&request, n_bytes, message), ==, 0);
    raw_claim(raw);
    char *area = stream_request(&raw->view, raw->stream);
    request_write(&request, *n_bytes, area);
    return area;
}

/* Offsets in it: the header, then the items. */
enum {
    AT_BYTES = 0, AT_FLAGS = 4, AT_N_PREDICT = 8, AT_TEMPERATURE = 12, AT_MIN_P = 16, AT_TOP_P = 20, AT_TOP_K = 24,
    AT_REPEAT = 28, AT_LAST_N = 40, AT_PRIORITY = 44, AT_SEED = 48, AT_N_ITEMS = 56,
    AT_KIND = 64, AT_LENGTH = 68, AT_ROLE = 72, AT_TEXT = 88, AT_SECOND = 104, AT_SECOND_TEXT = 128
};

typedef struct lie {
    const char *what;
    size_t offset, n_bytes;
    const char *bytes;
} lie;

/* What is written over the good request. */
static const lie lies[] = {
    {"a length that is not the stream's", AT_BYTES, 4, "\x40\0\0\0"},
    {"the longest length", AT_BYTES, 4, "\xff\xff\xff\xff"},
    {"an unknown flag", AT_FLAGS, 4, "\x08\0\0\0"},
    {"all flags", AT_FLAGS, 4, "\xff\xff\xff\xff"},
    {"n_predict -2", AT_N_PREDICT, 4, "\xfe\xff\xff\xff"},
    {"an infinite temperature", AT_TEMPERATURE, 4, "\0\0\x80\x7f"},
    {"a negative temperature", AT_TEMPERATURE, 4, "\0\0\x80\xbf"},
    {"min_p 2", AT_MIN_P, 4, "\0\0\0\x40"},
    {"top_p -1", AT_TOP_P, 4, "\0\0\x80\xbf"},
    {"top_k -1", AT_TOP_K, 4, "\xff\xff\xff\xff"},
    {"repeat_penalty 0", AT_REPEAT, 4, "\0\0\0\0"},
    {"repeat_last_n -2", AT_LAST_N, 4, "\xfe\xff\xff\xff"},
    {"priority 101", AT_PRIORITY, 4, "\x65\0\0\0"},
    {"seed -3", AT_SEED, 8, "\xfd\xff\xff\xff\xff\xff\xff\xff"},
    {"seed 4294967295", AT_SEED, 8, "\xff\xff\xff\xff\0\0\0\0"},
    {"no items", AT_N_ITEMS, 4, "\0\0\0\0"},
    {"fewer items than there are", AT_N_ITEMS, 4, "\x01\0\0\0"},
    {"more items than there are", AT_N_ITEMS, 4, "\x05\0\0\0"},
    {"the most items", AT_N_ITEMS, 4, "\xff\xff\xff\xff"},
    {"an unknown kind", AT_KIND, 4, "\x09\0\0\0"},
    {"kind 0", AT_KIND, 4, "\0\0\0\0"},
    {"a message as a second grammar", AT_KIND, 4, "\x03\0\0\0"}, /* and then too few messages */
    {"a text without a zero byte behind it", AT_TEXT + 8, 1, "x"},
    {"a text of one byte less", AT_LENGTH, 4, "\x07\0\0\0"},
    {"a text of one byte more", AT_LENGTH, 4, "\x09\0\0\0"},
    {"a text up to the end", AT_LENGTH, 4, "\xa0\0\0\0"},
    {"a text beyond the end", AT_LENGTH, 4, "\0\x10\0\0"},
    {"the longest text", AT_LENGTH, 4, "\xff\xff\xff\xff"},
    {"a length that wraps round", AT_LENGTH, 4, "\xf8\xff\xff\xff"},
    {"an unknown role", AT_ROLE, 6, "wizard"},
    {"no role", AT_ROLE, 6, "\0\0\0\0\0\0"},
    {"a role without an end", AT_ROLE, 16, "systemsystemsyst"},
    {"a role that is no text", AT_ROLE, 6, "\xff\x1b[31m"},
    {"a zero byte in a text", AT_TEXT + 2, 1, "\0"},
    {"half a character", AT_TEXT + 7, 1, "\xc3"},
    {"an overlong character", AT_TEXT + 2, 2, "\xc0\x80"},
    {"a surrogate", AT_TEXT + 2, 3, "\xed\xa0\x80"},
    {"a byte that is no text", AT_SECOND_TEXT, 1, "\xff"},
};

static void raw_lies(raw *raw) {
    size_t n_bytes;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        char *area = good_request(raw, &n_bytes);
        if (strstr(lies[i].what, "second grammar")) {
            area[AT_SECOND] = LIPC_ITEM_GRAMMAR;
            memset(area + AT_ROLE, 0, 16);
            memset(area + AT_SECOND + 8, 0, 16);
        }
        memcpy(area + lies[i].offset, lies[i].bytes, lies[i].n_bytes);
        expect_refusal(raw, (uint32_t)n_bytes, lies[i].what);
    }
    static const uint32_t sizes[] = {0, 1, 63, 64, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char what[64];
        char *area = good_request(raw, &n_bytes);
        snprintf(what, sizeof what, "request_bytes %u", sizes[i]);
        memcpy(area, &sizes[i], 4);
        expect_refusal(raw, sizes[i], what);
    }
    uint32_t beyond = raw->view.at.request_size + 8;
    char *area = good_request(raw, &n_bytes);
    memcpy(area, &beyond, 4);
    expect_refusal(raw, beyond, "more than the area has");
    area = good_request(raw, &n_bytes);
    uint32_t all = raw->view.at.request_size;
    memcpy(area, &all, 4);
    expect_refusal(raw, all, "the whole area, most of it behind the last item");
}

static void raw_good(raw *raw, const script *script) {
    stream_snapshot snapshot;
    size_t n_bytes;
    good_request(raw, &n_bytes);
    raw_submit(raw, (uint32_t)n_bytes);
    CHECK(WAITED(SOON_MS, (raw_snapshot(raw, &snapshot), snapshot.state == LIPC_STREAM_ENDED)));
    CHECK_INT(snapshot.end, ==, LIPC_END_TURN);
    CHECK_INT(snapshot.n_bytes, ==, script->n_bytes);
    CHECK(memcmp(stream_log(&raw->view, raw->stream), script->text, script->n_bytes) == 0);
    raw_release(raw);
}

/* A request whose client gave a check: it is answered as it was written, or not at all. */
static void changed_on_its_way(raw *raw, const script *script) {
    for (int is_changed = 0; is_changed < 2; is_changed++) {
        stream_snapshot snapshot;
        size_t n_bytes;
        char *area = good_request(raw, &n_bytes);
        lipc_stream_header *header = hub_stream(&raw->view, raw->stream);
        header->request_check = stream_request_check(area, n_bytes, stream_claim_generation(raw->claim));
        area[AT_TEXT] ^= (char)(is_changed ? 2 : 0); /* as good a letter as it was */
        raw_submit(raw, (uint32_t)n_bytes);
        CHECK(WAITED(SOON_MS, (raw_snapshot(raw, &snapshot), snapshot.state == LIPC_STREAM_ENDED)));
        CHECK_INT(snapshot.end, ==, is_changed ? LIPC_END_FAILED : LIPC_END_TURN);
        CHECK_INT(snapshot.n_bytes, ==, is_changed ? 0 : script->n_bytes);
        CHECK(!is_changed || strstr(header->message, "changed in shared memory"));
        raw_release(raw);
    }
}

/* ---- Words that make no sense ---- */

/* Writes what it likes into all that it may write: its record, its streams' claims, its requests. The hub and the
 * streams of others it leaves alone, and it gives back what it holds, so that the end can be looked at. */
static void scribble(raw *raw, int rounds) {
    uint64_t seed = 1;
    for (int i = 0; i < rounds; i++) {
        size_t n_bytes;
        char *area = good_request(raw, &n_bytes);
        lipc_stream_header *header = hub_stream(&raw->view, raw->stream);
        for (int k = 0; k < 4; k++)
            area[test_random(&seed, (uint32_t)n_bytes)] = (char)test_random(&seed, 256);
        for (int k = 0; k < 4; k++)
            __atomic_fetch_or(&header->watchers[k], (uint64_t)test_random(&seed, UINT32_MAX) << 32, __ATOMIC_SEQ_CST);
        header->cancel = test_random(&seed, 3) ? 0 : test_random(&seed, UINT32_MAX);
        raw_submit(raw, (uint32_t)n_bytes);
        if (test_random(&seed, 2)) {
            uint64_t claim = (uint64_t)test_random(&seed, UINT32_MAX) << 32 | test_random(&seed, UINT32_MAX);
            __atomic_store_n(&header->claim, claim, __ATOMIC_SEQ_CST);
            raw_ring(raw);
        }
        lipc_client_record *record = hub_client(&raw->view, raw->client);
        __atomic_store_n(&record->reservation, (uint64_t)test_random(&seed, UINT32_MAX) << 18 | test_random(&seed, 4),
                         __ATOMIC_SEQ_CST);
        raw_ring(raw);
        __atomic_store_n(&record->reservation, LIPC_RESERVATION_NONE, __ATOMIC_SEQ_CST);
        /* Whatever has become of it, the host gives it back in the end. */
        uint64_t claim = stream_claim_now(header);
        for (int tries = 0; stream_claim_phase(claim) != LIPC_CLAIM_FREE && tries < 1000000; tries++) {
            stream_change_claim(header, claim,
                                stream_claim(LIPC_CLAIM_RELEASED, raw->client, stream_claim_generation(claim)));
            for (int k = 0; k < 4; k++)
                __atomic_store_n(&header->watchers[k], 0, __ATOMIC_SEQ_CST);
            raw_ring(raw);
            test_breathe();
            claim = stream_claim_now(header);
        }
        CHECK_SAY(stream_claim_phase(claim) == LIPC_CLAIM_FREE, "round %d: the stream is not given back: %llx", i,
                  (unsigned long long)claim);
    }
}

static void written_into_the_segment(const script *script) {
    char instance[64];
    test_host host;
    PART_WITH_COPIES("words written into the segment");
    test_instance(instance, "raw");
    board *board = shared_new(sizeof *board);
    *board = (struct board){.instance = instance, .script = script};
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "500", "--log-level", "error"));
    pid_t honest = worker_start(stream_honestly, board, 0);
    CHECK(WAITED(SOON_MS, NOW(board->n_read) > 0));
    test_step("requests written into the segment");
    raw raw = raw_attach(&segment);
    raw_good(&raw, script);
    raw_lies(&raw);
    changed_on_its_way(&raw, script);
    raw_good(&raw, script);
    test_step("words that make no sense");
    scribble(&raw, 300);
    raw_good(&raw, script);
    hub_client_leave(&raw.view, raw.client, raw.client_claim);
    raw_ring(&raw);
    __atomic_store_n(&board->may_end, 1, __ATOMIC_RELEASE);
    worker_wait(honest);
    end_host(&host, &segment);
}

/* ---- Through the library ---- */

static void expect_invalid(lipc_client *client, const lipc_request *request, const char *what) {
    lipc_stream *stream;
    int code = lipc_stream_open(client, request, &stream);
    CHECK_SAY(code == LIPC_E_INVALID && !stream, "%s: %s", what, lipc_error_name(code));
    CHECK_SAY(lipc_error_message()[0] != 0, "%s: no message", what);
    printf("  %s: %s\n", what, lipc_error_message());
}

static void not_sent_at_all(lipc_client *client) {
    static const char *const too_many[17] = {"a", "a", "a", "a", "a", "a", "a", "a", "a",
                                             "a", "a", "a", "a", "a", "a", "a", "a"};
    static const char *const empty[1] = {""};
    lipc_message message = {"wizard", "hello"};
    lipc_request request = request_of("hello");
    request.messages = &message;
    expect_invalid(client, &request, "an unknown role");
    message = (lipc_message){"user", "half \xc3"};
    expect_invalid(client, &request, "no UTF-8");
    message = (lipc_message){"user", NULL};
    expect_invalid(client, &request, "no text");
    request = request_of("hello");
    request.n_messages = 0;
    expect_invalid(client, &request, "no message");
    request = request_of("hello");
    request.temperature = -1;
    expect_invalid(client, &request, "temperature -1");
    request = request_of("hello");
    request.n_predict = -7;
    expect_invalid(client, &request, "n_predict -7");
    request = request_of("hello");
    request.seed = 4294967295;
    expect_invalid(client, &request, "seed 4294967295");
    request = request_of("hello");
    request.priority = 1000;
    expect_invalid(client, &request, "priority 1000");
    request = request_of("hello");
    request.stops = too_many;
    request.n_stops = 17;
    expect_invalid(client, &request, "17 stop strings");
    request.stops = empty;
    request.n_stops = 1;
    expect_invalid(client, &request, "an empty stop string");
    request = request_of("hello");
    request.grammar = "root ::= \"\xff\"";
    expect_invalid(client, &request, "a grammar that is no UTF-8");
}

static void expect_refused(lipc_client *client, const lipc_request *request, const char *what) {
    lipc_delta delta;
    lipc_stream *stream = submit(client, request);
    int code = lipc_stream_read(stream, soon(), &delta);
    CHECK_SAY(code == LIPC_E_REFUSED, "%s: %s (%s)", what, lipc_error_name(code), lipc_error_message());
    CHECK_SAY(strlen(lipc_error_message()) > 10 && test_is_utf8(lipc_error_message(), strlen(lipc_error_message())),
              "%s: no sentence", what);
    printf("  %s: %s\n", what, lipc_error_message());
    lipc_progress progress = progress_of(stream);
    CHECK_INT(progress.state, ==, LIPC_STREAM_ENDED);
    CHECK_INT(progress.end, ==, LIPC_END_REFUSED);
    CHECK_INT(progress.error, ==, LIPC_E_REFUSED);
    CHECK_LIPC(lipc_stream_read(stream, 0, &delta), LIPC_E_REFUSED);
    lipc_stream_close(stream);
}

static const char *const bad_grammars[] = {
    "root", "root ::= other", "other ::= \"a\"", "root ::= \"a", "root ::= [a", "root ::= (\"a\"",
    "root ::= \"a\" )", "root ::= \"a\"{2", "root ::= \"a\"{3,2}", "root ::= * \"a\"", "root ::= root", "::= \"a\"",
    "root ::= \"\\q\"", "{\"type\": \"object\"}",
};

static void refused_by_the_model(void) {
    char instance[64];
    test_host host;
    test_step("refused by the embedded model");
    test_instance(instance, "refused");
    segment segment = host_ready(&host, instance, EMBEDDED("-c", "512", "--log-level", "error"));
    lipc_client *client = client_of(instance);
    not_sent_at_all(client);
    lipc_stream *beside = ask(client, QUESTION);
    char *text = calloc(1, 8192);
    CHECK(text != NULL);
    while (strlen(text) < 8000)
        strcat(text, "too long for it ");
    lipc_request request = request_of(text);
    expect_refused(client, &request, "too long for the context");
    for (size_t i = 0; i < sizeof bad_grammars / sizeof bad_grammars[0]; i++) {
        char what[128];
        snprintf(what, sizeof what, "the grammar '%s'", bad_grammars[i]);
        request = request_of("hello");
        request.grammar = bad_grammars[i];
        expect_refused(client, &request, what);
    }
    reading first = read_to_end(beside);
    CHECK_INT(first.code, ==, 0);
    lipc_stream_close(beside);
    beside = ask(client, QUESTION);
    check_answer(beside, first.text, first.n_bytes);
    lipc_stream_close(beside);
    free(first.text);
    free(text);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void refused_by_a_replay(const script *script) {
    char instance[64];
    test_host host;
    test_step("refused by a text that is played back");
    test_instance(instance, "refused2");
    segment segment = host_ready(&host, instance, REPLAY(*script, "-c", "100"));
    lipc_client *client = client_of(instance);
    lipc_request request = request_of("hello");
    request.grammar = "root ::= \"a\"";
    expect_refused(client, &request, "any grammar");
    request = request_of(script->text);
    expect_refused(client, &request, "too long for the context");
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(void) {
    test_begin("refusals", 90);
    script script = script_new(2000);
    refused_by_the_model();
    refused_by_a_replay(&script);
    written_into_the_segment(&script);
    free(script.text);
    return test_end();
}
