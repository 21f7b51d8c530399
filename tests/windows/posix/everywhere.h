/* everywhere.h - what the tests call without a header that could be stood in for. Included before every test. */
#ifndef TESTS_WINDOWS_EVERYWHERE_H
#define TESTS_WINDOWS_EVERYWHERE_H

#include <pthread.h>
#include <stdlib.h>

void *posix_aligned_alloc(size_t alignment, size_t size);
void posix_free(void *memory);
#define aligned_alloc posix_aligned_alloc
#define free posix_free

int setenv(const char *name, const char *value, int overwrites);
int unsetenv(const char *name);
int pause(void);
#define pthread_tryjoin_np _pthread_tryjoin

#endif
