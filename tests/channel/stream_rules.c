/* stream_rules.c - src/channel/hub.h and stream.h without any process: where the parts of a segment lie, damaged hubs,
 * records, claims, reservations, and what a reader sees of each step of a writer. */
#include "../support/harness.h"

#include "channel/hub.h"
#include "channel/reservation.h"
#include "channel/stream.h"
#include "lipc/lipc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_STREAMS = 3, PID = 4711 };

static hub_view view;

static void make_segment(uint32_t n_streams, uint32_t request_size, uint32_t log_size) {
    free(view.base);
    hub_plan(&view.at, n_streams, request_size, log_size);
    view.base = aligned_alloc(4096, view.at.segment_size);
    CHECK(view.base != NULL);
    memset(view.base, 0, view.at.segment_size);
    hub_clear(&view);
}

static void begin_host(void) {
    hub_begin(&view, PID, 99, "9.8.7");
}

/* ---- the hub ---- */

/* Parts lie behind each other, on pages, and none reaches into the next. */
static void check_plan(uint32_t n_streams, uint32_t request_size, uint32_t log_size) {
    hub_geometry at;
    hub_plan(&at, n_streams, request_size, log_size);
    CHECK_INT(at.clients_offset, ==, LIPC_HUB_END);
    CHECK_INT(at.streams_offset, >=, at.clients_offset + (uint64_t)at.n_clients * at.client_size);
    CHECK_INT(at.request_offset, >=, sizeof(lipc_stream_header));
    CHECK_INT(at.request_size, >=, request_size);
    CHECK_INT(at.log_offset, >=, at.request_offset + at.request_size);
    CHECK_INT(at.log_size, >=, log_size);
    CHECK_INT(at.index_offset, >=, (uint64_t)at.log_offset + at.log_size);
    CHECK_INT(at.stream_size, >=, at.index_offset + (uint64_t)at.index_length * sizeof(lipc_token_record));
    CHECK_INT(at.segment_size, ==, at.streams_offset + at.stream_size * n_streams);
    CHECK_INT(at.streams_offset % 4096, ==, 0);
    CHECK_INT(at.stream_size % 4096, ==, 0);
}

static hub_check read_hub(hub_view *seen) {
    hub_identity identity;
    return hub_read(view.base, view.at.segment_size, seen, &identity);
}

static void check_hub(void) {
    hub_view seen;
    hub_identity identity;
    test_step("where the parts lie");
    check_plan(1, HUB_REQUEST_SIZE_MIN, HUB_LOG_SIZE_MIN);
    check_plan(8, 256 << 10, 1 << 20);
    check_plan(LIPC_STREAMS_MAX, 4097, 5000);
    check_plan(2, HUB_REQUEST_SIZE_MAX, HUB_LOG_SIZE_MAX);

    test_step("more streams than there may be");
    make_segment(LIPC_STREAMS_MAX, 4096, 4096);
    begin_host();
    CHECK_INT(read_hub(&seen), ==, HUB_OK);
    make_segment(LIPC_STREAMS_MAX + 1, 4096, 4096);
    begin_host();
    CHECK_INT(read_hub(&seen), ==, HUB_DAMAGED);

    test_step("a hub before and after its host has begun");
    make_segment(N_STREAMS, 4096, 4096);
    CHECK_INT(read_hub(&seen), ==, HUB_NOT_YET);
    begin_host();
    CHECK_INT(hub_read(view.base, view.at.segment_size, &seen, &identity), ==, HUB_OK);
    CHECK(hub_is_same_layout(&seen.at, &view.at));
    CHECK_INT(identity.host_pid, ==, PID);
    CHECK_INT(identity.host_start_time, ==, 99);
    CHECK_INT(identity.epoch, ==, 1);
    CHECK_INT(hub_of(&view)->state, ==, LIPC_HUB_STARTING);
    CHECK_TEXT(hub_of(&view)->host_version, "9.8.7");
    begin_host();
    CHECK_INT(hub_read(view.base, view.at.segment_size, &seen, &identity), ==, HUB_OK);
    CHECK_INT(identity.epoch, ==, 2);
    hub_of(&view)->state = 0;
    CHECK_INT(read_hub(&seen), ==, HUB_NOT_YET);
}

