/* stream.c - requests and their answers from opening to closing; see stream_handle.h. */
#include "error.h"
#include "queue.h"

#include "../text/model_name.h"
#include "../channel/request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ------------------------------------------------------------------------------------------------------- */

void lipc_request_init_sized(lipc_request *request, size_t request_size) {
    parameters unset;
    parameters_init(&unset);
    const lipc_request defaults = {
        .struct_size = (uint32_t)request_size,
#define UNSET(name, ...) .name = unset.name,
        LIPC_HEADER_PARAMETER_MAP(UNSET)
#undef UNSET
    };
    if (request) lipc_give(request, request_size, &defaults, sizeof defaults);
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
    if (!client->has_parameters && request_has_named(&request))
        return lipc_fail(LIPC_E_REFUSED, "the host of '%s' is of an older version, which does not know all of these parameters: "
                         "end it, and let a newer one start", client->name);
    if (request.load_path && !client->can_load)
        return lipc_fail(LIPC_E_REFUSED, "the host of '%s' is of an older version, which cannot change its model: end it, "
                         "and start another with it", client->name);
    if ((request.save_path || request.restore_path) && !client->has_states)
        return lipc_fail(LIPC_E_REFUSED, "the host of '%s' is of an older version, which cannot save or restore a state: end it, "
                         "and start this version's", client->name);
    if ((request.document || request.render) && !client->has_documents)
        return lipc_fail(LIPC_E_REFUSED, "the host of '%s' is of an older version, which takes plain messages only: end it, "
                         "and start this version's", client->name);
    if (*n_bytes > client->view.at.request_size)
        return lipc_fail(LIPC_E_REFUSED, "the request needs %zu bytes, the host of '%s' takes %u: start it with a "
                         "larger --request-size", *n_bytes, client->name, client->view.at.request_size);
    *bytes = malloc(*n_bytes);
    if (!*bytes) return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a request of %zu bytes", *n_bytes);
    if (request.load_path && !client->has_operations)
        request_write_load_flag(&request, *n_bytes, *bytes);
    else
        request_write(&request, *n_bytes, *bytes);
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
    lipc_stream *stream = stream_new(client, true);
    if (!stream) {
        free(bytes);
        return LIPC_E_NO_MEMORY;
    }
    stream->is_detachable = (((const lipc_request_header *)bytes)->flags & LIPC_FLAG_DETACHABLE) != 0;
    stream->is_aligned = true;
    stream->progress.state = LIPC_STREAM_QUEUED;
    plat_random(stream->id, STREAM_ID_BYTES);
    pthread_mutex_lock(&client->lock);
    error = queue_submit(stream, bytes, n_bytes);
    pthread_mutex_unlock(&client->lock);
    if (error < 0) {
        stream_free(stream);
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
    bool is_name = model_name_is_one(path) && strlen(path) < sizeof absolute;
    if (is_name)
        strcpy(absolute, path);
    else if (plat_path_absolute(path, absolute, sizeof absolute) < 0)
        return lipc_fail(LIPC_E_INVALID, "the path of the model is too long, or relative to a folder that is not there: "
                         "give an absolute one of at most %d bytes", LIPC_MODEL_PATH_MAX);
    lipc_request request;
    lipc_request_init(&request);
    request.load_path = absolute;
    return lipc_stream_open(client, &request, result);
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
    const lipc_stream_header *header = stream_header_of(stream);
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
    if (!stream_is_placed(stream)) {
        if (stream_is_withdrawn(stream)) {
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
    if (!stream_is_current(&stream->reader)) return stream_fail_gone(stream);
    stream->progress = now;
    return is_lost && now.state != LIPC_STREAM_ENDED ? client_fail_lost(stream->client) : LIPC_E_OK;
}

int lipc_stream_progress_sized(lipc_stream *stream, lipc_progress *progress, size_t progress_size) {
    if (!stream || !progress) return lipc_fail(LIPC_E_INVALID, "the stream or the place for its progress is NULL");
    queue_advance(stream->client);
    pthread_mutex_lock(&stream->lock);
    int result = update_progress(stream);
    lipc_give(progress, progress_size, &stream->progress, sizeof stream->progress);
    pthread_mutex_unlock(&stream->lock);
    return result;
}

/* Under the stream's lock: a record that was read, of the token of that number, which counts if all before it did. */
static void sum_record(lipc_stream *stream, size_t number, const lipc_token_record *record) {
    if (number != stream->n_summed_tokens) return;
    stream->tokens_sum = stream_sum_add(stream->tokens_sum, (const char *)record, sizeof *record);
    stream->n_summed_tokens++;
}

/* Of an answer that a successor could not go on with, the sum covers what had been retraced. */
static bool is_complete(const stream_snapshot *snapshot) {
    return snapshot->state == LIPC_STREAM_ENDED && snapshot->end < LIPC_END_CANCELLED;
}

/* Under the stream's lock: false if all records of a complete answer have been read, and are not what the host wrote. */
static bool are_tokens_right(const lipc_stream *stream, const stream_snapshot *snapshot) {
    bool is_whole = is_complete(snapshot) && stream->n_summed_tokens >= snapshot->n_tokens;
    return !is_whole || !stream->client->has_token_sums ||
           __atomic_load_n(&stream_header_of(stream)->tokens_sum, __ATOMIC_RELAXED) == stream->tokens_sum;
}

int lipc_stream_tokens_sized(lipc_stream *stream, size_t first, lipc_token *tokens, size_t token_size, size_t n_tokens,
                             size_t *n_copied) {
    if (!stream || !n_copied || (n_tokens > 0 && !tokens))
        return lipc_fail(LIPC_E_INVALID, "the stream or the place for its tokens is NULL");
    *n_copied = 0;
    queue_advance(stream->client);
    bool is_lost = client_is_lost(stream->client);
    if (!stream_is_placed(stream)) return is_lost ? client_fail_lost(stream->client) : LIPC_E_OK;
    stream_snapshot snapshot;
    stream_read_snapshot(&stream->reader, &snapshot);
    size_t n = 0;
    pthread_mutex_lock(&stream->lock);
    for (; n < n_tokens && first < snapshot.n_tokens && n < snapshot.n_tokens - first; n++) {
        lipc_token_record record = stream->reader.index[first + n];
        uint64_t end = record.end < snapshot.n_bytes ? record.end : snapshot.n_bytes;
        lipc_token token = {end, record.id, record.logprob, (uint64_t)record.time_us * 1000};
        sum_record(stream, first + n, &record);
        lipc_give((char *)tokens + n * token_size, token_size, &token, sizeof token);
    }
    bool is_right = are_tokens_right(stream, &snapshot);
    pthread_mutex_unlock(&stream->lock);
    if (!stream_is_current(&stream->reader)) return stream_fail_gone(stream);
    if (!is_right)
        return lipc_fail(LIPC_E_FAILED, "the token records that were read are not what the host wrote: a process has written "
                         "over the shared memory of '%s'", stream->client->name);
    *n_copied = n;
    return is_lost && n == 0 && snapshot.state != LIPC_STREAM_ENDED ? client_fail_lost(stream->client) : LIPC_E_OK;
}

/* Under the stream's lock: copies the records, and returns their number or, if they are not the host's, a negative one. */
static int take_probs(lipc_stream *stream, const stream_snapshot *snapshot, size_t token, lipc_prob_record records[LIPC_PROBS_MAX]) {
    int n = token < snapshot->n_tokens ? stream_read_probs(&stream->reader, token, records) : 0;
    if (n > 0 && token == stream->n_summed_probs) {
        stream->probs_sum = stream_sum_add(stream->probs_sum, (const char *)records, (size_t)n * sizeof *records);
        stream->n_summed_probs++;
    }
    if (n > 0 && is_complete(snapshot) && stream->n_summed_probs >= snapshot->n_tokens &&
        __atomic_load_n(&stream_header_of(stream)->probs_sum, __ATOMIC_RELAXED) != stream->probs_sum)
        return -1;
    return n;
}

int lipc_stream_probs_sized(lipc_stream *stream, size_t token, lipc_prob *probs, size_t prob_size, size_t n_probs, size_t *n_copied) {
    lipc_prob_record records[LIPC_PROBS_MAX];
    if (!stream || !n_copied || (n_probs > 0 && !probs))
        return lipc_fail(LIPC_E_INVALID, "the stream or the place for probabilities is NULL");
    *n_copied = 0;
    queue_advance(stream->client);
    bool is_lost = client_is_lost(stream->client);
    if (!stream_is_placed(stream)) return is_lost ? client_fail_lost(stream->client) : LIPC_E_OK;
    stream_snapshot snapshot;
    stream_read_snapshot(&stream->reader, &snapshot);
    pthread_mutex_lock(&stream->lock);
    int n_records = take_probs(stream, &snapshot, token, records);
    pthread_mutex_unlock(&stream->lock);
    if (!stream_is_current(&stream->reader)) return stream_fail_gone(stream);
    if (n_records < 0)
        return lipc_fail(LIPC_E_FAILED, "the probabilities that were read are not what the host wrote: a process has written over "
                         "the shared memory of '%s'", stream->client->name);
    size_t n = 0;
    for (; n < (size_t)n_records && n < n_probs && !isnan(records[n].logprob); n++) {
        lipc_prob prob = {records[n].id, records[n].logprob, records[n].n_bytes, ""};
        memcpy(prob.text, records[n].text, sizeof records[n].text);
        lipc_give((char *)probs + n * prob_size, prob_size, &prob, sizeof prob);
    }
    *n_copied = n;
    return is_lost && n == 0 && snapshot.state != LIPC_STREAM_ENDED ? client_fail_lost(stream->client) : LIPC_E_OK;
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

void lipc_stream_cancel(lipc_stream *stream) {
    if (!stream || !stream->is_owner) return;
    lipc_client *client = stream->client;
    pthread_mutex_lock(&client->lock);
    if (queue_withdraw(stream)) {
        /* release: pairs with stream_is_withdrawn(). */
        __atomic_store_n(&stream->is_withdrawn, true, __ATOMIC_RELEASE);
        plat_doorbell_ring(client_bell(client), PLAT_BELL_ALL);
    } else if (stream_is_placed(stream) && !client_is_lost(client) && stream_claim_now(stream_header_of(stream)) == stream->claim) {
        stream_request_cancel(stream_header_of(stream), stream_claim_generation(stream->claim));
        client_ring_host(client);
    }
    pthread_mutex_unlock(&client->lock);
}

static void close_stream(lipc_stream *stream, bool goes_on) {
    lipc_client *client = stream->client;
    if (client_is_own(client)) {
        lipc_stream_await(stream, 0);
        pthread_mutex_lock(&client->lock);
        /* One that still waits goes on waiting, without a handle. */
        bool stays = goes_on && stream->request && !client_is_lost(client);
        if (stays)
            stream->is_detaching = true;
        else
            queue_give_back(stream, goes_on);
        pthread_mutex_unlock(&client->lock);
        if (stays) return;
    }
    stream_free(stream);
    client_let_go(client);
}

void lipc_stream_close(lipc_stream *stream) {
    if (stream) close_stream(stream, false);
}

void lipc_stream_detach(lipc_stream *stream) {
    if (stream) close_stream(stream, stream->is_detachable);
}
