/* gguf_writer.c - writes the trained model as a GGUF file, and reads its weights again; see gguf_writer.h. The machine is assumed to be little
 * endian, as the file is. */
#include "gguf_writer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of the format. */
enum { GGUF_VERSION = 3, ALIGNMENT = 32, TENSORS_MAX = 2 + 9 * NETWORK_LAYERS_MAX };
enum value_type {
    VALUE_UINT32 = 4,
    VALUE_INT32 = 5,
    VALUE_FLOAT32 = 6,
    VALUE_BOOL = 7,
    VALUE_STRING = 8,
    VALUE_ARRAY = 9
};
enum tensor_type { TENSOR_F32 = 0, TENSOR_F16 = 1 };
enum { FILE_TYPE_MOSTLY_F16 = 1 };

/* A tensor of the file: a part of the columns of a matrix of the network, or all of a vector. */
struct tensor {
    char name[48];
    enum tensor_type type;
    const float *weights;
    int n_in, n_out;       /* n_out is 1 for a vector */
    int in_step, out_step; /* distance of neighbours in weights, in floats */
    uint64_t offset;
};

static uint64_t tensor_size(const struct tensor *tensor) {
    uint64_t size = (uint64_t)tensor->n_in * (uint64_t)tensor->n_out * (tensor->type == TENSOR_F16 ? 2 : 4);
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* IEEE 754 single to half precision, rounded to nearest even. Weights beyond the range become infinite. */
static uint16_t half_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits >= 0x47800000) return sign | 0x7c00;
    if (bits < 0x38800000) { /* subnormal: let the addition do the rounding */
        float magnitude;
        memcpy(&magnitude, &bits, sizeof magnitude);
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000) >> 13);
}

