/* harness.c - what of harness.h is Linux's own; the rest is harness_common.c. */
#include "harness_inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* BUSY: so many times what an idle machine needs at most is a test's limit, for one that does other things as well. */
enum { BUSY = 4 };

/* ---- Time ---- */

double test_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void test_pause_ms(double milliseconds) {
    struct timespec rest = {(time_t)(milliseconds / 1e3), (long)(milliseconds * 1e6) % 1000000000L};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

void test_breathe(void) {
    test_pause_ms(0.2);
}

/* ---- The end of the program ---- */

static void remove_objects_of(const char *marker) {
    DIR *directory = opendir("/dev/shm");
    if (!directory)
        return;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        char path[512];
        if (!strstr(entry->d_name, marker))
            continue;
        snprintf(path, sizeof path, "/dev/shm/%s", entry->d_name);
        unlink(path);
    }
    closedir(directory);
}

/* Runs at every exit of the test program itself, not of the children it forked. */
static void clean_up(void) {
    if (getpid() != harness_owner)
        return;
    if (harness_failed)
        harness_show_hosts();
    /* Whatever else descends from this program: it is the subreaper, so strays are its children by now. */
    for (int round = 0; round < 200; round++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
        FILE *children = fopen(path, "r");
        int pid, n = 0;
        while (children && fscanf(children, "%d", &pid) == 1) {
            kill(pid, SIGKILL);
            n++;
        }
        if (children)
            fclose(children);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (n == 0)
            break;
        test_pause_ms(1);
    }
    char marker[32];
    harness_marker(marker);
    remove_objects_of(marker);
}

void harness_end_failed(void) {
    harness_failed = true;
    if (getpid() == harness_owner)
        exit(1);
    /* A worker: what it started becomes the test program's, which cleans up. */
    harness_show_hosts();
    fflush(NULL);
    _exit(1);
}

static void on_time_limit(int signal_number) {
    (void)signal_number;
    /* The program is ending; what is unsafe in a handler can only cost the message. */
    fprintf(stderr, "%s: time limit reached during: %s\n", harness_name, harness_step);
    harness_failed = true;
    if (getpid() == harness_owner)
        clean_up();
    _exit(1);
}

void test_begin(const char *name, unsigned limit_seconds) {
    snprintf(harness_name, sizeof harness_name, "%s", name);
    harness_owner = getpid();
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* What a shell or a build left open here would be inherited by every host, and tests count and limit descriptors. */
    close_range(STDERR_FILENO + 1, ~0u, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    atexit(clean_up);
    signal(SIGALRM, on_time_limit);
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)test_scaled(limit_seconds * BUSY));
}

int test_end(void) {
    char marker[32];
    test_step("looking for leftovers");
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    if (waitpid(-1, NULL, WNOHANG) == 0)
        test_fail(__FILE__, __LINE__, "a process is left over");
    harness_marker(marker);
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (strstr(entry->d_name, marker))
            test_fail(__FILE__, __LINE__, "left over: /dev/shm/%s", entry->d_name);
    if (directory)
        closedir(directory);
    printf("%s: passed\n", harness_name);
    return 0;
}

static bool write_line(const char *path, const char *line) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line);
    if (fd >= 0)
        close(fd);
    return is_written;
}

/* As root, or else as the root of a user namespace in which this user is the only one. */
static bool unshare_mounts(void) {
    char users[64], groups[64];
    snprintf(users, sizeof users, "%u %u 1", geteuid(), geteuid());
    snprintf(groups, sizeof groups, "%u %u 1", getegid(), getegid());
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_line("/proc/self/uid_map", users) &&
           write_line("/proc/self/setgroups", "deny") && write_line("/proc/self/gid_map", groups);
}

