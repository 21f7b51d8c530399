/* client.c - a process's place in a host: finding or starting one, attaching, watching, waiting, leaving. */
#include "connection.h"
#include "default_name.h"
#include "error.h"
#include "queue.h"
#include "start_host.h"
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often a host that is not there yet is looked for. The namespace watch announces new objects; that a host has
 * taken old ones over, or has come so far that it can be attached to, nothing announces. */
#define LOOK_SLICE_MS 5
/* For how long a close waits for a host that it has asked to end. */
#define REAP_MS 100
/* For how long the end of a host is waited for that was started when another already ran, or in vain. Usually some
 * milliseconds. */
#define LOSER_MS 1000
/* lipc_stream_header.answer_sum */
#define FIRST_MINOR_WITH_SUMS 1
/* Changing the model: with LIPC_FLAG_LOAD, then as an operation. */
#define FIRST_MINOR_WITH_LOAD 3
#define FIRST_MINOR_WITH_OPERATIONS 5
/* For how long a hub may not be the one that it should be: a host that lives writes it anew within a second, whatever somebody
 * has written over it. */
#define DAMAGED_NS UINT64_C(2000000000)

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- attaching ----------------------------------------------------------------------------------------------------- */

typedef enum attempt {
    ATTEMPT_ATTACHED,
    ATTEMPT_NO_HOST, /* none runs */
    ATTEMPT_NOT_YET, /* one runs, and has not come so far */
    ATTEMPT_FAILED   /* the error is recorded */
} attempt;

static attempt fail_attempt(int *error, int recorded) {
    *error = recorded;
    return ATTEMPT_FAILED;
}

/* The hub cannot be used as it is: not yet, or, if that lasts, not at all. *since_ns: since when; 0: it could be used. */
static bool has_lasted(uint64_t *since_ns) {
    uint64_t now_ns = plat_clock_ns();
    if (*since_ns == 0) *since_ns = now_ns;
    return now_ns - *since_ns >= DAMAGED_NS;
}

/* Reads the hub of the live host `pid`. If it is not yet what it should be, *error may say how. */
static attempt read_hub(lipc_client *client, int pid, uint64_t *damaged_since_ns, hub_identity *identity, int *error) {
    /* One that this client has started is only slow to begin: that it takes too long is for the caller's timeout to say. */
    bool is_started = client->started && started_host_pid(client->started) == pid;
    if (plat_segment_size(client->segment) < LIPC_HUB_END) { /* one that takes it over makes it longer */
        *error = lipc_fail(LIPC_E_LAYOUT, "the host of '%s', process %d, is an older one without the modern channel: use "
                           "the classic one, or start a newer host", client->name, pid);
        return !is_started && has_lasted(damaged_since_ns) ? ATTEMPT_FAILED : ATTEMPT_NOT_YET;
    }
    hub_check check = hub_read(plat_segment_base(client->segment), plat_segment_size(client->segment), &client->view,
                               identity);
    if (check == HUB_NOT_YET) return ATTEMPT_NOT_YET;
    bool is_holders = identity->host_pid == pid, is_other = is_holders && check == HUB_OTHER_VERSION;
    bool has_failed = (!is_started || is_other) && has_lasted(damaged_since_ns);
    if (check == HUB_DAMAGED)
        *error = lipc_fail(LIPC_E_LAYOUT, "the shared memory of '%s' is damaged: its host, process %d, repairs that within a "
                           "second if it is not stopped; if it does not, restart it", client->name, pid);
    else if (!is_holders && has_failed) /* else: what a dead host left, before its successor has written its own */
        *error = lipc_fail(LIPC_E_NO_HOST, "no host runs as '%s': process %d holds the lock of its shared memory, but has "
                           "not begun as its host", client->name, pid);
    else if (is_other)
        *error = lipc_fail(LIPC_E_LAYOUT, "the host of '%s', process %d, speaks version %u.%u of the channel, this library "
                           "%d.%d: use the library of the host's release", client->name, pid, identity->major,
                           identity->minor, LIPC_LAYOUT_MAJOR, LIPC_LAYOUT_MINOR);
    if (check != HUB_OK || !is_holders) return has_failed ? ATTEMPT_FAILED : ATTEMPT_NOT_YET;
    *damaged_since_ns = 0;
    return ATTEMPT_ATTACHED;
}

