/* utf8.h - UTF-8 arithmetic: where characters end, what is whole, what is valid. Pure functions, any thread.
 *
 * "Valid" is RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length in bytes of the valid character at `text` (1 to 4), or 0 if the bytes there are not one: *incomplete then tells
 * whether they could still become one with more bytes behind them. `n_bytes` must be positive. */
size_t utf8_character(const char *text, size_t n_bytes, bool *incomplete);

/* Length of the longest prefix that does not end inside a character. Bytes that can never become a character count as
 * whole (they are for utf8_repair). Examples: "aé" cut after 2 bytes gives 1; after 3 bytes 3. */
size_t utf8_whole_prefix(const char *text, size_t n_bytes);

/* Length of the longest prefix of at most `limit` bytes that ends between two characters. */
size_t utf8_fit(const char *text, size_t n_bytes, size_t limit);

bool utf8_is_valid(const char *text, size_t n_bytes);

/* Copies text, replacing each byte that belongs to no valid character by U+FFFD. Writes at most `size_bytes` bytes,
 * whole characters only, no zero byte; returns their number. A result is at most three times as long as the text. */
size_t utf8_repair(const char *text, size_t n_bytes, char *result, size_t size_bytes);

#endif
