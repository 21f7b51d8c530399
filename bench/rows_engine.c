/* rows_engine.c - throughput of the host against its limit, evaluation alone, and against its peer, llama-server.
 *
 * All run on the same build of libllama, with the same contexts and sampling parameters, and take turns. A ratio is made of
 * neighbours in time; the row is the median over the rounds. All have the same threads, and the attention that the library
 * chooses; the bare loop, what was faster in its trial.
 */
#include "rows.h"

#include "crowd.h"
#include "peer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define N_WORDS 32 /* of a prompt */

enum { WAY_HOST, WAY_EVALUATION, WAY_SERVER, N_WAYS };

static const char *const way_names[N_WAYS] = {"host", "evaluation", "server"};

/* A model, and so many clients at once that ask for so many tokens each. */
typedef struct crowd_case {
    const bench_model *model;
    int n_clients, n_tokens, n_ctx;
    int n_repeats;                       /* short answers are repeated in a turn */
    double of_evaluation, of_server;     /* bars; 0: none */
} crowd_case;

static const crowd_case crowd_cases[] = {
    {&bench_models[0], 1, 128, 1024, 4, 0.98, 0},   {&bench_models[0], 8, 96, 1024, 2, 0.97, 1.0},
    {&bench_model_374m, 1, 128, 1024, 1, 0.98, 0},  {&bench_model_374m, 8, 64, 1024, 1, 0.97, 1.0},
    {&bench_model_1_1b, 1, 96, 1024, 1, 0.98, 0},   {&bench_model_1_1b, 8, 48, 1024, 1, 0.97, 1.0},
};

/* All ways, on one model. */
typedef struct rivals {
    host_subject host;
    bare_subject bare;
    peer_server server; /* pid 0: there is none */
} rivals;

typedef struct turn {
    double tokens_per_s, first_ms;
    double cpu_us; /* processor time per token of the subject, prompt included */
    double company;
} turn;

static peer_setup setup_for(const bench_options *options, const crowd_case *wanted, const char *path) {
    return (peer_setup){.model_path = path,
                        .n_ctx = wanted->n_ctx,
                        .n_parallel = wanted->n_clients,
                        .n_threads = options->n_threads};
}

static void rivals_start(rivals *rivals, const bench_options *options, const crowd_case *wanted) {
    const char *path = model_path(options, wanted->model);
    const peer_setup setup = setup_for(options, wanted, path);
    *rivals = (struct rivals){0};
    host_start_for(&rivals->host, options, path, options->n_threads, wanted->n_ctx, wanted->n_clients, NULL);
    lipc_client_close(modern_open(rivals->host.name, 0));
    bare_start_for(&rivals->bare, options, path, setup.n_threads, wanted->n_ctx, wanted->n_clients);
    if (peer_is_there(options))
        peer_start(&rivals->server, options, &setup);
}

static void rivals_stop(rivals *rivals) {
    host_stop(&rivals->host);
    bare_stop(&rivals->bare);
    peer_stop(&rivals->server);
}

static pid_t pid_of(const rivals *rivals, int way) {
    switch (way) {
    case WAY_HOST: return rivals->host.pid;
    case WAY_SERVER: return rivals->server.pid;
    default: return rivals->bare.pid;
    }
}

/* One answer for each client. *n_prompt is what the host's clients saw last. */
static turn ask(rivals *rivals, const crowd_case *wanted, int way, int *n_prompt) {
    if (way == WAY_EVALUATION) {
        const answer_cost cost = bare_evaluate(&rivals->bare, wanted->n_clients, *n_prompt, wanted->n_tokens);
        return (turn){.tokens_per_s = cost.tokens_per_s, .first_ms = cost.first_ms};
    }
    const crowd_subject subject = {.instance = way == WAY_HOST ? rivals->host.name : NULL,
                                   .port = rivals->server.port};
    const crowd_cost cost = crowd_ask(&subject, wanted->n_clients, N_WORDS, wanted->n_tokens);
    if (way == WAY_HOST)
        *n_prompt = cost.n_prompt;
    return (turn){.tokens_per_s = cost.tokens_per_s, .first_ms = cost.first_ms};
}

static turn take_turn(rivals *rivals, const crowd_case *wanted, int way, int *n_prompt) {
    static samples rates, firsts;
    rates.n = firsts.n = 0;
    if (pid_of(rivals, way) == 0)
        return (turn){NAN, NAN, NAN, 0};
    for (int other = 0; other < N_WAYS; other++)
        if (pid_of(rivals, other) != 0)
            family_settle(pid_of(rivals, other));
    const pid_t pid = pid_of(rivals, way);
    wait_for_quiet(pid, 0);
    const company company = company_begin(pid, 0);
    const int64_t cpu = family_cpu_ns(pid);
    for (int i = 0; i < wanted->n_repeats; i++) {
        const turn one = ask(rivals, wanted, way, n_prompt);
        samples_add(&rates, one.tokens_per_s);
        samples_add(&firsts, one.first_ms);
    }
    const double n_all = (double)wanted->n_repeats * wanted->n_clients * wanted->n_tokens;
    return (turn){.tokens_per_s = samples_median(&rates),
                  .first_ms = samples_median(&firsts),
                  .cpu_us = (double)(family_cpu_ns(pid) - cpu) / 1e3 / n_all,
                  .company = company_cores(&company)};
}

