/* bare_loop.c - what a model costs without a host: the loop of a program that calls libllama itself.
 *
 * The yardstick of the benchmark. It does the same work as the host for one request (chat template, tokenizer, prompt,
 * one token after the other, sampler, text of each token) with the same settings of context, sampler and thread pool,
 * and nothing else: no channel, no client, no output. What the host needs beyond this is the host's own cost.
 *
 * By default it answers one prompt and prints the figures. With --stdin it stays loaded and answers one request per
 * line, "TOKENS<tab>SYSTEM PROMPT<tab>USER PROMPT", with one line of figures each, so that the benchmark can take turns
 * between it and a host; the first line it prints is "ready". Two other lines ask for evaluation alone, without sampler
 * and text, on arbitrary tokens:
 *
 *   evaluate SEQUENCES PROMPT TOKENS   the prompts of so many sequences, then a token of each in one batch, TOKENS times
 *   resume OLD NEW                     OLD tokens of one sequence, then first_ms is the time that NEW further ones take
 */
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ggml-backend.h"
#include "llama.h"

typedef struct bare_options {
    const char *model;
    const char *system_prompt;
    const char *user_prompt;
    int n_ctx;          /* of each sequence */
    int n_sequences;
    int n_batch;
    int n_ubatch;
    int n_threads;
    int n_predict;
    int n_runs;
    int poll;           /* how long idle threads of the pool spin, 0 to 100 */
    int flash_attn;     /* 0 off, 1 on, -1 what is faster */
    int repack;         /* 1: weights may be laid out anew for the processor */
    int attach;         /* 1: attach a thread pool */
    uint32_t seed;
    float temp;
    float min_p;
    bool serve_stdin;
    bool verbose;
} bare_options;

typedef struct bare_loop {
    bare_options options;
    struct llama_model *model;
    const struct llama_vocab *vocab;
    struct llama_context *ctx;
    struct llama_sampler *sampler;
    ggml_threadpool_t pool;
    void (*pool_free)(ggml_threadpool_t pool);
    char *prompt; /* the text after the template */
    int prompt_size;
    llama_token *tokens;
    int tokens_size;
} bare_loop;

typedef struct figures {
    int n_prompt_tokens;
    int n_tokens;
    size_t n_bytes;
    double first_ms;        /* from the prompt's text to the text of the first token */
    double tokens_per_s;    /* from the first token to the last */
    double survivors;       /* candidates with at least 0.05 of the best one's probability, on average */
} figures;

static void die(const char *what) {
    fprintf(stderr, "bare_loop: %s\n", what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void log_nothing(enum ggml_log_level level, const char *text, void *user_data) {
    (void)level, (void)text, (void)user_data;
}

/* ---- Loading -------------------------------------------------------------------------------------------------- */

/* The processor-specific libraries lie beside libllama, where the loader does not look by itself. A libllama with the
 * CPU backend linked into it needs no loading. */
static void load_backends(void) {
    Dl_info info;
    char directory[4096];
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != NULL)
        return;
    if (dladdr((void *)(uintptr_t)llama_backend_init, &info) == 0 || info.dli_fname == NULL)
        die("cannot find out where libllama lies");
    snprintf(directory, sizeof directory, "%s", info.dli_fname);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = '\0';
    ggml_backend_load_all_from_path(directory);
}

/* Without a pool of its own the prebuilt library starts and ends threads for every evaluation. The functions live in a
 * processor-specific library that is loaded at run time, hence the look-up. */
static void attach_pool(bare_loop *loop) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (cpu == NULL)
        die("there is no CPU backend");
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(cpu);
    ggml_threadpool_t (*pool_new)(struct ggml_threadpool_params *params);
    *(void **)&pool_new = ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_new");
    *(void **)&loop->pool_free = ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_free");
    if (pool_new == NULL || loop->pool_free == NULL)
        die("the CPU backend has no thread pools");

    struct ggml_threadpool_params params = ggml_threadpool_params_default(loop->options.n_threads);
    params.poll = (uint32_t)loop->options.poll;
    loop->pool = pool_new(&params);
    if (loop->pool == NULL)
        die("cannot start the thread pool");
    llama_attach_threadpool(loop->ctx, loop->pool, loop->pool);
}

