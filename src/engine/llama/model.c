/* model.c - from a file to a context in which sequences can be evaluated. */
#define _GNU_SOURCE
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the caches of several answers may take together when nobody says how many there shall be. */
#define CACHES_DEFAULT_BYTES (512.0 * 1024 * 1024)
/* What the plain attention may take for products of keys and queries. */
#define PRODUCTS_MOST_BYTES (256.0 * 1024 * 1024)
/* The library counts the context of a sequence in such pieces. */
#define CONTEXT_PIECE 256u
/* Fewer common tokens are not worth a copy. */
#define COPY_LEAST 16

static int check_file(struct llama_engine *engine) {
    engine_find_file(engine->options.model_path, engine->model_file, sizeof engine->model_file);
    return engine_check_file(engine->options.model_path, engine->base.message, sizeof engine->base.message);
}

static bool has_cpu(void) {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != NULL;
}

static bool has_gpu(void) {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) != NULL ||
           ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU) != NULL;
}

/* Backends lie beside the library that loads them; where the system packages put them elsewhere, the library knows. */
static void load_backends(void) {
    if (has_cpu()) return; /* linked in, or an engine was open before */
    char folder[4096];
    if (plat_library_folder((const void *)(uintptr_t)ggml_backend_load_all_from_path, folder, sizeof folder) == PLAT_OK)
        ggml_backend_load_all_from_path(folder);
    if (!has_cpu()) ggml_backend_load_all();
}

/* Where the library's last words go: those of whoever opened a model last. Without this they would be a backtrace by
 * whatever debugger is installed, over pages of the log. */
static engine_callbacks last_words;

static void on_abort(const char *message) {
    if (last_words.on_log) last_words.on_log(last_words.user_data, 0, message);
}

/* Which of its parts for this kind of processor runs here, the library finds out when it loads them. */
static int ensure_backends(struct llama_engine *engine) {
    last_words = engine->options.callbacks;
    ggml_set_abort_callback(on_abort);
    load_backends();
    llama_backend_init();
    if (has_cpu()) return ENGINE_OK;
    llama_say(engine, "libllama has no part that runs on this processor: the libraries libggml-cpu*.so must lie beside it, "
                      "and one of them must be for a processor like this one; build or install the library anew");
    return ENGINE_E_LIBRARY;
}

static bool on_model_progress(float progress, void *user_data) {
    struct llama_engine *engine = user_data;
    int per_mille = (int)(progress * 1000.0f);
    if (per_mille != engine->last_per_mille && engine->options.callbacks.on_load_progress) {
        engine->last_per_mille = per_mille;
        engine->options.callbacks.on_load_progress(engine->options.callbacks.user_data, per_mille);
    }
    return !engine_is_interrupted(&engine->options.callbacks);
}

static int say_damaged(struct llama_engine *engine) {
    llama_say(engine, "the model file '%s' is damaged, truncated or of an unknown kind: %s", engine->options.model_path,
              llama_reason(engine));
    return ENGINE_E_MODEL_BAD;
}

static int load_weights(struct llama_engine *engine) {
    struct llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = engine->options.n_gpu_layers;
    params.progress_callback = on_model_progress;
    params.progress_callback_user_data = engine;
    engine->model = llama_model_load_from_file(engine->model_file, params);
    if (engine->model) {
        engine->vocab = llama_model_get_vocab(engine->model);
        if (!llama_model_has_encoder(engine->model) && llama_model_has_decoder(engine->model) &&
            llama_vocab_n_tokens(engine->vocab) > 0)
            return ENGINE_OK;
        llama_say(engine, "the model '%s' does not generate text (an encoder or a vocabulary alone); give another",
            engine->options.model_path);
        return ENGINE_E_MODEL_BAD;
    }
    if (engine_is_interrupted(&engine->options.callbacks)) {
        llama_say(engine, "loading was interrupted");
        return ENGINE_E_ABORTED;
    }
    return say_damaged(engine);
}

bool model_is_small(const struct llama_model *model) {
    return llama_model_n_params(model) < SMALL_MODEL_PARAMETERS;
}

/* Whether answers may be made in any of several contexts: they are the same in each, and nothing lies on a device. */
static bool can_have_lanes(const struct llama_engine *engine) {
    return engine->n_rows > 1 && (!has_gpu() || engine->options.n_gpu_layers == 0);
}

/* The library's threads meet at a spinning barrier after each node of the graph: for a small model that costs as much as
 * the second core gains, and a hundred times as much when another program has that core. So a small model's threads work on
 * different answers. */
