/* grammar_rules.h - a grammar as it was read: rules, and the characters that they tell apart. Only the files of the grammar
 * include it; grammar.h is for all others.
 */
#ifndef ENGINE_GRAMMAR_RULES_H
#define ENGINE_GRAMMAR_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Inclusive. */
typedef struct range {
    uint32_t low;
    uint32_t high;
    struct range *next;
} range;

/* Characters: those in a range or, if inverse, those in none. */
typedef struct class {
    bool is_inverse;
    uint32_t n_ranges;
    range *ranges;
} class;

typedef enum element_kind { ELEMENT_END, ELEMENT_ALTERNATIVE, ELEMENT_RULE, ELEMENT_CHARACTER } element_kind;

typedef struct element {
    element_kind kind;
    uint32_t rule;      /* of ELEMENT_RULE: its number */
    const class *class; /* of ELEMENT_CHARACTER */
} element;

typedef struct elements {
    element *items;
    size_t n_items;
    size_t n_room;
} elements;

typedef struct rule {
    const char *name; /* NULL: made out of a group or a repetition */
    size_t n_name;
    uint32_t next_in_bucket; /* its number and one; 0: none */
    bool is_defined;
    elements body; /* alternatives with ELEMENT_ALTERNATIVE between them, and ELEMENT_END */
    bool can_be_empty;
    bool reaches_character; /* without another character before it */
    /* The search for rules that come back to themselves (Tarjan's strongly connected components): */
    uint32_t order; /* 0: not visited yet */
    uint32_t low;
    bool is_open;
    uint32_t component;
} rule;

/* Does not change once it is read. */
typedef struct grammar_rules {
    const rule *rules;
    uint32_t root;
    /* Letters: characters that no class tells apart count as one. The first character of each, ascending, from 0. */
    const uint32_t *letters;
    uint32_t n_letters;
    uint32_t letter_of_ascii[128];
    struct chunk *chunks; /* all of it lives in them */
} grammar_rules;

/* Reads a grammar and judges it. False if it cannot be used; `message` then says why, with the line. */
bool grammar_rules_read(grammar_rules *rules, const char *text, char *message, size_t message_size);

void grammar_rules_free(grammar_rules *rules);

static inline bool ends_alternative(const element *element) {
    return element->kind == ELEMENT_END || element->kind == ELEMENT_ALTERNATIVE;
}

/* The number of a character's letter. */
uint32_t grammar_letter(const grammar_rules *rules, uint32_t character);

#endif
