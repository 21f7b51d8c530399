/* doorbell.c - a futex word and a count of its sleepers.
 *
 * Why no wake-up is lost. The sleeper (1) adds itself to `sleepers`, then (2) reads `rings` - in the kernel, which sleeps
 * only if the word still has the value seen before the sleeper looked at the state. The ringer (3) changes the state,
 * (4) adds to `rings`, then (5) reads `sleepers`. All four are sequentially consistent, so either (5) sees (1) and makes
 * the system call, or (2) sees (4) and does not sleep. A sleeper that is killed leaves `sleepers` too high: that costs
 * the ringers a system call each, never a wake-up.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

uint32_t plat_doorbell_seen(plat_doorbell *bell) {
    /* acquire: pairs with (4), so that the state behind the ring is visible. */
    return __atomic_load_n(&bell->rings, __ATOMIC_ACQUIRE);
}

void plat_doorbell_ring(plat_doorbell *bell) {
    int saved_errno = errno; /* may run in a signal handler */
    __atomic_fetch_add(&bell->rings, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&bell->sleepers, __ATOMIC_SEQ_CST) != 0)
        syscall(SYS_futex, &bell->rings, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    errno = saved_errno;
}

void plat_doorbell_wait(plat_doorbell *bell, uint32_t seen, uint64_t deadline_ns) {
    /* FUTEX_WAIT_BITSET takes an absolute monotonic time, FUTEX_WAIT only a relative one. */
    struct timespec deadline = plat_timespec(deadline_ns);
    __atomic_fetch_add(&bell->sleepers, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &bell->rings, FUTEX_WAIT_BITSET, seen, deadline_ns == PLAT_NEVER ? NULL : &deadline, NULL,
            FUTEX_BITSET_MATCH_ANY);
    __atomic_fetch_sub(&bell->sleepers, 1, __ATOMIC_SEQ_CST);
}
