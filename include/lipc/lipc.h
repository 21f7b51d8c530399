/* lipc.h - the C API of liblipc: a local language model, in its own process, behind a user interface.
 *
 * The host program `chatbot` holds the model; this library talks to it through shared memory. Compile with
 * `pkg-config --cflags --libs lipc`.
 *
 *     lipc_client *client;
 *     lipc_stream *stream;
 *     lipc_delta delta;
 *     if (lipc_client_open(NULL, &client) < 0 || lipc_stream_ask(client, "What is C++?", &stream) < 0)
 *         die(lipc_error_message());
 *     while (lipc_stream_read(stream, -1, &delta) == 0 && delta.n_bytes > 0)
 *         fwrite(delta.text, 1, delta.n_bytes, stdout);
 *     lipc_stream_close(stream);
 *     lipc_client_close(client);
 *
 * Contents: conventions, errors, clients, streams (the modern channel); at the end the classic channel of the guide.
 *
 * Conventions
 *   Errors      Functions return 0 or a negative code of LIPC_ERROR_MAP. lipc_error_message() then tells the calling
 *               thread what was wrong, with which value, and what to do.
 *   Text        UTF-8. What you pass in is zero-terminated and copied; what you get stays the library's and lives as
 *               long as the function that returns it says.
 *   Time-outs   Milliseconds; negative waits without limit, 0 only looks. Clock jumps do not disturb them.
 *   Structures  Those that you fill begin with the default values that their _init function writes. Fields are only
 *               ever added at the end, and `struct_size` tells the library which ones you know. Those that the library fills
 *               grow in the same way: the macros around its functions pass their size.
 *   Silence     The library never prints, exits, installs signal handlers or changes the locale. It reaps no child
 *               but a host that it started itself. An attached client has one thread, which sleeps until the host's
 *               process ends and takes no signals.
 *   Processes   A handle belongs to the process that opened it; after fork() the child may only close it.
 *   Deaths      What evaluates the model is a process of its own, which the host replaces if it dies: every answer then
 *               goes on where it was, and all that is seen of it are the states RECOVERING and a pause. If the host itself
 *               is killed, every call says HOST_GONE, once what had arrived is read; detachable streams go on in the next
 *               host: attach to them with a new client, by their ids. docs/reliability.md has the whole of it.
 */
#ifndef LIPC_LIPC_H
#define LIPC_LIPC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define LIPC_API __declspec(dllexport)
#else
#define LIPC_API __attribute__((visibility("default")))
#endif

/* Number, name, text. Numbers never change their meaning; the C# enum LipcError is checked against this table. */
#define LIPC_ERROR_MAP(X)                                                                                              \
    X(0, OK, "success")                                                                                                \
    X(-1, INVALID, "an argument is not valid")                                                                         \
    X(-2, NO_MEMORY, "not enough memory")                                                                              \
    X(-3, SYSTEM, "the operating system refused")                                                                      \
    X(-4, NO_HOST, "no host is running under this name")                                                               \
    X(-5, HOST_GONE, "the host ended or was killed")                                                                   \
    X(-6, TIMEOUT, "the time-out passed")                                                                              \
    X(-7, CANCELLED, "cancelled")                                                                                      \
    X(-8, BUSY, "another thread uses this handle")                                                                     \
    X(-9, ACCESS, "the host belongs to another user, or cannot be used from here")                                     \
    X(-10, LAYOUT, "the shared memory is not of the expected form")                                                    \
    X(-11, REFUSED, "the host cannot serve this request")                                                              \
    X(-12, FAILED, "the model failed while answering")                                                                 \
    X(-13, FULL, "the host has no room for another client")                                                            \
    X(-14, GONE, "the stream does not exist any more")

typedef enum lipc_error {
#define LIPC_ERROR_ENUM(number, name, text) LIPC_E_##name = (number),
    LIPC_ERROR_MAP(LIPC_ERROR_ENUM)
#undef LIPC_ERROR_ENUM
} lipc_error;

/* The version of the library, "major.minor.patch". Static. Any thread. */
LIPC_API const char *lipc_version(void);

/* The constant name ("LIPC_E_TIMEOUT") and the short text of an error code; for an unknown code "LIPC_E_UNKNOWN" and
 * "unknown error". Static. Any thread. */
LIPC_API const char *lipc_error_name(int error);
LIPC_API const char *lipc_error_text(int error);

/* What the last failed call of this thread found: one sentence with the values involved and, where there is something
 * to do, what. Empty if no call has failed. Valid until the thread's next call into the library. */
