/* kinds.c - src/engine/llama on models of every kind that people have, with real vocabularies and random weights: they answer,
 * reuse what they remember, go on where an answer was, and shift; what generates no text is refused when it is loaded.
 *
 * kinds RANDOM_MODEL FOLDER - the program that makes the models, and llama.cpp's vocabularies and templates (scripts/
 * fetch-libllama.sh testdata).
 */
#include "model_test.h"
#include "../support/random_model.h"

#include <math.h>
#include <stdio.h>

typedef struct kind {
    const char *name;
    const char *vocab, *template; /* NULL: none */
    const char *options[8];       /* of random_model */
    bool remembers_all;           /* cells can be given back one by one; otherwise it has a state, and checkpoints */
} kind;

static const kind kinds[] = {
    {"llama, Q8_0", "llama-spm", NULL, {"--arch", "llama"}, true},
    {"llama, Q4_K", "phi-3", "microsoft-Phi-3.5-mini-instruct", {"--type", "q4_k", "--width", "256", "--ff", "256"}, true},
    {"llama, Q4_0", "llama-spm", NULL, {"--type", "q4_0"}, true},
    {"qwen3", "qwen2", "Qwen-Qwen3-0.6B", {"--arch", "qwen3"}, true},
    {"a mixture of experts", "llama-spm", NULL, {"--arch", "qwen3moe"}, true},
    {"gemma3, a sliding window of 64", "llama-spm", "google-gemma-2-2b-it", {"--arch", "gemma3"}, true},
    {"lfm2, a hybrid", "phi-3", "LFM2-8B-A1B", {"--arch", "lfm2"}, false},
    {"mamba2, recurrent", "llama-spm", NULL, {"--arch", "mamba2"}, false},
    {"134 million parameters", NULL, NULL, {"--preset", "134m"}, true},
};

static const char *folder;
static char path[128];

static void make(const kind *kind) {
    char vocab[4096], template[4096];
    const char *options[13];
    int n = 0;
    for (int i = 0; i < 8 && kind->options[i]; i++) options[n++] = kind->options[i];
    snprintf(vocab, sizeof vocab, "%s/vocab/ggml-vocab-%s.gguf", folder, kind->vocab);
    snprintf(template, sizeof template, "%s/templates/%s.jinja", folder, kind->template);
    if (kind->vocab) options[n++] = "--vocab", options[n++] = vocab;
    if (kind->template) options[n++] = "--template", options[n++] = template;
    options[n] = NULL;
    make_random(path, options);
}

static engine *open_kind(llama_engine_options options) {
    options.model_path = path;
    options.n_threads = 1;
    if (options.n_sequences == 0) options.n_sequences = 3;
    if (options.n_ctx == 0) options.n_ctx = 1024;
    return open_with(options);
}

static engine_request ask_for(const engine_message *messages, size_t n_messages, int32_t n_predict) {
    engine_request request = ask("");
    request.messages = messages;
    request.n_messages = n_messages;
    request.n_predict = n_predict;
    request.wants_logprobs = true;
    return request;
}

/* Asks for one token, which a grammar names. It is as likely as for an engine that evaluates everything anew: what the request
 * found in memory is what it would have evaluated. Returns how much that was. */
static int32_t check_probability(engine *exact, engine_request request) {
    engine *before = model;
    request.grammar = "root ::= \"q\"";
    answer got = *run_request(&request);
    model = exact;
    const answer *expected = run_request(&request);
    CHECK_INT(expected->last.n_cached, ==, 0);
    CHECK_INT(expected->last.n_prompt, ==, got.last.n_prompt);
    CHECK_TEXT(got.text, "q");
    CHECK_SAY(fabsf(got.logprobs[0] - expected->logprobs[0]) < 1.0f, "%g, expected %g", got.logprobs[0],
              expected->logprobs[0]);
    model = before;
    return got.last.n_cached;
}

/* A second turn evaluates what is new, and so does a question that takes another's place. */
static void reuse(const kind *kind, engine *exact) {
    char *text = long_question(120);
    char said[MAX_ANSWER];
    engine_message turns[] = {{"system", text}, {"user", "What is a semaphore?"}, {"assistant", said}, {"user", "And a mutex?"}};
    engine_request first = ask_for(turns, 2, 8), second = ask_for(turns, 4, 4);
    answer before = *run_request(&first);
    CHECK_INT(before.last.n_tokens, ==, 8);
    strcpy(said, before.text);
    CHECK_INT(check_probability(exact, second), >=, before.last.n_prompt * 3 / 4);
    turns[3].text = "And a thread, if there is any?";
    int32_t n_cached = check_probability(exact, second);
    if (kind->remembers_all) CHECK_INT(n_cached, >=, before.last.n_prompt * 3 / 4);
    turns[0].text = "Another system";
    CHECK_INT(check_probability(exact, second), <, before.last.n_prompt / 4);
    free(text);
}

