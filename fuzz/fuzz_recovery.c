/* fuzz_recovery.c - a segment that a dead worker left and that somebody has written over, taken up by the next one, while
 * somebody goes on writing over it. The input says what was there, what is written where and when. Whatever that is: the
 * host stays within the segment, goes on serving, finishes the answers that nobody touched as they would have been, and
 * when the noise is over and everybody has left, an honest client gets a record, a stream and the right answer. */
#include "fuzz.h"
#include "play_host.h"

#include "channel/request.h"
#include "channel/stream.h"
#include "lipc/lipc.h"

#include <string.h>

/* Turns of the loop: for everything, for answers to end, for the honest client to be served. */
enum { MAX_TURNS = 20000, IDLE_TURNS = 3000, SERVED_TURNS = 1000, STILL_TURNS = 3, MAX_HOSTS = 5000 };
enum { OWNER_PID = 3, HONEST_PID = 4, MAX_STREAMS = 8 };

static const char text[] = "Am Ende der Straße 🚀 wartet, langsam und ohne Eile, ein alter Zug auf Überraschungen.";

/* That text with thoughts before it and calls within. */
static const char played[] = "lipc replay 1\n"
                             "answer\n"
                             "thought \"Wohin\"\n"
                             "thought \"?\"\n"
                             "text \"Am Ende\"\n"
                             "text \" der Straße 🚀 wartet,\"\n"
                             "& call \"\" \"zug\"\n"
                             "arguments \"{\\\"ziel\\\":\"\n"
                             "arguments \" \\\"Köln\\\"}\"\n"
                             "text \" langsam und ohne\"\n"
                             "text \" Eile,\"\n"
                             "& call \"c\" \"uhr\"\n"
                             "& arguments \"{}\"\n"
                             "text \" ein alter Zug\"\n"
                             "text \" auf Überraschungen.\"\n";

typedef enum stage {
    STAGE_NOISE, /* the input goes on */
    STAGE_REST,  /* until the answers at hand are final */
    STAGE_LEAVE, /* everybody leaves; the honest client tries to come */
    STAGE_ASK,   /* it waits for its answer */
    STAGE_DONE
} stage;

typedef struct play {
    host_play host;
    fake_input input;
    stage stage;
    uint32_t n_turns, n_stage_turns, n_still;
    bool is_expected[MAX_STREAMS]; /* its answer will be the text */
    bool is_touched[MAX_STREAMS];
    uint32_t record, stream;       /* of the honest client */
    uint64_t record_claim, claim;
} play;

/* ---- what the engine says -------------------------------------------------------------------------------------------- */

enum { MAX_TOKENS = 64 };
static engine *text_engine;
static uint32_t token_bytes[MAX_TOKENS], n_text_tokens;
static part_delta token_deltas[MAX_TOKENS][2]; /* what each adds to thoughts and calls */
static size_t n_token_deltas[MAX_TOKENS];

static void learn_deltas(const engine_progress *progress, uint32_t token) {
    MUST(progress->n_deltas <= 2);
    n_token_deltas[token] = progress->n_deltas;
    for (size_t i = 0; i < progress->n_deltas; i++) {
        const engine_delta *delta = &progress->deltas[i]; /* lives as long as the engine */
        token_deltas[token][i] = (part_delta){delta->kind, delta->begins, delta->n_before, delta->id, delta->name,
                                              delta->bytes, delta->n_bytes};
    }
}

/* Once: how the engine cuts its text. */
static void learn_tokens(void) {
    engine_progress progress[MAX_STREAMS + 1];
    const engine_message message = {"user", "?"};
    const engine_request request = {.messages = &message, .n_messages = 1, .n_predict = -1};
    int sequence;
    text_engine = play_text(played, MAX_STREAMS + 1);
    MUST(engine_admit(text_engine, &request, &sequence) == ENGINE_OK);
    for (engine_end end = ENGINE_END_NONE; end == ENGINE_END_NONE;) {
        MUST(engine_step(text_engine, progress) == 1);
        end = progress[0].end;
        if (!progress[0].has_token) continue;
        learn_deltas(progress, n_text_tokens);
        token_bytes[n_text_tokens++] = (uint32_t)progress[0].n_bytes;
    }
}

