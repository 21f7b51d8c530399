/* sampler.h - chooses tokens by their logits: the likeliest token, or top-k, top-p, min-p, temperature and a draw, in this
 * order. That is the common case; for all else there is llama.cpp's own chain (llama/common/chain.h).
 *
 * The candidates and their probabilities are those of libllama's samplers of these names in this order (but for what
 * they round, and where they leave it open which of several equal logits are cut off). Those build an array of the whole
 * vocabulary, walk it once for each sampler, and sort it; here one vectorised pass finds the largest logit of each block,
 * and only the blocks in which there can be candidates are looked at again. Top-p without top-k takes one pass more,
 * and so does a draw among all tokens.
 *
 * A choice is a function of the logits, the seed, the position and the attempt: choosing changes nothing that a later choice
 * depends on.
 *
 * Order. The draw adds up the candidates' probabilities by ascending token, whatever the filters are. Where logits are
 * equal, the lower token comes first: it is the likeliest, and the last one that top-k and top-p keep.
 *
 * What is not a number. A logit that is NaN or -infinity is never chosen; if
 * all are, nothing is. With logits of +infinity these alone are candidates, equally likely. A candidate that is less than
 * 4e-38 (e^-86) times as likely as the best is not drawn.
 *
 * Memory. Nothing is allocated after sampler_new. A sampler has 12 bytes for each token of the vocabulary, of which only
 * as many are ever touched as there are candidates, and less than one byte for each token.
 *
 * One thread at a time.
 */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include "engine.h"
#include "logits.h"

typedef struct sampler sampler;

typedef struct sampler_candidate {
    int32_t token;
    double probability;
} sampler_candidate;

#define SAMPLER_NOTHING (-1)

/* For a vocabulary of n_vocab tokens, 1 or more. Of `sampling` temperature, top_k, top_p, min_p and the seed count, and all of
 * them are set. NULL if memory ran out. */
sampler *sampler_new(const engine_sampling *sampling, int32_t n_vocab);

/* NULL allowed. */
void sampler_free(sampler *sampler);

/* From now on this token is never chosen. */
void sampler_forbid(sampler *sampler, int32_t token);

/* Chooses a token; position and attempt as for draw_uniform. SAMPLER_NOTHING if none is possible. */
int32_t sampler_choose(sampler *sampler, const float *logits, uint32_t position, uint32_t attempt);

/* Chooses among the tokens that are allowed, as if all others had a logit of -infinity. `allowed` has a bit for each token of the vocabulary, in words of 64. */
int32_t sampler_choose_allowed(sampler *sampler, const float *logits, uint32_t position, uint32_t attempt,
                               const uint64_t *allowed);

/* The candidates among which sampler_choose draws, by ascending token, up to `size` of them; returns their number, which
 * may be larger. At temperature 0 there is one at most. */
size_t sampler_candidates(sampler *sampler, const float *logits, sampler_candidate *candidates, size_t size);

/* Natural logarithm of the softmax at `token`, before any sampling. -infinity for what is never chosen. */
float sampler_log_probability(sampler *sampler, const float *logits, int32_t token);

typedef struct sampler_likely {
    int32_t token;
    float logprob; /* as above */
} sampler_likely;

/* The n likeliest tokens, 1 or more, likeliest first, of equal ones the lower first; returns their number, which is smaller if
 * all others are never chosen. */
size_t sampler_likeliest(sampler *sampler, const float *logits, sampler_likely *likeliest, size_t n);

/* For tests: other passes than the fastest ones. */
void sampler_use_passes(sampler *sampler, const logits_passes *passes);

#endif
