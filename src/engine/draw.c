/* draw.c - Philox4x32-10, from J. Salmon, M. Moraes, R. Dror, D. Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3",
 * SC 2011, with the constants of their library Random123.
 *
 * It is a block cipher made for this: counters under a key become numbers that pass all of TestU01's BigCrush, also when
 * counters and keys are small, follow each other and are taken in any order, as seeds and positions are. The seed is the
 * key, and the place the counter: an answer never gets the same number twice, and seeds that differ by one have nothing
 * in common. A draw costs forty multiplications, nothing beside a pass over the vocabulary.
 */
#include "draw.h"

enum { N_ROUNDS = 10 };

static void philox_round(uint32_t counter[4], const uint32_t key[2]) {
    uint64_t even = UINT64_C(0xD2511F53) * counter[0], odd = UINT64_C(0xCD9E8D57) * counter[2];
    uint32_t mixed_even = (uint32_t)(odd >> 32) ^ counter[1] ^ key[0];
    uint32_t mixed_odd = (uint32_t)(even >> 32) ^ counter[3] ^ key[1];
    counter[0] = mixed_even;
    counter[1] = (uint32_t)odd;
    counter[2] = mixed_odd;
    counter[3] = (uint32_t)even;
}

double draw_uniform(uint32_t seed, uint32_t position, uint32_t attempt) {
    uint32_t counter[4] = {position, attempt}, key[2] = {seed};
    for (int round = 0; round < N_ROUNDS; round++) {
        philox_round(counter, key);
        key[0] += 0x9E3779B9; /* golden ratio */
        key[1] += 0xBB67AE85; /* square root of 3 - 1 */
    }
    uint64_t bits = (uint64_t)counter[1] << 32 | counter[0];
    return (double)(bits >> 11) * 0x1p-53; /* as many as a double between 1/2 and 1 has */
}
