/* sampler.c - see sampler.h. From the whole row to few candidates:
 *
 * 1. The largest logit of each block (one pass over the row), corrected for the few tokens that are
 *    forbidden: their blocks are copied and changed there, the row never is. Every later look at a block does the same.
 * 2. What cannot be a candidate is below some logit that is known by now: the best's plus ln(min_p), or the k-th of the
 *    blocks' largest, or for top-p a guess that is lowered if it was too high. Blocks whose largest is below it are
 *    skipped, from the others the tokens are gathered.
 * 3. Top-k and top-p cut there. The logit at the cut is found by bisecting the numbers between (in at most 32 steps,
 *    each a vectorised sum) and not by sorting: the work is bounded whatever the logits are, and the order stays.
 */
#include "sampler.h"

#include "draw.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALL_BITS UINT64_MAX

struct sampler {
    engine_sampling sampling;
    const logits_passes *passes;
    size_t n_vocab, n_blocks, n_tops;

    float *maxima; /* the largest of each block; -infinity up to a whole number of blocks */
    float *tops;   /* the largest of each block of `maxima` */
    float *sums;   /* of weights, for each block */
    float largest;
    uint64_t *forbidden, *rejected; /* a word for each block, a bit for each token */
    bool has_forbidden, has_rejected;
    size_t *changed; /* blocks that are not as the row has them */
    size_t n_changed;

    int32_t *tokens; /* what was gathered, by ascending token */
    float *values, *weights; /* a whole number of blocks; behind n_gathered, values are -infinity */
    size_t n_gathered;
};

/* ---- making -------------------------------------------------------------------------------------------------------- */

static size_t blocks_of(size_t n) {
    return (n + LOGITS_BLOCK - 1) / LOGITS_BLOCK;
}

/* False: no memory. */
static bool make_parts(sampler *s) {
    size_t n_room = (s->n_blocks + 1) * LOGITS_BLOCK; /* gathering writes one behind the last */
    s->maxima = malloc(s->n_tops * LOGITS_BLOCK * sizeof *s->maxima);
    s->tops = malloc(s->n_tops * sizeof *s->tops);
    s->sums = malloc(s->n_blocks * sizeof *s->sums);
    s->forbidden = calloc(s->n_blocks, sizeof *s->forbidden);
    s->rejected = calloc(s->n_blocks, sizeof *s->rejected);
    s->changed = malloc((s->n_blocks + 1) * sizeof *s->changed);
    s->tokens = malloc(n_room * sizeof *s->tokens);
    s->values = malloc(n_room * sizeof *s->values);
    s->weights = malloc(n_room * sizeof *s->weights);
    if (!s->maxima || !s->tops || !s->sums || !s->forbidden || !s->rejected || !s->changed || !s->tokens || !s->values ||
        !s->weights)
        return false;
    for (size_t i = s->n_blocks; i < s->n_tops * LOGITS_BLOCK; i++) s->maxima[i] = -INFINITY;
    return true;
}

sampler *sampler_new(const engine_sampling *sampling, int32_t n_vocab) {
    sampler *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->sampling = *sampling;
    s->passes = logits_best();
    s->n_vocab = (size_t)n_vocab;
    s->n_blocks = blocks_of(s->n_vocab);
    s->n_tops = blocks_of(s->n_blocks);
    if (make_parts(s)) return s;
    sampler_free(s);
    return NULL;
}

void sampler_free(sampler *s) {
    if (!s) return;
    free(s->maxima);
    free(s->tops);
    free(s->sums);
    free(s->forbidden);
    free(s->rejected);
    free(s->changed);
    free(s->tokens);
    free(s->values);
    free(s->weights);
    free(s);
}

void sampler_use_passes(sampler *s, const logits_passes *passes) {
    s->passes = passes;
}

static bool is_known(const sampler *s, int32_t token) {
    return token >= 0 && (size_t)token < s->n_vocab;
}

static void set_bit(uint64_t *words, size_t token) {
    words[token / LOGITS_BLOCK] |= UINT64_C(1) << token % LOGITS_BLOCK;
}

_Static_assert(LOGITS_BLOCK == 64, "a word of bits for each block");

void sampler_forbid(sampler *s, int32_t token) {
    if (!is_known(s, token)) return;
    set_bit(s->forbidden, (size_t)token);
    s->has_forbidden = true;
}

