/* request.h - a request as bytes: written by a client into the request area, copied and checked by the host.
 *
 * The layout is lipc_request_header's in layout.h. Pure functions, any thread.
 */
#ifndef CHANNEL_REQUEST_H
#define CHANNEL_REQUEST_H

#include "parameters.h"

#include "lipc/layout.h"
#include "lipc/lipc.h"

#include <stdbool.h>
#include <stddef.h>

/* Sentences say what was wrong, with which value. */
#define REQUEST_MESSAGE_SIZE PARAMETERS_MESSAGE_SIZE

/* Client: checks a request and computes the bytes it needs. Returns 0 or LIPC_E_INVALID, with a sentence in
 * `message`. */
int request_measure(const lipc_request *request, size_t *n_bytes, char message[REQUEST_MESSAGE_SIZE]);

/* Client: whether it says something that travels by name: a host before LIPC_FEATURE_PARAMETERS refuses it. Of a request that
 * request_measure found good. */
bool request_has_named(const lipc_request *request);

/* Client: writes a request that request_measure found good into `area`, which has the room, aligned to 8. */
void request_write(const lipc_request *request, size_t n_bytes, char *area);

/* Client: the same for a request with `load_path` and a host of layout 1.3 or 1.4, which knows LIPC_FLAG_LOAD only. */
void request_write_load_flag(const lipc_request *request, size_t n_bytes, char *area);

/* A request in the host's own memory, checked. The texts point into the bytes that it was read from. */
typedef struct request_view {
    lipc_request_header header; /* its numbers as they were written: see `parameters` */
    parameters parameters;      /* what is not set is left to the host's own option; texts likewise point */
    const char *grammar;        /* NULL: none */
    const char *document;       /* NULL: none; otherwise there are no messages */
    const char *state_path;     /* NULL: neither LIPC_OPERATION_SAVE nor LIPC_OPERATION_RESTORE, which has no messages */
    const char *load_path;      /* NULL: an answer is wanted. Otherwise this model, in whichever form it was asked for; there
                                   are no messages */
    size_t n_messages, n_stops;
    const char *stops[LIPC_STOPS_MAX];
} request_view;

/* Host: checks the private copy of a request area. `n_bytes` is what the stream's header said. Returns 0 or
 * LIPC_E_REFUSED, with a sentence in `message`. */
int request_read(const char *bytes, size_t n_bytes, request_view *view, char message[REQUEST_MESSAGE_SIZE]);

/* The messages of a request that request_read found good, in order: copies up to n_messages into `messages`. */
void request_messages(const char *bytes, lipc_message *messages, size_t n_messages);

#endif
