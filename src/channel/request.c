/* request.c - see request.h. One set of rules, applied by the client before it writes and by the host to what it
 * reads. */
#include "request.h"

#include "../text/json.h"
#include "../text/model_name.h"
#include "../text/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const roles[] = {"system", "user", "assistant"};

__attribute__((format(printf, 2, 3))) static bool refuse(char message[REQUEST_MESSAGE_SIZE], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, REQUEST_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- the rules --------------------------------------------------------------------------------------------------- */

static bool check_priority(int32_t priority, char *message) {
    return (priority >= -100 && priority <= 100) ||
           refuse(message, "priority is %d: expected a number from -100 to 100", priority);
}

/* A role comes from the other side and is shown: as much of it as is harmless. */
static bool check_role(const char *role, char *message) {
    char shown[24];
    size_t length = 0;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(role, roles[i]) == 0) return true;
    for (; role[length] && length < sizeof shown - 1; length++)
        shown[length] = role[length] >= 0x20 && role[length] < 0x7F ? role[length] : '?';
    shown[length] = 0;
    return refuse(message, "the role '%s' is unknown: expected system, user or assistant", shown);
}

static bool check_text(const char *what, size_t number, const char *text, size_t n_bytes, char *message) {
    if (memchr(text, 0, n_bytes)) return refuse(message, "%s %zu contains a zero byte", what, number);
    return utf8_is_valid(text, n_bytes) || refuse(message, "%s %zu is not valid UTF-8", what, number);
}

static bool check_stop(size_t number, const char *text, size_t n_bytes, char *message) {
    if (number > LIPC_STOPS_MAX) return refuse(message, "more than %d stop strings", LIPC_STOPS_MAX);
    if (n_bytes < 1 || n_bytes > LIPC_STOP_BYTES_MAX)
        return refuse(message, "stop string %zu has %zu bytes: expected 1 to %d", number, n_bytes, LIPC_STOP_BYTES_MAX);
    return check_text("stop string", number, text, n_bytes, message);
}

/* What it means is the engine's to say; that it is an object in one piece can be said here, where it costs nobody's turn. */
static bool check_document(const char *text, size_t n_bytes, char *message) {
    json_slice value;
    size_t wrong;
    if (!check_text("document", 1, text, n_bytes, message)) return false;
    if (!json_check(text, n_bytes, &value, &wrong))
        return refuse(message, "the document is not valid JSON: byte %zu of %zu is not what may stand there", wrong, n_bytes);
    return json_kind(value) == '{' || refuse(message, "the document is JSON, but no object");
}

/* As either system writes it: "/...", "C:\...", "\\server\...". A host refuses what is not there. */
static bool is_absolute(const char *path) {
    bool has_letter = (path[0] | 32) >= 'a' && (path[0] | 32) <= 'z';
    bool has_drive = has_letter && path[1] == ':' && (path[2] == '\\' || path[2] == '/');
    return path[0] == '/' || has_drive || (path[0] == '\\' && path[1] == '\\');
}

static bool check_load(const lipc_request_header *header, const char *path, char *message) {
    if (header->n_items != 1 || header->flags & LIPC_FLAG_RENDER || !path)
        return refuse(message, "a request to load a model has one item, the model's path, and no other");
    model_name name;
    const char *wrong;
    if (model_name_is_one(path))
        return model_name_read(path, &name, &wrong) || refuse(message, "the model's name is malformed: %s", wrong);
    if (!is_absolute(path))
        return refuse(message, "the path of a model to load is not absolute: it must begin with '/' (on Windows with a "
                               "drive)");
    return strlen(path) <= LIPC_MODEL_PATH_MAX ||
           refuse(message, "the path of a model to load has %zu bytes: expected at most %d", strlen(path),
                  LIPC_MODEL_PATH_MAX);
}

