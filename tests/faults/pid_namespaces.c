/* pid_namespaces.c - a host and a client that share /dev/shm and live in different pid namespaces, as in two containers:
 * the modern channel, which tells processes by their numbers, says so; nothing of the host is called dead or removed. The
 * classic channel, which needs no numbers, works. */
#include "../cli/cli_test.h"
#include "faults_test.h"

#include <sys/mount.h>

/* From here on this process's children live in another pid namespace. */
static bool leave_namespace(void) {
    return unshare(CLONE_NEWPID | CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* In the first of them. */
static void begin_namespace(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (mount("proc", "/proc", "proc", 0, NULL) != 0)
        _exit(99);
}

static bool is_allowed(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(leave_namespace() ? 0 : 99);
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void check_refused(const char *instance, const script *script) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = 1000;
    options.start = LIPC_START_WITH_ME; /* not even then */
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_ACCESS);
    CHECK_SAY(strstr(lipc_error_message(), "pid namespace"), "it says: %s", lipc_error_message());

    cli cli;
    setenv("LIPC_NAME", instance, 1);
    FAILS(CLI_EXIT_FAILURE, "pid namespace", "status");
    FAILS(CLI_EXIT_FAILURE, "pid namespace", "ask", "hello");
    RUN(&cli, CLI_EXIT_WRONG, NULL, "doctor", "--json", "--fix");
    char killed[128]; /* of this one: it speaks of others that it finds, too */
    snprintf(killed, sizeof killed, "the host of '%s' was killed", instance);
    CHECK_SAY(strstr(cli.out, "\"elsewhere\"") && !strstr(cli.out, killed), "the doctor says: %s", cli.out);
    cli_free(&cli);
    CHECK_INT(objects_count(instance), ==, N_OBJECTS);

    test_host second;
    host_start_with(&second, instance, NULL, REPLAY(*script, "--rate", "0"));
    host_expect_exit(&second, 7, SOON_MS);
    char *err = host_err(&second);
    CHECK_SAY(strstr(err, "pid namespace"), "it says: %s", err);
    free(err);

    lipc_classic *classic;
    CHECK_LIPC(lipc_classic_open(instance, &classic), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(classic, soon()), LIPC_E_OK);
    check_classic_answer(classic, true, soon(), script);
    check_classic_answer(classic, false, soon(), script);
    lipc_classic_close(classic);
}

typedef struct place {
    const char *instance;
    const script *script;
} place;

static void look_from_inside(void *data, int number) {
    const place *place = data;
    int status;
    (void)number;
    CHECK(leave_namespace());
    pid_t pid = fork();
    if (pid == 0) {
        begin_namespace();
        check_refused(place->instance, place->script);
        fflush(NULL);
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_SAY(status == 0, "see above");
}

/* In the child that becomes the host: what becomes it is a grandchild, the first process of a namespace. */
static void host_inside(void *nothing) {
    int status;
    (void)nothing;
    if (!leave_namespace())
        _exit(98);
    pid_t pid = fork();
    if (pid == 0) {
        begin_namespace();
        return;
    }
    waitpid(pid, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
}

int main(void) {
    char instance[64];
    test_host host;
    test_begin("pid_namespaces", 100);
    test_instance(instance, "namespace");
    if (!is_allowed())
        test_skip("pid and mount namespaces of one's own need root");
    /* As files of this mount namespace: those that /proc names would not be found from another. */
    script script = script_new(1500);
    char path[] = "/tmp/lipctestXXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, script.text, script.n_bytes), ==, script.n_bytes);
    snprintf(script.path, sizeof script.path, "%s", path);
    place place = {instance, &script};

    test_step("the host outside, the client inside");
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "0"));
    worker_wait(worker_start(look_from_inside, &place, 0));
    end_undisturbed_host(&host, &segment);

    test_step("the host inside, the client outside");
    test_host_setup inside = {.before_exec = host_inside};
    host_start_with(&host, instance, &inside, REPLAY(script, "--rate", "0"));
    CHECK(WAITED(SOON_MS, objects_count(instance) == N_OBJECTS));
    check_refused(instance, &script);
    host_kill(&host);
    CHECK(WAITED(SOON_MS, is_childless()));
    objects_remove(instance);
    CHECK(unlink(path) == 0);
    free(script.text);
    return test_end();
}
