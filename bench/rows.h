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
/* carry: the same tokens by the modern channel, a pipe, a unix socket and HTTP with server-sent events. */
void rows_carriers(results *list, const bench_options *options);
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
/* engine: the host against evaluation alone and against llama-server: throughput, newcomers, cancelling, cache. */
void rows_engine(results *list, const bench_options *options);
/* In the same group: what is not throughput. */
void rows_engine_turns(results *list, const bench_options *options);

#endif
