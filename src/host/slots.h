/* slots.h - what the host knows of its streams: shared by the files of the stream service, and by nobody else.
 *
 *     stream_service.c    opening and closing; looking at what clients have changed
 *     stream_requests.c   requests: new ones, and those that a dead worker had begun
 *     stream_answers.c    the channel of answers: what the serving loop says of them
 *     stream_grants.c     streams for those who wait for one
 *     stream_shown.c      what the host shows to all
 *     slots.c             one stream: its generation, its watchers, giving it back
 */
#ifndef HOST_SLOTS_H
#define HOST_SLOTS_H

#include "attendance.h"
#include "stream_service.h"

#include "../channel/stream.h"

typedef enum slot_phase {
    SLOT_EMPTY,     /* no request of this stream is at hand */
    SLOT_TAKEN,     /* a good request, not yet given to the serving loop */
    SLOT_ANSWERING, /* the serving loop has it */
    SLOT_ENDED      /* its answer is final and stays until nobody wants it */
} slot_phase;

/* What the host knows of one stream. */
typedef struct slot {
    answer answer; /* first: the serving loop's handle */
    stream_service *service;
    uint32_t index;
    uint32_t generation;  /* the stream's, whatever its claim says; never goes back */
    slot_phase phase;
    bool is_detachable;
    bool is_unwanted;     /* released, or its owner is gone: to be freed */
    uint32_t n_found;     /* bytes of text that lay in the log when this worker began */
    uint64_t free_ns;     /* not before that: somebody may still be writing there; 0: nobody */
    uint32_t position;    /* in the queue, as it is shown */
    uint64_t ended_order; /* the lowest ended first */
    char *bytes;          /* the request */
    uint32_t n_bytes;
    engine_message *messages;
    int32_t *tokens;      /* of a resumed answer, those that were published */
    stream_writer writer;
} slot;

/* What a client wishes that waits for a stream. */
typedef struct wished {
    uint64_t wish;     /* the word, as it was seen first */
    uint64_t round;    /* when */
    uint32_t position; /* in the queue, as it is shown */
} wished;

struct stream_service {
    hub_view view;
    const host_options *options;
    ledger *ledger;
    attendance *attendance;
    slot *slots;
    uint64_t n_ended;
    wished wished[LIPC_CLIENTS_MAX];
    uint64_t round;      /* counts the looks at wishes */
    lipc_hub shown;      /* what the host says of itself, as it was written last */
    uint64_t restore_ns; /* when all that the host shows is looked after next */
};

/* ---- slots.c ----------------------------------------------------------------------------------------------------- */

static inline lipc_stream_header *slot_header(const slot *slot) {
    return hub_stream(&slot->service->view, slot->index);
}

void slot_set_generation(slot *slot, uint32_t generation);

/* Rings everybody who watches the stream. */
void slot_ring_watchers(slot *slot, uint32_t about);

/* Gives a stream back: if its claim still is *from, or, with NULL, whatever it is. */
bool slot_free_from(slot *slot, const uint64_t *from);
void slot_free(slot *slot);

/* Frees a stream that nobody needs any more. One that others follow stays, for them to read to its end. */
void slot_free_if_unwanted(slot *slot);

/* Somebody has written over the claim: nobody owns the stream from here on, and after a while it is freed. */
void slot_revoke(slot *slot);

/* Gives back the memory of the request. */
void slot_forget_request(slot *slot);

/* ---- the other files --------------------------------------------------------------------------------------------- */

/* The request that stands in a stream of a new generation, SUBMITTED or DETACHED. */
void slot_take(slot *slot, uint64_t claim);

/* Takes up what a dead worker left in a stream. Returns whether its answer goes on. */
bool slot_recover(slot *slot);

/* Grants what a dead worker had offered and not granted, or takes it back. */
void slot_complete_grant(slot *slot);

/* How the serving loop speaks to a stream, and the last word on its request. */
extern const answer_channel stream_channel;
void slot_end(slot *slot, lipc_end end, int error, const char *message, uint64_t now_ns);

/* Once a second, writes again all that the host shows. */
void stream_service_restore(stream_service *service);

#endif
