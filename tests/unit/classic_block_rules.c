/* classic_block_rules.c - src/channel/classic_block.h: what a request becomes, what each step of publishing shows, and
 * where an answer ends that outgrows the block. */
#include "../support/harness.h"

#include "channel/classic_block.h"

#include <stdlib.h>
#include <string.h>

static lipc_classic_block block;
static classic_request request;

/* Both halves of publishing at once: the readers here read in order. */
static void append(classic_writer *writer, const char *text, size_t n_bytes, int32_t n_tokens) {
    classic_writer_prepare(writer, text, n_bytes);
    classic_writer_show(writer, n_tokens);
}

static void take(void) {
    memset(&request, 0x55, sizeof request);
    classic_block_take(&block, &request);
}

static void check_requests(void) {
    test_step("requests");
    memset(&block, 0xff, sizeof block);
    classic_block_reset(&block);
    static const char zeros[sizeof block];
    CHECK(memcmp(&block, zeros, sizeof block) == 0);

    classic_block_write_request(&block, 5, "sys", 3, "user", 4, true);
    take();
    CHECK_TEXT(request.system_prompt, "sys");
    CHECK_TEXT(request.user_prompt, "user");
    CHECK(request.stream && !request.shutdown);
    CHECK_INT(request.reader, ==, 5);
    classic_block_write_request(&block, 0, "", 0, "u", 1, false);
    block.shutdown_requested = 7; /* any other value than 0 is a yes */
    block.stream_mode = 200;
    take();
    CHECK_TEXT(request.system_prompt, "");
    CHECK_TEXT(request.user_prompt, "u");
    CHECK(request.stream && request.shutdown);

    /* A field without a terminator, and one cut inside a character. */
    memset(block.user_prompt, 'u', sizeof block.user_prompt);
    memset(block.system_prompt, 's', sizeof block.system_prompt);
    memcpy(block.system_prompt + 4093, "\xf0\x9f\x9a", 3);
    take();
    CHECK_INT(strlen(request.user_prompt), ==, 4096);
    CHECK_INT(strlen(request.system_prompt), ==, 4093);

    /* Bytes that are no text. */
    memset(block.user_prompt, 0xff, sizeof block.user_prompt);
    take();
    CHECK_INT(strlen(request.user_prompt), <=, sizeof request.user_prompt - 1);
    CHECK_INT(strlen(request.user_prompt), >=, 3 * 4095);
    CHECK(test_is_utf8(request.user_prompt, strlen(request.user_prompt)));

    test_step("flags");
    classic_block_reset(&block);
    CHECK(!classic_block_cancel_requested(&block));
    classic_block_request_cancel(&block, true);
    CHECK(classic_block_cancel_requested(&block));
    CHECK_INT(((unsigned char *)&block)[40971], ==, 1);
    classic_block_clear_cancel(&block);
    CHECK(!classic_block_cancel_requested(&block));
    classic_block_request_shutdown(&block);
    CHECK(classic_block_shutdown_requested(&block));
    CHECK_INT(((unsigned char *)&block)[40960], ==, 1);
    /* Whose turn it is: changed only by who knows the number. */
    classic_block_write_request(&block, 5, "", 0, "u", 1, false);
    CHECK_INT(classic_block_reader(&block), ==, 5);
    classic_block_change_reader(&block, 6, 0);
    CHECK_INT(((unsigned char *)&block)[40972], ==, 5);
    classic_block_change_reader(&block, 5, 0x01020304);
    CHECK_INT(classic_block_reader(&block), ==, 0x01020304);
    classic_block_change_reader(&block, 0x01020304, 0);
    CHECK_INT(classic_block_reader(&block), ==, 0);
    /* A request begins with everything zeroed, the cancel of an earlier one too. */
    classic_block_request_cancel(&block, true);
    memset(block.response, 'r', sizeof block.response);
    block.generation_complete = 1;
    classic_block_write_request(&block, UINT32_MAX - 1, "s", 1, "u", 1, true);
    CHECK(!classic_block_cancel_requested(&block) && !classic_block_shutdown_requested(&block));
    CHECK(!classic_block_is_complete(&block));
    CHECK_INT(block.response[0], ==, 0);
    CHECK_INT(block.response[32767], ==, 0);
}

