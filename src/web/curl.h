/* curl.h - libcurl as far as it is used here, loaded when it is first needed: a host that fetches no model and asks no server
 * needs none (docs/decisions/0019). The numbers are those of its stable ABI. */
#ifndef WEB_CURL_H
#define WEB_CURL_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* curl_easy_setopt: numbers are long, functions and pointers as in libcurl's manual. */
enum {
    CURL_SET_LOW_SPEED_LIMIT = 19, CURL_SET_LOW_SPEED_TIME = 20, CURL_SET_NO_PROGRESS = 43, CURL_SET_NO_BODY = 44,
    CURL_SET_MAX_REDIRECTS = 68, CURL_SET_CONNECT_TIMEOUT = 78, CURL_SET_REDIRECT_PROTOCOLS = 182, CURL_SET_PROGRESS_DATA = 10057,
    CURL_SET_PROGRESS_FUNCTION = 20219,
    CURL_SET_FOLLOW = 52, CURL_SET_POST_SIZE = 60, CURL_SET_FORBID_REUSE = 75, CURL_SET_NO_SIGNAL = 99,
    CURL_SET_TCP_NODELAY = 121, CURL_SET_CONNECT_TIMEOUT_MS = 156, CURL_SET_PROTOCOLS = 181, CURL_SET_TCP_KEEPALIVE = 213, CURL_SET_WAIT_FOR_PIPE = 237,
    CURL_SET_QUICK_EXIT = 322,
    CURL_SET_WRITE_DATA = 10001, CURL_SET_ADDRESS = 10002, CURL_SET_PROXY = 10004, CURL_SET_ERROR_BUFFER = 10010, CURL_SET_POST_BYTES = 10015,
    CURL_SET_USER_AGENT = 10018, CURL_SET_FIELDS = 10023, CURL_SET_HEADER_DATA = 10029, CURL_SET_CERTIFICATES = 10065,
    CURL_SET_PRIVATE = 10103,
    CURL_SET_WRITE_FUNCTION = 20011, CURL_SET_HEADER_FUNCTION = 20079
};
/* curl_easy_getinfo */
enum { CURL_GET_STATUS = 0x200002, CURL_GET_CONTENT_TYPE = 0x100012, CURL_GET_PRIVATE = 0x100015 };

#define CURL_ERROR_SIZE 256
#define CURL_WRITE_MOST 16384 /* bytes that a write function gets at once */
#define CURL_WRITE_PAUSE ((size_t)0x10000001)
#define CURL_PAUSE_NOTHING 0
#define CURL_PROTOCOL_HTTP 1L
#define CURL_PROTOCOL_HTTPS 2L
#define CURL_MESSAGE_DONE 1

/* Codes of a transfer's end. */
enum {
    CURL_FAILED_WITH_CERTIFICATE = 58, CURL_FAILED_TO_VERIFY = 60, CURL_FAILED_WITH_CA_FILE = 77
};

typedef struct curl_list curl_list;

typedef struct curl_message {
    int kind;
    void *handle;
    union {
        void *unused;
        int result;
    } data;
} curl_message;

typedef struct curl_library {
    int (*global_init)(long flags);
    void *(*easy_new)(void);
    int (*easy_set)(void *handle, int option, ...);
    int (*easy_perform)(void *handle);
    int (*easy_get)(void *handle, int info, ...);
    int (*easy_pause)(void *handle, int what);
    void (*easy_free)(void *handle);
    const char *(*error_text)(int code);
    curl_list *(*list_add)(curl_list *list, const char *text);
    void (*list_free)(curl_list *list);
    void *(*multi_new)(void);
    int (*multi_add)(void *multi, void *handle);
    int (*multi_remove)(void *multi, void *handle);
    int (*multi_perform)(void *multi, int *n_running);
    int (*multi_poll)(void *multi, void *descriptors, unsigned n_descriptors, int timeout_ms, int *n_ready);
    int (*multi_wake)(void *multi); /* alone of all these, from any thread */
    curl_message *(*multi_read)(void *multi, int *n_left);
    int (*multi_free)(void *multi);
} curl_library;

/* The library, for good; NULL if there is none, or one older than 7.68. One thread at a time. */
const curl_library *curl_load(void);

#ifdef __cplusplus
}
#endif

#endif
