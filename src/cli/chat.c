/* chat.c - llamaipc chat: a conversation with the model. */
#include "answer.h"
#include "chat_commands.h"
#include "conversation.h"
#include "document.h"
#include "host.h"
#include "interrupt.h"
#include "line.h"
#include "inspect.h"
#include "saved_state.h"
#include "terminal.h"
#include "thoughts.h"

#include <stdlib.h>
#include <string.h>

#define PROMPT_SIZE 64
#define PATH_SIZE 4096
#define HELP_COLUMN 16

typedef struct chat {
    const cli_options *options;
    lipc_client *client;  /* NULL: the host has ended, and none is needed yet */
    const char *grammar;
    const cli_document *document; /* what goes before, and tools; NULL: nothing */
    conversation said;
    text answer;          /* the one at hand */
    thoughts beside;      /* of the last answer */
    lipc_progress last;   /* of the last answer */
    int n_answers, n_tokens;
    cli_exit code;        /* of the last answer: how a chat without a person ends */
    char model[sizeof((lipc_host_status *)0)->model]; /* that the host had when it was last looked at */
    bool is_over;
} chat;

/* ---- one answer ---------------------------------------------------------------------------------------------------- */

static bool on_part(void *user_data, lipc_stream *stream, const lipc_part_delta *delta) {
    chat *chat = user_data;
    (void)stream;
    thoughts_take(&chat->beside, delta, true);
    if (delta->kind != LIPC_PART_TEXT) return true;
    text_add(&chat->answer, delta->text, delta->n_bytes);
    return terminal_write(delta->text, delta->n_bytes);
}

static void forget_host(chat *chat) {
    cli_host_close(chat->client);
    chat->client = NULL;
}

/* Whoever talked with one model should know when the next answer is another's. */
static void say_changed_model(chat *chat) {
    lipc_host_status status;
    if (!chat->client || lipc_client_status(chat->client, &status) < 0 || !status.model[0]) return;
    if (chat->model[0] && strcmp(chat->model, status.model) != 0)
        terminal_fail("another model answers from here on: %s; before it was %s. llamaipc load FILE changes it", status.model,
                      chat->model);
    snprintf(chat->model, sizeof chat->model, "%s", status.model);
}

/* A host that can answer: the one that is there, or, if that has ended, another. */
static cli_exit ensure_host(chat *chat) {
    lipc_host_status status;
    cli_exit code = CLI_EXIT_OK;
    bool is_there = chat->client && lipc_client_status(chat->client, &status) == LIPC_E_OK &&
                    status.state != LIPC_HOST_GONE;
    if (!is_there) {
        if (chat->client) forget_host(chat);
        code = cli_host_open(chat->options, cli_deadline(chat->options), &chat->client);
    }
    if (code == CLI_EXIT_OK) say_changed_model(chat);
    return code;
}

/* With what has been said so far. False: no memory. *json is the caller's to free, behind the request's last use. */
static bool make_request(const chat *chat, lipc_request *request, char **json) {
    bool has_failed;
    answer_request(chat->options, chat->said.messages, (int)chat->said.n_messages, request);
    if (chat->grammar) request->grammar = chat->grammar;
    *json = cli_document_write(chat->document, chat->said.messages, chat->said.n_messages, &has_failed);
    answer_set_document(request, *json);
    return !has_failed;
}

static int open_stream(chat *chat, lipc_stream **stream) {
    lipc_request request;
    char *json;
    *stream = NULL;
    if (!make_request(chat, &request, &json)) return LIPC_E_NO_MEMORY;
    int error = lipc_stream_open(chat->client, &request, stream);
    if (error == LIPC_E_HOST_GONE && ensure_host(chat) == CLI_EXIT_OK) /* it went between the look and the request */
        error = lipc_stream_open(chat->client, &request, stream);
    free(json);
    return error;
}

