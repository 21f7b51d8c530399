/* remote_test.h - a server of the test's own, which speaks as much HTTP as the remote engine hears, and says what the test wants:
 * event streams, and all that is none. */
#ifndef LIPC_TESTS_REMOTE_TEST_H
#define LIPC_TESTS_REMOTE_TEST_H

#include "../modern/parts_test.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EXCHANGES_MOST = 512, REQUEST_SIZE = 1 << 19 };

struct play;

/* A connection, and the request that came by it last. */
typedef struct exchange {
    const struct play *plays;
    pthread_t thread;
    int fd;
    char *request;      /* head and body, zero-terminated */
    const char *body;
    int number;         /* how often this play was asked for before */
    bool is_closed;     /* by the play */
} exchange;

/* What the server says to a request whose body contains the mark. */
typedef struct play {
    const char *mark;
    void (*say)(exchange *exchange);
    atomic_int *n_asked; /* may be NULL */
} play;

typedef struct test_server {
    const play *plays; /* up to one without a mark */
    pthread_t thread;
    int fd, port;
    char address[64];
    atomic_int n_connections;
    exchange exchanges[EXCHANGES_MOST];
} test_server;

/* ---- saying --------------------------------------------------------------------------------------------------------- */

/* False: the other end has closed the connection. */
static inline bool say_bytes(const exchange *exchange, const char *bytes, size_t n_bytes) {
    while (n_bytes > 0) {
        ssize_t n = send(exchange->fd, bytes, n_bytes, MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static inline bool say_raw(const exchange *exchange, const char *text) {
    return say_bytes(exchange, text, strlen(text));
}

static inline bool say_head(const exchange *exchange, const char *status, const char *type) {
    char head[512];
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", status, type);
    return say_raw(exchange, head);
}

static inline bool say_piece(const exchange *exchange, const char *bytes, size_t n_bytes) {
    char size[32];
    snprintf(size, sizeof size, "%zx\r\n", n_bytes);
    return say_raw(exchange, size) && say_bytes(exchange, bytes, n_bytes) && say_raw(exchange, "\r\n");
}

static inline bool say_text(const exchange *exchange, const char *text) {
    return say_piece(exchange, text, strlen(text));
}

static inline bool say_end(const exchange *exchange) {
    return say_raw(exchange, "0\r\n\r\n");
}

static inline bool say_event(const exchange *exchange, const char *data) {
    char *event;
    CHECK(asprintf(&event, "data: %s\n\n", data) > 0);
    bool is_said = say_text(exchange, event);
    free(event);
    return is_said;
}

/* An event with this in its delta: "\"content\":\"x\"". */
static inline bool say_delta(const exchange *exchange, const char *members) {
    char *data;
    CHECK(asprintf(&data, "{\"choices\":[{\"index\":0,\"delta\":{%s},\"finish_reason\":null}]}", members) > 0);
    bool is_said = say_event(exchange, data);
    free(data);
    return is_said;
}

static inline bool say_finish(const exchange *exchange, const char *reason) {
    char data[256];
    snprintf(data, sizeof data, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"%s\"}]}", reason);
    return say_event(exchange, data);
}

static inline bool say_start(const exchange *exchange) {
    return say_head(exchange, "200 OK", "text/event-stream; charset=utf-8") &&
           say_delta(exchange, "\"role\":\"assistant\",\"content\":null");
}

static inline void say_done(const exchange *exchange) {
    say_event(exchange, "[DONE]");
    say_end(exchange);
}

/* A reply that is no answer. */
static inline void say_refusal(const exchange *exchange, const char *status, const char *fields, const char *body) {
    char head[512];
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n", status, fields, strlen(body));
    say_raw(exchange, head);
    say_raw(exchange, body);
}

/* Breaks off. */
static inline void say_nothing_more(exchange *exchange) {
    exchange->is_closed = true;
}

/* Until the other end closes the connection. */
static inline void wait_for_close(const exchange *exchange) {
    char byte;
    while (recv(exchange->fd, &byte, 1, 0) > 0) {}
}

/* ---- hearing -------------------------------------------------------------------------------------------------------- */

/* A whole request. False: there is none. */
static inline bool hear(exchange *exchange) {
    size_t n = 0;
    for (;;) {
        exchange->request[n] = 0;
        char *end = strstr(exchange->request, "\r\n\r\n");
        const char *length = end ? strcasestr(exchange->request, "\r\nContent-Length:") : NULL;
        if (end && n >= (size_t)(end + 4 - exchange->request) + (length ? strtoul(length + 17, NULL, 10) : 0)) {
            exchange->body = end + 4;
            return true;
        }
        ssize_t got = n + 1 < REQUEST_SIZE ? recv(exchange->fd, exchange->request + n, REQUEST_SIZE - 1 - n, 0) : 0;
        if (got <= 0) return false;
        n += (size_t)got;
    }
}

static inline void *serve_connection(void *argument) {
    exchange *exchange = argument;
    exchange->request = malloc(REQUEST_SIZE);
    while (exchange->request && !exchange->is_closed && hear(exchange)) {
        const play *play = exchange->plays;
        while (play->mark && !strstr(exchange->body, play->mark)) play++;
        if (!play->mark) break;
        exchange->number = play->n_asked ? atomic_fetch_add(play->n_asked, 1) : 0;
        play->say(exchange);
    }
    shutdown(exchange->fd, SHUT_RDWR);
    free(exchange->request);
    return NULL;
}

static inline void *serve_all(void *argument) {
    test_server *server = argument;
    for (;;) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC), n = atomic_load(&server->n_connections);
        if (fd < 0) return NULL;
        CHECK_INT(n, <, EXCHANGES_MOST);
        server->exchanges[n] = (exchange){.plays = server->plays, .fd = fd};
        CHECK_INT(pthread_create(&server->exchanges[n].thread, NULL, serve_connection, &server->exchanges[n]), ==, 0);
        atomic_store(&server->n_connections, n + 1);
    }
}

/* A port of this machine that nobody listens on, or the listener itself. */
static inline int listen_somewhere(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 128) == 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &size), ==, 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static inline void server_start(test_server *server, const play *plays) {
    setenv("no_proxy", "127.0.0.1,localhost", 1); /* whatever the environment says */
    *server = (test_server){.plays = plays};
    server->fd = listen_somewhere(&server->port);
    snprintf(server->address, sizeof server->address, "http://127.0.0.1:%d", server->port);
    CHECK_INT(pthread_create(&server->thread, NULL, serve_all, server), ==, 0);
}

static inline void server_stop(test_server *server) {
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    for (int i = 0; i < atomic_load(&server->n_connections); i++) {
        shutdown(server->exchanges[i].fd, SHUT_RDWR);
        pthread_join(server->exchanges[i].thread, NULL);
        close(server->exchanges[i].fd);
    }
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

/* Reads an answer that fails: what came before, and a sentence that contains `words`. */
static inline void check_fails(lipc_stream *stream, int code, const char *text, const char *words) {
    reading reading = read_to_end(stream);
    CHECK_SAY(reading.code == code, "%s (%s) and not %s after '%s'", lipc_error_name(reading.code), lipc_error_message(),
              lipc_error_name(code), reading.text);
    CHECK_SAY(strstr(lipc_error_message(), words) != NULL, "'%s' does not say '%s'", lipc_error_message(), words);
    CHECK_TEXT(reading.text, text);
    free(reading.text);
    lipc_stream_close(stream);
}

static inline void check_text(lipc_stream *stream, const char *text, int end) {
    check_answer(stream, text, strlen(text));
    CHECK_INT(progress_of(stream).end, ==, end);
    lipc_stream_close(stream);
}

#endif
