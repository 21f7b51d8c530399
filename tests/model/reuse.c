/* reuse.c - src/engine/llama on the embedded model: what is in memory is not evaluated again, drafts change nothing but the
 * number of steps, and a context that is full goes on if it may. In each case the text is, to the last byte, that of an
 * engine that does nothing of the kind.
 */
#include "model_test.h"

#include <math.h>
#include <stdio.h>

#define SYSTEM "You are a patient tutor. You explain what a program does, step by step, in short sentences, and you never "   \
               "leave out why. You answer in English. If something is not known, you say so, and where to look for it."

static engine_request converse(const engine_message *messages, size_t n_messages) {
    engine_request request = ask("");
    request.messages = messages;
    request.n_messages = n_messages;
    request.n_predict = 60;
    return request;
}

static answer without_reuse(const engine_request *request) {
    engine *other = model;
    model = open_with((llama_engine_options){.n_sequences = 1, .n_ctx = 2048, .n_threads = 1, .is_repeatable = true});
    answer result = *run_request(request);
    CHECK_INT(result.last.n_cached, ==, 0);
    engine_close(model);
    model = other;
    return result;
}

static int32_t n_evaluated(const answer *answer) {
    return answer->last.n_prompt - answer->last.n_cached;
}

/* ---- conversations ------------------------------------------------------------------------------------------------- */

/* Each turn evaluates what is new: the last question, and what of the last answer has other tokens when it is read than
 * when it was made. */
static void go_on_with_conversations(void) {
    static char said[3][MAX_ANSWER];
    engine_message turns[7] = {{"system", SYSTEM}};
    int32_t n_before = 0;
    for (int t = 0; t < 3; t++) {
        turns[2 * t + 1] = (engine_message){"user", questions[t]};
        engine_request request = converse(turns, 2 * (size_t)t + 2);
        answer got = *run_request(&request), expected = without_reuse(&request);
        CHECK_TEXT(got.text, expected.text);
        CHECK_INT(got.last.n_prompt, ==, expected.last.n_prompt);
        if (t > 0) CHECK_INT(got.last.n_cached, >=, n_before);
        n_before = got.last.n_prompt;
        strcpy(said[t], got.text);
        turns[2 * t + 2] = (engine_message){"assistant", said[t]};
    }
}

/* Several clients at the same moment, with one system prompt: its tokens are evaluated by the first one. */
static void share_a_beginning(void) {
    engine_message turns[3][2];
    engine_request requests[3];
    int sequences[3];
    answer expected[3];
    for (int i = 0; i < 3; i++) {
        turns[i][0] = (engine_message){"system", "Another system. " SYSTEM};
        turns[i][1] = (engine_message){"user", questions[i + 3]};
        requests[i] = converse(turns[i], 2);
        expected[i] = without_reuse(&requests[i]);
    }
    for (int i = 0; i < 3; i++) sequences[i] = admit(&requests[i]);
    for (int i = 0; i < 3; i++) CHECK_TEXT(run(sequences[i])->text, expected[i].text);
    const answer *first = &answers[sequences[0]];
    for (int i = 1; i < 3; i++) CHECK_INT(n_evaluated(&answers[sequences[i]]), <, first->last.n_prompt / 2);
}

/* What is used least recently goes first. */
static void forget_the_oldest(void) {
    engine *shared = model;
    model = open_plain(NULL, 2, 1024);
    static const char *const texts[] = {"What is a semaphore?", "Explain C++ pointers in detail", "words words words words"};
    engine_request request[3];
    for (int i = 0; i < 3; i++) {
        request[i] = ask(texts[i]);
        request[i].n_predict = 1;
        run_request(&request[i]);
    }
    CHECK_INT(n_evaluated(run_request(&request[1])), ==, 1);
    CHECK_INT(n_evaluated(run_request(&request[2])), ==, 1);
    CHECK_INT(n_evaluated(run_request(&request[0])), >, 1);
    CHECK_INT(n_evaluated(run_request(&request[2])), ==, 1);
    engine_close(model);
    model = shared;
}

/* Cancelled and interrupted answers leave what was evaluated for certain, and nothing else. */
static void reuse_after_cuts(void) {
    engine_request request = ask("Explain C++ pointers in detail");
    answer expected = without_reuse(&request);
    for (int n_steps = 1; n_steps < 20; n_steps += 3) {
        int sequence = admit(&request);
        for (int i = 0; i < n_steps; i++) step();
        if (n_steps % 2) engine_cancel(model, sequence);
        else interrupt_after = 1;
        step();
        interrupt_after = -1;
        CHECK_INT(answers[sequence].end, ==, ENGINE_END_CANCELLED);
        CHECK_TEXT(run_request(&request)->text, expected.text);
    }
}

/* ---- a full context ------------------------------------------------------------------------------------------------ */

static void shift(void) {
    enum { N_CTX = 256 };
    engine *shared = model;
    engine_message messages[40] = {{"system", SYSTEM}, {"user", questions[4]}};
    engine_request request = converse(messages, 2);
    request.n_predict = 3 * N_CTX;
    request.sampling.ignore_eos = true;
    request.sampling.temperature = 0.8f;
    for (int is_repeatable = 1; is_repeatable >= 0; is_repeatable--) {
        model = open_with((llama_engine_options){
            .n_sequences = 2, .n_ctx = N_CTX, .n_threads = 1, .context_shift = true, .is_repeatable = is_repeatable});
        answer expected = *run_request(&request);
        CHECK_INT(expected.end, ==, ENGINE_END_LIMIT);
        CHECK_INT(expected.n_tokens, ==, 3 * N_CTX);
        request.resumed = expected.tokens;
        request.n_resumed = 2 * N_CTX + 7;
        const answer *got = run_request(&request);
        if (is_repeatable) CHECK_TEXT(got->text, expected.text);
        CHECK_INT(got->end, ==, ENGINE_END_LIMIT);
        CHECK(memcmp(got->text, expected.text, expected.ends_at[request.n_resumed - 1]) == 0);
        request.n_resumed = 0;
        if (is_repeatable) engine_close(model);
    }
    test_step("a conversation that does not fit");
    size_t n = 1;
    for (; n < 39; n += 2) {
        messages[n] = (engine_message){"user", questions[n % N_QUESTIONS]};
        messages[n + 1] = (engine_message){"assistant", "That was said before, and at some length, too."};
    }
    messages[n++] = (engine_message){"user", questions[0]};
    request = converse(messages, n);
    const answer *got = run_request(&request);
    CHECK_INT(got->last.n_prompt, <, N_CTX * 3 / 4);
    CHECK_INT(got->last.n_prompt, >, N_CTX / 4);
    char *text = long_question(500);
    messages[n - 1].text = text;
    CHECK_INT(run_request(&request)->end, ==, ENGINE_END_REFUSED); /* when it has become tokens, beside the steps */
    CHECK_SAY(strstr(model->message, "context"), "it says: %s", model->message);
    int sequence;
    request = ask(text); /* short enough to become tokens at once */
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_TOO_LONG);
    CHECK_SAY(strstr(model->message, "context"), "it says: %s", model->message);
    free(text);
    engine_close(model);
    model = shared;
}

int main(void) {
    test_begin("reuse", 120);
    model = open_plain(NULL, 4, 2048);
    test_step("conversations");
    go_on_with_conversations();
    test_step("one system prompt for several");
    share_a_beginning();
    test_step("the oldest");
    forget_the_oldest();
    test_step("after cuts");
    reuse_after_cuts();
    test_step("a full context");
    shift();
    engine_close(model);
    return test_end();
}