/* What a person should know of an answer that did not end by itself. */
static void tell_failure(const chat *chat, int error) {
    const char *reason = answer_failure(error);
    switch (error) {
    case LIPC_E_OK:
        if (chat->last.end == LIPC_END_CONTEXT || chat->last.end == LIPC_END_FULL)
            terminal_say("the answer is cut: %s. /reset begins a new conversation", lipc_end_text(chat->last.end));
        break;
    case LIPC_E_CANCELLED: terminal_say("stopped; the conversation goes on"); break;
    case LIPC_E_HOST_GONE: terminal_fail("%s; your next message finds or starts another", reason); break;
    case LIPC_E_REFUSED: terminal_fail("%s. If the conversation is too long, /reset begins a new one", reason); break;
    default: terminal_fail("%s", reason);
    }
}

/* Keeps what was said. A question without any answer is taken back, so that the next one does not follow on it. */
static void keep(chat *chat) {
    bool is_kept = chat->answer.n_bytes > 0 && conversation_add(&chat->said, "assistant", chat->answer.bytes);
    if (!is_kept) conversation_drop(&chat->said);
}

static void end_line(const chat *chat) {
    const text *answer = &chat->answer;
    if (answer->n_bytes > 0 && answer->bytes[answer->n_bytes - 1] != '\n') terminal_write("\n", 1);
    if (answer->n_bytes > 0 && line_is_interactive()) terminal_write("\n", 1);
}

static cli_exit answer(chat *chat) {
    lipc_stream *stream;
    text_free(&chat->answer);
    thoughts_free(&chat->beside);
    int error = open_stream(chat, &stream);
    if (error == LIPC_E_OK) error = answer_read(chat->client, stream, cli_deadline(chat->options), on_part, chat);
    thoughts_end(&chat->beside, true);
    if (stream) {
        /* Closing forgets the sentence, so it is told first. */
        lipc_progress last;
        end_line(chat);
        char numbers[ANSWER_NUMBERS_SIZE];
        if (error == LIPC_E_INVALID) /* on_text's: nobody reads what is written */
            terminal_fail("cannot write to standard output: %s", terminal_write_reason());
        else
            tell_failure(chat, error);
        if (lipc_stream_progress(stream, &last) == LIPC_E_OK || last.n_tokens > 0) chat->last = last;
        if (chat->options->verbose) terminal_say("%s", answer_numbers(&chat->last, numbers));
        chat->n_answers++;
        chat->n_tokens += chat->last.n_tokens;
        lipc_stream_close(stream);
        if (error != LIPC_E_INVALID) return cli_exit_for(error);
        chat->is_over = true;
        return CLI_EXIT_FAILURE;
    }
    tell_failure(chat, error);
    return cli_exit_for(error);
}

static void say(chat *chat, const char *message) {
    chat->code = ensure_host(chat);
    if (chat->code != CLI_EXIT_OK) return;
    if (!conversation_add(&chat->said, "user", message)) {
        terminal_fail("not enough memory");
        chat->code = CLI_EXIT_FAILURE;
        return;
    }
    line_hush(true);
    chat->code = answer(chat);
    line_hush(false);
    keep(chat);
}

/* ---- commands ------------------------------------------------------------------------------------------------------ */

static void do_help(chat *chat, const char *rest);

static void do_system(chat *chat, const char *rest) {
    const char *now = conversation_system(&chat->said);
    if (!rest[0]) {
        terminal_say("system prompt: %s", now ? now : "none; /system TEXT sets one");
        return;
    }
    if (!conversation_set_system(&chat->said, strcmp(rest, "none") == 0 ? NULL : rest))
        terminal_fail("not enough memory");
    else
        terminal_say("system prompt %s", conversation_system(&chat->said) ? "set" : "taken away");
}

static void do_reset(chat *chat, const char *rest) {
    (void)rest;
    conversation_reset(&chat->said);
    terminal_say("a new conversation%s", conversation_system(&chat->said) ? "; the system prompt stays" : "");
}

/* "~/notes" as the shell would have it. False: no name was given. */
static bool find_path(const char *rest, const char *command, char path[PATH_SIZE]) {
    const char *home = getenv("HOME");
    if (!rest[0]) {
        terminal_fail("%s needs a file: %s FILE", command, command);
        return false;
    }
    if (strncmp(rest, "~/", 2) == 0 && home)
        snprintf(path, PATH_SIZE, "%s%s", home, rest + 1);
    else
        snprintf(path, PATH_SIZE, "%s", rest);
    return true;
}

