/* attach.c - streams by their ids: finding one again, following another's, ending another's. */
#include "error.h"
#include "queue.h"

#include "../platform/failpoint.h"

#include <stdio.h>
#include <string.h>

/* ---- ids ----------------------------------------------------------------------------------------------------------- */

int lipc_stream_id(lipc_stream *stream, char text[LIPC_STREAM_ID_SIZE]) {
    if (!stream || !text) return lipc_fail(LIPC_E_INVALID, "the stream or the place for its id is NULL");
    for (size_t i = 0; i < STREAM_ID_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", stream->id[i]);
    return LIPC_E_OK;
}

static bool has_id(const lipc_stream_header *header, const uint8_t id[STREAM_ID_BYTES]) {
    uint64_t words[2];
    for (size_t i = 0; i < 2; i++) words[i] = __atomic_load_n((const uint64_t *)header->id + i, __ATOMIC_RELAXED);
    return memcmp(words, id, STREAM_ID_BYTES) == 0;
}

static bool read_digit(char digit, uint8_t *value) {
    static const char digits[] = "0123456789abcdef";
    const char *at = digit ? strchr(digits, digit >= 'A' && digit <= 'F' ? digit - 'A' + 'a' : digit) : NULL;
    if (at) *value = (uint8_t)(*value << 4 | (uint8_t)(at - digits));
    return at != NULL;
}

static bool parse_id(const char *text, uint8_t id[STREAM_ID_BYTES]) {
    memset(id, 0, STREAM_ID_BYTES);
    for (size_t i = 0; i < 2 * STREAM_ID_BYTES; i++)
        if (!read_digit(text[i], &id[i / 2])) return false;
    return text[2 * STREAM_ID_BYTES] == 0;
}

/* Whether the id that stands in a stream is of the request that its claim is about. One that was released before it was
 * submitted still shows the id of the one before. */
static bool id_is_current(const lipc_stream_header *header, uint64_t claim) {
    uint64_t status = __atomic_load_n(&header->status, __ATOMIC_ACQUIRE);
    return stream_claim_phase(claim) != LIPC_CLAIM_RELEASED || (uint32_t)(status >> 32) == stream_claim_generation(claim);
}

/* Under the client's lock: makes this stream the place `index` if that has its id. `claim` is what it held before. */
static bool attach_place(lipc_stream *stream, uint32_t index, uint64_t claim, bool read_only) {
    lipc_client *client = stream->client;
    lipc_stream_header *header = hub_stream(&client->view, index);
    if (!has_id(header, stream->id) || !id_is_current(header, claim)) return false;
    uint32_t generation = stream_claim_generation(claim);
    queue_watch(client, index);
    if (!read_only && stream_claim_phase(claim) == LIPC_CLAIM_DETACHED) {
        uint64_t mine = stream_claim(LIPC_CLAIM_SUBMITTED, client->index, generation);
        stream->is_owner = stream_change_claim(header, claim, mine);
        FAILPOINT("client.attach.claim");
        if (stream->is_owner) claim = mine;
    }
    queue_give_place(stream, index, claim);
    /* Whatever else happened: only if it is still the same generation was the id its own, and are we heard. */
    if (stream_is_current(&stream->reader)) return true;
    stream->is_placed = stream->is_owner = false;
    queue_unwatch(client, index);
    return false;
}

static int attach(lipc_stream *stream, bool read_only) {
    lipc_client *client = stream->client;
    if (client_is_lost(client)) return client_fail_lost(client);
    for (uint32_t i = 0; i < client->view.at.n_streams; i++) {
        uint64_t claim = stream_claim_now(hub_stream(&client->view, i));
        uint32_t phase = stream_claim_phase(claim);
        if (phase != LIPC_CLAIM_SUBMITTED && phase != LIPC_CLAIM_DETACHED && phase != LIPC_CLAIM_RELEASED) continue;
        if (!attach_place(stream, i, claim, read_only)) continue;
        client_hold_locked(client);
        if (stream->is_owner) client_ring_host(client);
        return LIPC_E_OK;
    }
    return lipc_fail(LIPC_E_GONE, "the host of '%s' has no stream of this id (any more)", client->name);
}

int lipc_stream_attach(lipc_client *client, const char *id, uint64_t offset, int read_only, lipc_stream **result) {
    uint8_t parsed[STREAM_ID_BYTES];
    if (!result) return lipc_fail(LIPC_E_INVALID, "the place for the stream is NULL");
    *result = NULL;
    if (!client || !id) return lipc_fail(LIPC_E_INVALID, "the client or the id is NULL");
    if (!parse_id(id, parsed))
        return lipc_fail(LIPC_E_INVALID, "'%.40s' is not an id: expected 32 hexadecimal digits", id);
    lipc_stream *stream = stream_new(client, false);
    if (!stream) return LIPC_E_NO_MEMORY;
    memcpy(stream->id, parsed, STREAM_ID_BYTES);
    stream->is_detachable = true;
    stream->offset = offset;
    stream->is_aligned = offset == 0;
    pthread_mutex_lock(&client->lock);
    int error = attach(stream, read_only != 0);
    pthread_mutex_unlock(&client->lock);
    if (error < 0) {
        stream_free(stream);
        return error;
    }
    *result = stream;
    return LIPC_E_OK;
}

/* ---- other people's streams ---------------------------------------------------------------------------------------- */

/* Whether a stream, whose claim was read, has this id. */
static bool is_stream(const lipc_stream_header *header, uint64_t claim, const uint8_t id[STREAM_ID_BYTES]) {
    uint32_t phase = stream_claim_phase(claim);
    return (phase == LIPC_CLAIM_SUBMITTED || phase == LIPC_CLAIM_DETACHED) && has_id(header, id);
}

int lipc_client_cancel(lipc_client *client, const char *id) {
    uint8_t parsed[STREAM_ID_BYTES];
    stream_reader reader;
    stream_snapshot snapshot;
    if (!client || !id) return lipc_fail(LIPC_E_INVALID, "the client or the id is NULL");
    if (!parse_id(id, parsed))
        return lipc_fail(LIPC_E_INVALID, "'%.40s' is not an id: expected 32 hexadecimal digits", id);
    if (client_is_lost(client)) return client_fail_lost(client);
    for (uint32_t i = 0; i < client->view.at.n_streams; i++) {
        lipc_stream_header *header = hub_stream(&client->view, i);
        uint64_t claim = stream_claim_now(header);
        if (!is_stream(header, claim, parsed)) continue;
        stream_reader_begin(&reader, &client->view, i, stream_claim_generation(claim));
        stream_read_snapshot(&reader, &snapshot);
        if (snapshot.state == LIPC_STREAM_ENDED) break;
        /* That the claim is of the same generation behind this says that the id was its own, too. */
        if (!stream_request_cancel(header, stream_claim_generation(claim))) break;
        client_ring_host(client);
        return LIPC_E_OK;
    }
    return lipc_fail(LIPC_E_GONE, "the host of '%s' has no stream of this id that is still being answered",
                     client->name);
}
