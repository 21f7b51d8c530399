/* older_layout.c - whatever a dead host left under the names, of another layout, cut short or damaged: the next host starts,
 * and clients of both channels get through. What can be adopted stays the same object, for those who have it mapped;
 * what cannot is replaced, or, where it is not a host's at all, named in an error. */
#include "faults_test.h"

#include <limits.h>
#include <semaphore.h>

enum { BLOCK_ONLY = 45056 };

static const char *const semaphores[] = {"ready", "prompts_written", "response_written", "chunk_ready"};

/* One whole life of a host upon what was left. */
static void check_takes_over(const char *what, const char *instance, const script *script) {
    test_host host;
    lipc_classic *handle;
    test_step("%s", what);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0", "--streams", "4"));
    CHECK_INT(hub_in(&segment)->layout_major, ==, LIPC_LAYOUT_MAJOR);
    CHECK_INT(hub_in(&segment)->n_streams, ==, 4);
    CHECK_INT(hub_in(&segment)->n_recoveries, ==, 0);
    lipc_client *client = client_of(instance);
    for (int i = 0; i < 5; i++) { /* more than there are streams: none was left in use */
        lipc_stream *stream = ask(client, "hello");
        check_whole(stream, script);
        lipc_stream_close(stream);
    }
    lipc_client_close(client);
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    check_classic_answer(handle, true, soon(), script);
    check_classic_answer(handle, false, soon(), script);
    lipc_classic_close(handle);
    guide_client guide;
    CHECK(guide_open(&guide, instance));
    check_idle_permits(&guide);
    guide_close(&guide);
    end_undisturbed_host(&host, &segment);
}

/* ---- what is left ------------------------------------------------------------------------------------------------ */

static void leave_file(const char *instance, int object, const void *bytes, size_t n_bytes, off_t size) {
    char path[256];
    int fd = open(object_path(path, instance, object), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(pwrite(fd, bytes, n_bytes, 0), ==, n_bytes);
    CHECK_INT(ftruncate(fd, size), ==, 0);
    close(fd);
}

static void leave_semaphores(const char *instance, unsigned n_permits) {
    for (int i = 0; i < 4; i++) {
        char name[128];
        snprintf(name, sizeof name, "/%s_sem_%s", instance, semaphores[i]);
        sem_t *semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, n_permits);
        CHECK(semaphore != SEM_FAILED);
        sem_close(semaphore);
    }
}

/* All objects of a host that was killed at work, with two clients' records and streams in use. */
static void leave_dead_host(const char *instance, const script *script) {
    test_host host;
    lipc_stream *streams[4];
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "100", "--streams", "4"));
    lipc_client *client = client_of(instance);
    for (int i = 0; i < 4; i++)
        streams[i] = ask(client, "left behind");
    CHECK(WAITED(SOON_MS, streams_in_use(&segment) == 4));
    host_kill(&host);
    CHECK_SAY(WAITED(SOON_MS, is_childless()), "the worker outlives its supervisor");
    for (int i = 0; i < 4; i++)
        lipc_stream_close(streams[i]);
    lipc_client_close(client);
    segment_close(&segment);
}

/* A dead host's segment with one word of the hub changed. */
static void change_hub(const char *instance, const script *script, size_t offset, uint64_t value, size_t n_bytes) {
    leave_dead_host(instance, script);
    segment segment = segment_open(instance);
    memcpy((char *)hub_in(&segment) + offset, &value, n_bytes);
    segment_close(&segment);
}

/* A dead host's segment, cut off. */
static void cut(const char *instance, const script *script, off_t size) {
    char path[256];
    leave_dead_host(instance, script);
    CHECK_INT(truncate(object_path(path, instance, OBJECT_SEGMENT), size), ==, 0);
}

static void fill_with_noise(const char *instance, size_t n_bytes) {
    static unsigned char noise[1 << 20];
    uint64_t random = n_bytes;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)test_random(&random, 256);
    leave_file(instance, OBJECT_SEGMENT, noise, n_bytes, (off_t)n_bytes);
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

static void older_segments(const char *instance, const script *script) {
    static const off_t sizes[] = {40971, 45000, BLOCK_ONLY, BLOCK_ONLY + 1, 49152};
    char what[128];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        leave_file(instance, OBJECT_SEGMENT, "an old prompt", 14, sizes[i]);
        leave_semaphores(instance, 2);
        ino_t inode = object_inode(instance, OBJECT_SEGMENT);
        segment old = segment_open(instance);
        snprintf(what, sizeof what, "a block of %d bytes, and semaphores with permits", (int)sizes[i]);
        test_host host;
        host_start_with(&host, instance, NULL, REPLAY(*script, "--rate", "0"));
        segment segment = segment_of(instance, host.pid, LIPC_HUB_READY);
        CHECK_INT(object_inode(instance, OBJECT_SEGMENT), ==, inode);
        CHECK_SAY(old.base[0] == 0, "a client that has the object mapped sees another");
        segment_close(&old);
        host_kill(&host);
        CHECK_SAY(WAITED(SOON_MS, is_childless()), "the worker outlives its supervisor");
        segment_close(&segment);
        check_takes_over(what, instance, script);
    }
}

