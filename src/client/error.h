/* error.h - the library's own side of error reporting: the code goes up, the sentence stays with the thread. */
#ifndef CLIENT_ERROR_H
#define CLIENT_ERROR_H

#include "lipc/lipc.h"

/* Records the sentence for lipc_error_message and returns `error`. */
__attribute__((format(printf, 2, 3))) int lipc_fail(int error, const char *format, ...);

/* The same for a plat_ call that failed to open a host's object. */
int lipc_fail_object(int plat_error, const char *object_name);

/* Gives a structure of `size` bytes, as its caller knows it, what ours holds; what only the caller knows is zero. */
void lipc_give(void *given, size_t given_size, const void *ours, size_t our_size);

#endif
