/* prompt.c - llamaipc prompt: what a conversation becomes for the model, without an evaluation. */
#include "answer.h"
#include "document.h"
#include "host.h"
#include "interrupt.h"
#include "terminal.h"
#include "text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool on_part(void *user_data, lipc_stream *stream, const lipc_part_delta *delta) {
    (void)stream;
    if (delta->kind == LIPC_PART_TEXT) text_add(user_data, delta->text, delta->n_bytes);
    return true;
}

/* The text of the prompt, or, with --json, all that the host says of it. */
static bool print(const cli_options *options, const text *shown) {
    json_t *json = json_loadb(shown->bytes ? shown->bytes : "", shown->n_bytes, 0, NULL);
    const char *prompt = json_string_value(json_object_get(json, "text"));
    bool is_printed = prompt != NULL;
    if (is_printed && options->json) {
        char *line = json_dumps(json, JSON_COMPACT | (terminal_is_out() ? JSON_ENSURE_ASCII : 0));
        is_printed = line && terminal_write_raw(line) && terminal_write_raw("\n");
        free(line);
    } else if (is_printed) {
        is_printed = terminal_write(prompt, strlen(prompt)) && (!terminal_is_out() || terminal_write("\n", 1));
    } else {
        terminal_fail("the host says nothing of it that could be read");
    }
    json_decref(json);
    return is_printed;
}

static cli_exit show(const cli_options *options, lipc_client *client, const lipc_request *request, uint64_t deadline_ns) {
    lipc_stream *stream;
    lipc_progress progress = {.end = LIPC_END_NONE};
    text shown = {0};
    int error = lipc_stream_open(client, request, &stream);
    if (error == LIPC_E_OK) error = answer_read(client, stream, deadline_ns, on_part, &shown);
    cli_exit code = cli_exit_for(error);
    if (error < 0) terminal_fail("%s", answer_failure(error));
    if (stream) lipc_stream_progress(stream, &progress);
    if (error == LIPC_E_OK && progress.end == LIPC_END_FULL) {
        terminal_fail("the prompt does not fit into an answer of this host: start it with a larger --response-size");
        code = CLI_EXIT_REFUSED;
    } else if (error == LIPC_E_OK && !print(options, &shown)) {
        code = CLI_EXIT_FAILURE;
    }
    lipc_stream_close(stream);
    text_free(&shown);
    return code;
}

static cli_exit with_document(const cli_options *options, const cli_document *document, const char *question) {
    lipc_message messages[2];
    lipc_request request;
    lipc_client *client;
    int n_messages = 0;
    bool has_failed;
    if (options->system && options->system[0]) messages[n_messages++] = (lipc_message){"system", options->system};
    if (question) messages[n_messages++] = (lipc_message){"user", question};
    answer_request(options, messages, n_messages, &request);
    char *json = cli_document_write(document, messages, (size_t)n_messages, &has_failed);
    if (has_failed) {
        terminal_fail("not enough memory");
        return CLI_EXIT_FAILURE;
    }
    answer_set_document(&request, json);
    request.render = 1;
    uint64_t deadline_ns = cli_deadline(options);
    cli_exit code = cli_host_open(options, deadline_ns, &client);
    if (code == CLI_EXIT_OK) {
        code = show(options, client, &request, deadline_ns);
        cli_host_close(client);
    }
    free(json);
    return code;
}

cli_exit cli_prompt(const cli_options *options) {
    cli_document *document;
    text question = {0};
    interrupt_catch();
    for (int i = 0; i < options->n_words; i++) text_add_word(&question, options->words[i]);
    cli_exit code = cli_document_read(options, &document);
    if (code == CLI_EXIT_OK && !question.bytes && !cli_document_has_messages(document)) {
        terminal_fail("no conversation: llamaipc prompt --messages FILE, or llamaipc prompt TEXT");
        code = CLI_EXIT_USAGE;
    }
    if (code == CLI_EXIT_OK) code = with_document(options, document, question.bytes);
    cli_document_free(document);
    text_free(&question);
    return code;
}
