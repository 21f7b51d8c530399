/* trouble.c - a server that refuses, breaks off, is silent, sends garbage or goes away: each answer ends with a sentence, or is asked
 * for again if nothing of it was shown; none looks complete that is not. And: cancelling, a worker that dies, the key. */
#include "remote_test.h"

#include <ctype.h>

/* ---- what the server says -------------------------------------------------------------------------------------------- */

static atomic_int n_busy, n_broken, n_later, n_redirected, n_cut, n_vanished, n_empty, n_endless, n_closed, n_silent, n_begun;

static void say_ok(exchange *exchange) {
    say_start(exchange);
    say_delta(exchange, "\"content\":\"ok\"");
    say_finish(exchange, "stop");
    say_done(exchange);
}

static void say_first(exchange *exchange) {
    say_start(exchange);
    say_delta(exchange, "\"content\":\"first\"");
}

static void say_400(exchange *exchange) {
    say_refusal(exchange, "400 Bad Request", "", "{\"error\":{\"message\":\"the prompt\\nis too long\",\"code\":400}}");
}
static void say_401(exchange *exchange) {
    say_refusal(exchange, "401 Unauthorized", "", "{\"detail\":\"who are you?\"}");
}
static void say_404(exchange *exchange) {
    say_refusal(exchange, "404 Not Found", "", "no such \xFF model\x07");
}
static void say_429(exchange *exchange) {
    if (exchange->number < 2) say_refusal(exchange, "429 Too Many Requests", "Retry-After: 0\r\n", "{}");
    else say_ok(exchange);
}
static void say_500(exchange *exchange) {
    say_refusal(exchange, "500 Internal Server Error", "", "{\"message\":\"out of order\"}");
}
static void say_later(exchange *exchange) {
    say_refusal(exchange, "503 Service Unavailable", "retry-after: 86400\r\n", "");
}
static void say_302(exchange *exchange) {
    say_refusal(exchange, "302 Found", "Location: http://127.0.0.1:1/\r\n", "");
}
static void say_html(exchange *exchange) {
    say_head(exchange, "200 OK", "text/html; charset=utf-8");
    say_text(exchange, "<h1>Welcome</h1>");
    say_end(exchange);
}
static void say_garbage(exchange *exchange) {
    say_first(exchange);
    say_event(exchange, "{\"choices\":[{\"delta\":{\"content\":\"x\"}}");
    say_done(exchange);
}
static void say_half(exchange *exchange) {
    say_first(exchange);
    say_delta(exchange, "\"content\":\"\xC3\"");
    say_done(exchange);
}
static void say_cut(exchange *exchange) {
    say_first(exchange);
    say_nothing_more(exchange);
}
static void say_no_end(exchange *exchange) {
    say_first(exchange);
    say_end(exchange);
}
static void say_done_only(exchange *exchange) {
    say_first(exchange);
    say_done(exchange);
}
static void say_vanish(exchange *exchange) {
    if (exchange->number < 2) say_nothing_more(exchange);
    else say_ok(exchange);
}
static void say_empty(exchange *exchange) {
    say_head(exchange, "200 OK", "text/event-stream");
    say_end(exchange);
}
static void say_error(exchange *exchange) {
    say_first(exchange);
    say_event(exchange, "{\"error\":{\"message\":\"the card is gone\",\"type\":\"server_error\"}}");
    say_end(exchange);
}
static void say_ends_with(exchange *exchange, const char *reason) {
    say_first(exchange);
    say_finish(exchange, reason);
    say_done(exchange);
}
static void say_filter(exchange *exchange) {
    say_ends_with(exchange, "content_filter");
}
static void say_abort(exchange *exchange) {
    say_ends_with(exchange, "abort");
}
static void say_no(exchange *exchange) {
    say_start(exchange);
    say_delta(exchange, "\"refusal\":\"I had rather not\"");
    say_finish(exchange, "stop");
    say_done(exchange);
}
static void say_long_line(exchange *exchange) {
    char *line = malloc(1 << 21);
    CHECK(line != NULL);
    memset(line, 'x', 1 << 21);
    say_first(exchange);
    say_piece(exchange, line, 1 << 21);
    say_done(exchange);
    free(line);
}
static void say_deep(exchange *exchange) {
    char deep[1024];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = 0;
    say_first(exchange);
    say_event(exchange, deep);
    say_done(exchange);
}
static void say_bad_arguments(exchange *exchange) {
    say_first(exchange);
    say_delta(exchange, "\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\"}}]");
    say_finish(exchange, "tool_calls");
    say_done(exchange);
}
static void say_backwards(exchange *exchange) {
    say_first(exchange);
    say_delta(exchange, "\"tool_calls\":[{\"index\":1,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]");
    say_delta(exchange, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]");
    say_done(exchange);
}
static void say_nameless(exchange *exchange) {
    say_first(exchange);
    say_delta(exchange, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]");
    say_done(exchange);
}
static void say_behind_end(exchange *exchange) {
    say_first(exchange);
    say_finish(exchange, "stop");
    say_delta(exchange, "\"content\":\"more\"");
    say_done(exchange);
}
static void say_number(exchange *exchange) {
    say_first(exchange);
    say_delta(exchange, "\"content\":7");
    say_done(exchange);
}
/* Until the other end has had enough. */
static void say_endless(exchange *exchange) {
    say_start(exchange);
    while (say_delta(exchange, "\"content\":\" on and on\"")) {}
    atomic_fetch_add(&n_closed, 1);
}
static void say_silence(exchange *exchange) {
    say_first(exchange);
    wait_for_close(exchange);
}
static void say_nothing(exchange *exchange) {
    if (exchange->number > 0) {
        say_ok(exchange);
        return;
    }
    wait_for_close(exchange);
}

