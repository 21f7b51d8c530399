/* sequences.c - src/engine/llama on the embedded model: answers made beside others are those made
 * alone, wherever they come and go; cancelling, limits, grammars, penalties and log probabilities do what engine.h says.
 */
#include "model_test.h"

#include "../support/test_model.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

static answer alone[N_QUESTIONS];

static void answer_alone(void) {
    for (int q = 0; q < N_QUESTIONS; q++) {
        engine_request request = ask(questions[q]);
        alone[q] = *run_request(&request);
        CHECK_INT(alone[q].end, ==, ENGINE_END_TURN);
        CHECK_INT(alone[q].n, >, 20);
        CHECK(isnan(alone[q].logprobs[0]));
    }
}

/* Five at a time, admitted at different moments, until each question was answered several times. One of seven is
 * cancelled on its way, and must have got no further than a beginning of its answer. */
static void answer_together(void) {
    uint64_t random = 7;
    bool is_running[N_SEQUENCES] = {false};
    int question_of[N_SEQUENCES], n_running = 0, n_admitted = 0, n_cancelled = 0;
    while (n_admitted < 40 || n_running > 0) {
        while (n_admitted < 40 && n_running < N_SEQUENCES && test_random(&random, 8) == 0) {
            int question = n_admitted++ % N_QUESTIONS;
            engine_request request = ask(questions[question]);
            int sequence = admit(&request);
            question_of[sequence] = question;
            is_running[sequence] = true;
            n_running++;
        }
        if (test_random(&random, 150) == 0) engine_cancel(model, (int)test_random(&random, N_SEQUENCES));
        CHECK(engine_next_step_ns(model) == (n_running > 0 ? 0 : UINT64_MAX));
        int n_reading = 0;
        for (int s = 0; s < N_SEQUENCES; s++) n_reading += is_running[s] && answers[s].n_tokens == 0;
        size_t n_moved = step();
        CHECK_INT(n_moved, >=, n_running - (n_reading > 1 ? n_reading - 1 : 0)); /* one chunk a step, and all others */
        for (size_t i = 0; i < n_moved; i++) {
            int sequence = progress[i].sequence;
            const answer *expected = &alone[question_of[sequence]], *got = &answers[sequence];
            if (progress[i].end == ENGINE_END_NONE) continue;
            n_running--;
            is_running[sequence] = false;
            if (progress[i].end == ENGINE_END_CANCELLED) {
                n_cancelled++;
                CHECK(!progress[i].has_token && test_is_prefix(got->text, got->n, expected->text));
                continue;
            }
            CHECK_INT(progress[i].end, ==, ENGINE_END_TURN);
            CHECK_TEXT(got->text, expected->text);
            CHECK_INT(got->last.n_tokens, ==, expected->last.n_tokens);
        }
    }
    CHECK(n_cancelled > 0);
}

static int n_slices_of(const int reading[3]) {
    return answers[reading[0]].n_steps + answers[reading[1]].n_steps + answers[reading[2]].n_steps;
}

/* Long, and from its first word on another text for each number. */
static char *distinct_question(int number, size_t n_words) {
    char *text = long_question(n_words);
    text[0] = (char)('a' + number);
    return text;
}

/* While long prompts are read, by turns, those who generate get a token from every step. First slices and further ones
 * take turns: neither does a newcomer wait for all long prompts, nor a long prompt for all newcomers. */
