/* lookup.c - see lookup.h. */
#include "lookup.h"

#include <string.h>

/* The end of the latest other place where the last n tokens stand; 0: nowhere. */
static int32_t find_before(const int32_t *text, int32_t n_text, int32_t n) {
    const int32_t *tail = text + n_text - n;
    for (int32_t end = n_text - 1; end >= n; end--)
        if (text[end - 1] == tail[n - 1] && memcmp(text + end - n, tail, (size_t)n * sizeof *text) == 0) return end;
    return 0;
}

int32_t lookup_draft(const int32_t *text, int32_t n_text, int32_t *drafted, int32_t n_wanted) {
    if (n_wanted <= 0) return 0;
    for (int32_t n = LOOKUP_MATCH_MOST; n >= LOOKUP_MATCH_LEAST; n--) {
        int32_t end = n < n_text ? find_before(text, n_text, n) : 0;
        if (end == 0) continue;
        /* A place so close to the end that less follows: what is drafted goes on in what has been drafted. */
        for (int32_t i = 0; i < n_wanted; i++) drafted[i] = end + i < n_text ? text[end + i] : drafted[end + i - n_text];
        return n_wanted;
    }
    return 0;
}

int32_t lookup_next(int32_t n_drafted, int32_t n_right, int32_t n_most) {
    int32_t n_next = n_right == n_drafted ? 2 * n_drafted : n_right + 1;
    if (n_next < 2) n_next = 2;
    return n_next < n_most ? n_next : n_most;
}
