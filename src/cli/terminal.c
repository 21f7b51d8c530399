/* terminal.c - see terminal.h. */
#define _GNU_SOURCE
#include "terminal.h"

#include "system.h"
#include "text.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 2048
#define WIDTH_DEFAULT 80
#define WORD_SIZE 256
#define TAB_COLUMNS 8
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

static bool is_terminal[3], has_colour[3];
static bool is_dumb; /* it can do no more than print */
static bool has_lines, has_progress; /* lines can be replaced; one is there that is to be */
static bool is_nameless;

static bool is_set(const char *name) {
    const char *value = getenv(name);
    return value && value[0];
}

void terminal_begin(void) {
    is_dumb = !system_has_sequences();
    for (int stream = 1; stream <= 2; stream++) {
        is_terminal[stream] = system_is_terminal(stream);
        has_colour[stream] = is_terminal[stream] && !is_dumb && !is_set("NO_COLOR");
    }
    has_lines = is_terminal[STDERR_FILENO] && !is_dumb;
}

bool terminal_is_out(void) {
    return is_terminal[STDOUT_FILENO];
}

bool terminal_has_screen(void) {
    return is_terminal[STDOUT_FILENO] && !is_dumb;
}

bool terminal_is_error(void) {
    return is_terminal[STDERR_FILENO];
}

int terminal_width(void) {
    int n_columns, n_rows;
    for (int stream = 1; stream <= 2; stream++)
        if (is_terminal[stream] && system_size(stream, &n_columns, &n_rows)) return n_columns;
    return WIDTH_DEFAULT;
}

const char *terminal_style_on(FILE *file, terminal_style style) {
    static const char *const codes[] = {"\033[0m", "\033[2m", "\033[1m", "\033[32m", "\033[33m", "\033[31m"};
    return has_colour[file == stdout ? STDOUT_FILENO : STDERR_FILENO] ? codes[style] : "";
}

/* ---- messages ------------------------------------------------------------------------------------------------------ */

static void neutralise(char *text) {
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7F) *text = '?';
}

/* Breaks a message between words, where the terminal would break it anywhere. `column` is where it begins. */
static void break_lines(char *text, int column) {
    int width = terminal_width() - 1, columns;
    char *space = NULL; /* the last one, and where what follows it begins */
    int after_space = 0;
    for (size_t n; (n = system_character(text, &columns)) > 0; text += n) {
        if (*text == ' ') {
            space = text;
            after_space = column + 1;
        }
        column += columns;
        if (column <= width || !space || after_space >= width) continue;
        *space = '\n';
        column -= after_space;
        space = NULL;
    }
}

static void say(terminal_style style, const char *format, va_list arguments) {
    char line[LINE_SIZE];
    vsnprintf(line, sizeof line, format, arguments);
    neutralise(line);
    terminal_progress_clear();
    if (is_terminal[STDERR_FILENO]) break_lines(line, is_nameless ? 0 : (int)strlen("llamaipc: "));
    fprintf(stderr, "%s%s%s%s\n", terminal_style_on(stderr, style), is_nameless ? "" : "llamaipc: ", line,
            terminal_style_on(stderr, STYLE_PLAIN));
}

void terminal_name(bool is_shown) {
    is_nameless = !is_shown;
}

void terminal_say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(STYLE_DIM, format, arguments);
    va_end(arguments);
}

void terminal_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(STYLE_BAD, format, arguments);
    va_end(arguments);
}

/* ---- progress ------------------------------------------------------------------------------------------------------ */

size_t terminal_columns(const char *text) {
    size_t n_bytes, n_columns = 0;
    int columns;
    for (; (n_bytes = system_character(text, &columns)) > 0; text += n_bytes) n_columns += (size_t)columns;
    return n_columns;
}

/* Cuts a text to so many columns. */
static void cut(char *text, size_t n_columns) {
    size_t n_bytes;
    int columns;
    for (; (n_bytes = system_character(text, &columns)) > 0; text += n_bytes) {
        if ((size_t)columns > n_columns) break;
        n_columns -= (size_t)columns;
    }
    *text = 0;
}

static void write_spaces(FILE *file, size_t n) {
    for (; n > 0; n--) fputc(' ', file);
}

