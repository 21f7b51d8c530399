/* options.c - see options.h. Spellings and environment names are llama.cpp's for what llama.cpp has. */
#include "options.h"

#include "exit_codes.h"

#include "../channel/hub.h"
#include "../channel/names.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind {
    KIND_FLAG,
    KIND_TEXT,
    KIND_NAME,
    KIND_INTEGER,
    KIND_WIDE,
    KIND_REAL,
    KIND_SIZE, /* bytes, with an optional K or M */
    KIND_LEVEL
} option_kind;

typedef struct option_spec {
    const char *brief;       /* "-m" or NULL */
    const char *name;        /* "--model" */
    const char *other;       /* another spelling, or NULL */
    const char *argument;    /* "FILE"; NULL for a flag */
    const char *environment; /* or NULL */
    option_kind kind;
    size_t field;            /* offset in host_options */
    double low, high;        /* bounds of numbers */
    const char *initial;     /* the default as an argument would say it; NULL: zero */
    const char *help;
    bool is_rare;            /* the help only names it */
} option_spec;

#define FIELD(name) offsetof(host_options, name)

static const option_spec options_table[] = {
    {"-m", "--model", NULL, "FILE", "LLAMA_ARG_MODEL", KIND_TEXT, FIELD(model_path), 0, 0, NULL,
     "GGUF model (default: the embedded demonstration)", false},
    {NULL, "--replay", NULL, "FILE", NULL, KIND_TEXT, FIELD(replay_path), 0, 0, NULL,
     "no model: every answer is the text of FILE", false},
    {NULL, "--rate", NULL, "R", NULL, KIND_REAL, FIELD(replay_rate), 0, 1e6, "0",
     "its tokens per second; 0: as fast as possible", false},
    {"-c", "--ctx-size", NULL, "N", "LLAMA_ARG_CTX_SIZE", KIND_INTEGER, FIELD(n_ctx), -1, INT32_MAX, "-1",
     "tokens of context; 0: as trained, -1: that, at most 4096", false},
    {"-np", "--parallel", NULL, "N", "LLAMA_ARG_N_PARALLEL", KIND_INTEGER, FIELD(n_parallel), 0, 256, "0",
     "answers at a time, each with its context; 0: up to 4", false},
    {"-t", "--threads", NULL, "N", "LLAMA_ARG_THREADS", KIND_INTEGER, FIELD(n_threads), 0, 512, "0",
     "threads; 0: one for each core, one for a small model", false},
    {"-ngl", "--gpu-layers", "--n-gpu-layers", "N", "LLAMA_ARG_N_GPU_LAYERS", KIND_INTEGER, FIELD(n_gpu_layers), -1,
     INT32_MAX, "-1", "layers on the GPU, where there is one; -1: all", false},
    {"-n", "--predict", "--n-predict", "N", "LLAMA_ARG_N_PREDICT", KIND_INTEGER, FIELD(n_predict), -1, INT32_MAX, "-1",
     "tokens of answer at most; -1: as many as fit", false},
    {NULL, "--temp", "--temperature", "T", "LLAMA_ARG_TEMPERATURE", KIND_REAL, FIELD(temperature), 0, 100, "0.7",
     "temperature; 0: always the likeliest token", false},
    {NULL, "--min-p", NULL, "P", "LLAMA_ARG_MIN_P", KIND_REAL, FIELD(min_p), 0, 1, "0.05",
     "tokens less likely than P times the best are out", true},
    {NULL, "--top-p", NULL, "P", "LLAMA_ARG_TOP_P", KIND_REAL, FIELD(top_p), 0, 1, "1",
     "the likeliest tokens that reach P together; 1: off", true},
    {NULL, "--top-k", NULL, "K", "LLAMA_ARG_TOP_K", KIND_INTEGER, FIELD(top_k), 0, INT32_MAX, "0",
     "the K likeliest tokens; 0: off", true},
    {NULL, "--repeat-penalty", NULL, "R", NULL, KIND_REAL, FIELD(repeat_penalty), 0.01, 100, "1",
     "divides the logits of recent tokens; 1: off", true},
    {NULL, "--repeat-last-n", NULL, "N", NULL, KIND_INTEGER, FIELD(repeat_last_n), -1, INT32_MAX, "64",
     "how many tokens are recent, for all penalties; -1: all", true},
    {NULL, "--frequency-penalty", NULL, "R", NULL, KIND_REAL, FIELD(frequency_penalty), -100, 100, "0",
     "subtracts R for each recent occurrence; 0: off", true},
    {NULL, "--presence-penalty", NULL, "R", NULL, KIND_REAL, FIELD(presence_penalty), -100, 100, "0",
     "subtracts R if a token occurred recently; 0: off", true},
    {"-s", "--seed", NULL, "N", NULL, KIND_WIDE, FIELD(seed), -1, UINT32_MAX - 1.0, "-1",
     "seed of every request; -1: another one each time", true},
    {NULL, "--ignore-eos", NULL, NULL, NULL, KIND_FLAG, FIELD(ignore_eos), 0, 0, NULL,
     "the model cannot end its answer", true},
    {NULL, "--name", NULL, "X", "LIPC_NAME", KIND_NAME, FIELD(name), 0, 0, LIPC_DEFAULT_NAME,
     "instance: objects /X_shared_mem, /X_sem_*", false},
    {NULL, "--slots", NULL, "N", "LIPC_SLOTS", KIND_INTEGER, FIELD(n_slots), 1, LIPC_STREAMS_MAX, "8",
     "streams there is room for; further requests wait", false},
    {NULL, "--request-size", NULL, "B", NULL, KIND_SIZE, FIELD(request_size), HUB_REQUEST_SIZE_MIN,
     HUB_REQUEST_SIZE_MAX, "256K", "bytes of a request at most; K and M are understood", true},
    {NULL, "--response-size", NULL, "B", NULL, KIND_SIZE, FIELD(response_size), HUB_LOG_SIZE_MIN, HUB_LOG_SIZE_MAX,
     "1M", "bytes of an answer at most; five times that is reserved for each stream", true},
    {NULL, "--exit-with-parent", NULL, NULL, NULL, KIND_FLAG, FIELD(exit_with_parent), 0, 0, NULL,
     "end when the process that started this one ends", false},
    {NULL, "--no-supervise", NULL, NULL, NULL, KIND_FLAG, FIELD(no_supervise), 0, 0, NULL,
     "one process, for debuggers; if it dies it stays dead", true},
    {NULL, "--log-level", NULL, "L", "LIPC_LOG_LEVEL", KIND_LEVEL, FIELD(log_level), 0, 0, "info",
     "error, warn, info or debug", true},
    {NULL, "--version", NULL, NULL, NULL, KIND_FLAG, FIELD(show_version), 0, 0, NULL, "versions, and end", true},
    {"-h", "--help", NULL, NULL, NULL, KIND_FLAG, FIELD(show_help), 0, 0, NULL, "this text, and end", false},
};

