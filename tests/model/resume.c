/* resume.c - src/engine/llama: an answer is the same to the last byte, and to the last bit of its log probabilities,
 * alone, beside others, and gone on with after any of its tokens; what cannot be gone on with is refused.
 *
 * resume [MODEL] - another model than the embedded one; it must be one that the engine is exact with (see its internal.h).
 */
#include "model_test.h"

#include <math.h>
#include <stdio.h>

enum { N_BESIDE = 3 };

static int32_t copied[MAX_TOKENS]; /* what a request gets of an answer; overwritten once it is admitted */

/* ---- ways to ask --------------------------------------------------------------------------------------------------- */

static engine_request ask_sampled(float temperature, float min_p, int n_predict) {
    static const engine_message message = {"user", "Explain C++ pointers in detail"}; /* ask() reuses its own */
    engine_request request = ask("");
    request.messages = &message;
    request.n_predict = n_predict;
    request.wants_logprobs = true;
    request.sampling.temperature = temperature;
    request.sampling.min_p = min_p;
    request.sampling.seed = 5;
    return request;
}

static engine_request ask_warm(void) {
    return ask_sampled(0.8f, 0.05f, -1);
}

/* Nonsense, with characters that are spread over several tokens. */
static engine_request ask_hot(void) {
    engine_request request = ask_sampled(2, 0, 150);
    request.sampling.ignore_eos = true;
    return request;
}

static engine_request ask_penalised(void) {
    engine_request request = ask_sampled(1, 0, 120);
    request.sampling.repeat_penalty = 1.3f;
    request.sampling.frequency_penalty = 0.4f;
    request.sampling.presence_penalty = 0.3f;
    request.sampling.repeat_last_n = 40;
    request.sampling.top_k = 50;
    request.sampling.top_p = 0.95f;
    return request;
}

/* Mostly not what the model would say: nearly every token is drawn a second time. */
static engine_request ask_with_grammar(void) {
    engine_request request = ask_sampled(2, 0, 120);
    request.grammar = "root ::= (digit digit? \"\\u2192\" [é-ü] [a-z]+ \", \"){4} \"🚀\" \"!\"+ \".\"\ndigit ::= [0-9]";
    request.sampling.frequency_penalty = 0.5f;
    return request;
}

static engine_request ask_dry(void) {
    engine_request request = ask_sampled(1.5f, 0, 150);
    request.sampling.ignore_eos = true;
    request.sampling.dry_multiplier = 2;
    request.sampling.dry_allowed_length = 1;
    request.sampling.dry_penalty_last_n = -1;
    request.sampling.dry_sequence_breakers = "[\"Z\"]";
    request.sampling.samplers = "penalties;dry;top_n_sigma;top_k;typ_p;xtc;temperature";
    request.sampling.top_n_sigma = 2.5f;
    return request;
}

static engine_request ask_xtc(void) {
    engine_request request = ask_sampled(1, 0, 120);
    request.sampling.xtc_probability = 0.5f;
    request.sampling.xtc_threshold = 0.02f;
    request.sampling.typical_p = 0.95f;
    request.sampling.dynatemp_range = 0.5f;
    request.sampling.logit_bias = "[[\" the\", 1.5], [\"!\", false]]";
    return request;
}

/* What has a memory, of how likely the tokens before were. */
static engine_request ask_mirostat(int version) {
    engine_request request = ask_sampled(1.5f, 0, 120);
    request.sampling.mirostat = version;
    request.sampling.mirostat_tau = 3;
    request.sampling.mirostat_eta = 0.5f;
    request.sampling.ignore_eos = true; /* as random as that, it may end at once */
    return request;
}

static engine_request ask_mirostat_1(void) {
    return ask_mirostat(1);
}

static engine_request ask_mirostat_2(void) {
    engine_request request = ask_mirostat(2);
    request.grammar = "root ::= [a-z ]{90} \".\"";
    return request;
}

static engine_request ask_adaptive(void) {
    engine_request request = ask_sampled(1, 0.01f, 120);
    request.sampling.adaptive_target = 0.3f;
    request.sampling.presence_penalty = 0.5f;
    return request;
}

static const struct {
    const char *name;
    engine_request (*ask)(void);
} ways[] = {{"temperature 0.8", ask_warm},
            {"temperature 2", ask_hot},
            {"penalties", ask_penalised},
            {"a grammar", ask_with_grammar},
            {"DRY", ask_dry},
            {"XTC", ask_xtc},
            {"Mirostat 1", ask_mirostat_1},
            {"Mirostat 2 and a grammar", ask_mirostat_2},
            {"adaptive-p", ask_adaptive}};
enum { N_WAYS = sizeof ways / sizeof ways[0] };

/* ---- beside others ------------------------------------------------------------------------------------------------- */

static bool is_running(int sequence) {
    return answers[sequence].n_steps >= 0 && answers[sequence].end == ENGINE_END_NONE;
}

