/* arguments.c - what liblipc says to arguments that cannot be, at every function of the modern channel, and to one
 * client more than there is room for. */
#include "modern_test.h"

#define INVALID(call, word)                                                                                            \
    do {                                                                                                               \
        CHECK_LIPC(call, LIPC_E_INVALID);                                                                              \
        CHECK_SAY(strstr(lipc_error_message(), word), "'%s' does not say '%s'", lipc_error_message(), word);           \
    } while (0)

static const char *instance;

static void check_options(void) {
    lipc_client *client = (lipc_client *)(uintptr_t)1;
    lipc_client_options options;
    test_step("options");
    INVALID(lipc_client_open(NULL, NULL), "place for the client");
    lipc_client_options_init(NULL);
    options = (lipc_client_options){0};
    INVALID(lipc_client_open(&options, &client), "struct_size is 0");
    CHECK(client == NULL);
    lipc_client_options_init(&options);
    options.name = "a/b";
    INVALID(lipc_client_open(&options, &client), "'a/b'");
    options.name = instance;
    options.start = 3;
    INVALID(lipc_client_open(&options, &client), "start is 3");
    options.start = -1;
    INVALID(lipc_client_open(&options, &client), "start is -1");
    options.start = LIPC_START_NEVER;
    options.wakes_per_second = -1;
    INVALID(lipc_client_open(&options, &client), "wakes_per_second is -1");
}

static void check_streams(lipc_client *client) {
    lipc_stream *stream, *other_stream;
    lipc_host_status status;
    lipc_progress progress;
    lipc_delta delta;
    lipc_token token;
    char id[LIPC_STREAM_ID_SIZE];
    size_t n;
    test_step("clients and requests");
    INVALID(lipc_client_status(NULL, &status), "NULL");
    INVALID(lipc_client_status(client, (lipc_host_status *)NULL), "NULL");
    INVALID(lipc_client_wait_ready(NULL, 0, NULL, NULL), "NULL");
    INVALID(lipc_client_shutdown(NULL, 0), "NULL");
    lipc_client_interrupt(NULL);
    lipc_client_close(NULL);
    lipc_request request = request_of("hello");
    INVALID(lipc_stream_open(client, &request, NULL), "place for the stream");
    INVALID(lipc_stream_open(NULL, &request, &stream), "NULL");
    INVALID(lipc_stream_open(client, NULL, &stream), "NULL");
    INVALID(lipc_stream_ask(client, NULL, &stream), "no text");
    request.struct_size = 0;
    INVALID(lipc_stream_open(client, &request, &stream), "struct_size is 0");
    CHECK(stream == NULL);

    test_step("streams");
    stream = ask_endless(client);
    INVALID(lipc_stream_read(NULL, 0, &delta), "NULL");
    INVALID(lipc_stream_read(stream, 0, NULL), "NULL");
    INVALID(lipc_stream_run(NULL, 0, NULL, NULL), "NULL");
    INVALID(lipc_stream_run(stream, 0, NULL, NULL), "NULL");
    INVALID(lipc_stream_wait_any(NULL, 1, 0, &n), "no streams");
    INVALID(lipc_stream_wait_any(&stream, 0, 0, &n), "no streams");
    INVALID(lipc_stream_wait_any(&stream, 1, 0, NULL), "no streams");
    INVALID(lipc_stream_wait_any((lipc_stream *[]){stream, NULL}, 2, 0, &n), "stream 1 is NULL");
    INVALID(lipc_stream_progress(NULL, &progress), "NULL");
    INVALID(lipc_stream_progress(stream, (lipc_progress *)NULL), "NULL");
    INVALID(lipc_stream_tokens(NULL, 0, &token, 1, &n), "NULL");
    INVALID(lipc_stream_tokens(stream, 0, (lipc_token *)NULL, 1, &n), "NULL");
    INVALID(lipc_stream_tokens(stream, 0, &token, 1, NULL), "NULL");
    INVALID(lipc_stream_id(NULL, id), "NULL");
    INVALID(lipc_stream_id(stream, NULL), "NULL");
    lipc_client *other = client_of(instance);
    other_stream = ask_endless(other);
    INVALID(lipc_stream_wait_any((lipc_stream *[]){stream, other_stream}, 2, 0, &n), "stream 1 is of another client");
    lipc_stream_close(other_stream);
    lipc_client_close(other);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    INVALID(lipc_stream_attach(client, id, 0, 1, NULL), "place for the stream");
    INVALID(lipc_stream_attach(NULL, id, 0, 1, &other_stream), "NULL");
    INVALID(lipc_stream_attach(client, NULL, 0, 1, &other_stream), "NULL");
    INVALID(lipc_stream_attach(client, "beef", 0, 1, &other_stream), "'beef'");
    lipc_stream_cancel(NULL);
    lipc_stream_detach(NULL);
    lipc_stream_close(NULL);
    lipc_stream_close(stream);
}

