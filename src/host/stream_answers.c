/* stream_answers.c - see slots.h. */
#include "slots.h"

static slot *slot_of(const answer *answer) {
    return (slot *)answer;
}

static void on_position(answer *answer, uint32_t position) {
    slot *slot = slot_of(answer);
    if (slot->position == position) return;
    slot->position = position;
    stream_writer_position(&slot->writer, position);
    slot_ring_watchers(slot, PLAT_BELL_NEWS);
}

static void on_started(answer *answer, uint64_t now_ns) {
    slot *slot = slot_of(answer);
    uint32_t seed = answer->request.sampling.seed;
    stream_writer_start(&slot->writer, seed, stream_request_sum(slot->bytes, slot->n_bytes, seed, slot->generation), now_ns);
    slot_ring_watchers(slot, PLAT_BELL_ALL);
}

static void on_prompt(answer *answer, const engine_progress *progress) {
    stream_writer_prompt(&slot_of(answer)->writer, (uint32_t)progress->n_prompt, (uint32_t)progress->n_prompt_done,
                         (uint32_t)progress->n_cached);
    slot_ring_watchers(slot_of(answer), PLAT_BELL_NEWS);
}

static answer_room on_append(answer *answer, const char *text, size_t n_bytes, const engine_progress *progress,
                             uint64_t now_ns) {
    slot *slot = slot_of(answer);
    bool is_first = slot->writer.n_bytes == 0 || !slot->writer.is_generating;
    const stream_token token = progress ? (stream_token){progress->token, progress->logprob} : (stream_token){0};
    stream_room room = stream_writer_append(&slot->writer, text, n_bytes, progress ? &token : NULL, now_ns);
    if (!progress || !progress->is_resumed) slot_ring_watchers(slot, is_first ? PLAT_BELL_ALL : PLAT_BELL_NEWS);
    return room == STREAM_FITS ? ANSWER_FITS : room == STREAM_FULL ? ANSWER_FULL : ANSWER_DAMAGED;
}

void slot_end(slot *slot, lipc_end end, int error, const char *message, uint64_t now_ns) {
    slot_forget_request(slot);
    slot->phase = SLOT_ENDED;
    slot->ended_order = ++slot->service->n_ended;
    stream_writer_end(&slot->writer, end, error, message, now_ns);
    slot_ring_watchers(slot, PLAT_BELL_ALL);
    slot_free_if_unwanted(slot);
}

static void on_ended(answer *answer, lipc_end end, int error, const char *message, uint64_t now_ns) {
    slot_end(slot_of(answer), end, error, message, now_ns);
}

/* Also between two looks: inside an evaluation nobody looks. */
static bool is_cancelled(const answer *answer) {
    const slot *slot = slot_of(answer);
    const lipc_stream_header *header = slot_header(slot);
    uint64_t claim = stream_claim_now(header);
    if (slot->is_unwanted || stream_cancel_requested(header, slot->generation)) return true;
    if (stream_claim_phase(claim) == LIPC_CLAIM_RELEASED) return true;
    return stream_claim_phase(claim) == LIPC_CLAIM_SUBMITTED && !slot->is_detachable &&
           attendance_has_died(slot->service->attendance, stream_claim_owner(claim));
}

const answer_channel stream_channel = {on_position, on_started, on_prompt, on_append, on_ended, is_cancelled};
