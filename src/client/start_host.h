/* start_host.h - a host that this process started, and what it said when it ended. */
#ifndef CLIENT_START_HOST_H
#define CLIENT_START_HOST_H

#include "lipc/lipc.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct started_host started_host;

/* Starts the program that the options name under the instance name. Errors: NO_HOST (no such program), NO_MEMORY,
 * SYSTEM. */
int started_host_open(const lipc_client_options *options, const char *name, started_host **host);

int started_host_pid(const started_host *host);

/* Reads what it has written to its log so far. No waiting. */
void started_host_listen(started_host *host);

/* Whether it has ended; *exit_code is then its code, as plat_child_ended tells it. */
bool started_host_has_ended(started_host *host, int *exit_code);

/* The last line of its log, without the program's name; "" if there is none. Valid until the next call on the host. */
const char *started_host_last_line(started_host *host);

/* Whether it is to end with its client. */
bool started_host_is_with_me(const started_host *host);

/* Asks it to end. */
void started_host_stop(started_host *host);

/* Lets go of it, also while it runs. NULL allowed. */
void started_host_close(started_host *host);

/* Releases what is held of those that were let go of while they ran and have ended since. No waiting. Any thread. */
void started_hosts_reap(void);

#endif
