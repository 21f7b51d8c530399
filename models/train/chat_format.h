/* chat_format.h - writes conversations down as corpus/chat_template.jinja does, for the trainer and for tutor_check.
 *
 * An answer stands between CHAT_ANSWER and CHAT_END. If the model is to think, CHAT_THINK stands at its beginning. */
#ifndef TUTOR_CHAT_FORMAT_H
#define TUTOR_CHAT_FORMAT_H

#include <stddef.h>

#define CHAT_ANSWER "<|im_start|>assistant\n"
#define CHAT_END "<|im_end|>"
#define CHAT_THINK "<think>\n"
#define CHAT_THOUGHT_END "\n</think>\n\n"
/* Around a call's only argument; the first one is a format with the names of the tool and of its parameter. */
#define CHAT_CALL "<tool_call>\n{\"name\": \"%s\", \"arguments\": {\"%s\": \""
#define CHAT_CALL_END "\"}}\n</tool_call>"

/* Each function appends a message to the text of at most size_bytes, cutting what does not fit. */

/* The system's message. system may be NULL. A tool is written as "name(parameter): description". Writes nothing if there
 * is neither a system prompt nor a tool. */
void chat_add_system(char *text, size_t size_bytes, const char *system, const char *const *tools, int n_tools);

void chat_add_question(char *text, size_t size_bytes, const char *question);

/* What n tools said. */
void chat_add_results(char *text, size_t size_bytes, const char *const *results, int n_results);

/* An earlier answer, with the beginning that asks for it. */
void chat_add_answer(char *text, size_t size_bytes, const char *answer);

/* Appends to a text in the manner of printf(), cutting what does not fit. */
void chat_add(char *text, size_t size_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
