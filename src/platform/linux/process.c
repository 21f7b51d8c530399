/* process.c - other processes' identity and death, the program's place, the machine's cores, the standard streams. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void plat_streams_ensure(void) {
    int descriptor;
    do {
        descriptor = open("/dev/null", O_RDWR);
    } while (descriptor >= 0 && descriptor <= 2);
    if (descriptor > 2) close(descriptor);
}

void plat_signals_ensure(void) {
    static const int kept[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t none;
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        bool is_taken_back = sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) is_taken_back = is_taken_back && number != kept[i];
        if (is_taken_back) signal(number, SIG_DFL); /* SIGCHLD: who ignores it cannot wait for its children */
    }
    signal(SIGXFSZ, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static struct {
    const char *line;
    int exit_code;
} on_fault;

static void say_fault(int number) {
    (void)number;
    ssize_t n_written = write(STDERR_FILENO, on_fault.line, strlen(on_fault.line));
    (void)n_written;
    _exit(on_fault.exit_code);
}

void plat_faults_say(const char *line, int exit_code) {
    on_fault.line = line;
    on_fault.exit_code = exit_code;
    sigaction(SIGBUS, &(struct sigaction){.sa_handler = say_fault}, NULL);
}

int plat_process_own_pid(void) {
    return (int)getpid();
}

size_t plat_process_name(int pid, char *name, size_t size_bytes) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    FILE *file = fopen(path, "re");
    size_t n_bytes = file ? fread(name, 1, size_bytes - 1, file) : 0;
    if (file) fclose(file);
    while (n_bytes > 0 && name[n_bytes - 1] == '\n') n_bytes--;
    name[n_bytes] = 0;
    return n_bytes;
}

int plat_process_start_time(int pid, uint64_t *start_time) {
    char path[32], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    /* Without a stream, which needs memory: that there is none, or no descriptor, must not make anybody dead. */
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = -1;
    while (file >= 0 && (length = read(file, line, sizeof line - 1)) < 0 && errno == EINTR) {
    }
    int error = errno == ENOENT || errno == ESRCH ? PLAT_E_NOT_FOUND : PLAT_E_SYSTEM;
    if (length < 0) error = plat_fail(error);
    if (file >= 0) close(file);
    if (length < 0) return error;
    line[length] = 0;
    /* The second field is the program's name in brackets and may hold anything, brackets too: field 22 is the 20th
     * behind the last bracket. */
    char *at = strrchr(line, ')');
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    unsigned long long ticks;
    if (!at || sscanf(at, " %llu", &ticks) != 1) return plat_fail(PLAT_E_NOT_FOUND);
    *start_time = ticks;
    return PLAT_OK;
}

bool plat_process_is_near(int pid) {
    char path[32], text[2048];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    if (length <= 0) return true;
    text[length] = 0;
    /* Its number in each namespace, from that of /proc down to its own. The links in /proc/PID/ns say more, but only to
     * those who may look into the process. */
    const char *at = strstr(text, "\nNSpid:");
    int outer, inner;
    return !at || sscanf(at, "\nNSpid: %d %d", &outer, &inner) < 2;
}

/* ---- watching ------------------------------------------------------------------------------------------------------ */

typedef struct watched {
    uint32_t tag;
    int process; /* pidfd; -1: the entry is free */
} watched;

struct plat_process_watch {
    int processes; /* epoll over all pidfds and `closing` */
    int closing;   /* eventfd that ends the thread */
    pid_t opener;
    plat_thread *thread;
    pthread_mutex_t lock; /* guards the entries; held while on_death runs, so that a removed one is not called */
    watched *entries;
    size_t n_entries;
    void (*on_death)(void *user_data, uint32_t tag);
    void *user_data;
};

#define TAG_CLOSING UINT64_MAX
#define WATCH_STACK_BYTES (128 * 1024)

static watched *find_watched(plat_process_watch *watch, uint32_t tag) {
    for (size_t i = 0; i < watch->n_entries; i++)
        if (watch->entries[i].process >= 0 && watch->entries[i].tag == tag) return &watch->entries[i];
    return NULL;
}

static void report_death(plat_process_watch *watch, uint32_t tag) {
    pthread_mutex_lock(&watch->lock);
    watched *entry = find_watched(watch, tag);
    struct pollfd ended = {.fd = entry ? entry->process : -1, .events = POLLIN};
    /* The event may be older than the entry: the tag could have been removed and given again meanwhile. */
    if (entry && poll(&ended, 1, 0) == 1) {
        close(entry->process);
        entry->process = -1;
        watch->on_death(watch->user_data, tag);
    }
    pthread_mutex_unlock(&watch->lock);
}

