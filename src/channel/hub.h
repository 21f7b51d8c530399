/* hub.h - finding one's way in the segment: where the parts lie, who is attached. No system calls; waking is
 * the caller's.
 *
 * After a death. A host that dies leaves everything as it is, and its successor on the same object goes on with it:
 * records and streams stay. A client that dies, at whatever step, is found by the pid in its claim; the host then frees
 * its streams, then its record.
 */
#ifndef CHANNEL_HUB_H
#define CHANNEL_HUB_H

#include "../platform/platform.h"
#include "lipc/layout.h"

#include <stdbool.h>

/* Where the parts of one segment lie: computed by the host, read once and checked by a client. */
typedef struct hub_geometry {
    uint64_t segment_size, clients_offset, streams_offset, stream_size;
    uint32_t client_size, n_clients, n_streams;
    uint32_t request_offset, request_size, log_offset, log_size, index_offset, index_length;
    uint32_t parts_offset, parts_size, parts_index_offset, parts_length; /* 0: a host that has no parts */
    uint32_t probs_offset; /* up to the end of the stream; 0: a host that has none */
} hub_geometry;

/* A mapped segment with its geometry. */
typedef struct hub_view {
    char *base;
    hub_geometry at;
} hub_view;

/* Bounds of what a host may be asked for. */
#define HUB_REQUEST_SIZE_MIN 4096u
#define HUB_REQUEST_SIZE_MAX (256u << 20)
#define HUB_LOG_SIZE_MIN 4096u
#define HUB_LOG_SIZE_MAX (256u << 20)

/* A token index has one record for each HUB_BYTES_PER_TOKEN bytes of log: tokens are rarely shorter on average. */
#define HUB_BYTES_PER_TOKEN 4

/* The parts log has half the size of the response log, its index one record for each HUB_BYTES_PER_PART bytes of it:
 * thoughts and calls are rarely shorter on average. */
#define HUB_BYTES_PER_PART 512
#define HUB_PARTS_LEAST 64u

/* What a host is given that nobody tells otherwise. All of it together are 47 MB of the 64 MB that a container's /dev/shm
 * often has. */
#define HUB_STREAMS_DEFAULT 8u
#define HUB_REQUEST_SIZE_DEFAULT (256u << 10)
#define HUB_LOG_SIZE_DEFAULT (1u << 20)

/* Lays a segment out. Sizes are rounded up to pages. */
void hub_plan(hub_geometry *geometry, uint32_t n_streams, uint32_t request_size, uint32_t log_size);

bool hub_is_same_layout(const hub_geometry *a, const hub_geometry *b);

/* Host: makes all records and streams free, before hub_begin: in a new object, or one that holds something else. Streams
 * begin with generation 1, so that a `status` of zero is about none. */
void hub_clear(const hub_view *view);

/* Host: makes the hub valid for clients, in state STARTING. Records and streams stay as they are. */
void hub_begin(const hub_view *view, int host_pid, uint64_t host_start_time, const char *host_version);

/* Host: writes what it shows of itself again, where it is not as it was: somebody scribbled over it. Not n_attached, which
 * is written all the time, nor what clients write. */
void hub_restore(const hub_view *view, const lipc_hub *shown);

typedef enum hub_check {
    HUB_OK,
    HUB_NOT_YET,       /* the host has not come so far */
    HUB_OTHER_VERSION, /* of another major: only major, minor and host_pid are valid */
    HUB_DAMAGED        /* not a hub, or numbers that do not fit together */
} hub_check;

typedef struct hub_identity {
    uint16_t major, minor;
    int host_pid;
    uint32_t epoch;
    uint64_t host_start_time;
    uint64_t features; /* LIPC_FEATURE_* */
} hub_identity;

/* Client: copies and checks. `mapped_size` is what is mapped at `base`, at least LIPC_HUB_END. */
hub_check hub_read(char *base, uint64_t mapped_size, hub_view *view, hub_identity *identity);

static inline lipc_hub *hub_of(const hub_view *view) {
    return (lipc_hub *)(view->base + LIPC_HUB_OFFSET);
}
static inline lipc_client_record *hub_client(const hub_view *view, uint32_t index) {
    return (lipc_client_record *)(view->base + view->at.clients_offset + (uint64_t)index * view->at.client_size);
}
static inline lipc_stream_header *hub_stream(const hub_view *view, uint32_t index) {
    return (lipc_stream_header *)(view->base + view->at.streams_offset + index * view->at.stream_size);
}

/* Whether the process `pid` has made this hub its own. `base` is mapped to LIPC_HUB_END at least. */
bool hub_is_of(const char *base, int pid);

/* Client: asks the host to end. The caller rings the host. */
void hub_request_shutdown(const hub_view *view);

/* The doorbells of the segment are those of the platform. */
_Static_assert(sizeof(lipc_doorbell) == sizeof(plat_doorbell), "one doorbell");
_Static_assert(LIPC_BELL_NEWS == PLAT_BELL_NEWS && LIPC_BELL_ENDS == PLAT_BELL_ENDS, "one meaning");
static inline plat_doorbell *hub_bell(lipc_doorbell *bell) {
    return (plat_doorbell *)bell;
}

/* ---- client records ---------------------------------------------------------------------------------------------- */

static inline uint64_t client_claim(uint32_t phase, uint32_t generation, uint32_t pid) {
    return (uint64_t)pid << 32 | (uint64_t)(generation & 0x0FFFFFFFu) << 4 | phase;
}
static inline uint32_t client_claim_phase(uint64_t claim) {
    return (uint32_t)claim & 0xFu;
}
static inline uint32_t client_claim_generation(uint64_t claim) {
    return (uint32_t)claim >> 4;
}
static inline uint32_t client_claim_pid(uint64_t claim) {
    return (uint32_t)(claim >> 32);
}

/* Client: takes a record. Returns false if there is none. *claim is what the record then holds. The caller rings the
 * host. */
bool hub_client_attach(const hub_view *view, uint32_t pid, uint64_t start_time, uint32_t *index, uint64_t *claim);

/* Client: leaves its record to the host, if it is still its own. The caller rings the host. */
void hub_client_leave(const hub_view *view, uint32_t index, uint64_t claim);

/* Host: frees the record of a holder that is gone, whatever has been written over it; its streams are freed already.
 * `claim` is the host's own knowledge: the next holder gets the generation after it. */
void hub_client_free(const hub_view *view, uint32_t index, uint64_t claim);

#endif
