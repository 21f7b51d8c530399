/* loader.h - which model the host has: opens the first one, changes it for another when a request asks for that, and opens
 * the old one again if the new one cannot be used. Clients, queue and shared objects stay as they are meanwhile; only the
 * engine is replaced. Called by the worker, in its main thread.
 */
#ifndef HOST_LOADER_H
#define HOST_LOADER_H

#include "answer.h"
#include "classic_service.h"
#include "exit_codes.h"
#include "journal.h"
#include "options.h"
#include "serve.h"
#include "stream_service.h"

#include "../engine/engine.h"

#define LOADER_MESSAGE_SIZE 640

typedef struct loader {
    const host_options *options;
    journal *journal;
    classic_service *classic;
    stream_service *streams;
    server *server;        /* gets each engine that is opened */
    bool has_answers;      /* of a dead worker: they are finished even if the host is told to end while the model loads */
    /* What follows is the loader's own. */
    engine *engine;        /* NULL: none */
    bool is_serving;       /* not loading */
    const answer *request; /* by which another model is being loaded; NULL: none */
    const char *model_path;
    uint64_t last_progress_ns;
    char message[LOADER_MESSAGE_SIZE];
} loader;

/* Opens the model that the journal names, or the options. Returns 0, or an ENGINE_E_*: then there is no engine, and those who
 * wait have been told that the host ends. */
int loader_open_first(loader *loader);

/* It is the turn of this request for another model; nothing runs. Ends the request. Returns 0 with one of the two models
 * open, or an ENGINE_E_*: there is no engine any more. */
int loader_change(loader *loader, answer *request);

/* There is no work: gives the model's memory back. The host stays ready, and shows that it is asleep. */
void loader_sleep(loader *loader);

/* Opens the model again, for the requests that wait. If it cannot be had, they fail, the host stays asleep, and the next
 * request tries again. Returns 0, or ENGINE_E_ABORTED: the host was told to end, as with loader_open_first. */
int loader_wake(loader *loader);

/* Closes the engine, if there is one. */
void loader_close(loader *loader);

/* What the host ends with after an ENGINE_E_*. */
host_exit loader_exit_code(int engine_error);

/* Says whether library and model are whole, without making or loading anything. */
host_exit loader_check(const host_options *options);

#endif
