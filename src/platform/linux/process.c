/* process.c - the death of other processes, the program's place, the machine's cores, the standard streams. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

void plat_streams_ensure(void) {
    int descriptor;
    do {
        descriptor = open("/dev/null", O_RDWR);
    } while (descriptor >= 0 && descriptor <= 2);
    if (descriptor > 2) close(descriptor);
}

struct plat_process_watch {
    int process;  /* pidfd, or -1 if the process had ended already */
    int closing;  /* eventfd that ends the thread */
    pid_t opener;
    pthread_t thread;
    void (*on_death)(void *user_data);
    void *user_data;
};

static void *watch_process(void *argument) {
    plat_process_watch *watch = argument;
    struct pollfd sources[] = {{.fd = watch->closing, .events = POLLIN}, {.fd = watch->process, .events = POLLIN}};
    if (watch->process >= 0) {
        while (poll(sources, 2, -1) < 0 && errno == EINTR) {
        }
        if (sources[0].revents) return NULL;
    }
    watch->on_death(watch->user_data);
    return NULL;
}

/* A thread with a small stack that takes no signals. Returns 0 or an errno. */
static int start_quiet_thread(pthread_t *thread, void *(*run)(void *), void *argument) {
    enum { STACK_BYTES = 128 * 1024 };
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed;
}

static void release_watch(plat_process_watch *watch) {
    if (watch->process >= 0) close(watch->process);
    if (watch->closing >= 0) close(watch->closing);
    free(watch);
}

int plat_process_watch_open(int pid, void (*on_death)(void *user_data), void *user_data, plat_process_watch **result) {
    *result = NULL;
    plat_process_watch *watch = malloc(sizeof *watch);
    if (!watch) return plat_fail(PLAT_E_NO_MEMORY);
    *watch = (plat_process_watch){.opener = getpid(), .on_death = on_death, .user_data = user_data};
    watch->closing = eventfd(0, EFD_CLOEXEC);
    watch->process = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    int failed = 0;
    if (watch->closing < 0 || (watch->process < 0 && errno != ESRCH))
        failed = errno;
    else
        failed = start_quiet_thread(&watch->thread, watch_process, watch);
    if (failed) {
        release_watch(watch);
        errno = failed;
        return plat_fail(PLAT_E_SYSTEM);
    }
    *result = watch;
    return PLAT_OK;
}

void plat_process_watch_close(plat_process_watch *watch) {
    if (!watch) return;
    if (watch->opener == getpid()) {
        uint64_t one = 1;
        while (write(watch->closing, &one, sizeof one) < 0 && errno == EINTR) {
        }
        pthread_join(watch->thread, NULL);
    }
    release_watch(watch);
}

int plat_parent_pid(void) {
    return (int)getppid();
}

/* The lowest-numbered hardware thread of the core that `cpu` belongs to; `cpu` itself where the system does not say. */
static int first_sibling(int cpu) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *file = fopen(path, "re");
    int first = cpu;
    if (file) {
        if (fscanf(file, "%d", &first) != 1 || first < 0 || first > cpu) first = cpu;
        fclose(file);
    }
    return first;
}

int plat_core_count(void) {
    cpu_set_t allowed, cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed)) CPU_SET(first_sibling(cpu), &cores);
    int count = CPU_COUNT(&cores);
    return count > 0 ? count : 1;
}

uint64_t plat_memory_available_bytes(void) {
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return 0;
    char line[128];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1) break;
    fclose(file);
    return kib * 1024;
}

int plat_program_folder(char *path, size_t size_bytes) {
    ssize_t length = readlink("/proc/self/exe", path, size_bytes);
    if (length < 0 || (size_t)length >= size_bytes) return plat_fail(PLAT_E_SYSTEM);
    path[length] = 0;
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return PLAT_OK;
}

bool plat_stream_try_write(int stream, const char *text, size_t n_bytes) {
    /* A pipe that polls writable has room for PIPE_BUF = 4,096 bytes, so this write neither blocks nor splits. */
    struct pollfd sink = {.fd = stream, .events = POLLOUT};
    if (n_bytes > 4096 || poll(&sink, 1, 0) <= 0 || !(sink.revents & POLLOUT)) return false;
    return write(stream, text, n_bytes) == (ssize_t)n_bytes;
}
