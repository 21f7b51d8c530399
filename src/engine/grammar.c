/* grammar.c - see grammar.h; the rules are grammar_rules.h's.
 *
 * Matching: a place in the grammar is a set of stacks of positions, one for each way the text so far can be read. Stacks
 * share what they have in common. A node is a position and the node below it; equal ones exist once.
 *
 * The same places come again and again: a thousand tokens are tried at one, and most texts go round in circles. So a place
 * has a number, and a table of the places that lie one letter further, filled in when somebody first goes there. From then on
 * a character costs a look into that table. Nodes, places and tables are kept from token to token, until there are many of
 * them: then all is forgotten but where the text stands.
 *
 * The number of stacks can still grow with every character, so work is counted, and there is a most of it for each
 * token.
 */
#include "grammar.h"
#include "grammar_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORK 150000000       /* from one accepted piece to the next: some tenths of a second */
#define MAX_NODES (1u << 19)     /* of all stacks: some 15 MB; a power of two */
#define MAX_PLACES (1u << 18)
#define MAX_MEMBERS (1u << 21)   /* nodes of all places: 8 MB */
#define MAX_ENTRIES (1u << 20)   /* of all tables: 4 MB; without one, a place is worked out anew each time */
#define KEPT_FROM_TOKEN_TO_TOKEN 4 /* up to one in so many of these */
#define RUN_MOST 16              /* characters that are looked ahead to see whether all go on alike */
#define RUN_WITHOUT_END 255
#define RUN_UNKNOWN 254
#define FEW_NODES 32             /* not worth looking ahead for */

/* ---- characters ---------------------------------------------------------------------------------------------------- */

/* Bytes of a character that is not complete. */
typedef struct partial {
    uint32_t value;
    uint32_t lowest; /* of all characters of that length: smaller ones are written shorter */
    int n_left;
} partial;

/* Adds a byte to a character; returns false if it is none then. Complete when n_left is 0. */
static bool add_byte(partial *partial, unsigned char byte) {
    if (partial->n_left > 0) {
        if ((byte & 0xC0) != 0x80) return false;
        partial->value = partial->value << 6 | (byte & 0x3F);
        if (--partial->n_left > 0) return true;
        return partial->value >= partial->lowest && partial->value <= 0x10FFFF &&
               (partial->value < 0xD800 || partial->value > 0xDFFF);
    }
    if (byte < 0x80) *partial = (struct partial){byte, 0, 0};
    else if (byte >= 0xC2 && byte <= 0xDF) *partial = (struct partial){byte & 0x1F, 0x80, 1};
    else if (byte >= 0xE0 && byte <= 0xEF) *partial = (struct partial){byte & 0x0F, 0x800, 2};
    else if (byte >= 0xF0 && byte <= 0xF4) *partial = (struct partial){byte & 0x07, 0x10000, 3};
    else return false;
    return byte != 0; /* a zero byte would end the text for its readers */
}

/* ---- matching ------------------------------------------------------------------------------------------------------ */

/* A position in a rule, and the node to go on with at the end of the rule. Number 0 is the end of the text. */
typedef struct node {
    const element *at;
    uint32_t below;
    uint32_t next_in_bucket;
    uint32_t visited; /* reached in the expansion of that number */
} node;

typedef struct numbers {
    uint32_t *items;
    size_t n_items;
    size_t n_room;
} numbers;

/* Where a text can stand: stacks with a character on top; node 0 among them if it may end there. */
typedef struct place {
    uint32_t first;   /* in grammar->members; ascending */
    uint32_t n;
    uint32_t table;   /* in grammar->tables: a place for each letter, or UNKNOWN; 0: there is none */
    uint32_t next_in_bucket;
    uint8_t run;      /* ordinary characters that may follow in any order; or one of the numbers above */
} place;

enum { UNKNOWN = 0, NOWHERE = 1 };

struct grammar {
    grammar_rules rules;
    element beginning[2]; /* what all is read as: the rule "root", and an end */

    node *nodes;
    uint32_t n_nodes;
    uint32_t n_nodes_room;
    uint32_t *buckets; /* node numbers; as many as there is room for nodes, a power of two */
    uint32_t n_expansions;
    uint64_t n_work;
    bool is_exhausted;

    place *places; /* 0 is none, NOWHERE has no stacks */
    uint32_t n_places;
    uint32_t n_places_room;
    uint32_t *place_buckets;
    numbers members;
    numbers tables;

