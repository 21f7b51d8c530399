/* host.c - see host.h. */
#include "host.h"

#include "format.h"
#include "inspect.h"
#include "interrupt.h"
#include "terminal.h"

#include "../platform/platform.h"

#include "lipc/layout.h"

#include <stdio.h>
#include <string.h>

#define START_TIMEOUT_MS 10000
#define NUMBER_SIZE 16
#define STOP_SIZE (LIPC_NAME_MAX + 32)
#define NS_PER_MS 1000000u

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

static struct {
    int error;
    char message[512];
} last_failure;

cli_exit cli_fail(int error) {
    const char *message = lipc_error_message();
    snprintf(last_failure.message, sizeof last_failure.message, "%s", message[0] ? message : lipc_error_text(error));
    last_failure.error = error;
    terminal_fail("%s", last_failure.message);
    return cli_exit_for(error);
}

int cli_failure(const char **message) {
    *message = last_failure.message;
    return last_failure.error;
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

const char *cli_host_words(const lipc_host_status *status) {
    return status->is_asleep ? "asleep" : cli_host_state(status->state);
}

/* The options that a host is started with. */
typedef struct host_arguments {
    const char *items[16];
    int n_items;
    char numbers[2][NUMBER_SIZE];
    int n_numbers;
} host_arguments;

static void add_text(host_arguments *arguments, const char *option, const char *value) {
    if (!value) return;
    arguments->items[arguments->n_items++] = option;
    arguments->items[arguments->n_items++] = value;
}

static void add_number(host_arguments *arguments, const char *option, int32_t value) {
    if (value == LIPC_INT_DEFAULT) return;
    char *text = arguments->numbers[arguments->n_numbers++];
    snprintf(text, NUMBER_SIZE, "%d", value);
    add_text(arguments, option, text);
}

static void collect(host_arguments *arguments, const cli_options *options) {
    memset(arguments, 0, sizeof *arguments);
    add_text(arguments, "--model", options->model_path);
    add_text(arguments, "--hf-repo", options->hf_repo);
    add_text(arguments, "--model-url", options->model_url);
    add_number(arguments, "--ctx-size", options->n_ctx);
    add_number(arguments, "--threads", options->n_threads);
    add_text(arguments, "--gpu-layers", options->n_gpu_layers);
}

/* What ends this host. */
static const char *stop_command(const cli_options *options, char text[STOP_SIZE]) {
    bool is_default = strcmp(options->name, LIPC_DEFAULT_NAME) == 0;
    snprintf(text, STOP_SIZE, "llamaipc stop%s%s", is_default ? "" : " --name ", is_default ? "" : options->name);
    return text;
}

/* Somebody who chose a model gets the answers of another if a host is there already. */
static void say_unused(const cli_options *options) {
    host_arguments arguments;
    char command[STOP_SIZE];
    collect(&arguments, options);
    if (arguments.n_items > 0)
        terminal_say("a host runs already: %s does not change it%s. End it with '%s', or start another with --name",
                     arguments.items[0], options->model_path ? ", but llamaipc load FILE gives it another model" : "",
                     stop_command(options, command));
}

/* ---- finding ------------------------------------------------------------------------------------------------------- */

static int find(const cli_options *options, lipc_client **client) {
    lipc_client_options how;
    lipc_client_options_init(&how);
    how.name = options->name;
    how.timeout_ms = 0;
    int error = lipc_client_open(&how, client);
    if (error != LIPC_E_TIMEOUT && error != LIPC_E_LAYOUT) return error;
    how.timeout_ms = START_TIMEOUT_MS; /* one is just beginning, or mends what was written over its hub */
    return lipc_client_open(&how, client);
}

cli_exit cli_host_find(const cli_options *options, lipc_client **client) {
    int error = find(options, client);
    return error < 0 && error != LIPC_E_NO_HOST ? cli_fail(error) : CLI_EXIT_OK;
}

/* ---- starting and waiting ------------------------------------------------------------------------------------------ */

uint64_t cli_deadline(const cli_options *options) {
    return options->timeout_s < 0 ? PLAT_NEVER : plat_deadline_ns(options->timeout_s * 1000);
}

int cli_slice_ms(uint64_t deadline_ns) {
    int slice_ms = terminal_is_error() ? PROGRESS_SLICE_MS : INTERRUPT_SLICE_MS;
    if (deadline_ns == PLAT_NEVER) return slice_ms;
    uint64_t now_ns = plat_clock_ns();
    if (now_ns >= deadline_ns) return 0;
    uint64_t rest_ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return rest_ms < (uint64_t)slice_ms ? (int)rest_ms : slice_ms;
}

static int start(const cli_options *options, lipc_client **client) {
    char stray[INSPECT_MESSAGE_SIZE];
    host_arguments arguments;
    lipc_client_options how;
    lipc_client_options_init(&how);
    collect(&arguments, options);
    how.name = options->name;
    how.start = LIPC_START_DETACHED;
    how.timeout_ms = START_TIMEOUT_MS;
    how.host_arguments = arguments.items;
    if (inspect_stray(options->name, stray)) terminal_say("%s: another is started here", stray);
    terminal_progress("no host runs as '%s': starting one ...", options->name);
    int error = lipc_client_open(&how, client);
    terminal_progress_clear();
    return error;
}

void cli_show_loading(const lipc_host_status *status) {
    char done[FORMAT_SIZE], total[FORMAT_SIZE], rate[FORMAT_SIZE];
    if (status->download_total > 0)
        terminal_progress("fetching the model: %d %% of %sB, %sB/s", (int)(100.0 * (double)status->download_bytes / (double)status->download_total),
                          format_amount(status->download_total, total), format_amount(status->download_rate, rate));
    else if (status->download_bytes > 0)
        terminal_progress("fetching the model: %sB, %sB/s", format_amount(status->download_bytes, done), format_amount(status->download_rate, rate));
    else
        terminal_progress("loading the model: %d %%", status->load_per_mille / 10);
}

static int on_status(void *nothing, const lipc_host_status *status) {
    (void)nothing;
    if (status->state == LIPC_HOST_LOADING)
        cli_show_loading(status);
    else if (status->state != LIPC_HOST_READY)
        terminal_progress("the host is %s ...", cli_host_state(status->state));
    return interrupt_is_there();
}

/* Says that a host was started, and how to be rid of it. */
static void say_started(const cli_options *options, lipc_client *client) {
    lipc_host_status status;
    char command[STOP_SIZE];
    if (options->quiet || lipc_client_status(client, &status) < 0) return;
    terminal_say("started a host, process %d; it stays until '%s'", status.host_pid, stop_command(options, command));
}

static cli_exit wait_ready(lipc_client *client, uint64_t deadline_ns) {
    int result;
    do {
        result = lipc_client_wait_ready(client, cli_slice_ms(deadline_ns), on_status, NULL);
    } while (result == LIPC_E_TIMEOUT && plat_clock_ns() < deadline_ns && !interrupt_is_there());
    terminal_progress_clear();
    if (!interrupt_take()) return result < 0 ? cli_fail(result) : CLI_EXIT_OK;
    last_failure.error = LIPC_E_CANCELLED;
    snprintf(last_failure.message, sizeof last_failure.message, "cancelled while the host was loading its model; it goes "
                                                                "on with that");
    terminal_fail("%s", last_failure.message);
    return CLI_EXIT_CANCELLED;
}

cli_exit cli_host_open(const cli_options *options, uint64_t deadline_ns, lipc_client **client) {
    int error = find(options, client);
    bool is_started = error == LIPC_E_NO_HOST;
    if (is_started)
        error = start(options, client);
    else if (error == LIPC_E_OK)
        say_unused(options);
    interrupt_client(*client);
    cli_exit code = error < 0 ? cli_fail(error) : wait_ready(*client, deadline_ns);
    /* One that was started and ended at once never was there. */
    if (is_started && code == CLI_EXIT_HOST_GONE) code = CLI_EXIT_NO_HOST;
    if (is_started && *client && code != CLI_EXIT_NO_HOST) say_started(options, *client);
    if (code == CLI_EXIT_OK) return code;
    cli_host_close(*client);
    *client = NULL;
    return code;
}

void cli_host_close(lipc_client *client) {
    interrupt_client(NULL);
    lipc_client_close(client);
}

int cli_host_start_own(const cli_options *options, const char *name, lipc_client **client) {
    host_arguments arguments;
    lipc_client_options how;
    lipc_client_options_init(&how);
    collect(&arguments, options);
    how.name = name;
    how.start = LIPC_START_WITH_ME;
    how.timeout_ms = START_TIMEOUT_MS;
    how.host_arguments = arguments.items;
    return lipc_client_open(&how, client);
}
