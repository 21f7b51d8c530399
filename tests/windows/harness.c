/* harness.c - ../support/harness.h for the build for Windows. All hosts are in a job that ends with this program. */
#include "../support/harness.h"

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

enum { MAX_HOSTS = 16, MAX_ARGUMENTS = 48, MAX_FILES = 1024 };

static char g_name[64] = "test";
static char g_step[256] = "start";
static bool g_failed;
static HANDLE g_job;
/* Hosts that may still run, for their output: copied because a test_host may lie on a stack that is gone. */
static struct {
    pid_t pid;
    int out_fd, err_fd;
} g_hosts[MAX_HOSTS];
static char g_files[MAX_FILES][256];
static int g_n_files;

static const char *const object_suffixes[N_OBJECTS] = {"_shared_mem", "_sem_ready", "_sem_prompts_written",
                                                       "_sem_response_written", "_sem_chunk_ready"};

/* ---- Time ---- */

double test_now_ms(void) {
    LARGE_INTEGER now, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return (double)now.QuadPart * 1e3 / (double)frequency.QuadPart;
}

double test_scaled(double milliseconds) {
    static double scale;
    if (scale == 0) {
        const char *text = getenv("LIPC_TEST_TIME_SCALE");
        scale = text && atof(text) >= 1 ? atof(text) : 1;
    }
    return milliseconds * scale;
}

void test_pause_ms(double milliseconds) {
    Sleep(milliseconds < 1 ? 1 : (DWORD)milliseconds);
}

void test_breathe(void) {
    Sleep(1);
}

uint32_t test_random(uint64_t *state, uint32_t below) {
    /* splitmix64 */
    uint64_t value = (*state += 0x9e3779b97f4a7c15u);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    value ^= value >> 31;
    return below ? (uint32_t)(value % below) : 0;
}

/* ---- The end of the program ---- */

static void instance_marker(char marker[32]) {
    snprintf(marker, 32, "lipctest%d_", (int)GetCurrentProcessId());
}

static void print_tail(const char *what, int fd) {
    char text[3001];
    if (fd < 0)
        return;
    __int64 size = _lseeki64(fd, 0, SEEK_END);
    _lseeki64(fd, size > 3000 ? size - 3000 : 0, SEEK_SET);
    int n = _read(fd, text, sizeof text - 1);
    if (n <= 0)
        return;
    text[n] = 0;
    fprintf(stderr, "---- %s ----\n%s%s", what, text, text[n - 1] == '\n' ? "" : "\n");
}

static void clean_up(void) {
    for (int i = 0; i < MAX_HOSTS && g_failed; i++) {
        if (!g_hosts[i].pid)
            continue;
        print_tail("stdout of the host", g_hosts[i].out_fd);
        print_tail("stderr of the host", g_hosts[i].err_fd);
    }
    if (g_job)
        TerminateJobObject(g_job, 128 + SIGKILL);
    for (int i = 0; i < g_n_files; i++)
        remove(g_files[i]);
    fflush(NULL);
}

static DWORD WINAPI end_at_limit(void *limit_ms) {
    Sleep((DWORD)(uintptr_t)limit_ms);
    fprintf(stderr, "%s: time limit reached during: %s\n", g_name, g_step);
    g_failed = true;
    clean_up();
    TerminateProcess(GetCurrentProcess(), 1);
    return 0;
}

void test_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "%s:%d: failed: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n    during: %s\n", g_step);
    g_failed = true;
    exit(1);
}

