/* reservation.h - waiting for a stream when none is free: a word in the client's record, written by the client (WAITING,
 * withdrawn, taken) and by the host (GRANTED), both by compare-and-swap. No system calls; waking is the caller's.
 *
 * A client that dies leaves its reservation to the host, which drops it with the record; a stream that was granted is then
 * one of its streams.
 */
#ifndef CHANNEL_RESERVATION_H
#define CHANNEL_RESERVATION_H

#include "hub.h"

static inline uint32_t reservation_phase(uint64_t reservation) {
    return (uint32_t)reservation & 3u;
}
static inline uint32_t reservation_stream(uint64_t reservation) {
    return (uint32_t)(reservation >> 2) & 0xFFFFu;
}
static inline uint64_t reservation_ticket(uint64_t reservation) {
    return reservation >> 18;
}

/* Client: takes a ticket and waits, if it does not already. Having done so it must look for a free stream once more:
 * the host that frees one before it sees the reservation grants nothing. (Both sides: change one's own word, full fence,
 * look at the other's.) The caller rings the host. */
void reservation_request(const hub_view *view, uint32_t client);

/* Client: whether its reservation is still to be granted or taken. Not so if it made none, or somebody wrote over it. */
bool reservation_is_pending(const hub_view *view, uint32_t client);

/* Client: takes the stream that was granted; it is CLAIMED by the client from here on, with *claim. Returns false if none
 * was granted. *claim is 0 if none is there in spite of that (somebody wrote where it should not). */
bool reservation_take(const hub_view *view, uint32_t client, uint32_t *stream, uint64_t *claim);

/* Client: no longer waits. If a stream was granted meanwhile, true: as reservation_take. */
bool reservation_withdraw(const hub_view *view, uint32_t client, uint32_t *stream, uint64_t *claim);

/* Host: grants the reservation, read as `reservation`, the stream that it has OFFERED to the client. False: the client has
 * withdrawn, and the stream is to be freed. A host that dies between offering and granting leaves an OFFERED stream whose
 * owner's reservation is WAITING, or withdrawn since: its successor grants it, or frees the stream. CLAIMED is always the
 * client's own doing. */
bool reservation_grant(const hub_view *view, uint32_t client, uint64_t reservation, uint32_t stream);

#endif
