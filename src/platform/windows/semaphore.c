/* semaphore.c - the system's named semaphores. Their names end with the last handle; nothing is left behind. */
#include "internal.h"

#include <limits.h>
#include <stdlib.h>
#include <winternl.h>

struct plat_semaphore {
    HANDLE handle;
};

/* What the system tells of a semaphore; its header knows the call but not this. */
typedef struct semaphore_state {
    LONG now, most;
} semaphore_state;
NTSYSAPI NTSTATUS NTAPI NtQuerySemaphore(HANDLE semaphore, int information_class, void *information, ULONG n_bytes,
                                         ULONG *n_returned);

static int keep(HANDLE handle, plat_semaphore **result) {
    *result = NULL;
    if (!handle) return plat_fail_object();
    plat_semaphore *semaphore = malloc(sizeof *semaphore);
    int error = semaphore ? PLAT_OK : plat_fail(PLAT_E_NO_MEMORY);
    if (error == PLAT_OK && !plat_object_is_own(handle)) error = plat_fail(PLAT_E_FOREIGN_USER);
    if (error < 0) {
        free(semaphore);
        CloseHandle(handle);
        return error;
    }
    semaphore->handle = handle;
    *result = semaphore;
    return PLAT_OK;
}

int plat_semaphore_own(const char *name, int most, plat_semaphore **result) {
    wchar_t object[PLAT_OBJECT_NAME_SIZE];
    *result = NULL;
    if (!plat_object_name(name, "", object)) return plat_fail(PLAT_E_SYSTEM);
    return keep(CreateSemaphoreW(plat_object_security(), 0, most, object), result);
}

int plat_semaphore_open(const char *name, plat_semaphore **result) {
    wchar_t object[PLAT_OBJECT_NAME_SIZE];
    *result = NULL;
    if (!plat_object_name(name, "", object)) return plat_fail(PLAT_E_SYSTEM);
    return keep(OpenSemaphoreW(SEMAPHORE_ALL_ACCESS, FALSE, object), result);
}

void plat_semaphore_post(plat_semaphore *semaphore) {
    ReleaseSemaphore(semaphore->handle, 1, NULL); /* fails only when full: then there are permits enough */
}

bool plat_semaphore_try_wait(plat_semaphore *semaphore) {
    return WaitForSingleObject(semaphore->handle, 0) == WAIT_OBJECT_0;
}

int plat_semaphore_wait(plat_semaphore *semaphore, uint64_t deadline_ns) {
    return plat_wait(semaphore->handle, deadline_ns) ? PLAT_OK : PLAT_E_TIMEOUT;
}

int plat_semaphore_value(plat_semaphore *semaphore) {
    semaphore_state state = {0, 0};
    NtQuerySemaphore(semaphore->handle, 0, &state, sizeof state, NULL);
    return (int)state.now;
}

bool plat_semaphore_may_have_waiter(plat_semaphore *semaphore) {
    return plat_semaphore_value(semaphore) == 0; /* more the system does not tell */
}

/* A permit that somebody waits for is his before ReleaseSemaphore returns: it never shows in the count. */
bool plat_semaphore_hand_over(plat_semaphore *semaphore) {
    if (plat_semaphore_value(semaphore) > 0 || !ReleaseSemaphore(semaphore->handle, 1, NULL)) return false;
    return plat_semaphore_value(semaphore) == 0 || !plat_semaphore_try_wait(semaphore);
}

int plat_semaphore_n_asleep(const plat_semaphore *semaphore) {
    (void)semaphore;
    return -1;
}

void plat_semaphore_drain(plat_semaphore *semaphore) {
    /* Bounded by what was there at the start, so that somebody who keeps posting cannot hold us here. */
    for (int value = plat_semaphore_value(semaphore); value > 0 && plat_semaphore_try_wait(semaphore); value--) {
    }
}

void plat_semaphore_remove(plat_semaphore *semaphore) {
    (void)semaphore; /* the name ends with the last handle */
}

void plat_semaphore_close(plat_semaphore *semaphore) {
    if (!semaphore) return;
    CloseHandle(semaphore->handle);
    free(semaphore);
}