LIPC_API const char *lipc_error_message(void);

/* ==== Clients =======================================================================================================
 *
 * A client is this process's place in a host: one record in the shared memory, one doorbell. Any number of streams can
 * be opened on it. Open one for each process, not one for each request.
 *
 * Threads: every function may be called from any thread at any time, several at once, except that lipc_client_close may
 * not run at the same time as another call on the same client, and lipc_stream_close not at the same time as another
 * call on the same stream. Several threads may read one stream, each getting other pieces; but the text of a piece is valid
 * only until the next read on that stream, by whichever thread: threads that share a stream agree on who reads when.
 */
typedef struct lipc_client lipc_client;

/* What to do if no host runs under the name. */
typedef enum lipc_start {
    LIPC_START_NEVER = 0,   /* wait for one until the time-out, then fail with NO_HOST */
    LIPC_START_WITH_ME = 1, /* start one that ends when this process ends or the client is closed */
    LIPC_START_DETACHED = 2 /* start one that stays, for others and for later */
} lipc_start;

typedef struct lipc_client_options {
    uint32_t struct_size;  /* set by lipc_client_options_init */
    int32_t start;         /* lipc_start; initially NEVER */
    const char *name;      /* instance; NULL: the environment's LIPC_NAME, and without it "llama_cpp" */
    const char *host_path; /* the host program; NULL: `chatbot` beside this program, then on the PATH */
    const char *const *host_arguments; /* further arguments up to NULL, e.g. {"-m", "model.gguf", NULL}; may be NULL */
    int32_t timeout_ms;    /* for finding or starting a host and attaching; initially 10,000. Not for loading the model */
    int32_t wakes_per_second; /* how often a waiting call of this client may return for new text in the middle of an answer:
                              0, initially, for every token; N > 0 at most N times a second. The first text and the end
                              always come at once. Whoever only ever reads with time-out 0 is never woken at all */
} lipc_client_options;

LIPC_API void lipc_client_options_init(lipc_client_options *options);

/* Attaches to the host of an instance, or starts one first; `options` may be NULL. Returns as soon as it is attached:
 * the host may still be loading its model (lipc_client_wait_ready), and requests may be made already.
 * Errors: INVALID (a bad name or option), NO_HOST (none runs, or the program was not found), HOST_GONE (the host that
 * was started ended: the message holds its last line), TIMEOUT, ACCESS, LAYOUT (the running host speaks another
 * version: the message names both), FULL (too many clients), NO_MEMORY, SYSTEM. On error *client is NULL. */
LIPC_API int lipc_client_open(const lipc_client_options *options, lipc_client **client);

typedef enum lipc_host_state {
    LIPC_HOST_STARTING = 1,
    LIPC_HOST_LOADING = 2, /* load_per_mille says how far; also while it changes its model */
    LIPC_HOST_READY = 3,
    LIPC_HOST_ENDING = 4,  /* finishes what it has, takes nothing new */
    LIPC_HOST_GONE = 5,    /* its process has ended */
    LIPC_HOST_RECOVERING = 6 /* its worker died; another loads the model and then goes on with every answer */
} lipc_host_state;

typedef struct lipc_host_status {
    int32_t state;           /* lipc_host_state */
    int32_t load_per_mille;  /* 0 to 1000 */
    int32_t host_pid;
    int32_t n_clients;       /* attached now */
    int32_t n_streams;       /* places for streams that there are (chatbot --streams) */
    int32_t n_running;       /* answers being made */
    int32_t n_queued;        /* requests that wait for their turn */
    int32_t n_parallel;      /* answers that can be made at a time */
    int32_t n_ctx;           /* tokens of context for each answer; 0 until ready, as all below */
    int32_t n_ctx_trained;
    int32_t n_vocab;
    int32_t n_threads;
    uint64_t n_parameters;
    uint64_t model_bytes;
    uint64_t request_size;   /* bytes that a request may have, from the start */
    uint64_t response_size;  /* bytes that an answer may have, from the start */
    char model[128];         /* what the model is, in words */
    char host_version[16];
    char model_path[1024];   /* the file of the model, or of the text that is played back: absolute; "" if unknown or longer */
} lipc_host_status;

/* Looks at the host; no blocking, no system call. Errors: INVALID. */
LIPC_API int lipc_client_status_sized(lipc_client *client, lipc_host_status *status, size_t status_size);
#define lipc_client_status(client, status) lipc_client_status_sized(client, status, sizeof *(status))

