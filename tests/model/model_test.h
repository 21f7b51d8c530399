/* model_test.h - the embedded model behind src/engine/engine.h: asking, stepping, and what became of each answer. */
#ifndef LIPC_TESTS_MODEL_TEST_H
#define LIPC_TESTS_MODEL_TEST_H

#include "../support/harness.h"

#include "engine/engine.h"
#include "engine/llama/common/arguments.h"
#include "engine/sampling.h"

#include <stdlib.h>
#include <string.h>

enum { N_SEQUENCES = 5, N_QUESTIONS = 8, MAX_ANSWER = 16384, MAX_TOKENS = 2048 };

static const char *const questions[N_QUESTIONS] = {
    "What is C++?", "Explain pointers in C++", "What is a semaphore?", "What is shared memory?",
    "Explain C++ pointers in detail", "What is a process?", "Your question here", "What is a language model?"};

typedef struct answer {
    char text[MAX_ANSWER];
    size_t n;
    float logprobs[MAX_TOKENS];
    int32_t tokens[MAX_TOKENS];
    size_t ends_at[MAX_TOKENS]; /* of each token: bytes of text up to its end */
    int n_tokens;
    int n_resumed; /* tokens reported as such; none may follow another */
    engine_end end;
    engine_progress last;
    int n_steps;
} answer;

static engine *model;
static engine_progress progress[2 * 2048 + N_SEQUENCES];
static answer answers[N_SEQUENCES];
static int interrupt_after = -1; /* questions of the library until `interrupted` says yes; negative: never */

static bool interrupted(void *user_data) {
    (void)user_data;
    if (interrupt_after > 0) interrupt_after--;
    return interrupt_after == 0;
}

static engine *open_with(llama_engine_options options) {
    char message[ENGINE_MESSAGE_SIZE], path[4096];
    engine *engine;
    options.callbacks.interrupted = interrupted;
    if (!options.model_path) options.model_path = test_model_path(path, "tutor.gguf");
    CHECK_SAY(llama_engine_open(&options, &engine, message, sizeof message) == 0, "%s", message);
    CHECK_INT(engine->facts.n_sequences, ==, options.n_sequences);
    return engine;
}

/* NULL: the embedded model, for which one thread is fastest. */
static inline engine *open_plain(const char *path, int n_sequences, uint32_t n_ctx) {
    return open_with(
        (llama_engine_options){.model_path = path, .n_ctx = n_ctx, .n_sequences = n_sequences, .n_threads = 1});
}

/* One that gives the same bytes, whatever is beside an answer, and also if it is resumed. */
static inline engine *open_repeatable(const char *path, int n_sequences, uint32_t n_ctx) {
    return open_with((llama_engine_options){
        .model_path = path, .n_ctx = n_ctx, .n_sequences = n_sequences, .n_threads = 1, .is_repeatable = true});
}

/* llama.cpp's own options for an engine, each with its value; NULL ends them. */
static inline arguments *options_of(const char *const *words) {
    char message[ENGINE_MESSAGE_SIZE];
    arguments *made = arguments_new();
    CHECK(made != NULL);
    for (int i = 0; words[i]; i += 2) {
        char *pair[] = {(char *)(uintptr_t)words[i], (char *)(uintptr_t)words[i + 1]};
        CHECK_SAY(arguments_take(made, 2, pair, message, sizeof message) == 2, "%s: %s", words[i], message);
    }
    return made;
}

static engine_request ask(const char *question) {
    static engine_message messages[N_SEQUENCES + 1];
    static size_t next;
    engine_message *message = &messages[next++ % (N_SEQUENCES + 1)];
    *message = (engine_message){"user", question};
    engine_request request = {.messages = message, .n_messages = 1, .n_predict = -1, .sampling = {.seed = 1}};
    sampling_init(&request.sampling);
    sampling_complete(&request.sampling);
    request.sampling.temperature = request.sampling.min_p = 0; /* always the likeliest token */
    return request;
}

static int admit(const engine_request *request) {
    int sequence = -1;
    CHECK_SAY(engine_admit(model, request, &sequence) == 0, "%s", model->message);
    CHECK(sequence >= 0 && sequence < model->facts.n_sequences);
    memset(&answers[sequence], 0, sizeof answers[sequence]);
    return sequence;
}

static size_t step(void) {
    size_t n_moved = engine_step(model, progress);
    for (size_t i = 0; i < n_moved; i++) {
        const engine_progress *entry = &progress[i];
        answer *answer = &answers[entry->sequence];
        CHECK_INT(answer->end, ==, ENGINE_END_NONE);
        CHECK(answer->n + entry->n_bytes < MAX_ANSWER && entry->n_tokens < MAX_TOKENS);
        CHECK(test_is_utf8(entry->text, entry->n_bytes));
        memcpy(answer->text + answer->n, entry->text, entry->n_bytes);
        answer->n += entry->n_bytes;
        if (entry->has_token) {
            answer->logprobs[entry->n_tokens - 1] = entry->logprob;
            answer->tokens[entry->n_tokens - 1] = entry->token;
            answer->ends_at[entry->n_tokens - 1] = answer->n;
            CHECK_INT(entry->n_tokens, ==, ++answer->n_tokens);
        }
        if (entry->is_resumed) CHECK_INT(++answer->n_resumed, ==, answer->n_tokens);
        answer->end = entry->end;
        answer->last = *entry;
        answer->n_steps++;
    }
    return n_moved;
}

static const answer *run(int sequence) {
    while (answers[sequence].end == ENGINE_END_NONE) step(); /* none moves on while the only prompt becomes tokens */
    return &answers[sequence];
}

static const answer *run_request(const engine_request *request) {
    return run(admit(request));
}

/* The caller frees it. */
static inline char *long_question(size_t n_words) {
    static const char word[] = "words ";
    char *text = malloc(n_words * (sizeof word - 1) + 1);
    CHECK(text != NULL);
    for (size_t i = 0; i < n_words; i++) memcpy(text + i * (sizeof word - 1), word, sizeof word);
    return text;
}

#endif