static void load(bare_loop *loop) {
    const bare_options *options = &loop->options;
    if (!options->verbose)
        llama_log_set(log_nothing, NULL);
    load_backends();
    llama_backend_init();

    struct llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    model_params.use_extra_bufts = options->repack != 0;
    loop->model = llama_model_load_from_file(options->model, model_params);
    if (loop->model == NULL)
        die("cannot load the model");
    loop->vocab = llama_model_get_vocab(loop->model);

    struct llama_sampler_chain_params chain_params = llama_sampler_chain_default_params();
    chain_params.no_perf = true;
    loop->sampler = llama_sampler_chain_init(chain_params);
    llama_sampler_chain_add(loop->sampler, llama_sampler_init_min_p(options->min_p, 1));
    llama_sampler_chain_add(loop->sampler, llama_sampler_init_temp(options->temp));
    llama_sampler_chain_add(loop->sampler, llama_sampler_init_dist(options->seed));
}

static void make_context(bare_loop *loop, bool flash) {
    const bare_options *options = &loop->options;
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)(options->n_ctx * options->n_sequences);
    params.n_batch = (uint32_t)options->n_batch;
    params.n_ubatch = (uint32_t)options->n_ubatch;
    params.n_seq_max = (uint32_t)options->n_sequences;
    params.n_outputs_max = (uint32_t)options->n_sequences;
    params.n_threads = options->n_threads;
    params.n_threads_batch = options->n_threads;
    params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.no_perf = true;
    loop->ctx = llama_init_from_model(loop->model, params);
    if (loop->ctx == NULL)
        die("cannot create the context");
    if (options->attach)
        attach_pool(loop);
}

static void free_context(bare_loop *loop) {
    llama_detach_threadpool(loop->ctx);
    llama_free(loop->ctx);
    if (loop->pool != NULL)
        loop->pool_free(loop->pool);
    loop->pool = NULL;
}

static void unload(bare_loop *loop) {
    llama_sampler_free(loop->sampler);
    free_context(loop);
    llama_model_free(loop->model);
    llama_backend_free();
    free(loop->prompt);
    free(loop->tokens);
}

/* ---- One request ---------------------------------------------------------------------------------------------- */

/* From the two texts to tokens in loop->tokens; returns their number. */
static int tokenize(bare_loop *loop, const char *system_prompt, const char *user_prompt) {
    struct llama_chat_message messages[2];
    size_t n_messages = 0;
    if (system_prompt[0] != '\0')
        messages[n_messages++] = (struct llama_chat_message){"system", system_prompt};
    messages[n_messages++] = (struct llama_chat_message){"user", user_prompt};

    const char *template = llama_model_chat_template(loop->model, NULL);
    int length = llama_chat_apply_template(template, messages, n_messages, true, loop->prompt, loop->prompt_size);
    if (length > loop->prompt_size) {
        loop->prompt_size = length;
        loop->prompt = realloc(loop->prompt, (size_t)length);
        if (loop->prompt == NULL)
            die("not enough memory");
        length = llama_chat_apply_template(template, messages, n_messages, true, loop->prompt, loop->prompt_size);
    }
    if (length < 0)
        die("the chat template is not known");

    int n = llama_tokenize(loop->vocab, loop->prompt, length, loop->tokens, loop->tokens_size, true, true);
    if (n < 0) {
        loop->tokens_size = -n;
        loop->tokens = realloc(loop->tokens, (size_t)-n * sizeof *loop->tokens);
        if (loop->tokens == NULL)
            die("not enough memory");
        n = llama_tokenize(loop->vocab, loop->prompt, length, loop->tokens, loop->tokens_size, true, true);
    }
    if (n <= 0 || n + 1 >= loop->options.n_ctx)
        die("the prompt does not fit the context");
    return n;
}

/* How many candidates have at least `share` of the best one's probability. */
static int count_survivors(bare_loop *loop, float share) {
    const float *logits = llama_get_logits_ith(loop->ctx, -1);
    const int n_vocab = llama_vocab_n_tokens(loop->vocab);
    float best = logits[0];
    for (int i = 1; i < n_vocab; i++)
        best = logits[i] > best ? logits[i] : best;
    const float least = best + logf(share);
    int n = 0;
    for (int i = 0; i < n_vocab; i++)
        n += logits[i] >= least;
    return n;
}

