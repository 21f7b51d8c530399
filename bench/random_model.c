/* random_model.c - writes a model with random weights, for measuring.
 *
 * The model has the llama architecture, a made-up vocabulary and a chatml template, so that every program that reads
 * GGUF can run it, and costs what a trained model of its size costs. Two things are made to look like a trained one:
 *
 *   - The logits are peaked. The rows of the output matrix are scaled so that the logits of a state have a standard
 *     deviation of LOGIT_SPREAD; with that, a handful of candidates pass min-p 0.05, as in ordinary text. Flat logits
 *     would let thousands pass and make every sampler look slow.
 *   - Generation does not end by itself. The output rows of control, byte and unknown tokens are zero: their logit is
 *     0 where the best one lies several standard deviations above.
 *
 * With --spoken N only N words can be said, and what the layers add is too little to change the next one: the likeliest
 * text runs into a circle of some sqrt(N) words, as repetitive as text can be, at the cost of any other.
 *
 * With --spoken N only N words can be said, and what the layers add is too little to change the next one: the likeliest
 * text soon runs in a circle of some sqrt(N) words, and costs what any other text does.
 *
 * The same options give the same file, byte for byte.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ggml.h"
#include "gguf.h"

/* n normal values of deviation s have about e^(d * sqrt(2 ln n) / s) of them within d of their maximum. min-p 0.05 is
 * d = ln 20 = 3, so a spread of 8 leaves about 5 candidates at a vocabulary of 32,000 and 4 at 2,000. */
#define LOGIT_SPREAD 8.0f

#define N_CONTROL 4 /* <unk> <s> <|im_end|> <|im_start|> */
#define N_BYTES 256
#define N_PRINTABLE 95 /* ASCII 32..126 */
#define N_FIXED (N_CONTROL + N_BYTES + N_PRINTABLE)
#define N_VOCAB_MAX 1000000
/* What a layer adds if the text is to repeat itself, against what it adds otherwise. */
#define LITTLE 0.01f

enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_BYTE = 6 }; /* tokenizer.ggml.token_type */

typedef struct model_options {
    int64_t n_layers;
    int64_t width;
    int64_t n_ff;
    int64_t n_heads;
    int64_t n_vocab;
    int64_t n_ctx;
    int64_t n_spoken; /* words that can be said; 0: all */
    enum ggml_type type;
    uint64_t seed;
    const char *path;
} model_options;

typedef struct preset {
    const char *name;
    const char *what;
    model_options options;
} preset;

static const preset presets[] = {
    {"134m", "134 million parameters, Q8_0",
     {.n_layers = 12, .width = 768, .n_ff = 2048, .n_heads = 12, .n_vocab = 32000, .n_ctx = 4096,
      .type = GGML_TYPE_Q8_0, .seed = 1}},
    {"134m-loop", "the same, and its likeliest text repeats itself",
     {.n_layers = 12, .width = 768, .n_ff = 2048, .n_heads = 12, .n_vocab = 32000, .n_ctx = 4096, .n_spoken = 2000,
      .type = GGML_TYPE_Q8_0, .seed = 1}},
    {"0.3m", "0.3 million parameters, F16",
     {.n_layers = 10, .width = 48, .n_ff = 32, .n_heads = 3, .n_vocab = 2000, .n_ctx = 4096,
      .type = GGML_TYPE_F16, .seed = 1}},
    {"128k", "a vocabulary of 128,000 and little else, Q8_0",
     {.n_layers = 4, .width = 256, .n_ff = 512, .n_heads = 4, .n_vocab = 128000, .n_ctx = 4096,
      .type = GGML_TYPE_Q8_0, .seed = 1}},
};

