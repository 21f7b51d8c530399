/* reservations.pml - two ways to one stream: src/channel/hub.c (reservations), src/client/stream.c (places),
 * src/host/stream_service.c (looking, granting).
 *
 * Clients ask for the only stream: they take it if it is free, make a reservation if it is not, look once more, wait, change their
 * minds, die. The host frees what was given back or left by the dead, grants reservations in the order of their tickets, and is
 * killed between any two steps; its successor scans first. What a stream is used for is stream.pml's. That a ring makes the
 * rung look is doorbell.pml's: here it is a bit.
 *
 * What must hold: a stream has one user; what a living client holds is not taken from it; and when nothing moves any more,
 * nobody waits, no reservation stands and the stream is free.
 *
 * check: reservations_client_deaths  -DHOST_DEATHS=1 -DCLIENT_DEATHS=1
 * check: reservations_host_deaths    -DHOST_DEATHS=2 -DCLIENT_DEATHS=0
 *
 * bug: BUG_RUNG_BEFORE_RESERVATION   reservations_client_deaths
 * bug: BUG_GRANT_BLIND        reservations_client_deaths
 * bug: BUG_GRANT_FORGOTTEN    reservations_client_deaths
 * bug: BUG_GRANT_AS_CLAIM     reservations_client_deaths
 * bug: BUG_CLAIMED_FREED      reservations_client_deaths
 * bug: BUG_COMPLETED_ONCE     reservations_client_deaths
 */
#define CLIENTS 2
#define NOBODY 2

/* Phases of a claim and of a reservation. */
#define FREE 0
#define CLAIMED 1
#define SUBMITTED 2
#define RELEASED 3
#define OFFERED 4
#define CLAIM(phase, owner, generation) ((phase) + (owner) * 8 + (generation) * 32)
#define PHASE(claim) ((claim) & 7)
#define OWNER(claim) (((claim) / 8) & 3)
#define GENERATION(claim) ((claim) / 32)
#define NONE 0
#define WAITING 1
#define GRANTED 2
#define RESERVATION(phase, ticket) ((phase) + (ticket) * 4)

#ifdef BUG_GRANT_AS_CLAIM
#define GRANT_PHASE CLAIMED
#else
#define GRANT_PHASE OFFERED
#endif

short claim = CLAIM(FREE, 0, 0);
byte reservation[CLIENTS], storing[CLIENTS]; /* the reservation, and the store of one that is not visible yet (+ 1; 0: none) */
byte next_ticket;
bool host_rung, rung[CLIENTS];
bool attached[CLIENTS];
bool killed[CLIENTS], dead[CLIENTS], host_killed;
bool may_leave;
byte user = NOBODY;    /* ghost: who uses the stream */
byte n_client_deaths = CLIENT_DEATHS, n_host_deaths = HOST_DEATHS;

/* A compare-and-swap; a step of its own. */
#define CHANGE_CLAIM(from, to) if :: claim == (from) -> claim = (to); is_changed = true :: else -> is_changed = false fi

proctype memory() {
end_memory:
    do
    :: d_step { storing[0] != 0 -> reservation[0] = storing[0] - 1; storing[0] = 0 }
    :: d_step { storing[1] != 0 -> reservation[1] = storing[1] - 1; storing[1] = 0 }
    od
}

/* stream.c submit .. close: what is held is handed over, used, and given back. */
inline use() {
    atomic { assert(user == NOBODY); user = me }; /* step: stream.request.bytes */
    atomic { /* step: client.change.claim */
        CHANGE_CLAIM(mine, CLAIM(SUBMITTED, me, GENERATION(mine)));
        assert(is_changed); /* a living client's claim is its own */
        mine = CLAIM(SUBMITTED, me, GENERATION(mine))
    };
    host_rung = true
}

inline give_back() {
    atomic { /* step: client.change.claim */
        if :: user == me -> user = NOBODY :: else fi;
        CHANGE_CLAIM(mine, CLAIM(RELEASED, me, GENERATION(mine)));
        assert(is_changed);
        mine = 0
    };
    host_rung = true
}

/* reservation_take, take_granted. `is_changed`: the stream is ours. */
inline take_grant() {
    mine = claim;
    if
    :: PHASE(mine) == GRANT_PHASE && OWNER(mine) == me ->
#ifndef BUG_GRANT_AS_CLAIM
        atomic { CHANGE_CLAIM(mine, CLAIM(CLAIMED, me, GENERATION(mine))); mine = CLAIM(CLAIMED, me, GENERATION(mine)) };
        assert(is_changed); /* step: reservation.take.claimed */
#else
        is_changed = true;
#endif
    :: else -> is_changed = false; mine = 0
    fi;
    reservation[me] = NONE /* step: reservation.take.reservation */
}

