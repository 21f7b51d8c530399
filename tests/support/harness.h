/* harness.h - what every test program needs: checks, a time limit, waiting, and a real host to test against.
 *
 * A test is a program: main() calls test_begin(), checks things, and returns test_end(). A check that fails prints
 * file, line and values, then what the hosts wrote, and ends the program with 1; 77 says "cannot be tested here".
 * However the program ends, the hosts it started are killed and the objects it made are removed.
 *
 * Environment
 *   LIPC_CHATBOT            the host program (default: ../chatbot, seen from the test program)
 *   LIPC_TEST_MODEL_DIR     where tutor.gguf lies (default: ../../models, seen from the test program)
 *   LIPC_TEST_TIME_SCALE    multiplies the time after which something that is waited for counts as hanging. No check is
 *                           about speed; this is for machines that are slow beyond reason
 *   LIPC_TEST_BUILD_SCALE   the same, by CTest: what sanitizers cost
 *   LIPC_TEST_EXTRA         more arguments for every host, separated by spaces
 */
#ifndef LIPC_TESTS_HARNESS_H
#define LIPC_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* After this, what is waited for counts as hanging. Waiting longer costs time only where something is wrong; waiting too
 * short, on a machine with twenty other programs on each core, finds faults that are none. */
enum { SOON_MS = 60000 };

/* ---- Checks ---- */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            test_fail(__FILE__, __LINE__, "%s", #condition);                                                           \
    } while (0)

#define CHECK_SAY(condition, ...)                                                                                      \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            test_fail(__FILE__, __LINE__, __VA_ARGS__);                                                                \
    } while (0)

#define CHECK_INT(left, operation, right)                                                                              \
    do {                                                                                                               \
        long long left_ = (long long)(left), right_ = (long long)(right);                                              \
        if (!(left_ operation right_))                                                                                 \
            test_fail(__FILE__, __LINE__, "%s %s %s: left is %lld, right is %lld", #left, #operation, #right, left_,   \
                      right_);                                                                                         \
    } while (0)

#define CHECK_TEXT(actual, expected) test_check_text(__FILE__, __LINE__, #actual, (actual), (expected))

/* Waits until the expression holds, looking every 0.2 ms; false when the time is over. */
#define WAITED(timeout_ms, expression)                                                                                 \
    __extension__({                                                                                                    \
        double end_ = test_now_ms() + test_scaled(timeout_ms);                                                         \
        bool holds_;                                                                                                   \
        while (!(holds_ = (expression)) && test_now_ms() < end_)                                                       \
            test_breathe();                                                                                            \
        holds_;                                                                                                        \
    })

void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A part cannot be tested here: says so, and goes on. `make test` counts these lines, too. */
void test_leave_out(const char *format, ...) __attribute__((format(printf, 1, 2)));
void test_check_text(const char *file, int line, const char *what, const char *actual, const char *expected);

/* ---- The program ---- */
/* First line of main(): the time limit, the duty to clean up, and no descriptors but the three standard ones. */
void test_begin(const char *name, unsigned limit_seconds);
/* Last line of main(): nothing may be left over, neither a process nor an object. Returns the exit code. */
int test_end(void);
/* Says on stdout what is being done, and names it when the time limit strikes. */
void test_step(const char *format, ...) __attribute__((format(printf, 1, 2)));

double test_now_ms(void);
double test_scaled(double milliseconds);
void test_breathe(void);
/* A pause that is itself part of what is tested (a slow client, an idle host), never a wait for a state. */
void test_pause_ms(double milliseconds);

/* A deterministic random number in [0, below). */
uint32_t test_random(uint64_t *state, uint32_t below);

/* An instance name of this test program; what carries it is checked for and removed at the end. */
void test_instance(char name[64], const char *suffix);

/* A /dev/shm of this process's own, mounted with `options`; false where that is not allowed. */
bool test_private_shm(const char *options);

