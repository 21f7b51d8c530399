/* classic_service.c - see classic_service.h. */
#include "classic_service.h"

#include "log.h"

#include "../platform/failpoint.h"
#include "../text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often an idle host looks whether sem_ready was taken. */
#define TICK_MS 100
/* For how long a new worker looks for a request whose permit a dead one had taken, how often, and for how long it must
 * look like one. */
#define FORGOTTEN_MS 1000
#define FORGOTTEN_TICK_MS 20
#define FORGOTTEN_NS 500000000ull /* less than REPOST_NS, more than a client needs to write a request */
/* For how long sem_ready may be seen taken without a request before it is posted again. With TICK_MS before that and the
 * beginning of an answer behind it, within a second from the death of a client that took it. */
#define REPOST_NS 800000000ull
/* For how long a client may take no permit of its complete answer before it counts as gone. */
#define ABANDONED_NS 250000000ull
/* A waiting client takes a permit within microseconds. */
#define PAYMENT_MS 5
/* A client of the guide in normal mode reads its answer when it has taken the permit, and does not say when it has: for
 * so long nobody else is let in. */
#define READ_MS 2
/* How often the listener looks whether the permits of an answer were taken: at first, and at most. */
#define SETTLE_FIRST_NS 50000ull
#define SETTLE_MOST_NS 5000000ull

/* Who waits for an answer is looked for when it has been in the making for so long, and then as often; less often if it
 * takes long. */
#define WATCH_FIRST_NS 50000000ull
#define WATCH_NS 250000000ull
#define WATCH_MOST_PART 50 /* of a processor's time, at most one part in so many goes into looking */
/* More processes than this are not followed. */
#define READERS_MOST 16
/* So many looks in a row must find nobody: one of them may come between two steps of a client's. */
#define LOOKS_ALONE 2
/* For how long a host that ends lets those go who wait for their turn, and for how long it waits for one of them. */
#define LET_GO_NS 2000000000ull
#define LET_GO_EACH_NS 100000000ull
#define LET_GO_READ_MS 10

enum { PHASE_IDLE, PHASE_POSTED };

struct classic_service {
    answer answer; /* first: the serving loop's handle on the request at hand */
    const host_options *options;
    lipc_classic_block *block;
    plat_semaphore *ready, *prompts_written, *response_written, *chunk_ready;
    journal *journal;
    classic_record *record;      /* in the journal */
    plat_doorbell *host_bell;
    plat_doorbell listener_bell; /* phase or is_stopping changed */
    int phase;                   /* atomic */
    bool is_announced;           /* atomic: sem_ready may be posted */
    bool is_stopping;            /* atomic */
    bool is_owing;               /* listener only: permits of the last answer were taken back */
    plat_thread *listener;       /* NULL: it does not run */
    uint64_t forgotten_until_ns; /* listener only: till when is_forgotten looks; 0: not at all */
    uint64_t forgotten_since_ns; /* since when it looks like one; 0: it does not */
    int readers[READERS_MOST];   /* listener only: processes that had the channel open when this answer was young */
    size_t n_readers;            /* 0: not known */
    int n_looks_alone;           /* listener only: looks in a row that found nobody who can be waiting for this answer */
    bool is_client_gone;         /* atomic: none of them has it open any more */

    bool is_shutdown_taken;      /* a request to end the host arrived; another client may wipe its flag out */

    /* The answer at hand; main thread only. */
    engine_message messages[2];
    classic_writer writer;
    bool is_answering;
    bool is_streaming;
    int32_t n_tokens;            /* as shown to clients */
    char text[LIPC_RESPONSE_SIZE]; /* normal mode: the answer grows here and is published once */
    size_t n_text;
};

/* ---- listening --------------------------------------------------------------------------------------------------- */