static void admit_another(uint64_t *random, const char *long_text) {
    bool is_long = test_random(random, 5) == 0;
    engine_request request = ask(is_long ? long_text : questions[test_random(random, N_QUESTIONS)]);
    request.n_predict = (int32_t)test_random(random, is_long ? 3 : 30);
    request.sampling.temperature = 1;
    request.sampling.seed = test_random(random, 1000);
    admit(&request);
}

static int count_running(void) {
    int n_running = 0;
    for (int s = 0; s < N_SEQUENCES; s++) n_running += is_running(s);
    return n_running;
}

static void forget_all(void) {
    for (int s = 0; s < N_SEQUENCES; s++) engine_cancel(model, s);
    if (count_running() > 0) step();
    for (int s = 0; s < N_SEQUENCES; s++) answers[s].n_steps = -1; /* free */
}

/* Up to three others come and go in the meantime, some with long prompts, some cancelled. */
static answer run_beside(const engine_request *request, uint64_t random) {
    char *text = long_question(50 + test_random(&random, 400));
    forget_all();
    for (uint32_t n = test_random(&random, N_BESIDE + 1); n > 0; n--) admit_another(&random, text);
    int sequence = admit(request);
    while (is_running(sequence)) {
        if (count_running() <= N_BESIDE && test_random(&random, 8) == 0) admit_another(&random, text);
        int other = (int)test_random(&random, 40 * N_SEQUENCES);
        if (other < N_SEQUENCES && other != sequence) engine_cancel(model, other);
        step();
    }
    answer result = answers[sequence];
    forget_all();
    free(text);
    return result;
}

/* ---- comparing ----------------------------------------------------------------------------------------------------- */

/* The first `n_resumed` tokens have no log probabilities, all others the same bits. */
static void check_same(const char *what, const answer *got, const answer *expected, int n_resumed) {
    CHECK_SAY(got->n_resumed == n_resumed, "%s: %d resumed tokens, expected %d", what, got->n_resumed, n_resumed);
    for (int i = 0; i < got->n_tokens && i < expected->n_tokens; i++) {
        CHECK_SAY(got->tokens[i] == expected->tokens[i], "%s: token %d is %d, expected %d", what, i, got->tokens[i],
                  expected->tokens[i]);
        CHECK_SAY(got->ends_at[i] == expected->ends_at[i], "%s: token %d has other text", what, i);
        CHECK_SAY(i < n_resumed ? isnan(got->logprobs[i])
                                : memcmp(&got->logprobs[i], &expected->logprobs[i], sizeof(float)) == 0,
                  "%s: token %d has log probability %.9g, expected %.9g", what, i, got->logprobs[i], expected->logprobs[i]);
    }
    CHECK_SAY(got->n_tokens == expected->n_tokens, "%s: %d tokens, expected %d", what, got->n_tokens, expected->n_tokens);
    CHECK_TEXT(got->text, expected->text);
    CHECK_SAY(got->end == expected->end, "%s: ended with %s, expected %s", what, engine_end_text(got->end),
              engine_end_text(expected->end));
    CHECK_INT(got->last.n_prompt, ==, expected->last.n_prompt);
}

/* ---- resuming ------------------------------------------------------------------------------------------------------ */

static engine_request resume_after(engine_request request, const answer *of, int n_resumed) {
    memcpy(copied, of->tokens, (size_t)n_resumed * sizeof *copied);
    request.resumed = copied;
    request.n_resumed = (size_t)n_resumed;
    return request;
}

static void check_cut(const char *name, const engine_request *request, const answer *expected, int n_resumed) {
    char what[128];
    snprintf(what, sizeof what, "%s, gone on with after %d of %d tokens", name, n_resumed, expected->n_tokens);
    engine_request resumed = resume_after(*request, expected, n_resumed);
    int sequence = admit(&resumed);
    memset(copied, 0xFF, sizeof copied);
    check_same(what, run(sequence), expected, n_resumed);
}

static void check_cut_beside(const char *name, const engine_request *request, const answer *expected, int n_resumed) {
    char what[128];
    snprintf(what, sizeof what, "%s, gone on with after %d of %d tokens beside others", name, n_resumed,
             expected->n_tokens);
    engine_request resumed = resume_after(*request, expected, n_resumed);
    answer got = run_beside(&resumed, (uint64_t)n_resumed);
    check_same(what, &got, expected, n_resumed);
}

/* With a limit that the resumed tokens have reached, nothing follows them. */
static void check_cut_at_limit(const engine_request *request, const answer *expected, int n_resumed) {
    engine_request resumed = resume_after(*request, expected, n_resumed);
    resumed.n_predict = n_resumed;
    const answer *got = run_request(&resumed);
    CHECK_INT(got->n_tokens, ==, n_resumed);
    CHECK_INT(got->n_resumed, ==, n_resumed);
    CHECK_INT(got->end, ==, ENGINE_END_LIMIT);
    CHECK(got->n == expected->ends_at[n_resumed - 1] && test_is_prefix(got->text, got->n, expected->text));
}

