/* line.h - lines from a person: editing, history, pasting. On libedit; where standard input or output is no terminal,
 * lines as they come. One thread. */
#ifndef CLI_LINE_H
#define CLI_LINE_H

#include "text.h"

/* `words` up to NULL: what Tab completes at the beginning of a line. */
void line_begin(const char *const *words);
void line_end(void);

typedef enum line_result {
    LINE_GIVEN,
    LINE_DROPPED,     /* Ctrl-C, with something typed */
    LINE_INTERRUPTED, /* Ctrl-C, with nothing typed */
    LINE_CLOSED       /* Ctrl-D, the end of the input */
} line_result;

/* Reads one line, or what was pasted as one, into `line`, without a newline at its end. */
line_result line_read(const char *prompt, text *line);

/* Whether a person is there. */
bool line_is_interactive(void);

/* While something else than a line is waited for: what is typed is not shown, and is kept for the next line. */
void line_hush(bool is_hushed);

#endif
