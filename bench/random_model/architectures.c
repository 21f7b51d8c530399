/* architectures.c - see random_model.h. Each architecture is a list of tensors, by the library's names for them, and a few
 * keys of its own. */
#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* n normal values of deviation s have about e^(d * sqrt(2 ln n) / s) of them within d of their maximum. min-p 0.05 is
 * d = ln 20 = 3, so a spread of 8 leaves about 5 candidates at a vocabulary of 32,000 and 4 at 2,000. */
#define LOGIT_SPREAD 8.0f
/* What a layer adds if the text is to repeat itself, against what it adds otherwise. */
#define LITTLE 0.01f

/* Mamba: values of the convolution, groups, and a state for each of them. */
enum { CONVOLUTION = 4, N_GROUPS = 1, STATE = 16, SHORT_CONVOLUTION = 3 };
enum { N_EXPERTS_USED = 2, SLIDING_EACH = 6 }; /* gemma3: the last of so many layers sees everything */

/* Numbers of rows and columns, by what they count. */
typedef enum count { NONE, WIDTH, FF, QUERIES, KEYS, HEAD, VOCAB, CTX, TYPES, EXPERTS, WIDTHS_3, TAPS,
                     INNER, RANK, CONV, TAPS_4, PROJECTION, ONE, N_COUNTS } count;

typedef enum kind {
    MATRIX,   /* what is in it keeps the size of a state */
    RESIDUAL, /* ... and is added to it: the sum of all layers stays comparable with the token's own embedding */
    EMBEDDING,
    FLOATS,   /* a matrix in 32 bits */
    OUTPUT,
    ONES,
    ZEROS,
    MINUS_ONES
} kind;

typedef enum where { EVERYWHERE, IN_ATTENTION, IN_CONVOLUTION } where;

typedef struct tensor {
    const char *name; /* without "blk.N." in a layer */
    kind kind;
    count n_in, n_out;
    count n_matrices; /* of those behind each other */
    where where;
} tensor;

#define N_TENSORS_MOST 20

typedef struct architecture {
    tensor first[8], layer[N_TENSORS_MOST], last[4];
    void (*add_keys)(struct gguf_context *file, const model_options *options);
    model_options options;
} architecture;

static int64_t kv_heads(const model_options *options) {
    return options->n_kv_heads ? options->n_kv_heads : options->n_heads;
}

static void set_number(struct gguf_context *file, const model_options *options, const char *key, int64_t value) {
    char name[96];
    snprintf(name, sizeof name, "%s.%s", options->arch, key);
    gguf_set_val_u32(file, name, (uint32_t)value);
}

static void set_float(struct gguf_context *file, const model_options *options, const char *key, float value) {
    char name[96];
    snprintf(name, sizeof name, "%s.%s", options->arch, key);
    gguf_set_val_f32(file, name, value);
}

/* ---- keys of their own --------------------------------------------------------------------------------------------- */

static void add_experts(struct gguf_context *file, const model_options *options) {
    set_number(file, options, "expert_count", options->n_experts);
    set_number(file, options, "expert_used_count", N_EXPERTS_USED);
    set_number(file, options, "expert_feed_forward_length", options->n_ff);
}

static void add_window(struct gguf_context *file, const model_options *options) {
    set_number(file, options, "attention.sliding_window", options->window);
}

static bool is_convolution(int64_t layer) {
    return layer % 2 == 0;
}

static void add_short_convolution(struct gguf_context *file, const model_options *options) {
    int32_t heads[1024];
    for (int64_t layer = 0; layer < options->n_layers; layer++)
        heads[layer] = is_convolution(layer) ? 0 : (int32_t)kv_heads(options);
    gguf_set_arr_data(file, "lfm2.attention.head_count_kv", GGUF_TYPE_INT32, heads, (size_t)options->n_layers);
    set_number(file, options, "shortconv.l_cache", SHORT_CONVOLUTION);
}

static void add_states(struct gguf_context *file, const model_options *options) {
    set_number(file, options, "ssm.conv_kernel", CONVOLUTION);
    set_number(file, options, "ssm.inner_size", 2 * options->width);
    set_number(file, options, "ssm.state_size", STATE);
    set_number(file, options, "ssm.time_step_rank", options->n_heads);
    set_number(file, options, "ssm.group_count", N_GROUPS);
}

static void add_encoder(struct gguf_context *file, const model_options *options) {
    enum { MEAN = 1 };
    set_float(file, options, "attention.layer_norm_epsilon", 1e-12f);
    set_number(file, options, "pooling_type", MEAN);
    gguf_set_val_bool(file, "bert.attention.causal", false);
    gguf_set_val_u32(file, "tokenizer.ggml.token_type_count", 2);
}

