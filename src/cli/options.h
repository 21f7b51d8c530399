/* options.h - the options of llamaipc: one table for all commands makes parser, help, manual page and completions. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "../channel/parameters.h"
#include "../options/options.h"

#include "lipc/lipc.h"

typedef struct cli_options {
    const char *name;          /* the instance */
    const char *const *words;  /* what is no option, up to NULL */
    int n_words;
    parameters parameters;     /* of a request: what was not said is left to the host */
    int32_t priority;
    bool ignore_eos, logprobs;
    const char *prompt;        /* -p; NULL: the words, or standard input */
    const char *prompt_path;
    const char *system;        /* NULL: none */
    option_texts stops;
    const char *grammar, *grammar_path;
    const char *messages_path, *tools_path, *schema_path; /* NULL: none */
    bool think, no_think;
    const char *model_path;    /* for a host that is started, as the next three; NULL: its own default */
    const char *hf_repo, *model_url; /* the same by name; NULL: not given */
    int32_t n_ctx;             /* LIPC_INT_DEFAULT: likewise, as the next two */
    int32_t n_threads;
    const char *n_gpu_layers;  /* NULL: likewise */
    int32_t timeout_s;         /* negative: none */
    bool no_stream, json, quiet, verbose, wait;
    int sort;                  /* top: a column */
    float interval_s;
    bool once, fix;
    bool show_help, show_version;
} cli_options;

/* The model that a command is about, as text/model_name.h has it: the word, or -hf or -mu. False, and says why, if that is none. */
#define CLI_MODEL_NAME_SIZE 2100
bool cli_model_name(const cli_options *options, char name[CLI_MODEL_NAME_SIZE]);

/* The table with the program's name as its messages show it. */
option_table cli_option_table(const char *program);

/* The values before anything is parsed. */
void cli_options_init(cli_options *options);

#endif