/* ---- passes over the row ------------------------------------------------------------------------------------------- */

/* The row's part of a block; what is missing in the last one is -infinity. */
static void copy_raw_block(const sampler *s, const float *logits, size_t block, float copy[LOGITS_BLOCK]) {
    size_t first = block * LOGITS_BLOCK, n_left = s->n_vocab - first;
    size_t n = n_left < LOGITS_BLOCK ? n_left : LOGITS_BLOCK;
    memcpy(copy, logits + first, n * sizeof *copy);
    for (; n < LOGITS_BLOCK; n++) copy[n] = -INFINITY;
}

/* A block as the sampler wants it, without what is forbidden or rejected: the row's own if there is nothing to change,
 * otherwise `copy`. */
static const float *read_block(const sampler *s, const float *logits, size_t block, float copy[LOGITS_BLOCK]) {
    uint64_t bits = s->forbidden[block] | s->rejected[block];
    if (bits == 0 && block < s->n_vocab / LOGITS_BLOCK) return logits + block * LOGITS_BLOCK;
    if (bits == ALL_BITS) {
        for (size_t i = 0; i < LOGITS_BLOCK; i++) copy[i] = -INFINITY;
        return copy;
    }
    copy_raw_block(s, logits, block, copy);
    for (size_t i = 0; i < LOGITS_BLOCK; i++) copy[i] = bits >> i & 1 ? -INFINITY : copy[i];
    return copy;
}

static void list_changes(sampler *s) {
    s->n_changed = 0;
    for (size_t b = 0; (s->has_forbidden || s->has_rejected) && b < s->n_blocks; b++)
        if ((s->forbidden[b] | s->rejected[b]) != 0) s->changed[s->n_changed++] = b;
    if (s->n_vocab % LOGITS_BLOCK != 0) s->changed[s->n_changed++] = s->n_blocks - 1;
}

static void find_tops(sampler *s, size_t first, size_t n_tops) {
    s->passes->maxima(s->maxima + first * LOGITS_BLOCK, n_tops, s->tops + first);
    s->largest = -INFINITY;
    for (size_t t = 0; t < s->n_tops; t++)
        if (s->tops[t] > s->largest) s->largest = s->tops[t];
}

/* Fills in maxima, tops and largest. */
static void find_largest(sampler *s, const float *logits) {
    float copy[LOGITS_BLOCK];
    list_changes(s);
    s->passes->maxima(logits, s->n_vocab / LOGITS_BLOCK, s->maxima);
    for (size_t c = 0; c < s->n_changed; c++) {
        s->passes->maxima(read_block(s, logits, s->changed[c], copy), 1, &s->maxima[s->changed[c]]);
    }
    find_tops(s, 0, s->n_tops);
}

/* Fills in sums, and returns the sum of all. */
static double find_sums(sampler *s, const float *logits, float scale) {
    float copy[LOGITS_BLOCK];
    double all = s->passes->sums(logits, s->n_vocab / LOGITS_BLOCK, s->largest, scale, s->sums);
    if (s->n_vocab % LOGITS_BLOCK != 0) s->sums[s->n_blocks - 1] = 0; /* comes with the changes */
    for (size_t c = 0; c < s->n_changed; c++) {
        float *sum = &s->sums[s->changed[c]];
        all -= (double)*sum;
        all += s->passes->sums(read_block(s, logits, s->changed[c], copy), 1, s->largest, scale, sum);
    }
    return all;
}

/* The first of the likeliest tokens; there is one. */
static int32_t likeliest(const sampler *s, const float *logits) {
    float copy[LOGITS_BLOCK];
    size_t top = 0, block, i = 0;
    while (!(s->tops[top] >= s->largest)) top++;
    for (block = top * LOGITS_BLOCK; !(s->maxima[block] >= s->largest); block++) continue;
    const float *there = read_block(s, logits, block, copy);
    while (!(there[i] >= s->largest)) i++;
    return (int32_t)(block * LOGITS_BLOCK + i);
}

/* ---- candidates ---------------------------------------------------------------------------------------------------- */

static size_t gathered_blocks(const sampler *s) {
    return blocks_of(s->n_gathered);
}

/* Fills the last block up. */
static void end_gathered(sampler *s, size_t n) {
    s->n_gathered = n;
    for (; n % LOGITS_BLOCK != 0; n++) s->values[n] = -INFINITY;
}

