/* request_rules.c - src/channel/request.h: what a client writes is what the host reads; every rule is applied on both
 * sides; no length that lies leads out of the request. */
#include "../support/harness.h"

#include "channel/request.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lipc_message hello = {"user", "hello"};
static char message[REQUEST_MESSAGE_SIZE];

/* The smallest good request. */
static lipc_request simple(void) {
    lipc_request request = {
        .struct_size = sizeof request, .n_messages = 1, .messages = &hello,
        .n_predict = LIPC_INT_DEFAULT, .top_k = LIPC_INT_DEFAULT, .repeat_last_n = LIPC_INT_DEFAULT,
        .temperature = NAN, .min_p = NAN, .top_p = NAN, .repeat_penalty = NAN, .frequency_penalty = NAN,
        .presence_penalty = NAN, .seed = LIPC_SEED_DEFAULT,
    };
    return request;
}

/* As bytes in memory of exactly their size, so that the sanitizer sees one read too far. */
static char *encode(const lipc_request *request, size_t *n_bytes) {
    CHECK_SAY(request_measure(request, n_bytes, message) == 0, "refused: %s", message);
    char *bytes = malloc(*n_bytes);
    memset(bytes, 0x55, *n_bytes);
    request_write(request, *n_bytes, bytes);
    return bytes;
}

static void check_round_trip(void) {
    static const lipc_message said[] = {{"system", "Du bist höflich."}, {"user", ""}, {"assistant", "12345678"},
                                        {"user", "🚀→ü"}};
    static const char *const stops[] = {"\n\n", "→"};
    lipc_message read_back[4];
    request_view view;
    size_t n_bytes;
    test_step("what is written is what is read");
    lipc_request request = simple();
    request.n_messages = 4;
    request.messages = said;
    request.stops = stops;
    request.n_stops = 2;
    request.grammar = "root ::= \"a\"";
    request.n_predict = 7;
    request.top_k = 40;
    request.temperature = 0.5f;
    request.min_p = 0.25f;
    request.top_p = 0.75f;
    request.repeat_penalty = 1.5f;
    request.frequency_penalty = -2;
    request.presence_penalty = 3;
    request.repeat_last_n = -1;
    request.priority = -100;
    request.seed = 4294967294;
    request.detachable = 1;
    request.logprobs = 5;
    char *bytes = encode(&request, &n_bytes);
    CHECK_INT(n_bytes % 8, ==, 0);
    CHECK_SAY(request_read(bytes, n_bytes, &view, message) == 0, "refused: %s", message);
    CHECK(view.header.n_predict == 7 && view.header.top_k == 40 && view.header.temperature == 0.5f);
    CHECK(view.header.min_p == 0.25f && view.header.top_p == 0.75f && view.header.repeat_penalty == 1.5f);
    CHECK(view.header.frequency_penalty == -2 && view.header.presence_penalty == 3 && view.header.repeat_last_n == -1);
    CHECK(view.header.priority == -100 && view.header.seed == 4294967294);
    CHECK_INT(view.header.flags, ==, LIPC_FLAG_DETACHABLE | LIPC_FLAG_LOGPROBS);
    CHECK_INT(view.n_messages, ==, 4);
    CHECK_INT(view.n_stops, ==, 2);
    CHECK_TEXT(view.stops[0], stops[0]);
    CHECK_TEXT(view.stops[1], stops[1]);
    CHECK_TEXT(view.grammar, request.grammar);
    request_messages(bytes, read_back, 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK_TEXT(read_back[i].role, said[i].role);
        CHECK_TEXT(read_back[i].text, said[i].text);
    }
    free(bytes);

    request = simple();
    bytes = encode(&request, &n_bytes);
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, 0);
    CHECK(view.header.n_predict == LIPC_INT_DEFAULT && isnan(view.header.temperature) && isnan(view.header.top_p));
    CHECK(view.header.seed == LIPC_SEED_DEFAULT && view.header.flags == 0 && !view.grammar && view.n_stops == 0);
    free(bytes);

    /* Every length around the padding. */
    char text[40];
    for (size_t length = 0; length < sizeof text; length++) {
        const lipc_message sized = {"user", text};
        memset(text, 'x', length);
        text[length] = 0;
        request.messages = &sized;
        bytes = encode(&request, &n_bytes);
        CHECK_INT(n_bytes, ==, 64 + 24 + (length + 8) / 8 * 8);
        CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, 0);
        request_messages(bytes, read_back, 1);
        CHECK_TEXT(read_back[0].text, text);
        free(bytes);
    }
}

