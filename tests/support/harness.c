/* harness.c - see harness.h. */
#include "harness.h"

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
enum { MAX_HOSTS = 16, MAX_ARGUMENTS = 48, BUSY = 4 };

static char g_name[64] = "test";
static char g_step[256] = "start";
static pid_t g_owner;
static bool g_failed;
/* Hosts that may still run, for cleaning up: pid and output, copied because a test_host may lie on a stack that is
 * gone. */
static struct {
    pid_t pid;
    int out_fd, err_fd;
} g_hosts[MAX_HOSTS];

static const char *const object_suffixes[N_OBJECTS] = {"_shared_mem", "_sem_ready", "_sem_prompts_written",
                                                       "_sem_response_written", "_sem_chunk_ready"};

/* ---- Time ---- */

double test_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double scale_of(const char *variable) {
    const char *text = getenv(variable);
    return text && atof(text) >= 1 ? atof(text) : 1;
}

double test_scaled(double milliseconds) {
    static double scale;
    if (scale == 0)
        scale = scale_of("LIPC_TEST_BUILD_SCALE") * scale_of("LIPC_TEST_TIME_SCALE");
    return milliseconds * scale;
}

void test_pause_ms(double milliseconds) {
    struct timespec rest = {(time_t)(milliseconds / 1e3), (long)(milliseconds * 1e6) % 1000000000L};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

void test_breathe(void) {
    test_pause_ms(0.2);
}

uint32_t test_random(uint64_t *state, uint32_t below) {
    /* splitmix64 */
    uint64_t value = (*state += 0x9e3779b97f4a7c15u);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    value ^= value >> 31;
    return below ? (uint32_t)(value % below) : 0;
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

static void instance_marker(char marker[32]) {
    snprintf(marker, 32, "lipctest%d_", (int)g_owner);
}

static void print_tail(const char *what, int fd) {
    char text[3001];
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size == 0)
        return;
    off_t from = status.st_size > 3000 ? status.st_size - 3000 : 0;
    ssize_t n = pread(fd, text, sizeof text - 1, from);
    if (n <= 0)
        return;
    text[n] = 0;
    fprintf(stderr, "---- %s ----\n%s%s", what, text, text[n - 1] == '\n' ? "" : "\n");
}

static void show_hosts(void) {
    for (int i = 0; i < MAX_HOSTS; i++) {
        if (!g_hosts[i].pid)
            continue;
        print_tail("stdout of the host", g_hosts[i].out_fd);
        print_tail("stderr of the host", g_hosts[i].err_fd);
    }
}

/* Runs at every exit of the test program itself, not of the children it forked. */
static void clean_up(void) {
    if (getpid() != g_owner)
        return;
    if (g_failed)
        show_hosts();
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
    instance_marker(marker);
    remove_objects_of(marker);
}

static void end_failed(void) {
    g_failed = true;
    if (getpid() == g_owner)
        exit(1);
    /* A worker: what it started becomes the test program's, which cleans up. */
    show_hosts();
    fflush(NULL);
    _exit(1);
}

static void on_time_limit(int signal_number) {
    (void)signal_number;
    /* The program is ending; what is unsafe in a handler can only cost the message. */
    fprintf(stderr, "%s: time limit reached during: %s\n", g_name, g_step);
    g_failed = true;
    if (getpid() == g_owner)
        clean_up();
    _exit(1);
}

void test_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "%s:%d: failed: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n    during: %s\n", g_step);
    end_failed();
    abort();
}

static void say_skipped(const char *format, va_list arguments) {
    printf("%s: skipped: ", g_name);
    vprintf(format, arguments);
    printf("\n");
}

void test_skip(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say_skipped(format, arguments);
    va_end(arguments);
    exit(77);
}

void test_leave_out(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say_skipped(format, arguments);
    va_end(arguments);
}

void test_check_text(const char *file, int line, const char *what, const char *actual, const char *expected) {
    if (actual && expected && strcmp(actual, expected) == 0)
        return;
    test_fail(file, line, "%s is\n    \"%.600s\"\n    expected\n    \"%.600s\"", what, actual ? actual : "(null)",
              expected ? expected : "(null)");
}

