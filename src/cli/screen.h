/* screen.h - the whole terminal for one command: its other screen, keys as they are pressed, sizes as they change. One
 * screen at a time, one thread.
 *
 * However the program leaves, but for SIGKILL, the terminal is as it was before: the screen, the cursor, the modes.
 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <stddef.h>
#include <stdint.h>

/* Takes the terminal of standard output over. Keys come from standard input if that is a terminal, too. */
void screen_open(void);
void screen_close(void);

int screen_rows(void);
int screen_columns(void);

/* Puts lines, separated by '\n', in the place of what is shown. None may be wider than the screen, or hold more than
 * styles besides text. */
void screen_show(const char *text, size_t n_bytes);

/* What happened: a key (its byte), or one of these. */
enum { SCREEN_NOTHING = 0, SCREEN_RESIZED = -1, SCREEN_END = -2, SCREEN_UP = -3, SCREEN_DOWN = -4, SCREEN_LEFT = -5,
       SCREEN_RIGHT = -6 };

/* Waits until something happens or the deadline passes (NOTHING). END: Ctrl-C, or nobody is at the terminal any more. A
 * signal that ends programs closes the screen and does so. Ctrl-Z closes it until the program goes on. */
int screen_wait(uint64_t deadline_ns);

#endif
