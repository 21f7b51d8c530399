/* harness.c - what of ../support/harness.h is Windows' own; the rest is ../support/harness_common.c. All hosts are in a job
 * that ends with this program. */
#include "../support/harness_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#undef open
#undef close
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <io.h>
#include <psapi.h>
#include <tlhelp32.h>

enum { MAX_FILES = 1024 };

static HANDLE g_job;
static char g_files[MAX_FILES][256];
static int g_n_files;

/* ---- Time ---- */

double test_now_ms(void) {
    LARGE_INTEGER now, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return (double)now.QuadPart * 1e3 / (double)frequency.QuadPart;
}

void test_pause_ms(double milliseconds) {
    Sleep(milliseconds < 1 ? 1 : (DWORD)milliseconds);
}

void test_breathe(void) {
    Sleep(1);
}

/* ---- The end of the program ---- */

static void clean_up(void) {
    if (harness_failed)
        harness_show_hosts();
    if (g_job)
        TerminateJobObject(g_job, 128 + SIGKILL);
    for (int i = 0; i < g_n_files; i++)
        remove(g_files[i]);
    fflush(NULL);
}

static DWORD WINAPI end_at_limit(void *limit_ms) {
    Sleep((DWORD)(uintptr_t)limit_ms);
    fprintf(stderr, "%s: time limit reached during: %s\n", harness_name, harness_step);
    harness_failed = true;
    clean_up();
    TerminateProcess(GetCurrentProcess(), 1);
    return 0;
}

void harness_end_failed(void) {
    harness_failed = true;
    exit(1);
}

void test_begin(const char *name, unsigned limit_seconds) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    snprintf(harness_name, sizeof harness_name, "%s", name);
    harness_owner = (int)GetCurrentProcessId();
    setvbuf(stdout, NULL, _IONBF, 0);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    g_job = CreateJobObjectW(NULL, NULL);
    SetInformationJobObject(g_job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    atexit(clean_up);
    CloseHandle(CreateThread(NULL, 0, end_at_limit, (void *)(uintptr_t)test_scaled(limit_seconds * 1e3), 0, NULL));
}

int test_end(void) {
    test_step("looking for leftovers");
    for (int i = 0; i < HARNESS_MAX_HOSTS; i++)
        if (harness_hosts[i].pid)
            test_fail(__FILE__, __LINE__, "process %d is left over", (int)harness_hosts[i].pid);
    printf("%s: passed\n", harness_name);
    return 0;
}

bool test_private_shm(const char *options) {
    (void)options;
    return false;
}

/* A file of this program's, removed at its end. */
static int temporary_file(char path[256], int flags) {
    char folder[200];
    if (g_n_files == MAX_FILES)
        test_fail(__FILE__, __LINE__, "more than %d files", MAX_FILES);
    GetTempPathA(sizeof folder, folder);
    snprintf(path, 256, "%slipctest%d_%d", folder, (int)GetCurrentProcessId(), g_n_files);
    snprintf(g_files[g_n_files++], 256, "%s", path);
    int fd = _open(path, flags | _O_CREAT | _O_TRUNC | _O_BINARY | _O_NOINHERIT, 0600);
    CHECK_SAY(fd >= 0, "%s: %s", path, strerror(errno));
    return fd;
}

void test_file(char path[256], const char *text, size_t n_bytes) {
    int fd = temporary_file(path, _O_WRONLY);
    CHECK_INT(_write(fd, text, (unsigned)n_bytes), ==, n_bytes);
    _close(fd);
}

const char *harness_folder(void) {
    static char folder[4096];
    GetModuleFileNameA(NULL, folder, sizeof folder);
    char *slash = strrchr(folder, '\\');
    if (slash)
        *slash = 0;
    return folder;
}

const char *const harness_to_host = "\\..\\chatbot.exe", *const harness_to_models = "/../../../models";

/* ---- Objects ---- */

const char *object_path(char path[256], const char *instance, int object) {
    snprintf(path, 256, "/dev/shm/%s%s", instance, harness_object_suffixes[object]);
    return path;
}

bool object_exists(const char *instance, int object) {
    wchar_t name[256];
    swprintf(name, 256, L"Local\\%hs%hs", instance, harness_object_suffixes[object]);
    HANDLE handle = object == OBJECT_SEGMENT ? OpenFileMappingW(FILE_MAP_READ, FALSE, name)
                                             : OpenSemaphoreW(SYNCHRONIZE, FALSE, name);
    if (handle)
        CloseHandle(handle);
    return handle != NULL;
}

/* Objects have no numbers here. */
ino_t object_inode(const char *instance, int object) {
    return object_exists(instance, object);
}

const bool objects_are_removable = false;
const bool processes_are_copyable = false;

const char *death_words(int signal_number) {
    return signal_number == SIGSEGV ? "exception 0xC0000005" : signal_number == SIGABRT ? "abort" : "ended from outside";
}

void objects_remove(const char *instance) {
    (void)instance; /* they end with those who hold them */
}

/* ---- The host ---- */

int harness_output_file(const char *what) {
    char path[256];
    (void)what;
    return temporary_file(path, _O_RDWR);
}

void harness_close(int fd) {
    _close(fd);
}

long long harness_file_size(int fd) {
    return fd < 0 ? -1 : _lseeki64(fd, 0, SEEK_END);
}

/* The host's handle has the same position as this one. */
long long harness_read_at(int fd, long long offset, char *bytes, size_t n_bytes) {
    _lseeki64(fd, offset, SEEK_SET);
    int n = _read(fd, bytes, (unsigned)n_bytes);
    _lseeki64(fd, 0, SEEK_END);
    return n;
}

