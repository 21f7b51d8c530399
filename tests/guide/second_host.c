/* second_host.c - only one host may own the names: a second one says who owns them (pid), ends with 7 and leaves them
 * alone; the first one does not notice. */
#include "guide_test.h"

int main(void) {
    test_begin("second_host", 60);
    char instance[64], pid[32];
    test_host first, second;
    guide_client client;
    guide_update expected, update;
    ino_t inodes[N_OBJECTS];
    test_instance(instance, "owned");
    host_start(&first, instance, REPEATABLE, NULL);
    snprintf(pid, sizeof pid, "%d", (int)first.pid);

    test_step("while the first one loads");
    attach(&client, &first);
    host_start(&second, instance, NULL);
    host_expect_exit(&second, 7, SOON_MS);
    CHECK(guide_request(&client, NULL, QUESTION_MULTIBYTE, soon(), &expected));

    for (int i = 0; i < N_OBJECTS; i++)
        inodes[i] = object_inode(instance, i);
    for (int round = 0; round < 6; round++) {
        test_step("%s", round % 2 ? "while an answer is made" : "while it is idle");
        if (round % 2)
            CHECK(guide_send(&client, NULL, QUESTION_MULTIBYTE, true, soon()));
        host_start(&second, instance, NULL);
        host_expect_exit(&second, 7, SOON_MS);
        char *err = host_err(&second);
        CHECK_SAY(strstr(err, pid) != NULL, "the message does not name process %s: %s", pid, err);
        CHECK_SAY(strchr(err, '\n') && !strchr(strchr(err, '\n') + 1, '\n'), "not one line: %s", err);
        free(err);
        if (round % 2) {
            CHECK(guide_receive_stream(&client, soon(), NULL, NULL, &update));
            CHECK_TEXT(update.text, expected.text);
        }
        for (int i = 0; i < N_OBJECTS; i++)
            CHECK_INT(object_inode(instance, i), ==, inodes[i]);
    }
    CHECK(guide_request(&client, NULL, QUESTION_MULTIBYTE, soon(), &update));
    CHECK_TEXT(update.text, expected.text);
    check_idle_permits(&client);
    guide_close(&client);
    host_stop(&first);

    test_step("eight at once: one serves, seven step back");
    test_host hosts[8];
    int ended = 0;
    for (int i = 0; i < 8; i++)
        host_start(&hosts[i], instance, REPEATABLE, NULL);
    CHECK(WAITED(SOON_MS, ({
                     ended = 0;
                     for (int i = 0; i < 8; i++)
                         ended += host_ended(&hosts[i], 0);
                     ended >= 7;
                 })));
    attach(&client, &hosts[0]);
    CHECK(guide_request(&client, NULL, QUESTION_MULTIBYTE, soon(), &update));
    CHECK_TEXT(update.text, expected.text);
    guide_close(&client);
    ended = 0;
    for (int i = 0; i < 8; i++) {
        if (hosts[i].running) {
            host_stop(&hosts[i]);
            continue;
        }
        CHECK_INT(hosts[i].exit_code, ==, 7);
        ended++;
    }
    CHECK_INT(ended, ==, 7);
    return test_end();
}