void terminal_field(FILE *file, const char *text, size_t n_columns, terminal_side side) {
    char line[LINE_SIZE];
    snprintf(line, sizeof line, "%s", text);
    neutralise(line);
    cut(line, n_columns);
    size_t n_used = terminal_columns(line);
    if (side == SIDE_RIGHT) write_spaces(file, n_columns - n_used);
    fputs(line, file);
    if (side == SIDE_LEFT) write_spaces(file, n_columns - n_used);
}

void terminal_progress(const char *format, ...) {
    char line[LINE_SIZE];
    if (!has_lines) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    neutralise(line);
    cut(line, (size_t)terminal_width() - 1);
    fprintf(stderr, "\r\033[K%s%s%s", terminal_style_on(stderr, STYLE_DIM), line, terminal_style_on(stderr, STYLE_PLAIN));
    fflush(stderr);
    has_progress = true;
}

void terminal_progress_clear(void) {
    if (!has_progress) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    has_progress = false;
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

static int write_error; /* errno of the last write that failed */

const char *terminal_write_reason(void) {
    return strerror(write_error);
}

static bool write_all(const char *text, size_t n_bytes) {
    while (n_bytes > 0) {
        ptrdiff_t n = system_write(STDOUT_FILENO, text, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            write_error = errno;
            return false;
        }
        text += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

bool terminal_write_raw(const char *text) {
    terminal_progress_clear();
    fflush(stdout);
    return write_all(text, strlen(text));
}

/* Bytes of the control character at `text`: C0, DEL, or C1 in UTF-8; 0 if it is none. */
static size_t control_bytes(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    if ((at[0] < 0x20 && at[0] != '\n' && at[0] != '\t') || at[0] == 0x7F) return 1;
    return at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0 ? 2 : 0;
}

/* Where the answer is on the screen. A word that reaches the edge is taken back and written anew on the next line; one of
 * half a line, or of characters of two columns, is left to the terminal, so that it can be copied whole. */
static struct {
    int column;
    char word[WORD_SIZE]; /* the one that is being written */
    size_t n_word;
    int word_columns;
} screen;

static void begin_word(void) {
    screen.n_word = 0;
    screen.word_columns = 0;
}

static void put(text *out, const char *bytes, size_t n_bytes, int columns, int width) {
    bool is_word = screen.word_columns < width / 2 && screen.n_word + n_bytes < WORD_SIZE && columns < 2;
    /* The last column stays free: behind it terminals differ in where they are. */
    if (screen.column + columns > width - 1 && is_word && screen.column > screen.word_columns) {
        char back[32] = "";
        if (screen.word_columns > 0) snprintf(back, sizeof back, "\033[%dD\033[K", screen.word_columns);
        text_add(out, back, strlen(back));
        text_add(out, "\n", 1);
        text_add(out, screen.word, screen.n_word);
        screen.column = screen.word_columns;
    } else if (screen.column + columns > width) {
        screen.column = 0; /* by itself */
    }
    text_add(out, bytes, n_bytes);
    screen.column += columns;
    screen.word_columns += columns;
    if (screen.n_word + n_bytes < WORD_SIZE) memcpy(screen.word + screen.n_word, bytes, n_bytes);
    screen.n_word += n_bytes;
    if (columns > 1) begin_word();
}

/* White space. At the edge a space is the end of the line. */
static void put_space(text *out, char space, int width) {
    int columns = space == '\t' ? TAB_COLUMNS - screen.column % TAB_COLUMNS : 1;
    begin_word();
    if (space != '\n' && screen.column + columns > width - 1) space = '\n';
    text_add(out, &space, 1);
    screen.column = space == '\n' ? 0 : screen.column + columns;
}

bool terminal_write(const char *bytes, size_t n_bytes) {
    text out = {0};
    terminal_progress_clear();
    if (!terminal_is_out()) return write_all(bytes, n_bytes);
    int width = has_lines ? terminal_width() : INT_MAX / 2;
    for (const char *at = bytes, *end = bytes + n_bytes; at < end;) {
        int columns;
        size_t n = control_bytes(at);
        if (*at == ' ' || *at == '\n' || *at == '\t') {
            put_space(&out, *at++, width);
        } else if (n > 0) {
            put(&out, REPLACEMENT, strlen(REPLACEMENT), 1, width);
            at += n;
        } else {
            n = system_character(at, &columns);
            if (n == 0) n = 1;
            put(&out, at, n, columns, width);
            at += n;
        }
    }
    bool is_written = !out.is_short_of_memory && write_all(out.bytes, out.n_bytes);
    text_free(&out);
    return is_written;
}
