/* parameters.c - see parameters.h. */
#include "parameters.h"

#include "../text/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { INTEGER, REAL, WIDE, TEXT } kind;

typedef struct row {
    const char *name;
    kind kind;
    double low, high;
    size_t field;
    bool is_in_header;
} row;

#define NAMED_ROW(name, kind, low, high, ...) {#name, kind, low, high, offsetof(parameters, name), false},
#define HEADER_ROW(name, kind, low, high, ...) {#name, kind, low, high, offsetof(parameters, name), true},
static const row rows[] = {LIPC_HEADER_PARAMETER_MAP(HEADER_ROW) LIPC_NAMED_SAMPLING_MAP(NAMED_ROW)};
#undef NAMED_ROW
#undef HEADER_ROW

#define N_ROWS (sizeof rows / sizeof rows[0])

_Static_assert(LIPC_INT_DEFAULT == LIPC_PARAMETER_UNSET_INTEGER && LIPC_SEED_DEFAULT == LIPC_PARAMETER_UNSET_WIDE,
               "what leaves a field to the host is its mark");
_Static_assert(N_ROWS == PARAMETERS_COUNT, "every parameter is in one of the two lists");

__attribute__((format(printf, 2, 3))) static bool refuse(char *message, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, PARAMETERS_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* A name that came from the other side, or from a user: as much of it as is harmless. */
static bool refuse_name(char *message, const char *name, size_t length) {
    char shown[32];
    size_t n = 0;
    for (; n < length && n < sizeof shown - 1; n++) shown[n] = name[n] >= 0x20 && name[n] < 0x7F ? name[n] : '?';
    shown[n] = 0;
    return refuse(message, "there is no parameter '%s': docs/parameters.md lists those of this version", shown);
}

static const row *find(const char *name, size_t length) {
    for (size_t i = 0; i < N_ROWS; i++)
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, name, length) == 0) return &rows[i];
    return NULL;
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

/* A number of any kind; NaN stands for one that is not set. Those of 64 bits are below 2^53 if they are good. */
static double number_of(const parameters *values, const row *row) {
    const void *field = (const char *)values + row->field;
    switch (row->kind) {
    case INTEGER: return PARAMETER_IS_SET(INTEGER, *(const int32_t *)field) ? *(const int32_t *)field : (double)NAN;
    case WIDE: return PARAMETER_IS_SET(WIDE, *(const int64_t *)field) ? (double)*(const int64_t *)field : (double)NAN;
    case REAL: return (double)*(const float *)field;
    case TEXT: break;
    }
    return (double)NAN;
}

static const char *text_of(const parameters *values, const row *row) {
    return row->kind == TEXT ? *(const char *const *)(const void *)((const char *)values + row->field) : NULL;
}

static bool is_set(const parameters *values, const row *row) {
    return row->kind == TEXT ? text_of(values, row) != NULL : !isnan(number_of(values, row));
}

static bool check_number(const row *row, double number, char *message) {
    bool is_real = row->kind == REAL; /* whose bounds are rounded as it is */
    double low = is_real ? (double)(float)row->low : row->low, high = is_real ? (double)(float)row->high : row->high;
    if (is_real) number = (double)(float)number;
    if (number >= low && number <= high) return true;
    if (row->kind == WIDE)
        return refuse(message, "%s is %.0f: expected 0 to %.0f, -1 (random) or -2 (the host's)", row->name, number, row->high);
    if (row->kind == INTEGER && row->high == INT32_MAX)
        return refuse(message, "%s is %.0f: expected %.0f or more", row->name, number, row->low);
    return refuse(message, "%s is %g: expected a number from %g to %g", row->name, number, row->low, row->high);
}

static bool check_text(const row *row, const char *text, char *message) {
    size_t n_bytes = strlen(text);
    if ((double)n_bytes < row->low || (double)n_bytes > row->high)
        return refuse(message, "%s has %zu bytes: expected %.0f to %.0f", row->name, n_bytes, row->low, row->high);
    return utf8_is_valid(text, n_bytes) || refuse(message, "%s is not valid UTF-8", row->name);
}

/* Sets a number, which must be one of the row's kind. */
static bool set_number(parameters *values, const row *row, double number, char *message) {
    void *field = (char *)values + row->field;
    if (isnan(number)) return refuse(message, "%s is not a number: leave it out, and it is the host's own", row->name);
    if (!check_number(row, number, message)) return false;
    if (row->kind != REAL && number != floor(number))
        return refuse(message, "%s is %g: expected a whole number", row->name, number);
    if (row->kind == REAL) *(float *)field = (float)number;
    else if (row->kind == WIDE) *(int64_t *)field = (int64_t)number;
    else *(int32_t *)field = (int32_t)number;
    return true;
}

