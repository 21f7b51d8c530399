/* key_file.c - see key_file.h. */
#include "key_file.h"

#include "../platform/platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEY_MOST 4096

/* What fits into a line of an HTTP header. */
static bool is_key(const char *text) {
    if (!*text) return false;
    for (; *text; text++)
        if (*text <= 0x20 || *text >= 0x7F) return false;
    return true;
}

bool key_file_read(const char *path, const char **key, char *message, size_t message_size) {
    static char text[KEY_MOST + 2];
    FILE *file = plat_file_open(path, "rb"); /* a pipe is welcome, too */
    if (!file) {
        snprintf(message, message_size, "cannot read the key in '%s': %s", path, strerror(errno));
        return false;
    }
    setvbuf(file, NULL, _IONBF, 0); /* no copy of it elsewhere */
    size_t n_bytes = fread(text, 1, KEY_MOST + 1, file);
    fclose(file);
    text[n_bytes] = 0;
    char *begin = text + strspn(text, " \t\r\n");
    begin[strcspn(begin, " \t\r\n")] = 0;
    if (n_bytes <= KEY_MOST && is_key(begin)) {
        *key = begin;
        return true;
    }
    snprintf(message, message_size, "there is no key in '%s': it must be one line of at most %d letters, digits and signs", path, KEY_MOST);
    return false;
}
