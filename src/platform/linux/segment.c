/* segment.c - shared memory with one owner.
 *
 * Ownership is a POSIX record lock on the object itself: the kernel grants it to one process, takes it back at whatever
 * instruction that process dies, does not hand it to children, and tells anybody who asks the owner's pid. One rule
 * follows for this port: an owner must never open and close the object a second time, because closing any descriptor of
 * a file drops the process's locks on it. Hence plat_object_is(), which looks by name.
 *
 * The lock has two bytes: the owner's, and one for its worker, a child that may go on writing for a moment after the
 * owner is dead: the kernel gives a dying process's locks back before it kills the children that asked for that.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

struct plat_segment {
    void *base;
    size_t size_bytes;
    int descriptor;
    dev_t device;
    ino_t inode;
    char path[PLAT_PATH_SIZE];
};

enum { BYTE_OF_OWNER = 0, BYTE_OF_WORKER = 1 };

/* How long a killed worker may take to be gone: its memory is given back first, which for a large model takes long. */
#define WORKER_GONE_MS 10000

/* Who holds the lock that stood in the way of this one; 0: nobody any more. The kernel names a process by its number in
 * our pid namespace, 0 if it has none there; one of a namespace below ours has a number, but knows itself by another, and
 * neither side could watch the other. */
static int holder_in(const struct flock *lock) {
    if (lock->l_type == F_UNLCK) return 0;
    return lock->l_pid > 0 && plat_process_is_near((int)lock->l_pid) ? (int)lock->l_pid : PLAT_PID_ELSEWHERE;
}

/* Claims ownership, or the worker's place. PLAT_E_OWNED with *owner_pid other than 0 if another has it; with 0 if the
 * other gave it up in between. */
static int claim(int descriptor, int byte, int *owner_pid) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    *owner_pid = 0;
    if (fcntl(descriptor, F_SETLK, &lock) == 0) return PLAT_OK;
    if (errno != EAGAIN && errno != EACCES) return plat_fail(PLAT_E_SYSTEM);
    plat_fail(PLAT_E_OWNED);
    if (fcntl(descriptor, F_GETLK, &lock) == 0) *owner_pid = holder_in(&lock);
    return PLAT_E_OWNED;
}

/* Waits until the last owner's worker is gone. PLAT_E_OWNED if it does not go. */
static int outlive_worker(int descriptor, int patience_ms, int *owner_pid) {
    struct flock place = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = BYTE_OF_WORKER, .l_len = 1};
    uint64_t deadline_ns = plat_deadline_ns(patience_ms);
    int error;
    while ((error = claim(descriptor, BYTE_OF_WORKER, owner_pid)) == PLAT_E_OWNED && plat_clock_ns() < deadline_ns)
        poll(NULL, 0, 1);
    if (error == PLAT_OK) fcntl(descriptor, F_SETLK, &place);
    return error;
}

int plat_segment_work(plat_segment *segment) {
    int pid;
    return claim(segment->descriptor, BYTE_OF_WORKER, &pid);
}

static int map(plat_segment *segment, size_t size_bytes, int protection) {
    void *base = mmap(NULL, size_bytes, protection, MAP_SHARED, segment->descriptor, 0);
    if (base == MAP_FAILED) return plat_fail(PLAT_E_NO_MEMORY);
    segment->base = base;
    segment->size_bytes = size_bytes;
    return PLAT_OK;
}

static int identify(plat_segment *segment) {
    struct stat status;
    if (fstat(segment->descriptor, &status) < 0) return plat_fail(PLAT_E_SYSTEM);
    segment->device = status.st_dev;
    segment->inode = status.st_ino;
    return PLAT_OK;
}

typedef struct creation {
    plat_segment *segment;
    size_t size_bytes;
} creation;

/* Before anybody can open it: it is owned then. */
static int complete(void *user_data, int descriptor) {
    creation *creation = user_data;
    plat_segment *segment = creation->segment;
    int owner_pid;
    if (segment->base) munmap(segment->base, segment->size_bytes); /* of a file that could not be given its name */
    segment->base = NULL;
    segment->descriptor = descriptor;
    int error = claim(descriptor, BYTE_OF_OWNER, &owner_pid);
    if (error == PLAT_OK) error = identify(segment);
    return error == PLAT_OK ? map(segment, creation->size_bytes, PROT_READ | PROT_WRITE) : error;
}

/* Makes the object. PLAT_E_OWNED if somebody made it first. */
static int create(plat_segment *segment, size_t size_bytes) {
    creation creation = {segment, size_bytes};
    segment->descriptor = plat_object_make(segment->path, size_bytes, complete, &creation);
    return segment->descriptor < 0 ? segment->descriptor : PLAT_OK;
}

