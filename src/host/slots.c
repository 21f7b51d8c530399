/* slots.c - see slots.h. */
#include "slots.h"

#include "../platform/step.h"

#include <stdlib.h>
#include <string.h>

/* For how long a stream whose claim was overwritten is given to nobody. A client writes its request within this time. */
#define REVOKED_MS 50

void slot_set_generation(slot *slot, uint32_t generation) {
    slot->generation = generation;
    slot->service->ledger->generations[slot->index] = generation;
}

void slot_forget_request(slot *slot) {
    free(slot->bytes);
    free(slot->messages);
    free(slot->tokens);
    slot->bytes = NULL;
    slot->messages = NULL;
    slot->tokens = NULL;
}

/* ---- ringing ----------------------------------------------------------------------------------------------------- */

static void ring_bits(slot *slot, uint32_t word, uint64_t bits, uint32_t about) {
    for (; bits; bits &= bits - 1)
        attendance_ring(slot->service->attendance, word * 64 + (uint32_t)__builtin_ctzll(bits), about);
}

/* A watcher enters itself (full barrier) and then looks; we publish and then,
 * behind the fence, look who watches: one of the two sees the other. */
void slot_ring_watchers(slot *slot, uint32_t about) {
    const lipc_stream_header *header = slot_header(slot);
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
    const lipc_stream_header *header = slot_header(slot);
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++)
        if (is_anyone_present(slot, word, __atomic_load_n(&header->watchers[word], __ATOMIC_RELAXED))) return true;
    return false;
}

/* ---- freeing ----------------------------------------------------------------------------------------------------- */

/* Changes a claim, and tells those who watch, who find out by the generation: from `from`, or whatever it is if that is
 * NULL. The bits go before the claim: whoever claims the stream after it enters itself, and must stay. Those who come in
 * between are rung too. */
static bool replace_claim(slot *slot, const uint64_t *from, uint64_t to) {
    lipc_stream_header *header = slot_header(slot);
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
    slot_ring_watchers(slot, PLAT_BELL_ALL);
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

bool slot_free_from(slot *slot, const uint64_t *from) {
    if (!replace_claim(slot, from, stream_claim(LIPC_CLAIM_FREE, 0, slot->generation + 1))) return false;
    wipe_log(slot);
    slot_set_generation(slot, slot->generation + 1);
    slot->phase = SLOT_EMPTY;
    slot->is_unwanted = false;
    slot->free_ns = 0;
    return true;
}

/* No compare-and-swap: nobody else may change the claim now, and who does so must neither win nor hold the host up. */
void slot_free(slot *slot) {
    slot_free_from(slot, NULL);
}

/* Somebody has written over the claim. Nobody owns the stream from here on, and nobody who reads it believes what it
 * shows; the place is given to another only when nobody can be writing or reading there any more. */
void slot_revoke(slot *slot) {
    replace_claim(slot, NULL, stream_claim(LIPC_CLAIM_RELEASED, LIPC_NO_OWNER, slot->generation + 1));
    slot_set_generation(slot, slot->generation + 1);
    slot->is_unwanted = true;
    slot->free_ns = plat_deadline_ns(REVOKED_MS);
}

void slot_free_if_unwanted(slot *slot) {
    bool is_done = slot->phase == SLOT_ENDED || (slot->phase == SLOT_EMPTY && slot->free_ns != 0);
    if (!is_done || !slot->is_unwanted) return;
    if (slot->free_ns != 0 ? plat_clock_ns() >= slot->free_ns : !is_watched(slot)) slot_free(slot);
}
