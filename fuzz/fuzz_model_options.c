/* fuzz_model_options.c - everything about an answer that a request can choose (temperature, top_k, penalties, seed, bounds,
 * flags, stop strings, a grammar), with the real model: through the host's reading and checking of the request to
 * libllama's samplers. What reaches the engine is within its bounds whatever the request says; the answer then ends, is
 * text, and its tokens are the model's.
 *
 * The model is models/tutor.gguf, or that file in LIPC_TEST_MODEL_DIR. The parser of model files is libllama's, not ours,
 * and no target is about it. */
#include "fuzz.h"
#include "play_host.h"

#include "channel/request.h"
#include "channel/stream.h"
#include "lipc/lipc.h"
#include "text/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The work is cut after so many turns, and must then end. */
enum { CLIENT_PID = 3, TURNS = 12, END_TURNS = 50, MAX_TEXT = 48 };

typedef struct play {
    host_play host;
    uint32_t stream, n_turns;
    uint64_t claim;
} play;

/* ... or left to the engine. */
static bool is_within(float value, float low, float high) {
    return isnan(value) || (value >= low && value <= high);
}

static void on_admit(void *user_data, const engine_request *request) {
    const engine_sampling *sampling = &request->sampling;
    (void)user_data;
    MUST(request->n_predict >= -1 && (sampling->top_k >= 0 || sampling->top_k == LIPC_INT_DEFAULT) &&
         (sampling->repeat_last_n >= -1 || sampling->repeat_last_n == LIPC_INT_DEFAULT));
    MUST(is_within(sampling->temperature, 0, 100) && is_within(sampling->min_p, 0, 1) && is_within(sampling->top_p, 0, 1));
    MUST(is_within(sampling->repeat_penalty, 0.01f, 100) && is_within(sampling->frequency_penalty, -100, 100) &&
         is_within(sampling->presence_penalty, -100, 100));
    MUST(request->n_messages == 1 && request->n_resumed == 0);
}

static void on_turn(void *user_data, bool is_idle) {
    play *play = user_data;
    const hub_view *view = &play->host.view;
    uint32_t generation = stream_claim_generation(play->claim);
    stream_reader reader;
    stream_snapshot snapshot;
    (void)is_idle;
    stream_reader_begin(&reader, view, play->stream, generation);
    stream_read_snapshot(&reader, &snapshot);
    if (snapshot.state == LIPC_STREAM_ENDED) play->host.journal->stop.drain = 1;
    else if (++play->n_turns == TURNS) stream_request_cancel(hub_stream(view, play->stream), generation);
    MUST(play->n_turns < END_TURNS);
}

static void check_answer(const play *play, bool has_logprobs) {
    const hub_view *view = &play->host.view;
    stream_reader reader;
    stream_snapshot snapshot;
    stream_reader_begin(&reader, view, play->stream, stream_claim_generation(play->claim));
    stream_read_snapshot(&reader, &snapshot);
    MUST(snapshot.state == LIPC_STREAM_ENDED && snapshot.end != LIPC_END_NONE && utf8_is_valid(reader.log, snapshot.n_bytes));
    if (snapshot.error != 0) MUST(reader.header->message[0] && memchr(reader.header->message, 0, 256));
    uint32_t end = 0;
    for (uint32_t i = 0; i < snapshot.n_tokens; i++) {
        const lipc_token_record *token = &reader.index[i];
        MUST(token->id >= 0 && token->id < play->host.engine->facts.n_vocab && token->end >= end);
        MUST(has_logprobs ? token->logprob <= 0.001f : isnan(token->logprob));
        end = token->end;
    }
    MUST(end <= snapshot.n_bytes);
}

