/* choose.c - the next token: sampled, within a grammar, or one that the answer already had. */
#include "internal.h"

#include "../draw.h"

/* Whether the grammar allows a token that does not end the answer. */
static bool is_allowed(struct llama_engine *engine, struct sequence *sequence, llama_token token) {
    size_t n_bytes = text_of_token(engine, sequence, token);
    return grammar_fits(sequence->grammar, engine->piece, n_bytes);
}

/* Which tokens the grammar allows, into engine->allowed. */
static void find_allowed(struct llama_engine *engine, struct sequence *sequence, bool can_end) {
    size_t n_marks;
    const llama_token *marks = answer_reader_preserved(sequence->reader, &n_marks);
    grammar_allowed(sequence->grammar, engine->words, engine->allowed);
    for (size_t i = 0; i < n_marks; i++) /* which have no text for others */
        if (is_allowed(engine, sequence, marks[i])) vocabulary_allow(engine, marks[i], true);
    for (size_t i = 0; i < engine->n_ends; i++) vocabulary_allow(engine, engine->ends[i], can_end);
}

/* Attempts to draw a token are numbered; this one is not to draw it, but whether XTC has its turn. */
#define ATTEMPT_OF_XTC 2

/* Chooses a token, among those that are allowed; NULL: all. */
static llama_token sample(struct sequence *sequence, const float *logits, uint32_t attempt, const uint64_t *allowed) {
    uint32_t position = (uint32_t)sequence->n_tokens, seed = sequence->seed;
    if (sequence->chain) {
        const double uniform[] = {draw_uniform(seed, position, attempt), draw_uniform(seed, position, ATTEMPT_OF_XTC)};
        return chain_choose(sequence->chain, logits, uniform, allowed);
    }
    return allowed ? sampler_choose_allowed(sequence->sampler, logits, position, attempt, allowed)
                   : sampler_choose(sequence->sampler, logits, position, attempt);
}

/* The text goes on with this token. */
static void accept(struct llama_engine *engine, struct sequence *sequence, llama_token token) {
    if (sequence->grammar) {
        size_t n_bytes = text_of_token(engine, sequence, token);
        grammar_accept(sequence->grammar, engine->piece, n_bytes);
    }
    if (sequence->chain) chain_accept(sequence->chain, &token, 1);
}

/* Samples among the tokens that the grammar allows. Returns how the answer ends if there are none. */
static engine_end sample_allowed(struct llama_engine *engine, struct sequence *sequence, const float *logits,
                                 llama_token *token) {
    bool can_end = grammar_can_end(sequence->grammar);
    find_allowed(engine, sequence, can_end);
    if (grammar_is_exhausted(sequence->grammar)) {
        llama_say(engine, "the grammar leaves too many ways to read the answer after %d tokens of it", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    *token = sample(sequence, logits, 1, engine->allowed);
    if (*token != SAMPLER_NOTHING) return ENGINE_END_NONE;
    if (can_end) return ENGINE_END_TURN; /* the grammar is complete: also for those who ignore the model's end */
    llama_say(engine, "no token of the model fits the grammar after %d tokens of the answer", sequence->n_tokens);
    return ENGINE_END_FAILED;
}

/* First without the grammar: mostly the model says what it allows, and asking about one token is much cheaper than about the
 * whole vocabulary. A token it does not allow is sampled again among all that it does; without top_k, top_p
 * and min_p that adds up to the same probabilities as asking it first. */
static engine_end sample_with_grammar(struct llama_engine *engine, struct sequence *sequence, const float *logits,
                                      llama_token *token) {
    *token = sample(sequence, logits, 0, NULL);
    bool ends = *token != SAMPLER_NOTHING && llama_vocab_is_eog(engine->vocab, *token);
    if (ends && grammar_can_end(sequence->grammar)) return ENGINE_END_TURN;
    if (*token != SAMPLER_NOTHING && !ends && is_allowed(engine, sequence, *token)) return ENGINE_END_NONE;
    engine_end end = sample_allowed(engine, sequence, logits, token);
    return end == ENGINE_END_NONE && llama_vocab_is_eog(engine->vocab, *token) ? ENGINE_END_TURN : end;
}

static engine_end sample_freely(struct llama_engine *engine, struct sequence *sequence, const float *logits, llama_token *token) {
    *token = sample(sequence, logits, 0, NULL);
    if (*token == SAMPLER_NOTHING) {
        llama_say(engine, "the model finds no token possible after %d tokens of the answer: its numbers are none (NaN), or all "
                          "are ruled out; its file may be damaged", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    return llama_vocab_is_eog(engine->vocab, *token) ? ENGINE_END_TURN : ENGINE_END_NONE;
}

/* Whether the budget of thoughts says which token comes next, and the grammar has nothing against it. */
static bool is_forced(struct llama_engine *engine, struct sequence *sequence, llama_token *token) {
    return answer_reader_forces(sequence->reader, token) &&
           (!sequence->grammar || is_allowed(engine, sequence, *token));
}

engine_end choose_next(struct llama_engine *engine, struct sequence *sequence, const float *logits, llama_token *token) {
    engine_end end = ENGINE_END_NONE;
    if (!is_forced(engine, sequence, token))
        end = sequence->grammar ? sample_with_grammar(engine, sequence, logits, token)
                                : sample_freely(engine, sequence, logits, token);
    if (sequence->n_tokens < sequence->n_had) { /* it was chosen for what the chain remembers of it */
        *token = sequence->prompt[sequence->n_prompt + sequence->n_tokens];
        return choose_resumed(engine, sequence, *token);
    }
    if (end == ENGINE_END_NONE) accept(engine, sequence, *token);
    return end;
}

engine_end choose_resumed(struct llama_engine *engine, struct sequence *sequence, llama_token token) {
    if (sequence->grammar && !is_allowed(engine, sequence, token)) {
        llama_say(engine, "token %d of those that the answer already has does not fit the grammar; resume with the "
                          "grammar that they were made with", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    accept(engine, sequence, token);
    return ENGINE_END_NONE;
}
