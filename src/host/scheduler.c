/* scheduler.c - see scheduler.h. */
#include "scheduler.h"

#include <stdlib.h>

/* Answers of this client that are being made, or come before place `n` of those waiting. */
static size_t load_of(uint32_t client, answer *const *waiting, size_t n, answer *const *running, size_t n_running) {
    size_t load = 0;
    for (size_t i = 0; i < n; i++) load += waiting[i]->client == client;
    for (size_t i = 0; i < n_running; i++) load += running[i]->client == client;
    return load;
}

/* A change of the model has its turn behind everything that arrived before it, and before everything that arrived after
 * it: two eras for each, its own and the one that it begins. */
static void assign_eras(answer **waiting, size_t n_waiting) {
    for (size_t i = 0; i < n_waiting; i++) waiting[i]->model_order = waiting[i]->load_path != NULL;
    for (size_t load = 0; load < n_waiting; load++) {
        if (!waiting[load]->load_path) continue;
        for (size_t i = 0; i < n_waiting; i++)
            if (waiting[i]->arrived > waiting[load]->arrived) waiting[i]->model_order += 2;
    }
}

void scheduler_sort(answer **waiting, size_t n_waiting, answer *const *running, size_t n_running) {
    assign_eras(waiting, n_waiting);
    /* Place after place, the best of the rest: a client that got a place has more load for the next. */
    for (size_t place = 0; place < n_waiting; place++) {
        size_t best = place, best_load = 0;
        for (size_t i = place; i < n_waiting; i++) {
            size_t load = load_of(waiting[i]->client, waiting, place, running, n_running);
            bool is_better = waiting[i]->is_resumed != waiting[best]->is_resumed ? waiting[i]->is_resumed
                             : waiting[i]->model_order != waiting[best]->model_order ? waiting[i]->model_order < waiting[best]->model_order
                             : waiting[i]->priority != waiting[best]->priority
                                 ? waiting[i]->priority > waiting[best]->priority
                             : load != best_load ? load < best_load
                                                 : waiting[i]->arrived < waiting[best]->arrived;
            if (i == place || is_better) {
                best = i;
                best_load = load;
            }
        }
        answer *chosen = waiting[best];
        waiting[best] = waiting[place];
        waiting[place] = chosen;
    }
}
