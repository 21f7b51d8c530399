/* failing_evaluation.c - an evaluation that fails is told to those who were in the batch, with a sentence, and what comes next
 * knows nothing of it. The linker puts this test between the engine and the function that fails (tests/CMakeLists.txt). */
#include "model_test.h"

#include <llama.h>

static bool is_failing;

int32_t __real_llama_decode(struct llama_context *context, struct llama_batch batch);
/* Seen from the library that the engine links, which calls it, too. */
__attribute__((visibility("default"))) int32_t __wrap_llama_decode(struct llama_context *context, struct llama_batch batch);
int32_t __wrap_llama_decode(struct llama_context *context, struct llama_batch batch) {
    return is_failing ? -3 : __real_llama_decode(context, batch);
}

static answer alone[N_SEQUENCES]; /* to each question, nobody beside it */

static void ask_all(int sequences[N_SEQUENCES]) {
    for (int q = 0; q < N_SEQUENCES; q++) {
        engine_request request = ask(questions[q]);
        sequences[q] = admit(&request);
    }
}

/* All are asked, and after so many steps one step fails. */
static void fail_after(int n_steps) {
    int sequences[N_SEQUENCES];
    ask_all(sequences);
    for (int i = 0; i < n_steps; i++) step();
    is_failing = true;
    step();
    is_failing = false;
    for (int q = 0; q < N_SEQUENCES; q++) {
        const answer *got = &answers[sequences[q]];
        CHECK_INT(got->end, ==, ENGINE_END_FAILED);
        CHECK(test_is_prefix(got->text, got->n, alone[q].text) && got->n < alone[q].n);
        CHECK_SAY(strstr(model->message, "failed with code -3"), "it says: %s", model->message);
    }
    ask_all(sequences);
    for (int q = 0; q < N_SEQUENCES; q++) CHECK_TEXT(run(sequences[q])->text, alone[q].text);
}

static void refuse_to_load(void) {
    char message[ENGINE_MESSAGE_SIZE], path[4096];
    engine *engine;
    llama_engine_options options = {.model_path = test_model_path(path, "tutor.gguf"), .n_ctx = 256, .n_threads = 1};
    is_failing = true;
    CHECK_INT(llama_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_EVALUATION);
    is_failing = false;
    CHECK(engine == NULL && strstr(message, "failed with code -3"));
}

int main(void) {
    test_begin("failing_evaluation", 60);
    test_step("the first one");
    refuse_to_load();
    model = open_plain(NULL, N_SEQUENCES, 2000);
    for (int q = 0; q < N_SEQUENCES; q++) {
        engine_request request = ask(questions[q]);
        alone[q] = *run_request(&request);
    }
    test_step("of prompts");
    fail_after(0);
    test_step("of tokens");
    for (int n_steps = 5; n_steps < 20; n_steps += 4) fail_after(n_steps);
    engine_close(model);
    return test_end();
}
