/* grammar_rules.c - see grammar_rules.h.
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
 * Reading and judging count their work: names that share a bucket and rules in an unlucky order cost squares.
 */
#include "grammar_rules.h"

#include "../text/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NESTING 100          /* parentheses */
#define MAX_ELEMENTS 200000      /* of all rules, repetitions written out */
#define MAX_REPETITIONS 2000     /* at least; at most, there may be as many more as MAX_ELEMENTS allows */
#define MAX_LEFT_DEPTH 2500      /* rules that begin with rules that begin with rules ... */
#define MAX_READING_WORK 50000000
#define NO_MAXIMUM UINT64_MAX
#define CHUNK_BYTES 65536
#define N_BUCKETS 1024

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
    uint32_t *borders; /* where ranges begin, and behind their ends */
    size_t n_borders;
    size_t n_borders_room;
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
    uint32_t *borders = make_space(reader, reader->borders, reader->n_borders, 2, &reader->n_borders_room, sizeof *borders);
    if (!borders) return false;
    borders[reader->n_borders++] = low;
    borders[reader->n_borders++] = high == UINT32_MAX ? UINT32_MAX : high + 1;
    reader->borders = borders;
    return true;
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

/* The next character; the grammar is valid UTF-8. */
static uint32_t read_utf8(const char **at) {
    unsigned char first = (unsigned char)*(*at)++;
    if (first < 0x80) return first;
    uint32_t value = first < 0xE0 ? first & 0x1F : first < 0xF0 ? first & 0x0F : first & 0x07;
    while (((unsigned char)**at & 0xC0) == 0x80) value = value << 6 | ((unsigned char)*(*at)++ & 0x3F);
    return value;
}

/* One character of a literal or a class. */
static bool read_character(reader *reader, uint32_t *value) {
    const char *at = reader->at;
    if (*at == 0) return refuse(reader, "it ends inside a literal or a class");
    if (*at != '\\') {
        *value = read_utf8(&reader->at);
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

/* ---- letters ------------------------------------------------------------------------------------------------------- */

static int compare_numbers(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static bool find_letters(reader *reader, grammar_rules *rules) {
    size_t n_letters = 1;
    uint32_t *letters = take_memory(reader, (reader->n_borders + 1) * sizeof *letters);
    if (!letters) return false;
    letters[0] = 0;
    if (reader->n_borders > 0) qsort(reader->borders, reader->n_borders, sizeof *letters, compare_numbers);
    for (size_t i = 0; i < reader->n_borders; i++)
        if (reader->borders[i] != letters[n_letters - 1]) letters[n_letters++] = reader->borders[i];
    rules->letters = letters;
    rules->n_letters = (uint32_t)n_letters;
    for (uint32_t c = 0, letter = 0; c < 128; c++) {
        while (letter + 1 < n_letters && letters[letter + 1] <= c) letter++;
        rules->letter_of_ascii[c] = letter;
    }
    return true;
}

uint32_t grammar_letter(const grammar_rules *rules, uint32_t character) {
    if (character < 128) return rules->letter_of_ascii[character];
    uint32_t low = rules->letter_of_ascii[127], high = rules->n_letters;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (rules->letters[middle] <= character) low = middle;
        else high = middle;
    }
    return low;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static void free_chunks(chunk *chunks) {
    while (chunks) {
        chunk *next = chunks->next;
        free(chunks);
        chunks = next;
    }
}

bool grammar_rules_read(grammar_rules *rules, const char *text, char *message, size_t message_size) {
    reader reader = {.text = text, .message = message, .message_size = message_size};
    if (!utf8_is_valid(text, strlen(text))) return refuse(&reader, "is not valid UTF-8");
    reader.at = text;
    if (!read_grammar(&reader, &rules->root) || !judge(&reader) || !find_letters(&reader, rules)) {
        free_chunks(reader.chunks);
        return false;
    }
    rules->rules = reader.rules;
    rules->chunks = reader.chunks;
    return true;
}

void grammar_rules_free(grammar_rules *rules) {
    free_chunks(rules->chunks);
}
