/* json.c - see json.h. */
#include "json.h"

#include "utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_white(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static bool is_hex(char byte) {
    return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/* ---- checking ------------------------------------------------------------------------------------------------------ */

typedef struct scanner {
    const char *text;
    size_t n_bytes, at;
} scanner;

static char peek(const scanner *scanner) {
    return scanner->at < scanner->n_bytes ? scanner->text[scanner->at] : 0;
}

static void skip_white(scanner *scanner) {
    while (scanner->at < scanner->n_bytes && is_white(scanner->text[scanner->at])) scanner->at++;
}

static bool take(scanner *scanner, char byte) {
    if (peek(scanner) != byte) return false;
    scanner->at++;
    return true;
}

static bool skip_word(scanner *scanner, const char *word) {
    for (; *word; word++)
        if (!take(scanner, *word)) return false;
    return true;
}

static bool skip_digits(scanner *scanner) {
    if (!is_digit(peek(scanner))) return false;
    while (is_digit(peek(scanner))) scanner->at++;
    return true;
}

static bool skip_number(scanner *scanner) {
    take(scanner, '-');
    if (!take(scanner, '0') && !skip_digits(scanner)) return false;
    if (take(scanner, '.') && !skip_digits(scanner)) return false;
    if (!take(scanner, 'e') && !take(scanner, 'E')) return true;
    if (!take(scanner, '+')) take(scanner, '-');
    return skip_digits(scanner);
}

static bool skip_escape(scanner *scanner) {
    char byte = peek(scanner);
    if (byte == 0 || !strchr("\"\\/bfnrtu", byte)) return false;
    scanner->at++;
    for (int i = 0; byte == 'u' && i < 4; i++) {
        if (!is_hex(peek(scanner))) return false;
        scanner->at++;
    }
    return true;
}

static bool skip_string(scanner *scanner) {
    if (!take(scanner, '"')) return false;
    while (!take(scanner, '"')) {
        if ((unsigned char)peek(scanner) < 0x20) return false; /* also the end */
        bool is_escape = peek(scanner) == '\\';
        scanner->at++;
        if (is_escape && !skip_escape(scanner)) return false;
    }
    return true;
}

static bool skip_plain(scanner *scanner) {
    switch (peek(scanner)) {
    case '"': return skip_string(scanner);
    case 't': return skip_word(scanner, "true");
    case 'f': return skip_word(scanner, "false");
    case 'n': return skip_word(scanner, "null");
    default: return skip_number(scanner);
    }
}

/* A member's name with its colon, where one belongs. */
static bool skip_name(scanner *scanner, char close) {
    skip_white(scanner);
    if (close != '}') return true;
    if (!skip_string(scanner)) return false;
    skip_white(scanner);
    return take(scanner, ':');
}

/* One value, without recursion: `open` holds what closes the arrays and objects that it is in. */
static bool skip_value(scanner *scanner) {
    char open[JSON_DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        skip_white(scanner);
        char first = peek(scanner);
        if (first == '{' || first == '[') {
            if (depth == JSON_DEPTH_MAX) return false;
            scanner->at++;
            open[depth++] = first == '{' ? '}' : ']';
            skip_white(scanner);
            if (peek(scanner) != open[depth - 1]) {
                if (!skip_name(scanner, open[depth - 1])) return false;
                continue;
            }
        } else if (!skip_plain(scanner)) {
            return false;
        }
        for (;;) { /* behind a value, or before what closes an empty one */
            if (depth == 0) return true;
            skip_white(scanner);
            if (take(scanner, open[depth - 1])) {
                depth--;
                continue;
            }
            if (!take(scanner, ',') || !skip_name(scanner, open[depth - 1])) return false;
            break;
        }
    }
}

/* How many bytes are valid UTF-8 before the first that are not. */
static size_t valid_utf8_bytes(const char *text, size_t n_bytes) {
    bool incomplete;
    size_t at = 0, length;
    while (at < n_bytes && (length = utf8_character(text + at, n_bytes - at, &incomplete)) > 0) at += length;
    return at;
}

bool json_check(const char *text, size_t n_bytes, json_slice *value, size_t *wrong) {
    scanner scanner = {text, n_bytes, 0};
    size_t unused;
    if (!wrong) wrong = &unused;
    skip_white(&scanner);
    size_t begin = scanner.at;
    bool is_value = skip_value(&scanner);
    size_t end = scanner.at;
    skip_white(&scanner);
    *wrong = is_value ? scanner.at : end;
    if (!is_value || scanner.at != n_bytes) return false;
    *wrong = valid_utf8_bytes(text, n_bytes);
    if (*wrong != n_bytes) return false;
    *value = (json_slice){text + begin, end - begin};
    return true;
}

/* ---- looking ------------------------------------------------------------------------------------------------------- */

char json_kind(json_slice value) {
    if (!value.at || value.n_bytes == 0) return 0;
    return value.at[0] == '-' || is_digit(value.at[0]) ? '0' : value.at[0];
}

