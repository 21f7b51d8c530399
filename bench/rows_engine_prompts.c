/* rows_engine_prompts.c - what a long prompt costs: whoever sent it until the first token, and the answers beside it; and how fast
 * the host lets go of one that nobody waits for any more.
 */
#include "rows.h"

#include "concurrent.h"
#include "peer.h"
#include "stalls.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_NS 120000000000LL
#define LIMIT_MS 120000
#define N_RUNNING 4
#define RUNNING_WORDS 32
#define PROMPT_WORDS 2000
#define TEXT_WORDS 350000 /* 1 MB */
#define N_CTX 3072
#define ARRIVALS_BEFORE 16
#define PAUSE_MS 100.0 /* of answers beside a prompt, or so many of their own steps, whichever is more: */
#define PAUSE_STEPS 3.0
#define BUDGET_MS 50.0
#define READING_NS 300000000LL /* into the prompt, before it is cancelled */

static const bench_model *const large[] = {&bench_model_374m, &bench_model_1_1b, &bench_models[0]};
enum { N_LARGE = sizeof large / sizeof *large };

static void add_row(results *list, const bench_model *model, const char *rest, double value, const char *unit, results_bar bar,
                    const char *what) {
    char name[64];
    snprintf(name, sizeof name, "engine.%s.%s", model->name, rest);
    results_add(list, name, value, unit, bar, what);
}

static peer_setup setup_for(const bench_options *options, const bench_model *model, int n_parallel) {
    return (peer_setup){.model_path = model_path(options, model),
                        .n_ctx = N_CTX,
                        .n_parallel = n_parallel,
                        .n_threads = options->n_threads};
}

/* A host, and llama-server if it is there. */
typedef struct pair {
    host_subject host;
    peer_server server;
    peer_setup setup;
} pair;

static void pair_start(pair *pair, const bench_options *options, const bench_model *model, int n_parallel,
                       const char *const further[]) {
    *pair = (struct pair){.setup = setup_for(options, model, n_parallel)};
    host_start_for(&pair->host, options, pair->setup.model_path, options->n_threads, N_CTX, n_parallel, further);
    lipc_client_close(modern_open(pair->host.name, 0));
    if (peer_is_there(options))
        peer_start(&pair->server, options, &pair->setup);
}

static void pair_settle(const pair *pair) {
    family_settle(pair->host.pid);
    if (pair->server.pid != 0)
        family_settle(pair->server.pid);
    wait_for_quiet(pair->host.pid, 0);
}

static void pair_stop(pair *pair) {
    host_stop(&pair->host);
    peer_stop(&pair->server);
}

/* ---- a prompt alone --------------------------------------------------------------------------------------------- */

static void measure_alone(results *list, const bench_options *options, const bench_model *model) {
    static samples of_bench, of_server, firsts, alone, server_firsts;
    pair pair;
    of_bench.n = of_server.n = firsts.n = alone.n = server_firsts.n = 0;
    pair_start(&pair, options, model, 1, NULL);
    const concurrent_subject host = {pair.host.name, 0}, server = {NULL, pair.server.port};
    for (int round = 0; round < options->n_rounds; round++) {
        pair_settle(&pair);
        const concurrent_cost ours = concurrent_ask(&host, 1, PROMPT_WORDS, 2);
        pair_settle(&pair);
        const double bench = peer_prefill_ms(options, &pair.setup, ours.n_prompt);
        const double theirs = pair.server.pid ? concurrent_ask(&server, 1, PROMPT_WORDS, 2).first_ms : NAN;
        samples_add(&firsts, ours.first_ms);
        samples_add(&alone, bench);
        samples_add(&server_firsts, theirs);
        samples_add(&of_bench, ours.first_ms / bench);
        samples_add(&of_server, ours.first_ms / theirs);
    }
    pair_stop(&pair);
    add_row(list, model, "prompt.of_bench", samples_median(&of_bench), "ratio", results_at_most(1.03),
            "prompt of 2,000 tokens, first token over llama-bench's time for it");
    add_row(list, model, "prompt.of_server", samples_median(&of_server), "ratio", results_at_most(1.0),
            "over llama-server's first token");
    add_row(list, model, "prompt.host", samples_median(&firsts), "ms", results_no_bar(), "");
    add_row(list, model, "prompt.bench", samples_median(&alone), "ms", results_no_bar(), "");
    add_row(list, model, "prompt.server", samples_median(&server_firsts), "ms", results_no_bar(), "");
}

/* ---- a prompt beside answers ------------------------------------------------------------------------------------ */

/* Answers that run, each in a process of its own. */
typedef struct running {
    concurrent_notes *notes; /* one more than there are: the newcomer's */
    pid_t pids[N_RUNNING];
} running;