/* Each number of the hub in turn, with each value that must not be believed: nothing may lie outside of what is
 * mapped. */
static void check_damaged_hubs(void) {
    static const size_t words[] = {offsetof(lipc_hub, segment_size), offsetof(lipc_hub, clients_offset),
                                   offsetof(lipc_hub, streams_offset), offsetof(lipc_hub, stream_size)};
    static const size_t halves[] = {offsetof(lipc_hub, client_size), offsetof(lipc_hub, n_clients),
                                    offsetof(lipc_hub, n_streams), offsetof(lipc_hub, request_offset),
                                    offsetof(lipc_hub, request_size), offsetof(lipc_hub, log_offset),
                                    offsetof(lipc_hub, log_size), offsetof(lipc_hub, index_offset),
                                    offsetof(lipc_hub, index_length)};
    static const uint64_t lies[] = {1, 7, 63, 64, 4095, 1u << 20, 0x7FFFFFFF, 0xFFFFFFC0, 0xFFFFFFFF};
    static const uint64_t wide_lies[] = {UINT64_MAX, UINT64_MAX - 63, UINT64_MAX / 2 + 1, UINT64_C(1) << 32};
    hub_view seen;
    int n_refused = 0;
    test_step("damaged hubs");
    make_segment(N_STREAMS, 4096, 4096);
    begin_host();
    lipc_hub good = *hub_of(&view);
    for (size_t field = 0; field < 4 + 9; field++)
        for (size_t i = 0; i < 9 + (field < 4 ? 4u : 0u); i++) {
            uint64_t lie = i < 9 ? lies[i] : wide_lies[i - 9];
            char *hub = (char *)hub_of(&view);
            *hub_of(&view) = good;
            if (field < 4)
                memcpy(hub + words[field], &lie, 8);
            else
                memcpy(hub + halves[field - 4], &(uint32_t){(uint32_t)lie}, 4);
            hub_check check = read_hub(&seen);
            CHECK(check == HUB_OK || check == HUB_DAMAGED);
            n_refused += check == HUB_DAMAGED;
            if (check != HUB_OK)
                continue;
            /* Believed, so it must be harmless: every part that it leads to is mapped. */
            const hub_geometry *at = &seen.at;
            uint64_t size = view.at.segment_size;
            CHECK_INT(at->clients_offset + (uint64_t)at->client_size * at->n_clients, <=, size);
            CHECK_INT(at->streams_offset + at->stream_size * at->n_streams, <=, size);
            CHECK_INT((uint64_t)at->request_offset + at->request_size, <=, at->stream_size);
            CHECK_INT((uint64_t)at->log_offset + at->log_size, <=, at->stream_size);
            CHECK_INT(at->index_offset + (uint64_t)at->index_length * 16, <=, at->stream_size);
            CHECK(at->n_clients <= LIPC_CLIENTS_MAX && at->n_streams <= LIPC_STREAMS_MAX);
        }
    CHECK_INT(n_refused, >, 60);
    *hub_of(&view) = good;
    hub_of(&view)->n_streams = 0;
    CHECK_INT(read_hub(&seen), ==, HUB_DAMAGED);
    *hub_of(&view) = good;
    hub_of(&view)->magic++;
    CHECK_INT(read_hub(&seen), ==, HUB_DAMAGED);
    *hub_of(&view) = good;
    CHECK_INT(hub_read(view.base, view.at.segment_size - 1, &seen, &(hub_identity){0}), ==, HUB_DAMAGED);
    hub_of(&view)->layout_minor = 77;
    CHECK_INT(read_hub(&seen), ==, HUB_OK);
    hub_identity identity;
    hub_of(&view)->layout_major = 2;
    CHECK_INT(hub_read(view.base, view.at.segment_size, &seen, &identity), ==, HUB_OTHER_VERSION);
    CHECK_INT(identity.major, ==, 2);
    CHECK_INT(identity.minor, ==, 77);
    CHECK_INT(identity.host_pid, ==, PID);
}

/* ---- records and reservations ---- */

