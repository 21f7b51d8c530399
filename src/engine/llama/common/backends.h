/* backends.h - the library's parts for the processor and for other devices. */
#ifndef LLAMA_COMMON_BACKENDS_H
#define LLAMA_COMMON_BACKENDS_H

#include <stdbool.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Loads them, once. False: there is none for this processor. */
bool backends_load(void);

/* The devices besides the processor, one a line, with their memory. */
void backends_list_devices(FILE *file);

#ifdef __cplusplus
}
#endif

#endif