static bool check_state_path(const char *path, char *message) {
    if (!utf8_is_valid(path, strlen(path))) return refuse(message, "the path of a saved state is not valid UTF-8");
    if (!is_absolute(path))
        return refuse(message, "the path of a saved state is not absolute: it must begin with '/' (on Windows with a drive)");
    return strlen(path) <= LIPC_MODEL_PATH_MAX ||
           refuse(message, "the path of a saved state has %zu bytes: expected at most %d", strlen(path), LIPC_MODEL_PATH_MAX);
}

/* ---- client ------------------------------------------------------------------------------------------------------ */

/* An item's bytes: its header, its text, and one to eight zero bytes. */
static size_t item_size(size_t n_bytes) {
    return sizeof(lipc_request_item) + (n_bytes + 8) / 8 * 8;
}

static size_t n_named(const parameters *values) {
    size_t n = 0;
    while (parameters_item(values, n, NULL, 0) > 0) n++;
    return n;
}

static lipc_request_header header_of(const lipc_request *request, const parameters *values, size_t n_bytes) {
    return (lipc_request_header){
        .n_bytes = (uint32_t)n_bytes,
        .flags = (request->detachable ? LIPC_FLAG_DETACHABLE : 0) | (request->ignore_eos ? LIPC_FLAG_IGNORE_EOS : 0) |
                 (request->logprobs ? LIPC_FLAG_LOGPROBS : 0) | (request->render ? LIPC_FLAG_RENDER : 0),
#define HEADER_FIELD(name, ...) .name = values->name,
        LIPC_HEADER_PARAMETER_MAP(HEADER_FIELD)
#undef HEADER_FIELD
        .priority = request->priority,
        .n_items = (uint32_t)(request->n_messages + request->n_stops + (request->grammar ? 1 : 0) + (request->document ? 1 : 0) +
                              (request->save_path ? 1 : 0)) + (uint32_t)n_named(values),
        .operation = request->save_path ? LIPC_OPERATION_SAVE : LIPC_OPERATION_ANSWER,
    };
}

/* The one item of a request that has no conversation; NULL: it has one. */
static const char *only_path(const lipc_request *request) {
    return request->load_path ? request->load_path : request->restore_path;
}

/* Of such a request. Parameters by name mean nothing to it, and are left out. */
static lipc_request_header path_header_of(const lipc_request *request, const parameters *values, size_t n_bytes) {
    lipc_request_header header = header_of(request, values, n_bytes);
    header.n_items = 1;
    header.operation = request->load_path ? LIPC_OPERATION_LOAD : LIPC_OPERATION_RESTORE;
    return header;
}

static bool measure_path(const lipc_request *request, size_t *n_bytes, char *message) {
    parameters values;
    size_t length = strlen(only_path(request));
    bool has_more = request->n_messages || request->document || request->n_stops || request->grammar || request->render;
    if (has_more || request->save_path || (request->load_path && request->restore_path))
        return refuse(message, "a request to %s has a path, %s, and nothing else", request->load_path ? "load a model" : "restore a state",
                      request->load_path ? "load_path" : "restore_path");
    if (!parameters_take(&values, request, message) || !check_priority(request->priority, message)) return false;
    lipc_request_header header = path_header_of(request, &values, 0);
    *n_bytes = sizeof header + item_size(length);
    if (request->restore_path) return check_state_path(request->restore_path, message);
    if (!utf8_is_valid(request->load_path, length)) return refuse(message, "the model's path, load_path, is not valid UTF-8");
    return check_load(&header, request->load_path, message);
}

