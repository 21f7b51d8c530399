/* lessons.h - makes the conversations that the model is trained on, written down with the chat template and cut into
 * tokens. */
#ifndef TUTOR_LESSONS_H
#define TUTOR_LESSONS_H

#include "corpus.h"
#include "network.h"
#include "tokenizer.h"
#include "variations.h"

/* A pack holds at least this many tokens, which is also the greatest length of a conversation. */
enum { LESSON_PACK_TOKENS_MIN = 1536 };

/* What a folder of corpus files holds. */
struct lesson_material {
    struct corpus questions;
    struct corpus off_topic;
    struct corpus held_out;
    struct corpus_lines system_prompts;
    struct variations variations;
};

/* Hands out conversations: every phrasing of the corpus once, in random order, then all of them again in another order.
 */
struct lessons {
    const struct lesson_material *material;
    const struct tokenizer *tokenizer;
    struct random_source random;
    struct lesson_item *items; /* all phrasings */
    int n_items;
    int next;
    struct conversation *conversation; /* made, but not yet handed out; empty if n_tokens is 0 */
    char **forbidden;                  /* the essences of the held-out phrasings, sorted */
    int n_forbidden;
};

/* A batch under construction, with room for max_tokens tokens. */
struct lesson_pack {
    struct network_batch batch; /* its pointers are the arrays below */
    int max_tokens;
    int *tokens, *targets, *begins;
    float *loss_weights;
};

/* Reads all corpus files of a folder. Returns 0, or -1 with a message in error. End it with lesson_material_free. */
int lesson_material_load(struct lesson_material *material, const char *folder, char *error, size_t error_size);
void lesson_material_free(struct lesson_material *material);

/* Trains the tokenizer on the material. Returns 0, or -1 if out of memory. */
int lesson_material_train_tokenizer(const struct lesson_material *material, struct tokenizer *tokenizer, int n_tokens);

/* Begins to hand out lessons; the same seed gives the same ones. material and tokenizer must live longer.
 * Returns 0, or -1 if out of memory. End it with lessons_free. */
int lessons_new(struct lessons *lessons, const struct lesson_material *material, const struct tokenizer *tokenizer,
                struct random_source random);
void lessons_free(struct lessons *lessons);

/* A pack of max_tokens tokens, at least LESSON_PACK_TOKENS_MIN. Returns 0, or -1 if out of memory. End it with
 * lesson_pack_free. */
int lesson_pack_new(struct lesson_pack *pack, int max_tokens);
void lesson_pack_free(struct lesson_pack *pack);

/* Fills the pack with as many conversations as it can hold. */
void lessons_fill(struct lessons *lessons, struct lesson_pack *pack);

#endif
