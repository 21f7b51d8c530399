/* object.c - named objects as files in /dev/shm: finding, creating and publishing them, and what errors mean.
 *
 * New objects are made without a name (O_TMPFILE), completed, and then linked in: whoever can open one finds it whole,
 * and a death at any earlier instruction leaves nothing behind. shm_open and sem_open cannot promise either.
 *
 * Where a sandbox refuses that (no O_TMPFILE, no linkat, no /proc), the file is made under a hidden name, which nobody
 * looks for, completed, and moved to its own. A death leaves the hidden file behind; whoever makes an object in this way
 * first removes those that nobody has locked.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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
    case EFBIG:
        return plat_fail(PLAT_E_FILE_LIMIT);
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

/* Why an existing object cannot be opened. One that belongs to this user is refused by something else than its owner. */
static int fail_open(const char *path) {
    struct stat status;
    int reason = errno;
    bool is_refused = reason == EACCES || reason == EPERM;
    bool is_foreign = is_refused && lstat(path, &status) == 0 && status.st_uid != geteuid();
    errno = reason;
    return is_refused && !is_foreign ? plat_fail(PLAT_E_CONFINED) : plat_fail_errno();
}

int plat_object_open(const char *path, int access, struct stat *status) {
    int descriptor = open(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0) return fail_open(path);
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

/* ---- memory -------------------------------------------------------------------------------------------------------- */

/* For want of fallocate: touches each page for writing, which leaves what is in it (Linux 5.14). */
static int populate(int descriptor, size_t size_bytes) {
    struct stat status;
    if (fstat(descriptor, &status) < 0) return plat_fail(PLAT_E_SYSTEM);
    if (status.st_size < (off_t)size_bytes && ftruncate(descriptor, (off_t)size_bytes) < 0)
        return errno == EACCES || errno == EPERM ? plat_fail(PLAT_E_CONFINED) : plat_fail_errno();
    void *base = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (base == MAP_FAILED) return plat_fail(PLAT_E_NO_MEMORY);
    int result = madvise(base, size_bytes, MADV_POPULATE_WRITE), reason = errno;
    munmap(base, size_bytes);
    errno = reason == EFAULT ? ENOSPC : reason; /* EFAULT: the write would have raised SIGBUS */
    if (result == 0) return PLAT_OK;
    return errno == EINVAL ? plat_fail(PLAT_E_CONFINED) : plat_fail_errno();
}

int plat_object_reserve(int descriptor, size_t size_bytes) {
    int result;
    do { /* a signal, or a stop in a debugger, takes all of it back */
        result = fallocate(descriptor, 0, 0, (off_t)size_bytes);
    } while (result < 0 && errno == EINTR);
    if (result == 0) return PLAT_OK;
    bool is_refused = errno == EOPNOTSUPP || errno == ENOSYS || errno == EACCES || errno == EPERM;
    return is_refused ? populate(descriptor, size_bytes) : plat_fail_errno();
}

/* ---- new objects --------------------------------------------------------------------------------------------------- */

#define HIDDEN_PREFIX ".lipc-new-"
/* The byte that the maker of a hidden file locks meanwhile: far behind what the locks of segments are about. */
#define HIDDEN_BYTE ((off_t)1 << 40)

/* Whether what failed may be had in the other way. */
static bool is_refusal(int reason) {
    return reason == EACCES || reason == EPERM || reason == ENOSYS || reason == EOPNOTSUPP || reason == EINVAL ||
           reason == EISDIR || reason == ENOENT || reason == EXDEV;
}

/* Why the folder refuses: not "another user's", nor "no such object". */
static int fail_folder(void) {
    int reason = errno;
    bool is_open = access(PLAT_OBJECT_FOLDER, W_OK | X_OK) == 0;
    errno = reason;
    if (is_open && is_refusal(reason)) return plat_fail(PLAT_E_CONFINED);
    return reason == EACCES || reason == EPERM || reason == ENOENT ? plat_fail(PLAT_E_READ_ONLY) : plat_fail_errno();
}

/* Removes what dead makers left: files that nobody holds a lock on. One whose maker has not locked it yet is lost, and
 * made again. */
static void sweep_hidden(void) {
    DIR *folder = opendir(PLAT_OBJECT_FOLDER);
    const struct dirent *entry;
    char path[sizeof PLAT_OBJECT_FOLDER + sizeof entry->d_name];
    struct stat status;
    while (folder && (entry = readdir(folder))) {
        if (strncmp(entry->d_name, HIDDEN_PREFIX, strlen(HIDDEN_PREFIX)) != 0) continue;
        snprintf(path, sizeof path, PLAT_OBJECT_FOLDER "/%s", entry->d_name);
        int descriptor = plat_object_open(path, O_RDWR, &status);
        if (descriptor < 0) continue;
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK) unlink(path);
        close(descriptor);
    }
    if (folder) closedir(folder);
}

