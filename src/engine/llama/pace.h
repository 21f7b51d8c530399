/* pace.h - one thread or several, by what is faster at the moment.
 *
 * The library's threads meet at a spinning barrier after each node of a graph. For a small model with several answers at a
 * time a second core helps, unless another program wants it: then each meeting waits for the scheduler, and a step takes
 * many times as long (docs/decisions/0003). No rule knows which it is, so now and then a few steps are made the other way,
 * and the faster one is kept. A way that loses is tried less and less often, up to once in PACE_REST_MOST steps; one that
 * suddenly takes much longer is left at once.
 *
 * No llama.h here: this is arithmetic on times.
 */
#ifndef ENGINE_LLAMA_PACE_H
#define ENGINE_LLAMA_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Answers at a time from which on several threads are tried: below, there is too little to share. */
#define PACE_ANSWERS_LEAST 3
#define PACE_TRIAL_STEPS 3
#define PACE_REST_FIRST 32
#define PACE_REST_MOST 4096

typedef struct pace {
    bool is_wide;        /* the way at hand: several threads */
    int32_t n_left;      /* steps of the trial that is under way; 0: none is */
    int32_t n_until;     /* steps until the next one */
    int32_t rest;        /* steps between trials */
    double usual_ns;     /* what a step takes for each answer, this way; 0: not known */
    double trial_ns;     /* the best step of the trial */
} pace;

/* Whether the next step, for so many answers, uses several threads. */
bool pace_is_wide(const pace *pace, int n_answers);

/* What that step took. */
void pace_note(pace *pace, int n_answers, uint64_t step_ns);

#endif
