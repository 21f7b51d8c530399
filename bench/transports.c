/* transports.c - see transports.h.
 *
 * The HTTP writer is as cheap as one can be that speaks the protocol: one connection, one send for each token, an event
 * of {"content":...} in a chunk of its own, no delay (TCP_NODELAY). Servers of language models send two to three times
 * as many bytes with each token.
 */
#include "transports.h"

#include "subjects.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void send_all(int descriptor, const char *bytes, size_t n_bytes) {
    while (n_bytes > 0) {
        const ssize_t n = write(descriptor, bytes, n_bytes);
        if (n < 0 && errno != EINTR)
            fail("a transport cannot write: %s", strerror(errno));
        if (n > 0) {
            bytes += n;
            n_bytes -= (size_t)n;
        }
    }
}

/* Returns 0 at the end. */
static size_t receive(int descriptor, char *bytes, size_t size) {
    ssize_t n;
    while ((n = read(descriptor, bytes, size)) < 0) {
        if (errno != EINTR)
            fail("a transport cannot read: %s", strerror(errno));
    }
    return (size_t)n;
}

/* ---- the channel ------------------------------------------------------------------------------------------------ */

static void channel_open(transport_link *link, uint32_t n_bytes) {
    stand_in_open(&link->host, true, n_bytes);
}

static void channel_start(transport_link *link) {
    stand_in_take(&link->host);
}

static void channel_send(transport_link *link, const char *text, size_t n_bytes) {
    stand_in_publish(&link->host, text, n_bytes);
}

static void channel_end(transport_link *link) {
    stand_in_end(&link->host);
}

static void channel_read(transport_link *link, void (*ready)(void *user_data), transport_text_fn on_text, void *user_data) {
    lipc_delta delta;
    lipc_client *client = modern_open(link->host.name, 0);
    lipc_stream *stream = modern_ask(client, false);
    ready(user_data);
    while (lipc_stream_read(stream, -1, &delta) == 0 && delta.n_bytes > 0)
        on_text(user_data, delta.text, delta.n_bytes);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

/* ---- pipe, unix socket: the bytes and nothing else -------------------------------------------------------------- */

static void pipe_open(transport_link *link, uint32_t n_bytes) {
    int ends[2];
    (void)n_bytes;
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("cannot make a pipe: %s", strerror(errno));
    link->from_writer = ends[0];
    link->to_reader = ends[1];
}

static void socket_open(transport_link *link, uint32_t n_bytes) {
    int ends[2];
    (void)n_bytes;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        fail("cannot make a socket: %s", strerror(errno));
    link->from_writer = ends[0];
    link->to_reader = ends[1];
}

static void bytes_start(transport_link *link) {
    close(link->from_writer);
    link->from_writer = -1;
}

static void bytes_send(transport_link *link, const char *text, size_t n_bytes) {
    send_all(link->to_reader, text, n_bytes);
}

static void bytes_end(transport_link *link) {
    close(link->to_reader);
    link->to_reader = -1;
}

static void bytes_read(transport_link *link, void (*ready)(void *user_data), transport_text_fn on_text, void *user_data) {
    static char bytes[65536];
    size_t n;
    close(link->to_reader); /* or it would never see the end */
    ready(user_data);
    while ((n = receive(link->from_writer, bytes, sizeof bytes)) > 0)
        on_text(user_data, bytes, n);
}

/* ---- HTTP with server-sent events ------------------------------------------------------------------------------- */

static void http_open(transport_link *link, uint32_t n_bytes) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    (void)n_bytes;
    link->to_reader = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->to_reader < 0 || bind(link->to_reader, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(link->to_reader, 1) != 0 || getsockname(link->to_reader, (struct sockaddr *)&address, &length) != 0)
        fail("cannot listen: %s", strerror(errno));
    link->port = ntohs(address.sin_port);
}

