/* resume_rules.c - what a successor finds of an answer and how it goes on with it: stream_recovered_read, the sum of a
 * request, retracing what was published, and the same for the classic block. */
#include "../support/harness.h"

#include "channel/classic_block.h"
#include "channel/stream.h"
#include "lipc/lipc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM = 1, GENERATION = 8 };

static hub_view view;
static stream_writer writer;
static stream_recovered recovered;

static lipc_stream_header *header(void) {
    return hub_stream(&view, STREAM);
}

static stream_room append(const char *text, int32_t id) {
    return stream_writer_append(&writer, text, strlen(text), id < 0 ? NULL : &(stream_token){.id = id, .logprob = 0.5f}, 9000);
}

/* An answer of three tokens and a text that was held back, of a writer that then dies. */
static void make_recovered(const char *held_back) {
    memset(view.base, 0, view.at.segment_size);
    hub_clear(&view);
    hub_begin(&view, 1, 1, "1");
    stream_writer_begin(&writer, &view, STREAM, GENERATION, 1000);
    stream_writer_start(&writer, 42, 77, 2000);
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    if (held_back[0]) CHECK(append(held_back, -1) == STREAM_FITS);
    memset(&writer, 0x55, sizeof writer);
}

static void find(void) {
    stream_recovered_read(&view, STREAM, GENERATION, &recovered);
}

static void resume(void) {
    find();
    stream_writer_resume(&writer, &view, STREAM, GENERATION, &recovered);
}

static uint32_t state_now(void) {
    return (uint32_t)header()->status & 0xFF;
}

/* ---- what is found ---- */

static void check_recovered(void) {
    int32_t ids[4] = {0, 0, 0, 99};
    test_step("what is found of an answer");
    make_recovered("!");
    find();
    CHECK(recovered.is_taken && !recovered.has_ended && recovered.was_started);
    CHECK(recovered.n_bytes == 8 && recovered.n_tokens == 3 && recovered.seed == 42 && recovered.request_sum == 77);
    stream_recovered_tokens(&view, STREAM, ids, 3);
    CHECK(ids[0] == 1 && ids[1] == 2 && ids[2] == 3 && ids[3] == 99);
    stream_recovered_read(&view, STREAM, GENERATION + 1, &recovered);
    CHECK(!recovered.is_taken && !recovered.was_started && recovered.n_bytes == 0 && recovered.n_tokens == 0);
    header()->status = (uint64_t)GENERATION << 32;
    find();
    CHECK(!recovered.is_taken);

    test_step("of one that had not begun, and of one that had ended");
    stream_writer_begin(&writer, &view, STREAM, GENERATION, 1000);
    find();
    CHECK(recovered.is_taken && !recovered.has_ended && !recovered.was_started && recovered.n_tokens == 0);
    stream_writer_start(&writer, 42, 77, 2000);
    stream_writer_end(&writer, LIPC_END_TURN, 0, "", 5000);
    find();
    CHECK(recovered.is_taken && recovered.has_ended && recovered.was_started);
    CHECK_INT(recovered.ended_ns, ==, 5000);
    stream_writer_resume(&writer, &view, STREAM, GENERATION, &recovered);
    CHECK_INT(state_now(), ==, LIPC_STREAM_ENDED);

    test_step("lengths that lie");
    header()->published = UINT64_MAX;
    find();
    CHECK_INT(recovered.n_bytes, ==, view.at.log_size);
    CHECK_INT(recovered.n_tokens, ==, view.at.index_length);
}

