/* writer.c - see random_model.h. */
#include "random_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One step of a 64-bit counter through a mixing function (the constants are those of splitmix64). */
static uint64_t random_bits(uint64_t *state) {
    uint64_t x = (*state += 0x9E3779B97F4A7C15u);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* Nearly normal, mean 0, deviation 1: the sum of four uniform values. Every weight is one of thousands in a sum, so the
 * missing tails do not matter. */
static float random_normal(uint64_t *state) {
    const uint64_t bits = random_bits(state);
    const int64_t sum = (int64_t)(bits & 0xFFFF) + (int64_t)((bits >> 16) & 0xFFFF) +
                        (int64_t)((bits >> 32) & 0xFFFF) + (int64_t)(bits >> 48);
    return (float)(sum - 2 * 65535) * (1.0f / 37837.0f); /* 65536 * sqrt(4 / 12) */
}

writer writer_new(uint64_t seed, size_t n_tensors) {
    struct ggml_init_params params = {.mem_size = n_tensors * ggml_tensor_overhead(), .no_alloc = true};
    writer writer = {.file = gguf_init_empty(), .tensors = ggml_init(params), .random = seed};
    if (!writer.file || !writer.tensors) die("not enough memory", NULL);
    return writer;
}

static void add_tensor(writer *writer, struct ggml_tensor *tensor, const char *name, void *data) {
    ggml_set_name(tensor, name);
    tensor->data = data;
    writer->n_params += ggml_nelements(tensor);
    gguf_add_tensor(writer->file, tensor);
}

void writer_add_matrix(writer *writer, const char *name, enum ggml_type type, int64_t n_in, int64_t n_rows, int64_t n_each,
                       float deviation, const bool *has_values) {
    struct ggml_tensor *tensor = n_each < n_rows ? ggml_new_tensor_3d(writer->tensors, type, n_in, n_each, n_rows / n_each)
                                                 : ggml_new_tensor_2d(writer->tensors, type, n_in, n_rows);
    char *data = allocate(ggml_nbytes(tensor));
    float *row = allocate((size_t)n_in * sizeof *row);
    size_t row_size = ggml_row_size(type, n_in);
    for (int64_t i = 0; i < n_rows; i++) {
        bool is_zero = has_values && !has_values[i];
        for (int64_t j = 0; j < n_in; j++) row[j] = is_zero ? 0.0f : deviation * random_normal(&writer->random);
        ggml_quantize_chunk(type, row, data + (size_t)i * row_size, 0, 1, n_in, NULL);
    }
    free(row);
    add_tensor(writer, tensor, name, data);
}

void writer_add_constant(writer *writer, const char *name, int64_t n_in, int64_t n_rows, float value) {
    struct ggml_tensor *tensor = n_rows ? ggml_new_tensor_2d(writer->tensors, GGML_TYPE_F32, n_in, n_rows)
                                        : ggml_new_tensor_1d(writer->tensors, GGML_TYPE_F32, n_in);
    float *data = allocate(ggml_nbytes(tensor));
    for (int64_t i = 0; i < ggml_nelements(tensor); i++) data[i] = value;
    add_tensor(writer, tensor, name, data);
}

/* Beside the path, and renamed then, so that nobody ever opens half a model. */
static void write_file(const struct gguf_context *file, const char *path) {
    char beside[4096];
    if (snprintf(beside, sizeof beside, "%s.%ld.part", path, (long)getpid()) >= (int)sizeof beside)
        die("the path is too long", path);
    if (!gguf_write_to_file(file, beside, false)) die("cannot write", beside);
    if (rename(beside, path) != 0) {
        const char *reason = strerror(errno);
        remove(beside);
        die(path, reason);
    }
}

void writer_finish(writer *writer, const char *path) {
    write_file(writer->file, path);
    for (struct ggml_tensor *t = ggml_get_first_tensor(writer->tensors); t; t = ggml_get_next_tensor(writer->tensors, t))
        free(t->data);
    ggml_free(writer->tensors);
    gguf_free(writer->file);
    ggml_quantize_free();
}
