/* fuzz_classic_request.c - src/channel/classic_block.h over an arbitrary block: the request it yields is terminated,
 * valid text, and publishing into such a block shows exactly what was published. */
#include "fuzz.h"

#include "channel/classic_block.h"
#include "text/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Both halves of publishing at once: the readers here read in order. */
static void append(classic_writer *writer, const char *text, size_t n_bytes, int32_t n_tokens) {
    classic_writer_prepare(writer, text, n_bytes);
    classic_writer_show(writer, n_tokens);
}

/* The bytes go where a client writes, again and again until the block is full. */
static void fill(lipc_classic_block *block, const uint8_t *data, size_t size) {
    uint8_t *bytes = (uint8_t *)block;
    for (size_t i = 0; i < sizeof *block; i++)
        bytes[i] = size ? data[i % size] : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static lipc_classic_block block;
    static classic_request request;
    static char text[LIPC_RESPONSE_SIZE], published[LIPC_RESPONSE_SIZE], whole[3 * 8192];
    if (size > 8192)
        return 0;
    fill(&block, data, size);
    memset(&request, 0x55, sizeof request);
    classic_block_take(&block, &request);
    size_t n_system = strnlen(request.system_prompt, sizeof request.system_prompt);
    size_t n_user = strnlen(request.user_prompt, sizeof request.user_prompt);
    MUST(n_system < sizeof request.system_prompt && utf8_is_valid(request.system_prompt, n_system));
    MUST(n_user < sizeof request.user_prompt && utf8_is_valid(request.user_prompt, n_user));
    MUST(request.stream == (block.stream_mode != 0) && request.shutdown == (block.shutdown_requested != 0));
    size_t n_read = classic_block_read_text(&block, text, 0);
    MUST(n_read < LIPC_RESPONSE_SIZE && text[n_read] == 0);

    /* An answer made of the same bytes, in pieces that the bytes choose, over whatever lies in the block. */
    classic_writer writer;
    classic_writer_begin(&writer, &block);
    MUST(classic_block_read_text(&block, text, 0) == 0);
    size_t n_whole = utf8_repair((const char *)data, size, whole, sizeof whole), n_published = 0;
    int32_t n_tokens = 0;
    for (int round = 0; round < 24 && !writer.is_full; round++)
        for (size_t at = 0; at < n_whole && !writer.is_full;) {
            size_t step = utf8_fit(whole + at, n_whole - at, 4u + data[(size_t)n_tokens % size]);
            while (step > 0 && memchr(whole + at, 0, step)) /* a token never holds a zero byte */
                step = (size_t)((char *)memchr(whole + at, 0, step) - (whole + at));
            if (step == 0) {
                at++;
                continue;
            }
            size_t before = writer.n_bytes;
            append(&writer, whole + at, step, ++n_tokens);
            size_t taken = writer.n_bytes - before;
            MUST(taken <= step && (taken == step || writer.is_full));
            memcpy(published + n_published, whole + at, taken);
            n_published += taken;
            MUST(n_published <= LIPC_RESPONSE_SIZE - 1);
            at += step;
        }
    classic_writer_complete(&writer, n_tokens);
    MUST(classic_block_is_complete(&block));
    MUST(classic_block_tokens_generated(&block) == n_tokens);
    MUST(classic_block_read_text(&block, text, 0) == n_published && memcmp(text, published, n_published) == 0);
    MUST(utf8_is_valid(text, n_published));
    return 0;
}
