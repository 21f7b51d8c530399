/* random_model.h - what the files of random_model share; main.c says what the program is for.
 *
 *     main.c           the command line
 *     architectures.c  which keys and tensors each architecture has
 *     vocabulary.c     tokens: made up, or those of a file
 *     adapter.c        an adapter (LoRA) for a model that there is
 *     writer.c         tensors full of random numbers, and the file
 */
#ifndef BENCH_RANDOM_MODEL_H
#define BENCH_RANDOM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "ggml.h"
#include "gguf.h"

typedef struct model_options {
    const char *arch;
    int64_t n_layers;
    int64_t width;      /* values per state */
    int64_t n_ff;
    int64_t n_heads;
    int64_t n_kv_heads; /* 0: as many as heads */
    int64_t n_vocab;    /* of a made-up vocabulary */
    int64_t n_ctx;
    int64_t n_spoken;   /* tokens that can be said; 0: all */
    int64_t n_experts;
    int64_t window;     /* tokens that a layer with a sliding window sees */
    enum ggml_type type;
    bool is_broken;     /* all logits are not a number */
    uint64_t seed;
    const char *vocabulary_path; /* NULL: a vocabulary is made up */
    const char *template_path;   /* NULL: that of the vocabulary's file, or a chatml template with a made-up one */
    const char *adapted_path;    /* an adapter for this model is written, and no model; NULL: a model */
    const char *path;
} model_options;

/* Prints "random_model: what: detail" and exits with 1. detail: NULL allowed. */
_Noreturn void die(const char *what, const char *detail);

void *allocate(size_t n_bytes);

/* ---- vocabulary.c ---- */

/* Puts tokenizer and chat template into the file. Returns a byte for each of *n_vocab tokens, that the caller frees: whether
 * it is text, so that an answer may have it. */
bool *vocabulary_add(struct gguf_context *file, const model_options *options, int64_t *n_vocab);

/* ---- adapter.c ---- */

void adapter_make(const model_options *options);

/* ---- writer.c ---- */

typedef struct writer {
    struct gguf_context *file;
    struct ggml_context *tensors;
    uint64_t random;
    int64_t n_params;
} writer;

writer writer_new(uint64_t seed, size_t n_tensors);

/* Random values of this deviation, n_in for each of n_rows rows; rows where `has_values` is false are zero (NULL: none). `n_each`:
 * rows of a matrix where there are several behind each other, as of experts. */
void writer_add_matrix(writer *writer, const char *name, enum ggml_type type, int64_t n_in, int64_t n_rows, int64_t n_each,
                       float deviation, const bool *has_values);

/* The same value everywhere, in 32 bits. n_rows 0: a vector. */
void writer_add_constant(writer *writer, const char *name, int64_t n_in, int64_t n_rows, float value);

/* Writes the file and frees everything. */
void writer_finish(writer *writer, const char *path);

/* ---- architectures.c ---- */

/* NULL if there is none of that name; else the options that a small model of it has. */
const model_options *architecture_options(const char *name);
/* Number `index`; NULL behind the last. */
const char *architecture_name(int index);

/* What is wrong with the options; NULL: nothing. */
const char *architecture_refusal(const model_options *options);

/* All keys but the tokenizer's, and all tensors. is_text: of each token of the vocabulary. */
void architecture_add(writer *writer, const model_options *options, int64_t n_vocab, const bool *is_text);

/* How many tensors a model has at most. */
size_t architecture_tensors_most(const model_options *options);

#endif
