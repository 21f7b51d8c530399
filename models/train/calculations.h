/* calculations.h - makes up calculations: how they are asked for, what a tool is called with, and what it answers. */
#ifndef TUTOR_CALCULATIONS_H
#define TUTOR_CALCULATIONS_H

#include "corpus.h"
#include "random.h"
#include "variations.h"

#include <stddef.h>

enum { CALCULATIONS_MAX = 2, CALCULATION_SIZE_BYTES = 64, TOOL_SIZE_BYTES = 160 };

/* The sections of calculations.txt. */
enum calculation_section {
    CALCULATION_OPERATORS,
    CALCULATION_AROUND,
    CALCULATION_ONE,
    CALCULATION_ONE_HELD_OUT,
    CALCULATION_TWO,
    CALCULATION_TWO_HELD_OUT,
    CALCULATION_CALCULATORS,
    CALCULATION_OTHERS,
    CALCULATION_FAILURES,
    CALCULATION_SECTIONS
};

struct calculations {
    struct corpus_lines lines;
    struct corpus_section sections[CALCULATION_SECTIONS];
};

/* A question with one calculation or two. */
struct calculation_task {
    char question[QUESTION_SIZE_BYTES];
    int n_parts;
    char expressions[CALCULATIONS_MAX][CALCULATION_SIZE_BYTES]; /* what a tool is called with, such as 12*7 */
    char results[CALCULATIONS_MAX][CALCULATION_SIZE_BYTES];     /* what it answers */
    char answer[4 * CALCULATION_SIZE_BYTES];                    /* what is to be said then */
};

/* A tool that calculates, or another one. */
struct calculation_tool {
    char line[TOOL_SIZE_BYTES]; /* as the chat template writes it */
    char name[TOOL_SIZE_BYTES];
    char parameter[TOOL_SIZE_BYTES]; /* the first one; "" if there is none */
};

/* Reads calculations.txt. Returns 0, or -1 with a message in error. End it with calculations_free. */
int calculations_load(struct calculations *calculations, const char *path, char *error, size_t error_size);
void calculations_free(struct calculations *calculations);

/* Makes up a task. One in eight expressions is held out: held_out says whether only those are made, and sentences that are
 * held out as well, or none of them. A tool's answers are right only half of the time, for they are to be copied. */
void calculations_make(const struct calculations *calculations, const struct variations *variations,
                       struct random_source *random, int held_out, struct calculation_task *task);

/* A line of the section CALCULATORS or OTHERS. */
void calculations_tool(const struct calculations *calculations, enum calculation_section section,
                       struct random_source *random, struct calculation_tool *tool);

#endif
