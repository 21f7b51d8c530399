/* adapters.c - LoRA adapters: each request has its own scales, also beside others; what is remembered, saved and resumed is that of
 * the same scales.
 *
 * How likely the model finds words that a grammar dictates tells which scales it was asked with. The adapters have random weights,
 * and change the embedded model's attention.
 *
 * adapters RANDOM_MODEL - the program that makes them.
 */
#include "model_test.h"
#include "../support/random_model.h"

#include <gguf.h>
#include <math.h>
#include <stdio.h>

/* What a probability's logarithm may differ by, of itself, in batches of other shapes, which round in other ways. */
#define ROUNDING 1e-2f
#define DIFFERENCE 0.05f /* between scales, for some token of the answer */

enum { N_WORDS = 12 };

/* The last are those that the engine is started with. */
static const char *const scales[] = {"[]", "0:1", "[{\"id\": 1, \"scale\": -0.5}]", "0:0.5,1:0.25", NULL};
enum { N_SCALES = sizeof scales / sizeof *scales };

static char first_path[64], second_path[64];
static arguments *started;
static answer expected[N_SCALES];

static engine *open_adapted(arguments *arguments, llama_engine_options options) {
    options.arguments = arguments;
    options.n_threads = 1;
    if (options.n_ctx == 0) options.n_ctx = 1024;
    if (options.n_sequences == 0) options.n_sequences = N_SEQUENCES;
    return open_with(options);
}

static engine_request ask_with(const char *lora) {
    engine_request request = ask("Explain what a semaphore is, and what it is good for, in a few words, to somebody who has never heard of it.");
    request.sampling.lora = lora;
    request.grammar = "root ::= (\"one two three four five six seven \"){9}";
    request.wants_logprobs = true;
    request.n_predict = N_WORDS;
    return request;
}

/* How far two answers are from each other, up to where they say something else: there, too, both found the same about as likely. */
static float distance(const answer *a, const answer *b) {
    float most = 0;
    CHECK_INT(a->n_tokens, ==, N_WORDS);
    CHECK_INT(b->n_tokens, ==, N_WORDS);
    for (int i = 0; i < N_WORDS; i++) {
        if (!isnan(a->logprobs[i]) && !isnan(b->logprobs[i])) most = fmaxf(most, fabsf(a->logprobs[i] - b->logprobs[i]));
        if (a->tokens[i] != b->tokens[i]) break;
    }
    return most;
}

static void check_same(const answer *got, int number) {
    float off = distance(got, &expected[number]);
    CHECK_SAY(off < ROUNDING, "scales %s: off by %g", scales[number] ? scales[number] : "of the start", off);
}

static void make_expectations(void) {
    test_step("each set of scales is another model");
    for (int i = 0; i < N_SCALES; i++) {
        engine_request request = ask_with(scales[i]);
        model = open_adapted(started, (llama_engine_options){.is_repeatable = true});
        expected[i] = *run_request(&request);
        engine_close(model);
        for (int k = 0; k < i; k++) {
            float apart = distance(&expected[i], &expected[k]);
            CHECK_SAY(apart > DIFFERENCE, "scales %d and %d: only %g apart", i, k, apart);
        }
    }
    test_step("those of the start, said; none, as if there were no adapters");
    engine_request request = ask_with("0:0.5,1:1");
    model = open_adapted(started, (llama_engine_options){.is_repeatable = true});
    check_same(run_request(&request), N_SCALES - 1);
    request = ask_with("");
    check_same(run_request(&request), 0);
    engine_close(model);
    model = open_adapted(NULL, (llama_engine_options){.is_repeatable = true});
    request = ask_with("[]");
    check_same(run_request(&request), 0);
    engine_close(model);
}

/* All at a time, twice: the second time each finds what it had itself. */
static void check_beside(llama_engine_options options) {
    int sequences[N_SCALES];
    model = open_adapted(started, options);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N_SCALES; i++) {
            engine_request request = ask_with(scales[i]);
            sequences[i] = admit(&request);
        }
        for (int i = 0; i < N_SCALES; i++) check_same(run(sequences[i]), i);
        for (int i = 0; i < N_SCALES; i++) {
            const engine_progress *last = &answers[sequences[i]].last;
            bool is_remembered = round > 0 && !options.is_repeatable;
            CHECK_INT(last->n_cached, ==, is_remembered ? last->n_prompt - 1 : 0);
        }
    }
    engine_close(model);
}