/* ---- what the dead worker left --------------------------------------------------------------------------------------- */

static size_t write_request(const hub_view *view, uint32_t stream, bool is_detachable) {
    static const lipc_message message = {"user", "What is at the end of the road?"};
    char bytes[512], reason[REQUEST_MESSAGE_SIZE];
    size_t n_bytes;
    const lipc_request request = {.messages = &message, .n_messages = 1, .detachable = is_detachable, .n_predict = -1,
                                  .top_p = 1, .repeat_penalty = 1, .seed = 7};
    MUST(request_measure(&request, &n_bytes, reason) == LIPC_E_OK && n_bytes <= sizeof bytes);
    request_write(&request, n_bytes, bytes);
    stream_write_request(view, stream, (const uint8_t[STREAM_ID_BYTES]){'i', (uint8_t)stream}, bytes, n_bytes);
    return n_bytes;
}

static void write_answer(const hub_view *view, uint32_t stream, size_t request_bytes, uint32_t n_tokens, bool has_ended) {
    stream_writer writer;
    uint32_t generation = stream_claim_generation(stream_claim_now(hub_stream(view, stream))), at = 0;
    uint64_t sum = stream_request_sum(stream_request(view, stream), request_bytes, 7, generation);
    stream_writer_begin(&writer, view, stream, generation, 1000);
    stream_writer_start(&writer, 7, sum, 2000);
    parts_writer_name_calls(&writer.parts, stream_request_sum(stream_request(view, stream), request_bytes, 7, 0));
    if (n_tokens > n_text_tokens || has_ended) n_tokens = n_text_tokens;
    for (uint32_t i = 0; i < n_tokens; at += token_bytes[i++])
        MUST(stream_writer_append_all(&writer, text + at, token_bytes[i], token_deltas[i], n_token_deltas[i],
                                      &(stream_token){.id = (int32_t)i}, 3000) == STREAM_FITS);
    if (has_ended) stream_writer_end(&writer, LIPC_END_TURN, 0, "", 4000);
}

/* One stream, as far as it had come. */
static void leave_stream(play *play, uint32_t owner, uint32_t how) {
    const hub_view *view = &play->host.view;
    uint32_t phase = how % 4 + 1, stream, n_tokens = how / 16;
    bool was_seen = how & 4, has_ended = how & 8;
    uint64_t claim;
    if (how == 0 || !stream_claim_free(view, owner, &stream, &claim) || phase == LIPC_CLAIM_CLAIMED) return;
    size_t n_bytes = write_request(view, stream, phase == LIPC_CLAIM_DETACHED);
    if (was_seen) write_answer(view, stream, n_bytes, n_tokens, has_ended);
    stream_change_claim(hub_stream(view, stream), claim,
                        stream_claim(phase, phase == LIPC_CLAIM_DETACHED ? LIPC_NO_OWNER : owner,
                                     stream_claim_generation(claim)));
    play->is_expected[stream] = phase == LIPC_CLAIM_SUBMITTED || phase == LIPC_CLAIM_DETACHED;
}

/* A host begins: what the one before knew is lost. */
static void begin_host(play *play) {
    host_play *host = &play->host;
    memset(host->journal, 0, sizeof *host->journal);
    host->journal->n_workers = 1;
    hub_begin(&host->view, plat_process_own_pid(), FAKE_START_TIME, "0.1");
    host->hub = *hub_of(&host->view);
}

static void leave_recovered(play *play) {
    const hub_view *view = &play->host.view;
    journal *journal = play->host.journal;
    uint64_t claim;
    uint32_t owner;
    hub_clear(view);
    begin_host(play);
    MUST(hub_client_attach(view, OWNER_PID, FAKE_START_TIME, &owner, &claim));
    for (uint32_t i = 0; i < view->at.n_streams; i++) leave_stream(play, owner, fake_take(&play->input, 1));
    journal->n_workers = 2;
    for (uint32_t i = 0; i < view->at.n_streams; i++) {
        journal->generations[i] = stream_claim_generation(stream_claim_now(hub_stream(view, i)));
        journal_entry_of(journal, i, journal->generations[i]);
    }
}

/* ---- the noise ------------------------------------------------------------------------------------------------------- */