static void lock_hidden(int descriptor, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = HIDDEN_BYTE, .l_len = 1};
    fcntl(descriptor, F_SETLK, &lock);
}

static int open_hidden(char hidden[PLAT_PATH_SIZE]) {
    uint64_t number;
    plat_random(&number, sizeof number);
    sweep_hidden();
    snprintf(hidden, PLAT_PATH_SIZE, PLAT_OBJECT_FOLDER "/" HIDDEN_PREFIX "%016llx", (unsigned long long)number);
    int descriptor = open(hidden, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor >= 0) lock_hidden(descriptor, F_WRLCK);
    return descriptor;
}

/* What stands at `path` already stays there: OWNED. */
static int give_name(int descriptor, const char *hidden, const char *path) {
    char self[64];
    int result;
    if (hidden[0]) {
        result = renameat2(AT_FDCWD, hidden, AT_FDCWD, path, RENAME_NOREPLACE);
        /* As good, and older: both names are there for a moment. */
        if (result < 0 && is_refusal(errno) && errno != ENOENT && (result = link(hidden, path)) == 0) unlink(hidden);
    } else {
        snprintf(self, sizeof self, "/proc/self/fd/%d", descriptor);
        result = linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
    }
    if (result == 0) return PLAT_OK;
    return errno == EEXIST ? plat_fail(PLAT_E_OWNED) : is_refusal(errno) ? fail_folder() : plat_fail_errno();
}

/* One way of making it; *is_refused: the other may be open. */
static int make(const char *path, size_t size_bytes, plat_object_completion complete, void *user_data, bool is_hidden,
                bool *is_refused) {
    char hidden[PLAT_PATH_SIZE] = "";
    int descriptor = is_hidden ? open_hidden(hidden)
                               : open(PLAT_OBJECT_FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    *is_refused = descriptor < 0 && is_refusal(errno);
    if (descriptor < 0) return fail_folder();
    /* The mode above passed through the umask. */
    int error = fchmod(descriptor, 0600) < 0 ? fail_folder() : plat_object_reserve(descriptor, size_bytes);
    if (error == PLAT_OK) error = complete(user_data, descriptor);
    if (error == PLAT_OK) {
        error = give_name(descriptor, hidden, path);
        *is_refused = error == PLAT_E_CONFINED || error == PLAT_E_READ_ONLY;
    }
    if (error == PLAT_OK) {
        if (is_hidden) lock_hidden(descriptor, F_UNLCK);
        return descriptor;
    }
    int reason = errno;
    if (hidden[0]) unlink(hidden);
    close(descriptor);
    errno = reason;
    return error;
}

int plat_object_make(const char *path, size_t size_bytes, plat_object_completion complete, void *user_data) {
    bool is_refused;
    int result = make(path, size_bytes, complete, user_data, false, &is_refused);
    return result < 0 && is_refused ? make(path, size_bytes, complete, user_data, true, &is_refused) : result;
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
