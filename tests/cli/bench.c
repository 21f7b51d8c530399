/* bench.c - llamaipc bench: figures that can be, a screen of them, and nothing left behind, also if it is interrupted. The
 * figures themselves are judged nowhere. */
#include "cli_test.h"

static bool has_objects(void) {
    return system("ls /dev/shm | grep -q \"bench_$CLI_PID\"") == 0;
}

static void remember(const cli *cli) {
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)cli->pid);
    setenv("CLI_PID", pid, 1);
}

static void figures(void) {
    static const char *const names[] = {"wake_futex_us", "wake_channel_us", "wake_library_us", "publish_ns", "ready_ms",
                                        "first_token_ms", "tokens_per_second"};
    cli cli;
    test_step("as JSON");
    cli_start(&cli, NULL, false, (const char *const[]){"bench", "--json", NULL});
    remember(&cli);
    cli_expect(&cli, CLI_EXIT_OK);
    json_t *said = json_loads(cli.out, 0, NULL);
    CHECK_SAY(said != NULL, "no JSON: %s", cli.out);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_SAY(json_figure(said, names[i]) > 0, "%s is not positive: %s", names[i], cli.out);
    CHECK_SAY(WAITED(SOON_MS, !has_objects()), "something is left in /dev/shm"); /* its host ends behind it */
    json_decref(said);
    cli_free(&cli);

    test_step("one screen");
    RUN(&cli, CLI_EXIT_OK, NULL, "bench");
    int n_lines = 0;
    for (const char *line = cli.out; *line; line = strchr(line, '\n') + 1, n_lines++)
        CHECK_SAY(strcspn(line, "\n") <= 80, "wider than 80 columns: %s", line);
    CHECK_SAY(n_lines > 8 && n_lines <= 24 && strstr(cli.out, "bare futex"), "it says: %s", cli.out);
    CHECK_TEXT(cli.err, "");
    cli_free(&cli);
}

static bool has_host(pid_t pid) {
    char path[256], name[64];
    snprintf(name, sizeof name, "llamaipc_bench_%d", (int)pid);
    return access(object_path(path, name, OBJECT_SEGMENT), F_OK) == 0;
}

static void mistakes(void) {
    cli cli;
    test_step("a model that is not there; an end in the middle");
    FAILS(CLI_EXIT_NO_HOST, "/no/such/model.gguf", "bench", "-m", "/no/such/model.gguf");
    FAILS(CLI_EXIT_USAGE, "bench does not take 'fast'", "bench", "fast");
    cli_start(&cli, NULL, false, (const char *const[]){"bench", NULL});
    remember(&cli);
    pid_t pid = cli.pid;
    CHECK(WAITED(SOON_MS, has_host(pid)));
    kill(pid, SIGINT);
    cli_expect(&cli, 128 + SIGINT);
    CHECK_SAY(WAITED(SOON_MS, !has_objects()), "something is left in /dev/shm");
    cli_free(&cli);
}

int main(void) {
    test_begin("bench", 50);
    figures();
    mistakes();
    CHECK(WAITED(SOON_MS, waitpid(-1, NULL, WNOHANG) < 0)); /* the host, which ends behind it */
    return test_end();
}
