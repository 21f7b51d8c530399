/* sampler_rules.c - src/engine/sampler.h and logits.h: candidates and probabilities are those of a plain reference in
 * double precision (sorted, one filter after the other), for all variants of the passes; what is drawn follows the
 * probabilities; and what is not a number, ties and forbidden tokens have the results that the header defines.
 */
#include "../support/harness.h"

#include "engine/draw.h"
#include "engine/sampler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VOCAB = 5000 };

static uint64_t random_state = 1;
static float logits[MAX_VOCAB];
static sampler_candidate candidates[MAX_VOCAB];
static const logits_passes *passes;

static double random_real(void) {
    return test_random(&random_state, 1 << 24) / (double)(1 << 24);
}

static float random_normal(void) {
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += random_real();
    return (float)(sum - 6);
}

static const engine_sampling everything = {.temperature = 1, .top_p = 1, .seed = 1};

static sampler *make(const engine_sampling *sampling, int32_t n_vocab) {
    sampler *s = sampler_new(sampling, n_vocab);
    CHECK(s != NULL);
    sampler_use_passes(s, passes);
    return s;
}

/* ---- the passes ---------------------------------------------------------------------------------------------------- */

static void check_passes(void) {
    enum { N_BLOCKS = 40, N = N_BLOCKS * LOGITS_BLOCK };
    static float weights[N], maxima[N_BLOCKS], sums[N_BLOCKS];
    test_step("passes: %s", passes->name);
    double worst = 0, all = 0, from = 0;
    for (int i = 0; i < N; i++) logits[i] = (float)(i * 85.0 / N - 75);
    passes->weights(logits, N_BLOCKS, 10, 1, weights);
    for (int i = 0; i < N; i++) {
        double expected = exp((double)(logits[i] - 10.0f));
        worst = fmax(worst, fabs(weights[i] / expected - 1));
        all += expected;
        if (logits[i] >= 3) from += expected;
    }
    printf("largest relative error of a weight: %.3g\n", worst);
    CHECK(worst < 1e-6);
    double sum = passes->sums(logits, N_BLOCKS, 10, 1, sums), sum_of_blocks = 0;
    for (int b = 0; b < N_BLOCKS; b++) sum_of_blocks += (double)sums[b];
    CHECK(fabs(sum / all - 1) < 1e-6 && fabs(sum_of_blocks / all - 1) < 1e-6);
    CHECK(fabs(passes->sum_from(logits, weights, N_BLOCKS, 3) / from - 1) < 1e-6);
    for (int i = 0; i < LOGITS_BLOCK; i++) logits[i] = -1000;
    logits[5] = NAN;
    logits[6] = -NAN;
    logits[7] = -INFINITY;
    logits[8] = INFINITY;
    logits[9] = -0.0f;
    passes->maxima(logits, 1, maxima);
    CHECK(maxima[0] == INFINITY);
    passes->weights(logits, 1, INFINITY, 1, weights);
    CHECK(weights[5] == 0 && weights[6] == 0 && weights[7] == 0 && weights[8] == 1 && weights[9] == 0);
    passes->weights(logits, 1, 0, 0.5f, weights);
    CHECK(weights[5] == 0 && weights[7] == 0 && weights[8] == 1 && weights[9] == 1 && weights[10] == 0);
    logits[8] = NAN;
    passes->maxima(logits, 1, maxima);
    CHECK(maxima[0] == 0);
    logits[9] = -5;
    passes->maxima(logits, 1, maxima);
    CHECK(maxima[0] == -5);
    for (int i = 0; i < LOGITS_BLOCK; i++) logits[i] = i % 2 ? NAN : -NAN;
    passes->maxima(logits, 1, maxima);
    CHECK(maxima[0] == -INFINITY);
    CHECK(passes->sums(logits, 1, 1, 1, sums) == 0);
}

static void check_keys(void) {
    static const float ordered[] = {-INFINITY, -3e38f, -1, -1e-42f, -0.0f, 0.0f, 1e-42f, 1, 1.0000001f, 3e38f, INFINITY};
    for (size_t i = 0; i < sizeof ordered / sizeof *ordered; i++) {
        CHECK(logits_from_key(logits_key(ordered[i])) == ordered[i]);
        if (i > 0) CHECK_INT(logits_key(ordered[i - 1]), <, logits_key(ordered[i]));
    }
}