static void die(const char *what, const char *detail) {
    fprintf(stderr, "random_model: %s%s%s\n", what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
    exit(1);
}

static void *allocate(size_t n_bytes) {
    void *memory = malloc(n_bytes);
    if (memory == NULL)
        die("not enough memory", NULL);
    return memory;
}

/* ---- Random numbers ------------------------------------------------------------------------------------------- */

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

/* ---- Vocabulary ----------------------------------------------------------------------------------------------- */

typedef struct vocabulary {
    char **pieces;
    float *scores;
    int32_t *types;
    int64_t n;
} vocabulary;

static void add_piece(vocabulary *vocab, const char *text, int32_t type, float score) {
    vocab->pieces[vocab->n] = strdup(text);
    if (vocab->pieces[vocab->n] == NULL)
        die("not enough memory", NULL);
    vocab->types[vocab->n] = type;
    vocab->scores[vocab->n] = score;
    vocab->n++;
}

/* Word number `index` of the made-up language: syllables of a consonant and a vowel, the shorter words first, each
 * without and with the word-start mark U+2581. The tokenizer joins neighbours pair by pair, so every word is the sum of
 * two shorter pieces of the vocabulary. */
static void make_word(int64_t index, char *buffer, size_t size) {
    static const char consonants[] = "bcdfghjklmnprstvwxyz";
    static const char vowels[] = "aeiou";
    const int64_t n_syllables_known = 100; /* 20 * 5 */
    const bool starts_word = index % 2 == 1;
    int64_t rest = index / 2;
    int n_syllables = 1;
    for (int64_t n_words = n_syllables_known; rest >= n_words; n_words *= n_syllables_known) {
        rest -= n_words;
        n_syllables++;
    }
    size_t length = (size_t)snprintf(buffer, size, "%s", starts_word ? "\xE2\x96\x81" : "");
    for (int i = 0; i < n_syllables; i++) {
        const int64_t syllable = rest % n_syllables_known;
        rest /= n_syllables_known;
        assert(length + 3 <= size);
        buffer[length++] = consonants[syllable / 5];
        buffer[length++] = vowels[syllable % 5];
        buffer[length] = '\0';
    }
}

static vocabulary make_vocabulary(int64_t n_vocab) {
    vocabulary vocab = {.pieces = allocate((size_t)n_vocab * sizeof(char *)),
                        .scores = allocate((size_t)n_vocab * sizeof(float)),
                        .types = allocate((size_t)n_vocab * sizeof(int32_t))};
    add_piece(&vocab, "<unk>", TOKEN_UNKNOWN, 0);
    add_piece(&vocab, "<s>", TOKEN_CONTROL, 0);
    add_piece(&vocab, "<|im_end|>", TOKEN_CONTROL, 0);
    add_piece(&vocab, "<|im_start|>", TOKEN_CONTROL, 0);
    assert(vocab.n == N_CONTROL);

    char text[64];
    for (int byte = 0; byte < N_BYTES; byte++) {
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        add_piece(&vocab, text, TOKEN_BYTE, 0);
    }
    for (int c = 32; c < 127; c++) {
        snprintf(text, sizeof text, "%c", c);
        add_piece(&vocab, c == ' ' ? "\xE2\x96\x81" : text, TOKEN_NORMAL, -1e6f);
    }
    assert(vocab.n == N_FIXED);
    while (vocab.n < n_vocab) {
        make_word(vocab.n - N_FIXED, text, sizeof text);
        add_piece(&vocab, text, TOKEN_NORMAL, -(float)(vocab.n - N_FIXED));
    }
    return vocab;
}

static void free_vocabulary(vocabulary *vocab) {
    for (int64_t i = 0; i < vocab->n; i++)
        free(vocab->pieces[i]);
    free(vocab->pieces);
    free(vocab->scores);
    free(vocab->types);
}

/* ---- Tensors -------------------------------------------------------------------------------------------------- */

typedef struct writer {
    struct gguf_context *file;
    struct ggml_context *tensors;
    uint64_t random;
    int64_t n_params;
} writer;

static void add_tensor(writer *w, struct ggml_tensor *tensor, const char *name, void *data) {
    ggml_set_name(tensor, name);
    tensor->data = data;
    w->n_params += ggml_nelements(tensor);
    gguf_add_tensor(w->file, tensor);
}

/* A matrix for vectors of n_in values, with n_out rows of the given deviation. Rows outside of [begin, end) are zero. */
static void add_matrix(writer *w, const char *name, enum ggml_type type, int64_t n_in, int64_t n_out, float deviation,
                       int64_t begin, int64_t end) {
    struct ggml_tensor *tensor = ggml_new_tensor_2d(w->tensors, type, n_in, n_out);
    char *data = allocate(ggml_nbytes(tensor));
    float *row = allocate((size_t)n_in * sizeof *row);
    const size_t row_size = ggml_row_size(type, n_in);
    for (int64_t i = 0; i < n_out; i++) {
        for (int64_t j = 0; j < n_in; j++)
            row[j] = i < begin || i >= end ? 0.0f : deviation * random_normal(&w->random);
        ggml_quantize_chunk(type, row, data + (size_t)i * row_size, 0, 1, n_in, NULL);
    }
    free(row);
    add_tensor(w, tensor, name, data);
}

/* The scale of a normalisation: all ones. */
static void add_norm(writer *w, const char *name, int64_t width) {
    struct ggml_tensor *tensor = ggml_new_tensor_1d(w->tensors, GGML_TYPE_F32, width);
    float *data = allocate(ggml_nbytes(tensor));
    for (int64_t i = 0; i < width; i++)
        data[i] = 1.0f;
    add_tensor(w, tensor, name, data);
}

static void add_layer(writer *w, const model_options *options, int64_t layer) {
    const int64_t width = options->width, n_ff = options->n_ff;
    /* What a layer adds stays comparable with the token's own embedding, however many layers there are. */
    const float residual = (options->n_spoken > 0 ? LITTLE : 1.0f) / sqrtf(2.0f * (float)options->n_layers);
    const float from_width = 1.0f / sqrtf((float)width), from_ff = 1.0f / sqrtf((float)n_ff);
    const struct {
        const char *suffix;
        int64_t n_in, n_out;
        float deviation;
    } matrices[] = {
        {"attn_q", width, width, from_width},          {"attn_k", width, width, from_width},
        {"attn_v", width, width, from_width},          {"attn_output", width, width, from_width * residual},
        {"ffn_gate", width, n_ff, from_width},         {"ffn_up", width, n_ff, from_width},
        {"ffn_down", n_ff, width, from_ff * residual},
    };
    char name[64];
    snprintf(name, sizeof name, "blk.%d.attn_norm.weight", (int)layer);
    add_norm(w, name, width);
    snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", (int)layer);
    add_norm(w, name, width);
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", (int)layer, matrices[i].suffix);
        add_matrix(w, name, options->type, matrices[i].n_in, matrices[i].n_out, matrices[i].deviation, 0,
                   matrices[i].n_out);
    }
}

