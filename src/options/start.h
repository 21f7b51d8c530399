/* start.h - the options of the host that a program which starts one hands on, as llama.cpp spells them.
 *
 * X(brief, name, other spelling, argument, environment, kind, field, low, high, default, help, is rare)
 */
#ifndef OPTIONS_START_H
#define OPTIONS_START_H

#define HOST_START_OPTIONS(X)                                                                                          \
    X("-m", "--model", NULL, "FILE", "LLAMA_ARG_MODEL", OPTION_FILE, model_path, 0, 0, NULL,                           \
      "GGUF model (default: the embedded demonstration)", false)                                                       \
    X("-hf", "--hf-repo", "-hfr", "NAME", "LLAMA_ARG_HF_REPO", OPTION_TEXT, hf_repo, 0, 0, NULL,                       \
      "a model from a hub, USER/MODEL[:QUANT], fetched once", false)                                                   \
    X("-mu", "--model-url", NULL, "URL", "LLAMA_ARG_MODEL_URL", OPTION_TEXT, model_url, 0, 0, NULL,                    \
      "a model from an address, fetched once", 2)                                                                      \
    X("-c", "--ctx-size", NULL, "N", "LLAMA_ARG_CTX_SIZE", OPTION_INTEGER, n_ctx, -1, INT32_MAX, "-1",                 \
      "tokens of context; 0: as trained, -1: that, at most 4096", false)                                               \
    X("-t", "--threads", NULL, "N", "LLAMA_ARG_THREADS", OPTION_INTEGER, n_threads, 0, 512, "0",                       \
      "threads; 0: one per core that others leave free", false)                                                         \
    X("-ngl", "--gpu-layers", "--n-gpu-layers", "N", "LLAMA_ARG_N_GPU_LAYERS", OPTION_TEXT, n_gpu_layers, 0, 0, NULL,  \
      "layers on the GPU: a number, all, or auto: what fits", false)

#endif
