/* prepare.c - what is asked becomes an answer to begin with: tokens, grammar, sampler.
 *
 * A long prompt takes a while to become tokens, and a tokenizer may need a deep stack for it: some are regular expressions that
 * recurse for each letter of a word. So that is done by a thread of its own, beside the steps of the other answers. Who writes
 * what: a preparation is the thread's from the moment that it is in the queue until `is_done` is set (release; read with
 * acquire), then its sequence's again. One that nobody waits for any more (is_abandoned) is freed by whoever sees that last, under
 * the lock.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Up to so many bytes it is not worth a thread, and needs no deep stack. */
#define BYTES_AT_ONCE 4096
/* So many are worth a processor of their own: some 30 ms or more of work. */
#define BYTES_WORTH_A_PROCESSOR ((size_t)64 << 10)
/* Reserved, not used: a page becomes memory when it is written. */
#define STACK_BYTES ((size_t)1 << 30)
#define STACK_BYTES_LEAST ((size_t)64 << 20)
/* What a letter of a long word takes of it, at most: measured are 350 bytes, of the library that we pin. */
#define STACK_OF_LETTER 1024

struct preparation {
    struct llama_engine engine; /* a copy: what is said is said there */
    engine_request request;     /* and its texts, in `bytes` */
    char *bytes;
    struct sequence answer;
    int error;
    bool is_done;      /* atomic */
    bool is_abandoned; /* under the lock */
    struct preparation *next;
};

struct preparer {
    pthread_mutex_t lock;
    struct preparation *first; /* under the lock */
    plat_thread *thread;
    size_t stack_bytes;
    plat_doorbell work_bell, done_bell;
    size_t n_bytes_left;       /* of prompts, in the queue or in work; atomic */
    bool is_closing;           /* atomic */
};

/* ---- one answer ---------------------------------------------------------------------------------------------------- */

/* Fills sequence->sampler and chain. Errors: PARAMETER, NO_MEMORY. */
static int make_sampler(struct llama_engine *engine, struct sequence *sequence, engine_sampling sampling) {
    int32_t n_suppressed = 0;
    const llama_token *suppressed = llama_vocab_get_suppress_tokens(engine->vocab, &n_suppressed);
    sampling_fill(&sampling, &engine->recommended);
    sequence->seed = sampling.seed;
    sequence->sampler = sampler_new(&sampling, engine->base.facts.n_vocab);
    if (!sequence->sampler) return ENGINE_E_NO_MEMORY;
    for (int32_t i = 0; i < n_suppressed; i++) sampler_forbid(sequence->sampler, suppressed[i]);
    for (size_t i = 0; sampling.ignore_eos && i < engine->n_ends; i++) sampler_forbid(sequence->sampler, engine->ends[i]);
    if (!chain_is_needed(&sampling)) return ENGINE_OK;
    sequence->chain = chain_new(engine->model, &sampling, engine->base.facts.n_ctx, engine->base.message,
                                sizeof engine->base.message);
    if (!sequence->chain) return ENGINE_E_PARAMETER;
    chain_accept(sequence->chain, sequence->prompt, (size_t)sequence->n_prompt);
    return ENGINE_OK;
}

/* Fills sequence->grammar: the request's, or that of its schema and tools. Errors: GRAMMAR, NO_MEMORY. */
static int make_grammar(struct llama_engine *engine, struct sequence *sequence, const char *text) {
    char reason[256] = "";
    const char *prefix;
    bool is_lazy, is_given = text && text[0];
    const char *own = answer_reader_grammar(sequence->reader, &is_lazy, &prefix);
    if (is_given && own) {
        llama_say(engine, "a grammar cannot be joined with a schema or with tools; leave one of them out");
        return ENGINE_E_GRAMMAR;
    }
    if (!is_given && (!own || is_lazy)) return ENGINE_OK;
    sequence->grammar = grammar_new(is_given ? text : own, reason, sizeof reason);
    if (sequence->grammar && (is_given || prefix[0] == 0)) return ENGINE_OK;
    if (sequence->grammar && grammar_fits(sequence->grammar, prefix, strlen(prefix))) {
        grammar_accept(sequence->grammar, prefix, strlen(prefix));
        return ENGINE_OK;
    }
    llama_say(engine, "the grammar cannot be used: %s", sequence->grammar ? "the prompt's end does not fit it" : reason);
    return ENGINE_E_GRAMMAR;
}

