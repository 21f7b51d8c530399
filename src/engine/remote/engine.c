/* engine.c - an engine without a model: asks servers that speak the protocol of OpenAI's chat completions, with streaming, and
 * passes their answers on. transfer.c has the connections, events.c and chunk.c read what comes, body.c writes what is asked.
 *
 * A token here is a piece of the answer as it came in one event: most servers send one token in each, but nobody has to. Its id
 * is -1, since the vocabulary is the server's.
 *
 * What was never begun is asked again, of the next server if there are several, and in the end of the last resort, if there is one.
 * What was begun ends if it breaks: no server can
 * be told to go on at a certain token, and neither can a worker that takes over from a dead one.
 */
#include "../engine.h"

#include "body.h"
#include "chunk.h"
#include "events.h"
#include "secret.h"
#include "transfer.h"

#include "../../platform/platform.h"
#include "../../text/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ROUNDS 3                  /* so often each server is asked */
#define PAUSE_NS 500000000u       /* before the second round; twice that before the third */
#define RETRY_AFTER_MOST_S 30     /* a server that wants to be left alone for longer is not waited for */
#define DOWN_NS 10000000000u      /* for so long a server that failed is not asked first */
#define REFUSAL_MOST ((size_t)8192)
#define SETTLED_NS 2000000000u    /* for so long the rest of an answer or refusal is waited for that adds nothing but counts or words */
#define BYTES_IN_STEP ((size_t)65536) /* of one answer: nobody holds the others up */
#define ADDRESS_MOST 256           /* bytes: a message has room for it and a sentence */
#define NOT_DUE UINT64_MAX
#define TOKEN_UNKNOWN (-1)

struct answer {
    bool is_running, is_cancelled;
    bool has_begun;      /* something of it was passed on */
    transfer *transfer;  /* NULL: it waits to be asked again */
    uint64_t again_ns;   /* when */
    size_t server;
    int n_tries;
    uint64_t heard_ns;   /* when something of it last came, or it was asked */
    uint64_t settled_ns; /* since when it is clear how it ends: it is a refusal, or its end was said. 0: it is not */
    events events;
    chunks chunks;
    json_writer body;
    json_writer refusal; /* what came in place of an answer */
    int32_t n_predict, n_tokens;
    uint64_t admitted_ns, first_token_ns;
    bool is_handed_over;    /* to the last resort */
    int local;              /* its sequence there; negative: it waits for a free one */
    engine_request request; /* for the last resort */
    char message[ENGINE_MESSAGE_SIZE]; /* why it failed */
};

struct server {
    char *address;
    char *target;       /* where requests go */
    bool is_direct;     /* through no proxy */
    uint64_t down_until_ns;
};

struct remote_engine {
    engine base;
    remote_engine_options options;
    char *key;
    network *network;
    struct answer *answers;
    struct server *servers;
    size_t n_servers;
    int *by_local; /* the answer that each sequence of the last resort makes */
    int n_local;   /* how many it makes now */
};

/* ---- words ------------------------------------------------------------------------------------------------------------ */

/* What a server says may repeat the key, which belongs into no message, and may break lines. */
static void clean(const struct remote_engine *remote, char *text) {
    text[secret_remove(remote->key, text, strlen(text))] = 0;
    text[utf8_whole_prefix(text, strlen(text))] = 0;
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F) *text = ' ';
}

__attribute__((format(printf, 2, 3))) static void say(struct remote_engine *remote, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(remote->base.message, sizeof remote->base.message, format, arguments);
    va_end(arguments);
    clean(remote, remote->base.message);
}

static void log_message(const struct remote_engine *remote, int level) {
    const engine_callbacks *callbacks = &remote->options.callbacks;
    if (callbacks->on_log) callbacks->on_log(callbacks->user_data, level, remote->base.message);
}

/* The sentence of a failed answer: whose fault it was, and what. */
static engine_end fail(struct remote_engine *remote, const struct answer *answer, engine_end end, const char *what, const char *why) {
    say(remote, "%s: %s%s%s", remote->servers[answer->server].address, what, why[0] ? ": " : "", why);
    return end;
}

