/* sum.h - the sums by which readers and successors notice that somebody wrote over what lies in a stream. Not against malice:
 * whoever can write the bytes can write the sum. Pure functions.
 */
#ifndef CHANNEL_SUM_H
#define CHANNEL_SUM_H

#include <stddef.h>
#include <stdint.h>

/* A sum over the text of an answer: FNV-1a, 64 bits, over the generation's four bytes and the text's. A reader that has
 * read everything from byte 0 on finds out by it that somebody has written over the text, or over what was published of
 * it. Not against malice: whoever can write the text can write the sum. `parts_sum` is the same over the parts: of each
 * its record, and what of the parts log belongs to it. */
uint64_t stream_sum_begin(uint32_t generation);
uint64_t stream_sum_add(uint64_t sum, const char *text, size_t n_bytes);

/* A sum over a request, its seed and its generation, by which a successor finds out that they are not what they were
 * when work on them began. Not against malice: whoever can write the request can write the sum. */
uint64_t stream_request_sum(const char *request, size_t n_bytes, uint32_t seed, uint32_t generation);

/* What a client writes beside its request, so that a host which reads something else finds out: the generation, and 32 bits of
 * a sum over both. */
uint64_t stream_request_check(const char *request, size_t n_bytes, uint32_t generation);

#endif
