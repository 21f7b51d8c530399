/* engine.c - the engine on libllama, as engine.h wants it: opening, admitting, cancelling, closing. See internal.h. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void llama_say(struct llama_engine *engine, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(engine->base.message, sizeof engine->base.message, format, arguments);
    va_end(arguments);
}

void llama_log(const struct llama_engine *engine, int level, const char *line) {
    const engine_callbacks *callbacks = &engine->options.callbacks;
    if (callbacks->on_log) callbacks->on_log(callbacks->user_data, level, line);
}

const char *llama_reason(const struct llama_engine *engine) {
    return engine->library_error[0] ? engine->library_error : "the library gives no reason";
}

/* ---- the library's callbacks --------------------------------------------------------------------------------------- */

static void on_library_log(enum ggml_log_level level, const char *text, void *user_data) {
    struct llama_engine *engine = user_data;
    if (level == GGML_LOG_LEVEL_CONT || level == GGML_LOG_LEVEL_NONE) return; /* dots of a progress line */
    char line[ENGINE_MESSAGE_SIZE];
    snprintf(line, sizeof line, "%s", text);
    line[strcspn(line, "\n")] = 0;
    if (line[0] == 0) return;
    pthread_mutex_lock(&engine->log_lock);
    if (level == GGML_LOG_LEVEL_ERROR && engine->library_error[0] == 0)
        memcpy(engine->library_error, line, sizeof line);
    pthread_mutex_unlock(&engine->log_lock);
    /* The library's information is our debugging. Its errors are reported once, by whoever gives up because of them. */
    llama_log(engine, level == GGML_LOG_LEVEL_WARN ? 2 : 3, line);
}

static void discard_log(enum ggml_log_level level, const char *text, void *user_data) {
    (void)level, (void)text, (void)user_data;
}

/* Called by the library between the nodes of a graph: true abandons the evaluation. The nodes of a few rows of a small model
 * take a microsecond each, less than the question. */
static bool abandon_evaluation(void *user_data) {
    struct lane *lane = user_data;
    enum { FEW_ROWS = 32, EACH = 64 };
    bool is_quick = model_is_small(lane->engine->model) && lane->batch.n_tokens <= FEW_ROWS;
    if (is_quick && lane->n_questions++ % EACH != 0) return false;
    return engine_is_interrupted(&lane->engine->options.callbacks);
}

/* ---- admitting ----------------------------------------------------------------------------------------------------- */

/* NULL if memory ran out. */
static sampler *make_sampler(const struct llama_engine *engine, const engine_sampling *sampling) {
    int32_t n_vocab = engine->base.facts.n_vocab;
    sampler *made = sampler_new(sampling, n_vocab, sampler_window(sampling, engine->base.facts.n_ctx));
    for (llama_token token = 0; made && sampling->ignore_eos && token < n_vocab; token++)
        if (llama_vocab_is_eog(engine->vocab, token)) sampler_forbid(made, token);
    return made;
}

/* Fills sequence->grammar: the request's, or that of its schema and tools. Errors: GRAMMAR, NO_MEMORY. */
static int make_grammar(struct llama_engine *engine, struct sequence *sequence, const char *text) {
    char reason[256] = "";
    const char *prefix;
    bool is_lazy, is_given = text && text[0];
    const char *own = answer_reader_grammar(sequence->reader, &is_lazy, &prefix);
    if (is_given && own) {
        llama_say(engine, "a grammar cannot be joined with a schema or with tools; leave one of them out");
        return ENGINE_E_GRAMMAR;
    }
    if (!is_given && (!own || is_lazy)) return ENGINE_OK;
    sequence->grammar = grammar_new(is_given ? text : own, reason, sizeof reason);
    if (sequence->grammar && (is_given || prefix[0] == 0)) return ENGINE_OK;
    if (sequence->grammar && grammar_fits(sequence->grammar, prefix, strlen(prefix))) {
        grammar_accept(sequence->grammar, prefix, strlen(prefix));
        return ENGINE_OK;
    }
    llama_say(engine, "the grammar cannot be used: %s", sequence->grammar ? "the prompt's end does not fit it" : reason);
    return ENGINE_E_GRAMMAR;
}

/* Errors: DOCUMENT. */
static int make_reader(struct llama_engine *engine, struct sequence *sequence) {
    sequence->reader = answer_reader_new(sequence->rendered, engine->base.message, sizeof engine->base.message);
    return sequence->reader ? ENGINE_OK : ENGINE_E_DOCUMENT;
}

