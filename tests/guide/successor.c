/* successor.c - objects left by a host that was killed are taken over silently and in place: the same objects, reset,
 * so that a client which has just opened them is connected to the new host and not to a ghost. */
#include "guide_test.h"

#include <fcntl.h>
#include <sys/mman.h>

static const unsigned char zeros[45000];

static void kill_host(test_host *host, guide_client *client, int how) {
    if (how == 1)
        stream_until(client, QUESTION, 3);
    if (how == 2)
        CHECK(guide_take(client->ready, soon()));
    if (how == 3) { /* in the middle of writing a request */
        CHECK(guide_take(client->ready, soon()));
        guide_write(client, NULL, QUESTION, true);
    }
    host_kill(host);
    /* What a dead host and dead clients can leave behind. */
    memset(client->block + 8192, 'x', 32768);
    client->block[40966] = 1;
    sem_post(client->response_written);
    for (int i = 0; i < 20; i++)
        sem_post(client->chunk_ready);
    for (int i = 0; i < how; i++)
        sem_post(client->ready);
    if (how == 4) {
        client->block[40960] = 1;
        client->block[40971] = 1;
        sem_post(client->prompts_written);
        sem_post(client->prompts_written);
    }
}

int main(void) {
    test_begin("successor", 120);
    char instance[64];
    test_host host;
    guide_client client, fresh;
    guide_update expected, update;
    ino_t inodes[N_OBJECTS];
    test_instance(instance, "heir");
    host_start(&host, instance, REPEATABLE, "--ignore-eos", "-n", "200", NULL);
    attach(&client, &host);
    CHECK(guide_request(&client, NULL, QUESTION, soon(), &expected));
    for (int i = 0; i < N_OBJECTS; i++)
        inodes[i] = object_inode(instance, i);

    for (int how = 0; how < 5; how++) {
        test_step("kill %d: same objects, reset", how);
        kill_host(&host, &client, how);
        CHECK_INT(objects_count(instance), ==, 5);
        host_start(&host, instance, REPEATABLE, "--ignore-eos", "-n", "200", NULL);
        CHECK_SAY(WAITED(SOON_MS, guide_value(client.ready) == 1 && guide_value(client.chunk_ready) == 0),
                  "the successor does not serve those objects: sem_ready %d, sem_chunk_ready %d",
                  guide_value(client.ready), guide_value(client.chunk_ready));
        CHECK_SAY(memcmp(client.block, zeros, 45000) == 0, "the block was not reset");
        check_idle_permits(&client);
        for (int i = 0; i < N_OBJECTS; i++)
            CHECK_SAY(object_inode(instance, i) == inodes[i], "object %d is another one than before", i);
        CHECK(guide_stream(&client, NULL, QUESTION, soon(), &update));
        CHECK_TEXT(update.text, expected.text);
        CHECK(guide_open(&fresh, instance));
        CHECK(guide_request(&fresh, NULL, QUESTION, soon(), &update));
        CHECK_TEXT(update.text, expected.text);
        guide_close(&fresh);
        char *err = host_err(&host);
        CHECK_SAY(!strstr(err, "error"), "taking over is not silent: %s", err);
        free(err);
    }

    test_step("some of the objects are missing");
    for (int missing = 0; missing < N_OBJECTS; missing++) {
        char path[256];
        host_kill(&host);
        guide_take_ready_of_dead(instance);
        CHECK(unlink(object_path(path, instance, missing)) == 0);
        host_start(&host, instance, REPEATABLE, "-n", "5", NULL);
        CHECK(WAITED(SOON_MS, objects_count(instance) == 5));
        CHECK(guide_open(&fresh, instance));
        CHECK(guide_stream(&fresh, NULL, QUESTION, soon(), &update));
        guide_close(&fresh);
    }

    test_step("the segment is too short, or too long");
    static const int sizes[] = {0, 40971, 1 << 20};
    for (int i = 0; i < 3; i++) {
        char path[256];
        host_kill(&host);
        guide_take_ready_of_dead(instance);
        CHECK(truncate(object_path(path, instance, OBJECT_SEGMENT), sizes[i]) == 0);
        host_start(&host, instance, REPEATABLE, "-n", "5", NULL);
        CHECK(WAITED(SOON_MS, guide_open(&fresh, instance)));
        /* Written to its very end, so a segment that stayed short would fault here. */
        CHECK(guide_take(fresh.ready, soon()));
        fresh.block[44999] = 0;
        guide_write(&fresh, NULL, QUESTION, true);
        sem_post(fresh.prompts_written);
        CHECK(guide_receive_stream(&fresh, soon(), NULL, NULL, &update));
        guide_close(&fresh);
    }
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
