/* warm_up.c - the first evaluations read the weights from disk and build the library's graphs, one for slices and one for
 * single tokens. Done when the model is loaded, the first request does not pay for it. They also tell how long a token
 * takes, and how the model rounds.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { N_PROBE_TOKENS = 4 };

/* A token of a text that means nothing. */
static llama_token probe_token(const struct llama_engine *engine, int32_t position) {
    return (llama_token)(7919ll * (position + 1) % engine->base.facts.n_vocab);
}

/* Adds the text's next tokens in this sequence; returns the first row. The logits of the first are computed. */
static int32_t add_probe(struct llama_engine *engine, int number, int32_t n_tokens) {
    llama_token tokens[N_PROBE_TOKENS];
    for (int32_t i = 0; i < n_tokens; i++) tokens[i] = probe_token(engine, engine->cells[number].n + i);
    int32_t row = lanes_add(engine, number, tokens, n_tokens, 0);
    lanes_want_logits(engine, number, row);
    return row;
}

/* Reads the text in these sequences. */
static bool read_probes(struct llama_engine *engine, const int *numbers, int n) {
    lanes_begin(engine);
    for (int i = 0; i < n; i++) {
        engine->cells[numbers[i]].n = 0;
        lanes_rewind(engine, numbers[i]);
        add_probe(engine, numbers[i], N_PROBE_TOKENS);
    }
    if (lanes_evaluate(engine) != ENGINE_END_NONE) return false;
    for (int i = 0; i < n; i++) engine->cells[numbers[i]].n = N_PROBE_TOKENS;
    return true;
}

/* Whether the next token of this sequence, evaluated in one batch with those of the n_beside first ones, gets the logits
 * of `alone`, to the last bit. */
static bool gets_same_logits(struct llama_engine *engine, int number, int n_beside, const float *alone) {
    int32_t row = -1;
    if (!read_probes(engine, &number, 1)) return true;
    lanes_begin(engine);
    for (int s = 0; s < n_beside; s++) {
        int32_t at = add_probe(engine, s, 1);
        if (s == number) row = at;
    }
    if (lanes_evaluate(engine) != ENGINE_END_NONE) return true;
    for (int s = 0; s < n_beside; s++) lanes_rewind(engine, s);
    const float *logits = lanes_logits(engine, number, row);
    return memcmp(logits, alone, (size_t)engine->base.facts.n_vocab * sizeof *alone) == 0;
}

/* The same token behind the same text is evaluated alone, beside one other and beside as many as there can be. Says so if
 * that shows in the logits. A small model is evaluated in one shape, in which it does not. */
static void find_out_about_rounding(struct llama_engine *engine, const float *logits) {
    int32_t n_sequences = engine->base.facts.n_sequences;
    size_t n_bytes = (size_t)engine->base.facts.n_vocab * sizeof(float);
    float *alone = engine->n_rows == 1 && n_sequences > 1 ? malloc(n_bytes) : NULL;
    if (!alone) return;
    memcpy(alone, logits, n_bytes);
    lanes_rewind(engine, 0);
    if (!gets_same_logits(engine, 1, 2, alone) || (n_sequences > 2 && !gets_same_logits(engine, 2, n_sequences, alone)))
        llama_log(engine, 2, "answers made at the same time change how this model rounds: one that is continued after a "
                             "crash may take another, equally likely course; -np 1 avoids that");
    free(alone);
}

/* In the first sequence of each of the lanes. */
static void evaluate_probes(struct llama_engine *engine, const int *firsts) {
    if (!read_probes(engine, firsts, engine->n_lanes)) return; /* these read the weights */
    uint64_t begun_ns = plat_clock_ns();
    if (!read_probes(engine, firsts, engine->n_lanes)) return;
    engine->few_ns = engine->many_ns = (double)(plat_clock_ns() - begun_ns) / N_PROBE_TOKENS;
    lanes_begin(engine);
    int32_t row = 0;
    for (int l = 0; l < engine->n_lanes; l++) row = add_probe(engine, firsts[l], engine->n_rows);
    if (lanes_evaluate(engine) == ENGINE_END_NONE) find_out_about_rounding(engine, lanes_logits(engine, 0, row));
}

void warm_up(struct llama_engine *engine) {
    engine->few_ns = engine->many_ns = 1e6; /* until they are measured */
    int firsts[BATCH_MOST];
    for (int l = 0; l < engine->n_lanes; l++) firsts[l] = engine->lanes[l].first;
    if (!engine->options.no_warm_up) evaluate_probes(engine, firsts);
    for (int l = 0; l < engine->n_lanes; l++) llama_memory_clear(llama_get_memory(engine->lanes[l].context), false);
    for (int s = 0; s < engine->base.facts.n_sequences; s++) engine->cells[s].n = 0;
}
