/* transports.h - ways to bring the tokens of an answer from one process to another: the modern channel and its peers.
 * Each sends the same text and has a reader that sleeps until there is more. */
#ifndef BENCH_TRANSPORTS_H
#define BENCH_TRANSPORTS_H

#include "../src/measure/stand_in.h"

typedef struct transport_link {
    int to_reader, from_writer; /* descriptors of the two ends, as far as the transport has any; -1: none */
    int port;                   /* HTTP: where the writer listens, with to_reader */
    stand_in host;              /* channel */
} transport_link;

/* Called by a reader with text that has arrived, in order. */
typedef void (*transport_text_fn)(void *user_data, const char *text, size_t n_bytes);

typedef struct transport {
    const char *name, *what;
    void (*open)(transport_link *link, uint32_t n_bytes);      /* before the reader is forked */
    void (*start)(transport_link *link);                       /* writer: meets the reader */
    void (*send)(transport_link *link, const char *text, size_t n_bytes);
    void (*end)(transport_link *link);                         /* writer: the answer is complete; lets go of everything */
    /* Reader: meets the writer, calls `ready` and then `on_text` until the end. */
    void (*read)(transport_link *link, void (*ready)(void *user_data), transport_text_fn on_text, void *user_data);
} transport;

#define N_TRANSPORTS 4
#define TRANSPORT_CHANNEL 0
extern const transport transports[N_TRANSPORTS];

#endif
