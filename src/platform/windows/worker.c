/* worker.c - another run of this program that works for it, and dies with it.
 *
 * A process cannot be copied here. The worker is started with the same command line, and a variable tells it the handles it
 * has inherited: the starter's process and the shared memory, in the order in which it was made. It is in a job that ends
 * with the last handle to it, and the starter has the only one: the system kills the worker when the starter dies, at
 * whatever instruction. The worker watches the starter's process besides: should somebody hold the job's handle open.
 */
#include "internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKER_VARIABLE L"LIPC_WORKER_HANDLES"
#define MEMORIES_MAX 4

/* The first shared memory of the port's own: how a worker says that it ended by itself. A kill leaves no trace in the exit
 * code. */
typedef struct worker_end {
    uint32_t has_ended; /* atomic: written by the worker, last; read when its process has ended */
} worker_end;

typedef struct shared_memory {
    HANDLE section;
    void *base;
} shared_memory;

static shared_memory memories[MEMORIES_MAX];
static size_t n_memories, n_asked;
static HANDLE job, starter;
static HANDLE worker; /* the one that runs now */
static bool is_worker;

/* ---- in the worker ------------------------------------------------------------------------------------------------- */

static void CALLBACK end_with_starter(void *argument, BOOLEAN is_timeout) {
    (void)argument, (void)is_timeout;
    TerminateProcess(GetCurrentProcess(), PLAT_KILLED_CODE);
}

bool plat_worker_began(void) {
    static bool has_looked;
    wchar_t text[256], *at = text;
    HANDLE wait;
    if (has_looked) return is_worker;
    has_looked = true;
    DWORD length = GetEnvironmentVariableW(WORKER_VARIABLE, text, sizeof text / sizeof text[0]);
    if (length == 0 || length >= sizeof text / sizeof text[0]) return false;
    SetEnvironmentVariableW(WORKER_VARIABLE, NULL);
    starter = (HANDLE)(uintptr_t)_wcstoui64(at, &at, 16);
    while (*at == L',' && n_memories < MEMORIES_MAX)
        memories[n_memories++].section = (HANDLE)(uintptr_t)_wcstoui64(at + 1, &at, 16);
    is_worker = true;
    RegisterWaitForSingleObject(&wait, starter, end_with_starter, NULL, INFINITE, WT_EXECUTEONLYONCE);
    return true;
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

/* The next one, in both processes in the same order. */
static void *share(size_t size_bytes) {
    SECURITY_ATTRIBUTES inheritable = {.nLength = sizeof inheritable, .bInheritHandle = TRUE};
    bool is_inherited = plat_worker_began();
    if (n_asked == MEMORIES_MAX || (is_inherited && n_asked >= n_memories)) {
        plat_fail_because(PLAT_E_SYSTEM, "there is no such shared memory");
        return NULL;
    }
    shared_memory *memory = &memories[n_asked++];
    if (!is_inherited) {
        memory->section = CreateFileMappingW(INVALID_HANDLE_VALUE, &inheritable, PAGE_READWRITE,
                                             (DWORD)((uint64_t)size_bytes >> 32), (DWORD)size_bytes, NULL);
        n_memories = n_asked;
    }
    memory->base = memory->section ? MapViewOfFile(memory->section, FILE_MAP_ALL_ACCESS, 0, 0, size_bytes) : NULL;
    if (!memory->base) plat_fail(PLAT_E_NO_MEMORY);
    return memory->base;
}

static worker_end *end_of_worker(void) {
    if (n_asked == 0) share(sizeof(worker_end));
    return memories[0].base;
}

void *plat_memory_shared(const char *segment_name, size_t size_bytes) {
    (void)segment_name; /* no stray owner is looked for: see housekeeping.c */
    return end_of_worker() ? share(size_bytes) : NULL;
}

/* ---- starting ------------------------------------------------------------------------------------------------------ */

static bool make_job(void) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    if (job) return true;
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    job = CreateJobObjectW(NULL, NULL);
    return job && SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
}

/* Adds a handle to what is handed on; one that is none, or there already, is left out. */
static void hand_on(HANDLE *handles, size_t *n_handles, HANDLE handle) {
    if (!handle || handle == INVALID_HANDLE_VALUE) return;
    if (!SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT)) return;
    for (size_t i = 0; i < *n_handles; i++)
        if (handles[i] == handle) return;
    handles[(*n_handles)++] = handle;
}