static void check_sum(void) {
    enum { SIZE = 41 };
    char *bytes = malloc(SIZE); /* of its exact size, so that the sanitizer sees one read too far */
    CHECK(bytes != NULL);
    test_step("the sum of a request");
    memset(bytes, 0, SIZE);
    uint64_t sum = stream_request_sum(bytes, SIZE, 5, 6);
    CHECK(sum == stream_request_sum(bytes, SIZE, 5, 6));
    CHECK(sum != stream_request_sum(bytes, SIZE, 4, 6) && sum != stream_request_sum(bytes, SIZE, 5, 7));
    CHECK(stream_request_sum(bytes, SIZE, 5, 6) != stream_request_sum(bytes, SIZE, 6, 5));
    for (size_t n_bytes = 0; n_bytes < SIZE; n_bytes++)
        CHECK_SAY(stream_request_sum(bytes + SIZE - n_bytes, n_bytes, 5, 6) != sum, "%zu zeros are as good", n_bytes);
    for (size_t at = 0; at < SIZE; at++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] ^= (char)(1 << bit);
            CHECK_SAY(stream_request_sum(bytes, SIZE, 5, 6) != sum, "bit %d of byte %zu does not count", bit, at);
            bytes[at] ^= (char)(1 << bit);
        }
    free(bytes);

    /* Computed by another program: a successor of another build must find the same. */
    CHECK(stream_request_sum("12345678", 8, 5, 6) == UINT64_C(0x49F49D26ACF77EA5));
    CHECK(stream_request_sum("123456789", 9, 5, 6) == UINT64_C(0xADF99317241D8BF7));
    CHECK(stream_request_check("12345678", 8, 6) == UINT64_C(0x677F65D78));
    CHECK(stream_request_check("123456789", 9, 6) == UINT64_C(0x6F02E5E57));

    test_step("the sum of an answer");
    CHECK(stream_sum_add(UINT64_C(0xCBF29CE484222325), "", 0) == UINT64_C(0xCBF29CE484222325));
    CHECK(stream_sum_add(UINT64_C(0xCBF29CE484222325), "a", 1) == UINT64_C(0xAF63DC4C8601EC8C)); /* FNV's own example */
    CHECK(stream_sum_begin(0) == stream_sum_add(UINT64_C(0xCBF29CE484222325), "\0\0\0", 4));
    CHECK(stream_sum_begin(1) != stream_sum_begin(0));
    make_recovered("!");
    resume();
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    CHECK(append("!?", 4) == STREAM_FITS);
    CHECK_INT(header()->answer_sum, ==, 0);
    stream_writer_restore(&writer);
    CHECK_INT(header()->answer_sum, ==, 0);
    stream_writer_end(&writer, LIPC_END_TURN, 0, "", 1);
    uint64_t answer_sum = stream_sum_add(stream_sum_begin(GENERATION), "Grüße!?", 9);
    CHECK(header()->answer_sum == answer_sum);
    header()->answer_sum = 1;
    stream_writer_restore(&writer);
    CHECK(header()->answer_sum == answer_sum);
    resume();
    header()->answer_sum = 1;
    stream_writer_restore(&writer);
    CHECK(header()->answer_sum == answer_sum);

    test_step("a request in its stream");
    const uint8_t id[STREAM_ID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    memset(stream_request(&view, 0), 0x55, 16);
    stream_write_request(&view, 0, id, "request", 7);
    CHECK(memcmp(hub_stream(&view, 0)->id, id, sizeof id) == 0);
    CHECK_INT(hub_stream(&view, 0)->request_bytes, ==, 7);
    CHECK(memcmp(stream_request(&view, 0), "request\x55", 8) == 0);
}

/* ---- going on ---- */

static void check_resumed(void) {
    stream_reader reader;
    stream_snapshot snapshot;
    test_step("retraced and gone on with");
    make_recovered("!");
    lipc_stream_header before = *header();
    resume();
    CHECK_INT(state_now(), ==, LIPC_STREAM_RECOVERING);
    header()->queue_position = 5;
    stream_writer_start(&writer, 43, 78, 7000);
    CHECK(header()->seed == 42 && header()->request_sum == 77 && header()->started_ns == 2000);
    CHECK(header()->queue_position == 0 && state_now() == LIPC_STREAM_RECOVERING);
    lipc_token_record record = stream_index(&view, STREAM)[2];
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    CHECK_INT(state_now(), ==, LIPC_STREAM_RECOVERING);
    CHECK(header()->published == before.published && header()->first_token_ns == before.first_token_ns);
    CHECK(memcmp(&record, &stream_index(&view, STREAM)[2], sizeof record) == 0);
    CHECK(append("!", -1) == STREAM_FITS);
    CHECK(header()->published == before.published);
    CHECK(append("?", 4) == STREAM_FITS);
    CHECK_INT(state_now(), ==, LIPC_STREAM_GENERATING);
    CHECK(header()->first_token_ns == before.first_token_ns);
    stream_reader_begin(&reader, &view, STREAM, GENERATION);
    stream_read_snapshot(&reader, &snapshot);
    CHECK(snapshot.n_bytes == 9 && snapshot.n_tokens == 4 && memcmp(reader.log, "Grüße!?", 9) == 0);
    CHECK(reader.index[3].end == 9 && reader.index[3].id == 4 && reader.index[3].logprob == 0.5f);
    CHECK_INT(reader.index[3].time_us, ==, 7);

    test_step("what was held back comes with the next token");
    make_recovered("!");
    resume();
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    CHECK(append("!?", 4) == STREAM_FITS);
    CHECK_INT(header()->published, ==, UINT64_C(4) << 32 | 9);
    CHECK(memcmp(stream_log(&view, STREAM), "Grüße!?", 9) == 0);

    test_step("what was scribbled over is shown again");
    uint64_t published = header()->published, status = header()->status;
    header()->published = header()->status = 0x5555;
    stream_writer_restore(&writer);
    CHECK(header()->published == published && header()->status == status);
    resume();
    status = header()->status;
    header()->published = header()->status = 0;
    stream_writer_restore(&writer);
    CHECK(header()->published == published && header()->status == status);
    stream_writer_end(&writer, LIPC_END_TURN, 0, "", 9999);
    resume();
    status = header()->status;
    header()->status = 0;
    stream_writer_restore(&writer);
    CHECK(header()->status == status && state_now() == LIPC_STREAM_ENDED);

    test_step("one that had not been started is started");
    make_recovered("");
    stream_writer_begin(&writer, &view, STREAM, GENERATION, 1000);
    resume();
    CHECK(append("", -1) == STREAM_FITS);
    stream_writer_start(&writer, 43, 78, 7000);
    CHECK(header()->seed == 43 && header()->request_sum == 78 && header()->started_ns == 7000);
    CHECK_INT(state_now(), ==, LIPC_STREAM_READING);
    CHECK(append("-", -1) == STREAM_FITS);
    CHECK(header()->first_token_ns == 0 && state_now() == LIPC_STREAM_READING);
    CHECK(append("a", 1) == STREAM_FITS);
    CHECK(header()->first_token_ns == 9000 && state_now() == LIPC_STREAM_GENERATING);
    stream_writer_position(&writer, 1);
    CHECK(stream_writer_append(&writer, "b", 1, &(stream_token){.id = 1}, 9999) == STREAM_FITS);
    CHECK_INT(header()->first_token_ns, ==, 9000);
}

