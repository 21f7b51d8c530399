/* answer.c - see answer.h. */
#include "answer.h"

#include "host.h"
#include "interrupt.h"
#include "inspect.h"
#include "terminal.h"

/* Whoever waits shorter than this sees no progress: a line that only flashes tells nothing. */
#define QUIET_NS 200000000u
/* How long an answer that was cancelled is waited for; a step of a large model on a slow machine takes seconds. */
#define CANCEL_MS 10000
#define NS_PER_MS 1000000u

/* ---- the answer ---------------------------------------------------------------------------------------------------- */

void answer_request(const cli_options *options, const lipc_message *messages, int n_messages, lipc_request *request) {
    static lipc_parameter parameters[PARAMETERS_COUNT]; /* as long as the request, of which there is one at a time */
    lipc_request_init(request);
    request->n_parameters = parameters_list(&options->parameters, parameters);
    request->parameters = parameters;
    request->priority = options->priority;
    request->messages = messages;
    request->n_messages = n_messages;
    request->ignore_eos = options->ignore_eos;
    request->logprobs = options->logprobs;
    request->stops = options->stops.items;
    request->n_stops = options->stops.n_items;
    if (options->grammar) request->grammar = options->grammar;
}

void answer_set_document(lipc_request *request, const char *document) {
    if (!document) return;
    request->document = document;
    request->messages = NULL;
    request->n_messages = 0;
}

static void show_progress(lipc_client *client, lipc_stream *stream) {
    lipc_progress progress;
    lipc_host_status status;
    if (lipc_stream_progress(stream, &progress) < 0 || lipc_client_status(client, &status) < 0) return;
    if (progress.state == LIPC_STREAM_QUEUED && status.state == LIPC_HOST_LOADING) {
        cli_show_loading(&status);
        return;
    }
    switch (progress.state) {
    case LIPC_STREAM_QUEUED:
        terminal_progress("waiting for a turn%s%.0d%s", progress.queue_position ? ": " : "", progress.queue_position,
                          progress.queue_position ? " ahead" : "");
        break;
    case LIPC_STREAM_READING:
        if (progress.n_prompt > 0)
            terminal_progress("reading the prompt: %d %% of %d tokens",
                              (int)(100.0 * progress.n_prompt_done / progress.n_prompt), progress.n_prompt);
        break;
    case LIPC_STREAM_RECOVERING: terminal_progress("the host's worker died; the next takes up the answer ..."); break;
    default: break;
    }
}

static bool is_news(const lipc_part_delta *delta) {
    return delta->n_bytes > 0 || delta->begins;
}

/* Reads what there is after a cancel, for a while: the host takes a step at most. Whoever presses Ctrl-C again does not
 * wait. */
static int read_rest(lipc_stream *stream, answer_fn on_part, void *user_data) {
    uint64_t deadline_ns = plat_deadline_ns(CANCEL_MS);
    lipc_part_delta delta;
    int result;
    do {
        result = lipc_stream_read_part(stream, cli_slice_ms(deadline_ns), &delta);
        if (result == LIPC_E_OK && is_news(&delta) && on_part && !on_part(user_data, stream, &delta)) on_part = NULL;
    } while (!interrupt_is_there() && ((result == LIPC_E_OK && is_news(&delta)) ||
                                       (result == LIPC_E_TIMEOUT && plat_clock_ns() < deadline_ns)));
    return result;
}

static int give_up(lipc_stream *stream, answer_fn on_part, void *user_data, int error) {
    terminal_progress_clear();
    lipc_stream_cancel(stream);
    int result = read_rest(stream, on_part, user_data);
    return result == LIPC_E_HOST_GONE ? result : error;
}

int answer_read(lipc_client *client, lipc_stream *stream, uint64_t deadline_ns, answer_fn on_part, void *user_data) {
    uint64_t begin_ns = plat_clock_ns();
    lipc_part_delta delta;
    for (;;) {
        int result = lipc_stream_read_part(stream, cli_slice_ms(deadline_ns), &delta);
        if (interrupt_take()) return give_up(stream, on_part, user_data, LIPC_E_CANCELLED);
        if (result == LIPC_E_OK && is_news(&delta)) {
            if (!on_part(user_data, stream, &delta)) return give_up(stream, NULL, NULL, LIPC_E_INVALID);
            continue;
        }
        if (result != LIPC_E_TIMEOUT) {
            terminal_progress_clear();
            return result;
        }
        if (plat_clock_ns() >= deadline_ns) return give_up(stream, on_part, user_data, LIPC_E_TIMEOUT);
        if (plat_clock_ns() - begin_ns >= QUIET_NS) show_progress(client, stream);
    }
}

const char *answer_failure(int error) {
    switch (error) {
    case LIPC_E_CANCELLED: return "cancelled";
    case LIPC_E_TIMEOUT: return "the time-out passed; the answer was cancelled";
    case LIPC_E_HOST_GONE: return "the host ended or was killed before the answer was complete";
    default: return lipc_error_message()[0] ? lipc_error_message() : lipc_error_text(error);
    }
}

const char *answer_numbers(const lipc_progress *progress, char text[ANSWER_NUMBERS_SIZE]) {
    char cached[32] = "";
    if (progress->n_cached > 0) snprintf(cached, sizeof cached, " (%d cached)", progress->n_cached);
    int n = snprintf(text, ANSWER_NUMBERS_SIZE, "%d token%s, %.1f tokens/s, prompt of %d token%s%s evaluated in %.0f ms",
                     progress->n_tokens, progress->n_tokens == 1 ? "" : "s", inspect_speed(progress), progress->n_prompt,
                     progress->n_prompt == 1 ? "" : "s", cached, (double)progress->prompt_ns / 1e6);
    if (progress->queued_ns >= NS_PER_MS)
        snprintf(text + n, ANSWER_NUMBERS_SIZE - (size_t)n, ", waited %.0f ms", (double)progress->queued_ns / 1e6);
    return text;
}
