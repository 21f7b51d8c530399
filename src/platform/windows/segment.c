/* segment.c - shared memory with one owner.
 *
 * Beside the segment "Local\X" lies a small section "Local\X.owner" that says whose it is. A process is named there by its
 * pid and the low half of the moment it began, so that a pid that was given away again is nobody; whether it lives, the
 * system says. Clients can only read it.
 *
 * Word      written by               when the writer dies right after
 * owner     CAS by who wants to own  it names a dead process: the next one takes it over
 * worker    CAS by the worker        the same; whoever takes over waits until that process is gone
 * removed   owner or its worker: 1;  1: the name counts as gone, although somebody may still hold the object.
 *           the next owner: 0        0: the segment is whole, for that comes before
 *
 * Unlike a file, a section lives only as long as somebody holds it: owner, worker, clients. So what a killed owner leaves is
 * there for its successor if a client is still attached, and is gone otherwise. Nor can a section grow, or its name be taken
 * away: where clients hold one that is too short, nobody can own the name until they let go.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define OWNER_SUFFIX ".owner"

typedef struct ownership {
    uint64_t owner, worker; /* atomic: pid << 32 | low half of its start time; 0: nobody */
    uint32_t removed;       /* atomic */
} ownership;

struct plat_segment {
    HANDLE section, ownership_section;
    ownership *ownership;
    bool can_remove; /* owner or worker: `ownership` may be written */
    uint64_t claim;  /* of the owner; 0 in all others */
    void *base;
    size_t size_bytes;
    wchar_t object[PLAT_OBJECT_NAME_SIZE], ownership_object[PLAT_OBJECT_NAME_SIZE];
};

/* How long a killed worker, or an owner that has removed the name, may take to be gone: memory is given back first. */
#define GONE_MS 10000

/* ---- who is named -------------------------------------------------------------------------------------------------- */

static uint64_t own_claim(void) {
    return (uint64_t)GetCurrentProcessId() << 32 | (uint32_t)plat_process_began(GetCurrentProcess());
}

/* The process that a word names, if it lives; else NULL. *is_hidden: it lives, but cannot be waited for. */
static HANDLE open_claimant(uint64_t claim, bool *is_hidden) {
    *is_hidden = false;
    if (claim == 0) return NULL;
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, (DWORD)(claim >> 32));
    if (!process) {
        *is_hidden = GetLastError() == ERROR_ACCESS_DENIED;
        return NULL;
    }
    uint64_t began = plat_process_began(process);
    if ((uint32_t)began == (uint32_t)claim && WaitForSingleObject(process, 0) == WAIT_TIMEOUT) return process;
    CloseHandle(process);
    return NULL;
}

static int live_pid(uint64_t claim) {
    bool is_hidden;
    HANDLE process = open_claimant(claim, &is_hidden);
    if (process) CloseHandle(process);
    return process || is_hidden ? (int)(claim >> 32) : 0;
}

/* Waits until whom the word names is gone; false if it is still there then. */
static bool outlive(const uint64_t *word, uint64_t deadline_ns) {
    bool is_hidden;
    HANDLE process = open_claimant(__atomic_load_n(word, __ATOMIC_ACQUIRE), &is_hidden);
    bool is_gone = !is_hidden && (!process || plat_wait(process, deadline_ns));
    if (process) CloseHandle(process);
    return is_gone;
}