static bool measure(const lipc_request *request, size_t *n_bytes, char *message) {
    if (only_path(request)) return measure_path(request, n_bytes, message);
    if (request->save_path && !check_state_path(request->save_path, message)) return false;
    if (request->save_path && request->render)
        return refuse(message, "a request cannot show its prompt (render) and save a state (save_path) at a time");
    if (request->document && request->n_messages != 0)
        return refuse(message, "the request has a document and messages beside it: put them into the document");
    if (!request->document && (request->n_messages < 1 || !request->messages))
        return refuse(message, "the request has no message");
    if (request->n_messages > LIPC_ITEMS_MAX - LIPC_STOPS_MAX - 1)
        return refuse(message, "%d messages are too many: expected at most %d", request->n_messages,
                      LIPC_ITEMS_MAX - LIPC_STOPS_MAX - 1);
    if (request->n_stops < 0 || (request->n_stops > 0 && !request->stops))
        return refuse(message, "n_stops is %d, stops is %p", request->n_stops, (const void *)request->stops);
    parameters values;
    if (!parameters_take(&values, request, message) || !check_priority(request->priority, message)) return false;
    lipc_request_header header = header_of(request, &values, 0);
    if (header.n_items > LIPC_ITEMS_MAX)
        return refuse(message, "%u items are too many: expected at most %d", header.n_items, LIPC_ITEMS_MAX);
    *n_bytes = sizeof header;
    for (int32_t i = 0; i < request->n_messages; i++) {
        const lipc_message *item = &request->messages[i];
        if (!item->role || !item->text) return refuse(message, "message %d has no role or no text", i + 1);
        size_t length = strlen(item->text);
        if (!check_role(item->role, message) || !check_text("message", (size_t)i + 1, item->text, length, message))
            return false;
        *n_bytes += item_size(length);
    }
    for (int32_t i = 0; i < request->n_stops; i++) {
        size_t length = request->stops[i] ? strlen(request->stops[i]) : 0;
        if (!check_stop((size_t)i + 1, request->stops[i], length, message)) return false;
        *n_bytes += item_size(length);
    }
    if (request->grammar) {
        size_t length = strlen(request->grammar);
        if (!check_text("grammar", 1, request->grammar, length, message)) return false;
        *n_bytes += item_size(length);
    }
    if (request->document) {
        size_t length = strlen(request->document);
        if (!check_document(request->document, length, message)) return false;
        *n_bytes += item_size(length);
    }
    if (request->save_path) *n_bytes += item_size(strlen(request->save_path));
    for (size_t i = 0, length; (length = parameters_item(&values, i, NULL, 0)) > 0; i++) *n_bytes += item_size(length);
    return true;
}

int request_measure(const lipc_request *request, size_t *n_bytes, char message[REQUEST_MESSAGE_SIZE]) {
    return measure(request, n_bytes, message) ? LIPC_E_OK : LIPC_E_INVALID;
}

bool request_has_named(const lipc_request *request) {
    char message[REQUEST_MESSAGE_SIZE];
    parameters values;
    parameters_take(&values, request, message);
    return n_named(&values) > 0;
}

static char *write_parameters(char *at, const parameters *values) {
    for (size_t i = 0, length; (length = parameters_item(values, i, NULL, 0)) > 0; i++) {
        lipc_request_item item = {.kind = LIPC_ITEM_PARAMETER, .n_bytes = (uint32_t)length};
        memset(at, 0, item_size(length));
        memcpy(at, &item, sizeof item);
        parameters_item(values, i, at + sizeof item, length + 1);
        at += item_size(length);
    }
    return at;
}

static char *write_item(char *at, uint32_t kind, const char *role, const char *text) {
    size_t n_bytes = strlen(text);
    lipc_request_item item = {.kind = kind, .n_bytes = (uint32_t)n_bytes};
    memcpy(item.role, role, strlen(role));
    memcpy(at, &item, sizeof item);
    memcpy(at + sizeof item, text, n_bytes);
    memset(at + sizeof item + n_bytes, 0, item_size(n_bytes) - sizeof item - n_bytes);
    return at + item_size(n_bytes);
}

/* Writes a request that has no conversation: its path is an item of this kind. Returns where its header is. */
static lipc_request_header *write_path(const lipc_request *request, size_t n_bytes, uint32_t kind, const char *role,
                                       char *area) {
    char message[REQUEST_MESSAGE_SIZE];
    parameters values;
    parameters_take(&values, request, message);
    lipc_request_header header = path_header_of(request, &values, n_bytes);
    memcpy(area, &header, sizeof header);
    write_item(area + sizeof header, kind, role, only_path(request));
    return (lipc_request_header *)area;
}

