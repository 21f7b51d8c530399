/* serve.h - the serving loop: requests of all channels in, engine steps, text out. */
#ifndef HOST_SERVE_H
#define HOST_SERVE_H

#include "classic_service.h"
#include "record.h"
#include "journal.h"
#include "stream_service.h"

#include "../engine/engine.h"
#include "../platform/platform.h"

typedef struct server server;

/* Makes the loop's memory, without an engine. `bell` is what the loop sleeps on; what is fetched is fetched as the options say.
 * NULL if memory ran out. */
server *server_new(classic_service *classic, stream_service *streams, const host_options *options, journal *journal,
                   plat_doorbell *bell);

/* Why server_run returns. Nothing runs then. */
typedef enum server_event {
    SERVER_ENDS,  /* it was asked to stop */
    SERVER_LOADS, /* it is the turn of a request for another model. It is at work: a worker that dies from here on will have died
                     with it */
    SERVER_SLEEPS, /* it has an engine, and there was no work for as long as server_sleep_after says */
    SERVER_WAKES  /* it has no engine, and a request waits that needs one */
} server_event;

/* Serves. With LOADS, *request is the request; otherwise NULL. */
server_event server_run(server *server, answer **request);

/* Wakes the loop for the engine's sake (engine_callbacks.on_news). Any thread. */
void server_ring(server *server);

/* Without work for this long, server_run returns SLEEPS. Initially never. */
void server_sleep_after(server *server, uint32_t seconds);

/* From here on there is no engine, until server_set_engine. Nothing runs. */
void server_remove_engine(server *server);

/* There is no engine to be had, but the host goes on: ends every request that waits for one, as failed. */
void server_fail_waiting(server *server, const char *message);

/* While an engine is being opened, whenever somebody has rung: takes requests of the modern channel in, tells those who wait
 * their position, and ends what is no longer wanted. Cheap when nobody has. Any thread that the main thread waits for, one
 * at a time. */
void server_poll_clients(server *server);

/* After server_run has returned LOADS: ends its request. `error` is 0, or REFUSED or FAILED with a sentence in `message`. */
void server_end_load(answer *load, lipc_end end, int error, const char *message);

/* The engine with which server_run goes on; the one before may be closed. False if memory ran out: it goes on with none. */
bool server_set_engine(server *server, engine *engine);

/* There is no engine, and the host ends: so do all requests that have arrived. */
void server_abandon(server *server);

/* Whether none of the answers at hand is wanted any more. For engine_callbacks.interrupted while serving. */
bool server_is_interrupted(const server *server);

/* Has it record what answers show. The recorder stays the caller's; NULL: nothing is recorded. */
void server_record(server *server, recorder *recorder);

/* NULL allowed. */
void server_free(server *server);

#endif
