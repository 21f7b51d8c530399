/* housekeeping.c - looking after the named objects of others: which there are, who uses them, what room there is. */
#define _GNU_SOURCE
#include "internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SEMAPHORE_PREFIX "sem."

int plat_objects_visit(void (*visit)(void *user_data, const char *name, bool is_semaphore), void *user_data) {
    DIR *folder = opendir(PLAT_OBJECT_FOLDER);
    const struct dirent *entry;
    char name[PLAT_PATH_SIZE + 1];
    if (!folder) return plat_fail(PLAT_E_SYSTEM);
    while ((entry = readdir(folder))) {
        bool is_semaphore = strncmp(entry->d_name, SEMAPHORE_PREFIX, strlen(SEMAPHORE_PREFIX)) == 0;
        const char *rest = entry->d_name + (is_semaphore ? strlen(SEMAPHORE_PREFIX) : 0);
        int length = snprintf(name, sizeof name, "/%s", rest);
        if (rest[0] != '.' && length < (int)sizeof name) visit(user_data, name, is_semaphore);
    }
    closedir(folder);
    return PLAT_OK;
}

static int path_of(const char *name, bool is_semaphore, char path[PLAT_PATH_SIZE]) {
    return plat_object_path(is_semaphore ? SEMAPHORE_PREFIX : "", name, path) ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

/* ---- who uses an object -------------------------------------------------------------------------------------------- */

/* A mapped file, as a line of /proc/PID/maps tells of it: "address rights offset device:minor inode   path". */
typedef struct mapping {
    dev_t device;
    ino_t inode;
    const char *path;
} mapping;

/* Calls `visit` with each mapped file until it returns true; then that is returned. NOT_FOUND: it never did. */
static int visit_mappings(int pid, bool (*visit)(void *user_data, const mapping *mapping), void *user_data) {
    char path[32], *line = NULL;
    size_t size = 0;
    bool is_found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    if (!maps) return plat_fail(errno == ENOENT || errno == ESRCH ? PLAT_E_NOT_FOUND : PLAT_E_SYSTEM);
    while (!is_found && getline(&line, &size, maps) > 0) {
        unsigned int major_number, minor_number;
        unsigned long long inode;
        int at = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%*s %*s %*s %x:%x %llu %n", &major_number, &minor_number, &inode, &at) < 3 || inode == 0) continue;
        const mapping found = {makedev(major_number, minor_number), (ino_t)inode, line + at};
        is_found = visit(user_data, &found);
    }
    bool is_broken_off = ferror(maps);
    free(line);
    fclose(maps);
    return is_found ? PLAT_OK : plat_fail(is_broken_off ? PLAT_E_SYSTEM : PLAT_E_NOT_FOUND);
}

static bool is_file(void *user_data, const mapping *mapping) {
    const struct mapping *wanted = user_data;
    return mapping->inode == wanted->inode && mapping->device == wanted->device;
}

/* Whether the process is another user's, who cannot have opened the object of this one. False if that is not known. */
static bool is_foreign(int pid) {
    char path[32], line[256];
    unsigned int user = geteuid();
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "Uid: %*u %u", &user) != 1) {
    }
    if (file) fclose(file);
    return user != geteuid();
}

int plat_segment_is_used_by(const plat_segment *segment, int pid) {
    mapping wanted = {.path = ""};
    plat_segment_identity(segment, &wanted.device, &wanted.inode);
    int result = visit_mappings(pid, is_file, &wanted);
    return result == PLAT_E_SYSTEM && is_foreign(pid) ? PLAT_E_NOT_FOUND : result;
}

/* The next process but this one; 0 behind the last. */
static int next_process(DIR *processes) {
    const struct dirent *entry;
    while (processes && (entry = readdir(processes))) {
        int pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        if (pid > 0 && pid != getpid()) return pid;
    }
    return 0;
}

int plat_object_user_pid(const char *name, bool is_semaphore) {
    char path[PLAT_PATH_SIZE];
    struct stat status;
    int pid;
    if (path_of(name, is_semaphore, path) < 0 || lstat(path, &status) < 0) return 0;
    mapping wanted = {status.st_dev, status.st_ino, ""};
    DIR *processes = opendir("/proc");
    while ((pid = next_process(processes)) != 0 && visit_mappings(pid, is_file, &wanted) != PLAT_OK) {
    }
    if (processes) closedir(processes);
    return pid;
}

bool plat_semaphore_is_used_by(const plat_semaphore *semaphore, int pid) {
    mapping wanted = {.path = ""};
    plat_semaphore_identity(semaphore, &wanted.device, &wanted.inode);
    return visit_mappings(pid, is_file, &wanted) == PLAT_OK;
}

size_t plat_semaphore_users(const plat_semaphore *semaphore, int *pids, size_t n_most) {
    DIR *processes = opendir("/proc");
    size_t n = 0;
    int pid;
    while ((pid = next_process(processes)) != 0) {
        if (pid == getppid() || !plat_semaphore_is_used_by(semaphore, pid)) continue;
        if (n < n_most) pids[n] = pid;
        n++;
    }
    if (processes) closedir(processes);
    return n;
}

static bool has_one_thread(int pid) {
    char path[32], line[256];
    int n_threads = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "Threads: %d", &n_threads) != 1) {
    }
    if (file) fclose(file);
    return n_threads == 1;
}