#define SHOWN_SIZE 80
#define N_OPTIONS (sizeof options_table / sizeof options_table[0])

/* Stores a value into its field. Returns NULL, or what would be allowed. */
static const char *store(const option_spec *spec, const char *value, host_options *options) {
    static char allowed[96];
    char *field = (char *)options + spec->field, *end;
    switch (spec->kind) {
    case KIND_FLAG:
        memcpy(field, &(bool){true}, sizeof(bool));
        return NULL;
    case KIND_TEXT:
        memcpy(field, &value, sizeof value);
        return value[0] ? NULL : "a file name";
    case KIND_NAME:
        memcpy(field, &value, sizeof value);
        return names_is_instance(value) ? NULL : NAMES_RULE;
    case KIND_LEVEL: {
        log_level level;
        if (!log_level_parse(value, &level)) return "error, warn, info or debug";
        memcpy(field, &level, sizeof level);
        return NULL;
    }
    case KIND_INTEGER:
    case KIND_WIDE: {
        errno = 0;
        long long number = strtoll(value, &end, 10);
        snprintf(allowed, sizeof allowed, "a whole number from %.0f to %.0f", spec->low, spec->high);
        if (end == value || *end || errno || (double)number < spec->low || (double)number > spec->high) return allowed;
        if (spec->kind == KIND_WIDE)
            memcpy(field, &(int64_t){number}, sizeof(int64_t));
        else
            memcpy(field, &(int32_t){(int32_t)number}, sizeof(int32_t));
        return NULL;
    }
    case KIND_SIZE: {
        errno = 0;
        long long number = strtoll(value, &end, 10);
        bool is_number = end != value && !errno;
        double unit = *end == 'K' || *end == 'k' ? 1024 : *end == 'M' || *end == 'm' ? 1024 * 1024 : 1;
        if (unit > 1) end++;
        double n_bytes = (double)number * unit;
        snprintf(allowed, sizeof allowed, "a number of bytes from %.0fK to %.0fM, such as 512K", spec->low / 1024,
                 spec->high / (1024 * 1024));
        if (!is_number || *end || n_bytes < spec->low || n_bytes > spec->high) return allowed;
        memcpy(field, &(uint32_t){(uint32_t)n_bytes}, sizeof(uint32_t));
        return NULL;
    }
    case KIND_REAL: {
        double number = strtod(value, &end);
        snprintf(allowed, sizeof allowed, "a number from %g to %g", spec->low, spec->high);
        if (end == value || *end || !isfinite(number) || number < spec->low || number > spec->high) return allowed;
        memcpy(field, &(float){(float)number}, sizeof(float));
        return NULL;
    }
    }
    return "nothing";
}

