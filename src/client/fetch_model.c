/* fetch_model.c - a model fetched by its name, by the host program in a process of its own: this library knows no network. */
#include "error.h"

#include "../fetch/fetch.h"
#include "../platform/platform.h"
#include "../text/model_name.h"
#include "../text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define HOST_PROGRAM "chatbot"
#define LOOK_MS 20
#define REPORT_NS 70000000u /* and a look more are less than a tenth of a second */

void lipc_fetch_options_init_sized(lipc_fetch_options *options, size_t options_size) {
    const lipc_fetch_options defaults = {.struct_size = (uint32_t)options_size};
    if (options) lipc_give(options, options_size, &defaults, sizeof defaults);
}

static int take_options(const lipc_fetch_options *given, lipc_fetch_options *options) {
    lipc_fetch_options_init(options);
    if (!given) return LIPC_E_OK;
    size_t size = given->struct_size;
    if (size < sizeof given->struct_size)
        return lipc_fail(LIPC_E_INVALID, "struct_size is %zu: call lipc_fetch_options_init first", size);
    memcpy(options, given, size < sizeof *options ? size : sizeof *options);
    return LIPC_E_OK;
}

static int check_name(const char *name) {
    model_name read;
    const char *wrong = "it begins with hf://, https:// or http://";
    if (!name) return lipc_fail(LIPC_E_INVALID, "the name of the model is NULL");
    if (strlen(name) >= FETCH_NAME_SIZE)
        return lipc_fail(LIPC_E_INVALID, "the name of the model has %zu bytes: at most %d", strlen(name), FETCH_NAME_SIZE - 1);
    if (model_name_is_one(name) && model_name_read(name, &read, &wrong)) return LIPC_E_OK;
    return lipc_fail(LIPC_E_INVALID, "'%.*s' is no name of a model: %s", (int)utf8_fit(name, model_name_shown(name), 200), name, wrong);
}

/* What the end of the fetch means to its caller. */
static int end(const fetch *fetch, bool has_begun, char *path, size_t path_size) {
    switch (fetch->state) {
    case FETCH_DONE:
        if (strlen(fetch->path) >= path_size)
            return lipc_fail(LIPC_E_INVALID, "the path of the model has %zu bytes: there is room for %zu with the zero",
                             strlen(fetch->path), path_size);
        memcpy(path, fetch->path, strlen(fetch->path) + 1);
        return LIPC_E_OK;
    case FETCH_MISSING: return lipc_fail(LIPC_E_REFUSED, "%s", fetch->message);
    case FETCH_FAILED: return lipc_fail(has_begun ? LIPC_E_FAILED : LIPC_E_NO_HOST, "%s", fetch->message);
    default: return lipc_fail(LIPC_E_CANCELLED, "cancelled; what has come is kept for the next try");
    }
}

/* Until it is over, or the caller has had enough. */
static void watch(fetch *fetch, lipc_fetch_fn on_progress, void *user_data) {
    uint64_t reported_ns = 0;
    while (fetch->state == FETCH_RUNS) {
        bool is_new = fetch_look(fetch);
        if (on_progress && (is_new || plat_clock_ns() - reported_ns >= REPORT_NS)) {
            const lipc_fetch_progress progress = {fetch->n_done, fetch->n_total, fetch->per_second};
            if (on_progress(user_data, &progress) != 0) return;
            reported_ns = plat_clock_ns();
        }
        if (fetch->state == FETCH_RUNS) plat_pause_ms(LOOK_MS);
    }
}

int lipc_model_fetch(const char *name, const lipc_fetch_options *given, lipc_fetch_fn on_progress, void *user_data, char *path,
                     size_t path_size) {
    lipc_fetch_options options;
    char found[FETCH_PATH_SIZE];
    int error = take_options(given, &options);
    if (error == LIPC_E_OK) error = check_name(name);
    if (error < 0) return error;
    if (!path || path_size == 0) return lipc_fail(LIPC_E_INVALID, "there is no room for the path of the model");
    if (!options.host_path && plat_program_find(HOST_PROGRAM, found, sizeof found) < 0)
        return lipc_fail(LIPC_E_NO_HOST, "there is no program " HOST_PROGRAM " beside this one or on the PATH to fetch models: set "
                         "host_path");
    fetch *fetch = malloc(sizeof *fetch);
    if (!fetch) return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory to fetch a model");
    fetch_start(fetch, options.host_path ? options.host_path : found, name, options.offline != 0, NULL);
    bool has_begun = fetch->state == FETCH_RUNS;
    watch(fetch, on_progress, user_data);
    fetch_end(fetch);
    error = end(fetch, has_begun, path, path_size);
    free(fetch);
    return error;
}
