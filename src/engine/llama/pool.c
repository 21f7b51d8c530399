/* pool.c - the threads that evaluate: the library's pools, and how many threads there are beside other programs. */
#include "internal.h"

#include <math.h>
#include <stdio.h>

/* So often the host looks what others do: soon enough for an answer, and long enough for the system's clocks, which tick every
 * 10 ms. */
#define LOOK_NS 500000000u

/* A function that only the library's part for this processor has; NULL if it does not. */
static void *cpu_function(const char *name) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    return cpu ? ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name) : NULL;
}

/* A pool of just so many: a larger one's other threads would spin as well. The library otherwise starts a new pool for every
 * evaluation. The threads poll for a while after each evaluation and then sleep, so an idle host uses no CPU. */
static void use_threads(struct llama_engine *engine, int n) {
    struct ggml_threadpool_params params;
    struct ggml_threadpool *before = engine->threadpool;
    llama_set_n_threads(engine->context, n, engine->prompt_threadpool ? engine->n_prompt_threads : n);
    if (!engine->threadpool_new || !engine->threadpool_free) return;
    arguments_threads(engine->options.arguments, n, false, &params);
    engine->threadpool = engine->threadpool_new(&params);
    if (engine->threadpool) llama_attach_threadpool(engine->context, engine->threadpool, engine->prompt_threadpool);
    else llama_detach_threadpool(engine->context);
    if (before) engine->threadpool_free(before);
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

void pool_make_way(struct llama_engine *engine) {
    char line[128];
    plat_load load;
    uint64_t now = plat_clock_ns();
    if (!engine->makes_way || now - engine->load_ns < LOOK_NS || plat_load_look(&load) != PLAT_OK) return;
    double others = (double)(load.busy_ns - engine->load.busy_ns) - (double)(load.own_ns - engine->load.own_ns);
    double n_busy = fmax(0, others / (double)(now - engine->load_ns));
    engine->load = load;
    engine->load_ns = now;
    int n_before = engine->threads.n;
    threads_beside(&engine->threads, engine->base.facts.n_threads, load.n_processors - n_busy);
    int n = engine->threads.n;
    if (n == n_before) return;
    use_threads(engine, n);
    snprintf(line, sizeof line, "other programs use %.1f of %d processors: evaluating with %d thread%s", n_busy, load.n_processors, n,
             n == 1 ? "" : "s");
    llama_log(engine, 3, line);
}

void pool_close(struct llama_engine *engine) {
    if (engine->threadpool) engine->threadpool_free(engine->threadpool);
    if (engine->prompt_threadpool) engine->threadpool_free(engine->prompt_threadpool);
}
