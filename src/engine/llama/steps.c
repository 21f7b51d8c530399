/* steps.c - one step of all answers: first a token of each that is being generated, in one batch, then a slice of one prompt,
 * or of several short ones, in a batch of its own (in each lane, see lanes.c). A slice is as large as time allows: those who
 * wait for their next tokens meanwhile shall not notice it.
 *
 * The truth about the library's memory is engine->cells: tokens get there when they have been evaluated and are part of
 * their text. What else a batch left behind (guesses that were wrong, rows that fill up, an evaluation that was cut
 * short) is given back at once.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

/* How long a slice may take while others generate; the same where more wait for their first token than for their next one;
 * and while nobody generates: then only newcomers wait for its end. */
#define SLICE_NS 40e6
#define SLICE_CROWDED_NS 100e6
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

static void forget_cells(struct llama_engine *engine, int number, int32_t n_left) {
    if (engine->cells[number].n > n_left) engine->cells[number].n = n_left;
    lanes_rewind(engine, number);
}

/* Makes room in a full context: gives up the older half of what lies behind the cells to keep. What is remembered of the
 * others goes on with them, and their positions move up. False if there is nothing to give up. */
static bool shift_cells(struct llama_engine *engine, int number) {
    cells *cells = &engine->cells[number];
    struct sequence *sequence = &engine->sequences[number];
    int32_t n_half = (int32_t)engine->base.facts.n_ctx / 2, n_keep = sequence->n_keep < n_half ? sequence->n_keep : n_half;
    int32_t n_given_up = (cells->n - n_keep) / 2, n_moved = cells->n - n_keep - n_given_up;
    if (n_given_up < 1) return false;
    lanes_shift(engine, number, n_keep, n_given_up);
    memmove(cells->tokens + n_keep, cells->tokens + n_keep + n_given_up, (size_t)n_moved * sizeof *cells->tokens);
    cells->n = n_keep + n_moved;
    sequence->n_keep = n_keep;
    sequence->has_shifted = true;
    return true;
}

