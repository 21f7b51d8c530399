/* stream.c - requests and their answers: submitting, waiting for a place, reading, finding again, giving back.
 *
 * A request either has a place, which is a stream of the segment, or waits for one in the client's queue. Whoever calls
 * anything on the client moves that queue on (move_queue): there is no thread for it. From is_placed on, the stream's
 * index, generation and reader do not change.
 */
#include "internal.h"

#include "../channel/request.h"
#include "../platform/failpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_CHARACTER 4
/* Most deltas are shorter. */
#define COPY_SIZE 256

struct lipc_stream {
    lipc_client *client;
    uint8_t id[STREAM_ID_BYTES];
    bool is_owner; /* otherwise it is only followed */
    bool is_detachable;
    uint64_t opened_ns;

    /* Guarded by the client's lock. */
    char *request; /* while it waits */
    size_t request_bytes;
    lipc_stream *next_waiting;
    bool is_detaching; /* its handle is gone; to be let go of as soon as it has a place */

    bool is_withdrawn; /* atomic: cancelled before it had a place */
    bool is_placed;    /* atomic: release, what follows stands */
    uint32_t index;
    uint64_t claim; /* the owner's, SUBMITTED; of a follower only the generation counts */
    stream_reader reader;

    pthread_mutex_t lock; /* guards what follows */
    uint64_t offset;      /* read up to here */
    bool is_aligned;      /* `offset` is known to be a character's beginning */
    bool is_summed;       /* all has been read, from byte 0 on */
    uint64_t sum;         /* of what was read, if so */
    uint64_t due_ns;      /* pacing: text in the middle of an answer is not for waiting calls before this */
    char *copy;           /* the last delta */
    size_t copy_size;
    lipc_progress progress; /* the last that was seen */
};

/* ---- handles ------------------------------------------------------------------------------------------------------- */

static lipc_stream *new_stream(lipc_client *client, bool is_owner) {
    lipc_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a stream");
        return NULL;
    }
    stream->client = client;
    stream->is_owner = is_owner;
    stream->opened_ns = plat_clock_ns();
    pthread_mutex_init(&stream->lock, NULL);
    return stream;
}

static void free_stream(lipc_stream *stream) {
    pthread_mutex_destroy(&stream->lock);
    free(stream->request);
    free(stream->copy);
    free(stream);
}

static bool is_placed(const lipc_stream *stream) {
    return __atomic_load_n(&stream->is_placed, __ATOMIC_ACQUIRE);
}

static bool is_withdrawn(const lipc_stream *stream) {
    return __atomic_load_n(&stream->is_withdrawn, __ATOMIC_ACQUIRE);
}

static lipc_stream_header *header_of(const lipc_stream *stream) {
    return hub_stream(&stream->client->view, stream->index);
}

static bool has_id(const lipc_stream_header *header, const uint8_t id[STREAM_ID_BYTES]) {
    uint64_t words[2];
    for (size_t i = 0; i < 2; i++) words[i] = __atomic_load_n((const uint64_t *)header->id + i, __ATOMIC_RELAXED);
    return memcmp(words, id, STREAM_ID_BYTES) == 0;
}

/* ---- places; all of this under the client's lock ------------------------------------------------------------------- */

static void watch(lipc_client *client, uint32_t index) {
    client->n_watching[index]++;
    /* Also if another handle watches already: that may be for a generation before, whose watchers the host took
     * back. */
    stream_watch(hub_stream(&client->view, index), client->index);
}

static void unwatch(lipc_client *client, uint32_t index) {
    lipc_stream_header *header = hub_stream(&client->view, index);
    if (--client->n_watching[index] > 0 || client_is_lost(client)) return;
    stream_unwatch(header, client->index);
    /* A stream that its owner has given back is kept for those who watch it; the last of them tells the host. Fence:
     * either the host, which has seen the claim, finds us gone, or we see the claim. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (stream_claim_phase(stream_claim_now(header)) == LIPC_CLAIM_RELEASED) client_ring_host(client);
}

static void give_place(lipc_stream *stream, uint32_t index, uint64_t claim) {
    stream->index = index;
    stream->claim = claim;
    stream_reader_begin(&stream->reader, &stream->client->view, index, stream_claim_generation(claim));
    stream->is_summed = stream->offset == 0 && stream->client->has_sums;
    stream->sum = stream_sum_begin(stream->reader.generation);
    /* release: pairs with is_placed(). */
    __atomic_store_n(&stream->is_placed, true, __ATOMIC_RELEASE);
}

/* Changes the claim that this client's own stream holds; rings the host. False: it is not ours any more. */
static bool change_own_claim(lipc_client *client, uint32_t index, uint64_t from, uint32_t phase, uint32_t owner) {
    uint64_t to = stream_claim(phase, owner, stream_claim_generation(from));
    if (client_is_lost(client) || !stream_change_claim(hub_stream(&client->view, index), from, to)) return false;
    FAILPOINT("client.change.claim");
    client_ring_host(client);
    return true;
}

/* Writes a request into the stream that is claimed for it, and hands it over. If that fails the stream is not ours any
 * more: reading it says so. */
