/* llama.c - the engine on libllama: the only file that includes llama.h.
 *
 * Loading, chat template, evaluation, sampling, and turning tokens back into whole characters.
 *
 * The same request with the same seed gives the same text, whoever is beside it and whether or not its first tokens
 * were made by another engine. Each sequence has its own cells and samplers, a draw is a function of the token's place
 * (draw.h), and what is left is that libllama computes the same logits, to the last bit. How it rounds depends on the
 * shape of what it evaluates: on the number of tokens (for weights of 16 and 32 bits, whether it is one or more; for K
 * quants, whether it is four or more; then the library chooses another kernel), and whether a sequence has one token
 * there or several (in the attention). It does not depend on what the others are. So:
 *
 *   - A prompt is evaluated in slices whose limits depend on its length alone, each by itself, none of a single token
 *     (but for a prompt that has no more).
 *   - A token of an answer, sampled or resumed, is alone in its sequence. Whether the tokens of several answers may be
 *     evaluated together is tried out at the start: see find_out_about_rounding().
 */
#define _GNU_SOURCE
#include "engine.h"

#include "grammar.h"
#include "sampler.h"

#include "../platform/platform.h"
#include "../text/utf8.h"

#include <dlfcn.h>
#include <errno.h>
#include <ggml-backend.h>
#include <llama.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Tokens of a prompt evaluated in one step: large enough that evaluation runs at full speed, small enough that the
 * others get their tokens. Cancelling does not wait for it: see abandon_evaluation(). */
#define SLICE_TOKENS 512
/* What the caches of several answers may take together when nobody says how many there shall be. */
#define CACHES_DEFAULT_BYTES (512.0 * 1024 * 1024)
/* Below this one thread is as fast as several (see default_threads()), and tokens one by one nearly as fast as several
 * together (see find_out_about_rounding()). */
#define SMALL_MODEL_PARAMETERS 8000000u
/* A token's piece is rarely longer than a word; the buffer grows if a model has a longer one. */
#define PIECE_SIZE 256
/* Bytes of a character that is not complete yet. */
#define HELD_SIZE 4
/* The library counts the context of a sequence in such pieces. */
#define CONTEXT_PIECE 256u

typedef struct ggml_threadpool *(*threadpool_new_fn)(struct ggml_threadpool_params *params);
typedef void (*threadpool_free_fn)(struct ggml_threadpool *pool);

/* One of the answers that can be made at a time. Its number is its sequence in the library's memory. */
struct sequence {
    bool is_running;
    bool is_cancelled;
    bool wants_logprobs;
    struct sampler *sampler;
    struct grammar *grammar;       /* NULL: any text */
    llama_token *prompt;
    int32_t n_prompt;
    int32_t n_prompt_done;
    llama_token *resumed; /* NULL: none */
    int32_t n_resumed;
    int32_t n_tokens;
    int32_t n_predict;
    llama_token last;     /* sampled or resumed, not evaluated yet */
    int32_t n_in_batch;   /* its tokens in the batch at hand */
    int32_t logits_at;    /* where in the batch its next token's logits are; negative: nowhere */
    uint64_t waits_since; /* whose prompt comes next: see comes_before() */
    uint64_t admitted_ns;
    uint64_t first_token_ns;

    /* Kept from answer to answer. */
    char *text;           /* whole characters of this step: held bytes and the piece, repaired */
    size_t text_size;
    char held[HELD_SIZE]; /* the beginning of a character whose end is in a later token */
    size_t n_held;
};

struct llama_engine {
    engine base;
    llama_engine_options options;
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    const char *chat_template; /* NULL: plain text */
    struct ggml_threadpool *threadpool;
    threadpool_free_fn threadpool_free;
    struct llama_batch batch;
    int32_t slice_limit;       /* tokens of a prompt in a batch */
    bool is_one_by_one;        /* each token of an answer is evaluated by itself */
    struct sequence *sequences;
    int n_running;
    uint64_t n_turns;          /* admissions and slices so far */
    bool has_begun_prompt;     /* the last slice was the first one of its prompt */

    char *piece;               /* what a token's bytes are decoded into */
    size_t piece_size;

    /* The library's first line at error level: the cause, not its consequences. */
    char library_error[ENGINE_MESSAGE_SIZE];
    int last_per_mille;
};

__attribute__((format(printf, 2, 3))) static void say(struct llama_engine *engine, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(engine->base.message, sizeof engine->base.message, format, arguments);
    va_end(arguments);
}

static bool is_interrupted(const struct llama_engine *engine) {
    const engine_callbacks *callbacks = &engine->options.callbacks;
    return callbacks->interrupted && callbacks->interrupted(callbacks->user_data);
}

static const char *library_reason(const struct llama_engine *engine) {
    return engine->library_error[0] ? engine->library_error : "the library gives no reason";
}

/* ---- the library's log --------------------------------------------------------------------------------------------- */

static void on_library_log(enum ggml_log_level level, const char *text, void *user_data) {
    struct llama_engine *engine = user_data;
    if (level == GGML_LOG_LEVEL_CONT || level == GGML_LOG_LEVEL_NONE) return; /* dots of a progress line */
    char line[ENGINE_MESSAGE_SIZE];
    snprintf(line, sizeof line, "%s", text);
    line[strcspn(line, "\n")] = 0;
    if (line[0] == 0) return;
    if (level == GGML_LOG_LEVEL_ERROR && engine->library_error[0] == 0)
        memcpy(engine->library_error, line, sizeof line);
    /* The library's information is our debugging. Its errors are reported once, by whoever gives up because of them. */
    if (engine->options.callbacks.on_log)
        engine->options.callbacks.on_log(engine->options.callbacks.user_data, level == GGML_LOG_LEVEL_WARN ? 2 : 3, line);
}

/* ---- loading ------------------------------------------------------------------------------------------------------- */