bool test_private_shm(const char *options) {
    if (!unshare_mounts() || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    return mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

void test_file(char path[256], const char *text, size_t n_bytes) {
    int fd = memfd_create("test-file", MFD_CLOEXEC);
    CHECK_SAY(fd >= 0 && write(fd, text, n_bytes) == (ssize_t)n_bytes, "cannot write a file: %s", strerror(errno));
    snprintf(path, 256, "/proc/%d/fd/%d", (int)getpid(), fd);
}

/* Where this test program lies: build/tests. */
const char *harness_folder(void) {
    static char folder[4096];
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n > 0 ? n : 0] = 0;
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    return folder;
}

const char *const harness_to_host = "/../chatbot", *const harness_to_models = "/../../models";

/* ---- Objects ---- */

const char *object_path(char path[256], const char *instance, int object) {
    snprintf(path, 256, "/dev/shm/%s%s%s", object == OBJECT_SEGMENT ? "" : "sem.", instance, harness_object_suffixes[object]);
    return path;
}

bool object_exists(const char *instance, int object) {
    return object_inode(instance, object) != 0;
}

ino_t object_inode(const char *instance, int object) {
    char path[256];
    struct stat status;
    return stat(object_path(path, instance, object), &status) == 0 ? status.st_ino : 0;
}

const bool objects_are_removable = true;
const bool processes_are_copyable = true;

const char *death_words(int signal) {
    static char words[32];
    snprintf(words, sizeof words, "signal %d", signal);
    return words;
}

void objects_remove(const char *instance) {
    char path[256];
    for (int i = 0; i < N_OBJECTS; i++)
        unlink(object_path(path, instance, i));
}

/* ---- The host ---- */

int harness_output_file(const char *what) {
    int fd = memfd_create(what, MFD_CLOEXEC);
    CHECK_SAY(fd >= 0, "memfd_create: %s", strerror(errno));
    return fd;
}

void harness_close(int fd) {
    close(fd);
}

long long harness_file_size(int fd) {
    struct stat status;
    return fd >= 0 && fstat(fd, &status) == 0 ? status.st_size : -1;
}

long long harness_read_at(int fd, long long offset, char *bytes, size_t n_bytes) {
    return pread(fd, bytes, n_bytes, offset);
}

void host_start_with(test_host *host, const char *instance, const test_host_setup *setup,
                     const char *const *arguments) {
    static const test_host_setup nothing;
    if (!setup)
        setup = &nothing;
    memset(host, 0, sizeof *host);
    snprintf(host->instance, sizeof host->instance, "%s", instance);
    char *const *argv = (char *const *)(uintptr_t)harness_arguments(host, setup, arguments);
    host->out_fd = setup->out_fd ? -1 : harness_output_file("host-stdout");
    host->err_fd = setup->err_fd ? -1 : harness_output_file("host-stderr");
    host->started_ms = test_now_ms();
    host->pid = fork();
    CHECK_SAY(host->pid >= 0, "fork: %s", strerror(errno));
    if (host->pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0);
        dup2(setup->out_fd ? setup->out_fd : host->out_fd, 1);
        dup2(setup->err_fd ? setup->err_fd : host->err_fd, 2);
        signal(SIGPIPE, SIG_DFL);
        alarm(0);
        if (setup->before_exec)
            setup->before_exec(setup->data);
        execv(argv[0], argv);
        fprintf(stderr, "cannot start %s: %s\n", argv[0], strerror(errno));
        _exit(126);
    }
    host->pidfd = (int)syscall(SYS_pidfd_open, host->pid, 0);
    CHECK_SAY(host->pidfd >= 0, "pidfd_open: %s", strerror(errno));
    fcntl(host->pidfd, F_SETFD, FD_CLOEXEC);
    host->running = true;
    harness_remember(host);
}

bool host_ended(test_host *host, int timeout_ms) {
    if (!host->running)
        return true;
    struct pollfd watch = {host->pidfd, POLLIN, 0};
    double end = test_now_ms() + test_scaled(timeout_ms);
    int n;
    do {
        double left = end - test_now_ms();
        n = poll(&watch, 1, left > 0 ? (int)left + 1 : 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    int status = 0;
    waitpid(host->pid, &status, 0);
    host->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    host->running = false;
    close(host->pidfd);
    harness_forget(host);
    return true;
}

void host_stop(test_host *host) {
    kill(host->pid, SIGTERM);
    host_expect_exit(host, 0, SOON_MS);
    int n = objects_count(host->instance);
    if (n)
        test_fail(__FILE__, __LINE__, "the host has ended and %d of its objects are left", n);
    harness_release(host);
}

pid_t process_child(pid_t pid) {
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &child) != 1)
        child = 0;
    fclose(file);
    return child;
}

/* The state of one thread, as /proc tells it; 0 if there is none. */
static char thread_state(pid_t pid, const char *thread) {
    char path[300], state = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", (int)pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 0;
    fclose(file);
    return state;
}

static bool has_stopped(pid_t pid) {
    char path[64];
    struct dirent *entry;
    bool runs = false;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    while (threads && (entry = readdir(threads))) {
        char state = entry->d_name[0] == '.' ? 0 : thread_state(pid, entry->d_name);
        runs = runs || (state != 0 && !strchr("TtZX", state));
    }
    if (threads)
        closedir(threads);
    return !runs;
}

void process_stop(pid_t pid) {
    CHECK_SAY(kill(pid, SIGSTOP) == 0, "process %d cannot be stopped: %s", (int)pid, strerror(errno));
    CHECK_SAY(WAITED(SOON_MS, has_stopped(pid)), "process %d goes on", (int)pid);
}

/* Nanoseconds that one thread ran; negative if the kernel does not say. */
static double thread_cpu_ns(pid_t pid, const char *thread) {
    char path[300];
    double ns;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    if (fscanf(file, "%lf", &ns) != 1)
        ns = -1;
    fclose(file);
    return ns;
}

/* Of all threads that live. Not /proc/PID/stat: each of its figures is rounded down to 10 ms. */
double harness_cpu_ms(pid_t pid) {
    char path[64];
    double sum = 0;
    int n_known = 0; /* a thread may end meanwhile, but not all of them */
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    if (!threads)
        return -1;
    while ((entry = readdir(threads))) {
        double ns = entry->d_name[0] == '.' ? -1 : thread_cpu_ns(pid, entry->d_name);
        if (ns < 0)
            continue;
        sum += ns;
        n_known++;
    }
    closedir(threads);
    return n_known > 0 ? sum / 1e6 : -1;
}

long process_rss_kib(pid_t pid) {
    char path[64];
    long total, resident = -1;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    if (fscanf(file, "%ld %ld", &total, &resident) != 2)
        resident = -1;
    fclose(file);
    return resident < 0 ? -1 : resident * (sysconf(_SC_PAGESIZE) / 1024);
}

int process_fd_count(pid_t pid) {
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    struct dirent *entry;
    while ((entry = readdir(directory)))
        n += entry->d_name[0] != '.';
    closedir(directory);
    return n;
}
