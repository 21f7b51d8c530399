/* llamaipc.c - llamaipc.exe without a terminal: answers on standard output and all else on standard error, exit codes, arguments and
 * texts beyond ASCII; a host that it starts, gives another model, looks at and ends. What the commands say in detail is tested on
 * Linux (tests/cli); here is what the system has a part in. */
#include "../modern/modern_test.h"

#include "../support/harness_inside.h"

#include "cli/exit_codes.h"

#define WIN32_LEAN_AND_MEAN
#undef open
#undef close
#include <windows.h>

#include <io.h>

typedef struct cli {
    HANDLE process;
    int out_fd, err_fd;
    char *out, *err;
} cli;

static char program[4200];

static HANDLE inheritable(HANDLE handle) {
    SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    return handle;
}

/* Words in quotes; the tests' own hold none. */
static void cli_start(cli *cli, const char *input, const char *const *words) {
    wchar_t wide[4096];
    char line[4096], path[256];
    PROCESS_INFORMATION started;
    int n = snprintf(line, sizeof line, "\"%s\"", program);
    for (; *words; words++) n += snprintf(line + n, sizeof line - (size_t)n, " \"%s\"", *words);
    MultiByteToWideChar(CP_UTF8, 0, line, -1, wide, 4096);
    test_file(path, input ? input : "", input ? strlen(input) : 0);
    *cli = (struct cli){.out_fd = harness_output_file("out"), .err_fd = harness_output_file("err")};
    HANDLE in = inheritable(CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL));
    STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = in,
                            .hStdOutput = inheritable((HANDLE)_get_osfhandle(cli->out_fd)),
                            .hStdError = inheritable((HANDLE)_get_osfhandle(cli->err_fd))};
    CHECK_SAY(CreateProcessW(NULL, wide, NULL, NULL, TRUE, CREATE_NO_WINDOW, NULL, NULL, &startup, &started),
              "cannot start %s: error %lu", line, GetLastError());
    SetHandleInformation(startup.hStdOutput, HANDLE_FLAG_INHERIT, 0);
    SetHandleInformation(startup.hStdError, HANDLE_FLAG_INHERIT, 0);
    CloseHandle(in);
    CloseHandle(started.hThread);
    cli->process = started.hProcess;
}

static char *text_of(int fd) {
    long long n_bytes = harness_file_size(fd);
    char *text = calloc(1, (size_t)n_bytes + 1);
    CHECK(text != NULL);
    CHECK_INT(harness_read_at(fd, 0, text, (size_t)n_bytes), ==, n_bytes);
    return text;
}

/* It ends by itself with this code. */
static void cli_expect(cli *cli, int code) {
    DWORD ended_with = 0;
    bool has_ended = WaitForSingleObject(cli->process, (DWORD)test_scaled(SOON_MS)) == WAIT_OBJECT_0;
    GetExitCodeProcess(cli->process, &ended_with);
    cli->out = text_of(cli->out_fd);
    cli->err = text_of(cli->err_fd);
    CHECK_SAY(has_ended, "llamaipc does not end; it said: %s", cli->err);
    CHECK_SAY((int)ended_with == code, "llamaipc ended with %d, expected %d; it said: %s%s", (int)ended_with, code, cli->err,
              cli->out);
}

static void cli_free(cli *cli) {
    CloseHandle(cli->process);
    harness_close(cli->out_fd);
    harness_close(cli->err_fd);
    free(cli->out);
    free(cli->err);
}

/* Runs it; what it wrote, to standard output or, if it fails, to standard error, holds `expected`. */
static void check_run(int code, const char *expected, const char *input, const char *const *words) {
    cli cli;
    cli_start(&cli, input, words);
    cli_expect(&cli, code);
    const char *said = code == CLI_EXIT_OK ? cli.out : cli.err;
    CHECK_SAY(strstr(said, expected) != NULL, "%s: not said: \"%s\"; but: %s%s", words[0], expected, cli.out, cli.err);
    cli_free(&cli);
}
#define SAYS(code, expected, ...) check_run((code), (expected), NULL, (const char *const[]){__VA_ARGS__, NULL})

static void without_host(void) {
    test_step("no host");
    SAYS(CLI_EXIT_OK, "llamaipc ", "--version");
    SAYS(CLI_EXIT_OK, "usage: llamaipc", "--help");
    SAYS(CLI_EXIT_OK, "--timeout", "ask", "--help");
    SAYS(CLI_EXIT_USAGE, "did you mean status", "statsu");
    SAYS(CLI_EXIT_USAGE, "'Größe €'", "stop", "Größe €");
    SAYS(CLI_EXIT_USAGE, "no question", "ask");
    SAYS(CLI_EXIT_USAGE, "cannot read Z:\\no\\Größe.txt", "ask", "-f", "Z:\\no\\Größe.txt");
    SAYS(CLI_EXIT_NO_HOST, "no host runs as", "status");
    SAYS(CLI_EXIT_NO_HOST, "no host runs as", "stop");
    SAYS(CLI_EXIT_NO_HOST, "no host runs as", "cancel", "1");
    SAYS(CLI_EXIT_FAILURE, "no bench for Windows", "bench");
}

