/* client_registry.c - see client_registry.h. */
#include "client_registry.h"

#include "log.h"

#include "../platform/failpoint.h"

#include <stdlib.h>

/* For how long a client may be attaching: it has two words to write. One that is stopped meanwhile finds its claim
 * changed and takes another record. */
#define ATTACHING_MS 5000

/* What the host knows of a record. What stands in the segment may be a lie. */
typedef struct entry {
    uint64_t claim; /* of the holder that is watched, its phase being ATTACHED whatever the record's; FREE: of nobody.
                       Its generation is the record's, and never goes back */
    uint64_t attaching_until_ns; /* 0: it has attached */
    bool is_known;
    bool is_gone;
    bool is_unwatched; /* the system would not watch it */
    bool is_stranger_checked;
    int has_died;   /* atomic: set by the watch's thread */
} entry;

struct client_registry {
    hub_view view;
    const plat_segment *segment;
    int host_pid;
    plat_process_watch *watch;
    plat_doorbell *host_bell;
    entry entries[LIPC_CLIENTS_MAX];
};

/* A claim's holder, without the step it is at. */
static uint64_t holder_of(uint64_t claim) {
    return client_claim(LIPC_CLIENT_ATTACHED, client_claim_generation(claim), client_claim_pid(claim));
}

static uint64_t claim_now(const client_registry *registry, uint32_t client) {
    return __atomic_load_n(&hub_client(&registry->view, client)->claim, __ATOMIC_ACQUIRE);
}

static uint64_t claim_of_nobody(uint64_t claim) {
    return client_claim(LIPC_CLIENT_FREE, client_claim_generation(claim), 0);
}

/* What a record holds when it has been freed. */
static uint64_t claim_of_next(uint64_t claim) {
    return client_claim(LIPC_CLIENT_FREE, client_claim_generation(claim) + 1, 0);
}

static void on_death(void *user_data, uint32_t client) {
    client_registry *registry = user_data;
    /* release: pairs with the acquire in client_registry_has_died. */
    __atomic_store_n(&registry->entries[client].has_died, 1, __ATOMIC_RELEASE);
    plat_doorbell_ring(registry->host_bell, PLAT_BELL_ALL);
}

client_registry *client_registry_open(const hub_view *view, const plat_segment *segment, int host_pid,
                                      plat_doorbell *host_bell) {
    client_registry *registry = calloc(1, sizeof *registry);
    if (!registry) return NULL;
    registry->view = *view;
    registry->segment = segment;
    registry->host_pid = host_pid;
    registry->host_bell = host_bell;
    /* The one time that the segment is believed: a host that begins knows no better. */
    for (uint32_t i = 0; i < view->at.n_clients; i++)
        registry->entries[i].claim = claim_of_nobody(claim_now(registry, i));
    if (plat_process_watch_open(on_death, registry, &registry->watch) == PLAT_OK) return registry;
    free(registry);
    return NULL;
}

void client_registry_close(client_registry *registry) {
    if (!registry) return;
    plat_process_watch_close(registry->watch);
    free(registry);
}

/* Watches a record's holder. Where the system refuses that, for want of a descriptor, the holder is served all the same
 * and the next look tries again, which also finds out whether it still lives. */
static void watch_holder(client_registry *registry, uint32_t client, uint64_t claim) {
    entry *entry = &registry->entries[client];
    lipc_client_record *record = hub_client(&registry->view, client);
    bool is_attaching = client_claim_phase(claim) == LIPC_CLIENT_ATTACHING;
    /* A client that is still attaching has not written it yet: then whoever has its pid now. */
    uint64_t start_time = is_attaching ? 0 : __atomic_load_n(&record->start_time, __ATOMIC_RELAXED);
    uint32_t pid = client_claim_pid(claim);
    int error = pid <= INT32_MAX ? plat_process_watch_add(registry->watch, (int)pid, start_time, client)
                                 : PLAT_E_NOT_FOUND;
    bool was_unwatched = entry->is_unwatched;
    entry->is_gone = error == PLAT_E_NOT_FOUND;
    entry->is_unwatched = error < 0 && !entry->is_gone;
    if (entry->is_unwatched && !was_unwatched)
        log_line(LOG_LEVEL_WARN, "client %u, process %u, cannot be watched (%s): its death is noticed up to a second late",
                 client, pid, plat_os_error());
}

/* Whether the holder of an attached record cannot be a client: somebody has claimed the record in the name of a process
 * that has no part in it. Only then nobody would ever free it. */