static void watch_processes(void *argument) {
    plat_process_watch *watch = argument;
    for (;;) {
        struct epoll_event event;
        if (epoll_wait(watch->processes, &event, 1, -1) != 1) continue;
        if (event.data.u64 == TAG_CLOSING) return;
        report_death(watch, (uint32_t)event.data.u64);
    }
}

static void release_watch(plat_process_watch *watch) {
    for (size_t i = 0; i < watch->n_entries; i++)
        if (watch->entries[i].process >= 0) close(watch->entries[i].process);
    if (watch->closing >= 0) close(watch->closing);
    if (watch->processes >= 0) close(watch->processes);
    pthread_mutex_destroy(&watch->lock);
    free(watch->entries);
    free(watch);
}

int plat_process_watch_open(void (*on_death)(void *user_data, uint32_t tag), void *user_data,
                            plat_process_watch **result) {
    *result = NULL;
    plat_process_watch *watch = malloc(sizeof *watch);
    if (!watch) return plat_fail(PLAT_E_NO_MEMORY);
    *watch = (plat_process_watch){.opener = getpid(), .on_death = on_death, .user_data = user_data};
    pthread_mutex_init(&watch->lock, NULL);
    watch->closing = eventfd(0, EFD_CLOEXEC);
    watch->processes = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event closing = {.events = EPOLLIN, .data.u64 = TAG_CLOSING};
    int error = PLAT_OK;
    if (watch->closing < 0 || watch->processes < 0 ||
        epoll_ctl(watch->processes, EPOLL_CTL_ADD, watch->closing, &closing) < 0)
        error = plat_fail(PLAT_E_SYSTEM);
    else
        error = plat_thread_start(watch_processes, watch, WATCH_STACK_BYTES, &watch->thread);
    if (error < 0) {
        release_watch(watch);
        return error;
    }
    *result = watch;
    return PLAT_OK;
}

/* An entry to use; NULL if memory ran out. */
static watched *free_entry(plat_process_watch *watch) {
    for (size_t i = 0; i < watch->n_entries; i++)
        if (watch->entries[i].process < 0) return &watch->entries[i];
    watched *larger = realloc(watch->entries, (watch->n_entries + 1) * sizeof *larger);
    if (!larger) return NULL;
    watch->entries = larger;
    larger[watch->n_entries].process = -1;
    return &larger[watch->n_entries++];
}

static int add_locked(plat_process_watch *watch, int process, uint32_t tag) {
    watched *entry = free_entry(watch);
    if (!entry) return plat_fail(PLAT_E_NO_MEMORY);
    struct epoll_event death = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = tag};
    if (epoll_ctl(watch->processes, EPOLL_CTL_ADD, process, &death) < 0) return plat_fail(PLAT_E_SYSTEM);
    *entry = (watched){tag, process};
    return PLAT_OK;
}

int plat_process_watch_add(plat_process_watch *watch, int pid, uint64_t start_time, uint32_t tag) {
    int process = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    if (process < 0) return errno == ESRCH || errno == EINVAL ? plat_fail(PLAT_E_NOT_FOUND) : plat_fail(PLAT_E_SYSTEM);
    /* Looked at behind the pidfd: if the number had been given to another process before, its start time says so. */
    uint64_t found;
    int error = PLAT_OK;
    if (start_time != 0) error = plat_process_start_time(pid, &found);
    if (start_time != 0 && error == PLAT_OK && found != start_time) error = plat_fail(PLAT_E_NOT_FOUND);
    if (error == PLAT_OK) {
        pthread_mutex_lock(&watch->lock);
        error = add_locked(watch, process, tag);
        pthread_mutex_unlock(&watch->lock);
    }
    if (error < 0) close(process);
    return error;
}

void plat_process_watch_remove(plat_process_watch *watch, uint32_t tag) {
    pthread_mutex_lock(&watch->lock);
    watched *entry = find_watched(watch, tag);
    if (entry) {
        close(entry->process);
        entry->process = -1;
    }
    pthread_mutex_unlock(&watch->lock);
}

void plat_process_watch_close(plat_process_watch *watch) {
    if (!watch) return;
    if (watch->opener == getpid()) {
        uint64_t one = 1;
        while (write(watch->closing, &one, sizeof one) < 0 && errno == EINTR) {
        }
        plat_thread_join(watch->thread);
    } else {
        plat_thread_forget(watch->thread);
    }
    release_watch(watch);
}

