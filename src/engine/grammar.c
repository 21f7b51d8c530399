/* grammar.c - see grammar.h.
 *
 * Reading: the same recursive descent as the library's, into the same rules: a group and a repetition become rules of
 * their own, so that what is counted here is what the library will have.
 *
 * Judging: the library keeps a set of stacks of positions, one for each way the text so far can be read. Before each
 * character it replaces the topmost rule by its alternatives until all stacks have a character on top. So dangerous are:
 *   - a rule that can come back to itself without a character, leaving something on the stack: stacks without end. The
 *     library looks for that, but does not see that a rule is empty if all its parts are;
 *   - a rule out of which no character and no end is ever reached: no stack is left, which the library does not survive;
 *   - many ways from one position to its first characters: time and memory. The library's search for left recursion
 *     follows each of them, too.
 */
#include "grammar.h"

#include "../text/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NESTING 100          /* parentheses */
#define MAX_ELEMENTS 200000      /* of all rules, repetitions written out; bounds the work of reading, too */
#define MAX_REPETITIONS 2000     /* the library's own limit: MAX_REPETITION_THRESHOLD */
#define MAX_LEFT_DEPTH 2500      /* rules that begin with rules that begin with rules ... */
#define MAX_WAYS 20000           /* from one position to its first characters */
#define MAX_WAYS_OF_ALL 20000000 /* of all rules together */
#define NO_MAXIMUM UINT64_MAX
#define CHUNK_BYTES 65536
#define N_BUCKETS 1024

typedef enum element_kind { ELEMENT_END, ELEMENT_ALTERNATIVE, ELEMENT_RULE, ELEMENT_CHARACTER } element_kind;

typedef struct element {
    element_kind kind;
    uint32_t rule; /* of ELEMENT_RULE */
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
    elements body;
    bool can_be_empty;
    bool reaches_character; /* without another character before it */
    /* The search for rules that come back to themselves (Tarjan's strongly connected components): */
    uint32_t order; /* 0: not visited yet */
    uint32_t low;
    bool is_open;
    uint32_t component;
    uint64_t n_ways;
} rule;

typedef struct chunk {
    struct chunk *next;
    size_t n_used;
    size_t n_room;
    _Alignas(max_align_t) char bytes[];
} chunk;