static bool run(HANDLE *handles, size_t n_handles, PROCESS_INFORMATION *started) {
    wchar_t path[4096], *line = _wcsdup(GetCommandLineW());
    SIZE_T size = 0;
    GetModuleFileNameW(NULL, path, sizeof path / sizeof path[0]);
    InitializeProcThreadAttributeList(NULL, 2, 0, &size);
    STARTUPINFOEXW startup = {.StartupInfo = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES,
                                              .hStdInput = GetStdHandle(STD_INPUT_HANDLE),
                                              .hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE),
                                              .hStdError = GetStdHandle(STD_ERROR_HANDLE)},
                              .lpAttributeList = malloc(size)};
    /* Without a console of its own it would be given a new one, with a window. */
    DWORD flags = EXTENDED_STARTUPINFO_PRESENT | (GetConsoleCP() ? 0 : CREATE_NO_WINDOW);
    BOOL is_started = FALSE;
    if (startup.lpAttributeList && line &&
        InitializeProcThreadAttributeList(startup.lpAttributeList, 2, 0, &size)) {
        if (UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles,
                                      n_handles * sizeof *handles, NULL, NULL) &&
            UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, &job, sizeof job, NULL,
                                      NULL))
            is_started = CreateProcessW(path, line, NULL, NULL, TRUE, flags, NULL, NULL, &startup.StartupInfo, started);
        DWORD error = GetLastError();
        DeleteProcThreadAttributeList(startup.lpAttributeList);
        SetLastError(error);
    }
    plat_fail(PLAT_E_SYSTEM);
    free(startup.lpAttributeList);
    free(line);
    return is_started;
}

int plat_worker_start(const char *title) {
    HANDLE handles[MEMORIES_MAX + 4];
    wchar_t text[256];
    size_t n_handles = 0;
    PROCESS_INFORMATION started;
    (void)title; /* a process has the name of its program */
    if (!end_of_worker() || !make_job()) return plat_fail(PLAT_E_SYSTEM);
    if (!starter && !DuplicateHandle(GetCurrentProcess(), GetCurrentProcess(), GetCurrentProcess(), &starter, SYNCHRONIZE,
                                     TRUE, 0))
        return plat_fail(PLAT_E_SYSTEM);
    hand_on(handles, &n_handles, starter);
    int length = swprintf(text, sizeof text / sizeof text[0], L"%llx", (unsigned long long)(uintptr_t)starter);
    for (size_t i = 0; i < n_memories; i++) {
        hand_on(handles, &n_handles, memories[i].section);
        length += swprintf(text + length, sizeof text / sizeof text[0] - (size_t)length, L",%llx",
                           (unsigned long long)(uintptr_t)memories[i].section);
    }
    hand_on(handles, &n_handles, GetStdHandle(STD_INPUT_HANDLE));
    hand_on(handles, &n_handles, GetStdHandle(STD_OUTPUT_HANDLE));
    hand_on(handles, &n_handles, GetStdHandle(STD_ERROR_HANDLE));
    __atomic_store_n(&end_of_worker()->has_ended, 0, __ATOMIC_RELEASE);
    SetEnvironmentVariableW(WORKER_VARIABLE, text);
    bool is_started = run(handles, n_handles, &started);
    SetEnvironmentVariableW(WORKER_VARIABLE, NULL);
    if (!is_started) return PLAT_E_SYSTEM;
    CloseHandle(started.hThread);
    worker = started.hProcess;
    return (int)started.dwProcessId;
}

_Noreturn void plat_worker_end(int exit_code) {
    if (end_of_worker()) __atomic_store_n(&end_of_worker()->has_ended, 1, __ATOMIC_RELEASE);
    exit(exit_code);
}

int plat_worker_wait(int pid, int *exit_code) {
    DWORD code = 0;
    (void)pid;
    if (WaitForSingleObject(worker, INFINITE) != WAIT_OBJECT_0) return plat_fail(PLAT_E_SYSTEM);
    GetExitCodeProcess(worker, &code);
    CloseHandle(worker);
    worker = NULL;
    *exit_code = (int)code;
    if (__atomic_load_n(&end_of_worker()->has_ended, __ATOMIC_ACQUIRE)) return 0;
    /* A crash leaves the exception's number, at least 0xC0000000, without its highest bit a positive number here; abort()
     * leaves 3. */
    return code >= 0xC0000000 ? (int)(code & INT32_MAX) : code == 3 ? SIGABRT : PLAT_KILLED_CODE;
}

bool plat_death_is_crash(int death) {
    return death != PLAT_KILLED_CODE;
}

void plat_death_words(int death, char *words, size_t size_bytes) {
    if (death == PLAT_KILLED_CODE)
        snprintf(words, size_bytes, "was ended from outside");
    else if (death == SIGABRT)
        snprintf(words, size_bytes, "gave up (abort)");
    else
        snprintf(words, size_bytes, "crashed with exception 0x%08X", (unsigned)death | 0x80000000u);
}