/* ---- a reference --------------------------------------------------------------------------------------------------- */

typedef struct entry {
    int32_t token;
    float logit;
    double probability;
} entry;

static entry reference[MAX_VOCAB];
static int n_reference;
static bool is_near_cut; /* top-p cuts so near to a sum that rounding decides */

static int compare_entries(const void *left, const void *right) {
    const entry *a = left, *b = right;
    if (a->logit != b->logit) return a->logit < b->logit ? 1 : -1;
    return (a->token > b->token) - (a->token < b->token);
}

static int compare_by_token(const void *left, const void *right) {
    return ((const entry *)left)->token - ((const entry *)right)->token;
}

static void set_probabilities(double temperature) {
    double all = 0;
    for (int i = 0; i < n_reference; i++) {
        double below = reference[i].logit < reference[0].logit ? (double)reference[i].logit - reference[0].logit : 0;
        all += reference[i].probability = exp(below / temperature);
    }
    for (int i = 0; i < n_reference; i++) reference[i].probability /= all;
}

static void keep_top_p(double top_p) {
    double sum = 0;
    set_probabilities(1);
    for (int i = 0; i < n_reference; i++) {
        sum += reference[i].probability;
        is_near_cut |= fabs(sum - top_p) < 1e-6;
        if (sum >= top_p) {
            n_reference = i + 1;
            return;
        }
    }
}

/* The candidates by ascending token, with everything that is never chosen left out from the beginning. */
static void find_reference(const engine_sampling *sampling, int32_t n_vocab) {
    n_reference = 0;
    is_near_cut = false;
    for (int32_t token = 0; token < n_vocab; token++) {
        if (logits[token] > -INFINITY) reference[n_reference++] = (entry){token, logits[token], 0};
    }
    if (n_reference == 0) return;
    qsort(reference, (size_t)n_reference, sizeof *reference, compare_entries);
    if (sampling->temperature <= 0) n_reference = 1;
    if (sampling->top_k > 0 && n_reference > sampling->top_k) n_reference = sampling->top_k;
    if (sampling->top_p < 1) keep_top_p((double)sampling->top_p);
    float least = reference[0].logit + logf(sampling->min_p);
    while (sampling->min_p > 0 && reference[n_reference - 1].logit < least) n_reference--;
    float scale = sampling->temperature > 0 ? 1 / sampling->temperature : 1;
    while ((reference[n_reference - 1].logit - reference[0].logit) * scale <= -86) n_reference--; /* e^-86 is not drawn */
    set_probabilities(sampling->temperature > 0 ? (double)sampling->temperature : 1);
    qsort(reference, (size_t)n_reference, sizeof *reference, compare_by_token);
}

/* The same token, and the same candidates with the same probabilities. */
static void check_candidates(sampler *s, const char *what) {
    size_t n = sampler_candidates(s, logits, candidates, MAX_VOCAB);
    if (is_near_cut) return;
    CHECK_SAY((int)n == n_reference, "%s: %zu candidates instead of %d", what, n, n_reference);
    for (int i = 0; i < n_reference; i++) {
        CHECK_SAY(candidates[i].token == reference[i].token, "%s: token %d instead of %d", what, candidates[i].token,
                  reference[i].token);
        CHECK_SAY(fabs(candidates[i].probability - reference[i].probability) < 2e-6,
                  "%s: token %d has %.9f instead of %.9f", what, candidates[i].token, candidates[i].probability,
                  reference[i].probability);
    }
}

/* What the draw must be: the candidates' probabilities added up until they exceed it. */
static void check_choice(sampler *s, const engine_sampling *sampling, uint32_t position, const char *what) {
    int32_t token = sampler_choose(s, logits, position, 0);
    if (n_reference == 0) {
        CHECK_INT(token, ==, SAMPLER_NOTHING);
        return;
    }
    double uniform = draw_uniform(sampling->seed, position, 0), sum = 0;
    size_t n = sampler_candidates(s, logits, candidates, MAX_VOCAB);
    for (size_t i = 0; i < n; i++) {
        double before = sum;
        sum += candidates[i].probability;
        if (candidates[i].token != token) continue;
        CHECK_SAY(before - 1e-5 <= uniform && uniform <= sum + 1e-5, "%s: drew %.9f and chose token %d of %.9f to %.9f",
                  what, uniform, token, before, sum);
        return;
    }
    CHECK_SAY(false, "%s: chose token %d, which is no candidate", what, token);
}

