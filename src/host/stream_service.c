/* stream_service.c - see stream_service.h. */
#include "stream_service.h"

#include "attendance.h"
#include "log.h"

#include "../channel/request.h"
#include "../channel/stream.h"
#include "../platform/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For how long a stream whose claim was overwritten is given to nobody. A client writes its request within this time. */
#define REVOKED_MS 50
/* How often what the host shows is written again. Shorter than an idle host sleeps. */
#define RESTORE_NS 900000000u

typedef enum slot_phase {
    SLOT_EMPTY,     /* no request of this stream is at hand */
    SLOT_TAKEN,     /* a good request, not yet given to the serving loop */
    SLOT_ANSWERING, /* the serving loop has it */
    SLOT_ENDED      /* its answer is final and stays until nobody wants it */
} slot_phase;

/* What the host knows of one stream. */
typedef struct slot {
    answer answer; /* first: the serving loop's handle */
    stream_service *service;
    uint32_t index;
    uint32_t generation;  /* the stream's, whatever its claim says; never goes back */
    slot_phase phase;
    bool is_detachable;
    bool is_unwanted;     /* released, or its owner is gone: to be freed */
    uint32_t n_found;     /* bytes of text that lay in the log when this worker began */
    uint64_t free_ns;     /* not before that: somebody may still be writing there; 0: nobody */
    uint32_t position;    /* in the queue, as it is shown */
    uint64_t ended_order; /* the lowest ended first */
    char *bytes;          /* the request */
    uint32_t n_bytes;
    engine_message *messages;
    int32_t *tokens;      /* of a resumed answer, those that were published */
    stream_writer writer;
} slot;

/* What a client wishes that waits for a stream. */
typedef struct wished {
    uint64_t wish;     /* the word, as it was seen first */
    uint64_t round;    /* when */
    uint32_t position; /* in the queue, as it is shown */
} wished;

struct stream_service {
    hub_view view;
    const host_options *options;
    ledger *ledger;
    attendance *attendance;
    slot *slots;
    uint64_t n_ended;
    wished wished[LIPC_CLIENTS_MAX];
    uint64_t round;      /* counts the looks at wishes */
    lipc_hub shown;      /* what the host says of itself, as it was written last */
    uint64_t restore_ns; /* when all that the host shows is looked after next */
};

/* ---- generations ------------------------------------------------------------------------------------------------- */

static void set_generation(slot *slot, uint32_t generation) {
    slot->generation = generation;
    slot->service->ledger->generations[slot->index] = generation;
}

/* Whose generation a stream is when this worker begins. The claim is believed if no worker of this host knew better, or
 * if the last one may have died between changing it and noting that. */
static uint32_t first_generation(const stream_service *service, uint32_t index) {
    uint32_t found = stream_claim_generation(stream_claim_now(hub_stream(&service->view, index)));
    uint32_t known = service->ledger->generations[index];
    return service->ledger->n_workers <= 1 || found == known + 1 ? found : known;
}

/* Text that a log may hold when this worker begins. */
static uint32_t text_found(const stream_service *service, uint32_t index) {
    uint32_t n_bytes = (uint32_t)__atomic_load_n(&hub_stream(&service->view, index)->published, __ATOMIC_RELAXED);
    return n_bytes < service->view.at.log_size ? n_bytes : service->view.at.log_size;
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

host_exit stream_service_open(const instance *instance, const host_options *options, ledger *ledger, plat_doorbell *bell,
                              stream_service **result, char *message, size_t message_size) {
    *result = NULL;
    stream_service *service = calloc(1, sizeof *service);
    if (service) {
        service->view = instance->view;
        service->options = options;
        service->ledger = ledger;
        service->shown = instance->hub;
        service->slots = calloc(instance->view.at.n_streams, sizeof *service->slots);
    }
    if (!service || !service->slots) {
        snprintf(message, message_size, "not enough memory for %u streams", instance->view.at.n_streams);
        stream_service_close(service);
        return HOST_EXIT_FAILURE;
    }
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        service->slots[i].service = service;
        service->slots[i].index = i;
        set_generation(&service->slots[i], first_generation(service, i));
        service->slots[i].n_found = text_found(service, i);
    }
    service->attendance = attendance_open(&service->view, bell);
    if (!service->attendance) {
        snprintf(message, message_size, "cannot watch the clients' processes: %s", plat_os_error());
        stream_service_close(service);
        return HOST_EXIT_FAILURE;
    }
    *result = service;
    return HOST_EXIT_OK;
}

