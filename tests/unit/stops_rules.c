/* stops_rules.c - src/text/stops.h: against a second implementation that looks at the whole text, however the text is
 * cut; what may become a stop string is held back, nothing else. */
#include "../support/harness.h"

#include "text/stops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_SIZE = 512, N_ROUNDS = 40000 };

/* A text being published, as a reader gets it. */
typedef struct published {
    char text[2 * TEXT_SIZE];
    size_t n;
    bool is_found;
} published;

static stops *make(const char *const *strings, size_t n) {
    stops *stops;
    CHECK(stops_new(strings, n, &stops));
    return stops;
}

static bool feed(stops *stops, published *to, const char *text, size_t n) {
    const char *out;
    size_t n_out;
    to->is_found = stops_feed(stops, text, n, &out, &n_out);
    memcpy(to->text + to->n, out, n_out);
    to->n += n_out;
    return to->is_found;
}

static void flush(stops *stops, published *to) {
    const char *out;
    size_t n_out;
    stops_flush(stops, &out, &n_out);
    memcpy(to->text + to->n, out, n_out);
    to->n += n_out;
}

/* ---- The second implementation: looks at all beginnings of the text, shortest first ---- */

static bool ends_with(const char *text, size_t n, const char *end, size_t n_end) {
    return n >= n_end && memcmp(text + n - n_end, end, n_end) == 0;
}

/* Length of the text before the stop string that is complete first; n if there is none. */
static size_t stop_slowly(const char *const *strings, size_t n_strings, const char *text, size_t n, bool *is_found) {
    for (size_t end = 1; end <= n; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n_strings; i++)
            if (ends_with(text, end, strings[i], strlen(strings[i])) && strlen(strings[i]) > longest)
                longest = strlen(strings[i]);
        if (longest > 0) {
            *is_found = true;
            return end - longest;
        }
    }
    *is_found = false;
    return n;
}

static size_t held_slowly(const char *const *strings, size_t n_strings, const char *text, size_t n) {
    size_t longest = 0;
    for (size_t i = 0; i < n_strings; i++)
        for (size_t k = 1; k < strlen(strings[i]); k++)
            if (ends_with(text, n, strings[i], k) && k > longest) longest = k;
    return longest;
}

/* ---- The rounds ---- */

static size_t random_text(char *text, uint64_t *random, uint32_t n_characters) {
    /* Few and alike, so that texts are full of beginnings of stop strings. */
    static const char *const characters[] = {"a", "b", "a", "é", "\xc3\xa8", "🚀"};
    size_t n = 0;
    for (uint32_t i = 0; i < n_characters; i++) {
        const char *character = characters[test_random(random, 6)];
        memcpy(text + n, character, strlen(character));
        n += strlen(character);
    }
    text[n] = 0;
    return n;
}

/* The end of a random piece: between two characters. */
static size_t random_cut(const char *text, size_t at, size_t n, uint64_t *random) {
    size_t end = at + test_random(random, 7);
    if (end > n) end = n;
    while (end < n && ((unsigned char)text[end] & 0xc0) == 0x80) end++;
    return end;
}

static void check_round(uint64_t *random) {
    char strings[STOPS_MAX][64], text[TEXT_SIZE];
    const char *list[STOPS_MAX];
    uint32_t n_strings = 1 + test_random(random, STOPS_MAX);
    for (uint32_t i = 0; i < n_strings; i++) {
        random_text(strings[i], random, 2 + test_random(random, 6));
        list[i] = strings[i];
    }
    size_t n = random_text(text, random, test_random(random, 60));
    bool is_found;
    size_t n_expected = stop_slowly(list, n_strings, text, n, &is_found);

    stops *stops = make(list, n_strings);
    published all = {.n = 0};
    size_t at = 0;
    while (at < n && !all.is_found) {
        size_t end = random_cut(text, at, n, random);
        feed(stops, &all, text + at, end - at);
        at = end;
        CHECK(test_is_utf8(all.text, all.n));
        if (!all.is_found)
            CHECK_INT(at - all.n, ==, held_slowly(list, n_strings, text, at));
    }
    CHECK_SAY(all.is_found == is_found, "in '%s': found %d, expected %d", text, all.is_found, is_found);
    if (is_found && test_random(random, 2) == 0)
        CHECK(feed(stops, &all, "more", 4));
    flush(stops, &all);
    CHECK_SAY(all.n == n_expected && memcmp(all.text, text, all.n) == 0, "'%s' became '%.*s'", text,
              (int)all.n, all.text);

    /* After a flush it is as new. */
    published again = {.n = 0};
    feed(stops, &again, text, n);
    flush(stops, &again);
    CHECK_INT(again.n, ==, n_expected);
    stops_free(stops);
}

static void check_examples(void) {
    published all = {.n = 0};
    stops *stops = make((const char *const[]){"\nUser:", "</s>"}, 2);
    CHECK(!feed(stops, &all, "Hello <", 7));
    CHECK_INT(all.n, ==, 6);
    CHECK(!feed(stops, &all, "b>\nUse", 6));
    CHECK_INT(all.n, ==, 9);
    CHECK(feed(stops, &all, "r: x", 4));
    CHECK_INT(all.n, ==, 9);
    CHECK(memcmp(all.text, "Hello <b>", 9) == 0);
    stops_free(stops);

    /* The first to be complete wins, also against a longer one that began earlier. */
    all.n = 0;
    stops = make((const char *const[]){"abcd", "bc"}, 2);
    CHECK(feed(stops, &all, "xabcd", 5));
    CHECK_INT(all.n, ==, 2);
    stops_free(stops);
}

static void check_limits(void) {
    char longest[STOPS_MAX_BYTES + 2];
    const char *many[STOPS_MAX + 1];
    stops *stops;
    memset(longest, 'x', sizeof longest);
    longest[STOPS_MAX_BYTES] = 0;
    for (size_t i = 0; i <= STOPS_MAX; i++) many[i] = longest;
    CHECK(!stops_new(many, STOPS_MAX + 1, &stops) && stops == NULL);
    stops = make(many, STOPS_MAX);
    published all = {.n = 0};
    CHECK(!feed(stops, &all, "y", 1));
    for (int i = 1; i < STOPS_MAX_BYTES; i++) CHECK(!feed(stops, &all, "x", 1));
    CHECK_INT(all.n, ==, 1);
    CHECK(feed(stops, &all, "x", 1));
    CHECK_INT(all.n, ==, 1);
    stops_free(stops);
    longest[STOPS_MAX_BYTES] = 'x';
    longest[STOPS_MAX_BYTES + 1] = 0;
    CHECK(!stops_new(many, 1, &stops) && stops == NULL);
}

/* No stop strings: the very bytes that went in. */
static void check_none(void) {
    static const char text[] = "anything";
    const char *out;
    size_t n_out;
    stops *stops = make((const char *const[]){"", ""}, 2);
    CHECK(stops == NULL);
    CHECK(make(NULL, 0) == NULL);
    CHECK(!stops_feed(NULL, text, 8, &out, &n_out));
    CHECK(out == text && n_out == 8);
    stops_flush(NULL, &out, &n_out);
    CHECK_INT(n_out, ==, 0);
    stops_free(NULL);
}

int main(void) {
    uint64_t random = 1;
    test_begin("stops_rules", 60);
    test_step("examples, limits, and no stop strings");
    check_examples();
    check_limits();
    check_none();
    test_step("random texts, cut at random");
    for (int i = 0; i < N_ROUNDS; i++) check_round(&random);
    return test_end();
}
