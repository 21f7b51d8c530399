/* stream_service.h - the host's side of the modern channel: who is attached, what they ask for, and their answers.
 *
 * Everything the clients write is looked at by stream_service_look, after a ring: each word is copied once into a
 * local, checked, and then used. What the host knows (which generation of which stream it works on, for whom, what it
 * has published) is private; the segment only shows it.
 *
 * Word                        written by        when the writer dies right after
 * hub, but bell and shutdown  host              a worker's successor writes all of it again; of a host, clients see its
 *                                               process end and stop reading it
 * client record claim         client, CAS       the host finds the pid in it and frees the record
 * reservation                        client, host CAS  dropped with the record; a granted stream is one of its streams; claimed
 *                                               for a client and not yet granted: granted by the successor
 * stream claim                clients, CAS      CLAIMED, SUBMITTED, RELEASED: freed with the owner; DETACHED: nobody's
 * cancel                      owner             the work ends
 * request area                owner             not SUBMITTED: nobody looks; SUBMITTED: whole
 * watchers                    clients, atomic   bits of a dead client are cleared with its record
 * published, status, log ...  host              stream.h; a successor goes on behind them (stream_service_recover)
 * bells                       see doorbell.c
 *
 * All functions belong to the main thread, or to one that it waits for (server_poll_clients); a thread of the process watch only
 * marks the dead and rings the host.
 */
#ifndef HOST_STREAM_SERVICE_H
#define HOST_STREAM_SERVICE_H

#include "answer.h"
#include "instance.h"
#include "options.h"

#include "../platform/platform.h"

typedef struct stream_service stream_service;

/* `bell` is the hub's, on which the main thread sleeps. Errors as instance_open. */
host_exit stream_service_open(const instance *instance, const host_options *options, journal *journal, plat_doorbell *bell,
                              stream_service **service, char *message, size_t message_size);

/* Before the first look: takes up what a dead worker, or a dead host, left in the segment. Answers that it had begun go on
 * from the last published token; their clients see RECOVERING until then. Returns how many those are. */
size_t stream_service_recover(stream_service *service);

/* Number of streams. */
size_t stream_service_size(const stream_service *service);

/* State, load progress and facts, for all clients to see. Rings those who wait for them. The facts change only while the
 * state is neither READY nor ENDING. */
void stream_service_show_state(stream_service *service, uint32_t state);
void stream_service_show_loading(stream_service *service, int per_mille);
void stream_service_show_model(stream_service *service, const engine_model_facts *facts, const char *path);
/* READY, but without the model in memory, until show_model. */
void stream_service_show_asleep(stream_service *service);
/* A model that is being fetched; all 0: none is. */
void stream_service_show_download(stream_service *service, uint64_t n_done, uint64_t n_total, uint64_t per_second);
/* Behind the worker's first state. */
void stream_service_show_worker(stream_service *service, int pid, uint32_t n_recoveries);
void stream_service_show_load(stream_service *service, uint32_t n_running, uint32_t n_queued);

/* Looks at everything that clients may have changed: who came, left or died; requests, cancels, releases. */
void stream_service_look(stream_service *service);

/* The next request that has arrived and is good; NULL if there is none. Bad ones have been refused. Those that were found
 * in the same look come in the order of their streams: who wants one to begin first waits until it has. */
answer *stream_service_take(stream_service *service);

/* Gives free streams to those who wait for one, and shows the others their position, behind n_queued requests. */
void stream_service_grant(stream_service *service, uint32_t n_queued);

bool stream_service_shutdown_requested(const stream_service *service);

/* NULL allowed. */
void stream_service_close(stream_service *service);

#endif