static void choose_threads(struct llama_engine *engine) {
    engine_model_facts *facts = &engine->base.facts;
    bool has_lanes = can_have_lanes(engine);
    int32_t n_threads = !has_lanes && model_is_small(engine->model) ? 1 : plat_core_count(), n_sequences = facts->n_sequences;
    if (engine->options.n_threads > 0) n_threads = engine->options.n_threads;
    engine->n_lanes = !has_lanes ? 1 : n_threads < n_sequences ? n_threads : n_sequences;
    facts->n_threads = has_lanes ? engine->n_lanes : n_threads;
}

static int32_t threads_of_lane(const struct llama_engine *engine) {
    return engine->base.facts.n_threads / engine->n_lanes;
}

/* Bytes of the key-value cache at 16 bits: for each token, layer and key-value head one key and one value. Models with
 * sliding windows or recurrent layers need less. */
static double cache_bytes(const struct llama_model *model, uint64_t n_ctx) {
    double head = (double)llama_model_n_embd(model) / (double)llama_model_n_head(model);
    return 2.0 * 2.0 * (double)n_ctx * (double)llama_model_n_layer(model) * (double)llama_model_n_head_kv(model) * head;
}

/* Whether cells can be given back one by one. Recurrent layers keep one state for all tokens, and layers with a sliding
 * window give up what lies before it. */
static bool can_rewind(const struct llama_model *model) {
    return !llama_model_is_recurrent(model) && !llama_model_is_hybrid(model) && llama_model_n_swa(model) == 0;
}

/* A function that only the library's part for this processor has; NULL if it does not. */
static void *cpu_function(const char *name) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    return cpu ? ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name) : NULL;
}

/* Whether that part computes with what the name says, "AVX2". */
static bool has_feature(const char *name) {
    ggml_backend_get_features_t features = (ggml_backend_get_features_t)(uintptr_t)cpu_function("ggml_backend_get_features");
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (!features) return false;
    for (const struct ggml_backend_feature *each = features(ggml_backend_dev_backend_reg(cpu)); each->name; each++)
        if (strcmp(each->name, name) == 0) return strcmp(each->value, "0") != 0;
    return false;
}

/* With vectors of 256 bits the library's flash attention is slower than the plain one behind a longer text: with heads of 64
 * and 128, 800 tokens deep, a token takes 1.5 to 2 times as long, though at a text's beginning 0.8 of it. With vectors of 512
 * bits it is faster everywhere (0.7 to 0.9). And it needs no memory for all products of keys and queries: a float for each
 * head, row and cell. */
static bool flash_attention_pays(const struct llama_model *model, uint64_t n_ctx) {
    double products = 4.0 * SLICE_MOST * (double)llama_model_n_head(model) * (double)n_ctx;
    bool is_slower = has_feature("AVX2") && !has_feature("AVX512");
    return has_gpu() || !is_slower || products > PRODUCTS_MOST_BYTES;
}

/* Tokens that one sequence gets: as asked for, rounded as the library does, so that it has nothing to round. */
static uint64_t choose_context(const struct llama_engine *engine) {
    uint32_t n_trained = (uint32_t)llama_model_n_ctx_train(engine->model);
    uint32_t n_limit = engine->options.n_ctx_limit;
    uint64_t n_ctx = n_limit && n_trained > n_limit ? n_limit : n_trained;
    if (engine->options.n_ctx) n_ctx = engine->options.n_ctx;
    return (n_ctx + CONTEXT_PIECE - 1) / CONTEXT_PIECE * CONTEXT_PIECE;
}

/* Answers at a time when nobody says: each has a cache for the whole context, and who loads a large model expects its
 * memory to go into one. */
static int32_t default_sequences(const struct llama_engine *engine) {
    double room = CACHES_DEFAULT_BYTES / cache_bytes(engine->model, choose_context(engine));
    return room >= ENGINE_SEQUENCES_DEFAULT ? ENGINE_SEQUENCES_DEFAULT : room >= 2 ? (int32_t)room : 1;
}

