/* fuzz_grammar.c - src/engine/grammar.h over arbitrary grammars and texts: a grammar up to the first zero byte, behind
 * it pieces of text, each with its length in front (a byte; the last piece may be cut). No call takes long; pieces get
 * the answers that their bytes get; what is taken is text; a refusal says why. */
#include "fuzz.h"

#include "engine/grammar.h"
#include "text/utf8.h"

#include <string.h>
#include <time.h>

/* Of this process' own time: what others do on the machine is not the grammar's fault. A call's limits amount to some
 * tenths of a second; a sanitizer comes on top. An input may be made of many such calls: what is left of it after a
 * while is not followed. */
enum { CALL_MS = 8000, INPUT_MS = 250 };

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void must_be_quick(double began_ms) {
    MUST(now_ms() - began_ms < CALL_MS);
}

/* One grammar twice, at the same place: one is fed pieces, the other their bytes. */
typedef struct pair {
    grammar *whole;
    grammar *bytes;
    char *taken; /* the text so far */
    size_t n_taken;
    double until_ms;
} pair;

/* No more of this input is followed. */
static bool is_over(const pair *pair) {
    return grammar_is_exhausted(pair->whole) || grammar_is_exhausted(pair->bytes) || now_ms() >= pair->until_ms;
}

/* What has not been taken has changed nothing. */
static void refuse(const pair *pair, const char *piece, size_t n) {
    for (size_t i = 1; i < n; i++) {
        bool whole_fits = grammar_fits(pair->whole, piece, i), bytes_fit = grammar_fits(pair->bytes, piece, i);
        if (is_over(pair)) return;
        MUST(whole_fits == bytes_fit);
    }
}

static void take(pair *pair, const char *piece, size_t n) {
    double began_ms = now_ms();
    grammar_accept(pair->whole, piece, n);
    must_be_quick(began_ms);
    for (size_t i = 0; i < n && !is_over(pair); i++) {
        MUST(grammar_fits(pair->bytes, piece + i, 1) || grammar_is_exhausted(pair->bytes));
        grammar_accept(pair->bytes, piece + i, 1);
    }
    if (is_over(pair)) return;
    memcpy(pair->taken + pair->n_taken, piece, n);
    pair->n_taken += n;
    size_t n_whole = utf8_whole_prefix(pair->taken, pair->n_taken);
    bool may_end = grammar_can_end(pair->whole);
    MUST(utf8_is_valid(pair->taken, n_whole) && !memchr(pair->taken, 0, n_whole));
    MUST(!may_end || n_whole == pair->n_taken);
    MUST(may_end == grammar_can_end(pair->bytes));
}

static void follow(pair *pair, const char *piece, size_t n) {
    bool could_end = grammar_can_end(pair->whole);
    double began_ms = now_ms();
    bool fits = grammar_fits(pair->whole, piece, n);
    must_be_quick(began_ms);
    if (grammar_is_exhausted(pair->whole)) {
        MUST(!fits && !grammar_can_end(pair->whole));
        return;
    }
    MUST(grammar_can_end(pair->whole) == could_end);
    if (fits) take(pair, piece, n);
    else refuse(pair, piece, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char message[160];
    size_t n_text = strnlen((const char *)data, size);
    char *text = malloc(n_text + 1);
    MUST(text);
    memcpy(text, data, n_text);
    text[n_text] = 0;

    double began_ms = now_ms();
    memset(message, 0, sizeof message);
    pair pair = {.whole = grammar_new(text, message, sizeof message), .taken = malloc(size + 1),
                 .until_ms = began_ms + INPUT_MS};
    must_be_quick(began_ms);
    MUST(memchr(message, 0, sizeof message) && (message[0] == 0) == (pair.whole != NULL));
    if (pair.whole) pair.bytes = grammar_new(text, message, sizeof message);
    MUST(pair.taken && !pair.whole == !pair.bytes);
    const char *at = (const char *)data + (n_text < size ? n_text + 1 : size), *end = (const char *)data + size;
    while (pair.whole && at < end && !is_over(&pair)) {
        size_t n = (unsigned char)*at++;
        if (n > (size_t)(end - at)) n = (size_t)(end - at);
        follow(&pair, at, n);
        at += n;
    }
    grammar_free(pair.whole);
    grammar_free(pair.bytes);
    free(pair.taken);
    free(text);
    return 0;
}