/* Resumes, retraces the first so many tokens, and expects the next to be found not to be what was published. */
static void check_damaged(int n_good, const char *text, int32_t id) {
    static const char *const texts[] = {"Grü", "", "ße"};
    uint64_t published = header()->published;
    resume();
    for (int i = 0; i < n_good; i++) CHECK(append(texts[i], i + 1) == STREAM_FITS);
    CHECK_SAY(append(text, id) == STREAM_DAMAGED, "'%s' is taken for what was published", text);
    CHECK(header()->published == published && state_now() == LIPC_STREAM_RECOVERING);
}

static void check_damage(void) {
    test_step("what is not as it was published");
    make_recovered("");
    check_damaged(0, "Grä", 1); /* of the same length */
    check_damaged(0, "Grü", 2);
    check_damaged(0, "Gr", 1);
    check_damaged(0, "Grü", -1);
    check_damaged(1, "ß", 2);
    check_damaged(2, "ße!", 3);
    stream_index(&view, STREAM)[2].end++;
    check_damaged(2, "ße", 3);
    make_recovered("!?");
    check_damaged(3, "!", 4);
    check_damaged(3, "!", -1);
    check_damaged(3, "!.x", 4);
    check_damaged(3, ".?x", -1);
    resume();
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    CHECK(stream_writer_append(&writer, "!?", 1, NULL, 9000) == STREAM_DAMAGED); /* less than was published */
    CHECK(append("!?", 4) == STREAM_FITS); /* all of it, and no more */
    /* More tokens than bytes for them. */
    make_recovered("");
    header()->published = UINT64_C(3) << 32 | 4;
    check_damaged(2, "ße", 3);
    header()->published = UINT64_C(3) << 32 | 3;
    check_damaged(0, "Grü", 1);
}

static void check_full(void) {
    test_step("a full index and a full log, retraced");
    make_recovered("");
    resume();
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    while (writer.n_tokens < view.at.index_length) CHECK(append("", 9) == STREAM_FITS);
    CHECK(append("", 9) == STREAM_FULL);
    resume();
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    while (writer.n_tokens < view.at.index_length) CHECK(append("", 9) == STREAM_FITS);
    CHECK(append("", 9) == STREAM_FULL);

    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    make_recovered("");
    resume();
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    CHECK(append(text, 4) == STREAM_FULL);
    CHECK_INT(header()->published, ==, UINT64_C(4) << 32 | view.at.log_size);
    resume();
    CHECK(append("Grü", 1) == STREAM_FITS && append("", 2) == STREAM_FITS && append("ße", 3) == STREAM_FITS);
    CHECK(append(text, 4) == STREAM_FULL);
    CHECK_INT(header()->published, ==, UINT64_C(4) << 32 | view.at.log_size);

    test_step("times");
    make_recovered("");
    stream_writer_begin(&writer, &view, STREAM, GENERATION, 0);
    stream_writer_start(&writer, 0, 0, 5000000);
    const lipc_token_record *records = stream_index(&view, STREAM);
    const stream_token token = {.id = 1};
    static const struct {
        uint64_t now_ns;
        uint32_t time_us;
    } times[] = {{5000000, 0}, {4999999, 0}, {0, 0}, {5000001, 0}, {5001000, 1}, {5000000 + 1998000, 1998},
                 {5000000 + UINT64_C(4294967295) * 1000, UINT32_MAX}, {UINT64_MAX, UINT32_MAX}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        CHECK(stream_writer_append(&writer, "a", 1, &token, times[i].now_ns) == STREAM_FITS);
        CHECK_INT(records[i].time_us, ==, times[i].time_us);
    }
}