/* The loop itself. `count` also counts the survivors of min-p, which costs time: use such a run for nothing else. */
static figures answer(bare_loop *loop, const char *system_prompt, const char *user_prompt, int n_predict, bool count) {
    figures result = {0};
    int64_t first = 0, last = 0;
    double survivors = 0;

    const int64_t start = now_ns();
    llama_memory_clear(llama_get_memory(loop->ctx), false);
    llama_sampler_reset(loop->sampler);
    result.n_prompt_tokens = tokenize(loop, system_prompt, user_prompt);

    for (int done = 0; done < result.n_prompt_tokens; done += loop->options.n_batch) {
        const int rest = result.n_prompt_tokens - done;
        const int n = rest < loop->options.n_batch ? rest : loop->options.n_batch;
        if (llama_decode(loop->ctx, llama_batch_get_one(loop->tokens + done, n)) != 0)
            die("cannot evaluate the prompt");
    }
    while (result.n_tokens < n_predict) {
        if (count)
            survivors += count_survivors(loop, 0.05f);
        llama_token token = llama_sampler_sample(loop->sampler, loop->ctx, -1);
        char piece[256];
        const int length = llama_token_to_piece(loop->vocab, token, piece, sizeof piece, 0, false);
        result.n_bytes += length > 0 ? (size_t)length : 0;
        last = now_ns();
        if (result.n_tokens++ == 0)
            first = last;
        if (result.n_tokens == n_predict || result.n_prompt_tokens + result.n_tokens >= loop->options.n_ctx)
            break;
        if (llama_decode(loop->ctx, llama_batch_get_one(&token, 1)) != 0)
            die("cannot evaluate a token");
    }
    result.first_ms = (double)(first - start) / 1e6;
    result.tokens_per_s = last > first ? (result.n_tokens - 1) * 1e9 / (double)(last - first) : 0;
    result.survivors = result.n_tokens > 0 ? survivors / result.n_tokens : 0;
    return result;
}

/* ---- Evaluation alone ----------------------------------------------------------------------------------------- */

/* Some token of the vocabulary, and another one each time. */
static llama_token any_token(const bare_loop *loop) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (llama_token)((state >> 8) % (uint32_t)llama_vocab_n_tokens(loop->vocab));
}

/* Evaluates the tokens from `position` up to `end` of one sequence, and waits until that is done. */
static void evaluate_run(bare_loop *loop, struct llama_batch *batch, int sequence, int position, int end) {
    while (position < end) {
        batch->n_tokens = 0;
        for (; position < end && batch->n_tokens < loop->options.n_batch; position++) {
            const int i = batch->n_tokens++;
            batch->token[i] = any_token(loop);
            batch->pos[i] = position;
            batch->n_seq_id[i] = 1;
            batch->seq_id[i][0] = sequence;
            batch->logits[i] = position + 1 == end;
        }
        if (llama_decode(loop->ctx, *batch) != 0)
            die("cannot evaluate a prompt");
    }
    llama_synchronize(loop->ctx);
}

/* One token of each sequence. */
static void evaluate_step(bare_loop *loop, struct llama_batch *batch, int n_sequences, int position) {
    batch->n_tokens = n_sequences;
    for (int s = 0; s < n_sequences; s++) {
        batch->token[s] = any_token(loop);
        batch->pos[s] = position;
        batch->n_seq_id[s] = 1;
        batch->seq_id[s][0] = s;
        batch->logits[s] = true;
    }
    if (llama_decode(loop->ctx, *batch) != 0)
        die("cannot evaluate a token");
    llama_synchronize(loop->ctx);
}

static figures evaluate(bare_loop *loop, int n_sequences, int n_prompt, int n_tokens) {
    if (n_sequences < 1 || n_sequences > loop->options.n_sequences || n_prompt < 1 ||
        n_prompt + n_tokens > loop->options.n_ctx)
        die("so many sequences or tokens do not fit the context");
    struct llama_batch batch = llama_batch_init(loop->options.n_batch, 0, 1);
    llama_memory_clear(llama_get_memory(loop->ctx), false);
    const int64_t start = now_ns();
    for (int s = 0; s < n_sequences; s++)
        evaluate_run(loop, &batch, s, 0, n_prompt);
    const int64_t first = now_ns();
    for (int i = 0; i < n_tokens; i++)
        evaluate_step(loop, &batch, n_sequences, n_prompt + i);
    const int64_t last = now_ns();
    llama_batch_free(batch);
    return (figures){.n_prompt_tokens = n_prompt,
                     .n_tokens = n_tokens,
                     .first_ms = (double)(first - start) / 1e6,
                     .tokens_per_s = (double)n_sequences * n_tokens * 1e9 / (double)(last - first)};
}