/* What can be said about a file before the library tries it, in better words than the library's. */
static int check_model_file(struct llama_engine *engine) {
    const char *path = engine->options.model_path;
    struct stat status;
    /* Looked at before it is opened: opening a pipe would wait for its other end. */
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        say(engine, "the model '%s' is not a file; give a GGUF file with -m FILE", path);
        return ENGINE_E_MODEL_MISSING;
    }
    FILE *file = fopen(path, "rbe");
    if (!file) {
        say(engine, "cannot read the model file '%s': %s; give another with -m FILE", path, strerror(errno));
        return ENGINE_E_MODEL_MISSING;
    }
    char magic[4] = {0};
    int error = ENGINE_OK;
    if (fread(magic, 1, sizeof magic, file) != sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0) {
        say(engine, "'%s' is not a GGUF model (it does not begin with \"GGUF\"); convert it, or give another with -m FILE",
            path);
        error = ENGINE_E_MODEL_BAD;
    }
    fclose(file);
    return error;
}

static bool has_cpu(void) {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != NULL;
}

static bool has_gpu(void) {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) != NULL ||
           ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU) != NULL;
}

/* Backends lie beside the library that loads them; where the system packages put them elsewhere, the library knows. */
static void load_backends(void) {
    if (has_cpu()) return; /* linked in, or an engine was open before */
    Dl_info info;
    if (dladdr((const void *)(uintptr_t)ggml_backend_load_all_from_path, &info) && info.dli_fname) {
        char folder[4096];
        snprintf(folder, sizeof folder, "%s", info.dli_fname);
        char *slash = strrchr(folder, '/');
        if (slash) {
            *slash = 0;
            ggml_backend_load_all_from_path(folder);
        }
    }
    if (!has_cpu()) ggml_backend_load_all();
}

static bool on_model_progress(float progress, void *user_data) {
    struct llama_engine *engine = user_data;
    int per_mille = (int)(progress * 1000.0f);
    if (per_mille != engine->last_per_mille && engine->options.callbacks.on_load_progress) {
        engine->last_per_mille = per_mille;
        engine->options.callbacks.on_load_progress(engine->options.callbacks.user_data, per_mille);
    }
    return !is_interrupted(engine);
}

static int load_model(struct llama_engine *engine) {
    struct llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = engine->options.n_gpu_layers;
    params.progress_callback = on_model_progress;
    params.progress_callback_user_data = engine;
    engine->model = llama_model_load_from_file(engine->options.model_path, params);
    if (engine->model) {
        engine->vocab = llama_model_get_vocab(engine->model);
        if (!llama_model_has_encoder(engine->model) && llama_model_has_decoder(engine->model) &&
            llama_vocab_n_tokens(engine->vocab) > 0)
            return ENGINE_OK;
        say(engine, "the model '%s' does not generate text (an encoder or a vocabulary alone); give another with -m FILE",
            engine->options.model_path);
        return ENGINE_E_MODEL_BAD;
    }
    if (is_interrupted(engine)) {
        say(engine, "loading was interrupted");
        return ENGINE_E_ABORTED;
    }
    say(engine, "the model file '%s' is damaged, truncated or of an unknown kind: %s", engine->options.model_path,
        library_reason(engine));
    return ENGINE_E_MODEL_BAD;
}

static bool is_small(const struct llama_model *model) {
    return llama_model_n_params(model) < SMALL_MODEL_PARAMETERS;
}

/* Threads when nobody says. The library's threads meet at a spinning barrier after each node of the graph: for a small
 * model that costs as much as the second core gains, and a hundred times as much when another program has that core. */
static int32_t default_threads(const struct llama_model *model) {
    return is_small(model) ? 1 : plat_core_count();
}

/* Bytes of the key-value cache at 16 bits: for each token, layer and key-value head one key and one value. Models with
 * sliding windows or recurrent layers need less. */
static double cache_bytes(const struct llama_model *model, uint64_t n_ctx) {
    double head = (double)llama_model_n_embd(model) / (double)llama_model_n_head(model);
    return 2.0 * 2.0 * (double)n_ctx * (double)llama_model_n_layer(model) * (double)llama_model_n_head_kv(model) * head;
}

/* On a CPU the library's flash attention has a fixed cost for each head and cached position: 2.5 times slower at heads of
 * 16, faster from 64 on (bench/README.md). */
static bool flash_attention_pays(const struct llama_model *model) {
    return has_gpu() || llama_model_n_embd(model) / llama_model_n_head(model) >= 64;
}

/* Tokens that one sequence gets: as asked for, rounded as the library does, so that it has nothing to round. */
static uint64_t choose_context(const struct llama_engine *engine) {
    uint32_t n_trained = (uint32_t)llama_model_n_ctx_train(engine->model);
    uint32_t n_limit = engine->options.n_ctx_limit;
    uint64_t n_ctx = n_limit && n_trained > n_limit ? n_limit : n_trained;
    if (engine->options.n_ctx) n_ctx = engine->options.n_ctx;
    return (n_ctx + CONTEXT_PIECE - 1) / CONTEXT_PIECE * CONTEXT_PIECE;
}

/* Answers at a time when nobody says: each has a cache for the whole context, and who loads a large model expects its
 * memory to go into one. */
static int32_t default_sequences(const struct llama_engine *engine) {
    double room = CACHES_DEFAULT_BYTES / cache_bytes(engine->model, choose_context(engine));
    return room >= ENGINE_SEQUENCES_DEFAULT ? ENGINE_SEQUENCES_DEFAULT : room >= 2 ? (int32_t)room : 1;
}

static int check_memory(struct llama_engine *engine, uint64_t n_ctx) {
    int32_t n_sequences = engine->base.facts.n_sequences;
    uint64_t available = plat_memory_available_bytes();
    double needed = cache_bytes(engine->model, n_ctx) * n_sequences;
    if (available == 0 || needed <= (double)available || llama_model_is_recurrent(engine->model) ||
        llama_model_is_hybrid(engine->model) || llama_model_n_swa(engine->model) != 0)
        return ENGINE_OK;
    if (n_sequences == 1)
        say(engine,
            "a context of %llu tokens needs %.1f GB of memory, %.1f GB are available; give a smaller one with -c N",
            (unsigned long long)n_ctx, needed / 1e9, (double)available / 1e9);
    else
        say(engine,
            "%d contexts of %llu tokens need %.1f GB of memory, %.1f GB are available; give smaller ones with -c N",
            n_sequences, (unsigned long long)n_ctx, needed / 1e9, (double)available / 1e9);
    return ENGINE_E_CONTEXT;
}

