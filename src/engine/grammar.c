/* grammar.c - see grammar.h.
 *
 * Reading: recursive descent. A group becomes a rule of its own, and so do the optional ones of a repetition: S{m,n} is
 * m times S and then, for the rest, rules "S and the next of these rules, or nothing".
 *
 * Judging: matching keeps a set of stacks of positions, one for each way the text so far can be read. After each
 * character the topmost rule of each is replaced by its alternatives until all stacks have a character on top. So
 * refused are:
 *   - a rule that can come back to itself without a character, leaving something on the stack: stacks without end;
 *   - a rule out of which no character and no end is ever reached: a mistake for sure.
 *
 * Matching: stacks share what they have in common. A node is a position and the node below it; equal ones exist once.
 * The number of stacks can still grow with every character, so work is counted, and there is a most of it for each
 * token. Reading and judging count theirs, too: names that share a bucket and rules in an unlucky order cost squares.
 */
#include "grammar.h"

#include "../text/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NESTING 100          /* parentheses */
#define MAX_ELEMENTS 200000      /* of all rules, repetitions written out */
#define MAX_REPETITIONS 2000     /* at least; at most, there may be as many more as MAX_ELEMENTS allows */
#define MAX_LEFT_DEPTH 2500      /* rules that begin with rules that begin with rules ... */
#define MAX_READING_WORK 50000000
#define MAX_WORK 150000000       /* from one accepted piece to the next: some tenths of a second */
#define MAX_NODES (1u << 19)     /* of all stacks: some 15 MB; a power of two */
#define NO_MAXIMUM UINT64_MAX
#define CHUNK_BYTES 65536
#define N_BUCKETS 1024

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

typedef struct chunk {
    struct chunk *next;
    size_t n_used;
    size_t n_room;
    _Alignas(max_align_t) char bytes[];
} chunk;

/* Reads and judges. */
typedef struct reader {
    const char *text;
    const char *at; /* NULL: all is read */
    int nesting;
    size_t n_elements;
    uint64_t n_work;
    rule *rules;
    uint32_t n_rules;
    size_t n_rules_room;
    uint32_t buckets[N_BUCKETS]; /* named rules: number and one */
    uint32_t *open_rules; /* Tarjan's stack */
    uint32_t n_open;
    uint32_t n_visited;
    uint32_t n_components;
    chunk *chunks; /* all that is read lives in them */
    char *message;
    size_t message_size;
} reader;

/* Says what is wrong, and where; returns false. */
__attribute__((format(printf, 2, 3))) static bool refuse(reader *reader, const char *format, ...) {
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    if (!reader->at) {
        snprintf(reader->message, reader->message_size, "the grammar %s", reason);
        return false;
    }
    size_t line = 1;
    for (const char *c = reader->text; c < reader->at; c++) line += *c == '\n';
    snprintf(reader->message, reader->message_size, "line %zu of the grammar: %s", line, reason);
    return false;
}

