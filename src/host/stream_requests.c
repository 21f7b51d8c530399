/* stream_requests.c - see host_stream.h. */
#include "host_stream.h"
#include "stream_service.h"

#include "log.h"

#include "../text/model_name.h"
#include "../channel/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- new ones ---------------------------------------------------------------------------------------------------- */

static void refuse(host_stream *stream, int error, const char *message) {
    log_line(LOG_LEVEL_WARN, "a request of client %u refused: %s", stream->answer.client, message);
    host_stream_end(stream, error == LIPC_E_FAILED ? LIPC_END_FAILED : LIPC_END_REFUSED, error, message,
             plat_clock_ns());
}

/* What the request wants, where it says so; otherwise what the host's options say. */
static void apply_parameters(const request_view *view, const host_options *options, engine_request *request) {
    const parameters *wanted = &view->parameters;
    answer_request_defaults(request, options);
    request->wants_logprobs = (view->header.flags & LIPC_FLAG_LOGPROBS) != 0;
    request->sampling.ignore_eos |= (view->header.flags & LIPC_FLAG_IGNORE_EOS) != 0;
    if (PARAMETER_IS_SET(INTEGER, wanted->n_predict)) request->n_predict = wanted->n_predict;
    if (PARAMETER_IS_SET(WIDE, wanted->seed)) {
        request->sampling.seed = answer_seed(wanted->seed);
        request->sampling.is_seed_drawn = wanted->seed < 0;
    }
#define APPLY(name, kind, ...) if (PARAMETER_IS_SET(kind, wanted->name)) request->sampling.name = wanted->name;
    LIPC_SAMPLING_MAP(APPLY)
#undef APPLY
    request->wants_logprobs |= request->sampling.n_probs > 0;
}

/* Fills stream->messages with what lies in stream->bytes. */
static bool list_messages(host_stream *stream, size_t n_messages) {
    size_t size = n_messages ? n_messages : 1; /* a document has none */
    lipc_message *listed = calloc(size, sizeof *listed);
    stream->messages = calloc(size, sizeof *stream->messages);
    bool is_listed = listed && stream->messages;
    if (is_listed) {
        request_messages(stream->bytes, listed, n_messages);
        for (size_t i = 0; i < n_messages; i++) stream->messages[i] = (engine_message){listed[i].role, listed[i].text};
    }
    free(listed);
    return is_listed;
}

/* A request for another model: what can be said before its turn comes. Returns 0 or the error, with a sentence. */
static int read_load(host_stream *stream, const char *path, char message[REQUEST_MESSAGE_SIZE]) {
    if (stream->service->options->replay_path) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "this host plays a text back (--replay): it has no model to change");
        return LIPC_E_REFUSED;
    }
    if (stream->service->options->remote.n_items > 0) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "this host asks a server (--remote): it has no model to change");
        return LIPC_E_REFUSED;
    }
    if (model_name_is_one(path)) { /* the channel has looked at it */
        stream->answer.load_name = path;
        return LIPC_E_OK;
    }
    stream->answer.load_path = path;
    return engine_check_file(path, message, REQUEST_MESSAGE_SIZE) < 0 ? LIPC_E_REFUSED : LIPC_E_OK;
}

/* Reads the private copy of the request into the answer. Returns 0 or the error, with a sentence. */
static int read_request(host_stream *stream, size_t n_bytes, char message[REQUEST_MESSAGE_SIZE]) {
    request_view view;
    answer *answer = &stream->answer;
    int error = request_read(stream->bytes, n_bytes, &view, message);
    if (error < 0) return error;
    stream->is_detachable = (view.header.flags & LIPC_FLAG_DETACHABLE) != 0;
    if (view.load_path && (error = read_load(stream, view.load_path, message)) < 0) return error;
    answer->priority = view.header.priority;
    apply_parameters(&view, stream->service->options, &answer->request);
    answer->wants_rendering = (view.header.flags & LIPC_FLAG_RENDER) != 0;
    answer->state_path = view.state_path;
    answer->restores = view.header.operation == LIPC_OPERATION_RESTORE;
    answer->request.grammar = view.grammar;
    answer->request.document = view.document;
    answer->request.n_messages = view.n_messages;
    if (list_messages(stream, view.n_messages) && stops_new(view.stops, view.n_stops, &answer->stops)) {
        answer->request.messages = stream->messages;
        return LIPC_E_OK;
    }
    snprintf(message, REQUEST_MESSAGE_SIZE, "not enough memory for a request of %zu bytes", n_bytes);
    return LIPC_E_FAILED;
}

/* Copies the request, once. Returns 0 or the error, with a sentence. */
static int copy_request(host_stream *stream, char message[REQUEST_MESSAGE_SIZE]) {
    const hub_view *view = &stream->service->view;
    uint32_t n_bytes = __atomic_load_n(&host_stream_header(stream)->request_bytes, __ATOMIC_RELAXED);
    if (n_bytes > view->at.request_size) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "the request has %u bytes, its area %u; start the host with a larger "
                 "--request-size", n_bytes, view->at.request_size);
        return LIPC_E_REFUSED;
    }
    stream->bytes = malloc(n_bytes ? n_bytes : 1);
    if (!stream->bytes) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "not enough memory for a request");
        return LIPC_E_FAILED;
    }
    memcpy(stream->bytes, stream_request(view, stream->index), n_bytes);
    stream->n_bytes = n_bytes;
    return LIPC_E_OK;
}

/* Whether the copy is what the client wrote. A client that gives no check is believed. */
static bool is_as_written(const host_stream *stream, char message[REQUEST_MESSAGE_SIZE]) {
    uint64_t check = __atomic_load_n(&host_stream_header(stream)->request_check, __ATOMIC_RELAXED);
    if (check >> 32 != stream->generation || check == stream_request_check(stream->bytes, stream->n_bytes, stream->generation))
        return true;
    snprintf(message, REQUEST_MESSAGE_SIZE, "the request was changed in shared memory before the host read it");
    return false;
}

