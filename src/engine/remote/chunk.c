/* chunk.c - see chunk.h. */
#include "chunk.h"

#include "secret.h"

#include "../../text/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_MOST 2048 /* bytes of a sentence before it is shortened */

__attribute__((format(printf, 2, 3))) static bool wrong(chunks *chunks, const char *format, ...) {
    va_list arguments;
    char text[WHOLE_MOST];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* The key first: of one that is cut, a part would be left. */
    size_t n = utf8_fit(text, secret_remove(chunks->key, text, strlen(text)), sizeof chunks->words - 1);
    memcpy(chunks->words, text, n);
    chunks->words[secret_remove(chunks->key, chunks->words, n)] = 0;
    chunks->message = chunks->words;
    return false;
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

/* A number from 0 to INT32_MAX, or `otherwise` for what is none. Behind a number in JSON stands what ends it. */
static int32_t count_of(json_slice value, int32_t otherwise) {
    double number = json_kind(value) == '0' ? strtod(value.at, NULL) : -1;
    if (!(number >= 0)) return otherwise;
    return number < INT32_MAX ? (int32_t)number : INT32_MAX;
}

typedef struct string {
    const char *at; /* terminated */
    size_t n;
} string;

/* The strings of an event lie in it one behind the other, so there is room for all of them. */
static string keep(chunks *chunks, json_slice value) {
    string kept = {chunks->strings + chunks->n_strings, 0};
    kept.n = json_text(value, chunks->strings + chunks->n_strings);
    chunks->n_strings += kept.n + 1;
    return kept;
}

/* A member that is a string, or absent or null, which is the same as empty. */
static bool read_string(chunks *chunks, json_slice object, const char *name, string *found) {
    json_slice value = json_member(object, name);
    *found = (string){"", 0};
    if (json_kind(value) == '"') *found = keep(chunks, value);
    else if (value.at && json_kind(value) != 'n') return wrong(chunks, "'%s' is no string", name);
    return true;
}

static bool make_room(chunks *chunks, size_t n_bytes) {
    chunks->n_strings = 0;
    if (chunks->strings_size >= n_bytes + 1) return true;
    char *larger = realloc(chunks->strings, (n_bytes + 1) * 2);
    if (!larger) return wrong(chunks, "not enough memory for an event");
    chunks->strings = larger;
    chunks->strings_size = (n_bytes + 1) * 2;
    return true;
}

/* ---- parts ----------------------------------------------------------------------------------------------------------- */

static bool add_delta(chunks *chunks, const engine_delta *delta) {
    if (chunks->n_deltas == chunks->deltas_size) {
        size_t size = chunks->deltas_size * 2 + 4;
        engine_delta *larger = size <= 4 * CHUNK_CALLS_MAX ? realloc(chunks->deltas, size * sizeof *larger) : NULL;
        if (!larger) return wrong(chunks, "an event has too many parts");
        chunks->deltas = larger;
        chunks->deltas_size = size;
    }
    chunks->deltas[chunks->n_deltas] = *delta;
    chunks->deltas[chunks->n_deltas++].n_before = chunks->n_bytes;
    return true;
}

static bool add_arguments(chunks *chunks, const char *bytes, size_t n_bytes) {
    if (chunks->arguments.n_bytes + n_bytes > CHUNK_ARGUMENTS_MAX)
        return wrong(chunks, "the arguments for '%s' have more than %u bytes", chunks->call_name, CHUNK_ARGUMENTS_MAX);
    json_put(&chunks->arguments, bytes, n_bytes);
    return !chunks->arguments.has_failed || wrong(chunks, "not enough memory for the arguments of a call");
}

/* The call that may grow does not any more. */
static bool complete_call(chunks *chunks) {
    json_slice value;
    if (!chunks->is_in_call) return true;
    if (chunks->arguments.n_bytes == 0) {
        if (!add_arguments(chunks, "{}", 2) ||
            !add_delta(chunks, &(engine_delta){.kind = ENGINE_PART_CALL, .bytes = "{}", .n_bytes = 2})) return false;
    }
    chunks->is_in_call = false;
    if (json_check(chunks->arguments.text, chunks->arguments.n_bytes, &value, NULL) && json_kind(value) == '{') return true;
    return wrong(chunks, "the arguments for '%s' are no JSON object", chunks->call_name);
}

static bool add_thought(chunks *chunks, string thought) {
    if (thought.n == 0) return true;
    if (!complete_call(chunks)) return false;
    const engine_delta delta = {.kind = ENGINE_PART_THOUGHT, .begins = !chunks->is_in_thought, .bytes = thought.at, .n_bytes = thought.n};
    chunks->is_in_thought = true;
    return add_delta(chunks, &delta);
}

static bool add_text(chunks *chunks, string text) {
    if (text.n == 0) return true;
    if (!complete_call(chunks)) return false;
    chunks->is_in_thought = false;
    chunks->text = text.at;
    chunks->n_bytes = text.n;
    return true;
}

/* ---- calls ----------------------------------------------------------------------------------------------------------- */

typedef struct call {
    int64_t index; /* -1: not said */
    string id, name, arguments;
} call;

static bool read_call(chunks *chunks, json_slice element, call *call) {
    json_slice function = json_member(element, "function"), arguments = json_member(function, "arguments");
    if (json_kind(element) != '{') return wrong(chunks, "a tool call is no object");
    call->index = count_of(json_member(element, "index"), -1);
    if (!read_string(chunks, element, "id", &call->id) || !read_string(chunks, function, "name", &call->name)) return false;
    if (json_kind(arguments) != '{') return read_string(chunks, function, "arguments", &call->arguments);
    char *copy = chunks->strings + chunks->n_strings; /* as some servers have it */
    memcpy(copy, arguments.at, arguments.n_bytes);
    copy[arguments.n_bytes] = 0;
    chunks->n_strings += arguments.n_bytes + 1;
    call->arguments = (string){copy, arguments.n_bytes};
    return true;
}

/* Whether it is another call than the one that may grow. Some servers number none of them, or all alike. */
static bool is_new_call(const chunks *chunks, const call *call) {
    if (!chunks->is_in_call || call->index > chunks->call_index) return true;
    if (call->index < 0 && call->id.n == 0) return call->name.n > 0;
    return call->name.n > 0 && call->id.n > 0 && strcmp(call->id.at, chunks->call_id) != 0;
}

static bool begin_call(chunks *chunks, const call *call) {
    if (!complete_call(chunks)) return false;
    if (call->name.n == 0) return wrong(chunks, "a tool call has no name");
    if (call->name.n > ENGINE_CALL_NAME_MAX || call->id.n > ENGINE_CALL_ID_MAX)
        return wrong(chunks, "the name or the id of a tool call has more than %d bytes", ENGINE_CALL_NAME_MAX);
    memcpy(chunks->call_name, call->name.at, call->name.n + 1);
    memcpy(chunks->call_id, call->id.at, call->id.n + 1);
    chunks->call_index = call->index;
    chunks->is_in_call = true;
    chunks->is_in_thought = false;
    chunks->arguments.n_bytes = 0;
    return true;
}

static bool add_call(chunks *chunks, json_slice element) {
    call call;
    if (!read_call(chunks, element, &call)) return false;
    bool begins = is_new_call(chunks, &call);
    if (!begins && call.index >= 0 && call.index < chunks->call_index) return wrong(chunks, "a tool call grows that was complete");
    if (begins && !begin_call(chunks, &call)) return false;
    if (!begins && call.arguments.n == 0) return true;
    const engine_delta delta = {.kind = ENGINE_PART_CALL, .begins = begins, .id = begins ? call.id.at : NULL,
                                .name = begins ? call.name.at : NULL, .bytes = call.arguments.at, .n_bytes = call.arguments.n};
    return add_arguments(chunks, call.arguments.at, call.arguments.n) && add_delta(chunks, &delta);
}

/* ---- an event ---------------------------------------------------------------------------------------------------------- */

static bool read_delta(chunks *chunks, json_slice delta) {
    string thought, text, refusal;
    json_slice calls = json_member(delta, "tool_calls"), element = {NULL, 0};
    bool is_short = json_kind(json_member(delta, "reasoning_content")) != '"'; /* under its shorter name, if at all */
    if (!read_string(chunks, delta, is_short ? "reasoning" : "reasoning_content", &thought) ||
        !read_string(chunks, delta, "content", &text) || !read_string(chunks, delta, "refusal", &refusal)) return false;
    if (refusal.n > 0) return wrong(chunks, "the model refuses: %.1500s", refusal.at);
    if (!add_thought(chunks, thought) || !add_text(chunks, text)) return false;
    while ((element = json_next(calls, element)).at)
        if (!add_call(chunks, element)) return false;
    return true;
}

/* The probability of the piece is the product of those of its tokens. */
static float logprob_of(json_slice choice) {
    json_slice tokens = json_member(json_member(choice, "logprobs"), "content"), token = {NULL, 0};
    double sum = 0;
    bool has_any = false;
    while ((token = json_next(tokens, token)).at) {
        json_slice value = json_member(token, "logprob");
        sum += json_kind(value) == '0' ? strtod(value.at, NULL) : NAN;
        has_any = true;
    }
    return has_any && isfinite(sum) ? (float)sum : NAN;
}

static bool read_choice(chunks *chunks, json_slice choice) {
    string finish;
    json_slice delta = json_member(choice, "delta");
    bool was_over = chunks->finish[0] != 0;
    if (json_kind(choice) != '{') return wrong(chunks, "a choice is no object");
    if (!read_string(chunks, choice, "finish_reason", &finish)) return false;
    if (finish.n >= sizeof chunks->finish) return wrong(chunks, "'finish_reason' has more than %d bytes", CHUNK_WORD_MAX - 1);
    chunks->logprob = logprob_of(choice);
    if (json_kind(delta) == '{' && !read_delta(chunks, delta)) return false;
    if (was_over && (chunks->n_bytes > 0 || chunks->n_deltas > 0)) return wrong(chunks, "more of it comes behind the end");
    if (finish.n > 0) memcpy(chunks->finish, finish.at, finish.n + 1);
    return true;
}

static void read_usage(chunks *chunks, json_slice usage) {
    if (json_kind(usage) != '{') return;
    chunks->has_usage = true;
    chunks->n_prompt = count_of(json_member(usage, "prompt_tokens"), 0);
    chunks->n_completion = count_of(json_member(usage, "completion_tokens"), 0);
    chunks->n_cached = count_of(json_member(json_member(usage, "prompt_tokens_details"), "cached_tokens"), 0);
    if (chunks->n_cached > chunks->n_prompt) chunks->n_cached = chunks->n_prompt;
}

static bool read_object(chunks *chunks, json_slice object) {
    json_slice error = json_member(object, "error"), choices = json_member(object, "choices"), choice = {NULL, 0};
    if (error.at && json_kind(error) != 'n') {
        char text[200];
        chunk_error_text(object.at, object.n_bytes, chunks->key, text, sizeof text);
        return wrong(chunks, "%s", text);
    }
    read_usage(chunks, json_member(object, "usage"));
    while ((choice = json_next(choices, choice)).at) /* one was asked for */
        if (count_of(json_member(choice, "index"), 0) == 0) return read_choice(chunks, choice);
    return true;
}

chunk_found chunks_read(chunks *chunks, const char *data, size_t n_bytes) {
    static const char done[] = "[DONE]";
    json_slice object;
    chunks->text = "";
    chunks->n_bytes = chunks->n_deltas = 0;
    chunks->logprob = NAN;
    if (n_bytes == sizeof done - 1 && memcmp(data, done, n_bytes) == 0) return CHUNK_DONE;
    bool is_object = json_check(data, n_bytes, &object, NULL) && json_kind(object) == '{';
    if (!is_object) wrong(chunks, "an event is no JSON object");
    if (!is_object || !make_room(chunks, n_bytes) || !read_object(chunks, object)) return CHUNK_WRONG;
    return chunks->n_bytes > 0 || chunks->n_deltas > 0 ? CHUNK_PIECE : CHUNK_NOTHING;
}

chunk_found chunks_complete(chunks *chunks) {
    chunks->text = "";
    chunks->n_bytes = chunks->n_deltas = 0;
    chunks->logprob = NAN;
    if (!complete_call(chunks)) return CHUNK_WRONG;
    return chunks->n_deltas > 0 ? CHUNK_PIECE : CHUNK_NOTHING;
}

void chunks_free(chunks *chunks) {
    free(chunks->strings);
    free(chunks->deltas);
    free(chunks->arguments.text);
    *chunks = (struct chunks){.key = chunks->key};
}

/* ---- errors -------------------------------------------------------------------------------------------------------------- */

/* The value that says what is wrong, as servers have it. */
static json_slice sentence_in(json_slice object) {
    json_slice error = json_member(object, "error"), inner = json_member(error, "message");
    if (json_kind(inner) == '"') return inner;
    if (json_kind(error) == '"' || json_kind(error) == '{') return error;
    json_slice message = json_member(object, "message"), detail = json_member(object, "detail");
    return message.at ? message : detail.at ? detail : object;
}

void chunk_error_text(const char *body, size_t n_bytes, const char *key, char *text, size_t size) {
    json_slice object, found = {body, n_bytes};
    if (json_check(body, n_bytes, &object, NULL) && json_kind(object) == '{') found = sentence_in(object);
    bool is_string = json_kind(found) == '"' && found.at != body;
    char *plain = malloc(found.n_bytes + 1);
    size_t n = 0;
    if (plain && is_string) n = json_text(found, plain);
    else if (plain && found.n_bytes > 0) memcpy(plain, found.at, n = found.n_bytes);
    /* The key first, and what is left of one that was cut here. */
    if (plain) n = utf8_repair(plain, secret_remove(key, plain, n), text, size - 1);
    n = secret_remove(key, text, n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) text[i] = ' ';
    while (n > 0 && text[n - 1] == ' ') n--;
    text[n] = 0;
    free(plain);
}
