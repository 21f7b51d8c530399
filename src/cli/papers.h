/* papers.h - what is written about llamaipc, out of its tables: help, manual page, completions. */
#ifndef CLI_PAPERS_H
#define CLI_PAPERS_H

#include "commands.h"

/* The screen of `llamaipc --help`, and that of one command. */
void papers_overview(FILE *file);
void papers_command(FILE *file, const cli_command *command);

/* llamaipc.1 in roff; what the shells complete. */
void papers_manual(FILE *file);
void papers_bash(FILE *file);
void papers_zsh(FILE *file);
void papers_fish(FILE *file);

#endif