/* Of a program that was compiled with a header in which the structures were smaller, or are larger. */
static void check_sizes(void) {
    struct {
        lipc_request request;
        char behind[16];
    } at;
    const size_t old = offsetof(lipc_request, save_path);
    test_step("structures of other versions");
    memset(&at, 0x55, sizeof at);
    lipc_request_init_sized(&at.request, old);
    CHECK_INT(at.request.struct_size, ==, old);
    CHECK_INT(at.request.seed, ==, LIPC_SEED_DEFAULT);
    for (size_t i = old; i < sizeof at; i++) CHECK_INT(((const char *)&at)[i], ==, 0x55);
    lipc_request_init_sized(&at.request, sizeof at);
    CHECK_INT(at.request.struct_size, ==, sizeof at);
    for (size_t i = 0; i < sizeof at.behind; i++) CHECK_INT(at.behind[i], ==, 0);
}

static void check_words(void) {
    test_step("words");
#define IS(number, name, text) CHECK_TEXT(lipc_end_text(number), text);
    LIPC_END_MAP(IS)
#undef IS
    CHECK_TEXT(lipc_end_text(-1), "unknown");
    CHECK_TEXT(lipc_end_text(10), "unknown");
    CHECK_SAY(strchr(lipc_version(), '.'), "the version is '%s'", lipc_version());
    CHECK(strlen(lipc_error_name(-9999)) > 0 && strlen(lipc_error_text(-9999)) > 0);
}

static void check_full(const segment *segment) {
    static lipc_client *clients[LIPC_CLIENTS_MAX];
    lipc_client_options options;
    lipc_client *one_more;
    test_step("%d clients, and one more", LIPC_CLIENTS_MAX);
    for (int i = 0; i < LIPC_CLIENTS_MAX; i++) clients[i] = client_of(instance);
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = 200;
    CHECK_LIPC(lipc_client_open(&options, &one_more), LIPC_E_FULL);
    CHECK_SAY(strstr(lipc_error_message(), "256"), "'%s'", lipc_error_message());
    lipc_client_close(clients[100]);
    CHECK(WAITED(SOON_MS, clients_in_use(segment) == LIPC_CLIENTS_MAX - 1));
    clients[100] = client_of(instance);
    for (int i = 0; i < LIPC_CLIENTS_MAX; i++) lipc_client_close(clients[i]);
}

/* Who names no instance means LIPC_NAME, in both channels. */
static void check_default_name(void) {
    lipc_client *client;
    lipc_classic *handle;
    test_step("LIPC_NAME");
    setenv("LIPC_NAME", instance, 1);
    CHECK_LIPC(lipc_client_open(NULL, &client), LIPC_E_OK);
    lipc_client_close(client);
    CHECK_LIPC(lipc_classic_open(NULL, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    lipc_classic_close(handle);
    setenv("LIPC_NAME", "a/b", 1);
    INVALID(lipc_client_open(NULL, &client), "'a/b'");
    unsetenv("LIPC_NAME");
}

int main(void) {
    char name[64];
    test_host host;
    test_begin("arguments", 120);
    test_instance(name, "arguments");
    instance = name;
    script script = script_new(5000);
    check_options();
    check_words();
    check_sizes();
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "100"));
    lipc_client *client = client_of(instance);
    check_streams(client);
    lipc_client_close(client);
    check_default_name();
    check_full(&segment);
    end_host(&host, &segment);
    free(script.text);
    return test_end();
}
