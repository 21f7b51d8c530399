/* status.c - llamaipc status: what a host is doing, as a screen or as JSON. */
#include "host.h"
#include "inspect.h"
#include "terminal.h"
#include "format.h"

#include <jansson.h>

typedef struct summary {
    inspected_host host;
    int n_detached;
    double tokens_per_second; /* of all answers being made */
} summary;

static void summarise(const inspection *inspection, summary *summary) {
    inspected_stream stream;
    *summary = (struct summary){.n_detached = 0};
    inspect_host(inspection, &summary->host);
    for (uint32_t i = 0; i < inspection->view.at.n_streams; i++) {
        if (!inspect_stream(inspection, i, &stream)) continue;
        summary->n_detached += stream.phase == LIPC_CLAIM_DETACHED;
        if (stream.progress.state == LIPC_STREAM_GENERATING) summary->tokens_per_second += inspect_speed(&stream.progress);
    }
}

/* ---- as text ------------------------------------------------------------------------------------------------------- */

static void print_row(const char *label) {
    printf("%s%-10s%s ", terminal_style_on(stdout, STYLE_DIM), label, terminal_style_on(stdout, STYLE_PLAIN));
}

static void print_model(const lipc_host_status *status) {
    char parameters[FORMAT_SIZE], bytes[FORMAT_SIZE];
    print_row("model");
    if (!status->model[0])
        printf("not loaded yet\n");
    else if (status->n_parameters == 0) /* a server, or a text that is played back */
        printf("%s, %d answer%s at a time\n", status->model, status->n_parallel, status->n_parallel == 1 ? "" : "s");
    else
        printf("%s, %s parameters, %sB\n", status->model, format_amount(status->n_parameters, parameters),
               format_amount(status->model_bytes, bytes));
    if (!status->model[0] || status->n_parameters == 0) return;
    print_row("context");
    printf("%d tokens for each answer (trained with %d), %d answer%s at a time, %d thread%s\n", status->n_ctx,
           status->n_ctx_trained, status->n_parallel, status->n_parallel == 1 ? "" : "s", status->n_threads,
           status->n_threads == 1 ? "" : "s");
    if (status->n_layers == 0) return;
    print_row("devices");
    printf("%d of %d layers on devices%s%s\n", status->n_device_layers, status->n_layers, status->devices[0] ? ": " : "", status->devices);
}

static void print_download(const lipc_host_status *status) {
    char done[FORMAT_SIZE], total[FORMAT_SIZE], rate[FORMAT_SIZE];
    if (status->download_total == 0) return;
    print_row("download");
    printf("%sB of %sB, %sB/s\n", format_amount(status->download_bytes, done), format_amount(status->download_total, total),
           format_amount(status->download_rate, rate));
}

static void print_text(const cli_options *options, const summary *summary) {
    const lipc_host_status *status = &summary->host.status;
    char text[FORMAT_SIZE];
    terminal_style style = status->state == LIPC_HOST_READY  ? STYLE_GOOD
                           : status->state == LIPC_HOST_GONE ? STYLE_BAD
                                                             : STYLE_WARN;
    print_row("host");
    printf("'%s', process %d, %s%s%s", options->name, status->host_pid, terminal_style_on(stdout, style),
           cli_host_words(status), terminal_style_on(stdout, STYLE_PLAIN));
    if (status->state == LIPC_HOST_LOADING || status->state == LIPC_HOST_RECOVERING)
        printf(", %d %% loaded", status->load_per_mille / 10);
    if (status->state != LIPC_HOST_GONE) printf(", up %s", format_duration(summary->host.uptime_s, text));
    if (summary->host.n_recoveries > 0) printf(", recovered %d times", summary->host.n_recoveries);
    printf("\n");
    print_model(status);
    print_download(status);
    print_row("clients");
    printf("%d attached\n", status->n_clients);
    print_row("streams");
    printf("%d running, %d waiting, %d left to run alone, of %d\n", status->n_running, status->n_queued,
           summary->n_detached, status->n_streams);
    print_row("speed");
    printf("%.1f tokens/s\n", summary->tokens_per_second);
    print_row("versions");
    printf("host %s, llamaipc %s\n", status->host_version, lipc_version());
}

