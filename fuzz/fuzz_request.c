/* fuzz_request.c - src/channel/request.h over arbitrary bytes: what the host accepts is terminated, valid text within
 * the request, with numbers in their bounds; what it refuses has a sentence. */
#include "fuzz.h"

#include "channel/request.h"
#include "text/json.h"
#include "text/utf8.h"

#include <string.h>

static void must_be_text(const char *text, const uint8_t *data, size_t size) {
    const char *begin = (const char *)data;
    MUST(text >= begin && text < begin + size);
    size_t n_bytes = strnlen(text, size - (size_t)(text - begin));
    MUST(text + n_bytes < begin + size && utf8_is_valid(text, n_bytes));
}

/* What is a document can be looked through without a check of every step. */
static void check_document(const char *document, const uint8_t *data, size_t size) {
    json_slice object, name = {NULL, 0}, value;
    must_be_text(document, data, size);
    MUST(json_check(document, strlen(document), &object, NULL) && json_kind(object) == '{');
    while (json_next_member(object, &name, &value)) {
        MUST(json_kind(name) == '"' && json_kind(value) != 0);
        MUST(value.at > name.at && value.at + value.n_bytes < object.at + object.n_bytes);
        json_member(value, "content");
        for (json_slice element = json_next(value, (json_slice){NULL, 0}); element.at; element = json_next(value, element))
            json_member(element, "role");
    }
}

static void check_accepted(const request_view *view, const uint8_t *data, size_t size) {
    static lipc_message messages[LIPC_ITEMS_MAX];
    MUST(view->header.n_bytes == size && view->header.n_items <= LIPC_ITEMS_MAX);
    bool restores = view->header.operation == LIPC_OPERATION_RESTORE;
    MUST(view->document || view->load_path ? view->n_messages == 0 : view->n_messages >= 1 || restores);
    MUST(view->n_messages <= LIPC_ITEMS_MAX && view->n_stops <= LIPC_STOPS_MAX);
    MUST(view->header.priority >= -100 && view->header.priority <= 100 && view->header.seed >= LIPC_SEED_DEFAULT);
    MUST(!(view->header.temperature < 0) && !(view->header.temperature > 100));
    char message[PARAMETERS_MESSAGE_SIZE];
    MUST(parameters_check(&view->parameters, message));
    request_messages((const char *)data, messages, view->n_messages);
    for (size_t i = 0; i < view->n_messages; i++) {
        must_be_text(messages[i].role, data, size);
        must_be_text(messages[i].text, data, size);
        MUST(strlen(messages[i].role) < sizeof((lipc_request_item *)0)->role);
    }
    if (view->document) check_document(view->document, data, size);
    for (size_t i = 0; i < view->n_stops; i++) {
        must_be_text(view->stops[i], data, size);
        MUST(strlen(view->stops[i]) >= 1 && strlen(view->stops[i]) <= LIPC_STOP_BYTES_MAX);
    }
    if (view->grammar) must_be_text(view->grammar, data, size);
    MUST(!view->state_path == !(restores || view->header.operation == LIPC_OPERATION_SAVE));
    if (view->state_path) {
        must_be_text(view->state_path, data, size);
        MUST(!restores || view->header.n_items == 1);
        MUST(!(view->header.flags & (LIPC_FLAG_RENDER | LIPC_FLAG_LOAD)) && !view->load_path);
        MUST(strchr("/\\", view->state_path[0]) || view->state_path[1] == ':');
        MUST(strlen(view->state_path) <= LIPC_MODEL_PATH_MAX);
    }
    MUST(!view->load_path == !(view->header.operation == LIPC_OPERATION_LOAD || view->header.flags & LIPC_FLAG_LOAD));
    if (view->load_path) {
        must_be_text(view->load_path, data, size);
        MUST(view->header.n_items == 1 && view->n_stops == 0 && !view->grammar && !view->document);
        MUST(!(view->header.flags & LIPC_FLAG_RENDER));
        MUST(strchr("/\\", view->load_path[0]) || view->load_path[1] == ':');
        MUST(strlen(view->load_path) <= LIPC_MODEL_PATH_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char message[REQUEST_MESSAGE_SIZE] = "";
    request_view view;
    int error = request_read((const char *)data, size, &view, message);
    if (error == LIPC_E_OK) {
        check_accepted(&view, data, size);
    } else {
        MUST(error == LIPC_E_REFUSED && message[0] != 0);
        MUST(memchr(message, 0, sizeof message) && utf8_is_valid(message, strlen(message)));
    }
    return 0;
}
