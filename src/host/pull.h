/* pull.h - models by name: fetched for this host by this program, started once more; and what the program does then, and for
 * somebody at a terminal: --pull, --cache-list, --cache-remove. */
#ifndef HOST_PULL_H
#define HOST_PULL_H

#include "exit_codes.h"
#include "options.h"

#include "../fetch/fetch.h"

/* As fetch_start, with this program; what it says is logged. */
void pull_start(fetch *fetch, const char *name, bool is_offline);

/* The program's work, if one of these options is given. */
host_exit pull_run(const host_options *options);

#endif
