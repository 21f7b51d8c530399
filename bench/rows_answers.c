/* rows_answers.c - answers through the host against the bare loop: tokens per second, first token, memory.
 *
 * Host and bare loop are loaded side by side and take turns, so that whatever else the machine does hits both. A ratio
 * is made of neighbours in time, and the median of the ratios is the row.
 */
#include "rows.h"

#include <stdio.h>
#include <string.h>

#define N_FIRST_ROUNDS 31
/* A turn repeats short answers for no longer than this: on a machine that others use, a second becomes a minute. */
#define TURN_MOST_NS 2000000000LL

static int next_number(void) {
    static int number;
    return number++;
}

/* The two (host, bare loop) on one model. */
typedef struct pair {
    host_subject host;
    bare_subject bare;
} pair;

static void pair_start(pair *pair, const bench_options *options, const bench_model *model, int n_predict) {
    const char *path = model_path(options, model);
    host_start(&pair->host, options, path, n_predict);
    host_connect(&pair->host);
    bare_start(&pair->bare, options, path);
}

static void pair_stop(pair *pair) {
    host_stop(&pair->host);
    bare_stop(&pair->bare);
}

/* Each process uses its cores alone: the other's threads have gone to sleep. */
static void pair_settle(const pair *pair) {
    family_settle(pair->host.pid);
    family_settle(pair->bare.pid);
}

enum { WAY_RAW, WAY_BARE, WAY_LIBRARY, WAY_MODERN, N_WAYS };

/* The ways through the host, and their names in rows. */
static const struct {
    int way;
    const char *name, *what;
} host_ways[] = {{WAY_MODERN, "modern", "lipc_stream_read"},
                 {WAY_LIBRARY, "library", "lipc_classic_stream"},
                 {WAY_RAW, "guide", "the guide's flow"}};

#define N_HOST_WAYS (sizeof host_ways / sizeof *host_ways)

/* One answer in one of the ways. */
static answer_cost ask(pair *pair, int way, int n_predict) {
    const prompts prompts = make_prompts(next_number());
    switch (way) {
    case WAY_RAW: return host_stream_raw(&pair->host, &prompts);
    case WAY_LIBRARY: return host_stream_library(&pair->host, &prompts);
    case WAY_MODERN: return host_stream_modern(&pair->host, &prompts);
    default: return bare_answer(&pair->bare, &prompts, n_predict, false);
    }
}

static void row_name(char *name, size_t size, const char *group, const bench_model *model, const char *rest) {
    snprintf(name, size, "%s.%s.%s", group, model->name, rest);
}

static void add_memory_rows(results *list, const bench_model *model, const pair *pair) {
    const process_memory host = family_memory_of(pair->host.pid), bare = family_memory_of(pair->bare.pid);
    char name[64];
    row_name(name, sizeof name, "memory", model, "peak_difference");
    results_add(list, name, host.peak_mb - bare.peak_mb, "MB", results_at_most(8),
                "VmHWM of the host - of the bare loop");
    row_name(name, sizeof name, "memory", model, "anon_difference");
    results_add(list, name, host.anon_mb - bare.anon_mb, "MB", results_no_bar(), "the same of RssAnon");
    row_name(name, sizeof name, "memory", model, "host_peak");
    results_add(list, name, host.peak_mb, "MB", results_no_bar(), "VmHWM of the host");
    row_name(name, sizeof name, "memory", model, "bare_peak");
    results_add(list, name, bare.peak_mb, "MB", results_no_bar(), "VmHWM of the bare loop");
}

/* What a number of equal answers cost, medians. */
typedef struct turn {
    double tokens_per_s;
    double first_ms;
    double client_us; /* processor time per token: of the client */
    double server_us; /* of the host or the bare loop */
    double other_load;   /* cores that other programs used meanwhile */
} turn;

