/* transfer.c - see transfer.h. */
#include "transfer.h"

#include "../../platform/platform.h"
#include "../../web/curl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_SIZE ((size_t)65536)
#define HEAD_MOST ((size_t)262144) /* bytes of a reply's head */
#define POLL_MS 250           /* how late it is noticed that what was left does not end, at most */
#define POLL_IDLE_MS 3600000
#define LEFT_NS 1000000000u   /* for so long the end of what was left is waited for */

enum state { RUNS, OVER, LEFT, DROPPED };

struct transfer {
    network *network;
    int state;
    int is_full;
    uint64_t written, taken;
    /* The network's thread alone, until it is over. */
    void *handle;
    transfer *next;
    char *body;
    const char *address;
    size_t n_body;
    size_t n_head;
    bool is_direct, is_paused;
    uint64_t left_ns;  /* when it was seen to be left; 0: it was not */
    transfer_head head;
    transfer_result result;
    char error_text[CURL_ERROR_SIZE];
    char ring[RING_SIZE];
};

struct network {
    const curl_library *curl;
    network_options options;
    void *multi;
    curl_list *fields;
    plat_thread *thread;
    transfer *submitted;
    int must_end;
    transfer *running; /* the network's thread alone */
};

/* ---- in the network's thread: what comes ---------------------------------------------------------------------------- */

static int state_of(const transfer *transfer) {
    return __atomic_load_n(&transfer->state, __ATOMIC_ACQUIRE);
}

static size_t room_of(const transfer *transfer) {
    return RING_SIZE - (size_t)(transfer->written - __atomic_load_n(&transfer->taken, __ATOMIC_SEQ_CST));
}

static void tell(const transfer *transfer) {
    const network_options *options = &transfer->network->options;
    options->on_news(options->user_data);
}

static void read_type(transfer *transfer) {
    const char *type = NULL;
    long status = 0;
    size_t n = 0;
    transfer->network->curl->easy_get(transfer->handle, CURL_GET_STATUS, &status);
    transfer->network->curl->easy_get(transfer->handle, CURL_GET_CONTENT_TYPE, &type);
    transfer->head.status = (int)status;
    for (; type && type[n] && type[n] != ';' && n + 1 < sizeof transfer->head.type; n++)
        transfer->head.type[n] = (char)(isgraph((unsigned char)type[n]) ? tolower((unsigned char)type[n]) : ' ');
    while (n > 0 && transfer->head.type[n - 1] == ' ') n--;
    transfer->head.type[n] = 0;
}

static size_t on_header(char *bytes, size_t size, size_t n_items, void *user_data) {
    static const char name[] = "retry-after:";
    transfer *transfer = user_data;
    size_t n_bytes = size * n_items, n_name = sizeof name - 1, at = 0;
    transfer->n_head += n_bytes;
    if (transfer->n_head > HEAD_MOST) return 0; /* which ends it */
    if (transfer->written > 0) return n_bytes; /* behind the body: the engine's thread may be reading the head */
    while (at < n_name && at < n_bytes && tolower((unsigned char)bytes[at]) == name[at]) at++;
    if (at < n_name) return n_bytes;
    while (at < n_bytes && bytes[at] == ' ') at++;
    int seconds = at < n_bytes && isdigit((unsigned char)bytes[at]) ? 0 : -1; /* a date is not understood */
    for (; at < n_bytes && isdigit((unsigned char)bytes[at]) && seconds < 1000000; at++) seconds = seconds * 10 + bytes[at] - '0';
    transfer->head.retry_after_s = seconds;
    return n_bytes;
}

/* The engine's thread makes room, and then looks whether the ring was full; here it is the other way round: one of the two
 * sees the other. */
static bool has_room(transfer *transfer, size_t n_bytes) {
    if (room_of(transfer) >= n_bytes) return true;
    __atomic_store_n(&transfer->is_full, 1, __ATOMIC_SEQ_CST);
    return room_of(transfer) >= n_bytes;
}

