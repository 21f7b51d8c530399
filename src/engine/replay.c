/* replay.c - an engine without a model: plays a text at a given rate, the same each time. Applications are developed on
 * it, and the protocol is tested on it.
 *
 * A token is a word with the white space before it, at most TOKEN_BYTES long, whole characters only: where tokens end
 * depends on the text alone. The text is cut once, when it is opened; a token then costs a look into a table. A token's
 * id is its number in the text.
 *
 * The last token is followed by one more step, due when another token would be, in which the answer ends: a model, too,
 * needs an evaluation to find that it has nothing to add.
 */
#define _GNU_SOURCE
#include "engine.h"

#include "../platform/platform.h"
#include "../text/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TOKEN_BYTES 16
/* Larger files are refused: offsets and token numbers have 32 bits. */
#define TEXT_LIMIT_BYTES INT32_MAX
#define NOT_DUE UINT64_MAX
/* Kept from NOT_DUE, and from wrapping round at rates near zero. */
#define LATEST_DUE_NS ((double)(UINT64_MAX / 2))

struct answer {
    bool wants_logprobs;
    bool ignore_eos;
    bool is_cancelled;
    int32_t n_prompt;
    int32_t n_prompt_done;
    int32_t n_tokens;
    int32_t n_predict;
    int32_t n_resumed;        /* which tokens they are follows from the text */
    uint64_t paced_since_ns;  /* the admission, or when the last resumed token was taken */
    int32_t n_unpaced;        /* tokens before that */
    int32_t next;             /* the token of the text that comes next; n_text_tokens: the answer's end */
    uint64_t admitted_ns;
    uint64_t first_token_ns;
};

struct replay_engine {
    engine base;
    replay_engine_options options;
    char *text;
    uint32_t *token_end; /* byte offsets */
    int32_t n_text_tokens;
    double token_ns;     /* from one token of an answer to the next; 0: as fast as possible */
    uint64_t *due_ns;    /* of each sequence: when its next step is due, 0 at once, NOT_DUE if it is free */
    struct answer *answers;
    uint64_t next_ns;    /* the least of due_ns */
};

__attribute__((format(printf, 2, 3))) static void say(struct replay_engine *replay, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(replay->base.message, sizeof replay->base.message, format, arguments);
    va_end(arguments);
}

/* ---- tokens -------------------------------------------------------------------------------------------------------- */

