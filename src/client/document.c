/* document.c - writes the JSON documents in which chat models are asked; see lipc.h, "Documents".
 *
 * A document is a list of members, each with its value as JSON text, in the order in which they came. Messages and tools
 * are arrays that grow, and only the last message can be added to, so that a value is always text with its closing bracket
 * left out.
 */
#include "error.h"

#include "../text/json.h"
#include "../text/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct member {
    char *name;
    json_writer value;
} member;

struct lipc_document {
    member *members;
    size_t n_members;
    json_writer messages;   /* whole ones, with commas between them, without brackets */
    json_writer message;    /* the last, without its closing brace; empty: there is none */
    json_writer calls;      /* of the last message, without brackets */
    json_writer tools;      /* as messages */
    json_writer kwargs;     /* members for the template, without braces */
    bool is_assistant;      /* the last message is */
    json_writer json;       /* the whole, as it was asked for last */
};

/* ---- checks -------------------------------------------------------------------------------------------------------- */

static int check_text(const char *what, const char *text) {
    if (!text) return lipc_fail(LIPC_E_INVALID, "%s is NULL", what);
    if (!utf8_is_valid(text, strlen(text))) return lipc_fail(LIPC_E_INVALID, "%s is not valid UTF-8", what);
    return LIPC_E_OK;
}

/* `kind`: '{' wants an object, 0 takes any value. */
static int check_json(const char *what, const char *json, char kind) {
    json_slice value;
    size_t wrong;
    if (!json) return lipc_fail(LIPC_E_INVALID, "%s is NULL", what);
    if (!json_check(json, strlen(json), &value, &wrong))
        return lipc_fail(LIPC_E_INVALID, "%s is not valid JSON: byte %zu is not what may stand there", what, wrong);
    if (kind && json_kind(value) != kind) return lipc_fail(LIPC_E_INVALID, "%s is JSON, but no object", what);
    return LIPC_E_OK;
}

static int check_document(const lipc_document *document) {
    return document ? LIPC_E_OK : lipc_fail(LIPC_E_INVALID, "the document is NULL");
}

/* ---- pieces -------------------------------------------------------------------------------------------------------- */

static void put_text(json_writer *writer, const char *text) {
    json_put_string(writer, text, strlen(text));
}

/* ,"name":"text" */
static void put_text_member(json_writer *writer, const char *name, const char *text) {
    json_puts(writer, ",\"");
    json_puts(writer, name);
    json_puts(writer, "\":");
    put_text(writer, text);
}

/* Puts all of one writer behind another, with a comma if there was something. */
static void put_behind(json_writer *writer, const json_writer *added) {
    if (writer->n_bytes > 0) json_puts(writer, ",");
    json_put(writer, added->text ? added->text : "", added->n_bytes);
    writer->has_failed |= added->has_failed;
}

static void clear(json_writer *writer) {
    free(writer->text);
    *writer = (json_writer){0};
}

/* Takes over what was written: `to` is freed. On failure the document stays as it was. */
static int replace(json_writer *to, json_writer *with) {
    if (with->has_failed) {
        clear(with);
        return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a document");
    }
    clear(to);
    *to = *with;
    return LIPC_E_OK;
}

/* A copy to write on, which replace then puts in the place of the original. */
static json_writer copy_of(const json_writer *writer) {
    json_writer copy = {0};
    if (writer->n_bytes > 0) json_put(&copy, writer->text, writer->n_bytes);
    return copy;
}

/* The last message as it is now, whole. */
static void put_last_message(json_writer *writer, const lipc_document *document) {
    if (document->message.n_bytes == 0) return;
    put_behind(writer, &document->message);
    if (document->calls.n_bytes > 0) {
        json_puts(writer, ",\"tool_calls\":[");
        json_put(writer, document->calls.text, document->calls.n_bytes);
        json_puts(writer, "]");
    }
    json_puts(writer, "}");
}

/* ---- messages ------------------------------------------------------------------------------------------------------ */

/* `message` is the new last one, without its closing brace. */
static int add_message(lipc_document *document, json_writer *message, bool is_assistant) {
    json_writer messages = copy_of(&document->messages);
    put_last_message(&messages, document);
    if (messages.has_failed || message->has_failed) {
        clear(&messages);
        clear(message);
        return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a document");
    }
    replace(&document->messages, &messages);
    replace(&document->message, message);
    clear(&document->calls);
    document->is_assistant = is_assistant;
    return LIPC_E_OK;
}