/* Appends those of eight logits that are at least `least`, without a branch for each. Returns the new number. */
static size_t gather_eight(sampler *s, const float *logits, int32_t first, float least, size_t n) {
    for (int32_t i = 0; i < 8; i++) {
        s->tokens[n] = first + i;
        s->values[n] = logits[i];
        n += logits[i] >= least;
    }
    return n;
}

/* All tokens with at least this logit. */
static void gather(sampler *s, const float *logits, float least) {
    union {
        uint8_t of_one[LOGITS_BLOCK];
        uint64_t of_eight[LOGITS_BLOCK / 8];
    } marks;
    float copy[LOGITS_BLOCK];
    size_t n = 0;
    for (size_t b = 0; b < s->n_blocks; b++) {
        if (!(s->maxima[b] >= least)) continue;
        const float *there = read_block(s, logits, b, copy);
        s->passes->marks(there, least, marks.of_one);
        for (size_t i = 0; i < LOGITS_BLOCK; i += 8)
            if (marks.of_eight[i / 8] != 0) n = gather_eight(s, there + i, (int32_t)(b * LOGITS_BLOCK + i), least, n);
    }
    end_gathered(s, n);
}

static void drop_below(sampler *s, float least) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_gathered; i++) {
        s->tokens[n] = s->tokens[i];
        s->values[n] = s->values[i];
        n += s->values[i] >= least;
    }
    end_gathered(s, n);
}

static void weigh_gathered(sampler *s, float scale) {
    s->passes->weights(s->values, gathered_blocks(s), s->largest, scale, s->weights);
}

static double sum_gathered(const sampler *s, float least) {
    return s->passes->sum_from(s->values, s->weights, gathered_blocks(s), least);
}

/* The key of a logit such that those that are not below it weigh `target` together, and those above it less, if they do
 * not weigh exactly that. `least` is low enough. */
static int32_t find_cut(const sampler *s, const float *logits, size_t n_blocks, float least, double target) {
    int64_t low = logits_key(least), high = logits_key(s->largest);
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        double sum = s->passes->sum_from(logits, s->weights, n_blocks, logits_from_key((int32_t)middle));
        if (sum >= target) low = middle;
        else high = middle - 1;
        if (sum == target) break; /* soon, where tokens are counted and not weighed */
    }
    return (int32_t)low;
}

/* Keeps the likeliest of the gathered that weigh `target` together; all of them are not below `least`, and weigh that. */
static void keep_likeliest(sampler *s, float least, double target) {
    int32_t key = find_cut(s, s->values, gathered_blocks(s), least, target);
    float cut = logits_from_key(key);
    double left = target - sum_gathered(s, logits_from_key(key + 1));
    bool is_first = true; /* of those at the cut: it belongs there whatever rounding says */
    size_t n = 0;
    for (size_t i = 0; i < s->n_gathered; i++) {
        float value = s->values[i], weight = s->weights[i];
        bool is_kept = value > cut || (value == cut && (is_first || left > 0));
        if (value == cut) {
            left -= (double)weight;
            is_first = false;
        }
        s->tokens[n] = s->tokens[i];
        s->values[n] = value;
        n += is_kept;
    }
    end_gathered(s, n);
}

static void weigh_evenly(sampler *s, size_t n_blocks) {
    for (size_t i = 0; i < n_blocks * LOGITS_BLOCK; i++) s->weights[i] = 1;
}

/* How far below the best to look first; then twice as far, and so on for some times; then as far as there can be any. */
#define GUESS_DEPTH 4.0f
#define N_GUESSES 5

static float guess(const sampler *s, int number, float least) {
    float from = s->largest - GUESS_DEPTH * (float)number;
    return from > least && number <= N_GUESSES ? from : least;
}

/* Gathers k tokens at least, or all that are not below `least`. Returns what the gathered are not below. */
static float gather_at_least(sampler *s, const float *logits, size_t k, float least) {
    if (k <= s->n_blocks) { /* as many tokens at least are not below the k-th of the blocks' largest */
        weigh_evenly(s, s->n_tops);
        float from = logits_from_key(find_cut(s, s->maxima, s->n_tops, -INFINITY, (double)k));
        if (from > least) least = from;
        gather(s, logits, least);
        return least;
    }
    for (int number = 1;; number++) {
        float from = guess(s, number, least);
        gather(s, logits, from);
        if (s->n_gathered >= k || !(from > least)) return from;
    }
}