/* Called in the waiting thread when the state or the progress of loading has changed. Return 0 to go on waiting. */
typedef int (*lipc_status_fn)(void *user_data, const lipc_host_status *status);

/* Waits until the host has loaded its model; `on_status` may be NULL.
 * Errors: TIMEOUT, HOST_GONE (for instance because its model file is damaged; for a host that this client started the
 * message holds its last line), CANCELLED (on_status returned other than 0, or lipc_client_interrupt), INVALID. */
LIPC_API int lipc_client_wait_ready(lipc_client *client, int timeout_ms, lipc_status_fn on_status, void *user_data);

/* Makes every call that waits on this client or its streams now return CANCELLED. Ends no stream. Never blocks. Also from
 * a signal handler. */
LIPC_API void lipc_client_interrupt(lipc_client *client);

/* Asks the host to end, as SIGTERM does: answers being made are finished, queued ones are not. Waits until it is gone.
 * Errors: TIMEOUT, NO_HOST (it had ended already), CANCELLED, INVALID. */
LIPC_API int lipc_client_shutdown(lipc_client *client, int timeout_ms);

/* Leaves the host. Streams that are still open end, detachable ones go on; their handles stay valid until they are
 * closed and report HOST_GONE, or how they ended if they had. Ends a host that was started WITH_ME. NULL is allowed. Cannot fail. */
LIPC_API void lipc_client_close(lipc_client *client);

/* ==== Streams =======================================================================================================
 *
 * A stream is one request and its answer. The answer is a log in shared memory: it only grows, and this side keeps its
 * own place in it. Reading late costs nothing and loses nothing.
 */
typedef struct lipc_stream lipc_stream;

typedef struct lipc_message {
    const char *role; /* "system", "user" or "assistant"; a lipc_document has others, too */
    const char *text;
} lipc_message;

/* A parameter by its name in lipc/parameters.h, which says what there is, with its bounds; docs/parameters.md as a table. */
typedef struct lipc_parameter {
    const char *name; /* "top_k" */
    double number;    /* its value, where that is a number */
    const char *text; /* its value, where that is a text; otherwise NULL */
} lipc_parameter;

/* Leaves a number to the host's own option of that name. */
#define LIPC_INT_DEFAULT INT32_MIN
#define LIPC_SEED_RANDOM INT64_C(-1)
#define LIPC_SEED_DEFAULT INT64_C(-2)

typedef struct lipc_request {
    uint32_t struct_size;    /* set by lipc_request_init */
    int32_t n_messages;
    const lipc_message *messages;
    int32_t n_predict;       /* tokens of answer at most; -1: as many as fit; LIPC_INT_DEFAULT */
    int32_t top_k;           /* the K likeliest tokens; 0: off; LIPC_INT_DEFAULT */
    float temperature;       /* 0: always the likeliest token. For all real numbers NaN: the host's own option */
    float min_p;             /* tokens at least P times as likely as the best, 0 to 1; 0: off */
    float top_p;             /* the likeliest tokens that reach P together, 0 to 1; 1: off */
    float repeat_penalty;    /* divides the logits of recent tokens; 1: off. 0.01 to 100 */
    float frequency_penalty; /* subtracts so much for each recent occurrence; 0: off. -100 to 100 */
    float presence_penalty;  /* subtracts so much if it occurred recently; 0: off. -100 to 100 */
    int32_t repeat_last_n;   /* how many tokens are recent; 0: none, -1: all; LIPC_INT_DEFAULT */
    int32_t priority;        /* -100 to 100, initially 0: of waiting requests the highest goes first */
    int64_t seed;            /* 0 to 4294967294, LIPC_SEED_RANDOM or LIPC_SEED_DEFAULT */
    const char *grammar;     /* GBNF with a rule "root" that the answer must follow; NULL: none */
    const char *const *stops;/* the answer ends before the first of these texts; may be NULL */
    int32_t n_stops;         /* at most 16, of 1 to 256 bytes each */
    int32_t detachable;      /* 1: the work goes on without this client: see lipc_stream_id */
    int32_t ignore_eos;      /* 1: the model cannot end its answer */
    int32_t logprobs;        /* 1: token records carry log probabilities, at a pass over the vocabulary for each token */
    int32_t reserved0;       /* 0 */
    int32_t render;          /* 1: not an answer is wanted, but what the request becomes for the model: the stream's text is
                                a JSON document, {"text": ..., "tokens": [{"id", "text", "is_control", "is_input"}]} */
    const char *document;    /* a JSON document in place of messages: see lipc_document; NULL: none */
    const char *load_path;   /* not an answer is wanted, but another model for the host, from this file: an absolute path, and
                                no messages: see lipc_client_load; NULL: an answer */
    const lipc_parameter *parameters; /* more, by name; what is said here and in a field is taken from here. May be NULL */
    int32_t n_parameters;
    int32_t reserved;        /* 0 */
} lipc_request;

