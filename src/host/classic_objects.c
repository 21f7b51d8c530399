/* classic_objects.c - see classic_objects.h. */
#include "classic_objects.h"

#include "../channel/names.h"
#include "../platform/failpoint.h"

#include <limits.h>

/* The guide's limits, which systems have that let a semaphore have one. */
static host_exit obtain(classic_objects *objects, const instance *instance, bool may_make, char *message,
                        size_t message_size) {
    const struct { const char *suffix; int most; plat_semaphore **semaphore; } wanted[] = {
        {LIPC_SUFFIX_READY, 1, &objects->ready},
        {LIPC_SUFFIX_PROMPTS_WRITTEN, 1, &objects->prompts_written},
        {LIPC_SUFFIX_RESPONSE_WRITTEN, 1, &objects->response_written},
        {LIPC_SUFFIX_CHUNK_READY, INT_MAX, &objects->chunk_ready},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char name[NAMES_OBJECT_SIZE];
        names_object(name, instance->name, wanted[i].suffix);
        int error = may_make ? plat_semaphore_own(name, wanted[i].most, wanted[i].semaphore)
                             : plat_semaphore_open(name, wanted[i].semaphore);
        if (error < 0) {
            host_exit code = instance_explain(error, name, 0, message, message_size);
            if (may_make) classic_objects_remove(objects);
            classic_objects_close(objects);
            return code;
        }
        if (may_make) plat_semaphore_drain(*wanted[i].semaphore);
        FAILPOINT("objects.open.drained");
    }
    return HOST_EXIT_OK;
}

host_exit classic_objects_open(classic_objects *objects, const instance *instance, char *message, size_t message_size) {
    return obtain(objects, instance, true, message, message_size);
}

host_exit classic_objects_join(classic_objects *objects, const instance *instance, char *message, size_t message_size) {
    return obtain(objects, instance, false, message, message_size);
}

void classic_objects_remove(const classic_objects *objects) {
    plat_semaphore *const all[] = {objects->ready, objects->prompts_written, objects->response_written,
                                   objects->chunk_ready};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i]) plat_semaphore_remove(all[i]);
}

void classic_objects_close(classic_objects *objects) {
    const classic_objects closing = *objects;
    *objects = (classic_objects){0}; /* first: a signal handler may be about to remove them */
    plat_semaphore_close(closing.ready);
    plat_semaphore_close(closing.prompts_written);
    plat_semaphore_close(closing.response_written);
    plat_semaphore_close(closing.chunk_ready);
}
