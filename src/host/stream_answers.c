/* stream_answers.c - see host_stream.h. */
#include "host_stream.h"
#include "stream_service.h"

#include <string.h>

static host_stream *host_stream_of(const answer *answer) {
    return (host_stream *)answer;
}

static void on_position(answer *answer, uint32_t position) {
    host_stream *stream = host_stream_of(answer);
    if (stream->position == position) return;
    stream->position = position;
    stream_writer_position(&stream->writer, position);
    host_stream_ring_watchers(stream, PLAT_BELL_NEWS);
}

static void on_started(answer *answer, uint64_t now_ns) {
    host_stream *stream = host_stream_of(answer);
    uint32_t seed = answer->request.sampling.seed;
    int32_t n_probs = answer->request.sampling.n_probs; /* or its mark of being left to the engine, which makes none then */
    stream_writer_keep_probs(&stream->writer, n_probs > 0 ? (uint32_t)n_probs : 0);
    stream_writer_start(&stream->writer, seed, stream_request_sum(stream->bytes, stream->n_bytes, seed, stream->generation), now_ns);
    /* The same request with the same seed has the same answer, with the same ids, wherever it is made. */
    parts_writer_name_calls(&stream->writer.parts, stream_request_sum(stream->bytes, stream->n_bytes, seed, 0));
    host_stream_ring_watchers(stream, PLAT_BELL_ALL);
}

static void on_prompt(answer *answer, const engine_progress *progress) {
    stream_writer_prompt(&host_stream_of(answer)->writer, (uint32_t)progress->n_prompt, (uint32_t)progress->n_prompt_done,
                         (uint32_t)progress->n_cached);
    host_stream_ring_watchers(host_stream_of(answer), PLAT_BELL_NEWS);
}

/* Something is shown for the first time, or the text begins behind a thought; or nothing is shown yet. */
static bool is_for_the_impatient(const stream_writer *writer, const answer_addition *added) {
    return !writer->is_generating || (writer->n_bytes == 0 && (writer->parts.n_bytes == 0 || added->n_bytes > 0));
}

static uint32_t record_probs(const engine_progress *progress, lipc_prob_record records[LIPC_PROBS_MAX]) {
    for (size_t i = 0; i < progress->n_likeliest; i++) {
        const engine_likely *likely = &progress->likeliest[i];
        records[i] = (lipc_prob_record){likely->token, likely->logprob, likely->n_bytes < 255 ? (uint8_t)likely->n_bytes : 255, ""};
        memcpy(records[i].text, likely->text, sizeof records[i].text);
    }
    return (uint32_t)progress->n_likeliest;
}

_Static_assert(sizeof((lipc_prob_record *)0)->text == ENGINE_LIKELY_TEXT, "as much text as there is room for");

static answer_room on_append(answer *answer, const answer_addition *added, const engine_progress *progress,
                             uint64_t now_ns) {
    host_stream *stream = host_stream_of(answer);
    bool is_first = is_for_the_impatient(&stream->writer, added);
    lipc_prob_record probs[LIPC_PROBS_MAX];
    stream_token token = {0};
    if (progress) token = (stream_token){progress->token, progress->logprob, probs, record_probs(progress, probs)};
    stream_room room = stream_writer_append_all(&stream->writer, added->text, added->n_bytes, added->deltas, added->n_deltas,
                                                progress ? &token : NULL, now_ns);
    if (!progress || !progress->is_resumed) host_stream_ring_watchers(stream, is_first ? PLAT_BELL_ALL : PLAT_BELL_NEWS);
    return room == STREAM_FITS ? ANSWER_FITS : room == STREAM_FULL ? ANSWER_FULL : ANSWER_DAMAGED;
}

void host_stream_end(host_stream *stream, lipc_end end, int error, const char *message, uint64_t now_ns) {
    host_stream_forget_request(stream);
    stream->phase = HOST_STREAM_ENDED;
    stream->ended_order = ++stream->service->n_ended;
    stream_writer_end(&stream->writer, end, error, message, now_ns);
    host_stream_ring_watchers(stream, PLAT_BELL_ALL);
    host_stream_free_if_unwanted(stream);
}

static void on_ended(answer *answer, lipc_end end, int error, const char *message, uint64_t now_ns) {
    host_stream_end(host_stream_of(answer), end, error, message, now_ns);
}

/* Also between two looks: inside an evaluation nobody looks. */
static bool is_cancelled(const answer *answer) {
    const host_stream *stream = host_stream_of(answer);
    const lipc_stream_header *header = host_stream_header(stream);
    uint64_t claim = stream_claim_now(header);
    if (stream->is_unwanted || stream_cancel_requested(header, stream->generation)) return true;
    if (stream_claim_phase(claim) == LIPC_CLAIM_RELEASED) return true;
    return stream_claim_phase(claim) == LIPC_CLAIM_SUBMITTED && !stream->is_detachable &&
           client_registry_has_died(stream->service->registry, stream_claim_owner(claim));
}

const answer_channel stream_channel = {on_position, on_started, on_prompt, on_append, on_ended, is_cancelled};
