/* saved_state.h - what the host remembers of a conversation, kept in a file beside the conversation's own, so that going on
 * with it later does not take as long as reading it anew. */
#ifndef CLI_SAVED_STATE_H
#define CLI_SAVED_STATE_H

#include "options.h"

#include "lipc/lipc.h"

/* Lets the host write it to "PATH.state", and says that it did, or why not. `conversation` has the messages or the document. */
void saved_state_write(const cli_options *options, lipc_client *client, const lipc_request *conversation, const char *path);

/* Lets the host read it from there, if there is such a file. Says only why not: then the conversation is read anew. */
void saved_state_read(const cli_options *options, lipc_client *client, const char *path);

#endif
