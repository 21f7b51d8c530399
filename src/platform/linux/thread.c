/* thread.c - see platform.h, "thread". */
#define _GNU_SOURCE /* gettid */
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct plat_thread {
    pthread_t thread;
    void (*run)(void *argument);
    void *argument;
};

static void *run_thread(void *thread) {
    ((plat_thread *)thread)->run(((plat_thread *)thread)->argument);
    return NULL;
}

/* Returns 0 or an errno. */
static int start(plat_thread *thread, size_t stack_bytes) {
    pthread_attr_t attributes;
    static const int own[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    sigset_t all, before;
    pthread_attr_init(&attributes);
    if (stack_bytes > 0) pthread_attr_setstacksize(&attributes, stack_bytes);
    sigfillset(&all);
    /* But what its own instructions raise: whoever handles that does so for all threads. */
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread->thread, &attributes, run_thread, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed;
}

int plat_thread_start(void (*run)(void *argument), void *argument, size_t stack_bytes, plat_thread **result) {
    *result = NULL;
    plat_thread *thread = malloc(sizeof *thread);
    if (!thread) return plat_fail(PLAT_E_NO_MEMORY);
    *thread = (plat_thread){.run = run, .argument = argument};
    int failed = start(thread, stack_bytes);
    if (failed) {
        free(thread);
        errno = failed;
        return plat_fail(PLAT_E_SYSTEM);
    }
    *result = thread;
    return PLAT_OK;
}

/* On Linux a thread has a nice value of its own, though POSIX gives it to the process. */
void plat_thread_give_way(void) {
    enum { NICE = 10 }; /* a tenth of what a thread without one gets */
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

void plat_thread_join(plat_thread *thread) {
    if (!thread) return;
    pthread_join(thread->thread, NULL);
    free(thread);
}

void plat_thread_forget(plat_thread *thread) {
    free(thread);
}