static bool set_text(parameters *values, const row *row, const char *text, char *message) {
    if (!check_text(row, text, message)) return false;
    *(const char **)(void *)((char *)values + row->field) = text;
    return true;
}

void parameters_init(parameters *values) {
#define UNSET(name, kind, ...) .name = LIPC_PARAMETER_UNSET_##kind,
    *values = (parameters){LIPC_PARAMETER_MAP(UNSET)};
#undef UNSET
}

bool parameters_check(const parameters *values, char message[PARAMETERS_MESSAGE_SIZE]) {
    for (size_t i = 0; i < N_ROWS; i++) {
        if (!is_set(values, &rows[i])) continue;
        if (rows[i].kind == TEXT ? !check_text(&rows[i], text_of(values, &rows[i]), message)
                                 : !check_number(&rows[i], number_of(values, &rows[i]), message))
            return false;
    }
    return true;
}

/* ---- a client's request -------------------------------------------------------------------------------------------- */

static bool take_named(parameters *values, const lipc_parameter *given, char *message) {
    if (!given->name) return refuse(message, "a parameter has no name");
    const row *row = find(given->name, strlen(given->name));
    if (!row) return refuse_name(message, given->name, strlen(given->name));
    if ((row->kind == TEXT) != (given->text != NULL))
        return refuse(message, "%s is a %s", row->name, row->kind == TEXT ? "text" : "number, and not a text");
    return row->kind == TEXT ? set_text(values, row, given->text, message)
                             : set_number(values, row, given->number, message);
}

bool parameters_take(parameters *values, const lipc_request *request, char message[PARAMETERS_MESSAGE_SIZE]) {
    parameters_init(values);
#define TAKE(name, ...) values->name = request->name;
    LIPC_HEADER_PARAMETER_MAP(TAKE)
#undef TAKE
    if (request->n_parameters < 0 || (request->n_parameters > 0 && !request->parameters))
        return refuse(message, "n_parameters is %d, parameters is %p", request->n_parameters,
                      (const void *)request->parameters);
    for (int32_t i = 0; i < request->n_parameters; i++)
        if (!take_named(values, &request->parameters[i], message)) return false;
    return parameters_check(values, message);
}

int32_t parameters_list(const parameters *values, lipc_parameter list[PARAMETERS_COUNT]) {
    int32_t n = 0;
    for (size_t i = 0; i < N_ROWS; i++)
        if (is_set(values, &rows[i]))
            list[n++] = (lipc_parameter){rows[i].name, number_of(values, &rows[i]), text_of(values, &rows[i])};
    return n;
}

/* ---- items --------------------------------------------------------------------------------------------------------- */

/* printf's decimal point is the locale's, which is the application's: whatever is no part of a number is ours. */
static void use_point(char *number) {
    char *to = number;
    for (const char *at = number; *at; at++) {
        if (strchr("0123456789+-e", *at)) *to++ = *at;
        else if (to == number || to[-1] != '.') *to++ = '.';
    }
    *to = 0;
}

size_t parameters_item(const parameters *values, size_t n, char *text, size_t size) {
    char number[32];
    for (size_t i = 0; i < N_ROWS; i++) {
        if (rows[i].is_in_header || !is_set(values, &rows[i]) || n-- > 0) continue;
        const char *value = text_of(values, &rows[i]);
        if (!value) {
            snprintf(number, sizeof number, "%.9g", number_of(values, &rows[i]));
            use_point(number);
            value = number;
        }
        size_t length = strlen(rows[i].name) + 1 + strlen(value);
        if (text) snprintf(text, size, "%s=%s", rows[i].name, value);
        return length;
    }
    return 0;
}

bool parameters_read_item(parameters *values, const char *text, char message[PARAMETERS_MESSAGE_SIZE]) {
    size_t length = strcspn(text, "=");
    const row *row = find(text, length);
    if (!row) return refuse_name(message, text, length);
    if (text[length] == 0) return refuse(message, "%s has no value: expected '%s=value'", row->name, row->name);
    const char *value = text + length + 1;
    if (row->kind == TEXT) return set_text(values, row, value, message);
    char *end;
    size_t n_bytes = strlen(value);
    /* A host's locale is "C". Not what strtod knows besides decimal numbers. */
    bool is_number = n_bytes > 0 && n_bytes < 32 && strspn(value, "0123456789+-.eE") == n_bytes;
    double number = is_number ? strtod(value, &end) : 0;
    if (!is_number || *end) return refuse(message, "%s is not a decimal number", row->name);
    return set_number(values, row, number, message);
}
