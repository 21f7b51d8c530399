/* parts.c - see parts.h. */
#include "parts.h"

#include "sum.h"

#include "../platform/failpoint.h"
#include "../text/utf8.h"
#include "lipc/lipc.h"

#include <string.h>

/* ---- writing ----------------------------------------------------------------------------------------------------- */

void parts_writer_open(parts_writer *writer, const hub_view *view, uint32_t index, uint64_t sum) {
    *writer = (parts_writer){
        .header = hub_stream(view, index), .log = parts_log(view, index), .records = parts_index(view, index),
        .size = view->at.parts_size, .length = view->at.parts_length, .sum = sum,
    };
}

/* As far as a dead writer has published it, compares; writes what lies behind. */
static bool put_bytes(parts_writer *writer, const char *bytes, size_t n_bytes) {
    size_t n_again = 0;
    if (writer->published_bytes > writer->n_bytes) n_again = writer->published_bytes - writer->n_bytes;
    if (n_again > n_bytes) n_again = n_bytes;
    if (n_again > 0 && memcmp(writer->log + writer->n_bytes, bytes, n_again) != 0) return false;
    memcpy(writer->log + writer->n_bytes + n_again, bytes + n_again, n_bytes - n_again);
    FAILPOINT("parts.put.bytes");
    writer->sum = stream_sum_add(writer->sum, bytes, n_bytes);
    writer->n_bytes += (uint32_t)n_bytes;
    return true;
}

static void make_id(const parts_writer *writer, char id[PARTS_ID_BYTES + 1]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t sum = stream_sum_add(writer->names, (const char *)&writer->n_calls, sizeof writer->n_calls);
    sum ^= sum >> 29; /* the low bits depend on all of it, too */
    for (int i = 0; i < PARTS_ID_BYTES; i++, sum /= sizeof digits - 1) id[i] = digits[sum % (sizeof digits - 1)];
    id[PARTS_ID_BYTES] = 0;
}

static parts_room begin_part(parts_writer *writer, const part_delta *delta, uint32_t position, uint32_t n_tokens) {
    bool is_call = delta->kind == LIPC_PART_CALL;
    char made[PARTS_ID_BYTES + 1];
    const char *id = is_call && delta->id ? delta->id : "", *name = is_call && delta->name ? delta->name : "";
    if (is_call && !id[0]) {
        make_id(writer, made);
        id = made;
    }
    const lipc_part_record record = {
        .kind = delta->kind, .call = is_call ? writer->n_calls : 0, .start = writer->n_bytes, .position = position,
        .token = n_tokens, .n_id = (uint16_t)strlen(id), .n_name = (uint16_t)strlen(name),
    };
    if (writer->n_parts == writer->length || (size_t)record.n_id + record.n_name > writer->size - writer->n_bytes)
        return PARTS_FULL;
    if (writer->n_parts < writer->published_parts) {
        if (memcmp(&writer->records[writer->n_parts], &record, sizeof record) != 0) return PARTS_DAMAGED;
    } else {
        writer->records[writer->n_parts] = record;
        FAILPOINT("parts.begin.record");
    }
    writer->sum = stream_sum_add(writer->sum, (const char *)&record, sizeof record);
    writer->n_parts++;
    writer->n_calls += is_call;
    return put_bytes(writer, id, record.n_id) && put_bytes(writer, name, record.n_name) ? PARTS_FIT : PARTS_DAMAGED;
}

parts_room parts_writer_add(parts_writer *writer, const part_delta *deltas, size_t n_deltas, uint32_t text_bytes,
                            uint32_t n_tokens) {
    for (size_t i = 0; i < n_deltas; i++) {
        const part_delta *delta = &deltas[i];
        if (delta->begins || writer->n_parts == 0) {
            parts_room room = begin_part(writer, delta, text_bytes + (uint32_t)delta->n_before, n_tokens);
            if (room != PARTS_FIT) return room;
        }
        size_t room = writer->size - writer->n_bytes;
        size_t fitting = delta->n_bytes <= room ? delta->n_bytes : utf8_fit(delta->bytes, delta->n_bytes, room);
        if (!put_bytes(writer, delta->bytes, fitting)) return PARTS_DAMAGED;
        if (fitting < delta->n_bytes) return PARTS_FULL;
    }
    return PARTS_FIT;
}

void parts_writer_publish(parts_writer *writer, uint32_t n_tokens) {
    /* While a dead writer's answer is retraced, what it published stays. */
    if (writer->n_bytes > writer->published_bytes) writer->published_bytes = writer->n_bytes;
    if (writer->n_parts > writer->published_parts) writer->published_parts = writer->n_parts;
    writer->published_tokens = n_tokens;
    /* release: pairs with the acquire in stream_read_snapshot. */
    __atomic_store_n(&writer->header->parts, parts_word(writer->published_bytes, writer->published_parts, n_tokens),
                     __ATOMIC_RELEASE);
    FAILPOINT("parts.publish.parts");
}

void parts_writer_restore(const parts_writer *writer) {
    uint64_t word = parts_word(writer->published_bytes, writer->published_parts, writer->published_tokens);
    __atomic_store_n(&writer->header->parts, word, __ATOMIC_RELEASE);
    FAILPOINT("parts.restore.parts");
}

/* ---- going on after a dead writer -------------------------------------------------------------------------------- */

uint32_t parts_found(const hub_view *view, uint32_t index) {
    uint64_t word = __atomic_load_n(&hub_stream(view, index)->parts, __ATOMIC_ACQUIRE);
    uint32_t n_bytes = parts_word_bytes(word);
    return n_bytes < view->at.parts_size ? n_bytes : view->at.parts_size;
}

void parts_writer_resume(parts_writer *writer) {
    uint64_t word = __atomic_load_n(&writer->header->parts, __ATOMIC_ACQUIRE);
    writer->published_bytes = parts_word_bytes(word) < writer->size ? parts_word_bytes(word) : writer->size;
    writer->published_parts = parts_word_parts(word) < writer->length ? parts_word_parts(word) : writer->length;
    writer->published_tokens = parts_word_tokens(word);
}

void parts_wipe(const hub_view *view, uint32_t index, uint32_t n_bytes) {
    memset(parts_log(view, index), 0, n_bytes);
    FAILPOINT("parts.wipe.bytes");
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

void parts_view(const hub_view *view, uint32_t index, uint32_t n_bytes, uint32_t n_parts, uint32_t number,
                part_view *part) {
    const lipc_part_record *records = parts_index(view, index);
    const char *log = parts_log(view, index);
    lipc_part_record record = records[number]; /* once; from here on only the copy */
    uint32_t end = number + 1 < n_parts ? least(records[number + 1].start, n_bytes) : n_bytes;
    uint32_t start = least(record.start, end);
    uint32_t n_id = least(record.n_id, end - start), n_name = least(record.n_name, end - start - n_id);
    *part = (part_view){
        .kind = record.kind, .call = record.call, .position = record.position, .token = record.token,
        .id = log + start, .n_id = n_id, .name = log + start + n_id, .n_name = n_name,
        .bytes = log + start + n_id + n_name, .n_bytes = end - start - n_id - n_name, .record = record,
    };
}