static bool is_stranger(const client_registry *registry, uint64_t claim) {
    int pid = (int)client_claim_pid(claim);
    return pid == registry->host_pid || pid == plat_process_own_pid() ||
           plat_segment_is_used_by(registry->segment, pid) == PLAT_E_NOT_FOUND;
}

/* Begins to know the holder of a record. */
static void learn(client_registry *registry, uint32_t client, uint64_t claim) {
    entry *entry = &registry->entries[client];
    *entry = (struct entry){.claim = holder_of(claim), .is_known = true};
    if (client_claim_phase(claim) == LIPC_CLIENT_ATTACHING) entry->attaching_until_ns = plat_deadline_ns(ATTACHING_MS);
    watch_holder(registry, client, claim);
}

/* Whether a record that is in nobody's use holds what a client that is served may have written. */
static bool may_be_served(const entry *entry, uint64_t claim) {
    uint32_t phase = client_claim_phase(claim);
    return (phase == LIPC_CLIENT_ATTACHING || phase == LIPC_CLIENT_ATTACHED) &&
           client_claim_generation(claim) == client_claim_generation(entry->claim);
}

/* Whether the holder that is watched still has its record. Another holder than that, or a step back, only a client that
 * breaks the rules writes: whoever is hit loses the record. */
static bool has_record(entry *entry, uint64_t claim) {
    uint32_t phase = client_claim_phase(claim);
    if (holder_of(claim) != entry->claim) return false;
    if (phase == LIPC_CLIENT_ATTACHING) return plat_clock_ns() < entry->attaching_until_ns;
    entry->attaching_until_ns = 0;
    return phase == LIPC_CLIENT_ATTACHED;
}

static void look_at(client_registry *registry, uint32_t client) {
    entry *entry = &registry->entries[client];
    uint64_t claim = claim_now(registry, client);
    if (!entry->is_known) {
        if (claim == entry->claim) return;
        if (may_be_served(entry, claim))
            learn(registry, client, claim);
        else
            entry->is_known = entry->is_gone = true;
    } else if (entry->is_unwatched) {
        watch_holder(registry, client, claim);
    }
    if (!has_record(entry, claim) || client_registry_has_died(registry, client)) entry->is_gone = true;
    if (entry->is_gone || entry->is_stranger_checked || entry->attaching_until_ns != 0) return;
    entry->is_stranger_checked = true; /* once: it looks at all that the process has mapped */
    if (!is_stranger(registry, claim)) return;
    entry->is_gone = true;
    log_line(LOG_LEVEL_WARN, "client record %u was claimed in the name of process %u, which has no part in it: it is freed",
             client, client_claim_pid(claim));
}

void client_registry_scan(client_registry *registry) {
    for (uint32_t i = 0; i < registry->view.at.n_clients; i++) look_at(registry, i);
}

bool client_registry_is_present(const client_registry *registry, uint32_t client) {
    if (client >= registry->view.at.n_clients || registry->entries[client].is_gone) return false;
    /* One that came after the last look is present too. */
    uint32_t phase = client_claim_phase(claim_now(registry, client));
    return phase == LIPC_CLIENT_ATTACHING || phase == LIPC_CLIENT_ATTACHED;
}

bool client_registry_has_died(const client_registry *registry, uint32_t client) {
    return client < registry->view.at.n_clients &&
           __atomic_load_n(&registry->entries[client].has_died, __ATOMIC_ACQUIRE) != 0;
}

void client_registry_dismiss(client_registry *registry, void (*on_gone)(void *user_data, uint32_t client), void *user_data) {
    uint32_t n_attached = 0;
    for (uint32_t i = 0; i < registry->view.at.n_clients; i++) {
        entry *entry = &registry->entries[i];
        n_attached += entry->is_known && !entry->is_gone;
        if (!entry->is_gone) continue;
        plat_process_watch_remove(registry->watch, i);
        on_gone(user_data, i);
        hub_client_free(&registry->view, i, entry->claim);
        *entry = (struct entry){.claim = claim_of_next(entry->claim)};
    }
    __atomic_store_n(&hub_of(&registry->view)->n_attached, n_attached, __ATOMIC_RELAXED);
    FAILPOINT("client_registry.dismiss.n_attached");
}

void client_registry_ring(client_registry *registry, uint32_t client, uint32_t about) {
    if (client < registry->view.at.n_clients)
        plat_doorbell_ring(hub_bell(&hub_client(&registry->view, client)->bell), about);
}

void client_registry_ring_all(client_registry *registry, uint32_t about) {
    for (uint32_t i = 0; i < registry->view.at.n_clients; i++)
        if (client_claim_phase(claim_now(registry, i)) == LIPC_CLIENT_ATTACHED) client_registry_ring(registry, i, about);
}
