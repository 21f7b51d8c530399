/* internal.h - what the files of the Linux port share with each other. */
#ifndef PLAT_LINUX_INTERNAL_H
#define PLAT_LINUX_INTERNAL_H

#include "../platform.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>

/* glibc and musl both keep POSIX shared memory in /dev/shm under its own name, and semaphores there as "sem." + name. */
#define PLAT_OBJECT_FOLDER "/dev/shm"
#define PLAT_PATH_SIZE 256

/* Records errno for plat_os_error and returns `error`. */
int plat_fail(int error);
/* Likewise, with the error that errno means for a named object. */
int plat_fail_errno(void);

/* The path of a named object; `prefix` is "" or "sem.". Returns false if the name is not "/something" or is too long. */
bool plat_object_path(const char *prefix, const char *name, char path[PLAT_PATH_SIZE]);

/* Opens an existing object of this user's. Returns the descriptor (with its fstat in *status) or a negative plat_error. */
int plat_object_open(const char *path, int access, struct stat *status);

/* Gives the first `size_bytes` of a file memory, now or never: whoever touches them later cannot fault. The file is then
 * at least that long. Signals do not matter. */
int plat_object_reserve(int descriptor, size_t size_bytes);

/* Makes an object of `size_bytes` reserved and zeroed bytes and gives it its name when `complete` has returned PLAT_OK for
 * it: whoever can open it finds it whole. A death before that leaves nothing that anybody would open. `complete` may be
 * called a second time, for another file, if the first cannot be given its name. Returns the descriptor or a negative
 * plat_error, also that of `complete`; OWNED if the name is taken. */
typedef int (*plat_object_completion)(void *user_data, int descriptor);
int plat_object_make(const char *path, size_t size_bytes, plat_object_completion complete, void *user_data);

/* Whether the path leads to the file with this identity. */
bool plat_object_is(const char *path, dev_t device, ino_t inode);

/* What the memory of a segment's owner is called, with the segment's name behind it. */
#define PLAT_OWNER_LABEL "owner of "

/* Which file a segment or a semaphore is. */
void plat_segment_identity(const plat_segment *segment, dev_t *device, ino_t *inode);
void plat_semaphore_identity(const plat_semaphore *semaphore, dev_t *device, ino_t *inode);

/* Whether a process that this one sees lives in its pid namespace, too; true where the system does not say. */
bool plat_process_is_near(int pid);

struct timespec plat_timespec(uint64_t ns);

/* What asks a program to end: held back for now, with the mask of before in *before; and ignored from here on. */
void plat_stop_hold(sigset_t *before);
void plat_stop_ignore(void);

#endif
