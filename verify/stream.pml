/* stream.pml - one stream and all that happens to it: src/channel/stream.c, src/client/stream.c,
 * src/host/stream_service.c, and the recovery of docs/decisions/0008.
 *
 * Two clients claim the only stream, write a request, read its answer, cancel, let go, give back; one of them may instead
 * find the other's request by its id and read along, or become its owner. The host takes requests, writes answers token by
 * token, frees. Clients and the host's worker are killed between any two steps; a successor of the worker goes on. If it is
 * the supervisor that is killed, the successor is the next host's; a client that has been told of that death leaves its
 * record and writes nothing else.
 *
 * -DEXPELLED: the first client, which closes in the middle of its answer, is taken for dead while it lives.
 * -DDETACHES: the first client lets go of its answer, which goes on.
 * -DTWICE: the first client asks a second time while the other one reads its first answer.
 * That a ring makes the rung look is doorbell.pml's: here it is a bit. How one waits for a place is reservations.pml's.
 *
 * What must hold: a request is taken whole; the writer writes only into the generation that it answers, alone, and nothing
 * behind the end; what a reader gets is a prefix of the one right text, in order, each token once, and at a good end all of
 * it; and when nothing moves any more nobody waits, and the stream is free, or keeps a detached answer.
 *
 * check: stream_deaths       -DATTACH=0 -DALONE -DTOKENS=1 -DWORKER_DEATHS=1 -DCLIENT_DEATHS=1
 * check: stream_two_deaths   -DATTACH=0 -DALONE -DTOKENS=2 -DWORKER_DEATHS=2 -DCLIENT_DEATHS=0
 * check: stream_next_owner   -DATTACH=0 -DTOKENS=1 -DWORKER_DEATHS=0 -DCLIENT_DEATHS=0
 * check: stream_follower     -DATTACH=1 -DTOKENS=1 -DWORKER_DEATHS=0 -DCLIENT_DEATHS=0
 * check: stream_old_owner    -DATTACH=0 -DEXPELLED -DTOKENS=1 -DWORKER_DEATHS=0 -DCLIENT_DEATHS=1
 * check: stream_place_taken  -DATTACH=1 -DTWICE -DTOKENS=1 -DWORKER_DEATHS=0 -DCLIENT_DEATHS=0
 * check: stream_host_dies    -DATTACH=0 -DALONE -DTOKENS=1 -DWORKER_DEATHS=0 -DCLIENT_DEATHS=0 -DHOST_DEATHS=1
 * long: stream_many_deaths   -DATTACH=0 -DALONE -DTOKENS=2 -DWORKER_DEATHS=2 -DCLIENT_DEATHS=1
 * long: stream_owner_dies    -DATTACH=0 -DTOKENS=1 -DWORKER_DEATHS=0 -DCLIENT_DEATHS=1
 * long: stream_next_worker   -DATTACH=1 -DTOKENS=1 -DWORKER_DEATHS=1 -DCLIENT_DEATHS=0
 * long: stream_next_host     -DATTACH=1 -DDETACHES -DTOKENS=1 -DWORKER_DEATHS=0 -DCLIENT_DEATHS=0 -DHOST_DEATHS=1
 *
 * bug: BUG_HALF_REQUEST             stream_next_owner
 * bug: BUG_PUBLISHED_BEFORE_BYTES   stream_next_owner
 * bug: BUG_QUEUED_BEFORE_PUBLISHED  stream_next_owner
 * bug: BUG_ENDED_BEFORE_TEXT        stream_next_owner
 * bug: BUG_PUBLISHED_READ_FIRST     stream_follower
 * bug: BUG_GENERATION_KEPT          stream_next_owner
 * bug: BUG_WATCHERS_CLEARED_LATE    stream_next_owner
 * bug: BUG_BLIND_RELEASE            stream_old_owner
 * bug: BUG_GENERATION_UNCHECKED     stream_place_taken
 * bug: BUG_LEFT_UNSAID              stream_host_dies
 * bug: BUG_DEAD_OWNER_KEPT          stream_deaths
 * bug: BUG_TWO_WORKERS              stream_two_deaths
 * bug: BUG_RESUMED_FROM_START       stream_two_deaths
 * bug: BUG_RESUMED_UNPUBLISHED      stream_two_deaths
 * bug: BUG_RESUMED_ENDED            stream_two_deaths
 * bug: BUG_NOT_RESUMED              stream_two_deaths
 * bug: BUG_RECOVERY_UNHEARD         stream_two_deaths
 */
