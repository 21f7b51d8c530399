/* classic_block_noise.c - a hostile client: it fills the classic block of a real host with arbitrary bytes at
 * arbitrary moments and posts and takes the semaphores at random. The host never crashes, hangs or grows, and an
 * honest request is served in every pause. Noise that asks for shutdown ends the host, with 0 and promptly; then the
 * next one is started.
 *
 * classic_block_noise [seconds] [seed]
 */
#include "../tests/support/guide_client.h"
#include "../tests/support/harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOISE_MS = 1500, SERVED_WITHIN_MS = 15000, GONE_WITHIN_MS = 2000, GROWTH_KIB = 8192, SETTLED_AFTER = 4 };

#define QUESTION "What is UTF-8?"

static guide_client client;
static char instance[64];
static char expected[32769];
static int is_quiet; /* atomic */

/* What one noisy thread does next. */
static void make_noise(uint64_t *random, bool may_end) {
    static const char *const texts[] = {"What is C++?", "", "\xf0\x9f\x9a\x80", "<|im_start|>", "\xc3"};
    sem_t *const semaphores[] = {client.ready, client.prompts_written, client.response_written, client.chunk_ready};
    sem_t *semaphore = semaphores[test_random(random, 4)];
    size_t from, n;
    switch (test_random(random, 10)) {
    case 0: /* arbitrary bytes anywhere */
        from = test_random(random, 45000);
        n = test_random(random, (uint32_t)(45000 - from)) + 1;
        if (test_random(random, 2) && n > 64)
            n = 64;
        for (size_t i = from; i < from + n; i++)
            if (i != 40960 || may_end)
                client.block[i] = (unsigned char)test_random(random, 256);
        break;
    case 1: /* the flags and counters */
        for (size_t i = 40961; i < 40972; i++)
            if (test_random(random, 3) == 0)
                client.block[i] = (unsigned char)test_random(random, test_random(random, 2) ? 2 : 256);
        break;
    case 2: /* a request as it should be, at the wrong moment */
        guide_write(&client, texts[test_random(random, 5)], texts[test_random(random, 5)], test_random(random, 2));
        sem_post(client.prompts_written);
        break;
    case 3: /* fields full to the last byte */
        memset(client.block, (int)test_random(random, 256), 8192);
        sem_post(client.prompts_written);
        break;
    case 4:
        guide_cancel(&client);
        break;
    case 5:
        if (may_end && test_random(random, 40) == 0)
            guide_shutdown_at_once(&client);
        break;
    case 6:
        for (uint32_t i = test_random(random, 20); i > 0; i--)
            sem_post(semaphore);
        break;
    case 7:
        if (test_random(random, 50) == 0)
            for (int i = 0; i < 5000; i++)
                sem_post(semaphores[2 + test_random(random, 2)]);
        break;
    default:
        for (uint32_t i = test_random(random, 20); i > 0 && guide_take(semaphore, 0); i--)
            ;
        break;
    }
}

typedef struct noise {
    pthread_t thread;
    uint64_t random;
    bool may_end;
} noise;

static void *be_noisy(void *data) {
    noise *self = data;
    while (!__atomic_load_n(&is_quiet, __ATOMIC_ACQUIRE)) {
        make_noise(&self->random, self->may_end);
        if (test_random(&self->random, 3) == 0)
            test_pause_ms(test_random(&self->random, 3000) / 1e3);
    }
    return NULL;
}

static void start(test_host *host) {
    host_start(host, instance, "--temp", "0", "-n", "40", "-t", "1", "--log-level", "error", NULL);
    CHECK_SAY(guide_open_within(&client, instance, 5000), "no objects");
}

/* The host has ended; that is right only if the noise asked for it. */
static void check_ended(test_host *host, bool may_end) {
    CHECK_SAY(may_end, "the host ended with %d, and nobody asked for it", host->exit_code);
    CHECK_INT(host->exit_code, ==, 0);
    CHECK_INT(objects_count(instance), ==, 0);
    guide_close(&client);
    start(host);
}

