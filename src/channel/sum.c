/* sum.c - see sum.h. */
#include "sum.h"

#include <string.h>

/* http://www.isthe.com/chongo/tech/comp/fnv/ */
#define FNV_BASIS UINT64_C(0xCBF29CE484222325)
#define FNV_PRIME UINT64_C(0x100000001B3)

uint64_t stream_sum_add(uint64_t sum, const char *text, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) sum = (sum ^ (unsigned char)text[i]) * FNV_PRIME;
    return sum;
}

uint64_t stream_sum_begin(uint32_t generation) {
    return stream_sum_add(FNV_BASIS, (const char *)&generation, sizeof generation);
}

/* FNV-1a, 64 bits, over words of eight bytes. */
static uint64_t add_to_sum(uint64_t sum, uint64_t word) {
    return (sum ^ word) * FNV_PRIME;
}

uint64_t stream_request_sum(const char *request, size_t n_bytes, uint32_t seed, uint32_t generation) {
    uint64_t sum = add_to_sum(FNV_BASIS, (uint64_t)generation << 32 | seed);
    for (size_t at = 0; at < n_bytes; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, request + at, n_bytes - at < sizeof word ? n_bytes - at : sizeof word);
        sum = add_to_sum(sum ^ sum >> 32, word);
    }
    return add_to_sum(sum ^ sum >> 32, n_bytes);
}

uint64_t stream_request_check(const char *request, size_t n_bytes, uint32_t generation) {
    uint64_t sum = stream_request_sum(request, n_bytes, 0, generation);
    return (uint64_t)generation << 32 | (uint32_t)(sum ^ sum >> 32);
}
