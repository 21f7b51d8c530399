/* housekeeping.c - looking after the named objects of others. Names end with the last handle, so nothing is ever left behind:
 * what is found is in use. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <winternl.h>

NTSYSAPI NTSTATUS NTAPI NtOpenDirectoryObject(HANDLE *directory, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes);
NTSYSAPI NTSTATUS NTAPI NtQueryDirectoryObject(HANDLE directory, void *entries, ULONG n_bytes, BOOLEAN one, BOOLEAN restart,
                                               ULONG *context, ULONG *n_returned);

typedef struct directory_entry {
    UNICODE_STRING name, type;
} directory_entry;

/* Where "Local\" leads to. */
static HANDLE open_session(void) {
    wchar_t path[64];
    DWORD session = 0;
    HANDLE directory = NULL;
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES attributes;
    ProcessIdToSessionId(GetCurrentProcessId(), &session);
    if (session == 0) swprintf(path, 64, L"\\BaseNamedObjects");
    else swprintf(path, 64, L"\\Sessions\\%lu\\BaseNamedObjects", session);
    name = (UNICODE_STRING){(USHORT)(wcslen(path) * sizeof *path), sizeof path, path};
    InitializeObjectAttributes(&attributes, &name, 0, NULL, NULL);
    return NtOpenDirectoryObject(&directory, 1 /* DIRECTORY_QUERY */, &attributes) < 0 ? NULL : directory;
}

static bool is_of_type(const directory_entry *entry, const wchar_t *type) {
    size_t n = wcslen(type);
    return entry->type.Length == n * sizeof *type && wcsncmp(entry->type.Buffer, type, n) == 0;
}

int plat_objects_visit(void (*visit)(void *user_data, const char *name, bool is_semaphore), void *user_data) {
    static const size_t most = 2048;
    HANDLE directory = open_session();
    ULONG context = 0, n_returned;
    directory_entry *entry = malloc(most);
    char name[256];
    if (directory && entry) {
        for (BOOLEAN restart = TRUE;; restart = FALSE) {
            if (NtQueryDirectoryObject(directory, entry, (ULONG)most, TRUE, restart, &context, &n_returned) != 0) break;
            bool is_semaphore = is_of_type(entry, L"Semaphore");
            int n = entry->name.Length / (int)sizeof(wchar_t);
            if (!is_semaphore && !is_of_type(entry, L"Section")) continue;
            int length = WideCharToMultiByte(CP_UTF8, 0, entry->name.Buffer, n, name + 1, sizeof name - 2, NULL, NULL);
            if (length <= 0) continue;
            name[0] = '/';
            name[1 + length] = 0;
            visit(user_data, name, is_semaphore);
        }
    }
    if (directory) CloseHandle(directory);
    free(entry);
    return directory ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

int plat_object_user_pid(const char *name, bool is_semaphore) {
    (void)name, (void)is_semaphore; /* the system does not tell without rights that a user does not have */
    return 0;
}

/* The system does not show who has an object open: then an answer is made to its end. */
size_t plat_semaphore_users(const plat_semaphore *semaphore, int *pids, size_t n_most) {
    (void)semaphore, (void)pids, (void)n_most;
    return 0;
}

bool plat_semaphore_is_used_by(const plat_semaphore *semaphore, int pid) {
    (void)semaphore, (void)pid;
    return true;
}

bool plat_semaphore_users_all_wait(const plat_semaphore *used, const plat_semaphore *awaited) {
    (void)used, (void)awaited;
    return false;
}

int plat_segment_stray_owner(const char *name, bool *is_nameless) {
    (void)name; /* who owns a segment has it open, and with that its name is there */
    *is_nameless = false;
    return 0;
}

int plat_object_discard(const char *name, bool is_semaphore) {
    (void)name, (void)is_semaphore;
    return plat_fail_because(PLAT_E_UNEXPECTED, "somebody still holds it, and its name ends with that");
}

int plat_objects_space(uint64_t *free_bytes, uint64_t *total_bytes) {
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    if (!GlobalMemoryStatusEx(&status)) return plat_fail(PLAT_E_SYSTEM);
    *free_bytes = status.ullAvailPageFile;
    *total_bytes = status.ullTotalPageFile;
    return PLAT_OK;
}
