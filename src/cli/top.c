/* top.c - llamaipc top: who has a host do what, as a table that is drawn again and again.
 *
 * The segment is mapped anew for each look, read-only: so a host that has gone, one that has come in its place and one
 * that is dead are all found the same way, and nobody is held up.
 */
#include "host.h"
#include "inspect.h"
#include "screen.h"
#include "system.h"
#include "terminal.h"
#include "top_rows.h"
#include "format.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CELL_SIZE 96
#define BAR_COLUMNS 20
#define INTERVAL_LEAST 0.1
#define INTERVAL_MOST 60.0

/* What a column is called, how wide it is (0: what is left), the key that sorts by it. */
static const struct {
    const char *title;
    size_t width;
    terminal_side side;
    char key;
} columns[TOP_N_COLUMNS] = {
    [TOP_PID] = {"PID", 7, SIDE_RIGHT, 'p'},        [TOP_STREAM] = {"STR", 4, SIDE_RIGHT, 's'},
    [TOP_STATE] = {"STATE", 12, SIDE_LEFT, 0},      [TOP_QUEUE] = {"QUEUE", 5, SIDE_RIGHT, 'u'},
    [TOP_PROMPT] = {"PROMPT", 6, SIDE_RIGHT, 0},    [TOP_CACHED] = {"CACHED", 6, SIDE_RIGHT, 'c'},
    [TOP_TOKENS] = {"TOKENS", 6, SIDE_RIGHT, 't'},  [TOP_RATE] = {"TOK/S", 7, SIDE_RIGHT, 'v'},
    [TOP_FIRST] = {"FIRST", 7, SIDE_RIGHT, 'f'},    [TOP_PROGRAM] = {"PROGRAM", 0, SIDE_LEFT, 'n'},
};
#define PROGRAM_LEAST 8
#define PROGRAM_PLAIN 24 /* where no terminal bounds it */

typedef struct top {
    const cli_options *options;
    top_rows rows;
    bool has_host;                   /* the rows are of one, alive or dead */
    int error;                       /* why not */
    char message[INSPECT_MESSAGE_SIZE];
    top_column column;
    bool is_reversed, is_paused;
    double interval_s;
    size_t n_skipped;                /* rows above the screen */
    FILE *out;
    size_t n_columns;                /* 0: no bound */
} top;

/* ---- one line ------------------------------------------------------------------------------------------------------ */

static const char *style(terminal_style style) {
    return terminal_style_on(stdout, style);
}

/* A line of text in one style, cut to the screen. */
__attribute__((format(printf, 3, 4))) static void print_line(top *top, terminal_style of, const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    size_t n_used = terminal_columns(line);
    fputs(style(of), top->out);
    terminal_field(top->out, line, top->n_columns && n_used > top->n_columns ? top->n_columns : n_used, SIDE_LEFT);
    fprintf(top->out, "%s\n", style(STYLE_PLAIN));
}

static void write_bar(double part, char text[CELL_SIZE]) {
    int n_full = (int)(fmin(fmax(part, 0), 1) * BAR_COLUMNS + 0.5);
    snprintf(text, CELL_SIZE, "[%.*s%*s]", n_full, "||||||||||||||||||||", BAR_COLUMNS - n_full, "");
}

/* ---- the host ------------------------------------------------------------------------------------------------------ */

