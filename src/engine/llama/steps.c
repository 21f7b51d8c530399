/* steps.c - one step of all answers: one batch with the next token of each that is being generated, and chunks of the prompts
 * that wait. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* ---- entries ------------------------------------------------------------------------------------------------------- */

/* The entries of a step, while it is made. */
struct entries {
    engine_progress *all;
    size_t n;
};

static engine_progress *add_entry(struct entries *entries, int number) {
    engine_progress *entry = &entries->all[entries->n++];
    *entry = (engine_progress){.sequence = number, .text = "", .logprob = NAN};
    return entry;
}

static void end_entry(struct llama_engine *engine, engine_progress *entry, engine_end end) {
    entry->end = end;
    if (end == ENGINE_END_NONE) return;
    if (end == ENGINE_END_FAILED || end == ENGINE_END_REFUSED) {
        char *message = engine->messages[entry->sequence];
        memcpy(message, engine->base.message, sizeof engine->messages[0]);
        entry->message = message;
    }
    engine->sequences[entry->sequence].is_running = false;
    engine->n_running--;
}

/* The sequence's last entry of this step; NULL if it has none. */
static engine_progress *last_entry(const struct entries *entries, int number) {
    for (size_t i = entries->n; i > 0; i--)
        if (entries->all[i - 1].sequence == number) return &entries->all[i - 1];
    return NULL;
}

static void end_cancelled(struct llama_engine *engine, struct entries *entries) {
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (engine->sequences[s].is_cancelled) end_entry(engine, add_entry(entries, s), ENGINE_END_CANCELLED);
}

/* Everybody's answer ends. Of those that have moved in this step, the last entry keeps its token. */
static void end_interrupted(struct llama_engine *engine, struct entries *entries) {
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        if (!engine->sequences[s].is_running) continue;
        engine_progress *entry = last_entry(entries, s);
        end_entry(engine, entry ? entry : add_entry(entries, s), ENGINE_END_CANCELLED);
    }
}

/* Counts and times; an answer that has ended leaves only what the next prompt can use. */
static void complete_entry(struct llama_engine *engine, engine_progress *entry, uint64_t now) {
    struct sequence *sequence = &engine->sequences[entry->sequence];
    bool has_chosen = entry->has_token || entry->end == ENGINE_END_TURN;
    if (has_chosen && sequence->first_token_ns == 0) sequence->first_token_ns = now;
    if (!entry->has_token) entry->n_tokens = sequence->n_tokens;
    entry->n_prompt = sequence->n_prompt;
    entry->n_prompt_done = sequence->n_prefilled < sequence->n_prompt ? sequence->n_prefilled : sequence->n_prompt;
    entry->n_cached = sequence->n_cached;
    entry->prompt_ns = (sequence->first_token_ns ? sequence->first_token_ns : now) - sequence->admitted_ns;
    entry->generate_ns = sequence->first_token_ns ? now - sequence->first_token_ns : 0;
    if (sequence->preparing || sequence->is_unsettled || entry->end == ENGINE_END_NONE) return;
    if (entry->end == ENGINE_END_FAILED) memory_keep(engine, sequence->place, 0);
    else if (sequence->has_shifted) memory_keep(engine, sequence->place, sequence->n_keep);
}

/* ---- tokens -------------------------------------------------------------------------------------------------------- */

static bool is_context_full(const struct llama_engine *engine, const struct sequence *sequence) {
    return !engine->can_shift && (uint32_t)(sequence->n_prompt + sequence->n_tokens) >= engine->base.facts.n_ctx;
}

