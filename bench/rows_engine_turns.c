/* rows_engine_turns.c - the second turn of a conversation, drafts from repetitive text, and memory after many requests.
 */
#include "rows.h"

#include "concurrent.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 300000

#define FIRST_TURN_WORDS 900
#define FIRST_ANSWER_TOKENS 8
#define SECOND_TURN_WORDS 60

#define LOOKUP_TOKENS 256

#define N_REQUESTS 1000
#define N_REQUESTS_BEFORE 100

/* Attention, a sliding window, and layers with a state. */
static const bench_model *const kinds[] = {&bench_model_374m, &bench_model_gemma3, &bench_model_lfm2};
static const bench_model *const looping = &bench_model_loop, *const small = &bench_models[1];

/* ---- a client in this program ----------------------------------------------------------------------------------- */

typedef struct answer {
    int n_prompt, n_tokens;
    double first_ms, tokens_per_s;
    char *text; /* the caller frees it */
} answer;

static answer ask(lipc_client *client, const lipc_message *messages, int n_messages, int n_predict, float temperature) {
    answer found = {0};
    size_t n_bytes = 0;
    int64_t first_ns = 0, last_ns = 0;
    int n_first = 0, result;
    lipc_stream *stream;
    lipc_request request;
    lipc_delta delta;
    lipc_progress progress;
    FILE *text = open_memstream(&found.text, &n_bytes);
    lipc_request_init(&request);
    request.messages = messages;
    request.n_messages = n_messages;
    request.n_predict = n_predict;
    request.temperature = temperature;
    request.ignore_eos = 1;
    const int64_t start = now_ns();
    if (text == NULL || lipc_stream_open(client, &request, &stream) < 0)
        fail("a request failed: %s", lipc_error_message());
    while ((result = lipc_stream_read(stream, ANSWER_MS, &delta)) == 0 && delta.n_bytes > 0) {
        last_ns = now_ns();
        if (first_ns == 0 && lipc_stream_progress(stream, &progress) == 0) {
            first_ns = last_ns;
            n_first = progress.n_tokens;
        }
        fwrite(delta.text, 1, delta.n_bytes, text);
    }
    if (result < 0 || lipc_stream_progress(stream, &progress) < 0)
        fail("a request failed: %s", lipc_error_message());
    fclose(text);
    lipc_stream_close(stream);
    found.n_prompt = progress.n_prompt;
    found.n_tokens = progress.n_tokens;
    found.first_ms = (double)(first_ns - start) / 1e6;
    found.tokens_per_s = (found.n_tokens - n_first) * 1e9 / (double)(last_ns - first_ns);
    return found;
}

static void add_row(results *list, const bench_model *model, const char *rest, double value, const char *unit, results_bar bar,
                    const char *what) {
    char name[64];
    snprintf(name, sizeof name, "engine.%s.%s", model->name, rest);
    results_add(list, name, value, unit, bar, what);
}

/* ---- the second turn -------------------------------------------------------------------------------------------- */

static void measure_second_turn(results *list, const bench_options *options, const bench_model *model) {
    static samples ratios, times, alone, n_new;
    host_subject host;
    bare_subject bare;
    const char *path = model_path(options, model);
    ratios.n = times.n = alone.n = n_new.n = 0;
    host_start_for(&host, options, path, options->n_threads, 2048, 2, NULL);
    bare_start_for(&bare, options, path, options->n_threads, 2048, 1);
    lipc_client *client = modern_open(host.name, 0);
    for (int round = 0; round <= options->n_rounds; round++) {
        char *question = strdup(concurrent_text(1000 + round, FIRST_TURN_WORDS));
        lipc_message messages[3] = {{"user", question}};
        family_settle(bare.pid);
        wait_for_quiet(host.pid, bare.pid);
        const answer first = ask(client, messages, 1, FIRST_ANSWER_TOKENS, 0.7f);
        messages[1] = (lipc_message){"assistant", first.text};
        messages[2] = (lipc_message){"user", concurrent_text(2000 + round, SECOND_TURN_WORDS)};
        const answer second = ask(client, messages, 3, 2, 0.7f);
        family_settle(host.pid);
        const answer_cost resumed = bare_resume(&bare, first.n_prompt, second.n_prompt - first.n_prompt);
        if (round > 0) { /* the first one warms up */
            samples_add(&ratios, second.first_ms / resumed.first_ms);
            samples_add(&times, second.first_ms);
            samples_add(&alone, resumed.first_ms);
            samples_add(&n_new, second.n_prompt - first.n_prompt);
        }
        free(first.text);
        free(second.text);
        free(question);
    }
    lipc_client_close(client);
    host_stop(&host);
    bare_stop(&bare);
    add_row(list, model, "second_turn.of_evaluation", samples_median(&ratios), "ratio", results_at_most(1.1),
            "first token of turn 2 over evaluating what is new in it");
    add_row(list, model, "second_turn.host", samples_median(&times), "ms", results_no_bar(),
            "first token, 1,000 tokens of conversation");
    add_row(list, model, "second_turn.evaluation", samples_median(&alone), "ms", results_no_bar(), "the new tokens alone");
    add_row(list, model, "second_turn.new_tokens", samples_median(&n_new), "tokens", results_no_bar(),
            "behind the first prompt: its answer and the question");
}

