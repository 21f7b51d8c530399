/* serve.c - see serve.h.
 *
 * One round: look at everything that a client may have changed, give turns, and then step the engine for as long as
 * nobody rings. The bell is armed before each look, so whatever changes after it rings, also while the host is at work.
 *
 * A request for another model waits in the queue like all others. When it is the next no answer begins any more, and when
 * those that run have ended the loop hands it to its caller, which changes the engine. In the same way the caller closes the
 * engine when there was no work for a while, and opens it again for the next request.
 */
#include "serve.h"

#include "fetch_queue.h"
#include "gather.h"
#include "log.h"
#include "scheduler.h"

#include "../platform/failpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest sleep. Every client rings; this is for one that scribbles over the bell. */
#define SLEEP_MOST_MS 1000
/* While a model is being fetched: how often that is looked at. */
#define FETCHING_MS 100
/* While a model loads: a client that never stops ringing takes no more than a few hundredths of the time. */
#define POLL_LEAST_NS 1000000u

struct server {
    engine *engine;            /* NULL: none, until a request needs it */
    classic_service *classic;
    stream_service *streams;
    journal *journal;
    plat_doorbell *bell;
    engine_progress *progress; /* of a step */
    answer **by_sequence;      /* the answer that the engine makes in each; NULL: free */
    answer **running;
    size_t n_running;
    answer **waiting;
    size_t n_waiting, waiting_size;
    gather gather;             /* of one token at a time */
    recorder *recorder;        /* NULL: nothing is kept */
    fetch_queue *fetches;      /* who asked for a model that is not here yet */
    answer *load;              /* whose turn it is: another model; NULL: none */
    bool wants_engine;         /* whose turn it is needs one, and there is none */
    uint64_t sleep_idle_ns;    /* without work for this long, it sleeps; 0: never */
    uint64_t idle_from_ns;     /* since when there is no work; later than now is not known */
    uint32_t attended;         /* server_poll_clients has looked at what was rung for up to here */
    uint64_t polled_ns;      /* ... and when that was */
    unsigned n_requests;
    bool is_draining;
    bool is_stopping;
};

static bool load(const int *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) != 0;
}

server *server_new(classic_service *classic, stream_service *streams, const host_options *options, journal *journal,
                   plat_doorbell *bell) {
    server *server = calloc(1, sizeof *server);
    if (!server) return NULL;
    *server = (struct server){.classic = classic, .streams = streams, .journal = journal, .bell = bell};
    server->waiting_size = stream_service_size(streams) + 1; /* each stream, and the classic channel */
    server->waiting = calloc(server->waiting_size, sizeof *server->waiting);
    server->fetches = fetch_queue_new(streams, options, server->waiting_size);
    if (server->waiting && server->fetches) return server;
    server_free(server);
    return NULL;
}

static void forget_engine(server *server) {
    free(server->progress);
    free(server->by_sequence);
    free(server->running);
    server->progress = NULL;
    server->by_sequence = server->running = NULL;
    server->engine = NULL;
}

bool server_set_engine(server *server, engine *engine) {
    size_t n_sequences = (size_t)engine->facts.n_sequences;
    forget_engine(server);
    server->progress = calloc((size_t)engine->facts.n_progress, sizeof *server->progress);
    server->by_sequence = calloc(n_sequences, sizeof *server->by_sequence);
    server->running = calloc(n_sequences, sizeof *server->running);
    bool has_room = server->progress && server->by_sequence && server->running;
    if (has_room) server->engine = engine;
    else forget_engine(server);
    server->idle_from_ns = plat_clock_ns();
    return has_room;
}

void server_remove_engine(server *server) {
    forget_engine(server);
}

void server_sleep_after(server *server, uint32_t seconds) {
    server->sleep_idle_ns = seconds * UINT64_C(1000000000);
}

void server_ring(server *server) {
    plat_doorbell_ring(server->bell, PLAT_BELL_ALL);
}

void server_record(server *server, recorder *recorder) {
    server->recorder = recorder;
}

void server_free(server *server) {
    if (!server) return;
    forget_engine(server);
    gather_free(&server->gather);
    fetch_queue_free(server->fetches);
    free(server->waiting);
    free(server);
}

