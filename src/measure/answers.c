/* answers.c - see answers.h. */
#define _GNU_SOURCE
#include "answers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS 60000

prompts make_prompts(int number) {
    prompts result;
    snprintf(result.system, sizeof result.system, "%06d. You are a helpful tutor.", number % 1000000);
    snprintf(result.user, sizeof result.user, "Explain C++ pointers in detail.");
    return result;
}

/* ---- modern channel ------------------------------------------------------------------------------------------------ */

lipc_client *modern_open(const char *name, int wakes_per_second) {
    lipc_client *client;
    lipc_client_options options;
    lipc_client_options_init(&options);
    options.name = name;
    options.timeout_ms = CONNECT_MS;
    options.wakes_per_second = wakes_per_second;
    if (lipc_client_open(&options, &client) < 0 || lipc_client_wait_ready(client, CONNECT_MS, NULL, NULL) < 0)
        fail("a client cannot attach: %s", lipc_error_message());
    return client;
}

lipc_stream *modern_ask(lipc_client *client, bool is_endless) {
    const lipc_message message = {"user", "go on"};
    lipc_stream *stream;
    lipc_request request;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    request.n_predict = -1;
    request.ignore_eos = is_endless;
    if (lipc_stream_open(client, &request, &stream) < 0)
        fail("a request failed: %s", lipc_error_message());
    return stream;
}

/* ---- bare loop -------------------------------------------------------------------------------------------------- */

void bare_open(bare_subject *bare, const char *program, const char *model_path, int n_threads, int n_ctx,
               int n_sequences) {
    int to[2], from[2];
    char threads[16], ctx[16], sequences[16], line[64];
    snprintf(threads, sizeof threads, "%d", n_threads);
    snprintf(ctx, sizeof ctx, "%d", n_ctx);
    snprintf(sequences, sizeof sequences, "%d", n_sequences);
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        fail("cannot make a pipe: %s", strerror(errno));
    const char *const argv[] = {program, "-m", model_path, "-t", threads, "-c", ctx, "-np", sequences,
                                "-s", ANSWER_SEED, "--temp", "0.7", "--min-p", "0.05", "--stdin", NULL};
    bare->pid = process_start(argv, to[0], from[1], STDERR_FILENO);
    close(to[0]);
    close(from[1]);
    bare->to = fdopen(to[1], "w");
    bare->from = fdopen(from[0], "r");
    if (bare->to == NULL || bare->from == NULL)
        fail("not enough memory");
    if (fgets(line, sizeof line, bare->from) == NULL || strcmp(line, "ready\n") != 0)
        fail("%s did not start", program);
}

static answer_cost read_figures(bare_subject *bare) {
    answer_cost cost = {0};
    char line[512];
    fflush(bare->to);
    if (fgets(line, sizeof line, bare->from) == NULL ||
        sscanf(line, "first_ms %lf tokens_per_s %lf tokens %d prompt_tokens %*d bytes %*d survivors %lf",
               &cost.first_ms, &cost.tokens_per_s, &cost.n_tokens, &cost.survivors) != 4)
        fail("the bare loop gave no figures");
    return cost;
}

answer_cost bare_answer(bare_subject *bare, const prompts *prompts, int n_predict, bool count_survivors) {
    fprintf(bare->to, "%d\t%s\t%s\n", count_survivors ? -n_predict : n_predict, prompts->system, prompts->user);
    return read_figures(bare);
}

answer_cost bare_evaluate(bare_subject *bare, int n_sequences, int n_prompt, int n_tokens) {
    fprintf(bare->to, "evaluate %d %d %d\n", n_sequences, n_prompt, n_tokens);
    return read_figures(bare);
}

answer_cost bare_resume(bare_subject *bare, int n_old, int n_new) {
    fprintf(bare->to, "resume %d %d\n", n_old, n_new);
    return read_figures(bare);
}

void bare_stop(bare_subject *bare) {
    fclose(bare->to); /* the end of its input ends it */
    fclose(bare->from);
    if (process_end(bare->pid) != 0)
        fail("the bare loop did not end well");
}
