/* sampler_equality.c - src/engine/sampler.h against libllama's samplers: the same candidates with the same probabilities,
 * to 1e-5, on made-up logits of several shapes and sizes and on those of the embedded model, with thousands of sets of
 * parameters; and what is drawn follows the probabilities that libllama says.
 *
 * Two things are left open. Which of several equal logits are cut off: libllama sorts them in no order. And where top-p
 * cuts, if rounding decides it: libllama adds up probabilities one by one in 32 bits, which for a hundred thousand tokens
 * with nearly the same one is off by some thousandths.
 */
#include "../support/harness.h"

#include "engine/engine.h"
#include "engine/sampler.h"

#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VOCAB = 128256, N_FORBIDDEN = 3 };

static uint64_t random_state = 1;
static float made_up[MAX_VOCAB];
static llama_token_data theirs[MAX_VOCAB];
static sampler_candidate ours[MAX_VOCAB];
static double probabilities[MAX_VOCAB]; /* libllama's, by token */
static double worst_difference, worst_cut;
static int n_compared, n_near_cut;

typedef struct sampling_case {
    engine_sampling sampling;
    int32_t n_vocab;
    int32_t forbidden[N_FORBIDDEN];
} sampling_case;

static float one_of(const float *values, uint32_t n) {
    return values[test_random(&random_state, n)];
}

static float random_normal(void) {
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += test_random(&random_state, 1 << 24) / (double)(1 << 24);
    return (float)(sum - 6);
}

static void random_case(sampling_case *c, int32_t n_vocab) {
    static const float temperatures[] = {0, 0.2f, 0.7f, 1, 1.5f}, min_ps[] = {0, 0, 0.001f, 0.05f, 0.3f, 1},
                       top_ps[] = {1, 1, 0, 0.4f, 0.9f, 0.95f, 0.99f};
    static const int32_t top_ks[] = {0, 0, 0, 1, 2, 40, 100, 1000, INT32_MAX};
    *c = (sampling_case){.n_vocab = n_vocab};
    c->sampling = (engine_sampling){.temperature = one_of(temperatures, 5), .min_p = one_of(min_ps, 6),
                                    .top_p = one_of(top_ps, 7), .top_k = top_ks[test_random(&random_state, 9)],
                                    .ignore_eos = test_random(&random_state, 4) == 0, .seed = 1};
    for (int i = 0; i < N_FORBIDDEN; i++)
        c->forbidden[i] = i == 0 ? 2 : (int32_t)test_random(&random_state, (uint32_t)n_vocab);
}

static const char *describe(const sampling_case *c) {
    static char text[256];
    const engine_sampling *s = &c->sampling;
    snprintf(text, sizeof text,
             "vocabulary %d, temperature %g, min_p %g, top_p %g, top_k %d, forbidden %d",
             c->n_vocab, (double)s->temperature, (double)s->min_p, (double)s->top_p, s->top_k, s->ignore_eos);
    return text;
}

static sampler *make_ours(const sampling_case *c) {
    sampler *s = sampler_new(&c->sampling, c->n_vocab);
    CHECK(s != NULL);
    for (int i = 0; c->sampling.ignore_eos && i < N_FORBIDDEN; i++) sampler_forbid(s, c->forbidden[i]);
    return s;
}

/* In the order of llama.cpp's own programs. */
static struct llama_sampler *make_theirs(const sampling_case *c) {
    const engine_sampling *sampling = &c->sampling;
    struct llama_sampler_chain_params params = llama_sampler_chain_default_params();
    struct llama_sampler *chain = llama_sampler_chain_init(params);
    llama_logit_bias biases[N_FORBIDDEN];
    for (int i = 0; i < N_FORBIDDEN; i++) biases[i] = (llama_logit_bias){c->forbidden[i], -INFINITY};
    if (sampling->ignore_eos)
        llama_sampler_chain_add(chain, llama_sampler_init_logit_bias(c->n_vocab, N_FORBIDDEN, biases));
    if (sampling->temperature <= 0) {
        llama_sampler_chain_add(chain, llama_sampler_init_greedy());
    } else {
        if (sampling->top_k > 0) llama_sampler_chain_add(chain, llama_sampler_init_top_k(sampling->top_k));
        if (sampling->top_p < 1) llama_sampler_chain_add(chain, llama_sampler_init_top_p(sampling->top_p, 1));
        if (sampling->min_p > 0) llama_sampler_chain_add(chain, llama_sampler_init_min_p(sampling->min_p, 1));
        llama_sampler_chain_add(chain, llama_sampler_init_temp(sampling->temperature));
    }
    return chain;
}

