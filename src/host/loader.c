/* loader.c - see loader.h. */
#include "loader.h"

#include "answer.h"
#include "log.h"
#include "model_path.h"
#include "pull.h"

#include "../text/model_name.h"
#include "../engine/llama/common/arguments.h"
#include "../platform/failpoint.h"
#include "../platform/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE_BYTES_MAX (1 << 20)
#define FETCH_LOOK_MS 50

/* ---- the engine -------------------------------------------------------------------------------------------------- */

static bool must_end_now(const loader *loader) {
    return __atomic_load_n(&loader->journal->stop.now, __ATOMIC_ACQUIRE) ||
           classic_service_shutdown_requested(loader->classic);
}

static bool is_told_to_end(const loader *loader) {
    return must_end_now(loader) || __atomic_load_n(&loader->journal->stop.drain, __ATOMIC_ACQUIRE) ||
           stream_service_shutdown_requested(loader->streams);
}

static bool on_interrupted(void *user_data) {
    loader *loader = user_data;
    if (loader->is_serving) return server_is_interrupted(loader->server);
    server_poll_clients(loader->server);
    if (loader->request && loader->request->channel->is_cancelled(loader->request)) return true;
    /* While loading there is no answer to finish, unless a dead worker left some: the first signal is enough. */
    return loader->has_answers ? must_end_now(loader) : is_told_to_end(loader);
}

/* A line a second: enough to see that it moves. */
static void on_load_progress(void *user_data, int per_mille) {
    loader *loader = user_data;
    stream_service_show_loading(loader->streams, per_mille / 10 * 10);
    uint64_t now = plat_clock_ns();
    if (now - loader->last_progress_ns < 1000000000u) return;
    loader->last_progress_ns = now;
    log_line(LOG_LEVEL_INFO, "loading %s: %d %%", loader->model_path, per_mille / 10);
}

static void show_fetch(loader *loader, const fetch *fetch) {
    stream_service_show_download(loader->streams, fetch->n_done, fetch->n_total, fetch->per_second);
    uint64_t now = plat_clock_ns();
    if (now - loader->last_progress_ns < 1000000000u || fetch->n_total == 0) return;
    loader->last_progress_ns = now;
    log_line(LOG_LEVEL_INFO, "fetching: %.0f of %.0f MB, %.1f MB/s", (double)fetch->n_done / 1e6, (double)fetch->n_total / 1e6,
             (double)fetch->per_second / 1e6);
}

static void on_engine_log(void *user_data, int level, const char *line) {
    (void)user_data;
    log_line((log_level)level, "libllama: %s", line);
}

static void on_device_layers(void *user_data, int32_t n_layers) {
    loader *loader = user_data;
    loader->journal->devices.n_layers = n_layers;
    FAILPOINT("journal.model.device_layers");
}

/* The next worker goes on with every answer. Where there is no supervisor, there is none. */
static void on_device_failure(void *user_data, const char *reason) {
    loader *loader = user_data;
    log_line(LOG_LEVEL_ERROR, "a device failed: %s", reason);
    if (loader->options->no_supervise) return;
    loader->journal->devices.has_failed = true;
    abort();
}

host_exit loader_exit_code(int engine_error) {
    switch (engine_error) {
    case ENGINE_E_MODEL_MISSING: return HOST_EXIT_MODEL_MISSING;
    case ENGINE_E_MODEL_BAD: return HOST_EXIT_MODEL_BAD;
    case ENGINE_E_CONTEXT: return HOST_EXIT_CONTEXT;
    case ENGINE_E_OPTION: return HOST_EXIT_USAGE;
    case ENGINE_OK:
    case ENGINE_E_ABORTED: return HOST_EXIT_OK; /* it was asked to */
    default: return HOST_EXIT_FAILURE;
    }
}

static const char *model_path_of(const host_options *options) {
    static char embedded[4096];
    if (options->model_path) return options->model_path;
    model_path_embedded(embedded, sizeof embedded); /* if it is missing, the engine says so */
    return embedded;
}

/* The model that the host has now, or is to have. */
static const char *current_model(const loader *loader) {
    const char *chosen = journal_model(loader->journal);
    return chosen ? chosen : model_path_of(loader->options);
}

