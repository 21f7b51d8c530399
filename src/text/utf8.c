/* utf8.c - see utf8.h. The table of well-formed sequences is table 3-7 of the Unicode standard. */
#include "utf8.h"

#include <string.h>

size_t utf8_character(const char *text, size_t n_bytes, bool *incomplete) {
    const unsigned char *byte = (const unsigned char *)text;
    unsigned char lead = byte[0];
    size_t length;
    unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */
    *incomplete = false;
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (i == n_bytes) {
            *incomplete = true;
            return 0;
        }
        if (byte[i] < low || byte[i] > high) return 0;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

size_t utf8_whole_prefix(const char *text, size_t n_bytes) {
    /* Only the last three bytes can belong to an unfinished character. */
    for (size_t back = 1; back <= 3 && back <= n_bytes; back++) {
        unsigned char byte = (unsigned char)text[n_bytes - back];
        if (byte < 0x80) break;
        if (byte >= 0xC0) {
            bool incomplete;
            utf8_character(text + n_bytes - back, back, &incomplete);
            return incomplete ? n_bytes - back : n_bytes;
        }
    }
    return n_bytes;
}

size_t utf8_fit(const char *text, size_t n_bytes, size_t limit) {
    return utf8_whole_prefix(text, n_bytes < limit ? n_bytes : limit);
}

bool utf8_is_valid(const char *text, size_t n_bytes) {
    bool incomplete;
    for (size_t at = 0; at < n_bytes;) {
        size_t length = utf8_character(text + at, n_bytes - at, &incomplete);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

size_t utf8_repair(const char *text, size_t n_bytes, char *result, size_t size_bytes) {
    static const char replacement[] = "\xEF\xBF\xBD";
    size_t written = 0;
    bool incomplete;
    for (size_t at = 0; at < n_bytes;) {
        size_t length = utf8_character(text + at, n_bytes - at, &incomplete);
        const char *source = length ? text + at : replacement;
        size_t source_bytes = length ? length : sizeof replacement - 1;
        if (written + source_bytes > size_bytes) break;
        memcpy(result + written, source, source_bytes);
        written += source_bytes;
        at += length ? length : 1;
    }
    return written;
}
