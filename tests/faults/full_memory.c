/* full_memory.c - /dev/shm that fills up or becomes read-only under a running host and its clients: what was reserved at
 * the start is there to the last byte, so nobody gets a SIGBUS; what is left in a full one can be adopted, or the host says
 * why not. (What a start finds full, for every size: host/exit_codes_of_memory.) */
#include "faults_test.h"

#include <semaphore.h>
#include <sys/mount.h>

static const char *const semaphores[] = {"ready", "prompts_written", "response_written", "chunk_ready"};

enum { PAGE = 4096 };

#define SMALL "--rate", "0", "--streams", "2", "--request-size", "16K", "--response-size", "64K"

/* Takes all that is left. */
static void fill_up(void) {
    static const char page[PAGE];
    int fd = open("/dev/shm/ballast", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    while (write(fd, page, sizeof page) > 0)
        ;
    CHECK_INT(errno, ==, ENOSPC);
    close(fd);
}

static void use_both_channels(lipc_client *client, const char *instance, const script *script) {
    lipc_classic *handle;
    for (int i = 0; i < 4; i++) { /* each stream has its turn */
        lipc_stream *first = ask(client, "hello"), *second = ask(client, "hello");
        check_whole(second, script);
        check_whole(first, script);
        lipc_stream_close(first);
        lipc_stream_close(second);
    }
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    check_classic_answer(handle, true, soon(), script);
    check_classic_answer(handle, false, soon(), script);
    lipc_classic_close(handle);
}

/* Writes back every byte that it reads: in a page without memory the first write would be the last. */
static void write_every_byte(void *data, int number) {
    (void)number;
    const char *instance = data;
    segment segment = segment_open(instance);
    CHECK(segment.base != NULL);
    for (size_t i = 0; i < segment.size; i++)
        __atomic_fetch_or(segment.base + i, 0, __ATOMIC_RELAXED);
    segment_close(&segment);
}

/* Returns how many pages the segment has. */
static off_t fills_up_behind_the_start(const char *instance, const script *script) {
    test_host host;
    test_step("others fill /dev/shm behind a start");
    segment segment = host_ready(&host, instance, REPLAY(*script, SMALL));
    lipc_client *client = client_of(instance);
    fill_up();
    use_both_channels(client, instance, script);
    lipc_client_close(client);
    client = client_of(instance); /* a new one needs nothing of it */
    use_both_channels(client, instance, script);
    lipc_client_close(client);
    /* Nobody else is at work on the words now. */
    check_nothing_left(&segment);
    worker_wait(worker_start(write_every_byte, (void *)(uintptr_t)instance, 0));
    client = client_of(instance);
    use_both_channels(client, instance, script);
    lipc_client_close(client);

    test_step("a worker that takes over in a full /dev/shm");
    pid_t family[FAMILY_MOST];
    uint32_t worker = NOW(hub_in(&segment)->worker_pid);
    if (family_of(host.pid, family) > 1) {
        CHECK(kill((pid_t)worker, SIGKILL) == 0);
        client = client_of(instance);
        CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
        use_both_channels(client, instance, script);
        lipc_client_close(client);
        CHECK(NOW(hub_in(&segment)->worker_pid) != worker);
    }
    off_t n_pages = (off_t)segment.size / PAGE;
    end_host(&host, &segment);
    check_host_left_nothing(&host);
    return n_pages;
}

/* The objects of another kind of host, shorter than ours, without memory of their own where `is_sparse`. */
static void leave_objects(const char *instance, bool is_sparse) {
    char path[256], name[128];
    int fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(ftruncate(fd, 40971), ==, 0);
    close(fd);
    for (int object = OBJECT_READY; object < N_OBJECTS; object++) {
        snprintf(name, sizeof name, "/%s_sem_%s", instance, semaphores[object - OBJECT_READY]);
        if (!is_sparse) {
            sem_t *semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
            CHECK(semaphore != SEM_FAILED);
            sem_close(semaphore);
            continue;
        }
        fd = open(object_path(path, instance, object), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_INT(ftruncate(fd, sizeof(sem_t)), ==, 0);
        close(fd);
    }
}

static void adopts_in_a_full_one(const char *instance, const script *script, off_t n_needed) {
    test_host host;
    for (int is_sparse = 0; is_sparse < 2; is_sparse++) {
        test_step("objects of another host in a full /dev/shm, %s", is_sparse ? "without memory" : "as they were made");
        leave_objects(instance, is_sparse);
        fill_up();
        int fd = open("/dev/shm/ballast", O_WRONLY | O_CLOEXEC);
        struct stat ballast;
        CHECK(fd >= 0 && fstat(fd, &ballast) == 0);
        int n_refused = 0;
        for (off_t n_pages = 0;; n_pages += n_pages + 30 < n_needed ? 20 : 1) {
            CHECK_INT(ftruncate(fd, ballast.st_size - n_pages * PAGE), ==, 0);
            host_start_with(&host, instance, NULL, REPLAY(*script, SMALL));
            segment segment = {0};
            CHECK(WAITED(SOON_MS, host_ended(&host, 0) || has_come_to(&segment, instance, host.pid, LIPC_HUB_READY)));
            if (host.running) {
                lipc_client *client = client_of(instance);
                use_both_channels(client, instance, script);
                lipc_client_close(client);
                end_undisturbed_host(&host, &segment);
                break;
            }
            segment_close(&segment);
            char *err = host_err(&host);
            CHECK_SAY(host.exit_code == 6, "%d pages free: code %d: %s", (int)n_pages, host.exit_code, err);
            CHECK_SAY(strstr(err, "No space left on device"), "no reason in: %s", err);
            free(err);
            close(host.out_fd);
            close(host.err_fd);
            /* A host that got as far as its semaphores has taken the names over, and takes them away. */
            if (objects_count(instance) == 0)
                leave_objects(instance, is_sparse);
            n_refused++;
        }
        printf("  refused %d times\n", n_refused);
        CHECK_INT(n_refused, >, 0);
        close(fd);
        CHECK(unlink("/dev/shm/ballast") == 0);
    }
}

static void becomes_read_only(const char *instance, const script *script) {
    test_host host, second;
    lipc_client *other;
    lipc_classic *handle;
    lipc_client_options options;
    test_step("/dev/shm becomes read-only behind a start");
    segment segment = host_ready(&host, instance, REPLAY(*script, SMALL));
    lipc_client *client = client_of(instance);
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    /* Over it, the same once more, but not to be written. */
    CHECK(mount("/dev/shm", "/dev/shm", NULL, MS_BIND, NULL) == 0);
    CHECK(mount(NULL, "/dev/shm", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        lipc_stream *stream = ask(client, "hello");
        check_whole(stream, script);
        lipc_stream_close(stream);
        check_classic_answer(handle, i % 2 == 0, soon(), script);
    }
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = 200;
    CHECK_LIPC(lipc_client_open(&options, &other), LIPC_E_SYSTEM);
    CHECK_SAY(strstr(lipc_error_message(), "Read-only"), "no reason in: %s", lipc_error_message());
    host_start_with(&second, instance, NULL, REPLAY(*script, SMALL));
    host_expect_exit(&second, 6, SOON_MS);
    lipc_classic_close(handle);
    lipc_client_close(client);
    check_nothing_left(&segment);
    kill(host.pid, SIGTERM);
    host_expect_exit(&host, 0, SOON_MS);
    CHECK_SAY(WAITED(SOON_MS, is_childless()), "a process of the host is left");
    segment_close(&segment);

    test_step("what could not be removed there is taken over by the next");
    CHECK_INT(objects_count(instance), ==, N_OBJECTS);
    CHECK(umount("/dev/shm") == 0);
    segment = host_ready(&host, instance, REPLAY(*script, SMALL));
    client = client_of(instance);
    use_both_channels(client, instance, script);
    lipc_client_close(client);
    end_undisturbed_host(&host, &segment);
}

int main(void) {
    char instance[64];
    test_begin("full_memory", 110);
    script script = script_new(1500);
    test_instance(instance, "full");
    if (!test_private_shm("mode=1777,size=2m"))
        test_skip("a mount namespace of one's own is not allowed here");
    off_t n_pages = fills_up_behind_the_start(instance, &script);
    CHECK(unlink("/dev/shm/ballast") == 0);
    adopts_in_a_full_one(instance, &script, n_pages);
    becomes_read_only(instance, &script);
    free(script.text);
    return test_end();
}