/* Quoted as the C runtime reads it; the tests' words hold no quotes that follow a backslash. */
static void add_word(char *line, size_t size, const char *word) {
    size_t n = strlen(line);
    n += (size_t)snprintf(line + n, size - n, "%s\"", n ? " " : "");
    for (; *word && n + 4 < size; word++) {
        if (*word == '"')
            line[n++] = '\\';
        line[n++] = *word;
    }
    snprintf(line + n, size - n, "\"");
}

static void run(test_host *host, char *line, HANDLE out, HANDLE err) {
    wchar_t wide[8192];
    PROCESS_INFORMATION started;
    SECURITY_ATTRIBUTES inheritable = {.nLength = sizeof inheritable, .bInheritHandle = TRUE};
    HANDLE null = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &inheritable, OPEN_EXISTING, 0, NULL);
    STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = null, .hStdOutput = out,
                            .hStdError = err};
    SetHandleInformation(out, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    SetHandleInformation(err, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    MultiByteToWideChar(CP_UTF8, 0, line, -1, wide, 8192);
    BOOL is_started = FALSE;
    /* Wine's word for a process that died before its program began, which happens on a busy machine. */
    for (int tries = 0; tries < 5 && !is_started && (tries == 0 || GetLastError() == ERROR_INTERNAL_ERROR); tries++)
        is_started = CreateProcessW(NULL, wide, NULL, NULL, TRUE, CREATE_SUSPENDED | CREATE_NO_WINDOW, NULL, NULL, &startup, &started);
    CHECK_SAY(is_started, "cannot start %s: error %lu", line, GetLastError());
    SetHandleInformation(out, HANDLE_FLAG_INHERIT, 0);
    SetHandleInformation(err, HANDLE_FLAG_INHERIT, 0);
    CloseHandle(null);
    AssignProcessToJobObject(g_job, started.hProcess);
    ResumeThread(started.hThread);
    CloseHandle(started.hThread);
    host->pid = (pid_t)started.dwProcessId;
    host->process = started.hProcess;
}

void host_start_with(test_host *host, const char *instance, const test_host_setup *setup,
                     const char *const *arguments) {
    static const test_host_setup nothing;
    char line[8192] = "";
    if (!setup)
        setup = &nothing;
    if (setup->before_exec)
        test_skip("nothing can be done in a process before its program runs");
    memset(host, 0, sizeof *host);
    snprintf(host->instance, sizeof host->instance, "%s", instance);
    for (const char *const *word = harness_arguments(host, setup, arguments); *word; word++)
        add_word(line, sizeof line, *word);
    host->out_fd = setup->out_fd ? -1 : harness_output_file("output");
    host->err_fd = setup->err_fd ? -1 : harness_output_file("output");
    host->started_ms = test_now_ms();
    run(host, line, (HANDLE)_get_osfhandle(setup->out_fd ? setup->out_fd : host->out_fd),
        (HANDLE)_get_osfhandle(setup->err_fd ? setup->err_fd : host->err_fd));
    host->running = true;
    harness_remember(host);
}

bool host_ended(test_host *host, int timeout_ms) {
    DWORD code;
    if (!host->running)
        return true;
    if (WaitForSingleObject(host->process, (DWORD)test_scaled(timeout_ms)) != WAIT_OBJECT_0)
        return false;
    GetExitCodeProcess(host->process, &code);
    host->exit_code = (int)code;
    host->running = false;
    CloseHandle(host->process);
    harness_forget(host);
    return true;
}

void host_stop(test_host *host) {
    kill(host->pid, SIGTERM);
    host_expect_exit(host, 0, SOON_MS);
    harness_release(host); /* its objects may be there still: the test's own clients hold them */
}

pid_t process_child(pid_t pid) {
    PROCESSENTRY32W entry = {.dwSize = sizeof entry};
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    pid_t child = 0;
    /* Its console's process is a child of it, too. */
    for (BOOL is_there = Process32FirstW(all, &entry); is_there && !child; is_there = Process32NextW(all, &entry))
        if (entry.th32ParentProcessID == (DWORD)pid && entry.cntThreads > 0 && _wcsicmp(entry.szExeFile, L"chatbot.exe") == 0)
            child = (pid_t)entry.th32ProcessID;
    CloseHandle(all);
    return child;
}

void process_stop(pid_t pid) {
    CHECK_SAY(kill(pid, SIGSTOP) == 0, "process %d cannot be stopped", (int)pid);
}

static HANDLE look_at(pid_t pid) {
    return OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, (DWORD)pid);
}

double harness_cpu_ms(pid_t pid) {
    FILETIME began, ended, kernel, user;
    HANDLE process = look_at(pid);
    if (!process)
        return -1;
    GetProcessTimes(process, &began, &ended, &kernel, &user);
    CloseHandle(process);
    return ((double)kernel.dwLowDateTime + (double)user.dwLowDateTime +
            4294967296.0 * ((double)kernel.dwHighDateTime + (double)user.dwHighDateTime)) / 1e4;
}

long process_rss_kib(pid_t pid) {
    PROCESS_MEMORY_COUNTERS counters = {.cb = sizeof counters};
    HANDLE process = look_at(pid);
    BOOL is_known = process && GetProcessMemoryInfo(process, &counters, sizeof counters);
    if (process)
        CloseHandle(process);
    return is_known ? (long)(counters.WorkingSetSize / 1024) : -1;
}

/* Handles are the descriptors here. */
int process_fd_count(pid_t pid) {
    DWORD n = 0;
    HANDLE process = look_at(pid);
    BOOL is_known = process && GetProcessHandleCount(process, &n);
    if (process)
        CloseHandle(process);
    return is_known ? (int)n : -1;
}
