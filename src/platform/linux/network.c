/* network.c - whether there is a server. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool connects(const struct addrinfo *address, int timeout_ms) {
    int error = 0, descriptor = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
    if (descriptor < 0) return false;
    connect(descriptor, address->ai_addr, address->ai_addrlen); /* its outcome is the socket's state */
    struct pollfd writable = {.fd = descriptor, .events = POLLOUT};
    socklen_t size = sizeof error;
    int n_ready;
    while ((n_ready = poll(&writable, 1, timeout_ms)) < 0 && errno == EINTR) {
    }
    bool is_there = n_ready == 1 && getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
    close(descriptor);
    return is_there;
}

bool plat_server_answers(const char *host, const char *port, int timeout_ms) {
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    bool is_there = false;
    if (getaddrinfo(host, port, &wanted, &found) != 0) return false;
    for (const struct addrinfo *each = found; each && !is_there; each = each->ai_next) is_there = connects(each, timeout_ms);
    freeaddrinfo(found);
    return is_there;
}