static int make_context(struct llama_engine *engine) {
    uint32_t n_sequences = (uint32_t)engine->base.facts.n_sequences;
    size_t n_limit = llama_max_parallel_sequences();
    if (n_limit > SLICE_TOKENS) n_limit = SLICE_TOKENS; /* a token of each fits into a batch */
    if (n_sequences > n_limit) {
        say(engine, "%u answers at a time are too many: the library can make %zu", n_sequences, n_limit);
        return ENGINE_E_CONTEXT;
    }
    uint64_t n_ctx = choose_context(engine);
    int error = check_memory(engine, n_ctx);
    if (error < 0) return error;
    if (n_ctx * n_sequences > UINT32_MAX - CONTEXT_PIECE) {
        say(engine, "%u contexts of %llu tokens are more than the library can count; give a smaller one with -c N",
            n_sequences, (unsigned long long)n_ctx);
        return ENGINE_E_CONTEXT;
    }
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)n_ctx * n_sequences;
    params.n_batch = SLICE_TOKENS;
    params.n_ubatch = SLICE_TOKENS;
    params.n_seq_max = n_sequences;
    params.kv_unified = false;          /* a sequence attends to its own cells only, and they lie together */
    params.n_outputs_max = n_sequences; /* logits of the last tokens only: saves vocabulary x slice floats */
    params.n_threads = engine->base.facts.n_threads;
    params.n_threads_batch = engine->base.facts.n_threads;
    params.no_perf = true;
    if (!flash_attention_pays(engine->model)) params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    engine->context = llama_init_from_model(engine->model, params);
    if (!engine->context) {
        say(engine, "a context of %u tokens does not fit: %s; give a smaller one with -c N", params.n_ctx,
            library_reason(engine));
        return ENGINE_E_CONTEXT;
    }
    engine->slice_limit = (int32_t)llama_n_batch(engine->context); /* less than asked for if the context is smaller */
    return ENGINE_OK;
}

/* The library otherwise starts a new pool of threads for every evaluation: at small models that is most of the time. Its
 * threads poll for a while after each evaluation and then sleep, so an idle host uses no CPU. */
static void attach_threadpool(struct llama_engine *engine) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (!cpu) return;
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(cpu);
    threadpool_new_fn new_pool =
        (threadpool_new_fn)(uintptr_t)ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_new");
    engine->threadpool_free =
        (threadpool_free_fn)(uintptr_t)ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_free");
    if (!new_pool || !engine->threadpool_free) return;
    struct ggml_threadpool_params params = ggml_threadpool_params_default(engine->base.facts.n_threads);
    engine->threadpool = new_pool(&params);
    if (engine->threadpool) llama_attach_threadpool(engine->context, engine->threadpool, NULL);
}

/* Called by the library between the nodes of a graph: true abandons the evaluation. */
static bool abandon_evaluation(void *user_data) {
    return is_interrupted(user_data);
}

/* ---- chat template ------------------------------------------------------------------------------------------------- */

/* Applies the model's own template; a model without one, or with one that the library does not know, gets "chatml" if
 * its vocabulary has the marks of that, otherwise plain text: the messages under "System:", "User:", "Assistant:". */
static const char *choose_template(struct llama_engine *engine) {
    const struct llama_chat_message probe = {"user", "x"};
    const char *own = llama_model_chat_template(engine->model, NULL);
    if (own && llama_chat_apply_template(own, &probe, 1, true, NULL, 0) > 0) {
        snprintf(engine->base.facts.template_name, sizeof engine->base.facts.template_name, "the model's own");
        return own;
    }
    llama_token mark[4];
    static const char chatml_mark[] = "<|im_start|>";
    if (llama_tokenize(engine->vocab, chatml_mark, sizeof chatml_mark - 1, mark, 4, false, true) == 1) {
        snprintf(engine->base.facts.template_name, sizeof engine->base.facts.template_name, "chatml");
        return "chatml";
    }
    snprintf(engine->base.facts.template_name, sizeof engine->base.facts.template_name, "plain");
    return NULL;
}

