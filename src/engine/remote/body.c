/* body.c - see body.h.
 *
 * What the protocol has no place for is refused by its name: a server that does not know a member passes it over without a word, and
 * the answer would look as if it had been heeded. What is left to the engine is left to the server. */
#include "body.h"

#include "../../text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MOST 80 /* bytes of what is wrong */

typedef struct writing {
    const engine_request *request;
    json_writer *body;
    json_slice template_arguments; /* of the document */
    char thinking;                 /* 't', 'f' (of true, false), or 0: not said */
    bool has_messages;
    char *message;
    size_t message_size;
} writing;

#define WRONG(writing, error, ...) (snprintf((writing)->message, (writing)->message_size, __VA_ARGS__), (error))

/* ---- pieces -------------------------------------------------------------------------------------------------------- */

/* `name` with its quotes. */
static void put_name(json_writer *body, const char *name) {
    json_puts(body, ",\"");
    json_puts(body, name);
    json_puts(body, "\":");
}

static void put_slice(json_writer *body, const char *name, json_slice value) {
    put_name(body, name);
    json_put(body, value.at, value.n_bytes);
}

static void put_integer(json_writer *body, const char *name, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    put_name(body, name);
    json_puts(body, text);
}

/* As short as it can be read back: 0.7 and not 0.699999988. */
static void put_real(json_writer *body, const char *name, float value) {
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    put_name(body, name);
    json_puts(body, text);
}

/* ---- parameters ---------------------------------------------------------------------------------------------------- */

/* Those that the protocol has, or that servers have added under one name. */
static bool is_known(const char *name) {
    static const char *const known[] = {"temperature",       "top_p",            "top_k",         "min_p",
                                        "frequency_penalty", "presence_penalty", "repeat_penalty"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i]) == 0) return true;
    return false;
}

const char *body_find_unknown(const engine_sampling *sampling) {
#define LOOK(name, kind, ...) if (LIPC_PARAMETER_IS_SET_##kind(sampling->name) && !is_known(#name)) return #name;
    LIPC_SAMPLING_MAP(LOOK)
#undef LOOK
    return NULL;
}

static int put_parameters(writing *writing) {
    const engine_request *request = writing->request;
    const engine_sampling *sampling = &request->sampling;
    json_writer *body = writing->body;
    const char *unknown = body_find_unknown(sampling);
    if (unknown)
        return WRONG(writing, ENGINE_E_PARAMETER, "the parameter '%s' has no place in a request to a remote server; leave it out", unknown);
    if (request->grammar && request->grammar[0])
        return WRONG(writing, ENGINE_E_GRAMMAR, "a grammar has no place in a request to a remote server; use a JSON schema");
#define PUT_REAL(field, name) if (LIPC_PARAMETER_IS_SET_REAL(sampling->field)) put_real(body, name, sampling->field)
    PUT_REAL(temperature, "temperature");
    PUT_REAL(top_p, "top_p");
    PUT_REAL(min_p, "min_p");
    PUT_REAL(frequency_penalty, "frequency_penalty");
    PUT_REAL(presence_penalty, "presence_penalty");
    PUT_REAL(repeat_penalty, "repeat_penalty");     /* llama-server's name */
    PUT_REAL(repeat_penalty, "repetition_penalty"); /* everybody else's */
#undef PUT_REAL
    if (LIPC_PARAMETER_IS_SET_INTEGER(sampling->top_k)) put_integer(body, "top_k", sampling->top_k);
    if (request->n_predict >= 0) put_integer(body, "max_tokens", request->n_predict);
    if (sampling->ignore_eos) json_puts(body, ",\"ignore_eos\":true");
    if (request->wants_logprobs) json_puts(body, ",\"logprobs\":true");
    /* Some servers read it into 32 bits with a sign. One that nobody asked for is left out: some are slower with any, or have none. */
    if (!sampling->is_seed_drawn) put_integer(body, "seed", sampling->seed & INT32_MAX);
    return ENGINE_OK;
}

/* ---- the conversation ------------------------------------------------------------------------------------------------ */

static void put_messages(json_writer *body, const engine_request *request) {
    put_name(body, "messages");
    for (size_t i = 0; i < request->n_messages; i++) {
        const engine_message *message = &request->messages[i];
        json_puts(body, i > 0 ? ",{\"role\":" : "[{\"role\":");
        json_put_string(body, message->role, strlen(message->role));
        json_puts(body, ",\"content\":");
        json_put_string(body, message->text, strlen(message->text));
        json_puts(body, "}");
    }
    json_puts(body, "]");
}

static int bad_value(writing *writing, const char *name, json_slice value) {
    return WRONG(writing, ENGINE_E_DOCUMENT, "'%s' cannot be %.*s", name, (int)utf8_fit(value.at, value.n_bytes, SHOWN_MOST),
                 value.at);
}

static void put_schema(json_writer *body, json_slice schema) {
    json_puts(body, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true,\"schema\":");
    json_put(body, schema.at, schema.n_bytes);
    json_puts(body, "}}");
}

/* With the name that the protocol wants and ours does without. */
static int take_response_format(writing *writing, const char *name, json_slice value) {
    json_slice given = json_member(value, "json_schema"), schema = json_member(given, "schema");
    if (json_kind(value) != '{') return bad_value(writing, name, value);
    if (json_kind(schema) == '{' && !json_member(given, "name").at) put_schema(writing->body, schema);
    else put_slice(writing->body, name, value);
    return ENGINE_OK;
}

static int take_schema(writing *writing, const char *name, json_slice value) {
    if (json_kind(value) != '{') return bad_value(writing, name, value);
    put_schema(writing->body, value);
    return ENGINE_OK;
}

