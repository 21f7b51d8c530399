/* doctor_instances.c - what lies in /dev/shm: the instance that was asked about, and what dead hosts of others left.
 *
 * Nothing is taken away unless the segment's lock is held, as a host holds it: then there is no live host, and none can
 * come. What a program still uses, and answers that the next host would go on with, stay also then.
 */
#include "doctor.h"

#include "host.h"
#include "inspect.h"
#include "format.h"

#include "../channel/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SEMAPHORES = 4 };
static const char *const suffixes[N_SEMAPHORES] = {LIPC_SUFFIX_READY, LIPC_SUFFIX_PROMPTS_WRITTEN,
                                                   LIPC_SUFFIX_RESPONSE_WRITTEN, LIPC_SUFFIX_CHUNK_READY};

/* A host frees the record of a client that ended within milliseconds. */
#define FREED_MS 500
#define KILLED_MS 5000
/* A worker dies with its host, but its memory takes a while to give back. */
#define DYING_MS 500
/* A host that lives writes its hub anew within a second, whatever somebody has written over it. */
#define MENDED_MS 2000
#define MENDED_SLICE_MS 20

/* ---- which instances there are ------------------------------------------------------------------------------------- */

typedef struct instance_list {
    struct instance_entry {
        char name[LIPC_NAME_MAX + 1];
        bool has_segment;
        int n_semaphores;
    } *entries;
    size_t n_entries, n_allocated;
} instance_list;

static struct instance_entry *entry_of(instance_list *list, const char *name) {
    for (size_t i = 0; i < list->n_entries; i++)
        if (strcmp(list->entries[i].name, name) == 0) return &list->entries[i];
    if (list->n_entries == list->n_allocated) {
        size_t n_more = list->n_allocated ? 2 * list->n_allocated : 16;
        struct instance_entry *more = realloc(list->entries, n_more * sizeof *more);
        if (!more) return NULL;
        list->entries = more;
        list->n_allocated = n_more;
    }
    struct instance_entry *entry = &list->entries[list->n_entries++];
    *entry = (struct instance_entry){.n_semaphores = 0};
    snprintf(entry->name, sizeof entry->name, "%s", name);
    return entry;
}

/* Whether an object's name is that of an instance's with this suffix; the instance goes to `name`. */
static bool is_of_instance(const char *object, const char *suffix, char name[LIPC_NAME_MAX + 1]) {
    size_t length = strlen(object), n_suffix = strlen(suffix);
    if (length <= n_suffix + 1 || length - n_suffix - 1 > LIPC_NAME_MAX) return false;
    if (strcmp(object + length - n_suffix, suffix) != 0) return false;
    snprintf(name, LIPC_NAME_MAX + 1, "%.*s", (int)(length - n_suffix - 1), object + 1);
    return names_is_instance(name);
}

static void on_object(void *user_data, const char *object, bool is_semaphore) {
    char name[LIPC_NAME_MAX + 1];
    struct instance_entry *entry;
    if (!is_semaphore) {
        if (is_of_instance(object, LIPC_SUFFIX_SEGMENT, name) && (entry = entry_of(user_data, name)))
            entry->has_segment = true;
        return;
    }
    for (int i = 0; i < N_SEMAPHORES; i++)
        if (is_of_instance(object, suffixes[i], name) && (entry = entry_of(user_data, name))) entry->n_semaphores++;
}

/* ---- one instance -------------------------------------------------------------------------------------------------- */

typedef struct examination {
    doctor *doctor;
    const char *name;
    char option[LIPC_NAME_MAX + 16]; /* " --name X", as one would type it; "" for the default */
    bool is_named;                   /* the one that was asked about */
    char segment[NAMES_OBJECT_SIZE];
    plat_segment *found;             /* looked at; NULL: there is none */
    inspection inspection;                       /* into it, if `check` is HUB_OK */
    hub_check check;
    int first;                       /* the findings from here on are about it */
} examination;

static doctor_finding *wrong(examination *on, doctor_fault fault, bool is_mendable, const char *text) {
    doctor_finding *finding = doctor_wrong(on->doctor, fault, on->is_named ? "host" : "leftover", "%s", text);
    finding->is_mendable = is_mendable;
    snprintf(finding->instance, sizeof finding->instance, "%s", on->name);
    return finding;
}

