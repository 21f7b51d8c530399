/* doorbell.c - the kernel's part of a bell: `rings` is a futex. */
#define _GNU_SOURCE
#include "internal.h"

#include "../doorbell.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

void plat_doorbell_wake(plat_doorbell *bell) {
    int saved_errno = errno;
    syscall(SYS_futex, &bell->rings, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    errno = saved_errno;
}

void plat_doorbell_wait(plat_doorbell *bell, uint32_t seen, uint64_t deadline_ns) {
    /* FUTEX_WAIT_BITSET takes an absolute monotonic time, FUTEX_WAIT only a relative one. */
    struct timespec deadline = plat_timespec(deadline_ns);
    syscall(SYS_futex, &bell->rings, FUTEX_WAIT_BITSET, seen, deadline_ns == PLAT_NEVER ? NULL : &deadline, NULL,
            FUTEX_BITSET_MATCH_ANY);
}