static void running_start(running *running, const concurrent_subject *subject) {
    static int number = 30000;
    running->notes = concurrent_notes_new(N_RUNNING + 1);
    for (int i = 0; i < N_RUNNING; i++) {
        const concurrent_request request = {number++, RUNNING_WORDS, CONCURRENT_ENDLESS};
        running->pids[i] = concurrent_client_start(subject, &request, &running->notes[i]);
        concurrent_client_wait_ready(&running->notes[i]);
    }
    for (int i = 0; i < N_RUNNING; i++)
        concurrent_client_go(&running->notes[i]);
    for (int i = 0; i < N_RUNNING; i++)
        concurrent_wait_arrivals(&running->notes[i], ARRIVALS_BEFORE);
}

/* Until all have another token, then they end. */
static void running_end(running *running) {
    for (int i = 0; i < N_RUNNING; i++)
        concurrent_wait_arrivals(&running->notes[i], concurrent_arrivals(&running->notes[i]) + 2);
    for (int i = 0; i < N_RUNNING; i++) {
        kill(running->pids[i], SIGKILL);
        process_wait(running->pids[i]);
    }
}

/* The longest time without a token in an answer, from the last one before `begin_ns` to the first one after `end_ns`, less what of it
 * the machine stood still. */
static double longest_gap_ms(const concurrent_notes *notes, int64_t begin_ns, int64_t end_ns) {
    double longest = 0;
    const uint32_t n = concurrent_arrivals(notes);
    for (uint32_t i = 1; i < n && notes->arrivals[i - 1].at_ns < end_ns; i++) {
        const int64_t from = notes->arrivals[i - 1].at_ns, to = notes->arrivals[i].at_ns;
        if (to > begin_ns)
            longest = fmax(longest, (double)(to - from) / 1e6 - stalls_ms(from, to));
    }
    return longest;
}

static double longest_pause_ms(const running *running, int64_t begin_ns, int64_t end_ns) {
    double longest = 0;
    for (int i = 0; i < N_RUNNING; i++)
        longest = fmax(longest, longest_gap_ms(&running->notes[i], begin_ns, end_ns));
    return longest;
}

/* What a step took before the newcomer. */
static double step_ms(const running *running) {
    static samples steps;
    steps.n = 0;
    for (uint32_t i = 2; i < ARRIVALS_BEFORE; i++)
        samples_add(&steps, (double)(running->notes[0].arrivals[i].at_ns - running->notes[0].arrivals[i - 1].at_ns) / 1e6);
    return samples_median(&steps);
}

typedef struct beside {
    double first_ms; /* the newcomer's */
    double pause_ms, step_ms;
} beside;

static beside ask_beside(const concurrent_subject *subject) {
    static int number = 40000;
    running running;
    running_start(&running, subject);
    concurrent_notes *newcomer = &running.notes[N_RUNNING];
    const concurrent_request request = {number++, PROMPT_WORDS, 2};
    const pid_t pid = concurrent_client_start(subject, &request, newcomer);
    concurrent_client_wait_ready(newcomer);
    const int64_t start = now_ns();
    concurrent_client_go(newcomer);
    process_wait(pid);
    running_end(&running);
    const int64_t first_ns = newcomer->arrivals[0].at_ns;
    const beside seen = {(double)(first_ns - newcomer->start_ns) / 1e6, longest_pause_ms(&running, start, first_ns),
                         step_ms(&running)};
    concurrent_notes_free(running.notes, N_RUNNING + 1);
    return seen;
}

static void measure_beside(results *list, const bench_options *options, const bench_model *model) {
    static samples ratios, firsts, server_firsts, pauses, server_pauses, steps, of_allowed;
    pair pair;
    ratios.n = firsts.n = server_firsts.n = pauses.n = server_pauses.n = steps.n = of_allowed.n = 0;
    stalls_watch();
    pair_start(&pair, options, model, N_RUNNING + 1, NULL);
    const concurrent_subject host = {pair.host.name, 0}, server = {NULL, pair.server.port};
    for (int round = 0; round < options->n_rounds; round++) {
        pair_settle(&pair);
        const beside ours = ask_beside(&host);
        pair_settle(&pair);
        const beside theirs = pair.server.pid ? ask_beside(&server) : (beside){NAN, NAN, NAN};
        samples_add(&firsts, ours.first_ms);
        samples_add(&server_firsts, theirs.first_ms);
        samples_add(&ratios, ours.first_ms / theirs.first_ms);
        samples_add(&pauses, ours.pause_ms);
        samples_add(&server_pauses, theirs.pause_ms);
        samples_add(&steps, ours.step_ms);
        samples_add(&of_allowed, ours.pause_ms / fmax(PAUSE_MS, PAUSE_STEPS * ours.step_ms));
    }
    pair_stop(&pair);
    add_row(list, model, "prompt_beside_4.of_server", samples_median(&ratios), "ratio", results_at_most(1.1),
            "4 answers run, a prompt of 2,000 tokens arrives: its first token over llama-server's");
    add_row(list, model, "prompt_beside_4.pause_of_allowed", samples_median(&of_allowed), "ratio", results_at_most(1),
            "longest pause of the 4 over 3 of their steps, or 100 ms, whichever is more");
    add_row(list, model, "prompt_beside_4.first", samples_median(&firsts), "ms", results_no_bar(), "first token");
    add_row(list, model, "prompt_beside_4.server_first", samples_median(&server_firsts), "ms", results_no_bar(), "llama-server's");
    add_row(list, model, "prompt_beside_4.pause", samples_median(&pauses), "ms", results_no_bar(), "longest pause of the 4");
    add_row(list, model, "prompt_beside_4.pause_max", samples_max(&pauses), "ms", results_no_bar(), "in the worst round");
    add_row(list, model, "prompt_beside_4.step", samples_median(&steps), "ms", results_no_bar(), "of the 4 alone");
    add_row(list, model, "prompt_beside_4.server_pause", samples_median(&server_pauses), "ms", results_no_bar(), "llama-server's");
}