/* ---- probabilities ---- */

static bool append_likely(int32_t id) {
    const lipc_prob_record probs[] = {{id, -0.1f, 1, "a"}, {id + 100, -2, 255, "abcdefghijklmnopqrstuvw"}, {0, -9, 1, "x"}};
    /* Of two that are wanted the token has one, two or three. */
    return stream_writer_append(&writer, "a", 1, &(stream_token){id, 0.5f, probs, (uint32_t)(1 + id % 3)}, 9000) == STREAM_FITS;
}

static void begin_likely(uint32_t n_probs) {
    make_recovered("");
    stream_writer_begin(&writer, &view, STREAM, GENERATION, 1000);
    CHECK_INT(header()->n_probs, ==, 0);
    stream_writer_keep_probs(&writer, n_probs);
    stream_writer_start(&writer, 42, 77, 2000);
}

static void check_likely(int n_tokens) {
    stream_reader reader;
    lipc_prob_record probs[LIPC_PROBS_MAX];
    uint64_t sum = stream_sum_begin(GENERATION);
    stream_reader_begin(&reader, &view, STREAM, GENERATION);
    for (int i = 0; i < n_tokens; i++) {
        int32_t id = i + 1;
        CHECK_INT(stream_read_probs(&reader, (size_t)i, probs), ==, 2);
        CHECK(probs[0].id == id && probs[0].logprob == -0.1f && probs[0].n_bytes == 1 && probs[0].text[0] == 'a');
        if (id % 3 == 0) CHECK(isnan(probs[1].logprob) && probs[1].n_bytes == 0);
        else CHECK(probs[1].id == id + 100 && probs[1].n_bytes == 255 && memcmp(probs[1].text, "abcdefghijklmnopqrstuvw", 23) == 0);
        sum = stream_sum_add(sum, (const char *)probs, 2 * sizeof *probs);
    }
    CHECK(writer.probs_sum == sum);
}

static void check_probabilities(void) {
    stream_reader reader;
    lipc_prob_record probs[LIPC_PROBS_MAX];
    test_step("the likeliest tokens, retraced and gone on with");
    begin_likely(2);
    CHECK(header()->n_probs == 2 && append_likely(1) && append_likely(2) && append_likely(3));
    check_likely(3);
    /* One that was written, and not published, by a writer that died. */
    lipc_prob_record *shared = stream_probs(&view, STREAM);
    memset(&shared[6], 0x55, 2 * sizeof *shared);
    memset(&writer, 0x55, sizeof writer);
    resume();
    stream_writer_keep_probs(&writer, 2);
    CHECK(header()->n_probs == 2 && append_likely(1));
    /* What stands is not made again. */
    CHECK(stream_writer_append(&writer, "a", 1, &(stream_token){2, NAN, NULL, 0}, 9000) == STREAM_FITS);
    CHECK(append_likely(3) && append_likely(4) && append_likely(5));
    check_likely(5);
    stream_writer_end(&writer, LIPC_END_TURN, 0, "", 9999);
    CHECK(header()->probs_sum == writer.probs_sum);
    resume();
    CHECK(header()->probs_sum == writer.probs_sum && writer.n_probs == 2);

    test_step("a number of them that was written over");
    stream_reader_begin(&reader, &view, STREAM, GENERATION);
    header()->n_probs = LIPC_PROBS_MAX + 1;
    CHECK_INT(stream_read_probs(&reader, 0, probs), ==, -1);
    header()->probs_sum++;
    header()->tokens_sum++;
    stream_writer_restore(&writer);
    CHECK_INT(header()->n_probs, ==, 2);
    CHECK(header()->probs_sum == writer.probs_sum && header()->tokens_sum == writer.tokens_sum);
    size_t room = stream_probs_room(&view.at);
    CHECK_INT(stream_read_probs(&reader, room / 2 - 1, probs), ==, 2);
    CHECK_INT(stream_read_probs(&reader, room / 2, probs), ==, -1);
    header()->status = (uint64_t)GENERATION << 32 | LIPC_STREAM_GENERATING;
    header()->n_probs = UINT32_MAX;
    resume();
    CHECK_INT(writer.n_probs, ==, 0);

    test_step("a successor that was to keep another number of them: there are none");
    begin_likely(2);
    CHECK(append_likely(1) && append_likely(2));
    resume();
    stream_writer_keep_probs(&writer, 5);
    stream_reader_begin(&reader, &view, STREAM, GENERATION);
    CHECK(header()->n_probs == 0 && stream_read_probs(&reader, 0, probs) == 0);

    test_step("as many tokens as there is room for");
    begin_likely(LIPC_PROBS_MAX + 5);
    CHECK_INT(header()->n_probs, ==, LIPC_PROBS_MAX);
    lipc_stream_header before = *hub_stream(&view, STREAM + 1);
    int n = 0;
    while (append_likely(n + 1)) n++;
    CHECK_INT(n, ==, room / LIPC_PROBS_MAX);
    CHECK(memcmp(&before, hub_stream(&view, STREAM + 1), sizeof before) == 0);
    header()->n_probs = 1; /* then the published ones would have room, and more */
    resume();
    CHECK(append_likely(1));

    test_step("a host that has none");
    hub_view older = view;
    older.at.probs_offset = 0;
    stream_reader_begin(&reader, &older, STREAM, GENERATION);
    CHECK_INT(stream_read_probs(&reader, 0, probs), ==, 0);
}