static void print_state(top *top) {
    const inspected_host *host = &top->rows.host;
    char up[FORMAT_SIZE], bar[CELL_SIZE], more[2 * CELL_SIZE] = "", recovered[CELL_SIZE] = "";
    terminal_style of = host->status.state == LIPC_HOST_READY  ? STYLE_GOOD
                        : host->status.state == LIPC_HOST_GONE ? STYLE_BAD
                                                               : STYLE_WARN;
    bool is_loading = host->status.state == LIPC_HOST_LOADING || host->status.state == LIPC_HOST_RECOVERING;
    write_bar(host->status.load_per_mille / 1000.0, bar);
    if (host->n_recoveries > 0)
        snprintf(recovered, sizeof recovered, ", recovered %d time%s", host->n_recoveries,
                 host->n_recoveries == 1 ? "" : "s");
    if (is_loading) snprintf(more, sizeof more, ", loading %s %d %%", bar, host->status.load_per_mille / 10);
    else if (host->worker_pid != host->status.host_pid) snprintf(more, sizeof more, ", worker %d", host->worker_pid);
    if (host->status.state == LIPC_HOST_GONE)
        print_line(top, of, "host     '%s', process %d, is DEAD; this is what it left%s", top->options->name,
                   host->status.host_pid, recovered);
    else
        print_line(top, of, "host     '%s', process %d, %s, up %s%s%s", top->options->name, host->status.host_pid,
                   cli_host_words(&host->status), format_duration(host->uptime_s, up), recovered, more);
}

static void print_host(top *top) {
    const lipc_host_status *status = &top->rows.host.status;
    char amount[FORMAT_SIZE], weights[CELL_SIZE] = "";
    print_state(top);
    if (status->n_parameters > 0) /* a text that is played back has none */
        snprintf(weights, sizeof weights, ", %s parameters, context %d, %d thread%s",
                 format_amount(status->n_parameters, amount), status->n_ctx, status->n_threads,
                 status->n_threads == 1 ? "" : "s");
    print_line(top, STYLE_PLAIN, "model    %s%s", status->model[0] ? status->model : "not loaded yet", weights);
    print_line(top, STYLE_PLAIN, "clients  %d of %u that can attach", status->n_clients, top->rows.n_records);
    print_line(top, STYLE_PLAIN, "streams  %d running of %d at a time, %d waiting, %d detached; %d in total",
               status->n_running, status->n_parallel, status->n_queued, top->rows.n_detached, status->n_streams);
    print_line(top, STYLE_BOLD, "speed    %.1f tokens/s%s", top->rows.rate, top->is_paused ? "   (paused)" : "");
}

/* ---- the table ----------------------------------------------------------------------------------------------------- */

static size_t width_of(const top *top, top_column column) {
    size_t n_fixed = 0;
    if (columns[column].width > 0) return columns[column].width;
    for (int i = 0; i < TOP_N_COLUMNS; i++) n_fixed += columns[i].width + (columns[i].width > 0);
    if (top->n_columns == 0) return PROGRAM_PLAIN;
    return top->n_columns > n_fixed + PROGRAM_LEAST ? top->n_columns - n_fixed : PROGRAM_LEAST;
}

static void write_number(double value, int n_digits, char text[CELL_SIZE]) {
    if (value < 0) snprintf(text, CELL_SIZE, "-");
    else snprintf(text, CELL_SIZE, "%.*f", n_digits, value);
}

static void write_seconds(double seconds, char text[CELL_SIZE]) {
    if (seconds < 0) snprintf(text, CELL_SIZE, "-");
    else if (seconds < 1) snprintf(text, CELL_SIZE, "%.1fms", seconds * 1e3);
    else if (seconds < 1000) snprintf(text, CELL_SIZE, "%.1fs", seconds);
    else snprintf(text, CELL_SIZE, "%.0fs", seconds);
}

static void write_cell(const top_row *row, top_column column, char text[CELL_SIZE]) {
    switch (column) {
    case TOP_PID: write_number(row->pid > 0 ? row->pid : -1, 0, text); break;
    case TOP_STREAM: write_number(row->stream > 0 ? row->stream : -1, 0, text); break;
    case TOP_STATE: snprintf(text, CELL_SIZE, "%s", row->state); break;
    case TOP_QUEUE: write_number(row->queue > 0 ? row->queue : -1, 0, text); break;
    case TOP_PROMPT: write_number(row->n_prompt, 0, text); break;
    case TOP_CACHED: write_number(row->n_cached, 0, text); break;
    case TOP_TOKENS: write_number(row->n_tokens, 0, text); break;
    case TOP_RATE: write_number(row->rate, row->rate < 10000, text); break;
    case TOP_FIRST: write_seconds(row->first_s, text); break;
    case TOP_PROGRAM: snprintf(text, CELL_SIZE, "%s", row->program); break;
    case TOP_N_COLUMNS: text[0] = 0; break;
    }
}