static void read_long_prompts(void) {
    char *texts[3];
    engine_request fast = ask("What is C++?"), slow[3];
    int generating = admit(&fast), reading[3], n_slices = 0;
    while (answers[generating].n_tokens == 0) n_slices += (int)step();
    for (int r = 0; r < 3; r++) {
        texts[r] = distinct_question(r, 600); /* short enough to become tokens at once: they begin in order */
        slow[r] = ask(texts[r]);
        slow[r].n_predict = 1;
        reading[r] = admit(&slow[r]);
    }
    for (int i = 1; answers[reading[2]].n_steps == 0; i++) {
        step();
        CHECK_INT(i, <, 6);
        CHECK_INT(n_slices_of(reading), ==, i);
    }
    CHECK_INT(answers[reading[2]].last.n_prompt_done, >, 7);
    CHECK_INT(answers[reading[2]].last.n_prompt_done, <, answers[reading[2]].last.n_prompt / 2);
    CHECK_INT(answers[reading[0]].n_steps, >, 1);
    int newcomer = admit(&fast);
    for (int i = 0; i < 2 && answers[newcomer].n_steps == 0; i++) CHECK_INT(step(), >=, 2);
    CHECK_INT(answers[newcomer].n_steps, ==, 1);
    CHECK_INT(answers[generating].n_tokens, ==, answers[generating].n_steps - (n_slices - 1));
    /* Cancelled while its prompt is read. */
    engine_cancel(model, reading[1]);
    step();
    CHECK_INT(answers[reading[1]].end, ==, ENGINE_END_CANCELLED);
    CHECK_INT(answers[reading[1]].n, ==, 0);
    run(reading[0]);
    run(reading[2]);
    CHECK_INT(answers[reading[0]].end, ==, ENGINE_END_LIMIT);
    CHECK_TEXT(run(generating)->text, alone[0].text);
    CHECK_TEXT(run(newcomer)->text, alone[0].text);
    for (int r = 0; r < 3; r++) free(texts[r]);
}

/* What a probability's logarithm may differ by in batches of other shapes, which round in other ways. */
#define ROUNDING 5e-3f

static void check_logprob(float got, float alone, bool is_repeatable) {
    CHECK_SAY(is_repeatable ? got == alone : fabsf(got - alone) < ROUNDING, "%.9g beside others, %.9g alone", got, alone);
}

/* Where a chunk has room for several, nobody waits for his first token while others read theirs. Prompts of different
 * lengths: but for rounding as in an engine that makes one answer at a time, and repeatable ones to the last bit. */
static void read_short_prompts(bool is_repeatable) {
    static answer beside[N_SEQUENCES];
    char *texts[N_SEQUENCES];
    engine_request requests[N_SEQUENCES];
    engine *shared = model;
    int sequences[N_SEQUENCES], n_steps = 0, n_without = N_SEQUENCES;
    for (int i = 0; i < N_SEQUENCES; i++) {
        texts[i] = distinct_question(i, 6 + (size_t)i / 2);
        requests[i] = ask(texts[i]);
        requests[i].wants_logprobs = true;
        sequences[i] = admit(&requests[i]);
    }
    for (; n_without > 0; n_steps++) {
        step();
        n_without = 0;
        for (int i = 0; i < N_SEQUENCES; i++) n_without += answers[i].n_tokens == 0;
    }
    if (!is_repeatable) CHECK_INT(n_steps, <, N_SEQUENCES - 1);
    for (int i = 0; i < N_SEQUENCES; i++) beside[i] = *run(sequences[i]);
    model = is_repeatable ? open_repeatable(NULL, 1, 2000) : open_plain(NULL, 1, 2000);
    for (int i = 0; i < N_SEQUENCES; i++) {
        const answer *got = run_request(&requests[i]);
        CHECK_TEXT(got->text, beside[i].text);
        for (int t = 0; t < got->n_tokens; t++)
            check_logprob(beside[i].logprobs[t], got->logprobs[t], is_repeatable);
        free(texts[i]);
    }
    engine_close(model);
    model = shared;
}

/* More answers than a library's pass has rows for prompts. */
static void answer_in_a_crowd(void) {
    enum { N_CROWD = 130, N_TOKENS = 24 }; /* long enough that all of them generate at the same time */
    engine *shared = model;
    int sequence;
    engine_request request = ask("What is C++?");
    request.wants_logprobs = true;
    request.n_predict = N_TOKENS;
    answer alone_exactly = *run_request(&request);
    model = open_with((llama_engine_options){.n_sequences = N_CROWD, .n_ctx = 256, .n_threads = 1});
    engine_progress *entries = calloc((size_t)model->facts.n_progress, sizeof *entries);
    CHECK(entries != NULL);
    for (int i = 0; i < N_CROWD; i++) CHECK_INT(engine_admit(model, &request, &sequence), ==, 0);
    int n_tokens = 0;
    for (size_t n; (n = engine_step(model, entries)) > 0;)
        for (size_t i = 0; i < n; i++) {
            if (!entries[i].has_token) continue;
            check_logprob(entries[i].logprob, alone_exactly.logprobs[entries[i].n_tokens - 1], false);
            n_tokens++;
        }
    CHECK_INT(n_tokens, ==, N_CROWD * N_TOKENS);
    free(entries);
    engine_close(model);
    model = shared;
}