static void forget_request(slot *slot) {
    free(slot->bytes);
    free(slot->messages);
    free(slot->tokens);
    slot->bytes = NULL;
    slot->messages = NULL;
    slot->tokens = NULL;
}

void stream_service_close(stream_service *service) {
    if (!service) return;
    for (uint32_t i = 0; service->slots && i < service->view.at.n_streams; i++) {
        if (service->slots[i].phase == SLOT_TAKEN) stops_free(service->slots[i].answer.stops);
        forget_request(&service->slots[i]);
    }
    attendance_close(service->attendance);
    free(service->slots);
    free(service);
}

size_t stream_service_size(const stream_service *service) {
    return service->view.at.n_streams;
}

/* ---- what all clients see ---------------------------------------------------------------------------------------- */

#define SHOW(service, field, value) \
    __atomic_store_n(&hub_of(&(service)->view)->field, (service)->shown.field = (value), \
                     __ATOMIC_RELAXED) /* callers name it */

void stream_service_show_state(stream_service *service, uint32_t state) {
    /* release: who sees READY sees the model's facts. */
    service->shown.state = state;
    __atomic_store_n(&hub_of(&service->view)->state, state, __ATOMIC_RELEASE);
    STEP("streams.show.state");
    attendance_ring_all(service->attendance, PLAT_BELL_ALL);
}

void stream_service_show_loading(stream_service *service, int per_mille) {
    if ((uint32_t)per_mille == service->shown.load_per_mille) return;
    SHOW(service, load_per_mille, (uint32_t)per_mille);
    STEP("streams.show.loading");
    attendance_ring_all(service->attendance, PLAT_BELL_ALL);
}

void stream_service_show_model(stream_service *service, const engine_model_facts *facts) {
    lipc_hub *hub = hub_of(&service->view);
    snprintf(service->shown.model, sizeof service->shown.model, "%s", facts->description);
    memcpy(hub->model, service->shown.model, sizeof hub->model);
    STEP("streams.show.model");
    SHOW(service, load_per_mille, 1000);
    STEP("streams.show.loaded");
    SHOW(service, n_ctx, facts->n_ctx);
    STEP("streams.show.n_ctx");
    SHOW(service, n_ctx_trained, facts->n_ctx_trained);
    STEP("streams.show.n_ctx_trained");
    SHOW(service, n_vocab, (uint32_t)facts->n_vocab);
    STEP("streams.show.n_vocab");
    SHOW(service, n_threads, (uint32_t)facts->n_threads);
    STEP("streams.show.n_threads");
    SHOW(service, n_parallel, (uint32_t)facts->n_sequences);
    STEP("streams.show.n_parallel");
    SHOW(service, n_parameters, facts->n_parameters);
    STEP("streams.show.n_parameters");
    SHOW(service, model_bytes, facts->n_bytes);
    STEP("streams.show.model_bytes");
}

void stream_service_show_worker(stream_service *service, int pid, uint32_t n_recoveries) {
    SHOW(service, worker_pid, (uint32_t)pid);
    STEP("streams.show.worker_pid");
    SHOW(service, n_recoveries, n_recoveries);
    STEP("streams.show.n_recoveries");
}

void stream_service_show_load(stream_service *service, uint32_t n_running, uint32_t n_queued) {
    SHOW(service, n_running, n_running);
    STEP("streams.show.n_running");
    SHOW(service, n_queued, n_queued);
    STEP("streams.show.n_queued");
}

bool stream_service_shutdown_requested(const stream_service *service) {
    return __atomic_load_n(&hub_of(&service->view)->shutdown, __ATOMIC_ACQUIRE) != 0;
}

/* ---- ringing ----------------------------------------------------------------------------------------------------- */

static lipc_stream_header *header_of(const slot *slot) {
    return hub_stream(&slot->service->view, slot->index);
}

static void ring_bits(slot *slot, uint32_t word, uint64_t bits, uint32_t about) {
    for (; bits; bits &= bits - 1)
        attendance_ring(slot->service->attendance, word * 64 + (uint32_t)__builtin_ctzll(bits), about);
}

/* Rings everybody who watches the stream. A watcher enters itself (full barrier) and then looks; we publish and then,
 * behind the fence, look who watches: one of the two sees the other. */
static void ring_watchers(slot *slot, uint32_t about) {
    const lipc_stream_header *header = header_of(slot);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++)
        ring_bits(slot, word, __atomic_load_n(&header->watchers[word], __ATOMIC_RELAXED), about);
}

