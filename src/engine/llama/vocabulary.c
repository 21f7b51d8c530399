/* vocabulary.c - what the vocabulary's tokens say. Found out once, so that a grammar can be asked about all of them for each
 * token of an answer. */
#include "internal.h"

#include <stdlib.h>

/* What a token adds to an answer's text: of control tokens nothing (but see answer_reader_preserves), of those that end it
 * neither. */
static size_t text_of(void *user_data, int32_t token, const char **bytes) {
    struct llama_engine *engine = user_data;
    if (llama_vocab_is_eog(engine->vocab, token)) return 0;
    size_t n_bytes = text_of_token(engine, NULL, token);
    *bytes = engine->piece;
    return n_bytes;
}

int vocabulary_open(struct llama_engine *engine) {
    int32_t n_vocab = engine->base.facts.n_vocab;
    engine->words = token_tree_new(n_vocab, text_of, engine);
    engine->ends = malloc((size_t)n_vocab * sizeof *engine->ends);
    engine->allowed = malloc(((size_t)n_vocab + 63) / 64 * sizeof *engine->allowed);
    if (!engine->words || !engine->ends || !engine->allowed) {
        llama_say(engine, "not enough memory for a vocabulary of %d tokens", n_vocab);
        return ENGINE_E_NO_MEMORY;
    }
    for (llama_token token = 0; token < n_vocab; token++)
        if (llama_vocab_is_eog(engine->vocab, token)) engine->ends[engine->n_ends++] = token;
    return ENGINE_OK;
}

void vocabulary_close(struct llama_engine *engine) {
    token_tree_free(engine->words);
    free(engine->ends);
    free(engine->allowed);
}

void vocabulary_allow(struct llama_engine *engine, llama_token token, bool is_allowed) {
    uint64_t *word = &engine->allowed[token / 64], bit = UINT64_C(1) << token % 64;
    *word = is_allowed ? *word | bit : *word & ~bit;
}
