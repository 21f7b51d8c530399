/* program.c - this program: its arguments, environment, streams and place; files by their UTF-8 names; how it is asked to
 * end. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <shellapi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <winternl.h>

/* ---- arguments, environment ---------------------------------------------------------------------------------------- */

static char *narrow_copy(const wchar_t *wide) {
    int n = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = n > 0 ? malloc((size_t)n) : NULL;
    if (text) WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, n, NULL, NULL);
    return text;
}

void plat_arguments(int *argc, char ***argv) {
    int n = 0;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &n);
    char **narrow = wide ? calloc((size_t)n + 1, sizeof *narrow) : NULL;
    for (int i = 0; narrow && i < n; i++)
        if (!(narrow[i] = narrow_copy(wide[i]))) return; /* no memory: the runtime's own */
    LocalFree(wide);
    if (!narrow) return;
    *argc = n;
    *argv = narrow;
}

const char *plat_environment(const char *name) {
    /* Each name that is asked for is kept: options point into it. */
    wchar_t *wide_name = plat_wide(name), *wide = NULL;
    char *value = NULL;
    DWORD n = wide_name ? GetEnvironmentVariableW(wide_name, NULL, 0) : 0;
    if (n > 0) wide = malloc(n * sizeof *wide);
    if (wide) {
        wide[0] = 0;
        GetEnvironmentVariableW(wide_name, wide, n);
        value = narrow_copy(wide);
    }
    free(wide);
    free(wide_name);
    return value;
}

/* ---- streams ------------------------------------------------------------------------------------------------------- */

void plat_streams_ensure(void) {
    /* Bytes go out as they are: no carriage returns. */
    for (int stream = 0; stream <= 2; stream++)
        if (_fileno(stream == 0 ? stdin : stream == 1 ? stdout : stderr) >= 0) _setmode(stream, _O_BINARY);
    SetConsoleOutputCP(CP_UTF8);
}

void plat_signals_ensure(void) {
    /* A program is started with no signals of its starter's. */
}

void plat_faults_say(const char *line, int exit_code) {
    (void)line, (void)exit_code; /* what is mapped here cannot be truncated */
}

/* What the system tells of a pipe. */
typedef struct pipe_state {
    ULONG type, configuration, instances_most, instances, in_quota, read_available, out_quota, write_available, state, end;
} pipe_state;
#define FILE_PIPE_LOCAL_INFORMATION 24
NTSYSAPI NTSTATUS NTAPI NtQueryInformationFile(HANDLE file, IO_STATUS_BLOCK *status, void *information, ULONG n_bytes,
                                               FILE_INFORMATION_CLASS information_class);

/* Whether a pipe surely has room for so many bytes. What a reader that waits has asked for counts as taken, so an empty pipe may
 * seem full. */
static bool has_room(HANDLE pipe, size_t n_bytes) {
    pipe_state state = {0};
    IO_STATUS_BLOCK status;
    return NtQueryInformationFile(pipe, &status, &state, sizeof state,
                                  (FILE_INFORMATION_CLASS)FILE_PIPE_LOCAL_INFORMATION) >= 0 &&
           state.write_available >= n_bytes;
}

/* Into a pipe that seems full: as much as goes at once. That is all of it if a reader waits, and nothing if none does. */
static BOOL write_without_waiting(HANDLE pipe, const char *text, DWORD n_bytes, DWORD *n_written) {
    DWORD mode = PIPE_READMODE_BYTE | PIPE_NOWAIT;
    if (!SetNamedPipeHandleState(pipe, &mode, NULL, NULL)) return FALSE;
    BOOL is_written = WriteFile(pipe, text, n_bytes, n_written, NULL);
    mode = PIPE_READMODE_BYTE | PIPE_WAIT; /* others may have the same end of it */
    SetNamedPipeHandleState(pipe, &mode, NULL, NULL);
    return is_written;
}

