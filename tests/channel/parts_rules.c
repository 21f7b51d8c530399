/* parts_rules.c - src/channel/parts.h: thoughts and calls lie beside the text where they belong; a full log, a writer that
 * dies between any two stores, one whose successor finds other bytes; and what a reader sees of all that. */
#include "../support/harness.h"

#include "channel/stream.h"
#include "lipc/lipc.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM = 1, GENERATION = 8, NAMES = 5 };

static hub_view view;
static stream_writer writer;
static stream_reader reader;
static stream_snapshot snapshot;

static lipc_stream_header *header(void) {
    return hub_stream(&view, STREAM);
}

static void begin(void) {
    memset(view.base, 0, view.at.segment_size);
    hub_clear(&view);
    hub_begin(&view, 1, 1, "1");
    stream_writer_begin(&writer, &view, STREAM, GENERATION, 1000);
    stream_writer_start(&writer, 42, 77, 2000);
    parts_writer_name_calls(&writer.parts, NAMES);
    stream_reader_begin(&reader, &view, STREAM, GENERATION);
}

static void resume(void) {
    stream_recovered recovered;
    memset(&writer, 0x55, sizeof writer);
    stream_recovered_read(&view, STREAM, GENERATION, &recovered);
    stream_writer_resume(&writer, &view, STREAM, GENERATION, &recovered);
    stream_writer_start(&writer, 42, 77, 2000);
    parts_writer_name_calls(&writer.parts, NAMES);
}

static stream_room append(int32_t id, const char *text, const part_delta *deltas, size_t n_deltas) {
    return stream_writer_append_all(&writer, text, strlen(text), deltas, n_deltas, id < 0 ? NULL : &(stream_token){.id = id}, 9000);
}

static part_delta thought(bool begins, size_t n_before, const char *text) {
    return (part_delta){.kind = LIPC_PART_THOUGHT, .begins = begins, .n_before = n_before, .bytes = text, .n_bytes = strlen(text)};
}

static part_delta call(bool begins, size_t n_before, const char *id, const char *name, const char *arguments) {
    return (part_delta){.kind = LIPC_PART_CALL, .begins = begins, .n_before = n_before, .id = id, .name = name,
                        .bytes = arguments, .n_bytes = strlen(arguments)};
}

/* One answer, token by token: a thought, a text, two calls, of which one has no id, and a text between them. */
enum { N_TOKENS = 7 };
static stream_room append_token(int number) {
    const part_delta calls[] = {call(false, 0, NULL, NULL, "}"), call(true, 1, "", "other", ""),
                                call(false, 1, NULL, NULL, "{\"ü\":1}")};
    switch (number) {
    case 0: return append(0, "", NULL, 0);
    case 1: return append(1, "", &(part_delta){LIPC_PART_THOUGHT, true, 0, NULL, NULL, "Hm", 2}, 1);
    case 2: return append(2, "", (part_delta[]){thought(false, 0, " äh")}, 1);
    case 3: return append(3, "Gut: ", NULL, 0);
    case 4: return append(4, "a", (part_delta[]){call(true, 1, "call_1", "tool", "{")}, 1);
    case 5: return append(5, "bc", calls, 3);
    default: return append(6, "d", NULL, 0);
    }
}

static void look(void) {
    stream_read_snapshot(&reader, &snapshot);
}

static void check_part(uint32_t number, uint32_t kind, uint32_t position, uint32_t token, const char *id, const char *name,
                       const char *bytes) {
    part_view part;
    look();
    CHECK_INT(snapshot.n_parts, >, number);
    parts_view(&view, STREAM, snapshot.n_part_bytes, snapshot.n_parts, number, &part);
    CHECK(part.kind == kind && part.position == position && part.token == token);
    CHECK(part.n_id == strlen(id) && memcmp(part.id, id, part.n_id) == 0);
    CHECK(part.n_name == strlen(name) && memcmp(part.name, name, part.n_name) == 0);
    CHECK_SAY(part.n_bytes == strlen(bytes) && memcmp(part.bytes, bytes, part.n_bytes) == 0, "'%.*s', not '%s'",
              (int)part.n_bytes, part.bytes, bytes);
}

