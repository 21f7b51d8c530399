/* results.h - the list of what a benchmark found: a table on standard output, a JSON file for programs.
 *
 *     results list = {0};
 *     results_add(&list, "death.noticed.median", 1.9, "ms", results_at_most(10), "kill -9 seen by a waiting client");
 *     results_print(&list, 0);
 *     results_write(&list, "results.json");
 *     results_free(&list);
 *
 * The file is a JSON array of {"name", "value", "unit", "bar", "holds"}. `name` is stable and unique: programs look rows
 * up by it. `bar` is the number that the value must reach (ratios, rates) or stay under (times, sizes), and `holds`
 * whether it does; both are null for rows that are there for orientation. A value that could not be measured is null,
 * and its bar does not hold.
 *
 * A timing decides nothing here: a bar that does not hold is a row that says so, never an error.
 */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum results_sense { RESULTS_NO_BAR, RESULTS_AT_LEAST, RESULTS_AT_MOST } results_sense;

typedef struct results_bar {
    results_sense sense;
    double value;
} results_bar;

results_bar results_no_bar(void);
results_bar results_at_least(double value);
results_bar results_at_most(double value);

typedef struct results_row {
    char name[64];
    char unit[16];
    char what[96];
    double value;
    results_bar bar;
    bool is_heading;
} results_row;

/* Zero is an empty list. */
typedef struct results {
    results_row *rows;
    size_t n_rows;
    size_t n_allocated;
} results;

/* Adds a row; NAN is a value that could not be measured. `what` is for the table. The texts are copied; ones that are
 * too long are cut. Ends the program if memory runs out. */
void results_add(results *list, const char *name, double value, const char *unit, results_bar bar, const char *what);

/* A line between rows of the table; not in the file. */
void results_heading(results *list, const char *text);

/* Whether the row's bar holds; true without a bar. */
bool results_holds(const results_row *row);

/* Prints the rows from number `from` on; with 0, the head of the table as well. */
void results_print(const results *list, size_t from);

/* Replaces the file in one step, so that a reader sees the old list or the new one. Returns 0, or -1 with errno set. */
int results_write(const results *list, const char *path);

void results_free(results *list);

#endif