/* ---- asking ------------------------------------------------------------------------------------------------------------ */

static size_t first_server(const struct remote_engine *remote, uint64_t now_ns) {
    for (size_t i = 0; i < remote->n_servers; i++)
        if (remote->servers[i].down_until_ns <= now_ns) return i;
    return 0;
}

static bool ask(struct remote_engine *remote, struct answer *answer) {
    events_free(&answer->events);
    chunks_free(&answer->chunks);
    answer->chunks.key = remote->key;
    answer->refusal.n_bytes = 0;
    answer->settled_ns = 0;
    answer->heard_ns = plat_clock_ns();
    const struct server *server = &remote->servers[answer->server];
    answer->transfer = transfer_post(remote->network, server->target, server->is_direct, answer->body.text, answer->body.n_bytes);
    return answer->transfer != NULL;
}

/* Nothing of the answer was passed on. `is_hopeless`: not of the same server. The message says what went wrong. False: it is not
 * asked again. */
static bool ask_again(struct remote_engine *remote, struct answer *answer, bool is_hopeless, int retry_after_s) {
    uint64_t now_ns = plat_clock_ns(), pause_ns = 0;
    int n_servers = (int)remote->n_servers, n_asked = ++answer->n_tries;
    bool is_round_over = n_asked % n_servers == 0;
    if (n_asked >= ROUNDS * n_servers || (is_round_over && is_hopeless)) return false;
    if (is_round_over && retry_after_s > RETRY_AFTER_MOST_S) return false;
    remote->servers[answer->server].down_until_ns = now_ns + DOWN_NS;
    if (is_round_over) pause_ns = retry_after_s >= 0 ? (uint64_t)retry_after_s * 1000000000u : PAUSE_NS * (uint64_t)(n_asked / n_servers);
    size_t n = strlen(remote->base.message);
    snprintf(remote->base.message + n, sizeof remote->base.message - n, "; asked again in %.1f s", (double)pause_ns / 1e9);
    log_message(remote, 1);
    transfer_drop(answer->transfer);
    answer->transfer = NULL;
    answer->server = (answer->server + 1) % remote->n_servers;
    answer->again_ns = now_ns + pause_ns;
    return true;
}

static int find_free_sequence(const struct remote_engine *remote) {
    for (int s = 0; s < remote->base.facts.n_sequences; s++)
        if (!remote->answers[s].is_running) return s;
    return -1;
}

static void forget(struct answer *answer) {
    transfer_drop(answer->transfer);
    events_free(&answer->events);
    chunks_free(&answer->chunks);
    free(answer->body.text);
    free(answer->refusal.text);
    *answer = (struct answer){0};
}

static int remote_admit(engine *engine, const engine_request *request, int *sequence) {
    struct remote_engine *remote = (struct remote_engine *)engine;
    int number = find_free_sequence(remote);
    uint64_t now_ns = plat_clock_ns();
    if (number < 0) {
        say(remote, "all %d answers at a time are in use", engine->facts.n_sequences);
        return ENGINE_E_BUSY;
    }
    if (request->n_resumed > 0) {
        say(remote, "the host's worker died in the middle of this answer, and a remote server cannot go on with one: it ends here");
        return ENGINE_E_RESUMED;
    }
    struct answer *answer = &remote->answers[number];
    forget(answer); /* the last one's texts could be read until now */
    char message[ENGINE_MESSAGE_SIZE];
    int error = body_write(request, remote->options.model, &answer->body, message, sizeof message);
    answer->server = first_server(remote, now_ns);
    if (error == ENGINE_OK && request->n_predict != 0 && !ask(remote, answer)) {
        error = ENGINE_E_NO_MEMORY;
        snprintf(message, sizeof message, "not enough memory for a request");
    }
    if (error < 0) {
        forget(answer);
        say(remote, "%s", message);
        return error;
    }
    answer->is_running = true;
    answer->n_predict = request->n_predict;
    answer->admitted_ns = now_ns;
    answer->request = *request;
    *sequence = number;
    return ENGINE_OK;
}

