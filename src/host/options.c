/* options.c - see options.h. Spellings and environment names are llama.cpp's for what llama.cpp has. */
#include "options.h"

#include "exit_codes.h"

#include "../channel/hub.h"
#include "../options/options.h"
#include "../options/start.h"
#include "../text/model_name.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(host_options, name)
#define SHARED_ROW(brief, name, other, argument, environment, kind, field, low, high, initial, help, is_rare)          \
    {brief, name, other, argument, environment, kind, FIELD(field), low, high, initial, help, is_rare, 0, NULL},
#define PARAMETER_ROW(field, kind, low, high, initial, words, brief, name, other, argument, environment, is_rare)      \
    {brief, name, other, argument, environment, OPTION_##kind, FIELD(field), low, high, initial, words, is_rare, 0, NULL},

static const option_spec options_specs[] = {
    HOST_START_OPTIONS(SHARED_ROW)
    {NULL, "--replay", NULL, "FILE", NULL, OPTION_FILE, FIELD(replay_path), 0, 0, NULL,
     "no model: replays the text or script in FILE", false, 0, NULL},
    {NULL, "--rate", NULL, "R", NULL, OPTION_REAL, FIELD(replay_rate), 0, 1e6, "0",
     "tokens per second of --replay; 0: as fast as possible", false, 0, NULL},
    {NULL, "--remote", NULL, "URL", "LIPC_REMOTE", OPTION_TEXTS, FIELD(remote), 0, OPTION_TEXTS_MAX, NULL,
     "no model: asks a server that has OpenAI's protocol", false, 0, NULL},
    {NULL, "--remote-model", NULL, "NAME", "LIPC_REMOTE_MODEL", OPTION_TEXT, FIELD(remote_model), 0, 0, NULL,
     "which of that server's models", 2, 0, NULL},
    {NULL, "--api-key-file", NULL, "FILE", "LIPC_API_KEY_FILE", OPTION_FILE, FIELD(api_key_file), 0, 0, NULL,
     "the key for --remote, in a file's first line", 2, 0, NULL},
    {NULL, "--remote-fallback", NULL, NULL, NULL, OPTION_FLAG, FIELD(remote_fallback), 0, 0, NULL,
     "what no server begins to answer, the model of -m does", 2, 0, NULL},
    {NULL, "--remote-ca", NULL, "FILE", NULL, OPTION_FILE, FIELD(remote_ca), 0, 0, NULL,
     "certificates to trust in place of the system's, PEM", 2, 0, NULL},
    {NULL, "--remote-connect-timeout", NULL, "S", NULL, OPTION_INTEGER, FIELD(remote_connect_s), 1, 3600, "10",
     "seconds that a connection to a server may take", 2, 0, NULL},
    {NULL, "--remote-timeout", NULL, "S", NULL, OPTION_INTEGER, FIELD(remote_idle_s), 1, 86400, "300",
     "without anything of an answer for S seconds, it fails", 2, 0, NULL},
    {NULL, "--record", NULL, "FILE", NULL, OPTION_FILE, FIELD(record_path), 0, 0, NULL,
     "append every answer to FILE, as a script for --replay", true, 0, NULL},
    {"-np", "--parallel", NULL, "N", "LLAMA_ARG_N_PARALLEL", OPTION_INTEGER, FIELD(n_parallel), 0, 256, "0",
     "answers at a time; 0: up to 4 (--remote: all streams)", false, 0, NULL},
    {NULL, "--lookup", NULL, NULL, NULL, OPTION_FLAG, FIELD(lookup), 0, 0, NULL,
     "--spec-type ngram-simple: drafts from the text so far", true, 0, NULL},
    {"-b", "--batch-size", NULL, "N", "LLAMA_ARG_BATCH", OPTION_INTEGER, FIELD(n_batch), 1, 1 << 20, "2048",
     "most tokens evaluated in one call", 2, 0, NULL},
    {"-ub", "--ubatch-size", NULL, "N", "LLAMA_ARG_UBATCH", OPTION_INTEGER, FIELD(n_ubatch), 1, 1 << 20, "512",
     "most tokens evaluated in one pass through the weights", 2, 0, NULL},
    {NULL, "--prefill-budget", NULL, "MS", "LIPC_PREFILL_BUDGET", OPTION_TEXT, FIELD(prefill_budget), 0, 0, NULL,
     "latency, throughput, or how long a prompt may delay answers", 2, 0, NULL},
    {NULL, "--context-shift", NULL, NULL, "LLAMA_ARG_CONTEXT_SHIFT", OPTION_FLAG, FIELD(context_shift), 0, 0, NULL,
     "when the context is full, drop the oldest tokens", 2, 0, NULL},
    {NULL, "--repeatable", NULL, NULL, NULL, OPTION_FLAG, FIELD(repeatable), 0, 0, NULL,
     "evaluate each answer by itself: same bytes, even after a crash", true, 0, NULL},
    {NULL, "--sleep-idle", "--sleep-idle-seconds", "S", "LIPC_SLEEP_IDLE", OPTION_INTEGER, FIELD(sleep_idle_s), -1,
     INT32_MAX / 1000, "-1", "give the model's memory back after S idle seconds; -1: never", 2, 0, NULL},
    {NULL, "--no-warmup", NULL, NULL, NULL, OPTION_FLAG, FIELD(no_warmup), 0, 0, NULL,
     "ready sooner, but the first request is slower", true, 0, NULL},
    LIPC_PARAMETER_MAP(PARAMETER_ROW)
    {NULL, "--ignore-eos", NULL, NULL, NULL, OPTION_FLAG, FIELD(ignore_eos), 0, 0, NULL,
     "the model cannot end its answer", true, 0, NULL},
    {NULL, "--chat-template", NULL, "T", "LLAMA_ARG_CHAT_TEMPLATE", OPTION_TEXT, FIELD(chat_template), 0, 0, NULL,
     "chat template: a name (plain, chatml, llama3, ...) or the text of a Jinja template", 2, 0, NULL},
    {NULL, "--chat-template-file", NULL, "FILE", "LLAMA_ARG_CHAT_TEMPLATE_FILE", OPTION_FILE, FIELD(chat_template_file), 0, 0,
     NULL, "the same, from a file", 2, 0, NULL},
    {NULL, "--chat-template-kwargs", NULL, "JSON", "LLAMA_ARG_CHAT_TEMPLATE_KWARGS", OPTION_TEXT,
     FIELD(chat_template_kwargs), 0, 0, NULL, "additional variables for the template, an object", 2, 0, NULL},
    {"-rea", "--reasoning", NULL, "M", "LLAMA_ARG_REASONING", OPTION_CHOICE, FIELD(reasoning), 0, 0, "auto",
     "whether models think, unless a request says: auto, on or off", 2, 0, "auto|on|off"},
    {NULL, "--reasoning-format", NULL, "F", "LLAMA_ARG_THINK", OPTION_CHOICE, FIELD(reasoning_format), 0, 0, "auto",
     "auto, deepseek: thoughts are separate; none: they stay in the answer", 2, 0, HOST_REASONING_FORMATS},
    {NULL, "--reasoning-budget", NULL, "N", "LLAMA_ARG_THINK_BUDGET", OPTION_INTEGER, FIELD(reasoning_budget), 0, INT32_MAX,
     "0", "most tokens to think for; 0: no limit", 2, 0, NULL},
    {NULL, "--name", NULL, "X", "LIPC_NAME", OPTION_NAME, FIELD(name), 0, 0, LIPC_DEFAULT_NAME,
     "instance: objects /X_shared_mem, /X_sem_*", false, 0, NULL},
    {NULL, "--streams", "--slots", "N", "LIPC_STREAMS|LIPC_SLOTS", OPTION_INTEGER, FIELD(n_streams), 1, LIPC_STREAMS_MAX, "8",
     "number of streams; further requests wait", false, 0, NULL},
    {NULL, "--request-size", NULL, "B", NULL, OPTION_SIZE, FIELD(request_size), HUB_REQUEST_SIZE_MIN,
     HUB_REQUEST_SIZE_MAX, "256K", "most bytes in a request, such as 256K or 1M", true, 0, NULL},
    {NULL, "--response-size", NULL, "B", NULL, OPTION_SIZE, FIELD(response_size), HUB_LOG_SIZE_MIN, HUB_LOG_SIZE_MAX,
     "1M", "most bytes in an answer; each stream reserves about 5.5 times that", true, 0, NULL},
    {NULL, "--exit-with-parent", NULL, NULL, NULL, OPTION_FLAG, FIELD(exit_with_parent), 0, 0, NULL,
     "exit when the process that started this one exits", false, 0, NULL},
    {NULL, "--no-supervise", NULL, NULL, NULL, OPTION_FLAG, FIELD(no_supervise), 0, 0, NULL,
     "a single process, for debugging; not restarted if it dies", true, 0, NULL},
    {NULL, "--log-level", NULL, "L", "LIPC_LOG_LEVEL", OPTION_CHOICE, FIELD(log_level), 0, 0, "info",
     "error, warn, info or debug", true, 0, LOG_LEVEL_NAMES},
    {NULL, "--offline", NULL, NULL, "LLAMA_ARG_OFFLINE", OPTION_FLAG, FIELD(offline), 0, 0, NULL,
     "fetch nothing: of models by name only those in the cache", 2, 0, NULL},
    {NULL, "--pull", NULL, NULL, NULL, OPTION_FLAG, FIELD(pull), 0, 0, NULL,
     "fetch the model of -hf or -mu, print its path and exit", 2, 0, NULL},
    {NULL, "--report", NULL, NULL, NULL, OPTION_FLAG, FIELD(report), 0, 0, NULL,
     "with --pull: report progress in lines for a program", 2, 0, NULL},
    {"-cl", "--cache-list", NULL, NULL, NULL, OPTION_FLAG, FIELD(cache_list), 0, 0, NULL,
     "list the models in the cache and exit", 2, 0, NULL},
    {NULL, "--cache-remove", NULL, "NAME", NULL, OPTION_TEXT, FIELD(cache_remove), 0, 0, NULL,
     "remove a model from the cache and exit", 2, 0, NULL},
    {NULL, "--check", NULL, NULL, NULL, OPTION_FLAG, FIELD(check), 0, 0, NULL,
     "check library and model, then exit", true, 0, NULL},
    {NULL, "--list-devices", NULL, NULL, NULL, OPTION_FLAG, FIELD(list_devices), 0, 0, NULL,
     "list devices that can hold layers and exit", 2, 0, NULL},
    {NULL, "--rpc-server", NULL, "ADDR", NULL, OPTION_TEXT, FIELD(rpc_server), 0, 0, NULL,
     "lend this machine's devices to hosts with --rpc ADDR (HOST:PORT)", 2, 0, NULL},
    {NULL, "--version", NULL, NULL, NULL, OPTION_FLAG, FIELD(show_version), 0, 0, NULL, "show versions and exit", true, 0,
     NULL},
    {"-h", "--help", NULL, NULL, NULL, OPTION_FLAG, FIELD(show_help), 0, 0, NULL, "show this text and exit; --help-all: all options",
     false, 0, NULL},
    {NULL, "--help-all", NULL, NULL, NULL, OPTION_FLAG, FIELD(show_help_all), 0, 0, NULL, "show all options and exit", 2, 0, NULL},
};

static const option_table options_table = {"chatbot", options_specs, sizeof options_specs / sizeof options_specs[0], {NULL, NULL}};

/* Latency: as little of a prompt at a time as makes sense. Throughput: as much as there is. */
static bool parse_prefill_budget(host_options *options, char *message, size_t message_size) {
    enum { LATENCY_MS = 20, MOST_MS = 3600 * 1000 };
    const char *text = options->prefill_budget;
    char *end = NULL;
    if (!text) return true;
    long ms = strtol(text, &end, 10);
    if (strcmp(text, "latency") == 0) options->prefill_budget_ms = LATENCY_MS;
    else if (strcmp(text, "throughput") == 0) options->prefill_budget_ms = -1;
    else if (end != text && *end == 0 && ms >= 1 && ms <= MOST_MS) options->prefill_budget_ms = (int32_t)ms;
    else {
        char shown[OPTIONS_SHOWN_SIZE];
        snprintf(message, message_size, "--prefill-budget '%s' is neither latency nor throughput nor a number of "
                 "milliseconds from 1 to %d", options_shown(text, shown), MOST_MS);
        return false;
    }
    return true;
}

/* To the library, whose option it is. */
static bool hand_on(const option_others *others, const char *option, const char *value, char *message, size_t message_size) {
    char *words[] = {(char *)(uintptr_t)option, (char *)(uintptr_t)value};
    return !value || !others->take || others->take(others->user_data, 2, words, message, message_size) > 0;
}

/* -hf and -mu are other ways of giving -m. `before` is the model that the environment gave. */
static bool name_model(host_options *options, const char *before, char *message, size_t message_size) {
    static char made[MODEL_NAME_ADDRESS_MAX + sizeof MODEL_NAME_HUB];
    const char *given = options->hf_repo ? options->hf_repo : options->model_url, *wrong;
    bool is_path = options->model_path != before, is_hub = options->hf_repo != NULL;
    model_name name;
    if (is_path + is_hub + (options->model_url != NULL) > 1) {
        snprintf(message, message_size, "-m, -hf and -mu each give a model: only one of them can be used");
        return false;
    }
    if (given) {
        int length = snprintf(made, sizeof made, "%s%s", is_hub ? MODEL_NAME_HUB : "", given);
        options->model_path = length < (int)sizeof made ? made : given;
        options->hf_repo = options->model_url = NULL;
    } else if (!options->model_path || !model_name_is_one(options->model_path)) {
        return true;
    }
    if (model_name_read(options->model_path, &name, &wrong)) return true;
    char shown[OPTIONS_SHOWN_SIZE];
    snprintf(message, message_size, "'%s' is no name of a model: %s", options_shown(given ? given : options->model_path, shown), wrong);
    return false;
}

/* Servers of the command line take the place of the environment's, as with all options, and do not stand behind them. */
static void prefer_line(option_texts *texts, int n_environment) {
    if (texts->n_items == n_environment) return;
    texts->n_items -= n_environment;
    memmove(texts->items, texts->items + n_environment, (size_t)texts->n_items * sizeof *texts->items);
}

static bool read_all(const option_table *table, int argc, char *const argv[], host_options *options, char *message, size_t message_size) {
    if (!options_environment(&options_table, OPTIONS_NO_COMMAND, options, message, message_size)) return false;
    if (!name_model(options, options->model_path, message, message_size)) return false;
    const char *before = options->model_path;
    int n_servers = options->remote.n_items;
    if (!options_parse(table, OPTIONS_NO_COMMAND, argc, argv, options, NULL, message, message_size)) return false;
    prefer_line(&options->remote, n_servers);
    return name_model(options, before, message, message_size);
}

bool host_options_parse(int argc, char *const argv[], const option_others *others, host_options *options, char *message,
                        size_t message_size) {
    option_table table = options_table;
    if (others) table.others = *others;
    memset(options, 0, sizeof *options);
    options_defaults(&options_table, options);
    /* What nobody says about sampling is the model's business, whose file may recommend something, and then the default. */
#define LEAVE(name, kind, ...) options->name = LIPC_PARAMETER_UNSET_##kind;
    LIPC_SAMPLING_MAP(LEAVE)
#undef LEAVE
    return read_all(&table, argc, argv, options, message, message_size) &&
           hand_on(&table.others, "--gpu-layers", options->n_gpu_layers, message, message_size) &&
           hand_on(&table.others, "--spec-type", options->lookup ? "ngram-simple" : NULL, message, message_size) &&
           parse_prefill_budget(options, message, message_size);
}

void host_options_print_help(FILE *file) {
    fprintf(file, "usage: chatbot [options]\n"
                  "Runs a language model and serves it to other programs through shared memory.\n\n");
    options_print_help(&options_table, OPTIONS_NO_COMMAND, true, file);
    fprintf(file, "\nEnvironment and exit codes: man chatbot\n");
}

void host_options_print_help_all(FILE *file) {
    fprintf(file, "usage: chatbot [options]\n\n");
    options_print_help_all(&options_table, OPTIONS_NO_COMMAND, true, file);
}

void host_options_print_manual(FILE *file) {
    fprintf(file, ".TH CHATBOT 1\n.SH NAME\nchatbot \\- runs a language model and serves it through shared memory\n"
                  ".SH SYNOPSIS\n.B chatbot\n[options]\n.SH DESCRIPTION\n"
                  "Creates the shared memory and the semaphores of its instance, loads a model and answers requests "
                  "until it is told to stop. Without options, it serves the embedded demonstration model under the name "
                  "llama_cpp. The first SIGTERM or SIGINT lets the answers in progress finish, the second ends the host "
                  "immediately. The log goes to standard error; output that nobody reads never blocks the host.\n"
                  ".SH OPTIONS\nThe command line takes precedence over the environment. llama.cpp's own options for models, "
                  "contexts and devices are accepted as well; \\-\\-help\\-all lists them.\n");
    options_print_manual(&options_table, OPTIONS_NO_COMMAND, true, file);
    fprintf(file, ".SH ENVIRONMENT\n.TP\n.B LIPC_PARENT_PID\nwith \\-\\-exit\\-with\\-parent: the process that "
                  "started the host, if that is not its parent; the host exits with it as well\n");
    fprintf(file, ".SH EXIT STATUS\n");
#define PRINT_EXIT(number, name, text)                                                                                 \
    fprintf(file, ".TP\n.B %d\n", number);                                                                             \
    options_print_roff(file, text);                                                                                            \
    fprintf(file, "\n");
    HOST_EXIT_MAP(PRINT_EXIT)
#undef PRINT_EXIT
    fprintf(file, ".TP\n.B 128+n\na second signal n ended it immediately\n"
                  ".SH FILES\n.TP\n.B /dev/shm/NAME_shared_mem, /dev/shm/sem.NAME_sem_*\nthe shared objects of instance "
                  "NAME, readable and writable by their user only\n");
}
