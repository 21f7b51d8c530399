/* shutdown_anytime.c - both forms of shutdown, with sem_ready taken first and without, at every moment: idle, during an
 * answer, while a prompt is read, while the model loads. The host goes without finishing what it is at, code 0, objects
 * removed. How long it takes is the benchmark's (stop.gone). */
#include "guide_test.h"

static void expect_gone(test_host *host, guide_client *client, double asked_ms) {
    host_expect_exit(host, 0, SOON_MS);
    printf("  gone after %.1f ms\n", test_now_ms() - asked_ms);
    check_no_objects(host->instance, client);
}

int main(void) {
    test_begin("shutdown_anytime", 120);
    static char long_prompt[4096];
    char instance[64];
    test_host host;
    guide_client client, second;
    test_instance(instance, "bye");
    for (size_t i = 0; i < 4095; i++)
        long_prompt[i] = "qz xj wv "[i % 9];

    test_step("idle, sem_ready taken");
    host_start(&host, instance, NULL);
    attach(&client, &host);
    CHECK(guide_shutdown_politely(&client, soon()));
    expect_gone(&host, &client, test_now_ms());

    test_step("idle, at once");
    host_start(&host, instance, NULL);
    attach(&client, &host);
    CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
    guide_shutdown_at_once(&client);
    expect_gone(&host, &client, test_now_ms());

    for (int stream = 0; stream < 2; stream++) {
        test_step("during an answer, at once, %s", stream ? "streaming" : "normal");
        host_start(&host, instance, ENDLESS, NULL);
        attach(&client, &host);
        if (stream) {
            stream_until(&client, QUESTION, 20);
        } else {
            CHECK(guide_send(&client, NULL, QUESTION, false, soon()));
            CHECK(WAITED(SOON_MS, guide_value(client.prompts_written) == 0));
            test_pause_ms(30);
        }
        guide_shutdown_at_once(&client);
        expect_gone(&host, &client, test_now_ms());
    }

    test_step("during an answer, by a client that waits for sem_ready");
    host_start(&host, instance, "--ignore-eos", "-n", "300", NULL);
    attach(&client, &host);
    attach(&second, &host);
    CHECK(guide_send(&client, NULL, QUESTION, true, soon()));
    CHECK(guide_shutdown_politely(&second, soon()));
    guide_close(&second);
    expect_gone(&host, &client, test_now_ms());

    static const double delays_ms[] = {0, 0.3, 1, 3, 8};
    for (size_t i = 0; i < sizeof delays_ms / sizeof delays_ms[0]; i++) {
        test_step("while a prompt is read, %.1f ms after it was sent", delays_ms[i]);
        host_start(&host, instance, "--ignore-eos", "-n", "-1", NULL);
        attach(&client, &host);
        CHECK(guide_send(&client, long_prompt, long_prompt, i % 2, soon()));
        test_pause_ms(delays_ms[i]);
        guide_shutdown_at_once(&client);
        expect_gone(&host, &client, test_now_ms());
    }

    for (int i = 0; i < 10; i++) {
        test_step("while the model loads, %d ms after the objects appeared", i);
        host_start(&host, instance, NULL);
        while (!guide_open(&client, instance))
            CHECK_SAY(test_now_ms() < host.started_ms + soon(), "no objects");
        test_pause_ms(i);
        guide_shutdown_at_once(&client);
        expect_gone(&host, &client, test_now_ms());
    }

    test_step("asked many times over");
    host_start(&host, instance, NULL);
    attach(&client, &host);
    for (int i = 0; i < 50; i++)
        guide_shutdown_at_once(&client);
    expect_gone(&host, &client, test_now_ms());
    return test_end();
}
