/* answer.h - asking a host and reading its answer, as ask and chat do it: with progress, Ctrl-C, time-outs. */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include "commands.h"
#include "options.h"

/* Called with each piece of the answer, in its order. False: it cannot be written; the answer is cancelled. */
typedef bool (*answer_fn)(void *user_data, lipc_stream *stream, const lipc_part_delta *delta);

/* Reads an answer to its end. Ctrl-C cancels it, and so does the deadline. Returns a lipc_error, as lipc_stream_read_part
 * does; TIMEOUT if the deadline passed, INVALID if `on_part` returned false. lipc_error_message() tells more. */
int answer_read(lipc_client *client, lipc_stream *stream, uint64_t deadline_ns, answer_fn on_part, void *user_data);

/* Why an answer did not come to its end, for people; right after the call that returned `error`. */
const char *answer_failure(int error);

/* The options' request with these messages. The caller fills in texts of other origin. */
void answer_request(const cli_options *options, const lipc_message *messages, int n_messages, lipc_request *request);

/* What is asked with a document instead of the messages; NULL: the messages stay. */
void answer_set_document(lipc_request *request, const char *document);

/* "41 tokens, 88.2 tokens/s, prompt of 12 tokens read in 9 ms". */
#define ANSWER_NUMBERS_SIZE 160
const char *answer_numbers(const lipc_progress *progress, char text[ANSWER_NUMBERS_SIZE]);

#endif
