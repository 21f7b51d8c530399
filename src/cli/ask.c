/* ask.c - llamaipc ask: one question, its answer on standard output as it comes, everything else on standard error. */
#define _GNU_SOURCE
#include "answer.h"
#include "document.h"
#include "host.h"
#include "interrupt.h"
#include "inspect.h"
#include "system.h"
#include "terminal.h"
#include "text.h"
#include "thoughts.h"

#include "../text/utf8.h"

#include "lipc/parameters.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKENS_AT_ONCE 64

typedef struct asking {
    const cli_options *options;
    text answer;     /* all of it, for --no-stream and the last line */
    thoughts beside; /* what is shown of thoughts and calls */
    size_t n_tokens; /* that have been told of */
} asking;

/* ---- the question -------------------------------------------------------------------------------------------------- */

/* What comes from elsewhere begins on a line of its own. */
static void begin_line(text *question) {
    if (question->n_bytes > 0) text_add(question, "\n", 1);
}

static cli_exit add_input(text *question) {
    begin_line(question);
    if (system_is_terminal(STDIN_FILENO)) terminal_say("type the question, then Ctrl-D at the beginning of a line");
    int error = text_add_file(question, STDIN_FILENO);
    if (interrupt_take()) return CLI_EXIT_CANCELLED;
    if (error == 0) return CLI_EXIT_OK;
    terminal_fail("cannot read standard input: %s", text_reason(error));
    return error == EILSEQ ? CLI_EXIT_USAGE : CLI_EXIT_FAILURE;
}

static cli_exit add_path(text *question, const char *path) {
    int error = text_add_path(question, path);
    if (error == 0) return CLI_EXIT_OK;
    terminal_fail("cannot read %s: %s", path, text_reason(error));
    return CLI_EXIT_USAGE;
}

/* -p and -f, the words, and standard input where a word is "-" or where there is nothing else. */
static cli_exit collect(const cli_options *options, bool has_messages, text *question) {
    cli_exit code = CLI_EXIT_OK;
    bool has_any = options->prompt || options->prompt_path || options->n_words > 0 || has_messages;
    if (options->prompt) text_add_word(question, options->prompt);
    if (options->prompt_path) {
        begin_line(question);
        code = add_path(question, options->prompt_path);
    }
    for (int i = 0; i < options->n_words && code == CLI_EXIT_OK; i++) {
        if (strcmp(options->words[i], "-") != 0) {
            text_add_word(question, options->words[i]);
            continue;
        }
        code = add_input(question);
    }
    if (!has_any) code = add_input(question);
    text_trim(question);
    if (code != CLI_EXIT_OK) return code;
    if (question->n_bytes > 0 || has_messages) return CLI_EXIT_OK;
    terminal_fail("no question: llamaipc ask \"...\", or text on standard input");
    return CLI_EXIT_USAGE;
}

/* Somebody who pipes a text into `ask "sum this up"` gets an answer about nothing. */
static void say_unread_input(const cli_options *options) {
    if (!terminal_is_error() || options->quiet || options->n_words == 0) return;
    for (int i = 0; i < options->n_words; i++)
        if (strcmp(options->words[i], "-") == 0) return;
    if (system_has_unread_input())
        terminal_say("standard input was not read: put a - where it belongs, as in: llamaipc ask \"%s\" -",
                     options->words[0]);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

static bool print_line(json_t *line) {
    /* On a terminal in ASCII alone: nothing in it steers. */
    size_t how = JSON_COMPACT | JSON_REAL_PRECISION(9) | (terminal_is_out() ? JSON_ENSURE_ASCII : 0);
    char *text = line ? json_dumps(line, how) : NULL;
    bool is_printed = text && terminal_write_raw(text) && terminal_write_raw("\n");
    free(text);
    json_decref(line);
    return is_printed;
}

/* As llama-server names them. A token's bytes may be half a character. */
static json_t *top_logprobs(lipc_stream *stream, size_t token) {
    lipc_prob probs[LIPC_PROBS_MAX];
    size_t n_probs;
    if (lipc_stream_probs(stream, token, probs, LIPC_PROBS_MAX, &n_probs) < 0 || n_probs == 0) return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < n_probs; i++) {
        const unsigned char *text = (const unsigned char *)probs[i].text;
        size_t n_bytes = probs[i].n_bytes < sizeof probs[i].text ? probs[i].n_bytes : sizeof probs[i].text - 1;
        char shown[3 * sizeof probs[i].text];
        json_t *bytes = json_array();
        for (size_t b = 0; b < n_bytes; b++) json_array_append_new(bytes, json_integer(text[b]));
        json_array_append_new(list, json_pack("{s:i, s:s%, s:o, s:f}", "id", probs[i].id, "token", shown,
                                              utf8_repair(probs[i].text, n_bytes, shown, sizeof shown), "bytes", bytes, "logprob",
                                              (double)probs[i].logprob));
    }
    return list;
}