/* Defaults: no messages, everything left to the host, not detachable. */
LIPC_API void lipc_request_init(lipc_request *request);

/* Sends a request. Never waits: if all of the host's streams are taken the request waits in this process for the next,
 * and lipc_stream_progress tells its position. What the host refuses is reported by the first read.
 * Errors: INVALID (no message, text that is not UTF-8, a number out of its bounds), REFUSED (longer than the host's
 * request_size), HOST_GONE, NO_MEMORY. On error *stream is NULL. */
LIPC_API int lipc_stream_open(lipc_client *client, const lipc_request *request, lipc_stream **stream);

/* The same for one message of the role "user". */
LIPC_API int lipc_stream_ask(lipc_client *client, const char *text, lipc_stream **stream);

/* Has the host change its model for the one in the file `path`, for all of its clients. It is a request like any other: it
 * waits for its turn, can be cancelled, and is closed when it is done. Everything that had arrived before it is answered
 * first, by the old model; what arrives after it waits for the new one. Meanwhile the host's state is LOADING, and
 * lipc_client_status tells how far it is. Then the stream ends without a text, and the host has the new model, with its
 * own options for context, threads and the like; also after its worker died, but not if it is started anew.
 *
 * The old model stays, or comes back, if the stream is cancelled or closed before that, if this process dies, or if the
 * new one cannot be used. The path is made absolute from this process's current folder; the host must be able to read it.
 * With lipc_stream_open, the same is a request with an absolute `load_path` and no messages: it may have a priority, and with
 * `detachable` = 1 it goes on without this client.
 *
 * Errors, here: INVALID (no path, one that is too long or not UTF-8), REFUSED (a host before 1.3 of the layout),
 * HOST_GONE, NO_MEMORY; by the first read: REFUSED (no such file, no GGUF model, a host that plays a text back), FAILED
 * (the model is damaged, of an unknown kind, or does not fit into memory; or the host's worker crashed over it twice). On
 * error *stream is NULL. */
LIPC_API int lipc_client_load(lipc_client *client, const char *path, lipc_stream **stream);

typedef struct lipc_delta {
    const char *text; /* what is new, whole characters, not zero-terminated. A copy; valid until the next read on this
                         stream or its close */
    size_t n_bytes;   /* 0: see lipc_stream_read */
    uint64_t offset;  /* where in the whole answer it begins */
} lipc_delta;

/* Reads what is new since the last read, waiting for it if there is nothing. 0 with n_bytes > 0: new text; 0 with
 * n_bytes = 0: the answer is complete and has been read to its end. With timeout_ms = 0 it only looks, without a system
 * call on either side: for user interfaces that look once for each frame.
 * Errors: TIMEOUT (nothing new in time; the stream goes on), CANCELLED (lipc_stream_cancel; all text has been read
 * before this is returned; or lipc_client_interrupt: the stream goes on), REFUSED, FAILED, HOST_GONE (what had
 * arrived has been read before), GONE (a followed stream whose place was given to another), INVALID. */
LIPC_API int lipc_stream_read(lipc_stream *stream, int timeout_ms, lipc_delta *delta);

/* What an answer consists of. */
typedef enum lipc_part_kind {
    LIPC_PART_TEXT = 0,    /* the answer itself */
    LIPC_PART_THOUGHT = 1, /* what a model that thinks writes before it answers */
    LIPC_PART_CALL = 2     /* the call of a tool; its text is the arguments, a JSON object once it is complete */
} lipc_part_kind;

typedef struct lipc_part_delta {
    int32_t kind;        /* lipc_part_kind */
    int32_t part;        /* number of the thought or call in the answer, from 0: all deltas of one have the same; text: -1 */
    int32_t call;        /* number of a call among the calls, from 0; other kinds: -1 */
    int32_t begins;      /* 1: the first delta of a thought or call; it may have no text yet */
    const char *text;    /* what is new, whole characters, not zero-terminated; a copy, as in lipc_delta */
    size_t n_bytes;
    uint64_t offset;     /* where in the whole text of its part, or of the answer, it begins */
    uint64_t position;   /* of a thought or call: bytes of the answer's text that come before it */
    const char *call_id; /* of a call, with each of its deltas: what its result is sent back with; zero-terminated */
    const char *name;    /* of a call, with each of its deltas: the tool; zero-terminated. Other kinds: "" */
    int32_t first_token; /* of a thought or call: number of the token with which it begins; text: -1 */
    int32_t reserved;
} lipc_part_delta;

