/* random_model - writes a model with random weights, for tests and measurements.
 *
 *     random_model [--preset NAME | --arch NAME] [options] FILE.gguf
 *
 * Every program that reads GGUF can run it, and it costs what a trained model of its kind and size costs. Its tokenizer and
 * chat template are made up or those of a real model: --vocab takes any GGUF file, also one that has nothing but a
 * vocabulary, as llama.cpp's models/ggml-vocab-*.gguf. What it says is noise, but two things are as with a trained one:
 *
 *   - The logits are peaked: a handful of candidates pass min-p 0.05, as in ordinary text. Flat logits would let thousands
 *     pass and make every sampler look slow.
 *   - Generation does not end by itself. The output rows of control, byte and unknown tokens are zero: their logit is
 *     0 where the best one lies several standard deviations above.
 *
 * With --spoken N only N tokens can be said, and what the layers add is too little to change the next one: the likeliest
 * text soon runs in a circle of some sqrt(N) tokens, and costs what any other text does.
 *
 * The same options give the same file, byte for byte.
 */
#include "random_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_VOCAB_MAX 1000000

typedef struct preset {
    const char *name, *what;
    model_options options;
} preset;

#define MADE_UP(size) .n_vocab = size, .n_ctx = 4096, .seed = 1

static const preset presets[] = {
    {"134m", "134 million parameters, Q8_0",
     {.arch = "llama", MADE_UP(32000), .n_layers = 12, .width = 768, .n_ff = 2048, .n_heads = 12, .type = GGML_TYPE_Q8_0}},
    {"134m-loop", "the same, and its likeliest text repeats itself",
     {.arch = "llama", MADE_UP(32000), .n_layers = 12, .width = 768, .n_ff = 2048, .n_heads = 12, .n_spoken = 2000, .type = GGML_TYPE_Q8_0}},
    {"374m", "374 million parameters, Q8_0",
     {.arch = "llama", MADE_UP(32000), .n_layers = 24, .width = 1024, .n_ff = 2816, .n_heads = 16, .type = GGML_TYPE_Q8_0}},
    {"1.1b", "1.1 billion parameters, 4 heads of 32 for keys, Q4_0",
     {.arch = "llama", MADE_UP(32000), .n_layers = 22, .width = 2048, .n_ff = 5632, .n_heads = 32, .n_kv_heads = 4, .type = GGML_TYPE_Q4_0}},
    {"152k", "190 million parameters with the vocabulary of Qwen (--vocab), Q8_0",
     {.arch = "llama", MADE_UP(152000), .n_layers = 12, .width = 512, .n_ff = 1408, .n_heads = 8, .type = GGML_TYPE_Q8_0}},
    {"gemma3", "250 million parameters, five of six layers see 512 tokens, Q8_0",
     {.arch = "gemma3", MADE_UP(32000), .n_layers = 18, .width = 1024, .n_ff = 2816, .n_heads = 16, .n_kv_heads = 4, .window = 512,
      .type = GGML_TYPE_Q8_0}},
    {"lfm2", "240 million parameters, every other layer a convolution with a state, Q8_0",
     {.arch = "lfm2", MADE_UP(32000), .n_layers = 16, .width = 1024, .n_ff = 2816, .n_heads = 16, .n_kv_heads = 4,
      .type = GGML_TYPE_Q8_0}},
    {"0.3m", "0.3 million parameters, F16",
     {.arch = "llama", MADE_UP(2000), .n_layers = 10, .width = 48, .n_ff = 32, .n_heads = 3, .type = GGML_TYPE_F16}},
    {"128k", "a vocabulary of 128,000 and little else, Q8_0",
     {.arch = "llama", MADE_UP(128000), .n_layers = 4, .width = 256, .n_ff = 512, .n_heads = 4, .type = GGML_TYPE_Q8_0}},
};
enum { N_PRESETS = sizeof presets / sizeof *presets };

static const struct {
    const char *name;
    enum ggml_type type;
} types[] = {{"f32", GGML_TYPE_F32}, {"f16", GGML_TYPE_F16}, {"q8_0", GGML_TYPE_Q8_0}, {"q4_0", GGML_TYPE_Q4_0},
             {"q4_k", GGML_TYPE_Q4_K}};
enum { N_TYPES = sizeof types / sizeof *types };