/* A turn of each, forwards and backwards by turns. Returns the most company that one of them had. */
static double take_round(rivals *rivals, const crowd_case *wanted, int round, int *n_prompt, turn turns[N_WAYS]) {
    double company = 0;
    for (int i = 0; i < N_WAYS; i++) {
        const int way = round % 2 == 0 ? i : N_WAYS - 1 - i;
        turns[way] = take_turn(rivals, wanted, way, n_prompt);
        company = turns[way].company > company ? turns[way].company : company;
    }
    return company;
}

/* The same, again while other programs were using the cores and there is patience; the least disturbed one counts. */
static double take_quiet_round(rivals *rivals, const crowd_case *wanted, int round, int *n_prompt, turn turns[N_WAYS]) {
    double least = take_round(rivals, wanted, round, n_prompt, turns);
    while (least > COMPANY_MOST && patience_left()) {
        turn again[N_WAYS];
        const int64_t start = now_ns();
        const double company = take_round(rivals, wanted, round, n_prompt, again);
        patience_spend(now_ns() - start);
        if (company < least) {
            least = company;
            memcpy(turns, again, sizeof again);
        }
    }
    return least;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static void add_row(results *list, const crowd_case *wanted, const char *rest, double value, const char *unit,
                    results_bar bar, const char *what) {
    char name[64];
    snprintf(name, sizeof name, "engine.%s.%d.%s", wanted->model->name, wanted->n_clients, rest);
    results_add(list, name, value, unit, bar, what);
}

static results_bar bar_of(double least) {
    return least > 0 ? results_at_least(least) : results_no_bar();
}

static void add_survivors(results *list, const bench_model *model, bare_subject *bare) {
    char name[64];
    const prompts prompts = make_prompts(1);
    snprintf(name, sizeof name, "engine.%s.min_p_survivors", model->name);
    results_add(list, name, bare_answer(bare, &prompts, 64, true).survivors, "tokens", results_no_bar(),
                "candidates that pass min-p 0.05, mean");
}

/* What one way's turns gave. */
typedef struct way_samples {
    samples rates, firsts, cpu;
} way_samples;

static void add_way_rows(results *list, const crowd_case *wanted, int way, way_samples *seen, int n_prompt) {
    char rest[48], what[96];
    snprintf(what, sizeof what, "%d tokens for each of %d, all together", wanted->n_tokens, wanted->n_clients);
    add_row(list, wanted, way_names[way], samples_median(&seen->rates), "tokens/s", results_no_bar(), what);
    snprintf(rest, sizeof rest, "%s_first", way_names[way]);
    snprintf(what, sizeof what, "%s, prompts of %d tokens",
             way == WAY_EVALUATION ? "evaluating all prompts" : "first token, median of the clients", n_prompt);
    add_row(list, wanted, rest, samples_median(&seen->firsts), "ms", results_no_bar(), what);
    snprintf(rest, sizeof rest, "%s_cpu", way_names[way]);
    add_row(list, wanted, rest, samples_median(&seen->cpu), "us/token", results_no_bar(),
            "processor time, prompt included, without the clients");
}

static void measure_crowd(results *list, const bench_options *options, const crowd_case *wanted) {
    static way_samples ways[N_WAYS];
    static samples of_evaluation, of_server, company;
    of_evaluation.n = of_server.n = company.n = 0;
    for (int way = 0; way < N_WAYS; way++)
        ways[way].rates.n = ways[way].firsts.n = ways[way].cpu.n = 0;

    rivals rivals;
    int n_prompt = 0;
    rivals_start(&rivals, options, wanted);
    for (int way = 0; way < N_WAYS; way++)
        take_turn(&rivals, wanted, way, &n_prompt);
    for (int round = 0; round < options->n_rounds; round++) {
        turn turns[N_WAYS];
        samples_add(&company, take_quiet_round(&rivals, wanted, round, &n_prompt, turns));
        for (int way = 0; way < N_WAYS; way++) {
            samples_add(&ways[way].rates, turns[way].tokens_per_s);
            samples_add(&ways[way].firsts, turns[way].first_ms);
            samples_add(&ways[way].cpu, turns[way].cpu_us);
        }
        samples_add(&of_evaluation, turns[WAY_HOST].tokens_per_s / turns[WAY_EVALUATION].tokens_per_s);
        samples_add(&of_server, turns[WAY_HOST].tokens_per_s / turns[WAY_SERVER].tokens_per_s);
    }

    const peer_setup setup = setup_for(options, wanted, model_path(options, wanted->model));
    add_row(list, wanted, "of_evaluation", samples_median(&of_evaluation), "ratio", bar_of(wanted->of_evaluation),
            "tokens/s at the clients over evaluation alone");
    add_row(list, wanted, "of_server", samples_median(&of_server), "ratio", bar_of(wanted->of_server),
            "over llama-server's at its clients");
    for (int way = 0; way < N_WAYS; way++) add_way_rows(list, wanted, way, &ways[way], n_prompt);
    add_row(list, wanted, "evaluation_peer", peer_evaluation(options, &setup, n_prompt, wanted->n_tokens), "tokens/s",
            results_no_bar(), wanted->n_clients == 1 ? "llama-bench, once" : "llama-batched-bench, once");
    add_row(list, wanted, "company", samples_max(&company), "cores", results_no_bar(),
            "used by other programs in the worst turn");
    if (wanted->n_clients == 1)
        add_survivors(list, wanted->model, &rivals.bare);
    rivals_stop(&rivals);
}

/* The sampler's share is largest where the vocabulary is large and the model small. */
static void measure_vocabulary(results *list, const bench_options *options) {
    static const crowd_case wanted = {&bench_model_128k, 1, 128, 1024, 2, 0, 0};
    static samples ratios, of_evaluation, host_rates, bare_rates, rates, host_firsts, bare_firsts, company;
    ratios.n = of_evaluation.n = host_rates.n = bare_rates.n = rates.n = host_firsts.n = bare_firsts.n = company.n = 0;
    rivals rivals = {0};
    int n_prompt = 0;
    const char *path = model_path(options, wanted.model);
    host_start_for(&rivals.host, options, path, options->n_threads, wanted.n_ctx, 1, NULL);
    lipc_client_close(modern_open(rivals.host.name, 0));
    bare_start_for(&rivals.bare, options, path, options->n_threads, wanted.n_ctx, 1);
    take_turn(&rivals, &wanted, WAY_HOST, &n_prompt);
    for (int round = 0; round < options->n_rounds; round++) {
        prompts prompts = {.system = ""};
        const turn host = take_turn(&rivals, &wanted, WAY_HOST, &n_prompt);
        family_settle(rivals.host.pid);
        snprintf(prompts.user, sizeof prompts.user, "%s", crowd_text(round, N_WORDS));
        const answer_cost bare = bare_answer(&rivals.bare, &prompts, wanted.n_tokens, false);
        const turn evaluation = take_turn(&rivals, &wanted, WAY_EVALUATION, &n_prompt);
        samples_add(&ratios, host.tokens_per_s / bare.tokens_per_s);
        samples_add(&of_evaluation, host.tokens_per_s / evaluation.tokens_per_s);
        samples_add(&host_rates, host.tokens_per_s);
        samples_add(&bare_rates, bare.tokens_per_s);
        samples_add(&rates, evaluation.tokens_per_s);
        samples_add(&host_firsts, host.first_ms);
        samples_add(&bare_firsts, bare.first_ms);
        samples_add(&company, host.company);
    }
    add_row(list, &wanted, "of_bare", samples_median(&ratios), "ratio", results_at_least(1.3),
            "over the bare loop with the library's samplers");
    add_row(list, &wanted, "of_evaluation", samples_median(&of_evaluation), "ratio", results_no_bar(),
            "over evaluation alone");
    add_row(list, &wanted, "host", samples_median(&host_rates), "tokens/s", results_no_bar(), "");
    add_row(list, &wanted, "bare", samples_median(&bare_rates), "tokens/s", results_no_bar(), "");
    add_row(list, &wanted, "evaluation", samples_median(&rates), "tokens/s", results_no_bar(), "");
    add_row(list, &wanted, "host_first", samples_median(&host_firsts), "ms", results_no_bar(), "first token");
    add_row(list, &wanted, "bare_first", samples_median(&bare_firsts), "ms", results_no_bar(), "first token");
    add_row(list, &wanted, "company", samples_max(&company), "cores", results_no_bar(),
            "used by other programs in the worst turn");
    add_survivors(list, wanted.model, &rivals.bare);
    host_stop(&rivals.host);
    bare_stop(&rivals.bare);
}

void rows_engine(results *list, const bench_options *options) {
    for (size_t i = 0; i < sizeof crowd_cases / sizeof *crowd_cases; i++) {
        if (uses_model(options, crowd_cases[i].model))
            measure_crowd(list, options, &crowd_cases[i]);
    }
    if (uses_model(options, &bench_model_128k))
        measure_vocabulary(list, options);
}
