/* scenarios.h - what clients do from their coming to their leaving, with a look at every byte they get: as companions of a
 * host that is killed, and as the victims. */
#ifndef LIPC_TESTS_SCENARIOS_H
#define LIPC_TESTS_SCENARIOS_H

#include "../modern/modern_test.h"

/* Returns 0 if everything went as if nobody had died, or the first error that the library gave. Wrong text or a wrong
 * order of things fails the test. */
typedef int (*scenario_fn)(const char *instance, const script *script);

/* Attaches; runs, queues, cancels, detaches, finds again, follows, is refused, is paced; leaves with work at hand. */
int scenario_modern(const char *instance, const script *script);
/* Ends the host. */
int scenario_modern_shutdown(const char *instance, const script *script);
/* Streams, asks for whole answers, cancels. */
int scenario_classic(const char *instance, const script *script);
int scenario_classic_shutdown(const char *instance, const script *script);
/* A client as the guide has it, which takes its permits late, asks without waiting for its turn, and forgets to ask.
 * Gives up where it gets nothing. */
int scenario_rudely(const char *instance, const script *script);

/* Reads what is new until the answer has n_bytes or is over. Returns 0 or how the reading ended; *n_read counts on. */
int read_checked(lipc_stream *stream, const script *script, size_t n_bytes, size_t *n_read);

/* Leaves a long answer behind in its middle. */
void leave_answer(const char *instance, const script *script, char id[LIPC_STREAM_ID_SIZE]);
/* Finds it again, and reads it whole. Returns as a life does. */
int find_answer(const char *instance, const script *script, const char *id);

/* A client that comes now gets a whole answer. Returns the milliseconds till its first text. */
double serve_modern_newcomer(const char *instance, const script *script);
double serve_classic_newcomer(const char *instance, const script *script);

/* The text behind a script's path. */
script script_load(const char *path);

/* The same text for a host to play, with a thought before it and a call within it: who reads the text alone notices
 * nothing. */
script script_with_parts(const script *script);

#endif
