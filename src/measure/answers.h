/* answers.h - asking for answers in order to time them: of a host through the modern channel, of the bare loop. Whatever
 * fails ends the program. */
#ifndef MEASURE_ANSWERS_H
#define MEASURE_ANSWERS_H

#include "measure.h"

#include <lipc/lipc.h>
#include <stdio.h>

/* Of hosts and of the bare loop. */
#define ANSWER_CONTEXT "4096"
#define ANSWER_SEED "1"

/* The prompts of request `number`. Each begins with its own number, so that nobody can reuse what is cached of another,
 * and all have the same length. */
typedef struct prompts {
    char system[128];
    char user[128];
} prompts;

prompts make_prompts(int number);

/* What one answer cost, as the one who asked sees it. */
typedef struct answer_cost {
    int n_tokens;
    double first_ms;     /* from asking to the first token */
    double tokens_per_s; /* from the first token to the last */
    double cpu_us;       /* processor time of the client's thread per token; 0 for the bare loop */
    double survivors;    /* bare loop, if asked for: candidates that pass min-p 0.05, on average */
} answer_cost;

/* ---- modern channel ------------------------------------------------------------------------------------------------ */

/* Attaches to a host when it is there and has loaded its model. A failure ends the program, as in all of these. */
lipc_client *modern_open(const char *name, int wakes_per_second);
/* Sends a request. An endless one is answered until it is cancelled. */
lipc_stream *modern_ask(lipc_client *client, bool is_endless);

/* ---- bare loop -------------------------------------------------------------------------------------------------- */

typedef struct bare_subject {
    pid_t pid;
    FILE *to, *from;
} bare_subject;

/* Starts the program on a model, with so many threads and room for evaluating so many sequences of n_ctx tokens
 * together. */
void bare_open(bare_subject *bare, const char *program, const char *model_path, int n_threads, int n_ctx,
               int n_sequences);
/* Evaluation alone, without sampler and text: n_tokens of each of n_sequences together, behind prompts of n_prompt
 * tokens, which take first_ms all in all. */
answer_cost bare_evaluate(bare_subject *bare, int n_sequences, int n_prompt, int n_tokens);
/* n_old tokens, and then first_ms is the time that n_new further ones take. */
answer_cost bare_resume(bare_subject *bare, int n_old, int n_new);
answer_cost bare_answer(bare_subject *bare, const prompts *prompts, int n_predict, bool count_survivors);
void bare_stop(bare_subject *bare);

#endif
