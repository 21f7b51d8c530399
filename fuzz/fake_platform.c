/* fake_platform.c - see fake_platform.h. */
#include "fake_platform.h"

#include "fuzz.h"

#include "platform/linux/internal.h"

#include <string.h>

enum { N_CLIENTS = 6, N_STREAMS = 4, REQUEST_SIZE = 512, LOG_SIZE = 512, INDEX_LENGTH = 64,
       PARTS_SIZE = 256, PARTS_LENGTH = 16 };

fake_segment fake_object;

struct plat_process_watch {
    void (*on_death)(void *user_data, uint32_t tag);
    void *user_data;
    bool is_watched[LIPC_CLIENTS_MAX];
};

static plat_process_watch *last_watch;

void fake_geometry(hub_geometry *geometry) {
    hub_geometry g = {.client_size = sizeof(lipc_client_record), .n_clients = N_CLIENTS, .n_streams = N_STREAMS,
                      .request_size = REQUEST_SIZE, .log_size = LOG_SIZE, .index_length = INDEX_LENGTH,
                      .parts_size = PARTS_SIZE, .parts_length = PARTS_LENGTH};
    g.clients_offset = LIPC_HUB_END;
    g.streams_offset = g.clients_offset + (uint64_t)g.client_size * g.n_clients;
    g.request_offset = sizeof(lipc_stream_header);
    g.log_offset = g.request_offset + g.request_size;
    g.index_offset = g.log_offset + g.log_size;
    g.parts_offset = g.index_offset + g.index_length * sizeof(lipc_token_record);
    g.parts_index_offset = g.parts_offset + g.parts_size;
    g.stream_size = g.parts_index_offset + g.parts_length * sizeof(lipc_part_record);
    g.segment_size = g.streams_offset + g.stream_size * g.n_streams;
    *geometry = g;
}

char *fake_memory(size_t size) {
    char *memory = aligned_alloc(64, size);
    MUST(memory && size % 64 == 0);
    return memset(memory, 0, size);
}

/* ---- segments ------------------------------------------------------------------------------------------------------ */

int plat_segment_open(const char *name, size_t size_bytes, plat_segment **segment) {
    (void)name, (void)size_bytes;
    *segment = (plat_segment *)&fake_object;
    return PLAT_OK;
}

void *plat_segment_base(const plat_segment *segment) {
    return ((const fake_segment *)segment)->base;
}

size_t plat_segment_size(const plat_segment *segment) {
    return ((const fake_segment *)segment)->size;
}

int plat_segment_owner_pid(const plat_segment *segment) {
    return ((const fake_segment *)segment)->owner_pid;
}

bool plat_segment_is_current(const plat_segment *segment) {
    return !segment || !((const fake_segment *)segment)->is_replaced;
}

int plat_segment_is_used_by(const plat_segment *segment, int pid) {
    (void)segment, (void)pid;
    return PLAT_OK;
}

void plat_segment_close(plat_segment *segment) {
    (void)segment;
}

void plat_object_user(const char *name, char *user, size_t size_bytes) {
    (void)name, (void)size_bytes;
    user[0] = 0;
}

int plat_namespace_watch_open(plat_namespace_watch **watch) {
    *watch = (plat_namespace_watch *)&fake_object;
    return PLAT_OK;
}

int plat_namespace_wait(plat_namespace_watch *watch, uint64_t deadline_ns) {
    (void)watch, (void)deadline_ns;
    return PLAT_E_TIMEOUT;
}