/* The server has the template. */
static int remote_render(engine *engine, const engine_request *request, char **json) {
    (void)request;
    *json = NULL;
    say((struct remote_engine *)engine, "a remote server does not tell what it makes of a request");
    return ENGINE_E_DOCUMENT;
}

/* ---- how answers end ----------------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *word, const char *const *words) {
    while (*words && strcmp(word, *words) != 0) words++;
    return *words != NULL;
}

/* The server has said how the answer ends, and nothing more comes. */
static engine_end conclude(struct remote_engine *remote, struct answer *answer, engine_progress *entry) {
    static const char *const good[] = {"stop", "tool_calls", "function_call", "eos_token", "stop_sequence", NULL};
    const chunks *chunks = &answer->chunks;
    const char *finish = chunks->finish;
    if (!finish[0]) return fail(remote, answer, ENGINE_END_FAILED, "the answer breaks off: its end was never said", "");
    if (strcmp(finish, "length") == 0) {
        bool is_ours = answer->n_predict >= 0 && (!chunks->has_usage || chunks->n_completion >= answer->n_predict);
        return is_ours ? ENGINE_END_LIMIT : ENGINE_END_CONTEXT;
    }
    if (strcmp(finish, "content_filter") == 0)
        return fail(remote, answer, ENGINE_END_FAILED, "the server's content filter has cut the answer", "");
    if (!is_one_of(finish, good)) return fail(remote, answer, ENGINE_END_FAILED, "the server has ended the answer", finish);
    switch (chunks_complete(&answer->chunks)) {
    case CHUNK_WRONG: return fail(remote, answer, ENGINE_END_FAILED, "the answer cannot be used", chunks->message);
    case CHUNK_PIECE:
        entry->deltas = chunks->deltas;
        entry->n_deltas = chunks->n_deltas;
        break;
    default: break;
    }
    return ENGINE_END_TURN;
}

/* A whole reply that is no answer. */
static engine_end refuse(struct remote_engine *remote, struct answer *answer, const transfer_head *head) {
    char text[256], what[128], type[sizeof head->type];
    chunk_error_text(answer->refusal.text ? answer->refusal.text : "", answer->refusal.n_bytes, remote->key, text, sizeof text);
    int status = head->status;
    if (status >= 200 && status < 300) {
        memcpy(type, head->type, sizeof type);
        type[secret_remove(remote->key, type, strlen(type))] = 0;
        snprintf(what, sizeof what, "sends '%s' and no event stream", type);
        return fail(remote, answer, ENGINE_END_FAILED, what, text);
    }
    if (status >= 300 && status < 400)
        return fail(remote, answer, ENGINE_END_FAILED, "leads to another address; give that one", "");
    if (status == 401 || status == 403)
        return fail(remote, answer, ENGINE_END_FAILED, remote->key ? "does not accept the key" : "wants a key (--api-key-file)", text);
    snprintf(what, sizeof what, "refuses the request with status %d", status);
    if (status == 400 || status == 413 || status == 422) return fail(remote, answer, ENGINE_END_REFUSED, what, text);
    fail(remote, answer, ENGINE_END_FAILED, what, text);
    bool may_pass = status == 408 || status == 429 || status >= 500;
    return may_pass && ask_again(remote, answer, false, head->retry_after_s) ? ENGINE_END_NONE : ENGINE_END_FAILED;
}