static void *take_memory(reader *reader, size_t n_bytes) {
    n_bytes = (n_bytes + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
    chunk *chunk = reader->chunks;
    if (!chunk || chunk->n_room - chunk->n_used < n_bytes) {
        size_t n_room = n_bytes > CHUNK_BYTES ? n_bytes : CHUNK_BYTES;
        chunk = malloc(sizeof *chunk + n_room);
        if (!chunk) {
            refuse(reader, "needs more memory than there is");
            return NULL;
        }
        chunk->next = reader->chunks;
        chunk->n_used = 0;
        chunk->n_room = n_room;
        reader->chunks = chunk;
    }
    void *result = chunk->bytes + chunk->n_used;
    chunk->n_used += n_bytes;
    return result;
}

/* Room for more items behind the first: where they are, or in a larger place. NULL if memory ran out. */
static void *make_space(reader *reader, void *items, size_t n_items, size_t n_more, size_t *n_room, size_t item_size) {
    if (*n_room - n_items >= n_more) return items;
    size_t n_wanted = 2 * n_items + n_more;
    void *larger = take_memory(reader, n_wanted * item_size);
    if (!larger) return NULL;
    if (n_items > 0) memcpy(larger, items, n_items * item_size);
    *n_room = n_wanted;
    return larger;
}

static bool work(reader *reader, size_t n_work) {
    reader->n_work += n_work;
    return reader->n_work <= MAX_READING_WORK || refuse(reader, "takes too much work to read");
}

/* ---- rules --------------------------------------------------------------------------------------------------------- */

static bool append_all(reader *reader, elements *list, const element *more, size_t n_more) {
    reader->n_elements += n_more;
    if (reader->n_elements > MAX_ELEMENTS) return refuse(reader, "too large with its repetitions written out");
    element *items = make_space(reader, list->items, list->n_items, n_more, &list->n_room, sizeof *items);
    if (!items) return false;
    memcpy(items + list->n_items, more, n_more * sizeof *items);
    list->items = items;
    list->n_items += n_more;
    return true;
}

static bool append(reader *reader, elements *list, element element) {
    return append_all(reader, list, &element, 1);
}

static bool append_rule(reader *reader, elements *list, uint32_t number) {
    return append(reader, list, (element){.kind = ELEMENT_RULE, .rule = number});
}

static bool add_rule(reader *reader, const char *name, size_t n_name, uint32_t *number) {
    rule *rules = make_space(reader, reader->rules, reader->n_rules, 1, &reader->n_rules_room, sizeof *rules);
    if (!rules) return false;
    reader->rules = rules;
    *number = reader->n_rules++;
    rules[*number] = (rule){.name = name, .n_name = n_name};
    return true;
}

/* The number of a named rule, a new one at its first mention. */
static bool name_rule(reader *reader, const char *name, size_t n_name, uint32_t *number) {
    uint32_t hash = 5381;
    for (size_t i = 0; i < n_name; i++) hash = 33 * hash + (unsigned char)name[i];
    uint32_t *bucket = &reader->buckets[hash % N_BUCKETS];
    for (uint32_t next = *bucket; next > 0; next = reader->rules[next - 1].next_in_bucket) {
        const rule *rule = &reader->rules[next - 1];
        if (!work(reader, 1)) return false;
        if (rule->n_name != n_name || memcmp(rule->name, name, n_name) != 0) continue;
        *number = next - 1;
        return true;
    }
    if (!add_rule(reader, name, n_name, number)) return false;
    reader->rules[*number].next_in_bucket = *bucket;
    *bucket = *number + 1;
    return true;
}

/* The last definition of a rule counts. */
static void define_rule(reader *reader, uint32_t number, const elements *body) {
    reader->rules[number].is_defined = true;
    reader->rules[number].body = *body;
}

/* A new class behind a rule's elements. NULL if the grammar is refused. */
static class *append_class(reader *reader, elements *rule, bool is_inverse) {
    class *added = take_memory(reader, sizeof *added);
    if (!added) return NULL;
    *added = (class){.is_inverse = is_inverse};
    return append(reader, rule, (element){.kind = ELEMENT_CHARACTER, .class = added}) ? added : NULL;
}

static bool add_range(reader *reader, class *class, uint32_t low, uint32_t high) {
    range *added = take_memory(reader, sizeof *added);
    if (!added) return false;
    if (++reader->n_elements > MAX_ELEMENTS) return refuse(reader, "too large");
    *added = (range){low, high, class->ranges};
    class->ranges = added;
    class->n_ranges++;
    return true;
}

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

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_of_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || is_digit(c);
}

static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void skip_space(reader *reader, bool lines_too) {
    const char *at = reader->at;
    while (*at == ' ' || *at == '\t' || *at == '#' || (lines_too && (*at == '\r' || *at == '\n'))) {
        if (*at == '#') at += strcspn(at, "\r\n");
        else at++;
    }
    reader->at = at;
}

