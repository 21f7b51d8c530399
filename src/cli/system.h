/* system.h - what differs between the systems in a program for the terminal; line.h, screen.h and interrupt.h are made for each
 * of them, too. In linux/ and windows/. Streams are 0 (standard input), 1 and 2. One thread.
 */
#ifndef CLI_SYSTEM_H
#define CLI_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* First in main: the arguments become UTF-8, the standard streams are open, and what is written to a terminal is UTF-8.
 * Standard output that was closed is not one that swallows what is written: writing to it stays an error. */
void system_begin(int *argc, char ***argv);

bool system_is_terminal(int stream);

/* Whether the terminal takes colours and places text; otherwise it can do no more than print. */
bool system_has_sequences(void);

/* Columns and rows of the terminal behind a stream now. False: it does not say. */
bool system_size(int stream, int *n_columns, int *n_rows);

/* The character at `text`, and its columns. Returns its bytes; 0 at the end. What is no character is one byte and one column. */
size_t system_character(const char *text, int *n_columns);

/* As read and write have it, on a terminal in UTF-8: the bytes, 0 at the end of the input, or -1 with errno; EINTR if a Ctrl-C
 * came. Where nobody reads any more, writing ends the program as the system ends those. */
ptrdiff_t system_read(int descriptor, char *bytes, size_t n_bytes);
ptrdiff_t system_write(int stream, const char *bytes, size_t n_bytes);

/* How long a process has been there that began then, as plat_process_start_time has it; -1 if the system does not say. */
double system_uptime_s(uint64_t start_time);

/* Whether standard input is a pipe in which something waits to be read. */
bool system_has_unread_input(void);

/* A file to write a text into that is then taken out of it. NULL: there can be none. Closing gives what was written, which the
 * caller frees; false, and then nothing, if it is not whole. One at a time. */
FILE *system_text_open(void);
bool system_text_close(FILE *file, char **text, size_t *n_bytes);

/* What gives plat_objects_place more room; `is_full`: somebody has taken it. */
const char *system_room_advice(bool is_full);

/* Runs another program in the place of this one, with its terminal and streams; `arguments` up to NULL, its name first. Returns its
 * exit code where the system cannot do that but run it and wait, or -1 with errno. */
int system_become(const char *path, const char *const *arguments);

/* Whether there is something of this name. */
bool system_is_there(const char *path);

#endif
