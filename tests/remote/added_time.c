/* added_time.c - how much later a client of the host reads a token of a server than a C program that reads the server's connection
 * itself. Says so; judges nothing but that all came. Each token is the moment at which the server sent it. */
#include "remote_test.h"

enum { TOKENS = 500 };

static void say_moments(exchange *exchange) {
    char members[64];
    say_start(exchange);
    for (int i = 0; i < TOKENS; i++) {
        test_pause_ms(2); /* the server's pace: everybody is asleep when the next one comes */
        snprintf(members, sizeof members, "\"content\":\"@%llu;\"", (unsigned long long)now_ns());
        if (!say_delta(exchange, members)) return;
    }
    say_finish(exchange, "stop");
    say_done(exchange);
}

static const play plays[] = {{"moments", say_moments, NULL}, {NULL, NULL, NULL}};

/* Adds how long ago each moment in the text was. A text that ends within one is not there yet. */
static size_t add_moments(const char *text, double *delays_us, int *n) {
    const char *at = text, *end;
    uint64_t now = now_ns();
    while ((at = strchr(at, '@')) && (end = strchr(at, ';'))) {
        CHECK_INT(*n, <, TOKENS);
        delays_us[(*n)++] = (double)(now - strtoull(at + 1, NULL, 10)) / 1000;
        at = end;
    }
    return at ? (size_t)(at - text) : strlen(text);
}

static void read_directly(const test_server *server, double *delays_us) {
    static const char body[] = "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"moments\"}]}";
    static char text[1 << 16];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n = 0;
    exchange to = {.fd = fd};
    char head[256];
    size_t n_text = 0;
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", sizeof body - 1);
    CHECK(say_raw(&to, head) && say_raw(&to, body));
    while (n < TOKENS) {
        ssize_t got = recv(fd, text + n_text, sizeof text - 1 - n_text, 0);
        CHECK(got > 0);
        n_text += (size_t)got;
        text[n_text] = 0;
        size_t n_used = add_moments(text, delays_us, &n);
        memmove(text, text + n_used, n_text + 1 - n_used);
        n_text -= n_used;
    }
    close(fd);
}

static void read_through(lipc_client *client, double *delays_us) {
    lipc_stream *stream = ask(client, "moments");
    lipc_delta delta;
    char text[4096];
    int n = 0;
    for (;;) {
        CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), LIPC_E_OK);
        if (delta.n_bytes == 0) break;
        CHECK_INT(delta.n_bytes, <, sizeof text);
        memcpy(text, delta.text, delta.n_bytes);
        text[delta.n_bytes] = 0;
        add_moments(text, delays_us, &n);
    }
    CHECK_INT(n, ==, TOKENS);
    lipc_stream_close(stream);
}

int main(void) {
    test_host host;
    double direct[TOKENS], through[TOKENS];
    test_server *server = calloc(1, sizeof *server);
    test_begin("remote_added_time", 60);
    CHECK(server != NULL);
    server_start(server, plays);
    segment segment = host_ready(&host, "added", (const char *const[]){"--remote", server->address, NULL});
    lipc_client *client = client_of("added");
    for (int round = 0; round < 2; round++) { /* the first one makes warm */
        read_directly(server, direct);
        read_through(client, through);
    }
    printf("  %d tokens, from the server's send to the reader: directly median %.0f us, 99th percentile %.0f us; through the host median %.0f us, "
           "99th percentile %.0f us\n", TOKENS, quantile(direct, TOKENS, 0.5), quantile(direct, TOKENS, 0.99),
           quantile(through, TOKENS, 0.5), quantile(through, TOKENS, 0.99));
    lipc_client_close(client);
    end_host(&host, &segment);
    server_stop(server);
    free(server);
    return test_end();
}