/* Reads what is new like lipc_stream_read, but thoughts and calls, too, each delta of one of them or of the text, in the
 * order in which they belong: a part is complete when a delta of another one comes, or the end. The end is 0 with n_bytes = 0
 * and begins = 0. lipc_stream_read gives the text alone; both have the same place in it. From the first call of this
 * function on, lipc_stream_wait_any waits for thoughts and calls of this stream, too.
 *
 * An answer that consists of calls ends with LIPC_END_TURN as any other. A host that knows no parts (before 1.4 of the layout)
 * shows text alone. Stop strings are looked for in the text alone. Errors and time-outs as lipc_stream_read. */
LIPC_API int lipc_stream_read_part(lipc_stream *stream, int timeout_ms, lipc_part_delta *delta);

/* Called in the reading thread with each piece of new text. Return 0 to go on, anything else to cancel the stream. */
typedef int (*lipc_delta_fn)(void *user_data, const lipc_delta *delta);

/* Reads to the end, calling `on_delta` for each piece. 0: the answer is complete. Errors as lipc_stream_read; the
 * time-out is for the whole. */
LIPC_API int lipc_stream_run(lipc_stream *stream, int timeout_ms, lipc_delta_fn on_delta, void *user_data);

/* Waits until one of several streams of one client has something to read (new text, its end, or an error), and tells
 * which: its place in `streams` in *index. Takes them in turn, so that none is left out.
 * Errors: TIMEOUT, CANCELLED (lipc_client_interrupt), INVALID (none, NULL, or streams of different clients). */
LIPC_API int lipc_stream_wait_any(lipc_stream *const *streams, size_t n_streams, int timeout_ms, size_t *index);

typedef enum lipc_stream_state {
    LIPC_STREAM_QUEUED = 1,     /* waits for its turn: queue_position */
    LIPC_STREAM_READING = 2,    /* the model reads the prompt: n_prompt_done of n_prompt tokens */
    LIPC_STREAM_GENERATING = 3,
    LIPC_STREAM_ENDED = 4,      /* `end` says why */
    LIPC_STREAM_RECOVERING = 5  /* the host's worker died; another reads the prompt and the answer so far, and goes on */
} lipc_stream_state;

/* Number, name, text: why an answer ended. */
#define LIPC_END_MAP(X)                                                                                                \
    X(0, NONE, "it has not ended")                                                                                     \
    X(1, TURN, "the model ended its answer")                                                                           \
    X(2, LIMIT, "n_predict tokens were made")                                                                          \
    X(3, STOP, "a stop string was found")                                                                              \
    X(4, CONTEXT, "the context is full")                                                                               \
    X(5, FULL, "the room for answers is full")                                                                         \
    X(6, CANCELLED, "cancelled")                                                                                       \
    X(7, REFUSED, "the host cannot serve the request")                                                                 \
    X(8, FAILED, "the model failed")                                                                                   \
    X(9, HOST_ENDED, "the host was told to end, or was killed")

typedef enum lipc_end {
#define LIPC_END_ENUM(number, name, text) LIPC_END_##name = (number),
    LIPC_END_MAP(LIPC_END_ENUM)
#undef LIPC_END_ENUM
} lipc_end;

/* The short text of a lipc_end; "unknown" for other numbers. Static. */
LIPC_API const char *lipc_end_text(int end);

typedef struct lipc_progress {
    int32_t state;          /* lipc_stream_state */
    int32_t end;            /* lipc_end */
    int32_t error;          /* why it was refused or failed: a lipc_error; otherwise 0 */
    int32_t queue_position; /* requests ahead of this one; 0: it is the next or has begun */
    int32_t n_prompt;       /* tokens of the prompt; 0 until it was read in */
    int32_t n_prompt_done;
    int32_t n_tokens;       /* tokens of the answer */
    int32_t n_cached;       /* tokens of the prompt that the host had in memory already, and did not evaluate again */
    uint64_t n_bytes;       /* bytes of the answer */
    uint64_t queued_ns;     /* time in the queue, so far or in all */
    uint64_t prompt_ns;     /* from its turn to the first token */
    uint64_t generate_ns;   /* from the first token to now, or to the end */
    uint32_t seed;          /* the seed that is used */
    uint32_t reserved2;
} lipc_progress;

