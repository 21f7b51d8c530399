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
 *     initial        the default where neither the request nor the host's user nor the model's file says otherwise, written like
 *                    a value of its option; NULL: none
 *     words          what it does, for help and documentation
 *     brief ... is_rare   the option of chatbot and llamaipc, spelled as in llama.cpp, and its environment variable;
 *                    is_rare: the short help lists only its name; 2: not even that
 */
#ifndef LIPC_PARAMETERS_H
#define LIPC_PARAMETERS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* The likeliest tokens that are told of at each token, at most. */
#define LIPC_PROBS_MAX 20

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
#define LIPC_NAMED_SAMPLING_MAP(X)                                                                                     \
    X(typical_p, REAL, 0, 1, "1", "keeps the tokens of typical surprise that add up to P; 1: off",                     \
      NULL, "--typical", "--typical-p", "P", NULL, 2)                                                                  \
    X(top_n_sigma, REAL, -1, 1000, "-1", "keeps tokens within N standard deviations of the best; -1: off",             \
      NULL, "--top-nsigma", "--top-n-sigma", "N", NULL, 2)                                                             \
    X(xtc_probability, REAL, 0, 1, "0", "XTC: how often it drops all but the least of the likely tokens; 0: off",      \
      NULL, "--xtc-probability", NULL, "P", NULL, 2)                                                                   \
    X(xtc_threshold, REAL, 0, 1, "0.1", "XTC: tokens at least this likely count; above 0.5: off",                      \
      NULL, "--xtc-threshold", NULL, "P", NULL, 2)                                                                     \
    X(dynatemp_range, REAL, 0, 100, "0", "dynamic temperature: how far it moves with the entropy; 0: off",             \
      NULL, "--dynatemp-range", NULL, "R", NULL, 2)                                                                    \
    X(dynatemp_exponent, REAL, 0, 100, "1", "dynamic temperature: exponent of the normalised entropy",                 \
      NULL, "--dynatemp-exp", NULL, "R", NULL, 2)                                                                      \
    X(dry_multiplier, REAL, 0, 100, "0", "DRY: strength of the penalty on growing repetitions; 0: off",                \
      NULL, "--dry-multiplier", NULL, "R", NULL, 2)                                                                    \
    X(dry_base, REAL, 1, 100, "1.75", "DRY: the penalty grows as R to the power of the length",                        \
      NULL, "--dry-base", NULL, "R", NULL, 2)                                                                          \
    X(dry_allowed_length, INTEGER, 0, INT32_MAX, "2", "DRY: repetitions up to this many tokens are free",              \
      NULL, "--dry-allowed-length", NULL, "N", NULL, 2)                                                                \
    X(dry_penalty_last_n, INTEGER, -1, INT32_MAX, "64", "DRY: how many tokens it looks back; 0: off, -1: all",         \
      NULL, "--dry-penalty-last-n", NULL, "N", NULL, 2)                                                                \
    X(dry_sequence_breakers, TEXT, 0, 4096, NULL,                                                                      \
      "DRY: what breaks a repetition: a text, none, or a JSON list; by default newline, :, \" and *",                  \
      NULL, "--dry-sequence-breaker", NULL, "TEXT", NULL, 2)                                                           \
    X(mirostat, INTEGER, 0, 2, "0", "Mirostat 1 or 2, in place of all samplers but the temperature; 0: off",           \
      NULL, "--mirostat", NULL, "N", NULL, 2)                                                                          \
    X(mirostat_tau, REAL, 0, 100, "5", "Mirostat: target surprise",                                                    \
      NULL, "--mirostat-ent", NULL, "R", NULL, 2)                                                                      \
    X(mirostat_eta, REAL, 0, 1, "0.1", "Mirostat: learning rate",                                                      \
      NULL, "--mirostat-lr", NULL, "R", NULL, 2)                                                                       \
    X(adaptive_target, REAL, -1, 1, "-1", "adaptive-p: prefers tokens near this probability; below 0: off",            \
      NULL, "--adaptive-target", NULL, "P", NULL, 2)                                                                   \
    X(adaptive_decay, REAL, 0, 0.99, "0.9", "adaptive-p: decay of its memory",                                         \
      NULL, "--adaptive-decay", NULL, "R", NULL, 2)                                                                    \
    X(samplers, TEXT, 0, 1024, NULL,                                                                                   \
      "the samplers to use, in order: names separated by semicolons",                                                  \
      NULL, "--samplers", NULL, "NAMES", NULL, 2)                                                                      \
    X(logit_bias, TEXT, 0, 65536, NULL,                                                                                \
      "adds to logits: TOKEN+BIAS or TOKEN-BIAS, comma-separated, or [[token or text, bias or false], ...]",           \
      "-l", "--logit-bias", NULL, "BIASES", NULL, 2)                                                                   \
    X(lora, TEXT, 0, 4096, NULL,                                                                                       \
      "scales of the host's LoRA adapters: ID:SCALE,... or [{\"id\":0,\"scale\":1}, ...]; those left out have 0",         \
      NULL, "--lora-scales", NULL, "SCALES", NULL, 2)                                                                  \
    X(n_probs, INTEGER, 0, LIPC_PROBS_MAX, "0", "log probabilities of the N likeliest tokens at each token; 0: none",  \
      NULL, "--n-probs", NULL, "N", NULL, 2)

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

/* What marks a value that is left to somebody else, and whether a value is not its mark. */
#define LIPC_PARAMETER_UNSET_INTEGER INT32_MIN
#define LIPC_PARAMETER_UNSET_REAL NAN
#define LIPC_PARAMETER_UNSET_WIDE INT64_C(-2)
#define LIPC_PARAMETER_UNSET_TEXT NULL
#define LIPC_PARAMETER_IS_SET_INTEGER(value) ((value) != LIPC_PARAMETER_UNSET_INTEGER)
#define LIPC_PARAMETER_IS_SET_REAL(value) (!((value) != (value)))
#define LIPC_PARAMETER_IS_SET_WIDE(value) ((value) != LIPC_PARAMETER_UNSET_WIDE)
#define LIPC_PARAMETER_IS_SET_TEXT(value) ((value) != NULL)

#endif
