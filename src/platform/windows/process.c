/* process.c - other processes' identity and death, the machine's cores and memory, chance. */
#include "internal.h"

#include <bcrypt.h>
#include <stdlib.h>
#include <string.h>
#include <tlhelp32.h>

int plat_process_own_pid(void) {
    return (int)GetCurrentProcessId();
}

size_t plat_process_name(int pid, char *name, size_t size_bytes) {
    wchar_t path[1024];
    DWORD length = sizeof path / sizeof path[0];
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)pid);
    char narrow[3 * sizeof path / sizeof path[0]];
    bool is_known = process && QueryFullProcessImageNameW(process, 0, path, &length);
    if (process) CloseHandle(process);
    if (!is_known || !plat_narrow(path, narrow, sizeof narrow)) return 0;
    const char *slash = strrchr(narrow, '\\'), *last = slash ? slash + 1 : narrow;
    size_t n_bytes = strnlen(last, size_bytes - 1);
    memcpy(name, last, n_bytes);
    name[n_bytes] = 0;
    return n_bytes;
}

uint64_t plat_process_began(HANDLE process) {
    FILETIME began, ended, kernel, user;
    if (!GetProcessTimes(process, &began, &ended, &kernel, &user)) return 0;
    return (uint64_t)began.dwHighDateTime << 32 | began.dwLowDateTime;
}

HANDLE plat_process_open(int pid, uint64_t start_time, DWORD rights, int *error) {
    HANDLE process = OpenProcess(rights | PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, (DWORD)pid);
    if (!process) {
        *error = GetLastError() == ERROR_INVALID_PARAMETER ? plat_fail(PLAT_E_NOT_FOUND)
                 : GetLastError() == ERROR_ACCESS_DENIED   ? plat_fail(PLAT_E_FOREIGN_USER)
                                                           : plat_fail(PLAT_E_SYSTEM);
        return NULL;
    }
    /* Somebody's handle keeps a dead process's number: it is there, but signalled. */
    bool is_it = WaitForSingleObject(process, 0) == WAIT_TIMEOUT &&
                 (start_time == 0 || plat_process_began(process) == start_time);
    *error = PLAT_OK;
    if (is_it) return process;
    CloseHandle(process);
    *error = plat_fail_because(PLAT_E_NOT_FOUND, "the process has ended");
    return NULL;
}

