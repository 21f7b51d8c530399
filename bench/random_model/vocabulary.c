/* vocabulary.c - see random_model.h. */
#include "random_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_CONTROL 4 /* <unk> <s> <|im_end|> <|im_start|> */
#define N_BYTES 256
#define N_PRINTABLE 95 /* ASCII 32..126 */
#define N_FIXED (N_CONTROL + N_BYTES + N_PRINTABLE)

enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_BYTE = 6 }; /* tokenizer.ggml.token_type */

static const char chatml_template[] =
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/* ---- made up ------------------------------------------------------------------------------------------------------ */

typedef struct vocabulary {
    char **pieces;
    float *scores;
    int32_t *types;
    int64_t n;
} vocabulary;

static void add_piece(vocabulary *vocab, const char *text, int32_t type, float score) {
    vocab->pieces[vocab->n] = strdup(text);
    if (!vocab->pieces[vocab->n]) die("not enough memory", NULL);
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

static void add_made_up(struct gguf_context *file, int64_t n_vocab) {
    vocabulary vocab = make_vocabulary(n_vocab);
    gguf_set_val_str(file, "tokenizer.ggml.model", "llama");
    gguf_set_arr_str(file, "tokenizer.ggml.tokens", (const char **)vocab.pieces, (size_t)vocab.n);
    gguf_set_arr_data(file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, vocab.scores, (size_t)vocab.n);
    gguf_set_arr_data(file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, vocab.types, (size_t)vocab.n);
    gguf_set_val_u32(file, "tokenizer.ggml.unknown_token_id", 0);
    gguf_set_val_u32(file, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_val_u32(file, "tokenizer.ggml.eos_token_id", 2);
    gguf_set_val_bool(file, "tokenizer.ggml.add_bos_token", false);
    gguf_set_val_bool(file, "tokenizer.ggml.add_space_prefix", false);
    gguf_set_val_str(file, "tokenizer.chat_template", chatml_template);
    free_vocabulary(&vocab);
}

/* ---- of a file ---------------------------------------------------------------------------------------------------- */

static bool is_tokenizers(const char *key) {
    return strncmp(key, "tokenizer.", strlen("tokenizer.")) == 0;
}

/* Its tokenizer and nothing else: the file may be a whole model, of another architecture. */
static void add_of_file(struct gguf_context *file, const char *path) {
    struct gguf_init_params params = {.no_alloc = true};
    struct gguf_context *source = gguf_init_from_file(path, params);
    if (!source) die("not a GGUF file", path);
    gguf_set_kv(file, source);
    for (int64_t k = 0; k < gguf_get_n_kv(source); k++)
        if (!is_tokenizers(gguf_get_key(source, k))) gguf_remove_key(file, gguf_get_key(source, k));
    gguf_free(source);
    if (gguf_find_key(file, "tokenizer.ggml.tokens") < 0) die("a file without a vocabulary", path);
}

static void add_template(struct gguf_context *file, const char *path) {
    enum { MOST = 1 << 20 };
    FILE *stream = fopen(path, "rb");
    if (!stream) die("cannot read the template", path);
    char *text = allocate(MOST + 1);
    size_t n_bytes = fread(text, 1, MOST, stream);
    fclose(stream);
    if (n_bytes == MOST) die("the template has more than 1 MB", path);
    text[n_bytes] = 0;
    gguf_set_val_str(file, "tokenizer.chat_template", text);
    free(text);
}

bool *vocabulary_add(struct gguf_context *file, const model_options *options, int64_t *n_vocab) {
    if (options->vocabulary_path) add_of_file(file, options->vocabulary_path);
    else add_made_up(file, options->n_vocab);
    if (options->template_path) add_template(file, options->template_path);
    *n_vocab = (int64_t)gguf_get_arr_n(file, gguf_find_key(file, "tokenizer.ggml.tokens"));
    int64_t key = gguf_find_key(file, "tokenizer.ggml.token_type");
    const int32_t *types = key < 0 ? NULL : gguf_get_arr_data(file, key);
    bool *is_text = allocate((size_t)*n_vocab);
    /* A text that repeats itself has no single characters: they would be joined to the words beside them. */
    int64_t first = options->n_spoken && !options->vocabulary_path ? N_FIXED : 0, n_spoken = 0;
    for (int64_t i = 0; i < *n_vocab; i++) {
        is_text[i] = i >= first && (!types || types[i] == TOKEN_NORMAL);
        if (is_text[i] && options->n_spoken && n_spoken++ >= options->n_spoken) is_text[i] = false;
    }
    return is_text;
}
