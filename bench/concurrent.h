/* concurrent.h - clients at once, each in a process of its own: of a host, through liblipc, or of llama-server, through HTTP.
 *
 * Both kinds are written in C and do the same: they are connected before the clock starts, send one request, and note
 * down when how many tokens had come. The notes lie in memory that this program shares with them, so that they are
 * there however a client ends.
 */
#ifndef BENCH_CONCURRENT_H
#define BENCH_CONCURRENT_H

#include <stdint.h>
#include <sys/types.h>

#define CONCURRENT_ARRIVALS_MAX 4096
/* For concurrent_request.n_predict: until the context is full, or somebody ends it. */
#define CONCURRENT_ENDLESS (-1)

typedef struct concurrent_arrival {
    int64_t at_ns;
    int32_t n_tokens; /* that have come by then, all in all */
} concurrent_arrival;

typedef struct concurrent_notes {
    uint32_t is_ready, may_go; /* connected; told to begin */
    int64_t start_ns;          /* when the request was sent */
    int32_t n_prompt;          /* tokens of the prompt, of a host's client */
    uint32_t n_arrivals;       /* written after the arrival */
    concurrent_arrival arrivals[CONCURRENT_ARRIVALS_MAX];
} concurrent_notes;

/* Whom the clients ask: a host by its name, or a server (instance NULL) by its port. */
typedef struct concurrent_subject {
    const char *instance;
    int port;
} concurrent_subject;

typedef struct concurrent_request {
    int number;    /* makes the text another one */
    int n_words;   /* of its text; a word is one token of the random models */
    int n_predict; /* tokens of answer, or CONCURRENT_ENDLESS */
} concurrent_request;

typedef struct concurrent_cost {
    double tokens_per_s; /* of all together, while all of them got tokens; of one, from its first to its last */
    double first_ms;     /* from asking to the first token, median of the clients */
    int n_prompt;        /* of a host's clients */
} concurrent_cost;

/* So many words that are one token each, the first of them made of the number; static until the next call. */
const char *concurrent_text(int number, int n_words);

concurrent_notes *concurrent_notes_new(int n);
void concurrent_notes_free(concurrent_notes *notes, int n);

/* Starts a client, which connects and then waits for notes->may_go. */
pid_t concurrent_client_start(const concurrent_subject *subject, const concurrent_request *request, concurrent_notes *notes);
/* Waits until it is connected, or lets it go. */
void concurrent_client_wait_ready(const concurrent_notes *notes);
void concurrent_client_go(concurrent_notes *notes);
/* Arrivals so far; those before are complete. */
uint32_t concurrent_arrivals(const concurrent_notes *notes);
/* Waits until there are n; the program ends if they do not come within a minute. */
void concurrent_wait_arrivals(const concurrent_notes *notes, uint32_t n);

/* So many clients at once, each with another text of n_words, asking for n_tokens. */
concurrent_cost concurrent_ask(const concurrent_subject *subject, int n_clients, int n_words, int n_tokens);

#endif
