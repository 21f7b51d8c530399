/* threads.h - how many threads evaluate beside other programs. No llama.h here.
 *
 * The library's threads meet after each node of a graph, and who is early spins. If another program has one of the processors, all
 * wait until the scheduler brings the missing thread back: two threads are then several times slower than one. So there are no
 * more of them than processors that are free. See docs/decisions/0018.
 */
#ifndef ENGINE_LLAMA_THREADS_H
#define ENGINE_LLAMA_THREADS_H

#include "../../platform/platform.h"

typedef struct thread_count {
    int n;        /* threads now */
    int n_looks;  /* that found nothing to change */
    int n_trials; /* of all threads, that failed */
} thread_count;

/* How many processors others used on average between two looks, which are since_ns apart; negative: these do not say it. idle_ns: so
 * long before the second one the last evaluation ended. Looks are between evaluations, so that of long ones they are far apart. */
double threads_of_others(const plat_load *before, const plat_load *now, uint64_t since_ns, uint64_t idle_ns);

/* Changes the count where others leave so many processors free. What is between "enough for those that there are" and "enough for
 * one more" changes nothing, so that a neighbour who takes what is left to it does not make the number go up and down. But such a
 * neighbour may be one that would give way: now and then, and ever more rarely, all n_most are tried. */
void threads_beside(thread_count *count, int n_most, double n_free);

#endif
