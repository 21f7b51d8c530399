/* logits.h - passes over a row of logits, written so that the compiler turns them into vector instructions.
 *
 * A row is taken in blocks of LOGITS_BLOCK. There are several variants of the same passes, for different processors;
 * they differ in how they round (by some 1e-7), so whoever wants the same result twice stays with one of them.
 */
#ifndef ENGINE_LOGITS_H
#define ENGINE_LOGITS_H

#include <stddef.h>
#include <stdint.h>

enum { LOGITS_BLOCK = 64 };

typedef struct logits_passes {
    const char *name;

    /* The largest logit of each block; NaN does not count, and -infinity is what is left if nothing else does. */
    void (*maxima)(const float *logits, size_t n_blocks, float *maxima);

    /* exp((logit - largest) * scale), with a relative error below 1e-6; 1 for a logit that is not below `largest` (also
     * if both are infinite), 0 for NaN and for what is below e^-86. */
    void (*weights)(const float *logits, size_t n_blocks, float largest, float scale, float *weights);

    /* The sum of those weights, for each block and (returned) for all of them. */
    double (*sums)(const float *logits, size_t n_blocks, float largest, float scale, float *sums);

    /* The sum of the weights at which the logit is at least `least`. */
    double (*sum_from)(const float *logits, const float *weights, size_t n_blocks, float least);

    /* For each logit of one block, 1 if it is at least `least`, else 0. */
    void (*marks)(const float *logits, float least, uint8_t marks[LOGITS_BLOCK]);
} logits_passes;

/* The fastest variant that this processor can run. */
const logits_passes *logits_best(void);

/* All that it can run, for tests: number 0 always runs; NULL behind the last. */
const logits_passes *logits_variant(size_t number);

/* An integer for each number but NaN, in their order. */
int32_t logits_key(float logit);
float logits_from_key(int32_t key);

#endif