#define CLIENTS 2
#define NO_OWNER 3

/* Phases of a claim. */
#define FREE 0
#define CLAIMED 1
#define SUBMITTED 2
#define DETACHED 3
#define RELEASED 4
#define CLAIM(phase, owner, generation) ((phase) + (owner) * 8 + (generation) * 32)
#define PHASE(claim) ((claim) & 7)
#define OWNER(claim) (((claim) / 8) & 3)
#define GENERATION(claim) ((claim) / 32)

/* `status`. CUT is ENDED, with less than the whole text. */
#define QUEUED 1
#define READING 2
#define ENDED 3
#define CUT 4
#define STATUS(state, generation) ((state) + (generation) * 8)
#define STATE(status) ((status) & 7)
#define STATUS_GENERATION(status) ((status) / 8)
#define HAS_ENDED(status) (STATE(status) >= ENDED)

/* What a request asks for: a text of its own, and whether the work goes on without its owner. */
#define REQUEST(text, detachable) ((text) + (detachable) * 4)
#define TEXT(request) ((request) & 3)
#define IS_DETACHABLE(request) ((request) / 4)
#define TOKEN(text, place) ((text) * 4 + (place) + 1)

/* The segment. */
byte claim = CLAIM(FREE, 0, 0);
byte cancel;                 /* generation + 1 */
byte id, request[2];         /* a request has two halves, so that it can be torn */
bool watches[CLIENTS];
byte published, status;
byte log[TOKENS], index[TOKENS];

bool host_rung, rung[CLIENTS];
byte n_waiting;              /* clients that need the place; see reservations.pml */
bool killed[CLIENTS], dead[CLIENTS], taken_for_dead[CLIENTS], ended[CLIENTS], worker_killed;
byte n_client_deaths = CLIENT_DEATHS, n_worker_deaths = WORKER_DEATHS;
#if HOST_DEATHS > 0
byte n_host_deaths = HOST_DEATHS;
bool host_died, lost[CLIENTS]; /* its watch has told the client of the host's death */
#define IS_LOST(c) lost[c]
/* client_is_lost: from then on it writes nothing but that it leaves. Not one step with what comes next. */
#define STOP_IF_LOST if :: lost[me] -> goto gone :: else fi;
#else
#define IS_LOST(c) false
#define STOP_IF_LOST
#endif

#ifdef DETACHES
#define LOOKS_IN_STEPS CLIENTS
#else
#define LOOKS_IN_STEPS ATTACH
#endif

#define CHANGE_CLAIM(from, to) if :: claim == (from) -> claim = (to); is_changed = true :: else -> is_changed = false fi
#ifdef BUG_BLIND_RELEASE
#define CHANGE_OWN_CLAIM(to) claim = (to); is_changed = true
#else
#define CHANGE_OWN_CLAIM(to) CHANGE_CLAIM(mine, to)
#endif

/* ---- clients -------------------------------------------------------------------------------------------------------- */