/* ---- this program and machine -------------------------------------------------------------------------------------- */

int plat_parent_pid(void) {
    return (int)getppid();
}

/* The lowest-numbered hardware thread of the core that `cpu` belongs to; `cpu` itself where the system does not say. */
static int first_sibling(int cpu) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *file = fopen(path, "re");
    int first = cpu;
    if (file) {
        if (fscanf(file, "%d", &first) != 1 || first < 0 || first > cpu) first = cpu;
        fclose(file);
    }
    return first;
}

#define GROUPS_FOLDER "/sys/fs/cgroup"

/* Reads the numbers that a file of a control group begins with. Returns how many there are: "max" is none. */
static int read_numbers(const char *folder, const char *name, long long numbers[2]) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return 0;
    FILE *file = fopen(path, "re");
    int n = file ? fscanf(file, "%lld %lld", &numbers[0], &numbers[1]) : 0;
    if (file) fclose(file);
    return n;
}

/* What one control group leaves of `most`. */
typedef long long (*group_limit)(const char *folder, long long most);

/* Whole processors that its quota pays for, in either version of control groups. */
static long long quota_of(const char *folder, long long most) {
    long long quota[2], period[2];
    bool is_limited = read_numbers(folder, "cpu.max", quota) == 2;
    if (is_limited) period[0] = quota[1];
    else is_limited = read_numbers(folder, "cpu.cfs_quota_us", quota) >= 1 && quota[0] > 0 &&
                      read_numbers(folder, "cpu.cfs_period_us", period) >= 1;
    if (!is_limited || period[0] <= 0 || quota[0] / period[0] >= most) return most;
    return quota[0] < period[0] ? 1 : quota[0] / period[0];
}

/* Bytes of files that the group has in memory and can do without. */
static long long idle_files_of(const char *folder) {
    char path[PATH_MAX], line[128];
    long long n_bytes = 0;
    if (snprintf(path, sizeof path, "%s/memory.stat", folder) >= (int)sizeof path) return 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) /* version 1 also says it of the group without those that lie in it, before */
        if (sscanf(line, "total_inactive_file %lld", &n_bytes) != 1) sscanf(line, "inactive_file %lld", &n_bytes);
    if (file) fclose(file);
    return n_bytes;
}

/* Bytes that it may still use. */
static long long memory_of(const char *folder, long long most) {
    long long limit[2], used[2] = {0};
    bool is_version_2 = read_numbers(folder, "memory.max", limit) >= 1;
    if (!is_version_2 && read_numbers(folder, "memory.limit_in_bytes", limit) < 1) return most;
    read_numbers(folder, is_version_2 ? "memory.current" : "memory.usage_in_bytes", used);
    long long left = limit[0] - used[0] + idle_files_of(folder);
    return left >= most ? most : left > 0 ? left : 1;
}

/* The least of a group's and all of those that it lies in. */
static long long limit_along(const char *root, const char *group, group_limit limit, long long most) {
    char folder[PATH_MAX];
    size_t n_root = strlen(root);
    if (snprintf(folder, sizeof folder, "%s%s", root, group) >= (int)sizeof folder) return most;
    for (char *end = folder + strlen(folder); end >= folder + n_root; end = strrchr(folder, '/')) {
        *end = 0;
        most = limit(folder, most);
    }
    return most;
}

/* Lines of "number:controllers:group"; those of version 2 have no controllers. */
static long long limit_of_groups(const char *controller, group_limit limit, long long most) {
    char line[PATH_MAX + 256], root[64];
    FILE *file = fopen("/proc/self/cgroup", "re");
    snprintf(root, sizeof root, "%s/%s", GROUPS_FOLDER, controller);
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        if (controllers[1] == 0) most = limit_along(GROUPS_FOLDER, group, limit, most);
        else if (strstr(controllers, controller)) most = limit_along(root, group, limit, most);
    }
    if (file) fclose(file);
    return most;
}

int plat_core_count(void) {
    cpu_set_t allowed, cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed)) CPU_SET(first_sibling(cpu), &cores);
    int count = CPU_COUNT(&cores);
    return count > 1 ? (int)limit_of_groups("cpu", quota_of, count) : 1;
}

