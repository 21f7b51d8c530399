/* replay.c - an engine without a model: plays texts, thoughts, calls, pauses and failures, the same each time. Applications
 * are developed on it, and the protocol is tested on it.
 *
 * What is played lies on a tape (replay_tape.h), a text or a script, which is read once, when the engine is opened. A
 * token's id is its number on the tape. A request to a conversation that has k of the assistant's messages gets answer
 * number k, from the first again behind the last: it depends on the request alone, so that a worker that takes over from
 * a dead one plays the same.
 *
 * The last token is followed by one more step, due when another token would be, in which the answer ends: a model, too,
 * needs an evaluation to find that it has nothing to add.
 */
#define _GNU_SOURCE
#include "replay_tape.h"

#include "../platform/platform.h"
#include "../text/json.h"
#include "../text/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Larger files are refused: offsets and token numbers have 32 bits. */
#define TEXT_LIMIT_BYTES INT32_MAX
#define NOT_DUE UINT64_MAX
#define LOAD_TICK_MS 10
/* Kept from NOT_DUE, and from wrapping round at rates near zero. */
#define LATEST_DUE_NS ((double)(UINT64_MAX / 2))

struct answer {
    const tape_answer *tape;
    bool wants_logprobs, wants_likeliest;
    bool ignore_eos;
    bool is_cancelled;
    bool is_successor;        /* a worker that is dead had begun it */
    int32_t n_prompt;
    int32_t n_prompt_done;
    int32_t n_tokens;
    int32_t n_predict;
    int32_t n_resumed;        /* which tokens they are follows from the tape */
    uint64_t paced_since_ns;  /* the admission, or when the last resumed token was taken */
    int32_t n_unpaced;        /* tokens before that */
    uint64_t paused_ns;       /* all pauses since then */
    uint32_t next;            /* the event that comes next; n_events: the answer's end */
    engine_likely likely;     /* the last token: there is no other that it could have been */
    uint64_t admitted_ns;
    uint64_t first_token_ns;
};

