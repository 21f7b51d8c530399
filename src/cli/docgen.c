/* docgen.c - see docgen.h. */
#include "docgen.h"

#include "chat_commands.h"
#include "doctor.h"

#include <string.h>

#define LINE "a local language model in the terminal"

static uint32_t bit_of(const cli_command *command) {
    return 1u << (command - cli_commands);
}

static void print_usage(FILE *file, const cli_command *command) {
    fprintf(file, "llamaipc %s [options]%s%s", command->name, command->words[0] ? " " : "", command->words);
}

/* ---- help ---------------------------------------------------------------------------------------------------------- */

void docgen_overview(FILE *file) {
    option_table table = cli_option_table("llamaipc");
    fprintf(file, "usage: llamaipc COMMAND [options]\n"
                  "Talks to a language model that a host (chatbot) runs on this machine.\n\n");
    for (int i = 0; i < CLI_N_COMMANDS; i++)
        fprintf(file, "  %-9s %s\n", cli_commands[i].name, cli_commands[i].line);
    fprintf(file, "\n");
    options_print_help(&table, OPTIONS_NO_COMMAND, true, file);
    fprintf(file, "\nllamaipc COMMAND --help lists its options; man llamaipc has everything.\n");
}

void docgen_command(FILE *file, const cli_command *command) {
    option_table table = cli_option_table("llamaipc");
    fprintf(file, "usage: ");
    print_usage(file, command);
    fprintf(file, "\n");
    options_print_wrapped(file, command->text, 0, 0);
    fprintf(file, "\n");
    options_print_help(&table, bit_of(command), true, file);
    fprintf(file, "\n  %s\n      %s\n", command->example, command->purpose);
}

/* ---- manual page --------------------------------------------------------------------------------------------------- */

static void print_entry(FILE *file, const char *name, const char *words, const char *text) {
    fprintf(file, ".TP\n.B ");
    options_print_roff(file, name);
    options_print_roff(file, words);
    fprintf(file, "\n");
    options_print_roff(file, text);
    fprintf(file, "\n");
}

static void print_chat_manual(FILE *file) {
    fprintf(file, ".SH IN A CHAT\n");
#define PRINT_COMMAND(name, other, words, text, function) print_entry(file, name, words, text);
    CHAT_COMMAND_MAP(PRINT_COMMAND)
#undef PRINT_COMMAND
#define PRINT_KEY(key, text) print_entry(file, key, "", text);
    CHAT_KEY_MAP(PRINT_KEY)
#undef PRINT_KEY
    fprintf(file, ".PP\nKeys are those of\n.BR editrc (5)\nin its emacs mode. Lines are kept in "
                  "$XDG_STATE_HOME/llamaipc/history (~/.local/state), for this user only.\n");
}

static void print_json_manual(FILE *file) {
    fprintf(file, ".SH JSON\n.B llamaipc ask \\-\\-json\nwrites one object a line. ");
    options_print_roff(file, "Times are milliseconds.\n");
    print_entry(file, "type \"delta\"", "", "a piece of the answer: text; offset, the bytes before it; tokens since the "
                                            "piece before, each with id and ms since the request's turn, and logprob if "
                                            "--logprobs is given; with --n-probs N also top_logprobs, the N likeliest "
                                            "tokens, each with id, token (its text), bytes (at most 23) and logprob");
    print_entry(file, "type \"end\"", "", "the last line, whatever happens: end (turn, limit, stop, context, full, "
                                          "cancelled, refused, failed, host_ended, none), n_tokens, n_prompt, n_cached "
                                          "(of those, cached), queued_ms, "
                                          "prompt_ms (to the first token), generate_ms, tokens_per_second, seed, id; text "
                                          "with --no-stream; error and message if it did not succeed");
}

