/* cells.c - see cells.h. */
#include "cells.h"

#include <string.h>

bool scales_are_equal(const adapter_scales *a, const adapter_scales *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

int32_t cells_common(const cells *a, const cells *b) {
    int32_t n = 0, n_most = a->n < b->n ? a->n : b->n;
    if (n_most == 0 || !scales_are_equal(&a->scales, &b->scales)) return 0;
    while (n < n_most && a->tokens[n] == b->tokens[n]) n++;
    return n;
}

int cells_choose(const cells *all, int n_sequences, const cells *prompt) {
    int best = -1, oldest = -1;
    int32_t n_best = 0;
    for (int s = 0; s < n_sequences; s++) {
        if (all[s].is_busy) continue;
        int32_t n_common = cells_common(&all[s], prompt);
        if (n_common > n_best && n_common >= all[s].n - n_common) best = s, n_best = n_common;
        if (oldest < 0 || all[s].used < all[oldest].used) oldest = s;
    }
    return best < 0 ? oldest : best;
}

int cells_find(const cells *all, int n_sequences, const cells *prompt, int32_t *n_found) {
    int best = -1;
    *n_found = 0;
    for (int s = 0; s < n_sequences; s++) {
        int32_t n_common = cells_common(&all[s], prompt);
        if (n_common > *n_found) best = s, *n_found = n_common;
    }
    return best;
}
