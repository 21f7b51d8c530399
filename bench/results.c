/* results.c - see results.h. */
#include "results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

results_bar results_no_bar(void) {
    return (results_bar){RESULTS_NO_BAR, 0};
}

results_bar results_at_least(double value) {
    return (results_bar){RESULTS_AT_LEAST, value};
}

results_bar results_at_most(double value) {
    return (results_bar){RESULTS_AT_MOST, value};
}

static results_row *append(results *list) {
    if (list->n_rows == list->n_allocated) {
        list->n_allocated = list->n_allocated == 0 ? 32 : 2 * list->n_allocated;
        list->rows = realloc(list->rows, list->n_allocated * sizeof *list->rows);
        if (list->rows == NULL) {
            fputs("bench: not enough memory\n", stderr);
            exit(1);
        }
    }
    results_row *row = &list->rows[list->n_rows++];
    memset(row, 0, sizeof *row);
    return row;
}

void results_add(results *list, const char *name, double value, const char *unit, results_bar bar, const char *what) {
    results_row *row = append(list);
    snprintf(row->name, sizeof row->name, "%s", name);
    snprintf(row->unit, sizeof row->unit, "%s", unit);
    snprintf(row->what, sizeof row->what, "%s", what);
    row->value = value;
    row->bar = bar;
}

void results_heading(results *list, const char *text) {
    results_row *row = append(list);
    snprintf(row->what, sizeof row->what, "%s", text);
    row->is_heading = true;
}

bool results_holds(const results_row *row) {
    switch (row->bar.sense) {
    case RESULTS_AT_LEAST: return row->value >= row->bar.value; /* false for NAN */
    case RESULTS_AT_MOST: return row->value <= row->bar.value;
    case RESULTS_NO_BAR: break;
    }
    return true;
}

/* As many digits as a measurement deserves. */
static void format_value(double value, char *text, size_t size) {
    const double magnitude = fabs(value);
    if (isnan(value))
        snprintf(text, size, "-");
    else if (magnitude >= 100 || value == 0)
        snprintf(text, size, "%.0f", value);
    else
        snprintf(text, size, "%.*f", magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3, value);
}

void results_print(const results *list, size_t from) {
    if (from == 0)
        printf("\n%-38s %9s %-9s %-9s %-6s %s\n", "row", "value", "unit", "bar", "holds", "what it is");
    for (size_t i = from; i < list->n_rows; i++) {
        const results_row *row = &list->rows[i];
        if (row->is_heading) {
            printf("\n%s\n", row->what);
            continue;
        }
        char value[32], bar[32] = "";
        format_value(row->value, value, sizeof value);
        if (row->bar.sense != RESULTS_NO_BAR)
            snprintf(bar, sizeof bar, "%s %g", row->bar.sense == RESULTS_AT_LEAST ? ">=" : "<=", row->bar.value);
        printf("%-38s %9s %-9s %-9s %-6s %s\n", row->name, value, row->unit, bar,
               row->bar.sense == RESULTS_NO_BAR ? "" : results_holds(row) ? "yes" : "no", row->what);
    }
    fflush(stdout);
}

static void write_text(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        if ((unsigned char)*text < 0x20)
            fprintf(file, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, file);
    }
    fputc('"', file);
}

static void write_row(FILE *file, const results_row *row) {
    fputs("  {\"name\": ", file);
    write_text(file, row->name);
    if (isfinite(row->value))
        fprintf(file, ", \"value\": %.6g", row->value);
    else
        fputs(", \"value\": null", file);
    fputs(", \"unit\": ", file);
    write_text(file, row->unit);
    if (row->bar.sense == RESULTS_NO_BAR)
        fputs(", \"bar\": null, \"holds\": null}", file);
    else
        fprintf(file, ", \"bar\": %g, \"holds\": %s}", row->bar.value, results_holds(row) ? "true" : "false");
}

int results_write(const results *list, const char *path) {
    char beside[4096];
    snprintf(beside, sizeof beside, "%s.part", path);
    FILE *file = fopen(beside, "we");
    if (file == NULL)
        return -1;
    fputs("[\n", file);
    bool is_first = true;
    for (size_t i = 0; i < list->n_rows; i++) {
        if (list->rows[i].is_heading)
            continue;
        fputs(is_first ? "" : ",\n", file);
        write_row(file, &list->rows[i]);
        is_first = false;
    }
    fputs("\n]\n", file);
    const int failed = ferror(file);
    if (fclose(file) != 0 || failed != 0)
        return -1;
    return rename(beside, path);
}

void results_free(results *list) {
    free(list->rows);
    *list = (results){0};
}
