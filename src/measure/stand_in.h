/* stand_in.h - the host's way of publishing without the host: a modern segment in this process, one stream in it, and
 * the calls that the host makes for each token. What is measured with it is the channel and nothing of an engine. */
#ifndef MEASURE_STAND_IN_H
#define MEASURE_STAND_IN_H

#include "../channel/stream.h"

typedef struct stand_in {
    char name[LIPC_NAME_MAX + 1]; /* the instance that clients of liblipc find; "": the memory has no name */
    plat_segment *segment;
    size_t size;
    hub_view view;
    stream_writer writer;
} stand_in;

/* Makes a segment with one stream and room for log_size bytes of answer. Without a name only processes that are forked
 * later see it; the stream is then begun already, and client 0 is its watcher. */
void stand_in_open(stand_in *host, bool has_name, uint32_t log_size);

/* Waits until a client of liblipc has sent a request, takes the name away, and begins its answer. */
void stand_in_take(stand_in *host);

/* Publishes one token as the host does: the clock, the log, the index, and a ring for whoever watches. */
void stand_in_publish(stand_in *host, const char *text, size_t n_bytes);

/* Ends the answer. */
void stand_in_end(stand_in *host);

void stand_in_close(stand_in *host);

#endif
