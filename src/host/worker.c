/* worker.c - see worker.h. In the order that the guide's clients need: the objects exist before the model loads, and
 * they are gone before the process is.
 */
#include "worker.h"

#include "loader.h"
#include "log.h"
#include "serve.h"

#include "../platform/platform.h"
#include "../platform/failpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE 640

typedef struct worker {
    host_parts *parts;
    plat_doorbell *bell; /* the hub's */
    classic_service *classic;
    stream_service *streams;
    plat_process_watch *parent_watch;
    server *server;
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

/* ---- working ----------------------------------------------------------------------------------------------------- */

/* Serves until the host is told to end, with one model after the other, or with none while there is no work. */
static host_exit run(const worker *worker, loader *loader) {
    for (;;) {
        answer *request;
        int error = ENGINE_OK;
        switch (server_run(worker->server, &request)) {
        case SERVER_ENDS: return HOST_EXIT_OK;
        case SERVER_LOADS: error = loader_change(loader, request); break;
        case SERVER_SLEEPS: loader_sleep(loader); break;
        case SERVER_WAKES: error = loader_wake(loader); break;
        }
        if (error < 0) return loader_exit_code(error);
    }
}

/* Everybody may see that the model is there. */
static void announce(const worker *worker) {
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
    host_parts *parts = worker->parts;
    worker->server = server_new(worker->classic, worker->streams, &parts->options, parts->journal, worker->bell);
    if (!worker->server) {
        log_line(LOG_LEVEL_ERROR, "not enough memory for the serving loop");
        return HOST_EXIT_FAILURE;
    }
    static loader loader; /* to the very end: a driver may fail while the process exits */
    loader = (struct loader){.options = &parts->options, .journal = parts->journal, .classic = worker->classic,
                             .streams = worker->streams, .server = worker->server, .has_answers = worker->has_answers};
    recorder *recorder = open_recorder(worker);
    server_record(worker->server, recorder);
    if (parts->options.sleep_idle_s > 0) server_sleep_after(worker->server, (uint32_t)parts->options.sleep_idle_s);
    stream_service_show_state(worker->streams, worker->is_successor ? LIPC_HUB_RECOVERING : LIPC_HUB_LOADING);
    stream_service_show_worker(worker->streams, plat_process_own_pid(), parts->journal->n_workers - 1);
    int error = loader_open_first(&loader);
    host_exit code = loader_exit_code(error);
    if (error == ENGINE_OK) {
        announce(worker);
        code = run(worker, &loader);
        if (code == HOST_EXIT_OK) log_line(LOG_LEVEL_INFO, "ending as asked");
    }
    /* Before the engine, whose memory may take a while to give back: a client that sees the names gone can start the
     * next host at once. */
    host_parts_remove(parts);
    server_free(worker->server);
    recorder_close(recorder);
    loader_close(&loader);
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