static void send_at_once(int descriptor) {
    const int yes = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static void http_start(transport_link *link) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    char request[4096];
    size_t n_bytes = 0;
    const int connection = accept4(link->to_reader, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        fail("cannot accept a connection: %s", strerror(errno));
    close(link->to_reader);
    link->to_reader = connection;
    send_at_once(connection);
    do {
        const size_t n = receive(connection, request + n_bytes, sizeof request - 1 - n_bytes);
        if (n == 0)
            fail("the reader sent no request");
        request[n_bytes += n] = '\0';
    } while (strstr(request, "\r\n\r\n") == NULL);
    send_all(connection, head, sizeof head - 1);
}

/* Text as a JSON string without its quotation marks. */
static size_t escape(const char *text, size_t n_bytes, char *out) {
    char *at = out;
    for (size_t i = 0; i < n_bytes; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\')
            *at++ = '\\', *at++ = (char)byte;
        else if (byte == '\n')
            *at++ = '\\', *at++ = 'n';
        else if (byte < 0x20)
            at += sprintf(at, "\\u%04x", byte);
        else
            *at++ = (char)byte;
    }
    return (size_t)(at - out);
}

static void http_send(transport_link *link, const char *text, size_t n_bytes) {
    static const char before[] = "data: {\"content\":\"", after[] = "\"}\n\n";
    char event[1024], chunk[1100];
    if (n_bytes > 128)
        fail("a token of %zu bytes", n_bytes);
    memcpy(event, before, sizeof before - 1);
    size_t n = sizeof before - 1;
    n += escape(text, n_bytes, event + n);
    memcpy(event + n, after, sizeof after - 1);
    n += sizeof after - 1;
    size_t n_chunk = (size_t)sprintf(chunk, "%zx\r\n", n);
    memcpy(chunk + n_chunk, event, n);
    n_chunk += n;
    memcpy(chunk + n_chunk, "\r\n", 2);
    send_all(link->to_reader, chunk, n_chunk + 2);
}

static void http_end(transport_link *link) {
    static const char last[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    char rest[16];
    send_all(link->to_reader, last, sizeof last - 1);
    while (receive(link->to_reader, rest, sizeof rest) > 0) {
    }
    close(link->to_reader);
}

/* What an HTTP reader has and has not yet understood. */
typedef struct http_reader {
    int descriptor;
    char bytes[65536];
    size_t begin, end;
    char event[65536]; /* bodies of chunks, up to the end of an event */
    size_t n_event;
} http_reader;

static void http_more(http_reader *reader) {
    memmove(reader->bytes, reader->bytes + reader->begin, reader->end - reader->begin);
    reader->end -= reader->begin;
    reader->begin = 0;
    const size_t n = receive(reader->descriptor, reader->bytes + reader->end, sizeof reader->bytes - reader->end);
    if (n == 0)
        fail("the connection ended early");
    reader->end += n;
}

/* The next line, without its end; it stays valid until more is received. */
static char *http_line(http_reader *reader, size_t *length) {
    for (;;) {
        char *begin = reader->bytes + reader->begin, *end = memchr(begin, '\n', reader->end - reader->begin);
        if (end != NULL) {
            reader->begin += (size_t)(end - begin) + 1;
            *length = (size_t)(end - begin) - (end > begin && end[-1] == '\r');
            return begin;
        }
        http_more(reader);
    }
}

/* Appends the body of the next chunk to the event. Returns false after the last one. */
static bool http_chunk(http_reader *reader) {
    size_t length;
    const size_t n = strtoul(http_line(reader, &length), NULL, 16);
    while (reader->end - reader->begin < n + 2)
        http_more(reader);
    if (n > sizeof reader->event - reader->n_event)
        fail("an event is too long");
    memcpy(reader->event + reader->n_event, reader->bytes + reader->begin, n);
    reader->n_event += n;
    reader->begin += n + 2;
    return n > 0;
}

/* The string after "content": in [at, end), without its escapes. */
static size_t unescape_content(const char *at, const char *end, char *out) {
    static const char key[] = "\"content\":\"";
    const char *from = memmem(at, (size_t)(end - at), key, sizeof key - 1);
    char *to = out;
    if (from == NULL)
        return 0;
    for (at = from + sizeof key - 1; at < end && *at != '"'; at++) {
        if (*at != '\\') {
            *to++ = *at;
            continue;
        }
        at++;
        if (*at == 'u') {
            const char digits[5] = {at[1], at[2], at[3], at[4], 0};
            *to++ = (char)strtoul(digits, NULL, 16);
            at += 4;
        } else {
            *to++ = *at == 'n' ? '\n' : *at;
        }
    }
    return (size_t)(to - out);
}

/* Takes whole events out. */
static void http_events(http_reader *reader, transport_text_fn on_text, void *user_data) {
    char text[1024];
    char *at = reader->event, *end;
    const char *limit = reader->event + reader->n_event;
    while ((end = memmem(at, (size_t)(limit - at), "\n\n", 2)) != NULL) {
        const size_t n = unescape_content(at, end, text);
        if (n > 0)
            on_text(user_data, text, n);
        at = end + 2;
    }
    reader->n_event = (size_t)(limit - at);
    memmove(reader->event, at, reader->n_event);
}

static void http_read(transport_link *link, void (*ready)(void *user_data), transport_text_fn on_text, void *user_data) {
    static const char request[] = "POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                  "Content-Length: 33\r\n\r\n{\"prompt\":\"go on\",\"stream\":true}\r\n";
    static http_reader reader;
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                        .sin_port = htons((uint16_t)link->port)};
    size_t length;
    reader.descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (reader.descriptor < 0 || connect(reader.descriptor, (const struct sockaddr *)&address, sizeof address) != 0)
        fail("cannot connect: %s", strerror(errno));
    send_at_once(reader.descriptor);
    send_all(reader.descriptor, request, sizeof request - 1);
    do {
        http_line(&reader, &length);
    } while (length > 0);
    ready(user_data);
    while (http_chunk(&reader))
        http_events(&reader, on_text, user_data);
    close(reader.descriptor);
}

const transport transports[N_TRANSPORTS] = {
    {"channel", "the modern channel", channel_open, channel_start, channel_send, channel_end, channel_read},
    {"pipe", "a pipe", pipe_open, bytes_start, bytes_send, bytes_end, bytes_read},
    {"socket", "a unix socket", socket_open, bytes_start, bytes_send, bytes_end, bytes_read},
    {"http", "HTTP with server-sent events", http_open, http_start, http_send, http_end, http_read},
};
