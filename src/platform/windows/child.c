/* child.c - starting a program that belongs to a library and not to the application around it: without a window, with no
 * handle of the application's but those meant for it.
 *
 * A program without a console gets no Ctrl-C. So each program that is ready to be asked to end has an event for that, named
 * by its pid: plat_stop_watch waits for it, plat_child_stop sets it. Made here before the program runs, it is there whenever
 * it is asked.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plat_child {
    HANDLE process, errors, stop;
    int pid;
};

void plat_stop_name(int pid, wchar_t name[PLAT_STOP_NAME_SIZE]) {
    swprintf(name, PLAT_STOP_NAME_SIZE, L"Local\\lipc_stop.%d", pid);
}

/* ---- the command line ---------------------------------------------------------------------------------------------- */

/* One argument as the C runtime of the other side takes it apart: quoted, backslashes before a quote doubled. Returns the
 * place behind it; `at` NULL: only counts. */
static size_t quote(const wchar_t *argument, wchar_t *at) {
    size_t n = 0, n_backslashes = 0;
#define PUT(character) (at ? (void)(at[n] = (character)) : (void)0, n++)
    PUT(L'"');
    for (;; argument++) {
        if (*argument == L'\\') {
            n_backslashes++;
            continue;
        }
        bool is_end = *argument == 0, is_quote = *argument == L'"';
        for (size_t i = 0; i < n_backslashes * (is_end || is_quote ? 2 : 1); i++) PUT(L'\\');
        n_backslashes = 0;
        if (is_end) break;
        if (is_quote) PUT(L'\\');
        PUT(*argument);
    }
    PUT(L'"');
#undef PUT
    return n;
}

static wchar_t *command_line(const char *const *arguments) {
    wchar_t *line = NULL;
    size_t n_line = 0;
    for (size_t i = 0; arguments[i]; i++) {
        wchar_t *wide = plat_wide(arguments[i]);
        size_t n = wide ? quote(wide, NULL) : 0;
        wchar_t *longer = wide ? realloc(line, (n_line + n + 2) * sizeof *line) : NULL;
        if (longer) {
            line = longer;
            if (i > 0) line[n_line++] = L' ';
            n_line += quote(wide, line + n_line);
            line[n_line] = 0;
        }
        free(wide);
        if (longer) continue;
        free(line);
        return NULL;
    }
    return line;
}

/* This process's environment with the variable that names it as the parent. NULL if memory ran out. */
static wchar_t *environment_of_child(void) {
    static const wchar_t name[] = L"" PLAT_PARENT_VARIABLE L"=";
    wchar_t *own = GetEnvironmentStringsW(), *at = own, variable[64];
    size_t n_own = 1;
    if (!own) return NULL;
    while (*at) {
        size_t n = wcslen(at) + 1;
        n_own += n;
        at += n;
    }
    wchar_t *block = malloc((n_own + 64) * sizeof *block), *to = block;
    for (at = own; block && *at; at += wcslen(at) + 1) {
        if (wcsncmp(at, name, wcslen(name)) == 0) continue;
        wcscpy(to, at);
        to += wcslen(at) + 1;
    }
    FreeEnvironmentStringsW(own);
    if (!block) return NULL;
    swprintf(variable, sizeof variable / sizeof variable[0], L"%ls%d", name, plat_process_own_pid());
    wcscpy(to, variable);
    to[wcslen(variable) + 1] = 0;
    return block;
}

/* ---- starting ------------------------------------------------------------------------------------------------------ */

/* The two ends of a pipe and a place that leads nowhere; what the child gets is inheritable. */
static bool open_streams(HANDLE *errors, HANDLE *child_errors, HANDLE *nowhere) {
    SECURITY_ATTRIBUTES inheritable = {.nLength = sizeof inheritable, .bInheritHandle = TRUE};
    if (!CreatePipe(errors, child_errors, NULL, 64 * 1024)) return false;
    SetHandleInformation(*child_errors, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    *nowhere = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, &inheritable,
                           OPEN_EXISTING, 0, NULL);
    return *nowhere != INVALID_HANDLE_VALUE;
}

