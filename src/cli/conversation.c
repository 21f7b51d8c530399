/* conversation.c - see conversation.h. */
#define _GNU_SOURCE
#include "conversation.h"

#include "system.h"

#include "../platform/platform.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_LEAST 16
#define PATH_SIZE 4096

static const char *const roles[] = {"system", "user", "assistant"};

/* The role's static text; NULL: there is none of that name. */
static const char *find_role(const char *role) {
    for (size_t i = 0; role && i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(role, roles[i]) == 0) return roles[i];
    return NULL;
}

static bool has_system(const conversation *conversation) {
    return conversation->n_messages > 0 && conversation->messages[0].role == find_role("system");
}

bool conversation_add(conversation *conversation, const char *role, const char *text) {
    if (conversation->n_messages == conversation->room) {
        size_t room = conversation->room ? 2 * conversation->room : ROOM_LEAST;
        lipc_message *larger = realloc(conversation->messages, room * sizeof *larger);
        if (!larger) return false;
        conversation->messages = larger;
        conversation->room = room;
    }
    char *copy = strdup(text);
    if (!copy) return false;
    conversation->messages[conversation->n_messages++] = (lipc_message){find_role(role), copy};
    return true;
}

static void free_text(const lipc_message *message) {
    free((char *)(uintptr_t)message->text);
}

void conversation_drop(conversation *conversation) {
    if (conversation->n_messages > 0) free_text(&conversation->messages[--conversation->n_messages]);
}

bool conversation_set_system(conversation *conversation, const char *text) {
    bool is_wanted = text && text[0];
    if (is_wanted && !conversation_add(conversation, "system", text)) return false;
    lipc_message added = is_wanted ? conversation->messages[--conversation->n_messages] : (lipc_message){NULL, NULL};
    if (has_system(conversation)) {
        free_text(&conversation->messages[0]);
        conversation->n_messages--;
        memmove(conversation->messages, conversation->messages + 1,
                conversation->n_messages * sizeof *conversation->messages);
    }
    if (!is_wanted) return true;
    memmove(conversation->messages + 1, conversation->messages,
            conversation->n_messages * sizeof *conversation->messages);
    conversation->messages[0] = added;
    conversation->n_messages++;
    return true;
}

const char *conversation_system(const conversation *conversation) {
    return has_system(conversation) ? conversation->messages[0].text : NULL;
}

void conversation_reset(conversation *conversation) {
    size_t n_kept = has_system(conversation) ? 1 : 0;
    while (conversation->n_messages > n_kept) conversation_drop(conversation);
}

void conversation_free(conversation *conversation) {
    while (conversation->n_messages > 0) conversation_drop(conversation);
    free(conversation->messages);
    *conversation = (struct conversation){0};
}

/* ---- the file ------------------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static bool fail(char message[CONVERSATION_MESSAGE_SIZE], const char *format,
                                                        ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, CONVERSATION_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static bool take_messages(conversation *conversation, const json_t *list, const char *path,
                          char message[CONVERSATION_MESSAGE_SIZE]) {
    size_t i;
    json_t *item;
    if (!json_is_array(list)) return fail(message, "%s is no conversation: it has no \"messages\"", path);
    json_array_foreach(list, i, item) {
        const char *role = find_role(json_string_value(json_object_get(item, "role")));
        const char *content = json_string_value(json_object_get(item, "content"));
        if (!role || !content)
            return fail(message, "%s: message %zu needs a \"role\" (system, user or assistant) and a \"content\"", path,
                        i + 1);
        if (!conversation_add(conversation, role, content)) return fail(message, "not enough memory for %s", path);
    }
    return true;
}

bool conversation_load(conversation *conversation, const char *path, char message[CONVERSATION_MESSAGE_SIZE]) {
    json_error_t error;
    struct conversation loaded = {0};
    FILE *file = plat_file_open(path, "re");
    if (!file) return fail(message, "cannot read %s: %s", path, strerror(errno));
    json_t *json = json_loadf(file, 0, &error);
    fclose(file);
    if (!json) return fail(message, "%s is no conversation: line %d: %s", path, error.line, error.text);
    const json_t *list = json_is_array(json) ? json : json_object_get(json, "messages");
    bool is_loaded = take_messages(&loaded, list, path, message);
    json_decref(json);
    if (!is_loaded) {
        conversation_free(&loaded);
        return false;
    }
    conversation_free(conversation);
    *conversation = loaded;
    return true;
}

static json_t *as_json(const conversation *conversation, const char *model) {
    json_t *list = json_array();
    for (size_t i = 0; i < conversation->n_messages; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", conversation->messages[i].role, "content",
                                              conversation->messages[i].text));
    return json_pack("{s:s, s:o}", "model", model, "messages", list);
}

bool conversation_save(const conversation *conversation, const char *path, const char *model,
                       char message[CONVERSATION_MESSAGE_SIZE]) {
    char beside[PATH_SIZE];
    struct conversation old = {0};
    if (system_is_there(path)) {
        bool is_conversation = conversation_load(&old, path, message);
        conversation_free(&old);
        if (!is_conversation) return fail(message, "%s exists, and is no conversation: choose another name", path);
    }
    if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside)
        return fail(message, "the name is too long");
    json_t *json = as_json(conversation, model);
    FILE *file = json ? plat_file_open(beside, "we") : NULL;
    bool is_written = file && json_dumpf(json, file, JSON_INDENT(2)) == 0 && fputc('\n', file) != EOF;
    if (file && fclose(file) != 0) is_written = false;
    json_decref(json);
    /* All of it, or what was there before. */
    if (is_written && plat_file_replace(beside, path) == PLAT_OK) return true;
    fail(message, "cannot write %s: %s", path, strerror(errno));
    if (file) remove(beside);
    return false;
}