/* Refusals and answers that are complete, but whose reply never ends. */
static void say_on(exchange *exchange, const char *text) {
    while (say_text(exchange, text)) test_pause_ms(20);
}
static void say_long_refusal(exchange *exchange) {
    char text[1001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    say_head(exchange, "400 Bad Request", "text/plain");
    while (say_text(exchange, text)) {}
}
static void say_slow_refusal(exchange *exchange) {
    say_head(exchange, "400 Bad Request", "text/plain");
    say_text(exchange, "not this");
    say_on(exchange, " ");
}
static void say_end_and_on(exchange *exchange) {
    say_first(exchange);
    say_finish(exchange, "stop");
    say_on(exchange, ": ping\n\n");
}
static void say_pings(exchange *exchange) {
    say_head(exchange, "200 OK", "text/event-stream");
    say_on(exchange, ": ping\n\n");
}
static void say_empty_events(exchange *exchange) {
    say_first(exchange);
    say_on(exchange, "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n");
}
static void say_endless_head(exchange *exchange) {
    say_raw(exchange, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
    while (say_raw(exchange, "X-More: and more and more and more and more and more and more and more and more and more\r\n")) {}
}

/* All at the same moment, each with a sentence of its own. */
enum { REFUSED_AT_ONCE = 8 };
static atomic_int n_mine;
static void say_mine(exchange *exchange) {
    char body[128];
    const char *mark = strstr(exchange->body, "[mine]");
    CHECK(WAITED(SOON_MS, atomic_load(&n_mine) / REFUSED_AT_ONCE > exchange->number / REFUSED_AT_ONCE));
    snprintf(body, sizeof body, "{\"error\":{\"message\":\"this is for %.12s\"}}", mark + strlen("[mine]"));
    say_refusal(exchange, "400 Bad Request", "", body);
}

static const play plays[] = {
    {"[long refusal]", say_long_refusal, NULL}, {"[slow refusal]", say_slow_refusal, NULL}, {"[end and on]", say_end_and_on, NULL},
    {"[pings]", say_pings, NULL},   {"[empty events]", say_empty_events, NULL}, {"[endless head]", say_endless_head, NULL},
    {"[mine]", say_mine, &n_mine},
    {"[400]", say_400, NULL},       {"[401]", say_401, NULL},          {"[404]", say_404, NULL},
    {"[429]", say_429, &n_busy},    {"[500]", say_500, &n_broken},     {"[later]", say_later, &n_later},
    {"[302]", say_302, &n_redirected}, {"[html]", say_html, NULL},     {"[garbage]", say_garbage, NULL},
    {"[half]", say_half, NULL},     {"[cut]", say_cut, &n_cut},        {"[no end]", say_no_end, NULL},
    {"[done]", say_done_only, NULL}, {"[vanish]", say_vanish, &n_vanished}, {"[empty]", say_empty, &n_empty},
    {"[error]", say_error, NULL},   {"[filter]", say_filter, NULL},    {"[abort]", say_abort, NULL},
    {"[no]", say_no, NULL},         {"[long]", say_long_line, NULL},   {"[deep]", say_deep, NULL},
    {"[arguments]", say_bad_arguments, NULL}, {"[backwards]", say_backwards, NULL}, {"[nameless]", say_nameless, NULL},
    {"[behind]", say_behind_end, NULL}, {"[number]", say_number, NULL}, {"[endless]", say_endless, &n_endless},
    {"[silence]", say_silence, &n_silent}, {"[nothing]", say_nothing, &n_begun}, {"[ok]", say_ok, NULL},
    {NULL, NULL, NULL},
};

/* ---- refusals and breaks ------------------------------------------------------------------------------------------------ */

static void check_refusals(lipc_client *client) {
    test_step("replies that are no answers");
    check_fails(ask(client, "[400]"), LIPC_E_REFUSED, "", "status 400: the prompt is too long");
    check_fails(ask(client, "[401]"), LIPC_E_FAILED, "", "wants a key (--api-key-file): who are you?");
    check_fails(ask(client, "[404]"), LIPC_E_FAILED, "", "status 404: no such \xEF\xBF\xBD model");
    check_fails(ask(client, "[302]"), LIPC_E_FAILED, "", "leads to another address");
    CHECK_INT(n_redirected, ==, 1);
    check_fails(ask(client, "[html]"), LIPC_E_FAILED, "", "sends 'text/html' and no event stream: <h1>Welcome</h1>");

    test_step("asked again, as long as nothing was shown");
    check_text(ask(client, "[429]"), "ok", LIPC_END_TURN);
    CHECK_INT(n_busy, ==, 3);
    check_fails(ask(client, "[500]"), LIPC_E_FAILED, "", "status 500: out of order");
    CHECK_INT(n_broken, ==, 3);
    check_fails(ask(client, "[later]"), LIPC_E_FAILED, "", "status 503");
    CHECK_INT(n_later, ==, 1);
    check_text(ask(client, "[vanish]"), "ok", LIPC_END_TURN);
    CHECK_INT(n_vanished, >=, 3); /* libcurl asks again by itself, if the connection had been used before */
    check_fails(ask(client, "[empty]"), LIPC_E_FAILED, "", "the stream is empty");
    CHECK_INT(n_empty, ==, 3);
}

static void check_without_end(lipc_client *client) {
    test_step("refusals and complete answers whose reply does not end");
    check_fails(ask(client, "[long refusal]"), LIPC_E_REFUSED, "", "status 400: xxx");
    check_fails(ask(client, "[slow refusal]"), LIPC_E_REFUSED, "", "status 400: not this");
    check_text(ask(client, "[end and on]"), "first", LIPC_END_TURN);
    check_fails(ask(client, "[endless head]"), LIPC_E_FAILED, "", "the head of the reply is too long");
    lipc_request request = request_of("[endless]");
    request.n_predict = 3;
    int n_before = n_closed;
    check_text(submit(client, &request), " on and on on and on on and on", LIPC_END_LIMIT);
    CHECK(WAITED(SOON_MS, n_closed == n_before + 1));
}

static void check_own_sentences(lipc_client *client) {
    lipc_stream *streams[REFUSED_AT_ONCE];
    char texts[REFUSED_AT_ONCE][32];
    test_step("answers that end in the same step: each client is told its own sentence, and no other's");
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < REFUSED_AT_ONCE; i++) {
            snprintf(texts[i], sizeof texts[i], "[mine]client %02d.%02d", round, i);
            streams[i] = ask(client, texts[i]);
        }
        for (int i = 0; i < REFUSED_AT_ONCE; i++) check_fails(streams[i], LIPC_E_REFUSED, "", texts[i] + strlen("[mine]"));
    }
}