static size_t on_body(char *bytes, size_t size, size_t n_items, void *user_data) {
    transfer *transfer = user_data;
    size_t n_bytes = size * n_items, at = (size_t)(transfer->written % RING_SIZE), n_first = RING_SIZE - at;
    if (state_of(transfer) != RUNS || n_bytes == 0) return n_bytes;
    if (n_bytes > RING_SIZE) return 0; /* more than libcurl says it gives */
    if (!has_room(transfer, n_bytes)) {
        transfer->is_paused = true;
        return CURL_WRITE_PAUSE;
    }
    if (transfer->written == 0) read_type(transfer);
    if (n_first > n_bytes) n_first = n_bytes;
    memcpy(transfer->ring + at, bytes, n_first);
    memcpy(transfer->ring, bytes + n_first, n_bytes - n_first);
    __atomic_store_n(&transfer->written, transfer->written + n_bytes, __ATOMIC_RELEASE);
    tell(transfer);
    return n_bytes;
}

/* ---- in the network's thread: beginnings and ends -------------------------------------------------------------------- */

static void free_transfer(transfer *transfer) {
    free(transfer->body);
    free(transfer);
}

static void finish(transfer *transfer, bool has_failed, const char *message) {
    const network *network = transfer->network;
    if (transfer->written == 0 && transfer->handle) read_type(transfer);
    transfer->result.has_failed = has_failed;
    snprintf(transfer->result.message, sizeof transfer->result.message, "%s", message);
    if (transfer->handle) {
        network->curl->multi_remove(network->multi, transfer->handle);
        network->curl->easy_free(transfer->handle);
    }
    if (__atomic_exchange_n(&transfer->state, OVER, __ATOMIC_SEQ_CST) != RUNS) free_transfer(transfer);
    else network->options.on_news(network->options.user_data); /* nothing of the transfer: the engine may have freed it */
}

static void prepare(transfer *transfer) {
    const network *network = transfer->network;
    const curl_library *curl = network->curl;
    void *handle = transfer->handle;
    curl->easy_set(handle, CURL_SET_ADDRESS, transfer->address);
    curl->easy_set(handle, CURL_SET_ERROR_BUFFER, transfer->error_text);
    curl->easy_set(handle, CURL_SET_USER_AGENT, "lipc");
    curl->easy_set(handle, CURL_SET_NO_SIGNAL, 1L);
    /* Nobody leads a request with a key and a conversation elsewhere. */
    curl->easy_set(handle, CURL_SET_FOLLOW, 0L);
    curl->easy_set(handle, CURL_SET_PROTOCOLS, CURL_PROTOCOL_HTTP | CURL_PROTOCOL_HTTPS);
    curl->easy_set(handle, CURL_SET_CONNECT_TIMEOUT_MS, (long)network->options.connect_timeout_ms);
    if (transfer->is_direct) curl->easy_set(handle, CURL_SET_PROXY, "");
    curl->easy_set(handle, CURL_SET_TCP_NODELAY, 1L);
    curl->easy_set(handle, CURL_SET_TCP_KEEPALIVE, 1L);
    /* Rather a stream of a connection that others have than one more. Plain servers have no streams: there it would only mean to
     * wait until the reply to the first request begins. */
    if (strncmp(transfer->address, "https:", 6) == 0) curl->easy_set(handle, CURL_SET_WAIT_FOR_PIPE, 1L);
    curl->easy_set(handle, CURL_SET_QUICK_EXIT, 1L);
    curl->easy_set(handle, CURL_SET_FIELDS, network->fields);
    curl->easy_set(handle, CURL_SET_POST_BYTES, transfer->body);
    curl->easy_set(handle, CURL_SET_POST_SIZE, (long)transfer->n_body);
    curl->easy_set(handle, CURL_SET_HEADER_FUNCTION, on_header);
    curl->easy_set(handle, CURL_SET_HEADER_DATA, transfer);
    curl->easy_set(handle, CURL_SET_WRITE_FUNCTION, on_body);
    curl->easy_set(handle, CURL_SET_WRITE_DATA, transfer);
    curl->easy_set(handle, CURL_SET_PRIVATE, transfer);
    if (network->options.certificates) curl->easy_set(handle, CURL_SET_CERTIFICATES, network->options.certificates);
}