/* They take turns: none is ahead by more than a step of each. */
static void check_fair(void) {
    enum { N = 3, N_TOKENS = 40 };
    int sequences[N], n_least = 0;
    test_step("all scales get as many tokens");
    model = open_adapted(started, (llama_engine_options){0});
    for (int i = 0; i < N; i++) {
        engine_request request = ask_with(scales[i]);
        request.n_predict = N_TOKENS;
        sequences[i] = admit(&request);
    }
    for (int n_steps = 0; n_least < N_TOKENS; n_steps++) {
        step();
        CHECK_INT(n_steps, <, 2 * N * N_TOKENS);
        n_least = N_TOKENS;
        for (int i = 0; i < N; i++)
            if (answers[sequences[i]].n_tokens < n_least) n_least = answers[sequences[i]].n_tokens;
        for (int i = 0; i < N && n_least > 0; i++) CHECK_INT(answers[sequences[i]].n_tokens - n_least, <=, 2);
    }
    engine_close(model);
}

/* As beside others: a prompt in chunks. */
static void check_budget(void) {
    test_step("a long prompt of other scales delays an answer as little as any");
    char *text = long_question(400);
    model = open_adapted(started, (llama_engine_options){.n_sequences = 2, .prefill_budget_ms = 1});
    engine_request some = ask_with(scales[1]), other = ask(text);
    some.n_predict = 200;
    other.sampling.lora = scales[2];
    other.n_predict = 1;
    int running = admit(&some);
    while (answers[running].n_tokens < 4) step();
    int reading = admit(&other);
    while (answers[reading].last.n_prompt_done == 0) step();
    CHECK_INT(answers[reading].last.n_prompt, >, 512);
    CHECK_INT(answers[reading].last.n_prompt_done, <, 256);
    run(running), run(reading);
    engine_close(model);
    free(text);
}

/* Of two that remember the same prompt, each is of use to its own scales only. */
static void check_reuse(void) {
    test_step("what is remembered is of use under the same scales only, also beside a running answer");
    model = open_adapted(started, (llama_engine_options){.n_sequences = 2});
    engine_request one = ask_with(scales[1]), other = ask_with(scales[3]);
    one.n_predict = 300;
    one.sampling.ignore_eos = true;
    int running = admit(&one);
    while (answers[running].n_tokens < 4) step();
    answer beside = *run_request(&other);
    check_same(&beside, 3);
    CHECK_INT(beside.last.n_cached, ==, 0);
    one.n_predict = N_WORDS;
    beside = *run_request(&one);
    check_same(&beside, 1);
    CHECK_INT(beside.last.n_cached, ==, beside.last.n_prompt - 1);
    engine_cancel(model, running);
    run(running);
    engine_close(model);
}

static void check_saved(void) {
    char file[80], *json;
    test_step("a saved state is that of its scales");
    snprintf(file, sizeof file, "/dev/shm/adapters-%d.state", (int)getpid());
    model = open_adapted(started, (llama_engine_options){0});
    engine_request one = ask_with(scales[1]), other = ask_with(scales[3]), of_start = ask_with(NULL);
    run_request(&one);
    CHECK_INT(engine_save_state(model, &other, file, &json), ==, ENGINE_E_STATE);
    CHECK_SAY(engine_save_state(model, &one, file, &json) == ENGINE_OK, "%s", model->message);
    free(json);
    engine_close(model);
    for (int i = 0; i < 2; i++) {
        model = open_adapted(started, (llama_engine_options){0});
        CHECK_SAY(engine_restore_state(model, file, &json) == ENGINE_OK, "%s", model->message);
        free(json);
        answer got = *run_request(i ? &of_start : &other);
        CHECK_INT(got.last.n_cached, ==, 0);
        check_same(&got, i ? N_SCALES - 1 : 3);
        got = *run_request(&one);
        CHECK_INT(got.last.n_cached, >, got.last.n_prompt / 2);
        check_same(&got, 1);
        engine_close(model);
    }
    arguments *others = options_of((const char *const[]){"--lora", first_path, NULL});
    model = open_adapted(others, (llama_engine_options){0});
    CHECK_INT(engine_restore_state(model, file, &json), ==, ENGINE_E_STATE);
    engine_close(model);
    arguments_free(others);
    CHECK(unlink(file) == 0);
}

static void check_resumed(void) {
    test_step("an answer goes on under its scales");
    model = open_adapted(started, (llama_engine_options){0});
    for (int i = 0; i < N_SCALES; i++) {
        engine_request request = ask_with(scales[i]);
        request.resumed = expected[i].tokens;
        request.n_resumed = N_WORDS / 2;
        const answer *got = run_request(&request);
        CHECK_INT(got->n_resumed, ==, N_WORDS / 2);
        check_same(got, i);
    }
    engine_close(model);
}

