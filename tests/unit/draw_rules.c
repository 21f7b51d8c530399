/* draw_rules.c - src/engine/draw.h: known values, even in every stretch, and nothing in common between neighbours in
 * position, seed and attempt. The inputs are fixed, so a result never changes: the limits are those that a fair
 * generator keeps to with a probability of 99.99 %.
 */
#include "../support/harness.h"

#include "engine/draw.h"

#include <math.h>

enum { N_DRAWS = 65536, N_BINS = 64 };

typedef struct place {
    uint32_t seed, position, attempt;
} place;

/* The n-th place of a stretch of neighbours. */
typedef place (*stretch)(uint32_t n);

static place positions(uint32_t n) { return (place){1, n, 0}; }
static place positions_of_zero(uint32_t n) { return (place){0, n, 0}; }
static place late_positions(uint32_t n) { return (place){1, UINT32_MAX - n, 0}; }
static place second_attempts(uint32_t n) { return (place){1, n, 1}; }
static place attempts(uint32_t n) { return (place){1, 0, n}; }
static place seeds(uint32_t n) { return (place){n, 0, 0}; }
static place seeds_further_on(uint32_t n) { return (place){n, 700, 0}; }
static place high_seeds(uint32_t n) { return (place){n << 16, 0, 0}; }

static const struct {
    const char *name;
    stretch place_at;
} stretches[] = {
    {"positions", positions},   {"positions under seed 0", positions_of_zero}, {"late positions", late_positions},
    {"second attempts", second_attempts}, {"attempts", attempts},              {"seeds", seeds},
    {"seeds further on", seeds_further_on}, {"high seeds", high_seeds}};
enum { N_STRETCHES = sizeof stretches / sizeof stretches[0] };

static double draw(place place) {
    return draw_uniform(place.seed, place.position, place.attempt);
}

/* The first is the published one of Random123 (counter and key zero: 6627e8d5 e169c58d ...); an answer that was begun
 * before an update must go on the same way after it, so the others must never change either. */
static void check_known_values(void) {
    CHECK(draw_uniform(0, 0, 0) == (double)((UINT64_C(0xE169C58D) << 32 | 0x6627E8D5) >> 11) / (UINT64_C(1) << 53));
    CHECK(draw_uniform(1, 0, 0) == 0.89468471633509239);
    CHECK(draw_uniform(0, 1, 0) == 0.36209111566940344);
    CHECK(draw_uniform(0, 0, 1) == 0.91460241596616054);
    CHECK(draw_uniform(UINT32_MAX, UINT32_MAX, UINT32_MAX) == 0.29185516359930042);
}

/* Chi-square with `n` equally likely bins, as a number of standard deviations from its expectation. */
static double chi_square_deviation(const uint32_t *counts, int n) {
    double expected = (double)N_DRAWS / n, sum = 0;
    for (int i = 0; i < n; i++) sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    return (sum - (n - 1)) / sqrt(2.0 * (n - 1));
}

static void check_even(int number) {
    uint32_t counts[N_BINS] = {0}, low_counts[N_BINS] = {0};
    double least = 1, most = 0;
    for (uint32_t n = 0; n < N_DRAWS; n++) {
        double x = draw(stretches[number].place_at(n));
        CHECK(x >= 0 && x < 1);
        counts[(int)(x * N_BINS)]++;
        low_counts[(int)(fmod(x * 0x1p40, 1) * N_BINS)]++; /* later bits */
        if (x < least) least = x;
        if (x > most) most = x;
    }
    double deviation = chi_square_deviation(counts, N_BINS), low = chi_square_deviation(low_counts, N_BINS);
    CHECK_SAY(fabs(deviation) < 4.5 && fabs(low) < 4.5, "%s: chi-square is off by %f and %f deviations",
              stretches[number].name, deviation, low);
    CHECK_SAY(least < 10.0 / N_DRAWS && most > 1 - 10.0 / N_DRAWS, "%s: from %f to %f", stretches[number].name, least,
              most);
}

/* Pairs of places that are `apart` of each other fall evenly into 8 x 8 squares. */
static void check_pairs(const char *what, stretch first, stretch second, uint32_t apart) {
    uint32_t counts[N_BINS] = {0};
    for (uint32_t n = 0; n < N_DRAWS; n++)
        counts[(int)(draw(first(n)) * 8) * 8 + (int)(draw(second(n + apart)) * 8)]++;
    double deviation = chi_square_deviation(counts, N_BINS);
    CHECK_SAY(fabs(deviation) < 4.5, "%s, %u apart: chi-square of pairs is off by %f deviations", what, apart, deviation);
}

static place positions_of_two(uint32_t n) { return (place){2, n, 0}; }

int main(void) {
    test_begin("draw_rules", 60);
    test_step("known values");
    check_known_values();
    for (int i = 0; i < N_STRETCHES; i++) {
        test_step("%s", stretches[i].name);
        check_even(i);
        for (uint32_t apart = 1; apart <= 3; apart++)
            check_pairs(stretches[i].name, stretches[i].place_at, stretches[i].place_at, apart);
    }
    test_step("between seeds and between attempts");
    for (uint32_t apart = 0; apart <= 2; apart++) {
        check_pairs("positions of seeds 1 and 2", positions, positions_of_two, apart);
        check_pairs("first and second attempts", positions, second_attempts, apart);
    }
    return test_end();
}
