/* posix.c - see posix.h. */
#include "posix.h"

#include "../../support/harness.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#undef open
#undef close
#include <io.h>

/* ---- names ---- */

static const wchar_t *object_name(const char *name, wchar_t object[256]) {
    static const char folder[] = "/dev/shm/";
    if (strncmp(name, folder, sizeof folder - 1) == 0)
        name += sizeof folder - 2;
    swprintf(object, 256, L"Local\\%hs", name + 1);
    return object;
}

/* ---- semaphores ---- */

struct posix_semaphore {
    HANDLE handle;
};

NTSYSAPI LONG NTAPI NtQuerySemaphore(HANDLE semaphore, int information_class, void *information, ULONG n_bytes, ULONG *n);

sem_t *sem_open(const char *name, int flags, ...) {
    wchar_t object[256];
    HANDLE handle = OpenSemaphoreW(SEMAPHORE_ALL_ACCESS, FALSE, object_name(name, object));
    (void)flags;
    if (!handle) {
        errno = ENOENT;
        return SEM_FAILED;
    }
    sem_t *semaphore = malloc(sizeof *semaphore);
    semaphore->handle = handle;
    return semaphore;
}

int sem_close(sem_t *semaphore) {
    CloseHandle(semaphore->handle);
    free(semaphore);
    return 0;
}

int sem_post(sem_t *semaphore) {
    return ReleaseSemaphore(semaphore->handle, 1, NULL) ? 0 : -1;
}

static int wait_for(const sem_t *semaphore, DWORD timeout_ms) {
    errno = ETIMEDOUT;
    return WaitForSingleObject(semaphore->handle, timeout_ms) == WAIT_OBJECT_0 ? 0 : -1;
}

int sem_trywait(sem_t *semaphore) {
    return wait_for(semaphore, 0);
}

int sem_wait(sem_t *semaphore) {
    return wait_for(semaphore, INFINITE);
}

int sem_clockwait(sem_t *semaphore, int clock, const struct timespec *deadline) {
    struct timespec now;
    clock_gettime(clock, &now);
    double left_ms = (double)(deadline->tv_sec - now.tv_sec) * 1e3 + (double)(deadline->tv_nsec - now.tv_nsec) / 1e6;
    return wait_for(semaphore, left_ms > 0 ? (DWORD)left_ms + 1 : 0);
}

int sem_getvalue(sem_t *semaphore, int *value) {
    LONG state[2] = {-1, 0};
    NtQuerySemaphore(semaphore->handle, 0, state, sizeof state, NULL);
    *value = (int)state[0];
    return 0;
}

/* ---- shared memory ---- */

/* Descriptors of sections: far from the runtime's own. */
enum { FIRST_SECTION = 100000, N_SECTIONS = 64 };
static HANDLE sections[N_SECTIONS];

static HANDLE *section_of(int descriptor) {
    return descriptor >= FIRST_SECTION && descriptor < FIRST_SECTION + N_SECTIONS ? &sections[descriptor - FIRST_SECTION]
                                                                                  : NULL;
}

int shm_open(const char *name, int flags, int mode) {
    wchar_t object[256];
    (void)flags, (void)mode;
    HANDLE section = OpenFileMappingW(FILE_MAP_READ | FILE_MAP_WRITE, FALSE, object_name(name, object));
    for (int i = 0; section && i < N_SECTIONS; i++) {
        if (InterlockedCompareExchangePointer(&sections[i], section, NULL) == NULL)
            return FIRST_SECTION + i;
    }
    errno = ENOENT;
    return -1;
}

void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
    (void)address, (void)offset;
    if (flags & MAP_ANONYMOUS)
        return VirtualAlloc(NULL, size, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    const HANDLE *section = section_of(descriptor);
    DWORD access = protection & PROT_WRITE ? FILE_MAP_READ | FILE_MAP_WRITE : FILE_MAP_READ;
    void *base = section ? MapViewOfFile(*section, access, 0, 0, 0) : NULL;
    return base ? base : MAP_FAILED;
}

