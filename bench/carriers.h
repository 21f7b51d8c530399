/* carriers.h - ways to carry the tokens of an answer from one process to another: the modern channel and its peers.
 * Each sends the same text and has a reader that sleeps until there is more. */
#ifndef BENCH_CARRIERS_H
#define BENCH_CARRIERS_H

#include "../src/measure/stand_in.h"

typedef struct carrier_link {
    int to_reader, from_writer; /* descriptors of the two ends, as far as the carrier has any; -1: none */
    int port;                   /* HTTP: where the writer listens, with to_reader */
    stand_in host;              /* channel */
} carrier_link;

/* Called by a reader with text that has arrived, in order. */
typedef void (*carrier_text_fn)(void *user_data, const char *text, size_t n_bytes);

typedef struct carrier {
    const char *name, *what;
    void (*open)(carrier_link *link, uint32_t n_bytes);      /* before the reader is forked */
    void (*start)(carrier_link *link);                       /* writer: meets the reader */
    void (*send)(carrier_link *link, const char *text, size_t n_bytes);
    void (*end)(carrier_link *link);                         /* writer: the answer is complete; lets go of everything */
    /* Reader: meets the writer, calls `ready` and then `on_text` until the end. */
    void (*read)(carrier_link *link, void (*ready)(void *user_data), carrier_text_fn on_text, void *user_data);
} carrier;

#define N_CARRIERS 4
#define CARRIER_CHANNEL 0
extern const carrier carriers[N_CARRIERS];

#endif
