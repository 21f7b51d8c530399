/* model_path.h - where the embedded model is. */
#ifndef HOST_MODEL_PATH_H
#define HOST_MODEL_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Finds the embedded model relative to the running program: in a build tree and in an installation. Writes the path
 * that was found, or the first one that was tried, and returns whether it was found. */
bool model_path_embedded(char *path, size_t size_bytes);

#endif
