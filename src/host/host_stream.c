/* host_stream.c - see host_stream.h. */
#include "host_stream.h"

#include "../platform/failpoint.h"

#include <stdlib.h>
#include <string.h>

/* For how long a stream whose claim was overwritten is given to nobody. A client writes its request within this time. */
#define REVOKED_MS 50

void host_stream_set_generation(host_stream *stream, uint32_t generation) {
    stream->generation = generation;
    stream->service->journal->generations[stream->index] = generation;
}

void host_stream_forget_request(host_stream *stream) {
    free(stream->bytes);
    free(stream->messages);
    free(stream->tokens);
    stream->bytes = NULL;
    stream->messages = NULL;
    stream->tokens = NULL;
}

/* ---- ringing ----------------------------------------------------------------------------------------------------- */

static void ring_bits(host_stream *stream, uint32_t word, uint64_t bits, uint32_t about) {
    for (; bits; bits &= bits - 1)
        client_registry_ring(stream->service->registry, word * 64 + (uint32_t)__builtin_ctzll(bits), about);
}

/* A watcher enters itself (full barrier) and then looks; we publish and then,
 * behind the fence, look who watches: one of the two sees the other. */
void host_stream_ring_watchers(host_stream *stream, uint32_t about) {
    const lipc_stream_header *header = host_stream_header(stream);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++)
        ring_bits(stream, word, __atomic_load_n(&header->watchers[word], __ATOMIC_RELAXED), about);
}

static bool is_anyone_present(const host_stream *stream, uint32_t word, uint64_t bits) {
    for (; bits; bits &= bits - 1)
        if (client_registry_is_present(stream->service->registry, word * 64 + (uint32_t)__builtin_ctzll(bits))) return true;
    return false;
}

/* Bits of nobody who is there do not count: anyone can set them. */
static bool is_watched(const host_stream *stream) {
    const lipc_stream_header *header = host_stream_header(stream);
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++)
        if (is_anyone_present(stream, word, __atomic_load_n(&header->watchers[word], __ATOMIC_RELAXED))) return true;
    return false;
}

/* ---- freeing ----------------------------------------------------------------------------------------------------- */

/* Changes a claim, and tells those who watch, who find out by the generation: from `from`, or whatever it is if that is
 * NULL. The bits go before the claim: whoever claims the stream after it enters itself, and must stay. Those who come in
 * between are rung too. */
static bool replace_claim(host_stream *stream, const uint64_t *from, uint64_t to) {
    lipc_stream_header *header = host_stream_header(stream);
    uint64_t watchers[LIPC_CLIENTS_MAX / 64];
    bool is_replaced = true;
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++) {
        watchers[word] = __atomic_exchange_n(&header->watchers[word], 0, __ATOMIC_SEQ_CST);
        FAILPOINT("streams.free.watchers");
    }
    if (from) {
        is_replaced = stream_change_claim(header, *from, to);
        FAILPOINT("streams.free.claim");
    } else {
        __atomic_store_n(&header->claim, to, __ATOMIC_SEQ_CST);
        FAILPOINT("streams.revoke.claim");
    }
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++) {
        if (!is_replaced) __atomic_fetch_or(&header->watchers[word], watchers[word], __ATOMIC_SEQ_CST);
        FAILPOINT("streams.free.watchers_back");
        ring_bits(stream, word, watchers[word], PLAT_BELL_ALL);
    }
    host_stream_ring_watchers(stream, PLAT_BELL_ALL);
    return is_replaced;
}

/* Somebody may write over `published`: then the next one who reads there must not find this text. */
static void wipe_log(host_stream *stream) {
    uint32_t n_bytes = stream->phase == HOST_STREAM_EMPTY ? 0 : stream->writer.published_bytes;
    if (n_bytes < stream->n_found) n_bytes = stream->n_found;
    memset(stream_log(&stream->service->view, stream->index), 0, n_bytes);
    FAILPOINT("streams.free.log");
    n_bytes = stream->phase == HOST_STREAM_EMPTY ? 0 : stream->writer.parts.published_bytes;
    if (n_bytes < stream->n_parts_found) n_bytes = stream->n_parts_found;
    parts_wipe(&stream->service->view, stream->index, n_bytes);
    size_t room = stream_probs_room(&stream->service->view.at);
    size_t n_probs = stream->phase == HOST_STREAM_EMPTY ? 0 : (size_t)stream->writer.n_probs * stream->writer.published_tokens;
    if (stream->may_have_probs || n_probs > room) n_probs = room;
    memset(stream_probs(&stream->service->view, stream->index), 0, n_probs * sizeof(lipc_prob_record));
    FAILPOINT("streams.free.probs");
    stream->n_found = stream->n_parts_found = 0;
    stream->may_have_probs = false;
}

bool host_stream_free_from(host_stream *stream, const uint64_t *from) {
    if (!replace_claim(stream, from, stream_claim(LIPC_CLAIM_FREE, 0, stream->generation + 1))) return false;
    wipe_log(stream);
    host_stream_set_generation(stream, stream->generation + 1);
    stream->phase = HOST_STREAM_EMPTY;
    stream->is_unwanted = false;
    stream->free_ns = 0;
    return true;
}

/* No compare-and-swap: nobody else may change the claim now, and who does so must neither win nor hold the host up. */
void host_stream_free(host_stream *stream) {
    host_stream_free_from(stream, NULL);
}

/* Somebody has written over the claim. Nobody owns the stream from here on, and nobody who reads it believes what it
 * shows; the place is given to another only when nobody can be writing or reading there any more. */
void host_stream_revoke(host_stream *stream) {
    replace_claim(stream, NULL, stream_claim(LIPC_CLAIM_RELEASED, LIPC_NO_OWNER, stream->generation + 1));
    host_stream_set_generation(stream, stream->generation + 1);
    stream->is_unwanted = true;
    stream->free_ns = plat_deadline_ns(REVOKED_MS);
}

void host_stream_free_if_unwanted(host_stream *stream) {
    bool is_done = stream->phase == HOST_STREAM_ENDED || (stream->phase == HOST_STREAM_EMPTY && stream->free_ns != 0);
    if (!is_done || !stream->is_unwanted) return;
    if (stream->free_ns != 0 ? plat_clock_ns() >= stream->free_ns : !is_watched(stream)) host_stream_free(stream);
}