static char *plain_conversation(const engine_request *request) {
    static const struct { const char *role, *title; } titles[] = {
        {"system", "System"}, {"user", "User"}, {"assistant", "Assistant"}};
    char *text = NULL;
    size_t n_bytes;
    FILE *stream = open_memstream(&text, &n_bytes);
    if (!stream) return NULL;
    for (size_t i = 0; i < request->n_messages; i++)
        for (size_t t = 0; t < sizeof titles / sizeof titles[0]; t++)
            if (strcmp(request->messages[i].role, titles[t].role) == 0)
                fprintf(stream, "%s: %s\n\n", titles[t].title, request->messages[i].text);
    fprintf(stream, "Assistant:");
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The conversation as the one text that the model reads; NULL if memory ran out. The caller frees it. */
static char *render_conversation(struct llama_engine *engine, const engine_request *request) {
    const char *template = engine->chat_template;
    if (!template) return plain_conversation(request);
    struct llama_chat_message *messages = calloc(request->n_messages + 1, sizeof *messages);
    if (!messages) return NULL;
    for (size_t i = 0; i < request->n_messages; i++)
        messages[i] = (struct llama_chat_message){request->messages[i].role, request->messages[i].text};
    char *text = NULL;
    int32_t size = llama_chat_apply_template(template, messages, request->n_messages, true, NULL, 0);
    if (size >= 0 && (text = malloc((size_t)size + 1)) != NULL) {
        llama_chat_apply_template(template, messages, request->n_messages, true, text, size + 1);
        text[size] = 0;
    }
    free(messages);
    return text;
}

/* ---- admitting ----------------------------------------------------------------------------------------------------- */

/* NULL if memory ran out. */
static sampler *make_sampler(const struct llama_engine *engine, const engine_sampling *sampling) {
    int32_t n_vocab = engine->base.facts.n_vocab;
    sampler *made = sampler_new(sampling, n_vocab, sampler_window(sampling, engine->base.facts.n_ctx));
    for (llama_token token = 0; made && sampling->ignore_eos && token < n_vocab; token++)
        if (llama_vocab_is_eog(engine->vocab, token)) sampler_forbid(made, token);
    return made;
}

/* Fills sequence->grammar. Errors: GRAMMAR. */
static int make_grammar(struct llama_engine *engine, struct sequence *sequence, const char *text) {
    char reason[256];
    if (!text || text[0] == 0) return ENGINE_OK;
    sequence->grammar = grammar_new(text, reason, sizeof reason);
    if (sequence->grammar) return ENGINE_OK;
    say(engine, "the grammar cannot be used: %s", reason);
    return ENGINE_E_GRAMMAR;
}

static void release_answer(struct sequence *sequence) {
    sampler_free(sequence->sampler);
    grammar_free(sequence->grammar);
    free(sequence->prompt);
    free(sequence->resumed);
    *sequence = (struct sequence){.text = sequence->text, .text_size = sequence->text_size};
}

/* Fills sequence->prompt. Errors: EVALUATION, TOO_LONG, NO_MEMORY. */
static int tokenise(struct llama_engine *engine, struct sequence *sequence, const char *text) {
    size_t n_bytes = strlen(text);
    /* A token has a byte or more, but for the few that the library adds at the ends. It counts in 32 bits. */
    enum { N_ADDED = 16 };
    if (n_bytes <= INT32_MAX - N_ADDED) {
        sequence->prompt = malloc((n_bytes + N_ADDED) * sizeof *sequence->prompt);
        if (!sequence->prompt) return ENGINE_E_NO_MEMORY;
        sequence->n_prompt = llama_tokenize(engine->vocab, text, (int32_t)n_bytes, sequence->prompt,
                                            (int32_t)n_bytes + N_ADDED, true, true);
    }
    if (sequence->n_prompt <= 0) {
        say(engine, "the prompt of %zu bytes cannot be turned into tokens", n_bytes);
        return ENGINE_E_EVALUATION;
    }
    if ((uint32_t)sequence->n_prompt >= engine->base.facts.n_ctx) {
        say(engine, "the prompt has %d tokens, the context only %u; shorten it, or start the host with a larger -c N",
            sequence->n_prompt, engine->base.facts.n_ctx);
        return ENGINE_E_TOO_LONG;
    }
    return ENGINE_OK;
}

/* Fills sequence->resumed; the prompt and n_predict are known. Errors: RESUMED, NO_MEMORY. */
static int copy_resumed(struct llama_engine *engine, struct sequence *sequence, const engine_request *request) {
    size_t n_resumed = request->n_resumed;
    int error = engine_check_resumed(&engine->base, request, sequence->n_prompt);
    if (error < 0 || n_resumed == 0) return error;
    for (size_t i = 0; i < n_resumed; i++) {
        llama_token token = request->resumed[i];
        bool is_known = token >= 0 && token < engine->base.facts.n_vocab;
        if (is_known && !llama_vocab_is_eog(engine->vocab, token)) continue;
        say(engine, "token %zu of those that the answer already has is %d, which %s; resume with the model that made them",
            i, token, is_known ? "ends an answer" : "is not in the vocabulary");
        return ENGINE_E_RESUMED;
    }
    sequence->resumed = malloc(n_resumed * sizeof *sequence->resumed);
    if (!sequence->resumed) return ENGINE_E_NO_MEMORY;
    memcpy(sequence->resumed, request->resumed, n_resumed * sizeof *sequence->resumed);
    sequence->n_resumed = (int32_t)n_resumed;
    return ENGINE_OK;
}

/* Fills in a free sequence. On error it may be half filled in. */
static int begin_answer(struct llama_engine *engine, struct sequence *sequence, const engine_request *request) {
    int error = make_grammar(engine, sequence, request->grammar);
    if (error < 0) return error;
    char *text = render_conversation(engine, request);
    if (!text) return ENGINE_E_NO_MEMORY;
    error = tokenise(engine, sequence, text);
    free(text);
    if (error < 0 || (error = copy_resumed(engine, sequence, request)) < 0) return error;
    sequence->sampler = make_sampler(engine, &request->sampling);
    if (!sequence->sampler) return ENGINE_E_NO_MEMORY;
    sampler_accept(sequence->sampler, sequence->prompt, (size_t)sequence->n_prompt); /* the penalties count it */
    sequence->n_predict = request->n_predict;
    sequence->wants_logprobs = request->wants_logprobs;
    return ENGINE_OK;
}

/* The lowest one: the library evaluates sequences in one go only if their numbers follow each other, which is faster. */
static int find_free_sequence(const struct llama_engine *engine) {
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (!engine->sequences[s].is_running) return s;
    return -1;
}

static int llama_engine_admit(engine *base, const engine_request *request, int *result) {
    struct llama_engine *engine = (struct llama_engine *)base;
    uint64_t admitted_ns = plat_clock_ns();
    int number = find_free_sequence(engine);
    if (number < 0) {
        say(engine, "all %d sequences are in use", base->facts.n_sequences);
        return ENGINE_E_BUSY;
    }
    struct sequence *sequence = &engine->sequences[number];
    int error = begin_answer(engine, sequence, request);
    if (error < 0) {
        if (error == ENGINE_E_NO_MEMORY) say(engine, "not enough memory for a request");
        release_answer(sequence);
        return error;
    }
    sequence->admitted_ns = admitted_ns;
    sequence->waits_since = engine->n_turns++;
    sequence->is_running = true;
    engine->n_running++;
    *result = number;
    return ENGINE_OK;
}

/* ---- batches ------------------------------------------------------------------------------------------------------- */

static int32_t prompt_left(const struct sequence *sequence) {
    return sequence->is_running ? sequence->n_prompt - sequence->n_prompt_done : 0;
}

static bool is_generating(const struct sequence *sequence) {
    return sequence->is_running && prompt_left(sequence) == 0;
}

/* Of two that wait for a slice. First slices and further ones take turns: then long prompts do not keep a newcomer
 * waiting, nor many newcomers a long prompt. Among equals it is who has waited longer. */
static bool comes_before(const struct llama_engine *engine, const struct sequence *a, const struct sequence *b) {
    bool is_new = a->n_prompt_done == 0;
    if (is_new != (b->n_prompt_done == 0)) return is_new != engine->has_begun_prompt;
    return a->waits_since < b->waits_since;
}

/* The sequence whose prompt gets the next slice; negative: all prompts are read. */
static int choose_reader(const struct llama_engine *engine) {
    int chosen = -1;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        const struct sequence *sequence = &engine->sequences[s];
        if (prompt_left(sequence) == 0) continue;
        if (chosen < 0 || comes_before(engine, sequence, &engine->sequences[chosen])) chosen = s;
    }
    return chosen;
}

