/* rows_recovery.c - the pause that a reader sees when the host's worker is killed: from kill -9 to the first text that
 * the next worker made.
 */
#include "rows.h"

#include <signal.h>
#include <string.h>

#define N_KILLS 50
#define N_MODEL_KILLS 10
#define RATE 1000
#define TOKENS_BETWEEN 20
#define TOKENS_BEFORE_MODEL_KILL 64
#define LIMIT_MS 20000

/* Waits for text and returns how many bytes of the answer there are with it. */
static uint64_t read_on(lipc_stream *stream) {
    lipc_delta delta;
    if (lipc_stream_read(stream, LIMIT_MS, &delta) < 0)
        fail("a reader whose host's worker was killed: %s", lipc_error_message());
    if (delta.n_bytes == 0)
        fail("an answer ended before its worker was killed");
    return delta.offset + delta.n_bytes;
}

static lipc_progress progress_of(lipc_stream *stream) {
    lipc_progress progress;
    if (lipc_stream_progress(stream, &progress) < 0)
        fail("a stream: %s", lipc_error_message());
    return progress;
}

static void read_tokens(lipc_stream *stream, int n_tokens) {
    const int end = progress_of(stream).n_tokens + n_tokens;
    do
        read_on(stream);
    while (progress_of(stream).n_tokens < end);
}

/* Waits until the killed worker is gone and another has been started, which cannot have done anything yet. */
static void wait_for_next_worker(pid_t host, pid_t dead) {
    const int64_t deadline = now_ns() + LIMIT_MS * 1000000LL;
    for (pid_t child = dead; child == dead || child == 0; child = process_child(host)) {
        if (now_ns() > deadline)
            fail("the host, process %d, does not replace its worker, process %d", (int)host, (int)dead);
        sleep_ns(50000);
    }
}

/* Milliseconds from kill -9 of the worker until its successor's first text has been read. */
static double measure_pause(pid_t host, lipc_stream *stream) {
    const pid_t worker = process_child(host);
    if (worker <= 0)
        fail("the host, process %d, has no worker to kill", (int)host);
    const int64_t killed = now_ns();
    kill(worker, SIGKILL);
    wait_for_next_worker(host, worker);
    const uint64_t n_bytes = progress_of(stream).n_bytes; /* that the dead worker published */
    while (read_on(stream) <= n_bytes) {
    }
    return (double)(now_ns() - killed) / 1e6;
}

/* Workers that play a text are there at once: what is left is what the host itself takes. */
static void add_replay_pauses(results *list, const bench_options *options) {
    static samples pauses;
    host_subject host;
    pauses.n = 0;
    replay_start(&host, options, replay_text(1000, NULL), RATE, 8);
    lipc_client *client = modern_open(host.name, 0);
    lipc_stream *stream = modern_ask(client, true);
    wait_for_quiet(host.pid, 0);
    for (int i = 0; i < N_KILLS; i++) {
        read_tokens(stream, TOKENS_BETWEEN);
        samples_add(&pauses, measure_pause(host.pid, stream));
    }
    lipc_stream_close(stream);
    lipc_client_close(client);
    host_stop(&host);
    results_add(list, "recovery.next_token", samples_median(&pauses), "ms", results_at_most(100),
                "kill -9 of the worker to the next token at a client, no model");
    results_add(list, "recovery.next_token_max", samples_max(&pauses), "ms", results_at_most(100), "the slowest of 50");
}

/* With the embedded model the next worker loads it, and evaluates the prompt and the answer so far: both are measured
 * just before, in the same host. */
static void add_model_pauses(results *list, const bench_options *options) {
    static samples pauses, loads, evaluations, above;
    pauses.n = loads.n = evaluations.n = above.n = 0;
    for (int i = 0; i < N_MODEL_KILLS; i++) {
        host_subject host;
        const int64_t start = now_ns();
        embedded_start(&host, options);
        lipc_client *client = modern_open(host.name, 0);
        const double load_ms = (double)(now_ns() - start) / 1e6;
        lipc_stream *stream = modern_ask(client, true);
        wait_for_quiet(host.pid, 0);
        read_tokens(stream, TOKENS_BEFORE_MODEL_KILL);
        const lipc_progress before = progress_of(stream);
        const double evaluation_ms = (double)(before.prompt_ns + before.generate_ns) / 1e6;
        const double pause_ms = measure_pause(host.pid, stream);
        samples_add(&loads, load_ms);
        samples_add(&evaluations, evaluation_ms);
        samples_add(&pauses, pause_ms);
        samples_add(&above, pause_ms - load_ms - evaluation_ms);
        lipc_stream_close(stream);
        lipc_client_close(client);
        host_stop(&host);
    }
    results_add(list, "recovery.model.above", samples_median(&above), "ms", results_at_most(100),
                "the same with the embedded model, less the two below");
    results_add(list, "recovery.model.load", samples_median(&loads), "ms", results_no_bar(),
                "from starting its host to a client that knows it is ready");
    results_add(list, "recovery.model.evaluation", samples_median(&evaluations), "ms", results_no_bar(),
                "of the prompt and the answer when the worker was killed");
    results_add(list, "recovery.model.next_token", samples_median(&pauses), "ms", results_no_bar(),
                "the pause itself, after some 64 tokens");
}

void rows_recovery(results *list, const bench_options *options) {
    add_replay_pauses(list, options);
    add_model_pauses(list, options);
}
