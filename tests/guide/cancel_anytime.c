/* cancel_anytime.c - cancel_requested (byte 40971): the answer is completed as it stands, normally for every waiting
 * client, the flag goes back to 0 and the next request is served; in both modes, and while a long prompt is read. */
#include "guide_test.h"

static void check_cancelled(guide_client *client, bool stream, double asked_ms, guide_update *update) {
    CHECK(stream ? guide_receive_stream(client, soon(), NULL, NULL, update) : guide_receive(client, soon(), update));
    printf("  complete %.1f ms after the cancel: %d tokens\n", test_now_ms() - asked_ms, update->tokens_generated);
    CHECK(update->complete);
    /* An answer that nobody cancelled has none of its own: it fills the block first. */
    CHECK_INT(update->n_bytes, <, 32000);
    CHECK(test_is_utf8(update->text, update->n_bytes));
    CHECK_SAY(WAITED(SOON_MS, !guide_cancel_pending(client)), "cancel_requested stays set");
    check_idle_permits(client);
}

int main(void) {
    test_begin("cancel_anytime", 120);
    static char long_prompt[4096];
    char instance[64];
    test_host host;
    guide_client client;
    guide_update update;
    test_instance(instance, "cancel");
    for (size_t i = 0; i < 4095; i++)
        long_prompt[i] = "qz xj wv "[i % 9];
    host_start(&host, instance, ENDLESS, NULL);
    attach(&client, &host);

    test_step("streaming");
    stream_until(&client, QUESTION, 10);
    double asked = test_now_ms();
    guide_cancel(&client);
    check_cancelled(&client, true, asked, &update);
    CHECK_INT(update.n_bytes, >, 0);
    CHECK_INT(update.tokens_generated, >, 0);

    test_step("normal");
    /* In this mode a client does not see whether there is a token yet: it waits longer until there was one. */
    update.tokens_generated = 0;
    for (double pause_ms = 100; update.tokens_generated == 0 && pause_ms < soon(); pause_ms *= 2) {
        CHECK(guide_send(&client, NULL, QUESTION, false, soon()));
        test_pause_ms(pause_ms);
        asked = test_now_ms();
        guide_cancel(&client);
        check_cancelled(&client, false, asked, &update);
    }
    CHECK_INT(update.n_bytes, >, 0);
    CHECK_INT(update.tokens_generated, >, 0);

    static const double delays_ms[] = {0, 0.2, 0.5, 1, 2, 5};
    for (int i = 0; i < 12; i++) {
        test_step("while a long prompt is read, after %.1f ms, %s", delays_ms[i / 2], i % 2 ? "streaming" : "normal");
        CHECK(guide_send(&client, long_prompt, long_prompt, i % 2, soon()));
        test_pause_ms(delays_ms[i / 2]);
        asked = test_now_ms();
        guide_cancel(&client);
        /* A client of the guide waits for posts only, so a cancel that came too early for the host to see may not be
         * lost: it was set after the request was posted. */
        check_cancelled(&client, i % 2, asked, &update);
    }
    guide_close(&client);
    host_stop(&host);

    test_step("a cancel that comes when all is over is taken back and does not touch the next answer");
    guide_update expected;
    host_start(&host, instance, REPEATABLE, NULL);
    attach(&client, &host);
    CHECK(guide_stream(&client, NULL, QUESTION_MULTIBYTE, soon(), &expected));
    for (int i = 0; i < 4; i++) {
        CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
        guide_cancel(&client);
        CHECK_SAY(WAITED(SOON_MS, !guide_cancel_pending(&client)), "cancel_requested stays set while the host is idle");
        CHECK(i % 2 ? guide_stream(&client, NULL, QUESTION_MULTIBYTE, soon(), &update)
                    : guide_request(&client, NULL, QUESTION_MULTIBYTE, soon(), &update));
        CHECK_TEXT(update.text, expected.text);
    }
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
