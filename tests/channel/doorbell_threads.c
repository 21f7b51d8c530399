/* doorbell_threads.c - the doorbell of src/platform/platform.h: no wake-up is lost among many ringers and sleepers,
 * whoever is killed between two of its steps, and who does not want to hear something is not woken for it.
 *
 * A lost wake-up is a thread that sleeps for good: the time limit finds it.
 *
 * doorbell_threads [rounds]
 */
#include "../support/harness.h"

#include "platform/platform.h"

#include <pthread.h>
#include <stdlib.h>

enum { N_RINGERS = 4, N_SLEEPERS = 3 };

static uint64_t n_rounds;

static uint64_t load(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Sleeps until a word has reached a value. Returns how often it slept. */
static unsigned wait_for(plat_doorbell *bell, const uint64_t *word, uint64_t value, uint32_t wanted) {
    for (unsigned n_sleeps = 0;; n_sleeps++) {
        if (load(word) >= value)
            return n_sleeps;
        uint32_t seen = plat_doorbell_arm(bell, wanted);
        if (load(word) >= value)
            return n_sleeps;
        plat_doorbell_wait(bell, seen, PLAT_NEVER);
    }
}

/* ---- many ringers, one sleeper, as clients and a host ---- */

static struct ringer {
    pthread_t thread;
    plat_doorbell bell; /* it sleeps on its own */
    uint64_t asked, answered;
} ringers[N_RINGERS];
static plat_doorbell host_bell;

static void *ask(void *argument) {
    struct ringer *self = argument;
    for (uint64_t round = 1; round <= n_rounds; round++) {
        __atomic_store_n(&self->asked, round, __ATOMIC_RELEASE);
        plat_doorbell_ring(&host_bell, PLAT_BELL_ALL);
        wait_for(&self->bell, &self->answered, round, PLAT_BELL_ALL);
    }
    return NULL;
}

static bool answer_all(void) {
    bool is_done = true;
    for (int i = 0; i < N_RINGERS; i++) {
        uint64_t asked = load(&ringers[i].asked);
        is_done = is_done && asked == n_rounds;
        if (asked == ringers[i].answered)
            continue;
        __atomic_store_n(&ringers[i].answered, asked, __ATOMIC_RELEASE);
        plat_doorbell_ring(&ringers[i].bell, PLAT_BELL_NEWS);
    }
    return is_done;
}

static void check_many_ringers(void) {
    test_step("%d ringers and one who answers, %llu rounds", N_RINGERS, (unsigned long long)n_rounds);
    for (int i = 0; i < N_RINGERS; i++) CHECK(pthread_create(&ringers[i].thread, NULL, ask, &ringers[i]) == 0);
    unsigned n_sleeps = 0;
    while (!answer_all()) {
        uint32_t seen = plat_doorbell_arm(&host_bell, PLAT_BELL_ALL);
        if (answer_all())
            break;
        plat_doorbell_wait(&host_bell, seen, PLAT_NEVER);
        n_sleeps++;
    }
    for (int i = 0; i < N_RINGERS; i++) {
        CHECK(pthread_join(ringers[i].thread, NULL) == 0);
        CHECK(ringers[i].answered == n_rounds);
    }
    CHECK_INT(n_sleeps, >, 0);
}

/* ---- many sleepers on one bell, who want different things ---- */

static plat_doorbell shared_bell, driver_bell;
static uint64_t news, ends, acknowledged;

static void *hear(void *argument) {
    bool wants_ends = *(int *)argument == 0;
    for (uint64_t round = 1; round <= n_rounds; round++) {
        wait_for(&shared_bell, wants_ends ? &ends : &news, round, wants_ends ? PLAT_BELL_ENDS : PLAT_BELL_ALL);
        __atomic_fetch_add(&acknowledged, 1, __ATOMIC_RELEASE);
        plat_doorbell_ring(&driver_bell, PLAT_BELL_ALL);
    }
    return NULL;
}

static void check_many_sleepers(void) {
    pthread_t threads[N_SLEEPERS];
    int numbers[N_SLEEPERS];
    test_step("%d sleepers on one bell", N_SLEEPERS);
    for (int i = 0; i < N_SLEEPERS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, hear, &numbers[i]) == 0);
    }
    for (uint64_t round = 1; round <= n_rounds; round++) {
        __atomic_store_n(&news, round, __ATOMIC_RELEASE);
        plat_doorbell_ring(&shared_bell, PLAT_BELL_NEWS);
        __atomic_store_n(&ends, round, __ATOMIC_RELEASE);
        plat_doorbell_ring(&shared_bell, PLAT_BELL_ENDS);
        wait_for(&driver_bell, &acknowledged, round * N_SLEEPERS, PLAT_BELL_ALL);
    }
    for (int i = 0; i < N_SLEEPERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

/* ---- what wakes whom ---- */

static void check_levels(void) {
    plat_doorbell bell = {.rings = 5};
    test_step("who is woken for what");
    plat_doorbell_ring(&bell, PLAT_BELL_ALL);
    CHECK_SAY(bell.rings == 5, "a ring that nobody sleeps for made a system call");
    uint32_t seen = plat_doorbell_arm(&bell, PLAT_BELL_ENDS);
    CHECK_INT(bell.armed, ==, seen << 2 | PLAT_BELL_ENDS); /* as layout.h says it */
    plat_doorbell_ring(&bell, PLAT_BELL_NEWS);
    CHECK(!plat_doorbell_has_rung(&bell, seen));
    /* A second sleeper joins what it waits for to the first's. */
    CHECK(plat_doorbell_arm(&bell, PLAT_BELL_NEWS) == seen);
    plat_doorbell_ring(&bell, PLAT_BELL_ENDS);
    CHECK(plat_doorbell_has_rung(&bell, seen) && bell.armed == 0);
    plat_doorbell_wait(&bell, seen, PLAT_NEVER); /* returns at once */
    seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL);
    plat_doorbell_ring(&bell, PLAT_BELL_ENDS);
    CHECK(plat_doorbell_has_rung(&bell, seen));
    plat_doorbell_ring(&bell, PLAT_BELL_ALL);
    CHECK(bell.rings == seen + 1);

    test_step("a deadline");
    seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL);
    double started_ms = test_now_ms();
    plat_doorbell_wait(&bell, seen, plat_deadline_ns(30));
    CHECK(test_now_ms() - started_ms >= 29);

    test_step("the count of rings wraps");
    bell = (plat_doorbell){.rings = UINT32_MAX};
    seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL);
    plat_doorbell_ring(&bell, PLAT_BELL_ALL);
    CHECK(seen == UINT32_MAX && bell.rings == 0 && bell.armed == 0);
}