static const char *made_id(void) {
    static char id[PARTS_ID_BYTES + 1];
    const lipc_part_record *record = &parts_index(&view, STREAM)[2];
    CHECK_INT(record->n_id, ==, PARTS_ID_BYTES);
    memcpy(id, parts_log(&view, STREAM) + record->start, PARTS_ID_BYTES);
    CHECK_INT(strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"), ==, PARTS_ID_BYTES);
    return id;
}

static void check_all(void) {
    check_part(0, LIPC_PART_THOUGHT, 0, 1, "", "", "Hm äh");
    check_part(1, LIPC_PART_CALL, 6, 4, "call_1", "tool", "{}");
    check_part(2, LIPC_PART_CALL, 7, 5, made_id(), "other", "{\"ü\":1}");
    CHECK(snapshot.n_parts == 3 && snapshot.n_bytes == 9 && memcmp(reader.log, "Gut: abcd", 9) == 0);
    CHECK(parts_index(&view, STREAM)[1].call == 0 && parts_index(&view, STREAM)[2].call == 1);
}

static void make_answer(void) {
    begin();
    for (int i = 0; i < N_TOKENS; i++) CHECK_INT(append_token(i), ==, STREAM_FITS);
}

static void check_written(void) {
    test_step("where everything lies");
    make_answer();
    check_all();
    CHECK_INT(parts_word_tokens(header()->parts), ==, N_TOKENS);

    test_step("the sum of the parts, when the answer ends");
    CHECK_INT(header()->parts_sum, ==, 0);
    uint64_t sum = stream_sum_begin(GENERATION);
    for (uint32_t i = 0; i < snapshot.n_parts; i++) {
        part_view part;
        parts_view(&view, STREAM, snapshot.n_part_bytes, snapshot.n_parts, i, &part);
        sum = stream_sum_add(sum, (const char *)&part.record, sizeof part.record);
        sum = stream_sum_add(sum, part.id, (size_t)part.n_id + part.n_name + part.n_bytes);
    }
    stream_writer_end(&writer, LIPC_END_TURN, 0, "", 1);
    CHECK(header()->parts_sum == sum);

    test_step("shown again when it was scribbled over, also by a successor");
    uint64_t parts = header()->parts;
    for (int i = 0; i < 2; i++, resume()) {
        header()->parts = header()->parts_sum = 0x5555;
        stream_writer_restore(&writer);
        CHECK(header()->parts == parts && header()->parts_sum == sum);
    }

    test_step("an id that is made depends on what it is made of, and on nothing else");
    char first[PARTS_ID_BYTES + 1];
    strcpy(first, made_id());
    CHECK_TEXT(first, "u671ZAXp3"); /* a successor of the same version makes the same one */
    make_answer();
    CHECK_TEXT(made_id(), first);
    begin();
    parts_writer_name_calls(&writer.parts, NAMES + 1);
    for (int i = 0; i < N_TOKENS; i++) append_token(i);
    CHECK(strcmp(made_id(), first) != 0);

    test_step("a thought has neither id nor name, and a call may come without both");
    begin();
    const part_delta named = {.kind = LIPC_PART_THOUGHT, .begins = true, .id = "id", .name = "name", .bytes = "Hm", .n_bytes = 2};
    CHECK_INT(append(0, "", (part_delta[]){named, thought(true, 0, "so"), call(true, 0, NULL, NULL, "{}")}, 3), ==, STREAM_FITS);
    check_part(0, LIPC_PART_THOUGHT, 0, 0, "", "", "Hm");
    check_part(2, LIPC_PART_CALL, 0, 0, made_id(), "", "{}");

    test_step("the next answer shows nothing of it");
    stream_writer_begin(&writer, &view, STREAM, GENERATION, 1000);
    look();
    CHECK(snapshot.n_parts == 0 && snapshot.n_part_bytes == 0 && header()->parts_sum == 0);
}

/* ---- deaths -------------------------------------------------------------------------------------------------------- */

/* A writer that died behind token `n`, its parts being published up to those of the token before, or all. */
static void die_behind(int n, bool is_behind_parts) {
    begin();
    for (int i = 0; i < n; i++) append_token(i);
    uint64_t before = header()->parts;
    append_token(n);
    if (!is_behind_parts) header()->parts = before;
}

static void check_deaths(void) {
    for (int n = 0; n < N_TOKENS; n++)
        for (int is_behind_parts = 0; is_behind_parts < 2; is_behind_parts++) {
            test_step("a writer dies behind the %s of token %d", is_behind_parts ? "parts" : "text", n);
            die_behind(n, is_behind_parts);
            look();
            uint32_t end = stream_index(&view, STREAM)[n].end, before = n > 0 ? stream_index(&view, STREAM)[n - 1].end : 0;
            CHECK_INT(snapshot.n_bytes, ==, end);
            CHECK_INT(snapshot.n_ordered_bytes, ==, is_behind_parts ? end : before);
            uint32_t n_bytes = snapshot.n_part_bytes, n_parts = snapshot.n_parts;
            resume();
            for (int i = 0; i < N_TOKENS; i++) {
                CHECK_INT(append_token(i), ==, STREAM_FITS);
                look();
                CHECK_SAY(snapshot.n_part_bytes >= n_bytes && snapshot.n_parts >= n_parts, "what was shown is taken back");
                n_bytes = snapshot.n_part_bytes;
                n_parts = snapshot.n_parts;
                if (i >= n) CHECK_INT(snapshot.n_ordered_bytes, ==, snapshot.n_bytes);
            }
            check_all();
        }

    test_step("what was held back to the end, published and not ended with");
    make_answer();
    const part_delta last = call(true, 2, "x", "late", "{}");
    CHECK_INT(append(-1, "ef", &last, 1), ==, STREAM_FITS);
    resume();
    for (int i = 0; i < N_TOKENS; i++) append_token(i);
    CHECK_INT(append(-1, "ef", &last, 1), ==, STREAM_FITS);
    check_part(3, LIPC_PART_CALL, 11, N_TOKENS, "x", "late", "{}");
    CHECK_INT(snapshot.n_parts, ==, 4);
}

static void check_damage(void) {
    test_step("every byte of what was published counts");
    make_answer();
    look();
    size_t n_records = snapshot.n_parts * sizeof(lipc_part_record);
    for (size_t at = 0; at < snapshot.n_part_bytes + n_records; at++) {
        make_answer();
        char *byte = at < n_records ? (char *)parts_index(&view, STREAM) + at : parts_log(&view, STREAM) + at - n_records;
        *byte ^= 1;
        resume();
        stream_room room = STREAM_FITS;
        for (int i = 0; i < N_TOKENS && room == STREAM_FITS; i++) room = append_token(i);
        CHECK_SAY(room == STREAM_DAMAGED, "byte %zu does not count", at);
    }

    test_step("lengths that lie lead nowhere");
    static const uint64_t words[] = {UINT64_MAX, 0xFFFFFFFF, UINT64_C(0xFFFF) << 32, UINT64_C(1) << 32, 0x100000};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        make_answer();
        memset(parts_index(&view, STREAM), 0xFF, view.at.parts_length * sizeof(lipc_part_record));
        header()->parts = words[i];
        look();
        CHECK(snapshot.n_parts <= view.at.parts_length && snapshot.n_part_bytes <= view.at.parts_size);
        CHECK(snapshot.n_ordered_bytes <= snapshot.n_bytes);
        for (uint32_t number = 0; number < snapshot.n_parts; number++) {
            part_view part;
            parts_view(&view, STREAM, snapshot.n_part_bytes, snapshot.n_parts, number, &part);
            const char *end = parts_log(&view, STREAM) + view.at.parts_size;
            CHECK(part.bytes >= parts_log(&view, STREAM) && part.bytes + part.n_bytes <= end);
        }
        resume();
        append_token(0);
        append_token(1);
    }
}