/* The copy of the model drafts what the model without adapters says. */
static void check_drafts(void) {
    char target[4096], scaled[160];
    test_step("with a draft model");
    int sequences[N_SCALES];
    snprintf(scaled, sizeof scaled, "%s:0.5,%s:1", first_path, second_path);
    test_model_path(target, "tutor.gguf");
    arguments *drafting = options_of((const char *const[]){"--lora-scaled", scaled, "--spec-draft-model", target, NULL});
    model = open_adapted(drafting, (llama_engine_options){0});
    for (int i = 0; i < N_SCALES; i++) {
        engine_request request = ask_with(scales[i]);
        sequences[i] = admit(&request);
    }
    for (int i = 0; i < N_SCALES; i++) check_same(run(sequences[i]), i);
    engine_close(model);
    arguments_free(drafting);
}

static void check_refused(const char *lora, const char *reason) {
    int sequence;
    engine_request request = ask_with(lora);
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_PARAMETER);
    CHECK_SAY(strstr(model->message, reason), "'%s': %s", lora, model->message);
}

static void check_refusals(void) {
    static const char *const forms[] = {"0", "0:", ":1", "0:1;1:1", "0:nan", "[0]", "[{}]", "[{\"id\":0}]", "[", "0:1e99",
                                        "[{\"id\":\"0\",\"scale\":1}]", "{\"id\":0,\"scale\":1}"};
    test_step("what is no adapter, or no scale");
    model = open_adapted(started, (llama_engine_options){.n_sequences = 1});
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) check_refused(forms[i], "expected ID:SCALE");
    check_refused("0:1,2:1", "no adapter 2: the host has loaded 2");
    check_refused("[{\"id\":-1,\"scale\":1}]", "no adapter -1");
    check_refused("0.5:1", "no adapter 0.5");
    engine_close(model);
    model = open_adapted(NULL, (llama_engine_options){.n_sequences = 1});
    check_refused("0:1", "no adapter 0: the host has loaded none");
    engine_close(model);
}

static void check_file_refused(const char *path, int error, const char *reason) {
    char message[ENGINE_MESSAGE_SIZE], target[4096];
    engine *engine;
    arguments *arguments = options_of((const char *const[]){"--lora", path, NULL});
    llama_engine_options options = {.model_path = test_model_path(target, "tutor.gguf"), .n_threads = 1, .n_ctx = 256, .n_sequences = 1,
                                    .arguments = arguments};
    CHECK_INT(llama_engine_open(&options, &engine, message, sizeof message), ==, error);
    CHECK_SAY(strstr(message, reason), "%s", message);
    arguments_free(arguments);
}

/* It adapts nothing, from certain tokens on. */
static void write_activated(const char *path) {
    const uint32_t tokens[] = {1};
    struct gguf_context *file = gguf_init_empty();
    gguf_set_val_str(file, "general.type", "adapter");
    gguf_set_val_str(file, "general.architecture", "llama");
    gguf_set_val_str(file, "adapter.type", "lora");
    gguf_set_val_f32(file, "adapter.lora.alpha", 1);
    gguf_set_arr_data(file, "adapter.alora.invocation_tokens", GGUF_TYPE_UINT32, tokens, 1);
    CHECK(gguf_write_to_file(file, path, false));
    gguf_free(file);
}

static void check_files(void) {
    char target[4096], path[64];
    test_step("files that are no adapters, or others");
    check_file_refused(test_model_path(target, "tutor.gguf"), ENGINE_E_MODEL_BAD, "cannot be used with this model");
    check_file_refused("/nonexistent.gguf", ENGINE_E_MODEL_MISSING, "/nonexistent.gguf");
    snprintf(path, sizeof path, "/dev/shm/adapters-%d-3.gguf", (int)getpid());
    write_activated(path);
    check_file_refused(path, ENGINE_E_MODEL_BAD, "(aLoRA)");
    CHECK(unlink(path) == 0);
}

int main(int argc, char **argv) {
    char target[4096], scaled[80];
    test_begin("adapters", 170);
    CHECK(argc == 2);
    random_model = argv[1];
    test_model_path(target, "tutor.gguf");
    snprintf(first_path, sizeof first_path, "/dev/shm/adapters-%d-1.gguf", (int)getpid());
    snprintf(second_path, sizeof second_path, "/dev/shm/adapters-%d-2.gguf", (int)getpid());
    make_random(first_path, (const char *const[]){"--adapter-for", target, "--seed", "1", NULL});
    make_random(second_path, (const char *const[]){"--adapter-for", target, "--seed", "2", NULL});
    snprintf(scaled, sizeof scaled, "%s:0.5", first_path);
    started = options_of((const char *const[]){"--lora-scaled", scaled, "--lora", second_path, NULL});
    make_expectations();
    test_step("beside each other");
    check_beside((llama_engine_options){0});
    check_beside((llama_engine_options){.is_repeatable = true});
    check_fair();
    check_budget();
    check_reuse();
    check_saved();
    check_resumed();
    check_drafts();
    check_refusals();
    check_files();
    arguments_free(started);
    CHECK(unlink(first_path) == 0 && unlink(second_path) == 0);
    return test_end();
}