void docgen_manual(FILE *file) {
    option_table table = cli_option_table("llamaipc");
    fprintf(file, ".TH LLAMAIPC 1\n.SH NAME\nllamaipc \\- " LINE "\n.SH SYNOPSIS\n");
    for (int i = 0; i < CLI_N_COMMANDS; i++) {
        fprintf(file, ".B llamaipc %s\n[options]%s", cli_commands[i].name, cli_commands[i].words[0] ? " " : "\n.br\n");
        if (cli_commands[i].words[0]) fprintf(file, "%s\n.br\n", cli_commands[i].words);
    }
    fprintf(file, ".SH DESCRIPTION\nTalks, through shared memory, to the host that holds the model,\n.BR chatbot (1).\n"
                  "Answers go to standard output, everything else to standard error.\n"
                  ".SH OPTIONS OF ALL COMMANDS\nWhat stands on the command line wins over the environment.\n");
    options_print_manual(&table, OPTIONS_NO_COMMAND, true, file);
    for (int i = 0; i < CLI_N_COMMANDS; i++) {
        const cli_command *command = &cli_commands[i];
        fprintf(file, ".SH LLAMAIPC %s\n", command->name);
        options_print_roff(file, command->text);
        fprintf(file, "\n");
        options_print_manual(&table, bit_of(command), false, file);
        fprintf(file, ".PP\nExample, ");
        options_print_roff(file, command->purpose);
        fprintf(file, ":\n.PP\n.nf\n    ");
        options_print_roff(file, command->example);
        fprintf(file, "\n.fi\n");
    }
    print_chat_manual(file);
    print_json_manual(file);
    fprintf(file, ".SH EXIT STATUS\n");
#define PRINT_EXIT(number, name, text)                                                                                 \
    fprintf(file, ".TP\n.B %d\n", number);                                                                             \
    options_print_roff(file, text);                                                                                    \
    fprintf(file, "\n");
    CLI_EXIT_MAP(PRINT_EXIT)
#undef PRINT_EXIT
    fprintf(file, ".SH FAULTS\nWhat llamaipc doctor looks for, by the names in its output.\n");
#define PRINT_FAULT(constant, name, text)                                                                              \
    fprintf(file, ".TP\n.B ");                                                                                         \
    options_print_roff(file, name);                                                                                    \
    fprintf(file, "\n");                                                                                               \
    options_print_roff(file, text);                                                                                    \
    fprintf(file, "\n");
    DOCTOR_FAULT_MAP(PRINT_FAULT)
#undef PRINT_FAULT
    fprintf(file, ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nset and not empty: no colours, also on a terminal\n"
                  ".SH SEE ALSO\n.BR chatbot (1)\n");
}

/* ---- completions --------------------------------------------------------------------------------------------------- */

/* Calls `print` with each spelling of each option of a command. */
static void for_spellings(uint32_t command, FILE *file, void (*print)(FILE *, const option_spec *, const char *)) {
    option_table table = cli_option_table("llamaipc");
    for (size_t i = 0; i < table.n_specs; i++) {
        const option_spec *spec = &table.specs[i];
        const char *const spellings[] = {spec->brief, spec->name, spec->other};
        for (size_t j = 0; option_belongs(spec, command) && j < 3; j++)
            if (spellings[j]) print(file, spec, spellings[j]);
    }
}

/* The running instances, as the shells can tell them. */
#define INSTANCES "ls /dev/shm 2>/dev/null | sed -n 's/_shared_mem$//p'"

static void print_word(FILE *file, const option_spec *spec, const char *spelling) {
    (void)spec;
    fprintf(file, " %s", spelling);
}

static void print_bash_value(FILE *file, const option_spec *spec, const char *spelling) {
    if (!spec->argument) return;
    fprintf(file, "    %s) ", spelling);
    if (spec->kind == OPTION_FILE) fprintf(file, "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\")); ");
    if (spec->kind == OPTION_NAME) fprintf(file, "COMPREPLY=($(compgen -W \"$(" INSTANCES ")\" -- \"$cur\")); ");
    fprintf(file, "return ;;\n");
}

/* Whether its word is a file. */
static bool takes_file(const cli_command *command) {
    return strncmp(command->words, "FILE", 4) == 0;
}

void docgen_bash(FILE *file) {
    fprintf(file, "# bash completion for llamaipc\n_llamaipc() {\n"
                  "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word command= options=\n"
                  "  COMPREPLY=()\n"
                  "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case $word in\n    ");
    for (int i = 0; i < CLI_N_COMMANDS; i++) fprintf(file, "%s%s", i ? "|" : "", cli_commands[i].name);
    fprintf(file, ") command=$word; break ;;\n    esac\n  done\n  case $prev in\n");
    for_spellings(UINT32_MAX, file, print_bash_value);
    fprintf(file, "  esac\n  case $command in\n");
    for (int i = 0; i < CLI_N_COMMANDS; i++) {
        fprintf(file, "  %s) options='", cli_commands[i].name);
        for_spellings(1u << i, file, print_word);
        fprintf(file, "' ;;\n");
    }
    fprintf(file, "  *) options='");
    for (int i = 0; i < CLI_N_COMMANDS; i++) fprintf(file, " %s", cli_commands[i].name);
    for_spellings(OPTIONS_NO_COMMAND, file, print_word);
    fprintf(file, "' ;;\n  esac\n");
    for (int i = 0; i < CLI_N_COMMANDS; i++)
        if (takes_file(&cli_commands[i]))
            fprintf(file, "  if [[ $command = %s && $cur != -* ]]; then\n"
                          "    compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\")); return\n  fi\n",
                    cli_commands[i].name);
    fprintf(file, "  COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n}\n"
                  "complete -F _llamaipc llamaipc\n");
}