/* What another engine on the same model remembered is as if this one had evaluated it. */
static void save_and_restore(engine *exact) {
    char *text = long_question(120), *json, file[80];
    char said[MAX_ANSWER];
    engine_message turns[] = {{"system", text}, {"user", "What is a signal?"}, {"assistant", said}, {"user", "And a slot?"}};
    engine_request first = ask_for(turns, 2, 8), saved = ask_for(turns, 3, 8), second = ask_for(turns, 4, 4);
    answer before = *run_request(&first);
    snprintf(file, sizeof file, "/tmp/lipc-kinds-%d.state", (int)getpid());
    strcpy(said, before.text);
    CHECK_SAY(engine_save_state(model, &saved, file, &json) == ENGINE_OK, "%s", model->message);
    free(json);
    engine *saver = model;
    model = open_kind((llama_engine_options){.n_ctx = 1024});
    CHECK_SAY(engine_restore_state(model, file, &json) == ENGINE_OK, "%s", model->message);
    free(json);
    CHECK_INT(check_probability(exact, second), >=, before.last.n_prompt * 3 / 4);
    CHECK_INT(run_request(&second)->n_tokens, ==, 4);
    engine_close(model);
    model = saver;
    unlink(file);
    free(text);
}

/* Whoever is beside it: others come, and one is cancelled in its prompt. */
static void answer_beside(engine *exact) {
    engine_message one = {"user", "What is shared memory?"}, other = {"user", "Explain pointers in C++"};
    char *text = long_question(120);
    engine_message long_one = {"user", text};
    engine_request request = ask_for(&one, 1, 20), beside = ask_for(&other, 1, 30), reading = ask_for(&long_one, 1, 5);
    int a = admit(&request), b = admit(&beside);
    while (answers[a].n_tokens < 3) step();
    int c = admit(&reading);
    step();
    engine_cancel(model, c);
    answer got = *run(a);
    CHECK_INT(got.n_tokens, ==, 20);
    CHECK_INT(answers[c].end, ==, ENGINE_END_CANCELLED);
    CHECK_INT(run(b)->n_tokens, ==, 30);
    check_probability(exact, request);
    check_probability(exact, reading);
    free(text);
}

/* What an answer already has is evaluated with its prompt, in one step, and stays as it is. With --repeatable what follows is
 * the same to the last byte. */
static void resume(engine *exact) {
    enum { N_TOKENS = 40, N_RESUMED = 30 };
    static int32_t tokens[N_RESUMED];
    engine_message message = {"user", "What is a process?"};
    engine_request request = ask_for(&message, 1, N_TOKENS);
    request.sampling.temperature = 0.8f;
    for (int is_exact = 0; is_exact < 2; is_exact++) {
        engine *before = model;
        if (is_exact) model = exact;
        answer expected = *run_request(&request);
        memcpy(tokens, expected.tokens, sizeof tokens);
        engine_request resumed = request;
        resumed.resumed = tokens;
        resumed.n_resumed = N_RESUMED;
        int n_steps = 0, sequence = admit(&resumed);
        for (; answers[sequence].end == ENGINE_END_NONE; n_steps++) step();
        const answer *got = &answers[sequence];
        CHECK_INT(got->n_resumed, ==, N_RESUMED);
        CHECK_INT(got->n_tokens, ==, N_TOKENS);
        CHECK(memcmp(got->text, expected.text, expected.ends_at[N_RESUMED - 1]) == 0);
        if (is_exact) CHECK_TEXT(got->text, expected.text);
        else CHECK_INT(n_steps, <=, N_TOKENS - N_RESUMED + 3);
        model = before;
    }
}

static void fill_the_context(const kind *kind) {
    engine *before = model;
    engine_message messages[] = {{"system", "You know everything."}, {"user", "Go on."}};
    engine_request request = ask_for(messages, 2, 400);
    model = open_kind((llama_engine_options){.n_ctx = 256, .context_shift = true});
    const answer *got = run_request(&request);
    CHECK_INT(got->end, ==, kind->remembers_all ? ENGINE_END_LIMIT : ENGINE_END_CONTEXT);
    request.n_predict = 5;
    CHECK_INT(run_request(&request)->n_tokens, ==, 5);
    engine_close(model);
    model = before;
}

