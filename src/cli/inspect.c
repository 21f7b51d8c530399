/* inspect.c - see inspect.h. */
#include "inspect.h"

#include "system.h"

#include "../channel/reservation.h"
#include "../channel/names.h"
#include "../client/status.h"
#include "../platform/platform.h"
#include "../text/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int fail(char message[INSPECT_MESSAGE_SIZE], int error, const char *format,
                                                        ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, INSPECT_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return error;
}

bool inspect_stray(const char *name, char sentence[INSPECT_MESSAGE_SIZE]) {
    char object[NAMES_OBJECT_SIZE];
    bool is_nameless;
    names_object(object, name, LIPC_SUFFIX_SEGMENT);
    int pid = plat_segment_stray_owner(object, &is_nameless);
    if (pid > 0 && is_nameless)
        snprintf(sentence, INSPECT_MESSAGE_SIZE, "process %d is a host of '%s' whose shared memory has lost its name: nobody "
                 "finds it any more; kill %d ends it", pid, name, pid);
    else if (pid > 0)
        snprintf(sentence, INSPECT_MESSAGE_SIZE, "process %d is a host of '%s' in another /dev/shm (a container or sandbox), "
                 "which cannot be used from here", pid, name);
    return pid > 0;
}

/* There is no host, and perhaps one that cannot be found. */
static int fail_no_host(char message[INSPECT_MESSAGE_SIZE], const char *name) {
    char sentence[INSPECT_MESSAGE_SIZE];
    bool has_stray = inspect_stray(name, sentence);
    return fail(message, LIPC_E_NO_HOST, "no host runs as '%s'%s%.400s", name, has_stray ? "; " : "",
                has_stray ? sentence : "");
}

static int fail_open(char message[INSPECT_MESSAGE_SIZE], int error, const char *name, const char *object) {
    char user[64];
    switch (error) {
    case PLAT_E_NOT_FOUND: return fail_no_host(message, name);
    case PLAT_E_FOREIGN_USER:
        plat_object_user(object, user, sizeof user);
        return fail(message, LIPC_E_ACCESS, "the host of '%s' belongs to another user, %s", name, user);
    case PLAT_E_NO_MEMORY: return fail(message, LIPC_E_NO_MEMORY, "not enough memory to look at '%s'", name);
    default: return fail(message, LIPC_E_SYSTEM, "cannot look at the shared memory of '%s': %s", name, plat_os_error());
    }
}

static int read_hub(inspection *inspection, const char *name, char message[INSPECT_MESSAGE_SIZE]) {
    char versions[64];
    if (plat_segment_size(inspection->segment) < LIPC_HUB_END)
        return fail(message, LIPC_E_LAYOUT, "the host of '%s' is an older one without the modern channel", name);
    hub_check check = hub_read(plat_segment_base(inspection->segment), plat_segment_size(inspection->segment), &inspection->view,
                               &inspection->identity);
    snprintf(versions, sizeof versions, "%u.%u of the channel, this program %d.%d", inspection->identity.major,
             inspection->identity.minor, LIPC_LAYOUT_MAJOR, LIPC_LAYOUT_MINOR);
    switch (check) {
    case HUB_OK: return LIPC_E_OK;
    case HUB_NOT_YET: return fail(message, LIPC_E_TIMEOUT, "the host of '%s' is just beginning", name);
    case HUB_OTHER_VERSION: return fail(message, LIPC_E_LAYOUT, "the host of '%s' speaks version %s", name, versions);
    case HUB_DAMAGED: break;
    }
    return fail(message, LIPC_E_LAYOUT, "the shared memory of '%s' is damaged: restart the host", name);
}

/* A host that lives writes its hub anew within a second, whatever somebody has written over it. */
#define MENDED_MS 2000
#define MENDED_SLICE_MS 20

/* *may_pass: a host that lives would mend it. */
static int open_once(inspection *inspection, const char *name, bool *may_pass, char message[INSPECT_MESSAGE_SIZE]) {
    char object[NAMES_OBJECT_SIZE];
    memset(inspection, 0, sizeof *inspection);
    message[0] = 0;
    names_object(object, name, LIPC_SUFFIX_SEGMENT);
    int error = plat_segment_look(object, &inspection->segment);
    if (error < 0) return fail_open(message, error, name, object);
    int owner = plat_segment_owner_pid(inspection->segment);
    *may_pass = owner > 0;
    if (owner == PLAT_PID_ELSEWHERE)
        return fail(message, LIPC_E_ACCESS, "the host of '%s' lives in another pid namespace (another container or sandbox): "
                    "look at it from there", name);
    error = read_hub(inspection, name, message);
    inspection->is_alive = error == LIPC_E_OK && inspect_is_alive(inspection);
    if (error == LIPC_E_TIMEOUT || inspection->is_alive) *may_pass = false;
    if (error == LIPC_E_OK && *may_pass)
        return fail(message, LIPC_E_NO_HOST, "no host runs as '%s': process %d holds the lock of its shared memory, but has "
                    "not begun as its host", name, owner);
    return error;
}