/* The time of programs with a positive nice value is counted apart, and they hardly take any from one without. */
int plat_load_look(plat_load *load) {
    char line[256];
    cpu_set_t allowed;
    int cpu;
    bool is_nice = getpriority(PRIO_PROCESS, 0) > 0;
    unsigned long long user, nice, system, irq, softirq, n_ticks = 0;
    FILE *file = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? fopen("/proc/stat", "re") : NULL;
    *load = (plat_load){0};
    while (file && fgets(line, sizeof line, file) && strncmp(line, "cpu", 3) == 0) {
        if (sscanf(line, "cpu%d %llu %llu %llu %*u %*u %llu %llu", &cpu, &user, &nice, &system, &irq, &softirq) != 6) continue;
        if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed)) continue;
        n_ticks += user + (is_nice ? nice : 0) + system + irq + softirq;
        load->n_processors++;
    }
    if (file) fclose(file);
    struct timespec own;
    if (load->n_processors == 0 || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) < 0) return plat_fail(PLAT_E_SYSTEM);
    load->busy_ns = n_ticks * (1000000000ull / (unsigned long long)sysconf(_SC_CLK_TCK));
    load->own_ns = (uint64_t)own.tv_sec * 1000000000u + (uint64_t)own.tv_nsec;
    return PLAT_OK;
}

uint64_t plat_memory_available_bytes(void) {
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return 0;
    char line[128];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1) break;
    fclose(file);
    return (uint64_t)limit_of_groups("memory", memory_of, (long long)kib * 1024);
}

void plat_memory_trim(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

int plat_program_folder(char *path, size_t size_bytes) {
    ssize_t length = readlink("/proc/self/exe", path, size_bytes);
    if (length < 0 || (size_t)length >= size_bytes) return plat_fail(PLAT_E_SYSTEM);
    path[length] = 0;
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return PLAT_OK;
}

int plat_path_follow(const char *path, char *target, size_t size_bytes) {
    const char *slash = strrchr(path, '/');
    size_t n_folder = slash ? (size_t)(slash - path) + 1 : 0;
    char link[PATH_MAX];
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length < 0) return plat_fail(PLAT_E_NOT_FOUND);
    link[length] = 0;
    if (link[0] == '/') n_folder = 0; /* otherwise it is seen from the link's own folder */
    errno = ENAMETOOLONG;
    if (n_folder + (size_t)length >= size_bytes) return plat_fail(PLAT_E_SYSTEM);
    memcpy(target, path, n_folder);
    memcpy(target + n_folder, link, (size_t)length + 1);
    return PLAT_OK;
}

int plat_path_absolute(const char *path, char *absolute, size_t size_bytes) {
    size_t n_folder = 0;
    if (path[0] != '/') {
        /* The kernel says "(unreachable)/..." of a folder outside this process's root. */
        if (!getcwd(absolute, size_bytes) || absolute[0] != '/') return plat_fail(PLAT_E_SYSTEM);
        n_folder = strlen(absolute);
        if (n_folder + 1 < size_bytes) absolute[n_folder++] = '/';
    }
    if (n_folder + strlen(path) >= size_bytes) {
        errno = ENAMETOOLONG;
        return plat_fail(PLAT_E_SYSTEM);
    }
    memcpy(absolute + n_folder, path, strlen(path) + 1);
    return PLAT_OK;
}

bool plat_stream_try_write(int stream, const char *text, size_t n_bytes) {
    /* A pipe that polls writable has room for PIPE_BUF = 4,096 bytes, so this write neither blocks nor splits. */
    struct pollfd sink = {.fd = stream, .events = POLLOUT};
    if (n_bytes > 4096 || poll(&sink, 1, 0) <= 0 || !(sink.revents & POLLOUT)) return false;
    return write(stream, text, n_bytes) == (ssize_t)n_bytes;
}

int plat_program_find(const char *name, char *path, size_t size_bytes) {
    char folder[4096];
    if (plat_program_folder(folder, sizeof folder) == PLAT_OK) {
        int length = snprintf(path, size_bytes, "%s/%s", folder, name);
        if (length > 0 && (size_t)length < size_bytes && access(path, X_OK) == 0) return PLAT_OK;
    }
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t n_bytes = strcspn(at, ":");
        int length = snprintf(path, size_bytes, "%.*s/%s", (int)n_bytes, at, name);
        if (n_bytes > 0 && length > 0 && (size_t)length < size_bytes && access(path, X_OK) == 0) return PLAT_OK;
        at += n_bytes + (at[n_bytes] == ':');
    }
    errno = ENOENT;
    return plat_fail(PLAT_E_NOT_FOUND);
}

void plat_random(void *bytes, size_t size_bytes) {
    for (size_t done = 0; done < size_bytes;) {
        ssize_t n = getrandom((char *)bytes + done, size_bytes - done, 0);
        if (n > 0) done += (size_t)n;
    }
}