static bool is_anyone_present(const slot *slot, uint32_t word, uint64_t bits) {
    for (; bits; bits &= bits - 1)
        if (attendance_is_present(slot->service->attendance, word * 64 + (uint32_t)__builtin_ctzll(bits))) return true;
    return false;
}

/* Bits of nobody who is there do not count: anyone can set them. */
static bool is_watched(const slot *slot) {
    const lipc_stream_header *header = header_of(slot);
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++)
        if (is_anyone_present(slot, word, __atomic_load_n(&header->watchers[word], __ATOMIC_RELAXED))) return true;
    return false;
}

/* ---- freeing ----------------------------------------------------------------------------------------------------- */

/* Changes a claim, and tells those who watch, who find out by the generation: from `from`, or whatever it is if that is
 * NULL. The bits go before the claim: whoever claims the stream after it enters itself, and must stay. Those who come in
 * between are rung too. */
static bool replace_claim(slot *slot, const uint64_t *from, uint64_t to) {
    lipc_stream_header *header = header_of(slot);
    uint64_t watchers[LIPC_CLIENTS_MAX / 64];
    bool is_replaced = true;
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++) {
        watchers[word] = __atomic_exchange_n(&header->watchers[word], 0, __ATOMIC_SEQ_CST);
        STEP("streams.free.watchers");
    }
    if (from) {
        is_replaced = stream_change_claim(header, *from, to);
        STEP("streams.free.claim");
    } else {
        __atomic_store_n(&header->claim, to, __ATOMIC_SEQ_CST);
        STEP("streams.revoke.claim");
    }
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++) {
        if (!is_replaced) __atomic_fetch_or(&header->watchers[word], watchers[word], __ATOMIC_SEQ_CST);
        STEP("streams.free.watchers_back");
        ring_bits(slot, word, watchers[word], PLAT_BELL_ALL);
    }
    ring_watchers(slot, PLAT_BELL_ALL);
    return is_replaced;
}

/* Somebody may write over `published`: then the next one who reads there must not find this text. */
static void wipe_log(slot *slot) {
    uint32_t n_bytes = slot->phase == SLOT_EMPTY ? 0 : slot->writer.published_bytes;
    if (n_bytes < slot->n_found) n_bytes = slot->n_found;
    memset(stream_log(&slot->service->view, slot->index), 0, n_bytes);
    STEP("streams.free.log");
    slot->n_found = 0;
}

/* Gives a stream back: if its claim still is *from, or whatever it is. */
static bool free_from(slot *slot, const uint64_t *from) {
    if (!replace_claim(slot, from, stream_claim(LIPC_CLAIM_FREE, 0, slot->generation + 1))) return false;
    wipe_log(slot);
    set_generation(slot, slot->generation + 1);
    slot->phase = SLOT_EMPTY;
    slot->is_unwanted = false;
    slot->free_ns = 0;
    return true;
}

/* No compare-and-swap: nobody else may change the claim now, and who does so must neither win nor hold the host up. */
static void free_stream(slot *slot) {
    free_from(slot, NULL);
}

/* Somebody has written over the claim. Nobody owns the stream from here on, and nobody who reads it believes what it
 * shows; the place is given to another only when nobody can be writing or reading there any more. */
static void revoke(slot *slot) {
    replace_claim(slot, NULL, stream_claim(LIPC_CLAIM_RELEASED, LIPC_NO_OWNER, slot->generation + 1));
    set_generation(slot, slot->generation + 1);
    slot->is_unwanted = true;
    slot->free_ns = plat_deadline_ns(REVOKED_MS);
}

/* Frees a stream that nobody needs any more. One that others follow stays, for them to read to its end. */
static void free_if_unwanted(slot *slot) {
    bool is_done = slot->phase == SLOT_ENDED || (slot->phase == SLOT_EMPTY && slot->free_ns != 0);
    if (!is_done || !slot->is_unwanted) return;
    if (slot->free_ns != 0 ? plat_clock_ns() >= slot->free_ns : !is_watched(slot)) free_stream(slot);
}

/* ---- the channel of answers -------------------------------------------------------------------------------------- */

static slot *slot_of(const answer *answer) {
    return (slot *)answer;
}

static void on_position(answer *answer, uint32_t position) {
    slot *slot = slot_of(answer);
    if (slot->position == position) return;
    slot->position = position;
    stream_writer_position(&slot->writer, position);
    ring_watchers(slot, PLAT_BELL_NEWS);
}

