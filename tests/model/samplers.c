/* samplers.c - src/engine/llama: each sampler of llama.cpp's does what its name says, in the order that was asked for; values that
 * make no sense are refused; what a model's file recommends is used where nobody says otherwise. */
#include "model_test.h"

#include <gguf.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

static engine_request ask_hot(uint32_t seed, int n_predict) {
    engine_request request = ask("Explain C++ pointers in detail");
    request.sampling.temperature = 3;
    request.sampling.seed = seed;
    request.sampling.ignore_eos = true;
    request.n_predict = n_predict;
    request.wants_logprobs = true;
    return request;
}

static engine_request ask_greedy(int n_predict) {
    engine_request request = ask_hot(1, n_predict);
    request.sampling.temperature = 0;
    return request;
}

static bool is_same(const answer *a, const answer *b) {
    return a->n_tokens == b->n_tokens && memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof a->tokens[0]) == 0;
}

static double mean_surprise(const engine_request *request) {
    const answer *got = run_request(request);
    double sum = 0;
    for (int i = 0; i < got->n_tokens; i++) sum -= (double)got->logprobs[i];
    return sum / got->n_tokens;
}

/* ---- what is left out ---------------------------------------------------------------------------------------------- */

static void biases(void) {
    char text[128];
    test_step("biases");
    engine_request request = ask_greedy(30);
    answer plain = *run_request(&request);
    snprintf(text, sizeof text, "%d-inf,%d-100", plain.tokens[0], plain.tokens[1]);
    request.sampling.logit_bias = text;
    const answer *got = run_request(&request);
    for (int i = 0; i < got->n_tokens; i++) CHECK(got->tokens[i] != plain.tokens[0] && got->tokens[i] != plain.tokens[1]);
    answer without = *got;
    snprintf(text, sizeof text, "[[%d, false], [%d, -1e2], [%d, true]]", plain.tokens[0], plain.tokens[1], plain.tokens[2]);
    CHECK(is_same(run_request(&request), &without));
    snprintf(text, sizeof text, "%d+1000", plain.tokens[2]);
    got = run_request(&request);
    for (int i = 0; i < got->n_tokens; i++) CHECK_INT(got->tokens[i], ==, plain.tokens[2]);
    request.sampling.logit_bias = "[[\"Z\", 1000]]";
    got = run_request(&request);
    CHECK_SAY(strspn(got->text, " Z") == got->n && got->n >= 30, "%s", got->text);
    request.sampling.logit_bias = "";
    CHECK(is_same(run_request(&request), &plain));
}

/* Whatever the temperature, one token is left. */
static void cuts(void) {
    engine_request request = ask_greedy(20);
    answer greedy = *run_request(&request), first = {0};
    test_step("top-n-sigma");
    for (uint32_t seed = 1; seed <= 3; seed++) {
        request = ask_hot(seed, 20);
        request.sampling.top_n_sigma = 1e-4f;
        CHECK(is_same(run_request(&request), &greedy));
    }
    test_step("typical");
    for (uint32_t seed = 1; seed <= 3; seed++) {
        request = ask_hot(seed, 20);
        request.sampling.typical_p = 0;
        const answer *got = run_request(&request);
        CHECK(seed == 1 || is_same(got, &first));
        first = *got;
    }
    test_step("the order: a sampler that is not in there does nothing");
    request = ask_hot(1, 20);
    request.sampling.top_k = 1;
    request.sampling.samplers = "dry;Top-K;temperature";
    CHECK(is_same(run_request(&request), &greedy));
    request.sampling.samplers = "temperature;min_p";
    CHECK(!is_same(run_request(&request), &greedy));
    answer hot = *run_request(&request);
    request.sampling.min_p = 1; /* by what the temperature has made of them */
    CHECK(is_same(run_request(&request), &greedy));
    request.sampling.min_p = 0;
    CHECK(is_same(run_request(&request), &hot));
}

static void xtc(void) {
    enum { N_SEEDS = 200 };
    test_step("XTC");
    engine_request request = ask_greedy(1);
    request.messages = &(engine_message){"user", "Tell me"};
    int32_t best = run_request(&request)->tokens[0];
    int n_best[3] = {0};
    static const float probabilities[] = {0.5f, 1, 0};
    for (int i = 0; i < 3; i++) {
        for (uint32_t seed = 0; seed < N_SEEDS; seed++) {
            request.sampling.seed = seed;
            request.sampling.temperature = 0.01f;
            request.sampling.xtc_probability = probabilities[i];
            request.sampling.xtc_threshold = 1e-6f; /* there are two */
            n_best[i] += run_request(&request)->tokens[0] == best;
        }
    }
    printf("the likeliest of %d: %d at one half, %d always, %d never\n", N_SEEDS, n_best[0], n_best[1], n_best[2]);
    CHECK(n_best[0] > 70 && n_best[0] < 130);
    CHECK_INT(n_best[1], ==, 0);
    CHECK_INT(n_best[2], ==, N_SEEDS);
}