/* Where there is a host that has answered: whoever saves does not want one started for it. */
static void save_state(chat *chat, const char *path) {
    lipc_request request;
    char *json;
    if (!chat->client || chat->n_answers == 0 || !make_request(chat, &request, &json)) return;
    saved_state_write(chat->options, chat->client, &request, path);
    free(json);
}

static void do_save(chat *chat, const char *rest) {
    char path[PATH_SIZE], message[CONVERSATION_MESSAGE_SIZE];
    lipc_host_status status = {.model = ""};
    if (!find_path(rest, "/save", path)) return;
    if (chat->client) lipc_client_status(chat->client, &status);
    if (!conversation_save(&chat->said, path, status.model, message)) {
        terminal_fail("%s", message);
        return;
    }
    terminal_say("saved %zu message%s to %s", chat->said.n_messages, chat->said.n_messages == 1 ? "" : "s", path);
    save_state(chat, path);
}

static void do_load(chat *chat, const char *rest) {
    char path[PATH_SIZE], message[CONVERSATION_MESSAGE_SIZE];
    if (!find_path(rest, "/load", path)) return;
    if (!conversation_load(&chat->said, path, message)) {
        terminal_fail("%s", message);
        return;
    }
    terminal_say("loaded %zu message%s from %s", chat->said.n_messages, chat->said.n_messages == 1 ? "" : "s", path);
    if (ensure_host(chat) == CLI_EXIT_OK) saved_state_read(chat->options, chat->client, path);
}

static void do_stats(chat *chat, const char *rest) {
    char numbers[ANSWER_NUMBERS_SIZE];
    lipc_host_status status = {.state = LIPC_HOST_GONE};
    (void)rest;
    if (chat->client) lipc_client_status(chat->client, &status);
    terminal_say("conversation: %zu message%s; %d answer%s of %d token%s in all", chat->said.n_messages,
                 chat->said.n_messages == 1 ? "" : "s", chat->n_answers, chat->n_answers == 1 ? "" : "s", chat->n_tokens,
                 chat->n_tokens == 1 ? "" : "s");
    if (chat->n_answers > 0) {
        terminal_say("last answer: %s", answer_numbers(&chat->last, numbers));
        terminal_say("context: %d of %d tokens", chat->last.n_prompt + chat->last.n_tokens, status.n_ctx);
    }
    terminal_say("host: %s, process %d, %s; %d running, %d waiting", status.model[0] ? status.model : "no model",
                 status.host_pid, cli_host_state(status.state), status.n_running, status.n_queued);
}

static void do_thoughts(chat *chat, const char *rest) {
    const text *thought = &chat->beside.thought;
    (void)rest;
    if (thought->n_bytes == 0) {
        terminal_say("the last answer came without a thought");
        return;
    }
    terminal_write_raw(terminal_style_on(stdout, STYLE_DIM));
    terminal_write(thought->bytes, thought->n_bytes);
    terminal_write_raw(terminal_style_on(stdout, STYLE_PLAIN));
    terminal_write("\n", 1);
}

static void do_quit(chat *chat, const char *rest) {
    (void)rest;
    chat->is_over = true;
}

