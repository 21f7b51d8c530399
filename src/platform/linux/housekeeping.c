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

/* Whether one of the process's mappings is of this file: "address rights offset device:minor inode path". */
static bool has_mapped(const char *pid, const struct stat *status) {
    char path[300], *line = NULL;
    size_t size = 0;
    unsigned int major_number, minor_number;
    unsigned long long inode;
    bool is_found = false;
    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    FILE *maps = fopen(path, "re");
    while (maps && !is_found && getline(&line, &size, maps) > 0)
        is_found = sscanf(line, "%*s %*s %*s %x:%x %llu", &major_number, &minor_number, &inode) == 3 &&
                   inode == status->st_ino && makedev(major_number, minor_number) == status->st_dev;
    if (maps) fclose(maps);
    free(line);
    return is_found;
}

int plat_object_user_pid(const char *name, bool is_semaphore) {
    char path[PLAT_PATH_SIZE];
    struct stat status;
    const struct dirent *entry;
    int found = 0;
    if (path_of(name, is_semaphore, path) < 0 || lstat(path, &status) < 0) return 0;
    DIR *processes = opendir("/proc");
    while (processes && !found && (entry = readdir(processes))) {
        int pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        if (pid > 0 && pid != getpid() && has_mapped(entry->d_name, &status)) found = pid;
    }
    if (processes) closedir(processes);
    return found;
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
