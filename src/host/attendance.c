/* attendance.c - see attendance.h. */
#include "attendance.h"

#include "log.h"

#include "../platform/step.h"

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
    int has_died;   /* atomic: set by the watch's thread */
} entry;

struct attendance {
    hub_view view;
    plat_process_watch *watch;
    plat_doorbell *host_bell;
    entry entries[LIPC_CLIENTS_MAX];
};

/* A claim's holder, without the step it is at. */
static uint64_t holder_of(uint64_t claim) {
    return client_claim(LIPC_CLIENT_ATTACHED, client_claim_generation(claim), client_claim_pid(claim));
}

static uint64_t claim_now(const attendance *attendance, uint32_t client) {
    return __atomic_load_n(&hub_client(&attendance->view, client)->claim, __ATOMIC_ACQUIRE);
}

static uint64_t claim_of_nobody(uint64_t claim) {
    return client_claim(LIPC_CLIENT_FREE, client_claim_generation(claim), 0);
}

/* What a record holds when it has been freed. */
static uint64_t claim_of_next(uint64_t claim) {
    return client_claim(LIPC_CLIENT_FREE, client_claim_generation(claim) + 1, 0);
}

static void on_death(void *user_data, uint32_t client) {
    attendance *attendance = user_data;
    /* release: pairs with the acquire in attendance_has_died. */
    __atomic_store_n(&attendance->entries[client].has_died, 1, __ATOMIC_RELEASE);
    plat_doorbell_ring(attendance->host_bell, PLAT_BELL_ALL);
}

attendance *attendance_open(const hub_view *view, plat_doorbell *host_bell) {
    attendance *attendance = calloc(1, sizeof *attendance);
    if (!attendance) return NULL;
    attendance->view = *view;
    attendance->host_bell = host_bell;
    /* The one time that the segment is believed: a host that begins knows no better. */
    for (uint32_t i = 0; i < view->at.n_clients; i++)
        attendance->entries[i].claim = claim_of_nobody(claim_now(attendance, i));
    if (plat_process_watch_open(on_death, attendance, &attendance->watch) == PLAT_OK) return attendance;
    free(attendance);
    return NULL;
}

void attendance_close(attendance *attendance) {
    if (!attendance) return;
    plat_process_watch_close(attendance->watch);
    free(attendance);
}

/* Watches a record's holder. Where the system refuses that, for want of a descriptor, the holder is served all the same
 * and the next look tries again, which also finds out whether it still lives. */
static void watch_holder(attendance *attendance, uint32_t client, uint64_t claim) {
    entry *entry = &attendance->entries[client];
    lipc_client_record *record = hub_client(&attendance->view, client);
    bool is_attaching = client_claim_phase(claim) == LIPC_CLIENT_ATTACHING;
    /* A client that is still attaching has not written it yet: then whoever has its pid now. */
    uint64_t start_time = is_attaching ? 0 : __atomic_load_n(&record->start_time, __ATOMIC_RELAXED);
    uint32_t pid = client_claim_pid(claim);
    int error = pid <= INT32_MAX ? plat_process_watch_add(attendance->watch, (int)pid, start_time, client)
                                 : PLAT_E_NOT_FOUND;
    bool was_unwatched = entry->is_unwatched;
    entry->is_gone = error == PLAT_E_NOT_FOUND;
    entry->is_unwatched = error < 0 && !entry->is_gone;
    if (entry->is_unwatched && !was_unwatched)
        log_line(LOG_LEVEL_WARN, "client %u, process %u, cannot be watched (%s): its death is noticed up to a second late",
                 client, pid, plat_os_error());
}

/* Begins to know the holder of a record. */
static void learn(attendance *attendance, uint32_t client, uint64_t claim) {
    entry *entry = &attendance->entries[client];
    *entry = (struct entry){.claim = holder_of(claim), .is_known = true};
    if (client_claim_phase(claim) == LIPC_CLIENT_ATTACHING) entry->attaching_until_ns = plat_deadline_ns(ATTACHING_MS);
    watch_holder(attendance, client, claim);
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

static void look_at(attendance *attendance, uint32_t client) {
    entry *entry = &attendance->entries[client];
    uint64_t claim = claim_now(attendance, client);
    if (!entry->is_known) {
        if (claim == entry->claim) return;
        if (may_be_served(entry, claim))
            learn(attendance, client, claim);
        else
            entry->is_known = entry->is_gone = true;
    } else if (entry->is_unwatched) {
        watch_holder(attendance, client, claim);
    }
    if (!has_record(entry, claim) || attendance_has_died(attendance, client)) entry->is_gone = true;
}

void attendance_look(attendance *attendance) {
    for (uint32_t i = 0; i < attendance->view.at.n_clients; i++) look_at(attendance, i);
}

bool attendance_is_present(const attendance *attendance, uint32_t client) {
    if (client >= attendance->view.at.n_clients || attendance->entries[client].is_gone) return false;
    /* One that came after the last look is present too. */
    uint32_t phase = client_claim_phase(claim_now(attendance, client));
    return phase == LIPC_CLIENT_ATTACHING || phase == LIPC_CLIENT_ATTACHED;
}

bool attendance_has_died(const attendance *attendance, uint32_t client) {
    return client < attendance->view.at.n_clients &&
           __atomic_load_n(&attendance->entries[client].has_died, __ATOMIC_ACQUIRE) != 0;
}

void attendance_dismiss(attendance *attendance, void (*on_gone)(void *user_data, uint32_t client), void *user_data) {
    uint32_t n_attached = 0;
    for (uint32_t i = 0; i < attendance->view.at.n_clients; i++) {
        entry *entry = &attendance->entries[i];
        n_attached += entry->is_known && !entry->is_gone;
        if (!entry->is_gone) continue;
        plat_process_watch_remove(attendance->watch, i);
        on_gone(user_data, i);
        hub_client_free(&attendance->view, i, entry->claim);
        *entry = (struct entry){.claim = claim_of_next(entry->claim)};
    }
    __atomic_store_n(&hub_of(&attendance->view)->n_attached, n_attached, __ATOMIC_RELAXED);
    STEP("attendance.dismiss.n_attached");
}

void attendance_ring(attendance *attendance, uint32_t client, uint32_t about) {
    if (client < attendance->view.at.n_clients)
        plat_doorbell_ring(hub_bell(&hub_client(&attendance->view, client)->bell), about);
}

void attendance_ring_all(attendance *attendance, uint32_t about) {
    for (uint32_t i = 0; i < attendance->view.at.n_clients; i++)
        if (client_claim_phase(claim_now(attendance, i)) == LIPC_CLIENT_ATTACHED) attendance_ring(attendance, i, about);
}