/* A host must refuse this copy of a request to save a state, and say why. */
static void check_state_lie(const char *bytes, size_t n_bytes, const char *word) {
    request_view view;
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, LIPC_E_REFUSED);
    CHECK_SAY(strstr(message, word), "'%s' does not say '%s'", message, word);
}

/* `request` saves, and has one message: the path is the second and last item. */
static void check_state_lies(const lipc_request *request) {
    size_t n_bytes, n_item = sizeof(lipc_request_item) + (strlen(request->save_path) + 8) / 8 * 8;
    char *bytes = encode(request, &n_bytes);
    lipc_request_header *header = (void *)bytes;
    char *longer = malloc(n_bytes + n_item), *path = bytes + n_bytes - n_item + sizeof(lipc_request_item);
    path[0] = 'x';
    check_state_lie(bytes, n_bytes, "absolute");
    path[0] = '/';
    header->operation = LIPC_OPERATION_LOAD;
    check_state_lie(bytes, n_bytes, "a state's path in a request for an answer");
    header->operation = LIPC_OPERATION_SAVE;
    header->n_items = 3;
    header->n_bytes = (uint32_t)(n_bytes + n_item);
    memcpy(longer, bytes, n_bytes);
    memcpy(longer + n_bytes, bytes + n_bytes - n_item, n_item);
    check_state_lie(longer, n_bytes + n_item, "more than one path");
    free(longer);
    free(bytes);
}

static void check_state_forms(void) {
    request_view view;
    size_t n_bytes;
    test_step("requests to save and to restore a state: forms");
    lipc_request request = simple();
    request.save_path = "/states/ü";
    char *bytes = encode(&request, &n_bytes);
    CHECK_SAY(request_read(bytes, n_bytes, &view, message) == 0, "refused: %s", message);
    CHECK_TEXT(view.state_path, request.save_path);
    CHECK(view.header.operation == LIPC_OPERATION_SAVE && view.n_messages == 1 && !view.load_path);
    ((lipc_request_header *)(void *)bytes)->flags = LIPC_FLAG_RENDER;
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, LIPC_E_REFUSED);
    ((lipc_request_header *)(void *)bytes)->flags = 0;
    ((lipc_request_header *)(void *)bytes)->operation = LIPC_OPERATION_RESTORE; /* with a message */
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, LIPC_E_REFUSED);
    CHECK_SAY(strstr(message, "one item"), "%s", message);
    ((lipc_request_header *)(void *)bytes)->operation = LIPC_OPERATION_ANSWER;
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, LIPC_E_REFUSED);
    ((lipc_request_header *)(void *)bytes)->operation = LIPC_OPERATION_RESTORE + 1;
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, LIPC_E_REFUSED);
    free(bytes);
    check_state_lies(&request);
    request.save_path = NULL;
    request.restore_path = "C:\\states\\ü";
    request.n_messages = 0;
    bytes = encode(&request, &n_bytes);
    CHECK_SAY(request_read(bytes, n_bytes, &view, message) == 0, "refused: %s", message);
    CHECK_TEXT(view.state_path, request.restore_path);
    CHECK(view.header.operation == LIPC_OPERATION_RESTORE && view.n_messages == 0 && !view.load_path);
    ((lipc_request_header *)(void *)bytes)->operation = LIPC_OPERATION_SAVE; /* without a message */
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, LIPC_E_REFUSED);
    ((lipc_request_header *)(void *)bytes)->operation = LIPC_OPERATION_RESTORE;
    ((lipc_request_item *)(void *)(bytes + sizeof(lipc_request_header)))->kind = LIPC_ITEM_GRAMMAR;
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, LIPC_E_REFUSED);
    free(bytes);
}