typedef struct reader {
    const char *text;
    const char *at;
    int nesting;
    size_t n_elements;
    rule *rules;
    uint32_t n_rules;
    uint32_t n_rules_room;
    uint32_t buckets[N_BUCKETS]; /* named rules: number and one */
    uint32_t *open_rules; /* Tarjan's stack */
    uint32_t n_open;
    uint32_t n_visited;
    uint32_t n_components;
    uint64_t n_ways;
    chunk *chunks; /* all that is read lives until the end */
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
            refuse(reader, "not enough memory");
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

/* ---- rules --------------------------------------------------------------------------------------------------------- */

static bool reserve(reader *reader, elements *list, size_t n_more) {
    reader->n_elements += n_more;
    if (reader->n_elements > MAX_ELEMENTS) return refuse(reader, "too large with its repetitions written out");
    if (list->n_room - list->n_items >= n_more) return true;
    size_t n_room = 2 * (list->n_items + n_more) + 8;
    element *larger = take_memory(reader, n_room * sizeof *larger);
    if (!larger) return false;
    if (list->n_items > 0) memcpy(larger, list->items, list->n_items * sizeof *larger);
    list->items = larger;
    list->n_room = n_room;
    return true;
}

static bool append(reader *reader, elements *list, element_kind kind, uint32_t rule) {
    if (!reserve(reader, list, 1)) return false;
    list->items[list->n_items++] = (element){kind, rule};
    return true;
}

static bool append_all(reader *reader, elements *list, const elements *more) {
    if (!reserve(reader, list, more->n_items)) return false;
    if (more->n_items > 0) memcpy(list->items + list->n_items, more->items, more->n_items * sizeof *more->items);
    list->n_items += more->n_items;
    return true;
}

static bool add_rule(reader *reader, const char *name, size_t n_name, uint32_t *number) {
    if (reader->n_rules == reader->n_rules_room) {
        uint32_t n_room = 2 * reader->n_rules_room + 64;
        rule *larger = take_memory(reader, n_room * sizeof *larger);
        if (!larger) return false;
        if (reader->n_rules > 0) memcpy(larger, reader->rules, reader->n_rules * sizeof *larger);
        reader->rules = larger;
        reader->n_rules_room = n_room;
    }
    *number = reader->n_rules++;
    reader->rules[*number] = (rule){.name = name, .n_name = n_name};
    return true;
}

/* The number of a named rule, a new one at its first mention. */
static bool name_rule(reader *reader, const char *name, size_t n_name, uint32_t *number) {
    uint32_t hash = 5381;
    for (size_t i = 0; i < n_name; i++) hash = 33 * hash + (unsigned char)name[i];
    uint32_t *bucket = &reader->buckets[hash % N_BUCKETS];
    for (uint32_t next = *bucket; next > 0; next = reader->rules[next - 1].next_in_bucket) {
        const rule *rule = &reader->rules[next - 1];
        if (rule->n_name != n_name || memcmp(rule->name, name, n_name) != 0) continue;
        *number = next - 1;
        return true;
    }
    if (!add_rule(reader, name, n_name, number)) return false;
    reader->rules[*number].next_in_bucket = *bucket;
    *bucket = *number + 1;
    return true;
}

static void define_rule(reader *reader, uint32_t number, const elements *body) {
    reader->rules[number].is_defined = true;
    reader->rules[number].body = *body;
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

/* Of the character at `text`, which is valid UTF-8 and not at its end. */
static int character_length(const char *text) {
    bool incomplete;
    return (int)utf8_character(text, strnlen(text, 4), &incomplete);
}

/* One character of a literal or a class. */
static bool read_character(reader *reader) {
    const char *at = reader->at;
    if (*at == 0) return refuse(reader, "it ends inside a literal or a class");
    if (*at != '\\') {
        reader->at += character_length(at);
        return true;
    }
    int n_hex = at[1] == 'x' ? 2 : at[1] == 'u' ? 4 : at[1] == 'U' ? 8 : 0;
    if (n_hex == 0 && (at[1] == 0 || !strchr("trn\\\"[]-", at[1])))
        return refuse(reader, "an unknown escape after '\\'");
    for (int i = 0; i < n_hex; i++)
        if (!is_hex(at[2 + i])) return refuse(reader, "%d hexadecimal digits are needed after '\\%c'", n_hex, at[1]);
    reader->at += 2 + n_hex;
    return true;
}

static bool read_literal(reader *reader, elements *rule) {
    for (reader->at++; *reader->at != '"';)
        if (!read_character(reader) || !append(reader, rule, ELEMENT_CHARACTER, 0)) return false;
    reader->at++;
    return true;
}

/* A class is one character; its parts are counted, but do not matter here. An empty one is nothing at all, as it is to the
 * library. */
static bool read_class(reader *reader, elements *rule) {
    size_t n_before = rule->n_items;
    if (*++reader->at == '^') reader->at++;
    while (*reader->at != ']') {
        if (!read_character(reader)) return false;
        if (rule->n_items == n_before && !append(reader, rule, ELEMENT_CHARACTER, 0)) return false;
        if (++reader->n_elements > MAX_ELEMENTS) return refuse(reader, "too large");
        if (reader->at[0] != '-' || reader->at[1] == ']') continue;
        reader->at++;
        if (!read_character(reader)) return false;
    }
    reader->at++;
    return true;
}

static bool read_any(reader *reader, elements *rule) {
    reader->at++;
    return append(reader, rule, ELEMENT_CHARACTER, 0);
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
    /* To the library that would be almost 2^64 repetitions. */
    if (*maximum < *minimum) return refuse(reader, "a repetition of at least %d and at most %d", (int)*minimum, (int)*maximum);
    if (*maximum > MAX_REPETITIONS) *maximum = NO_MAXIMUM;
    return true;
}

/* Repeats the last symbol of the rule, which begins at `symbol`: S{m,n} becomes m times S and then, for the rest, rules
 * "S and the next of these rules, or nothing". `weight` counts as the library does. */
static bool repeat(reader *reader, elements *rule, size_t symbol, uint64_t minimum, uint64_t maximum, uint64_t *weight) {
    if (symbol == rule->n_items) return refuse(reader, "a repetition of nothing");
    bool is_open = maximum == NO_MAXIMUM;
    uint64_t n_times = !is_open && maximum > 0 ? maximum : minimum > 0 ? minimum : 1;
    if (*weight * n_times > MAX_REPETITIONS) return refuse(reader, "more than %d repetitions in all", MAX_REPETITIONS);
    *weight *= n_times;
    elements once = {0}, optional = {0};
    elements tail = {rule->items + symbol, rule->n_items - symbol, 0};
    if (!append_all(reader, &once, &tail)) return false;
    if (minimum == 0) rule->n_items = symbol;
    for (uint64_t i = 1; i < minimum; i++)
        if (!append_all(reader, rule, &once)) return false;
    uint64_t n_optional = is_open ? 1 : maximum - minimum;
    uint32_t last = 0;
    for (uint64_t i = 0; i < n_optional; i++) {
        uint32_t number;
        optional = (elements){0};
        if (!add_rule(reader, NULL, 0, &number) || !append_all(reader, &optional, &once)) return false;
        if ((i > 0 || is_open) && !append(reader, &optional, ELEMENT_RULE, is_open ? number : last)) return false;
        if (!append(reader, &optional, ELEMENT_ALTERNATIVE, 0) || !append(reader, &optional, ELEMENT_END, 0)) return false;
        define_rule(reader, number, &optional);
        last = number;
    }
    return n_optional == 0 || append(reader, rule, ELEMENT_RULE, last);
}

static bool read_alternatives(reader *reader, uint32_t number, bool in_group);

static bool read_group(reader *reader, elements *rule, uint64_t *weight) {
    uint32_t number, n_rules_before = reader->n_rules;
    if (++reader->nesting > MAX_NESTING) return refuse(reader, "more than %d nested parentheses", MAX_NESTING);
    reader->at++;
    skip_space(reader, true);
    if (!add_rule(reader, NULL, 0, &number) || !read_alternatives(reader, number, true)) return false;
    if (*reader->at != ')') return refuse(reader, "')' is missing");
    reader->at++;
    reader->nesting--;
    *weight = reader->n_rules - n_rules_before;
    return append(reader, rule, ELEMENT_RULE, number);
}

static bool read_reference(reader *reader, elements *rule) {
    const char *name = reader->at;
    uint32_t number;
    while (is_of_name(*reader->at)) reader->at++;
    return name_rule(reader, name, (size_t)(reader->at - name), &number) && append(reader, rule, ELEMENT_RULE, number);
}

static bool read_repetition(reader *reader, bool in_group, elements *rule, size_t symbol, uint64_t *weight) {
    char kind = *reader->at;
    uint64_t minimum = kind == '+', maximum = kind == '?' ? 1 : NO_MAXIMUM;
    if (kind == '{' && !read_bounds(reader, in_group, &minimum, &maximum)) return false;
    reader->at++;
    return repeat(reader, rule, symbol, minimum, maximum, weight);
}

/* Up to the end of an alternative. */
static bool read_sequence(reader *reader, elements *rule, bool in_group) {
    size_t symbol = rule->n_items; /* where the last symbol begins: what a repetition repeats */
    uint64_t weight = 1;           /* how many rules it has been made into */
    for (;; skip_space(reader, in_group)) {
        char c = *reader->at;
        bool is_good;
        if (c != 0 && strchr("*+?{", c)) {
            if (!read_repetition(reader, in_group, rule, symbol, &weight)) return false;
            continue;
        }
        size_t n_before = rule->n_items;
        uint64_t new_weight = 1;
        if (c == '"') is_good = read_literal(reader, rule);
        else if (c == '[') is_good = read_class(reader, rule);
        else if (c == '(') is_good = read_group(reader, rule, &new_weight);
        else if (is_of_name(c)) is_good = read_reference(reader, rule);
        else if (c == '.') is_good = read_any(reader, rule);
        else if (c == '<' || c == '!') is_good = refuse(reader, "rules cannot name tokens ('%c')", c);
        else return true;
        if (!is_good) return false;
        symbol = n_before;
        weight = new_weight;
    }
}

static bool read_alternatives(reader *reader, uint32_t number, bool in_group) {
    elements rule = {0};
    while (read_sequence(reader, &rule, in_group)) {
        if (*reader->at != '|') {
            if (!append(reader, &rule, ELEMENT_END, 0)) return false;
            define_rule(reader, number, &rule);
            return true;
        }
        if (!append(reader, &rule, ELEMENT_ALTERNATIVE, 0)) return false;
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
    if (*reader->at && *reader->at != '\r' && *reader->at != '\n')
        return refuse(reader, "'%.*s' is not expected there", character_length(reader->at), reader->at);
    skip_space(reader, true);
    return true;
}

static bool read_grammar(reader *reader) {
    bool has_root = false;
    for (skip_space(reader, true); *reader->at;)
        if (!read_rule(reader)) return false;
    reader->at = NULL; /* from here on it is the whole that is wrong */
    for (uint32_t r = 0; r < reader->n_rules; r++) {
        const rule *rule = &reader->rules[r];
        if (!rule->is_defined) return refuse(reader, "has no rule '%.*s'", (int)rule->n_name, rule->name);
        has_root = has_root || (rule->n_name == 4 && memcmp(rule->name, "root", 4) == 0);
    }
    return has_root || refuse(reader, "has no rule 'root'");
}

/* ---- judging ------------------------------------------------------------------------------------------------------- */

static bool ends_alternative(const element *element) {
    return element->kind == ELEMENT_END || element->kind == ELEMENT_ALTERNATIVE;
}

static bool can_be_empty(const reader *reader, const element *element) {
    return element->kind == ELEMENT_RULE && reader->rules[element->rule].can_be_empty;
}

/* Looks at a rule with what is known of the others; returns whether that told something new. */
static bool learn(const reader *reader, rule *rule) {
    bool was_empty = rule->can_be_empty, reached = rule->reaches_character, at_start = true;
    for (size_t i = 0; i < rule->body.n_items; i++) {
        const element *element = &rule->body.items[i];
        if (ends_alternative(element)) {
            if (at_start) rule->can_be_empty = true;
            at_start = true;
            continue;
        }
        if (!at_start) continue;
        if (element->kind == ELEMENT_CHARACTER || reader->rules[element->rule].reaches_character)
            rule->reaches_character = true;
        at_start = can_be_empty(reader, element);
    }
    return rule->can_be_empty != was_empty || rule->reaches_character != reached;
}

/* Forwards and backwards in turn, so that chains of rules are learned in one go in whichever order they are written. */
static void learn_all(reader *reader) {
    for (bool is_new = true; is_new;) {
        is_new = false;
        for (uint32_t r = 0; r < reader->n_rules; r++) is_new |= learn(reader, &reader->rules[r]);
        for (uint32_t r = reader->n_rules; is_new && r-- > 0;) learn(reader, &reader->rules[r]);
    }
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

/* Ways from each position of a rule to its first characters, the rules on them counted. Ways inside the rule's own
 * component are counted once: the library follows none twice. Returns those of the rule itself. */
static uint64_t count_ways(const reader *reader, const rule *rule, uint64_t *n_most) {
    uint64_t n_behind = 1, n_all = 1;
    for (size_t i = rule->body.n_items; i-- > 0;) {
        const element *element = &rule->body.items[i];
        if (ends_alternative(element)) {
            if (i + 1 < rule->body.n_items) n_all += n_behind;
            n_behind = 1;
            continue;
        }
        uint64_t n_own = 1;
        if (element->kind == ELEMENT_RULE && reader->rules[element->rule].component != rule->component)
            n_own = reader->rules[element->rule].n_ways;
        n_behind = n_own + (can_be_empty(reader, element) ? n_behind : 0);
        if (n_behind > MAX_WAYS) n_behind = MAX_WAYS + 1;
        if (n_behind > *n_most) *n_most = n_behind;
    }
    n_all += n_behind;
    if (n_all > *n_most) *n_most = n_all;
    return n_all < MAX_WAYS ? n_all : MAX_WAYS;
}

/* All rules of the component are open and lie on top of the stack. */
static bool close_component(reader *reader, uint32_t first) {
    uint32_t component = ++reader->n_components, n_open = reader->n_open;
    while (reader->open_rules[--n_open] != first) continue;
    for (uint32_t i = n_open; i < reader->n_open; i++) reader->rules[reader->open_rules[i]].component = component;
    for (uint32_t i = n_open; i < reader->n_open; i++) {
        rule *rule = &reader->rules[reader->open_rules[i]];
        uint64_t n_most = 0;
        rule->is_open = false;
        rule->n_ways = count_ways(reader, rule, &n_most);
        reader->n_ways += rule->n_ways;
        if (n_most > MAX_WAYS || reader->n_ways > MAX_WAYS_OF_ALL)
            return refuse(reader, "leaves too many ways to go on at one place");
    }
    reader->n_open = n_open;
    return true;
}

/* Follows what can stand at the beginning of a rule. */
static bool visit(reader *reader, uint32_t number, int depth) {
    rule *rule = &reader->rules[number];
    if (depth > MAX_LEFT_DEPTH) return refuse(reader, "has more than %d rules that begin with each other", MAX_LEFT_DEPTH);
    rule->order = rule->low = ++reader->n_visited;
    rule->is_open = true;
    reader->open_rules[reader->n_open++] = number;
    bool at_start = true;
    for (size_t i = 0; i < rule->body.n_items; i++) {
        const element *element = &rule->body.items[i];
        if (ends_alternative(element)) {
            at_start = true;
            continue;
        }
        if (at_start && element->kind == ELEMENT_RULE) {
            const struct rule *next = &reader->rules[element->rule];
            if (next->order == 0 && !visit(reader, element->rule, depth + 1)) return false;
            if (next->is_open && next->low < rule->low) rule->low = next->low;
        }
        at_start = at_start && can_be_empty(reader, element);
    }
    return rule->low != rule->order || close_component(reader, number);
}

/* A rule that can come back to itself must have nothing behind the place where it does. */
static bool check_left_recursion(reader *reader) {
    for (uint32_t r = 0; r < reader->n_rules; r++) {
        const rule *rule = &reader->rules[r];
        bool at_start = true;
        for (size_t i = 0; i < rule->body.n_items; i++) {
            const element *element = &rule->body.items[i];
            if (ends_alternative(element)) {
                at_start = true;
                continue;
            }
            if (at_start && element->kind == ELEMENT_RULE && !ends_alternative(element + 1) &&
                reader->rules[element->rule].component == rule->component)
                return refuse_rule(reader, rule, "can begin with itself");
            at_start = at_start && can_be_empty(reader, element);
        }
    }
    return true;
}

static bool judge(reader *reader) {
    learn_all(reader);
    if (!check_alive(reader)) return false;
    reader->open_rules = take_memory(reader, reader->n_rules * sizeof *reader->open_rules);
    if (!reader->open_rules) return false;
    for (uint32_t r = 0; r < reader->n_rules; r++)
        if (reader->rules[r].order == 0 && !visit(reader, r, 0)) return false;
    return check_left_recursion(reader);
}

bool grammar_check(const char *grammar, char *message, size_t message_size) {
    reader reader = {.text = grammar, .message = message, .message_size = message_size};
    if (!utf8_is_valid(grammar, strlen(grammar))) return refuse(&reader, "is not valid UTF-8");
    reader.at = grammar;
    bool is_good = read_grammar(&reader) && judge(&reader);
    while (reader.chunks) {
        chunk *next = reader.chunks->next;
        free(reader.chunks);
        reader.chunks = next;
    }
    return is_good;
}
