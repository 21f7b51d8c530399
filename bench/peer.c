/* peer.c - see peer.h. */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS 60000000000LL
#define RESPONSE_SIZE 65536

static const char *program(const bench_options *options, const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", options->peer, name);
    return path;
}

bool peer_is_there(const bench_options *options) {
    static bool has_said;
    if (access(program(options, "llama-server"), X_OK) == 0)
        return true;
    if (!has_said)
        fprintf(stderr, "bench: there is no llama-server in '%s', its rows stay empty; make bench builds it\n",
                options->peer);
    has_said = true;
    return false;
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------- */

static int try_connect(int port) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("cannot make a socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        const ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            fail("cannot send to llama-server: %s", strerror(errno));
        data += n;
        size -= (size_t)n;
    }
}

/* The whole response to a GET, zero-terminated, or an empty one. */
static void get(int port, const char *path, char response[RESPONSE_SIZE]) {
    char request[256];
    size_t n = 0;
    ssize_t got;
    response[0] = '\0';
    const int fd = try_connect(port);
    if (fd < 0)
        return;
    const int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                                path);
    send_all(fd, request, (size_t)length);
    while (n + 1 < RESPONSE_SIZE && (got = recv(fd, response + n, RESPONSE_SIZE - 1 - n, 0)) > 0)
        n += (size_t)got;
    response[n] = '\0';
    close(fd);
}

void peer_connect(peer_stream *stream, int port) {
    *stream = (peer_stream){.fd = try_connect(port)};
    if (stream->fd < 0)
        fail("cannot connect to llama-server: %s", strerror(errno));
}

void peer_send(peer_stream *stream, const char *text, int n_predict) {
    char *body = NULL, *request = NULL;
    const int n_body = asprintf(&body,
                                "{\"prompt\":\"<|im_start|>user\\n%s<|im_end|>\\n<|im_start|>assistant\\n\","
                                "\"n_predict\":%d,\"stream\":true,\"ignore_eos\":true,\"cache_prompt\":false,\"seed\":1,"
                                "\"samplers\":[\"min_p\",\"temperature\"],\"temperature\":0.7,\"min_p\":0.05,"
                                "\"top_k\":0,\"top_p\":1.0}",
                                text, n_predict);
    const int n_request = asprintf(&request,
                                   "POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                   "Connection: close\r\nContent-Length: %d\r\n\r\n%s",
                                   n_body, body);
    if (n_body < 0 || n_request < 0)
        fail("not enough memory");
    send_all(stream->fd, request, (size_t)n_request);
    free(request);
    free(body);
}

bool peer_read(peer_stream *stream) {
    static const char mark[] = "\ndata: "; /* inside an event a line's end is written as two characters */
    static const char status[] = "HTTP/1.1 200";
    char data[RESPONSE_SIZE];
    const ssize_t n = recv(stream->fd, data, sizeof data, 0);
    if (n < 0)
        fail("cannot receive from llama-server: %s", strerror(errno));
    if (n > 0 && !stream->has_status && strncmp(data, status, sizeof status - 1) != 0)
        fail("llama-server refuses: %.*s", (int)n, data);
    stream->has_status = true;
    for (const char *at = data; at < data + n; at++) {
        stream->n_matched = *at == mark[stream->n_matched] ? stream->n_matched + 1 : *at == mark[0];
        if (mark[stream->n_matched] != '\0')
            continue;
        stream->n_events++;
        stream->n_matched = 0;
    }
    return n > 0;
}

void peer_disconnect(peer_stream *stream) {
    close(stream->fd);
    stream->fd = -1;
}

/* ---- llama-server ----------------------------------------------------------------------------------------------- */

static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        fail("cannot find a free port: %s", strerror(errno));
    close(fd);
    return ntohs(address.sin_port);
}

void peer_start(peer_server *server, const bench_options *options, const peer_setup *setup) {
    char port[16], n_ctx[16], n_parallel[16], n_threads[16], response[RESPONSE_SIZE];
    server->port = free_port();
    snprintf(port, sizeof port, "%d", server->port);
    snprintf(n_ctx, sizeof n_ctx, "%d", setup->n_ctx * setup->n_parallel);
    snprintf(n_parallel, sizeof n_parallel, "%d", setup->n_parallel);
    snprintf(n_threads, sizeof n_threads, "%d", setup->n_threads);
    const char *const argv[] = {program(options, "llama-server"), "-m", setup->model_path, "--host", "127.0.0.1", "--port",
                                port, "-c", n_ctx, "-np", n_parallel, "-kvu", "-t", n_threads, "-tb", n_threads,
                                "-fa", "auto", "-ngl", "0", "-fit", "off", "-cram", "0", "--no-ui", "--offline",
                                setup->draft_path ? "--spec-draft-model" : NULL, setup->draft_path, "--spec-type", "draft-simple", NULL};
    const int log = options->is_verbose ? STDERR_FILENO : -1;
    server->pid = process_start(argv, -1, log, log);
    const int64_t deadline = now_ns() + START_NS;
    do {
        if (now_ns() > deadline || waitpid(server->pid, NULL, WNOHANG) != 0)
            fail("llama-server does not serve");
        sleep_ns(5000000);
        get(server->port, "/health", response);
    } while (strncmp(response, "HTTP/1.1 200", 12) != 0);
}

