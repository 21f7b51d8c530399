/* threads_rules.c - src/engine/llama/threads.h: no more threads than others leave processors for, and no going up and down. */
#include "../support/harness.h"

#include "engine/llama/threads.h"

#include <math.h>

enum { N_LOOKS = 1000 };

static void check_one(int n_now, int n_most, double n_free, int expected) {
    thread_count count = {.n = n_now};
    threads_beside(&count, n_most, n_free);
    CHECK_SAY(count.n == expected, "%d of %d threads where %.2f processors are free: %d, not %d", n_now, n_most, n_free, count.n, expected);
}

static void single_answers(void) {
    test_step("as many as are free");
    check_one(2, 2, 2.0, 2);
    check_one(2, 2, 1.0, 1);
    check_one(8, 8, 7.0, 7);
    check_one(8, 8, 4.0, 4);
    check_one(1, 8, 4.0, 4);
    check_one(1, 2, 2.0, 2);
    test_step("one at least, and no more than there may be");
    check_one(2, 2, 0.0, 1);
    check_one(1, 1, 0.2, 1);
    check_one(4, 4, 64.0, 4);
    check_one(1, 4, 64.0, 4);
    test_step("hardware threads beyond the physical cores are for others first");
    check_one(8, 8, 9.0, 8);
    test_step("what others do now and then changes nothing");
    check_one(2, 2, 1.6, 2);
    check_one(1, 2, 1.6, 1);
}

/* What n threads that never sleep leave to neighbours who want so many processors, by a scheduler that is fair, ... */
static double left_by_equals(double n_wanted, int n_threads, int n_processors) {
    double n_all = n_wanted + n_threads;
    return n_all <= n_processors ? n_processors - n_wanted : n_processors - n_wanted * n_processors / n_all;
}

/* ... or if they get what nobody else wants. */
static double left_by_humble(double n_wanted, int n_threads, int n_processors) {
    double n_rest = n_processors - n_threads;
    return n_processors - (n_wanted < n_rest ? n_wanted : n_rest);
}

/* Whatever they want, and wherever it begins: the number moves in one direction and stands, and all are tried rarely. */
static void settles(void) {
    test_step("beside steady neighbours it stands soon");
    for (int n_processors = 1; n_processors <= 16; n_processors++)
        for (int first = 1; first <= n_processors; first++)
            for (double n_wanted = 0; n_wanted < 2 * n_processors; n_wanted += 0.125) {
                thread_count count = {.n = first};
                int n_changes = 0, n_trials = 0;
                for (int look = 0; look < N_LOOKS; look++) {
                    int before = count.n, n_looks = count.n_looks;
                    threads_beside(&count, n_processors, left_by_equals(n_wanted, before, n_processors));
                    n_changes += count.n != before;
                    n_trials += count.n > before && n_looks > 0;
                }
                CHECK_SAY(n_trials <= 12 && n_changes <= 8 + 8 * n_trials, "%d processors, %d threads, neighbours want %.3f: %d changes, %d trials",
                          n_processors, first, n_wanted, n_changes, n_trials);
            }
}

static void humble_neighbours(void) {
    test_step("neighbours who give way are not given way to for long");
    for (int n_processors = 2; n_processors <= 16; n_processors++) {
        thread_count count = {.n = 1};
        for (int look = 0; look < N_LOOKS; look++)
            threads_beside(&count, n_processors, left_by_humble(n_processors, count.n, n_processors));
        CHECK_INT(count.n, ==, n_processors);
    }
}

/* Two looks, at processors that others had used for so long, and this process for as long as it evaluated. */
static double others(double seconds, double used_by_others, double evaluated, double idle) {
    enum { N = 4 };
    const double second = 1e9;
    const plat_load before = {.n_processors = N, .busy_ns = 1000, .own_ns = 500};
    const plat_load now = {.n_processors = N, .busy_ns = before.busy_ns + (uint64_t)((used_by_others + evaluated) * second),
                           .own_ns = before.own_ns + (uint64_t)(evaluated * second)};
    return threads_of_others(&before, &now, (uint64_t)(seconds * second), (uint64_t)(idle * second));
}

static void looks(void) {
    test_step("what others used, of short steps and of long ones");
    CHECK(fabs(others(0.5, 0.5, 1, 0.001) - 1) < 1e-6);
    CHECK(fabs(others(30, 60, 60, 0.001) - 2) < 1e-6);
    CHECK(fabs(others(30, 0, 60, 1.5)) < 1e-6);
    test_step("the time that was idle says nothing, nor do other processors");
    CHECK(others(30, 60, 2, 28) < 0);
    CHECK(others(3600, 0, 0, 3600) < 0);
    const plat_load before = {2, 1000, 0}, fewer = {1, 2000, 0}, back = {2, 500, 0};
    CHECK(threads_of_others(&before, &fewer, 1000, 0) < 0);
    CHECK(threads_of_others(&before, &back, 1000, 0) < 0);
    test_step("a process that used more than all is nobody else");
    const plat_load odd = {2, 2000, 3000};
    CHECK(fabs(threads_of_others(&before, &odd, 1000, 0)) < 1e-6);
}

int main(void) {
    test_begin("threads_rules", 10);
    looks();
    single_answers();
    settles();
    humble_neighbours();
    return test_end();
}
