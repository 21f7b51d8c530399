/* answer.h - one request on its way through the host, whichever channel it came by.
 *
 * A channel (classic_service, stream_service) owns the answer and fills in its first part when a request has arrived;
 * the serving loop moves it from the queue to the engine and tells the channel what happens to it. All in the main
 * thread.
 *
 *     channel takes a request -> queued -> started -> appended ... -> ended
 *                                    \---------------------------------/
 *
 * `ended` is called exactly once for each answer, and last; the channel may then use the memory again.
 */
#ifndef HOST_ANSWER_H
#define HOST_ANSWER_H

#include "journal.h"
#include "options.h"

#include "../channel/parts.h"
#include "../engine/engine.h"
#include "../text/stops.h"
#include "lipc/lipc.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct answer answer;

/* What became of an appended text. */
typedef enum answer_room {
    ANSWER_FITS,
    ANSWER_FULL,   /* there is no room for all of it: the answer ends */
    ANSWER_DAMAGED /* it was published before, by a worker that is dead, and is not what the segment holds now */
} answer_room;

/* What a token, or the end, adds to an answer. */
typedef struct answer_addition {
    const char *text;   /* of the answer itself; not terminated */
    size_t n_bytes;     /* may be 0 */
    part_delta *deltas; /* to its thoughts and calls; n_before counts in `text` */
    size_t n_deltas;
} answer_addition;

/* What the channel is told. Times are plat_clock_ns. */
typedef struct answer_channel {
    /* So many requests go first. */
    void (*position)(answer *answer, uint32_t position);
    /* Its turn has come. */
    void (*started)(answer *answer, uint64_t now_ns);
    /* The prompt has been read so far. */
    void (*prompt)(answer *answer, const engine_progress *progress);
    /* What is new after a token, or what was held back at the end (`progress` NULL). Resumed tokens come first: what they
     * make of the answer was published before, and is only compared. */
    answer_room (*append)(answer *answer, const answer_addition *added, const engine_progress *progress, uint64_t now_ns);
    /* The answer is final. `error` is 0, or REFUSED or FAILED with a sentence in `message`. */
    void (*ended)(answer *answer, lipc_end end, int error, const char *message, uint64_t now_ns);
    /* Whether it is no longer wanted. A few loads; called in every step and inside evaluations. */
    bool (*is_cancelled)(const answer *answer);
} answer_channel;

/* The classic channel's place among the clients, when turns are given. */
#define ANSWER_CLIENT_CLASSIC UINT32_MAX

struct answer {
    /* The channel's. */
    const answer_channel *channel;
    uint32_t client;        /* turns are fair between these */
    int32_t priority;       /* the highest goes first */
    engine_request request; /* what it points to lives until `ended` */
    stops *stops;           /* NULL: none; freed by the serving loop */
    const char *load_path;  /* not NULL: no answer is wanted but another model, from this file; lives as the request does */
    const char *load_name;  /* not NULL: likewise, but by its name (text/model_name.h); load_path is NULL until its file is there */
    const char *state_path; /* not NULL: no answer is wanted, but what the engine remembers of the conversation is written to this
                               file; lives as the request does */
    bool restores;          /* ... or read from there */
    bool wants_rendering;   /* no answer is wanted, but what the request becomes for the model */
    bool is_resumed;        /* a worker that is dead had begun it: it goes first, also when the host is to end */
    journal_entry *entry;     /* in the journal */

    /* The serving loop's. */
    unsigned number;        /* counts requests, for the log */
    uint64_t arrived;       /* counts too: the order in the queue */
    uint32_t model_order;           /* see scheduler.c */
    int sequence;           /* of the engine */
    char *fetched_path;     /* what load_path points to, of a model by its name; NULL: none. Freed at the end */
    lipc_end cut;           /* why the loop ended it before the engine did; NONE if it did not */
};

/* A request without messages that leaves everything to the host's options. */
void answer_request_defaults(engine_request *request, const host_options *options);

/* Whether the request may not be tried again; `reason` then says why. `signal` killed the last worker. */
bool answer_is_rejected(const journal_entry *entry, int death, char *reason, size_t reason_size);

/* A seed to use: the wanted one, or, if that is negative, a random one. */
uint32_t answer_seed(int64_t wanted);

#endif
