/* lessons.h - makes the conversations that the model is trained on, written down with the chat template and cut into
 * tokens. */
#ifndef TUTOR_LESSONS_H
#define TUTOR_LESSONS_H

#include "calculations.h"
#include "corpus.h"
#include "network.h"
#include "tokenizer.h"
#include "variations.h"

/* A pack holds this many tokens at most, which is also the greatest length of a conversation. */
enum { LESSON_PACK_TOKENS_MAX = 1536 };

/* The entry of questions.txt whose answer calculations get where no tool calculates. */
#define CALCULATION_ID "calculate"

/* What the model thinks: of a question that it knows (followed by the question's first phrasing), of any other, of one calculation or
 * two for which there is a tool, of any for which there is none, and of a tool's answer. */
#define THOUGHT_KNOWN "I know this one: "
#define THOUGHT_UNKNOWN "None of my answers fits. I should say so."
#define THOUGHT_ONE_CALL "That is a calculation. I ask the tool."
#define THOUGHT_TWO_CALLS "These are two calculations. I call the tool twice."
#define THOUGHT_NO_TOOL "That is a calculation, and I have no tool for it."
#define THOUGHT_ANSWERED "The tool has answered."
#define THOUGHT_REPETITION "I am to repeat that."

/* Of a question that begins so the rest is repeated. */
#define REPETITION "Repeat: "

/* What a folder of corpus files holds. */
struct lesson_material {
    struct corpus questions;
    struct corpus off_topic;
    struct corpus held_out;
    struct corpus_lines system_prompts;
    struct variations variations;
    struct calculations calculations;
    char *chat_template;
};

/* Hands out conversations: every phrasing of the corpus once, in random order, then all of them again in another order.
 */
struct lessons {
    const struct lesson_material *material;
    const struct tokenizer *tokenizer;
    double thoughts; /* the share of conversations at whose end the model is asked to think */
    struct random_source random;
    struct lesson_item *items; /* all phrasings */
    int n_items;
    int next;
    struct conversation *conversations; /* a short and a long one: made, but not yet handed out; empty if n_tokens is 0 */
    struct passage *passage;
    char **forbidden;                  /* the essences of the held-out phrasings, sorted */
    int n_forbidden;
};

/* A batch under construction, with room for LESSON_PACK_TOKENS_MAX tokens. */
struct lesson_pack {
    struct network_batch batch; /* its pointers are the arrays below */
    int *tokens, *targets, *begins;
    float *loss_weights;
};

/* Reads all corpus files of a folder. Returns 0, or -1 with a message in error. End it with lesson_material_free. */
int lesson_material_load(struct lesson_material *material, const char *folder, char *error, size_t error_size);
void lesson_material_free(struct lesson_material *material);

/* Trains the tokenizer on the material. Returns 0, or -1 if out of memory. */
int lesson_material_train_tokenizer(const struct lesson_material *material, struct tokenizer *tokenizer, int n_tokens);

/* Begins to hand out lessons; the same seed gives the same ones. thoughts: see above. material and tokenizer must live longer.
 * Returns 0, or -1 if out of memory. End it with lessons_free. */
int lessons_new(struct lessons *lessons, const struct lesson_material *material, const struct tokenizer *tokenizer,
                double thoughts, struct random_source random);
void lessons_free(struct lessons *lessons);

/* Returns 0, or -1 if out of memory. End it with lesson_pack_free. */
int lesson_pack_new(struct lesson_pack *pack);
void lesson_pack_free(struct lesson_pack *pack);

/* Fills the pack with as many conversations as find room in max_tokens tokens (512 to LESSON_PACK_TOKENS_MAX): short ones, or long
 * ones that go on until there is no room. */
void lessons_fill(struct lessons *lessons, struct lesson_pack *pack, int is_long, int max_tokens);

#endif