/* Fills sequence->resumed; the prompt is known. Errors: RESUMED, NO_MEMORY. */
static int copy_resumed(struct llama_engine *engine, struct sequence *sequence, const engine_request *request) {
    size_t n_resumed = request->n_resumed;
    int error = engine_check_resumed(&engine->base, request, sequence->n_prompt, engine->can_shift);
    if (error < 0 || n_resumed == 0) return error;
    for (size_t i = 0; i < n_resumed; i++) {
        llama_token token = request->resumed[i];
        bool is_known = token >= 0 && token < engine->base.facts.n_vocab;
        if (is_known && !llama_vocab_is_eog(engine->vocab, token)) continue;
        llama_say(engine, "token %zu of those that the answer already has is %d, which %s; resume with the model that "
                  "made them", i, token, is_known ? "ends an answer" : "is not in the vocabulary");
        return ENGINE_E_RESUMED;
    }
    sequence->resumed = malloc(n_resumed * sizeof *sequence->resumed);
    if (!sequence->resumed) return ENGINE_E_NO_MEMORY;
    memcpy(sequence->resumed, request->resumed, n_resumed * sizeof *sequence->resumed);
    sequence->n_resumed = (int32_t)n_resumed;
    return ENGINE_OK;
}

static void release_answer(struct sequence *sequence) {
    sampler_free(sequence->sampler);
    grammar_free(sequence->grammar);
    answer_reader_free(sequence->reader);
    chat_prompt_free(sequence->rendered);
    free(sequence->prompt);
    free(sequence->resumed);
    *sequence = (struct sequence){0};
}

/* Makes an answer of the request. On error it may be half filled in. */
static int begin_answer(struct llama_engine *engine, struct sequence *answer, const engine_request *request) {
    int error = conversation_tokenise(engine, answer, request);
    if (error < 0 || (error = make_reader(engine, answer)) < 0) return error;
    if ((error = make_grammar(engine, answer, request->grammar)) < 0) return error;
    if ((error = copy_resumed(engine, answer, request)) < 0) return error;
    answer->sampler = make_sampler(engine, &request->sampling);
    if (!answer->sampler) return ENGINE_E_NO_MEMORY;
    sampler_accept(answer->sampler, answer->prompt, (size_t)answer->n_prompt); /* the penalties count it */
    answer->n_predict = request->n_predict;
    answer->wants_logprobs = request->wants_logprobs;
    answer->n_guesses = lookup_next(0, 0, engine->options.n_guesses);
    return ENGINE_OK;
}

/* Where the answer is made; what is there already of its prompt stays. At least one token is evaluated: its logits are
 * needed. */
static int settle(struct llama_engine *engine, struct sequence *answer) {
    int number = cells_choose(engine->cells, engine->base.facts.n_sequences, answer->prompt, answer->n_prompt - 1);
    cells *cells = &engine->cells[number];
    cells->n = engine->can_reuse ? cells_common(cells, answer->prompt, answer->n_prompt - 1) : 0;
    cells->is_busy = true;
    cells->used = ++engine->n_turns;
    lanes_rewind(engine, number);
    answer->n_prompt_done = answer->n_cached = cells->n;
    return number;
}

static int llama_engine_admit(engine *base, const engine_request *request, int *result) {
    struct llama_engine *engine = (struct llama_engine *)base;
    uint64_t admitted_ns = plat_clock_ns();
    if (engine->n_running == base->facts.n_sequences) {
        llama_say(engine, "all %d sequences are in use", base->facts.n_sequences);
        return ENGINE_E_BUSY;
    }
    struct sequence answer = {0};
    int error = begin_answer(engine, &answer, request);
    if (error < 0) {
        if (error == ENGINE_E_NO_MEMORY) llama_say(engine, "not enough memory for a request");
        release_answer(&answer);
        return error;
    }
    int number = settle(engine, &answer);
    answer.admitted_ns = admitted_ns;
    answer.waits_since = engine->n_turns++;
    answer.is_running = true;
    engine->sequences[number] = answer;
    engine->n_running++;
    *result = number;
    return ENGINE_OK;
}

static int llama_engine_render(engine *base, const engine_request *request, char **json) {
    return conversation_show((struct llama_engine *)base, request, json);
}

/* ---- stepping and cancelling --------------------------------------------------------------------------------------- */

static size_t llama_engine_step(engine *base, engine_progress *progress) {
    struct llama_engine *engine = (struct llama_engine *)base;
    size_t n_entries = engine->n_running > 0 ? steps_step(engine, progress) : 0;
    for (size_t i = 0; i < n_entries; i++) {
        int number = progress[i].sequence;
        if (progress[i].end == ENGINE_END_NONE) continue;
        release_answer(&engine->sequences[number]);
        engine->cells[number].is_busy = false;
    }
    return n_entries;
}

static uint64_t llama_engine_next_step_ns(const engine *base) {
    return ((const struct llama_engine *)base)->n_running > 0 ? 0 : UINT64_MAX;
}

