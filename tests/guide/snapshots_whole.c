/* snapshots_whole.c - whatever moment a client copies the block at, it has whole characters and a prefix of the final
 * text: two readers without a pause, one copying all 32,768 bytes at once and one byte by byte, over answers with
 * characters of two to four bytes, and over a model that says halves of characters. */
#include "guide_test.h"

#include "../support/test_model.h"

#include <pthread.h>

enum { ROUNDS = 24 };

static guide_client client;
static volatile bool stop;

/* A reader and the different texts it saw; whether they are prefixes can only be told at the end. */
typedef struct reader {
    pthread_t thread;
    void (*read)(const guide_client *, guide_update *);
    char *texts[2048];
    int n_texts;
    long n_snapshots;
} reader;

static void *read_on(void *data) {
    reader *self = data;
    guide_update *update = malloc(sizeof *update);
    size_t last_bytes = SIZE_MAX;
    while (!stop) {
        self->read(&client, update);
        self->n_snapshots++;
        if (update->n_bytes == last_bytes)
            continue;
        CHECK_SAY(test_is_utf8(update->text, update->n_bytes), "half a character: \"%s\"", update->text);
        CHECK_INT(self->n_texts, <, 2048);
        last_bytes = update->n_bytes;
        self->texts[self->n_texts++] = strdup(update->text);
    }
    free(update);
    return NULL;
}

static void check_round(const char *prompt, bool stream, int *n_distinct) {
    static reader readers[2];
    guide_update last;
    readers[0].read = guide_read;
    readers[1].read = guide_read_bytewise;
    CHECK(guide_take(client.ready, soon()));
    guide_write(&client, NULL, prompt, stream);
    stop = false;
    for (int i = 0; i < 2; i++) {
        readers[i].n_texts = 0;
        pthread_create(&readers[i].thread, NULL, read_on, &readers[i]);
    }
    sem_post(client.prompts_written);
    CHECK(stream ? guide_receive_stream(&client, soon(), NULL, NULL, &last) : guide_receive(&client, soon(), &last));
    stop = true;
    for (int i = 0; i < 2; i++) {
        pthread_join(readers[i].thread, NULL);
        for (int k = 0; k < readers[i].n_texts; k++) {
            const char *text = readers[i].texts[k];
            CHECK_SAY(test_is_prefix(text, strlen(text), last.text), "\"%s\" is no beginning of \"%s\"", text,
                      last.text);
            free(readers[i].texts[k]);
        }
        *n_distinct += readers[i].n_texts;
    }
}

int main(void) {
    test_begin("snapshots_whole", 120);
    static const char *const prompts[] = {QUESTION_MULTIBYTE, "Do you speak German?", "What is streaming?"};
    char instance[64];
    test_host host;
    int n_distinct = 0;
    test_instance(instance, "whole");
    host_start(&host, instance, REPEATABLE, "-t", "1", NULL);
    attach(&client, &host);
    for (int i = 0; i < ROUNDS; i++)
        check_round(prompts[i % 3], i % 4 != 3, &n_distinct);
    printf("  %d different states seen\n", n_distinct);
    CHECK_INT(n_distinct, >, 4 * ROUNDS);
    guide_close(&client);
    host_stop(&host);

    static const struct {
        const char *what;
        int n_words, shortest;
    } models[] = {{"a model whose words mix characters of all lengths", 2000, 20000},
                  {"a model that babbles bytes", 0, 250}};
    for (int i = 0; i < 8; i++) {
        guide_update update;
        char model[] = "/tmp/lipctest.XXXXXX";
        test_step("%s", models[i / 4].what);
        close(mkstemp(model));
        test_model_write(model, models[i / 4].n_words);
        host_start(&host, instance, "-m", model, "--ignore-eos", "-n", "250", "--temp", "1", "--min-p", "0", "--seed",
                   i % 2 ? "11" : "12", "-t", "1", NULL);
        attach(&client, &host);
        check_round(prompts[i % 3], i % 4 < 3, &n_distinct);
        guide_read(&client, &update);
        CHECK(test_is_utf8(update.text, update.n_bytes));
        /* Whatever becomes of zero bytes and of halves of characters, the text has no hole: behind its terminator the
         * block is as the client left it. */
        for (size_t k = update.n_bytes; k < 32768; k++)
            CHECK_SAY(client.block[8192 + k] == 0, "the text ends at byte %zu, but byte %zu is written", update.n_bytes,
                      k);
        CHECK_INT(update.n_bytes, >=, models[i / 4].shortest);
        guide_close(&client);
        host_stop(&host);
        unlink(model);
    }
    return test_end();
}
