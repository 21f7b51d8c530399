/* two_hosts.c - hosts of different names run side by side and know nothing of each other. */
#include "guide_test.h"

int main(void) {
    test_begin("two_hosts", 60);
    char names[2][64];
    test_host hosts[2];
    guide_client clients[2];
    guide_update updates[2], update;
    for (int i = 0; i < 2; i++) {
        test_instance(names[i], i ? "left.b-1" : "left"); /* one name is the beginning of the other */
        host_start(&hosts[i], names[i], REPEATABLE, "-t", "1", NULL);
        attach(&clients[i], &hosts[i]);
    }
    test_step("both answer at the same time");
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 2; i++)
            CHECK(guide_send(&clients[i], NULL, i ? QUESTION : QUESTION_MULTIBYTE, true, soon()));
        for (int i = 0; i < 2; i++)
            CHECK(guide_receive_stream(&clients[i], soon(), NULL, NULL, &updates[i]));
        CHECK(strcmp(updates[0].text, updates[1].text) != 0);
    }
    for (int i = 0; i < 2; i++) {
        CHECK(guide_request(&clients[i], NULL, i ? QUESTION : QUESTION_MULTIBYTE, soon(), &update));
        CHECK_TEXT(update.text, updates[i].text);
    }
    test_step("one ends, the other goes on");
    CHECK(guide_send(&clients[1], NULL, QUESTION, true, soon()));
    guide_shutdown_at_once(&clients[0]);
    host_expect_exit(&hosts[0], 0, SOON_MS);
    check_no_objects(names[0], &clients[0]);
    CHECK_INT(objects_count(names[1]), ==, 5);
    CHECK(guide_receive_stream(&clients[1], soon(), NULL, NULL, &update));
    CHECK_TEXT(update.text, updates[1].text);
    check_idle_permits(&clients[1]);
    for (int i = 0; i < 2; i++)
        guide_close(&clients[i]);
    host_stop(&hosts[1]);
    return test_end();
}