static attempt watch_host(lipc_client *client, const hub_identity *identity, int *error) {
    __atomic_store_n(&client->is_host_dead, false, __ATOMIC_RELAXED);
    client->is_unwatched = false;
    if (plat_process_watch_open(client_on_host_death, client, &client->watch) < 0)
        return fail_attempt(error, lipc_fail(LIPC_E_SYSTEM, "cannot watch the host: %s", plat_os_error()));
    switch (plat_process_watch_add(client->watch, identity->host_pid, identity->host_start_time, 0)) {
    case PLAT_OK: return ATTEMPT_ATTACHED;
    case PLAT_E_NOT_FOUND: return ATTEMPT_NO_HOST;
    case PLAT_E_NO_MEMORY:
        return fail_attempt(error, lipc_fail(LIPC_E_NO_MEMORY, "not enough memory to watch the host"));
    default:
        client->is_unwatched = true;
        return ATTEMPT_ATTACHED;
    }
}

/* Takes a record. The bell that the watch rings is in it, so this comes before the watch. */
static attempt take_record(lipc_client *client, int *error) {
    uint64_t start_time;
    if (plat_process_start_time(client->opener_pid, &start_time) < 0)
        return fail_attempt(error, lipc_fail(LIPC_E_SYSTEM, "cannot read this process's start time in /proc: %s",
                                             plat_os_error()));
    if (hub_client_attach(&client->view, (uint32_t)client->opener_pid, start_time, &client->index, &client->claim))
        return ATTEMPT_ATTACHED;
    return fail_attempt(error, lipc_fail(LIPC_E_FULL, "the host of '%s', process %d, has no room for another client: "
                                         "all %u records are taken", client->name, client->host_pid,
                                         client->view.at.n_clients));
}

static attempt attach_to(lipc_client *client, int pid, uint64_t *damaged_since_ns, int *error) {
    hub_identity identity = {0};
    attempt result = read_hub(client, pid, damaged_since_ns, &identity, error);
    if (result != ATTEMPT_ATTACHED) return result;
    client->host_pid = pid;
    client->has_sums = identity.minor >= FIRST_MINOR_WITH_SUMS;
    client->has_token_sums = (identity.features & LIPC_FEATURE_TOKENS_SUM) != 0;
    client->has_parameters = (identity.features & LIPC_FEATURE_PARAMETERS) != 0;
    client->can_load = identity.minor >= FIRST_MINOR_WITH_LOAD;
    client->has_operations = identity.minor >= FIRST_MINOR_WITH_OPERATIONS;
    client->has_states = (identity.features & LIPC_FEATURE_STATES) != 0;
    client->has_documents = (identity.features & LIPC_FEATURE_DOCUMENTS) != 0;
    result = take_record(client, error);
    if (result != ATTEMPT_ATTACHED) return result;
    result = watch_host(client, &identity, error);
    /* If it ended before the watch was there, the pid may be somebody else's by now, and the record a successor's. */
    bool is_owner = plat_segment_owner_pid(client->segment) == pid;
    if (result == ATTEMPT_ATTACHED && (!is_owner || client_is_lost(client))) result = ATTEMPT_NO_HOST;
    /* The owner is there: its start time in the hub was not, or the record is taken away. */
    if (result == ATTEMPT_NO_HOST && is_owner) result = ATTEMPT_NOT_YET;
    if (result != ATTEMPT_ATTACHED) hub_client_leave(&client->view, client->index, client->claim);
    client_ring_host(client);
    return result;
}

static int fail_elsewhere(const lipc_client *client) {
    return lipc_fail(LIPC_E_ACCESS, "the host of '%s' lives in another pid namespace (another container or sandbox), where "
                     "neither could see the other end: start both in the same one", client->name);
}