static float float_of(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff, bits;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    bits = sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void write_u32(FILE *file, uint32_t value) { fwrite(&value, sizeof value, 1, file); }
static void write_u64(FILE *file, uint64_t value) { fwrite(&value, sizeof value, 1, file); }

static void write_text(FILE *file, const char *text) {
    write_u64(file, strlen(text));
    fwrite(text, 1, strlen(text), file);
}

/* Metadata: each function writes one key with its value and counts it. */
struct metadata {
    FILE *file;
    uint64_t n_keys;
};

static void begin_key(struct metadata *meta, const char *key, enum value_type type) {
    write_text(meta->file, key);
    write_u32(meta->file, type);
    ++meta->n_keys;
}

static void put_u32(struct metadata *meta, const char *key, uint32_t value) {
    begin_key(meta, key, VALUE_UINT32);
    write_u32(meta->file, value);
}

static void put_f32(struct metadata *meta, const char *key, float value) {
    begin_key(meta, key, VALUE_FLOAT32);
    fwrite(&value, sizeof value, 1, meta->file);
}

static void put_bool(struct metadata *meta, const char *key, int value) {
    begin_key(meta, key, VALUE_BOOL);
    fputc(value != 0, meta->file);
}

static void put_text(struct metadata *meta, const char *key, const char *value) {
    begin_key(meta, key, VALUE_STRING);
    write_text(meta->file, value);
}

static void begin_array(struct metadata *meta, const char *key, enum value_type type, int n) {
    begin_key(meta, key, VALUE_ARRAY);
    write_u32(meta->file, type);
    write_u64(meta->file, (uint64_t)n);
}

static void put_model(struct metadata *meta, const struct network_shape *shape, int n_context) {
    uint32_t n_heads = (uint32_t)(shape->n_embd / NETWORK_HEAD_SIZE);
    put_text(meta, "general.architecture", "llama");
    put_text(meta, "general.type", "model");
    put_text(meta, "general.name", "Tutor");
    put_text(meta, "general.description", "A very small demonstration model that knows its corpus and little else.");
    put_text(meta, "general.license", "MIT");
    put_u32(meta, "general.file_type", FILE_TYPE_MOSTLY_F16);
    put_u32(meta, "llama.vocab_size", (uint32_t)shape->n_vocab);
    put_u32(meta, "llama.context_length", (uint32_t)n_context);
    put_u32(meta, "llama.embedding_length", (uint32_t)shape->n_embd);
    put_u32(meta, "llama.block_count", (uint32_t)shape->n_layers);
    put_u32(meta, "llama.feed_forward_length", (uint32_t)shape->n_ff);
    put_u32(meta, "llama.attention.head_count", n_heads);
    put_u32(meta, "llama.attention.head_count_kv", n_heads);
    put_f32(meta, "llama.attention.layer_norm_rms_epsilon", NETWORK_NORM_EPSILON);
    put_u32(meta, "llama.rope.dimension_count", NETWORK_HEAD_SIZE);
    put_f32(meta, "llama.rope.freq_base", NETWORK_ROPE_BASE);
}

static void put_tokenizer(struct metadata *meta, const struct tokenizer *tokenizer, const char *chat_template) {
    int n = tokenizer->n_tokens;
    put_text(meta, "tokenizer.ggml.model", "llama");
    put_text(meta, "tokenizer.ggml.pre", "default");
    begin_array(meta, "tokenizer.ggml.tokens", VALUE_STRING, n);
    for (int i = 0; i < n; ++i) write_text(meta->file, tokenizer->texts[i]);
    begin_array(meta, "tokenizer.ggml.scores", VALUE_FLOAT32, n);
    for (int i = 0; i < n; ++i) {
        float score = tokenizer_score(i);
        fwrite(&score, sizeof score, 1, meta->file);
    }
    begin_array(meta, "tokenizer.ggml.token_type", VALUE_INT32, n);
    for (int i = 0; i < n; ++i) write_u32(meta->file, tokenizer_type(i));
    put_u32(meta, "tokenizer.ggml.unknown_token_id", TOKEN_UNKNOWN);
    put_u32(meta, "tokenizer.ggml.bos_token_id", TOKEN_BEGIN);
    put_u32(meta, "tokenizer.ggml.eos_token_id", TOKEN_IM_END);
    put_u32(meta, "tokenizer.ggml.eot_token_id", TOKEN_IM_END);
    put_bool(meta, "tokenizer.ggml.add_bos_token", 0);
    put_bool(meta, "tokenizer.ggml.add_eos_token", 0);
    put_bool(meta, "tokenizer.ggml.add_space_prefix", 0);
    put_text(meta, "tokenizer.chat_template", chat_template);
    put_bool(meta, "lipc.enable_thinking", 0); /* it thinks only where it is asked to; docs/templates.md */
}

static void add_vector(struct tensor *tensors, int *n, const char *name, const float *weights, int size) {
    struct tensor *tensor = &tensors[(*n)++];
    *tensor = (struct tensor){.type = TENSOR_F32, .weights = weights, .n_in = size, .n_out = 1, .in_step = 1};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
}

/* The matrix of n_out columns that begins at weights, within rows of row_size floats. */
static void add_matrix(struct tensor *tensors, int *n, int layer, const char *name, const float *weights, int n_in,
                       int n_out, int row_size) {
    struct tensor *tensor = &tensors[(*n)++];
    *tensor = (struct tensor){
        .type = TENSOR_F16, .weights = weights, .n_in = n_in, .n_out = n_out, .in_step = row_size, .out_step = 1};
    snprintf(tensor->name, sizeof tensor->name, "blk.%d.%s.weight", layer, name);
}

static int list_tensors(struct tensor *tensors, const struct network *network) {
    const struct network_map *map = &network->map;
    const float *w = network->weights;
    int embd = network->shape.n_embd, ff = network->shape.n_ff, n = 0;
    char name[48];
    tensors[n++] = (struct tensor){.name = "token_embd.weight",
                                   .type = TENSOR_F16,
                                   .weights = w + map->embedding,
                                   .n_in = embd,
                                   .n_out = network->shape.n_vocab,
                                   .in_step = 1,
                                   .out_step = embd};
    for (int i = 0; i < network->shape.n_layers; ++i) {
        const struct network_layer_map *layer = &map->layers[i];
        snprintf(name, sizeof name, "blk.%d.attn_norm.weight", i);
        add_vector(tensors, &n, name, w + layer->attn_norm, embd);
        add_matrix(tensors, &n, i, "attn_q", w + layer->qkv, embd, embd, 3 * embd);
        add_matrix(tensors, &n, i, "attn_k", w + layer->qkv + embd, embd, embd, 3 * embd);
        add_matrix(tensors, &n, i, "attn_v", w + layer->qkv + 2 * embd, embd, embd, 3 * embd);
        add_matrix(tensors, &n, i, "attn_output", w + layer->attn_out, embd, embd, embd);
        snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", i);
        add_vector(tensors, &n, name, w + layer->ffn_norm, embd);
        add_matrix(tensors, &n, i, "ffn_gate", w + layer->gate_up, embd, ff, 2 * ff);
        add_matrix(tensors, &n, i, "ffn_up", w + layer->gate_up + ff, embd, ff, 2 * ff);
        add_matrix(tensors, &n, i, "ffn_down", w + layer->down, ff, embd, embd);
    }
    add_vector(tensors, &n, "output_norm.weight", w + map->output_norm, embd);
    uint64_t offset = 0;
    for (int i = 0; i < n; ++i) {
        tensors[i].offset = offset;
        offset += tensor_size(&tensors[i]);
    }
    return n;
}

static void write_tensor_info(FILE *file, const struct tensor *tensor) {
    write_text(file, tensor->name);
    write_u32(file, tensor->n_out > 1 ? 2 : 1);
    write_u64(file, (uint64_t)tensor->n_in);
    if (tensor->n_out > 1) write_u64(file, (uint64_t)tensor->n_out);
    write_u32(file, tensor->type);
    write_u64(file, tensor->offset);
}

static void write_padding(FILE *file) {
    for (long at = ftell(file); at % ALIGNMENT; ++at) fputc(0, file);
}

static void write_tensor_data(FILE *file, const struct tensor *tensor) {
    for (int o = 0; o < tensor->n_out; ++o) {
        for (int i = 0; i < tensor->n_in; ++i) {
            float value = tensor->weights[(long)o * tensor->out_step + (long)i * tensor->in_step];
            uint16_t half = half_of(value);
            if (tensor->type == TENSOR_F16)
                fwrite(&half, sizeof half, 1, file);
            else
                fwrite(&value, sizeof value, 1, file);
        }
    }
    write_padding(file);
}

int gguf_write(const char *path, const struct network *network, const struct tokenizer *tokenizer, const char *chat_template,
               int n_context, char *error, size_t error_size) {
    static struct tensor tensors[TENSORS_MAX];
    int n_tensors = list_tensors(tensors, network);
    FILE *file = fopen(path, "wb");
    if (!file) {
        snprintf(error, error_size, "%s: cannot be created", path);
        return -1;
    }
    fwrite("GGUF", 1, 4, file);
    write_u32(file, GGUF_VERSION);
    write_u64(file, (uint64_t)n_tensors);
    long keys_at = ftell(file);
    write_u64(file, 0); /* number of keys, filled in below */
    struct metadata meta = {.file = file};
    put_model(&meta, &network->shape, n_context);
    put_tokenizer(&meta, tokenizer, chat_template);
    for (int i = 0; i < n_tensors; ++i) write_tensor_info(file, &tensors[i]);
    write_padding(file);
    for (int i = 0; i < n_tensors; ++i) write_tensor_data(file, &tensors[i]);
    fseek(file, keys_at, SEEK_SET);
    write_u64(file, meta.n_keys);
    int failed = ferror(file);
    failed |= fclose(file);
    if (!failed) return 0;
    snprintf(error, error_size, "%s: cannot be written completely", path);
    remove(path);
    return -1;
}

/* The inverse of write_tensor_data. */
static void read_tensor_data(FILE *file, const struct tensor *tensor, float *weights) {
    for (int o = 0; o < tensor->n_out; ++o) {
        for (int i = 0; i < tensor->n_in; ++i) {
            float *to = weights + (long)o * tensor->out_step + (long)i * tensor->in_step;
            uint16_t half = 0;
            if (tensor->type == TENSOR_F32)
                (void)!fread(to, sizeof *to, 1, file);
            else if (fread(&half, sizeof half, 1, file) == 1)
                *to = float_of(half);
        }
    }
}

int gguf_read_weights(const char *path, struct network *network, char *error, size_t error_size) {
    static struct tensor tensors[TENSORS_MAX];
    int n_tensors = list_tensors(tensors, network);
    uint64_t size_bytes = tensors[n_tensors - 1].offset + tensor_size(&tensors[n_tensors - 1]);
    FILE *file = fopen(path, "rb");
    int failed = !file || fseek(file, 0, SEEK_END) != 0 || ftell(file) < (long)size_bytes;
    long begin = failed ? 0 : ftell(file) - (long)size_bytes; /* the tensors are the end of the file */
    for (int i = 0; i < n_tensors && !failed; ++i) {
        failed = fseek(file, begin + (long)tensors[i].offset, SEEK_SET) != 0;
        if (!failed) read_tensor_data(file, &tensors[i], network->weights + (tensors[i].weights - network->weights));
        failed |= ferror(file);
    }
    if (file) fclose(file);
    if (!failed) return 0;
    snprintf(error, error_size, "%s: cannot be read, or is not of this shape", path);
    return -1;
}