/* Runs it, and makes its stop event before its first instruction. Returns 0 or the system's error. */
static DWORD run(const wchar_t *path, wchar_t *line, wchar_t *environment, HANDLE nowhere, HANDLE output, HANDLE errors,
                 plat_child *child) {
    HANDLE handed_on[] = {nowhere, errors};
    wchar_t stop[PLAT_STOP_NAME_SIZE];
    PROCESS_INFORMATION started;
    SIZE_T size = 0;
    InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    STARTUPINFOEXW startup = {.StartupInfo = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = nowhere,
                                              .hStdOutput = output, .hStdError = errors},
                              .lpAttributeList = malloc(size)};
    if (!startup.lpAttributeList) return ERROR_NOT_ENOUGH_MEMORY;
    InitializeProcThreadAttributeList(startup.lpAttributeList, 1, 0, &size);
    UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handed_on, sizeof handed_on,
                              NULL, NULL);
    DWORD flags = CREATE_NO_WINDOW | CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
    BOOL is_started = CreateProcessW(path, line, NULL, NULL, TRUE, flags, environment, NULL, &startup.StartupInfo, &started);
    DWORD error = is_started ? 0 : GetLastError();
    DeleteProcThreadAttributeList(startup.lpAttributeList);
    free(startup.lpAttributeList);
    if (!is_started) return error;
    child->process = started.hProcess;
    child->pid = (int)started.dwProcessId;
    plat_stop_name(child->pid, stop);
    child->stop = CreateEventW(plat_object_security(), FALSE, FALSE, stop);
    ResumeThread(started.hThread);
    CloseHandle(started.hThread);
    return 0;
}

int plat_child_start(const char *path, const char *const *arguments, plat_child_output output, plat_child **result) {
    HANDLE child_errors = NULL, nowhere = INVALID_HANDLE_VALUE;
    *result = NULL;
    plat_child *child = calloc(1, sizeof *child);
    wchar_t *wide_path = plat_wide(path), *line = command_line(arguments), *environment = environment_of_child();
    DWORD error = child && wide_path && line && environment ? 0 : ERROR_NOT_ENOUGH_MEMORY;
    if (error == 0 && !open_streams(&child->errors, &child_errors, &nowhere)) error = GetLastError();
    if (error == 0) error = run(wide_path, line, environment, nowhere, output == PLAT_CHILD_HEARD ? child_errors : nowhere, child_errors, child);
    if (child_errors) CloseHandle(child_errors);
    if (nowhere != INVALID_HANDLE_VALUE) CloseHandle(nowhere);
    free(wide_path);
    free(line);
    free(environment);
    if (error == 0) {
        *result = child;
        return PLAT_OK;
    }
    plat_child_close(child);
    SetLastError(error);
    bool is_missing = error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND || error == ERROR_ACCESS_DENIED ||
                      error == ERROR_BAD_EXE_FORMAT;
    return plat_fail(is_missing ? PLAT_E_NOT_FOUND : error == ERROR_NOT_ENOUGH_MEMORY ? PLAT_E_NO_MEMORY : PLAT_E_SYSTEM);
}

int plat_child_pid(const plat_child *child) {
    return child->pid;
}

size_t plat_child_read(plat_child *child, char *text, size_t size_bytes) {
    DWORD n_there = 0, n_bytes = 0;
    if (!PeekNamedPipe(child->errors, NULL, 0, NULL, &n_there, NULL) || n_there == 0) return 0;
    if (n_there > size_bytes) n_there = (DWORD)size_bytes;
    return ReadFile(child->errors, text, n_there, &n_bytes, NULL) ? n_bytes : 0;
}

bool plat_child_ended(plat_child *child, int *exit_code) {
    DWORD code = 0;
    *exit_code = 0;
    if (WaitForSingleObject(child->process, 0) != WAIT_OBJECT_0) return false;
    GetExitCodeProcess(child->process, &code);
    *exit_code = code <= INT32_MAX ? (int)code : PLAT_EXIT_UNKNOWN;
    return true;
}

void plat_child_stop(plat_child *child) {
    if (child->stop) SetEvent(child->stop);
}

void plat_child_kill(plat_child *child) {
    if (child->process) TerminateProcess(child->process, PLAT_KILLED_CODE);
}

void plat_child_close(plat_child *child) {
    if (!child) return;
    if (child->stop) CloseHandle(child->stop);
    if (child->process) CloseHandle(child->process);
    if (child->errors) CloseHandle(child->errors);
    free(child);
}
