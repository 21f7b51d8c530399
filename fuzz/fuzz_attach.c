/* fuzz_attach.c - a client of liblipc on an arbitrary segment. The segment is that of an honest host with two answers in
 * it; the input writes over it, before the client comes and while it works, and says what the client does. Whatever the
 * bytes are: the client stays within the segment, comes back from every call, and what it delivers is within bounds. */
#include "fake_platform.h"
#include "fuzz.h"

#include "channel/stream.h"
#include "client/start_host.h"
#include "lipc/lipc.h"

#include <stdio.h>
#include <string.h>

enum { HOST_PID = 2, N_HANDLES = 6, MAX_CALLS = 400 };

/* ---- no host is ever started ---------------------------------------------------------------------------------------- */

int started_host_open(const lipc_client_options *options, const char *name, started_host **host) {
    (void)options, (void)name, (void)host;
    abort();
}
int started_host_pid(const started_host *host) { (void)host; abort(); }
void started_host_listen(started_host *host) { (void)host; abort(); }
bool started_host_has_ended(started_host *host, int *exit_code) { (void)host, (void)exit_code; abort(); }
const char *started_host_last_line(started_host *host) { (void)host; abort(); }
bool started_host_is_with_me(const started_host *host) { (void)host; abort(); }
void started_host_stop(started_host *host) { (void)host; abort(); }
void started_host_close(started_host *host) { MUST(!host); }
void started_hosts_reap(void) {}

/* ---- the honest host ------------------------------------------------------------------------------------------------ */

typedef struct play {
    fake_input input;
    hub_view view; /* the host's */
    lipc_client *client;
    lipc_stream *streams[N_HANDLES];
} play;

static void answer(const hub_view *view, uint32_t index, const char *text, bool ends) {
    stream_writer writer;
    lipc_stream_header *header = hub_stream(view, index);
    stream_writer_begin(&writer, view, index, stream_claim_generation(stream_claim_now(header)), 1000);
    stream_writer_start(&writer, 7, 0, 2000);
    stream_writer_prompt(&writer, 5, 5, 2);
    for (size_t i = 0; i < strlen(text); i += 2)
        stream_writer_append(&writer, text + i, strnlen(text + i, 2), &(stream_token){.id = (int32_t)i, .logprob = -1}, 3000 + i);
    if (ends) stream_writer_end(&writer, LIPC_END_TURN, 0, "", 9000);
}

static void begin_host(hub_view *view) {
    const uint8_t ids[2][STREAM_ID_BYTES] = {"first", "second"};
    uint64_t claim;
    hub_clear(view);
    hub_begin(view, HOST_PID, FAKE_START_TIME, "0.1");
    __atomic_store_n(&hub_of(view)->state, LIPC_HUB_READY, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < 2; i++) {
        MUST(stream_claim_free(view, LIPC_NO_OWNER, &i, &claim));
        stream_write_request(view, i, ids[i], "", 0);
        stream_change_claim(hub_stream(view, i), claim,
                            stream_claim(LIPC_CLAIM_DETACHED, LIPC_NO_OWNER, stream_claim_generation(claim)));
        answer(view, i, i ? "second answer" : "the first answer", i == 0);
    }
}

/* ---- the client ----------------------------------------------------------------------------------------------------- */

static void close_client(play *play) {
    lipc_client_close(play->client);
    play->client = NULL;
}

static void close_streams(play *play) {
    for (size_t i = 0; i < N_HANDLES; i++) {
        lipc_stream_close(play->streams[i]);
        play->streams[i] = NULL;
    }
}

static void open_client(play *play) {
    lipc_client_options options;
    lipc_client_options_init(&options);
    options.timeout_ms = 0;
    options.wakes_per_second = fake_take(&play->input, 1) & 1 ? 60 : 0;
    close_streams(play);
    close_client(play);
    int error = lipc_client_open(&options, &play->client);
    MUST((error == LIPC_E_OK) == (play->client != NULL) && (error == LIPC_E_OK || lipc_error_message()[0]));
}

