/* hub.c - see hub.h. */
#include "hub.h"

#include "../platform/failpoint.h"

#include <stdio.h>
#include <string.h>

#define PAGE 4096u

static uint64_t round_up(uint64_t size, uint64_t unit) {
    return (size + unit - 1) / unit * unit;
}

void hub_plan(hub_geometry *geometry, uint32_t n_streams, uint32_t request_size, uint32_t log_size) {
    hub_geometry g = {.client_size = sizeof(lipc_client_record), .n_clients = LIPC_CLIENTS_MAX, .n_streams = n_streams};
    g.request_size = (uint32_t)round_up(request_size, PAGE);
    g.log_size = (uint32_t)round_up(log_size, PAGE);
    g.index_length = g.log_size / HUB_BYTES_PER_TOKEN;
    g.clients_offset = LIPC_HUB_END;
    g.streams_offset = round_up(g.clients_offset + (uint64_t)g.client_size * g.n_clients, PAGE);
    g.request_offset = (uint32_t)round_up(sizeof(lipc_stream_header), PAGE);
    g.log_offset = g.request_offset + g.request_size;
    g.index_offset = g.log_offset + g.log_size;
    g.parts_offset = (uint32_t)round_up(g.index_offset + (uint64_t)g.index_length * sizeof(lipc_token_record), PAGE);
    g.parts_size = (uint32_t)round_up(g.log_size / 2, PAGE);
    g.parts_length = g.parts_size / HUB_BYTES_PER_PART;
    if (g.parts_length < HUB_PARTS_LEAST) g.parts_length = HUB_PARTS_LEAST;
    if (g.parts_length > LIPC_PARTS_MAX) g.parts_length = LIPC_PARTS_MAX;
    g.parts_index_offset = g.parts_offset + g.parts_size;
    g.probs_offset = (uint32_t)round_up(g.parts_index_offset + (uint64_t)g.parts_length * sizeof(lipc_part_record), PAGE);
    g.stream_size = g.probs_offset + round_up(g.log_size / 2, PAGE);
    g.segment_size = g.streams_offset + g.stream_size * n_streams;
    *geometry = g;
}

bool hub_is_same_layout(const hub_geometry *a, const hub_geometry *b) {
    return a->segment_size == b->segment_size && a->clients_offset == b->clients_offset &&
           a->streams_offset == b->streams_offset && a->stream_size == b->stream_size &&
           a->client_size == b->client_size && a->n_clients == b->n_clients && a->n_streams == b->n_streams &&
           a->request_offset == b->request_offset && a->request_size == b->request_size &&
           a->log_offset == b->log_offset && a->log_size == b->log_size && a->index_offset == b->index_offset &&
           a->index_length == b->index_length && a->parts_offset == b->parts_offset &&
           a->parts_size == b->parts_size && a->parts_index_offset == b->parts_index_offset &&
           a->parts_length == b->parts_length && a->probs_offset == b->probs_offset;
}

void hub_clear(const hub_view *view) {
    memset(view->base + LIPC_HUB_OFFSET, 0, LIPC_HUB_REGION_SIZE);
    FAILPOINT("hub.clear.hub");
    memset(view->base + view->at.clients_offset, 0, (size_t)view->at.client_size * view->at.n_clients);
    FAILPOINT("hub.clear.clients");
    for (uint32_t i = 0; i < view->at.n_streams; i++) {
        memset(hub_stream(view, i), 0, sizeof(lipc_stream_header));
        FAILPOINT("hub.clear.stream");
        __atomic_store_n(&hub_stream(view, i)->claim, UINT64_C(1) << 32, __ATOMIC_RELAXED);
        FAILPOINT("hub.clear.claim");
    }
}