static void on_started(answer *answer, uint64_t now_ns) {
    slot *slot = slot_of(answer);
    uint32_t seed = answer->request.sampling.seed;
    stream_writer_start(&slot->writer, seed, stream_request_sum(slot->bytes, slot->n_bytes, seed, slot->generation), now_ns);
    ring_watchers(slot, PLAT_BELL_ALL);
}

static void on_prompt(answer *answer, uint32_t n_prompt, uint32_t n_prompt_done) {
    stream_writer_prompt(&slot_of(answer)->writer, n_prompt, n_prompt_done);
    ring_watchers(slot_of(answer), PLAT_BELL_NEWS);
}

static answer_room on_append(answer *answer, const char *text, size_t n_bytes, const engine_progress *progress,
                             uint64_t now_ns) {
    slot *slot = slot_of(answer);
    bool is_first = slot->writer.n_bytes == 0 || !slot->writer.is_generating;
    const stream_token token = progress ? (stream_token){progress->token, progress->logprob} : (stream_token){0};
    stream_room room = stream_writer_append(&slot->writer, text, n_bytes, progress ? &token : NULL, now_ns);
    if (!progress || !progress->is_resumed) ring_watchers(slot, is_first ? PLAT_BELL_ALL : PLAT_BELL_NEWS);
    return room == STREAM_FITS ? ANSWER_FITS : room == STREAM_FULL ? ANSWER_FULL : ANSWER_DAMAGED;
}

static void on_ended(answer *answer, lipc_end end, int error, const char *message, uint64_t now_ns) {
    slot *slot = slot_of(answer);
    forget_request(slot);
    slot->phase = SLOT_ENDED;
    slot->ended_order = ++slot->service->n_ended;
    stream_writer_end(&slot->writer, end, error, message, now_ns);
    ring_watchers(slot, PLAT_BELL_ALL);
    free_if_unwanted(slot);
}

/* Also between two looks: inside an evaluation nobody looks. */
static bool is_cancelled(const answer *answer) {
    const slot *slot = slot_of(answer);
    const lipc_stream_header *header = header_of(slot);
    uint64_t claim = stream_claim_now(header);
    if (slot->is_unwanted || stream_cancel_requested(header, slot->generation)) return true;
    if (stream_claim_phase(claim) == LIPC_CLAIM_RELEASED) return true;
    return stream_claim_phase(claim) == LIPC_CLAIM_SUBMITTED && !slot->is_detachable &&
           attendance_has_died(slot->service->attendance, stream_claim_owner(claim));
}

static const answer_channel stream_channel = {on_position, on_started, on_prompt, on_append, on_ended, is_cancelled};

/* ---- taking requests --------------------------------------------------------------------------------------------- */

static void refuse(slot *slot, int error, const char *message) {
    log_line(LOG_LEVEL_WARN, "a request of client %u refused: %s", slot->answer.client, message);
    on_ended(&slot->answer, error == LIPC_E_FAILED ? LIPC_END_FAILED : LIPC_END_REFUSED, error, message,
             plat_clock_ns());
}

static int32_t integer_or(int32_t wanted, int32_t otherwise) {
    return wanted == LIPC_INT_DEFAULT ? otherwise : wanted;
}

static float real_or(float wanted, float otherwise) {
    return isnan(wanted) ? otherwise : wanted;
}

/* What the request wants, where it says so; otherwise what the host's options say. */
static void apply_parameters(const lipc_request_header *header, const host_options *options, engine_request *request) {
    engine_sampling *sampling = &request->sampling;
    answer_request_defaults(request, options);
    request->n_predict = integer_or(header->n_predict, request->n_predict);
    request->wants_logprobs = (header->flags & LIPC_FLAG_LOGPROBS) != 0;
    sampling->temperature = real_or(header->temperature, sampling->temperature);
    sampling->min_p = real_or(header->min_p, sampling->min_p);
    sampling->top_p = real_or(header->top_p, sampling->top_p);
    sampling->top_k = integer_or(header->top_k, sampling->top_k);
    sampling->repeat_penalty = real_or(header->repeat_penalty, sampling->repeat_penalty);
    sampling->frequency_penalty = real_or(header->frequency_penalty, sampling->frequency_penalty);
    sampling->presence_penalty = real_or(header->presence_penalty, sampling->presence_penalty);
    sampling->repeat_last_n = integer_or(header->repeat_last_n, sampling->repeat_last_n);
    sampling->ignore_eos |= (header->flags & LIPC_FLAG_IGNORE_EOS) != 0;
    if (header->seed != LIPC_SEED_DEFAULT) sampling->seed = answer_seed(header->seed);
}

