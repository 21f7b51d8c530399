/* play_host.c - see play_host.h. */
#define _GNU_SOURCE
#include "play_host.h"

#include "fuzz.h"

#include "host/classic_service.h"
#include "host/log.h"
#include "host/pull.h"
#include "host/serve.h"
#include "host/stream_service.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A turn that takes this long, so that what happens once a second happens too. */
#define TURN_NS 20000000u

const host_options play_options = {.n_predict = -1, .top_p = 1, .repeat_penalty = 1, .seed = 1, .log_level = LOG_LEVEL_ERROR,
                                   .replay_path = "text"}; /* no other model is opened */

/* ---- what a worker has beside the streams --------------------------------------------------------------------------- */

/* Nothing is fetched: a text that is played back has no model to change. */
void pull_start(fetch *fetch, const char *name, bool is_offline) {
    (void)name;
    (void)is_offline;
    fetch->state = FETCH_FAILED;
}

bool fetch_look(fetch *fetch) {
    (void)fetch;
    return false;
}

void fetch_end(fetch *fetch) {
    (void)fetch;
}

answer *classic_service_take(classic_service *service) {
    (void)service;
    return NULL;
}

bool classic_service_shutdown_requested(const classic_service *service) {
    (void)service;
    return false;
}

/* Words what it is told, and says nothing. */
void log_line(log_level level, const char *format, ...) {
    char line[1024];
    va_list arguments;
    (void)level;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
}

/* ---- the engine: the real one, between the loop and which the target comes ------------------------------------------ */

typedef struct watched_engine {
    engine base;
    const host_play *play;
} watched_engine;

static void take_turn(const host_play *play) {
    bool is_idle = engine_next_step_ns(play->engine) == UINT64_MAX;
    fake_pass(TURN_NS);
    play->on_turn(play->user_data, is_idle);
    plat_doorbell_ring(hub_bell(&hub_of(&play->view)->bell), PLAT_BELL_ALL);
}

static int watched_admit(engine *engine, const engine_request *request, int *sequence) {
    watched_engine *self = (watched_engine *)engine;
    if (self->play->on_admit) self->play->on_admit(self->play->user_data, request);
    int error = engine_admit(self->play->engine, request, sequence);
    memcpy(engine->message, self->play->engine->message, sizeof engine->message);
    return error;
}

static int watched_render(engine *engine, const engine_request *request, char **json) {
    watched_engine *self = (watched_engine *)engine;
    int error = engine_render(self->play->engine, request, json);
    memcpy(engine->message, self->play->engine->message, sizeof engine->message);
    return error;
}

static size_t watched_step(engine *engine, engine_progress *progress) {
    watched_engine *self = (watched_engine *)engine;
    take_turn(self->play);
    size_t n_moved = engine_step(self->play->engine, progress);
    memcpy(engine->message, self->play->engine->message, sizeof engine->message);
    return n_moved;
}

static uint64_t watched_next_step_ns(const engine *engine) {
    const host_play *play = ((const watched_engine *)engine)->play;
    uint64_t next_ns = engine_next_step_ns(play->engine);
    if (next_ns == UINT64_MAX) take_turn(play); /* the host is about to sleep */
    return next_ns;
}

static void watched_cancel(engine *engine, int sequence) {
    engine_cancel(((watched_engine *)engine)->play->engine, sequence);
}

static void watched_close(engine *engine) {
    (void)engine;
}

static const engine_operations watched_operations = {
    .admit = watched_admit, .step = watched_step, .next_step_ns = watched_next_step_ns, .cancel = watched_cancel,
    .render = watched_render, .close = watched_close,
};

/* ---- the worker ----------------------------------------------------------------------------------------------------- */

void play_host(const host_play *play) {
    char message[256];
    stream_service *streams;
    plat_doorbell *bell = hub_bell(&hub_of(&play->view)->bell);
    const instance instance = {.view = play->view, .hub = play->hub};
    watched_engine engine = {.base = *play->engine, .play = play};
    engine.base.operations = &watched_operations;
    MUST(stream_service_open(&instance, &play_options, play->journal, bell, &streams, message, sizeof message) == HOST_EXIT_OK);
    stream_service_recover(streams);
    stream_service_show_worker(streams, plat_process_own_pid(), 0);
    stream_service_show_model(streams, &play->engine->facts, "/model.gguf");
    /* As if it had had another model before, that made fewer answers at a time. */
    struct engine narrow = {.facts = {.n_sequences = 1, .n_progress = 1}};
    server *server = server_new(NULL, streams, &play_options, play->journal, bell);
    MUST(server != NULL);
    server_poll_clients(server); /* as while it loads */
    MUST(server_set_engine(server, &narrow) && server_set_engine(server, &engine.base));
    stream_service_show_state(streams, LIPC_HUB_READY);
    answer *request;
    MUST(server_run(server, &request) == SERVER_ENDS); /* nobody may change what is played back */
    server_free(server);
    stream_service_close(streams);
}

engine *play_text(const char *text, int32_t n_sequences) {
    char path[64], message[256];
    engine *engine;
    int file = memfd_create("text", MFD_CLOEXEC);
    MUST(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    const replay_engine_options options = {.text_path = path, .n_sequences = n_sequences};
    MUST(replay_engine_open(&options, &engine, message, sizeof message) == ENGINE_OK);
    close(file);
    return engine;
}
