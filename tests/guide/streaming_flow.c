/* streaming_flow.c - the streaming flow of the guide, step by step: a post of sem_chunk_ready for every update,
 * counters at the guide's offsets that only grow, generation_complete with the last one, then sem_response_written,
 * sem_ready. */
#include "guide_test.h"

typedef struct flow {
    int updates, last_counter, last_tokens;
    size_t last_bytes;
    bool complete;
} flow;

static void on_update(const guide_update *update, void *data) {
    flow *seen = data;
    CHECK_SAY(!seen->complete, "an update after the complete one");
    CHECK_INT(update->update_counter, >, seen->last_counter);
    CHECK_INT(update->tokens_generated, >=, seen->last_tokens);
    CHECK_INT(update->n_bytes, >=, seen->last_bytes);
    CHECK(test_is_utf8(update->text, update->n_bytes));
    *seen = (flow){seen->updates + 1, update->update_counter, update->tokens_generated, update->n_bytes,
                   update->complete};
}

int main(void) {
    test_begin("streaming_flow", 60);
    char instance[64];
    test_host host;
    guide_client client;
    guide_update update, again;
    test_instance(instance, "flow");
    host_start(&host, instance, REPEATABLE, NULL);
    attach(&client, &host);

    test_step("client in lockstep");
    flow seen = {0};
    CHECK(guide_send(&client, "You are a helpful tutor", QUESTION_MULTIBYTE, true, soon()));
    CHECK_INT(guide_value(client.ready), ==, 0);
    CHECK(guide_receive_stream(&client, soon(), on_update, &seen, &update));
    CHECK_INT(seen.updates, >, 3);
    CHECK_INT(update.n_bytes, >, 20);
    CHECK(update.complete);
    CHECK_INT(update.tokens_generated, >, 3);
    CHECK_INT(update.update_counter, >, update.tokens_generated / 4);
    printf("  %d of %d updates seen, %d tokens: %s\n", seen.updates, update.update_counter, update.tokens_generated,
           update.text);

    test_step("the final block at the guide's offsets");
    CHECK_INT(client.block[40960], ==, 0);
    CHECK_INT(client.block[40961], ==, 1);
    CHECK_INT(int_at(&client, 40962), ==, update.update_counter);
    CHECK_INT(client.block[40966], ==, 1);
    CHECK_INT(int_at(&client, 40967), ==, update.tokens_generated);
    CHECK_INT(client.block[40971], ==, 0);
    CHECK_TEXT((char *)client.block, "You are a helpful tutor");
    CHECK_TEXT((char *)client.block + 4096, QUESTION_MULTIBYTE);
    CHECK_TEXT((char *)client.block + 8192, update.text);

    test_step("every update was posted, the last one too");
    check_idle_permits(&client);
    CHECK(guide_send(&client, "You are a helpful tutor", QUESTION_MULTIBYTE, true, soon()));
    CHECK(WAITED(SOON_MS, guide_value(client.response_written) == 1));
    guide_read(&client, &again);
    /* sem_response_written is the last word: everything else has been said when it can be taken. */
    CHECK(again.complete);
    CHECK_INT(guide_value(client.chunk_ready), ==, again.update_counter);
    CHECK_TEXT(again.text, update.text);
    CHECK_INT(again.tokens_generated, ==, update.tokens_generated);
    for (int i = 0; i < again.update_counter; i++)
        CHECK(guide_take(client.chunk_ready, 0));
    CHECK(guide_take(client.response_written, 0));
    check_idle_permits(&client);

    test_step("an update for every token and one for the end");
    /* A token may be a part of a character, so there may be fewer updates than tokens, never more than one each. */
    CHECK_INT(again.update_counter, <=, again.tokens_generated + 1);
    CHECK(guide_stream(&client, NULL, QUESTION, soon(), &again));
    CHECK_INT(again.update_counter, >=, again.tokens_generated);
    check_idle_permits(&client);
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