/* Fills slot->messages with what lies in slot->bytes. */
static bool list_messages(slot *slot, size_t n_messages) {
    lipc_message *listed = calloc(n_messages, sizeof *listed);
    slot->messages = calloc(n_messages, sizeof *slot->messages);
    bool is_listed = listed && slot->messages;
    if (is_listed) {
        request_messages(slot->bytes, listed, n_messages);
        for (size_t i = 0; i < n_messages; i++) slot->messages[i] = (engine_message){listed[i].role, listed[i].text};
    }
    free(listed);
    return is_listed;
}

/* Reads the private copy of the request into the answer. Returns 0 or the error, with a sentence. */
static int read_request(slot *slot, size_t n_bytes, char message[REQUEST_MESSAGE_SIZE]) {
    request_view view;
    answer *answer = &slot->answer;
    int error = request_read(slot->bytes, n_bytes, &view, message);
    if (error < 0) return error;
    slot->is_detachable = (view.header.flags & LIPC_FLAG_DETACHABLE) != 0;
    answer->priority = view.header.priority;
    apply_parameters(&view.header, slot->service->options, &answer->request);
    answer->request.grammar = view.grammar;
    answer->request.n_messages = view.n_messages;
    if (list_messages(slot, view.n_messages) && stops_new(view.stops, view.n_stops, &answer->stops)) {
        answer->request.messages = slot->messages;
        return LIPC_E_OK;
    }
    snprintf(message, REQUEST_MESSAGE_SIZE, "not enough memory for a request of %zu bytes", n_bytes);
    return LIPC_E_FAILED;
}

/* Copies the request, once. Returns 0 or the error, with a sentence. */
static int copy_request(slot *slot, char message[REQUEST_MESSAGE_SIZE]) {
    const hub_view *view = &slot->service->view;
    uint32_t n_bytes = __atomic_load_n(&header_of(slot)->request_bytes, __ATOMIC_RELAXED);
    if (n_bytes > view->at.request_size) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "the request has %u bytes, its area %u; start the host with a larger "
                 "--request-size", n_bytes, view->at.request_size);
        return LIPC_E_REFUSED;
    }
    slot->bytes = malloc(n_bytes ? n_bytes : 1);
    if (!slot->bytes) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "not enough memory for a request");
        return LIPC_E_FAILED;
    }
    memcpy(slot->bytes, stream_request(view, slot->index), n_bytes);
    slot->n_bytes = n_bytes;
    return LIPC_E_OK;
}

/* What is the host's own about a request that it has not seen before. */
static void begin_slot(slot *slot, uint64_t claim) {
    ledger *ledger = slot->service->ledger;
    slot->is_detachable = slot->is_unwanted = false;
    slot->free_ns = slot->position = 0;
    slot->answer = (answer){.channel = &stream_channel,
                            .client = stream_claim_owner(claim),
                            .note = ledger_note(ledger, slot->index, slot->generation)};
}

/* Copies the request, checks the copy and makes the answer of it. Returns 0 or the error, with a sentence. */
static int load_request(slot *slot, char message[REQUEST_MESSAGE_SIZE]) {
    if (answer_is_condemned(slot->answer.note, slot->service->ledger->last_signal, message, REQUEST_MESSAGE_SIZE))
        return LIPC_E_FAILED;
    int error = copy_request(slot, message);
    return error < 0 ? error : read_request(slot, slot->n_bytes, message);
}

/* Takes a request of a new generation. */
static void take(slot *slot, uint64_t claim) {
    char message[REQUEST_MESSAGE_SIZE];
    begin_slot(slot, claim);
    stream_writer_begin(&slot->writer, &slot->service->view, slot->index, slot->generation, plat_clock_ns());
    int error = load_request(slot, message);
    if (error < 0)
        refuse(slot, error, message);
    else
        slot->phase = SLOT_TAKEN;
}

/* Those that a dead worker had begun come first. */
answer *stream_service_take(stream_service *service) {
    slot *first = NULL;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        slot *slot = &service->slots[i];
        if (slot->phase == SLOT_TAKEN && (!first || (slot->answer.is_resumed && !first->answer.is_resumed))) first = slot;
    }
    if (!first) return NULL;
    first->phase = SLOT_ANSWERING;
    return &first->answer;
}

