/* utf8_rules.c - src/text/utf8.h: against a second implementation over all short byte sequences that matter, and the
 * promises of the header at every cut of real text. */
#include "../support/harness.h"

#include "text/utf8.h"

#include <stdio.h>
#include <string.h>

static const char sample[] = "aé→🚀z ñ\xf0\x90\x80\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf ende";

static void check_at_every_cut(void) {
    size_t n = sizeof sample - 1;
    CHECK(utf8_is_valid(sample, n));
    for (size_t cut = 0; cut <= n; cut++) {
        size_t whole = utf8_whole_prefix(sample, cut);
        CHECK_INT(whole, <=, cut);
        CHECK_INT(cut - whole, <, 4);
        CHECK_INT(utf8_is_valid(sample, cut), ==, whole == cut);
        CHECK_INT(utf8_is_valid(sample, cut), ==, test_is_utf8(sample, cut));
        CHECK(test_is_utf8(sample, whole));
        /* The longest one: the next character does not end within the cut. */
        if (whole < cut) {
            bool incomplete = false;
            CHECK_INT(utf8_character(sample + whole, cut - whole, &incomplete), ==, 0);
            CHECK(incomplete);
        }
        for (size_t limit = 0; limit <= cut + 4; limit++) {
            size_t fit = utf8_fit(sample, cut, limit);
            CHECK_INT(fit, <=, limit);
            CHECK_INT(fit, <=, cut);
            CHECK(test_is_utf8(sample, fit));
            size_t room = limit < cut ? limit : cut;
            CHECK_INT(room - fit, <, 4);
            if (limit >= cut && whole == cut)
                CHECK_INT(fit, ==, cut);
        }
    }
}

/* What the bytes become when each one that belongs to no valid character turns into U+FFFD. */
static size_t repair_slowly(const char *text, size_t n, char *result) {
    size_t length = 0;
    for (size_t at = 0; at < n;) {
        size_t size = 0;
        for (size_t k = 1; k <= 4 && at + k <= n; k++)
            if (test_is_utf8(text + at, k)) {
                size = k;
                break;
            }
        memcpy(result + length, size ? text + at : "\xef\xbf\xbd", size ? size : 3);
        length += size ? size : 3;
        at += size ? size : 1;
    }
    return length;
}

static void check_sequence(const char *text, size_t n) {
    char slow[64], fast[64];
    size_t n_slow = repair_slowly(text, n, slow);
    size_t n_fast = utf8_repair(text, n, fast, sizeof fast);
    bool same = n_slow == n_fast && memcmp(slow, fast, n_slow) == 0;
    CHECK_SAY(same, "repair of %02x %02x %02x %02x (%zu bytes)", (unsigned char)text[0], (unsigned char)text[1],
              (unsigned char)text[2], (unsigned char)text[3], n);
    CHECK(test_is_utf8(fast, n_fast));
    CHECK_SAY(utf8_is_valid(text, n) == test_is_utf8(text, n), "validity of %02x %02x %02x %02x (%zu bytes)",
              (unsigned char)text[0], (unsigned char)text[1], (unsigned char)text[2], (unsigned char)text[3], n);
    size_t whole = utf8_whole_prefix(text, n);
    CHECK_INT(whole, <=, n);
    if (test_is_utf8(text, n))
        CHECK_INT(whole, ==, n);
    /* A rest that is held back can become a character with more bytes behind it. */
    if (whole < n) {
        bool can = false;
        char longer[8];
        size_t rest = n - whole;
        memcpy(longer, text + whole, rest);
        for (unsigned second = 0x80; second < 0xc0 && !can; second++) {
            memset(longer + rest, 0x80, 3);
            longer[rest] = (char)second;
            for (size_t size = rest + 1; size <= 4 && !can; size++)
                can = test_is_utf8(longer, size);
        }
        CHECK_SAY(can, "%02x %02x %02x %02x: %zu of %zu bytes are held back for nothing", (unsigned char)text[0],
                  (unsigned char)text[1], (unsigned char)text[2], (unsigned char)text[3], rest, n);
    }
    for (size_t limit = 0; limit <= n + 1; limit++)
        CHECK_INT(utf8_fit(text, n, limit), <=, limit < n ? limit : n);
}

int main(void) {
    test_begin("utf8_rules", 60);
    check_at_every_cut();

    test_step("every sequence of bytes at the borders of the rules");
    static const unsigned char borders[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2,
                                            0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5,
                                            0xf8, 0xff};
    size_t n_borders = sizeof borders;
    for (size_t a = 0; a < n_borders; a++)
        for (size_t b = 0; b < n_borders; b++)
            for (size_t c = 0; c < n_borders; c++)
                for (size_t d = 0; d < n_borders; d++) {
                    char text[4] = {(char)borders[a], (char)borders[b], (char)borders[c], (char)borders[d]};
                    check_sequence(text, 4);
                    if (d == 0)
                        check_sequence(text, 3);
                    if (c == 0 && d == 0)
                        check_sequence(text, 2);
                }

    test_step("repair into too little room");
    char room[16];
    for (size_t size = 0; size <= 12; size++) {
        memset(room, 'x', sizeof room);
        size_t n = utf8_repair("a\xff→🚀\xc3", 10, room, size);
        CHECK_INT(n, <=, size);
        CHECK(test_is_utf8(room, n));
        for (size_t i = size; i < sizeof room; i++)
            CHECK_INT(room[i], ==, 'x');
    }

    test_step("the header's examples, and nothing at all");
    CHECK_INT(utf8_whole_prefix("a\xc3\xa9", 2), ==, 1);
    CHECK_INT(utf8_whole_prefix("a\xc3\xa9", 3), ==, 3);
    CHECK_INT(utf8_whole_prefix("", 0), ==, 0);
    CHECK_INT(utf8_fit("", 0, 10), ==, 0);
    CHECK(utf8_is_valid("", 0));
    CHECK_INT(utf8_repair("", 0, room, sizeof room), ==, 0);
    return test_end();
}