static void check_way(int number) {
    const char *name = ways[number].name;
    engine_request request = ways[number].ask();
    answer expected = *run_request(&request), got;
    test_step("%s: %d tokens, %zu bytes, %s", name, expected.n_tokens, expected.n, engine_end_text(expected.end));
    CHECK_INT(expected.n_tokens, >, 20);
    for (uint64_t random = 1; random <= 4; random++) {
        got = run_beside(&request, random);
        check_same(name, &got, &expected, 0);
    }
    int last = expected.n_tokens, cuts[] = {1, 2, 3, 10, last / 2, last - 1, last};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        check_cut(name, &request, &expected, cuts[i]);
        check_cut_at_limit(&request, &expected, cuts[i]);
    }
    check_cut_beside(name, &request, &expected, 1);
    check_cut_beside(name, &request, &expected, last / 2);
}

/* After tokens that only begin a character. */
static void cut_characters(void) {
    enum { ENOUGH = 5 };
    engine_request request = ask_hot();
    request.n_predict = 500;
    request.sampling.temperature = 5;
    answer expected = *run_request(&request);
    int n_inside = 0;
    for (int i = 1; i < expected.n_tokens && n_inside < ENOUGH; i++) {
        if (expected.ends_at[i] != expected.ends_at[i - 1]) continue;
        check_cut("temperature 5", &request, &expected, i + 1);
        n_inside++;
    }
    CHECK_INT(n_inside, ==, ENOUGH);
}

static void resume_up_to_the_context(void) {
    engine_request request = ask_hot();
    request.n_predict = -1;
    answer expected = *run_request(&request);
    CHECK_INT(expected.end, ==, ENGINE_END_CONTEXT);
    check_cut("full context", &request, &expected, expected.n_tokens / 2);
    check_cut("full context", &request, &expected, expected.n_tokens);
    request = resume_after(request, &expected, expected.n_tokens);
    request.n_resumed++;
    int sequence;
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_RESUMED);
    CHECK_SAY(strstr(model->message, "context of"), "%s", model->message);
}

/* An answer that its reader cancels, or the host interrupts, while it is retraced. */
static void cancel_while_retracing(void) {
    engine_request request = ask_hot();
    answer expected = *run_request(&request);
    request = resume_after(request, &expected, 100);
    int sequence = admit(&request);
    for (int i = 0; i < 10; i++) step();
    engine_cancel(model, sequence);
    step();
    CHECK_INT(answers[sequence].end, ==, ENGINE_END_CANCELLED);
    CHECK_INT(answers[sequence].n_resumed, ==, 9); /* the first step read the prompt */
    request = ask_hot();
    check_same("after one that was cancelled", run_request(&request), &expected, 0);
}

/* ---- refusing ------------------------------------------------------------------------------------------------------ */

static void check_refused(const engine_request *request, const char *reason) {
    int sequence;
    CHECK_INT(engine_admit(model, request, &sequence), ==, ENGINE_E_RESUMED);
    CHECK_SAY(strstr(model->message, reason), "%s", model->message);
}

static void refuse(void) {
    engine_request request = ask_warm();
    answer expected = *run_request(&request);
    request = resume_after(request, &expected, 10);
    copied[7] = -1;
    check_refused(&request, "token 7");
    copied[7] = model->facts.n_vocab;
    check_refused(&request, "not in the vocabulary");
    copied[7] = expected.tokens[7];
    request.n_predict = 9;
    check_refused(&request, "9 were asked for");
    request.n_predict = 0;
    check_refused(&request, "0 were asked for");

    /* Each token of the vocabulary may be one of an answer, but for those that end it. */
    int n_refused = 0;
    request = ask_warm();
    request.resumed = copied;
    request.n_resumed = 1;
    for (copied[0] = 0; copied[0] < model->facts.n_vocab; copied[0]++) {
        int sequence, error = engine_admit(model, &request, &sequence);
        if (error == 0) engine_cancel(model, sequence);
        else CHECK_SAY(error == ENGINE_E_RESUMED && strstr(model->message, "ends an answer"), "%s", model->message);
        if (error == 0) engine_step(model, progress);
        n_refused += error < 0;
    }
    CHECK_INT(n_refused, >, 0);
    CHECK_INT(n_refused, <, 20);

    request = ask_warm();
    check_same("after the refused ones", run_request(&request), &expected, 0);
    request = resume_after(request, &expected, 10);
    request.grammar = "root ::= \"yes\" | \"no\"";
    const answer *got = run_request(&request);
    CHECK_INT(got->end, ==, ENGINE_END_FAILED);
    CHECK_SAY(strstr(model->message, "does not fit the grammar"), "%s", model->message);
    CHECK_INT(got->n, ==, 0);
}

int main(int argc, char **argv) {
    test_begin("resume", 170);
    model = open_repeatable(argc > 1 ? argv[1] : NULL, N_SEQUENCES, 1024);
    for (int i = 0; i < N_WAYS; i++) check_way(i);
    test_step("inside of characters");
    cut_characters();
    test_step("up to the context");
    resume_up_to_the_context();
    test_step("cancelled");
    cancel_while_retracing();
    test_step("refused");
    refuse();
    engine_close(model);
    return test_end();
}
