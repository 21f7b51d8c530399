/* commands.c - see commands.h. */
#include "commands.h"

const cli_command cli_commands[CLI_N_COMMANDS] = {
#define CLI_COMMAND_ROW(constant, function, words, least, most, line, text, example, purpose)                          \
    {#function, words, least, most, line, text, example, purpose, cli_##function},
    CLI_COMMAND_MAP(CLI_COMMAND_ROW)
#undef CLI_COMMAND_ROW
};