static size_t add_item(char *area, size_t at, uint32_t kind, fake_input *input) {
    lipc_request_item item = {.kind = kind, .n_bytes = fake_take(input, 1) % MAX_TEXT};
    if (kind == LIPC_ITEM_MESSAGE) memcpy(item.role, "user", 4);
    memcpy(area + at, &item, sizeof item);
    at += sizeof item;
    for (uint32_t i = 0; i < item.n_bytes; i++) area[at + i] = (char)fake_take(input, 1);
    return at + (item.n_bytes + 8) / 8 * 8;
}

/* The header as the input has it, but for its sizes: a request that is refused for those shows nothing. */
static size_t make_request(fake_input *input, char area[512], bool *has_logprobs) {
    lipc_request_header header;
    for (size_t i = 0; i < sizeof header; i++) ((uint8_t *)&header)[i] = (uint8_t)fake_take(input, 1);
    uint32_t items = header.flags >> 8;
    size_t n_bytes = sizeof header;
    header.flags &= 7;
    header.operation = LIPC_OPERATION_ANSWER;
    header.n_items = 1;
    n_bytes = add_item(area, n_bytes, LIPC_ITEM_MESSAGE, input);
    if (items & 1) n_bytes = add_item(area, n_bytes, LIPC_ITEM_STOP, input), header.n_items++;
    if (items & 2) n_bytes = add_item(area, n_bytes, LIPC_ITEM_STOP, input), header.n_items++;
    if (items & 4) n_bytes = add_item(area, n_bytes, LIPC_ITEM_GRAMMAR, input), header.n_items++;
    header.n_bytes = (uint32_t)n_bytes;
    memcpy(area, &header, sizeof header);
    *has_logprobs = header.flags & LIPC_FLAG_LOGPROBS;
    return n_bytes;
}

static bool go_on(void *user_data) {
    (void)user_data;
    return false;
}

static void show_progress(void *user_data, int per_mille) {
    (void)user_data, (void)per_mille;
}

static void drop_log(void *user_data, int level, const char *line) {
    (void)user_data, (void)level, (void)line;
}

static engine *open_model(void) {
    static char path[4096], message[512];
    engine *engine;
    const char *folder = getenv("LIPC_TEST_MODEL_DIR");
    snprintf(path, sizeof path, "%s/tutor.gguf", folder ? folder : "models");
    const llama_engine_options options = {.model_path = path, .n_ctx = 96, .n_sequences = 1, .n_threads = 1,
                                          .callbacks = {show_progress, go_on, drop_log, NULL}};
    if (llama_engine_open(&options, &engine, message, sizeof message) == ENGINE_OK) return engine;
    fprintf(stderr, "%s\n", message);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static journal journal;
    static engine *model;
    char area[512] = {0};
    bool has_logprobs;
    uint32_t record;
    uint64_t record_claim;
    fake_input input = {data, data + size};
    if (!model) model = open_model();
    memset(&journal, 0, sizeof journal);
    journal.n_workers = 1;
    play play = {.host = {.journal = &journal, .engine = model, .on_turn = on_turn, .on_admit = on_admit, .user_data = &play}};
    hub_view *view = &play.host.view;
    fake_geometry(&view->at);
    view->base = fake_memory(view->at.segment_size);
    hub_clear(view);
    hub_begin(view, plat_process_own_pid(), FAKE_START_TIME, "0.1");
    play.host.hub = *hub_of(view);
    MUST(hub_client_attach(view, CLIENT_PID, FAKE_START_TIME, &record, &record_claim));
    MUST(stream_claim_free(view, record, &play.stream, &play.claim));
    size_t n_bytes = make_request(&input, area, &has_logprobs);
    stream_write_request(view, play.stream, (const uint8_t[STREAM_ID_BYTES]){1}, area, n_bytes);
    MUST(stream_change_claim(hub_stream(view, play.stream), play.claim,
                             stream_claim(LIPC_CLAIM_SUBMITTED, record, stream_claim_generation(play.claim))));
    play_host(&play.host);
    check_answer(&play, has_logprobs);
    free(view->base);
    return 0;
}
