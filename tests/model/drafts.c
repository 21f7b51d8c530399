/* drafts.c - tokens that are drafted, by a smaller model or out of the text, change nothing but the number of steps: the same text,
 * also with temperature, grammar and log probabilities, several at a time, after cancelling, shifting and resuming.
 *
 * The embedded model is the target: what it says does not hang on the rounding of a batch. Its copy drafts what it says itself, so
 * that all drafts are right as long as the memories of both hold the same.
 *
 * drafts RANDOM_MODEL FOLDER - as for kinds.
 */
#include "model_test.h"
#include "../support/random_model.h"

#include <gguf.h>
#include <math.h>
#include <stdio.h>

/* What a probability's logarithm may differ by, of itself, in batches of other shapes, which round in other ways. */
#define ROUNDING 1e-3f

static const char *folder;
static char target_path[4096];
static engine *plain;

static engine *open_drafting(arguments *arguments, llama_engine_options options) {
    options.arguments = arguments;
    options.n_threads = 1;
    if (options.n_ctx == 0) options.n_ctx = 2048;
    if (options.n_sequences == 0) options.n_sequences = 3;
    return open_with(options);
}

static engine_request ask_number(int question) {
    engine_request request = ask(questions[question % N_QUESTIONS]);
    request.sampling.temperature = question % 2 ? 0.8f : 0;
    request.wants_logprobs = true;
    return request;
}

static answer answer_without(const engine_request *request) {
    engine *before = model;
    model = plain;
    answer result = *run_request(request);
    model = before;
    return result;
}

static void compare(const answer *got, const answer *expected) {
    CHECK_TEXT(got->text, expected->text);
    CHECK_INT(got->n_tokens, ==, expected->n_tokens);
    CHECK_INT(got->end, ==, expected->end);
    for (int i = got->n_resumed; i < got->n_tokens; i++)
        CHECK_SAY(got->tokens[i] == expected->tokens[i] &&
                      (isnan(expected->logprobs[i]) ||
                       fabsf(got->logprobs[i] - expected->logprobs[i]) <= ROUNDING * (1 + fabsf(expected->logprobs[i]))),
                  "token %d: %.9g, expected %.9g", i, got->logprobs[i], expected->logprobs[i]);
}

/* Returns how many steps it took. */
static int check_same(engine_request request, int *n_tokens) {
    answer expected = answer_without(&request);
    int n_steps = 0, sequence = admit(&request);
    for (; answers[sequence].end == ENGINE_END_NONE; n_steps++) step();
    compare(&answers[sequence], &expected);
    if (n_tokens) *n_tokens = expected.n_tokens;
    return n_steps;
}

/* Three drafted tokens are all right: four tokens in a step. */
static void check_all_right(engine_request request) {
    int n_tokens, n_steps = check_same(request, &n_tokens);
    CHECK_SAY(n_steps <= n_tokens / 2, "%d steps for %d tokens: the draft model holds something else", n_steps, n_tokens);
}

static bool model_is_busy(const int sequences[3]) {
    for (int i = 0; i < 3; i++)
        if (answers[sequences[i]].end == ENGINE_END_NONE) return true;
    return false;
}

/* With a beginning in common, which is evaluated once and copied. */
static void several(bool is_copy) {
    int n_steps = 0, n_most = 0;
    answer expected[3];
    int sequences[3];
    engine_request requests[3];
    engine_message messages[3][2];
    for (int i = 0; i < 3; i++) {
        messages[i][0] = (engine_message){"system", "You answer questions about C and C++ and keep to the point, whatever you are asked."};
        messages[i][1] = (engine_message){"user", questions[2 * i]};
        requests[i] = ask_number(2 * i);
        requests[i].messages = messages[i];
        requests[i].n_messages = 2;
        expected[i] = answer_without(&requests[i]);
    }
    for (int i = 0; i < 3; i++) sequences[i] = admit(&requests[i]);
    for (; model_is_busy(sequences); n_steps++) step();
    for (int i = 0; i < 3; i++) {
        compare(&answers[sequences[i]], &expected[i]);
        if (expected[i].n_tokens > n_most) n_most = expected[i].n_tokens;
    }
    CHECK_INT(answers[sequences[2]].last.n_cached, >, 16);
    printf("  %d steps for %d tokens\n", n_steps, n_most);
    if (is_copy) CHECK_INT(n_steps, <=, n_most / 2);
}

/* Each leaves the memories as they are after so many tokens. */
static void cancel_and_interrupt(void) {
    for (int n_tokens = 1; n_tokens < 24; n_tokens += 3) {
        engine_request request = ask_number(4);
        int sequence = admit(&request);
        while (answers[sequence].n_tokens < n_tokens) step();
        if (n_tokens % 2) engine_cancel(model, sequence);
        else interrupt_after = 1;
        step();
        interrupt_after = -1;
        CHECK_INT(answers[sequence].end, ==, ENGINE_END_CANCELLED);
        check_all_right(request);
    }
}

