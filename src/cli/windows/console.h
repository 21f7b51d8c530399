/* console.h - what the files for the console share. */
#ifndef CLI_WINDOWS_CONSOLE_H
#define CLI_WINDOWS_CONSOLE_H

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdbool.h>
#include <stddef.h>

/* The handle of a standard stream: 0, 1 or 2. */
HANDLE console_stream(int stream);

/* Waits for a line, with the console's own editing and history, and returns up to n_bytes of it as UTF-8; the rest comes next.
 * 0: Ctrl-Z at the beginning of a line; -1 with errno EINTR: a Ctrl-C. */
ptrdiff_t console_read(char *bytes, size_t n_bytes);

#endif
