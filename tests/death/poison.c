/* poison.c - a request that brings the worker down again and again is failed with an error that says so, and the others
 * go on; who is killed from outside has not failed.
 *
 * In ordinary builds no request crashes the worker on purpose: the test crashes it (SIGSEGV) while a certain answer is the
 * only one at work. In builds with steps (src/platform/failpoint.h) the request itself does.
 *
 * poison [rate] tokens a second of each answer: slower is safer on a slow machine
 */
#include "worker_test.h"

enum { QUARANTINED = 3, PLENTY = 6 };

static const char *rate = "4";

/* Short: its answers take seconds at a rate at which a test can act between two tokens. */
static script short_script(void) {
    return script_new(80);
}

static segment host_slow(test_host *host, const char *instance, const script *script, const char *n_parallel) {
    return host_ready(host, instance, (const char *const[]){"--replay", script->path, "--log-level", "error", "--rate",
                                                           rate, "-np", n_parallel, NULL});
}

/* Waits until n of the requests are being worked on by a worker that serves. */
static pid_t worker_at_work(const test_host *host, const segment *segment, uint32_t n_running) {
    pid_t worker = 0;
    CHECK_SAY(WAITED(SOON_MS, (worker = process_child(host->pid)) > 0 && worker_serves(segment, worker) &&
                                  NOW(hub_in(segment)->n_running) == n_running),
              "%u are at work, not %u", NOW(hub_in(segment)->n_running), n_running);
    return worker;
}

static bool has_failed(lipc_stream *stream) {
    lipc_progress progress = progress_of(stream);
    return progress.state == LIPC_STREAM_ENDED && progress.end == LIPC_END_FAILED;
}

static int count_failed(lipc_stream *const *streams, int n) {
    int n_failed = 0;
    for (int i = 0; i < n; i++)
        n_failed += has_failed(streams[i]);
    return n_failed;
}

static bool all_have_text(lipc_stream *const *streams, int n) {
    for (int i = 0; i < n; i++)
        if (progress_of(streams[i]).n_bytes == 0)
            return false;
    return true;
}

/* Text up to the failure, and a sentence that names the crashes and how the worker ended. */
static void check_failed(lipc_stream *stream, const script *script, const char *signal_words) {
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == LIPC_E_FAILED, "%s (%s)", lipc_error_name(text.code), lipc_error_message());
    const char *message = lipc_error_message();
    CHECK_SAY(strstr(message, "crashed") && strstr(message, signal_words), "it says \"%s\"", message);
    CHECK(script_has(script, 0, text.text, text.n_bytes));
    CHECK_INT(text.n_bytes, <, script->n_bytes);
    free(text.text);
}

static void check_all_but_failed(lipc_stream *const *streams, int n, const script *script, const char *signal_words) {
    for (int i = 0; i < n; i++) {
        if (has_failed(streams[i]))
            check_failed(streams[i], script, signal_words);
        else
            check_whole(streams[i], script);
        lipc_stream_close(streams[i]);
    }
}

/* Three answers are at work when the worker crashes, and one waits. The three are tried one at a time; whoever is at work
 * at the second crash fails, nobody else. */
static void second_crash(const script *script) {
    char instance[64];
    test_host host;
    lipc_stream *streams[QUARANTINED + 1];
    test_step("of %d at work at a crash, the one at work at the next fails", QUARANTINED);
    test_instance(instance, "crash");
    segment segment = host_slow(&host, instance, script, "3");
    host_files files = host_files_now(&host);
    lipc_client *client = client_of(instance);
    for (int i = 0; i <= QUARANTINED; i++)
        streams[i] = ask(client, "what is it like?");
    CHECK(WAITED(SOON_MS, all_have_text(streams, QUARANTINED)));
    for (int crash = 0; crash < PLENTY && count_failed(streams, QUARANTINED + 1) == 0; crash++) {
        uint32_t n_at_work = crash == 0 ? QUARANTINED : 1;
        worker_killed(&host, worker_at_work(&host, &segment, n_at_work), SIGSEGV);
        worker_at_work(&host, &segment, 1);
    }
    CHECK_INT(count_failed(streams, QUARANTINED + 1), ==, 1);
    check_all_but_failed(streams, QUARANTINED + 1, script, death_words(SIGSEGV));
    lipc_client_close(client);
    host_check_files(&host, files);
    end_host(&host, &segment);
}

