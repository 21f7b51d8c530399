/* model.c - from a file to a context in which sequences can be evaluated. */
#define _GNU_SOURCE
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the caches of several answers may take together when nobody says how many there shall be. */
#define CACHES_DEFAULT_BYTES (512.0 * 1024 * 1024)
/* The library counts the context of a sequence in such pieces. */
#define CONTEXT_PIECE 256u
static int check_file(struct llama_engine *engine) {
    engine_find_file(engine->options.model_path, engine->model_file, sizeof engine->model_file);
    return engine_check_file(engine->options.model_path, engine->base.message, sizeof engine->base.message);
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

/* ---- what kind of model it is -------------------------------------------------------------------------------------- */

/* The text of a key of the model's architecture; false if it has none. */
static bool find_fact(const struct llama_model *model, const char *key, char *text, size_t size) {
    char architecture[64], name[128];
    if (llama_model_meta_val_str(model, "general.architecture", architecture, sizeof architecture) < 0) return false;
    snprintf(name, sizeof name, "%s.%s", architecture, key);
    return llama_model_meta_val_str(model, name, text, size) >= 0;
}

static double find_number(const struct llama_model *model, const char *key, double otherwise) {
    char text[64];
    return find_fact(model, key, text, sizeof text) ? strtod(text, NULL) : otherwise;
}

/* Why it cannot be asked for answers; NULL: it can. */
static const char *no_generator(const struct llama_model *model) {
    char text[64];
    if (llama_model_has_encoder(model)) return "it has an encoder, as models for translating have";
    if (llama_model_is_diffusion(model)) return "it is a diffusion model, which makes all tokens of a text at a time";
    if (!llama_model_has_decoder(model) || llama_vocab_n_tokens(llama_model_get_vocab(model)) == 0)
        return "it has no vocabulary to answer with";
    bool is_blind = find_fact(model, "attention.causal", text, sizeof text) && strcmp(text, "false") == 0;
    if (is_blind || find_number(model, "pooling_type", 0) > 0) return "it makes embeddings of texts, not texts";
    return NULL;
}

static int check_kind(struct llama_engine *engine) {
    const char *reason = no_generator(engine->model);
    if (!reason) return ENGINE_OK;
    llama_say(engine, "the model '%s' does not generate text: %s; give another", engine->options.model_path, reason);
    return ENGINE_E_MODEL_BAD;
}

/* ---- what its publisher recommends --------------------------------------------------------------------------------- */

static const struct {
    enum llama_model_meta_key key;
    const char *name;
} recommendations[] = {
    {LLAMA_MODEL_META_KEY_SAMPLING_TOP_K, "top_k"},
    {LLAMA_MODEL_META_KEY_SAMPLING_TOP_P, "top_p"},
    {LLAMA_MODEL_META_KEY_SAMPLING_MIN_P, "min_p"},
    {LLAMA_MODEL_META_KEY_SAMPLING_XTC_PROBABILITY, "xtc_probability"},
    {LLAMA_MODEL_META_KEY_SAMPLING_XTC_THRESHOLD, "xtc_threshold"},
    {LLAMA_MODEL_META_KEY_SAMPLING_TEMP, "temperature"},
    {LLAMA_MODEL_META_KEY_SAMPLING_PENALTY_LAST_N, "repeat_last_n"},
    {LLAMA_MODEL_META_KEY_SAMPLING_PENALTY_REPEAT, "repeat_penalty"},
    {LLAMA_MODEL_META_KEY_SAMPLING_MIROSTAT, "mirostat"},
    {LLAMA_MODEL_META_KEY_SAMPLING_MIROSTAT_TAU, "mirostat_tau"},
    {LLAMA_MODEL_META_KEY_SAMPLING_MIROSTAT_ETA, "mirostat_eta"},
    {LLAMA_MODEL_META_KEY_SAMPLING_SEQUENCE, "samplers"},
};

/* Values that make no sense count as not given. */
static void read_recommendations(struct llama_engine *engine) {
    char line[ENGINE_MESSAGE_SIZE], reason[ENGINE_MESSAGE_SIZE];
    engine_sampling *sampling = &engine->recommended;
    sampling_init(sampling);
    for (size_t i = 0; i < sizeof recommendations / sizeof recommendations[0]; i++) {
        char *value = engine->recommended_order; /* the only text is the last one */
        const char *key = llama_model_meta_key_str(recommendations[i].key);
        if (llama_model_meta_val_str(engine->model, key, value, sizeof engine->recommended_order) < 0) continue;
        bool is_good = sampling_set(sampling, recommendations[i].name, value);
        snprintf(line, sizeof line, "the model's file %s %s=%.256s", is_good ? "recommends" : "has a value that is ignored:",
                 recommendations[i].name, value);
        llama_log(engine, is_good ? 2 : 1, line);
    }
    sampling_complete(sampling);
    chain *trial = sampling->samplers ? chain_new(engine->model, sampling, CONTEXT_PIECE, reason, sizeof reason) : NULL;
    if (sampling->samplers && !trial) {
        llama_log(engine, 1, reason);
        sampling->samplers = NULL;
    }
    chain_free(trial);
}

/* ---- the context --------------------------------------------------------------------------------------------------- */

/* Bytes of the key-value cache at 16 bits: for each token, layer and key-value head one key and one value. Models with
 * sliding windows or recurrent layers need less. */
static double cache_bytes(const struct llama_model *model, uint64_t n_ctx) {
    double head = (double)llama_model_n_embd(model) / (double)llama_model_n_head(model);
    double values = find_number(model, "attention.key_length", head) + find_number(model, "attention.value_length", head);
    return 2.0 * (double)n_ctx * (double)llama_model_n_layer(model) * (double)llama_model_n_head_kv(model) * values;
}

/* Whether cells can be given back one by one. Recurrent layers keep one state for all tokens. */
static bool can_rewind(const struct llama_model *model) {
    return !llama_model_is_recurrent(model) && !llama_model_is_hybrid(model);
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

/* Errors: CONTEXT. *n_ctx is what a sequence gets. */
static int check_context(struct llama_engine *engine, uint64_t *n_ctx) {
    uint32_t n_sequences = (uint32_t)engine->base.facts.n_sequences;
    size_t n_limit = llama_max_parallel_sequences(), n_batch = engine->options.n_batch > 0 ? (size_t)engine->options.n_batch : BATCH_DEFAULT;
    if (n_limit > n_batch) n_limit = n_batch; /* a row of each fits into a batch */
    if (n_sequences > n_limit) {
        llama_say(engine, "%u answers at a time are too many: the library and a batch of %zu tokens allow %zu", n_sequences, n_batch, n_limit);
        return ENGINE_E_CONTEXT;
    }
    *n_ctx = choose_context(engine);
    if (*n_ctx * n_sequences <= UINT32_MAX - CONTEXT_PIECE) return ENGINE_OK;
    llama_say(engine, "%u contexts of %llu tokens are more than the library can count; give a smaller one with -c N",
        n_sequences, (unsigned long long)*n_ctx);
    return ENGINE_E_CONTEXT;
}

struct llama_context_params model_context_params(const struct llama_engine *engine, uint64_t n_ctx, uint32_t n_sequences) {
    const llama_engine_options *options = &engine->options;
    struct llama_context_params params = arguments_context(options->arguments);
    params.n_ctx = (uint32_t)n_ctx * n_sequences;
    params.n_batch = options->n_batch > 0 ? (uint32_t)options->n_batch : BATCH_DEFAULT;
    params.n_ubatch = options->n_ubatch > 0 ? (uint32_t)options->n_ubatch : UBATCH_DEFAULT;
    params.n_seq_max = n_sequences;
    /* With a cache for all sequences, rows of several go through the weights together however many each has. With caches of
     * their own nothing of one sequence depends on what another one has there. */
    params.kv_unified = !options->is_repeatable;
    /* Logits of last tokens and drafted ones only: saves vocabulary x batch floats. */
    params.n_outputs_max = n_sequences * (1 + (uint32_t)engine->n_draft);
    params.n_threads = engine->base.facts.n_threads > 0 ? engine->base.facts.n_threads : 1; /* not known yet while layers are fitted */
    params.n_threads_batch = engine->n_prompt_threads > 0 ? engine->n_prompt_threads : 1;
    params.no_perf = true;
    return params;
}

static bool may_draft_on_devices(const struct llama_engine *engine) {
    return engine->has_devices && engine->options.device_layers_most != 0;
}

/* The library reserves its memory, and gets it when it writes there: then it is too late. Measuring takes as long as reading the
 * model's header, so what is far from any limit is not measured. Errors: CONTEXT. */
static int check_room(struct llama_engine *engine, const struct llama_context_params *params) {
    char reason[ENGINE_MESSAGE_SIZE / 2];
    uint64_t available = plat_memory_available_bytes();
    bool has_draft_model = engine->n_draft > 0 && drafter_model(engine->options.arguments);
    draft_place draft = !has_draft_model ? DRAFT_NONE : may_draft_on_devices(engine) ? DRAFT_ON_DEVICES : DRAFT_BY_PROCESSOR;
    bool is_small = available > 0 && 4 * cache_bytes(engine->model, params->n_ctx) < (double)available;
    if (is_small && !has_draft_model && devices_count_layers(engine) == 0) return ENGINE_OK;
    if (arguments_have_room(engine->options.arguments, engine->model_file, &engine->model_params, params, draft, available, reason,
                            sizeof reason))
        return ENGINE_OK;
    llama_say(engine, "a context of %u tokens does not fit: %s; give a smaller one with -c N, fewer answers at a time with -np N, or a "
                      "smaller cache with -ctk q8_0 -ctv q8_0%s", params->n_ctx, reason, has_draft_model ? ", or no draft model" : "");
    return ENGINE_E_CONTEXT;
}

static int load_weights(struct llama_engine *engine) {
    devices_choose_layers(engine);
    engine->model_params.progress_callback = on_model_progress;
    engine->model_params.progress_callback_user_data = engine;
    do {
        engine->model = llama_model_load_from_file(engine->model_file, engine->model_params);
    } while (!engine->model && devices_give_up(engine));
    if (engine->model) {
        int error = check_kind(engine);
        engine->vocab = llama_model_get_vocab(engine->model);
        if (error == ENGINE_OK) read_recommendations(engine);
        return error;
    }
    if (engine_is_interrupted(&engine->options.callbacks)) {
        llama_say(engine, "loading was interrupted");
        return ENGINE_E_ABORTED;
    }
    return say_damaged(engine);
}

static int make_context(struct llama_engine *engine, uint64_t n_ctx) {
    struct llama_context_params params = model_context_params(engine, n_ctx, (uint32_t)engine->base.facts.n_sequences);
    int error = check_room(engine, &params);
    if (error < 0) return error;
    engine->context = llama_init_from_model(engine->model, params);
    if (engine->context) {
        devices_fill_in_facts(engine, &params);
        return ENGINE_OK;
    }
    llama_say(engine, "a context of %u tokens does not fit: %s; give a smaller one with -c N", params.n_ctx,
        llama_reason(engine));
    return ENGINE_E_CONTEXT;
}

/* Drafted tokens of an answer, at most: so many that a row of each fits into a batch. */
static int32_t choose_drafts(struct llama_engine *engine) {
    int32_t n = drafter_most(engine->options.arguments), n_batch = engine->options.n_batch > 0 ? engine->options.n_batch : BATCH_DEFAULT;
    int32_t n_room = n_batch / engine->base.facts.n_sequences - 1;
    bool is_repeatable = engine->options.is_repeatable;
    engine->can_rewind = can_rewind(engine->model);
    if (llama_model_n_layer_nextn(engine->model) > 0)
        llama_log(engine, 2, "the model has heads of its own for drafts (MTP), which are not used: they are not supported here");
    if (n > 0 && !engine->can_rewind) llama_log(engine, 1, "this model cannot take drafted tokens back: there will be none");
    if (n > 0 && is_repeatable) llama_log(engine, 1, "with --repeatable there are no drafts: each token is evaluated alone");
    if (n_room < 0) n_room = 0;
    return !engine->can_rewind || is_repeatable ? 0 : n < n_room ? n : n_room;
}

/* Errors: MODEL_MISSING, MODEL_BAD, ABORTED. */
static int open_drafter(struct llama_engine *engine, uint64_t n_ctx) {
    const char *path = drafter_model(engine->options.arguments);
    if (engine->n_draft == 0) return ENGINE_OK;
    int error = path ? engine_check_file(path, engine->base.message, sizeof engine->base.message) : ENGINE_OK;
    if (error < 0) return error;
    struct llama_context_params params = model_context_params(engine, n_ctx, (uint32_t)engine->base.facts.n_sequences);
    engine->drafter = drafter_new(engine->options.arguments, engine->context, &params, may_draft_on_devices(engine), on_model_progress,
                                  engine, engine->base.message, sizeof engine->base.message);
    if (engine->drafter) {
        devices_count_draft(engine);
        return ENGINE_OK;
    }
    if (!engine_is_interrupted(&engine->options.callbacks)) return ENGINE_E_MODEL_BAD;
    llama_say(engine, "loading was interrupted");
    return ENGINE_E_ABORTED;
}

static bool can_move_cells(struct llama_context *context) {
    return !context || llama_memory_can_shift(llama_get_memory(context));
}

static void decide_about_cells(struct llama_engine *engine) {
    engine->can_shift = engine->options.context_shift && engine->can_rewind && can_move_cells(engine->context) &&
                        can_move_cells(engine->drafter ? drafter_context(engine->drafter) : NULL);
    if (engine->options.context_shift && !engine->can_shift)
        llama_log(engine, 1, "this model's cells cannot be moved: a full context ends the answer");
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

static void fill_in_facts(struct llama_engine *engine, uint64_t n_ctx) {
    engine_model_facts *facts = &engine->base.facts;
    facts->n_ctx = (uint32_t)n_ctx;
    facts->n_ctx_trained = (uint32_t)llama_model_n_ctx_train(engine->model);
    facts->n_vocab = llama_vocab_n_tokens(engine->vocab);
    facts->n_parameters = llama_model_n_params(engine->model);
    facts->n_bytes = llama_model_size(engine->model);
    for (llama_token token = 0; token < facts->n_vocab; token++) {
        size_t n_bytes = strlen(llama_vocab_get_text(engine->vocab, token));
        if (n_bytes > engine->longest_piece) engine->longest_piece = n_bytes;
    }
    /* A batch of tokens that answers already had, each with an entry of its own. */
    facts->n_progress = facts->n_sequences * (1 + engine->n_draft) + engine->n_batch;
    describe(engine->model, facts->description, sizeof facts->description);
}

/* ---- what engine.c calls ------------------------------------------------------------------------------------------- */

int model_load(struct llama_engine *engine) {
    int error = check_file(engine); /* first: nothing else may be opened, which could be a pipe */
    if (error < 0) return error;
    engine->file = engine_file_look(engine->model_file);
    engine->base.facts.file_sum = engine->file.sum;
    error = devices_open(engine);
    return error < 0 ? error : load_weights(engine);
}

int model_check(struct llama_engine *engine) {
    int error = devices_open(engine); /* first: what is said about the file then leaves nothing else open */
    if (error == ENGINE_OK) error = check_file(engine);
    if (error < 0) return error;
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    engine->model = llama_model_load_from_file(engine->model_file, params);
    return engine->model ? check_kind(engine) : say_damaged(engine);
}

int model_context(struct llama_engine *engine) {
    engine_model_facts *facts = &engine->base.facts;
    uint64_t n_ctx;
    facts->n_sequences = engine->options.n_sequences > 0 ? engine->options.n_sequences : default_sequences(engine);
    facts->n_threads = engine->options.n_threads > 0 ? engine->options.n_threads : plat_core_count();
    struct ggml_threadpool_params threads;
    arguments_threads(engine->options.arguments, facts->n_threads, true, &threads);
    engine->n_prompt_threads = threads.n_threads;
    engine->n_draft = choose_drafts(engine);
    int error = check_context(engine, &n_ctx);
    if (error < 0 || (error = make_context(engine, n_ctx)) < 0 || (error = adapters_load(engine)) < 0 ||
        (error = open_drafter(engine, n_ctx)) < 0) return error;
    pool_open(engine);
    engine->n_batch = (int32_t)llama_n_batch(engine->context); /* less than asked for if the context is smaller */
    engine->n_ubatch = (int32_t)llama_n_ubatch(engine->context);
    engine->batch = llama_batch_init(engine->n_batch, 0, 1);
    fill_in_facts(engine, n_ctx);
    decide_about_cells(engine);
    if (engine->batch.token && engine->batch.seq_id) return ENGINE_OK;
    llama_say(engine, "not enough memory for the engine");
    return ENGINE_E_NO_MEMORY;
}

bool model_is_whole(struct llama_engine *engine) {
    const char *path = engine->model_file;
    if (!engine_file_has_changed(path, &engine->file)) return true;
    llama_say(engine, "the model's file '%s' was changed while it was in use; load it anew, with 'llamaipc load' or a new host, and "
              "replace files of models rather than writing into them", path);
    return false;
}

void model_close(struct llama_engine *engine) {
    if (engine->batch.token) llama_batch_free(engine->batch);
    drafter_free(engine->drafter);
    if (engine->context) llama_free(engine->context);
    pool_close(engine);
    if (engine->model) llama_model_free(engine->model);
}
