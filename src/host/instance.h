/* instance.h - the host's claim on an instance name and on the segment behind it. */
#ifndef HOST_INSTANCE_H
#define HOST_INSTANCE_H

#include "exit_codes.h"

#include "options.h"

#include "../channel/hub.h"
#include "../platform/platform.h"

#include <stddef.h>

typedef struct instance {
    const char *name;
    plat_segment *segment;
    lipc_classic_block *block;
    hub_view view; /* the modern channel in the same segment */
    lipc_hub hub;  /* its hub, as it was written */
} instance;

/* Becomes the owner of the name and makes its segment, or takes over what a dead host left: the same object, the classic
 * block reset, clients and streams as they are. If that host had laid its streams out in another way, or died while it
 * wrote its hub, the object is replaced by a new one: a client of its, stopped then, must not reach into what another
 * has there later.
 * Returns HOST_EXIT_OK, or the code to end with; `message` then holds the line to say. */
host_exit instance_open(instance *instance, const host_options *options, char *message, size_t message_size);

/* In a worker that began in main: the segment of its supervisor, whose hub is `hub`. Returns as instance_open. */
host_exit instance_join(instance *instance, const host_options *options, const lipc_hub *hub, char *message,
                        size_t message_size);

/* Shows clients of both channels that this host is there, in its hub: when everything that a dead host left has been taken
 * over or taken back. */
void instance_begin(instance *instance);

/* After a death of the worker: whether another program of the user has truncated the segment. Then it is as long as before
 * again, and the hub stands in it; whatever else was in the part that is gone is lost, and so are the clients and answers
 * that were there. Its streams are free under new generations: `generations` are those that the worker knew. Says so in
 * the log. */
bool instance_mend(instance *instance, const uint32_t *generations);

/* Maps a failure to make the object to the code to end with, and words it. Call right after the failed plat_ call. */
host_exit instance_explain(int plat_error, const char *object_name, int owner_pid, char *message, size_t message_size);

/* Removes the name while it is still owned, so that no successor can adopt what is being removed. Async-signal-safe. */
void instance_remove(instance *instance);

/* Gives the ownership up. Safe on an instance that was never opened. */
void instance_close(instance *instance);

#endif