/* The chat template that was asked for, in memory that the caller frees; *text stays NULL for the model's own. Errors:
 * MODEL_MISSING. */
static int read_template(const host_options *options, char **text, char *message, size_t message_size) {
    const char *path = options->chat_template_file;
    size_t n_bytes = 0;
    *text = NULL;
    if (!path) {
        *text = options->chat_template ? strdup(options->chat_template) : NULL;
        return ENGINE_OK;
    }
    uint64_t size_bytes = 0;
    int failed = plat_file_size(path, &size_bytes);
    FILE *file = failed == PLAT_OK && size_bytes < TEMPLATE_BYTES_MAX ? plat_file_open(path, "rb") : NULL;
    if (file && (*text = calloc(1, (size_t)size_bytes + 1)) != NULL) n_bytes = fread(*text, 1, (size_t)size_bytes, file);
    if (file) fclose(file);
    if (n_bytes > 0) return ENGINE_OK;
    free(*text);
    *text = NULL;
    const char *why = failed < 0 ? plat_os_error() : size_bytes == 0 ? "it is empty" : "it is too long, or cannot be opened";
    snprintf(message, message_size, "cannot read the chat template '%s': %s", path, why);
    return ENGINE_E_MODEL_MISSING;
}

/* Why there are no layers on devices, or fewer than there could be, as far as it was the host who decided that. */
static void explain_devices(loader *loader, bool leaves_devices) {
    engine_model_facts *facts = &loader->engine->facts;
    size_t n = strlen(facts->devices);
    if (leaves_devices)
        snprintf(facts->devices, sizeof facts->devices, "not used for the demonstration, unless -ngl says so");
    else if (loader->journal->devices.is_limited)
        snprintf(facts->devices + n, sizeof facts->devices - n, "%s%s layers, because workers died with more there", n > 0 ? "; " : "",
                 loader->journal->devices.most > 0 ? "fewer" : "no");
}

static int open_model(loader *loader, const char *path, const engine_callbacks *callbacks) {
    static const char *const formats[] = {"auto", "deepseek", "none"}; /* HOST_REASONING_FORMATS */
    const host_options *options = loader->options;
    char *chat_template;
    int error = read_template(options, &chat_template, loader->message, sizeof loader->message);
    if (error < 0) return error;
    /* The library's threads meet after each node of a graph: for the demonstration that costs more than a second one gains. */
    bool is_demonstration = !options->model_path && path == model_path_of(options);
    /* Nor does a card gain anything there, whose driver takes long to start. */
    bool leaves_devices = is_demonstration && !arguments_want_devices(options->library);
    loader->model_path = path;
    engine_request usual;
    answer_request_defaults(&usual, options);
    const llama_engine_options engine_options = {
        .model_path = loader->model_path,
        .n_ctx = options->n_ctx > 0 ? (uint32_t)options->n_ctx : 0,
        .n_ctx_limit = options->n_ctx < 0 ? HOST_CTX_DEFAULT_MAX : 0,
        .n_sequences = options->n_parallel,
        .n_threads = options->n_threads == 0 && is_demonstration ? 1 : options->n_threads,
        .arguments = options->library,
        .device_layers_most = leaves_devices ? 0 : journal_device_layers_most(loader->journal),
        .may_lack_devices = loader->journal->n_workers > 1,
        .n_batch = options->n_batch,
        .n_ubatch = options->n_ubatch,
        .prefill_budget_ms = options->prefill_budget_ms,
        .context_shift = options->context_shift,
        .chat_template = chat_template,
        .chat_template_kwargs = options->chat_template_kwargs,
        .reasoning_format = formats[options->reasoning_format],
        .thinking = (engine_thinking)options->reasoning,
        .thinking_budget = options->reasoning_budget,
        .is_repeatable = options->repeatable,
        .no_warm_up = options->no_warmup,
        .usual = &usual.sampling,
        .callbacks = *callbacks,
    };
    log_line(LOG_LEVEL_INFO, "loading %s", loader->model_path);
    error = llama_engine_open(&engine_options, &loader->engine, loader->message, sizeof loader->message);
    free(chat_template);
    if (error == ENGINE_OK) explain_devices(loader, leaves_devices);
    return error;
}