/* Nothing more comes from the connection. */
static engine_end end_transfer(struct remote_engine *remote, struct answer *answer, const transfer_result *result,
                               engine_progress *entry) {
    const transfer_head *head = transfer_head_of(answer->transfer);
    bool is_answer = head->status == 200 && answer->refusal.n_bytes == 0;
    if (is_answer && answer->chunks.finish[0]) return conclude(remote, answer, entry);
    if (!result->has_failed && !is_answer) return refuse(remote, answer, head);
    if (answer->has_begun) return fail(remote, answer, ENGINE_END_FAILED, "the answer breaks off", result->has_failed ? result->message : "its end was never said");
    fail(remote, answer, ENGINE_END_FAILED, head->status ? "the answer breaks off" : "does not answer",
         result->has_failed ? result->message : "the stream is empty");
    return ask_again(remote, answer, result->is_hopeless, head->retry_after_s) ? ENGINE_END_NONE : ENGINE_END_FAILED;
}

/* When no more is waited for: what counts is what is shown, so that nobody can hold an answer with comments or empty events. */
static uint64_t patience_ends_ns(const struct remote_engine *remote, const struct answer *answer) {
    if (answer->settled_ns > 0) return answer->settled_ns + SETTLED_NS;
    return answer->heard_ns + (uint64_t)remote->options.idle_timeout_s * 1000000000u;
}

static engine_end give_up(struct remote_engine *remote, struct answer *answer, engine_progress *entry) {
    char why[64];
    if (answer->chunks.finish[0]) return conclude(remote, answer, entry);
    if (answer->settled_ns > 0) return refuse(remote, answer, transfer_head_of(answer->transfer));
    snprintf(why, sizeof why, "nothing came for %d s", remote->options.idle_timeout_s);
    fail(remote, answer, ENGINE_END_FAILED, answer->has_begun ? "the answer breaks off" : "does not answer", why);
    if (answer->has_begun) return ENGINE_END_FAILED;
    return ask_again(remote, answer, true, -1) ? ENGINE_END_NONE : ENGINE_END_FAILED;
}

/* ---- the last resort --------------------------------------------------------------------------------------------------- */

/* Whether it makes an answer that no server has begun. The message says why none has. */
static bool hand_over(struct remote_engine *remote, struct answer *answer) {
    if (!remote->options.last_resort || answer->has_begun || answer->is_handed_over) return false;
    size_t n = strlen(remote->base.message);
    snprintf(remote->base.message + n, sizeof remote->base.message - n, "; the model here answers");
    log_message(remote, 1);
    transfer_drop(answer->transfer);
    answer->transfer = NULL;
    answer->is_handed_over = true;
    answer->local = -1;
    return true;
}

/* There is a free sequence: the answer is due only then. */
static engine_end begin_local(struct remote_engine *remote, struct answer *answer) {
    engine *local = remote->options.last_resort;
    int error = engine_admit(local, &answer->request, &answer->local);
    if (error == ENGINE_OK) {
        remote->by_local[answer->local] = (int)(answer - remote->answers);
        remote->n_local++;
        return ENGINE_END_NONE;
    }
    answer->local = -1;
    say(remote, "%s", local->message);
    return error == ENGINE_E_NO_MEMORY ? ENGINE_END_FAILED : ENGINE_END_REFUSED;
}

/* The engine's message is about this answer. Others may end in the same step, with theirs. */
static void keep_message(struct remote_engine *remote, struct answer *answer, engine_progress *entry) {
    if (entry->end != ENGINE_END_FAILED && entry->end != ENGINE_END_REFUSED) return;
    memcpy(answer->message, remote->base.message, sizeof answer->message);
    entry->message = answer->message;
}

static size_t step_local(struct remote_engine *remote, engine_progress *progress) {
    engine *local = remote->options.last_resort;
    size_t n_moved = remote->n_local > 0 ? engine_step(local, progress) : 0;
    for (size_t i = 0; i < n_moved; i++) {
        engine_progress *entry = &progress[i];
        entry->sequence = remote->by_local[entry->sequence];
        if (entry->end == ENGINE_END_NONE) continue;
        if (entry->end == ENGINE_END_FAILED || entry->end == ENGINE_END_REFUSED) say(remote, "%s", entry->message ? entry->message : local->message);
        keep_message(remote, &remote->answers[entry->sequence], entry);
        remote->answers[entry->sequence].is_running = false;
        remote->n_local--;
    }
    return n_moved;
}

