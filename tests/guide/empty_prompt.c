/* empty_prompt.c - an empty user prompt gets an empty, completed answer at once; it is no error and hangs nobody. */
#include "guide_test.h"

int main(void) {
    test_begin("empty_prompt", 60);
    static const char *const systems[] = {NULL, "You are a helpful tutor"};
    char instance[64];
    test_host host;
    guide_client client;
    guide_update update;
    test_instance(instance, "empty");
    host_start(&host, instance, NULL);
    attach(&client, &host);
    for (int i = 0; i < 8; i++) {
        test_step("%s, %s system prompt", i & 1 ? "streaming" : "normal", i & 2 ? "with a" : "no");
        CHECK(guide_take(client.ready, soon()));
        guide_write(&client, systems[i >> 1 & 1], "", i & 1);
        sem_post(client.prompts_written);
        CHECK(i & 1 ? guide_receive_stream(&client, soon(), NULL, NULL, &update)
                    : guide_receive(&client, soon(), &update));
        CHECK(update.complete);
        CHECK_TEXT(update.text, "");
        CHECK_INT(update.tokens_generated, ==, 0);
        CHECK_INT(update.update_counter, >=, 1);
        check_idle_permits(&client);
    }
    CHECK(guide_stream(&client, NULL, QUESTION, soon(), &update));
    CHECK_INT(update.n_bytes, >, 0);
    char *err = host_err(&host);
    CHECK_SAY(!strstr(err, "error"), "an empty prompt is no error, but the host says: %s", err);
    free(err);
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