/* ---- The file ------------------------------------------------------------------------------------------------- */

static void add_metadata(struct gguf_context *file, const model_options *options, const vocabulary *vocab) {
    gguf_set_val_str(file, "general.architecture", "llama");
    gguf_set_val_str(file, "general.name", "random weights");
    gguf_set_val_u32(file, "general.file_type", options->type == GGML_TYPE_Q8_0 ? 7 : 1);
    gguf_set_val_u32(file, "llama.context_length", (uint32_t)options->n_ctx);
    gguf_set_val_u32(file, "llama.embedding_length", (uint32_t)options->width);
    gguf_set_val_u32(file, "llama.block_count", (uint32_t)options->n_layers);
    gguf_set_val_u32(file, "llama.feed_forward_length", (uint32_t)options->n_ff);
    gguf_set_val_u32(file, "llama.attention.head_count", (uint32_t)options->n_heads);
    gguf_set_val_f32(file, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_set_val_u32(file, "llama.rope.dimension_count", (uint32_t)(options->width / options->n_heads));
    gguf_set_val_u32(file, "llama.vocab_size", (uint32_t)options->n_vocab);

    gguf_set_val_str(file, "tokenizer.ggml.model", "llama");
    gguf_set_arr_str(file, "tokenizer.ggml.tokens", (const char **)vocab->pieces, (size_t)vocab->n);
    gguf_set_arr_data(file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, vocab->scores, (size_t)vocab->n);
    gguf_set_arr_data(file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, vocab->types, (size_t)vocab->n);
    gguf_set_val_u32(file, "tokenizer.ggml.unknown_token_id", 0);
    gguf_set_val_u32(file, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_val_u32(file, "tokenizer.ggml.eos_token_id", 2);
    gguf_set_val_bool(file, "tokenizer.ggml.add_bos_token", false);
    gguf_set_val_bool(file, "tokenizer.ggml.add_space_prefix", false);
    gguf_set_val_str(file, "tokenizer.chat_template",
                     "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
                     "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}");
}

/* Writes beside the path and renames, so that nobody ever opens half a model. */
static void write_file(const struct gguf_context *file, const char *path) {
    char beside[4096];
    if (snprintf(beside, sizeof beside, "%s.%ld.part", path, (long)getpid()) >= (int)sizeof beside)
        die("the path is too long", path);
    if (!gguf_write_to_file(file, beside, false))
        die("cannot write", beside);
    if (rename(beside, path) != 0) {
        const char *reason = strerror(errno);
        remove(beside);
        die(path, reason);
    }
}

static void make_model(const model_options *options) {
    const size_t n_tensors = (size_t)options->n_layers * 9 + 3;
    struct ggml_init_params params = {.mem_size = n_tensors * ggml_tensor_overhead(), .no_alloc = true};
    writer w = {.file = gguf_init_empty(), .tensors = ggml_init(params), .random = options->seed};
    if (w.file == NULL || w.tensors == NULL)
        die("not enough memory", NULL);

    vocabulary vocab = make_vocabulary(options->n_vocab);
    add_metadata(w.file, options, &vocab);
    free_vocabulary(&vocab);

    add_matrix(&w, "token_embd.weight", options->type, options->width, options->n_vocab, 1.0f, 0,
               options->n_vocab);
    for (int64_t layer = 0; layer < options->n_layers; layer++)
        add_layer(&w, options, layer);
    add_norm(&w, "output_norm.weight", options->width);
    /* The normalised state has `width` values of mean square 1. */
    add_matrix(&w, "output.weight", options->type, options->width, options->n_vocab,
               LOGIT_SPREAD / sqrtf((float)options->width), options->n_spoken > 0 ? N_FIXED : N_CONTROL + N_BYTES,
               options->n_spoken > 0 ? N_FIXED + options->n_spoken : options->n_vocab);

    write_file(w.file, options->path);
    printf("%s: %lld parameters, vocabulary %lld\n", options->path, (long long)w.n_params,
           (long long)options->n_vocab);

    for (struct ggml_tensor *t = ggml_get_first_tensor(w.tensors); t != NULL; t = ggml_get_next_tensor(w.tensors, t))
        free(t->data);
    ggml_free(w.tensors);
    gguf_free(w.file);
    ggml_quantize_free();
}

/* ---- Options -------------------------------------------------------------------------------------------------- */

static void print_usage(void) {
    puts("usage: random_model [options] FILE.gguf\n"
         "Writes a llama model with random weights.\n"
         "  --preset NAME   start from a preset:");
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        printf("                    %-9s  %s\n", presets[i].name, presets[i].what);
    puts("  --layers N      layers\n"
         "  --width N       values per state; a multiple of the heads, and of 32 for q8_0\n"
         "  --ff N          values in the feed-forward part; a multiple of 32 for q8_0\n"
         "  --heads N       attention heads\n"
         "  --vocab N       tokens in the vocabulary, at least 400\n"
         "  --ctx N         context length the model claims\n"
         "  --spoken N      words that can be said (0: all); the likeliest text then repeats itself\n"
         "  --type TYPE     f16 or q8_0\n"
         "  --seed N        another seed, another model");
}

static int64_t parse_number(const char *option, const char *text, int64_t least, int64_t most) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "random_model: %s: '%s' is not a number from %lld to %lld\n", option, text, (long long)least,
                (long long)most);
        exit(2);
    }
    return value;
}

