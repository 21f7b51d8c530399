/* stalls.c - see stalls.h. */
#include "stalls.h"

#include "../src/measure/measure.h"

#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#define CORES_MOST 64
#define STALLS_MOST 4096
#define SLEEP_NS 1000000LL
/* A thread that has to wait for others on its core wakes later, too, by a few of the scheduler's slices. */
#define LATE_NS 10000000LL

/* Of one core; written by its thread alone. */
typedef struct watcher {
    uint32_t n;
    int64_t begin_ns[STALLS_MOST], end_ns[STALLS_MOST];
} watcher;

static watcher watchers[CORES_MOST];
static int n_watchers;

static void *watch(void *argument) {
    watcher *own = argument;
    pin_to_core((int)(own - watchers));
    for (int64_t before = now_ns();;) {
        sleep_ns(SLEEP_NS);
        const int64_t now = now_ns();
        if (now - before > SLEEP_NS + LATE_NS && own->n < STALLS_MOST) {
            own->begin_ns[own->n] = before;
            own->end_ns[own->n] = now;
            __atomic_store_n(&own->n, own->n + 1, __ATOMIC_RELEASE);
        }
        before = now;
    }
    return NULL;
}

void stalls_watch(void) {
    const long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; n_watchers == i && i < n_cores && i < CORES_MOST; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, watch, &watchers[i]) != 0)
            fail("cannot start a thread");
        pthread_detach(thread);
        n_watchers++;
    }
}

/* The first stall that is over behind this time, of any core; false if there is none. */
static int find_next(int64_t at_ns, int64_t *begin_ns, int64_t *end_ns) {
    int found = 0;
    for (int w = 0; w < n_watchers; w++)
        for (uint32_t i = 0; i < __atomic_load_n(&watchers[w].n, __ATOMIC_ACQUIRE); i++) {
            const int64_t begin = watchers[w].begin_ns[i], end = watchers[w].end_ns[i];
            if (end <= at_ns || (found && begin >= *begin_ns))
                continue;
            *begin_ns = begin;
            *end_ns = end;
            found = 1;
        }
    return found;
}

double stalls_ms(int64_t begin_ns, int64_t end_ns) {
    int64_t at = begin_ns, stall_begin = 0, stall_end = 0, sum = 0;
    while (at < end_ns && find_next(at, &stall_begin, &stall_end) && stall_begin < end_ns) {
        const int64_t from = stall_begin > at ? stall_begin : at, to = stall_end < end_ns ? stall_end : end_ns;
        sum += to - from;
        at = to;
    }
    return (double)sum / 1e6;
}
