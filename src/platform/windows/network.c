/* network.c - whether there is a server. */
#include "internal.h"

bool plat_server_answers(const char *host, const char *port, int timeout_ms) {
    (void)host, (void)port, (void)timeout_ms;
    return true;
}