/* Who uses one of the semaphores, of this user's processes; 0: nobody. Those of the classic channel sleep on them, and
 * would not find others of the same name. */
static int semaphore_user(const examination *on) {
    char object[NAMES_OBJECT_SIZE];
    int pid = 0;
    for (int i = 0; i < N_SEMAPHORES && pid == 0; i++) {
        names_object(object, on->name, suffixes[i]);
        pid = plat_object_user_pid(object, true);
    }
    return pid;
}

/* Who belongs to somebody else, and whether all are there and whole. */
typedef struct semaphore_snapshot {
    int n_foreign, n_missing, n_damaged;
} semaphore_snapshot;

static semaphore_snapshot look_at_semaphores(const examination *on) {
    char object[NAMES_OBJECT_SIZE];
    semaphore_snapshot snapshot = {0, 0, 0};
    for (int i = 0; i < N_SEMAPHORES; i++) {
        plat_semaphore *semaphore;
        names_object(object, on->name, suffixes[i]);
        int error = plat_semaphore_open(object, &semaphore);
        snapshot.n_foreign += error == PLAT_E_FOREIGN_USER;
        snapshot.n_missing += error == PLAT_E_NOT_FOUND;
        snapshot.n_damaged += error == PLAT_E_UNEXPECTED;
        if (error == PLAT_OK) plat_semaphore_close(semaphore);
    }
    return snapshot;
}

static void report_foreign(examination *on, const char *object) {
    char user[64], text[256];
    plat_object_user(object, user, sizeof user);
    snprintf(text, sizeof text, "%s of '%s' belongs to another user, %s", object, on->name, user);
    doctor_advise(wrong(on, DOCTOR_WRONG_OWNER, false, text),
                  "use another name (--name, LIPC_NAME); if nobody needs it, %s or root removes it from /dev/shm", user);
}

static void report_foreign_semaphores(examination *on) {
    char object[NAMES_OBJECT_SIZE];
    for (int i = 0; i < N_SEMAPHORES; i++) {
        plat_semaphore *semaphore;
        names_object(object, on->name, suffixes[i]);
        int error = plat_semaphore_open(object, &semaphore);
        if (error == PLAT_E_FOREIGN_USER) report_foreign(on, object);
        if (error == PLAT_OK) plat_semaphore_close(semaphore);
    }
}

static int count_dead_clients(const inspection *inspection) {
    inspected_client client;
    int n = 0;
    for (uint32_t i = 0; i < inspection->view.at.n_clients; i++) n += inspect_client(inspection, i, &client) && client.has_ended;
    return n;
}

/* Answers that were let go of: the next host goes on with them, and whoever knows their ids can read them. */
static int count_detached(const hub_view *view) {
    int n = 0;
    for (uint32_t i = 0; i < view->at.n_streams; i++)
        n += stream_claim_phase(stream_claim_now(hub_stream(view, i))) == LIPC_CLAIM_DETACHED;
    return n;
}

static void look_into(examination *on) {
    on->check = HUB_DAMAGED;
    if (plat_segment_size(on->found) < LIPC_HUB_END) return;
    on->inspection.segment = on->found;
    on->check = hub_read(plat_segment_base(on->found), plat_segment_size(on->found), &on->inspection.view, &on->inspection.identity);
    on->inspection.is_alive = inspect_is_alive(&on->inspection);
}

/* A host of this name that the name does not lead to. */
static void examine_stray(examination *on) {
    char sentence[INSPECT_MESSAGE_SIZE];
    if (!inspect_stray(on->name, sentence)) return;
    doctor_advise(wrong(on, DOCTOR_STRAY, false, sentence),
                  "it serves only the clients that it has; whoever comes here finds another host, or none");
}

/* ---- with a live host ---------------------------------------------------------------------------------------------- */

/* Whether the hub is that of the lock's holder. */
static bool is_holders(const examination *on, int pid) {
    return on->check == HUB_NOT_YET || (on->check == HUB_OK && on->inspection.identity.host_pid == pid);
}

