/* failing_lanes.c - evaluation fails in some lanes and goes well in the others: only who was in a lane that failed is told,
 * and what comes next knows nothing of it. A lane whose thread cannot be started: the engine does not open, and says why.
 * The linker puts this test between the engine and the two functions that fail (tests/CMakeLists.txt). */
#include "model_test.h"

#include "platform/platform.h"

#include <errno.h>
#include <llama.h>
#include <pthread.h>

/* ---- what fails ---------------------------------------------------------------------------------------------------- */

/* Of the lanes with something to do the first is the owner's, the thread's that steps. */
typedef enum who { NOBODY, OWNER, OTHERS } who;

static pthread_t owner;
static who failing = NOBODY; /* written while no lane evaluates */
static int threads_left = -1; /* that can be started; negative: any number */

int32_t __real_llama_decode(struct llama_context *context, struct llama_batch batch);
__attribute__((visibility("default"))) int32_t __wrap_llama_decode(struct llama_context *context, struct llama_batch batch);
__attribute__((visibility("default"))) int32_t __wrap_llama_decode(struct llama_context *context, struct llama_batch batch) {
    who caller = pthread_equal(pthread_self(), owner) ? OWNER : OTHERS;
    if (caller != failing) return __real_llama_decode(context, batch);
    for (int32_t i = 0; i < batch.n_tokens; i++) /* what is left after a failure is the library's affair: nothing, here */
        llama_memory_seq_rm(llama_get_memory(context), batch.seq_id[i][0], -1, -1);
    return -3;
}

int __real_plat_thread_start(void (*run)(void *argument), void *argument, size_t stack_bytes, plat_thread **thread);
int __wrap_plat_thread_start(void (*run)(void *argument), void *argument, size_t stack_bytes, plat_thread **thread);
int __wrap_plat_thread_start(void (*run)(void *argument), void *argument, size_t stack_bytes, plat_thread **thread) {
    if (threads_left != 0) {
        threads_left -= threads_left > 0;
        return __real_plat_thread_start(run, argument, stack_bytes, thread);
    }
    *thread = NULL;
    errno = EAGAIN;
    return PLAT_E_SYSTEM;
}

/* ---- what becomes of the answers ----------------------------------------------------------------------------------- */

static answer alone[N_SEQUENCES]; /* to each question, nobody beside it */

static void ask_all(int sequences[N_SEQUENCES]) {
    for (int q = 0; q < N_SEQUENCES; q++) {
        engine_request request = ask(questions[q]);
        request.wants_logprobs = true;
        sequences[q] = admit(&request);
    }
}

static void check_same(const answer *got, const answer *expected) {
    CHECK_INT(got->end, ==, ENGINE_END_TURN);
    CHECK_TEXT(got->text, expected->text);
    CHECK_INT(got->n_tokens, ==, expected->n_tokens);
    CHECK(memcmp(got->logprobs, expected->logprobs, (size_t)got->n_tokens * sizeof *got->logprobs) == 0);
}

/* All are asked, and after so many steps one step fails for these lanes. */
static void fail_after(int n_steps, who lanes) {
    int sequences[N_SEQUENCES], n_failed = 0;
    ask_all(sequences);
    for (int i = 0; i < n_steps; i++) step();
    failing = lanes;
    step();
    failing = NOBODY;
    for (int q = 0; q < N_SEQUENCES; q++) {
        const answer *got = &answers[sequences[q]];
        if (got->end == ENGINE_END_NONE) continue;
        n_failed++;
        CHECK_INT(got->end, ==, ENGINE_END_FAILED);
        CHECK(test_is_prefix(got->text, got->n, alone[q].text) && got->n < alone[q].n);
        CHECK_SAY(strstr(model->message, "failed with code -3"), "it says: %s", model->message);
    }
    CHECK(n_failed > 0 && n_failed < N_SEQUENCES);
    for (int q = 0; q < N_SEQUENCES; q++)
        if (answers[sequences[q]].end != ENGINE_END_FAILED) check_same(run(sequences[q]), &alone[q]);
    ask_all(sequences);
    for (int q = 0; q < N_SEQUENCES; q++) check_same(run(sequences[q]), &alone[q]);
}

static void refuse_without_thread(void) {
    char message[ENGINE_MESSAGE_SIZE], path[4096];
    llama_engine_options options = {
        .model_path = test_model_path(path, "tutor.gguf"), .n_ctx = 256, .n_sequences = N_SEQUENCES, .n_threads = 3};
    for (int n = 0; n < 2; n++) {
        engine *engine;
        threads_left = n;
        CHECK_INT(llama_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_NO_MEMORY);
        CHECK(engine == NULL && strstr(message, "cannot start thread") && strstr(message, "-t N"));
    }
    threads_left = -1;
}

int main(void) {
    test_begin("failing_lanes", 60);
    owner = pthread_self();
    test_step("a thread cannot be started");
    refuse_without_thread();
    model = open_in_lanes(NULL, N_SEQUENCES, 2000);
    for (int q = 0; q < N_SEQUENCES; q++) {
        engine_request request = ask(questions[q]);
        request.wants_logprobs = true;
        alone[q] = *run_request(&request);
    }
    for (who lanes = OWNER; lanes <= OTHERS; lanes++) {
        const char *name = lanes == OWNER ? "the first lane" : "the other lanes";
        test_step("%s: a prompt cannot be evaluated", name);
        fail_after(0, lanes);
        test_step("%s: a token cannot be evaluated", name);
        for (int n_steps = 5; n_steps < 20; n_steps += 4) fail_after(n_steps, lanes);
    }
    engine_close(model);

    test_step("in the warm-up");
    failing = OTHERS;
    model = open_in_lanes(NULL, N_SEQUENCES, 2000);
    failing = NOBODY;
    int sequences[N_SEQUENCES];
    ask_all(sequences);
    for (int q = 0; q < N_SEQUENCES; q++) check_same(run(sequences[q]), &alone[q]);
    engine_close(model);
    return test_end();
}
