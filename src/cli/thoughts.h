/* thoughts.h - what people see of an answer's thoughts and calls: a line that is replaced while the model thinks, and one for
 * each call. Nothing is run. */
#ifndef CLI_THOUGHTS_H
#define CLI_THOUGHTS_H

#include "text.h"

#include "lipc/lipc.h"

#include <stdint.h>

/* Zero is none. */
typedef struct thoughts {
    text thought;       /* all of them */
    text call;          /* the one at hand: its name and arguments */
    char call_id[256];
    uint64_t began_ns;  /* the thought at hand; 0: none */
    int n_calls;
} thoughts;

/* Takes the next delta of an answer, text included. `is_folded`: a line says how long a thought took. */
void thoughts_take(thoughts *thoughts, const lipc_part_delta *delta, bool is_folded);

/* The answer has ended. */
void thoughts_end(thoughts *thoughts, bool is_folded);

void thoughts_free(thoughts *thoughts);

#endif