/* Errors: DOCUMENT. */
static int make_reader(struct llama_engine *engine, struct sequence *sequence) {
    sequence->reader = answer_reader_new(sequence->rendered, engine->base.message, sizeof engine->base.message);
    return sequence->reader ? ENGINE_OK : ENGINE_E_DOCUMENT;
}

/* Appends to sequence->prompt. Errors: RESUMED, NO_MEMORY. */
static int append_resumed(struct llama_engine *engine, struct sequence *sequence, const engine_request *request) {
    size_t n_prompt = (size_t)sequence->n_prompt, n_resumed = request->n_resumed;
    int error = engine_check_resumed(&engine->base, request, sequence->n_prompt, engine->can_shift);
    if (error < 0 || n_resumed == 0) return error;
    for (size_t i = 0; i < n_resumed; i++) {
        llama_token token = request->resumed[i];
        bool is_known = token >= 0 && token < engine->base.facts.n_vocab;
        if (is_known && !llama_vocab_is_eog(engine->vocab, token)) continue;
        llama_say(engine, "token %zu of those that the answer already has is %d, which %s; resume with the model that "
                  "made them", i, token, is_known ? "ends an answer" : "is not in the vocabulary");
        return ENGINE_E_RESUMED;
    }
    llama_token *larger = realloc(sequence->prompt, (n_prompt + n_resumed) * sizeof *larger);
    if (!larger) return ENGINE_E_NO_MEMORY;
    memcpy(larger + n_prompt, request->resumed, n_resumed * sizeof *larger);
    sequence->prompt = larger;
    sequence->n_had = (int32_t)n_resumed;
    sequence->n_resumed = sequence->chain && chain_has_memory(sequence->chain) ? 0 : sequence->n_had;
    return ENGINE_OK;
}

int prepare_answer(struct llama_engine *engine, struct sequence *answer, const engine_request *request) {
    int error = conversation_tokenise(engine, answer, request);
    if (error < 0 || (error = make_reader(engine, answer)) < 0) return error;
    if ((error = make_grammar(engine, answer, request->grammar)) < 0) return error;
    if ((error = make_sampler(engine, answer, request->sampling)) < 0) return error;
    if ((error = adapters_read(engine, request->sampling.lora, &answer->scales)) < 0) return error;
    if ((error = append_resumed(engine, answer, request)) < 0) return error;
    answer->n_predict = request->n_predict;
    answer->wants_logprobs = request->wants_logprobs;
    answer->n_probs = request->sampling.n_probs;
    answer->n_worth = DRAFT_LEAST;
    return ENGINE_OK;
}

int prepare_check_sampling(struct llama_engine *engine, const engine_sampling *sampling) {
    struct sequence nobodys = {0};
    int error = make_sampler(engine, &nobodys, *sampling);
    if (error == ENGINE_OK) error = adapters_read(engine, sampling->lora, &nobodys.scales);
    prepare_release(&nobodys);
    return error == ENGINE_E_PARAMETER ? ENGINE_E_OPTION : error;
}

/* ---- what a request holds ------------------------------------------------------------------------------------------ */

static size_t length(const char *text) {
    return text ? strlen(text) : 0;
}

/* Bytes of prompt. */
static size_t prompt_bytes(const engine_request *request) {
    size_t n_bytes = length(request->document);
    for (size_t i = 0; i < request->n_messages; i++) n_bytes += length(request->messages[i].text);
    return n_bytes;
}

/* Of a sampling parameter that is a text; 0 for numbers. */
#define TEXT_BYTES_INTEGER(value) 0
#define TEXT_BYTES_REAL(value) 0
#define TEXT_BYTES_TEXT(value) (length(value) + 1)

static char *put(char **to, const void *bytes, size_t n_bytes) {
    char *place = *to;
    memcpy(place, bytes, n_bytes);
    *to += n_bytes;
    return place;
}

static const char *put_text(char **to, const char *text) {
    return text ? put(to, text, strlen(text) + 1) : NULL;
}

