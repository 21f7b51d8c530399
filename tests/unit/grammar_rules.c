/* grammar_rules.c - src/engine/grammar.h: every construct and every refusal with its sentence; random grammars against
 * a second implementation, however the text is cut; hostile grammars cost little time and memory. */
#include "../support/harness.h"

#include "engine/grammar.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>

/* Of processor time, for some 400 questions about one place: 1 to 7 s, as fast as the machine's memory is. What is not given
 * up doubles with each character. */
enum { HOSTILE_MS = 25000 };
enum { N_RANDOM = 3000, TEXT_ROOM = 4 << 20, HOSTILE_KIB = 100 * 1024 };

typedef enum verdict { NO, OPEN, END } verdict; /* does not fit; fits so far; fits and may end here */

static const char *const verdicts[] = {"no", "open", "end"};

static grammar *make(const char *text) {
    char message[256] = "";
    grammar *grammar = grammar_new(text, message, sizeof message);
    CHECK_SAY(grammar, "%.200s: %s", text, message);
    CHECK_TEXT(message, "");
    return grammar;
}

static bool feed(grammar *grammar, const char *bytes, size_t n_bytes) {
    if (!grammar_fits(grammar, bytes, n_bytes)) return false;
    grammar_accept(grammar, bytes, n_bytes);
    return true;
}

/* In pieces of `size` bytes, the first of `first`. */
static verdict judge_cut(const char *rules, const char *text, size_t n, size_t first, size_t size) {
    grammar *grammar = make(rules);
    bool fits = true;
    for (size_t at = 0, n_piece = first; fits && at < n; at += n_piece, n_piece = size) {
        if (n_piece > n - at) n_piece = n - at;
        fits = feed(grammar, text + at, n_piece);
    }
    verdict verdict = !fits ? NO : grammar_can_end(grammar) ? END : OPEN;
    CHECK(!grammar_is_exhausted(grammar));
    grammar_free(grammar);
    return verdict;
}

static void check_bytes(const char *rules, const char *text, size_t n, verdict expected) {
    for (size_t first = 1; first <= n || first == 1; first++)
        for (size_t size = 1; size <= 4; size += 3) {
            verdict got = judge_cut(rules, text, n, first, size);
            CHECK_SAY(got == expected, "'%s' by '%s', cut after %zu and by %zu: %s, expected %s", text, rules, first,
                      size, verdicts[got], verdicts[expected]);
        }
}

static void check_text(const char *rules, const char *text, verdict expected) {
    check_bytes(rules, text, strlen(text), expected);
}

/* ---- What there is in a grammar ---- */

