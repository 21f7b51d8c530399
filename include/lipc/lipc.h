/* lipc.h - the C API of liblipc: a local language model in its own process, for use by a user interface.
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
 * Contents: conventions, errors, clients, streams (the modern channel), models by name, documents, and the guide's classic channel.
 *
 * Conventions
 *   Errors      Functions return 0 or a negative code of LIPC_ERROR_MAP. lipc_error_message() then says, in the calling
 *               thread, what was wrong, with which value, and what to do about it.
 *   Text        UTF-8. Text that you pass in is zero-terminated and copied. Text that you receive belongs to the library
 *               and is valid for as long as the function that returns it says.
 *   Time-outs   In milliseconds. Negative: no limit; 0: check without waiting. Changes of the system clock have no effect.
 *   Structures  For those that you fill in, the _init function sets the defaults. New fields are only ever added at the
 *               end, and `struct_size` tells the library which fields you know. Structures that the library fills in grow the
 *               same way. Macros around the functions pass the size that your program was compiled with.
 *   Silence     The library never prints, exits, installs signal handlers or changes the locale. It reaps no child
 *               process except a host, or one that fetches a model, that it started itself. An attached client has one thread, which blocks all signals
 *               and sleeps until the host's process ends.
 *   Processes   A handle belongs to the process that opened it; after fork() the child may only close it.
 *   Crashes     The model runs in a worker process, which the host replaces if it dies. Every answer then continues where it
 *               was, and all you see is the state RECOVERING and a pause. If the host itself is killed, calls return
 *               HOST_GONE once everything that had arrived has been read. Detachable streams continue in the next host:
 *               attach to them by id with a new client. docs/reliability.md has the details.
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

/* Number, name, text. A number never changes its meaning. A test checks the C# enum LipcError against this table. */
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
    X(-10, LAYOUT, "the shared memory does not have the expected layout")                                              \
    X(-11, REFUSED, "the host cannot serve this request")                                                              \
    X(-12, FAILED, "the model failed while answering")                                                                 \
    X(-13, FULL, "the host has no room for another client")                                                            \
    X(-14, GONE, "the stream no longer exists")

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

/* What went wrong in this thread's last failed call: one sentence with the values involved and, where possible, the remedy.
 * Empty if no call has failed. Valid until the thread's next call into the library. */
LIPC_API const char *lipc_error_message(void);

/* ==== Clients =======================================================================================================
 *
 * A client is this process's connection to a host: one record in shared memory and one doorbell. Any number of streams can
 * be opened on it. Open one client per process, not one per request.
 *
 * Threads: any function may be called from any thread at any time, concurrently, with two exceptions: lipc_client_close must
 * not run concurrently with another call on the same client, nor lipc_stream_close with another call on the same stream.
 * Several threads may read one stream, and each piece goes to one of them; but a piece's text is valid only until the next
 * read on that stream by any thread, so threads that share a stream must coordinate their reads.
 */
typedef struct lipc_client lipc_client;

/* What to do if no host is running under the name. */
typedef enum lipc_start {
    LIPC_START_NEVER = 0,   /* wait for one until the time-out, then fail with NO_HOST */
    LIPC_START_WITH_ME = 1, /* start one that exits when this process exits or the client is closed */
    LIPC_START_DETACHED = 2 /* start one that keeps running, for other clients and for later */
} lipc_start;

typedef struct lipc_client_options {
    uint32_t struct_size;  /* set by lipc_client_options_init */
    int32_t start;         /* lipc_start; initially NEVER */
    const char *name;      /* instance; NULL: the environment variable LIPC_NAME, or "llama_cpp" if that is not set */
    const char *host_path; /* the host program; NULL: `chatbot` next to this program, then on the PATH */
    const char *const *host_arguments; /* additional arguments, ending with NULL: {"-m", "model.gguf", NULL}; may be NULL */
    int32_t timeout_ms;    /* for finding or starting a host and attaching, not for loading the model; initially 10,000 */
    int32_t wakes_per_second; /* how often a waiting call of this client may return for new text in the middle of an answer:
                              0 (initially): for every token; N > 0: at most N times a second. The first text and the end
                              are always delivered immediately. A reader whose time-out is always 0 is never woken */
} lipc_client_options;

LIPC_API void lipc_client_options_init_sized(lipc_client_options *options, size_t options_size);
#define lipc_client_options_init(options) lipc_client_options_init_sized(options, sizeof *(options))

/* Attaches to the host of an instance, starting one first if necessary; `options` may be NULL. Returns once attached: the
 * host may still be loading its model (see lipc_client_wait_ready), but requests can already be sent.
 * Errors: INVALID (a bad name or option), NO_HOST (none is running, or the program was not found), HOST_GONE (the host that
 * was started has exited: the message has its last line), TIMEOUT, ACCESS, LAYOUT (the running host has another layout
 * version: the message names both), FULL (too many clients), NO_MEMORY, SYSTEM. On error *client is NULL. */
LIPC_API int lipc_client_open(const lipc_client_options *options, lipc_client **client);

