/* fuzz_options.c - src/host/options.h over arbitrary command lines and environments. One a line: "LLAMA_ARG_...=value"
 * and "LIPC_...=value" are the environment's, everything else is an argument. Every value it accepts lies in its
 * bounds, and every refusal says something that fits its buffer. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "channel/hub.h"
#include "host/options.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINES = 64 };

static bool is_environment(const char *line) {
    return (strncmp(line, "LLAMA_ARG_", 10) == 0 || strncmp(line, "LIPC_", 5) == 0) && strchr(line, '=');
}

/* ... or left to the model's file. */
static bool is_within(float value, float low, float high) {
    return isnan(value) || (value >= low && value <= high);
}

static void check_accepted(const host_options *options) {
    size_t n_name = strlen(options->name);
    MUST(n_name > 0 && n_name <= LIPC_NAME_MAX && !strchr(options->name, '/') && options->name[0] != '.');
    MUST(options->n_ctx >= -1 && options->n_threads >= 0 && options->n_predict >= -1);
    MUST(options->n_parallel >= 0 && options->n_parallel <= 256);
    MUST(is_within(options->temperature, 0, 100) && is_within(options->min_p, 0, 1) && is_within(options->top_p, 0, 1));
    MUST(is_within(options->repeat_penalty, 0.01f, 100) && is_within(options->frequency_penalty, -100, 100) &&
         is_within(options->presence_penalty, -100, 100));
    MUST(options->seed >= -1 && options->seed < UINT32_MAX);
    MUST(options->n_streams >= 1 && options->n_streams <= LIPC_STREAMS_MAX);
    MUST(options->request_size >= HUB_REQUEST_SIZE_MIN && options->request_size <= HUB_REQUEST_SIZE_MAX);
    MUST(options->response_size >= HUB_LOG_SIZE_MIN && options->response_size <= HUB_LOG_SIZE_MAX);
    MUST(options->replay_rate >= 0 && options->replay_rate <= 1e6f && options->log_level <= LOG_LEVEL_DEBUG);
    MUST(!options->model_path || options->model_path[0]);
    MUST(!options->replay_path || options->replay_path[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *argv[MAX_LINES + 1], *variables[MAX_LINES + 1], **own_environment = environ, message[160];
    char program[] = "chatbot";
    int argc = 0, n_variables = 0;
    char *text = malloc(size + 1);
    MUST(text);
    memcpy(text, data, size);
    text[size] = 0;
    argv[argc++] = program;
    for (char *at = text; at && argc + n_variables < MAX_LINES;) {
        char *line = at;
        at = strchr(at, '\n');
        if (at) *at++ = 0;
        if (is_environment(line)) variables[n_variables++] = line;
        else argv[argc++] = line;
    }
    argv[argc] = NULL;
    variables[n_variables] = NULL;

    host_options options;
    memset(message, 0, sizeof message);
    memset(&options, 0x55, sizeof options);
    environ = variables;
    bool is_accepted = host_options_parse(argc, argv, NULL, &options, message, sizeof message);
    environ = own_environment;
    if (is_accepted) check_accepted(&options);
    else MUST(memchr(message, 0, sizeof message) && message[0]);
    free(text);
    return 0;
}
