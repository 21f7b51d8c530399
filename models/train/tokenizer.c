/* tokenizer.c - the tokenizer of the tutor model; see tokenizer.h. */
#include "tokenizer.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SPACE[] = "\xe2\x96\x81"; /* U+2581, which stands for a space in pieces */
enum { SPACE_SIZE = 3, PIECE_SIZE_MAX = 64, WORD_SYMBOLS_MAX = 64, SYMBOLS_MAX = 1024 };

static unsigned hash_of(const char *text, size_t size) {
    unsigned hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; ++i) hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

/* Id of the token with this text, or -1. */
static int find(const struct tokenizer *tokenizer, const char *text, size_t size) {
    unsigned slot = hash_of(text, size) % (unsigned)tokenizer->n_streams;
    for (;; slot = (slot + 1) % (unsigned)tokenizer->n_streams) {
        int token = tokenizer->slots[slot];
        if (token < 0) return -1;
        const char *candidate = tokenizer->texts[token];
        if (strncmp(candidate, text, size) == 0 && candidate[size] == '\0') return token;
    }
}

static int add(struct tokenizer *tokenizer, const char *text, size_t size) {
    char *copy = malloc(size + 1);
    if (!copy) return -1;
    memcpy(copy, text, size);
    copy[size] = '\0';
    unsigned slot = hash_of(text, size) % (unsigned)tokenizer->n_streams;
    while (tokenizer->slots[slot] >= 0) slot = (slot + 1) % (unsigned)tokenizer->n_streams;
    tokenizer->slots[slot] = tokenizer->n_tokens;
    tokenizer->texts[tokenizer->n_tokens++] = copy;
    return 0;
}

static int make_empty(struct tokenizer *tokenizer, int capacity) {
    *tokenizer = (struct tokenizer){.capacity = capacity, .n_streams = 4 * capacity + 1};
    tokenizer->texts = calloc((size_t)capacity, sizeof *tokenizer->texts);
    tokenizer->slots = malloc((size_t)tokenizer->n_streams * sizeof *tokenizer->slots);
    if (!tokenizer->texts || !tokenizer->slots) return -1;
    for (int i = 0; i < tokenizer->n_streams; ++i) tokenizer->slots[i] = -1;
    return 0;
}

/* The tokens that are the same for every corpus: control tokens, bytes, the printable characters of ASCII, and pairs of digits. */
static int add_fixed_tokens(struct tokenizer *tokenizer) {
    static const char *const control[] = {"<unk>",       "<s>",          "<|im_end|>",      "<|im_start|>",     "<think>",
                                          "</think>",    "<tool_call>",  "</tool_call>",    "<tool_response>",  "</tool_response>"};
    char text[16];
    for (int i = 0; i < TOKEN_BYTE_0; ++i) {
        if (add(tokenizer, control[i], strlen(control[i]))) return -1;
    }
    for (int i = 0; i < 256; ++i) {
        int size = snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        if (add(tokenizer, text, (size_t)size)) return -1;
    }
    for (char c = ' '; c <= '~'; ++c) {
        if (c == ' ' ? add(tokenizer, SPACE, SPACE_SIZE) : add(tokenizer, &c, 1)) return -1;
    }
    for (int i = 0; i < 100; ++i) {
        snprintf(text, sizeof text, "%02d", i);
        if (add(tokenizer, text, 2)) return -1;
    }
    return 0;
}

/* A word of the training texts, as a sequence of tokens, and how often it occurs. */
struct word {
    const char *text; /* points into a sample; spaces are still spaces */
    int size;
    int count;
    int n_symbols;
    int symbols[WORD_SYMBOLS_MAX];
};

struct word_list {
    struct word *words;
    int n_words;
    int *slots;
    int n_streams;
};

static int kind_of(unsigned char c) {
    if (c >= 0x80 || c < ' ' || isdigit(c)) return 0; /* never part of a piece */
    if (isalpha(c) || c == '_') return 1;
    return 2;
}