typedef enum lipc_host_state {
    LIPC_HOST_STARTING = 1,
    LIPC_HOST_LOADING = 2, /* load_per_mille is the progress; also while the host switches models */
    LIPC_HOST_READY = 3,
    LIPC_HOST_ENDING = 4,  /* finishing the answers in progress, accepting no more */
    LIPC_HOST_GONE = 5,    /* its process has ended */
    LIPC_HOST_RECOVERING = 6 /* its worker died; a new one loads the model and then continues every answer */
} lipc_host_state;

typedef struct lipc_host_status {
    int32_t state;           /* lipc_host_state */
    int32_t load_per_mille;  /* 0 to 1000 */
    int32_t host_pid;
    int32_t n_clients;       /* attached now */
    int32_t n_streams;       /* stream capacity (chatbot --streams) */
    int32_t n_running;       /* answers being generated */
    int32_t n_queued;        /* requests waiting for their turn */
    int32_t n_parallel;      /* how many answers can be generated at a time */
    int32_t n_ctx;           /* tokens of context per answer; 0 until ready, like everything below */
    int32_t n_ctx_trained;
    int32_t n_vocab;
    int32_t n_threads;       /* at most: beside busy programs there are fewer, unless -t says how many */
    uint64_t n_parameters;
    uint64_t model_bytes;
    uint64_t request_size;   /* the most bytes a request can have; valid before the host is ready */
    uint64_t response_size;  /* the most bytes an answer can have; valid before the host is ready */
    char model[128];         /* a description of the model */
    char host_version[16];
    char model_path[1024];   /* absolute path of the model or of the replayed text; "" if it is unknown or too long, or there is none (--remote) */
    int32_t is_asleep;       /* 1: READY, but without the model in memory (chatbot --sleep-idle): the next request loads it, and
                                then the state is LOADING for a while */
    int32_t reserved;
    uint64_t download_bytes; /* of a model that is being fetched: how many bytes have come, */
    uint64_t download_total; /* of how many; 0: not known, or nothing is being fetched */
    uint64_t download_rate;  /* bytes that come in a second */
    int32_t n_layers;        /* of the model, with the output's; 0: not known */
    int32_t n_device_layers; /* of these on devices, such as graphics cards */
    char devices[256];       /* which devices and what lies there, or why none; "": not known */
} lipc_host_status;

/* Reads the host's status. Does not block and makes no system call. Errors: INVALID. */
LIPC_API int lipc_client_status_sized(lipc_client *client, lipc_host_status *status, size_t status_size);
#define lipc_client_status(client, status) lipc_client_status_sized(client, status, sizeof *(status))

/* Called in the waiting thread when the state or the loading progress has changed. Return 0 to keep waiting. */
typedef int (*lipc_status_fn)(void *user_data, const lipc_host_status *status);

/* Waits until the host has loaded its model; `on_status` may be NULL.
 * Errors: TIMEOUT, HOST_GONE (for example because its model file is damaged; if this client started the host, the message
 * has its last line), CANCELLED (on_status did not return 0, or lipc_client_interrupt was called), INVALID. */
LIPC_API int lipc_client_wait_ready(lipc_client *client, int timeout_ms, lipc_status_fn on_status, void *user_data);

/* Makes every call that is currently waiting on this client or its streams return CANCELLED. The streams continue. Never
 * blocks; may be called from a signal handler. */
LIPC_API void lipc_client_interrupt(lipc_client *client);

/* Asks the host to shut down, as SIGTERM does: answers being generated are finished, queued requests are not. Waits until
 * the host is gone. Errors: TIMEOUT, NO_HOST (it had already ended), CANCELLED, INVALID. */
LIPC_API int lipc_client_shutdown(lipc_client *client, int timeout_ms);

/* Detaches from the host. Open streams are cancelled, except detachable ones, which continue. Stream handles stay valid
 * until they are closed; reads report HOST_GONE, or how the answer ended if it already had. Shuts down a host that was started
 * WITH_ME. NULL is allowed. Cannot fail. */
LIPC_API void lipc_client_close(lipc_client *client);

/* ==== Streams =======================================================================================================
 *
 * A stream is one request and its answer. The answer is a log in shared memory that only grows, and the reader keeps its own
 * position in it. Reading late costs nothing and loses nothing.
 */
typedef struct lipc_stream lipc_stream;

typedef struct lipc_message {
    const char *role; /* "system", "user" or "assistant"; a lipc_document allows more */
    const char *text;
} lipc_message;

/* A parameter by name. lipc/parameters.h lists them with their ranges; docs/parameters.md has the same list as a table. */
typedef struct lipc_parameter {
    const char *name; /* "top_k" */
    double number;    /* the value, if it is a number */
    const char *text; /* the value, if it is text; otherwise NULL */
} lipc_parameter;

/* Uses the host's own option of that name. */
#define LIPC_INT_DEFAULT INT32_MIN
#define LIPC_SEED_RANDOM INT64_C(-1)
#define LIPC_SEED_DEFAULT INT64_C(-2)

