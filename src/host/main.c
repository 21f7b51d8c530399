/* main.c - chatbot: from the command line to the objects that clients see, to the work, and back out.
 *
 *     main -> supervise -> worker -> serve      the worker is a child, and another takes its place if it is killed
 *     main ------------->  worker -> serve      with --no-supervise
 */
#define _GNU_SOURCE
#include "exit_codes.h"
#include "log.h"
#include "options.h"
#include "supervise.h"
#include "worker.h"

#include "../channel/names.h"
#include "../engine/engine.h"
#include "../platform/platform.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE_SIZE 640

/* Signal handlers have no argument: what they need is here. */
static host_parts parts;
static plat_doorbell *bell; /* the hub's; NULL until there is one */

/* The first signal lets the answers at hand finish, the second ends at once, the worker with it. */
static void on_signal(int number) {
    if (__atomic_exchange_n(&parts.journal->stop.drain, 1, __ATOMIC_SEQ_CST) != 0) {
        host_parts_remove(&parts);
        _exit(128 + number);
    }
    /* Not into a segment that somebody has truncated: its worker dies of that, and the next one looks. */
    if (bell && plat_segment_is_whole(parts.instance.segment)) plat_doorbell_ring(bell, PLAT_BELL_ALL);
}

/* Fills in the signals that end the host. */
static void install_signal_handlers(sigset_t *ending) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigemptyset(ending);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaddset(ending, numbers[i]);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART, .sa_mask = *ending};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) sigaction(numbers[i], &action, NULL); /* nohup stays in force */
    }
    signal(SIGPIPE, SIG_IGN); /* nobody may read our log */
}

/* The process `pid`, to end with. One that cannot be found has ended: its death is seen as soon as it is looked at. */
static followed_process followed(int pid) {
    followed_process process = {.pid = pid};
    if (plat_process_start_time(pid, &process.start_time) == PLAT_E_NOT_FOUND) process.start_time = UINT64_MAX;
    return process;
}

/* Notes whom the host ends with: its parent, and the process that says it started it, if a script stands between. */
static void note_parents(journal *journal) {
    const char *name = getenv(PLAT_PARENT_VARIABLE);
    int parent = plat_parent_pid(), starter = name ? (int)strtol(name, NULL, 10) : 0;
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
    if (code == HOST_EXIT_OK) instance_begin(&parts.instance);
    return code;
}

static void close_parts(void) {
    host_parts_remove(&parts);
    bell = NULL; /* a signal from here on must not touch the segment */
    classic_objects_close(&parts.classic);
    instance_close(&parts.instance);
}

static host_exit work(const sigset_t *ending) {
    if (!parts.options.no_supervise) return supervise(&parts, ending);
    plat_faults_say("chatbot: error: memory that was mapped is gone: another program has truncated the shared memory or "
                    "the model's file\n", HOST_EXIT_FAILURE);
    parts.journal->n_workers = 1;
    return worker_run(&parts);
}

static host_exit run(void) {
    char message[MESSAGE_SIZE], object_name[NAMES_OBJECT_SIZE];
    sigset_t ending;
    names_object(object_name, parts.options.name, LIPC_SUFFIX_SEGMENT);
    parts.journal = plat_memory_shared(object_name, sizeof *parts.journal);
    if (!parts.journal) {
        log_line(LOG_LEVEL_ERROR, "not enough memory");
        return HOST_EXIT_FAILURE;
    }
    if (parts.options.exit_with_parent) note_parents(parts.journal);
    install_signal_handlers(&ending);
    /* Whoever was told to end before it took the name does not take it, not even for a moment. */
    if (__atomic_load_n(&parts.journal->stop.drain, __ATOMIC_ACQUIRE)) return HOST_EXIT_OK;
    host_exit code = open_parts(message, sizeof message);
    if (code == HOST_EXIT_OK)
        code = work(&ending);
    else
        log_line(LOG_LEVEL_ERROR, "%s", message);
    close_parts();
    return code;
}

int main(int argc, char *argv[]) {
    char message[MESSAGE_SIZE];
    plat_streams_ensure();
    plat_signals_ensure();
    if (!host_options_parse(argc, argv, &parts.options, message, sizeof message)) {
        log_line(LOG_LEVEL_ERROR, "%s", message);
        return HOST_EXIT_USAGE;
    }
    if (parts.options.show_help_all) {
        host_options_print_help_all(stdout);
        return HOST_EXIT_OK;
    }
    if (parts.options.show_help) {
        host_options_print_help(stdout);
        return HOST_EXIT_OK;
    }
    if (parts.options.show_version) {
        printf("chatbot %s (libllama %s)\n", LIPC_VERSION, llama_engine_library_version());
        return HOST_EXIT_OK;
    }
    log_open(parts.options.log_level);
    if (parts.options.check) return worker_check(&parts.options);
    return run();
}
