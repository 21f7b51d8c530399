/* let_go.c - clients of the guide that wait for their turn when the host ends in good order: each is let go, and what it
 * reads is that the host has ended. And a client that is killed in the middle of its answer: the answer ends, and the next
 * client has its turn long before the answer would have. */
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

static void killed_client(const char *instance) {
    test_host host;
    guide_client client, next;
    guide_update update;
    test_step("a client is killed in the middle of its answer");
    host_start(&host, instance, "--ignore-eos", "-n", "-1", "-c", "32768", NULL);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(guide_open_within(&client, instance, soon()));
        guide_stream(&client, NULL, QUESTION, soon(), &update);
        _exit(0);
    }
    /* Not as a client: whoever has the semaphores open at the host's first look could be the one who waits. */
    CHECK(WAITED(SOON_MS, updates_of(instance) > 5));
    test_pause_ms(3000); /* for the first look, 50 ms from the start, also of a host that gets little time */
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
    char *err = NULL;
    CHECK_SAY(WAITED(SOON_MS, (free(err), strstr(err = host_err(&host), "client is gone") != NULL)), "it is not noticed: %s",
              err);
    free(err);
    attach(&next, &host);
    CHECK(WAITED(SOON_MS, guide_value(next.ready) == 1));
    guide_close(&next);
    host_stop(&host);
}

int main(void) {
    char instance[64];
    test_begin("let_go", 100);
    test_instance(instance, "letgo");
    let_go(instance);
    killed_client(instance);
    return test_end();
}