static void submit(lipc_stream *stream, uint32_t index, uint64_t claim, const char *request, size_t n_bytes) {
    lipc_client *client = stream->client;
    stream_write_request(&client->view, index, stream->id, request, n_bytes);
    watch(client, index);
    change_own_claim(client, index, claim, LIPC_CLAIM_SUBMITTED, client->index);
    give_place(stream, index, stream_claim(LIPC_CLAIM_SUBMITTED, client->index, stream_claim_generation(claim)));
}

/* ---- requests that wait for a place; all of this under the client's lock ------------------------------------------- */

static void set_first_waiting(lipc_client *client, lipc_stream *stream) {
    client->first_waiting = stream;
    if (!stream) client->last_waiting = NULL;
    __atomic_store_n(&client->has_waiting, stream != NULL, __ATOMIC_RELAXED);
}

static void enqueue(lipc_stream *stream) {
    lipc_client *client = stream->client;
    if (client->last_waiting)
        client->last_waiting->next_waiting = stream;
    else
        set_first_waiting(client, stream);
    client->last_waiting = stream;
}

/* Takes a request out of the queue. False: it is not in it. */
static bool dequeue(lipc_stream *stream) {
    lipc_client *client = stream->client;
    lipc_stream *before = NULL, *at = client->first_waiting;
    for (; at && at != stream; at = at->next_waiting) before = at;
    if (!at) return false;
    if (client->last_waiting == stream) client->last_waiting = before;
    if (before)
        before->next_waiting = stream->next_waiting;
    else
        set_first_waiting(client, stream->next_waiting);
    stream->next_waiting = NULL;
    free(stream->request);
    stream->request = NULL;
    return true;
}

/* Gives the first that waits its place. */
static void place_first(lipc_client *client, uint32_t index, uint64_t claim) {
    lipc_stream *stream = client->first_waiting;
    submit(stream, index, claim, stream->request, stream->request_bytes);
    dequeue(stream);
    if (!stream->is_detaching) return;
    change_own_claim(client, index, stream->claim, LIPC_CLAIM_DETACHED, LIPC_NO_OWNER);
    unwatch(client, index);
    free_stream(stream);
    client_let_go_locked(client);
}

/* A stream that the host has granted us: for the first that waits, or back again. */
static void use_granted(lipc_client *client, uint32_t index, uint64_t claim) {
    if (claim == 0) return;
    if (client->first_waiting)
        place_first(client, index, claim);
    else
        change_own_claim(client, index, claim, LIPC_CLAIM_RELEASED, client->index);
}

static void withdraw_reservation(lipc_client *client) {
    uint32_t index;
    uint64_t claim;
    if (!client->has_reservation) return;
    client->has_reservation = false;
    if (reservation_withdraw(&client->view, client->index, &index, &claim)) use_granted(client, index, claim);
}

/* Asks the host for a stream. One that is freed before the host sees the reservation is granted to nobody, so it is looked for
 * once more (reservation_request). True: there was one, and the reservation is withdrawn. */
static bool reserve(lipc_client *client) {
    uint32_t index;
    uint64_t claim;
    reservation_request(&client->view, client->index);
    client->has_reservation = true;
    client_ring_host(client);
    if (!stream_claim_free(&client->view, client->index, &index, &claim)) return false;
    place_first(client, index, claim);
    withdraw_reservation(client);
    return true;
}

static void move_queue_locked(lipc_client *client) {
    uint32_t index;
    uint64_t claim;
    while (client->first_waiting && !client_is_lost(client)) {
        if (!client->has_reservation || !reservation_is_pending(&client->view, client->index)) {
            if (!reserve(client)) return;
            continue;
        }
        if (!reservation_take(&client->view, client->index, &index, &claim)) return;
        client->has_reservation = false;
        use_granted(client, index, claim);
    }
}

/* Not under the lock: looks whether a request that waits can have a place now. */
static void move_queue(lipc_client *client) {
    if (!__atomic_load_n(&client->has_waiting, __ATOMIC_RELAXED)) return;
    pthread_mutex_lock(&client->lock);
    move_queue_locked(client);
    pthread_mutex_unlock(&client->lock);
}

