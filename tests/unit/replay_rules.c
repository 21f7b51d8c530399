/* replay_rules.c - src/engine/replay.c: the text comes back whole and cut as promised, each request from its beginning,
 * on time and never early, for many sequences at once, and gone on with after any token. */
#include "../support/harness.h"

#include "engine/engine.h"
#include "platform/platform.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_SEQUENCES = 100, MAX_ANSWER = 65536, MAX_TOKENS = 64 };

static const char text[] = "  Hello, wörld!\n\nA word_that_is_longer_than_sixteen_bytes "
                           "🚀🚀🚀🚀🚀🚀 \t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\tend\n";

typedef struct answer {
    char text[MAX_ANSWER];
    size_t n;
    int n_tokens;
    int n_resumed;
    engine_end end;
    engine_progress last;
} answer;

static answer answers[N_SEQUENCES];
static engine_progress progress[N_SEQUENCES];
static char path[64];
static bool is_interrupted;

static bool interrupted(void *user_data) {
    (void)user_data;
    return is_interrupted;
}

static void write_text(const char *bytes, size_t n) {
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
}

static engine *open_replay(double rate, int n_sequences, uint32_t n_ctx) {
    engine *engine;
    char message[ENGINE_MESSAGE_SIZE];
    replay_engine_options options = {.text_path = path, .tokens_per_second = rate, .n_sequences = n_sequences,
                                     .n_ctx = n_ctx, .callbacks = {.interrupted = interrupted}};
    CHECK_SAY(replay_engine_open(&options, &engine, message, sizeof message) == 0, "%s", message);
    return engine;
}

static engine_request ask(const char *question) {
    static engine_message message;
    message = (engine_message){"user", question};
    return (engine_request){.messages = &message, .n_messages = 1, .n_predict = -1};
}

static int admit(engine *engine, const engine_request *request) {
    int sequence = -1;
    CHECK_SAY(engine_admit(engine, request, &sequence) == 0, "%s", engine->message);
    CHECK(sequence >= 0 && sequence < engine->facts.n_sequences);
    answers[sequence] = (answer){.n = 0};
    return sequence;
}

static size_t step(engine *engine) {
    size_t n_moved = engine_step(engine, progress);
    for (size_t i = 0; i < n_moved; i++) {
        answer *answer = &answers[progress[i].sequence];
        CHECK_INT(answer->end, ==, ENGINE_END_NONE);
        CHECK(answer->n + progress[i].n_bytes < MAX_ANSWER);
        memcpy(answer->text + answer->n, progress[i].text, progress[i].n_bytes);
        answer->n += progress[i].n_bytes;
        answer->text[answer->n] = 0;
        answer->n_tokens += progress[i].has_token;
        answer->n_resumed += progress[i].is_resumed;
        answer->end = progress[i].end;
        answer->last = progress[i];
        CHECK_INT(progress[i].n_tokens, ==, answer->n_tokens);
        CHECK(progress[i].has_token || progress[i].n_bytes == 0);
    }
    return n_moved;
}

static void run(engine *engine, int sequence) {
    while (answers[sequence].end == ENGINE_END_NONE) step(engine);
}

static void check_tokens(void) {
    static const char *const expected[] = {"  Hello,", " wörld!", "\n\nA", " word_that_is_lo",
                                           "nger_than_sixtee", "n_bytes",
                                           " 🚀🚀🚀", "🚀🚀🚀", " \t\t\t\t\t\t\t\t\t\t\t\t\t\t\t", "\t\t\tend", "\n"};
    int n_expected = (int)(sizeof expected / sizeof expected[0]);
    engine *engine = open_replay(0, 1, 0);
    engine_request request = ask("one two  three");
    CHECK(engine_next_step_ns(engine) == UINT64_MAX);
    CHECK_INT(engine_step(engine, progress), ==, 0);
    for (int round = 0; round < 2; round++) {
        request.wants_logprobs = round == 1;
        request.sampling.n_probs = 5 * round;
        int sequence = admit(engine, &request);
        for (int i = 0; i < n_expected; i++) {
            CHECK(engine_next_step_ns(engine) == 0);
            CHECK_INT(step(engine), ==, 1);
            CHECK(progress[0].has_token);
            CHECK_INT(progress[0].token, ==, i);
            CHECK_SAY(progress[0].n_bytes == strlen(expected[i]) &&
                      memcmp(progress[0].text, expected[i], progress[0].n_bytes) == 0, "token %d is '%.*s'", i,
                      (int)progress[0].n_bytes, progress[0].text);
            CHECK(round == 1 ? progress[0].logprob == 0 : isnan(progress[0].logprob));
            CHECK_INT(progress[0].n_likeliest, ==, round); /* there is no other */
            const engine_likely *likely = progress[0].likeliest;
            if (round == 1)
                CHECK(likely->token == i && likely->logprob == 0 && likely->n_bytes == strlen(expected[i]) &&
                      strncmp(likely->text, expected[i], ENGINE_LIKELY_TEXT) == 0);
            CHECK_INT(progress[0].n_prompt, ==, 3);
            CHECK_INT(progress[0].n_prompt_done, ==, 3);
        }
        run(engine, sequence);
        CHECK_TEXT(answers[sequence].text, text);
        CHECK_INT(answers[sequence].end, ==, ENGINE_END_TURN);
        CHECK_INT(engine->facts.n_vocab, ==, n_expected);
    }
    engine_close(engine);
}