void hub_begin(const hub_view *view, int host_pid, uint64_t host_start_time, const char *host_version) {
    lipc_hub *hub = hub_of(view);
    const hub_geometry *g = &view->at;
    const lipc_hub facts = {
        .layout_major = LIPC_LAYOUT_MAJOR,
        .layout_minor = LIPC_LAYOUT_MINOR,
        .host_pid = (uint32_t)host_pid,
        .host_start_time = host_start_time,
        .features = LIPC_FEATURE_PARTS | LIPC_FEATURE_DOCUMENTS | LIPC_FEATURE_PARAMETERS | LIPC_FEATURE_TOKENS_SUM |
                    LIPC_FEATURE_STATES | LIPC_FEATURE_PROBS,
        .segment_size = g->segment_size,
        .hub_size = sizeof *hub,
        .epoch = hub->epoch + 1,
        .clients_offset = g->clients_offset,
        .client_size = g->client_size,
        .n_clients = g->n_clients,
        .streams_offset = g->streams_offset,
        .stream_size = g->stream_size,
        .n_streams = g->n_streams,
        .request_offset = g->request_offset,
        .request_size = g->request_size,
        .log_offset = g->log_offset,
        .log_size = g->log_size,
        .index_offset = g->index_offset,
        .index_length = g->index_length,
        .parts_offset = g->parts_offset,
        .parts_size = g->parts_size,
        .parts_index_offset = g->parts_index_offset,
        .parts_length = g->parts_length,
        .probs_offset = g->probs_offset,
    };
    /* Nobody may take the old numbers for new ones: the magic goes first and comes back when all else stands. Words
     * that sleepers and ringers use stay, and the epoch counts on, by which a successor knows that there were clients. */
    __atomic_store_n(&hub->magic, 0, __ATOMIC_SEQ_CST);
    FAILPOINT("hub.begin.no_magic");
    __atomic_store_n(&hub->state, 0, __ATOMIC_SEQ_CST);
    FAILPOINT("hub.begin.no_state");
    /* What follows must not be seen before these two: pairs with the fence in hub_read. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memset(&hub->load_per_mille, 0, offsetof(lipc_hub, bell) - offsetof(lipc_hub, load_per_mille));
    FAILPOINT("hub.begin.facts_cleared");
    memset(hub->model_path, 0, sizeof *hub - offsetof(lipc_hub, model_path));
    FAILPOINT("hub.begin.cleared");
    __atomic_store_n(&hub->shutdown, 0, __ATOMIC_RELAXED);
    FAILPOINT("hub.begin.shutdown");
    memcpy(&hub->layout_major, &facts.layout_major, offsetof(lipc_hub, state) - offsetof(lipc_hub, layout_major));
    FAILPOINT("hub.begin.facts");
    snprintf(hub->host_version, sizeof hub->host_version, "%s", host_version);
    FAILPOINT("hub.begin.version");
    /* release, both: pair with the acquires in hub_read. */
    __atomic_store_n(&hub->magic, LIPC_HUB_MAGIC, __ATOMIC_RELEASE);
    FAILPOINT("hub.begin.magic");
    __atomic_store_n(&hub->state, LIPC_HUB_STARTING, __ATOMIC_RELEASE);
    FAILPOINT("hub.begin.state");
}

bool hub_is_of(const char *base, int pid) {
    const lipc_hub *hub = (const lipc_hub *)(base + LIPC_HUB_OFFSET);
    /* acquire: pairs with hub_begin, which writes the magic last. */
    return __atomic_load_n(&hub->magic, __ATOMIC_ACQUIRE) == LIPC_HUB_MAGIC &&
           __atomic_load_n(&hub->host_pid, __ATOMIC_RELAXED) == (uint32_t)pid;
}

void hub_request_shutdown(const hub_view *view) {
    /* release: pairs with the host's acquire; nothing else goes with it. */
    __atomic_store_n(&hub_of(view)->shutdown, 1, __ATOMIC_RELEASE);
    FAILPOINT("hub.shutdown.flag");
}

