/* threads.c - see threads.h. */
#include "threads.h"

#include <math.h>

/* A thread that lacks less than this much of a processor still gains more than it costs... */
#define LACK_BEARABLE 0.5
/* ... and one more is tried only if it would lack hardly anything. */
#define LACK_NEGLIGIBLE 0.25

/* Looks until all are tried again, two in a second, and twice as many after each trial that failed, up to so many of them. */
#define PATIENCE_LOOKS 20
#define PATIENCE_DOUBLED_MOST 3

/* What was used on average of a time that was idle for longer says nothing about now. */
#define IDLE_MOST_NS 2000000000u

double threads_of_others(const plat_load *before, const plat_load *now, uint64_t since_ns, uint64_t idle_ns) {
    /* A sum over other processors is another sum. */
    if (idle_ns > IDLE_MOST_NS || now->n_processors != before->n_processors || now->busy_ns < before->busy_ns) return -1;
    double others = (double)(now->busy_ns - before->busy_ns) - (double)(now->own_ns - before->own_ns);
    return fmax(0, others / (double)since_ns);
}

static int within(int n, int n_most) {
    return n < 1 ? 1 : n < n_most ? n : n_most;
}

static int enough_for(double n_free, double n_lacking) {
    return (int)floor(n_free + n_lacking);
}

void threads_beside(thread_count *count, int n_most, double n_free) {
    int n_before = count->n;
    if (n_free < n_before - LACK_BEARABLE) {
        count->n = within(enough_for(n_free, LACK_BEARABLE), n_most);
    } else if (n_before == n_most) {
        count->n_trials = 0;
    } else if (n_free >= n_before + 1 - LACK_NEGLIGIBLE) {
        count->n = within(enough_for(n_free, LACK_NEGLIGIBLE), n_most);
    } else if (++count->n_looks >= PATIENCE_LOOKS << count->n_trials) {
        count->n = n_most;
        if (count->n_trials < PATIENCE_DOUBLED_MOST) count->n_trials++;
    }
    if (count->n != n_before) count->n_looks = 0;
}
