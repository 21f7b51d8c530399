/* text.c - see text.h. */
#include "text.h"

#include "system.h"

#include "../platform/platform.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_LEAST 256
#define READ_SIZE 65536

static bool reserve(text *text, size_t n_bytes) {
    if (text->n_bytes + n_bytes + 1 <= text->room) return true;
    size_t room = 2 * text->room > text->n_bytes + n_bytes + 1 ? 2 * text->room : text->n_bytes + n_bytes + 1;
    if (room < ROOM_LEAST) room = ROOM_LEAST;
    char *larger = realloc(text->bytes, room);
    if (!larger) {
        text->is_short_of_memory = true;
        return false;
    }
    text->bytes = larger;
    text->room = room;
    return true;
}

void text_add(text *text, const char *bytes, size_t n_bytes) {
    if (!reserve(text, n_bytes)) return;
    memcpy(text->bytes + text->n_bytes, bytes, n_bytes);
    text->n_bytes += n_bytes;
    text->bytes[text->n_bytes] = 0;
}

void text_add_word(text *text, const char *word) {
    if (text->n_bytes > 0 && !isspace((unsigned char)text->bytes[text->n_bytes - 1])) text_add(text, " ", 1);
    text_add(text, word, strlen(word));
}

int text_add_file(text *text, int descriptor) {
    for (;;) {
        if (!reserve(text, READ_SIZE)) return ENOMEM;
        ptrdiff_t n_bytes = system_read(descriptor, text->bytes + text->n_bytes, READ_SIZE);
        if (n_bytes < 0) return errno;
        bool is_text = !memchr(text->bytes + text->n_bytes, 0, (size_t)n_bytes);
        text->n_bytes += (size_t)n_bytes;
        text->bytes[text->n_bytes] = 0;
        if (!is_text) return EILSEQ;
        if (n_bytes == 0) return 0;
    }
}

const char *text_reason(int error) {
    return error == EILSEQ ? "it holds a zero byte, so it is not text" : strerror(error);
}

int text_add_path(text *text, const char *path) {
    FILE *file = plat_file_open(path, "r");
    if (!file) return errno;
    int error = text_add_file(text, fileno(file));
    fclose(file);
    return error;
}

void text_trim(text *text) {
    while (text->n_bytes > 0 && isspace((unsigned char)text->bytes[text->n_bytes - 1])) text->n_bytes--;
    if (text->bytes) text->bytes[text->n_bytes] = 0;
}

void text_free(text *text) {
    free(text->bytes);
    *text = (struct text){0};
}
