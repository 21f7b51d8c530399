/* parameters.h - the table of request parameters: how a request can control the generation of its answer.
 *
 * A program sets a parameter by name in lipc_request.parameters; the oldest ones also have fields in lipc_request. Everything
 * else is generated from this table: the checks in client and host, the encoding in the segment, the options of chatbot and
 * llamaipc with their help and manual pages, what the engine receives, and, by `make generated`, the C# properties and
 * docs/parameters.md. To add one, add a row at the end of LIPC_NAMED_SAMPLING_MAP, implement it in the engine, and test it.
 *
 * X(name, kind, low, high, initial, words, brief, option, other, argument, environment, is_rare)
 *
 *     kind           INTEGER (int32_t), REAL (float), WIDE (int64_t), TEXT (const char *; low and high count bytes)
 *     initial        the host's default, written like a value of its option; NULL: none
 *     words          what it does, for help and documentation
 *     brief ... is_rare   the option of chatbot and llamaipc, spelled as in llama.cpp, and its environment variable;
 *                    is_rare: the short help lists only its name
 */
#ifndef LIPC_PARAMETERS_H
#define LIPC_PARAMETERS_H

#include <stdint.h>

/* These have fields in lipc_request and in the request header in the segment. This list is closed. */
#define LIPC_HEADER_SAMPLING_MAP(X)                                                                                    \
    X(temperature, REAL, 0, 100, "0.7", "temperature; 0: always the likeliest token",                                  \
      NULL, "--temp", "--temperature", "T", "LLAMA_ARG_TEMPERATURE", false)                                            \
    X(min_p, REAL, 0, 1, "0.05", "drops tokens less likely than P times the best one; 0: off",                         \
      NULL, "--min-p", NULL, "P", "LLAMA_ARG_MIN_P", true)                                                             \
    X(top_p, REAL, 0, 1, "1", "keeps the likeliest tokens that add up to P; 1: off",                                   \
      NULL, "--top-p", NULL, "P", "LLAMA_ARG_TOP_P", true)                                                             \
    X(top_k, INTEGER, 0, INT32_MAX, "0", "keeps the K likeliest tokens; 0: off",                                       \
      NULL, "--top-k", NULL, "K", "LLAMA_ARG_TOP_K", true)                                                             \
    X(repeat_penalty, REAL, 0.01, 100, "1", "divides the logits of recent tokens; 1: off",                             \
      NULL, "--repeat-penalty", NULL, "R", NULL, true)                                                                 \
    X(repeat_last_n, INTEGER, -1, INT32_MAX, "64", "how many tokens count as recent for penalties; 0: none, -1: all",  \
      NULL, "--repeat-last-n", NULL, "N", NULL, true)                                                                  \
    X(frequency_penalty, REAL, -100, 100, "0", "subtracts R for each recent occurrence; 0: off",                       \
      NULL, "--frequency-penalty", NULL, "R", NULL, true)                                                              \
    X(presence_penalty, REAL, -100, 100, "0", "subtracts R if a token occurred recently; 0: off",                      \
      NULL, "--presence-penalty", NULL, "R", NULL, true)

/* These are sent by name. Add new ones at the end. */
#define LIPC_NAMED_SAMPLING_MAP(X)

/* What the sampler receives. */
#define LIPC_SAMPLING_MAP(X)                                                                                           \
    LIPC_HEADER_SAMPLING_MAP(X)                                                                                        \
    LIPC_NAMED_SAMPLING_MAP(X)

#define LIPC_LENGTH_MAP(X)                                                                                             \
    X(n_predict, INTEGER, -1, INT32_MAX, "-1", "most tokens to generate; -1: as many as fit",                          \
      "-n", "--predict", "--n-predict", "N", "LLAMA_ARG_N_PREDICT", false)

#define LIPC_SEED_MAP(X)                                                                                               \
    X(seed, WIDE, -1, UINT32_MAX - 1.0, "-1", "random seed; -1: a different one each time",                            \
      "-s", "--seed", NULL, "N", NULL, true)

/* All parameters that have fields in lipc_request. */
#define LIPC_HEADER_PARAMETER_MAP(X)                                                                                   \
    LIPC_LENGTH_MAP(X)                                                                                                 \
    LIPC_HEADER_SAMPLING_MAP(X)                                                                                        \
    LIPC_SEED_MAP(X)

/* All parameters. */
#define LIPC_PARAMETER_MAP(X)                                                                                          \
    LIPC_LENGTH_MAP(X)                                                                                                 \
    LIPC_SAMPLING_MAP(X)                                                                                               \
    LIPC_SEED_MAP(X)

/* The field of a row in a structure: LIPC_PARAMETER_MAP(LIPC_PARAMETER_FIELD). */
#define LIPC_PARAMETER_FIELD(name, kind, ...) LIPC_PARAMETER_TYPE_##kind name;
#define LIPC_PARAMETER_TYPE_INTEGER int32_t
#define LIPC_PARAMETER_TYPE_REAL float
#define LIPC_PARAMETER_TYPE_WIDE int64_t
#define LIPC_PARAMETER_TYPE_TEXT const char *

#endif