/* Whether the answers at hand are to end where they are. A classic client may ask for that without a ring. */
static bool must_stop(const server *server) {
    return load(&server->journal->stop.now) || classic_service_shutdown_requested(server->classic);
}

bool server_is_interrupted(const server *server) {
    if (must_stop(server)) return true;
    for (size_t i = 0; i < server->n_running; i++)
        if (!server->running[i]->channel->is_cancelled(server->running[i])) return false;
    return server->n_running > 0;
}

/* ---- the end of an answer ---------------------------------------------------------------------------------------- */

static void finish(answer *answer, lipc_end end, int error, const char *message) {
    journal_entry_end(answer->entry);
    stops_free(answer->stops);
    answer->stops = NULL;
    free(answer->fetched_path);
    answer->load_path = answer->load_name = answer->fetched_path = NULL;
    answer->channel->ended(answer, end, error, message, plat_clock_ns());
}

static void refuse(answer *answer, int error, const char *message) {
    log_line(LOG_LEVEL_WARN, "request %u refused: %s", answer->number, message);
    finish(answer, error == LIPC_E_FAILED ? LIPC_END_FAILED : LIPC_END_REFUSED, error, message);
}

static double per_second(int32_t count, uint64_t ns) {
    return ns ? (double)count * 1e9 / (double)ns : 0;
}

static lipc_end end_of(engine_end end) {
    switch (end) {
    case ENGINE_END_NONE: return LIPC_END_NONE;
    case ENGINE_END_TURN: return LIPC_END_TURN;
    case ENGINE_END_LIMIT: return LIPC_END_LIMIT;
    case ENGINE_END_CONTEXT: return LIPC_END_CONTEXT;
    case ENGINE_END_CANCELLED: return LIPC_END_CANCELLED;
    case ENGINE_END_FAILED: return LIPC_END_FAILED;
    case ENGINE_END_REFUSED: return LIPC_END_REFUSED;
    }
    return LIPC_END_FAILED;
}

static const char *words_of(lipc_end end) {
    static const char *const words[] = {
#define WORDS(number, name, text) [number] = text,
        LIPC_END_MAP(WORDS)
#undef WORDS
    };
    return words[end];
}

/* Why a resumed answer is cut. */
static const char damaged[] = "what was published of the answer was changed in shared memory: it cannot go on";

static const char *why_failed(const server *server, const answer *answer, const engine_progress *progress) {
    if (answer->cut != LIPC_END_FAILED) return progress->message ? progress->message : server->engine->message;
    return stops_has_failed(answer->stops) ? "not enough memory to look for the stop strings" : damaged;
}

static lipc_end put_rest(server *server, answer *answer, const answer_addition *added, lipc_end end) {
    recorder_rest(server->recorder, answer->sequence, added);
    switch (answer->channel->append(answer, added, NULL, plat_clock_ns())) {
    case ANSWER_FULL: return LIPC_END_FULL;
    case ANSWER_DAMAGED: return answer->cut = LIPC_END_FAILED;
    case ANSWER_FITS: break;
    }
    return end;
}

/* What was held back till the end: by the engine, and because it might have become a stop string. Returns how the answer
 * ends, which would end with `end`. */
static lipc_end append_rest(server *server, answer *answer, const engine_progress *progress, lipc_end end) {
    answer_addition added;
    if (!progress->has_token && (progress->n_bytes > 0 || progress->n_deltas > 0)) {
        bool is_stopped = gather_take(&server->gather, answer->stops, progress, &added);
        lipc_end now = put_rest(server, answer, &added, is_stopped ? LIPC_END_STOP : end);
        if (is_stopped || now != end) return now;
    }
    added = (answer_addition){0};
    stops_flush(answer->stops, &added.text, &added.n_bytes);
    return added.n_bytes > 0 ? put_rest(server, answer, &added, end) : end;
}

static void record_end(server *server, const answer *answer, lipc_end end, const char *reason) {
    int error = recorder_end(server->recorder, answer->sequence, end, reason, plat_clock_ns());
    if (error != 0) log_line(LOG_LEVEL_WARN, "request %u is not recorded: %s", answer->number, strerror(error));
}

