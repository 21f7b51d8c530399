/* main.c - chatbot: from the command line to the serving loop and back out, in the order that the guide's clients need:
 * the objects exist before the model loads, and they are gone before the process is.
 */
#define _GNU_SOURCE
#include "classic_service.h"
#include "exit_codes.h"
#include "instance.h"
#include "log.h"
#include "model_path.h"
#include "options.h"
#include "serve.h"

#include "../engine/engine.h"
#include "../platform/platform.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_SIZE 640

/* Signal handlers have no argument: what they need is here. */
static struct host {
    stop_request stop;
    plat_doorbell *bell; /* the hub's; NULL until there is one */
    instance instance;
    classic_service *classic;
    stream_service *streams;
    plat_process_watch *parent_watch;
    server *server; /* NULL while loading */
    uint64_t last_progress_ns;
    const char *model_path;
} host;

static void remove_objects(void) {
    classic_service_remove(host.classic);
    instance_remove(&host.instance);
}

/* The first signal lets the answer at hand finish, the second ends at once. */
static void on_signal(int number) {
    if (__atomic_exchange_n(&host.stop.drain, 1, __ATOMIC_SEQ_CST) != 0) {
        remove_objects();
        _exit(128 + number);
    }
    if (host.bell) plat_doorbell_ring(host.bell, PLAT_BELL_ALL);
}

static void install_signal_handlers(void) {
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) sigaddset(&action.sa_mask, ending[i]);
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        struct sigaction before;
        sigaction(ending[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) sigaction(ending[i], &action, NULL); /* nohup stays in force */
    }
    signal(SIGPIPE, SIG_IGN); /* nobody may read our log */
}

static void on_parent_death(void *user_data, uint32_t tag) {
    (void)user_data, (void)tag;
    __atomic_store_n(&host.stop.now, 1, __ATOMIC_RELEASE);
    plat_doorbell_ring(host.bell, PLAT_BELL_ALL);
}

/* Ends the host when this process ends, or if it has ended. Returns false if that cannot be watched. */
static bool follow(int pid, uint32_t tag) {
    int error = plat_process_watch_add(host.parent_watch, pid, 0, tag);
    if (error == PLAT_E_NOT_FOUND) on_parent_death(NULL, tag);
    return error == PLAT_OK || error == PLAT_E_NOT_FOUND;
}

/* Ends the host when its parent has ended, or the process that says it started it: a script may stand between. Returns
 * false if that cannot be watched. */
static bool follow_parent(void) {
    const char *starter = getenv(PLAT_PARENT_VARIABLE);
    int parent = plat_parent_pid(), named = starter ? (int)strtol(starter, NULL, 10) : 0;
    if (plat_process_watch_open(on_parent_death, NULL, &host.parent_watch) < 0) return false;
    if (!follow(parent, 0) || (named > 0 && named != parent && !follow(named, 1))) return false;
    /* If it ended before the watch was there, the pid may be somebody else's by now. */
    if (plat_parent_pid() != parent) on_parent_death(NULL, 0);
    return true;
}

static bool on_interrupted(void *user_data) {
    (void)user_data;
    if (host.server) return server_is_interrupted(host.server);
    /* While loading there is no answer to cancel or to finish: the first signal is enough. */
    return __atomic_load_n(&host.stop.drain, __ATOMIC_ACQUIRE) || __atomic_load_n(&host.stop.now, __ATOMIC_ACQUIRE) ||
           classic_service_shutdown_requested(host.classic) || stream_service_shutdown_requested(host.streams);
}

/* A line a second: enough to see that it moves. */
static void on_load_progress(void *user_data, int per_mille) {
    (void)user_data;
    stream_service_show_loading(host.streams, per_mille / 10 * 10);
    uint64_t now = plat_clock_ns();
    if (now - host.last_progress_ns < 1000000000u) return;
    host.last_progress_ns = now;
    log_line(LOG_LEVEL_INFO, "loading %s: %d %%", host.model_path, per_mille / 10);
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
    case ENGINE_E_ABORTED: return HOST_EXIT_OK; /* it was asked to */
    default: return HOST_EXIT_FAILURE;
    }
}

static int open_model(const host_options *options, const engine_callbacks *callbacks, engine **engine,
                      char *message, size_t message_size) {
    static char embedded[4096];
    host.model_path = options->model_path;
    if (!host.model_path) {
        model_path_embedded(embedded, sizeof embedded); /* if it is missing, the engine says so */
        host.model_path = embedded;
    }
    const llama_engine_options engine_options = {
        .model_path = host.model_path,
        .n_ctx = options->n_ctx > 0 ? (uint32_t)options->n_ctx : 0,
        .n_ctx_limit = options->n_ctx < 0 ? HOST_CTX_DEFAULT_MAX : 0,
        .n_sequences = options->n_parallel,
        .n_threads = options->n_threads,
        .n_gpu_layers = options->n_gpu_layers,
        .callbacks = *callbacks,
    };
    log_line(LOG_LEVEL_INFO, "loading %s", host.model_path);
    return llama_engine_open(&engine_options, engine, message, message_size);
}