void plat_namespace_watch_close(plat_namespace_watch *watch) {
    (void)watch;
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

static uint64_t clock_ns = 1;

uint64_t plat_clock_ns(void) {
    return clock_ns += 100;
}

void fake_pass(uint64_t ns) {
    clock_ns += ns;
}

uint64_t plat_deadline_ns(int timeout_ms) {
    return timeout_ms < 0 ? PLAT_NEVER : plat_clock_ns() + (uint64_t)timeout_ms * 1000000u;
}

uint64_t plat_thread_ns(void) {
    return plat_clock_ns();
}

void plat_pause_ms(int ms) {
    fake_pass((uint64_t)ms * 1000000u);
}

/* For the doorbells: whoever wants to sleep until then has slept. */
struct timespec plat_timespec(uint64_t ns) {
    (void)ns;
    return (struct timespec){0};
}

/* ---- processes ----------------------------------------------------------------------------------------------------- */

const char *plat_os_error(void) {
    return "";
}

int plat_process_own_pid(void) {
    return 1;
}

int plat_process_start_time(int pid, uint64_t *start_time) {
    *start_time = FAKE_START_TIME;
    return pid >= 1 && pid <= FAKE_PIDS ? PLAT_OK : PLAT_E_NOT_FOUND;
}

int plat_process_watch_open(void (*on_death)(void *user_data, uint32_t tag), void *user_data, plat_process_watch **watch) {
    *watch = calloc(1, sizeof **watch);
    MUST(*watch);
    (*watch)->on_death = on_death;
    (*watch)->user_data = user_data;
    last_watch = *watch;
    return PLAT_OK;
}

int plat_process_watch_add(plat_process_watch *watch, int pid, uint64_t start_time, uint32_t tag) {
    MUST(tag < LIPC_CLIENTS_MAX && !watch->is_watched[tag]);
    if (pid < 1 || pid > FAKE_PIDS || (start_time && start_time != FAKE_START_TIME)) return PLAT_E_NOT_FOUND;
    if (pid == FAKE_PIDS) return PLAT_E_SYSTEM;
    watch->is_watched[tag] = true;
    return PLAT_OK;
}

void plat_process_watch_remove(plat_process_watch *watch, uint32_t tag) {
    watch->is_watched[tag] = false;
}

void plat_process_watch_close(plat_process_watch *watch) {
    if (watch == last_watch) last_watch = NULL;
    free(watch);
}

void fake_death(uint32_t tag) {
    if (!last_watch || !last_watch->is_watched[tag % LIPC_CLIENTS_MAX]) return;
    last_watch->on_death(last_watch->user_data, tag % LIPC_CLIENTS_MAX);
}

int plat_fail(int error) {
    return error;
}

int plat_fail_errno(void) {
    return PLAT_E_NOT_FOUND;
}

void plat_death_words(int death, char *words, size_t size_bytes) {
    snprintf(words, size_bytes, "died of %d", death);
}

int plat_core_count(void) {
    return 1;
}

int plat_load_look(plat_load *load) {
    *load = (plat_load){0};
    return PLAT_E_SYSTEM;
}

uint64_t plat_memory_available_bytes(void) {
    return 0;
}

int plat_path_absolute(const char *path, char *absolute, size_t size_bytes) {
    MUST(strlen(path) < size_bytes);
    memcpy(absolute, path, strlen(path) + 1);
    return PLAT_OK;
}

int plat_path_follow(const char *path, char *target, size_t size_bytes) {
    (void)path, (void)target, (void)size_bytes;
    return PLAT_E_NOT_FOUND;
}

void plat_random(void *bytes, size_t size_bytes) {
    static uint64_t state = 1;
    for (size_t i = 0; i < size_bytes; i++) ((uint8_t *)bytes)[i] = (uint8_t)((state = state * 25214903917 + 11) >> 24);
}

/* ---- the input ----------------------------------------------------------------------------------------------------- */

uint32_t fake_take(fake_input *input, uint32_t n_bytes) {
    uint32_t number = 0;
    for (uint32_t i = 0; i < n_bytes && input->at < input->end; i++) number |= (uint32_t)*input->at++ << (8 * i);
    return number;
}

size_t fake_scribble(fake_input *input, char *base, size_t from, size_t to, size_t *n_bytes) {
    uint32_t how = fake_take(input, 1);
    size_t at = from + fake_take(input, 2) % (to - from), n = how < 0xF0 ? how % 32 + 1 : fake_take(input, 2);
    if (n > to - at) n = to - at;
    if (how >= 0xF0) memset(base + at, (int)fake_take(input, 1), n);
    for (size_t i = 0; how < 0xF0 && i < n; i++) base[at + i] = (char)fake_take(input, 1);
    *n_bytes = n;
    return at;
}