/* stream_read_snapshot, take_text, report_end, until the end of the answer; with what a user may do meanwhile. */
inline read_to_end() {
    do
    :: atomic { rung[me] = false; saw = 0; length = 0 }; /* arms; then looks */
        /* One of the two looks in all its steps, the other one at once: the follower's are of interest, if there is one.
         * Without another request (DETACHES) nobody's are. */
        if
        :: me != LOOKS_IN_STEPS ->
            d_step {
                saw = status;
                if
                :: STATUS_GENERATION(saw) == GENERATION(mine) && STATE(saw) != 0 -> length = published
                :: else -> saw = 0
                fi;
                is_right = true;
                at = cursor;
                do
                :: at < length -> is_right = is_right && log[at] == TOKEN(text, at) && index[at] == TOKEN(text, at); at++
                :: at >= length -> break
                od;
                assert(is_right);
                is_news = length > cursor;
                if :: is_news -> cursor = length :: else fi;
                at = 0; length = 0; is_right = false
            };
            if
            :: GENERATION(claim) != GENERATION(mine) -> goto gone
            :: GENERATION(claim) == GENERATION(mine) && HAS_ENDED(saw) -> assert(STATE(saw) == CUT || cursor == TOKENS); break
            :: else -> goto looked
            fi
        :: else
        fi;
#ifdef BUG_PUBLISHED_READ_FIRST
        length = published;
        saw = status;
#else
        saw = status;       /* stream_read_snapshot: status first */
        length = published;
#endif
        if
        :: STATUS_GENERATION(saw) == GENERATION(mine) && STATE(saw) != 0 ->
            atomic { is_right = true; at = cursor };
            do
            :: atomic { at < length -> is_right = is_right && log[at] == TOKEN(text, at) && index[at] == TOKEN(text, at); at++ }
            :: at >= length -> break
            od;
#ifndef BUG_GENERATION_UNCHECKED
            if :: GENERATION(claim) != GENERATION(mine) -> goto gone :: else fi; /* stream_is_current */
#endif
            atomic {
                assert(is_right);           /* a prefix of its own text, whole */
                assert(length >= cursor);   /* which only grows */
                is_news = length > cursor;
                cursor = length;
                at = 0; length = 0; is_right = false
            };
            if
            :: HAS_ENDED(saw) ->
                assert(STATE(saw) == CUT || cursor == TOKENS); /* a good end has all of it */
                break
            :: else
            fi
        :: else ->
            length = 0;
            if :: GENERATION(claim) != GENERATION(mine) -> goto gone :: else fi
        fi;
looked:
        if
        :: atomic { is_news -> is_news = false }
        :: !is_news && rung[me] /* sleeps until it is rung */
        :: !is_news && taken_for_dead[me] -> goto gone /* within a second it sees that its record is another's */
#if HOST_DEATHS > 0
        :: !is_news && lost[me] -> goto gone
#endif
        :: atomic { wants_cancel && is_owner && claim == mine -> wants_cancel = false };
            STOP_IF_LOST
            atomic { cancel = GENERATION(mine) + 1; host_rung = true } /* step: stream.cancel.generation */
        :: wants_close || wants_detach -> break /* in the middle of the answer */
        fi
    od
}

/* give_back: the place is let go of, with its work going on or not. */
inline give_back() {
    STOP_IF_LOST
    watches[me] = false; /* step: stream.unwatch.bit */
    if
    :: is_owner ->
        STOP_IF_LOST
        atomic { /* step: client.change.claim */
            if
            :: wants_detach -> CHANGE_OWN_CLAIM(CLAIM(DETACHED, NO_OWNER, GENERATION(mine)))
            :: else -> CHANGE_OWN_CLAIM(CLAIM(RELEASED, me, GENERATION(mine)))
            fi;
            assert(is_changed || taken_for_dead[me]);
            host_rung = true
        }
    :: else ->
        if :: PHASE(claim) == RELEASED -> host_rung = true :: else fi
    fi
}