    uint32_t stands; /* the text's place */
    partial partial;
    numbers todo, next; /* for expanding */
};

/* Counts work; returns whether there may be more of it. */
static bool spend(grammar *grammar, size_t n_work) {
    grammar->n_work += n_work;
    if (grammar->n_work > MAX_WORK) grammar->is_exhausted = true;
    return !grammar->is_exhausted;
}

/* Room for n_more; false: memory ran out. */
static bool reserve(grammar *grammar, numbers *list, size_t n_more) {
    if (list->n_room - list->n_items >= n_more) return true;
    size_t n_room = 2 * list->n_room + n_more + 64;
    uint32_t *larger = realloc(list->items, n_room * sizeof *larger);
    if (!larger) {
        grammar->is_exhausted = true;
        return false;
    }
    list->items = larger;
    list->n_room = n_room;
    return true;
}

static void put(grammar *grammar, numbers *list, uint32_t number) {
    if (reserve(grammar, list, 1)) list->items[list->n_items++] = number;
}

static uint32_t *bucket_of(grammar *grammar, const element *at, uint32_t below) {
    uint64_t hash = ((uint64_t)(uintptr_t)at / sizeof *at << 32 | below) * 0x9E3779B97F4A7C15u;
    return &grammar->buckets[(hash >> 32) & (grammar->n_nodes_room - 1)];
}

static bool make_room(grammar *grammar) {
    uint32_t n_room = grammar->n_nodes_room ? 2 * grammar->n_nodes_room : 256;
    node *nodes = n_room > MAX_NODES ? NULL : realloc(grammar->nodes, n_room * sizeof *nodes);
    if (nodes) grammar->nodes = nodes;
    uint32_t *buckets = nodes ? calloc(n_room, sizeof *buckets) : NULL;
    if (!buckets) {
        grammar->is_exhausted = true;
        return false;
    }
    free(grammar->buckets);
    grammar->buckets = buckets;
    grammar->n_nodes_room = n_room;
    for (uint32_t n = 1; n < grammar->n_nodes; n++) {
        uint32_t *bucket = bucket_of(grammar, nodes[n].at, nodes[n].below);
        nodes[n].next_in_bucket = *bucket;
        *bucket = n;
    }
    return true;
}

/* The node of a position; the one below it if nothing is left of its rule. So tail calls leave nothing on the stack. */
static uint32_t find_node(grammar *grammar, const element *at, uint32_t below) {
    if (ends_alternative(at)) return below;
    uint32_t *bucket = bucket_of(grammar, at, below);
    for (uint32_t n = *bucket; n > 0; n = grammar->nodes[n].next_in_bucket, grammar->n_work++)
        if (grammar->nodes[n].at == at && grammar->nodes[n].below == below) return n;
    if (grammar->n_nodes == grammar->n_nodes_room) {
        if (!make_room(grammar)) return below;
        bucket = bucket_of(grammar, at, below);
    }
    grammar->nodes[grammar->n_nodes] = (node){at, below, *bucket, 0};
    return *bucket = grammar->n_nodes++;
}

/* Leaves a node to be expanded, once for each character. */
static void reach(grammar *grammar, uint32_t number) {
    node *node = &grammar->nodes[number];
    if (node->visited == grammar->n_expansions) return;
    node->visited = grammar->n_expansions;
    put(grammar, &grammar->todo, number);
}

/* Adds to grammar->next what a node comes to without a character. */
static void expand(grammar *grammar, uint32_t number) {
    grammar->todo.n_items = 0;
    reach(grammar, number);
    while (grammar->todo.n_items > 0 && spend(grammar, 1)) {
        uint32_t n = grammar->todo.items[--grammar->todo.n_items];
        const element *at = grammar->nodes[n].at;
        if (n == 0 || at->kind == ELEMENT_CHARACTER) {
            put(grammar, &grammar->next, n);
            continue;
        }
        uint32_t below = find_node(grammar, at + 1, grammar->nodes[n].below);
        const elements *body = &grammar->rules.rules[at->rule].body;
        for (size_t i = 0; i < body->n_items; i++)
            if (i == 0 || body->items[i - 1].kind == ELEMENT_ALTERNATIVE)
                reach(grammar, find_node(grammar, &body->items[i], below));
        spend(grammar, body->n_items);
    }
}

