/* fetch_queue.c - see fetch_queue.h. */
#include "fetch_queue.h"

#include "log.h"
#include "pull.h"

#include "../text/model_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fetch_queue {
    stream_service *streams;
    const host_options *options;
    answer **waiting; /* the first is being fetched */
    size_t n_waiting, size;
    bool is_fetching;
    fetch fetch;
    char message[FETCH_MESSAGE_SIZE];
};

fetch_queue *fetch_queue_new(stream_service *streams, const host_options *options, size_t n_most) {
    fetch_queue *queue = calloc(1, sizeof *queue);
    answer **waiting = calloc(n_most, sizeof *waiting);
    if (queue && waiting) {
        *queue = (fetch_queue){.streams = streams, .options = options, .waiting = waiting, .size = n_most};
        return queue;
    }
    free(queue);
    free(waiting);
    return NULL;
}

void fetch_queue_add(fetch_queue *queue, answer *answer) {
    if (queue->n_waiting < queue->size) queue->waiting[queue->n_waiting++] = answer;
}

bool fetch_queue_is_busy(const fetch_queue *queue) {
    return queue->n_waiting > 0;
}

static void stop(fetch_queue *queue) {
    if (!queue->is_fetching) return;
    fetch_end(&queue->fetch);
    queue->is_fetching = false;
    stream_service_show_download(queue->streams, 0, 0, 0);
}

static answer *forget(fetch_queue *queue, size_t place) {
    answer *answer = queue->waiting[place];
    if (place == 0) stop(queue);
    memmove(queue->waiting + place, queue->waiting + place + 1, (--queue->n_waiting - place) * sizeof *queue->waiting);
    return answer;
}

static answer *take_cancelled(fetch_queue *queue) {
    for (size_t i = 0; i < queue->n_waiting; i++)
        if (queue->waiting[i]->channel->is_cancelled(queue->waiting[i])) return forget(queue, i);
    return NULL;
}

/* The fetch is over: what that means for who asked. */
static answer *end_first(fetch_queue *queue, int *error) {
    answer *answer = queue->waiting[0];
    const fetch *fetch = &queue->fetch;
    *error = fetch->state == FETCH_DONE ? 0 : fetch->state == FETCH_MISSING ? LIPC_E_REFUSED : LIPC_E_FAILED;
    snprintf(queue->message, sizeof queue->message, "%s", fetch->message);
    if (*error == 0) answer->load_path = answer->fetched_path = strdup(fetch->path);
    if (*error == 0 && !answer->load_path) {
        *error = LIPC_E_FAILED;
        snprintf(queue->message, sizeof queue->message, "not enough memory for the path of a model");
    }
    return forget(queue, 0);
}

answer *fetch_queue_next(fetch_queue *queue, int *error, const char **message) {
    *error = 0;
    *message = queue->message;
    answer *cancelled = take_cancelled(queue);
    if (cancelled || queue->n_waiting == 0) return cancelled;
    if (!queue->is_fetching) {
        const char *name = queue->waiting[0]->load_name;
        log_line(LOG_LEVEL_INFO, "fetching %.*s", (int)model_name_shown(name), name);
        pull_start(&queue->fetch, name, queue->options->offline);
        queue->is_fetching = true;
    }
    if (fetch_look(&queue->fetch))
        stream_service_show_download(queue->streams, queue->fetch.n_done, queue->fetch.n_total, queue->fetch.per_second);
    return queue->fetch.state == FETCH_RUNS ? NULL : end_first(queue, error);
}

answer *fetch_queue_drop(fetch_queue *queue) {
    return queue->n_waiting > 0 ? forget(queue, 0) : NULL;
}

void fetch_queue_free(fetch_queue *queue) {
    if (!queue) return;
    stop(queue);
    free(queue->waiting);
    free(queue);
}