/* ---- what came before ---------------------------------------------------------------------------------------------- */

/* Whether a token is the same as one of the `n` before it. */
static bool repeats(const answer *got, int n) {
    for (int i = 0; i < got->n_tokens; i++)
        for (int back = 1; back <= n && back <= i; back++)
            if (got->tokens[i] == got->tokens[i - back]) return true;
    return false;
}

/* The longest run of tokens that were there in the same order before. */
static int longest_repetition(const answer *got) {
    int longest = 0;
    for (int i = 1; i < got->n_tokens; i++)
        for (int from = 0; from < i; from++) {
            int n = 0;
            while (i + n < got->n_tokens && got->tokens[from + n] == got->tokens[i + n]) n++;
            if (n > longest) longest = n;
        }
    return longest;
}

static void penalties(void) {
    test_step("penalties, and their window");
    engine_request request = ask_greedy(60);
    CHECK(repeats(run_request(&request), 60));
    request.sampling.presence_penalty = 100;
    request.sampling.repeat_last_n = 5;
    const answer *got = run_request(&request);
    CHECK(!repeats(got, 5) && repeats(got, 60));
    request.sampling.repeat_last_n = -1;
    CHECK(!repeats(run_request(&request), 60));
    request.sampling.repeat_last_n = 0;
    CHECK(repeats(run_request(&request), 60));
    test_step("DRY");
    request = ask_greedy(300);
    int n_without = longest_repetition(run_request(&request));
    request.sampling.dry_multiplier = 20;
    request.sampling.dry_penalty_last_n = -1;
    request.sampling.dry_sequence_breakers = "none";
    int n_with = longest_repetition(run_request(&request));
    printf("the longest repetition: %d tokens, with DRY %d\n", n_without, n_with);
    CHECK(n_with <= 3 && n_without > 3);
}

static void temperatures(void) {
    test_step("dynamic temperature");
    engine_request request = ask_hot(1, 100);
    request.sampling.temperature = 2;
    double plain = mean_surprise(&request);
    request.sampling.dynatemp_range = 1;
    request.sampling.dynatemp_exponent = 0; /* always the highest */
    double hottest = mean_surprise(&request);
    request.sampling.dynatemp_exponent = 100; /* hardly ever */
    double coldest = mean_surprise(&request);
    printf("surprise %.2f, at most %.2f, at least %.2f\n", plain, hottest, coldest);
    CHECK(coldest < plain && plain < hottest);
}

static void targets(void) {
    test_step("Mirostat, adaptive-p");
    for (int version = 1; version <= 2; version++) {
        double surprises[2];
        for (int i = 0; i < 2; i++) {
            engine_request request = ask_hot(1, 200);
            request.sampling.mirostat = version;
            request.sampling.mirostat_tau = i == 0 ? 0.5f : 6;
            surprises[i] = mean_surprise(&request);
        }
        printf("Mirostat %d: surprise %.2f and %.2f\n", version, surprises[0], surprises[1]);
        CHECK(surprises[0] < surprises[1] / 2);
    }
    double surprises[2];
    for (int i = 0; i < 2; i++) {
        engine_request request = ask_hot(1, 200);
        request.sampling.temperature = 2;
        request.sampling.adaptive_target = i == 0 ? 0.9f : 0.05f;
        surprises[i] = mean_surprise(&request);
    }
    printf("adaptive-p: surprise %.2f and %.2f\n", surprises[0], surprises[1]);
    CHECK(surprises[0] < surprises[1] / 2);
}

/* ---- refusals ------------------------------------------------------------------------------------------------------ */

static void refuse(engine_request request, const char *words) {
    int sequence;
    CHECK_INT(engine_admit(model, &request, &sequence), ==, ENGINE_E_PARAMETER);
    CHECK_SAY(strstr(model->message, words), "'%s' does not say '%s'", model->message, words);
}

