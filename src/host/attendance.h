/* attendance.h - which clients are attached, which are gone, and ringing them.
 *
 * Liveness comes from the operating system: each client's process is watched (pid and start time), and nothing is
 * asked of the client itself. One that is stopped, slow or in a debugger stays.
 */
#ifndef HOST_ATTENDANCE_H
#define HOST_ATTENDANCE_H

#include "../channel/hub.h"

typedef struct attendance attendance;

/* `host_bell` is rung when a client has died. NULL if it cannot be made: plat_os_error() says why. */
attendance *attendance_open(const hub_view *view, plat_doorbell *host_bell);

/* Looks at all records: watches those who came, finds those who left or died. */
void attendance_look(attendance *attendance);

/* Whether a client's record is in use and its holder not known to be gone. False for any other index. */
bool attendance_is_present(const attendance *attendance, uint32_t client);

/* Whether the process of a client is known to have died; also between two looks. Any thread. */
bool attendance_has_died(const attendance *attendance, uint32_t client);

/* Those found gone by the last look: calls `on_gone` for each and then frees its record. */
void attendance_dismiss(attendance *attendance, void (*on_gone)(void *user_data, uint32_t client), void *user_data);

/* Rings one client, or all that are attached. */
void attendance_ring(attendance *attendance, uint32_t client, uint32_t about);
void attendance_ring_all(attendance *attendance, uint32_t about);

/* NULL allowed. */
void attendance_close(attendance *attendance);

#endif
