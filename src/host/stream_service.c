/* stream_service.c - see stream_service.h and host_stream.h. */
#include "stream_service.h"

#include "host_stream.h"

#include "../channel/reservation.h"
#include "../platform/failpoint.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

/* Whose generation a stream is when this worker begins. The claim is believed if no worker of this host knew better, or
 * if the last one may have died between changing it and noting that. */
static uint32_t first_generation(const stream_service *service, uint32_t index) {
    uint32_t found = stream_claim_generation(stream_claim_now(hub_stream(&service->view, index)));
    uint32_t known = service->journal->generations[index];
    return service->journal->n_workers <= 1 || found == known + 1 ? found : known;
}

/* Text that a log may hold when this worker begins. */
static uint32_t text_found(const stream_service *service, uint32_t index) {
    uint32_t n_bytes = (uint32_t)__atomic_load_n(&hub_stream(&service->view, index)->published, __ATOMIC_RELAXED);
    return n_bytes < service->view.at.log_size ? n_bytes : service->view.at.log_size;
}
host_exit stream_service_open(const instance *instance, const host_options *options, journal *journal, plat_doorbell *bell,
                              stream_service **result, char *message, size_t message_size) {
    *result = NULL;
    stream_service *service = calloc(1, sizeof *service);
    if (service) {
        service->view = instance->view;
        service->segment = instance->segment;
        service->options = options;
        service->journal = journal;
        service->shown = instance->hub;
        service->streams = calloc(instance->view.at.n_streams, sizeof *service->streams);
    }
    if (!service || !service->streams) {
        snprintf(message, message_size, "not enough memory for %u streams", instance->view.at.n_streams);
        stream_service_close(service);
        return HOST_EXIT_FAILURE;
    }
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        service->streams[i].service = service;
        service->streams[i].index = i;
        host_stream_set_generation(&service->streams[i], first_generation(service, i));
        service->streams[i].n_found = text_found(service, i);
        service->streams[i].n_parts_found = parts_found(&service->view, i);
        service->streams[i].may_have_probs = true;
    }
    service->registry = client_registry_open(&service->view, instance->segment, (int)instance->hub.host_pid, bell);
    if (!service->registry) {
        snprintf(message, message_size, "cannot watch the clients' processes: %s", plat_os_error());
        stream_service_close(service);
        return HOST_EXIT_FAILURE;
    }
    *result = service;
    return HOST_EXIT_OK;
}

void stream_service_close(stream_service *service) {
    if (!service) return;
    for (uint32_t i = 0; service->streams && i < service->view.at.n_streams; i++) {
        if (service->streams[i].phase == HOST_STREAM_TAKEN) stops_free(service->streams[i].answer.stops);
        host_stream_forget_request(&service->streams[i]);
    }
    client_registry_close(service->registry);
    free(service->streams);
    free(service);
}

size_t stream_service_size(const stream_service *service) {
    return service->view.at.n_streams;
}

/* ---- taking up what a dead worker left --------------------------------------------------------------------------- */

/* Which of the answers that had ended did so first. */
static void order_ended(stream_service *service) {
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        host_stream *stream = &service->streams[i];
        if (stream->phase != HOST_STREAM_ENDED) continue;
        uint64_t ended_ns = __atomic_load_n(&stream->writer.header->ended_ns, __ATOMIC_RELAXED);
        stream->ended_order = 1;
        for (uint32_t other = 0; other < service->view.at.n_streams; other++)
            stream->ended_order += service->streams[other].phase == HOST_STREAM_ENDED &&
                                 __atomic_load_n(&service->streams[other].writer.header->ended_ns, __ATOMIC_RELAXED) < ended_ns;
        service->n_ended++;
    }
}

size_t stream_service_recover(stream_service *service) {
    size_t n_resumed = 0;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        host_stream_complete_grant(&service->streams[i]);
        n_resumed += host_stream_recover(&service->streams[i]);
    }
    order_ended(service);
    /* Whatever the dead worker had done and not yet rung for. */
    client_registry_ring_all(service->registry, PLAT_BELL_ALL);
    return n_resumed;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* The owner of a submitted stream is gone. */
