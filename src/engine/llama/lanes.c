/* lanes.c - batches, and the contexts that evaluate them.
 *
 * A lane is a context of the library's with some of the sequences; their numbers follow each other. A large model has one
 * lane, and its evaluation all threads. A small model has as many lanes as threads, and each evaluates with one: there the
 * library's threads would meet at a barrier after a few microseconds' work each, while lanes meet once in a step. What a
 * sequence gets is the same whoever is beside it (internal.h), so it does not matter which lane it is in.
 *
 * The thread that owns the engine evaluates the first lane that has something to do; each other one has a thread that sleeps
 * in between. Who writes what: a lane's fields belong to the owner. Its batch, its context, `code` and `n_questions` belong to its
 * thread from the moment that n_wanted is counted up (release, read with acquire) to the moment that n_done has followed (the
 * same, the other way).
 */
#include "internal.h"

#include <stdlib.h>

/* ---- sequences in lanes -------------------------------------------------------------------------------------------- */

struct lane *lanes_of(const struct llama_engine *engine, int number) {
    return &engine->lanes[engine->cells[number].lane];
}

/* A sequence's number in its context. */
static llama_seq_id id_of(const struct llama_engine *engine, int number) {
    return number - lanes_of(engine, number)->first;
}

static llama_memory_t memory_of(const struct llama_engine *engine, int number) {
    return llama_get_memory(lanes_of(engine, number)->context);
}

void lanes_rewind(struct llama_engine *engine, int number) {
    llama_memory_seq_rm(memory_of(engine, number), id_of(engine, number), engine->cells[number].n, -1);
}

void lanes_shift(struct llama_engine *engine, int number, int32_t n_keep, int32_t n_given_up) {
    llama_memory_seq_rm(memory_of(engine, number), id_of(engine, number), n_keep, n_keep + n_given_up);
    llama_memory_seq_add(memory_of(engine, number), id_of(engine, number), n_keep + n_given_up, -1, -n_given_up);
}

void lanes_copy(struct llama_engine *engine, int from, int number) {
    llama_memory_seq_cp(memory_of(engine, number), id_of(engine, from), id_of(engine, number), -1, -1);
}

/* ---- batches ------------------------------------------------------------------------------------------------------- */

void lanes_begin(struct llama_engine *engine) {
    for (int l = 0; l < engine->n_lanes; l++) engine->lanes[l].batch.n_tokens = 0;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) engine->sequences[s].n_in_batch = 0;
}

int32_t lanes_add(struct llama_engine *engine, int number, const llama_token *tokens, int32_t n_tokens,
                  int32_t n_before) {
    struct llama_batch *batch = &lanes_of(engine, number)->batch;
    int32_t first = batch->n_tokens;
    for (int32_t i = 0; i < n_tokens; i++) {
        int32_t row = batch->n_tokens++;
        batch->token[row] = tokens[i];
        batch->pos[row] = engine->cells[number].n + n_before + i;
        batch->n_seq_id[row] = 1;
        batch->seq_id[row][0] = id_of(engine, number);
        batch->logits[row] = false;
    }
    return first;
}

void lanes_want_logits(struct llama_engine *engine, int number, int32_t row) {
    lanes_of(engine, number)->batch.logits[row] = true;
}

const float *lanes_logits(const struct llama_engine *engine, int number, int32_t row) {
    return llama_get_logits_ith(lanes_of(engine, number)->context, row);
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

/* ---- evaluating ---------------------------------------------------------------------------------------------------- */

static void evaluate(struct lane *lane) {
    if (lane->engine->n_rows > 1) fill_up_logits(&lane->batch);
    lane->code = llama_decode(lane->context, lane->batch);
    llama_synchronize(lane->context);
}

static void run_lane(void *argument) {
    struct lane *lane = argument;
    for (;;) {
        uint32_t seen = plat_doorbell_arm(&lane->work_bell, PLAT_BELL_ALL);
        uint32_t n_wanted = __atomic_load_n(&lane->n_wanted, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&lane->is_closing, __ATOMIC_ACQUIRE)) return;
        if (n_wanted == lane->n_done) { /* only this thread writes it */
            plat_doorbell_wait(&lane->work_bell, seen, PLAT_NEVER);
            continue;
        }
        evaluate(lane);
        __atomic_store_n(&lane->n_done, n_wanted, __ATOMIC_RELEASE);
        plat_doorbell_ring(&lane->done_bell, PLAT_BELL_ALL);
    }
}

