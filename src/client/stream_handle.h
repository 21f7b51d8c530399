/* stream_handle.h - the handle of one request and its answer, which the files of streams share:
 *
 *     queue.c    places: claiming, waiting for one, handing the request over, giving it back
 *     stream.c   opening, progress, cancelling, closing
 *     read.c     reading, and waiting for something to read
 *     attach.c   ids: finding a stream again, cancelling another's
 *
 * A request either has a place, which is a stream of the segment, or waits for one in the client's queue. From is_placed
 * on, the stream's index, generation and reader do not change.
 */
#ifndef CLIENT_STREAM_HANDLE_H
#define CLIENT_STREAM_HANDLE_H

#include "connection.h"

#include "../channel/stream.h"

struct lipc_stream {
    lipc_client *client;
    uint8_t id[STREAM_ID_BYTES];
    bool is_owner; /* otherwise it is only followed */
    bool is_detachable;
    uint64_t opened_ns;

    /* Guarded by the client's lock. */
    char *request; /* while it waits */
    size_t request_bytes;
    lipc_stream *next_waiting;
    bool is_detaching; /* its handle is gone; to be let go of as soon as it has a place */

    /* Guarded by the client's await_lock. */
    bool is_awaited;
    lipc_stream *next_awaited, *previous_awaited;

    bool is_withdrawn; /* atomic: cancelled before it had a place */
    bool is_placed;    /* atomic: release, what follows stands */
    uint32_t index;
    uint64_t claim; /* the owner's, SUBMITTED; of a follower only the generation counts */
    stream_reader reader;

    pthread_mutex_t lock; /* guards what follows */
    uint64_t offset;      /* read up to here */
    bool is_aligned;      /* `offset` is known to be a character's beginning */
    bool is_summed;       /* all has been read, from byte 0 on */
    uint64_t sum;         /* of what was read, if so */
    uint32_t n_summed_tokens; /* of the token records so many were read, from the first on */
    uint64_t tokens_sum;      /* of those */
    size_t n_summed_probs;    /* of so many tokens the likeliest ones were read, from the first on */
    uint64_t probs_sum;       /* of those */
    uint64_t due_ns;      /* pacing: text in the middle of an answer is not for waiting calls before this */
    char *copy;           /* the last delta */
    size_t copy_size;
    bool wants_parts;     /* the last read was of parts: thoughts and calls are news for those who wait, too */
    bool is_in_part;      /* the beginning of `part` was returned */
    uint32_t part;        /* the thought or call that goes on, or is read next */
    uint32_t part_offset; /* read up to here in it */
    uint64_t parts_sum;   /* of all that was read of them */
    char *part_words;     /* the last one's id and name, each terminated */
    lipc_progress progress; /* the last that was seen */
};

/* NULL if memory ran out, with the error recorded. */
lipc_stream *stream_new(lipc_client *client, bool is_owner);
void stream_free(lipc_stream *stream);

static inline bool stream_is_placed(const lipc_stream *stream) {
    return __atomic_load_n(&stream->is_placed, __ATOMIC_ACQUIRE);
}

static inline bool stream_is_withdrawn(const lipc_stream *stream) {
    return __atomic_load_n(&stream->is_withdrawn, __ATOMIC_ACQUIRE);
}

static inline lipc_stream_header *stream_header_of(const lipc_stream *stream) {
    return hub_stream(&stream->client->view, stream->index);
}

/* The stream's place has another generation, or will never come: records why, and returns the error. */
int stream_fail_gone(lipc_stream *stream);

#endif
