/* pace_rules.c - src/engine/llama/pace.h: the faster way is found, and one that becomes slow is left. */
#include "../support/harness.h"

#include "engine/llama/pace.h"

/* Makes steps of so many microseconds, one way or the other; returns how many were made with several threads. */
static int make_steps(pace *pace, int n_steps, int n_answers, uint64_t narrow_us, uint64_t wide_us) {
    int n_wide = 0;
    for (int i = 0; i < n_steps; i++) {
        bool is_wide = pace_is_wide(pace, n_answers);
        n_wide += is_wide;
        pace_note(pace, n_answers, 1000 * (is_wide ? wide_us : narrow_us));
    }
    return n_wide;
}

int main(void) {
    test_begin("pace_rules", 10);
    pace pace = {0};
    test_step("few answers: one thread, and nothing is tried");
    CHECK_INT(make_steps(&pace, 1000, PACE_ANSWERS_LEAST - 1, 100, 10), ==, 0);
    test_step("several threads are faster: soon nearly all steps");
    CHECK_INT(make_steps(&pace, 100, 8, 1000, 600), >, 60);
    CHECK_INT(make_steps(&pace, 10000, 8, 1000, 600), >, 9900);
    test_step("another program comes: left at once");
    CHECK_INT(make_steps(&pace, 20, 8, 1000, 50000), <, 3);
    CHECK_INT(make_steps(&pace, 20000, 8, 1000, 50000), <, 20);
    test_step("it goes: found again");
    CHECK_INT(make_steps(&pace, 3 * PACE_REST_MOST, 8, 1000, 600), >, PACE_REST_MOST);
    test_step("no difference worth a change: one thread stays, and is seldom left");
    pace = (struct pace){0};
    CHECK_INT(make_steps(&pace, 20000, 8, 1000, 950), <, 60);
    test_step("several threads become a little slower than one: left at a trial");
    pace = (struct pace){0};
    make_steps(&pace, 200, 8, 1000, 600);
    CHECK(pace_is_wide(&pace, 8));
    make_steps(&pace, 2 * PACE_REST_MOST, 8, 1000, 1200);
    CHECK(!pace_is_wide(&pace, 8));
    test_step("more answers, longer steps: nothing changes");
    pace = (struct pace){0};
    make_steps(&pace, 200, 4, 500, 300);
    CHECK(pace_is_wide(&pace, 4));
    CHECK_INT(make_steps(&pace, 1000, 16, 2000, 1200), >, 950);
    return test_end();
}