static void attach_stream(play *play, lipc_stream **stream) {
    char id[LIPC_STREAM_ID_SIZE];
    uint8_t bytes[STREAM_ID_BYTES] = {0};
    uint32_t index = fake_take(&play->input, 1) % 4, offset = fake_take(&play->input, 2), flags = fake_take(&play->input, 1);
    if (play->view.at.segment_size <= fake_object.size)
        memcpy(bytes, hub_stream(&play->view, index)->id, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    lipc_stream_attach(play->client, id, flags & 2 ? offset : offset % 32, flags & 1, stream);
}

static void read_stream(lipc_stream *stream) {
    volatile char last;
    lipc_delta delta;
    if (lipc_stream_read(stream, 0, &delta) < 0) return;
    MUST(delta.n_bytes <= fake_object.size);
    for (size_t i = 0; i < delta.n_bytes; i++) last = delta.text[i];
    (void)last;
}

static void read_tokens(play *play, lipc_stream *stream) {
    lipc_token tokens[8];
    lipc_progress progress = {0};
    size_t n = 0;
    lipc_stream_tokens(stream, fake_take(&play->input, 1), tokens, 8, &n);
    MUST(n <= 8);
    lipc_prob probs[4];
    lipc_stream_probs(stream, fake_take(&play->input, 1), probs, 4, &n);
    MUST(n <= 4);
    for (size_t i = 0; i < n; i++) MUST(probs[i].n_bytes <= 255 && probs[i].text[23] == 0);
    lipc_stream_progress(stream, &progress);
    MUST(progress.n_tokens >= 0 && progress.n_bytes <= fake_object.size);
}

static void read_status(play *play) {
    lipc_host_status status;
    lipc_client_status(play->client, &status);
    MUST(memchr(status.model, 0, sizeof status.model) && memchr(status.host_version, 0, sizeof status.host_version));
    MUST(status.load_per_mille >= 0 && status.load_per_mille <= 1000);
    lipc_client_wait_ready(play->client, 0, NULL, NULL);
}

static void ask(play *play, lipc_stream **stream) {
    char text[24] = "";
    size_t n = fake_take(&play->input, 1) % sizeof text;
    for (size_t i = 0; i < n; i++) text[i] = (char)(fake_take(&play->input, 1) & 0x7F);
    const lipc_message message = {"user", text};
    lipc_request request;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    request.detachable = n & 1;
    lipc_stream_open(play->client, &request, stream);
}

static void wait_any(play *play) {
    lipc_stream *list[N_HANDLES];
    size_t n = 0, index = N_HANDLES;
    for (size_t i = 0; i < N_HANDLES; i++)
        if (play->streams[i]) list[n++] = play->streams[i];
    if (n > 0 && lipc_stream_wait_any(list, n, 0, &index) == LIPC_E_OK) MUST(index < n);
}

static void use_stream(play *play, uint32_t what, lipc_stream **stream) {
    if (what < 2 && !*stream && play->client) {
        if (what == 0) ask(play, stream);
        else attach_stream(play, stream);
    }
    if (!*stream) return;
    switch (what) {
    case 2: lipc_stream_cancel(*stream); break;
    case 3: lipc_stream_close(*stream), *stream = NULL; break;
    case 4: lipc_stream_detach(*stream), *stream = NULL; break;
    case 5: read_tokens(play, *stream); break;
    default: read_stream(*stream);
    }
}

static void call(play *play) {
    size_t unused;
    uint32_t what = fake_take(&play->input, 1), which = what / 16 % N_HANDLES;
    switch (what % 16) {
    case 0: case 1: case 2: fake_scribble(&play->input, fake_object.base, LIPC_HUB_OFFSET, fake_object.size, &unused); break;
    case 3: fake_scribble(&play->input, fake_object.base, LIPC_HUB_OFFSET, LIPC_HUB_OFFSET + 128, &unused); break;
    case 4: open_client(play); break;
    case 5: if (what & 128) close_client(play); else fake_death(0); break;
    case 6: if (play->client) read_status(play); break;
    case 7: wait_any(play); break;
    case 8:
        if (play->view.at.segment_size <= fake_object.size) answer(&play->view, which % 4, "an answer", what & 128);
        break;
    default: use_stream(play, what % 16 - 9, &play->streams[which]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    play play = {.input = {data, data + size}};
    uint32_t n_cut = fake_take(&play.input, 1) * 64u, first = fake_take(&play.input, 1);
    fake_geometry(&play.view.at);
    char *whole = play.view.base = fake_memory(play.view.at.segment_size);
    begin_host(&play.view);
    /* What is mapped may be less than the hub says, down to too little for a hub. */
    if (play.view.at.segment_size - n_cut < LIPC_HUB_END - 64) n_cut = 0;
    fake_object = (fake_segment){.size = play.view.at.segment_size - n_cut, .owner_pid = first & 16 ? 0 : HOST_PID,
                                 .is_replaced = first & 32};
    fake_object.base = fake_memory(fake_object.size);
    memcpy(fake_object.base, whole, fake_object.size);
    free(whole);
    play.view.base = fake_object.base;
    for (uint32_t i = first % 8; i > 0; i--) {
        size_t unused;
        fake_scribble(&play.input, fake_object.base, LIPC_HUB_OFFSET, fake_object.size, &unused);
    }
    open_client(&play);
    for (int n = 0; n < MAX_CALLS && play.input.at < play.input.end; n++) call(&play);
    close_streams(&play);
    close_client(&play);
    free(fake_object.base);
    return 0;
}