void request_write_load_flag(const lipc_request *request, size_t n_bytes, char *area) {
    lipc_request_header *header = write_path(request, n_bytes, LIPC_ITEM_MESSAGE, "user", area);
    header->flags |= LIPC_FLAG_LOAD;
    header->operation = 0; /* reserved there */
}

void request_write(const lipc_request *request, size_t n_bytes, char *area) {
    char message[REQUEST_MESSAGE_SIZE];
    parameters values;
    if (only_path(request)) {
        write_path(request, n_bytes, request->load_path ? LIPC_ITEM_MODEL_PATH : LIPC_ITEM_STATE_PATH, "", area);
        return;
    }
    parameters_take(&values, request, message); /* was found good by request_measure */
    lipc_request_header header = header_of(request, &values, n_bytes);
    memcpy(area, &header, sizeof header);
    char *at = area + sizeof header;
    for (int32_t i = 0; i < request->n_messages; i++)
        at = write_item(at, LIPC_ITEM_MESSAGE, request->messages[i].role, request->messages[i].text);
    for (int32_t i = 0; i < request->n_stops; i++) at = write_item(at, LIPC_ITEM_STOP, "", request->stops[i]);
    if (request->grammar) at = write_item(at, LIPC_ITEM_GRAMMAR, "", request->grammar);
    if (request->document) at = write_item(at, LIPC_ITEM_DOCUMENT, "", request->document);
    if (request->save_path) at = write_item(at, LIPC_ITEM_STATE_PATH, "", request->save_path);
    write_parameters(at, &values);
}

/* ---- host -------------------------------------------------------------------------------------------------------- */

static bool read_item(const lipc_request_item *item, const char *text, request_view *view, char *message) {
    switch (item->kind) {
    case LIPC_ITEM_MESSAGE:
        if (!memchr(item->role, 0, sizeof item->role)) return refuse(message, "a role is not terminated");
        if (view->header.flags & LIPC_FLAG_LOAD) view->load_path = text;
        return check_role(item->role, message) &&
               check_text("message", ++view->n_messages, text, item->n_bytes, message);
    case LIPC_ITEM_STOP:
        if (!check_stop(view->n_stops + 1, text, item->n_bytes, message)) return false;
        view->stops[view->n_stops++] = text;
        return true;
    case LIPC_ITEM_GRAMMAR:
        if (view->grammar) return refuse(message, "more than one grammar");
        view->grammar = text;
        return check_text("grammar", 1, text, item->n_bytes, message);
    case LIPC_ITEM_DOCUMENT:
        if (view->document) return refuse(message, "more than one document");
        view->document = text;
        return check_document(text, item->n_bytes, message);
    case LIPC_ITEM_MODEL_PATH:
        if (view->header.operation != LIPC_OPERATION_LOAD) return refuse(message, "a model's path in a request for an answer");
        view->load_path = text;
        return check_text("model path", 1, text, item->n_bytes, message);
    case LIPC_ITEM_STATE_PATH:
        if (view->header.operation < LIPC_OPERATION_SAVE) return refuse(message, "a state's path in a request for an answer");
        if (view->state_path) return refuse(message, "more than one path of a state");
        view->state_path = text;
        return check_text("state path", 1, text, item->n_bytes, message);
    case LIPC_ITEM_PARAMETER:
        return check_text("parameter", 1, text, item->n_bytes, message) &&
               parameters_read_item(&view->parameters, text, message);
    default:
        return refuse(message, "an item of the unknown kind %u", item->kind);
    }
}

