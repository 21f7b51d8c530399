/* fuzz_event_stream.c - src/engine/remote over arbitrary bytes, as from a server: the same events however they are cut into pieces; of
 * their data, text and parts that are whole characters without zero bytes, parts that never take turns, calls that are JSON objects
 * when they are complete, or a sentence that says what is wrong. And what is not an answer becomes a sentence; what is a document becomes
 * a body that is JSON, or is refused with a sentence.
 *
 * The first byte says how long the pieces are. */
#include "fuzz.h"

#include "engine/remote/body.h"
#include "engine/remote/chunk.h"
#include "engine/remote/events.h"
#include "text/json.h"
#include "text/utf8.h"

#include <math.h>
#include <string.h>

static void must_be_text(const char *text, size_t n_bytes) {
    MUST(utf8_is_valid(text, n_bytes) && !memchr(text, 0, n_bytes));
}

static void must_be_sentence(const char *text, size_t size) {
    size_t n_bytes = strnlen(text, size);
    MUST(n_bytes > 0 && n_bytes < size);
    must_be_text(text, n_bytes);
}

/* ---- parts, as their reader sees them --------------------------------------------------------------------------------- */

typedef struct watcher {
    engine_part_kind open; /* the part that may grow; TEXT: none */
    json_writer arguments; /* of the call that may grow */
} watcher;

static void complete(watcher *watcher) {
    json_slice value;
    if (watcher->open == ENGINE_PART_CALL)
        MUST(json_check(watcher->arguments.text, watcher->arguments.n_bytes, &value, NULL) && json_kind(value) == '{');
    watcher->open = ENGINE_PART_TEXT;
    watcher->arguments.n_bytes = 0;
}

static void watch_delta(watcher *watcher, const engine_delta *delta) {
    must_be_text(delta->bytes, delta->n_bytes);
    MUST(delta->kind == ENGINE_PART_THOUGHT || delta->kind == ENGINE_PART_CALL);
    MUST(delta->begins || watcher->open == delta->kind);
    if (delta->begins) {
        complete(watcher);
        watcher->open = delta->kind;
        if (delta->kind == ENGINE_PART_CALL) {
            MUST(delta->name[0] && strlen(delta->name) <= ENGINE_CALL_NAME_MAX && strlen(delta->id) <= ENGINE_CALL_ID_MAX);
            must_be_text(delta->name, strlen(delta->name));
            must_be_text(delta->id, strlen(delta->id));
        }
    }
    if (delta->kind == ENGINE_PART_CALL) json_put(&watcher->arguments, delta->bytes, delta->n_bytes);
}

static void watch_piece(watcher *watcher, const chunks *chunks) {
    size_t at = 0;
    must_be_text(chunks->text, chunks->n_bytes);
    MUST(chunks->n_bytes > 0 || chunks->n_deltas > 0);
    MUST(isnan(chunks->logprob) || isfinite(chunks->logprob));
    for (size_t i = 0; i < chunks->n_deltas; i++) {
        MUST(chunks->deltas[i].n_before >= at && chunks->deltas[i].n_before <= chunks->n_bytes);
        if (chunks->deltas[i].n_before > at) complete(watcher);
        at = chunks->deltas[i].n_before;
        watch_delta(watcher, &chunks->deltas[i]);
    }
    if (chunks->n_bytes > at) complete(watcher);
}

/* Returns whether the answer goes on. */
static bool watch_event(watcher *watcher, chunks *chunks, const events *events) {
    MUST(events->data[events->n_data] == 0);
    switch (chunks_read(chunks, events->data, events->n_data)) {
    case CHUNK_NOTHING: return true;
    case CHUNK_PIECE: watch_piece(watcher, chunks); return true;
    case CHUNK_WRONG: must_be_sentence(chunks->message, sizeof chunks->words); return false;
    case CHUNK_DONE: break;
    }
    switch (chunks_complete(chunks)) {
    case CHUNK_PIECE: watch_piece(watcher, chunks); complete(watcher); break;
    case CHUNK_WRONG: must_be_sentence(chunks->message, sizeof chunks->words); break;
    default: complete(watcher); break;
    }
    return false;
}

/* ---- streams ------------------------------------------------------------------------------------------------------------ */

/* A number of what all events say, up to where nothing more can be read. */
static uint64_t play(const char *bytes, size_t n_bytes, size_t piece) {
    events events = {0};
    chunks chunks = {.key = "key-of-ours"};
    watcher watcher = {0};
    uint64_t sum = 14695981039346656037u;
    bool goes_on = true;
    events_found found = EVENTS_NOTHING;
    for (size_t at = 0; at < n_bytes && found != EVENTS_TOO_LONG; at += piece) {
        size_t n = n_bytes - at < piece ? n_bytes - at : piece, n_used;
        for (size_t done = 0; done < n; done += n_used) {
            found = events_read(&events, bytes + at + done, n - done, &n_used);
            MUST(found != EVENTS_NO_MEMORY && n_used <= n - done && (n_used > 0 || found == EVENTS_TOO_LONG));
            if (found == EVENTS_TOO_LONG) break;
            if (found != EVENTS_EVENT) continue;
            for (size_t i = 0; i <= events.n_data; i++) sum = (sum ^ (unsigned char)events.data[i]) * 1099511628211u;
            goes_on = goes_on && watch_event(&watcher, &chunks, &events);
        }
    }
    free(watcher.arguments.text);
    chunks_free(&chunks);
    events_free(&events);
    return sum;
}

static void ask_with(const char *bytes, size_t n_bytes) {
    char message[ENGINE_MESSAGE_SIZE] = "", *document = malloc(n_bytes + 1);
    json_writer body = {0};
    json_slice value;
    MUST(document);
    memcpy(document, bytes, n_bytes);
    document[n_bytes] = 0;
    const engine_request request = {
        .document = document,
        .n_predict = -1,
        .sampling = {
#define LEAVE(name, kind, ...) .name = LIPC_PARAMETER_UNSET_##kind,
            LIPC_SAMPLING_MAP(LEAVE)
#undef LEAVE
        },
    };
    if (body_write(&request, "m", &body, message, sizeof message) < 0) must_be_sentence(message, sizeof message);
    else if (n_bytes < JSON_DEPTH_MAX) MUST(json_check(body.text, body.n_bytes, &value, NULL) && json_kind(value) == '{');
    free(body.text);
    free(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[100];
    if (size == 0) return 0;
    const char *bytes = (const char *)data + 1;
    size_t n_bytes = size - 1;
    MUST(play(bytes, n_bytes, n_bytes) == play(bytes, n_bytes, (size_t)data[0] + 1));
    chunk_error_text(bytes, n_bytes, "key-of-ours", text, sizeof text);
    MUST(strlen(text) < sizeof text);
    must_be_text(text, strlen(text));
    ask_with(bytes, n_bytes);
    return 0;
}
