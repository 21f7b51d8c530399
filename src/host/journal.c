/* journal.c - see journal.h. No system calls. */
#include "journal.h"

#include "../platform/failpoint.h"

#include <stdio.h>

journal_entry *journal_entry_of(journal *journal, uint32_t index, uint32_t generation) {
    journal_entry *entry = &journal->entries[index];
    if (entry->generation != generation) {
        *entry = (journal_entry){.generation = entry->generation};
        FAILPOINT("journal.entry.forgotten");
        /* release: last, so that a worker that dies here leaves no request with the guilt of the one before. */
        __atomic_store_n(&entry->generation, generation, __ATOMIC_RELEASE);
        FAILPOINT("journal.entry.generation");
    }
    return entry;
}

const char *journal_model(const journal *journal) {
    uint32_t model = __atomic_load_n(&journal->model, __ATOMIC_ACQUIRE);
    return model == 0 ? NULL : journal->models[model - 1];
}

void journal_set_model(journal *journal, const char *path) {
    uint32_t place = journal->model == 1 ? 1 : 0;
    snprintf(journal->models[place], sizeof journal->models[place], "%s", path);
    FAILPOINT("journal.model.path");
    /* release: the path stands. */
    __atomic_store_n(&journal->model, place + 1, __ATOMIC_RELEASE);
    FAILPOINT("journal.model.chosen");
}

void journal_entry_begin(journal_entry *entry) {
    entry->is_at_work = true;
    FAILPOINT("journal.begin.at_work");
}

void journal_entry_pause(journal_entry *entry) {
    entry->is_at_work = false;
    FAILPOINT("journal.pause.at_work");
}

void journal_entry_end(journal_entry *entry) {
    entry->is_at_work = entry->is_quarantined = false;
    FAILPOINT("journal.end.at_work");
}

void journal_progress(journal *journal, journal_entry *entry) {
    entry->is_quarantined = false;
    FAILPOINT("journal.progress.quarantine");
    entry->n_crashes = 0;
    FAILPOINT("journal.progress.n_crashes");
    journal->n_fruitless = 0;
    FAILPOINT("journal.progress.fruitless");
}

static journal_entry *note_at(journal *journal, uint32_t i) {
    return i < LIPC_STREAMS_MAX ? &journal->entries[i] : &journal->classic_entry;
}

static unsigned count_at_work(journal *journal) {
    unsigned n = 0;
    for (uint32_t i = 0; i <= LIPC_STREAMS_MAX; i++) n += note_at(journal, i)->is_at_work;
    return n;
}

static bool has_quarantined_at_work(journal *journal) {
    for (uint32_t i = 0; i <= LIPC_STREAMS_MAX; i++)
        if (note_at(journal, i)->is_at_work && note_at(journal, i)->is_quarantined) return true;
    return false;
}

void journal_blame(journal *journal, int death, bool is_crash) {
    journal->last_death = death;
    journal->n_unready = journal->is_ready ? 0 : journal->n_unready + 1;
    journal->is_ready = false;
    if (++journal->n_fruitless >= JOURNAL_FRUITLESS_MOST) is_crash = true;
    bool is_tried = has_quarantined_at_work(journal), is_alone = count_at_work(journal) == 1;
    for (uint32_t i = 0; i <= LIPC_STREAMS_MAX; i++) {
        journal_entry *entry = note_at(journal, i);
        if (!entry->is_at_work) continue;
        entry->is_at_work = false;
        if (!is_crash) continue;
        if (entry->n_crashes < JOURNAL_CRASHES_MOST) entry->n_crashes++;
        if (is_alone && entry->n_alone < JOURNAL_CRASHES_MOST) entry->n_alone++;
        bool is_often = entry->n_crashes == JOURNAL_CRASHES_MOST || entry->n_alone == JOURNAL_CRASHES_MOST;
        if (is_often || (is_tried && entry->is_quarantined)) entry->is_rejected = true;
        if (!is_tried) entry->is_quarantined = true;
    }
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

int32_t journal_device_layers_most(const journal *journal) {
    return journal->devices.is_limited ? journal->devices.most : -1;
}

void journal_devices_forgive(journal *journal) {
    journal->devices.is_limited = journal->devices.is_suspected = false;
    journal->devices.n_deaths = 0;
}

static void limit_devices(device_record *devices, int32_t most, bool is_suspected) {
    devices->is_limited = true;
    devices->most = most;
    devices->is_suspected = is_suspected;
    devices->n_deaths = 0;
}

bool journal_blame_devices(journal *journal, bool is_crash) {
    device_record *devices = &journal->devices;
    int32_t n_layers = devices->n_layers;
    bool has_failed = devices->has_failed;
    devices->n_layers = 0;
    devices->has_failed = false;
    if (journal->n_fruitless == 0) { /* a token was made since the last death */
        devices->n_deaths = 0;
        devices->is_suspected = false;
    }
    if (has_failed) {
        limit_devices(devices, devices->is_limited ? 0 : n_layers / 2, false);
        return true;
    }
    if (n_layers == 0 && is_crash && devices->is_suspected) journal_devices_forgive(journal);
    bool is_starved = !journal->is_ready && journal->n_unready + 1 >= JOURNAL_DEVICE_UNREADY;
    if (n_layers == 0 || !(is_crash || is_starved)) return false;
    if (is_crash && ++devices->n_deaths < JOURNAL_DEVICE_DEATHS) return false;
    limit_devices(devices, 0, true);
    return true;
}