/* A row, or the titles (NULL); as many columns as there is room for. */
static void print_row(top *top, const top_row *row) {
    char cell[CELL_SIZE];
    size_t n_used = 0;
    fputs(style(!row ? STYLE_BOLD : row->is_at_work ? STYLE_GOOD : STYLE_PLAIN), top->out);
    for (int i = 0; i < TOP_N_COLUMNS; i++) {
        size_t width = width_of(top, (top_column)i), gap = i > 0;
        if (top->n_columns && n_used + gap + width > top->n_columns) {
            if (n_used + gap >= top->n_columns) break;
            width = top->n_columns - n_used - gap;
        }
        if (row) write_cell(row, (top_column)i, cell);
        else snprintf(cell, sizeof cell, "%s", columns[i].title);
        if (gap) fputc(' ', top->out);
        bool is_sorted = !row && top->n_columns && (int)top->column == i;
        if (is_sorted) fputs(style(STYLE_WARN), top->out);
        /* Nothing is behind the last one. */
        bool is_last = i == TOP_N_COLUMNS - 1 && terminal_columns(cell) < width;
        terminal_field(top->out, cell, is_last ? terminal_columns(cell) : width, columns[i].side);
        if (is_sorted) fprintf(top->out, "%s%s", style(STYLE_PLAIN), style(STYLE_BOLD));
        n_used += gap + width;
    }
    fprintf(top->out, "%s\n", style(STYLE_PLAIN));
}

/* ---- looking ------------------------------------------------------------------------------------------------------- */

static void look_again(top *top) {
    inspection inspection;
    top->error = inspect_open(&inspection, top->options->name, top->message);
    top->has_host = top->error == LIPC_E_OK;
    if (!top->has_host) return;
    top->has_host = top_rows_look(&top->rows, &inspection);
    if (!top->has_host) {
        top->error = LIPC_E_NO_MEMORY;
        snprintf(top->message, sizeof top->message, "not enough memory");
    }
    inspect_close(&inspection);
}

/* ---- once ---------------------------------------------------------------------------------------------------------- */

static cli_exit print_once(top *top) {
    if (!top->has_host) {
        terminal_fail("%s", top->message);
        return cli_exit_for(top->error);
    }
    top->out = stdout;
    print_host(top);
    printf("\n");
    print_row(top, NULL);
    for (size_t i = 0; i < top->rows.n_rows; i++) print_row(top, &top->rows.rows[i]);
    if (fflush(stdout) != 0) {
        terminal_fail("cannot write to standard output");
        return CLI_EXIT_FAILURE;
    }
    return top->rows.host.status.state == LIPC_HOST_GONE ? CLI_EXIT_NO_HOST : CLI_EXIT_OK;
}

/* ---- on the screen ------------------------------------------------------------------------------------------------- */

#define HELP "q quit  < > r sort  + - interval %.1f s  space pause"

static void print_screen(top *top) {
    size_t n_lines = (size_t)screen_rows(), n_above = 7; /* the host, an empty line, the titles */
    size_t n_shown = n_lines > n_above + 1 ? n_lines - n_above - 1 : 0;
    size_t n_most = top->rows.n_rows > n_shown ? top->rows.n_rows - n_shown : 0;
    if (top->n_skipped > n_most) top->n_skipped = n_most;
    print_host(top);
    fputc('\n', top->out);
    print_row(top, NULL);
    for (size_t i = 0; i < n_shown; i++) {
        if (i + top->n_skipped < top->rows.n_rows) print_row(top, &top->rows.rows[i + top->n_skipped]);
        else fputc('\n', top->out);
    }
    if (n_most > 0)
        print_line(top, STYLE_DIM, HELP "  up down: %zu more", top->interval_s, n_most);
    else
        print_line(top, STYLE_DIM, HELP, top->interval_s);
}