static void end_in_every_way(void) {
    engine_request request = ask("What is C++?");
    request.n_predict = 0;
    const answer *got = run_request(&request);
    CHECK_INT(got->end, ==, ENGINE_END_LIMIT);
    CHECK_INT(got->last.n_tokens, ==, 0);
    CHECK_INT(got->last.n_prompt_done, ==, got->last.n_prompt);
    request.n_predict = 5;
    got = run_request(&request);
    CHECK_INT(got->end, ==, ENGINE_END_LIMIT);
    CHECK_INT(got->last.n_tokens, ==, 5);
    CHECK(test_is_prefix(got->text, got->n, alone[0].text));
    request.n_predict = -1;
    request.sampling.ignore_eos = true;
    got = run_request(&request);
    CHECK_INT(got->end, ==, ENGINE_END_CONTEXT);
    CHECK_INT(got->last.n_prompt + got->last.n_tokens, ==, model->facts.n_ctx);

    char *text = long_question(5000);
    int sequence;
    request = ask(text);
    CHECK_INT(run_request(&request)->end, ==, ENGINE_END_REFUSED); /* when it has become tokens, beside the steps */
    CHECK_SAY(strstr(model->message, "the context only 2048"), "it says: %s", model->message);
    free(text);
    text = long_question(200000); /* by its bytes alone, before it becomes tokens */
    request = ask(text);
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_TOO_LONG);
    CHECK_SAY(strstr(model->message, "1200000 bytes"), "it says: %s", model->message);
    free(text);
    request = ask("What is C++?");
    for (int i = 0; i < N_SEQUENCES; i++) admit(&request);
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_BUSY);
    /* Only cancelled ones: nothing is evaluated, so nobody asks whether to interrupt. */
    interrupt_after = 1;
    for (int i = 0; i < N_SEQUENCES; i++) engine_cancel(model, i);
    CHECK_INT(step(), ==, N_SEQUENCES);
    CHECK_INT(interrupt_after, ==, 1);
    interrupt_after = -1;
    for (int i = 0; i < N_SEQUENCES; i++) CHECK_INT(answers[i].end, ==, ENGINE_END_CANCELLED);
    CHECK_INT(step(), ==, 0);
}

/* `interrupted`, in the middle of any evaluation of a step, ends all, each once, whether or not it has its token already (as
 * where each is evaluated by itself); the next answers know nothing of it. */
static void interrupt_all(bool is_repeatable) {
    char *text = long_question(300);
    engine_request request = ask(questions[1]), reading = ask(text);
    int n_interrupted = 0, n_with_token = 0, n_without = 0;
    for (int n_asked = 1;; n_asked = n_asked * 5 / 4 + 1) {
        for (int i = 0; i < 3; i++) admit(&request);
        for (int i = 0; i < 9; i++) step();
        for (int i = 0; i < 2; i++) admit(&reading);
        interrupt_after = n_asked;
        size_t n_moved = step();
        if (interrupt_after != 0) break; /* the whole step asks less often */
        interrupt_after = -1;
        CHECK_INT(n_moved, >=, 5);
        n_interrupted++;
        for (int i = 0; i < 5; i++) {
            CHECK_INT(answers[i].end, ==, ENGINE_END_CANCELLED);
            n_with_token += answers[i].last.has_token;
            n_without += !answers[i].last.has_token;
            if (answers[i].last.n_prompt < 300) CHECK(test_is_prefix(answers[i].text, answers[i].n, alone[1].text));
        }
        CHECK(engine_next_step_ns(model) == UINT64_MAX);
    }
    interrupt_after = -1;
    for (int i = 0; i < 5; i++) engine_cancel(model, i);
    step();
    CHECK_INT(n_interrupted, >, 5);
    CHECK_INT(n_without, >, 5);
    if (is_repeatable) CHECK_INT(n_with_token, >, 5);
    CHECK_TEXT(run_request(&request)->text, alone[1].text);
    free(text);
}

