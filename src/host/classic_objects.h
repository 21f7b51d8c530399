/* classic_objects.h - the four semaphores of the streaming guide: made once for a host, used by each of its workers. */
#ifndef HOST_CLASSIC_OBJECTS_H
#define HOST_CLASSIC_OBJECTS_H

#include "instance.h"

typedef struct classic_objects {
    plat_semaphore *ready, *prompts_written, *response_written, *chunk_ready;
} classic_objects;

/* Makes them or takes them over, all at zero. On error nothing is left. Errors as instance_open. */
host_exit classic_objects_open(classic_objects *objects, const instance *instance, char *message, size_t message_size);

/* In a worker that began in main: those of its supervisor. Errors as instance_open. */
host_exit classic_objects_join(classic_objects *objects, const instance *instance, char *message, size_t message_size);

/* Removes the names. Async-signal-safe. Safe on objects that were never opened. */
void classic_objects_remove(const classic_objects *objects);

/* Does not remove the names. Safe on objects that were never opened. */
void classic_objects_close(classic_objects *objects);

#endif
