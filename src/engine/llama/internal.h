/* internal.h - what the files of the engine on libllama share; nobody else includes it, and nobody else llama.h.
 *
 *     engine.c        opening, admitting, cancelling, closing: engine.h's table of functions
 *     model.c         loading: backends, model, context, threads
 *     conversation.c  messages become the tokens of a prompt
 *     cells.c         what the library's memory holds, and where a new prompt finds a beginning of itself
 *     steps.c         one token of every answer, slices of prompts
 *     lanes.c         batches, and the contexts that evaluate them at the same time
 *     choose.c        the next token: sampled, within a grammar, or resumed
 *     lookup.c        guesses at the next tokens: what followed before in this text
 *     habits.c        guesses at the next token: what the model said before
 *     text.c          tokens become whole characters
 *     warm_up.c       the first evaluations
 *
 * The same request with the same seed gives the same text, whoever is beside it and whether or not its first tokens were
 * made by another engine. Each sequence has its own cells and its own sampler, a draw is a function of the token's place
 * (draw.h), and what is left is that libllama computes the same logits, to the last bit. How it rounds depends on the
 * shape of what it evaluates: for weights of 16 and 32 bits on whether a batch has one row or more (in the last layer: one
 * row with logits), for K quants on whether it has four or more; in the attention on whether a sequence has one row there or
 * several; with flash attention also on whether it has 64 or more, and whether there are 512 cells.
 *
 *   - A small model is evaluated in one shape only: without flash attention, and never with less than two rows of a
 *     sequence (n_rows). Where there is one token, the second row is a guess (habits.h) or, if there is none, the same token
 *     again; what was not chosen gives its cell back. Two rows cost less than one there: the library has a kernel for several
 *     that it does not use for one. So its answers are exact under all circumstances, and may be made in any lane.
 *   - A large model is evaluated in the shape that is fastest. Its logits are then the same up to rounding: an answer that
 *     is continued after a crash, or whose prompt was partly in memory already, is one that the model gives with the same
 *     probability, and nearly always the same. With is_repeatable it reads every prompt alike, and what is left is whether its
 *     weights round alike beside others: see warm_up.c.
 */
#ifndef ENGINE_LLAMA_INTERNAL_H
#define ENGINE_LLAMA_INTERNAL_H

#include "cells.h"
#include "habits.h"
#include "lookup.h"

#include "../engine.h"
#include "../grammar.h"
#include "../sampler.h"

#include "common/answer.h"
#include "common/chat.h"

#include "../../platform/platform.h"

#include <ggml-backend.h>
#include <llama.h>
#include <pthread.h>

/* Tokens of a prompt evaluated in one go, at most: enough for the library's full speed. Its memory for products of keys and
 * queries grows with it. */
#define SLICE_MOST 256
/* Rows of a batch: two of each of as many sequences as there can be. */
#define BATCH_MOST 512
/* A token's piece is rarely longer than a word; the buffer grows if a model has a longer one. */
#define PIECE_SIZE 256
/* Bytes of a character that is not complete yet. */
#define HELD_SIZE 4
/* Below this a model is small: one thread is as fast as several in one evaluation, and it is evaluated in one shape. */
#define SMALL_MODEL_PARAMETERS 8000000u

typedef struct ggml_threadpool *(*threadpool_new_fn)(struct ggml_threadpool_params *params);
typedef void (*threadpool_free_fn)(struct ggml_threadpool *pool);

/* One of the answers that can be made at a time. Its number is its sequence in the library's memory. */
struct sequence {
    bool is_running;
    bool is_cancelled;
    bool wants_logprobs;
    bool has_shifted;      /* cells were dropped to make room */
    sampler *sampler;
    struct grammar *grammar; /* NULL: any text */
    chat_prompt *rendered; /* what the prompt was made of */
    answer_reader *reader; /* tells the parts of the answer apart */
    llama_token *prompt;
    int32_t n_prompt;
    int32_t n_prompt_done;
    int32_t n_cached;      /* of these, those that the memory held already */
    int32_t n_keep;        /* tokens of the prompt that a shift keeps */
    llama_token *resumed;  /* NULL: none */
    int32_t n_resumed;
    int32_t n_tokens;
    int32_t n_predict;
    int32_t n_guesses;     /* guesses that are worth while now; 0 and above */
    llama_token last;      /* chosen or resumed, not evaluated yet */
    int32_t n_in_batch;    /* tokens of its text in the batch at hand, without guesses; 0: it is not in there */
    int32_t n_guessed;     /* of these, rows behind `last` whose token may turn out right */
    int32_t first_row;     /* in the batch, of an answer; the others follow */
    uint64_t waits_since;  /* whose prompt comes next: see comes_before() */
    uint64_t admitted_ns;
    uint64_t first_token_ns;
    char held[HELD_SIZE];  /* the beginning of a character whose end is in a later token */
    size_t n_held;
};

/* See lanes.c. */
struct lane {
    struct llama_engine *engine;
    struct llama_context *context;
    struct ggml_threadpool *threadpool; /* NULL: the library's own threads */
    struct llama_batch batch;
    int first, n;              /* its sequences */
    bool has_begun_prompt;     /* its last slice was the first one of its prompt */
    unsigned n_questions;      /* how often the library asked whether to go on */
    int32_t code;              /* what the library said of the batch */
    engine_end end;            /* NONE, CANCELLED or FAILED: what that means for those in it */
    plat_thread *thread;       /* NULL: the engine's owner evaluates it */
    plat_doorbell work_bell, done_bell;
    uint32_t n_wanted, n_done; /* atomic: evaluations */
    bool is_closing;           /* atomic */
};

