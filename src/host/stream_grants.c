/* stream_grants.c - see slots.h. */
#include "slots.h"

#include "../platform/step.h"

#include <stdlib.h>

/* One client that waits for a stream. */
typedef struct waiting {
    uint32_t client;
    wished wished;
} waiting;

/* Who was seen to wish first; those seen in one look by their tickets. A ticket may be a lie. */
static int compare_waiting(const void *left, const void *right) {
    const wished *a = &((const waiting *)left)->wished, *b = &((const waiting *)right)->wished;
    if (a->round != b->round) return a->round < b->round ? -1 : 1;
    return wish_ticket(a->wish) < wish_ticket(b->wish) ? -1 : wish_ticket(a->wish) > wish_ticket(b->wish);
}

/* All that wait now, in the order in which they are served. */
static size_t list_waiting(stream_service *service, waiting list[LIPC_CLIENTS_MAX]) {
    size_t n = 0;
    service->round++;
    for (uint32_t i = 0; i < service->view.at.n_clients; i++) {
        wished *wished = &service->wished[i];
        uint64_t wish = __atomic_load_n(&hub_client(&service->view, i)->wish, __ATOMIC_ACQUIRE);
        if (wish_phase(wish) != LIPC_WISH_WAITING || !attendance_is_present(service->attendance, i)) continue;
        if (wished->wish != wish) *wished = (struct wished){.wish = wish, .round = service->round};
        list[n++] = (waiting){i, *wished};
    }
    qsort(list, n, sizeof *list, compare_waiting);
    return n;
}

/* Frees the answer that ended longest ago and that nobody owns. Not if somebody has become its owner this moment. */
static bool evict(stream_service *service) {
    slot *oldest = NULL;
    uint64_t oldest_claim = 0;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        slot *slot = &service->slots[i];
        uint64_t claim = stream_claim_now(slot_header(slot));
        bool is_ownerless = slot->is_unwanted || stream_claim_phase(claim) == LIPC_CLAIM_DETACHED;
        if (slot->phase != SLOT_ENDED || !is_ownerless || slot->free_ns != 0) continue;
        if (oldest && slot->ended_order > oldest->ended_order) continue;
        oldest = slot;
        oldest_claim = claim;
    }
    return oldest && slot_free_from(oldest, &oldest_claim);
}

static bool grant(stream_service *service, uint32_t client, uint64_t wish) {
    uint32_t stream;
    uint64_t claim;
    if (!stream_offer_free(&service->view, client, &stream, &claim) &&
        !(evict(service) && stream_offer_free(&service->view, client, &stream, &claim)))
        return false;
    if (!hub_wish_grant(&service->view, client, wish, stream)) slot_free(&service->slots[stream]);
    attendance_ring(service->attendance, client, PLAT_BELL_ALL);
    return true;
}

static void show_position(stream_service *service, uint32_t client, uint32_t position) {
    __atomic_store_n(&hub_client(&service->view, client)->queue_position, position, __ATOMIC_RELAXED);
    STEP("streams.grant.position");
    if (service->wished[client].position == position) return;
    service->wished[client].position = position;
    attendance_ring(service->attendance, client, PLAT_BELL_NEWS);
}

void stream_service_grant(stream_service *service, uint32_t n_queued) {
    waiting list[LIPC_CLIENTS_MAX];
    bool is_full = false;
    uint32_t position = n_queued;
    /* Behind everything that was freed: see hub_wish. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    size_t n = list_waiting(service, list);
    for (size_t i = 0; i < n; i++) {
        is_full = is_full || !grant(service, list[i].client, list[i].wished.wish);
        if (is_full)
            show_position(service, list[i].client, position++);
        else
            service->wished[list[i].client] = (wished){0}; /* the same wish again is another one */
    }
}

void slot_complete_grant(slot *slot) {
    const hub_view *view = &slot->service->view;
    uint64_t claim = stream_claim_now(slot_header(slot)); /* before the wish: who takes the stream ends its wish after that */
    uint32_t owner = stream_claim_owner(claim);
    if (stream_claim_phase(claim) != LIPC_CLAIM_OFFERED || owner >= view->at.n_clients) return;
    uint64_t wish = __atomic_load_n(&hub_client(view, owner)->wish, __ATOMIC_ACQUIRE);
    if (wish_phase(wish) == LIPC_WISH_GRANTED && wish_stream(wish) == slot->index) return;
    if (wish_phase(wish) == LIPC_WISH_WAITING && hub_wish_grant(view, owner, wish, slot->index)) return;
    slot_free_from(slot, &claim);
}
