/* host_stream.h - what the host knows of its streams: shared by the files of the stream service, and by nobody else.
 *
 *     stream_service.c    opening and closing; looking at what clients have changed
 *     stream_requests.c   requests: new ones, and those that a dead worker had begun
 *     stream_answers.c    the channel of answers: what the serving loop says of them
 *     stream_reservations.c     streams for those who wait for one
 *     stream_shown.c      what the host shows to all
 *     host_stream.c             one stream: its generation, its watchers, giving it back
 */
#ifndef HOST_HOST_STREAM_H
#define HOST_HOST_STREAM_H

#include "answer.h"
#include "client_registry.h"
#include "journal.h"
#include "options.h"

#include "../channel/stream.h"

typedef struct stream_service stream_service;

typedef enum host_stream_phase {
    HOST_STREAM_EMPTY,     /* no request of this stream is at hand */
    HOST_STREAM_TAKEN,     /* a good request, not yet given to the serving loop */
    HOST_STREAM_ANSWERING, /* the serving loop has it */
    HOST_STREAM_ENDED      /* its answer is final and stays until nobody wants it */
} host_stream_phase;

/* What the host knows of one stream. */
typedef struct host_stream {
    answer answer; /* first: the serving loop's handle */
    stream_service *service;
    uint32_t index;
    uint32_t generation;  /* the stream's, whatever its claim says; never goes back */
    host_stream_phase phase;
    bool is_detachable;
    bool is_unwanted;     /* released, or its owner is gone: to be freed */
    uint32_t n_found;     /* bytes of text that lay in the log when this worker began */
    uint32_t n_parts_found; /* the same of the parts log */
    bool may_have_probs;    /* nor does this worker know how many probabilities lie there from before it */
    uint64_t free_ns;     /* not before that: somebody may still be writing there; 0: nobody */
    uint32_t position;    /* in the queue, as it is shown */
    uint64_t ended_order; /* the lowest ended first */
    char *bytes;          /* the request */
    uint32_t n_bytes;
    engine_message *messages;
    int32_t *tokens;      /* of a resumed answer, those that were published */
    stream_writer writer;
} host_stream;

/* The reservation of a client that waits for a stream. */
typedef struct seen_reservation {
    uint64_t reservation;     /* the word, as it was seen first */
    uint64_t round;    /* when */
    uint32_t position; /* in the queue, as it is shown */
} seen_reservation;

struct stream_service {
    hub_view view;
    const plat_segment *segment;
    bool is_name_lost;   /* the segment's name does not lead to it any more, which was said */
    const host_options *options;
    journal *journal;
    client_registry *registry;
    host_stream *streams;
    uint64_t n_ended;
    seen_reservation reservations[LIPC_CLIENTS_MAX];
    uint64_t round;      /* counts the looks at reservations */
    lipc_hub shown;      /* what the host says of itself, as it was written last */
    uint64_t restore_ns; /* when all that the host shows is looked after next */
};

/* ---- host_stream.c ----------------------------------------------------------------------------------------------------- */

static inline lipc_stream_header *host_stream_header(const host_stream *stream) {
    return hub_stream(&stream->service->view, stream->index);
}

void host_stream_set_generation(host_stream *stream, uint32_t generation);

/* Rings everybody who watches the stream. */
void host_stream_ring_watchers(host_stream *stream, uint32_t about);

/* Gives a stream back: if its claim still is *from, or, with NULL, whatever it is. */
bool host_stream_free_from(host_stream *stream, const uint64_t *from);
void host_stream_free(host_stream *stream);

/* Frees a stream that nobody needs any more. One that others follow stays, for them to read to its end. */
void host_stream_free_if_unwanted(host_stream *stream);

/* Somebody has written over the claim: nobody owns the stream from here on, and after a while it is freed. */
void host_stream_revoke(host_stream *stream);

/* Gives back the memory of the request. */
void host_stream_forget_request(host_stream *stream);

/* ---- the other files --------------------------------------------------------------------------------------------- */

/* The request that stands in a stream of a new generation, SUBMITTED or DETACHED. */
void host_stream_take(host_stream *stream, uint64_t claim);

/* Takes up what a dead worker left in a stream. Returns whether its answer goes on. */
bool host_stream_recover(host_stream *stream);

/* Grants what a dead worker had offered and not granted, or takes it back. */
void host_stream_complete_grant(host_stream *stream);

/* How the serving loop speaks to a stream, and the last word on its request. */
extern const answer_channel stream_channel;
void host_stream_end(host_stream *stream, lipc_end end, int error, const char *message, uint64_t now_ns);

/* Once a second, writes again all that the host shows. */
void stream_service_restore(stream_service *service);

#endif