/* ---- stepping -------------------------------------------------------------------------------------------------------------- */

static void take_piece(struct answer *answer, engine_progress *entry) {
    const chunks *chunks = &answer->chunks;
    if (answer->first_token_ns == 0) answer->first_token_ns = plat_clock_ns();
    answer->has_begun = true;
    answer->n_tokens++;
    entry->text = chunks->text;
    entry->n_bytes = chunks->n_bytes;
    entry->deltas = chunks->deltas;
    entry->n_deltas = chunks->n_deltas;
    entry->logprob = chunks->logprob;
    entry->has_token = true;
    entry->token = TOKEN_UNKNOWN;
}

/* A server that knows no limit is ended where ours is: by its own count, if it sends one with each piece. */
static bool is_beyond_limit(const struct answer *answer) {
    if (answer->n_predict < 0) return false;
    return answer->chunks.n_completion > 0 ? answer->chunks.n_completion > answer->n_predict : answer->n_tokens >= answer->n_predict;
}

static engine_end take_event(struct remote_engine *remote, struct answer *answer, engine_progress *entry) {
    const events *events = &answer->events;
    chunk_found found = chunks_read(&answer->chunks, events->data, events->n_data);
    if (found == CHUNK_PIECE) answer->heard_ns = plat_clock_ns();
    if (answer->chunks.finish[0] && answer->settled_ns == 0) answer->settled_ns = plat_clock_ns();
    switch (found) {
    case CHUNK_NOTHING: return ENGINE_END_NONE;
    case CHUNK_PIECE:
        if (is_beyond_limit(answer)) return ENGINE_END_LIMIT;
        take_piece(answer, entry);
        return ENGINE_END_NONE;
    case CHUNK_DONE: return conclude(remote, answer, entry);
    case CHUNK_WRONG: break;
    }
    return fail(remote, answer, ENGINE_END_FAILED, "the answer breaks off", answer->chunks.message);
}

/* What came in place of an answer. Returns whether there may be more: of what a sentence needs. */
static bool keep_refusal(struct answer *answer, const char *bytes, size_t n_bytes) {
    size_t room = REFUSAL_MOST - answer->refusal.n_bytes;
    if (answer->settled_ns == 0) answer->settled_ns = plat_clock_ns();
    json_put(&answer->refusal, bytes, n_bytes < room ? n_bytes : room);
    return answer->refusal.n_bytes < REFUSAL_MOST && !answer->refusal.has_failed;
}

static bool is_event_stream(const transfer_head *head) {
    return head->status == 200 && strcmp(head->type, "text/event-stream") == 0;
}

/* Reads what has come, up to a piece of the answer or its end. */
static engine_end read_on(struct remote_engine *remote, struct answer *answer, engine_progress *entry) {
    size_t n_read = 0;
    while (n_read < BYTES_IN_STEP) {
        size_t n_bytes, n_used;
        const char *bytes = transfer_bytes(answer->transfer, &n_bytes);
        if (n_bytes == 0) {
            const transfer_result *result = transfer_result_of(answer->transfer);
            if (result) return end_transfer(remote, answer, result, entry);
            break;
        }
        const transfer_head *head = transfer_head_of(answer->transfer);
        if (!is_event_stream(head)) {
            if (!keep_refusal(answer, bytes, n_bytes)) return refuse(remote, answer, head);
            transfer_take(answer->transfer, n_bytes);
            n_read += n_bytes;
            continue;
        }
        events_found found = events_read(&answer->events, bytes, n_bytes, &n_used);
        transfer_take(answer->transfer, n_used);
        n_read += n_used;
        if (found == EVENTS_TOO_LONG) return fail(remote, answer, ENGINE_END_FAILED, "the answer breaks off", "an event is too long");
        if (found == EVENTS_NO_MEMORY) return fail(remote, answer, ENGINE_END_FAILED, "not enough memory for an event", "");
        engine_end end = found == EVENTS_EVENT ? take_event(remote, answer, entry) : ENGINE_END_NONE;
        if (end != ENGINE_END_NONE || entry->has_token) return end;
    }
    return plat_clock_ns() < patience_ends_ns(remote, answer) ? ENGINE_END_NONE : give_up(remote, answer, entry);
}