static void check_breaks(lipc_client *client) {
    test_step("answers that break off do not look complete");
    check_fails(ask(client, "[cut]"), LIPC_E_FAILED, "first", "the answer breaks off");
    CHECK_INT(n_cut, ==, 1);
    check_fails(ask(client, "[no end]"), LIPC_E_FAILED, "first", "its end was never said");
    check_fails(ask(client, "[done]"), LIPC_E_FAILED, "first", "its end was never said");
    check_fails(ask(client, "[error]"), LIPC_E_FAILED, "first", "the card is gone");
    check_fails(ask(client, "[filter]"), LIPC_E_FAILED, "first", "content filter");
    check_fails(ask(client, "[abort]"), LIPC_E_FAILED, "first", "abort");
    check_fails(ask(client, "[no]"), LIPC_E_FAILED, "", "refuses: I had rather not");

    test_step("nor do those with garbage");
    check_fails(ask(client, "[garbage]"), LIPC_E_FAILED, "first", "no JSON object");
    check_fails(ask(client, "[half]"), LIPC_E_FAILED, "first", "no JSON object");
    check_fails(ask(client, "[long]"), LIPC_E_FAILED, "first", "too long");
    check_fails(ask(client, "[deep]"), LIPC_E_FAILED, "first", "no JSON object");
    check_fails(ask(client, "[number]"), LIPC_E_FAILED, "first", "'content' is no string");
    check_fails(ask(client, "[arguments]"), LIPC_E_FAILED, "first", "arguments for 'f'");
    check_fails(ask(client, "[backwards]"), LIPC_E_FAILED, "first", "a tool call grows that was complete");
    check_fails(ask(client, "[nameless]"), LIPC_E_FAILED, "first", "no name");
    check_fails(ask(client, "[behind]"), LIPC_E_FAILED, "first", "behind the end");
    check_text(ask(client, "[ok]"), "ok", LIPC_END_TURN);
}