/* The same seed, the same text. In batches of other shapes the last bits of a probability differ, and at last a draw does:
 * then only a few tokens are compared. */
static void sample(int n_tokens) {
    engine_request request = ask("What is C++?");
    char first[MAX_ANSWER];
    request.sampling.temperature = 3;
    request.n_predict = n_tokens;
    strcpy(first, run_request(&request)->text);
    CHECK(strcmp(first, alone[0].text) != 0);
    CHECK_TEXT(run_request(&request)->text, first);
    request.sampling.seed = 2;
    CHECK(strcmp(run_request(&request)->text, first) != 0);
    request.sampling.seed = 1;
    request.sampling.top_k = 1;
    CHECK(test_is_prefix(run_request(&request)->text, 20, alone[0].text));
}

/* One that finds all tokens equally likely. */
static void open_even_model(int n_words) {
    char path[] = "/tmp/lipc-sequences-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    test_model_write(path, n_words);
    model = open_plain(path, 3, 512);
    unlink(path);
}

/* Each answer has random numbers of its own. */
static void sample_beside_others(void) {
    char first[MAX_ANSWER];
    open_even_model(100);
    engine_request request = ask("x");
    request.sampling.temperature = 1;
    request.n_predict = 50;
    request.wants_logprobs = true;
    const answer *got = run_request(&request);
    strcpy(first, got->text);
    for (int i = 0; i < got->last.n_tokens; i++)
        CHECK_SAY(fabs(got->logprobs[i] + log(model->facts.n_vocab)) < 1e-5, "%f is not the logarithm of 1 / %d",
                  got->logprobs[i], model->facts.n_vocab);
    engine_request other = request;
    other.sampling.seed = 2;
    other.n_predict = 30;
    int beside[2] = {admit(&other), admit(&request)};
    step();
    CHECK_TEXT(run_request(&request)->text, first);
    CHECK_TEXT(run(beside[1])->text, first);
    CHECK_INT(answers[beside[0]].end, ==, ENGINE_END_LIMIT);
    CHECK(!test_is_prefix(answers[beside[0]].text, answers[beside[0]].n, first));
    engine_close(model);
}

/* Each place of an answer has a draw of its own, and each place in each answer. The seeds are fixed, so what is counted
 * is, too; a fair draw misses the limits once in a million. */
static void draw_evenly(void) {
    enum { N_DRAWS = 400 };
    int n_high = 0, n_first_high = 0;
    open_even_model(0);
    engine_request request = ask("x");
    request.sampling.temperature = 1;
    request.sampling.ignore_eos = true;
    request.n_predict = N_DRAWS;
    const answer *got = run_request(&request);
    for (int i = 0; i < N_DRAWS; i++) n_high += got->tokens[i] >= model->facts.n_vocab / 2;
    CHECK_INT(abs(n_high - N_DRAWS / 2), <, 50);
    request.n_predict = 1;
    for (uint32_t seed = 0; seed < N_DRAWS; seed++) {
        request.sampling.seed = seed;
        n_first_high += run_request(&request)->tokens[0] >= model->facts.n_vocab / 2;
    }
    CHECK_INT(abs(n_first_high - N_DRAWS / 2), <, 50);

    /* The grammar allows a half of the tokens. With the same number for the second draw as for the first, three
     * quarters would come from the upper half of that half. */
    request.n_predict = N_DRAWS;
    request.grammar = "root ::= [\x01-\x7F]*";
    got = run_request(&request);
    n_high = 0;
    for (size_t i = 0; i < got->n; i++) n_high += got->text[i] >= 0x40;
    CHECK_INT(got->n, ==, N_DRAWS);
    CHECK_INT(abs(n_high - N_DRAWS / 2), <, 50);
    engine_close(model);
}

