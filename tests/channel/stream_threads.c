/* stream_threads.c - src/channel/hub.h and stream.h with a host and clients as threads on one segment in plain memory,
 * as they are processes otherwise: made for the sanitizer that finds data races, which sees only threads of one
 * program. What they see is checked as well.
 *
 * A request, an answer or a grant that gets lost is a thread that sleeps for good: the time limit finds it.
 *
 * stream_threads [rounds]
 */
#include "../support/harness.h"

#include "channel/hub.h"
#include "channel/reservation.h"
#include "channel/stream.h"
#include "lipc/lipc.h"
#include "platform/platform.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_CLIENTS = 5, N_STREAMS = 2, N_FOLLOWERS = 3, MAX_BYTES = 3000 };

static hub_view view;
static unsigned n_rounds;
static int n_at_work; /* atomic: clients that still have rounds to go */

/* The answer to the question of one client in one round: another text, and other pieces, for each. */
static size_t make_text(char text[MAX_BYTES], uint64_t seed) {
    static const char *const characters[] = {"a", "ü", "→", "🚀"};
    size_t n = 0, wanted = 100 + test_random(&seed, MAX_BYTES - 200);
    while (n < wanted) {
        const char *character = characters[test_random(&seed, 4)];
        memcpy(text + n, character, strlen(character));
        n += strlen(character);
    }
    return n;
}

static void ring_watchers(uint32_t stream, uint32_t about) {
    lipc_stream_header *header = hub_stream(&view, stream);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint64_t bits = __atomic_load_n(&header->watchers[0], __ATOMIC_RELAXED);
    for (; bits; bits &= bits - 1)
        plat_doorbell_ring(hub_bell(&hub_client(&view, (uint32_t)__builtin_ctzll(bits))->bell), about);
}

/* ---- the host ---- */

static struct work {
    stream_writer writer;
    bool is_running;
    char text[MAX_BYTES];
    size_t n_bytes, at;
    uint64_t seed;
} works[N_STREAMS];

static void take_request(uint32_t stream, uint32_t generation) {
    struct work *work = &works[stream];
    memcpy(&work->seed, stream_request(&view, stream), sizeof work->seed);
    CHECK_INT(hub_stream(&view, stream)->request_bytes, ==, sizeof work->seed);
    work->n_bytes = make_text(work->text, work->seed);
    work->at = 0;
    work->is_running = true;
    stream_writer_begin(&work->writer, &view, stream, generation, 1);
    stream_writer_start(&work->writer, (uint32_t)work->seed, 0, 1);
    ring_watchers(stream, PLAT_BELL_ALL);
}

static void step(uint32_t stream) {
    struct work *work = &works[stream];
    size_t n_bytes = 1 + test_random(&work->seed, 60);
    if (n_bytes > work->n_bytes - work->at)
        n_bytes = work->n_bytes - work->at;
    while (work->at + n_bytes < work->n_bytes && (work->text[work->at + n_bytes] & 0xC0) == 0x80) n_bytes++;
    bool is_first = work->at == 0;
    CHECK(stream_writer_append(&work->writer, work->text + work->at, n_bytes, &(stream_token){.id = (int32_t)n_bytes}, 2) ==
          STREAM_FITS);
    ring_watchers(stream, is_first ? PLAT_BELL_ALL : PLAT_BELL_NEWS);
    work->at += n_bytes;
    if (work->at < work->n_bytes && !stream_cancel_requested(work->writer.header, work->writer.generation))
        return;
    bool is_cut = work->at < work->n_bytes;
    stream_writer_end(&work->writer, is_cut ? LIPC_END_CANCELLED : LIPC_END_TURN, 0, "the end", 3);
    work->is_running = false;
    ring_watchers(stream, PLAT_BELL_ALL);
}

/* Looks at one stream. Returns whether there is work on it. */
static bool look_at(uint32_t stream) {
    lipc_stream_header *header = hub_stream(&view, stream);
    uint64_t claim = stream_claim_now(header);
    uint32_t generation = stream_claim_generation(claim);
    if (stream_claim_phase(claim) == LIPC_CLAIM_RELEASED) {
        works[stream].is_running = false;
        CHECK(stream_change_claim(header, claim, stream_claim(LIPC_CLAIM_FREE, 0, generation + 1)));
        ring_watchers(stream, PLAT_BELL_ALL);
        return false;
    }
    bool is_new = (uint32_t)(header->status >> 32) != generation;
    if (stream_claim_phase(claim) == LIPC_CLAIM_SUBMITTED && is_new)
        take_request(stream, generation);
    if (works[stream].is_running)
        step(stream);
    return works[stream].is_running;
}