void test_skip(const char *format, ...) {
    va_list arguments;
    printf("%s: skipped: ", g_name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    exit(77);
}

void test_check_text(const char *file, int line, const char *what, const char *actual, const char *expected) {
    if (actual && expected && strcmp(actual, expected) == 0)
        return;
    test_fail(file, line, "%s is\n    \"%.600s\"\n    expected\n    \"%.600s\"", what, actual ? actual : "(null)",
              expected ? expected : "(null)");
}

void test_begin(const char *name, unsigned limit_seconds) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    snprintf(g_name, sizeof g_name, "%s", name);
    setvbuf(stdout, NULL, _IONBF, 0);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    g_job = CreateJobObjectW(NULL, NULL);
    SetInformationJobObject(g_job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    atexit(clean_up);
    CloseHandle(CreateThread(NULL, 0, end_at_limit, (void *)(uintptr_t)test_scaled(limit_seconds * 1e3), 0, NULL));
}

int test_end(void) {
    test_step("looking for leftovers");
    for (int i = 0; i < MAX_HOSTS; i++)
        if (g_hosts[i].pid)
            test_fail(__FILE__, __LINE__, "process %d is left over", (int)g_hosts[i].pid);
    printf("%s: passed\n", g_name);
    return 0;
}

void test_step(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(g_step, sizeof g_step, format, arguments);
    va_end(arguments);
    printf("%s: %s\n", g_name, g_step);
}

void test_instance(char name[64], const char *suffix) {
    char marker[32];
    instance_marker(marker);
    snprintf(name, 64, "%s%s", marker, suffix);
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

/* ---- Text ---- */

bool test_is_utf8(const char *text, size_t n_bytes) {
    /* The system's own judgement is as strict as the one on Linux. */
    return n_bytes == 0 || MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, (int)n_bytes, NULL, 0) > 0;
}

bool test_is_prefix(const char *text, size_t n_bytes, const char *of) {
    return strncmp(text, of, n_bytes) == 0;
}

static const char *program_folder(void) {
    static char folder[4096];
    GetModuleFileNameA(NULL, folder, sizeof folder);
    char *slash = strrchr(folder, '\\');
    if (slash)
        *slash = 0;
    return folder;
}

const char *test_model_path(char path[4096], const char *file) {
    const char *directory = getenv("LIPC_TEST_MODEL_DIR");
    if (directory)
        snprintf(path, 4096, "%s/%s", directory, file);
    else
        snprintf(path, 4096, "%.3900s/../../../models/%s", program_folder(), file);
    return path;
}

/* ---- Objects ---- */

const char *object_path(char path[256], const char *instance, int object) {
    snprintf(path, 256, "/dev/shm/%s%s", instance, object_suffixes[object]);
    return path;
}

bool object_exists(const char *instance, int object) {
    wchar_t name[256];
    swprintf(name, 256, L"Local\\%hs%hs", instance, object_suffixes[object]);
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

int objects_count(const char *instance) {
    int n = 0;
    for (int i = 0; i < N_OBJECTS; i++)
        n += object_exists(instance, i);
    return n;
}

void objects_remove(const char *instance) {
    (void)instance; /* they end with those who hold them */
}

/* ---- The host ---- */

static const char *host_program(void) {
    static char path[4200];
    const char *program = getenv("LIPC_CHATBOT");
    snprintf(path, sizeof path, "%s\\..\\chatbot.exe", program_folder());
    return program && *program ? program : path;
}

static void remember_host(const test_host *host) {
    for (int i = 0; i < MAX_HOSTS; i++) {
        if (g_hosts[i].pid)
            continue;
        g_hosts[i].pid = host->pid;
        g_hosts[i].out_fd = host->out_fd;
        g_hosts[i].err_fd = host->err_fd;
        return;
    }
    test_fail(__FILE__, __LINE__, "more than %d hosts at once", MAX_HOSTS);
}

static void forget_host(const test_host *host) {
    for (int i = 0; i < MAX_HOSTS; i++)
        if (g_hosts[i].pid == host->pid)
            g_hosts[i].pid = 0;
}

static int output_file(void) {
    char path[256];
    return temporary_file(path, _O_RDWR);
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
    BOOL is_started = CreateProcessW(NULL, wide, NULL, NULL, TRUE, CREATE_SUSPENDED | CREATE_NO_WINDOW, NULL, NULL, &startup,
                                     &started);
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
    add_word(line, sizeof line, host_program());
    if (!setup->no_instance) {
        add_word(line, sizeof line, "--name");
        add_word(line, sizeof line, host->instance);
    }
    for (int i = 0; arguments && arguments[i]; i++)
        add_word(line, sizeof line, arguments[i]);
    host->out_fd = setup->out_fd ? -1 : output_file();
    host->err_fd = setup->err_fd ? -1 : output_file();
    host->started_ms = test_now_ms();
    run(host, line, (HANDLE)_get_osfhandle(setup->out_fd ? setup->out_fd : host->out_fd),
        (HANDLE)_get_osfhandle(setup->err_fd ? setup->err_fd : host->err_fd));
    host->running = true;
    remember_host(host);
}

void host_start(test_host *host, const char *instance, ...) {
    const char *arguments[MAX_ARGUMENTS];
    va_list list;
    int n = 0;
    va_start(list, instance);
    do
        arguments[n] = va_arg(list, const char *);
    while (arguments[n++] && n < MAX_ARGUMENTS);
    va_end(list);
    host_start_with(host, instance, NULL, arguments);
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
    forget_host(host);
    return true;
}

void host_expect_exit(test_host *host, int exit_code, int timeout_ms) {
    double begin = test_now_ms();
    if (!host_ended(host, timeout_ms))
        test_fail(__FILE__, __LINE__, "the host did not end within %d ms", timeout_ms);
    if (host->exit_code == exit_code)
        return;
    print_tail("stdout of the host", host->out_fd);
    print_tail("stderr of the host", host->err_fd);
    test_fail(__FILE__, __LINE__, "the host ended with code %d after %.0f ms, expected %d", host->exit_code,
              test_now_ms() - begin, exit_code);
}

static void host_release(test_host *host) {
    if (host->out_fd >= 0)
        _close(host->out_fd);
    if (host->err_fd >= 0)
        _close(host->err_fd);
    host->out_fd = host->err_fd = -1;
}

void host_stop(test_host *host) {
    kill(host->pid, SIGTERM);
    host_expect_exit(host, 0, 10000);
    host_release(host); /* its objects may be there still: the test's own clients hold them */
}

void host_kill(test_host *host) {
    kill(host->pid, SIGKILL);
    if (!host_ended(host, 10000))
        test_fail(__FILE__, __LINE__, "the host survived");
    host_release(host);
}

static char *read_all(int fd) {
    if (fd < 0)
        return strdup("");
    __int64 size = _lseeki64(fd, 0, SEEK_END);
    char *text = malloc((size_t)size + 1);
    _lseeki64(fd, 0, SEEK_SET);
    int n = text ? _read(fd, text, (unsigned)size) : -1;
    _lseeki64(fd, 0, SEEK_END);
    if (n < 0)
        test_fail(__FILE__, __LINE__, "cannot read the host's output");
    text[n] = 0;
    return text;
}

char *host_out(const test_host *host) {
    return read_all(host->out_fd);
}

char *host_err(const test_host *host) {
    return read_all(host->err_fd);
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

pid_t host_worker(const test_host *host) {
    pid_t worker = process_child(host->pid);
    return worker ? worker : host->pid;
}

void process_stop(pid_t pid) {
    CHECK_SAY(kill(pid, SIGSTOP) == 0, "process %d cannot be stopped", (int)pid);
}

void host_pause(const test_host *host) {
    process_stop(host->pid); /* first: it would start another worker for one that ends now */
    process_stop(host_worker(host));
}

void host_resume(const test_host *host) {
    kill(host_worker(host), SIGCONT);
    kill(host->pid, SIGCONT);
}

static HANDLE look_at(pid_t pid) {
    return OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, (DWORD)pid);
}

static double own_cpu_ms(pid_t pid) {
    FILETIME began, ended, kernel, user;
    HANDLE process = look_at(pid);
    if (!process)
        return -1;
    GetProcessTimes(process, &began, &ended, &kernel, &user);
    CloseHandle(process);
    return ((double)kernel.dwLowDateTime + (double)user.dwLowDateTime +
            4294967296.0 * ((double)kernel.dwHighDateTime + (double)user.dwHighDateTime)) / 1e4;
}

double process_cpu_ms(pid_t pid) {
    double own = own_cpu_ms(pid);
    pid_t child = process_child(pid);
    return own >= 0 && child ? own + own_cpu_ms(child) : own;
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

host_files host_files_now(const test_host *host) {
    return (host_files){process_fd_count(host->pid), process_fd_count(host_worker(host))};
}

void host_check_files(const test_host *host, host_files before) {
    host_files now;
    bool is_same = WAITED(5000, (now = host_files_now(host)).supervisor == before.supervisor && now.worker == before.worker);
    CHECK_SAY(is_same, "open handles: supervisor %d, worker %d; at first %d and %d", now.supervisor, now.worker,
              before.supervisor, before.worker);
}
