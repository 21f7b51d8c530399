/* draft_kills.c - a worker with a draft model is killed behind tokens of an answer; its successor goes on with the same text, and
 * with drafts. */
#include "worker_test.h"

static void ask_and_kill(const test_host *host, const segment *segment, lipc_client *client, const char *expected, size_t n_bytes) {
    lipc_request request = request_of("Explain C++ pointers in detail");
    reading text = {0};
    lipc_stream *stream = submit(client, &request);
    read_until(stream, &text, n_bytes);
    pid_t worker = worker_awaited(host);
    worker_killed(host, worker, SIGKILL);
    while (read_some(stream, soon(), &text))
        ;
    CHECK_LIPC(text.code, LIPC_E_OK);
    CHECK_TEXT(text.text, expected);
    CHECK(WAITED(SOON_MS, worker_serves(segment, process_child(host->pid))));
    free(text.text);
    lipc_stream_close(stream);
}

int main(void) {
    char instance[64], model[4096];
    test_host host;
    test_begin("draft_kills", 120);
    expect_crashes();
    test_instance(instance, "drafts");
    test_model_path(model, "tutor.gguf");
    segment segment = host_ready(&host, instance, EMBEDDED("-m", model, "-md", model));
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "Explain C++ pointers in detail");
    reading expected = read_to_end(stream);
    lipc_stream_close(stream);
    CHECK_INT(expected.n_bytes, >, 100);
    for (size_t n_bytes = 1; n_bytes < expected.n_bytes; n_bytes += expected.n_bytes / 5) {
        test_step("killed behind %zu of %zu bytes", n_bytes, expected.n_bytes);
        ask_and_kill(&host, &segment, client, expected.text, n_bytes);
    }
    free(expected.text);
    lipc_client_close(client);
    end_host(&host, &segment);
    return test_end();
}
