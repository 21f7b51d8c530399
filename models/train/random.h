/* random.h - a small random number generator, so that a seed gives the same training on every C library. */
#ifndef TUTOR_RANDOM_H
#define TUTOR_RANDOM_H

#include <math.h>
#include <stdint.h>

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Any start value is fine. */
struct random_source {
    uint64_t state;
};

static inline uint64_t random_bits(struct random_source *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Evenly in [0, 1). */
static inline double random_unit(struct random_source *random) { return (double)(random_bits(random) >> 11) * 0x1p-53; }

/* Evenly in [0, n); n > 0. */
static inline int random_below(struct random_source *random, int n) { return (int)(random_unit(random) * n); }

/* True with the given probability. */
static inline int random_chance(struct random_source *random, double probability) {
    return random_unit(random) < probability;
}

/* Normal distribution, mean 0 and deviation 1 (Box and Muller, 1958). */
static inline double random_normal(struct random_source *random) {
    double radius = sqrt(-2.0 * log(1.0 - random_unit(random)));
    return radius * cos(6.283185307179586 * random_unit(random));
}

#endif
