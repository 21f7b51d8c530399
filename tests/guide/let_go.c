/* let_go.c - clients of the guide that wait for their turn when the host ends in good order: each is let go, and what it
 * reads is that the host has ended. And a client that is killed in the middle of its answer: the answer ends, and the next
 * client has its turn long before the answer would have, whenever it came. */
#include "guide_test.h"

#include <fcntl.h>
#include <sys/wait.h>

enum { WAITING = 5 };

/* Asks, in a process of its own, and checks that the host has ended meanwhile. */
static pid_t waiting_client(const char *instance, bool is_streaming) {
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    guide_client client;
    guide_update update;
    CHECK(guide_open_within(&client, instance, soon()));
    bool is_answered = is_streaming ? guide_stream(&client, NULL, QUESTION, soon(), &update)
                                    : guide_request(&client, NULL, QUESTION, soon(), &update);
    CHECK_SAY(is_answered, "it waits for ever");
    CHECK_SAY(strstr(update.text, "the host has ended"), "it reads: %s", update.text);
    _exit(0);
}

static bool is_in_call(pid_t pid) {
    char path[64], state[256] = "";
    snprintf(path, sizeof path, "/proc/%d/wchan", (int)pid);
    FILE *file = fopen(path, "re");
    bool is_read = file && fgets(state, sizeof state, file);
    if (file)
        fclose(file);
    return is_read && strstr(state, "futex") != NULL;
}

static void let_go(const char *instance) {
    test_host host;
    guide_client first;
    pid_t waiting[WAITING];
    int status;
    test_step("%d clients wait for their turn, and the host ends", WAITING);
    host_start(&host, instance, ENDLESS, NULL);
    attach(&first, &host);
    stream_until(&first, QUESTION, 5);
    for (int i = 0; i < WAITING; i++) {
        waiting[i] = waiting_client(instance, i % 2 == 0);
        CHECK(WAITED(SOON_MS, is_in_call(waiting[i])));
    }
    guide_shutdown_at_once(&first);
    for (int i = 0; i < WAITING; i++) {
        CHECK_INT(waitpid(waiting[i], &status, 0), ==, waiting[i]);
        CHECK_SAY(status == 0, "client %d: see above", i);
    }
    host_expect_exit(&host, 0, SOON_MS);
    CHECK_INT(objects_count(instance), ==, 0);
    guide_close(&first);
}

/* update_counter, read from the file. */
static int updates_of(const char *instance) {
    char path[256];
    int n_updates = 0, fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    bool is_read = pread(fd, &n_updates, sizeof n_updates, 40962) == sizeof n_updates;
    close(fd);
    return is_read ? n_updates : 0;
}

/* A host whose answers take minutes. */
static void start_slow_host(test_host *host, const char *instance, const char *text_path) {
    host_start(host, instance, "--replay", text_path, "--rate", "20", NULL);
}

/* Asks, in a process of its own, and is seen to be answered. */
static pid_t asking_client(const char *instance) {
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0) {
        CHECK(WAITED(SOON_MS, updates_of(instance) > 0));
        return pid;
    }
    guide_client client;
    guide_update update;
    CHECK(guide_open_within(&client, instance, soon()));
    guide_stream(&client, NULL, QUESTION, soon(), &update);
    _exit(0);
}

/* Has the channel open from now on; when an answer is under way, waits for its own turn, and ends when that comes. */
static pid_t next_client(const char *instance) {
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    guide_client client;
    CHECK(guide_open_within(&client, instance, soon()));
    CHECK(WAITED(SOON_MS, int_at(&client, 40962) > 0));
    CHECK_SAY(guide_take(client.ready, 3 * soon()), "it does not have its turn");
    _exit(0);
}

static void end_client(pid_t pid) {
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
}

static void expect_turn(pid_t pid) {
    int status;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_SAY(status == 0, "see above");
}

static bool is_noticed(test_host *host) {
    char *err = host_err(host);
    bool is_said = strstr(err, "client is gone") != NULL;
    free(err);
    return is_said;
}