typedef struct lipc_request {
    uint32_t struct_size;    /* set by lipc_request_init */
    int32_t n_messages;
    const lipc_message *messages;
    int32_t n_predict;       /* the most tokens to generate; -1: as many as fit; LIPC_INT_DEFAULT */
    int32_t top_k;           /* keep the K likeliest tokens; 0: off; LIPC_INT_DEFAULT */
    float temperature;       /* 0: always the likeliest token. In all float fields, NaN means the host's own option */
    float min_p;             /* keep tokens at least P times as likely as the best one, 0 to 1; 0: off */
    float top_p;             /* keep the likeliest tokens whose probabilities add up to P, 0 to 1; 1: off */
    float repeat_penalty;    /* divides the logits of recent tokens; 1: off. 0.01 to 100 */
    float frequency_penalty; /* subtracted once for each recent occurrence; 0: off. -100 to 100 */
    float presence_penalty;  /* subtracted if the token occurred recently; 0: off. -100 to 100 */
    int32_t repeat_last_n;   /* how many tokens count as recent; 0: none, -1: all; LIPC_INT_DEFAULT */
    int32_t priority;        /* -100 to 100, initially 0; the waiting request with the highest priority goes first */
    int64_t seed;            /* 0 to 4294967294, LIPC_SEED_RANDOM or LIPC_SEED_DEFAULT */
    const char *grammar;     /* GBNF with a rule "root" that the answer must follow; NULL: none */
    const char *const *stops;/* the answer ends before the first of these texts; may be NULL */
    int32_t n_stops;         /* at most 16, of 1 to 256 bytes each */
    int32_t detachable;      /* 1: the work continues without this client: see lipc_stream_id */
    int32_t ignore_eos;      /* 1: the model cannot end its answer */
    int32_t logprobs;        /* 1: token records have log probabilities; costs one pass over the vocabulary per token. The parameter
                                `n_probs` implies it: see lipc_stream_probs */
    int32_t reserved0;       /* 0 */
    int32_t render;          /* 1: show the prompt that the request turns into, instead of answering it. The stream's text is
                                a JSON document, {"text": ..., "tokens": [{"id", "text", "is_control", "is_input"}]} */
    const char *document;    /* a JSON document instead of messages: see lipc_document; NULL: none */
    const char *load_path;   /* load this model instead of answering: an absolute path, or a name, without messages. See
                                lipc_client_load. NULL: answer */
    const lipc_parameter *parameters; /* more parameters, by name; they take precedence over the fields above. May be NULL */
    int32_t n_parameters;
    int32_t reserved;        /* 0 */
    const char *save_path;   /* keep what the model remembers of the conversation (messages or document) in this file, instead of
                                answering it. NULL: answer. See "Saved state" */
    const char *restore_path;/* read such a file back, without messages. NULL: answer */
} lipc_request;

/* Saved state. A host remembers the last conversations, so that the next turn of one evaluates only what is new. That memory
 * ends with the host, or when other conversations take its place, and then a long conversation takes as long to continue as it
 * took to read: minutes on a slow machine. A request with `save_path` writes it into a file, one with `restore_path` reads it
 * back; both are requests like any other, wait for their turn, and end with LIPC_END_TURN and a small JSON document as their
 * text: {"tokens": N, "bytes": N}. Afterwards send the conversation as usual: what the host remembers of it is not evaluated again
 * (lipc_progress.n_cached).
 *
 * Both paths are absolute and as the host sees them. The file has up to some hundred kilobytes for each token, belongs to the
 * host's user alone, and replaces one that was there only when it is complete. The host's other answers pause while it is
 * written or read. A file of another model, of another version of llama.cpp, of a host with other options for the cache, or a
 * damaged one is refused (REFUSED, with a sentence), as is a conversation of which the host remembers less than half. The file
 * contains that conversation and no other: keep it like one, and restore only files that you trust as you trust the model's. */

/* Sets the defaults: no messages, the host's own options, not detachable. */
LIPC_API void lipc_request_init_sized(lipc_request *request, size_t request_size);
#define lipc_request_init(request) lipc_request_init_sized(request, sizeof *(request))

/* Sends a request. Never waits: if all of the host's streams are in use, the request waits in this process for the next free
 * one, and lipc_stream_progress reports its position. If the host refuses the request, the first read says so.
 * Errors: INVALID (no message, text that is not UTF-8, a number out of range), REFUSED (longer than the host's request_size),
 * HOST_GONE, NO_MEMORY. On error *stream is NULL. */
LIPC_API int lipc_stream_open(lipc_client *client, const lipc_request *request, lipc_stream **stream);

/* The same for one message of the role "user". */
LIPC_API int lipc_stream_ask(lipc_client *client, const char *text, lipc_stream **stream);

