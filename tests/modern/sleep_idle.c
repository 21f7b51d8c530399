/* sleep_idle.c - a host that gives its model's memory back when there is no work: it stays ready, each request of either
 * channel wakes it and is answered as if nothing had been, and whatever goes wrong meanwhile loses nothing. */
#include "../death/worker_test.h"
#include "../support/test_model.h"

enum { SMALL_WORDS = 50, SMALL_VOCABULARY = 259 + SMALL_WORDS };

static char tutor[4096], own[64], aside[64], other[64];
static reading says; /* the tutor, to QUESTION */

#define SLEEPY(...) EMBEDDED("--sleep-idle", "1", "-np", "2", __VA_ARGS__)

static void make_files(void) {
    char command[4300];
    test_model_path(tutor, "tutor.gguf");
    snprintf(own, sizeof own, "/tmp/sleep_idle-%d.gguf", (int)getpid());
    snprintf(aside, sizeof aside, "/tmp/sleep_idle-%d-aside", (int)getpid());
    snprintf(other, sizeof other, "/tmp/sleep_idle-%d-other.gguf", (int)getpid());
    snprintf(command, sizeof command, "cp '%s' '%s'", tutor, own);
    CHECK_INT(system(command), ==, 0);
    test_model_write(other, SMALL_WORDS);
}

static void remove_files(void) {
    unlink(own);
    unlink(aside);
    unlink(other);
}

static bool is_asleep(const segment *segment) {
    return NOW(hub_in(segment)->is_asleep) == 1;
}

static void wait_asleep(const segment *segment) {
    CHECK_SAY(WAITED(SOON_MS, is_asleep(segment)), "it never falls asleep");
    CHECK_INT(hub_state(segment), ==, LIPC_HUB_READY);
}

/* Whether the worker still has the file mapped. */
static bool maps(pid_t pid, const char *path) {
    char name[64], line[4300];
    bool is_found = false;
    snprintf(name, sizeof name, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(name, "re");
    CHECK(file != NULL);
    while (!is_found && fgets(line, sizeof line, file)) is_found = strstr(line, path) != NULL;
    fclose(file);
    return is_found;
}

static void check_says(lipc_client *client) {
    lipc_stream *stream = ask(client, QUESTION);
    check_answer(stream, says.text, says.n_bytes);
    lipc_stream_close(stream);
}

static void falls_asleep(const test_host *host, const segment *segment, lipc_client *client) {
    lipc_host_status awake, asleep;
    test_step("it falls asleep, and the model's memory is gone");
    pid_t worker = worker_awaited(host);
    bool was_awake = false;
    do { /* again, if this program stood still until the host slept */
        free(says.text);
        lipc_stream *stream = ask(client, QUESTION);
        says = read_to_end(stream);
        CHECK_INT(says.code, ==, 0);
        lipc_stream_close(stream);
        CHECK_LIPC(lipc_client_status(client, &awake), LIPC_E_OK);
        was_awake = maps(worker, own) && awake.is_asleep == 0;
    } while (!was_awake);
    wait_asleep(segment);
    CHECK(!maps(worker, own));
    CHECK_LIPC(lipc_client_wait_ready(client, 0, NULL, NULL), LIPC_E_OK);
    CHECK_LIPC(lipc_client_status(client, &asleep), LIPC_E_OK);
    CHECK_INT(asleep.is_asleep, ==, 1);
    CHECK_INT(asleep.n_vocab, ==, awake.n_vocab);
    CHECK_TEXT(asleep.model, awake.model);
    CHECK_TEXT(asleep.model_path, awake.model_path);
}

static void wakes(const segment *segment, const char *instance, lipc_client *client) {
    guide_client classic;
    static guide_update update;
    test_step("a request wakes it, of either channel");
    check_says(client);
    wait_asleep(segment);
    CHECK(guide_open_within(&classic, instance, soon()));
    CHECK(guide_request(&classic, NULL, QUESTION, soon(), &update));
    CHECK_TEXT(update.text, says.text);
    wait_asleep(segment);
    CHECK(guide_stream(&classic, NULL, QUESTION, soon(), &update));
    CHECK_TEXT(update.text, says.text);
    guide_close(&classic);
    wait_asleep(segment);
    lipc_request request = request_of(QUESTION);
    request.render = 1;
    lipc_stream *stream = submit(client, &request);
    reading text = read_to_end(stream);
    CHECK_INT(text.code, ==, 0);
    CHECK(strstr(text.text, "\"tokens\""));
    free(text.text);
    lipc_stream_close(stream);
}

static void abandon_request(void *data, int number) {
    char *id = data;
    (void)number;
    lipc_client *client = client_of(id + LIPC_STREAM_ID_SIZE);
    lipc_request request = request_of(QUESTION);
    request.detachable = 1;
    lipc_stream *stream = submit(client, &request);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    raise(SIGKILL);
}

/* Nobody waits for it any more when it is answered. */
static void detached(const segment *segment, const char *instance, lipc_client *client) {
    char *id = shared_new(LIPC_STREAM_ID_SIZE + 64);
    lipc_stream *stream;
    int status;
    test_step("an answer that was left behind");
    wait_asleep(segment);
    snprintf(id + LIPC_STREAM_ID_SIZE, 64, "%s", instance);
    pid_t pid = worker_start(abandon_request, id, 0);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK(WIFSIGNALED(status));
    CHECK_LIPC(lipc_stream_attach(client, id, 0, 1, &stream), LIPC_E_OK); /* only looks on */
    CHECK(WAITED(SOON_MS, progress_of(stream).state == LIPC_STREAM_ENDED));
    lipc_stream_close(stream);
    wait_asleep(segment);
    CHECK_LIPC(lipc_stream_attach(client, id, 0, 0, &stream), LIPC_E_OK);
    check_answer(stream, says.text, says.n_bytes);
    CHECK_SAY(is_asleep(segment), "state %u, %u recoveries: what is only read needs no model", hub_state(segment),
              NOW(hub_in(segment)->n_recoveries));
    lipc_stream_close(stream);
}

/* One that is cancelled before it is asleep no more, and one that is not. */
static void cancelled(const segment *segment, lipc_client *client) {
    lipc_delta delta;
    test_step("cancelled while it wakes");
    wait_asleep(segment);
    lipc_stream *given_up = ask(client, QUESTION);
    lipc_stream_cancel(given_up);
    check_says(client);
    int code;
    do code = lipc_stream_read(given_up, soon(), &delta);
    while (code == LIPC_E_OK && delta.n_bytes > 0);
    CHECK(code == LIPC_E_CANCELLED || code == LIPC_E_OK); /* OK: this program stood still until the answer was there */
    lipc_stream_close(given_up);
}

static void load_ends(lipc_client *client, const char *path, int code) {
    lipc_stream *stream;
    lipc_delta delta;
    CHECK_LIPC(lipc_client_load(client, path, &stream), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), code);
    lipc_stream_close(stream);
}

