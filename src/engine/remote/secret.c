/* secret.c - see secret.h. */
#include "secret.h"

#include <string.h>
#include <strings.h>

size_t secret_remove(const char *secret, char *text, size_t n_bytes) {
    size_t n_secret = secret ? strlen(secret) : 0, n = 0;
    if (n_secret == 0) return n_bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        text[n++] = text[i];
        /* Also where taking one out has made another. */
        if (n >= n_secret && strncasecmp(text + n - n_secret, secret, n_secret) == 0) n -= n_secret;
    }
    for (size_t part = n < n_secret ? n : n_secret - 1; part >= SECRET_PART_MIN; part--)
        if (strncasecmp(text + n - part, secret, part) == 0) return n - part;
    return n;
}
