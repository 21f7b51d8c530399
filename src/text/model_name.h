/* model_name.h - a model's name in place of a path: "hf://user/model" or "hf://user/model:quant" of a model hub, or an address
 * that begins with "https://" or "http://". Pure functions, any thread. */
#ifndef TEXT_MODEL_NAME_H
#define TEXT_MODEL_NAME_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_NAME_HUB "hf://"
#define MODEL_NAME_REPOSITORY_MAX 256
#define MODEL_NAME_QUANT_MAX 64
#define MODEL_NAME_FILE_MAX 200
#define MODEL_NAME_ADDRESS_MAX 2048

/* What a well-formed name says. */
typedef struct model_name {
    bool is_address;                                /* the whole name is one; otherwise what follows is of the hub */
    char repository[MODEL_NAME_REPOSITORY_MAX + 1]; /* "user/model" */
    char quant[MODEL_NAME_QUANT_MAX + 1];           /* "" if none is given */
    char file[MODEL_NAME_FILE_MAX + 1];             /* of an address: what the file is called */
} model_name;

/* Whether the text is a name, or meant to be one, and no path. */
bool model_name_is_one(const char *text);

/* Reads a name. False if it is malformed, which includes all that could lead out of a folder; *wrong is then a sentence. */
bool model_name_read(const char *text, model_name *name, const char **wrong);

/* Bytes of an address that may be shown to anybody: what stands behind a '?' or '#' may be a key. The whole of any other name. */
size_t model_name_shown(const char *text);

/* A path whose end says that it is one of several files of a model: "...-00002-of-00005.gguf". */
typedef struct model_part {
    size_t n_stem;       /* bytes of the path before that */
    int number, n_parts; /* from 1 */
} model_part;

/* Whether the path is one. */
bool model_part_read(const char *path, model_part *part);

/* The path of another part of the same model. */
void model_part_write(const char *path, const model_part *part, int number, char *other, size_t other_size);

#ifdef __cplusplus
}
#endif

#endif
