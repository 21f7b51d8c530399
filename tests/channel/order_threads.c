/* order_threads.c - each word that hands something over, hands over all that was written before: one thread leaves a
 * plain note and then does one thing to the word, the other does the counterpart and then reads the note. Made for the
 * sanitizer that finds data races: with a memory order too weak, the note is one. And at the end what that sanitizer
 * cannot see, because it knows no fences: a sleeper and a ringer at the same instant, many times.
 *
 * order_threads [instants]
 */
#include "../support/harness.h"

#include "channel/classic_block.h"
#include "channel/hub.h"
#include "channel/reservation.h"
#include "channel/stream.h"
#include "lipc/lipc.h"
#include "platform/platform.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_STREAMS = 2, N_ROUNDS = 3, MOST_MS = 4000 };

static hub_view view;
static lipc_classic_block block;
static classic_writer classic;
static stream_writer writer;
static stream_reader reader;
static plat_doorbell bell;
static uint32_t bell_seen, client_index;
static uint64_t client_claim_now, stream_claim_first;

static uint64_t reservation_now(void) {
    return __atomic_load_n(&hub_client(&view, 0)->reservation, __ATOMIC_ACQUIRE);
}

static uint32_t client_phase_now(void) {
    return client_claim_phase(__atomic_load_n(&hub_client(&view, 0)->claim, __ATOMIC_ACQUIRE));
}

/* ---- what is handed over: by whom, and how the other side notices ---- */

static void nothing(void) {
}

static void attach(void) {
    CHECK(hub_client_attach(&view, 77, 1, &client_index, &client_claim_now) && client_index == 0);
}
static bool sees_client(void) {
    return client_phase_now() == LIPC_CLIENT_ATTACHED;
}

static void leave(void) {
    hub_client_leave(&view, 0, client_claim_now);
}
static bool sees_leaver(void) {
    return client_phase_now() == LIPC_CLIENT_LEAVING;
}

static void take_all_records(void) {
    attach();
    for (uint32_t i = 1; i < view.at.n_clients; i++) {
        uint32_t index;
        uint64_t claim;
        CHECK(hub_client_attach(&view, 78, 1, &index, &claim));
    }
}
static void free_record(void) {
    hub_client_free(&view, 0, client_claim_now);
}
static bool gets_record(void) {
    uint32_t index;
    uint64_t claim;
    return hub_client_attach(&view, 79, 1, &index, &claim);
}

static void take_all_streams(void) {
    for (uint32_t i = 0; i < N_STREAMS; i++) {
        uint32_t index;
        uint64_t claim;
        CHECK(stream_claim_free(&view, 5, &index, &claim));
        if (i == 0) stream_claim_first = claim;
    }
}
static void begin(void) {
    hub_begin(&view, 12, 1, "0");
}
static void free_stream(void) {
    uint32_t next = stream_claim_generation(stream_claim_first) + 1;
    CHECK(stream_change_claim(hub_stream(&view, 0), stream_claim_first, stream_claim(LIPC_CLAIM_FREE, 0, next)));
}
static bool gets_stream(void) {
    uint32_t index;
    uint64_t claim;
    return stream_claim_free(&view, 6, &index, &claim);
}

static void hide_hub(void) {
    hub_of(&view)->magic = 0;
    hub_of(&view)->state = 0;
}
static void show_hub(void) {
    hub_of(&view)->state = LIPC_HUB_READY;
}
/* What hub_begin itself writes, plainly, is handed over as well. */
static bool sees_magic(void) {
    if (__atomic_load_n(&hub_of(&view)->magic, __ATOMIC_ACQUIRE) != LIPC_HUB_MAGIC) return false;
    CHECK_INT(hub_of(&view)->host_pid, ==, 12);
    return true;
}
static bool sees_hub_of_12(void) {
    if (!hub_is_of(view.base, 12)) return false;
    CHECK_INT(hub_of(&view)->host_start_time, ==, 1);
    return true;
}
static bool sees_no_magic(void) {
    return __atomic_load_n(&hub_of(&view)->magic, __ATOMIC_ACQUIRE) == 0;
}
static bool sees_starting(void) {
    if (__atomic_load_n(&hub_of(&view)->state, __ATOMIC_ACQUIRE) != LIPC_HUB_STARTING) return false;
    CHECK_INT(hub_of(&view)->host_pid, ==, 12);
    return true;
}
static void begin_and_stay_hidden(void) {
    begin();
    __atomic_store_n(&hub_of(&view)->magic, 0, __ATOMIC_RELAXED);
}