static void another_model(const segment *segment, lipc_client *client) {
    test_step("another model, asked for while it sleeps");
    wait_asleep(segment);
    load_ends(client, "/nowhere.gguf", LIPC_E_REFUSED);
    CHECK(is_asleep(segment));
    load_ends(client, other, LIPC_E_OK);
    CHECK_INT(NOW(hub_in(segment)->n_vocab), ==, SMALL_VOCABULARY);
    wait_asleep(segment);
    lipc_request request = request_of(QUESTION);
    request.n_predict = 5;
    lipc_stream *stream = submit(client, &request);
    reading text = read_to_end(stream);
    CHECK_INT(text.code, ==, 0);
    free(text.text);
    lipc_stream_close(stream);
    CHECK_INT(NOW(hub_in(segment)->n_vocab), ==, SMALL_VOCABULARY);
    load_ends(client, own, LIPC_E_OK);
    check_says(client);
}

static void worker_dies(const test_host *host, const segment *segment, lipc_client *client) {
    test_step("its worker is killed while it sleeps, and while it wakes");
    wait_asleep(segment);
    pid_t worker = worker_awaited(host);
    worker_killed(host, worker, SIGKILL);
    check_says(client);
    wait_asleep(segment);
    worker = worker_awaited(host);
    kill(worker, SIGSTOP);
    lipc_stream *stream = ask(client, QUESTION);
    worker_killed(host, worker, SIGKILL);
    check_answer(stream, says.text, says.n_bytes);
    lipc_stream_close(stream);
}

static void model_is_gone(const segment *segment, lipc_client *client) {
    lipc_delta delta;
    test_step("the model's file is gone, and comes back");
    wait_asleep(segment);
    CHECK_INT(rename(own, aside), ==, 0);
    for (int i = 0; i < 2; i++) {
        lipc_stream *stream = ask(client, QUESTION);
        CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), LIPC_E_FAILED);
        CHECK_SAY(strstr(lipc_error_message(), own), "%s", lipc_error_message());
        lipc_stream_close(stream);
        CHECK(is_asleep(segment));
        CHECK_INT(hub_state(segment), ==, LIPC_HUB_READY);
    }
    CHECK_INT(rename(aside, own), ==, 0);
    check_says(client);
}

