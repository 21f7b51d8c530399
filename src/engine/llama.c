/* llama.c - the engine on libllama: the only file that includes llama.h.
 *
 * Loading, chat template, evaluation in slices, sampling, and turning tokens back into whole characters.
 */
#define _GNU_SOURCE
#include "engine.h"

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

/* Tokens of a prompt evaluated in one step: large enough that evaluation runs at full speed, small enough that the host
 * gets to look around. Cancelling does not wait for it: see abandon_evaluation(). */
#define SLICE_TOKENS 512
#define MESSAGE_SIZE 512
/* Below this one thread is as fast as several: see default_threads(). */
#define SMALL_MODEL_PARAMETERS 8000000u
/* A token's piece is rarely longer than a word; the buffer grows if a model has a longer one. */
#define PIECE_SIZE 256
/* Bytes of a character that is not complete yet. */
#define HELD_SIZE 4

typedef struct ggml_threadpool *(*threadpool_new_fn)(struct ggml_threadpool_params *params);
typedef void (*threadpool_free_fn)(struct ggml_threadpool *pool);

/* An answer being made. */
struct answer {
    bool is_running;
    bool is_cancelled;
    struct llama_sampler *sampler;
    llama_token *prompt;
    int32_t n_prompt;
    int32_t n_prompt_done;
    int32_t n_tokens;
    int32_t n_predict;
    llama_token last;  /* sampled, not evaluated yet */
    uint64_t admitted_ns;
    uint64_t first_token_ns;
};

struct engine {
    engine_options options;
    engine_model_facts facts;
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    const char *chat_template; /* NULL: plain text */
    struct ggml_threadpool *threadpool;
    threadpool_free_fn threadpool_free;
    struct llama_batch batch;
    struct answer answer;

    char *piece;          /* what a token's bytes are decoded into */
    size_t piece_size;
    char *text;           /* whole characters of this step: held bytes and the piece, repaired */
    size_t text_size;
    char held[HELD_SIZE]; /* the beginning of a character whose end is in a later token */
    size_t n_held;

    char message[MESSAGE_SIZE];
    char library_error[MESSAGE_SIZE]; /* the library's first line at error level: the cause, not its consequences */
    int last_per_mille;
};

__attribute__((format(printf, 2, 3))) static void say(struct engine *engine, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(engine->message, sizeof engine->message, format, arguments);
    va_end(arguments);
}

/* ---- the library's log --------------------------------------------------------------------------------------------- */

static void on_library_log(enum ggml_log_level level, const char *text, void *user_data) {
    struct engine *engine = user_data;
    if (level == GGML_LOG_LEVEL_CONT || level == GGML_LOG_LEVEL_NONE) return; /* dots of a progress line */
    char line[MESSAGE_SIZE];
    snprintf(line, sizeof line, "%s", text);
    line[strcspn(line, "\n")] = 0;
    if (line[0] == 0) return;
    if (level == GGML_LOG_LEVEL_ERROR && engine->library_error[0] == 0)
        memcpy(engine->library_error, line, sizeof line);
    /* The library's information is our debugging. Its errors are reported once, by whoever gives up because of them. */
    if (engine->options.on_log)
        engine->options.on_log(engine->options.user_data, level == GGML_LOG_LEVEL_WARN ? 2 : 3, line);
}

/* ---- loading ------------------------------------------------------------------------------------------------------- */

/* What can be said about a file before the library tries it, in better words than the library's. */
static int check_model_file(struct engine *engine) {
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
    struct engine *engine = user_data;
    int per_mille = (int)(progress * 1000.0f);
    if (per_mille != engine->last_per_mille && engine->options.on_load_progress) {
        engine->last_per_mille = per_mille;
        engine->options.on_load_progress(engine->options.user_data, per_mille);
    }
    return !engine->options.interrupted || !engine->options.interrupted(engine->options.user_data);
}

static int load_model(struct engine *engine) {
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
    if (engine->options.interrupted && engine->options.interrupted(engine->options.user_data)) {
        say(engine, "loading was interrupted");
        return ENGINE_E_ABORTED;
    }
    say(engine, "the model file '%s' is damaged, truncated or of an unknown kind: %s", engine->options.model_path,
        engine->library_error[0] ? engine->library_error : "the library gives no reason");
    return ENGINE_E_MODEL_BAD;
}

/* Threads when nobody says. The library's threads meet at a spinning barrier after each node of the graph: for a small
 * model that costs as much as the second core gains, and a hundred times as much when another program has that core. */
