/* stream.h - one request and its answer in shared memory: the claim, the host's writing, everybody's reading. No system
 * calls; waking is the caller's.
 *
 * The host's side is a stream_writer, whose truth is private; a reader is a stream_reader, which keeps its own place.
 *
 *     1. bytes behind the published length     nobody looks there
 *     2. the token's record behind the index,  likewise
 *        and the likeliest tokens beside it
 *     3. `published`: both new lengths         one release store: the reader's acquire makes 1 and 2 visible with it
 *     4. thoughts and calls                    parts.h
 *
 * A writer that dies after 1 or 2 has published nothing; after 3 all of it. Its successor retraces the answer: it makes
 * every published token's text again, compares, and writes on behind it. A reader that dies was never waited for.
 * `status` goes ahead of `published` when work begins, and follows it at the end: a reader that loads `status` first
 * and finds ENDED finds everything in the `published` that it loads next.
 */
#ifndef CHANNEL_STREAM_H
#define CHANNEL_STREAM_H

#include "parts.h"
#include "sum.h"

#include "lipc/parameters.h"

/* ---- claims ------------------------------------------------------------------------------------------------------ */

static inline uint64_t stream_claim(uint32_t phase, uint32_t owner, uint32_t generation) {
    return (uint64_t)generation << 32 | (uint64_t)owner << 4 | phase;
}
static inline uint32_t stream_claim_phase(uint64_t claim) {
    return (uint32_t)claim & 0xFu;
}
static inline uint32_t stream_claim_owner(uint64_t claim) {
    return (uint32_t)(claim >> 4) & 0xFFFu;
}
static inline uint32_t stream_claim_generation(uint64_t claim) {
    return (uint32_t)(claim >> 32);
}

/* The claim now; acquire: pairs with stream_change_claim. */
uint64_t stream_claim_now(const lipc_stream_header *header);

/* Changes a claim from a value that was read to another. False: somebody else has changed it. */
bool stream_change_claim(lipc_stream_header *header, uint64_t from, uint64_t to);

/* Client: claims a free stream for itself. Host: offers one to a client, whose reservation it then grants. Return false if there
 * is none. */
bool stream_offer_free(const hub_view *view, uint32_t owner, uint32_t *index, uint64_t *claim);
bool stream_claim_free(const hub_view *view, uint32_t owner, uint32_t *index, uint64_t *claim);

/* Anybody: asks for the end of the work on this generation. The caller rings the host. False: the stream is of another
 * generation by now. */
bool stream_request_cancel(lipc_stream_header *header, uint32_t generation);
bool stream_cancel_requested(const lipc_stream_header *header, uint32_t generation);

/* Clients: be rung for news of this stream, or no longer. */
void stream_watch(lipc_stream_header *header, uint32_t client);
void stream_unwatch(lipc_stream_header *header, uint32_t client);

#define STREAM_ID_BYTES 16
_Static_assert(sizeof((lipc_stream_header *)0)->id == STREAM_ID_BYTES, "one id");

/* Owner: writes id and request into the stream that it has claimed. The caller changes the claim to SUBMITTED. */
void stream_write_request(const hub_view *view, uint32_t index, const uint8_t id[STREAM_ID_BYTES],
                          const char *request, size_t n_bytes);

/* Where a stream's parts lie. */
static inline char *stream_request(const hub_view *view, uint32_t index) {
    return (char *)hub_stream(view, index) + view->at.request_offset;
}
static inline char *stream_log(const hub_view *view, uint32_t index) {
    return (char *)hub_stream(view, index) + view->at.log_offset;
}
static inline lipc_token_record *stream_index(const hub_view *view, uint32_t index) {
    return (lipc_token_record *)((char *)hub_stream(view, index) + view->at.index_offset);
}
static inline lipc_prob_record *stream_probs(const hub_view *view, uint32_t index) {
    return (lipc_prob_record *)((char *)hub_stream(view, index) + view->at.probs_offset);
}
/* How many records there is room for. */
static inline size_t stream_probs_room(const hub_geometry *at) {
    return at->probs_offset ? (size_t)(at->stream_size - at->probs_offset) / sizeof(lipc_prob_record) : 0;
}

/* ---- writing: host ----------------------------------------------------------------------------------------------- */

typedef struct stream_writer {
    lipc_stream_header *header;
    char *log;
    lipc_token_record *index;
    lipc_prob_record *probs;
    uint32_t log_size, index_length;        /* of the index as much as can be used */
    uint32_t probs_room, n_probs;           /* n_probs of them for each token */
    uint32_t generation;
    uint32_t n_bytes, n_tokens;             /* written, or retraced */
    uint32_t published_bytes, published_tokens; /* more than that only while a dead writer's answer is retraced */
    bool is_generating;                     /* the status says so */
    uint64_t started_ns;                    /* of the answer; token times count from it */
    uint64_t status;                        /* as it is shown */
    uint64_t sum;                           /* of the text up to n_bytes */
    uint64_t tokens_sum, probs_sum;         /* of the token records up to n_tokens, and of their probabilities */
    parts_writer parts;                     /* thoughts and calls */
} stream_writer;

