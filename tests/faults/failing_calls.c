/* failing_calls.c - preloaded into a program under test: the N-th call for memory fails, or the N-th that a signal may
 * interrupt is interrupted, as the board says.
 *
 * Calls are counted from the beginning of main to its end, in all processes together. Those of C++ libraries that are
 * initialized before it are not counted: they would end the program; nor what a coverage build does after it. */
#include "fault_board.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The C library's own, behind the names that are replaced here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

typedef int (*main_fn)(int, char **, char **);
typedef int (*start_fn)(main_fn, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
void failing_calls_end(void); /* coverage_exit.c looks for it by its name */
int __libc_start_main(main_fn program_main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end);

static fault_board *board;
static uintptr_t program_begin, program_end;
static bool has_ended; /* atomic: this process calls nothing any more but what writes a coverage build's counts */

static int find_program(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size, (void)unused;
    program_begin = UINTPTR_MAX;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + part->p_vaddr, end = begin + part->p_memsz;
        if (part->p_type != PT_LOAD)
            continue;
        if (begin < program_begin)
            program_begin = begin;
        if (end > program_end)
            program_end = end;
    }
    return 1; /* the first object is the program */
}

static void open_board(void) {
    const char *path = getenv(FAULT_BOARD_VARIABLE);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    dl_iterate_phdr(find_program, NULL);
    void *memory = (void *)syscall(SYS_mmap, NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        board = memory;
}

static bool must_fail(fault_kind kind, const void *caller) {
    if (!board || __atomic_load_n(&has_ended, __ATOMIC_RELAXED) || board->kind != (int)kind)
        return false;
    bool is_program = (uintptr_t)caller >= program_begin && (uintptr_t)caller < program_end;
    if (board->is_program_only && !is_program)
        return false;
    int number = __atomic_add_fetch(&board->n_calls, 1, __ATOMIC_SEQ_CST);
    if (number < board->first || number - board->first > board->n_more)
        return false;
    __atomic_add_fetch(&board->n_failed, 1, __ATOMIC_SEQ_CST);
    errno = kind == FAULT_SIGNAL ? EINTR : ENOMEM;
    return true;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size) {
    return must_fail(FAULT_HEAP, CALLER) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    return must_fail(FAULT_HEAP, CALLER) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size) {
    return must_fail(FAULT_HEAP, CALLER) ? NULL : __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return must_fail(FAULT_HEAP, CALLER) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    void *got = must_fail(FAULT_HEAP, CALLER) ? NULL : __libc_memalign(alignment, size);
    if (!got)
        return ENOMEM;
    *memory = got;
    return 0;
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    if (must_fail(FAULT_SYSTEM, CALLER))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

pid_t fork(void) {
    static pid_t (*real)(void);
    if (!real)
        real = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
    return must_fail(FAULT_SYSTEM, CALLER) ? -1 : real();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    static create_fn real;
    if (!real)
        real = (create_fn)dlsym(RTLD_NEXT, "pthread_create");
    return must_fail(FAULT_SYSTEM, CALLER) ? EAGAIN : real(thread, attributes, run, argument);
}

/* ---- what a signal may interrupt ---------------------------------------------------------------------------------- */

/* Defines `name` so that it is interrupted, or does what it does. */
#define INTERRUPTIBLE(type, name, parameters, arguments)                                                               \
    type name parameters {                                                                                             \
        static type(*real) parameters;                                                                                 \
        if (!real)                                                                                                     \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                                        \
        return must_fail(FAULT_SIGNAL, CALLER) ? -1 : real arguments;                                                  \
    }

INTERRUPTIBLE(int, fallocate, (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size))
INTERRUPTIBLE(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
INTERRUPTIBLE(int, poll, (struct pollfd *files, nfds_t n, int timeout_ms), (files, n, timeout_ms))
INTERRUPTIBLE(int, epoll_wait, (int epoll, struct epoll_event *events, int n, int timeout_ms),
              (epoll, events, n, timeout_ms))
INTERRUPTIBLE(int, sem_clockwait, (sem_t *semaphore, clockid_t clock, const struct timespec *until),
              (semaphore, clock, until))
INTERRUPTIBLE(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size))
INTERRUPTIBLE(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
INTERRUPTIBLE(ssize_t, getrandom, (void *bytes, size_t size, unsigned flags), (bytes, size, flags))

/* ---- the beginning and the end of main ---------------------------------------------------------------------------- */

static main_fn real_main;

void failing_calls_end(void) {
    __atomic_store_n(&has_ended, true, __ATOMIC_RELAXED);
}

_Noreturn void exit(int status) {
    failing_calls_end();
    void (*real)(int) = (void (*)(int))dlsym(RTLD_NEXT, "exit");
    real(status);
    __builtin_unreachable();
}

static int begin(int argc, char **argv, char **environment) {
    open_board();
    int status = real_main(argc, argv, environment);
    failing_calls_end();
    return status;
}

/* What the program's first instructions call to have main called. */
int __libc_start_main(main_fn program_main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end) {
    start_fn real = (start_fn)dlsym(RTLD_NEXT, "__libc_start_main");
    real_main = program_main;
    return real(begin, argc, argv, init, fini, rtld_fini, stack_end);
}
