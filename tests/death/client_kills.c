/* client_kills.c - clients die at any moment: while they connect, take sem_ready, write a request, wait, and read. The
 * host goes on, the next client gets its own answer, and no permit is left over.
 *
 * The kills are shared among several hosts, because a host that was left with an answer waits for a while whether its
 * client is slow or dead.
 *
 * client_kills [kills] [seed]
 */
#include "death_test.h"

#include <sys/prctl.h>

enum { WORKERS = 5 };

static void live_until_killed(const char *instance, uint64_t seed) {
    guide_client client;
    guide_update update;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        if (!guide_open(&client, instance))
            _exit(3);
        if (test_random(&seed, 20) == 0)
            guide_take(client.ready, 1500); /* the client that takes it at connect, too */
        bool stream = test_random(&seed, 3) > 0;
        bool leaves_early = test_random(&seed, 8) == 0;
        if (guide_send(&client, NULL, QUESTION, stream, 3000) && !leaves_early) {
            if (stream)
                guide_receive_stream(&client, 3000, NULL, NULL, &update);
            else
                guide_receive(&client, 3000, &update);
        }
        guide_close(&client);
    }
}

/* Kills clients of one host of its own. */
static void kill_clients(const char *instance, long n_kills, uint64_t seed) {
    test_host host;
    guide_client client;
    static guide_update expected;
    host_start(&host, instance, "--temp", "0", "-n", "12", "-t", "1", "--log-level", "warn", NULL);
    CHECK(guide_open_within(&client, instance, 5000));
    CHECK(guide_request(&client, NULL, HONEST_QUESTION, SOON_MS, &expected));
    CHECK_INT(expected.n_bytes, >, 0);
    double begin = test_now_ms();
    CHECK(guide_request(&client, NULL, HONEST_QUESTION, SOON_MS, &expected));
    double request_ms = test_now_ms() - begin;
    host_files files = host_files_now(&host);

    for (long round = 0; round < n_kills; round++) {
        uint64_t child_seed = seed * 1000003u + (uint64_t)round;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            live_until_killed(instance, child_seed);
        /* From the first instructions of the client to its third request. */
        test_pause_ms(request_ms * 2.5 * test_random(&seed, 1000) / 1000 * (test_random(&seed, 4) ? 1 : 0.1));
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        CHECK_SAY(WIFSIGNALED(status), "round %ld: the client ended by itself with %x", round, (unsigned)status);
        honest_request(&client, round, expected.text);
        CHECK_SAY(!host_ended(&host, 0), "round %ld: the host ended with %d", round, host.exit_code);
    }
    CHECK_INT(objects_count(instance), ==, 5);
    host_check_files(&host, files);
    guide_close(&client);
    host_stop(&host);
}

int main(int argc, char *argv[]) {
    long n_kills = 500;
    uint64_t seed = 1;
    char instances[WORKERS][64];
    pid_t workers[WORKERS];
    death_usage(argc, argv, &n_kills, &seed);
    test_begin("client_kills", 120 + (unsigned)n_kills / 4);
    bool is_private = test_private_shm("mode=1777");
    double begin = test_now_ms();
    for (int i = 0; i < WORKERS; i++) {
        char suffix[16];
        snprintf(suffix, sizeof suffix, "clients%d", i);
        test_instance(instances[i], suffix);
        workers[i] = fork();
        CHECK(workers[i] >= 0);
        if (workers[i] == 0) {
            kill_clients(instances[i], (n_kills + WORKERS - 1) / WORKERS, seed * WORKERS + (uint64_t)i);
            _exit(0);
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        int status;
        waitpid(workers[i], &status, 0);
        CHECK_SAY(WIFEXITED(status) && WEXITSTATUS(status) == 0, "worker %d failed: see above", i);
    }
    printf("  %.0f s\n", (test_now_ms() - begin) / 1e3);
    if (is_private)
        check_shm_entries(instances[0]);
    return test_end();
}
