/* inherited.c - what the program that starts a host may leave in force survives exec: ignored and blocked signals, a
 * limit on the size of files. None of it may change how a host works; a limit that leaves no room is said. */
#include "../faults/faults_test.h"

#include <sys/resource.h>

enum { SMALL_LIMIT = 1 << 20 };

static void ignore_children(void *nothing) {
    (void)nothing;
    signal(SIGCHLD, SIG_IGN);
}

static void block_all(void *nothing) {
    sigset_t all;
    (void)nothing;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

static void limit_files(void *nothing) {
    (void)nothing;
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){SMALL_LIMIT, SMALL_LIMIT});
}

/* The worker can be replaced, and a signal ends the host as ever. */
static void works_as_ever(const char *instance, const script *script, void (*inherit)(void *)) {
    test_host host;
    test_host_setup setup = {.before_exec = inherit};
    segment segment = {0};
    host_start_with(&host, instance, &setup, REPLAY(*script, "--rate", "0"));
    CHECK(WAITED(SOON_MS, has_come_to(&segment, instance, host.pid, LIPC_HUB_READY)));
    pid_t worker = host_worker(&host);
    if (worker != host.pid) {
        CHECK(kill(worker, SIGKILL) == 0);
        CHECK_SAY(WAITED(SOON_MS, NOW(hub_in(&segment)->n_recoveries) == 1 || host_ended(&host, 0)), "no worker came");
        CHECK_SAY(host.running, "the host ended with its worker: %s", host_err(&host));
    }
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
    lipc_client_close(client);
    segment_close(&segment);
    kill(host.pid, SIGTERM);
    host_expect_exit(&host, 0, SOON_MS);
    check_host_left_nothing(&host);
}

static void says_that_files_may_not_be_so_large(const char *instance) {
    test_host host;
    test_host_setup setup = {.before_exec = limit_files};
    host_start_with(&host, instance, &setup, (const char *const[]){NULL});
    host_expect_exit(&host, 6, SOON_MS);
    char *err = host_err(&host);
    printf("  %s", err);
    CHECK_SAY(strstr(err, "ulimit -f"), "the limit is not named: %s", err);
    free(err);
    CHECK_INT(objects_count(instance), ==, 0);
}

int main(void) {
    char instance[64];
    test_begin("inherited", 60);
    script script = script_new(1500);
    test_instance(instance, "inherited");

    test_step("SIGCHLD is ignored");
    works_as_ever(instance, &script, ignore_children);
    test_step("all signals are blocked");
    works_as_ever(instance, &script, block_all);
    test_step("files may not be large");
    says_that_files_may_not_be_so_large(instance);
    free(script.text);
    return test_end();
}
