/* fetch_queue.h - requests for models by name: one after the other is fetched, while the host serves what it has. A request comes
 * into the serving loop's queue only when its file is there, so that nobody waits for a download but the one who asked for it. */
#ifndef HOST_FETCH_QUEUE_H
#define HOST_FETCH_QUEUE_H

#include "answer.h"
#include "stream_service.h"

typedef struct fetch_queue fetch_queue;

/* For at most n_most requests at a time. NULL if memory ran out. */
fetch_queue *fetch_queue_new(stream_service *streams, const host_options *options, size_t n_most);

void fetch_queue_add(fetch_queue *queue, answer *answer);

/* Whether something is being fetched: then fetch_queue_next wants to be called several times a second. */
bool fetch_queue_is_busy(const fetch_queue *queue);

/* Moves on, and shows how far it is. Returns a request that is done with, one in each call, which the queue forgets: with its file
 * in `load_path`; or it is cancelled; or it cannot be had: *error is then REFUSED or FAILED, with a sentence in *message that is
 * valid until the next call. NULL: none yet. */
answer *fetch_queue_next(fetch_queue *queue, int *error, const char **message);

/* The first of those that still wait, which the queue forgets; NULL: there are none. Nothing is fetched any more then. */
answer *fetch_queue_drop(fetch_queue *queue);

void fetch_queue_free(fetch_queue *queue); /* NULL allowed */

#endif
