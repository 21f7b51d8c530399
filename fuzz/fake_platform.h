/* fake_platform.h - a platform without processes and objects, for the fuzz targets that play a whole client or host: the
 * segment is memory of exactly its size, so that one byte too far is seen, and time passes when it is told to. Only the
 * doorbells are the real ones. */
#ifndef FUZZ_FAKE_PLATFORM_H
#define FUZZ_FAKE_PLATFORM_H

#include "channel/hub.h"

/* Processes 1 to FAKE_PIDS live, all of them began at FAKE_START_TIME; the first is the target itself. The last cannot be
 * watched. */
#define FAKE_PIDS 16
#define FAKE_START_TIME 77u

/* A geometry as small as the rules allow, so that many inputs fit into a second. */
void fake_geometry(hub_geometry *geometry);

/* The segment that plat_segment_open finds; `owner_pid` 0: nobody owns it. */
typedef struct fake_segment {
    char *base;
    size_t size;
    int owner_pid;
    bool is_replaced; /* another object has its name */
} fake_segment;
extern fake_segment fake_object;

/* Zeroed memory for a segment; the caller frees it. */
char *fake_memory(size_t size);

/* The watched process of a tag dies. */
void fake_death(uint32_t tag);

/* Time passes. A little does with every look at the clock. */
void fake_pass(uint64_t ns);

/* ---- the input, piece by piece; zeroes behind its end ------------------------------------------------------------- */

typedef struct fake_input {
    const uint8_t *at, *end;
} fake_input;

uint32_t fake_take(fake_input *input, uint32_t n_bytes); /* at most 4, the lowest first */

/* Writes over a part of [from, to) that the input chooses, with bytes of the input or one byte again and again. Returns
 * where; *n_bytes says how many. */
size_t fake_scribble(fake_input *input, char *base, size_t from, size_t to, size_t *n_bytes);

#endif