/* ---- taking up what a dead worker left --------------------------------------------------------------------------- */

/* The published tokens, for the engine to retrace. Returns 0 or the error, with a sentence. */
static int load_tokens(slot *slot, const stream_remains *remains, char message[REQUEST_MESSAGE_SIZE]) {
    uint32_t seed = remains->seed;
    if (stream_request_sum(slot->bytes, slot->n_bytes, seed, slot->generation) != remains->request_sum) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "the request was changed in shared memory while its answer was made");
        return LIPC_E_FAILED;
    }
    slot->tokens = malloc((remains->n_tokens ? remains->n_tokens : 1) * sizeof *slot->tokens);
    if (!slot->tokens) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "not enough memory for the %u tokens of an answer", remains->n_tokens);
        return LIPC_E_FAILED;
    }
    stream_remains_tokens(&slot->service->view, slot->index, slot->tokens, remains->n_tokens);
    slot->answer.is_resumed = true;
    slot->answer.request.sampling.seed = seed;
    slot->answer.request.resumed = slot->tokens;
    slot->answer.request.n_resumed = remains->n_tokens;
    return LIPC_E_OK;
}

/* Goes on with an answer that had been begun. */
static void resume(slot *slot, const stream_remains *remains) {
    char message[REQUEST_MESSAGE_SIZE];
    int error = load_request(slot, message);
    if (error == LIPC_E_OK && (error = load_tokens(slot, remains, message)) < 0) {
        stops_free(slot->answer.stops);
        slot->answer.stops = NULL;
    }
    if (error < 0) refuse(slot, LIPC_E_FAILED, message);
    else slot->phase = SLOT_TAKEN;
}

/* Takes one stream up. Returns whether its answer goes on. */
static bool recover(slot *slot) {
    const hub_view *view = &slot->service->view;
    stream_remains remains;
    uint64_t claim = stream_claim_now(header_of(slot));
    uint32_t phase = stream_claim_phase(claim), generation = stream_claim_generation(claim);
    if (generation != slot->generation) return false;
    if (phase != LIPC_CLAIM_SUBMITTED && phase != LIPC_CLAIM_DETACHED && phase != LIPC_CLAIM_RELEASED) return false;
    stream_remains_read(view, slot->index, generation, &remains);
    if (!remains.is_taken || (!remains.was_started && !remains.has_ended)) return false; /* as if it had just come */
    begin_slot(slot, claim);
    stream_writer_resume(&slot->writer, view, slot->index, generation, &remains);
    if (remains.has_ended)
        slot->phase = SLOT_ENDED;
    else if (phase == LIPC_CLAIM_RELEASED)
        on_ended(&slot->answer, LIPC_END_CANCELLED, 0, "", plat_clock_ns());
    else
        resume(slot, &remains);
    return slot->phase == SLOT_TAKEN;
}

/* Completes what the dead worker may have left half done: a stream offered to a client that it did not tell. */
static void complete_grant(stream_service *service, slot *slot) {
    uint64_t claim = stream_claim_now(header_of(slot)); /* before the wish: who takes the stream ends its wish after that */
    uint32_t owner = stream_claim_owner(claim);
    if (stream_claim_phase(claim) != LIPC_CLAIM_OFFERED || owner >= service->view.at.n_clients) return;
    uint64_t wish = __atomic_load_n(&hub_client(&service->view, owner)->wish, __ATOMIC_ACQUIRE);
    if (wish_phase(wish) == LIPC_WISH_GRANTED && wish_stream(wish) == slot->index) return;
    if (wish_phase(wish) == LIPC_WISH_WAITING && hub_wish_grant(&service->view, owner, wish, slot->index)) return;
    free_from(slot, &claim);
}

/* Which of the answers that had ended did so first. */
static void order_ended(stream_service *service) {
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        slot *slot = &service->slots[i];
        if (slot->phase != SLOT_ENDED) continue;
        uint64_t ended_ns = __atomic_load_n(&slot->writer.header->ended_ns, __ATOMIC_RELAXED);
        slot->ended_order = 1;
        for (uint32_t other = 0; other < service->view.at.n_streams; other++)
            slot->ended_order += service->slots[other].phase == SLOT_ENDED &&
                                 __atomic_load_n(&service->slots[other].writer.header->ended_ns, __ATOMIC_RELAXED) < ended_ns;
        service->n_ended++;
    }
}

