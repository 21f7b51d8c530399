/* classic.pml - the classic hand-over of the streaming guide: src/host/classic_service.c, src/channel/classic_block.c, the
 * guide's client, and the recovery of docs/decisions/0008 with the journal that outlives a worker.
 *
 * Two clients ask through the one block, each streaming or not, each of the guide or of liblipc. The latter leaves its
 * number in `reader` until it has read its answer, and may not wait for sem_response_written. Clients and the worker are killed between any two steps.
 * Times are conditions here: sem_ready is posted again, and a permit counts as not fetched, only if no living client is
 * still on its way to it. Listener and main thread are one process: while one works the other waits for it.
 *
 * What must hold: a request is taken whole; what a client reads is a prefix of its own text, only grows, and is all of it
 * when it is complete; who got sem_response_written finds a complete answer; and when nothing moves any more every living
 * client has its answer, and sem_ready is there exactly once.
 *
 * check: classic_deaths         -DWORKER_DEATHS=1 -DCLIENT_DEATHS=1
 * check: classic_worker_deaths  -DWORKER_DEATHS=2 -DCLIENT_DEATHS=0
 *
 * bug: BUG_POSTED_BEFORE_COMPLETE  classic_deaths
 * bug: BUG_READY_NOT_REPOSTED      classic_deaths
 * bug: BUG_STALE_PERMITS_KEPT      classic_deaths
 * bug: BUG_PERMIT_LOST             classic_worker_deaths
 * bug: BUG_PERMIT_GUESSED_AT_ONCE  classic_deaths
 * bug: BUG_READY_BEFORE_JOURNAL     classic_worker_deaths
 * bug: BUG_RESUMED_FROM_NOTHING    classic_worker_deaths
 * bug: BUG_POSTS_NOT_REPEATED      classic_worker_deaths
 * bug: BUG_NEXT_LET_IN_UNREAD      classic_worker_deaths
 * bug: BUG_LET_GO_UNREAD           classic_worker_deaths
 */
#define CLIENTS 2
#define TOKENS 2

/* The semaphores, and who glibc believes to wait: whoever is killed there is counted for ever. */
byte ready, prompts_written, chunk_ready, response_written;
byte n_waiters;

/* The block. */
byte request[2];
bool is_streaming;
byte text, shown; /* whose text, and how many tokens of it */
bool is_complete;
byte reader; /* whose turn it is; 0: nobody's, or a guide's client's */

/* The journal: memory of the supervisor that clients do not see. */
#define IDLE 0
#define ANSWERING 1
#define FINISHED 2
byte phase, asked, n_tokens;
byte asked_reader, abandoned_reader;
bool asked_streaming;

bool killed[CLIENTS], ended[CLIENTS], worker_killed;
bool is_writing[CLIENTS]; /* ghosts: between taking sem_ready and posting; between posting and the end */
bool is_asking[CLIENTS];
bool is_reading[CLIENTS], awaits_chunk[CLIENTS];
byte n_client_deaths = CLIENT_DEATHS, n_worker_deaths = WORKER_DEATHS;

#define NOBODY_WRITES (!is_writing[0] && !is_writing[1])
#define NOBODY_WAKES (chunk_ready == 0 || (!awaits_chunk[0] && !awaits_chunk[1]))
#define NOBODY_READS (!is_reading[0] && !is_reading[1])
#define NOBODY_ASKS (!is_asking[0] && !is_asking[1])

/* Completion first, then the text: classic_client.c read_answer. */
inline read_answer() {
    saw_complete = is_complete;
    atomic { /* classic_block_read_text */
        assert(shown == 0 || text == me + 1);
        assert(shown >= cursor);
        cursor = shown;
        assert(!saw_complete || cursor == TOKENS)
    }
}

proctype client(byte me) {
    byte cursor;
    bool streams, saw_complete, has_number;
    {
        if :: streams = true :: streams = false fi;
        if :: has_number = true :: has_number = false fi;
        atomic { ready > 0 -> ready--; is_writing[me] = true };
        if :: has_number -> reader = me + 1 /* step: classic.request.reader */ :: else fi;
        request[0] = me + 1; /* step: classic.request.prompt */
        atomic { request[1] = me + 1; is_streaming = streams; shown = 0; is_complete = false };
        atomic { prompts_written++; is_writing[me] = false; is_asking[me] = true; n_waiters++; awaits_chunk[me] = streams };
        if
        :: streams ->
            do
            :: atomic { chunk_ready > 0 -> chunk_ready--; n_waiters--; is_reading[me] = true; awaits_chunk[me] = false };
                read_answer();
                atomic { n_waiters++; is_reading[me] = false; if :: saw_complete -> break :: else -> awaits_chunk[me] = true fi }
            od
            if
            :: atomic { response_written > 0 -> response_written--; n_waiters-- }
            :: atomic { has_number -> n_waiters-- } /* goes on without it */
            fi
        :: else ->
            /* A guide's client reads at once: from here on the next one may be let in, whose first step empties the block.
             * Of nobody it is said that he is told of an end that is not there. */
            atomic {
                response_written > 0 -> response_written--; n_waiters--; is_reading[me] = has_number;
                assert(is_complete && text == me + 1 && shown == TOKENS)
            }
            if
            :: has_number ->
#ifdef BUG_LET_GO_UNREAD
                reader = 0;
#endif
                atomic { assert(is_complete && text == me + 1 && shown == TOKENS); is_reading[me] = false }
            :: else
            fi
        fi;
        atomic {
            if :: reader == me + 1 -> reader = 0 /* step: classic.change.reader */ :: else fi;
            is_asking[me] = false; ended[me] = true; cursor = 0; streams = false; saw_complete = false; has_number = false
        }
    } unless {
        atomic {
            killed[me] ->
            is_writing[me] = false; is_asking[me] = false; is_reading[me] = false; awaits_chunk[me] = false; ended[me] = true; cursor = 0; streams = false; saw_complete = false; has_number = false
        }
    }
}