/* What is the host's own about a request that it has not seen before. */
static void begin_slot(host_stream *stream, uint64_t claim) {
    journal *journal = stream->service->journal;
    stream->is_detachable = stream->is_unwanted = false;
    stream->free_ns = stream->position = 0;
    stream->answer = (answer){.channel = &stream_channel,
                            .client = stream_claim_owner(claim),
                            .entry = journal_entry_of(journal, stream->index, stream->generation)};
}

/* Copies the request, checks the copy and makes the answer of it. `is_new`: no answer to it has begun, which has a sum of its
 * own. Returns 0 or the error, with a sentence. */
static int load_request(host_stream *stream, bool is_new, char message[REQUEST_MESSAGE_SIZE]) {
    if (answer_is_rejected(stream->answer.entry, stream->service->journal->last_death, message, REQUEST_MESSAGE_SIZE))
        return LIPC_E_FAILED;
    journal_entry_begin(stream->answer.entry);
    int error = copy_request(stream, message);
    if (error == LIPC_E_OK && is_new && !is_as_written(stream, message)) error = LIPC_E_FAILED;
    if (error == LIPC_E_OK) error = read_request(stream, stream->n_bytes, message);
    journal_entry_pause(stream->answer.entry);
    return error;
}

void host_stream_take(host_stream *stream, uint64_t claim) {
    char message[REQUEST_MESSAGE_SIZE];
    begin_slot(stream, claim);
    stream_writer_begin(&stream->writer, &stream->service->view, stream->index, stream->generation, plat_clock_ns());
    int error = load_request(stream, true, message);
    if (error < 0)
        refuse(stream, error, message);
    else
        stream->phase = HOST_STREAM_TAKEN;
}

/* Those that a dead worker had begun come first. */
answer *stream_service_take(stream_service *service) {
    host_stream *first = NULL;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        host_stream *stream = &service->streams[i];
        if (stream->phase == HOST_STREAM_TAKEN && (!first || (stream->answer.is_resumed && !first->answer.is_resumed))) first = stream;
    }
    if (!first) return NULL;
    first->phase = HOST_STREAM_ANSWERING;
    return &first->answer;
}

/* ---- those that a dead worker had begun -------------------------------------------------------------------------- */

/* The published tokens, for the engine to retrace. Returns 0 or the error, with a sentence. */
static int load_tokens(host_stream *stream, const stream_recovered *recovered, char message[REQUEST_MESSAGE_SIZE]) {
    uint32_t seed = recovered->seed;
    if (stream_request_sum(stream->bytes, stream->n_bytes, seed, stream->generation) != recovered->request_sum) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "the request was changed in shared memory while its answer was made");
        return LIPC_E_FAILED;
    }
    stream->tokens = malloc((recovered->n_tokens ? recovered->n_tokens : 1) * sizeof *stream->tokens);
    if (!stream->tokens) {
        snprintf(message, REQUEST_MESSAGE_SIZE, "not enough memory for the %u tokens of an answer", recovered->n_tokens);
        return LIPC_E_FAILED;
    }
    stream_recovered_tokens(&stream->service->view, stream->index, stream->tokens, recovered->n_tokens);
    stream->answer.is_resumed = true;
    stream->answer.request.sampling.seed = seed;
    stream->answer.request.resumed = stream->tokens;
    stream->answer.request.n_resumed = recovered->n_tokens;
    return LIPC_E_OK;
}

/* Goes on with an answer that had been begun. */
static void resume(host_stream *stream, const stream_recovered *recovered) {
    char message[REQUEST_MESSAGE_SIZE];
    int error = load_request(stream, false, message);
    if (error == LIPC_E_OK && (error = load_tokens(stream, recovered, message)) < 0) {
        stops_free(stream->answer.stops);
        stream->answer.stops = NULL;
    }
    if (error < 0) refuse(stream, LIPC_E_FAILED, message);
    else stream->phase = HOST_STREAM_TAKEN;
}

/* Whether a request whose answer has ended says that it may be let go of. If that was written over, it is its own stream's
 * loss. */
static bool says_detachable(const host_stream *stream) {
    const lipc_request_header *request = (const void *)stream_request(&stream->service->view, stream->index);
    return (__atomic_load_n(&request->flags, __ATOMIC_RELAXED) & LIPC_FLAG_DETACHABLE) != 0;
}

bool host_stream_recover(host_stream *stream) {
    const hub_view *view = &stream->service->view;
    stream_recovered recovered;
    uint64_t claim = stream_claim_now(host_stream_header(stream));
    uint32_t phase = stream_claim_phase(claim), generation = stream_claim_generation(claim);
    if (generation != stream->generation) return false;
    if (phase != LIPC_CLAIM_SUBMITTED && phase != LIPC_CLAIM_DETACHED && phase != LIPC_CLAIM_RELEASED) return false;
    stream_recovered_read(view, stream->index, generation, &recovered);
    if (!recovered.is_taken || (!recovered.was_started && !recovered.has_ended)) return false; /* as if it had just come */
    begin_slot(stream, claim);
    stream_writer_resume(&stream->writer, view, stream->index, generation, &recovered);
    if (recovered.has_ended) {
        stream->phase = HOST_STREAM_ENDED;
        stream->is_detachable = says_detachable(stream);
    } else if (phase == LIPC_CLAIM_RELEASED) {
        host_stream_end(stream, LIPC_END_CANCELLED, 0, "", plat_clock_ns());
    } else {
        resume(stream, &recovered);
    }
    return stream->phase == HOST_STREAM_TAKEN;
}
