/* error.c - version, names and texts of errors and ends, and the last sentence of each thread. */
#include "error.h"

#include "../platform/platform.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_message[512];

static const struct { int number; const char *name, *text; } errors[] = {
#define ERROR_ROW(number, name, text) {number, "LIPC_E_" #name, text},
    LIPC_ERROR_MAP(ERROR_ROW)
#undef ERROR_ROW
};

static const struct { int number; const char *text; } ends[] = {
#define END_ROW(number, name, text) {number, text},
    LIPC_END_MAP(END_ROW)
#undef END_ROW
};

const char *lipc_version(void) {
    return LIPC_VERSION;
}

const char *lipc_error_name(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].number == error) return errors[i].name;
    return "LIPC_E_UNKNOWN";
}

const char *lipc_error_text(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].number == error) return errors[i].text;
    return "unknown error";
}

const char *lipc_end_text(int end) {
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (ends[i].number == end) return ends[i].text;
    return "unknown";
}

const char *lipc_error_message(void) {
    return last_message;
}

int lipc_fail(int error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_message, sizeof last_message, format, arguments);
    va_end(arguments);
    return error;
}

int lipc_fail_object(int plat_error, const char *object_name) {
    char user[64];
    switch (plat_error) {
    case PLAT_E_NOT_FOUND:
        return lipc_fail(LIPC_E_NO_HOST, "there is no %s: no host is running under this name", object_name);
    case PLAT_E_FOREIGN_USER:
        plat_object_user(object_name, user, sizeof user);
        return lipc_fail(LIPC_E_ACCESS, "%s belongs to the user '%s'; choose another name", object_name, user);
    case PLAT_E_CONFINED:
        return lipc_fail(LIPC_E_ACCESS, "%s may not be opened (%s), although it belongs to this user: the process seems to "
                         "be confined by a sandbox, a security module or the file's own mode", object_name,
                         plat_os_error());
    case PLAT_E_UNEXPECTED:
        return lipc_fail(LIPC_E_LAYOUT, "%s is not what a host makes (wrong kind or too short)", object_name);
    case PLAT_E_NO_MEMORY:
        return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory to open %s", object_name);
    default:
        return lipc_fail(LIPC_E_SYSTEM, "cannot open %s: %s", object_name, plat_os_error());
    }
}

void lipc_give(void *given, size_t given_size, const void *ours, size_t our_size) {
    size_t n_bytes = given_size < our_size ? given_size : our_size;
    memcpy(given, ours, n_bytes);
    memset((char *)given + n_bytes, 0, given_size - n_bytes);
}