/* Makes the host switch to the model in the file `path`, for all of its clients. This is a request like any other: it waits
 * for its turn, can be cancelled, and is closed when done. Requests that arrived earlier are answered first, by the old model;
 * those that arrive later wait for the new one. While loading, the host's state is LOADING and lipc_client_status reports the
 * progress. Then the stream ends without text and the host has the new model, with the same options for context, threads and
 * so on. A new worker of this host also loads the new model; the next host does not.
 *
 * The host keeps, or reloads, the old model if the stream is cancelled or closed before that, if this process dies, or if the
 * new model cannot be used. A relative path is relative to this process's current directory; the host must be able to read
 * the file.
 *
 * Instead of a path, `path` may be a name: "hf://user/model" or "hf://user/model:quant" of a model hub, or the address of a GGUF
 * file, https://... What is not in llama.cpp's cache is fetched first, with `download_bytes`, `download_total` and `download_rate`
 * in the host's status; meanwhile the host serves what it has, and a cancel keeps what has come for the next try. The environment
 * of the host says where the hub is (HF_ENDPOINT) and who asks (HF_TOKEN).
 *
 * lipc_stream_open does the same for a request with an absolute `load_path` and no messages, which can also have a
 * priority and, with `detachable` = 1, continues without this client.
 *
 * Errors, from this call: INVALID (no path, or one that is too long or not UTF-8), REFUSED (a host with a layout before 1.3),
 * HOST_GONE, NO_MEMORY; from the first read: REFUSED (no such file or name, not a GGUF model, a host that replays text), FAILED (it
 * cannot be fetched; the model is damaged, of an unknown architecture, or does not fit into memory; or it crashed the host's worker twice). On error
 * *stream is NULL. */
LIPC_API int lipc_client_load(lipc_client *client, const char *path, lipc_stream **stream);

typedef struct lipc_delta {
    const char *text; /* the new text: whole characters, not zero-terminated. A copy, valid until the next read on this
                         stream or until it is closed */
    size_t n_bytes;   /* 0: see lipc_stream_read */
    uint64_t offset;  /* where the text begins in the whole answer */
} lipc_delta;

/* Reads the text that is new since the last read, and waits if there is none. Returns 0 with n_bytes > 0: new text; 0 with
 * n_bytes = 0: the answer is complete and has been read to the end. With timeout_ms = 0 it never waits and costs no system
 * call on either side, which suits user interfaces that check once per frame.
 * Errors: TIMEOUT (nothing new in time; the stream continues), CANCELLED (after lipc_stream_cancel, once all text has been
 * read; or after lipc_client_interrupt: the stream continues), REFUSED, FAILED, HOST_GONE (once everything that had arrived
 * has been read), GONE (a followed stream whose place was given to another), INVALID. */
LIPC_API int lipc_stream_read(lipc_stream *stream, int timeout_ms, lipc_delta *delta);

/* What an answer consists of. */
typedef enum lipc_part_kind {
    LIPC_PART_TEXT = 0,    /* the answer itself */
    LIPC_PART_THOUGHT = 1, /* reasoning: what a thinking model writes before it answers */
    LIPC_PART_CALL = 2     /* a tool call; its text is the arguments, a JSON object once it is complete */
} lipc_part_kind;

typedef struct lipc_part_delta {
    int32_t kind;        /* lipc_part_kind */
    int32_t part;        /* index of the thought or call in the answer, from 0, the same in all of its deltas; text: -1 */
    int32_t call;        /* index among the calls, from 0; other kinds: -1 */
    int32_t begins;      /* 1: the first delta of a thought or call; it may have no text yet */
    const char *text;    /* the new text: whole characters, not zero-terminated; a copy, as in lipc_delta */
    size_t n_bytes;
    uint64_t offset;     /* where the text begins in its part, or in the answer's text */
    uint64_t position;   /* of a thought or call: how many bytes of the answer's text come before it */
    const char *call_id; /* in every delta of a call: the id to send the result back with; zero-terminated */
    const char *name;    /* in every delta of a call: the tool; zero-terminated. Other kinds: "" */
    int32_t first_token; /* of a thought or call: index of its first token; text: -1 */
    int32_t reserved;
} lipc_part_delta;

/* Like lipc_stream_read, but also reads thoughts and calls. Each delta belongs to one of them or to the text, and deltas come
 * in their proper order: a part is complete when a delta of another part arrives, or the end. The end is 0 with n_bytes = 0 and
 * begins = 0. lipc_stream_read only returns text; both functions share one position in it. Once this function has been called,
 * lipc_stream_wait_any also waits for thoughts and calls of this stream.
 *
 * An answer that consists of calls ends with LIPC_END_TURN like any other. A host without parts (a layout before 1.4) delivers
 * text only. Stop strings apply to the text only. Errors and time-outs are those of lipc_stream_read. */
LIPC_API int lipc_stream_read_part(lipc_stream *stream, int timeout_ms, lipc_part_delta *delta);

/* Called in the reading thread for each new piece of text. Return 0 to continue, anything else to cancel the stream. */
typedef int (*lipc_delta_fn)(void *user_data, const lipc_delta *delta);

/* Reads to the end, calling `on_delta` for each piece. Returns 0 if the answer is complete. Errors are those of
 * lipc_stream_read; the time-out covers the whole answer. */
LIPC_API int lipc_stream_run(lipc_stream *stream, int timeout_ms, lipc_delta_fn on_delta, void *user_data);

/* Waits until one of several streams of the same client has something to read (new text, its end, or an error), and stores
 * its index in `streams` in *index. Takes turns among them, so that none is starved.
 * Errors: TIMEOUT, CANCELLED (lipc_client_interrupt), INVALID (no stream, NULL, or streams of different clients). */
