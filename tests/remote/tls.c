/* tls.c - nginx with TLS and HTTP/2 before the test's server: 64 answers at a time over few connections, each its own; cancelling one
 * of them; certificates that are not to be trusted. Skipped without nginx or openssl. */
#include "remote_test.h"

enum { AT_A_TIME = 64 };

static atomic_int n_waiting, n_endless, n_closed;

/* All of them are there before any is answered. Says which request it was. */
static void say_together(exchange *exchange) {
    char members[64];
    int number = atoi(strstr(exchange->body, "[together]") + strlen("[together]"));
    say_start(exchange);
    atomic_fetch_add(&n_waiting, 1);
    CHECK(WAITED(SOON_MS, atomic_load(&n_waiting) >= AT_A_TIME));
    for (int i = 0; i < 20; i++) {
        snprintf(members, sizeof members, "\"content\":\"%d.%d \"", number, i);
        say_delta(exchange, members);
    }
    say_finish(exchange, "stop");
    say_done(exchange);
}

static void say_endless(exchange *exchange) {
    say_start(exchange);
    while (say_delta(exchange, "\"content\":\" on and on\"")) {}
    atomic_fetch_add(&n_closed, 1);
}

static const play plays[] = {{"[together]", say_together, NULL}, {"[endless]", say_endless, &n_endless}, {NULL, NULL, NULL}};

/* ---- nginx ------------------------------------------------------------------------------------------------------------- */

typedef struct front {
    char folder[64], certificate[96], log[96], address[64];
    int port;
    pid_t pid;
} front;

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void front_start(front *front, int behind) {
    static char folder[] = "/tmp/lipc-remote-XXXXXX";
    char command[1024], path[96], *configuration;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(front->folder, sizeof front->folder, "%s", folder);
    snprintf(front->certificate, sizeof front->certificate, "%s/certificate.pem", folder);
    snprintf(front->log, sizeof front->log, "%s/access.log", folder);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 "
             "-keyout %s/key.pem -out %s >%s/openssl.log 2>&1", folder, front->certificate, folder);
    CHECK_INT(system(command), ==, 0);
    close(listen_somewhere(&front->port));
    CHECK(asprintf(&configuration,
                   "daemon off; pid %s/pid; error_log %s/error.log; worker_processes 1; events { worker_connections 1000; }\n"
                   "http { log_format connections '$connection $server_protocol'; access_log %s connections;\n"
                   "client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n"
                   "server { listen 127.0.0.1:%d ssl http2; ssl_certificate %s; ssl_certificate_key %s/key.pem;\n"
                   "location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h; } } }\n",
                   folder, folder, front->log, folder, folder, folder, folder, folder, front->port, front->certificate, folder, behind) > 0);
    snprintf(path, sizeof path, "%s/nginx.conf", folder);
    write_text(path, configuration);
    free(configuration);
    snprintf(front->address, sizeof front->address, "https://127.0.0.1:%d/v1", front->port);
    fflush(NULL);
    front->pid = fork();
    if (front->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execlp("nginx", "nginx", "-c", path, "-p", folder, (char *)NULL);
        _exit(127);
    }
    CHECK(front->pid > 0);
}

static bool is_listening(const front *front) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)front->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_there;
}

static void front_stop(front *front) {
    char command[128];
    int status;
    kill(front->pid, SIGTERM);
    CHECK_INT(waitpid(front->pid, &status, 0), ==, front->pid);
    snprintf(command, sizeof command, "rm -rf %s", front->folder);
    CHECK_INT(system(command), ==, 0);
}

/* Connections that the log names, all of HTTP/2; it has so many lines. */
static int count_connections(const front *front, int n_lines) {
    char line[128];
    long numbers[256];
    int n = 0, n_found = 0;
    FILE *file = fopen(front->log, "r");
    CHECK(file != NULL);
    for (; fgets(line, sizeof line, file); n_found++) {
        long number = strtol(line, NULL, 10);
        int i = 0;
        CHECK_SAY(strstr(line, " HTTP/2.0") != NULL, "%s", line);
        while (i < n && numbers[i] != number) i++;
        if (i == n && n < 256) numbers[n++] = number;
    }
    fclose(file);
    return n_found >= n_lines ? n : -1;
}

/* ---- the checks --------------------------------------------------------------------------------------------------------- */

static void check_together(const front *front, lipc_client *client) {
    lipc_stream *streams[AT_A_TIME];
    char text[64], expected[512];
    int n_connections;
    test_step("%d answers at a time, each its own, over few connections", AT_A_TIME);
    for (int i = 0; i < AT_A_TIME; i++) {
        snprintf(text, sizeof text, "[together]%d", i);
        streams[i] = ask(client, text);
    }
    for (int i = 0; i < AT_A_TIME; i++) {
        size_t n = 0;
        for (int j = 0; j < 20; j++) n += (size_t)snprintf(expected + n, sizeof expected - n, "%d.%d ", i, j);
        check_text(streams[i], expected, LIPC_END_TURN);
    }
    CHECK(WAITED(SOON_MS, count_connections(front, AT_A_TIME) > 0));
    n_connections = count_connections(front, AT_A_TIME);
    printf("  %d connections\n", n_connections);
    CHECK_INT(n_connections, <=, 4);
}

static void check_cancelling(lipc_client *client) {
    reading one = {0}, other = {0};
    test_step("one of two is cancelled, the other goes on");
    lipc_stream *first = ask(client, "[endless]"), *second = ask(client, "[endless]");
    read_until(first, &one, 100);
    read_until(second, &other, 100);
    lipc_stream_cancel(first);
    CHECK(WAITED(SOON_MS, n_closed == 1));
    read_until(second, &other, other.n_bytes + 2000);
    CHECK_INT(n_closed, ==, 1);
    lipc_stream_close(first);
    lipc_stream_close(second);
    CHECK(WAITED(SOON_MS, n_closed == 2));
    free(one.text);
    free(other.text);
}

static void check_not_trusted(const char *address, const char *certificate) {
    test_host host;
    int n_before = n_endless;
    const char *const with[] = {"--remote", address, "--remote-ca", certificate, NULL}, *const without[] = {"--remote", address, NULL};
    segment segment = host_ready(&host, "wrong", certificate ? with : without);
    lipc_client *client = client_of("wrong");
    check_fails(ask(client, "[endless]"), LIPC_E_FAILED, "", "certificate");
    CHECK_INT(n_endless, ==, n_before);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(void) {
    test_host host;
    front front = {0};
    char elsewhere[64];
    test_server *server = calloc(1, sizeof *server);
    test_begin("remote_tls", 120);
    CHECK(server != NULL);
    if (system("command -v nginx >/dev/null && command -v openssl >/dev/null") != 0) test_skip("nginx or openssl is not installed");
    server_start(server, plays);
    front_start(&front, server->port);
    CHECK(WAITED(SOON_MS, is_listening(&front)));
    segment segment = host_ready(&host, "tls", (const char *const[]){"--remote", front.address, "--remote-ca", front.certificate,
                                                                     "--streams", "64", "--response-size", "64K", NULL});
    lipc_client *client = client_of("tls");
    check_together(&front, client);
    check_cancelling(client);
    lipc_client_close(client);
    end_host(&host, &segment);
    test_step("a certificate that nobody vouches for, and one of another server");
    check_not_trusted(front.address, NULL);
    snprintf(elsewhere, sizeof elsewhere, "https://localhost:%d/v1", front.port);
    check_not_trusted(elsewhere, front.certificate);
    front_stop(&front);
    server_stop(server);
    free(server);
    return test_end();
}
