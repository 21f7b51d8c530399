/* library_trouble.c - liblipc when things go wrong: cancelling from a callback and from other threads, time-outs, hosts
 * that die at any moment and their successors, two threads on one handle, objects that are not the host's. */
#include "library_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

enum { MAX_ROUNDS = 32 };

static lipc_classic *handle;
static char instance[64];

static int cancel_at_third(void *user_data, const lipc_classic_result *update) {
    (void)update;
    return ++*(int *)user_data >= 3;
}

static int count(void *user_data, const lipc_classic_result *update) {
    (void)update;
    __atomic_add_fetch((int *)user_data, 1, __ATOMIC_RELEASE);
    return 0;
}

/* What another thread does after a while. */
typedef struct deed {
    pthread_t thread;
    double after_ms;
    int *after_updates;
    void (*act)(void *);
    void *data;
    double done_ms;
} deed;

static void *do_deed(void *argument) {
    deed *self = argument;
    if (self->after_updates)
        CHECK(WAITED(SOON_MS, __atomic_load_n(self->after_updates, __ATOMIC_ACQUIRE) >= 3));
    test_pause_ms(self->after_ms);
    self->done_ms = test_now_ms();
    self->act(self->data);
    return NULL;
}

static void begin_deed(deed *self, double after_ms, int *after_updates, void (*act)(void *), void *data) {
    *self = (deed){.after_ms = after_ms, .after_updates = after_updates, .act = act, .data = data};
    CHECK(pthread_create(&self->thread, NULL, do_deed, self) == 0);
}

static bool is_cancelled;

/* A cancel that finds nobody waiting is not remembered, and which of two threads is first nobody knows. */
static void cancel_until_done(void *unused) {
    (void)unused;
    do
        lipc_classic_cancel(handle);
    while (!WAITED(50, __atomic_load_n(&is_cancelled, __ATOMIC_ACQUIRE)));
}

static void kill_it(void *data) {
    kill(((test_host *)data)->pid, SIGKILL);
}

static void call_busy(void *unused) {
    (void)unused;
    CHECK_LIPC(lipc_classic_request(handle, NULL, QUESTION, 0, NULL), LIPC_E_BUSY);
    CHECK_LIPC(lipc_classic_connect(handle, 0), LIPC_E_BUSY);
    CHECK_LIPC(lipc_classic_shutdown(handle, 0), LIPC_E_BUSY);
    CHECK_INT(lipc_classic_host_pid(handle), >, 0);
    lipc_classic_cancel(handle);
}

/* How long the rounds of a step took. How long they may take is the benchmark's (death, clients.cancel). */
typedef struct delays {
    double ms[MAX_ROUNDS];
    int n;
} delays;

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_delays(delays *delays) {
    qsort(delays->ms, (size_t)delays->n, sizeof *delays->ms, compare);
    printf("  noticed after %.1f ms, at worst %.1f\n", delays->ms[delays->n / 2], delays->ms[delays->n - 1]);
}

static void start(test_host *host) {
    host_start(host, instance, ENDLESS, NULL);
    CHECK_LIPC(lipc_classic_connect(handle, SOON_MS), 0);
}

