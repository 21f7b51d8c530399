/* bench.c - llamaipc bench: what this machine does, on one screen and in a few seconds. The whole benchmark, with ratios
 * over many rounds, is bench/.
 */
#include "host.h"
#include "terminal.h"
#include "format.h"

#include "../host/model_path.h"
#include "../measure/answers.h"
#include "../measure/wakes.h"
#include "../platform/platform.h"

#include "lipc/layout.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_WAKES 300
#define N_PUBLISH_TURNS 5
#define N_PREDICT 128
/* Answers of host and bare loop, by turns, until either is reached. */
#define ANSWERS_MOST 12
#define ANSWERS_NS 1500000000LL
#define ANSWER_MS 600000

typedef struct bench {
    const cli_options *options;
    double wake_us[N_WAKE_KINDS], late_us[N_WAKE_KINDS]; /* median and 99th percentile */
    double publish_ns;
    lipc_host_status host;
    double ready_ms, first_ms, rate;
    bool has_bare;
    double bare_first_ms, bare_rate;
    double other_load; /* cores that other programs used meanwhile */
} bench;

/* ---- the channel --------------------------------------------------------------------------------------------------- */

static void measure_channel(bench *bench) {
    static samples way[N_WAKE_KINDS], writer[N_WAKE_KINDS], publish;
    terminal_progress("waking sleepers ...");
    wakes_measure(N_WAKES, way, writer);
    for (int kind = 0; kind < N_WAKE_KINDS; kind++) {
        bench->wake_us[kind] = samples_median(&way[kind]);
        bench->late_us[kind] = samples_quantile(&way[kind], 0.99);
    }
    terminal_progress("publishing tokens ...");
    for (int i = 0; i < N_PUBLISH_TURNS; i++) samples_add(&publish, publish_cost_ns(false));
    bench->publish_ns = samples_median(&publish);
}

/* ---- the host ------------------------------------------------------------------------------------------------------ */

static int on_load(void *nothing, const lipc_host_status *status) {
    (void)nothing;
    terminal_progress("loading the model: %d %%", status->load_per_mille / 10);
    return 0;
}

static int start_host(bench *bench, lipc_client **client) {
    char name[LIPC_NAME_MAX + 1];
    const int64_t start_ns = now_ns();
    snprintf(name, sizeof name, "llamaipc_bench_%ld", (long)getpid());
    terminal_progress("starting a host ...");
    int error = cli_host_start_own(bench->options, name, client);
    if (error < 0) return error;
    error = lipc_client_wait_ready(*client, -1, on_load, NULL);
    bench->ready_ms = (double)(now_ns() - start_ns) / 1e6;
    if (error == LIPC_E_OK) error = lipc_client_status(*client, &bench->host);
    return error;
}

/* One answer of the host's; its figures go to the samples. */
static int ask_host(lipc_client *client, const prompts *prompts, samples *first_ms, samples *rate) {
    const lipc_message messages[] = {{"system", prompts->system}, {"user", prompts->user}};
    lipc_request request;
    lipc_stream *stream;
    lipc_delta delta;
    lipc_progress progress;
    lipc_request_init(&request);
    request.messages = messages;
    request.n_messages = 2;
    request.n_predict = N_PREDICT;
    request.ignore_eos = true;
    const int64_t start_ns = now_ns();
    int error = lipc_stream_open(client, &request, &stream);
    if (error < 0) return error;
    error = lipc_stream_read(stream, ANSWER_MS, &delta);
    samples_add(first_ms, (double)(now_ns() - start_ns) / 1e6);
    while (error == LIPC_E_OK && delta.n_bytes > 0) error = lipc_stream_read(stream, ANSWER_MS, &delta);
    if (error == LIPC_E_OK) error = lipc_stream_progress(stream, &progress);
    if (error == LIPC_E_OK && progress.n_tokens > 1)
        samples_add(rate, (progress.n_tokens - 1) * 1e9 / (double)progress.generate_ns);
    lipc_stream_close(stream);
    return error;
}

/* The program that answers without a host, where it was built; NULL: it was not. */
static const char *find_bare_loop(void) {
    static char path[4096];
    bool is_found = plat_program_find("bench/bare_loop", path, sizeof path) == PLAT_OK ||
                    plat_program_find("bare_loop", path, sizeof path) == PLAT_OK;
    return is_found ? path : NULL;
}

static const char *find_model(const cli_options *options) {
    static char embedded[4096];
    const char *named = options->model_path ? options->model_path : getenv("LLAMA_ARG_MODEL");
    if (named && named[0]) return named;
    model_path_embedded(embedded, sizeof embedded);
    return embedded;
}

static int measure_answers(bench *bench, lipc_client *client) {
    static samples first, rate, bare_first, bare_rate;
    const char *program = find_bare_loop();
    bare_subject bare;
    int error = LIPC_E_OK;
    bench->has_bare = program != NULL;
    if (program) bare_open(&bare, program, find_model(bench->options), bench->host.n_threads, bench->host.n_ctx, 1);
    const int64_t end_ns = now_ns() + ANSWERS_NS;
    for (int i = 0; i < ANSWERS_MOST && error == LIPC_E_OK && (i == 0 || now_ns() < end_ns); i++) {
        const prompts prompts = make_prompts(i);
        terminal_progress("answering ... %d", i + 1);
        error = ask_host(client, &prompts, &first, &rate);
        if (!program || error < 0) continue;
        const answer_cost cost = bare_answer(&bare, &prompts, N_PREDICT, false);
        samples_add(&bare_first, cost.first_ms);
        samples_add(&bare_rate, cost.tokens_per_s);
    }
    if (program) bare_stop(&bare);
    bench->first_ms = samples_median(&first);
    bench->rate = samples_median(&rate);
    bench->bare_first_ms = samples_median(&bare_first);
    bench->bare_rate = samples_median(&bare_rate);
    return error;
}

