/* fetch.h - a model by its name, fetched by a process of its own: `chatbot --pull --report`. What comes from a network is parsed
 * there, and not where the model or an application is; a crash costs a try, which goes on where the last one was.
 *
 * The process says how far it is in lines on standard error: "progress DONE TOTAL PER_SECOND", "say TEXT", and at its end
 * "path PATH", "missing SENTENCE" or "failed SENTENCE". It ends when the one that started it is gone.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "../platform/platform.h"

#include <stdbool.h>
#include <stdint.h>

#define FETCH_PATH_SIZE 4096
#define FETCH_NAME_SIZE 4096
#define FETCH_MESSAGE_SIZE 640

typedef enum fetch_state {
    FETCH_RUNS,
    FETCH_DONE,    /* `path` is the model's file */
    FETCH_MISSING, /* there is no such model: `message` */
    FETCH_FAILED   /* `message` says why */
} fetch_state;

/* Is told what the process says besides its progress; `is_trouble`: what is about to fail. */
typedef void (*fetch_say)(bool is_trouble, const char *line);

typedef struct fetch {
    fetch_state state;
    plat_child *child;  /* NULL: none runs */
    fetch_state said;   /* what the process says is how it ends; RUNS: nothing yet */
    int n_starts;
    bool is_offline;
    fetch_say say;
    char program[FETCH_PATH_SIZE];
    char name[FETCH_NAME_SIZE];
    uint64_t n_done, n_total, per_second;
    char path[FETCH_PATH_SIZE];
    char message[FETCH_MESSAGE_SIZE];
    char line[FETCH_PATH_SIZE + 64]; /* what has come of one */
    size_t n_line;
} fetch;

/* Starts `program`, the host program; `name` as in src/text/model_name.h. If that fails, the state says so, and there is no
 * child. `say` may be NULL. */
void fetch_start(fetch *fetch, const char *program, const char *name, bool is_offline, fetch_say say);

/* What is new. Does not wait. True: it has changed. */
bool fetch_look(fetch *fetch);

/* Ends the process, if there is one, and waits until it is gone: milliseconds. What has come is kept for the next try. */
void fetch_end(fetch *fetch);

#endif
