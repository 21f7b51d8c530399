/* program.c - this program: its arguments and environment, files by their names, and how it is asked to end. */
#define _GNU_SOURCE
#include "internal.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- arguments, environment, files --------------------------------------------------------------------------------- */

void plat_arguments(int *argc, char ***argv) {
    (void)argc, (void)argv; /* UTF-8 is how they come */
}

const char *plat_environment(const char *name) {
    return getenv(name);
}

FILE *plat_file_open(const char *path, const char *mode) {
    int only_new = strchr(mode, 'x') ? O_EXCL | O_NOFOLLOW : 0;
    int flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (mode[0] == 'a' ? O_APPEND : O_TRUNC);
    int descriptor = open(path, flags | only_new | O_CLOEXEC, 0600);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, mode);
    if (!file && descriptor >= 0) close(descriptor);
    return file;
}

int plat_file_replace(const char *path, const char *replaced) {
    return rename(path, replaced) == 0 ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

int plat_file_size(const char *path, uint64_t *n_bytes) {
    struct stat status;
    if (n_bytes) *n_bytes = 0;
    if (stat(path, &status) < 0) return plat_fail_errno();
    errno = EINVAL;
    if (!S_ISREG(status.st_mode)) return plat_fail(PLAT_E_UNEXPECTED);
    if (n_bytes) *n_bytes = (uint64_t)status.st_size;
    return PLAT_OK;
}

const char *plat_objects_place(void) {
    return PLAT_OBJECT_FOLDER;
}

int plat_library_folder(const void *symbol, char *path, size_t size_bytes) {
    Dl_info info;
    errno = ENOENT;
    if (!dladdr(symbol, &info) || !info.dli_fname) return plat_fail(PLAT_E_SYSTEM);
    const char *slash = strrchr(info.dli_fname, '/');
    int length = slash ? snprintf(path, size_bytes, "%.*s", (int)(slash - info.dli_fname), info.dli_fname) : -1;
    return length > 0 && (size_t)length < size_bytes ? PLAT_OK : plat_fail(PLAT_E_SYSTEM);
}

/* ---- graphics cards ------------------------------------------------------------------------------------------------- */

/* A number that a file of the system's own says; 0: it does not. */
static unsigned long number_in(const char *folder, const char *entry, const char *file) {
    char path[PLAT_PATH_SIZE], text[32] = "";
    snprintf(path, sizeof path, "%s/%s/%s", folder, entry, file);
    FILE *stream = plat_file_open(path, "r");
    if (!stream) return 0;
    bool is_read = fgets(text, sizeof text, stream) != NULL;
    fclose(stream);
    return is_read ? strtoul(text, NULL, 16) : 0;
}

/* NULL: of those that draw, for instance in a virtual machine, and do not compute. */
static const char *maker_of(unsigned long vendor) {
    return vendor == 0x10de ? "NVIDIA" : vendor == 0x1002 ? "AMD" : vendor == 0x8086 ? "Intel" : NULL;
}

static void add_word(char *words, size_t size, const char *word) {
    size_t n = strlen(words);
    if (!strstr(words, word)) snprintf(words + n, size - n, "%s%s", n > 0 ? ", " : "", word);
}

/* The file through which programs reach the cards, if it is there and this process may not open it. */
static void find_obstacle(char *obstacle, size_t size) {
    static const char *const files[] = {"/dev/dri/renderD128", "/dev/nvidiactl"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (access(files[i], F_OK) == 0 && access(files[i], R_OK | W_OK) < 0)
            snprintf(obstacle, size, "%s cannot be opened by this user, who must be in its group", files[i]);
}

void plat_graphics_cards(char *names, size_t names_size, char *obstacle, size_t obstacle_size) {
    static const char folder[] = "/sys/bus/pci/devices";
    enum { DISPLAY_CLASS = 3 };
    names[0] = obstacle[0] = 0;
    DIR *devices = opendir(folder);
    struct dirent *device;
    while (devices && (device = readdir(devices))) {
        if (device->d_name[0] == '.' || number_in(folder, device->d_name, "class") >> 16 != DISPLAY_CLASS) continue;
        const char *maker = maker_of(number_in(folder, device->d_name, "vendor"));
        if (maker) add_word(names, names_size, maker);
    }
    if (devices) closedir(devices);
    find_obstacle(obstacle, obstacle_size);
}

/* ---- being asked to end -------------------------------------------------------------------------------------------- */

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
#define N_ENDING (sizeof ending / sizeof ending[0])

static void (*on_stop)(int exit_code);

static void on_signal(int number) {
    int saved_errno = errno;
    on_stop(128 + number);
    errno = saved_errno;
}

static sigset_t ending_set(void) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < N_ENDING; i++) sigaddset(&set, ending[i]);
    return set;
}

void plat_stop_watch(void (*callback)(int exit_code)) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART, .sa_mask = ending_set()};
    on_stop = callback;
    for (size_t i = 0; i < N_ENDING; i++) {
        struct sigaction before;
        sigaction(ending[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) sigaction(ending[i], &action, NULL); /* nohup stays in force */
    }
    signal(SIGPIPE, SIG_IGN); /* nobody may read our log */
}

void plat_stop_hold(sigset_t *before) {
    sigset_t set = ending_set();
    sigprocmask(SIG_BLOCK, &set, before);
}

void plat_stop_ignore(void) {
    sigset_t set = ending_set();
    for (size_t i = 0; i < N_ENDING; i++) signal(ending[i], SIG_IGN);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

_Noreturn void plat_exit_now(int exit_code) {
    _exit(exit_code);
}
