/* line.c - see ../line.h. The console edits lines itself and remembers them (F7, arrows) as long as it is open. Each line of what
 * is pasted is one of its own, and nothing is completed. */
#include "../line.h"

#include "console.h"

#include "../interrupt.h"
#include "../system.h"
#include "../terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct {
    bool is_interactive;
    DWORD mode; /* as it was found */
} state;

void line_begin(const char *const *words) {
    (void)words;
    state.is_interactive = system_is_terminal(0) && system_is_terminal(1) && GetConsoleMode(console_stream(0), &state.mode);
}

void line_end(void) {
    line_hush(false);
    state.is_interactive = false;
}

bool line_is_interactive(void) {
    return state.is_interactive;
}

void line_hush(bool is_hushed) {
    if (state.is_interactive)
        SetConsoleMode(console_stream(0), is_hushed ? state.mode & ~(DWORD)ENABLE_ECHO_INPUT : state.mode);
}

/* Up to the end of a line, byte by byte: what is behind it is for the next one. */
line_result line_read(const char *prompt, text *line) {
    char byte = 0;
    ptrdiff_t n;
    text_free(line);
    if (state.is_interactive) terminal_write_raw(prompt);
    while ((n = system_read(0, &byte, 1)) == 1 && byte != '\n') text_add(line, &byte, 1);
    if (interrupt_take()) {
        if (state.is_interactive) terminal_write_raw("\r\n");
        return line->n_bytes > 0 ? LINE_DROPPED : LINE_INTERRUPTED;
    }
    if (n <= 0 && line->n_bytes == 0) return LINE_CLOSED;
    text_trim(line);
    return LINE_GIVEN;
}
