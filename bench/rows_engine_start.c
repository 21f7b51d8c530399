/* rows_engine_start.c - from starting a host until it serves, and from the end of its worker until the next one goes on.
 */
#include "rows.h"

#include "concurrent.h"
#include "peer.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define N_CTX 4096
#define N_WORDS 32
#define N_PUBLISHED 1000 /* tokens, when the worker is killed */
#define TOKENS_BETWEEN 16
#define LIMIT_MS 120000

static const bench_model *const large[] = {&bench_model_374m, &bench_model_1_1b, &bench_models[0]};
enum { N_LARGE = sizeof large / sizeof *large };

static void add_row(results *list, const bench_model *model, const char *rest, double value, const char *unit, results_bar bar,
                    const char *what) {
    char name[64];
    snprintf(name, sizeof name, "engine.%s.%s", model->name, rest);
    results_add(list, name, value, unit, bar, what);
}

/* ---- ready after start ------------------------------------------------------------------------------------------- */

/* Milliseconds until a client knows that it is ready. */
static double start_host_ms(host_subject *host, const bench_options *options, const char *path, int n_parallel) {
    const int64_t start = now_ns();
    host_start_for(host, options, path, options->n_threads, N_CTX / n_parallel, n_parallel, NULL);
    lipc_client_close(modern_open(host->name, 0));
    return (double)(now_ns() - start) / 1e6;
}

static double start_server_ms(const bench_options *options, const peer_setup *setup) {
    peer_server server;
    if (!peer_is_there(options))
        return NAN;
    const int64_t start = now_ns();
    peer_start(&server, options, setup);
    const double ms = (double)(now_ns() - start) / 1e6;
    peer_stop(&server);
    return ms;
}

/* The first start reads the file into memory, and does not count. */
static void measure_ready(results *list, const bench_options *options, const bench_model *model) {
    enum { N_PARALLEL = 4 };
    static samples ratios, ours, theirs;
    const char *path = model_path(options, model);
    const peer_setup setup = {path, N_CTX / N_PARALLEL, N_PARALLEL, options->n_threads, NULL};
    ratios.n = ours.n = theirs.n = 0;
    for (int round = 0; round <= options->n_rounds; round++) {
        host_subject host;
        wait_for_quiet(0, 0);
        const double host_ms = start_host_ms(&host, options, path, N_PARALLEL);
        host_stop(&host);
        const double server_ms = start_server_ms(options, &setup);
        if (round == 0)
            continue;
        samples_add(&ours, host_ms);
        samples_add(&theirs, server_ms);
        samples_add(&ratios, host_ms / server_ms);
    }
    add_row(list, model, "ready.of_server", samples_median(&ratios), "ratio", results_at_most(0.5),
            "from start to serving, over llama-server's; the file is in memory");
    add_row(list, model, "ready.host", samples_median(&ours), "ms", results_no_bar(), "");
    add_row(list, model, "ready.server", samples_median(&theirs), "ms", results_no_bar(), "");
}

/* ---- the worker is killed ---------------------------------------------------------------------------------------- */

static lipc_progress progress_of(lipc_stream *stream) {
    lipc_progress progress;
    if (lipc_stream_progress(stream, &progress) < 0)
        fail("a stream: %s", lipc_error_message());
    return progress;
}

/* Reads until so many tokens are there; returns how many. */
static int read_to(lipc_stream *stream, int n_tokens) {
    lipc_delta delta;
    int n;
    while ((n = progress_of(stream).n_tokens) < n_tokens) {
        if (lipc_stream_read(stream, LIMIT_MS, &delta) < 0 || delta.n_bytes == 0)
            fail("an answer ended early: %s", lipc_error_message());
    }
    return n;
}

/* All the tokens that are there now are known to the reader, and the worker ends before there is another. */
static int kill_worker(pid_t host, lipc_stream *stream) {
    const pid_t worker = process_child(host);
    if (worker <= 0)
        fail("the host, process %d, has no worker to kill", (int)host);
    kill(worker, SIGKILL);
    while (process_child(host) == worker)
        sleep_ns(50000);
    return progress_of(stream).n_tokens;
}

/* One answer, whose worker is killed several times behind its first 1,000 tokens. Loading is what starting such a host takes; the
 * evaluation, llama-bench's time for as many tokens of prompt. */
static void measure_killed(results *list, const bench_options *options, const bench_model *model) {
    static samples ratios, pauses, loads, evaluations;
    host_subject host;
    const char *path = model_path(options, model);
    const peer_setup setup = {path, N_CTX, 1, options->n_threads, NULL};
    ratios.n = pauses.n = loads.n = evaluations.n = 0;
    start_host_ms(&host, options, path, 1);
    const lipc_message message = {"user", concurrent_text(80000, N_WORDS)};
    lipc_client *client = modern_open(host.name, 0);
    lipc_stream *stream;
    lipc_request request;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    request.n_predict = -1;
    request.ignore_eos = 1;
    if (lipc_stream_open(client, &request, &stream) < 0)
        fail("a request failed: %s", lipc_error_message());
    int n_tokens = read_to(stream, N_PUBLISHED);
    for (int round = 0; round < options->n_rounds; round++) {
        const int64_t killed = now_ns();
        n_tokens = kill_worker(host.pid, stream);
        read_to(stream, n_tokens + 1);
        const double pause = (double)(now_ns() - killed) / 1e6;
        kill(process_child(host.pid), SIGSTOP); /* the answer waits while the others are measured */
        host_subject another;
        const double load = start_host_ms(&another, options, path, 1);
        host_stop(&another);
        const double evaluation = peer_prefill_ms(options, &setup, progress_of(stream).n_prompt + n_tokens);
        kill(process_child(host.pid), SIGCONT);
        n_tokens = read_to(stream, n_tokens + TOKENS_BETWEEN);
        samples_add(&pauses, pause);
        samples_add(&loads, load);
        samples_add(&evaluations, evaluation);
        samples_add(&ratios, pause / (load + evaluation));
    }
    lipc_stream_close(stream);
    lipc_client_close(client);
    host_stop(&host);
    add_row(list, model, "worker_killed.of_parts", samples_median(&ratios), "ratio", results_at_most(1.15),
            "killed behind 1,000 tokens: pause over loading, and evaluating as llama-bench does");
    add_row(list, model, "worker_killed.pause", samples_median(&pauses), "ms", results_no_bar(), "until the next token");
    add_row(list, model, "worker_killed.loading", samples_median(&loads), "ms", results_no_bar(), "starting such a host");
    add_row(list, model, "worker_killed.evaluation", samples_median(&evaluations), "ms", results_no_bar(),
            "prompt and answer in llama-bench");
}

void rows_ready(results *list, const bench_options *options) {
    for (int i = 0; i < N_LARGE; i++)
        if (uses_model(options, large[i]))
            measure_ready(list, options, large[i]);
}

void rows_killed(results *list, const bench_options *options) {
    for (int i = 0; i < N_LARGE; i++)
        if (uses_model(options, large[i]))
            measure_killed(list, options, large[i]);
}
