/* chain.h - llama.cpp's own chain of samplers, for what sampler.h does not know: penalties, DRY, XTC, top-n-sigma, typical,
 * dynamic temperature, Mirostat, adaptive-p, biases, another order.
 *
 * Part of the one room of C++, see chat.h. The chain is the one that llama-server builds of the same parameters. But who draws
 * is given the random numbers, so that a draw depends on nothing but the answer's seed and the token's position. Mirostat and
 * adaptive-p choose by what they have chosen before, and draw themselves: see chain_has_memory.
 */
#ifndef LLAMA_COMMON_CHAIN_H
#define LLAMA_COMMON_CHAIN_H

#include "../../engine.h"

#include <llama.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct chain chain;

/* Whether these parameters, all of them set, need a chain. */
bool chain_is_needed(const engine_sampling *sampling);
/* Whether making one takes as long as turning a long prompt into tokens. */
bool chain_is_slow_to_make(const engine_sampling *sampling);

/* NULL, and a sentence in `message`: a value makes no sense, or memory ran out. The model stays the caller's and must outlive
 * it; `n_ctx` is what "all tokens" are at most. Nothing of `sampling` is kept. */
chain *chain_new(const struct llama_model *model, const engine_sampling *sampling, uint32_t n_ctx, char *message,
                 size_t message_size);

void chain_free(chain *chain); /* NULL allowed */

/* Choices depend on more than the tokens before: on how likely they were. Somebody who goes on with an answer must let it
 * choose all of its tokens again, by the same logits. */
bool chain_has_memory(const chain *chain);

/* The text goes on with these tokens, of the prompt or chosen. */
void chain_accept(chain *chain, const llama_token *tokens, size_t n_tokens);

/* Chooses a token by a row of logits, among those that are allowed, a bit for each in words of 64; NULL: all. `uniform` are two
 * independent random numbers in [0, 1). Returns -1 if none is possible. */
llama_token chain_choose(chain *chain, const float *logits, const double uniform[2], const uint64_t *allowed);

#ifdef __cplusplus
}
#endif

#endif
