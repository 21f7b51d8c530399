/* sampling.c - see sampling.h. */
#include "sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { INTEGER, REAL, TEXT } kind;

static const struct row {
    const char *name;
    kind kind;
    double low, high;
    size_t field;
    const char *initial;
} rows[] = {
#define ROW(name, kind, low, high, initial, ...) {#name, kind, low, high, offsetof(engine_sampling, name), initial},
    LIPC_SAMPLING_MAP(ROW)
#undef ROW
};

#define N_ROWS (sizeof rows / sizeof rows[0])

void sampling_init(engine_sampling *sampling) {
#define UNSET(name, kind, ...) sampling->name = LIPC_PARAMETER_UNSET_##kind;
    LIPC_SAMPLING_MAP(UNSET)
#undef UNSET
}

static bool set(engine_sampling *sampling, const struct row *row, const char *text) {
    void *field = (char *)sampling + row->field;
    char *end;
    if (row->kind == TEXT) {
        *(const char **)field = text;
        return (double)strlen(text) <= row->high;
    }
    double number = strtod(text, &end);
    if (end == text || *end || !(number >= row->low && number <= row->high)) return false;
    if (row->kind == REAL) *(float *)field = (float)number;
    else if (number == floor(number)) *(int32_t *)field = (int32_t)number;
    else return false;
    return true;
}

bool sampling_set(engine_sampling *sampling, const char *name, const char *text) {
    for (size_t i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return set(sampling, &rows[i], text);
    return false;
}

void sampling_fill(engine_sampling *sampling, const engine_sampling *next) {
#define FILL(name, kind, ...) if (!LIPC_PARAMETER_IS_SET_##kind(sampling->name)) sampling->name = next->name;
    LIPC_SAMPLING_MAP(FILL)
#undef FILL
}

void sampling_complete(engine_sampling *sampling) {
    engine_sampling defaults;
    sampling_init(&defaults);
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].initial) set(&defaults, &rows[i], rows[i].initial);
    sampling_fill(sampling, &defaults);
}
