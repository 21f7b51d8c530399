/* measure.h - clocks, medians, and what the kernel knows of a process. */
#ifndef MEASURE_MEASURE_H
#define MEASURE_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Monotonic nanoseconds; the same clock in every process. */
int64_t now_ns(void);

void sleep_ns(int64_t ns);
void sleep_until_ns(int64_t at);

/* Prints "PROGRAM: ..." and ends the program with 1: something could not be run at all. */
__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format, ...);

/* ---- samples ---------------------------------------------------------------------------------------------------- */

#define SAMPLES_MAX 4096

typedef struct samples {
    size_t n;
    double values[SAMPLES_MAX];
} samples;

/* Beyond SAMPLES_MAX, values are left out. */
void samples_add(samples *s, double value);
/* NAN if there are none. */
double samples_median(const samples *s);
double samples_max(const samples *s);
/* The value that the given part (0 to 1) of them does not exceed; NAN if there are none. */
double samples_quantile(const samples *s, double part);

/* ---- the rest of the machine --------------------------------------------------------------------------------------
 *
 * The threads of the model meet at a spinning barrier after each step of the graph, so a program that takes one of their
 * cores does not cost its share but many times that. What was measured beside others says nothing about us. */

/* What other programs used in a time: everybody's use less our own, that of the subjects with their children, and that
 * of our children which ended in it. */
typedef struct other_load {
    int64_t at_ns, busy_ns, ours_ns;
    pid_t subjects[2];
} other_load;

/* Begins a time. Subjects may be 0. */
other_load other_load_begin(pid_t subject, pid_t other_subject);
/* Cores that other programs used since: 0 alone, 1 one core in full. Resolution some 20 ms. */
double other_load_cores(const other_load *since);

/* More than this counts as other load. */
#define OTHER_LOAD_MOST 0.15

/* There are so many seconds for waiting and for measuring again, all in all; then the rest is measured as the
 * machine is. */
void retries_set(int seconds);
bool retries_left(void);
void retries_spend(int64_t ns);

/* Waits until the machine is ours, as long as there is time for it. */
void wait_for_quiet(pid_t subject, pid_t other_subject);

/* ---- processes -------------------------------------------------------------------------------------------------- */

/* Processor time that all threads of a process have used. */
int64_t process_cpu_ns(pid_t pid);

/* The first child of a process, 0 if it has none. A host has one, which does its work. */
pid_t process_child(pid_t pid);

/* Processor time of a process and its child: of all of a host. */
int64_t family_cpu_ns(pid_t pid);

/* Waits until a process and its child have used no processor time for a while: threads of a pool spin for some 0.3 s
 * after their last work, and would take a core from whatever is measured next. Gives up after 3 s. */
void family_settle(pid_t pid);

typedef struct process_memory {
    double peak_mb;  /* VmHWM: the most that was ever resident */
    double now_mb;   /* VmRSS: resident now, = anonymous + file + shared */
    double anon_mb;  /* RssAnon: the process's own */
    double file_mb;  /* RssFile: pages of files (model, libraries), shared with others who map them */
    double shmem_mb; /* RssShmem: shared memory */
} process_memory;

/* Of a process and its child together. Pages that both have, such as the program's own, count for each: the sum is
 * never too small. */
process_memory family_memory_of(pid_t pid);

/* Starts a program with its standard input, output and error on the given descriptors (negative: /dev/null). The child
 * is asked to end when this program ends, however it ends. */
pid_t process_start(const char *const argv[], int in, int out, int err);

/* Forks; the child is killed when this program ends. Returns 0 in the child. */
pid_t process_fork(void);

/* Keeps this thread, and what it starts from now on, to one core: the n-th that the program may use, if it has so many.
 * unpin gives all of them back. */
void pin_to_core(int n);
void unpin(void);

/* Waits for the end of a child; after 10 s it is killed. Returns what waitpid reports. */
int process_end(pid_t pid);
/* The same without a limit. */
int process_wait(pid_t pid);

#endif