/* The text of one entry of a step. */
struct step_text {
    char *bytes;           /* what was said, marks and all */
    size_t size;
    answer_output *output; /* what is shown of it */
};

struct llama_engine {
    engine base;
    llama_engine_options options;
    char model_file[ENGINE_PATH_SIZE]; /* what is opened for options.model_path */
    struct llama_model *model;
    struct lane *lanes;
    int n_lanes;
    const struct llama_vocab *vocab;
    chat *chat;
    threadpool_free_fn threadpool_free;
    int32_t slice_limit;       /* rows that a slice may have */
    int32_t n_rows;            /* rows of a sequence in a batch, at least */
    bool can_rewind;           /* cells can be given back one by one: nothing is reused or guessed otherwise */
    bool can_reuse;            /* ... and not every prompt is to be evaluated alike */
    bool can_shift;            /* ... and moved, and the user wants that */
    int32_t copy_least;        /* tokens from which on copying cells is faster than evaluating them */
    struct sequence *sequences;
    cells *cells;              /* of each sequence */
    habits *habits;            /* NULL: a row more is not free, or nobody wants guesses */
    struct step_text *texts;   /* of each entry of a step */
    int n_running;
    uint64_t n_turns;          /* admissions and slices so far */
    double few_ns, many_ns;    /* what a token of a prompt takes, lately: in a slice of few tokens, and of many */
    uint64_t generate_ns;      /* what the last batch of answers took */

    char *piece;               /* what a token's bytes are decoded into */
    size_t piece_size;

    /* The library's first line at error level: the cause, not its consequences. Lanes log at the same time. */
    pthread_mutex_t log_lock;
    char library_error[ENGINE_MESSAGE_SIZE];
    int last_per_mille;
};

/* ---- engine.c ---- */

__attribute__((format(printf, 2, 3))) void llama_say(struct llama_engine *engine, const char *format, ...);
void llama_log(const struct llama_engine *engine, int level, const char *line);
const char *llama_reason(const struct llama_engine *engine);

/* ---- model.c: each returns an engine_error, with a message ---- */

int model_load(struct llama_engine *engine);     /* backends and model; fills in vocab */
int model_check(struct llama_engine *engine);    /* the same without the weights */
int model_context(struct llama_engine *engine);  /* number of sequences, threads, lanes; the facts about them */
bool model_is_small(const struct llama_model *model);

/* ---- conversation.c ---- */

/* The model's chat template. Errors: MODEL_BAD. */
int conversation_open(struct llama_engine *engine);

/* Fills in sequence->rendered, prompt and n_keep. Errors: DOCUMENT, EVALUATION, TOO_LONG, NO_MEMORY. */
int conversation_tokenise(struct llama_engine *engine, struct sequence *sequence, const engine_request *request);

/* engine_render(). */
int conversation_show(struct llama_engine *engine, const engine_request *request, char **json);

/* ---- steps.c ---- */

size_t steps_step(struct llama_engine *engine, engine_progress *progress);

/* Guesses that a step can have, for all answers together. */
int32_t steps_guesses_most(const struct llama_engine *engine);

/* ---- lanes.c: what a sequence does in its context ---- */

struct lane *lanes_of(const struct llama_engine *engine, int number);

/* Gives back all cells of the library's that engine->cells does not know. */
void lanes_rewind(struct llama_engine *engine, int number);
/* Gives up n_given_up cells behind the n_keep first ones; the others move up. */
void lanes_shift(struct llama_engine *engine, int number, int32_t n_keep, int32_t n_given_up);
/* All cells of another sequence of the same lane. */
void lanes_copy(struct llama_engine *engine, int from, int number);

/* A batch is begun in every lane; rows are added to that of their sequence, and evaluated all at once. */
void lanes_begin(struct llama_engine *engine);
/* Adds tokens behind the cells that the sequence has, and `n_before` more; returns their first row. */
int32_t lanes_add(struct llama_engine *engine, int number, const llama_token *tokens, int32_t n_tokens, int32_t n_before);
void lanes_want_logits(struct llama_engine *engine, int number, int32_t row);
/* Fills in the `end` of each lane that has rows. Returns CANCELLED if one was interrupted, else FAILED if one failed, else
 * NONE. */
engine_end lanes_evaluate(struct llama_engine *engine);
/* Those of a row that wanted them; valid until the next evaluation. */
const float *lanes_logits(const struct llama_engine *engine, int number, int32_t row);

/* Batches and threads of lanes that have their contexts. Errors: NO_MEMORY. */
int lanes_start(struct llama_engine *engine);
void lanes_close(struct llama_engine *engine); /* also half open ones, and none */

/* ---- choose.c ---- */

/* Chooses or resumes the next token by these logits. Returns how the answer ends if there is none. */
engine_end choose_next(struct llama_engine *engine, struct sequence *sequence, const float *logits, llama_token *token);

/* ---- text.c ---- */

/* Decodes a token's bytes into engine->piece and returns their number, 0 also for tokens without text: control tokens, but
 * for the marks that the answer's parts and grammar are known by. */
size_t text_of_token(struct llama_engine *engine, const struct sequence *sequence, llama_token token);

/* Turns sequence->last into text: what was held back and the new bytes, up to the last whole character. False: no
 * memory. */
bool text_add(struct llama_engine *engine, struct sequence *sequence, struct step_text *text, engine_progress *entry);

/* Shows what was held back, if the answer ends with this entry. */
void text_end(struct llama_engine *engine, struct step_text *text, engine_progress *entry);

/* ---- warm_up.c ---- */

void warm_up(struct llama_engine *engine);

#endif