/* Their candidates into `theirs` and `probabilities`; returns their number. */
static size_t ask_them(const sampling_case *c, const float *logits, int32_t *greedy) {
    struct llama_sampler *chain = make_theirs(c);
    for (int32_t i = 0; i < c->n_vocab; i++) theirs[i] = (llama_token_data){i, logits[i], 0};
    llama_token_data_array array = {theirs, (size_t)c->n_vocab, -1, false};
    llama_sampler_apply(chain, &array);
    llama_sampler_free(chain);
    *greedy = array.selected < 0 ? -1 : theirs[array.selected].id;
    double largest = -INFINITY, all = 0;
    for (size_t i = 0; i < array.size; i++) largest = fmax(largest, (double)theirs[i].logit);
    for (size_t i = 0; i < array.size; i++) all += exp((double)theirs[i].logit - largest);
    memset(probabilities, 0, (size_t)c->n_vocab * sizeof *probabilities);
    for (size_t i = 0; i < array.size; i++) probabilities[theirs[i].id] = exp((double)theirs[i].logit - largest) / all;
    return array.size;
}

static int compare_numbers(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a < b) - (a > b);
}

/* Both lists of probabilities by descending size; what one has more than the other is compared with zero. Equal logits
 * that were cut off differently look the same so. Returns the largest difference; *n_more: how many more ours are. */
static double compare_sorted(size_t n_ours, const sampling_case *c, int *n_more) {
    static double left[MAX_VOCAB], right[MAX_VOCAB];
    size_t n_theirs = 0, n = 0;
    double worst = 0;
    for (int32_t i = 0; i < c->n_vocab; i++)
        if (probabilities[i] > 0) right[n_theirs++] = probabilities[i];
    for (; n < n_ours; n++) left[n] = ours[n].probability;
    for (; n < n_theirs; n++) left[n] = 0;
    for (size_t i = n_theirs; i < n; i++) right[i] = 0;
    qsort(left, n, sizeof *left, compare_numbers);
    qsort(right, n, sizeof *right, compare_numbers);
    *n_more = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(left[i] - right[i]));
        *n_more += (left[i] > 1e-30) - (right[i] > 1e-30);
    }
    return worst;
}

static void compare(const sampling_case *c, const float *logits, bool has_ties) {
    int32_t greedy;
    ask_them(c, logits, &greedy);
    sampler *s = make_ours(c);
    size_t n = sampler_candidates(s, logits, ours, MAX_VOCAB);
    n_compared++;
    if (greedy >= 0) {
        CHECK_SAY(sampler_choose(s, logits, 0, 0) == greedy, "%s: the likeliest token is %d instead of %d", describe(c),
                  sampler_choose(s, logits, 0, 0), greedy);
        sampler_free(s);
        return;
    }
    sampler_free(s);
    double difference = 0, ours_alone = 0, theirs_alone = 0;
    for (size_t i = 0; i < n; i++) {
        double *probability = &probabilities[ours[i].token];
        if (*probability > 0) difference = fmax(difference, fabs(*probability - ours[i].probability));
        else ours_alone += ours[i].probability;
        *probability = -*probability; /* seen */
    }
    for (int32_t i = 0; i < c->n_vocab; i++) {
        if (probabilities[i] > 0) theirs_alone += probabilities[i];
        probabilities[i] = fabs(probabilities[i]);
    }
    /* Candidates of one alone can only be equal logits at a cut, or a cut of top-p that rounding has moved. */
    double alone = ours_alone + theirs_alone;
    if (alone > 1e-5 && has_ties) {
        int n_more;
        difference = compare_sorted(n, c, &n_more);
        alone = n_more == 0 ? 0 : difference;
    }
    if (alone > 1e-5) {
        n_near_cut++;
        worst_cut = fmax(worst_cut, alone);
        CHECK_SAY(c->sampling.top_p < 1 && alone < 5e-3, "%s: %g of the candidates are ours alone, %g theirs", describe(c),
                  ours_alone, theirs_alone);
        return;
    }
    worst_difference = fmax(worst_difference, difference);
    CHECK_SAY(difference < 1e-5, "%s: a probability differs by %g", describe(c), difference);
}

/* ---- made-up logits ------------------------------------------------------------------------------------------------ */

enum { SHAPE_FLAT, SHAPE_NORMAL, SHAPE_PEAKED, SHAPE_TIES, N_SHAPES };

static void fill_logits(int shape, int32_t n_vocab) {
    for (int32_t i = 0; i < n_vocab; i++) {
        float noise = random_normal();
        made_up[i] = shape == SHAPE_FLAT ? 0.1f * noise : shape == SHAPE_TIES ? (float)(int)(2 * noise) : 2.5f * noise;
        if (shape == SHAPE_PEAKED && test_random(&random_state, (uint32_t)n_vocab) < 20) made_up[i] += 12;
    }
}

