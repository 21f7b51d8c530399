/* batch.c - what is evaluated together. */
#include "internal.h"

#include <string.h>

void batch_begin(struct llama_engine *engine) {
    engine->batch.n_tokens = 0;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) engine->sequences[s].n_in_batch = 0;
}

int32_t batch_add(struct llama_engine *engine, int place, const llama_token *tokens, int32_t n_tokens, int32_t n_before) {
    struct llama_batch *batch = &engine->batch;
    int32_t first = batch->n_tokens;
    for (int32_t i = 0; i < n_tokens; i++) {
        int32_t row = batch->n_tokens++;
        batch->token[row] = tokens[i];
        batch->pos[row] = engine->cells[place].n + n_before + i;
        batch->n_seq_id[row] = 1;
        batch->seq_id[row][0] = place;
        batch->logits[row] = false;
    }
    return first;
}

engine_end batch_evaluate(struct llama_engine *engine) {
    enum { EVALUATED = 0, ABANDONED = 2, NO_MEMORY = -2 }; /* llama_decode's */
    char reason[ENGINE_MESSAGE_SIZE / 2];
    engine->library_error[0] = 0;
    int32_t code = backends_decode(engine->context, engine->batch, reason, sizeof reason);
    engine->evaluated_ns = plat_clock_ns();
    if (code == EVALUATED) {
        engine->has_evaluated = true;
        if (engine->drafter && !drafter_follow(engine->drafter, &engine->batch))
            llama_log(engine, 1, "the draft model failed: no more drafts until a model is loaded");
        return ENGINE_END_NONE;
    }
    if (code == ABANDONED) return ENGINE_END_CANCELLED;
    if (reason[0]) memcpy(engine->library_error, reason, sizeof reason);
    if (code <= NO_MEMORY && devices_count_layers(engine) > 0) devices_report_failure(engine, llama_reason(engine));
    llama_say(engine, "evaluating %d tokens failed with code %d: %s", engine->batch.n_tokens, code, llama_reason(engine));
    return ENGINE_END_FAILED;
}
