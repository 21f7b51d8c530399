/* llama_server.c - a host that asks a real llama-server of the pinned source, with the embedded model: the texts, thoughts and calls
 * are those of a direct request with the same seed, and its counts, too. Skipped where `make performance` has not built one. */
#include "remote_test.h"

#include "text/json.h"

enum { REPLY_SIZE = 1 << 16 };

typedef struct peer {
    char address[64];
    int port;
    pid_t pid;
} peer;

/* ---- asking it directly -------------------------------------------------------------------------------------------------- */

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

/* The whole reply to a request; an empty one if nobody listens. */
static void exchange_with(const peer *peer, const char *head, const char *body, char reply[REPLY_SIZE]) {
    char line[512];
    size_t n = 0;
    ssize_t got;
    int fd = connect_to(peer->port);
    reply[0] = 0;
    if (fd < 0) return;
    exchange to = {.fd = fd};
    snprintf(line, sizeof line, "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             head, strlen(body));
    CHECK(say_raw(&to, line) && say_raw(&to, body));
    while (n + 1 < REPLY_SIZE && (got = recv(fd, reply + n, REPLY_SIZE - 1 - n, 0)) > 0) n += (size_t)got;
    reply[n] = 0;
    close(fd);
}

static bool is_healthy(const peer *peer) {
    static char reply[REPLY_SIZE];
    exchange_with(peer, "GET /health", "", reply);
    return strstr(reply, " 200 ") != NULL;
}

static void put(char *text, size_t size, json_slice value, const char *before, const char *after) {
    char *plain = malloc(value.n_bytes + 1);
    CHECK(plain != NULL);
    if (json_kind(value) == '"' && json_text(value, plain) > 0) {
        size_t n = strlen(text);
        snprintf(text + n, size - n, "%s%s%s", before, plain, after);
    }
    free(plain);
}

/* The answer to a body, in one text, and the prompt's tokens as the server counts them. */
static void answer_of(const peer *peer, const char *body, char *text, size_t size, int *n_prompt) {
    static char reply[REPLY_SIZE];
    json_slice whole;
    exchange_with(peer, "POST /v1/chat/completions", body, reply);
    const char *content = strstr(reply, "\r\n\r\n");
    CHECK_SAY(content && strstr(reply, " 200 ") && json_check(content + 4, strlen(content + 4), &whole, NULL), "%s", reply);
    json_slice message = json_member(json_next(json_member(whole, "choices"), (json_slice){NULL, 0}), "message");
    json_slice function = json_member(json_next(json_member(message, "tool_calls"), (json_slice){NULL, 0}), "function");
    text[0] = 0;
    put(text, size, json_member(message, "reasoning_content"), "[", "]");
    put(text, size, json_member(message, "content"), "", "");
    put(text, size, json_member(function, "name"), "{", " ");
    put(text, size, json_member(function, "arguments"), "", "}");
    *n_prompt = atoi(json_member(json_member(whole, "usage"), "prompt_tokens").at);
}

/* ---- asking it through the host ------------------------------------------------------------------------------------------ */

static void read_answer(lipc_stream *stream, char *text, size_t size, int n_prompt) {
    parts_read *read = read_parts(stream);
    CHECK_SAY(read->code == LIPC_E_OK, "%s", lipc_error_message());
    text[0] = 0;
    for (int i = 0; i < read->n_parts; i++) {
        const part_read *part = &read->parts[i];
        size_t n = strlen(text);
        if (part->kind == LIPC_PART_TEXT) snprintf(text + n, size - n, "%s", part->text);
        else if (part->kind == LIPC_PART_THOUGHT) snprintf(text + n, size - n, "[%s]", part->text);
        else snprintf(text + n, size - n, "{%s %s}", part->name, part->text);
    }
    CHECK_INT(progress_of(stream).n_prompt, ==, n_prompt);
    CHECK_INT(progress_of(stream).end, ==, LIPC_END_TURN);
    lipc_stream_close(stream);
    free(read);
}

#define TOOLS                                                                                                          \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"calculate\",\"description\":\"Works out an arithmetic "   \
    "expression.\",\"parameters\":{\"type\":\"object\",\"properties\":{\"expression\":{\"type\":\"string\"}},\"required\":"  \
    "[\"expression\"]}}}],"

static void check_same(const peer *peer, lipc_client *client, const char *question, int seed, const char *tools, bool thinks) {
    char body[2048], document[2048], expected[8192], actual[8192];
    int n_prompt;
    snprintf(document, sizeof document, "{%s\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"chat_template_kwargs\":"
             "{\"enable_thinking\":%s}}", tools, question, thinks ? "true" : "false");
    snprintf(body, sizeof body, "%.*s,\"seed\":%d,\"temperature\":1.5,\"top_p\":0.95}", (int)strlen(document) - 1, document, seed);
    answer_of(peer, body, expected, sizeof expected, &n_prompt);
    lipc_request request = request_of("");
    request.n_messages = 0;
    request.document = document;
    request.seed = seed;
    request.temperature = 1.5f;
    request.top_p = 0.95f;
    read_answer(submit(client, &request), actual, sizeof actual, n_prompt);
    CHECK_TEXT(actual, expected);
    CHECK(expected[0] != 0);
}

static void check_answers(const peer *peer, lipc_client *client) {
    static const char *const questions[] = {"What is shared memory?", "What is a semaphore?", "Who are you?"};
    test_step("the texts of direct requests with the same seed");
    for (int seed = 1; seed <= 8; seed++)
        for (int i = 0; i < 3; i++) check_same(peer, client, questions[i], seed, "", false);
    test_step("thoughts and calls");
    for (int seed = 1; seed <= 4; seed++) {
        check_same(peer, client, "What is 6 times 7?", seed, TOOLS, true);
        check_same(peer, client, "What is 6 times 7?", seed, TOOLS, false);
    }
    test_step("a request that it refuses");
    lipc_request request = request_of("");
    request.n_messages = 0;
    request.document = "{\"messages\":[{\"role\":\"user\",\"content\":7}]}";
    check_fails(submit(client, &request), LIPC_E_REFUSED, "", "status 400");
}

/* ---- the server ------------------------------------------------------------------------------------------------------------ */

static void peer_start(peer *peer, const char *program) {
    char port[16], model[4096];
    close(listen_somewhere(&peer->port));
    snprintf(port, sizeof port, "%d", peer->port);
    snprintf(peer->address, sizeof peer->address, "http://127.0.0.1:%d", peer->port);
    test_model_path(model, "tutor.gguf");
    fflush(NULL);
    peer->pid = fork();
    if (peer->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int sink = open("/dev/null", O_WRONLY);
        dup2(sink, STDOUT_FILENO);
        dup2(sink, STDERR_FILENO);
        /* Each prompt from its beginning, so that nothing depends on what came before. */
        execl(program, program, "-m", model, "--host", "127.0.0.1", "--port", port, "-t", "1", "-np", "1", "--no-cache-prompt",
              "--no-webui", "--no-warmup", (char *)NULL);
        _exit(127);
    }
    CHECK(peer->pid > 0);
}

int main(void) {
    test_host host;
    peer peer = {0};
    int status;
    const char *program = getenv("LIPC_TEST_LLAMA_SERVER");
    test_begin("remote_llama_server", 120);
    if (!program || access(program, X_OK) != 0) test_skip("there is no llama-server at '%s'", program ? program : "");
    setenv("no_proxy", "127.0.0.1", 1);
    peer_start(&peer, program);
    CHECK_SAY(WAITED(SOON_MS, is_healthy(&peer)), "llama-server does not answer");
    segment segment = host_ready(&host, "llama_server", (const char *const[]){"--remote", peer.address, NULL});
    lipc_client *client = client_of("llama_server");
    check_answers(&peer, client);

    test_step("a server that is killed in mid-answer, and is gone");
    lipc_request request = request_of("What is shared memory?");
    request.ignore_eos = 1;
    lipc_stream *stream = submit(client, &request);
    reading reading = {0};
    read_until(stream, &reading, 10);
    CHECK_INT(kill(peer.pid, SIGKILL), ==, 0);
    while (read_some(stream, soon(), &reading)) {}
    CHECK_SAY(reading.code == LIPC_E_FAILED && strstr(lipc_error_message(), "breaks off"), "%s: %s", lipc_error_name(reading.code), lipc_error_message());
    free(reading.text);
    lipc_stream_close(stream);
    CHECK_INT(waitpid(peer.pid, &status, 0), ==, peer.pid);
    check_fails(ask(client, "Hello"), LIPC_E_FAILED, "", "does not answer");

    lipc_client_close(client);
    end_host(&host, &segment);
    return test_end();
}
