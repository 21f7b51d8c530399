/* harness_common.c - the part of harness.h that is the same on every system. */
#include "harness_inside.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char harness_name[64] = "test";
char harness_step[256] = "start";
bool harness_failed;
int harness_owner;
harness_host harness_hosts[HARNESS_MAX_HOSTS];

const char *const harness_object_suffixes[N_OBJECTS] = {"_shared_mem", "_sem_ready", "_sem_prompts_written",
                                                        "_sem_response_written", "_sem_chunk_ready"};

/* ---- Time and chance ---- */

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

uint32_t test_random(uint64_t *state, uint32_t below) {
    /* splitmix64 */
    uint64_t value = (*state += 0x9e3779b97f4a7c15u);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    value ^= value >> 31;
    return below ? (uint32_t)(value % below) : 0;
}

/* ---- What a host wrote ---- */

static void print_tail(const char *what, int fd) {
    char text[3001];
    long long size = harness_file_size(fd);
    if (size <= 0)
        return;
    long long n = harness_read_at(fd, size > 3000 ? size - 3000 : 0, text, sizeof text - 1);
    if (n <= 0)
        return;
    text[n] = 0;
    fprintf(stderr, "---- %s ----\n%s%s", what, text, text[n - 1] == '\n' ? "" : "\n");
}

static void show_output(int out_fd, int err_fd) {
    print_tail("stdout of the host", out_fd);
    print_tail("stderr of the host", err_fd);
}

void harness_show_hosts(void) {
    for (int i = 0; i < HARNESS_MAX_HOSTS; i++)
        if (harness_hosts[i].pid)
            show_output(harness_hosts[i].out_fd, harness_hosts[i].err_fd);
}

static char *read_all(int fd) {
    long long size = harness_file_size(fd);
    if (size < 0)
        return strdup("");
    char *text = malloc((size_t)size + 1);
    long long n = text ? harness_read_at(fd, 0, text, (size_t)size) : -1;
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

/* ---- Checks ---- */

void test_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "%s:%d: failed: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n    during: %s\n", harness_step);
    harness_end_failed();
}

static void say_skipped(const char *format, va_list arguments) {
    printf("%s: skipped: ", harness_name);
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

void test_step(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(harness_step, sizeof harness_step, format, arguments);
    va_end(arguments);
    printf("%s: %s\n", harness_name, harness_step);
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

/* ---- Names and paths ---- */

void harness_marker(char marker[32]) {
    snprintf(marker, 32, "lipctest%d_", harness_owner);
}

void test_instance(char name[64], const char *suffix) {
    char marker[32];
    harness_marker(marker);
    snprintf(name, 64, "%s%s", marker, suffix);
}

const char *test_model_path(char path[4096], const char *file) {
    const char *directory = getenv("LIPC_TEST_MODEL_DIR");
    if (directory)
        snprintf(path, 4096, "%s/%s", directory, file);
    else
        snprintf(path, 4096, "%.3900s%s/%s", harness_folder(), harness_to_models, file);
    return path;
}

static const char *host_program(void) {
    static char path[4200];
    const char *program = getenv("LIPC_CHATBOT");
    snprintf(path, sizeof path, "%s%s", harness_folder(), harness_to_host);
    return program && *program ? program : path;
}

int objects_count(const char *instance) {
    int n = 0;
    for (int i = 0; i < N_OBJECTS; i++)
        n += object_exists(instance, i);
    return n;
}

/* ---- Hosts ---- */

void harness_remember(const test_host *host) {
    for (int i = 0; i < HARNESS_MAX_HOSTS; i++) {
        if (harness_hosts[i].pid)
            continue;
        harness_hosts[i] = (harness_host){host->pid, host->out_fd, host->err_fd};
        return;
    }
    test_fail(__FILE__, __LINE__, "more than %d hosts at once", HARNESS_MAX_HOSTS);
}

void harness_forget(const test_host *host) {
    for (int i = 0; i < HARNESS_MAX_HOSTS; i++)
        if (harness_hosts[i].pid == host->pid)
            harness_hosts[i].pid = 0;
}

const char *const *harness_arguments(const test_host *host, const test_host_setup *setup, const char *const *arguments) {
    static const char *words[HARNESS_MAX_ARGUMENTS + 1];
    static char extra[1024];
    int n = 0;
    words[n++] = host_program();
    if (!setup->no_instance) {
        words[n++] = "--name";
        words[n++] = host->instance;
    }
    for (int i = 0; arguments && arguments[i] && n < HARNESS_MAX_ARGUMENTS; i++)
        words[n++] = arguments[i];
    if (getenv("LIPC_TEST_EXTRA")) {
        snprintf(extra, sizeof extra, "%s", getenv("LIPC_TEST_EXTRA"));
        for (char *word = strtok(extra, " "); word && n < HARNESS_MAX_ARGUMENTS; word = strtok(NULL, " "))
            words[n++] = word;
    }
    words[n] = NULL;
    return words;
}

void host_start(test_host *host, const char *instance, ...) {
    const char *arguments[HARNESS_MAX_ARGUMENTS];
    va_list list;
    int n = 0;
    va_start(list, instance);
    do
        arguments[n] = va_arg(list, const char *);
    while (arguments[n++] && n < HARNESS_MAX_ARGUMENTS);
    va_end(list);
    host_start_with(host, instance, NULL, arguments);
}

void host_expect_exit(test_host *host, int exit_code, int timeout_ms) {
    double begin = test_now_ms();
    if (!host_ended(host, timeout_ms))
        test_fail(__FILE__, __LINE__, "the host did not end within %d ms", timeout_ms);
    if (host->exit_code == exit_code)
        return;
    show_output(host->out_fd, host->err_fd);
    test_fail(__FILE__, __LINE__, "the host ended with code %d after %.0f ms, expected %d", host->exit_code,
              test_now_ms() - begin, exit_code);
}

void harness_release(test_host *host) {
    if (host->out_fd >= 0)
        harness_close(host->out_fd);
    if (host->err_fd >= 0)
        harness_close(host->err_fd);
    host->out_fd = host->err_fd = -1;
}

void host_kill(test_host *host) {
    kill(host->pid, SIGKILL);
    if (!host_ended(host, SOON_MS))
        test_fail(__FILE__, __LINE__, "the host survived SIGKILL");
    harness_release(host);
}

pid_t host_worker(const test_host *host) {
    pid_t worker = process_child(host->pid);
    return worker ? worker : host->pid;
}

void host_pause(const test_host *host) {
    process_stop(host->pid); /* first: it would start another worker for one that ends now */
    process_stop(host_worker(host));
}

void host_resume(const test_host *host) {
    kill(host_worker(host), SIGCONT);
    kill(host->pid, SIGCONT);
}

double process_cpu_ms(pid_t pid) {
    double own = harness_cpu_ms(pid);
    pid_t child = process_child(pid);
    return own >= 0 && child ? own + harness_cpu_ms(child) : own;
}

host_files host_files_now(const test_host *host) {
    return (host_files){process_fd_count(host->pid), process_fd_count(host_worker(host))};
}

void host_check_files(const test_host *host, host_files before) {
    host_files now;
    /* Fewer is no leak: when it was counted at first, the host may just have been looking into /proc. */
    bool has_no_more = WAITED(SOON_MS, (now = host_files_now(host)).supervisor <= before.supervisor && now.worker <= before.worker);
    CHECK_SAY(has_no_more, "open descriptors: supervisor %d, worker %d; at first %d and %d", now.supervisor, now.worker,
              before.supervisor, before.worker);
}
