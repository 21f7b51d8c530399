/* foreign_objects.c - objects of another user, also where the rights would let one open them: no client of either channel
 * attaches to them, in both directions; a semaphore that is another's keeps classic clients and the next host away and
 * nobody else; and nobody removes what is not his. Needs root to become somebody else.
 * (What a host says that finds them at its start: host/names_of_others.) */
#include "faults_test.h"

#include <semaphore.h>

enum { NOBODY = 65534 };

static void become_nobody(void *nothing) {
    (void)nothing;
    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        _exit(99);
}

static void check_no_access(const char *instance, const char *owner) {
    lipc_client_options options;
    lipc_client *client;
    lipc_classic *handle;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = 200;
    for (int start = LIPC_START_NEVER; start <= LIPC_START_WITH_ME; start++) { /* it does not start one beside it */
        options.start = start;
        options.host_path = "/nonexistent/chatbot";
        CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_ACCESS);
        CHECK(client == NULL);
        CHECK_SAY(strstr(lipc_error_message(), owner), "'%s' is missing in: %s", owner, lipc_error_message());
    }
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, 200), LIPC_E_ACCESS);
    CHECK_SAY(strstr(lipc_error_message(), owner), "'%s' is missing in: %s", owner, lipc_error_message());
    printf("  %s\n", lipc_error_message());
    lipc_classic_close(handle);
}

static void as_nobody(void *data, int number) {
    (void)number;
    become_nobody(NULL);
    check_no_access(data, "root");
}

static void open_to_all(const char *instance) {
    char path[256];
    for (int object = 0; object < N_OBJECTS; object++)
        CHECK(chmod(object_path(path, instance, object), 0666) == 0);
}

static void give_all_to(const char *instance, uid_t user) {
    char path[256];
    for (int object = 0; object < N_OBJECTS; object++)
        CHECK(chown(object_path(path, instance, object), user, user) == 0);
}

static void check_answers(const char *instance, const script *script) {
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void hosts_of_others(const char *instance, const script *script) {
    test_host host;
    test_step("a host of root, clients of nobody");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0"));
    worker_wait(worker_start(as_nobody, (void *)(uintptr_t)instance, 0));
    open_to_all(instance);
    worker_wait(worker_start(as_nobody, (void *)(uintptr_t)instance, 0));
    check_answers(instance, script);

    test_step("all of them given to nobody, a client of root");
    give_all_to(instance, NOBODY);
    check_no_access(instance, "nobody");
    give_all_to(instance, 0);
    check_answers(instance, script);
    end_undisturbed_host(&host, &segment);

    test_step("a host of nobody, clients of root");
    test_host_setup nobody = {.before_exec = become_nobody};
    host_start_with(&host, instance, &nobody, (const char *const[]){"--version", NULL});
    CHECK(host_ended(&host, SOON_MS));
    if (host.exit_code != 0) {
        printf("  nobody may not run the host here\n");
        return;
    }
    /* It plays no text: that is in a file of root's. */
    host_start_with(&host, instance, &nobody, (const char *const[]){"--log-level", "warn", "-t", "1", NULL});
    CHECK(WAITED(SOON_MS, objects_count(instance) == N_OBJECTS));
    check_no_access(instance, "nobody");
    host_stop(&host);
    check_host_left_nothing(&host);
}

static void leave_of_nobody(const char *instance, int object) {
    char path[256];
    sem_t semaphore;
    sem_init(&semaphore, 1, 1);
    unlink(object_path(path, instance, object));
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    CHECK(fd >= 0 && fchmod(fd, 0666) == 0 && fchown(fd, NOBODY, NOBODY) == 0);
    CHECK_INT(write(fd, &semaphore, sizeof semaphore), ==, sizeof semaphore);
    close(fd);
}

static void semaphores_of_others(const char *instance, const script *script) {
    test_host host;
    lipc_classic *handle;
    for (int object = OBJECT_READY; object < N_OBJECTS; object++) {
        test_step("object %d is another's", object);
        segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0"));
        leave_of_nobody(instance, object);
        ino_t inode = object_inode(instance, object);
        CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
        CHECK_LIPC(lipc_classic_connect(handle, 200), LIPC_E_ACCESS);
        lipc_classic_close(handle);
        check_answers(instance, script); /* the modern channel needs none */
        check_nothing_left(&segment);
        segment_close(&segment);
        kill(host.pid, SIGTERM);
        host_expect_exit(&host, 0, SOON_MS);
        CHECK_INT(objects_count(instance), ==, 1);
        CHECK_INT(object_inode(instance, object), ==, inode);
        host_start_with(&host, instance, NULL, REPLAY(*script, "--rate", "0"));
        host_expect_exit(&host, 8, SOON_MS);
        CHECK_INT(objects_count(instance), ==, 1);
        CHECK_INT(object_inode(instance, object), ==, inode);
        objects_remove(instance);
        check_host_left_nothing(&host);
    }
}

int main(void) {
    char instance[64];
    test_begin("foreign_objects", 60);
    if (geteuid() != 0)
        test_skip("only root can become another user");
    script script = script_new(1500);
    test_instance(instance, "foreign");
    hosts_of_others(instance, &script);
    semaphores_of_others(instance, &script);
    free(script.text);
    return test_end();
}
