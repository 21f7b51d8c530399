/* stream_shown.c - see host_stream.h. */
#include "host_stream.h"
#include "stream_service.h"

#include "log.h"

#include "../platform/failpoint.h"

#include <stdio.h>
#include <string.h>

/* How often what the host shows is written again. Shorter than an idle host sleeps. */
#define RESTORE_NS 900000000u

#define SHOW(service, field, value) \
    __atomic_store_n(&hub_of(&(service)->view)->field, (service)->shown.field = (value), \
                     __ATOMIC_RELAXED) /* callers name it */

void stream_service_show_state(stream_service *service, uint32_t state) {
    /* release: who sees READY sees the model's facts. */
    service->shown.state = state;
    __atomic_store_n(&hub_of(&service->view)->state, state, __ATOMIC_RELEASE);
    FAILPOINT("streams.show.state");
    client_registry_ring_all(service->registry, PLAT_BELL_ALL);
}

void stream_service_show_loading(stream_service *service, int per_mille) {
    if ((uint32_t)per_mille == service->shown.load_per_mille) return;
    SHOW(service, load_per_mille, (uint32_t)per_mille);
    FAILPOINT("streams.show.loading");
    client_registry_ring_all(service->registry, PLAT_BELL_ALL);
}

void stream_service_show_model(stream_service *service, const engine_model_facts *facts, const char *path) {
    lipc_hub *hub = hub_of(&service->view);
    SHOW(service, facts_version, ++service->journal->facts_version);
    FAILPOINT("streams.show.facts_version");
    /* release: who sees any of these facts and looks again sees that the version is another. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    snprintf(service->shown.model, sizeof service->shown.model, "%s", facts->description);
    memcpy(hub->model, service->shown.model, sizeof hub->model);
    FAILPOINT("streams.show.model");
    memset(service->shown.model_path, 0, sizeof service->shown.model_path);
    if (!path[0] || plat_path_absolute(path, service->shown.model_path, sizeof service->shown.model_path) < 0)
        service->shown.model_path[0] = 0;
    memcpy(hub->model_path, service->shown.model_path, sizeof hub->model_path);
    FAILPOINT("streams.show.model_path");
    SHOW(service, load_per_mille, 1000);
    FAILPOINT("streams.show.loaded");
    SHOW(service, is_asleep, 0);
    FAILPOINT("streams.show.awake");
    snprintf(service->shown.devices, sizeof service->shown.devices, "%s", facts->devices);
    memcpy(hub->devices, service->shown.devices, sizeof hub->devices);
    FAILPOINT("streams.show.devices");
    SHOW(service, n_layers, (uint32_t)facts->n_layers);
    FAILPOINT("streams.show.n_layers");
    SHOW(service, n_device_layers, (uint32_t)facts->n_device_layers);
    FAILPOINT("streams.show.n_device_layers");
    SHOW(service, n_ctx, facts->n_ctx);
    FAILPOINT("streams.show.n_ctx");
    SHOW(service, n_ctx_trained, facts->n_ctx_trained);
    FAILPOINT("streams.show.n_ctx_trained");
    SHOW(service, n_vocab, (uint32_t)facts->n_vocab);
    FAILPOINT("streams.show.n_vocab");
    SHOW(service, n_threads, (uint32_t)facts->n_threads);
    FAILPOINT("streams.show.n_threads");
    SHOW(service, n_parallel, (uint32_t)facts->n_sequences);
    FAILPOINT("streams.show.n_parallel");
    SHOW(service, n_parameters, facts->n_parameters);
    FAILPOINT("streams.show.n_parameters");
    SHOW(service, model_bytes, facts->n_bytes);
    FAILPOINT("streams.show.model_bytes");
}

void stream_service_show_asleep(stream_service *service) {
    SHOW(service, is_asleep, 1);
    FAILPOINT("model.show.asleep");
    client_registry_ring_all(service->registry, PLAT_BELL_ALL);
}

void stream_service_show_download(stream_service *service, uint64_t n_done, uint64_t n_total, uint64_t per_second) {
    const lipc_hub *hub = hub_of(&service->view);
    /* With what stands there: a worker that died may have been fetching. */
    if (__atomic_load_n(&hub->download_bytes, __ATOMIC_RELAXED) == n_done &&
        __atomic_load_n(&hub->download_total, __ATOMIC_RELAXED) == n_total &&
        __atomic_load_n(&hub->download_rate, __ATOMIC_RELAXED) == per_second) return;
    SHOW(service, download_bytes, n_done);
    FAILPOINT("model.show.download_bytes");
    SHOW(service, download_total, n_total);
    FAILPOINT("model.show.download_total");
    SHOW(service, download_rate, per_second);
    FAILPOINT("model.show.download_rate");
    client_registry_ring_all(service->registry, PLAT_BELL_ALL);
}

void stream_service_show_worker(stream_service *service, int pid, uint32_t n_recoveries) {
    service->shown.worker_pid = (uint32_t)pid;
    /* release: who sees this worker sees the state that it showed first, and not the READY of one that died. */
    __atomic_store_n(&hub_of(&service->view)->worker_pid, (uint32_t)pid, __ATOMIC_RELEASE);
    FAILPOINT("streams.show.worker_pid");
    SHOW(service, n_recoveries, n_recoveries);
    FAILPOINT("streams.show.n_recoveries");
    stream_service_show_download(service, 0, 0, 0);
}

void stream_service_show_load(stream_service *service, uint32_t n_running, uint32_t n_queued) {
    SHOW(service, n_running, n_running);
    FAILPOINT("streams.show.n_running");
    SHOW(service, n_queued, n_queued);
    FAILPOINT("streams.show.n_queued");
}

bool stream_service_shutdown_requested(const stream_service *service) {
    return __atomic_load_n(&hub_of(&service->view)->shutdown, __ATOMIC_ACQUIRE) != 0;
}

/* What an empty stream shows of its generation goes: nobody would take it. So do those who seem to watch a free one. */
static void restore_empty(host_stream *stream) {
    lipc_stream_header *header = host_stream_header(stream);
    uint64_t bits = 0, claim = stream_claim_now(header);
    if (__atomic_load_n(&header->status, __ATOMIC_RELAXED) >> 32 == stream->generation)
        __atomic_store_n(&header->status, 0, __ATOMIC_RELAXED);
    FAILPOINT("streams.restore.status");
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++)
        bits |= __atomic_load_n(&header->watchers[word], __ATOMIC_RELAXED);
    if (bits != 0 && stream_claim_phase(claim) == LIPC_CLAIM_FREE) host_stream_free_from(stream, &claim);
}

/* Somebody removed the name, or gave it to something else: said once, by each worker. The names of new hosts are no
 * business of this one, which serves the clients that it has. */
static void look_at_name(stream_service *service) {
    if (service->is_name_lost || plat_segment_is_current(service->segment)) return;
    service->is_name_lost = true;
    log_line(LOG_LEVEL_WARN, "the shared memory has lost its name, removed by another program: new clients do not find this "
             "host, process %u, and another may start in its place; start it again", service->shown.host_pid);
}

/* For clients that would otherwise wait for words that somebody scribbled over. */
void stream_service_restore(stream_service *service) {
    uint64_t now_ns = plat_clock_ns();
    if (now_ns < service->restore_ns) return;
    service->restore_ns = now_ns + RESTORE_NS;
    look_at_name(service);
    hub_restore(&service->view, &service->shown);
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        host_stream *stream = &service->streams[i];
        if (stream->phase != HOST_STREAM_EMPTY)
            stream_writer_restore(&stream->writer);
        else
            restore_empty(stream);
    }
}
