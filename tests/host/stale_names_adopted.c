/* stale_names_adopted.c - objects of hosts that died in whatever state never stand in the way of the next one:
 * killed at any moment of the start, by any instruction, and with only some of the objects made; and objects that another
 * program made with shm_open and sem_open, as a host of the guide does: shorter, with permits, and with text in them. */
#include "host_test.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The objects as the guide's own host makes them: the block alone, 40,971 bytes long. */
static void leave_objects_of_another_host(const char *instance) {
    static const char *const semaphores[] = {"ready", "prompts_written", "response_written", "chunk_ready"};
    char name[128], text[64];
    snprintf(name, sizeof name, "/%s_shared_mem", instance);
    int segment = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(segment >= 0);
    CHECK(ftruncate(segment, 40971) == 0);
    memset(text, 'x', sizeof text);
    CHECK(pwrite(segment, text, sizeof text, 8192) == (ssize_t)sizeof text);
    close(segment);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "/%s_sem_%s", instance, semaphores[i]);
        sem_t *semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 3);
        CHECK(semaphore != SEM_FAILED);
        sem_close(semaphore);
    }
}

static void check_adopts_objects_of_another_host(const char *instance) {
    test_host host;
    guide_client client;
    ino_t inodes[N_OBJECTS];
    leave_objects_of_another_host(instance);
    for (int i = 0; i < N_OBJECTS; i++)
        inodes[i] = object_inode(instance, i);
    CHECK(guide_open(&client, instance));
    host_start(&host, instance, "-n", "4", NULL);
    CHECK(WAITED(SOON_MS, guide_value(client.prompts_written) == 0 && guide_value(client.response_written) == 0 &&
                              guide_value(client.ready) == 1));
    for (int i = 0; i < N_OBJECTS; i++)
        CHECK_INT(object_inode(instance, i), ==, inodes[i]);
    CHECK_INT(client.block[8192], ==, 0);
    /* Left permits are no requests. */
    char *out = host_out(&host);
    CHECK_TEXT(out, "");
    free(out);
    check_serves(&client);
    guide_close(&client);
    host_stop(&host);
}

int main(void) {
    test_begin("stale_names_adopted", 120);
    char instance[64];
    test_host host;
    guide_client client;
    test_instance(instance, "adopt");
    for (int i = 0; i < 60; i++) {
        host_start(&host, instance, "-n", "4", NULL);
        test_pause_ms(i * 0.4);
        host_kill(&host);
        guide_take_ready_of_dead(instance);
        if (i % 6 != 5)
            continue;
        test_step("after %d killed hosts, the last %.1f ms after its start, %d objects", i + 1, i * 0.4,
                  objects_count(instance));
        host_start(&host, instance, "-n", "4", NULL);
        attach(&client, &host);
        check_serves(&client);
        CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
        guide_close(&client);
        host_kill(&host);
        guide_take_ready_of_dead(instance);
    }
    host_start(&host, instance, NULL);
    attach(&client, &host);
    check_serves(&client);
    guide_close(&client);
    host_stop(&host);
    CHECK_INT(objects_count(instance), ==, 0);

    test_step("objects that another program made");
    check_adopts_objects_of_another_host(instance);
    CHECK_INT(objects_count(instance), ==, 0);
    return test_end();
}