/* As many tokens as fit, and never a single one behind others. */
static int32_t next_slice(const struct llama_engine *engine, const struct sequence *sequence) {
    int32_t n_left = prompt_left(sequence), n_limit = engine->slice_limit;
    if (n_left <= n_limit) return n_left;
    return n_left == n_limit + 1 ? n_limit - 1 : n_limit;
}

static void begin_batch(struct llama_engine *engine) {
    engine->batch.n_tokens = 0;
    for (int s = 0; s < engine->base.facts.n_sequences; s++) engine->sequences[s].n_in_batch = 0;
}

/* Adds tokens to the batch; computes the logits of the last one if asked to, and returns where they will be. */
static int32_t add_to_batch(struct llama_batch *batch, int32_t number, const llama_token *tokens, int32_t n_tokens,
                            int32_t position, bool with_logits) {
    for (int32_t i = 0; i < n_tokens; i++) {
        int32_t at = batch->n_tokens++;
        batch->token[at] = tokens[i];
        batch->pos[at] = position + i;
        batch->n_seq_id[at] = 1;
        batch->seq_id[at][0] = number;
        batch->logits[at] = with_logits && i == n_tokens - 1;
    }
    return with_logits ? batch->n_tokens - 1 : -1;
}

static void add_last_token(struct llama_engine *engine, int number) {
    struct sequence *sequence = &engine->sequences[number];
    int32_t position = sequence->n_prompt + sequence->n_tokens - 1;
    sequence->n_in_batch = 1;
    sequence->logits_at = add_to_batch(&engine->batch, number, &sequence->last, 1, position, true);
}

static void add_slice(struct llama_engine *engine, int number) {
    struct sequence *sequence = &engine->sequences[number];
    const llama_token *slice = sequence->prompt + sequence->n_prompt_done;
    sequence->n_in_batch = next_slice(engine, sequence);
    bool is_last = sequence->n_in_batch == prompt_left(sequence) && sequence->n_predict != 0;
    sequence->logits_at =
        add_to_batch(&engine->batch, number, slice, sequence->n_in_batch, sequence->n_prompt_done, is_last);
}

/* NONE, CANCELLED or FAILED, for all answers of the batch. */
static engine_end evaluate(struct llama_engine *engine) {
    engine->library_error[0] = 0;
    int32_t result = llama_decode(engine->context, engine->batch);
    if (result == 0) return ENGINE_END_NONE;
    if (result == 2) return ENGINE_END_CANCELLED;
    say(engine, "evaluating %d tokens failed with code %d: %s", engine->batch.n_tokens, result, library_reason(engine));
    return ENGINE_END_FAILED;
}

/* ---- text ---------------------------------------------------------------------------------------------------------- */

/* Decodes a token's bytes into engine->piece and returns their number, 0 also for tokens without text. */
static size_t token_bytes(struct llama_engine *engine, llama_token token) {
    int32_t size = engine->piece_size > INT32_MAX ? INT32_MAX : (int32_t)engine->piece_size;
    int32_t n_bytes = llama_token_to_piece(engine->vocab, token, engine->piece, size, 0, false);
    if (n_bytes < 0 && n_bytes != INT32_MIN) {
        char *larger = realloc(engine->piece, (size_t)-n_bytes);
        if (!larger) return 0;
        engine->piece = larger;
        engine->piece_size = (size_t)-n_bytes;
        n_bytes = llama_token_to_piece(engine->vocab, token, engine->piece, -n_bytes, 0, false);
    }
    return n_bytes > 0 ? (size_t)n_bytes : 0;
}

/* Turns a token into text: what was held back and the new bytes, up to the last whole character. False: no memory. */
static bool detokenise(struct llama_engine *engine, struct sequence *sequence, engine_progress *progress) {
    size_t n_piece = token_bytes(engine, sequence->last);
    size_t n_all = sequence->n_held + n_piece;
    if (n_piece == 0) return true;
    if (sequence->text_size < 4 * n_all) { /* n_all joined, behind them at most three times as many repaired */
        char *larger = realloc(sequence->text, 4 * n_all);
        if (!larger) return false;
        sequence->text = larger;
        sequence->text_size = 4 * n_all;
    }
    char *joined = sequence->text;
    memcpy(joined, sequence->held, sequence->n_held);
    memcpy(joined + sequence->n_held, engine->piece, n_piece);
    /* A zero byte would end the text for everybody who reads it: it counts as a byte that is no text, 0xFF. */
    for (size_t i = sequence->n_held; i < n_all; i++)
        if (joined[i] == 0) joined[i] = (char)0xFF;
    size_t n_whole = utf8_whole_prefix(joined, n_all);
    sequence->n_held = n_all - n_whole;
    memcpy(sequence->held, joined + n_whole, sequence->n_held);
    progress->text = joined + n_all;
    progress->n_bytes = utf8_repair(joined, n_whole, joined + n_all, 3 * n_all);
    return true;
}

/* ---- sampling ------------------------------------------------------------------------------------------------------ */

