/* client_registry.h - which clients are attached, which are gone, and ringing them.
 *
 * Liveness comes from the operating system: each client's process is watched (pid and start time), and nothing is
 * asked of the client itself. One that is stopped, slow or in a debugger stays.
 */
#ifndef HOST_CLIENT_REGISTRY_H
#define HOST_CLIENT_REGISTRY_H

#include "../channel/hub.h"

typedef struct client_registry client_registry;

/* `segment` is the one that clients have mapped, `host_pid` the host's, which is no client. `host_bell` is rung when a
 * client has died. NULL if it cannot be made: plat_os_error() says why. */
client_registry *client_registry_open(const hub_view *view, const plat_segment *segment, int host_pid,
                                      plat_doorbell *host_bell);

/* Looks at all records: watches those who came, finds those who left or died. */
void client_registry_scan(client_registry *registry);

/* Whether a client's record is in use and its holder not known to be gone. False for any other index. */
bool client_registry_is_present(const client_registry *registry, uint32_t client);

/* Whether the process of a client is known to have died; also between two looks. Any thread. */
bool client_registry_has_died(const client_registry *registry, uint32_t client);

/* Those found gone by the last look: calls `on_gone` for each and then frees its record. */
void client_registry_dismiss(client_registry *registry, void (*on_gone)(void *user_data, uint32_t client), void *user_data);

/* Rings one client, or all that are attached. */
void client_registry_ring(client_registry *registry, uint32_t client, uint32_t about);
void client_registry_ring_all(client_registry *registry, uint32_t about);

/* NULL allowed. */
void client_registry_close(client_registry *registry);

#endif