/* Length of the word at the beginning of the text: an optional space, then characters of one kind. */
static int word_size(const char *text) {
    int size = text[0] == ' ' ? 1 : 0;
    int kind = kind_of((unsigned char)text[size]);
    if (text[size] == '\0' || text[size] == ' ' || kind == 0) return size > 0 ? size : 1;
    while (text[size] != '\0' && text[size] != ' ' && kind_of((unsigned char)text[size]) == kind) ++size;
    return size;
}

static int count_word(struct word_list *list, const char *text, int size, int weight) {
    unsigned slot = hash_of(text, (size_t)size) % (unsigned)list->n_streams;
    for (; list->slots[slot] >= 0; slot = (slot + 1) % (unsigned)list->n_streams) {
        struct word *word = &list->words[list->slots[slot]];
        if (word->size == size && memcmp(word->text, text, (size_t)size) == 0) {
            word->count += weight;
            return 0;
        }
    }
    if (list->n_words >= list->n_streams / 2) return -1;
    struct word *word = &list->words[list->n_words];
    *word = (struct word){.text = text, .size = size, .count = weight};
    list->slots[slot] = list->n_words++;
    return 0;
}

static int count_words(struct word_list *list, const struct tokenizer_sample *samples, int n_samples) {
    for (int i = 0; i < n_samples; ++i) {
        for (const char *text = samples[i].text; *text;) {
            int size = word_size(text);
            if (kind_of((unsigned char)text[size - 1]) != 0 && size <= WORD_SYMBOLS_MAX) {
                if (count_word(list, text, size, samples[i].weight)) return -1;
            }
            text += size;
        }
    }
    return 0;
}

/* Joins neighbours in all words whose texts together are that of the token. */
static void join_in_words(const struct tokenizer *tokenizer, struct word_list *list, int token) {
    const char *text = tokenizer->texts[token];
    size_t size = strlen(text);
    for (int w = 0; w < list->n_words; ++w) {
        struct word *word = &list->words[w];
        int n = 0;
        for (int i = 0; i < word->n_symbols; ++i) {
            word->symbols[n] = word->symbols[i];
            if (i + 1 < word->n_symbols) {
                const char *left = tokenizer->texts[word->symbols[i]];
                const char *right = tokenizer->texts[word->symbols[i + 1]];
                size_t left_size = strlen(left);
                if (left_size < size && strncmp(text, left, left_size) == 0 && strcmp(text + left_size, right) == 0) {
                    word->symbols[n] = token;
                    ++i;
                }
            }
            ++n;
        }
        word->n_symbols = n;
    }
}

/* Counts all pairs of neighbours. counts is a capacity x capacity table of zeros.
 * Returns the most frequent pair as left * capacity + right (the smallest one of several), or -1 if none occurs twice.
 */
static int64_t most_frequent_pair(const struct tokenizer *tokenizer, const struct word_list *list, int *counts) {
    int64_t best = -1;
    int best_count = 1;
    for (int pass = 0; pass < 3; ++pass) { /* count, choose, and make the table zero again */
        for (int w = 0; w < list->n_words; ++w) {
            const struct word *word = &list->words[w];
            for (int i = 0; i + 1 < word->n_symbols; ++i) {
                int64_t pair = (int64_t)word->symbols[i] * tokenizer->capacity + word->symbols[i + 1];
                if (pass == 0) counts[pair] += word->count;
                if (pass == 2) counts[pair] = 0;
                if (pass != 1) continue;
                if (counts[pair] > best_count || (counts[pair] == best_count && best >= 0 && pair < best)) {
                    best = pair;
                    best_count = counts[pair];
                }
            }
        }
    }
    return best;
}