bool plat_stream_try_write(int stream, const char *text, size_t n_bytes) {
    /* Of several threads one asks and writes at a time, so that the room is there still. */
    static SRWLOCK lock = SRWLOCK_INIT;
    HANDLE handle = GetStdHandle(stream == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE);
    DWORD n_written = 0;
    if (n_bytes > 4096 || !handle || handle == INVALID_HANDLE_VALUE) return false;
    AcquireSRWLockExclusive(&lock);
    bool may_wait = GetFileType(handle) == FILE_TYPE_PIPE && !has_room(handle, n_bytes);
    bool is_written = may_wait ? write_without_waiting(handle, text, (DWORD)n_bytes, &n_written)
                               : WriteFile(handle, text, (DWORD)n_bytes, &n_written, NULL);
    ReleaseSRWLockExclusive(&lock);
    return is_written && n_written == n_bytes;
}

/* ---- places and files ---------------------------------------------------------------------------------------------- */

int plat_program_folder(char *path, size_t size_bytes) {
    wchar_t wide[4096];
    DWORD length = GetModuleFileNameW(NULL, wide, sizeof wide / sizeof wide[0]);
    if (length == 0 || length >= sizeof wide / sizeof wide[0]) return plat_fail(PLAT_E_SYSTEM);
    wchar_t *slash = wcsrchr(wide, L'\\');
    if (slash) *slash = 0;
    return plat_narrow(wide, path, size_bytes) ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

int plat_library_folder(const void *symbol, char *path, size_t size_bytes) {
    wchar_t wide[4096];
    HMODULE library;
    if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, symbol,
                            &library))
        return plat_fail(PLAT_E_SYSTEM);
    DWORD length = GetModuleFileNameW(library, wide, sizeof wide / sizeof wide[0]);
    wchar_t *slash = length > 0 && length < sizeof wide / sizeof wide[0] ? wcsrchr(wide, L'\\') : NULL;
    if (!slash) return plat_fail(PLAT_E_SYSTEM);
    *slash = 0;
    return plat_narrow(wide, path, size_bytes) ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

/* The library's backends ask the drivers, which is as good: there is none of ours for Windows yet. */
void plat_graphics_cards(char *names, size_t names_size, char *obstacle, size_t obstacle_size) {
    (void)names_size, (void)obstacle_size;
    names[0] = obstacle[0] = 0;
}

const char *plat_objects_place(void) {
    return "the page file";
}

/* Links are rare here, and opened by the system as what they lead to. */
int plat_path_follow(const char *path, char *target, size_t size_bytes) {
    (void)path, (void)target, (void)size_bytes;
    return PLAT_E_NOT_FOUND;
}

int plat_path_absolute(const char *path, char *absolute, size_t size_bytes) {
    /* The prefix that lifts the limit of 260 characters is for paths that need it; no person wants to read it. */
    enum { LONG_PATH = 240 };
    wchar_t *wide = plat_wide(path);
    DWORD size = wide ? GetFullPathNameW(wide, 0, NULL, NULL) : 0;
    wchar_t *full = size > 0 ? malloc(size * sizeof *full) : NULL;
    bool is_whole = full && GetFullPathNameW(wide, size, full, NULL) > 0;
    if (is_whole && size > LONG_PATH) {
        free(full);
        full = plat_wide_path(path);
        is_whole = full != NULL;
    }
    if (is_whole) is_whole = plat_narrow(full, absolute, size_bytes);
    int error = is_whole ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
    free(full);
    free(wide);
    return error;
}

FILE *plat_file_open(const char *path, const char *mode) {
    wchar_t *wide = plat_wide_path(path), wide_mode[8] = L"";
    bool only_new = strchr(mode, 'x') != NULL; /* which msvcrt does not know */
    if (only_new && wide && GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES) {
        free(wide);
        errno = EEXIST;
        return NULL;
    }
    for (size_t n = 0; *mode && n < 6; mode++)
        if (*mode != 'e' && *mode != 'x') wide_mode[n++] = (wchar_t)*mode; /* no child gets a handle here */
    if (!wcschr(wide_mode, L'b')) wcscat(wide_mode, L"b");
    FILE *file = wide ? _wfopen(wide, wide_mode) : NULL;
    free(wide);
    return file;
}

int plat_file_replace(const char *path, const char *replaced) {
    wchar_t *from = plat_wide_path(path), *to = plat_wide_path(replaced);
    bool is_replaced = from && to && MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING);
    free(from);
    free(to);
    if (!is_replaced) errno = EACCES;
    return is_replaced ? PLAT_OK : plat_fail_because(PLAT_E_SYSTEM, "the file cannot be replaced");
}

