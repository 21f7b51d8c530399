/* logits.c - the passes as plain loops without branches, compiled once for every processor and, on x86, once more for
 * those with AVX2 and FMA. With more (AVX-512) nothing would be gained where a row is larger than the cache: the passes
 * then wait for memory.
 *
 * The variants are chosen by a table instead of the compiler's own clones: those need a loader with indirect functions,
 * and tests could not get at the slower ones.
 */
#include "logits.h"

#include <float.h>
#include <stdbool.h>

#define INLINE static inline __attribute__((always_inline))

typedef union number {
    float real;
    int32_t bits;
} number;

enum { N_LANES = 16 };
enum { KEY_OF_INFINITY = 0x7F800000, KEY_OF_LEAST = -0x7F800001 /* of -infinity */ };

/* Bits of negative numbers grow towards minus infinity: turned round, all of them are in order. */
INLINE int32_t turn_negatives(int32_t bits) {
    return bits ^ ((bits >> 31) & INT32_MAX);
}

int32_t logits_key(float logit) {
    return turn_negatives((number){.real = logit}.bits);
}

float logits_from_key(int32_t key) {
    return (number){.bits = turn_negatives(key)}.real;
}

/* Compared as integers: the compiler may not reorder comparisons of numbers, of which one could be NaN. */
INLINE void find_maxima(const float *logits, size_t n_blocks, float *maxima) {
    for (size_t b = 0; b < n_blocks; b++, logits += LOGITS_BLOCK) {
        int32_t largest = KEY_OF_LEAST;
        for (size_t i = 0; i < LOGITS_BLOCK; i++) {
            int32_t key = turn_negatives((number){.real = logits[i]}.bits);
            key = key > KEY_OF_INFINITY ? KEY_OF_LEAST : key;
            largest = key > largest ? key : largest;
        }
        maxima[b] = (number){.bits = turn_negatives(largest)}.real;
    }
}

/* exp(x) = 2^n * exp(r) with |r| <= ln(2)/2, where seven terms of the series leave 1.2e-7. */
INLINE float weigh(float logit, float largest, float scale) {
    const float least = -86.0f; /* 2^n is a normal number down to here */
    const float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const float rounder = 12582912.0f; /* 1.5 * 2^23: behind the sum's last bit there is no fraction */
    float below = logit - (largest > FLT_MAX ? FLT_MAX : largest); /* infinity minus infinity would be no number */
    float x = (below > 0 ? 0 : below) * scale;
    float bounded = x > least ? x : least; /* NaN becomes `least`, too */
    number shifted = {.real = bounded * log2_e + rounder};
    float n = shifted.real - rounder;
    float r = (bounded - n * ln2_high) - n * ln2_low;
    float series = 1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720));
    number power = {.real = 1 + r * (1 + r * (1.0f / 2 + r * (1.0f / 6 + r * series)))};
    uint32_t is_weighed = -(uint32_t)(x > least);
    power.bits = (int32_t)(((uint32_t)power.bits + ((uint32_t)shifted.bits << 23)) & is_weighed);
    return power.real;
}

INLINE void find_weights(const float *logits, size_t n_blocks, float largest, float scale, float *weights) {
    for (size_t i = 0; i < n_blocks * LOGITS_BLOCK; i++) weights[i] = weigh(logits[i], largest, scale);
}

/* Many additions at a time, and less is rounded away than one after the other. Overwrites the numbers. */
INLINE float add_up(float numbers[N_LANES]) {
    for (size_t i = 0; i < 8; i++) numbers[i] += numbers[i + 8];
    for (size_t i = 0; i < 4; i++) numbers[i] += numbers[i + 4];
    return (numbers[0] + numbers[2]) + (numbers[1] + numbers[3]);
}

INLINE double find_sums(const float *logits, size_t n_blocks, float largest, float scale, float *sums) {
    double all = 0;
    for (size_t b = 0; b < n_blocks; b++, logits += LOGITS_BLOCK) {
        float lanes[N_LANES];
        for (size_t i = 0; i < N_LANES; i++)
            lanes[i] = (weigh(logits[i], largest, scale) + weigh(logits[i + 16], largest, scale)) +
                       (weigh(logits[i + 32], largest, scale) + weigh(logits[i + 48], largest, scale));
        sums[b] = add_up(lanes);
        all += (double)sums[b];
    }
    return all;
}

INLINE float weight_from(float logit, float weight, float least) {
    number counted = {.real = weight};
    counted.bits &= -(int32_t)(logit >= least);
    return counted.real;
}

INLINE double find_sum_from(const float *logits, const float *weights, size_t n_blocks, float least) {
    double all = 0;
    for (size_t b = 0; b < n_blocks; b++, logits += LOGITS_BLOCK, weights += LOGITS_BLOCK) {
        float lanes[N_LANES];
        for (size_t i = 0; i < N_LANES; i++)
            lanes[i] = (weight_from(logits[i], weights[i], least) + weight_from(logits[i + 16], weights[i + 16], least)) +
                       (weight_from(logits[i + 32], weights[i + 32], least) +
                        weight_from(logits[i + 48], weights[i + 48], least));
        all += (double)add_up(lanes);
    }
    return all;
}

INLINE void find_marks(const float *logits, float least, uint8_t *marks) {
    for (size_t i = 0; i < LOGITS_BLOCK; i++) marks[i] = logits[i] >= least;
}

_Static_assert(LOGITS_BLOCK == 4 * N_LANES, "four to a lane");

/* A macro, because a target is an attribute of each function by itself. */
#define DEFINE_VARIANT(variant, target)                                                                                \
    target static void maxima_##variant(const float *logits, size_t n_blocks, float *maxima) {                         \
        find_maxima(logits, n_blocks, maxima);                                                                         \
    }                                                                                                                  \
    target static void weights_##variant(const float *logits, size_t n_blocks, float largest, float scale,             \
                                         float *weights) {                                                             \
        find_weights(logits, n_blocks, largest, scale, weights);                                                       \
    }                                                                                                                  \
    target static double sums_##variant(const float *logits, size_t n_blocks, float largest, float scale,              \
                                        float *sums) {                                                                 \
        return find_sums(logits, n_blocks, largest, scale, sums);                                                      \
    }                                                                                                                  \
    target static double sum_from_##variant(const float *logits, const float *weights, size_t n_blocks, float least) { \
        return find_sum_from(logits, weights, n_blocks, least);                                                        \
    }                                                                                                                  \
    target static void marks_##variant(const float *logits, float least, uint8_t *marks) {                             \
        find_marks(logits, least, marks);                                                                              \
    }                                                                                                                  \
    static const logits_passes passes_##variant = {#variant,      maxima_##variant,   weights_##variant,               \
                                                   sums_##variant, sum_from_##variant, marks_##variant};

DEFINE_VARIANT(plain, )

#if defined __x86_64__ && defined __GNUC__
DEFINE_VARIANT(avx2, __attribute__((target("avx2,fma"))))

const logits_passes *logits_variant(size_t number) {
    if (number == 0) return &passes_plain;
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return number == 1 && has_avx2 ? &passes_avx2 : NULL;
}
#else
const logits_passes *logits_variant(size_t number) {
    return number == 0 ? &passes_plain : NULL;
}
#endif

const logits_passes *logits_best(void) {
    const logits_passes *best = logits_variant(0);
    for (size_t v = 1; logits_variant(v); v++) best = logits_variant(v);
    return best;
}
