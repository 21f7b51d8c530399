/* supervision.c - a host is two processes, or one if it is told so; and one whose workers cannot live ends by itself. */
#include "../death/worker_test.h"

static void check_served(const char *instance, const script *script) {
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "what is it like?");
    check_whole(stream, script);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void read_name(pid_t pid, char name[32]) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    CHECK_SAY(file && fgets(name, 32, file), "cannot read %s", path);
    fclose(file);
    name[strcspn(name, "\n")] = 0;
}

static void two_processes(const char *instance, const script *script) {
    test_host host;
    char name[32];
    test_step("a supervisor and its worker");
    segment segment = host_ready(&host, instance, REPLAY(*script, NULL));
    pid_t worker = worker_awaited(&host);
    CHECK_INT(hub_in(&segment)->host_pid, ==, host.pid);
    CHECK_INT(hub_in(&segment)->worker_pid, ==, worker);
    CHECK_INT(process_child(worker), ==, 0);
    read_name(host.pid, name);
    CHECK_TEXT(name, "chatbot");
    read_name(worker, name);
    CHECK_TEXT(name, "chatbot-worker");
    check_served(instance, script);
    end_host(&host, &segment);
}

/* What a debugger wants: the process that was started does the work, and a crash is its end. */
static void one_process(const char *instance, const script *script) {
    test_host host;
    test_step("--no-supervise: one process, which nobody replaces");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--no-supervise"));
    CHECK_INT(process_child(host.pid), ==, 0);
    CHECK_INT(hub_in(&segment)->host_pid, ==, host.pid);
    CHECK_INT(hub_in(&segment)->worker_pid, ==, host.pid);
    check_served(instance, script);
    kill(host.pid, SIGSEGV);
    CHECK(host_ended(&host, SOON_MS));
    CHECK_INT(host.exit_code, ==, 128 + SIGSEGV);
    segment_close(&segment);
    test_step("the next ones take over, with a supervisor and without");
    segment = host_ready(&host, instance, REPLAY(*script, NULL));
    check_served(instance, script);
    end_host(&host, &segment);
    segment = host_ready(&host, instance, REPLAY(*script, "--no-supervise"));
    check_served(instance, script);
    end_host(&host, &segment);
}

/* Kills the next n that the host starts, before they can serve. */
static void kill_workers_at_birth(test_host *host, int n) {
    for (pid_t worker = 0, last = 0; n > 0; n--, last = worker) {
        CHECK_SAY(WAITED(SOON_MS, host_ended(host, 0) || ((worker = process_child(host->pid)) > 0 && worker != last)),
                  "no more worker, %d kills too early", n);
        CHECK_SAY(host->running, "the host gave up %d kills too early, with code %d", n, host->exit_code);
        kill(worker, SIGKILL);
    }
}

static void no_worker_lives(const char *instance, const script *script) {
    enum { UNREADY_MOST = 10 };
    test_host host;
    test_step("%d workers in a row are killed before they serve: the host gives up", UNREADY_MOST);
    /* The embedded model: its load takes longer than it takes to be seen here. */
    host_start(&host, instance, NULL);
    kill_workers_at_birth(&host, UNREADY_MOST);
    host_expect_exit(&host, 1, SOON_MS);
    char *errors = host_err(&host);
    CHECK_SAY(strstr(errors, "10 workers in a row were killed before they could serve"), "it says: %s", errors);
    free(errors);
    CHECK_INT(objects_count(instance), ==, 0);
    test_step("and the next one serves");
    segment segment = host_ready(&host, instance, REPLAY(*script, NULL));
    check_served(instance, script);
    end_host(&host, &segment);
}

/* The first signal lets the answers at hand finish, also those that a dead worker left. */
static void told_to_end(const char *instance, bool while_recovering) {
    test_host host;
    test_step("told to end %s", while_recovering ? "while a new worker loads the model" : "and then left by its worker");
    segment segment = host_ready(&host, instance, EMBEDDED("--ignore-eos"));
    lipc_client *client = client_of(instance);
    lipc_request request = request_of("What is UTF-8?");
    request.n_predict = 200;
    lipc_stream *stream = submit(client, &request);
    reading text = {0};
    read_until(stream, &text, 1);
    pid_t first = worker_awaited(&host);
    if (!while_recovering) {
        kill(host.pid, SIGTERM);
        CHECK(WAITED(SOON_MS, hub_state(&segment) == LIPC_HUB_ENDING));
    }
    worker_killed(&host, first, SIGKILL);
    if (while_recovering) {
        CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->worker_pid) != (uint32_t)first &&
                                  hub_state(&segment) == LIPC_HUB_RECOVERING));
        kill(host.pid, SIGTERM);
    }
    while (read_some(stream, soon(), &text))
        ;
    CHECK_SAY(text.code == 0, "%s (%s) after %zu bytes", lipc_error_name(text.code), lipc_error_message(), text.n_bytes);
    free(text.text);
    lipc_stream_close(stream);
    lipc_client_close(client);
    segment_close(&segment);
    host_expect_exit(&host, 0, SOON_MS);
}

int main(void) {
    char instance[64];
    test_begin("supervision", 90);
    expect_crashes();
    test_instance(instance, "one");
    script script = script_new(500);
    two_processes(instance, &script);
    one_process(instance, &script);
    no_worker_lives(instance, &script);
    told_to_end(instance, true);
    told_to_end(instance, false);
    free(script.text);
    return test_end();
}
