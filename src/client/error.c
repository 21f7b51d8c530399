/* error.c - version, error names and texts, and the last sentence of each thread. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_message[512];

static const struct { int number; const char *name, *text; } errors[] = {
#define ERROR_ROW(number, name, text) {number, "LIPC_E_" #name, text},
    LIPC_ERROR_MAP(ERROR_ROW)
#undef ERROR_ROW
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