static void resume(void) {
    engine_request request = ask_number(4);
    answer expected = answer_without(&request);
    request.resumed = expected.tokens;
    for (request.n_resumed = 1; request.n_resumed < 20; request.n_resumed += 6) {
        const answer *got = run_request(&request);
        CHECK_INT(got->n_resumed, ==, request.n_resumed);
        compare(got, &expected);
    }
}

/* What a grammar forces is so unlikely that its probability hangs on the rounding. */
static void with_grammar(void) {
    engine_request request = ask("x");
    request.grammar = "root ::= (\"one two three four five six seven \"){40}";
    request.n_predict = 203;
    check_same(request, NULL);
    request.n_predict = 1;
    check_same(request, NULL);
}

/* Everything that is done to the memories, with a draft model. */
static void check_with(arguments *arguments, const char *what, bool is_copy) {
    model = open_drafting(arguments, (llama_engine_options){0});
    test_step("%s: the same answers", what);
    for (int q = 0; q < N_QUESTIONS; q += is_copy ? 1 : 3) {
        if (is_copy && q % 2 == 0) check_all_right(ask_number(q));
        else check_same(ask_number(q), NULL);
    }
    test_step("%s: several, cancelled, resumed, within a grammar", what);
    several(is_copy);
    if (is_copy) cancel_and_interrupt();
    resume();
    with_grammar();
    engine_close(model);
}

/* Both shift; the copy still knows what comes next. */
static void shift(arguments *arguments, const char *what, bool is_copy) {
    enum { N_CTX = 256, N_TOKENS = 3 * N_CTX };
    test_step("%s: a full context", what);
    model = open_drafting(arguments, (llama_engine_options){.n_ctx = N_CTX, .context_shift = true});
    engine_request request = ask(questions[4]);
    request.n_predict = N_TOKENS;
    request.sampling.ignore_eos = true;
    if (!is_copy) request.grammar = "root ::= (\"one two three four five six seven \"){400}";
    int n_steps = 0, sequence = admit(&request);
    for (; answers[sequence].end == ENGINE_END_NONE; n_steps++) step();
    CHECK_INT(answers[sequence].end, ==, ENGINE_END_LIMIT);
    CHECK_INT(answers[sequence].n_tokens, ==, N_TOKENS);
    printf("  %d steps for %d tokens\n", n_steps, N_TOKENS);
    if (is_copy) CHECK_INT(n_steps, <=, N_TOKENS / 3);
    engine_close(model);
}

static void by_models(const char *other_path) {
    arguments *copy = options_of((const char *const[]){"--spec-draft-model", target_path, NULL});
    arguments *other = options_of((const char *const[]){"--model-draft", other_path, "--spec-draft-n-max", "5", NULL});
    check_with(copy, "a draft model that is the same", true);
    shift(copy, "a draft model that is the same", true);
    check_with(other, "a draft model of other weights", false);
    shift(other, "a draft model of other weights", false);
    test_step("each token alone: no drafts");
    model = open_drafting(copy, (llama_engine_options){.is_repeatable = true});
    engine_request request = ask_number(0);
    answer got = *run_request(&request);
    CHECK_INT(got.n_steps, >=, got.n_tokens);
    engine_close(model);
    arguments_free(other);
    arguments_free(copy);
}

static void by_text(void) {
    static const char *const kinds[] = {"ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        arguments *arguments = options_of((const char *const[]){"--spec-type", kinds[i], "--spec-ngram-simple-size-n", "4",
            "--spec-ngram-simple-size-m", "8", "--spec-ngram-map-k-size-n", "4", "--spec-ngram-map-k-size-m", "8",
            "--spec-ngram-map-k4v-size-n", "4", "--spec-ngram-map-k4v-size-m", "8", NULL});
        check_with(arguments, kinds[i], false);
        shift(arguments, kinds[i], false);
        arguments_free(arguments);
    }
    test_step("a text that repeats itself takes fewer steps");
    arguments *arguments = options_of((const char *const[]){"--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "4",
                                                            "--spec-ngram-simple-size-m", "16", NULL});
    model = open_drafting(arguments, (llama_engine_options){0});
    engine_request request = ask("x");
    request.grammar = "root ::= (\"one two three four five six seven \"){40}";
    request.n_predict = 203;
    CHECK_INT(check_same(request, NULL), <, 203 * 2 / 3);
    engine_close(model);
    arguments_free(arguments);
}

static void check_refused(const char *option, const char *value, int error, const char *reason) {
    char message[ENGINE_MESSAGE_SIZE];
    engine *engine;
    arguments *arguments = options_of((const char *const[]){option, value, NULL});
    llama_engine_options options = {.model_path = target_path, .n_threads = 1, .n_ctx = 256, .n_sequences = 1, .arguments = arguments};
    CHECK_INT(llama_engine_open(&options, &engine, message, sizeof message), ==, error);
    CHECK_SAY(strstr(message, reason), "%s", message);
    printf("  %s\n", message);
    arguments_free(arguments);
}

static void write_heads(const char *path) {
    struct gguf_context *file = gguf_init_empty();
    gguf_set_val_str(file, "general.architecture", "eagle3");
    CHECK(gguf_write_to_file(file, path, false));
    gguf_free(file);
}

