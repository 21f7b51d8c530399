/* slow_reader.c - a client may be slow: by the time it reads, later tokens are being written. It misses no text, every
 * text it sees is whole, and it gets its last update and sem_response_written however late it comes for them. */
#include "guide_test.h"

typedef struct slow {
    double pause_ms;
    int updates;
    char last[32769];
} slow;

static void on_update(const guide_update *update, void *data) {
    slow *self = data;
    CHECK(test_is_utf8(update->text, update->n_bytes));
    CHECK_SAY(test_is_prefix(self->last, strlen(self->last), update->text), "the text changed from \"%s\" to \"%s\"",
              self->last, update->text);
    strcpy(self->last, update->text);
    self->updates++;
    test_pause_ms(self->pause_ms);
}

int main(void) {
    test_begin("slow_reader", 90);
    static slow self;
    char instance[64];
    test_host host;
    guide_client client;
    guide_update fast, update;
    test_instance(instance, "slow");
    host_start(&host, instance, REPEATABLE, NULL);
    attach(&client, &host);
    CHECK(guide_stream(&client, NULL, QUESTION_MULTIBYTE, soon(), &fast));

    test_step("5 ms an update");
    self = (slow){.pause_ms = 5};
    CHECK(guide_send(&client, NULL, QUESTION_MULTIBYTE, true, soon()));
    CHECK(guide_receive_stream(&client, soon(), on_update, &self, &update));
    CHECK_TEXT(update.text, fast.text);
    check_idle_permits(&client);

    test_step("6 s late for the first post");
    /* The host has long finished and may have offered sem_ready again; nothing of this client may be taken away. */
    self = (slow){.pause_ms = 0};
    CHECK(guide_send(&client, NULL, QUESTION_MULTIBYTE, true, soon()));
    test_pause_ms(6000);
    CHECK(guide_receive_stream(&client, soon(), on_update, &self, &update));
    CHECK_TEXT(update.text, fast.text);

    test_step("6 s late for the answer in normal mode");
    CHECK(guide_send(&client, NULL, QUESTION_MULTIBYTE, false, soon()));
    test_pause_ms(6000);
    CHECK(guide_receive(&client, soon(), &update));
    CHECK_TEXT(update.text, fast.text);

    CHECK(guide_request(&client, NULL, QUESTION, soon(), &update));
    check_idle_permits(&client);
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
