/* body.h - a request of ours as the body of a chat completion, or why it cannot be one. Pure functions. */
#ifndef REMOTE_BODY_H
#define REMOTE_BODY_H

#include "../engine.h"

#include "../../text/json.h"

/* The name of a parameter that is set and has no place in the protocol; NULL: there is none. */
const char *body_find_unknown(const engine_sampling *sampling);

/* Writes the body; `model` NULL: the server's only one. Errors: DOCUMENT, GRAMMAR, PARAMETER (the protocol has no such thing, or it is
 * malformed), NO_MEMORY; `message` then says what and why. */
int body_write(const engine_request *request, const char *model, json_writer *body, char *message, size_t message_size);

#endif