static void check_ends(void) {
    engine *engine = open_replay(0, 2, 8);
    int sequence;
    engine_request request = ask("one two three");
    request.n_predict = 0;
    run(engine, sequence = admit(engine, &request));
    CHECK_INT(answers[sequence].end, ==, ENGINE_END_LIMIT);
    CHECK_INT(answers[sequence].n_tokens, ==, 0);
    CHECK_INT(answers[sequence].last.n_prompt_done, ==, 3);
    request.n_predict = 3;
    run(engine, sequence = admit(engine, &request));
    CHECK_INT(answers[sequence].end, ==, ENGINE_END_LIMIT);
    CHECK_TEXT(answers[sequence].text, "  Hello, wörld!\n\nA");
    request.n_predict = -1;
    run(engine, sequence = admit(engine, &request));
    CHECK_INT(answers[sequence].end, ==, ENGINE_END_CONTEXT);
    CHECK_INT(answers[sequence].n_tokens, ==, 5);

    request = ask("1 2 3 4 5 6 7 8");
    CHECK_INT(engine_admit(engine, &request, &sequence), ==, ENGINE_E_TOO_LONG);
    CHECK(strstr(engine->message, "8 tokens"));
    request = ask("x");
    request.grammar = "root ::= \"a\"";
    CHECK_INT(engine_admit(engine, &request, &sequence), ==, ENGINE_E_GRAMMAR);
    request.grammar = "";
    admit(engine, &request);
    admit(engine, &request);
    CHECK_INT(engine_admit(engine, &request, &sequence), ==, ENGINE_E_BUSY);
    engine_close(engine);

    engine = open_replay(0, 1, 0);
    request = ask("");
    request.sampling.ignore_eos = true;
    request.n_predict = 25;
    run(engine, sequence = admit(engine, &request));
    CHECK_INT(answers[sequence].n_tokens, ==, 25);
    CHECK(memcmp(answers[sequence].text, text, sizeof text - 1) == 0);
    CHECK(memcmp(answers[sequence].text + 2 * (sizeof text - 1), text, 10) == 0);
    CHECK_INT(answers[sequence].last.token, ==, 2);
    engine_close(engine);
}

static void check_cancel(void) {
    engine *engine = open_replay(0.001, 3, 0);
    engine_request request = ask("x");
    for (int i = 0; i < 3; i++) admit(engine, &request);
    CHECK_INT(step(engine), ==, 3);
    CHECK_INT(step(engine), ==, 0);
    engine_cancel(engine, 1);
    engine_cancel(engine, 1);
    engine_cancel(engine, -1);
    engine_cancel(engine, 3);
    CHECK(engine_next_step_ns(engine) == 0);
    CHECK_INT(step(engine), ==, 1);
    CHECK_INT(progress[0].sequence, ==, 1);
    CHECK_INT(progress[0].end, ==, ENGINE_END_CANCELLED);
    CHECK_INT(progress[0].n_tokens, ==, 1);
    engine_cancel(engine, 1);
    CHECK(engine_next_step_ns(engine) > plat_clock_ns());
    is_interrupted = true;
    CHECK_INT(step(engine), ==, 2);
    is_interrupted = false;
    CHECK_INT(answers[0].end, ==, ENGINE_END_CANCELLED);
    CHECK_INT(answers[2].end, ==, ENGINE_END_CANCELLED);
    CHECK(engine_next_step_ns(engine) == UINT64_MAX);
    engine_close(engine);
}

