/* steps.c - one step of all answers: first a token of each that is being generated, in one batch, then a slice of one
 * prompt in a batch of its own. A slice is as large as time allows: those who wait for their next tokens meanwhile shall
 * not notice it.
 *
 * The truth about the library's memory is engine->cells: tokens get there when they have been evaluated and are part of
 * their text. What else a batch left behind (guesses that were wrong, rows that fill up, an evaluation that was cut
 * short) is given back at once.
 */
#include "internal.h"

#include "../../platform/platform.h"

#include <math.h>
#include <string.h>

/* How long a slice may take while others generate, and while nobody does: then only newcomers wait for its end. */
#define SLICE_NS 40e6
#define SLICE_ALONE_NS 500e6
#define SLICE_LEAST 8
#define SLICE_FEW 48 /* up to so many, a token of a slice costs more */
#define SLICE_UNIT 4
#define SLICE_REPEATABLE 64

/* ---- cells --------------------------------------------------------------------------------------------------------- */

static void keep_cells(struct llama_engine *engine, int number, const llama_token *tokens, int32_t n_tokens) {
    cells *cells = &engine->cells[number];
    memcpy(cells->tokens + cells->n, tokens, (size_t)n_tokens * sizeof *tokens);
    cells->n += n_tokens;
}

void steps_rewind(struct llama_engine *engine, int number) {
    llama_memory_seq_rm(llama_get_memory(engine->context), number, engine->cells[number].n, -1);
}

static void forget_cells(struct llama_engine *engine, int number, int32_t n_left) {
    if (engine->cells[number].n > n_left) engine->cells[number].n = n_left;
    steps_rewind(engine, number);
}

/* Makes room in a full context: gives up the older half of what lies behind the cells to keep. What is remembered of the
 * others goes on with them, and their positions move up. False if there is nothing to give up. */
static bool shift_cells(struct llama_engine *engine, int number) {
    cells *cells = &engine->cells[number];
    struct sequence *sequence = &engine->sequences[number];
    int32_t n_half = (int32_t)engine->base.facts.n_ctx / 2, n_keep = sequence->n_keep < n_half ? sequence->n_keep : n_half;
    int32_t n_given_up = (cells->n - n_keep) / 2, n_moved = cells->n - n_keep - n_given_up;
    if (n_given_up < 1) return false;
    llama_memory_t memory = llama_get_memory(engine->context);
    llama_memory_seq_rm(memory, number, n_keep, n_keep + n_given_up);
    llama_memory_seq_add(memory, number, n_keep + n_given_up, -1, -n_given_up);
    memmove(cells->tokens + n_keep, cells->tokens + n_keep + n_given_up, (size_t)n_moved * sizeof *cells->tokens);
    cells->n = n_keep + n_moved;
    sequence->n_keep = n_keep;
    sequence->has_shifted = true;
    return true;
}

/* ---- batches ------------------------------------------------------------------------------------------------------- */

void steps_begin_batch(struct llama_engine *engine) {
    engine->batch.n_tokens = 0;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) engine->sequences[s].n_in_batch = 0;
}

int32_t steps_add(struct llama_engine *engine, int number, const llama_token *tokens, int32_t n_tokens,
                  int32_t n_before) {
    struct llama_batch *batch = &engine->batch;
    int32_t first = batch->n_tokens;
    for (int32_t i = 0; i < n_tokens; i++) {
        int32_t row = batch->n_tokens++;
        batch->token[row] = tokens[i];
        batch->pos[row] = engine->cells[number].n + n_before + i;
        batch->n_seq_id[row] = 1;
        batch->seq_id[row][0] = number;
        batch->logits[row] = false;
    }
    return first;
}

/* Fills up to the rows that a sequence must have, behind the `n_tokens` that it has. */
static void fill_up(struct llama_engine *engine, int number, llama_token token, int32_t n_tokens) {
    if (n_tokens < engine->n_rows) steps_add(engine, number, &token, 1, n_tokens);
}