static lipc_hub shown;
static void scribble_over_hub(void) {
    shown = *hub_of(&view);
    shown.host_pid = 12;
    hide_hub();
}
static void restore_hub(void) {
    hub_restore(&view, &shown);
}
static bool sees_restored_hub(void) {
    return __atomic_load_n(&hub_of(&view)->state, __ATOMIC_ACQUIRE) == shown.state;
}
static void request_shutdown(void) {
    hub_request_shutdown(&view);
}
static bool sees_shutdown(void) {
    return __atomic_load_n(&hub_of(&view)->shutdown, __ATOMIC_ACQUIRE) != 0;
}

static void reservation(void) {
    reservation_request(&view, 0);
}
static bool sees_reservation(void) {
    return reservation_phase(reservation_now()) == LIPC_RESERVATION_WAITING;
}
static void grant(void) {
    CHECK(reservation_grant(&view, 0, __atomic_load_n(&hub_client(&view, 0)->reservation, __ATOMIC_RELAXED), 1));
}
static bool takes_grant(void) {
    uint32_t stream;
    uint64_t claim;
    return reservation_take(&view, 0, &stream, &claim);
}
static bool withdraws_late(void) {
    uint32_t stream;
    uint64_t claim, now = __atomic_load_n(&hub_client(&view, 0)->reservation, __ATOMIC_RELAXED);
    return reservation_phase(now) == LIPC_RESERVATION_GRANTED && reservation_withdraw(&view, 0, &stream, &claim);
}
static void reserve_and_grant(void) {
    reservation();
    grant();
}
static void take(void) {
    CHECK(takes_grant());
}
static void withdraw(void) {
    uint32_t stream;
    uint64_t claim;
    CHECK(!reservation_withdraw(&view, 0, &stream, &claim));
}
static bool sees_no_reservation(void) {
    return reservation_now() == LIPC_RESERVATION_NONE;
}

static void submit(void) {
    CHECK(stream_change_claim(hub_stream(&view, 0), stream_claim_first,
                              stream_claim(LIPC_CLAIM_SUBMITTED, 5, stream_claim_generation(stream_claim_first))));
}
static bool sees_request(void) {
    return stream_claim_phase(stream_claim_now(hub_stream(&view, 0))) == LIPC_CLAIM_SUBMITTED;
}

static uint32_t generation_now(void) {
    return stream_claim_generation(stream_claim_now(hub_stream(&view, 0)));
}
static void cancel(void) {
    CHECK(stream_request_cancel(hub_stream(&view, 0), generation_now()));
}
static bool sees_cancel(void) {
    return stream_cancel_requested(hub_stream(&view, 0), generation_now());
}

static bool is_watched(void) {
    return __atomic_load_n(&hub_stream(&view, 0)->watchers[1], __ATOMIC_ACQUIRE) != 0;
}
static void watch(void) {
    stream_watch(hub_stream(&view, 0), 70);
}
static void unwatch(void) {
    stream_unwatch(hub_stream(&view, 0), 70);
}
static bool is_unwatched(void) {
    return !is_watched();
}

static void begin_answer(void) {
    stream_writer_begin(&writer, &view, 0, 9, 1);
    stream_writer_start(&writer, 1, 0, 1);
    stream_reader_begin(&reader, &view, 0, 9);
}
static void begin_waiting(void) {
    stream_writer_begin(&writer, &view, 0, 9, 1);
}
static void start_answer(void) {
    stream_writer_start(&writer, 1, 1, 7);
}
static bool sees_start(void) {
    return __atomic_load_n(&hub_stream(&view, 0)->started_ns, __ATOMIC_ACQUIRE) == 7;
}
static void begin_generating(void) {
    begin_answer();
    CHECK(stream_writer_append(&writer, "a", 1, &(stream_token){.id = 1}, 2) == STREAM_FITS);
}
static void append(void) {
    CHECK(stream_writer_append(&writer, "b", 1, &(stream_token){.id = 1}, 2) == STREAM_FITS);
}
static bool sees_text(void) {
    stream_snapshot snapshot;
    stream_read_snapshot(&reader, &snapshot);
    return snapshot.n_bytes == 2;
}
static void end_answer(void) {
    stream_writer_end(&writer, LIPC_END_TURN, 0, "why", 3);
}
static bool sees_end(void) {
    stream_snapshot snapshot;
    stream_read_snapshot(&reader, &snapshot);
    return snapshot.state == LIPC_STREAM_ENDED;
}

