/* coverage_exit.c - linked into every program and library of the coverage build and into no other (see
 * scripts/coverage.sh): counts are written at exit(), and this writes them at _exit(), too.
 *
 * A program and a library count for themselves. Each defines _exit(), writes its own counts and goes on to the next
 * definition; the last one is the C library's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

void __gcov_dump(void);

__attribute__((visibility("default"), noreturn)) void _exit(int status) {
    void (*next)(int) = (void (*)(int))dlsym(RTLD_NEXT, "_exit");
    void (*no_more_faults)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "failing_calls_end"); /* of a test of these */
    if (no_more_faults) no_more_faults();
    __gcov_dump();
    next(status);
    __builtin_unreachable();
}
