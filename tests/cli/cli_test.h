/* cli_test.h - llamaipc as a process: what it reads, writes and ends with. */
#ifndef LIPC_TESTS_CLI_TEST_H
#define LIPC_TESTS_CLI_TEST_H

#include "../modern/modern_test.h"

#include "cli/exit_codes.h"

#include <jansson.h>

/* The program beside the host, unless LIPC_LLAMAIPC says otherwise. */
static inline const char *cli_program(void) {
    static char path[4200];
    const char *program = getenv("LIPC_LLAMAIPC"), *host = getenv("LIPC_CHATBOT");
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (program && *program)
        return program;
    path[n > 0 ? n : 0] = 0;
    strcpy(strrchr(path, '/'), "/../llamaipc");
    if (host && *host) {
        snprintf(path, sizeof path, "%s", host);
        strcpy(strrchr(path, '/'), "/llamaipc");
    }
    return path;
}

typedef struct cli {
    pid_t pid;
    int in_fd, out_fd, err_fd; /* memory files; out_fd may be the reading end of a pipe */
    double started_ms;
    int code; /* 128 + n if killed by signal n */
    char *out, *err;
} cli;

static inline int cli_file(const char *content, size_t n_bytes) {
    int fd = memfd_create("cli", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, content, n_bytes), ==, n_bytes);
    CHECK_INT(lseek(fd, 0, SEEK_SET), ==, 0);
    return fd;
}

/* Starts it with a text on standard input (NULL: nothing); `piped`: its standard output is a pipe. The instance comes from
 * LIPC_NAME. */
static inline void cli_start(cli *cli, const char *input, bool piped, const char *const *words) {
    const char *arguments[32] = {cli_program()};
    int pipe_fds[2] = {-1, -1}, n = 1;
    for (; words[n - 1]; n++)
        arguments[n] = words[n - 1];
    *cli = (struct cli){.in_fd = cli_file(input ? input : "", input ? strlen(input) : 0), .err_fd = cli_file("", 0)};
    if (piped)
        CHECK_INT(pipe2(pipe_fds, O_CLOEXEC), ==, 0);
    else
        cli->out_fd = cli_file("", 0);
    fflush(NULL);
    cli->started_ms = test_now_ms();
    cli->pid = fork();
    CHECK(cli->pid >= 0);
    if (cli->pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        dup2(cli->in_fd, 0);
        dup2(piped ? pipe_fds[1] : cli->out_fd, 1);
        dup2(cli->err_fd, 2);
        execv(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    if (!piped)
        return;
    close(pipe_fds[1]);
    cli->out_fd = pipe_fds[0];
}

static inline char *cli_text(int fd) {
    struct stat status;
    CHECK_INT(fstat(fd, &status), ==, 0);
    char *text = calloc(1, (size_t)status.st_size + 1);
    CHECK(text != NULL);
    CHECK_INT(pread(fd, text, (size_t)status.st_size, 0), ==, status.st_size);
    return text;
}

static inline bool cli_has_ended(cli *cli) {
    int status;
    if (cli->pid && waitpid(cli->pid, &status, WNOHANG) == cli->pid) {
        cli->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        cli->pid = 0;
    }
    return cli->pid == 0;
}

/* It ends by itself with this code. */
static inline void cli_expect(cli *cli, int code) {
    struct stat status;
    bool has_ended = WAITED(SOON_MS, cli_has_ended(cli));
    cli->err = cli_text(cli->err_fd);
    CHECK_INT(fstat(cli->out_fd, &status), ==, 0);
    cli->out = S_ISREG(status.st_mode) ? cli_text(cli->out_fd) : strdup("");
    CHECK_SAY(has_ended, "llamaipc does not end; it said: %s", cli->err);
    CHECK_SAY(cli->code == code, "llamaipc ended with %d, expected %d; it said: %s%s", cli->code, code, cli->err, cli->out);
}

static inline void cli_free(cli *cli) {
    close(cli->in_fd);
    close(cli->out_fd);
    close(cli->err_fd);
    free(cli->out);
    free(cli->err);
}

static inline void cli_run_words(cli *cli, int code, const char *input, const char *const *words) {
    cli_start(cli, input, false, words);
    cli_expect(cli, code);
}
#define RUN(cli_, code, input, ...) cli_run_words((cli_), (code), (input), (const char *const[]){__VA_ARGS__, NULL})

/* What it writes to standard error holds this, on lines of its own name. */
static inline void check_said(const cli *cli, const char *what) {
    CHECK_SAY(strstr(cli->err, what) != NULL, "the message does not say \"%s\": %s", what, cli->err);
    CHECK_SAY(strncmp(cli->err, "llamaipc: ", 10) == 0, "not a line of llamaipc's: %s", cli->err);
}

/* Ends with the code and one line that says this; nothing on standard output. */
static inline void check_fails(int code, const char *what, const char *const *words) {
    cli cli;
    cli_run_words(&cli, code, NULL, words);
    check_said(&cli, what);
    CHECK_TEXT(cli.out, "");
    CHECK_SAY(strchr(cli.err, '\n') == cli.err + strlen(cli.err) - 1, "more than one line: %s", cli.err);
    cli_free(&cli);
}
#define FAILS(code, what, ...) check_fails((code), (what), (const char *const[]){__VA_ARGS__, NULL})

/* A number of an object, which must be there. */
static inline double json_figure(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    CHECK_SAY(json_is_number(value), "there is no number \"%s\"", key);
    return json_number_value(value);
}

static inline const char *json_text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    CHECK_SAY(value != NULL, "there is no text \"%s\"", key);
    return value;
}

/* The line at *at, which is moved on; NULL behind the last. */
static inline json_t *json_line(const char **at) {
    json_error_t error;
    if (!**at)
        return NULL;
    size_t n = strcspn(*at, "\n");
    json_t *line = json_loadb(*at, n, 0, &error);
    CHECK_SAY(line != NULL, "not JSON (%s): %.*s", error.text, (int)n, *at);
    *at += n + ((*at)[n] == '\n');
    return line;
}

#endif