static int32_t default_threads(const struct llama_model *model) {
    return llama_model_n_params(model) < SMALL_MODEL_PARAMETERS ? 1 : plat_core_count();
}

/* Bytes of the key-value cache at 16 bits: for each token, layer and key-value head one key and one value. Models with
 * sliding windows or recurrent layers need less. */
static double cache_bytes(const struct llama_model *model, uint32_t n_ctx) {
    double head = (double)llama_model_n_embd(model) / (double)llama_model_n_head(model);
    return 2.0 * 2.0 * (double)n_ctx * (double)llama_model_n_layer(model) * (double)llama_model_n_head_kv(model) * head;
}

/* On a CPU the library's flash attention has a fixed cost for each head and cached position: 2.5 times slower at heads of
 * 16, faster from 64 on (bench/README.md). */
static bool flash_attention_pays(const struct llama_model *model) {
    return has_gpu() || llama_model_n_embd(model) / llama_model_n_head(model) >= 64;
}

static int make_context(struct engine *engine) {
    uint32_t n_trained = (uint32_t)llama_model_n_ctx_train(engine->model);
    uint32_t n_limit = engine->options.n_ctx_limit;
    uint32_t n_ctx = engine->options.n_ctx ? engine->options.n_ctx : n_limit && n_trained > n_limit ? n_limit : n_trained;
    uint64_t available = plat_memory_available_bytes();
    double needed = cache_bytes(engine->model, n_ctx);
    if (available && needed > (double)available && !llama_model_is_recurrent(engine->model) &&
        !llama_model_is_hybrid(engine->model) && llama_model_n_swa(engine->model) == 0) {
        say(engine, "a context of %u tokens needs %.1f GB of memory, %.1f GB are available; give a smaller one with -c N",
            n_ctx, needed / 1e9, (double)available / 1e9);
        return ENGINE_E_CONTEXT;
    }
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = n_ctx;
    params.n_batch = SLICE_TOKENS;
    params.n_ubatch = SLICE_TOKENS;
    params.n_seq_max = 1;
    params.n_outputs_max = 1; /* logits of the last token only: saves vocabulary x slice floats */
    params.n_threads = engine->facts.n_threads;
    params.n_threads_batch = engine->facts.n_threads;
    params.no_perf = true;
    if (!flash_attention_pays(engine->model)) params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    engine->context = llama_init_from_model(engine->model, params);
    if (!engine->context) {
        say(engine, "a context of %u tokens does not fit: %s; give a smaller one with -c N", n_ctx,
            engine->library_error[0] ? engine->library_error : "the library gives no reason");
        return ENGINE_E_CONTEXT;
    }
    return ENGINE_OK;
}

/* The library otherwise starts a new pool of threads for every evaluation: at small models that is most of the time. Its
 * threads poll for a while after each evaluation and then sleep, so an idle host uses no CPU. */
static void attach_threadpool(struct engine *engine) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (!cpu) return;
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(cpu);
    threadpool_new_fn new_pool =
        (threadpool_new_fn)(uintptr_t)ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_new");
    engine->threadpool_free =
        (threadpool_free_fn)(uintptr_t)ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_free");
    if (!new_pool || !engine->threadpool_free) return;
    struct ggml_threadpool_params params = ggml_threadpool_params_default(engine->facts.n_threads);
    engine->threadpool = new_pool(&params);
    if (engine->threadpool) llama_attach_threadpool(engine->context, engine->threadpool, NULL);
}

/* Called by the library between the nodes of a graph: true abandons the evaluation. */
static bool abandon_evaluation(void *user_data) {
    struct engine *engine = user_data;
    return engine->options.interrupted && engine->options.interrupted(engine->options.user_data);
}

/* ---- chat template ------------------------------------------------------------------------------------------------- */

/* Applies the model's own template; a model without one, or with one that the library does not know, gets "chatml" if
 * its vocabulary has the marks of that, otherwise plain text: the messages under "System:", "User:", "Assistant:". */
