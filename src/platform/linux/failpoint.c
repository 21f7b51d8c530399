/* failpoint.c - see failpoint.h. In test builds only. */
#define _GNU_SOURCE
#include "../failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Set before main, and never again. */
static struct {
    char name[64];
    unsigned nth;
    int signal;       /* 0: nothing is wanted */
    const char *mark; /* NULL: none */
    const char *word; /* of a FAILPOINT_TEXT; NULL: none */
    unsigned *n_come; /* atomic; shared with children */
    failpoint_count *counts;
} wanted;

static void *map_shared(int descriptor, size_t size_bytes) {
    int flags = MAP_SHARED | (descriptor < 0 ? MAP_ANONYMOUS : 0);
    void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* A test whose request is not understood must not pass. */
static void fail(const char *what, const char *value, const char *expected) {
    fprintf(stderr, "steps: %s is '%s': expected %s\n", what, value, expected);
    abort();
}

static int signal_of(const char *action) {
    if (strcmp(action, "kill") == 0) return SIGKILL;
    if (strcmp(action, "stop") == 0) return SIGSTOP;
    if (strcmp(action, "segv") == 0) return SIGSEGV;
    return 0;
}

static void read_request(const char *text) {
    char action[8];
    if (sscanf(text, "%63[^:]:%u:%7s", wanted.name, &wanted.nth, action) == 3) wanted.signal = signal_of(action);
    wanted.n_come = map_shared(-1, sizeof *wanted.n_come);
    if (!wanted.signal || !wanted.n_come) fail("LIPC_FAILPOINT", text, "NAME:NTH:kill, stop or segv");
}

static void open_counts(const char *path) {
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor >= 0) wanted.counts = map_shared(descriptor, FAILPOINT_COUNTS * sizeof *wanted.counts);
    if (!wanted.counts) fail("LIPC_FAILPOINT_COUNTS", path, "a file that can be written");
    close(descriptor);
}

__attribute__((constructor)) static void read_environment(void) {
    const char *request = getenv("LIPC_FAILPOINT"), *counts = getenv("LIPC_FAILPOINT_COUNTS");
    wanted.mark = getenv("LIPC_FAILPOINT_MARK");
    wanted.word = getenv("LIPC_FAILPOINT_TEXT");
    if (request) read_request(request);
    if (counts) open_counts(counts);
}

/* Whether this process is the first. */
static bool leave_mark(void) {
    if (!wanted.mark) return true;
    int descriptor = open(wanted.mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0) return false;
    char digits[16];
    int at = sizeof digits;
    for (int pid = getpid(); pid > 0; pid /= 10) digits[--at] = (char)('0' + pid % 10);
    bool is_written = write(descriptor, digits + at, sizeof digits - (size_t)at) > 0;
    close(descriptor);
    return is_written;
}

static void act(void) {
    sigset_t crash;
    sigemptyset(&crash);
    sigaddset(&crash, SIGSEGV);
    if (wanted.signal == SIGSEGV) sigprocmask(SIG_UNBLOCK, &crash, NULL);
    raise(wanted.signal); /* this very thread comes no further */
}

/* Whether the entry is of this step, or was free and is now. */
static bool is_count_of(failpoint_count *entry, const char *name) {
    uint32_t state = 0;
    if (__atomic_compare_exchange_n(&entry->state, &state, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
        strncpy(entry->name, name, sizeof entry->name - 1);
        __atomic_store_n(&entry->state, 2, __ATOMIC_RELEASE);
        return true;
    }
    while (state == 1) state = __atomic_load_n(&entry->state, __ATOMIC_ACQUIRE);
    return strncmp(entry->name, name, sizeof entry->name - 1) == 0;
}

static void count(const char *name) {
    failpoint_count *entry = wanted.counts;
    while (entry < wanted.counts + FAILPOINT_COUNTS && !is_count_of(entry, name)) entry++;
    if (entry == wanted.counts + FAILPOINT_COUNTS) abort();
    __atomic_fetch_add(&entry->n, 1, __ATOMIC_RELAXED);
}

void plat_failpoint(const char *name) {
    if (wanted.counts) count(name);
    if (!wanted.signal || wanted.word || strcmp(name, wanted.name) != 0) return;
    int saved_errno = errno;
    if (__atomic_add_fetch(wanted.n_come, 1, __ATOMIC_RELAXED) == wanted.nth && leave_mark()) act();
    errno = saved_errno;
}

void plat_failpoint_text(const char *name, const char *text) {
    if (wanted.counts) count(name);
    if (!wanted.signal || !wanted.word || strcmp(name, wanted.name) != 0 || !strstr(text, wanted.word)) return;
    int saved_errno = errno;
    act();
    errno = saved_errno;
}
