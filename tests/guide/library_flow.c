/* library_flow.c - the promises of the guide once more, seen through liblipc: the same answers as a client of the guide
 * gets, whole characters in every update, empty prompts, prompts that are too long, full answers, shutdown; and every
 * error that lipc.h names for them. */
#include "library_test.h"

#include "../support/test_model.h"

enum { FEW = 3 }; /* updates a second */

typedef struct seen {
    int updates;
    int32_t n_updates, n_tokens;
    size_t n_bytes;
    bool complete;
    int cancel_after;
} seen;

static int on_update(void *user_data, const lipc_classic_result *update) {
    seen *self = user_data;
    CHECK_SAY(!self->complete, "an update after the complete one");
    CHECK_INT(strlen(update->text), ==, update->n_bytes);
    CHECK(test_is_utf8(update->text, update->n_bytes));
    CHECK_INT(update->n_new_from, ==, self->n_bytes);
    CHECK(test_is_utf8(update->text + update->n_new_from, update->n_bytes - update->n_new_from));
    CHECK_INT(update->n_updates, >=, self->n_updates);
    CHECK_INT(update->n_tokens, >=, self->n_tokens);
    self->updates++;
    self->n_updates = update->n_updates;
    self->n_tokens = update->n_tokens;
    self->n_bytes = update->n_bytes;
    self->complete = update->complete;
    return self->cancel_after && self->updates >= self->cancel_after;
}

static void check_names(void) {
    lipc_classic *handle = (lipc_classic *)1;
    static const char *const wrong[] = {"", "a/b", ".a", "a b", "\xc3\xa4",
                                        "0123456789012345678901234567890123456789012345678901234567890123"};
    test_step("names, and calls without a host");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_LIPC(lipc_classic_open(wrong[i], &handle), LIPC_E_INVALID);
        CHECK(handle == NULL);
    }
    char instance[64];
    test_instance(instance, "nobody");
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_INT(lipc_classic_host_pid(handle), ==, 0);
    double begin = test_now_ms();
    CHECK_LIPC(lipc_classic_connect(handle, 0), LIPC_E_NO_HOST);
    CHECK_LIPC(lipc_classic_connect(handle, 50), LIPC_E_NO_HOST);
    CHECK_INT(test_now_ms() - begin, >=, 50);
    lipc_classic_result result;
    CHECK_LIPC(lipc_classic_request(handle, NULL, QUESTION, 100, &result), LIPC_E_NO_HOST);
    CHECK_LIPC(lipc_classic_stream(handle, NULL, QUESTION, 100, NULL, NULL, &result), LIPC_E_NO_HOST);
    CHECK_LIPC(lipc_classic_shutdown(handle, 100), LIPC_E_NO_HOST);
    lipc_classic_cancel(handle); /* nobody waits: not remembered */
    lipc_classic_close(handle);
    lipc_classic_close(NULL);
}

