/* scheduler.h - whose turn it is: the order of the requests that wait. Pure arithmetic. */
#ifndef HOST_SCHEDULER_H
#define HOST_SCHEDULER_H

#include "answer.h"

/* Sorts waiting answers into the order in which they would begin if nothing else came: those that a dead worker had begun
 * first; then higher priority; among equals the client with fewer answers being made and waiting ahead; then who came first. `running` are the answers
 * being made. */
void scheduler_sort(answer **waiting, size_t n_waiting, answer *const *running, size_t n_running);

#endif
