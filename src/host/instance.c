/* instance.c - see instance.h. */
#include "instance.h"

#include "../channel/classic_block.h"
#include "../channel/names.h"

#include <stdio.h>

host_exit instance_explain(int plat_error, const char *object_name, int owner_pid, char *message, size_t message_size) {
    char user[64];
    switch (plat_error) {
    case PLAT_E_OWNED:
        snprintf(message, message_size, "%s is owned by a running host, process %d; stop it, or choose another --name",
                 object_name, owner_pid);
        return HOST_EXIT_NAME_OWNED;
    case PLAT_E_FOREIGN_USER:
        plat_object_user(object_name, user, sizeof user);
        snprintf(message, message_size, "%s belongs to the user '%s'; choose another --name", object_name, user);
        return HOST_EXIT_NAME_FOREIGN;
    case PLAT_E_NO_SPACE:
        snprintf(message, message_size, "no room for %s (%s): free some of /dev/shm, or make it larger", object_name,
                 plat_os_error());
        return HOST_EXIT_NO_OBJECTS;
    case PLAT_E_READ_ONLY:
        snprintf(message, message_size, "cannot make %s (%s): /dev/shm must be there and writable", object_name, plat_os_error());
        return HOST_EXIT_NO_OBJECTS;
    case PLAT_E_UNEXPECTED:
        snprintf(message, message_size, "%s exists but is something else (%s): remove it, or choose another --name",
                 object_name, plat_os_error());
        return HOST_EXIT_NO_OBJECTS;
    default:
        snprintf(message, message_size, "cannot make %s: %s", object_name, plat_os_error());
        return HOST_EXIT_NO_OBJECTS;
    }
}

host_exit instance_open(instance *instance, const char *name, char *message, size_t message_size) {
    char object_name[NAMES_OBJECT_SIZE];
    bool adopted;
    int owner_pid;
    names_object(object_name, name, LIPC_SUFFIX_SEGMENT);
    int error = plat_segment_own(object_name, LIPC_SEGMENT_SIZE, &instance->segment, &adopted, &owner_pid);
    if (error < 0) return instance_explain(error, object_name, owner_pid, message, message_size);
    instance->name = name;
    instance->block = plat_segment_base(instance->segment);
    if (adopted) classic_block_reset(instance->block);
    return HOST_EXIT_OK;
}

void instance_remove(instance *instance) {
    if (instance->segment) plat_segment_remove(instance->segment);
}

void instance_close(instance *instance) {
    plat_segment *segment = instance->segment;
    instance->segment = NULL; /* first: a signal handler may be about to remove it */
    instance->block = NULL;
    plat_segment_close(segment);
}