static void print_nothing(top *top) {
    bool is_default = strcmp(top->options->name, LIPC_DEFAULT_NAME) == 0;
    print_line(top, STYLE_WARN, "%s", top->message);
    if (top->error == LIPC_E_NO_HOST)
        print_line(top, STYLE_PLAIN, "waiting for one; chatbot%s%s -m FILE starts it", is_default ? "" : " --name ",
                   is_default ? "" : top->options->name);
    fputc('\n', top->out);
    print_line(top, STYLE_DIM, "q quit");
}

static void draw(top *top) {
    char *text = NULL;
    size_t n_bytes = 0, n_lines = 0, n_shown = 0;
    top->n_columns = (size_t)screen_columns();
    top->out = system_text_open();
    if (!top->out) return;
    if (top->has_host) print_screen(top);
    else print_nothing(top);
    bool is_whole = system_text_close(top->out, &text, &n_bytes);
    top->out = NULL;
    /* A screen of few lines shows the first ones. */
    for (; n_shown < n_bytes && n_lines < (size_t)screen_rows(); n_shown++) n_lines += text[n_shown] == '\n';
    if (is_whole) screen_show(text, n_shown);
    free(text);
}

static void move_sort(top *top, int by) {
    top->column = (top_column)(((int)top->column + by + TOP_N_COLUMNS) % TOP_N_COLUMNS);
    top->is_reversed = false;
}

static void change_interval(top *top, double factor) {
    top->interval_s = fmin(fmax(top->interval_s * factor, INTERVAL_LEAST), INTERVAL_MOST);
}

/* Returns whether the program is to end. */
static bool take_key(top *top, int key) {
    switch (key) {
    case 'q':
    case SCREEN_END: return true;
    case '<':
    case SCREEN_LEFT: move_sort(top, -1); break;
    case '>':
    case SCREEN_RIGHT: move_sort(top, 1); break;
    case 'r': top->is_reversed = !top->is_reversed; break;
    case '+': change_interval(top, 2); break;
    case '-': change_interval(top, 0.5); break;
    case ' ': top->is_paused = !top->is_paused; break;
    case SCREEN_UP: top->n_skipped -= top->n_skipped > 0; break;
    case SCREEN_DOWN: top->n_skipped++; break;
    default:
        for (int i = 0; i < TOP_N_COLUMNS; i++)
            if (key > 0 && columns[i].key == key) move_sort(top, i - (int)top->column);
    }
    return false;
}

static void watch(top *top) {
    uint64_t next_ns = plat_clock_ns();
    int event = SCREEN_NOTHING;
    screen_open();
    while (!take_key(top, event)) {
        if (plat_clock_ns() >= next_ns) {
            if (!top->is_paused) look_again(top);
            next_ns = plat_clock_ns() + (uint64_t)(top->interval_s * 1e9);
        }
        top_rows_sort(&top->rows, top->column, top->is_reversed);
        draw(top);
        event = screen_wait(next_ns);
    }
    screen_close();
}

cli_exit cli_top(const cli_options *options) {
    top top = {.options = options, .column = (top_column)options->sort, .interval_s = (double)options->interval_s};
    cli_exit code = CLI_EXIT_OK;
    look_again(&top);
    top_rows_sort(&top.rows, top.column, false);
    /* What will not be mended by waiting is said at once. */
    bool is_hopeless = !top.has_host && top.error != LIPC_E_NO_HOST && top.error != LIPC_E_TIMEOUT;
    if (options->once || !terminal_has_screen() || is_hopeless) code = print_once(&top);
    else watch(&top);
    top_rows_free(&top.rows);
    return code;
}