static int open_replay(loader *loader, const engine_callbacks *callbacks) {
    const host_options *options = loader->options;
    const replay_engine_options engine_options = {
        .text_path = options->replay_path,
        .tokens_per_second = options->replay_rate,
        /* The classic channel may have one beside all streams. */
        .n_sequences = options->n_parallel > 0 ? options->n_parallel : options->n_streams + 1,
        .n_ctx = options->n_ctx > 0 ? (uint32_t)options->n_ctx : 0,
        .callbacks = *callbacks,
    };
    loader->model_path = options->replay_path;
    log_line(LOG_LEVEL_INFO, "replaying %s", loader->model_path);
    return replay_engine_open(&engine_options, &loader->engine, loader->message, sizeof loader->message);
}

static bool is_remote(const loader *loader) {
    return loader->options->remote.n_items > 0;
}

/* In a thread of the engine's: it has something to do for the loop, which may be asleep. */
static void on_news(void *user_data) {
    server_ring(((loader *)user_data)->server);
}

static void on_remote_log(void *user_data, int level, const char *line) {
    (void)user_data;
    log_line((log_level)level, "%s", line);
}

static remote_engine_options remote_options(const host_options *options, const engine_callbacks *callbacks) {
    return (remote_engine_options){
        .addresses = options->remote.items,
        .n_addresses = (size_t)options->remote.n_items,
        .model = options->remote_model,
        .key = options->api_key,
        .certificates = options->remote_ca,
        /* The servers say how many they answer at a time. The classic channel may have one beside all streams. */
        .n_sequences = options->n_parallel > 0 ? options->n_parallel : options->n_streams + 1,
        .connect_timeout_s = options->remote_connect_s,
        .idle_timeout_s = options->remote_idle_s,
        .callbacks = *callbacks,
    };
}

/* With the model at `path` as the last resort, if that is wanted. */
static int open_remote(loader *loader, const char *path, engine_callbacks callbacks) {
    int error = loader->options->remote_fallback ? open_model(loader, path, &callbacks) : ENGINE_OK;
    if (error < 0) return error;
    callbacks.on_news = on_news;
    callbacks.on_log = on_remote_log;
    engine_request usual;
    answer_request_defaults(&usual, loader->options);
    remote_engine_options options = remote_options(loader->options, &callbacks);
    options.usual = &usual.sampling;
    options.last_resort = loader->engine;
    loader->engine = NULL;
    loader->model_path = ""; /* not what answers */
    return remote_engine_open(&options, &loader->engine, loader->message, sizeof loader->message);
}

static int open_kind(loader *loader, const char *path, const engine_callbacks *callbacks) {
    if (loader->options->replay_path) return open_replay(loader, callbacks);
    return is_remote(loader) ? open_remote(loader, path, *callbacks) : open_model(loader, path, callbacks);
}

/* `path` is the model's; a replay has its own, a remote engine none. Nothing keeps it. */
static int open_engine(loader *loader, const char *path) {
    const engine_callbacks callbacks = {.on_load_progress = on_load_progress,
                                        .interrupted = on_interrupted,
                                        .on_log = on_engine_log,
                                        .on_device_layers = on_device_layers,
                                        .on_device_failure = on_device_failure,
                                        .user_data = loader};
    uint64_t started_ns = loader->last_progress_ns = plat_clock_ns();
    int error = open_kind(loader, path, &callbacks);
    if (error < 0) return error;
    const engine_model_facts *facts = &loader->engine->facts;
    log_line(LOG_LEVEL_INFO, "ready after %.2f s: %s, %.1f M parameters, context %u, %d at a time, %d thread%s, "
                             "template: %s; name %s",
             (double)(plat_clock_ns() - started_ns) / 1e9, facts->description, (double)facts->n_parameters / 1e6,
             facts->n_ctx, facts->n_sequences, facts->n_threads, facts->n_threads == 1 ? "" : "s", facts->template_name, loader->options->name);
    if (facts->devices[0])
        log_line(LOG_LEVEL_INFO, "%d of %d layers on devices: %s", facts->n_device_layers, facts->n_layers, facts->devices);
    if (facts->n_ctx_trained && facts->n_ctx > facts->n_ctx_trained)
        log_line(LOG_LEVEL_WARN, "the context of %u tokens is larger than the %u the model was trained with",
                 facts->n_ctx, facts->n_ctx_trained);
    stream_service_show_model(loader->streams, facts, loader->model_path);
    return ENGINE_OK;
}