static bool read_hex(reader *reader, int n_digits, uint32_t *value) {
    *value = 0;
    for (int i = 0; i < n_digits; i++) {
        char c = reader->at[2 + i];
        if (!is_hex(c)) return refuse(reader, "%d hexadecimal digits are needed after '\\%c'", n_digits, reader->at[1]);
        *value = *value << 4 | (uint32_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    reader->at += 2 + n_digits;
    return true;
}

/* One character of a literal or a class. */
static bool read_character(reader *reader, uint32_t *value) {
    const char *at = reader->at;
    if (*at == 0) return refuse(reader, "it ends inside a literal or a class");
    if (*at != '\\') {
        partial partial = {0}; /* the grammar is valid UTF-8 */
        do add_byte(&partial, (unsigned char)*reader->at++);
        while (partial.n_left > 0);
        *value = partial.value;
        return true;
    }
    if (at[1] == 'x') return read_hex(reader, 2, value);
    if (at[1] == 'u') return read_hex(reader, 4, value);
    if (at[1] == 'U') return read_hex(reader, 8, value);
    if (at[1] == 0 || !strchr("trn\\\"[]-", at[1])) return refuse(reader, "an unknown escape after '\\'");
    *value = at[1] == 't' ? '\t' : at[1] == 'r' ? '\r' : at[1] == 'n' ? '\n' : (unsigned char)at[1];
    reader->at += 2;
    return true;
}

static bool read_literal(reader *reader, elements *rule) {
    uint32_t value;
    for (reader->at++; *reader->at != '"';) {
        if (!read_character(reader, &value)) return false;
        class *class = append_class(reader, rule, false);
        if (!class || !add_range(reader, class, value, value)) return false;
    }
    reader->at++;
    return true;
}

static bool read_class(reader *reader, elements *rule) {
    uint32_t low, high;
    bool is_inverse = reader->at[1] == '^';
    reader->at += is_inverse ? 2 : 1;
    class *class = *reader->at == ']' ? NULL : append_class(reader, rule, is_inverse);
    while (*reader->at != ']') {
        if (!class || !read_character(reader, &low)) return false;
        high = low;
        if (reader->at[0] == '-' && reader->at[1] != ']') {
            reader->at++;
            if (!read_character(reader, &high)) return false;
        }
        if (!add_range(reader, class, low, high)) return false;
    }
    reader->at++;
    return true;
}

/* '.': what is in no range, and there are none. */
static bool read_any(reader *reader, elements *rule) {
    reader->at++;
    return append_class(reader, rule, true) != NULL;
}

static bool read_number(reader *reader, uint64_t *number) {
    if (!is_digit(*reader->at)) return refuse(reader, "a number is needed in a repetition");
    *number = 0;
    for (; is_digit(*reader->at); reader->at++)
        if (*number <= UINT32_MAX) *number = 10 * *number + (uint64_t)(*reader->at - '0');
    return true;
}

/* {m}, {m,} or {m,n} */
static bool read_bounds(reader *reader, bool in_group, uint64_t *minimum, uint64_t *maximum) {
    reader->at++;
    skip_space(reader, in_group);
    if (!read_number(reader, minimum)) return false;
    skip_space(reader, in_group);
    *maximum = *minimum;
    if (*reader->at == ',') {
        reader->at++;
        skip_space(reader, in_group);
        *maximum = NO_MAXIMUM;
        if (is_digit(*reader->at)) {
            read_number(reader, maximum);
            skip_space(reader, in_group);
        }
    }
    if (*reader->at != '}') return refuse(reader, "'}' is missing behind a repetition");
    if (*minimum > MAX_REPETITIONS) return refuse(reader, "more than %d repetitions", MAX_REPETITIONS);
    if (*maximum < *minimum)
        return refuse(reader, "a repetition of at least %d and at most %d", (int)*minimum, (int)*maximum);
    return true;
}

/* Repeats the last symbol of the rule, which begins at `symbol`. */
static bool repeat(reader *reader, elements *rule, size_t symbol, uint64_t minimum, uint64_t maximum) {
    if (symbol == rule->n_items) return refuse(reader, "a repetition of nothing");
    bool is_open = maximum == NO_MAXIMUM;
    elements once = {0};
    if (!append_all(reader, &once, rule->items + symbol, rule->n_items - symbol)) return false;
    if (minimum == 0) rule->n_items = symbol;
    for (uint64_t i = 1; i < minimum; i++)
        if (!append_all(reader, rule, once.items, once.n_items)) return false;
    uint64_t n_optional = is_open ? 1 : maximum - minimum;
    uint32_t number = 0;
    for (uint64_t i = 0; i < n_optional; i++) {
        elements optional = {0};
        uint32_t next = number;
        if (!add_rule(reader, NULL, 0, &number) || !append_all(reader, &optional, once.items, once.n_items))
            return false;
        if (is_open) next = number;
        if ((is_open || i > 0) && !append_rule(reader, &optional, next)) return false;
        if (!append(reader, &optional, (element){.kind = ELEMENT_ALTERNATIVE}) ||
            !append(reader, &optional, (element){.kind = ELEMENT_END}))
            return false;
        define_rule(reader, number, &optional);
    }
    return n_optional == 0 || append_rule(reader, rule, number);
}

static bool read_alternatives(reader *reader, uint32_t number, bool in_group);

static bool read_group(reader *reader, elements *rule) {
    uint32_t number;
    if (++reader->nesting > MAX_NESTING) return refuse(reader, "more than %d nested parentheses", MAX_NESTING);
    reader->at++;
    skip_space(reader, true);
    if (!add_rule(reader, NULL, 0, &number) || !read_alternatives(reader, number, true)) return false;
    if (*reader->at != ')') return refuse(reader, "')' is missing");
    reader->at++;
    reader->nesting--;
    return append_rule(reader, rule, number);
}

static bool read_reference(reader *reader, elements *rule) {
    const char *name = reader->at;
    uint32_t number;
    while (is_of_name(*reader->at)) reader->at++;
    return name_rule(reader, name, (size_t)(reader->at - name), &number) && append_rule(reader, rule, number);
}

static bool read_repetition(reader *reader, bool in_group, elements *rule, size_t symbol) {
    char kind = *reader->at;
    uint64_t minimum = kind == '+', maximum = kind == '?' ? 1 : NO_MAXIMUM;
    if (kind == '{' && !read_bounds(reader, in_group, &minimum, &maximum)) return false;
    reader->at++;
    return repeat(reader, rule, symbol, minimum, maximum);
}

/* Up to the end of an alternative. */
static bool read_sequence(reader *reader, elements *rule, bool in_group) {
    size_t symbol = rule->n_items; /* where the last symbol begins: what a repetition repeats */
    for (;; skip_space(reader, in_group)) {
        char c = *reader->at;
        bool is_good;
        if (c != 0 && strchr("*+?{", c)) {
            if (!read_repetition(reader, in_group, rule, symbol)) return false;
            continue;
        }
        symbol = rule->n_items;
        if (c == '"') is_good = read_literal(reader, rule);
        else if (c == '[') is_good = read_class(reader, rule);
        else if (c == '(') is_good = read_group(reader, rule);
        else if (is_of_name(c)) is_good = read_reference(reader, rule);
        else if (c == '.') is_good = read_any(reader, rule);
        else if (c == '<' || c == '!') is_good = refuse(reader, "rules cannot name tokens ('%c')", c);
        else return true;
        if (!is_good) return false;
    }
}

static bool read_alternatives(reader *reader, uint32_t number, bool in_group) {
    elements rule = {0};
    while (read_sequence(reader, &rule, in_group)) {
        if (*reader->at != '|') {
            if (!append(reader, &rule, (element){.kind = ELEMENT_END})) return false;
            define_rule(reader, number, &rule);
            return true;
        }
        if (!append(reader, &rule, (element){.kind = ELEMENT_ALTERNATIVE})) return false;
        reader->at++;
        skip_space(reader, true);
    }
    return false;
}

static bool read_rule(reader *reader) {
    const char *name = reader->at;
    uint32_t number;
    while (is_of_name(*reader->at)) reader->at++;
    if (reader->at == name) return refuse(reader, "the name of a rule is missing");
    if (!name_rule(reader, name, (size_t)(reader->at - name), &number)) return false;
    skip_space(reader, false);
    if (strncmp(reader->at, "::=", 3) != 0) return refuse(reader, "'::=' is missing");
    reader->at += 3;
    skip_space(reader, true);
    if (!read_alternatives(reader, number, false)) return false;
    if (*reader->at && *reader->at != '\r' && *reader->at != '\n') {
        bool incomplete;
        size_t n_bytes = utf8_character(reader->at, strlen(reader->at), &incomplete);
        return refuse(reader, "'%.*s' is not expected there", (int)n_bytes, reader->at);
    }
    skip_space(reader, true);
    return true;
}

static bool read_grammar(reader *reader, uint32_t *root) {
    bool has_root = false;
    for (skip_space(reader, true); *reader->at;)
        if (!read_rule(reader)) return false;
    reader->at = NULL; /* from here on it is the whole that is wrong */
    for (uint32_t r = 0; r < reader->n_rules; r++) {
        const rule *rule = &reader->rules[r];
        if (!rule->is_defined) return refuse(reader, "has no rule '%.*s'", (int)rule->n_name, rule->name);
        if (rule->n_name != 4 || memcmp(rule->name, "root", 4) != 0) continue;
        has_root = true;
        *root = r;
    }
    return has_root || refuse(reader, "has no rule 'root'");
}

/* ---- judging ------------------------------------------------------------------------------------------------------- */

static bool ends_alternative(const element *element) {
    return element->kind == ELEMENT_END || element->kind == ELEMENT_ALTERNATIVE;
}

/* From 0 up to n_items: the elements that can stand at the beginning of an alternative, and the ends of those that can
 * be empty. */
static size_t next_first(const reader *reader, const elements *body, size_t i) {
    const element *element = &body->items[i];
    if (element->kind == ELEMENT_RULE && reader->rules[element->rule].can_be_empty) return i + 1;
    while (!ends_alternative(&body->items[i])) i++;
    return i + 1;
}

/* Looks at a rule with what is known of the others; returns whether that told something new. */
static bool learn(const reader *reader, rule *rule) {
    bool was_empty = rule->can_be_empty, reached = rule->reaches_character;
    for (size_t i = 0; i < rule->body.n_items; i = next_first(reader, &rule->body, i)) {
        const element *element = &rule->body.items[i];
        if (ends_alternative(element)) rule->can_be_empty = true;
        else if (element->kind == ELEMENT_CHARACTER || reader->rules[element->rule].reaches_character)
            rule->reaches_character = true;
    }
    return rule->can_be_empty != was_empty || rule->reaches_character != reached;
}

/* Backwards: grammars are mostly written from the top down, and then it is all learned in one go. */
static bool learn_all(reader *reader) {
    for (bool is_new = true; is_new;) {
        is_new = false;
        if (!work(reader, reader->n_rules + reader->n_elements)) return false;
        for (uint32_t r = reader->n_rules; r-- > 0;) is_new |= learn(reader, &reader->rules[r]);
    }
    return true;
}

static bool refuse_rule(reader *reader, const rule *rule, const char *reason) {
    if (!rule->name) return refuse(reader, "has a group or repetition that %s", reason);
    return refuse(reader, "has a rule '%.*s' that %s", (int)rule->n_name, rule->name, reason);
}

static bool check_alive(reader *reader) {
    for (uint32_t r = 0; r < reader->n_rules; r++)
        if (!reader->rules[r].can_be_empty && !reader->rules[r].reaches_character)
            return refuse_rule(reader, &reader->rules[r], "never comes to a character");
    return true;
}

/* All rules of the component lie on top of the stack. */
static void close_component(reader *reader, uint32_t first) {
    uint32_t component = ++reader->n_components, number;
    do {
        number = reader->open_rules[--reader->n_open];
        reader->rules[number].is_open = false;
        reader->rules[number].component = component;
    } while (number != first);
}

/* Follows what can stand at the beginning of a rule. */
static bool visit(reader *reader, uint32_t number, int depth) {
    rule *rule = &reader->rules[number];
    if (depth > MAX_LEFT_DEPTH)
        return refuse(reader, "has more than %d rules that begin with each other", MAX_LEFT_DEPTH);
    rule->order = rule->low = ++reader->n_visited;
    rule->is_open = true;
    reader->open_rules[reader->n_open++] = number;
    for (size_t i = 0; i < rule->body.n_items; i = next_first(reader, &rule->body, i)) {
        const element *element = &rule->body.items[i];
        if (element->kind != ELEMENT_RULE) continue;
        const struct rule *next = &reader->rules[element->rule];
        if (next->order == 0 && !visit(reader, element->rule, depth + 1)) return false;
        if (next->is_open && next->low < rule->low) rule->low = next->low;
    }
    if (rule->low == rule->order) close_component(reader, number);
    return true;
}

/* A rule that can come back to itself must have nothing behind the place where it does. */
static bool check_left_recursion(reader *reader) {
    for (uint32_t r = 0; r < reader->n_rules; r++) {
        const rule *rule = &reader->rules[r];
        for (size_t i = 0; i < rule->body.n_items; i = next_first(reader, &rule->body, i)) {
            const element *element = &rule->body.items[i];
            if (element->kind == ELEMENT_RULE && !ends_alternative(element + 1) &&
                reader->rules[element->rule].component == rule->component)
                return refuse_rule(reader, rule, "can begin with itself");
        }
    }
    return true;
}

static bool judge(reader *reader) {
    if (!learn_all(reader) || !check_alive(reader)) return false;
    reader->open_rules = take_memory(reader, reader->n_rules * sizeof *reader->open_rules);
    if (!reader->open_rules) return false;
    for (uint32_t r = 0; r < reader->n_rules; r++)
        if (reader->rules[r].order == 0 && !visit(reader, r, 0)) return false;
    return check_left_recursion(reader);
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

struct grammar {
    chunk *chunks;
    const rule *rules;
    element beginning[2]; /* what all is read as: the rule "root", and an end */

    node *nodes;
    uint32_t n_nodes;
    uint32_t n_nodes_room;
    uint32_t *buckets; /* node numbers; as many as there is room for nodes, a power of two */
    uint32_t n_expansions;
    uint64_t n_work;
    bool is_exhausted;

    numbers stacks; /* where the text stands: nodes at a character, perhaps 0 */
    partial partial;
    bool is_dead_end[256];   /* known: no text goes on with that byte, there are many tokens that try */
    numbers todo, now, next; /* for expanding, and for trying bytes */
};

/* Counts work; returns whether there may be more of it. */
static bool spend(grammar *grammar, size_t n_work) {
    grammar->n_work += n_work;
    if (grammar->n_work > MAX_WORK) grammar->is_exhausted = true;
    return !grammar->is_exhausted;
}

static void put(grammar *grammar, numbers *list, uint32_t number) {
    if (list->n_items == list->n_room) {
        size_t n_room = 2 * list->n_room + 64;
        uint32_t *larger = realloc(list->items, n_room * sizeof *larger);
        if (!larger) {
            grammar->is_exhausted = true;
            return;
        }
        list->items = larger;
        list->n_room = n_room;
    }
    list->items[list->n_items++] = number;
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

/* Adds to `stacks` what a node comes to without a character. */
static void expand(grammar *grammar, uint32_t number, numbers *stacks) {
    grammar->todo.n_items = 0;
    reach(grammar, number);
    while (grammar->todo.n_items > 0 && spend(grammar, 1)) {
        uint32_t n = grammar->todo.items[--grammar->todo.n_items];
        const element *at = grammar->nodes[n].at;
        if (n == 0 || at->kind == ELEMENT_CHARACTER) {
            put(grammar, stacks, n);
            continue;
        }
        uint32_t below = find_node(grammar, at + 1, grammar->nodes[n].below);
        const elements *body = &grammar->rules[at->rule].body;
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

/* Whether one of the characters from `low` to `high` may be in the class. */
static bool class_may_have(const class *class, uint32_t low, uint32_t high) {
    for (const range *range = class->ranges; range; range = range->next) {
        if (class->is_inverse && range->low <= low && high <= range->high) return false;
        if (!class->is_inverse && range->low <= high && low <= range->high) return true;
    }
    return class->is_inverse;
}

static void take_character(grammar *grammar, const numbers *stacks, uint32_t value, numbers *next) {
    next->n_items = 0;
    grammar->n_expansions++;
    for (size_t i = 0; i < stacks->n_items; i++) {
        if (stacks->items[i] == 0) continue;
        const node *node = &grammar->nodes[stacks->items[i]];
        if (!spend(grammar, 1 + node->at->class->n_ranges)) return;
        if (class_has(node->at->class, value))
            expand(grammar, find_node(grammar, node->at + 1, node->below), next);
    }
}

/* Whether a character that has only begun can become one that fits. */
static bool may_complete(grammar *grammar, const numbers *stacks, partial partial) {
    uint32_t low = partial.value << 6 * partial.n_left;
    uint32_t high = low | ((1u << 6 * partial.n_left) - 1);
    if (low < partial.lowest) low = partial.lowest;
    if (high > 0x10FFFF) high = 0x10FFFF;
    if (high < low || (low >= 0xD800 && high <= 0xDFFF)) return false;
    for (size_t i = 0; i < stacks->n_items; i++) {
        if (stacks->items[i] == 0) continue;
        const class *class = grammar->nodes[stacks->items[i]].at->class;
        if (!spend(grammar, 1 + class->n_ranges)) return false;
        if (class_may_have(class, low, high)) return true;
    }
    return false;
}

/* Leaves where the text would stand in grammar->now and *partial. */
static bool try_bytes(grammar *grammar, const char *bytes, size_t n_bytes, partial *partial) {
    *partial = grammar->partial;
    const numbers *stacks = &grammar->stacks;
    for (size_t i = 0; i < n_bytes; i++) {
        if (!add_byte(partial, (unsigned char)bytes[i])) return false;
        if (partial->n_left > 0) continue;
        take_character(grammar, stacks, partial->value, &grammar->next);
        numbers taken = grammar->next;
        grammar->next = grammar->now;
        grammar->now = taken;
        stacks = &grammar->now;
        if (grammar->is_exhausted || stacks->n_items == 0) return false;
    }
    if (partial->n_left > 0 && !may_complete(grammar, stacks, *partial)) return false;
    if (stacks == &grammar->now) return true;
    grammar->now.n_items = 0;
    for (size_t i = 0; i < stacks->n_items; i++) put(grammar, &grammar->now, stacks->items[i]);
    return !grammar->is_exhausted;
}

bool grammar_fits(grammar *grammar, const char *bytes, size_t n_bytes) {
    partial partial;
    if (n_bytes == 0 || grammar->is_exhausted) return false;
    bool *is_dead_end = &grammar->is_dead_end[(unsigned char)bytes[0]];
    if (*is_dead_end) return false;
    if (try_bytes(grammar, bytes, n_bytes, &partial)) return true;
    *is_dead_end = !try_bytes(grammar, bytes, 1, &partial);
    return false;
}

/* Gives up the nodes that were only tried: what the stacks need moves to the front. A node lies behind the one below
 * it, so one pass downwards marks and one upwards moves. */
static void forget_tried(grammar *grammar) {
    uint32_t n_kept = 1, mark = ++grammar->n_expansions;
    node *nodes = grammar->nodes;
    for (size_t i = 0; i < grammar->stacks.n_items; i++) nodes[grammar->stacks.items[i]].visited = mark;
    for (uint32_t n = grammar->n_nodes; n-- > 1;)
        if (nodes[n].visited == mark) nodes[nodes[n].below].visited = mark;
    memset(grammar->buckets, 0, grammar->n_nodes_room * sizeof *grammar->buckets);
    for (uint32_t n = 1; n < grammar->n_nodes; n++) {
        if (nodes[n].visited != mark) continue;
        nodes[n].below = nodes[nodes[n].below].next_in_bucket;
        nodes[n].next_in_bucket = n_kept++; /* its new number, until it has moved; node 0, in no bucket, keeps its 0 */
    }
    for (size_t i = 0; i < grammar->stacks.n_items; i++)
        grammar->stacks.items[i] = nodes[grammar->stacks.items[i]].next_in_bucket;
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

void grammar_accept(grammar *grammar, const char *bytes, size_t n_bytes) {
    partial partial;
    if (grammar->is_exhausted || !try_bytes(grammar, bytes, n_bytes, &partial)) return;
    numbers stood = grammar->stacks;
    grammar->stacks = grammar->now;
    grammar->now = stood;
    grammar->partial = partial;
    forget_tried(grammar);
    memset(grammar->is_dead_end, 0, sizeof grammar->is_dead_end);
    grammar->n_work = 0;
}

bool grammar_can_end(const grammar *grammar) {
    if (grammar->is_exhausted || grammar->partial.n_left > 0) return false;
    for (size_t i = 0; i < grammar->stacks.n_items; i++)
        if (grammar->stacks.items[i] == 0) return true;
    return false;
}

bool grammar_is_exhausted(const grammar *grammar) {
    return grammar->is_exhausted;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static void free_chunks(chunk *chunks) {
    while (chunks) {
        chunk *next = chunks->next;
        free(chunks);
        chunks = next;
    }
}

/* Puts the text at the beginning. */
static bool begin(grammar *grammar, uint32_t root) {
    if (!make_room(grammar)) return false;
    grammar->nodes[0] = (node){NULL, 0, 0, 0};
    grammar->n_nodes = 1;
    grammar->n_expansions = 1;
    grammar->beginning[0] = (element){.kind = ELEMENT_RULE, .rule = root};
    expand(grammar, find_node(grammar, grammar->beginning, 0), &grammar->stacks);
    return !grammar->is_exhausted;
}

grammar *grammar_new(const char *text, char *message, size_t message_size) {
    uint32_t root = 0;
    reader reader = {.text = text, .message = message, .message_size = message_size};
    grammar *grammar = NULL;
    if (!utf8_is_valid(text, strlen(text))) {
        refuse(&reader, "is not valid UTF-8");
        return NULL;
    }
    reader.at = text;
    if (!read_grammar(&reader, &root) || !judge(&reader)) goto fail;
    grammar = calloc(1, sizeof *grammar);
    if (!grammar) {
        refuse(&reader, "needs more memory than there is");
        goto fail;
    }
    grammar->chunks = reader.chunks;
    grammar->rules = reader.rules;
    if (begin(grammar, root)) return grammar;
    refuse(&reader, "can be read in too many ways from its beginning");
    grammar_free(grammar);
    return NULL;

fail:
    free_chunks(reader.chunks);
    return NULL;
}

void grammar_free(grammar *grammar) {
    if (!grammar) return;
    free_chunks(grammar->chunks);
    free(grammar->nodes);
    free(grammar->buckets);
    free(grammar->stacks.items);
    free(grammar->todo.items);
    free(grammar->now.items);
    free(grammar->next.items);
    free(grammar);
}
