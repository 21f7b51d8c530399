/* host.h - finding the host that a command works with, or starting one. */
#ifndef CLI_HOST_H
#define CLI_HOST_H

#include "commands.h"
#include "options.h"

/* Says what the last call into liblipc found, and returns the exit code for it. It is remembered for cli_failure, which
 * returns the error and its sentence. */
cli_exit cli_fail(int error);
int cli_failure(const char **message);

/* Attaches to the host of the options' name. OK with *client NULL if none runs. On any other code the reason has been
 * said. */
cli_exit cli_host_find(const cli_options *options, lipc_client **client);

/* The same; starts one, which stays, if none runs, waits until it has loaded its model, and shows how far it is. Ctrl-C
 * ends the waiting. From here on Ctrl-C wakes whoever waits on this client. */
cli_exit cli_host_open(const cli_options *options, uint64_t deadline_ns, lipc_client **client);
void cli_host_close(lipc_client *client);

/* Starts a host of the options' model under a name of one's own, which ends with this program, and attaches to it. Returns
 * a lipc_error. */
int cli_host_start_own(const cli_options *options, const char *name, lipc_client **client);

/* The deadline of the options; and how long to wait at most until the next look at it, at Ctrl-C, at progress. */
uint64_t cli_deadline(const cli_options *options);
int cli_slice_ms(uint64_t deadline_ns);

/* What a state of the host is called. */
const char *cli_host_state(int state);

/* Shows how far a host is that loads a model, or fetches it first. */
void cli_show_loading(const lipc_host_status *status);

/* What a host is doing, in a word: its state, or that it is asleep. */
const char *cli_host_words(const lipc_host_status *status);

#endif
