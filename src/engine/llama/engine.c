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
    /* The library's information is our debugging. Its errors are reported once, by whoever gives up because of them; but what a
     * device's driver says may be the last that is heard of it. */
    bool is_of_device = level == GGML_LOG_LEVEL_ERROR && engine->has_devices;
    llama_log(engine, is_of_device ? 1 : level == GGML_LOG_LEVEL_WARN ? 2 : 3, line);
}

static void discard_log(enum ggml_log_level level, const char *text, void *user_data) {
    (void)level, (void)text, (void)user_data;
}

/* Called by the library between the nodes of a graph: true abandons the evaluation. */
static bool abandon_evaluation(void *user_data) {
    const struct llama_engine *engine = user_data;
    return engine_is_interrupted(&engine->options.callbacks);
}

/* ---- admitting ----------------------------------------------------------------------------------------------------- */

/* An error is told as that of the request. */
static int refuse(struct llama_engine *engine, int error, struct sequence *answer) {
    if (error == ENGINE_E_NO_MEMORY) llama_say(engine, "not enough memory for a request");
    prepare_release(answer);
    return error;
}

/* One at least is free. */
static struct sequence *free_sequence(struct llama_engine *engine) {
    struct sequence *sequence = engine->sequences;
    while (sequence->is_running) sequence++;
    return sequence;
}

static int llama_engine_admit(engine *base, const engine_request *request, int *result) {
    struct llama_engine *engine = (struct llama_engine *)base;
    struct sequence answer = {.admitted_ns = plat_clock_ns()};
    if (engine->n_running == base->facts.n_sequences) {
        llama_say(engine, "all %d sequences are in use", base->facts.n_sequences);
        return ENGINE_E_BUSY;
    }
    if (!model_is_whole(engine)) return ENGINE_E_EVALUATION;
    if (!prepare_fits(engine, request)) return ENGINE_E_TOO_LONG;
    if (prepare_is_quick(request)) {
        int error = prepare_answer(engine, &answer, request);
        if (error < 0) return refuse(engine, error, &answer);
        memory_settle(engine, &answer);
    } else if (!(answer.preparing = prepare_begin(engine, request))) {
        return refuse(engine, ENGINE_E_NO_MEMORY, &answer);
    }
    answer.is_running = true;
    struct sequence *sequence = free_sequence(engine);
    *sequence = answer;
    engine->n_running++;
    *result = (int)(sequence - engine->sequences);
    return ENGINE_OK;
}

static int llama_engine_render(engine *base, const engine_request *request, char **json) {
    return conversation_show((struct llama_engine *)base, request, json);
}

static int llama_engine_save_state(engine *base, const engine_request *request, const char *path, char **json) {
    return state_save((struct llama_engine *)base, request, path, json);
}

static int llama_engine_restore_state(engine *base, const char *path, char **json) {
    return state_restore((struct llama_engine *)base, path, json);
}

/* ---- stepping and cancelling --------------------------------------------------------------------------------------- */

static size_t llama_engine_step(engine *base, engine_progress *progress) {
    struct llama_engine *engine = (struct llama_engine *)base;
    size_t n_entries = engine->n_running > 0 ? steps_step(engine, progress) : 0;
    for (size_t i = 0; i < n_entries; i++) {
        if (progress[i].end == ENGINE_END_NONE) continue;
        struct sequence *sequence = &engine->sequences[progress[i].sequence];
        if (!sequence->preparing && !sequence->is_unsettled) engine->cells[sequence->place].is_busy = false;
        prepare_release(sequence);
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
    engine->checkpoints = calloc(n_sequences, sizeof *engine->checkpoints);
    engine->texts = calloc((size_t)facts->n_progress, sizeof *engine->texts);
    engine->messages = calloc(n_sequences, sizeof *engine->messages);
    if (!engine->piece || !engine->sequences || !engine->cells || !engine->checkpoints || !engine->texts || !engine->messages) return false;
    for (size_t s = 0; s < n_sequences; s++) {
        engine->cells[s].tokens = malloc(facts->n_ctx * sizeof *engine->cells[s].tokens);
        if (!engine->cells[s].tokens) return false;
    }
    return true;
}

static int open_parts(struct llama_engine *engine) {
    int error = model_load(engine);
    if (error < 0 || (error = conversation_open(engine)) < 0 || (error = model_context(engine)) < 0) return error;
    /* Only from here on: an abort while the library reserves its memory would look like a failure to get it. */
    llama_set_abort_callback(engine->context, abandon_evaluation, engine);
    if (!allocate_parts(engine)) {
        llama_say(engine, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    if ((error = vocabulary_open(engine)) < 0) return error;
    if (engine->options.usual && (error = prepare_check_sampling(engine, engine->options.usual)) < 0) return error;
    return steps_warm_up(engine);
}

static void llama_engine_close(engine *base) {
    struct llama_engine *engine = (struct llama_engine *)base;
    for (int s = 0; engine->sequences && s < base->facts.n_sequences; s++) prepare_release(&engine->sequences[s]);
    for (int s = 0; engine->cells && s < base->facts.n_sequences; s++) free(engine->cells[s].tokens);
    for (int i = 0; engine->texts && i < base->facts.n_progress; i++) free(engine->texts[i].bytes);
    for (int i = 0; engine->texts && i < base->facts.n_progress; i++) answer_output_free(engine->texts[i].output);
    prepare_close(engine);
    free(engine->sequences);
    free(engine->texts);
    free(engine->messages);
    memory_close(engine);
    vocabulary_close(engine);
    chat_close(engine->chat);
    model_close(engine);
    free(engine->cells);
    llama_backend_free();
    llama_log_set(discard_log, NULL);
    free(engine->piece);
    free(engine->path);
    pthread_mutex_destroy(&engine->log_lock);
    free(engine);
}

static const engine_operations operations = {
    .admit = llama_engine_admit,
    .render = llama_engine_render,
    .save_state = llama_engine_save_state,
    .restore_state = llama_engine_restore_state,
    .step = llama_engine_step,
    .next_step_ns = llama_engine_next_step_ns,
    .cancel = llama_engine_cancel,
    .close = llama_engine_close,
};

static struct llama_engine *new_engine(const llama_engine_options *options) {
    struct llama_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return NULL;
    pthread_mutex_init(&engine->log_lock, NULL);
    engine->base.operations = &operations;
    engine->options = *options;
    engine->options.model_path = engine->path = strdup(options->model_path);
    engine->last_per_mille = -1;
    if (engine->path) return engine;
    free(engine);
    return NULL;
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