int inspect_open(inspection *inspection, const char *name, char message[INSPECT_MESSAGE_SIZE]) {
    uint64_t deadline_ns = plat_deadline_ns(MENDED_MS);
    for (;;) {
        bool may_pass = false;
        int error = open_once(inspection, name, &may_pass, message);
        if (error == LIPC_E_OK) return error;
        inspect_close(inspection);
        if (!may_pass || plat_clock_ns() >= deadline_ns) return error;
        plat_pause_ms(MENDED_SLICE_MS);
    }
}

void inspect_close(inspection *inspection) {
    plat_segment_close(inspection->segment);
    inspection->segment = NULL;
}

bool inspect_is_alive(const inspection *inspection) {
    return plat_segment_owner_pid(inspection->segment) == inspection->identity.host_pid && plat_segment_is_current(inspection->segment);
}

/* ---- the host ------------------------------------------------------------------------------------------------------ */

#define SHOWN(field) __atomic_load_n(&hub->field, __ATOMIC_RELAXED)

void inspect_host(const inspection *inspection, inspected_host *host) {
    const lipc_hub *hub = hub_of(&inspection->view);
    status_read(&inspection->view, inspection->identity.host_pid, &host->status);
    host->worker_pid = (int)SHOWN(worker_pid);
    host->n_recoveries = (int)SHOWN(n_recoveries);
    host->uptime_s = system_uptime_s(inspection->identity.host_start_time);
    /* Looked at last: what was read is this host's if it is still alive. */
    if (!inspect_is_alive(inspection)) host->status.state = LIPC_HOST_GONE;
}

/* ---- streams ------------------------------------------------------------------------------------------------------- */

