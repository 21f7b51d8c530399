/* normal_flow.c - the normal flow: the whole answer is written at once, sem_response_written is posted once and
 * sem_chunk_ready never; the text is the one that streaming gives. */
#include "guide_test.h"

#include <pthread.h>

static guide_client client;
static volatile bool stop;
static char seen[2][32769];
static int n_seen;

/* Collects the different texts the block holds while the answer is made. */
static void *watch(void *nothing) {
    static guide_update update;
    (void)nothing;
    while (!stop) {
        guide_read_bytewise(&client, &update);
        if (n_seen && strcmp(seen[n_seen - 1], update.text) == 0)
            continue;
        CHECK_SAY(n_seen < 2, "a third text in the block: \"%s\" after \"%s\"", update.text, seen[1]);
        strcpy(seen[n_seen++], update.text);
    }
    return NULL;
}

int main(void) {
    test_begin("normal_flow", 60);
    char instance[64];
    test_host host;
    guide_update streamed, update;
    pthread_t watcher;
    test_instance(instance, "normal");
    host_start(&host, instance, REPEATABLE, NULL);
    attach(&client, &host);
    CHECK(guide_stream(&client, NULL, QUESTION_MULTIBYTE, soon(), &streamed));

    test_step("the block holds nothing, then everything");
    CHECK(guide_take(client.ready, soon()));
    guide_write(&client, NULL, QUESTION_MULTIBYTE, false);
    pthread_create(&watcher, NULL, watch, NULL);
    sem_post(client.prompts_written);
    CHECK(guide_receive(&client, soon(), &update));
    stop = true;
    pthread_join(watcher, NULL);
    CHECK_TEXT(update.text, streamed.text);
    CHECK(update.complete);
    CHECK_INT(update.tokens_generated, ==, streamed.tokens_generated);
    CHECK_INT(update.update_counter, >, 0);
    CHECK_TEXT(seen[0], "");
    if (n_seen == 2)
        CHECK_TEXT(seen[1], update.text);
    check_idle_permits(&client);

    test_step("a client that knows nothing behind offset 40960");
    CHECK(guide_take(client.ready, soon()));
    memset(client.block, 0, 40960);
    strcpy((char *)client.block + 4096, QUESTION);
    client.block[40961] = 0;
    sem_post(client.prompts_written);
    CHECK(guide_receive(&client, soon(), &update));
    CHECK_INT(update.n_bytes, >, 0);
    CHECK_INT(guide_value(client.chunk_ready), ==, 0);

    test_step("fifty requests in a row leave no permit behind");
    for (int i = 0; i < 50; i++) {
        CHECK(i % 2 ? guide_request(&client, NULL, QUESTION, soon(), &update)
                    : guide_stream(&client, NULL, QUESTION, soon(), &update));
        CHECK(update.complete);
        CHECK_INT(update.n_bytes, >, 0);
    }
    check_idle_permits(&client);
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