/* Of this layout and of 1.3 and 1.4: the host reads the same. */
static void check_load_forms(void) {
    request_view view;
    size_t n_bytes;
    test_step("a request to load a model, in both forms");
    lipc_request request = simple();
    request.load_path = "/models/ü.gguf";
    request.n_messages = 0;
    request.detachable = 1;
    request.priority = 7;
    char *bytes = encode(&request, &n_bytes);
    const lipc_request_header *header = (const void *)bytes;
    const lipc_request_item *item = (const void *)(bytes + sizeof *header);
    for (int is_old = 0; is_old < 2; is_old++) {
        if (is_old) request_write_load_flag(&request, n_bytes, bytes);
        CHECK_INT(header->operation, ==, is_old ? LIPC_OPERATION_ANSWER : LIPC_OPERATION_LOAD);
        CHECK_INT(header->flags, ==, LIPC_FLAG_DETACHABLE | (is_old ? LIPC_FLAG_LOAD : 0));
        CHECK_INT(item->kind, ==, is_old ? LIPC_ITEM_MESSAGE : LIPC_ITEM_MODEL_PATH);
        CHECK_TEXT(item->role, is_old ? "user" : "");
        CHECK_SAY(request_read(bytes, n_bytes, &view, message) == 0, "refused: %s", message);
        CHECK_TEXT(view.load_path, request.load_path);
        CHECK(view.n_messages == 0 && !view.document && view.header.priority == 7);
        CHECK_INT(view.header.flags & LIPC_FLAG_DETACHABLE, ==, LIPC_FLAG_DETACHABLE);
    }
    free(bytes);
}

/* The client's side refuses it, with a sentence that holds `word`. */
static void refuse(const lipc_request *request, const char *word) {
    size_t n_bytes;
    message[0] = 0;
    CHECK_SAY(request_measure(request, &n_bytes, message) == LIPC_E_INVALID, "accepted: %s", word);
    CHECK_SAY(strstr(message, word), "'%s' does not say '%s'", message, word);
}

#define REFUSE(word, ...)                                                                                              \
    do {                                                                                                               \
        lipc_request request = simple();                                                                               \
        __VA_ARGS__;                                                                                                   \
        refuse(&request, word);                                                                                        \
    } while (0)

static void check_refusals(void) {
    static const char *const many[LIPC_STOPS_MAX + 1] = {"1", "2", "3", "4", "5", "6", "7", "8", "9",
                                                         "a", "b", "c", "d", "e", "f", "g", "h"};
    static char long_stop[LIPC_STOP_BYTES_MAX + 2];
    static lipc_message crowd[LIPC_ITEMS_MAX];
    memset(long_stop, 's', LIPC_STOP_BYTES_MAX + 1);
    for (size_t i = 0; i < LIPC_ITEMS_MAX; i++) crowd[i] = hello;
    test_step("the client's refusals");
    REFUSE("no message", request.n_messages = 0);
    REFUSE("no message", request.n_messages = -5);
    REFUSE("no message", request.messages = NULL);
    REFUSE("too many", request.messages = crowd; request.n_messages = LIPC_ITEMS_MAX);
    REFUSE("no role", request.messages = &(lipc_message){NULL, "t"});
    REFUSE("no text", request.messages = &(lipc_message){"user", NULL});
    REFUSE("'tool'", request.messages = &(lipc_message){"tool", "t"});
    REFUSE("'us?er", request.messages = &(lipc_message){"us\x1b" "er and a very long tail that nobody wants", "t"});
    REFUSE("UTF-8", request.messages = &(lipc_message){"user", "a\xff"});
    REFUSE("UTF-8", request.messages = &(lipc_message){"user", "cut \xf0\x9f\x9a"});
    REFUSE("n_stops", request.n_stops = -1);
    REFUSE("n_stops", request.n_stops = 1);
    REFUSE("stop string 1 has 0", request.stops = &(const char *){""}; request.n_stops = 1);
    REFUSE("stop string 1 has 0", request.stops = &(const char *){NULL}; request.n_stops = 1);
    REFUSE("has 257", request.stops = &(const char *){long_stop}; request.n_stops = 1);
    REFUSE("more than 16", request.stops = many; request.n_stops = LIPC_STOPS_MAX + 1);
    REFUSE("UTF-8", request.stops = &(const char *){"\xc3"}; request.n_stops = 1);
    REFUSE("grammar", request.grammar = "\xc3");
    REFUSE("n_predict", request.n_predict = -2);
    REFUSE("top_k", request.top_k = -1);
    REFUSE("repeat_last_n", request.repeat_last_n = -2);
    REFUSE("temperature", request.temperature = -0.1f);
    REFUSE("temperature", request.temperature = INFINITY);
    REFUSE("min_p", request.min_p = 1.1f);
    REFUSE("top_p", request.top_p = -1);
    REFUSE("repeat_penalty", request.repeat_penalty = 0);
    REFUSE("frequency_penalty", request.frequency_penalty = 101);
    REFUSE("presence_penalty", request.presence_penalty = -101);
    REFUSE("priority", request.priority = 101);
    REFUSE("seed", request.seed = -3);
    REFUSE("seed", request.seed = 4294967295);
    REFUSE("message 2 has no role or no text", request.messages = (lipc_message[]){hello, {"user", NULL}};
           request.n_messages = 2);
    REFUSE("message 2 is not valid", request.messages = (lipc_message[]){hello, {"user", "\xff"}};
           request.n_messages = 2);
    REFUSE("stop string 2 has 0", request.stops = (const char *[]){"x", ""}; request.n_stops = 2);
    REFUSE("too many: expected at most 4079", request.messages = crowd;
           request.n_messages = LIPC_ITEMS_MAX - LIPC_STOPS_MAX);
    lipc_request widest = simple();
    widest.stops = many;
    widest.n_stops = LIPC_STOPS_MAX;
    widest.messages = crowd;
    widest.n_messages = LIPC_ITEMS_MAX - LIPC_STOPS_MAX - 1;
    widest.grammar = "root ::= \"a\"";
    request_view view;
    size_t n_bytes;
    char *bytes = encode(&widest, &n_bytes);
    CHECK_SAY(request_read(bytes, n_bytes, &view, message) == 0, "refused: %s", message);
    free(bytes);
}

