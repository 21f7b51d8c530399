/* main.c - chatbot: from the command line to the objects that clients see, to the work, and back out.
 *
 *     main -> supervise -> worker -> serve      the worker is a child, and another takes its place if it is killed
 *     main ------------->  worker -> serve      with --no-supervise
 */
#include "exit_codes.h"
#include "key_file.h"
#include "loader.h"
#include "log.h"
#include "options.h"
#include "pull.h"
#include "supervise.h"
#include "worker.h"

#include "../channel/names.h"
#include "../engine/engine.h"
#include "../engine/llama/common/arguments.h"
#include "../engine/llama/common/backends.h"
#include "../platform/platform.h"

#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_SIZE 640

/* Whoever asks the host to end has no argument for us: what is needed then is here. */
static host_parts parts;
static plat_doorbell *bell; /* the hub's; NULL until there is one */

/* The first request lets the answers at hand finish, the second ends at once, the worker with it. */
static void on_stop(int exit_code) {
    if (__atomic_exchange_n(&parts.journal->stop.drain, 1, __ATOMIC_SEQ_CST) != 0) {
        host_parts_remove(&parts);
        plat_exit_now(exit_code);
    }
    /* Not into a segment that somebody has truncated: its worker dies of that, and the next one looks. */
    if (bell && plat_segment_is_whole(parts.instance.segment)) plat_doorbell_ring(bell, PLAT_BELL_ALL);
}

/* The process `pid`, to end with. One that cannot be found has ended: its death is seen as soon as it is looked at. */
static followed_process followed(int pid) {
    followed_process process = {.pid = pid};
    if (plat_process_start_time(pid, &process.start_time) == PLAT_E_NOT_FOUND) process.start_time = UINT64_MAX;
    return process;
}

/* Notes whom the host ends with: its parent, and the process that says it started it, if a script stands between. */
static void note_parents(journal *journal) {
    const char *text = plat_environment(PLAT_PARENT_VARIABLE);
    int parent = plat_parent_pid(), starter = text ? (int)strtol(text, NULL, 10) : 0;
    journal->parent = followed(parent);
    if (starter > 0 && starter != parent) journal->starter = followed(starter);
    /* It ended meanwhile, and the number may be somebody else's. */
    if (plat_parent_pid() != parent) journal->parent.start_time = UINT64_MAX;
}

/* Makes everything that clients see. */
static host_exit open_parts(char *message, size_t message_size) {
    host_exit code = instance_open(&parts.instance, &parts.options, message, message_size);
    if (code != HOST_EXIT_OK) return code;
    bell = hub_bell(&hub_of(&parts.instance.view)->bell);
    code = classic_objects_open(&parts.classic, &parts.instance, message, message_size);
    /* Last: by the hub, clients of both channels see that what a dead host left has been taken over. */
    if (code == HOST_EXIT_OK) {
        instance_begin(&parts.instance);
        parts.journal->hub = parts.instance.hub;
    }
    return code;
}

static void close_parts(void) {
    host_parts_remove(&parts);
    bell = NULL; /* a stop from here on must not touch the segment */
    classic_objects_close(&parts.classic);
    instance_close(&parts.instance);
}

static host_exit work(void) {
    if (!parts.options.no_supervise) return supervise(&parts);
    plat_faults_say("chatbot: error: memory that was mapped is gone: another program has truncated the shared memory or "
                    "the model's file\n", HOST_EXIT_FAILURE);
    parts.journal->n_workers = 1;
    return worker_run(&parts);
}

/* A worker that began in main: the objects are there, and the options and the journal are its supervisor's. */
static host_exit work_for_supervisor(void) {
    char message[MESSAGE_SIZE];
    plat_stop_watch(on_stop); /* which is not called here */
    host_exit code = instance_join(&parts.instance, &parts.options, &parts.journal->hub, message, sizeof message);
    if (code == HOST_EXIT_OK) code = classic_objects_join(&parts.classic, &parts.instance, message, sizeof message);
    if (code == HOST_EXIT_OK) supervised_work(&parts);
    log_line(LOG_LEVEL_ERROR, "%s", message);
    return code;
}

