/* load.c - llamaipc load: another model for a host that runs; its clients stay. */
#include "host.h"
#include "interrupt.h"
#include "terminal.h"

#include "../platform/platform.h"

#include <string.h>

/* How long the host's word is waited for after a cancel: it may have been too late. */
#define CANCEL_MS 10000

static void show_progress(lipc_client *client, lipc_stream *stream) {
    lipc_progress progress;
    lipc_host_status status;
    if (lipc_stream_progress(stream, &progress) < 0 || lipc_client_status(client, &status) < 0) return;
    if (status.state == LIPC_HOST_LOADING || status.download_bytes > 0)
        cli_show_loading(&status);
    else if (status.state != LIPC_HOST_READY)
        terminal_progress("the host is %s ...", cli_host_state(status.state));
    else if (progress.queue_position > 0)
        terminal_progress("waiting for %d request%s ahead", progress.queue_position,
                          progress.queue_position == 1 ? "" : "s");
    else if (status.n_running > 0)
        terminal_progress("waiting for %d answer%s to be finished", status.n_running, status.n_running == 1 ? "" : "s");
}

/* Returns `error`, or how it ended before it could be cancelled. */
static int give_up(lipc_stream *stream, int error) {
    lipc_delta delta;
    lipc_stream_cancel(stream);
    int result = lipc_stream_read(stream, CANCEL_MS, &delta);
    return result == LIPC_E_CANCELLED || result == LIPC_E_TIMEOUT ? error : result;
}

/* Waits for its end, and shows how far it is. */
static int follow(lipc_client *client, lipc_stream *stream, uint64_t deadline_ns) {
    lipc_delta delta;
    for (;;) {
        int result = lipc_stream_read(stream, cli_slice_ms(deadline_ns), &delta);
        if (interrupt_take()) return give_up(stream, LIPC_E_CANCELLED);
        if (result != LIPC_E_TIMEOUT) return result;
        if (plat_clock_ns() >= deadline_ns) return give_up(stream, LIPC_E_TIMEOUT);
        show_progress(client, stream);
    }
}

static cli_exit tell_end(const cli_options *options, lipc_client *client, int error) {
    lipc_host_status status;
    switch (error) {
    case LIPC_E_OK:
        if (!options->quiet && lipc_client_status(client, &status) == LIPC_E_OK && status.model[0])
            terminal_say("loaded: %s, context %d", status.model, status.n_ctx);
        return CLI_EXIT_OK;
    case LIPC_E_CANCELLED: terminal_fail("cancelled: the host keeps the model that it had"); break;
    case LIPC_E_TIMEOUT: terminal_fail("the time-out passed: the host keeps the model that it had"); break;
    default: return cli_fail(error);
    }
    return cli_exit_for(error);
}

/* The file or the name that was given; NULL, and says why, if that is none. */
static const char *wanted(const cli_options *options, char name[CLI_MODEL_NAME_SIZE]) {
    if (options->n_words == 1 && !options->hf_repo && !options->model_url) return options->words[0];
    if (options->n_words == 0 && !options->hf_repo && !options->model_url) {
        terminal_fail("load needs FILE, or -hf NAME: see llamaipc load --help");
        return NULL;
    }
    return cli_model_name(options, name) ? name : NULL;
}

cli_exit cli_load(const cli_options *options) {
    char name[CLI_MODEL_NAME_SIZE];
    lipc_client *client;
    lipc_stream *stream;
    const char *model = wanted(options, name);
    if (!model) return CLI_EXIT_USAGE;
    interrupt_catch();
    uint64_t deadline_ns = cli_deadline(options);
    cli_exit code = cli_host_find(options, &client);
    if (code != CLI_EXIT_OK) return code;
    if (!client) {
        terminal_fail("no host runs as '%s'; one that loads this model is started with: chatbot -m %s", options->name,
                      model);
        return CLI_EXIT_NO_HOST;
    }
    interrupt_client(client);
    int error = lipc_client_load(client, model, &stream);
    if (error == LIPC_E_OK) error = follow(client, stream, deadline_ns);
    terminal_progress_clear();
    code = tell_end(options, client, error);
    lipc_stream_close(stream);
    cli_host_close(client);
    return code;
}
