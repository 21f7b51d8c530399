/* fuzz_classic_request.c - src/channel/classic_block.h over an arbitrary block: the request it yields is terminated,
 * valid text; reading and publishing stay within the block; publishing into such a block shows exactly what was published,
 * also if the writer dies and another goes on. */
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

/* A client reads on from any place of a text that it has seen. */
static void read_from_everywhere(const lipc_classic_block *block, size_t n_text) {
    static char text[LIPC_RESPONSE_SIZE];
    for (size_t from = 0; from < LIPC_RESPONSE_SIZE; from = 2 * from + 1) {
        size_t n_read = classic_block_read_text(block, text, from);
        MUST(n_read < LIPC_RESPONSE_SIZE && n_read >= from && text[n_read] == 0);
        MUST(from > n_text || n_read == n_text);
    }
}

/* The end of an answer that cannot go on: behind whatever text there is. */
static void end_behind(lipc_classic_block *block, size_t n_text) {
    static const char reason[] = "[error: \xc3\xa4]";
    classic_writer writer;
    classic_writer_resume_behind(&writer, block);
    MUST(writer.n_bytes == n_text && writer.n_updates >= 0);
    append(&writer, reason, sizeof reason - 1, 1);
    MUST(writer.is_full == (n_text + sizeof reason - 1 > LIPC_RESPONSE_SIZE - 1));
    classic_writer_complete(&writer, 1);
    MUST(classic_block_is_complete(block) && classic_block_update_counter(block) > 0);
    MUST(strnlen(block->response, LIPC_RESPONSE_SIZE - 1) == writer.n_bytes);
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
    read_from_everywhere(&block, n_read);
    end_behind(&block, n_read);

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
    classic_writer next;
    classic_writer_resume(&next, &block);
    classic_writer_skip(&next, published, n_published);
    MUST(next.n_bytes == writer.n_bytes && !next.is_full);
    append(&next, "", 0, n_tokens);
    classic_writer_complete(&next, n_tokens);
    MUST(classic_block_is_complete(&block));
    MUST(classic_block_tokens_generated(&block) == n_tokens);
    MUST(classic_block_read_text(&block, text, 0) == n_published && memcmp(text, published, n_published) == 0);
    MUST(utf8_is_valid(text, n_published));
    return 0;
}