/* Puts this process into a word that names nobody who lives. OWNED with *pid: somebody does; with 0: another was faster. */
static int claim_word(uint64_t *word, int *pid) {
    uint64_t found = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    *pid = live_pid(found);
    if (*pid == 0 && __atomic_compare_exchange_n(word, &found, own_claim(), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return PLAT_OK;
    return plat_fail_because(PLAT_E_OWNED, "a running process owns it");
}

/* ---- mapping ------------------------------------------------------------------------------------------------------- */

static plat_segment *segment_new(const char *name, int *error) {
    plat_segment *segment = calloc(1, sizeof *segment);
    *error = PLAT_E_NO_MEMORY;
    if (!segment) return NULL;
    *error = PLAT_OK;
    if (plat_object_name(name, "", segment->object) && plat_object_name(name, OWNER_SUFFIX, segment->ownership_object))
        return segment;
    *error = plat_fail(PLAT_E_SYSTEM);
    free(segment);
    return NULL;
}

static int map(plat_segment *segment, size_t size_bytes, DWORD access) {
    MEMORY_BASIC_INFORMATION region;
    segment->base = MapViewOfFile(segment->section, access, 0, 0, 0);
    if (!segment->base) return plat_fail_object();
    VirtualQuery(segment->base, &region, sizeof region);
    segment->size_bytes = region.RegionSize;
    /* A look beyond the object's end would fault. */
    if (segment->size_bytes < size_bytes)
        return plat_fail_because(PLAT_E_UNEXPECTED, "it is too short, and programs that were attached to an earlier host "
                                                    "still hold it: close them");
    if (access != FILE_MAP_READ) plat_bells_mapped(segment->base, segment->size_bytes, segment->object);
    return PLAT_OK;
}

static int map_ownership(plat_segment *segment, DWORD access) {
    if (!plat_object_is_own(segment->ownership_section)) return plat_fail(PLAT_E_FOREIGN_USER);
    segment->ownership = MapViewOfFile(segment->ownership_section, access, 0, 0, sizeof *segment->ownership);
    return segment->ownership ? PLAT_OK : plat_fail_object();
}

static int open_ownership(plat_segment *segment, DWORD access) {
    segment->ownership_section = OpenFileMappingW(access | READ_CONTROL, FALSE, segment->ownership_object);
    return segment->ownership_section ? map_ownership(segment, access) : plat_fail_object();
}

static int open_section(plat_segment *segment, size_t size_bytes, DWORD access) {
    segment->section = OpenFileMappingW(access | READ_CONTROL, FALSE, segment->object);
    if (!segment->section) return plat_fail_object();
    if (!plat_object_is_own(segment->section)) return plat_fail(PLAT_E_FOREIGN_USER);
    return map(segment, size_bytes, access);
}

/* ---- owning -------------------------------------------------------------------------------------------------------- */

/* Becomes the owner by `ownership`, when the last owner's worker is gone, too. */
static int claim(plat_segment *segment, int patience_ms, int *owner_pid) {
    ownership *ownership = segment->ownership;
    uint64_t deadline_ns = plat_deadline_ns(patience_ms);
    /* One that has removed the name is on its way out. */
    if (__atomic_load_n(&ownership->removed, __ATOMIC_ACQUIRE)) outlive(&ownership->owner, deadline_ns);
    int error;
    do {
        error = claim_word(&ownership->owner, owner_pid);
    } while (error == PLAT_E_OWNED && *owner_pid == 0);
    if (error < 0) return error;
    segment->claim = own_claim();
    segment->can_remove = true;
    if (outlive(&ownership->worker, deadline_ns)) return PLAT_OK;
    *owner_pid = (int)(__atomic_load_n(&ownership->worker, __ATOMIC_RELAXED) >> 32);
    return plat_fail_because(PLAT_E_OWNED, "a worker of its last owner is still alive");
}

static int own(plat_segment *segment, size_t size_bytes, bool *adopted, int *owner_pid) {
    SECURITY_ATTRIBUTES *security = plat_object_security();
    segment->ownership_section = CreateFileMappingW(INVALID_HANDLE_VALUE, security, PAGE_READWRITE, 0,
                                                    sizeof *segment->ownership, segment->ownership_object);
    if (!segment->ownership_section) return plat_fail_object();
    int error = map_ownership(segment, FILE_MAP_ALL_ACCESS);
    if (error == PLAT_OK) error = claim(segment, GONE_MS, owner_pid);
    if (error < 0) return error;
    /* Whole at once: zeroed, its memory promised by the system. */
    segment->section = CreateFileMappingW(INVALID_HANDLE_VALUE, security, PAGE_READWRITE | SEC_COMMIT,
                                          (DWORD)((uint64_t)size_bytes >> 32), (DWORD)size_bytes, segment->object);
    if (!segment->section) return plat_fail_object();
    *adopted = GetLastError() == ERROR_ALREADY_EXISTS;
    if (!plat_object_is_own(segment->section)) return plat_fail(PLAT_E_FOREIGN_USER);
    error = map(segment, size_bytes, FILE_MAP_ALL_ACCESS);
    /* release: whoever sees the name there finds all of it */
    if (error == PLAT_OK) __atomic_store_n(&segment->ownership->removed, 0, __ATOMIC_RELEASE);
    return error;
}

int plat_segment_own(const char *name, size_t size_bytes, plat_segment **result, bool *adopted, int *owner_pid) {
    int error;
    *result = NULL;
    *adopted = false;
    *owner_pid = 0;
    plat_segment *segment = segment_new(name, &error);
    if (segment) error = own(segment, size_bytes, adopted, owner_pid);
    if (error < 0) plat_segment_close(segment);
    else *result = segment;
    return error;
}

int plat_segment_take(const char *name, plat_segment **result, int *owner_pid) {
    int error;
    *result = NULL;
    *owner_pid = 0;
    plat_segment *segment = segment_new(name, &error);
    if (segment) error = open_ownership(segment, FILE_MAP_ALL_ACCESS);
    if (segment && error == PLAT_OK) error = claim(segment, 0, owner_pid);
    if (segment && error == PLAT_OK) error = open_section(segment, 0, FILE_MAP_ALL_ACCESS);
    if (error < 0) plat_segment_close(segment);
    else *result = segment;
    return error;
}

int plat_segment_work(plat_segment *segment) {
    int pid, error;
    UnmapViewOfFile(segment->ownership);
    CloseHandle(segment->ownership_section);
    segment->ownership = NULL;
    error = open_ownership(segment, FILE_MAP_ALL_ACCESS);
    if (error == PLAT_OK) error = claim_word(&segment->ownership->worker, &pid);
    segment->can_remove = error == PLAT_OK;
    return error;
}

/* ---- using --------------------------------------------------------------------------------------------------------- */

static int open_existing(const char *name, size_t size_bytes, DWORD access, plat_segment **result) {
    int error;
    *result = NULL;
    plat_segment *segment = segment_new(name, &error);
    if (segment) error = open_ownership(segment, FILE_MAP_READ);
    if (segment && error == PLAT_OK && !plat_segment_is_current(segment))
        error = plat_fail_because(PLAT_E_NOT_FOUND, "its host has ended");
    if (segment && error == PLAT_OK) error = open_section(segment, size_bytes, access);
    if (error < 0) plat_segment_close(segment);
    else *result = segment;
    return error;
}

int plat_segment_open(const char *name, size_t size_bytes, plat_segment **result) {
    return open_existing(name, size_bytes, FILE_MAP_READ | FILE_MAP_WRITE, result);
}

int plat_segment_look(const char *name, plat_segment **result) {
    return open_existing(name, 0, FILE_MAP_READ, result);
}

void *plat_segment_base(const plat_segment *segment) {
    return segment->base;
}

size_t plat_segment_size(const plat_segment *segment) {
    return segment->size_bytes;
}

int plat_segment_owner_pid(const plat_segment *segment) {
    return live_pid(__atomic_load_n(&segment->ownership->owner, __ATOMIC_ACQUIRE));
}

int plat_segment_worker_pid(const plat_segment *segment) {
    return live_pid(__atomic_load_n(&segment->ownership->worker, __ATOMIC_ACQUIRE));
}

bool plat_segment_is_current(const plat_segment *segment) {
    return __atomic_load_n(&segment->ownership->removed, __ATOMIC_ACQUIRE) == 0;
}

/* Nobody can cut a section off. */
size_t plat_segment_length(const plat_segment *segment) {
    return segment->size_bytes;
}

bool plat_segment_is_whole(const plat_segment *segment) {
    (void)segment;
    return true;
}

int plat_segment_write(plat_segment *segment, size_t offset, const void *bytes, size_t n_bytes) {
    memcpy((char *)segment->base + offset, bytes, n_bytes);
    return PLAT_OK;
}

int plat_segment_mend(plat_segment *segment) {
    (void)segment;
    return PLAT_OK;
}

int plat_segment_is_used_by(const plat_segment *segment, int pid) {
    (void)segment, (void)pid; /* the system does not tell */
    return PLAT_E_SYSTEM;
}

void plat_segment_remove(plat_segment *segment) {
    if (segment->can_remove) __atomic_store_n(&segment->ownership->removed, 1, __ATOMIC_RELEASE);
}

void plat_segment_close(plat_segment *segment) {
    if (!segment) return;
    if (segment->base) {
        plat_bells_unmapped(segment->base);
        UnmapViewOfFile(segment->base);
    }
    if (segment->section) CloseHandle(segment->section);
    if (segment->claim) {
        uint64_t mine = segment->claim;
        __atomic_compare_exchange_n(&segment->ownership->owner, &mine, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    }
    if (segment->ownership) UnmapViewOfFile(segment->ownership);
    if (segment->ownership_section) CloseHandle(segment->ownership_section);
    free(segment);
}

/* ---- waiting for names --------------------------------------------------------------------------------------------- */

/* The system announces no names: one looks again after so long. */
#define LOOK_AGAIN_MS 5

struct plat_namespace_watch {
    int nothing;
};

int plat_namespace_watch_open(plat_namespace_watch **result) {
    *result = calloc(1, sizeof **result);
    return *result ? PLAT_OK : plat_fail(PLAT_E_NO_MEMORY);
}

int plat_namespace_wait(plat_namespace_watch *watch, uint64_t deadline_ns) {
    (void)watch;
    uint64_t next_ns = plat_deadline_ns(LOOK_AGAIN_MS);
    plat_wait(NULL, next_ns < deadline_ns ? next_ns : deadline_ns);
    return next_ns < deadline_ns ? PLAT_OK : PLAT_E_TIMEOUT;
}

void plat_namespace_watch_close(plat_namespace_watch *watch) {
    free(watch);
}
