/* full_response.c - text that outgrows 32,767 bytes ends the generation at the last whole character that fits. The
 * model is a made-up one whose words mix characters of one to four bytes, so the end falls on every byte of a
 * character. */
#include "guide_test.h"

#include "../support/test_model.h"

int main(void) {
    test_begin("full_response", 240);
    char instance[64], model[] = "/tmp/lipctest.XXXXXX";
    test_host host;
    guide_client client;
    guide_update update;
    int lengths[4] = {0};
    test_instance(instance, "full");
    close(mkstemp(model));
    test_model_write(model, 2000);
    for (int seed = 1; seed <= 16; seed++) {
        char number[16];
        snprintf(number, sizeof number, "%d", seed);
        host_start(&host, instance, "-m", model, "--ignore-eos", "-n", "-1", "-c", "4096", "--temp", "1", "--min-p",
                   "0", "--seed", number, "-t", "1", NULL);
        attach(&client, &host);
        if (seed % 2) {
            CHECK(guide_request(&client, NULL, QUESTION, soon(), &update));
        } else {
            CHECK(guide_stream(&client, NULL, QUESTION, soon(), &update));
        }
        CHECK(update.complete);
        CHECK_INT(update.n_bytes, <=, 32767);
        /* The longest character takes four bytes, so one that did not fit leaves at most three free. */
        CHECK_SAY(update.n_bytes >= 32764, "seed %d ends after %zu bytes and %d tokens", seed, update.n_bytes,
                  update.tokens_generated);
        CHECK_INT(update.tokens_generated, <, 2000);
        CHECK(test_is_utf8(update.text, update.n_bytes));
        lengths[32767 - update.n_bytes]++;
        /* The last byte of the field is the terminator's, and behind it the flags are untouched. */
        for (size_t i = 8192 + update.n_bytes; i < 8192 + 32768; i++)
            CHECK_INT(client.block[i], ==, 0);
        CHECK_INT(client.block[40960], ==, 0);
        check_idle_permits(&client);
        /* The next answer begins anew. */
        CHECK(guide_request(&client, NULL, "", soon(), &update));
        CHECK_TEXT(update.text, "");
        guide_close(&client);
        host_stop(&host);
    }
    printf("  ends at 32767: %d, 32766: %d, 32765: %d, 32764: %d\n", lengths[0], lengths[1], lengths[2], lengths[3]);
    CHECK_INT(lengths[0], <, 16); /* otherwise no character was ever cut, and nothing was tested */
    unlink(model);
    return test_end();
}
