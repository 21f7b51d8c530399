/* engine.h - what the host asks of a language model. The engine knows nothing of shared memory, the host nothing of
 * libllama.
 *
 * An engine makes up to n_sequences answers at a time; each step moves every one of them on by one token, or by a chunk of its
 * prompt. There are three: llama/ evaluates a model, remote/ asks a server, replay.c plays a text. Each is a table of
 * functions behind the same handle.
 *
 * One thread owns an engine: every function is called from it. Callbacks run in it or, while it is inside one of these
 * functions, in threads of the engine's, several at a time; on_news at any time.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "lipc/parameters.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum engine_error {
    ENGINE_OK = 0,
    ENGINE_E_MODEL_MISSING = -1, /* no such file, or it cannot be read */
    ENGINE_E_MODEL_BAD = -2,     /* not a model, truncated, or of a kind this library does not know */
    ENGINE_E_CONTEXT = -3,       /* the context does not fit into memory */
    ENGINE_E_ABORTED = -4,       /* `interrupted` said so while loading */
    ENGINE_E_BUSY = -5,          /* all sequences are in use */
    ENGINE_E_TOO_LONG = -6,      /* the prompt leaves no room in the context */
    ENGINE_E_EVALUATION = -7,    /* the library failed while evaluating */
    ENGINE_E_NO_MEMORY = -8,
    ENGINE_E_GRAMMAR = -9,       /* the grammar is not valid, or this engine has none */
    ENGINE_E_RESUMED = -10,      /* the resumed tokens cannot be of this engine */
    ENGINE_E_LIBRARY = -11,      /* the library lacks what it needs on this machine */
    ENGINE_E_DOCUMENT = -12,     /* the document is not one, asks for what this engine or its model's template cannot do */
    ENGINE_E_PARAMETER = -13,    /* a sampling parameter makes no sense to this model */
    ENGINE_E_OPTION = -14,       /* an option names a device that is not there, or an address that is none */
    ENGINE_E_STATE = -15         /* nothing to save, or no place for it; or the file is not a state of this model and engine */
} engine_error;

#define ENGINE_MESSAGE_SIZE 512
#define ENGINE_SEQUENCES_DEFAULT 4

/* What both kinds of engine ask of their surroundings while they work. */
typedef struct engine_callbacks {
    /* Loading, in thousandths; called often, from 0 to 1000. */
    void (*on_load_progress)(void *user_data, int per_mille);
    /* Asked often, while loading and inside every evaluation: true drops the work at hand at once, and with it every
     * answer that is being made. Must be quick, and may not change what the owner works with. */
    bool (*interrupted)(void *user_data);
    /* A line of the library's own log without its newline; level 0 error, 1 warning, 2 information, 3 debugging. */
    void (*on_log)(void *user_data, int level, const char *line);
    /* So many layers lie on devices from now on; negative: that is not known yet, and their drivers are at work. */
    void (*on_device_layers)(void *user_data, int32_t n_layers);
    /* A device failed: its driver said so. What has to be evaluated again may be lost with it. If this returns, the answers that
     * are being made fail. */
    void (*on_device_failure)(void *user_data, const char *reason);
    /* A step has something to do that engine_next_step_ns did not foresee: of an engine that waits for others. In a thread of the
     * engine's, at any time until it is closed; must be quick. */
    void (*on_news)(void *user_data);
    void *user_data;
} engine_callbacks;

typedef struct engine_model_facts {
    char description[128]; /* architecture, size, type of weights, as the library words it */
    char template_name[32];/* "the model's own", "chatml", "plain", the name that was given, or "given" */
    uint32_t n_ctx;        /* tokens of context that each sequence has; 0: no limit (replay) */
    uint32_t n_ctx_trained;
    int32_t n_vocab;
    int32_t n_threads;     /* at most */
    int32_t n_sequences;   /* answers that can be made at a time */
    int32_t n_progress;    /* entries that a step fills at most */
    uint64_t n_parameters;
    uint64_t n_bytes;
    uint64_t file_sum;     /* the same for a file that is the same; 0: not known (replay) */
    int32_t n_layers;        /* with the output's, as -ngl counts them; 0: a replay has none */
    int32_t n_device_layers; /* ... of these on devices, which are not the processor */
    char devices[256];       /* which, and what lies there; or why none, if some were wanted */
    bool counts_prompt_last; /* how many tokens the prompt has is known when the answer ends, and not before */
} engine_model_facts;