static void report_foreign_lock(examination *on, int pid) {
    char text[320];
    snprintf(text, sizeof text, "process %d holds the lock of '%s', but has not begun as its host; the host before it is "
                                "dead", pid, on->name);
    doctor_advise(wrong(on, DOCTOR_FOREIGN_LOCK, false, text),
                  "find out what it is (ps %d); when it ends, start chatbot%s, which takes the shared memory over", pid,
                  on->option);
}

static void examine_live_hub(examination *on, int pid) {
    char text[320];
    for (int waited_ms = 0; !is_holders(on, pid) && waited_ms < MENDED_MS; waited_ms += MENDED_SLICE_MS) {
        plat_pause_ms(MENDED_SLICE_MS);
        look_into(on);
    }
    if (on->check == HUB_OK && !is_holders(on, pid)) {
        report_foreign_lock(on, pid);
        return;
    }
    switch (on->check) {
    case HUB_OK: break;
    case HUB_NOT_YET: break;
    case HUB_OTHER_VERSION:
        snprintf(text, sizeof text, "'%s', process %d, speaks version %u.%u of the channel, this program %d.%d", on->name,
                 pid, on->inspection.identity.major, on->inspection.identity.minor, LIPC_LAYOUT_MAJOR, LIPC_LAYOUT_MINOR);
        doctor_advise(wrong(on, DOCTOR_OTHER_VERSION, false, text),
                      "use programs of one release: end that host (kill %d) and start the one beside llamaipc", pid);
        return;
    case HUB_DAMAGED:
        snprintf(text, sizeof text, "the shared memory of '%s', process %d, is not, or no longer, as a host of this "
                                    "release lays it out", on->name, pid);
        doctor_advise(wrong(on, DOCTOR_DAMAGED, false, text), "end that host (kill %d) and start it again", pid);
        return;
    }
    if (on->check != HUB_OK) return;
    for (int waited_ms = 0; count_dead_clients(&on->inspection) > 0 && waited_ms < FREED_MS; waited_ms += 20) plat_pause_ms(20);
    int n_dead = count_dead_clients(&on->inspection);
    if (n_dead == 0) return;
    snprintf(text, sizeof text, "'%s' keeps the records of %d client process%s that ended", on->name, n_dead,
             n_dead == 1 ? "" : "es");
    doctor_advise(wrong(on, DOCTOR_DEAD_CLIENTS, false, text),
                  "it should have freed them: is it stopped, or very busy? llamaipc stop%s ends it", on->option);
}

/* The host, or its worker; 0: neither. */
static int stopped_process(const examination *on, int pid) {
    int worker = plat_segment_worker_pid(on->found);
    return plat_process_is_stopped(pid) ? pid : worker > 0 && plat_process_is_stopped(worker) ? worker : 0;
}

static bool is_asleep(const examination *on) {
    inspected_host host;
    inspect_host(&on->inspection, &host);
    return host.status.is_asleep != 0;
}

static void examine_live(examination *on, int pid) {
    char text[320];
    int n_before = on->doctor->n_findings, stopped = stopped_process(on, pid);
    if (stopped > 0) {
        snprintf(text, sizeof text, "'%s', process %d, has been stopped, perhaps with Ctrl-Z", on->name, stopped);
        doctor_advise(wrong(on, DOCTOR_STOPPED, false, text), "let it go on with fg in its shell, or kill -CONT %d",
                      stopped);
        return;
    }
    examine_live_hub(on, pid);
    semaphore_snapshot snapshot = look_at_semaphores(on);
    bool has_begun = on->check != HUB_NOT_YET; /* it makes them before */
    if (snapshot.n_foreign > 0) report_foreign_semaphores(on);
    if (has_begun && snapshot.n_missing + snapshot.n_damaged > 0) {
        snprintf(text, sizeof text, "of '%s', process %d, %d of the %d semaphores are gone or damaged: clients of the "
                                    "classic channel cannot connect", on->name, pid, snapshot.n_missing + snapshot.n_damaged,
                 N_SEMAPHORES);
        doctor_advise(wrong(on, DOCTOR_NO_SEMAPHORES, false, text), "start it again: llamaipc stop%s, then chatbot%s",
                      on->option, on->option);
    }
    if (n_before == on->doctor->n_findings && on->is_named)
        doctor_good(on->doctor, "host", "'%s', process %d, is %s", on->name, pid,
                    on->check != HUB_OK ? "just beginning" : is_asleep(on) ? "in order, and asleep until the next request" : "in order");
}

