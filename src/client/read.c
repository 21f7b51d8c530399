/* read.c - reading answers, and waiting until there is something to read. */
#include "error.h"
#include "queue.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_CHARACTER 4
/* Most deltas are shorter. */
#define COPY_SIZE 256

/* ---- reading ------------------------------------------------------------------------------------------------------- */

/* The answer is complete; whether it was read as the host wrote it. */
static int check_sum(const lipc_stream *stream, bool reads_parts) {
    uint64_t sum = __atomic_load_n(&stream_header_of(stream)->answer_sum, __ATOMIC_RELAXED);
    uint64_t parts_sum = __atomic_load_n(&stream_header_of(stream)->parts_sum, __ATOMIC_RELAXED);
    bool are_parts_right = !reads_parts || stream->reader.parts_length == 0 || parts_sum == stream->parts_sum;
    if ((!stream->is_summed || sum == stream->sum) && are_parts_right) return LIPC_E_OK;
    return lipc_fail(LIPC_E_FAILED, "the text that was read is not what the host wrote: a process has written over the "
                     "shared memory of '%s'", stream->client->name);
}

/* How the answer ended; everything of it has been read. */
static int report_end(lipc_stream *stream, const stream_snapshot *snapshot, bool reads_parts) {
    char message[sizeof stream_header_of(stream)->message];
    status_copy_text(message, sizeof message, stream_header_of(stream)->message, sizeof stream_header_of(stream)->message);
    int damage = check_sum(stream, reads_parts);
    if (!stream_is_current(&stream->reader)) return stream_fail_gone(stream);
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
    FOUND_PART,      /* more of a thought or call, or the beginning of one */
    FOUND_END,       /* of the answer: snapshot.end says which */
    FOUND_WITHDRAWN, /* cancelled before it had a place */
    FOUND_LOST       /* it, or its client */
} finding;

static part_view part_of(const lipc_stream *stream, const stream_snapshot *snapshot, uint32_t number) {
    part_view part;
    parts_view(&stream->client->view, stream->index, snapshot->n_part_bytes, snapshot->n_parts, number, &part);
    return part;
}

/* Under the stream's lock: what is to be read next in the order of text, thoughts and calls. *snapshot says only so much of the
 * text then as may be read before the next part. */
static finding find_in_order(const lipc_stream *stream, bool is_final, stream_snapshot *snapshot) {
    uint32_t next = stream->part + stream->is_in_part;
    if (stream->is_in_part && part_of(stream, snapshot, stream->part).n_bytes > stream->part_offset) return FOUND_PART;
    if (!is_final) snapshot->n_bytes = snapshot->n_ordered_bytes;
    if (next < snapshot->n_parts) {
        uint32_t position = part_of(stream, snapshot, next).position;
        if (position <= stream->offset || (is_final && snapshot->n_bytes <= stream->offset)) return FOUND_PART;
        if (position < snapshot->n_bytes) snapshot->n_bytes = position;
    }
    return snapshot->n_bytes > stream->offset ? FOUND_TEXT : FOUND_NOTHING;
}