static bool class_has(const class *class, uint32_t value) {
    for (const range *range = class->ranges; range; range = range->next)
        if (range->low <= value && value <= range->high) return !class->is_inverse;
    return class->is_inverse;
}

/* ---- places -------------------------------------------------------------------------------------------------------- */

static int compare_numbers(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void sort(numbers *list) {
    enum { FEW = 16 };
    if (list->n_items > FEW) {
        qsort(list->items, list->n_items, sizeof *list->items, compare_numbers);
        return;
    }
    for (size_t i = 1; i < list->n_items; i++) {
        uint32_t item = list->items[i];
        size_t to = i;
        for (; to > 0 && list->items[to - 1] > item; to--) list->items[to] = list->items[to - 1];
        list->items[to] = item;
    }
}

static uint32_t *place_bucket(grammar *grammar, const uint32_t *members, size_t n) {
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++) hash = (hash ^ members[i]) * 0x9E3779B97F4A7C15u;
    return &grammar->place_buckets[(hash >> 32) & (grammar->n_places_room - 1)];
}

static bool make_places(grammar *grammar) {
    uint32_t n_room = grammar->n_places_room ? 2 * grammar->n_places_room : 64;
    place *places = n_room > MAX_PLACES ? NULL : realloc(grammar->places, n_room * sizeof *places);
    if (places) grammar->places = places;
    uint32_t *buckets = places ? calloc(n_room, sizeof *buckets) : NULL;
    if (!buckets) {
        grammar->is_exhausted = true;
        return false;
    }
    free(grammar->place_buckets);
    grammar->place_buckets = buckets;
    grammar->n_places_room = n_room;
    for (uint32_t p = NOWHERE; p < grammar->n_places; p++) {
        uint32_t *bucket = place_bucket(grammar, grammar->members.items + places[p].first, places[p].n);
        places[p].next_in_bucket = *bucket;
        *bucket = p;
    }
    return true;
}

/* The place with the stacks in grammar->next. NOWHERE also if it is exhausted. */
static uint32_t find_place(grammar *grammar) {
    numbers *next = &grammar->next;
    if (grammar->is_exhausted || !spend(grammar, next->n_items)) return NOWHERE;
    sort(next);
    uint32_t *bucket = place_bucket(grammar, next->items, next->n_items);
    for (uint32_t p = *bucket; p != UNKNOWN; p = grammar->places[p].next_in_bucket, grammar->n_work++) {
        const place *place = &grammar->places[p];
        if (place->n == next->n_items &&
            (place->n == 0 || memcmp(grammar->members.items + place->first, next->items, place->n * sizeof *next->items) == 0))
            return p;
    }
    if (grammar->n_places == grammar->n_places_room) {
        if (!make_places(grammar)) return NOWHERE;
        bucket = place_bucket(grammar, next->items, next->n_items);
    }
    if (grammar->members.n_items + next->n_items > MAX_MEMBERS) grammar->is_exhausted = true;
    if (grammar->is_exhausted || !reserve(grammar, &grammar->members, next->n_items)) return NOWHERE;
    numbers *members = &grammar->members;
    grammar->places[grammar->n_places] =
        (place){(uint32_t)members->n_items, (uint32_t)next->n_items, 0, *bucket, RUN_UNKNOWN};
    if (next->n_items > 0) memcpy(members->items + members->n_items, next->items, next->n_items * sizeof *next->items);
    members->n_items += next->n_items;
    return *bucket = grammar->n_places++;
}

/* Works out where a letter leads. */
static uint32_t take_letter(grammar *grammar, uint32_t from, uint32_t letter) {
    uint32_t first = grammar->places[from].first, n = grammar->places[from].n;
    uint32_t character = grammar->rules.letters[letter];
    grammar->next.n_items = 0;
    grammar->n_expansions++;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t member = grammar->members.items[first + i];
        if (member == 0) continue;
        const node *node = &grammar->nodes[member];
        if (!spend(grammar, 1 + node->at->class->n_ranges)) return NOWHERE;
        if (class_has(node->at->class, character)) expand(grammar, find_node(grammar, node->at + 1, node->below));
    }
    return find_place(grammar);
}

