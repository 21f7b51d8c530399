/* frame.h - what the systems' screen.c have in common: the sequences that take a terminal over and give it back. What is shown in
 * between (screen_show, screen_rows, screen_columns of screen.h) is in frame.c, too.
 */
#ifndef CLI_FRAME_H
#define CLI_FRAME_H

/* The terminal's other screen, without a cursor; and what was there before. */
void frame_enter(void);
void frame_leave(void);

#endif
