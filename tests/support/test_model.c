/* test_model.c - see test_model.h. All weights are zero, so all logits are equal, whatever the prompt. */
#include "test_model.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 32, N_SPECIAL = 3, N_BYTE_TOKENS = 256, ALIGNMENT = 32, N_TENSORS = 12, N_FACTS = 15 };
enum { GGUF_U32 = 4, GGUF_I32 = 5, GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_TEXT = 8, GGUF_ARRAY = 9 };
enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_BYTE = 6 };

typedef struct tensor {
    const char *name;
    uint64_t rows; /* 0: a vector of ones; otherwise a matrix of zeros */
} tensor;

static void put(FILE *file, const void *data, size_t n) {
    CHECK_INT(fwrite(data, 1, n, file), ==, n);
}

static void put_u32(FILE *file, uint32_t value) {
    put(file, &value, sizeof value);
}

static void put_u64(FILE *file, uint64_t value) {
    put(file, &value, sizeof value);
}

static void put_text(FILE *file, const char *text) {
    put_u64(file, strlen(text));
    put(file, text, strlen(text));
}

static void put_key(FILE *file, const char *key, uint32_t type) {
    put_text(file, key);
    put_u32(file, type);
}

static void put_number(FILE *file, const char *key, uint32_t value) {
    put_key(file, key, GGUF_U32);
    put_u32(file, value);
}

static void put_array(FILE *file, const char *key, uint32_t type, uint32_t n) {
    put_key(file, key, GGUF_ARRAY);
    put_u32(file, type);
    put_u64(file, n);
}

static void put_token(FILE *file, uint32_t token, uint64_t *random) {
    static const char *const special[N_SPECIAL] = {"<unk>", "<s>", "</s>"};
    static const char *const characters[] = {"a", "e", "n", " ", "ü", "ß", "→", "你", "🚀", "😀"};
    char text[256] = "";
    if (token < N_SPECIAL) {
        put_text(file, special[token]);
        return;
    }
    if (token < N_SPECIAL + N_BYTE_TOKENS) {
        snprintf(text, sizeof text, "<0x%02X>", token - N_SPECIAL);
        put_text(file, text);
        return;
    }
    /* The number makes it unlike all others. */
    size_t n = (size_t)snprintf(text, sizeof text, "%u", token), end = 40 + test_random(random, 160);
    while (n < end) {
        strcat(text, characters[test_random(random, sizeof characters / sizeof characters[0])]);
        n = strlen(text);
    }
    put_text(file, text);
}

static void put_facts(FILE *file, uint32_t n_vocab) {
    static const float epsilon = 1e-5f, no_score;
    static const unsigned char yes = 1;
    uint64_t random = 42;
    put_key(file, "general.architecture", GGUF_TEXT);
    put_text(file, "llama");
    put_number(file, "llama.context_length", 4096);
    put_number(file, "llama.embedding_length", WIDTH);
    put_number(file, "llama.block_count", 1);
    put_number(file, "llama.feed_forward_length", WIDTH);
    put_number(file, "llama.attention.head_count", 1);
    put_key(file, "llama.attention.layer_norm_rms_epsilon", GGUF_F32);
    put(file, &epsilon, sizeof epsilon);
    put_key(file, "tokenizer.ggml.model", GGUF_TEXT);
    put_text(file, "llama");
    put_array(file, "tokenizer.ggml.tokens", GGUF_TEXT, n_vocab);
    for (uint32_t i = 0; i < n_vocab; i++)
        put_token(file, i, &random);
    put_array(file, "tokenizer.ggml.scores", GGUF_F32, n_vocab);
    for (uint32_t i = 0; i < n_vocab; i++)
        put(file, &no_score, sizeof no_score);
    put_array(file, "tokenizer.ggml.token_type", GGUF_I32, n_vocab);
    for (uint32_t i = 0; i < n_vocab; i++)
        put_u32(file, i == 0                             ? TOKEN_UNKNOWN
                      : i < N_SPECIAL                    ? TOKEN_CONTROL
                      : i < N_SPECIAL + N_BYTE_TOKENS    ? TOKEN_BYTE
                                                         : TOKEN_NORMAL);
    put_number(file, "tokenizer.ggml.unknown_token_id", 0);
    put_number(file, "tokenizer.ggml.bos_token_id", 1);
    put_number(file, "tokenizer.ggml.eos_token_id", 2);
    put_key(file, "tokenizer.ggml.add_bos_token", GGUF_BOOL);
    put(file, &yes, 1);
}

static void align(FILE *file) {
    while (ftell(file) % ALIGNMENT)
        fputc(0, file);
}

void test_model_write(const char *path, int n_words) {
    uint32_t n_vocab = N_SPECIAL + N_BYTE_TOKENS + (uint32_t)n_words;
    const tensor tensors[N_TENSORS] = {
        {"token_embd.weight", n_vocab},      {"output_norm.weight", 0},          {"output.weight", n_vocab},
        {"blk.0.attn_norm.weight", 0},       {"blk.0.attn_q.weight", WIDTH},     {"blk.0.attn_k.weight", WIDTH},
        {"blk.0.attn_v.weight", WIDTH},      {"blk.0.attn_output.weight", WIDTH}, {"blk.0.ffn_norm.weight", 0},
        {"blk.0.ffn_gate.weight", WIDTH},    {"blk.0.ffn_up.weight", WIDTH},     {"blk.0.ffn_down.weight", WIDTH}};
    FILE *file = fopen(path, "wb");
    CHECK_SAY(file != NULL, "cannot write %s", path);
    put(file, "GGUF", 4);
    put_u32(file, 3);
    put_u64(file, N_TENSORS);
    put_u64(file, N_FACTS);
    put_facts(file, n_vocab);
    uint64_t offset = 0;
    for (int i = 0; i < N_TENSORS; i++) {
        put_text(file, tensors[i].name);
        put_u32(file, tensors[i].rows ? 2 : 1);
        put_u64(file, WIDTH);
        if (tensors[i].rows)
            put_u64(file, tensors[i].rows);
        put_u32(file, 0); /* 32-bit floats: a row of 32 is a multiple of the alignment */
        put_u64(file, offset);
        offset += (tensors[i].rows ? tensors[i].rows : 1) * WIDTH * sizeof(float);
    }
    align(file);
    for (int i = 0; i < N_TENSORS; i++)
        for (uint64_t k = 0; k < (tensors[i].rows ? tensors[i].rows : 1) * WIDTH; k++) {
            float value = tensors[i].rows ? 0.0f : 1.0f;
            put(file, &value, sizeof value);
        }
    CHECK_INT(fclose(file), ==, 0);
}