static void begin(network *network, transfer *transfer) {
    transfer->handle = state_of(transfer) == RUNS ? network->curl->easy_new() : NULL;
    if (transfer->handle) prepare(transfer);
    if (transfer->handle && network->curl->multi_add(network->multi, transfer->handle) == 0) {
        transfer->next = network->running;
        network->running = transfer;
        return;
    }
    finish(transfer, true, "not enough memory for a connection");
}

static void begin_submitted(network *network) {
    transfer *newest = __atomic_exchange_n(&network->submitted, NULL, __ATOMIC_ACQUIRE), *oldest = NULL;
    while (newest) { /* pushed, so the newest comes first */
        transfer *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        transfer *next = oldest->next;
        begin(network, oldest);
        oldest = next;
    }
}

static void unlink_running(network *network, const transfer *transfer) {
    struct transfer **at = &network->running;
    while (*at != transfer) at = &(*at)->next;
    *at = transfer->next;
}

static void finish_done(network *network) {
    curl_message *message;
    int n_left;
    while ((message = network->curl->multi_read(network->multi, &n_left))) {
        char *found = NULL;
        int result = message->data.result;
        if (message->kind != CURL_MESSAGE_DONE || network->curl->easy_get(message->handle, CURL_GET_PRIVATE, &found) != 0) continue;
        transfer *transfer = (struct transfer *)(void *)found;
        unlink_running(network, transfer);
        transfer->result.is_hopeless = result == CURL_FAILED_TO_VERIFY || result == CURL_FAILED_WITH_CERTIFICATE ||
                                       result == CURL_FAILED_WITH_CA_FILE;
        finish(transfer, result != 0,
               result == 0 ? "" : transfer->n_head > HEAD_MOST ? "the head of the reply is too long" : transfer->error_text[0] ? transfer->error_text : network->curl->error_text(result));
    }
}

/* Returns whether the transfer is to end now. */
static bool is_given_up(transfer *transfer, uint64_t now_ns) {
    int state = state_of(transfer);
    if (state == LEFT && transfer->left_ns == 0) transfer->left_ns = now_ns;
    return state == DROPPED || (state == LEFT && now_ns - transfer->left_ns > LEFT_NS);
}

/* Goes on with what had no room, and ends what nobody wants. */
static void look_at_running(network *network) {
    uint64_t now_ns = plat_clock_ns();
    for (transfer *transfer = network->running, *next; transfer; transfer = next) {
        next = transfer->next;
        /* As long as there is too little room, the engine's thread has to wake this one again. */
        if (transfer->is_paused && (has_room(transfer, CURL_WRITE_MOST) || state_of(transfer) != RUNS)) {
            transfer->is_paused = false;
            network->curl->easy_pause(transfer->handle, CURL_PAUSE_NOTHING); /* may call on_body */
        }
        if (!is_given_up(transfer, now_ns)) continue;
        unlink_running(network, transfer);
        /* Of a stream that others do not share the connection with, HTTP/2's word that it is over would wait for the next one. */
        network->curl->easy_set(transfer->handle, CURL_SET_FORBID_REUSE, 1L);
        finish(transfer, true, "it was given up");
    }
}

static void run(void *argument) {
    network *network = argument;
    int n;
    while (!__atomic_load_n(&network->must_end, __ATOMIC_ACQUIRE)) {
        begin_submitted(network);
        network->curl->multi_perform(network->multi, &n);
        finish_done(network);
        look_at_running(network);
        network->curl->multi_poll(network->multi, NULL, 0, network->running ? POLL_MS : POLL_IDLE_MS, &n);
    }
    begin_submitted(network);
    while (network->running) {
        transfer *transfer = network->running;
        unlink_running(network, transfer);
        finish(transfer, true, "the host ends");
    }
}

/* ---- in the engine's thread ------------------------------------------------------------------------------------------ */