void hub_restore(const hub_view *view, const lipc_hub *shown) {
    uint32_t *words = (uint32_t *)(void *)hub_of(view);
    for (size_t i = 0; i < sizeof *shown / sizeof *words; i++) {
        uint32_t word;
        if (i == offsetof(lipc_hub, bell) / sizeof *words) i = offsetof(lipc_hub, model_path) / sizeof *words;
        memcpy(&word, (const char *)shown + i * sizeof word, sizeof word);
        if (i == offsetof(lipc_hub, n_attached) / sizeof word) continue;
        if (__atomic_load_n(&words[i], __ATOMIC_RELAXED) != word) __atomic_store_n(&words[i], word, __ATOMIC_RELEASE);
        FAILPOINT("hub.restore.word");
    }
}

/* Whether [offset, offset + size) lies within [from, to). Nothing here can overflow. */
static bool lies_within(uint64_t offset, uint64_t size, uint64_t from, uint64_t to) {
    return offset >= from && offset <= to && size <= to - offset;
}

static bool fits_together(const hub_geometry *g, uint64_t mapped_size) {
    if (g->segment_size > mapped_size || g->segment_size < LIPC_HUB_END) return false;
    if (g->n_clients == 0 || g->n_clients > LIPC_CLIENTS_MAX || g->client_size < sizeof(lipc_client_record)) return false;
    if (g->n_streams == 0 || g->n_streams > LIPC_STREAMS_MAX || g->stream_size > mapped_size) return false;
    if (g->clients_offset % 64 || g->client_size % 64 || g->streams_offset % 64 || g->stream_size % 64) return false;
    if (g->request_offset % 8 || g->log_offset % 8 || g->index_offset % 8) return false;
    if (g->parts_offset % 8 || g->parts_index_offset % 8 || g->parts_length > LIPC_PARTS_MAX) return false;
    bool has_parts = g->parts_length > 0, has_probs = g->probs_offset > 0;
    if (has_probs && (g->probs_offset % 8 || !lies_within(g->probs_offset, 0, sizeof(lipc_stream_header), g->stream_size))) return false;
    if (has_parts && (!lies_within(g->parts_offset, g->parts_size, sizeof(lipc_stream_header), g->stream_size) ||
                      !lies_within(g->parts_index_offset, (uint64_t)g->parts_length * sizeof(lipc_part_record),
                                   sizeof(lipc_stream_header), g->stream_size)))
        return false;
    return lies_within(g->clients_offset, (uint64_t)g->client_size * g->n_clients, LIPC_HUB_END, g->segment_size) &&
           lies_within(g->streams_offset, g->stream_size * g->n_streams, LIPC_HUB_END, g->segment_size) &&
           lies_within(g->request_offset, g->request_size, sizeof(lipc_stream_header), g->stream_size) &&
           lies_within(g->log_offset, g->log_size, sizeof(lipc_stream_header), g->stream_size) &&
           lies_within(g->index_offset, (uint64_t)g->index_length * sizeof(lipc_token_record),
                       sizeof(lipc_stream_header), g->stream_size);
}

hub_check hub_read(char *base, uint64_t mapped_size, hub_view *view, hub_identity *identity) {
    lipc_hub *shared = (lipc_hub *)(base + LIPC_HUB_OFFSET);
    /* What is copied must be of one host. A successor takes the magic away, writes a higher epoch among the rest, and
     * puts the magic back. The epoch is loaded first: if it was the higher one already, the magic is seen as it was
     * taken away, or as it came back, with all the rest; if it was not, it differs afterwards. */
    uint32_t epoch = __atomic_load_n(&shared->epoch, __ATOMIC_ACQUIRE);
    uint64_t magic = __atomic_load_n(&shared->magic, __ATOMIC_ACQUIRE);
    if (magic == 0) return HUB_NOT_YET;
    if (magic != LIPC_HUB_MAGIC) return HUB_DAMAGED;
    lipc_hub hub;
    memcpy(&hub, shared, sizeof hub); /* once; from here on only the copy */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&shared->magic, __ATOMIC_RELAXED) != magic ||
        __atomic_load_n(&shared->epoch, __ATOMIC_RELAXED) != epoch)
        return HUB_NOT_YET;
    *identity = (hub_identity){hub.layout_major, hub.layout_minor, (int)hub.host_pid, epoch, hub.host_start_time,
                               hub.features};
    if (hub.layout_major != LIPC_LAYOUT_MAJOR) return HUB_OTHER_VERSION;
    if (__atomic_load_n(&shared->state, __ATOMIC_ACQUIRE) == 0) return HUB_NOT_YET;
    view->base = base;
    view->at = (hub_geometry){
        .segment_size = hub.segment_size, .clients_offset = hub.clients_offset, .streams_offset = hub.streams_offset,
        .stream_size = hub.stream_size, .client_size = hub.client_size, .n_clients = hub.n_clients,
        .n_streams = hub.n_streams, .request_offset = hub.request_offset, .request_size = hub.request_size,
        .log_offset = hub.log_offset, .log_size = hub.log_size, .index_offset = hub.index_offset,
        .index_length = hub.index_length,
    };
    if (hub.features & LIPC_FEATURE_PARTS) {
        view->at.parts_offset = hub.parts_offset;
        view->at.parts_size = hub.parts_size;
        view->at.parts_index_offset = hub.parts_index_offset;
        view->at.parts_length = hub.parts_length;
    }
    if (hub.features & LIPC_FEATURE_PROBS) view->at.probs_offset = hub.probs_offset;
    return fits_together(&view->at, mapped_size) ? HUB_OK : HUB_DAMAGED;
}

