/* device_faults.c - layers lie on a device whose driver fails (ggml-faulty.c): the answer goes on, byte for byte, with fewer layers
 * there or none, and the host says so.
 */
#include "worker_test.h"

static char orders[256]; /* the file that says what fails next */

static void order(const char *what) {
    FILE *file = fopen(orders, "w");
    CHECK(file != NULL && fputs(what, file) >= 0 && fclose(file) == 0);
}

/* Nothing has failed yet. */
static bool is_untouched(const char *what) {
    char said[64] = "";
    FILE *file = fopen(orders, "r");
    CHECK(file != NULL);
    bool is_read = fgets(said, sizeof said, file) != NULL;
    fclose(file);
    return is_read && strcmp(said, what) == 0;
}

static lipc_host_status status_now(lipc_client *client) {
    lipc_host_status status;
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    return status;
}

static void check_says(const test_host *host, const char *sentence) {
    char *said = host_err(host);
    CHECK_SAY(strstr(said, sentence) != NULL, "no \"%s\" in: %s", sentence, said);
    free(said);
}

static void check_layers(lipc_client *client, int n_device_layers, const char *words) {
    lipc_host_status status = {0};
    CHECK_SAY(WAITED(SOON_MS, (status = status_now(client)).state == LIPC_HOST_READY), "the host is not ready");
    CHECK_SAY(status.n_device_layers == n_device_layers && strstr(status.devices, words) != NULL,
              "%d of %d layers on devices, not %d; \"%s\" does not say \"%s\"", status.n_device_layers, status.n_layers, n_device_layers,
              status.devices, words);
}

static char *answer_of(lipc_client *client) {
    lipc_request request = request_of("Explain pointers in C++");
    lipc_stream *stream = submit(client, &request);
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == 0, "%s (%s)", lipc_error_name(text.code), lipc_error_message());
    lipc_stream_close(stream);
    return text.text;
}

/* What an answer without faults is. */
static char *expected;

/* Something fails behind a few of its tokens; another time if this program stood still until the answer was whole. */
static void check_survives(lipc_client *client, const char *what) {
    lipc_request request = request_of("Explain pointers in C++");
    do {
        order("");
        lipc_stream *stream = submit(client, &request);
        CHECK(WAITED(SOON_MS, progress_of(stream).n_tokens >= 5));
        order(what);
        reading text = read_to_end(stream);
        CHECK_SAY(text.code == 0, "%s (%s)", lipc_error_name(text.code), lipc_error_message());
        CHECK_TEXT(text.text, expected);
        free(text.text);
        lipc_stream_close(stream);
    } while (is_untouched(what));
}

static void load_again(lipc_client *client) {
    char path[4096];
    lipc_stream *stream;
    CHECK_LIPC(lipc_client_load(client, test_model_path(path, "tutor.gguf"), &stream), LIPC_E_OK);
    reading nothing = read_to_end(stream);
    CHECK_SAY(nothing.code == 0, "%s (%s)", lipc_error_name(nothing.code), lipc_error_message());
    free(nothing.text);
    lipc_stream_close(stream);
}

static segment start(test_host *host, const char *instance) {
    return host_ready(host, instance, (const char *const[]){"-ngl", "all", "--temp", "0", NULL});
}

static void while_answering(void) {
    char instance[64];
    test_host host;
    test_step("all layers on the device");
    test_instance(instance, "device");
    segment segment = start(&host, instance);
    lipc_client *client = client_of(instance);
    int n_layers = status_now(client).n_layers;
    CHECK_INT(n_layers, >, 2);
    check_layers(client, n_layers, "Faulty0 (the processor in disguise)");
    expected = answer_of(client);

    test_step("its driver gives up: half of them");
    check_survives(client, "compute abort 1");
    check_layers(client, n_layers / 2, "fewer layers");
    check_says(&host, "a device failed: the next worker puts half of the layers on devices");

    test_step("an evaluation fails there: none");
    check_survives(client, "compute fail 1");
    check_layers(client, 0, "no layers, because workers died");
    check_says(&host, "the next worker puts no layers on devices");

    test_step("another model is loaded: all again");
    load_again(client);
    check_layers(client, n_layers, "Faulty0");

    test_step("two workers crash without a word: none, and the answer is not blamed");
    check_survives(client, "compute crash 2");
    check_layers(client, 0, "no layers, because workers died");
    check_says(&host, "workers with layers on a device died in a row");
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void while_loading(void) {
    char instance[64];
    test_host host;
    test_step("a driver that crashes while it starts is left alone");
    test_instance(instance, "start");
    order("start crash 2");
    segment segment = start(&host, instance);
    lipc_client *client = client_of(instance);
    check_layers(client, 0, "no layers, because workers died");
    char *text = answer_of(client);
    CHECK_TEXT(text, expected);
    free(text);
    lipc_client_close(client);
    end_host(&host, &segment);

    test_step("no room for the weights: the processor has them");
    order("load full 1");
    segment = start(&host, instance);
    client = client_of(instance);
    check_layers(client, 0, "");
    check_says(&host, "it is tried without");
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* The draft model alone has layers on the device. */
static void draft_fails(const char *fault) {
    char instance[64], path[4096];
    test_host host;
    test_step("the draft model's device: %s", fault);
    test_instance(instance, "draft");
    order("");
    const char *const arguments[] = {"-ngl", "0", "-md", test_model_path(path, "tutor.gguf"), "-ngld", "all", "--temp", "0", NULL};
    segment segment = host_ready(&host, instance, arguments);
    lipc_client *client = client_of(instance);
    order(fault);
    char *text = answer_of(client);
    CHECK_TEXT(text, expected);
    CHECK(!is_untouched(fault));
    check_says(&host, "no more drafts");
    free(text);
    text = answer_of(client); /* without drafts */
    CHECK_TEXT(text, expected);
    free(text);
    CHECK_INT(NOW(hub_in(&segment)->n_recoveries), ==, 0);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(void) {
    test_begin("device_faults", 120);
    expect_crashes();
    test_file(orders, "", 0);
    CHECK_INT(chmod(orders, 0600), ==, 0);
    CHECK_INT(setenv("GGML_BACKEND_PATH", LIPC_FAULTY_BACKEND, 1), ==, 0);
    CHECK_INT(setenv("LIPC_FAULT_ORDERS", orders, 1), ==, 0);
    while_answering();
    while_loading();
    draft_fails("compute fail 1");
    free(expected);
    return test_end();
}