static const char *choose_template(struct engine *engine) {
    const struct llama_chat_message probe = {"user", "x"};
    const char *own = llama_model_chat_template(engine->model, NULL);
    if (own && llama_chat_apply_template(own, &probe, 1, true, NULL, 0) > 0) {
        snprintf(engine->facts.template_name, sizeof engine->facts.template_name, "the model's own");
        return own;
    }
    llama_token mark[4];
    static const char chatml_mark[] = "<|im_start|>";
    if (llama_tokenize(engine->vocab, chatml_mark, sizeof chatml_mark - 1, mark, 4, false, true) == 1) {
        snprintf(engine->facts.template_name, sizeof engine->facts.template_name, "chatml");
        return "chatml";
    }
    snprintf(engine->facts.template_name, sizeof engine->facts.template_name, "plain");
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
static char *render_conversation(struct engine *engine, const engine_request *request) {
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

static struct llama_sampler *make_sampler(struct engine *engine, const engine_sampling *sampling) {
    struct llama_sampler_chain_params params = llama_sampler_chain_default_params();
    params.no_perf = true;
    struct llama_sampler *chain = llama_sampler_chain_init(params);
    if (!chain) return NULL;
    if (sampling->ignore_eos) {
        int32_t n_vocab = llama_vocab_n_tokens(engine->vocab), n_biases = 0;
        llama_logit_bias *biases = calloc((size_t)n_vocab, sizeof *biases);
        for (llama_token token = 0; biases && token < n_vocab; token++)
            if (llama_vocab_is_eog(engine->vocab, token)) biases[n_biases++] = (llama_logit_bias){token, -INFINITY};
        if (n_biases > 0) llama_sampler_chain_add(chain, llama_sampler_init_logit_bias(n_vocab, n_biases, biases));
        free(biases);
    }
    if (sampling->temperature <= 0) {
        llama_sampler_chain_add(chain, llama_sampler_init_greedy());
        return chain;
    }
    if (sampling->top_k > 0) llama_sampler_chain_add(chain, llama_sampler_init_top_k(sampling->top_k));
    if (sampling->top_p < 1) llama_sampler_chain_add(chain, llama_sampler_init_top_p(sampling->top_p, 1));
    if (sampling->min_p > 0) llama_sampler_chain_add(chain, llama_sampler_init_min_p(sampling->min_p, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_temp(sampling->temperature));
    llama_sampler_chain_add(chain, llama_sampler_init_dist(sampling->seed)); /* LLAMA_DEFAULT_SEED: a random one */
    return chain;
}

_Static_assert(ENGINE_SEED_RANDOM == LLAMA_DEFAULT_SEED, "the random seed is the library's");

static void release_answer(struct engine *engine) {
    struct answer *answer = &engine->answer;
    if (answer->sampler) llama_sampler_free(answer->sampler);
    free(answer->prompt);
    *answer = (struct answer){0};
    engine->n_held = 0;
}

/* Fills answer.prompt. Errors: EVALUATION, TOO_LONG, NO_MEMORY. */
static int tokenise(struct engine *engine, const char *text) {
    struct answer *answer = &engine->answer;
    size_t n_bytes = strlen(text);
    /* A token has a byte or more, but for the few that the library adds at the ends. It counts in 32 bits. */
    enum { N_ADDED = 16 };
    if (n_bytes <= INT32_MAX - N_ADDED) {
        answer->prompt = malloc((n_bytes + N_ADDED) * sizeof *answer->prompt);
        if (!answer->prompt) return ENGINE_E_NO_MEMORY;
        answer->n_prompt = llama_tokenize(engine->vocab, text, (int32_t)n_bytes, answer->prompt,
                                          (int32_t)n_bytes + N_ADDED, true, true);
    }
    if (answer->n_prompt <= 0) {
        say(engine, "the prompt of %zu bytes cannot be turned into tokens", n_bytes);
        return ENGINE_E_EVALUATION;
    }
    if ((uint32_t)answer->n_prompt >= engine->facts.n_ctx) {
        say(engine, "the prompt has %d tokens, the context only %u; shorten it, or start the host with a larger -c N",
            answer->n_prompt, engine->facts.n_ctx);
        return ENGINE_E_TOO_LONG;
    }
    return ENGINE_OK;
}

int engine_admit(engine *engine, const engine_request *request) {
    struct answer *answer = &engine->answer;
    if (answer->is_running) {
        say(engine, "an answer is already being made");
        return ENGINE_E_BUSY;
    }
    uint64_t admitted_ns = plat_clock_ns();
    char *text = render_conversation(engine, request);
    if (!text) goto no_memory;
    int error = tokenise(engine, text);
    free(text);
    if (error == ENGINE_E_NO_MEMORY) goto no_memory;
    if (error < 0) {
        release_answer(engine);
        return error;
    }
    answer->sampler = make_sampler(engine, &request->sampling);
    if (!answer->sampler) goto no_memory;
    answer->n_predict = request->n_predict;
    answer->admitted_ns = admitted_ns;
    answer->is_running = true;
    llama_memory_clear(llama_get_memory(engine->context), false);
    return ENGINE_OK;

no_memory:
    release_answer(engine);
    say(engine, "not enough memory for a request");
    return ENGINE_E_NO_MEMORY;
}

/* ---- stepping ------------------------------------------------------------------------------------------------------ */

/* Evaluates tokens behind what the context holds; only the last one's logits are computed. */
static engine_end evaluate(struct engine *engine, const llama_token *tokens, int32_t n_tokens, int32_t position) {
    struct llama_batch *batch = &engine->batch;
    for (int32_t i = 0; i < n_tokens; i++) {
        batch->token[i] = tokens[i];
        batch->pos[i] = position + i;
        batch->n_seq_id[i] = 1;
        batch->seq_id[i][0] = 0;
        batch->logits[i] = i == n_tokens - 1;
    }
    batch->n_tokens = n_tokens;
    engine->library_error[0] = 0;
    int32_t result = llama_decode(engine->context, *batch);
    if (result == 0) return ENGINE_END_NONE;
    if (result == 2) return ENGINE_END_CANCELLED;
    say(engine, "evaluating %d tokens at position %d failed with code %d: %s", n_tokens, position, result,
        engine->library_error[0] ? engine->library_error : "the library gives no reason");
    return ENGINE_END_FAILED;
}

/* Decodes a token's bytes into engine->piece and returns their number, 0 also for tokens without text. */
static size_t token_bytes(struct engine *engine, llama_token token) {
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

/* Turns a token into text: what was held back and the new bytes, up to the last whole character. */
static void detokenise(struct engine *engine, llama_token token, engine_progress *progress) {
    size_t n_piece = token_bytes(engine, token);
    size_t n_all = engine->n_held + n_piece;
    if (n_piece == 0) return;
    if (engine->text_size < 4 * n_all) { /* n_all joined, behind them at most three times as many repaired */
        char *larger = realloc(engine->text, 4 * n_all);
        if (!larger) return;
        engine->text = larger;
        engine->text_size = 4 * n_all;
    }
    char *joined = engine->text;
    memcpy(joined, engine->held, engine->n_held);
    memcpy(joined + engine->n_held, engine->piece, n_piece);
    /* A zero byte would end the text for everybody who reads it: it counts as a byte that is no text, 0xFF. */
    for (size_t i = engine->n_held; i < n_all; i++)
        if (joined[i] == 0) joined[i] = (char)0xFF;
    size_t n_whole = utf8_whole_prefix(joined, n_all);
    engine->n_held = n_all - n_whole;
    memcpy(engine->held, joined + n_whole, engine->n_held);
    progress->text = joined + n_all;
    progress->n_bytes = utf8_repair(joined, n_whole, joined + n_all, 3 * n_all);
}

/* Samples the next token from the logits at hand and says whether it ends the answer. */
static engine_end take_token(struct engine *engine, engine_progress *progress) {
    struct answer *answer = &engine->answer;
    llama_token token = llama_sampler_sample(answer->sampler, engine->context, -1);
    if (answer->first_token_ns == 0) answer->first_token_ns = plat_clock_ns();
    if (llama_vocab_is_eog(engine->vocab, token)) return ENGINE_END_TURN;
    answer->last = token;
    answer->n_tokens++;
    progress->has_token = true;
    detokenise(engine, token, progress);
    if (answer->n_predict >= 0 && answer->n_tokens >= answer->n_predict) return ENGINE_END_LIMIT;
    if ((uint32_t)(answer->n_prompt + answer->n_tokens) >= engine->facts.n_ctx) return ENGINE_END_CONTEXT;
    return ENGINE_END_NONE;
}

static engine_end advance(struct engine *engine, engine_progress *progress) {
    struct answer *answer = &engine->answer;
    if (answer->is_cancelled) return ENGINE_END_CANCELLED;
    engine_end end;
    if (answer->n_prompt_done < answer->n_prompt) {
        int32_t left = answer->n_prompt - answer->n_prompt_done;
        int32_t n_slice = left < SLICE_TOKENS ? left : SLICE_TOKENS;
        end = evaluate(engine, answer->prompt + answer->n_prompt_done, n_slice, answer->n_prompt_done);
        if (end != ENGINE_END_NONE) return end;
        answer->n_prompt_done += n_slice;
        if (answer->n_prompt_done < answer->n_prompt) return ENGINE_END_NONE;
        if (answer->n_predict == 0) return ENGINE_END_LIMIT;
    } else {
        end = evaluate(engine, &answer->last, 1, answer->n_prompt + answer->n_tokens - 1);
        if (end != ENGINE_END_NONE) return end;
    }
    return take_token(engine, progress);
}

void engine_step(engine *engine, engine_progress *progress) {
    struct answer *answer = &engine->answer;
    *progress = (engine_progress){.text = ""};
    progress->end = advance(engine, progress);
    progress->n_tokens = answer->n_tokens;
    progress->n_prompt = answer->n_prompt;
    progress->n_prompt_done = answer->n_prompt_done;
    uint64_t now = plat_clock_ns();
    progress->prompt_ns = (answer->first_token_ns ? answer->first_token_ns : now) - answer->admitted_ns;
    progress->generate_ns = answer->first_token_ns ? now - answer->first_token_ns : 0;
    if (progress->end != ENGINE_END_NONE) release_answer(engine);
}

void engine_cancel(engine *engine) {
    if (engine->answer.is_running) engine->answer.is_cancelled = true;
}

const char *engine_end_text(engine_end end) {
    switch (end) {
    case ENGINE_END_NONE: return "running";
    case ENGINE_END_TURN: return "end of turn";
    case ENGINE_END_LIMIT: return "token limit";
    case ENGINE_END_CONTEXT: return "context full";
    case ENGINE_END_CANCELLED: return "cancelled";
    case ENGINE_END_FAILED: return "failed";
    }
    return "unknown";
}

/* ---- opening and closing ------------------------------------------------------------------------------------------- */

/* The first evaluations read the weights from disk and build the library's graphs, one for slices and one for single
 * tokens. Done here, the first request does not pay for it. */
static void warm_up(struct engine *engine) {
    enum { N_TOKENS = 8 };
    llama_token bos = llama_vocab_bos(engine->vocab);
    llama_token tokens[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = bos == LLAMA_TOKEN_NULL ? 0 : bos;
    if (engine->facts.n_ctx > N_TOKENS && evaluate(engine, tokens, N_TOKENS, 0) == ENGINE_END_NONE)
        evaluate(engine, tokens, 1, N_TOKENS);
}

static void collect_facts(struct engine *engine) {
    engine_model_facts *facts = &engine->facts;
    llama_model_desc(engine->model, facts->description, sizeof facts->description);
    engine->chat_template = choose_template(engine);
    facts->n_ctx = llama_n_ctx(engine->context);
    facts->n_ctx_trained = (uint32_t)llama_model_n_ctx_train(engine->model);
    facts->n_vocab = llama_vocab_n_tokens(engine->vocab);
    facts->n_parameters = llama_model_n_params(engine->model);
    facts->n_bytes = llama_model_size(engine->model);
}

static int open_parts(struct engine *engine) {
    int error = check_model_file(engine);
    if (error < 0) return error;
    engine->piece_size = PIECE_SIZE;
    engine->piece = malloc(PIECE_SIZE);
    if (!engine->piece) {
        say(engine, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    load_backends();
    llama_backend_init();
    if ((error = load_model(engine)) < 0) return error;
    engine->facts.n_threads =
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

int engine_open(const engine_options *options, engine **result, char *message, size_t message_size) {
    *result = NULL;
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        snprintf(message, message_size, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    engine->options = *options;
    engine->last_per_mille = -1;
    llama_log_set(on_library_log, engine);
    int error = open_parts(engine);
    if (error < 0) {
        snprintf(message, message_size, "%s", engine->message);
        engine_close(engine);
        return error;
    }
    *result = engine;
    return ENGINE_OK;
}

const char *engine_library_version(void) {
    return llama_version();
}

const engine_model_facts *engine_facts(const engine *engine) {
    return &engine->facts;
}

const char *engine_message_text(const engine *engine) {
    return engine->message;
}

static void discard_log(enum ggml_log_level level, const char *text, void *user_data) {
    (void)level, (void)text, (void)user_data;
}

void engine_close(engine *engine) {
    if (!engine) return;
    release_answer(engine);
    if (engine->batch.token) llama_batch_free(engine->batch);
    if (engine->context) llama_free(engine->context);
    if (engine->threadpool) engine->threadpool_free(engine->threadpool);
    if (engine->model) llama_model_free(engine->model);
    llama_backend_free();
    llama_log_set(discard_log, NULL);
    free(engine->piece);
    free(engine->text);
    free(engine);
}
