/* rows.h - the groups of rows. Each measures and adds its rows to the list; --only picks groups by these names. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include "results.h"
#include "subjects.h"

/* stream: answers through the host against the bare loop; first token and memory of the same two processes. */
void rows_stream(results *list, const bench_options *options);
/* first: time to the first token, from rest, host against bare loop. */
void rows_first(results *list, const bench_options *options);
/* start: from starting a host until its objects can be opened. */
void rows_start(results *list, const bench_options *options);
/* death: from kill -9 of a host until the waiting call of a client returns. */
void rows_death(results *list, const bench_options *options);
/* idle: processor time of an idle host and of a waiting client; round trip of an empty request. */
void rows_idle(results *list, const bench_options *options);
/* wake: cost of publishing a token, and of waking who waits for it. */
void rows_wake(results *list, const bench_options *options);
/* channel: the modern channel by itself: publishing, and waking against a bare futex. */
void rows_channel(results *list, const bench_options *options);
/* transports: the same tokens by the modern channel, a pipe, a unix socket and HTTP with server-sent events. */
void rows_transports(results *list, const bench_options *options);
/* clients: clients of the modern channel on a real host: reading, many at once, deaths, cancelling, idling. */
void rows_clients(results *list, const bench_options *options);
/* ask: the first byte of llamaipc ask. */
void rows_ask(results *list, const bench_options *options);
/* top: a stream's speed with llamaipc top attached and without. */
void rows_top(results *list, const bench_options *options);
/* recovery, with the clients: from kill -9 of a host's worker to the next token at a client. */
void rows_recovery(results *list, const bench_options *options);
/* sampler: choosing a token, the engine's sampler against libllama's chain. */
void rows_sampler(results *list, const bench_options *options);

/* The engine; --only engine runs all of these.
 *
 * throughput: tokens per second against evaluation alone and against llama-server. */
void rows_engine(results *list, const bench_options *options);
/* prompt: a prompt of 2,000 tokens alone. */
void rows_prompt(results *list, const bench_options *options);
/* beside: such a prompt beside 4 answers. */
void rows_beside(results *list, const bench_options *options);
/* text: 1 MB of text becomes tokens beside 4 answers. */
void rows_text(results *list, const bench_options *options);
/* turn: the second turn of a conversation of 1,000 tokens. */
void rows_second_turn(results *list, const bench_options *options);
/* killed: the worker is killed behind 1,000 tokens. */
void rows_killed(results *list, const bench_options *options);
/* ready: from start to serving. */
void rows_ready(results *list, const bench_options *options);
/* cancel: cancelling while a prompt is read. */
void rows_cancel(results *list, const bench_options *options);
/* draft: a draft model, against the same in llama-server. */
void rows_draft(results *list, const bench_options *options);

/* lookup: drafts from repetitive text. */
void rows_lookup(results *list, const bench_options *options);
/* memory: after many requests. */
void rows_memory(results *list, const bench_options *options);

#endif
