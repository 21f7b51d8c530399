/* stream.c - see stream.h. */
#include "stream.h"

#include "../platform/failpoint.h"
#include "../text/utf8.h"
#include "lipc/lipc.h"

#include <math.h>
#include <string.h>

/* ---- claims ------------------------------------------------------------------------------------------------------ */

uint64_t stream_claim_now(const lipc_stream_header *header) {
    return __atomic_load_n(&header->claim, __ATOMIC_ACQUIRE);
}

bool stream_change_claim(lipc_stream_header *header, uint64_t from, uint64_t to) {
    /* Sequentially consistent: acquire what the last holder left, release what this one wrote, and keep freeing a
     * stream in one order with looking for reservations (reservation_request). */
    return __atomic_compare_exchange_n(&header->claim, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED); /* callers name it */
}

/* Whether the host has shown something of a generation. Never so of one that is free, unless the claim was written over:
 * then another's answer is being made there. */
static bool is_shown(const lipc_stream_header *header, uint32_t generation) {
    uint64_t status = __atomic_load_n(&header->status, __ATOMIC_RELAXED);
    return (uint32_t)(status >> 32) == generation && (status & 0xFF) != 0;
}

static bool take_free(const hub_view *view, uint32_t phase, uint32_t owner, uint32_t *index, uint64_t *claim) {
    for (uint32_t i = 0; i < view->at.n_streams; i++) {
        lipc_stream_header *header = hub_stream(view, i);
        uint64_t free_claim = __atomic_load_n(&header->claim, __ATOMIC_SEQ_CST);
        if (stream_claim_phase(free_claim) != LIPC_CLAIM_FREE) continue;
        if (is_shown(header, stream_claim_generation(free_claim))) continue;
        *claim = stream_claim(phase, owner, stream_claim_generation(free_claim));
        *index = i;
        if (stream_change_claim(header, free_claim, *claim)) return true; /* callers name it */
    }
    return false;
}

bool stream_claim_free(const hub_view *view, uint32_t owner, uint32_t *index, uint64_t *claim) {
    bool is_claimed = take_free(view, LIPC_CLAIM_CLAIMED, owner, index, claim);
    FAILPOINT("stream.claim.claimed");
    return is_claimed;
}

bool stream_offer_free(const hub_view *view, uint32_t owner, uint32_t *index, uint64_t *claim) {
    bool is_offered = take_free(view, LIPC_CLAIM_OFFERED, owner, index, claim);
    FAILPOINT("stream.offer.offered");
    return is_offered;
}