int main(void) {
    test_begin("library_flow", 120);
    char instance[64];
    test_host host;
    guide_client client;
    guide_update expected, update;
    lipc_classic *handle;
    lipc_classic_result result;
    CHECK(lipc_version()[0] >= '0' && lipc_version()[0] <= '9');
    CHECK_TEXT(lipc_error_name(LIPC_E_TIMEOUT), "LIPC_E_TIMEOUT");
    CHECK_TEXT(lipc_error_name(-999), "LIPC_E_UNKNOWN");
    CHECK_TEXT(lipc_error_text(-999), "unknown error");
    check_names();

    test_step("connecting while the host starts");
    test_instance(instance, "library");
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    host_start(&host, instance, REPEATABLE, NULL);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    CHECK_INT(lipc_classic_host_pid(handle), ==, host.pid);
    CHECK_LIPC(lipc_classic_connect(handle, 0), LIPC_E_OK);
    attach(&client, &host);
    CHECK(guide_stream(&client, "You are a helpful tutor", QUESTION_MULTIBYTE, soon(), &expected));

    test_step("a request and a stream give what a client of the guide gets");
    CHECK_LIPC(lipc_classic_request(handle, "You are a helpful tutor", QUESTION_MULTIBYTE, soon(), &result), 0);
    CHECK_TEXT(result.text, expected.text);
    CHECK_INT(result.n_bytes, ==, expected.n_bytes);
    CHECK_INT(result.n_tokens, ==, expected.tokens_generated);
    CHECK_INT(result.n_new_from, ==, 0);
    CHECK(result.complete && !result.prompt_cut);
    for (int i = 0; i < 20; i++) {
        seen self = {0};
        CHECK_LIPC(lipc_classic_stream(handle, "You are a helpful tutor", QUESTION_MULTIBYTE, soon(), on_update, &self,
                                       &result), 0);
        CHECK_TEXT(result.text, expected.text);
        CHECK_INT(self.updates, >, 1);
        CHECK(self.complete);
        CHECK_INT(self.n_bytes, ==, result.n_bytes);
        check_idle_permits(&client);
        CHECK(guide_request(&client, "You are a helpful tutor", QUESTION_MULTIBYTE, soon(), &update));
        CHECK_TEXT(update.text, expected.text);
    }
    CHECK_LIPC(lipc_classic_stream(handle, NULL, QUESTION, soon(), NULL, NULL, NULL), 0);

    test_step("empty prompts");
    seen empty = {0};
    CHECK_LIPC(lipc_classic_request(handle, NULL, "", soon(), &result), 0);
    CHECK_TEXT(result.text, "");
    CHECK(result.complete);
    CHECK_LIPC(lipc_classic_stream(handle, "", "", soon(), on_update, &empty, &result), 0);
    CHECK(empty.complete && result.complete);
    CHECK_LIPC(lipc_classic_request(handle, NULL, NULL, soon(), &result), LIPC_E_INVALID);
    CHECK_LIPC(lipc_classic_request(handle, NULL, "a\xff", soon(), &result), LIPC_E_INVALID);
    CHECK_LIPC(lipc_classic_request(handle, "\xc3", "a", soon(), &result), LIPC_E_INVALID);
    check_idle_permits(&client);

    test_step("prompts that are too long are cut at a whole character, and it is said");
    static char prompt[5000];
    memset(prompt, 'q', 4094);
    CHECK_LIPC(lipc_classic_request(handle, NULL, prompt, soon(), &result), 0);
    CHECK(!result.prompt_cut);
    strcpy(prompt + 4094, "ü");
    CHECK_LIPC(lipc_classic_request(handle, NULL, prompt, soon(), &result), 0);
    CHECK(result.prompt_cut);
    CHECK_INT(strlen((char *)client.block + 4096), ==, 4094);
    CHECK_LIPC(lipc_classic_request(handle, prompt, QUESTION, soon(), &result), 0);
    CHECK(result.prompt_cut);

    test_step("another client takes sem_ready and does nothing");
    CHECK(guide_take(client.ready, soon()));
    CHECK_LIPC(lipc_classic_request(handle, NULL, QUESTION, 100, &result), LIPC_E_TIMEOUT);
    CHECK_TEXT(result.text, "");
    CHECK_LIPC(lipc_classic_request(handle, NULL, QUESTION, soon(), &result), 0);
    CHECK(result.complete);

    test_step("shutdown: the host is gone and its objects are");
    CHECK_LIPC(lipc_classic_shutdown(handle, soon()), 0);
    check_no_objects(instance, &client);
    host_expect_exit(&host, 0, SOON_MS);
    CHECK_INT(lipc_classic_host_pid(handle), ==, 0);
    CHECK_LIPC(lipc_classic_shutdown(handle, 100), LIPC_E_NO_HOST);

    test_step("a full answer");
    char model[] = "/tmp/lipctest.XXXXXX";
    close(mkstemp(model));
    test_model_write(model, 2000);
    host_start(&host, instance, "-m", model, "--ignore-eos", "-n", "-1", "--temp", "1", "--min-p", "0", NULL);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), 0);
    seen full = {0};
    CHECK_LIPC(lipc_classic_stream(handle, NULL, QUESTION, soon(), on_update, &full, &result), 0);
    CHECK_INT(result.n_bytes, <=, 32767);
    CHECK_INT(result.n_bytes, >=, 32764);
    CHECK(full.complete);

    test_step("few updates a second");
    CHECK_LIPC(lipc_classic_limit_updates(handle, -1), LIPC_E_INVALID);
    CHECK_LIPC(lipc_classic_limit_updates(NULL, 1), LIPC_E_INVALID);
    CHECK_LIPC(lipc_classic_limit_updates(handle, FEW), 0);
    for (int i = 0; i < 2; i++) {
        seen few = {0};
        double begin = test_now_ms();
        CHECK_LIPC(lipc_classic_stream(handle, NULL, QUESTION, soon(), on_update, &few, &result), 0);
        CHECK_INT(result.n_bytes, >=, 32764);
        CHECK_INT(few.n_bytes, ==, result.n_bytes);
        CHECK_INT(few.updates, >=, 2);
        CHECK_INT(few.updates, <=, 2 + FEW * (test_now_ms() - begin) / 1000);
    }
    CHECK_LIPC(lipc_classic_limit_updates(handle, 0), 0);

    CHECK_LIPC(lipc_classic_shutdown(handle, soon()), 0);
    host_expect_exit(&host, 0, SOON_MS);
    unlink(model);

    test_step("shutdown during an answer of somebody else");
    host_start(&host, instance, ENDLESS, NULL);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), 0);
    attach(&client, &host);
    stream_until(&client, QUESTION, 10);
    CHECK_LIPC(lipc_classic_shutdown(handle, soon()), 0);
    host_expect_exit(&host, 0, SOON_MS);
    guide_close(&client);
    lipc_classic_close(handle);
    return test_end();
}
