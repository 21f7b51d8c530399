/* stream_service.c - see stream_service.h and slots.h. */
#include "slots.h"

#include "../platform/step.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

/* Whose generation a stream is when this worker begins. The claim is believed if no worker of this host knew better, or
 * if the last one may have died between changing it and noting that. */
static uint32_t first_generation(const stream_service *service, uint32_t index) {
    uint32_t found = stream_claim_generation(stream_claim_now(hub_stream(&service->view, index)));
    uint32_t known = service->ledger->generations[index];
    return service->ledger->n_workers <= 1 || found == known + 1 ? found : known;
}

/* Text that a log may hold when this worker begins. */
static uint32_t text_found(const stream_service *service, uint32_t index) {
    uint32_t n_bytes = (uint32_t)__atomic_load_n(&hub_stream(&service->view, index)->published, __ATOMIC_RELAXED);
    return n_bytes < service->view.at.log_size ? n_bytes : service->view.at.log_size;
}
host_exit stream_service_open(const instance *instance, const host_options *options, ledger *ledger, plat_doorbell *bell,
                              stream_service **result, char *message, size_t message_size) {
    *result = NULL;
    stream_service *service = calloc(1, sizeof *service);
    if (service) {
        service->view = instance->view;
        service->options = options;
        service->ledger = ledger;
        service->shown = instance->hub;
        service->slots = calloc(instance->view.at.n_streams, sizeof *service->slots);
    }
    if (!service || !service->slots) {
        snprintf(message, message_size, "not enough memory for %u streams", instance->view.at.n_streams);
        stream_service_close(service);
        return HOST_EXIT_FAILURE;
    }
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        service->slots[i].service = service;
        service->slots[i].index = i;
        slot_set_generation(&service->slots[i], first_generation(service, i));
        service->slots[i].n_found = text_found(service, i);
    }
    service->attendance = attendance_open(&service->view, bell);
    if (!service->attendance) {
        snprintf(message, message_size, "cannot watch the clients' processes: %s", plat_os_error());
        stream_service_close(service);
        return HOST_EXIT_FAILURE;
    }
    *result = service;
    return HOST_EXIT_OK;
}

void stream_service_close(stream_service *service) {
    if (!service) return;
    for (uint32_t i = 0; service->slots && i < service->view.at.n_streams; i++) {
        if (service->slots[i].phase == SLOT_TAKEN) stops_free(service->slots[i].answer.stops);
        slot_forget_request(&service->slots[i]);
    }
    attendance_close(service->attendance);
    free(service->slots);
    free(service);
}

size_t stream_service_size(const stream_service *service) {
    return service->view.at.n_streams;
}

/* ---- taking up what a dead worker left --------------------------------------------------------------------------- */

/* Which of the answers that had ended did so first. */
static void order_ended(stream_service *service) {
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        slot *slot = &service->slots[i];
        if (slot->phase != SLOT_ENDED) continue;
        uint64_t ended_ns = __atomic_load_n(&slot->writer.header->ended_ns, __ATOMIC_RELAXED);
        slot->ended_order = 1;
        for (uint32_t other = 0; other < service->view.at.n_streams; other++)
            slot->ended_order += service->slots[other].phase == SLOT_ENDED &&
                                 __atomic_load_n(&service->slots[other].writer.header->ended_ns, __ATOMIC_RELAXED) < ended_ns;
        service->n_ended++;
    }
}

size_t stream_service_recover(stream_service *service) {
    size_t n_resumed = 0;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        slot_complete_grant(&service->slots[i]);
        n_resumed += slot_recover(&service->slots[i]);
    }
    order_ended(service);
    /* Whatever the dead worker had done and not yet rung for. */
    attendance_ring_all(service->attendance, PLAT_BELL_ALL);
    return n_resumed;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* The owner of a submitted stream is gone. */
static void lose_owner(slot *slot, uint64_t claim) {
    uint32_t phase = slot->is_detachable ? LIPC_CLAIM_DETACHED : LIPC_CLAIM_RELEASED;
    stream_change_claim(slot_header(slot), claim, stream_claim(phase, LIPC_NO_OWNER, stream_claim_generation(claim)));
    STEP("streams.orphan.claim");
    if (!slot->is_detachable) slot->is_unwanted = true;
}

/* A stream whose request is at hand. Everything but what its owner, or the host, may have made of the claim was written
 * by a client that breaks the rules. */
static void look_at_used(slot *slot, uint64_t claim, bool has_owner) {
    if (stream_claim_generation(claim) != slot->generation) {
        slot_revoke(slot);
        return;
    }
    switch (stream_claim_phase(claim)) {
    case LIPC_CLAIM_SUBMITTED:
        if (!has_owner) lose_owner(slot, claim);
        break;
    case LIPC_CLAIM_DETACHED:
        if (!slot->is_detachable) slot->is_unwanted = true;
        break;
    case LIPC_CLAIM_RELEASED:
        slot->is_unwanted = true;
        break;
    default:
        slot_revoke(slot);
    }
}

/* Whether the client that a stream is offered to was told so. If not, the offer is not the host's. */
static bool is_offer_known(const slot *slot, uint64_t claim) {
    uint64_t wish = __atomic_load_n(&hub_client(&slot->service->view, stream_claim_owner(claim))->wish, __ATOMIC_ACQUIRE);
    return wish_phase(wish) == LIPC_WISH_GRANTED && wish_stream(wish) == slot->index;
}

/* A stream without a request. One that is claimed under a generation that it does not have belongs to a client that was
 * deceived, and may be writing. */
static void look_at_empty(slot *slot, uint64_t claim, bool has_owner) {
    bool is_current = stream_claim_generation(claim) == slot->generation;
    uint32_t phase = stream_claim_phase(claim);
    if (slot->free_ns != 0 && is_current && phase == LIPC_CLAIM_RELEASED) return;
    bool is_offered = phase == LIPC_CLAIM_OFFERED && has_owner;
    bool is_taken = (phase == LIPC_CLAIM_CLAIMED && has_owner) || (is_offered && is_offer_known(slot, claim));
    if (is_current && (phase == LIPC_CLAIM_FREE || is_taken)) return;
    if (is_offered || (!is_current && phase == LIPC_CLAIM_FREE)) {
        slot_free_from(slot, &claim);
        return;
    }
    if (!is_current) {
        slot_revoke(slot);
        return;
    }
    if (phase != LIPC_CLAIM_SUBMITTED && phase != LIPC_CLAIM_DETACHED) {
        slot_free(slot);
        return;
    }
    slot_take(slot, claim);
    if (phase == LIPC_CLAIM_SUBMITTED && !has_owner) lose_owner(slot, claim);
}

static void look_at(stream_service *service, slot *slot) {
    uint64_t claim = stream_claim_now(slot_header(slot));
    bool has_owner = attendance_is_present(service->attendance, stream_claim_owner(claim));
    if (slot->phase == SLOT_EMPTY)
        look_at_empty(slot, claim, has_owner);
    else
        look_at_used(slot, claim, has_owner);
    slot_free_if_unwanted(slot);
}

static void on_gone(void *user_data, uint32_t client) {
    stream_service *service = user_data;
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) {
        stream_unwatch(slot_header(&service->slots[i]), client);
        slot_free_if_unwanted(&service->slots[i]);
    }
}

void stream_service_look(stream_service *service) {
    stream_service_restore(service);
    attendance_look(service->attendance);
    for (uint32_t i = 0; i < service->view.at.n_streams; i++) look_at(service, &service->slots[i]);
    attendance_dismiss(service->attendance, on_gone, service);
}