bool stream_request_cancel(lipc_stream_header *header, uint32_t generation) {
    for (;;) {
        /* acquire: the claim is looked at behind it. If that is still of this generation, a cancel of a later one has
         * not been here yet; and if it comes now, this one's is not put over it. */
        uint64_t before = __atomic_load_n(&header->cancel, __ATOMIC_ACQUIRE);
        if (stream_claim_generation(stream_claim_now(header)) != generation) return false;
        bool is_asked = __atomic_compare_exchange_n(&header->cancel, &before, (uint64_t)generation + 1, false,
                                                    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
        FAILPOINT("stream.cancel.generation");
        if (is_asked) return true;
    }
}

bool stream_cancel_requested(const lipc_stream_header *header, uint32_t generation) {
    /* acquire: what was cancelled before its release is ended before it is freed. */
    return __atomic_load_n(&header->cancel, __ATOMIC_ACQUIRE) == (uint64_t)generation + 1;
}

void stream_watch(lipc_stream_header *header, uint32_t client) {
    /* Sequentially consistent, before the first look: a host that publishes later rings. */
    __atomic_fetch_or(&header->watchers[client / 64], UINT64_C(1) << (client % 64), __ATOMIC_SEQ_CST);
    FAILPOINT("stream.watch.bit");
}

void stream_unwatch(lipc_stream_header *header, uint32_t client) {
    __atomic_fetch_and(&header->watchers[client / 64], ~(UINT64_C(1) << (client % 64)), __ATOMIC_SEQ_CST);
    FAILPOINT("stream.unwatch.bit");
}

void stream_write_request(const hub_view *view, uint32_t index, const uint8_t id[STREAM_ID_BYTES],
                          const char *request, size_t n_bytes) {
    lipc_stream_header *header = hub_stream(view, index);
    uint64_t words[STREAM_ID_BYTES / sizeof(uint64_t)];
    memcpy(words, id, sizeof words);
    /* Attachers may look at an id while its stream's next owner writes it; they find out by the generation. */
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        __atomic_store_n((uint64_t *)header->id + i, words[i], __ATOMIC_RELAXED);
        FAILPOINT("stream.request.id");
    }
    /* Somebody may have scribbled there, for a generation that was still to come. */
    __atomic_store_n(&header->cancel, 0, __ATOMIC_RELAXED);
    FAILPOINT("stream.request.cancel");
    __atomic_store_n(&header->request_bytes, (uint32_t)n_bytes, __ATOMIC_RELAXED);
    FAILPOINT("stream.request.size");
    memcpy(stream_request(view, index), request, n_bytes);
    FAILPOINT("stream.request.bytes");
    uint64_t check = stream_request_check(request, n_bytes, stream_claim_generation(stream_claim_now(header)));
    __atomic_store_n(&header->request_check, check, __ATOMIC_RELAXED);
    FAILPOINT("stream.request.check");
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void set_status(stream_writer *writer, uint32_t state, uint32_t end, int error) {
    writer->status = (uint64_t)writer->generation << 32 | (uint64_t)(uint32_t)(-error & 0xFFFF) << 16 |
                     (uint64_t)end << 8 | state;
    __atomic_store_n(&writer->header->status, writer->status, __ATOMIC_RELEASE); /* callers name it */
}

static void publish(stream_writer *writer) {
    writer->published_bytes = writer->n_bytes;
    writer->published_tokens = writer->n_tokens;
    /* release: pairs with the acquire in stream_read_snapshot. */
    __atomic_store_n(&writer->header->published, (uint64_t)writer->n_tokens << 32 | writer->n_bytes,
                     __ATOMIC_RELEASE); /* callers name it */
}

#define SHOW(field, value) __atomic_store_n(&writer->header->field, (value), __ATOMIC_RELAXED) /* callers name it */

static stream_writer writer_of(const hub_view *view, uint32_t index, uint32_t generation) {
    return (stream_writer){
        .header = hub_stream(view, index), .log = stream_log(view, index), .index = stream_index(view, index),
        .log_size = view->at.log_size, .index_length = view->at.index_length, .generation = generation,
        .probs = stream_probs(view, index), .probs_room = (uint32_t)stream_probs_room(&view->at),
        .sum = stream_sum_begin(generation), .tokens_sum = stream_sum_begin(generation), .probs_sum = stream_sum_begin(generation),
    };
}

static void open_parts(stream_writer *writer, const hub_view *view, uint32_t index) {
    parts_writer_open(&writer->parts, view, index, stream_sum_begin(writer->generation));
}

void stream_writer_begin(stream_writer *writer, const hub_view *view, uint32_t index, uint32_t generation,
                         uint64_t now_ns) {
    *writer = writer_of(view, index, generation);
    open_parts(writer, view, index);
    /* Pairs with the fence in stream_is_current: a follower of the generation before, which copies bytes that are
     * written from here on, finds that the claim has changed. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    publish(writer);
    FAILPOINT("stream.begin.published");
    parts_writer_publish(&writer->parts, 0);
    SHOW(n_cached, 0);
    FAILPOINT("stream.begin.n_cached");
    SHOW(queue_position, 0);
    FAILPOINT("stream.begin.position");
    SHOW(n_prompt, 0);
    FAILPOINT("stream.begin.n_prompt");
    SHOW(n_prompt_done, 0);
    FAILPOINT("stream.begin.n_prompt_done");
    SHOW(seed, 0);
    FAILPOINT("stream.begin.seed");
    SHOW(submitted_ns, now_ns);
    FAILPOINT("stream.begin.submitted");
    SHOW(started_ns, 0);
    FAILPOINT("stream.begin.started");
    SHOW(first_token_ns, 0);
    FAILPOINT("stream.begin.first_token");
    SHOW(ended_ns, 0);
    FAILPOINT("stream.begin.ended");
    SHOW(answer_sum, 0);
    FAILPOINT("stream.begin.answer_sum");
    SHOW(parts_sum, 0);
    FAILPOINT("stream.begin.parts_sum");
    SHOW(tokens_sum, 0);
    FAILPOINT("stream.begin.tokens_sum");
    SHOW(probs_sum, 0);
    FAILPOINT("stream.begin.probs_sum");
    SHOW(n_probs, 0);
    FAILPOINT("stream.begin.n_probs");
    writer->header->message[0] = 0;
    FAILPOINT("stream.begin.message");
    set_status(writer, LIPC_STREAM_QUEUED, LIPC_END_NONE, 0);
    FAILPOINT("stream.begin.status");
}

static void use_probs(stream_writer *writer, uint32_t n_probs) {
    writer->n_probs = n_probs;
    if (n_probs > 0 && writer->index_length > writer->probs_room / n_probs) writer->index_length = writer->probs_room / n_probs;
}

void stream_writer_keep_probs(stream_writer *writer, uint32_t n_probs) {
    if (n_probs > LIPC_PROBS_MAX) n_probs = LIPC_PROBS_MAX;
    /* Somebody has written over the number, or this is another host, with another default: whose records lie where is not known. */
    if (writer->started_ns && n_probs != writer->n_probs) n_probs = 0;
    use_probs(writer, n_probs);
    SHOW(n_probs, writer->n_probs);
    FAILPOINT("stream.probs.n_probs");
}

void stream_writer_start(stream_writer *writer, uint32_t seed, uint64_t request_sum, uint64_t now_ns) {
    SHOW(queue_position, 0);
    FAILPOINT("stream.start.position");
    if (writer->started_ns) return; /* resumed */
    writer->started_ns = now_ns;
    SHOW(seed, seed);
    FAILPOINT("stream.start.seed");
    SHOW(request_sum, request_sum);
    FAILPOINT("stream.start.sum");
    /* release: a successor that finds it finds the two above. */
    __atomic_store_n(&writer->header->started_ns, now_ns, __ATOMIC_RELEASE);
    FAILPOINT("stream.start.started");
    set_status(writer, LIPC_STREAM_READING, LIPC_END_NONE, 0);
    FAILPOINT("stream.start.status");
}

void stream_writer_prompt(stream_writer *writer, uint32_t n_prompt, uint32_t n_prompt_done, uint32_t n_cached) {
    SHOW(n_cached, n_cached);
    FAILPOINT("stream.prompt.n_cached");
    SHOW(n_prompt, n_prompt);
    FAILPOINT("stream.prompt.n_prompt");
    SHOW(n_prompt_done, n_prompt_done);
    FAILPOINT("stream.prompt.n_prompt_done");
}

void stream_writer_position(stream_writer *writer, uint32_t position) {
    SHOW(queue_position, position);
    FAILPOINT("stream.position.position");
}

static uint32_t since_start_us(const stream_writer *writer, uint64_t now_ns) {
    uint64_t time_us = now_ns > writer->started_ns ? (now_ns - writer->started_ns) / 1000 : 0;
    return time_us > UINT32_MAX ? UINT32_MAX : (uint32_t)time_us;
}

/* Whether what is appended was published by a dead writer just so, with the record that stands there. */
static bool is_as_published(const stream_writer *writer, const char *text, size_t n_bytes, const stream_token *token,
                            const lipc_token_record *record) {
    if (n_bytes > writer->published_bytes - writer->n_bytes) return false;
    if (memcmp(writer->log + writer->n_bytes, text, n_bytes) != 0) return false;
    return record->id == token->id && record->end == writer->n_bytes + n_bytes;
}

/* A record that stands behind the last one counts from now on, with what stands beside it. */
static void count_token(stream_writer *writer, const lipc_token_record *record, const lipc_prob_record *probs) {
    writer->n_tokens++;
    writer->tokens_sum = stream_sum_add(writer->tokens_sum, (const char *)record, sizeof *record);
    writer->probs_sum = stream_sum_add(writer->probs_sum, (const char *)probs, writer->n_probs * sizeof *probs);
}

/* Both behind the last ones. */
static void write_records(stream_writer *writer, const stream_token *token, uint64_t now_ns) {
    const lipc_token_record record = {writer->n_bytes, token->id, token->logprob, since_start_us(writer, now_ns)};
    lipc_prob_record probs[LIPC_PROBS_MAX];
    for (uint32_t i = 0; i < writer->n_probs; i++)
        probs[i] = i < token->n_probs ? token->probs[i] : (lipc_prob_record){.id = -1, .logprob = NAN};
    memcpy(writer->probs + (size_t)writer->n_tokens * writer->n_probs, probs, writer->n_probs * sizeof *probs);
    FAILPOINT("stream.append.probs");
    writer->index[writer->n_tokens] = record;
    FAILPOINT("stream.append.record");
    count_token(writer, &record, probs);
}

static stream_room append_text(stream_writer *writer, const char *text, size_t n_bytes, const stream_token *token,
                               uint64_t now_ns) {
    size_t room = writer->log_size - writer->n_bytes;
    size_t fitting = n_bytes <= room ? n_bytes : utf8_fit(text, n_bytes, room);
    bool has_record = token && writer->n_tokens < writer->index_length;
    stream_room result = fitting == n_bytes && (!token || has_record) ? STREAM_FITS : STREAM_FULL;
    if (has_record && writer->n_tokens < writer->published_tokens) {
        const lipc_token_record record = writer->index[writer->n_tokens];
        if (!is_as_published(writer, text, fitting, token, &record)) return STREAM_DAMAGED;
        writer->n_bytes += (uint32_t)fitting;
        writer->sum = stream_sum_add(writer->sum, text, fitting);
        lipc_prob_record probs[LIPC_PROBS_MAX];
        memcpy(probs, writer->probs + (size_t)writer->n_tokens * writer->n_probs, writer->n_probs * sizeof *probs);
        count_token(writer, &record, probs);
        return result;
    }
    /* Text behind the last token may have been published, too: what was held back at the end. It is the same again. */
    size_t n_again = writer->published_bytes - writer->n_bytes;
    if (n_again > fitting || memcmp(writer->log + writer->n_bytes, text, n_again) != 0) return STREAM_DAMAGED;
    memcpy(writer->log + writer->n_bytes + n_again, text + n_again, fitting - n_again);
    FAILPOINT("stream.append.bytes");
    writer->n_bytes += (uint32_t)fitting;
    writer->sum = stream_sum_add(writer->sum, text, fitting);
    if (token && !writer->is_generating) {
        if (writer->n_tokens == 0) {
            SHOW(first_token_ns, now_ns);
            FAILPOINT("stream.append.first_token");
        }
        writer->is_generating = true;
        set_status(writer, LIPC_STREAM_GENERATING, LIPC_END_NONE, 0);
        FAILPOINT("stream.append.status");
    }
    if (has_record) write_records(writer, token, now_ns);
    publish(writer);
    FAILPOINT("stream.append.published");
    return result;
}

stream_room stream_writer_append_all(stream_writer *writer, const char *text, size_t n_bytes, const part_delta *deltas,
                                     size_t n_deltas, const stream_token *token, uint64_t now_ns) {
    uint32_t text_bytes = writer->n_bytes, n_tokens = writer->n_tokens;
    stream_room room = append_text(writer, text, n_bytes, token, now_ns);
    if (room == STREAM_FITS && n_deltas > 0) {
        parts_room added = parts_writer_add(&writer->parts, deltas, n_deltas, text_bytes, n_tokens);
        room = added == PARTS_FIT ? STREAM_FITS : added == PARTS_FULL ? STREAM_FULL : STREAM_DAMAGED;
    }
    /* Not while tokens are retraced: what is shown stays. */
    if (room != STREAM_DAMAGED && writer->n_tokens >= writer->published_tokens)
        parts_writer_publish(&writer->parts, writer->n_tokens);
    return room;
}

stream_room stream_writer_append(stream_writer *writer, const char *text, size_t n_bytes, const stream_token *token,
                                 uint64_t now_ns) {
    return stream_writer_append_all(writer, text, n_bytes, NULL, 0, token, now_ns);
}

void stream_writer_end(stream_writer *writer, uint32_t end, int error, const char *message, uint64_t now_ns) {
    SHOW(ended_ns, now_ns);
    FAILPOINT("stream.end.ended");
    SHOW(queue_position, 0);
    FAILPOINT("stream.end.position");
    size_t n_bytes = utf8_fit(message, strlen(message), sizeof writer->header->message - 1);
    memcpy(writer->header->message, message, n_bytes);
    FAILPOINT("stream.end.message");
    writer->header->message[n_bytes] = 0;
    FAILPOINT("stream.end.terminator");
    SHOW(answer_sum, writer->sum);
    FAILPOINT("stream.end.answer_sum");
    SHOW(parts_sum, writer->parts.sum);
    FAILPOINT("stream.end.parts_sum");
    SHOW(tokens_sum, writer->tokens_sum);
    FAILPOINT("stream.end.tokens_sum");
    SHOW(probs_sum, writer->probs_sum);
    FAILPOINT("stream.end.probs_sum");
    set_status(writer, LIPC_STREAM_ENDED, end, error);
    FAILPOINT("stream.end.status");
}

/* ---- going on after a dead writer -------------------------------------------------------------------------------- */

#define FOUND(field) __atomic_load_n(&header->field, __ATOMIC_RELAXED)

void stream_recovered_read(const hub_view *view, uint32_t index, uint32_t generation, stream_recovered *recovered) {
    const lipc_stream_header *header = hub_stream(view, index);
    *recovered = (stream_recovered){.is_taken = false};
    /* acquire: what the dead writer wrote before this status is there. */
    uint64_t status = __atomic_load_n(&header->status, __ATOMIC_ACQUIRE);
    uint32_t state = (uint32_t)status & 0xFF;
    if ((uint32_t)(status >> 32) != generation || state == 0) return;
    uint64_t published = __atomic_load_n(&header->published, __ATOMIC_ACQUIRE);
    recovered->is_taken = true;
    recovered->has_ended = state == LIPC_STREAM_ENDED;
    recovered->was_started = FOUND(started_ns) != 0;
    recovered->n_bytes = (uint32_t)published;
    recovered->n_tokens = (uint32_t)(published >> 32);
    if (recovered->n_bytes > view->at.log_size) recovered->n_bytes = view->at.log_size;
    if (recovered->n_tokens > view->at.index_length) recovered->n_tokens = view->at.index_length;
    recovered->seed = FOUND(seed);
    recovered->request_sum = FOUND(request_sum);
    recovered->ended_ns = FOUND(ended_ns);
}

void stream_recovered_tokens(const hub_view *view, uint32_t index, int32_t *tokens, uint32_t n_tokens) {
    const lipc_token_record *records = stream_index(view, index);
    for (uint32_t i = 0; i < n_tokens; i++) tokens[i] = records[i].id;
}

void stream_writer_resume(stream_writer *writer, const hub_view *view, uint32_t index, uint32_t generation,
                          const stream_recovered *recovered) {
    *writer = writer_of(view, index, generation);
    writer->published_bytes = recovered->n_bytes;
    writer->published_tokens = recovered->n_tokens;
    writer->started_ns = __atomic_load_n(&writer->header->started_ns, __ATOMIC_RELAXED);
    writer->status = __atomic_load_n(&writer->header->status, __ATOMIC_RELAXED);
    uint32_t n_probs = __atomic_load_n(&writer->header->n_probs, __ATOMIC_RELAXED);
    writer->n_probs = n_probs <= LIPC_PROBS_MAX ? n_probs : 0;
    open_parts(writer, view, index);
    parts_writer_resume(&writer->parts);
    if (recovered->has_ended) {
        writer->sum = __atomic_load_n(&writer->header->answer_sum, __ATOMIC_RELAXED);
        writer->parts.sum = __atomic_load_n(&writer->header->parts_sum, __ATOMIC_RELAXED);
        writer->tokens_sum = __atomic_load_n(&writer->header->tokens_sum, __ATOMIC_RELAXED);
        writer->probs_sum = __atomic_load_n(&writer->header->probs_sum, __ATOMIC_RELAXED);
        return;
    }
    set_status(writer, LIPC_STREAM_RECOVERING, LIPC_END_NONE, 0);
    FAILPOINT("stream.resume.status");
}

void stream_writer_restore(const stream_writer *writer) {
    uint64_t published = (uint64_t)writer->published_tokens << 32 | writer->published_bytes;
    __atomic_store_n(&writer->header->published, published, __ATOMIC_RELEASE);
    FAILPOINT("stream.restore.published");
    parts_writer_restore(&writer->parts);
    __atomic_store_n(&writer->header->n_probs, writer->n_probs, __ATOMIC_RELAXED);
    FAILPOINT("stream.restore.n_probs");
    if ((writer->status & 0xFF) == LIPC_STREAM_ENDED) {
        __atomic_store_n(&writer->header->answer_sum, writer->sum, __ATOMIC_RELAXED);
        FAILPOINT("stream.restore.answer_sum");
        __atomic_store_n(&writer->header->parts_sum, writer->parts.sum, __ATOMIC_RELAXED);
        FAILPOINT("stream.restore.parts_sum");
        __atomic_store_n(&writer->header->tokens_sum, writer->tokens_sum, __ATOMIC_RELAXED);
        FAILPOINT("stream.restore.tokens_sum");
        __atomic_store_n(&writer->header->probs_sum, writer->probs_sum, __ATOMIC_RELAXED);
        FAILPOINT("stream.restore.probs_sum");
    }
    __atomic_store_n(&writer->header->status, writer->status, __ATOMIC_RELEASE);
    FAILPOINT("stream.restore.status");
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

void stream_reader_begin(stream_reader *reader, const hub_view *view, uint32_t index, uint32_t generation) {
    *reader = (stream_reader){
        .header = hub_stream(view, index), .log = stream_log(view, index), .index = stream_index(view, index),
        .probs = stream_probs(view, index), .probs_room = stream_probs_room(&view->at),
        .log_size = view->at.log_size, .index_length = view->at.index_length, .parts_size = view->at.parts_size,
        .parts_length = view->at.parts_length, .generation = generation,
    };
}

/* How much of the text has all parts before it that belong there. `parts` was loaded before `published`, and is stored
 * behind it: it may lag, by so many tokens as the counts differ. */
static uint32_t ordered_bytes(const stream_reader *reader, const stream_snapshot *snapshot, uint64_t parts) {
    uint32_t n_behind = (snapshot->n_tokens - parts_word_tokens(parts)) & 0xFFFFu;
    if (reader->parts_length == 0 || n_behind == 0 || snapshot->state == LIPC_STREAM_ENDED) return snapshot->n_bytes;
    if (n_behind >= snapshot->n_tokens) return 0;
    uint32_t end = reader->index[snapshot->n_tokens - n_behind - 1].end;
    return end < snapshot->n_bytes ? end : snapshot->n_bytes;
}

void stream_read_snapshot(const stream_reader *reader, stream_snapshot *snapshot) {
    *snapshot = (stream_snapshot){.state = LIPC_STREAM_QUEUED};
    /* status before published: see stream.h. */
    uint64_t status = __atomic_load_n(&reader->header->status, __ATOMIC_ACQUIRE);
    if ((uint32_t)(status >> 32) != reader->generation || (status & 0xFF) == 0) return;
    uint64_t parts = __atomic_load_n(&reader->header->parts, __ATOMIC_ACQUIRE);
    uint64_t published = __atomic_load_n(&reader->header->published, __ATOMIC_ACQUIRE);
    snapshot->state = (uint32_t)(status & 0xFF);
    snapshot->end = (uint32_t)(status >> 8) & 0xFF;
    snapshot->error = -(int)((status >> 16) & 0xFFFF);
    snapshot->n_bytes = (uint32_t)published;
    snapshot->n_tokens = (uint32_t)(published >> 32);
    if (snapshot->n_bytes > reader->log_size) snapshot->n_bytes = reader->log_size;
    if (snapshot->n_tokens > reader->index_length) snapshot->n_tokens = reader->index_length;
    snapshot->n_parts = parts_word_parts(parts) < reader->parts_length ? parts_word_parts(parts) : reader->parts_length;
    snapshot->n_part_bytes = parts_word_bytes(parts) < reader->parts_size ? parts_word_bytes(parts) : reader->parts_size;
    snapshot->n_ordered_bytes = ordered_bytes(reader, snapshot, parts);
}

int stream_read_probs(const stream_reader *reader, size_t token, lipc_prob_record records[LIPC_PROBS_MAX]) {
    if (reader->probs_room == 0) return 0;
    size_t n_probs = __atomic_load_n(&reader->header->n_probs, __ATOMIC_RELAXED);
    if (n_probs > LIPC_PROBS_MAX || (token + 1) * n_probs > reader->probs_room) return -1;
    memcpy(records, reader->probs + token * n_probs, n_probs * sizeof *records);
    return (int)n_probs;
}

bool stream_is_current(const stream_reader *reader) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the loads before this one stay before it */
    return stream_claim_generation(__atomic_load_n(&reader->header->claim, __ATOMIC_RELAXED)) == reader->generation;
}