static void check_cancelling(lipc_client *client) {
    test_step("cancelling closes the request, and so does a stop string");
    n_closed = 0;
    reading reading = {0};
    lipc_stream *stream = ask(client, "[endless]");
    read_until(stream, &reading, 1000);
    CHECK_INT(n_closed, ==, 0);
    lipc_stream_cancel(stream);
    CHECK(WAITED(SOON_MS, n_closed == 1));
    lipc_stream_close(stream);
    free(reading.text);
    static const char *const stops[] = {"on on"};
    lipc_request request = request_of("[endless]");
    request.stops = stops;
    request.n_stops = 1;
    check_text(submit(client, &request), " on and ", LIPC_END_STOP);
    CHECK(WAITED(SOON_MS, n_closed == 2));

    test_step("one whose client goes away, while the server says nothing");
    lipc_client *other = client_of("trouble");
    stream = ask(other, "[silence]");
    CHECK(WAITED(SOON_MS, n_silent == 1));
    lipc_client_close(other);
    lipc_stream_close(stream);
    check_text(ask(client, "[ok]"), "ok", LIPC_END_TURN);
}

static void check_worker_deaths(test_host *host, lipc_client *client) {
    test_step("a worker that is killed: what was begun ends, what was not is asked again");
    int n_before = n_silent, n_asked = n_begun;
    lipc_stream *begun = ask(client, "[silence]"), *waiting = ask(client, "[nothing]");
    reading reading = {0};
    read_until(begun, &reading, 5);
    CHECK(WAITED(SOON_MS, n_silent == n_before + 1 && n_begun == n_asked + 1));
    CHECK_INT(kill(host_worker(host), SIGKILL), ==, 0);
    while (read_some(begun, soon(), &reading)) {}
    CHECK_TEXT(reading.text, "first");
    CHECK_INT(reading.code, ==, LIPC_E_FAILED);
    CHECK_SAY(strstr(lipc_error_message(), "a remote server cannot go on"), "%s", lipc_error_message());
    free(reading.text);
    lipc_stream_close(begun);
    check_text(waiting, "ok", LIPC_END_TURN);
    CHECK_INT(n_begun, ==, n_asked + 2);
}