/* False: there is no room for one. */
static bool make_table(grammar *grammar, uint32_t number) {
    numbers *tables = &grammar->tables;
    size_t n = grammar->rules.n_letters;
    if (tables->n_items + n > MAX_ENTRIES || !reserve(grammar, tables, n)) return false;
    memset(tables->items + tables->n_items, 0, n * sizeof *tables->items);
    grammar->places[number].table = (uint32_t)tables->n_items;
    tables->n_items += n;
    return true;
}

/* Where a letter leads from a place. */
static uint32_t go(grammar *grammar, uint32_t from, uint32_t letter) {
    if (from == NOWHERE) return NOWHERE;
    bool has_table = grammar->places[from].table != 0 || make_table(grammar, from);
    size_t entry = grammar->places[from].table + letter;
    if (has_table && grammar->tables.items[entry] != UNKNOWN) return grammar->tables.items[entry];
    uint32_t to = take_letter(grammar, from, letter);
    if (has_table && !grammar->is_exhausted) grammar->tables.items[entry] = to;
    return to;
}

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

/* Whether a character that has only begun can become one that fits. */
static bool may_complete(grammar *grammar, uint32_t from, partial partial) {
    const grammar_rules *rules = &grammar->rules;
    uint32_t low = partial.value << 6 * partial.n_left;
    uint32_t high = low | ((1u << 6 * partial.n_left) - 1);
    if (low < partial.lowest) low = partial.lowest;
    if (high > 0x10FFFF) high = 0x10FFFF;
    if (high >= 0xD800 && high <= 0xDFFF) high = 0xD7FF; /* no surrogates */
    if (high < low) return false;
    for (uint32_t l = grammar_letter(rules, low); l < rules->n_letters && rules->letters[l] <= high; l++)
        if (go(grammar, from, l) != NOWHERE) return true;
    return false;
}

/* Where the text would stand with these bytes, in *partial what of it is not a character yet. */
static uint32_t try_bytes(grammar *grammar, const char *bytes, size_t n_bytes, partial *partial) {
    uint32_t to = grammar->stands;
    *partial = grammar->partial;
    for (size_t i = 0; i < n_bytes && to != NOWHERE; i++) {
        if (!add_byte(partial, (unsigned char)bytes[i])) return NOWHERE;
        if (partial->n_left == 0) to = go(grammar, to, grammar_letter(&grammar->rules, partial->value));
    }
    bool is_good = !grammar->is_exhausted && (partial->n_left == 0 || may_complete(grammar, to, *partial));
    return is_good ? to : NOWHERE;
}

bool grammar_fits(grammar *grammar, const char *bytes, size_t n_bytes) {
    partial partial;
    return n_bytes > 0 && !grammar->is_exhausted && try_bytes(grammar, bytes, n_bytes, &partial) != NOWHERE;
}

/* ---- going on ------------------------------------------------------------------------------------------------------ */

/* Gives up the nodes that the stacks in grammar->next do not need; these get their new numbers. A node lies behind the one
 * below it, so one pass downwards marks and one upwards moves. */
static void forget_nodes(grammar *grammar) {
    uint32_t n_kept = 1, mark = ++grammar->n_expansions;
    node *nodes = grammar->nodes;
    numbers *stacks = &grammar->next;
    for (size_t i = 0; i < stacks->n_items; i++) nodes[stacks->items[i]].visited = mark;
    for (uint32_t n = grammar->n_nodes; n-- > 1;)
        if (nodes[n].visited == mark) nodes[nodes[n].below].visited = mark;
    memset(grammar->buckets, 0, grammar->n_nodes_room * sizeof *grammar->buckets);
    for (uint32_t n = 1; n < grammar->n_nodes; n++) {
        if (nodes[n].visited != mark) continue;
        nodes[n].below = nodes[nodes[n].below].next_in_bucket;
        nodes[n].next_in_bucket = n_kept++; /* its new number, until it has moved; node 0, in no bucket, keeps its 0 */
    }
    for (size_t i = 0; i < stacks->n_items; i++) stacks->items[i] = nodes[stacks->items[i]].next_in_bucket;
    n_kept = 1;
    for (uint32_t n = 1; n < grammar->n_nodes; n++) {
        if (nodes[n].visited != mark) continue;
        uint32_t *bucket = bucket_of(grammar, nodes[n].at, nodes[n].below);
        nodes[n_kept] = (node){nodes[n].at, nodes[n].below, *bucket, 0};
        *bucket = n_kept++;
    }
    grammar->n_nodes = n_kept;
    nodes[0].visited = 0;
    grammar->n_expansions = 0;
}

