/* rows_engine_turns.c - what is not throughput: the second turn of a conversation, a newcomer beside running answers,
 * cancelling while a prompt is read, drafts from repetitive text, and memory after many requests.
 */
#include "rows.h"

#include "crowd.h"
#include "peer.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 300000
#define LIMIT_NS 120000000000LL

#define FIRST_TURN_WORDS 900
#define FIRST_ANSWER_TOKENS 8
#define SECOND_TURN_WORDS 60

#define N_RUNNING 4
#define NEWCOMER_WORDS 2000
#define ARRIVALS_BEFORE 16
#define LONG_CONTEXT 3072
#define SLICE_MS 50.0
#define READING_NS 300000000LL /* into the prompt, before it is cancelled */

#define LOOKUP_TOKENS 256

#define N_REQUESTS 1000
#define N_REQUESTS_BEFORE 100

static const bench_model *const large = &bench_models[0], *const small = &bench_models[1];

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

static bool is_idle(lipc_client *client) {
    lipc_host_status status;
    if (lipc_client_status(client, &status) < 0)
        fail("a host: %s", lipc_error_message());
    return status.n_running == 0 && status.n_queued == 0;
}

/* Milliseconds from `since_ns` until the host has nothing to do. */
static double wait_idle(lipc_client *client, int64_t since_ns) {
    while (!is_idle(client)) {
        if (now_ns() - since_ns > LIMIT_NS)
            fail("a host does not end its work");
        sleep_ns(50000);
    }
    return (double)(now_ns() - since_ns) / 1e6;
}

static void wait_busy(lipc_client *client) {
    const int64_t start = now_ns();
    while (is_idle(client)) {
        if (now_ns() - start > LIMIT_NS)
            fail("a host does not begin its work");
        sleep_ns(50000);
    }
}

/* ---- the second turn -------------------------------------------------------------------------------------------- */