/* ---- the classic block ---- */

static lipc_classic_block block;
static classic_writer classic;

static void append_classic(const char *text, int32_t n_tokens) {
    classic_writer_prepare(&classic, text, strlen(text));
    classic_writer_show(&classic, n_tokens);
}

static void check_classic(void) {
    static char text[LIPC_RESPONSE_SIZE];
    test_step("a classic answer, retraced and gone on with");
    memset(&block, 0, sizeof block);
    classic_writer_begin(&classic, &block);
    append_classic("Grü", 1);
    append_classic("ße", 2);
    classic_writer_resume(&classic, &block);
    classic_writer_skip(&classic, "Grü", 4);
    CHECK(strcmp(block.response, "Grüße") == 0 && classic_block_update_counter(&block) == 2);
    append_classic("ße", 2);
    CHECK(strcmp(block.response, "Grüße") == 0 && classic_block_update_counter(&block) == 2);
    append_classic("!", 3);
    CHECK(strcmp(block.response, "Grüße!") == 0 && classic_block_update_counter(&block) == 3);

    test_step("a full classic answer, retraced");
    memset(text, 'x', sizeof text);
    classic_writer_resume(&classic, &block);
    classic_writer_skip(&classic, text, sizeof text - 1);
    CHECK(!classic.is_full && classic.n_bytes == 32767);
    classic_writer_skip(&classic, "", 0);
    CHECK(!classic.is_full);
    classic_writer_skip(&classic, "x", 1);
    CHECK(classic.is_full && classic.n_bytes == 32767 && classic.n_updates == 3);

    test_step("a classic answer that is only to be ended");
    classic_writer_resume_behind(&classic, &block);
    CHECK(classic.n_bytes == 8 && classic.n_updates == 3 && !classic.is_full);
    append_classic("?", 4);
    CHECK(strcmp(block.response, "Grüße!?") == 0 && classic_block_update_counter(&block) == 4);
    static const struct {
        int32_t found, kept;
    } counters[] = {{0, 0},         {-1, 0}, {INT32_MIN, 0}, {INT32_MAX - 3, INT32_MAX - 3}, {INT32_MAX - 2, 0},
                    {INT32_MAX, 0}};
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        memcpy(&block.update_counter, &counters[i].found, sizeof(int32_t));
        classic_writer_resume_behind(&classic, &block);
        CHECK_INT(classic.n_updates, ==, counters[i].kept);
    }
    memset(&block, 'x', sizeof block);
    classic_writer_resume_behind(&classic, &block);
    CHECK_INT(classic.n_bytes, ==, 32767);
}

int main(void) {
    test_begin("resume_rules", 60);
    hub_plan(&view.at, 3, 4096, 4096);
    view.base = aligned_alloc(4096, view.at.segment_size);
    CHECK(view.base != NULL);
    make_recovered("");
    check_recovered();
    check_sum();
    check_resumed();
    check_damage();
    check_full();
    check_probabilities();
    check_classic();
    free(view.base);
    return test_end();
}