static bool is_spelling(const option_spec *spec, const char *text, size_t length) {
    const char *const spellings[] = {spec->brief, spec->name, spec->other};
    for (size_t i = 0; i < 3; i++)
        if (spellings[i] && strlen(spellings[i]) == length && memcmp(spellings[i], text, length) == 0) return true;
    return false;
}

static const option_spec *find(const char *text, size_t length) {
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (is_spelling(&options_table[i], text, length)) return &options_table[i];
    return NULL;
}

/* What was given, fit to be shown: on one line, not endless, and no command to the terminal. */
static const char *shown(const char *value, char text[SHOWN_SIZE]) {
    size_t i = 0;
    for (; value[i] && i < SHOWN_SIZE - 1; i++)
        text[i] = (unsigned char)value[i] < 0x20 || value[i] == 0x7F ? '?' : value[i];
    text[i] = 0;
    return text;
}

bool host_options_parse(int argc, char *const argv[], host_options *options, char *message, size_t message_size) {
    const char *allowed;
    char text[SHOWN_SIZE];
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (options_table[i].initial) store(&options_table[i], options_table[i].initial, options);

    for (size_t i = 0; i < N_OPTIONS; i++) {
        const option_spec *spec = &options_table[i];
        const char *value = spec->environment ? getenv(spec->environment) : NULL;
        if (!value || !value[0]) continue;
        if ((allowed = store(spec, value, options)) != NULL) {
            snprintf(message, message_size, "the environment's %s is '%s': expected %s", spec->environment,
                     shown(value, text), allowed);
            return false;
        }
    }

    for (int i = 1; i < argc; i++) {
        const char *equals = strncmp(argv[i], "--", 2) == 0 ? strchr(argv[i], '=') : NULL;
        const option_spec *spec = find(argv[i], equals ? (size_t)(equals - argv[i]) : strlen(argv[i]));
        if (!spec || (equals && !spec->argument)) {
            snprintf(message, message_size, "unknown option '%s': see chatbot --help", shown(argv[i], text));
            return false;
        }
        const char *value = equals ? equals + 1 : NULL;
        if (spec->argument && !value) {
            if (i + 1 == argc) {
                snprintf(message, message_size, "%s needs a value (%s): see chatbot --help", shown(argv[i], text),
                         spec->argument);
                return false;
            }
            value = argv[++i];
        }
        if ((allowed = store(spec, value, options)) != NULL) {
            snprintf(message, message_size, "%s is '%s': expected %s", spec->name, shown(value, text), allowed);
            return false;
        }
    }
    return true;
}

