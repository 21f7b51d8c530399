/* stalls.h - when the machine stood still. The host of a virtual machine takes a core away now and then, for a tenth of a second or
 * more, and what waits on that core waits with it: a pause that no program on the machine can be blamed for.
 *
 * A thread on each core sleeps for a millisecond, again and again. Where it wakes far too late, the core was away.
 */
#ifndef BENCH_STALLS_H
#define BENCH_STALLS_H

#include <stdint.h>

/* Starts to watch, once in a program. */
void stalls_watch(void);

/* Milliseconds between two times in which any core was away. */
double stalls_ms(int64_t begin_ns, int64_t end_ns);

#endif
