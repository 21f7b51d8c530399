/* classic_block.c - see classic_block.h.
 *
 * The two counters lie at odd offsets (40962 and 40967), where C11 atomics cannot be used. A plain four-byte store
 * there is one instruction on every machine we build for, and single-copy atomic: both words lie inside one cache
 * line on x86-64 (offsets 2 and 7 of it) and inside one 16-byte granule on Armv8.4 and later. Nothing depends on
 * their order: the text is published by its own byte, completion by its own flag. The sanitizer for data races is
 * told to look away from these four functions only.
 */
#include "classic_block.h"

#include "../platform/failpoint.h"
#include "../text/utf8.h"

#include <string.h>

#define NO_RACE_CHECK __attribute__((no_sanitize("thread"), noinline))

NO_RACE_CHECK static void store_counters(volatile lipc_classic_block *block, int32_t n_updates, int32_t n_tokens) {
    block->tokens_generated = n_tokens;
    FAILPOINT("classic.count.tokens");
    block->update_counter = n_updates;
    FAILPOINT("classic.count.updates");
}

NO_RACE_CHECK int32_t classic_block_update_counter(const lipc_classic_block *block) {
    return ((const volatile lipc_classic_block *)block)->update_counter;
}

NO_RACE_CHECK int32_t classic_block_tokens_generated(const lipc_classic_block *block) {
    return ((const volatile lipc_classic_block *)block)->tokens_generated;
}

/* ---- both sides -------------------------------------------------------------------------------------------------- */

/* Packed structures have no aligned members to the compiler; this one is. */
static uint32_t *reader_word(const lipc_classic_block *block) {
    return (uint32_t *)(void *)((char *)(uintptr_t)block + offsetof(lipc_classic_block, reader));
}

uint32_t classic_block_reader(const lipc_classic_block *block) {
    return __atomic_load_n(reader_word(block), __ATOMIC_ACQUIRE);
}