/* Roles that every engine knows; others are refused before they get here. */
#define ENGINE_ROLES {"system", "user", "assistant"}

typedef struct engine_message {
    const char *role;
    const char *text;
} engine_message;

typedef struct engine_sampling {
    /* lipc/parameters.h says what they are. Each may be its mark of being left to the engine, which then takes what the model's
     * file recommends, or else the default. What looks at tokens before looks at those of the prompt, too. */
    LIPC_SAMPLING_MAP(LIPC_PARAMETER_FIELD)
    uint32_t seed;           /* with a token's place in the answer it decides the draw, whatever came before */
    bool is_seed_drawn;      /* nobody asked for this seed: it is a random one */
    bool ignore_eos;         /* the model cannot end its answer */
} engine_sampling;

typedef struct engine_request {
    const engine_message *messages; /* the conversation; or, with roles that these do not have, tools and the like: */
    size_t n_messages;
    /* NULL, or a JSON document in the form of docs/protocol.md, section "Documents": then there are no messages. A request
     * with plain messages is the same as a document with these messages. */
    const char *document;
    int32_t n_predict;   /* tokens of answer at most; negative: as many as fit */
    const char *grammar; /* GBNF with the rule "root" (see grammar.h); NULL or "": any text */
    bool wants_logprobs; /* engine_progress.logprob is filled in: one pass over the vocabulary for each token */
    engine_sampling sampling;
    /* Tokens that this answer already has, made by an engine that is gone. They are evaluated with the prompt, in its
     * chunks, and reported with is_resumed; then the answer goes on. n_predict and the context count them. Copied. */
    const int32_t *resumed;
    size_t n_resumed;
} engine_request;

typedef enum engine_end {
    ENGINE_END_NONE,      /* the answer goes on */
    ENGINE_END_TURN,      /* the model ended its answer */
    ENGINE_END_LIMIT,     /* n_predict tokens were made */
    ENGINE_END_CONTEXT,   /* the context is full */
    ENGINE_END_CANCELLED, /* engine_cancel, or `interrupted` */
    ENGINE_END_FAILED,    /* the library failed; engine_progress.message says how */
    ENGINE_END_REFUSED    /* the prompt cannot be answered; engine_progress.message says why */
} engine_end;

/* "end of turn", "token limit", ... : for people. */
const char *engine_end_text(engine_end end);

/* What an answer consists of. The answer itself is text; thoughts and calls lie beside it, in order. */
typedef enum engine_part_kind {
    ENGINE_PART_TEXT = 0,    /* never a delta of its own: engine_progress.text */
    ENGINE_PART_THOUGHT = 1,
    ENGINE_PART_CALL = 2     /* of a tool */
} engine_part_kind;

#define ENGINE_CALL_ID_MAX 255   /* bytes */
#define ENGINE_CALL_NAME_MAX 255

/* What a step adds to a part. A part grows until the next one begins or text comes, and is complete then: parts never
 * take turns. All is a function of the answer's tokens, so that a resumed one has the same. */
typedef struct engine_delta {
    engine_part_kind kind; /* THOUGHT or CALL */
    bool begins;           /* a part begins with this delta; otherwise it is the one before that grows */
    size_t n_before;       /* bytes of engine_progress.text that come before this delta; never falls from one to the next */
    const char *id;        /* of a call that begins: as the model wrote it; NULL or "": it wrote none */
    const char *name;      /* of a call that begins: the tool */
    const char *bytes;     /* a thought's text, or a call's arguments: whole valid UTF-8 characters, no zero byte, not
                              terminated. The arguments of a complete call are a JSON object */
    size_t n_bytes;        /* may be 0 where a part begins */
} engine_delta;

/* One of the likeliest tokens, whatever was chosen in its place. */
#define ENGINE_LIKELY_TEXT 23
typedef struct engine_likely {
    int32_t token;
    float logprob;  /* like engine_progress.logprob */
    size_t n_bytes; /* of its text, that of control tokens too */
    char text[ENGINE_LIKELY_TEXT]; /* as much of it as fits, any bytes, then zeroes */
} engine_likely;

