/* harness_inside.h - between harness_common.c, which is the same on every system, and the file that is a system's own:
 * harness.c here, ../windows/harness.c. No test includes it. */
#ifndef LIPC_TESTS_HARNESS_INSIDE_H
#define LIPC_TESTS_HARNESS_INSIDE_H

#include "harness.h"

enum { HARNESS_MAX_HOSTS = 16, HARNESS_MAX_ARGUMENTS = 48 };

/* ---- harness_common.c ---- */
extern char harness_name[64];  /* of the test */
extern char harness_step[256]; /* what it is doing */
extern bool harness_failed;
extern int harness_owner; /* the process id of the test program, also in the children that it forked */
extern const char *const harness_object_suffixes[N_OBJECTS];

/* Hosts that may still run: copied because a test_host may lie on a stack that is gone. A pid of 0: none. */
typedef struct harness_host {
    pid_t pid;
    int out_fd, err_fd;
} harness_host;
extern harness_host harness_hosts[HARNESS_MAX_HOSTS];

void harness_remember(const test_host *host);
void harness_forget(const test_host *host);
/* What the hosts wrote last, on standard error. */
void harness_show_hosts(void);
/* What the names of all of this program's objects hold. */
void harness_marker(char marker[32]);
/* The words of a command line behind the program, up to NULL. They live until the next call. */
const char *const *harness_arguments(const test_host *host, const test_host_setup *setup, const char *const *arguments);
/* The output of a host that has ended is no longer needed. */
void harness_release(test_host *host);

/* ---- the system's own ---- */
/* The folder of this program, and from there to the host program and to the models. */
const char *harness_folder(void);
extern const char *const harness_to_host, *const harness_to_models;
/* A file in memory, or one that is removed at the end, for what a host writes. */
int harness_output_file(const char *what);
void harness_close(int fd);
/* -1: there is no such file. */
long long harness_file_size(int fd);
/* Bytes read, or -1. Leaves the file where a host goes on writing. */
long long harness_read_at(int fd, long long offset, char *bytes, size_t n_bytes);
/* Ends the program, or the child that it forked, with code 1. */
void harness_end_failed(void) __attribute__((noreturn));
/* Of one process; negative if it is not there. */
double harness_cpu_ms(pid_t pid);

#endif
