/* stops.h - finds stop strings in a text that arrives in pieces, and lets no part of one through.
 *
 * What may be the beginning of a stop string is held back until the next piece decides. A stop string ends the text
 * when its last byte arrives: the first to be complete wins, of several complete at the same byte the longest. So the
 * result depends on the text alone, not on how it was cut. Stop strings and pieces are whole UTF-8 characters; then so
 * is all that is let through.
 *
 * A stops object belongs to one thread at a time. NULL is one without stop strings, which costs nothing.
 */
#ifndef TEXT_STOPS_H
#define TEXT_STOPS_H

#include <stdbool.h>
#include <stddef.h>

#define STOPS_MAX 16
#define STOPS_MAX_BYTES 256 /* of one stop string, without its terminating zero */

typedef struct stops stops;

/* Copies the strings; empty ones count for nothing, and where none is left *result is NULL. False, with *result NULL,
 * if there are more than STOPS_MAX, one is longer than STOPS_MAX_BYTES, or memory ran out. The caller frees it. */
bool stops_new(const char *const *strings, size_t n_strings, stops **result);

/* Takes the next piece. *out, *n_out is the text that may be published now: perhaps held back before, perhaps part of
 * `text` itself; valid as long as `text` and until the next call. True: a stop string was found, or memory ran out;
 * *out is then the last text, and all that is fed later is dropped. */
bool stops_feed(stops *stops, const char *text, size_t n_bytes, const char **out, size_t *n_out);

/* Whether memory ran out: the text is not whole. */
bool stops_has_failed(const stops *stops);

/* The text ended otherwise: gives what is held back, valid until the object is freed. Nothing after a stop string. The
 * object is then as new. */
void stops_flush(stops *stops, const char **out, size_t *n_out);

/* NULL allowed. */
void stops_free(stops *stops);

#endif