/* ---- tensors ------------------------------------------------------------------------------------------------------- */

#define EMBED {{"token_embd.weight", EMBEDDING, WIDTH, VOCAB, NONE, EVERYWHERE}}
#define SAY {{"output_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE}, {"output.weight", OUTPUT, WIDTH, VOCAB, NONE, EVERYWHERE}}
#define ATTEND                                               \
    {"attn_q.weight", MATRIX, WIDTH, QUERIES, NONE, IN_ATTENTION}, {"attn_k.weight", MATRIX, WIDTH, KEYS, NONE, IN_ATTENTION}, \
    {"attn_v.weight", MATRIX, WIDTH, KEYS, NONE, IN_ATTENTION},    \
    {"attn_output.weight", RESIDUAL, QUERIES, WIDTH, NONE, IN_ATTENTION}
#define NORM_HEADS {"attn_q_norm.weight", ONES, HEAD, NONE, NONE, IN_ATTENTION}, {"attn_k_norm.weight", ONES, HEAD, NONE, NONE, IN_ATTENTION}
#define NORMS {"attn_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE}, {"ffn_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE}
#define FEED_FORWARD                                                                     \
    {"ffn_gate.weight", MATRIX, WIDTH, FF, NONE, EVERYWHERE}, {"ffn_up.weight", MATRIX, WIDTH, FF, NONE, EVERYWHERE}, \
    {"ffn_down.weight", RESIDUAL, FF, WIDTH, NONE, EVERYWHERE}
#define BIASES {"attn_q.bias", ZEROS, QUERIES, NONE, NONE, EVERYWHERE}, {"attn_k.bias", ZEROS, KEYS, NONE, NONE, EVERYWHERE}, \
    {"attn_v.bias", ZEROS, KEYS, NONE, NONE, EVERYWHERE}

#define SMALL(layers, ctx) .n_layers = layers, .n_ctx = ctx, .width = 64, .n_ff = 128, .n_heads = 4, .n_kv_heads = 2, .n_vocab = 2000, \
    .type = GGML_TYPE_Q8_0, .seed = 1