static void other_layouts(const char *instance, const script *script) {
    static const struct {
        const char *what;
        size_t offset;
        uint64_t value;
        size_t n_bytes;
    } changes[] = {
        {"a higher major version", offsetof(lipc_hub, layout_major), LIPC_LAYOUT_MAJOR + 1, 4},
        {"a lower major version", offsetof(lipc_hub, layout_major), 0, 4},
        {"a higher minor version", offsetof(lipc_hub, layout_minor), LIPC_LAYOUT_MINOR + 9, 4},
        {"a lower minor version", offsetof(lipc_hub, layout_minor), 0, 4},
        {"a hub half written", offsetof(lipc_hub, magic), 0, 8},
        {"another number of streams", offsetof(lipc_hub, n_streams), 3, 4},
        {"no streams", offsetof(lipc_hub, n_streams), 0, 4},
        {"streams beyond the end", offsetof(lipc_hub, streams_offset), UINT64_MAX / 2 + 1, 8},
        {"a state that does not exist", offsetof(lipc_hub, state), 77, 4},
        {"a pid that does not exist", offsetof(lipc_hub, host_pid), UINT32_MAX, 4},
        {"another's worker", offsetof(lipc_hub, worker_pid), 1, 4},
        {"a reservation to end", offsetof(lipc_hub, shutdown), 1, 4},
    };
    char what[128];
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        change_hub(instance, script, changes[i].offset, changes[i].value, changes[i].n_bytes);
        snprintf(what, sizeof what, "a dead host's segment: %s", changes[i].what);
        check_takes_over(what, instance, script);
    }
}

static void cut_segments(const char *instance, const script *script) {
    static const off_t sizes[] = {0, 1, 4096, 40000, BLOCK_ONLY - 1, BLOCK_ONLY, BLOCK_ONLY + 100, LIPC_HUB_END, 200000};
    char what[128];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        cut(instance, script, sizes[i]);
        snprintf(what, sizeof what, "a dead host's segment: cut after %d bytes", (int)sizes[i]);
        check_takes_over(what, instance, script);
    }
    static const size_t noisy[] = {64, 4096, BLOCK_ONLY, 1 << 20};
    for (size_t i = 0; i < sizeof noisy / sizeof noisy[0]; i++) {
        fill_with_noise(instance, noisy[i]);
        snprintf(what, sizeof what, "a segment of %zu bytes of noise", noisy[i]);
        check_takes_over(what, instance, script);
    }
}

/* ---- semaphores -------------------------------------------------------------------------------------------------- */

static void damaged_semaphores(const char *instance, const script *script) {
    char what[128], noise[64], ones[64], full[64] = {0};
    uint64_t random = 5;
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)test_random(&random, 256);
    sem_t semaphore;
    sem_init(&semaphore, 1, SEM_VALUE_MAX);
    memcpy(full, &semaphore, sizeof semaphore);
    static const char nothing[64];
    const struct {
        const char *what;
        const char *bytes;
        off_t size;
    } cases[] = {
        {"empty", nothing, 0},
        {"cut short", full, 7},
        {"full", full, sizeof(sem_t)},
        {"zeroes", nothing, sizeof(sem_t)},
        {"ones", ones, sizeof(sem_t)},
        {"noise", noise, sizeof(sem_t)},
        {"larger noise", noise, 64},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int object = OBJECT_READY; object <= OBJECT_CHUNK_READY; object++)
            leave_file(instance, object, cases[i].bytes, (size_t)cases[i].size, cases[i].size);
        snprintf(what, sizeof what, "semaphores: %s", cases[i].what);
        check_takes_over(what, instance, script);
    }
}

/* ---- what is no host's ------------------------------------------------------------------------------------------- */

static void something_else(const char *instance, const script *script) {
    test_host host;
    char path[256];
    for (int object = 0; object < N_OBJECTS; object++) {
        for (int kind = 0; kind < 3; kind++) {
            object_path(path, instance, object);
            CHECK((kind == 0 ? mkdir(path, 0700) : kind == 1 ? symlink("/dev/null", path) : mkfifo(path, 0600)) == 0);
            test_step("a %s in the place of object %d", kind == 0 ? "folder" : kind == 1 ? "link" : "pipe", object);
            host_start_with(&host, instance, NULL, REPLAY(*script, "--rate", "0"));
            host_expect_exit(&host, 6, SOON_MS);
            char *err = host_err(&host);
            CHECK_SAY(strstr(err, "is something else") && strstr(err, instance), "not named: %s", err);
            free(err);
            CHECK_SAY(objects_count(instance) <= 1, "%d objects are left", objects_count(instance));
            CHECK((kind == 0 ? rmdir(path) : unlink(path)) == 0);
            check_host_left_nothing(&host);
        }
    }
}

int main(void) {
    char instance[64];
    test_begin("older_layout", 110);
    script script = script_new(1500);
    test_instance(instance, "older");
    older_segments(instance, &script);
    other_layouts(instance, &script);
    cut_segments(instance, &script);
    damaged_semaphores(instance, &script);
    something_else(instance, &script);
    free(script.text);
    return test_end();
}
