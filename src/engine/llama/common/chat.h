/* chat.h - what a chat model is asked becomes the tokens of a prompt: by the model's own Jinja template, through llama.cpp's
 * engine for those.
 *
 * Part of the one room of C++: what lies behind these plain C headers is llama.cpp's `common`. Nothing that it throws leaves
 * the room; each error is a sentence in `message` (of `message_size` bytes). All texts are UTF-8.
 *
 * What users, tools and documents write never becomes a control token, whatever marks it contains: see marks.hpp.
 */
#ifndef LLAMA_COMMON_CHAT_H
#define LLAMA_COMMON_CHAT_H

#include "../../engine.h"

#include <llama.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A model's template and vocabulary. Does not change: any number of threads at a time. */
typedef struct chat chat;

typedef struct chat_options {
    /* NULL: the model's own, and if it has none "chatml" where the vocabulary has the marks of that, else "plain". Or the
     * name of a form that the library knows (llama3, mistral-v7, chatml, ..., or plain), or the text of a Jinja template. */
    const char *template_text;
    const char *template_kwargs;  /* NULL, or a JSON object: further variables for the template, unless a document has them */
    const char *reasoning_format; /* NULL or "auto", "deepseek": thoughts are told apart; "none": they stay in the text */
    engine_thinking thinking;     /* unless a document says otherwise */
    int thinking_budget;          /* tokens of thoughts at most, unless a document says otherwise; 0: any number */
} chat_options;

/* NULL: the template cannot be rendered, or an option is not valid. The model stays the caller's, and must outlive it. */
chat *chat_open(const struct llama_model *model, const chat_options *options, char *message, size_t message_size);

/* "the model's own", "chatml", "plain", the name that was given, or "given". */
const char *chat_template_name(const chat *chat);

void chat_close(chat *chat); /* NULL allowed */

/* ---- what is asked ------------------------------------------------------------------------------------------------- */

/* Checked, and never changed: any thread. */
typedef struct chat_document chat_document;

/* Of a request: its document or its messages. NULL: it is not valid, and `message` says which field. */
chat_document *chat_document_new(const engine_request *request, char *message, size_t message_size);

/* The messages of a conversation, from the oldest; none of a raw prompt. */
size_t chat_document_n_messages(const chat_document *document);
/* About as many bytes as a message adds to the prompt. */
size_t chat_document_message_bytes(const chat_document *document, size_t index);
bool chat_document_begins_with_system(const chat_document *document);

void chat_document_free(chat_document *document); /* NULL allowed */

/* ---- what it becomes ----------------------------------------------------------------------------------------------- */

/* A prompt, and how its answer is bound and read (answer.h). Never changed: any thread. */
typedef struct chat_prompt chat_prompt;

/* Renders a document without the n_dropped oldest messages that are not the system's. NULL: *error is DOCUMENT (the template
 * cannot render it, with its line), EVALUATION or NO_MEMORY. */
chat_prompt *chat_render(const chat *chat, const chat_document *document, size_t n_dropped, engine_error *error,
                         char *message, size_t message_size);

const llama_token *chat_prompt_tokens(const chat_prompt *prompt, size_t *n_tokens);

/* How many tokens at the beginning are of the BOS and the document's system message: a shifted context keeps them. */
size_t chat_prompt_n_keep(const chat_prompt *prompt, const chat_document *document);

/* {"text": ..., "tokens": [{"id", "text", "is_control", "is_input"}]}; the caller frees it. NULL: no memory. */
char *chat_prompt_json(const chat_prompt *prompt);

void chat_prompt_free(chat_prompt *prompt); /* NULL allowed */

#ifdef __cplusplus
}
#endif

#endif
