/* subjects.h - what is measured: a host, through liblipc or as the guide's clients do it, and the bare loop. */
#ifndef BENCH_SUBJECTS_H
#define BENCH_SUBJECTS_H

#include "../src/measure/answers.h"
#include "../src/measure/measure.h"

#include <lipc/layout.h>
#include <lipc/lipc.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>

/* What was asked for on the command line, and what follows from it. */
typedef struct bench_options {
    const char *chatbot, *bare_loop, *random_model; /* programs */
    const char *peer;                               /* folder of llama-server and its like */
    const char *models;                             /* folder of the random models */
    const char *results;                            /* file; NULL: print only */
    const char *only;                               /* groups, separated by commas; NULL: all */
    const char *model;                              /* models, likewise; NULL: all */
    int n_rounds;
    int n_threads;
    int retry_s; /* see measure.h */
    bool is_verbose;
} bench_options;

/* ---- models ----------------------------------------------------------------------------------------------------- */

typedef struct bench_model {
    const char *name;     /* of the preset, and in row names */
    const char *vocabulary; /* of llama.cpp's, to be put under its weights; NULL: a made-up one */
    double least_ratio;   /* the bar for streaming through the host against the bare loop */
    int n_repeats_128;    /* answers of 128 and of 512 tokens in one round: short ones are repeated */
    int n_repeats_512;
} bench_model;

#define N_BENCH_MODELS 2
extern const bench_model bench_models[N_BENCH_MODELS];
/* Only of the engine: sizes that people use; the vocabulary of Qwen; a sliding window; layers with a state; and one whose likeliest
 * text repeats itself, for drafts. */
extern const bench_model bench_model_374m, bench_model_1_1b, bench_model_152k, bench_model_gemma3, bench_model_lfm2, bench_model_loop;

/* Whether the command line leaves the model in. */
bool uses_model(const bench_options *options, const bench_model *model);

/* The path of the model's file, which is made if it is not there. Static, until the next call. */
const char *model_path(const bench_options *options, const bench_model *model);

/* ---- host ------------------------------------------------------------------------------------------------------- */

typedef struct host_subject {
    pid_t pid;
    char name[LIPC_NAME_MAX + 1];
    lipc_classic *library; /* the client of liblipc, classic channel */
    lipc_client *modern;   /* and modern channel */
    /* The client of the guide: its own mapping and semaphores. */
    lipc_classic_block *block;
    sem_t *ready, *prompts_written, *response_written, *chunk_ready;
} host_subject;

/* Starts a host without connecting to it. n_predict < 0: the host's default. */
void host_start(host_subject *host, const bench_options *options, const char *model_path, int n_predict);
/* The same for n_parallel answers at a time, each with a context of n_ctx tokens, and with further arguments up to NULL
 * (or NULL itself). */
void host_start_for(host_subject *host, const bench_options *options, const char *model_path, int n_threads, int n_ctx,
                    int n_parallel, const char *const further[]);
/* Waits until it can serve, with all clients connected. */
void host_connect(host_subject *host);
/* Asks it to end, and waits. */
void host_stop(host_subject *host);
/* After kill -9: reaps it and removes the objects it left. */
void host_bury(host_subject *host);
/* Opens the five objects as a client of the guide does. False if one is not there. */
bool host_open_objects(host_subject *host);
void host_close_objects(host_subject *host);

/* Streams an answer by the guide's flow, call by call: semaphores, block, nothing else. */
answer_cost host_stream_raw(host_subject *host, const prompts *prompts);
/* Streams an answer through lipc_classic_stream. */
answer_cost host_stream_library(host_subject *host, const prompts *prompts);
/* Streams an answer through the modern channel: lipc_stream_open, _read, _close. */
answer_cost host_stream_modern(host_subject *host, const prompts *prompts);

/* ---- the modern channel ----------------------------------------------------------------------------------------- */

/* Starts a host that plays a text, `rate` tokens per second for each answer (0: as fast as possible). */
void replay_start(host_subject *host, const bench_options *options, const char *text_path, int rate, int n_streams);
/* Starts a host with the model that is built into it. */
void embedded_start(host_subject *host, const bench_options *options);
/* A text of so many tokens to be played, kept in memory under a path that lives as long as this program. `text`: where
 * to leave it, if not NULL; the caller frees it. */
const char *replay_text(int n_tokens, char **text);

/* ---- bare loop -------------------------------------------------------------------------------------------------- */

void bare_start(bare_subject *bare, const bench_options *options, const char *model_path);
/* With another number of threads, and room for evaluating several sequences of n_ctx tokens together. */
void bare_start_for(bare_subject *bare, const bench_options *options, const char *model_path, int n_threads, int n_ctx,
                    int n_sequences);

#endif