static void check_records(void) {
    uint32_t index, other;
    uint64_t claim, other_claim;
    test_step("client records");
    make_segment(N_STREAMS, 4096, 4096);
    begin_host();
    uint32_t generation = client_claim_generation(hub_client(&view, 0)->claim);
    CHECK(hub_client_attach(&view, 100, 5, &index, &claim));
    CHECK(hub_client_attach(&view, 101, 6, &other, &other_claim));
    CHECK_INT(index, ==, 0);
    CHECK_INT(other, ==, 1);
    CHECK(hub_client(&view, 0)->claim == claim && claim == client_claim(LIPC_CLIENT_ATTACHED, generation, 100));
    CHECK_INT(hub_client(&view, 0)->start_time, ==, 5);
    hub_client(&view, 0)->reservation = 0xFFFF;
    hub_client_leave(&view, index, claim);
    CHECK_INT(client_claim_phase(hub_client(&view, 0)->claim), ==, LIPC_CLIENT_LEAVING);
    hub_client_free(&view, index, hub_client(&view, 0)->claim);
    CHECK(hub_client(&view, 0)->claim == client_claim(LIPC_CLIENT_FREE, generation + 1, 0));
    CHECK_INT(hub_client(&view, 0)->reservation, ==, 0);
    /* The same record, another generation: the old claim is worth nothing. */
    uint64_t new_claim;
    CHECK(hub_client_attach(&view, 100, 5, &index, &new_claim));
    CHECK(index == 0 && new_claim != claim);
    hub_client_leave(&view, index, claim);
    CHECK(hub_client(&view, 0)->claim == new_claim);
    for (uint32_t i = 2; i < LIPC_CLIENTS_MAX; i++)
        CHECK(hub_client_attach(&view, 1000 + i, i, &index, &claim) && index == i);
    CHECK(!hub_client_attach(&view, 7, 7, &index, &claim));
    /* The next host keeps all; one that finds something else here begins with nothing. */
    begin_host();
    for (uint32_t i = 0; i < LIPC_CLIENTS_MAX; i++)
        CHECK_INT(client_claim_phase(hub_client(&view, i)->claim), ==, LIPC_CLIENT_ATTACHED);
    hub_clear(&view);
    begin_host();
    for (uint32_t i = 0; i < LIPC_CLIENTS_MAX; i++)
        CHECK_INT(client_claim_phase(hub_client(&view, i)->claim), ==, LIPC_CLIENT_FREE);

    test_step("reservations");
    uint32_t stream;
    lipc_client_record *record = hub_client(&view, 4);
    uint64_t claim_now, offered;
    CHECK(!reservation_take(&view, 4, &stream, &claim_now));
    CHECK(!reservation_withdraw(&view, 4, &stream, &claim_now));
    reservation_request(&view, 4);
    uint64_t reservation = record->reservation;
    CHECK_INT(reservation_phase(reservation), ==, LIPC_RESERVATION_WAITING);
    reservation_request(&view, 4);
    CHECK(record->reservation == reservation);
    reservation_request(&view, 5);
    CHECK_INT(reservation_ticket(hub_client(&view, 5)->reservation), ==, reservation_ticket(reservation) + 1);
    CHECK(!reservation_take(&view, 4, &stream, &claim_now));
    CHECK(reservation_grant(&view, 4, reservation, 1000));
    CHECK(!reservation_grant(&view, 4, reservation, 3));
    CHECK_INT(reservation_ticket(record->reservation), ==, reservation_ticket(reservation));
    /* No such stream: the reservation is over, and nothing taken. */
    CHECK(reservation_take(&view, 4, &stream, &claim_now));
    CHECK(stream == 1000 && claim_now == 0);
    CHECK(!reservation_take(&view, 4, &stream, &claim_now));
    reservation = hub_client(&view, 5)->reservation;
    CHECK(!reservation_withdraw(&view, 5, &stream, &claim_now));
    CHECK(!reservation_grant(&view, 5, reservation, 2));
    reservation_request(&view, 5);
    CHECK(stream_offer_free(&view, 5, &stream, &offered));
    CHECK(stream_claim_phase(offered) == LIPC_CLAIM_OFFERED && stream_claim_owner(offered) == 5);
    CHECK(reservation_grant(&view, 5, hub_client(&view, 5)->reservation, stream));
    CHECK(reservation_withdraw(&view, 5, &stream, &claim_now));
    CHECK(claim_now == stream_claim(LIPC_CLAIM_CLAIMED, 5, stream_claim_generation(offered)));
    CHECK(stream_claim_now(hub_stream(&view, stream)) == claim_now);
    CHECK(stream_change_claim(hub_stream(&view, stream), claim_now,
                              stream_claim(LIPC_CLAIM_FREE, 0, stream_claim_generation(claim_now) + 1)));
    /* Not offered to this one. */
    CHECK(stream_offer_free(&view, 6, &stream, &offered));
    reservation_request(&view, 5);
    CHECK(reservation_grant(&view, 5, hub_client(&view, 5)->reservation, stream));
    CHECK(reservation_take(&view, 5, &stream, &claim_now) && claim_now == 0);
    CHECK(stream_claim_now(hub_stream(&view, stream)) == offered);
    CHECK(stream_change_claim(hub_stream(&view, stream), offered,
                              stream_claim(LIPC_CLAIM_FREE, 0, stream_claim_generation(offered) + 1)));
    CHECK_INT(hub_client(&view, 5)->reservation, ==, LIPC_RESERVATION_NONE);
}

