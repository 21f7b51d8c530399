/* drafter.h - tokens that are likely to come next, for the model to verify in one evaluation: by a smaller model, or by what stood
 * in the text before. llama.cpp's own ways (common/speculative.h), by its own options (--spec-type, --spec-draft-model, ...).
 *
 * Part of the one room of C++, see chat.h. A draft decides nothing: what the model then chooses is what it would have chosen.
 * A draft model has a memory of its own, which must hold the same cells as the model's: what is evaluated there is handed on
 * (drafter_follow), and what is done to that memory is done to the other one (drafter_context).
 */
#ifndef LLAMA_COMMON_DRAFTER_H
#define LLAMA_COMMON_DRAFTER_H

#include "arguments.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct drafter drafter;

/* Whether the options ask for one, and how many tokens it drafts at most; 0: they do not. */
int32_t drafter_most(const arguments *arguments);
/* The file of the draft model; NULL: none is needed. */
const char *drafter_model(const arguments *arguments);

/* For the sequences of a context that was made with these parameters. on_devices: the draft model's layers may lie on some. NULL, and a
 * sentence in `message`; nothing there: loading was interrupted. */
drafter *drafter_new(arguments *arguments, struct llama_context *context, const struct llama_context_params *context_params, bool on_devices,
                     bool (*on_progress)(float progress, void *user_data), void *user_data, char *message, size_t message_size);
/* NULL: nothing. */
void drafter_free(drafter *drafter);

/* Of the draft model; NULL: there is none. */
struct llama_context *drafter_context(const drafter *drafter);
/* How many of its layers lie on devices, where there are any. */
int32_t drafter_device_layers(const drafter *drafter);

/* An answer begins behind these tokens. */
void drafter_begin(drafter *drafter, int sequence, const llama_token *tokens, int32_t n_tokens);
/* This was evaluated. False, once: the draft model has failed. From then on nothing is drafted, and that is all that changes. */
bool drafter_follow(drafter *drafter, const struct llama_batch *batch);

/* Asks for up to n_most tokens behind these and `last`, which is not evaluated yet; drafter_work makes what was asked for. */
void drafter_ask(drafter *drafter, int sequence, const llama_token *tokens, int32_t n_tokens, llama_token last, int32_t n_most);
void drafter_work(drafter *drafter);
/* What came of it, until it is asked again; takes it. */
int32_t drafter_take(drafter *drafter, int sequence, const llama_token **drafted);
/* Of these the first n_right were right. */
void drafter_learn(drafter *drafter, int sequence, int32_t n_right);

#ifdef __cplusplus
}
#endif

#endif