/* What was read to its end, so that its connection can be used again, or is not wanted any more. */
static void let_go(struct answer *answer, engine_end end) {
    if (end == ENGINE_END_TURN || end == ENGINE_END_LIMIT || end == ENGINE_END_CONTEXT) transfer_leave(answer->transfer);
    else transfer_drop(answer->transfer);
    answer->transfer = NULL;
    answer->is_running = false;
}

static void count(const struct answer *answer, uint64_t now_ns, engine_progress *entry) {
    entry->n_tokens = answer->n_tokens;
    entry->n_prompt = entry->n_prompt_done = answer->chunks.n_prompt;
    entry->n_cached = answer->chunks.n_cached;
    entry->prompt_ns = (answer->first_token_ns ? answer->first_token_ns : now_ns) - answer->admitted_ns;
    entry->generate_ns = answer->first_token_ns ? now_ns - answer->first_token_ns : 0;
}

/* Fills in all of *entry. Returns false if there is nothing to tell. */
static bool advance(struct remote_engine *remote, int sequence, bool is_interrupted, engine_progress *entry) {
    struct answer *answer = &remote->answers[sequence];
    *entry = (engine_progress){.sequence = sequence, .text = "", .logprob = NAN};
    if (is_interrupted || answer->is_cancelled) {
        entry->end = ENGINE_END_CANCELLED;
    } else if (answer->n_predict == 0) {
        entry->end = ENGINE_END_LIMIT;
    } else if (answer->is_handed_over) {
        entry->end = begin_local(remote, answer);
    } else if (answer->transfer) {
        entry->end = read_on(remote, answer, entry);
    } else if (!ask(remote, answer)) {
        entry->end = fail(remote, answer, ENGINE_END_FAILED, "not enough memory to ask again", "");
    }
    if (entry->end == ENGINE_END_FAILED && hand_over(remote, answer)) entry->end = ENGINE_END_NONE;
    keep_message(remote, answer, entry);
    count(answer, plat_clock_ns(), entry);
    if (entry->end != ENGINE_END_NONE) let_go(answer, entry->end);
    return entry->has_token || entry->end != ENGINE_END_NONE;
}

static uint64_t due_ns(const struct remote_engine *remote, const struct answer *answer) {
    if (!answer->is_running || (answer->is_handed_over && answer->local >= 0)) return NOT_DUE;
    if (answer->is_cancelled || answer->n_predict == 0) return 0;
    if (answer->is_handed_over) return remote->n_local < remote->options.last_resort->facts.n_sequences ? 0 : NOT_DUE;
    if (!answer->transfer) return answer->again_ns;
    return transfer_has_news(answer->transfer) ? 0 : patience_ends_ns(remote, answer);
}

static size_t remote_step(engine *engine, engine_progress *progress) {
    struct remote_engine *remote = (struct remote_engine *)engine;
    bool is_interrupted = engine_is_interrupted(&remote->options.callbacks);
    uint64_t now_ns = plat_clock_ns();
    size_t n_moved = 0;
    for (int s = 0; s < engine->facts.n_sequences; s++) {
        struct answer *answer = &remote->answers[s];
        bool is_elsewhere = answer->is_handed_over && answer->local >= 0;
        bool is_due = due_ns(remote, answer) <= now_ns || (is_interrupted && answer->is_running && !is_elsewhere);
        if (is_due) n_moved += advance(remote, s, is_interrupted, &progress[n_moved]);
    }
    return n_moved + step_local(remote, progress + n_moved);
}