/* Takes the object over if its owner is dead and, after so long, its worker. PLAT_E_NOT_FOUND if it vanished meanwhile.
 * *n_bytes is how long it is. */
static int inherit(plat_segment *segment, int patience_ms, off_t *n_bytes, int *owner_pid) {
    struct stat status;
    segment->descriptor = plat_object_open(segment->path, O_RDWR, &status);
    if (segment->descriptor < 0) return segment->descriptor;
    int error = claim(segment->descriptor, BYTE_OF_OWNER, owner_pid);
    if (error == PLAT_OK) error = outlive_worker(segment->descriptor, patience_ms, owner_pid);
    if (error < 0) return error;
    segment->device = status.st_dev;
    segment->inode = status.st_ino;
    *n_bytes = status.st_size;
    /* The last owner may have removed the name between our open and our claim: then this is a ghost. */
    return plat_object_is(segment->path, segment->device, segment->inode) ? PLAT_OK : PLAT_E_NOT_FOUND;
}

static int adopt(plat_segment *segment, size_t size_bytes, int *owner_pid) {
    off_t n_bytes;
    int error = inherit(segment, WORKER_GONE_MS, &n_bytes, owner_pid);
    if (error == PLAT_OK) error = plat_object_reserve(segment->descriptor, size_bytes);
    return error < 0 ? error : map(segment, size_bytes, PROT_READ | PROT_WRITE);
}

int plat_segment_own(const char *name, size_t size_bytes, plat_segment **result, bool *adopted, int *owner_pid) {
    *result = NULL;
    *adopted = false;
    *owner_pid = 0;
    plat_segment *segment = calloc(1, sizeof *segment);
    if (!segment) return plat_fail(PLAT_E_NO_MEMORY);
    segment->descriptor = -1;
    int error = plat_object_path("", name, segment->path) ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
    /* Each round lost means that another process made or removed the object between two of our steps. */
    for (int rounds = 100; error == PLAT_OK && rounds > 0; rounds--) {
        error = adopt(segment, size_bytes, owner_pid);
        if (error == PLAT_OK) {
            *adopted = true;
            *result = segment;
            return PLAT_OK;
        }
        if (error == PLAT_E_NOT_FOUND) {
            if (segment->descriptor >= 0) close(segment->descriptor);
            error = create(segment, size_bytes);
            if (error == PLAT_OK) {
                *result = segment;
                return PLAT_OK;
            }
            if (segment->base) munmap(segment->base, segment->size_bytes);
            segment->base = NULL;
        }
        if (error == PLAT_E_OWNED && *owner_pid == 0) {
            if (segment->descriptor >= 0) close(segment->descriptor);
            segment->descriptor = -1;
            error = PLAT_OK;
        }
    }
    if (error == PLAT_OK) {
        errno = EAGAIN;
        error = plat_fail(PLAT_E_SYSTEM);
    }
    plat_segment_close(segment);
    return error;
}

int plat_segment_take(const char *name, plat_segment **result, int *owner_pid) {
    off_t n_bytes = 0;
    *result = NULL;
    *owner_pid = 0;
    plat_segment *segment = calloc(1, sizeof *segment);
    if (!segment) return plat_fail(PLAT_E_NO_MEMORY);
    segment->descriptor = -1;
    int error = plat_object_path("", name, segment->path) ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
    if (error == PLAT_OK) error = inherit(segment, 0, &n_bytes, owner_pid);
    errno = EINVAL;
    if (error == PLAT_OK && n_bytes == 0) error = plat_fail(PLAT_E_UNEXPECTED);
    if (error == PLAT_OK) error = map(segment, (size_t)n_bytes, PROT_READ | PROT_WRITE);
    if (error < 0) plat_segment_close(segment);
    else *result = segment;
    return error;
}

static int open_existing(const char *name, size_t size_bytes, bool for_writing, plat_segment **result) {
    *result = NULL;
    plat_segment *segment = calloc(1, sizeof *segment);
    if (!segment) return plat_fail(PLAT_E_NO_MEMORY);
    segment->descriptor = -1;
    struct stat status;
    int error = plat_object_path("", name, segment->path) ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
    if (error == PLAT_OK) {
        segment->descriptor = plat_object_open(segment->path, for_writing ? O_RDWR : O_RDONLY, &status);
        if (segment->descriptor < 0) error = segment->descriptor;
    }
    if (error == PLAT_OK) {
        segment->device = status.st_dev;
        segment->inode = status.st_ino;
        if (size_bytes == 0) size_bytes = (size_t)status.st_size;
        /* A mapping beyond the object's end would fault at the first look. */
        if (size_bytes == 0 || status.st_size < (off_t)size_bytes) {
            errno = EINVAL;
            error = plat_fail(PLAT_E_UNEXPECTED);
        } else {
            error = map(segment, size_bytes, for_writing ? PROT_READ | PROT_WRITE : PROT_READ);
        }
    }
    if (error < 0) {
        plat_segment_close(segment);
        return error;
    }
    *result = segment;
    return PLAT_OK;
}

