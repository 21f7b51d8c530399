/* fuzz_grammar.c - src/engine/grammar.h over arbitrary grammars and texts: a grammar up to the first zero byte, behind
 * it pieces of text, each with its length in front (a byte; what is missing is missing). Whatever is asked costs little;
 * the same bytes get the same answer whole and one by one; a refusal says why. */
#include "fuzz.h"

#include "engine/grammar.h"
#include "text/utf8.h"

#include <string.h>
#include <time.h>

/* A call's limits amount to some tenths of a second; a sanitizer and a loaded machine come on top. An input may be made
 * of many such calls: what is left of it then is not followed. */
enum { CALL_MS = 8000, INPUT_MS = 2000 };

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void must_be_quick(double began_ms) {
    MUST(now_ms() - began_ms < CALL_MS);
}

/* Whether a grammar that stands at the same place takes the piece byte by byte. */
static bool takes_bytes(grammar *grammar, const char *piece, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!grammar_fits(grammar, piece + i, 1)) return false;
        grammar_accept(grammar, piece + i, 1);
    }
    return true;
}

static bool is_exhausted(const grammar *whole, const grammar *bytes) {
    return grammar_is_exhausted(whole) || grammar_is_exhausted(bytes);
}

/* Both stand at the same place. */
static void follow(grammar *whole, grammar *bytes, const char *piece, size_t n) {
    bool could_end = grammar_can_end(whole);
    double began_ms = now_ms();
    bool fits = grammar_fits(whole, piece, n);
    must_be_quick(began_ms);
    if (grammar_is_exhausted(whole)) MUST(!fits && !grammar_can_end(whole));
    else MUST(grammar_can_end(whole) == could_end);
    if (!fits) return;
    began_ms = now_ms();
    grammar_accept(whole, piece, n);
    must_be_quick(began_ms);
    bool takes = takes_bytes(bytes, piece, n);
    if (is_exhausted(whole, bytes)) return;
    MUST(takes && grammar_can_end(whole) == grammar_can_end(bytes));
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
    grammar *whole = grammar_new(text, message, sizeof message);
    must_be_quick(began_ms);
    grammar *bytes = whole ? grammar_new(text, message, sizeof message) : NULL;
    free(text);
    MUST(memchr(message, 0, sizeof message) && (message[0] == 0) == (whole != NULL));
    MUST(!whole || bytes);
    const char *at = (const char *)data + n_text + 1, *end = (const char *)data + size;
    while (whole && at < end && !is_exhausted(whole, bytes) && now_ms() - began_ms < INPUT_MS) {
        size_t n = (unsigned char)*at++;
        if (n > (size_t)(end - at)) n = (size_t)(end - at);
        follow(whole, bytes, at, n);
        at += n;
    }
    grammar_free(whole);
    grammar_free(bytes);
    return 0;
}