static void check_publishing(void) {
    static char text[LIPC_RESPONSE_SIZE];
    classic_writer writer;
    test_step("publishing");
    classic_block_reset(&block);
    memset(block.response, 'o', sizeof block.response);
    block.shutdown_requested = 7;
    classic_writer_begin(&writer, &block);
    CHECK_INT(classic_block_read_text(&block, text, 0), ==, 0);
    for (size_t i = 0; i < sizeof block.response; i++) CHECK_INT(block.response[i], ==, 0);
    CHECK_INT(block.shutdown_requested, ==, 7);
    append(&writer, "Gr", 2, 1);
    CHECK_INT(classic_block_update_counter(&block), ==, 1);
    CHECK_INT(classic_block_tokens_generated(&block), ==, 1);
    CHECK_INT(classic_block_read_text(&block, text, 0), ==, 2);
    CHECK_TEXT(text, "Gr");
    append(&writer, "", 0, 2); /* a token that is a part of a character */
    append(&writer, "üße", 5, 3);
    CHECK_INT(classic_block_read_text(&block, text, 2), ==, 7);
    CHECK_TEXT(text, "Grüße");
    CHECK_INT(classic_block_update_counter(&block), ==, 3);
    CHECK_INT(classic_block_tokens_generated(&block), ==, 3);
    CHECK(!classic_block_is_complete(&block));
    classic_writer_complete(&writer, 3);
    CHECK(classic_block_is_complete(&block));
    CHECK_INT(classic_block_update_counter(&block), ==, 4);
    int counter;
    memcpy(&counter, (char *)&block + 40962, 4);
    CHECK_INT(counter, ==, 4);

    test_step("what a copy could see half of, in memory of exactly its size");
    char *exact = malloc(2);
    CHECK(exact != NULL);
    memcpy(exact, "ab", 2);
    CHECK(!classic_writer_prepare(&writer, exact + 2, 0));
    CHECK(!classic_writer_prepare(&writer, exact + 1, 1));
    CHECK(classic_writer_prepare(&writer, exact, 2));
    free(exact);

    test_step("the writer trusts its own memory, not the block");
    classic_writer_begin(&writer, &block);
    append(&writer, "abc", 3, 1);
    memset(&block, 0xee, sizeof block);
    append(&writer, "def", 3, 2);
    CHECK(memcmp(block.response + 3, "def", 4) == 0);
    CHECK_INT(classic_block_update_counter(&block), ==, 2);
}

static void check_full(const char *character, size_t n_before) {
    classic_writer writer;
    static char chunk[LIPC_RESPONSE_SIZE], text[LIPC_RESPONSE_SIZE];
    size_t size = strlen(character);
    classic_block_reset(&block);
    classic_writer_begin(&writer, &block);
    memset(chunk, 'a', n_before);
    if (n_before)
        append(&writer, chunk, n_before, 1);
    int32_t n = 1;
    while (!writer.is_full) {
        append(&writer, character, size, ++n);
        CHECK_INT(n, <, 40000);
    }
    CHECK_INT(writer.n_bytes, <=, 32767);
    CHECK_INT(writer.n_bytes + size, >, 32767);
    CHECK_INT(classic_block_read_text(&block, text, 0), ==, writer.n_bytes);
    CHECK(test_is_utf8(text, writer.n_bytes));
    CHECK_INT(block.response[writer.n_bytes], ==, 0);
    CHECK_INT(block.response[32767], ==, 0);
    CHECK_INT(block.shutdown_requested, ==, 0);
    /* Full is full: a shorter character that would fit does not come behind one that did not. */
    size_t before = writer.n_bytes;
    append(&writer, "b", 1, ++n);
    CHECK_INT(writer.n_bytes, ==, before);
}

int main(void) {
    test_begin("classic_block_rules", 60);
    check_requests();
    check_publishing();
    test_step("answers that outgrow the block");
    static const char *const characters[] = {"x", "ü", "→", "🚀"};
    for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++)
        for (size_t n_before = 0; n_before < 8; n_before++)
            check_full(characters[i], n_before);
    /* One update larger than all the room: as many of its characters as fit. */
    classic_writer writer;
    static char large[40000], text[LIPC_RESPONSE_SIZE];
    for (size_t i = 0; i + 4 <= sizeof large; i += 4)
        memcpy(large + i, "🚀", 4);
    for (size_t n_before = 0; n_before < 5; n_before++) {
        classic_block_reset(&block);
        classic_writer_begin(&writer, &block);
        append(&writer, "aaaa", n_before, 1);
        append(&writer, large, sizeof large, 2);
        CHECK(writer.is_full);
        CHECK_INT(writer.n_bytes, ==, n_before + (32767 - n_before) / 4 * 4);
        CHECK_INT(classic_block_read_text(&block, text, 0), ==, writer.n_bytes);
        CHECK(test_is_utf8(text, writer.n_bytes));
    }
    test_step("a block without a terminator is read to its end and no further");
    memset(&block, 'x', sizeof block);
    CHECK_INT(classic_block_read_text(&block, text, 0), ==, 32767);
    CHECK_INT(text[32767], ==, 0);
    return test_end();
}
