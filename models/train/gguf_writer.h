/* gguf_writer.h - writes the trained model as a GGUF file of version 3 (format: ggml/docs/gguf.md of llama.cpp). */
#ifndef TUTOR_GGUF_WRITER_H
#define TUTOR_GGUF_WRITER_H

#include "network.h"
#include "tokenizer.h"

#include <stddef.h>

/* Writes the network and its tokenizer to path: matrices as 16-bit floats, norms as 32-bit floats, the output tied to
 * the embedding. Returns 0, or -1 with a message in error; there is no complete file then. */
int gguf_write(const char *path, const struct network *network, const struct tokenizer *tokenizer, const char *chat_template,
               int n_context, char *error, size_t error_size);

/* Reads the weights of a file that gguf_write has written of a network of this shape, with this tokenizer: that is not checked.
 * Returns 0, or -1 with a message in error. */
int gguf_read_weights(const char *path, struct network *network, char *error, size_t error_size);

#endif