void classic_block_change_reader(lipc_classic_block *block, uint32_t from, uint32_t to) {
    __atomic_compare_exchange_n(reader_word(block), &from, to, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    FAILPOINT("classic.change.reader");
}

/* ---- host -------------------------------------------------------------------------------------------------------- */

void classic_block_reset(lipc_classic_block *block) {
    memset(block, 0, sizeof *block);
    FAILPOINT("classic.reset.block");
}

/* A prompt field, made fit to use. The field is copied first: a client may go on scribbling over it. */
static void take_prompt(const char *field, char result[3 * LIPC_PROMPT_SIZE]) {
    char copy[LIPC_PROMPT_SIZE];
    memcpy(copy, field, sizeof copy);
    size_t n_bytes = utf8_whole_prefix(copy, strnlen(copy, sizeof copy));
    result[utf8_repair(copy, n_bytes, result, 3 * LIPC_PROMPT_SIZE - 1)] = 0;
}

void classic_block_take(const lipc_classic_block *block, classic_request *request) {
    take_prompt(block->system_prompt, request->system_prompt);
    take_prompt(block->user_prompt, request->user_prompt);
    request->stream = __atomic_load_n(&block->stream_mode, __ATOMIC_RELAXED) != 0;
    request->shutdown = classic_block_shutdown_requested(block);
    request->reader = classic_block_reader(block);
}

bool classic_block_cancel_requested(const lipc_classic_block *block) {
    return __atomic_load_n(&block->cancel_requested, __ATOMIC_RELAXED) != 0;
}

bool classic_block_shutdown_requested(const lipc_classic_block *block) {
    return __atomic_load_n(&block->shutdown_requested, __ATOMIC_RELAXED) != 0;
}

void classic_block_clear_cancel(lipc_classic_block *block) {
    __atomic_store_n(&block->cancel_requested, 0, __ATOMIC_RELAXED);
    FAILPOINT("classic.clear.cancel");
}

void classic_writer_begin(classic_writer *writer, lipc_classic_block *block) {
    *writer = (classic_writer){.block = block};
    __atomic_store_n(&block->generation_complete, 0, __ATOMIC_RELAXED);
    FAILPOINT("classic.begin.complete");
    store_counters(block, 0, 0);
    /* First byte first: from here on the text is empty, whatever else still lies in the block. */
    for (size_t i = 0; i < LIPC_RESPONSE_SIZE; i++) {
        __atomic_store_n(&block->response[i], 0, __ATOMIC_RELAXED);
        FAILPOINT("classic.begin.response");
    }
}

/* Bytes of the text that the block has room for. */
static size_t fit(classic_writer *writer, const char *text, size_t n_bytes) {
    size_t room = LIPC_RESPONSE_SIZE - 1 - writer->n_bytes;
    size_t fitting = writer->is_full ? 0 : utf8_fit(text, n_bytes, room);
    if (fitting < n_bytes) writer->is_full = true;
    return fitting;
}

void classic_writer_resume(classic_writer *writer, lipc_classic_block *block) {
    *writer = (classic_writer){.block = block};
}

void classic_writer_resume_behind(classic_writer *writer, lipc_classic_block *block) {
    size_t n_bytes = 0;
    while (n_bytes < LIPC_RESPONSE_SIZE - 1 && __atomic_load_n(&block->response[n_bytes], __ATOMIC_RELAXED)) n_bytes++;
    int32_t n_updates = classic_block_update_counter(block);
    *writer = (classic_writer){.block = block, .n_bytes = n_bytes,
                               .n_updates = n_updates >= 0 && n_updates < INT32_MAX - 2 ? n_updates : 0};
}

void classic_writer_skip(classic_writer *writer, const char *text, size_t n_bytes) {
    writer->n_bytes += fit(writer, text, n_bytes);
    writer->n_updates++;
}

bool classic_writer_prepare(classic_writer *writer, const char *text, size_t n_bytes) {
    char *response = writer->block->response;
    size_t fitting = fit(writer, text, n_bytes);
    writer->n_prepared = fitting;
    if (fitting == 0) return false;
    for (size_t i = 1; i < fitting; i++) {
        __atomic_store_n(&response[writer->n_bytes + i], text[i], __ATOMIC_RELAXED);
        FAILPOINT("classic.prepare.text");
    }
    __atomic_store_n(&response[writer->n_bytes + fitting], 0, __ATOMIC_RELAXED);
    FAILPOINT("classic.prepare.terminator");
    writer->first_byte = text[0];
    return fitting > 1;
}

void classic_writer_show(classic_writer *writer, int32_t n_tokens) {
    if (writer->n_prepared > 0) {
        /* release: pairs with the acquire in classic_block_read_text; who sees this byte sees the ones behind it. */
        __atomic_store_n(&writer->block->response[writer->n_bytes], writer->first_byte, __ATOMIC_RELEASE);
        FAILPOINT("classic.show.byte");
        writer->n_bytes += writer->n_prepared;
        writer->n_prepared = 0;
    }
    store_counters(writer->block, ++writer->n_updates, n_tokens);
}

void classic_writer_complete(classic_writer *writer, int32_t n_tokens) {
    store_counters(writer->block, ++writer->n_updates, n_tokens);
    /* release: pairs with the acquire in classic_block_is_complete. */
    __atomic_store_n(&writer->block->generation_complete, 1, __ATOMIC_RELEASE);
    FAILPOINT("classic.complete.flag");
}

/* ---- client ------------------------------------------------------------------------------------------------------ */

static void write_prompt(char *prompt_field, const char *text, size_t n_bytes) {
    memset(prompt_field, 0, LIPC_PROMPT_SIZE);
    FAILPOINT("classic.request.field");
    memcpy(prompt_field, text, n_bytes);
    FAILPOINT("classic.request.prompt");
}

void classic_block_write_request(lipc_classic_block *block, uint32_t reader, const char *system_prompt,
                                 size_t system_bytes, const char *user_prompt, size_t user_bytes, bool stream) {
    __atomic_store_n(reader_word(block), reader, __ATOMIC_RELAXED);
    FAILPOINT("classic.request.reader");
    /* Before all that follows: whoever had his turn before and reads any of it finds his number gone. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    write_prompt(block->system_prompt, system_prompt, system_bytes);
    write_prompt(block->user_prompt, user_prompt, user_bytes);
    memset(block->response, 0, LIPC_RESPONSE_SIZE);
    FAILPOINT("classic.request.response");
    __atomic_store_n(&block->shutdown_requested, 0, __ATOMIC_RELAXED);
    FAILPOINT("classic.request.shutdown");
    __atomic_store_n(&block->stream_mode, stream, __ATOMIC_RELAXED);
    FAILPOINT("classic.request.mode");
    __atomic_store_n(&block->generation_complete, 0, __ATOMIC_RELAXED);
    FAILPOINT("classic.request.complete");
    __atomic_store_n(&block->cancel_requested, 0, __ATOMIC_RELAXED);
    FAILPOINT("classic.request.cancel");
    store_counters(block, 0, 0);
}

size_t classic_block_read_text(const lipc_classic_block *block, char *text, size_t from) {
    size_t at = from;
    for (; at < LIPC_RESPONSE_SIZE - 1; at++) {
        /* acquire: pairs with the release in classic_writer_show. Each byte once, forwards: the byte that was the
         * terminator is read before those behind it, so a whole update is seen or nothing of it. */
        char byte = __atomic_load_n(&block->response[at], __ATOMIC_ACQUIRE);
        if (byte == 0) break;
        text[at] = byte;
    }
    text[at] = 0;
    return at;
}

bool classic_block_is_complete(const lipc_classic_block *block) {
    return __atomic_load_n(&block->generation_complete, __ATOMIC_ACQUIRE) != 0;
}

void classic_block_request_cancel(lipc_classic_block *block, bool requested) {
    __atomic_store_n(&block->cancel_requested, requested, __ATOMIC_RELAXED);
    FAILPOINT("classic.cancel.flag");
}

void classic_block_request_shutdown(lipc_classic_block *block) {
    __atomic_store_n(&block->shutdown_requested, 1, __ATOMIC_RELAXED);
    FAILPOINT("classic.shutdown.flag");
}