/* ---- client records ---------------------------------------------------------------------------------------------- */

/* Acquire and release: who gets a claim sees what the one before left; who sees a claim sees what came before it. */
static bool change(uint64_t *word, uint64_t from, uint64_t to) {
    return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED); /* callers name it */
}

bool hub_client_attach(const hub_view *view, uint32_t pid, uint64_t start_time, uint32_t *index, uint64_t *claim) {
    for (uint32_t i = 0; i < view->at.n_clients; i++) {
        lipc_client_record *record = hub_client(view, i);
        uint64_t free_claim = __atomic_load_n(&record->claim, __ATOMIC_RELAXED);
        uint32_t generation = client_claim_generation(free_claim);
        if (client_claim_phase(free_claim) != LIPC_CLIENT_FREE) continue;
        if (!change(&record->claim, free_claim, client_claim(LIPC_CLIENT_ATTACHING, generation, pid))) continue;
        FAILPOINT("hub.attach.claimed");
        __atomic_store_n(&record->start_time, start_time, __ATOMIC_RELAXED);
        FAILPOINT("hub.attach.start_time");
        __atomic_store_n(&record->reservation, LIPC_RESERVATION_NONE, __ATOMIC_RELAXED);
        FAILPOINT("hub.attach.reservation");
        *index = i;
        *claim = client_claim(LIPC_CLIENT_ATTACHED, generation, pid);
        /* Not if the host has died and its successor has freed the record meanwhile. */
        if (!change(&record->claim, client_claim(LIPC_CLIENT_ATTACHING, generation, pid), *claim)) continue;
        FAILPOINT("hub.attach.attached");
        return true;
    }
    return false;
}

void hub_client_leave(const hub_view *view, uint32_t index, uint64_t claim) {
    change(&hub_client(view, index)->claim, claim,
           client_claim(LIPC_CLIENT_LEAVING, client_claim_generation(claim), client_claim_pid(claim)));
    FAILPOINT("hub.leave.claim");
}

void hub_client_free(const hub_view *view, uint32_t index, uint64_t claim) {
    lipc_client_record *record = hub_client(view, index);
    __atomic_store_n(&record->reservation, LIPC_RESERVATION_NONE, __ATOMIC_RELAXED);
    FAILPOINT("hub.free.reservation");
    __atomic_store_n(&record->queue_position, 0, __ATOMIC_RELAXED);
    FAILPOINT("hub.free.position");
    /* No compare-and-swap: nobody else may change the claim of a holder that is gone, and who does so must not win. */
    __atomic_store_n(&record->claim, client_claim(LIPC_CLIENT_FREE, client_claim_generation(claim) + 1, 0),
                     __ATOMIC_SEQ_CST);
    FAILPOINT("hub.free.claim");
}