static const struct { const char *name, *other, *words, *text; void (*run)(chat *, const char *); } commands[] = {
#define CHAT_COMMAND_ROW(name, other, words, text, function) {name, other, words, text, function},
    CHAT_COMMAND_MAP(CHAT_COMMAND_ROW)
#undef CHAT_COMMAND_ROW
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void do_help(chat *chat, const char *rest) {
    (void)chat;
    (void)rest;
    terminal_progress_clear();
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(stderr, "  %s%-*s%s\n", commands[i].name, HELP_COLUMN - (int)strlen(commands[i].name),
                commands[i].words, commands[i].text);
#define CHAT_KEY_LINE(key, text) fprintf(stderr, "  %-*s%s\n", HELP_COLUMN, key, text);
    CHAT_KEY_MAP(CHAT_KEY_LINE)
#undef CHAT_KEY_LINE
}

/* What somebody types who wants to leave, or to know how. In a pipe it is a message like any other. */
static const char *command_meant(const char *line) {
    static const struct { const char *word, *command; } meant[] = {
        {"exit", "/quit"}, {"quit", "/quit"}, {"bye", "/quit"}, {"help", "/help"}, {"?", "/help"}};
    for (size_t i = 0; line_is_interactive() && i < sizeof meant / sizeof meant[0]; i++)
        if (strcmp(line, meant[i].word) == 0) return meant[i].command;
    return line;
}

static void command(chat *chat, const char *line) {
    char shown[OPTIONS_SHOWN_SIZE], name[16];
    const char *names[N_COMMANDS + 1] = {NULL};
    size_t length = strcspn(line, " \n");
    const char *rest = line + length + strspn(line + length, " \n");
    snprintf(name, sizeof name, "%.*s", (int)length, line);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(name, names[i]) != 0 && (!commands[i].other || strcmp(name, commands[i].other) != 0)) continue;
        commands[i].run(chat, rest);
        return;
    }
    const char *similar = options_similar(name, names);
    terminal_fail("there is no command '%s'%s%s: /help lists them. A message that begins with / needs a space before it",
                  options_shown(name, shown), similar ? ", did you mean " : "", similar ? similar : "");
}

/* ---- the conversation ---------------------------------------------------------------------------------------------- */

/* "\1" stands around what takes no room on the screen. */
static const char *prompt(char text[PROMPT_SIZE]) {
    const char *on = terminal_style_on(stdout, STYLE_GOOD), *off = terminal_style_on(stdout, STYLE_PLAIN);
    if (on[0])
        snprintf(text, PROMPT_SIZE, "\1%s\1>>>\1%s\1 ", on, off);
    else
        snprintf(text, PROMPT_SIZE, ">>> ");
    return text;
}

static void greet(const chat *chat) {
    lipc_host_status status;
    if (!line_is_interactive() || chat->options->quiet || lipc_client_status(chat->client, &status) < 0) return;
    terminal_say("%s. /help lists the commands, Ctrl-D quits", status.model);
}

static void converse(chat *chat) {
    char shown[PROMPT_SIZE];
    text line = {0};
    for (int i = 0; i < chat->options->n_words; i++) text_add_word(&line, chat->options->words[i]);
    if (line.n_bytes > 0) say(chat, line.bytes);
    while (!chat->is_over) {
        line_result result = line_read(prompt(shown), &line);
        if (result == LINE_DROPPED) continue;
        if (result != LINE_GIVEN) break;
        if (line.n_bytes == 0) continue;
        const char *meant = command_meant(line.bytes);
        if (strlen(line.bytes) < line.n_bytes) {
            terminal_fail("a message holds a zero byte, so it is not text");
            chat->code = CLI_EXIT_USAGE;
            break;
        }
        if (meant[0] == '/')
            command(chat, meant);
        else
            say(chat, meant + strspn(meant, " \n"));
    }
    text_free(&line);
}

static cli_exit with_grammar(const cli_options *options, const cli_document *document, const char *grammar) {
    const char *names[N_COMMANDS + 1] = {NULL};
    chat chat = {.options = options, .document = document, .grammar = grammar};
    cli_exit code = ensure_host(&chat);
    if (code != CLI_EXIT_OK) return code;
    for (size_t i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
    conversation_set_system(&chat.said, options->system);
    line_begin(names);
    bool is_interactive = line_is_interactive();
    terminal_name(!is_interactive);
    greet(&chat);
    converse(&chat);
    line_end();
    if (chat.client) cli_host_close(chat.client);
    conversation_free(&chat.said);
    text_free(&chat.answer);
    thoughts_free(&chat.beside);
    return is_interactive ? CLI_EXIT_OK : chat.code;
}

cli_exit cli_chat(const cli_options *options) {
    text grammar = {0};
    cli_document *document;
    interrupt_catch();
    int error = options->grammar_path ? text_add_path(&grammar, options->grammar_path) : 0;
    cli_exit code = cli_document_read(options, &document);
    if (error != 0) {
        terminal_fail("cannot read %s: %s", options->grammar_path, text_reason(error));
        code = CLI_EXIT_USAGE;
    }
    if (code == CLI_EXIT_OK) code = with_grammar(options, document, grammar.bytes);
    cli_document_free(document);
    text_free(&grammar);
    return code;
}