/* Text between single quotes of a shell, in which `also` has to be escaped, too. */
static void print_quoted(FILE *file, const char *text, const char *also) {
    for (; *text; text++) {
        if (*text == '\'') fputs("'\\''", file);
        else if (strchr(also, *text)) fprintf(file, "\\%c", *text);
        else fputc(*text, file);
    }
}

static void print_zsh_option(FILE *file, const option_spec *spec, const char *spelling) {
    fprintf(file, " \\\n        '*%s[", spelling);
    print_quoted(file, spec->help, "[]:\\");
    fprintf(file, "]");
    if (spec->argument) {
        fprintf(file, ":%s:", spec->argument);
        if (spec->kind == OPTION_FILE) fprintf(file, "_files");
        if (spec->kind == OPTION_NAME) fprintf(file, "_llamaipc_instances");
    }
    fprintf(file, "'");
}

void docgen_zsh(FILE *file) {
    fprintf(file, "#compdef llamaipc\n_llamaipc_instances() {\n"
                  "    local -a names\n    names=(${(f)\"$(" INSTANCES ")\"})\n    compadd -a names\n}\n"
                  "_llamaipc() {\n    local context state state_descr line\n    typeset -A opt_args\n    _arguments -C");
    for_spellings(OPTIONS_NO_COMMAND, file, print_zsh_option);
    fprintf(file, " \\\n        '1: :->command' '*:: :->words'\n    case $state in\n    command)\n"
                  "        local -a commands\n        commands=(");
    for (int i = 0; i < CLI_N_COMMANDS; i++) {
        fprintf(file, " '%s:", cli_commands[i].name);
        print_quoted(file, cli_commands[i].line, ":\\");
        fprintf(file, "'");
    }
    fprintf(file, ")\n        _describe command commands ;;\n    words)\n        case $line[1] in\n");
    for (int i = 0; i < CLI_N_COMMANDS; i++) {
        fprintf(file, "        %s) _arguments", cli_commands[i].name);
        for_spellings(1u << i, file, print_zsh_option);
        if (takes_file(&cli_commands[i])) fprintf(file, " \\\n        '*:FILE:_files'");
        fprintf(file, " ;;\n");
    }
    fprintf(file, "        esac ;;\n    esac\n}\n_llamaipc \"$@\"\n");
}

static void print_fish_option(FILE *file, const option_spec *spec, const char *condition) {
    fprintf(file, "complete -c llamaipc%s -l %s", condition, spec->name + 2);
    if (spec->other) fprintf(file, " -l %s", spec->other + 2);
    if (spec->brief) fprintf(file, " -%c %s", spec->brief[2] ? 'o' : 's', spec->brief + 1);
    if (spec->kind == OPTION_FILE) fprintf(file, " -r -F");
    else if (spec->kind == OPTION_NAME) fprintf(file, " -x -a \"(" INSTANCES ")\"");
    else if (spec->argument) fprintf(file, " -x");
    fprintf(file, " -d '");
    print_quoted(file, spec->help, "\\");
    fprintf(file, "'\n");
}

void docgen_fish(FILE *file) {
    option_table table = cli_option_table("llamaipc");
    char condition[64];
    fprintf(file, "# fish completion for llamaipc\ncomplete -c llamaipc -f\n");
    for (int i = 0; i < CLI_N_COMMANDS; i++) {
        fprintf(file, "complete -c llamaipc -n __fish_use_subcommand -a %s -d '", cli_commands[i].name);
        print_quoted(file, cli_commands[i].line, "\\");
        fprintf(file, "'\n");
    }
    for (size_t i = 0; i < table.n_specs; i++)
        if (table.specs[i].commands == 0) print_fish_option(file, &table.specs[i], "");
    for (int i = 0; i < CLI_N_COMMANDS; i++) {
        snprintf(condition, sizeof condition, " -n '__fish_seen_subcommand_from %s'", cli_commands[i].name);
        if (takes_file(&cli_commands[i])) fprintf(file, "complete -c llamaipc%s -F\n", condition);
        for (size_t j = 0; j < table.n_specs; j++)
            if (table.specs[j].commands & 1u << i) print_fish_option(file, &table.specs[j], condition);
    }
}
