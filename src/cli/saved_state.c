/* saved_state.c - see saved_state.h. */
#include "saved_state.h"

#include "answer.h"
#include "format.h"
#include "host.h"
#include "system.h"
#include "terminal.h"
#include "text.h"

#include "../platform/platform.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 4096
#define SUFFIX ".state"

static bool on_part(void *user_data, lipc_stream *stream, const lipc_part_delta *delta) {
    (void)stream;
    if (delta->kind == LIPC_PART_TEXT) text_add(user_data, delta->text, delta->n_bytes);
    return true;
}

/* Where it is, from the host's folder, too. */
static bool name_file(const char *path, char absolute[PATH_SIZE]) {
    char beside[PATH_SIZE];
    return snprintf(beside, sizeof beside, "%s" SUFFIX, path) < (int)sizeof beside &&
           plat_path_absolute(beside, absolute, PATH_SIZE) == PLAT_OK;
}

/* Returns a lipc_error; what the host said of it is in `said`. */
static int run(const cli_options *options, lipc_client *client, const lipc_request *request, text *said) {
    lipc_stream *stream;
    int error = lipc_stream_open(client, request, &stream);
    if (error == LIPC_E_OK) error = answer_read(client, stream, cli_deadline(options), on_part, said);
    lipc_stream_close(stream);
    return error;
}

void saved_state_write(const cli_options *options, lipc_client *client, const lipc_request *conversation, const char *path) {
    char file[PATH_SIZE], size[FORMAT_SIZE];
    lipc_request request = *conversation;
    text said = {0};
    if (!name_file(path, file)) return;
    request.save_path = file;
    request.grammar = NULL;
    int error = run(options, client, &request, &said);
    json_t *json = error == LIPC_E_OK ? json_loadb(said.bytes ? said.bytes : "", said.n_bytes, 0, NULL) : NULL;
    json_int_t n_bytes = json_integer_value(json_object_get(json, "bytes"));
    if (error == LIPC_E_OK)
        terminal_say("saved what the model remembers of it to %s" SUFFIX " (%sB)", path, format_amount((uint64_t)n_bytes, size));
    else
        terminal_say("what the model remembers of it is not saved: %s", answer_failure(error));
    json_decref(json);
    text_free(&said);
}

void saved_state_read(const cli_options *options, lipc_client *client, const char *path) {
    char file[PATH_SIZE];
    lipc_request request;
    text said = {0};
    if (!name_file(path, file) || !system_is_there(file)) return;
    lipc_request_init(&request);
    request.restore_path = file;
    int error = run(options, client, &request, &said);
    if (error < 0) terminal_say("the model reads the conversation anew: %s", answer_failure(error));
    text_free(&said);
}