int plat_process_start_time(int pid, uint64_t *start_time) {
    int error;
    HANDLE process = plat_process_open(pid, 0, 0, &error);
    if (!process) return error == PLAT_E_NOT_FOUND ? error : PLAT_E_SYSTEM;
    *start_time = plat_process_began(process);
    CloseHandle(process);
    return *start_time ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

/* ---- watching ------------------------------------------------------------------------------------------------------ */

typedef struct watched {
    uint32_t tag;
    bool is_watched;       /* under the lock */
    HANDLE process, wait;
    plat_process_watch *watch;
    struct watched *next;
} watched;

struct plat_process_watch {
    SRWLOCK lock; /* guards the list, and who is called: never held while a callback is waited for */
    watched *first;
    void (*on_death)(void *user_data, uint32_t tag);
    void *user_data;
};

int plat_process_watch_open(void (*on_death)(void *user_data, uint32_t tag), void *user_data,
                            plat_process_watch **result) {
    plat_process_watch *watch = calloc(1, sizeof *watch);
    *result = watch;
    if (!watch) return plat_fail(PLAT_E_NO_MEMORY);
    watch->on_death = on_death;
    watch->user_data = user_data;
    return PLAT_OK;
}

/* In a thread of the system's that waits for many handles. */
static void CALLBACK report_death(void *argument, BOOLEAN is_timeout) {
    watched *entry = argument;
    (void)is_timeout;
    AcquireSRWLockExclusive(&entry->watch->lock);
    bool is_watched = entry->is_watched;
    entry->is_watched = false;
    if (is_watched) entry->watch->on_death(entry->watch->user_data, entry->tag);
    ReleaseSRWLockExclusive(&entry->watch->lock);
}

/* Ends the waiting: when it returns the callback is not running. Without the lock, which the callback takes. */
static void entry_free(watched *entry) {
    if (entry->wait) UnregisterWaitEx(entry->wait, INVALID_HANDLE_VALUE);
    CloseHandle(entry->process);
    free(entry);
}

int plat_process_watch_add(plat_process_watch *watch, int pid, uint64_t start_time, uint32_t tag) {
    int error;
    HANDLE process = plat_process_open(pid, start_time, 0, &error);
    if (!process) return error == PLAT_E_NOT_FOUND ? error : PLAT_E_SYSTEM;
    plat_process_watch_remove(watch, tag); /* one that has died and whose entry is still there */
    watched *entry = calloc(1, sizeof *entry);
    if (!entry) {
        CloseHandle(process);
        return plat_fail(PLAT_E_NO_MEMORY);
    }
    *entry = (watched){.tag = tag, .is_watched = true, .process = process, .watch = watch};
    /* Under the lock, so that a death at this very moment is reported when the entry is in the list. */
    AcquireSRWLockExclusive(&watch->lock);
    BOOL is_waiting = RegisterWaitForSingleObject(&entry->wait, process, report_death, entry, INFINITE,
                                                  WT_EXECUTEONLYONCE | WT_EXECUTEINWAITTHREAD);
    if (is_waiting) {
        entry->next = watch->first;
        watch->first = entry;
    } else {
        error = plat_fail(PLAT_E_SYSTEM);
    }
    ReleaseSRWLockExclusive(&watch->lock);
    if (!is_waiting) entry_free(entry);
    return is_waiting ? PLAT_OK : error;
}

void plat_process_watch_remove(plat_process_watch *watch, uint32_t tag) {
    AcquireSRWLockExclusive(&watch->lock);
    watched **at = &watch->first;
    while (*at && (*at)->tag != tag) at = &(*at)->next;
    watched *entry = *at;
    if (entry) {
        *at = entry->next;
        entry->is_watched = false;
    }
    ReleaseSRWLockExclusive(&watch->lock);
    if (entry) entry_free(entry);
}

void plat_process_watch_close(plat_process_watch *watch) {
    if (!watch) return;
    while (watch->first) plat_process_watch_remove(watch, watch->first->tag);
    free(watch);
}

/* ---- others -------------------------------------------------------------------------------------------------------- */

bool plat_process_is_stopped(int pid) {
    (void)pid; /* a suspended process cannot be told from one that waits */
    return false;
}

int plat_process_kill(int pid, uint64_t start_time) {
    int error;
    HANDLE process = plat_process_open(pid, start_time, PROCESS_TERMINATE, &error);
    if (!process) return error;
    if (!TerminateProcess(process, PLAT_KILLED_CODE)) error = plat_fail(PLAT_E_SYSTEM);
    CloseHandle(process);
    return error;
}

int plat_parent_pid(void) {
    PROCESSENTRY32W entry = {.dwSize = sizeof entry};
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    DWORD own = GetCurrentProcessId(), parent = 0;
    for (BOOL is_there = Process32FirstW(all, &entry); is_there && parent == 0; is_there = Process32NextW(all, &entry))
        if (entry.th32ProcessID == own) parent = entry.th32ParentProcessID;
    CloseHandle(all);
    return (int)parent;
}

/* ---- the machine --------------------------------------------------------------------------------------------------- */

int plat_core_count(void) {
    DWORD n_bytes = 0;
    int n_cores = 0;
    GetLogicalProcessorInformationEx(RelationProcessorCore, NULL, &n_bytes);
    char *found = malloc(n_bytes ? n_bytes : 1);
    if (found && n_bytes &&
        GetLogicalProcessorInformationEx(RelationProcessorCore, (void *)found, &n_bytes)) {
        for (DWORD at = 0; at < n_bytes; n_cores++)
            at += ((SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX *)(void *)(found + at))->Size;
    }
    free(found);
    return n_cores > 0 ? n_cores : 1;
}

static uint64_t nanoseconds_of(FILETIME time) {
    return ((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime) * 100;
}

/* All processors, whatever this process is bound to, and programs of any urgency. */
int plat_load_look(plat_load *load) {
    FILETIME idle, kernel, user, begun, ended, own_kernel, own_user;
    if (!GetSystemTimes(&idle, &kernel, &user) ||
        !GetProcessTimes(GetCurrentProcess(), &begun, &ended, &own_kernel, &own_user)) return plat_fail(PLAT_E_SYSTEM);
    load->n_processors = (int)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    load->busy_ns = nanoseconds_of(kernel) - nanoseconds_of(idle) + nanoseconds_of(user); /* the kernel's has the idle time in it */
    load->own_ns = nanoseconds_of(own_kernel) + nanoseconds_of(own_user);
    return PLAT_OK;
}

uint64_t plat_memory_available_bytes(void) {
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullAvailPhys : 0;
}

void plat_memory_trim(void) {
    HeapCompact(GetProcessHeap(), 0);
}

void plat_random(void *bytes, size_t size_bytes) {
    while (BCryptGenRandom(NULL, bytes, (ULONG)size_bytes, BCRYPT_USE_SYSTEM_PREFERRED_RNG) != 0) Sleep(1);
}