/* reservation_withdraw, withdraw_reservation. `is_changed`: a stream was granted after all, and is ours. */
inline withdraw() {
    atomic {
        storing[me] == 0; /* one's own stores come first */
        if
        :: (reservation[me] & 3) == WAITING -> reservation[me] = NONE; is_changed = false; goto withdrawn /* step: reservation.withdraw.reservation */
        :: else
        fi
    };
    take_grant();
withdrawn:
    skip
}

proctype client(byte me) {
    short mine;
    bool is_changed, is_patient;
    byte n;
    {
        for (n : 1 .. 1) {
            atomic { mine = claim; if :: PHASE(mine) == FREE -> skip :: else -> goto no_stream fi }; /* the look */
            atomic { /* step: stream.claim.claimed */
                CHANGE_CLAIM(mine, CLAIM(CLAIMED, me, GENERATION(mine)));
                mine = CLAIM(CLAIMED, me, GENERATION(mine));
                if :: is_changed -> skip :: else -> goto no_stream fi
            };
            goto placed;
no_stream:
            atomic { storing[me] = 1 + RESERVATION(WAITING, next_ticket); next_ticket++; mine = 0 }; /* step: reservation.request.waiting */
#ifndef BUG_RUNG_BEFORE_RESERVATION
            storing[me] == 0; /* the fence of reservation_request; that of the ring would do */
#endif
            host_rung = true;
            atomic { mine = claim; if :: PHASE(mine) == FREE -> skip :: else -> mine = 0; goto waiting fi };
            atomic { /* step: stream.claim.claimed */
                CHANGE_CLAIM(mine, CLAIM(CLAIMED, me, GENERATION(mine)));
                mine = CLAIM(CLAIMED, me, GENERATION(mine));
                if :: is_changed -> skip :: else -> mine = 0; goto waiting fi
            };
            /* Submit first: a reservation that is granted meanwhile names a stream that is not ours to take any more. */
            use();
            atomic {
                storing[me] == 0;
                if :: (reservation[me] & 3) == WAITING -> reservation[me] = NONE; goto submitted :: else fi
            };
            { short submitted_claim = mine; take_grant(); if :: is_changed -> give_back() :: else fi; mine = submitted_claim; submitted_claim = 0 };
            goto submitted;
waiting:
            if :: is_patient = true :: is_patient = false fi;
            do
            :: atomic { rung[me] = false }; /* arms, and looks */
                if
                :: atomic { storing[me] == 0 && (reservation[me] & 3) == GRANTED -> break }
                :: else ->
                    if
                    :: rung[me] /* sleeps until it is rung */
                    :: !is_patient -> goto changed_mind
                    fi
                fi
            od;
            take_grant();
            if :: is_changed -> goto placed :: else -> goto no_stream fi;
changed_mind:
            withdraw();
            if :: is_changed -> give_back() :: else fi;
            goto next;
placed:
            use();
submitted:
            give_back();
next:
            mine = 0; is_patient = false
        };
        may_leave; /* stays for a while, with nothing to do */
        atomic { storing[me] == 0 -> attached[me] = false; is_patient = false; killed[me] = false; n = 0; is_changed = false }; /* step: hub.leave.claim */
        host_rung = true
    } unless {
        /* The kernel has written its stores out before it tells the host. */
        atomic {
            killed[me] && storing[me] == 0 ->
            dead[me] = true; host_rung = true; mine = 0; is_changed = false; is_patient = false; n = 0;
            if :: user == me -> user = NOBODY :: else fi
        }
    }
}

#define GONE(c) ((gone >> (c)) & 1)

