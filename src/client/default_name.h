/* default_name.h - the instance that is meant where a program names none. */
#ifndef CLIENT_DEFAULT_NAME_H
#define CLIENT_DEFAULT_NAME_H

#include "lipc/layout.h"

#include <stdlib.h>

/* LIPC_NAME, as for hosts, llamaipc and the C# library; without it, the default. */
static inline const char *client_default_name(void) {
    const char *name = getenv("LIPC_NAME");
    return name && name[0] ? name : LIPC_DEFAULT_NAME;
}

#endif
