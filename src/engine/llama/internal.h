/* internal.h - what the files of the engine on libllama share; nobody else includes it, and nobody else llama.h.
 *
 *     engine.c        opening, admitting, cancelling, closing: engine.h's table of functions
 *     model.c         loading: backends, model, context
 *     pool.c          the threads that evaluate
 *     threads.c       how many of them, beside other programs
 *     prepare.c       what is asked becomes an answer to begin with, long prompts in a thread
 *     devices.c       layers that lie elsewhere than with the processor
 *     conversation.c  messages become the tokens of a prompt
 *     cells.c         what the library's memory holds, and where a new prompt finds a beginning of itself
 *     adapters.c      LoRA adapters, and how strongly each counts for an answer
 *     memory.c        the library's memory: giving back, shifting, copying, checkpoints
 *     state.c         that memory in a file
 *     batch.c         what is evaluated together
 *     prefill.c       which prompts come next, and how many of their tokens
 *     steps.c         one batch: a token of every answer, and chunks of prompts
 *     choose.c        the next token: sampled, within a grammar, or resumed
 *     text.c          tokens become whole characters
 *     vocabulary.c    what the vocabulary's tokens say, for grammars
 *
 * One context, and one batch in each step: the weights are read once for all that is evaluated then, whether it makes tokens
 * or reads prompts. Only answers with other adapters are evaluated apart: they take turns.
 *
 * Rounding. The same request with the same seed gets the same draws (draw.h), whoever is beside it. But libllama's logits are
 * the same up to rounding only: how it rounds depends on the shape of a batch. So an answer that is taken up after a crash,
 * or made beside others, has the same distribution, and takes another course where two tokens are almost equally likely.
 * With is_repeatable every sequence is evaluated by itself, prompts from their beginning in chunks of one size, and each
 * token of an answer alone, also those that it already had: then it is the same to the last bit.
 */
#ifndef ENGINE_LLAMA_INTERNAL_H
#define ENGINE_LLAMA_INTERNAL_H

#include "cells.h"
#include "threads.h"

#include "../engine.h"
#include "../grammar.h"
#include "../sampler.h"
#include "../sampling.h"

#include "common/answer.h"
#include "common/arguments.h"
#include "common/backends.h"
#include "common/chain.h"
#include "common/chat.h"
#include "common/drafter.h"

#include "../../platform/platform.h"

#include <ggml-backend.h>
#include <llama.h>
#include <pthread.h>

/* What the library evaluates in one go, and how much of that in one call. */
#define UBATCH_DEFAULT 512
#define BATCH_DEFAULT 2048
/* A token's piece is rarely longer than a word; the buffer grows if a model has a longer one. */
#define PIECE_SIZE 256
/* Bytes of a character that is not complete yet. */
#define HELD_SIZE 4
/* Drafted tokens that are tried for an answer whose last ones were all wrong. */
#define DRAFT_LEAST 2
/* Checkpoints of a sequence: the last two turns of a conversation each leave one. */
#define CHECKPOINTS_MOST 2
/* A checkpoint is taken so many tokens before the end of a prompt: what asks for the answer may be written otherwise in the
 * conversation's next turn. */
#define CHECKPOINT_BEFORE_END 4

typedef struct ggml_threadpool *(*threadpool_new_fn)(struct ggml_threadpool_params *params);
typedef void (*threadpool_free_fn)(struct ggml_threadpool *pool);

/* One of the answers that can be made at a time. */
struct sequence {
    bool is_running;
    bool is_cancelled;
    bool wants_logprobs;
    int32_t n_probs;       /* the likeliest tokens that are told of beside each one; 0 or less: none */
    bool has_shifted;      /* cells were dropped to make room */
    bool is_unsettled;     /* it was refused before it got a place */
    int place;             /* its sequence in the library's memory */
    struct preparation *preparing; /* NULL: its prompt has become tokens, and it has its place */
    sampler *sampler;
    chain *chain;          /* llama.cpp's own samplers; NULL: what the sampler knows is enough */
    uint32_t seed;
    adapter_scales scales;
    struct grammar *grammar; /* NULL: any text */
    chat_prompt *rendered; /* what the prompt was made of */
    answer_reader *reader; /* tells the parts of the answer apart */
    llama_token *prompt;   /* and behind it the tokens that the answer already had */
    int32_t n_prompt;
    int32_t n_had;         /* the latter; those of a chain with a memory are chosen again, one by one */
    int32_t n_resumed;     /* ... and all others are read with the prompt: n_had, or 0 */
    int32_t n_prefilled;   /* of prompt and resumed ones, those that are evaluated, or that the memory held already */
    int32_t n_cached;      /* the latter */
    int32_t n_keep;        /* tokens of the prompt that a shift keeps */
    int32_t n_tokens;
    int32_t n_predict;
    int32_t n_worth;       /* drafted tokens that are worth while now; at first, and at least, DRAFT_LEAST */
    llama_token last;      /* chosen, not evaluated yet */
    int32_t n_in_batch;    /* tokens in the batch at hand, without drafted ones; 0: it is not in there */
    int32_t n_drafted;     /* rows behind `last` whose token may turn out right */
    int32_t first_row;     /* in the batch; the others follow */
    uint64_t waits_since;  /* whose prompt comes next: see comes_before() */
    uint64_t admitted_ns;
    uint64_t first_token_ns;
    char held[HELD_SIZE];  /* the beginning of a character whose end is in a later token */
    size_t n_held;
};

