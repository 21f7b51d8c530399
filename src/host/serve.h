/* serve.h - the serving loop: requests in, engine steps, text out. */
#ifndef HOST_SERVE_H
#define HOST_SERVE_H

#include "classic_service.h"
#include "options.h"

#include "../engine/engine.h"
#include "../platform/platform.h"

/* What may end the host from outside; set by signal handlers and watching threads, which then ring the bell. */
typedef struct stop_request {
    int drain; /* atomic: finish the answer at hand, then end */
    int now;   /* atomic: end the answer at hand where it is, then end */
    plat_doorbell bell;
} stop_request;

/* Serves until asked to stop. Returns the code to end with. */
host_exit serve(engine *engine, classic_service *classic, const host_options *options, stop_request *stop);

/* Whether the evaluation at hand is no longer wanted. For engine_options.interrupted while serving; any thread. */
bool serve_is_interrupted(const classic_service *classic, const stop_request *stop);

#endif
