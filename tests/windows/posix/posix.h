/* posix.h - the few calls of POSIX that the tests make, for the build for Windows: named objects by their names on Windows as
 * the guide gives them, signals as far as they have a meaning there. The headers of this folder stand before the compiler's. */
#ifndef TESTS_WINDOWS_POSIX_H
#define TESTS_WINDOWS_POSIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* ---- semaphores: "/name" is "Local\name" ---- */
typedef struct posix_semaphore sem_t;
#define SEM_FAILED ((sem_t *)0)
sem_t *sem_open(const char *name, int flags, ...);
int sem_close(sem_t *semaphore);
int sem_post(sem_t *semaphore);
int sem_trywait(sem_t *semaphore);
int sem_wait(sem_t *semaphore);
int sem_clockwait(sem_t *semaphore, int clock, const struct timespec *deadline);
int sem_getvalue(sem_t *semaphore, int *value);

/* ---- shared memory: "/name", or a path "/dev/shm/name", is "Local\name" ---- */
#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_SHARED 1
#define MAP_ANONYMOUS 2
#define MAP_FAILED ((void *)-1)
int shm_open(const char *name, int flags, int mode);
void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset);
int munmap(void *address, size_t size);

/* ---- processes ---- */
#define SIGKILL 9
#define SIGCONT 18
#define SIGSTOP 19
#define SIGPIPE 13
#define SIGALRM 14
#define SIGHUP 1
/* KILL ends it, SEGV and ABRT end it as a crash does; TERM, INT and HUP ask it to end; STOP and CONT suspend it and let it go on. */
int kill(pid_t pid, int signal_number);

/* A process cannot be copied: fork ends the test as one that cannot be run here. What follows is for the code behind it. */
int fork(void);
pid_t waitpid(pid_t pid, int *status, int flags);
#define WNOHANG 1
#define WUNTRACED 2
#define WIFEXITED(status) ((status) < 128)
#define WEXITSTATUS(status) (status)
#define WIFSIGNALED(status) ((status) >= 128)
#define WIFSTOPPED(status) ((void)(status), 0)
#define WTERMSIG(status) ((status) - 128)
/* Nothing here writes an image of its memory when it crashes. */
struct rlimit {
    unsigned long rlim_cur, rlim_max;
};
#define RLIMIT_CORE 4
#define setrlimit(resource, limit) ((void)(limit), 0)
#define PR_SET_PDEATHSIG 1
#define prctl(option, value) ((void)0)

#endif