/* Token k is due k periods after the admission: not earlier, and what was missed is made up one token a step. */
static void check_rate(void) {
    static const double rate = 500;
    uint64_t period = (uint64_t)(1e9 / rate), before = plat_clock_ns();
    engine *engine = open_replay(rate, 1, 0);
    engine_request request = ask("x");
    request.n_predict = 11;
    int sequence = admit(engine, &request);
    uint64_t after = plat_clock_ns();
    for (int k = 0; answers[sequence].end == ENGINE_END_NONE; k++) {
        uint64_t due = engine_next_step_ns(engine);
        if (k > 0) CHECK(due >= before + (uint64_t)k * period - 1 && due <= after + (uint64_t)k * period + 1);
        if (k == 4) test_pause_ms(10); /* late: the next ones are due at once */
        uint64_t earliest = plat_clock_ns();
        bool has_moved = step(engine) == 1;
        CHECK(has_moved ? plat_clock_ns() >= due : earliest < due);
        k -= !has_moved;
    }
    CHECK(plat_clock_ns() >= before + 10 * period);
    CHECK_INT(answers[sequence].n_tokens, ==, 11);
    CHECK(answers[sequence].last.generate_ns >= 9 * period);

    sequence = admit(engine, &request);
    test_pause_ms(25);
    for (int k = 0; k < 11; k++) CHECK_INT(step(engine), ==, 1);
    CHECK_INT(answers[sequence].end, ==, ENGINE_END_LIMIT);
    engine_close(engine);
}

/* The beginning of the text, as often as it takes. */
static engine_request resume_after(engine_request request, const engine *engine, int n_resumed) {
    static int32_t tokens[MAX_TOKENS];
    for (int i = 0; i < MAX_TOKENS; i++) tokens[i] = i % engine->facts.n_vocab;
    request.resumed = tokens;
    request.n_resumed = (size_t)n_resumed;
    return request;
}

static void check_gone_on(engine *engine, const engine_request *request) {
    static answer expected;
    run(engine, admit(engine, request));
    expected = answers[0];
    for (int n_resumed = 0; n_resumed <= expected.n_tokens; n_resumed++) {
        engine_request resumed = resume_after(*request, engine, n_resumed);
        int sequence = admit(engine, &resumed);
        for (int i = 0; answers[sequence].end == ENGINE_END_NONE; i++) {
            step(engine);
            CHECK_INT(progress[0].is_resumed, ==, i < n_resumed);
            if (progress[0].has_token) CHECK_INT(progress[0].token, ==, i % engine->facts.n_vocab);
            bool is_new = progress[0].has_token && i >= n_resumed;
            CHECK(is_new ? progress[0].logprob == 0 : isnan(progress[0].logprob));
            CHECK_INT(progress[0].n_likeliest, ==, is_new);
        }
        CHECK_INT(answers[sequence].n_resumed, ==, n_resumed);
        CHECK_INT(answers[sequence].n_tokens, ==, expected.n_tokens);
        CHECK_TEXT(answers[sequence].text, expected.text);
        CHECK_INT(answers[sequence].end, ==, expected.end);
    }
}

static void check_not_resumed(engine *engine, const engine_request *request, const char *reason) {
    int sequence;
    CHECK_INT(engine_admit(engine, request, &sequence), ==, ENGINE_E_RESUMED);
    CHECK_SAY(strstr(engine->message, reason), "%s", engine->message);
    CHECK(engine_next_step_ns(engine) == UINT64_MAX);
}

