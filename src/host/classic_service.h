/* classic_service.h - the host's side of the classic channel: the guide's four semaphores and the flow around them.
 *
 * semaphore              posted by  when                                   taken by
 * sem_ready              host       it can serve, the last answer is       client, before it writes a request
 *                                   read and no permit of it is left;
 *                                   again when it was taken and no request
 *                                   came for a second
 * sem_prompts_written    client     its request stands in the block        host (a listening thread)
 * sem_chunk_ready        host       streaming: after each update           client
 * sem_response_written   host       the answer is complete                 client
 *
 * To the serving loop it is a channel of answers like any other (answer.h). What the classic block has no place for is
 * said in the answer's text: "[error: ...]".
 *
 * A thread listens for requests; everything else is called from the host's main thread, and nothing in it waits. The
 * two share one word, `phase`: the listener hands over (IDLE -> POSTED), the main thread gives back (POSTED -> IDLE).
 *
 * After a death: a host that is killed leaves the objects as they are and its successor resets them in place. A client
 * that is killed leaves at most permits nobody took, a taken sem_ready (posted again after a second), or an answer
 * nobody reads: it ends when none of the processes has the semaphores open any more that had when it was young, where the
 * system shows that, and runs to its end otherwise. A worker that is killed leaves its place in the journal, in this order:
 *
 *     a permit of sem_prompts_written is taken     IDLE: found by its client, which waits for an answer (is_forgotten)
 *     the request is copied                        ANSWERING, with the request and the seed
 *     a token is noted, shown, counted as shown    the last may be shown again: it changes nothing
 *     the answer is final in the block             COMPLETE
 *     sem_chunk_ready, sem_response_written        posted again; what is too much goes with the rest
 *     the answer is read, or given up              IDLE
 *     sem_ready                                    posted after a second
 *
 * Permits nobody took. The next client would take a sem_response_written left behind for its own, and could do so
 * before the host has even seen its request. So they must be gone before sem_ready is posted. But a client that is
 * merely slow still needs them. Therefore, after an answer, the listener waits until sem_response_written is taken:
 * usually some microseconds. Whoever took it may still be reading: clients that know `reader` (layout.h) say when they have
 * read, and are waited for instead; those of the guide are given READ_MS in normal mode. If no permit is taken for a quarter of a second it takes that one back, and if somebody
 * turns out to be waiting for it after all, that client was stopped, not dead, and gets it again.
 */
#ifndef HOST_CLASSIC_SERVICE_H
#define HOST_CLASSIC_SERVICE_H

#include "answer.h"
#include "classic_objects.h"
#include "instance.h"
#include "journal.h"
#include "options.h"

#include "../channel/classic_block.h"
#include "../platform/platform.h"

typedef struct classic_service classic_service;

/* Starts to listen, and takes up what a dead worker left. `bell` is rung when there is something for
 * classic_service_take; `options` give the parameters of every request. Errors as instance_open. */
host_exit classic_service_open(const instance *instance, const classic_objects *objects, const host_options *options,
                               journal *journal, plat_doorbell *bell, classic_service **service, char *message,
                               size_t message_size);

/* The host can serve from now on. */
void classic_service_announce(classic_service *service);

/* A request that has arrived; NULL if there is none. There is one at a time: the next comes after the channel was told
 * that this one has ended. An empty prompt is answered here, and so is a request to end the host. */
answer *classic_service_take(classic_service *service);

/* Whether a client has asked to end the host. Two loads; any thread. */
bool classic_service_shutdown_requested(const classic_service *service);

/* Stops listening, and tells those who wait for their turn that the host has ended: two seconds at most. After the names
 * are gone. NULL allowed. */
void classic_service_close(classic_service *service);

#endif