static bool are_heads_told;

static void on_log(void *user_data, int level, const char *line) {
    (void)user_data;
    are_heads_told |= level == 2 && strstr(line, "has heads of its own for drafts");
}

static void refusals(const char *path) {
    test_step("what cannot draft");
    make_random(path, (const char *const[]){"--arch", "llama", NULL});
    check_refused("--spec-draft-model", path, ENGINE_E_MODEL_BAD, "its vocabulary must be the same");
    make_random(path, (const char *const[]){"--arch", "mamba2", "--vocab", target_path, NULL});
    check_refused("--spec-draft-model", path, ENGINE_E_MODEL_BAD, "cannot take tokens back");
    check_refused("--spec-draft-model", "/nonexistent.gguf", ENGINE_E_MODEL_MISSING, "/nonexistent.gguf");
    check_refused("--spec-type", "draft-simple", ENGINE_E_MODEL_BAD, "needs a draft model");
    test_step("a target that cannot take tokens back has no drafts");
    arguments *arguments = options_of((const char *const[]){"--spec-draft-model", path, NULL});
    model = open_drafting(arguments, (llama_engine_options){.model_path = path});
    engine_request request = ask_number(0);
    request.n_predict = 9;
    CHECK_INT(run_request(&request)->n_tokens, ==, 9);
    engine_close(model);
    arguments_free(arguments);
    test_step("heads without their model do not draft");
    write_heads(path);
    check_refused("--spec-draft-model", path, ENGINE_E_MODEL_BAD, "holds heads of another model (eagle3)");
    test_step("heads that a model has are said not to be used");
    arguments = options_of((const char *const[]){"--override-kv", "llama.nextn_predict_layers=int:1,llama.block_count=int:5", NULL});
    model = open_drafting(arguments, (llama_engine_options){.callbacks.on_log = on_log});
    CHECK(are_heads_told);
    engine_close(model);
    arguments_free(arguments);
}

/* Whether there is room for both, where the target alone has some. */
static void memory(const char *path) {
    enum { AVAILABLE = 64 << 20, N_CTX = 4096 };
    char message[ENGINE_MESSAGE_SIZE] = "";
    engine *engine;
    test_step("the draft model's memory counts");
    make_random(path, (const char *const[]){"--arch", "llama", "--vocab", target_path, "--layers", "64", "--width", "256", "--ff", "32",
                                            "--heads", "4", "--type", "q8_0", NULL});
    arguments *arguments = options_of((const char *const[]){"--spec-draft-model", path, NULL});
    struct llama_model_params model_params = arguments_model(arguments);
    struct llama_context_params context = arguments_context(arguments);
    context.n_ctx = N_CTX;
    CHECK_SAY(arguments_have_room(arguments, target_path, &model_params, &context, DRAFT_NONE, AVAILABLE, message, sizeof message), "%s", message);
    CHECK(!arguments_have_room(arguments, target_path, &model_params, &context, DRAFT_BY_PROCESSOR, AVAILABLE, message, sizeof message));
    CHECK_SAY(strstr(message, "for the draft model"), "%s", message);
    printf("  %s\n", message);
    llama_engine_options options = {.model_path = target_path, .n_threads = 1, .n_ctx = 2000000000, .n_sequences = 1, .arguments = arguments};
    CHECK_INT(llama_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_CONTEXT);
    CHECK_SAY(strstr(message, "or no draft model"), "%s", message);
    arguments_free(arguments);
}

/* A vocabulary that people have, and weights that are quantised. */
static void real_vocabulary(const char *path) {
    char vocab[4096];
    snprintf(vocab, sizeof vocab, "%s/vocab/ggml-vocab-llama-spm.gguf", folder);
    test_step("Q8_0 under a real vocabulary");
    make_random(path, (const char *const[]){"--arch", "llama", "--type", "q8_0", "--vocab", vocab, NULL});
    arguments *arguments = options_of((const char *const[]){"--spec-draft-model", path, NULL});
    model = open_drafting(arguments, (llama_engine_options){.model_path = path});
    engine_request request = ask("What is a process?");
    request.n_predict = 60;
    answer got = *run_request(&request);
    CHECK_INT(got.n_tokens, ==, 60);
    engine_close(model);
    arguments_free(arguments);
}

int main(int argc, char **argv) {
    char path[64];
    test_begin("drafts", 120);
    CHECK(argc == 3);
    random_model = argv[1];
    folder = argv[2];
    test_model_path(target_path, "tutor.gguf");
    snprintf(path, sizeof path, "/dev/shm/drafts-%d.gguf", (int)getpid());
    plain = open_plain(NULL, 3, 2048);
    make_random(path, (const char *const[]){"--arch", "llama", "--vocab", target_path, "--seed", "7", NULL});
    by_models(path);
    by_text();
    refusals(path);
    memory(path);
    real_vocabulary(path);
    CHECK(unlink(path) == 0);
    engine_close(plain);
    return test_end();
}