static uint64_t remote_next_step_ns(const engine *engine) {
    const struct remote_engine *remote = (const struct remote_engine *)engine;
    uint64_t next_ns = remote->n_local > 0 ? engine_next_step_ns(remote->options.last_resort) : NOT_DUE;
    for (int s = 0; s < engine->facts.n_sequences && next_ns > 0; s++) {
        uint64_t due = due_ns(remote, &remote->answers[s]);
        if (due < next_ns) next_ns = due;
    }
    return next_ns;
}

static void remote_cancel(engine *engine, int sequence) {
    struct remote_engine *remote = (struct remote_engine *)engine;
    if (sequence < 0 || sequence >= engine->facts.n_sequences) return;
    struct answer *answer = &remote->answers[sequence];
    if (answer->is_running && answer->is_handed_over && answer->local >= 0) engine_cancel(remote->options.last_resort, answer->local);
    else answer->is_cancelled = answer->is_running;
}

/* ---- opening and closing ----------------------------------------------------------------------------------------------------- */

static void remote_close(engine *engine) {
    struct remote_engine *remote = (struct remote_engine *)engine;
    for (int s = 0; remote->answers && s < engine->facts.n_sequences; s++) forget(&remote->answers[s]);
    network_close(remote->network);
    for (size_t i = 0; remote->servers && i < remote->n_servers; i++) {
        free(remote->servers[i].address);
        free(remote->servers[i].target);
    }
    engine_close(remote->options.last_resort);
    free(remote->servers);
    free(remote->answers);
    free(remote->by_local);
    free(remote->key);
    free(remote);
}

static const engine_operations operations = {
    .admit = remote_admit,
    .step = remote_step,
    .next_step_ns = remote_next_step_ns,
    .cancel = remote_cancel,
    .render = remote_render,
    .close = remote_close,
};

static bool is_secure(const char *address) {
    return strncmp(address, "https://", 8) == 0;
}

/* An address stands in logs, in the list of processes and in shared memory: nothing secret may be in it. */
static const char *wrong_with(const char *address) {
    if (!is_secure(address) && strncmp(address, "http://", 7) != 0) return "it must begin with http:// or https://";
    const char *host = strstr(address, "://") + 3;
    size_t n_host = strcspn(host, "/");
    if (n_host == 0) return "it names no server";
    if (memchr(host, '@', n_host)) return "a user or a password has no place there; use --api-key-file";
    if (strpbrk(host, "?#")) return "a '?' or '#' has no place there";
    for (const char *at = host; *at; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7F) return "it has characters that no address has";
    return strlen(address) > ADDRESS_MOST ? "it is too long" : NULL;
}

/* As clients of that protocol take a base address: one without a path is the server's, and its protocol lies below /v1. */
static char *target_of(const char *address) {
    static const char tail[] = "/chat/completions";
    size_t n = strlen(address), n_tail = sizeof tail - 1;
    const char *path = strchr(strstr(address, "://") + 3, '/');
    while (n > 0 && address[n - 1] == '/') n--;
    char *target = malloc(n + n_tail + 8);
    if (!target) return NULL;
    bool is_whole = n > n_tail && memcmp(address + n - n_tail, tail, n_tail) == 0;
    bool is_bare = !path || n <= (size_t)(path - address);
    sprintf(target, "%.*s%s%s", (int)n, address, is_bare ? "/v1" : "", is_whole ? "" : tail);
    return target;
}

/* Its whole name counts: 127.example.org is another machine. */
static bool is_this_machine(const char *address) {
    const char *host = strstr(address, "://") + 3;
    size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    bool is_number = strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n;
    return is_number || (n == 9 && strncasecmp(host, "localhost", n) == 0) || (n == 5 && strncmp(host, "[::1]", n) == 0);
}

/* Without TLS a proxy would read the key; and a server here is never behind one. */
static bool needs_direct_way(const struct remote_engine *remote, const char *address) {
    return is_this_machine(address) || (remote->options.key && !is_secure(address));
}

static int out_of_memory(struct remote_engine *remote) {
    say(remote, "not enough memory for the engine");
    return ENGINE_E_NO_MEMORY;
}

