/* queue.c - see queue.h. */
#include "queue.h"

#include "../channel/reservation.h"
#include "../platform/failpoint.h"

#include <stdlib.h>

/* ---- places -------------------------------------------------------------------------------------------------------- */

void queue_watch(lipc_client *client, uint32_t index) {
    client->n_watching[index]++;
    /* Also if another handle watches already: that may be for a generation before, whose watchers the host took
     * back. */
    stream_watch(hub_stream(&client->view, index), client->index);
}

void queue_unwatch(lipc_client *client, uint32_t index) {
    lipc_stream_header *header = hub_stream(&client->view, index);
    if (--client->n_watching[index] > 0 || client_is_lost(client)) return;
    stream_unwatch(header, client->index);
    /* A stream that its owner has given back is kept for those who watch it; the last of them tells the host. Fence:
     * either the host, which has seen the claim, finds us gone, or we see the claim. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (stream_claim_phase(stream_claim_now(header)) == LIPC_CLAIM_RELEASED) client_ring_host(client);
}

void queue_give_place(lipc_stream *stream, uint32_t index, uint64_t claim) {
    stream->index = index;
    stream->claim = claim;
    stream_reader_begin(&stream->reader, &stream->client->view, index, stream_claim_generation(claim));
    stream->is_summed = stream->offset == 0 && stream->client->has_sums;
    stream->sum = stream->parts_sum = stream->tokens_sum = stream->probs_sum = stream_sum_begin(stream->reader.generation);
    /* release: pairs with stream_is_placed(). */
    __atomic_store_n(&stream->is_placed, true, __ATOMIC_RELEASE);
}

/* Changes the claim that this client's own stream holds; rings the host. False: it is not ours any more. */
static bool change_own_claim(lipc_client *client, uint32_t index, uint64_t from, uint32_t phase, uint32_t owner) {
    uint64_t to = stream_claim(phase, owner, stream_claim_generation(from));
    if (client_is_lost(client) || !stream_change_claim(hub_stream(&client->view, index), from, to)) return false;
    FAILPOINT("client.change.claim");
    client_ring_host(client);
    return true;
}

/* Writes a request into the stream that is claimed for it, and hands it over. If that fails the stream is not ours any
 * more: reading it says so. */
static void submit(lipc_stream *stream, uint32_t index, uint64_t claim, const char *request, size_t n_bytes) {
    lipc_client *client = stream->client;
    stream_write_request(&client->view, index, stream->id, request, n_bytes);
    queue_watch(client, index);
    change_own_claim(client, index, claim, LIPC_CLAIM_SUBMITTED, client->index);
    queue_give_place(stream, index, stream_claim(LIPC_CLAIM_SUBMITTED, client->index, stream_claim_generation(claim)));
}

/* ---- requests that wait ----------------------------------------------------------------------------------------------- */

static void set_first_waiting(lipc_client *client, lipc_stream *stream) {
    client->first_waiting = stream;
    if (!stream) client->last_waiting = NULL;
    __atomic_store_n(&client->has_waiting, stream != NULL, __ATOMIC_RELAXED);
}

static void enqueue(lipc_stream *stream) {
    lipc_client *client = stream->client;
    if (client->last_waiting)
        client->last_waiting->next_waiting = stream;
    else
        set_first_waiting(client, stream);
    client->last_waiting = stream;
}

/* Takes a request out of the queue. False: it is not in it. */
static bool dequeue(lipc_stream *stream) {
    lipc_client *client = stream->client;
    lipc_stream *before = NULL, *at = client->first_waiting;
    for (; at && at != stream; at = at->next_waiting) before = at;
    if (!at) return false;
    if (client->last_waiting == stream) client->last_waiting = before;
    if (before)
        before->next_waiting = stream->next_waiting;
    else
        set_first_waiting(client, stream->next_waiting);
    stream->next_waiting = NULL;
    free(stream->request);
    stream->request = NULL;
    return true;
}