int plat_file_size(const char *path, uint64_t *n_bytes) {
    WIN32_FILE_ATTRIBUTE_DATA found;
    wchar_t *wide = plat_wide_path(path);
    if (n_bytes) *n_bytes = 0;
    BOOL is_there = wide && GetFileAttributesExW(wide, GetFileExInfoStandard, &found);
    free(wide);
    if (!is_there) return plat_fail_object();
    if (found.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE))
        return plat_fail_because(PLAT_E_UNEXPECTED, "it is no plain file");
    if (n_bytes) *n_bytes = (uint64_t)found.nFileSizeHigh << 32 | found.nFileSizeLow;
    return PLAT_OK;
}

static bool is_program(const wchar_t *path) {
    DWORD attributes = GetFileAttributesW(path);
    return attributes != INVALID_FILE_ATTRIBUTES && !(attributes & FILE_ATTRIBUTE_DIRECTORY);
}

/* The folder of the module that this code is in: liblipc's, when an application has loaded it. */
static bool find_beside(const wchar_t *name, HMODULE module, wchar_t *path, size_t size) {
    wchar_t folder[4096];
    DWORD length = GetModuleFileNameW(module, folder, sizeof folder / sizeof folder[0]);
    if (length == 0 || length >= sizeof folder / sizeof folder[0]) return false;
    wchar_t *slash = wcsrchr(folder, L'\\');
    if (slash) *slash = 0;
    return swprintf(path, size, L"%ls\\%ls.exe", folder, name) > 0 && is_program(path);
}

int plat_program_find(const char *name, char *path, size_t size_bytes) {
    wchar_t found[4096], *wide = plat_wide(name);
    HMODULE own = NULL;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                       (const wchar_t *)(void *)&find_beside, &own);
    bool is_found = wide && (find_beside(wide, NULL, found, sizeof found / sizeof found[0]) ||
                             find_beside(wide, own, found, sizeof found / sizeof found[0]));
    if (wide && !is_found) {
        DWORD length = SearchPathW(NULL, wide, L".exe", sizeof found / sizeof found[0], found, NULL);
        is_found = length > 0 && length < sizeof found / sizeof found[0];
    }
    free(wide);
    if (is_found && plat_narrow(found, path, size_bytes)) return PLAT_OK;
    return plat_fail_because(PLAT_E_NOT_FOUND, "it is neither beside this program nor on the PATH");
}

/* ---- being asked to end -------------------------------------------------------------------------------------------- */

static void (*on_stop)(int exit_code);
static bool ignores_stop;

static BOOL WINAPI on_console_event(DWORD event) {
    bool is_ending = event == CTRL_CLOSE_EVENT || event == CTRL_LOGOFF_EVENT || event == CTRL_SHUTDOWN_EVENT;
    int number = is_ending ? event == CTRL_CLOSE_EVENT ? 1 : 15 : 2; /* as SIGHUP, SIGTERM and SIGINT have them */
    if (!ignores_stop) on_stop(128 + number);
    /* When this returns of these the system ends the process: its end is to come by itself, which takes this thread along.
     * The system waits some seconds. */
    if (is_ending) Sleep(INFINITE);
    return TRUE;
}

static void CALLBACK on_stop_event(void *nothing, BOOLEAN is_timeout) {
    (void)nothing, (void)is_timeout;
    on_stop(128 + 15);
}

void plat_stop_watch(void (*callback)(int exit_code)) {
    wchar_t name[PLAT_STOP_NAME_SIZE];
    HANDLE wait;
    on_stop = callback;
    ignores_stop = plat_worker_began();
    SetConsoleCtrlHandler(on_console_event, TRUE);
    if (ignores_stop) return;
    plat_stop_name(plat_process_own_pid(), name);
    HANDLE event = CreateEventW(plat_object_security(), FALSE, FALSE, name); /* each setting counts once; for good */
    if (event) RegisterWaitForSingleObject(&wait, event, on_stop_event, NULL, INFINITE, WT_EXECUTEDEFAULT);
}

_Noreturn void plat_exit_now(int exit_code) {
    TerminateProcess(GetCurrentProcess(), (UINT)exit_code);
    for (;;) Sleep(INFINITE);
}
