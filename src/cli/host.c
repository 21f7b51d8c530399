/* host.c - see host.h. */
#include "host.h"

#include "terminal.h"

#include "lipc/layout.h"

#include <stdio.h>
#include <string.h>

#define START_TIMEOUT_MS 10000
#define NUMBER_SIZE 16

cli_exit cli_exit_for(int error) {
    switch (error) {
    case LIPC_E_OK: return CLI_EXIT_OK;
    case LIPC_E_INVALID:
    case LIPC_E_REFUSED: return CLI_EXIT_REFUSED;
    case LIPC_E_FAILED: return CLI_EXIT_FAILED;
    case LIPC_E_NO_HOST: return CLI_EXIT_NO_HOST;
    case LIPC_E_HOST_GONE: return CLI_EXIT_HOST_GONE;
    case LIPC_E_TIMEOUT: return CLI_EXIT_TIMEOUT;
    case LIPC_E_CANCELLED: return CLI_EXIT_CANCELLED;
    default: return CLI_EXIT_FAILURE;
    }
}

cli_exit cli_fail(int error) {
    terminal_fail("%s", lipc_error_message()[0] ? lipc_error_message() : lipc_error_text(error));
    return cli_exit_for(error);
}

const char *cli_host_state(int state) {
    switch (state) {
    case LIPC_HOST_STARTING: return "starting";
    case LIPC_HOST_LOADING: return "loading";
    case LIPC_HOST_READY: return "ready";
    case LIPC_HOST_ENDING: return "ending";
    case LIPC_HOST_GONE: return "dead";
    case LIPC_HOST_RECOVERING: return "recovering";
    default: return "unknown";
    }
}

/* The options that a host is started with. */
typedef struct host_arguments {
    const char *items[16];
    int n_items;
    char numbers[3][NUMBER_SIZE];
    int n_numbers;
} host_arguments;

static void add_number(host_arguments *arguments, const char *option, int32_t value) {
    if (value == LIPC_INT_DEFAULT) return;
    char *text = arguments->numbers[arguments->n_numbers++];
    snprintf(text, NUMBER_SIZE, "%d", value);
    arguments->items[arguments->n_items++] = option;
    arguments->items[arguments->n_items++] = text;
}

static void collect(host_arguments *arguments, const cli_options *options) {
    memset(arguments, 0, sizeof *arguments);
    if (options->model_path) {
        arguments->items[arguments->n_items++] = "--model";
        arguments->items[arguments->n_items++] = options->model_path;
    }
    add_number(arguments, "--ctx-size", options->n_ctx);
    add_number(arguments, "--threads", options->n_threads);
    add_number(arguments, "--gpu-layers", options->n_gpu_layers);
}

static int start(const cli_options *options, lipc_client_options *how, lipc_client **client) {
    host_arguments arguments;
    collect(&arguments, options);
    how->start = LIPC_START_DETACHED;
    how->timeout_ms = START_TIMEOUT_MS;
    how->host_arguments = arguments.items;
    terminal_progress("no host runs as '%s': starting one ...", options->name);
    int error = lipc_client_open(how, client);
    if (error < 0) return error;
    lipc_host_status status;
    lipc_client_status(*client, &status);
    bool is_default = strcmp(options->name, LIPC_DEFAULT_NAME) == 0;
    if (!options->quiet)
        terminal_say("started a host, process %d, which stays; 'llamaipc stop%s%s' ends it", status.host_pid,
                     is_default ? "" : " --name ", is_default ? "" : options->name);
    return LIPC_E_OK;
}

/* Somebody who chose a model gets the answers of another if a host is there already. */
static void say_unused(const cli_options *options) {
    host_arguments arguments;
    collect(&arguments, options);
    if (arguments.n_items > 0)
        terminal_say("a host runs already: %s does not change it. End it with 'llamaipc stop', or start another "
                     "with --name", arguments.items[0]);
}

cli_exit cli_host_open(const cli_options *options, bool may_start, lipc_client **client) {
    lipc_client_options how;
    lipc_client_options_init(&how);
    how.name = options->name;
    how.timeout_ms = 0;
    int error = lipc_client_open(&how, client);
    if (error == LIPC_E_TIMEOUT) { /* one is just beginning */
        how.timeout_ms = START_TIMEOUT_MS;
        error = lipc_client_open(&how, client);
    }
    if (error == LIPC_E_OK) {
        say_unused(options);
        return CLI_EXIT_OK;
    }
    if (error == LIPC_E_NO_HOST && !may_start) return CLI_EXIT_OK;
    if (error == LIPC_E_NO_HOST) error = start(options, &how, client);
    terminal_progress_clear();
    return error < 0 ? cli_fail(error) : CLI_EXIT_OK;
}
