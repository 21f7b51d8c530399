/* document.h - what a chat model is asked with besides plain messages: --messages, --tools, --json-schema, --think. */
#ifndef CLI_DOCUMENT_H
#define CLI_DOCUMENT_H

#include "commands.h"
#include "options.h"

typedef struct json_t cli_document; /* jansson's */

/* Reads the files that the options name. *document is NULL if they want nothing but plain messages. The caller frees it. On
 * failure it is told, and *document NULL. */
cli_exit cli_document_read(const cli_options *options, cli_document **document);

/* Whether it has messages: then no question is needed. NULL allowed. */
bool cli_document_has_messages(const cli_document *document);

/* The document as a request wants it, with these messages behind its own; a first one of the role "system" goes in front.
 * NULL without a document. Otherwise the caller frees it; *has_failed: not enough memory. */
char *cli_document_write(const cli_document *document, const lipc_message *messages, size_t n_messages, bool *has_failed);

void cli_document_free(cli_document *document);

#endif