/* Without any place but NOWHERE. */
static void clear_places(grammar *grammar) {
    if (grammar->place_buckets) memset(grammar->place_buckets, 0, grammar->n_places_room * sizeof *grammar->place_buckets);
    grammar->n_places = NOWHERE;
    grammar->members.n_items = 0;
    grammar->tables.n_items = 1; /* a table's number is not 0 */
}

/* The place of the stacks in grammar->next, the first behind NOWHERE. */
static uint32_t begin_places(grammar *grammar) {
    numbers stacks = grammar->next;
    grammar->next = (numbers){0};
    find_place(grammar); /* NOWHERE */
    free(grammar->next.items);
    grammar->next = stacks;
    return find_place(grammar);
}

static bool is_much(const grammar *grammar) {
    return grammar->n_nodes > MAX_NODES / KEPT_FROM_TOKEN_TO_TOKEN || grammar->n_places > MAX_PLACES / KEPT_FROM_TOKEN_TO_TOKEN ||
           grammar->members.n_items > MAX_MEMBERS / KEPT_FROM_TOKEN_TO_TOKEN ||
           grammar->tables.n_items > MAX_ENTRIES / KEPT_FROM_TOKEN_TO_TOKEN || grammar->n_expansions > UINT32_MAX / 2;
}

static void forget_all(grammar *grammar) {
    const place *stands = &grammar->places[grammar->stands];
    grammar->next.n_items = 0;
    for (uint32_t i = 0; i < stands->n; i++) put(grammar, &grammar->next, grammar->members.items[stands->first + i]);
    if (grammar->is_exhausted) return;
    forget_nodes(grammar);
    clear_places(grammar);
    grammar->stands = begin_places(grammar);
}

void grammar_accept(grammar *grammar, const char *bytes, size_t n_bytes) {
    partial partial;
    if (grammar->is_exhausted) return;
    uint32_t to = try_bytes(grammar, bytes, n_bytes, &partial);
    if (to == NOWHERE) return;
    grammar->stands = to;
    grammar->partial = partial;
    grammar->n_work = 0;
    if (is_much(grammar)) forget_all(grammar);
}

bool grammar_can_end(const grammar *grammar) {
    const place *stands = &grammar->places[grammar->stands];
    return !grammar->is_exhausted && grammar->partial.n_left == 0 && stands->n > 0 && grammar->members.items[stands->first] == 0;
}

bool grammar_is_exhausted(const grammar *grammar) {
    return grammar->is_exhausted;
}

/* ---- all tokens ---------------------------------------------------------------------------------------------------- */

/* Where all ordinary characters of a place lead; NOWHERE if not all lead to the same one. */
static uint32_t ordinary_place(grammar *grammar, uint32_t from) {
    static const struct { uint32_t low, high; } ordinary[] = {{' ', '!'}, {'#', '['}, {']', 0x7E}, {0x80, 0x10FFFF}};
    const grammar_rules *rules = &grammar->rules;
    uint32_t to = go(grammar, from, grammar_letter(rules, ' '));
    for (size_t i = 0; i < sizeof ordinary / sizeof ordinary[0] && to != NOWHERE; i++)
        for (uint32_t l = grammar_letter(rules, ordinary[i].low); l < rules->n_letters && rules->letters[l] <= ordinary[i].high; l++)
            if (go(grammar, from, l) != to) return NOWHERE;
    return to;
}

/* Ordinary characters that may follow, in any order: as in most of the texts in JSON. Up to RUN_MOST, or RUN_WITHOUT_END. */
static uint8_t run_of(grammar *grammar, uint32_t from) {
    uint32_t way[RUN_MOST + 1] = {from};
    uint8_t n = 0, run = 0;
    for (; n < RUN_MOST; n++) {
        if (grammar->places[way[n]].run != RUN_UNKNOWN) {
            run = grammar->places[way[n]].run;
            break;
        }
        uint32_t to = ordinary_place(grammar, way[n]);
        if (to == way[n]) run = RUN_WITHOUT_END;
        if (to == way[n] || to == NOWHERE) {
            grammar->places[way[n]].run = run;
            break;
        }
        way[n + 1] = to;
    }
    bool is_exact = n < RUN_MOST;
    while (n-- > 0) {
        if (run < RUN_MOST) run++;
        if (is_exact || n == 0) grammar->places[way[n]].run = run;
    }
    return grammar->places[from].run;
}