/* ---- random cases -------------------------------------------------------------------------------------------------- */

enum { SHAPE_FLAT, SHAPE_NORMAL, SHAPE_PEAKED, SHAPE_TIES, SHAPE_EQUAL, SHAPE_STRANGE, N_SHAPES };

static void fill_logits(int shape, int32_t n_vocab) {
    for (int32_t i = 0; i < n_vocab; i++) {
        float noise = random_normal();
        logits[i] = shape == SHAPE_FLAT    ? 0.01f * noise
                    : shape == SHAPE_TIES  ? (float)(int)(2 * noise)
                    : shape == SHAPE_EQUAL ? 1.5f
                                           : 2 * noise;
        uint32_t odd = test_random(&random_state, 200);
        if (shape == SHAPE_PEAKED && odd < 2) logits[i] += 10;
        if (shape != SHAPE_STRANGE) continue;
        if (odd < 30) logits[i] = odd < 10 ? NAN : odd < 20 ? -NAN : -INFINITY;
        if (odd == 30) logits[i] = -0.0f;
        if (odd == 31 && n_vocab % 3 == 0) logits[i] = INFINITY;
        if (odd == 32) logits[i] = -3e38f;
    }
}

static float one_of(const float *values, uint32_t n) {
    return values[test_random(&random_state, n)];
}

static engine_sampling random_sampling(void) {
    static const float temperatures[] = {0, 0.1f, 0.7f, 1, 2.5f}, min_ps[] = {0, 0, 0.01f, 0.05f, 0.5f, 1},
                       top_ps[] = {1, 1, 0, 0.3f, 0.9f, 0.999f};
    static const int32_t top_ks[] = {0, 0, 1, 5, 40, 300, 100000};
    return (engine_sampling){.temperature = one_of(temperatures, 5), .min_p = one_of(min_ps, 6),
                             .top_p = one_of(top_ps, 6), .top_k = top_ks[test_random(&random_state, 7)],
                             .seed = test_random(&random_state, 1000)};
}

static void check_random_cases(int n_cases) {
    static const int32_t vocabularies[] = {1, 2, 63, 64, 65, 127, 500, 1000, 4096, MAX_VOCAB};
    static float before[MAX_VOCAB];
    int n_near = 0;
    test_step("%d random cases: %s", n_cases, passes->name);
    for (int c = 0; c < n_cases; c++) {
        char what[200];
        int32_t n_vocab = vocabularies[test_random(&random_state, c % 20 == 0 ? 10 : 8)];
        int shape = (int)test_random(&random_state, N_SHAPES);
        engine_sampling sampling = random_sampling();
        fill_logits(shape, n_vocab);
        snprintf(what, sizeof what,
                 "case %d: vocabulary %d, shape %d, temperature %g, min_p %g, top_p %g, top_k %d",
                 c, n_vocab, shape, (double)sampling.temperature, (double)sampling.min_p, (double)sampling.top_p,
                 sampling.top_k);
        sampler *s = make(&sampling, n_vocab);
        memcpy(before, logits, sizeof logits);
        find_reference(&sampling, n_vocab);
        check_candidates(s, what);
        for (uint32_t position = 0; position < 3; position++) check_choice(s, &sampling, position, what);
        CHECK(memcmp(before, logits, sizeof logits) == 0);
        n_near += is_near_cut;
        sampler_free(s);
    }
    CHECK_INT(n_near, <, n_cases / 20);
}

/* ---- what is defined ----------------------------------------------------------------------------------------------- */

static int32_t choose(const engine_sampling *sampling, int32_t n_vocab) {
    sampler *s = make(sampling, n_vocab);
    int32_t token = sampler_choose(s, logits, 0, 0);
    sampler_free(s);
    return token;
}