/* The last layer is computed for rows with logits only: of these, too, there are never less than two. The library takes
 * sequences in one go whose numbers follow each other. */
static void fill_up_logits(struct llama_batch *batch) {
    for (int32_t begin = 0, end; begin < batch->n_tokens; begin = end) {
        int32_t n_logits = 0, other = begin;
        for (end = begin; end < batch->n_tokens; end++) {
            if (end > begin && batch->seq_id[end][0] > batch->seq_id[end - 1][0] + 1) break;
            n_logits += batch->logits[end];
            if (!batch->logits[end]) other = end;
        }
        if (n_logits == 1) batch->logits[other] = true;
    }
}

engine_end steps_evaluate(struct llama_engine *engine) {
    engine->library_error[0] = 0;
    if (engine->n_rows > 1) fill_up_logits(&engine->batch);
    int32_t result = llama_decode(engine->context, engine->batch);
    if (result == 0) return ENGINE_END_NONE;
    if (result == 2) return ENGINE_END_CANCELLED;
    llama_say(engine, "evaluating %d tokens failed with code %d: %s", engine->batch.n_tokens, result,
              llama_reason(engine));
    return ENGINE_END_FAILED;
}

/* ---- who comes next ------------------------------------------------------------------------------------------------ */

static int32_t prompt_left(const struct sequence *sequence) {
    return sequence->is_running ? sequence->n_prompt - sequence->n_prompt_done : 0;
}

static bool is_generating(const struct sequence *sequence) {
    return sequence->is_running && prompt_left(sequence) == 0;
}

static int count_generating(const struct llama_engine *engine) {
    int n = 0;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) n += is_generating(&engine->sequences[s]);
    return n;
}

/* Of two that wait for a slice. First slices and further ones take turns: then long prompts do not keep a newcomer
 * waiting, nor many newcomers a long prompt. Among equals it is who has waited longer. */
static bool comes_before(const struct llama_engine *engine, const struct sequence *a, const struct sequence *b) {
    bool is_new = a->n_prompt_done == a->n_cached;
    if (is_new != (b->n_prompt_done == b->n_cached)) return is_new != engine->has_begun_prompt;
    return a->waits_since < b->waits_since;
}

static int32_t common_beginning(const struct sequence *a, const struct sequence *b) {
    const cells prompt = {.tokens = a->prompt, .n = a->n_prompt};
    return cells_common(&prompt, b->prompt, b->n_prompt);
}

/* Whether another prompt is being read that begins like this one: what they have in common is then copied when it is
 * there. Of two that have not begun nobody waits. */
static bool waits_for_another(const struct llama_engine *engine, int number) {
    const struct sequence *sequence = &engine->sequences[number];
    if (!engine->can_reuse || sequence->n_prompt_done > sequence->n_cached) return false;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        const struct sequence *other = &engine->sequences[s];
        if (prompt_left(other) == 0 || other->n_prompt_done == other->n_cached) continue;
        int32_t n_common = common_beginning(other, sequence);
        if (n_common > other->n_prompt_done && n_common - sequence->n_cached >= engine->copy_least) return true;
    }
    return false;
}

/* The sequence whose prompt gets the next slice; negative: all prompts are read. */
static int choose_reader(const struct llama_engine *engine) {
    int chosen = -1;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        const struct sequence *sequence = &engine->sequences[s];
        if (prompt_left(sequence) == 0 || waits_for_another(engine, s)) continue;
        if (chosen < 0 || comes_before(engine, sequence, &engine->sequences[chosen])) chosen = s;
    }
    return chosen;
}

