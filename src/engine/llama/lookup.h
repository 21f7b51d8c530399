/* lookup.h - drafts the next tokens of a text out of the text itself: where its last few tokens stood before, what
 * followed them. An evaluation of several tokens in a row costs little more than one of the first; those that turn out to be
 * what the model chooses anyway are gained. No llama.h here.
 */
#ifndef ENGINE_LLAMA_LOOKUP_H
#define ENGINE_LLAMA_LOOKUP_H

#include <stdint.h>

/* Tokens that must have stood before, at most and at least; the more the better. */
#define LOOKUP_MATCH_MOST 4
#define LOOKUP_MATCH_LEAST 2

/* Drafts what follows `text`, `n_wanted` tokens at most; returns their number. */
int32_t lookup_draft(const int32_t *text, int32_t n_text, int32_t *drafted, int32_t n_wanted);

/* How many drafted tokens are worth while next, when of n_drafted ones the first n_right were right. */
int32_t lookup_next(int32_t n_drafted, int32_t n_right, int32_t n_most);

#endif