/* Gives the first that waits its place. */
static void place_first(lipc_client *client, uint32_t index, uint64_t claim) {
    lipc_stream *stream = client->first_waiting;
    submit(stream, index, claim, stream->request, stream->request_bytes);
    dequeue(stream);
    if (!stream->is_detaching) return;
    change_own_claim(client, index, stream->claim, LIPC_CLAIM_DETACHED, LIPC_NO_OWNER);
    queue_unwatch(client, index);
    stream_free(stream);
    client_let_go_locked(client);
}

/* A stream that the host has granted us: for the first that waits, or back again. */
static void use_granted(lipc_client *client, uint32_t index, uint64_t claim) {
    if (claim == 0) return;
    if (client->first_waiting)
        place_first(client, index, claim);
    else
        change_own_claim(client, index, claim, LIPC_CLAIM_RELEASED, client->index);
}

static void withdraw_reservation(lipc_client *client) {
    uint32_t index;
    uint64_t claim;
    if (!client->has_reservation) return;
    client->has_reservation = false;
    if (reservation_withdraw(&client->view, client->index, &index, &claim)) use_granted(client, index, claim);
}

/* Asks the host for a stream. One that is freed before the host sees the reservation is granted to nobody, so it is looked for
 * once more (reservation_request). True: there was one, and the reservation is withdrawn. */
static bool reserve(lipc_client *client) {
    uint32_t index;
    uint64_t claim;
    reservation_request(&client->view, client->index);
    client->has_reservation = true;
    client_ring_host(client);
    if (!stream_claim_free(&client->view, client->index, &index, &claim)) return false;
    place_first(client, index, claim);
    withdraw_reservation(client);
    return true;
}

static void advance_locked(lipc_client *client) {
    uint32_t index;
    uint64_t claim;
    while (client->first_waiting && !client_is_lost(client)) {
        if (!client->has_reservation || !reservation_is_pending(&client->view, client->index)) {
            if (!reserve(client)) return;
            continue;
        }
        if (!reservation_take(&client->view, client->index, &index, &claim)) return;
        client->has_reservation = false;
        use_granted(client, index, claim);
    }
}

void queue_advance(lipc_client *client) {
    if (!__atomic_load_n(&client->has_waiting, __ATOMIC_RELAXED)) return;
    pthread_mutex_lock(&client->lock);
    advance_locked(client);
    pthread_mutex_unlock(&client->lock);
}

void queue_drop(lipc_client *client) {
    while (client->first_waiting) {
        lipc_stream *stream = client->first_waiting;
        dequeue(stream);
        if (!stream->is_detaching) continue;
        stream_free(stream);
        client_let_go_locked(client);
    }
}

/* ---- handing over, giving back -------------------------------------------------------------------------------------- */

int queue_submit(lipc_stream *stream, char *request, size_t n_bytes) {
    lipc_client *client = stream->client;
    uint32_t index;
    uint64_t claim;
    if (client_is_lost(client)) {
        free(request);
        return client_fail_lost(client);
    }
    client_hold_locked(client);
    if (!client->first_waiting && stream_claim_free(&client->view, client->index, &index, &claim)) {
        submit(stream, index, claim, request, n_bytes);
        free(request);
        return LIPC_E_OK;
    }
    stream->request = request;
    stream->request_bytes = n_bytes;
    enqueue(stream);
    advance_locked(client);
    return LIPC_E_OK;
}

bool queue_withdraw(lipc_stream *stream) {
    lipc_client *client = stream->client;
    if (!dequeue(stream)) return false;
    if (!client->first_waiting && !client_is_lost(client)) withdraw_reservation(client);
    return true;
}

void queue_give_back(lipc_stream *stream, bool goes_on) {
    lipc_client *client = stream->client;
    if (queue_withdraw(stream) || !stream_is_placed(stream)) return;
    queue_unwatch(client, stream->index);
    if (!stream->is_owner) return;
    if (goes_on)
        change_own_claim(client, stream->index, stream->claim, LIPC_CLAIM_DETACHED, LIPC_NO_OWNER);
    else
        change_own_claim(client, stream->index, stream->claim, LIPC_CLAIM_RELEASED, client->index);
}
