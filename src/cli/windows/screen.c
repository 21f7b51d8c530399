/* screen.c - see ../screen.h. */
#include "../screen.h"

#include "console.h"

#include "../frame.h"

#include "../../platform/platform.h"

#include <stdbool.h>
#include <stdlib.h>

#define CTRL_C 3
#define NS_PER_MS 1000000u

static bool is_open, has_keys;
static DWORD mode;

void screen_open(void) {
    static bool is_registered;
    if (!is_registered) atexit(screen_close);
    is_registered = true;
    has_keys = GetConsoleMode(console_stream(0), &mode) != 0;
    if (has_keys) SetConsoleMode(console_stream(0), ENABLE_WINDOW_INPUT); /* Ctrl-C is a key */
    is_open = true;
    frame_enter();
}

void screen_close(void) {
    if (!is_open) return;
    is_open = false;
    frame_leave();
    if (has_keys) SetConsoleMode(console_stream(0), mode);
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

/* Waits for an event of the console; without one, merely until the deadline. */
static bool wait_event(uint64_t deadline_ns) {
    uint64_t now_ns = plat_clock_ns(), left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
    DWORD ms = left_ms < INFINITE ? (DWORD)left_ms : INFINITE;
    if (has_keys) return WaitForSingleObject(console_stream(0), ms) == WAIT_OBJECT_0;
    Sleep(ms);
    return false;
}

int screen_wait(uint64_t deadline_ns) {
    for (;;) {
        if (!wait_event(deadline_ns)) return SCREEN_NOTHING;
        int event = take_event();
        if (event != SCREEN_NOTHING) return event;
    }
}
