/* draw.h - the random numbers behind the choice of tokens: a function of where a token stands, without any state. So the
 * same choice can be made again by somebody who has seen none of the others, such as a worker that goes on with the
 * answer of a dead one.
 */
#ifndef ENGINE_DRAW_H
#define ENGINE_DRAW_H

#include <stdint.h>

/* Uniform in [0, 1): for the answer with this seed, the token with `position` others before it, and the attempt to
 * choose it, 0 for the first. */
double draw_uniform(uint32_t seed, uint32_t position, uint32_t attempt);

#endif