void die(const char *what, const char *detail) {
    fprintf(stderr, "random_model: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    exit(1);
}

void *allocate(size_t n_bytes) {
    void *memory = malloc(n_bytes);
    if (!memory) die("not enough memory", NULL);
    return memory;
}

static void make_model(const model_options *options) {
    writer writer = writer_new(options->seed, architecture_tensors_most(options));
    int64_t n_vocab;
    bool *is_text = vocabulary_add(writer.file, options, &n_vocab);
    architecture_add(&writer, options, n_vocab, is_text);
    int64_t n_params = writer.n_params;
    writer_finish(&writer, options->path);
    free(is_text);
    printf("%s: %s, %lld parameters, vocabulary %lld\n", options->path, options->arch, (long long)n_params,
           (long long)n_vocab);
}

/* ---- options ------------------------------------------------------------------------------------------------------- */

static void print_usage(void) {
    puts("usage: random_model [--preset NAME | --arch NAME] [options] FILE.gguf\n"
         "Writes a model with random weights.\n"
         "  --preset NAME   with a made-up vocabulary:");
    for (int i = 0; i < N_PRESETS; i++) printf("                    %-9s  %s\n", presets[i].name, presets[i].what);
    printf("  --arch NAME     a small model of this architecture (llama), of some 100,000 parameters besides its\n"
           "                  vocabulary:");
    for (int i = 0; architecture_name(i); i++) printf(" %s", architecture_name(i));
    puts("\n"
         "  --vocab FILE    the tokenizer of this GGUF file, and its chat template\n"
         "  --template FILE this chat template\n"
         "  --layers N      layers\n"
         "  --width N       values per state; a multiple of the heads and of the blocks of --type\n"
         "  --ff N          values in the feed-forward part (of one expert); a multiple of the blocks of --type\n"
         "  --heads N       attention heads\n"
         "  --kv-heads N    of these, heads for keys and values (0: all)\n"
         "  --experts N     experts of qwen3moe, of which 2 are used for each token (8)\n"
         "  --window N      tokens that five of six layers of gemma3 see (64)\n"
         "  --vocab-size N  tokens in a made-up vocabulary, at least 400\n"
         "  --ctx N         context length that the model claims\n"
         "  --spoken N      tokens that can be said (0: all); the likeliest text then repeats itself\n"
         "  --type TYPE     f32, f16, q8_0 (blocks of 32), q4_0 (32) or q4_k (256)\n"
         "  --broken YES    1: its logits are not numbers\n"
         "  --seed N        another seed, another model\n"
         "  --adapter-for FILE  not a model but an adapter (LoRA) for this one, which changes its attention");
}

static int64_t parse_number(const char *option, const char *text, int64_t least, int64_t most) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno == 0 && end != text && *end == 0 && value >= least && value <= most) return value;
    fprintf(stderr, "random_model: %s: '%s' is not a number from %lld to %lld\n", option, text, (long long)least,
            (long long)most);
    exit(2);
}

static _Noreturn void refuse(const char *option, const char *value) {
    fprintf(stderr, "random_model: %s: there is no '%s'; see --help\n", option, value);
    exit(2);
}

/* Only before other options, which change what this sets. */
static model_options parse_start(const char *option, const char *value) {
    if (strcmp(option, "--preset") == 0) {
        for (int i = 0; i < N_PRESETS; i++)
            if (strcmp(presets[i].name, value) == 0) return presets[i].options;
        refuse(option, value);
    }
    const model_options *options = architecture_options(value);
    if (!options) refuse(option, value);
    return *options;
}

static enum ggml_type parse_type(const char *value) {
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(types[i].name, value) == 0) return types[i].type;
    refuse("--type", value);
}

static void parse_option(model_options *options, const char *option, const char *value) {
    int64_t seed = (int64_t)options->seed, is_broken = options->is_broken;
    const struct {
        const char *name;
        int64_t *value, least, most;
    } numbers[] = {
        {"--layers", &options->n_layers, 1, 1000},             {"--width", &options->width, 16, 1 << 20},
        {"--ff", &options->n_ff, 16, 1 << 20},                 {"--heads", &options->n_heads, 1, 1024},
        {"--kv-heads", &options->n_kv_heads, 0, 1024},         {"--experts", &options->n_experts, 2, 256},
        {"--window", &options->window, 1, 1 << 20},            {"--vocab-size", &options->n_vocab, 400, N_VOCAB_MAX},
        {"--ctx", &options->n_ctx, 16, 1 << 24},               {"--spoken", &options->n_spoken, 0, N_VOCAB_MAX},
        {"--broken", &is_broken, 0, 1},                        {"--seed", &seed, 0, INT64_MAX},
    };
    bool is_known = false;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(option, numbers[i].name) == 0) {
            *numbers[i].value = parse_number(option, value, numbers[i].least, numbers[i].most);
            is_known = true;
        }
    options->seed = (uint64_t)seed;
    options->is_broken = is_broken;
    if (is_known) return;
    if (strcmp(option, "--vocab") == 0) options->vocabulary_path = value;
    else if (strcmp(option, "--template") == 0) options->template_path = value;
    else if (strcmp(option, "--adapter-for") == 0) options->adapted_path = value;
    else if (strcmp(option, "--type") == 0) options->type = parse_type(value);
    else refuse("options", option);
}

static model_options parse_options(int argc, char **argv) {
    model_options options = *architecture_options("llama");
    bool is_first = true;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (strcmp(option, "-h") == 0 || strcmp(option, "--help") == 0) {
            print_usage();
            exit(0);
        }
        if (option[0] != '-') {
            options.path = option;
            continue;
        }
        if (++i == argc) {
            fprintf(stderr, "random_model: %s needs a value\n", option);
            exit(2);
        }
        bool is_start = strcmp(option, "--preset") == 0 || strcmp(option, "--arch") == 0;
        if (is_start && !is_first) {
            fprintf(stderr, "random_model: %s must be the first option\n", option);
            exit(2);
        }
        const char *path = options.path;
        if (is_start) options = parse_start(option, argv[i]);
        else parse_option(&options, option, argv[i]);
        if (is_start) options.path = path;
        is_first = false;
    }
    return options;
}

int main(int argc, char **argv) {
    model_options options = parse_options(argc, argv);
    const char *refusal = options.path ? architecture_refusal(&options) : "no file named; see --help";
    if (refusal) {
        fprintf(stderr, "random_model: %s\n", refusal);
        return 2;
    }
    if (options.adapted_path) adapter_make(&options);
    else make_model(&options);
    return 0;
}