static int open_servers(struct remote_engine *remote) {
    const remote_engine_options *options = &remote->options;
    remote->servers = calloc(options->n_addresses, sizeof *remote->servers);
    if (!remote->servers) return out_of_memory(remote);
    remote->n_servers = options->n_addresses;
    for (size_t i = 0; i < options->n_addresses; i++) {
        const char *address = options->addresses[i], *wrong = wrong_with(address);
        struct server *server = &remote->servers[i];
        if (wrong) {
            say(remote, "'%.200s' is no address of a server: %s", strpbrk(address, "@?#") ? "..." : address, wrong);
            return ENGINE_E_OPTION;
        }
        server->address = strdup(address);
        server->target = target_of(address);
        if (!server->address || !server->target) return out_of_memory(remote);
        server->is_direct = needs_direct_way(remote, address);
        if (!options->key || is_secure(address) || is_this_machine(address)) continue;
        say(remote, "%s: the key and all conversations go there without encryption; use https://", address);
        log_message(remote, 1);
    }
    return ENGINE_OK;
}

static int open_network(struct remote_engine *remote) {
    const remote_engine_options *options = &remote->options;
    char message[ENGINE_MESSAGE_SIZE];
    const network_options wanted = {
        .key = remote->key,
        .certificates = options->certificates,
        .connect_timeout_ms = options->connect_timeout_s * 1000,
        .on_news = options->callbacks.on_news,
        .user_data = options->callbacks.user_data,
    };
    remote->network = network_open(&wanted, message, sizeof message);
    if (remote->network) return ENGINE_OK;
    say(remote, "%s", message);
    return ENGINE_E_LIBRARY;
}

static void collect_facts(struct remote_engine *remote) {
    engine_model_facts *facts = &remote->base.facts;
    const remote_engine_options *options = &remote->options;
    snprintf(facts->description, sizeof facts->description, "%s at %s", options->model ? options->model : "a model", options->addresses[0]);
    facts->description[utf8_whole_prefix(facts->description, strlen(facts->description))] = 0;
    snprintf(facts->template_name, sizeof facts->template_name, "the server's");
    facts->n_progress = facts->n_sequences + (options->last_resort ? options->last_resort->facts.n_progress : 0);
    facts->n_threads = 1;
    facts->counts_prompt_last = true;
}

/* Every request that says nothing would be refused. */
static int check_usual(struct remote_engine *remote) {
    const char *unknown = remote->options.usual ? body_find_unknown(remote->options.usual) : NULL;
    if (!unknown) return ENGINE_OK;
    snprintf(remote->base.message, sizeof remote->base.message,
             "the parameter '%s' has no place in a request to a remote server; leave it out of the host's options", unknown);
    return ENGINE_E_OPTION;
}

int remote_engine_open(const remote_engine_options *options, engine **result, char *message, size_t message_size) {
    *result = NULL;
    struct remote_engine *remote = calloc(1, sizeof *remote);
    if (!remote) {
        engine_close(options->last_resort);
        snprintf(message, message_size, "not enough memory for the engine");
        return ENGINE_E_NO_MEMORY;
    }
    remote->base.operations = &operations;
    remote->base.facts.n_sequences = options->n_sequences > 0 ? options->n_sequences : 1;
    remote->options = *options;
    collect_facts(remote);
    remote->answers = calloc((size_t)remote->base.facts.n_sequences, sizeof *remote->answers);
    remote->key = options->key ? strdup(options->key) : NULL;
    remote->by_local = calloc(options->last_resort ? (size_t)options->last_resort->facts.n_sequences : 1, sizeof *remote->by_local);
    int error = remote->answers && remote->by_local && (remote->key || !options->key) ? check_usual(remote) : out_of_memory(remote);
    if (error == ENGINE_OK) error = open_servers(remote);
    if (error == ENGINE_OK) error = open_network(remote);
    if (error < 0) {
        snprintf(message, message_size, "%s", remote->base.message);
        remote_close(&remote->base);
        return error;
    }
    *result = &remote->base;
    return ENGINE_OK;
}