/* The state of a sequence behind its first n_tokens ones, where the library cannot go back to it. */
struct checkpoint {
    uint8_t *bytes; /* NULL: none */
    size_t n_bytes;
    int32_t n_tokens;
};

/* The text of one entry of a step. */
struct step_text {
    char *bytes;           /* what was said, marks and all */
    size_t size;
    answer_output *output; /* what is shown of it */
    engine_likely likeliest[LIPC_PROBS_MAX];
};

struct llama_engine {
    engine base;
    llama_engine_options options;
    char *path;                /* options.model_path, for good */
    char model_file[ENGINE_PATH_SIZE]; /* what is opened for options.model_path */
    struct llama_model *model;
    struct llama_model_params model_params; /* it was loaded with these */
    bool has_devices;          /* besides the processor, and may use them */
    uint64_t content_sum;      /* of that file; 0: not known yet, see state.c */
    engine_file_state file;    /* as it was when the model was loaded; the library reads weights out of it at any time */
    struct llama_context *context;
    struct threads_pool *pools; /* one for each number of threads that there has been; pool.c */
    struct ggml_threadpool *prompt_threadpool; /* NULL: the same */
    int32_t n_prompt_threads;
    threadpool_new_fn threadpool_new;   /* NULL: the library has no pools */
    threadpool_free_fn threadpool_free;
    thread_count threads;      /* that there are processors for; facts.n_threads at most */
    int n_threads_used;        /* now: one less while the tokenizer needs a processor */
    bool gave_one;             /* ... at some time since the last look at others */
    bool has_evaluated;        /* with the threads that there are now */
    bool makes_way;            /* ... and as many as others leave processors for */
    plat_load load;            /* as it was when that was looked at, at load_ns */
    uint64_t load_ns;
    uint64_t evaluated_ns;     /* when the last evaluation ended */
    struct llama_adapter_lora *adapters[ADAPTERS_MOST];
    size_t n_adapters;
    adapter_scales start_scales; /* where a request says nothing */
    adapter_scales scales;     /* of the context now */
    int turn;                  /* the sequence that they were chosen for last */
    drafter *drafter;          /* NULL: there are no drafts */
    int32_t n_draft;           /* drafted tokens of an answer, at most */
    struct llama_batch batch;
    int32_t n_batch, n_ubatch;
    const struct llama_vocab *vocab;
    engine_sampling recommended; /* by the model's file; complete */
    char recommended_order[256]; /* its samplers */
    chat *chat;
    bool can_rewind;           /* cells can be given back one by one; otherwise there are checkpoints, and no drafts */
    bool can_shift;            /* ... and moved, and the user wants that */
    struct sequence *sequences;
    cells *cells;              /* of each place */
    struct checkpoint (*checkpoints)[CHECKPOINTS_MOST];
    struct step_text *texts;   /* of each entry of a step */
    char (*messages)[ENGINE_MESSAGE_SIZE]; /* why the answer of each sequence failed: others may end in the same step */
    struct preparer *preparer; /* NULL: no prompt was long so far */
    size_t longest_piece;      /* bytes of a token of text, at most */
    int n_running;
    uint64_t n_turns;          /* admissions and chunks so far */
    bool has_begun_prompt;     /* the last chunk was the first one of its prompt */
    double answers_ns;         /* what a batch without chunks took lately */
    double row_ns;             /* what a row took lately in a batch with chunks and answers; 0: not known */

    token_tree *words;         /* what the tokens say that do not end an answer */
    llama_token *ends;         /* those that do */
    size_t n_ends;
    uint64_t *allowed;         /* a bit for each token */

    char *piece;               /* what a token's bytes are decoded into */
    size_t piece_size;

    /* The library's first line at error level: the cause, not its consequences. Its threads log at the same time. */
    pthread_mutex_t log_lock;
    char library_error[ENGINE_MESSAGE_SIZE];
    int last_per_mille;
};

/* ---- engine.c ---- */

__attribute__((format(printf, 2, 3))) void llama_say(struct llama_engine *engine, const char *format, ...);
void llama_log(const struct llama_engine *engine, int level, const char *line);
const char *llama_reason(const struct llama_engine *engine);

