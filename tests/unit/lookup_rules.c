/* lookup_rules.c - src/engine/llama/lookup.h: what followed before is drafted to follow again. */
#include "../support/harness.h"

#include "engine/llama/lookup.h"

#include <string.h>

enum { SIZE = 64 };

/* Each letter is a token. */
static void check_guess(const char *text, int32_t n_wanted, const char *expected) {
    int32_t letters[SIZE], guesses[SIZE];
    char guessed[SIZE] = "";
    int32_t n_text = (int32_t)strlen(text);
    for (int32_t i = 0; i < n_text; i++) letters[i] = text[i];
    int32_t n = lookup_draft(letters, n_text, guesses, n_wanted);
    for (int32_t i = 0; i < n; i++) guessed[i] = (char)guesses[i];
    CHECK_TEXT(guessed, expected);
}

int main(void) {
    test_begin("lookup_rules", 10);
    test_step("what followed before");
    check_guess("the cat sat. the c", 4, "at s");
    check_guess("the cat sat. the c", 1, "a");
    check_guess("the cat sat. the c", 0, "");
    test_step("nothing stood before, or too little");
    check_guess("abcdefgh", 4, "");
    check_guess("abca", 4, "");
    check_guess("", 4, "");
    check_guess("a", 4, "");
    test_step("the longer match before the later one, the later of equal ones");
    check_guess("wxyzA xyzB wxyz", 1, "A");
    check_guess("yzA,yzB;yz", 1, "B");
    test_step("a text that repeats itself at its end goes on");
    check_guess("ababab", 5, "ababa");
    check_guess("aaaa", 6, "aaaaaa");
    test_step("how many are worth while");
    CHECK_INT(lookup_next(0, 0, 16), ==, 2);
    CHECK_INT(lookup_next(2, 2, 16), ==, 4);
    CHECK_INT(lookup_next(8, 8, 16), ==, 16);
    CHECK_INT(lookup_next(16, 16, 16), ==, 16);
    CHECK_INT(lookup_next(16, 3, 16), ==, 4);
    CHECK_INT(lookup_next(4, 0, 16), ==, 2);
    CHECK_INT(lookup_next(0, 0, 0), ==, 0);
    return test_end();
}