/* Whether evaluation is faster with the library's flash attention, for this model on this machine. */
static bool is_flash_faster(bare_loop *loop) {
    double rates[2];
    const int n_prompt = loop->options.n_ctx < 256 ? loop->options.n_ctx / 2 : 64;
    for (int flash = 0; flash < 2; flash++) {
        make_context(loop, flash);
        evaluate(loop, loop->options.n_sequences, n_prompt, 4); /* warms up */
        rates[flash] = evaluate(loop, loop->options.n_sequences, n_prompt, 16).tokens_per_s;
        free_context(loop);
    }
    return rates[1] > rates[0];
}

static figures resume(bare_loop *loop, int n_old, int n_new) {
    if (n_old < 1 || n_new < 1 || n_old + n_new > loop->options.n_ctx)
        die("so many tokens do not fit the context");
    struct llama_batch batch = llama_batch_init(loop->options.n_batch, 0, 1);
    llama_memory_clear(llama_get_memory(loop->ctx), false);
    evaluate_run(loop, &batch, 0, 0, n_old);
    const int64_t start = now_ns();
    evaluate_run(loop, &batch, 0, n_old, n_old + n_new);
    const int64_t end = now_ns();
    llama_batch_free(batch);
    return (figures){.n_prompt_tokens = n_new, .first_ms = (double)(end - start) / 1e6};
}

/* ---- Answering requests --------------------------------------------------------------------------------------- */

static void print_figures(const figures *f) {
    printf("first_ms %.4f tokens_per_s %.3f tokens %d prompt_tokens %d bytes %zu survivors %.2f\n", f->first_ms,
           f->tokens_per_s, f->n_tokens, f->n_prompt_tokens, f->n_bytes, f->survivors);
    fflush(stdout);
}

/* Resident memory as the kernel counts it, in kB: all of it, at its highest, not backed by a file, backed by one. */
static void print_memory(void) {
    static const char *const names[] = {"VmRSS:", "VmHWM:", "RssAnon:", "RssFile:"};
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (strncmp(line, names[i], strlen(names[i])) == 0)
                fputs(line, stdout);
        }
    }
    if (status != NULL)
        fclose(status);
}

static void serve_stdin(bare_loop *loop) {
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    puts("ready");
    fflush(stdout);
    while ((length = getline(&line, &size, stdin)) > 0) {
        int first, second, third;
        if (sscanf(line, "evaluate %d %d %d", &first, &second, &third) == 3) {
            const figures f = evaluate(loop, first, second, third);
            print_figures(&f);
            continue;
        }
        if (sscanf(line, "resume %d %d", &first, &second) == 2) {
            const figures f = resume(loop, first, second);
            print_figures(&f);
            continue;
        }
        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        char *system_prompt = strchr(line, '\t');
        char *user_prompt = system_prompt != NULL ? strchr(system_prompt + 1, '\t') : NULL;
        if (user_prompt == NULL)
            die("a request is TOKENS<tab>SYSTEM PROMPT<tab>USER PROMPT");
        *system_prompt++ = '\0';
        *user_prompt++ = '\0';
        /* A negative number asks for the survivors of min-p as well. */
        const int n_predict = atoi(line);
        const figures f = answer(loop, system_prompt, user_prompt, abs(n_predict), n_predict < 0);
        print_figures(&f);
    }
    free(line);
}

/* ---- Options -------------------------------------------------------------------------------------------------- */

static void print_usage(void) {
    puts("usage: bare_loop -m FILE [options]\n"
         "Answers a prompt with libllama alone and prints what it cost.\n"
         "  -m, --model FILE      the model\n"
         "  -p, --prompt TEXT     the user's prompt\n"
         "      --system TEXT     the system prompt\n"
         "  -n, --predict N       tokens to generate (128)\n"
         "      --runs N          how often (5)\n"
         "  -c, --ctx-size N      context size of each sequence (4096)\n"
         "  -np, --parallel N     sequences, for evaluation alone (1)\n"
         "  -b, --batch-size N    most tokens in one call (512)\n"
         "  -ub, --ubatch-size N  most tokens evaluated at once (512)\n"
         "  -t, --threads N       threads (2)\n"
         "  -fa, --flash-attn N   flash attention: 0 off, 1 on, -1 what is faster here (-1)\n"
         "      --poll N          how long the pool's threads spin before they sleep, 0 to 100 (50)\n"
         "      --attach N        0: no thread pool of our own (1)\n"
         "      --repack N        0: weights stay in the layout of the file (1)\n"
         "      --temp T, --min-p P, -s/--seed N    sampling (0.7, 0.05, 1)\n"
         "      --survivors       count the candidates that pass min-p 0.05, in one more run\n"
         "      --stdin           stay, and answer one request per line of standard input\n"
         "      --version         print the version of libllama and what the processor offers it\n"
         "  -v, --verbose         let libllama print its log");
}

