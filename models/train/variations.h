/* variations.h - varies the questions of the corpus, so that the model learns what they mean rather than how they are
 * spelled. */
#ifndef TUTOR_VARIATIONS_H
#define TUTOR_VARIATIONS_H

#include "corpus.h"
#include "random.h"

#include <stddef.h>

/* A longest question, in bytes with the terminating zero. */
enum { QUESTION_SIZE_BYTES = 1024 };

/* The sections of variations.txt. Pointers into lines, in which '_' at the ends has become a space. */
struct variations {
    struct corpus_lines lines;
    char **frames;
    int n_frames;
    char **openings; /* groups are separated by "-" */
    int n_openings;
    char **fillers;
    int n_fillers;
    char **patterns;
    int n_patterns;
    char **everyday;
    int n_everyday;
};

/* Reads variations.txt. Returns 0, or -1 with a message in error. End it with variations_free. */
int variations_load(struct variations *variations, const char *path, char *error, size_t error_size);
void variations_free(struct variations *variations);

/* Writes a variation of the question, which may be the question itself. */
void variations_of_question(const struct variations *variations, struct random_source *random, const char *question,
                            char varied[QUESTION_SIZE_BYTES]);

/* Puts polite words and the like around a question. */
void variations_frame(const struct variations *variations, struct random_source *random, char question[QUESTION_SIZE_BYTES]);

/* Makes up a question about something the model does not know: everyday words in sentence patterns, heaps of words, or
 * random letters. */
void variations_make_up(const struct variations *variations, struct random_source *random,
                        char made_up[QUESTION_SIZE_BYTES]);

/* Writes what two questions must share to count as the same: letters in lower case, digits, and the signs + # - _ . /
 * &. Other characters vanish, a stop at the end as well. */
void variations_essence(const char *question, char essence[QUESTION_SIZE_BYTES]);

#endif
