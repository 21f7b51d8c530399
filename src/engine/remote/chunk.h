/* chunk.h - the events of a streamed chat completion, one after the other, in the engine's terms: text, thoughts, calls, how it
 * ends, what it has cost. Pure functions.
 *
 * A server is believed nothing: what is no JSON, has another type than it must, goes back to a part that is complete, or has
 * arguments that are no JSON object in the end, ends the answer.
 */
#ifndef REMOTE_CHUNK_H
#define REMOTE_CHUNK_H

#include "../engine.h"

#include "../../text/json.h"

#define CHUNK_CALLS_MAX 64          /* that begin or grow in one event */
#define CHUNK_ARGUMENTS_MAX (1u << 20) /* bytes of one call's arguments */
#define CHUNK_WORD_MAX 64

typedef enum chunk_found {
    CHUNK_NOTHING, /* nothing to show */
    CHUNK_PIECE,   /* text, n_bytes, deltas, n_deltas, logprob are what is new */
    CHUNK_DONE,    /* "[DONE]": nothing more will come */
    CHUNK_WRONG    /* `message` says what */
} chunk_found;

/* What has been read of an answer. Begins with the key, or as {0}; chunks_free gives its memory back. */
typedef struct chunks {
    const char *key; /* in no message; NULL: none */
    /* Of the event that was read last; valid until the next one. */
    const char *text;
    size_t n_bytes;
    engine_delta *deltas;
    size_t n_deltas;
    float logprob; /* of all its tokens together; NaN: not said */
    /* Of all so far. */
    char finish[CHUNK_WORD_MAX]; /* why the answer ends, in the server's word; "": it has not said */
    bool has_usage;
    int32_t n_prompt, n_cached, n_completion; /* tokens, as the server counts them */
    const char *message; /* with WRONG; valid until the next call */
    /* What follows is its own. */
    char *strings;       /* of the event: what text and deltas point to */
    size_t n_strings, strings_size;
    size_t deltas_size;
    bool is_in_thought;  /* the part that may grow */
    bool is_in_call;
    int64_t call_index;  /* of the call that may grow, or of the last one */
    char call_id[ENGINE_CALL_ID_MAX + 1], call_name[ENGINE_CALL_NAME_MAX + 1];
    json_writer arguments;
    char words[256];
} chunks;

/* Reads an event's data. */
chunk_found chunks_read(chunks *chunks, const char *data, size_t n_bytes);

/* Nothing more comes: what is still open has to be complete. A call without arguments gets "{}": then it is a piece. NOTHING, PIECE or
 * WRONG. */
chunk_found chunks_complete(chunks *chunks);

/* A server's sentence in what came in place of an answer: {"error": {"message": ...}} and its like, or the text itself. Into `text`,
 * valid UTF-8 without control characters, without the key, if there is one, and shortened where it must be. `text` has at least a byte. */
void chunk_error_text(const char *body, size_t n_bytes, const char *key, char *text, size_t size);

void chunks_free(chunks *chunks);

#endif