/* Counted between two looks that see the same processes: nobody came or went meanwhile who might be among the sleepers. */
bool plat_semaphore_users_all_wait(const plat_semaphore *used, const plat_semaphore *awaited) {
    enum { USERS_MOST = 64 };
    int before[USERS_MOST], after[USERS_MOST];
    if (plat_semaphore_n_asleep(awaited) <= 0) return false; /* most of the time, and quick */
    size_t n = plat_semaphore_users(used, before, USERS_MOST);
    int n_asleep = plat_semaphore_n_asleep(awaited);
    if (n == 0 || n > USERS_MOST || n_asleep < 0 || (size_t)n_asleep != n) return false;
    if (plat_semaphore_users(used, after, USERS_MOST) != n || memcmp(before, after, n * sizeof *before) != 0) return false;
    for (size_t i = 0; i < n; i++)
        if (!has_one_thread(before[i])) return false;
    return true;
}

/* ---- who owns a segment that the name does not lead to ------------------------------------------------------------- */

/* A new object comes into being without a name, and is called by that among the mappings for good; so the owner is known
 * by the label of another mapping, and its segment by the lock. */
static bool has_label(void *user_data, const mapping *mapping) {
    return strcmp(mapping->path, user_data) == 0;
}

/* The file on which the process holds the owner's lock, as /proc/locks tells: "number: POSIX ADVISORY WRITE pid
 * major:minor:inode first last". False: there is none. */
static bool find_owned(int pid, mapping *file) {
    FILE *locks = fopen("/proc/locks", "re");
    char line[256];
    bool is_found = false;
    while (locks && !is_found && fgets(line, sizeof line, locks)) {
        unsigned int major_number, minor_number;
        unsigned long long inode, first, last;
        int holder;
        is_found = sscanf(line, "%*s POSIX %*s WRITE %d %x:%x:%llu %llu %llu", &holder, &major_number, &minor_number,
                          &inode, &first, &last) == 6 &&
                   holder == pid && first == 0 && last == 0;
        if (is_found) *file = (mapping){makedev(major_number, minor_number), (ino_t)inode, ""};
    }
    if (locks) fclose(locks);
    return is_found;
}

int plat_segment_stray_owner(const char *name, bool *is_nameless) {
    char path[PLAT_PATH_SIZE], label[PLAT_PATH_SIZE + 32];
    struct stat folder = {.st_dev = 0}, status = {.st_dev = 0};
    mapping owned = {.path = ""};
    int pid;
    if (path_of(name, false, path) == PLAT_OK) lstat(path, &status);
    stat(PLAT_OBJECT_FOLDER, &folder);
    snprintf(label, sizeof label, "/memfd:" PLAT_OWNER_LABEL "%s (deleted)", name);
    DIR *processes = opendir("/proc");
    do {
        pid = next_process(processes);
    } while (pid != 0 && (visit_mappings(pid, has_label, label) != PLAT_OK || !find_owned(pid, &owned) ||
                          (owned.inode == status.st_ino && owned.device == status.st_dev)));
    if (processes) closedir(processes);
    *is_nameless = owned.device == folder.st_dev;
    return pid;
}

/* ---- removing, room ------------------------------------------------------------------------------------------------ */

int plat_object_discard(const char *name, bool is_semaphore) {
    char path[PLAT_PATH_SIZE];
    struct stat status;
    int error = path_of(name, is_semaphore, path);
    if (error < 0) return error;
    if (lstat(path, &status) < 0) return plat_fail_errno();
    errno = EINVAL;
    if (!S_ISREG(status.st_mode)) return plat_fail(PLAT_E_UNEXPECTED);
    errno = EACCES;
    if (status.st_uid != geteuid()) return plat_fail(PLAT_E_FOREIGN_USER);
    return unlink(path) < 0 ? plat_fail_errno() : PLAT_OK;
}

int plat_objects_space(uint64_t *free_bytes, uint64_t *total_bytes) {
    struct statvfs space;
    *free_bytes = *total_bytes = 0;
    if (statvfs(PLAT_OBJECT_FOLDER, &space) < 0) return plat_fail(PLAT_E_SYSTEM);
    *free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    *total_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    errno = EROFS;
    if (space.f_flag & ST_RDONLY) return plat_fail(PLAT_E_READ_ONLY);
    return access(PLAT_OBJECT_FOLDER, W_OK) < 0 ? plat_fail(PLAT_E_READ_ONLY) : PLAT_OK;
}

/* ---- processes ----------------------------------------------------------------------------------------------------- */

bool plat_process_is_stopped(int pid) {
    char path[32], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file) fclose(file);
    line[length] = 0;
    /* The program's name stands in brackets and may hold brackets. */
    const char *at = strrchr(line, ')');
    return at && (at[1] == ' ') && (at[2] == 'T' || at[2] == 't');
}

int plat_process_kill(int pid, uint64_t start_time) {
    uint64_t found;
    /* First the descriptor, then the look: from then on it cannot be somebody else's pid. */
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process < 0) return plat_fail(errno == ESRCH ? PLAT_E_NOT_FOUND : PLAT_E_SYSTEM);
    int error = plat_process_start_time(pid, &found);
    errno = ESRCH;
    if (error == PLAT_OK && found != start_time) error = plat_fail(PLAT_E_NOT_FOUND);
    if (error == PLAT_OK && syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) < 0)
        error = plat_fail(errno == ESRCH ? PLAT_E_NOT_FOUND : errno == EPERM ? PLAT_E_FOREIGN_USER : PLAT_E_SYSTEM);
    close(process);
    return error;
}
