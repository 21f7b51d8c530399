/* silent_publishing.c - text that nobody sleeps for costs no system call on either side, and a reader that wants to be
 * woken at most 60 times a second is, with nothing late at the beginning or the end.
 *
 * Promised: no system call while publishing with nobody asleep; at most 62 wake-ups in any second at 60.
 */
#include "modern_test.h"

enum { WAKES = 60, PROMISED_WAKES = 62, ROUNDS = 5, SLOW_TOKENS = 4 };
/* What the pace held up would be late by nearly a second, every time, where it is one wake-up a second. Half of that, once
 * in some rounds, is no question of speed. How late things are is the benchmark's (clients.paced.last_delay). */
enum { SLOW_WAKES = 1, HELD_UP_MS = 500 };

static double wall_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- No system call ---- */

static bool every_thread_is_traced(pid_t pid) {
    for (int tid = pid; tid < pid + 64; tid++) {
        char path[64], line[256];
        int tracer = 1;
        snprintf(path, sizeof path, "/proc/%d/task/%d/status", (int)pid, tid);
        FILE *status = fopen(path, "r");
        while (status && fgets(line, sizeof line, status))
            sscanf(line, "TracerPid: %d", &tracer);
        if (status)
            fclose(status);
        if (tracer == 0)
            return false;
    }
    return true;
}

/* Follows the host with strace, which writes into `output`. Where that is not allowed nothing can be shown. */
static pid_t trace(pid_t pid, const char *calls, const char *output) {
    char pid_text[16];
    snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
    pid_t tracer = fork();
    CHECK(tracer >= 0);
    if (tracer == 0) {
        execlp("strace", "strace", "-f", "-qq", "-ttt", "-e", calls, "-o", output, "-p", pid_text, (char *)NULL);
        _exit(127);
    }
    int status;
    bool has_ended = false;
    CHECK_SAY(WAITED(SOON_MS, (has_ended = waitpid(tracer, &status, WNOHANG) == tracer) || every_thread_is_traced(pid)),
              "strace does not attach");
    if (has_ended)
        test_skip("strace is missing or may not trace: status %x", (unsigned)status);
    return tracer;
}

static void trace_end(pid_t tracer) {
    int status;
    kill(tracer, SIGINT);
    CHECK_INT(waitpid(tracer, &status, 0), ==, tracer);
}

/* Calls of the trace between two moments of the wall clock whose line holds `part`, of one thread or (0) of all. */
static int calls_between(const char *output, int of_thread, double begin_s, double end_s, const char *part) {
    char line[512];
    int n = 0;
    FILE *file = fopen(output, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file)) {
        int thread;
        double when;
        if (sscanf(line, "%d %lf", &thread, &when) != 2 || when < begin_s || when > end_s || !strstr(line, part))
            continue;
        if (of_thread && thread != of_thread)
            continue;
        n++;
    }
    fclose(file);
    return n;
}

/* Looks without waiting, as a user interface does for each frame, and remembers when it saw the first and the last text
 * before the end. */
static void poll_to_end(const segment *segment, lipc_stream *stream, const script *script, double *first_s,
                        double *last_s) {
    reading text = {0};
    lipc_client_record *record = record_in(segment, 0);
    lipc_stream_header *header = stream_in(segment, 0);
    for (;;) {
        double looked_s = wall_s();
        bool was_running = state_of(header) != LIPC_STREAM_ENDED;
        bool has_text = read_some(stream, 0, &text);
        CHECK_SAY(NOW(record->bell.armed) == 0, "a reader that only looks has armed its bell");
        if (has_text && *first_s == 0)
            *first_s = wall_s();
        if (has_text && was_running)
            *last_s = looked_s;
        if (!has_text && text.code != LIPC_E_TIMEOUT)
            break;
    }
    CHECK_SAY(text.code == 0, "%s: %s", lipc_error_name(text.code), lipc_error_message());
    CHECK(script_has(script, 0, text.text, text.n_bytes));
    free(text.text);
}