/* ---- as JSON ------------------------------------------------------------------------------------------------------- */

static bool print_json(const cli_options *options, const summary *summary) {
    const lipc_host_status *status = &summary->host.status;
    json_t *json = json_pack(
        "{s:s, s:s, s:b, s:f, s:i, s:i, s:f, s:i, s:s, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:I, s:I, "
        "s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:s}",
        "name", options->name, "state", cli_host_state(status->state), "asleep", status->is_asleep, "loaded", status->load_per_mille / 1000.0,
        "pid", status->host_pid, "worker_pid", summary->host.worker_pid, "uptime_s", summary->host.uptime_s,
        "recoveries", summary->host.n_recoveries, "model", status->model, "parameters", (json_int_t)status->n_parameters,
        "model_bytes", (json_int_t)status->model_bytes, "context", status->n_ctx, "context_trained",
        status->n_ctx_trained, "threads", status->n_threads, "parallel", status->n_parallel, "clients",
        status->n_clients, "streams", status->n_streams, "running", status->n_running, "queued", status->n_queued,
        "detached", summary->n_detached, "tokens_per_second", summary->tokens_per_second, "request_size",
        (json_int_t)status->request_size, "response_size", (json_int_t)status->response_size, "host_version",
        status->host_version, "version", lipc_version(), "model_path", status->model_path,
        "download_bytes", (json_int_t)status->download_bytes, "download_total",
        (json_int_t)status->download_total, "download_rate", (json_int_t)status->download_rate, "layers", status->n_layers, "device_layers",
        status->n_device_layers, "devices", status->devices);
    bool is_printed = json && json_dumpf(json, stdout, JSON_REAL_PRECISION(6)) == 0;
    json_decref(json);
    printf("\n");
    return is_printed;
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

static int on_load(void *nothing, const lipc_host_status *status) {
    (void)nothing;
    terminal_progress("host %d is %s: %d %%", status->host_pid, cli_host_state(status->state),
                      status->load_per_mille / 10);
    return 0;
}

static cli_exit wait_ready(const cli_options *options) {
    lipc_client_options how;
    lipc_client *client;
    lipc_client_options_init(&how);
    how.name = options->name;
    how.timeout_ms = options->timeout_s < 0 ? -1 : options->timeout_s * 1000;
    terminal_progress("waiting for a host '%s' ...", options->name);
    int error = lipc_client_open(&how, &client);
    if (error == LIPC_E_OK) {
        error = lipc_client_wait_ready(client, how.timeout_ms, on_load, NULL);
        if (error < 0) cli_fail(error);
        lipc_client_close(client);
        terminal_progress_clear();
        return cli_exit_for(error);
    }
    terminal_progress_clear();
    return cli_fail(error);
}

cli_exit cli_status(const cli_options *options) {
    char message[INSPECT_MESSAGE_SIZE];
    inspection inspection;
    summary summary;
    if (options->wait) {
        cli_exit code = wait_ready(options);
        if (code != CLI_EXIT_OK) return code;
    }
    int error = inspect_open(&inspection, options->name, message);
    if (error < 0) {
        terminal_fail("%s", message);
        return cli_exit_for(error);
    }
    summarise(&inspection, &summary);
    inspect_close(&inspection);
    bool is_printed = true;
    if (options->json)
        is_printed = print_json(options, &summary);
    else
        print_text(options, &summary);
    if (!is_printed || fflush(stdout) != 0) {
        terminal_fail("cannot write to standard output");
        return CLI_EXIT_FAILURE;
    }
    return summary.host.status.state == LIPC_HOST_GONE ? CLI_EXIT_NO_HOST : CLI_EXIT_OK;
}