static bool finds_text(void) {
    stream_recovered recovered;
    stream_recovered_read(&view, 0, 9, &recovered);
    return recovered.n_bytes == 2;
}
static bool finds_end(void) {
    stream_recovered recovered;
    stream_recovered_read(&view, 0, 9, &recovered);
    return recovered.has_ended;
}
static void scribble_over_published(void) {
    begin_generating();
    hub_stream(&view, 0)->published = 0;
}
static void scribble_over_status(void) {
    begin_generating();
    hub_stream(&view, 0)->status = 0;
}
static void restore_stream(void) {
    stream_writer_restore(&writer);
}
static bool sees_published(void) {
    return __atomic_load_n(&hub_stream(&view, 0)->published, __ATOMIC_ACQUIRE) != 0;
}
static bool sees_status(void) {
    return __atomic_load_n(&hub_stream(&view, 0)->status, __ATOMIC_ACQUIRE) != 0;
}

static void arm(void) {
    bell_seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL);
}
static void ring(void) {
    plat_doorbell_ring(&bell, PLAT_BELL_ALL);
}
static bool has_rung(void) {
    return plat_doorbell_has_rung(&bell, bell_seen);
}
static bool is_armed(void) {
    return __atomic_load_n(&bell.armed, __ATOMIC_ACQUIRE) != 0;
}
static bool is_disarmed(void) {
    return !is_armed();
}
static bool arms_after_ring(void) {
    return __atomic_load_n(&bell.rings, __ATOMIC_RELAXED) != bell_seen &&
           plat_doorbell_arm(&bell, PLAT_BELL_ALL) != bell_seen;
}

static void begin_classic(void) {
    classic_writer_begin(&classic, &block);
}
static void show(void) {
    classic_writer_prepare(&classic, "text", 4);
    classic_writer_show(&classic, 1);
}
static bool reads_text(void) {
    static char text[LIPC_RESPONSE_SIZE];
    return classic_block_read_text(&block, text, 0) == 4;
}
static void complete(void) {
    classic_writer_complete(&classic, 1);
}
static bool sees_completion(void) {
    return classic_block_is_complete(&block);
}

static const struct hand_over {
    const char *what;
    void (*set_up)(void);
    void (*give)(void);
    bool (*take)(void); /* again and again until it is true */
} hand_overs[] = {
    {"a client attaches", nothing, attach, sees_client},
    {"a client leaves", attach, leave, sees_leaver},
    {"a record is freed", take_all_records, free_record, gets_record},
    {"a stream is freed", take_all_streams, free_stream, gets_stream},
    {"the magic comes", hide_hub, begin, sees_magic},
    {"a hub is somebody's", hide_hub, begin, sees_hub_of_12},
    {"the magic goes", show_hub, begin_and_stay_hidden, sees_no_magic},
    {"the hub's state comes", hide_hub, begin, sees_starting},
    {"a hub is shown again", scribble_over_hub, restore_hub, sees_restored_hub},
    {"a request to end", nothing, request_shutdown, sees_shutdown},
    {"a reservation", attach, reservation, sees_reservation},
    {"a grant is taken", reservation, grant, takes_grant},
    {"a grant that is found by who withdraws", reservation, grant, withdraws_late},
    {"a grant has been taken", reserve_and_grant, take, sees_no_reservation},
    {"a reservation is withdrawn", reservation, withdraw, sees_no_reservation},
    {"a request is submitted", take_all_streams, submit, sees_request},
    {"a cancel", nothing, cancel, sees_cancel},
    {"a watcher comes", nothing, watch, is_watched},
    {"a watcher goes", watch, unwatch, is_unwatched},
    {"the start of an answer", begin_waiting, start_answer, sees_start},
    {"text", begin_generating, append, sees_text},
    {"the end of an answer", begin_answer, end_answer, sees_end},
    {"text, found by a successor", begin_generating, append, finds_text},
    {"the end of an answer, found by a successor", begin_answer, end_answer, finds_end},
    {"the length of an answer is shown again", scribble_over_published, restore_stream, sees_published},
    {"the state of an answer is shown again", scribble_over_status, restore_stream, sees_status},
    {"a sleeper arms", nothing, arm, is_armed},
    {"a ring", arm, ring, has_rung},
    {"a ring, seen by who arms again", arm, ring, arms_after_ring},
    {"a ringer is done", arm, ring, is_disarmed},
    {"classic text", begin_classic, show, reads_text},
    {"classic completion", begin_classic, complete, sees_completion},
};