/* A text goes through arguments, the segment, the model's template and standard output, and is the same. */
static void with_model(void) {
    char path[4096];
    test_model_path(path, "tutor.gguf");
    test_step("a host that is started");
    SAYS(CLI_EXIT_OK, "C++", "ask", "--temp", "0", "What", "is", "C++?");
    check_run(CLI_EXIT_OK, "C++", "What is C++?\n", (const char *const[]){"ask", "--temp", "0", NULL});
    check_run(CLI_EXIT_OK, "C++", "What is C++?\r\n/quit\r\n", (const char *const[]){"chat", "--temp", "0", NULL});
    SAYS(CLI_EXIT_OK, "Größe € 🚀", "prompt", "Größe € 🚀");
    SAYS(CLI_EXIT_OK, "\"type\":\"end\"", "ask", "--json", "-n", "3", "What is C++?");
    SAYS(CLI_EXIT_OK, "ready", "status");
    SAYS(CLI_EXIT_OK, "\"state\"", "status", "--json");
    SAYS(CLI_EXIT_OK, "STR", "top", "--once");
    SAYS(CLI_EXIT_OK, "Nothing is wrong.", "doctor");
    test_step("another model");
    SAYS(CLI_EXIT_OK, "", "load", path);
    SAYS(CLI_EXIT_REFUSED, "no\\such.gguf", "load", "Z:\\no\\such.gguf");
}

/* ---- long paths ---- */

#define N_FOLDERS 6
#define LONG_NAME L"\\a folder of some sixty characters, with spaces and Gr\u00F6\u00DFe "

static wchar_t long_folder[2048]; /* with the prefix, by which this test makes and removes it */

/* One that a failed run has left is as good. */
static void make_folder(const wchar_t *path) {
    CHECK_SAY(CreateDirectoryW(path, NULL) || GetLastError() == ERROR_ALREADY_EXISTS, "cannot make a folder: error %lu", GetLastError());
}

static void make_long_folder(void) {
    wchar_t place[MAX_PATH + 1];
    GetTempPathW(MAX_PATH + 1, place);
    swprintf(long_folder, 2048, L"\\\\?\\%lslipc%lu", place, GetCurrentProcessId());
    make_folder(long_folder);
    for (int i = 0; i < N_FOLDERS; i++) {
        wcscat(long_folder, LONG_NAME);
        make_folder(long_folder);
    }
}

static void remove_long_folder(void) {
    for (int i = 0; i <= N_FOLDERS; i++) {
        CHECK(RemoveDirectoryW(long_folder));
        *wcsrchr(long_folder, L'\\') = 0;
    }
}

/* As people write it, without the prefix; `made`: with it. */
static void long_path(const wchar_t *name, wchar_t made[2048], char given[4096]) {
    swprintf(made, 2048, L"%ls\\%ls", long_folder, name);
    CHECK_INT(wcslen(made), >, MAX_PATH);
    CHECK(WideCharToMultiByte(CP_UTF8, 0, made + 4, -1, given, 4096, NULL, NULL) > 0);
}

/* Beyond 260 characters: of a model that a host loads, of one that it is started with, and of a question's file. */
static void with_long_paths(void) {
    char model[4096], path[4096], question[4096];
    wchar_t wide_model[4096], made[2048], made_question[2048];
    test_step("long paths");
    make_long_folder();
    long_path(L"model.gguf", made, path);
    long_path(L"question.txt", made_question, question);
    test_model_path(model, "tutor.gguf");
    MultiByteToWideChar(CP_UTF8, 0, model, -1, wide_model, 4096);
    CHECK_SAY(CopyFileW(wide_model, made, FALSE), "cannot copy %s: error %lu", model, GetLastError());
    FILE *file = _wfopen(made_question, L"wb");
    CHECK(file != NULL);
    CHECK(fputs("What is C++?", file) >= 0 && fclose(file) == 0);
    SAYS(CLI_EXIT_OK, "", "load", path);
    SAYS(CLI_EXIT_OK, "model.gguf", "status", "--json");
    SAYS(CLI_EXIT_OK, "C++", "ask", "--temp", "0", "-f", question);
    SAYS(CLI_EXIT_OK, "", "stop");
    SetEnvironmentVariableW(L"LLAMA_ARG_MODEL", made + 4);
    SAYS(CLI_EXIT_OK, "C++", "ask", "--temp", "0", "-f", question);
    SetEnvironmentVariableW(L"LLAMA_ARG_MODEL", NULL);
    SAYS(CLI_EXIT_OK, "", "stop");
    CHECK(DeleteFileW(made_question));
    CHECK(WAITED(SOON_MS, DeleteFileW(made))); /* a worker that has ended may still be on its way out */
    remove_long_folder();
}

static bool is_answering(const char *instance) {
    segment segment = segment_open(instance);
    bool is_running = NOW(hub_in(&segment)->n_running) == 1;
    segment_close(&segment);
    return is_running;
}

static void cancel(const char *instance) {
    cli answer;
    test_step("cancel");
    cli_start(&answer, NULL, (const char *const[]){"ask", "--ignore-eos", "go on", NULL});
    CHECK(WAITED(SOON_MS, is_answering(instance)));
    SAYS(CLI_EXIT_OK, "", "cancel", "1");
    cli_expect(&answer, CLI_EXIT_CANCELLED);
    cli_free(&answer);
}

int main(void) {
    char instance[64];
    test_begin("llamaipc", 600);
    snprintf(program, sizeof program, "%s\\..\\..\\llamaipc.exe", harness_folder());
    test_instance(instance, "cli");
    SetEnvironmentVariableA("LIPC_NAME", instance);
    SetEnvironmentVariableA("LLAMA_ARG_MODEL", NULL);
    without_host();
    with_model();
    with_long_paths();
    with_model();
    cancel(instance);
    test_step("stop");
    SAYS(CLI_EXIT_OK, "", "stop");
    SAYS(CLI_EXIT_NO_HOST, "no host runs as", "stop");
    CHECK(WAITED(SOON_MS, objects_count(instance) == 0));
    return test_end();
}
