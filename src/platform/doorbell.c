/* doorbell.c - a word that counts rings, and beside it a word that says whether anybody sleeps. How one sleeps and wakes is
 * the port's.
 *
 *     sleeper: (1) seen = rings   (2) armed = (seen, wanted)   (3) looks at the state   (4) sleeps while rings == seen
 *     ringer:  (5) changes the state   (6) armed?   (7) rings + 1   (8) wakes   (9) armed: what it saw at (6) -> 0
 *
 * Why no wake-up is lost. Between (2) and (3), and between (5) and (6), lies a full fence: either (6) sees (2) and the
 * ringer goes on to (8), or (3) sees (5) and the sleeper does not sleep. If it goes on, (7) comes before (4), which then
 * does not sleep, or (8) wakes it.
 *
 * Who is killed where. `armed` is taken back only after the wake-up, so a ringer that dies between (6) and (9) leaves it
 * set, and the next one does it all again. The value carries the rings that were seen: a sleeper that has woken and armed
 * again has written another value, which (9) does not touch. A sleeper that dies leaves `armed` set, which costs the next
 * ringer one needless system call.
 *
 * Several sleepers. Those who saw the same `rings` join their wishes in one value. One that replaces an older value
 * replaces that of sleepers whom the ring in between wakes. Should that ringer have died before (8): where several sleep
 * on one bell, in a client, the ringers are the host, whose death rings the bell, and their own process.
 */
#include "doorbell.h"

#include "failpoint.h"

#define WISH_BITS 2
/* Each ring or arming that comes between costs one try. More than this many are no accident: somebody scribbles. */
#define MOST_TRIES 1000

uint32_t plat_doorbell_arm(plat_doorbell *bell, uint32_t wanted) {
    for (int i = 0; i < MOST_TRIES; i++) {
        uint32_t seen = __atomic_load_n(&bell->rings, __ATOMIC_ACQUIRE);
        uint32_t before = __atomic_load_n(&bell->armed, __ATOMIC_ACQUIRE);
        /* A slow thread must not put an old value over that of a newer sleeper, which a ringer would then take back. */
        if (__atomic_load_n(&bell->rings, __ATOMIC_ACQUIRE) != seen) continue;
        uint32_t mine = seen << WISH_BITS | wanted;
        if (before >> WISH_BITS == mine >> WISH_BITS) mine |= before;
        /* Sequentially consistent, and a fence for the loads of (3): pairs with the fence before (6). */
        if (__atomic_compare_exchange_n(&bell->armed, &before, mine, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            FAILPOINT("bell.arm.armed");
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            return seen;
        }
    }
    /* Not armed, so not to sleep: a value that the bell does not have. */
    return __atomic_load_n(&bell->rings, __ATOMIC_ACQUIRE) - 1;
}

bool plat_doorbell_has_rung(const plat_doorbell *bell, uint32_t seen) {
    /* acquire: pairs with (7), so that the state behind the ring is visible. */
    return __atomic_load_n(&bell->rings, __ATOMIC_ACQUIRE) != seen;
}

void plat_doorbell_ring(plat_doorbell *bell, uint32_t about) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint32_t armed = __atomic_load_n(&bell->armed, __ATOMIC_RELAXED);
    if ((armed & about) == 0) return;
    __atomic_fetch_add(&bell->rings, 1, __ATOMIC_SEQ_CST);
    FAILPOINT("bell.ring.rung");
    plat_doorbell_wake(bell);
    FAILPOINT("bell.ring.woken");
    __atomic_compare_exchange_n(&bell->armed, &armed, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    FAILPOINT("bell.ring.disarmed");
}
