/* stops.c - see stops.h. Each stop string has its own matcher (Knuth, Morris and Pratt): how many of its first bytes
 * the text ends with. What is held back is always the beginning of a stop string, so it is not kept but taken from
 * there. */
#include "stops.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct matcher {
    size_t n_bytes;
    size_t n_matched;
    char string[STOPS_MAX_BYTES];
    uint8_t shorter[STOPS_MAX_BYTES]; /* [n - 1]: length of the longest proper prefix that the first n bytes end with */
} matcher;

struct stops {
    char *joined; /* held text and a piece, where both go out together */
    size_t joined_size;
    bool is_found;
    bool has_failed;
    const matcher *held_by; /* its first n_held bytes are held back */
    size_t n_held;
    size_t n_matchers;
    matcher matchers[];
};

_Static_assert(STOPS_MAX_BYTES - 1 <= UINT8_MAX, "a proper prefix's length fits into matcher.shorter");

static void prepare(matcher *matcher, const char *string, size_t n_bytes) {
    memcpy(matcher->string, string, n_bytes);
    matcher->n_bytes = n_bytes;
    matcher->n_matched = 0;
    matcher->shorter[0] = 0;
    size_t n = 0;
    for (size_t i = 1; i < n_bytes; i++) {
        while (n > 0 && string[i] != string[n]) n = matcher->shorter[n - 1];
        if (string[i] == string[n]) n++;
        matcher->shorter[i] = (uint8_t)n;
    }
}

/* Returns whether the string is complete with this byte. */
static bool take_byte(matcher *matcher, char byte) {
    size_t n = matcher->n_matched;
    while (n > 0 && byte != matcher->string[n]) n = matcher->shorter[n - 1];
    if (byte == matcher->string[n]) n++;
    matcher->n_matched = n;
    return n == matcher->n_bytes;
}

/* Returns the length of the longest stop string that is complete with this byte, 0 if none is. */
static size_t take_byte_everywhere(stops *stops, char byte) {
    size_t n_longest = 0;
    for (size_t i = 0; i < stops->n_matchers; i++) {
        matcher *matcher = &stops->matchers[i];
        if (take_byte(matcher, byte) && matcher->n_bytes > n_longest) n_longest = matcher->n_bytes;
    }
    return n_longest;
}

static void hold_longest(stops *stops) {
    stops->n_held = 0;
    for (size_t i = 0; i < stops->n_matchers; i++) {
        const matcher *matcher = &stops->matchers[i];
        if (matcher->n_matched <= stops->n_held) continue;
        stops->n_held = matcher->n_matched;
        stops->held_by = matcher;
    }
}

bool stops_new(const char *const *strings, size_t n_strings, stops **result) {
    *result = NULL;
    if (n_strings > STOPS_MAX) return false;
    size_t n_used = 0;
    for (size_t i = 0; i < n_strings; i++) {
        size_t n_bytes = strnlen(strings[i], STOPS_MAX_BYTES + 1);
        if (n_bytes > STOPS_MAX_BYTES) return false;
        if (n_bytes > 0) n_used++;
    }
    if (n_used == 0) return true;
    stops *stops = calloc(1, sizeof *stops + n_used * sizeof stops->matchers[0]);
    if (!stops) return false;
    for (size_t i = 0; i < n_strings; i++)
        if (strings[i][0]) prepare(&stops->matchers[stops->n_matchers++], strings[i], strlen(strings[i]));
    *result = stops;
    return true;
}

/* The first n_out bytes of the held text and the piece behind it, copied only where they lie in both. */
static bool join(stops *stops, const matcher *held_by, size_t n_held, const char *text, size_t n_out,
                 const char **out) {
    *out = n_held ? held_by->string : text;
    if (n_held == 0 || n_out <= n_held) return true;
    if (stops->joined_size < n_out) {
        char *larger = realloc(stops->joined, 2 * n_out);
        if (!larger) return false;
        stops->joined = larger;
        stops->joined_size = 2 * n_out;
    }
    memcpy(stops->joined, held_by->string, n_held);
    memcpy(stops->joined + n_held, text, n_out - n_held);
    *out = stops->joined;
    return true;
}

bool stops_feed(stops *stops, const char *text, size_t n_bytes, const char **out, size_t *n_out) {
    *out = text;
    *n_out = n_bytes;
    if (!stops) return false;
    if (stops->is_found) {
        *n_out = 0;
        return true;
    }
    const matcher *held_by = stops->held_by;
    size_t n_held = stops->n_held, n_taken = 0, n_stop = 0;
    while (n_taken < n_bytes && n_stop == 0) n_stop = take_byte_everywhere(stops, text[n_taken++]);
    stops->is_found = n_stop > 0;
    if (n_stop == 0) hold_longest(stops);
    *n_out = n_held + n_taken - (stops->is_found ? n_stop : stops->n_held);
    if (join(stops, held_by, n_held, text, *n_out, out)) return stops->is_found;
    *n_out = 0;
    stops->is_found = stops->has_failed = true;
    return true;
}

bool stops_has_failed(const stops *stops) {
    return stops && stops->has_failed;
}

void stops_flush(stops *stops, const char **out, size_t *n_out) {
    *out = "";
    *n_out = 0;
    if (!stops) return;
    if (!stops->is_found && stops->n_held > 0) {
        *out = stops->held_by->string;
        *n_out = stops->n_held;
    }
    stops->is_found = false;
    stops->n_held = 0;
    for (size_t i = 0; i < stops->n_matchers; i++) stops->matchers[i].n_matched = 0;
}

void stops_free(stops *stops) {
    if (!stops) return;
    free(stops->joined);
    free(stops);
}
