/* pool.c - the threads that evaluate: the library's pools, and how many threads there are beside other programs. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

/* So often the host looks what others do: soon enough for an answer, and long enough for the system's clocks, which tick every
 * 10 ms. */
#define LOOK_NS 500000000u

/* A function that only the library's part for this processor has; NULL if it does not. */
static void *cpu_function(const char *name) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    return cpu ? ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name) : NULL;
}

/* The library stops the pool of its last evaluation when the next one has another: so a pool that is no longer used stays until
 * something was evaluated with its successor. */
typedef struct threads_pool {
    struct ggml_threadpool *threads;
    int n;
    struct threads_pool *next;
} threads_pool;

/* NULL: none could be made. */
static struct ggml_threadpool *pool_of(struct llama_engine *engine, int n) {
    struct ggml_threadpool_params params;
    for (const threads_pool *pool = engine->pools; pool; pool = pool->next)
        if (pool->n == n) return pool->threads;
    threads_pool *pool = malloc(sizeof *pool);
    if (!pool) return NULL;
    arguments_threads(engine->options.arguments, n, false, &params);
    *pool = (threads_pool){.threads = engine->threadpool_new(&params), .n = n, .next = engine->pools};
    if (pool->threads) {
        engine->pools = pool;
        return pool->threads;
    }
    free(pool);
    return NULL;
}

/* A pool of just so many: a larger one's other threads would spin as well. The library otherwise starts a new pool for every
 * evaluation. The threads poll for a while after each evaluation and then sleep, so an idle host uses no CPU. */
static void use_threads(struct llama_engine *engine, int n) {
    engine->n_threads_used = n;
    int n_prompt = engine->prompt_threadpool ? engine->n_prompt_threads : n;
    struct llama_context *all[] = {engine->context, engine->drafter ? drafter_context(engine->drafter) : NULL};
    for (int i = 0; i < 2 && all[i]; i++) llama_set_n_threads(all[i], n, n_prompt);
    if (!engine->threadpool_new || !engine->threadpool_free) return;
    struct ggml_threadpool *pool = pool_of(engine, n);
    engine->has_evaluated = false;
    for (int i = 0; i < 2 && all[i]; i++) {
        if (pool) llama_attach_threadpool(all[i], pool, engine->prompt_threadpool);
        else llama_detach_threadpool(all[i]);
    }
}

void pool_open(struct llama_engine *engine) {
    struct ggml_threadpool_params params;
    int n = engine->base.facts.n_threads;
    engine->threadpool_new = (threadpool_new_fn)(uintptr_t)cpu_function("ggml_threadpool_new");
    engine->threadpool_free = (threadpool_free_fn)(uintptr_t)cpu_function("ggml_threadpool_free");
    if (arguments_threads(engine->options.arguments, n, true, &params) && engine->threadpool_new && engine->threadpool_free)
        engine->prompt_threadpool = engine->threadpool_new(&params);
    arguments_threads(engine->options.arguments, n, false, &params);
    /* Whoever says how many threads or where they run means it; and how sums are rounded may depend on the number. */
    engine->makes_way = engine->options.n_threads <= 0 && n > 1 && !params.strict_cpu && !engine->options.is_repeatable &&
                        plat_load_look(&engine->load) == PLAT_OK;
    engine->load_ns = plat_clock_ns();
    engine->threads.n = n;
    use_threads(engine, n);
}

/* Frees the pools that nothing refers to any more. */
static void forget_pools(struct llama_engine *engine) {
    if (!engine->has_evaluated) return;
    for (threads_pool **at = &engine->pools; *at;) {
        threads_pool *pool = *at;
        if (pool->n == engine->n_threads_used) {
            at = &pool->next;
            continue;
        }
        *at = pool->next;
        engine->threadpool_free(pool->threads);
        free(pool);
    }
}

/* Twice a second: how many threads others leave processors for. Where that changes the number, writes the reason. */
static void look_at_others(struct llama_engine *engine, char *reason, size_t size) {
    plat_load load;
    uint64_t now = plat_clock_ns();
    if (now - engine->load_ns < LOOK_NS) return;
    forget_pools(engine);
    plat_load before = engine->load;
    uint64_t since_ns = now - engine->load_ns;
    engine->load_ns = now;
    bool gave_one = engine->gave_one;
    engine->gave_one = false;
    if (plat_load_look(&load) != PLAT_OK) return;
    engine->load = load;
    if (gave_one) return; /* what the tokenizer used is this process's, but not in what all used: it is nice */
    double n_busy = threads_of_others(&before, &load, since_ns, now - engine->evaluated_ns);
    if (n_busy < 0) return;
    int n_before = engine->threads.n;
    threads_beside(&engine->threads, engine->base.facts.n_threads, load.n_processors - n_busy);
    if (engine->threads.n != n_before)
        snprintf(reason, size, "other programs use %.1f of %d processors", n_busy, load.n_processors);
}

void pool_make_way(struct llama_engine *engine) {
    char reason[64] = "", line[128];
    if (!engine->makes_way) return;
    look_at_others(engine, reason, sizeof reason);
    /* The threads wait for each other after each part of an evaluation. One that shares its processor with the tokenizer holds up
     * all of them for as long as the scheduler likes, so for a while there is one less. Not where only prompts are evaluated: nobody
     * notices pauses there, and such a step takes seconds, for which a thread would be lacking. */
    bool gives_one = engine->threads.n > 1 && prepare_needs_processor(engine) && prefill_somebody_generates(engine);
    int n = engine->threads.n - gives_one;
    engine->gave_one = engine->gave_one || gives_one;
    if (n == engine->n_threads_used) return;
    use_threads(engine, n);
    if (!reason[0]) snprintf(reason, sizeof reason, "%s", gives_one ? "long texts become tokens" : "no long texts become tokens any more");
    snprintf(line, sizeof line, "%s: evaluating with %d thread%s", reason, n, n == 1 ? "" : "s");
    llama_log(engine, 3, line);
}

void pool_close(struct llama_engine *engine) {
    for (threads_pool *pool = engine->pools; pool;) {
        threads_pool *next = pool->next;
        engine->threadpool_free(pool->threads);
        free(pool);
        pool = next;
    }
    if (engine->prompt_threadpool) engine->threadpool_free(engine->prompt_threadpool);
}