/* The main thread publishes. The others may have reasons of their own for what they do, but wake nobody. */
static void nobody_sleeps(const char *rate, const char *calls, const char *part, int n_predict, const script *script) {
    char instance[64], output[64];
    test_host host;
    double first_s = 0, last_s = 0;
    test_step("%s of the host while a reader only looks, --rate %s", calls, rate);
    test_instance(instance, "silent");
    int fd = memfd_create("trace", MFD_CLOEXEC);
    snprintf(output, sizeof output, "/proc/%d/fd/%d", (int)getpid(), fd);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", rate, "--response-size", "8M"));
    lipc_client *client = client_of(instance);
    CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->n_attached) == 1));
    pid_t tracer = trace(host_worker(&host), calls, output);
    lipc_request request = request_of("go on");
    request.ignore_eos = 1;
    request.n_predict = n_predict;
    lipc_stream *stream = submit(client, &request);
    poll_to_end(&segment, stream, script, &first_s, &last_s);
    int n_tokens = progress_of(stream).n_tokens;
    trace_end(tracer);
    CHECK_INT(n_tokens, ==, n_predict);
    int n_calls = calls_between(output, host_worker(&host), first_s, last_s, part);
    int n_wakes = calls_between(output, 0, first_s, last_s, "FUTEX_WAKE");
    int n_all = calls_between(output, host_worker(&host), 0, 1e12, part);
    printf("  %d such calls in %.0f ms between the first and the last of %d tokens, %d in all\n", n_calls,
           (last_s - first_s) * 1e3, n_tokens, n_all);
    CHECK(last_s > first_s);
    /* None for a token: what memory allocation asks of the system now and then is for thousands. */
    CHECK_INT(n_calls, <=, n_tokens / 10000);
    CHECK_INT(n_wakes, ==, 0);
    close(fd);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* The trace shows wake-ups where there are some. */
static void somebody_sleeps(const script *script) {
    char instance[64], output[64];
    test_host host;
    test_step("the same with a reader that sleeps");
    test_instance(instance, "heard");
    int fd = memfd_create("trace", MFD_CLOEXEC);
    snprintf(output, sizeof output, "/proc/%d/fd/%d", (int)getpid(), fd);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "200"));
    lipc_client *client = client_of(instance);
    pid_t tracer = trace(host_worker(&host), "trace=futex", output);
    lipc_request request = request_of("go on");
    request.n_predict = 50;
    lipc_stream *stream = submit(client, &request);
    check_answer(stream, script->text, tokens_end(script, 50));
    trace_end(tracer);
    int n_calls = calls_between(output, 0, 0, 1e12, "FUTEX_WAKE");
    printf("  %d wake-ups for 50 tokens\n", n_calls);
    CHECK_INT(n_calls, >, 10);
    close(fd);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* ---- Paced ---- */

static long voluntary_switches(void) {
    char line[256];
    long n = -1;
    FILE *status = fopen("/proc/thread-self/status", "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status))
        sscanf(line, "voluntary_ctxt_switches: %ld", &n);
    fclose(status);
    return n;
}

/* The most events in any second, of events counted as `counts` at `times`. */
static long most_in_a_second(const double *times_ms, const long *counts, int n) {
    long most = 0;
    for (int first = 0, last = 0; first < n; first++) {
        while (last + 1 < n && times_ms[last + 1] - times_ms[first] < 1000)
            last++;
        long events = counts[last] - counts[first] + 1;
        if (events > most)
            most = events;
    }
    return most;
}

static void paced(const script *script) {
    enum { MOST = 4000, N_PREDICT = 6000 };
    static double times_ms[MOST];
    static long returns[MOST], switches[MOST];
    char instance[64];
    test_host host;
    lipc_client_options options;
    lipc_client *client;
    reading text = {0};
    int n = 0;
    test_step("at most %d wake-ups a second, 2,000 tokens a second", WAKES);
    test_instance(instance, "paced");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "2000"));
    lipc_client_options_init(&options);
    options.name = instance;
    options.wakes_per_second = WAKES;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    lipc_request request = request_of("go on");
    request.ignore_eos = 1;
    request.n_predict = N_PREDICT;
    lipc_stream *stream = submit(client, &request);
    while (n < MOST && read_some(stream, soon(), &text)) {
        times_ms[n] = (double)now_ns() / 1e6;
        returns[n] = n;
        switches[n] = voluntary_switches();
        n++;
    }
    CHECK_SAY(text.code == 0, "%s: %s", lipc_error_name(text.code), lipc_error_message());
    CHECK(script_has(script, 0, text.text, text.n_bytes));
    CHECK_INT(progress_of(stream).n_tokens, ==, N_PREDICT);
    long most_returns = most_in_a_second(times_ms, returns, n), most_switches = most_in_a_second(times_ms, switches, n);
    printf("  %d reads in %.0f ms; in any second at most %ld reads and %ld times asleep (promised: %d)\n", n,
           times_ms[n - 1] - times_ms[0], most_returns, most_switches, PROMISED_WAKES);
    CHECK_INT(most_returns, <=, PROMISED_WAKES);
    /* Whatever else makes this process sleep counts, too. */
    CHECK_INT(most_switches, <=, PROMISED_WAKES * 2);
    CHECK_INT(n, >, 3); /* in pieces, and not once at the end */
    free(text.text);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static lipc_client *client_with_pace(const char *instance, int wakes_per_second) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    options.wakes_per_second = wakes_per_second;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    return client;
}