/* One incarnation after the other: what the host knows is its own and dies with it. */
proctype host() {
    short seen;
    byte gone, seen_reservation, c;
    bool is_changed;
start:
    {
        /* The scan: a grant that was begun is completed; one whose client thought better of it is taken back. */
#ifndef BUG_GRANT_FORGOTTEN
        seen = claim;
        if
        :: PHASE(seen) == GRANT_PHASE ->
            c = OWNER(seen);
            seen_reservation = reservation[c];
            atomic { /* step: reservation.grant.reservation */
                is_changed = (seen_reservation & 3) == GRANTED;
                if
                :: (seen_reservation & 3) == WAITING && reservation[c] == seen_reservation ->
                    reservation[c] = seen_reservation + GRANTED - WAITING; rung[c] = true; is_changed = true
#ifdef BUG_COMPLETED_ONCE
                :: (seen_reservation & 3) == WAITING && reservation[c] != seen_reservation -> is_changed = true
#endif
                :: else
                fi
            };
            if
            :: is_changed
            :: else -> /* withdrawn, maybe this moment */
#ifndef BUG_GRANT_AS_CLAIM
                atomic { CHANGE_CLAIM(seen, CLAIM(FREE, 0, GENERATION(seen) + 1)) } /* step: streams.free.claim */
#else
                skip
#endif
            fi
        :: else
        fi;
#ifdef BUG_CLAIMED_FREED
        if :: PHASE(seen) == CLAIMED -> atomic { CHANGE_CLAIM(seen, CLAIM(FREE, 0, GENERATION(seen) + 1)) } :: else fi;
#endif
#endif
        atomic { seen = 0; seen_reservation = 0; c = 0; is_changed = false; host_rung = true };
        atomic { rung[0] = true; rung[1] = true }; /* what the one before did and did not ring for */
end_host:
        do
        :: atomic { host_rung -> host_rung = false };
            /* client_registry_scan: who is gone at this moment. */
            atomic { gone = (dead[0] || !attached[0] -> 1 : 0) + (dead[1] || !attached[1] -> 2 : 0) };
            /* look_at */
            seen = claim;
            if
            :: PHASE(seen) == RELEASED ||
               ((PHASE(seen) == CLAIMED || PHASE(seen) == OFFERED || PHASE(seen) == SUBMITTED) && GONE(OWNER(seen))) ->
                atomic { CHANGE_CLAIM(seen, CLAIM(FREE, 0, GENERATION(seen) + 1)) }; /* step: streams.free.claim */
            :: else
            fi;
            atomic { seen = 0; is_changed = false };
            /* client_registry_dismiss; a fence; stream_service_grant */
            if :: GONE(0) -> reservation[0] = NONE :: else fi; /* step: hub.free.reservation */
            if :: GONE(1) -> reservation[1] = NONE :: else fi;
            atomic { /* the lowest ticket; a reservation that comes meanwhile has a higher one */
                if
                :: (reservation[0] & 3) == WAITING && !GONE(0) && ((reservation[1] & 3) != WAITING || GONE(1) || reservation[0] < reservation[1]) -> c = 0
                :: (reservation[1] & 3) == WAITING && !GONE(1) && ((reservation[0] & 3) != WAITING || GONE(0) || reservation[1] < reservation[0]) -> c = 1
                :: else -> c = NOBODY
                fi;
                if :: c != NOBODY -> seen_reservation = reservation[c] :: else fi
            };
            if
            :: c != NOBODY ->
                seen = claim;
                if
                :: PHASE(seen) == FREE ->
                    atomic { /* step: stream.offer.offered */
                        CHANGE_CLAIM(seen, CLAIM(GRANT_PHASE, c, GENERATION(seen)));
                        seen = CLAIM(GRANT_PHASE, c, GENERATION(seen))
                    };
                    if
                    :: is_changed ->
                        atomic { /* step: reservation.grant.reservation */
#ifdef BUG_GRANT_BLIND
                            reservation[c] = seen_reservation + GRANTED - WAITING
#else
                            if
                            :: reservation[c] == seen_reservation -> reservation[c] = seen_reservation + GRANTED - WAITING
                            :: else -> is_changed = false
                            fi
#endif
                        };
                        if :: !is_changed -> atomic { CHANGE_CLAIM(seen, CLAIM(FREE, 0, GENERATION(seen) + 1)); host_rung = true } :: else fi;
                        rung[c] = true /* step: bell.ring.rung */
                    :: else
                    fi
                :: else
                fi
            :: else
            fi;
            atomic { seen = 0; seen_reservation = 0; c = 0; is_changed = false; gone = 0 };
        od
    } unless {
        atomic { host_killed -> host_killed = false; seen = 0; seen_reservation = 0; c = 0; is_changed = false; gone = 0 };
        goto start
    }
}

proctype killer() {
    do
    :: n_client_deaths > 0 && attached[0] && !killed[0] -> atomic { n_client_deaths--; killed[0] = true }
    :: n_client_deaths > 0 && attached[1] && !killed[1] -> atomic { n_client_deaths--; killed[1] = true }
    :: n_host_deaths > 0 && !host_killed -> atomic { n_host_deaths--; host_killed = true }
    :: atomic { n_client_deaths = 0; n_host_deaths = 0; break }
    od
}

proctype monitor() {
    timeout;
    assert(PHASE(claim) == FREE); /* though its last user may still be there */
    may_leave = true;
    timeout;
    assert(PHASE(claim) == FREE);
    assert(reservation[0] == NONE && reservation[1] == NONE);
    assert((dead[0] || !attached[0]) && (dead[1] || !attached[1])) /* all are through: nobody waits */
}

init {
    atomic {
        attached[0] = true; attached[1] = true;
        run memory(); run client(0); run client(1); run host(); run killer(); run monitor()
    }
}
