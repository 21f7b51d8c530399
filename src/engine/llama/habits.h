/* habits.h - what a model has said before: which token followed the last one, the last two, the last three. A model that
 * is evaluated two rows at a time has a row to spare for the likeliest next token; when it is what the model chooses, the
 * token after it is there as well. Learned from all answers since the model was loaded, and never asked for more than a
 * guess: what is chosen depends on the logits alone. No llama.h here.
 */
#ifndef ENGINE_LLAMA_HABITS_H
#define ENGINE_LLAMA_HABITS_H

#include <stdint.h>

#define HABITS_NOTHING (-1)

/* Some hundred kilobytes, touched at once: it does not grow. */
typedef struct habits habits;

habits *habits_new(void); /* NULL if memory ran out */
void habits_free(habits *habits); /* NULL allowed */

/* Learns that `next` came behind the text. */
void habits_learn(habits *habits, const int32_t *text, int32_t n_text, int32_t next);

/* What is likely to come behind the text; HABITS_NOTHING if nothing like it was seen. */
int32_t habits_guess(const habits *habits, const int32_t *text, int32_t n_text);

#endif