static int choose_pieces(struct tokenizer *tokenizer, struct word_list *list) {
    int *counts = calloc((size_t)tokenizer->capacity * (size_t)tokenizer->capacity, sizeof *counts);
    if (!counts) return -1;
    for (int w = 0; w < list->n_words; ++w) {
        struct word *word = &list->words[w];
        for (int i = 0; i < word->size; ++i) word->symbols[i] = TOKEN_FIRST_PIECE + (word->text[i] - ' ');
        word->n_symbols = word->size;
    }
    int result = 0;
    while (result == 0 && tokenizer->n_tokens < tokenizer->capacity) {
        int64_t pair = most_frequent_pair(tokenizer, list, counts);
        if (pair < 0) break;
        char text[2 * PIECE_SIZE_MAX];
        int size = snprintf(text, sizeof text, "%s%s", tokenizer->texts[pair / tokenizer->capacity],
                            tokenizer->texts[pair % tokenizer->capacity]);
        int token = find(tokenizer, text, (size_t)size); /* the same text may arise from different pairs */
        if (token < 0) {
            result = add(tokenizer, text, (size_t)size);
            token = tokenizer->n_tokens - 1;
        }
        if (result == 0) join_in_words(tokenizer, list, token);
    }
    free(counts);
    return result;
}

int tokenizer_train(struct tokenizer *tokenizer, const struct tokenizer_sample *samples, int n_samples, int n_tokens) {
    struct word_list list = {.n_streams = 1 << 16};
    int result = -1;
    list.words = malloc((size_t)(list.n_streams / 2) * sizeof *list.words);
    list.slots = malloc((size_t)list.n_streams * sizeof *list.slots);
    if (make_empty(tokenizer, n_tokens) || !list.words || !list.slots) goto done;
    for (int i = 0; i < list.n_streams; ++i) list.slots[i] = -1;
    if (add_fixed_tokens(tokenizer) || count_words(&list, samples, n_samples)) goto done;
    result = choose_pieces(tokenizer, &list);
done:
    free(list.words);
    free(list.slots);
    if (result) tokenizer_free(tokenizer);
    return result;
}

int tokenizer_restore(struct tokenizer *tokenizer, const char *const *texts, int n_tokens) {
    int result = make_empty(tokenizer, n_tokens);
    for (int i = 0; result == 0 && i < n_tokens; ++i) result = add(tokenizer, texts[i], strlen(texts[i]));
    if (result) tokenizer_free(tokenizer);
    return result;
}

/* Where encoded tokens go. */
struct token_sink {
    int *tokens;
    int max_tokens;
    int n_tokens; /* also counts those that found no room */
};

static void put(struct token_sink *sink, int token) {
    if (sink->n_tokens < sink->max_tokens) sink->tokens[sink->n_tokens] = token;
    ++sink->n_tokens;
}

/* A part of a word while it is being joined. */
struct symbol {
    const char *text;
    int size;
};