LIPC_API int lipc_stream_wait_any(lipc_stream *const *streams, size_t n_streams, int timeout_ms, size_t *index);

/* For a thread that waits for many streams while others join and leave, without being interrupted for each. `wanted` 1: from
 * now on lipc_client_wait_any waits for this stream, too, also in a call under way, until it has returned it once. 0: no
 * longer. Does nothing if it is so already; closing the stream takes it out. Never blocks. Errors: INVALID. */
LIPC_API int lipc_stream_await(lipc_stream *stream, int wanted);

/* Waits until one of the awaited streams has something to read, takes it out of them, and stores it in *stream. NULL: none is
 * awaited, or no longer. The stream may be closed by another thread as soon as this returns. Takes turns among them.
 * Errors: TIMEOUT, CANCELLED (lipc_client_interrupt), INVALID. */
LIPC_API int lipc_client_wait_any(lipc_client *client, int timeout_ms, lipc_stream **stream);

typedef enum lipc_stream_state {
    LIPC_STREAM_QUEUED = 1,     /* waiting for its turn: queue_position */
    LIPC_STREAM_READING = 2,    /* evaluating the prompt: n_prompt_done of n_prompt tokens */
    LIPC_STREAM_GENERATING = 3,
    LIPC_STREAM_ENDED = 4,      /* `end` says why */
    LIPC_STREAM_RECOVERING = 5  /* the host's worker died; a new one evaluates prompt and answer so far, then continues */
} lipc_stream_state;

/* Number, name, text: why an answer ended. */
#define LIPC_END_MAP(X)                                                                                                \
    X(0, NONE, "it has not ended")                                                                                     \
    X(1, TURN, "the model ended its answer")                                                                           \
    X(2, LIMIT, "n_predict tokens were generated")                                                                     \
    X(3, STOP, "a stop string was found")                                                                              \
    X(4, CONTEXT, "the context is full")                                                                               \
    X(5, FULL, "the answer does not fit into its stream")                                                              \
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
    int32_t queue_position; /* requests ahead of this one; 0: it is next, or has begun */
    int32_t n_prompt;       /* tokens in the prompt; 0 until it has been tokenized */
    int32_t n_prompt_done;  /* of those, how many have been evaluated */
    int32_t n_tokens;       /* tokens in the answer */
    int32_t n_cached;       /* tokens of the prompt that were in the host's cache and not evaluated again */
    uint64_t n_bytes;       /* bytes in the answer */
    uint64_t queued_ns;     /* time in the queue, so far or in total */
    uint64_t prompt_ns;     /* from its turn to the first token */
    uint64_t generate_ns;   /* from the first token to now, or to the end */
    uint32_t seed;          /* the seed in use */
    uint32_t reserved2;
} lipc_progress;

/* Reads a stream's progress without blocking. Errors: INVALID, HOST_GONE (*progress is the last known state), GONE. */
LIPC_API int lipc_stream_progress_sized(lipc_stream *stream, lipc_progress *progress, size_t progress_size);
#define lipc_stream_progress(stream, progress) lipc_stream_progress_sized(stream, progress, sizeof *(progress))

typedef struct lipc_token {
    uint64_t end;     /* offset in the answer where this token's text ends. A token that ends inside a character, or whose
                         text might become part of a stop string, ends where the previous text ends */
    int32_t id;       /* in the model's vocabulary; -1: not known, and the token is a piece as a server sent it (--remote) */
    float logprob;    /* natural logarithm of its probability before sampling; NaN unless request.logprobs
                         or the parameter n_probs asks for it */
    uint64_t time_ns; /* from the request's turn to the token's publication, in microsecond steps; at most 71 minutes */
} lipc_token;

/* Copies the records of tokens `first`, `first` + 1, ... as far as they exist, at most n_tokens; *n_copied is their number.
 * Does not block. Errors: INVALID, HOST_GONE, GONE; FAILED: the answer is complete, this handle has read all records in order,
 * and another process has overwritten some of them. */
LIPC_API int lipc_stream_tokens_sized(lipc_stream *stream, size_t first, lipc_token *tokens, size_t token_size,
                                      size_t n_tokens, size_t *n_copied);
#define lipc_stream_tokens(stream, first, tokens, n_tokens, n_copied)                                                  \
    lipc_stream_tokens_sized(stream, first, tokens, sizeof *(tokens), n_tokens, n_copied)

/* One of the likeliest tokens where the model chose one. */
typedef struct lipc_prob {
    int32_t id;
    float logprob;    /* natural logarithm of its softmax over all of the model's logits, before samplers, penalties, biases and
                         grammars: what llama-server reports without post_sampling_probs */
    uint32_t n_bytes; /* of its text; control tokens have one, too. 255: or more */
    char text[24];    /* its first 23 bytes, which need not be whole characters, then zeroes */
} lipc_prob;

