/* options.h - the host's options: one table makes the parser, the help and the manual page. */
#ifndef HOST_OPTIONS_H
#define HOST_OPTIONS_H

#include "log.h"

#include "../options/options.h"

#include "lipc/layout.h"
#include "lipc/parameters.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct host_options {
    const char *model_path; /* NULL: the embedded model; a path, or a name (text/model_name.h). Points into argv, the environment, or
                               a place of its own */
    const char *hf_repo, *model_url; /* what model_path was made of; NULL: neither */
    const char *name;       /* likewise */
    int32_t n_ctx;          /* 0: as trained; -1: as trained, but at most HOST_CTX_DEFAULT_MAX */
    int32_t n_threads;      /* 0: one for each physical core, fewer beside busy programs */
    const char *n_gpu_layers; /* as llama.cpp spells it; NULL: auto */
    LIPC_PARAMETER_MAP(LIPC_PARAMETER_FIELD) /* what requests leave to the host */
    int32_t n_streams;      /* streams in the segment */
    int32_t n_parallel;     /* answers made at a time; 0: as the engine sees fit, with a replay as many as streams */
    uint32_t request_size;  /* bytes of each stream's request area and of its response log */
    uint32_t response_size;
    const char *record_path;/* NULL: nothing is kept */
    const char *replay_path;/* NULL: a model. Points into argv or the environment */
    float replay_rate;      /* tokens per second of each answer; 0: as fast as possible */
    option_texts remote;       /* addresses of servers that answer in place of a model; none: a model */
    const char *remote_model;  /* NULL: the servers' only one */
    const char *remote_ca;     /* NULL: the system's certificates */
    int32_t remote_connect_s, remote_idle_s; /* time-outs */
    bool remote_fallback;      /* the model answers what no server begins */
    const char *api_key_file;  /* NULL: no key */
    const char *api_key;       /* what is in it (key_file.h); NULL: none. Not of the table */
    const char *chat_template;        /* NULL: the model's own. Points into argv or the environment, as the next ones */
    const char *chat_template_file;   /* NULL: none */
    const char *chat_template_kwargs;
    int reasoning_format;             /* index into HOST_REASONING_FORMATS */
    int reasoning;                    /* 0 auto, 1 on, 2 off: engine_thinking */
    int32_t reasoning_budget;         /* tokens; 0: any number */
    log_level log_level;
    bool ignore_eos;
    bool lookup;            /* --spec-type ngram-simple */
    int32_t n_batch;        /* tokens evaluated in one call */
    int32_t n_ubatch;       /* ... and in one pass through the weights */
    const char *prefill_budget; /* "latency", "throughput" or milliseconds; NULL: the engine's choice */
    int32_t prefill_budget_ms; /* the same as the engine understands it */
    int32_t sleep_idle_s;   /* without work for so long, the model's memory is given back; 0 or less: never */
    bool context_shift;
    bool repeatable;        /* evaluate each answer by itself */
    bool no_warmup;
    bool exit_with_parent;
    bool no_supervise;      /* one process, which is not started again if it dies */
    bool offline;           /* of models by name, only what is in the cache */
    bool pull, report;      /* fetch the model, and no more; say so in lines for a program */
    bool cache_list;        /* list the models in the cache, and no more */
    const char *cache_remove; /* ... or remove this one; NULL: none */
    bool check;             /* library and model, and no more */
    bool list_devices;
    const char *rpc_server; /* lend this machine's devices at this address, and no more; NULL: no */
    struct arguments *library; /* llama.cpp's own options; not of the table */
    bool show_version;
    bool show_help, show_help_all;
} host_options;

#define HOST_REASONING_FORMATS "auto|deepseek|none"

/* Models are trained with contexts whose cache would fill the machine; nobody who said nothing wants that. */
#define HOST_CTX_DEFAULT_MAX 4096

/* Fills `options` from the defaults, then the environment, then the command line; the later wins. Returns false with
 * one sentence in `message` (what, which value, what to do) if an option or a value is wrong. `others` takes what is not ours; NULL:
 * there is nobody who does. */
bool host_options_parse(int argc, char *const argv[], const option_others *others, host_options *options, char *message,
                        size_t message_size);

/* The screen of --help, what --help-all says, and the manual page in roff. */
void host_options_print_help(FILE *file);
void host_options_print_help_all(FILE *file);
void host_options_print_manual(FILE *file);

#endif
