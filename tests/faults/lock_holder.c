/* lock_holder.c - a process that is no host waits for the lock of a host's segment (F_SETLKW on its file), and has it when
 * the host is dead: it does not count as a host. When it ends, the next host takes over. */
#include "../cli/cli_test.h"
#include "faults_test.h"

#include <sys/syscall.h>

static void wait_for_lock(void *data, int number) {
    char path[256];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    (void)number;
    int fd = open(object_path(path, data, OBJECT_SEGMENT), O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_INT(fcntl(fd, F_SETLKW, &lock), ==, 0);
    for (;;)
        pause();
}

/* Whether the process sleeps in fcntl. */
static bool is_waiting(pid_t pid) {
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    FILE *file = fopen(path, "re");
    bool is_read = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    return !is_read || atoi(line) == SYS_fcntl;
}

static pid_t lock_owner(const char *instance) {
    char path[256];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0);
    close(fd);
    return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

static bool has_said(const test_host *host, const char *what) {
    char *err = host_err(host);
    bool is_there = strstr(err, what) != NULL;
    free(err);
    return is_there;
}

int main(void) {
    char instance[64], holder[64];
    test_host host;
    cli cli;
    test_begin("lock_holder", 100);
    test_instance(instance, "lock");
    setenv("LIPC_NAME", instance, 1);
    script script = script_new(1500);

    test_step("another process waits for the lock of a host, which is killed");
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "0"));
    pid_t waiter = worker_start(wait_for_lock, instance, 0);
    CHECK(WAITED(SOON_MS, is_waiting(waiter)));
    RUN(&cli, CLI_EXIT_OK, NULL, "status"); /* it waits, and disturbs nobody */
    cli_free(&cli);
    host_kill(&host);
    segment_close(&segment);
    CHECK(WAITED(SOON_MS, lock_owner(instance) == waiter));
    snprintf(holder, sizeof holder, "process %d holds the lock", (int)waiter);

    test_step("it is no host");
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_NO_HOST);
    CHECK_SAY(strstr(lipc_error_message(), holder), "it says: %s", lipc_error_message());
    FAILS(CLI_EXIT_NO_HOST, holder, "status");
    RUN(&cli, CLI_EXIT_WRONG, NULL, "doctor", "--json");
    CHECK_SAY(strstr(cli.out, "\"foreign-lock\"") && strstr(cli.out, holder), "the doctor says: %s", cli.out);
    cli_free(&cli);
    host_start_with(&host, instance, NULL, REPLAY(script, "--rate", "0"));
    host_expect_exit(&host, 7, SOON_MS);
    char *err = host_err(&host);
    CHECK_SAY(strstr(err, holder), "it says: %s", err);
    free(err);

    test_step("it ends while the next host waits for it, and that host takes over");
    host_start_with(&host, instance, NULL, REPLAY(script, "--rate", "0"));
    CHECK(WAITED(SOON_MS, has_said(&host, "waiting for it")));
    worker_kill(waiter);
    segment = segment_of(instance, host.pid, LIPC_HUB_READY);
    client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, &script);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_undisturbed_host(&host, &segment);
    free(script.text);
    return test_end();
}
