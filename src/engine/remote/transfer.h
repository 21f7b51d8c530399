/* transfer.h - requests to servers, made by a thread of its own, which runs libcurl, and read by the engine's without ever
 * waiting: many at a time, over few connections where the server speaks HTTP/2.
 *
 * What the two threads share, and who writes it:
 *
 *     transfer.state      RUNS at first. The network's thread puts OVER there when it has finished with it, the engine's LEFT or
 *                         DROPPED when it wants no more of it, each by an exchange, and whoever comes second frees it.
 *     transfer.written    bytes that have ever come, by the network's thread behind the bytes in the ring and the head of the reply
 *                         (release); the engine's thread reads it first (acquire)
 *     transfer.taken      bytes that the engine's has used, likewise the other way round
 *     transfer.is_full    by the network's thread, when there is no room in the ring; the engine's thread takes it back when it has
 *                         made room, and then wakes the other
 *     network.submitted   a list of new transfers: the engine's thread pushes one, the network's takes all
 *     network.must_end    by the engine's thread
 *
 * Everything else of a transfer is the network's until its state is OVER, and the engine's from then on; the head of the reply
 * (status, type) may be read as soon as a byte is there.
 */
#ifndef REMOTE_TRANSFER_H
#define REMOTE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct network network;
typedef struct transfer transfer;

typedef struct network_options {
    const char *key;          /* sent as "Authorization: Bearer ..."; NULL: none */
    const char *certificates; /* a file of those to trust; NULL: the system's */
    int connect_timeout_ms;
    void (*on_news)(void *user_data); /* something has come, or is over; in the network's thread, must be quick */
    void *user_data;
} network_options;

/* The head of a reply. */
typedef struct transfer_head {
    int status;          /* of HTTP; 0: none came */
    char type[64];       /* "text/event-stream", in lower case, without parameters */
    int retry_after_s;   /* -1: not said */
} transfer_head;

/* How a transfer ended. */
typedef struct transfer_result {
    bool has_failed;     /* the reply is not whole */
    bool is_hopeless;    /* and would not be another time: a certificate is wrong */
    char message[256];   /* why */
} transfer_result;

/* NULL: `message` says why. The options are copied, but for the texts, which must outlive it. */
network *network_open(const network_options *options, char *message, size_t message_size);

/* Ends what runs. All transfers have been left or dropped. NULL allowed. */
void network_close(network *network);

/* Posts a JSON text; NULL: not enough memory. `address` must live as long as the network, the text is copied. `is_direct`: through none
 * of the environment's proxies. How long a server may be silent is the caller's business. */
transfer *transfer_post(network *network, const char *address, bool is_direct, const char *body, size_t n_bytes);

/* Whether there are bytes to read, or nothing more will come. */
bool transfer_has_news(const transfer *transfer);

/* Bytes that have come, as many as lie together; transfer_take says how many of them were used. */
const char *transfer_bytes(const transfer *transfer, size_t *n_bytes);
void transfer_take(transfer *transfer, size_t n_bytes);

/* The head, once there are bytes or it is over. */
const transfer_head *transfer_head_of(const transfer *transfer);

/* How it ended; NULL: it has not, or there are bytes to read. */
const transfer_result *transfer_result_of(const transfer *transfer);

/* Lets go of it. Left, it is read to its end first, if that comes soon, so that the connection can be used again; dropped, its
 * connection is closed at once. NULL allowed. */
void transfer_leave(transfer *transfer);
void transfer_drop(transfer *transfer);

#endif
