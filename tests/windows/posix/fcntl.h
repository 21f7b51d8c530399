#include_next <fcntl.h>
#include "posix.h"
#ifndef O_CLOEXEC
#define O_CLOEXEC 0
#endif
/* A path "/dev/shm/name" opens the section; everything else is the system's. */
int posix_open(const char *path, int flags, ...);
#define open posix_open
int posix_close(int descriptor);
#define close posix_close
