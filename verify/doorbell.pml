/* doorbell.pml - the bell of src/platform/doorbell.c: arm, look, sleep against change, ring, wake.
 *
 * Sleepers look at words that ringers change; a ringer may be killed between any two of its steps, and then somebody
 * else rings for its death (for a client the host's watch, for a host the client's watch, for a worker its successor).
 * What must hold when nothing moves any more: no sleeper sleeps on something that it has not seen and wanted to see.
 *
 * Memory is not sequentially consistent here where it matters: a ringer's change waits in a store buffer, and the store
 * of arming becomes visible only some time after its compare-and-swap, unless a fence waits for them.
 *
 * check: host_bell    -DSLEEPERS=1 -DKILLABLE=2 -DSLEEPER_DIES -DCHANGES_0=1 -DCHANGES_1=1
 * check: client_bell  -DSLEEPERS=2 -DKILLABLE=1 -DCHANGES_0=1 -DCHANGES_1=0 -DCALLS=2
 *
 * bug: BUG_ARM_NO_FENCE    client_bell
 * bug: BUG_RING_NO_FENCE   client_bell
 * bug: BUG_LOOK_THEN_ARM   host_bell
 * bug: BUG_NO_RINGS        host_bell
 * bug: BUG_DISARM_FIRST    host_bell
 * bug: BUG_DISARM_BLIND    host_bell
 * bug: BUG_DEATH_UNHEARD   host_bell
 * bug: BUG_ARM_ONE_LOAD    client_bell
 * bug: BUG_REQUEST_REPLACED   client_bell
 */
#define NEWS 1
#define ENDS 2
#define ALL 3

#define RINGERS 2

/* The bell. */
byte rings;
byte armed;  /* rings seen * 4 + wanted; 0: nobody sleeps */
byte arming; /* the store of a compare-and-swap that is not visible yet; 0: none */

byte changed[RINGERS];   /* each ringer's store buffer: the kinds of its changes that nobody can see yet */
byte unseen[SLEEPERS];     /* the kinds of what a sleeper has not looked at and could see if it did */

bool asleep[SLEEPERS];
byte wanted[SLEEPERS];
bool killed[RINGERS], ended[RINGERS];
bool sleeper_killed;

inline become_visible(r) {
    d_step {
        changed[r] != 0 ->
        unseen[0] = unseen[0] | changed[r];
#if SLEEPERS > 1
        unseen[1] = unseen[1] | changed[r];
#endif
        changed[r] = 0
    }
}

/* Stores become visible at any time, but at last. */
proctype memory() {
end_memory:
    do
    :: d_step { arming != 0 -> armed = arming; arming = 0 }
    :: become_visible(0)
    :: become_visible(1)
    od
}

/* plat_doorbell_ring */
inline ring(r, about) {
#ifndef BUG_RING_NO_FENCE
    changed[r] == 0; /* the fence */
#endif
    /* plat_doorbell_ring looks */
    saw = armed;
    if
    :: (saw & about) == 0
    :: else ->
#ifdef BUG_DISARM_FIRST
        atomic { arming == 0 -> if :: armed == saw -> armed = 0 :: else fi };
#endif
#ifndef BUG_NO_RINGS
        rings++; /* step: bell.ring.rung */
#endif
        d_step { /* step: bell.ring.woken */
            asleep[0] = false;
#if SLEEPERS > 1
            asleep[1] = false;
#endif
        };
#ifdef BUG_DISARM_BLIND
        atomic { arming == 0 -> armed = 0 }
#elif !defined(BUG_DISARM_FIRST)
        /* step: bell.ring.disarmed */
        atomic { arming == 0 -> if :: armed == saw -> armed = 0 :: else fi }
#endif
    fi;
    saw = 0
}

/* Makes `n` changes at most. If it is killed, somebody hears of its death (client_registry.c on_death, connection.c client_on_host_death,
 * a worker's successor), notes that and rings. The kernel has written a killed process's stores out long before. */
