/* interrupt.h - Ctrl-C: it stops what is under way, and only that.
 *
 * While somebody catches it, the signal is noted, and wakes whoever waits on the client or in a system call. A second one
 * that nobody has taken ends the program at once: whatever hangs, the user gets out.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include "lipc/lipc.h"

#include <stdbool.h>

/* From here on SIGINT is noted. */
void interrupt_catch(void);

/* Whose waiting calls it ends; NULL: nobody's. Before that client is closed. */
void interrupt_client(lipc_client *client);

/* What is done if a second one ends the program; in a signal handler. NULL: nothing. */
void interrupt_last_words(void (*words)(void));

/* Whether it came since the last time it was taken; takes it. */
bool interrupt_take(void);

/* Whether it came; leaves it. */
bool interrupt_is_there(void);

/* In which steps a wait that shows its progress looks whether there is any; and how late a Ctrl-C can be that comes
 * between a look and the wait, where there is nobody to show it to. */
#define PROGRESS_SLICE_MS 100
#define INTERRUPT_SLICE_MS 1000

#endif