/* The answer goes on with this token. Returns whether it ends with it. */
static engine_end take_token(struct llama_engine *engine, struct entries *entries, engine_progress *entry, llama_token token) {
    struct sequence *sequence = &engine->sequences[entry->sequence];
    sequence->last = token;
    entry->has_token = true;
    entry->is_resumed = sequence->n_tokens < sequence->n_had;
    entry->token = token;
    entry->n_tokens = ++sequence->n_tokens;
    if (!text_add(engine, sequence, &engine->texts[entry - entries->all], entry)) {
        llama_say(engine, "not enough memory for the text of token %d of the answer", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    if (answer_reader_has_stopped(sequence->reader)) return ENGINE_END_TURN;
    if (sequence->n_predict >= 0 && sequence->n_tokens >= sequence->n_predict) return ENGINE_END_LIMIT;
    return is_context_full(engine, sequence) ? ENGINE_END_CONTEXT : ENGINE_END_NONE;
}

/* Chooses the next token by the logits of a row. */
static void add_token(struct llama_engine *engine, struct entries *entries, int number, int32_t row) {
    llama_token token;
    struct sequence *sequence = &engine->sequences[number];
    const float *logits = llama_get_logits_ith(engine->context, row);
    engine_progress *entry = add_entry(entries, number);
    engine_end end = choose_next(engine, sequence, logits, &token);
    if (end == ENGINE_END_NONE) {
        end = take_token(engine, entries, entry, token);
        if (sequence->wants_logprobs && !entry->is_resumed) entry->logprob = sampler_log_probability(sequence->sampler, logits, token);
        if (sequence->n_probs > 0 && !entry->is_resumed)
            text_likeliest(engine, sequence, logits, &engine->texts[entry - entries->all], entry);
    }
    end_entry(engine, entry, end);
}

static void keep_cells(struct llama_engine *engine, int place, const llama_token *tokens, int32_t n_tokens) {
    cells *cells = &engine->cells[place];
    memcpy(cells->tokens + cells->n, tokens, (size_t)n_tokens * sizeof *tokens);
    cells->n += n_tokens;
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

/* Its prompt is read, and it gets its next token in this step. */
static bool is_due(const struct llama_engine *engine, const struct sequence *sequence) {
    return prefill_is_over(sequence) && adapters_fit(engine, sequence);
}

/* Tokens to draft: as many as the answer can use; of the text's, which are many, as are worth while. */
static int32_t count_drafts(const struct llama_engine *engine, const struct sequence *sequence) {
    bool is_by_model = drafter_context(engine->drafter) != NULL;
    int32_t n = is_by_model || sequence->n_worth > engine->n_draft ? engine->n_draft : sequence->n_worth;
    int32_t n_room = (int32_t)engine->base.facts.n_ctx - engine->cells[sequence->place].n - 2;
    if (n > n_room) n = n_room;
    if (sequence->n_predict >= 0 && n > sequence->n_predict - sequence->n_tokens - 1)
        n = sequence->n_predict - sequence->n_tokens - 1;
    return n > 0 ? n : 0;
}

/* For all answers that are being generated. */
static void draft(struct llama_engine *engine) {
    if (!engine->drafter) return;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        const struct sequence *sequence = &engine->sequences[s];
        const cells *cells = &engine->cells[sequence->place];
        if (!is_due(engine, sequence)) continue;
        drafter_ask(engine->drafter, sequence->place, cells->tokens, cells->n, sequence->last, count_drafts(engine, sequence));
    }
    drafter_work(engine->drafter);
}

/* Puts the answer's last token into the batch, and drafted ones behind it. */
static void add_answer(struct llama_engine *engine, struct sequence *sequence) {
    const llama_token *drafted = NULL;
    sequence->n_drafted = engine->drafter ? drafter_take(engine->drafter, sequence->place, &drafted) : 0;
    sequence->n_in_batch = 1;
    sequence->first_row = batch_add(engine, sequence->place, &sequence->last, 1, 0);
    batch_add(engine, sequence->place, drafted, sequence->n_drafted, 1);
    for (int32_t i = 0; i <= sequence->n_drafted; i++) engine->batch.logits[sequence->first_row + i] = true;
}

/* How many drafted tokens are worth while next, when of n_drafted ones the first n_right were right. */
static int32_t worth_next(int32_t n_drafted, int32_t n_right) {
    int32_t n_next = n_right == n_drafted ? 2 * n_drafted : n_right + 1;
    return n_next > DRAFT_LEAST ? n_next : DRAFT_LEAST;
}

/* Takes the next token, and as many more as drafted ones were right. */
static void advance_answer(struct llama_engine *engine, struct entries *entries, int number) {
    struct sequence *sequence = &engine->sequences[number];
    const llama_token *row = engine->batch.token + sequence->first_row;
    int32_t n_right = 0;
    for (;;) {
        keep_cells(engine, sequence->place, &row[n_right], 1);
        add_token(engine, entries, number, sequence->first_row + n_right);
        if (!sequence->is_running || n_right == sequence->n_drafted || sequence->last != row[n_right + 1]) break;
        n_right++;
    }
    if (sequence->n_drafted > 0) {
        drafter_learn(engine->drafter, sequence->place, n_right);
        sequence->n_worth = worth_next(sequence->n_drafted, n_right);
        memory_rewind(engine, sequence->place);
    }
}

/* A full context: cells are given up, or the answer ends. Returns whether it goes on. */
static bool make_room(struct llama_engine *engine, struct entries *entries, int number) {
    struct sequence *sequence = &engine->sequences[number];
    bool is_full = (uint32_t)engine->cells[sequence->place].n + 1 >= engine->base.facts.n_ctx;
    if (!is_full || !engine->can_shift || memory_shift(engine, sequence)) return true;
    end_entry(engine, add_entry(entries, number), ENGINE_END_CONTEXT);
    return false;
}

/* ---- prompts ------------------------------------------------------------------------------------------------------- */

/* What a chunk that was evaluated means for its answer: tokens that it already had are known again, and behind the last chunk
 * comes the next one. */
static void advance_prompt(struct llama_engine *engine, struct entries *entries, int number) {
    struct sequence *sequence = &engine->sequences[number];
    size_t n_entries = entries->n;
    keep_cells(engine, sequence->place, sequence->prompt + sequence->n_prefilled, sequence->n_in_batch);
    sequence->n_prefilled += sequence->n_in_batch;
    if (sequence->n_prompt - sequence->n_prefilled == CHECKPOINT_BEFORE_END) memory_checkpoint(engine, sequence->place);
    while (sequence->is_running && sequence->n_prompt + sequence->n_tokens < sequence->n_prefilled) {
        llama_token token = sequence->prompt[sequence->n_prompt + sequence->n_tokens];
        engine_progress *entry = add_entry(entries, number);
        engine_end end = choose_resumed(engine, sequence, token);
        end_entry(engine, entry, end == ENGINE_END_NONE ? take_token(engine, entries, entry, token) : end);
    }
    if (!sequence->is_running) return;
    if (prefill_left(sequence) == 0 && engine->drafter)
        drafter_begin(engine->drafter, sequence->place, engine->cells[sequence->place].tokens, engine->cells[sequence->place].n);
    if (prefill_left(sequence) == 0 && sequence->n_predict != 0)
        add_token(engine, entries, number, sequence->first_row + sequence->n_in_batch - 1);
    else if (prefill_left(sequence) == 0)
        end_entry(engine, add_entry(entries, number), ENGINE_END_LIMIT);
    else if (entries->n == n_entries)
        add_entry(entries, number);
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

/* Evaluates the batch and takes what came out. A failure concerns those who are in it, an interruption everybody. */
static engine_end evaluate(struct llama_engine *engine, struct entries *entries) {
    if (engine->batch.n_tokens == 0) return ENGINE_END_NONE;
    uint64_t begun_ns = plat_clock_ns();
    engine_end end = batch_evaluate(engine);
    if (end == ENGINE_END_NONE && !model_is_whole(engine)) end = ENGINE_END_FAILED;
    if (end == ENGINE_END_NONE) prefill_note(engine, plat_clock_ns() - begun_ns);
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        if (engine->sequences[s].n_in_batch == 0) continue;
        if (end != ENGINE_END_NONE) memory_rewind(engine, engine->sequences[s].place);
        if (end == ENGINE_END_FAILED) end_entry(engine, add_entry(entries, s), end);
        if (end != ENGINE_END_NONE) continue;
        if (prefill_is_over(&engine->sequences[s])) advance_answer(engine, entries, s);
        else advance_prompt(engine, entries, s);
    }
    if (end == ENGINE_END_CANCELLED) end_interrupted(engine, entries);
    return end;
}

static void step_together(struct llama_engine *engine, struct entries *entries) {
    batch_begin(engine);
    adapters_take_turns(engine);
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (is_due(engine, &engine->sequences[s])) make_room(engine, entries, s);
    draft(engine);
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (is_due(engine, &engine->sequences[s])) add_answer(engine, &engine->sequences[s]);
    prefill_add(engine);
    evaluate(engine, entries);
}

/* Each sequence by itself: whatever is beside it, it is evaluated in the same shape. */
static void step_one_by_one(struct llama_engine *engine, struct entries *entries) {
    engine_end end = ENGINE_END_NONE;
    for (int s = 0; s < engine->base.facts.n_sequences && end != ENGINE_END_CANCELLED; s++) {
        batch_begin(engine);
        if (!engine->sequences[s].is_running || engine->sequences[s].preparing) continue;
        adapters_use(engine, &engine->sequences[s].scales);
        if (!prefill_is_over(&engine->sequences[s])) prefill_add_repeatable(engine, &engine->sequences[s]);
        else if (make_room(engine, entries, s)) add_answer(engine, &engine->sequences[s]);
        end = evaluate(engine, entries);
    }
}

/* Where the request is refused, the sequence holds nothing. */
static int settle(struct llama_engine *engine, struct sequence *sequence) {
    uint64_t admitted_ns = sequence->admitted_ns;
    struct sequence answer;
    int error = prepare_take(engine, sequence->preparing, &answer);
    *sequence = answer;
    sequence->admitted_ns = admitted_ns;
    sequence->is_running = true;
    sequence->is_unsettled = error < 0;
    if (error == ENGINE_OK) memory_settle(engine, sequence);
    return error;
}

/* Prompts that have become tokens meanwhile are evaluated from now on; one that cannot is refused. */
static void take_prepared(struct llama_engine *engine, struct entries *entries) {
    int n_preparing = 0;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        struct sequence *sequence = &engine->sequences[s];
        if (!sequence->is_running || !sequence->preparing) continue;
        if (!prepare_is_done(sequence->preparing)) n_preparing++;
        else if (settle(engine, sequence) < 0) end_entry(engine, add_entry(entries, s), ENGINE_END_REFUSED);
    }
    if (n_preparing > 0 && n_preparing == engine->n_running && entries->n == 0) prepare_wait(engine);
}

size_t steps_step(struct llama_engine *engine, engine_progress *progress) {
    struct entries entries = {progress, 0};
    pool_make_way(engine);
    end_cancelled(engine, &entries);
    take_prepared(engine, &entries);
    if (engine->options.is_repeatable) step_one_by_one(engine, &entries);
    else step_together(engine, &entries);
    uint64_t now = plat_clock_ns();
    for (size_t i = 0; i < entries.n; i++) {
        text_end(engine, &engine->texts[i], &entries.all[i]);
        complete_entry(engine, &entries.all[i], now);
    }
    return entries.n;
}

int steps_warm_up(struct llama_engine *engine) {
    static const llama_token probe[] = {0, 0};
    if (engine->options.no_warm_up) return ENGINE_OK;
    batch_begin(engine);
    batch_add(engine, 0, probe, 2, 0);
    engine->batch.logits[1] = true;
    engine_end end = batch_evaluate(engine);
    memory_rewind(engine, 0);
    if (end == ENGINE_END_CANCELLED) llama_say(engine, "loading was interrupted");
    return end == ENGINE_END_NONE ? ENGINE_OK : end == ENGINE_END_CANCELLED ? ENGINE_E_ABORTED : ENGINE_E_EVALUATION;
}