static bool make_fields(network *network) {
    const curl_library *curl = network->curl;
    static const char *const fields[] = {"Content-Type: application/json", "Accept: text/event-stream", "Expect:"};
    size_t n_key = network->options.key ? strlen(network->options.key) : 0;
    char *authorization = malloc(n_key + 32);
    bool are_made = authorization != NULL;
    if (are_made) snprintf(authorization, n_key + 32, "Authorization: Bearer %s", n_key > 0 ? network->options.key : "");
    for (size_t i = 0; i < 4 && are_made; i++) {
        if (i == 3 && n_key == 0) continue;
        curl_list *longer = curl->list_add(network->fields, i == 3 ? authorization : fields[i]);
        are_made = longer != NULL;
        if (longer) network->fields = longer;
    }
    free(authorization);
    return are_made;
}

network *network_open(const network_options *options, char *message, size_t message_size) {
    const curl_library *curl = curl_load();
    if (!curl) {
        snprintf(message, message_size, "libcurl 7.68 or newer cannot be loaded: install it (Debian: libcurl4)");
        return NULL;
    }
    network *network = calloc(1, sizeof *network);
    snprintf(message, message_size, "not enough memory for connections");
    if (!network) return NULL;
    *network = (struct network){.curl = curl, .options = *options, .multi = curl->multi_new()};
    if (network->multi && make_fields(network) && plat_thread_start(run, network, 0, &network->thread) == PLAT_OK) return network;
    network_close(network);
    return NULL;
}

void network_close(network *network) {
    if (!network) return;
    if (network->thread) {
        __atomic_store_n(&network->must_end, 1, __ATOMIC_RELEASE);
        network->curl->multi_wake(network->multi);
        plat_thread_join(network->thread);
    }
    if (network->multi) network->curl->multi_free(network->multi);
    network->curl->list_free(network->fields);
    free(network);
}

transfer *transfer_post(network *network, const char *address, bool is_direct, const char *body, size_t n_bytes) {
    transfer *transfer = malloc(sizeof *transfer);
    char *copy = malloc(n_bytes + 1);
    if (!transfer || !copy) {
        free(transfer);
        free(copy);
        return NULL;
    }
    memset(transfer, 0, offsetof(struct transfer, ring)); /* the rest is written before it is read */
    memcpy(copy, body, n_bytes);
    transfer->network = network;
    transfer->address = address;
    transfer->is_direct = is_direct;
    transfer->body = copy;
    transfer->n_body = n_bytes;
    transfer->head.retry_after_s = -1;
    transfer->next = __atomic_load_n(&network->submitted, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&network->submitted, &transfer->next, transfer, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {}
    network->curl->multi_wake(network->multi);
    return transfer;
}

bool transfer_has_news(const transfer *transfer) {
    return __atomic_load_n(&transfer->written, __ATOMIC_ACQUIRE) != transfer->taken || state_of(transfer) == OVER;
}

const char *transfer_bytes(const transfer *transfer, size_t *n_bytes) {
    size_t at = (size_t)(transfer->taken % RING_SIZE);
    size_t n = (size_t)(__atomic_load_n(&transfer->written, __ATOMIC_ACQUIRE) - transfer->taken);
    *n_bytes = n < RING_SIZE - at ? n : RING_SIZE - at;
    return transfer->ring + at;
}

void transfer_take(transfer *transfer, size_t n_bytes) {
    __atomic_store_n(&transfer->taken, transfer->taken + n_bytes, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&transfer->is_full, 0, __ATOMIC_SEQ_CST)) transfer->network->curl->multi_wake(transfer->network->multi);
}

const transfer_head *transfer_head_of(const transfer *transfer) {
    return &transfer->head;
}

const transfer_result *transfer_result_of(const transfer *transfer) {
    size_t n_bytes;
    if (state_of(transfer) != OVER) return NULL;
    transfer_bytes(transfer, &n_bytes); /* behind the state: all that came is seen */
    return n_bytes == 0 ? &transfer->result : NULL;
}

static void let_go(transfer *transfer, int state) {
    if (!transfer) return;
    const network *network = transfer->network;
    if (__atomic_exchange_n(&transfer->state, state, __ATOMIC_SEQ_CST) == OVER) free_transfer(transfer);
    else network->curl->multi_wake(network->multi);
}

void transfer_leave(transfer *transfer) {
    let_go(transfer, LEFT);
}

void transfer_drop(transfer *transfer) {
    let_go(transfer, DROPPED);
}