/* Copies the likeliest tokens at token `token` of the answer (counted from 0, as for lipc_stream_tokens), likeliest first, at most
 * n_probs; *n_copied is their number. They are there as soon as the token's record is, also after the host's worker died. It is
 * 0 if the token is not there yet, if neither the request nor the host's options asked for any (the parameter `n_probs`, 0
 * to 20), and with hosts before that parameter. Whether the chosen token is among them depends on the sampling; lipc_token has its own
 * log probability. An answer with `n_probs` ends FULL when the space for them is used up: half the size of the response log, with
 * 32 bytes for each (3,276 tokens with 5 of them, by default).
 * Does not block. The caller owns `probs`. Threads: any number, also on one stream. Errors: INVALID, GONE; HOST_GONE as for
 * lipc_stream_tokens; FAILED: another process has overwritten them. That is noticed once the answer is complete and this handle has
 * read those of all tokens in order, unless the host's worker died after it: its successor takes them as it finds them. It leaves an
 * answer without any if their number is not the one asked for, be it overwritten or another host's default. */
LIPC_API int lipc_stream_probs_sized(lipc_stream *stream, size_t token, lipc_prob *probs, size_t prob_size, size_t n_probs,
                                     size_t *n_copied);
#define lipc_stream_probs(stream, token, probs, n_probs, n_copied)                                                     \
    lipc_stream_probs_sized(stream, token, probs, sizeof *(probs), n_probs, n_copied)

/* Stops the work on a stream; reads then return the remaining text, followed by CANCELLED. Has no effect on a stream that has
 * ended or is only followed. Never blocks, cannot fail. */
LIPC_API void lipc_stream_cancel(lipc_stream *stream);

/* Writes the stream's unguessable id, 32 hexadecimal digits and a zero byte, to `text`. With the id, a client can reattach to a
 * detachable stream and follow any stream, for as long as the host keeps it: until its owner closes it or, if it has no
 * owner, until its place is needed. */
#define LIPC_STREAM_ID_SIZE 33
LIPC_API int lipc_stream_id(lipc_stream *stream, char text[LIPC_STREAM_ID_SIZE]);

/* Detaches a detachable stream without stopping its work, and frees the handle. For other streams this is the same as close. A
 * request that is still waiting for a free stream keeps waiting as long as its client is open, and is sent during the next
 * call on that client that finds one. NULL is allowed. */
LIPC_API void lipc_stream_detach(lipc_stream *stream);

/* Stops the work on any stream, by id, as lipc_stream_cancel does for one's own: its owner reads the remaining text, followed
 * by CANCELLED. For administration tools. Never blocks. Errors: GONE (no such stream, or its answer has ended), INVALID (not
 * an id), HOST_GONE. */
LIPC_API int lipc_client_cancel(lipc_client *client, const char *id);

/* Attaches to a stream by id, to read it from byte `offset` (moved back to the start of a character). If its owner has detached
 * it or has died, this client becomes the owner. Otherwise, or if `read_only` is 1, the stream is only followed.
 * Errors: GONE (no such stream), INVALID (not an id), HOST_GONE, NO_MEMORY. */
LIPC_API int lipc_stream_attach(lipc_client *client, const char *id, uint64_t offset, int read_only, lipc_stream **stream);

/* Frees the handle. If this client owns the stream, its work stops and its place becomes free; if it only follows it, nothing
 * else changes. May be called before or after lipc_client_close. NULL is allowed. Cannot fail. */
LIPC_API void lipc_stream_close(lipc_stream *stream);

/* ==== Models by name ================================================================================================
 *
 * Fetches a model before a host is started with it, with progress and without a host. A running host fetches by itself what
 * lipc_client_load names.
 */
typedef struct lipc_fetch_options {
    uint32_t struct_size;  /* set by lipc_fetch_options_init */
    int32_t offline;       /* 1: use the cache alone */
    const char *host_path; /* the host program, which fetches, in a process of its own; NULL: `chatbot` next to this program, then
                              on the PATH */
} lipc_fetch_options;

LIPC_API void lipc_fetch_options_init_sized(lipc_fetch_options *options, size_t options_size);
#define lipc_fetch_options_init(options) lipc_fetch_options_init_sized(options, sizeof *(options))

typedef struct lipc_fetch_progress {
    uint64_t download_bytes; /* how many bytes have come, */
    uint64_t download_total; /* of how many; 0: not known yet */
    uint64_t download_rate;  /* bytes that come in a second */
} lipc_fetch_progress;

/* Called in the waiting thread at least ten times a second, whether or not anything has come. Return 0 to keep waiting. */
typedef int (*lipc_fetch_fn)(void *user_data, const lipc_fetch_progress *progress);

/* Fetches a model into llama.cpp's cache, unless it is there, and writes the path of its file, the first one of several, into
 * `path`. `name` is "hf://user/model", "hf://user/model:quant" or an address, as for lipc_client_load; the environment says where
 * the hub and the cache are (HF_ENDPOINT, HF_TOKEN, LLAMA_CACHE). A download that was cancelled or killed is continued the next
 * time; several processes that want the same file share one. `options` and `on_progress` may be NULL.
 * Errors: INVALID (no such form of a name, an option, a path without room), NO_HOST (there is no host program), REFUSED (there is no
 * such model), FAILED (it cannot be fetched; the message says why), CANCELLED (on_progress did not return 0; the process that
 * fetched is gone), NO_MEMORY. */