/* ---- with a dead one ----------------------------------------------------------------------------------------------- */

static const char *kind_of(hub_check check) {
    switch (check) {
    case HUB_OTHER_VERSION: return ", laid out by another version of the channel,";
    case HUB_DAMAGED: return ", which is damaged,";
    case HUB_NOT_YET: return ", never completed,";
    default: return "";
    }
}

static doctor_fault fault_of(hub_check check) {
    return check == HUB_OTHER_VERSION ? DOCTOR_OTHER_VERSION
           : check == HUB_DAMAGED     ? DOCTOR_DAMAGED
                                      : DOCTOR_STALE_OBJECTS;
}

static void examine_dead(examination *on) {
    char text[320], size[FORMAT_SIZE];
    for (int waited_ms = 0; plat_segment_worker_pid(on->found) > 0 && waited_ms < DYING_MS; waited_ms += 5) plat_pause_ms(5);
    int worker = plat_segment_worker_pid(on->found), user = semaphore_user(on);
    int n_dead = on->check == HUB_OK ? count_dead_clients(&on->inspection) : 0;
    int n_detached = on->check == HUB_OK ? count_detached(&on->inspection.view) : 0;
    bool is_mendable = user == 0 && n_detached == 0;
    format_amount(plat_segment_size(on->found), size);
    if (worker > 0) {
        snprintf(text, sizeof text, "the host of '%s' is dead, its worker, process %d, is not", on->name, worker);
        doctor_advise(wrong(on, DOCTOR_DEAD_WORKER, true, text), "kill -9 %d; it may wait for a device", worker);
    }
    snprintf(text, sizeof text, "the host of '%s' was killed; its shared memory%s of %sB is still there", on->name,
             kind_of(on->check), size);
    doctor_finding *stale = wrong(on, fault_of(on->check), is_mendable, text);
    if (n_detached > 0)
        doctor_advise(stale, "it holds %d answer%s that the next host goes on with: start chatbot%s. To give them up: rm "
                             "/dev/shm%s", n_detached, n_detached == 1 ? "" : "s", on->option, on->segment);
    else if (user > 0)
        doctor_advise(stale, "process %d still waits for a host there: start chatbot%s, which takes it over, or end that "
                             "process", user, on->option);
    else
        doctor_advise(stale, "llamaipc doctor --fix removes it; the next chatbot%s would take it over", on->option);
    if (n_dead == 0) return;
    snprintf(text, sizeof text, "%d client process%s of '%s' ended while no host was there to see it", n_dead,
             n_dead == 1 ? "" : "es", on->name);
    doctor_advise(wrong(on, DOCTOR_DEAD_CLIENTS, is_mendable, text), "the same as above");
}

/* Semaphores without a segment. */
static void examine_orphans(examination *on) {
    char text[320];
    semaphore_snapshot snapshot = look_at_semaphores(on);
    int n_left = N_SEMAPHORES - snapshot.n_missing - snapshot.n_foreign, user = semaphore_user(on);
    if (snapshot.n_foreign > 0 && on->is_named) report_foreign_semaphores(on);
    if (n_left == 0) return;
    snprintf(text, sizeof text, "%d semaphore%s of '%s' without its shared memory", n_left, n_left == 1 ? "" : "s",
             on->name);
    doctor_finding *stale = wrong(on, DOCTOR_STALE_OBJECTS, user == 0, text);
    if (user > 0)
        doctor_advise(stale, "process %d still uses them; a host whose shared memory was removed must be started again",
                      user);
    else
        doctor_advise(stale, "llamaipc doctor --fix removes them");
}

/* ---- mending ------------------------------------------------------------------------------------------------------- */