static void refusals(void) {
    static const struct {
        const char *samplers, *bias, *breakers, *words;
    } cases[] = {{"top_k;foo", NULL, NULL, "none called 'foo'"},
                 {"infill", NULL, NULL, "none called 'infill'"},
                 {"top_k;", NULL, NULL, "none called ''"},
                 {NULL, "abc", NULL, "expected TOKEN+BIAS"},
                 {NULL, "1", NULL, "expected TOKEN+BIAS"},
                 {NULL, "1+2;3+4", NULL, "expected TOKEN+BIAS"},
                 {NULL, "-1+2", NULL, "no token"},
                 {NULL, "99999999+2", NULL, "no token"},
                 {NULL, "1+nan", NULL, "no number"},
                 {NULL, "[[1.5, 2]]", NULL, "no token"},
                 {NULL, "[[1, 2, 3]]", NULL, "expected a list"},
                 {NULL, "[[\"x\", null]]", NULL, "expected a list"},
                 {NULL, "[[[[[1]]]]]", NULL, "nested"},
                 {NULL, "[[1, 2]", NULL, "cannot be used"}};
    test_step("refusals");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        engine_request request = ask_greedy(1);
        request.sampling.samplers = cases[i].samplers;
        request.sampling.logit_bias = cases[i].bias;
        refuse(request, cases[i].words);
    }
    engine_request request = ask_greedy(1); /* DRY is made beside the steps */
    request.sampling.dry_multiplier = 1;
    request.sampling.dry_sequence_breakers = "[\"a\", 1]";
    const answer *got = run_request(&request);
    CHECK_INT(got->end, ==, ENGINE_END_REFUSED);
    CHECK_SAY(strstr(model->message, "number 1 is not a text"), "%s", model->message);
    CHECK_SAY(strstr(model->message, "a sampling parameter"), "%s", model->message);
}

/* ---- what the file recommends -------------------------------------------------------------------------------------- */

/* The embedded model with recommendations. */
static void write_model(const char *path, const char *order, float temperature, float min_p) {
    static char weights[1 << 16];
    char from[4096];
    struct gguf_init_params params = {.no_alloc = true};
    struct gguf_context *header = gguf_init_from_file(test_model_path(from, "tutor.gguf"), params);
    CHECK(header);
    size_t n, at = gguf_get_data_offset(header);
    gguf_set_val_f32(header, "general.sampling.temp", temperature);
    gguf_set_val_f32(header, "general.sampling.min_p", min_p);
    gguf_set_val_i32(header, "general.sampling.top_k", 7);
    gguf_set_val_str(header, "general.sampling.sequence", order);
    CHECK(gguf_write_to_file(header, path, true));
    gguf_free(header);
    FILE *in = fopen(from, "rb"), *out = fopen(path, "ab");
    CHECK(in && out && fseek(in, (long)at, SEEK_SET) == 0);
    while ((n = fread(weights, 1, sizeof weights, in)) > 0) CHECK(fwrite(weights, 1, n, out) == n);
    CHECK(fclose(in) == 0 && fclose(out) == 0);
}

static answer run_left(float temperature, const char *order, uint32_t seed) {
    engine_request request = ask_hot(seed, 40);
    sampling_init(&request.sampling);
    request.sampling.temperature = temperature;
    request.sampling.samplers = order;
    return *run_request(&request);
}

static void recommendations(void) {
    char path[] = "/tmp/lipc_samplers_XXXXXX";
    engine_request request = ask_greedy(40);
    answer greedy = *run_request(&request);
    test_step("what the file recommends is used where nobody says otherwise");
    int file = mkstemp(path);
    CHECK(file >= 0);
    engine_close(model);
    write_model(path, "top_k;temperature", 0, 0);
    model = open_plain(path, 1, 1024);
    answer left = run_left(NAN, NULL, 1);
    CHECK(is_same(&left, &greedy));
    left = run_left(3, NULL, 1);
    request = ask_hot(1, 40);
    request.sampling.top_k = 7;
    CHECK(!is_same(&left, &greedy) && is_same(run_request(&request), &left));
    engine_close(model);
    test_step("what makes no sense in there counts as not said");
    write_model(path, "foo", 3, 17);
    model = open_plain(path, 1, 1024);
    left = run_left(NAN, NULL, 1);
    request.sampling.min_p = 0.05f;
    CHECK(is_same(run_request(&request), &left));
    close(file);
    unlink(path);
}

int main(void) {
    test_begin("samplers", 60);
    model = open_plain(NULL, N_SEQUENCES, 1024);
    biases();
    cuts();
    xtc();
    penalties();
    temperatures();
    targets();
    refusals();
    recommendations();
    engine_close(model);
    return test_end();
}
