/* guide_test.h - the few lines that most tests of the guide begin with. */
#ifndef LIPC_TESTS_GUIDE_TEST_H
#define LIPC_TESTS_GUIDE_TEST_H

#include "../support/guide_client.h"
#include "../support/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A question whose answer holds characters of two, three and four bytes, from the tutor model's corpus. */
#define QUESTION_MULTIBYTE "What is UTF-8?"
#define QUESTION "What is C++?"
/* Arguments that make answers repeatable (and short, should the model not know what to say), and ones that make the
 * model talk until it is stopped. */
#define REPEATABLE "--temp", "0", "-n", "120"
#define ENDLESS "--ignore-eos", "-n", "-1", "-c", "16384", "--temp", "1", "--seed", "7"

/* Opens the objects of a host that was just started. */
static inline void attach(guide_client *client, const test_host *host) {
    CHECK_SAY(guide_open_within(client, host->instance, (int)test_scaled(SOON_MS)), "no objects");
}

/* sem_ready is there and nothing else: how an idle host leaves its semaphores. A client that streams may have seen
 * the end before it had taken all of its posts: those are its own, and at most as many as there were updates. */
static inline void check_idle_permits(const guide_client *client) {
    int n_updates;
    CHECK(WAITED(SOON_MS, guide_value(client->ready) == 1));
    CHECK_INT(guide_value(client->prompts_written), ==, 0);
    CHECK_INT(guide_value(client->response_written), ==, 0);
    memcpy(&n_updates, client->block + 40962, 4);
    CHECK_INT(guide_value(client->chunk_ready), <=, client->block[40961] ? n_updates : 0);
}

/* The host has gone, and its objects with it. Where a name lives as long as somebody holds its object, that is when the client
 * has let go, too. Closes the client. */
static inline void check_no_objects(const char *instance, guide_client *client) {
    if (objects_are_removable)
        CHECK_INT(objects_count(instance), ==, 0);
    guide_close(client);
    CHECK(WAITED(objects_are_removable ? 0 : SOON_MS, objects_count(instance) == 0));
}

static inline int soon(void) {
    return (int)test_scaled(SOON_MS);
}

static inline int int_at(const guide_client *client, size_t offset) {
    int value;
    memcpy(&value, client->block + offset, 4);
    return value;
}

/* Sends a streaming request and waits until `n_updates` updates are there, without taking a post. */
static inline void stream_until(guide_client *client, const char *prompt, int n_updates) {
    CHECK(guide_send(client, NULL, prompt, true, soon()));
    CHECK_SAY(WAITED(SOON_MS, int_at(client, 40962) >= n_updates || client->block[40966]), "no %d updates", n_updates);
    CHECK_SAY(!client->block[40966], "the answer was complete after %d updates", int_at(client, 40962));
}

#endif
