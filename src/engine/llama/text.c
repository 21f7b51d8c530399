/* text.c - tokens become whole characters, and these the parts of an answer. */
#include "internal.h"

#include "../../text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Into engine->piece. is_mark: that of control tokens, too. */
static size_t decode(struct llama_engine *engine, llama_token token, bool is_mark) {
    int32_t size = engine->piece_size > INT32_MAX ? INT32_MAX : (int32_t)engine->piece_size;
    int32_t n_bytes = llama_token_to_piece(engine->vocab, token, engine->piece, size, 0, is_mark);
    if (n_bytes < 0 && n_bytes != INT32_MIN) {
        char *larger = realloc(engine->piece, (size_t)-n_bytes);
        if (!larger) return 0;
        engine->piece = larger;
        engine->piece_size = (size_t)-n_bytes;
        n_bytes = llama_token_to_piece(engine->vocab, token, engine->piece, -n_bytes, 0, is_mark);
    }
    return n_bytes > 0 ? (size_t)n_bytes : 0;
}

size_t text_of_token(struct llama_engine *engine, const struct sequence *sequence, llama_token token) {
    return decode(engine, token, sequence && answer_reader_preserves(sequence->reader, token));
}

void text_likeliest(struct llama_engine *engine, struct sequence *sequence, const float *logits, struct step_text *text,
                    engine_progress *entry) {
    sampler_likely likeliest[LIPC_PROBS_MAX];
    entry->n_likeliest = sampler_likeliest(sequence->sampler, logits, likeliest, (size_t)sequence->n_probs);
    entry->likeliest = text->likeliest;
    for (size_t i = 0; i < entry->n_likeliest; i++) {
        size_t n_bytes = decode(engine, likeliest[i].token, true);
        text->likeliest[i] = (engine_likely){.token = likeliest[i].token, .logprob = likeliest[i].logprob, .n_bytes = n_bytes};
        memcpy(text->likeliest[i].text, engine->piece, n_bytes < ENGINE_LIKELY_TEXT ? n_bytes : ENGINE_LIKELY_TEXT);
    }
}

/* Room to join n_bytes and to repair them. */
static bool reserve(struct step_text *text, size_t n_bytes) {
    if (text->size >= 4 * n_bytes) return true; /* all joined, behind them at most three times as many repaired */
    char *larger = realloc(text->bytes, 4 * n_bytes);
    if (!larger) return false;
    text->bytes = larger;
    text->size = 4 * n_bytes;
    return true;
}

/* A lazy grammar begins where the answer calls a tool. What is there of the call already fits it, or it is left alone. */
static void begin_grammar(struct sequence *sequence) {
    const char *bytes, *prefix;
    size_t n_bytes;
    bool is_lazy;
    char reason[ENGINE_MESSAGE_SIZE];
    if (!answer_reader_trigger(sequence->reader, &bytes, &n_bytes)) return;
    sequence->grammar = grammar_new(answer_reader_grammar(sequence->reader, &is_lazy, &prefix), reason, sizeof reason);
    if (!sequence->grammar) return;
    if (grammar_fits(sequence->grammar, bytes, n_bytes)) {
        grammar_accept(sequence->grammar, bytes, n_bytes);
        return;
    }
    grammar_free(sequence->grammar);
    sequence->grammar = NULL;
}

/* The entry shows what the output has. */
static bool show(struct step_text *text, struct sequence *sequence, const char *bytes, size_t n_bytes, answer_state state,
                 engine_progress *entry) {
    if (!text->output && !(text->output = answer_output_new())) return false;
    if (entry->n_bytes == 0 && entry->n_deltas == 0) answer_output_clear(text->output);
    if (!answer_reader_take(sequence->reader, bytes, n_bytes, state, text->output)) return false;
    entry->text = answer_output_text(text->output, &entry->n_bytes);
    entry->deltas = answer_output_deltas(text->output, &entry->n_deltas);
    return true;
}

bool text_add(struct llama_engine *engine, struct sequence *sequence, struct step_text *text, engine_progress *entry) {
    size_t n_piece = text_of_token(engine, sequence, sequence->last);
    size_t n_all = sequence->n_held + n_piece;
    if (n_piece == 0) return show(text, sequence, "", 0, ANSWER_GOES_ON, entry);
    if (!reserve(text, n_all)) return false;
    char *joined = text->bytes;
    memcpy(joined, sequence->held, sequence->n_held);
    memcpy(joined + sequence->n_held, engine->piece, n_piece);
    /* A zero byte would end the text for everybody who reads it: it counts as a byte that is no text, 0xFF. */
    for (size_t i = sequence->n_held; i < n_all; i++)
        if (joined[i] == 0) joined[i] = (char)0xFF;
    size_t n_whole = utf8_whole_prefix(joined, n_all);
    sequence->n_held = n_all - n_whole;
    memcpy(sequence->held, joined + n_whole, sequence->n_held);
    size_t n_repaired = utf8_repair(joined, n_whole, joined + n_all, 3 * n_all);
    if (!show(text, sequence, joined + n_all, n_repaired, ANSWER_GOES_ON, entry)) return false;
    begin_grammar(sequence);
    return true;
}

void text_end(struct llama_engine *engine, struct step_text *text, engine_progress *entry) {
    struct sequence *sequence = &engine->sequences[entry->sequence];
    if (entry->end == ENGINE_END_NONE || !sequence->reader) return; /* a prompt that never became tokens has none */
    show(text, sequence, "", 0, entry->end == ENGINE_END_TURN ? ANSWER_COMPLETE : ANSWER_CUT, entry);
}