static void allow(uint64_t *allowed, int32_t token) {
    allowed[(size_t)token / 64] |= UINT64_C(1) << token % 64;
}

static void allow_nodes(uint64_t *allowed, const token_node *nodes, uint32_t n_nodes) {
    for (uint32_t i = 0; i < n_nodes; i++)
        if (nodes[i].token != TOKEN_NONE) allow(allowed, nodes[i].token);
}

static bool ends_well(grammar *grammar, uint32_t from, const token_node *node) {
    static const uint32_t lowest[] = {0, 0x80, 0x800, 0x10000};
    return may_complete(grammar, from, (partial){node->character, lowest[node->n_bytes], (int)node->n_left});
}

/* The tokens that begin with a character: each node's place follows from that of the node above. */
static void walk(grammar *grammar, const token_tree *tree, uint64_t *allowed) {
    uint32_t places[TOKEN_TREE_DEPTH + 2] = {grammar->stands}; /* before the character of each depth */
    for (uint32_t i = 0; i < tree->n_nodes && !grammar->is_exhausted;) {
        const token_node *node = &tree->nodes[i];
        uint32_t from = places[node->depth], n_below = node->end - i;
        if (node->n_ordinary > 0 && n_below > FEW_NODES && node->n_ordinary <= run_of(grammar, from)) {
            allow_nodes(allowed, node, n_below);
            i = node->end;
            continue;
        }
        bool fits;
        if (node->n_left > 0) {
            fits = ends_well(grammar, from, node);
        } else {
            places[node->depth + 1] = go(grammar, from, grammar_letter(&grammar->rules, node->character));
            fits = places[node->depth + 1] != NOWHERE;
        }
        if (fits && node->token != TOKEN_NONE) allow(allowed, node->token);
        i = fits ? i + 1 : node->end;
    }
}

void grammar_allowed(grammar *grammar, const token_tree *tree, uint64_t *allowed) {
    memset(allowed, 0, ((size_t)tree->n_tokens + 63) / 64 * sizeof *allowed);
    if (grammar->is_exhausted) return;
    if (grammar->partial.n_left == 0) walk(grammar, tree, allowed);
    for (size_t i = 0; i < tree->n_others; i++)
        if (grammar_fits(grammar, tree->others[i].bytes, tree->others[i].n_bytes)) allow(allowed, tree->others[i].token);
    for (size_t i = 0; i < tree->n_pairs; i++) {
        int32_t token = tree->pairs[i].in_tree;
        if (allowed[(size_t)token / 64] >> token % 64 & 1) allow(allowed, tree->pairs[i].other);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

/* Puts the text at the beginning. */
static bool begin(grammar *grammar) {
    if (!make_room(grammar) || !make_places(grammar)) return false;
    grammar->nodes[0] = (node){NULL, 0, 0, 0};
    grammar->n_nodes = 1;
    grammar->n_expansions = 1;
    grammar->beginning[0] = (element){.kind = ELEMENT_RULE, .rule = grammar->rules.root};
    expand(grammar, find_node(grammar, grammar->beginning, 0));
    put(grammar, &grammar->tables, 0);
    clear_places(grammar);
    if (!grammar->is_exhausted) grammar->stands = begin_places(grammar);
    return !grammar->is_exhausted;
}

grammar *grammar_new(const char *text, char *message, size_t message_size) {
    grammar *grammar = calloc(1, sizeof *grammar);
    if (!grammar) {
        snprintf(message, message_size, "the grammar needs more memory than there is");
        return NULL;
    }
    if (!grammar_rules_read(&grammar->rules, text, message, message_size)) {
        free(grammar);
        return NULL;
    }
    if (begin(grammar)) return grammar;
    snprintf(message, message_size, "the grammar can be read in too many ways from its beginning");
    grammar_free(grammar);
    return NULL;
}

void grammar_free(grammar *grammar) {
    if (!grammar) return;
    grammar_rules_free(&grammar->rules);
    free(grammar->nodes);
    free(grammar->buckets);
    free(grammar->places);
    free(grammar->place_buckets);
    free(grammar->members.items);
    free(grammar->tables.items);
    free(grammar->todo.items);
    free(grammar->next.items);
    free(grammar);
}