LIPC_API int lipc_model_fetch(const char *name, const lipc_fetch_options *options, lipc_fetch_fn on_progress, void *user_data,
                              char *path, size_t path_size);

/* ==== Documents ====================================================================================================
 *
 * For requests that plain messages cannot express: additional roles, thoughts and calls from earlier answers, tools, a schema
 * for the answer, thinking. A document is JSON in the format of the "chat completions" of OpenAI and llama-server
 * (docs/protocol.md, section 15). These functions write one; if you already have the JSON, put it into lipc_request.document.
 *
 *     lipc_document *document;
 *     lipc_document_new(&document);
 *     lipc_document_add_message(document, "user", "What is 6 times 7?");
 *     lipc_document_add_tool(document, "calculate", "Evaluates an expression.",
 *                            "{\"type\":\"object\",\"properties\":{\"expression\":{\"type\":\"string\"}}}");
 *     request.document = lipc_document_json(document);
 *
 * The host checks the document against the model: if the model's template cannot do what it asks for, the first read returns
 * REFUSED. All of these functions return INVALID for NULL, text that is not UTF-8 or malformed JSON, or NO_MEMORY, with a
 * sentence in lipc_error_message(); the document is then unchanged. Threads: one at a time per document. */
typedef struct lipc_document lipc_document;

/* An empty document. On error *document is NULL. */
LIPC_API int lipc_document_new(lipc_document **document);

/* A document that starts as the JSON object `json`. Messages and tools can be added to it, and other members replaced. */
LIPC_API int lipc_document_parse(const char *json, lipc_document **document);

/* Adds a message. Roles: "system", "developer", "user", "assistant", "tool" (see lipc_document_add_result). */
LIPC_API int lipc_document_add_message(lipc_document *document, const char *role, const char *text);

/* Add a thought or a tool call to the last message, whose role must be "assistant"; otherwise INVALID. `arguments` is a JSON
 * object, as returned by lipc_stream_read_part. */
LIPC_API int lipc_document_add_thought(lipc_document *document, const char *text);
LIPC_API int lipc_document_add_call(lipc_document *document, const char *call_id, const char *name, const char *arguments);

/* Adds a tool's result: a message with the role "tool". */
LIPC_API int lipc_document_add_result(lipc_document *document, const char *call_id, const char *name, const char *text);

/* Adds a tool that the model may call. `description` may be NULL. `parameters` is a JSON schema; NULL: no parameters. */
LIPC_API int lipc_document_add_tool(lipc_document *document, const char *name, const char *description,
                                    const char *parameters);

/* Which tool to call: "auto" (initially; the model decides), "none", "required" (at least one), or the name of a tool. */
LIPC_API int lipc_document_set_tool_choice(lipc_document *document, const char *choice);

/* Whether one answer may call several tools. */
LIPC_API int lipc_document_set_parallel_calls(lipc_document *document, int are_allowed);

/* The JSON schema that the answer's text must follow. It constrains the sampler, so a complete answer is always valid. */
LIPC_API int lipc_document_set_schema(lipc_document *document, const char *schema);

/* Whether the model thinks before it answers: 1 yes, 0 no. Initially the model's default: most that can do. */
LIPC_API int lipc_document_set_thinking(lipc_document *document, int is_on);

/* How hard it thinks ("low", "medium", "high", or whatever its template knows), and for how many tokens (-1: no limit). */
LIPC_API int lipc_document_set_effort(lipc_document *document, const char *effort);
LIPC_API int lipc_document_set_thinking_budget(lipc_document *document, int32_t n_tokens);

/* Whether the last message, whose role is "assistant", is the beginning of the answer, to be continued. */
LIPC_API int lipc_document_set_continue(lipc_document *document, int is_on);

/* Instead of messages: a raw prompt, without a template, as text or as tokens of the model's vocabulary; or, for models trained
 * for it, the text before and after a gap to fill in. */
LIPC_API int lipc_document_set_prompt(lipc_document *document, const char *text);
LIPC_API int lipc_document_set_prompt_tokens(lipc_document *document, const int32_t *tokens, size_t n_tokens);
LIPC_API int lipc_document_set_infill(lipc_document *document, const char *prefix, const char *suffix);

/* Any other member of the document, as JSON: "chat_template_kwargs", for example. NULL removes it. */
LIPC_API int lipc_document_set(lipc_document *document, const char *name, const char *json);

/* The document as JSON, zero-terminated; valid until the next call on it. NULL if memory ran out. */
LIPC_API const char *lipc_document_json(lipc_document *document);

/* NULL is allowed. */
LIPC_API void lipc_document_free(lipc_document *document);

/* ==== The classic channel ===========================================================================================
 *
 * The channel of the streaming guide: one request at a time, prompts of at most 4,095 bytes, answers of at most 32,767 bytes.
 *
 * Threads: one thread at a time may be in connect, request, stream or shutdown (another one gets LIPC_E_BUSY).
 * lipc_classic_cancel and lipc_classic_host_pid may be called from any thread at any time before close.
 *
 * If the host dies, a waiting call notices within 10 ms and returns LIPC_E_HOST_GONE. The handle can then be connected again; a
 * new host takes over the same shared objects.
 */
