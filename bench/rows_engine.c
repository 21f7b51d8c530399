/* rows_engine.c - tokens per second of the host against its limit, evaluation alone as llama-bench and llama-batched-bench measure
 * it, and against llama-server.
 *
 * All run on the same build of libllama, with the same contexts and sampling parameters, and take turns. A ratio is made of
 * neighbours in time; the row is the median over the rounds, for each of which they are started anew.
 */
#include "rows.h"

#include "concurrent.h"
#include "peer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define N_WORDS 32 /* of a prompt */

enum { WAY_HOST, WAY_BENCH, WAY_SERVER, N_WAYS };

static const char *const way_names[N_WAYS] = {"host", "bench", "server"};

/* A model, and so many clients at once that ask for so many tokens each. */
typedef struct concurrent_case {
    const bench_model *model, *draft; /* which drafts for it; NULL: none does */
    int n_clients, n_tokens, n_ctx;
    double of_bench, of_server; /* bars; 0: none */
} concurrent_case;

static const concurrent_case cases[] = {
    {&bench_models[0], NULL, 1, 256, 1024, 0.98, 0},  {&bench_models[0], NULL, 8, 128, 1024, 0.97, 1.0},
    {&bench_model_374m, NULL, 1, 128, 1024, 0.98, 0}, {&bench_model_374m, NULL, 8, 64, 1024, 0.97, 1.0},
    {&bench_model_1_1b, NULL, 1, 96, 1024, 0.98, 0},  {&bench_model_1_1b, NULL, 8, 48, 1024, 0.97, 1.0},
    {&bench_model_152k, NULL, 8, 64, 1024, 0, 1.0},
};

/* Drafts that are mostly right (each is what the model finds likeliest), and drafts that never are. */
static const concurrent_case draft_cases[] = {{&bench_models[0], &bench_models[0], 1, 256, 1024, 0, 1.0},
                                              {&bench_model_374m, &bench_models[0], 1, 96, 1024, 0, 1.0}};

typedef struct rivals {
    host_subject host;
    peer_server server; /* pid 0: there is none */
    peer_setup setup;
    const bench_options *options;
} rivals;

typedef struct turn {
    double tokens_per_s, first_ms;
    double cpu_us; /* processor time per token of the subject, prompt included */
    double other_load;
} turn;

static void rivals_start(rivals *rivals, const bench_options *options, const concurrent_case *wanted) {
    static char draft_file[4096];
    snprintf(draft_file, sizeof draft_file, "%s", wanted->draft ? model_path(options, wanted->draft) : "");
    const char *path = model_path(options, wanted->model), *draft_path = wanted->draft ? draft_file : NULL;
    const char *const draft[] = {"--spec-draft-model", draft_path, NULL};
    *rivals = (struct rivals){.options = options,
                              .setup = {.model_path = path,
                                        .n_ctx = wanted->n_ctx,
                                        .n_parallel = wanted->n_clients,
                                        .n_threads = options->n_threads,
                                        .draft_path = draft_path}};
    host_start_for(&rivals->host, options, path, options->n_threads, wanted->n_ctx, wanted->n_clients, draft_path ? draft : NULL);
    lipc_client_close(modern_open(rivals->host.name, 0));
    if (peer_is_there(options))
        peer_start(&rivals->server, options, &rivals->setup);
}

static void rivals_stop(rivals *rivals) {
    host_stop(&rivals->host);
    peer_stop(&rivals->server);
}

/* One answer for each client. *n_prompt is what the host's clients saw last. */
static turn take_turn(rivals *rivals, const concurrent_case *wanted, int way, int *n_prompt) {
    const pid_t pid = way == WAY_HOST ? rivals->host.pid : rivals->server.pid;
    family_settle(rivals->host.pid);
    if (rivals->server.pid != 0)
        family_settle(rivals->server.pid);
    wait_for_quiet(rivals->host.pid, 0);
    if (way == WAY_BENCH && wanted->draft)
        return (turn){NAN, NAN, NAN, 0};
    if (way == WAY_BENCH)
        return (turn){peer_generation(rivals->options, &rivals->setup, *n_prompt, wanted->n_tokens), NAN, NAN, 0};
    if (pid == 0)
        return (turn){NAN, NAN, NAN, 0};
    const concurrent_subject subject = {.instance = way == WAY_HOST ? rivals->host.name : NULL, .port = rivals->server.port};
    const other_load other_load = other_load_begin(pid, 0);
    const int64_t cpu = family_cpu_ns(pid);
    const concurrent_cost cost = concurrent_ask(&subject, wanted->n_clients, N_WORDS, wanted->n_tokens);
    if (way == WAY_HOST)
        *n_prompt = cost.n_prompt;
    return (turn){.tokens_per_s = cost.tokens_per_s,
                  .first_ms = cost.first_ms,
                  .cpu_us = (double)(family_cpu_ns(pid) - cpu) / 1e3 / (wanted->n_clients * wanted->n_tokens),
                  .other_load = other_load_cores(&other_load)};
}

