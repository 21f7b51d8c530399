/* names.c - see names.h. */
#include "names.h"

#include <stdio.h>
#include <string.h>

bool names_is_instance(const char *text) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t length = strnlen(text, LIPC_NAME_MAX + 1);
    return length > 0 && length <= LIPC_NAME_MAX && text[0] != '.' && strspn(text, allowed) == length;
}

void names_object(char object[NAMES_OBJECT_SIZE], const char *instance, const char *suffix) {
    snprintf(object, NAMES_OBJECT_SIZE, "/%s%s", instance, suffix);
}
