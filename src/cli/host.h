/* host.h - finding the host that a command works with, or starting one. */
#ifndef CLI_HOST_H
#define CLI_HOST_H

#include "commands.h"

/* Says what the last call into liblipc found, and returns the exit code for it. */
cli_exit cli_fail(int error);

/* Attaches to the host of the options' name. None runs: OK with *client NULL if `may_start` is false, otherwise one is
 * started and said to be there, which stays. On any other code the reason has been said. */
cli_exit cli_host_open(const cli_options *options, bool may_start, lipc_client **client);

/* What a state of the host is called. */
const char *cli_host_state(int state);

#endif
