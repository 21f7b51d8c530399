/* classic_objects.c - see classic_objects.h. */
#include "classic_objects.h"

#include "../channel/names.h"
#include "../platform/failpoint.h"

host_exit classic_objects_open(classic_objects *objects, const instance *instance, char *message, size_t message_size) {
    const struct { const char *suffix; plat_semaphore **semaphore; } wanted[] = {
        {LIPC_SUFFIX_READY, &objects->ready},
        {LIPC_SUFFIX_PROMPTS_WRITTEN, &objects->prompts_written},
        {LIPC_SUFFIX_RESPONSE_WRITTEN, &objects->response_written},
        {LIPC_SUFFIX_CHUNK_READY, &objects->chunk_ready},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char name[NAMES_OBJECT_SIZE];
        names_object(name, instance->name, wanted[i].suffix);
        int error = plat_semaphore_own(name, wanted[i].semaphore);
        if (error < 0) {
            host_exit code = instance_explain(error, name, 0, message, message_size);
            classic_objects_remove(objects);
            classic_objects_close(objects);
            return code;
        }
        plat_semaphore_drain(*wanted[i].semaphore);
        FAILPOINT("objects.open.drained");
    }
    return HOST_EXIT_OK;
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