void test_begin(const char *name, unsigned limit_seconds) {
    snprintf(g_name, sizeof g_name, "%s", name);
    g_owner = getpid();
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
    instance_marker(marker);
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (strstr(entry->d_name, marker))
            test_fail(__FILE__, __LINE__, "left over: /dev/shm/%s", entry->d_name);
    if (directory)
        closedir(directory);
    printf("%s: passed\n", g_name);
    return 0;
}

void test_step(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(g_step, sizeof g_step, format, arguments);
    va_end(arguments);
    printf("%s: %s\n", g_name, g_step);
}

void test_instance(char name[64], const char *suffix) {
    char marker[32];
    instance_marker(marker);
    snprintf(name, 64, "%s%s", marker, suffix);
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

/* ---- Text ---- */

bool test_is_utf8(const char *text, size_t n_bytes) {
    const unsigned char *at = (const unsigned char *)text, *end = at + n_bytes;
    while (at < end) {
        unsigned lead = *at++;
        if (lead < 0x80)
            continue;
        int n = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || end - at < n)
            return false;
        unsigned lowest = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        unsigned highest = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (*at < lowest || *at > highest)
            return false;
        for (int i = 1; i < n; i++)
            if ((at[i] & 0xc0) != 0x80)
                return false;
        at += n;
    }
    return true;
}

int count_of(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        n++;
    return n;
}

bool test_is_prefix(const char *text, size_t n_bytes, const char *of) {
    return strncmp(text, of, n_bytes) == 0;
}

/* Where this test program lies: build/tests. */
static const char *program_folder(void) {
    static char folder[4096];
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n > 0 ? n : 0] = 0;
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    return folder;
}

const char *test_model_path(char path[4096], const char *file) {
    const char *directory = getenv("LIPC_TEST_MODEL_DIR");
    if (directory)
        snprintf(path, 4096, "%s/%s", directory, file);
    else
        snprintf(path, 4096, "%.3900s/../../models/%s", program_folder(), file);
    return path;
}

/* ---- Objects ---- */

