/* coverage_exit.c - linked into every program and library of the coverage build and into no other (see
 * scripts/coverage.sh): counts are written at exit(), and this writes them at _exit() and execve(), too.
 *
 * A program and a library count for themselves. Each defines _exit(), writes its own counts and goes on to the next
 * definition; the last one is the C library's. gcc calls __gcov_execve where the source says execve. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);
__attribute__((visibility("hidden"))) int __gcov_execve(const char *path, char *const arguments[], char *const environment[]);

/* Writing takes memory, which a test of faults (faults/failing_calls.c) may be keeping back. */
static void write_counts(void) {
    void (*no_more_faults)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "failing_calls_end");
    if (no_more_faults) no_more_faults();
    __gcov_dump();
}

__attribute__((visibility("default"), noreturn)) void _exit(int status) {
    void (*next)(int) = (void (*)(int))dlsym(RTLD_NEXT, "_exit");
    write_counts();
    next(status);
    __builtin_unreachable();
}

int __gcov_execve(const char *path, char *const arguments[], char *const environment[]) {
    write_counts();
    int failed = execve(path, arguments, environment);
    __gcov_reset(); /* what is written already is not counted twice */
    return failed;
}
