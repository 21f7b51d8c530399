/* gather.h - what a token adds to an answer, as far as stop strings let it through.
 *
 * Stop strings are looked for in the answer's text alone. They do not reach across a thought or a call: text that is held
 * back because it might become one is let go when a part comes behind it.
 */
#ifndef HOST_GATHER_H
#define HOST_GATHER_H

#include "answer.h"

/* Room for what is put together out of several pieces; used again for each token. Begins as {0}. */
typedef struct gather {
    char *text;
    size_t n_bytes, size_bytes;
    part_delta *deltas;
    size_t size_deltas;
    bool has_failed; /* not enough memory: something is missing */
} gather;

/* Takes what a step made of an answer. *added is valid until the next call, and as long as the progress is. True: a stop
 * string was found, behind which nothing is added, or memory ran out. */
bool gather_take(gather *gather, stops *stops, const engine_progress *progress, answer_addition *added);

void gather_free(gather *gather);

#endif
