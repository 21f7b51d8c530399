/* stream_reservations.c - see host_stream.h. */
#include "host_stream.h"
#include "stream_service.h"

#include "../channel/reservation.h"
#include "../platform/failpoint.h"

#include <stdlib.h>

/* One client that waits for a stream. */
typedef struct waiting {
    uint32_t client;
    seen_reservation seen;
} waiting;

/* who was seen waiting first; those seen in one look by their tickets. A ticket may be a lie. */
static int compare_waiting(const void *left, const void *right) {
    const seen_reservation *a = &((const waiting *)left)->seen, *b = &((const waiting *)right)->seen;
    if (a->round != b->round) return a->round < b->round ? -1 : 1;
    return reservation_ticket(a->reservation) < reservation_ticket(b->reservation) ? -1 : reservation_ticket(a->reservation) > reservation_ticket(b->reservation);
}

/* All that wait now, in the order in which they are served. */
static size_t list_waiting(stream_service *service, waiting list[LIPC_CLIENTS_MAX]) {
    size_t n = 0;
    service->round++;
    for (uint32_t i = 0; i < service->view.at.n_clients; i++) {
        seen_reservation *seen = &service->reservations[i];
        uint64_t reservation = __atomic_load_n(&hub_client(&service->view, i)->reservation, __ATOMIC_ACQUIRE);
        if (reservation_phase(reservation) != LIPC_RESERVATION_WAITING || !client_registry_is_present(service->registry, i)) continue;
        if (seen->reservation != reservation) *seen = (struct seen_reservation){.reservation = reservation, .round = service->round};
        list[n++] = (waiting){i, *seen};
    }
    qsort(list, n, sizeof *list, compare_waiting);
    return n;
}

/* Frees the answer that ended longest ago and that nobody owns. Not if somebody has become its owner this moment. */
static bool evict(stream_service *service) {
    host_stream *oldest = NULL;
    uint64_t oldest_claim = 0;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        host_stream *stream = &service->streams[i];
        uint64_t claim = stream_claim_now(host_stream_header(stream));
        bool is_ownerless = stream->is_unwanted || stream_claim_phase(claim) == LIPC_CLAIM_DETACHED;
        if (stream->phase != HOST_STREAM_ENDED || !is_ownerless || stream->free_ns != 0) continue;
        if (oldest && stream->ended_order > oldest->ended_order) continue;
        oldest = stream;
        oldest_claim = claim;
    }
    return oldest && host_stream_free_from(oldest, &oldest_claim);
}

static bool grant(stream_service *service, uint32_t client, uint64_t reservation) {
    uint32_t index;
    uint64_t claim;
    if (!stream_offer_free(&service->view, client, &index, &claim) &&
        !(evict(service) && stream_offer_free(&service->view, client, &index, &claim)))
        return false;
    if (!reservation_grant(&service->view, client, reservation, index)) host_stream_free(&service->streams[index]);
    client_registry_ring(service->registry, client, PLAT_BELL_ALL);
    return true;
}

static void show_position(stream_service *service, uint32_t client, uint32_t position) {
    __atomic_store_n(&hub_client(&service->view, client)->queue_position, position, __ATOMIC_RELAXED);
    FAILPOINT("streams.grant.position");
    if (service->reservations[client].position == position) return;
    service->reservations[client].position = position;
    client_registry_ring(service->registry, client, PLAT_BELL_NEWS);
}

void stream_service_grant(stream_service *service, uint32_t n_queued) {
    waiting list[LIPC_CLIENTS_MAX];
    bool is_full = false;
    uint32_t position = n_queued;
    /* Behind everything that was freed: see reservation_request. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    size_t n = list_waiting(service, list);
    for (size_t i = 0; i < n; i++) {
        is_full = is_full || !grant(service, list[i].client, list[i].seen.reservation);
        if (is_full)
            show_position(service, list[i].client, position++);
        else
            service->reservations[list[i].client] = (seen_reservation){0}; /* the same reservation again is another one */
    }
}

void host_stream_complete_grant(host_stream *stream) {
    const hub_view *view = &stream->service->view;
    uint64_t claim = stream_claim_now(host_stream_header(stream)); /* before the reservation: who takes the stream ends its reservation after that */
    uint32_t owner = stream_claim_owner(claim);
    if (stream_claim_phase(claim) != LIPC_CLAIM_OFFERED || owner >= view->at.n_clients) return;
    uint64_t reservation = __atomic_load_n(&hub_client(view, owner)->reservation, __ATOMIC_ACQUIRE);
    if (reservation_phase(reservation) == LIPC_RESERVATION_GRANTED && reservation_stream(reservation) == stream->index) return;
    if (reservation_phase(reservation) == LIPC_RESERVATION_WAITING && reservation_grant(view, owner, reservation, stream->index)) return;
    host_stream_free_from(stream, &claim);
}