/* The next value in an array or object, from `at` on: a comma before it is skipped. */
static json_slice slice_from(json_slice whole, size_t at) {
    scanner scanner = {whole.at, whole.n_bytes, at};
    skip_white(&scanner);
    if (take(&scanner, ',')) skip_white(&scanner);
    size_t begin = scanner.at;
    if (peek(&scanner) == ']' || peek(&scanner) == '}' || !skip_value(&scanner)) return (json_slice){NULL, 0};
    return (json_slice){whole.at + begin, scanner.at - begin};
}

/* The value behind a member's name. */
static json_slice value_of(json_slice object, json_slice name) {
    scanner scanner = {object.at, object.n_bytes, (size_t)(name.at - object.at) + name.n_bytes};
    skip_white(&scanner);
    take(&scanner, ':');
    return slice_from(object, scanner.at);
}

bool json_next_member(json_slice object, json_slice *name, json_slice *value) {
    if (json_kind(object) != '{') return false;
    json_slice last = name->at ? value_of(object, *name) : (json_slice){object.at, 1};
    *name = slice_from(object, (size_t)(last.at - object.at) + last.n_bytes);
    if (!name->at) return false;
    *value = value_of(object, *name);
    return true;
}

json_slice json_member(json_slice object, const char *name) {
    json_slice found = {NULL, 0}, key = {NULL, 0}, value;
    size_t n_name = strlen(name);
    while (json_next_member(object, &key, &value))
        if (key.n_bytes == n_name + 2 && memcmp(key.at + 1, name, n_name) == 0) found = value;
    return found;
}

json_slice json_next(json_slice array, json_slice element) {
    if (json_kind(array) != '[') return (json_slice){NULL, 0};
    return slice_from(array, element.at ? (size_t)(element.at - array.at) + element.n_bytes : 1);
}

/* ---- strings ------------------------------------------------------------------------------------------------------- */

static uint32_t hex_of(const char *at) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char byte = at[i];
        value = value << 4 | (uint32_t)(is_digit(byte) ? byte - '0' : (byte | 0x20) - 'a' + 10);
    }
    return value;
}

static size_t put_character(uint32_t code, char *text) {
    if (code < 0x80) {
        text[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; code >>= 6) text[i] = (char)(0x80 | (code & 0x3F));
    text[0] = (char)(first[n] | code);
    return n;
}

/* Behind "\u" at `at`: *code, and how many bytes it takes. */
static size_t read_code(const char *at, const char *end, uint32_t *code) {
    *code = hex_of(at);
    bool is_high = *code >= 0xD800 && *code < 0xDC00;
    if (is_high && end - at >= 10 && at[4] == '\\' && at[5] == 'u') {
        uint32_t low = hex_of(at + 6);
        if (low >= 0xDC00 && low < 0xE000) {
            *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
            return 10;
        }
    }
    if (*code == 0 || (*code >= 0xD800 && *code < 0xE000)) *code = 0xFFFD;
    return 4;
}

size_t json_text(json_slice string, char *text) {
    static const char escapes[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *at = string.at + 1, *end = string.at + string.n_bytes - 1;
    size_t n = 0;
    while (at < end) {
        if (*at != '\\') {
            text[n++] = *at++;
            continue;
        }
        at++;
        if (*at == 'u') {
            uint32_t code;
            at += 1 + read_code(at + 1, end, &code);
            n += put_character(code, text + n);
            continue;
        }
        const char *escape = strchr(escapes, *at);
        text[n++] = escape ? meanings[escape - escapes] : *at;
        at++;
    }
    text[n] = 0;
    return n;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static bool make_room(json_writer *writer, size_t n_bytes) {
    if (writer->has_failed) return false;
    if (writer->size - writer->n_bytes > n_bytes) return true;
    size_t size = (writer->n_bytes + n_bytes + 1) * 2;
    char *larger = size > n_bytes ? realloc(writer->text, size) : NULL;
    writer->has_failed = !larger;
    if (!larger) return false;
    writer->text = larger;
    writer->size = size;
    return true;
}

void json_put(json_writer *writer, const char *text, size_t n_bytes) {
    if (!make_room(writer, n_bytes)) return;
    memcpy(writer->text + writer->n_bytes, text, n_bytes);
    writer->n_bytes += n_bytes;
    writer->text[writer->n_bytes] = 0;
}

void json_puts(json_writer *writer, const char *text) {
    json_put(writer, text, strlen(text));
}

void json_put_string(json_writer *writer, const char *text, size_t n_bytes) {
    size_t plain = 0;
    json_put(writer, "\"", 1);
    for (size_t i = 0; i < n_bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7F) continue;
        char escape[8] = {'\\', (char)byte, 0};
        if (byte < 0x20 || byte == 0x7F) snprintf(escape, sizeof escape, byte == '\n' ? "\\n" : "\\u%04x", byte);
        json_put(writer, text + plain, i - plain);
        json_puts(writer, escape);
        plain = i + 1;
    }
    json_put(writer, text + plain, n_bytes - plain);
    json_put(writer, "\"", 1);
}