/* Gathers the top_k likeliest; or fewer, but all of those that are not below `least`. */
static void gather_top_k(sampler *s, const float *logits, float least) {
    size_t k = (size_t)s->sampling.top_k;
    float from = gather_at_least(s, logits, k, least);
    if (s->n_gathered <= k) return;
    weigh_evenly(s, gathered_blocks(s));
    keep_likeliest(s, from, (double)k);
}

/* Cuts what was gathered by top-k down to top_p. */
static void keep_top_p(sampler *s) {
    weigh_gathered(s, 1);
    double target = (double)s->sampling.top_p * sum_gathered(s, -INFINITY);
    keep_likeliest(s, -INFINITY, target);
}

/* Gathers the likeliest that reach top_p together; or fewer, but all of those that are not below `least`. */
static void gather_top_p(sampler *s, const float *logits, float least) {
    double target = (double)s->sampling.top_p * find_sums(s, logits, 1);
    for (int number = 1;; number++) {
        float from = guess(s, number, least);
        gather(s, logits, from);
        weigh_gathered(s, 1);
        if (sum_gathered(s, -INFINITY) >= target) {
            keep_likeliest(s, from, target);
            return;
        }
        if (!(from > least)) return;
    }
}

static float lowest_candidate(const sampler *s) {
    if (!(s->sampling.min_p > 0)) return -INFINITY;
    float least = s->largest + logf(s->sampling.min_p);
    return least < s->largest ? least : s->largest;
}

static bool has_top_k(const sampler *s) {
    return s->sampling.top_k > 0 && (size_t)s->sampling.top_k < s->n_vocab;
}

static bool has_top_p(const sampler *s) {
    return s->sampling.top_p < 1;
}

/* Gathers what passes all filters. False if there is none: then all tokens do, and nothing is gathered. */
static bool gather_candidates(sampler *s, const float *logits) {
    float least = lowest_candidate(s);
    bool has_min_p = least > -INFINITY;
    if (has_top_k(s)) gather_top_k(s, logits, has_top_p(s) ? -INFINITY : least); /* top-p counts what min-p drops */
    else if (has_top_p(s)) gather_top_p(s, logits, least);
    else if (has_min_p) gather(s, logits, least);
    else return false;
    if (has_top_k(s) && has_top_p(s)) {
        keep_top_p(s);
        if (has_min_p) drop_below(s, least);
    }
    return true;
}

static float temperature_scale(const sampler *s) {
    float scale = 1 / s->sampling.temperature;
    return scale < FLT_MAX ? scale : FLT_MAX;
}

/* ---- choosing ------------------------------------------------------------------------------------------------------ */

/* Where the sum of the weights exceeds *left. If it never does, because it was rounded in another way before, the last
 * one that has any weight; if none has, -1. */
static ptrdiff_t find_drawn(const float *weights, size_t n, double *left) {
    ptrdiff_t drawn = -1;
    for (size_t i = 0; i < n; i++) {
        if (!(weights[i] > 0)) continue;
        drawn = (ptrdiff_t)i;
        *left -= (double)weights[i];
        if (*left < 0) break;
    }
    return drawn;
}

static int32_t draw_gathered(sampler *s, double uniform) {
    weigh_gathered(s, temperature_scale(s));
    double left = sum_gathered(s, -INFINITY) * uniform;
    ptrdiff_t drawn = find_drawn(s->weights, s->n_gathered, &left);
    return drawn < 0 ? SAMPLER_NOTHING : s->tokens[drawn];
}

/* Among all tokens: first a block, then a token of it. */
static int32_t draw_of_all(sampler *s, const float *logits, double uniform) {
    float copy[LOGITS_BLOCK], weights[LOGITS_BLOCK], scale = temperature_scale(s);
    double left = find_sums(s, logits, scale) * uniform, left_there = left;
    ptrdiff_t block = -1;
    for (size_t b = 0; b < s->n_blocks; b++) {
        if (!(s->sums[b] > 0)) continue;
        block = (ptrdiff_t)b;
        left_there = left;
        left -= (double)s->sums[b];
        if (left < 0) break;
    }
    if (block < 0) return SAMPLER_NOTHING;
    s->passes->weights(read_block(s, logits, (size_t)block, copy), 1, s->largest, scale, weights);
    ptrdiff_t drawn = find_drawn(weights, LOGITS_BLOCK, &left_there);
    return drawn < 0 ? SAMPLER_NOTHING : (int32_t)(block * LOGITS_BLOCK + drawn);
}