/* The tokens since those that have been told of. */
static json_t *new_tokens(asking *asking, lipc_stream *stream) {
    lipc_token tokens[TOKENS_AT_ONCE];
    size_t n_tokens;
    json_t *list = json_array();
    do {
        if (lipc_stream_tokens(stream, asking->n_tokens, tokens, TOKENS_AT_ONCE, &n_tokens) < 0) break;
        for (size_t i = 0; i < n_tokens; i++) {
            json_t *token = json_pack("{s:i, s:f}", "id", tokens[i].id, "ms", (double)tokens[i].time_ns / 1e6);
            if (!isnan(tokens[i].logprob)) json_object_set_new(token, "logprob", json_real(tokens[i].logprob));
            json_t *top = top_logprobs(stream, asking->n_tokens + i);
            if (top) json_object_set_new(token, "top_logprobs", top);
            json_array_append_new(list, token);
        }
        asking->n_tokens += n_tokens;
    } while (n_tokens == TOKENS_AT_ONCE);
    return list;
}

/* Text is a "delta", as it was before there were thoughts and calls. */
static bool print_delta(asking *asking, lipc_stream *stream, const lipc_part_delta *delta) {
    static const char *const types[] = {"delta", "thought", "call"};
    bool is_known = delta->kind >= 0 && delta->kind < (int)(sizeof types / sizeof types[0]);
    json_t *line = json_pack("{s:s, s:s%, s:I, s:o}", "type", is_known ? types[delta->kind] : "unknown", "text", delta->text,
                             delta->n_bytes, "offset", (json_int_t)delta->offset, "tokens", new_tokens(asking, stream));
    if (delta->part >= 0) json_object_set_new(line, "part", json_integer(delta->part));
    if (delta->kind == LIPC_PART_CALL) {
        json_object_set_new(line, "call", json_integer(delta->call));
        json_object_set_new(line, "id", json_string(delta->call_id));
        json_object_set_new(line, "name", json_string(delta->name));
    }
    return print_line(line);
}

static const char *end_name(int end) {
    switch (end) {
#define END_NAME(number, name, text)                                                                                   \
    case number: return #name;
        LIPC_END_MAP(END_NAME)
#undef END_NAME
    }
    return "UNKNOWN";
}

/* The last line, whatever happened; `stream` may be NULL. */
static bool print_end(asking *asking, lipc_stream *stream, int error, const char *message) {
    lipc_progress progress = {.end = LIPC_END_NONE};
    char id[LIPC_STREAM_ID_SIZE] = "", end[16];
    if (stream) {
        lipc_stream_progress(stream, &progress);
        lipc_stream_id(stream, id);
    }
    snprintf(end, sizeof end, "%s", end_name(progress.end));
    for (char *at = end; *at; at++) *at = (char)tolower((unsigned char)*at);
    json_t *line = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:I, s:s}", "type", "end", "end", end, "n_tokens",
        progress.n_tokens, "n_prompt", progress.n_prompt, "n_cached", progress.n_cached, "queued_ms",
        (double)progress.queued_ns / 1e6, "prompt_ms", (double)progress.prompt_ns / 1e6, "generate_ms", (double)progress.generate_ns / 1e6, "tokens_per_second",
        inspect_speed(&progress), "seed", (json_int_t)progress.seed, "id", id);
    if (asking->options->no_stream && error == LIPC_E_OK)
        json_object_set_new(line, "text", json_stringn(asking->answer.bytes, asking->answer.n_bytes));
    if (error != LIPC_E_OK) {
        json_object_set_new(line, "error", json_string(lipc_error_name(error)));
        json_object_set_new(line, "message", json_string(message));
    }
    return print_line(line);
}

/* ---- the answer ---------------------------------------------------------------------------------------------------- */

static bool on_part(void *user_data, lipc_stream *stream, const lipc_part_delta *delta) {
    asking *asking = user_data;
    const cli_options *options = asking->options;
    if (!options->json && !options->quiet) thoughts_take(&asking->beside, delta, options->verbose);
    if (delta->kind != LIPC_PART_TEXT) return !options->json || options->no_stream || print_delta(asking, stream, delta);
    if (options->no_stream || !options->json) text_add(&asking->answer, delta->text, delta->n_bytes);
    if (options->no_stream) return true;
    return options->json ? print_delta(asking, stream, delta) : terminal_write(delta->text, delta->n_bytes);
}

