/* layers_elsewhere.c - all layers of the embedded model lie with two servers of llama.cpp's RPC, as they could on two other
 * computers: the answer is that of one host alone, also when the worker is killed in the middle of it, and when a server is.
 *
 * LIPC_TEST_RPC is the backend, libggml-rpc.so; scripts/test.sh builds it.
 */
#include "worker_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

typedef struct server {
    test_host process;
    char address[32];
} server;

static struct sockaddr_in port_at(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int free_port(void) {
    struct sockaddr_in address = port_at(0);
    socklen_t size = sizeof address;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(descriptor >= 0 && bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(getsockname(descriptor, (struct sockaddr *)&address, &size) == 0);
    close(descriptor);
    return ntohs(address.sin_port);
}

static bool answers(int port) {
    struct sockaddr_in address = port_at(port);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there = connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0;
    close(descriptor);
    return is_there;
}

/* At another port if somebody else was faster to take it. */
static void serve(server *server, const char *name) {
    for (bool is_there = false; !is_there;) {
        int port = free_port();
        snprintf(server->address, sizeof server->address, "127.0.0.1:%d", port);
        host_start(&server->process, name, "--rpc-server", server->address, "-t", "1", NULL);
        CHECK(WAITED(SOON_MS, (is_there = answers(port)) || host_ended(&server->process, 0)));
        is_there = is_there && !host_ended(&server->process, 0);
    }
}

static void check_says(lipc_stream *stream, const char *expected) {
    char *text = text_of(stream);
    CHECK_TEXT(text, expected);
    free(text);
}

static lipc_host_status status_of(lipc_client *client) {
    lipc_host_status status;
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    return status;
}

static char *text_of_one_alone(void) {
    test_host host;
    segment segment = host_ready(&host, "rpc_none", EMBEDDED(NULL));
    lipc_client *client = client_of("rpc_none");
    char *text = text_of(ask_shortly(client));
    lipc_client_close(client);
    end_host(&host, &segment);
    return text;
}

int main(void) {
    test_host host;
    server a, b;
    char both[80];
    const char *backend = getenv("LIPC_TEST_RPC");
    test_begin("layers_elsewhere", 120);
    if (!backend || access(backend, R_OK) < 0) test_skip("there is no RPC backend; scripts/fetch-libllama.sh rpc builds it");
    expect_crashes();
    setenv("GGML_BACKEND_PATH", backend, 1);
    char *expected = text_of_one_alone();

    test_step("all layers with two servers");
    serve(&a, "rpc_a");
    serve(&b, "rpc_b");
    snprintf(both, sizeof both, "%s,%s", a.address, b.address);
    segment segment = host_ready(&host, "rpc", EMBEDDED("--rpc", both, "-ngl", "all"));
    lipc_client *client = client_of("rpc");
    lipc_host_status status = status_of(client);
    CHECK_SAY(status.n_layers > 0 && status.n_device_layers == status.n_layers && strstr(status.devices, a.address) &&
                  strstr(status.devices, b.address), "%d of %d layers: %s", status.n_device_layers, status.n_layers, status.devices);
    check_says(ask_shortly(client), expected);

    test_step("the worker is killed in the middle of an answer");
    lipc_stream *stream = ask_shortly(client);
    CHECK(WAITED(SOON_MS, progress_of(stream).n_tokens >= 4));
    worker_killed(&host, worker_awaited(&host), SIGKILL);
    check_says(stream, expected);

    test_step("a server is killed in the middle of an answer: the layers come home");
    stream = ask_shortly(client);
    CHECK(WAITED(SOON_MS, progress_of(stream).n_tokens >= 4));
    host_kill(&b.process);
    check_says(stream, expected);
    check_says(ask_shortly(client), expected); /* if the first one was whole before */
    CHECK_INT(status_of(client).n_device_layers, ==, 0);
    lipc_client_close(client);
    end_host(&host, &segment);

    test_step("servers that are not there, and addresses that are none");
    host_start(&host, "rpc", "--rpc", b.address, NULL);
    host_expect_exit(&host, 2, SOON_MS);
    char *said = host_err(&host);
    CHECK_SAY(strstr(said, "no server answers at"), "%s", said);
    free(said);
    host_start(&host, "rpc", "--rpc", "somewhere", NULL);
    host_expect_exit(&host, 2, SOON_MS);
    said = host_err(&host);
    CHECK_SAY(strstr(said, "HOST:PORT"), "%s", said);
    free(said);
    host_kill(&a.process);
    free(expected);
    return test_end();
}