int lipc_document_add_message(lipc_document *document, const char *role, const char *text) {
    int error = check_document(document);
    if (error < 0 || (error = check_text("the role", role)) < 0 || (error = check_text("the message", text)) < 0) return error;
    json_writer message = {0};
    json_puts(&message, "{\"role\":");
    put_text(&message, role);
    put_text_member(&message, "content", text);
    return add_message(document, &message, strcmp(role, "assistant") == 0);
}

int lipc_document_add_result(lipc_document *document, const char *call_id, const char *name, const char *text) {
    int error = check_document(document);
    if (error < 0 || (error = check_text("the call's id", call_id)) < 0 || (error = check_text("the tool's name", name)) < 0 ||
        (error = check_text("the result", text)) < 0)
        return error;
    json_writer message = {0};
    json_puts(&message, "{\"role\":\"tool\"");
    put_text_member(&message, "tool_call_id", call_id);
    put_text_member(&message, "name", name);
    put_text_member(&message, "content", text);
    return add_message(document, &message, false);
}

static int check_assistant(const lipc_document *document) {
    if (document->is_assistant) return LIPC_E_OK;
    return lipc_fail(LIPC_E_INVALID, "the last message is not the assistant's: add that before its thoughts and calls");
}

int lipc_document_add_thought(lipc_document *document, const char *text) {
    int error = check_document(document);
    if (error < 0 || (error = check_text("the thought", text)) < 0 || (error = check_assistant(document)) < 0) return error;
    json_writer message = copy_of(&document->message);
    put_text_member(&message, "reasoning_content", text);
    return replace(&document->message, &message);
}

int lipc_document_add_call(lipc_document *document, const char *call_id, const char *name, const char *arguments) {
    int error = check_document(document);
    if (error < 0 || (error = check_text("the call's id", call_id)) < 0 || (error = check_text("the tool's name", name)) < 0 ||
        (error = check_json("what the call's arguments are", arguments, '{')) < 0 || (error = check_assistant(document)) < 0)
        return error;
    json_writer calls = copy_of(&document->calls);
    json_puts(&calls, calls.n_bytes > 0 ? ",{\"id\":" : "{\"id\":");
    put_text(&calls, call_id);
    json_puts(&calls, ",\"type\":\"function\",\"function\":{\"name\":");
    put_text(&calls, name);
    put_text_member(&calls, "arguments", arguments);
    json_puts(&calls, "}}");
    return replace(&document->calls, &calls);
}

int lipc_document_add_tool(lipc_document *document, const char *name, const char *description, const char *parameters) {
    int error = check_document(document);
    if (error < 0 || (error = check_text("the tool's name", name)) < 0 ||
        (description && (error = check_text("the tool's description", description)) < 0) ||
        (parameters && (error = check_json("the schema of the tool's parameters", parameters, '{')) < 0))
        return error;
    json_writer tools = copy_of(&document->tools);
    json_puts(&tools, tools.n_bytes > 0 ? ",{\"type\":\"function\",\"function\":{\"name\":" : "{\"type\":\"function\",\"function\":{\"name\":");
    put_text(&tools, name);
    if (description) put_text_member(&tools, "description", description);
    json_puts(&tools, ",\"parameters\":");
    json_puts(&tools, parameters ? parameters : "{\"type\":\"object\",\"properties\":{}}");
    json_puts(&tools, "}}");
    return replace(&document->tools, &tools);
}

/* ---- other members ------------------------------------------------------------------------------------------------- */

static member *find(const lipc_document *document, const char *name) {
    for (size_t i = 0; i < document->n_members; i++)
        if (strcmp(document->members[i].name, name) == 0) return &document->members[i];
    return NULL;
}

static void take_out(lipc_document *document, const char *name) {
    member *found = find(document, name);
    if (!found) return;
    free(found->name);
    clear(&found->value);
    memmove(found, found + 1, (size_t)(document->members + --document->n_members - found) * sizeof *found);
}

/* Takes `value` over. */
static int set_member(lipc_document *document, const char *name, json_writer *value) {
    member *found = find(document, name);
    if (found) return replace(&found->value, value);
    member *members = realloc(document->members, (document->n_members + 1) * sizeof *members);
    if (members) document->members = members;
    char *own = members ? strdup(name) : NULL;
    if (!own || value->has_failed) {
        free(own);
        clear(value);
        return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a document");
    }
    members[document->n_members++] = (member){own, *value};
    return LIPC_E_OK;
}

static int set_json(lipc_document *document, const char *name, const char *json) {
    json_writer value = {0};
    json_puts(&value, json);
    return set_member(document, name, &value);
}