/* Tokens of a slice. Where a token of every answer takes longer than a slice may, a slice may take as long. */
static int32_t slice_tokens(const struct llama_engine *engine) {
    if (engine->options.is_repeatable) return SLICE_REPEATABLE;
    double allowed_ns = SLICE_ALONE_NS;
    if (count_generating(engine) > 0)
        allowed_ns = engine->generate_ns > SLICE_NS ? (double)engine->generate_ns : SLICE_NS;
    double n_tokens = allowed_ns / engine->few_ns;
    if (n_tokens > SLICE_FEW) n_tokens = fmax(SLICE_FEW, allowed_ns / engine->many_ns);
    int32_t n_most = engine->slice_limit - 1; /* and a row that fills up */
    if (n_tokens >= n_most) return n_most;
    int32_t n = (int32_t)n_tokens / SLICE_UNIT * SLICE_UNIT;
    return n > SLICE_LEAST ? n : SLICE_LEAST;
}

/* What a token takes, mostly by the last slices: it becomes slower with the length of the prompt. */
static void note_slice(struct llama_engine *engine, int32_t n_tokens, uint64_t ns) {
    double *token_ns = n_tokens > SLICE_FEW ? &engine->many_ns : &engine->few_ns;
    if (n_tokens >= SLICE_LEAST) *token_ns = (*token_ns + (double)ns / n_tokens) / 2;
}

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
    entry->n_prompt_done = sequence->n_prompt_done;
    entry->n_cached = sequence->n_cached;
    entry->prompt_ns = (sequence->first_token_ns ? sequence->first_token_ns : now) - sequence->admitted_ns;
    entry->generate_ns = sequence->first_token_ns ? now - sequence->first_token_ns : 0;
    if (entry->end == ENGINE_END_NONE) return;
    if (entry->end == ENGINE_END_FAILED) forget_cells(engine, entry->sequence, 0);
    else if (sequence->has_shifted) forget_cells(engine, entry->sequence, sequence->n_keep);
    else steps_rewind(engine, entry->sequence);
}

/* ---- the next token ------------------------------------------------------------------------------------------------ */

static bool is_context_full(const struct llama_engine *engine, const struct sequence *sequence) {
    return !engine->can_shift && (uint32_t)(sequence->n_prompt + sequence->n_tokens) >= engine->base.facts.n_ctx;
}

