/* crowd.h - clients at once, each in a process of its own: of a host, through liblipc, or of llama-server, through HTTP.
 *
 * Both kinds are written in C and do the same: they are connected before the clock starts, send one request, and note
 * down when how many tokens had come. The notes lie in memory that this program shares with them, so that they are
 * there however a client ends.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include <stdint.h>
#include <sys/types.h>

#define CROWD_ARRIVALS_MAX 4096
/* For crowd_request.n_predict: until the context is full, or somebody ends it. */
#define CROWD_ENDLESS (-1)

typedef struct crowd_arrival {
    int64_t at_ns;
    int32_t n_tokens; /* that have come by then, all in all */
} crowd_arrival;

typedef struct crowd_notes {
    uint32_t is_ready, may_go; /* connected; told to begin */
    int64_t start_ns;          /* when the request was sent */
    int32_t n_prompt;          /* tokens of the prompt, of a host's client */
    uint32_t n_arrivals;       /* written after the arrival */
    crowd_arrival arrivals[CROWD_ARRIVALS_MAX];
} crowd_notes;

/* Whom the clients ask: a host by its name, or a server (instance NULL) by its port. */
typedef struct crowd_subject {
    const char *instance;
    int port;
} crowd_subject;

typedef struct crowd_request {
    int number;    /* makes the text another one */
    int n_words;   /* of its text; a word is one token of the random models */
    int n_predict; /* tokens of answer, or CROWD_ENDLESS */
} crowd_request;

typedef struct crowd_cost {
    double tokens_per_s; /* of all together, while all of them got tokens; of one, from its first to its last */
    double first_ms;     /* from asking to the first token, median of the clients */
    int n_prompt;        /* of a host's clients */
} crowd_cost;

/* So many words that are one token each, the first of them made of the number; static until the next call. */
const char *crowd_text(int number, int n_words);

crowd_notes *crowd_notes_new(int n);
void crowd_notes_free(crowd_notes *notes, int n);

/* Starts a client, which connects and then waits for notes->may_go. */
pid_t crowd_client_start(const crowd_subject *subject, const crowd_request *request, crowd_notes *notes);
/* Waits until it is connected, or lets it go. */
void crowd_client_wait_ready(const crowd_notes *notes);
void crowd_client_go(crowd_notes *notes);
/* Arrivals so far; those before are complete. */
uint32_t crowd_arrivals(const crowd_notes *notes);
/* Waits until there are n; the program ends if they do not come within a minute. */
void crowd_wait_arrivals(const crowd_notes *notes, uint32_t n);

/* So many clients at once, each with another text of n_words, asking for n_tokens. */
crowd_cost crowd_ask(const crowd_subject *subject, int n_clients, int n_words, int n_tokens);

#endif