/* ---- */

static int note;

static void *give_it(void *argument) {
    const struct hand_over *it = argument;
    note = 1;
    it->give();
    return NULL;
}

static void *take_it(void *argument) {
    const struct hand_over *it = argument;
    while (!it->take()) sched_yield();
    CHECK_INT(note, ==, 1);
    return NULL;
}

static void check_hand_over(const struct hand_over *it) {
    test_step("%s", it->what);
    for (int round = 0; round < N_ROUNDS; round++) {
        pthread_t giver, taker;
        hub_clear(&view);
        memset(&block, 0, sizeof block);
        bell = (plat_doorbell){0};
        hub_begin(&view, 11, 1, "0");
        it->set_up();
        note = 0;
        CHECK(pthread_create(&taker, NULL, take_it, (void *)(uintptr_t)it) == 0);
        CHECK(pthread_create(&giver, NULL, give_it, (void *)(uintptr_t)it) == 0);
        CHECK(pthread_join(giver, NULL) == 0);
        CHECK(pthread_join(taker, NULL) == 0);
    }
}

/* ---- at the same instant ---- */

/* The ringer changes the state and looks whether anybody sleeps; the sleeper says that it sleeps and looks at the
 * state. If each overlooks the other, the sleeper sleeps on. */
static uint32_t n_instants; /* atomic, as is all of this */
static uint32_t turn_of_ringer, turn_of_sleeper, changed;

static void meet(uint32_t *mine, const uint32_t *other, uint32_t round) {
    __atomic_store_n(mine, round, __ATOMIC_SEQ_CST);
    for (unsigned n = 1; __atomic_load_n(other, __ATOMIC_ACQUIRE) < round; n++)
        if (n % 4096 == 0) sched_yield(); /* the other does not run now */
}

static void *change_and_ring(void *unused) {
    (void)unused;
    for (uint32_t instant = 1; instant <= __atomic_load_n(&n_instants, __ATOMIC_RELAXED); instant++) {
        meet(&turn_of_ringer, &turn_of_sleeper, 2 * instant);
        __atomic_store_n(&changed, instant, __ATOMIC_RELEASE);
        plat_doorbell_ring(&bell, PLAT_BELL_ALL);
        meet(&turn_of_ringer, &turn_of_sleeper, 2 * instant + 1);
    }
    return NULL;
}

static void check_instants(void) {
    pthread_t ringer;
    unsigned n_overlooked = 0;
    double end_ms = test_now_ms() + MOST_MS;
    test_step("a ringer and a sleeper at the same instant");
    bell = (plat_doorbell){0};
    CHECK(pthread_create(&ringer, NULL, change_and_ring, NULL) == 0);
    for (uint32_t instant = 1; instant <= __atomic_load_n(&n_instants, __ATOMIC_RELAXED); instant++) {
        meet(&turn_of_sleeper, &turn_of_ringer, 2 * instant);
        uint32_t seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL);
        bool would_sleep = __atomic_load_n(&changed, __ATOMIC_ACQUIRE) != instant;
        /* On a machine that is busy they seldom run at the same time, and every meeting takes long. */
        if (instant % 256 == 0 && test_now_ms() > end_ms) __atomic_store_n(&n_instants, instant, __ATOMIC_RELAXED);
        meet(&turn_of_sleeper, &turn_of_ringer, 2 * instant + 1);
        n_overlooked += would_sleep && !plat_doorbell_has_rung(&bell, seen);
        __atomic_store_n(&bell.armed, 0, __ATOMIC_RELAXED); /* nobody sleeps between two instants */
    }
    CHECK(pthread_join(ringer, NULL) == 0);
    printf("%u instants\n", n_instants);
    CHECK_SAY(n_overlooked == 0, "%u times of %u both overlooked each other", n_overlooked, n_instants);
}

int main(int argc, char *argv[]) {
    n_instants = argc > 1 ? (unsigned)atoi(argv[1]) : 300000;
    test_begin("order_threads", 120);
    hub_plan(&view.at, N_STREAMS, 4096, 4096);
    view.base = aligned_alloc(4096, view.at.segment_size);
    CHECK(view.base != NULL);
    for (size_t i = 0; i < sizeof hand_overs / sizeof hand_overs[0]; i++) check_hand_over(&hand_overs[i]);
    check_instants();
    free(view.base);
    return test_end();
}