/* The number of bytes of a UTF-8 character by its first byte; stray bytes count as characters. */
static int character_size(unsigned char first) {
    if (first < 0xc0) return 1;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Encodes a stretch of text in which spaces are already U+2581. Of all neighbours that form a piece it joins those with
 * the greatest score (the smallest id), the leftmost first, until there are none left. Quadratic, so keep it short. */
static void encode_stretch(const struct tokenizer *tokenizer, const char *text, int size, struct token_sink *sink) {
    struct symbol symbols[SYMBOLS_MAX];
    int joined[SYMBOLS_MAX]; /* joined[i]: the piece that symbols i and i + 1 form, or -1 */
    int n = 0;
    for (int at = 0; at < size; ++n) {
        int n_bytes = character_size((unsigned char)text[at]);
        if (n_bytes > size - at) n_bytes = size - at;
        symbols[n] = (struct symbol){text + at, n_bytes};
        at += n_bytes;
    }
    for (int i = 0; i + 1 < n; ++i) {
        joined[i] = find(tokenizer, symbols[i].text, (size_t)(symbols[i].size + symbols[i + 1].size));
    }
    for (;;) {
        int best = -1;
        for (int i = 0; i + 1 < n; ++i) {
            if (joined[i] >= 0 && (best < 0 || joined[i] < joined[best])) best = i;
        }
        if (best < 0) break;
        symbols[best].size += symbols[best + 1].size;
        --n;
        for (int i = best + 1; i < n; ++i) {
            symbols[i] = symbols[i + 1];
            joined[i] = joined[i + 1];
        }
        for (int i = best - 1; i <= best; ++i) {
            if (i < 0 || i + 1 >= n) continue;
            joined[i] = find(tokenizer, symbols[i].text, (size_t)(symbols[i].size + symbols[i + 1].size));
        }
    }
    for (int i = 0; i < n; ++i) {
        int token = find(tokenizer, symbols[i].text, (size_t)symbols[i].size);
        if (token >= 0) {
            put(sink, token);
            continue;
        }
        for (int j = 0; j < symbols[i].size; ++j) put(sink, TOKEN_BYTE_0 + (unsigned char)symbols[i].text[j]);
    }
}

/* Text on its way to encode_stretch. */
struct stretch {
    char text[SYMBOLS_MAX];
    int size;
    int n_owed; /* bytes that the last character still lacks */
};

static void add_byte(struct stretch *stretch, char byte) {
    stretch->n_owed = stretch->n_owed > 0 ? stretch->n_owed - 1 : character_size((unsigned char)byte) - 1;
    stretch->text[stretch->size++] = byte;
}

/* Encodes text without control tokens. No piece contains a space but at its beginning, so that the text can be cut
 * before every space without changing the result, unless broken UTF-8 claims the space for the character before it.
 * A word that is too long is cut anyway. */
static void encode_plain(const struct tokenizer *tokenizer, const char *text, size_t size, struct token_sink *sink) {
    struct stretch stretch = {.size = 0};
    for (size_t i = 0; i < size; ++i) {
        int may_cut = text[i] == ' ' && stretch.n_owed == 0;
        if (stretch.size > 0 && (may_cut || stretch.size > SYMBOLS_MAX - 2 * SPACE_SIZE)) {
            encode_stretch(tokenizer, stretch.text, stretch.size, sink);
            stretch.size = stretch.n_owed = 0;
        }
        for (int j = 0; text[i] == ' ' && j < SPACE_SIZE; ++j) add_byte(&stretch, SPACE[j]);
        if (text[i] != ' ') add_byte(&stretch, text[i]);
    }
    if (stretch.size > 0) encode_stretch(tokenizer, stretch.text, stretch.size, sink);
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size_bytes, int *tokens,
                     int max_tokens) {
    struct token_sink sink = {.tokens = tokens, .max_tokens = max_tokens};
    size_t begin = 0;
    for (size_t at = 0; at < size_bytes;) {
        int control = -1;
        size_t control_size = 0;
        for (int i = 0; text[at] == '<' && i < TOKEN_BYTE_0; ++i) {
            control_size = strlen(tokenizer->texts[i]);
            if (control_size <= size_bytes - at && memcmp(text + at, tokenizer->texts[i], control_size) == 0) {
                control = i;
                break;
            }
        }
        if (control < 0) {
            ++at;
            continue;
        }
        encode_plain(tokenizer, text + begin, at - begin, &sink);
        put(&sink, control);
        begin = at += control_size;
    }
    encode_plain(tokenizer, text + begin, size_bytes - begin, &sink);
    return sink.n_tokens;
}

int tokenizer_bytes(const struct tokenizer *tokenizer, int token) {
    if (token >= TOKEN_BYTE_0 && token < TOKEN_FIRST_PIECE) return 1;
    int n = 0;
    for (const char *text = tokenizer->texts[token]; *text; ++n) text += strncmp(text, SPACE, SPACE_SIZE) == 0 ? SPACE_SIZE : 1;
    return n;
}

enum token_type tokenizer_type(int token) {
    if (token == TOKEN_UNKNOWN) return TOKEN_TYPE_UNKNOWN;
    if (token < TOKEN_BYTE_0) return TOKEN_TYPE_CONTROL;
    return token < TOKEN_FIRST_PIECE ? TOKEN_TYPE_BYTE : TOKEN_TYPE_NORMAL;
}

float tokenizer_score(int token) { return token < TOKEN_FIRST_PIECE ? 0.0f : (float)(TOKEN_FIRST_PIECE - token); }

void tokenizer_free(struct tokenizer *tokenizer) {
    if (tokenizer->texts) {
        for (int i = 0; i < tokenizer->n_tokens; ++i) free(tokenizer->texts[i]);
    }
    free(tokenizer->texts);
    free(tokenizer->slots);
    *tokenizer = (struct tokenizer){0};
}
