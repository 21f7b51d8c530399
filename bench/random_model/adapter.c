/* adapter.c - see random_model.h. */
#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define RANK 4
/* What it adds at scale 1 to values of about 1: so much that the model says something else. */
#define STRENGTH 0.5f

static bool is_adapted(const char *name) {
    const char *end = strrchr(name, '_');
    return end && (strcmp(end, "_q.weight") == 0 || strcmp(end, "_v.weight") == 0);
}

static void add_pair(writer *writer, const struct ggml_tensor *weight) {
    char name[GGML_MAX_NAME + sizeof ".lora_a"];
    int64_t n_in = weight->ne[0], n_out = weight->ne[1];
    snprintf(name, sizeof name, "%s.lora_a", weight->name);
    writer_add_matrix(writer, name, GGML_TYPE_F32, n_in, RANK, RANK, 1 / sqrtf((float)n_in), NULL);
    snprintf(name, sizeof name, "%s.lora_b", weight->name);
    writer_add_matrix(writer, name, GGML_TYPE_F32, RANK, n_out, n_out, STRENGTH / sqrtf(RANK), NULL);
}

void adapter_make(const model_options *options) {
    struct ggml_context *weights = NULL;
    struct gguf_context *model = gguf_init_from_file(options->adapted_path, (struct gguf_init_params){true, &weights});
    if (!model) die("no model", options->adapted_path);
    int64_t arch = gguf_find_key(model, "general.architecture");
    writer writer = writer_new(options->seed, 2 * (size_t)gguf_get_n_tensors(model));
    gguf_set_val_str(writer.file, "general.type", "adapter");
    gguf_set_val_str(writer.file, "general.architecture", arch < 0 ? "llama" : gguf_get_val_str(model, arch));
    gguf_set_val_str(writer.file, "adapter.type", "lora");
    gguf_set_val_f32(writer.file, "adapter.lora.alpha", RANK);
    for (struct ggml_tensor *weight = ggml_get_first_tensor(weights); weight; weight = ggml_get_next_tensor(weights, weight))
        if (is_adapted(weight->name)) add_pair(&writer, weight);
    if (gguf_get_n_tensors(writer.file) == 0) die("no attention to adapt", options->adapted_path);
    writer_finish(&writer, options->path);
    ggml_free(weights);
    gguf_free(model);
}
