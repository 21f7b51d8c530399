/* tokenizer.h - the tokenizer of the tutor model: byte pair encoding with byte fallback, in the form that llama.cpp
 * calls "llama" (SPM).
 *
 * It must cut every text exactly as llama_tokenize does with parse_special = true and the metadata this trainer writes;
 * tutor_check compares the two. */
#ifndef TUTOR_TOKENIZER_H
#define TUTOR_TOKENIZER_H

#include <stddef.h>

/* Fixed ids. Bytes 0..255 are TOKEN_BYTE_0 .. TOKEN_BYTE_0 + 255. */
enum {
    TOKEN_UNKNOWN = 0,
    TOKEN_BEGIN = 1,  /* never used; llama.cpp wants one */
    TOKEN_IM_END = 2, /* ends a message, and the answer */
    TOKEN_IM_START = 3,
    TOKEN_THINK = 4, /* a thought, a call and what a tool says: where each begins and ends */
    TOKEN_THINK_END = 5,
    TOKEN_CALL = 6,
    TOKEN_CALL_END = 7,
    TOKEN_RESPONSE = 8,
    TOKEN_RESPONSE_END = 9,
    TOKEN_BYTE_0 = 10,
    TOKEN_FIRST_PIECE = TOKEN_BYTE_0 + 256,
};

/* Kinds of tokens, with the numbers of tokenizer.ggml.token_type. */
enum token_type { TOKEN_TYPE_NORMAL = 1, TOKEN_TYPE_UNKNOWN = 2, TOKEN_TYPE_CONTROL = 3, TOKEN_TYPE_BYTE = 6 };

struct tokenizer {
    char **texts; /* n_tokens, as in the GGUF file: a space is U+2581 */
    int n_tokens;
    int capacity;
    int *slots; /* open hash table from text to id, -1 where empty */
    int n_streams;
};

/* A text and how much it counts when the pieces are chosen. */
struct tokenizer_sample {
    const char *text;
    int weight;
};

/* Chooses up to n_tokens tokens for the given texts (Sennrich, Haddow, Birch: Neural Machine Translation of Rare Words
 * with Subword Units, 2016). Pieces stay inside a word; a leading space belongs to the word. Of digits there are all
 * pairs and nothing longer, so that any number can be copied. Characters outside ASCII get no pieces and are always written as bytes.
 * n_tokens must be greater than TOKEN_FIRST_PIECE + 195.
 * Returns 0, or -1 if out of memory. The caller ends it with tokenizer_free. */
int tokenizer_train(struct tokenizer *tokenizer, const struct tokenizer_sample *samples, int n_samples, int n_tokens);

/* Makes a tokenizer of the texts of all tokens in order of their ids, for example read from a GGUF file; the first
 * TOKEN_FIRST_PIECE of them must be those of this header. Same results as tokenizer_train. */
int tokenizer_restore(struct tokenizer *tokenizer, const char *const *texts, int n_tokens);

/* Cuts the text into tokens. The texts of control tokens become those tokens. Writes at most max_tokens ids and
 * returns how many there are in all, so a greater value than max_tokens means that the buffer was too small. */
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size_bytes, int *tokens,
                     int max_tokens);

/* How many bytes of a text a token stands for. */
int tokenizer_bytes(const struct tokenizer *tokenizer, int token);

/* tokenizer.ggml.token_type of a token. */
enum token_type tokenizer_type(int token);

/* tokenizer.ggml.scores of a token: of all possible joins the one with the greatest score is made first. */
float tokenizer_score(int token);

/* Frees everything. Safe on a zeroed tokenizer. */
void tokenizer_free(struct tokenizer *tokenizer);

#endif
