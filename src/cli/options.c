/* options.c - see options.h. */
#include "options.h"

#include "commands.h"

#include "../options/start.h"

#include "lipc/layout.h"

#define FIELD(name) offsetof(cli_options, name)
#define EVERYWHERE 0u

#define ASKING (CLI_BIT(ASK) | CLI_BIT(CHAT))
#define TELLING (ASKING | CLI_BIT(PROMPT))
#define IN_ASK CLI_BIT(ASK)
#define STARTING (TELLING | CLI_BIT(BENCH))
#define NAMING (CLI_BIT(LOAD) | CLI_BIT(PULL) | CLI_BIT(RM))

/* The host's own, in the same words; here what was not said is left to the host. */
#define HOST_ROW(brief, name, other, argument, environment, kind, field, low, high, initial, help, is_rare)            \
    {brief, name, other, argument, NULL, kind, FIELD(field), low, high, NULL, help,                             \
     FIELD(field) == FIELD(model_url) || FIELD(field) == FIELD(n_threads) ? 2 : FIELD(field) != FIELD(model_path),       \
     FIELD(field) == FIELD(model_path)                                       ? STARTING | CLI_BIT(DOCTOR)              \
     : FIELD(field) == FIELD(hf_repo) || FIELD(field) == FIELD(model_url)    ? STARTING | NAMING                       \
                                                                             : STARTING, NULL},
#define PARAMETER_ROW(field, kind, low, high, initial, words, brief, name, other, argument, environment, is_rare)      \
    {brief, name, other, argument, environment, OPTION_##kind, FIELD(parameters.field), low, high, NULL, words, is_rare,  \
     ASKING, NULL},