/* ---- what came out ------------------------------------------------------------------------------------------------- */

static void print_label(const char *label) {
    printf("%s%-10s%s ", terminal_style_on(stdout, STYLE_DIM), label, terminal_style_on(stdout, STYLE_PLAIN));
}

/* On a busy machine a late wake-up is a time slice late. */
static void print_time(double us) {
    printf(us < 10000 ? "%8.1f us" : "%8.1f ms", us < 10000 ? us : us / 1000);
}

static void print_wake(const bench *bench, int kind, const char *label, const char *what) {
    print_label(label);
    printf("%-33s %s", what, terminal_style_on(stdout, STYLE_BOLD));
    print_time(bench->wake_us[kind]);
    printf("%s  p99", terminal_style_on(stdout, STYLE_PLAIN));
    print_time(bench->late_us[kind]);
    if (kind != WAKE_FUTEX) printf("  x %.2f", bench->wake_us[kind] / bench->wake_us[WAKE_FUTEX]);
    printf("\n");
}

static void print_figure(const char *label, const char *what, double value, const char *unit, const char *note) {
    print_label(label);
    printf("%-33s %s%8.1f %s%s%s%s\n", what, terminal_style_on(stdout, STYLE_BOLD), value, unit,
           terminal_style_on(stdout, STYLE_PLAIN), note[0] ? "  " : "", note);
}

static void print_text(const bench *bench) {
    char amount[FORMAT_SIZE], note[64];
    print_label("machine");
    printf("%d core%s, of which other programs used %.2f%s\n", plat_core_count(), plat_core_count() == 1 ? "" : "s",
           bench->other_load, bench->other_load > OTHER_LOAD_MOST ? ": too much to measure" : "");
    print_wake(bench, WAKE_FUTEX, "wake", "a sleeping process, bare futex");
    print_wake(bench, WAKE_BELL, "", "a sleeping reader of the channel");
    print_wake(bench, WAKE_LIBRARY, "", "to the return of lipc_stream_read");
    print_figure("channel", "publishing a token, nobody sleeps", bench->publish_ns, "ns", "processor time");
    print_label("model");
    printf("%s, %s parameters, %d thread%s\n", bench->host.model, format_amount(bench->host.n_parameters, amount),
           bench->host.n_threads, bench->host.n_threads == 1 ? "" : "s");
    print_figure("host", "from its start until it is ready", bench->ready_ms, "ms", "");
    print_figure("", "from a request to its first token", bench->first_ms, "ms", "");
    print_figure("", "tokens per second", bench->rate, "/s", "");
    if (!bench->has_bare) {
        print_label("bare loop");
        printf("not there: it comes with the benchmark, bench/bare_loop\n");
        return;
    }
    print_figure("bare loop", "from a prompt to its first token", bench->bare_first_ms, "ms", "");
    snprintf(note, sizeof note, "the host: x %.2f", bench->rate / bench->bare_rate);
    print_figure("", "tokens per second", bench->bare_rate, "/s", note);
}

static bool print_json(const bench *bench) {
    json_t *json = json_object();
    static const char *const wakes[N_WAKE_KINDS] = {"wake_futex_us", "wake_channel_us", "wake_library_us"};
    for (int kind = 0; kind < N_WAKE_KINDS; kind++)
        json_object_set_new(json, wakes[kind], json_real(bench->wake_us[kind]));
    json_object_set_new(json, "publish_ns", json_real(bench->publish_ns));
    json_object_set_new(json, "model", json_string(bench->host.model));
    json_object_set_new(json, "ready_ms", json_real(bench->ready_ms));
    json_object_set_new(json, "first_token_ms", json_real(bench->first_ms));
    json_object_set_new(json, "tokens_per_second", json_real(bench->rate));
    json_object_set_new(json, "bare_first_token_ms", bench->has_bare ? json_real(bench->bare_first_ms) : json_null());
    json_object_set_new(json, "bare_tokens_per_second", bench->has_bare ? json_real(bench->bare_rate) : json_null());
    json_object_set_new(json, "other_load_cores", json_real(bench->other_load));
    bool is_printed = json && json_dumpf(json, stdout, JSON_REAL_PRECISION(6)) == 0;
    json_decref(json);
    printf("\n");
    return is_printed;
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

cli_exit cli_bench(const cli_options *options) {
    bench bench = {.options = options};
    lipc_client *client = NULL;
    /* First what most often fails, so that nobody waits for it. */
    int error = start_host(&bench, &client);
    bool has_host = error == LIPC_E_OK;
    if (has_host) {
        const other_load other_load = other_load_begin(bench.host.host_pid, 0);
        family_settle(bench.host.host_pid);
        measure_channel(&bench);
        error = measure_answers(&bench, client);
        bench.other_load = other_load_cores(&other_load);
    }
    terminal_progress_clear();
    cli_exit code = error < 0 ? cli_fail(error) : CLI_EXIT_OK;
    if (!has_host) code = CLI_EXIT_NO_HOST;
    lipc_client_close(client);
    if (code != CLI_EXIT_OK) return code;
    bool is_printed = true;
    if (options->json) is_printed = print_json(&bench);
    else print_text(&bench);
    if (is_printed && fflush(stdout) == 0) return CLI_EXIT_OK;
    terminal_fail("cannot write to standard output");
    return CLI_EXIT_FAILURE;
}