static void llama_engine_cancel(engine *base, int number) {
    struct llama_engine *engine = (struct llama_engine *)base;
    if (number < 0 || number >= base->facts.n_sequences || !engine->sequences[number].is_running) return;
    engine->sequences[number].is_cancelled = true;
}

/* ---- opening and closing ------------------------------------------------------------------------------------------- */

static bool allocate_parts(struct llama_engine *engine) {
    const engine_model_facts *facts = &engine->base.facts;
    size_t n_sequences = (size_t)facts->n_sequences;
    engine->piece_size = PIECE_SIZE;
    engine->piece = malloc(PIECE_SIZE);
    engine->sequences = calloc(n_sequences, sizeof *engine->sequences);
    engine->cells = calloc(n_sequences, sizeof *engine->cells);
    engine->texts = calloc((size_t)facts->n_progress, sizeof *engine->texts);
    if (!engine->piece || !engine->sequences || !engine->cells || !engine->texts) return false;
    for (size_t s = 0; s < n_sequences; s++) {
        engine->cells[s].tokens = malloc(facts->n_ctx * sizeof *engine->cells[s].tokens);
        if (!engine->cells[s].tokens) return false;
    }
    for (int l = 0; l < engine->n_lanes; l++)
        for (int s = 0; s < engine->lanes[l].n; s++) engine->cells[engine->lanes[l].first + s].lane = l;
    return true;
}

static int open_parts(struct llama_engine *engine) {
    int error = model_load(engine);
    if (error < 0 || (error = conversation_open(engine)) < 0 || (error = model_context(engine)) < 0) return error;
    /* Only from here on: an abort while the library reserves its memory would look like a failure to get it. */
    for (int l = 0; l < engine->n_lanes; l++)
        llama_set_abort_callback(engine->lanes[l].context, abandon_evaluation, &engine->lanes[l]);
    if (!allocate_parts(engine)) {
        llama_say(engine, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    if ((error = lanes_start(engine)) < 0) return error;
    warm_up(engine);
    return ENGINE_OK;
}

static void llama_engine_close(engine *base) {
    struct llama_engine *engine = (struct llama_engine *)base;
    for (int s = 0; engine->sequences && s < base->facts.n_sequences; s++) release_answer(&engine->sequences[s]);
    for (int s = 0; engine->cells && s < base->facts.n_sequences; s++) free(engine->cells[s].tokens);
    for (int i = 0; engine->texts && i < base->facts.n_progress; i++) free(engine->texts[i].bytes);
    for (int i = 0; engine->texts && i < base->facts.n_progress; i++) answer_output_free(engine->texts[i].output);
    free(engine->sequences);
    free(engine->cells);
    free(engine->texts);
    if (engine->lanes) lanes_close(engine);
    habits_free(engine->habits);
    chat_close(engine->chat);
    if (engine->model) llama_model_free(engine->model);
    llama_backend_free();
    llama_log_set(discard_log, NULL);
    free(engine->piece);
    pthread_mutex_destroy(&engine->log_lock);
    free(engine);
}

static const engine_operations operations = {
    .admit = llama_engine_admit,
    .render = llama_engine_render,
    .step = llama_engine_step,
    .next_step_ns = llama_engine_next_step_ns,
    .cancel = llama_engine_cancel,
    .close = llama_engine_close,
};

static struct llama_engine *new_engine(const llama_engine_options *options) {
    struct llama_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return NULL;
    engine->base.operations = &operations;
    engine->options = *options;
    engine->last_per_mille = -1;
    pthread_mutex_init(&engine->log_lock, NULL);
    return engine;
}

int llama_engine_open(const llama_engine_options *options, engine **result, char *message, size_t message_size) {
    *result = NULL;
    struct llama_engine *engine = new_engine(options);
    if (!engine) {
        snprintf(message, message_size, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    llama_log_set(on_library_log, engine);
    int error = open_parts(engine);
    if (error < 0) {
        snprintf(message, message_size, "%s", engine->base.message);
        llama_engine_close(&engine->base);
        return error;
    }
    *result = &engine->base;
    return ENGINE_OK;
}

int llama_engine_check(const llama_engine_options *options, char *message, size_t message_size) {
    struct llama_engine *engine = new_engine(options);
    snprintf(message, message_size, "not enough memory for the engine");
    if (!engine) return ENGINE_E_NO_MEMORY;
    ggml_log_callback log_before; /* of an engine that is open */
    void *log_user_data;
    llama_log_get(&log_before, &log_user_data);
    llama_log_set(on_library_log, engine);
    int error = model_check(engine);
    snprintf(message, message_size, "%s", engine->base.message);
    llama_engine_close(&engine->base);
    llama_log_set(log_before, log_user_data);
    return error;
}

const char *llama_engine_library_version(void) {
    return llama_version();
}