static int set_text(lipc_document *document, const char *name, const char *text) {
    int error = check_document(document);
    if (error < 0 || (error = check_text(name, text)) < 0) return error;
    json_writer value = {0};
    put_text(&value, text);
    return set_member(document, name, &value);
}

/* Messages and tools that are set as a whole: what lies between the brackets. */
static int set_list(json_writer *list, const char *name, const char *json) {
    json_slice array, element = {NULL, 0};
    json_writer inside = {0};
    if (!json_check(json, strlen(json), &array, NULL) || json_kind(array) != '[')
        return lipc_fail(LIPC_E_INVALID, "\"%s\" is no array", name);
    while ((element = json_next(array, element)).at) {
        if (inside.n_bytes > 0) json_puts(&inside, ",");
        json_put(&inside, element.at, element.n_bytes);
    }
    return replace(list, &inside);
}

int lipc_document_set(lipc_document *document, const char *name, const char *json) {
    int error = check_document(document);
    if (error < 0 || (error = check_text("the member's name", name)) < 0) return error;
    if (json && (error = check_json(name, json, 0)) < 0) return error;
    if (strcmp(name, "messages") == 0) {
        error = set_list(&document->messages, name, json ? json : "[]");
        if (error < 0) return error;
        clear(&document->message);
        clear(&document->calls);
        document->is_assistant = false;
        return LIPC_E_OK;
    }
    if (strcmp(name, "tools") == 0) return set_list(&document->tools, name, json ? json : "[]");
    if (json) return set_json(document, name, json);
    take_out(document, name);
    return LIPC_E_OK;
}

int lipc_document_set_tool_choice(lipc_document *document, const char *choice) {
    bool is_word = choice && (strcmp(choice, "auto") == 0 || strcmp(choice, "none") == 0 || strcmp(choice, "required") == 0);
    if (is_word) return set_text(document, "tool_choice", choice);
    int error = check_document(document);
    if (error < 0 || (error = check_text("the tool's name", choice)) < 0) return error;
    json_writer value = {0};
    json_puts(&value, "{\"type\":\"function\",\"function\":{\"name\":");
    put_text(&value, choice);
    json_puts(&value, "}}");
    return set_member(document, "tool_choice", &value);
}

int lipc_document_set_parallel_calls(lipc_document *document, int are_allowed) {
    int error = check_document(document);
    return error < 0 ? error : set_json(document, "parallel_tool_calls", are_allowed ? "true" : "false");
}