static void check_constructs(void) {
    static const struct { const char *rules, *text; verdict verdict; } cases[] = {
        {"root ::= \"abc\"", "", OPEN},
        {"root ::= \"abc\"", "ab", OPEN},
        {"root ::= \"abc\"", "abc", END},
        {"root ::= \"abc\"", "abcd", NO},
        {"root ::= \"abc\"", "ac", NO},
        {"root ::= \"\"", "", END},
        {"root ::= \"\"", "a", NO},
        {"root ::= \"a\" \"\" \"b\"", "ab", END},
        {"root ::= \"\\t\\r\\n\\\\\\\"\\[\\]\\-\"", "\t\r\n\\\"[]-", END},
        {"root ::= \"\\x41\\u20aC\\U0001F680\\xe9\"", "A€🚀é", END},
        {"root ::= \"a\nb\"", "a\nb", END},
        {"root ::= [a-cx]+", "abcx", END},
        {"root ::= [a-cx]+", "d", NO},
        {"root ::= [-a]+", "-a-", END},
        {"root ::= [a-]+", "-a-", END},
        {"root ::= [\\]\\[^]+", "[]^", END},
        {"root ::= [^a-c]", "d", END},
        {"root ::= [^a-c]", "b", NO},
        {"root ::= [^a-c]", "é", END},
        {"root ::= [é-ü→]+", "éöü→", END},
        {"root ::= [é-ü→]+", "ý", NO},
        {"root ::= [c-a] | \"x\"", "b", NO},
        {"root ::= [] \"x\" [^]", "x", END},
        {"root ::= . .", "a🚀", END},
        {"root ::= .", "\n", END},
        {"root ::= \"a\"?", "", END},
        {"root ::= \"a\"?", "aa", NO},
        {"root ::= \"a\"*", "aaaa", END},
        {"root ::= \"a\"+", "", OPEN},
        {"root ::= \"a\"+", "aaaa", END},
        {"root ::= \"ab\"+", "aba", OPEN},
        {"root ::= \"x\" \"ab\"+", "xabx", NO},
        {"root ::= \"a\"{2}", "a", OPEN},
        {"root ::= \"a\"{2}", "aa", END},
        {"root ::= \"a\"{2}", "aaa", NO},
        {"root ::= \"a\"{ 1 , 3 }", "", OPEN},
        {"root ::= \"a\"{1,3}", "aaa", END},
        {"root ::= \"a\"{1,3}", "aaaa", NO},
        {"root ::= \"a\"{2,}", "a", OPEN},
        {"root ::= \"a\"{2,}", "aaaaa", END},
        {"root ::= \"b\" \"a\"{0}", "b", END},
        {"root ::= \"b\" \"a\"{0}", "ba", NO},
        {"root ::= \"b\" \"a\"{0,0}", "ba", NO},
        {"root ::= (\"a\" | \"b\"){2} \"c\"?", "bac", END},
        {"root ::= \"a\"?{2}", "aa", END},
        {"root ::= \"a\"?{2}", "aaa", NO},
        {"root ::= (\n \"a\"\n | # or\n \"b\"\n)", "b", END},
        {"root ::= \"a\" |\n\n \"c\"", "c", END},
        {"root ::= \"a\" | ", "", END},
        {"root ::= | \"a\"", "", END},
        {"# first\n\n root \t::= # then\n x-1 y2\r\n\r\nx-1::=\"a\"\r\ny2 ::= \"b\" # end", "ab", END},
        {"root ::= x\nx ::= \"a\"\nx ::= \"b\"", "b", END},
        {"root ::= x\nx ::= \"a\"\nx ::= \"b\"", "a", NO},
        {"rooty ::= \"b\"\nroot ::= \"a\"\nroo ::= \"c\"\nroots ::= \"d\"", "a", END},
        {"root ::= \"(\" root \")\" | \"x\"", "((x))", END},
        {"root ::= \"(\" root \")\" | \"x\"", "((x)", OPEN},
        {"root ::= \"(\" root \")\" | \"x\"", "((x)))", NO},
        {"root ::= \"a\" root | \"a\" root \"b\" | \"\"", "aaab", END},
        {"root ::= \"a\" root | \"a\" root \"b\" | \"\"", "abb", NO},
        /* It comes back to itself, with nothing left to do then. */
        {"root ::= root | \"a\"", "a", END},
        {"root ::= (\"a\"? \"b\"?)*", "bbab", END},
        {"root ::= (\"a\"*)* \"b\"", "aab", END},
        {"root ::= x\nx ::= y | \"a\"\ny ::= x | \"b\" x", "bba", END},
        /* The same text in several ways. */
        {"root ::= \"a\"* \"a\" \"a\"*", "aaa", END},
        {"root ::= x \"c\" | \"ab\" \"d\"\nx ::= \"a\" \"b\"", "abd", END},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_text(cases[i].rules, cases[i].text, cases[i].verdict);
}

/* ---- What is refused ---- */

static void check_refused(const char *rules, const char *expected) {
    char message[256] = "";
    grammar *grammar = grammar_new(rules, message, sizeof message);
    CHECK_SAY(!grammar, "accepted: %.200s", rules);
    CHECK_TEXT(message, expected);
}

#define LINE_1 "line 1 of the grammar: "

static void check_refusals(void) {
    static const struct { const char *rules, *message; } cases[] = {
        {"root ::= \"\xff\"", "the grammar is not valid UTF-8"},
        {"root ::= \"\xc3", "the grammar is not valid UTF-8"},
        {"", "the grammar has no rule 'root'"},
        {"# nothing", "the grammar has no rule 'root'"},
        {"x ::= \"a\"", "the grammar has no rule 'root'"},
        {"root ::= \"a\" missing", "the grammar has no rule 'missing'"},
        {"::= \"a\"", LINE_1 "the name of a rule is missing"},
        {"root ::= \"a\"\n | \"b\"", "line 2 of the grammar: the name of a rule is missing"},
        {"root", LINE_1 "'::=' is missing"},
        {"root\n::= \"a\"", LINE_1 "'::=' is missing"},
        {"# 1\r\nroot ::= \"a\"\n\nx := \"b\"", "line 4 of the grammar: '::=' is missing"},
        {"root ::= \"a\" )", LINE_1 "')' is not expected there"},
        {"root ::= \"a\" é", LINE_1 "'é' is not expected there"},
        {"root_x ::= \"a\"", LINE_1 "'::=' is missing"},
        {"root ::= \"a", LINE_1 "it ends inside a literal or a class"},
        {"root ::= [a", LINE_1 "it ends inside a literal or a class"},
        {"root ::= [a-", LINE_1 "it ends inside a literal or a class"},
        {"root ::= [", LINE_1 "it ends inside a literal or a class"},
        {"root ::= [^", LINE_1 "it ends inside a literal or a class"},
        {"root ::= \"\\x4\"", LINE_1 "2 hexadecimal digits are needed after '\\x'"},
        {"root ::= \"\\u20A\"", LINE_1 "4 hexadecimal digits are needed after '\\u'"},
        {"root ::= [\\U0000004g]", LINE_1 "8 hexadecimal digits are needed after '\\U'"},
        {"root ::= \"\\x", LINE_1 "2 hexadecimal digits are needed after '\\x'"},
        {"root ::= \"\\q\"", LINE_1 "an unknown escape after '\\'"},
        {"root ::= \"\\", LINE_1 "an unknown escape after '\\'"},
        {"root ::= \"a\"{}", LINE_1 "a number is needed in a repetition"},
        {"root ::= \"a\"{,3}", LINE_1 "a number is needed in a repetition"},
        {"root ::= \"a\"{", LINE_1 "a number is needed in a repetition"},
        {"root ::= \"a\"{\n1}", LINE_1 "a number is needed in a repetition"},
        {"root ::= \"a\"{1", LINE_1 "'}' is missing behind a repetition"},
        {"root ::= \"a\"{1;2}", LINE_1 "'}' is missing behind a repetition"},
        {"root ::= \"a\"{1,2,3}", LINE_1 "'}' is missing behind a repetition"},
        {"root ::= \"a\"{2001}", LINE_1 "more than 2000 repetitions"},
        {"root ::= \"a\"{99999999999999999999,}", LINE_1 "more than 2000 repetitions"},
        {"root ::= \"a\"{3,1}", LINE_1 "a repetition of at least 3 and at most 1"},
        {"root ::= \"a\"{0,99999999999999999999}", LINE_1 "too large with its repetitions written out"},
        {"root ::= \"a\"{2000}{2000}", LINE_1 "too large with its repetitions written out"},
        {"root ::= *", LINE_1 "a repetition of nothing"},
        {"root ::= \"\"*", LINE_1 "a repetition of nothing"},
        {"root ::= []+", LINE_1 "a repetition of nothing"},
        {"root ::= \"a\" | ?", LINE_1 "a repetition of nothing"},
        {"root ::= \"a\"{0}{2}", LINE_1 "a repetition of nothing"},
        {"root ::= (\"a\"", LINE_1 "')' is missing"},
        {"root ::= <think>", LINE_1 "rules cannot name tokens ('<')"},
        {"root ::= !<think>", LINE_1 "rules cannot name tokens ('!')"},
        {"root ::= \"a\" x\nx ::= x", "the grammar has a rule 'x' that never comes to a character"},
        {"root ::= \"a\" x\nx ::= y x | y\ny ::= x", "the grammar has a rule 'x' that never comes to a character"},
        {"root ::= \"a\" | (x) \nx ::= x", "the grammar has a group or repetition that never comes to a character"},
        {"root ::= root \"a\" | \"b\"", "the grammar has a rule 'root' that can begin with itself"},
        {"root ::= \"a\" | x \"b\"\nx ::= root", "the grammar has a rule 'root' that can begin with itself"},
        {"root ::= \"b\" | x root \"a\"\nx ::= y y\ny ::= \"\" | \"c\"",
         "the grammar has a rule 'root' that can begin with itself"},
        {"root ::= \"b\" | (root \"a\")", "the grammar has a group or repetition that can begin with itself"},
        {"root ::= \"x\" y\ny ::= \"a\"? y \"b\" | \"c\"", "the grammar has a rule 'y' that can begin with itself"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_refused(cases[i].rules, cases[i].message);

    char small[12];
    CHECK(!grammar_new("root", small, sizeof small));
    CHECK_TEXT(small, "line 1 of t");
    grammar_free(NULL);
}

/* ---- A second implementation: sets of places in the text, over trees without recursion ---- */

enum { MAX_NODES = 64, MAX_PARTS = 3, MAX_TEXT = 10, N_CHARACTERS = 4, RULES_ROOM = 8192 };

static const char *const characters[N_CHARACTERS] = {"a", "b", "é", "🚀"};

typedef enum node_kind { EMPTY, CHARACTER, SEQUENCE, CHOICE, REPETITION, N_KINDS } node_kind;

typedef struct node {
    node_kind kind;
    unsigned set; /* of CHARACTER: bit i for characters[i] */
    int n_parts, parts[MAX_PARTS];
    int minimum, maximum; /* of REPETITION; -1: without end */
} node;

typedef struct tree {
    node nodes[MAX_NODES];
    int n_nodes;
    int text[MAX_TEXT]; /* what is read: numbers of characters */
    int n_text;
} tree;

static int grow(tree *tree, uint64_t *random, int depth) {
    int number = tree->n_nodes++;
    node node = {.kind = (node_kind)test_random(random, N_KINDS)};
    if (depth == 0 || tree->n_nodes > MAX_NODES - 16) node.kind = test_random(random, 5) == 0 ? EMPTY : CHARACTER;
    if (node.kind == CHARACTER) node.set = 1 + test_random(random, (1 << N_CHARACTERS) - 1);
    if (node.kind == SEQUENCE || node.kind == CHOICE) node.n_parts = 2 + (int)test_random(random, MAX_PARTS - 1);
    if (node.kind == REPETITION) {
        node.n_parts = 1;
        node.minimum = (int)test_random(random, 3);
        node.maximum = test_random(random, 2) ? -1 : node.minimum + (int)test_random(random, 3);
    }
    for (int i = 0; i < node.n_parts; i++) node.parts[i] = grow(tree, random, depth - 1);
    tree->nodes[number] = node;
    return number;
}

/* Where a node can end that begins at one of the places. */
static unsigned ends(const tree *tree, int number, unsigned from) {
    const node *node = &tree->nodes[number];
    unsigned to = 0;
    switch (node->kind) {
    case CHARACTER:
        for (int i = 0; i < tree->n_text; i++)
            if (from >> i & 1 && node->set >> tree->text[i] & 1) to |= 2u << i;
        return to;
    case SEQUENCE:
        for (int i = 0; i < node->n_parts; i++) from = ends(tree, node->parts[i], from);
        return from;
    case CHOICE:
        for (int i = 0; i < node->n_parts; i++) to |= ends(tree, node->parts[i], from);
        return to;
    case REPETITION:
        for (int i = 0; i < node->minimum; i++) from = ends(tree, node->parts[0], from);
        to = from;
        for (int i = node->minimum; i != node->maximum && i < node->minimum + MAX_TEXT + 1; i++)
            to |= from = ends(tree, node->parts[0], from);
        return to;
    default:
        return from;
    }
}

/* Whether the text can end inside a node that begins at one of the places, or at the end of it. */
static bool can_break_off(const tree *tree, int number, unsigned from) {
    const node *node = &tree->nodes[number];
    unsigned at = from;
    int n_rounds = node->kind != REPETITION ? node->n_parts
                   : node->maximum >= 0     ? node->maximum
                                            : node->minimum + MAX_TEXT + 1;
    if (from >> tree->n_text & 1) return true;
    for (int i = 0; i < n_rounds; i++) {
        int part = node->parts[node->kind == REPETITION ? 0 : i];
        if (can_break_off(tree, part, at)) return true;
        if (node->kind != CHOICE) at = ends(tree, part, at);
    }
    return ends(tree, number, from) >> tree->n_text & 1;
}

__attribute__((format(printf, 2, 3))) static void print(char to[RULES_ROOM], const char *format, ...) {
    size_t n = strlen(to);
    va_list arguments;
    va_start(arguments, format);
    int n_more = vsnprintf(to + n, RULES_ROOM - n, format, arguments);
    va_end(arguments);
    CHECK_INT(n_more, <, RULES_ROOM - n);
}

static void write_set(unsigned set, char *to, uint64_t *random) {
    bool is_inverse = set != (1 << N_CHARACTERS) - 1 && test_random(random, 4) == 0;
    print(to, is_inverse ? "[^" : "[");
    for (int i = 0; i < N_CHARACTERS; i++)
        if ((set >> i & 1) != is_inverse) print(to, "%s", characters[i]);
    print(to, "]");
}

static void write_bounds(const node *node, char *to, uint64_t *random) {
    bool is_short = test_random(random, 2) == 0;
    if (is_short && node->maximum == -1 && node->minimum < 2) print(to, node->minimum == 0 ? "*" : "+");
    else if (is_short && node->maximum == 1 && node->minimum == 0) print(to, "?");
    else if (is_short && node->maximum == node->minimum) print(to, "{%d}", node->minimum);
    else if (node->maximum == -1) print(to, "{%d,}", node->minimum);
    else print(to, "{%d,%d}", node->minimum, node->maximum);
}

/* As a group at the end of `to`, or as the name of a rule, which then follows in `later`. */
static void write_node(const tree *tree, int number, char *to, char *later, uint64_t *random) {
    const node *node = &tree->nodes[number];
    char rule[RULES_ROOM] = "";
    bool is_rule = test_random(random, 4) == 0;
    char *body = is_rule ? rule : to;
    if (is_rule) {
        print(to, "rule-%d", number);
        print(body, "rule-%d ::= ", number);
    }
    print(body, "(");
    if (node->kind == EMPTY) print(body, "\"\"");
    if (node->kind == CHARACTER) write_set(node->set, body, random);
    for (int i = 0; i < node->n_parts; i++) {
        if (i > 0) print(body, node->kind == CHOICE ? " | " : " ");
        write_node(tree, node->parts[i], body, later, random);
    }
    if (node->kind == REPETITION) write_bounds(node, body, random);
    print(body, ")");
    if (is_rule) print(later, "%s\n", rule);
}

/* Random characters would rarely fit: mostly one is taken that does. */
static void choose_text(tree *tree, uint64_t *random) {
    for (tree->n_text = 0; tree->n_text < MAX_TEXT && test_random(random, 8) > 0;) {
        int first = (int)test_random(random, N_CHARACTERS), i = 0;
        tree->n_text++;
        do tree->text[tree->n_text - 1] = (first + i++) % N_CHARACTERS;
        while (i < N_CHARACTERS && !can_break_off(tree, 0, 1));
    }
}

static void check_random(void) {
    uint64_t random = 1;
    int n_verdicts[3] = {0};
    for (int round = 0; round < N_RANDOM; round++) {
        tree tree = {.n_nodes = 0};
        char rules[RULES_ROOM] = "root ::= ", later[RULES_ROOM] = "", text[4 * MAX_TEXT + 1] = "";
        grow(&tree, &random, 4);
        write_node(&tree, 0, rules, later, &random);
        print(rules, "\n%s", later);
        for (int k = 0; k < 4; k++) {
            choose_text(&tree, &random);
            text[0] = 0;
            for (int i = 0; i < tree.n_text; i++) strcat(text, characters[tree.text[i]]);
            bool may_end = ends(&tree, 0, 1) >> tree.n_text & 1;
            verdict expected = may_end ? END : can_break_off(&tree, 0, 1) ? OPEN : NO;
            check_text(rules, text, expected);
            n_verdicts[expected]++;
        }
    }
    test_step("%d texts do not fit, %d may not end, %d may", n_verdicts[NO], n_verdicts[OPEN], n_verdicts[END]);
    for (int v = 0; v < 3; v++) CHECK_INT(n_verdicts[v], >, N_RANDOM / 4);
}

/* ---- All tokens at once ---- */

enum { N_TOKENS = 600 };

typedef struct vocabulary {
    char bytes[N_TOKENS][8];
    size_t n_bytes[N_TOKENS];
    token_tree *tree;
} vocabulary;

static size_t text_of(void *user_data, int32_t token, const char **bytes) {
    const vocabulary *vocabulary = user_data;
    *bytes = vocabulary->bytes[token];
    return vocabulary->n_bytes[token];
}

/* Pieces of text and single bytes; some twice, some empty, some that are no text. */
static void make_vocabulary(vocabulary *vocabulary, const char *const pieces[], size_t n_pieces, uint64_t *random) {
    for (int token = 0; token < N_TOKENS; token++) {
        char *bytes = vocabulary->bytes[token];
        size_t n = 0, n_wanted = test_random(random, 6);
        for (size_t i = 0; i < n_wanted; i++) {
            const char *piece = pieces[test_random(random, (uint32_t)n_pieces)];
            size_t n_piece = strlen(piece);
            if (n + n_piece > sizeof vocabulary->bytes[token]) break;
            memcpy(bytes + n, piece, n_piece);
            n += n_piece;
        }
        size_t first = n > 1 && test_random(random, 4) == 0, last = n > first + 1 && test_random(random, 4) == 0;
        memmove(bytes, bytes + first, n - first);
        vocabulary->n_bytes[token] = n - first - last;
        if (token < 256) {
            bytes[0] = (char)token;
            vocabulary->n_bytes[token] = 1;
        }
    }
    vocabulary->tree = token_tree_new(N_TOKENS, text_of, vocabulary);
    CHECK(vocabulary->tree);
}

/* Follows a grammar by tokens that it allows, and asks about each in both ways. Returns how many tokens were allowed. */
static long check_allowed(const char *rules, const vocabulary *vocabulary, uint64_t *random) {
    enum { N_STEPS = 12 };
    static uint64_t allowed[(N_TOKENS + 63) / 64];
    grammar *grammar = make(rules);
    long n_all = 0;
    for (int step = 0; step < N_STEPS; step++) {
        int n_allowed = 0, taken = -1;
        if (test_random(random, 2)) grammar_fits(grammar, "a", 1); /* what was asked before changes nothing */
        grammar_allowed(grammar, vocabulary->tree, allowed);
        for (int token = 0; token < N_TOKENS; token++) {
            bool is_allowed = allowed[token / 64] >> token % 64 & 1;
            bool fits = grammar_fits(grammar, vocabulary->bytes[token], vocabulary->n_bytes[token]);
            CHECK_SAY(is_allowed == fits, "'%.*s' after %d tokens by '%s': %d of all, %d alone", (int)vocabulary->n_bytes[token],
                      vocabulary->bytes[token], step, rules, is_allowed, fits);
            if (fits && test_random(random, (uint32_t)++n_allowed) == 0) taken = token;
        }
        n_all += n_allowed;
        if (taken < 0) break;
        grammar_accept(grammar, vocabulary->bytes[taken], vocabulary->n_bytes[taken]);
    }
    grammar_free(grammar);
    return n_all;
}

static void check_whole_vocabularies(void) {
    static const char *const pieces[] = {"a", "b", "é", "→", "🚀", "\"", "\\", " ", "ab", "true", "0", "1", "\n", "{", "}", ":"};
    static const char *const grammars[] = {
        "root ::= [a-z]* [^a-z]*", "root ::= .*", "root ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" [nb\"])* \"\\\"\"",
        "root ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" [nb\"]){1,5} \"\\\"\"", "root ::= (\"true\" | [0-9]{1,3} | \"→\"){0,9}",
        "root ::= [^\"]{20} \"a\"", "root ::= \"{\" root \"}\" | [ab]*", "root ::= [é-🚀]+ \"a\"? [^a→]*",
        "root ::= [^ -~]{2} .{3} [^\\n]*"};
    static vocabulary vocabulary;
    uint64_t random = 5;
    long n_allowed = 0;
    for (int round = 0; round < 30; round++) {
        make_vocabulary(&vocabulary, pieces, sizeof pieces / sizeof pieces[0], &random);
        for (size_t g = 0; g < sizeof grammars / sizeof grammars[0]; g++)
            n_allowed += check_allowed(grammars[g], &vocabulary, &random);
        token_tree_free(vocabulary.tree);
    }
    test_step("all tokens at once: %ld were allowed", n_allowed);
    CHECK_INT(n_allowed, >, 100000);
}

/* ---- Bytes ---- */

static void check_fit(const char *rules, const char *before, const char *bytes, bool expected) {
    grammar *grammar = make(rules);
    if (before[0]) CHECK(feed(grammar, before, strlen(before)));
    CHECK_SAY(grammar_fits(grammar, bytes, strlen(bytes)) == expected, "'%s' behind '%s' by '%s': expected %d", bytes,
              before, rules, expected);
    grammar_free(grammar);
}

static void check_characters_in_parts(void) {
    static const struct { const char *rules, *before, *bytes; bool fits; } cases[] = {
        {"root ::= \"→\"", "", "\xe2", true},
        {"root ::= \"→\"", "\xe2", "\x86", true},
        {"root ::= \"→\"", "\xe2", "\x87", false},
        {"root ::= \"→\"", "\xe2\x86", "\x92", true},
        {"root ::= \"→\"", "\xe2\x86", "\x93", false},
        {"root ::= \"→\"", "\xe2", "a", false},
        {"root ::= \"→\"", "\xe2", "\xe2", false},
        {"root ::= \"→x→\"", "\xe2\x86", "\x92x\xe2", true},
        {"root ::= \"a\"", "", "\xc3", false},
        {"root ::= \"a\"", "", "\xe0", false}, /* would be an overlong form */
        {"root ::= \"a\"", "", "\xf0", false},
        {"root ::= [é-ü]", "", "\xc3", true},
        {"root ::= [é-ü]", "", "\xc4", false},
        {"root ::= [^é-ü]", "", "\xc3", true},
        {"root ::= [^\\xc0-\\xff]", "", "\xc3", false},
        {"root ::= [^\\xc0-\\xff]", "", "\xc4", true},
        {"root ::= .", "", "\xff", false},
        {"root ::= .", "", "\x80", false},
        {"root ::= .", "", "\xc0", false},
        {"root ::= .", "", "\xc1\xbf", false},
        {"root ::= .", "\xe0", "\x9f", false},
        {"root ::= .", "\xe0", "\xa0", true},
        {"root ::= .", "\xed", "\x9f", true},
        {"root ::= .", "\xed", "\xa0", false}, /* surrogates */
        {"root ::= .", "\xf0", "\x8f", false},
        {"root ::= .", "\xf0", "\x90", true},
        {"root ::= .", "\xf4", "\x8f", true},
        {"root ::= .", "\xf4", "\x90", false}, /* behind U+10FFFF */
        {"root ::= .", "", "\xf5", false},
        {"root ::= .", "", "\xe2\x61\x62", false},
        {"root ::= .", "", "\xe0\x80\x80", false},
        {"root ::= .", "", "\xed\xa0\x80", false},
        {"root ::= .", "", "\xf4\x90\x80\x80", false},
        {"root ::= .", "", "\xf4\x8f\xbf\xbf", true},
        {"root ::= [\\U00110000-\\U0013FFFF]", "", "\xf4", false},
        {"root ::= \"a\" .", "a", "\xf0\x9f\x9a", true},
        {"root ::= \"a\" .", "a\xf0\x9f\x9a", "\x80", true},
        {"root ::= \"a\" .", "a\xf0\x9f\x9a", "\x80z", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_fit(cases[i].rules, cases[i].before, cases[i].bytes, cases[i].fits);

    check_bytes("root ::= \"→\"?", "\xe2\x86", 2, OPEN);

    /* A zero byte would end the text for its readers. */
    check_bytes("root ::= .* [^a]* \"\\x00\"?", "a\0b", 3, NO);
    check_bytes("root ::= \"\\x00\"", "", 1, NO);
}

static void check_asking(void) {
    grammar *grammar = make("root ::= \"a\" (\"é\" | \"bc\") \"a\"?");
    CHECK(!grammar_fits(grammar, "", 0));
    /* Asking changes nothing, and an answer is about this place only. */
    for (int i = 0; i < 3; i++) {
        CHECK(grammar_fits(grammar, "abca", 4));
        CHECK(!grammar_fits(grammar, "b", 1) && !grammar_fits(grammar, "\xc3", 1));
        CHECK(!grammar_fits(grammar, "abb", 3) && grammar_fits(grammar, "a", 1));
        CHECK(!grammar_can_end(grammar));
    }
    /* What does not fit is not taken. */
    grammar_accept(grammar, "b", 1);
    CHECK(feed(grammar, "a", 1));
    CHECK(!grammar_fits(grammar, "a", 1) && grammar_fits(grammar, "bc", 2) && grammar_fits(grammar, "\xc3", 1));
    CHECK(feed(grammar, "\xc3", 1));
    CHECK(!grammar_fits(grammar, "bc", 2) && !grammar_fits(grammar, "\xc3", 1) && !grammar_can_end(grammar));
    CHECK(feed(grammar, "\xa9", 1));
    CHECK(grammar_can_end(grammar) && feed(grammar, "a", 1) && grammar_can_end(grammar));
    for (int byte = 0; byte < 256; byte++) CHECK(!grammar_fits(grammar, &(char){(char)byte}, 1));
    CHECK(!grammar_is_exhausted(grammar));
    grammar_free(grammar);

    /* A grammar that nothing goes on with, and that is not complete. */
    grammar = make("root ::= \"a\" [\\U00FFFFFF]");
    CHECK(feed(grammar, "a", 1) && !grammar_can_end(grammar));
    for (int byte = 0; byte < 256; byte++) CHECK(!grammar_fits(grammar, &(char){(char)byte}, 1));
    grammar_free(grammar);
}

/* ---- Limits ---- */

static char *large; /* TEXT_ROOM */
static size_t n_large;

__attribute__((format(printf, 1, 2))) static void write_large(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    n_large += (size_t)vsnprintf(large + n_large, TEXT_ROOM - n_large, format, arguments);
    va_end(arguments);
    CHECK_INT(n_large, <, TEXT_ROOM);
}

static void begin_large(const char *text) {
    n_large = 0;
    write_large("%s", text);
}

static void write_times(int n, const char *text) {
    while (n-- > 0) write_large("%s", text);
}

static void check_limits(void) {
    for (int n = 100; n <= 101; n++) {
        begin_large("root ::= ");
        write_times(n, "(");
        write_large("\"a\"");
        write_times(n, ")");
        if (n == 100) check_text(large, "a", END);
        else check_refused(large, LINE_1 "more than 100 nested parentheses");
    }
    begin_large("root ::= ");
    write_times(1 << 20, "(");
    check_refused(large, LINE_1 "more than 100 nested parentheses");

    begin_large("root ::= ");
    write_times(200, "(\"a\")?"); /* beside each other there may be more */
    check_text(large, "aa", END);

    check_text("root ::= \"a\"{2000} \"b\"", "a", OPEN);
    check_text("root ::= \"a\"{2,5000}", "a", OPEN);
    grammar *grammar = make("root ::= \"a\"{2,5000}"); /* more than there may be at least: still exactly as many */
    begin_large("");
    write_times(5001, "a");
    CHECK(grammar_fits(grammar, large, 5000) && !grammar_fits(grammar, large, 5001));
    grammar_free(grammar);

    for (int n = 2500; n <= 2501; n++) {
        begin_large("root ::= r1\n");
        for (int i = 1; i < n; i++) write_large("r%d ::= r%d\n", i, i + 1);
        write_large("r%d ::= \"a\"", n);
        if (n == 2500) check_text(large, "a", END);
        else check_refused(large, "the grammar has more than 2500 rules that begin with each other");
    }
    begin_large("root ::= ");
    write_times(70000, "\"ab\" ");
    check_refused(large, LINE_1 "too large with its repetitions written out");
    begin_large("root ::= [");
    write_times(200001, "a");
    write_large("]");
    check_refused(large, LINE_1 "too large");

    /* As deep as memory is set aside for, in one piece. */
    enum { DEEP = 100000 };
    grammar = make("root ::= \"[\" root \"]\" | \"x\"");
    begin_large("");
    write_times(DEEP, "[");
    CHECK(feed(grammar, large, DEEP) && feed(grammar, "x", 1));
    memset(large, ']', DEEP);
    CHECK(feed(grammar, large, DEEP - 1) && !grammar_can_end(grammar));
    CHECK(feed(grammar, "]", 1) && grammar_can_end(grammar));
    grammar_free(grammar);
    grammar = make("root ::= \"[\" root \"]\" | \"x\" | \"\"");
    memset(large, '[', 2 * DEEP);
    CHECK(grammar_can_end(grammar) && grammar_fits(grammar, "x", 1));
    CHECK(!grammar_fits(grammar, large, 2 * DEEP) && grammar_is_exhausted(grammar));
    CHECK(!grammar_fits(grammar, "x", 1) && !grammar_can_end(grammar));
    grammar_accept(grammar, "x", 1);
    CHECK(!grammar_can_end(grammar));
    grammar_free(grammar);
}

/* What is counted is counted anew for each piece: an answer may be as long as it likes. */
static void check_long_answers(void) {
    begin_large("root ::= [");
    write_times(100000, "~");
    write_large("a]*");
    grammar *grammar = make(large);
    for (int i = 0; i < 2000; i++) CHECK(feed(grammar, "a", 1));
    grammar_free(grammar);

    /* Brackets in random order: stacks that have never been seen before, again and again. */
    enum { DEPTH = 20, N_ROUNDS = 40000 };
    grammar = make("root ::= pair*\npair ::= \"a\" pair* \"x\" | \"b\" pair* \"y\"");
    uint64_t random = 1;
    for (int round = 0; round < N_ROUNDS; round++) {
        char open[DEPTH];
        for (int i = 0; i < DEPTH; i++) {
            open[i] = test_random(&random, 2) ? 'a' : 'b';
            CHECK(feed(grammar, &open[i], 1) && !grammar_can_end(grammar));
        }
        for (int i = DEPTH; i-- > 0;) {
            CHECK(!grammar_fits(grammar, open[i] == 'a' ? "y" : "x", 1));
            CHECK(feed(grammar, open[i] == 'a' ? "x" : "y", 1) && grammar_can_end(grammar) == (i == 0));
        }
    }
    grammar_free(grammar);
}

/* ---- Hostile grammars ---- */

static long peak_kib(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

/* Reads the large text; each byte is then asked about, alone and, if it is ASCII, behind "aaaaaaaa", and the lowest that
 * fits is taken; up to 40 times. */
static void check_hostile(const char *what, const char *expected) {
    char message[256] = "";
    double began_ms = process_cpu_ms(getpid()); /* its own time: the machine may be busy */
    long before_kib = peak_kib();
    grammar *grammar = grammar_new(large, message, sizeof message);
    CHECK_TEXT(message, expected);
    double slowest_ms = process_cpu_ms(getpid()) - began_ms;
    for (int i = 0; grammar && i < 40 && !grammar_is_exhausted(grammar); i++) {
        began_ms = process_cpu_ms(getpid());
        int fitting = -1;
        for (int byte = 255; byte > 0; byte--) {
            char bytes[] = {'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', (char)byte};
            if (grammar_fits(grammar, bytes + sizeof bytes - 1, 1)) fitting = byte;
            if (byte < 0x80) grammar_fits(grammar, bytes, sizeof bytes);
        }
        if (fitting > 0) grammar_accept(grammar, &(char){(char)fitting}, 1);
        double used_ms = process_cpu_ms(getpid()) - began_ms;
        if (used_ms > slowest_ms) slowest_ms = used_ms;
        if (fitting < 0) break;
    }
    const char *end = !grammar ? "refused" : grammar_is_exhausted(grammar) ? "given up" : "followed";
    test_step("%s: %s, at most %.0f ms and %ld KiB", what, end, slowest_ms, peak_kib() - before_kib);
    CHECK_SAY(slowest_ms < test_scaled(HOSTILE_MS), "%s: %.0f ms", what, slowest_ms);
    CHECK_SAY(peak_kib() - before_kib < HOSTILE_KIB, "%s: %ld KiB", what, peak_kib() - before_kib);
    grammar_free(grammar);
}

static void write_doubling(int n) {
    write_large("root ::= r0\n");
    for (int i = 0; i < n; i++) write_large("r%d ::= r%d \"a\" | r%d \"b\"\n", i, i + 1, i + 1);
}

static void check_hostiles(void) {
    begin_large("root ::= [a-z ] root root | [a-z ] root [a-y ] | [a-z ]");
    check_hostile("twice as many ways with each character", "");

    begin_large("");
    write_doubling(60);
    write_large("r60 ::= \"c\"");
    check_hostile("2^60 ways", "the grammar can be read in too many ways from its beginning");

    begin_large("");
    write_doubling(14);
    write_large("r14 ::= [");
    write_times(100000, "~");
    write_large("] \"x\"");
    check_hostile("16384 ways, and a class of 100000", "");

    begin_large("root ::= ");
    write_times(3000, "r ");
    write_large("\"a\"\nr ::= ");
    write_times(90000, "|");
    write_large("\"\"");
    check_hostile("nothing in 90001 ways, 3000 times", "the grammar can be read in too many ways from its beginning");

    begin_large("root ::= (");
    write_times(10, "a ");
    write_large(")*\na ::= \"z\"");
    for (int i = 0; i < 3000; i++) write_large(" | a%d", i);
    for (int i = 0; i < 3000; i++) write_large("\na%d ::= [a-c] a? | \"\"", i);
    check_hostile("3000 ways, and 10 of them", "");

    /* Rules in the order in which nothing is learned quickly. */
    enum { N_SHUFFLED = 60000 };
    static uint32_t order[N_SHUFFLED];
    uint64_t random = 1;
    for (uint32_t i = 0; i < N_SHUFFLED; i++) {
        uint32_t other = test_random(&random, i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    begin_large("root ::= r0");
    for (int i = 0; i < N_SHUFFLED; i++) write_large("\nr%u ::= r%u", order[i], order[i] + 1);
    write_large("\nr%d ::= \"a\"", N_SHUFFLED);
    check_hostile("60000 rules in a random order", "the grammar takes too much work to read");

    /* Names that share a place in the table: 33 * 'b' + 'A' is 33 * 'a' + 'b'. */
    begin_large("root ::= \"a\"");
    for (int i = 0; i < 1 << 16; i++) {
        write_large("\n");
        for (int bit = 0; bit < 16; bit++) write_large("%s", i >> bit & 1 ? "bA" : "ab");
        write_large(" ::= \"\"");
    }
    check_hostile("names that share a bucket", "line 10002 of the grammar: takes too much work to read");
}

int main(void) {
    test_begin("grammar_rules", 50);
    large = malloc(TEXT_ROOM);
    CHECK(large);
    test_step("hostile grammars");
    check_hostiles();
    test_step("constructs");
    check_constructs();
    test_step("refusals");
    check_refusals();
    test_step("%d random grammars", N_RANDOM);
    check_random();
    test_step("characters in parts");
    check_whole_vocabularies();
    check_characters_in_parts();
    check_asking();
    test_step("limits");
    check_limits();
    test_step("long answers");
    check_long_answers();
    free(large);
    return test_end();
}
