/* frame.c - see frame.h and screen.h. */
#include "frame.h"

#include "screen.h"
#include "system.h"

#include <errno.h>
#include <string.h>

/* The other screen, no cursor, lines do not wrap; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[H\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
/* A frame is shown whole where the terminal knows how (mode 2026); each line clears what is behind it. */
#define FRAME_BEGIN "\033[?2026h\033[H"
#define LINE_END "\033[K\r\n"
#define FRAME_END "\033[K\033[J\033[?2026l"
#define ROWS_DEFAULT 24
#define COLUMNS_DEFAULT 80

static void write_all(const char *text, size_t n_bytes) {
    while (n_bytes > 0) {
        ptrdiff_t n = system_write(1, text, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; /* the terminal is gone: the next wait finds out */
        text += n;
        n_bytes -= (size_t)n;
    }
}

void frame_enter(void) {
    write_all(ENTER, strlen(ENTER));
}

void frame_leave(void) {
    write_all(LEAVE, strlen(LEAVE));
}

int screen_rows(void) {
    int n_columns, n_rows;
    return system_size(1, &n_columns, &n_rows) ? n_rows : ROWS_DEFAULT;
}

int screen_columns(void) {
    int n_columns, n_rows;
    return system_size(1, &n_columns, &n_rows) ? n_columns : COLUMNS_DEFAULT;
}

void screen_show(const char *text, size_t n_bytes) {
    write_all(FRAME_BEGIN, strlen(FRAME_BEGIN));
    for (;;) {
        const char *end = memchr(text, '\n', n_bytes);
        size_t n = end ? (size_t)(end - text) : n_bytes;
        write_all(text, n);
        if (!end || n + 1 == n_bytes) break;
        write_all(LINE_END, strlen(LINE_END));
        text += n + 1;
        n_bytes -= n + 1;
    }
    write_all(FRAME_END, strlen(FRAME_END));
}