/* How far a stream is; no blocking. Errors: INVALID, HOST_GONE (*progress holds the last that was seen), GONE. */
LIPC_API int lipc_stream_progress_sized(lipc_stream *stream, lipc_progress *progress, size_t progress_size);
#define lipc_stream_progress(stream, progress) lipc_stream_progress_sized(stream, progress, sizeof *(progress))

typedef struct lipc_token {
    uint64_t end;     /* bytes of the answer up to the end of this token's text. A token that ends inside a character, or
                         whose text might become a stop string, ends where the text before it ends */
    int32_t id;       /* in the model's vocabulary */
    float logprob;    /* natural logarithm of its probability before sampling; NaN unless request.logprobs */
    uint64_t time_ns; /* from the request's turn to its publication, in steps of a microsecond; at most 71 minutes */
} lipc_token;

/* Copies the records of tokens `first`, `first` + 1, ... as far as they exist, at most n_tokens; *n_copied says how
 * many. No blocking. Errors: INVALID, HOST_GONE, GONE; FAILED: the answer is complete, this handle has read all records in
 * order, and another process has written over some of them. */
LIPC_API int lipc_stream_tokens_sized(lipc_stream *stream, size_t first, lipc_token *tokens, size_t token_size,
                                      size_t n_tokens, size_t *n_copied);
#define lipc_stream_tokens(stream, first, tokens, n_tokens, n_copied)                                                  \
    lipc_stream_tokens_sized(stream, first, tokens, sizeof *(tokens), n_tokens, n_copied)

/* Ends the work on a stream; reads then return the text there is and CANCELLED. Does nothing to one that has ended or
 * that is only followed. Never blocks, cannot fail. */
LIPC_API void lipc_stream_cancel(lipc_stream *stream);

/* The stream's unguessable id, 32 hexadecimal digits and a zero byte, into `text`. With it a detachable stream can be
 * found again, and any stream followed, as long as the host keeps it: until its owner closes it or, if it has none,
 * until its place is needed. */
#define LIPC_STREAM_ID_SIZE 33
LIPC_API int lipc_stream_id(lipc_stream *stream, char text[LIPC_STREAM_ID_SIZE]);

/* Lets go of a detachable stream without ending its work, and frees the handle. For others the same as close. A
 * request that still waits for a place goes on waiting as long as its client is open, and gets it with the next call
 * on that client. NULL allowed. */
LIPC_API void lipc_stream_detach(lipc_stream *stream);

/* Ends the work on a stream by its id, whoever owns it, as lipc_stream_cancel does on one's own: its owner reads the text
 * there is and then CANCELLED. For tools with which a user looks after a host. Never blocks. Errors: GONE (no such stream,
 * or its answer has ended), INVALID (not an id), HOST_GONE. */
LIPC_API int lipc_client_cancel(lipc_client *client, const char *id);

/* Finds a stream by its id and reads it from byte `offset` on (moved back to the beginning of its character). Its
 * owner has let go of it, or has died: this client becomes its owner. Otherwise, or with `read_only` = 1, it is only
 * followed. Errors: GONE (no such stream), INVALID (not an id), HOST_GONE, NO_MEMORY. */
LIPC_API int lipc_stream_attach(lipc_client *client, const char *id, uint64_t offset, int read_only, lipc_stream **stream);

/* Frees the handle. The owner's close ends the work and gives the stream's place back; a follower's changes nothing.
 * Before or after lipc_client_close. NULL is allowed. Cannot fail. */
LIPC_API void lipc_stream_close(lipc_stream *stream);

/* ==== Documents ====================================================================================================
 *
 * What chat models are asked with, where plain messages are not enough: further roles, calls and thoughts of earlier
 * answers, tools, a schema for the answer, thinking. A document is JSON, in the form that OpenAI's and llama-server's
 * "chat completions" have (docs/protocol.md, section 15); these functions write one. Whoever has it as text already needs
 * none of them: lipc_request.document takes it.
 *
 *     lipc_document *document;
 *     lipc_document_new(&document);
 *     lipc_document_add_message(document, "user", "What is 6 times 7?");
 *     lipc_document_add_tool(document, "calculate", "Evaluates an expression.",
 *                            "{\"type\":\"object\",\"properties\":{\"expression\":{\"type\":\"string\"}}}");
 *     request.document = lipc_document_json(document);
 *
 * Nothing is checked against the model before the host sees it: what its template cannot do is REFUSED by the first read.
 * All of them return INVALID for NULL, for text that is not UTF-8 and for JSON that is none, NO_MEMORY, and say so in
 * lipc_error_message(); the document is then as it was. Threads: one at a time for each document. */
