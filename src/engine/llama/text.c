/* text.c - tokens become whole characters. */
#include "internal.h"

#include "../../text/utf8.h"

#include <stdlib.h>
#include <string.h>

size_t text_of_token(struct llama_engine *engine, llama_token token) {
    int32_t size = engine->piece_size > INT32_MAX ? INT32_MAX : (int32_t)engine->piece_size;
    int32_t n_bytes = llama_token_to_piece(engine->vocab, token, engine->piece, size, 0, false);
    if (n_bytes < 0 && n_bytes != INT32_MIN) {
        char *larger = realloc(engine->piece, (size_t)-n_bytes);
        if (!larger) return 0;
        engine->piece = larger;
        engine->piece_size = (size_t)-n_bytes;
        n_bytes = llama_token_to_piece(engine->vocab, token, engine->piece, -n_bytes, 0, false);
    }
    return n_bytes > 0 ? (size_t)n_bytes : 0;
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

bool text_add(struct llama_engine *engine, struct sequence *sequence, struct step_text *text, engine_progress *entry) {
    size_t n_piece = text_of_token(engine, sequence->last);
    size_t n_all = sequence->n_held + n_piece;
    if (n_piece == 0) return true;
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
    entry->text = joined + n_all;
    entry->n_bytes = utf8_repair(joined, n_whole, joined + n_all, 3 * n_all);
    return true;
}