static bool is_option(const char *arg, const char *brief, const char *full) {
    return strcmp(arg, brief) == 0 || strcmp(arg, full) == 0;
}

int main(int argc, char **argv) {
    bare_loop loop = {.options = {.system_prompt = "You are a helpful tutor.",
                                  .user_prompt = "Explain C++ pointers in detail.",
                                  .n_ctx = 4096,
                                  .n_sequences = 1,
                                  .n_batch = 512,
                                  .n_ubatch = 512,
                                  .n_threads = 2,
                                  .n_predict = 128,
                                  .n_runs = 5,
                                  .poll = 50,
                                  .flash_attn = -1,
                                  .repack = 1,
                                  .attach = 1,
                                  .seed = 1,
                                  .temp = 0.7f,
                                  .min_p = 0.05f}};
    bare_options *options = &loop.options;
    bool survivors = false;
    const struct {
        const char *brief, *full;
        int *value;
    } numbers[] = {
        {"-n", "--predict", &options->n_predict},    {"-c", "--ctx-size", &options->n_ctx},
        {"-b", "--batch-size", &options->n_batch},   {"-ub", "--ubatch-size", &options->n_ubatch},
        {"-t", "--threads", &options->n_threads},    {"-fa", "--flash-attn", &options->flash_attn},
        {"--poll", "--poll", &options->poll},        {"--attach", "--attach", &options->attach},
        {"--repack", "--repack", &options->repack},  {"--runs", "--runs", &options->n_runs},
        {"-np", "--parallel", &options->n_sequences},
    };
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (is_option(arg, "-h", "--help")) {
            print_usage();
            return 0;
        }
        if (strcmp(arg, "--version") == 0) {
            llama_log_set(log_nothing, NULL);
            load_backends();
            printf("libllama %s; %s\n", llama_version(), llama_print_system_info());
            return 0;
        }
        if (strcmp(arg, "--stdin") == 0) {
            options->serve_stdin = true;
            continue;
        }
        if (strcmp(arg, "--survivors") == 0) {
            survivors = true;
            continue;
        }
        if (is_option(arg, "-v", "--verbose")) {
            options->verbose = true;
            continue;
        }
        const char *value = i + 1 < argc ? argv[++i] : NULL;
        if (value == NULL) {
            fprintf(stderr, "bare_loop: unknown option, or no value for it: %s\n", arg);
            return 2;
        }
        bool known = true;
        if (is_option(arg, "-m", "--model"))
            options->model = value;
        else if (is_option(arg, "-p", "--prompt"))
            options->user_prompt = value;
        else if (strcmp(arg, "--system") == 0)
            options->system_prompt = value;
        else if (is_option(arg, "-s", "--seed"))
            options->seed = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(arg, "--temp") == 0)
            options->temp = strtof(value, NULL);
        else if (strcmp(arg, "--min-p") == 0)
            options->min_p = strtof(value, NULL);
        else
            known = false;
        for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++) {
            if (is_option(arg, numbers[j].brief, numbers[j].full)) {
                *numbers[j].value = atoi(value);
                known = true;
            }
        }
        if (!known) {
            fprintf(stderr, "bare_loop: unknown option %s\n", arg);
            return 2;
        }
    }
    if (options->model == NULL) {
        fputs("bare_loop: no model named; see --help\n", stderr);
        return 2;
    }
    if (options->n_batch < options->n_sequences || options->n_sequences < 1 || options->n_threads < 1) {
        fputs("bare_loop: sequences and threads are at least 1, and a batch has room for a token of each sequence\n",
              stderr);
        return 2;
    }

    load(&loop);
    make_context(&loop, options->flash_attn < 0 ? is_flash_faster(&loop) : options->flash_attn > 0);
    if (options->serve_stdin) {
        serve_stdin(&loop);
    } else {
        for (int run = 0; run < options->n_runs; run++) {
            const figures f = answer(&loop, options->system_prompt, options->user_prompt, options->n_predict, false);
            print_figures(&f);
        }
        if (survivors) {
            const figures f = answer(&loop, options->system_prompt, options->user_prompt, options->n_predict, true);
            print_figures(&f);
        }
        print_memory();
    }
    unload(&loop);
    return 0;
}
