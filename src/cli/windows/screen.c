/* screen.c - see ../screen.h. */
#include "../screen.h"

#include "console.h"

#include "../system.h"

#include "../../platform/platform.h"
#include "../../platform/windows/internal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The other screen, no cursor, lines do not wrap; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[H\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define FRAME_BEGIN "\033[H"
#define LINE_END "\033[K\r\n"
#define FRAME_END "\033[K\033[J"
#define ROWS_DEFAULT 24
#define COLUMNS_DEFAULT 80
#define CTRL_C 3

static bool is_open, has_keys;
static DWORD mode;

static void write_all(const char *text, size_t n_bytes) {
    while (n_bytes > 0) {
        ptrdiff_t n = system_write(1, text, n_bytes);
        if (n <= 0) return; /* the terminal is gone: the next wait finds out */
        text += n;
        n_bytes -= (size_t)n;
    }
}

void screen_open(void) {
    static bool is_registered;
    if (!is_registered) atexit(screen_close);
    is_registered = true;
    has_keys = GetConsoleMode(console_stream(0), &mode) != 0;
    if (has_keys) SetConsoleMode(console_stream(0), ENABLE_WINDOW_INPUT); /* Ctrl-C is a key */
    is_open = true;
    write_all(ENTER, strlen(ENTER));
}

void screen_close(void) {
    if (!is_open) return;
    is_open = false;
    write_all(LEAVE, strlen(LEAVE));
    if (has_keys) SetConsoleMode(console_stream(0), mode);
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

static int key_of(const KEY_EVENT_RECORD *key) {
    if (!key->bKeyDown) return SCREEN_NOTHING;
    switch (key->wVirtualKeyCode) {
    case VK_UP: return SCREEN_UP;
    case VK_DOWN: return SCREEN_DOWN;
    case VK_LEFT: return SCREEN_LEFT;
    case VK_RIGHT: return SCREEN_RIGHT;
    default: break;
    }
    wchar_t character = key->uChar.UnicodeChar;
    return character == CTRL_C ? SCREEN_END : character > 0 && character < 0x7F ? character : SCREEN_NOTHING;
}

static int take_event(void) {
    INPUT_RECORD record;
    DWORD n = 0;
    if (!ReadConsoleInputW(console_stream(0), &record, 1, &n)) return SCREEN_END;
    if (n == 1 && record.EventType == WINDOW_BUFFER_SIZE_EVENT) return SCREEN_RESIZED;
    return n == 1 && record.EventType == KEY_EVENT ? key_of(&record.Event.KeyEvent) : SCREEN_NOTHING;
}

int screen_wait(uint64_t deadline_ns) {
    for (;;) {
        if (!plat_wait(has_keys ? console_stream(0) : NULL, deadline_ns)) return SCREEN_NOTHING;
        int event = take_event();
        if (event != SCREEN_NOTHING) return event;
    }
}