static int most_of_one_token(const engine_request *request) {
    static int counts[65536];
    int most = 0;
    memset(counts, 0, sizeof counts);
    int sequence = admit(request);
    while (answers[sequence].end == ENGINE_END_NONE) {
        step();
        if (progress[0].has_token && ++counts[progress[0].token] > most) most = counts[progress[0].token];
    }
    return most;
}

static void penalise(void) {
    engine_request request = ask("Explain C++ pointers in detail");
    request.n_predict = 60;
    int before = most_of_one_token(&request);
    request.sampling.presence_penalty = 100;
    request.sampling.repeat_last_n = -1;
    CHECK_INT(before, >, 2);
    CHECK_INT(most_of_one_token(&request), ==, 1);
    request.sampling.repeat_last_n = 0;
    CHECK_INT(most_of_one_token(&request), ==, before);
    request.sampling.repeat_last_n = INT32_MAX; /* no more than the context is reserved */
    CHECK_INT(most_of_one_token(&request), ==, 1);
    request.sampling.presence_penalty = 0;
    request.sampling.repeat_penalty = 3;
    CHECK_INT(most_of_one_token(&request), <, before);
}

/* One token of an answer by itself. */
static void check_likeliest(const engine_progress *entry, bool is_greedy) {
    double sum = 0;
    CHECK_INT(entry->n_likeliest, ==, 5);
    for (size_t i = 0; i < entry->n_likeliest; i++) {
        const engine_likely *likely = &entry->likeliest[i];
        CHECK(likely->token >= 0 && likely->token < model->facts.n_vocab && likely->n_bytes > 0);
        if (i > 0) CHECK(likely->logprob <= likely[-1].logprob);
        if (likely->token == entry->token) CHECK(likely->logprob == entry->logprob);
        sum += exp((double)likely->logprob);
    }
    CHECK(sum > 0 && sum < 1 + 1e-5);
    if (!is_greedy) return;
    CHECK_INT(entry->likeliest[0].token, ==, entry->token);
    if (entry->n_bytes > 0 && entry->n_bytes <= ENGINE_LIKELY_TEXT && entry->likeliest[0].n_bytes == entry->n_bytes)
        CHECK(memcmp(entry->likeliest[0].text, entry->text, entry->n_bytes) == 0);
}

static void look_at_likeliest(void) {
    engine_request request = ask("What is C++?");
    request.wants_logprobs = true;
    const answer *got = run_request(&request);
    static answer expected;
    expected = *got;
    request.sampling.n_probs = 5;
    for (int round = 0; round < 2; round++) {
        /* What is done to the logits does not change what is told of them. */
        request.sampling.repeat_penalty = round == 1 ? 1.0001f : 1;
        request.sampling.logit_bias = round == 1 ? "0-100" : NULL;
        int sequence = admit(&request);
        while (answers[sequence].end == ENGINE_END_NONE) {
            size_t n_moved = step();
            for (size_t i = 0; i < n_moved; i++)
                if (progress[i].has_token) check_likeliest(&progress[i], true);
        }
        CHECK_TEXT(answers[sequence].text, expected.text);
        for (int i = 0; i < expected.n_tokens; i++) check_logprob(answers[sequence].logprobs[i], expected.logprobs[i], false);
    }
    request.grammar = "root ::= \"qqqqq\"";
    int sequence = admit(&request);
    while (answers[sequence].n_tokens == 0) step();
    check_likeliest(&answers[sequence].last, false);
    CHECK(answers[sequence].last.likeliest[0].token != answers[sequence].tokens[0]);
    run(sequence);
}

