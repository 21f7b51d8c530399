/* token_tree.c - see token_tree.h. Sorted by their bytes, tokens with a common beginning stand together: the tree is written
 * in one go, each token behind what it shares with the one before. */
#include "token_tree.h"

#include "../text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* A whole character, or the beginning of one. */
typedef struct unit {
    uint32_t character;
    uint8_t n_left, n_bytes; /* as in a node */
} unit;

typedef struct builder {
    token_tree *tree;
    token_text *texts;
    size_t n_texts, n_bytes, bytes_room;
    uint32_t n_nodes_room;
    uint32_t open[TOKEN_TREE_DEPTH]; /* the nodes of the last token */
    size_t n_open;
} builder;

/* ---- what a token says --------------------------------------------------------------------------------------------- */

static bool begins_inside(const token_text *text) {
    return ((unsigned char)text->bytes[0] & 0xC0) == 0x80;
}

static uint32_t value_of(const char *bytes, size_t n_bytes) {
    unsigned char first = (unsigned char)bytes[0];
    uint32_t value = first < 0x80 ? first : first < 0xE0 ? first & 0x1F : first < 0xF0 ? first & 0x0F : first & 0x07;
    for (size_t i = 1; i < n_bytes; i++) value = value << 6 | ((unsigned char)bytes[i] & 0x3F);
    return value;
}

/* Returns their number; 0 if the bytes are no text, however they go on, or more than there is room for. */
static size_t read_units(const token_text *text, unit units[TOKEN_TREE_DEPTH]) {
    size_t n = 0;
    for (size_t at = 0; at < text->n_bytes; n++) {
        const char *bytes = text->bytes + at;
        bool incomplete = false;
        size_t n_left = text->n_bytes - at, n_whole = utf8_character(bytes, n_left, &incomplete);
        if (n == TOKEN_TREE_DEPTH || bytes[0] == 0 || (n_whole == 0 && !incomplete)) return 0;
        unit *unit = &units[n];
        *unit = (struct unit){value_of(bytes, n_whole ? n_whole : n_left), 0, 0};
        if (n_whole == 0) {
            unsigned char first = (unsigned char)bytes[0];
            unit->n_bytes = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
            unit->n_left = (uint8_t)(unit->n_bytes + 1 - n_left);
        }
        at += n_whole ? n_whole : n_left;
    }
    return n;
}

/* Of all tokens that have a text, into builder->texts and tree->bytes. False: no memory. */
static bool read_texts(builder *builder, token_text_of text_of, void *user_data) {
    token_tree *tree = builder->tree;
    for (int32_t token = 0; token < tree->n_tokens; token++) {
        const char *bytes;
        size_t n = text_of(user_data, token, &bytes);
        if (n == 0) continue;
        if (builder->bytes_room - builder->n_bytes < n) {
            size_t n_room = 2 * builder->bytes_room + n;
            char *larger = realloc(tree->bytes, n_room);
            if (!larger) return false;
            tree->bytes = larger;
            builder->bytes_room = n_room;
        }
        memcpy(tree->bytes + builder->n_bytes, bytes, n);
        builder->texts[builder->n_texts++] = (token_text){token, NULL, n};
        builder->n_bytes += n;
    }
    const char *at = tree->bytes;
    for (size_t i = 0; i < builder->n_texts; at += builder->texts[i++].n_bytes) builder->texts[i].bytes = at;
    return true;
}

