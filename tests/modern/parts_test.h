/* parts_test.h - answers with thoughts and calls: scripts for the host to play, and what is read of them. */
#ifndef LIPC_TESTS_PARTS_TEST_H
#define LIPC_TESTS_PARTS_TEST_H

#include "modern_test.h"

enum { PARTS_MOST = 32, PART_SIZE = 4096 };

/* A script of the engine that plays, from its text. */
static inline script script_of(const char *text) {
    script made = {.n_bytes = strlen(text), .text = strdup(text)};
    CHECK(made.text != NULL);
    test_file(made.path, made.text, made.n_bytes);
    return made;
}

/* One part as it was read: a thought, a call, or a stretch of text between them. */
typedef struct part_read {
    int32_t kind, part, call, first_token;
    uint64_t position;
    char id[256], name[256], text[PART_SIZE];
    size_t n_bytes;
} part_read;

typedef struct parts_read {
    part_read parts[PARTS_MOST];
    int n_parts;
    int code; /* of the read that ended it */
} parts_read;

static inline void add_delta(parts_read *read, const lipc_part_delta *delta) {
    part_read *last = read->n_parts > 0 ? &read->parts[read->n_parts - 1] : NULL;
    CHECK(test_is_utf8(delta->text, delta->n_bytes));
    if (!last || delta->begins || last->part != delta->part) {
        CHECK_INT(read->n_parts, <, PARTS_MOST);
        last = &read->parts[read->n_parts++];
        *last = (part_read){.kind = delta->kind, .part = delta->part, .call = delta->call,
                            .first_token = delta->first_token, .position = delta->position};
        snprintf(last->id, sizeof last->id, "%s", delta->call_id);
        snprintf(last->name, sizeof last->name, "%s", delta->name);
        CHECK_INT(delta->begins, ==, delta->kind != LIPC_PART_TEXT);
        if (delta->kind == LIPC_PART_TEXT) last->position = delta->offset;
        if (delta->kind != LIPC_PART_TEXT) CHECK_INT(delta->offset, ==, 0);
    }
    CHECK(strcmp(last->id, delta->call_id) == 0 && strcmp(last->name, delta->name) == 0);
    if (delta->kind != LIPC_PART_TEXT) CHECK_INT(delta->offset, ==, last->n_bytes);
    CHECK_INT(last->n_bytes + delta->n_bytes, <, PART_SIZE);
    memcpy(last->text + last->n_bytes, delta->text, delta->n_bytes);
    last->n_bytes += delta->n_bytes;
}

/* Reads one delta. True if there was one. */
static inline bool read_delta(lipc_stream *stream, int timeout_ms, parts_read *read) {
    lipc_part_delta delta;
    read->code = lipc_stream_read_part(stream, timeout_ms, &delta);
    bool is_there = read->code == 0 && (delta.n_bytes > 0 || delta.begins);
    if (is_there) add_delta(read, &delta);
    return is_there;
}

static inline parts_read *read_parts(lipc_stream *stream) {
    parts_read *read = calloc(1, sizeof *read);
    CHECK(read != NULL);
    while (read_delta(stream, soon(), read))
        ;
    return read;
}

/* All in one text: "[thought]" text "{name id arguments}", for comparing and for showing. */
static inline char *parts_text(const parts_read *read) {
    char *text = calloc(PARTS_MOST, PART_SIZE + 1024);
    CHECK(text != NULL);
    size_t n = 0;
    for (int i = 0; i < read->n_parts; i++) {
        const part_read *part = &read->parts[i];
        if (part->kind == LIPC_PART_TEXT) n += (size_t)sprintf(text + n, "%s", part->text);
        else if (part->kind == LIPC_PART_THOUGHT)
            n += (size_t)sprintf(text + n, "[%d:%s@%d.%d]", part->part, part->text, (int)part->position, part->first_token);
        else
            n += (size_t)sprintf(text + n, "{%d:%d:%s %s %s@%d.%d}", part->part, part->call, part->name, part->id, part->text,
                                 (int)part->position, part->first_token);
    }
    return text;
}

/* Reads to the end, which must be a good one, and closes the stream. */
static inline void check_parts(lipc_stream *stream, const char *expected) {
    parts_read *read = read_parts(stream);
    char *text = parts_text(read);
    CHECK_SAY(read->code == LIPC_E_OK, "%s: %s", lipc_error_name(read->code), lipc_error_message());
    CHECK_SAY(strcmp(text, expected) == 0, "read     %s\n    expected %s", text, expected);
    free(text);
    free(read);
    lipc_stream_close(stream);
}

#endif
