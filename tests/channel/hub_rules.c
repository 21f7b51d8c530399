/* hub_rules.c - src/channel/hub.h to the byte: the plan of a segment, each number of a hub at the last value that is
 * believed and the first that is not, and what a host that begins on an old segment takes away and what it leaves. What
 * stream_rules tries at random this does at the edges. */
#include "../support/harness.h"

#include "channel/hub.h"
#include "channel/reservation.h"
#include "channel/stream.h"

#include <stdlib.h>
#include <string.h>

enum { N_STREAMS = 3, PID = 4711 };

static hub_view view;

static void make_segment(uint32_t n_streams) {
    free(view.base);
    hub_plan(&view.at, n_streams, 4096, 4096);
    view.base = aligned_alloc(4096, view.at.segment_size);
    CHECK(view.base != NULL);
    memset(view.base, 0, view.at.segment_size);
    hub_clear(&view);
    hub_begin(&view, PID, 99, "9.8.7");
}

static hub_check read_hub(void) {
    hub_view seen;
    hub_identity identity;
    return hub_read(view.base, view.at.segment_size, &seen, &identity);
}

/* ---- the plan ---- */

static void check_plan(void) {
    hub_geometry at;
    test_step("where the parts lie, in bytes");
    hub_plan(&at, 3, 4097, 8192);
    CHECK_INT(at.clients_offset, ==, 49152);
    CHECK_INT(at.client_size, ==, 256);
    CHECK_INT(at.n_clients, ==, 256);
    CHECK_INT(at.streams_offset, ==, 49152 + 256 * 256);
    CHECK_INT(at.request_offset, ==, 4096);
    CHECK_INT(at.request_size, ==, 8192);
    CHECK_INT(at.log_offset, ==, 4096 + 8192);
    CHECK_INT(at.log_size, ==, 8192);
    CHECK_INT(at.index_offset, ==, 4096 + 8192 + 8192);
    CHECK_INT(at.index_length, ==, 2048);
    CHECK_INT(at.parts_offset, ==, 4096 + 8192 + 8192 + 2048 * 16);
    CHECK_INT(at.parts_size, ==, 4096);
    CHECK_INT(at.parts_index_offset, ==, at.parts_offset + 4096);
    CHECK_INT(at.parts_length, ==, 64);
    CHECK_INT(at.probs_offset, ==, at.parts_index_offset + 4096); /* 64 records, to the page */
    CHECK_INT(at.stream_size, ==, at.probs_offset + 4096);
    CHECK_INT(at.n_streams, ==, 3);
    CHECK_INT(at.segment_size, ==, at.streams_offset + 3 * at.stream_size);
    hub_plan(&at, 1, 4096, 96 << 10);
    CHECK_INT(at.parts_size, ==, 48 << 10);
    CHECK_INT(at.parts_length, ==, 96);
    hub_plan(&at, 1, 4096, 64 << 20); /* room for one record more than `parts` can count */
    CHECK_INT(at.parts_length, ==, 65535);
    hub_plan(&at, 1, 4096, HUB_LOG_SIZE_MAX);
    CHECK_INT(at.parts_size, ==, HUB_LOG_SIZE_MAX / 2);
    CHECK_INT(at.parts_length, ==, 65535);
    CHECK_INT(HUB_REQUEST_SIZE_MIN, ==, 4096);
    CHECK_INT(HUB_LOG_SIZE_MIN, ==, 4096);
    CHECK_INT(HUB_REQUEST_SIZE_MAX, ==, 256 << 20);
    CHECK_INT(HUB_LOG_SIZE_MAX, ==, 256 << 20);

    test_step("two layouts are the same if all of their numbers are");
    hub_geometry other = at;
    CHECK(hub_is_same_layout(&at, &other));
#define CHECK_DIFFERS(field)                                                                                           \
    do {                                                                                                               \
        other = at;                                                                                                    \
        other.field ^= 64;                                                                                             \
        CHECK_SAY(!hub_is_same_layout(&at, &other), "another " #field " is not noticed");                              \
    } while (0)
    CHECK_DIFFERS(segment_size);
    CHECK_DIFFERS(clients_offset);
    CHECK_DIFFERS(streams_offset);
    CHECK_DIFFERS(stream_size);
    CHECK_DIFFERS(client_size);
    CHECK_DIFFERS(n_clients);
    CHECK_DIFFERS(n_streams);
    CHECK_DIFFERS(request_offset);
    CHECK_DIFFERS(request_size);
    CHECK_DIFFERS(log_offset);
    CHECK_DIFFERS(log_size);
    CHECK_DIFFERS(parts_offset);
    CHECK_DIFFERS(parts_size);
    CHECK_DIFFERS(parts_index_offset);
    CHECK_DIFFERS(parts_length);
    CHECK_DIFFERS(probs_offset);
    CHECK_DIFFERS(index_offset);
    CHECK_DIFFERS(index_length);
}

/* ---- numbers that are believed, and numbers that are not ---- */

static lipc_hub good;

/* Runs the changes on a hub that is good otherwise, and expects `result`. */
#define EXPECT(result, ...)                                                                                            \
    do {                                                                                                               \
        lipc_hub *hub = hub_of(&view);                                                                                 \
        *hub = good;                                                                                                   \
        __VA_ARGS__;                                                                                                   \
        CHECK_SAY(read_hub() == result, "%s: not " #result, #__VA_ARGS__);                                             \
    } while (0)
#define BELIEVED(...) EXPECT(HUB_OK, __VA_ARGS__)
#define REFUSED(...) EXPECT(HUB_DAMAGED, __VA_ARGS__)

static void check_numbers(void) {
    test_step("numbers at the edge of what is believed");
    make_segment(LIPC_STREAMS_MAX);
    CHECK_INT(read_hub(), ==, HUB_OK);
    make_segment(N_STREAMS);
    good = *hub_of(&view);
    const uint64_t size = good.segment_size;
    const uint64_t stream = good.stream_size;
    BELIEVED((void)hub);
    REFUSED(hub->magic = 1);
    EXPECT(HUB_NOT_YET, hub->magic = 0);
    EXPECT(HUB_NOT_YET, hub->state = 0);
    EXPECT(HUB_OTHER_VERSION, hub->layout_major++);
    REFUSED(hub->segment_size = size + 1);
    REFUSED(hub->segment_size = size - 1); /* the last stream is beyond it */
    REFUSED(hub->segment_size = LIPC_HUB_END - 1);
    REFUSED(hub->segment_size = 0);

    REFUSED(hub->n_clients = 0);
    REFUSED(hub->n_clients = LIPC_CLIENTS_MAX + 1);
    REFUSED(hub->client_size = 192);
    REFUSED(hub->client_size = 256 + 32);
    BELIEVED(hub->client_size = 320);
    REFUSED(hub->clients_offset += 32);
    REFUSED(hub->clients_offset = LIPC_HUB_END - 64);
    BELIEVED(hub->clients_offset = size - LIPC_CLIENTS_MAX * 256);
    REFUSED(hub->clients_offset = size - LIPC_CLIENTS_MAX * 256 + 64);
    REFUSED(hub->clients_offset = size + 64);

    REFUSED(hub->n_streams = 0);
    BELIEVED(hub->n_streams = N_STREAMS - 1);
    REFUSED(hub->n_streams = N_STREAMS + 1);
    REFUSED(hub->n_streams = LIPC_STREAMS_MAX + 1, hub->stream_size = 64, hub->log_offset = hub->index_offset = 512);
    REFUSED(hub->n_streams = 2, hub->streams_offset += 32);
    BELIEVED(hub->n_streams = 2, hub->streams_offset += 64);
    REFUSED(hub->n_streams = 2, hub->streams_offset = LIPC_HUB_END - 64);
    BELIEVED(hub->n_streams = 2, hub->streams_offset = LIPC_HUB_END);
    REFUSED(hub->n_streams = 2, hub->stream_size += 32);
    BELIEVED(hub->n_streams = 2, hub->stream_size += 64);
    /* A product that wraps to something small. */
    REFUSED(hub->n_streams = 2, hub->stream_size = UINT64_C(1) << 63);

    REFUSED(hub->request_offset += 4, hub->request_size -= 8);
    BELIEVED(hub->request_offset += 8, hub->request_size -= 8);
    REFUSED(hub->log_offset += 4, hub->log_size -= 8);
    BELIEVED(hub->log_offset += 8, hub->log_size -= 8);
    REFUSED(hub->index_offset += 4, hub->index_length -= 1);
    BELIEVED(hub->index_offset += 8, hub->index_length -= 1);

    const uint32_t header = sizeof(lipc_stream_header);
    BELIEVED(hub->request_offset = header);
    REFUSED(hub->request_offset = header - 8);
    BELIEVED(hub->request_offset = header, hub->request_size = (uint32_t)stream - header);
    REFUSED(hub->request_offset = header, hub->request_size = (uint32_t)stream - header + 1);
    BELIEVED(hub->request_offset = (uint32_t)stream, hub->request_size = 0);
    REFUSED(hub->request_offset = (uint32_t)stream + 8, hub->request_size = 0);
    BELIEVED(hub->log_offset = header);
    REFUSED(hub->log_offset = header - 8);
    BELIEVED(hub->log_offset = header, hub->log_size = (uint32_t)stream - header);
    REFUSED(hub->log_offset = header, hub->log_size = (uint32_t)stream - header + 1);
    BELIEVED(hub->index_offset = header);
    REFUSED(hub->index_offset = header - 8);
    BELIEVED(hub->index_offset = header, hub->index_length = (uint32_t)(stream - header) / 16);
    REFUSED(hub->index_offset = header, hub->index_length = (uint32_t)(stream - header) / 16 + 1);
    BELIEVED(hub->parts_offset = header);
    REFUSED(hub->parts_offset = header - 8);
    REFUSED(hub->parts_offset = header + 4);
    BELIEVED(hub->parts_offset = header, hub->parts_size = (uint32_t)stream - header);
    REFUSED(hub->parts_offset = header, hub->parts_size = (uint32_t)stream - header + 1);
    BELIEVED(hub->parts_index_offset = header);
    REFUSED(hub->parts_index_offset = header - 8);
    BELIEVED(hub->parts_index_offset = header, hub->parts_length = (uint32_t)(stream - header) / 32);
    REFUSED(hub->parts_index_offset = header, hub->parts_length = (uint32_t)(stream - header) / 32 + 1);
    REFUSED(hub->parts_length = LIPC_PARTS_MAX + 1);
    BELIEVED(hub->probs_offset = header);
    BELIEVED(hub->probs_offset = (uint32_t)stream); /* room for none */
    REFUSED(hub->probs_offset = header - 8);
    REFUSED(hub->probs_offset = header + 4);
    REFUSED(hub->probs_offset = (uint32_t)stream + 8);
    BELIEVED(hub->features &= ~LIPC_FEATURE_PROBS, hub->probs_offset = 1);
    /* A host that does not say it has parts may have anything there. */
    BELIEVED(hub->features = LIPC_FEATURE_DOCUMENTS, hub->parts_offset = 1, hub->parts_length = UINT32_MAX);
}

/* ---- a host begins ---- */

static void check_begin(void) {
    test_step("what a host that begins takes away, and what it leaves");
    make_segment(N_STREAMS);
    lipc_hub *hub = hub_of(&view);
    memset(&hub->load_per_mille, 0x55, offsetof(lipc_hub, bell) - offsetof(lipc_hub, load_per_mille));
    hub->features = 4;
    hub->shutdown = 1;
    hub->next_ticket = 77;
    hub->bell = (lipc_doorbell){3, 4};
    hub->host_pid = 1;
    hub->n_streams = 1;
    size_t size = view.at.segment_size - LIPC_HUB_END;
    memset(view.base + LIPC_HUB_END, 0x55, size);
    char *before = malloc(size);
    CHECK(before != NULL);
    memcpy(before, view.base + LIPC_HUB_END, size);
    hub_begin(&view, PID, 100, "1");
    CHECK(hub->load_per_mille == 0 && hub->n_ctx == 0 && hub->model[0] == 0);
    CHECK_INT(hub->features, ==, LIPC_FEATURE_PARTS | LIPC_FEATURE_DOCUMENTS | LIPC_FEATURE_PARAMETERS | LIPC_FEATURE_TOKENS_SUM |
                                     LIPC_FEATURE_STATES | LIPC_FEATURE_PROBS);
    CHECK(hub->shutdown == 0 && hub->next_ticket == 77 && hub->bell.rings == 3 && hub->bell.armed == 4);
    CHECK(hub->host_pid == PID && hub->host_start_time == 100 && hub->n_streams == N_STREAMS && hub->epoch == 2);
    CHECK_INT(hub->hub_size, ==, 2304);
    CHECK_INT(hub->state, ==, LIPC_HUB_STARTING);
    CHECK_TEXT(hub->host_version, "1");
    CHECK_SAY(memcmp(before, view.base + LIPC_HUB_END, size) == 0, "records or streams were touched");

    test_step("what is cleared for a host that finds something else");
    memset(view.base, 0x55, view.at.segment_size);
    hub_clear(&view);
    for (size_t i = LIPC_HUB_OFFSET; i < view.at.streams_offset; i++) CHECK_INT(view.base[i], ==, 0);
    CHECK_INT(view.base[LIPC_HUB_OFFSET - 1], ==, 0x55);
    for (uint32_t i = 0; i < N_STREAMS; i++) {
        const lipc_stream_header none = {.claim = stream_claim(LIPC_CLAIM_FREE, 0, 1)};
        CHECK(memcmp(hub_stream(&view, i), &none, sizeof none) == 0);
        CHECK_INT(stream_request(&view, i)[0], ==, 0x55);
    }
    hub_request_shutdown(&view);
    CHECK_INT(hub->shutdown, ==, 1);

    test_step("what is shown again where somebody scribbled, and what is not");
    hub_begin(&view, PID, 100, "1");
    lipc_hub shown = *hub;
    shown.n_attached = 3;
    shown.bell.rings = 4;
    for (size_t at = 0; at < offsetof(lipc_hub, bell); at++) {
        ((char *)hub)[at] ^= 0x55;
        hub_restore(&view, &shown);
        bool is_left = at / 4 == offsetof(lipc_hub, n_attached) / 4;
        lipc_hub wanted = shown;
        wanted.n_attached = hub->n_attached;
        wanted.bell.rings = 0;
        wanted.shutdown = hub->shutdown;
        CHECK_SAY(memcmp(hub, &wanted, sizeof wanted) == 0, "byte %zu", at);
        CHECK_INT(hub->n_attached, ==, is_left ? 0x55u << at % 4 * 8 : 0);
        hub->n_attached = 0;
    }

    test_step("a record's generation counts round");
    uint32_t index;
    uint64_t claim;
    hub_client(&view, 0)->claim = client_claim(LIPC_CLIENT_FREE, 0x0FFFFFFF, 0);
    CHECK(hub_client_attach(&view, PID, 9, &index, &claim) && index == 0);
    hub_client(&view, 0)->reservation = hub_client(&view, 0)->queue_position = 9;
    hub_client_free(&view, 0, claim);
    CHECK(hub_client(&view, 0)->claim == client_claim(LIPC_CLIENT_FREE, 0, 0));
    CHECK(hub_client(&view, 0)->reservation == 0 && hub_client(&view, 0)->queue_position == 0);
    free(before);
}

/* ---- words ---- */

static void check_words(void) {
    test_step("what the words hold");
    CHECK(client_claim(LIPC_CLIENT_ATTACHED, 0x0ABCDEF1, 0x12345678) == UINT64_C(0x12345678ABCDEF12));
    CHECK_INT(client_claim_phase(UINT64_C(0x12345678ABCDEF12)), ==, 2);
    CHECK_INT(client_claim_generation(UINT64_C(0x12345678ABCDEF12)), ==, 0x0ABCDEF1);
    CHECK_INT(client_claim_pid(UINT64_C(0x12345678ABCDEF12)), ==, 0x12345678);
    CHECK_INT(client_claim_generation(client_claim(LIPC_CLIENT_FREE, 0x10000000, 0)), ==, 0);
    CHECK(stream_claim(LIPC_CLAIM_SUBMITTED, LIPC_NO_OWNER, 0x12345678) == UINT64_C(0x123456780000FFF2));
    CHECK_INT(stream_claim_phase(UINT64_C(0x123456780000FFF2)), ==, 2);
    CHECK_INT(stream_claim_owner(UINT64_C(0x123456780000FFF2)), ==, 0xFFF);
    CHECK_INT(stream_claim_generation(UINT64_C(0x123456780000FFF2)), ==, 0x12345678);
    const uint64_t reservation = UINT64_C(0x12345) << 18 | 0xFFFFu << 2 | LIPC_RESERVATION_GRANTED;
    CHECK_INT(reservation_phase(reservation), ==, LIPC_RESERVATION_GRANTED);
    CHECK_INT(reservation_stream(reservation), ==, 0xFFFF);
    CHECK_INT(reservation_ticket(reservation), ==, 0x12345);

    test_step("what is a reservation");
    make_segment(N_STREAMS);
    static const bool is_reservation[4] = {false, true, true, false};
    for (uint32_t phase = 0; phase < 4; phase++) {
        hub_client(&view, 1)->reservation = UINT64_C(5) << 18 | phase;
        CHECK_INT(reservation_is_pending(&view, 1), ==, is_reservation[phase]);
        CHECK(!reservation_is_pending(&view, 0));
    }

    test_step("the last stream that a grant can name");
    make_segment(N_STREAMS);
    uint32_t stream;
    uint64_t claim;
    hub_of(&view)->next_ticket = UINT64_C(0x3FFFFFFFFFF);
    reservation_request(&view, 0);
    CHECK_INT(hub_of(&view)->next_ticket, ==, UINT64_C(0x40000000000));
    CHECK(reservation_grant(&view, 0, hub_client(&view, 0)->reservation, 0xFFFF));
    CHECK_INT(reservation_ticket(hub_client(&view, 0)->reservation), ==, UINT64_C(0x3FFFFFFFFFF));
    CHECK(reservation_take(&view, 0, &stream, &claim));
    CHECK(stream == 0xFFFF && claim == 0);

    test_step("the last stream that there is, and one more");
    for (uint32_t last = N_STREAMS - 1; last <= N_STREAMS; last++) {
        hub_stream(&view, N_STREAMS - 1)->claim = stream_claim(LIPC_CLAIM_OFFERED, 0, 8);
        reservation_request(&view, 0);
        CHECK(reservation_grant(&view, 0, hub_client(&view, 0)->reservation, last));
        CHECK(reservation_take(&view, 0, &stream, &claim));
        CHECK(claim == (last < N_STREAMS ? stream_claim(LIPC_CLAIM_CLAIMED, 0, 8) : 0));
    }
    /* Taken already. */
    reservation_request(&view, 0);
    CHECK(reservation_grant(&view, 0, hub_client(&view, 0)->reservation, N_STREAMS - 1));
    hub_stream(&view, N_STREAMS - 1)->claim = stream_claim(LIPC_CLAIM_SUBMITTED, 0, 8);
    CHECK(reservation_take(&view, 0, &stream, &claim) && claim == 0);

    test_step("whose hub it is");
    CHECK(hub_is_of(view.base, PID) && !hub_is_of(view.base, PID + 1));
    hub_of(&view)->magic++;
    CHECK(!hub_is_of(view.base, PID));
}

int main(void) {
    test_begin("hub_rules", 60);
    check_plan();
    check_numbers();
    check_begin();
    check_words();
    free(view.base);
    return test_end();
}