/* ---- by name ----------------------------------------------------------------------------------------------------------- */

/* Waits for the model of that name; whoever attaches sees how far it is. On success the journal has its path. */
static int fetch_named(loader *loader, const char *name) {
    static fetch fetch; /* large */
    log_line(LOG_LEVEL_INFO, "fetching %.*s", (int)model_name_shown(name), name);
    pull_start(&fetch, name, loader->options->offline);
    while (fetch.state == FETCH_RUNS && !on_interrupted(loader)) {
        if (fetch_look(&fetch)) show_fetch(loader, &fetch);
        plat_pause_ms(FETCH_LOOK_MS);
    }
    fetch_state state = fetch.state;
    fetch_end(&fetch);
    stream_service_show_download(loader->streams, 0, 0, 0);
    if (state == FETCH_DONE && strlen(fetch.path) <= LIPC_MODEL_PATH_MAX) {
        journal_set_model(loader->journal, fetch.path);
        return ENGINE_OK;
    }
    snprintf(loader->message, sizeof loader->message, "%s", fetch.message);
    return state == FETCH_RUNS ? ENGINE_E_ABORTED : ENGINE_E_MODEL_MISSING;
}

/* ---- another model ----------------------------------------------------------------------------------------------- */

/* As far as that can be known before anything is closed for it. */
static int check_model(const char *path, char *message, size_t message_size) {
    const llama_engine_options options = {.model_path = path, .callbacks = {.on_log = on_engine_log}};
    return llama_engine_check(&options, message, message_size);
}

static void close_engine(loader *loader) {
    engine_close(loader->engine);
    loader->engine = NULL;
    loader->journal->devices.n_layers = 0;
    FAILPOINT("journal.devices.none");
}

/* Opens an engine for the serving loop. On error there is none. */
static int open_to_serve(loader *loader, const char *path) {
    int error = open_engine(loader, path);
    if (error < 0 || server_set_engine(loader->server, loader->engine)) return error;
    close_engine(loader);
    snprintf(loader->message, sizeof loader->message, "not enough memory for the serving loop");
    return ENGINE_E_NO_MEMORY;
}

/* Opens the model that is asked for. On error, or if it is no longer wanted, there is no engine. */
static int open_wanted(loader *loader, const answer *request) {
    loader->request = request;
    int error = open_to_serve(loader, request->load_path);
    loader->request = NULL;
    if (error < 0 || !request->channel->is_cancelled(request)) return error;
    close_engine(loader);
    return ENGINE_E_ABORTED;
}

static void begin_loading(loader *loader) {
    loader->is_serving = false;
    loader->has_answers = false;
    stream_service_show_loading(loader->streams, 0);
    stream_service_show_state(loader->streams, LIPC_HUB_LOADING);
}

static void go_on(loader *loader) {
    loader->is_serving = true;
    stream_service_show_loading(loader->streams, 1000);
    stream_service_show_state(loader->streams, LIPC_HUB_READY);
}

/* The model cannot be had, or is no longer wanted. */
static void end_without_model(loader *loader, answer *request, int error) {
    if (error != ENGINE_E_ABORTED)
        server_end_load(request, LIPC_END_FAILED, LIPC_E_FAILED, loader->message);
    else
        server_end_load(request, is_told_to_end(loader) ? LIPC_END_HOST_ENDED : LIPC_END_CANCELLED, 0, "");
}

/* Opens the previous model again. Returns why that failed: then there is no engine, and the host ends. */
static int go_back(loader *loader) {
    int error = open_to_serve(loader, current_model(loader));
    if (error == ENGINE_OK) {
        go_on(loader);
        return ENGINE_OK;
    }
    if (error != ENGINE_E_ABORTED)
        log_line(LOG_LEVEL_ERROR, "the previous model cannot be opened again: %s", loader->message);
    server_abandon(loader->server);
    return error;
}