typedef struct lipc_classic lipc_classic;

/* Creates a handle for the host of instance `name` (NULL: the environment variable LIPC_NAME, or "llama_cpp" if that is not set).
 * Does not connect yet, and does not block. Errors: INVALID (a name that is empty, longer than 63 bytes, or has characters other
 * than letters, digits, '_', '-' and '.'), NO_MEMORY, SYSTEM. On error *handle is NULL. */
LIPC_API int lipc_classic_open(const char *name, lipc_classic **handle);

/* Waits until a host is running under the name and can serve: its shared objects exist and its model is loaded. That can take
 * minutes; choose the time-out accordingly. Does nothing if already connected to a live host.
 * Errors: NO_HOST (no host was running when the time-out expired), TIMEOUT (a host is running but still loading), HOST_GONE (it
 * ended while loading, for example because its model file is damaged), CANCELLED, ACCESS, LAYOUT, BUSY, SYSTEM. */
LIPC_API int lipc_classic_connect(lipc_classic *handle, int timeout_ms);

/* An answer, or the part of it that exists so far. */
typedef struct lipc_classic_result {
    const char *text;     /* the whole text so far: zero-terminated, whole characters. Valid until the next call on the
                             handle; in a callback, until it returns */
    size_t n_bytes;       /* length of text without the zero byte */
    size_t n_new_from;    /* callback: text[n_new_from..n_bytes) was not in the previous update. Otherwise 0 */
    int32_t n_tokens;     /* tokens generated so far */
    int32_t n_updates;    /* the update counter of the block */
    int32_t complete;     /* 1: the text is final (the callback's last update; every successful result) */
    int32_t prompt_cut;   /* 1: the system or user prompt was longer than 4,095 bytes and was cut at the last whole
                             character that fits */
} lipc_classic_result;

/* Called in the requesting thread whenever the text has changed; `update` is valid until it returns. Tokens that arrive while it
 * runs are combined into the next call. Return 0 to continue, anything else to cancel. */
typedef int (*lipc_classic_update_fn)(void *user_data, const lipc_classic_result *update);

/* Sends a request and waits for the whole answer. `system_prompt` may be NULL or empty. An empty user prompt gets an
 * empty answer.
 * On success *result is the complete answer. An answer that was cut short because the host was told to shut down counts as
 * HOST_GONE. On CANCELLED, TIMEOUT and HOST_GONE, *result holds whatever had arrived (if nothing, text is ""), so that you can
 * show it; after TIMEOUT the host is told to stop. `result` may be NULL.
 * The time-out covers both waiting for the host to be free and the answer. TIMEOUT is also returned if this process was stopped
 * for so long that another client has had its turn in the meantime.
 * Errors: INVALID (no user prompt, text that is not UTF-8), TIMEOUT, CANCELLED, HOST_GONE, NO_HOST (not connected),
 * BUSY, SYSTEM. */
LIPC_API int lipc_classic_request(lipc_classic *handle, const char *system_prompt, const char *user_prompt,
                                  int timeout_ms, lipc_classic_result *result);

/* The same, but calls `on_update` while the answer grows: at least once, and, unless the request fails, with complete = 1 the
 * last time. */
LIPC_API int lipc_classic_stream(lipc_classic *handle, const char *system_prompt, const char *user_prompt,
                                 int timeout_ms, lipc_classic_update_fn on_update, void *user_data,
                                 lipc_classic_result *result);

/* At most so many updates a second from now on, for a user interface that draws each of them; 0, the default: one whenever there is
 * something new. The first and the last of an answer come immediately, and each has all that has arrived by then. Between calls.
 * Errors: LIPC_E_INVALID (the handle is NULL, or the number negative), LIPC_E_BUSY. */
LIPC_API int lipc_classic_limit_updates(lipc_classic *handle, int updates_per_second);

/* Makes a call that is waiting in another thread return LIPC_E_CANCELLED: immediately if it is connecting or waiting for the
 * host; during an answer, once the host has acknowledged (within one step of the model), or after two seconds if it does not.
 * Has no effect, then or later, if no call is waiting. Never blocks. Any thread. */
LIPC_API void lipc_classic_cancel(lipc_classic *handle);

/* Asks the host to shut down, even in the middle of an answer, and waits until it is gone and its shared objects are removed.
 * Errors: NO_HOST (none is running), TIMEOUT, CANCELLED, ACCESS, BUSY, SYSTEM. */
LIPC_API int lipc_classic_shutdown(lipc_classic *handle, int timeout_ms);

/* The process id of the host that this handle is connected to. 0 before connect, after a call has found the host gone, and for
 * a host in another pid namespace. Any thread. */
LIPC_API int lipc_classic_host_pid(lipc_classic *handle);

/* Frees the handle; the host keeps running. NULL is allowed. Cannot fail. No other call on the handle may be in progress. */
LIPC_API void lipc_classic_close(lipc_classic *handle);

#ifdef __cplusplus
}
#endif
#endif