proctype client(byte me; bool may_attach) {
    byte mine, text, cursor, saw, length, at;
    bool is_changed, is_owner, is_right, is_news, wants_cancel, wants_close, wants_detach;
    {
        /* What its user is going to do. */
        atomic {
            text = me + 1;
            if
            :: may_attach -> goto attach
            :: !may_attach && me == 1
#if defined(EXPELLED)
            :: !may_attach && me == 0 -> wants_close = true
#elif defined(DETACHES)
            :: !may_attach && me == 0 -> wants_detach = true
#elif defined(TWICE)
            :: !may_attach && me == 0
#else
            :: !may_attach && me == 0
            :: !may_attach && me == 0 -> wants_close = true
            :: !may_attach && me == 0 -> wants_detach = true
            :: !may_attach && me == 0 && !ATTACH -> wants_cancel = true
#endif
            fi
        };
submit:
        atomic { n_waiting++; host_rung = true };
        if
        :: atomic { /* step: stream.claim.claimed */
            PHASE(claim) == FREE ->
            n_waiting--;
            mine = CLAIM(CLAIMED, me, GENERATION(claim));
            claim = mine;
            is_owner = true
        }
#if HOST_DEATHS > 0
        :: atomic { lost[me] -> n_waiting--; goto gone }
#endif
        fi;
        atomic { id = text };
        request[0] = REQUEST(text, wants_detach);
#ifndef BUG_HALF_REQUEST
        request[1] = REQUEST(text, wants_detach); /* step: stream.request.bytes */
#endif
        watches[me] = true; /* step: stream.watch.bit */
        STOP_IF_LOST
        atomic { /* step: client.change.claim */
            CHANGE_OWN_CLAIM(CLAIM(SUBMITTED, me, GENERATION(mine)));
            assert(is_changed);
            mine = CLAIM(SUBMITTED, me, GENERATION(mine));
            host_rung = true
        };
#ifdef BUG_HALF_REQUEST
        request[1] = REQUEST(text, wants_detach);
#endif
        goto placed;
attach:
        atomic { text = 1; mine = claim };
        saw = status;
        if
        :: (PHASE(mine) == SUBMITTED || PHASE(mine) == DETACHED ||
            (PHASE(mine) == RELEASED && STATUS_GENERATION(saw) == GENERATION(mine) && STATE(saw) != 0)) && id == 1
        :: else -> goto gone
        fi;
        saw = 0;
        watches[me] = true; /* step: stream.watch.bit */
        if
        :: PHASE(mine) == DETACHED ->
            atomic { /* step: client.attach.claim */
                CHANGE_CLAIM(mine, CLAIM(SUBMITTED, me, GENERATION(mine)));
                is_owner = is_changed;
                if :: is_owner -> mine = CLAIM(SUBMITTED, me, GENERATION(mine)); host_rung = true :: else fi
            }
        :: else
        fi;
        if :: GENERATION(claim) != GENERATION(mine) -> goto gone :: else fi; /* stream_is_current */
placed:
        read_to_end();
        give_back();
#ifdef TWICE
        /* Another request of the same client, in the place that the other one still reads in. */
        atomic {
            cursor = 0; saw = 0; mine = 0;
            if :: me == 0 && text == 1 -> text = 2; goto submit :: else fi
        };
#endif
        goto left;
gone:
        assert(!is_owner || taken_for_dead[me] || IS_LOST(me)); /* a living owner's stream is its own */
        atomic { if :: !IS_LOST(me) -> watches[me] = false :: else fi; host_rung = true };
left:
        atomic {
#if HOST_DEATHS > 0 && !defined(BUG_LEFT_UNSAID)
            if :: lost[me] -> dead[me] = true; host_rung = true :: else fi; /* LEAVING. step: hub.leave.claim */
#endif
            mine = 0; text = 0; cursor = 0; saw = 0; length = 0; at = 0; is_changed = false; is_owner = false;
            is_right = false; is_news = false; wants_cancel = false; wants_close = false; wants_detach = false;
            ended[me] = true
        }
    }
#if CLIENT_DEATHS > 0
    unless {
        atomic {
            killed[me] ->
            dead[me] = true; host_rung = true; ended[me] = true;
            mine = 0; text = 0; cursor = 0; saw = 0; length = 0; at = 0; is_changed = false; is_owner = false;
            is_right = false; is_news = false; wants_cancel = false; wants_close = false; wants_detach = false
        }
    }
#endif
}

/* ---- the host's worker ---------------------------------------------------------------------------------------------- */

#define EMPTY 0
#define ANSWERING 1
#define OVER 2

#define MUST_WRITE assert(GENERATION(claim) == generation) /* and nobody else's stream */

inline set_status(state) {
    atomic {
        MUST_WRITE;
        assert(STATUS_GENERATION(status) != generation || !HAS_ENDED(status)); /* nothing comes after the end */
        status = STATUS(state, generation)
    }
}

inline ring_watchers() { /* one load for each word of watchers; then the bells */
    atomic {
        if :: watches[0] -> rung[0] = true :: else fi;
        if :: watches[1] -> rung[1] = true :: else fi
    }
}

/* free_from. The bits go before the claim. */
inline free_from(from) {
#ifndef BUG_WATCHERS_CLEARED_LATE
    atomic { saved = watches[0] + 2 * watches[1]; watches[0] = false; watches[1] = false }; /* step: streams.free.watchers */
#endif
    atomic { /* step: streams.free.claim */
#ifdef BUG_GENERATION_KEPT
        CHANGE_CLAIM(from, CLAIM(FREE, 0, GENERATION(from)))
#else
        CHANGE_CLAIM(from, CLAIM(FREE, 0, GENERATION(from) + 1))
#endif
    };
#ifdef BUG_WATCHERS_CLEARED_LATE
    atomic { saved = watches[0] + 2 * watches[1]; watches[0] = false; watches[1] = false };
#endif
    atomic { /* step: bell.ring.rung */
        if
        :: is_changed -> phase = EMPTY; generation = 0; is_unwanted = false
        :: else -> watches[0] = watches[0] || (saved & 1); watches[1] = watches[1] || (saved & 2)
        fi;
        if :: watches[0] || (saved & 1) -> rung[0] = true :: else fi;
        if :: watches[1] || (saved & 2) -> rung[1] = true :: else fi;
        saved = 0; is_changed = false
    }
}

