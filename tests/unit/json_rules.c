/* json_rules.c - src/text/json.h: what is JSON and what is not, at every cut; members, elements and strings; and that what
 * is written is read as it was. */
#include "../support/harness.h"

#include "text/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_json(const char *text, size_t *wrong) {
    json_slice value;
    return json_check(text, strlen(text), &value, wrong);
}

static void check_what_is_json(void) {
    static const char *const good[] = {
        "{}", "[]", " { } ", "[[],{}]", "\"\"", "0", "-0", "-1.5e+10", "1E5", "true", "false", "null", "\t\r\n[1 , 2]\n",
        "{\"a\":{\"b\":[1,{\"c\":null}]},\"a\":2}", "\"\\u00e9\\n\\\"\\/\"", "\"é🚀\"", "[\"\\\\\"]",
    };
    static const struct { const char *text; size_t wrong; } bad[] = {
        {"", 0}, {"{", 1}, {"[1,]", 3}, {"{\"a\":1,}", 7}, {"{a:1}", 1}, {"[1 2]", 3}, {"{\"a\" 1}", 5}, {"01", 1},
        {"-", 1}, {"1.", 2}, {"1e", 2}, {"tru", 3}, {"nul1", 3}, {"\"a", 2}, {"\"\\x\"", 2}, {"\"\\u12g4\"", 5},
        {"\"a\nb\"", 2}, {"{} {}", 3}, {"[}", 1}, {"{]", 1}, {"'a'", 0}, {"\"\xC3\"", 1}, {"[\"a\xFF\"]", 3},
        {"+1", 0}, {".5", 0}, {"NaN", 0}, {"//", 0},
    };
    size_t wrong;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) CHECK_SAY(is_json(good[i], &wrong), "%s at %zu", good[i], wrong);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_SAY(!is_json(bad[i].text, &wrong), "%s", bad[i].text);
        CHECK_SAY(wrong == bad[i].wrong, "%s is wrong at %zu, not %zu", bad[i].text, bad[i].wrong, wrong);
    }
    json_slice value;
    CHECK(!json_check("[1\0]", 4, &value, NULL));
}

/* In memory of exactly its length, so that a sanitizer sees a byte too many. */
static void check_every_cut(void) {
    static const char text[] = "{\"a\": [1, -2.5e3, \"\\u00e9\\ud83d\\ude80\", true], \"b\": {\"c\": null}}";
    for (size_t n = 0; n < sizeof text; n++) {
        char *cut = malloc(n ? n : 1);
        json_slice value;
        CHECK(cut != NULL);
        memcpy(cut, text, n);
        CHECK_INT(json_check(cut, n, &value, NULL), ==, n == sizeof text - 1);
        free(cut);
    }
}

static void check_depth(void) {
    char deep[2 * JSON_DEPTH_MAX + 2];
    size_t n = JSON_DEPTH_MAX;
    json_slice value;
    memset(deep, '[', n);
    memset(deep + n, ']', n);
    CHECK(json_check(deep, 2 * n, &value, NULL));
    memset(deep, '[', n + 1);
    memset(deep + n + 1, ']', n + 1);
    CHECK(!json_check(deep, 2 * (n + 1), &value, NULL));
}

static json_slice slice_of(const char *text) {
    json_slice value = {NULL, 0};
    CHECK(json_check(text, strlen(text), &value, NULL));
    return value;
}

static void check_slice(json_slice slice, const char *expected) {
    CHECK_SAY(slice.at && slice.n_bytes == strlen(expected) && memcmp(slice.at, expected, slice.n_bytes) == 0,
              "expected %s, not %.*s", expected, (int)slice.n_bytes, slice.at ? slice.at : "");
}

static void check_members(void) {
    json_slice object = slice_of(" { \"a\" : 1 , \"b\":[ 10 ,\"x\", {} ] , \"a\": {\"b\": 3} } ");
    check_slice(json_member(object, "a"), "{\"b\": 3}"); /* the last */
    check_slice(json_member(json_member(object, "a"), "b"), "3");
    json_slice list = json_member(object, "b"), element = json_next(list, (json_slice){NULL, 0});
    check_slice(element, "10");
    check_slice(element = json_next(list, element), "\"x\"");
    check_slice(element = json_next(list, element), "{}");
    CHECK(!json_next(list, element).at);
    CHECK(!json_member(object, "c").at && !json_member(list, "a").at && !json_next(object, (json_slice){NULL, 0}).at);
    CHECK(!json_next(slice_of("[ ]"), (json_slice){NULL, 0}).at && !json_member(slice_of("{}"), "a").at);
    CHECK_INT(json_kind(slice_of("-1")), ==, '0');
    CHECK_INT(json_kind(json_member(object, "c")), ==, 0);
}

static void check_text(const char *json, const char *expected) {
    char text[64];
    json_slice value = slice_of(json);
    CHECK(value.n_bytes <= sizeof text);
    size_t n = json_text(value, text);
    CHECK_SAY(n == strlen(expected) && strcmp(text, expected) == 0, "%s is '%s', not '%s'", json, expected, text);
}

static void check_strings(void) {
    check_text("\"\"", "");
    check_text("\"a\\n\\t\\\"\\\\\\/\\b\\f\\r\"", "a\n\t\"\\/\b\f\r");
    check_text("\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE80\"", "Aé€🚀");
    check_text("\"\\ud83d\\u0041 \\ude80 \\u0000\"", "\xEF\xBF\xBD" "A \xEF\xBF\xBD \xEF\xBF\xBD");
    check_text("\"\\ud83d\"", "\xEF\xBF\xBD");
}

static void check_writing(void) {
    char every[4 * 256];
    size_t n = 0;
    for (int byte = 1; byte < 0x80; byte++) every[n++] = (char)byte;
    n += (size_t)sprintf(every + n, "é€🚀");
    json_writer writer = {0};
    json_puts(&writer, "[");
    json_put_string(&writer, every, n);
    json_puts(&writer, ",");
    json_put_string(&writer, "", 0);
    json_puts(&writer, "]");
    CHECK(!writer.has_failed && writer.text[writer.n_bytes] == 0);
    char *text = malloc(writer.n_bytes);
    CHECK(text != NULL);
    json_slice list = slice_of(writer.text), element = json_next(list, (json_slice){NULL, 0});
    CHECK(json_text(element, text) == n && memcmp(text, every, n) == 0);
    check_slice(json_next(list, element), "\"\"");
    free(text);
    free(writer.text);
}

int main(void) {
    check_what_is_json();
    check_every_cut();
    check_depth();
    check_members();
    check_strings();
    check_writing();
    return 0;
}