/* Under the stream's lock. `takes_text`: what comes in the middle of an answer counts, too. */
static finding find_news(lipc_stream *stream, bool takes_text, bool reads_parts, stream_snapshot *snapshot) {
    /* Before the look: a host that is dead now publishes nothing behind it. */
    bool is_lost = client_is_lost(stream->client);
    if (!stream_is_placed(stream)) {
        if (stream_is_withdrawn(stream)) return FOUND_WITHDRAWN;
        return is_lost ? FOUND_LOST : FOUND_NOTHING;
    }
    stream_read_snapshot(&stream->reader, snapshot);
    bool has_ended = snapshot->state == LIPC_STREAM_ENDED, is_final = has_ended || is_lost;
    finding found = snapshot->n_bytes > stream->offset ? FOUND_TEXT : FOUND_NOTHING;
    if (reads_parts) found = find_in_order(stream, is_final, snapshot);
    if (found != FOUND_NOTHING && (takes_text || is_final)) return found;
    if (found == FOUND_NOTHING && has_ended) return FOUND_END;
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
static int take_text(lipc_stream *stream, const stream_snapshot *snapshot, lipc_part_delta *delta) {
    if (!stream->is_aligned) align(stream);
    size_t n_bytes = snapshot->n_bytes - stream->offset;
    if (!reserve_copy(stream, n_bytes))
        return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for %zu bytes of text", n_bytes);
    memcpy(stream->copy, stream->reader.log + stream->offset, n_bytes);
    if (!stream_is_current(&stream->reader)) return stream_fail_gone(stream);
    delta->text = stream->copy;
    delta->n_bytes = n_bytes;
    delta->offset = stream->offset;
    stream->offset = snapshot->n_bytes;
    if (stream->is_summed) stream->sum = stream_sum_add(stream->sum, stream->copy, n_bytes);
    begin_frame(stream);
    return LIPC_E_OK;
}

/* Under the stream's lock: the id and the name of the part that begins, as texts of their own. */
static bool copy_words(lipc_stream *stream, const part_view *part) {
    char *words = realloc(stream->part_words, (size_t)part->n_id + part->n_name + 2);
    if (!words) return false;
    stream->part_words = words;
    status_copy_text(words, part->n_id + 1, part->id, part->n_id);
    status_copy_text(words + strlen(words) + 1, part->n_name + 1, part->name, part->n_name);
    return true;
}

/* More of the part that goes on; or the beginning of the next. */
static int take_part(lipc_stream *stream, const stream_snapshot *snapshot, lipc_part_delta *delta) {
    part_view part = part_of(stream, snapshot, stream->part);
    if (stream->is_in_part && part.n_bytes <= stream->part_offset) {
        part = part_of(stream, snapshot, ++stream->part);
        stream->is_in_part = false;
        stream->part_offset = 0;
    }
    bool begins = !stream->is_in_part, is_call = part.kind == LIPC_PART_CALL;
    size_t n_bytes = part.n_bytes > stream->part_offset ? part.n_bytes - stream->part_offset : 0;
    if (!reserve_copy(stream, n_bytes) || (begins && !copy_words(stream, &part)))
        return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for %zu bytes of a thought or call", n_bytes);
    if (n_bytes > 0) memcpy(stream->copy, part.bytes + stream->part_offset, n_bytes);
    if (begins) {
        stream->parts_sum = stream_sum_add(stream->parts_sum, (const char *)&part.record, sizeof part.record);
        stream->parts_sum = stream_sum_add(stream->parts_sum, part.id, (size_t)part.n_id + part.n_name);
    }
    if (!stream_is_current(&stream->reader)) return stream_fail_gone(stream);
    *delta = (lipc_part_delta){
        .kind = (int32_t)part.kind, .part = (int32_t)stream->part, .call = is_call ? (int32_t)part.call : -1,
        .begins = begins, .text = n_bytes > 0 ? stream->copy : "", .n_bytes = n_bytes, .offset = stream->part_offset,
        .position = part.position, .call_id = stream->part_words,
        .name = stream->part_words + strlen(stream->part_words) + 1, .first_token = (int32_t)part.token,
    };
    stream->parts_sum = stream_sum_add(stream->parts_sum, stream->copy, n_bytes);
    stream->is_in_part = true;
    stream->part_offset += (uint32_t)n_bytes;
    begin_frame(stream);
    return LIPC_E_OK;
}

/* One look. `takes_text`: also in the middle of the answer. False: there is nothing; otherwise *result is what the read
 * returns. */
static bool look(lipc_stream *stream, bool takes_text, bool reads_parts, lipc_part_delta *delta, int *result) {
    stream_snapshot snapshot;
    queue_advance(stream->client);
    pthread_mutex_lock(&stream->lock);
    stream->wants_parts = reads_parts;
    finding found = find_news(stream, takes_text, reads_parts, &snapshot);
    *delta = (lipc_part_delta){.kind = LIPC_PART_TEXT, .part = -1, .call = -1, .first_token = -1, .text = "",
                               .offset = stream->offset, .call_id = "", .name = ""};
    switch (found) {
    case FOUND_NOTHING: break;
    case FOUND_TEXT: *result = take_text(stream, &snapshot, delta); break;
    case FOUND_PART: *result = take_part(stream, &snapshot, delta); break;
    case FOUND_END: *result = report_end(stream, &snapshot, reads_parts); break;
    case FOUND_WITHDRAWN: *result = lipc_fail(LIPC_E_CANCELLED, "the stream was cancelled"); break;
    case FOUND_LOST: *result = stream_fail_gone(stream); break;
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
    finding found = find_news(stream, is_due, stream->wants_parts, &snapshot);
    if (!is_due && stream->due_ns < *until_ns) *until_ns = stream->due_ns;
    pthread_mutex_unlock(&stream->lock);
    return found != FOUND_NOTHING;
}

/* What a call waits for: several streams, `first` being looked at first, or (NULL) those that are awaited. */
typedef struct wait_set {
    lipc_stream *const *streams;
    size_t n_streams, first;
    size_t index;       /* found, of several */
    lipc_stream *found; /* of those that are awaited; NULL: there is none to wait for */
} wait_set;

/* Under await_lock. */
static void take_out(lipc_stream *stream) {
    lipc_client *client = stream->client;
    lipc_stream **before = stream->previous_awaited ? &stream->previous_awaited->next_awaited : &client->first_awaited;
    lipc_stream **behind = stream->next_awaited ? &stream->next_awaited->previous_awaited : &client->last_awaited;
    *before = stream->next_awaited;
    *behind = stream->previous_awaited;
    stream->next_awaited = stream->previous_awaited = NULL;
    stream->is_awaited = false;
}

/* The one that has something is taken out. Found is also that there is none to wait for. */
static bool find_awaited(lipc_client *client, uint64_t now_ns, wait_set *set, uint64_t *until_ns) {
    pthread_mutex_lock(&client->await_lock);
    bool is_empty = client->first_awaited == NULL;
    for (lipc_stream *stream = client->first_awaited; stream && !set->found; stream = stream->next_awaited)
        if (has_something(stream, now_ns, until_ns)) set->found = stream;
    if (set->found) take_out(set->found);
    bool was_last = set->found && !client->first_awaited;
    pthread_mutex_unlock(&client->await_lock);
    if (was_last) plat_doorbell_ring(client_bell(client), PLAT_BELL_ALL); /* for other threads that wait: there is nothing more */
    return is_empty || set->found;
}

/* Whether one has something. If none has, *until_ns is the next frame, or PLAT_NEVER. */
static bool find_ready(lipc_client *client, uint64_t now_ns, wait_set *set, uint64_t *until_ns) {
    *until_ns = PLAT_NEVER;
    queue_advance(client);
    if (!set->streams) return find_awaited(client, now_ns, set, until_ns);
    for (size_t i = 0; i < set->n_streams; i++) {
        set->index = (set->first + i) % set->n_streams;
        if (has_something(set->streams[set->index], now_ns, until_ns)) return true;
    }
    return false;
}

/* Waits until one has something.
 *
 * Paced, a waiting call hears only what must not be late (ENDS) for as long as a frame runs, and looks for text when it
 * is over. A frame runs from the moment that text was returned, and from a ring for NEWS that was about something else:
 * the client has one bell for all its streams. */
static int wait_for(const client_wait *wait, wait_set *set) {
    lipc_client *client = wait->client;
    uint64_t frame_ns = client->frame_ns, quiet_until_ns = 0, until_ns;
    bool has_heard_news = false;
    for (;;) {
        uint64_t now_ns = frame_ns ? plat_clock_ns() : PLAT_NEVER;
        if (find_ready(client, now_ns, set, &until_ns)) return LIPC_E_OK;
        if (has_heard_news) quiet_until_ns = now_ns + frame_ns;
        if (until_ns == PLAT_NEVER && quiet_until_ns > now_ns && frame_ns) until_ns = quiet_until_ns;
        bool is_quiet = until_ns != PLAT_NEVER;
        uint64_t unused_ns, again_ns;
        uint32_t seen = client_wait_arm(wait, is_quiet ? PLAT_BELL_ENDS : PLAT_BELL_ALL);
        if (find_ready(client, now_ns, set, &again_ns)) return LIPC_E_OK;
        if (again_ns < until_ns) until_ns = again_ns; /* a stream that joined between the two looks, in the middle of its frame */
        int result = client_wait_sleep(wait, seen, until_ns);
        /* Text that waits for its frame does not wait beyond the end of the call. */
        if (result == LIPC_E_TIMEOUT && find_ready(client, PLAT_NEVER, set, &unused_ns)) return LIPC_E_OK;
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
static int read_within(lipc_stream *stream, const client_wait *wait, bool reads_parts, lipc_part_delta *delta) {
    int result;
    wait_set set = {.streams = &stream, .n_streams = 1};
    bool may_wait = wait->deadline_ns != 0;
    if (look(stream, !may_wait || is_due(stream), reads_parts, delta, &result)) return result;
    if (!may_wait) return lipc_fail(LIPC_E_TIMEOUT, "nothing new");
    do { /* again if another thread was faster */
        result = wait_for(wait, &set);
    } while (result == LIPC_E_OK && !look(stream, true, reads_parts, delta, &result));
    return result;
}

/* The same for the text alone. */
static int read_text_within(lipc_stream *stream, const client_wait *wait, lipc_delta *delta) {
    lipc_part_delta read;
    int result = read_within(stream, wait, false, &read);
    *delta = (lipc_delta){read.text, read.n_bytes, read.offset};
    return result;
}

int lipc_stream_read(lipc_stream *stream, int timeout_ms, lipc_delta *delta) {
    if (!stream || !delta) return lipc_fail(LIPC_E_INVALID, "the stream or the place for its text is NULL");
    client_wait wait = client_wait_begin(stream->client, timeout_ms);
    return read_text_within(stream, &wait, delta);
}

int lipc_stream_read_part(lipc_stream *stream, int timeout_ms, lipc_part_delta *delta) {
    if (!stream || !delta) return lipc_fail(LIPC_E_INVALID, "the stream or the place for its parts is NULL");
    client_wait wait = client_wait_begin(stream->client, timeout_ms);
    return read_within(stream, &wait, true, delta);
}

int lipc_stream_run(lipc_stream *stream, int timeout_ms, lipc_delta_fn on_delta, void *user_data) {
    if (!stream || !on_delta) return lipc_fail(LIPC_E_INVALID, "the stream or the callback is NULL");
    client_wait wait = client_wait_begin(stream->client, timeout_ms);
    for (;;) {
        lipc_delta delta;
        int result = read_text_within(stream, &wait, &delta);
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
    wait_set set = {.streams = streams, .n_streams = n_streams,
                    .first = __atomic_load_n(&client->next_turn, __ATOMIC_RELAXED) % n_streams};
    if (timeout_ms != 0)
        result = wait_for(&wait, &set);
    else if (!find_ready(client, PLAT_NEVER, &set, &unused_ns))
        result = lipc_fail(LIPC_E_TIMEOUT, "none of the %zu streams has anything new", n_streams);
    if (result != LIPC_E_OK) return result;
    *index = set.index;
    __atomic_store_n(&client->next_turn, (uint32_t)(*index + 1), __ATOMIC_RELAXED);
    return LIPC_E_OK;
}

/* Behind a sleeping waiter's back: what came before the stream joined, and a frame that runs, it has not seen. */
static bool must_be_seen_at_once(lipc_stream *stream) {
    uint64_t until_ns = PLAT_NEVER, now_ns = stream->client->frame_ns ? plat_clock_ns() : PLAT_NEVER;
    return has_something(stream, now_ns, &until_ns) || until_ns != PLAT_NEVER;
}

int lipc_stream_await(lipc_stream *stream, int wanted) {
    if (!stream) return lipc_fail(LIPC_E_INVALID, "the stream is NULL");
    lipc_client *client = stream->client;
    bool rings = false;
    pthread_mutex_lock(&client->await_lock);
    if (wanted && !stream->is_awaited) {
        stream->is_awaited = true;
        stream->previous_awaited = client->last_awaited;
        *(client->last_awaited ? &client->last_awaited->next_awaited : &client->first_awaited) = stream;
        client->last_awaited = stream;
        rings = must_be_seen_at_once(stream);
    } else if (!wanted && stream->is_awaited) {
        take_out(stream);
        rings = client->first_awaited == NULL;
    }
    pthread_mutex_unlock(&client->await_lock);
    if (rings) plat_doorbell_ring(client_bell(client), PLAT_BELL_ALL);
    return LIPC_E_OK;
}

int lipc_client_wait_any(lipc_client *client, int timeout_ms, lipc_stream **stream) {
    if (!client || !stream) return lipc_fail(LIPC_E_INVALID, "the client or the place for its stream is NULL");
    client_wait wait = client_wait_begin(client, timeout_ms);
    wait_set set = {.streams = NULL};
    uint64_t unused_ns;
    int result = LIPC_E_OK;
    if (timeout_ms != 0)
        result = wait_for(&wait, &set);
    else if (!find_ready(client, PLAT_NEVER, &set, &unused_ns))
        result = lipc_fail(LIPC_E_TIMEOUT, "none of the awaited streams has anything new");
    *stream = set.found;
    return result;
}
