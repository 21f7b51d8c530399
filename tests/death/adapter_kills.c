/* adapter_kills.c - requests with scales of their own for a LoRA adapter, and a worker that is killed behind tokens of their answers:
 * its successor goes on under the same scales.
 *
 * adapter_kills RANDOM_MODEL - the program that makes the adapter, which has random weights. */
#include "worker_test.h"

#include "../support/random_model.h"

static lipc_stream *ask_under(lipc_client *client, const char *scales) {
    const lipc_parameter parameters[] = {{"lora", 0, scales}};
    lipc_request request = request_of("Explain C++ pointers in detail");
    request.parameters = parameters;
    request.n_parameters = scales != NULL;
    request.n_predict = 60;
    request.temperature = 0;
    request.ignore_eos = 1;
    return submit(client, &request);
}

static char *answer_under(lipc_client *client, const char *scales) {
    return text_of(ask_under(client, scales));
}

/* Beside an answer that has none. */
static void ask_and_kill(const test_host *host, const segment *segment, lipc_client *client, const char *scales, size_t n_bytes) {
    reading text = {0};
    char *expected = answer_under(client, scales), *expected_beside = answer_under(client, "[]");
    test_step("%s: killed behind %zu bytes of %zu", scales ? scales : "as started", n_bytes, strlen(expected));
    CHECK(strcmp(expected, expected_beside) != 0);
    lipc_stream *stream = ask_under(client, scales), *beside = ask_under(client, "[]");
    read_until(stream, &text, n_bytes);
    worker_killed(host, worker_awaited(host), SIGKILL);
    while (read_some(stream, soon(), &text))
        ;
    CHECK_LIPC(text.code, LIPC_E_OK);
    CHECK_TEXT(text.text, expected);
    free(text.text);
    lipc_stream_close(stream);
    char *text_beside = text_of(beside);
    CHECK_TEXT(text_beside, expected_beside);
    CHECK(WAITED(SOON_MS, worker_serves(segment, process_child(host->pid))));
    free(text_beside);
    free(expected_beside);
    free(expected);
}

static void check_refused(lipc_client *client) {
    test_step("an adapter that is not there");
    lipc_stream *stream = ask_under(client, "1:1");
    reading text = read_to_end(stream);
    CHECK_INT(text.code, ==, LIPC_E_REFUSED);
    CHECK_SAY(strstr(lipc_error_message(), "there is no adapter 1: the host has loaded 1"), "%s", lipc_error_message());
    free(text.text);
    lipc_stream_close(stream);
}

int main(int argc, char **argv) {
    static const char *const scales[] = {NULL, "0:2", "[{\"id\":0,\"scale\":-2}]"};
    char instance[64], model[4096], adapter[64];
    test_host host;
    test_begin("adapter_kills", 120);
    CHECK(argc == 2);
    expect_crashes();
    random_model = argv[1];
    test_instance(instance, "adapters");
    test_model_path(model, "tutor.gguf");
    snprintf(adapter, sizeof adapter, "/dev/shm/adapter-%d.gguf", (int)getpid());
    make_random(adapter, (const char *const[]){"--adapter-for", model, NULL});
    /* The same bytes before and after a crash, also where two tokens are about equally likely. */
    segment segment = host_ready(&host, instance, EMBEDDED("-m", model, "--lora", adapter, "--lora-scales", "0:3", "--repeatable"));
    lipc_client *client = client_of(instance);
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) ask_and_kill(&host, &segment, client, scales[i], 20 * i + 1);
    check_refused(client);
    lipc_client_close(client);
    end_host(&host, &segment);
    CHECK(unlink(adapter) == 0);
    return test_end();
}