static void use_preset(model_options *options, const char *name) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            *options = presets[i].options;
            return;
        }
    }
    fprintf(stderr, "random_model: there is no preset '%s'\n", name);
    exit(2);
}

static model_options parse_options(int argc, char **argv) {
    model_options options = presets[0].options;
    const struct {
        const char *name;
        int64_t *value;
        int64_t least, most;
    } numbers[] = {
        {"--layers", &options.n_layers, 1, 1000},        {"--width", &options.width, 16, 1 << 20},
        {"--ff", &options.n_ff, 16, 1 << 20},            {"--heads", &options.n_heads, 1, 1024},
        {"--vocab", &options.n_vocab, 400, N_VOCAB_MAX}, {"--ctx", &options.n_ctx, 16, 1 << 24},
        {"--spoken", &options.n_spoken, 0, N_VOCAB_MAX},
    };
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
            print_usage();
            exit(0);
        }
        if (arg[0] != '-') {
            options.path = arg;
            continue;
        }
        if (i + 1 == argc) {
            fprintf(stderr, "random_model: %s needs a value\n", arg);
            exit(2);
        }
        const char *value = argv[++i];
        bool known = false;
        for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++) {
            if (strcmp(arg, numbers[j].name) == 0) {
                *numbers[j].value = parse_number(arg, value, numbers[j].least, numbers[j].most);
                known = true;
            }
        }
        if (strcmp(arg, "--preset") == 0) {
            const char *path = options.path;
            use_preset(&options, value);
            options.path = path;
        } else if (strcmp(arg, "--type") == 0) {
            if (strcmp(value, "f16") != 0 && strcmp(value, "q8_0") != 0) {
                fprintf(stderr, "random_model: --type: '%s' is neither f16 nor q8_0\n", value);
                exit(2);
            }
            options.type = value[0] == 'f' ? GGML_TYPE_F16 : GGML_TYPE_Q8_0;
        } else if (strcmp(arg, "--seed") == 0) {
            options.seed = (uint64_t)parse_number(arg, value, 0, INT64_MAX);
        } else if (!known) {
            fprintf(stderr, "random_model: unknown option %s\n", arg);
            exit(2);
        }
    }
    return options;
}

int main(int argc, char **argv) {
    const model_options options = parse_options(argc, argv);
    if (options.path == NULL) {
        fputs("random_model: no file named; see --help\n", stderr);
        return 2;
    }
    const int64_t block = ggml_blck_size(options.type);
    if (options.width % options.n_heads != 0 || (options.width / options.n_heads) % 2 != 0 ||
        options.width % block != 0 || options.n_ff % block != 0) {
        fprintf(stderr, "random_model: width %lld and ff %lld do not fit %lld heads and blocks of %lld\n",
                (long long)options.width, (long long)options.n_ff, (long long)options.n_heads, (long long)block);
        return 2;
    }
    make_model(&options);
    return 0;
}