static int take_messages(writing *writing, const char *name, json_slice value) {
    if (json_kind(value) != '[' || !json_next(value, (json_slice){NULL, 0}).at) return bad_value(writing, name, value);
    writing->has_messages = true;
    put_slice(writing->body, name, value);
    return ENGINE_OK;
}

static int take_as_it_is(writing *writing, const char *name, json_slice value) {
    put_slice(writing->body, name, value);
    return ENGINE_OK;
}

static int take_template_arguments(writing *writing, const char *name, json_slice value) {
    if (json_kind(value) != '{') return bad_value(writing, name, value);
    writing->template_arguments = value;
    return ENGINE_OK;
}

static int take_thinking(writing *writing, const char *name, json_slice value) {
    if (json_kind(value) != 't' && json_kind(value) != 'f') return bad_value(writing, name, value);
    writing->thinking = json_kind(value);
    return ENGINE_OK;
}

static bool is_text(json_slice value, const char *text) {
    return json_kind(value) == '"' && value.n_bytes == strlen(text) + 2 && memcmp(value.at + 1, text, value.n_bytes - 2) == 0;
}

/* Thoughts come apart, as the server has it. */
static int take_reasoning_format(writing *writing, const char *name, json_slice value) {
    if (is_text(value, "auto") || is_text(value, "deepseek")) return ENGINE_OK;
    return WRONG(writing, ENGINE_E_DOCUMENT, "'%s' has no place in a request to a remote server but for auto; leave it out", name);
}

static int take_budget(writing *writing, const char *name, json_slice value) {
    if (value.n_bytes == 2 && memcmp(value.at, "-1", 2) == 0) return ENGINE_OK;
    return WRONG(writing, ENGINE_E_DOCUMENT, "'%s' has no place in a request to a remote server; leave it out", name);
}

typedef struct member {
    const char *name;
    int (*take)(writing *writing, const char *name, json_slice value);
} member;

static const member members[] = {
    {"messages", take_messages},
    {"tools", take_as_it_is},
    {"tool_choice", take_as_it_is},
    {"parallel_tool_calls", take_as_it_is},
    {"reasoning_effort", take_as_it_is},
    {"response_format", take_response_format},
    {"json_schema", take_schema},
    {"chat_template_kwargs", take_template_arguments},
    {"enable_thinking", take_thinking},
    {"reasoning_format", take_reasoning_format},
    {"reasoning_budget_tokens", take_budget},
    {"thinking_budget_tokens", take_budget},
};

/* Both ways of saying whether the model thinks in one. */
static void put_template_arguments(writing *writing) {
    json_slice given = writing->template_arguments, name = {NULL, 0}, value;
    bool is_first = true;
    if (!given.at && !writing->thinking) return;
    put_name(writing->body, "chat_template_kwargs");
    json_puts(writing->body, "{");
    while (json_next_member(given, &name, &value)) {
        if (writing->thinking && is_text(name, "enable_thinking")) continue;
        if (!is_first) json_puts(writing->body, ",");
        json_put(writing->body, name.at, name.n_bytes);
        json_puts(writing->body, ":");
        json_put(writing->body, value.at, value.n_bytes);
        is_first = false;
    }
    if (writing->thinking) {
        json_puts(writing->body, is_first ? "\"enable_thinking\":" : ",\"enable_thinking\":");
        json_puts(writing->body, writing->thinking == 't' ? "true" : "false");
    }
    json_puts(writing->body, "}");
}

static int check_names(writing *writing, json_slice document) {
    json_slice name = {NULL, 0}, value;
    while (json_next_member(document, &name, &value)) {
        size_t i = 0;
        while (i < sizeof members / sizeof members[0] && !is_text(name, members[i].name)) i++;
        if (i == sizeof members / sizeof members[0])
            return WRONG(writing, ENGINE_E_DOCUMENT, "%.*s has no place in a request to a remote server; leave it out",
                         (int)utf8_fit(name.at, name.n_bytes, SHOWN_MOST), name.at);
    }
    return ENGINE_OK;
}

static int put_document(writing *writing) {
    json_slice document;
    const char *text = writing->request->document;
    if (!json_check(text, strlen(text), &document, NULL) || json_kind(document) != '{')
        return WRONG(writing, ENGINE_E_DOCUMENT, "the document is no JSON object");
    int error = check_names(writing, document);
    for (size_t i = 0; i < sizeof members / sizeof members[0] && error == ENGINE_OK; i++) {
        json_slice value = json_member(document, members[i].name); /* of several the last */
        if (value.at && json_kind(value) != 'n') error = members[i].take(writing, members[i].name, value);
    }
    if (error == ENGINE_OK && !writing->has_messages) return WRONG(writing, ENGINE_E_DOCUMENT, "the document has no messages");
    if (error == ENGINE_OK) put_template_arguments(writing);
    return error;
}

int body_write(const engine_request *request, const char *model, json_writer *body, char *message, size_t message_size) {
    writing writing = {.request = request, .body = body, .message = message, .message_size = message_size};
    int error = ENGINE_OK;
    json_puts(body, "{\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    if (model) {
        put_name(body, "model");
        json_put_string(body, model, strlen(model));
    }
    if (request->document) error = put_document(&writing);
    else put_messages(body, request);
    if (error == ENGINE_OK) error = put_parameters(&writing);
    json_puts(body, "}");
    if (error == ENGINE_OK && body->has_failed) return WRONG(&writing, ENGINE_E_NO_MEMORY, "not enough memory for a request");
    return error;
}
