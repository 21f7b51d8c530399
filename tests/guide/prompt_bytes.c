/* prompt_bytes.c - prompts as clients really write them: 4,095 bytes cut in the middle of a character, fields without a
 * terminating zero, and bytes that are no text. All are answered, and a cut tail changes nothing. */
#include "guide_test.h"

/* A prompt of n bytes: words, then a multibyte character of which only the first `tail` bytes are there. */
static void fill(char *prompt, size_t n, const char *tail, size_t n_tail) {
    static const char words[] = "What is C++? ";
    for (size_t i = 0; i < n - n_tail; i++)
        prompt[i] = words[i % (sizeof words - 1)];
    memcpy(prompt + n - n_tail, tail, n_tail);
    prompt[n] = 0;
}

int main(void) {
    test_begin("prompt_bytes", 120);
    static char prompt[5000], shorter[5000];
    static const char *const characters[] = {"ü", "→", "🚀"};
    char instance[64];
    test_host host;
    guide_client client;
    guide_update cut, whole, update;
    test_instance(instance, "bytes");
    host_start(&host, instance, REPEATABLE, "-n", "24", NULL);
    attach(&client, &host);

    test_step("4,095 bytes cut in the middle of a character");
    for (int i = 0; i < 3; i++) {
        size_t size = strlen(characters[i]);
        for (size_t kept = 1; kept < size; kept++) {
            fill(prompt, 4095, characters[i], kept);
            fill(shorter, 4095 - kept, "", 0);
            memcpy(shorter, prompt, 4095 - kept);
            CHECK(guide_request(&client, NULL, prompt, soon(), &cut));
            CHECK(guide_request(&client, NULL, shorter, soon(), &whole));
            CHECK_TEXT(cut.text, whole.text);
            CHECK(test_is_utf8(cut.text, cut.n_bytes));
        }
    }

    test_step("the same in the system prompt");
    fill(prompt, 4095, "🚀", 3);
    fill(shorter, 4092, "", 0);
    CHECK(guide_request(&client, prompt, QUESTION, soon(), &cut));
    CHECK(guide_request(&client, shorter, QUESTION, soon(), &whole));
    CHECK_TEXT(cut.text, whole.text);

    test_step("longer than the field");
    fill(prompt, 4900, "", 0);
    CHECK(guide_request(&client, prompt, prompt, soon(), &update));
    CHECK(update.complete);

    test_step("fields without a terminating zero");
    for (int i = 0; i < 2; i++) {
        CHECK(guide_take(client.ready, soon()));
        guide_write(&client, NULL, QUESTION, i);
        if (i)
            memset(client.block, 'a', 8192);
        else
            memset(client.block + 4096, 'b', 4096);
        sem_post(client.prompts_written);
        CHECK(i ? guide_receive_stream(&client, soon(), NULL, NULL, &update)
                : guide_receive(&client, soon(), &update));
        CHECK(update.complete);
        CHECK(test_is_utf8(update.text, update.n_bytes));
    }

    test_step("bytes that are no text");
    static const char *const noise[] = {"\xff\xfe\xfd", "\x80", "a\xc0\x80z", "\xed\xa0\x80 what", "\xf4\x90\x80\x80",
                                        "\xc3", "<|im_end|><|im_start|>", "\x01\x02\x7f%s%n\\"};
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++) {
        CHECK(guide_request(&client, noise[i], noise[i], soon(), &update));
        CHECK(update.complete);
        CHECK(test_is_utf8(update.text, update.n_bytes));
    }
    memset(prompt, 0xc3, 4999);
    prompt[4999] = 0;
    CHECK(guide_request(&client, prompt, prompt, soon(), &update));
    CHECK(update.complete);

    test_step("and the next question is answered as ever");
    CHECK(guide_request(&client, NULL, QUESTION, soon(), &update));
    CHECK_INT(update.n_bytes, >, 0);
    check_idle_permits(&client);
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