static void check_edges(void) {
    enum { N = 200 };
    engine_sampling greedy = everything, top_k = everything;
    greedy.temperature = 0;
    top_k.top_k = 3;
    test_step("ties and what is not a number: %s", passes->name);
    for (int i = 0; i < N; i++) logits[i] = i % 2 ? NAN : -INFINITY;
    CHECK_INT(choose(&greedy, N), ==, SAMPLER_NOTHING);
    CHECK_INT(choose(&everything, N), ==, SAMPLER_NOTHING);
    CHECK_INT(choose(&top_k, N), ==, SAMPLER_NOTHING);
    logits[140] = -3e38f;
    CHECK_INT(choose(&greedy, N), ==, 140);
    CHECK_INT(choose(&everything, N), ==, 140);
    CHECK_INT(choose(&top_k, N), ==, 140);
    logits[150] = logits[130] = logits[199] = INFINITY;
    CHECK_INT(choose(&greedy, N), ==, 130);
    logits[130] = NAN;
    CHECK_INT(choose(&greedy, N), ==, 150);
    for (int i = 0; i < N; i++) logits[i] = i % 3 ? 0.0f : -0.0f;
    CHECK_INT(choose(&greedy, N), ==, 0);
    logits[77] = logits[78] = 1;
    CHECK_INT(choose(&greedy, N), ==, 77);
    sampler *s = make(&top_k, N);
    CHECK_INT(sampler_candidates(s, logits, candidates, MAX_VOCAB), ==, 3);
    CHECK_INT(candidates[0].token, ==, 0); /* the first of the zeros */
    CHECK_INT(candidates[1].token, ==, 77);
    CHECK_INT(sampler_candidates(s, logits, candidates, 1), ==, 3);
    sampler_forbid(s, 77);
    sampler_forbid(s, N);
    sampler_forbid(s, -1);
    sampler_candidates(s, logits, candidates, MAX_VOCAB);
    CHECK(candidates[0].token == 0 && candidates[1].token == 1 && candidates[2].token == 78);
    sampler_free(s);
    greedy.temperature = 1e-42f; /* its inverse is infinite */
    CHECK_INT(choose(&greedy, N), >=, 77);
    CHECK_INT(choose(&greedy, N), <=, 78);
}

/* ---- draws --------------------------------------------------------------------------------------------------------- */

static void check_even(const engine_sampling *sampling, int32_t n_vocab, const char *what) {
    enum { N_DRAWS = 10000 };
    static int counts[MAX_VOCAB];
    memset(counts, 0, sizeof counts);
    sampler *s = make(sampling, n_vocab);
    for (uint32_t position = 0; position < N_DRAWS; position++) counts[sampler_choose(s, logits, position, 0)]++;
    size_t n = sampler_candidates(s, logits, candidates, MAX_VOCAB);
    double sum = 0, rest = N_DRAWS;
    int n_bins = 0, n_rest = N_DRAWS;
    for (size_t i = 0; i < n; i++) {
        double expected = candidates[i].probability * N_DRAWS;
        if (expected < 10) continue; /* all of those together are one bin */
        double off = counts[candidates[i].token] - expected;
        sum += off * off / expected;
        rest -= expected;
        n_rest -= counts[candidates[i].token];
        n_bins++;
    }
    if (rest >= 10) {
        sum += (n_rest - rest) * (n_rest - rest) / rest;
        n_bins++;
    } else {
        CHECK_INT(n_rest, <, 40);
    }
    double deviation = (sum - (n_bins - 1)) / sqrt(2.0 * (n_bins - 1));
    printf("%s: %zu candidates, %d bins, chi-square off by %.2f standard deviations\n", what, n, n_bins, deviation);
    CHECK(n_bins > 3 && fabs(deviation) < 4);
    sampler_free(s);
}

static void check_draws(void) {
    engine_sampling sampling = everything;
    test_step("draws: %s", passes->name);
    random_state = 1; /* whatever was looked at before */
    fill_logits(SHAPE_NORMAL, 1000);
    check_even(&sampling, 1000, "all");
    sampling.min_p = 0.05f;
    check_even(&sampling, 1000, "min-p");
    sampling.min_p = 0;
    sampling.top_p = 0.7f;
    sampling.temperature = 1.7f;
    check_even(&sampling, 1000, "top-p");
    sampling.top_k = 20;
    check_even(&sampling, 1000, "top-k and top-p");
    fill_logits(SHAPE_FLAT, 500);
    check_even(&everything, 500, "all, flat");
}

/* ---- permissions --------------------------------------------------------------------------------------------------- */