/* Gives a free stream to whoever has waited longest. */
static bool grant(void) {
    uint32_t best = UINT32_MAX, stream;
    uint64_t reservation = 0, claim;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        uint64_t candidate = __atomic_load_n(&hub_client(&view, i)->reservation, __ATOMIC_ACQUIRE);
        if (reservation_phase(candidate) != LIPC_RESERVATION_WAITING)
            continue;
        if (best != UINT32_MAX && reservation_ticket(candidate) >= reservation_ticket(reservation))
            continue;
        best = i;
        reservation = candidate;
    }
    if (best == UINT32_MAX || !stream_offer_free(&view, best, &stream, &claim))
        return false;
    if (!reservation_grant(&view, best, reservation, stream))
        CHECK(stream_change_claim(hub_stream(&view, stream), claim,
                                  stream_claim(LIPC_CLAIM_FREE, 0, stream_claim_generation(claim) + 1)));
    plat_doorbell_ring(hub_bell(&hub_client(&view, best)->bell), PLAT_BELL_ALL);
    return true;
}

static void *serve(void *unused) {
    plat_doorbell *bell = hub_bell(&hub_of(&view)->bell);
    (void)unused;
    while (__atomic_load_n(&n_at_work, __ATOMIC_ACQUIRE) > 0) {
        uint32_t seen = plat_doorbell_arm(bell, PLAT_BELL_ALL);
        bool is_busy = false;
        for (uint32_t i = 0; i < N_STREAMS; i++) is_busy |= look_at(i);
        is_busy |= grant();
        if (!is_busy && __atomic_load_n(&n_at_work, __ATOMIC_ACQUIRE) > 0)
            plat_doorbell_wait(bell, seen, PLAT_NEVER);
    }
    return NULL;
}

/* ---- clients ---- */

/* A place of one's own: a free stream, or the wait for one. */
static void get_stream(uint32_t client, uint32_t *stream, uint64_t *claim) {
    plat_doorbell *bell = hub_bell(&hub_client(&view, client)->bell);
    uint32_t granted;
    uint64_t other;
    if (stream_claim_free(&view, client, stream, claim))
        return;
    reservation_request(&view, client);
    plat_doorbell_ring(hub_bell(&hub_of(&view)->bell), PLAT_BELL_ALL);
    if (stream_claim_free(&view, client, stream, claim)) {
        if (!reservation_withdraw(&view, client, &granted, &other))
            return;
        /* Granted as well: back with it. */
        CHECK(stream_claim_phase(other) == LIPC_CLAIM_CLAIMED && stream_claim_owner(other) == client);
        CHECK(stream_change_claim(hub_stream(&view, granted), other,
                                  stream_claim(LIPC_CLAIM_RELEASED, client, stream_claim_generation(other))));
        plat_doorbell_ring(hub_bell(&hub_of(&view)->bell), PLAT_BELL_ALL);
        return;
    }
    for (;;) {
        uint32_t seen = plat_doorbell_arm(bell, PLAT_BELL_ALL);
        if (reservation_take(&view, client, stream, claim))
            break;
        plat_doorbell_wait(bell, seen, PLAT_NEVER);
    }
    CHECK(stream_claim_phase(*claim) == LIPC_CLAIM_CLAIMED && stream_claim_owner(*claim) == client);
}

/* Reads until the end, checking all that is seen. Returns the bytes read. */
static size_t read_answer(const stream_reader *reader, plat_doorbell *bell, const char *text, size_t n_bytes,
                          size_t cancel_at) {
    stream_snapshot snapshot;
    size_t offset = 0;
    for (;;) {
        stream_read_snapshot(reader, &snapshot);
        if (snapshot.n_bytes == offset && snapshot.state != LIPC_STREAM_ENDED) {
            uint32_t seen = plat_doorbell_arm(bell, PLAT_BELL_ALL);
            stream_read_snapshot(reader, &snapshot);
            if (snapshot.n_bytes == offset && snapshot.state != LIPC_STREAM_ENDED) {
                plat_doorbell_wait(bell, seen, PLAT_NEVER);
                continue;
            }
        }
        CHECK_INT(snapshot.n_bytes, >=, offset);
        CHECK_INT(snapshot.n_bytes, <=, n_bytes);
        CHECK(memcmp(reader->log + offset, text + offset, snapshot.n_bytes - offset) == 0);
        CHECK(test_is_utf8(reader->log + offset, snapshot.n_bytes - offset));
        if (snapshot.n_tokens > 0)
            CHECK_INT(reader->index[snapshot.n_tokens - 1].end, ==, snapshot.n_bytes);
        offset = snapshot.n_bytes;
        if (offset >= cancel_at)
            stream_request_cancel((lipc_stream_header *)reader->header, reader->generation);
        if (snapshot.state == LIPC_STREAM_ENDED)
            break;
    }
    CHECK_TEXT(reader->header->message, "the end");
    CHECK(snapshot.end == (offset == n_bytes ? LIPC_END_TURN : LIPC_END_CANCELLED));
    return offset;
}

