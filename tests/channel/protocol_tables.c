/* protocol_tables.c - docs/protocol.md says what layout.h says: each field's place, size and type, each constant, the
 * examples of words, and the request written out in bytes. Nothing may be missing on either side.
 *
 * Arguments: docs/protocol.md, include/lipc/layout.h. */
#include "channel/hub.h"
#include "channel/request.h"
#include "channel/reservation.h"
#include "channel/stream.h"

#include "../support/harness.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *document, *header_text;

static char *read_text(const char *path) {
    FILE *file = fopen(path, "r");
    CHECK_SAY(file, "cannot read %s", path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    char *text = calloc(1, size + 1);
    rewind(file);
    CHECK(text && fread(text, 1, size, file) == size);
    fclose(file);
    return text;
}

static const char *next_line(const char *at) {
    const char *end = strchr(at, '\n');
    return end ? end + 1 : at + strlen(at);
}

/* ---- what the compiler says -------------------------------------------------------------------------------------- */

typedef struct field {
    const char *structure;
    const char *name;
    const char *type; /* of an array: of its elements, with a bracket behind */
    size_t offset, size;
    bool is_found;
} field;

#define TYPE(value)                                                                                                    \
    _Generic((value), uint8_t: "u8", uint16_t: "u16", uint32_t: "u32", uint64_t: "u64", int32_t: "i32",               \
             int64_t: "i64", float: "f32", lipc_doorbell: "bell", uint8_t *: "u8[", uint32_t *: "u32[",               \
             uint64_t *: "u64[", char *: "char[")
#define FIELD(structure, name)                                                                                         \
    {#structure, #name, TYPE(((structure *)0)->name), offsetof(structure, name), sizeof(((structure *)0)->name), false}

static field fields[] = {
#define F(name) FIELD(lipc_doorbell, name)
    F(rings), F(armed),
#undef F
#define F(name) FIELD(lipc_hub, name)
    F(magic), F(layout_major), F(layout_minor), F(host_pid), F(host_start_time), F(features), F(segment_size),
    F(hub_size), F(epoch), F(clients_offset), F(client_size), F(n_clients), F(streams_offset), F(stream_size),
    F(n_streams), F(request_offset), F(request_size), F(log_offset), F(log_size), F(index_offset), F(index_length),
    F(parts_offset), F(parts_size), F(parts_index_offset), F(parts_length), F(probs_offset), F(state), F(load_per_mille), F(n_attached), F(n_running), F(n_queued), F(worker_pid), F(n_recoveries), F(facts_version), F(is_asleep), F(reserved1), F(download_bytes), F(download_total), F(download_rate),
    F(host_version), F(reserved2), F(model), F(n_ctx), F(n_ctx_trained), F(n_vocab), F(n_threads), F(n_parallel),
    F(reserved3), F(n_parameters), F(model_bytes), F(n_layers), F(n_device_layers), F(reserved4), F(bell), F(shutdown), F(reserved5), F(next_ticket),
    F(reserved6), F(model_path), F(devices),
#undef F
#define F(name) FIELD(lipc_client_record, name)
    F(claim), F(start_time), F(reservation), F(reserved0), F(bell), F(reserved1), F(queue_position), F(reserved2),
#undef F
#define F(name) FIELD(lipc_stream_header, name)
    F(claim), F(cancel), F(id), F(request_bytes), F(reserved0), F(request_check), F(reserved4), F(watchers), F(reserved1), F(published), F(status),
    F(n_cached), F(reserved3), F(parts), F(parts_sum), F(tokens_sum), F(probs_sum), F(n_probs), F(reserved2), F(queue_position), F(n_prompt), F(n_prompt_done), F(seed), F(submitted_ns), F(started_ns),
    F(first_token_ns), F(ended_ns), F(request_sum), F(answer_sum), F(message),
#undef F
#define F(name) FIELD(lipc_token_record, name)
    F(end), F(id), F(logprob), F(time_us),
#undef F
#define F(name) FIELD(lipc_prob_record, name)
    F(id), F(logprob), F(n_bytes), F(text),
#undef F
#define F(name) FIELD(lipc_part_record, name)
    F(kind), F(call), F(start), F(position), F(token), F(n_id), F(n_name), F(reserved),
#undef F
#define F(name) FIELD(lipc_request_header, name)
    F(n_bytes), F(flags), F(n_predict), F(temperature), F(min_p), F(top_p), F(top_k), F(repeat_penalty),
    F(frequency_penalty), F(presence_penalty), F(repeat_last_n), F(priority), F(seed), F(n_items), F(operation),
#undef F
#define F(name) FIELD(lipc_request_item, name)
    F(kind), F(n_bytes), F(role),
#undef F
};

static const struct {
    const char *name;
    size_t size;
} structures[] = {
#define S(name) {#name, sizeof(name)}
    S(lipc_doorbell), S(lipc_hub), S(lipc_client_record), S(lipc_stream_header), S(lipc_token_record),
    S(lipc_part_record), S(lipc_prob_record),
    S(lipc_request_header), S(lipc_request_item),
#undef S
};

typedef struct constant {
    const char *name;
    long long value;
    const char *text; /* of those that are texts */
    bool is_found;
} constant;

static constant constants[] = {
#define T(name) {#name, 0, name, false}
    T(LIPC_DEFAULT_NAME), T(LIPC_SUFFIX_SEGMENT), T(LIPC_SUFFIX_READY), T(LIPC_SUFFIX_PROMPTS_WRITTEN),
    T(LIPC_SUFFIX_RESPONSE_WRITTEN), T(LIPC_SUFFIX_CHUNK_READY),
#undef T
#define C(name) {#name, (long long)(name), NULL, false}
    C(LIPC_NAME_MAX), C(LIPC_HUB_OFFSET), C(LIPC_HUB_REGION_SIZE), C(LIPC_HUB_END), C(LIPC_CLASSIC_REGION_SIZE),
    C(LIPC_CLASSIC_MAP_SIZE), C(LIPC_PROMPT_SIZE), C(LIPC_RESPONSE_SIZE), C(LIPC_READER_HOST_ENDED), C(LIPC_HUB_MAGIC),
    C(LIPC_LAYOUT_MAJOR), C(LIPC_LAYOUT_MINOR), C(LIPC_HUB_STARTING), C(LIPC_HUB_LOADING), C(LIPC_HUB_READY),
    C(LIPC_HUB_ENDING), C(LIPC_HUB_RECOVERING), C(LIPC_STREAM_RECOVERING),
    C(LIPC_BELL_NEWS), C(LIPC_BELL_ENDS), C(LIPC_CLIENT_FREE), C(LIPC_CLIENT_ATTACHING), C(LIPC_CLIENT_ATTACHED),
    C(LIPC_CLIENT_LEAVING), C(LIPC_RESERVATION_NONE), C(LIPC_RESERVATION_WAITING), C(LIPC_RESERVATION_GRANTED), C(LIPC_CLAIM_FREE),
    C(LIPC_CLAIM_CLAIMED), C(LIPC_CLAIM_SUBMITTED), C(LIPC_CLAIM_DETACHED), C(LIPC_CLAIM_RELEASED), C(LIPC_CLAIM_OFFERED), C(LIPC_NO_OWNER),
    C(LIPC_STREAM_QUEUED), C(LIPC_STREAM_READING), C(LIPC_STREAM_GENERATING), C(LIPC_STREAM_ENDED),
    C(LIPC_FLAG_DETACHABLE), C(LIPC_FLAG_IGNORE_EOS), C(LIPC_FLAG_LOGPROBS), C(LIPC_FLAG_LOAD), C(LIPC_MODEL_PATH_MAX),
    C(LIPC_OPERATION_ANSWER), C(LIPC_OPERATION_LOAD), C(LIPC_ITEM_MODEL_PATH), C(LIPC_OPERATION_SAVE), C(LIPC_OPERATION_RESTORE),
    C(LIPC_ITEM_STATE_PATH), C(LIPC_FEATURE_STATES), C(LIPC_FEATURE_PROBS), C(LIPC_PROBS_MAX),
    C(LIPC_FLAG_RENDER), C(LIPC_FEATURE_PARTS), C(LIPC_FEATURE_DOCUMENTS), C(LIPC_FEATURE_TOKENS_SUM), C(LIPC_PARTS_MAX), C(LIPC_PART_TEXT),
    C(LIPC_PART_THOUGHT), C(LIPC_PART_CALL), C(LIPC_ITEM_DOCUMENT),
    C(LIPC_INT_DEFAULT), C(LIPC_SEED_RANDOM),
    C(LIPC_SEED_DEFAULT), C(LIPC_ITEM_MESSAGE), C(LIPC_ITEM_STOP), C(LIPC_ITEM_GRAMMAR), C(LIPC_ITEM_PARAMETER), C(LIPC_FEATURE_PARAMETERS), C(LIPC_STOPS_MAX),
    C(LIPC_STOP_BYTES_MAX), C(LIPC_ITEMS_MAX), C(LIPC_CLIENTS_MAX), C(LIPC_STREAMS_MAX), C(LIPC_E_REFUSED),
    C(LIPC_E_FAILED),
#undef C
#define END(number, name, text) {"LIPC_END_" #name, number, NULL, false},
    LIPC_END_MAP(END)
#undef END
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- tables of fields -------------------------------------------------------------------------------------------- */

static void check_row(const char *structure, size_t offset, size_t size, const char *type, const char *name) {
    for (size_t i = 0; i < COUNT(fields); i++) {
        field *field = &fields[i];
        if (strcmp(field->structure, structure) != 0 || strcmp(field->name, name) != 0) continue;
        size_t length = strlen(field->type);
        bool is_array = field->type[length - 1] == '[';
        CHECK_SAY(!field->is_found, "%s.%s is there twice", structure, name);
        CHECK_SAY(offset == field->offset && size == field->size, "%s.%s: the document says %zu bytes at %zu, layout.h "
                  "%zu at %zu", structure, name, size, offset, field->size, field->offset);
        CHECK_SAY(strncmp(type, field->type, length) == 0 && (is_array || type[length] == 0),
                  "%s.%s: the document says %s, layout.h %s", structure, name, type, field->type);
        size_t element = strcmp(field->type, "u64[") == 0 ? 8 : strcmp(field->type, "u32[") == 0 ? 4 : 1;
        CHECK_SAY(!is_array || strtoull(type + length, NULL, 10) * element == size, "%s.%s: %s does not have %zu bytes",
                  structure, name, type, size);
        field->is_found = true;
        return;
    }
    CHECK_SAY(false, "layout.h has no %s.%s", structure, name);
}

/* Rows follow each other without a gap, up to the end of the structure: no field can be missing on both sides. */
static void check_structure(const char *name, size_t size) {
    char heading[96], type[16], field_name[64];
    size_t offset, field_size, end = 0;
    snprintf(heading, sizeof heading, "#### `%s`, %zu bytes\n", name, size);
    const char *at = strstr(document, heading);
    CHECK_SAY(at, "no heading \"%.*s\"", (int)strlen(heading) - 1, heading);
    for (at = next_line(at); *at && strncmp(at, "####", 4) != 0; at = next_line(at)) {
        if (sscanf(at, "| %zu | %zu | %15[^ ] | `%63[^`]` |", &offset, &field_size, type, field_name) != 4) continue;
        CHECK_SAY(offset == end, "%s.%s begins at %zu, the row before ends at %zu", name, field_name, offset, end);
        check_row(name, offset, field_size, type, field_name);
        end = offset + field_size;
    }
    CHECK_SAY(end == size, "the rows of %s end at %zu, the structure at %zu", name, end, size);
}

static void check_fields(void) {
    for (size_t i = 0; i < COUNT(structures); i++) check_structure(structures[i].name, structures[i].size);
    for (size_t i = 0; i < COUNT(fields); i++)
        CHECK_SAY(fields[i].is_found, "the document has no %s.%s", fields[i].structure, fields[i].name);
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

static constant *find_constant(const char *name) {
    for (size_t i = 0; i < COUNT(constants); i++)
        if (strcmp(constants[i].name, name) == 0) return &constants[i];
    return NULL;
}

static void check_constants(void) {
    char name[64], value[64];
    for (const char *at = document; *at; at = next_line(at)) {
        if (sscanf(at, "| `LIPC_%58[A-Z_]` | %63[^ |] |", name, value) != 2) continue;
        memmove(name + 5, name, strlen(name) + 1);
        memcpy(name, "LIPC_", 5);
        constant *found = find_constant(name);
        CHECK_SAY(found && !found->is_found, "%s is unknown or is there twice", name);
        found->is_found = true;
        if (found->text) {
            CHECK_SAY(value[0] == '"' && strncmp(value + 1, found->text, strlen(found->text)) == 0 &&
                          strcmp(value + 1 + strlen(found->text), "\"") == 0,
                      "%s: the document says %s, layout.h \"%s\"", name, value, found->text);
        } else {
            CHECK_SAY(strtoll(value, NULL, 0) == found->value, "%s: the document says %s, the header %lld", name, value,
                      found->value);
        }
    }
    for (size_t i = 0; i < COUNT(constants); i++)
        CHECK_SAY(constants[i].is_found, "the document has no row for %s", constants[i].name);
}

/* A constant that is new in layout.h must come into the document, too. */
static void check_header_is_covered(void) {
    char name[64];
    for (const char *at = header_text; *at; at = next_line(at)) {
        if (sscanf(at, "#define %63[A-Z_]", name) != 1 || strcmp(name, "LIPC_LAYOUT_H") == 0) continue;
        if (strcmp(name, "LIPC_LAYOUT_ASSERT") == 0) continue;
        CHECK_SAY(find_constant(name), "layout.h defines %s: give it a row in the document and an entry in this test",
                  name);
    }
}

/* ---- examples ---------------------------------------------------------------------------------------------------- */

static void check_example(const char *words, uint64_t value) {
    char row[160];
    snprintf(row, sizeof row, "| %s | 0x%016" PRIX64 " |\n", words, value);
    CHECK_SAY(strstr(document, row), "the document does not have the example %s", row);
}

static void check_examples(void) {
    check_example("client record ATTACHED, generation 7, process 4711", client_claim(LIPC_CLIENT_ATTACHED, 7, 4711));
    check_example("stream SUBMITTED, owner 9, generation 2", stream_claim(LIPC_CLAIM_SUBMITTED, 9, 2));
    check_example("stream DETACHED, generation 2", stream_claim(LIPC_CLAIM_DETACHED, LIPC_NO_OWNER, 2));
    check_example("stream FREE, generation 3", stream_claim(LIPC_CLAIM_FREE, 0, 3));
    uint64_t waiting = 0x140001, granted = 0x14000E;
    check_example("reservation WAITING, ticket 5", waiting);
    check_example("reservation GRANTED, ticket 5, stream 3", granted);
    CHECK(reservation_phase(waiting) == LIPC_RESERVATION_WAITING && reservation_ticket(waiting) == 5);
    CHECK(reservation_phase(granted) == LIPC_RESERVATION_GRANTED && reservation_ticket(granted) == 5 && reservation_stream(granted) == 3);
}

/* The bytes of the document are a request that the host takes, and the one that liblipc writes. */
static void check_request(void) {
    unsigned char written[96];
    char expected[96], message[REQUEST_MESSAGE_SIZE];
    size_t n_bytes, n = 0;
    const lipc_message hi = {"user", "Hi"};
    const lipc_request request = {
        .n_messages = 1, .messages = &hi, .n_predict = LIPC_INT_DEFAULT, .top_k = LIPC_INT_DEFAULT,
        .repeat_last_n = LIPC_INT_DEFAULT, .temperature = NAN, .min_p = NAN, .top_p = NAN, .repeat_penalty = NAN,
        .frequency_penalty = NAN, .presence_penalty = NAN, .seed = LIPC_SEED_DEFAULT,
    };
    request_view view;
    const char *at = strstr(document, "\n0000  ");
    CHECK(at);
    for (at++; strncmp(at, "```", 3) != 0; at = next_line(at)) {
        CHECK_INT(strtoul(at, NULL, 16), ==, n);
        for (int i = 0; i < 16 && n < sizeof written; i++)
            written[n++] = (unsigned char)strtoul(at + 6 + 3 * i, NULL, 16);
    }
    CHECK_INT(n, ==, sizeof written);
    CHECK_INT(request_measure(&request, &n_bytes, message), ==, 0);
    CHECK_INT(n_bytes, ==, sizeof expected);
    request_write(&request, n_bytes, expected);
    for (size_t i = 0; i < n; i++)
        CHECK_SAY(written[i] == (unsigned char)expected[i], "byte 0x%02zx of the request is %02x in the document, "
                  "should be %02x", i, written[i], (unsigned char)expected[i]);
    CHECK_SAY(request_read((char *)written, n, &view, message) == 0, "%s", message);
}

int main(int argc, char *argv[]) {
    test_begin("protocol_tables", 10);
    if (argc < 3) test_skip("give docs/protocol.md and include/lipc/layout.h");
    document = read_text(argv[1]);
    header_text = read_text(argv[2]);
    check_fields();
    check_constants();
    check_header_is_covered();
    check_examples();
    check_request();
    return test_end();
}
