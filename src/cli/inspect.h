/* inspect.h - looking at a host from outside: through a read-only mapping of its segment, without being its client.
 *
 * Nothing here can hold the host up or harm it, and it works on what a dead host left, too. All that is read is copied,
 * and checked as far as it leads anywhere.
 */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include "../channel/hub.h"
#include "../channel/stream.h"

#include "lipc/lipc.h"

typedef struct inspection {
    plat_segment *segment;
    hub_view view;
    hub_identity identity; /* its host_pid is the host's, or the dead one's */
    bool is_alive;         /* when it was opened; inspect_is_alive says it again */
} inspection;

/* Maps what there is under the name. What a host that lives would mend is given two seconds for that. Errors, with the
 * sentence in `message`: NO_HOST (no segment, or a process that is no host has its lock), TIMEOUT (a host is just
 * beginning), ACCESS (another user's, or in another pid namespace), LAYOUT (damaged, of another version, or without the
 * modern channel), NO_MEMORY, SYSTEM. */
#define INSPECT_MESSAGE_SIZE 512
int inspect_open(inspection *inspection, const char *name, char message[INSPECT_MESSAGE_SIZE]);
void inspect_close(inspection *inspection);

/* A host of that name which cannot be found by it: its name was taken away, or it lies in another /dev/shm. Writes a
 * sentence about it; false: there is none that this user may know of. Looks at all processes: some 10 ms. */
bool inspect_stray(const char *name, char sentence[INSPECT_MESSAGE_SIZE]);

/* Whether the host that was found lives and still owns the segment. */
bool inspect_is_alive(const inspection *inspection);

/* What the host shows of itself; state GONE if it is dead. */
typedef struct inspected_host {
    lipc_host_status status;
    int worker_pid;
    int n_recoveries;
    double uptime_s; /* negative: not known */
} inspected_host;

void inspect_host(const inspection *inspection, inspected_host *host);

/* What a process is called, as the system has it; "(ended)" if it has. */
#define INSPECT_PROGRAM_SIZE 64

/* One client's record at one moment. */
typedef struct inspected_client {
    int pid;
    bool has_ended;    /* the process; its record is still to be freed */
    bool is_waiting;   /* for a stream: all are in use */
    uint32_t n_ahead;  /* requests ahead of it then */
    char program[INSPECT_PROGRAM_SIZE];
} inspected_client;

/* False: the record is free. */
bool inspect_client(const inspection *inspection, uint32_t index, inspected_client *client);

/* One stream at one moment. */
typedef struct inspected_stream {
    uint32_t place;       /* 0, 1, ...; people count from 1 */
    uint32_t generation;
    uint32_t phase;       /* LIPC_CLAIM_* */
    int owner_pid;        /* 0: none */
    uint32_t owner;       /* its record; LIPC_NO_OWNER */
    uint32_t n_cached;    /* tokens of the prompt that were in the cache already */
    lipc_progress progress;
    char id[LIPC_STREAM_ID_SIZE];
} inspected_stream;

/* False: the place is free. */
bool inspect_stream(const inspection *inspection, uint32_t place, inspected_stream *stream);

/* The classic channel: tokens of the answer that is being made, or was made last. */
int inspect_classic(const inspection *inspection);

/* Tokens per second of an answer since its first token; 0 if there is none to tell of. */
double inspect_speed(const lipc_progress *progress);

#endif