static void check_time_out(const test_server *server) {
    test_host host;
    test_step("a server that says nothing any more");
    segment segment = host_ready(&host, "silent", (const char *const[]){"--remote", server->address, "--remote-timeout", "1", NULL});
    lipc_client *client = client_of("silent");
    check_fails(ask(client, "[silence]"), LIPC_E_FAILED, "first", "nothing came for 1 s");
    test_step("or only what is not shown");
    check_fails(ask(client, "[pings]"), LIPC_E_FAILED, "", "nothing came for 1 s");
    check_fails(ask(client, "[empty events]"), LIPC_E_FAILED, "first", "nothing came for 1 s");
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* ---- several servers ---------------------------------------------------------------------------------------------------- */

static void check_failover(const test_server *server) {
    test_host host;
    char nobody[64];
    int port, fd = listen_somewhere(&port);
    close(fd);
    snprintf(nobody, sizeof nobody, "http://127.0.0.1:%d", port);
    test_step("nobody at the address");
    segment segment = host_ready(&host, "nobody", (const char *const[]){"--remote", nobody, NULL});
    lipc_client *client = client_of("nobody");
    check_fails(ask(client, "[ok]"), LIPC_E_FAILED, "", "does not answer");
    lipc_client_close(client);
    end_host(&host, &segment);

    test_step("the next server is asked, but not in mid-answer");
    int n_before = n_broken, n_cut_before = n_cut;
    segment = host_ready(&host, "next", (const char *const[]){"--remote", nobody, "--remote", server->address, NULL});
    client = client_of("next");
    check_text(ask(client, "[ok]"), "ok", LIPC_END_TURN);
    check_fails(ask(client, "[cut]"), LIPC_E_FAILED, "first", server->address);
    CHECK_INT(n_cut, ==, n_cut_before + 1);
    check_fails(ask(client, "[500]"), LIPC_E_FAILED, "", ""); /* by both, in turn */
    CHECK_INT(n_broken, ==, n_before + 3);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* The embedded model answers what no server begins, and nothing else. */
static void check_last_resort(const test_server *server) {
    test_host host;
    test_step("a model as the last resort");
    segment segment = host_ready(&host, "resort", (const char *const[]){"--remote", server->address, "--remote-fallback", "-t", "1", "--repeatable",
                                                                       "--temp", "0", NULL});
    lipc_client *client = client_of("resort");
    check_text(ask(client, "[ok]"), "ok", LIPC_END_TURN);
    check_fails(ask(client, "[cut]"), LIPC_E_FAILED, "first", "the answer breaks off");
    check_fails(ask(client, "[400]"), LIPC_E_REFUSED, "", "status 400");
    lipc_stream *streams[5]; /* more than are made at a time: here and there */
    for (int i = 0; i < 5; i++) streams[i] = ask(client, "[no such play]");
    reading first = read_to_end(streams[0]);
    CHECK_SAY(first.code == LIPC_E_OK && first.n_bytes > 0, "%s: %s", lipc_error_name(first.code), lipc_error_message());
    CHECK_INT(progress_of(streams[0]).end, ==, LIPC_END_TURN);
    CHECK(progress_of(streams[0]).n_prompt > 0);
    for (int i = 1; i < 5; i++) check_text(streams[i], first.text, LIPC_END_TURN);
    lipc_stream_close(streams[0]);
    lipc_request request = request_of("[no such play]");
    request.ignore_eos = 1;
    streams[0] = submit(client, &request);
    free(first.text);
    first = (reading){0};
    read_until(streams[0], &first, 10);
    lipc_stream_cancel(streams[0]);
    while (read_some(streams[0], soon(), &first)) {}
    CHECK_INT(first.code, ==, LIPC_E_CANCELLED);
    free(first.text);
    lipc_stream_close(streams[0]);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* ---- the key -------------------------------------------------------------------------------------------------------------- */

static const char the_key[] = "sk-not-for-anybodys-eyes-1234567890";

/* The key behind so many bytes of something else, where what is too long may be cut. */
static void say_padded(exchange *exchange, char kind, int n_before) {
    char *text, *body;
    CHECK(asprintf(&text, "%0*d%s and more", n_before, 7, the_key) > 0);
    switch (kind) {
    case 'e': CHECK(asprintf(&body, "{\"error\":{\"message\":\"%s\"}}", text) > 0); break;
    case 'r': CHECK(asprintf(&body, "\"refusal\":\"%s\"", text) > 0); break;
    default: CHECK(asprintf(&body, "%s", text) > 0); break;
    }
    if (kind == 'e' || kind == 'r') say_start(exchange);
    if (kind == 'e') say_event(exchange, body);
    else if (kind == 'r') say_delta(exchange, body);
    else if (kind == 't') say_head(exchange, "200 OK", body);
    else say_refusal(exchange, "400 Bad Request", "", body);
    if (kind != 's') say_end(exchange);
    free(text);
    free(body);
}

static void say_if_known(exchange *exchange) {
    char wanted[128];
    snprintf(wanted, sizeof wanted, "\r\nAuthorization: Bearer %s\r\n", the_key);
    const char *padded = strstr(exchange->body, "[padded ");
    if (padded) {
        say_padded(exchange, padded[strlen("[padded ")], atoi(padded + strlen("[padded x")));
    } else if (strstr(exchange->body, "[wrong]")) {
        snprintf(wanted, sizeof wanted, "{\"error\":{\"message\":\"%s is no key\"}}", the_key);
        say_refusal(exchange, "401 Unauthorized", "", wanted);
    } else if (strstr(exchange->request, wanted)) {
        say_ok(exchange);
    } else {
        say_refusal(exchange, "500 Internal Server Error", "", exchange->request);
    }
}

static void check_not_in_file(const char *what, pid_t pid) {
    char path[64], *text = calloc(1, 1 << 20);
    CHECK(text != NULL);
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t n = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    CHECK_SAY(n > 0 && !memmem(text, n, the_key, sizeof the_key - 1), "the key is in %s", path);
    free(text);
}

static void check_no_part(lipc_client *client, char kind, int from, int to) {
    char text[64], part[9];
    snprintf(part, sizeof part, "%.8s", the_key);
    for (int n_before = from; n_before < to; n_before += 5) {
        snprintf(text, sizeof text, "[padded %c%d]", kind, n_before);
        reading reading = {0};
        lipc_stream *stream = ask(client, text);
        while (read_some(stream, soon(), &reading)) {}
        CHECK(reading.code == LIPC_E_FAILED || reading.code == LIPC_E_REFUSED);
        CHECK_SAY(!strcasestr(lipc_error_message(), part), "%s", lipc_error_message());
        free(reading.text);
        lipc_stream_close(stream);
    }
}

static void check_key(void) {
    static const play guarded[] = {{"", say_if_known, NULL}, {NULL, NULL, NULL}};
    test_host host;
    test_server *server = calloc(1, sizeof *server);
    char path[256], text[64];
    CHECK(server != NULL);
    server_start(server, guarded);
    test_step("the key reaches the server, and nobody else");
    snprintf(text, sizeof text, "\n  %s \r\nmore", the_key);
    test_file(path, text, strlen(text));
    segment segment = host_ready(&host, "key", (const char *const[]){"--remote", server->address, "--api-key-file", path, "--log-level", "debug", NULL});
    lipc_client *client = client_of("key");
    check_text(ask(client, "[ok]"), "ok", LIPC_END_TURN);
    check_fails(ask(client, "[wrong]"), LIPC_E_FAILED, "", "does not accept the key:  is no key");
    check_no_part(client, 'e', 140, 270);
    check_no_part(client, 'r', 140, 270);
    check_no_part(client, 's', 200, 270);
    check_no_part(client, 's', 8150, 8200);
    check_no_part(client, 't', 20, 70);
    check_not_in_file("cmdline", host.pid);
    check_not_in_file("environ", host.pid);
    check_not_in_file("cmdline", host_worker(&host));
    CHECK(!memmem(segment.base, segment.size, the_key, sizeof the_key - 1));
    char *log = host_err(&host);
    CHECK(strstr(log, "is no key") && !strstr(log, the_key));
    free(log);
    lipc_client_close(client);
    end_host(&host, &segment);
    server_stop(server);
    free(server);
}

static atomic_int n_proxied;
static const play proxied[] = {{"", say_ok, &n_proxied}, {NULL, NULL, NULL}};

static void check_way(const char *address, const char *key_path, bool is_proxied, bool is_warned) {
    test_host host;
    int n_before = n_proxied;
    segment segment = host_ready(&host, "way", (const char *const[]){"--remote", address, key_path ? "--api-key-file" : NULL, key_path, NULL});
    lipc_client *client = client_of("way");
    if (is_proxied) check_text(ask(client, "[ok]"), "ok", LIPC_END_TURN);
    else check_fails(ask(client, "[ok]"), LIPC_E_FAILED, "", "does not answer");
    CHECK_INT(n_proxied, ==, n_before + is_proxied);
    char *log = host_err(&host);
    CHECK_SAY((strstr(log, "without encryption") != NULL) == is_warned, "%s", log);
    free(log);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void check_proxies(void) {
    test_server *server = calloc(1, sizeof *server);
    char path[256], local[64], numeric[64];
    int port;
    CHECK(server != NULL);
    server_start(server, proxied);
    close(listen_somewhere(&port)); /* nobody is there */
    snprintf(local, sizeof local, "http://localhost:%d", port);
    snprintf(numeric, sizeof numeric, "http://127.0.0.1:%d/v1", port);
    test_file(path, the_key, sizeof the_key - 1);
    test_step("a proxy of the environment's sees no key, and nothing that stays on this machine");
    setenv("http_proxy", server->address, 1);
    setenv("no_proxy", "", 1);
    check_way(local, NULL, false, false);
    check_way(numeric, path, false, false);
    check_way("http://somewhere.invalid", NULL, true, false);
    check_way("http://somewhere.invalid", path, false, true);
    check_way("http://127.somewhere.invalid", path, false, true);
    check_way("http://localhost.somewhere.invalid", path, false, true);
    unsetenv("http_proxy");
    server_stop(server);
    free(server);
}

static void check_start_refused(const char *address, const char *key_path, const char *words) {
    test_host host;
    host_start(&host, "refused", "--remote", address, "--api-key-file", key_path, NULL);
    host_expect_exit(&host, 2, SOON_MS);
    char *log = host_err(&host);
    CHECK_SAY(strstr(log, words) != NULL, "%s", log);
    CHECK(!strstr(log, "pa55"));
    free(log);
}

static void check_options(void) {
    char good[256], bad[256];
    test_step("options that make no sense");
    test_file(good, the_key, sizeof the_key - 1);
    test_file(bad, "one\x01two", 7);
    check_start_refused("http://127.0.0.1:1", bad, "there is no key in");
    check_start_refused("http://127.0.0.1:1", "/nowhere/key", "cannot read the key");
    check_start_refused("ftp://127.0.0.1", good, "must begin with http");
    check_start_refused("http://me:pa55@127.0.0.1", good, "--api-key-file");
    check_start_refused("https://127.0.0.1/v1?key=pa55", good, "has no place");
    check_start_refused("http:///v1", good, "names no server");
    test_host host;
    host_start(&host, "checked", "--check", "--remote", "http://127.0.0.1:1", "--api-key-file", good, NULL);
    host_expect_exit(&host, 0, SOON_MS);
    char *said = host_out(&host);
    CHECK_SAY(strstr(said, "http://127.0.0.1:1 is asked") != NULL, "%s", said);
    free(said);
}

int main(void) {
    test_host host;
    test_server *server = calloc(1, sizeof *server);
    test_begin("remote_trouble", 240);
    CHECK(server != NULL);
    server_start(server, plays);
    segment segment = host_ready(&host, "trouble", (const char *const[]){"--remote", server->address, NULL});
    lipc_client *client = client_of("trouble");
    check_refusals(client);
    check_own_sentences(client);
    check_without_end(client);
    check_breaks(client);
    check_cancelling(client);
    check_worker_deaths(&host, client);
    lipc_client_close(client);
    end_host(&host, &segment);
    check_time_out(server);
    check_failover(server);
    check_last_resort(server);
    check_key();
    check_proxies();
    check_options();
    server_stop(server);
    free(server);
    return test_end();
}
