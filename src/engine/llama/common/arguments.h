/* arguments.h - llama.cpp's own options for models, contexts and devices, with its names, environment variables and checks:
 * whatever llama-server accepts of these, and what libllama is given because of it.
 *
 * Part of the one room of C++, see chat.h. The table of options is the library's (common/arg.h). Only those that make sense
 * here are taken from it; nothing in it prints, ends the process or downloads anything.
 */
#ifndef LLAMA_COMMON_ARGUMENTS_H
#define LLAMA_COMMON_ARGUMENTS_H

#include <ggml-backend.h>
#include <llama.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct arguments arguments;

/* The defaults. NULL: no memory. */
arguments *arguments_new(void);
/* NULL: nothing. */
void arguments_free(arguments *arguments);

/* Then the environment. False, and a sentence in `message`. */
bool arguments_environment(arguments *arguments, char *message, size_t message_size);

/* Then the command line: the option that `words` begin with, and its values behind it. Returns how many words it took; 0: the
 * library knows no such option; -1: it is refused, with a sentence in `message`. */
int arguments_take(arguments *arguments, int n_words, char *const words[], char *message, size_t message_size);

/* Options about devices are kept until the process that uses these has loaded their backends: then this reads them. False, and a
 * sentence in `message`. NULL: nothing. */
bool arguments_know_devices(arguments *arguments, char *message, size_t message_size);

/* Whether the user says anything about layers on devices. */
bool arguments_want_devices(const arguments *arguments);

void arguments_print_help(FILE *file);

/* ---- what libllama is given; NULL: the defaults -------------------------------------------------------------------- */

/* They point into the arguments, which must outlive the model. */
struct llama_model_params arguments_model(arguments *arguments);
struct llama_context_params arguments_context(arguments *arguments);
enum ggml_numa_strategy arguments_numa(const arguments *arguments);

/* For a pool of n_threads, or for the one that evaluates prompts. False: the same one does. */
bool arguments_threads(const arguments *arguments, int n_threads, bool is_for_prompts, struct ggml_threadpool_params *params);

/* The n-th adapter (LoRA), and how strongly it counts; NULL: there are no more. */
const char *arguments_adapter(const arguments *arguments, size_t n, float *scale);

/* ---- what fits into the memory of the devices ----------------------------------------------------------------------
 * The library makes the model and its context without their memory, and adds up. It changes where its log goes meanwhile:
 * nothing else may use it then. */

/* Puts as many layers on other devices than the processor as these have room for beside the draft model, if there is one, unless
 * the user says how many, or -fit off. */
void arguments_fit_layers(arguments *arguments, const char *model_path, struct llama_model_params *model,
                          struct llama_context_params *context, bool has_draft_model);

typedef enum draft_place { DRAFT_NONE, DRAFT_BY_PROCESSOR, DRAFT_ON_DEVICES } draft_place;

/* Whether there is room for this context of a model that is loaded with these parameters, and for a draft model that is not loaded yet
 * and whose layers may lie there; `available` are the bytes that the processor's memory has left. If not, `message` says what is needed
 * where, and what is there. What cannot be measured counts as fitting. */
bool arguments_have_room(const arguments *arguments, const char *model_path, const struct llama_model_params *model,
                         const struct llama_context_params *context, draft_place draft, uint64_t available, char *message,
                         size_t message_size);

/* What lies on each device, in words; empty: nothing, or it is not known. */
void arguments_describe_devices(const char *model_path, const struct llama_model_params *model,
                                const struct llama_context_params *context, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