static uint64_t span(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* When the last token came. A dead host's answers have no other end. */
static uint64_t last_token_ns(const inspection *inspection, const inspected_stream *stream, uint64_t started_ns) {
    if (stream->progress.n_tokens == 0) return started_ns;
    const lipc_token_record *record = stream_index(&inspection->view, stream->place) + stream->progress.n_tokens - 1;
    return started_ns + __atomic_load_n(&record->time_us, __ATOMIC_RELAXED) * UINT64_C(1000);
}

static void read_times(const inspection *inspection, const lipc_stream_header *header, inspected_stream *stream) {
    lipc_progress *progress = &stream->progress;
    uint64_t submitted_ns = __atomic_load_n(&header->submitted_ns, __ATOMIC_RELAXED);
    uint64_t started_ns = __atomic_load_n(&header->started_ns, __ATOMIC_RELAXED);
    uint64_t first_ns = __atomic_load_n(&header->first_token_ns, __ATOMIC_RELAXED);
    uint64_t ended_ns = __atomic_load_n(&header->ended_ns, __ATOMIC_RELAXED);
    uint64_t now_ns = inspection->is_alive ? plat_clock_ns() : last_token_ns(inspection, stream, started_ns);
    uint64_t end_ns = ended_ns ? ended_ns : now_ns;
    progress->queued_ns = span(submitted_ns, started_ns ? started_ns : end_ns);
    if (started_ns) progress->prompt_ns = span(started_ns, first_ns ? first_ns : end_ns);
    if (first_ns) progress->generate_ns = span(first_ns, end_ns);
}

static uint32_t owner_of(const inspection *inspection, uint64_t claim) {
    uint32_t owner = stream_claim_owner(claim);
    bool has_owner = stream_claim_phase(claim) != LIPC_CLAIM_DETACHED && owner < inspection->view.at.n_clients;
    return has_owner ? owner : LIPC_NO_OWNER;
}

static int pid_of(const inspection *inspection, uint32_t owner) {
    if (owner == LIPC_NO_OWNER) return 0;
    /* acquire: pairs with the client's CAS. */
    return (int)client_claim_pid(__atomic_load_n(&hub_client(&inspection->view, owner)->claim, __ATOMIC_ACQUIRE));
}

static void write_id(const lipc_stream_header *header, char text[LIPC_STREAM_ID_SIZE]) {
    for (size_t i = 0; i < STREAM_ID_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", header->id[i]);
}

/* Words of the host that are about the request of the generation that the status carries. */
static void read_words(const inspection *inspection, const lipc_stream_header *header, inspected_stream *stream) {
    stream->progress.queue_position = (int32_t)__atomic_load_n(&header->queue_position, __ATOMIC_RELAXED);
    stream->progress.n_prompt = (int32_t)__atomic_load_n(&header->n_prompt, __ATOMIC_RELAXED);
    stream->progress.n_prompt_done = (int32_t)__atomic_load_n(&header->n_prompt_done, __ATOMIC_RELAXED);
    stream->progress.seed = __atomic_load_n(&header->seed, __ATOMIC_RELAXED);
    stream->n_cached = __atomic_load_n(&header->n_cached, __ATOMIC_RELAXED);
    read_times(inspection, header, stream);
}

bool inspect_stream(const inspection *inspection, uint32_t place, inspected_stream *stream) {
    lipc_stream_header *header = hub_stream(&inspection->view, place);
    stream_reader reader;
    stream_snapshot snapshot;
    uint64_t claim = stream_claim_now(header);
    uint32_t owner = owner_of(inspection, claim);
    *stream = (inspected_stream){.place = place, .generation = stream_claim_generation(claim),
                            .phase = stream_claim_phase(claim), .owner_pid = pid_of(inspection, owner), .owner = owner};
    if (stream->phase != LIPC_CLAIM_SUBMITTED && stream->phase != LIPC_CLAIM_DETACHED &&
        stream->phase != LIPC_CLAIM_RELEASED)
        return false; /* free, or its request is still being written */
    stream_reader_begin(&reader, &inspection->view, place, stream->generation);
    stream_read_snapshot(&reader, &snapshot);
    stream->progress = (lipc_progress){
        .state = (int32_t)snapshot.state, .end = (int32_t)snapshot.end, .error = snapshot.error,
        .n_tokens = (int32_t)snapshot.n_tokens, .n_bytes = snapshot.n_bytes,
    };
    /* acquire: pairs with the release that shows the request as seen. */
    if (__atomic_load_n(&header->status, __ATOMIC_ACQUIRE) >> 32 == stream->generation) read_words(inspection, header, stream);
    write_id(header, stream->id);
    return stream_claim_generation(stream_claim_now(header)) == stream->generation;
}

/* ---- clients ------------------------------------------------------------------------------------------------------- */

/* Whether the process that wrote this start time into its record is there no longer. */
static bool has_ended(int pid, uint64_t start_time) {
    uint64_t now;
    int error = plat_process_start_time(pid, &now);
    return error == PLAT_E_NOT_FOUND || (error == PLAT_OK && start_time != 0 && now != start_time);
}

static void read_program(int pid, char text[INSPECT_PROGRAM_SIZE]) {
    char line[INSPECT_PROGRAM_SIZE];
    size_t n_bytes = plat_process_name(pid, line, sizeof line);
    /* The system cuts names anywhere. */
    text[utf8_repair(line, n_bytes, text, INSPECT_PROGRAM_SIZE - 1)] = 0;
}

bool inspect_client(const inspection *inspection, uint32_t index, inspected_client *client) {
    lipc_client_record *record = hub_client(&inspection->view, index);
    /* acquire: pairs with the client's CAS. */
    uint64_t claim = __atomic_load_n(&record->claim, __ATOMIC_ACQUIRE);
    uint64_t reservation = __atomic_load_n(&record->reservation, __ATOMIC_RELAXED);
    uint32_t phase = client_claim_phase(claim);
    *client = (inspected_client){.pid = (int)client_claim_pid(claim), .is_waiting = reservation_phase(reservation) == LIPC_RESERVATION_WAITING};
    if (phase == LIPC_CLIENT_FREE || client->pid <= 0) return false;
    client->n_ahead = __atomic_load_n(&record->queue_position, __ATOMIC_RELAXED);
    /* Until it is attached, the start time may be that of the record's holder before. */
    uint64_t start_time = phase == LIPC_CLIENT_ATTACHING ? 0 : __atomic_load_n(&record->start_time, __ATOMIC_RELAXED);
    client->has_ended = has_ended(client->pid, start_time);
    if (client->has_ended)
        snprintf(client->program, sizeof client->program, "(ended)");
    else
        read_program(client->pid, client->program);
    return true;
}

int inspect_classic(const inspection *inspection) {
    const lipc_classic_block *block = plat_segment_base(inspection->segment);
    int32_t n_tokens;
    memcpy(&n_tokens, &block->tokens_generated, sizeof n_tokens); /* at an odd place */
    return n_tokens;
}

double inspect_speed(const lipc_progress *progress) {
    if (progress->n_tokens < 2 || progress->generate_ns == 0) return 0;
    /* The first token is the span's beginning. */
    return (progress->n_tokens - 1) * 1e9 / (double)progress->generate_ns;
}