const char *object_path(char path[256], const char *instance, int object) {
    snprintf(path, 256, "/dev/shm/%s%s%s", object == OBJECT_SEGMENT ? "" : "sem.", instance, object_suffixes[object]);
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

int objects_count(const char *instance) {
    int n = 0;
    for (int i = 0; i < N_OBJECTS; i++)
        n += object_exists(instance, i);
    return n;
}

void objects_remove(const char *instance) {
    char path[256];
    for (int i = 0; i < N_OBJECTS; i++)
        unlink(object_path(path, instance, i));
}

/* ---- The host ---- */

static const char *host_program(void) {
    static char path[4200];
    const char *program = getenv("LIPC_CHATBOT");
    snprintf(path, sizeof path, "%s/../chatbot", program_folder());
    return program && *program ? program : path;
}

static void remember_host(const test_host *host) {
    for (int i = 0; i < MAX_HOSTS; i++) {
        if (g_hosts[i].pid)
            continue;
        g_hosts[i].pid = host->pid;
        g_hosts[i].out_fd = host->out_fd;
        g_hosts[i].err_fd = host->err_fd;
        return;
    }
    test_fail(__FILE__, __LINE__, "more than %d hosts at once", MAX_HOSTS);
}

static void forget_host(const test_host *host) {
    for (int i = 0; i < MAX_HOSTS; i++)
        if (g_hosts[i].pid == host->pid)
            g_hosts[i].pid = 0;
}

static int output_file(const char *what) {
    int fd = memfd_create(what, MFD_CLOEXEC);
    CHECK_SAY(fd >= 0, "memfd_create: %s", strerror(errno));
    return fd;
}

void host_start_with(test_host *host, const char *instance, const test_host_setup *setup,
                     const char *const *arguments) {
    static const test_host_setup nothing;
    static char extra[1024];
    char *argv[MAX_ARGUMENTS + 1];
    int n = 0;
    if (!setup)
        setup = &nothing;
    memset(host, 0, sizeof *host);
    snprintf(host->instance, sizeof host->instance, "%s", instance);
    argv[n++] = (char *)(uintptr_t)host_program();
    if (!setup->no_instance) {
        argv[n++] = (char *)(uintptr_t) "--name";
        argv[n++] = host->instance;
    }
    for (int i = 0; arguments && arguments[i] && n < MAX_ARGUMENTS; i++)
        argv[n++] = (char *)(uintptr_t)arguments[i];
    if (getenv("LIPC_TEST_EXTRA")) {
        snprintf(extra, sizeof extra, "%s", getenv("LIPC_TEST_EXTRA"));
        for (char *word = strtok(extra, " "); word && n < MAX_ARGUMENTS; word = strtok(NULL, " "))
            argv[n++] = word;
    }
    argv[n] = NULL;
    host->out_fd = setup->out_fd ? -1 : output_file("host-stdout");
    host->err_fd = setup->err_fd ? -1 : output_file("host-stderr");
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
    remember_host(host);
}

void host_start(test_host *host, const char *instance, ...) {
    const char *arguments[MAX_ARGUMENTS];
    va_list list;
    int n = 0;
    va_start(list, instance);
    do
        arguments[n] = va_arg(list, const char *);
    while (arguments[n++] && n < MAX_ARGUMENTS);
    va_end(list);
    host_start_with(host, instance, NULL, arguments);
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
    forget_host(host);
    return true;
}

static void show_output(const test_host *host) {
    print_tail("stdout of the host", host->out_fd);
    print_tail("stderr of the host", host->err_fd);
}

void host_expect_exit(test_host *host, int exit_code, int timeout_ms) {
    double begin = test_now_ms();
    if (!host_ended(host, timeout_ms))
        test_fail(__FILE__, __LINE__, "the host did not end within %d ms", timeout_ms);
    if (host->exit_code == exit_code)
        return;
    show_output(host);
    test_fail(__FILE__, __LINE__, "the host ended with code %d after %.0f ms, expected %d", host->exit_code,
              test_now_ms() - begin, exit_code);
}

/* The output of a host that has ended is no longer needed. */
static void host_release(test_host *host) {
    if (host->out_fd >= 0)
        close(host->out_fd);
    if (host->err_fd >= 0)
        close(host->err_fd);
    host->out_fd = host->err_fd = -1;
}

void host_stop(test_host *host) {
    kill(host->pid, SIGTERM);
    host_expect_exit(host, 0, SOON_MS);
    int n = objects_count(host->instance);
    if (n)
        test_fail(__FILE__, __LINE__, "the host has ended and %d of its objects are left", n);
    host_release(host);
}

void host_kill(test_host *host) {
    kill(host->pid, SIGKILL);
    if (!host_ended(host, SOON_MS))
        test_fail(__FILE__, __LINE__, "the host survived SIGKILL");
    host_release(host);
}

static char *read_all(int fd) {
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return strdup("");
    char *text = malloc((size_t)status.st_size + 1);
    ssize_t n = text ? pread(fd, text, (size_t)status.st_size, 0) : -1;
    if (n < 0)
        test_fail(__FILE__, __LINE__, "cannot read the host's output");
    text[n] = 0;
    return text;
}

char *host_out(const test_host *host) {
    return read_all(host->out_fd);
}

char *host_err(const test_host *host) {
    return read_all(host->err_fd);
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

pid_t host_worker(const test_host *host) {
    pid_t worker = process_child(host->pid);
    return worker ? worker : host->pid;
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

void host_pause(const test_host *host) {
    process_stop(host->pid); /* first: it would start another worker for one that ends now */
    process_stop(host_worker(host));
}

void host_resume(const test_host *host) {
    kill(host_worker(host), SIGCONT);
    kill(host->pid, SIGCONT);
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
static double own_cpu_ms(pid_t pid) {
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

double process_cpu_ms(pid_t pid) {
    double own = own_cpu_ms(pid);
    pid_t child = process_child(pid);
    return own >= 0 && child ? own + own_cpu_ms(child) : own;
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

host_files host_files_now(const test_host *host) {
    return (host_files){process_fd_count(host->pid), process_fd_count(host_worker(host))};
}

void host_check_files(const test_host *host, host_files before) {
    host_files now;
    bool is_same = WAITED(SOON_MS, (now = host_files_now(host)).supervisor == before.supervisor && now.worker == before.worker);
    CHECK_SAY(is_same, "open descriptors: supervisor %d, worker %d; at first %d and %d", now.supervisor, now.worker,
              before.supervisor, before.worker);
}