int main(void) {
    test_begin("library_trouble", 120);
    test_host host;
    guide_client client;
    guide_update update;
    lipc_classic_result result;
    deed other;
    int n_updates = 0;
    test_instance(instance, "trouble");
    CHECK_LIPC(lipc_classic_open(instance, &handle), 0);

    test_step("connecting: cancelled, and a host that ends while it loads");
    begin_deed(&other, 100, NULL, cancel_until_done, NULL);
    CHECK_LIPC(lipc_classic_connect(handle, SOON_MS), LIPC_E_CANCELLED);
    __atomic_store_n(&is_cancelled, true, __ATOMIC_RELEASE);
    pthread_join(other.thread, NULL);
    host_start(&host, instance, "-m", "/dev/null/none.gguf", NULL);
    int error = lipc_classic_connect(handle, 1500);
    CHECK_SAY(error == LIPC_E_HOST_GONE || error == LIPC_E_NO_HOST, "connect gave %s", lipc_error_name(error));
    host_expect_exit(&host, 3, SOON_MS);

    test_step("cancelled by the callback");
    start(&host);
    attach(&client, &host);
    CHECK_LIPC(lipc_classic_stream(handle, NULL, QUESTION, SOON_MS, cancel_at_third, &n_updates, &result),
               LIPC_E_CANCELLED);
    CHECK_INT(n_updates, ==, 3);
    CHECK_INT(result.n_bytes, >, 0);
    CHECK(test_is_utf8(result.text, result.n_bytes));
    check_idle_permits(&client);
    CHECK(!guide_cancel_pending(&client));

    test_step("cancelled by another thread");
    delays cancels = {0}, deaths = {0};
    for (int i = 0; i < 30; i++) {
        n_updates = 0;
        __atomic_store_n(&is_cancelled, false, __ATOMIC_RELEASE);
        begin_deed(&other, i * 0.7, i % 2 ? &n_updates : NULL, cancel_until_done, NULL);
        error = i % 3 ? lipc_classic_stream(handle, NULL, QUESTION, soon(), count, &n_updates, &result)
                      : lipc_classic_stream(handle, QUESTION, QUESTION, soon(), count, &n_updates, &result);
        cancels.ms[cancels.n++] = test_now_ms() - other.done_ms;
        __atomic_store_n(&is_cancelled, true, __ATOMIC_RELEASE);
        pthread_join(other.thread, NULL);
        CHECK_SAY(error == LIPC_E_CANCELLED, "round %d gave %s: %s", i, lipc_error_name(error), lipc_error_message());
        check_idle_permits(&client);
        CHECK_SAY(!guide_cancel_pending(&client), "round %d left the cancel behind", i);
    }
    print_delays(&cancels);

    test_step("a time-out stops the answer and keeps what had arrived");
    CHECK_LIPC(lipc_classic_request(handle, NULL, QUESTION, 300, &result), LIPC_E_TIMEOUT);
    int timeout_ms = 300;
    do { /* until it falls into the answer */
        error = lipc_classic_stream(handle, NULL, QUESTION, timeout_ms, NULL, NULL, &result);
        CHECK_SAY(error == LIPC_E_TIMEOUT || error == LIPC_E_OK, "%s: %s", lipc_error_name(error), lipc_error_message());
        timeout_ms = error == LIPC_E_TIMEOUT ? 2 * timeout_ms : timeout_ms / 2 + 1;
    } while (error == LIPC_E_OK || result.n_bytes == 0);
    CHECK_SAY(WAITED(SOON_MS, guide_value(client.ready) == 1), "the host goes on with an answer nobody waits for");

    test_step("one thread at a time");
    n_updates = 0;
    begin_deed(&other, 0, &n_updates, call_busy, NULL);
    CHECK_LIPC(lipc_classic_stream(handle, NULL, QUESTION, SOON_MS, count, &n_updates, &result), LIPC_E_CANCELLED);
    pthread_join(other.thread, NULL);

    test_step("the host dies while an answer arrives; its successor serves the same handle");
    for (int i = 0; i < 10; i++) {
        n_updates = 0;
        begin_deed(&other, i, i % 2 ? &n_updates : NULL, kill_it, &host);
        error = i % 3 ? lipc_classic_stream(handle, NULL, QUESTION, SOON_MS, count, &n_updates, &result)
                      : lipc_classic_stream(handle, QUESTION, QUESTION, SOON_MS, count, &n_updates, &result);
        double took = test_now_ms() - other.done_ms;
        pthread_join(other.thread, NULL);
        CHECK_SAY(error == LIPC_E_HOST_GONE, "round %d gave %s: %s", i, lipc_error_name(error), lipc_error_message());
        deaths.ms[deaths.n++] = took;
        CHECK(test_is_utf8(result.text, result.n_bytes));
        CHECK_INT(lipc_classic_host_pid(handle), ==, 0);
        host_kill(&host);
        CHECK_LIPC(lipc_classic_request(handle, NULL, QUESTION, 100, &result), LIPC_E_NO_HOST);
        CHECK_LIPC(lipc_classic_connect(handle, 0), LIPC_E_NO_HOST);
        start(&host);
        CHECK_INT(lipc_classic_host_pid(handle), ==, host.pid);
    }
    print_delays(&deaths);

    test_step("a host that ends as asked during an answer");
    n_updates = 0;
    guide_client other_client;
    attach(&other_client, &host);
    begin_deed(&other, 0, &n_updates, (void (*)(void *))guide_shutdown_at_once, &other_client);
    error = lipc_classic_stream(handle, NULL, QUESTION, SOON_MS, count, &n_updates, &result);
    /* The host completes the answer as far as it is before it goes; seeing it gone first is right as well. */
    CHECK_SAY(error == LIPC_E_HOST_GONE || error == LIPC_E_OK, "gave %s", lipc_error_name(error));
    pthread_join(other.thread, NULL);
    guide_close(&other_client);
    guide_close(&client);
    host_expect_exit(&host, 0, SOON_MS);

    test_step("objects of nobody, and objects that are something else");
    char path[256];
    int fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_LIPC(lipc_classic_connect(handle, 50), LIPC_E_LAYOUT);
    CHECK_INT(ftruncate(fd, 45056), ==, 0);
    CHECK_LIPC(lipc_classic_connect(handle, 50), LIPC_E_NO_HOST);
    close(fd);
    objects_remove(instance);

    test_step("a host of another user");
    if (geteuid() == 0) {
        start(&host);
        pid_t child = fork();
        if (child == 0) {
            lipc_classic *foreign;
            if (setgid(65534) != 0 || setuid(65534) != 0 || lipc_classic_open(instance, &foreign) != 0)
                _exit(1);
            _exit(lipc_classic_connect(foreign, 100) == LIPC_E_ACCESS ? 0 : 2);
        }
        int status;
        waitpid(child, &status, 0);
        CHECK_INT(WEXITSTATUS(status), ==, 0);
        attach(&client, &host);
        guide_cancel(&client);
        guide_close(&client);
        host_stop(&host);
    } else {
        test_leave_out("a host of another user: only root can be two users");
    }

    test_step("requests to a host that serves normally afterwards");
    host_start(&host, instance, REPEATABLE, NULL);
    CHECK_LIPC(lipc_classic_connect(handle, SOON_MS), 0);
    CHECK_LIPC(lipc_classic_request(handle, NULL, QUESTION, SOON_MS, &result), 0);
    attach(&client, &host);
    CHECK(guide_request(&client, NULL, QUESTION, soon(), &update));
    CHECK_TEXT(result.text, update.text);
    guide_close(&client);
    host_stop(&host);
    lipc_classic_close(handle);
    return test_end();
}