int32_t sampler_choose(sampler *s, const float *logits, uint32_t position, uint32_t attempt) {
    find_largest(s, logits);
    if (!(s->largest > -INFINITY)) return SAMPLER_NOTHING;
    if (!(s->sampling.temperature > 0)) return likeliest(s, logits);
    double uniform = draw_uniform(s->sampling.seed, position, attempt);
    return gather_candidates(s, logits) ? draw_gathered(s, uniform) : draw_of_all(s, logits, uniform);
}

/* ---- choosing among some ------------------------------------------------------------------------------------------- */

int32_t sampler_choose_allowed(sampler *s, const float *logits, uint32_t position, uint32_t attempt, const uint64_t *allowed) {
    for (size_t b = 0; b < s->n_blocks; b++) s->rejected[b] = ~allowed[b];
    s->has_rejected = true;
    int32_t token = sampler_choose(s, logits, position, attempt);
    memset(s->rejected, 0, s->n_blocks * sizeof *s->rejected);
    s->has_rejected = false;
    return token;
}

/* ---- looking on ---------------------------------------------------------------------------------------------------- */

size_t sampler_candidates(sampler *s, const float *logits, sampler_candidate *candidates, size_t size) {
    find_largest(s, logits);
    if (!(s->largest > -INFINITY)) return 0;
    if (!(s->sampling.temperature > 0)) {
        if (size > 0) candidates[0] = (sampler_candidate){likeliest(s, logits), 1};
        return 1;
    }
    if (!gather_candidates(s, logits)) gather(s, logits, -INFINITY);
    weigh_gathered(s, temperature_scale(s));
    double all = sum_gathered(s, -INFINITY);
    size_t n = 0;
    for (size_t i = 0; i < s->n_gathered; i++) {
        if (!(s->weights[i] > 0)) continue;
        if (n < size) candidates[n] = (sampler_candidate){s->tokens[i], (double)s->weights[i] / all};
        n++;
    }
    return n;
}

/* Of the whole row, into s->maxima and s->largest, too. Returns the logarithm of the sum of all weights, the largest being 1. */
static double log_sum(sampler *s, const float *logits) {
    size_t n_whole = s->n_vocab / LOGITS_BLOCK;
    float copy[LOGITS_BLOCK], sum;
    bool has_rest = s->n_vocab % LOGITS_BLOCK != 0;
    if (has_rest) copy_raw_block(s, logits, n_whole, copy);
    s->passes->maxima(logits, n_whole, s->maxima);
    if (has_rest) s->passes->maxima(copy, 1, &s->maxima[n_whole]);
    find_tops(s, 0, s->n_tops);
    double all = s->passes->sums(logits, n_whole, s->largest, 1, s->sums);
    if (has_rest) all += s->passes->sums(copy, 1, s->largest, 1, &sum);
    return log(all);
}

/* Equal ones differ by nothing, infinite ones too. */
static float log_probability(const sampler *s, float logit, double log_sum) {
    return (float)((logit < s->largest ? (double)logit - (double)s->largest : 0) - log_sum);
}

float sampler_log_probability(sampler *s, const float *logits, int32_t token) {
    if (!is_known(s, token) || !(logits[token] > -INFINITY)) return -INFINITY;
    double sum = log_sum(s, logits);
    return log_probability(s, logits[token], sum);
}

size_t sampler_likeliest(sampler *s, const float *logits, sampler_likely *likeliest, size_t n) {
    size_t n_found = 0;
    double sum = log_sum(s, logits);
    for (size_t i = 0; i < s->n_vocab; i++) {
        float least = n_found < n ? -INFINITY : logits[likeliest[n - 1].token];
        if (i % LOGITS_BLOCK == 0 && !(s->maxima[i / LOGITS_BLOCK] > least)) {
            i += LOGITS_BLOCK - 1;
            continue;
        }
        if (!(logits[i] > least)) continue;
        size_t at = n_found < n ? n_found++ : n - 1;
        for (; at > 0 && logits[i] > logits[likeliest[at - 1].token]; at--) likeliest[at] = likeliest[at - 1];
        likeliest[at] = (sampler_likely){(int32_t)i, log_probability(s, logits[i], sum)};
    }
    return n_found;
}