proctype ringer(byte r; byte n) {
    byte saw, about;
    {
        do
        :: n > 0 ->
            n--;
            if :: r == 0 && SLEEPERS > 1 -> about = NEWS :: about = ALL fi;
            changed[r] = changed[r] | about; /* the change of state */
            ring(r, about)
        :: break
        od;
        atomic { about = 0; n = 0; ended[r] = true }
    } unless {
        atomic { killed[r] && changed[r] == 0 -> saw = 0; about = 0; n = 0 };
        changed[r] = ALL;
#ifndef BUG_DEATH_UNHEARD
        ring(r, ALL)
#endif
    }
}

inline look() {
    d_step { found = (unseen[s] & wanted[s]) != 0; unseen[s] = unseen[s] & (ALL - wanted[s]) }
}

/* plat_doorbell_arm */
inline arm() {
    do
    :: seen = rings;
#ifdef BUG_ARM_ONE_LOAD
        before = armed;
#else
        /* Two loads; if `rings` changes between them, nothing has happened and it is tried again. */
        atomic { if :: rings != seen -> goto arm_again :: rings == seen -> before = armed fi };
#endif
        /* step: bell.arm.armed */
        atomic {
            arming == 0 ->
            mine = seen * 4 + wanted[s];
#ifndef BUG_REQUEST_REPLACED
            if :: before / 4 == seen -> mine = mine | before :: else fi;
#endif
            if
            :: armed == before -> arming = mine; before = 0; mine = 0; break
            :: else -> before = 0; mine = 0
            fi
        }
arm_again: skip
    od;
#ifndef BUG_ARM_NO_FENCE
    arming == 0 /* the fence */
#else
    skip
#endif
}

/* One thread that waits: the first for ever, for anything; another one for `calls` calls that may time out, each for
 * anything or, paced, for what must not be late. */
proctype sleeper(byte s; byte calls) {
    byte seen, before, mine;
    bool found;
begin:
    {
        do
        :: atomic { if :: s == 0 :: calls > 0 -> calls-- fi };
            if :: wanted[s] = ALL :: s > 0 -> wanted[s] = ENDS fi;
#ifdef BUG_LOOK_THEN_ARM
            look();
            arm();
#else
            arm();
            look();
#endif
            if
            :: atomic { found -> found = false; seen = 0 }
            :: else ->
                atomic { if :: rings == seen -> asleep[s] = true :: else fi; seen = 0 }; /* the futex compares and queues */
end_asleep:
                if
                :: !asleep[s]
                :: s > 0 && calls > 0 -> asleep[s] = false
                fi
            fi
        :: atomic { s > 0 && calls == 0 -> wanted[s] = 0; break }
        od
    } unless {
        /* The process dies and its successor begins to look, on the bell as it is. */
        d_step {
            sleeper_killed ->
            sleeper_killed = false; asleep[s] = false; unseen[s] = ALL; seen = 0; before = 0; mine = 0; found = false
        };
        goto begin
    }
}

proctype killer() {
    do
    :: !killed[0] && !ended[0] -> killed[0] = true
#if KILLABLE > 1
    :: !killed[1] && !ended[1] -> killed[1] = true
#endif
    :: break
    od;
#ifdef SLEEPER_DIES
    if :: sleeper_killed = true :: skip fi
#endif
}

proctype monitor() {
    byte s;
    timeout;
    for (s : 0 .. SLEEPERS - 1) {
        assert(asleep[s] || wanted[s] == 0);
        assert((unseen[s] & wanted[s]) == 0) /* nobody sleeps on what is for him */
    }
}

init {
    atomic {
        run memory(); run ringer(0, CHANGES_0); run ringer(1, CHANGES_1); run sleeper(0, 0);
#if SLEEPERS > 1
        run sleeper(1, CALLS);
#endif
        run killer(); run monitor()
    }
}
