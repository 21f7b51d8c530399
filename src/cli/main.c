/* main.c - llamaipc: from the command line to one of the commands. */
#include "commands.h"
#include "options.h"
#include "docgen.h"
#include "system.h"
#include "terminal.h"

#include "../platform/platform.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 512
#define PROGRAM_SIZE 32

static const cli_command *find(const char *name) {
    for (int i = 0; i < CLI_N_COMMANDS; i++)
        if (strcmp(cli_commands[i].name, name) == 0) return &cli_commands[i];
    return NULL;
}

/* What those who come from another program type, and what it is here. */
static const struct { const char *word, *advice; } habits[] = {
    {"run", "to talk to a model: llamaipc chat -m FILE"},
    {"generate", "to ask something: llamaipc ask \"...\""},
    {"serve", "the host is a program of its own: chatbot -m FILE"},
    {"start", "ask and chat start a host if none runs; chatbot -m FILE is one"},
    {"ps", "llamaipc top lists clients and streams, llamaipc status the host"},
    {"list", "llamaipc top lists clients and streams, llamaipc status the host"},
    {"ls", "llamaipc top lists clients and streams, llamaipc status the host"},
    {"kill", "llamaipc cancel STREAM ends an answer, llamaipc stop the host"},
    {"rm", "llamaipc cancel STREAM ends an answer, llamaipc stop the host"},
    {"quit", "llamaipc stop ends the host"},
    {"pull", "models are files: llamaipc chat -m FILE takes any GGUF file that llama.cpp runs"},
    {"version", "llamaipc --version"},
    {"fix", "llamaipc doctor --fix fixes what can be fixed safely"},
    {"check", "llamaipc doctor looks for what is wrong"},
    {"stats", "llamaipc top lists clients and streams, llamaipc status the host"},
    {"benchmark", "llamaipc bench says how fast this machine is"},
};

static cli_exit fail_unknown(const char *word) {
    char text[OPTIONS_SHOWN_SIZE];
    const char *names[CLI_N_COMMANDS + 1];
    for (int i = 0; i < CLI_N_COMMANDS; i++) names[i] = cli_commands[i].name;
    names[CLI_N_COMMANDS] = NULL;
    options_shown(word, text);
    const char *similar = options_similar(word, names), *advice = NULL;
    for (size_t i = 0; i < sizeof habits / sizeof habits[0]; i++)
        if (strcmp(habits[i].word, word) == 0) advice = habits[i].advice;
    if (advice)
        terminal_fail("there is no command '%s'; %s", text, advice);
    else if (similar)
        terminal_fail("there is no command '%s': did you mean %s? See llamaipc --help", text, similar);
    else if (strchr(word, ' '))
        terminal_fail("'%s' is not a command; to ask that: llamaipc ask \"...\"", text);
    else
        terminal_fail("there is no command '%s': see llamaipc --help", text);
    return CLI_EXIT_USAGE;
}

/* "fix" for --fix: an option of the command without its dashes. */
static bool is_bare_option(const cli_command *command, const char *word) {
    option_table table = cli_option_table("llamaipc");
    for (size_t i = 0; i < table.n_specs; i++)
        if (strcmp(table.specs[i].name + 2, word) == 0 && option_belongs(&table.specs[i], 1u << (command - cli_commands)))
            return true;
    return false;
}

static cli_exit fail_surplus(const cli_command *command, const char *word) {
    char text[OPTIONS_SHOWN_SIZE];
    options_shown(word, text);
    if (is_bare_option(command, word))
        terminal_fail("%s does not take '%s': did you mean --%s?", command->name, text, text);
    else
        terminal_fail("%s does not take '%s': see llamaipc %s --help", command->name, text, command->name);
    return CLI_EXIT_USAGE;
}

/* What holds for every command: help, version, and no surplus words. */
static cli_exit run(const cli_command *command, const cli_options *options) {
    if (options->show_help) {
        docgen_command(stdout, command);
        return CLI_EXIT_OK;
    }
    if (command->most >= 0 && options->n_words > command->most)
        return fail_surplus(command, options->words[command->most]);
    if (options->n_words < command->least) {
        terminal_fail("%s needs %s: see llamaipc %s --help", command->name, command->words, command->name);
        return CLI_EXIT_USAGE;
    }
    return command->run(options);
}

/* `llamaipc` alone, or with options only. */
static cli_exit without_command(int argc, char *argv[], cli_options *options) {
    char message[MESSAGE_SIZE];
    option_table table = cli_option_table("llamaipc");
    if (!options_parse(&table, OPTIONS_NO_COMMAND, argc, argv, options, NULL, message, sizeof message)) {
        terminal_fail("%s", message);
        return CLI_EXIT_USAGE;
    }
    if (options->show_version) {
        printf("llamaipc %s\n", lipc_version());
        return CLI_EXIT_OK;
    }
    docgen_overview(options->show_help ? stdout : stderr);
    return options->show_help ? CLI_EXIT_OK : CLI_EXIT_USAGE;
}

/* `llamaipc help COMMAND` is `llamaipc COMMAND --help`. */
static cli_exit help(int argc, char *argv[], int place) {
    if (place + 1 >= argc) {
        docgen_overview(stdout);
        return CLI_EXIT_OK;
    }
    const cli_command *command = find(argv[place + 1]);
    if (!command) return fail_unknown(argv[place + 1]);
    docgen_command(stdout, command);
    return CLI_EXIT_OK;
}

static cli_exit with_command(int argc, char *argv[], int place, const char **items) {
    char message[MESSAGE_SIZE], program[PROGRAM_SIZE];
    cli_options options;
    option_words words = {items, 0};
    if (place < argc && strcmp(argv[place], "help") == 0) return help(argc, argv, place);
    const cli_command *command = place < argc ? find(argv[place]) : NULL;
    if (place < argc && !command) return fail_unknown(argv[place]);
    uint32_t bit = command ? 1u << (command - cli_commands) : OPTIONS_NO_COMMAND;
    snprintf(program, sizeof program, "llamaipc%s%s", command ? " " : "", command ? command->name : "");
    option_table table = cli_option_table(program);
    cli_options_init(&options);
    options_defaults(&table, &options);
    bool is_parsed = options_environment(&table, bit, &options, message, sizeof message);
    if (is_parsed && !command) return without_command(argc, argv, &options);
    /* The command is taken out; what is left are options and words, wherever they stand. */
    if (is_parsed) {
        memmove(argv + place, argv + place + 1, (size_t)(argc - place) * sizeof *argv);
        is_parsed = options_parse(&table, bit, argc - 1, argv, &options, &words, message, sizeof message);
    }
    if (!is_parsed) {
        terminal_fail("%s", message);
        return CLI_EXIT_USAGE;
    }
    words.items[words.n_items] = NULL;
    options.words = words.items;
    options.n_words = words.n_items;
    return run(command, &options);
}

/* What was printed is there, or it is said that it is not. */
static cli_exit end_output(cli_exit code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    terminal_fail("cannot write to standard output: %s", strerror(errno));
    return CLI_EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
    system_begin(&argc, &argv);
    plat_signals_ensure();
    plat_faults_say("llamaipc: the shared memory was truncated by another program: the host makes it whole again; try once "
                    "more\n", CLI_EXIT_HOST_GONE);
    terminal_begin();
    option_table table = cli_option_table("llamaipc");
    const char **items = calloc((size_t)argc + 1, sizeof *items);
    if (!items) {
        terminal_fail("not enough memory");
        return CLI_EXIT_FAILURE;
    }
    cli_exit code = with_command(argc, argv, options_first_word(&table, argc, argv), items);
    free(items);
    return end_output(code);
}
