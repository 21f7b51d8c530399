/* cells.c - see cells.h. */
#include "cells.h"

int32_t cells_common(const cells *cells, const int32_t *tokens, int32_t n_tokens) {
    int32_t n = 0, n_most = cells->n < n_tokens ? cells->n : n_tokens;
    while (n < n_most && cells->tokens[n] == tokens[n]) n++;
    return n;
}

int cells_choose(const cells *all, int n_sequences, const int32_t *prompt, int32_t n_prompt) {
    int best = -1, oldest = -1;
    int32_t n_best = 0;
    for (int s = 0; s < n_sequences; s++) {
        if (all[s].is_busy) continue;
        int32_t n_common = cells_common(&all[s], prompt, n_prompt);
        if (n_common > n_best && n_common >= all[s].n - n_common) best = s, n_best = n_common;
        if (oldest < 0 || all[s].used < all[oldest].used) oldest = s;
    }
    return best < 0 ? oldest : best;
}

int cells_find(const cells *all, int n_sequences, const int32_t *prompt, int32_t n_prompt, int32_t *n_found) {
    int best = -1;
    *n_found = 0;
    for (int s = 0; s < n_sequences; s++) {
        int32_t n_common = cells_common(&all[s], prompt, n_prompt);
        if (n_common > *n_found) best = s, *n_found = n_common;
    }
    return best;
}
