/* objects_at_once.c - clients sleep 3 s and open: the objects exist before the model has loaded, each is complete and
 * zeroed the moment it can be opened, and sem_ready is posted only once the host serves. How soon they exist is the
 * benchmark's (start.objects); here it is only printed. */
#include "guide_test.h"

#include "lipc/layout.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { STARTS = 15, CATCHES = 3, TRIES = 200 };

static const unsigned char zeros[45056];

/* Opens one object as soon as it can be opened, and looks at it at that very moment. Returns when that was. */
static double open_at_once(const test_host *host, int object) {
    char path[256];
    int fd;
    object_path(path, host->instance, object);
    while ((fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
        CHECK_SAY(test_now_ms() < host->started_ms + soon(), "no %s", path);
    double at = test_now_ms();
    struct stat status;
    CHECK(fstat(fd, &status) == 0);
    CHECK_INT(status.st_mode & 07777, ==, 0600);
    if (object == OBJECT_SEGMENT) {
        CHECK_INT(status.st_size, >=, 45000);
        void *block = mmap(NULL, 45000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        CHECK(block != MAP_FAILED);
        CHECK_SAY(memcmp(block, zeros, 45000) == 0, "the block is not zeroed when it can first be opened");
        munmap(block, 45000);
    } else {
        unsigned char bytes[sizeof(sem_t)];
        CHECK_INT(status.st_size, ==, sizeof(sem_t));
        CHECK_INT(read(fd, bytes, sizeof bytes), ==, sizeof bytes);
        /* The value is the first word of a semaphore; only sem_ready may have been posted by now. */
        if (object != OBJECT_READY)
            CHECK(memcmp(bytes, zeros, 4) == 0);
    }
    close(fd);
    return at;
}

/* The state of the hub; 0 as long as there is none. */
static uint32_t hub_state_of(const char *instance) {
    char path[256];
    uint32_t state = 0;
    int fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (pread(fd, &state, sizeof state, LIPC_HUB_OFFSET + offsetof(lipc_hub, state)) != sizeof state)
        state = 0;
    close(fd);
    return state;
}

/* A host that was stopped while it loads its model has made all of them, and has not posted sem_ready. */
static void check_before_model(void) {
    char instance[64];
    int n_caught = 0;
    test_step("a host that is stopped while it loads");
    test_instance(instance, "before");
    for (int i = 0; i < TRIES && n_caught < CATCHES; i++) {
        test_host host;
        guide_client client;
        host_start(&host, instance, NULL);
        CHECK(WAITED(SOON_MS, hub_state_of(instance) >= LIPC_HUB_LOADING));
        host_pause(&host);
        if (hub_state_of(instance) == LIPC_HUB_LOADING) { /* else it was faster than the signal */
            n_caught++;
            CHECK_SAY(guide_open(&client, instance), "it loads, and not all five objects are there");
            CHECK_INT(guide_value(client.ready), ==, 0);
            guide_close(&client);
        }
        host_resume(&host);
        host_kill(&host);
        objects_remove(instance);
    }
    CHECK_INT(n_caught, >, 0);
}

/* A host that never comes to serve never posts sem_ready. */
static void check_never_ready(void) {
    test_step("a model that cannot be loaded");
    char instance[64], model[] = "/tmp/lipctest.XXXXXX";
    int fd = mkstemp(model), n_watched = 0;
    static char noise[4096] = "GGUF\3";
    CHECK_INT(write(fd, noise, sizeof noise), ==, sizeof noise);
    close(fd);
    test_instance(instance, "never");
    for (int i = 0; i < 20; i++) {
        test_host host;
        guide_client client;
        bool is_open = false;
        host_start(&host, instance, "-m", model, NULL);
        while (!is_open && !host_ended(&host, 0))
            is_open = guide_open(&client, instance);
        host_expect_exit(&host, 4, SOON_MS);
        if (!is_open)
            continue;
        n_watched++;
        CHECK_INT(guide_value(client.ready), ==, 0);
        guide_close(&client);
    }
    unlink(model);
    CHECK_INT(n_watched, >, 0);
}

int main(void) {
    test_begin("objects_at_once", 60);
    for (int i = 0; i < STARTS; i++) {
        char instance[64];
        test_host host;
        guide_client client;
        guide_update update;
        test_instance(instance, "now");
        host_start(&host, instance, "-n", "4", NULL);
        double last = open_at_once(&host, OBJECT_SEGMENT);
        for (int object = OBJECT_READY; object < N_OBJECTS; object++)
            last = open_at_once(&host, object);
        CHECK(guide_open(&client, instance));
        /* sem_ready means served. */
        CHECK(guide_take(client.ready, soon()));
        guide_write(&client, NULL, QUESTION, true);
        double begin = test_now_ms();
        sem_post(client.prompts_written);
        CHECK(guide_receive_stream(&client, soon(), NULL, NULL, &update));
        printf("  start %d: objects after %.1f ms, sem_ready after %.1f ms, answer in %.1f ms\n", i,
               last - host.started_ms,
               begin - host.started_ms, test_now_ms() - begin);
        guide_close(&client);
        host_stop(&host);
    }
    check_before_model();
    check_never_ready();
    return test_end();
}