/* Into preparation->request, with all that it points to. False: no memory. */
static bool copy_request(struct preparation *preparation, const engine_request *request) {
    size_t n_list = request->n_messages * sizeof *request->messages, n_resumed = request->n_resumed * sizeof *request->resumed;
    size_t n_bytes = n_list + n_resumed + length(request->document) + length(request->grammar) + 2;
#define TEXT_BYTES(name, kind, ...) n_bytes += TEXT_BYTES_##kind(request->sampling.name);
    LIPC_SAMPLING_MAP(TEXT_BYTES)
#undef TEXT_BYTES
    for (size_t i = 0; i < request->n_messages; i++)
        n_bytes += length(request->messages[i].role) + length(request->messages[i].text) + 2;
    char *to = preparation->bytes = malloc(n_bytes);
    if (!to) return false;
    engine_request *copy = &preparation->request;
    *copy = *request;
    engine_message *messages = (engine_message *)(void *)put(&to, request->messages ? (const void *)request->messages : "", n_list);
    copy->resumed = (const int32_t *)(const void *)put(&to, request->resumed ? (const void *)request->resumed : "", n_resumed);
    for (size_t i = 0; i < request->n_messages; i++)
        messages[i] = (engine_message){put_text(&to, request->messages[i].role), put_text(&to, request->messages[i].text)};
    copy->messages = messages;
    copy->document = put_text(&to, request->document);
    copy->grammar = put_text(&to, request->grammar);
#define PUT_INTEGER(value)
#define PUT_REAL(value)
#define PUT_TEXT(value) value = put_text(&to, value);
#define PUT(name, kind, ...) PUT_##kind(copy->sampling.name)
    LIPC_SAMPLING_MAP(PUT)
#undef PUT
    return true;
}

/* Letters in a row, at most. */
static size_t longest_word(const char *text) {
    size_t n = 0, n_most = 0;
    for (; text && *text; text++) {
        n = *text == ' ' || *text == '\n' ? 0 : n + 1;
        if (n > n_most) n_most = n;
    }
    return n_most;
}

static int check_words(struct llama_engine *engine, const engine_request *request, size_t stack_bytes) {
    size_t n = longest_word(request->document), n_most = stack_bytes / STACK_OF_LETTER;
    for (size_t i = 0; i < request->n_messages; i++) {
        size_t n_word = longest_word(request->messages[i].text);
        if (n_word > n) n = n_word;
    }
    if (n <= n_most) return ENGINE_OK;
    llama_say(engine, "the prompt has a word of %zu letters; words of more than %zu cannot be turned into tokens", n, n_most);
    return ENGINE_E_TOO_LONG;
}

bool prepare_fits(struct llama_engine *engine, const engine_request *request) {
    enum { ESCAPED = 6 }; /* bytes of JSON for one of text, at most */
    size_t n_bytes = prompt_bytes(request), n_piece = engine->longest_piece * (request->document ? ESCAPED : 1);
    uint32_t n_ctx = engine->base.facts.n_ctx;
    if (engine->can_shift || n_bytes / n_piece < n_ctx) return true;
    llama_say(engine, "a prompt of %zu bytes has more tokens than the context of %u: none of this model's has more than %zu bytes; "
              "shorten it, or start the host with a larger -c N or with --context-shift", n_bytes, n_ctx, engine->longest_piece);
    return false;
}