/* The engine has let go of the answer. */
static void end_running(server *server, answer *answer, const engine_progress *progress) {
    lipc_end end = answer->cut != LIPC_END_NONE ? answer->cut : end_of(progress->end);
    if (end == LIPC_END_CANCELLED && server->is_stopping) end = LIPC_END_HOST_ENDED;
    bool was_begun = progress->end != ENGINE_END_REFUSED;
    if (server->engine->facts.counts_prompt_last && was_begun) answer->channel->prompt(answer, progress);
    if (answer->cut == LIPC_END_NONE && was_begun) end = append_rest(server, answer, progress, end);
    if (end == LIPC_END_REFUSED && answer->is_resumed) end = LIPC_END_FAILED; /* it was not refused before */
    bool is_refused = end == LIPC_END_REFUSED, has_failed = end == LIPC_END_FAILED || is_refused;
    const char *reason = has_failed ? why_failed(server, answer, progress) : "";
    if (has_failed) log_line(LOG_LEVEL_ERROR, "request %u: %s", answer->number, reason);
    /* The first token comes out of the prompt's evaluation; the others take the time of generating. */
    int32_t n_timed = progress->n_tokens > 1 ? progress->n_tokens - 1 : 0;
    log_line(LOG_LEVEL_INFO, "request %u: prompt %d tokens, %d of them known, in %.1f ms (%.1f tokens/s), answer %d "
                             "tokens in %.1f ms (%.1f tokens/s), %s",
             answer->number, progress->n_prompt, progress->n_cached, (double)progress->prompt_ns / 1e6,
             per_second(progress->n_prompt_done - progress->n_cached, progress->prompt_ns), progress->n_tokens,
             (double)progress->generate_ns / 1e6, per_second(n_timed, progress->generate_ns), words_of(end));
    record_end(server, answer, end, reason);
    server->by_sequence[answer->sequence] = NULL;
    for (size_t i = 0; i < server->n_running; i++)
        if (server->running[i] == answer) server->running[i] = server->running[--server->n_running];
    server->idle_from_ns = plat_clock_ns();
    finish(answer, end, is_refused ? LIPC_E_REFUSED : has_failed ? LIPC_E_FAILED : 0, reason);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static void enqueue(server *server, answer *answer) {
    answer->number = ++server->n_requests;
    answer->arrived = server->n_requests;
    answer->cut = LIPC_END_NONE;
    answer->sequence = -1;
    server->waiting[server->n_waiting++] = answer;
}

static void take_streams(server *server) {
    answer *arrived;
    while (server->n_waiting < server->waiting_size && (arrived = stream_service_take(server->streams)))
        if (arrived->load_name) fetch_queue_add(server->fetches, arrived);
        else enqueue(server, arrived);
}

/* Those whose model is here now stand in the queue behind all who have come meanwhile. */
static void take_fetched(server *server) {
    const char *message;
    int error;
    answer *answer;
    while ((answer = server->is_draining ? fetch_queue_drop(server->fetches) : fetch_queue_next(server->fetches, &error, &message))) {
        if (server->is_draining) finish(answer, LIPC_END_HOST_ENDED, 0, "");
        else if (error < 0) refuse(answer, error, message);
        else if (answer->load_path && server->n_waiting < server->waiting_size) enqueue(server, answer);
        else finish(answer, LIPC_END_CANCELLED, 0, "");
    }
}

static void take_classic(server *server) {
    answer *arrived;
    if (server->n_waiting < server->waiting_size && (arrived = classic_service_take(server->classic)))
        enqueue(server, arrived);
}

/* Ends what is no longer wanted, and sorts the rest. */
static void update_queue(server *server) {
    size_t n_kept = 0;
    for (size_t i = 0; i < server->n_waiting; i++) {
        answer *answer = server->waiting[i];
        if (server->is_draining && (!answer->is_resumed || answer->load_path))
            finish(answer, LIPC_END_HOST_ENDED, 0, "");
        else if (answer->channel->is_cancelled(answer))
            finish(answer, LIPC_END_CANCELLED, 0, "");
        else
            server->waiting[n_kept++] = answer;
    }
    server->n_waiting = n_kept;
    scheduler_sort(server->waiting, server->n_waiting, server->running, server->n_running);
}

/* Which of those who wait begins now; n_waiting: none. Requests that may have brought a worker down are tried one at a
 * time: the next begins when the one before has made a token, and everybody else when all of them have. A change of the
 * model begins when nothing runs. */
static size_t next_to_start(const server *server) {
    if (server->engine && server->n_running >= (size_t)server->engine->facts.n_sequences) return server->n_waiting;
    for (size_t i = 0; i < server->n_running; i++)
        if (server->running[i]->entry->is_quarantined) return server->n_waiting;
    size_t next = 0;
    for (size_t i = server->n_waiting; i-- > 0;)
        if (server->waiting[i]->entry->is_quarantined) next = i;
    bool must_wait = next < server->n_waiting && server->waiting[next]->load_path && server->n_running > 0;
    return must_wait ? server->n_waiting : next;
}

/* What a request that wants no answer is told. */
static int make_document(server *server, const answer *answer, char **json) {
    const engine_request *request = &answer->request;
    if (!answer->state_path) return engine_render(server->engine, request, json);
    if (answer->restores) return engine_restore_state(server->engine, answer->state_path, json);
    return engine_save_state(server->engine, request, answer->state_path, json);
}

/* A document is the whole answer, and there is no work for the engine's next steps. */
static void answer_at_once(server *server, answer *answer, uint64_t turn_ns) {
    char *json;
    int error = make_document(server, answer, &json);
    if (error < 0) {
        refuse(answer, error == ENGINE_E_NO_MEMORY ? LIPC_E_FAILED : LIPC_E_REFUSED, server->engine->message);
        return;
    }
    answer->channel->started(answer, turn_ns);
    const answer_addition added = {.text = json, .n_bytes = strlen(json)};
    answer_room room = answer->channel->append(answer, &added, NULL, plat_clock_ns());
    free(json);
    bool is_damaged = room == ANSWER_DAMAGED;
    finish(answer, is_damaged ? LIPC_END_FAILED : room == ANSWER_FULL ? LIPC_END_FULL : LIPC_END_TURN,
           is_damaged ? LIPC_E_FAILED : 0, is_damaged ? damaged : "");
}

static void start(server *server, size_t place) {
    answer *answer = server->waiting[place];
    memmove(server->waiting + place, server->waiting + place + 1,
            (--server->n_waiting - place) * sizeof *server->waiting);
    journal_entry_begin(answer->entry);
    uint64_t turn_ns = plat_clock_ns();
    if (answer->load_path) {
        server->load = answer;
        answer->channel->started(answer, turn_ns);
        return;
    }
    server->idle_from_ns = turn_ns; /* also of work that is over at once */
    if (answer->wants_rendering || answer->state_path) {
        answer_at_once(server, answer, turn_ns);
        return;
    }
    uint64_t file_sum = server->engine->facts.file_sum, begun_with = answer->entry->file_sum;
    if (answer->is_resumed && begun_with != 0 && begun_with != file_sum) {
        refuse(answer, LIPC_E_FAILED, "the model's file was changed since the answer was begun: it cannot go on");
        return;
    }
    answer->entry->file_sum = file_sum;
    int error = engine_admit(server->engine, &answer->request, &answer->sequence);
    if (error < 0) {
        bool is_ours = error == ENGINE_E_NO_MEMORY || error == ENGINE_E_BUSY || answer->is_resumed;
        refuse(answer, is_ours ? LIPC_E_FAILED : LIPC_E_REFUSED, server->engine->message);
        return;
    }
    server->by_sequence[answer->sequence] = answer;
    server->running[server->n_running++] = answer;
    recorder_begin(server->recorder, answer->sequence);
    answer->channel->started(answer, turn_ns);
}

static void show_queue(server *server) {
    for (size_t i = 0; i < server->n_waiting; i++)
        server->waiting[i]->channel->position(server->waiting[i], (uint32_t)i);
    stream_service_show_load(server->streams, (uint32_t)server->n_running, (uint32_t)server->n_waiting);
}

static void give_turns(server *server) {
    size_t next;
    take_streams(server);
    take_classic(server);
    take_fetched(server);
    update_queue(server);
    server->wants_engine = false;
    while (!server->load && (next = next_to_start(server)) < server->n_waiting) {
        server->wants_engine = !server->engine && !server->waiting[next]->load_path;
        if (server->wants_engine) break;
        start(server, next);
        scheduler_sort(server->waiting, server->n_waiting, server->running, server->n_running);
    }
    show_queue(server);
}

void server_poll_clients(server *server) {
    uint64_t now_ns = plat_clock_ns(), age_ns = now_ns - server->polled_ns;
    bool has_rung = plat_doorbell_has_rung(server->bell, server->attended);
    if (age_ns < POLL_LEAST_NS || (!has_rung && age_ns < SLEEP_MOST_MS * 1000000ull)) return;
    server->attended = plat_doorbell_arm(server->bell, PLAT_BELL_ALL);
    server->polled_ns = now_ns;
    stream_service_look(server->streams);
    take_streams(server);
    take_fetched(server);
    update_queue(server);
    show_queue(server);
    stream_service_grant(server->streams, (uint32_t)server->n_waiting);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* The engine needs one more step to let go. */
static void cut(server *server, answer *answer, lipc_end end) {
    answer->cut = end;
    engine_cancel(server->engine, answer->sequence);
}

/* What a token adds, as far as no stop string holds it back. Returns why the answer is to end here; NONE: it goes on. */
static lipc_end append(server *server, answer *answer, const engine_progress *progress, uint64_t now_ns) {
    answer_addition added;
    bool is_stopped = gather_take(&server->gather, answer->stops, progress, &added);
    recorder_token(server->recorder, answer->sequence, progress, &added, now_ns);
    switch (answer->channel->append(answer, &added, progress, now_ns)) {
    case ANSWER_FULL: return LIPC_END_FULL;
    case ANSWER_DAMAGED: return LIPC_END_FAILED;
    case ANSWER_FITS: break;
    }
    if (server->gather.has_failed || stops_has_failed(answer->stops)) return LIPC_END_FAILED;
    return is_stopped ? LIPC_END_STOP : LIPC_END_NONE;
}

/* Passes on what a step made of one answer. Returns whether others may have their turn now. */
static bool pass_on(server *server, answer *answer, const engine_progress *progress, uint64_t now_ns) {
    bool is_cut = answer->cut != LIPC_END_NONE, was_quarantined = answer->entry->is_quarantined;
    if (!progress->has_token && !is_cut && progress->n_tokens == 0) {
        recorder_prompt(server->recorder, answer->sequence, progress, now_ns);
        answer->channel->prompt(answer, progress);
    }
    if (progress->has_token && !is_cut) {
        if (progress->n_tokens == 1)
            answer->channel->prompt(answer, progress);
        if (!progress->is_resumed) journal_progress(server->journal, answer->entry);
        lipc_end end = append(server, answer, progress, now_ns);
        if (end != LIPC_END_NONE && progress->end == ENGINE_END_NONE)
            cut(server, answer, end);
        else
            answer->cut = end;
    }
    if (progress->end == ENGINE_END_NONE) return was_quarantined && !answer->entry->is_quarantined;
    end_running(server, answer, progress);
    return true;
}

/* The engine's next step is then due at once, however long it would otherwise be till then. */
static void cancel_unwanted(server *server) {
    for (size_t i = 0; i < server->n_running; i++)
        if (server->is_stopping || server->running[i]->channel->is_cancelled(server->running[i]))
            engine_cancel(server->engine, server->running[i]->sequence);
}

/* A test can have each of them crash the worker. */
static void name_those_at_work(const server *server) {
    for (size_t i = 0; i < server->n_running; i++) {
        const engine_request *request = &server->running[i]->request;
        FAILPOINT_TEXT("serve.step.at_work",
                  request->document ? request->document : request->messages[request->n_messages - 1].text);
        (void)request;
    }
}

/* Moves all answers on. Returns whether others may have their turn now. */
static bool step(server *server) {
    bool makes_way = false;
    cancel_unwanted(server);
    name_those_at_work(server);
    size_t n_moved = engine_step(server->engine, server->progress);
    uint64_t now_ns = plat_clock_ns();
    for (size_t i = 0; i < n_moved; i++) {
        answer *answer = server->by_sequence[server->progress[i].sequence];
        if (answer) makes_way |= pass_on(server, answer, &server->progress[i], now_ns);
    }
    return makes_way;
}

/* When it falls asleep; UINT64_MAX: not before something has changed. */
static uint64_t asleep_due_ns(const server *server) {
    bool is_idle = server->sleep_idle_ns > 0 && server->engine && server->n_running + server->n_waiting == 0 && !server->is_draining;
    return is_idle ? server->idle_from_ns + server->sleep_idle_ns : UINT64_MAX;
}

/* By when the loop looks at everything again. */
static uint64_t look_due_ns(const server *server) {
    return plat_deadline_ns(fetch_queue_is_busy(server->fetches) ? FETCHING_MS : SLEEP_MOST_MS);
}

static uint64_t sleep_until(const server *server) {
    uint64_t longest_ns = look_due_ns(server), asleep_ns = asleep_due_ns(server);
    uint64_t due_ns = server->engine ? engine_next_step_ns(server->engine) : UINT64_MAX;
    if (asleep_ns < due_ns) due_ns = asleep_ns;
    return due_ns < longest_ns ? due_ns : longest_ns;
}

/* Steps until somebody rings, an answer ends, or there is nothing to do and the host has slept; not for longer than it
 * would sleep. At least one step, so that a client that never stops ringing holds nobody up. */
static void work(server *server, uint32_t seen) {
    uint64_t look_ns = look_due_ns(server);
    do {
        if (must_stop(server)) return;
        if (server->n_running > 0 && engine_next_step_ns(server->engine) <= plat_clock_ns()) {
            if (step(server)) return;
        } else {
            plat_doorbell_wait(server->bell, seen, sleep_until(server));
            if (server->n_running == 0) return;
        }
    } while (!plat_doorbell_has_rung(server->bell, seen) && plat_clock_ns() < look_ns);
}

server_event server_run(server *server, answer **request) {
    *request = server->load = NULL;
    for (;;) {
        uint32_t seen = plat_doorbell_arm(server->bell, PLAT_BELL_ALL);
        stream_service_look(server->streams);
        server->is_stopping = must_stop(server);
        if (!server->is_draining && (server->is_stopping || load(&server->journal->stop.drain) ||
                                     stream_service_shutdown_requested(server->streams))) {
            server->is_draining = true;
            stream_service_show_state(server->streams, LIPC_HUB_ENDING);
        }
        give_turns(server);
        cancel_unwanted(server);
        stream_service_grant(server->streams, (uint32_t)server->n_waiting);
        if ((*request = server->load)) return SERVER_LOADS;
        if (server->wants_engine) return SERVER_WAKES;
        if (server->is_draining && server->n_running == 0) return SERVER_ENDS;
        if (asleep_due_ns(server) <= plat_clock_ns()) return SERVER_SLEEPS;
        if (server->is_stopping)
            step(server);
        else
            work(server, seen);
    }
}

/* ---- another model ----------------------------------------------------------------------------------------------- */

void server_end_load(answer *load, lipc_end end, int error, const char *message) {
    if (error < 0) {
        refuse(load, error, message);
        return;
    }
    log_line(LOG_LEVEL_INFO, "request %u: another model, %s", load->number,
             end == LIPC_END_TURN ? "loaded" : words_of(end));
    finish(load, end, 0, "");
}

void server_fail_waiting(server *server, const char *message) {
    size_t n_kept = 0;
    for (size_t i = 0; i < server->n_waiting; i++) {
        answer *answer = server->waiting[i];
        if (answer->load_path) server->waiting[n_kept++] = answer;
        else refuse(answer, LIPC_E_FAILED, message);
    }
    server->n_waiting = n_kept;
}

void server_abandon(server *server) {
    server->is_draining = true;
    stream_service_show_state(server->streams, LIPC_HUB_ENDING);
    stream_service_look(server->streams);
    take_streams(server);
    take_classic(server);
    take_fetched(server);
    update_queue(server);
    while (server->n_waiting > 0) finish(server->waiting[--server->n_waiting], LIPC_END_HOST_ENDED, 0, "");
}