static void *ask(void *unused) {
    static _Thread_local char text[MAX_BYTES];
    uint32_t client, stream;
    uint64_t client_claim, claim;
    (void)unused;
    CHECK(hub_client_attach(&view, 77, 1, &client, &client_claim));
    CHECK_INT(client, <, N_CLIENTS);
    plat_doorbell *host = hub_bell(&hub_of(&view)->bell), *bell = hub_bell(&hub_client(&view, client)->bell);
    for (unsigned round = 0; round < n_rounds; round++) {
        uint64_t seed = (uint64_t)client << 32 | round;
        stream_reader reader;
        get_stream(client, &stream, &claim);
        lipc_stream_header *header = hub_stream(&view, stream);
        uint32_t generation = stream_claim_generation(claim);
        memcpy(stream_request(&view, stream), &seed, sizeof seed);
        header->request_bytes = sizeof seed;
        stream_watch(header, client);
        CHECK(stream_change_claim(header, claim, stream_claim(LIPC_CLAIM_SUBMITTED, client, generation)));
        plat_doorbell_ring(host, PLAT_BELL_ALL);
        size_t n_bytes = make_text(text, seed);
        stream_reader_begin(&reader, &view, stream, generation);
        size_t n_read = read_answer(&reader, bell, text, n_bytes, round % 7 == 3 ? n_bytes / 2 : SIZE_MAX);
        if (round % 7 != 3)
            CHECK_INT(n_read, ==, n_bytes);
        CHECK(stream_is_current(&reader));
        stream_unwatch(header, client);
        CHECK(stream_change_claim(header, stream_claim(LIPC_CLAIM_SUBMITTED, client, generation),
                                  stream_claim(LIPC_CLAIM_RELEASED, client, generation)));
        plat_doorbell_ring(host, PLAT_BELL_ALL);
    }
    hub_client_leave(&view, client, client_claim);
    __atomic_fetch_sub(&n_at_work, 1, __ATOMIC_RELEASE);
    plat_doorbell_ring(host, PLAT_BELL_ALL);
    return NULL;
}

static void check_clients(void) {
    pthread_t host, clients[N_CLIENTS];
    test_step("%d clients on %d streams, %u answers each", N_CLIENTS, N_STREAMS, n_rounds);
    n_at_work = N_CLIENTS;
    CHECK(pthread_create(&host, NULL, serve, NULL) == 0);
    for (int i = 0; i < N_CLIENTS; i++) CHECK(pthread_create(&clients[i], NULL, ask, NULL) == 0);
    for (int i = 0; i < N_CLIENTS; i++) CHECK(pthread_join(clients[i], NULL) == 0);
    CHECK(pthread_join(host, NULL) == 0);
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        CHECK_INT(reservation_phase(hub_client(&view, i)->reservation), ==, LIPC_RESERVATION_NONE);
        CHECK_INT(client_claim_phase(hub_client(&view, i)->claim), ==, LIPC_CLIENT_LEAVING);
    }
}

/* ---- several who read one stream ---- */

static char long_text[MAX_BYTES];
static size_t n_long;
static pthread_barrier_t begins, ends;
static uint32_t generation_now;

static void *follow(void *argument) {
    uint32_t client = *(uint32_t *)argument;
    plat_doorbell *bell = hub_bell(&hub_client(&view, client)->bell);
    lipc_stream_header *header = hub_stream(&view, 0);
    for (unsigned round = 0; round < n_rounds; round++) {
        stream_reader reader;
        pthread_barrier_wait(&begins);
        stream_watch(header, client);
        stream_reader_begin(&reader, &view, 0, generation_now);
        CHECK_INT(read_answer(&reader, bell, long_text, n_long, SIZE_MAX), ==, n_long);
        CHECK(stream_is_current(&reader));
        stream_unwatch(header, client);
        pthread_barrier_wait(&ends);
    }
    return NULL;
}

static void check_followers(void) {
    pthread_t threads[N_FOLLOWERS];
    uint32_t numbers[N_FOLLOWERS];
    test_step("%d who read one stream", N_FOLLOWERS);
    pthread_barrier_init(&begins, NULL, N_FOLLOWERS + 1);
    pthread_barrier_init(&ends, NULL, N_FOLLOWERS + 1);
    for (uint32_t i = 0; i < N_FOLLOWERS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, follow, &numbers[i]) == 0);
    }
    lipc_stream_header *header = hub_stream(&view, 0);
    for (unsigned round = 0; round < n_rounds; round++) {
        generation_now = 1000000 + round; /* none that has been before */
        n_long = make_text(long_text, round);
        memcpy(stream_request(&view, 0), &(uint64_t){round}, 8);
        header->request_bytes = 8;
        __atomic_store_n(&header->claim, stream_claim(LIPC_CLAIM_SUBMITTED, 0, generation_now), __ATOMIC_RELEASE);
        pthread_barrier_wait(&begins);
        while (look_at(0)) {
        }
        pthread_barrier_wait(&ends);
    }
    for (int i = 0; i < N_FOLLOWERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&begins);
    pthread_barrier_destroy(&ends);
}

int main(int argc, char *argv[]) {
    n_rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 500;
    test_begin("stream_threads", 120);
    hub_plan(&view.at, N_STREAMS, 4096, 4096);
    view.base = aligned_alloc(4096, view.at.segment_size);
    CHECK(view.base != NULL);
    memset(view.base, 0, view.at.segment_size);
    hub_clear(&view);
    hub_begin(&view, 1, 1, "0");
    check_clients();
    check_followers();
    free(view.base);
    return test_end();
}