/* ---- model.c: each returns an engine_error, with a message ---- */

int model_load(struct llama_engine *engine);     /* backends, devices and model; fills in vocab */
int model_check(struct llama_engine *engine);    /* the same without the weights */
int model_context(struct llama_engine *engine);  /* number of sequences, context, threads, batch; the facts about them */
void model_close(struct llama_engine *engine);   /* what these have opened so far */

/* What the library is asked for: a context of n_ctx tokens for each of n_sequences. */
struct llama_context_params model_context_params(const struct llama_engine *engine, uint64_t n_ctx, uint32_t n_sequences);

/* False, and a message: somebody wrote into the model's file. What is evaluated then is not the model's. */
bool model_is_whole(struct llama_engine *engine);

/* ---- pool.c ---- */

void pool_open(struct llama_engine *engine);
/* Changes the number of threads to what other programs, looked at now and then, and the tokenizer leave. Between two evaluations. */
void pool_make_way(struct llama_engine *engine);
/* Behind the contexts that use them. */
void pool_close(struct llama_engine *engine);

/* ---- devices.c ---- */

/* Loads the library's parts for the processor and, if they may be used, for devices. Errors: LIBRARY, OPTION. */
int devices_open(struct llama_engine *engine);
/* Decides which layers of the model at hand go there, into model_params. */
void devices_choose_layers(struct llama_engine *engine);
/* The model could not be loaded. True: it had layers there, and shall be tried without. */
bool devices_give_up(struct llama_engine *engine);
/* The context is there: the facts about devices. */
void devices_fill_in_facts(struct llama_engine *engine, const struct llama_context_params *context);
/* Something failed that may have failed on a device: the owner hears of it, and may not return. */
void devices_report_failure(const struct llama_engine *engine, const char *reason);
/* The layers there, of a model that is loaded. */
int32_t devices_count_layers(const struct llama_engine *engine);
/* The draft model has been loaded: its layers count, too, when somebody looks for what killed this process. */
void devices_count_draft(const struct llama_engine *engine);

/* ---- vocabulary.c ---- */

/* Fills in words, ends and allowed. Errors: NO_MEMORY. */
int vocabulary_open(struct llama_engine *engine);
void vocabulary_close(struct llama_engine *engine);
void vocabulary_allow(struct llama_engine *engine, llama_token token, bool is_allowed);

/* ---- conversation.c ---- */

/* The model's chat template. Errors: MODEL_BAD. */
int conversation_open(struct llama_engine *engine);

/* Fills in sequence->rendered, prompt and n_keep. Errors: DOCUMENT, EVALUATION, TOO_LONG, NO_MEMORY. */
int conversation_tokenise(struct llama_engine *engine, struct sequence *sequence, const engine_request *request);

/* engine_render(). */
int conversation_show(struct llama_engine *engine, const engine_request *request, char **json);

/* ---- prepare.c ---- */

/* Makes an answer of the request. On error it may be half filled in. Errors: those of engine_admit. */
int prepare_answer(struct llama_engine *engine, struct sequence *answer, const engine_request *request);
/* Whether the model can use this for answers. Errors: OPTION, NO_MEMORY. */
int prepare_check_sampling(struct llama_engine *engine, const engine_sampling *sampling);
/* False, and a message: it has more tokens than the context, going by its bytes. */
bool prepare_fits(struct llama_engine *engine, const engine_request *request);
/* Whether it is short enough to be prepared at once. */
bool prepare_is_quick(const engine_request *request);
/* Else beside the steps. The request is copied. NULL: no memory. */
struct preparation *prepare_begin(struct llama_engine *engine, const engine_request *request);
bool prepare_is_done(const struct preparation *preparation);
/* Whether the texts that are to become tokens take longer than a step or two. */
bool prepare_needs_processor(const struct llama_engine *engine);
/* Frees it. Returns the error of prepare_answer, with its message. */
int prepare_take(struct llama_engine *engine, struct preparation *preparation, struct sequence *answer);
/* Until one is done, or some milliseconds. */
void prepare_wait(struct llama_engine *engine);
/* What a sequence holds. Nobody waits for its preparation any more. */
void prepare_release(struct sequence *sequence);
void prepare_close(struct llama_engine *engine);

/* ---- adapters.c ---- */

/* Loads those that the options name, and applies them. Errors: MODEL_MISSING, MODEL_BAD, OPTION. */
int adapters_load(struct llama_engine *engine);
/* What a request says of them: NULL, "ID:SCALE,...", or a JSON list as llama-server has it. Errors: PARAMETER. */
int adapters_read(struct llama_engine *engine, const char *text, adapter_scales *scales);
void adapters_use(struct llama_engine *engine, const adapter_scales *scales);
/* Whether the sequence can be evaluated with the scales that the context has. */
bool adapters_fit(const struct llama_engine *engine, const struct sequence *sequence);
/* Gives the context those of the next batch: all scales that answers have take turns. */
void adapters_take_turns(struct llama_engine *engine);