static void look_at_logprobs(void) {
    engine_request request = ask("What is C++?");
    request.wants_logprobs = true;
    const answer *got = run_request(&request);
    CHECK_TEXT(got->text, alone[0].text);
    double sum = 0;
    for (int i = 0; i < got->last.n_tokens; i++) {
        CHECK(got->logprobs[i] <= 1e-6f && got->logprobs[i] > -3);
        sum += got->logprobs[i];
    }
    CHECK(sum / got->last.n_tokens > -0.5); /* it knows this answer by heart */
    CHECK(sum < 0);

    /* They are the model's own, before sampling: tokens that a grammar forces can be as unlikely as they like. */
    request.grammar = "root ::= \"qqqqq\"";
    got = run_request(&request);
    CHECK_TEXT(got->text, "qqqqq");
    CHECK(got->logprobs[0] < -3 && isfinite(got->logprobs[0]));
}

static void follow_grammars(void) {
    engine_request request = ask("What is C++?");
    request.grammar = "root ::= \"yes\" | \"no\"";
    const answer *got = run_request(&request);
    CHECK(strcmp(got->text, "yes") == 0 || strcmp(got->text, "no") == 0);
    CHECK_INT(got->end, ==, ENGINE_END_TURN);
    request.sampling.ignore_eos = true;
    got = run_request(&request);
    CHECK_INT(got->end, ==, ENGINE_END_TURN);
    CHECK(strcmp(got->text, "yes") == 0 || strcmp(got->text, "no") == 0);
    request.sampling.ignore_eos = false;

    /* At any temperature, beside others without a grammar, and with characters of several bytes. */
    request.sampling.temperature = 5;
    request.grammar = "# numbers\nroot ::= (digit digit? \"\\u2192\" [é-ü] \", \"){3} \"🚀\" end\n"
                      "digit ::= [0-9]\nend ::= \"!\"+ \".\"";
    request.n_predict = 200;
    engine_request plain = ask(questions[2]);
    int beside = admit(&plain);
    int n_complete = 0;
    for (uint32_t seed = 0; seed < 20; seed++) {
        request.sampling.seed = seed;
        got = run_request(&request);
        if (seed == 0) CHECK_TEXT(run(beside)->text, alone[2].text);
        if (got->end == ENGINE_END_LIMIT) continue;
        CHECK_INT(got->end, ==, ENGINE_END_TURN);
        n_complete++;
        const char *rocket = strstr(got->text, ", 🚀!");
        CHECK_SAY(rocket && got->text[got->n - 1] == '.' && got->text[0] >= '0' && got->text[0] <= '9', "'%s'",
                  got->text);
    }
    CHECK_INT(n_complete, >, 10);

    /* What the model says anyway is allowed: the grammar changes nothing. */
    request = ask(questions[0]);
    request.grammar = "root ::= [^\\x00]*";
    CHECK_TEXT(run_request(&request)->text, alone[0].text);

    /* One that cannot be fulfilled: a character that is none. */
    request.grammar = "root ::= \"a\" [\\U00FFFFFF]";
    got = run_request(&request);
    CHECK_INT(got->end, ==, ENGINE_END_FAILED);
    CHECK_TEXT(got->text, "a");
    CHECK_SAY(strstr(model->message, "grammar"), "%s", model->message);

    /* One that can be read in twice as many ways after each character: given up, before it takes time or memory. */
    request.grammar = "root ::= [a-z ] root root | [a-z ] root [a-y ] | [a-z ]";
    got = run_request(&request);
    CHECK_INT(got->end, ==, ENGINE_END_FAILED);
    CHECK_SAY(strstr(model->message, "too many ways"), "%s", model->message);
    request.grammar = NULL;
    CHECK_TEXT(run_request(&request)->text, alone[0].text);
}

