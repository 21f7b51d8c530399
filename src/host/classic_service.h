/* classic_service.h - the host's side of the classic channel: the guide's four semaphores and the flow around them.
 *
 * semaphore              posted by  when                                   taken by
 * sem_ready              host       it can serve, and no permit of the     client, before it writes a request
 *                                   last answer is left; again when it was
 *                                   taken and no request came for a second
 * sem_prompts_written    client     its request stands in the block        host (a listening thread)
 * sem_chunk_ready        host       streaming: after each update           client
 * sem_response_written   host       the answer is complete                 client
 *
 * A thread listens for requests; everything else is called from the host's main thread, and nothing in it waits. The two
 * share one word, `phase`: the listener hands over (IDLE -> POSTED), the main thread gives back (POSTED -> IDLE).
 *
 * After a death: a host that is killed leaves the objects as they are and its successor resets them in place. A client
 * that is killed leaves at most permits nobody took, a taken sem_ready (posted again after a second), or an answer nobody
 * reads (which runs to its end).
 *
 * Permits nobody took. The next client would take a sem_response_written left behind for its own, and could do so before
 * the host has even seen its request. So they must be gone before sem_ready is posted. But a client that is merely slow
 * still needs them. Therefore, after an answer, the listener waits until sem_response_written is taken: usually some
 * microseconds. If no permit is taken for a quarter of a second it takes that one back, and if somebody turns out to be
 * waiting for it after all, that client was stopped, not dead, and gets it again.
 */
#ifndef HOST_CLASSIC_SERVICE_H
#define HOST_CLASSIC_SERVICE_H

#include "instance.h"

#include "../channel/classic_block.h"
#include "../platform/platform.h"

typedef struct classic_service classic_service;

/* Makes or takes over the semaphores, all at zero, and starts to listen. `bell` is rung when there is something for
 * classic_service_take. Errors as instance_open. */
host_exit classic_service_open(const instance *instance, plat_doorbell *bell, classic_service **service, char *message,
                               size_t message_size);

/* The host can serve from now on. */
void classic_service_announce(classic_service *service);

/* Copies a request that has arrived. Returns false if there is none. After true the client waits until
 * classic_service_finish; a request with `shutdown` set needs no answer. */
bool classic_service_take(classic_service *service, classic_request *request);

/* Adds text to the answer, which then has n_tokens tokens. Streaming clients see it at once. Returns false if the block
 * is full: the answer should end. */
bool classic_service_append(classic_service *service, const char *text, size_t n_bytes, int32_t n_tokens);

/* Completes the answer. The service is ready again as soon as the client has taken note. */
void classic_service_finish(classic_service *service, int32_t n_tokens);

/* Whether the client at hand, or anybody, has asked to cancel the answer or to end the host. Two loads; any thread. */
bool classic_service_cancel_requested(const classic_service *service);
bool classic_service_shutdown_requested(const classic_service *service);

/* Removes the names of the semaphores. Async-signal-safe. NULL allowed. */
void classic_service_remove(classic_service *service);

/* Stops listening and closes. NULL allowed. Does not remove the names. */
void classic_service_close(classic_service *service);

#endif