/* ---- a ringer is killed between two of its steps: those before are done by hand ---- */

static plat_doorbell torn_bell;
static uint64_t state;

static void *sleep_once(void *argument) {
    wait_for(&torn_bell, &state, *(uint64_t *)argument, PLAT_BELL_ALL);
    return NULL;
}

static void check_killed_ringers(void) {
    for (uint64_t step = 0; step < 4; step++) {
        pthread_t thread;
        uint64_t wanted = 2 * step + 2;
        test_step("a ringer that dies after %llu of its steps", (unsigned long long)step);
        CHECK(pthread_create(&thread, NULL, sleep_once, &wanted) == 0);
        CHECK(WAITED(SOON_MS, __atomic_load_n(&torn_bell.armed, __ATOMIC_ACQUIRE) != 0));
        /* (5): the change that it would have announced is not the one that is waited for; so the sleeper stays,
         * whatever was done, and only what the next ringer does counts. */
        __atomic_store_n(&state, wanted - 1, __ATOMIC_RELEASE);
        if (step >= 2)
            __atomic_fetch_add(&torn_bell.rings, 1, __ATOMIC_SEQ_CST); /* (7) */
        if (step == 3)
            plat_doorbell_wait(&torn_bell, torn_bell.rings, plat_deadline_ns(1)); /* (8), as time that passes */
        __atomic_store_n(&state, wanted, __ATOMIC_RELEASE);
        plat_doorbell_ring(&torn_bell, PLAT_BELL_ALL);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    test_step("a late ringer does not disarm who has armed again");
    plat_doorbell bell = {0};
    plat_doorbell_arm(&bell, PLAT_BELL_ALL);
    uint32_t seen_by_first = bell.armed; /* (6) */
    plat_doorbell_ring(&bell, PLAT_BELL_ALL);
    uint32_t seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL);
    __atomic_compare_exchange_n(&bell.armed, &seen_by_first, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED); /* (9) */
    plat_doorbell_ring(&bell, PLAT_BELL_NEWS);
    CHECK(plat_doorbell_has_rung(&bell, seen));
}

int main(int argc, char *argv[]) {
    n_rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
    test_begin("doorbell_threads", 120);
    check_levels();
    check_killed_ringers();
    check_many_ringers();
    check_many_sleepers();
    return test_end();
}