/* The last value that is taken and the first that is not, on both sides of each number: what the client's side takes
 * the host's side takes as well, for it is one set of rules. */
static void accept(const lipc_request *request, const char *what) {
    request_view view;
    size_t n_bytes;
    CHECK_SAY(request_measure(request, &n_bytes, message) == 0, "%s: refused: %s", what, message);
    char *bytes = encode(request, &n_bytes);
    CHECK_SAY(request_read(bytes, n_bytes, &view, message) == 0, "%s: the host refuses: %s", what, message);
    free(bytes);
}

#define ACCEPT(...)                                                                                                    \
    do {                                                                                                               \
        lipc_request request = simple();                                                                               \
        __VA_ARGS__;                                                                                                   \
        accept(&request, #__VA_ARGS__);                                                                                \
    } while (0)

/* Both ends of a number's range. */
#define RANGE(field, low, below, high, above)                                                                          \
    do {                                                                                                               \
        ACCEPT(request.field = (low));                                                                                 \
        ACCEPT(request.field = (high));                                                                                \
        REFUSE(#field " is", request.field = (below));                                                                 \
        REFUSE(#field " is", request.field = (above));                                                                 \
    } while (0)
#define REAL_RANGE(field, low, high) RANGE(field, low, nextafterf(low, -INFINITY), high, nextafterf(high, INFINITY))
/* LIPC_INT_DEFAULT is the smallest number and no value; everything from `low` on is one. */
#define FROM(field, low)                                                                                               \
    do {                                                                                                               \
        ACCEPT(request.field = LIPC_INT_DEFAULT);                                                                      \
        REFUSE(#field " is", request.field = LIPC_INT_DEFAULT + 1);                                                    \
        RANGE(field, low, (low) - 1, INT32_MAX, (low) - 1);                                                            \
    } while (0)

static void check_edges(void) {
    char text[LIPC_STOP_BYTES_MAX + 1];
    test_step("the last good value and the first bad one");
    RANGE(priority, -100, -101, 100, 101);
    RANGE(seed, LIPC_SEED_DEFAULT, LIPC_SEED_DEFAULT - 1, 4294967294, 4294967295);
    FROM(n_predict, -1);
    FROM(top_k, 0);
    FROM(repeat_last_n, -1);
    REAL_RANGE(temperature, 0.0f, 100.0f);
    REAL_RANGE(min_p, 0.0f, 1.0f);
    REAL_RANGE(top_p, 0.0f, 1.0f);
    REAL_RANGE(repeat_penalty, 0.01f, 100.0f);
    REAL_RANGE(frequency_penalty, -100.0f, 100.0f);
    REAL_RANGE(presence_penalty, -100.0f, 100.0f);
    memset(text, 's', LIPC_STOP_BYTES_MAX);
    text[LIPC_STOP_BYTES_MAX] = 0;
    ACCEPT(request.stops = &(const char *){text}; request.n_stops = 1);
    text[1] = 0;
    ACCEPT(request.stops = &(const char *){text}; request.n_stops = 1);
    ACCEPT(request.n_stops = 0; request.stops = NULL);

    test_step("a request to load a model: one absolute path, and nothing else");
    char *path = malloc(LIPC_MODEL_PATH_MAX + 2);
    memset(path, 'p', LIPC_MODEL_PATH_MAX + 1);
    path[0] = '/';
    path[LIPC_MODEL_PATH_MAX + 1] = 0;
#define LOAD(path) request.load_path = (path); request.n_messages = 0; request.messages = NULL
    REFUSE("4096 bytes", LOAD(path));
    path[LIPC_MODEL_PATH_MAX] = 0;
    ACCEPT(LOAD(path));
    ACCEPT(LOAD("/"); request.detachable = 1; request.priority = 7);
    REFUSE("absolute", LOAD("model.gguf"));
    REFUSE("absolute", LOAD(""));
    REFUSE("the model's path, load_path, is not valid UTF-8", LOAD("/\xff"));
    REFUSE("priority", LOAD("/"); request.priority = 101);
    REFUSE("to load a model has a path, load_path,", request.load_path = "/"); /* beside a message */
    REFUSE("nothing else", LOAD(path); request.grammar = "g");
    REFUSE("nothing else", LOAD(path); request.stops = &(const char *){"s"}; request.n_stops = 1);
    REFUSE("nothing else", LOAD(path); request.document = "{}");
    REFUSE("nothing else", LOAD(path); request.render = 1);
    free(path);

    test_step("requests to save and to restore a state");
    char *state = malloc(LIPC_MODEL_PATH_MAX + 2);
    memset(state, 'p', LIPC_MODEL_PATH_MAX + 1);
    state[0] = '/';
    state[LIPC_MODEL_PATH_MAX + 1] = 0;
#define RESTORE(path) request.restore_path = (path); request.n_messages = 0; request.messages = NULL
    REFUSE("4096 bytes", RESTORE(state));
    REFUSE("4096 bytes", request.save_path = state);
    state[LIPC_MODEL_PATH_MAX] = 0;
    ACCEPT(RESTORE(state));
    ACCEPT(request.save_path = state; request.stops = &(const char *){"s"}; request.n_stops = 1);
    REFUSE("absolute", RESTORE("file"));
    REFUSE("absolute", request.save_path = "file");
    REFUSE("UTF-8", RESTORE("/\xff"));
    REFUSE("UTF-8", request.save_path = "/\xff");
    REFUSE("to restore a state has a path, restore_path,", request.restore_path = "/"); /* beside a message */
    REFUSE("nothing else", RESTORE("/"); request.save_path = "/");
    REFUSE("nothing else", RESTORE("/"); request.load_path = "/");
    REFUSE("nothing else", request.save_path = "/"; request.load_path = "/"; request.n_messages = 0);
    REFUSE("no message", request.save_path = "/"; request.n_messages = 0);
    REFUSE("at a time", request.save_path = "/"; request.render = 1);
    free(state);

    test_step("a document in place of messages");
#define DOCUMENT(text) request.document = (text); request.n_messages = 0; request.messages = NULL
    ACCEPT(DOCUMENT("{}"));
    ACCEPT(DOCUMENT(" {\"messages\": []} "); request.render = 1; request.grammar = "g");
    REFUSE("messages beside it", request.document = "{}");
    REFUSE("not valid JSON: byte 0", DOCUMENT(""));
    REFUSE("not valid JSON: byte 4", DOCUMENT("{\"a\"}"));
    REFUSE("no object", DOCUMENT("[]"));
    REFUSE("UTF-8", DOCUMENT("{\"a\": \"\xff\"}"));

    test_step("how a role is shown");
    REFUSE("the role ' ~?' is", request.messages = &(lipc_message){" ~\x7f", "t"});
    REFUSE("the role '?' is", request.messages = &(lipc_message){"\x1f", "t"});
    REFUSE("the role '0123456789abcdefghijklm' is",
           request.messages = &(lipc_message){"0123456789abcdefghijklmnop", "t"});
}

/* ---- the host's side ---- */

static char *good;
static size_t n_good;

/* A copy of the good request with `size` bytes changed at `at`; the host must refuse it, saying `word`. */
static void lie(size_t at, const void *bytes, size_t size, const char *word) {
    request_view view;
    char *copy = malloc(n_good);
    memcpy(copy, good, n_good);
    memcpy(copy + at, bytes, size);
    message[0] = 0;
    int error = request_read(copy, n_good, &view, message);
    CHECK_SAY(error == LIPC_E_REFUSED, "byte %zu: accepted (%d), expected '%s'", at, error, word);
    CHECK_SAY(strstr(message, word) && test_is_utf8(message, strlen(message)), "'%s' does not say '%s'", message, word);
    free(copy);
}

static void lie_u32(size_t at, uint32_t value, const char *word) {
    lie(at, &value, sizeof value, word);
}

static void lie_real(size_t at, float value, const char *word) {
    lie(at, &value, sizeof value, word);
}

#define IN_HEADER(field) offsetof(lipc_request_header, field)
#define IN_ITEM(field) (sizeof(lipc_request_header) + offsetof(lipc_request_item, field))

/* Any parameter may come by its name, whatever the header says; the later wins. */
static void check_named(void) {
    char bytes[512] = {0};
    request_view view;
    size_t n_bytes;
    test_step("parameters by name, in the segment");
    const lipc_request request = simple();
    request_measure(&request, &n_bytes, message);
    CHECK(!request_has_named(&request) && n_bytes + 2 * (24 + 24) <= sizeof bytes);
    request_write(&request, n_bytes, bytes);
    lipc_request_header *header = (lipc_request_header *)(void *)bytes;
    static const char *const named[] = {"top_k=40", "top_k=41"};
    for (int i = 0; i < 2; i++) {
        lipc_request_item item = {.kind = LIPC_ITEM_PARAMETER, .n_bytes = (uint32_t)strlen(named[i])};
        memcpy(bytes + n_bytes, &item, sizeof item);
        memcpy(bytes + n_bytes + sizeof item, named[i], item.n_bytes);
        n_bytes += 24 + (item.n_bytes + 8) / 8 * 8;
        header->n_items++;
        header->n_bytes = (uint32_t)n_bytes;
    }
    header->top_k = 3;
    CHECK_SAY(request_read(bytes, n_bytes, &view, message) == 0, "%s", message);
    CHECK(view.parameters.top_k == 41 && view.header.top_k == 3);
    bytes[n_bytes - 12] = '!';
    CHECK_INT(request_read(bytes, n_bytes, &view, message), ==, LIPC_E_REFUSED);
}

static void check_lies(void) {
    static const char *const stops[] = {"stop"};
    const size_t first = sizeof(lipc_request_header), second = first + 24 + 8, third = second + 24 + 8;
    request_view view;
    test_step("the host's refusals");
    lipc_request request = simple();
    request.stops = stops;
    request.n_stops = 1;
    request.grammar = "g";
    good = encode(&request, &n_good);
    CHECK_INT(request_read(good, n_good, &view, message), ==, 0);
    CHECK_INT(n_good, ==, third + 24 + 8);

    lie_u32(IN_HEADER(n_bytes), (uint32_t)n_good + 8, "says it has");
    lie_u32(IN_HEADER(n_bytes), 0, "says it has");
    lie_u32(IN_HEADER(flags), 32, "flags");
    lie_u32(IN_HEADER(flags), LIPC_FLAG_LOAD | LIPC_FLAG_RENDER, "and no other");
    lie_u32(IN_ITEM(kind), LIPC_ITEM_DOCUMENT, "not valid JSON");
    lie_u32(IN_ITEM(kind), LIPC_ITEM_MODEL_PATH, "a model's path in a request for an answer");
    lie_u32(IN_HEADER(flags), LIPC_FLAG_LOAD, "and no other");
    lie_u32(IN_HEADER(operation), LIPC_OPERATION_LOAD, "and no other");
    lie_u32(IN_HEADER(operation), LIPC_OPERATION_RESTORE + 1, "unknown operation 4");
    lie_u32(IN_HEADER(operation), UINT32_MAX, "unknown operation 4294967295");
    lie_u32(IN_HEADER(flags), UINT32_MAX, "flags");
    lie_u32(IN_HEADER(n_items), 4, "beyond");
    lie_u32(IN_HEADER(n_items), 2, "behind the last");
    lie_u32(IN_HEADER(n_items), 0, "behind the last");
    lie_u32(IN_HEADER(n_items), UINT32_MAX, "too many");
    lie_u32(IN_HEADER(n_predict), (uint32_t)-2, "n_predict");
    lie_u32(IN_HEADER(top_k), (uint32_t)-7, "top_k");
    lie_u32(IN_HEADER(repeat_last_n), (uint32_t)-9, "repeat_last_n");
    lie_u32(IN_HEADER(priority), 1000, "priority");
    lie(IN_HEADER(seed), &(int64_t){INT64_MIN}, 8, "seed");
    lie_real(IN_HEADER(temperature), -INFINITY, "temperature");
    lie_real(IN_HEADER(min_p), 2, "min_p");
    lie_real(IN_HEADER(top_p), 2, "top_p");
    lie_real(IN_HEADER(repeat_penalty), 0, "repeat_penalty");
    lie_real(IN_HEADER(frequency_penalty), 1e30f, "frequency_penalty");
    lie_real(IN_HEADER(presence_penalty), -1e30f, "presence_penalty");

    static const uint32_t lengths[] = {8, 1000, 0x7FFFFFFF, 0xFFFFFFE0, 0xFFFFFFF0, 0xFFFFFFF7, 0xFFFFFFF8, 0xFFFFFFFF};
    for (size_t item = 0; item < 3; item++)
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            if (item < 2 && lengths[i] == 8)
                continue; /* lies within the request: what then goes wrong is the next item */
            size_t at = (item == 0 ? first : item == 1 ? second : third) + offsetof(lipc_request_item, n_bytes);
            lie_u32(at, lengths[i], "more than there are");
        }
    lie_u32(IN_ITEM(n_bytes), 4, "not terminated");
    lie_u32(IN_ITEM(kind), 0, "unknown kind");
    lie_u32(IN_ITEM(kind), LIPC_ITEM_STOP, "no message");
    lie_u32(second + offsetof(lipc_request_item, kind), LIPC_ITEM_GRAMMAR, "more than one grammar");
    lie_u32(second + offsetof(lipc_request_item, n_bytes), 0, "not terminated");
    lie(IN_ITEM(role), "operator", 9, "'operator'");
    lie(IN_ITEM(role), "0123456789abcdef", 16, "not terminated");
    lie(IN_ITEM(role), "\xff\n", 3, "'?" "?'");
    lie(first + 24, "\xff", 1, "UTF-8");
    lie(first + 24, "", 1, "zero byte");
    lie(second + 24, "\xc3", 1, "UTF-8");
    lie(third + 24, "\x80", 1, "UTF-8");
    lie(first + 24 + 5, "x", 1, "not terminated");

    lie(second + 24, "", 1, "stop string 1 contains");
    lie(first + 24, "\xff", 1, "message 1 is");
    lie_u32(second + offsetof(lipc_request_item, n_bytes), 1000, "item 2");

    test_step("a header and nothing else");
    lipc_request_header alone;
    memcpy(&alone, good, sizeof alone);
    alone.n_bytes = sizeof alone;
    alone.n_items = 0;
    CHECK_INT(request_read((const char *)&alone, sizeof alone, &view, message), ==, LIPC_E_REFUSED);
    CHECK_TEXT(message, "the request has no message");
    alone.n_items = LIPC_ITEMS_MAX;
    CHECK_INT(request_read((const char *)&alone, sizeof alone, &view, message), ==, LIPC_E_REFUSED);
    CHECK_TEXT(message, "item 1 lies beyond the request's end");
    alone.n_items = LIPC_ITEMS_MAX + 1;
    CHECK_INT(request_read((const char *)&alone, sizeof alone, &view, message), ==, LIPC_E_REFUSED);
    CHECK_TEXT(message, "4097 items are too many: expected at most 4096");

    test_step("requests that end early");
    for (size_t n_bytes = 0; n_bytes < n_good; n_bytes++) {
        char *cut = malloc(n_bytes ? n_bytes : 1);
        memcpy(cut, good, n_bytes);
        CHECK_INT(request_read(cut, n_bytes, &view, message), ==, LIPC_E_REFUSED);
        if (n_bytes >= sizeof(lipc_request_header)) {
            memcpy(cut, &(uint32_t){(uint32_t)n_bytes}, 4); /* and says so */
            CHECK_INT(request_read(cut, n_bytes, &view, message), ==, LIPC_E_REFUSED);
            if (n_bytes == first + sizeof(lipc_request_item)) CHECK(strstr(message, "item 1 says it has 5 bytes"));
        }
        free(cut);
    }
    free(good);
}

int main(void) {
    test_begin("request_rules", 60);
    check_round_trip();
    check_load_forms();
    check_state_forms();
    check_refusals();
    check_edges();
    check_named();
    check_lies();
    return test_end();
}
