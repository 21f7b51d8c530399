/* cells.c - see cells.h. */
#include "cells.h"

int32_t cells_common(const cells *cells, const int32_t *tokens, int32_t n_tokens) {
    int32_t n = 0, n_most = cells->n < n_tokens ? cells->n : n_tokens;
    while (n < n_most && cells->tokens[n] == tokens[n]) n++;
    return n;
}

/* Answers that are being made in the lane of this sequence. */
static int company_of(const cells *all, int n_sequences, int number) {
    int n = 0;
    for (int s = 0; s < n_sequences; s++) n += all[s].is_busy && all[s].lane == all[number].lane;
    return n;
}

int cells_choose(const cells *all, int n_sequences, const int32_t *prompt, int32_t n_prompt) {
    int best = -1, oldest = -1, n_least = 0;
    int32_t n_best = 0;
    for (int s = 0; s < n_sequences; s++) {
        if (all[s].is_busy) continue;
        int32_t n_common = cells_common(&all[s], prompt, n_prompt);
        if (n_common > n_best && n_common >= all[s].n - n_common) best = s, n_best = n_common;
        int n_company = company_of(all, n_sequences, s);
        bool is_better = n_company < n_least || (n_company == n_least && all[s].used < all[oldest < 0 ? s : oldest].used);
        if (oldest < 0 || is_better) oldest = s, n_least = n_company;
    }
    if (best < 0) return oldest;
    bool is_crowded = company_of(all, n_sequences, best) > n_least;
    return is_crowded && n_best < CELLS_WORTH_COMPANY ? oldest : best;
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