/* Fills up to the rows that a sequence must have, behind the `n_tokens` that it has. */
static void fill_up(struct llama_engine *engine, int number, llama_token token, int32_t n_tokens) {
    if (n_tokens < engine->n_rows) lanes_add(engine, number, &token, 1, n_tokens);
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

static int count_reading(const struct llama_engine *engine) {
    return engine->n_running - count_generating(engine);
}

/* Of two that wait for a slice. First slices and further ones take turns: then long prompts do not keep a newcomer
 * waiting, nor many newcomers a long prompt. Among equals it is who has waited longer. */
static bool comes_before(const struct lane *lane, const struct sequence *a, const struct sequence *b) {
    bool is_new = a->n_prompt_done == a->n_cached;
    if (is_new != (b->n_prompt_done == b->n_cached)) return is_new != lane->has_begun_prompt;
    return a->waits_since < b->waits_since;
}

static int32_t common_beginning(const struct sequence *a, const struct sequence *b) {
    const cells prompt = {.tokens = a->prompt, .n = a->n_prompt};
    return cells_common(&prompt, b->prompt, b->n_prompt);
}

/* Whether another prompt is being read that begins like this one: what they have in common is then copied when it is
 * there. Of two that have not begun nobody waits. */
static bool waits_for_another(const struct llama_engine *engine, const struct lane *lane, const struct sequence *sequence) {
    if (!engine->can_reuse || sequence->n_prompt_done > sequence->n_cached) return false;
    for (int s = lane->first; s < lane->first + lane->n; s++) {
        const struct sequence *other = &engine->sequences[s];
        bool has_begun = other->n_prompt_done > other->n_cached || other->n_in_batch > 0;
        if (prompt_left(other) == 0 || !has_begun) continue;
        int32_t n_common = common_beginning(other, sequence);
        if (n_common > other->n_prompt_done && n_common - sequence->n_cached >= engine->copy_least) return true;
    }
    return false;
}

/* The sequence of a lane whose prompt gets the next slice; it is not in the batch, and has n_least tokens left. Negative:
 * there is none. */
static int choose_reader(const struct llama_engine *engine, const struct lane *lane, int32_t n_least) {
    int chosen = -1;
    for (int s = lane->first; s < lane->first + lane->n; s++) {
        const struct sequence *sequence = &engine->sequences[s];
        if (sequence->n_in_batch > 0 || prompt_left(sequence) < n_least) continue;
        if (waits_for_another(engine, lane, sequence)) continue;
        if (chosen < 0 || comes_before(lane, sequence, &engine->sequences[chosen])) chosen = s;
    }
    return chosen;
}

/* Nanoseconds that a slice may take. */
static double slice_time(const struct llama_engine *engine) {
    int n_generating = count_generating(engine);
    if (n_generating == 0) return SLICE_ALONE_NS;
    double allowed_ns = SLICE_NS * count_reading(engine) / n_generating;
    allowed_ns = fmin(fmax(allowed_ns, SLICE_NS), SLICE_CROWDED_NS);
    return fmax(allowed_ns, (double)engine->generate_ns); /* where a token of every answer takes longer, so may a slice */
}

/* Tokens of a slice. */
static int32_t slice_tokens(const struct llama_engine *engine) {
    if (engine->options.is_repeatable) return SLICE_REPEATABLE;
    double n_tokens = slice_time(engine) / engine->few_ns;
    if (n_tokens > SLICE_FEW) n_tokens = fmax(SLICE_FEW, slice_time(engine) / engine->many_ns);
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
    else lanes_rewind(engine, entry->sequence);
}

/* ---- the next token ------------------------------------------------------------------------------------------------ */

static bool is_context_full(const struct llama_engine *engine, const struct sequence *sequence) {
    return !engine->can_shift && (uint32_t)(sequence->n_prompt + sequence->n_tokens) >= engine->base.facts.n_ctx;
}

/* Takes the next token by the logits of a row, learns from it, and says whether it ends the answer. */
static engine_end take_token(struct llama_engine *engine, struct entries *entries, int32_t row, engine_progress *entry) {
    llama_token token;
    const cells *cells = &engine->cells[entry->sequence];
    struct sequence *sequence = &engine->sequences[entry->sequence];
    const float *logits = lanes_logits(engine, entry->sequence, row);
    bool is_resumed = sequence->n_tokens < sequence->n_resumed;
    engine_end end = choose_next(engine, sequence, logits, &token);
    if (end != ENGINE_END_NONE) return end;
    if (engine->habits) habits_learn(engine->habits, cells->tokens, cells->n, token);
    sequence->last = token;
    entry->has_token = true;
    entry->is_resumed = is_resumed;
    entry->token = token;
    entry->n_tokens = ++sequence->n_tokens;
    if (sequence->wants_logprobs && !is_resumed)
        entry->logprob = sampler_log_probability(sequence->sampler, logits, token);
    if (!text_add(engine, sequence, &engine->texts[entry - entries->all], entry)) {
        llama_say(engine, "not enough memory for the text of token %d of the answer", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    if (answer_reader_has_stopped(sequence->reader)) return ENGINE_END_TURN;
    if (sequence->n_predict >= 0 && sequence->n_tokens >= sequence->n_predict) return ENGINE_END_LIMIT;
    return is_context_full(engine, sequence) ? ENGINE_END_CONTEXT : ENGINE_END_NONE;
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

/* Each answer may have a guess that is free, or one that is alone as many as the user allows. */
int32_t steps_guesses_most(const struct llama_engine *engine) {
    int32_t n_free = engine->habits ? engine->base.facts.n_sequences : 0;
    return engine->options.n_guesses > n_free ? engine->options.n_guesses : n_free;
}

/* As many of `n` guesses as this answer can use. */
static int32_t limit_guesses(const struct llama_engine *engine, int number, int32_t n) {
    const struct sequence *sequence = &engine->sequences[number];
    if (!engine->can_rewind || sequence->n_tokens < sequence->n_resumed) return 0;
    int32_t n_room = (int32_t)engine->base.facts.n_ctx - engine->cells[number].n - 2;
    if (n > n_room) n = n_room;
    if (sequence->n_predict >= 0 && n > sequence->n_predict - sequence->n_tokens - 1)
        n = sequence->n_predict - sequence->n_tokens - 1;
    return n > 0 ? n : 0;
}

/* Guesses what follows the answer's last token; returns how many tokens. An answer that is alone gets as many as are worth
 * while, out of its text. Else it is one in a row that would have to be filled up. */
static int32_t guess(const struct llama_engine *engine, int number, bool is_alone, llama_token *guesses) {
    const cells *cells = &engine->cells[number];
    int32_t n_worth = is_alone ? engine->sequences[number].n_guesses : 0, n_text = cells->n + 1;
    int32_t n_guessed = lookup_guess(cells->tokens, n_text, guesses, limit_guesses(engine, number, n_worth));
    if (n_guessed > 0 || !engine->habits || limit_guesses(engine, number, 1) == 0) return n_guessed;
    guesses[0] = habits_guess(engine->habits, cells->tokens, n_text);
    return guesses[0] != HABITS_NOTHING;
}

/* Puts the answer's last token into the batch, and guesses behind it. */
static void add_answer(struct llama_engine *engine, int number, bool is_alone) {
    llama_token guesses[ENGINE_GUESSES_MOST];
    cells *cells = &engine->cells[number];
    struct sequence *sequence = &engine->sequences[number];
    cells->tokens[cells->n] = sequence->last; /* there is room, and the cell is about to hold it */
    sequence->n_guessed = guess(engine, number, is_alone, guesses);
    sequence->n_in_batch = 1;
    sequence->first_row = lanes_add(engine, number, &sequence->last, 1, 0);
    lanes_add(engine, number, guesses, sequence->n_guessed, 1);
    for (int32_t i = 0; i <= sequence->n_guessed; i++) lanes_want_logits(engine, number, sequence->first_row + i);
    fill_up(engine, number, sequence->last, 1 + sequence->n_guessed);
}

/* Takes the next token, and as many more as guesses were right. */
static void advance_answer(struct llama_engine *engine, struct entries *entries, int number) {
    struct sequence *sequence = &engine->sequences[number];
    const llama_token *row = lanes_of(engine, number)->batch.token + sequence->first_row;
    int32_t n_right = 0;
    for (;;) {
        keep_cells(engine, number, &row[n_right], 1);
        engine_progress *entry = add_entry(entries, number);
        end_entry(engine, entry, take_token(engine, entries, sequence->first_row + n_right, entry));
        if (entry->end != ENGINE_END_NONE || n_right == sequence->n_guessed || sequence->last != row[n_right + 1]) break;
        n_right++;
    }
    if (sequence->n_guessed > 0)
        sequence->n_guesses = lookup_next(sequence->n_guessed, n_right, engine->options.n_guesses);
    if (1 + sequence->n_guessed > n_right + 1 || engine->n_rows > 1) lanes_rewind(engine, number);
}

/* A full context: cells are given up, or the answer ends. Returns whether it goes on. */
static bool make_room(struct llama_engine *engine, struct entries *entries, int number) {
    bool is_full = (uint32_t)engine->cells[number].n + 1 >= engine->base.facts.n_ctx;
    if (!is_full || !engine->can_shift || shift_cells(engine, number)) return true;
    end_entry(engine, add_entry(entries, number), ENGINE_END_CONTEXT);
    return false;
}

/* What was evaluated is taken. A failure concerns those who were in that lane's batch, an interruption everybody. */
static void take_results(struct llama_engine *engine, struct entries *entries, engine_end worst,
                         void (*advance)(struct llama_engine *engine, struct entries *entries, int number)) {
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        if (engine->sequences[s].n_in_batch == 0) continue;
        engine_end end = lanes_of(engine, s)->end;
        if (end == ENGINE_END_NONE) advance(engine, entries, s);
        if (end == ENGINE_END_FAILED) end_entry(engine, add_entry(entries, s), end);
    }
    if (worst == ENGINE_END_CANCELLED) end_interrupted(engine, entries);
}

/* A token for each answer whose prompt is read, or several if guesses were right. */
static void generate(struct llama_engine *engine, struct entries *entries) {
    bool is_alone = count_generating(engine) == 1;
    uint64_t begun_ns = plat_clock_ns();
    lanes_begin(engine);
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (is_generating(&engine->sequences[s]) && make_room(engine, entries, s)) add_answer(engine, s, is_alone);
    take_results(engine, entries, lanes_evaluate(engine), advance_answer);
    engine->generate_ns = plat_clock_ns() - begun_ns;
}

/* ---- prompts ------------------------------------------------------------------------------------------------------- */

/* What a slice that was evaluated means for its answer. */
static engine_end end_slice(struct llama_engine *engine, struct entries *entries, int number, engine_progress *entry) {
    struct sequence *sequence = &engine->sequences[number];
    keep_cells(engine, number, sequence->prompt + sequence->n_prompt_done, sequence->n_in_batch);
    sequence->n_prompt_done += sequence->n_in_batch;
    if (sequence->n_in_batch < engine->n_rows) lanes_rewind(engine, number);
    if (prompt_left(sequence) > 0) return ENGINE_END_NONE;
    if (sequence->n_predict == 0) return ENGINE_END_LIMIT;
    return take_token(engine, entries, sequence->first_row + sequence->n_in_batch - 1, entry);
}

static void advance_prompt(struct llama_engine *engine, struct entries *entries, int number) {
    engine_progress *entry = add_entry(entries, number);
    end_entry(engine, entry, end_slice(engine, entries, number, entry));
}

/* Copies the beginning of a prompt from where it was evaluated before, if that is faster than evaluating it. */
static void copy_beginning(struct llama_engine *engine, int number) {
    int32_t n_found;
    cells *cells = &engine->cells[number];
    struct sequence *sequence = &engine->sequences[number];
    const struct lane *lane = lanes_of(engine, number);
    int from = lane->first + cells_find(engine->cells + lane->first, lane->n, sequence->prompt, sequence->n_prompt - 1, &n_found);
    if (!engine->can_reuse || n_found - cells->n < engine->copy_least) return;
    lanes_copy(engine, from, number);
    memcpy(cells->tokens, sequence->prompt, (size_t)n_found * sizeof *cells->tokens);
    cells->n = sequence->n_prompt_done = sequence->n_cached = n_found;
    lanes_rewind(engine, number);
}

/* Decides which prompts of a lane get a slice: the next one and, if it leaves room, others with as many tokens left. The
 * library evaluates sequences together for as many tokens as all of them have. Returns the number of rows. */
static int32_t choose_slices(struct llama_engine *engine, struct lane *lane) {
    int32_t n_most = slice_tokens(engine), n = 0, n_rows = 0, n_all = 0;
    for (int number; (number = choose_reader(engine, lane, n > 0 ? n : 1)) >= 0;) {
        struct sequence *sequence = &engine->sequences[number];
        bool is_first = sequence->n_prompt_done == sequence->n_cached;
        if (is_first) copy_beginning(engine, number);
        int32_t n_left = prompt_left(sequence); /* less than before if its beginning was copied */
        if (n == 0) n = n_left < n_most ? n_left : n_most;
        if (n_left < n) continue;
        lane->has_begun_prompt = is_first;
        sequence->waits_since = engine->n_turns++;
        sequence->n_in_batch = n;
        n_rows = n > engine->n_rows ? n : engine->n_rows;
        n_all += n_rows;
        if (engine->options.is_repeatable || n_all + n_rows > n_most) break;
    }
    return n_all;
}

static void add_slice(struct llama_engine *engine, int number) {
    struct sequence *sequence = &engine->sequences[number];
    const llama_token *slice = sequence->prompt + sequence->n_prompt_done;
    int32_t n = sequence->n_in_batch;
    bool is_last = n == prompt_left(sequence);
    sequence->first_row = lanes_add(engine, number, slice, n, 0);
    if (is_last && sequence->n_predict != 0) lanes_want_logits(engine, number, sequence->first_row + n - 1);
    fill_up(engine, number, slice[n - 1], n);
}

static void read_prompts(struct llama_engine *engine, struct entries *entries) {
    int32_t n_most = 0;
    lanes_begin(engine);
    for (int l = 0; l < engine->n_lanes; l++) {
        int32_t n = choose_slices(engine, &engine->lanes[l]);
        if (n > n_most) n_most = n;
    }
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (engine->sequences[s].n_in_batch > 0) add_slice(engine, s);
    uint64_t begun_ns = plat_clock_ns();
    engine_end worst = lanes_evaluate(engine);
    if (worst == ENGINE_END_NONE) note_slice(engine, n_most, plat_clock_ns() - begun_ns);
    take_results(engine, entries, worst, advance_prompt);
}

size_t steps_step(struct llama_engine *engine, engine_progress *progress) {
    struct entries entries = {progress, 0};
    end_cancelled(engine, &entries);
    generate(engine, &entries); /* first: who has read his prompt in this step has his token */
    read_prompts(engine, &entries);
    uint64_t now = plat_clock_ns();
    for (size_t i = 0; i < entries.n; i++) {
        text_end(engine, &engine->texts[i], &entries.all[i]);
        complete_entry(engine, &entries.all[i], now);
    }
    return entries.n;
}