static void check_resumed(void) {
    engine *engine = open_replay(0, 1, 0);
    int n_text = engine->facts.n_vocab;
    engine_request request = ask("x");
    request.wants_logprobs = true;
    request.sampling.n_probs = 1;
    check_gone_on(engine, &request); /* to the text's end */
    request.n_predict = 7;
    check_gone_on(engine, &request);
    request.n_predict = 2 * n_text + 3;
    request.sampling.ignore_eos = true;
    check_gone_on(engine, &request); /* round and round */

    request = ask("x");
    engine_request resumed = resume_after(request, engine, n_text + 1);
    check_not_resumed(engine, &resumed, "behind the end");
    int32_t other[] = {0, 2};
    resumed.resumed = other;
    resumed.n_resumed = 2;
    check_not_resumed(engine, &resumed, "token 1");
    resumed.n_resumed = 1;
    resumed.n_predict = 0;
    check_not_resumed(engine, &resumed, "0 were asked for");
    engine_close(engine);

    engine = open_replay(0, 1, 8);
    request = ask("one two three");
    request.wants_logprobs = true;
    request.sampling.n_probs = 1;
    check_gone_on(engine, &request); /* to the context's end */
    resumed = resume_after(request, engine, 6);
    check_not_resumed(engine, &resumed, "context of 8");
    engine_close(engine);
}

/* Resumed tokens come at once, the next one a period after the last of them, and the rest keeps to that. */
static void check_rate_of_resumed(void) {
    static const double rate = 200;
    uint64_t period = (uint64_t)(1e9 / rate);
    engine *engine = open_replay(rate, 1, 0);
    engine_request request = ask("x");
    request.n_predict = 9;
    request = resume_after(request, engine, 5);
    int sequence = admit(engine, &request);
    uint64_t before = 0, after = 0;
    for (int k = 0; k < 5; k++) {
        CHECK(engine_next_step_ns(engine) == 0);
        before = plat_clock_ns();
        CHECK_INT(step(engine), ==, 1);
        after = plat_clock_ns();
    }
    for (int k = 1; answers[sequence].end == ENGINE_END_NONE; k++) {
        uint64_t due = engine_next_step_ns(engine);
        CHECK(due >= before + (uint64_t)k * period - 1 && due <= after + (uint64_t)k * period + 1);
        while (step(engine) == 0) test_breathe();
        CHECK(plat_clock_ns() >= due);
    }
    CHECK_INT(answers[sequence].n_tokens, ==, 9);
    engine_close(engine);
}

static void check_many(void) {
    engine *engine = open_replay(0, N_SEQUENCES, 0);
    engine_request request = ask("x");
    uint64_t random = 1;
    int n_left = 5 * N_SEQUENCES, n_running = 0;
    while (n_left > 0 || n_running > 0) {
        for (uint32_t n = test_random(&random, 20); n > 0 && n_left > 0 && n_running < N_SEQUENCES; n--) {
            admit(engine, &request);
            n_left--;
            n_running++;
        }
        size_t n_moved = step(engine);
        CHECK_INT(n_moved, ==, n_running);
        for (size_t i = 0; i < n_moved; i++) {
            if (progress[i].end == ENGINE_END_NONE) continue;
            n_running--;
            CHECK_INT(progress[i].end, ==, ENGINE_END_TURN);
            CHECK_TEXT(answers[progress[i].sequence].text, text);
        }
    }
    engine_close(engine);
}

static void check_bad_texts(void) {
    char message[ENGINE_MESSAGE_SIZE];
    engine *engine;
    replay_engine_options options = {.text_path = "/nowhere/at/all", .n_sequences = 1};
    CHECK_INT(replay_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_MODEL_MISSING);
    CHECK(engine == NULL && strstr(message, "/nowhere/at/all"));
    options.text_path = "/dev";
    CHECK_INT(replay_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_MODEL_MISSING);
    options.text_path = path;
    write_text("", 0);
    CHECK_INT(replay_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_MODEL_BAD);
    write_text("a\xffz", 3);
    CHECK_INT(replay_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_MODEL_BAD);
    write_text("a\0z", 3);
    CHECK_INT(replay_engine_open(&options, &engine, message, sizeof message), ==, ENGINE_E_MODEL_BAD);
}

int main(void) {
    test_begin("replay_rules", 60);
    int fd = mkstemp(strcpy(path, "/tmp/lipc-replay-XXXXXX"));
    CHECK(fd >= 0);
    close(fd);
    test_step("files that are no text");
    check_bad_texts();
    write_text(text, sizeof text - 1);
    test_step("where tokens end");
    check_tokens();
    test_step("how answers end");
    check_ends();
    test_step("cancelling");
    check_cancel();
    test_step("going on");
    check_resumed();
    test_step("%d sequences", N_SEQUENCES);
    check_many();
    test_step("the rate");
    check_rate();
    check_rate_of_resumed();
    unlink(path);
    return test_end();
}