typedef struct seen {
    int n_loading, last_per_mille;
} seen;

static int on_status(void *user_data, const lipc_host_status *status) {
    seen *seen = user_data;
    if (status->state != LIPC_HOST_LOADING) return 0;
    CHECK_INT(status->is_asleep, ==, 0);
    CHECK_INT(status->load_per_mille, >=, seen->last_per_mille);
    seen->last_per_mille = status->load_per_mille;
    seen->n_loading++;
    return 0;
}

#define SLOW(path) ((const char *const[]){"--replay", path, "--log-level", "warn", "--sleep-idle-seconds", "1", NULL})
enum { TRIES = 10 };

/* Asks it while it sleeps, and returns when it is stopped in the middle of loading; NULL: this test was too slow to see that. */
static lipc_stream *caught_waking(test_host *host, const segment *segment, lipc_client *client) {
    wait_asleep(segment);
    lipc_stream *stream = ask(client, QUESTION);
    CHECK(WAITED(SOON_MS, hub_state(segment) == LIPC_HUB_LOADING || progress_of(stream).state != LIPC_STREAM_QUEUED));
    host_pause(host);
    if (hub_state(segment) == LIPC_HUB_LOADING) return stream;
    host_resume(host);
    check_answer(stream, "Yes.", 4);
    lipc_stream_close(stream);
    return NULL;
}

static lipc_stream *catch_waking(test_host *host, const segment *segment, lipc_client *client) {
    lipc_stream *stream = NULL;
    for (int i = 0; i < TRIES && !stream; i++) stream = caught_waking(host, segment, client);
    CHECK_SAY(stream, "it is never seen loading");
    return stream;
}

/* With a model that takes its time. It does not sleep while it is at work. */
static void slow_model(const char *instance, const char *path) {
    test_host host;
    lipc_delta delta;
    seen seen = {0, 0};
    test_step("progress of a slow model; told to end while it wakes");
    segment segment = host_ready(&host, instance, SLOW(path));
    lipc_client *client = client_of(instance);
    lipc_stream *stream = catch_waking(&host, &segment, client);
    CHECK_LIPC(lipc_client_wait_ready(client, 20, on_status, &seen), LIPC_E_TIMEOUT);
    CHECK_INT(seen.n_loading, >, 0);
    host_resume(&host);
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), on_status, &seen), LIPC_E_OK);
    CHECK(WAITED(SOON_MS, is_asleep(&segment) || progress_of(stream).n_tokens > 0));
    CHECK_SAY(!is_asleep(&segment) || progress_of(stream).n_tokens > 0, "it sleeps in the middle of an answer");
    check_answer(stream, "Yes.", 4);
    lipc_stream_close(stream);
    stream = catch_waking(&host, &segment, client);
    kill(host.pid, SIGTERM);
    host_resume(&host);
    CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), LIPC_E_HOST_GONE);
    host_expect_exit(&host, 0, SOON_MS);
    lipc_stream_close(stream);
    lipc_client_close(client);
    segment_close(&segment);
}

static void told_to_end(const char *instance, const char *path) {
    test_host host;
    test_step("told to end while it sleeps");
    segment segment = host_ready(&host, instance, SLOW(path));
    wait_asleep(&segment);
    kill(host.pid, SIGTERM);
    host_expect_exit(&host, 0, SOON_MS);
    segment_close(&segment);
}

int main(void) {
    static const char tape[] = "lipc replay 1\nloads 400\nanswer\npause 2500\ntext \"Yes.\"\nend\n";
    char instance[64], path[256];
    test_host host;
    test_begin("sleep_idle", 150);
    expect_crashes();
    make_files();
    atexit(remove_files);
    test_instance(instance, "sleep");
    segment segment = host_ready(&host, instance, SLEEPY("-m", own));
    lipc_client *client = client_of(instance);
    falls_asleep(&host, &segment, client);
    wakes(&segment, instance, client);
    detached(&segment, instance, client);
    cancelled(&segment, client);
    another_model(&segment, client);
    worker_dies(&host, &segment, client);
    model_is_gone(&segment, client);
    lipc_client_close(client);
    end_host(&host, &segment);
    test_file(path, tape, sizeof tape - 1);
    slow_model(instance, path);
    told_to_end(instance, path);
    free(says.text);
    return test_end();
}
