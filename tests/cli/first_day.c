/* first_day.c - what somebody meets on the first day who is not careful: bytes that are no text, an output that takes
 * nothing, a host that is gone, a house that is full, numbers in messages.
 */
#include "cli_test.h"

#include "../support/test_model.h"

static char instance[64];
static script story;

/* ---- in and out ---- */

/* A shell runs it, with $CLI for llamaipc; its standard error is kept. */
static char *shell(int code, const char *command) {
    int fd = cli_file("", 0), status;
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        setenv("CLI", cli_program(), 1);
        dup2(fd, 2);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    char *err = cli_text(fd);
    CHECK_SAY(WIFEXITED(status) && WEXITSTATUS(status) == code, "%s: ended with %d, expected %d; it said: %s", command,
              WEXITSTATUS(status), code, err);
    close(fd);
    return err;
}

static void check_shell(int code, const char *said, const char *command) {
    char *err = shell(code, command);
    CHECK_SAY(strstr(err, said) != NULL, "%s: it does not say \"%s\", but: %s", command, said, err);
    free(err);
}

static void bytes_that_are_no_text(void) {
    static const char *const commands[] = {
        "printf 'What is C++?\\0 rest' | $CLI ask -", "$CLI ask 'Sum up:' - < $CLI >/dev/null",
        "printf 'What is C++?\\0 rest' | $CLI ask --json", "printf 'What\\0 rest\\n' | $CLI chat",
        "$CLI ask -f $CLI", "$CLI ask --grammar-file $CLI hello"};
    test_step("a zero byte in what is read: refused, nothing is dropped in silence");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        check_shell(CLI_EXIT_USAGE, "zero byte", commands[i]);
}

static void output_that_takes_nothing(void) {
    static const char *const commands[] = {"$CLI ask hello", "$CLI ask --json hello", "$CLI ask --no-stream hello",
                                           "echo hello | $CLI chat", "$CLI status", "$CLI status --json", "$CLI --help",
                                           "$CLI top --once", "$CLI --version"};
    test_step("standard output that is full, or closed: said, and code 1");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "%s >/dev/full", commands[i]);
        check_shell(CLI_EXIT_FAILURE, "cannot write to standard output: No space left on device", line);
        snprintf(line, sizeof line, "%s >&-", commands[i]);
        check_shell(CLI_EXIT_FAILURE, "cannot write to standard output: Bad file descriptor", line);
    }
}

/* ---- hosts ---- */

static bool is_written(int fd, off_t least) {
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_size >= least;
}

/* A chat that is told one message after another, with a host that dies between them. */
static void another_model_after_a_kill(void) {
    test_host host;
    int ends[2], out = cli_file("", 0), err = cli_file("", 0), status;
    test_step("chat: the next host has another model, and it is said");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "0"));
    CHECK_INT(pipe2(ends, O_CLOEXEC), ==, 0);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        dup2(ends[0], 0);
        dup2(out, 1);
        dup2(err, 2);
        execl(cli_program(), "llamaipc", "chat", (char *)NULL);
        _exit(127);
    }
    CHECK_INT(write(ends[1], "hello\n", 6), ==, 6);
    CHECK(WAITED(SOON_MS, is_written(out, (off_t)story.n_bytes)));
    host_kill(&host);
    segment_close(&segment);
    segment = host_ready(&host, instance, EMBEDDED("-n", "5"));
    CHECK_INT(write(ends[1], "hello\n", 6), ==, 6);
    close(ends[1]);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
    char *said = cli_text(err);
    CHECK_SAY(strstr(said, "another model answers from here on: "), "it says: %s", said);
    free(said);
    close(ends[0]);
    close(out);
    close(err);
    end_host(&host, &segment);
}

/* All records taken, by as many clients. */
static void stop_of_a_full_house(void) {
    test_host host;
    static lipc_client *clients[LIPC_CLIENTS_MAX];
    test_step("stop: also when all client records are taken");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "0"));
    for (uint32_t i = 0; i < hub_in(&segment)->n_clients; i++)
        clients[i] = client_of(instance);
    cli cli;
    RUN(&cli, CLI_EXIT_OK, NULL, "stop");
    cli_free(&cli);
    host_expect_exit(&host, 0, SOON_MS);
    for (uint32_t i = 0; i < hub_in(&segment)->n_clients; i++)
        lipc_client_close(clients[i]);
    segment_close(&segment);
    FAILS(CLI_EXIT_NO_HOST, "no host runs as", "stop");
}

/* ---- numbers and words ---- */

static void numbers(void) {
    cli cli;
    test_step("units, one of a thing, and a model file that stands alone");
    FAILS(CLI_EXIT_USAGE, "--timeout is '0.001': expected a whole number from -1 to 1000000 (seconds", "ask", "--timeout",
          "0.001", "hello");
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "-v", "-n", "1", "hello");
    CHECK_SAY(strstr(cli.err, "1 token,"), "it says: %s", cli.err);
    cli_free(&cli);
    test_host host;
    host_start(&host, "first_day_alone", "model.gguf", NULL);
    CHECK(host_ended(&host, SOON_MS));
    char *err = host_err(&host);
    CHECK_INT(host.exit_code, ==, 2);
    CHECK_SAY(strstr(err, "-m model.gguf"), "it says: %s", err);
    free(err);
}

static void sizes(void) {
    test_host host;
    char model[] = "/tmp/lipctest.XXXXXX";
    test_step("a model of a size that has no name");
    close(mkstemp(model));
    test_model_write(model, 500);
    host_start(&host, instance, "-m", model, "-t", "1", "--log-level", "info", NULL);
    lipc_client *client = client_of(instance);
    lipc_host_status status;
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    printf("  %s\n", status.model);
    CHECK_SAY(!strchr(status.model, '?') && strstr(status.model, "M "), "it is called %s", status.model);
    char *err = host_err(&host);
    CHECK_SAY(strstr(err, " 1 thread,") && !strstr(err, "1 threads"), "it says: %s", err);
    free(err);
    lipc_client_close(client);
    host_stop(&host);
    unlink(model);
}

int main(void) {
    test_host host;
    test_begin("first_day", 60);
    test_instance(instance, "day");
    setenv("LIPC_NAME", instance, 1);
    story = script_new(1500);
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "0"));
    bytes_that_are_no_text();
    output_that_takes_nothing();
    numbers();
    end_host(&host, &segment);
    another_model_after_a_kill();
    stop_of_a_full_house();
    sizes();
    free(story.text);
    return test_end();
}
