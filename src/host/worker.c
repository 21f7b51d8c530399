/* worker.c - see worker.h. In the order that the guide's clients need: the objects exist before the model loads, and
 * they are gone before the process is. A request for another model comes out of the serving loop when nothing runs, and is
 * done here: clients, queue and objects stay as they are, only the engine is another one.
 */
#include "worker.h"

#include "log.h"
#include "model_path.h"
#include "serve.h"

#include "../engine/engine.h"
#include "../platform/platform.h"
#include "../platform/failpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 640
#define TEMPLATE_BYTES_MAX (1 << 20)

typedef struct worker {
    host_parts *parts;
    plat_doorbell *bell; /* the hub's */
    classic_service *classic;
    stream_service *streams;
    plat_process_watch *parent_watch;
    server *server;
    bool is_serving;   /* not loading */
    const answer *load; /* by which another model is being loaded; NULL: none */
    uint64_t last_progress_ns;
    const char *model_path;
    bool has_answers;  /* before it loads its first model: those of a dead worker */
    bool is_successor; /* of a worker that died, or of a host whose answers go on */
} worker;

void host_parts_remove(host_parts *parts) {
    classic_objects_remove(&parts->classic);
    instance_remove(&parts->instance);
}

/* ---- ending with the parent -------------------------------------------------------------------------------------- */

static void on_parent_death(void *user_data, uint32_t tag) {
    worker *worker = user_data;
    (void)tag;
    __atomic_store_n(&worker->parts->journal->stop.now, 1, __ATOMIC_RELEASE);
    plat_doorbell_ring(worker->bell, PLAT_BELL_ALL);
}

/* Ends the host when this process ends, or if it has ended. Returns false if that cannot be watched. */
static bool follow(worker *worker, const followed_process *process, uint32_t tag) {
    if (process->pid == 0) return true;
    int error = plat_process_watch_add(worker->parent_watch, process->pid, process->start_time, tag);
    if (error == PLAT_E_NOT_FOUND) on_parent_death(worker, tag);
    return error == PLAT_OK || error == PLAT_E_NOT_FOUND;
}

static bool follow_parents(worker *worker) {
    const journal *journal = worker->parts->journal;
    return plat_process_watch_open(on_parent_death, worker, &worker->parent_watch) == PLAT_OK &&
           follow(worker, &journal->parent, 0) && follow(worker, &journal->starter, 1);
}

/* ---- the engine -------------------------------------------------------------------------------------------------- */

static bool must_end_now(const worker *worker) {
    return __atomic_load_n(&worker->parts->journal->stop.now, __ATOMIC_ACQUIRE) ||
           classic_service_shutdown_requested(worker->classic);
}

static bool is_told_to_end(const worker *worker) {
    return must_end_now(worker) || __atomic_load_n(&worker->parts->journal->stop.drain, __ATOMIC_ACQUIRE) ||
           stream_service_shutdown_requested(worker->streams);
}

static bool on_interrupted(void *user_data) {
    worker *worker = user_data;
    if (worker->is_serving) return server_is_interrupted(worker->server);
    server_poll_clients(worker->server);
    if (worker->load && worker->load->channel->is_cancelled(worker->load)) return true;
    /* While loading there is no answer to finish, unless a dead worker left some: the first signal is enough. */
    return worker->has_answers ? must_end_now(worker) : is_told_to_end(worker);
}

/* A line a second: enough to see that it moves. */
static void on_load_progress(void *user_data, int per_mille) {
    worker *worker = user_data;
    stream_service_show_loading(worker->streams, per_mille / 10 * 10);
    uint64_t now = plat_clock_ns();
    if (now - worker->last_progress_ns < 1000000000u) return;
    worker->last_progress_ns = now;
    log_line(LOG_LEVEL_INFO, "loading %s: %d %%", worker->model_path, per_mille / 10);
}

static void on_engine_log(void *user_data, int level, const char *line) {
    (void)user_data;
    log_line((log_level)level, "libllama: %s", line);
}