static void check_kind(const kind *kind) {
    make(kind);
    engine *exact = open_kind((llama_engine_options){.n_sequences = 1, .is_repeatable = true});
    model = open_kind((llama_engine_options){.n_ctx = 1024});
    test_step("%s: reuse", kind->name);
    reuse(kind, exact);
    test_step("%s: saved and restored", kind->name);
    save_and_restore(exact);
    test_step("%s: beside others", kind->name);
    answer_beside(exact);
    test_step("%s: resumed", kind->name);
    resume(exact);
    if (kind->vocab) {
        test_step("%s: a full context", kind->name);
        fill_the_context(kind);
    }
    engine_close(model);
    engine_close(exact);
}

static void check_refused(const char *vocab, const char *architecture, const char *reason) {
    kind kind = {architecture, vocab, NULL, {"--arch", architecture}, true};
    char message[ENGINE_MESSAGE_SIZE];
    engine *engine;
    llama_engine_options options = {.model_path = path, .n_threads = 1};
    make(&kind);
    CHECK_INT(llama_engine_check(&options, message, sizeof message), ==, ENGINE_E_MODEL_BAD);
    CHECK_SAY(strstr(message, reason), "%s", message);
    CHECK_INT(llama_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_MODEL_BAD);
    CHECK_SAY(strstr(message, reason), "%s", message);
}

static void answer_with_no_numbers(void) {
    kind broken = {"no numbers", NULL, NULL, {"--broken", "1"}, true};
    make(&broken);
    model = open_kind((llama_engine_options){0});
    engine_request request = ask("x");
    CHECK_INT(run_request(&request)->end, ==, ENGINE_END_FAILED);
    CHECK_SAY(strstr(model->message, "NaN"), "%s", model->message);
    engine_close(model);
}

/* A word on which this tokenizer's regular expression recurses 24,500 times: it becomes tokens beside the other answer, with a
 * stack of its own, and is then refused. */
static void tokenise_a_long_word(void) {
    enum { N_LETTERS = 24500 };
    static char word[N_LETTERS + 1];
    kind falcon = {"falcon", "falcon", NULL, {"--arch", "llama"}, true};
    engine_message message = {"user", word}, other = {"user", "What is shared memory?"};
    engine_request request = ask_for(&message, 1, 5), beside = ask_for(&other, 1, 30);
    memset(word, 'Z', N_LETTERS);
    make(&falcon);
    model = open_kind((llama_engine_options){.n_ctx = 2048});
    int a = admit(&beside);
    while (answers[a].n_tokens < 3) step();
    int b = admit(&request);
    while (answers[b].end == ENGINE_END_NONE) step();
    CHECK_INT(answers[b].end, ==, ENGINE_END_REFUSED);
    CHECK_SAY(strstr(model->message, "tokens, the context only"), "%s", model->message);
    CHECK_INT(run(a)->n_tokens, ==, 30);
    test_step("a long word: cancelled");
    b = admit(&request);
    engine_cancel(model, b);
    step();
    CHECK_INT(answers[b].end, ==, ENGINE_END_CANCELLED);
    CHECK_INT(run_request(&beside)->n_tokens, ==, 30);
    test_step("a long word: the engine is closed over it");
    admit(&request);
    engine_close(model);
    test_step("more bytes than the context can hold");
    char *text = long_question(400000);
    message.text = text;
    model = open_kind((llama_engine_options){.n_ctx = 256});
    CHECK_INT(engine_admit(model, &request, &b), ==, ENGINE_E_TOO_LONG);
    CHECK_SAY(strstr(model->message, "bytes"), "%s", model->message);
    free(text);
}

/* Answers end, and nobody begins one, when somebody writes into the file that weights are read from. */
static void write_into_the_file(void) {
    engine_message message = {"user", "What is shared memory?"};
    engine_request request = ask_for(&message, 1, 50);
    int sequence = admit(&request);
    while (answers[sequence].n_tokens < 3) step();
    FILE *file = fopen(path, "ab");
    CHECK(file && fputc(0, file) == 0 && fclose(file) == 0);
    step();
    CHECK_INT(answers[sequence].end, ==, ENGINE_END_FAILED);
    CHECK_SAY(strstr(model->message, "was changed"), "%s", model->message);
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_EVALUATION);
    CHECK_SAY(strstr(model->message, "was changed"), "%s", model->message);
    engine_close(model);
}

int main(int argc, char **argv) {
    test_begin("kinds", 390);
    CHECK_INT(argc, ==, 3);
    random_model = argv[1];
    folder = argv[2];
    snprintf(path, sizeof path, "/tmp/lipc-kinds-%d.gguf", (int)getpid());
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) check_kind(&kinds[i]);
    test_step("refused");
    check_refused("bert-bge", "bert", "embeddings");
    check_refused("qwen2", "dream", "diffusion");
    test_step("no numbers");
    answer_with_no_numbers();
    test_step("a long word");
    tokenise_a_long_word();
    test_step("a file that somebody writes into");
    write_into_the_file();
    unlink(path);
    return test_end();
}