/* The answer of a terminal, and of a text file, ends with a newline. */
static bool end_text(asking *asking, int error) {
    text *answer = &asking->answer;
    if (asking->options->no_stream && error < 0) return true;
    if (asking->options->no_stream && !terminal_write(answer->bytes, answer->n_bytes)) return false;
    if (answer->n_bytes == 0 || answer->bytes[answer->n_bytes - 1] == '\n') return true;
    return terminal_write("\n", 1);
}

static cli_exit tell_end(asking *asking, lipc_stream *stream, int error, const char *message) {
    lipc_progress progress;
    char numbers[ANSWER_NUMBERS_SIZE];
    const cli_options *options = asking->options;
    bool is_written = options->json ? print_end(asking, stream, error, message) : end_text(asking, error);
    if (!is_written || error == LIPC_E_INVALID) {
        terminal_fail("cannot write to standard output: %s", terminal_write_reason());
        return CLI_EXIT_FAILURE;
    }
    if (error < 0)
        terminal_fail("%s", message);
    else if (stream && lipc_stream_progress(stream, &progress) == 0 && !options->quiet &&
             (progress.end == LIPC_END_CONTEXT || progress.end == LIPC_END_FULL))
        terminal_say("the answer is cut: %s", lipc_end_text(progress.end));
    if (stream && options->verbose && lipc_stream_progress(stream, &progress) == 0)
        terminal_say("%s", answer_numbers(&progress, numbers));
    return cli_exit_for(error);
}

static cli_exit ask(asking *asking, lipc_client *client, const lipc_request *request, uint64_t deadline_ns) {
    char message[512];
    lipc_stream *stream;
    int error = lipc_stream_open(client, request, &stream);
    if (error == LIPC_E_OK) error = answer_read(client, stream, deadline_ns, on_part, asking);
    snprintf(message, sizeof message, "%s", answer_failure(error));
    if (error == LIPC_E_INVALID && !stream) error = LIPC_E_REFUSED;
    cli_exit code = tell_end(asking, stream, error, message);
    thoughts_end(&asking->beside, asking->options->verbose);
    lipc_stream_close(stream);
    return code;
}

static cli_exit with_question(const cli_options *options, const cli_document *document, const char *question,
                              const char *grammar) {
    asking asking = {.options = options};
    lipc_message messages[2];
    lipc_request request;
    lipc_client *client;
    int n_messages = 0;
    if (options->system && options->system[0]) messages[n_messages++] = (lipc_message){"system", options->system};
    if (question) messages[n_messages++] = (lipc_message){"user", question};
    answer_request(options, messages, n_messages, &request);
    if (grammar) request.grammar = grammar;
    bool has_failed;
    char *json = cli_document_write(document, messages, (size_t)n_messages, &has_failed);
    if (has_failed) {
        terminal_fail("not enough memory for the question");
        return CLI_EXIT_FAILURE;
    }
    answer_set_document(&request, json);
    uint64_t deadline_ns = cli_deadline(options);
    cli_exit code = cli_host_open(options, deadline_ns, &client);
    if (code != CLI_EXIT_OK) {
        const char *reason;
        int error = cli_failure(&reason);
        if (options->json) print_end(&asking, NULL, error, reason);
        free(json);
        return code;
    }
    code = ask(&asking, client, &request, deadline_ns);
    cli_host_close(client);
    free(json);
    text_free(&asking.answer);
    thoughts_free(&asking.beside);
    say_unread_input(options);
    return code;
}

cli_exit cli_ask(const cli_options *options) {
    text question = {0}, grammar = {0};
    cli_document *document;
    interrupt_catch();
    cli_exit code = cli_document_read(options, &document);
    if (code == CLI_EXIT_OK) code = collect(options, cli_document_has_messages(document), &question);
    if (code == CLI_EXIT_OK && options->grammar_path) code = add_path(&grammar, options->grammar_path);
    if (code == CLI_EXIT_OK && (question.is_short_of_memory || grammar.is_short_of_memory)) {
        terminal_fail("not enough memory for the question");
        code = CLI_EXIT_FAILURE;
    }
    if (code == CLI_EXIT_OK)
        code = with_question(options, document, question.n_bytes > 0 ? question.bytes : NULL, grammar.bytes);
    cli_document_free(document);
    text_free(&question);
    text_free(&grammar);
    return code;
}