static bool read_header(const char *bytes, size_t n_bytes, request_view *view, char *message) {
    lipc_request_header *header = &view->header;
    if (n_bytes < sizeof *header) return refuse(message, "the request has %zu bytes, less than its header", n_bytes);
    memcpy(header, bytes, sizeof *header);
    if (header->n_bytes != n_bytes)
        return refuse(message, "the request says it has %u bytes, its stream %zu", header->n_bytes, n_bytes);
    if (header->operation > LIPC_OPERATION_RESTORE) return refuse(message, "unknown operation %u", header->operation);
    if (header->flags & ~(LIPC_FLAG_DETACHABLE | LIPC_FLAG_IGNORE_EOS | LIPC_FLAG_LOGPROBS | LIPC_FLAG_LOAD |
                          LIPC_FLAG_RENDER))
        return refuse(message, "unknown flags 0x%X", header->flags);
    if (header->n_items > LIPC_ITEMS_MAX)
        return refuse(message, "%u items are too many: expected at most %d", header->n_items, LIPC_ITEMS_MAX);
    if (!check_priority(header->priority, message)) return false;
    parameters_init(&view->parameters);
#define FROM_HEADER(name, ...) view->parameters.name = header->name;
    LIPC_HEADER_PARAMETER_MAP(FROM_HEADER)
#undef FROM_HEADER
    return parameters_check(&view->parameters, message);
}

static bool read_items(const char *bytes, size_t n_bytes, request_view *view, char *message) {
    size_t at = sizeof view->header;
    for (uint32_t i = 0; i < view->header.n_items; i++) {
        lipc_request_item item;
        if (n_bytes - at < sizeof item) return refuse(message, "item %u lies beyond the request's end", i + 1);
        memcpy(&item, bytes + at, sizeof item);
        if (item.n_bytes > n_bytes || item_size(item.n_bytes) > n_bytes - at)
            return refuse(message, "item %u says it has %u bytes, more than there are", i + 1, item.n_bytes);
        const char *text = bytes + at + sizeof item;
        if (text[item.n_bytes] != 0) return refuse(message, "the text of item %u is not terminated", i + 1);
        if (!read_item(&item, text, view, message)) return false;
        at += item_size(item.n_bytes);
    }
    return at == n_bytes || refuse(message, "%zu bytes behind the last item", n_bytes - at);
}

static bool read_request(const char *bytes, size_t n_bytes, request_view *view, char *message) {
    *view = (request_view){0};
    if (!read_header(bytes, n_bytes, view, message) || !read_items(bytes, n_bytes, view, message)) return false;
    if (view->header.operation == LIPC_OPERATION_LOAD || view->header.flags & LIPC_FLAG_LOAD) {
        view->n_messages = 0; /* the old form's one message was the path */
        return check_load(&view->header, view->load_path, message);
    }
    if (view->header.operation != LIPC_OPERATION_ANSWER) { /* a state is saved or restored */
        if (!view->state_path || view->header.flags & (LIPC_FLAG_RENDER | LIPC_FLAG_LOAD))
            return refuse(message, "a request to save or restore a state has the path of one, and does nothing else");
        if (!check_state_path(view->state_path, message)) return false;
    }
    if (view->header.operation == LIPC_OPERATION_RESTORE)
        return view->header.n_items == 1 || refuse(message, "a request to restore a state has one item, its path, and no other");
    if (view->document && view->n_messages > 0)
        return refuse(message, "the request has a document and messages beside it");
    return view->document || view->n_messages > 0 || refuse(message, "the request has no message");
}

int request_read(const char *bytes, size_t n_bytes, request_view *view, char message[REQUEST_MESSAGE_SIZE]) {
    return read_request(bytes, n_bytes, view, message) ? LIPC_E_OK : LIPC_E_REFUSED;
}

void request_messages(const char *bytes, lipc_message *messages, size_t n_messages) {
    size_t at = sizeof(lipc_request_header);
    for (size_t n = 0; n < n_messages;) {
        lipc_request_item item;
        memcpy(&item, bytes + at, sizeof item);
        if (item.kind == LIPC_ITEM_MESSAGE)
            messages[n++] = (lipc_message){bytes + at + offsetof(lipc_request_item, role),
                                           bytes + at + sizeof item};
        at += item_size(item.n_bytes);
    }
}