static turn take_turn(pair *pair, int way, int n_tokens, int n_repeats) {
    static samples rates, firsts, cpu;
    const pid_t server = way == WAY_BARE ? pair->bare.pid : pair->host.pid;
    rates.n = firsts.n = cpu.n = 0;
    pair_settle(pair);
    const other_load other_load = other_load_begin(pair->host.pid, pair->bare.pid);
    const int64_t cpu_before = family_cpu_ns(server);
    const int64_t start = now_ns();
    int n_done = 0;
    while (n_done < n_repeats && (n_done == 0 || now_ns() - start < TURN_MOST_NS)) {
        const answer_cost cost = ask(pair, way, n_tokens);
        if (cost.n_tokens != n_tokens)
            fail("an answer has %d tokens instead of %d", cost.n_tokens, n_tokens);
        samples_add(&rates, cost.tokens_per_s);
        samples_add(&firsts, cost.first_ms);
        samples_add(&cpu, cost.cpu_us);
        n_done++;
    }
    return (turn){.tokens_per_s = samples_median(&rates),
                  .first_ms = samples_median(&firsts),
                  .client_us = samples_median(&cpu),
                  .server_us = (double)(family_cpu_ns(server) - cpu_before) / 1e3 / n_done / n_tokens,
                  .other_load = other_load_cores(&other_load)};
}

/* A turn of each way, one right after the other; forwards and backwards by turns, the bare loop always second or third.
 * Returns the most other load that one of them had. */
static double take_turns(pair *pair, int round, int n_tokens, int n_repeats, turn turns[N_WAYS]) {
    double other_load = 0;
    for (int i = 0; i < N_WAYS; i++) {
        const int way = round % 2 == 0 ? i : N_WAYS - 1 - i;
        turns[way] = take_turn(pair, way, n_tokens, n_repeats);
        other_load = turns[way].other_load > other_load ? turns[way].other_load : other_load;
    }
    return other_load;
}

/* The same, again while other programs were using the cores and there is time for it; the least disturbed time counts. */
static double take_quiet_turns(pair *pair, int round, int n_tokens, int n_repeats, turn turns[N_WAYS]) {
    double least = take_turns(pair, round, n_tokens, n_repeats, turns);
    while (least > OTHER_LOAD_MOST && retries_left()) {
        turn again[N_WAYS];
        wait_for_quiet(pair->host.pid, pair->bare.pid);
        const int64_t start = now_ns();
        const double other_load = take_turns(pair, round, n_tokens, n_repeats, again);
        retries_spend(now_ns() - start);
        if (other_load < least) {
            least = other_load;
            memcpy(turns, again, sizeof again);
        }
    }
    return least;
}

/* Rounds with answers of one length. */
static void measure_streaming(results *list, const bench_options *options, const bench_model *model, int n_tokens,
                              int n_repeats) {
    static samples rates[N_WAYS], ratios[N_WAYS], client[N_WAYS], server[N_WAYS], other_load;
    other_load.n = 0;
    for (int way = 0; way < N_WAYS; way++)
        rates[way].n = ratios[way].n = client[way].n = server[way].n = 0;

    pair pair;
    pair_start(&pair, options, model, n_tokens);
    for (int way = 0; way < N_WAYS; way++)
        ask(&pair, way, n_tokens);
    for (int round = 0; round < options->n_rounds; round++) {
        turn turns[N_WAYS];
        samples_add(&other_load, take_quiet_turns(&pair, round, n_tokens, n_repeats, turns));
        for (int way = 0; way < N_WAYS; way++) {
            samples_add(&rates[way], turns[way].tokens_per_s);
            samples_add(&ratios[way], turns[way].tokens_per_s / turns[WAY_BARE].tokens_per_s);
            samples_add(&client[way], turns[way].client_us);
            samples_add(&server[way], turns[way].server_us);
        }
    }

    char name[64], rest[48], what[96];
    for (size_t i = 0; i < N_HOST_WAYS; i++) {
        snprintf(rest, sizeof rest, "%d.%s_ratio", n_tokens, host_ways[i].name);
        snprintf(what, sizeof what, "%s / bare loop, %d tokens", host_ways[i].what, n_tokens);
        row_name(name, sizeof name, "stream", model, rest);
        results_add(list, name, samples_median(&ratios[host_ways[i].way]), "ratio",
                    results_at_least(model->least_ratio), what);
    }
    for (size_t i = 0; i < N_HOST_WAYS; i++) {
        snprintf(rest, sizeof rest, "%d.%s", n_tokens, host_ways[i].name);
        row_name(name, sizeof name, "stream", model, rest);
        results_add(list, name, samples_median(&rates[host_ways[i].way]), "tokens/s", results_no_bar(),
                    host_ways[i].what);
    }
    snprintf(rest, sizeof rest, "%d.bare", n_tokens);
    row_name(name, sizeof name, "stream", model, rest);
    results_add(list, name, samples_median(&rates[WAY_BARE]), "tokens/s", results_no_bar(), "bare loop");
    for (size_t i = 0; i < N_HOST_WAYS; i++) {
        snprintf(rest, sizeof rest, "%d.%s_cpu", n_tokens, host_ways[i].name);
        snprintf(what, sizeof what, "processor time of the client, %s", host_ways[i].what);
        row_name(name, sizeof name, "stream", model, rest);
        results_add(list, name, samples_median(&client[host_ways[i].way]), "us/token", results_no_bar(), what);
    }
    snprintf(rest, sizeof rest, "%d.host_cpu", n_tokens);
    row_name(name, sizeof name, "stream", model, rest);
    results_add(list, name, samples_median(&server[WAY_LIBRARY]), "us/token", results_no_bar(),
                "processor time of the host, prompt included");
    snprintf(rest, sizeof rest, "%d.bare_cpu", n_tokens);
    row_name(name, sizeof name, "stream", model, rest);
    results_add(list, name, samples_median(&server[WAY_BARE]), "us/token", results_no_bar(),
                "processor time of the bare loop, prompt included");
    snprintf(rest, sizeof rest, "%d.other_load", n_tokens);
    row_name(name, sizeof name, "stream", model, rest);
    results_add(list, name, samples_max(&other_load), "cores", results_no_bar(),
                "used by other programs in the worst round");
    if (n_tokens == 128) {
        add_memory_rows(list, model, &pair);
        const prompts prompts = make_prompts(next_number());
        const answer_cost cost = bare_answer(&pair.bare, &prompts, n_tokens, true);
        row_name(name, sizeof name, "model", model, "min_p_survivors");
        results_add(list, name, cost.survivors, "tokens", results_no_bar(), "candidates that pass min-p 0.05, mean");
    }
    pair_stop(&pair);
}