static void measure_second_turn(results *list, const bench_options *options) {
    static samples ratios, times, alone, n_new;
    host_subject host;
    bare_subject bare;
    const char *path = model_path(options, large);
    ratios.n = times.n = alone.n = n_new.n = 0;
    host_start_for(&host, options, path, options->n_threads, 2048, 2, NULL);
    bare_start_for(&bare, options, path, options->n_threads, 2048, 1);
    lipc_client *client = modern_open(host.name, 0);
    for (int round = 0; round <= options->n_rounds; round++) {
        char *question = strdup(crowd_text(1000 + round, FIRST_TURN_WORDS));
        lipc_message messages[3] = {{"user", question}};
        family_settle(bare.pid);
        wait_for_quiet(host.pid, bare.pid);
        const answer first = ask(client, messages, 1, FIRST_ANSWER_TOKENS, 0.7f);
        messages[1] = (lipc_message){"assistant", first.text};
        messages[2] = (lipc_message){"user", crowd_text(2000 + round, SECOND_TURN_WORDS)};
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
    results_add(list, "engine.second_turn.of_evaluation", samples_median(&ratios), "ratio", results_at_most(1.1),
                "first token of turn 2 over evaluating what is new in it");
    results_add(list, "engine.second_turn.host", samples_median(&times), "ms", results_no_bar(),
                "first token, 1,000 tokens of conversation");
    results_add(list, "engine.second_turn.evaluation", samples_median(&alone), "ms", results_no_bar(),
                "the new tokens alone");
    results_add(list, "engine.second_turn.new_tokens", samples_median(&n_new), "tokens", results_no_bar(),
                "behind the first prompt: its answer and the question");
}

/* ---- a newcomer ------------------------------------------------------------------------------------------------- */

/* The longest time without a token in an answer, from the last one before `begin_ns` to the first one after `end_ns`. */
static double longest_gap_ms(const crowd_notes *notes, int64_t begin_ns, int64_t end_ns) {
    int64_t longest = 0;
    const uint32_t n = crowd_arrivals(notes);
    for (uint32_t i = 1; i < n && notes->arrivals[i - 1].at_ns < end_ns; i++) {
        const int64_t gap = notes->arrivals[i].at_ns - notes->arrivals[i - 1].at_ns;
        if (notes->arrivals[i].at_ns > begin_ns && gap > longest)
            longest = gap;
    }
    return (double)longest / 1e6;
}

/* Answers that run, and the longest gap in any of them while a newcomer's prompt is read. */
static double measure_gap(const crowd_subject *subject, double *newcomer_first_ms) {
    static int number = 3000;
    crowd_notes *notes = crowd_notes_new(N_RUNNING + 1);
    pid_t pids[N_RUNNING + 1];
    double gap = 0;
    for (int i = 0; i <= N_RUNNING; i++) {
        const crowd_request request = {number++, i < N_RUNNING ? 32 : NEWCOMER_WORDS, i < N_RUNNING ? CROWD_ENDLESS : 2};
        pids[i] = crowd_client_start(subject, &request, &notes[i]);
        crowd_client_wait_ready(&notes[i]);
    }
    for (int i = 0; i < N_RUNNING; i++)
        crowd_client_go(&notes[i]);
    for (int i = 0; i < N_RUNNING; i++)
        crowd_wait_arrivals(&notes[i], ARRIVALS_BEFORE);
    const int64_t start = now_ns();
    crowd_client_go(&notes[N_RUNNING]);
    process_wait(pids[N_RUNNING]);
    for (int i = 0; i < N_RUNNING; i++)
        crowd_wait_arrivals(&notes[i], crowd_arrivals(&notes[i]) + 2);
    const int64_t first_ns = notes[N_RUNNING].arrivals[0].at_ns;
    for (int i = 0; i < N_RUNNING; i++) {
        const double one = longest_gap_ms(&notes[i], start, first_ns);
        gap = one > gap ? one : gap;
        kill(pids[i], SIGKILL);
        process_wait(pids[i]);
    }
    *newcomer_first_ms = (double)(first_ns - notes[N_RUNNING].start_ns) / 1e6;
    crowd_notes_free(notes, N_RUNNING + 1);
    return gap;
}

static peer_setup long_setup(const bench_options *options, const char *path, int n_parallel) {
    return (peer_setup){.model_path = path,
                        .n_ctx = LONG_CONTEXT,
                        .n_parallel = n_parallel,
                        .n_threads = options->n_threads};
}

static void measure_newcomer(results *list, const bench_options *options) {
    static samples gaps, firsts;
    double server_gap = NAN, server_first = NAN, first;
    const char *path = model_path(options, large);
    host_subject host;
    gaps.n = firsts.n = 0;
    host_start_for(&host, options, path, options->n_threads, LONG_CONTEXT, N_RUNNING + 1, NULL);
    lipc_client *client = modern_open(host.name, 0);
    for (int round = 0; round < options->n_rounds; round++) {
        const crowd_subject subject = {host.name, 0};
        wait_for_quiet(host.pid, 0);
        samples_add(&gaps, measure_gap(&subject, &first));
        samples_add(&firsts, first);
        wait_idle(client, now_ns());
    }
    lipc_client_close(client);
    host_stop(&host);
    if (peer_is_there(options)) {
        peer_server server;
        const peer_setup setup = long_setup(options, path, N_RUNNING + 1);
        peer_start(&server, options, &setup);
        server_gap = measure_gap(&(crowd_subject){NULL, server.port}, &server_first);
        peer_stop(&server);
    }
    results_add(list, "engine.newcomer.gap", samples_median(&gaps), "ms", results_at_most(2 * SLICE_MS),
                "longest pause of 4 answers while 2,000 tokens are read");
    results_add(list, "engine.newcomer.gap_max", samples_max(&gaps), "ms", results_no_bar(), "in the worst round");
    results_add(list, "engine.newcomer.server_gap", server_gap, "ms", results_no_bar(), "llama-server's, once");
    results_add(list, "engine.newcomer.first", samples_median(&firsts), "ms", results_no_bar(),
                "first token of the newcomer");
    results_add(list, "engine.newcomer.server_first", server_first, "ms", results_no_bar(), "llama-server's, once");
}

/* ---- cancelling while a prompt is read -------------------------------------------------------------------------- */

static double measure_cancel(lipc_client *client, int number) {
    const lipc_message message = {"user", crowd_text(number, NEWCOMER_WORDS)};
    lipc_stream *stream;
    lipc_request request;
    lipc_progress progress;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    if (lipc_stream_open(client, &request, &stream) < 0)
        fail("a request failed: %s", lipc_error_message());
    wait_busy(client);
    sleep_ns(READING_NS + number % 10 * 7000000LL); /* another phase of the step each time */
    if (lipc_stream_progress(stream, &progress) < 0 || progress.state != LIPC_STREAM_READING)
        fail("a prompt of 2,000 tokens was read before it could be cancelled");
    const int64_t start = now_ns();
    lipc_stream_cancel(stream);
    const double ms = wait_idle(client, start);
    lipc_stream_close(stream);
    return ms;
}

/* From kill -9 of a client whose prompt is read. */
static double measure_death(lipc_client *client, const char *instance, int number) {
    crowd_notes *notes = crowd_notes_new(1);
    const crowd_subject subject = {instance, 0};
    const crowd_request request = {number, NEWCOMER_WORDS, 16};
    const pid_t pid = crowd_client_start(&subject, &request, notes);
    crowd_client_wait_ready(notes);
    crowd_client_go(notes);
    wait_busy(client);
    sleep_ns(READING_NS + number % 10 * 7000000LL);
    const int64_t start = now_ns();
    kill(pid, SIGKILL);
    const double ms = wait_idle(client, start);
    process_wait(pid);
    crowd_notes_free(notes, 1);
    return ms;
}

static double measure_server_death(const bench_options *options, const char *path) {
    peer_server server;
    peer_stream stream;
    const peer_setup setup = long_setup(options, path, 1);
    if (!peer_is_there(options))
        return NAN;
    peer_start(&server, options, &setup);
    peer_connect(&stream, server.port);
    peer_send(&stream, crowd_text(1, NEWCOMER_WORDS), 16);
    sleep_ns(READING_NS);
    const int64_t start = now_ns();
    peer_disconnect(&stream);
    do
        sleep_ns(1000000);
    while (peer_is_busy(&server) && now_ns() - start < LIMIT_NS);
    const double ms = (double)(now_ns() - start) / 1e6;
    peer_stop(&server);
    return ms;
}

static void measure_cancelling(results *list, const bench_options *options) {
    static samples cancels, deaths;
    const char *path = model_path(options, large);
    host_subject host;
    cancels.n = deaths.n = 0;
    host_start_for(&host, options, path, options->n_threads, LONG_CONTEXT, 2, NULL);
    lipc_client *client = modern_open(host.name, 0);
    for (int round = 0; round < 2 * options->n_rounds; round++) {
        wait_for_quiet(host.pid, 0);
        samples_add(&cancels, measure_cancel(client, 4000 + round));
        samples_add(&deaths, measure_death(client, host.name, 5000 + round));
    }
    lipc_client_close(client);
    host_stop(&host);
    results_add(list, "engine.cancel.idle", samples_median(&cancels), "ms", results_at_most(SLICE_MS + 5),
                "cancel in a prompt of 2,000 tokens to the host's idling");
    results_add(list, "engine.cancel.idle_max", samples_max(&cancels), "ms", results_at_most(SLICE_MS + 5),
                "the slowest");
    results_add(list, "engine.client_killed.idle", samples_median(&deaths), "ms", results_at_most(SLICE_MS + 5),
                "the same from kill -9 of the client");
    results_add(list, "engine.client_killed.idle_max", samples_max(&deaths), "ms", results_at_most(SLICE_MS + 5),
                "the slowest");
    results_add(list, "engine.client_killed.server", measure_server_death(options, path), "ms", results_no_bar(),
                "llama-server's slot, from the end of its connection, once");
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
        host_start_for(&hosts[i], options, model_path(options, &bench_model_loop), options->n_threads, 2048, 1,
                       i == 1 ? lookup : NULL);
        clients[i] = modern_open(hosts[i].name, 0);
    }
    for (int round = 0; round <= options->n_rounds; round++) {
        const lipc_message message = {"user", crowd_text(6000 + round, 60)};
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
        const lipc_message message = {"user", crowd_text(7000 + i, 4 + i * 37 % 400)};
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

void rows_engine_turns(results *list, const bench_options *options) {
    if (uses_model(options, large)) {
        measure_second_turn(list, options);
        measure_newcomer(list, options);
        measure_cancelling(list, options);
        measure_lookup(list, options);
    }
    if (uses_model(options, small))
        measure_memory(list, options);
}