static attempt try_attach(lipc_client *client, uint64_t *damaged_since_ns, int *error) {
    char object_name[NAMES_OBJECT_SIZE];
    names_object(object_name, client->name, LIPC_SUFFIX_SEGMENT);
    int failed = plat_segment_open(object_name, 0, &client->segment);
    if (failed < 0) {
        *error = lipc_fail_object(failed, object_name);
        return failed == PLAT_E_NOT_FOUND ? ATTEMPT_NO_HOST : ATTEMPT_FAILED;
    }
    int pid = plat_segment_is_current(client->segment) ? plat_segment_owner_pid(client->segment) : 0;
    attempt result = ATTEMPT_NO_HOST;
    *error = LIPC_E_OK;
    if (pid == PLAT_PID_ELSEWHERE) result = fail_attempt(error, fail_elsewhere(client));
    else if (pid != 0) result = attach_to(client, pid, damaged_since_ns, error);
    if (result == ATTEMPT_NO_HOST)
        *error = lipc_fail(LIPC_E_NO_HOST, "the objects of '%s' are there, but their host is dead; start it again",
                           client->name);
    if (result == ATTEMPT_NOT_YET && *error == LIPC_E_OK)
        *error = lipc_fail(LIPC_E_TIMEOUT, "the host of '%s', process %d, could not be attached to in time: it has not "
                           "come so far", client->name, pid);
    if (result != ATTEMPT_ATTACHED) client_close_segment(client);
    return result;
}

/* ---- a host of one's own ------------------------------------------------------------------------------------------- */

/* What a host that has ended says to its starter. */
static int fail_started(lipc_client *client, int exit_code) {
    const char *line = started_host_last_line(client->started);
    if (!line[0]) line = "it said nothing";
    if (exit_code == PLAT_EXIT_UNKNOWN)
        return lipc_fail(LIPC_E_HOST_GONE, "the host that was started as '%s' ended: %s", client->name, line);
    return lipc_fail(LIPC_E_HOST_GONE, "the host that was started as '%s' ended with code %d: %s", client->name,
                     exit_code, line);
}

static void forget_started(lipc_client *client) {
    started_host_close(client->started);
    client->started = NULL;
}

/* How a host ends that finds its name taken, as the README documents it. */
#define EXIT_NAME_OWNED 7

/* No host runs: starts one, if that is wanted. `has_ended`: one that was started has ended before it was looked for,
 * with that code. */
static int see_to_host(lipc_client *client, const lipc_client_options *options, bool has_ended, int exit_code) {
    if (options->start == LIPC_START_NEVER) return LIPC_E_OK;
    if (client->started) {
        if (!has_ended) return LIPC_E_OK;
        if (exit_code != EXIT_NAME_OWNED) return fail_started(client, exit_code);
        forget_started(client); /* another was faster, and is gone, too */
    }
    return started_host_open(options, client->name, &client->started);
}

/* Asks one that nobody is going to use to end, and waits for that a moment. */
static void dismiss_started(lipc_client *client, int timeout_ms) {
    uint64_t deadline_ns = plat_deadline_ns(timeout_ms);
    int exit_code;
    started_host_stop(client->started);
    while (!started_host_has_ended(client->started, &exit_code) && plat_clock_ns() < deadline_ns)
        plat_pause_ms(1);
    forget_started(client);
}

/* One that this client started and that runs now belongs to it. One that lost the race against another's may not know
 * yet, and would take the name when the other gives it up: so its end is waited for while the other still has the
 * name. */
static void settle_started(lipc_client *client) {
    if (client->started && started_host_pid(client->started) != client->host_pid) dismiss_started(client, LOSER_MS);
}

/* *objects, the watch of the names, is opened when it is first waited for: most hosts are there at the first look, and its
 * close may wait for all of the machine's processors, some milliseconds. */
static int find_host(lipc_client *client, const lipc_client_options *options, plat_namespace_watch **objects) {
    uint64_t deadline_ns = plat_deadline_ns(options->timeout_ms);
    uint64_t damaged_since_ns = 0;
    for (int error = LIPC_E_OK, exit_code = 0;;) {
        /* Before the look: if ours has ended because another was faster, that one is found. */
        bool has_ended = client->started && started_host_has_ended(client->started, &exit_code);
        attempt result = try_attach(client, &damaged_since_ns, &error);
        if (result == ATTEMPT_ATTACHED) {
            settle_started(client);
            return LIPC_E_OK;
        }
        if (result == ATTEMPT_FAILED) return error;
        if (result == ATTEMPT_NO_HOST) {
            int failed = see_to_host(client, options, has_ended, exit_code);
            if (failed < 0) return failed;
        }
        if (plat_clock_ns() >= deadline_ns) {
            if (result == ATTEMPT_NOT_YET || options->start == LIPC_START_NEVER) return error;
            return lipc_fail(LIPC_E_TIMEOUT, "the host that was started as '%s' could not be attached to within %d ms",
                             client->name, options->timeout_ms);
        }
        if (*objects)
            plat_namespace_wait(*objects, earlier(deadline_ns, plat_deadline_ns(LOOK_SLICE_MS)));
        else if (plat_namespace_watch_open(objects) < 0) /* and then a look, for what came before it */
            return lipc_fail(LIPC_E_SYSTEM, "cannot watch for the host's objects: %s", plat_os_error());
    }
}