static bool end_worker(examination *on) {
    uint64_t start_time;
    plat_segment *segment;
    if (plat_segment_look(on->segment, &segment) < 0) return true;
    int pid = plat_segment_worker_pid(segment);
    bool is_ours = pid > 0 && plat_process_start_time(pid, &start_time) == PLAT_OK &&
                   plat_segment_owner_pid(segment) == 0 && plat_segment_worker_pid(segment) == pid;
    if (is_ours) plat_process_kill(pid, start_time);
    for (int waited_ms = 0; plat_segment_worker_pid(segment) > 0 && waited_ms < KILLED_MS; waited_ms += 5) plat_pause_ms(5);
    bool is_gone = plat_segment_worker_pid(segment) == 0;
    plat_segment_close(segment);
    return is_gone;
}

static bool has_fault(const examination *on, doctor_fault fault) {
    for (int i = on->first; i < on->doctor->n_findings; i++)
        if (on->doctor->findings[i].fault == fault) return true;
    return false;
}

/* Becomes the owner of what is there, or of a new segment (*is_new): as long as this lasts, there is no host. NULL, and
 * why, if it could not. */
static plat_segment *own(const examination *on, bool *is_new, char why[INSPECT_MESSAGE_SIZE]) {
    plat_segment *segment;
    bool was_there = true;
    int pid = 0, error = plat_segment_take(on->segment, &segment, &pid);
    if (error == PLAT_E_NOT_FOUND)
        error = plat_segment_own(on->segment, LIPC_CLASSIC_REGION_SIZE, &segment, &was_there, &pid);
    *is_new = error == PLAT_OK && !was_there;
    if (error == PLAT_OK) return segment;
    if (error == PLAT_E_OWNED) snprintf(why, INSPECT_MESSAGE_SIZE, "process %d owns it now", pid);
    else snprintf(why, INSPECT_MESSAGE_SIZE, "%s", plat_os_error());
    return NULL;
}

/* With the lock held: whether everything is still as it was when it was found to be of no use to anybody. */
static bool may_go(const examination *on, plat_segment *segment, char why[INSPECT_MESSAGE_SIZE]) {
    hub_view view;
    hub_identity identity;
    int user = semaphore_user(on);
    bool is_whole = plat_segment_size(segment) >= LIPC_HUB_END &&
                    hub_read(plat_segment_base(segment), plat_segment_size(segment), &view, &identity) == HUB_OK;
    int n_detached = is_whole ? count_detached(&view) : 0;
    snprintf(why, INSPECT_MESSAGE_SIZE, "%s", user > 0 ? "a process uses it now" : "it holds answers now");
    return user == 0 && n_detached == 0;
}

static bool remove_all(const examination *on, plat_segment *segment, char why[INSPECT_MESSAGE_SIZE]) {
    char object[NAMES_OBJECT_SIZE];
    bool is_removed = true;
    for (int i = 0; i < N_SEMAPHORES; i++) {
        names_object(object, on->name, suffixes[i]);
        int error = plat_object_discard(object, true);
        if (error == PLAT_OK || error == PLAT_E_NOT_FOUND || error == PLAT_E_FOREIGN_USER) continue;
        snprintf(why, INSPECT_MESSAGE_SIZE, "%s", plat_os_error());
        is_removed = false;
    }
    plat_segment_remove(segment); /* last: while it is there, and ours, nobody makes new ones */
    return is_removed;
}

static void fix(examination *on) {
    char why[INSPECT_MESSAGE_SIZE] = "";
    bool is_mendable = false, is_new = false;
    for (int i = on->first; i < on->doctor->n_findings; i++) is_mendable |= on->doctor->findings[i].is_mendable;
    if (!is_mendable) return;
    bool is_worker_gone = !has_fault(on, DOCTOR_DEAD_WORKER) || end_worker(on);
    plat_segment *segment = is_worker_gone ? own(on, &is_new, why) : NULL;
    bool is_fixed = segment && may_go(on, segment, why) && remove_all(on, segment, why);
    if (is_new) plat_segment_remove(segment); /* whatever stays: this was only to keep hosts away */
    plat_segment_close(segment);
    for (int i = on->first; i < on->doctor->n_findings; i++) {
        doctor_finding *finding = &on->doctor->findings[i];
        if (!finding->is_mendable) continue;
        finding->is_fixed = finding->fault == DOCTOR_DEAD_WORKER ? is_worker_gone : is_fixed;
        if (!finding->is_fixed)
            doctor_advise(finding, "it was not fixed: %s", is_worker_gone ? why : "the worker does not go away");
    }
}

