/* parts.h - what an answer has beside its text: thoughts and calls, in a log and an index of their own. stream.h has the
 * rest of the answer, and calls this for it. No system calls; waking is the caller's.
 *
 *     1. bytes behind the published length      nobody looks there
 *     2. the part's record, where one begins    likewise
 *     3. `parts`: both new lengths, and of how many tokens they are: one release store, behind that of `published`
 *
 * Behind `published`: so that no part is ever shown of a token that is not; a successor makes published tokens again, and
 * may make others behind them. A writer that dies between the two leaves parts that lag by one token: its successor
 * appends what is missing. A reader that wants all in order goes by the count of tokens: it takes the text only as far as
 * that token's (stream_read_snapshot).
 *
 * Only the last part grows, and only as long as no text comes behind it: how long the others are is told by the record
 * that follows.
 */
#ifndef CHANNEL_PARTS_H
#define CHANNEL_PARTS_H

#include "hub.h"

#include <stddef.h>

static inline uint64_t parts_word(uint32_t n_bytes, uint32_t n_parts, uint32_t n_tokens) {
    return (uint64_t)(n_tokens & 0xFFFFu) << 48 | (uint64_t)(n_parts & 0xFFFFu) << 32 | n_bytes;
}
static inline uint32_t parts_word_bytes(uint64_t word) {
    return (uint32_t)word;
}
static inline uint32_t parts_word_parts(uint64_t word) {
    return (uint32_t)(word >> 32) & 0xFFFFu;
}
static inline uint32_t parts_word_tokens(uint64_t word) {
    return (uint32_t)(word >> 48); /* the low 16 bits of their number */
}

/* What a token adds to a thought or a call; see engine_delta. */
typedef struct part_delta {
    uint32_t kind;    /* LIPC_PART_THOUGHT or LIPC_PART_CALL */
    bool begins;
    size_t n_before;  /* bytes of the text that is appended with it which come before it */
    const char *id, *name; /* of a call that begins */
    const char *bytes;
    size_t n_bytes;
} part_delta;

/* ---- writing: host ----------------------------------------------------------------------------------------------- */

typedef struct parts_writer {
    lipc_stream_header *header;
    char *log;
    lipc_part_record *records;
    uint32_t size, length;                     /* bytes and records that there is room for */
    uint32_t n_bytes, n_parts, n_calls;        /* written, or retraced */
    uint32_t published_bytes, published_parts; /* more than that only while a dead writer's answer is retraced */
    uint32_t published_tokens;
    uint64_t sum;
    uint64_t names;                            /* what ids of calls are made of */
} parts_writer;

#define PARTS_ID_BYTES 9 /* of an id that is made; some models' templates want as many letters and digits, and no others */

typedef enum parts_room {
    PARTS_FIT,
    PARTS_FULL,   /* as much as fits is there, and the answer should end */
    PARTS_DAMAGED /* retraced, and not what was published */
} parts_room;

/* Begins the parts of an answer. Publishes nothing. `sum` is stream_sum_begin of its generation. */
void parts_writer_open(parts_writer *writer, const hub_view *view, uint32_t index, uint64_t sum);

/* Calls to which the model gives no id have one made of this number and their own. */
static inline void parts_writer_name_calls(parts_writer *writer, uint64_t names) {
    writer->names = names;
}

/* Writes, or compares, what a token adds, behind the `text_bytes` of text that it found. Publishes nothing. */
parts_room parts_writer_add(parts_writer *writer, const part_delta *deltas, size_t n_deltas, uint32_t text_bytes,
                            uint32_t n_tokens);

/* Publishes what was added, with so many tokens of the index. Behind their publication. */
void parts_writer_publish(parts_writer *writer, uint32_t n_tokens);

/* Shows what was shown before once more: somebody may have scribbled over it. */
void parts_writer_restore(const parts_writer *writer);

/* ---- going on after a dead writer: host --------------------------------------------------------------------------- */

/* Bytes of the parts log that may hold something, whatever the segment says. */
uint32_t parts_found(const hub_view *view, uint32_t index);

/* Takes over what a dead writer has published. */
void parts_writer_resume(parts_writer *writer);

/* Makes the bytes of the log that were written zero. */
void parts_wipe(const hub_view *view, uint32_t index, uint32_t n_bytes);

/* ---- reading: anybody --------------------------------------------------------------------------------------------- */

/* Where a stream's parts lie. */
static inline char *parts_log(const hub_view *view, uint32_t index) {
    return (char *)hub_stream(view, index) + view->at.parts_offset;
}
static inline lipc_part_record *parts_index(const hub_view *view, uint32_t index) {
    return (lipc_part_record *)((char *)hub_stream(view, index) + view->at.parts_index_offset);
}

/* A part as it is shown, with all its numbers within the log. */
typedef struct part_view {
    uint32_t kind, call, position, token;
    const char *id, *name, *bytes; /* in the segment, not terminated */
    uint32_t n_id, n_name;
    uint32_t n_bytes;              /* so far */
    lipc_part_record record;       /* as it was read, for the sum */
} part_view;

/* Part `number` of the n_parts with n_bytes that a reader has seen to be published. */
void parts_view(const hub_view *view, uint32_t index, uint32_t n_bytes, uint32_t n_parts, uint32_t number, part_view *part);

#endif
