/* peer.h - llama-server, llama-bench and llama-batched-bench, built from the same source and running on the same libllama
 * as our host (scripts/fetch-libllama.sh peer).
 *
 * The client of the server is as cheap as a client of HTTP can be, so that it is the server which is measured: a plain
 * socket, one request, and events counted where they lie in the buffer, without reading their JSON.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "subjects.h"

/* ---- llama-server ----------------------------------------------------------------------------------------------- */

typedef struct peer_server {
    pid_t pid; /* 0: there is none */
    int port;
} peer_server;

/* How a server or a bench is to run. */
typedef struct peer_setup {
    const char *model_path;
    int n_ctx;      /* of each sequence */
    int n_parallel;
    int n_threads;
    const char *draft_path; /* a draft model for the server; NULL: none */
} peer_setup;

/* Whether the programs are there; says once where they would come from if not. */
bool peer_is_there(const bench_options *options);

/* Starts a server and waits until it serves; looks every few milliseconds. */
void peer_start(peer_server *server, const bench_options *options, const peer_setup *setup);
void peer_stop(peer_server *server);
/* Whether any of its slots works on something; answered between two evaluations. */
bool peer_is_busy(const peer_server *server);

typedef struct peer_stream {
    int fd;
    int n_events;  /* server-sent events so far */
    int n_matched; /* bytes of the mark that begins an event */
    bool has_status;
} peer_stream;

void peer_connect(peer_stream *stream, int port);
/* Sends a request for a completion of the text as our host's template frames it, with the host's sampling parameters.
 * n_predict < 0: without end. */
void peer_send(peer_stream *stream, const char *text, int n_predict);
/* Waits for more and counts the events in it. False: that was all. */
bool peer_read(peer_stream *stream);
void peer_disconnect(peer_stream *stream);

/* ---- evaluation alone, as the peer's own programs measure it ------------------------------------------------------
 *
 * Each starts a program, which loads the model, evaluates once, and ends. NAN if there is no peer. */

/* Tokens per second of so many tokens behind so many others, of one sequence (llama-bench) or of n_parallel sequences
 * together (llama-batched-bench). */
double peer_generation(const bench_options *options, const peer_setup *setup, int n_prompt, int n_tokens);
/* Milliseconds that a prompt of so many tokens takes (llama-bench). */
double peer_prefill_ms(const bench_options *options, const peer_setup *setup, int n_prompt);

#endif