/* Waits until the host has finished what the noise asked of it. False if it has ended instead. */
static bool settle(test_host *host) {
    double end = test_now_ms() + test_scaled(SERVED_WITHIN_MS);
    client.block[40960] = 0;
    while (guide_take(client.prompts_written, 0))
        ;
    while (guide_take(client.ready, 0))
        ;
    guide_cancel(&client);
    /* sem_ready now means idle: either the answer at hand is done, or a second passed without a request. */
    while (!guide_take(client.ready, 20)) {
        if (host_ended(host, 0))
            return false;
        CHECK_SAY(test_now_ms() < end, "the host does not become ready again");
    }
    sem_post(client.ready);
    CHECK_SAY(WAITED(2000, !guide_cancel_pending(&client)), "cancel_requested stays set");
    return true;
}

int main(int argc, char *argv[]) {
    static guide_update update;
    double seconds = argc > 1 ? atof(argv[1]) : 60;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    long rounds = 0, hosts = 1, rounds_of_host = 0, settled_kib = 0, largest_growth_kib = 0;
    test_host host;
    test_begin("classic_block_noise", (unsigned)seconds + 60);
    printf("%.0f seconds, seed %llu\n", seconds, (unsigned long long)seed);
    test_instance(instance, "noise");
    start(&host);
    CHECK(guide_request(&client, NULL, QUESTION, SERVED_WITHIN_MS, &update));
    strcpy(expected, update.text);

    for (double end = test_now_ms() + seconds * 1e3; test_now_ms() < end; rounds++) {
        noise threads[2];
        bool may_end = test_random(&seed, 8) == 0;
        __atomic_store_n(&is_quiet, 0, __ATOMIC_RELEASE);
        for (int i = 0; i < 2; i++) {
            threads[i].random = seed * 31 + (uint64_t)i + 1;
            threads[i].may_end = may_end;
            CHECK(pthread_create(&threads[i].thread, NULL, be_noisy, &threads[i]) == 0);
        }
        bool ended = host_ended(&host, (int)(NOISE_MS / test_scaled(1)));
        if (may_end && !ended && test_random(&seed, 2)) {
            /* Noise or not, a shutdown request ends the host. A writer may take the flag back, so it is said again. */
            double asked = test_now_ms();
            while (!(ended = host_ended(&host, 5)) && test_now_ms() < asked + test_scaled(GONE_WITHIN_MS))
                guide_shutdown_at_once(&client);
            CHECK_SAY(ended, "the host does not end");
        }
        __atomic_store_n(&is_quiet, 1, __ATOMIC_RELEASE);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i].thread, NULL);
        if (ended || !settle(&host)) {
            check_ended(&host, may_end);
            hosts++;
            rounds_of_host = 0;
        }
        bool stream = rounds & 1;
        CHECK_SAY(guide_send(&client, NULL, QUESTION, stream, SERVED_WITHIN_MS), "round %ld: no sem_ready", rounds);
        CHECK_SAY(stream ? guide_receive_stream(&client, SERVED_WITHIN_MS, NULL, NULL, &update)
                         : guide_receive(&client, SERVED_WITHIN_MS, &update),
                  "round %ld: an honest request is not served", rounds);
        CHECK_SAY(update.complete && strcmp(update.text, expected) == 0, "round %ld: answer \"%s\", expected \"%s\"",
                  rounds, update.text, expected);
        long kib = process_rss_kib(host.pid);
        if (++rounds_of_host == SETTLED_AFTER)
            settled_kib = kib;
        if (rounds_of_host > SETTLED_AFTER) {
            CHECK_SAY((double)kib <= (double)settled_kib + test_scaled(GROWTH_KIB),
                      "the host grew from %ld to %ld KiB", settled_kib, kib);
            if (kib - settled_kib > largest_growth_kib)
                largest_growth_kib = kib - settled_kib;
        }
    }
    printf("  %ld rounds, %ld hosts, largest growth %ld KiB\n", rounds, hosts, largest_growth_kib);
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
