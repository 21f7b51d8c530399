/* text.h - a text that grows. Zero is empty; text_free also makes it that. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct text {
    char *bytes; /* zero-terminated; NULL: nothing was added yet */
    size_t n_bytes, room;
    bool is_short_of_memory; /* something is missing */
} text;

void text_add(text *text, const char *bytes, size_t n_bytes);

/* Adds a word, behind a space if there is something that does not end with white space. */
void text_add_word(text *text, const char *word);

/* Adds all that can be read. Returns 0 or an errno: EINTR if a signal came, EILSEQ if it holds a zero byte. Requests are
 * texts; what is behind a zero byte would be lost. text_reason is what there is to say about it. */
int text_add_file(text *text, int descriptor);
int text_add_path(text *text, const char *path);
const char *text_reason(int error);

/* Takes white space away from the end. */
void text_trim(text *text);

void text_free(text *text);

#endif