/* Begins the answer to the request of a generation: nothing published, state QUEUED. */
void stream_writer_begin(stream_writer *writer, const hub_view *view, uint32_t index, uint32_t generation,
                         uint64_t now_ns);

/* Its turn has come: state READING, with the seed that will be used and the sum of the request. An answer that is resumed
 * stays RECOVERING, and keeps the time at which it was started first. */
void stream_writer_start(stream_writer *writer, uint32_t seed, uint64_t request_sum, uint64_t now_ns);

/* Before stream_writer_start: there is room for the n likeliest tokens beside each one. An answer that is resumed has none any more,
 * neither old nor new ones, if it had another number of them. */
void stream_writer_keep_probs(stream_writer *writer, uint32_t n_probs);

/* So many tokens of the prompt are read, of which n_cached were in the engine's memory already. */
void stream_writer_prompt(stream_writer *writer, uint32_t n_prompt, uint32_t n_prompt_done, uint32_t n_cached);
void stream_writer_position(stream_writer *writer, uint32_t position);

/* A token to be recorded with a text; NULL: text without one. */
typedef struct stream_token {
    int32_t id;
    float logprob;
    const lipc_prob_record *probs; /* the likeliest ones, and how many they are: no more than were asked for are kept */
    uint32_t n_probs;
} stream_token;

typedef enum stream_room {
    STREAM_FITS,
    STREAM_FULL,   /* as many characters as fit are published, and the answer should end */
    STREAM_DAMAGED /* retraced, and not what was published */
} stream_room;

/* Publishes text of whole characters, with its token's record, and then what the token adds to thoughts and calls; or, as
 * far as a dead writer has published it, compares. Where the text does not fit no part is added. */
stream_room stream_writer_append_all(stream_writer *writer, const char *text, size_t n_bytes, const part_delta *deltas,
                                     size_t n_deltas, const stream_token *token, uint64_t now_ns);

/* The same for a token that adds nothing but text. */
stream_room stream_writer_append(stream_writer *writer, const char *text, size_t n_bytes, const stream_token *token,
                                 uint64_t now_ns);

/* The last word on this request. `error` is a lipc_error (0, or negative with a sentence in `message`), `end` a
 * lipc_end. */
void stream_writer_end(stream_writer *writer, uint32_t end, int error, const char *message, uint64_t now_ns);

/* ---- going on after a dead writer: host --------------------------------------------------------------------------- */

/* What a dead writer left of the request of a generation. Lengths are within the log and the index. */
typedef struct stream_recovered {
    bool is_taken;        /* it had seen the request; otherwise nothing of the rest is about it */
    bool has_ended;       /* the answer is final */
    bool was_started;     /* seed and sum stand */
    uint32_t n_tokens, n_bytes;
    uint32_t seed;
    uint64_t request_sum;
    uint64_t ended_ns;
} stream_recovered;

void stream_recovered_read(const hub_view *view, uint32_t index, uint32_t generation, stream_recovered *recovered);

/* The ids of the first n tokens of the index. */
void stream_recovered_tokens(const hub_view *view, uint32_t index, int32_t *tokens, uint32_t n_tokens);

/* Takes over the answer of a dead writer: state RECOVERING (or what it was, if it has ended). What is published stays; the
 * first published_tokens tokens and their texts are to be appended again. */
void stream_writer_resume(stream_writer *writer, const hub_view *view, uint32_t index, uint32_t generation,
                          const stream_recovered *recovered);

/* Shows what was shown before once more: somebody may have scribbled over it. */
void stream_writer_restore(const stream_writer *writer);

/* ---- reading: anybody -------------------------------------------------------------------------------------------- */

typedef struct stream_reader {
    const lipc_stream_header *header;
    const char *log;
    const lipc_token_record *index;
    const lipc_prob_record *probs;
    size_t probs_room;
    uint32_t log_size, index_length, parts_size, parts_length;
    uint32_t generation;
} stream_reader;

void stream_reader_begin(stream_reader *reader, const hub_view *view, uint32_t index, uint32_t generation);

/* What a stream shows at one moment. Lengths are within the log and the index, whatever the segment holds. */
typedef struct stream_snapshot {
    uint32_t state;  /* lipc_stream_state; QUEUED also while the host has not seen the request */
    uint32_t end;    /* lipc_end */
    int error;       /* lipc_error */
    uint32_t n_bytes;
    uint32_t n_tokens;
    uint32_t n_parts;
    uint32_t n_part_bytes;    /* of the parts log */
    uint32_t n_ordered_bytes; /* so much of the text has all its parts before it: n_bytes, but for the moment in which the
                                 host has published a token's text and not yet its parts */
} stream_snapshot;

void stream_read_snapshot(const stream_reader *reader, stream_snapshot *snapshot);

/* Copies the likeliest tokens beside a token that is published, and returns how many records there are for each, the last of
 * which may have none; negative: that cannot be, somebody has written over their number. */
int stream_read_probs(const stream_reader *reader, size_t token, lipc_prob_record records[LIPC_PROBS_MAX]);

/* Whether the stream is still of the reader's generation. What was copied before is only good if this still holds
 * afterwards. */
bool stream_is_current(const stream_reader *reader);

#endif
