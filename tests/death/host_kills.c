/* host_kills.c - the host dies at any moment, from its start through loading to the middle of an answer: the next one
 * takes over the same objects in place, the clients that had them mapped are served, and nothing is left over.
 *
 * host_kills [kills] [seed]
 */
#include "death_test.h"

#include <sys/prctl.h>

static char instance[64];
static ino_t inodes[N_OBJECTS];

static void start(test_host *host) {
    host_start(host, instance, "--temp", "0", "-n", "48", "--ignore-eos", "-t", "1", NULL);
}

/* Once an object exists it stays the same object, whoever dies. */
static void check_inodes(long round) {
    for (int i = 0; i < N_OBJECTS; i++) {
        ino_t now = object_inode(instance, i);
        CHECK_SAY(now == inodes[i] || inodes[i] == 0, "round %ld: object %d was made anew", round, i);
        inodes[i] = now;
    }
}

int main(int argc, char *argv[]) {
    long n_kills = 200, kills = 0;
    uint64_t seed = 1;
    test_host host;
    guide_client client = {0};
    static guide_update expected, update;
    death_usage(argc, argv, &n_kills, &seed);
    test_begin("host_kills", 110 + (unsigned)n_kills / 3);
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0); /* workers of killed hosts become ours */
    bool is_private = test_private_shm("mode=1777");
    test_instance(instance, "hosts");

    int n_files = process_fd_count(getpid());

    /* How long a start and an answer take here. */
    start(&host);
    CHECK(guide_open_within(&client, instance, 5000));
    CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
    double start_ms = test_now_ms() - host.started_ms;
    double begin = test_now_ms();
    CHECK(guide_request(&client, NULL, HONEST_QUESTION, SOON_MS, &expected));
    double answer_ms = test_now_ms() - begin;
    guide_close(&client);
    host_stop(&host);
    printf("  start %.0f ms, answer %.0f ms\n", start_ms, answer_ms);

    /* Killed while the objects are made for the first time: some, none or all of them may exist. */
    for (; kills < n_kills / 10; kills++) {
        start(&host);
        if (test_random(&seed, 2))
            test_pause_ms(start_ms * test_random(&seed, 1000) / 1000);
        else
            while (!host_ended(&host, 0) && objects_count(instance) < (int)test_random(&seed, 6))
                ;
        host_kill(&host);
        guide_take_ready_of_dead(instance);
        if (is_private)
            check_shm_entries(instance);
        if (kills % 3 == 2)
            objects_remove(instance);
    }

    while (kills < n_kills) {
        start(&host);
        uint32_t how = test_random(&seed, 3);
        if (how == 0) { /* while it starts and loads */
            test_pause_ms(start_ms * test_random(&seed, 1000) / 1000);
        } else {
            if (!client.block)
                CHECK(guide_open_within(&client, instance, 5000));
            if (how == 1) { /* during an answer that nobody or somebody reads */
                bool stream = test_random(&seed, 3) > 0, reads = test_random(&seed, 2);
                CHECK_SAY(guide_send(&client, NULL, HONEST_QUESTION, stream, SOON_MS), "kill %ld: no sem_ready", kills);
                double end = test_now_ms() + answer_ms * 1.2 * test_random(&seed, 1000) / 1000;
                while (test_now_ms() < end) {
                    if (reads && stream)
                        guide_take(client.chunk_ready, 1);
                    guide_read(&client, &update);
                    CHECK_SAY(test_is_prefix(update.text, update.n_bytes, expected.text),
                              "kill %ld: \"%s\" is no beginning of \"%s\"", kills, update.text, expected.text);
                    test_breathe();
                }
            } else { /* idle after honest requests */
                honest_request(&client, kills, expected.text);
            }
        }
        host_kill(&host);
        kills++;
        guide_take_ready_of_dead(instance);
        check_inodes(kills);
        if (client.block && how == 1) { /* what a client finds that still reads: whole characters of that answer */
            guide_read(&client, &update);
            CHECK_SAY(test_is_prefix(update.text, update.n_bytes, expected.text), "kill %ld left \"%s\"", kills,
                      update.text);
        }
        if (is_private)
            check_shm_entries(instance);
        if (kills % 50 == 0)
            printf("  %ld kills, %.0f s\n", kills, (test_now_ms() - begin) / 1e3);
    }

    test_step("the last successor serves old and new clients and leaves nothing");
    start(&host);
    if (client.block) {
        honest_request(&client, 0, expected.text);
        honest_request(&client, 1, expected.text);
        guide_close(&client);
    }
    CHECK(guide_open_within(&client, instance, 5000));
    honest_request(&client, 2, expected.text);
    guide_close(&client);
    check_inodes(kills);
    host_stop(&host);
    if (is_private)
        check_shm_entries(instance);
    /* Of the killed hosts no worker is left. */
    CHECK(WAITED(SOON_MS, waitpid(-1, NULL, WNOHANG) < 0));
    CHECK_INT(process_fd_count(getpid()), ==, n_files);
    return test_end();
}