struct replay_engine {
    engine base;
    replay_engine_options options;
    replay_tape tape;
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

/* ---- admitting ----------------------------------------------------------------------------------------------------- */

/* Tokens of all messages, or of the document as it is written; never more than INT32_MAX. */
static int32_t count_prompt_tokens(const engine_request *request) {
    int32_t n_tokens = request->document ? replay_count_tokens(request->document) : 0;
    for (size_t i = 0; i < request->n_messages; i++) {
        int32_t n = replay_count_tokens(request->messages[i].text);
        n_tokens = n > INT32_MAX - n_tokens ? INT32_MAX : n_tokens + n;
    }
    return n_tokens;
}

static bool is_assistant(json_slice message) {
    static const char role[] = "\"assistant\"";
    json_slice found = json_member(message, "role");
    return found.n_bytes == sizeof role - 1 && memcmp(found.at, role, found.n_bytes) == 0;
}

/* How many of the assistant's messages the conversation has; negative: the document is none. */
static int count_turns(const engine_request *request) {
    int n_turns = 0;
    json_slice document, element = {NULL, 0};
    for (size_t i = 0; i < request->n_messages; i++) n_turns += strcmp(request->messages[i].role, "assistant") == 0;
    if (!request->document) return n_turns;
    if (!json_check(request->document, strlen(request->document), &document, NULL) || json_kind(document) != '{') return -1;
    json_slice messages = json_member(document, "messages");
    while ((element = json_next(messages, element)).at) n_turns += is_assistant(element);
    return n_turns;
}

static int find_free_sequence(const struct replay_engine *replay) {
    for (int s = 0; s < replay->base.facts.n_sequences; s++)
        if (replay->due_ns[s] == NOT_DUE) return s;
    return -1;
}

/* The resumed tokens can only be those that this answer begins with. Errors: RESUMED. */
static int check_resumed(struct replay_engine *replay, const engine_request *request, const tape_answer *answer,
                         int32_t n_prompt) {
    size_t n_text = (size_t)answer->n_tokens;
    int error = engine_check_resumed(&replay->base, request, n_prompt, false);
    if (error < 0) return error;
    for (size_t i = 0; i < request->n_resumed; i++) {
        bool is_behind_end = i >= n_text && (!request->sampling.ignore_eos || n_text == 0);
        if (!is_behind_end && request->resumed[i] == answer->first_token + (int32_t)(i % n_text)) continue;
        say(replay, "token %zu of those that the answer already has is %d, which %s; resume with the text that was played",
            i, request->resumed[i], is_behind_end ? "lies behind the end of the text" : "is another in this text");
        return ENGINE_E_RESUMED;
    }
    return ENGINE_OK;
}

/* Fills in the beginning of an answer. Errors: DOCUMENT, GRAMMAR, TOO_LONG, RESUMED. */
static int begin_answer(struct replay_engine *replay, const engine_request *request, struct answer *answer) {
    int n_turns = count_turns(request);
    if (n_turns < 0) {
        say(replay, "the document is no JSON object");
        return ENGINE_E_DOCUMENT;
    }
    if (request->grammar && request->grammar[0]) {
        say(replay, "a text that is played back cannot follow a grammar; ask without one");
        return ENGINE_E_GRAMMAR;
    }
    const tape_answer *tape = &replay->tape.answers[(uint32_t)n_turns % replay->tape.n_answers];
    int32_t n_prompt = tape->n_prompt >= 0 ? tape->n_prompt : count_prompt_tokens(request);
    uint32_t n_ctx = replay->base.facts.n_ctx;
    if (n_prompt == INT32_MAX || (n_ctx > 0 && (uint32_t)n_prompt >= n_ctx)) {
        say(replay, "the prompt has %d tokens, the context only %u; shorten it, or start the host with a larger -c N",
            n_prompt, n_ctx > 0 ? n_ctx : (uint32_t)INT32_MAX);
        return ENGINE_E_TOO_LONG;
    }
    *answer = (struct answer){
        .tape = tape,
        .wants_logprobs = request->wants_logprobs,
        .wants_likeliest = request->sampling.n_probs > 0,
        .ignore_eos = request->sampling.ignore_eos,
        .is_successor = request->resumed != NULL,
        .n_prompt = n_prompt,
        .n_predict = request->n_predict,
        .n_resumed = (int32_t)request->n_resumed,
        .n_unpaced = request->n_resumed > 0 ? (int32_t)request->n_resumed - 1 : 0,
    };
    return check_resumed(replay, request, tape, n_prompt);
}

static uint64_t due_ns_of(const struct replay_engine *replay, struct answer *answer);

static int replay_admit(engine *engine, const engine_request *request, int *sequence) {
    struct replay_engine *replay = (struct replay_engine *)engine;
    struct answer answer;
    uint64_t admitted_ns = plat_clock_ns();
    int free_sequence = find_free_sequence(replay);
    if (free_sequence < 0) {
        say(replay, "all %d sequences are in use", engine->facts.n_sequences);
        return ENGINE_E_BUSY;
    }
    int error = begin_answer(replay, request, &answer);
    if (error < 0) return error;
    answer.paced_since_ns = answer.admitted_ns = admitted_ns;
    replay->due_ns[free_sequence] = due_ns_of(replay, &answer);
    replay->answers[free_sequence] = answer;
    if (replay->due_ns[free_sequence] < replay->next_ns) replay->next_ns = replay->due_ns[free_sequence];
    *sequence = free_sequence;
    return ENGINE_OK;
}

/* There is no template: what is shown is what was written, word by word. */
static int replay_render(engine *engine, const engine_request *request, char **json) {
    struct replay_engine *replay = (struct replay_engine *)engine;
    json_writer text = {0}, tokens = {0}, whole = {0};
    char id[32];
    *json = NULL;
    if (request->document) json_puts(&text, request->document);
    for (size_t i = 0; i < request->n_messages; i++) json_puts(&text, request->messages[i].text);
    for (size_t at = 0, n = 0; at < text.n_bytes; n++) {
        size_t length = replay_token_length(text.text + at, text.n_bytes - at);
        snprintf(id, sizeof id, "%s{\"id\":%zu,\"text\":", n > 0 ? "," : "", n);
        json_puts(&tokens, id);
        json_put_string(&tokens, text.text + at, length);
        json_puts(&tokens, ",\"is_control\":false,\"is_input\":true}");
        at += length;
    }
    json_puts(&whole, "{\"text\":");
    json_put_string(&whole, text.n_bytes > 0 ? text.text : "", text.n_bytes);
    json_puts(&whole, ",\"tokens\":[");
    json_put(&whole, tokens.n_bytes > 0 ? tokens.text : "", tokens.n_bytes);
    json_puts(&whole, "]}");
    bool has_failed = text.has_failed || tokens.has_failed || whole.has_failed;
    free(text.text);
    free(tokens.text);
    if (!has_failed) {
        *json = whole.text;
        return ENGINE_OK;
    }
    free(whole.text);
    say(replay, "not enough memory to show the request");
    return ENGINE_E_NO_MEMORY;
}

/* ---- stepping ------------------------------------------------------------------------------------------------------ */

static const tape_event *next_event(const struct replay_engine *replay, const struct answer *answer) {
    return answer->next < answer->tape->n_events ? &replay->tape.events[answer->tape->first + answer->next] : NULL;
}

static void add(const struct replay_engine *replay, const tape_event *event, engine_progress *progress) {
    progress->text = event->text;
    progress->n_bytes = event->n_bytes;
    progress->deltas = replay->tape.deltas + event->first_delta;
    progress->n_deltas = event->n_deltas;
}

static void end(struct replay_engine *replay, const tape_event *event, engine_progress *progress) {
    progress->end = event ? (engine_end)event->end : ENGINE_END_TURN;
    if (!event) return;
    add(replay, event, progress);
    if (event->why) say(replay, "%s", event->why);
}

static void take_token(struct replay_engine *replay, struct answer *answer, const tape_event *event, uint64_t now,
                       engine_progress *progress) {
    if (answer->first_token_ns == 0) answer->first_token_ns = now;
    add(replay, event, progress);
    progress->has_token = true;
    progress->is_resumed = answer->n_tokens < answer->n_resumed;
    progress->token = event->number;
    if (progress->is_resumed) answer->paced_since_ns = now;
    else if (answer->wants_logprobs) progress->logprob = 0; /* the text is certain */
    if (answer->wants_likeliest && !progress->is_resumed) {
        size_t n_shown = event->n_bytes < ENGINE_LIKELY_TEXT ? event->n_bytes : ENGINE_LIKELY_TEXT;
        answer->likely = (engine_likely){.token = event->number, .n_bytes = event->n_bytes};
        memcpy(answer->likely.text, event->text, n_shown);
        progress->likeliest = &answer->likely;
        progress->n_likeliest = 1;
    }
    answer->n_tokens++;
    int64_t n_used = (int64_t)answer->n_prompt + answer->n_tokens, n_ctx = replay->base.facts.n_ctx;
    if (answer->n_predict >= 0 && answer->n_tokens >= answer->n_predict) progress->end = ENGINE_END_LIMIT;
    else if ((n_ctx > 0 && n_used >= n_ctx) || n_used >= INT32_MAX) progress->end = ENGINE_END_CONTEXT;
}

/* A process that goes on with the answer behind the place where one died does not die there again. */
static void crash(const struct answer *answer, const tape_event *event) {
    bool is_retraced = answer->n_tokens < answer->n_resumed;
    bool is_survivor = answer->is_successor && answer->n_tokens == answer->n_resumed && !event->is_always;
    if (!is_retraced && !is_survivor) abort();
}

/* One event. Returns false if there is nothing to tell of it. */
static bool play(struct replay_engine *replay, struct answer *answer, uint64_t now, engine_progress *progress) {
    const tape_event *event = next_event(replay, answer);
    bool is_over = !event || (event->kind == TAPE_END && event->end == ENGINE_END_TURN);
    if (is_over && answer->ignore_eos && answer->tape->n_tokens > 0) {
        answer->next = 0;
        event = next_event(replay, answer);
    }
    answer->next++;
    if (!event || event->kind == TAPE_END) {
        answer->n_prompt_done = answer->n_prompt;
        if (!event && answer->first_token_ns == 0) answer->first_token_ns = now;
        end(replay, event, progress);
        return true;
    }
    switch (event->kind) {
    case TAPE_CRASH:
        crash(answer, event);
        return false;
    case TAPE_READ:
        if (answer->n_tokens == 0 && event->number < answer->n_prompt) answer->n_prompt_done = event->number;
        return answer->n_tokens == 0 && answer->n_resumed == 0;
    default:
        answer->n_prompt_done = answer->n_prompt;
        take_token(replay, answer, event, now, progress);
        return true;
    }
}

/* Fills in all of *progress. Returns false if there is nothing to tell. */
static bool advance(struct replay_engine *replay, int sequence, bool is_interrupted, uint64_t now,
                    engine_progress *progress) {
    struct answer *answer = &replay->answers[sequence];
    *progress = (engine_progress){.sequence = sequence, .text = "", .logprob = NAN};
    bool is_told = true;
    if (is_interrupted || answer->is_cancelled) {
        progress->end = ENGINE_END_CANCELLED;
    } else if (answer->n_predict == 0) {
        answer->n_prompt_done = answer->n_prompt;
        progress->end = ENGINE_END_LIMIT;
    } else {
        is_told = play(replay, answer, now, progress);
    }
    progress->n_tokens = answer->n_tokens;
    progress->n_prompt = answer->n_prompt;
    progress->n_prompt_done = answer->n_prompt_done;
    progress->n_cached = answer->tape->n_cached < answer->n_prompt_done ? answer->tape->n_cached : answer->n_prompt_done;
    progress->prompt_ns = (answer->first_token_ns ? answer->first_token_ns : now) - answer->admitted_ns;
    progress->generate_ns = answer->first_token_ns ? now - answer->first_token_ns : 0;
    return is_told;
}

/* When the next event is due. Counted from the admission, so that a late step is made up for and nothing drifts. Resumed
 * tokens are due at once, and what follows them as if the last of them had been made when it was taken. */
static uint64_t due_ns_of(const struct replay_engine *replay, struct answer *answer) {
    const tape_event *event = next_event(replay, answer);
    if (answer->n_tokens < answer->n_resumed) return 0;
    if (event) answer->paused_ns += (uint64_t)event->pause_us * 1000;
    double wait_ns = replay->token_ns * (answer->n_tokens - answer->n_unpaced) + (double)answer->paused_ns;
    if (wait_ns <= 0) return 0;
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
            engine_progress *entry = &progress[n_moved];
            n_moved += advance(replay, s, is_interrupted, now, entry);
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
    replay_tape_free(&replay->tape);
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

/* The text, zero-terminated, which the caller frees. */
static int read_text(struct replay_engine *replay, char **text, size_t *n_bytes) {
    const char *path = replay->options.text_path;
    uint64_t size_bytes;
    *text = NULL;
    int failed = plat_file_size(path, &size_bytes);
    if (failed == PLAT_E_UNEXPECTED) return read_failed(replay, "it is not a file");
    if (failed < 0) return read_failed(replay, plat_os_error());
    if (size_bytes >= TEXT_LIMIT_BYTES) {
        say(replay, "the text '%s' is longer than %d bytes; give a shorter one", path, TEXT_LIMIT_BYTES);
        return ENGINE_E_MODEL_BAD;
    }
    FILE *file = plat_file_open(path, "rb");
    if (!file) return read_failed(replay, strerror(errno));
    int error = ENGINE_OK;
    *text = calloc(1, (size_t)size_bytes + 1);
    if (!*text) {
        error = out_of_memory(replay);
    } else {
        *n_bytes = fread(*text, 1, (size_t)size_bytes, file);
        if (ferror(file)) error = read_failed(replay, strerror(errno));
    }
    fclose(file);
    return error;
}

static int check_text(struct replay_engine *replay, const char *text, size_t n_bytes) {
    const char *path = replay->options.text_path;
    if (n_bytes == 0) {
        say(replay, "the text '%s' is empty; give one with at least one character", path);
        return ENGINE_E_MODEL_BAD;
    }
    if (!utf8_is_valid(text, n_bytes) || memchr(text, 0, n_bytes)) {
        say(replay, "'%s' is not a text (it has bytes that are not UTF-8, or zero bytes); convert it, or give another",
            path);
        return ENGINE_E_MODEL_BAD;
    }
    return ENGINE_OK;
}

/* Fills replay->tape. */
static int read_tape(struct replay_engine *replay, size_t *n_bytes) {
    char *text, wrong[256];
    int error = read_text(replay, &text, n_bytes);
    if (error == ENGINE_OK) error = check_text(replay, text, *n_bytes);
    if (error < 0) {
        free(text);
        return error;
    }
    error = replay_tape_read(text, *n_bytes, &replay->tape, wrong, sizeof wrong);
    if (error == ENGINE_E_MODEL_BAD) say(replay, "'%s', %s", replay->options.text_path, wrong);
    return error == ENGINE_E_NO_MEMORY ? out_of_memory(replay) : error;
}

static void collect_facts(struct replay_engine *replay, size_t n_bytes) {
    engine_model_facts *facts = &replay->base.facts;
    const replay_tape *tape = &replay->tape;
    if (tape->is_script)
        snprintf(facts->description, sizeof facts->description, "a script of %u answers, %d tokens, played back",
                 tape->n_answers, tape->n_tokens);
    else
        snprintf(facts->description, sizeof facts->description, "a text of %d tokens, played back", tape->n_tokens);
    snprintf(facts->template_name, sizeof facts->template_name, "plain");
    facts->n_ctx = replay->options.n_ctx;
    facts->n_ctx_trained = replay->options.n_ctx;
    facts->n_vocab = tape->n_tokens;
    facts->n_threads = 1;
    facts->n_bytes = n_bytes;
}

static void tell_progress(const struct replay_engine *replay, int per_mille) {
    const engine_callbacks *callbacks = &replay->options.callbacks;
    if (callbacks->on_load_progress) callbacks->on_load_progress(callbacks->user_data, per_mille);
}

/* As a model that takes its time. Returns false if it is no longer wanted. */
static bool pretend_to_load(const struct replay_engine *replay) {
    const engine_callbacks *callbacks = &replay->options.callbacks;
    uint64_t begin_ns = plat_clock_ns(), load_ns = (uint64_t)replay->tape.load_ms * 1000000;
    for (uint64_t past_ns = 0; past_ns < load_ns; past_ns = plat_clock_ns() - begin_ns) {
        tell_progress(replay, (int)(past_ns * 1000 / load_ns));
        if (engine_is_interrupted(callbacks)) return false;
        plat_pause_ms(LOAD_TICK_MS);
    }
    return true;
}

static int open_parts(struct replay_engine *replay) {
    size_t n_bytes = 0, n_sequences = (size_t)replay->base.facts.n_sequences;
    tell_progress(replay, 0);
    int error = read_tape(replay, &n_bytes);
    if (error < 0) return error;
    replay->due_ns = malloc(n_sequences * sizeof *replay->due_ns);
    replay->answers = calloc(n_sequences, sizeof *replay->answers);
    if (!replay->due_ns || !replay->answers) return out_of_memory(replay);
    for (size_t s = 0; s < n_sequences; s++) replay->due_ns[s] = NOT_DUE;
    replay->next_ns = NOT_DUE;
    if (replay->options.tokens_per_second > 0) replay->token_ns = 1e9 / replay->options.tokens_per_second;
    collect_facts(replay, n_bytes);
    if (!pretend_to_load(replay)) {
        say(replay, "no longer wanted");
        return ENGINE_E_ABORTED;
    }
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