/* What a step did for one sequence. */
typedef struct engine_progress {
    int sequence;
    const char *text;   /* new text of the answer, whole valid UTF-8 characters, no zero byte, not terminated; valid until
                           the next step, as all that `deltas` points to. Half a mark is held back. The entry that ends an
                           answer can have text and deltas without a token: what was held back until then */
    size_t n_bytes;     /* may be 0: a token can be part of a character, or of a mark */
    const engine_delta *deltas; /* what is new of thoughts and calls */
    size_t n_deltas;
    bool has_token;     /* a token was made in this step */
    bool is_resumed;    /* it is one of engine_request.resumed */
    int32_t token;      /* its id in the vocabulary; -1: that is not known, and it is a piece as a server sent it */
    float logprob;      /* natural logarithm of its probability under the model, before any sampling; NaN if not asked for */
    const engine_likely *likeliest; /* engine_sampling.n_probs of them, likeliest first, or fewer if no others are possible;
                           none beside a resumed token. Valid until the next step */
    size_t n_likeliest;
    int32_t n_tokens;   /* tokens of the answer so far, without the one that ends it */
    int32_t n_prompt;   /* tokens of the prompt */
    int32_t n_prompt_done;
    int32_t n_cached;   /* of these, tokens that the engine still had in memory and did not evaluate */
    uint64_t prompt_ns;   /* time from admission to the first token */
    uint64_t generate_ns; /* time from the first token to now */
    engine_end end;       /* other than NONE: the sequence is free again */
    const char *message;  /* why it FAILED or was REFUSED, valid until the next step; NULL: engine->message says it. Of several that
                             end in one step, each has its own */
} engine_progress;

typedef struct engine engine;

typedef struct engine_operations {
    int (*admit)(engine *engine, const engine_request *request, int *sequence);
    size_t (*step)(engine *engine, engine_progress *progress);
    uint64_t (*next_step_ns)(const engine *engine);
    void (*cancel)(engine *engine, int sequence);
    int (*render)(engine *engine, const engine_request *request, char **json);
    int (*save_state)(engine *engine, const engine_request *request, const char *path, char **json); /* NULL: it has no memory */
    int (*restore_state)(engine *engine, const char *path, char **json);
    void (*close)(engine *engine);
} engine_operations;

/* The part that every engine begins with. */
struct engine {
    const engine_operations *operations;
    engine_model_facts facts;
    char message[ENGINE_MESSAGE_SIZE];
};

/* ---- opening -------------------------------------------------------------------------------------------------------
 * On error *result is NULL and `message` (of `message_size` bytes) says what was wrong, with the values and what to do. */

/* Whether models think that can. The numbers are those of the host's --reasoning. */
typedef enum engine_thinking {
    ENGINE_THINKING_AUTO, /* as the model's file says (lipc.enable_thinking); otherwise it does */
    ENGINE_THINKING_ON,
    ENGINE_THINKING_OFF,
} engine_thinking;