inline free_if_unwanted() {
    if
    :: atomic { phase == OVER && is_unwanted && !watches[0] && !watches[1] -> seen = claim }; free_from(seen)
    :: else
    fi
}

/* stream_writer_end, on_ended */
inline end(state) {
    set_status(state); /* step: stream.end.status */
    atomic { phase = OVER; n = 0; asked = 0; host_rung = true; ring_watchers() } /* and is freed in the next look */
}

inline read_request() {
    atomic {
        asked = request[0];
        assert(request[0] == request[1]) /* a request is taken whole */
    }
}

/* take: stream_writer_begin */
inline take() {
    atomic { generation = GENERATION(seen); read_request() };
#ifdef BUG_QUEUED_BEFORE_PUBLISHED
    set_status(QUEUED);
    atomic { MUST_WRITE; published = 0 };
#else
    atomic { MUST_WRITE; published = 0 }; /* step: stream.begin.published */
    set_status(QUEUED);                   /* step: stream.begin.status */
#endif
    atomic { phase = ANSWERING; n = 0; is_unwanted = false }
}

/* stream_writer_append */
inline append() {
#ifdef BUG_PUBLISHED_BEFORE_BYTES
    atomic { MUST_WRITE; published = n + 1 };
#endif
    atomic { MUST_WRITE; log[n] = TOKEN(TEXT(asked), n) };   /* step: stream.append.bytes */
    atomic { MUST_WRITE; index[n] = TOKEN(TEXT(asked), n) }; /* step: stream.append.record */
#ifdef BUG_ENDED_BEFORE_TEXT
    if :: n + 1 == TOKENS -> set_status(ENDED) :: else fi;
#endif
#ifndef BUG_PUBLISHED_BEFORE_BYTES
    atomic { MUST_WRITE; assert(published <= n); n++; published = n }; /* step: stream.append.published */
    ring_watchers()
#else
    atomic { n++; ring_watchers() }
#endif
}

#define GONE(c) ((c) < CLIENTS && ((gone >> (c)) & 1))