/* ---- claims ---- */

static void check_claims(void) {
    uint32_t index;
    uint64_t claim, claims[N_STREAMS];
    test_step("claims");
    make_segment(N_STREAMS, 4096, 4096);
    begin_host();
    for (uint32_t i = 0; i < N_STREAMS; i++) {
        CHECK(stream_claim_free(&view, 10 + i, &index, &claims[i]));
        CHECK_INT(index, ==, i);
        CHECK_INT(stream_claim_phase(claims[i]), ==, LIPC_CLAIM_CLAIMED);
        CHECK_INT(stream_claim_owner(claims[i]), ==, 10 + i);
    }
    CHECK(!stream_claim_free(&view, 9, &index, &claim));
    /* One whose claim was written over is not free while another's answer is made there. */
    lipc_stream_header *made = hub_stream(&view, 2);
    made->claim = stream_claim(LIPC_CLAIM_FREE, 0, 5);
    made->status = UINT64_C(5) << 32 | LIPC_STREAM_GENERATING;
    CHECK(!stream_claim_free(&view, 9, &index, &claim));
    made->status = UINT64_C(5) << 32 | LIPC_END_TURN << 8;
    CHECK(stream_claim_free(&view, 9, &index, &claim) && index == 2);
    made->claim = stream_claim(LIPC_CLAIM_FREE, 0, 5);
    made->status = UINT64_C(4) << 32 | LIPC_STREAM_ENDED;
    CHECK(stream_claim_free(&view, 9, &index, &claim) && index == 2);
    lipc_stream_header *header = hub_stream(&view, 1);
    uint32_t generation = stream_claim_generation(claims[1]);
    uint64_t submitted = stream_claim(LIPC_CLAIM_SUBMITTED, 11, generation);
    CHECK(!stream_change_claim(header, claims[0], submitted));
    CHECK(stream_change_claim(header, claims[1], submitted));
    CHECK(!stream_change_claim(header, claims[1], submitted));
    CHECK(stream_claim_now(header) == submitted);

    CHECK(!stream_cancel_requested(header, generation));
    /* Of another generation: nothing is asked for, and what was asked for stays. */
    CHECK(!stream_request_cancel(header, generation - 1) && !stream_request_cancel(header, generation + 1));
    CHECK(!stream_cancel_requested(header, generation - 1) && !stream_cancel_requested(header, generation + 1));
    CHECK(stream_request_cancel(header, generation));
    CHECK(stream_cancel_requested(header, generation));
    CHECK(!stream_request_cancel(header, generation - 1));
    CHECK(stream_cancel_requested(header, generation));
    CHECK(!stream_cancel_requested(header, generation + 1));
    /* Nor does a request begin cancelled because somebody wrote there before. */
    stream_write_request(&view, 1, (const uint8_t[STREAM_ID_BYTES]){1}, "", 0);
    CHECK(!stream_cancel_requested(header, generation));

    static const uint32_t watchers[] = {0, 1, 63, 64, 200, 255};
    for (size_t i = 0; i < 6; i++) stream_watch(header, watchers[i]);
    for (size_t i = 0; i < 6; i++) CHECK(header->watchers[watchers[i] / 64] >> (watchers[i] % 64) & 1);
    stream_unwatch(header, 64);
    stream_unwatch(header, 200);
    stream_unwatch(header, 255);
    CHECK(header->watchers[1] == 0 && header->watchers[3] == 0);
    stream_watch(header, 64);
    stream_unwatch(header, 63);
    CHECK(header->watchers[0] == 3 && header->watchers[1] == 1);
    /* The next host keeps all. */
    uint64_t claim_before = stream_claim_now(header);
    begin_host();
    CHECK(stream_claim_now(header) == claim_before && header->watchers[0] == 3 && header->watchers[1] == 1);
}

