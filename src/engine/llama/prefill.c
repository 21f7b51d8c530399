/* prefill.c - which prompts come next, and how many of their tokens.
 *
 * While nobody generates, a chunk is as large as the library evaluates at once. Beside answers it is as large as the prefill
 * budget allows, which is the time that such a batch may take: the answers get their next tokens at its end.
 */
#include "internal.h"

#include <math.h>

/* Where the user names no budget: as much as a reader hardly notices, or so much that answers keep a tenth of their speed. On
 * processors few rows are dear: a prompt in chunks of 8 takes three times as long as in chunks of 64. */
#define BUDGET_NS 100e6
#define BUDGET_STEPS 10.0
/* What is aimed at, of the budget: rows do not all take the same time. */
#define BUDGET_AIM 0.8
#define CHUNK_LEAST 8
/* On processors the library's attention takes rows by the block, and where there are fewer, one by one: from so many rows on
 * a whole block takes no longer. */
#define BLOCK_ROWS 64
#define BLOCK_ROWS_LEAST 40
#define CHUNK_REPEATABLE 64
/* Fewer common tokens are not worth waiting for. */
#define COPY_LEAST 16

cells prefill_cells(const struct sequence *sequence, int32_t n_tokens) {
    return (cells){.tokens = sequence->prompt, .n = n_tokens, .scales = sequence->scales};
}

int32_t prefill_left(const struct sequence *sequence) {
    return sequence->is_running && !sequence->preparing ? sequence->n_prompt + sequence->n_resumed - sequence->n_prefilled : 0;
}

bool prefill_is_over(const struct sequence *sequence) {
    return sequence->is_running && !sequence->preparing && prefill_left(sequence) == 0;
}

/* ---- who comes next ------------------------------------------------------------------------------------------------ */

static bool is_new(const struct sequence *sequence) {
    return sequence->n_prefilled == sequence->n_cached;
}

/* Of two that wait for a chunk. First chunks and further ones take turns: then long prompts do not keep a newcomer
 * waiting, nor many newcomers a long prompt. Among equals it is who has waited longer. */
static bool comes_before(const struct llama_engine *engine, const struct sequence *a, const struct sequence *b) {
    if (is_new(a) != is_new(b)) return is_new(a) != engine->has_begun_prompt;
    return a->waits_since < b->waits_since;
}

static int32_t common_beginning(const struct sequence *a, const struct sequence *b) {
    const cells one = prefill_cells(a, a->n_prompt), other = prefill_cells(b, b->n_prompt);
    return cells_common(&one, &other);
}

/* What may be copied of n_common tokens: cells that two sequences have in common are not to be shifted. */
static int32_t shareable(const struct llama_engine *engine, const struct sequence *sequence, int32_t n_common) {
    int32_t n_half = (int32_t)engine->base.facts.n_ctx / 2, n_fixed = sequence->n_keep < n_half ? sequence->n_keep : n_half;
    if (!engine->can_rewind || engine->options.is_repeatable) return 0;
    return engine->can_shift && n_common > n_fixed ? n_fixed : n_common;
}

/* Whether another prompt is being read that begins like this one: what they have in common is then copied when it is
 * there. Of two that have not begun nobody waits. */
static bool waits_for_another(const struct llama_engine *engine, const struct sequence *sequence) {
    if (!is_new(sequence)) return false;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        const struct sequence *other = &engine->sequences[s];
        if (prefill_left(other) == 0 || (is_new(other) && other->n_in_batch == 0)) continue;
        int32_t n_common = shareable(engine, sequence, common_beginning(other, sequence));
        if (n_common > other->n_prefilled && n_common - sequence->n_cached >= COPY_LEAST) return true;
    }
    return false;
}

/* The sequence whose prompt gets the next chunk of the batch; negative: there is none. */
static int choose_reader(const struct llama_engine *engine) {
    int chosen = -1;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        const struct sequence *sequence = &engine->sequences[s];
        if (sequence->n_in_batch > 0 || prefill_left(sequence) == 0 || !adapters_fit(engine, sequence)) continue;
        if (waits_for_another(engine, sequence)) continue;
        if (chosen < 0 || comes_before(engine, sequence, &engine->sequences[chosen])) chosen = s;
    }
    return chosen;
}

/* ---- how much ------------------------------------------------------------------------------------------------------ */

bool prefill_somebody_generates(const struct llama_engine *engine) {
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (prefill_is_over(&engine->sequences[s])) return true;
    return false;
}