static host_exit run(void) {
    char message[MESSAGE_SIZE], object_name[NAMES_OBJECT_SIZE];
    names_object(object_name, parts.options.name, LIPC_SUFFIX_SEGMENT);
    parts.journal = plat_memory_shared(object_name, sizeof *parts.journal);
    if (!parts.journal) {
        log_line(LOG_LEVEL_ERROR, "not enough memory");
        return HOST_EXIT_FAILURE;
    }
    if (plat_worker_began()) return work_for_supervisor();
    if (parts.options.exit_with_parent) note_parents(parts.journal);
    plat_stop_watch(on_stop);
    /* Whoever was told to end before it took the name does not take it, not even for a moment. */
    if (__atomic_load_n(&parts.journal->stop.drain, __ATOMIC_ACQUIRE)) return HOST_EXIT_OK;
    host_exit code = open_parts(message, sizeof message);
    if (code == HOST_EXIT_OK)
        code = work();
    else
        log_line(LOG_LEVEL_ERROR, "%s", message);
    close_parts();
    return code;
}

static int take_library_option(void *user_data, int n_words, char *const words[], char *message, size_t message_size) {
    return arguments_take(user_data, n_words, words, message, message_size);
}

/* Ours, and llama.cpp's own. */
static bool read_options(int argc, char *argv[], char *message, size_t message_size) {
    arguments *library = arguments_new();
    const option_others others = {take_library_option, library};
    snprintf(message, message_size, "not enough memory");
    bool are_good = library && arguments_environment(library, message, message_size) &&
                    host_options_parse(argc, argv, &others, &parts.options, message, message_size);
    parts.options.library = library;
    return are_good;
}

/* Those of other computers (--rpc), too. */
static void list_devices(void) {
    char message[MESSAGE_SIZE];
    backends_load(true);
    if (!arguments_know_devices(parts.options.library, message, sizeof message)) fprintf(stderr, "chatbot: error: %s\n", message);
    backends_list_devices(stdout);
}

/* Returns only if that cannot be. */
static host_exit lend_devices(void) {
    char message[MESSAGE_SIZE];
    int32_t n_threads = parts.options.n_threads > 0 ? parts.options.n_threads : plat_core_count();
    backends_serve(parts.options.rpc_server, n_threads, message, sizeof message);
    log_line(LOG_LEVEL_ERROR, "%s", message);
    return HOST_EXIT_USAGE;
}

/* Whether something was asked for that needs no host. */
static bool is_told_at_once(void) {
    const host_options *options = &parts.options;
    if (options->show_help_all) {
        host_options_print_help_all(stdout);
        printf("\nllama.cpp's own, for models, contexts and devices:\n\n");
        arguments_print_help(stdout);
    } else if (options->show_help) {
        host_options_print_help(stdout);
    } else if (options->show_version) {
        printf("chatbot %s (libllama %s)\n", LIPC_VERSION, llama_engine_library_version());
    } else if (options->list_devices) {
        list_devices();
    }
    return options->show_help_all || options->show_help || options->show_version || options->list_devices;
}

static host_exit act(int argc, char *argv[]) {
    char message[MESSAGE_SIZE];
    if (!read_options(argc, argv, message, sizeof message)) {
        log_line(LOG_LEVEL_ERROR, "%s", message);
        return HOST_EXIT_USAGE;
    }
    if (is_told_at_once()) return HOST_EXIT_OK;
    log_open(parts.options.log_level);
    if (parts.options.rpc_server) return lend_devices();
    if (parts.options.pull || parts.options.cache_list || parts.options.cache_remove) return pull_run(&parts.options);
    if (parts.options.api_key_file && !key_file_read(parts.options.api_key_file, &parts.options.api_key, message, sizeof message)) {
        log_line(LOG_LEVEL_ERROR, "%s", message);
        return HOST_EXIT_USAGE;
    }
    if (parts.options.check) return loader_check(&parts.options);
    return run();
}

int main(int argc, char *argv[]) {
    plat_streams_ensure();
    plat_signals_ensure();
    plat_arguments(&argc, &argv);
    host_exit code = act(argc, argv);
    arguments_free(parts.options.library);
    return code;
}