static host_exit exit_code_of(int engine_error) {
    switch (engine_error) {
    case ENGINE_E_MODEL_MISSING: return HOST_EXIT_MODEL_MISSING;
    case ENGINE_E_MODEL_BAD: return HOST_EXIT_MODEL_BAD;
    case ENGINE_E_CONTEXT: return HOST_EXIT_CONTEXT;
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
static const char *current_model(const worker *worker) {
    const char *chosen = journal_model(worker->parts->journal);
    return chosen ? chosen : model_path_of(&worker->parts->options);
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

static int open_model(worker *worker, const char *path, const engine_callbacks *callbacks, engine **engine, char *message,
                      size_t message_size) {
    static const char *const formats[] = {"auto", "deepseek", "none"}; /* HOST_REASONING_FORMATS */
    const host_options *options = &worker->parts->options;
    char *chat_template;
    int error = read_template(options, &chat_template, message, message_size);
    if (error < 0) return error;
    /* The library's threads meet after each node of a graph: for the demonstration that costs more than a second one gains. */
    bool is_demonstration = !options->model_path && path == model_path_of(options);
    worker->model_path = path;
    const llama_engine_options engine_options = {
        .model_path = worker->model_path,
        .n_ctx = options->n_ctx > 0 ? (uint32_t)options->n_ctx : 0,
        .n_ctx_limit = options->n_ctx < 0 ? HOST_CTX_DEFAULT_MAX : 0,
        .n_sequences = options->n_parallel,
        .n_threads = options->n_threads == 0 && is_demonstration ? 1 : options->n_threads,
        .n_gpu_layers = options->n_gpu_layers,
        .n_draft = options->lookup ? ENGINE_DRAFT_MOST : 0,
        .n_batch = options->n_batch,
        .n_ubatch = options->n_ubatch,
        .prefill_budget_ms = options->prefill_budget_ms,
        .context_shift = options->context_shift,
        .chat_template = chat_template,
        .chat_template_kwargs = options->chat_template_kwargs,
        .reasoning_format = formats[options->reasoning_format],
        .no_thinking = options->reasoning == 2,
        .thinking_budget = options->reasoning_budget,
        .is_repeatable = options->repeatable,
        .no_warm_up = options->no_warmup,
        .callbacks = *callbacks,
    };
    log_line(LOG_LEVEL_INFO, "loading %s", worker->model_path);
    error = llama_engine_open(&engine_options, engine, message, message_size);
    free(chat_template);
    return error;
}

static int open_replay(worker *worker, const engine_callbacks *callbacks, engine **engine, char *message,
                       size_t message_size) {
    const host_options *options = &worker->parts->options;
    const replay_engine_options engine_options = {
        .text_path = options->replay_path,
        .tokens_per_second = options->replay_rate,
        /* The classic channel may have one beside all streams. */
        .n_sequences = options->n_parallel > 0 ? options->n_parallel : options->n_streams + 1,
        .n_ctx = options->n_ctx > 0 ? (uint32_t)options->n_ctx : 0,
        .callbacks = *callbacks,
    };
    worker->model_path = options->replay_path;
    log_line(LOG_LEVEL_INFO, "replaying %s", worker->model_path);
    return replay_engine_open(&engine_options, engine, message, message_size);
}

/* `path` is the model's; a replay has its own. Nothing keeps it. */
static int open_engine(worker *worker, const char *path, engine **engine, char *message, size_t message_size) {
    const host_parts *parts = worker->parts;
    const engine_callbacks callbacks = {.on_load_progress = on_load_progress,
                                        .interrupted = on_interrupted,
                                        .on_log = on_engine_log,
                                        .user_data = worker};
    uint64_t started_ns = worker->last_progress_ns = plat_clock_ns();
    int error = parts->options.replay_path ? open_replay(worker, &callbacks, engine, message, message_size)
                                           : open_model(worker, path, &callbacks, engine, message, message_size);
    if (error < 0) return error;
    const engine_model_facts *facts = &(*engine)->facts;
    log_line(LOG_LEVEL_INFO, "ready after %.2f s: %s, %.1f M parameters, context %u, %d at a time, %d thread%s, "
                             "template: %s; name %s",
             (double)(plat_clock_ns() - started_ns) / 1e9, facts->description, (double)facts->n_parameters / 1e6,
             facts->n_ctx, facts->n_sequences, facts->n_threads, facts->n_threads == 1 ? "" : "s", facts->template_name, parts->options.name);
    if (facts->n_ctx_trained && facts->n_ctx > facts->n_ctx_trained)
        log_line(LOG_LEVEL_WARN, "the context of %u tokens is larger than the %u the model was trained with",
                 facts->n_ctx, facts->n_ctx_trained);
    stream_service_show_model(worker->streams, facts, worker->model_path);
    return ENGINE_OK;
}

/* ---- another model ----------------------------------------------------------------------------------------------- */

/* As far as that can be known before anything is closed for it. */
static int check_model(const char *path, char *message, size_t message_size) {
    const llama_engine_options options = {.model_path = path, .callbacks = {.on_log = on_engine_log}};
    return llama_engine_check(&options, message, message_size);
}

/* Opens an engine for the serving loop. On error there is none. */
static int open_to_serve(worker *worker, const char *path, engine **engine, char *message, size_t message_size) {
    int error = open_engine(worker, path, engine, message, message_size);
    if (error < 0 || server_set_engine(worker->server, *engine)) return error;
    engine_close(*engine);
    *engine = NULL;
    snprintf(message, message_size, "not enough memory for the serving loop");
    return ENGINE_E_NO_MEMORY;
}

/* Opens the model that is asked for. On error, or if it is not wanted any more, there is no engine. */
static int open_wanted(worker *worker, const answer *load, engine **engine, char *message, size_t message_size) {
    worker->load = load;
    int error = open_to_serve(worker, load->load_path, engine, message, message_size);
    worker->load = NULL;
    if (error < 0 || !load->channel->is_cancelled(load)) return error;
    engine_close(*engine);
    *engine = NULL;
    return ENGINE_E_ABORTED;
}

static void begin_loading(worker *worker) {
    worker->is_serving = false;
    worker->has_answers = false;
    stream_service_show_loading(worker->streams, 0);
    stream_service_show_state(worker->streams, LIPC_HUB_LOADING);
}

static void go_on(worker *worker) {
    worker->is_serving = true;
    stream_service_show_loading(worker->streams, 1000);
    stream_service_show_state(worker->streams, LIPC_HUB_READY);
}

/* The model cannot be had, or is not wanted any more. */
static void end_in_vain(worker *worker, answer *load, int error, const char *message) {
    if (error != ENGINE_E_ABORTED)
        server_end_load(load, LIPC_END_FAILED, LIPC_E_FAILED, message);
    else
        server_end_load(load, is_told_to_end(worker) ? LIPC_END_HOST_ENDED : LIPC_END_CANCELLED, 0, "");
}

/* Opens the model again that the host had. Returns why that could not be: then there is no engine, and the host ends. */
static int go_back(worker *worker, engine **engine) {
    char message[MESSAGE_SIZE];
    int error = open_to_serve(worker, current_model(worker), engine, message, sizeof message);
    if (error == ENGINE_OK) {
        go_on(worker);
        return ENGINE_OK;
    }
    if (error != ENGINE_E_ABORTED) log_line(LOG_LEVEL_ERROR, "the model before cannot be opened again: %s", message);
    server_abandon(worker->server);
    return error;
}

/* It is the turn of a request for another model; nothing runs. Whoever asked for one that cannot be had is told so at
 * once, and clients wait until the old one is back. Returns 0, or why there is no engine any more. */
static int change_model(worker *worker, answer *load, engine **engine) {
    char message[MESSAGE_SIZE];
    begin_loading(worker);
    int error = check_model(load->load_path, message, sizeof message);
    if (error == ENGINE_OK && load->channel->is_cancelled(load)) error = ENGINE_E_ABORTED;
    if (error < 0) { /* nothing was closed, not even its memory of what it has read */
        go_on(worker);
        end_in_vain(worker, load, error, message);
        return ENGINE_OK;
    }
    engine_close(*engine); /* first: there may be no room for both */
    *engine = NULL;
    error = open_wanted(worker, load, engine, message, sizeof message);
    if (error < 0) {
        end_in_vain(worker, load, error, message);
        return go_back(worker, engine);
    }
    journal_set_model(worker->parts->journal, load->load_path);
    go_on(worker);
    server_end_load(load, LIPC_END_TURN, 0, "");
    return ENGINE_OK;
}

/* ---- working ----------------------------------------------------------------------------------------------------- */

/* Serves until the host is told to end, with one model after the other. */
static host_exit run(worker *worker, engine **engine) {
    answer *load;
    while ((load = server_run(worker->server))) {
        int error = change_model(worker, load, engine);
        if (error < 0) return exit_code_of(error);
    }
    return HOST_EXIT_OK;
}

/* The first model. Returns 0, or why there is no engine: then those who wait have been told that the host ends. */
static int open_first(worker *worker, engine **engine) {
    char message[MESSAGE_SIZE];
    stream_service_show_state(worker->streams, worker->is_successor ? LIPC_HUB_RECOVERING : LIPC_HUB_LOADING);
    stream_service_show_worker(worker->streams, plat_process_own_pid(), worker->parts->journal->n_workers - 1);
    int error = open_to_serve(worker, current_model(worker), engine, message, sizeof message);
    if (error == ENGINE_OK) return ENGINE_OK;
    if (error != ENGINE_E_ABORTED) log_line(LOG_LEVEL_ERROR, "%s", message);
    server_abandon(worker->server);
    return error;
}

/* Everybody may see that the model is there. */
static void announce(worker *worker) {
    worker->is_serving = true;
    worker->parts->journal->is_ready = true;
    stream_service_look(worker->streams); /* before all are rung: what a dead worker freed it may not have rung for */
    FAILPOINT("worker.serve.ready");
    stream_service_show_state(worker->streams, LIPC_HUB_READY);
    classic_service_announce(worker->classic);
}

/* What --record wants; without it, or if the file cannot be written, NULL: answers are more important. */
static recorder *open_recorder(const worker *worker) {
    recorder *recorder = NULL;
    const char *path = worker->parts->options.record_path;
    int error = path ? recorder_open(path, &recorder) : 0;
    if (error != 0) log_line(LOG_LEVEL_ERROR, "nothing is recorded: cannot write %s: %s", path, strerror(error));
    return recorder;
}

/* Loads the model and serves. */
static host_exit serve(worker *worker) {
    engine *engine = NULL;
    worker->server = server_new(worker->classic, worker->streams, worker->parts->journal, worker->bell);
    if (!worker->server) {
        log_line(LOG_LEVEL_ERROR, "not enough memory for the serving loop");
        return HOST_EXIT_FAILURE;
    }
    recorder *recorder = open_recorder(worker);
    server_record(worker->server, recorder);
    int error = open_first(worker, &engine);
    host_exit code = exit_code_of(error);
    if (error == ENGINE_OK) {
        announce(worker);
        code = run(worker, &engine);
        if (code == HOST_EXIT_OK) log_line(LOG_LEVEL_INFO, "ending as asked");
    }
    /* Before the engine, whose memory may take a while to give back: a client that sees the names gone can start the
     * next host at once. */
    host_parts_remove(worker->parts);
    server_free(worker->server);
    recorder_close(recorder);
    engine_close(engine);
    return code;
}

/* Takes up what is there, and everything that is needed to go on with it. */
static host_exit open_services(worker *worker, char *message, size_t message_size) {
    host_parts *parts = worker->parts;
    host_exit code = classic_service_open(&parts->instance, &parts->classic, &parts->options, parts->journal, worker->bell,
                                          &worker->classic, message, message_size);
    if (code != HOST_EXIT_OK) return code;
    code = stream_service_open(&parts->instance, &parts->options, parts->journal, worker->bell, &worker->streams, message,
                               message_size);
    if (code != HOST_EXIT_OK) return code;
    if (parts->options.exit_with_parent && !follow_parents(worker)) {
        snprintf(message, message_size, "cannot watch the parent process: %s", plat_os_error());
        return HOST_EXIT_FAILURE;
    }
    size_t n_resumed = stream_service_recover(worker->streams);
    if (n_resumed > 0) log_line(LOG_LEVEL_INFO, "%zu answer%s when the model is loaded", n_resumed, n_resumed == 1 ? " goes on" : "s go on");
    worker->has_answers = n_resumed > 0 ||
                          __atomic_load_n(&parts->journal->classic.phase, __ATOMIC_ACQUIRE) == CLASSIC_ANSWERING;
    worker->is_successor = n_resumed > 0 || parts->journal->n_workers > 1;
    return HOST_EXIT_OK;
}

host_exit worker_run(host_parts *parts) {
    char message[MESSAGE_SIZE];
    worker worker = {.parts = parts, .bell = hub_bell(&hub_of(&parts->instance.view)->bell)};
    host_exit code = open_services(&worker, message, sizeof message);
    if (code == HOST_EXIT_OK)
        code = serve(&worker);
    else
        log_line(LOG_LEVEL_ERROR, "%s", message);
    host_parts_remove(parts);
    plat_process_watch_close(worker.parent_watch);
    classic_service_close(worker.classic);
    stream_service_close(worker.streams);
    return code;
}

host_exit worker_check(const host_options *options) {
    char message[MESSAGE_SIZE];
    const char *path = model_path_of(options);
    int error = check_model(path, message, sizeof message);
    if (error < 0)
        log_line(LOG_LEVEL_ERROR, "%s", message);
    else
        printf("%s is whole, and libllama %s works here\n", path, llama_engine_library_version());
    return error < 0 ? exit_code_of(error) : HOST_EXIT_OK;
}
