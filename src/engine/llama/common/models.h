/* models.h - models by name (src/text/model_name.h): fetched from a model hub or another server into llama.cpp's cache, where
 * llama-server finds them, too, and whatever that has fetched is found here (docs/decisions/0019).
 *
 * The environment is llama.cpp's: LLAMA_CACHE, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME say where the cache is, HF_ENDPOINT or
 * MODEL_ENDPOINT where the hub is, HF_TOKEN who asks. The token goes to the hub alone, and only over TLS, or to this machine.
 *
 * Plain C; nothing that is thrown leaves the room. One thread at a time.
 */
#ifndef LLAMA_COMMON_MODELS_H
#define LLAMA_COMMON_MODELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODELS_OK 0
#define MODELS_E_NAME (-1)      /* malformed */
#define MODELS_E_MISSING (-2)   /* the server has no such model, or, without a server, the cache */
#define MODELS_E_FAILED (-3)    /* the message says why */
#define MODELS_E_CANCELLED (-4) /* what has come is kept for the next try */

typedef struct models_progress {
    uint64_t n_done, n_total; /* bytes of all files of the model; n_total 0: not known yet */
    uint64_t per_second;
} models_progress;

typedef struct models_options {
    bool is_offline; /* the cache alone */
    /* Called several times a second, and always while waiting; false: no longer wanted. May be NULL, as the next. */
    bool (*go_on)(void *user_data, const models_progress *progress);
    /* What else happens: one line each. */
    void (*say)(void *user_data, const char *line);
    void *user_data;
} models_options;

/* Returns with the path of the model's file, or the first of its files, in `path`: fetched, or from the cache, also if the
 * server cannot be reached. Otherwise a MODELS_E_*, with a sentence in `message`. */
int models_fetch(const char *name, const models_options *options, char *path, size_t path_size, char *message, size_t message_size);

/* Writes a line for each model in the cache: its name, its size, its file. Returns how many there are. */
int models_list(FILE *file);

/* Removes a model from the cache; without a quantization, all of that name. Errors: NAME, MISSING, FAILED. */
int models_remove(const char *name, char *message, size_t message_size);

#ifdef __cplusplus
}
#endif

#endif
