/* reservation.c - see reservation.h. */
#include "reservation.h"

#include "stream.h"

#include "../platform/failpoint.h"

/* Acquire and release: whoever sees a grant sees the stream that was offered before it. */
static bool change(lipc_client_record *record, uint64_t from, uint64_t to) {
    return __atomic_compare_exchange_n(&record->reservation, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED); /* callers name it */
}

bool reservation_is_pending(const hub_view *view, uint32_t client) {
    uint32_t phase = reservation_phase(__atomic_load_n(&hub_client(view, client)->reservation, __ATOMIC_RELAXED));
    return phase == LIPC_RESERVATION_WAITING || phase == LIPC_RESERVATION_GRANTED;
}

void reservation_request(const hub_view *view, uint32_t client) {
    lipc_client_record *record = hub_client(view, client);
    if (reservation_is_pending(view, client)) return;
    uint64_t ticket = __atomic_fetch_add(&hub_of(view)->next_ticket, 1, __ATOMIC_RELAXED);
    FAILPOINT("reservation.request.ticket");
    /* Sequentially consistent, with a fence behind it: see reservation.h. */
    __atomic_store_n(&record->reservation, ticket << 18 | LIPC_RESERVATION_WAITING, __ATOMIC_SEQ_CST);
    FAILPOINT("reservation.request.waiting");
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Takes a stream that is offered to the client. Returns its claim then; 0: it is not offered. */
static uint64_t take_offered(const hub_view *view, uint32_t client, uint32_t stream) {
    if (stream >= view->at.n_streams) return 0;
    uint64_t offered = stream_claim_now(hub_stream(view, stream));
    if (stream_claim_phase(offered) != LIPC_CLAIM_OFFERED || stream_claim_owner(offered) != client) return 0;
    uint64_t claimed = stream_claim(LIPC_CLAIM_CLAIMED, client, stream_claim_generation(offered));
    bool is_taken = stream_change_claim(hub_stream(view, stream), offered, claimed);
    FAILPOINT("reservation.take.claimed");
    return is_taken ? claimed : 0;
}

bool reservation_take(const hub_view *view, uint32_t client, uint32_t *stream, uint64_t *claim) {
    lipc_client_record *record = hub_client(view, client);
    uint64_t reservation = __atomic_load_n(&record->reservation, __ATOMIC_ACQUIRE);
    if (reservation_phase(reservation) != LIPC_RESERVATION_GRANTED) return false;
    *stream = reservation_stream(reservation);
    /* The claim first: an offer whose reservation is over counts as one that was not answered. */
    *claim = take_offered(view, client, *stream);
    __atomic_store_n(&record->reservation, LIPC_RESERVATION_NONE, __ATOMIC_RELEASE);
    FAILPOINT("reservation.take.reservation");
    return true;
}

bool reservation_withdraw(const hub_view *view, uint32_t client, uint32_t *stream, uint64_t *claim) {
    lipc_client_record *record = hub_client(view, client);
    uint64_t reservation = __atomic_load_n(&record->reservation, __ATOMIC_ACQUIRE);
    if (reservation_phase(reservation) == LIPC_RESERVATION_WAITING &&
        change(record, reservation, LIPC_RESERVATION_NONE)) {
        FAILPOINT("reservation.withdraw.reservation");
        return false;
    }
    return reservation_take(view, client, stream, claim);
}

bool reservation_grant(const hub_view *view, uint32_t client, uint64_t reservation, uint32_t stream) {
    uint64_t granted = reservation_ticket(reservation) << 18 | (uint64_t)stream << 2 | LIPC_RESERVATION_GRANTED;
    bool is_granted = change(hub_client(view, client), reservation, granted);
    FAILPOINT("reservation.grant.reservation");
    return is_granted;
}
