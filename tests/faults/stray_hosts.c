/* stray_hosts.c - a host that its name does not lead to: the names were removed under it, or it lies in another /dev/shm,
 * as in a container. It says the first once; llamaipc names the process, also before it starts another host. */
#include "../cli/cli_test.h"
#include "faults_test.h"

#include <sys/mount.h>

/* In the host: a /dev/shm of its own. */
static void move_away(void *nothing) {
    (void)nothing;
    if (!test_private_shm("mode=1777"))
        _exit(99);
}

/* Whether the host's log has these words by now. */
static bool says(const test_host *host, const char *words) {
    char *err = host_err(host);
    bool found = strstr(err, words) != NULL;
    free(err);
    return found;
}

static void check_named(const test_host *host, const char *what) {
    char process[32], *doctor;
    cli cli;
    snprintf(process, sizeof process, "process %d ", (int)host->pid);
    RUN(&cli, CLI_EXIT_NO_HOST, NULL, "status");
    CHECK_SAY(strstr(cli.err, process) && strstr(cli.err, what), "status says: %s", cli.err);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_WRONG, NULL, "doctor", "--json");
    doctor = cli.out;
    CHECK_SAY(strstr(doctor, "\"stray\"") && strstr(doctor, process) && strstr(doctor, what), "the doctor says: %s", doctor);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "hello");
    CHECK_SAY(strstr(cli.err, process) && strstr(cli.err, "another is started"), "ask says: %s", cli.err);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_WRONG, NULL, "doctor", "--json"); /* beside one that is in order */
    CHECK_SAY(strstr(cli.out, "\"stray\"") && strstr(cli.out, process), "the doctor says: %s", cli.out);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "stop");
    cli_free(&cli);
}

int main(void) {
    char instance[64];
    test_host host;
    test_begin("stray_hosts", 60);
    test_instance(instance, "stray");
    setenv("LIPC_NAME", instance, 1);
    script script = script_new(300);

    test_step("names that were removed under a host");
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "0"));
    objects_remove(instance);
    CHECK_SAY(WAITED(SOON_MS, says(&host, "lost its name")), "it does not notice");
    check_named(&host, "lost its name");
    char *err = host_err(&host);
    CHECK_SAY(count_of(err, "lost its name") == 1, "not said once: %s", err);
    free(err);
    end_host(&host, &segment);
    CHECK(WAITED(SOON_MS, is_childless()));

    test_step("a host in another /dev/shm");
    test_host_setup away = {.before_exec = move_away};
    /* The host itself tells nobody here that it is ready: its log is all that is seen of it. */
    host_start_with(&host, instance, &away, (const char *const[]){"--replay", script.path, "--rate", "0", NULL});
    CHECK(WAITED(SOON_MS, host_ended(&host, 0) || says(&host, "ready after")));
    if (!host.running && host.exit_code == 99)
        test_skip("mount namespaces of one's own are not allowed here");
    check_named(&host, "another /dev/shm");
    kill(host.pid, SIGTERM);
    host_expect_exit(&host, 0, SOON_MS);
    CHECK(WAITED(SOON_MS, is_childless()));
    free(script.text);
    return test_end();
}