static void lose_owner(host_stream *stream, uint64_t claim) {
    uint32_t phase = stream->is_detachable ? LIPC_CLAIM_DETACHED : LIPC_CLAIM_RELEASED;
    stream_change_claim(host_stream_header(stream), claim, stream_claim(phase, LIPC_NO_OWNER, stream_claim_generation(claim)));
    FAILPOINT("streams.orphan.claim");
    if (!stream->is_detachable) stream->is_unwanted = true;
}

/* A stream whose request is at hand. Everything but what its owner, or the host, may have made of the claim was written
 * by a client that breaks the rules. */
static void look_at_used(host_stream *stream, uint64_t claim, bool has_owner) {
    if (stream_claim_generation(claim) != stream->generation) {
        host_stream_revoke(stream);
        return;
    }
    switch (stream_claim_phase(claim)) {
    case LIPC_CLAIM_SUBMITTED:
        if (!has_owner) lose_owner(stream, claim);
        break;
    case LIPC_CLAIM_DETACHED:
        if (!stream->is_detachable) stream->is_unwanted = true;
        break;
    case LIPC_CLAIM_RELEASED:
        stream->is_unwanted = true;
        break;
    default:
        host_stream_revoke(stream);
    }
}

/* Whether the client that a stream is offered to was told so. If not, the offer is not the host's. */
static bool is_offer_known(const host_stream *stream, uint64_t claim) {
    uint64_t reservation = __atomic_load_n(&hub_client(&stream->service->view, stream_claim_owner(claim))->reservation, __ATOMIC_ACQUIRE);
    return reservation_phase(reservation) == LIPC_RESERVATION_GRANTED && reservation_stream(reservation) == stream->index;
}

/* A stream without a request. One that is claimed under a generation that it does not have belongs to a client that was
 * deceived, and may be writing. */
static void look_at_empty(host_stream *stream, uint64_t claim, bool has_owner) {
    bool is_current = stream_claim_generation(claim) == stream->generation;
    uint32_t phase = stream_claim_phase(claim);
    if (stream->free_ns != 0 && is_current && phase == LIPC_CLAIM_RELEASED) return;
    bool is_offered = phase == LIPC_CLAIM_OFFERED && has_owner;
    bool is_taken = (phase == LIPC_CLAIM_CLAIMED && has_owner) || (is_offered && is_offer_known(stream, claim));
    if (is_current && (phase == LIPC_CLAIM_FREE || is_taken)) return;
    if (is_offered || (!is_current && phase == LIPC_CLAIM_FREE)) {
        host_stream_free_from(stream, &claim);
        return;
    }
    if (!is_current) {
        host_stream_revoke(stream);
        return;
    }
    if (phase != LIPC_CLAIM_SUBMITTED && phase != LIPC_CLAIM_DETACHED) {
        host_stream_free(stream);
        return;
    }
    host_stream_take(stream, claim);
    if (phase == LIPC_CLAIM_SUBMITTED && !has_owner) lose_owner(stream, claim);
}

static void look_at(stream_service *service, host_stream *stream) {
    uint64_t claim = stream_claim_now(host_stream_header(stream));
    bool has_owner = client_registry_is_present(service->registry, stream_claim_owner(claim));
    if (stream->phase == HOST_STREAM_EMPTY)
        look_at_empty(stream, claim, has_owner);
    else
        look_at_used(stream, claim, has_owner);
    host_stream_free_if_unwanted(stream);
}

static void on_gone(void *user_data, uint32_t client) {
    stream_service *service = user_data;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        stream_unwatch(host_stream_header(&service->streams[i]), client);
        host_stream_free_if_unwanted(&service->streams[i]);
    }
}

void stream_service_look(stream_service *service) {
    stream_service_restore(service);
    client_registry_scan(service->registry);
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) look_at(service, &service->streams[i]);
    client_registry_dismiss(service->registry, on_gone, service);
}