/* Strictly valid UTF-8: no half characters, no overlong forms, no surrogates. Written for the tests alone. */
bool test_is_utf8(const char *text, size_t n_bytes);
bool test_is_prefix(const char *text, size_t n_bytes, const char *of);
/* How often a part occurs in a text. */
int count_of(const char *text, const char *part);

/* A file with this text for a host to read; it lives as long as the test program. */
void test_file(char path[256], const char *text, size_t n_bytes);

/* A file of the model directory. */
const char *test_model_path(char path[4096], const char *file);

/* ---- Objects ---- */
enum { OBJECT_SEGMENT, OBJECT_READY, OBJECT_PROMPTS_WRITTEN, OBJECT_RESPONSE_WRITTEN, OBJECT_CHUNK_READY, N_OBJECTS };
const char *object_path(char path[256], const char *instance, int object);
bool object_exists(const char *instance, int object);
ino_t object_inode(const char *instance, int object);
/* How many of the five exist. */
int objects_count(const char *instance);
void objects_remove(const char *instance);
/* Whether a host can take the names away from clients that have the objects open. Windows keeps them until the last handle is
 * closed. */
extern const bool objects_are_removable;

/* What the host says of a worker that ended by the signal, or by what stands for it here: in a message, some of its words. */
const char *death_words(int signal);

/* Whether a process can be copied (fork). */
extern const bool processes_are_copyable;
/* First in a part of a test whose clients are copies of its program: where there are none it is left out, which is said. */
#define PART_WITH_COPIES(what)                                                                                         \
    do {                                                                                                               \
        if (!processes_are_copyable) {                                                                                 \
            test_leave_out("%s: it needs copies of this process", (what));                                             \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

/* ---- The host ---- */
typedef struct test_host {
    pid_t pid;
    int pidfd;     /* on Linux */
    void *process; /* on Windows: its handle */
    char instance[64];
    int out_fd, err_fd; /* memory files with what it wrote; -1 if redirected elsewhere */
    double started_ms;
    bool running;
    int exit_code; /* 128 + n if killed by signal n */
} test_host;

typedef struct test_host_setup {
    bool no_instance;                /* do not pass --name: the default instance */
    int out_fd, err_fd;              /* where its output goes; 0: into memory files */
    void (*before_exec)(void *data); /* in the child */
    void *data;
} test_host_setup;

/* Starts the host under an instance name, with the further arguments up to NULL. */
void host_start(test_host *host, const char *instance, ...) __attribute__((sentinel));
void host_start_with(test_host *host, const char *instance, const test_host_setup *setup, const char *const *arguments);
/* True once it has ended; host->exit_code is set. */
bool host_ended(test_host *host, int timeout_ms);
/* It must end by itself within the time with this code. */
void host_expect_exit(test_host *host, int exit_code, int timeout_ms);
/* SIGTERM, and everything must be gone. */
void host_stop(test_host *host);
void host_kill(test_host *host);
/* What it wrote so far; owned by the caller. */
char *host_out(const test_host *host);
char *host_err(const test_host *host);
/* User and system time in milliseconds; resident memory in KiB. */
double process_cpu_ms(pid_t pid);

/* The process that works for the host: its worker, or itself if it has none. */
pid_t host_worker(const test_host *host);

/* Stops a process where it is; returns when each of its threads stands: the signal alone is only under way. SIGCONT lets
 * it go on. */
void process_stop(pid_t pid);
/* Stops all of the host's processes in that way, and lets them go on. */
void host_pause(const test_host *host);
void host_resume(const test_host *host);
long process_rss_kib(pid_t pid);
/* Its open descriptors; -1 if there is no such process, or it is a zombie. */
int process_fd_count(pid_t pid);
/* The first child of a process; 0 if it has none. A zombie is one until it is reaped. */
pid_t process_child(pid_t pid);

/* How many descriptors the host's processes have open. */
typedef struct host_files {
    int supervisor, worker;
} host_files;
host_files host_files_now(const test_host *host);
/* They are as many as before. */
void host_check_files(const test_host *host, host_files before);

#endif