typedef struct lipc_document lipc_document;

/* An empty document. On error *document is NULL. */
LIPC_API int lipc_document_new(lipc_document **document);

/* One that begins as the JSON object `json`: its messages and tools can be added to, everything else can be set anew. */
LIPC_API int lipc_document_parse(const char *json, lipc_document **document);

/* Adds a message. Roles: "system", "developer", "user", "assistant", "tool" (see lipc_document_add_result). */
LIPC_API int lipc_document_add_message(lipc_document *document, const char *role, const char *text);

/* Add to the last message, which must be of the role "assistant": what it had thought, and a tool that it called. `arguments`
 * is a JSON object as lipc_stream_read_part gave it. Errors: also INVALID if there is no such message. */
LIPC_API int lipc_document_add_thought(lipc_document *document, const char *text);
LIPC_API int lipc_document_add_call(lipc_document *document, const char *call_id, const char *name, const char *arguments);

/* Adds what a tool returned: a message of the role "tool". */
LIPC_API int lipc_document_add_result(lipc_document *document, const char *call_id, const char *name, const char *text);

/* Adds a tool that the model may call. `description` may be NULL; `parameters` is a JSON schema, NULL: it takes none. */
LIPC_API int lipc_document_add_tool(lipc_document *document, const char *name, const char *description,
                                    const char *parameters);

/* Which tool is called: "auto" (as the model likes; so it is initially), "none", "required" (some), or the name of one. */
LIPC_API int lipc_document_set_tool_choice(lipc_document *document, const char *choice);

/* Whether several tools may be called in one answer. */
LIPC_API int lipc_document_set_parallel_calls(lipc_document *document, int are_allowed);

/* The JSON schema that the answer's text must follow. It binds the sampler: a complete answer is valid. */
LIPC_API int lipc_document_set_schema(lipc_document *document, const char *schema);

/* Whether the model thinks before it answers: 1 yes, 0 no. Initially as its template has it. */
LIPC_API int lipc_document_set_thinking(lipc_document *document, int is_on);

/* How hard it thinks ("low", "medium", "high", or what its template knows), and how many tokens at most (-1: no limit). */
LIPC_API int lipc_document_set_effort(lipc_document *document, const char *effort);
LIPC_API int lipc_document_set_thinking_budget(lipc_document *document, int32_t n_tokens);

/* The last message, of the role "assistant", is the beginning of the answer, which goes on behind it. */
LIPC_API int lipc_document_set_continue(lipc_document *document, int is_on);

/* In place of messages: a prompt that no template is put around, as text or as tokens of the model's vocabulary; or the
 * text before and behind the place that is to be filled in, for models that were trained for that. */
LIPC_API int lipc_document_set_prompt(lipc_document *document, const char *text);
LIPC_API int lipc_document_set_prompt_tokens(lipc_document *document, const int32_t *tokens, size_t n_tokens);
LIPC_API int lipc_document_set_infill(lipc_document *document, const char *prefix, const char *suffix);

/* Any other member of the document, as JSON: "chat_template_kwargs", for instance. NULL takes it out. */
LIPC_API int lipc_document_set(lipc_document *document, const char *name, const char *json);

/* The document as it is now, zero-terminated; valid until the next call on it. NULL if there is not enough memory. */
LIPC_API const char *lipc_document_json(lipc_document *document);

/* NULL allowed. */
LIPC_API void lipc_document_free(lipc_document *document);

/* ==== The classic channel ===========================================================================================
 *
 * One request at a time, prompts of at most 4,095 bytes, answers of at most 32,767: the channel of the streaming guide.
 *
 * Threads: one thread at a time may be in connect, request, stream or shutdown (another gets LIPC_E_BUSY);
 * lipc_classic_cancel and lipc_classic_host_pid may be called from any thread at any time before close.
 *
 * A host that dies is noticed within 10 ms by whichever call is waiting: it returns LIPC_E_HOST_GONE. The handle can
 * then be connected again; a new host takes over the same objects.
 */
typedef struct lipc_classic lipc_classic;

