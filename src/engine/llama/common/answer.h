/* answer.h - reads what a chat model says: its text becomes the answer, thoughts and calls of tools, by llama.cpp's own
 * parsers. Half a mark is never shown: it is held back until it is known to be one or none.
 *
 * Also what binds an answer: the grammar of its schema and its tools, and the budget of its thoughts. All is a function of the
 * prompt and the answer's tokens, so that an answer that is taken up after a crash has the same parts.
 *
 * Part of the one room of C++ (see chat.h). Of one answer: one thread at a time.
 */
#ifndef LLAMA_COMMON_ANSWER_H
#define LLAMA_COMMON_ANSWER_H

#include "chat.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct answer_reader answer_reader;

/* NULL: no memory, or *message says why the prompt's parser cannot be used. The prompt must outlive the reader. */
answer_reader *answer_reader_new(const chat_prompt *prompt, char *message, size_t message_size);

/* Whether a control token is part of the answer's text: a mark that the parser or the grammar needs. */
bool answer_reader_preserves(const answer_reader *reader, llama_token token);
/* All of them. */
const llama_token *answer_reader_preserved(const answer_reader *reader, size_t *n_tokens);

/* What is new, in the form of engine_progress. */
typedef struct answer_output answer_output;
answer_output *answer_output_new(void); /* NULL: no memory */
void answer_output_clear(answer_output *output);
const char *answer_output_text(const answer_output *output, size_t *n_bytes);
const engine_delta *answer_output_deltas(const answer_output *output, size_t *n_deltas);
void answer_output_free(answer_output *output); /* NULL allowed */

typedef enum answer_state {
    ANSWER_GOES_ON,  /* more tokens may come */
    ANSWER_COMPLETE, /* the model ended it */
    ANSWER_CUT       /* no more will come: a limit, or it was cancelled */
} answer_state;

/* One token's text (whole characters; may be none), and what is new by it, behind what `output` has already. False: no
 * memory. */
bool answer_reader_take(answer_reader *reader, const char *bytes, size_t n_bytes, answer_state state, answer_output *output);

/* Whether the text came to a place where this form of conversation ends an answer ("\nUser:"). */
bool answer_reader_has_stopped(const answer_reader *reader);

/* The grammar (see ../../grammar.h) that the answer follows; NULL: none. Static while the prompt lives. With *is_lazy it
 * begins where answer_reader_trigger() says; otherwise *prefix is the text, "" or more, that the prompt has of it already. */
const char *answer_reader_grammar(const answer_reader *reader, bool *is_lazy, const char **prefix);

/* True once, when a lazy grammar begins: with these bytes, the end of the text so far; valid until the next call. */
bool answer_reader_trigger(answer_reader *reader, const char **bytes, size_t *n_bytes);

/* Whether the next token must be this one: the thoughts' budget is spent. */
bool answer_reader_forces(const answer_reader *reader, llama_token *token);

void answer_reader_free(answer_reader *reader); /* NULL allowed */

#ifdef __cplusplus
}
#endif

#endif
