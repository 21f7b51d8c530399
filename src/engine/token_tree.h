/* token_tree.h - the tokens of a vocabulary as a tree of their characters, in one array: so that what is known of a
 * beginning is known of all tokens that begin with it, and a grammar is asked about the whole vocabulary in one walk.
 *
 * A node is a character, and the characters before it are those of the nodes above it. Nodes stand in the order of a walk
 * that goes down first: all that go on from a node follow it, up to its `end`.
 */
#ifndef ENGINE_TOKEN_TREE_H
#define ENGINE_TOKEN_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_TREE_DEPTH 127         /* longer tokens are not in the tree */
#define TOKEN_TREE_NODES (1u << 24)  /* tokens for which there is no room neither */
#define TOKEN_NONE (-1)

/* Ordinary are characters that mean nothing in JSON, wherever they stand: all but controls, '"' and '\'. */
typedef struct token_node {
    uint32_t character : 21; /* or what is known of it, if the token ends in it */
    uint32_t n_left : 2;     /* bytes that are missing of it; it has no nodes below then */
    uint32_t n_bytes : 2;    /* of such a one when it is whole, less one */
    uint32_t depth : 7;      /* characters before it */
    uint32_t end : 24;       /* the node behind those that go on from it */
    uint32_t n_ordinary : 8; /* characters from here to the longest end, if all are ordinary; else 0 */
    int32_t token;           /* which ends with it, or TOKEN_NONE */
} token_node;

/* A token that is not in the tree: one that begins inside a character, or is too long. */
typedef struct token_text {
    int32_t token;
    const char *bytes;
    size_t n_bytes;
} token_text;

/* Two tokens with the same text: the second is not in the tree. */
typedef struct token_pair {
    int32_t in_tree, other;
} token_pair;

/* Does not change: any thread. */
typedef struct token_tree {
    int32_t n_tokens;
    token_node *nodes;
    uint32_t n_nodes;
    token_text *others;
    size_t n_others;
    token_pair *pairs;
    size_t n_pairs;
    char *bytes; /* of the others */
} token_tree;

/* Gives a token's text; returns its bytes, 0 for a token without text, which is in no tree. The text is copied. */
typedef size_t (*token_text_of)(void *user_data, int32_t token, const char **bytes);

/* NULL: no memory. */
token_tree *token_tree_new(int32_t n_tokens, token_text_of text_of, void *user_data);

/* NULL allowed. */
void token_tree_free(token_tree *tree);

#endif