/* ---- writing and reading ---- */

static bool append(stream_writer *writer, const char *text, int32_t id) {
    return stream_writer_append(writer, text, strlen(text), &(stream_token){.id = id, .logprob = NAN}, writer->started_ns + 5000) == STREAM_FITS;
}

static void check_answer(void) {
    stream_writer writer;
    stream_reader reader;
    stream_snapshot snapshot;
    test_step("an answer");
    make_segment(N_STREAMS, 4096, 4096);
    begin_host();
    lipc_stream_header *header = hub_stream(&view, 2);
    header->claim = stream_claim(LIPC_CLAIM_SUBMITTED, 3, 8);
    stream_reader_begin(&reader, &view, 2, 8);
    /* What a generation before has left is nobody's. */
    header->status = UINT64_C(7) << 32 | LIPC_END_TURN << 8 | LIPC_STREAM_ENDED;
    header->published = UINT64_C(5) << 32 | 77;
    header->n_cached = 6;
    stream_read_snapshot(&reader, &snapshot);
    CHECK(snapshot.state == LIPC_STREAM_QUEUED && snapshot.n_bytes == 0 && snapshot.n_tokens == 0 && snapshot.end == 0);

    stream_writer_begin(&writer, &view, 2, 8, 1000);
    stream_read_snapshot(&reader, &snapshot);
    CHECK(snapshot.state == LIPC_STREAM_QUEUED && snapshot.n_bytes == 0 && snapshot.n_tokens == 0);
    CHECK(header->submitted_ns == 1000 && header->n_cached == 0);
    stream_writer_position(&writer, 4);
    CHECK_INT(header->queue_position, ==, 4);
    stream_writer_start(&writer, 42, 7, 2000);
    stream_writer_prompt(&writer, 30, 10, 4);
    CHECK_INT(header->n_cached, ==, 4);
    stream_read_snapshot(&reader, &snapshot);
    CHECK_INT(snapshot.state, ==, LIPC_STREAM_READING);
    CHECK(header->queue_position == 0 && header->seed == 42 && header->n_prompt == 30 && header->n_prompt_done == 10);

    CHECK(append(&writer, "Grü", 1) && append(&writer, "", 2) && append(&writer, "ße", 3));
    CHECK(stream_writer_append(&writer, "!", 1, NULL, 9000) == STREAM_FITS); /* text without a token */
    stream_read_snapshot(&reader, &snapshot);
    CHECK_INT(snapshot.state, ==, LIPC_STREAM_GENERATING);
    CHECK_INT(snapshot.n_bytes, ==, strlen("Grüße!"));
    CHECK_INT(snapshot.n_tokens, ==, 3);
    CHECK(memcmp(reader.log, "Grüße!", snapshot.n_bytes) == 0);
    CHECK(reader.index[0].end == 4 && reader.index[1].end == 4 && reader.index[2].end == 7 && reader.index[2].id == 3);
    CHECK_INT(reader.index[0].time_us, ==, 5);
    CHECK(isnan(reader.index[0].logprob));
    stream_writer_end(&writer, LIPC_END_FAILED, LIPC_E_FAILED, "because", 10000);
    stream_read_snapshot(&reader, &snapshot);
    CHECK(snapshot.state == LIPC_STREAM_ENDED && snapshot.end == LIPC_END_FAILED && snapshot.n_bytes == 8);
    CHECK_INT(snapshot.error, ==, LIPC_E_FAILED);
    CHECK_TEXT(header->message, "because");
    CHECK_INT(header->ended_ns, ==, 10000);

    CHECK(stream_is_current(&reader));
    header->claim = stream_claim(LIPC_CLAIM_FREE, 0, 9);
    CHECK(!stream_is_current(&reader));

    test_step("a message that is too long ends between two characters");
    char message[600];
    for (size_t i = 0; i + 4 <= sizeof message; i += 4) memcpy(message + i, "🚀", 4);
    message[sizeof message - 1] = 0;
    stream_writer_end(&writer, LIPC_END_REFUSED, LIPC_E_REFUSED, message, 1);
    CHECK_INT(strlen(header->message), ==, 252);
    CHECK(test_is_utf8(header->message, 252));
    memset(message, 'x', sizeof message - 1);
    stream_writer_end(&writer, LIPC_END_REFUSED, LIPC_E_REFUSED, message, 1);
    CHECK_INT(strlen(header->message), ==, 255);

    test_step("a generation without a state is not seen yet");
    header->status = UINT64_C(8) << 32 | LIPC_END_TURN << 8;
    stream_read_snapshot(&reader, &snapshot);
    CHECK(snapshot.state == LIPC_STREAM_QUEUED && snapshot.end == 0 && snapshot.n_bytes == 0);

    test_step("lengths that lie");
    header->status = UINT64_C(8) << 32 | LIPC_STREAM_GENERATING;
    header->published = UINT64_MAX;
    stream_read_snapshot(&reader, &snapshot);
    CHECK_INT(snapshot.n_bytes, ==, view.at.log_size);
    CHECK_INT(snapshot.n_tokens, ==, view.at.index_length);

    test_step("times that do not fit");
    stream_writer_begin(&writer, &view, 2, 9, 0);
    stream_writer_start(&writer, 0, 0, 0);
    stream_writer_append(&writer, "a", 1, &(stream_token){.id = 0}, UINT64_MAX / 2);
    CHECK(writer.index[0].time_us == UINT32_MAX);
}

