/* object.c - named objects as files in /dev/shm: finding, creating and publishing them, and what errors mean.
 *
 * New objects are made without a name (O_TMPFILE), completed, and then linked in: whoever can open one finds it whole,
 * and a death at any earlier instruction leaves nothing behind. shm_open and sem_open cannot promise either.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Thread_local int last_errno;

int plat_fail(int error) {
    last_errno = errno;
    return error;
}

int plat_fail_errno(void) {
    switch (errno) {
    case ENOENT:
        return plat_fail(PLAT_E_NOT_FOUND);
    case EACCES:
    case EPERM:
        return plat_fail(PLAT_E_FOREIGN_USER);
    case ENOSPC:
    case EDQUOT:
        return plat_fail(PLAT_E_NO_SPACE);
    case EROFS:
        return plat_fail(PLAT_E_READ_ONLY);
    case ENOMEM:
        return plat_fail(PLAT_E_NO_MEMORY);
    case ELOOP:
    case EISDIR:
    case ENXIO:
        return plat_fail(PLAT_E_UNEXPECTED);
    default:
        return plat_fail(PLAT_E_SYSTEM);
    }
}

const char *plat_os_error(void) {
    return last_errno ? strerror(last_errno) : "";
}

bool plat_object_path(const char *prefix, const char *name, char path[PLAT_PATH_SIZE]) {
    if (name[0] != '/' || name[1] == 0 || strchr(name + 1, '/')) {
        errno = EINVAL;
        return false;
    }
    int length = snprintf(path, PLAT_PATH_SIZE, PLAT_OBJECT_FOLDER "/%s%s", prefix, name + 1);
    errno = ENAMETOOLONG;
    return length > 0 && length < PLAT_PATH_SIZE;
}

int plat_object_open(const char *path, int access, struct stat *status) {
    int descriptor = open(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0) return plat_fail_errno();
    int error = PLAT_OK;
    if (fstat(descriptor, status) < 0)
        error = plat_fail(PLAT_E_SYSTEM);
    else if (!S_ISREG(status->st_mode))
        error = plat_fail(PLAT_E_UNEXPECTED);
    else if (status->st_uid != geteuid()) /* root could open it, but must not adopt it either */
        error = plat_fail(PLAT_E_FOREIGN_USER);
    if (error < 0) {
        close(descriptor);
        return error;
    }
    return descriptor;
}

int plat_object_reserve(int descriptor, size_t size_bytes) {
    int result;
    do { /* a signal, or a stop in a debugger, takes all of it back */
        result = fallocate(descriptor, 0, 0, (off_t)size_bytes);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? plat_fail_errno() : PLAT_OK;
}

int plat_object_new(size_t size_bytes) {
    int descriptor = open(PLAT_OBJECT_FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        /* Not "another user's" or "no such object": it is the folder that refuses. */
        return errno == EACCES || errno == ENOENT ? plat_fail(PLAT_E_READ_ONLY) : plat_fail_errno();
    }
    /* The mode above passed through the umask. */
    int error = fchmod(descriptor, 0600) < 0 ? plat_fail_errno() : plat_object_reserve(descriptor, size_bytes);
    if (error == PLAT_OK) return descriptor;
    close(descriptor);
    return error;
}

int plat_object_publish(int descriptor, const char *path) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", descriptor);
    if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0) return PLAT_OK;
    return errno == EEXIST ? plat_fail(PLAT_E_OWNED) : plat_fail_errno();
}

bool plat_object_is(const char *path, dev_t device, ino_t inode) {
    struct stat status;
    return lstat(path, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void plat_object_user(const char *name, char *user, size_t size_bytes) {
    char path[PLAT_PATH_SIZE];
    struct stat status;
    static const char *const prefixes[] = {"", "sem."};
    snprintf(user, size_bytes, "?");
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (!plat_object_path(prefixes[i], name, path) || lstat(path, &status) < 0) continue;
        struct passwd *entry = getpwuid(status.st_uid);
        if (entry)
            snprintf(user, size_bytes, "%s", entry->pw_name);
        else
            snprintf(user, size_bytes, "%u", (unsigned)status.st_uid);
        return;
    }
}