static int compare_texts(const void *left, const void *right) {
    const token_text *a = left, *b = right;
    int order = memcmp(a->bytes, b->bytes, a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes);
    if (order != 0) return order;
    if (a->n_bytes != b->n_bytes) return a->n_bytes < b->n_bytes ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

/* ---- nodes --------------------------------------------------------------------------------------------------------- */

static bool is_same(const token_node *node, const unit *unit) {
    return node->character == unit->character && node->n_left == unit->n_left && node->n_bytes == unit->n_bytes;
}

static void close_nodes(builder *builder, size_t n_kept) {
    while (builder->n_open > n_kept)
        builder->tree->nodes[builder->open[--builder->n_open]].end = builder->tree->n_nodes & (TOKEN_TREE_NODES - 1);
}

static bool make_room(builder *builder, size_t n_more) {
    if (builder->n_nodes_room - builder->tree->n_nodes >= n_more) return true;
    uint32_t n_room = 2 * builder->n_nodes_room + 1024;
    token_node *larger = realloc(builder->tree->nodes, n_room * sizeof *larger);
    if (!larger) return false;
    builder->tree->nodes = larger;
    builder->n_nodes_room = n_room;
    return true;
}

/* False: no memory. */
static bool add_nodes(builder *builder, const unit *units, size_t n_units, int32_t token) {
    token_tree *tree = builder->tree;
    size_t n_common = 0;
    while (n_common < n_units && n_common < builder->n_open && is_same(&tree->nodes[builder->open[n_common]], &units[n_common]))
        n_common++;
    close_nodes(builder, n_common);
    if (n_common == n_units) {
        tree->pairs[tree->n_pairs++] = (token_pair){tree->nodes[builder->open[n_common - 1]].token, token};
        return true;
    }
    if (!make_room(builder, n_units - n_common)) return false;
    for (size_t i = n_common; i < n_units; i++) {
        builder->open[builder->n_open++] = tree->n_nodes;
        tree->nodes[tree->n_nodes++] = (token_node){
            .character = units[i].character & 0x1FFFFF,
            .n_left = units[i].n_left & 3u,
            .n_bytes = units[i].n_bytes & 3u,
            .depth = i & TOKEN_TREE_DEPTH,
            .token = i + 1 == n_units ? token : TOKEN_NONE,
        };
    }
    return true;
}

static bool is_ordinary(const token_node *node) {
    return node->n_left == 0 && node->character >= ' ' && node->character != '"' && node->character != '\\' &&
           node->character != 0x7F;
}

/* From the last node to the first: what is below a node is known when it comes. */
static void find_ordinary(token_tree *tree) {
    struct {
        uint32_t n_longest;
        bool has_other;
    } below[TOKEN_TREE_DEPTH + 2] = {0}; /* of each depth, since its node above */
    for (uint32_t i = tree->n_nodes; i-- > 0;) {
        token_node *node = &tree->nodes[i];
        uint32_t depth = node->depth;
        bool is_all = is_ordinary(node) && !below[depth + 1].has_other;
        node->n_ordinary = is_all ? (1 + below[depth + 1].n_longest) & 0xFF : 0;
        if (!is_all) below[depth].has_other = true;
        if (node->n_ordinary > below[depth].n_longest) below[depth].n_longest = node->n_ordinary;
        below[depth + 1].n_longest = 0;
        below[depth + 1].has_other = false;
    }
}

/* False: no memory. */
static bool build(builder *builder) {
    token_tree *tree = builder->tree;
    unit units[TOKEN_TREE_DEPTH];
    for (size_t i = 0; i < builder->n_texts; i++) {
        const token_text *text = &builder->texts[i];
        size_t n_units = read_units(text, units);
        bool is_long = text->n_bytes > TOKEN_TREE_DEPTH || tree->n_nodes > TOKEN_TREE_NODES - 1 - TOKEN_TREE_DEPTH;
        if (begins_inside(text) || is_long) tree->others[tree->n_others++] = *text;
        else if (n_units > 0 && !add_nodes(builder, units, n_units, text->token)) return false;
    }
    close_nodes(builder, 0);
    find_ordinary(tree);
    return true;
}

token_tree *token_tree_new(int32_t n_tokens, token_text_of text_of, void *user_data) {
    token_tree *tree = calloc(1, sizeof *tree);
    size_t n_most = n_tokens > 0 ? (size_t)n_tokens : 1;
    builder builder = {.tree = tree, .texts = malloc(n_most * sizeof *builder.texts)};
    if (tree) {
        tree->n_tokens = n_tokens;
        tree->others = malloc(n_most * sizeof *tree->others);
        tree->pairs = malloc(n_most * sizeof *tree->pairs);
    }
    bool is_made = tree && builder.texts && tree->others && tree->pairs && read_texts(&builder, text_of, user_data);
    if (is_made) {
        qsort(builder.texts, builder.n_texts, sizeof *builder.texts, compare_texts);
        is_made = build(&builder);
    }
    free(builder.texts);
    if (is_made) return tree;
    token_tree_free(tree);
    return NULL;
}

void token_tree_free(token_tree *tree) {
    if (!tree) return;
    free(tree->nodes);
    free(tree->others);
    free(tree->pairs);
    free(tree->bytes);
    free(tree);
}