/* The first text and the end ring whatever the pace. */
static void ends_at_once(const script *script) {
    char instance[64];
    test_host host;
    double first_late[ROUNDS], end_late[ROUNDS];
    test_step("one wake-up a second: first text and end come at once");
    test_instance(instance, "ends");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "500"));
    lipc_client *client = client_with_pace(instance, SLOW_WAKES);
    for (int round = 0; round < ROUNDS; round++) {
        reading text = {0};
        lipc_request request = request_of("go on");
        request.n_predict = 100;
        lipc_stream *stream = submit(client, &request);
        CHECK(read_some(stream, soon(), &text));
        uint64_t first_ns = now_ns();
        while (read_some(stream, soon(), &text))
            ;
        const lipc_stream_header *header = stream_in(&segment, 0);
        end_late[round] = (double)(int64_t)(now_ns() - header->ended_ns) / 1e6;
        first_late[round] = (double)(int64_t)(first_ns - header->first_token_ns) / 1e6;
        CHECK_INT(text.code, ==, 0);
        CHECK_INT(text.n_bytes, ==, tokens_end(script, 100));
        free(text.text);
        lipc_stream_close(stream);
        CHECK(WAITED(SOON_MS, streams_in_use(&segment) == 0)); /* the next is in the same place */
    }
    double first = quantile(first_late, ROUNDS, 0), end = quantile(end_late, ROUNDS, 0);
    printf("  at best %.2f and %.2f ms late\n", first, end);
    CHECK_SAY(first < HELD_UP_MS, "the first text is held up: %.1f ms late at best", first);
    CHECK_SAY(end < HELD_UP_MS, "the end is held up: %.1f ms late at best", end);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* Between two reads of a slow answer the pace does not hold anything up. */
static void paced_but_slow(const script *script) {
    char instance[64];
    test_host host;
    reading text = {0};
    double late[SLOW_TOKENS];
    int n = 0;
    test_step("the same with fewer tokens than that: each comes at once");
    test_instance(instance, "slow");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0.6"));
    lipc_client *client = client_with_pace(instance, SLOW_WAKES);
    lipc_request request = request_of("go on");
    request.n_predict = SLOW_TOKENS;
    lipc_stream *stream = submit(client, &request);
    while (read_some(stream, soon(), &text)) {
        lipc_token token;
        size_t n_copied;
        uint64_t read_ns = now_ns();
        CHECK_INT(n, <, SLOW_TOKENS);
        CHECK_LIPC(lipc_stream_tokens(stream, (size_t)n, &token, 1, &n_copied), LIPC_E_OK);
        CHECK_INT(n_copied, ==, 1);
        late[n++] = (double)(int64_t)(read_ns - stream_in(&segment, 0)->started_ns - token.time_ns) / 1e6;
    }
    CHECK_INT(text.code, ==, 0);
    double best = quantile(late + 1, n - 1, 0); /* the first has no read before it */
    printf("  at best %.2f ms late\n", best);
    CHECK_SAY(best < HELD_UP_MS, "tokens are held up: %.1f ms late at best", best);
    free(text.text);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(void) {
    test_begin("silent_publishing", 90);
    script script = script_new(8000);
    paced(&script);
    ends_at_once(&script);
    paced_but_slow(&script);
    nobody_sleeps("0", "trace=all", "", 1000000, &script);
    nobody_sleeps("2000", "trace=futex", "FUTEX_WAKE", 4000, &script);
    somebody_sleeps(&script);
    free(script.text);
    return test_end();
}
