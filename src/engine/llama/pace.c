/* pace.c - see pace.h. */
#include "pace.h"

/* A trial wins if its best step takes so much of the usual time or less; a step that takes so many times as long as usual
 * ends a trial, or the way it was made. */
#define WINS 0.9
#define TOO_LONG 3

bool pace_is_wide(const pace *pace, int n_answers) {
    if (n_answers < PACE_ANSWERS_LEAST) return false;
    return pace->n_left > 0 ? !pace->is_wide : pace->is_wide;
}

static void rest(pace *pace, int32_t n_steps) {
    pace->n_left = 0;
    pace->rest = n_steps < PACE_REST_MOST ? n_steps : PACE_REST_MOST;
    pace->n_until = pace->rest;
}

static void change_way(pace *pace, double usual_ns) {
    pace->is_wide = !pace->is_wide;
    pace->usual_ns = usual_ns;
}

static void note_usual(pace *pace, double ns) {
    if (pace->rest == 0) rest(pace, PACE_REST_FIRST);
    if (pace->usual_ns == 0) pace->usual_ns = ns;
    if (pace->is_wide && ns > TOO_LONG * pace->usual_ns) {
        change_way(pace, 0);
        rest(pace, 2 * pace->rest);
        return;
    }
    pace->usual_ns += (ns - pace->usual_ns) / 8;
    if (--pace->n_until > 0) return;
    pace->n_left = PACE_TRIAL_STEPS;
    pace->trial_ns = ns * TOO_LONG;
}

static void note_trial(pace *pace, double ns) {
    if (ns < pace->trial_ns) pace->trial_ns = ns;
    if (ns > TOO_LONG * pace->usual_ns) {
        rest(pace, 2 * pace->rest);
        return;
    }
    if (--pace->n_left > 0) return;
    if (pace->trial_ns <= WINS * pace->usual_ns) {
        change_way(pace, pace->trial_ns);
        rest(pace, PACE_REST_FIRST);
    } else {
        rest(pace, 2 * pace->rest);
    }
}

void pace_note(pace *pace, int n_answers, uint64_t step_ns) {
    if (n_answers < PACE_ANSWERS_LEAST) return;
    double ns = (double)step_ns / n_answers;
    if (pace->n_left > 0) note_trial(pace, ns);
    else note_usual(pace, ns);
}
