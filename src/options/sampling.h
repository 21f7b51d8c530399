/* sampling.h - the options that steer sampling, as llama.cpp spells them: the host's own, and those of one request.
 *
 * X(brief, name, other spelling, argument, environment, kind, field, low, high, the host's default, help, is rare)
 */
#ifndef OPTIONS_SAMPLING_H
#define OPTIONS_SAMPLING_H

#define SAMPLING_OPTIONS(X)                                                                                            \
    X("-n", "--predict", "--n-predict", "N", "LLAMA_ARG_N_PREDICT", OPTION_INTEGER, n_predict, -1, INT32_MAX, "-1",    \
      "tokens of answer at most; -1: as many as fit", false)                                                           \
    X(NULL, "--temp", "--temperature", "T", "LLAMA_ARG_TEMPERATURE", OPTION_REAL, temperature, 0, 100, "0.7",          \
      "temperature; 0: always the likeliest token", false)                                                             \
    X(NULL, "--min-p", NULL, "P", "LLAMA_ARG_MIN_P", OPTION_REAL, min_p, 0, 1, "0.05",                                 \
      "tokens less likely than P times the best are out", true)                                                        \
    X(NULL, "--top-p", NULL, "P", "LLAMA_ARG_TOP_P", OPTION_REAL, top_p, 0, 1, "1",                                    \
      "the likeliest tokens that reach P together; 1: off", true)                                                      \
    X(NULL, "--top-k", NULL, "K", "LLAMA_ARG_TOP_K", OPTION_INTEGER, top_k, 0, INT32_MAX, "0",                         \
      "the K likeliest tokens; 0: off", true)                                                                          \
    X(NULL, "--repeat-penalty", NULL, "R", NULL, OPTION_REAL, repeat_penalty, 0.01, 100, "1",                          \
      "divides the logits of recent tokens; 1: off", true)                                                             \
    X(NULL, "--repeat-last-n", NULL, "N", NULL, OPTION_INTEGER, repeat_last_n, -1, INT32_MAX, "64",                    \
      "how many tokens are recent, for all penalties; -1: all", true)                                                  \
    X(NULL, "--frequency-penalty", NULL, "R", NULL, OPTION_REAL, frequency_penalty, -100, 100, "0",                    \
      "subtracts R for each recent occurrence; 0: off", true)                                                          \
    X(NULL, "--presence-penalty", NULL, "R", NULL, OPTION_REAL, presence_penalty, -100, 100, "0",                      \
      "subtracts R if a token occurred recently; 0: off", true)                                                        \
    X("-s", "--seed", NULL, "N", NULL, OPTION_WIDE, seed, -1, UINT32_MAX - 1.0, "-1",                                  \
      "seed of every request; -1: another one each time", true)

/* And those of the host that a program which starts one hands on.
 *
 * X(brief, name, other spelling, argument, environment, kind, field, low, high, default, help, is rare) */
#define HOST_START_OPTIONS(X)                                                                                          \
    X("-m", "--model", NULL, "FILE", "LLAMA_ARG_MODEL", OPTION_FILE, model_path, 0, 0, NULL,                           \
      "GGUF model (default: the embedded demonstration)", false)                                                       \
    X("-c", "--ctx-size", NULL, "N", "LLAMA_ARG_CTX_SIZE", OPTION_INTEGER, n_ctx, -1, INT32_MAX, "-1",                 \
      "tokens of context; 0: as trained, -1: that, at most 4096", false)                                               \
    X("-t", "--threads", NULL, "N", "LLAMA_ARG_THREADS", OPTION_INTEGER, n_threads, 0, 512, "0",                       \
      "threads; 0: one for each core", false)                                                                        \
    X("-ngl", "--gpu-layers", "--n-gpu-layers", "N", "LLAMA_ARG_N_GPU_LAYERS", OPTION_INTEGER, n_gpu_layers, -1,       \
      INT32_MAX, "-1", "layers on the GPU, where there is one; -1: all", false)

#endif