/* ---- a text that becomes tokens beside answers ------------------------------------------------------------------- */

/* Sends a text that has far more tokens than the context, and waits until it is refused, which is known when all of it has become
 * tokens. */
static void ask_too_much(lipc_client *client, int number) {
    const lipc_message message = {"user", concurrent_text(number, TEXT_WORDS)};
    lipc_stream *stream;
    lipc_request request;
    lipc_delta delta;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    if (lipc_stream_open(client, &request, &stream) < 0)
        fail("a request failed: %s", lipc_error_message());
    if (lipc_stream_read(stream, LIMIT_MS, &delta) >= 0)
        fail("a text of 1 MB was not refused");
    lipc_stream_close(stream);
}

static void measure_text(results *list, const bench_options *options, const bench_model *model) {
    static const char *const further[] = {"--context-shift", "--request-size", "2M", NULL};
    static samples pauses, without, times, steps, stalls;
    host_subject host;
    pauses.n = without.n = times.n = steps.n = stalls.n = 0;
    stalls_watch();
    /* 0: as many threads as by default, so that the host may give one's processor to the tokenizer. */
    host_start_for(&host, options, model_path(options, model), 0, N_CTX, N_RUNNING + 1, further);
    lipc_client *client = modern_open(host.name, 0);
    const concurrent_subject subject = {host.name, 0};
    for (int round = 0; round < options->n_rounds; round++) {
        running running;
        family_settle(host.pid);
        wait_for_quiet(host.pid, 0);
        running_start(&running, &subject);
        const int64_t start = now_ns();
        ask_too_much(client, 50000 + round);
        const int64_t end = now_ns();
        sleep_ns(end - start); /* what the pauses are without it */
        running_end(&running);
        samples_add(&pauses, longest_pause_ms(&running, start, end));
        samples_add(&without, longest_pause_ms(&running, end, end + (end - start)));
        samples_add(&times, (double)(end - start) / 1e6);
        samples_add(&stalls, stalls_ms(start, end));
        samples_add(&steps, step_ms(&running));
        concurrent_notes_free(running.notes, N_RUNNING + 1);
    }
    lipc_client_close(client);
    host_stop(&host);
    add_row(list, model, "text_beside_4.pause", samples_median(&pauses), "ms", results_at_most(PAUSE_MS),
            "longest pause of 4 answers while 1 MB of text becomes tokens");
    add_row(list, model, "text_beside_4.pause_max", samples_max(&pauses), "ms", results_no_bar(), "in the worst round");
    add_row(list, model, "text_beside_4.pause_without", samples_median(&without), "ms", results_no_bar(),
            "in as long a time behind it");
    add_row(list, model, "text_beside_4.step", samples_median(&steps), "ms", results_no_bar(), "of the 4 alone");
    add_row(list, model, "text_beside_4.stalls", samples_median(&stalls), "ms", results_no_bar(),
            "that the machine stood still meanwhile, taken off the pauses");
    add_row(list, model, "text_beside_4.time", samples_median(&times), "ms", results_no_bar(), "that the text took");
}

/* ---- cancelling while a prompt is read -------------------------------------------------------------------------- */

static bool is_idle(lipc_client *client) {
    lipc_host_status status;
    if (lipc_client_status(client, &status) < 0)
        fail("a host: %s", lipc_error_message());
    return status.n_running == 0 && status.n_queued == 0;
}

/* Milliseconds from `since_ns` until the host has nothing to do, or something. */
static double wait_until(lipc_client *client, bool idle, int64_t since_ns) {
    while (is_idle(client) != idle) {
        if (now_ns() - since_ns > LIMIT_NS)
            fail("a host does not %s its work", idle ? "end" : "begin");
        sleep_ns(50000);
    }
    return (double)(now_ns() - since_ns) / 1e6;
}

