/* terminal.h - everything that llamaipc says: answers on standard output, everything else on standard error.
 *
 * Colours, and lines that are replaced, only where a terminal is behind the stream; no colours if NO_COLOR is set (and
 * not empty) or TERM is "dumb". One thread.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Looks at the streams and the environment. First. */
void terminal_begin(void);

bool terminal_is_out(void);   /* standard output is a terminal */
bool terminal_is_error(void); /* so is standard error */

/* Whether standard output is one on which everything can be placed; not if it is "dumb". */
bool terminal_has_screen(void);

/* Its columns now; 80 if it does not say. */
int terminal_width(void);

typedef enum terminal_style { STYLE_PLAIN, STYLE_DIM, STYLE_BOLD, STYLE_GOOD, STYLE_WARN, STYLE_BAD } terminal_style;

/* What switches the stream to a style: "" where there are no colours. */
const char *terminal_style_on(FILE *file, terminal_style style);

/* A message: "llamaipc: ..." and a newline, on standard error. Control characters are shown as '?'. Where a person talks
 * with nobody else, the name is left out. */
void terminal_name(bool is_shown);
__attribute__((format(printf, 1, 2))) void terminal_say(const char *format, ...);
__attribute__((format(printf, 1, 2))) void terminal_fail(const char *format, ...);

/* One line on standard error that replaces the one before, cut to the width; nothing if that is no terminal. Whatever
 * else is written takes it away first. */
__attribute__((format(printf, 1, 2))) void terminal_progress(const char *format, ...);
void terminal_progress_clear(void);

/* How many columns a text takes. */
size_t terminal_columns(const char *text);

/* Writes a text into a field of exactly so many columns, cut or filled with spaces, whatever characters are in it;
 * control characters are shown as '?'. */
typedef enum terminal_side { SIDE_LEFT, SIDE_RIGHT } terminal_side;
void terminal_field(FILE *file, const char *text, size_t n_columns, terminal_side side);

/* Writes text of a model to standard output, at once. On a terminal words are not broken at the edge, and control
 * characters, but for newline and tab, are shown as U+FFFD: a model must not steer it. Returns false if it could not be
 * written; where nobody reads any more, that ends the program, as SIGPIPE does. */
bool terminal_write(const char *text, size_t n_bytes);
/* Why the last write failed. */
const char *terminal_write_reason(void);

/* Writes what is ours, control sequences included, to standard output, as it is. Returns as terminal_write does. */
bool terminal_write_raw(const char *text);

#endif
