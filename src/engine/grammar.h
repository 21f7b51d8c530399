/* grammar.h - reads a grammar (GBNF, as llama.cpp's) and says which text fits it, piece by piece.
 *
 * Not the library's own, which is C++ for grammars of friends: it prints what it cannot read to standard error,
 * recurses as deep as a grammar is nested, and there are grammars of five lines with which a token takes minutes and
 * all memory, or which end the process. Grammars come from clients, and a client must not stop the host. Here all work
 * is bounded.
 *
 * Not in it: tokens by name or number (<...>, !<...>). A class of no characters ([]) is nothing, as in the library.
 * {m,n} is exact for every n; the library drops an n above 2000.
 */
#ifndef ENGINE_GRAMMAR_H
#define ENGINE_GRAMMAR_H

#include "token_tree.h"

#include <stdbool.h>
#include <stddef.h>

/* A grammar, and how far a text has come in it. One thread at a time. */
typedef struct grammar grammar;

/* NULL if the grammar cannot be used; `message` then says why, with the line. The caller frees it. */
grammar *grammar_new(const char *text, char *message, size_t message_size);

/* Whether the text may go on with these bytes, which may end inside a character. No bytes never fit. */
bool grammar_fits(grammar *grammar, const char *bytes, size_t n_bytes);

/* For each token of the tree one bit, in words of 64: whether the text may go on with it. What grammar_fits says of each, in
 * about a millisecond for all of 150,000, often in much less. */
void grammar_allowed(grammar *grammar, const token_tree *tree, uint64_t *allowed);

/* The text goes on with bytes that fit; others are not taken. */
void grammar_accept(grammar *grammar, const char *bytes, size_t n_bytes);

/* Whether the text may end here. */
bool grammar_can_end(const grammar *grammar);

/* True from when there were so many ways to read the text that no more were followed, or memory ran out: then nothing
 * fits any more, and the text may not end. */
bool grammar_is_exhausted(const grammar *grammar);

/* NULL allowed. */
void grammar_free(grammar *grammar);

#endif