void peer_stop(peer_server *server) {
    if (server->pid == 0)
        return;
    kill(server->pid, SIGTERM);
    process_end(server->pid);
    server->pid = 0;
}

bool peer_is_busy(const peer_server *server) {
    char response[RESPONSE_SIZE];
    get(server->port, "/slots", response);
    return response[0] == '\0' || strstr(response, "\"is_processing\":true") != NULL;
}

/* ---- evaluation alone ------------------------------------------------------------------------------------------- */

/* What a program that prints a line of JSON for each test gives for this key; NAN if it gives nothing. */
static double run_for_key(const char *const argv[], const char *key) {
    int from[2];
    char line[16384];
    double value = NAN;
    if (pipe2(from, O_CLOEXEC) != 0)
        fail("cannot make a pipe: %s", strerror(errno));
    const pid_t pid = process_start(argv, -1, from[1], -1);
    close(from[1]);
    FILE *out = fdopen(from[0], "r");
    if (out == NULL)
        fail("not enough memory");
    while (fgets(line, sizeof line, out) != NULL) {
        const char *at = strstr(line, key);
        if (at != NULL)
            value = strtod(at + strlen(key), NULL);
    }
    fclose(out);
    process_end(pid);
    return value;
}

/* The numbers of a setup, written out. */
typedef struct setup_words {
    char threads[16], parallel[16], n_ctx[16];
} setup_words;

static setup_words words_of(const peer_setup *setup) {
    setup_words words;
    snprintf(words.threads, sizeof words.threads, "%d", setup->n_threads);
    snprintf(words.parallel, sizeof words.parallel, "%d", setup->n_parallel);
    snprintf(words.n_ctx, sizeof words.n_ctx, "%d", setup->n_ctx * setup->n_parallel);
    return words;
}

/* What llama-bench says under this key of so many tokens of prompt and of answer behind `depth` others. */
static double run_bench(const bench_options *options, const peer_setup *setup, int n_prompt, int n_tokens, int n_deep,
                        const char *key) {
    const setup_words words = words_of(setup);
    char prompt[16], tokens[16], deep[16];
    if (!peer_is_there(options))
        return NAN;
    snprintf(prompt, sizeof prompt, "%d", n_prompt);
    snprintf(tokens, sizeof tokens, "%d", n_tokens);
    snprintf(deep, sizeof deep, "%d", n_deep);
    const char *const argv[] = {program(options, "llama-bench"), "-m", setup->model_path, "-p", prompt, "-n", tokens, "-d", deep,
                                "-t", words.threads, "-fa", "auto", "-ngl", "0", "-r", "1", "-o", "jsonl", NULL};
    return run_for_key(argv, key);
}

double peer_prefill_ms(const bench_options *options, const peer_setup *setup, int n_prompt) {
    return run_bench(options, setup, n_prompt, 0, 0, "\"avg_ns\": ") / 1e6;
}

double peer_generation(const bench_options *options, const peer_setup *setup, int n_prompt, int n_tokens) {
    if (setup->n_parallel == 1)
        return run_bench(options, setup, 0, n_tokens, n_prompt, "\"avg_ts\": ");
    if (!peer_is_there(options))
        return NAN;
    const setup_words words = words_of(setup);
    char prompt[16], tokens[16];
    snprintf(prompt, sizeof prompt, "%d", n_prompt);
    snprintf(tokens, sizeof tokens, "%d", n_tokens);
    const char *const argv[] = {program(options, "llama-batched-bench"), "-m", setup->model_path, "-npp", prompt, "-ntg",
                                tokens, "-npl", words.parallel, "-c", words.n_ctx, "-t", words.threads, "-tb", words.threads,
                                "-fa", "auto", "-ngl", "0", "-fit", "off", "-kvu", "--output-format", "jsonl", NULL};
    return run_for_key(argv, "\"speed_tg\": ");
}
