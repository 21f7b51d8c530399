/* events.h - an event stream (text/event-stream, as HTML specifies it) cut into the data of its events. Pure functions.
 *
 * Of an event only its data counts: names, ids and comments are skipped. What comes is arbitrary bytes, in arbitrary pieces.
 */
#ifndef REMOTE_EVENTS_H
#define REMOTE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#define EVENTS_LINE_MAX (1u << 20)  /* bytes of a line */
#define EVENTS_DATA_MAX (1u << 20)  /* bytes of an event's data */

typedef enum events_found {
    EVENTS_NOTHING,  /* more bytes are needed */
    EVENTS_EVENT,    /* events.data is the data of one, until the next call */
    EVENTS_TOO_LONG, /* one has more bytes than are taken; nothing can be read from here on */
    EVENTS_NO_MEMORY
} events_found;

/* Begins as {0}; events_free gives its memory back. */
typedef struct events {
    char *data;      /* terminated; may contain zero bytes */
    size_t n_data;
    /* What follows is its own. */
    char *line;
    size_t n_line, line_size, data_size;
    bool has_data;    /* a "data" field, even if it is empty */
    bool was_return;  /* the last byte was a carriage return: a line feed behind it belongs to it */
    bool is_read;     /* what stands in `data` has been handed out */
    bool has_begun;   /* a byte order mark is skipped only at the beginning */
} events;

/* Reads on, up to the end of the next event. *n_used is how many of the bytes that took: call it again with the others. */
events_found events_read(events *events, const char *bytes, size_t n_bytes, size_t *n_used);

void events_free(events *events);

#endif
