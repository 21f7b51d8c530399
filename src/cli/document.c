/* document.c - see document.h. */
#include "document.h"

#include "terminal.h"
#include "text.h"

#include "../platform/platform.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- the files ----------------------------------------------------------------------------------------------------- */

static json_t *read_json(const char *path) {
    json_error_t error;
    FILE *file = plat_file_open(path, "re");
    if (!file) {
        terminal_fail("cannot read %s: %s", path, text_reason(errno));
        return NULL;
    }
    json_t *json = json_loadf(file, JSON_DECODE_ANY, &error);
    if (!json) terminal_fail("%s is not valid JSON: line %d: %s", path, error.line, error.text);
    fclose(file);
    return json;
}

/* A conversation: a whole document, or its messages alone. */
static json_t *read_messages(const char *path) {
    json_t *json = read_json(path);
    if (json_is_array(json)) json = json_pack("{s:o}", "messages", json);
    if (!json) return NULL;
    if (json_is_object(json)) return json;
    terminal_fail("%s is neither a JSON object with \"messages\" nor a list of them", path);
    json_decref(json);
    return NULL;
}

/* A list of tools, or an object that holds one. */
static bool add_tools(json_t *document, const char *path) {
    json_t *json = read_json(path), *list = json_is_object(json) ? json_object_get(json, "tools") : json;
    bool is_list = json_is_array(list);
    if (json && !is_list) terminal_fail("%s is neither a list of tools nor a JSON object with \"tools\"", path);
    if (is_list) json_object_set(document, "tools", list);
    json_decref(json);
    return is_list;
}

static bool add_schema(json_t *document, const char *path) {
    json_t *schema = read_json(path);
    if (!schema) return false;
    json_t *format = json_pack("{s:s, s:{s:s, s:o}}", "type", "json_schema", "json_schema", "name", "answer", "schema", schema);
    return json_object_set_new(document, "response_format", format) == 0;
}

static bool set_thinking(json_t *document, bool is_on) {
    json_t *words = json_object_get(document, "chat_template_kwargs");
    if (json_is_object(words)) return json_object_set_new(words, "enable_thinking", json_boolean(is_on)) == 0;
    return json_object_set_new(document, "chat_template_kwargs", json_pack("{s:b}", "enable_thinking", is_on)) == 0;
}

cli_exit cli_document_read(const cli_options *options, cli_document **result) {
    *result = NULL;
    if (options->think && options->no_think) {
        terminal_fail("--think and --no-think: say one of them");
        return CLI_EXIT_USAGE;
    }
    bool has_any = options->messages_path || options->tools_path || options->schema_path || options->think || options->no_think;
    if (!has_any) return CLI_EXIT_OK;
    json_t *document = options->messages_path ? read_messages(options->messages_path) : json_object();
    bool is_good = document != NULL;
    if (is_good && options->tools_path) is_good = add_tools(document, options->tools_path);
    if (is_good && options->schema_path) is_good = add_schema(document, options->schema_path);
    if (is_good && (options->think || options->no_think)) is_good = set_thinking(document, options->think);
    if (is_good) {
        *result = document;
        return CLI_EXIT_OK;
    }
    json_decref(document);
    return CLI_EXIT_USAGE;
}

/* ---- the document -------------------------------------------------------------------------------------------------- */

bool cli_document_has_messages(const cli_document *document) {
    static const char *const wholes[] = {"messages", "prompt", "input_prefix"};
    for (size_t i = 0; i < sizeof wholes / sizeof wholes[0]; i++)
        if (json_object_get(document, wholes[i])) return true;
    return false;
}

static int add_message(json_t *list, const lipc_message *message, bool is_first) {
    json_t *added = json_pack("{s:s, s:s}", "role", message->role, "content", message->text);
    bool goes_in_front = is_first && strcmp(message->role, "system") == 0;
    return goes_in_front ? json_array_insert_new(list, 0, added) : json_array_append_new(list, added);
}

char *cli_document_write(const cli_document *document, const lipc_message *messages, size_t n_messages, bool *has_failed) {
    *has_failed = false;
    if (!document) return NULL;
    json_t *copy = json_deep_copy(document), *list = json_object_get(copy, "messages");
    bool is_good = copy != NULL;
    if (is_good && !json_is_array(list) && n_messages > 0)
        is_good = json_object_set_new(copy, "messages", list = json_array()) == 0;
    for (size_t i = 0; i < n_messages && is_good; i++) is_good = add_message(list, &messages[i], i == 0) == 0;
    char *text = is_good ? json_dumps(copy, JSON_COMPACT) : NULL;
    *has_failed = !text;
    json_decref(copy);
    return text;
}

void cli_document_free(cli_document *document) {
    json_decref(document);
}