int munmap(void *address, size_t size) {
    (void)size;
    return UnmapViewOfFile(address) ? 0 : -1;
}

int posix_open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    if (strncmp(path, "/dev/shm/", 9) == 0)
        return shm_open(path, flags, 0);
    return _open(path, flags | _O_BINARY, mode);
}

int posix_close(int descriptor) {
    HANDLE *section = section_of(descriptor);
    if (!section)
        return _close(descriptor);
    CloseHandle(*section);
    *section = NULL;
    return 0;
}

int posix_fstat(int descriptor, struct stat *status) {
    MEMORY_BASIC_INFORMATION region;
    void *base = mmap(NULL, 0, PROT_READ, MAP_SHARED, descriptor, 0);
    memset(status, 0, sizeof *status);
    if (base == MAP_FAILED)
        return -1;
    VirtualQuery(base, &region, sizeof region);
    status->st_size = (off_t)region.RegionSize;
    munmap(base, 0);
    return 0;
}

/* ---- processes ---- */

int fork(void) {
    test_skip("it needs a copy of this process");
}

pid_t waitpid(pid_t pid, int *status, int flags) {
    (void)pid, (void)flags;
    *status = 0;
    return -1;
}

NTSYSAPI LONG NTAPI NtSuspendProcess(HANDLE process);
NTSYSAPI LONG NTAPI NtResumeProcess(HANDLE process);

/* As plat_child_stop does it. */
static int ask_to_end(pid_t pid) {
    wchar_t name[64];
    swprintf(name, 64, L"Local\\lipc_stop.%d", (int)pid);
    HANDLE event = OpenEventW(EVENT_MODIFY_STATE, FALSE, name);
    if (!event)
        return -1;
    SetEvent(event);
    CloseHandle(event);
    return 0;
}

/* The exit code of a process that ended in this way; 0: it does not end one. */
static DWORD ending_code(int signal_number) {
    return signal_number == SIGKILL ? 128 + SIGKILL
           : signal_number == SIGSEGV ? (DWORD)STATUS_ACCESS_VIOLATION
           : signal_number == SIGABRT ? 3 /* the runtime's abort */
                                      : 0;
}

int kill(pid_t pid, int signal_number) {
    if (signal_number == SIGTERM || signal_number == SIGINT || signal_number == SIGHUP)
        return ask_to_end(pid);
    HANDLE process = OpenProcess(PROCESS_TERMINATE | PROCESS_SUSPEND_RESUME | SYNCHRONIZE, FALSE, (DWORD)pid);
    bool is_alive = process && WaitForSingleObject(process, 0) == WAIT_TIMEOUT;
    if (is_alive && ending_code(signal_number))
        is_alive = TerminateProcess(process, ending_code(signal_number));
    else if (is_alive && signal_number == SIGSTOP)
        is_alive = NtSuspendProcess(process) >= 0;
    else if (is_alive && signal_number == SIGCONT)
        is_alive = NtResumeProcess(process) >= 0;
    if (process)
        CloseHandle(process);
    errno = ESRCH;
    return is_alive ? 0 : -1;
}

int pause(void) {
    Sleep(INFINITE);
    return -1;
}

/* ---- memory, environment ---- */

#undef free

/* Aligned blocks are given back in another way. */
enum { N_ALIGNED = 64 };
static void *aligned[N_ALIGNED];

void *posix_aligned_alloc(size_t alignment, size_t size) {
    void *memory = _aligned_malloc(size, alignment);
    for (int i = 0; i < N_ALIGNED; i++)
        if (InterlockedCompareExchangePointer(&aligned[i], memory, NULL) == NULL)
            break;
    return memory;
}

void posix_free(void *memory) {
    for (int i = 0; memory && i < N_ALIGNED; i++) {
        if (InterlockedCompareExchangePointer(&aligned[i], NULL, memory) == memory) {
            _aligned_free(memory);
            return;
        }
    }
    free(memory);
}

int setenv(const char *name, const char *value, int overwrites) {
    (void)overwrites;
    return _putenv_s(name, value);
}

int unsetenv(const char *name) {
    return _putenv_s(name, "");
}
