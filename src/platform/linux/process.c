/* process.c - the parent's death, the program's place, the machine's cores, the standard streams. */
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
#include <sys/syscall.h>
#include <unistd.h>

void plat_streams_ensure(void) {
    int descriptor;
    do {
        descriptor = open("/dev/null", O_RDWR);
    } while (descriptor >= 0 && descriptor <= 2);
    if (descriptor > 2) close(descriptor);
}

struct parent_watch {
    int descriptor; /* pidfd, or -1 if the parent has ended already */
    void (*on_death)(void *user_data);
    void *user_data;
};

static void *watch_parent(void *argument) {
    struct parent_watch watch = *(struct parent_watch *)argument;
    free(argument);
    if (watch.descriptor >= 0) {
        struct pollfd source = {.fd = watch.descriptor, .events = POLLIN};
        while (poll(&source, 1, -1) < 0 && errno == EINTR) {
        }
        close(watch.descriptor);
    }
    watch.on_death(watch.user_data);
    return NULL;
}

int plat_parent_watch(void (*on_death)(void *user_data), void *user_data) {
    struct parent_watch *watch = malloc(sizeof *watch);
    if (!watch) return plat_fail(PLAT_E_NO_MEMORY);
    *watch = (struct parent_watch){-1, on_death, user_data};
    pid_t parent = getppid();
    watch->descriptor = (int)syscall(SYS_pidfd_open, parent, 0);
    if (watch->descriptor < 0 && errno != ESRCH) {
        free(watch);
        return plat_fail(PLAT_E_SYSTEM);
    }
    /* If the parent ended before the call, the pid may be somebody else's by now. */
    if (getppid() != parent && watch->descriptor >= 0) {
        close(watch->descriptor);
        watch->descriptor = -1;
    }
    /* The thread takes no signals: they belong to the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, watch_parent, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        if (watch->descriptor >= 0) close(watch->descriptor);
        free(watch);
        errno = failed;
        return plat_fail(PLAT_E_SYSTEM);
    }
    pthread_detach(thread);
    return PLAT_OK;
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