static void check_full(const char *character) {
    stream_writer writer;
    stream_reader reader;
    stream_snapshot snapshot;
    size_t size = strlen(character);
    make_segment(1, 4096, 4096);
    begin_host();
    stream_reader_begin(&reader, &view, 0, 1);
    memset((char *)reader.log + view.at.log_size, 0x55, 16); /* the index, whose record 0 is written below */
    stream_writer_begin(&writer, &view, 0, 1, 0);
    stream_writer_start(&writer, 0, 0, 0);
    CHECK(append(&writer, "ab", 0));
    bool has_room = true;
    while (has_room) has_room = stream_writer_append(&writer, character, size, NULL, 0) == STREAM_FITS;
    stream_read_snapshot(&reader, &snapshot);
    CHECK_INT(snapshot.n_bytes, ==, 2 + (view.at.log_size - 2) / size * size);
    CHECK(test_is_utf8(reader.log, snapshot.n_bytes));
    CHECK_INT(reader.index[0].end, ==, 2);
}

static void check_full_index(void) {
    stream_writer writer;
    stream_reader reader;
    stream_snapshot snapshot;
    make_segment(2, 4096, 4096);
    begin_host();
    lipc_stream_header before = *hub_stream(&view, 1);
    stream_writer_begin(&writer, &view, 0, 1, 0);
    stream_writer_start(&writer, 0, 0, 0);
    for (uint32_t i = 0; i < view.at.index_length; i++) CHECK(append(&writer, "x", (int32_t)i));
    CHECK(!append(&writer, "y", -1));
    CHECK(!append(&writer, "", -1));
    stream_reader_begin(&reader, &view, 0, 1);
    stream_read_snapshot(&reader, &snapshot);
    CHECK_INT(snapshot.n_tokens, ==, view.at.index_length);
    CHECK_INT(snapshot.n_bytes, ==, view.at.index_length + 1);
    CHECK_INT(reader.index[view.at.index_length - 1].id, ==, view.at.index_length - 1);
    CHECK(memcmp(&before, hub_stream(&view, 1), sizeof before) == 0);
}

int main(void) {
    test_begin("stream_rules", 60);
    check_hub();
    check_damaged_hubs();
    check_records();
    check_claims();
    check_answer();
    test_step("a full log");
    static const char *const characters[] = {"x", "ü", "→", "🚀"};
    for (size_t i = 0; i < 4; i++) check_full(characters[i]);
    test_step("a full index");
    check_full_index();
    free(view.base);
    return test_end();
}