/* Makes a handle for the host of instance `name` (NULL: the environment's LIPC_NAME, and without it "llama_cpp"). Connects
 * to nothing yet; no blocking. Errors: INVALID (a name longer than 63 bytes, empty, or with other characters than letters, digits, '_',
 * '-', '.'), NO_MEMORY, SYSTEM. On error *handle is NULL. */
LIPC_API int lipc_classic_open(const char *name, lipc_classic **handle);

/* Waits until a host runs under the name and can serve: its objects exist and it has loaded its model. A model can take
 * minutes to load; choose the time-out accordingly. Does nothing if already connected to a live host.
 * Errors: NO_HOST (the time passed and no host runs), TIMEOUT (a host runs but is still loading), HOST_GONE (it ended
 * while loading, for instance because its model file is damaged), CANCELLED, ACCESS, LAYOUT, BUSY, SYSTEM. */
LIPC_API int lipc_classic_connect(lipc_classic *handle, int timeout_ms);

/* An answer, or as much of one as there is. */
typedef struct lipc_classic_result {
    const char *text;     /* the whole text so far, zero-terminated, whole characters. Valid until the next call on the
                             handle, in a callback until it returns */
    size_t n_bytes;       /* length of text without the zero byte */
    size_t n_new_from;    /* callback: text[n_new_from..n_bytes) was not in the previous update. Otherwise 0 */
    int32_t n_tokens;     /* tokens generated so far */
    int32_t n_updates;    /* the update counter of the block */
    int32_t complete;     /* 1: the text is final (the callback's last update; every successful result) */
    int32_t prompt_cut;   /* 1: the system or user prompt was longer than 4,095 bytes and was cut at the last whole
                             character that fits */
} lipc_classic_result;

/* Called in the requesting thread for each new state of the text; `update` is valid until it returns. Tokens that
 * arrive while it runs come together in the next call. Return 0 to go on, anything else to cancel. */
typedef int (*lipc_classic_update_fn)(void *user_data, const lipc_classic_result *update);

/* Sends a request and waits for the whole answer. `system_prompt` may be NULL or empty. An empty user prompt gets an
 * empty answer.
 * On success *result is the complete answer. An answer that was cut short because somebody told the host to end
 * counts as HOST_GONE. On CANCELLED, TIMEOUT and HOST_GONE it holds what had arrived (possibly
 * nothing: text is then ""), so that it can be shown; after TIMEOUT the host is told to stop. `result` may be NULL.
 * TIMEOUT also if this process was stopped for so long that another client had its turn meanwhile.
 * The time-out covers waiting for the host to be free as well as the answer.
 * Errors: INVALID (no user prompt, text that is not UTF-8), TIMEOUT, CANCELLED, HOST_GONE, NO_HOST (not connected),
 * BUSY, SYSTEM. */
LIPC_API int lipc_classic_request(lipc_classic *handle, const char *system_prompt, const char *user_prompt,
                                  int timeout_ms, lipc_classic_result *result);

/* The same, calling `on_update` while the answer grows: at least once, the last time with complete = 1 unless the
 * request failed. */
LIPC_API int lipc_classic_stream(lipc_classic *handle, const char *system_prompt, const char *user_prompt,
                                 int timeout_ms, lipc_classic_update_fn on_update, void *user_data,
                                 lipc_classic_result *result);

/* Makes the call that another thread is waiting in return LIPC_E_CANCELLED: connecting and waiting for the host at
 * once, an answer as soon as the host has acknowledged (within one step of the model), or after two seconds if it does
 * not. Does nothing, and is not remembered, if no call is waiting. Never blocks. Any thread. */
LIPC_API void lipc_classic_cancel(lipc_classic *handle);

/* Asks the host to end, also in the middle of an answer, and waits until it is gone and its objects are removed.
 * Errors: NO_HOST (none is running), TIMEOUT, CANCELLED, ACCESS, BUSY, SYSTEM. */
LIPC_API int lipc_classic_shutdown(lipc_classic *handle, int timeout_ms);

/* The process id of the host this handle is connected to; 0 before connect, once a call has found the host gone, and for
 * a host in another pid namespace, which has none here. Any thread. */
LIPC_API int lipc_classic_host_pid(lipc_classic *handle);

/* Frees the handle; the host goes on. NULL is allowed. Cannot fail. No other call on the handle may be under way. */
LIPC_API void lipc_classic_close(lipc_classic *handle);

#ifdef __cplusplus
}
#endif
#endif