static int attach(lipc_client *client, const lipc_client_options *options) {
    plat_namespace_watch *objects = NULL;
    int result = find_host(client, options, &objects);
    plat_namespace_watch_close(objects);
    return result;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

void lipc_client_options_init_sized(lipc_client_options *options, size_t options_size) {
    const lipc_client_options defaults = {.struct_size = (uint32_t)options_size, .timeout_ms = 10000};
    if (options) lipc_give(options, options_size, &defaults, sizeof defaults);
}

/* What the caller's structure holds of ours; the rest stays at its default. */
static int take_options(const lipc_client_options *given, lipc_client_options *options) {
    lipc_client_options_init(options);
    if (given) {
        size_t size = given->struct_size;
        if (size < sizeof given->struct_size)
            return lipc_fail(LIPC_E_INVALID, "struct_size is %zu: call lipc_client_options_init first", size);
        memcpy(options, given, size < sizeof *options ? size : sizeof *options);
    }
    if (!options->name) options->name = client_default_name();
    if (!names_is_instance(options->name))
        return lipc_fail(LIPC_E_INVALID, "the name '%.64s' is not valid: " NAMES_RULE, options->name);
    if (options->start < LIPC_START_NEVER || options->start > LIPC_START_DETACHED)
        return lipc_fail(LIPC_E_INVALID, "start is %d: expected 0 to %d", options->start, LIPC_START_DETACHED);
    if (options->wakes_per_second < 0)
        return lipc_fail(LIPC_E_INVALID, "wakes_per_second is %d: expected 0 or more", options->wakes_per_second);
    return LIPC_E_OK;
}

int lipc_client_open(const lipc_client_options *given, lipc_client **result) {
    lipc_client_options options;
    if (!result) return lipc_fail(LIPC_E_INVALID, "the place for the client is NULL");
    *result = NULL;
    started_hosts_reap();
    int error = take_options(given, &options);
    if (error < 0) return error;
    lipc_client *client = calloc(1, sizeof *client);
    if (!client) return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a client");
    snprintf(client->name, sizeof client->name, "%s", options.name);
    client->opener_pid = plat_process_own_pid();
    client->frame_ns = options.wakes_per_second > 0 ? 1000000000u / (uint64_t)options.wakes_per_second : 0;
    client->n_references = 1;
    pthread_mutex_init(&client->lock, NULL);
    pthread_mutex_init(&client->await_lock, NULL);
    error = attach(client, &options);
    if (error == LIPC_E_OK) {
        *result = client;
        return LIPC_E_OK;
    }
    /* Its end is waited for, so that whoever tries again at once does not find it. */
    if (client->started && started_host_is_with_me(client->started))
        dismiss_started(client, LOSER_MS);
    else
        started_host_close(client->started);
    pthread_mutex_destroy(&client->await_lock);
    pthread_mutex_destroy(&client->lock);
    free(client);
    return error;
}

/* ---- status -------------------------------------------------------------------------------------------------------- */

static void read_status(lipc_client *client, lipc_host_status *status) {
    status_read(&client->view, client->host_pid, status);
    /* Looked at last: what was read is this host's if it is still not lost. */
    if (client_is_lost(client)) status->state = LIPC_HOST_GONE;
}

int lipc_client_status_sized(lipc_client *client, lipc_host_status *status, size_t status_size) {
    lipc_host_status now;
    if (!client || !status) return lipc_fail(LIPC_E_INVALID, "the client or the place for its status is NULL");
    read_status(client, &now);
    lipc_give(status, status_size, &now, sizeof now);
    return LIPC_E_OK;
}

/* The last words of a host that ended before it was ready. */
static int fail_not_ready(lipc_client *client) {
    int exit_code = 0, result = LIPC_E_OK;
    pthread_mutex_lock(&client->lock);
    if (client->started && started_host_has_ended(client->started, &exit_code))
        result = fail_started(client, exit_code);
    pthread_mutex_unlock(&client->lock);
    return result < 0 ? result : client_fail_lost(client);
}

static void listen_to_started(lipc_client *client) {
    pthread_mutex_lock(&client->lock);
    if (client->started) started_host_listen(client->started);
    pthread_mutex_unlock(&client->lock);
}

int lipc_client_wait_ready(lipc_client *client, int timeout_ms, lipc_status_fn on_status, void *user_data) {
    lipc_host_status status, shown = {.state = 0};
    if (!client) return lipc_fail(LIPC_E_INVALID, "the client is NULL");
    client_wait wait = client_wait_begin(client, timeout_ms);
    for (;;) {
        uint32_t seen = client_wait_arm(&wait, PLAT_BELL_ALL);
        read_status(client, &status);
        listen_to_started(client);
        if (on_status && (status.state != shown.state || status.load_per_mille != shown.load_per_mille ||
                          status.download_bytes != shown.download_bytes)) {
            shown = status;
            if (on_status(user_data, &status) != 0)
                return lipc_fail(LIPC_E_CANCELLED, "cancelled by the callback while the host was loading");
        }
        if (status.state == LIPC_HOST_READY) return LIPC_E_OK;
        if (status.state == LIPC_HOST_GONE) return fail_not_ready(client);
        int result = client_wait_sleep(&wait, seen, PLAT_NEVER);
        if (result == LIPC_E_TIMEOUT)
            return lipc_fail(result, "the host of '%s', process %d, was not ready within %d ms: it has loaded %d %% of "
                             "its model", client->name, client->host_pid, timeout_ms, status.load_per_mille / 10);
        if (result < 0) return result;
    }
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

static void ask_to_end(lipc_client *client) {
    hub_request_shutdown(&client->view);
    client_ring_host(client);
}

int lipc_client_shutdown(lipc_client *client, int timeout_ms) {
    if (!client) return lipc_fail(LIPC_E_INVALID, "the client is NULL");
    if (client_is_lost(client))
        return lipc_fail(LIPC_E_NO_HOST, "the host of '%s', process %d, had ended already", client->name,
                         client->host_pid);
    client_wait wait = client_wait_begin(client, timeout_ms);
    ask_to_end(client);
    for (;;) {
        uint32_t seen = client_wait_arm(&wait, PLAT_BELL_ALL);
        if (client_is_lost(client)) return LIPC_E_OK;
        int result = client_wait_sleep(&wait, seen, PLAT_NEVER);
        if (result == LIPC_E_TIMEOUT)
            return lipc_fail(result, "the host of '%s', process %d, did not end within %d ms", client->name,
                             client->host_pid, timeout_ms);
        if (result < 0) return result;
    }
}

/* Ends a host that was to end with its client, and gives it a moment, so that usually nothing of it is left behind. */
static void end_started(lipc_client *client) {
    int exit_code;
    if (!client->started) return;
    if (started_host_is_with_me(client->started) && !started_host_has_ended(client->started, &exit_code)) {
        uint64_t deadline_ns = plat_deadline_ns(REAP_MS);
        started_host_stop(client->started);
        while (!__atomic_load_n(&client->is_host_dead, __ATOMIC_ACQUIRE) && plat_clock_ns() < deadline_ns) {
            uint32_t seen = plat_doorbell_arm(client_bell(client), PLAT_BELL_ALL);
            if (__atomic_load_n(&client->is_host_dead, __ATOMIC_ACQUIRE)) break;
            plat_doorbell_wait(client_bell(client), seen, deadline_ns);
        }
    }
    forget_started(client);
}

/* Leaves the record to the host, which frees it and ends our streams. */
static void leave(lipc_client *client) {
    pthread_mutex_lock(&client->lock);
    bool was_lost = client_is_lost(client);
    __atomic_store_n(&client->is_closed, true, __ATOMIC_RELEASE);
    queue_drop(client);
    /* Also if the host has died: its successor keeps the record for us. If it is somebody else's, nothing happens. */
    hub_client_leave(&client->view, client->index, client->claim);
    pthread_mutex_unlock(&client->lock);
    if (!was_lost) {
        plat_doorbell_ring(client_bell(client), PLAT_BELL_ALL); /* whoever still waits on a stream */
        if (client->started && started_host_is_with_me(client->started)) ask_to_end(client);
    }
    client_ring_host(client);
}

void lipc_client_close(lipc_client *client) {
    if (!client) return;
    if (client_is_own(client)) {
        leave(client);
        end_started(client);
        started_hosts_reap();
        plat_process_watch_close(client->watch);
        client->watch = NULL;
    }
    client_let_go(client);
}
