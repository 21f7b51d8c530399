/* stream_requests.c - see slots.h. */
#include "slots.h"

#include "log.h"

#include "../channel/request.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- new ones ---------------------------------------------------------------------------------------------------- */

static void refuse(slot *slot, int error, const char *message) {
    log_line(LOG_LEVEL_WARN, "a request of client %u refused: %s", slot->answer.client, message);
    slot_end(slot, error == LIPC_E_FAILED ? LIPC_END_FAILED : LIPC_END_REFUSED, error, message,
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

/* A request for another model: what can be said before its turn comes. Returns 0 or the error, with a sentence. */
static int read_load(slot *slot, const char *path, char message[REQUEST_MESSAGE_SIZE]) {
    if (slot->service->options->replay_path) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "this host plays a text back (--replay): it has no model to change");
        return LIPC_E_REFUSED;
    }
    slot->answer.load_path = path;
    return engine_check_file(path, message, REQUEST_MESSAGE_SIZE) < 0 ? LIPC_E_REFUSED : LIPC_E_OK;
}

/* Reads the private copy of the request into the answer. Returns 0 or the error, with a sentence. */
static int read_request(slot *slot, size_t n_bytes, char message[REQUEST_MESSAGE_SIZE]) {
    request_view view;
    answer *answer = &slot->answer;
    int error = request_read(slot->bytes, n_bytes, &view, message);
    if (error < 0) return error;
    slot->is_detachable = (view.header.flags & LIPC_FLAG_DETACHABLE) != 0;
    if (view.header.flags & LIPC_FLAG_LOAD && (error = read_load(slot, view.last_text, message)) < 0) return error;
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
    uint32_t n_bytes = __atomic_load_n(&slot_header(slot)->request_bytes, __ATOMIC_RELAXED);
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
    note_begin(slot->answer.note);
    int error = copy_request(slot, message);
    if (error == LIPC_E_OK) error = read_request(slot, slot->n_bytes, message);
    note_pause(slot->answer.note);
    return error;
}

void slot_take(slot *slot, uint64_t claim) {
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

/* ---- those that a dead worker had begun -------------------------------------------------------------------------- */

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

/* Whether a request whose answer has ended says that it may be let go of. If that was written over, it is its own stream's
 * loss. */
static bool says_detachable(const slot *slot) {
    const lipc_request_header *request = (const void *)stream_request(&slot->service->view, slot->index);
    return (__atomic_load_n(&request->flags, __ATOMIC_RELAXED) & LIPC_FLAG_DETACHABLE) != 0;
}

bool slot_recover(slot *slot) {
    const hub_view *view = &slot->service->view;
    stream_remains remains;
    uint64_t claim = stream_claim_now(slot_header(slot));
    uint32_t phase = stream_claim_phase(claim), generation = stream_claim_generation(claim);
    if (generation != slot->generation) return false;
    if (phase != LIPC_CLAIM_SUBMITTED && phase != LIPC_CLAIM_DETACHED && phase != LIPC_CLAIM_RELEASED) return false;
    stream_remains_read(view, slot->index, generation, &remains);
    if (!remains.is_taken || (!remains.was_started && !remains.has_ended)) return false; /* as if it had just come */
    begin_slot(slot, claim);
    stream_writer_resume(&slot->writer, view, slot->index, generation, &remains);
    if (remains.has_ended) {
        slot->phase = SLOT_ENDED;
        slot->is_detachable = says_detachable(slot);
    } else if (phase == LIPC_CLAIM_RELEASED) {
        slot_end(slot, LIPC_END_CANCELLED, 0, "", plat_clock_ns());
    } else {
        resume(slot, &remains);
    }
    return slot->phase == SLOT_TAKEN;
}