static void touch(play *play, size_t at, size_t n_bytes) {
    const hub_geometry *g = &play->host.view.at;
    for (uint32_t i = 0; i < g->n_streams; i++) {
        size_t from = g->streams_offset + i * g->stream_size;
        /* What lies before the streams can cost any answer its owner, or end the host. */
        if (n_bytes > 0 && (at < g->streams_offset || (at < from + g->stream_size && at + n_bytes > from)))
            play->is_touched[i] = true;
    }
}

static void scribble(play *play, size_t from, size_t to) {
    size_t n_bytes, at = fake_scribble(&play->input, play->host.view.base, from, to, &n_bytes);
    touch(play, at, n_bytes);
}

static void write_claim(play *play) {
    const hub_view *view = &play->host.view;
    uint32_t which = fake_take(&play->input, 1), how = fake_take(&play->input, 1);
    if (which & 128) {
        lipc_client_record *record = hub_client(view, which % view->at.n_clients);
        uint32_t generation = client_claim_generation(record->claim) + (how & 64 ? 1 : 0);
        touch(play, view->at.clients_offset, 1);
        __atomic_store_n(&record->claim, client_claim(how & 7, generation, how >> 3 & 7), __ATOMIC_SEQ_CST);
        record->reservation = (uint64_t)fake_take(&play->input, 1) << 18 | (how & 3);
        record->start_time = how & 128 ? FAKE_START_TIME : 0;
    } else {
        uint32_t stream = which % view->at.n_streams;
        lipc_stream_header *header = hub_stream(view, stream);
        uint32_t generation = stream_claim_generation(stream_claim_now(header)) + (how & 64 ? 1 : 0);
        play->is_touched[stream] = true;
        __atomic_store_n(&header->claim, stream_claim(how & 7, how >> 3 & 7, generation), __ATOMIC_SEQ_CST);
        if (how & 128) stream_request_cancel(header, generation);
    }
}

/* A request with bytes of the input, from whoever has the first record. */
static void ask(play *play) {
    const hub_view *view = &play->host.view;
    uint32_t stream;
    uint64_t claim;
    if (!stream_claim_free(view, 0, &stream, &claim)) return;
    play->is_touched[stream] = true;
    write_request(view, stream, fake_take(&play->input, 1) & 1);
    size_t unused, from = (size_t)(stream_request(view, stream) - view->base);
    fake_scribble(&play->input, view->base, from, from + 128, &unused);
    stream_watch(hub_stream(view, stream), fake_take(&play->input, 1));
    stream_change_claim(hub_stream(view, stream), claim, stream_claim(LIPC_CLAIM_SUBMITTED, 0, stream_claim_generation(claim)));
}

static void make_noise(play *play) {
    const hub_geometry *g = &play->host.view.at;
    uint32_t what = fake_take(&play->input, 1);
    size_t stream = g->streams_offset + what / 8 % g->n_streams * g->stream_size;
    switch (what % 8) {
    case 0: scribble(play, LIPC_HUB_OFFSET, g->segment_size); break;
    case 1: scribble(play, LIPC_HUB_OFFSET, g->streams_offset); break;
    case 2: scribble(play, stream, stream + sizeof(lipc_stream_header)); break;
    case 3: scribble(play, stream, stream + g->stream_size); break;
    case 4: write_claim(play); break;
    case 5: ask(play); break;
    case 6: touch(play, 0, 1), fake_death(what / 8); break;
    default: break; /* the host has this turn for itself */
    }
}

/* ---- after the noise ------------------------------------------------------------------------------------------------- */

static void enter(play *play, stage stage) {
    play->stage = stage;
    play->n_stage_turns = 0;
}

/* Whether a stream shows the whole text as its final answer. */
static bool is_right(const hub_view *view, uint32_t stream, uint32_t generation) {
    stream_reader reader;
    stream_snapshot snapshot;
    stream_reader_begin(&reader, view, stream, generation);
    stream_read_snapshot(&reader, &snapshot);
    return snapshot.state == LIPC_STREAM_ENDED && snapshot.end == LIPC_END_TURN && snapshot.n_tokens == n_text_tokens &&
           snapshot.n_bytes == strlen(text) && memcmp(reader.log, text, snapshot.n_bytes) == 0;
}