/* ---- a full log ---------------------------------------------------------------------------------------------------- */

static void check_full(void) {
    test_step("as much of a thought as fits, whole characters");
    char *long_text = malloc(view.at.parts_size + 1);
    CHECK(long_text != NULL);
    memset(long_text, 'x', view.at.parts_size);
    memcpy(long_text + view.at.parts_size - 1, "ü", 2);
    begin();
    CHECK_INT(append(0, "", &(part_delta){LIPC_PART_THOUGHT, true, 0, NULL, NULL, long_text, view.at.parts_size + 1}, 1), ==,
              STREAM_FULL);
    look();
    CHECK_INT(snapshot.n_part_bytes, ==, view.at.parts_size - 1);
    CHECK_INT(append(1, "", (part_delta[]){thought(false, 0, "ü")}, 1), ==, STREAM_FULL);
    CHECK_INT(append(2, "", (part_delta[]){thought(false, 0, "y")}, 1), ==, STREAM_FITS);
    CHECK_INT(append(3, "", (part_delta[]){call(true, 0, "id", "name", "")}, 1), ==, STREAM_FULL);
    look();
    CHECK(snapshot.n_part_bytes == view.at.parts_size && snapshot.n_parts == 1);

    test_step("an id and a name that just fit");
    begin();
    long_text[view.at.parts_size - 6] = 0;
    CHECK_INT(append(0, "", (part_delta[]){thought(true, 0, long_text)}, 1), ==, STREAM_FITS);
    CHECK_INT(append(1, "", (part_delta[]){call(true, 0, "id", "name", "")}, 1), ==, STREAM_FITS);
    look();
    CHECK(snapshot.n_part_bytes == view.at.parts_size && snapshot.n_parts == 2);
    free(long_text);

    test_step("as many parts as there are records");
    begin();
    for (uint32_t i = 0; i < view.at.parts_length; i++)
        CHECK_INT(append((int32_t)i, "", (part_delta[]){thought(true, 0, "")}, 1), ==, STREAM_FITS);
    CHECK_INT(append(9999, "", (part_delta[]){thought(true, 0, "")}, 1), ==, STREAM_FULL);
    look();
    CHECK_INT(snapshot.n_parts, ==, view.at.parts_length);

    test_step("no part behind a text that did not fit");
    begin();
    char *text = malloc(view.at.log_size + 2);
    CHECK(text != NULL);
    memset(text, 'x', view.at.log_size + 1);
    text[view.at.log_size + 1] = 0;
    CHECK_INT(append(0, text, (part_delta[]){thought(true, 0, "late")}, 1), ==, STREAM_FULL);
    look();
    CHECK(snapshot.n_parts == 0 && snapshot.n_bytes == view.at.log_size);
    free(text);
}

int main(void) {
    test_begin("parts_rules", 60);
    hub_plan(&view.at, 2, 4096, 4096);
    view.base = calloc(1, view.at.segment_size);
    CHECK(view.base != NULL);
    check_written();
    check_deaths();
    check_damage();
    check_full();
    free(view.base);
    return test_end();
}
