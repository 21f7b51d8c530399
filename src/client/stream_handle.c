/* stream_handle.c - see stream_handle.h. */
#include "stream_handle.h"

#include "error.h"

#include <stdlib.h>

lipc_stream *stream_new(lipc_client *client, bool is_owner) {
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

void stream_free(lipc_stream *stream) {
    pthread_mutex_destroy(&stream->lock);
    free(stream->request);
    free(stream->copy);
    free(stream->part_words);
    free(stream);
}

int stream_fail_gone(lipc_stream *stream) {
    if (client_is_lost(stream->client)) return client_fail_lost(stream->client);
    return lipc_fail(LIPC_E_GONE, "the stream no longer exists: its place was given to another");
}
