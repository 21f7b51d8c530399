/* conversation.h - what was said in a chat, and its file. */
#ifndef CLI_CONVERSATION_H
#define CLI_CONVERSATION_H

#include "lipc/lipc.h"

#include <stdbool.h>
#include <stddef.h>

/* Zero is empty. The first message may be a system prompt. */
typedef struct conversation {
    lipc_message *messages; /* their texts are its own, the roles static */
    size_t n_messages, room;
} conversation;

/* False: not enough memory; it is as before. */
bool conversation_add(conversation *conversation, const char *role, const char *text);

/* Takes the last message away. */
void conversation_drop(conversation *conversation);

/* Sets the system prompt; NULL or empty: none. */
bool conversation_set_system(conversation *conversation, const char *text);
const char *conversation_system(const conversation *conversation); /* NULL: none */

/* All but the system prompt is forgotten; all of it. */
void conversation_reset(conversation *conversation);
void conversation_free(conversation *conversation);

/* The file is JSON: {"messages": [{"role": "user", "content": "..."}, ...]}; a list alone is read, too. On failure one
 * sentence in `message`, and the conversation is as before. An existing file that is no conversation is not
 * overwritten. */
#define CONVERSATION_MESSAGE_SIZE 512
bool conversation_save(const conversation *conversation, const char *path, const char *model,
                       char message[CONVERSATION_MESSAGE_SIZE]);
bool conversation_load(conversation *conversation, const char *path, char message[CONVERSATION_MESSAGE_SIZE]);

#endif
