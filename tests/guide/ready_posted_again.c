/* ready_posted_again.c - one widespread client takes sem_ready once while it connects and again for its first request:
 * if sem_ready was taken and no prompt follows within a second it is posted again, and never more than once. */
#include "guide_test.h"

int main(void) {
    test_begin("ready_posted_again", 60);
    char instance[64];
    test_host host;
    guide_client client;
    guide_update update;
    test_instance(instance, "again");
    host_start(&host, instance, REPEATABLE, NULL);
    attach(&client, &host);

    test_step("taken at connect and again for the first request");
    CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
    double taken = test_now_ms(); /* before it is: a test that is held up behind it sees more time, and not less */
    CHECK(guide_take(client.ready, 0));
    CHECK_SAY(guide_send(&client, NULL, QUESTION, true, soon()), "no second sem_ready");
    printf("  posted again after %.0f ms\n", test_now_ms() - taken);
    CHECK_INT(test_now_ms() - taken, >=, 800);
    CHECK(guide_receive_stream(&client, soon(), NULL, NULL, &update));
    CHECK_INT(update.n_bytes, >, 0);
    check_idle_permits(&client);

    test_step("not taken: it stays one permit");
    test_pause_ms(3500);
    CHECK_INT(guide_value(client.ready), ==, 1);

    test_step("taken: one permit comes back, not more");
    CHECK(guide_take(client.ready, 0));
    CHECK_SAY(WAITED(SOON_MS, guide_value(client.ready) == 1), "not posted again");
    test_pause_ms(3500);
    CHECK_INT(guide_value(client.ready), ==, 1);

    test_step("taken again and again: it comes back each time");
    for (int i = 0; i < 3; i++) {
        CHECK(guide_take(client.ready, 0));
        CHECK_SAY(WAITED(SOON_MS, guide_value(client.ready) == 1), "not posted again");
    }

    test_step("a client that takes longer than that to write its prompt");
    CHECK(guide_take(client.ready, 0));
    CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
    guide_write(&client, NULL, QUESTION, false);
    sem_post(client.prompts_written);
    CHECK(guide_receive(&client, soon(), &update));
    CHECK_INT(update.n_bytes, >, 0);
    check_idle_permits(&client);

    test_step("no permit appears while an answer is made");
    guide_close(&client);
    host_stop(&host);
    host_start(&host, instance, ENDLESS, NULL);
    attach(&client, &host);
    stream_until(&client, QUESTION, 5);
    double end = test_now_ms() + 2500;
    while (test_now_ms() < end && !client.block[40966]) {
        CHECK_INT(guide_value(client.ready), ==, 0);
        test_pause_ms(1);
    }
    guide_shutdown_at_once(&client);
    host_expect_exit(&host, 0, SOON_MS);
    guide_close(&client);
    return test_end();
}
