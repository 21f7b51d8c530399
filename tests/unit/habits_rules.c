/* habits_rules.c - src/engine/llama/habits.h: what followed before is guessed to follow again. */
#include "../support/harness.h"

#include "engine/llama/habits.h"

#include <string.h>

enum { SIZE = 64 };

static habits *known;

/* Each letter is a token. */
static int32_t letters(const char *text, int32_t into[SIZE]) {
    int32_t n = 0;
    for (; text[n]; n++) into[n] = text[n];
    return n;
}

static void learn(const char *text) {
    int32_t all[SIZE], n = letters(text, all);
    for (int32_t i = 0; i < n; i++) habits_learn(known, all, i, all[i]);
}

static int32_t guess(const char *text) {
    int32_t all[SIZE], n = letters(text, all);
    return habits_guess(known, all, n);
}

static void begin(void) {
    habits_free(known);
    known = habits_new();
    CHECK(known != NULL);
}

int main(void) {
    test_begin("habits_rules", 20);
    test_step("nothing is known");
    begin();
    CHECK_INT(guess(""), ==, HABITS_NOTHING);
    CHECK_INT(guess("abc"), ==, HABITS_NOTHING);
    test_step("what followed one, two and three tokens; the more the better");
    learn("abcdx");
    CHECK_INT(guess("d"), ==, 'x');
    CHECK_INT(guess("zcd"), ==, 'x');
    learn("rstdy");
    CHECK_INT(guess("bcd"), ==, 'x');
    CHECK_INT(guess("std"), ==, 'y');
    CHECK_INT(guess("y"), ==, HABITS_NOTHING);
    test_step("a habit that fails as often as it was right is given up");
    begin();
    for (int i = 0; i < 3; i++) learn("ab");
    for (int i = 0; i < 2; i++) learn("ac");
    CHECK_INT(guess("a"), ==, 'b');
    learn("ac");
    CHECK_INT(guess("a"), ==, 'c');
    test_step("and one of long standing after a few failures, too");
    for (int i = 0; i < 1000; i++) learn("ac");
    for (int i = 0; i < 4; i++) learn("ad");
    CHECK_INT(guess("a"), ==, 'd');
    test_step("any number is a token");
    const int32_t odd[] = {0, INT32_MAX, -1};
    habits_learn(known, odd, 3, 7);
    CHECK_INT(habits_guess(known, odd, 3), ==, 7);
    test_step("far more than there is room for");
    for (int32_t i = 0; i < 200000; i++) habits_learn(known, (const int32_t[]){i, i + 1, i + 2}, 3, i + 3);
    int n_known = 0;
    for (int32_t i = 0; i < 200000; i++) {
        int32_t next = habits_guess(known, (const int32_t[]){i, i + 1, i + 2}, 3);
        CHECK(next == i + 3 || next == HABITS_NOTHING);
        n_known += next == i + 3;
    }
    CHECK_INT(n_known, >, 1000);
    habits_free(known);
    return test_end();
}