/* ---- examining ----------------------------------------------------------------------------------------------------- */

/* Whether what lies under another name is our business: a hub of ours, whoever made it. */
static bool is_ours(const examination *on) {
    const lipc_hub *hub = plat_segment_size(on->found) < LIPC_HUB_END
                              ? NULL
                              : (const lipc_hub *)((const char *)plat_segment_base(on->found) + LIPC_HUB_OFFSET);
    return hub && __atomic_load_n(&hub->magic, __ATOMIC_RELAXED) == LIPC_HUB_MAGIC;
}

static void report_unusable(examination *on, int error) {
    char text[320];
    if (!on->is_named) return;
    if (error == PLAT_E_FOREIGN_USER) {
        report_foreign(on, on->segment);
        return;
    }
    snprintf(text, sizeof text, "/dev/shm%s is something else: %s", on->segment, plat_os_error());
    doctor_advise(wrong(on, DOCTOR_DAMAGED, false, text), "use another --name, or remove it if nobody needs it");
}

static void report_elsewhere(examination *on) {
    char text[320];
    snprintf(text, sizeof text, "the host of '%s' runs in another pid namespace (another container or sandbox): clients of "
                                "the modern channel cannot use it from here", on->name);
    doctor_advise(wrong(on, DOCTOR_ELSEWHERE, false, text),
                  "run llamaipc where that host runs, or start one here under another --name");
}

static void examine_segment(examination *on) {
    look_into(on);
    int owner = plat_segment_owner_pid(on->found);
    if (!on->is_named && !is_ours(on)) return;
    if (owner == PLAT_PID_ELSEWHERE) {
        if (on->is_named) report_elsewhere(on);
        return;
    }
    if (owner > 0) {
        if (on->is_named) examine_live(on, owner);
        return;
    }
    /* Programs of the guide own their objects without our lock. */
    if (!is_ours(on) && plat_object_user_pid(on->segment, false) > 0) {
        doctor_good(on->doctor, "host", "'%s' is used by process %d, a program that is no host of ours", on->name,
                    plat_object_user_pid(on->segment, false));
        return;
    }
    examine_dead(on);
}

static void examine(doctor *doctor, const struct instance_entry *entry) {
    examination on = {.doctor = doctor, .name = entry->name, .first = doctor->n_findings};
    on.is_named = strcmp(entry->name, doctor->options->name) == 0;
    names_object(on.segment, entry->name, LIPC_SUFFIX_SEGMENT);
    if (strcmp(entry->name, LIPC_DEFAULT_NAME) != 0) snprintf(on.option, sizeof on.option, " --name %s", entry->name);
    int error = plat_segment_look(on.segment, &on.found);
    if (error == PLAT_OK) examine_segment(&on);
    else if (error != PLAT_E_NOT_FOUND) report_unusable(&on, error);
    /* One semaphore of such a name may be anybody's. */
    else if (on.is_named ? entry->n_semaphores > 0 : entry->n_semaphores > 1) examine_orphans(&on);
    if (on.is_named) examine_stray(&on);
    /* Before mending: a process gives its locks on a file up with any descriptor of it. */
    plat_segment_close(on.found);
    if (doctor->options->fix) fix(&on);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct instance_entry *)a)->name, ((const struct instance_entry *)b)->name);
}

void doctor_check_instances(doctor *doctor) {
    instance_list list = {NULL, 0, 0};
    int n_before = doctor->n_findings;
    plat_objects_visit(on_object, &list);
    entry_of(&list, doctor->options->name);
    if (list.n_entries > 1) qsort(list.entries, list.n_entries, sizeof *list.entries, by_name);
    for (size_t i = 0; i < list.n_entries; i++) examine(doctor, &list.entries[i]);
    free(list.entries);
    if (n_before == doctor->n_findings)
        doctor_good(doctor, "host", "none runs as '%s', and no dead one left anything; ask and chat start one",
                    doctor->options->name);
}
