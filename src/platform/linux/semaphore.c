/* semaphore.c - the C library's named semaphores, created so that a death leaves nothing behind.
 *
 * sem_open() creates a semaphore through a temporary file that stays in /dev/shm if the process dies at the wrong moment.
 * Here the file is nameless until it is complete. What is in it is a process-shared sem_t, as sem_open() writes it and
 * expects it; all operations are the C library's own.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct plat_semaphore {
    sem_t *words;
    dev_t device;
    ino_t inode;
    char path[PLAT_PATH_SIZE];
};

#if defined(__GLIBC__) && defined(__LP64__)
/* glibc keeps value and waiters in one 64-bit word, the waiters in its upper half (sysdeps/nptl/internaltypes.h, since
 * 2.21). Processes with different versions of it share named semaphores, so this cannot change silently. */
#define SEMAPHORE_WORD(semaphore) ((uint64_t *)(void *)(semaphore)->words)
#endif

static int map(plat_semaphore *semaphore, int descriptor) {
    void *words = mmap(NULL, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (words == MAP_FAILED) return plat_fail(PLAT_E_NO_MEMORY);
    semaphore->words = words;
    return PLAT_OK;
}

/* Whether it could be a semaphore that processes share. What stands behind value and waiters is the same in all. */
static bool is_semaphore(const sem_t *words) {
    enum { VALUE_AND_WAITERS = 8 };
    sem_t fresh;
    memset(&fresh, 0, sizeof fresh);
    sem_init(&fresh, 1, 0);
    return memcmp((const char *)&fresh + VALUE_AND_WAITERS, (const char *)words + VALUE_AND_WAITERS,
                  sizeof fresh - VALUE_AND_WAITERS) == 0;
}

/* Maps the file, if a semaphore lies in it. */
static int map_existing(plat_semaphore *semaphore, int descriptor, off_t n_bytes) {
    errno = EINVAL;
    if (n_bytes < (off_t)sizeof(sem_t)) return plat_fail(PLAT_E_UNEXPECTED);
    /* One that was only cut to its length has no memory yet, and there may be none when it is looked at. */
    int error = plat_object_reserve(descriptor, sizeof(sem_t));
    if (error == PLAT_OK) error = map(semaphore, descriptor);
    if (error < 0 || is_semaphore(semaphore->words)) return error;
    munmap(semaphore->words, sizeof(sem_t));
    semaphore->words = NULL;
    errno = EINVAL;
    return plat_fail(PLAT_E_UNEXPECTED);
}

/* `replaces`: takes the name away from a file that is no semaphore; PLAT_E_NOT_FOUND then. */
static int open_existing(plat_semaphore *semaphore, bool replaces) {
    struct stat status;
    int descriptor = plat_object_open(semaphore->path, O_RDWR, &status);
    if (descriptor < 0) return descriptor;
    semaphore->device = status.st_dev;
    semaphore->inode = status.st_ino;
    int error = map_existing(semaphore, descriptor, status.st_size);
    close(descriptor);
    if (error != PLAT_E_UNEXPECTED || !replaces) return error;
    plat_semaphore_remove(semaphore);
    return PLAT_E_NOT_FOUND;
}

static int complete(void *user_data, int descriptor) {
    plat_semaphore *semaphore = user_data;
    struct stat status;
    if (semaphore->words) munmap(semaphore->words, sizeof(sem_t)); /* of a file that could not be given its name */
    semaphore->words = NULL;
    if (fstat(descriptor, &status) < 0) return plat_fail(PLAT_E_SYSTEM);
    semaphore->device = status.st_dev;
    semaphore->inode = status.st_ino;
    int error = map(semaphore, descriptor);
    if (error == PLAT_OK) sem_init(semaphore->words, 1, 0);
    return error;
}

/* PLAT_E_OWNED if somebody made it first. */
static int create(plat_semaphore *semaphore) {
    int descriptor = plat_object_make(semaphore->path, sizeof(sem_t), complete, semaphore);
    if (descriptor >= 0) {
        close(descriptor);
        return PLAT_OK;
    }
    if (semaphore->words) munmap(semaphore->words, sizeof(sem_t));
    semaphore->words = NULL;
    return descriptor;
}

static int obtain(const char *name, bool may_create, plat_semaphore **result) {
    *result = NULL;
    plat_semaphore *semaphore = calloc(1, sizeof *semaphore);
    if (!semaphore) return plat_fail(PLAT_E_NO_MEMORY);
    int error = plat_object_path("sem.", name, semaphore->path) ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
    if (error == PLAT_OK) {
        error = open_existing(semaphore, may_create);
        /* A second round is needed only if the name came or went between two steps. */
        for (int rounds = 100; may_create && error == PLAT_E_NOT_FOUND && rounds > 0; rounds--) {
            error = create(semaphore);
            if (error == PLAT_E_OWNED) error = open_existing(semaphore, true);
        }
    }
    if (error < 0) {
        free(semaphore);
        return error;
    }
    *result = semaphore;
    return PLAT_OK;
}

int plat_semaphore_own(const char *name, int most, plat_semaphore **semaphore) {
    (void)most;
    return obtain(name, true, semaphore);
}

int plat_semaphore_open(const char *name, plat_semaphore **semaphore) {
    return obtain(name, false, semaphore);
}

void plat_semaphore_post(plat_semaphore *semaphore) {
    sem_post(semaphore->words); /* fails only when full: then there are permits enough */
}

bool plat_semaphore_try_wait(plat_semaphore *semaphore) {
    int result;
    do {
        result = sem_trywait(semaphore->words);
    } while (result < 0 && errno == EINTR);
    return result == 0;
}

int plat_semaphore_wait(plat_semaphore *semaphore, uint64_t deadline_ns) {
    /* A clock that reaches UINT64_MAX nanoseconds does so after 584 years of uptime: no special case for PLAT_NEVER. */
    struct timespec deadline = plat_timespec(deadline_ns);
    while (sem_clockwait(semaphore->words, CLOCK_MONOTONIC, &deadline) < 0) {
        if (errno != EINTR) return PLAT_E_TIMEOUT;
    }
    return PLAT_OK;
}

int plat_semaphore_value(plat_semaphore *semaphore) {
    int value = 0;
    sem_getvalue(semaphore->words, &value);
    return value;
}

bool plat_semaphore_may_have_waiter(plat_semaphore *semaphore) {
#ifdef SEMAPHORE_WORD
    return __atomic_load_n(SEMAPHORE_WORD(semaphore), __ATOMIC_RELAXED) >> 32 != 0;
#else
    (void)semaphore;
    return true;
#endif
}

bool plat_semaphore_hand_over(plat_semaphore *semaphore) {
    if (!plat_semaphore_may_have_waiter(semaphore)) return false;
    plat_semaphore_post(semaphore);
    return true;
}

int plat_semaphore_n_asleep(const plat_semaphore *semaphore) {
#ifdef SEMAPHORE_WORD
    /* The C library sleeps on the value, the lower half of the word. To move its sleepers to where they are moves nobody,
     * wakes nobody, and returns how many there are. */
    uint32_t *value = (uint32_t *)(void *)semaphore->words;
    return (int)syscall(SYS_futex, value, FUTEX_REQUEUE, 0, (void *)(uintptr_t)INT32_MAX, value, 0);
#else
    (void)semaphore;
    return -1;
#endif
}

void plat_semaphore_drain(plat_semaphore *semaphore) {
#ifdef SEMAPHORE_WORD
    /* All at once: there may be two thousand million. */
    __atomic_fetch_and(SEMAPHORE_WORD(semaphore), ~(uint64_t)UINT32_MAX, __ATOMIC_ACQUIRE);
#else
    /* Bounded by what was there at the start, so that somebody who keeps posting cannot hold us here. */
    for (int value = plat_semaphore_value(semaphore); value > 0 && plat_semaphore_try_wait(semaphore); value--) {
    }
#endif
}

void plat_semaphore_identity(const plat_semaphore *semaphore, dev_t *device, ino_t *inode) {
    *device = semaphore->device;
    *inode = semaphore->inode;
}

void plat_semaphore_remove(plat_semaphore *semaphore) {
    if (plat_object_is(semaphore->path, semaphore->device, semaphore->inode)) unlink(semaphore->path);
}

void plat_semaphore_close(plat_semaphore *semaphore) {
    if (!semaphore) return;
    munmap(semaphore->words, sizeof(sem_t));
    free(semaphore);
}
