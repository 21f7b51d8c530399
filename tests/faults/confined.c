/* confined.c - a sandbox that refuses one of the calls by which objects are made: the host makes them in another way, or
 * says that it is confined. The sandbox is a filter of system calls in the host alone. */
#include "faults_test.h"

#include <dirent.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#ifdef __x86_64__
#define MACHINE AUDIT_ARCH_X86_64
#else
#define MACHINE AUDIT_ARCH_AARCH64
#endif

typedef struct refusal {
    const char *what;
    long number;         /* of the system call */
    uint32_t flags;      /* in its third argument; 0: whatever they are */
    int error;
    const char *sentence; /* that the host ends with; NULL: it works */
} refusal;

static const refusal refusals[] = {
    {"no linkat (EACCES)", SYS_linkat, 0, EACCES, NULL},
    {"no linkat (EPERM)", SYS_linkat, 0, EPERM, NULL},
    {"no linkat (ENOSYS)", SYS_linkat, 0, ENOSYS, NULL},
    {"no files without a name (EOPNOTSUPP)", SYS_openat, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP, NULL},
    {"no files without a name (EACCES)", SYS_openat, O_TMPFILE & ~O_DIRECTORY, EACCES, NULL},
    {"no fallocate (EPERM)", SYS_fallocate, 0, EPERM, NULL},
    {"no fallocate (EOPNOTSUPP)", SYS_fallocate, 0, EOPNOTSUPP, NULL},
    {"no file to be read and written (EACCES)", SYS_openat, O_RDWR, EACCES, "confined"},
};

/* In the host, before it is one. */
static void confine(void *data) {
    const refusal *refusal = data;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refusal->number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t)),
        BPF_JUMP(BPF_JMP | (refusal->flags ? BPF_JSET : BPF_JGE) | BPF_K, refusal->flags, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)refusal->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(99);
}

static bool can_confine(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        refusal nothing = {"", SYS_linkat, 0, EPERM, NULL};
        confine(&nothing);
        _exit(linkat(AT_FDCWD, "/", AT_FDCWD, "/", 0) < 0 && errno == EPERM ? 0 : 99);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

/* Files under hidden names that a maker left. */
static int count_hidden(bool removes) {
    DIR *folder = opendir("/dev/shm");
    const struct dirent *entry;
    char path[512];
    int n = 0;
    while (folder && (entry = readdir(folder))) {
        if (strncmp(entry->d_name, ".lipc-new-", 10) != 0)
            continue;
        n++;
        snprintf(path, sizeof path, "/dev/shm/%s", entry->d_name);
        if (removes)
            unlink(path);
    }
    closedir(folder);
    return n;
}

static void works(const char *instance, const script *script, const refusal *refusal) {
    test_host host, second;
    test_host_setup setup = {.before_exec = confine, .data = (void *)(uintptr_t)refusal};
    segment segment = {0};
    host_start_with(&host, instance, &setup, REPLAY(*script, "--rate", "0"));
    CHECK_SAY(WAITED(SOON_MS, has_come_to(&segment, instance, host.pid, LIPC_HUB_READY) || host_ended(&host, 0)),
              "it does not come up");
    CHECK_SAY(host.running, "it ended: %s", host_err(&host));
    CHECK_INT(objects_count(instance), ==, N_OBJECTS);
    CHECK_INT(count_hidden(false), ==, 0);
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
    /* What was reserved is there: writing to every page needs nothing more. */
    for (size_t at = 0; at < segment.size; at += 4096)
        __atomic_fetch_or(segment.base + at, 0, __ATOMIC_RELAXED);
    test_step("  it is one owner's, and the worker has its place");
    host_start_with(&second, instance, &setup, REPLAY(*script, "--rate", "0"));
    host_expect_exit(&second, 7, SOON_MS);
    pid_t worker = host_worker(&host);
    if (worker != host.pid) {
        CHECK(kill(worker, SIGKILL) == 0);
        CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
        stream = ask(client, "hello");
        check_whole(stream, script);
        lipc_stream_close(stream);
    }
    lipc_client_close(client);
    test_step("  killed, and taken over");
    host_kill(&host);
    segment_close(&segment);
    host_start_with(&host, instance, &setup, REPLAY(*script, "--rate", "0"));
    CHECK(WAITED(SOON_MS, has_come_to(&segment, instance, host.pid, LIPC_HUB_READY)));
    segment_close(&segment);
    host_stop(&host);
    CHECK(WAITED(SOON_MS, is_childless()));
}

static void says_that_it_is_confined(const char *instance, const script *script, const refusal *refusal) {
    test_host host;
    test_host_setup setup = {.before_exec = confine, .data = (void *)(uintptr_t)refusal};
    host_start_with(&host, instance, &setup, REPLAY(*script, "--rate", "0"));
    host_expect_exit(&host, 6, SOON_MS);
    char *err = host_err(&host);
    printf("  %s", err);
    CHECK_SAY(strstr(err, refusal->sentence), "it does not say \"%s\": %s", refusal->sentence, err);
    free(err);
    CHECK_INT(objects_count(instance), ==, 0);
}

/* A maker that died before it gave the file its name. */
static void removes_what_a_dead_maker_left(const char *instance, const script *script) {
    int fd = open("/dev/shm/.lipc-new-0123456789abcdef", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_INT(count_hidden(false), ==, 1);
    works(instance, script, &refusals[0]);
    CHECK_INT(count_hidden(true), ==, 0);
}

int main(void) {
    char instance[64];
    test_begin("confined", 120);
    test_instance(instance, "confined");
    if (!can_confine())
        test_skip("system calls cannot be filtered here");
    script script = script_new(1500);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        test_step("%s", refusals[i].what);
        if (refusals[i].sentence)
            says_that_it_is_confined(instance, &script, &refusals[i]);
        else
            works(instance, &script, &refusals[i]);
    }
    test_step("a hidden file that its maker left");
    removes_what_a_dead_maker_left(instance, &script);
    free(script.text);
    return test_end();
}