/* Tokens of chunks beside these rows of answers. */
static int32_t budget_tokens(const struct llama_engine *engine, int32_t n_rows) {
    double budget_ns = fmax(BUDGET_NS, BUDGET_STEPS * engine->answers_ns);
    if (!prefill_somebody_generates(engine)) return engine->n_ubatch;
    if (engine->options.prefill_budget_ms < 0) return engine->n_batch - n_rows;
    if (engine->options.prefill_budget_ms > 0) budget_ns = engine->options.prefill_budget_ms * 1e6;
    double row_ns = engine->row_ns > 0 ? engine->row_ns : fmax(engine->answers_ns / (n_rows > 0 ? n_rows : 1), 1);
    double n_all = fmin(BUDGET_AIM * budget_ns / row_ns, engine->n_ubatch);
    if (n_all >= BLOCK_ROWS_LEAST && n_all < BLOCK_ROWS) n_all = BLOCK_ROWS;
    return n_all > CHUNK_LEAST + n_rows ? (int32_t)n_all - n_rows : CHUNK_LEAST;
}

void prefill_note(struct llama_engine *engine, uint64_t ns) {
    int32_t n_answers = 0, n_rows = engine->batch.n_tokens;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        const struct sequence *sequence = &engine->sequences[s];
        if (sequence->n_in_batch > 0 && prefill_left(sequence) == 0) n_answers += 1 + sequence->n_drafted;
    }
    if (n_answers == 0 && !prefill_somebody_generates(engine)) return;
    double *mean = n_answers == n_rows ? &engine->answers_ns : &engine->row_ns;
    double taken = n_answers == n_rows ? (double)ns : (double)ns / n_rows;
    *mean = *mean > 0 ? (*mean + taken) / 2 : taken;
}

/* ---- chunks -------------------------------------------------------------------------------------------------------- */

/* Copies the beginning of a prompt from where it was evaluated before. */
static void copy_beginning(struct llama_engine *engine, struct sequence *sequence) {
    const cells prompt = prefill_cells(sequence, sequence->n_prompt - 1);
    int32_t n_found;
    int from = cells_find(engine->cells, engine->base.facts.n_sequences, &prompt, &n_found);
    n_found = shareable(engine, sequence, n_found);
    if (n_found - engine->cells[sequence->place].n < COPY_LEAST) return;
    memory_copy(engine, from, sequence->place, n_found);
    sequence->n_prefilled = sequence->n_cached = n_found;
}

/* So many that the cells have room, and that a checkpoint can be taken at their end. */
static int32_t limit_chunk(const struct llama_engine *engine, const struct sequence *sequence, int32_t n) {
    int32_t n_room = (int32_t)engine->base.facts.n_ctx - engine->can_shift - engine->cells[sequence->place].n;
    int32_t n_left = prefill_left(sequence);
    int32_t n_to_checkpoint = sequence->n_prompt - CHECKPOINT_BEFORE_END - sequence->n_prefilled;
    if (n > n_left) n = n_left;
    if (n > n_room) n = n_room;
    return !engine->can_rewind && n_to_checkpoint > 0 && n > n_to_checkpoint ? n_to_checkpoint : n;
}

/* Returns how many tokens it has. */
static int32_t add_chunk(struct llama_engine *engine, struct sequence *sequence, int32_t n_most) {
    int32_t n = limit_chunk(engine, sequence, n_most);
    if (n == 0 && memory_shift(engine, sequence)) n = limit_chunk(engine, sequence, n_most);
    sequence->n_in_batch = n;
    sequence->n_drafted = 0;
    sequence->first_row = batch_add(engine, sequence->place, sequence->prompt + sequence->n_prefilled, n, 0);
    bool is_last = n == prefill_left(sequence), wants_token = sequence->n_predict != sequence->n_resumed;
    if (is_last && wants_token) engine->batch.logits[sequence->first_row + n - 1] = true;
    return n;
}

void prefill_add(struct llama_engine *engine) {
    int32_t n_left = budget_tokens(engine, engine->batch.n_tokens);
    if (n_left > engine->n_batch - engine->batch.n_tokens) n_left = engine->n_batch - engine->batch.n_tokens;
    for (int number; n_left > 0 && (number = choose_reader(engine)) >= 0;) {
        struct sequence *sequence = &engine->sequences[number];
        bool is_first = is_new(sequence);
        if (is_first) copy_beginning(engine, sequence);
        engine->has_begun_prompt = is_first;
        sequence->waits_since = engine->n_turns++;
        n_left -= add_chunk(engine, sequence, n_left);
    }
}

/* What the answer already had is evaluated token by token, as it was made. */
void prefill_add_repeatable(struct llama_engine *engine, struct sequence *sequence) {
    int32_t n_left = sequence->n_prompt - sequence->n_prefilled;
    add_chunk(engine, sequence, n_left <= 0 ? 1 : n_left < CHUNK_REPEATABLE ? n_left : CHUNK_REPEATABLE);
}
