/* cells.h - what the library's memory holds of each sequence, and where a new prompt finds a beginning of itself.
 *
 * A cell is what is remembered of one evaluated token. A sequence keeps its cells when its answer has ended: the next
 * prompt that begins with the same tokens need not evaluate them again. What another sequence holds can be copied.
 *
 * No llama.h here: this is arithmetic on lists of tokens.
 */
#ifndef ENGINE_LLAMA_CELLS_H
#define ENGINE_LLAMA_CELLS_H

#include <stdbool.h>
#include <stdint.h>

/* How strongly each adapter (LoRA) counts. What is remembered of a token depends on it. Of those that are not loaded: 0. */
#define ADAPTERS_MOST 64
typedef struct adapter_scales {
    float of[ADAPTERS_MOST];
} adapter_scales;

bool scales_are_equal(const adapter_scales *a, const adapter_scales *b);

typedef struct cells {
    int32_t *tokens; /* one for each cell, by position; room for the whole context */
    int32_t n;
    adapter_scales scales; /* that all of them were evaluated with */
    bool is_busy;    /* an answer is being made there: its cells may be copied, not taken */
    uint64_t used;   /* when an answer was begun there last, on any clock; 0: never */
} cells;

/* How many tokens both begin with: as cells, none if their scales differ. A prompt is described by the cells that it will have. */
int32_t cells_common(const cells *a, const cells *b);

/* Chooses the sequence for a prompt; negative if all are busy. The free one that holds most of it, if it loses at most half
 * of its own cells: the conversation goes on. Else the one that was used longest ago, and among equals the lowest number. */
int cells_choose(const cells *all, int n_sequences, const cells *prompt);

/* The sequence, busy or not, that holds the longest beginning of a prompt, and its length in *n_found; negative if none
 * holds any. */
int cells_find(const cells *all, int n_sequences, const cells *prompt, int32_t *n_found);

#endif
