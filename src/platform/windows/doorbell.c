/* doorbell.c - the system's part of a bell: an event.
 *
 * A bell in a segment has the auto-reset event "Local\SEGMENT.bell.OFFSET" (8 hexadecimal digits), made by whoever needs it
 * first. It is set only when somebody sleeps, and stays set until somebody has woken, so a ring between a sleeper's last
 * look at `rings` and its wait is not lost. One process at most sleeps on a bell (the host on its own, a client on its
 * record's), but perhaps several of its threads: one of them, the watchman, waits for the event, and the others for him.
 *
 *     sleeper: (1) lock   (2) rings == seen?   (3) no watchman: waits for the event; else for the watchman (which unlocks)
 *              (4) the watchman wakes all others and goes to (2); so do they
 *     ringer:  (5) rings + 1   (6) sets the event
 *
 * If (5) comes before (2), nobody sleeps. Otherwise (6) ends (3). A watchman who leaves for another reason (his time is over)
 * wakes the others in (4), and one of them takes his place. That he took a ring away from nobody is sure: all who sleep look
 * at `rings` again.
 *
 * A bell elsewhere is this process's own, and has no event: then its threads wait for the address.
 */
#include "internal.h"

#include "../doorbell.h"

#include <stdio.h>
#include <stdlib.h>
#include <synchapi.h>

typedef struct mapping {
    const char *base;
    size_t size_bytes;
    wchar_t object[PLAT_OBJECT_NAME_SIZE];
    struct mapping *next;
} mapping;

/* A bell of a segment, as long as that is mapped. */
typedef struct bell_entry {
    const plat_doorbell *bell;
    HANDLE event;
    SRWLOCK lock;
    CONDITION_VARIABLE changed;
    bool has_watchman;
    unsigned n_users; /* under entries_lock: threads that are in here */
    bool is_unmapped; /* freed by its last user */
    struct bell_entry *next;
} bell_entry;

static SRWLOCK entries_lock = SRWLOCK_INIT; /* guards both lists; nobody waits with it */
static mapping *mappings;
static bell_entry *entries;

void plat_bells_mapped(const void *base, size_t size_bytes, const wchar_t *object) {
    mapping *mapped = malloc(sizeof *mapped);
    if (!mapped) return; /* its bells are not heard then: their sleepers look once a second */
    mapped->base = base;
    mapped->size_bytes = size_bytes;
    wcscpy(mapped->object, object);
    AcquireSRWLockExclusive(&entries_lock);
    mapped->next = mappings;
    mappings = mapped;
    ReleaseSRWLockExclusive(&entries_lock);
}

static void release_entry(bell_entry *entry) {
    CloseHandle(entry->event);
    free(entry);
}

void plat_bells_unmapped(const void *base) {
    AcquireSRWLockExclusive(&entries_lock);
    mapping **at = &mappings;
    while (*at && (*at)->base != base) at = &(*at)->next;
    mapping *gone = *at;
    if (gone) *at = gone->next;
    for (bell_entry **place = &entries; gone && *place;) {
        bell_entry *entry = *place;
        size_t offset = (size_t)((const char *)entry->bell - gone->base);
        if (offset >= gone->size_bytes) {
            place = &entry->next;
            continue;
        }
        *place = entry->next;
        entry->is_unmapped = true;
        if (entry->n_users == 0) release_entry(entry);
    }
    ReleaseSRWLockExclusive(&entries_lock);
    free(gone);
}

static bell_entry *entry_new(const mapping *mapped, const plat_doorbell *bell) {
    wchar_t object[PLAT_OBJECT_NAME_SIZE + 24];
    bell_entry *entry = calloc(1, sizeof *entry);
    if (!entry) return NULL;
    swprintf(object, sizeof object / sizeof object[0], L"%ls.bell.%08x", mapped->object,
             (unsigned)((const char *)bell - mapped->base));
    entry->bell = bell;
    entry->event = CreateEventW(plat_object_security(), FALSE, FALSE, object);
    if (entry->event) return entry;
    free(entry);
    return NULL;
}

/* The entry of a bell in a segment, in use by the caller; NULL: it is elsewhere (*is_own), or there is no memory. */
static bell_entry *entry_enter(const plat_doorbell *bell, bool *is_own) {
    AcquireSRWLockExclusive(&entries_lock);
    bell_entry *entry = entries;
    while (entry && entry->bell != bell) entry = entry->next;
    *is_own = false;
    if (!entry) {
        const mapping *mapped = mappings;
        while (mapped && (size_t)((const char *)bell - mapped->base) >= mapped->size_bytes) mapped = mapped->next;
        *is_own = !mapped;
        entry = mapped ? entry_new(mapped, bell) : NULL;
        if (entry) {
            entry->next = entries;
            entries = entry;
        }
    }
    if (entry) entry->n_users++;
    ReleaseSRWLockExclusive(&entries_lock);
    return entry;
}

static void entry_leave(bell_entry *entry) {
    AcquireSRWLockExclusive(&entries_lock);
    if (--entry->n_users == 0 && entry->is_unmapped) release_entry(entry);
    ReleaseSRWLockExclusive(&entries_lock);
}

void plat_doorbell_wake(plat_doorbell *bell) {
    bool is_own;
    bell_entry *entry = entry_enter(bell, &is_own);
    if (is_own) WakeByAddressAll(&bell->rings);
    if (!entry) return;
    SetEvent(entry->event); /* (6) */
    entry_leave(entry);
}

static DWORD left_ms(uint64_t deadline_ns) {
    uint64_t now_ns = plat_clock_ns();
    if (deadline_ns == PLAT_NEVER) return INFINITE;
    if (deadline_ns <= now_ns) return 0;
    uint64_t left = (deadline_ns - now_ns + 999999) / 1000000;
    return left < INFINITE ? (DWORD)left : INFINITE - 1;
}

static void sleep_on(bell_entry *entry, uint32_t seen, uint64_t deadline_ns) {
    AcquireSRWLockExclusive(&entry->lock);
    while (!plat_doorbell_has_rung(entry->bell, seen) && plat_clock_ns() < deadline_ns) { /* (2) */
        if (entry->has_watchman) {
            SleepConditionVariableSRW(&entry->changed, &entry->lock, left_ms(deadline_ns), 0);
            continue;
        }
        entry->has_watchman = true;
        ReleaseSRWLockExclusive(&entry->lock);
        plat_wait(entry->event, deadline_ns); /* (3) */
        AcquireSRWLockExclusive(&entry->lock);
        entry->has_watchman = false;
        WakeAllConditionVariable(&entry->changed); /* (4) */
    }
    ReleaseSRWLockExclusive(&entry->lock);
}

/* A bell of this process's own. Its deadlines are kept as exactly as the system's clock ticks (15.6 ms). */
static void sleep_on_address(const plat_doorbell *bell, uint32_t seen, uint64_t deadline_ns) {
    WaitOnAddress((volatile void *)&bell->rings, &seen, sizeof seen, left_ms(deadline_ns));
}

void plat_doorbell_wait(plat_doorbell *bell, uint32_t seen, uint64_t deadline_ns) {
    bool is_own;
    bell_entry *entry = entry_enter(bell, &is_own);
    if (entry) {
        sleep_on(entry, seen, deadline_ns);
        entry_leave(entry);
    } else if (is_own) {
        sleep_on_address(bell, seen, deadline_ns);
    } else {
        plat_wait(NULL, plat_deadline_ns(1)); /* no memory, no event: the caller looks again */
    }
}