/* Takes the next token by the logits of a row, and says whether it ends the answer. */
static engine_end take_token(struct llama_engine *engine, struct entries *entries, int32_t row, engine_progress *entry) {
    llama_token token;
    struct sequence *sequence = &engine->sequences[entry->sequence];
    bool is_resumed = sequence->n_tokens < sequence->n_resumed;
    engine_end end = choose_next(engine, sequence, row, &token);
    if (end != ENGINE_END_NONE) return end;
    sequence->last = token;
    entry->has_token = true;
    entry->is_resumed = is_resumed;
    entry->token = token;
    entry->n_tokens = ++sequence->n_tokens;
    if (sequence->wants_logprobs && !is_resumed)
        entry->logprob =
            sampler_log_probability(sequence->sampler, llama_get_logits_ith(engine->context, row), token);
    if (!text_add(engine, sequence, &engine->texts[entry - entries->all], entry)) {
        llama_say(engine, "not enough memory for the text of token %d of the answer", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    if (sequence->n_predict >= 0 && sequence->n_tokens >= sequence->n_predict) return ENGINE_END_LIMIT;
    return is_context_full(engine, sequence) ? ENGINE_END_CONTEXT : ENGINE_END_NONE;
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

int32_t steps_guesses_most(const struct llama_engine *engine) {
    return engine->options.n_guesses;
}

/* Guesses that this answer gets of the `n_left` that the batch has room for. One that is alone gets as many as are worth
 * while. Several get what costs nothing: rows that would have to be filled up. */
static int32_t count_guesses(const struct llama_engine *engine, int number, bool is_alone, int32_t n_left) {
    const struct sequence *sequence = &engine->sequences[number];
    if (!engine->can_rewind || sequence->n_tokens < sequence->n_resumed) return 0;
    int32_t n = is_alone ? sequence->n_guesses : engine->n_rows - 1;
    int32_t n_room = (int32_t)engine->base.facts.n_ctx - engine->cells[number].n - 2;
    if (n > n_left) n = n_left;
    if (n > n_room) n = n_room;
    if (sequence->n_predict >= 0 && n > sequence->n_predict - sequence->n_tokens - 1)
        n = sequence->n_predict - sequence->n_tokens - 1;
    return n > 0 ? n : 0;
}

/* Puts the answer's last token into the batch, and guesses behind it; returns how many. */
static int32_t add_answer(struct llama_engine *engine, int number, bool is_alone, int32_t n_left) {
    llama_token guesses[ENGINE_GUESSES_MOST];
    cells *cells = &engine->cells[number];
    struct sequence *sequence = &engine->sequences[number];
    int32_t n_wanted = count_guesses(engine, number, is_alone, n_left);
    cells->tokens[cells->n] = sequence->last; /* there is room, and the cell is about to hold it */
    sequence->n_guessed = n_wanted > 0 ? lookup_guess(cells->tokens, cells->n + 1, guesses, n_wanted) : 0;
    sequence->n_in_batch = 1;
    sequence->first_row = steps_add(engine, number, &sequence->last, 1, 0);
    steps_add(engine, number, guesses, sequence->n_guessed, 1);
    for (int32_t i = 0; i <= sequence->n_guessed; i++) engine->batch.logits[sequence->first_row + i] = true;
    fill_up(engine, number, sequence->last, 1 + sequence->n_guessed);
    return sequence->n_guessed;
}

/* Takes the next token, and as many more as guesses were right. */
static void advance_answer(struct llama_engine *engine, struct entries *entries, int number) {
    struct sequence *sequence = &engine->sequences[number];
    const llama_token *row = engine->batch.token + sequence->first_row;
    int32_t n_right = 0;
    for (;;) {
        keep_cells(engine, number, &row[n_right], 1);
        engine_progress *entry = add_entry(entries, number);
        end_entry(engine, entry, take_token(engine, entries, sequence->first_row + n_right, entry));
        if (entry->end != ENGINE_END_NONE || n_right == sequence->n_guessed || sequence->last != row[n_right + 1]) break;
        n_right++;
    }
    if (sequence->n_guessed > 0)
        sequence->n_guesses = lookup_next(sequence->n_guessed, n_right, steps_guesses_most(engine));
    if (1 + sequence->n_guessed > n_right + 1 || engine->n_rows > 1) steps_rewind(engine, number);
}

/* A full context: cells are given up, or the answer ends. Returns whether it goes on. */
static bool make_room(struct llama_engine *engine, struct entries *entries, int number) {
    bool is_full = (uint32_t)engine->cells[number].n + 1 >= engine->base.facts.n_ctx;
    if (!is_full || !engine->can_shift || shift_cells(engine, number)) return true;
    end_entry(engine, add_entry(entries, number), ENGINE_END_CONTEXT);
    return false;
}

/* What was evaluated failed, or was cut short: a failure concerns those who were in the batch, an interruption everybody. */
static void end_batch(struct llama_engine *engine, struct entries *entries, engine_end end) {
    if (end == ENGINE_END_CANCELLED) {
        end_interrupted(engine, entries);
        return;
    }
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (engine->sequences[s].n_in_batch > 0) end_entry(engine, add_entry(entries, s), end);
}

/* A token for each answer whose prompt is read, or several if guesses were right. */
static void generate(struct llama_engine *engine, struct entries *entries) {
    bool is_alone = count_generating(engine) == 1;
    int32_t n_left = steps_guesses_most(engine);
    uint64_t begun_ns = plat_clock_ns();
    steps_begin_batch(engine);
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (is_generating(&engine->sequences[s]) && make_room(engine, entries, s))
            n_left -= add_answer(engine, s, is_alone, n_left);
    if (engine->batch.n_tokens == 0) return;
    engine_end end = steps_evaluate(engine);
    if (end != ENGINE_END_NONE) {
        end_batch(engine, entries, end);
        return;
    }
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (engine->sequences[s].n_in_batch > 0) advance_answer(engine, entries, s);
    engine->generate_ns = plat_clock_ns() - begun_ns;
}

/* ---- prompts ------------------------------------------------------------------------------------------------------- */

/* A slice is evaluated. Returns how the answer ends. */
static engine_end advance_prompt(struct llama_engine *engine, struct entries *entries, int number, engine_progress *entry) {
    struct sequence *sequence = &engine->sequences[number];
    keep_cells(engine, number, sequence->prompt + sequence->n_prompt_done, sequence->n_in_batch);
    sequence->n_prompt_done += sequence->n_in_batch;
    if (sequence->n_in_batch < engine->n_rows) steps_rewind(engine, number);
    if (prompt_left(sequence) > 0) return ENGINE_END_NONE;
    if (sequence->n_predict == 0) return ENGINE_END_LIMIT;
    return take_token(engine, entries, sequence->first_row + sequence->n_in_batch - 1, entry);
}

/* Copies the beginning of a prompt from where it was evaluated before, if that is faster than evaluating it. */
static void copy_beginning(struct llama_engine *engine, int number) {
    int32_t n_found;
    cells *cells = &engine->cells[number];
    struct sequence *sequence = &engine->sequences[number];
    int from = cells_find(engine->cells, engine->base.facts.n_sequences, sequence->prompt, sequence->n_prompt - 1, &n_found);
    if (!engine->can_reuse || n_found - cells->n < engine->copy_least) return;
    llama_memory_seq_cp(llama_get_memory(engine->context), from, number, -1, -1);
    memcpy(cells->tokens, sequence->prompt, (size_t)n_found * sizeof *cells->tokens);
    cells->n = sequence->n_prompt_done = sequence->n_cached = n_found;
    steps_rewind(engine, number);
}

/* A slice of one prompt. */
static void read_prompt(struct llama_engine *engine, struct entries *entries) {
    int number = choose_reader(engine);
    if (number < 0) return;
    struct sequence *sequence = &engine->sequences[number];
    engine->has_begun_prompt = sequence->n_prompt_done == sequence->n_cached;
    if (engine->has_begun_prompt) copy_beginning(engine, number);
    const llama_token *slice = sequence->prompt + sequence->n_prompt_done;
    int32_t n_left = prompt_left(sequence), n_most = slice_tokens(engine), n = n_left < n_most ? n_left : n_most;
    sequence->waits_since = engine->n_turns++;
    steps_begin_batch(engine);
    sequence->first_row = steps_add(engine, number, slice, n, 0);
    sequence->n_in_batch = n;
    engine->batch.logits[sequence->first_row + n - 1] = n == n_left && sequence->n_predict != 0;
    fill_up(engine, number, slice[n - 1], n);
    uint64_t begun_ns = plat_clock_ns();
    engine_end end = steps_evaluate(engine);
    if (end != ENGINE_END_NONE) {
        end_batch(engine, entries, end);
        return;
    }
    llama_synchronize(engine->context);
    note_slice(engine, n, plat_clock_ns() - begun_ns);
    engine_progress *entry = add_entry(entries, number);
    end_entry(engine, entry, advance_prompt(engine, entries, number, entry));
}

size_t steps_step(struct llama_engine *engine, engine_progress *progress) {
    struct entries entries = {progress, 0};
    end_cancelled(engine, &entries);
    generate(engine, &entries); /* first: who has read his prompt in this step has his token */
    read_prompt(engine, &entries);
    uint64_t now = plat_clock_ns();
    for (size_t i = 0; i < entries.n; i++) complete_entry(engine, &entries.all[i], now);
    return entries.n;
}