static void compare_made_up(int32_t n_vocab, int n_fillings, int n_cases) {
    sampling_case c;
    worst_difference = worst_cut = n_compared = n_near_cut = 0;
    for (int f = 0; f < n_fillings; f++) {
        for (int shape = 0; shape < N_SHAPES; shape++) {
            fill_logits(shape, n_vocab);
            for (int i = 0; i < n_cases; i++) {
                random_case(&c, n_vocab);
                compare(&c, made_up, shape == SHAPE_TIES);
            }
        }
    }
    test_step("vocabulary %d: %d cases, largest difference %.3g; %d near a cut of top-p, at most %.3g there", n_vocab,
              n_compared, worst_difference, n_near_cut, worst_cut);
    CHECK_INT(n_near_cut, <=, n_compared / 10);
}

/* ---- the embedded model -------------------------------------------------------------------------------------------- */

/* Draws against libllama's probabilities; the inputs are fixed, so the result never changes. */
static void check_draws(const float *logits, int32_t n_vocab) {
    enum { N_DRAWS = 10000 };
    int *counts = calloc((size_t)n_vocab, sizeof *counts), n_bins = 0, n_rest = N_DRAWS;
    sampling_case c = {.n_vocab = n_vocab,
                       .sampling = {.temperature = 1.5f, .min_p = 0.0005f, .top_p = 0.999f, .top_k = 100,
                                    .seed = 3}};
    int32_t greedy;
    double sum = 0, rest = N_DRAWS;
    CHECK(counts != NULL);
    ask_them(&c, logits, &greedy);
    sampler *s = make_ours(&c);
    for (uint32_t position = 0; position < N_DRAWS; position++) counts[sampler_choose(s, logits, position, 0)]++;
    sampler_free(s);
    for (int32_t i = 0; i < n_vocab; i++) {
        double expected = probabilities[i] * N_DRAWS;
        CHECK(expected > 0 || counts[i] == 0);
        if (expected < 10) continue;
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
        rest -= expected;
        n_rest -= counts[i];
        n_bins++;
    }
    sum += (n_rest - rest) * (n_rest - rest) / fmax(rest, 10);
    double deviation = (sum - n_bins) / sqrt(2.0 * n_bins);
    test_step("draws: %d bins, chi-square off by %.2f standard deviations", n_bins + 1, deviation);
    CHECK(n_bins >= 3 && deviation < 4);
    free(counts);
}

static void compare_real(void) {
    static const char text[] = "What is shared memory? Shared memory is a region that several processes can see at the "
                               "same time. What is a semaphore? A semaphore is a counter";
    char path[4096], message[ENGINE_MESSAGE_SIZE];
    llama_token tokens[sizeof text + 16];
    engine *engine;
    llama_engine_options options = {
        .model_path = test_model_path(path, "tutor.gguf"), .n_ctx = 256, .n_sequences = 1, .n_threads = 1};
    /* It loads the library's backends; then the same model is read here, for its logits. */
    CHECK_SAY(llama_engine_open(&options, &engine, message, sizeof message) == 0, "%s", message);
    struct llama_model *model = llama_model_load_from_file(path, llama_model_default_params());
    CHECK(model != NULL);
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = 256;
    params.n_threads = params.n_threads_batch = 1;
    struct llama_context *context = llama_init_from_model(model, params);
    CHECK(context != NULL);
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    int32_t n_vocab = llama_vocab_n_tokens(vocab);
    int32_t n = llama_tokenize(vocab, text, (int32_t)strlen(text), tokens, sizeof text + 16, true, false);
    CHECK_INT(n, >, 10);
    worst_difference = worst_cut = n_compared = n_near_cut = 0;
    for (int32_t i = 0; i < n; i++) {
        CHECK_INT(llama_decode(context, llama_batch_get_one(&tokens[i], 1)), ==, 0);
        const float *logits = llama_get_logits_ith(context, 0);
        for (int k = 0; k < 40; k++) {
            sampling_case c;
            random_case(&c, n_vocab);
            compare(&c, logits, false);
        }
        if (i == n / 2) check_draws(logits, n_vocab);
    }
    test_step("embedded model, vocabulary %d: %d cases, largest difference %.3g; %d near a cut of top-p, at most %.3g "
              "there", n_vocab, n_compared, worst_difference, n_near_cut, worst_cut);
    llama_free(context);
    llama_model_free(model);
    engine_close(engine);
}

int main(void) {
    test_begin("sampler_equality", 60);
    compare_made_up(2048, 8, 100);
    compare_made_up(32000, 1, 50);
    compare_made_up(MAX_VOCAB, 1, 7);
    compare_real();
    return test_end();
}