static void check_untouched(const play *play) {
    const hub_view *view = &play->host.view;
    for (uint32_t i = 0; i < view->at.n_streams; i++)
        if (play->is_expected[i] && !play->is_touched[i])
            MUST(is_right(view, i, stream_claim_generation(stream_claim_now(hub_stream(view, i)))));
}

/* As a client leaves that dies while it holds everything. */
static void everybody_leaves(const hub_view *view) {
    for (uint32_t i = 0; i < view->at.n_clients; i++) {
        lipc_client_record *record = hub_client(view, i);
        uint64_t claim = record->claim;
        __atomic_store_n(&record->claim, client_claim(LIPC_CLIENT_LEAVING, client_claim_generation(claim), client_claim_pid(claim)),
                         __ATOMIC_SEQ_CST);
    }
    for (uint32_t i = 0; i < view->at.n_streams; i++) {
        lipc_stream_header *header = hub_stream(view, i);
        uint64_t claim = stream_claim(LIPC_CLAIM_RELEASED, LIPC_NO_OWNER, stream_claim_generation(stream_claim_now(header)));
        __atomic_store_n(&header->claim, claim, __ATOMIC_SEQ_CST);
    }
}

static void try_to_ask(play *play) {
    const hub_view *view = &play->host.view;
    if (!play->record_claim && !hub_client_attach(view, HONEST_PID, FAKE_START_TIME, &play->record, &play->record_claim)) return;
    if (hub_client(view, play->record)->claim != play->record_claim) { /* as a client does that was taken for another */
        play->record_claim = 0;
        return;
    }
    if (!stream_claim_free(view, play->record, &play->stream, &play->claim)) return;
    write_request(view, play->stream, false);
    uint64_t submitted = stream_claim(LIPC_CLAIM_SUBMITTED, play->record, stream_claim_generation(play->claim));
    if (stream_change_claim(hub_stream(view, play->stream), play->claim, submitted)) enter(play, STAGE_ASK);
}

static void on_turn(void *user_data, bool is_idle) {
    play *play = user_data;
    MUST(++play->n_turns < MAX_TURNS);
    play->n_stage_turns++;
    play->n_still = is_idle ? play->n_still + 1 : 0;
    switch (play->stage) {
    case STAGE_NOISE:
        if (play->input.at < play->input.end) make_noise(play);
        else enter(play, STAGE_REST);
        break;
    case STAGE_REST:
        MUST(play->n_stage_turns < IDLE_TURNS);
        if (play->n_still < STILL_TURNS || play->n_stage_turns < STILL_TURNS) break;
        check_untouched(play);
        everybody_leaves(&play->host.view);
        enter(play, STAGE_LEAVE);
        break;
    case STAGE_LEAVE:
        MUST(play->n_stage_turns < SERVED_TURNS);
        if (play->n_stage_turns > STILL_TURNS) try_to_ask(play);
        break;
    case STAGE_ASK:
        MUST(play->n_stage_turns < SERVED_TURNS);
        if (!is_right(&play->host.view, play->stream, stream_claim_generation(play->claim))) break;
        enter(play, STAGE_DONE);
        play->host.journal->stop.drain = 1;
        break;
    case STAGE_DONE: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static journal journal;
    play play = {.input = {data, data + size}};
    if (!text_engine) learn_tokens();
    fake_geometry(&play.host.view.at);
    play.host.view.base = fake_memory(play.host.view.at.segment_size);
    play.host.journal = &journal;
    play.host.engine = text_engine;
    play.host.on_turn = on_turn;
    play.host.user_data = &play;
    leave_recovered(&play);
    uint32_t first = fake_take(&play.input, 1);
    for (uint32_t i = first % 8; i > 0; i--) make_noise(&play);
    if (first & 128) begin_host(&play); /* the supervisor is dead, too */
    play_host(&play.host);
    /* The noise may have asked the host to end. Then there is another. */
    for (int n_hosts = 0; play.stage != STAGE_DONE; n_hosts++) {
        MUST(n_hosts < MAX_HOSTS);
        begin_host(&play);
        play_host(&play.host);
    }
    free(play.host.view.base);
    return 0;
}
