/* fuzz_utf8.c - src/text/utf8.h over arbitrary bytes: what must hold of every answer it gives. */
#include "fuzz.h"

#include "text/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t limit = data[0] * 16u + data[1];
    /* A copy of exact size, so that reading one byte too far is seen. */
    size_t n = size - 2;
    char *text = malloc(n ? n : 1);
    MUST(text);
    memcpy(text, data + 2, n);

    size_t whole = utf8_whole_prefix(text, n);
    MUST(whole <= n && n - whole < 4);
    bool is_valid = utf8_is_valid(text, n);
    if (is_valid)
        MUST(whole == n);
    size_t fit = utf8_fit(text, n, limit);
    MUST(fit <= n && fit <= limit);
    if (is_valid)
        MUST(utf8_is_valid(text, fit) && (limit >= n ? fit == n : limit - fit < 4));

    char *repaired = malloc(3 * n + 1);
    MUST(repaired);
    size_t n_repaired = utf8_repair(text, n, repaired, 3 * n);
    MUST(n_repaired <= 3 * n && n_repaired >= whole && utf8_is_valid(repaired, n_repaired));
    if (is_valid)
        MUST(n_repaired == n && memcmp(repaired, text, n) == 0);
    char *small = malloc(limit ? limit : 1);
    MUST(small);
    size_t n_small = utf8_repair(text, n, small, limit);
    MUST(n_small <= limit && n_small <= n_repaired && utf8_is_valid(small, n_small) &&
         memcmp(small, repaired, n_small) == 0);

    for (size_t at = 0; at < n;) {
        bool incomplete = false;
        size_t length = utf8_character(text + at, n - at, &incomplete);
        MUST(length <= 4 && length <= n - at);
        MUST(length == 0 || utf8_is_valid(text + at, length));
        at += length ? length : 1;
    }
    free(small);
    free(repaired);
    free(text);
    return 0;
}