static int check_memory(struct llama_engine *engine, uint64_t n_ctx) {
    int32_t n_sequences = engine->base.facts.n_sequences;
    uint64_t available = plat_memory_available_bytes();
    double needed = cache_bytes(engine->model, n_ctx) * n_sequences;
    if (available == 0 || needed <= (double)available || !can_rewind(engine->model))
        return ENGINE_OK;
    if (n_sequences == 1)
        llama_say(engine,
            "a context of %llu tokens needs %.1f GB of memory, %.1f GB are available; give a smaller one with -c N",
            (unsigned long long)n_ctx, needed / 1e9, (double)available / 1e9);
    else
        llama_say(engine,
            "%d contexts of %llu tokens need %.1f GB of memory, %.1f GB are available; give smaller ones with -c N",
            n_sequences, (unsigned long long)n_ctx, needed / 1e9, (double)available / 1e9);
    return ENGINE_E_CONTEXT;
}

/* Errors: CONTEXT. *n_ctx is what a sequence gets. */
static int check_context(struct llama_engine *engine, uint64_t *n_ctx) {
    uint32_t n_sequences = (uint32_t)engine->base.facts.n_sequences;
    size_t n_limit = llama_max_parallel_sequences();
    if (n_limit > BATCH_MOST / 2) n_limit = BATCH_MOST / 2; /* two rows of each fit into a batch */
    if (n_sequences > n_limit) {
        llama_say(engine, "%u answers at a time are too many: the library can make %zu", n_sequences, n_limit);
        return ENGINE_E_CONTEXT;
    }
    *n_ctx = choose_context(engine);
    int error = check_memory(engine, *n_ctx);
    if (error < 0 || *n_ctx * n_sequences <= UINT32_MAX - CONTEXT_PIECE) return error;
    llama_say(engine, "%u contexts of %llu tokens are more than the library can count; give a smaller one with -c N",
        n_sequences, (unsigned long long)*n_ctx);
    return ENGINE_E_CONTEXT;
}

static int make_context(struct llama_engine *engine, struct lane *lane, uint64_t n_ctx) {
    uint32_t n_sequences = (uint32_t)lane->n;
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)n_ctx * n_sequences;
    params.n_batch = BATCH_MOST;
    /* The rows of a small model's sequence stay together. */
    params.n_ubatch = n_sequences * (uint32_t)engine->n_rows > SLICE_MOST ? BATCH_MOST : SLICE_MOST;
    params.n_seq_max = n_sequences;
    params.kv_unified = false;          /* a sequence attends to its own cells only, and they lie together */
    /* Logits of last tokens, of rows that fill up and of guesses only: saves vocabulary x slice floats. */
    params.n_outputs_max = n_sequences * (uint32_t)engine->n_rows + (uint32_t)engine->options.n_guesses;
    params.n_threads = threads_of_lane(engine);
    params.n_threads_batch = params.n_threads;
    params.no_perf = true;
    if (engine->n_rows > 1 || !flash_attention_pays(engine->model, n_ctx)) params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    lane->context = llama_init_from_model(engine->model, params);
    if (lane->context) return ENGINE_OK;
    llama_say(engine, "a context of %u tokens does not fit: %s; give a smaller one with -c N", params.n_ctx,
        llama_reason(engine));
    return ENGINE_E_CONTEXT;
}

/* The library otherwise starts a new pool of threads for every evaluation: at small models that is most of the time. Its
 * threads poll for a while after each evaluation and then sleep, so an idle host uses no CPU. */
static void attach_threadpool(struct llama_engine *engine, struct lane *lane) {
    threadpool_new_fn new_pool = (threadpool_new_fn)(uintptr_t)cpu_function("ggml_threadpool_new");
    engine->threadpool_free = (threadpool_free_fn)(uintptr_t)cpu_function("ggml_threadpool_free");
    if (!new_pool || !engine->threadpool_free) return;
    struct ggml_threadpool_params params = ggml_threadpool_params_default(threads_of_lane(engine));
    lane->threadpool = new_pool(&params);
    if (lane->threadpool) llama_attach_threadpool(lane->context, lane->threadpool, NULL);
}

