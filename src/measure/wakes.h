/* wakes.h - what the modern channel costs by itself: publishing a token, and waking who sleeps for it, against a bare futex
 * with a time stamp and nothing else.
 *
 * The readers are processes of their own and are woken by turns, one wake of each kind after the other, so that whatever
 * the machine does hits all of them; writer and readers keep to one core each.
 */
#ifndef MEASURE_WAKES_H
#define MEASURE_WAKES_H

#include "measure.h"

enum {
    WAKE_FUTEX,
    WAKE_BELL,    /* to the return of plat_doorbell_wait and the snapshot of the token */
    WAKE_LIBRARY, /* to the return of lipc_stream_read */
    N_WAKE_KINDS
};

#define WAKES_MOST 2000

/* Microseconds of so many wakes of each kind: the whole way, and the writer's own part of it. */
void wakes_measure(uint32_t n_wakes, samples way_us[N_WAKE_KINDS], samples writer_us[N_WAKE_KINDS]);

/* Nanoseconds of processor time for publishing one token, with a reader that looks without a pause or without any. */
double publish_cost_ns(bool has_reader);

#endif