static const option_spec specs[] = {
    {"-sys", "--system", "--system-prompt", "TEXT", NULL, OPTION_TEXT, FIELD(system), 0, 0, NULL,
     "the system prompt: instructions for the model", false, TELLING, NULL},
    {NULL, "--messages", NULL, "FILE", NULL, OPTION_FILE, FIELD(messages_path), 0, 0, NULL,
     "the conversation, as JSON: messages, tools, ...", true, TELLING, NULL},
    {NULL, "--tools", NULL, "FILE", NULL, OPTION_FILE, FIELD(tools_path), 0, 0, NULL,
     "tools that the model may call, as JSON; none is run", true, TELLING, NULL},
    {NULL, "--json-schema", "--json-schema-file", "FILE", NULL, OPTION_FILE, FIELD(schema_path), 0, 0, NULL,
     "the answer must follow the JSON schema in FILE", true, TELLING, NULL},
    {NULL, "--think", NULL, NULL, NULL, OPTION_FLAG, FIELD(think), 0, 0, NULL, "the model thinks before it answers", true,
     TELLING, NULL},
    {NULL, "--no-think", NULL, NULL, NULL, OPTION_FLAG, FIELD(no_think), 0, 0, NULL, "the model answers without thinking", true, TELLING,
     NULL},
    HOST_START_OPTIONS(HOST_ROW)
    LIPC_PARAMETER_MAP(PARAMETER_ROW)
    {NULL, "--ignore-eos", NULL, NULL, NULL, OPTION_FLAG, FIELD(ignore_eos), 0, 0, NULL,
     "the model cannot end its answer", true, ASKING, NULL},
    {"-r", "--stop", "--reverse-prompt", "TEXT", NULL, OPTION_TEXTS, FIELD(stops), 0, LIPC_STOPS_MAX, NULL,
     "the answer ends before TEXT; may be given several times", false, ASKING, NULL},
    {NULL, "--grammar", NULL, "GBNF", NULL, OPTION_TEXT, FIELD(grammar), 0, 0, NULL,
     "the answer must follow this grammar", true, ASKING, NULL},
    {NULL, "--grammar-file", NULL, "FILE", NULL, OPTION_FILE, FIELD(grammar_path), 0, 0, NULL,
     "the answer must follow the grammar in FILE", true, ASKING, NULL},
    {NULL, "--priority", NULL, "N", NULL, OPTION_INTEGER, FIELD(priority), -100, 100, NULL,
     "waiting requests with a higher priority go first", true, ASKING, NULL},
    {"-p", "--prompt", NULL, "TEXT", NULL, OPTION_TEXT, FIELD(prompt), 0, 0, NULL,
     "the question; the same as TEXT after the options", true, IN_ASK, NULL},
    {"-f", "--file", NULL, "FILE", NULL, OPTION_FILE, FIELD(prompt_path), 0, 0, NULL, "read the question from FILE",
     true, IN_ASK, NULL},
    {NULL, "--no-stream", NULL, NULL, NULL, OPTION_FLAG, FIELD(no_stream), 0, 0, NULL,
     "print the whole answer when it is complete", true, IN_ASK, NULL},
    {NULL, "--wait", NULL, NULL, NULL, OPTION_FLAG, FIELD(wait), 0, 0, NULL,
     "wait until a host is running and has loaded its model", false, CLI_BIT(STATUS), NULL},
    {NULL, "--json", NULL, NULL, NULL, OPTION_FLAG, FIELD(json), 0, 0, NULL, "JSON, for programs", false,
     IN_ASK | CLI_BIT(STATUS) | CLI_BIT(DOCTOR) | CLI_BIT(BENCH) | CLI_BIT(PROMPT), NULL},
    {NULL, "--logprobs", NULL, NULL, NULL, OPTION_FLAG, FIELD(logprobs), 0, 0, NULL,
     "with --json: how likely each token was", true, IN_ASK, NULL},
    {NULL, "--fix", NULL, NULL, NULL, OPTION_FLAG, FIELD(fix), 0, 0, NULL, "fix what can be fixed safely", false,
     CLI_BIT(DOCTOR), NULL},
    {NULL, "--once", NULL, NULL, NULL, OPTION_FLAG, FIELD(once), 0, 0, NULL,
     "print one table and exit; the default without a terminal", false, CLI_BIT(TOP), NULL},
    {"-d", "--interval", "--delay", "S", NULL, OPTION_REAL, FIELD(interval_s), 0.1, 60, "1",
     "seconds between updates", false, CLI_BIT(TOP), NULL},
    {NULL, "--sort", NULL, "COLUMN", NULL, OPTION_CHOICE, FIELD(sort), 0, 0, "stream",
     "pid, stream, state, tokens, rate, first, ...", false, CLI_BIT(TOP),
     "pid|stream|state|queue|prompt|cached|tokens|rate|first|program"},
    {NULL, "--timeout", NULL, "S", NULL, OPTION_INTEGER, FIELD(timeout_s), -1, 1000000, "-1",
     "seconds to wait at most; -1: no limit", false,
     TELLING | CLI_BIT(STATUS) | CLI_BIT(STOP) | CLI_BIT(LOAD), NULL},
    {"-v", "--verbose", NULL, NULL, NULL, OPTION_FLAG, FIELD(verbose), 0, 0, NULL, "print counts and times at the end", false,
     ASKING, NULL},
    {"-q", "--quiet", NULL, NULL, NULL, OPTION_FLAG, FIELD(quiet), 0, 0, NULL, "print nothing but failures besides the answer", true,
     TELLING | CLI_BIT(LOAD), NULL},
    {NULL, "--name", NULL, "X", "LIPC_NAME", OPTION_NAME, FIELD(name), 0, 0, LIPC_DEFAULT_NAME,
     "the instance, which selects the host", false, EVERYWHERE, NULL},
    {NULL, "--version", NULL, NULL, NULL, OPTION_FLAG, FIELD(show_version), 0, 0, NULL, "show the version and exit", true,
     EVERYWHERE, NULL},
    {"-h", "--help", NULL, NULL, NULL, OPTION_FLAG, FIELD(show_help), 0, 0, NULL, "show this text and exit", false,
     EVERYWHERE, NULL},
};

option_table cli_option_table(const char *program) {
    return (option_table){program, specs, sizeof specs / sizeof specs[0], {NULL, NULL}};
}

void cli_options_init(cli_options *options) {
    *options = (cli_options){
        .n_ctx = LIPC_INT_DEFAULT, .n_threads = LIPC_INT_DEFAULT};
    parameters_init(&options->parameters);
}