/* ---- memory.c: `place` is a sequence of the library's ---- */

/* Gives an answer its place. What is there already of its prompt stays; at least one token is evaluated: its logits are needed. */
void memory_settle(struct llama_engine *engine, struct sequence *answer);

/* Makes the memory hold what engine->cells knows of a sequence, and nothing else: after an evaluation that left more there. */
void memory_rewind(struct llama_engine *engine, int place);
/* Nothing of a sequence stays. */
void memory_forget(struct llama_engine *engine, int place);
/* Of what a sequence has, its first n_wanted tokens stay, or fewer if the library cannot go back to there. Returns how many. */
int32_t memory_keep(struct llama_engine *engine, int place, int32_t n_wanted);
/* Copies the first n_tokens cells of another sequence, in place of those that this one has. */
void memory_copy(struct llama_engine *engine, int from, int place, int32_t n_tokens);
/* Gives up the older half of what lies behind the cells to keep; what is remembered of the others goes on with them, and their
 * positions move up. False if there is nothing to give up. */
bool memory_shift(struct llama_engine *engine, struct sequence *sequence);
/* Remembers the sequence as it is, if its cells cannot be given back one by one. */
void memory_checkpoint(struct llama_engine *engine, int place);
void memory_close(struct llama_engine *engine);

/* ---- state.c ---- */

/* engine_save_state() and engine_restore_state(). */
int state_save(struct llama_engine *engine, const engine_request *request, const char *path, char **json);
int state_restore(struct llama_engine *engine, const char *path, char **json);

/* ---- batch.c ---- */

void batch_begin(struct llama_engine *engine);
/* Adds tokens behind the cells that the sequence has, and `n_before` more; returns their first row. */
int32_t batch_add(struct llama_engine *engine, int place, const llama_token *tokens, int32_t n_tokens, int32_t n_before);
/* Returns NONE, CANCELLED (it was interrupted) or FAILED, with a message. */
engine_end batch_evaluate(struct llama_engine *engine);

/* ---- prefill.c ---- */

/* What the first n_tokens of the prompt will leave in memory. */
cells prefill_cells(const struct sequence *sequence, int32_t n_tokens);
/* Tokens of prompt, and of answers to resume, that wait to be evaluated. */
int32_t prefill_left(const struct sequence *sequence);
/* It runs, and nothing of it waits any more: it makes tokens. */
bool prefill_is_over(const struct sequence *sequence);
/* Some answer does, also if it is in none of the next batches, as it has other adapters. */
bool prefill_somebody_generates(const struct llama_engine *engine);
/* Adds chunks to a batch in which answers have their rows already. */
void prefill_add(struct llama_engine *engine);
/* Adds one of this sequence, of the size that depends on nothing else. */
void prefill_add_repeatable(struct llama_engine *engine, struct sequence *sequence);
/* How long the batch took. */
void prefill_note(struct llama_engine *engine, uint64_t ns);

/* ---- steps.c ---- */

size_t steps_step(struct llama_engine *engine, engine_progress *progress);

/* The first evaluations read the weights and build the library's graphs. Done when the model is loaded, the first request does
 * not pay for it. Errors: EVALUATION, ABORTED. */
int steps_warm_up(struct llama_engine *engine);

/* ---- choose.c ---- */

/* Chooses the next token by these logits. Returns how the answer ends if there is none. */
engine_end choose_next(struct llama_engine *engine, struct sequence *sequence, const float *logits, llama_token *token);

/* Takes a token that the answer already had, to the same effect as if it had been sampled. FAILED: it cannot be one. */
engine_end choose_resumed(struct llama_engine *engine, struct sequence *sequence, llama_token token);

/* ---- text.c ---- */

/* Decodes a token's bytes into engine->piece and returns their number, 0 also for tokens without text: control tokens, but
 * for the marks that the answer's parts and grammar are known by. NULL: of no answer. */
size_t text_of_token(struct llama_engine *engine, const struct sequence *sequence, llama_token token);

/* The likeliest tokens by these logits, beside the one that was chosen. */
void text_likeliest(struct llama_engine *engine, struct sequence *sequence, const float *logits, struct step_text *text,
                    engine_progress *entry);

/* Turns sequence->last into text: what was held back and the new bytes, up to the last whole character. False: no
 * memory. */
bool text_add(struct llama_engine *engine, struct sequence *sequence, struct step_text *text, engine_progress *entry);

/* Shows what was held back, if the answer ends with this entry. */
void text_end(struct llama_engine *engine, struct step_text *text, engine_progress *entry);

#endif
