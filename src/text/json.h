/* json.h - JSON (RFC 8259) read in place and written piece by piece. Pure functions, any thread.
 *
 * Nothing is built while reading: a value is the slice of the text that it takes, and its members are found by looking
 * through it. json_check comes first, once for each text; the other functions may then rely on it.
 */
#ifndef TEXT_JSON_H
#define TEXT_JSON_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_DEPTH_MAX 256 /* arrays and objects within each other; deeper ones are not taken */

/* A part of somebody else's text. */
typedef struct json_slice {
    const char *at; /* NULL: there is none */
    size_t n_bytes;
} json_slice;

/* Whether the text is one JSON value with nothing but white space around it, in valid UTF-8. *value is the value then;
 * otherwise *wrong (may be NULL) the byte at which it ceases to be one. */
bool json_check(const char *text, size_t n_bytes, json_slice *value, size_t *wrong);

/* The kind of a value, by its first byte: '{', '[', '"', 't', 'f', 'n', or '0' for any number. 0: there is none. */
char json_kind(json_slice value);

/* The member of an object; of several with the same name the last. Without `at` if there is none, or `object` is no object.
 * Names are compared as they are written, `name` must need no escape. */
json_slice json_member(json_slice object, const char *name);

/* The member behind the one with this name, which is a slice of the object's own; the first behind one without `at`. False
 * behind the last, and for what is no object. *name is the name in its quotes. */
bool json_next_member(json_slice object, json_slice *name, json_slice *value);

/* The element behind another of an array, the first behind one without `at`. Without `at` behind the last. */
json_slice json_next(json_slice array, json_slice element);

/* A string's text, without escapes and terminated, into `text`, which has room for value.n_bytes. Half a surrogate pair
 * becomes U+FFFD, and so does U+0000. Returns its length. */
size_t json_text(json_slice string, char *text);

/* A text that grows. Begins as {0}; the owner frees `text`. */
typedef struct json_writer {
    char *text;      /* terminated; NULL before the first piece */
    size_t n_bytes, size;
    bool has_failed; /* not enough memory: the text is not whole, what follows is dropped */
} json_writer;

void json_put(json_writer *writer, const char *text, size_t n_bytes); /* as it is */
void json_puts(json_writer *writer, const char *text);
void json_put_string(json_writer *writer, const char *text, size_t n_bytes); /* valid UTF-8, in quotes and escaped */

#ifdef __cplusplus
}
#endif

#endif