void streams_drop_waiting(lipc_client *client) {
    while (client->first_waiting) {
        lipc_stream *stream = client->first_waiting;
        dequeue(stream);
        if (!stream->is_detaching) continue;
        free_stream(stream);
        client_let_go_locked(client);
    }
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

void lipc_request_init(lipc_request *request) {
    if (!request) return;
    *request = (lipc_request){
        .struct_size = sizeof *request,
        .n_predict = LIPC_INT_DEFAULT, .top_k = LIPC_INT_DEFAULT, .repeat_last_n = LIPC_INT_DEFAULT,
        .temperature = NAN, .min_p = NAN, .top_p = NAN,
        .repeat_penalty = NAN, .frequency_penalty = NAN, .presence_penalty = NAN,
        .seed = LIPC_SEED_DEFAULT,
    };
}

/* Checks the request and writes it as bytes of its own, which the caller frees. */
static int encode(const lipc_client *client, const lipc_request *given, char **bytes, size_t *n_bytes) {
    char message[REQUEST_MESSAGE_SIZE];
    lipc_request request;
    size_t size = given->struct_size;
    if (size < sizeof given->struct_size)
        return lipc_fail(LIPC_E_INVALID, "struct_size is %zu: call lipc_request_init first", size);
    lipc_request_init(&request);
    memcpy(&request, given, size < sizeof request ? size : sizeof request);
    if (request_measure(&request, n_bytes, message) < 0) return lipc_fail(LIPC_E_INVALID, "%s", message);
    if (request.load && !client->can_load)
        return lipc_fail(LIPC_E_REFUSED, "the host of '%s' is of an older version, which cannot change its model: end it, "
                         "and start another with it", client->name);
    if (*n_bytes > client->view.at.request_size)
        return lipc_fail(LIPC_E_REFUSED, "the request needs %zu bytes, the host of '%s' takes %u: start it with a "
                         "larger --request-size", *n_bytes, client->name, client->view.at.request_size);
    *bytes = malloc(*n_bytes);
    if (!*bytes) return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a request of %zu bytes", *n_bytes);
    request_write(&request, *n_bytes, *bytes);
    return LIPC_E_OK;
}

/* Under the client's lock. Takes `request` over. */
static int submit_or_enqueue(lipc_stream *stream, char *request, size_t n_bytes) {
    lipc_client *client = stream->client;
    uint32_t index;
    uint64_t claim;
    if (client_is_lost(client)) {
        free(request);
        return client_fail_lost(client);
    }
    client_hold_locked(client);
    if (!client->first_waiting && stream_claim_free(&client->view, client->index, &index, &claim)) {
        submit(stream, index, claim, request, n_bytes);
        free(request);
        return LIPC_E_OK;
    }
    stream->request = request;
    stream->request_bytes = n_bytes;
    enqueue(stream);
    move_queue_locked(client);
    return LIPC_E_OK;
}

int lipc_stream_open(lipc_client *client, const lipc_request *request, lipc_stream **result) {
    char *bytes;
    size_t n_bytes;
    if (!result) return lipc_fail(LIPC_E_INVALID, "the place for the stream is NULL");
    *result = NULL;
    if (!client || !request) return lipc_fail(LIPC_E_INVALID, "the client or the request is NULL");
    int error = encode(client, request, &bytes, &n_bytes);
    if (error < 0) return error;
    lipc_stream *stream = new_stream(client, true);
    if (!stream) {
        free(bytes);
        return LIPC_E_NO_MEMORY;
    }
    stream->is_detachable = (((const lipc_request_header *)bytes)->flags & LIPC_FLAG_DETACHABLE) != 0;
    stream->is_aligned = true;
    stream->progress.state = LIPC_STREAM_QUEUED;
    plat_random(stream->id, STREAM_ID_BYTES);
    pthread_mutex_lock(&client->lock);
    error = submit_or_enqueue(stream, bytes, n_bytes);
    pthread_mutex_unlock(&client->lock);
    if (error < 0) {
        free_stream(stream);
        return error;
    }
    *result = stream;
    return LIPC_E_OK;
}

int lipc_stream_ask(lipc_client *client, const char *text, lipc_stream **stream) {
    const lipc_message message = {"user", text};
    lipc_request request;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    return lipc_stream_open(client, &request, stream);
}

int lipc_client_load(lipc_client *client, const char *path, lipc_stream **result) {
    char absolute[LIPC_MODEL_PATH_MAX + 1];
    if (!result) return lipc_fail(LIPC_E_INVALID, "the place for the stream is NULL");
    *result = NULL;
    if (!path || !path[0]) return lipc_fail(LIPC_E_INVALID, "the path of the model is NULL or empty");
    if (plat_path_absolute(path, absolute, sizeof absolute) < 0)
        return lipc_fail(LIPC_E_INVALID, "the path of the model is too long, or relative to a folder that is not there: "
                         "give an absolute one of at most %d bytes", LIPC_MODEL_PATH_MAX);
    const lipc_message message = {"user", absolute};
    lipc_request request;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    request.load = 1;
    return lipc_stream_open(client, &request, result);
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

/* The stream's place has another generation, or will never come. */
static int fail_gone(lipc_stream *stream) {
    if (client_is_lost(stream->client)) return client_fail_lost(stream->client);
    return lipc_fail(LIPC_E_GONE, "the stream does not exist any more: its place was given to another");
}

/* The answer is complete; whether it was read as the host wrote it. */
static int check_sum(const lipc_stream *stream) {
    uint64_t sum = __atomic_load_n(&header_of(stream)->answer_sum, __ATOMIC_RELAXED);
    if (!stream->is_summed || sum == stream->sum) return LIPC_E_OK;
    return lipc_fail(LIPC_E_FAILED, "the text that was read is not what the host wrote: a process has written over the "
                     "shared memory of '%s'", stream->client->name);
}

/* How the answer ended; everything of it has been read. */
static int report_end(lipc_stream *stream, const stream_snapshot *snapshot) {
    char message[sizeof header_of(stream)->message];
    status_copy_text(message, sizeof message, header_of(stream)->message, sizeof header_of(stream)->message);
    int damage = check_sum(stream);
    if (!stream_is_current(&stream->reader)) return fail_gone(stream);
    switch (snapshot->end) {
    case LIPC_END_TURN:
    case LIPC_END_LIMIT:
    case LIPC_END_STOP:
    case LIPC_END_CONTEXT:
    case LIPC_END_FULL:
        return damage;
    case LIPC_END_CANCELLED:
        return lipc_fail(LIPC_E_CANCELLED, "the stream was cancelled");
    case LIPC_END_REFUSED:
        return lipc_fail(LIPC_E_REFUSED, "%s", message[0] ? message : "the host refused the request");
    case LIPC_END_HOST_ENDED:
        return lipc_fail(LIPC_E_HOST_GONE, "the host of '%s', process %d, was told to end before the answer was "
                         "complete", stream->client->name, stream->client->host_pid);
    default:
        return lipc_fail(LIPC_E_FAILED, "%s", message[0] ? message : "the model failed while answering");
    }
}

/* Whether a stream has something for its reader, and what. */
typedef enum finding {
    FOUND_NOTHING,
    FOUND_TEXT,
    FOUND_END,       /* of the answer: snapshot.end says which */
    FOUND_WITHDRAWN, /* cancelled before it had a place */
    FOUND_LOST       /* it, or its client */
} finding;

/* Under the stream's lock. `takes_text`: text in the middle of an answer counts, too. */
static finding find_news(lipc_stream *stream, bool takes_text, stream_snapshot *snapshot) {
    /* Before the look: a host that is dead now publishes nothing behind it. */
    bool is_lost = client_is_lost(stream->client);
    if (!is_placed(stream)) {
        if (is_withdrawn(stream)) return FOUND_WITHDRAWN;
        return is_lost ? FOUND_LOST : FOUND_NOTHING;
    }
    stream_read_snapshot(&stream->reader, snapshot);
    bool has_ended = snapshot->state == LIPC_STREAM_ENDED;
    if (snapshot->n_bytes > stream->offset && (takes_text || has_ended || is_lost)) return FOUND_TEXT;
    if (snapshot->n_bytes <= stream->offset && has_ended) return FOUND_END;
    return is_lost || !stream_is_current(&stream->reader) ? FOUND_LOST : FOUND_NOTHING;
}

/* Moves the cursor back to the beginning of the character that it is in: once, when that text is there. */
static void align(lipc_stream *stream) {
    for (int i = 1; i < LONGEST_CHARACTER && stream->offset > 0; i++) {
        if (((unsigned char)stream->reader.log[stream->offset] & 0xC0) != 0x80) break;
        stream->offset--;
    }
    stream->is_aligned = true;
}

/* Pacing: from now on, text in the middle of the answer waits for the client's next frame. */
static void begin_frame(lipc_stream *stream) {
    lipc_client *client = stream->client;
    if (client->frame_ns == 0) return;
    uint64_t now_ns = plat_clock_ns(), due_ns = __atomic_load_n(&client->frame_due_ns, __ATOMIC_RELAXED);
    if (now_ns >= due_ns) {
        due_ns = now_ns + client->frame_ns;
        __atomic_store_n(&client->frame_due_ns, due_ns, __ATOMIC_RELAXED);
    }
    stream->due_ns = due_ns;
}

/* Makes room for a copy of so many bytes. */
static bool reserve_copy(lipc_stream *stream, size_t n_bytes) {
    if (n_bytes <= stream->copy_size) return true;
    size_t size = n_bytes < COPY_SIZE ? COPY_SIZE : n_bytes;
    char *larger = realloc(stream->copy, size);
    if (!larger) return false;
    stream->copy = larger;
    stream->copy_size = size;
    return true;
}

/* The text is copied: a host that is killed has a successor, which may give the place, and with it the bytes, to somebody
 * else before this client knows. */
static int take_text(lipc_stream *stream, const stream_snapshot *snapshot, lipc_delta *delta) {
    if (!stream->is_aligned) align(stream);
    size_t n_bytes = snapshot->n_bytes - stream->offset;
    if (!reserve_copy(stream, n_bytes))
        return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for %zu bytes of text", n_bytes);
    memcpy(stream->copy, stream->reader.log + stream->offset, n_bytes);
    if (!stream_is_current(&stream->reader)) return fail_gone(stream);
    *delta = (lipc_delta){stream->copy, n_bytes, stream->offset};
    stream->offset = snapshot->n_bytes;
    if (stream->is_summed) stream->sum = stream_sum_add(stream->sum, stream->copy, n_bytes);
    begin_frame(stream);
    return LIPC_E_OK;
}

/* One look. `takes_text`: also in the middle of the answer. False: there is nothing; otherwise *result is what the read
 * returns. */
static bool look(lipc_stream *stream, bool takes_text, lipc_delta *delta, int *result) {
    stream_snapshot snapshot;
    move_queue(stream->client);
    pthread_mutex_lock(&stream->lock);
    finding found = find_news(stream, takes_text, &snapshot);
    *delta = (lipc_delta){"", 0, stream->offset};
    switch (found) {
    case FOUND_NOTHING: break;
    case FOUND_TEXT: *result = take_text(stream, &snapshot, delta); break;
    case FOUND_END: *result = report_end(stream, &snapshot); break;
    case FOUND_WITHDRAWN: *result = lipc_fail(LIPC_E_CANCELLED, "the stream was cancelled"); break;
    case FOUND_LOST: *result = fail_gone(stream); break;
    }
    pthread_mutex_unlock(&stream->lock);
    return found != FOUND_NOTHING;
}

/* ---- waiting for one of several ------------------------------------------------------------------------------------ */

/* Whether a stream has something at `now_ns`. If not, and its next frame is still to come, *until_ns is at most
 * that. */
static bool has_something(lipc_stream *stream, uint64_t now_ns, uint64_t *until_ns) {
    stream_snapshot snapshot;
    pthread_mutex_lock(&stream->lock);
    bool is_due = now_ns >= stream->due_ns;
    finding found = find_news(stream, is_due, &snapshot);
    if (!is_due && stream->due_ns < *until_ns) *until_ns = stream->due_ns;
    pthread_mutex_unlock(&stream->lock);
    return found != FOUND_NOTHING;
}

/* Which has something, `first` being looked at first. If none has, *until_ns is the next frame, or PLAT_NEVER. */
static bool find_ready(lipc_stream *const *streams, size_t n_streams, size_t first, uint64_t now_ns, size_t *index,
                       uint64_t *until_ns) {
    *until_ns = PLAT_NEVER;
    move_queue(streams[0]->client);
    for (size_t i = 0; i < n_streams; i++) {
        size_t at = (first + i) % n_streams;
        if (!has_something(streams[at], now_ns, until_ns)) continue;
        *index = at;
        return true;
    }
    return false;
}

/* Waits until one has something.
 *
 * Paced, a waiting call hears only what must not be late (ENDS) for as long as a frame runs, and looks for text when it
 * is over. A frame runs from the moment that text was returned, and from a ring for NEWS that was about something else:
 * the client has one bell for all its streams. */
static int wait_for(lipc_stream *const *streams, size_t n_streams, size_t first, const client_wait *wait,
                    size_t *index) {
    uint64_t frame_ns = wait->client->frame_ns, quiet_until_ns = 0, until_ns;
    bool has_heard_news = false;
    for (;;) {
        uint64_t now_ns = frame_ns ? plat_clock_ns() : PLAT_NEVER;
        if (find_ready(streams, n_streams, first, now_ns, index, &until_ns)) return LIPC_E_OK;
        if (has_heard_news) quiet_until_ns = now_ns + frame_ns;
        if (until_ns == PLAT_NEVER && quiet_until_ns > now_ns && frame_ns) until_ns = quiet_until_ns;
        bool is_quiet = until_ns != PLAT_NEVER;
        uint64_t unused_ns;
        uint32_t seen = client_wait_arm(wait, is_quiet ? PLAT_BELL_ENDS : PLAT_BELL_ALL);
        if (find_ready(streams, n_streams, first, now_ns, index, &unused_ns)) return LIPC_E_OK;
        int result = client_wait_sleep(wait, seen, until_ns);
        /* Text that waits for its frame does not wait beyond the end of the call. */
        if (result == LIPC_E_TIMEOUT && find_ready(streams, n_streams, first, PLAT_NEVER, index, &unused_ns))
            return LIPC_E_OK;
        if (result < 0) return result;
        has_heard_news = frame_ns && !is_quiet;
    }
}

/* Whether text in the middle of the answer may be returned to a call that waits. */
static bool is_due(lipc_stream *stream) {
    if (stream->client->frame_ns == 0) return true;
    pthread_mutex_lock(&stream->lock);
    uint64_t due_ns = stream->due_ns;
    pthread_mutex_unlock(&stream->lock);
    return plat_clock_ns() >= due_ns;
}

/* The reading of one call, or a part of a longer one. */
static int read_within(lipc_stream *stream, const client_wait *wait, lipc_delta *delta) {
    int result;
    size_t index;
    bool may_wait = wait->deadline_ns != 0;
    if (look(stream, !may_wait || is_due(stream), delta, &result)) return result;
    if (!may_wait) return lipc_fail(LIPC_E_TIMEOUT, "nothing new");
    do { /* again if another thread was faster */
        result = wait_for(&stream, 1, 0, wait, &index);
    } while (result == LIPC_E_OK && !look(stream, true, delta, &result));
    return result;
}

int lipc_stream_read(lipc_stream *stream, int timeout_ms, lipc_delta *delta) {
    if (!stream || !delta) return lipc_fail(LIPC_E_INVALID, "the stream or the place for its text is NULL");
    client_wait wait = client_wait_begin(stream->client, timeout_ms);
    return read_within(stream, &wait, delta);
}

int lipc_stream_run(lipc_stream *stream, int timeout_ms, lipc_delta_fn on_delta, void *user_data) {
    if (!stream || !on_delta) return lipc_fail(LIPC_E_INVALID, "the stream or the callback is NULL");
    client_wait wait = client_wait_begin(stream->client, timeout_ms);
    for (;;) {
        lipc_delta delta;
        int result = read_within(stream, &wait, &delta);
        if (result < 0 || delta.n_bytes == 0) return result;
        if (on_delta(user_data, &delta) == 0) continue;
        lipc_stream_cancel(stream);
        return lipc_fail(LIPC_E_CANCELLED, "cancelled by the callback");
    }
}

static int check_streams(lipc_stream *const *streams, size_t n_streams, const size_t *index) {
    if (!streams || n_streams == 0 || !index) return lipc_fail(LIPC_E_INVALID, "there are no streams to wait for");
    for (size_t i = 0; i < n_streams; i++) {
        if (!streams[i]) return lipc_fail(LIPC_E_INVALID, "stream %zu is NULL", i);
        if (streams[i]->client != streams[0]->client)
            return lipc_fail(LIPC_E_INVALID, "stream %zu is of another client than the first", i);
    }
    return LIPC_E_OK;
}

int lipc_stream_wait_any(lipc_stream *const *streams, size_t n_streams, int timeout_ms, size_t *index) {
    uint64_t unused_ns;
    int result = check_streams(streams, n_streams, index);
    if (result < 0) return result;
    lipc_client *client = streams[0]->client;
    client_wait wait = client_wait_begin(client, timeout_ms);
    size_t first = __atomic_load_n(&client->next_turn, __ATOMIC_RELAXED) % n_streams;
    if (timeout_ms != 0)
        result = wait_for(streams, n_streams, first, &wait, index);
    else if (!find_ready(streams, n_streams, first, PLAT_NEVER, index, &unused_ns))
        result = lipc_fail(LIPC_E_TIMEOUT, "none of the %zu streams has anything new", n_streams);
    if (result == LIPC_E_OK) __atomic_store_n(&client->next_turn, (uint32_t)(*index + 1), __ATOMIC_RELAXED);
    return result;
}

/* ---- progress and tokens ------------------------------------------------------------------------------------------- */

#define SHOWN(field) __atomic_load_n(&header->field, __ATOMIC_RELAXED)

/* Nanoseconds from one moment to another, or to now; 0 if they make no sense. */
static uint64_t elapsed(uint64_t from_ns, uint64_t to_ns) {
    if (from_ns == 0) return 0;
    if (to_ns == 0) to_ns = plat_clock_ns();
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

static void read_progress(const lipc_stream *stream, const stream_snapshot *snapshot, lipc_progress *progress) {
    const lipc_stream_header *header = header_of(stream);
    *progress = (lipc_progress){.state = (int32_t)snapshot->state};
    uint32_t generation = (uint32_t)(__atomic_load_n(&header->status, __ATOMIC_RELAXED) >> 32);
    if (generation != stream->reader.generation) { /* the host has not seen the request: no other word is about it */
        progress->queued_ns = elapsed(stream->opened_ns, 0);
        return;
    }
    uint64_t submitted_ns = SHOWN(submitted_ns), started_ns = SHOWN(started_ns), first_ns = SHOWN(first_token_ns);
    uint64_t ended_ns = SHOWN(ended_ns);
    if (stream->is_owner && stream->opened_ns < submitted_ns) submitted_ns = stream->opened_ns;
    progress->end = (int32_t)snapshot->end;
    progress->error = snapshot->error;
    progress->queue_position = (int32_t)SHOWN(queue_position);
    progress->n_prompt = (int32_t)SHOWN(n_prompt);
    progress->n_prompt_done = (int32_t)SHOWN(n_prompt_done);
    progress->n_cached = (int32_t)SHOWN(n_cached);
    progress->n_tokens = (int32_t)snapshot->n_tokens;
    progress->n_bytes = snapshot->n_bytes;
    progress->seed = SHOWN(seed);
    progress->queued_ns = elapsed(submitted_ns, started_ns ? started_ns : ended_ns);
    progress->prompt_ns = elapsed(started_ns, first_ns ? first_ns : ended_ns);
    progress->generate_ns = elapsed(first_ns, ended_ns);
}

/* Of a request that has no place yet. */
static void read_queue(lipc_stream *stream, lipc_progress *progress) {
    lipc_client *client = stream->client;
    const lipc_client_record *record = hub_client(&client->view, client->index);
    uint32_t position = __atomic_load_n(&record->queue_position, __ATOMIC_RELAXED);
    pthread_mutex_lock(&client->lock);
    for (const lipc_stream *at = client->first_waiting; at && at != stream; at = at->next_waiting) position++;
    pthread_mutex_unlock(&client->lock);
    *progress = (lipc_progress){
        .state = LIPC_STREAM_QUEUED,
        .queue_position = (int32_t)position,
        .queued_ns = elapsed(stream->opened_ns, 0),
    };
}

static int update_progress(lipc_stream *stream) {
    lipc_progress now;
    stream_snapshot snapshot = {0};
    bool is_lost = client_is_lost(stream->client); /* before the look, as in find_news */
    if (!is_placed(stream)) {
        if (is_withdrawn(stream)) {
            stream->progress.state = LIPC_STREAM_ENDED;
            stream->progress.end = LIPC_END_CANCELLED;
            return LIPC_E_OK;
        }
        if (is_lost) return client_fail_lost(stream->client);
        read_queue(stream, &stream->progress);
        return LIPC_E_OK;
    }
    stream_read_snapshot(&stream->reader, &snapshot);
    read_progress(stream, &snapshot, &now);
    if (!stream_is_current(&stream->reader)) return fail_gone(stream);
    stream->progress = now;
    return is_lost && now.state != LIPC_STREAM_ENDED ? client_fail_lost(stream->client) : LIPC_E_OK;
}

int lipc_stream_progress(lipc_stream *stream, lipc_progress *progress) {
    if (!stream || !progress) return lipc_fail(LIPC_E_INVALID, "the stream or the place for its progress is NULL");
    move_queue(stream->client);
    pthread_mutex_lock(&stream->lock);
    int result = update_progress(stream);
    *progress = stream->progress;
    pthread_mutex_unlock(&stream->lock);
    return result;
}

int lipc_stream_tokens(lipc_stream *stream, size_t first, lipc_token *tokens, size_t n_tokens, size_t *n_copied) {
    if (!stream || !n_copied || (n_tokens > 0 && !tokens))
        return lipc_fail(LIPC_E_INVALID, "the stream or the place for its tokens is NULL");
    *n_copied = 0;
    move_queue(stream->client);
    bool is_lost = client_is_lost(stream->client);
    if (!is_placed(stream)) return is_lost ? client_fail_lost(stream->client) : LIPC_E_OK;
    stream_snapshot snapshot;
    stream_read_snapshot(&stream->reader, &snapshot);
    size_t n = 0;
    for (; n < n_tokens && first < snapshot.n_tokens && n < snapshot.n_tokens - first; n++) {
        lipc_token_record record = stream->reader.index[first + n];
        uint64_t end = record.end < snapshot.n_bytes ? record.end : snapshot.n_bytes;
        tokens[n] = (lipc_token){end, record.id, record.logprob, (uint64_t)record.time_us * 1000};
    }
    if (!stream_is_current(&stream->reader)) return fail_gone(stream);
    *n_copied = n;
    return is_lost && n == 0 && snapshot.state != LIPC_STREAM_ENDED ? client_fail_lost(stream->client) : LIPC_E_OK;
}

/* ---- ids ----------------------------------------------------------------------------------------------------------- */

int lipc_stream_id(lipc_stream *stream, char text[LIPC_STREAM_ID_SIZE]) {
    if (!stream || !text) return lipc_fail(LIPC_E_INVALID, "the stream or the place for its id is NULL");
    for (size_t i = 0; i < STREAM_ID_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", stream->id[i]);
    return LIPC_E_OK;
}

static bool read_digit(char digit, uint8_t *value) {
    static const char digits[] = "0123456789abcdef";
    const char *at = digit ? strchr(digits, digit >= 'A' && digit <= 'F' ? digit - 'A' + 'a' : digit) : NULL;
    if (at) *value = (uint8_t)(*value << 4 | (uint8_t)(at - digits));
    return at != NULL;
}

static bool parse_id(const char *text, uint8_t id[STREAM_ID_BYTES]) {
    memset(id, 0, STREAM_ID_BYTES);
    for (size_t i = 0; i < 2 * STREAM_ID_BYTES; i++)
        if (!read_digit(text[i], &id[i / 2])) return false;
    return text[2 * STREAM_ID_BYTES] == 0;
}

/* Whether the id that stands in a stream is of the request that its claim is about. One that was released before it was
 * submitted still shows the id of the one before. */
static bool id_is_current(const lipc_stream_header *header, uint64_t claim) {
    uint64_t status = __atomic_load_n(&header->status, __ATOMIC_ACQUIRE);
    return stream_claim_phase(claim) != LIPC_CLAIM_RELEASED || (uint32_t)(status >> 32) == stream_claim_generation(claim);
}

/* Under the client's lock: makes this stream the place `index` if that has its id. `claim` is what it held before. */
static bool attach_place(lipc_stream *stream, uint32_t index, uint64_t claim, bool read_only) {
    lipc_client *client = stream->client;
    lipc_stream_header *header = hub_stream(&client->view, index);
    if (!has_id(header, stream->id) || !id_is_current(header, claim)) return false;
    uint32_t generation = stream_claim_generation(claim);
    watch(client, index);
    if (!read_only && stream_claim_phase(claim) == LIPC_CLAIM_DETACHED) {
        uint64_t mine = stream_claim(LIPC_CLAIM_SUBMITTED, client->index, generation);
        stream->is_owner = stream_change_claim(header, claim, mine);
        FAILPOINT("client.attach.claim");
        if (stream->is_owner) claim = mine;
    }
    give_place(stream, index, claim);
    /* Whatever else happened: only if it is still the same generation was the id its own, and are we heard. */
    if (stream_is_current(&stream->reader)) return true;
    stream->is_placed = stream->is_owner = false;
    unwatch(client, index);
    return false;
}

static int attach(lipc_stream *stream, bool read_only) {
    lipc_client *client = stream->client;
    if (client_is_lost(client)) return client_fail_lost(client);
    for (uint32_t i = 0; i < client->view.at.n_streams; i++) {
        uint64_t claim = stream_claim_now(hub_stream(&client->view, i));
        uint32_t phase = stream_claim_phase(claim);
        if (phase != LIPC_CLAIM_SUBMITTED && phase != LIPC_CLAIM_DETACHED && phase != LIPC_CLAIM_RELEASED) continue;
        if (!attach_place(stream, i, claim, read_only)) continue;
        client_hold_locked(client);
        if (stream->is_owner) client_ring_host(client);
        return LIPC_E_OK;
    }
    return lipc_fail(LIPC_E_GONE, "the host of '%s' has no stream of this id (any more)", client->name);
}

int lipc_stream_attach(lipc_client *client, const char *id, uint64_t offset, int read_only, lipc_stream **result) {
    uint8_t parsed[STREAM_ID_BYTES];
    if (!result) return lipc_fail(LIPC_E_INVALID, "the place for the stream is NULL");
    *result = NULL;
    if (!client || !id) return lipc_fail(LIPC_E_INVALID, "the client or the id is NULL");
    if (!parse_id(id, parsed))
        return lipc_fail(LIPC_E_INVALID, "'%.40s' is not an id: expected 32 hexadecimal digits", id);
    lipc_stream *stream = new_stream(client, false);
    if (!stream) return LIPC_E_NO_MEMORY;
    memcpy(stream->id, parsed, STREAM_ID_BYTES);
    stream->is_detachable = true;
    stream->offset = offset;
    stream->is_aligned = offset == 0;
    pthread_mutex_lock(&client->lock);
    int error = attach(stream, read_only != 0);
    pthread_mutex_unlock(&client->lock);
    if (error < 0) {
        free_stream(stream);
        return error;
    }
    *result = stream;
    return LIPC_E_OK;
}

/* ---- other people's streams ---------------------------------------------------------------------------------------- */

/* Whether a stream, whose claim was read, has this id. */
static bool is_stream(const lipc_stream_header *header, uint64_t claim, const uint8_t id[STREAM_ID_BYTES]) {
    uint32_t phase = stream_claim_phase(claim);
    return (phase == LIPC_CLAIM_SUBMITTED || phase == LIPC_CLAIM_DETACHED) && has_id(header, id);
}

int lipc_client_cancel(lipc_client *client, const char *id) {
    uint8_t parsed[STREAM_ID_BYTES];
    stream_reader reader;
    stream_snapshot snapshot;
    if (!client || !id) return lipc_fail(LIPC_E_INVALID, "the client or the id is NULL");
    if (!parse_id(id, parsed))
        return lipc_fail(LIPC_E_INVALID, "'%.40s' is not an id: expected 32 hexadecimal digits", id);
    if (client_is_lost(client)) return client_fail_lost(client);
    for (uint32_t i = 0; i < client->view.at.n_streams; i++) {
        lipc_stream_header *header = hub_stream(&client->view, i);
        uint64_t claim = stream_claim_now(header);
        if (!is_stream(header, claim, parsed)) continue;
        stream_reader_begin(&reader, &client->view, i, stream_claim_generation(claim));
        stream_read_snapshot(&reader, &snapshot);
        if (snapshot.state == LIPC_STREAM_ENDED) break;
        /* That the claim is of the same generation behind this says that the id was its own, too. */
        if (!stream_request_cancel(header, stream_claim_generation(claim))) break;
        client_ring_host(client);
        return LIPC_E_OK;
    }
    return lipc_fail(LIPC_E_GONE, "the host of '%s' has no stream of this id that is still being answered",
                     client->name);
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

void lipc_stream_cancel(lipc_stream *stream) {
    if (!stream || !stream->is_owner) return;
    lipc_client *client = stream->client;
    pthread_mutex_lock(&client->lock);
    if (dequeue(stream)) {
        /* release: pairs with is_withdrawn(). */
        __atomic_store_n(&stream->is_withdrawn, true, __ATOMIC_RELEASE);
        if (!client->first_waiting && !client_is_lost(client)) withdraw_reservation(client);
        plat_doorbell_ring(hub_bell(&hub_client(&client->view, client->index)->bell), PLAT_BELL_ALL);
    } else if (is_placed(stream) && !client_is_lost(client) && stream_claim_now(header_of(stream)) == stream->claim) {
        stream_request_cancel(header_of(stream), stream_claim_generation(stream->claim));
        client_ring_host(client);
    }
    pthread_mutex_unlock(&client->lock);
}

/* Under the client's lock: gives the place back, with the work on it going on or not. */
static void give_back(lipc_stream *stream, bool goes_on) {
    lipc_client *client = stream->client;
    if (dequeue(stream)) {
        if (!client->first_waiting && !client_is_lost(client)) withdraw_reservation(client);
        return;
    }
    if (!is_placed(stream)) return;
    unwatch(client, stream->index);
    if (!stream->is_owner) return;
    if (goes_on)
        change_own_claim(client, stream->index, stream->claim, LIPC_CLAIM_DETACHED, LIPC_NO_OWNER);
    else
        change_own_claim(client, stream->index, stream->claim, LIPC_CLAIM_RELEASED, client->index);
}

static void close_stream(lipc_stream *stream, bool goes_on) {
    lipc_client *client = stream->client;
    if (client_is_own(client)) {
        pthread_mutex_lock(&client->lock);
        /* One that still waits goes on waiting, without a handle. */
        bool stays = goes_on && stream->request && !client_is_lost(client);
        if (stays)
            stream->is_detaching = true;
        else
            give_back(stream, goes_on);
        pthread_mutex_unlock(&client->lock);
        if (stays) return;
    }
    free_stream(stream);
    client_let_go(client);
}

void lipc_stream_close(lipc_stream *stream) {
    if (stream) close_stream(stream, false);
}

void lipc_stream_detach(lipc_stream *stream) {
    if (stream) close_stream(stream, stream->is_detachable);
}
