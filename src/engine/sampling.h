/* sampling.h - the parameters of a sampler: what they are where nobody says. Pure functions.
 *
 * A value is what a request says; else what the host's user says; else what the model's file says, as its publisher
 * recommends it; else the default of lipc/parameters.h. Until then it is its mark of being left to the next one.
 */
#ifndef ENGINE_SAMPLING_H
#define ENGINE_SAMPLING_H

#include "engine.h"

/* All are left to the next one. */
void sampling_init(engine_sampling *sampling);

/* Sets one by its name. False: there is none of this name, or the text is not a value that it can have. Texts are not copied. */
bool sampling_set(engine_sampling *sampling, const char *name, const char *text);

/* Those that are left to the next one become what `next` says. */
void sampling_fill(engine_sampling *sampling, const engine_sampling *next);

/* ... and the defaults of lipc/parameters.h. */
void sampling_complete(engine_sampling *sampling);

#endif
