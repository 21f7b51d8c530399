/* lipc.h - the C API of liblipc: a local language model, in its own process, behind a user interface.
 *
 * The host program `chatbot` holds the model; this library talks to it through shared memory. Compile with
 * `pkg-config --cflags --libs lipc`.
 *
 *     lipc_classic *host;
 *     if (lipc_classic_open(NULL, &host) < 0 || lipc_classic_connect(host, 10000) < 0)
 *         die(lipc_error_message());
 *     lipc_classic_result answer;
 *     if (lipc_classic_request(host, NULL, "What is C++?", -1, &answer) < 0)
 *         die(lipc_error_message());
 *     puts(answer.text);
 *     lipc_classic_close(host);
 *
 * Conventions
 *   Errors      Functions return 0 or a negative code of LIPC_ERROR_MAP. lipc_error_message() then tells the calling
 *               thread what was wrong, with which value, and what to do.
 *   Text        UTF-8, zero-terminated. What you pass in is copied; what you get stays the library's and lives as long
 *               as the function that returns it says.
 *   Time-outs   Milliseconds; negative waits without limit, 0 only looks. Clock jumps do not disturb them.
 *   Silence     The library never prints, exits, installs signal handlers, reaps children or changes the locale. A
 *               connected handle has one thread, which sleeps until the host's process ends and takes no signals.
 *   Processes   A handle belongs to the process that opened it; after fork() the child may only close it.
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
    X(-9, ACCESS, "the host belongs to another user")                                                                  \
    X(-10, LAYOUT, "the shared memory is not of the expected form")

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

/* Makes a handle for the host of instance `name` (NULL: the default, "llama_cpp"). Connects to nothing yet; no blocking.
 * Errors: INVALID (a name longer than 63 bytes, empty, or with other characters than letters, digits, '_', '-', '.'),
 * NO_MEMORY, SYSTEM. On error *handle is NULL. */
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
 * On success *result is the complete answer. An answer that was cut short because somebody told the host to end counts as
 * HOST_GONE. On CANCELLED, TIMEOUT and HOST_GONE it holds what had arrived (possibly
 * nothing: text is then ""), so that it can be shown; after TIMEOUT the host is told to stop. `result` may be NULL.
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

/* The process id of the host this handle is connected to; 0 before connect and once a call has found the host gone. Any
 * thread. */
LIPC_API int lipc_classic_host_pid(lipc_classic *handle);

/* Frees the handle; the host goes on. NULL is allowed. Cannot fail. No other call on the handle may be under way. */
LIPC_API void lipc_classic_close(lipc_classic *handle);

#ifdef __cplusplus
}
#endif
#endif