proctype worker() {
    byte phase, generation, asked, n, seen, saved, gone;
    bool is_unwanted, is_changed, is_new;
start:
    {
        /* A successor takes up what lies there. */
        atomic { seen = claim; is_new = true };
#ifndef BUG_NOT_RESUMED
        if
        :: (PHASE(seen) == SUBMITTED || PHASE(seen) == DETACHED || PHASE(seen) == RELEASED) && STATE(status) != 0 &&
           STATUS_GENERATION(status) == GENERATION(seen) ->
            generation = GENERATION(seen);
#ifndef BUG_RESUMED_ENDED
            if
            :: HAS_ENDED(status) -> phase = OVER
            :: else ->
#else
            if
            :: true ->
#endif
                read_request();
                n = published;
#ifdef BUG_RESUMED_UNPUBLISHED
                n = (published < TOKENS && log[published] != 0 -> published + 1 : published);
#endif
                atomic { /* retraces: what is published is what it would have made */
                    assert(n < 1 || (log[0] == TOKEN(TEXT(asked), 0) && index[0] == TOKEN(TEXT(asked), 0)));
#if TOKENS > 1
                    assert(n < 2 || (log[1] == TOKEN(TEXT(asked), 1) && index[1] == TOKEN(TEXT(asked), 1)))
#endif
                };
                phase = ANSWERING;
#ifdef BUG_RESUMED_FROM_START
                n = 0;
                published = 0
#endif
            fi
        :: else
        fi;
#endif
        host_rung = true;
end_worker:
        do
        :: atomic { host_rung -> host_rung = false; gone = dead[0] + 2 * dead[1] }; /* client_registry_scan */
            /* look_at */
            seen = claim;
            if
            :: PHASE(seen) == SUBMITTED || PHASE(seen) == DETACHED ->
                if :: phase == EMPTY -> take() :: else fi;
                if
                :: PHASE(seen) == SUBMITTED && GONE(OWNER(seen)) ->
                    /* lose_owner; what is detachable is in the request at hand, whose copy an ended one has lost */
                    atomic {
#ifndef BUG_DEAD_OWNER_KEPT
                        if
                        :: IS_DETACHABLE(request[0]) -> CHANGE_CLAIM(seen, CLAIM(DETACHED, NO_OWNER, GENERATION(seen)))
                        :: else -> CHANGE_CLAIM(seen, CLAIM(RELEASED, NO_OWNER, GENERATION(seen))); is_unwanted = true
                        fi; /* step: streams.orphan.claim */
#endif
                        is_changed = false
                    }
                :: else
                fi
            :: PHASE(seen) == CLAIMED ->
                if :: phase == EMPTY && GONE(OWNER(seen)) -> free_from(seen) :: else fi
            :: PHASE(seen) == RELEASED ->
                if :: phase == EMPTY -> free_from(seen) :: else -> is_unwanted = true fi
            :: else
            fi;
            /* client_registry_dismiss, on_gone */
            atomic { if :: GONE(0) -> watches[0] = false :: else fi; if :: GONE(1) -> watches[1] = false :: else fi };
            free_if_unwanted();
            /* evict: a detached answer goes when its place is needed */
            if
            :: atomic { n_waiting > 0 && phase == OVER && (is_unwanted || PHASE(claim) == DETACHED) -> seen = claim };
                free_from(seen)
            :: else
            fi;
            /* What the one before did and did not ring for. */
            if
            :: is_new ->
                atomic {
                    is_new = false;
#ifndef BUG_RECOVERY_UNHEARD
                    rung[0] = true; rung[1] = true
#endif
                }
            :: else
            fi;
            atomic { seen = 0; gone = 0 }
        :: phase == ANSWERING -> /* one step of the model */
            if
            :: is_unwanted || cancel == generation + 1 || PHASE(claim) == RELEASED ||
               (PHASE(claim) == SUBMITTED && !IS_DETACHABLE(asked) && OWNER(claim) < CLIENTS && dead[OWNER(claim)]) -> end(CUT)
            :: else ->
                if
                :: STATE(status) == QUEUED -> set_status(READING) /* step: stream.start.status */
                :: STATE(status) != QUEUED && n < TOKENS -> append()
                :: STATE(status) != QUEUED && n == TOKENS -> end(ENDED)
                fi
            fi
        od
    }
#if WORKER_DEATHS > 0 || HOST_DEATHS > 0
    unless {
        atomic {
            worker_killed ->
            worker_killed = false; phase = EMPTY; generation = 0; asked = 0; n = 0; seen = 0; saved = 0; gone = 0;
            is_unwanted = false; is_changed = false; is_new = false
        };
        goto start
    }
#endif
}

proctype killer() {
    do
#ifndef EXPELLED
    :: atomic { n_client_deaths > 0 && !ended[0] && !killed[0] -> n_client_deaths--; killed[0] = true }
    :: atomic { n_client_deaths > 0 && !ended[1] && !killed[1] -> n_client_deaths--; killed[1] = true }
#endif
    :: atomic { /* one that has only been stopped for a while, and a watch that was wrong */
        n_client_deaths > 0 && !ended[0] && PHASE(claim) == SUBMITTED && OWNER(claim) == 0 && !killed[0] && !dead[0] ->
        n_client_deaths--; taken_for_dead[0] = true; dead[0] = true; host_rung = true
    }
#ifdef BUG_TWO_WORKERS
    :: atomic { n_worker_deaths > 0 -> n_worker_deaths = 0; run worker() } /* the old one is not gone yet */
#else
    :: atomic { n_worker_deaths > 0 && !worker_killed -> n_worker_deaths--; worker_killed = true }
#endif
#if HOST_DEATHS > 0
    :: atomic { n_host_deaths > 0 && !worker_killed -> n_host_deaths--; worker_killed = true; host_died = true }
    :: atomic { host_died && !lost[0] && !ended[0] -> lost[0] = true; rung[0] = true }
    :: atomic { host_died && !lost[1] && !ended[1] -> lost[1] = true; rung[1] = true } /* if not: it came later */
#endif
    :: atomic { n_client_deaths = 0; n_worker_deaths = 0; break }
    od
}

proctype monitor() {
    timeout;
    assert(ended[0] && ended[1]); /* nobody waits */
    assert(PHASE(claim) == FREE || (PHASE(claim) == DETACHED && HAS_ENDED(status)))
}

init {
    atomic {
        run client(0, false);
#ifdef ALONE
        ended[1] = true;
#else
        run client(1, ATTACH);
#endif
        run worker(); run killer(); run monitor()
    }
}