static void hand_over(struct lane *lane) {
    __atomic_store_n(&lane->n_wanted, lane->n_wanted + 1, __ATOMIC_RELEASE);
    plat_doorbell_ring(&lane->work_bell, PLAT_BELL_ALL);
}

static bool is_done(const struct lane *lane) {
    return __atomic_load_n(&lane->n_done, __ATOMIC_ACQUIRE) == lane->n_wanted;
}

static void wait_for(struct lane *lane) {
    while (!is_done(lane)) {
        uint32_t seen = plat_doorbell_arm(&lane->done_bell, PLAT_BELL_ALL);
        if (!is_done(lane)) plat_doorbell_wait(&lane->done_bell, seen, PLAT_NEVER);
    }
}

static engine_end end_of(struct llama_engine *engine, const struct lane *lane) {
    enum { EVALUATED = 0, ABANDONED = 2 }; /* llama_decode's */
    if (lane->code == EVALUATED) return ENGINE_END_NONE;
    if (lane->code == ABANDONED) return ENGINE_END_CANCELLED;
    llama_say(engine, "evaluating %d tokens failed with code %d: %s", lane->batch.n_tokens, lane->code,
              llama_reason(engine));
    return ENGINE_END_FAILED;
}

engine_end lanes_evaluate(struct llama_engine *engine) {
    struct lane *own = NULL, *lanes = engine->lanes;
    engine_end worst = ENGINE_END_NONE;
    engine->library_error[0] = 0;
    for (int l = 0; l < engine->n_lanes; l++) {
        if (lanes[l].batch.n_tokens == 0) continue;
        if (own) hand_over(&lanes[l]);
        else own = &lanes[l];
    }
    if (own) evaluate(own);
    for (int l = 0; l < engine->n_lanes; l++) {
        if (lanes[l].batch.n_tokens == 0) continue;
        wait_for(&lanes[l]);
        lanes[l].end = end_of(engine, &lanes[l]);
        if (lanes[l].end != ENGINE_END_NONE && worst != ENGINE_END_CANCELLED) worst = lanes[l].end;
    }
    return worst;
}

/* ---- opening and closing ------------------------------------------------------------------------------------------- */

int lanes_start(struct llama_engine *engine) {
    for (int l = 0; l < engine->n_lanes; l++) {
        struct lane *lane = &engine->lanes[l];
        lane->batch = llama_batch_init(BATCH_MOST, 0, 1);
        if (l == 0 || plat_thread_start(run_lane, lane, 0, &lane->thread) == PLAT_OK) continue;
        llama_say(engine, "cannot start thread %d of the engine: %s; ask for fewer with -t N", l + 1, plat_os_error());
        return ENGINE_E_NO_MEMORY;
    }
    return ENGINE_OK;
}

static void close_lane(struct lane *lane) {
    if (lane->thread) {
        __atomic_store_n(&lane->is_closing, true, __ATOMIC_RELEASE);
        plat_doorbell_ring(&lane->work_bell, PLAT_BELL_ALL);
        plat_thread_join(lane->thread);
    }
    if (lane->batch.token) llama_batch_free(lane->batch);
    if (lane->context) llama_free(lane->context);
    if (lane->threadpool) lane->engine->threadpool_free(lane->threadpool);
}

void lanes_close(struct llama_engine *engine) {
    for (int l = 0; l < engine->n_lanes; l++) close_lane(&engine->lanes[l]);
    free(engine->lanes);
}
