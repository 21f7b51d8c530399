/* memory.c - the library's memory, and what can be done with it.
 *
 * The truth is engine->cells: tokens get there when they have been evaluated and are part of their text. What else a batch
 * left behind (drafted tokens that were wrong, an evaluation that was cut short) is given back at once.
 *
 * Attention keeps a cell for each token, and gives back any of them: can_rewind. So does a sliding window, for which the
 * library keeps all cells, too. Recurrent layers have one state for all tokens: it can be appended to, or thrown away. To get
 * back to an earlier place there, checkpoints of the state are taken; the cells of the attention beside them stay.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static llama_memory_t memory(const struct llama_engine *engine) {
    return llama_get_memory(engine->context);
}

/* The draft model's, where there is one: it always holds the same cells. */
static llama_memory_t drafts(const struct llama_engine *engine) {
    struct llama_context *context = engine->drafter ? drafter_context(engine->drafter) : NULL;
    return context ? llama_get_memory(context) : NULL;
}

/* Of positions from `from` to before `to`; -1: the first, or all behind. */
static void remove_cells(struct llama_engine *engine, int place, int32_t from, int32_t to) {
    llama_memory_seq_rm(memory(engine), place, from, to);
    if (drafts(engine)) llama_memory_seq_rm(drafts(engine), place, from, to);
}

static void forget_checkpoints(struct llama_engine *engine, int place, int32_t n_behind) {
    for (int i = 0; i < CHECKPOINTS_MOST; i++) {
        struct checkpoint *checkpoint = &engine->checkpoints[place][i];
        if (!checkpoint->bytes || checkpoint->n_tokens <= n_behind) continue;
        free(checkpoint->bytes);
        *checkpoint = (struct checkpoint){0};
    }
}

void memory_forget(struct llama_engine *engine, int place) {
    remove_cells(engine, place, -1, -1);
    engine->cells[place].n = 0;
    forget_checkpoints(engine, place, 0);
}

void memory_rewind(struct llama_engine *engine, int place) {
    int32_t n = engine->cells[place].n;
    if (n > 0 && engine->can_rewind) remove_cells(engine, place, n, -1);
    else memory_forget(engine, place);
}

/* ---- going back to a place ----------------------------------------------------------------------------------------- */

/* The latest one that is no further than this; NULL: there is none. */
static struct checkpoint *find_checkpoint(struct llama_engine *engine, int place, int32_t n_most) {
    struct checkpoint *found = NULL;
    for (int i = 0; i < CHECKPOINTS_MOST; i++) {
        struct checkpoint *each = &engine->checkpoints[place][i];
        if (each->bytes && each->n_tokens <= n_most && (!found || each->n_tokens > found->n_tokens)) found = each;
    }
    return found;
}

static bool restore(struct llama_engine *engine, int place, const struct checkpoint *checkpoint) {
    size_t n_bytes = llama_state_seq_set_data_ext(engine->context, checkpoint->bytes, checkpoint->n_bytes, place,
                                                  LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY);
    return n_bytes > 0 && llama_memory_seq_rm(memory(engine), place, checkpoint->n_tokens, -1);
}

int32_t memory_keep(struct llama_engine *engine, int place, int32_t n_wanted) {
    cells *cells = &engine->cells[place];
    if (n_wanted == cells->n) return n_wanted;
    struct checkpoint *checkpoint = engine->can_rewind ? NULL : find_checkpoint(engine, place, n_wanted);
    if (engine->can_rewind && n_wanted > 0) {
        cells->n = n_wanted;
        memory_rewind(engine, place);
    } else if (checkpoint && restore(engine, place, checkpoint)) {
        cells->n = checkpoint->n_tokens;
        forget_checkpoints(engine, place, cells->n);
    } else {
        memory_forget(engine, place);
    }
    return cells->n;
}

/* In place of the oldest. Without memory there is none: what could have been reused is evaluated again. */
void memory_checkpoint(struct llama_engine *engine, int place) {
    struct checkpoint *checkpoints = engine->checkpoints[place];
    if (engine->can_rewind || engine->options.is_repeatable) return;
    int oldest = 0;
    for (int i = 1; i < CHECKPOINTS_MOST; i++)
        if (checkpoints[i].n_tokens < checkpoints[oldest].n_tokens) oldest = i;
    size_t n_bytes = llama_state_seq_get_size_ext(engine->context, place, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY);
    free(checkpoints[oldest].bytes);
    struct checkpoint taken = {malloc(n_bytes), n_bytes, engine->cells[place].n};
    if (taken.bytes && llama_state_seq_get_data_ext(engine->context, taken.bytes, n_bytes, place,
                                                    LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY) != n_bytes) {
        free(taken.bytes);
        taken.bytes = NULL;
    }
    checkpoints[oldest] = taken.bytes ? taken : (struct checkpoint){0};
}

void memory_close(struct llama_engine *engine) {
    for (int s = 0; engine->checkpoints && s < engine->base.facts.n_sequences; s++) forget_checkpoints(engine, s, -1);
    free(engine->checkpoints);
}

/* ---- copying and shifting ------------------------------------------------------------------------------------------ */

void memory_copy(struct llama_engine *engine, int from, int place, int32_t n_tokens) {
    cells *cells = &engine->cells[place];
    remove_cells(engine, place, -1, -1);
    llama_memory_seq_cp(memory(engine), from, place, 0, n_tokens);
    if (drafts(engine)) llama_memory_seq_cp(drafts(engine), from, place, 0, n_tokens);
    memcpy(cells->tokens, engine->cells[from].tokens, (size_t)n_tokens * sizeof *cells->tokens);
    cells->n = n_tokens;
    cells->scales = engine->cells[from].scales;
}

bool memory_shift(struct llama_engine *engine, struct sequence *sequence) {
    int place = sequence->place;
    cells *cells = &engine->cells[place];
    int32_t n_half = (int32_t)engine->base.facts.n_ctx / 2, n_keep = sequence->n_keep < n_half ? sequence->n_keep : n_half;
    int32_t n_given_up = (cells->n - n_keep) / 2, n_moved = cells->n - n_keep - n_given_up;
    if (n_given_up < 1) return false;
    remove_cells(engine, place, n_keep, n_keep + n_given_up);
    llama_memory_seq_add(memory(engine), place, n_keep + n_given_up, -1, -n_given_up);
    if (drafts(engine)) llama_memory_seq_add(drafts(engine), place, n_keep + n_given_up, -1, -n_given_up);
    memmove(cells->tokens + n_keep, cells->tokens + n_keep + n_given_up, (size_t)n_moved * sizeof *cells->tokens);
    cells->n = n_keep + n_moved;
    sequence->n_keep = n_keep;
    sequence->has_shifted = true;
    return true;
}

void memory_settle(struct llama_engine *engine, struct sequence *answer) {
    const struct cells prompt = prefill_cells(answer, answer->n_prompt - 1);
    int place = cells_choose(engine->cells, engine->base.facts.n_sequences, &prompt);
    cells *cells = &engine->cells[place];
    int32_t n_common = engine->options.is_repeatable ? 0 : cells_common(cells, &prompt);
    answer->place = place;
    answer->n_prefilled = answer->n_cached = memory_keep(engine, place, n_common);
    cells->scales = answer->scales;
    answer->waits_since = engine->n_turns++;
    cells->is_busy = true;
    cells->used = ++engine->n_turns;
}