/* ---- drafts ----------------------------------------------------------------------------------------------------- */

/* Whether the host's help names the option. */
static bool has_option(const bench_options *options, const char *name) {
    char command[4200], line[512];
    bool is_there = false;
    snprintf(command, sizeof command, "'%s' --help", options->chatbot);
    FILE *help = popen(command, "re");
    if (help == NULL)
        fail("cannot run %s", options->chatbot);
    while (fgets(line, sizeof line, help) != NULL)
        is_there |= strstr(line, name) != NULL;
    pclose(help);
    return is_there;
}

static void measure_lookup(results *list, const bench_options *options) {
    static samples ratios, with, without;
    static const char *const lookup[] = {"--lookup", NULL};
    host_subject hosts[2];
    lipc_client *clients[2];
    bool is_same = true;
    ratios.n = with.n = without.n = 0;
    if (!has_option(options, "--lookup")) {
        results_add(list, "engine.lookup.of_without", NAN, "ratio", results_at_least(1.5), "this host has no --lookup");
        return;
    }
    for (int i = 0; i < 2; i++) {
        host_start_for(&hosts[i], options, model_path(options, looping), options->n_threads, 2048, 1,
                       i == 1 ? lookup : NULL);
        clients[i] = modern_open(hosts[i].name, 0);
    }
    for (int round = 0; round <= options->n_rounds; round++) {
        const lipc_message message = {"user", concurrent_text(6000 + round, 60)};
        answer answers[2];
        for (int i = 0; i < 2; i++) {
            const int which = (i + round) % 2;
            family_settle(hosts[1 - which].pid);
            wait_for_quiet(hosts[which].pid, 0);
            answers[which] = ask(clients[which], &message, 1, LOOKUP_TOKENS, 0.0f);
        }
        is_same &= strcmp(answers[0].text, answers[1].text) == 0;
        if (round > 0) {
            samples_add(&ratios, answers[1].tokens_per_s / answers[0].tokens_per_s);
            samples_add(&without, answers[0].tokens_per_s);
            samples_add(&with, answers[1].tokens_per_s);
        }
        free(answers[0].text);
        free(answers[1].text);
    }
    for (int i = 0; i < 2; i++) {
        lipc_client_close(clients[i]);
        host_stop(&hosts[i]);
    }
    results_add(list, "engine.lookup.of_without", samples_median(&ratios), "ratio", results_at_least(1.5),
                "repetitive text at temperature 0, with drafts over without");
    results_add(list, "engine.lookup.with", samples_median(&with), "tokens/s", results_no_bar(), "");
    results_add(list, "engine.lookup.without", samples_median(&without), "tokens/s", results_no_bar(), "");
    results_add(list, "engine.lookup.same_text", is_same, "", results_at_least(1), "1: the same text, byte for byte");
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void measure_memory(results *list, const bench_options *options) {
    host_subject host;
    double before_mb = 0;
    host_start_for(&host, options, model_path(options, small), 1, 1024, 4, NULL);
    lipc_client *client = modern_open(host.name, 0);
    for (int i = 0; i < N_REQUESTS; i++) {
        const lipc_message message = {"user", concurrent_text(7000 + i, 4 + i * 37 % 400)};
        free(ask(client, &message, 1, 1 + i * 13 % 48, 0.7f).text);
        if (i + 1 == N_REQUESTS_BEFORE)
            before_mb = family_memory_of(host.pid).anon_mb;
    }
    const double after_mb = family_memory_of(host.pid).anon_mb;
    lipc_client_close(client);
    host_stop(&host);
    results_add(list, "engine.memory.growth", after_mb - before_mb, "MB", results_at_most(1),
                "RssAnon of the host, from request 100 to request 1,000");
    results_add(list, "engine.memory.anon", after_mb, "MB", results_no_bar(), "in the end");
}

void rows_second_turn(results *list, const bench_options *options) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (uses_model(options, kinds[i]))
            measure_second_turn(list, options, kinds[i]);
}

void rows_lookup(results *list, const bench_options *options) {
    if (uses_model(options, looping))
        measure_lookup(list, options);
}

void rows_memory(results *list, const bench_options *options) {
    if (uses_model(options, small))
        measure_memory(list, options);
}