static const architecture architectures[] = {
    {EMBED, {NORMS, ATTEND, FEED_FORWARD}, SAY, NULL, {.arch = "llama", SMALL(4, 4096)}},
    {EMBED, {NORMS, ATTEND, BIASES, FEED_FORWARD}, SAY, NULL, {.arch = "qwen2", SMALL(4, 4096)}},
    {EMBED, {NORMS, ATTEND, NORM_HEADS, FEED_FORWARD}, SAY, NULL, {.arch = "qwen3", SMALL(4, 4096)}},
    {EMBED,
     {NORMS, ATTEND, NORM_HEADS,
      {"ffn_gate_inp.weight", FLOATS, WIDTH, EXPERTS, NONE, EVERYWHERE},
      {"ffn_gate_exps.weight", MATRIX, WIDTH, FF, EXPERTS, EVERYWHERE},
      {"ffn_up_exps.weight", MATRIX, WIDTH, FF, EXPERTS, EVERYWHERE},
      {"ffn_down_exps.weight", RESIDUAL, FF, WIDTH, EXPERTS, EVERYWHERE}},
     SAY, add_experts, {.arch = "qwen3moe", SMALL(4, 4096), .n_experts = 8}},
    {EMBED,
     {NORMS, ATTEND, NORM_HEADS, FEED_FORWARD,
      {"post_attention_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE},
      {"post_ffw_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE}},
     SAY, add_window, {.arch = "gemma3", SMALL(SLIDING_EACH, 4096), .window = 64}},
    {EMBED,
     {NORMS, ATTEND, NORM_HEADS, FEED_FORWARD,
      {"shortconv.conv.weight", FLOATS, TAPS, WIDTH, NONE, IN_CONVOLUTION},
      {"shortconv.in_proj.weight", MATRIX, WIDTH, WIDTHS_3, NONE, IN_CONVOLUTION},
      {"shortconv.out_proj.weight", RESIDUAL, WIDTH, WIDTH, NONE, IN_CONVOLUTION}},
     {{"token_embd_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE}, {"output.weight", OUTPUT, WIDTH, VOCAB, NONE, EVERYWHERE}},
     add_short_convolution, {.arch = "lfm2", SMALL(4, 4096)}},
    {EMBED,
     {{"attn_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE},
      {"ssm_in.weight", MATRIX, WIDTH, PROJECTION, NONE, EVERYWHERE},
      {"ssm_conv1d.weight", FLOATS, TAPS_4, CONV, NONE, EVERYWHERE}, {"ssm_conv1d.bias", ZEROS, CONV, NONE, NONE, EVERYWHERE},
      {"ssm_dt.bias", ZEROS, RANK, NONE, NONE, EVERYWHERE}, {"ssm_a", MINUS_ONES, ONE, RANK, NONE, EVERYWHERE},
      {"ssm_d", ONES, ONE, RANK, NONE, EVERYWHERE}, {"ssm_norm.weight", ONES, INNER, ONE, NONE, EVERYWHERE},
      {"ssm_out.weight", RESIDUAL, INNER, WIDTH, NONE, EVERYWHERE}},
     SAY, add_states, {.arch = "mamba2", SMALL(4, 4096)}},
    {EMBED, {NORMS, ATTEND, BIASES, FEED_FORWARD}, SAY, NULL, {.arch = "dream", SMALL(4, 4096)}},
    {{{"token_embd.weight", EMBEDDING, WIDTH, VOCAB, NONE, EVERYWHERE},
      {"position_embd.weight", FLOATS, WIDTH, CTX, NONE, EVERYWHERE},
      {"token_types.weight", FLOATS, WIDTH, TYPES, NONE, EVERYWHERE},
      {"token_embd_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE},
      {"token_embd_norm.bias", ZEROS, WIDTH, NONE, NONE, EVERYWHERE}},
     {ATTEND, BIASES,
      {"attn_output.bias", ZEROS, WIDTH, NONE, NONE, EVERYWHERE},
      {"attn_output_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE},
      {"attn_output_norm.bias", ZEROS, WIDTH, NONE, NONE, EVERYWHERE},
      {"ffn_up.weight", MATRIX, WIDTH, FF, NONE, EVERYWHERE}, {"ffn_up.bias", ZEROS, FF, NONE, NONE, EVERYWHERE},
      {"ffn_down.weight", RESIDUAL, FF, WIDTH, NONE, EVERYWHERE}, {"ffn_down.bias", ZEROS, WIDTH, NONE, NONE, EVERYWHERE},
      {"layer_output_norm.weight", ONES, WIDTH, NONE, NONE, EVERYWHERE},
      {"layer_output_norm.bias", ZEROS, WIDTH, NONE, NONE, EVERYWHERE}},
     {{0}}, add_encoder, {.arch = "bert", SMALL(4, 512)}},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof *architectures };

static const architecture *find(const char *name) {
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (strcmp(architectures[i].options.arch, name) == 0) return &architectures[i];
    return NULL;
}

const model_options *architecture_options(const char *name) {
    const architecture *found = find(name);
    return found ? &found->options : NULL;
}

const char *architecture_name(int index) {
    return index < N_ARCHITECTURES ? architectures[index].options.arch : NULL;
}

size_t architecture_tensors_most(const model_options *options) {
    return (size_t)options->n_layers * N_TENSORS_MOST + 12;
}

/* ---- adding them --------------------------------------------------------------------------------------------------- */

static int64_t value_of(count count, const model_options *options, int64_t n_vocab) {
    const int64_t head = options->width / options->n_heads, inner = 2 * options->width;
    const int64_t convolved = inner + 2 * N_GROUPS * STATE;
    const int64_t values[N_COUNTS] = {
        [WIDTH] = options->width, [FF] = options->n_ff, [QUERIES] = options->width, [KEYS] = head * kv_heads(options),
        [HEAD] = head, [VOCAB] = n_vocab, [CTX] = options->n_ctx, [TYPES] = 2, [EXPERTS] = options->n_experts,
        [WIDTHS_3] = 3 * options->width, [TAPS] = SHORT_CONVOLUTION, [INNER] = inner,
        [RANK] = options->n_heads, [CONV] = convolved, [TAPS_4] = CONVOLUTION,
        [PROJECTION] = inner + convolved + options->n_heads, [ONE] = 1};
    return values[count];
}

static void add_tensor(writer *writer, const tensor *tensor, const char *name, const model_options *options,
                       int64_t n_vocab, const bool *is_text) {
    int64_t n_in = value_of(tensor->n_in, options, n_vocab), n_out = value_of(tensor->n_out, options, n_vocab);
    int64_t n_rows = tensor->n_matrices ? n_out * value_of(tensor->n_matrices, options, n_vocab) : n_out;
    float from_in = 1.0f / sqrtf((float)n_in);
    float residual = (options->n_spoken > 0 ? LITTLE : 1.0f) / sqrtf(2.0f * (float)options->n_layers);
    enum ggml_type type = options->type;
    switch (tensor->kind) {
    case MATRIX: writer_add_matrix(writer, name, type, n_in, n_rows, n_out, from_in, NULL); break;
    case RESIDUAL: writer_add_matrix(writer, name, type, n_in, n_rows, n_out, from_in * residual, NULL); break;
    case EMBEDDING: writer_add_matrix(writer, name, type, n_in, n_rows, n_out, 1.0f, NULL); break;
    case FLOATS: writer_add_matrix(writer, name, GGML_TYPE_F32, n_in, n_rows, n_out, from_in, NULL); break;
    case OUTPUT: /* the normalised state has `width` values of mean square 1 */
        if (options->is_broken) writer_add_constant(writer, name, n_in, n_out, NAN);
        else writer_add_matrix(writer, name, type, n_in, n_rows, n_out, LOGIT_SPREAD * from_in, is_text);
        break;
    case ONES: writer_add_constant(writer, name, n_in, n_out, 1.0f); break;
    case ZEROS: writer_add_constant(writer, name, n_in, n_out, 0.0f); break;
    case MINUS_ONES: writer_add_constant(writer, name, n_in, n_out, -1.0f); break;
    }
}

static void add_keys(struct gguf_context *file, const model_options *options, int64_t n_vocab) {
    enum { F16 = 1, Q4_0 = 2, Q8_0 = 7, Q4_K = 15 }; /* general.file_type */
    gguf_set_val_str(file, "general.architecture", options->arch);
    gguf_set_val_str(file, "general.name", "random weights");
    gguf_set_val_u32(file, "general.file_type", options->type == GGML_TYPE_Q8_0   ? Q8_0
                                                : options->type == GGML_TYPE_Q4_0 ? Q4_0
                                                : options->type == GGML_TYPE_Q4_K ? Q4_K
                                                                                  : F16);
    set_number(file, options, "context_length", options->n_ctx);
    set_number(file, options, "embedding_length", options->width);
    set_number(file, options, "block_count", options->n_layers);
    set_number(file, options, "feed_forward_length", options->n_ff);
    set_number(file, options, "attention.head_count", options->n_heads);
    set_number(file, options, "attention.head_count_kv", kv_heads(options));
    set_number(file, options, "attention.key_length", options->width / options->n_heads);
    set_number(file, options, "attention.value_length", options->width / options->n_heads);
    set_number(file, options, "rope.dimension_count", options->width / options->n_heads);
    set_number(file, options, "vocab_size", n_vocab);
    set_float(file, options, "attention.layer_norm_rms_epsilon", 1e-5f);
}

void architecture_add(writer *writer, const model_options *options, int64_t n_vocab, const bool *is_text) {
    const architecture *architecture = find(options->arch);
    add_keys(writer->file, options, n_vocab);
    if (architecture->add_keys) architecture->add_keys(writer->file, options);
    for (const tensor *each = architecture->first; each->name; each++)
        add_tensor(writer, each, each->name, options, n_vocab, is_text);
    for (int64_t layer = 0; layer < options->n_layers; layer++)
        for (const tensor *each = architecture->layer; each->name; each++) {
            char name[64];
            bool is_of_this = each->where == EVERYWHERE || !strstr(options->arch, "lfm2") ||
                              (each->where == IN_CONVOLUTION) == is_convolution(layer);
            if (!is_of_this) continue;
            snprintf(name, sizeof name, "blk.%d.%s", (int)layer, each->name);
            add_tensor(writer, each, name, options, n_vocab, is_text);
        }
    for (const tensor *each = architecture->last; each->name; each++)
        add_tensor(writer, each, each->name, options, n_vocab, is_text);
}

const char *architecture_refusal(const model_options *options) {
    int64_t block = ggml_blck_size(options->type), head = options->width / options->n_heads;
    if (options->width % options->n_heads != 0 || head % 2 != 0) return "--width must be an even number for each of --heads";
    if (options->n_heads % kv_heads(options) != 0) return "--heads must be a multiple of --kv-heads";
    if (options->width % block != 0 || options->n_ff % block != 0)
        return "--width and --ff must be multiples of the blocks of --type: 256 for q4_k, 32 for q8_0 and q4_0";
    if (options->n_experts && options->n_experts < N_EXPERTS_USED) return "--experts must be 2 or more";
    return NULL;
}
