/* terminal.c - see terminal.h. */
#define _GNU_SOURCE
#include "terminal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define LINE_SIZE 2048
#define WIDTH_DEFAULT 80
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

static bool is_terminal[3], has_colour[3];
static bool has_lines, has_progress; /* lines can be replaced; one is there that is to be */

static bool is_set(const char *name) {
    const char *value = getenv(name);
    return value && value[0];
}

void terminal_begin(void) {
    const char *term = getenv("TERM");
    bool is_dumb = !term || strcmp(term, "dumb") == 0;
    for (int stream = 1; stream <= 2; stream++) {
        is_terminal[stream] = isatty(stream) == 1;
        has_colour[stream] = is_terminal[stream] && !is_dumb && !is_set("NO_COLOR");
    }
    has_lines = is_terminal[STDERR_FILENO] && !is_dumb;
}

bool terminal_is_out(void) {
    return is_terminal[STDOUT_FILENO];
}

bool terminal_is_error(void) {
    return is_terminal[STDERR_FILENO];
}

int terminal_width(void) {
    struct winsize size;
    for (int stream = 1; stream <= 2; stream++)
        if (is_terminal[stream] && ioctl(stream, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
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

static void say(terminal_style style, const char *format, va_list arguments) {
    char line[LINE_SIZE];
    vsnprintf(line, sizeof line, format, arguments);
    neutralise(line);
    terminal_progress_clear();
    fprintf(stderr, "%sllamaipc: %s%s\n", terminal_style_on(stderr, style), line,
            terminal_style_on(stderr, STYLE_PLAIN));
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

/* The character at `text`, and its columns. Returns its bytes; 0 at the end. */
static size_t next_character(const char *text, int *columns) {
    wchar_t character;
    mbstate_t state = {0};
    size_t n_bytes = mbrtowc(&character, text, strlen(text), &state);
    *columns = 1;
    if (n_bytes == 0 || *text == 0) return 0;
    if (n_bytes > MB_LEN_MAX) return 1; /* not of this locale */
    int width = wcwidth(character);
    *columns = width < 0 ? 0 : width;
    return n_bytes;
}

size_t terminal_columns(const char *text) {
    size_t n_bytes, n_columns = 0;
    int columns;
    for (; (n_bytes = next_character(text, &columns)) > 0; text += n_bytes) n_columns += (size_t)columns;
    return n_columns;
}

/* Cuts a text to so many columns. */
static void cut(char *text, size_t n_columns) {
    size_t n_bytes;
    int columns;
    for (; (n_bytes = next_character(text, &columns)) > 0; text += n_bytes) {
        if ((size_t)columns > n_columns) break;
        n_columns -= (size_t)columns;
    }
    *text = 0;
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

static bool write_all(const char *text, size_t n_bytes) {
    while (n_bytes > 0) {
        ssize_t n = write(STDOUT_FILENO, text, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EPIPE) { /* whoever started us ignores the signal */
            signal(SIGPIPE, SIG_DFL);
            raise(SIGPIPE);
        }
        if (n < 0) return false;
        text += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

/* Bytes of the control character at `text`: C0, DEL, or C1 in UTF-8; 0 if it is none. */
static size_t control_bytes(const unsigned char *text, size_t n_bytes) {
    if ((text[0] < 0x20 && text[0] != '\n' && text[0] != '\t') || text[0] == 0x7F) return 1;
    return n_bytes > 1 && text[0] == 0xC2 && text[1] >= 0x80 && text[1] < 0xA0 ? 2 : 0;
}

bool terminal_write(const char *text, size_t n_bytes) {
    terminal_progress_clear();
    if (!terminal_is_out()) return write_all(text, n_bytes);
    size_t n_plain = 0;
    while (n_plain < n_bytes) {
        size_t n_control = control_bytes((const unsigned char *)text + n_plain, n_bytes - n_plain);
        if (n_control == 0) {
            n_plain++;
            continue;
        }
        if (!write_all(text, n_plain) || !write_all(REPLACEMENT, strlen(REPLACEMENT))) return false;
        text += n_plain + n_control;
        n_bytes -= n_plain + n_control;
        n_plain = 0;
    }
    return write_all(text, n_plain);
}