static double measure_cancel(lipc_client *client, int number) {
    const lipc_message message = {"user", concurrent_text(number, PROMPT_WORDS)};
    lipc_stream *stream;
    lipc_request request;
    lipc_progress progress;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    if (lipc_stream_open(client, &request, &stream) < 0)
        fail("a request failed: %s", lipc_error_message());
    wait_until(client, false, now_ns());
    sleep_ns(READING_NS + number % 10 * 7000000LL); /* another phase of the step each time */
    if (lipc_stream_progress(stream, &progress) < 0 || progress.state != LIPC_STREAM_READING)
        fail("a prompt of 2,000 tokens was read before it could be cancelled");
    const int64_t start = now_ns();
    lipc_stream_cancel(stream);
    const double ms = wait_until(client, true, start);
    lipc_stream_close(stream);
    return ms;
}

/* From kill -9 of a client whose prompt is read. */
static double measure_death(lipc_client *client, const char *instance, int number) {
    concurrent_notes *notes = concurrent_notes_new(1);
    const concurrent_subject subject = {instance, 0};
    const concurrent_request request = {number, PROMPT_WORDS, 16};
    const pid_t pid = concurrent_client_start(&subject, &request, notes);
    concurrent_client_wait_ready(notes);
    concurrent_client_go(notes);
    wait_until(client, false, now_ns());
    sleep_ns(READING_NS + number % 10 * 7000000LL);
    const int64_t start = now_ns();
    kill(pid, SIGKILL);
    const double ms = wait_until(client, true, start);
    process_wait(pid);
    concurrent_notes_free(notes, 1);
    return ms;
}

static double measure_server_death(const bench_options *options, const bench_model *model) {
    peer_server server;
    peer_stream stream;
    const peer_setup setup = setup_for(options, model, 1);
    if (!peer_is_there(options))
        return NAN;
    peer_start(&server, options, &setup);
    peer_connect(&stream, server.port);
    peer_send(&stream, concurrent_text(1, PROMPT_WORDS), 16);
    sleep_ns(READING_NS);
    const int64_t start = now_ns();
    peer_disconnect(&stream);
    do
        sleep_ns(1000000);
    while (peer_is_busy(&server) && now_ns() - start < LIMIT_NS);
    const double ms = (double)(now_ns() - start) / 1e6;
    peer_stop(&server);
    return ms;
}

static void measure_cancelling(results *list, const bench_options *options, const bench_model *model) {
    static samples cancels, deaths;
    host_subject host;
    cancels.n = deaths.n = 0;
    host_start_for(&host, options, model_path(options, model), options->n_threads, N_CTX, 2, NULL);
    lipc_client *client = modern_open(host.name, 0);
    for (int round = 0; round < 2 * options->n_rounds; round++) {
        wait_for_quiet(host.pid, 0);
        samples_add(&cancels, measure_cancel(client, 60000 + round));
        samples_add(&deaths, measure_death(client, host.name, 70000 + round));
    }
    lipc_client_close(client);
    host_stop(&host);
    add_row(list, model, "cancel.idle", samples_median(&cancels), "ms", results_at_most(BUDGET_MS + 5),
            "cancel in a prompt of 2,000 tokens to the host's idling");
    add_row(list, model, "cancel.idle_max", samples_max(&cancels), "ms", results_at_most(BUDGET_MS + 5), "the slowest");
    add_row(list, model, "client_killed.idle", samples_median(&deaths), "ms", results_at_most(BUDGET_MS + 5),
            "the same from kill -9 of the client");
    add_row(list, model, "client_killed.idle_max", samples_max(&deaths), "ms", results_at_most(BUDGET_MS + 5), "the slowest");
    add_row(list, model, "client_killed.server", measure_server_death(options, model), "ms", results_no_bar(),
            "llama-server's slot, from the end of its connection, once");
}

/* ---- the groups -------------------------------------------------------------------------------------------------- */

static void for_each_model(results *list, const bench_options *options,
                           void (*measure)(results *list, const bench_options *options, const bench_model *model)) {
    for (int i = 0; i < N_LARGE; i++)
        if (uses_model(options, large[i]))
            measure(list, options, large[i]);
}

void rows_prompt(results *list, const bench_options *options) {
    for_each_model(list, options, measure_alone);
}

void rows_beside(results *list, const bench_options *options) {
    for_each_model(list, options, measure_beside);
}

void rows_text(results *list, const bench_options *options) {
    for_each_model(list, options, measure_text);
    if (uses_model(options, &bench_model_152k))
        measure_text(list, options, &bench_model_152k);
}

void rows_cancel(results *list, const bench_options *options) {
    if (uses_model(options, &bench_models[0]))
        measure_cancelling(list, options, &bench_models[0]);
}
