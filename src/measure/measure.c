/* measure.c - see measure.h. */
#define _GNU_SOURCE
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sleep_ns(int64_t ns) {
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

void sleep_until_ns(int64_t at) {
    const struct timespec t = {at / 1000000000, at % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

void samples_add(samples *s, double value) {
    if (s->n < SAMPLES_MAX)
        s->values[s->n++] = value;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double samples_median(const samples *s) {
    if (s->n == 0)
        return NAN;
    static double sorted[SAMPLES_MAX];
    memcpy(sorted, s->values, s->n * sizeof *sorted);
    qsort(sorted, s->n, sizeof *sorted, compare);
    return s->n % 2 == 1 ? sorted[s->n / 2] : (sorted[s->n / 2 - 1] + sorted[s->n / 2]) / 2;
}

double samples_quantile(const samples *s, double part) {
    if (s->n == 0)
        return NAN;
    static double sorted[SAMPLES_MAX];
    memcpy(sorted, s->values, s->n * sizeof *sorted);
    qsort(sorted, s->n, sizeof *sorted, compare);
    const size_t rank = (size_t)ceil(part * (double)s->n);
    return sorted[rank > 0 ? rank - 1 : 0];
}

double samples_max(const samples *s) {
    double most = s->n == 0 ? NAN : s->values[0];
    for (size_t i = 1; i < s->n; i++)
        most = fmax(most, s->values[i]);
    return most;
}

/* ---- the rest of the machine ------------------------------------------------------------------------------------ */

/* Time that all cores together have worked, in the resolution of the kernel's tick. */
static int64_t machine_busy_ns(void) {
    long long user, nice, system, idle, iowait, irq, softirq, steal;
    FILE *file = fopen("/proc/stat", "re");
    const int n = file == NULL ? 0 : fscanf(file, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system,
                                            &idle, &iowait, &irq, &softirq, &steal);
    if (file != NULL)
        fclose(file);
    if (n != 8)
        return 0;
    return (user + nice + system + irq + softirq + steal) * (1000000000 / sysconf(_SC_CLK_TCK));
}

static int64_t ours_ns(const other_load *c) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    int64_t ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    struct rusage children;
    if (getrusage(RUSAGE_CHILDREN, &children) == 0)
        ns += ((int64_t)children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000000 +
              ((int64_t)children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000;
    for (size_t i = 0; i < sizeof c->subjects / sizeof *c->subjects; i++) {
        const int64_t subject = c->subjects[i] > 0 ? family_cpu_ns(c->subjects[i]) : 0;
        ns += subject > 0 ? subject : 0;
    }
    return ns;
}

other_load other_load_begin(pid_t subject, pid_t other_subject) {
    other_load c = {.subjects = {subject, other_subject}};
    c.ours_ns = ours_ns(&c);
    c.busy_ns = machine_busy_ns();
    c.at_ns = now_ns();
    return c;
}

double other_load_cores(const other_load *since) {
    const int64_t wall = now_ns() - since->at_ns;
    const int64_t others = machine_busy_ns() - since->busy_ns - (ours_ns(since) - since->ours_ns);
    return wall > 0 && others > 0 ? (double)others / (double)wall : 0;
}

static int64_t retry_ns;

void retries_set(int seconds) {
    retry_ns = seconds * 1000000000LL;
}

bool retries_left(void) {
    return retry_ns > 0;
}

void retries_spend(int64_t ns) {
    retry_ns -= ns;
}

void wait_for_quiet(pid_t subject, pid_t other_subject) {
    const int64_t look_ns = 150000000;
    while (retries_left()) {
        const other_load other_load = other_load_begin(subject, other_subject);
        sleep_ns(look_ns);
        if (other_load_cores(&other_load) <= OTHER_LOAD_MOST)
            return;
        retries_spend(look_ns);
    }
}

/* ---- processes -------------------------------------------------------------------------------------------------- */

int64_t process_cpu_ns(pid_t pid) {
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return -1;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

pid_t process_child(pid_t pid) {
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%d", &child) != 1)
        child = 0;
    fclose(file);
    return child;
}

int64_t family_cpu_ns(pid_t pid) {
    const pid_t child = process_child(pid);
    const int64_t of_child = child > 0 ? process_cpu_ns(child) : 0;
    return process_cpu_ns(pid) + (of_child > 0 ? of_child : 0);
}

void family_settle(pid_t pid) {
    const int64_t look_ns = 15000000, quiet_ns = 300000; /* per look: a sleeping process with a slow tick */
    const int64_t deadline = now_ns() + 3000000000;
    int n_quiet = 0;
    int64_t before = family_cpu_ns(pid);
    while (n_quiet < 2 && now_ns() < deadline) {
        sleep_ns(look_ns);
        const int64_t after = family_cpu_ns(pid);
        n_quiet = after - before < quiet_ns ? n_quiet + 1 : 0;
        before = after;
    }
}

/* Adds what one process has. */
static void add_memory_of(pid_t pid, process_memory *memory) {
    const struct {
        const char *name;
        double *mb;
    } wanted[] = {{"VmHWM:", &memory->peak_mb},
                  {"VmRSS:", &memory->now_mb},
                  {"RssAnon:", &memory->anon_mb},
                  {"RssFile:", &memory->file_mb},
                  {"RssShmem:", &memory->shmem_mb}};
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "re");
    if (status == NULL)
        fail("cannot read %s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, status) != NULL) {
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            const size_t length = strlen(wanted[i].name);
            if (strncmp(line, wanted[i].name, length) == 0)
                *wanted[i].mb += strtod(line + length, NULL) / 1024;
        }
    }
    fclose(status);
}

process_memory family_memory_of(pid_t pid) {
    process_memory memory = {0};
    const pid_t child = process_child(pid);
    add_memory_of(pid, &memory);
    if (child > 0)
        add_memory_of(child, &memory);
    return memory;
}

static void replace_descriptor(int from, int to, int flags) {
    if (from < 0)
        from = open("/dev/null", flags | O_CLOEXEC);
    if (from < 0 || dup2(from, to) < 0)
        _exit(127);
}

pid_t process_start(const char *const argv[], int in, int out, int err) {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0)
        fail("cannot start a process: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* not SIGKILL: a host removes its objects */
    if (getppid() != parent)
        _exit(127); /* it ended before the line above */
    replace_descriptor(in, STDIN_FILENO, O_RDONLY);
    replace_descriptor(out, STDOUT_FILENO, O_WRONLY);
    replace_descriptor(err, STDERR_FILENO, O_WRONLY);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

pid_t process_fork(void) {
    const pid_t parent = getpid();
    fflush(NULL);
    const pid_t pid = fork();
    if (pid < 0)
        fail("cannot start a process: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    return 0;
}

static cpu_set_t *all_cores(void) {
    static cpu_set_t cores;
    static bool is_known;
    if (!is_known)
        is_known = sched_getaffinity(0, sizeof cores, &cores) == 0;
    return is_known ? &cores : NULL;
}

void pin_to_core(int n) {
    const cpu_set_t *cores = all_cores();
    for (int core = 0; cores != NULL && core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, cores) || n-- > 0)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

void unpin(void) {
    const cpu_set_t *cores = all_cores();
    if (cores != NULL)
        sched_setaffinity(0, sizeof *cores, cores);
}

int process_end(pid_t pid) {
    const int64_t deadline = now_ns() + 10000000000;
    int status = 0;
    pid_t done;
    while ((done = waitpid(pid, &status, WNOHANG)) == 0) {
        if (now_ns() > deadline)
            kill(pid, SIGKILL);
        sleep_ns(200000);
    }
    return done == pid ? status : -1;
}

int process_wait(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) != pid) {
        if (errno != EINTR)
            return -1;
    }
    return status;
}