/* "-m, --model FILE": the left column of the help. */
static void left_column(const option_spec *spec, char *text, size_t size) {
    snprintf(text, size, "%s%s%s%s%s", spec->brief ? spec->brief : "", spec->brief ? ", " : "", spec->name,
             spec->argument ? " " : "", spec->argument ? spec->argument : "");
}

/* The rare options, by name alone, in lines of at most 79 columns. */
static void print_rare(FILE *file) {
    char left[64];
    size_t column = (size_t)fprintf(file, "  also:");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (!options_table[i].is_rare) continue;
        left_column(&options_table[i], left, sizeof left);
        if (column + 1 + strlen(left) > 79) column = (size_t)fprintf(file, "\n       ") - 1;
        column += (size_t)fprintf(file, " %s", left);
    }
    fprintf(file, "\n");
}

void host_options_print_help(FILE *file) {
    char left[64];
    fprintf(file, "usage: chatbot [options]\n"
                  "Holds a language model and serves it to other programs through shared memory.\n\n");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const option_spec *spec = &options_table[i];
        if (spec->is_rare) continue;
        left_column(spec, left, sizeof left);
        bool show_default = spec->initial && strcmp(spec->initial, "-1") != 0 && strcmp(spec->initial, "0") != 0;
        fprintf(file, "  %-21s %s%s%s%s\n", left, spec->help, show_default ? " (" : "", show_default ? spec->initial : "",
                show_default ? ")" : "");
    }
    print_rare(file);
    fprintf(file, "\nEnvironment and exit codes: man chatbot\n");
}

/* Text for roff: a hyphen is a minus, a backslash stands for itself. */
static void print_roff(FILE *file, const char *text) {
    for (; *text; text++) {
        if (*text == '-') fputs("\\-", file);
        else if (*text == '\\') fputs("\\e", file);
        else fputc(*text, file);
    }
}

void host_options_print_manual(FILE *file) {
    char left[64];
    fprintf(file, ".TH CHATBOT 1\n.SH NAME\nchatbot \\- holds a language model and serves it through shared memory\n"
                  ".SH SYNOPSIS\n.B chatbot\n[options]\n.SH DESCRIPTION\n"
                  "Creates the shared memory and the semaphores of its instance, loads a model and answers requests "
                  "until it is told to stop. Started without options it serves the embedded demonstration model under "
                  "the name llama_cpp. The first SIGTERM or SIGINT lets the answer at hand finish, the second ends at "
                  "once. The log goes to standard error; nothing that is not read holds the host up.\n"
                  ".SH OPTIONS\nWhat stands on the command line wins over the environment.\n");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const option_spec *spec = &options_table[i];
        left_column(spec, left, sizeof left);
        fprintf(file, ".TP\n.B ");
        print_roff(file, left);
        fprintf(file, "\n");
        print_roff(file, spec->help);
        if (spec->initial) {
            fprintf(file, " (default ");
            print_roff(file, spec->initial);
            fprintf(file, ")");
        }
        if (spec->environment) fprintf(file, ". Environment: %s", spec->environment);
        fprintf(file, "\n");
    }
    fprintf(file, ".SH ENVIRONMENT\n.TP\n.B LIPC_PARENT_PID\nwith \\-\\-exit\\-with\\-parent: the process that "
                  "started the host, if it may not be its parent; the host ends with it, too\n");
    fprintf(file, ".SH EXIT STATUS\n");
#define PRINT_EXIT(number, name, text)                                                                                 \
    fprintf(file, ".TP\n.B %d\n", number);                                                                             \
    print_roff(file, text);                                                                                            \
    fprintf(file, "\n");
    HOST_EXIT_MAP(PRINT_EXIT)
#undef PRINT_EXIT
    fprintf(file, ".TP\n.B 128+n\na second signal n ended it at once\n"
                  ".SH FILES\n.TP\n.B /dev/shm/NAME_shared_mem, /dev/shm/sem.NAME_sem_*\nthe objects of instance NAME, "
                  "readable and writable by their user only\n");
}