static int open_replay(const host_options *options, const engine_callbacks *callbacks, engine **engine, char *message,
                       size_t message_size) {
    const replay_engine_options engine_options = {
        .text_path = options->replay_path,
        .tokens_per_second = options->replay_rate,
        /* The classic channel may have one beside all streams. */
        .n_sequences = options->n_parallel > 0 ? options->n_parallel : options->n_slots + 1,
        .n_ctx = options->n_ctx > 0 ? (uint32_t)options->n_ctx : 0,
        .callbacks = *callbacks,
    };
    host.model_path = options->replay_path;
    log_line(LOG_LEVEL_INFO, "replaying %s", host.model_path);
    return replay_engine_open(&engine_options, engine, message, message_size);
}

static int open_engine(const host_options *options, engine **engine) {
    char message[MESSAGE_SIZE];
    const engine_callbacks callbacks = {
        .on_load_progress = on_load_progress, .interrupted = on_interrupted, .on_log = on_engine_log};
    uint64_t started_ns = host.last_progress_ns = plat_clock_ns();
    stream_service_show_state(host.streams, LIPC_HUB_LOADING);
    int error = options->replay_path ? open_replay(options, &callbacks, engine, message, sizeof message)
                                     : open_model(options, &callbacks, engine, message, sizeof message);
    if (error < 0) {
        if (error != ENGINE_E_ABORTED) log_line(LOG_LEVEL_ERROR, "%s", message);
        return error;
    }
    const engine_model_facts *facts = &(*engine)->facts;
    log_line(LOG_LEVEL_INFO, "ready after %.2f s: %s, %.1f M parameters, context %u, %d at a time, %d threads, "
                             "template: %s; name %s",
             (double)(plat_clock_ns() - started_ns) / 1e9, facts->description, (double)facts->n_parameters / 1e6,
             facts->n_ctx, facts->n_sequences, facts->n_threads, facts->template_name, options->name);
    if (facts->n_ctx_trained && facts->n_ctx > facts->n_ctx_trained)
        log_line(LOG_LEVEL_WARN, "the context of %u tokens is larger than the %u the model was trained with",
                 facts->n_ctx, facts->n_ctx_trained);
    stream_service_show_model(host.streams, facts);
    return ENGINE_OK;
}

/* Loads the model and serves. */
static host_exit run(const host_options *options) {
    engine *engine;
    int error = open_engine(options, &engine);
    if (error < 0) return exit_code_of(error);
    server *server = server_new(engine, host.classic, host.streams, &host.stop, host.bell);
    host_exit code = server ? HOST_EXIT_OK : HOST_EXIT_FAILURE;
    if (server) {
        host.server = server;
        stream_service_show_state(host.streams, LIPC_HUB_READY);
        classic_service_announce(host.classic);
        server_run(server);
        log_line(LOG_LEVEL_INFO, "ending as asked");
    } else {
        log_line(LOG_LEVEL_ERROR, "not enough memory for the serving loop");
    }
    /* Before the engine, whose memory may take a while to give back: a client that sees the names gone can start the
     * next host at once. */
    remove_objects();
    host.server = NULL;
    server_free(server);
    engine_close(engine);
    return code;
}

/* Makes everything that clients see. */
static host_exit open_services(const host_options *options, char *message, size_t message_size) {
    host_exit code = instance_open(&host.instance, options, message, message_size);
    if (code != HOST_EXIT_OK) return code;
    host.bell = hub_bell(&hub_of(&host.instance.view)->bell);
    code = classic_service_open(&host.instance, options, host.bell, &host.classic, message, message_size);
    if (code != HOST_EXIT_OK) return code;
    code = stream_service_open(&host.instance, options, host.bell, &host.streams, message, message_size);
    if (code == HOST_EXIT_OK && options->exit_with_parent && !follow_parent()) {
        snprintf(message, message_size, "cannot watch the parent process: %s", plat_os_error());
        return HOST_EXIT_FAILURE;
    }
    return code;
}

static void close_services(void) {
    remove_objects();
    plat_process_watch_close(host.parent_watch);
    classic_service *classic = host.classic;
    host.classic = NULL; /* a signal from here on must touch neither it nor the segment */
    host.bell = NULL;
    classic_service_close(classic);
    stream_service_close(host.streams);
    instance_close(&host.instance);
}

int main(int argc, char *argv[]) {
    host_options options;
    char message[MESSAGE_SIZE];
    plat_streams_ensure();
    if (!host_options_parse(argc, argv, &options, message, sizeof message)) {
        log_line(LOG_LEVEL_ERROR, "%s", message);
        return HOST_EXIT_USAGE;
    }
    if (options.show_help) {
        host_options_print_help(stdout);
        return HOST_EXIT_OK;
    }
    if (options.show_version) {
        printf("chatbot %s (libllama %s)\n", LIPC_VERSION, llama_engine_library_version());
        return HOST_EXIT_OK;
    }
    log_open(options.log_level);
    install_signal_handlers();
    /* Whoever was told to end before it took the name does not take it, not even for a moment. */
    if (__atomic_load_n(&host.stop.drain, __ATOMIC_ACQUIRE)) return HOST_EXIT_OK;
    host_exit code = open_services(&options, message, sizeof message);
    if (code == HOST_EXIT_OK)
        code = run(&options);
    else
        log_line(LOG_LEVEL_ERROR, "%s", message);
    close_services();
    return code;
}
