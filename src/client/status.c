/* status.c - see status.h. */
#include "status.h"

#include "../text/utf8.h"

#include <string.h>

/* Somebody may scribble over the version of the model's facts without end. */
#define TRIES 100

#define SHOWN(field) __atomic_load_n(&hub->field, __ATOMIC_RELAXED)

void status_copy_text(char *text, size_t size_bytes, const char *shared, size_t shared_size) {
    char copy[sizeof((lipc_hub *)0)->model_path];
    if (shared_size > sizeof copy) shared_size = sizeof copy;
    memcpy(copy, shared, shared_size);
    text[utf8_repair(copy, strnlen(copy, shared_size), text, size_bytes - 1)] = 0;
}

static void read_once(const hub_view *view, int host_pid, lipc_host_status *status) {
    const lipc_hub *hub = hub_of(view);
    /* acquire: what the host wrote before this state is visible. */
    uint32_t state = __atomic_load_n(&hub->state, __ATOMIC_ACQUIRE);
    bool is_known = (state >= LIPC_HUB_STARTING && state <= LIPC_HUB_ENDING) || state == LIPC_HUB_RECOVERING;
    if (!is_known) state = LIPC_HUB_STARTING;
    uint32_t per_mille = SHOWN(load_per_mille);
    *status = (lipc_host_status){
        .state = (int32_t)state,
        .load_per_mille = per_mille <= 1000 ? (int32_t)per_mille : 1000,
        .host_pid = host_pid,
        .n_clients = (int32_t)SHOWN(n_attached),
        .n_streams = (int32_t)view->at.n_streams,
        .n_running = (int32_t)SHOWN(n_running),
        .n_queued = (int32_t)SHOWN(n_queued),
        .request_size = view->at.request_size,
        .response_size = view->at.log_size,
    };
    status->download_bytes = SHOWN(download_bytes);
    status->download_total = SHOWN(download_total);
    status->download_rate = SHOWN(download_rate);
    status_copy_text(status->host_version, sizeof status->host_version, hub->host_version, sizeof hub->host_version);
    if (state < LIPC_HUB_READY) return;
    status->n_parallel = (int32_t)SHOWN(n_parallel);
    status->n_ctx = (int32_t)SHOWN(n_ctx);
    status->n_ctx_trained = (int32_t)SHOWN(n_ctx_trained);
    status->n_vocab = (int32_t)SHOWN(n_vocab);
    status->n_threads = (int32_t)SHOWN(n_threads);
    status->n_parameters = SHOWN(n_parameters);
    status->model_bytes = SHOWN(model_bytes);
    status_copy_text(status->model, sizeof status->model, hub->model, sizeof hub->model);
    status->is_asleep = state == LIPC_HUB_READY && SHOWN(is_asleep) != 0;
    status->n_layers = (int32_t)SHOWN(n_layers);
    status->n_device_layers = (int32_t)SHOWN(n_device_layers);
    uint32_t hub_size = SHOWN(hub_size);
    if (hub_size >= sizeof *hub) status_copy_text(status->devices, sizeof status->devices, hub->devices, sizeof hub->devices);
    if (hub_size >= offsetof(lipc_hub, devices))
        status_copy_text(status->model_path, sizeof status->model_path, hub->model_path, sizeof hub->model_path);
}

/* Until the facts are of one model: the host may change it meanwhile. */
void status_read(const hub_view *view, int host_pid, lipc_host_status *status) {
    const lipc_hub *hub = hub_of(view);
    for (int n_tries = 0; n_tries < TRIES; n_tries++) {
        uint32_t version = __atomic_load_n(&hub->facts_version, __ATOMIC_ACQUIRE);
        read_once(view, host_pid, status);
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with the host's, behind its store of the version */
        if (version == SHOWN(facts_version)) return;
    }
}