/* classic_service.c take, classic_writer_begin */
inline take() {
    atomic { asked = request[0]; asked_streaming = is_streaming; asked_reader = reader; assert(NOBODY_WRITES) }; /* step: service.take.request */
    if
    :: asked_reader != 0 && asked_reader == abandoned_reader -> reader = 0; asked_reader = 0 /* step: service.take.reader */
    :: else
    fi;
#ifndef BUG_STALE_PERMITS_KEPT
    chunk_ready = 0;
    response_written = 0;
#endif
    ready = 0;
    atomic { is_complete = false; shown = 0; text = asked }; /* step: classic.begin.response */
    atomic { n_tokens = 0; phase = ANSWERING }               /* step: service.take.answering */
}

inline show_tokens() {
    shown = n_tokens; /* step: classic.show.byte */
    if :: asked_streaming -> chunk_ready++ :: else fi
}

/* finish: complete, then the posts; all of it again after a death in between. */
inline finish() {
#ifdef BUG_POSTED_BEFORE_COMPLETE
    response_written++;
    if :: !asked_streaming -> shown = n_tokens :: else fi;
    is_complete = true;
#else
    if :: !asked_streaming -> shown = n_tokens :: else fi;
    is_complete = true; /* step: classic.complete.flag */
#endif
    phase = FINISHED; /* step: service.finish.complete */
    if :: asked_streaming -> chunk_ready++ :: else fi;
#ifndef BUG_POSTED_BEFORE_COMPLETE
    response_written++ /* step: service.completion.written */
#else
    skip
#endif
}

#ifdef BUG_NEXT_LET_IN_UNREAD
#define HAS_READER (response_written > 0)
#else
#define HAS_READER ((asked_reader == 0 && response_written > 0) || (asked_reader != 0 && reader == asked_reader))
#endif

/* settle: the answer is read and its permits are taken, or nobody is there to take them. */
inline settle() {
    if
    :: !HAS_READER ->
#ifndef BUG_STALE_PERMITS_KEPT
        response_written = 0; /* step: service.settle.written */
#endif
        chunk_ready = 0 /* step: service.settle.chunks */
    :: NOBODY_ASKS ->
#ifndef BUG_STALE_PERMITS_KEPT
        response_written = 0; /* step: service.settle.taken_back */
#endif
        abandoned_reader = asked_reader /* step: service.settle.abandoned */
    fi;
#ifdef BUG_READY_BEFORE_JOURNAL
    ready++;
    phase = IDLE
#else
    phase = IDLE; /* step: service.next.idle, before the permit: whoever gets that writes into the block */
    ready++       /* step: service.next.ready */
#endif
}

proctype worker() {
start:
    {
        response_written = 0; /* step: service.resume.written */
        if
        :: phase == FINISHED ->
#ifndef BUG_POSTS_NOT_REPEATED
            atomic { if :: asked_streaming -> chunk_ready++ :: else fi };
            is_complete = true;
            response_written++;
#endif
            settle()
        :: phase == ANSWERING ->
#ifdef BUG_RESUMED_FROM_NOTHING
            atomic { shown = 0; n_tokens = 0 };
#endif
#ifndef BUG_POSTS_NOT_REPEATED
            if :: asked_streaming && n_tokens > 0 -> show_tokens() :: else fi; /* the last token may not have been seen */
#endif
            goto answer
#ifdef BUG_PERMIT_GUESSED_AT_ONCE
        :: phase == IDLE ->
            if :: prompts_written == 0 && ready == 0 && n_waiters > 0 && !is_complete -> goto posted :: else fi
#else
        :: phase == IDLE
#endif
        fi;
end_worker:
        do
        :: atomic { prompts_written > 0 -> prompts_written-- }; /* step: service.listen.request */
posted:
            take();
answer:
            do
            :: n_tokens < TOKENS ->
                n_tokens++; /* step: service.token.made */
                if :: asked_streaming -> show_tokens() :: else fi
            :: n_tokens == TOKENS -> break
            od;
            finish();
            settle()
            /* tick: sem_ready was taken long ago, and no request has come */
        :: atomic { ready == 0 && prompts_written == 0 && NOBODY_WAKES && NOBODY_WRITES && NOBODY_READS ->
#ifndef BUG_PERMIT_LOST
                if
                :: n_waiters > 0 && !is_complete -> goto posted /* a worker took the permit and died with it */
                :: else
                fi;
#endif
#ifndef BUG_READY_NOT_REPOSTED
                ready++
#else
                false
#endif
            }
        od
    } unless {
        atomic { worker_killed -> worker_killed = false };
        goto start
    }
}

proctype killer() {
    do
    :: atomic { n_client_deaths > 0 && !ended[0] && !killed[0] -> n_client_deaths--; killed[0] = true }
    :: atomic { n_client_deaths > 0 && !ended[1] && !killed[1] -> n_client_deaths--; killed[1] = true }
    :: atomic { n_worker_deaths > 0 && !worker_killed -> n_worker_deaths--; worker_killed = true }
    :: atomic { n_client_deaths = 0; n_worker_deaths = 0; break }
    od
}

proctype monitor() {
    timeout;
    assert(ended[0] && ended[1]); /* everybody has an answer */
    assert(ready == 1 && prompts_written == 0 && response_written == 0)
}

init {
    atomic { ready = 1; run client(0); run client(1); run worker(); run killer(); run monitor() }
}
