/* files.c - plain files and shared libraries, for what programs fetch and keep. */
#define _GNU_SOURCE
#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

void *plat_library_open(const char *name) {
    return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

void *plat_library_symbol(void *library, const char *symbol) {
    return dlsym(library, symbol);
}

void plat_library_close(void *library) {
    dlclose(library);
}

void plat_library_reason(char *reason, size_t reason_size) {
    const char *said = dlerror();
    snprintf(reason, reason_size, "%s", said ? said : "");
}

int plat_file_sync(FILE *file) {
    return fsync(fileno(file)) == 0 ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

struct plat_file_lock {
    int descriptor;
};

/* flock, as other programs that share such a cache use it: it belongs to the open file, and ends with its last descriptor. */
int plat_file_lock_take(const char *path, plat_file_lock **result) {
    *result = NULL;
    plat_file_lock *lock = malloc(sizeof *lock);
    if (!lock) return plat_fail(PLAT_E_NO_MEMORY);
    lock->descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock->descriptor >= 0 && flock(lock->descriptor, LOCK_EX | LOCK_NB) == 0) {
        *result = lock;
        return PLAT_OK;
    }
    int error = plat_fail(lock->descriptor >= 0 && errno == EWOULDBLOCK ? PLAT_E_OWNED : PLAT_E_SYSTEM);
    if (lock->descriptor >= 0) close(lock->descriptor);
    free(lock);
    return error;
}

void plat_file_lock_release(plat_file_lock *lock) {
    if (!lock) return;
    close(lock->descriptor);
    free(lock);
}