size_t stream_service_recover(stream_service *service) {
    size_t n_resumed = 0;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        complete_grant(service, &service->slots[i]);
        n_resumed += recover(&service->slots[i]);
    }
    order_ended(service);
    /* Whatever the dead worker had done and not yet rung for. */
    attendance_ring_all(service->attendance, PLAT_BELL_ALL);
    return n_resumed;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* The owner of a submitted stream is gone. */
static void lose_owner(slot *slot, uint64_t claim) {
    uint32_t phase = slot->is_detachable ? LIPC_CLAIM_DETACHED : LIPC_CLAIM_RELEASED;
    stream_change_claim(header_of(slot), claim, stream_claim(phase, LIPC_NO_OWNER, stream_claim_generation(claim)));
    STEP("streams.orphan.claim");
    if (!slot->is_detachable) slot->is_unwanted = true;
}

/* A stream whose request is at hand. Everything but what its owner, or the host, may have made of the claim was written
 * by a client that breaks the rules. */
static void look_at_used(slot *slot, uint64_t claim, bool has_owner) {
    if (stream_claim_generation(claim) != slot->generation) {
        revoke(slot);
        return;
    }
    switch (stream_claim_phase(claim)) {
    case LIPC_CLAIM_SUBMITTED:
        if (!has_owner) lose_owner(slot, claim);
        break;
    case LIPC_CLAIM_DETACHED:
        if (!slot->is_detachable) slot->is_unwanted = true;
        break;
    case LIPC_CLAIM_RELEASED:
        slot->is_unwanted = true;
        break;
    default:
        revoke(slot);
    }
}

/* Whether the client that a stream is offered to was told so. If not, the offer is not the host's. */
static bool is_offer_known(const slot *slot, uint64_t claim) {
    uint64_t wish = __atomic_load_n(&hub_client(&slot->service->view, stream_claim_owner(claim))->wish, __ATOMIC_ACQUIRE);
    return wish_phase(wish) == LIPC_WISH_GRANTED && wish_stream(wish) == slot->index;
}

/* A stream without a request. One that is claimed under a generation that it does not have belongs to a client that was
 * deceived, and may be writing. */
static void look_at_empty(slot *slot, uint64_t claim, bool has_owner) {
    bool is_current = stream_claim_generation(claim) == slot->generation;
    uint32_t phase = stream_claim_phase(claim);
    if (slot->free_ns != 0 && is_current && phase == LIPC_CLAIM_RELEASED) return;
    bool is_offered = phase == LIPC_CLAIM_OFFERED && has_owner;
    bool is_taken = (phase == LIPC_CLAIM_CLAIMED && has_owner) || (is_offered && is_offer_known(slot, claim));
    if (is_current && (phase == LIPC_CLAIM_FREE || is_taken)) return;
    if (is_offered || (!is_current && phase == LIPC_CLAIM_FREE)) {
        free_from(slot, &claim);
        return;
    }
    if (!is_current) {
        revoke(slot);
        return;
    }
    if (phase != LIPC_CLAIM_SUBMITTED && phase != LIPC_CLAIM_DETACHED) {
        free_stream(slot);
        return;
    }
    take(slot, claim);
    if (phase == LIPC_CLAIM_SUBMITTED && !has_owner) lose_owner(slot, claim);
}

static void look_at(stream_service *service, slot *slot) {
    uint64_t claim = stream_claim_now(header_of(slot));
    bool has_owner = attendance_is_present(service->attendance, stream_claim_owner(claim));
    if (slot->phase == SLOT_EMPTY)
        look_at_empty(slot, claim, has_owner);
    else
        look_at_used(slot, claim, has_owner);
    free_if_unwanted(slot);
}

static void on_gone(void *user_data, uint32_t client) {
    stream_service *service = user_data;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        stream_unwatch(header_of(&service->slots[i]), client);
        free_if_unwanted(&service->slots[i]);
    }
}

/* What an empty stream shows of its generation goes: nobody would take it. So do those who seem to watch a free one. */
static void restore_empty(slot *slot) {
    lipc_stream_header *header = header_of(slot);
    uint64_t bits = 0, claim = stream_claim_now(header);
    if (__atomic_load_n(&header->status, __ATOMIC_RELAXED) >> 32 == slot->generation)
        __atomic_store_n(&header->status, 0, __ATOMIC_RELAXED);
    STEP("streams.restore.status");
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++)
        bits |= __atomic_load_n(&header->watchers[word], __ATOMIC_RELAXED);
    if (bits != 0 && stream_claim_phase(claim) == LIPC_CLAIM_FREE) free_from(slot, &claim);
}

