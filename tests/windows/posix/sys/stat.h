#include_next <sys/stat.h>
#include "../posix.h"
int posix_fstat(int descriptor, struct stat *status);
#undef fstat
#define fstat posix_fstat
