/* clock.c - monotonic time. */
#define _GNU_SOURCE
#include "internal.h"

#define NS_PER_SECOND 1000000000u

uint64_t plat_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t plat_deadline_ns(int timeout_ms) {
    return timeout_ms < 0 ? PLAT_NEVER : plat_clock_ns() + (uint64_t)timeout_ms * 1000000u;
}

uint64_t plat_thread_ns(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * NS_PER_SECOND + (uint64_t)used.tv_nsec;
}

void plat_pause_ms(int ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

struct timespec plat_timespec(uint64_t ns) {
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SECOND), .tv_nsec = (long)(ns % NS_PER_SECOND)};
}