/* Once a second, what the host shows is written again, for clients that would otherwise wait for words that somebody
 * scribbled over. */
static void restore_shown(stream_service *service) {
    uint64_t now_ns = plat_clock_ns();
    if (now_ns < service->restore_ns) return;
    service->restore_ns = now_ns + RESTORE_NS;
    hub_restore(&service->view, &service->shown);
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        slot *slot = &service->slots[i];
        if (slot->phase != SLOT_EMPTY)
            stream_writer_restore(&slot->writer);
        else
            restore_empty(slot);
    }
}

void stream_service_look(stream_service *service) {
    restore_shown(service);
    attendance_look(service->attendance);
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) look_at(service, &service->slots[i]);
    attendance_dismiss(service->attendance, on_gone, service);
}

/* ---- granting wishes --------------------------------------------------------------------------------------------- */

/* One client that waits for a stream. */
typedef struct waiting {
    uint32_t client;
    wished wished;
} waiting;

/* Who was seen to wish first; those seen in one look by their tickets. A ticket may be a lie. */
static int compare_waiting(const void *left, const void *right) {
    const wished *a = &((const waiting *)left)->wished, *b = &((const waiting *)right)->wished;
    if (a->round != b->round) return a->round < b->round ? -1 : 1;
    return wish_ticket(a->wish) < wish_ticket(b->wish) ? -1 : wish_ticket(a->wish) > wish_ticket(b->wish);
}

/* All that wait now, in the order in which they are served. */
static size_t list_waiting(stream_service *service, waiting list[LIPC_CLIENTS_MAX]) {
    size_t n = 0;
    service->round++;
    for (uint32_t i = 0; i < service->view.at.n_clients; i++) {
        wished *wished = &service->wished[i];
        uint64_t wish = __atomic_load_n(&hub_client(&service->view, i)->wish, __ATOMIC_ACQUIRE);
        if (wish_phase(wish) != LIPC_WISH_WAITING || !attendance_is_present(service->attendance, i)) continue;
        if (wished->wish != wish) *wished = (struct wished){.wish = wish, .round = service->round};
        list[n++] = (waiting){i, *wished};
    }
    qsort(list, n, sizeof *list, compare_waiting);
    return n;
}

/* Frees the answer that ended longest ago and that nobody owns. Not if somebody has become its owner this moment. */
static bool evict(stream_service *service) {
    slot *oldest = NULL;
    uint64_t oldest_claim = 0;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        slot *slot = &service->slots[i];
        uint64_t claim = stream_claim_now(header_of(slot));
        bool is_ownerless = slot->is_unwanted || stream_claim_phase(claim) == LIPC_CLAIM_DETACHED;
        if (slot->phase != SLOT_ENDED || !is_ownerless || slot->free_ns != 0) continue;
        if (oldest && slot->ended_order > oldest->ended_order) continue;
        oldest = slot;
        oldest_claim = claim;
    }
    return oldest && free_from(oldest, &oldest_claim);
}

static bool grant(stream_service *service, uint32_t client, uint64_t wish) {
    uint32_t stream;
    uint64_t claim;
    if (!stream_offer_free(&service->view, client, &stream, &claim) &&
        !(evict(service) && stream_offer_free(&service->view, client, &stream, &claim)))
        return false;
    if (!hub_wish_grant(&service->view, client, wish, stream)) free_stream(&service->slots[stream]);
    attendance_ring(service->attendance, client, PLAT_BELL_ALL);
    return true;
}

static void show_position(stream_service *service, uint32_t client, uint32_t position) {
    __atomic_store_n(&hub_client(&service->view, client)->queue_position, position, __ATOMIC_RELAXED);
    STEP("streams.grant.position");
    if (service->wished[client].position == position) return;
    service->wished[client].position = position;
    attendance_ring(service->attendance, client, PLAT_BELL_NEWS);
}

void stream_service_grant(stream_service *service, uint32_t n_queued) {
    waiting list[LIPC_CLIENTS_MAX];
    bool is_full = false;
    uint32_t position = n_queued;
    /* Behind everything that was freed: see hub_wish. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    size_t n = list_waiting(service, list);
    for (size_t i = 0; i < n; i++) {
        is_full = is_full || !grant(service, list[i].client, list[i].wished.wish);
        if (is_full)
            show_position(service, list[i].client, position++);
        else
            service->wished[list[i].client] = (wished){0}; /* the same wish again is another one */
    }
}
