/* stale_posts.c - posts that a dead client never took stay behind and would be mistaken by the next client for its own:
 * the host takes them back before each request is served. */
#include "guide_test.h"

/* A client that asked, and died before it took anything. */
static void leave_posts(guide_client *client, bool stream) {
    CHECK(guide_send(client, NULL, QUESTION, stream, soon()));
    /* Whoever looks late finds the first post taken back, and the next client let in. */
    CHECK(WAITED(SOON_MS, guide_value(client->response_written) >= 1 ||
                              (client->block[40966] == 1 && guide_value(client->ready) == 1)));
    if (stream)
        CHECK_INT(guide_value(client->chunk_ready), >, 0);
}

int main(void) {
    test_begin("stale_posts", 120);
    char instance[64];
    test_host host;
    guide_client dead, client;
    guide_update expected, update;
    test_instance(instance, "stale");
    host_start(&host, instance, REPEATABLE, NULL);
    attach(&dead, &host);
    attach(&client, &host);
    CHECK(guide_request(&client, NULL, QUESTION_MULTIBYTE, soon(), &expected));
    CHECK_INT(expected.n_bytes, >, 0);

    test_step("the next client gets its own answer, in both modes, after both modes");
    for (int i = 0; i < 40; i++) {
        leave_posts(&dead, i & 1);
        if (i & 2) {
            CHECK(guide_stream(&client, NULL, QUESTION_MULTIBYTE, soon(), &update));
        } else {
            CHECK(guide_request(&client, NULL, QUESTION_MULTIBYTE, soon(), &update));
        }
        CHECK_SAY(update.complete, "round %d: the next client took a dead client's post for its own", i);
        CHECK_TEXT(update.text, expected.text);
        check_idle_permits(&client);
    }

    test_step("whatever was posted while the host was idle");
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 100 * i; k++)
            sem_post(client.chunk_ready);
        for (int k = 0; k < i; k++)
            sem_post(client.response_written);
        CHECK(guide_send(&client, NULL, QUESTION_MULTIBYTE, true, soon()));
        CHECK(WAITED(SOON_MS, client.block[40966] == 1));
        CHECK(WAITED(SOON_MS, guide_value(client.response_written) == 1));
        CHECK_INT(guide_value(client.chunk_ready), ==, int_at(&client, 40962));
        CHECK(guide_receive_stream(&client, soon(), NULL, NULL, &update));
        CHECK_TEXT(update.text, expected.text);
        while (guide_take(client.chunk_ready, 0))
            ;
    }

    test_step("sem_ready posted too often is one permit again");
    CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
    for (int k = 0; k < 5; k++)
        sem_post(client.ready);
    CHECK(guide_request(&client, NULL, QUESTION_MULTIBYTE, soon(), &update));
    CHECK_TEXT(update.text, expected.text);
    check_idle_permits(&client);
    guide_close(&dead);
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