typedef struct llama_engine_options {
    const char *model_path;
    uint32_t n_ctx;       /* tokens of context of each sequence; 0: as the model was trained, but at most n_ctx_limit */
    uint32_t n_ctx_limit; /* 0: no limit */
    int32_t n_sequences;  /* answers at a time; 0: up to ENGINE_SEQUENCES_DEFAULT, fewer if their caches are large */
    int32_t n_threads;    /* 0: one for each physical core, fewer while other programs use them */
    struct arguments *arguments; /* llama.cpp's own options (llama/common/arguments.h), which must outlive the engine; NULL: none */
    int32_t device_layers_most; /* layers on devices at most; negative: any number; 0: none, and no driver is started */
    bool may_lack_devices; /* one that the arguments name is gone: then all layers stay with the processor */
    int32_t n_batch;      /* tokens evaluated in one call, at most; 0: 2048 */
    int32_t n_ubatch;     /* ... and in one pass through the weights; 0: 512 */
    int32_t prefill_budget_ms; /* time that a batch may take in which answers get a token and prompts are read; 0: 100 ms, or
                             ten times what it takes without prompts; negative: whole batches of prompt */
    bool context_shift;   /* a full context gives up its older half, a conversation that does not fit its oldest messages;
                             false: both are an end */
    const char *chat_template;        /* NULL: the model's own; a name or a Jinja text, see llama/common/chat.h */
    const char *chat_template_kwargs; /* NULL, or a JSON object of further variables for it */
    const char *reasoning_format;     /* NULL or "auto": thoughts are told apart; "none": they stay in the text */
    engine_thinking thinking;         /* unless a request says otherwise */
    int32_t thinking_budget;          /* tokens of thoughts at most, likewise; 0: any number */
    bool is_repeatable;   /* each answer is evaluated by itself, its prompt from the beginning and in chunks of one size, and
                             each of its tokens alone: the same bytes, whatever is beside it, and also if it is resumed */
    bool no_warm_up;      /* the first request pays for reading the weights */
    const engine_sampling *usual; /* of requests that say nothing: an error here and now if this model cannot use it; NULL: unknown */
    engine_callbacks callbacks;
} llama_engine_options;

/* Loads the model and makes the context. Errors: MODEL_MISSING, MODEL_BAD, LIBRARY, CONTEXT, OPTION, ABORTED, NO_MEMORY. */
int llama_engine_open(const llama_engine_options *options, engine **result, char *message, size_t message_size);

/* Whether the library works on this machine and the model's file is whole, without reading its weights: quick for a model
 * of any size. Other engines may be open. Errors: MODEL_MISSING, MODEL_BAD, LIBRARY, NO_MEMORY. */
int llama_engine_check(const llama_engine_options *options, char *message, size_t message_size);

/* The file to open for a model's path, into `found`, of ENGINE_PATH_SIZE bytes at best: the path itself, or
 * what it links to where only that is named as a part of a model in parts, as files of download caches are linked to; of
 * those the first part. */
#define ENGINE_PATH_SIZE 8192
void engine_find_file(const char *path, char *found, size_t found_size);

/* Whether there is a file that can be read and begins as a model does, and all its parts are there: quicker still. Errors:
 * MODEL_MISSING, MODEL_BAD. */
int engine_check_file(const char *path, char *message, size_t message_size);

/* What tells a file from another one, or from what it was before. */
typedef struct engine_file_state {
    uint64_t inode, size;
    int64_t seconds, nanoseconds; /* of its last change */
    uint64_t sum;                 /* of all but the inode, and of its first 64 KB; 0: there is no such file */
} engine_file_state;

engine_file_state engine_file_look(const char *path);

/* Whether somebody wrote into the file that was there. One that was put in its place does not count: whoever has the first one
 * open keeps it. */
bool engine_file_has_changed(const char *path, const engine_file_state *known);

/* FNV-1a, continued. */
uint64_t engine_add_to_sum(uint64_t sum, const void *bytes, size_t n_bytes);

/* A sum of what is in the model's files, all its parts, that is the same for a copy: of their sizes, their beginnings and samples
 * of the rest. 0: they cannot be read. */
uint64_t engine_content_sum(const char *path);

typedef struct replay_engine_options {
    const char *text_path;
    double tokens_per_second; /* of each sequence; 0: as fast as possible */
    int32_t n_sequences;
    uint32_t n_ctx;           /* tokens of prompt and answer together; 0: no limit */
    engine_callbacks callbacks;
} replay_engine_options;

/* Reads the text. Errors: MODEL_MISSING (no such file), MODEL_BAD (not UTF-8, or empty), NO_MEMORY. */
int replay_engine_open(const replay_engine_options *options, engine **result, char *message, size_t message_size);

typedef struct remote_engine_options {
    const char *const *addresses; /* of servers, "http://host:8080" or "https://host/v1": asked in this order; at least one */
    size_t n_addresses;
    const char *model;        /* as the servers call it; NULL: their only one */
    const char *key;          /* what they want to see; NULL: nothing. In no message, log or fact */
    const char *certificates; /* a file of those that are trusted; NULL: the system's */
    int32_t n_sequences;
    int32_t connect_timeout_s;
    int32_t idle_timeout_s;   /* a server that sends nothing of an answer for so long has failed */
    const engine_sampling *usual; /* of requests that say nothing: an error here and now if it has no place in the protocol; NULL: unknown */
    engine *last_resort;      /* NULL: none. It makes the answers that no server begins, and is closed with this one, also if opening this
                                 one fails. What a request points to must then live until its answer ends */
    engine_callbacks callbacks; /* with on_news */
} remote_engine_options;

