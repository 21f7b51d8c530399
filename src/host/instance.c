/* instance.c - see instance.h. */
#include "instance.h"

#include "log.h"

#include "../channel/classic_block.h"
#include "../channel/names.h"
#include "../channel/stream.h"

#include <stdio.h>

enum { HOLDER_MS = 3000, HOLDER_SLICE_MS = 5 };

host_exit instance_explain(int plat_error, const char *object_name, int owner_pid, char *message, size_t message_size) {
    char user[64];
    switch (plat_error) {
    case PLAT_E_OWNED:
        if (owner_pid == PLAT_PID_ELSEWHERE)
            snprintf(message, message_size, "%s is owned by a host in another pid namespace (another container?); stop it "
                     "there, or choose another --name", object_name);
        else
            snprintf(message, message_size, "%s is owned by a running host, process %d; stop it, or choose another "
                     "--name", object_name, owner_pid);
        return HOST_EXIT_NAME_OWNED;
    case PLAT_E_FOREIGN_USER:
        plat_object_user(object_name, user, sizeof user);
        snprintf(message, message_size, "%s belongs to the user '%s'; choose another --name", object_name, user);
        return HOST_EXIT_NAME_FOREIGN;
    case PLAT_E_NO_SPACE:
        snprintf(message, message_size, "no room for %s (%s): start with fewer --streams, free some of %s, or make it "
                 "larger (in a container --shm-size)", object_name, plat_os_error(), plat_objects_place());
        return HOST_EXIT_NO_OBJECTS;
    case PLAT_E_FILE_LIMIT:
        snprintf(message, message_size, "cannot make %s (%s): this process may not make files so large; raise the limit "
                 "(ulimit -f), or start with fewer --streams", object_name, plat_os_error());
        return HOST_EXIT_NO_OBJECTS;
    case PLAT_E_CONFINED:
        snprintf(message, message_size, "cannot make or open %s (%s), although this user may: the process seems to be "
                 "confined by a sandbox, a security module or the file's own mode", object_name, plat_os_error());
        return HOST_EXIT_NO_OBJECTS;
    case PLAT_E_READ_ONLY:
        snprintf(message, message_size, "cannot make %s (%s): %s must be there and writable", object_name, plat_os_error(),
                 plat_objects_place());
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

typedef enum recovered {
    RECOVERED_NOTHING, /* of a host with a hub: a new object, or what an older host left */
    RECOVERED_STREAMS, /* records and streams, just as this host lays them out */
    RECOVERED_UNUSABLE /* another layout or version, damaged or half written: its clients may still write there */
} recovered;

static recovered find_recovered(const plat_segment *segment, const hub_geometry *geometry) {
    hub_view found = {.base = plat_segment_base(segment)};
    hub_identity identity;
    hub_check check = hub_read(found.base, plat_segment_size(segment), &found, &identity);
    /* Without an epoch no host of ours ever came so far that a client could attach. */
    if (check == HUB_NOT_YET && hub_of(&found)->epoch == 0) return RECOVERED_NOTHING;
    return check == HUB_OK && hub_is_same_layout(&found.at, geometry) ? RECOVERED_STREAMS : RECOVERED_UNUSABLE;
}

static int own_segment(const char *object_name, const hub_geometry *geometry, plat_segment **segment, bool *adopted,
                       int *owner_pid) {
    int error = plat_segment_own(object_name, geometry->segment_size, segment, adopted, owner_pid);
    if (error < 0 || !*adopted || find_recovered(*segment, geometry) != RECOVERED_UNUSABLE) return error;
    log_line(LOG_LEVEL_INFO, "%s was left by another kind of host, or by one with other --streams or sizes: making a new one",
             object_name);
    plat_segment_remove(*segment);
    plat_segment_close(*segment);
    error = plat_segment_own(object_name, geometry->segment_size, segment, adopted, owner_pid);
    if (error < 0 || !*adopted || find_recovered(*segment, geometry) != RECOVERED_UNUSABLE) return error;
    log_line(LOG_LEVEL_ERROR, "%s is still held by programs that were attached to that host: close them", object_name);
    plat_segment_close(*segment);
    *segment = NULL;
    return PLAT_E_UNEXPECTED;
}

/* Somebody else has the lock. A live host has its own hub there. */
static bool is_owned_by_host(const char *object_name, int owner_pid) {
    plat_segment *segment;
    hub_view found;
    hub_identity identity;
    if (owner_pid <= 0 || plat_segment_look(object_name, &segment) < 0) return true;
    bool is_host = plat_segment_size(segment) < LIPC_HUB_END ||
                   hub_read(plat_segment_base(segment), plat_segment_size(segment), &found, &identity) != HUB_OK ||
                   identity.host_pid == owner_pid;
    plat_segment_close(segment);
    return is_host;
}

/* As own_segment, but waits HOLDER_MS for a process that has the lock and is no host: `llamaipc doctor --fix` is one, for
 * the moment in which it removes what a dead host left. */
static int own_when_free(const char *object_name, const hub_geometry *geometry, plat_segment **segment, bool *adopted,
                         int *owner_pid) {
    uint64_t deadline_ns = plat_deadline_ns(HOLDER_MS);
    bool is_said = false;
    for (;;) {
        int error = own_segment(object_name, geometry, segment, adopted, owner_pid);
        if (error != PLAT_E_OWNED || is_owned_by_host(object_name, *owner_pid) || plat_clock_ns() >= deadline_ns)
            return error;
        if (!is_said)
            log_line(LOG_LEVEL_WARN, "process %d holds the lock of %s, but has not begun as its host: waiting for it", *owner_pid,
                     object_name);
        is_said = true;
        plat_pause_ms(HOLDER_SLICE_MS);
    }
}

static host_exit explain_owner(const char *object_name, int owner_pid, char *message, size_t message_size) {
    if (is_owned_by_host(object_name, owner_pid))
        return instance_explain(PLAT_E_OWNED, object_name, owner_pid, message, message_size);
    snprintf(message, message_size, "process %d holds the lock of %s, but has not begun as its host: end it if it is none, "
             "or choose another --name", owner_pid, object_name);
    return HOST_EXIT_NAME_OWNED;
}

host_exit instance_open(instance *instance, const host_options *options, char *message, size_t message_size) {
    char object_name[NAMES_OBJECT_SIZE];
    bool adopted;
    int owner_pid;
    hub_geometry geometry;
    hub_plan(&geometry, (uint32_t)options->n_streams, options->request_size, options->response_size);
    names_object(object_name, options->name, LIPC_SUFFIX_SEGMENT);
    int error = own_when_free(object_name, &geometry, &instance->segment, &adopted, &owner_pid);
    if (error == PLAT_E_OWNED) return explain_owner(object_name, owner_pid, message, message_size);
    if (error < 0) return instance_explain(error, object_name, owner_pid, message, message_size);
    instance->name = options->name;
    instance->block = plat_segment_base(instance->segment);
    instance->view = (hub_view){plat_segment_base(instance->segment), geometry};
    if (adopted) classic_block_reset(instance->block);
    if (!adopted || find_recovered(instance->segment, &geometry) != RECOVERED_STREAMS) hub_clear(&instance->view);
    return HOST_EXIT_OK;
}

host_exit instance_join(instance *instance, const host_options *options, const lipc_hub *hub, char *message,
                        size_t message_size) {
    char object_name[NAMES_OBJECT_SIZE];
    hub_geometry geometry;
    hub_plan(&geometry, (uint32_t)options->n_streams, options->request_size, options->response_size);
    names_object(object_name, options->name, LIPC_SUFFIX_SEGMENT);
    int error = plat_segment_open(object_name, geometry.segment_size, &instance->segment);
    if (error < 0) return instance_explain(error, object_name, 0, message, message_size);
    instance->name = options->name;
    instance->block = plat_segment_base(instance->segment);
    instance->view = (hub_view){plat_segment_base(instance->segment), geometry};
    instance->hub = *hub;
    return HOST_EXIT_OK;
}

void instance_begin(instance *instance) {
    uint64_t start_time = 0;
    plat_process_start_time(plat_process_own_pid(), &start_time);
    hub_begin(&instance->view, plat_process_own_pid(), start_time, LIPC_VERSION);
    instance->hub = *hub_of(&instance->view);
}

/* Streams that were in the part that is gone are free, under their next generations, from the moment that they are there
 * again. As zeroes they would be free under another: a client would lose what it claims before a worker has looked. */
static int restore_claims(const instance *instance, const uint32_t *generations, size_t n_bytes) {
    int error = PLAT_OK;
    for (uint32_t i = 0; i < instance->view.at.n_streams && error == PLAT_OK; i++) {
        uint64_t claim = stream_claim(LIPC_CLAIM_FREE, 0, generations[i] + 1);
        size_t offset = (size_t)((char *)&hub_stream(&instance->view, i)->claim - instance->view.base);
        if (offset >= n_bytes) error = plat_segment_write(instance->segment, offset, &claim, sizeof claim);
    }
    return error;
}

bool instance_mend(instance *instance, const uint32_t *generations) {
    size_t n_bytes = plat_segment_length(instance->segment);
    if (n_bytes == plat_segment_size(instance->segment)) return false;
    if (restore_claims(instance, generations, n_bytes) < 0 || plat_segment_mend(instance->segment) < 0) {
        log_line(LOG_LEVEL_ERROR, "another program has truncated the shared memory to %zu bytes, and it cannot be made %zu "
                 "again: %s", n_bytes, plat_segment_size(instance->segment), plat_os_error());
        return true;
    }
    log_line(LOG_LEVEL_ERROR, "another program has truncated the shared memory from %zu to %zu bytes: it is as long as "
             "before again; clients and answers that were in the rest are lost", plat_segment_size(instance->segment),
             n_bytes);
    hub_restore(&instance->view, &instance->hub);
    return true;
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
