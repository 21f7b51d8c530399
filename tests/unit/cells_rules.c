/* cells_rules.c - src/engine/llama/cells.h: where a prompt finds a beginning of itself, and which cells are given up. */
#include "../support/harness.h"

#include "engine/llama/cells.h"

#include <string.h>

enum { N = 3, SIZE = 32 };

static int32_t tokens[N][SIZE];
static cells all[N];

/* Each letter is a token. */
static int32_t letters(const char *text, int32_t into[SIZE]) {
    int32_t n = 0;
    for (; text[n]; n++) into[n] = text[n];
    return n;
}

static void hold(int number, const char *text, uint64_t used, bool is_busy) {
    all[number] = (cells){.tokens = tokens[number], .n = letters(text, tokens[number]), .used = used, .is_busy = is_busy};
}

/* Under this scale of the first adapter. */
static float scale;

static cells wanted(const char *text) {
    static int32_t letter[SIZE];
    cells prompt = {.tokens = letter, .n = letters(text, letter)};
    prompt.scales.of[0] = scale;
    return prompt;
}

static int choose(const char *prompt) {
    const cells cells = wanted(prompt);
    return cells_choose(all, N, &cells);
}

static void check_found(const char *prompt, int number, int32_t n_expected) {
    const cells cells = wanted(prompt);
    int32_t n_found;
    CHECK_INT(cells_find(all, N, &cells, &n_found), ==, number);
    CHECK_INT(n_found, ==, n_expected);
}

int main(void) {
    test_begin("cells_rules", 10);
    test_step("nothing held: the first one");
    for (int s = 0; s < N; s++) hold(s, "", 0, false);
    CHECK_INT(choose("abc"), ==, 0);
    check_found("abc", -1, 0);

    test_step("a conversation that goes on finds its place");
    hold(0, "systemA", 3, false);
    hold(1, "systemB", 1, false);
    hold(2, "other", 2, false);
    CHECK_INT(choose("systemAmore"), ==, 0);
    CHECK_INT(choose("systemBmore"), ==, 1);
    CHECK_INT(choose("othermore"), ==, 2);
    check_found("systemBmore", 1, 7);

    test_step("one that would lose more than half of its cells is left alone for the one used longest ago");
    hold(0, "syslongconversation", 9, false);
    CHECK_INT(choose("sysnew"), ==, 1);
    hold(1, "other", 10, false);
    CHECK_INT(choose("sysnew"), ==, 2);
    check_found("sysnew", 0, 3);

    test_step("half is enough, and more is better");
    hold(0, "abcdef", 1, false);
    hold(1, "abcd", 2, false);
    hold(2, "x", 0, false);
    CHECK_INT(choose("abcz"), ==, 0);
    CHECK_INT(choose("abcdz"), ==, 0);
    CHECK_INT(choose("abz"), ==, 1);
    CHECK_INT(choose("az"), ==, 2);

    test_step("busy ones are looked into and not taken");
    hold(0, "abcdef", 1, true);
    CHECK_INT(choose("abcdefg"), ==, 1);
    check_found("abcdefg", 0, 6);
    hold(1, "abcd", 2, true);
    hold(2, "x", 0, true);
    CHECK_INT(choose("abcdefg"), <, 0);

    test_step("no more than there is");
    check_found("abc", 0, 3);
    CHECK_INT(cells_common(&all[2], &(const cells){.n = 0}), ==, 0);

    test_step("what was evaluated under other scales of adapters is something else");
    hold(0, "abcdef", 3, false);
    hold(1, "abcd", 2, false);
    hold(2, "x", 1, false);
    all[1].scales.of[0] = scale = 0.5f;
    CHECK_INT(choose("abcdefg"), ==, 1);
    check_found("abcdefg", 1, 4);
    scale = 0.25f;
    CHECK_INT(choose("abcdefg"), ==, 2);
    check_found("abcdefg", -1, 0);
    return test_end();
}
