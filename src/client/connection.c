/* connection.c - see connection.h. */
#include "connection.h"

#include "error.h"

#include <stdlib.h>

/* The longest sleep. Everything that matters rings; this is for a bell that somebody scribbled over. */
#define SLEEP_MOST_MS 1000
/* Where a host cannot be watched (a kernel before 5.3): how soon its death is noticed. */
#define UNWATCHED_SLICE_MS 5

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- whose it is, and whether it lives ----------------------------------------------------------------------------- */

bool client_is_own(const lipc_client *client) {
    return client->opener_pid == plat_process_own_pid();
}

bool client_is_lost(const lipc_client *client) {
    /* The first acquire pairs with the release in client_on_host_death. The claim is another's as soon as a new host has taken
     * the segment over, which may be before the watch has told us of the old one's death. */
    return __atomic_load_n(&client->is_host_dead, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&client->is_closed, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&client_record_of(client)->claim, __ATOMIC_ACQUIRE) != client->claim;
}

int client_fail_lost(lipc_client *client) {
    if (__atomic_load_n(&client->is_closed, __ATOMIC_ACQUIRE))
        return lipc_fail(LIPC_E_HOST_GONE, "the client of this stream was closed");
    return lipc_fail(LIPC_E_HOST_GONE, "the host of '%s', process %d, ended or was killed; open a new client",
                     client->name, client->host_pid);
}

/* In the watch's thread. The flag before the ring: who sleeps has looked at the flag after arming. The record is left to
 * the next host at once: it keeps records, and would go on with our answers although nobody will read them here. */
void client_on_host_death(void *user_data, uint32_t tag) {
    (void)tag;
    lipc_client *client = user_data;
    __atomic_store_n(&client->is_host_dead, true, __ATOMIC_RELEASE);
    hub_client_leave(&client->view, client->index, client->claim);
    client_ring_host(client);
    plat_doorbell_ring(client_bell(client), PLAT_BELL_ALL);
}

void client_ring_host(lipc_client *client) {
    plat_doorbell_ring(hub_bell(&hub_of(&client->view)->bell), PLAT_BELL_ALL);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------- */

client_wait client_wait_begin(lipc_client *client, int timeout_ms) {
    /* The interrupts are counted from here on: one that comes before the first sleep ends it, too. */
    return (client_wait){client, timeout_ms == 0 ? 0 : plat_deadline_ns(timeout_ms),
                         __atomic_load_n(&client->interrupts, __ATOMIC_ACQUIRE)};
}

uint32_t client_wait_arm(const client_wait *wait, uint32_t wanted) {
    return plat_doorbell_arm(client_bell(wait->client), wanted);
}

int client_wait_sleep(const client_wait *wait, uint32_t seen, uint64_t until_ns) {
    lipc_client *client = wait->client;
    if (__atomic_load_n(&client->interrupts, __ATOMIC_ACQUIRE) != wait->interrupts)
        return lipc_fail(LIPC_E_CANCELLED, "interrupted by lipc_client_interrupt");
    if (wait->deadline_ns == 0 || plat_clock_ns() >= wait->deadline_ns)
        return lipc_fail(LIPC_E_TIMEOUT, "the time-out passed");
    int slice_ms = client->is_unwatched ? UNWATCHED_SLICE_MS : SLEEP_MOST_MS;
    plat_doorbell_wait(client_bell(client), seen,
                       earlier(earlier(until_ns, wait->deadline_ns), plat_deadline_ns(slice_ms)));
    if (client->is_unwatched && plat_segment_owner_pid(client->segment) != client->host_pid) client_on_host_death(client, 0);
    return LIPC_E_OK;
}

void lipc_client_interrupt(lipc_client *client) {
    if (!client) return;
    __atomic_fetch_add(&client->interrupts, 1, __ATOMIC_RELEASE);
    plat_doorbell_ring(client_bell(client), PLAT_BELL_ALL);
}

/* ---- references ---------------------------------------------------------------------------------------------------- */

void client_close_segment(lipc_client *client) {
    plat_process_watch_close(client->watch); /* first: it may be about to ring */
    plat_segment_close(client->segment);
    client->watch = NULL;
    client->segment = NULL;
}

void client_hold_locked(lipc_client *client) {
    client->n_references++;
}

void client_let_go_locked(lipc_client *client) {
    client->n_references--;
}

static void destroy(lipc_client *client) {
    client_close_segment(client);
    pthread_mutex_destroy(&client->await_lock);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

void client_let_go(lipc_client *client) {
    if (!client_is_own(client)) { /* a child after fork(): alone, and the lock may be held for good */
        if (--client->n_references == 0) destroy(client);
        return;
    }
    pthread_mutex_lock(&client->lock);
    bool is_last = --client->n_references == 0;
    pthread_mutex_unlock(&client->lock);
    if (is_last) destroy(client);
}