/* Whoever asked for a model that cannot be had is told so at once; other clients wait until the old one is back. */
int loader_change(loader *loader, answer *request) {
    begin_loading(loader);
    int error = check_model(request->load_path, loader->message, sizeof loader->message);
    if (error == ENGINE_OK && request->channel->is_cancelled(request)) error = ENGINE_E_ABORTED;
    if (error < 0) { /* nothing was closed, and the cache of prompts is still there */
        go_on(loader);
        end_without_model(loader, request, error);
        return ENGINE_OK;
    }
    close_engine(loader); /* first: there may be no room for both */
    journal_devices_forgive(loader->journal);
    error = open_wanted(loader, request);
    if (error < 0) {
        end_without_model(loader, request, error);
        return go_back(loader);
    }
    journal_set_model(loader->journal, request->load_path);
    go_on(loader);
    server_end_load(request, LIPC_END_TURN, 0, "");
    return ENGINE_OK;
}

/* ---- asleep -------------------------------------------------------------------------------------------------------- */

void loader_sleep(loader *loader) {
    server_remove_engine(loader->server);
    close_engine(loader);
    plat_memory_trim();
    stream_service_show_asleep(loader->streams);
    log_line(LOG_LEVEL_INFO, "asleep: no work for %d s, and the model's memory is given back until the next request",
             loader->options->sleep_idle_s);
}

int loader_wake(loader *loader) {
    begin_loading(loader);
    int error = open_to_serve(loader, current_model(loader));
    if (error == ENGINE_E_ABORTED) {
        server_abandon(loader->server);
        return error;
    }
    go_on(loader);
    if (error < 0) {
        log_line(LOG_LEVEL_ERROR, "the model cannot be loaded again: %s", loader->message);
        server_fail_waiting(loader->server, loader->message);
    }
    return ENGINE_OK;
}

/* ---- the first one, and the end -------------------------------------------------------------------------------------- */

int loader_open_first(loader *loader) {
    const char *model = current_model(loader);
    bool needs_model = !is_remote(loader) || loader->options->remote_fallback;
    int error = needs_model && model_name_is_one(model) ? fetch_named(loader, model) : ENGINE_OK;
    if (error == ENGINE_OK) error = open_to_serve(loader, current_model(loader));
    if (error == ENGINE_OK) {
        loader->is_serving = true;
        return ENGINE_OK;
    }
    if (error != ENGINE_E_ABORTED) log_line(LOG_LEVEL_ERROR, "%s", loader->message);
    server_abandon(loader->server);
    return error;
}

void loader_close(loader *loader) {
    close_engine(loader);
}

/* No server is asked: one that is away now may be there later. */
static host_exit check_remote(const host_options *options) {
    char message[LOADER_MESSAGE_SIZE];
    engine *engine;
    const engine_callbacks callbacks = {.on_log = on_remote_log};
    const remote_engine_options wanted = remote_options(options, &callbacks);
    int error = remote_engine_open(&wanted, &engine, message, sizeof message);
    if (error < 0)
        log_line(LOG_LEVEL_ERROR, "%s", message);
    else
        printf("libcurl works here, and %s is asked when a request comes\n", options->remote.items[0]);
    if (error == ENGINE_OK) engine_close(engine);
    return loader_exit_code(error);
}

host_exit loader_check(const host_options *options) {
    static fetch fetch; /* large */
    if (options->remote.n_items > 0) return check_remote(options);
    char message[LOADER_MESSAGE_SIZE];
    const char *path = model_path_of(options);
    if (model_name_is_one(path)) {
        pull_start(&fetch, path, true);
        for (; fetch.state == FETCH_RUNS; fetch_look(&fetch)) plat_pause_ms(FETCH_LOOK_MS);
        fetch_end(&fetch);
        if (fetch.state != FETCH_DONE) {
            printf("libllama %s works here, and a host fetches the model first\n", llama_engine_library_version());
            return HOST_EXIT_OK;
        }
        path = fetch.path;
    }
    int error = check_model(path, message, sizeof message);
    if (error < 0)
        log_line(LOG_LEVEL_ERROR, "%s", message);
    else
        printf("%s is whole, and libllama %s works here\n", path, llama_engine_library_version());
    return error < 0 ? loader_exit_code(error) : HOST_EXIT_OK;
}