int lipc_document_set_schema(lipc_document *document, const char *schema) {
    int error = check_document(document);
    if (error < 0 || (error = check_json("the schema", schema, '{')) < 0) return error;
    json_writer value = {0};
    json_puts(&value, "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":");
    json_puts(&value, schema);
    json_puts(&value, "}}");
    return set_member(document, "response_format", &value);
}

/* How templates are told; a member of the document's own of that name goes before. */
int lipc_document_set_thinking(lipc_document *document, int is_on) {
    int error = check_document(document);
    if (error < 0) return error;
    json_writer kwargs = {0};
    json_puts(&kwargs, is_on ? "\"enable_thinking\":true" : "\"enable_thinking\":false");
    return replace(&document->kwargs, &kwargs);
}

int lipc_document_set_effort(lipc_document *document, const char *effort) {
    return set_text(document, "reasoning_effort", effort);
}

static int set_number(lipc_document *document, const char *name, int32_t number) {
    char text[16];
    int error = check_document(document);
    snprintf(text, sizeof text, "%d", number);
    return error < 0 ? error : set_json(document, name, text);
}

int lipc_document_set_thinking_budget(lipc_document *document, int32_t n_tokens) {
    return set_number(document, "reasoning_budget_tokens", n_tokens);
}

int lipc_document_set_continue(lipc_document *document, int is_on) {
    int error = check_document(document);
    if (error < 0) return error;
    error = set_json(document, "continue_final_message", is_on ? "true" : "false");
    return error < 0 ? error : set_json(document, "add_generation_prompt", is_on ? "false" : "true");
}

int lipc_document_set_prompt(lipc_document *document, const char *text) {
    return set_text(document, "prompt", text);
}

int lipc_document_set_prompt_tokens(lipc_document *document, const int32_t *tokens, size_t n_tokens) {
    char number[16];
    int error = check_document(document);
    if (error < 0) return error;
    if (n_tokens > 0 && !tokens) return lipc_fail(LIPC_E_INVALID, "the tokens are NULL");
    json_writer value = {0};
    json_puts(&value, "[");
    for (size_t i = 0; i < n_tokens; i++) {
        snprintf(number, sizeof number, i > 0 ? ",%d" : "%d", tokens[i]);
        json_puts(&value, number);
    }
    json_puts(&value, "]");
    return set_member(document, "prompt", &value);
}

int lipc_document_set_infill(lipc_document *document, const char *prefix, const char *suffix) {
    int error = check_text("the text behind", suffix);
    if (error == LIPC_E_OK) error = set_text(document, "input_prefix", prefix);
    return error < 0 ? error : set_text(document, "input_suffix", suffix);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

int lipc_document_new(lipc_document **result) {
    if (!result) return lipc_fail(LIPC_E_INVALID, "the place for the document is NULL");
    *result = calloc(1, sizeof **result);
    return *result ? LIPC_E_OK : lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a document");
}

/* The members of an object, one after the other: a name without escapes, and its value as text of its own. */
static int read_member(lipc_document *document, json_slice name, json_slice value) {
    char *words = malloc(name.n_bytes + value.n_bytes + 1);
    if (!words) return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a document");
    json_text(name, words);
    memcpy(words + name.n_bytes, value.at, value.n_bytes);
    words[name.n_bytes + value.n_bytes] = 0;
    int error = lipc_document_set(document, words, words + name.n_bytes);
    free(words);
    return error;
}

int lipc_document_parse(const char *json, lipc_document **result) {
    json_slice object, name = {NULL, 0}, value;
    if (!result) return lipc_fail(LIPC_E_INVALID, "the place for the document is NULL");
    *result = NULL;
    lipc_document *document;
    int error = check_json("the document", json, '{');
    if (error < 0 || (error = lipc_document_new(&document)) < 0) return error;
    json_check(json, strlen(json), &object, NULL);
    while (error == LIPC_E_OK && json_next_member(object, &name, &value)) error = read_member(document, name, value);
    if (error == LIPC_E_OK) {
        *result = document;
        return LIPC_E_OK;
    }
    lipc_document_free(document);
    return error;
}

static void put_list(json_writer *json, const char *name, const json_writer *list) {
    if (list->n_bytes == 0) return;
    json_puts(json, json->n_bytes > 1 ? ",\"" : "\"");
    json_puts(json, name);
    json_puts(json, "\":[");
    json_put(json, list->text, list->n_bytes);
    json_puts(json, "]");
}

/* "chat_template_kwargs": those that were set as a whole, and those with functions of their own behind them. */
static void put_kwargs(json_writer *json, const lipc_document *document) {
    member *own = find(document, "chat_template_kwargs");
    if (!own && document->kwargs.n_bytes == 0) return;
    json_slice value = {NULL, 0};
    if (own) json_check(own->value.text, own->value.n_bytes, &value, NULL);
    bool is_object = json_kind(value) == '{', has_own = json_next_member(value, &(json_slice){NULL, 0}, &(json_slice){NULL, 0});
    json_puts(json, json->n_bytes > 1 ? ",\"chat_template_kwargs\":" : "\"chat_template_kwargs\":");
    if (own && (!is_object || document->kwargs.n_bytes == 0)) { /* whatever it is: the host says what is wrong with it */
        json_put(json, own->value.text, own->value.n_bytes);
        return;
    }
    json_puts(json, "{");
    if (has_own) json_put(json, value.at + 1, value.n_bytes - 2);
    if (has_own) json_puts(json, ",");
    json_put(json, document->kwargs.text, document->kwargs.n_bytes);
    json_puts(json, "}");
}

const char *lipc_document_json(lipc_document *document) {
    if (check_document(document) < 0) return NULL;
    json_writer json = {0}, messages = copy_of(&document->messages);
    put_last_message(&messages, document);
    json_puts(&json, "{");
    put_list(&json, "messages", &messages);
    put_list(&json, "tools", &document->tools);
    put_kwargs(&json, document);
    for (size_t i = 0; i < document->n_members; i++) {
        const member *member = &document->members[i];
        if (strcmp(member->name, "chat_template_kwargs") == 0) continue;
        if (json.n_bytes > 1) json_puts(&json, ",");
        json_put_string(&json, member->name, strlen(member->name));
        json_puts(&json, ":");
        json_put(&json, member->value.text, member->value.n_bytes);
    }
    json_puts(&json, "}");
    json.has_failed |= messages.has_failed;
    clear(&messages);
    return replace(&document->json, &json) < 0 ? NULL : document->json.text;
}

void lipc_document_free(lipc_document *document) {
    if (!document) return;
    while (document->n_members > 0) take_out(document, document->members[0].name);
    free(document->members);
    clear(&document->messages);
    clear(&document->message);
    clear(&document->calls);
    clear(&document->tools);
    clear(&document->kwargs);
    clear(&document->json);
    free(document);
}
