/* queue.h - places in the segment: claiming one, waiting for one, handing the request over, giving the place back.
 *
 * There is no thread for the queue: whoever calls anything on the client moves it on (queue_advance). All of this is under
 * the client's lock, but for queue_advance, which takes it.
 */
#ifndef CLIENT_QUEUE_H
#define CLIENT_QUEUE_H

#include "stream_handle.h"

/* Be rung for news of the stream at this place, or no longer. Counted: the last handle unwatches. */
void queue_watch(lipc_client *client, uint32_t index);
void queue_unwatch(lipc_client *client, uint32_t index);

/* From here on the handle reads the place `index`. */
void queue_give_place(lipc_stream *stream, uint32_t index, uint64_t claim);

/* Hands a request over, or lets it wait for a place. Takes `request` over in any case. Errors: HOST_GONE. */
int queue_submit(lipc_stream *stream, char *request, size_t n_bytes);

/* Looks whether a request that waits can have a place now. Not under the lock. */
void queue_advance(lipc_client *client);

/* Takes a request that waits out of the queue. False: it does not wait. */
bool queue_withdraw(lipc_stream *stream);

/* Gives the place back, or the place in the queue up; the work goes on without an owner or not. */
void queue_give_back(lipc_stream *stream, bool goes_on);

/* When the client is closed: drops the requests that wait. */
void queue_drop(lipc_client *client);

#endif