/* A turn of each, forwards and backwards by turns. Returns the most other load that one of them had. */
static double take_round(rivals *rivals, const concurrent_case *wanted, int round, int *n_prompt, turn turns[N_WAYS]) {
    double other_load = 0;
    for (int i = 0; i < N_WAYS; i++) {
        const int way = round % 2 == 0 ? i : N_WAYS - 1 - i;
        turns[way] = take_turn(rivals, wanted, way, n_prompt);
        other_load = turns[way].other_load > other_load ? turns[way].other_load : other_load;
    }
    return other_load;
}

/* The same, again while other programs were using the cores and there is time for it; the least disturbed one counts. */
static double take_quiet_round(rivals *rivals, const concurrent_case *wanted, int round, int *n_prompt, turn turns[N_WAYS]) {
    double least = take_round(rivals, wanted, round, n_prompt, turns);
    while (least > OTHER_LOAD_MOST && retries_left()) {
        turn again[N_WAYS];
        const int64_t start = now_ns();
        const double other_load = take_round(rivals, wanted, round, n_prompt, again);
        retries_spend(now_ns() - start);
        if (other_load < least) {
            least = other_load;
            memcpy(turns, again, sizeof again);
        }
    }
    return least;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static void add_row(results *list, const concurrent_case *wanted, const char *rest, double value, const char *unit,
                    results_bar bar, const char *what) {
    char name[64];
    if (wanted->draft)
        snprintf(name, sizeof name, "engine.%s.draft.%s", wanted->model->name, rest);
    else
        snprintf(name, sizeof name, "engine.%s.%d.%s", wanted->model->name, wanted->n_clients, rest);
    results_add(list, name, value, unit, bar, what);
}

static results_bar bar_of(double least) {
    return least > 0 ? results_at_least(least) : results_no_bar();
}

/* What one way's turns gave. */
typedef struct way_samples {
    samples rates, firsts, cpu;
} way_samples;

static void add_way_rows(results *list, const concurrent_case *wanted, int way, way_samples *seen, int n_prompt) {
    char rest[48], what[96];
    snprintf(what, sizeof what, "%d tokens for each of %d, all together", wanted->n_tokens, wanted->n_clients);
    add_row(list, wanted, way_names[way], samples_median(&seen->rates), "tokens/s", results_no_bar(), what);
    if (way == WAY_BENCH)
        return;
    snprintf(rest, sizeof rest, "%s_first", way_names[way]);
    snprintf(what, sizeof what, "first token, median of the clients, prompts of %d tokens", n_prompt);
    add_row(list, wanted, rest, samples_median(&seen->firsts), "ms", results_no_bar(), what);
    snprintf(rest, sizeof rest, "%s_cpu", way_names[way]);
    add_row(list, wanted, rest, samples_median(&seen->cpu), "us/token", results_no_bar(),
            "processor time, prompt included, without the clients");
}

static void measure_case(results *list, const bench_options *options, const concurrent_case *wanted) {
    static way_samples ways[N_WAYS];
    static samples of_bench, of_server, other_load;
    rivals rivals;
    int n_prompt = 0;
    of_bench.n = of_server.n = other_load.n = 0;
    for (int way = 0; way < N_WAYS; way++)
        ways[way].rates.n = ways[way].firsts.n = ways[way].cpu.n = 0;
    for (int round = 0; round < options->n_rounds; round++) {
        turn turns[N_WAYS];
        /* Where in memory the weights lie differs from start to start, and with it the speed by several percent. */
        rivals_start(&rivals, options, wanted);
        take_turn(&rivals, wanted, WAY_HOST, &n_prompt);
        take_turn(&rivals, wanted, WAY_SERVER, &n_prompt);
        samples_add(&other_load, take_quiet_round(&rivals, wanted, round, &n_prompt, turns));
        rivals_stop(&rivals);
        for (int way = 0; way < N_WAYS; way++) {
            samples_add(&ways[way].rates, turns[way].tokens_per_s);
            samples_add(&ways[way].firsts, turns[way].first_ms);
            samples_add(&ways[way].cpu, turns[way].cpu_us);
        }
        samples_add(&of_bench, turns[WAY_HOST].tokens_per_s / turns[WAY_BENCH].tokens_per_s);
        samples_add(&of_server, turns[WAY_HOST].tokens_per_s / turns[WAY_SERVER].tokens_per_s);
    }
    if (!wanted->draft)
        add_row(list, wanted, "of_bench", samples_median(&of_bench), "ratio", bar_of(wanted->of_bench),
            wanted->n_clients == 1 ? "tokens/s at the client over llama-bench's" : "at the clients over llama-batched-bench's");
    add_row(list, wanted, "of_server", samples_median(&of_server), "ratio", bar_of(wanted->of_server),
            "over llama-server's at its clients");
    for (int way = 0; way < N_WAYS; way++)
        if (way != WAY_BENCH || !wanted->draft)
            add_way_rows(list, wanted, way, &ways[way], n_prompt);
    add_row(list, wanted, "other_load", samples_max(&other_load), "cores", results_no_bar(),
            "used by other programs in the worst turn");
}

void rows_draft(results *list, const bench_options *options) {
    for (size_t i = 0; i < sizeof draft_cases / sizeof *draft_cases; i++) {
        if (uses_model(options, draft_cases[i].model))
            measure_case(list, options, &draft_cases[i]);
    }
}

void rows_engine(results *list, const bench_options *options) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (uses_model(options, cases[i].model))
            measure_case(list, options, &cases[i]);
    }
}