int plat_segment_open(const char *name, size_t size_bytes, plat_segment **result) {
    return open_existing(name, size_bytes, true, result);
}

int plat_segment_look(const char *name, plat_segment **result) {
    return open_existing(name, 0, false, result);
}

void *plat_segment_base(const plat_segment *segment) {
    return segment->base;
}

size_t plat_segment_size(const plat_segment *segment) {
    return segment->size_bytes;
}

static int holder_of(const plat_segment *segment, int byte) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(segment->descriptor, F_GETLK, &lock) < 0 ? 0 : holder_in(&lock);
}

int plat_segment_owner_pid(const plat_segment *segment) {
    return holder_of(segment, BYTE_OF_OWNER);
}

int plat_segment_worker_pid(const plat_segment *segment) {
    return holder_of(segment, BYTE_OF_WORKER);
}

bool plat_segment_is_current(const plat_segment *segment) {
    return plat_object_is(segment->path, segment->device, segment->inode);
}

size_t plat_segment_length(const plat_segment *segment) {
    struct stat status;
    bool is_whole = fstat(segment->descriptor, &status) < 0 || status.st_size >= (off_t)segment->size_bytes;
    return is_whole ? segment->size_bytes : (size_t)status.st_size;
}

bool plat_segment_is_whole(const plat_segment *segment) {
    return plat_segment_length(segment) == segment->size_bytes;
}

int plat_segment_write(plat_segment *segment, size_t offset, const void *bytes, size_t n_bytes) {
    ssize_t n;
    do {
        n = pwrite(segment->descriptor, bytes, n_bytes, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)n_bytes ? PLAT_OK : plat_fail_errno();
}

int plat_segment_mend(plat_segment *segment) {
    return plat_object_reserve(segment->descriptor, segment->size_bytes);
}

void plat_segment_identity(const plat_segment *segment, dev_t *device, ino_t *inode) {
    *device = segment->device;
    *inode = segment->inode;
}

void plat_segment_remove(plat_segment *segment) {
    if (plat_segment_is_current(segment)) unlink(segment->path);
}

void plat_segment_close(plat_segment *segment) {
    if (!segment) return;
    if (segment->base) munmap(segment->base, segment->size_bytes);
    if (segment->descriptor >= 0) close(segment->descriptor);
    free(segment);
}

struct plat_namespace_watch {
    int descriptor;
};

int plat_namespace_watch_open(plat_namespace_watch **result) {
    *result = NULL;
    plat_namespace_watch *watch = malloc(sizeof *watch);
    if (!watch) return plat_fail(PLAT_E_NO_MEMORY);
    watch->descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    /* IN_CREATE covers linkat, IN_ATTRIB nothing we need: objects appear complete. */
    if (watch->descriptor < 0 || inotify_add_watch(watch->descriptor, PLAT_OBJECT_FOLDER, IN_CREATE | IN_MOVED_TO) < 0) {
        int error = plat_fail(PLAT_E_SYSTEM);
        plat_namespace_watch_close(watch);
        return error;
    }
    *result = watch;
    return PLAT_OK;
}

int plat_namespace_wait(plat_namespace_watch *watch, uint64_t deadline_ns) {
    struct pollfd source = {.fd = watch->descriptor, .events = POLLIN};
    uint64_t now = plat_clock_ns();
    int timeout_ms = -1;
    if (deadline_ns != PLAT_NEVER) {
        uint64_t left_ms = deadline_ns > now ? (deadline_ns - now + 999999) / 1000000 : 0;
        timeout_ms = left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
    }
    int ready = poll(&source, 1, timeout_ms);
    if (ready < 0 && errno != EINTR) return plat_fail(PLAT_E_SYSTEM);
    if (ready == 0) return PLAT_E_TIMEOUT;
    char events[4096];
    while (read(watch->descriptor, events, sizeof events) > 0) {
    }
    return PLAT_OK;
}

void plat_namespace_watch_close(plat_namespace_watch *watch) {
    if (!watch) return;
    if (watch->descriptor >= 0) close(watch->descriptor);
    free(watch);
}
