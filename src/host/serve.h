/* serve.h - the serving loop: requests of all channels in, engine steps, text out. */
#ifndef HOST_SERVE_H
#define HOST_SERVE_H

#include "classic_service.h"
#include "ledger.h"
#include "stream_service.h"

#include "../engine/engine.h"
#include "../platform/platform.h"

typedef struct server server;

/* Makes the loop's memory. `bell` is what the loop sleeps on. NULL if memory ran out. */
server *server_new(engine *engine, classic_service *classic, stream_service *streams, ledger *ledger,
                   plat_doorbell *bell);

/* Serves until asked to stop. */
void server_run(server *server);

/* Whether none of the answers at hand is wanted any more. For engine_callbacks.interrupted while serving. */
bool server_is_interrupted(const server *server);

/* NULL allowed. */
void server_free(server *server);

#endif