static bool is_white(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Length of the token at the beginning of the text; n_bytes must be positive. */
static size_t token_length(const char *text, size_t n_bytes) {
    size_t n_limit = n_bytes <= TOKEN_BYTES ? n_bytes : TOKEN_BYTES + 1; /* one more shows that the word goes on */
    size_t n = 0;
    while (n < n_limit && is_white(text[n])) n++;
    while (n < n_limit && !is_white(text[n])) n++;
    if (n > TOKEN_BYTES) n = utf8_fit(text, n_bytes, TOKEN_BYTES);
    return n;
}

static int32_t count_tokens(const char *text) {
    size_t n_bytes = strlen(text);
    int32_t n_tokens = 0;
    for (size_t at = 0; at < n_bytes && n_tokens < INT32_MAX; n_tokens++) at += token_length(text + at, n_bytes - at);
    return n_tokens;
}

static bool cut_text(struct replay_engine *replay) {
    replay->n_text_tokens = count_tokens(replay->text);
    replay->token_end = malloc((size_t)replay->n_text_tokens * sizeof *replay->token_end);
    if (!replay->token_end) return false;
    size_t n_bytes = strlen(replay->text), at = 0;
    for (int32_t i = 0; i < replay->n_text_tokens; i++) {
        at += token_length(replay->text + at, n_bytes - at);
        replay->token_end[i] = (uint32_t)at;
    }
    return true;
}

/* ---- admitting ----------------------------------------------------------------------------------------------------- */

/* Tokens of all messages, or of the document as it is written; never more than INT32_MAX. */
static int32_t count_prompt_tokens(const engine_request *request) {
    int32_t n_tokens = request->document ? count_tokens(request->document) : 0;
    for (size_t i = 0; i < request->n_messages; i++) {
        int32_t n = count_tokens(request->messages[i].text);
        n_tokens = n > INT32_MAX - n_tokens ? INT32_MAX : n_tokens + n;
    }
    return n_tokens;
}

static int find_free_sequence(const struct replay_engine *replay) {
    for (int s = 0; s < replay->base.facts.n_sequences; s++)
        if (replay->due_ns[s] == NOT_DUE) return s;
    return -1;
}

/* The resumed tokens can only be those that this text begins with. Errors: RESUMED. */
static int check_resumed(struct replay_engine *replay, const engine_request *request, int32_t n_prompt) {
    size_t n_text = (size_t)replay->n_text_tokens;
    int error = engine_check_resumed(&replay->base, request, n_prompt, false);
    if (error < 0) return error;
    for (size_t i = 0; i < request->n_resumed; i++) {
        bool is_behind_end = i >= n_text && !request->sampling.ignore_eos;
        if (!is_behind_end && request->resumed[i] == (int32_t)(i % n_text)) continue;
        say(replay, "token %zu of those that the answer already has is %d, which %s; resume with the text that was played",
            i, request->resumed[i], is_behind_end ? "lies behind the end of the text" : "is another in this text");
        return ENGINE_E_RESUMED;
    }
    return ENGINE_OK;
}

static int replay_admit(engine *engine, const engine_request *request, int *sequence) {
    struct replay_engine *replay = (struct replay_engine *)engine;
    uint64_t admitted_ns = plat_clock_ns();
    int free_sequence = find_free_sequence(replay);
    if (free_sequence < 0) {
        say(replay, "all %d sequences are in use", engine->facts.n_sequences);
        return ENGINE_E_BUSY;
    }
    if (request->grammar && request->grammar[0]) {
        say(replay, "a text that is played back cannot follow a grammar; ask without one");
        return ENGINE_E_GRAMMAR;
    }
    int32_t n_prompt = count_prompt_tokens(request);
    uint32_t n_ctx = engine->facts.n_ctx;
    if (n_prompt == INT32_MAX || (n_ctx > 0 && (uint32_t)n_prompt >= n_ctx)) {
        say(replay, "the prompt has %d tokens, the context only %u; shorten it, or start the host with a larger -c N",
            n_prompt, n_ctx > 0 ? n_ctx : (uint32_t)INT32_MAX);
        return ENGINE_E_TOO_LONG;
    }
    int error = check_resumed(replay, request, n_prompt);
    if (error < 0) return error;
    replay->answers[free_sequence] = (struct answer){
        .wants_logprobs = request->wants_logprobs,
        .ignore_eos = request->sampling.ignore_eos,
        .n_prompt = n_prompt,
        .n_predict = request->n_predict,
        .n_resumed = (int32_t)request->n_resumed,
        .n_unpaced = request->n_resumed > 0 ? (int32_t)request->n_resumed - 1 : 0,
        .paced_since_ns = admitted_ns,
        .admitted_ns = admitted_ns,
    };
    replay->due_ns[free_sequence] = 0;
    replay->next_ns = 0;
    *sequence = free_sequence;
    return ENGINE_OK;
}

static int replay_render(engine *engine, const engine_request *request, char **json) {
    (void)request;
    *json = NULL;
    say((struct replay_engine *)engine, "a text that is played back has no template: there is nothing to show");
    return ENGINE_E_DOCUMENT;
}

/* ---- stepping ------------------------------------------------------------------------------------------------------ */

static void take_token(struct replay_engine *replay, struct answer *answer, uint64_t now, engine_progress *progress) {
    if (answer->first_token_ns == 0) answer->first_token_ns = now;
    if (answer->next == replay->n_text_tokens && answer->ignore_eos) answer->next = 0;
    if (answer->next == replay->n_text_tokens) {
        progress->end = ENGINE_END_TURN;
        return;
    }
    uint32_t begin = answer->next > 0 ? replay->token_end[answer->next - 1] : 0;
    progress->text = replay->text + begin;
    progress->n_bytes = replay->token_end[answer->next] - begin;
    progress->has_token = true;
    progress->is_resumed = answer->n_tokens < answer->n_resumed;
    progress->token = answer->next++;
    if (progress->is_resumed) answer->paced_since_ns = now;
    else if (answer->wants_logprobs) progress->logprob = 0; /* the text is certain */
    answer->n_tokens++;
    int64_t n_used = (int64_t)answer->n_prompt + answer->n_tokens, n_ctx = replay->base.facts.n_ctx;
    if (answer->n_predict >= 0 && answer->n_tokens >= answer->n_predict) progress->end = ENGINE_END_LIMIT;
    else if ((n_ctx > 0 && n_used >= n_ctx) || n_used >= INT32_MAX) progress->end = ENGINE_END_CONTEXT;
}

/* Fills in all of *progress. */
static void advance(struct replay_engine *replay, int sequence, bool is_interrupted, uint64_t now,
                    engine_progress *progress) {
    struct answer *answer = &replay->answers[sequence];
    *progress = (engine_progress){.sequence = sequence, .text = "", .logprob = NAN};
    if (is_interrupted || answer->is_cancelled) {
        progress->end = ENGINE_END_CANCELLED;
    } else {
        answer->n_prompt_done = answer->n_prompt;
        if (answer->n_predict == 0) progress->end = ENGINE_END_LIMIT;
        else take_token(replay, answer, now, progress);
    }
    progress->n_tokens = answer->n_tokens;
    progress->n_prompt = answer->n_prompt;
    progress->n_prompt_done = answer->n_prompt_done;
    progress->prompt_ns = (answer->first_token_ns ? answer->first_token_ns : now) - answer->admitted_ns;
    progress->generate_ns = answer->first_token_ns ? now - answer->first_token_ns : 0;
}

/* Counted from the admission, so that a late step is made up for and nothing drifts. Resumed tokens are due at once, and
 * what follows them as if the last of them had been made when it was taken. */
static uint64_t due_ns_of(const struct replay_engine *replay, const struct answer *answer) {
    if (replay->token_ns <= 0 || answer->n_tokens < answer->n_resumed) return 0;
    double wait_ns = replay->token_ns * (answer->n_tokens - answer->n_unpaced);
    return answer->paced_since_ns + (uint64_t)(wait_ns < LATEST_DUE_NS ? wait_ns : LATEST_DUE_NS);
}

static size_t replay_step(engine *engine, engine_progress *progress) {
    struct replay_engine *replay = (struct replay_engine *)engine;
    const engine_callbacks *callbacks = &replay->options.callbacks;
    if (replay->next_ns == NOT_DUE) return 0;
    bool is_interrupted = engine_is_interrupted(callbacks);
    uint64_t now = plat_clock_ns(), next_ns = NOT_DUE;
    size_t n_moved = 0;
    for (int s = 0; s < engine->facts.n_sequences; s++) {
        uint64_t *due_ns = &replay->due_ns[s];
        if (*due_ns != NOT_DUE && (*due_ns <= now || is_interrupted)) {
            engine_progress *entry = &progress[n_moved++];
            advance(replay, s, is_interrupted, now, entry);
            *due_ns = entry->end == ENGINE_END_NONE ? due_ns_of(replay, &replay->answers[s]) : NOT_DUE;
        }
        if (*due_ns < next_ns) next_ns = *due_ns;
    }
    replay->next_ns = next_ns;
    return n_moved;
}

static uint64_t replay_next_step_ns(const engine *engine) {
    return ((const struct replay_engine *)engine)->next_ns;
}

static void replay_cancel(engine *engine, int sequence) {
    struct replay_engine *replay = (struct replay_engine *)engine;
    if (sequence < 0 || sequence >= engine->facts.n_sequences || replay->due_ns[sequence] == NOT_DUE) return;
    replay->answers[sequence].is_cancelled = true;
    replay->due_ns[sequence] = 0;
    replay->next_ns = 0;
}

/* ---- opening and closing ------------------------------------------------------------------------------------------- */

static void replay_close(engine *engine) {
    struct replay_engine *replay = (struct replay_engine *)engine;
    free(replay->answers);
    free(replay->due_ns);
    free(replay->token_end);
    free(replay->text);
    free(replay);
}

static const engine_operations operations = {
    .admit = replay_admit,
    .step = replay_step,
    .next_step_ns = replay_next_step_ns,
    .cancel = replay_cancel,
    .render = replay_render,
    .close = replay_close,
};

static int read_failed(struct replay_engine *replay, const char *reason) {
    say(replay, "cannot read the text '%s': %s; give another file", replay->options.text_path, reason);
    return ENGINE_E_MODEL_MISSING;
}

static int out_of_memory(struct replay_engine *replay) {
    say(replay, "not enough memory for the text '%s'", replay->options.text_path);
    return ENGINE_E_NO_MEMORY;
}

/* Fills replay->text, zero-terminated. */
static int read_text(struct replay_engine *replay, size_t *n_bytes) {
    const char *path = replay->options.text_path;
    struct stat status;
    /* Looked at before it is opened: opening a pipe would wait for its other end. */
    if (stat(path, &status) < 0) return read_failed(replay, strerror(errno));
    if (!S_ISREG(status.st_mode)) return read_failed(replay, "it is not a file");
    if (status.st_size >= TEXT_LIMIT_BYTES) {
        say(replay, "the text '%s' is longer than %d bytes; give a shorter one", path, TEXT_LIMIT_BYTES);
        return ENGINE_E_MODEL_BAD;
    }
    FILE *file = fopen(path, "rbe");
    if (!file) return read_failed(replay, strerror(errno));
    int error = ENGINE_OK;
    replay->text = calloc(1, (size_t)status.st_size + 1);
    if (!replay->text) {
        error = out_of_memory(replay);
    } else {
        *n_bytes = fread(replay->text, 1, (size_t)status.st_size, file);
        if (ferror(file)) error = read_failed(replay, strerror(errno));
    }
    fclose(file);
    return error;
}

static int check_text(struct replay_engine *replay, size_t n_bytes) {
    const char *path = replay->options.text_path;
    if (n_bytes == 0) {
        say(replay, "the text '%s' is empty; give one with at least one character", path);
        return ENGINE_E_MODEL_BAD;
    }
    if (!utf8_is_valid(replay->text, n_bytes) || memchr(replay->text, 0, n_bytes)) {
        say(replay, "'%s' is not a text (it has bytes that are not UTF-8, or zero bytes); convert it, or give another",
            path);
        return ENGINE_E_MODEL_BAD;
    }
    return ENGINE_OK;
}

static void collect_facts(struct replay_engine *replay, size_t n_bytes) {
    engine_model_facts *facts = &replay->base.facts;
    snprintf(facts->description, sizeof facts->description, "a text of %d tokens, played back", replay->n_text_tokens);
    snprintf(facts->template_name, sizeof facts->template_name, "plain");
    facts->n_ctx = replay->options.n_ctx;
    facts->n_ctx_trained = replay->options.n_ctx;
    facts->n_vocab = replay->n_text_tokens;
    facts->n_threads = 1;
    facts->n_bytes = n_bytes;
}

static void tell_progress(const struct replay_engine *replay, int per_mille) {
    const engine_callbacks *callbacks = &replay->options.callbacks;
    if (callbacks->on_load_progress) callbacks->on_load_progress(callbacks->user_data, per_mille);
}

static int open_parts(struct replay_engine *replay) {
    size_t n_bytes = 0, n_sequences = (size_t)replay->base.facts.n_sequences;
    tell_progress(replay, 0);
    int error = read_text(replay, &n_bytes);
    if (error < 0 || (error = check_text(replay, n_bytes)) < 0) return error;
    replay->due_ns = malloc(n_sequences * sizeof *replay->due_ns);
    replay->answers = calloc(n_sequences, sizeof *replay->answers);
    if (!replay->due_ns || !replay->answers || !cut_text(replay)) return out_of_memory(replay);
    for (size_t s = 0; s < n_sequences; s++) replay->due_ns[s] = NOT_DUE;
    replay->next_ns = NOT_DUE;
    if (replay->options.tokens_per_second > 0) replay->token_ns = 1e9 / replay->options.tokens_per_second;
    collect_facts(replay, n_bytes);
    tell_progress(replay, 1000);
    return ENGINE_OK;
}

int replay_engine_open(const replay_engine_options *options, engine **result, char *message, size_t message_size) {
    *result = NULL;
    struct replay_engine *replay = calloc(1, sizeof *replay);
    if (!replay) {
        snprintf(message, message_size, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    replay->base.operations = &operations;
    replay->base.facts.n_sequences = options->n_sequences > 0 ? options->n_sequences : 1;
    replay->base.facts.n_progress = replay->base.facts.n_sequences;
    replay->options = *options;
    int error = open_parts(replay);
    if (error < 0) {
        snprintf(message, message_size, "%s", replay->base.message);
        replay_close(&replay->base);
        return error;
    }
    *result = &replay->base;
    return ENGINE_OK;
}