static void refuse_grammars(void) {
    static const struct { const char *grammar, *reason; } bad[] = {
        {"x", "'::='"},
        {"root ::= \"a\n", "inside a literal"},
        {"root ::= (\"a\"", "')'"},
        {"root ::= [a-", "or a class"},
        {"root ::= x", "no rule 'x'"},
        {"x ::= \"a\"", "no rule 'root'"},
        {"# nothing", "no rule 'root'"},
        {"root ::= \"\\q\"", "escape"},
        {"root ::= \"\\x4\"", "hexadecimal"},
        {"root ::= *", "repetition of nothing"},
        {"root ::= \"a\"\nx ::= \"b\" )", "line 2"},
        {"root ::= \"a\"{3,1}", "at least 3 and at most 1"},
        {"root ::= \"a\"{5000}", "2000"},
        {"root ::= (\"a\"? \"b\"?){99999999999999999999}", "2000"},
        {"root ::= <think>", "tokens"},
        {"root ::= \"\xff\"", "UTF-8"},
        {"root ::= root \"a\" | \"b\"", "begin with itself"},
        {"root ::= x root \"a\" | \"b\"\nx ::= y y\ny ::= \"\" | \"c\"", "begin with itself"},
        {"root ::= \"a\" x\nx ::= x", "never comes"},
    };
    int sequence;
    engine_request request = ask("x");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        request.grammar = bad[i].grammar;
        CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_GRAMMAR);
        CHECK_SAY(strstr(model->message, bad[i].reason), "'%s': %s", bad[i].grammar, model->message);
    }
    /* As deep and as wide as it gets. */
    size_t size = 1 << 20;
    char *large = malloc(size + 1);
    memset(large, '(', size);
    memcpy(large, "root ::= ", 9);
    large[size] = 0;
    request.grammar = large;
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_GRAMMAR);
    size_t n = 0;
    n += (size_t)sprintf(large, "root ::= r0\n");
    for (int i = 0; i < 60; i++) n += (size_t)sprintf(large + n, "r%d ::= r%d \"a\" | r%d \"b\"\n", i, i + 1, i + 1);
    sprintf(large + n, "r60 ::= \"c\"");
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_GRAMMAR);
    CHECK_SAY(strstr(model->message, "too many ways"), "%s", model->message);
    n = (size_t)sprintf(large, "root ::= r0\n");
    for (int i = 0; i < 20000; i++) n += (size_t)sprintf(large + n, "r%d ::= r%d\n", i, i + 1);
    sprintf(large + n, "r20000 ::= \"c\"");
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_GRAMMAR);
    free(large);
}

int main(void) {
    test_begin("sequences", 170);
    test_step("a context of %d tokens for each of %d sequences", 2048, N_SEQUENCES);
    /* A budget as small as can be: prompts are read in many chunks. */
    model = open_with((llama_engine_options){
        .n_sequences = N_SEQUENCES, .n_ctx = 2000, .n_threads = 1, .prefill_budget_ms = 1});
    CHECK_INT(model->facts.n_ctx, ==, 2048);
    test_step("each question alone");
    answer_alone();
    test_step("together, coming and going");
    answer_together();
    test_step("long prompts");
    read_long_prompts();
    test_step("short prompts");
    read_short_prompts(false);
    test_step("a crowd");
    answer_in_a_crowd();
    test_step("ends");
    end_in_every_way();
    test_step("interrupted");
    interrupt_all(false);
    test_step("seeds");
    sample(8);
    test_step("penalties");
    penalise();
    test_step("log probabilities");
    look_at_logprobs();
    look_at_likeliest();
    test_step("grammars");
    follow_grammars();
    test_step("bad grammars");
    refuse_grammars();
    engine_close(model);

    test_step("repeatable: together, coming and going");
    model = open_repeatable(NULL, N_SEQUENCES, 2000);
    answer_together();
    test_step("repeatable: short prompts");
    read_short_prompts(true);
    test_step("repeatable: interrupted");
    interrupt_all(true);
    test_step("repeatable: seeds");
    sample(40);
    engine_close(model);

    test_step("seeds beside others");
    sample_beside_others();
    test_step("an even draw");
    draw_evenly();

    test_step("a context smaller than a slice");
    model = open_plain(NULL, 1, 64);
    CHECK_INT(model->facts.n_ctx, ==, 256);
    char *text = long_question(60);
    engine_request request = ask(text);
    CHECK_INT(run_request(&request)->end, !=, ENGINE_END_FAILED);
    CHECK_INT(answers[0].last.n_prompt, >, 64);
    free(text);
    engine_close(model);
    return test_end();
}
