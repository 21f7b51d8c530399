/* connection.h - a process's attachment to a host: what it holds, whether it still stands, and sleeping until the host rings.
 * The lowest layer of the modern client; client.c makes and ends it, the files of streams work on it.
 *
 * Locks. lipc_stream.lock guards one stream's cursor and copies; lipc_client.lock the client's requests that wait, its
 * watches and its streams' claims; lipc_client.await_lock the list of the streams that are awaited. Whoever takes several takes
 * await_lock first and the client's last. Nobody sleeps with one.
 *
 * Life. A stream holds its client: the mapping and the memory go with the last handle. A client that was closed, has
 * lost its host or its record is "lost": from then on nothing is written into the segment in its name, because the
 * places that were its own may be somebody else's.
 *
 * Sleeping. Always on the client's own bell in the segment. The host rings it; so do, for this process alone, the watch
 * when the host has died, lipc_client_interrupt, and lipc_client_close.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include "start_host.h"

#include "../channel/hub.h"
#include "../channel/names.h"
#include "../platform/platform.h"

#include <pthread.h>
#include <stdbool.h>

struct lipc_client {
    char name[LIPC_NAME_MAX + 1];
    int opener_pid;            /* of the process that the handle belongs to */
    plat_segment *segment;
    hub_view view;
    int host_pid;
    bool has_sums;             /* the host shows a sum of each answer's text */
    bool has_token_sums;       /* and of its token records */
    bool can_load;             /* the host can change its model */
    bool has_operations;       /* ... and is asked by LIPC_OPERATION_LOAD */
    bool has_states;           /* it saves and restores what it remembers */
    bool has_documents;        /* the host takes documents, and shows what requests become */
    bool has_parameters;       /* the host takes parameters by name */
    uint32_t index;            /* of the client's record */
    uint64_t claim;            /* what that record holds as long as it is the client's own */
    plat_process_watch *watch;
    bool is_unwatched;         /* the system cannot watch a process: looked at after short slices */
    uint64_t frame_ns;         /* pacing: one second by wakes_per_second; 0: none */
    started_host *started;     /* NULL: the host was there already */

    bool is_host_dead;         /* atomic: the watch says so */
    bool is_closed;            /* atomic */
    uint32_t interrupts;       /* atomic: counts them */
    uint32_t next_turn;        /* atomic: where lipc_stream_wait_any looks first */
    uint64_t frame_due_ns;     /* atomic: pacing: when those who wait look for text again, all at the same time */
    bool has_waiting;          /* atomic: first_waiting is not NULL; written under the lock */

    pthread_mutex_t lock;      /* guards what follows, and what lipc_stream says */
    unsigned n_references;     /* the handle, each stream */
    lipc_stream *first_waiting, *last_waiting; /* requests that no stream was free for, in order */
    bool has_reservation;             /* the record's reservation is ours to ask after */
    uint16_t n_watching[LIPC_STREAMS_MAX]; /* handles that watch a stream: the last one unwatches */

    pthread_mutex_t await_lock; /* guards what follows, and what lipc_stream says */
    lipc_stream *first_awaited, *last_awaited; /* for lipc_client_wait_any, those that joined last at the end */
};

static inline lipc_client_record *client_record_of(const lipc_client *client) {
    return hub_client(&client->view, client->index);
}
static inline plat_doorbell *client_bell(const lipc_client *client) {
    return hub_bell(&client_record_of(client)->bell);
}

/* Whether the client has no place in a living host any more. One look at memory. */
bool client_is_lost(const lipc_client *client);

/* Records why, and returns HOST_GONE. */
int client_fail_lost(lipc_client *client);

/* Whether this is the process that opened it: a child after fork() may only free memory. */
bool client_is_own(const lipc_client *client);

void client_ring_host(lipc_client *client);

/* The process watch's callback; `user_data` is the client. */
void client_on_host_death(void *user_data, uint32_t tag);

/* Ends the watch and unmaps the segment. */
void client_close_segment(lipc_client *client);

/* References. The _locked ones are under the lock; the last reference goes without it. */
void client_hold_locked(lipc_client *client);
void client_let_go_locked(lipc_client *client);
void client_let_go(lipc_client *client);

/* One call's waiting. Between two sleeps the caller arms, looks, and goes on to sleep if there was nothing:
 *
 *     client_wait wait = client_wait_begin(client, timeout_ms);
 *     for (;;) {
 *         uint32_t seen = client_wait_arm(&wait, PLAT_BELL_ALL);
 *         if (...) return ...;
 *         if ((result = client_wait_sleep(&wait, seen, PLAT_NEVER)) < 0) return result;
 *     }
 */
typedef struct client_wait {
    lipc_client *client;
    uint64_t deadline_ns;
    uint32_t interrupts;
} client_wait;

client_wait client_wait_begin(lipc_client *client, int timeout_ms);
uint32_t client_wait_arm(const client_wait *wait, uint32_t wanted);
/* Returns OK (look again, not later than `until_ns`), TIMEOUT or CANCELLED. */
int client_wait_sleep(const client_wait *wait, uint32_t seen, uint64_t until_ns);

#endif