/* Whether the grammar allows a token that does not end the answer. */
static bool is_allowed(struct llama_engine *engine, struct sequence *sequence, llama_token token) {
    size_t n_bytes = token_bytes(engine, token);
    return grammar_fits(sequence->grammar, engine->piece, n_bytes);
}

typedef struct question {
    struct llama_engine *engine;
    struct sequence *sequence;
    bool can_end;
} question;

/* Whether the grammar allows this token. */
static bool is_choice(void *user_data, int32_t token) {
    const question *question = user_data;
    if (llama_vocab_is_eog(question->engine->vocab, token)) return question->can_end;
    return is_allowed(question->engine, question->sequence, token);
}

/* Samples among the tokens that the grammar allows. Returns how the answer ends if there are none. */
static engine_end sample_allowed(struct llama_engine *engine, struct sequence *sequence, const float *logits,
                                 llama_token *token) {
    question question = {engine, sequence, grammar_can_end(sequence->grammar)};
    *token = sampler_choose_allowed(sequence->sampler, logits, (uint32_t)sequence->n_tokens, 1, is_choice, &question);
    if (grammar_is_exhausted(sequence->grammar)) {
        say(engine, "the grammar leaves too many ways to read the answer after %d tokens of it", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    if (*token != SAMPLER_NOTHING) return ENGINE_END_NONE;
    if (question.can_end) return ENGINE_END_TURN; /* the grammar is complete: also for those who ignore the model's end */
    say(engine, "no token of the model fits the grammar after %d tokens of the answer", sequence->n_tokens);
    return ENGINE_END_FAILED;
}

/* First without the grammar: mostly the model says what it allows, and asking it about one token is much cheaper than
 * about the whole vocabulary. A token it does not allow is sampled again among all that it does; without top_k, top_p
 * and min_p that adds up to the same probabilities as asking it first. */
static engine_end sample_with_grammar(struct llama_engine *engine, struct sequence *sequence, llama_token *token) {
    const float *logits = llama_get_logits_ith(engine->context, sequence->logits_at);
    *token = sampler_choose(sequence->sampler, logits, (uint32_t)sequence->n_tokens, 0);
    bool ends = *token != SAMPLER_NOTHING && llama_vocab_is_eog(engine->vocab, *token);
    if (ends && grammar_can_end(sequence->grammar)) return ENGINE_END_TURN;
    if (*token == SAMPLER_NOTHING || ends || !is_allowed(engine, sequence, *token)) {
        engine_end end = sample_allowed(engine, sequence, logits, token);
        if (end != ENGINE_END_NONE) return end;
        if (llama_vocab_is_eog(engine->vocab, *token)) return ENGINE_END_TURN;
    }
    grammar_accept(sequence->grammar, engine->piece, token_bytes(engine, *token));
    sampler_accept(sequence->sampler, token, 1);
    return ENGINE_END_NONE;
}

static engine_end sample(struct llama_engine *engine, struct sequence *sequence, llama_token *token) {
    if (sequence->grammar) return sample_with_grammar(engine, sequence, token);
    const float *logits = llama_get_logits_ith(engine->context, sequence->logits_at);
    *token = sampler_choose(sequence->sampler, logits, (uint32_t)sequence->n_tokens, 0);
    if (*token == SAMPLER_NOTHING) {
        say(engine, "the model finds no token possible after %d tokens of the answer", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    if (llama_vocab_is_eog(engine->vocab, *token)) return ENGINE_END_TURN;
    sampler_accept(sequence->sampler, token, 1);
    return ENGINE_END_NONE;
}

/* Takes the next resumed token, to the same effect as if it had been sampled. */
static engine_end resume(struct llama_engine *engine, struct sequence *sequence, llama_token *token) {
    *token = sequence->resumed[sequence->n_tokens];
    if (sequence->grammar) {
        if (!is_allowed(engine, sequence, *token)) {
            say(engine, "token %d of those that the answer already has does not fit the grammar; resume with the "
                        "grammar that they were made with", sequence->n_tokens);
            return ENGINE_END_FAILED;
        }
        grammar_accept(sequence->grammar, engine->piece, token_bytes(engine, *token));
    }
    sampler_accept(sequence->sampler, token, 1);
    return ENGINE_END_NONE;
}

/* ---- stepping ------------------------------------------------------------------------------------------------------ */

/* Takes the next token, resumed or from the logits of the batch, and says whether it ends the answer. */
static engine_end take_token(struct llama_engine *engine, struct sequence *sequence, engine_progress *progress) {
    llama_token token;
    bool is_resumed = sequence->n_tokens < sequence->n_resumed;
    engine_end end = is_resumed ? resume(engine, sequence, &token) : sample(engine, sequence, &token);
    if (end != ENGINE_END_NONE) return end;
    sequence->last = token;
    sequence->n_tokens++;
    progress->has_token = true;
    progress->is_resumed = is_resumed;
    progress->token = token;
    if (sequence->wants_logprobs && !is_resumed)
        progress->logprob = sampler_log_probability(
            sequence->sampler, llama_get_logits_ith(engine->context, sequence->logits_at), token);
    if (!detokenise(engine, sequence, progress)) {
        say(engine, "not enough memory for the text of token %d of the answer", sequence->n_tokens);
        return ENGINE_END_FAILED;
    }
    if (sequence->n_predict >= 0 && sequence->n_tokens >= sequence->n_predict) return ENGINE_END_LIMIT;
    if ((uint32_t)(sequence->n_prompt + sequence->n_tokens) >= engine->base.facts.n_ctx) return ENGINE_END_CONTEXT;
    return ENGINE_END_NONE;
}

/* What the evaluated batch means for one sequence of it. */
static engine_end advance(struct llama_engine *engine, struct sequence *sequence, engine_progress *progress) {
    int32_t n_left = prompt_left(sequence);
    if (n_left > 0) {
        sequence->n_prompt_done += sequence->n_in_batch;
        if (sequence->n_in_batch < n_left) return ENGINE_END_NONE;
        if (sequence->n_predict == 0) return ENGINE_END_LIMIT;
    }
    return take_token(engine, sequence, progress);
}

static engine_progress *add_progress(engine_progress *progress, size_t *n_moved, int number) {
    engine_progress *entry = &progress[(*n_moved)++];
    *entry = (engine_progress){.sequence = number, .text = "", .logprob = NAN};
    return entry;
}

static void end_entry(struct llama_engine *engine, engine_progress *entry, engine_end end) {
    entry->end = end;
    if (end == ENGINE_END_NONE) return;
    engine->sequences[entry->sequence].is_running = false;
    engine->n_running--;
}

static void end_cancelled(struct llama_engine *engine, engine_progress *progress, size_t *n_moved) {
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        if (!engine->sequences[s].is_cancelled) continue;
        end_entry(engine, add_progress(progress, n_moved, s), ENGINE_END_CANCELLED);
    }
}

/* Also those that have moved in this step: an entry keeps its token, and its end is this one. */
static void end_interrupted(struct llama_engine *engine, engine_progress *progress, size_t *n_moved) {
    for (size_t i = 0; i < *n_moved; i++)
        if (progress[i].end == ENGINE_END_NONE) end_entry(engine, &progress[i], ENGINE_END_CANCELLED);
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (engine->sequences[s].is_running)
            end_entry(engine, add_progress(progress, n_moved, s), ENGINE_END_CANCELLED);
}

/* Evaluates the batch and moves on whoever is in it. A failure concerns those alone, an interruption everybody: then
 * nobody is left running. */
static void evaluate_and_move(struct llama_engine *engine, engine_progress *progress, size_t *n_moved) {
    engine_end end = evaluate(engine);
    if (end == ENGINE_END_CANCELLED) {
        end_interrupted(engine, progress, n_moved);
        return;
    }
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        struct sequence *sequence = &engine->sequences[s];
        if (sequence->n_in_batch == 0) continue;
        engine_progress *entry = add_progress(progress, n_moved, s);
        end_entry(engine, entry, end == ENGINE_END_NONE ? advance(engine, sequence, entry) : end);
    }
}

/* A token for each answer whose prompt is read. */
static void generate(struct llama_engine *engine, engine_progress *progress, size_t *n_moved) {
    begin_batch(engine);
    for (int s = 0; s < engine->base.facts.n_sequences; s++) {
        if (!is_generating(&engine->sequences[s])) continue;
        add_last_token(engine, s);
        if (!engine->is_one_by_one) continue;
        evaluate_and_move(engine, progress, n_moved);
        begin_batch(engine);
    }
    if (engine->batch.n_tokens > 0) evaluate_and_move(engine, progress, n_moved);
}

/* A slice of one prompt. */
static void read_prompt(struct llama_engine *engine, engine_progress *progress, size_t *n_moved) {
    int reader = choose_reader(engine);
    if (reader < 0) return;
    begin_batch(engine);
    add_slice(engine, reader);
    engine->has_begun_prompt = engine->sequences[reader].n_prompt_done == 0;
    engine->sequences[reader].waits_since = engine->n_turns++;
    evaluate_and_move(engine, progress, n_moved);
}

/* Counts and times; an answer that has ended leaves the library's memory. */
static void complete_progress(struct llama_engine *engine, engine_progress *entry, uint64_t now) {
    struct sequence *sequence = &engine->sequences[entry->sequence];
    bool has_sampled = entry->has_token || entry->end == ENGINE_END_TURN;
    if (has_sampled && sequence->first_token_ns == 0) sequence->first_token_ns = now;
    entry->n_tokens = sequence->n_tokens;
    entry->n_prompt = sequence->n_prompt;
    entry->n_prompt_done = sequence->n_prompt_done;
    entry->prompt_ns = (sequence->first_token_ns ? sequence->first_token_ns : now) - sequence->admitted_ns;
    entry->generate_ns = sequence->first_token_ns ? now - sequence->first_token_ns : 0;
    if (entry->end == ENGINE_END_NONE) return;
    llama_memory_seq_rm(llama_get_memory(engine->context), entry->sequence, -1, -1);
    release_answer(sequence);
}

static size_t llama_engine_step(engine *base, engine_progress *progress) {
    struct llama_engine *engine = (struct llama_engine *)base;
    size_t n_moved = 0;
    if (engine->n_running == 0) return 0;
    end_cancelled(engine, progress, &n_moved);
    generate(engine, progress, &n_moved); /* first: who has read his prompt in this step has his token */
    read_prompt(engine, progress, &n_moved);
    uint64_t now = plat_clock_ns();
    for (size_t i = 0; i < n_moved; i++) complete_progress(engine, &progress[i], now);
    return n_moved;
}

static uint64_t llama_engine_next_step_ns(const engine *base) {
    return ((const struct llama_engine *)base)->n_running > 0 ? 0 : UINT64_MAX;
}

static void llama_engine_cancel(engine *base, int number) {
    struct llama_engine *engine = (struct llama_engine *)base;
    if (number < 0 || number >= base->facts.n_sequences || !engine->sequences[number].is_running) return;
    engine->sequences[number].is_cancelled = true;
}

/* ---- warming up ---------------------------------------------------------------------------------------------------- */

enum { N_PROBE_TOKENS = 4 };

/* A token of a text that means nothing. */
static llama_token probe_token(const struct llama_engine *engine, int32_t position) {
    return (llama_token)(7919ll * (position + 1) % engine->base.facts.n_vocab);
}

/* Adds the text's next token in this sequence; returns where its logits will be. */
static int32_t add_probe_token(struct llama_engine *engine, int number) {
    int32_t position = llama_memory_seq_pos_max(llama_get_memory(engine->context), number) + 1;
    llama_token token = probe_token(engine, position);
    return add_to_batch(&engine->batch, number, &token, 1, position, true);
}

static bool read_probe(struct llama_engine *engine, int number) {
    llama_token tokens[N_PROBE_TOKENS];
    for (int32_t i = 0; i < N_PROBE_TOKENS; i++) tokens[i] = probe_token(engine, i);
    begin_batch(engine);
    add_to_batch(&engine->batch, number, tokens, N_PROBE_TOKENS, 0, true);
    return evaluate(engine) == ENGINE_END_NONE;
}

/* Whether the next token of this sequence, evaluated in one batch with those of the n_beside first ones, gets the logits
 * of `alone`, to the last bit. */
static bool gets_same_logits(struct llama_engine *engine, int number, int n_beside, const float *alone) {
    int32_t logits_at = -1;
    if (!read_probe(engine, number)) return true;
    begin_batch(engine);
    for (int s = 0; s < n_beside; s++) {
        int32_t at = add_probe_token(engine, s);
        if (s == number) logits_at = at;
    }
    if (evaluate(engine) != ENGINE_END_NONE) return true;
    const float *logits = llama_get_logits_ith(engine->context, logits_at);
    return memcmp(logits, alone, (size_t)engine->base.facts.n_vocab * sizeof *alone) == 0;
}

/* The same token behind the same text is evaluated alone, beside one other and beside as many as there can be. If that
 * shows in the logits, tokens of answers are evaluated one by one, where that costs little. */
static void find_out_about_rounding(struct llama_engine *engine) {
    int32_t n_sequences = engine->base.facts.n_sequences;
    if (n_sequences == 1) return;
    size_t n_bytes = (size_t)engine->base.facts.n_vocab * sizeof(float);
    float *alone = malloc(n_bytes);
    if (!alone) return;
    memcpy(alone, llama_get_logits_ith(engine->context, 0), n_bytes);
    bool is_same = gets_same_logits(engine, 1, 2, alone) &&
                   (n_sequences == 2 || gets_same_logits(engine, 2, n_sequences, alone));
    free(alone);
    if (is_same) return;
    engine->is_one_by_one = is_small(engine->model);
    if (!engine->is_one_by_one && engine->options.callbacks.on_log)
        engine->options.callbacks.on_log(
            engine->options.callbacks.user_data, 2,
            "answers made at the same time change how this model rounds: one that is continued after a crash may take "
            "another, equally likely course; -np 1 avoids that");
}

/* The first evaluations read the weights from disk and build the library's graphs, one for slices and one for single
 * tokens. Done here, the first request does not pay for it. */
static void warm_up(struct llama_engine *engine) {
    if (read_probe(engine, 0)) {
        begin_batch(engine);
        add_probe_token(engine, 0);
        if (evaluate(engine) == ENGINE_END_NONE) find_out_about_rounding(engine);
    }
    llama_memory_clear(llama_get_memory(engine->context), false);
}

/* ---- opening and closing ------------------------------------------------------------------------------------------- */

static void collect_facts(struct llama_engine *engine) {
    engine_model_facts *facts = &engine->base.facts;
    llama_model_desc(engine->model, facts->description, sizeof facts->description);
    engine->chat_template = choose_template(engine);
    facts->n_ctx = llama_n_ctx_seq(engine->context);
    facts->n_ctx_trained = (uint32_t)llama_model_n_ctx_train(engine->model);
    facts->n_vocab = llama_vocab_n_tokens(engine->vocab);
    facts->n_parameters = llama_model_n_params(engine->model);
    facts->n_bytes = llama_model_size(engine->model);
}

static int fail_memory(struct llama_engine *engine) {
    say(engine, "not enough memory for the engine");
    return ENGINE_E_NO_MEMORY;
}

static int open_parts(struct llama_engine *engine) {
    int error = check_model_file(engine);
    if (error < 0) return error;
    engine->piece_size = PIECE_SIZE;
    engine->piece = malloc(PIECE_SIZE);
    if (!engine->piece) return fail_memory(engine);
    load_backends();
    llama_backend_init();
    if ((error = load_model(engine)) < 0) return error;
    engine->base.facts.n_sequences =
        engine->options.n_sequences > 0 ? engine->options.n_sequences : default_sequences(engine);
    engine->sequences = calloc((size_t)engine->base.facts.n_sequences, sizeof *engine->sequences);
    if (!engine->sequences) return fail_memory(engine);
    engine->base.facts.n_threads =
        engine->options.n_threads > 0 ? engine->options.n_threads : default_threads(engine->model);
    if ((error = make_context(engine)) < 0) return error;
    attach_threadpool(engine);
    /* Only from here on: an abort while the library reserves its memory would look like a failure to get it. */
    llama_set_abort_callback(engine->context, abandon_evaluation, engine);
    engine->batch = llama_batch_init(SLICE_TOKENS, 0, 1);
    collect_facts(engine);
    warm_up(engine);
    return ENGINE_OK;
}

static void discard_log(enum ggml_log_level level, const char *text, void *user_data) {
    (void)level, (void)text, (void)user_data;
}

static void llama_engine_close(engine *base) {
    struct llama_engine *engine = (struct llama_engine *)base;
    for (int s = 0; engine->sequences && s < base->facts.n_sequences; s++) {
        release_answer(&engine->sequences[s]);
        free(engine->sequences[s].text);
    }
    free(engine->sequences);
    if (engine->batch.token) llama_batch_free(engine->batch);
    if (engine->context) llama_free(engine->context);
    if (engine->threadpool) engine->threadpool_free(engine->threadpool);
    if (engine->model) llama_model_free(engine->model);
    llama_backend_free();
    llama_log_set(discard_log, NULL);
    free(engine->piece);
    free(engine);
}

static const engine_operations operations = {
    .admit = llama_engine_admit,
    .step = llama_engine_step,
    .next_step_ns = llama_engine_next_step_ns,
    .cancel = llama_engine_cancel,
    .close = llama_engine_close,
};

int llama_engine_open(const llama_engine_options *options, engine **result, char *message, size_t message_size) {
    *result = NULL;
    struct llama_engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        snprintf(message, message_size, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    engine->base.operations = &operations;
    engine->options = *options;
    engine->last_per_mille = -1;
    llama_log_set(on_library_log, engine);
    int error = open_parts(engine);
    if (error < 0) {
        snprintf(message, message_size, "%s", engine->base.message);
        llama_engine_close(&engine->base);
        return error;
    }
    *result = &engine->base;
    return ENGINE_OK;
}

const char *llama_engine_library_version(void) {
    return llama_version();
}
