/* commands.h - the commands of llamaipc. The table makes the dispatch, the help, the manual page and the completions;
 * each command is a function in a file of its name.
 *
 * X(CONSTANT, function, words it takes, least and most of them (-1: any), one line, what it does, an example and what
 * that is for)
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "exit_codes.h"
#include "options.h"

#define CLI_COMMAND_MAP(X)                                                                                             \
    X(STATUS, status, "", 0, 0, "what the host is doing",                                                              \
      "Shows the host's state, model, clients and streams. It only looks, at a read-only mapping, and disturbs nobody. " \
      "With --wait it first waits until the host is there and has loaded its model.",                                  \
      "llamaipc status --wait --timeout 60", "until a model is loaded")                                                \
    X(STOP, stop, "", 0, 0, "ends the host",                                                                           \
      "Asks the host to end and waits until it is gone. Answers that are being made are finished first, those that "   \
      "wait are not begun.",                                                                                           \
      "llamaipc stop --name work", "ends the host named work")

/* A command's place in the table; its bit in the option table is 1 << place. */
typedef enum cli_command_place {
#define CLI_COMMAND_PLACE(constant, function, words, least, most, line, text, example, purpose) CLI_PLACE_##constant,
    CLI_COMMAND_MAP(CLI_COMMAND_PLACE)
#undef CLI_COMMAND_PLACE
    CLI_N_COMMANDS
} cli_command_place;

#define CLI_BIT(constant) (1u << CLI_PLACE_##constant)

typedef struct cli_command {
    const char *name;
    const char *words;
    int least, most;
    const char *line, *text;
    const char *example, *purpose;
    cli_exit (*run)(const cli_options *options);
} cli_command;

extern const cli_command cli_commands[CLI_N_COMMANDS];

#define CLI_COMMAND_FUNCTION(constant, function, ...) cli_exit cli_##function(const cli_options *options);
CLI_COMMAND_MAP(CLI_COMMAND_FUNCTION)
#undef CLI_COMMAND_FUNCTION

#endif