bool prepare_is_quick(const engine_request *request) {
    return prompt_bytes(request) <= BYTES_AT_ONCE && !chain_is_slow_to_make(&request->sampling);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

static void free_preparation(struct preparation *preparation) {
    prepare_release(&preparation->answer);
    free(preparation->bytes);
    free(preparation);
}

static struct preparation *take_first(struct preparer *preparer) {
    pthread_mutex_lock(&preparer->lock);
    struct preparation *first = preparer->first;
    if (first) preparer->first = first->next;
    pthread_mutex_unlock(&preparer->lock);
    return first;
}

static void finish(struct preparer *preparer, struct preparation *done) {
    __atomic_sub_fetch(&preparer->n_bytes_left, prompt_bytes(&done->request), __ATOMIC_RELAXED);
    pthread_mutex_lock(&preparer->lock);
    bool is_abandoned = done->is_abandoned;
    __atomic_store_n(&done->is_done, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&preparer->lock);
    if (is_abandoned) free_preparation(done);
    plat_doorbell_ring(&preparer->done_bell, PLAT_BELL_ALL);
}

/* Gives way to evaluations, for which it would otherwise take a share of a processor like any other thread (see pool_make_way). */
static void run_preparer(void *argument) {
    struct preparer *preparer = argument;
    plat_thread_give_way();
    while (!__atomic_load_n(&preparer->is_closing, __ATOMIC_ACQUIRE)) {
        uint32_t seen = plat_doorbell_arm(&preparer->work_bell, PLAT_BELL_ALL);
        struct preparation *next = take_first(preparer);
        if (!next) {
            if (!__atomic_load_n(&preparer->is_closing, __ATOMIC_ACQUIRE))
                plat_doorbell_wait(&preparer->work_bell, seen, PLAT_NEVER);
            continue;
        }
        next->error = check_words(&next->engine, &next->request, preparer->stack_bytes);
        if (next->error == ENGINE_OK) next->error = prepare_answer(&next->engine, &next->answer, &next->request);
        finish(preparer, next);
    }
}

/* Started with the first long prompt. */
static struct preparer *preparer_of(struct llama_engine *engine) {
    struct preparer *preparer = engine->preparer;
    if (preparer) return preparer;
    preparer = calloc(1, sizeof *preparer);
    if (!preparer) return NULL;
    pthread_mutex_init(&preparer->lock, NULL);
    for (size_t n = STACK_BYTES; n >= STACK_BYTES_LEAST && !preparer->thread; n /= 4) {
        preparer->stack_bytes = n;
        if (plat_thread_start(run_preparer, preparer, n, &preparer->thread) != PLAT_OK) preparer->thread = NULL;
    }
    if (preparer->thread) return engine->preparer = preparer;
    pthread_mutex_destroy(&preparer->lock);
    free(preparer);
    return NULL;
}

struct preparation *prepare_begin(struct llama_engine *engine, const engine_request *request) {
    struct preparer *preparer = preparer_of(engine);
    struct preparation *made = preparer ? calloc(1, sizeof *made) : NULL, **last;
    if (!made) return NULL;
    made->engine = *engine;
    made->engine.piece = NULL;
    made->engine.piece_size = 0;
    if (!copy_request(made, request)) {
        free(made);
        return NULL;
    }
    __atomic_add_fetch(&preparer->n_bytes_left, prompt_bytes(request), __ATOMIC_RELAXED);
    pthread_mutex_lock(&preparer->lock);
    for (last = &preparer->first; *last; last = &(*last)->next) {
    }
    *last = made;
    pthread_mutex_unlock(&preparer->lock);
    plat_doorbell_ring(&preparer->work_bell, PLAT_BELL_ALL);
    return made;
}

bool prepare_needs_processor(const struct llama_engine *engine) {
    return engine->preparer && __atomic_load_n(&engine->preparer->n_bytes_left, __ATOMIC_RELAXED) >= BYTES_WORTH_A_PROCESSOR;
}

bool prepare_is_done(const struct preparation *preparation) {
    return __atomic_load_n(&preparation->is_done, __ATOMIC_ACQUIRE);
}

int prepare_take(struct llama_engine *engine, struct preparation *preparation, struct sequence *answer) {
    int error = preparation->error;
    *answer = preparation->answer;
    preparation->answer = (struct sequence){0};
    if (error < 0) memcpy(engine->base.message, preparation->engine.base.message, sizeof engine->base.message);
    if (error == ENGINE_E_NO_MEMORY) llama_say(engine, "not enough memory for a request");
    free_preparation(preparation);
    return error;
}

void prepare_wait(struct llama_engine *engine) {
    enum { WAIT_MS = 5 };
    struct preparer *preparer = engine->preparer;
    uint32_t seen = plat_doorbell_arm(&preparer->done_bell, PLAT_BELL_ALL);
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (engine->sequences[s].preparing && prepare_is_done(engine->sequences[s].preparing)) return;
    plat_doorbell_wait(&preparer->done_bell, seen, plat_deadline_ns(WAIT_MS));
}

static void abandon(struct preparer *preparer, struct preparation *preparation) {
    pthread_mutex_lock(&preparer->lock);
    bool is_done = preparation->is_done;
    preparation->is_abandoned = true;
    pthread_mutex_unlock(&preparer->lock);
    if (is_done) free_preparation(preparation);
}

void prepare_release(struct sequence *sequence) {
    if (sequence->preparing) abandon(sequence->preparing->engine.preparer, sequence->preparing);
    sampler_free(sequence->sampler);
    chain_free(sequence->chain);
    grammar_free(sequence->grammar);
    answer_reader_free(sequence->reader);
    chat_prompt_free(sequence->rendered);
    free(sequence->prompt);
    *sequence = (struct sequence){0};
}

/* No sequence waits for a preparation any more. What the thread has at hand is finished first. */
void prepare_close(struct llama_engine *engine) {
    struct preparer *preparer = engine->preparer;
    if (!preparer) return;
    __atomic_store_n(&preparer->is_closing, true, __ATOMIC_RELEASE);
    plat_doorbell_ring(&preparer->work_bell, PLAT_BELL_ALL);
    plat_thread_join(preparer->thread);
    for (struct preparation *left; (left = take_first(preparer));) free_preparation(left);
    pthread_mutex_destroy(&preparer->lock);
    free(preparer);
}