static int make_lanes(struct llama_engine *engine) {
    uint64_t n_ctx;
    int error = check_context(engine, &n_ctx), n_sequences = engine->base.facts.n_sequences;
    if (error < 0) return error;
    engine->lanes = calloc((size_t)engine->n_lanes, sizeof *engine->lanes);
    if (!engine->lanes) {
        llama_say(engine, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    for (int l = 0; l < engine->n_lanes && error == ENGINE_OK; l++) {
        struct lane *lane = &engine->lanes[l];
        int first = l * n_sequences / engine->n_lanes, end = (l + 1) * n_sequences / engine->n_lanes;
        *lane = (struct lane){.engine = engine, .first = first, .n = end - first};
        error = make_context(engine, lane, n_ctx);
        if (error == ENGINE_OK) attach_threadpool(engine, lane);
    }
    return error;
}

/* Only where a row for a guess is free. Errors: NO_MEMORY. */
static int make_habits(struct llama_engine *engine) {
    if (engine->n_rows == 1 || engine->options.no_guesses) return ENGINE_OK;
    engine->habits = habits_new();
    if (engine->habits) return ENGINE_OK;
    llama_say(engine, "not enough memory for the engine");
    return ENGINE_E_NO_MEMORY;
}

/* Copying between sequences moves the caches' whole buffers, about four bytes in the time of a multiplication; evaluating a
 * token takes a multiplication and an addition for each parameter. */
static int32_t copy_least(const struct llama_engine *engine) {
    double n_tokens = cache_bytes(engine->model, engine->base.facts.n_ctx) / 4 / (double)engine->base.facts.n_parameters;
    return n_tokens < COPY_LEAST ? COPY_LEAST : n_tokens > INT32_MAX / 2 ? INT32_MAX / 2 : (int32_t)n_tokens;
}

static void decide_about_cells(struct llama_engine *engine) {
    engine->can_rewind = can_rewind(engine->model);
    engine->can_reuse = engine->can_rewind && !engine->options.is_repeatable;
    engine->copy_least = copy_least(engine);
    engine->can_shift = engine->options.context_shift && engine->can_rewind &&
                        llama_memory_can_shift(llama_get_memory(engine->lanes[0].context));
    if (engine->options.context_shift && !engine->can_shift)
        llama_log(engine, 1, "this model's cells cannot be moved: a full context ends the answer");
    if (engine->options.n_guesses > 0 && !engine->can_rewind)
        llama_log(engine, 1, "this model cannot take guesses back: there will be none");
}

/* ---- what engine.c calls ------------------------------------------------------------------------------------------- */

int model_load(struct llama_engine *engine) {
    int error = check_file(engine);
    if (error == ENGINE_OK) error = ensure_backends(engine);
    return error < 0 ? error : load_weights(engine);
}

int model_check(struct llama_engine *engine) {
    int error = ensure_backends(engine); /* first: what is said about the file then leaves nothing else open */
    if (error == ENGINE_OK) error = check_file(engine);
    if (error < 0) return error;
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    engine->model = llama_model_load_from_file(engine->model_file, params);
    return engine->model ? ENGINE_OK : say_damaged(engine);
}

/* The library's description. It knows the usual sizes by name, and calls the others "?B": those get their number. */
static void describe(const struct llama_model *model, char *text, size_t size) {
    char words[sizeof((engine_model_facts *)0)->description];
    double n_parameters = (double)llama_model_n_params(model);
    llama_model_desc(model, words, sizeof words);
    char *unknown = strstr(words, "?B");
    if (!unknown) {
        snprintf(text, size, "%s", words);
        return;
    }
    *unknown = 0;
    double unit = n_parameters < 1e9 ? 1e6 : 1e9;
    snprintf(text, size, "%.64s%.3g%s%.32s", words, n_parameters / unit, unit < 1e9 ? "M" : "B", unknown + 2);
}

int model_context(struct llama_engine *engine) {
    engine_model_facts *facts = &engine->base.facts;
    engine->n_rows = model_is_small(engine->model) && can_rewind(engine->model) ? 2 : 1;
    facts->n_sequences = engine->options.n_sequences > 0 ? engine->options.n_sequences : default_sequences(engine);
    choose_threads(engine);
    int error = make_lanes(engine);
    if (error < 0 || (error = make_habits(engine)) < 0) return error;
    const struct llama_context *context = engine->lanes[0].context;
    engine->slice_limit = (int32_t)llama_n_ubatch(context); /* less than asked for if the context is smaller */
    if (engine->slice_limit > SLICE_MOST) engine->slice_limit = SLICE_MOST;
    facts->n_progress = facts->n_sequences + steps_guesses_most(engine);
    facts->n_ctx = llama_n_ctx_seq(context);
    facts->n_ctx_trained = (uint32_t)llama_model_n_ctx_train(engine->model);
    facts->n_vocab = llama_vocab_n_tokens(engine->vocab);
    facts->n_parameters = llama_model_n_params(engine->model);
    facts->n_bytes = llama_model_size(engine->model);
    describe(engine->model, facts->description, sizeof facts->description);
    decide_about_cells(engine);
    return ENGINE_OK;
}
