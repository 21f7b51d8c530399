/* death_test.h - what the two killers share: the honest request after a death, and the look at what is left. */
#ifndef LIPC_TESTS_DEATH_TEST_H
#define LIPC_TESTS_DEATH_TEST_H

#include "../support/guide_client.h"
#include "../support/harness.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUESTION "What is C++?"
#define HONEST_QUESTION "What is UTF-8?"

static inline void death_usage(int argc, char *argv[], long *n_kills, uint64_t *seed) {
    if (argc > 1)
        *n_kills = atol(argv[1]);
    if (argc > 2)
        *seed = strtoull(argv[2], NULL, 10);
    printf("%ld kills, seed %llu\n", *n_kills, (unsigned long long)*seed);
}

/* An honest client gets its own answer, whole, and leaves the permits of an idle host. */
static inline void honest_request(guide_client *client, long round, const char *expected) {
    static guide_update update;
    bool stream = round & 1;
    bool sent = guide_send(client, NULL, HONEST_QUESTION, stream, SOON_MS);
    CHECK_SAY(sent, "round %ld: sem_ready does not come", round);
    bool received = stream ? guide_receive_stream(client, SOON_MS, NULL, NULL, &update)
                           : guide_receive(client, SOON_MS, &update);
    CHECK_SAY(received, "round %ld: no answer", round);
    CHECK_SAY(update.complete, "round %ld, %s: a dead client's post was taken for the answer's", round,
              stream ? "streaming" : "normal");
    CHECK_SAY(strcmp(update.text, expected) == 0, "round %ld: answer \"%s\", expected \"%s\"", round, update.text,
              expected);
    bool settled = WAITED(SOON_MS, guide_value(client->ready) == 1);
    int prompts = guide_value(client->prompts_written), response = guide_value(client->response_written);
    /* A streaming client that saw the end early has left some of its own posts. */
    int chunks = guide_value(client->chunk_ready) - (stream ? update.update_counter : 0);
    CHECK_SAY(settled && prompts == 0 && response == 0 && chunks <= 0,
              "round %ld: permits left: ready %d, prompts_written %d, response_written %d, chunk_ready %d", round,
              guide_value(client->ready), prompts, response, chunks);
}

/* In a /dev/shm of its own nothing may lie but the five objects, not even a file that was being made. */
static inline void check_shm_entries(const char *instance) {
    int n = 0;
    DIR *directory = opendir("/dev/shm");
    CHECK(directory != NULL);
    struct dirent *entry;
    while ((entry = readdir(directory)))
        n += entry->d_name[0] != '.';
    closedir(directory);
    CHECK_INT(n, ==, objects_count(instance));
}

#endif