/* Asks no server yet. The texts must outlive the engine. Errors: OPTION (an address is none), LIBRARY (there is no libcurl),
 * NO_MEMORY. */
int remote_engine_open(const remote_engine_options *options, engine **result, char *message, size_t message_size);

/* The version of the inference library. Static. */
const char *llama_engine_library_version(void);

/* ---- working ------------------------------------------------------------------------------------------------------- */

/* Begins an answer in a free sequence, *sequence; the texts are copied. A long prompt is looked at beside the next steps, and
 * what is an error here is then its end, REFUSED. Errors: BUSY, TOO_LONG, GRAMMAR, DOCUMENT, PARAMETER,
 * EVALUATION (the library refuses the text), RESUMED, NO_MEMORY; engine->message then says why. */
static inline int engine_admit(engine *engine, const engine_request *request, int *sequence) {
    return engine->operations->admit(engine, request, sequence);
}

/* Moves all admitted answers on, and fills an entry of `progress` (room for facts.n_progress) for each that moved, or one
 * for each token if an answer got several: these follow each other, and only the last has an end. Returns their number;
 * 0 also while all that is admitted are long prompts that still become tokens. */
static inline size_t engine_step(engine *engine, engine_progress *progress) {
    return engine->operations->step(engine, progress);
}

/* When the next step has something to do, on plat_clock_ns; 0: at once; UINT64_MAX: nothing is admitted. A step that
 * comes earlier returns 0. */
static inline uint64_t engine_next_step_ns(const engine *engine) {
    return engine->operations->next_step_ns(engine);
}

/* The answer ends with the next step, which is due at once. Does nothing if the sequence is free. */
static inline void engine_cancel(engine *engine, int sequence) {
    engine->operations->cancel(engine, sequence);
}

/* What the request becomes before it is evaluated, as a JSON document that the caller frees:
 * {"text": "...", "tokens": [{"id": 1, "text": "...", "is_control": false, "is_input": true}, ...]}; is_input: the token is
 * of what a user, tool or document wrote, not of the template. Evaluates nothing, needs no free sequence. Errors: DOCUMENT,
 * TOO_LONG, EVALUATION, NO_MEMORY; *json is NULL then, and engine->message says why. */
static inline int engine_render(engine *engine, const engine_request *request, char **json) {
    return engine->operations->render(engine, request, json);
}

/* Writes what the engine remembers of the request's conversation, and what it remembers beyond that of the same sequence, into
 * the file `path`: all of it, or what was there before. It replaces nothing but a saved state. *json, which the caller frees:
 * {"tokens":N,"bytes":N}. Takes as long as writing the file. Errors: STATE, DOCUMENT, TOO_LONG, EVALUATION, NO_MEMORY; *json is
 * NULL then, and engine->message says why. */
int engine_save_state(engine *engine, const engine_request *request, const char *path, char **json);

/* Reads it back, in place of the free sequence that was used longest ago: a prompt that begins with the same tokens need not
 * evaluate them. Errors: STATE (also what is damaged, or of another model or library), BUSY, EVALUATION, NO_MEMORY; likewise. */
int engine_restore_state(engine *engine, const char *path, char **json);

/* NULL allowed. */
static inline void engine_close(engine *engine) {
    if (engine) engine->operations->close(engine);
}

/* ---- for engines ---------------------------------------------------------------------------------------------------- */

/* Whether as many resumed tokens can belong to an answer to this prompt, in a context that is shifted when it is full or
 * not. Errors: RESUMED, and engine->message says why. */
int engine_check_resumed(engine *engine, const engine_request *request, int32_t n_prompt, bool can_shift);

static inline bool engine_is_interrupted(const engine_callbacks *callbacks) {
    return callbacks->interrupted && callbacks->interrupted(callbacks->user_data);
}

#endif
