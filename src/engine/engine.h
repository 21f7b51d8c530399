/* engine.h - what the host asks of a language model. The engine knows nothing of shared memory, the host nothing of
 * libllama.
 *
 * One thread owns an engine: every function is called from it, and callbacks run in it. One answer is made at a time;
 * each step moves it on by one token or by one bounded slice of its prompt.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum engine_error {
    ENGINE_OK = 0,
    ENGINE_E_MODEL_MISSING = -1, /* no such file, or it cannot be read */
    ENGINE_E_MODEL_BAD = -2,     /* not a model, truncated, or of a kind this library does not know */
    ENGINE_E_CONTEXT = -3,       /* the context does not fit into memory */
    ENGINE_E_ABORTED = -4,       /* `interrupted` said so while loading */
    ENGINE_E_BUSY = -5,          /* an answer is being made */
    ENGINE_E_TOO_LONG = -6,      /* the prompt leaves no room in the context */
    ENGINE_E_EVALUATION = -7,    /* the library failed while evaluating */
    ENGINE_E_NO_MEMORY = -8
} engine_error;

#define ENGINE_SEED_RANDOM UINT32_MAX

typedef struct engine_options {
    const char *model_path;
    uint32_t n_ctx;       /* tokens of context; 0: as the model was trained, but at most n_ctx_limit */
    uint32_t n_ctx_limit; /* 0: no limit */
    int32_t n_threads;    /* 0: one for each physical core; for a small model one */
    int32_t n_gpu_layers; /* layers to offload where a device is found; negative: all */

    /* Loading, in thousandths; called often, from 0 to 1000. */
    void (*on_load_progress)(void *user_data, int per_mille);
    /* Asked often, while loading and inside every evaluation: true drops the work at hand at once. Must be quick. */
    bool (*interrupted)(void *user_data);
    /* A line of the library's own log without its newline; level 0 error, 1 warning, 2 information, 3 debugging. */
    void (*on_log)(void *user_data, int level, const char *line);
    void *user_data;
} engine_options;

typedef struct engine_model_facts {
    char description[128]; /* architecture, size, type of weights, as the library words it */
    char template_name[32];/* "the model's own", "chatml" or "plain" */
    uint32_t n_ctx;        /* tokens of context there are */
    uint32_t n_ctx_trained;
    int32_t n_vocab;
    int32_t n_threads;
    uint64_t n_parameters;
    uint64_t n_bytes;
} engine_model_facts;

typedef struct engine_message {
    const char *role; /* "system", "user", "assistant" */
    const char *text;
} engine_message;

typedef struct engine_sampling {
    float temperature; /* 0 or less: always the likeliest token */
    float min_p;       /* 0: off */
    float top_p;       /* 1: off */
    int32_t top_k;     /* 0: off */
    uint32_t seed;     /* ENGINE_SEED_RANDOM: another one each time */
    bool ignore_eos;   /* the model cannot end its answer */
} engine_sampling;

typedef struct engine_request {
    const engine_message *messages;
    size_t n_messages;
    int32_t n_predict; /* tokens of answer at most; negative: as many as fit */
    engine_sampling sampling;
} engine_request;

typedef enum engine_end {
    ENGINE_END_NONE,      /* the answer goes on */
    ENGINE_END_TURN,      /* the model ended its answer */
    ENGINE_END_LIMIT,     /* n_predict tokens were made */
    ENGINE_END_CONTEXT,   /* the context is full */
    ENGINE_END_CANCELLED, /* engine_cancel, or `interrupted` */
    ENGINE_END_FAILED     /* the library failed; engine_message_text says how */
} engine_end;

/* "end of turn", "token limit", ... : for people. */
const char *engine_end_text(engine_end end);

/* What a step made. */
typedef struct engine_progress {
    const char *text; /* new text, whole valid UTF-8 characters, no zero byte, not terminated; valid until the next
                         step */
    size_t n_bytes;   /* may be 0: a token can be part of a character */
    bool has_token;   /* a token was made in this step */
    int32_t n_tokens; /* tokens of the answer so far, without the one that ends it */
    int32_t n_prompt; /* tokens of the prompt */
    int32_t n_prompt_done;
    uint64_t prompt_ns;   /* time from admission to the first token */
    uint64_t generate_ns; /* time from the first token to now */
    engine_end end;
} engine_progress;

typedef struct engine engine;

/* The version of the inference library. Static. */
const char *engine_library_version(void);

/* Loads the model and makes the context. On error *result is NULL and `message` (of `message_size` bytes) says what was
 * wrong, with the values and what to do. Errors: MODEL_MISSING, MODEL_BAD, CONTEXT, ABORTED, NO_MEMORY. */
int engine_open(const engine_options *options, engine **result, char *message, size_t message_size);

const engine_model_facts *engine_facts(const engine *engine);

/* Begins an answer; the texts are copied. Errors: BUSY, TOO_LONG, EVALUATION (the library refuses the text), NO_MEMORY;
 * engine_message_text then says why. */
int engine_admit(engine *engine, const engine_request *request);

/* Moves the admitted answer on; *progress says how far. After an end other than NONE the next may be admitted. */
void engine_step(engine *engine, engine_progress *progress);

/* The answer ends with the next step. Does nothing if there is none. */
void engine_cancel(engine *engine);

/* Why the last engine_admit or engine_step failed: one sentence with values. Valid until the next call. */
const char *engine_message_text(const engine *engine);

/* NULL allowed. */
void engine_close(engine *engine);

#endif
