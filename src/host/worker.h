/* worker.h - the part of the host that works: loads the model and serves. In a process of its own under a supervisor, or
 * in the one that was started. */
#ifndef HOST_WORKER_H
#define HOST_WORKER_H

#include "classic_objects.h"
#include "instance.h"
#include "journal.h"
#include "options.h"

/* What a worker works with; made before it, outlives it. */
typedef struct host_parts {
    host_options options;
    instance instance;
    classic_objects classic;
    journal *journal;
} host_parts;

/* Works until the host is asked to end, taking up first what another worker left. Returns the code to end with. The
 * objects' names are gone then. */
host_exit worker_run(host_parts *parts);

/* Removes the names of all objects. Async-signal-safe. */
void host_parts_remove(host_parts *parts);

#endif