static bool load_flag(const bool *flag) {
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/* In the journal: how far the request at hand is. Release: what the phase is about stands. */
static void set_record(classic_service *service, classic_phase phase) {
    __atomic_store_n(&service->record->phase, phase, __ATOMIC_RELEASE); /* callers name it */
}

static classic_phase record_phase(const classic_service *service) {
    return (classic_phase)__atomic_load_n(&service->record->phase, __ATOMIC_ACQUIRE);
}

/* Whether none of those is left who had the channel open when the answer was young. */
static bool are_readers_gone(const classic_service *service) {
    if (service->n_readers == 0 || service->n_readers > READERS_MOST) return false;
    for (size_t i = 0; i < service->n_readers; i++)
        if (plat_semaphore_is_used_by(service->prompts_written, service->readers[i]) ||
            plat_semaphore_is_used_by(service->response_written, service->readers[i]))
            return false;
    return true;
}

/* Who asked has had the semaphore open that says so; who waits for the answer may have closed it, but has another. */
static bool do_all_wait_for_turn(const classic_service *service) {
    return plat_semaphore_users_all_wait(service->prompts_written, service->ready) &&
           plat_semaphore_users_all_wait(service->response_written, service->ready);
}

/* Whether nobody can be waiting for the answer. The first look remembers who may be: its client is among them, if the system
 * shows it at all, and when all of them are gone, so is the client. Or whoever there is has a single thread, and that waits for
 * a turn of its own: of a process with several threads nobody can tell which of them asked. A client that the system does not
 * show (in another pid namespace) is seen when it sleeps for its answer. */
static bool seems_alone(const classic_service *service) {
    if (plat_semaphore_n_asleep(service->response_written) > 0 || plat_semaphore_n_asleep(service->chunk_ready) > 0) return false;
    return are_readers_gone(service) || do_all_wait_for_turn(service);
}

static void look_at_readers(classic_service *service) {
    if (service->n_readers == 0)
        service->n_readers = plat_semaphore_users(service->prompts_written, service->readers, READERS_MOST);
    service->n_looks_alone = seems_alone(service) ? service->n_looks_alone + 1 : 0;
    if (service->n_looks_alone < LOOKS_ALONE) return;
    log_line(LOG_LEVEL_INFO, "the classic client is gone: its answer ends");
    /* release: pairs with the acquire in is_cancelled. */
    __atomic_store_n(&service->is_client_gone, true, __ATOMIC_RELEASE);
    plat_doorbell_ring(service->host_bell, PLAT_BELL_ALL);
}

/* Looks, and returns when to look again. */
static uint64_t watch_readers(classic_service *service) {
    if (load_flag(&service->is_client_gone)) return PLAT_NEVER;
    uint64_t began_ns = plat_thread_ns();
    look_at_readers(service);
    uint64_t pause_ns = (plat_thread_ns() - began_ns) * WATCH_MOST_PART;
    return plat_clock_ns() + (pause_ns > WATCH_NS ? pause_ns : WATCH_NS);
}

/* Hands the request to the main thread and waits until it is served, or the service stops. */
static void hand_over(classic_service *service) {
    if (load_flag(&service->is_stopping)) return; /* the permit was the one that ends the wait */
    /* release: pairs with the acquire in classic_service_take. The block's content was published by the client's
     * post. */
    service->n_readers = 0;
    service->n_looks_alone = 0;
    __atomic_store_n(&service->is_client_gone, false, __ATOMIC_RELAXED);
    __atomic_store_n(&service->phase, PHASE_POSTED, __ATOMIC_RELEASE);
    plat_doorbell_ring(service->host_bell, PLAT_BELL_ALL);
    for (uint64_t look_ns = plat_clock_ns() + WATCH_FIRST_NS;;) {
        uint32_t seen = plat_doorbell_arm(&service->listener_bell, PLAT_BELL_ALL);
        if (__atomic_load_n(&service->phase, __ATOMIC_ACQUIRE) == PHASE_IDLE || load_flag(&service->is_stopping)) return;
        plat_doorbell_wait(&service->listener_bell, seen, look_ns);
        if (plat_clock_ns() >= look_ns) look_ns = watch_readers(service);
    }
}

/* In this order: a worker that dies in between leaves a sem_ready that is posted late, not one that is posted twice. */
static void let_next_in(classic_service *service) {
    set_record(service, CLASSIC_IDLE);
    FAILPOINT("service.next.idle");
    plat_semaphore_post(service->ready);
    FAILPOINT("service.next.ready");
}

/* Whether the client of the last answer has not all of it yet. A guide's has it when it has its permit; others say so. */
static bool has_reader(const classic_service *service) {
    uint32_t reader = service->record->request.reader;
    if (reader == 0) return plat_semaphore_value(service->response_written) > 0;
    uint32_t reader_now = classic_block_reader(service->block);
    return reader_now == reader || reader_now == LIPC_READER_HOST_ENDED;
}

static void give_time_to_read(classic_service *service) {
    if (service->record->request.reader != 0 || service->record->request.stream) return;
    uint64_t deadline_ns = plat_deadline_ns(READ_MS);
    while (!load_flag(&service->is_stopping) && plat_clock_ns() < deadline_ns)
        plat_doorbell_wait(&service->listener_bell, plat_doorbell_arm(&service->listener_bell, PLAT_BELL_ALL), deadline_ns);
}

/* Waits until the last answer is read and its permits are taken, or takes them back. Returns true if a request came
 * meanwhile, from a client that does not wait for sem_ready; its permit is taken then. */
static bool settle(classic_service *service) {
    uint64_t pause_ns = SETTLE_FIRST_NS, changed_ns = plat_clock_ns();
    int n_permits = 0;
    service->is_owing = false;
    while (has_reader(service)) {
        uint64_t now = plat_clock_ns();
        int n_now = plat_semaphore_value(service->response_written) + plat_semaphore_value(service->chunk_ready);
        if (n_now != n_permits) changed_ns = now;
        n_permits = n_now;
        if (now - changed_ns >= ABANDONED_NS) {
            /* Not sem_chunk_ready: a client that is still there works through those first, and for the next one they
             * are wake-ups without news. */
            plat_semaphore_drain(service->response_written);
            FAILPOINT("service.settle.taken_back");
            service->record->abandoned_reader = service->record->request.reader;
            FAILPOINT("service.settle.abandoned");
            service->is_owing = true;
            let_next_in(service);
            return false;
        }
        if (plat_semaphore_wait(service->prompts_written, now + pause_ns) == PLAT_OK) {
            FAILPOINT("service.settle.request");
            set_record(service, CLASSIC_IDLE);
            FAILPOINT("service.settle.idle");
            return true;
        }
        if (pause_ns < SETTLE_MOST_NS) pause_ns *= 2;
    }
    give_time_to_read(service);
    /* Who has its answer needs no more of these: it saw the end before it had taken them all, or a dead worker had posted
     * them before. */
    plat_semaphore_drain(service->response_written);
    FAILPOINT("service.settle.written");
    plat_semaphore_drain(service->chunk_ready);
    FAILPOINT("service.settle.chunks");
    let_next_in(service);
    return false;
}

/* Gives a client the sem_response_written that was taken back from it: it was stopped or slow, not dead. The system may
 * count waiters that were killed, so it may be nobody: then the permit is taken back again, and nobody else could have
 * got it, because sem_ready is held meanwhile. */
static void pay_what_is_owed(classic_service *service) {
    if (!plat_semaphore_may_have_waiter(service->response_written) || !plat_semaphore_try_wait(service->ready)) return;
    FAILPOINT("service.pay.ready_held");
    bool is_handed_over = plat_semaphore_hand_over(service->response_written);
    FAILPOINT("service.pay.written");
    uint64_t deadline_ns = plat_deadline_ns(PAYMENT_MS);
    while (plat_semaphore_value(service->response_written) > 0 && plat_clock_ns() < deadline_ns)
        plat_doorbell_wait(&service->listener_bell, plat_doorbell_arm(&service->listener_bell, PLAT_BELL_ALL), deadline_ns);
    service->is_owing = !is_handed_over || plat_semaphore_value(service->response_written) > 0;
    plat_semaphore_drain(service->response_written);
    FAILPOINT("service.pay.taken_back");
    plat_semaphore_post(service->ready);
    FAILPOINT("service.pay.ready");
}

/* What an idle host looks after. *taken_since is when sem_ready was first seen taken; 0: it is there. */
static void tick(classic_service *service, uint64_t *taken_since) {
    /* Nobody is waiting for an answer: a cancel that came after its answer must not hit the next one. */
    if (classic_block_cancel_requested(service->block)) classic_block_clear_cancel(service->block);
    if (service->is_owing) pay_what_is_owed(service);
    uint64_t now = plat_clock_ns();
    if (!load_flag(&service->is_announced) || plat_semaphore_value(service->ready) > 0) {
        *taken_since = 0;
    } else if (*taken_since == 0) {
        *taken_since = now;
    } else if (now - *taken_since >= REPOST_NS) {
        plat_semaphore_post(service->ready);
        FAILPOINT("service.tick.ready");
        *taken_since = 0;
    }
}

/* Whether a dead worker took the permit of a request and died before it noted that. Its client waits for an answer, and
 * nobody is at work on one. Only for a while: where waiters that were killed are counted, or none are seen, a client that
 * was killed looks the same, and is answered for nothing. */
static bool is_forgotten(classic_service *service) {
    uint64_t now = plat_clock_ns();
    bool seems_so = now < service->forgotten_until_ns && !classic_block_is_complete(service->block) &&
                    plat_semaphore_value(service->ready) == 0 &&
                    (plat_semaphore_may_have_waiter(service->response_written) ||
                     plat_semaphore_may_have_waiter(service->chunk_ready));
    if (!seems_so) service->forgotten_since_ns = 0;
    else if (service->forgotten_since_ns == 0) service->forgotten_since_ns = now;
    return seems_so && now - service->forgotten_since_ns >= FORGOTTEN_NS;
}

static void serve_one(classic_service *service) {
    do {
        hand_over(service);
    } while (!load_flag(&service->is_stopping) && settle(service));
    service->forgotten_until_ns = 0;
}

static void post_completion(classic_service *service, bool is_streaming) {
    if (is_streaming) plat_semaphore_post(service->chunk_ready);
    FAILPOINT("service.completion.chunk");
    plat_semaphore_post(service->response_written);
    FAILPOINT("service.completion.written");
}

/* What a dead worker may have left: a sem_response_written that it was paying, which the next client would take for its
 * own, and a sem_ready that nobody was woken for. */
static void tidy_up(classic_service *service) {
    service->is_owing = record_phase(service) == CLASSIC_IDLE && plat_semaphore_value(service->response_written) > 0;
    plat_semaphore_drain(service->response_written);
    FAILPOINT("service.resume.written");
    bool is_ready = plat_semaphore_try_wait(service->ready);
    FAILPOINT("service.resume.ready_held");
    if (is_ready) plat_semaphore_post(service->ready);
    FAILPOINT("service.resume.ready");
}

/* Goes on where a dead worker was. */
static void resume_listening(classic_service *service) {
    if (service->journal->n_workers > 1) {
        service->forgotten_until_ns = plat_deadline_ns(FORGOTTEN_MS);
        tidy_up(service);
    }
    if (record_phase(service) == CLASSIC_COMPLETE) {
        post_completion(service, service->record->request.stream);
        if (settle(service)) serve_one(service);
    } else if (record_phase(service) == CLASSIC_ANSWERING) {
        serve_one(service);
    }
}

static void listen_for_requests(void *argument) {
    classic_service *service = argument;
    uint64_t taken_since = 0;
    resume_listening(service);
    while (!load_flag(&service->is_stopping)) {
        uint64_t tick_ns = plat_deadline_ns(service->forgotten_until_ns ? FORGOTTEN_TICK_MS : TICK_MS);
        if (taken_since && taken_since + REPOST_NS < tick_ns) tick_ns = taken_since + REPOST_NS;
        bool has_request = plat_semaphore_wait(service->prompts_written, tick_ns) == PLAT_OK;
        if (has_request) FAILPOINT("service.listen.request");
        if (!has_request) {
            tick(service, &taken_since);
            if (plat_clock_ns() >= service->forgotten_until_ns) service->forgotten_until_ns = 0;
            if (!is_forgotten(service)) continue;
        }
        serve_one(service);
        taken_since = 0;
    }
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

host_exit classic_service_open(const instance *instance, const classic_objects *objects, const host_options *options,
                               journal *journal, plat_doorbell *bell, classic_service **result, char *message,
                               size_t message_size) {
    *result = NULL;
    classic_service *service = calloc(1, sizeof *service);
    if (!service) {
        snprintf(message, message_size, "not enough memory");
        return HOST_EXIT_FAILURE;
    }
    service->options = options;
    service->block = instance->block;
    service->ready = objects->ready;
    service->prompts_written = objects->prompts_written;
    service->response_written = objects->response_written;
    service->chunk_ready = objects->chunk_ready;
    service->journal = journal;
    service->record = &journal->classic;
    service->host_bell = bell;
    if (plat_thread_start(listen_for_requests, service, 0, &service->listener) < 0) {
        snprintf(message, message_size, "cannot start a thread");
        classic_service_close(service);
        return HOST_EXIT_FAILURE;
    }
    *result = service;
    return HOST_EXIT_OK;
}

void classic_service_announce(classic_service *service) {
    __atomic_store_n(&service->is_announced, true, __ATOMIC_RELEASE);
    if (service->record->is_announced) return;
    /* Noted first: what a worker that dies in between has not posted is posted after a second. */
    service->record->is_announced = true;
    FAILPOINT("service.announce.noted");
    plat_semaphore_post(service->ready);
    FAILPOINT("service.announce.ready");
}

static void publish(classic_service *service, const char *text, size_t n_bytes, int32_t n_tokens) {
    if (classic_writer_prepare(&service->writer, text, n_bytes)) {
        uint64_t until_ns = plat_clock_ns() + CLASSIC_COPY_NS;
        while (plat_clock_ns() < until_ns) { /* too short to sleep */
        }
    }
    classic_writer_show(&service->writer, n_tokens);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Waits until a semaphore's permit is taken. */
static void wait_taken(classic_service *service, plat_semaphore *semaphore, uint64_t deadline_ns) {
    while (plat_semaphore_value(semaphore) > 0 && plat_clock_ns() < deadline_ns)
        plat_doorbell_wait(&service->listener_bell, plat_doorbell_arm(&service->listener_bell, PLAT_BELL_ALL),
                           plat_clock_ns() + SETTLE_FIRST_NS);
}

/* Whether a client may be waiting for an answer, or for the permit of one. */
static bool may_be_awaited(const classic_service *service) {
    return plat_semaphore_value(service->response_written) == 0 && plat_semaphore_value(service->chunk_ready) == 0 &&
           (plat_semaphore_may_have_waiter(service->response_written) ||
            plat_semaphore_may_have_waiter(service->chunk_ready));
}

/* In the block, complete, for whoever reads it from now on. */
static void show_end(classic_service *service) {
    static const char text[] = "[error: the host has ended]";
    classic_writer_begin(&service->writer, service->block);
    publish(service, text, sizeof text - 1, 0);
    classic_writer_complete(&service->writer, 0);
}

/* Who has taken its permit reads the block now. */
static void pause_for_reader(classic_service *service) {
    plat_doorbell_wait(&service->listener_bell, plat_doorbell_arm(&service->listener_bell, PLAT_BELL_ALL),
                       plat_deadline_ns(LET_GO_READ_MS));
}

/* Lets one in who waits for its turn; false if there is nobody. */
static bool let_one_in(classic_service *service) {
    /* Permits that nobody took would be the next one's, before its request is seen. */
    plat_semaphore_drain(service->response_written); /* callers name it */
    plat_semaphore_drain(service->chunk_ready); /* callers name it */
    if (!plat_semaphore_hand_over(service->ready)) return false; /* callers name it */
    if (plat_semaphore_wait(service->prompts_written, plat_clock_ns() + LET_GO_EACH_NS) != PLAT_OK) return true; /* callers name it */
    show_end(service); /* its request stood over the text */
    post_completion(service, true);
    wait_taken(service, service->response_written, plat_clock_ns() + LET_GO_EACH_NS);
    pause_for_reader(service); /* the next one's request stands over the text again */
    return true;
}

/* Those who wait for their turn would wait for ever: each is let in, and its answer is that the host has ended. The names
 * are gone, so nobody comes any more; what is left in semaphores that could not be removed, the next host takes back.
 * Nobody waits: the block stays as it is, perhaps with an answer that is not read yet. */
static void let_go(classic_service *service) {
    uint64_t deadline_ns = plat_clock_ns() + LET_GO_NS;
    if (!plat_semaphore_may_have_waiter(service->ready) && !may_be_awaited(service)) return;
    wait_taken(service, service->response_written, plat_clock_ns() + ABANDONED_NS);
    pause_for_reader(service);
    plat_semaphore_drain(service->prompts_written); /* one was for the listener; callers name it */
    while (plat_clock_ns() < deadline_ns && let_one_in(service)) { /* callers name it */
    }
    if (!may_be_awaited(service)) return;
    /* A request that came too late is there, and no answer; or an answer whose permit had been taken back. */
    if (!classic_block_is_complete(service->block)) show_end(service);
    post_completion(service, true);
}

void classic_service_close(classic_service *service) {
    if (!service) return;
    if (service->listener) {
        __atomic_store_n(&service->is_stopping, true, __ATOMIC_RELEASE);
        plat_doorbell_ring(&service->listener_bell, PLAT_BELL_ALL);
        plat_semaphore_post(service->prompts_written); /* it may be waiting there */
        FAILPOINT("service.close.woken");
        plat_thread_join(service->listener);
        if (load_flag(&service->is_announced)) let_go(service);
        FAILPOINT("service.close.let_go");
    }
    free(service);
}

/* ---- the channel of answers -------------------------------------------------------------------------------------- */

static classic_service *service_of(const answer *answer) {
    return (classic_service *)answer;
}

static bool add_text(classic_service *service, const char *text, size_t n_bytes) {
    if (service->is_streaming) {
        publish(service, text, n_bytes, service->n_tokens);
        plat_semaphore_post(service->chunk_ready);
        FAILPOINT("service.text.chunk");
        return !service->writer.is_full;
    }
    size_t fitting = utf8_fit(text, n_bytes, LIPC_RESPONSE_SIZE - 1 - service->n_text);
    memcpy(service->text + service->n_text, text, fitting);
    service->n_text += fitting;
    return fitting == n_bytes;
}

static void finish(classic_service *service) {
    service->is_answering = false;
    if (!service->is_streaming) publish(service, service->text, service->n_text, service->n_tokens);
    classic_block_clear_cancel(service->block);
    classic_writer_complete(&service->writer, service->n_tokens);
    set_record(service, CLASSIC_COMPLETE);
    FAILPOINT("service.finish.complete");
    post_completion(service, service->is_streaming);
    __atomic_store_n(&service->phase, PHASE_IDLE, __ATOMIC_RELEASE);
    plat_doorbell_ring(&service->listener_bell, PLAT_BELL_ALL);
}

static void on_position(answer *answer, uint32_t position) {
    (void)answer, (void)position; /* the block has no place for it, nor for the next two */
}

static void on_started(answer *answer, uint64_t now_ns) {
    (void)answer, (void)now_ns;
}

static void on_prompt(answer *answer, const engine_progress *progress) {
    (void)answer, (void)progress;
}

/* A token's text: shown, counted as shown. At most one token that was made is not counted, however many workers die: if it
 * is shown again, nothing stands behind it. */
static answer_room show_token(classic_service *service, const char *text, size_t n_bytes) {
    bool fits = add_text(service, text, n_bytes);
    __atomic_store_n(&service->record->n_shown, (uint32_t)service->n_tokens, __ATOMIC_RELEASE);
    FAILPOINT("service.token.shown");
    return fits ? ANSWER_FITS : ANSWER_FULL;
}

/* A token's text, made for the first time: noted before it is shown. */
static answer_room add_token(classic_service *service, const char *text, size_t n_bytes, int32_t token) {
    classic_record *record = service->record;
    if (record->n_tokens == JOURNAL_CLASSIC_TOKENS) return ANSWER_FULL;
    record->tokens[record->n_tokens] = token;
    FAILPOINT("service.token.id");
    __atomic_store_n(&record->n_tokens, record->n_tokens + 1, __ATOMIC_RELEASE);
    FAILPOINT("service.token.made");
    return show_token(service, text, n_bytes);
}

/* The block has room for the answer's text alone: thoughts and calls are not for its clients. */
static answer_room on_append(answer *answer, const answer_addition *added, const engine_progress *progress,
                             uint64_t now_ns) {
    classic_service *service = service_of(answer);
    const char *text = added->text;
    size_t n_bytes = added->n_bytes;
    (void)now_ns;
    if (progress) service->n_tokens = progress->n_tokens;
    if (progress && !progress->is_resumed) return add_token(service, text, n_bytes, progress->token);
    if (!progress || !service->is_streaming) return add_text(service, text, n_bytes) ? ANSWER_FITS : ANSWER_FULL;
    if ((uint32_t)progress->n_tokens > service->record->n_shown) return show_token(service, text, n_bytes);
    classic_writer_skip(&service->writer, text, n_bytes);
    return service->writer.is_full ? ANSWER_FULL : ANSWER_FITS;
}

static void on_ended(answer *answer, lipc_end end, int error, const char *message, uint64_t now_ns) {
    classic_service *service = service_of(answer);
    (void)now_ns;
    if (end == LIPC_END_HOST_ENDED && service->record->request.reader != 0)
        classic_block_change_reader(service->block, service->record->request.reader, LIPC_READER_HOST_ENDED);
    if (error != 0) {
        char text[ENGINE_MESSAGE_SIZE + 16];
        int n_bytes = snprintf(text, sizeof text, "[error: %s]", message);
        if (n_bytes >= (int)sizeof text) n_bytes = (int)sizeof text - 1;
        add_text(service, text, (size_t)n_bytes);
    }
    finish(service);
}

static bool is_cancelled(const answer *answer) {
    const classic_service *service = service_of(answer);
    return classic_block_cancel_requested(service->block) || load_flag(&service->is_client_gone);
}

static const answer_channel classic_channel = {on_position, on_started, on_prompt, on_append, on_ended, is_cancelled};

/* ---- taking requests --------------------------------------------------------------------------------------------- */

/* What a client left that did not come back is not the number of the one that has its turn now, which has none. */
static void forget_abandoned(classic_service *service) {
    classic_record *record = service->record;
    if (record->request.reader == 0 || record->request.reader != record->abandoned_reader) return;
    classic_block_change_reader(service->block, record->abandoned_reader, 0);
    record->request.reader = 0;
    FAILPOINT("service.take.reader");
}

/* Copies the request out of the block and makes ready for its answer. */
static void take(classic_service *service) {
    classic_record *record = service->record;
    classic_block_take(service->block, &record->request);
    FAILPOINT("service.take.request");
    forget_abandoned(service);
    /* For a client that did not wait for sem_ready; and a second sem_ready, posted for a client that was slow to write,
     * would let another one in. */
    plat_semaphore_drain(service->chunk_ready);
    FAILPOINT("service.take.chunks");
    plat_semaphore_drain(service->response_written);
    FAILPOINT("service.take.written");
    plat_semaphore_drain(service->ready);
    FAILPOINT("service.take.ready");
    classic_writer_begin(&service->writer, service->block);
    service->journal->classic_entry = (journal_entry){0};
    FAILPOINT("service.take.entry");
    record->seed = answer_seed(service->options->seed);
    FAILPOINT("service.take.seed");
    record->n_tokens = record->n_shown = 0;
    FAILPOINT("service.take.n_tokens");
    set_record(service, CLASSIC_ANSWERING);
    FAILPOINT("service.take.answering");
}

/* What a dead worker had taken: the answer is made again from its tokens, and goes on behind them. */
static void resume(classic_service *service) {
    log_line(LOG_LEVEL_INFO, "going on with the classic client's answer after %u tokens", service->record->n_tokens);
    classic_writer_resume(&service->writer, service->block);
}

/* The request that stands in the journal, as the serving loop wants it. */
static answer *make_answer(classic_service *service) {
    classic_record *record = service->record;
    answer *answer = &service->answer;
    *answer = (struct answer){.channel = &classic_channel,
                              .client = ANSWER_CLIENT_CLASSIC,
                              .is_resumed = record->n_tokens > 0,
                              .entry = &service->journal->classic_entry};
    answer_request_defaults(&answer->request, service->options);
    answer->request.sampling.seed = record->seed;
    answer->request.resumed = record->n_tokens > 0 ? record->tokens : NULL;
    answer->request.n_resumed = record->n_tokens;
    size_t n_messages = 0;
    const classic_request *request = &record->request;
    if (request->system_prompt[0]) service->messages[n_messages++] = (engine_message){"system", request->system_prompt};
    service->messages[n_messages++] = (engine_message){"user", request->user_prompt};
    answer->request.messages = service->messages;
    answer->request.n_messages = n_messages;
    service->is_answering = true;
    return answer;
}

/* An answer that needs no engine; true if this one is. */
static bool is_answered_at_once(classic_service *service) {
    char reason[ENGINE_MESSAGE_SIZE];
    if (service->record->request.user_prompt[0] == 0) {
        log_line(LOG_LEVEL_INFO, "an empty prompt, an empty answer");
        finish(service);
        return true;
    }
    if (!answer_is_rejected(&service->journal->classic_entry, service->journal->last_death, reason, sizeof reason))
        return false;
    log_line(LOG_LEVEL_WARN, "the classic client's request: %s", reason);
    classic_writer_resume_behind(&service->writer, service->block);
    service->n_tokens = (int32_t)service->record->n_shown;
    on_ended(&service->answer, LIPC_END_FAILED, LIPC_E_FAILED, reason, 0);
    return true;
}

answer *classic_service_take(classic_service *service) {
    if (service->is_shutdown_taken || __atomic_load_n(&service->phase, __ATOMIC_ACQUIRE) != PHASE_POSTED ||
        service->is_answering)
        return NULL;
    bool is_resumed = record_phase(service) == CLASSIC_ANSWERING;
    /* Before anything is reset: whoever asks for the end may leave an answer that its client has not read yet. */
    if (!is_resumed && classic_block_shutdown_requested(service->block)) {
        service->is_shutdown_taken = true;
        return NULL;
    }
    if (is_resumed) resume(service);
    else take(service);
    const classic_request *request = &service->record->request;
    service->is_streaming = request->stream;
    service->n_text = 0;
    service->n_tokens = 0;
    log_guide_line(request->stream ? "Stream Mode: Enabled" : "Stream Mode: Disabled");
    log_guide_line(request->stream ? "Processing with streaming..." : "Processing...");
    return is_answered_at_once(service) ? NULL : make_answer(service);
}

bool classic_service_shutdown_requested(const classic_service *service) {
    return service->is_shutdown_taken || classic_block_shutdown_requested(service->block);
}
