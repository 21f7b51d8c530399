/* rows_sampler.c - what choosing a token costs: the engine's sampler against libllama's chain, on the same logits.
 *
 * The logits are made up but peaked as a model's are: most tokens far below, some twenty in the running. Several rows take
 * turns, since a model also writes new ones for each token. Processor time of this thread, so that other programs on the
 * machine inflate it, but do not count.
 */
#include "rows.h"

#include "../src/engine/sampler.h"

#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { N_LOGITS = 4, N_TURNS = 15, N_CHAIN = 4, N_OURS = 16 };

static const struct {
    const char *name;
    int32_t n_vocab;
    double bar_us;    /* of the usual setting; 0: none */
    double bar_ratio; /* of llama-server's; 0: none */
} vocabularies[] = {{"2k", 2048, 14, 0}, {"32k", 32000, 133, 0}, {"128k", 128256, 407, 0}, {"152k", 151936, 0, 0.3}};

enum { USUAL, SERVER = 2 };
static const struct {
    const char *name;
    engine_sampling sampling;
} settings[] = {
    {"usual", {.temperature = 0.7f, .min_p = 0.05f, .top_p = 1, .seed = 1}},
    {"greedy", {.temperature = 0, .top_p = 1, .seed = 1}},
    {"server", {.temperature = 0.8f, .min_p = 0.05f, .top_p = 0.95f, .top_k = 40, .seed = 1}},
    {"top_p", {.temperature = 0.7f, .top_p = 0.95f, .seed = 1}},
    {"all", {.temperature = 0.7f, .top_p = 1, .seed = 1}},
};

enum { N_VOCABULARIES = sizeof vocabularies / sizeof *vocabularies, N_SETTINGS = sizeof settings / sizeof *settings };

typedef struct subject {
    int32_t n_vocab;
    float *logits; /* N_LOGITS rows */
    llama_token_data *candidates;
    struct llama_sampler *chain;
    sampler *ours;
    uint32_t n_chosen;
} subject;

static int64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double random_real(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

static void fill_logits(subject *subject) {
    uint64_t state = 1;
    for (int32_t i = 0; i < N_LOGITS * subject->n_vocab; i++) {
        double noise = sqrt(-2 * log(1 - random_real(&state))) * cos(6.283185307 * random_real(&state));
        bool is_likely = random_real(&state) * subject->n_vocab < 20;
        subject->logits[i] = (float)(2 * noise + (is_likely ? 14 : 0));
    }
}

/* As llama.cpp's own programs order them. */
static struct llama_sampler *make_chain(const engine_sampling *sampling) {
    struct llama_sampler_chain_params params = llama_sampler_chain_default_params();
    params.no_perf = true;
    struct llama_sampler *chain = llama_sampler_chain_init(params);
    if (sampling->temperature <= 0) {
        llama_sampler_chain_add(chain, llama_sampler_init_greedy());
        return chain;
    }
    if (sampling->top_k > 0) llama_sampler_chain_add(chain, llama_sampler_init_top_k(sampling->top_k));
    if (sampling->top_p < 1) llama_sampler_chain_add(chain, llama_sampler_init_top_p(sampling->top_p, 1));
    if (sampling->min_p > 0) llama_sampler_chain_add(chain, llama_sampler_init_min_p(sampling->min_p, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_temp(sampling->temperature));
    llama_sampler_chain_add(chain, llama_sampler_init_dist(sampling->seed));
    return chain;
}

static void choose_theirs(subject *subject, const float *logits) {
    for (int32_t i = 0; i < subject->n_vocab; i++) subject->candidates[i] = (llama_token_data){i, logits[i], 0};
    llama_token_data_array array = {subject->candidates, (size_t)subject->n_vocab, -1, false};
    llama_sampler_apply(subject->chain, &array);
    if (array.selected < 0) fail("libllama's chain chose nothing");
    llama_sampler_accept(subject->chain, subject->candidates[array.selected].id);
}

static void choose_ours(subject *subject, const float *logits) {
    int32_t token = sampler_choose(subject->ours, logits, subject->n_chosen++, 0);
    if (token == SAMPLER_NOTHING) fail("the sampler chose nothing");
}

static double measure_us(subject *subject, void (*choose)(struct subject *subject, const float *logits), int n) {
    const int64_t start = cpu_ns();
    for (int i = 0; i < n; i++) choose(subject, subject->logits + i % N_LOGITS * subject->n_vocab);
    return (double)(cpu_ns() - start) / 1e3 / n;
}

static void measure(results *list, int vocabulary, int setting) {
    static samples ours, theirs, ratios;
    const engine_sampling *sampling = &settings[setting].sampling;
    const int32_t n_vocab = vocabularies[vocabulary].n_vocab;
    subject subject = {.n_vocab = n_vocab,
                       .logits = malloc(N_LOGITS * (size_t)n_vocab * sizeof(float)),
                       .candidates = malloc((size_t)n_vocab * sizeof *subject.candidates),
                       .chain = make_chain(sampling),
                       .ours = sampler_new(sampling, n_vocab)};
    if (!subject.logits || !subject.candidates || !subject.ours) fail("not enough memory");
    fill_logits(&subject);
    ours.n = theirs.n = ratios.n = 0;
    measure_us(&subject, choose_ours, N_OURS);
    measure_us(&subject, choose_theirs, N_CHAIN);
    for (int turn = 0; turn < N_TURNS; turn++) {
        double chain_us = measure_us(&subject, choose_theirs, N_CHAIN);
        double ours_us = measure_us(&subject, choose_ours, N_OURS);
        samples_add(&theirs, chain_us);
        samples_add(&ours, ours_us);
        samples_add(&ratios, ours_us / chain_us);
    }
    sampler_free(subject.ours);
    llama_sampler_free(subject.chain);
    free(subject.candidates);
    free(subject.logits);

    char name[64];
    const double bar_us = setting == USUAL ? vocabularies[vocabulary].bar_us : 0;
    const double bar_ratio = setting == SERVER ? vocabularies[vocabulary].bar_ratio : 0;
    const results_bar bar = bar_us > 0 ? results_at_most(bar_us) : results_no_bar();
    snprintf(name, sizeof name, "sampler.%s.%s", vocabularies[vocabulary].name, settings[setting].name);
    results_add(list, name, samples_median(&ours), "us", bar, "a token chosen by the engine's sampler");
    snprintf(name, sizeof name, "sampler.%s.%s.chain", vocabularies[vocabulary].name, settings[setting].name);
    results_add(list, name, samples_median(&theirs), "us", results_no_bar(), "by libllama's chain");
    snprintf(name, sizeof name, "sampler.%s.%s.ratio", vocabularies[vocabulary].name, settings[setting].name);
    results_add(list, name, samples_median(&ratios), "", bar_ratio > 0 ? results_at_most(bar_ratio) : results_no_bar(),
                "ours over the chain");
}

void rows_sampler(results *list, const bench_options *options) {
    (void)options;
    for (int vocabulary = 0; vocabulary < N_VOCABULARIES; vocabulary++)
        for (int setting = 0; setting < N_SETTINGS; setting++) measure(list, vocabulary, setting);
}