void rows_stream(results *list, const bench_options *options) {
    for (int i = 0; i < N_BENCH_MODELS; i++) {
        const bench_model *model = &bench_models[i];
        if (!uses_model(options, model))
            continue;
        measure_streaming(list, options, model, 128, model->n_repeats_128);
        measure_streaming(list, options, model, 512, model->n_repeats_512);
    }
}

static void measure_first_token(results *list, const bench_options *options, const bench_model *model) {
    static samples first[N_WAYS], differences[N_WAYS], other_load;
    other_load.n = 0;
    for (int way = 0; way < N_WAYS; way++)
        first[way].n = differences[way].n = 0;

    pair pair;
    pair_start(&pair, options, model, 2);
    for (int way = 0; way < N_WAYS; way++)
        ask(&pair, way, 2);
    for (int round = 0; round < N_FIRST_ROUNDS; round++) {
        turn turns[N_WAYS];
        samples_add(&other_load, take_quiet_turns(&pair, round, 2, 1, turns));
        for (int way = 0; way < N_WAYS; way++) {
            samples_add(&first[way], turns[way].first_ms);
            samples_add(&differences[way], turns[way].first_ms - turns[WAY_BARE].first_ms);
        }
    }
    pair_stop(&pair);

    char name[64], rest[48], what[96];
    for (size_t i = 0; i < N_HOST_WAYS; i++) {
        snprintf(rest, sizeof rest, "%s_difference", host_ways[i].name);
        snprintf(what, sizeof what, "first token, %s - bare loop", host_ways[i].what);
        row_name(name, sizeof name, "first", model, rest);
        results_add(list, name, samples_median(&differences[host_ways[i].way]), "ms", results_at_most(1), what);
    }
    for (size_t i = 0; i < N_HOST_WAYS; i++) {
        row_name(name, sizeof name, "first", model, host_ways[i].name);
        results_add(list, name, samples_median(&first[host_ways[i].way]), "ms", results_no_bar(), host_ways[i].what);
    }
    row_name(name, sizeof name, "first", model, "bare");
    results_add(list, name, samples_median(&first[WAY_BARE]), "ms", results_no_bar(), "bare loop");
    row_name(name, sizeof name, "first", model, "other_load");
    results_add(list, name, samples_median(&other_load), "cores", results_no_bar(), "used by other programs, median");
}

void rows_first(results *list, const bench_options *options) {
    for (int i = 0; i < N_BENCH_MODELS; i++) {
        if (uses_model(options, &bench_models[i]))
            measure_first_token(list, options, &bench_models[i]);
    }
}
