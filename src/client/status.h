/* status.h - what a host shows of itself, read by whoever has its segment mapped. */
#ifndef CLIENT_STATUS_H
#define CLIENT_STATUS_H

#include "../channel/hub.h"

#include "lipc/lipc.h"

/* Copies and checks. That it is the host's, and that this lives, the caller finds out behind it. */
void status_read(const hub_view *view, int host_pid, lipc_host_status *status);

/* Text of the segment into `text`, terminated and valid whatever lies there. */
void status_copy_text(char *text, size_t size_bytes, const char *shared, size_t shared_size);

#endif