static int32_t choose_divisible(sampler *s, int divisor, uint32_t position) {
    uint64_t allowed[(MAX_VOCAB + 63) / 64] = {0};
    for (int token = 0; token < MAX_VOCAB; token++)
        if (token % divisor == 0) allowed[token / 64] |= UINT64_C(1) << token % 64;
    return sampler_choose_allowed(s, logits, position, 1, allowed);
}

static void check_permissions(void) {
    enum { N = 1000 };
    static float all_logits[N];
    test_step("choosing among what is allowed: %s", passes->name);
    for (int c = 0; c < 100; c++) {
        engine_sampling sampling = random_sampling();
        int divisor = c % 4 == 0 ? 499 : 1 + (int)test_random(&random_state, 100); /* 499: only three are allowed */
        fill_logits((int)test_random(&random_state, N_SHAPES), N);
        sampler *s = make(&sampling, N), *masked = make(&sampling, N);
        int32_t token = choose_divisible(s, divisor, 3), unmasked = sampler_choose(s, logits, 3, 1);
        CHECK_INT(unmasked, ==, sampler_choose(masked, logits, 3, 1)); /* nothing is left behind */
        memcpy(all_logits, logits, sizeof all_logits);
        for (int i = 0; i < N; i++)
            if (i % divisor != 0) logits[i] = -INFINITY;
        CHECK_INT(token, ==, sampler_choose(masked, logits, 3, 1));
        memcpy(logits, all_logits, sizeof all_logits);
        int none = INT32_MAX;
        logits[0] = -INFINITY;
        CHECK_INT(choose_divisible(s, none, 0), ==, SAMPLER_NOTHING);
        sampler_free(s);
        sampler_free(masked);
    }
}

/* Those of the reference, which leaves out what is too unlikely to be drawn. */
static void check_likeliest(sampler *s, int n) {
    sampler_likely likeliest[20];
    size_t n_found = sampler_likeliest(s, logits, likeliest, (size_t)n);
    qsort(reference, (size_t)n_reference, sizeof *reference, compare_entries);
    CHECK_INT(n_found, >=, n < n_reference ? n : n_reference);
    for (size_t i = 0; i < n_found && i < (size_t)n_reference; i++) {
        CHECK_SAY(likeliest[i].token == reference[i].token, "likeliest %zu of %d is %d, expected %d", i, n, likeliest[i].token,
                  reference[i].token);
        float said = sampler_log_probability(s, logits, likeliest[i].token);
        CHECK(memcmp(&said, &likeliest[i].logprob, sizeof said) == 0);
    }
}

static void check_log_probabilities(void) {
    test_step("log probabilities: %s", passes->name);
    for (int c = 0; c < 100; c++) {
        int32_t n_vocab = 1 + (int32_t)test_random(&random_state, 1000);
        engine_sampling sampling = random_sampling();
        sampler *s = make(&sampling, n_vocab);
        fill_logits((int)test_random(&random_state, N_SHAPES), n_vocab);
        find_reference(&everything, n_vocab);
        for (int i = 0; i < n_reference && reference[0].logit < INFINITY; i++) {
            double expected = log(reference[i].probability);
            double said = (double)sampler_log_probability(s, logits, reference[i].token);
            CHECK(fabs(said - expected) < 2e-6 * (1 - expected));
            if (i > 20) break;
        }
        check_likeliest(s, 1 + c % 20);
        sampler_free(s);
    }
    sampler *s = make(&everything, 3);
    logits[0] = logits[1] = INFINITY;
    logits[2] = NAN;
    CHECK(fabs((double)sampler_log_probability(s, logits, 0) + log(2)) < 1e-6);
    CHECK(sampler_log_probability(s, logits, 2) == -INFINITY && sampler_log_probability(s, logits, 3) == -INFINITY);
    sampler_free(s);
}

int main(void) {
    test_begin("sampler_rules", 60);
    check_keys();
    for (size_t v = 0; (passes = logits_variant(v)) != NULL; v++) {
        check_passes();
        check_random_cases(2000);
        check_edges();
            check_draws();
        check_permissions();
        check_log_probabilities();
    }
    CHECK(logits_variant(0) != NULL && logits_best() != NULL);
    sampler_free(NULL);
    return test_end();
}
