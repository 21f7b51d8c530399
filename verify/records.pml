/* records.pml - one client record: hub_client_attach, _leave, _free of src/channel/hub.c and src/host/client_registry.c.
 *
 * Two clients of one process, so that only the generation tells their claims apart, take the only record, use it and
 * leave it. The host looks who is gone and frees; it is killed between any two steps (worker or supervisor: the records
 * stay), and its successor knows nothing of them but what is written there. A client that hears of a supervisor's death
 * leaves, too. The process of the clients dies at any time. A client that is stopped while it attaches is given up.
 *
 * What must hold: a record that a client has attached to is its own until it leaves or dies; and when nothing moves any
 * more, the record is free.
 *
 * check: records_deaths   -DHOST_DEATHS=2
 *
 * bug: BUG_ATTACHED_BLIND      records_deaths
 * bug: BUG_LEFT_BLIND          records_deaths
 * bug: BUG_RECORD_NOT_COUNTED  records_deaths
 * bug: BUG_RECORD_LEFT_BEHIND  records_deaths
 */
#define CLIENTS 2
#define FREE 0
#define ATTACHING 1
#define ATTACHED 2
#define LEAVING 3
#define CLAIM(phase, generation) ((phase) + (generation) * 4)
#define PHASE(claim) ((claim) & 3)
#define GENERATION(claim) ((claim) / 4)

short claim = CLAIM(FREE, 0);
bool is_dead;              /* the clients' process */
bool ended[CLIENTS];
bool is_given_up[CLIENTS]; /* ghost: stopped for longer than ATTACHING_MS */
byte attaching = CLIENTS;  /* ghost: who is */
byte n_host_deaths = HOST_DEATHS;
bool host_killed;

#define CHANGE_CLAIM(from, to) if :: claim == (from) -> claim = (to); is_changed = true :: else -> is_changed = false fi

proctype client(byte me) {
    short mine;
    byte n;
    bool is_changed;
    {
        for (n : 1 .. 2) {
            atomic { /* step: hub.attach.claimed */
                PHASE(claim) == FREE ->
                mine = CLAIM(ATTACHING, GENERATION(claim));
                claim = mine;
                attaching = me;
                is_given_up[me] = false
            };
            atomic { /* step: hub.attach.attached */
#ifdef BUG_ATTACHED_BLIND
                is_changed = true;
                claim = CLAIM(ATTACHED, GENERATION(mine));
#else
                CHANGE_CLAIM(mine, CLAIM(ATTACHED, GENERATION(mine)));
#endif
                if :: attaching == me -> attaching = CLIENTS :: else fi;
                assert(is_changed || is_given_up[me]);
                mine = CLAIM(ATTACHED, GENERATION(mine));
                if :: is_changed :: else -> goto next fi
            };
            assert(claim == mine || is_given_up[me]); /* client_is_lost */
            atomic { /* step: hub.leave.claim */
#ifdef BUG_LEFT_BLIND
                claim = CLAIM(LEAVING, GENERATION(mine))
#else
                CHANGE_CLAIM(mine, CLAIM(LEAVING, GENERATION(mine)));
                assert(is_changed || is_given_up[me])
#endif
            };
next:
            atomic { mine = 0; is_changed = false }
        };
        atomic { n = 0; ended[me] = true }
    } unless {
        atomic { is_dead -> mine = 0; n = 0; is_changed = false; ended[me] = true }
    }
}

#define MAY_BE_SERVED \
    ((PHASE(seen) == ATTACHING || PHASE(seen) == ATTACHED) && GENERATION(seen) == GENERATION(holder))

/* client_registry.c. What it knows of the record is its own and dies with it. */
proctype host() {
    short seen, holder;
    bool is_known, is_gone;
start:
    {
        holder = CLAIM(FREE, GENERATION(claim)); /* client_registry_open */
end_host:
        do
        :: atomic { /* look_at, when there is something to see */
                claim != holder || (is_known && is_dead) ->
                seen = claim;
                if
                :: !is_known && MAY_BE_SERVED ->
                    is_known = true;
                    holder = CLAIM(ATTACHED, GENERATION(seen))
                :: !is_known && !MAY_BE_SERVED ->
#ifdef BUG_RECORD_LEFT_BEHIND
                    holder = seen
#else
                    is_known = true;
                    is_gone = true
#endif
                :: is_known
                fi;
                if /* has_record */
                :: is_known && (is_dead || !MAY_BE_SERVED) -> is_gone = true
                :: is_known && !is_dead && PHASE(seen) == ATTACHING -> is_gone = true; is_given_up[attaching] = true
                :: !is_known || (!is_dead && MAY_BE_SERVED)
                fi;
                seen = 0
            };
            if /* client_registry_dismiss */
            :: is_gone ->
                atomic { /* step: hub.free.claim */
#ifdef BUG_RECORD_NOT_COUNTED
                    holder = CLAIM(FREE, GENERATION(holder));
#else
                    holder = CLAIM(FREE, GENERATION(holder) + 1);
#endif
                    claim = holder;
                    is_known = false;
                    is_gone = false
                }
            :: else
            fi
        od
    } unless {
        atomic { host_killed -> host_killed = false; seen = 0; holder = 0; is_known = false; is_gone = false };
        goto start
    }
}

proctype killer() {
    do
    :: atomic { n_host_deaths > 0 && !host_killed -> n_host_deaths--; host_killed = true }
    :: atomic { is_dead = true; attaching = CLIENTS; n_host_deaths = 0; break }
    :: atomic { n_host_deaths = 0; break }
    od
}

proctype monitor() {
    timeout;
    assert(ended[0] && ended[1]); /* nobody waits */
    assert(PHASE(claim) == FREE)
}

init {
    atomic { run client(0); run client(1); run host(); run killer(); run monitor() }
}
