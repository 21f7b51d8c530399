/* docgen.h - what is written about llamaipc, out of its tables: help, manual page, completions. */
#ifndef CLI_DOCGEN_H
#define CLI_DOCGEN_H

#include "commands.h"
#include "options.h"

/* The screen of `llamaipc --help`, and that of one command. */
void docgen_overview(FILE *file);
void docgen_command(FILE *file, const cli_command *command);

/* llamaipc.1 in roff; what the shells complete. */
void docgen_manual(FILE *file);
void docgen_bash(FILE *file);
void docgen_zsh(FILE *file);
void docgen_fish(FILE *file);

#endif