/* Each crash is followed by a token: nobody is the only suspect, and one that was there too often fails nevertheless. */
static void too_many_crashes(const script *script) {
    enum { MOST = 8 };
    char instance[64];
    test_host host;
    int n_crashes = 0;
    test_step("an answer that was at work at %d crashes fails, whatever it made in between", MOST);
    test_instance(instance, "often");
    segment segment = host_slow(&host, instance, script, "1");
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "what is it like?");
    while (n_crashes < MOST) {
        int n_before = progress_of(stream).n_tokens;
        CHECK(WAITED(SOON_MS, progress_of(stream).n_tokens > n_before));
        CHECK_SAY(!has_failed(stream), "it failed after %d crashes", n_crashes);
        worker_killed(&host, worker_at_work(&host, &segment, 1), SIGABRT);
        n_crashes++;
    }
    check_failed(stream, script, death_words(SIGABRT));
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void killed_from_outside(const script *script) {
    enum { KILLS = 15 };
    char instance[64];
    test_host host;
    lipc_stream *streams[QUARANTINED];
    test_step("%d kills from outside without a token in between fail nobody", KILLS);
    test_instance(instance, "outside");
    segment segment = host_slow(&host, instance, script, "3");
    lipc_client *client = client_of(instance);
    for (int i = 0; i < QUARANTINED; i++)
        streams[i] = ask(client, "what is it like?");
    CHECK(WAITED(SOON_MS, all_have_text(streams, QUARANTINED)));
    for (int i = 0; i < KILLS; i++)
        worker_killed(&host, worker_at_work(&host, &segment, QUARANTINED), SIGKILL);
    for (int i = 0; i < QUARANTINED; i++) {
        check_whole(streams[i], script);
        lipc_stream_close(streams[i]);
    }
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* A request that makes the system kill the worker for its memory must not do so for ever. */
static void killed_for_ever(const script *script) {
    enum { FRUITLESS = 20 };
    char instance[64];
    test_host host;
    test_step("more than %d kills in a row without a token are its fault", FRUITLESS);
    test_instance(instance, "forever");
    /* So slow that there is never a second token. */
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0.001", "--log-level", "error"));
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "what is it like?");
    CHECK(WAITED(SOON_MS, all_have_text(&stream, 1)));
    int n_kills = 0;
    /* The first death was after a token. */
    for (; n_kills <= FRUITLESS; n_kills++)
        worker_killed(&host, worker_at_work(&host, &segment, 1), SIGKILL);
    check_failed(stream, script, death_words(SIGKILL));
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static bool is_complete(const guide_client *guide) {
    return guide->block[40966] != 0;
}

/* A request of the guide's channel: its text ends with the error, and the next client is served. */
static void classic_request(const script *script) {
    char instance[64], beginning[128];
    test_host host;
    guide_client guide;
    static guide_update update;
    test_step("the same for a client of the guide");
    test_instance(instance, "guide");
    segment segment = host_slow(&host, instance, script, "3");
    CHECK(guide_open_within(&guide, instance, 5000));
    stream_until(&guide, QUESTION, 2);
    /* Two, unless a token comes before the second: then one more. */
    for (int crash = 0; crash < PLENTY && !is_complete(&guide); crash++) {
        pid_t worker = worker_awaited(&host);
        CHECK(WAITED(SOON_MS, is_complete(&guide) || (worker_serves(&segment, worker) &&
                                                      NOW(hub_in(&segment)->n_running) == 1)));
        if (!is_complete(&guide))
            worker_killed(&host, worker, SIGSEGV);
    }
    CHECK(guide_receive_stream(&guide, soon(), NULL, NULL, &update));
    const char *error = strstr(update.text, "[error: ");
    CHECK_SAY(error && strstr(error, "crashed") && strstr(error, death_words(SIGSEGV)), "it says \"%s\"", update.text);
    snprintf(beginning, sizeof beginning, "%.*s", (int)(error - update.text), update.text);
    CHECK_SAY(test_is_prefix(beginning, strlen(beginning), script->text) && beginning[0], "before the error: \"%s\"",
              beginning);
    check_idle_permits(&guide);
    CHECK(guide_stream(&guide, NULL, QUESTION, soon(), &update));
    CHECK_TEXT(update.text, script->text);
    check_idle_permits(&guide);
    guide_close(&guide);
    end_host(&host, &segment);
}

#ifdef LIPC_FAILPOINTS
/* The request itself crashes whoever works on it. */
static void poisonous_request(const script *script) {
    char instance[64];
    test_host host;
    lipc_stream *streams[QUARANTINED];
    test_step("a request that crashes the worker whenever it is worked on");
    test_instance(instance, "poison");
    CHECK_INT(setenv("LIPC_FAILPOINT", "serve.step.at_work:1:segv", 1), ==, 0);
    CHECK_INT(setenv("LIPC_FAILPOINT_TEXT", "poison", 1), ==, 0);
    segment segment = host_slow(&host, instance, script, "3");
    unsetenv("LIPC_FAILPOINT");
    unsetenv("LIPC_FAILPOINT_TEXT");
    lipc_client *client = client_of(instance);
    for (int i = 0; i < QUARANTINED; i++)
        streams[i] = ask(client, i == 1 ? "this is poison" : "what is it like?");
    check_failed(streams[1], script, death_words(SIGSEGV));
    CHECK_INT(count_failed(streams, QUARANTINED), ==, 1);
    CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->n_recoveries) == 2));
    check_all_but_failed(streams, QUARANTINED, script, death_words(SIGSEGV));
    lipc_client_close(client);
    end_host(&host, &segment);
}
#endif

int main(int argc, char *argv[]) {
    if (argc > 1)
        rate = argv[1];
    test_begin("poison", 120);
    expect_crashes();
    script script = short_script();
    second_crash(&script);
    too_many_crashes(&script);
    killed_from_outside(&script);
    killed_for_ever(&script);
    classic_request(&script);
#ifdef LIPC_FAILPOINTS
    poisonous_request(&script);
#endif
    free(script.text);
    return test_end();
}