/* Looks at the block from time to time, and has nothing open of the answer's semaphores. */
static pid_t polling_client(const char *instance) {
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    guide_client client;
    CHECK(guide_open_within(&client, instance, soon()));
    CHECK(guide_send(&client, NULL, QUESTION, true, soon()));
    sem_close(client.response_written);
    sem_close(client.chunk_ready);
    for (;;)
        test_pause_ms(10);
}

/* The host remembers at its first look who may be the client, 50 ms after the request on an idle machine. Who is killed
 * before that is not known to it, and is tried again with more time. */
static void killed_alone(const char *instance, const char *text_path) {
    test_host host;
    test_step("a client is killed in the middle of its answer");
    for (int pause_ms = 200; pause_ms <= SOON_MS; pause_ms *= 3) {
        start_slow_host(&host, instance, text_path);
        pid_t pid = asking_client(instance);
        test_pause_ms(pause_ms);
        end_client(pid);
        bool is_over = WAITED(pause_ms * 5, is_noticed(&host));
        host_stop(&host);
        if (is_over)
            return;
    }
    CHECK_SAY(false, "it is not noticed");
}

/* At whatever moment it is killed: who waits was there before it, or came when it was dead. */
static void killed_while_another_waits(const char *instance, const char *text_path) {
    test_host host;
    test_step("a client is killed, and another waits for its turn from before the host's first look");
    start_slow_host(&host, instance, text_path);
    pid_t next = next_client(instance), pid = asking_client(instance);
    CHECK(WAITED(SOON_MS, is_in_call(next)));
    end_client(pid);
    expect_turn(next);
    host_stop(&host);
    test_step("a client is killed at once, and another comes");
    start_slow_host(&host, instance, text_path);
    end_client(asking_client(instance));
    expect_turn(next_client(instance));
    host_stop(&host);
}

/* Neither is the client taken for dead when another one dies, nor while it is stopped. */
static void others_die(const char *instance, const char *text_path) {
    enum { LOOKS_MS = 2000 }; /* for looks of the host's, which are rarer where they take long */
    test_host host;
    int status;
    test_step("one that waits is killed; the client is stopped while another waits");
    start_slow_host(&host, instance, text_path);
    pid_t next = next_client(instance), pid = asking_client(instance);
    CHECK(WAITED(SOON_MS, is_in_call(next)));
    test_pause_ms(LOOKS_MS);
    end_client(next);
    test_pause_ms(LOOKS_MS);
    next = next_client(instance);
    CHECK(WAITED(SOON_MS, is_in_call(next)));
    kill(pid, SIGSTOP);
    CHECK_INT(waitpid(pid, &status, WUNTRACED), ==, pid);
    test_pause_ms(LOOKS_MS);
    int n_updates = updates_of(instance);
    CHECK_SAY(!is_noticed(&host) && WAITED(SOON_MS, updates_of(instance) > n_updates), "its answer was ended");
    end_client(pid);
    expect_turn(next);
    host_stop(&host);
}

static void polls(const char *instance, const char *text_path) {
    enum { LOOKS_MS = 8000 };
    test_host host;
    test_step("a client that only looks at the block, while another waits");
    start_slow_host(&host, instance, text_path);
    pid_t pid = polling_client(instance);
    CHECK(WAITED(SOON_MS, updates_of(instance) > 0));
    pid_t next = next_client(instance);
    CHECK(WAITED(SOON_MS, is_in_call(next)));
    test_pause_ms(LOOKS_MS);
    int n_updates = updates_of(instance);
    CHECK_SAY(!is_noticed(&host) && WAITED(SOON_MS, updates_of(instance) > n_updates), "its answer was ended");
    end_client(pid);
    expect_turn(next);
    host_stop(&host);
}

int main(void) {
    char instance[64], text_path[] = "/tmp/lipctestXXXXXX";
    test_begin("let_go", 280);
    test_instance(instance, "letgo");
    int fd = mkstemp(text_path);
    CHECK(fd >= 0);
    for (int i = 0; i < 6000; i++)
        CHECK_INT(dprintf(fd, "word "), ==, 5);
    close(fd);
    let_go(instance);
    killed_alone(instance, text_path);
    killed_while_another_waits(instance, text_path);
    others_die(instance, text_path);
    polls(instance, text_path);
    CHECK_INT(unlink(text_path), ==, 0);
    return test_end();
}
