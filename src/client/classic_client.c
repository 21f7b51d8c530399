/* classic_client.c - the client's side of the classic channel.
 *
 * A host that dies posts nothing. So each connected handle watches its host's process, and the watch posts in its stead:
 *
 *     waiter: (1) waiting_on = semaphore   (2) is_host_dead? -> gone     (3) waits
 *     watch:  (4) is_host_dead = true      (5) waiting_on? -> posts that semaphore
 *
 * All four are sequentially consistent: either (2) sees (4), or (5) sees (1) and the wait ends. A post that comes when the
 * waiter has just left stays behind in the objects of a dead host, whose successor takes all permits back.
 *
 * Waiting in slices instead, with a look at the host between two of them, was measured: at 3 ms it took 7 % off the speed
 * of a model with 6 ms a token, because each wake-up takes a core from the model while its other threads spin.
 */
#include "default_name.h"
#include "error.h"

#include "../channel/classic_block.h"
#include "../channel/hub.h"
#include "../channel/names.h"
#include "../platform/platform.h"
#include "../platform/failpoint.h"
#include "../text/utf8.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How soon a wait that is cancelled from another thread returns, where the host has no part in it. */
#define SLICE_MS 20
/* While an answer is being made: cancelling reaches the host at once, so this is only for a host that does not react. */
#define LONG_SLICE_MS 250
/* Where a host cannot be watched (a kernel before 5.3): how soon its death is noticed. */
#define UNWATCHED_SLICE_MS 5
/* For how long a host may take to acknowledge a cancel before its client goes on without it: it may be stopped. */
#define CANCEL_MS 2000

struct lipc_classic {
    char name[LIPC_NAME_MAX + 1];
    plat_segment *segment;
    lipc_classic_block *block;
    plat_semaphore *ready, *prompts_written, *response_written, *chunk_ready;
    plat_process_watch *watch;  /* NULL if it cannot be watched */
    plat_semaphore *waiting_on; /* atomic */
    bool is_host_dead;          /* atomic: the watch says so */
    plat_doorbell death_bell;   /* rung by the watch */
    int host_pid;               /* atomic: other threads ask */
    bool is_busy;               /* atomic: a call is under way */
    bool is_cancelled;          /* atomic: another thread wants that call to return */
    bool is_stopping;           /* the answer at hand is no longer wanted; the calling thread's own */
    uint32_t reader;            /* our number in the block; another for each request */
    uint64_t update_pause_ns;   /* between two updates, at least; 0: none */
    uint64_t next_update_ns;    /* of the answer at hand: not before that, but for the last one */
    pthread_mutex_t lock;       /* guards is_answering against lipc_classic_cancel */
    bool is_answering;          /* the block holds our request */
    char text[LIPC_RESPONSE_SIZE];
};

/* ---- turns --------------------------------------------------------------------------------------------------------- */

/* Of all numbers that clients take, the next one that is free by all likelihood. */
static void take_number(lipc_classic *handle) {
    do {
        handle->reader++;
    } while (handle->reader == 0 || handle->reader == LIPC_READER_HOST_ENDED);
}

/* Whether the block is still ours. A client that was stopped for long may find another one's request in it. */
static bool has_turn(const lipc_classic *handle) {
    uint32_t reader = classic_block_reader(handle->block);
    return reader == handle->reader || reader == LIPC_READER_HOST_ENDED;
}

static void raise_cancel(lipc_classic *handle, bool is_raised) {
    if (has_turn(handle)) classic_block_request_cancel(handle->block, is_raised);
}

/* ---- one call at a time -------------------------------------------------------------------------------------------- */

static int enter(lipc_classic *handle) {
    if (!handle) return lipc_fail(LIPC_E_INVALID, "the handle is NULL");
    if (__atomic_exchange_n(&handle->is_busy, true, __ATOMIC_ACQUIRE))
        return lipc_fail(LIPC_E_BUSY, "another thread is in a call on this handle; open one handle for each thread");
    __atomic_store_n(&handle->is_cancelled, false, __ATOMIC_RELAXED);
    return LIPC_E_OK;
}

static int leave(lipc_classic *handle, int result) {
    __atomic_store_n(&handle->is_busy, false, __ATOMIC_RELEASE);
    return result;
}

static bool is_cancelled(const lipc_classic *handle) {
    return __atomic_load_n(&handle->is_cancelled, __ATOMIC_RELAXED);
}

void lipc_classic_cancel(lipc_classic *handle) {
    if (!handle || !__atomic_load_n(&handle->is_busy, __ATOMIC_RELAXED)) return;
    __atomic_store_n(&handle->is_cancelled, true, __ATOMIC_RELAXED);
    /* Under the lock the block is mapped and the request in it is ours. */
    pthread_mutex_lock(&handle->lock);
    if (handle->is_answering) raise_cancel(handle, true);
    pthread_mutex_unlock(&handle->lock);
}

static void set_answering(lipc_classic *handle, bool is_answering) {
    pthread_mutex_lock(&handle->lock);
    handle->is_answering = is_answering;
    pthread_mutex_unlock(&handle->lock);
}

/* ---- objects ------------------------------------------------------------------------------------------------------- */

static void set_host_pid(lipc_classic *handle, int pid) {
    __atomic_store_n(&handle->host_pid, pid, __ATOMIC_RELAXED);
}

/* PLAT_PID_ELSEWHERE: it is there, and cannot be watched; the locks tell. */
static int host_pid(const lipc_classic *handle) {
    return __atomic_load_n(&handle->host_pid, __ATOMIC_RELAXED);
}

int lipc_classic_host_pid(lipc_classic *handle) {
    return handle && host_pid(handle) > 0 ? host_pid(handle) : 0;
}

/* In the watch's thread. */
static void on_host_death(void *user_data, uint32_t tag) {
    (void)tag;
    lipc_classic *handle = user_data;
    __atomic_store_n(&handle->is_host_dead, true, __ATOMIC_SEQ_CST);                                  /* (4) */
    plat_semaphore *semaphore = __atomic_load_n(&handle->waiting_on, __ATOMIC_SEQ_CST); /* (5) */
    if (semaphore) plat_semaphore_post(semaphore);
    FAILPOINT("classic_client.death.post");
    plat_doorbell_ring(&handle->death_bell, PLAT_BELL_ALL);
}

static void close_objects(lipc_classic *handle) {
    plat_process_watch_close(handle->watch); /* first: it may be about to post */
    handle->watch = NULL;
    set_host_pid(handle, 0);
    plat_semaphore_close(handle->ready);
    plat_semaphore_close(handle->prompts_written);
    plat_semaphore_close(handle->response_written);
    plat_semaphore_close(handle->chunk_ready);
    plat_segment_close(handle->segment);
    handle->ready = handle->prompts_written = handle->response_written = handle->chunk_ready = NULL;
    handle->segment = NULL;
    handle->block = NULL;
}

/* Opens the five objects. NO_HOST if one of them is not there (yet). */
static int open_objects(lipc_classic *handle) {
    char object_name[NAMES_OBJECT_SIZE];
    const struct { const char *suffix; plat_semaphore **semaphore; } wanted[] = {
        {LIPC_SUFFIX_READY, &handle->ready},
        {LIPC_SUFFIX_PROMPTS_WRITTEN, &handle->prompts_written},
        {LIPC_SUFFIX_RESPONSE_WRITTEN, &handle->response_written},
        {LIPC_SUFFIX_CHUNK_READY, &handle->chunk_ready},
    };
    names_object(object_name, handle->name, LIPC_SUFFIX_SEGMENT);
    int error = plat_segment_open(object_name, LIPC_HUB_END, &handle->segment);
    if (error == PLAT_E_UNEXPECTED) /* an older host's, without a hub */
        error = plat_segment_open(object_name, LIPC_CLASSIC_MAP_SIZE, &handle->segment);
    for (size_t i = 0; error == PLAT_OK && i < sizeof wanted / sizeof wanted[0]; i++) {
        names_object(object_name, handle->name, wanted[i].suffix);
        error = plat_semaphore_open(object_name, wanted[i].semaphore);
    }
    if (error < 0) {
        int result = lipc_fail_object(error, object_name);
        close_objects(handle);
        return result;
    }
    handle->block = plat_segment_base(handle->segment);
    return LIPC_E_OK;
}

/* Whether the objects at hand are those of a live host; if so, remembers its pid and watches it. */
static bool has_live_host(lipc_classic *handle) {
    int pid = plat_segment_is_current(handle->segment) ? plat_segment_owner_pid(handle->segment) : 0;
    plat_process_watch_close(handle->watch);
    handle->watch = NULL;
    __atomic_store_n(&handle->is_host_dead, false, __ATOMIC_RELAXED);
    set_host_pid(handle, pid);
    if (pid == 0) return false;
    if (pid == PLAT_PID_ELSEWHERE) return true;
    if (plat_process_watch_open(on_host_death, handle, &handle->watch) == PLAT_OK) {
        int error = plat_process_watch_add(handle->watch, pid, 0, 0);
        if (error == PLAT_E_NOT_FOUND) return false;
        if (error < 0) { /* a system that cannot watch: see UNWATCHED_SLICE_MS */
            plat_process_watch_close(handle->watch);
            handle->watch = NULL;
        }
    }
    /* If it ended before the watch was there, the pid may be somebody else's by now. */
    return plat_segment_owner_pid(handle->segment) == pid;
}

/* Whether that host has taken the objects over. Until it has, the permits in them are a dead host's: whoever took one
 * would write a request that the new host resets. */
static bool has_taken_over(lipc_classic *handle) {
    return plat_segment_size(handle->segment) < LIPC_HUB_END || host_pid(handle) == PLAT_PID_ELSEWHERE ||
           hub_is_of(plat_segment_base(handle->segment), host_pid(handle));
}

/* ---- waiting ------------------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static int fail_host_gone(lipc_classic *handle) {
    int pid = host_pid(handle);
    set_host_pid(handle, 0);
    if (pid == PLAT_PID_ELSEWHERE)
        return lipc_fail(LIPC_E_HOST_GONE, "the host of '%s', in another pid namespace, ended or was killed; connect again",
                         handle->name);
    return lipc_fail(LIPC_E_HOST_GONE, "the host of '%s', process %d, ended or was killed; connect again", handle->name,
                     pid);
}

static bool is_host_gone(const lipc_classic *handle) {
    return __atomic_load_n(&handle->is_host_dead, __ATOMIC_SEQ_CST); /* (2) */
}

/* Takes a permit. Returns OK, CANCELLED, HOST_GONE or TIMEOUT; looks for a cancel after each slice. */
static int wait_permit(lipc_classic *handle, plat_semaphore *semaphore, int slice_ms, uint64_t deadline_ns) {
    if (!handle->watch) slice_ms = UNWATCHED_SLICE_MS;
    for (;;) {
        if (is_cancelled(handle)) return lipc_fail(LIPC_E_CANCELLED, "cancelled by lipc_classic_cancel");
        /* Again in each slice: an idle host takes stale flags back, and may have looked just before our request. */
        if (handle->is_stopping) raise_cancel(handle, true);
        __atomic_store_n(&handle->waiting_on, semaphore, __ATOMIC_SEQ_CST); /* (1) */
        bool taken = !is_host_gone(handle) &&
                     plat_semaphore_wait(semaphore, earlier(deadline_ns, plat_deadline_ns(slice_ms))) == PLAT_OK;
        if (taken) FAILPOINT("classic_client.wait.taken");
        __atomic_store_n(&handle->waiting_on, NULL, __ATOMIC_SEQ_CST);
        if (is_host_gone(handle)) return fail_host_gone(handle);
        if (taken) return LIPC_E_OK;
        if (plat_segment_owner_pid(handle->segment) != host_pid(handle)) return fail_host_gone(handle);
        if (plat_clock_ns() >= deadline_ns || (handle->is_answering && !has_turn(handle)))
            return lipc_fail(LIPC_E_TIMEOUT, "the time-out passed");
    }
}

/* Waits for the objects of a live host and opens them. */
static int wait_objects(lipc_classic *handle, uint64_t deadline_ns) {
    plat_namespace_watch *watch;
    if (plat_namespace_watch_open(&watch) < 0)
        return lipc_fail(LIPC_E_SYSTEM, "cannot watch for the host's objects: %s", plat_os_error());
    int result;
    for (;;) {
        result = open_objects(handle);
        if (result == LIPC_E_OK && has_live_host(handle) && has_taken_over(handle)) break;
        if (result == LIPC_E_OK) {
            close_objects(handle);
            lipc_fail(LIPC_E_NO_HOST, "the objects of '%s' are there, but their host is dead; start it again",
                      handle->name);
            result = LIPC_E_NO_HOST;
        }
        /* A host that creates its objects is announced by the watch; one that takes old ones over is not. */
        if (result != LIPC_E_NO_HOST || plat_clock_ns() >= deadline_ns) break;
        if (is_cancelled(handle)) {
            result = lipc_fail(LIPC_E_CANCELLED, "cancelled by lipc_classic_cancel");
            break;
        }
        plat_namespace_wait(watch, earlier(deadline_ns, plat_deadline_ns(SLICE_MS)));
    }
    plat_namespace_watch_close(watch);
    return result;
}

/* ---- opening, connecting, closing ---------------------------------------------------------------------------------- */

int lipc_classic_open(const char *name, lipc_classic **result) {
    if (!result) return lipc_fail(LIPC_E_INVALID, "the place for the handle is NULL");
    *result = NULL;
    if (!name) name = client_default_name();
    if (!names_is_instance(name))
        return lipc_fail(LIPC_E_INVALID, "the name '%.64s' is not valid: " NAMES_RULE, name);
    lipc_classic *handle = calloc(1, sizeof *handle);
    if (!handle) return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory for a handle");
    snprintf(handle->name, sizeof handle->name, "%s", name);
    pthread_mutex_init(&handle->lock, NULL);
    plat_random(&handle->reader, sizeof handle->reader);
    *result = handle;
    return LIPC_E_OK;
}

void lipc_classic_close(lipc_classic *handle) {
    if (!handle) return;
    close_objects(handle);
    pthread_mutex_destroy(&handle->lock);
    free(handle);
}

int lipc_classic_limit_updates(lipc_classic *handle, int updates_per_second) {
    int result = enter(handle);
    if (result < 0) return result;
    if (updates_per_second < 0) return leave(handle, lipc_fail(LIPC_E_INVALID, "%d updates a second", updates_per_second));
    handle->update_pause_ns = updates_per_second == 0 ? 0 : 1000000000ull / (uint64_t)updates_per_second;
    return leave(handle, LIPC_E_OK);
}

int lipc_classic_connect(lipc_classic *handle, int timeout_ms) {
    uint64_t deadline_ns = plat_deadline_ns(timeout_ms);
    int result = enter(handle);
    if (result < 0) return result;
    if (handle->segment && host_pid(handle) != 0 &&
        plat_segment_owner_pid(handle->segment) == host_pid(handle) &&
        plat_segment_is_current(handle->segment))
        return leave(handle, LIPC_E_OK);
    close_objects(handle);
    result = wait_objects(handle, deadline_ns);
    if (result == LIPC_E_OK) {
        /* Ready is a permit: take it to see it, and give it back for the first request. If we die in between, the host
         * posts it again after a second. */
        handle->is_stopping = false;
        result = wait_permit(handle, handle->ready, SLICE_MS, deadline_ns);
        if (result == LIPC_E_OK) {
            plat_semaphore_post(handle->ready);
            FAILPOINT("classic_client.connect.ready");
        } else if (result == LIPC_E_TIMEOUT) {
            lipc_fail(result, "the host of '%s', process %d, was not ready within %d ms: it is loading its model or busy",
                      handle->name, host_pid(handle), timeout_ms);
        }
        if (result < 0) close_objects(handle);
    }
    return leave(handle, result);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

typedef struct request {
    const char *system_prompt, *user_prompt;
    size_t system_bytes, user_bytes;
    bool is_cut;
} request;

static int check_prompt(const char *what, const char *text, size_t *n_bytes, bool *is_cut) {
    size_t length = strlen(text);
    if (!utf8_is_valid(text, length)) return lipc_fail(LIPC_E_INVALID, "the %s is not valid UTF-8", what);
    *n_bytes = utf8_fit(text, length, LIPC_PROMPT_SIZE - 1);
    *is_cut |= *n_bytes < length;
    return LIPC_E_OK;
}

static int check_request(request *request) {
    if (!request->user_prompt) return lipc_fail(LIPC_E_INVALID, "the user prompt is NULL");
    if (!request->system_prompt) request->system_prompt = "";
    int result = check_prompt("system prompt", request->system_prompt, &request->system_bytes, &request->is_cut);
    if (result < 0) return result;
    return check_prompt("user prompt", request->user_prompt, &request->user_bytes, &request->is_cut);
}

/* Reads what the block shows now into *answer. Returns whether anything new is there since the last reading. */
static bool read_answer(lipc_classic *handle, lipc_classic_result *answer) {
    int32_t n_updates_before = answer->n_updates;
    size_t n_bytes_before = answer->n_bytes;
    /* Completion first: if it stands, the text read afterwards is final. */
    answer->complete = classic_block_is_complete(handle->block);
    answer->n_bytes = classic_block_read_text(handle->block, handle->text, n_bytes_before);
    answer->n_updates = classic_block_update_counter(handle->block);
    answer->n_tokens = classic_block_tokens_generated(handle->block);
    answer->n_new_from = n_bytes_before;
    return answer->complete || answer->n_updates != n_updates_before || answer->n_bytes != n_bytes_before;
}

/* The answer is no longer wanted: from here on wait_permit raises the flag, and the host acknowledges by completing. */
static void stop_answer(lipc_classic *handle, uint64_t *deadline_ns) {
    handle->is_stopping = true;
    *deadline_ns = earlier(*deadline_ns, plat_deadline_ns(CANCEL_MS));
}

/* What was read last may be another client's: it is forgotten, and the permit that may have been its own given back. */
static int lose_turn(lipc_classic *handle, plat_semaphore *progress, int result, const lipc_classic_result *before,
                     lipc_classic_result *answer) {
    *answer = *before;
    handle->text[answer->n_bytes] = 0;
    if (result == LIPC_E_HOST_GONE) return result; /* the next host has emptied the block */
    if (result == LIPC_E_OK) plat_semaphore_post(progress);
    FAILPOINT("classic_client.lost.permit");
    return lipc_fail(LIPC_E_TIMEOUT, "another client has its turn: this process did not read its answer for too long");
}

/* Waits until the block shows something new, and it is time for an update. What arrives until then is read with it. */
static int wait_news(lipc_classic *handle, plat_semaphore *progress, uint64_t deadline_ns) {
    int result = wait_permit(handle, progress, LONG_SLICE_MS, deadline_ns);
    while (result == LIPC_E_OK && plat_clock_ns() < handle->next_update_ns && !classic_block_is_complete(handle->block)) {
        result = wait_permit(handle, progress, LONG_SLICE_MS, earlier(deadline_ns, handle->next_update_ns));
        if (result == LIPC_E_TIMEOUT && plat_clock_ns() < deadline_ns && has_turn(handle)) result = LIPC_E_OK;
    }
    return result;
}

/* The answer to a posted request: until it is complete, or an error. */
static int follow_answer(lipc_classic *handle, plat_semaphore *progress, uint64_t deadline_ns,
                         lipc_classic_update_fn on_update, void *user_data, lipc_classic_result *answer) {
    while (!answer->complete) {
        int result = wait_news(handle, progress, deadline_ns);
        if (result == LIPC_E_CANCELLED) {
            __atomic_store_n(&handle->is_cancelled, false, __ATOMIC_RELAXED);
            stop_answer(handle, &deadline_ns);
            continue;
        }
        const lipc_classic_result before = *answer;
        bool is_new = read_answer(handle, answer);
        if (!has_turn(handle)) return lose_turn(handle, progress, result, &before, answer);
        /* A host that completed the answer as its last act has done its work. */
        if (result < 0 && !answer->complete) {
            if (result != LIPC_E_TIMEOUT) return result;
            raise_cancel(handle, true);
            return handle->is_stopping ? lipc_fail(LIPC_E_CANCELLED, "cancelled; the host has not acknowledged it") : result;
        }
        handle->next_update_ns = plat_clock_ns() + handle->update_pause_ns;
        /* A cancel may have reached the host before this thread looked: what it completed then is no news. */
        if (is_new && on_update && !handle->is_stopping && !is_cancelled(handle) && on_update(user_data, answer) != 0)
            stop_answer(handle, &deadline_ns);
    }
    if (is_cancelled(handle)) handle->is_stopping = true;
    /* A host that is told to end completes the answer with what there is. That is not the answer. */
    bool is_cut = classic_block_shutdown_requested(handle->block) ||
                  classic_block_reader(handle->block) == LIPC_READER_HOST_ENDED;
    if (is_cut && !handle->is_stopping) return fail_host_gone(handle);
    return handle->is_stopping ? lipc_fail(LIPC_E_CANCELLED, "the request was cancelled") : LIPC_E_OK;
}

static int perform(lipc_classic *handle, request *request, bool stream, int timeout_ms,
                   lipc_classic_update_fn on_update, void *user_data, lipc_classic_result *answer) {
    uint64_t deadline_ns = plat_deadline_ns(timeout_ms);
    int result = check_request(request);
    if (result < 0) return result;
    if (!handle->segment || host_pid(handle) == 0)
        return lipc_fail(LIPC_E_NO_HOST, "not connected to a host: call lipc_classic_connect first");
    if (plat_segment_owner_pid(handle->segment) != host_pid(handle)) return fail_host_gone(handle);
    answer->prompt_cut = request->is_cut;
    handle->is_stopping = false;
    result = wait_permit(handle, handle->ready, SLICE_MS, deadline_ns);
    if (result < 0) return result;
    take_number(handle);
    handle->next_update_ns = 0;
    classic_block_write_request(handle->block, handle->reader, request->system_prompt, request->system_bytes,
                                request->user_prompt, request->user_bytes, stream);
    plat_semaphore_post(handle->prompts_written);
    FAILPOINT("classic_client.request.posted");
    set_answering(handle, true);
    result = follow_answer(handle, stream ? handle->chunk_ready : handle->response_written, deadline_ns, on_update,
                           user_data, answer);
    set_answering(handle, false);
    /* A cancel that came when the host had just completed would hit the next answer. */
    if (answer->complete && (handle->is_stopping || is_cancelled(handle)))
        raise_cancel(handle, false);
    /* Leaves no permit behind, for a host that does not know `reader`; it is posted right after the last chunk. */
    if (stream && answer->complete) plat_semaphore_wait(handle->response_written, plat_deadline_ns(UNWATCHED_SLICE_MS));
    FAILPOINT("classic_client.request.written");
    /* Not before the answer is read: the next client writes over it. */
    classic_block_change_reader(handle->block, handle->reader, 0);
    return result;
}

/* What request and stream share. */
static int run_request(lipc_classic *handle, const char *system_prompt, const char *user_prompt, bool stream,
                       int timeout_ms, lipc_classic_update_fn on_update, void *user_data, lipc_classic_result *result) {
    if (result) *result = (lipc_classic_result){.text = ""};
    int error = enter(handle);
    if (error < 0) return error;
    request request = {.system_prompt = system_prompt, .user_prompt = user_prompt};
    lipc_classic_result answer = {.text = handle->text};
    handle->text[0] = 0;
    error = perform(handle, &request, stream, timeout_ms, on_update, user_data, &answer);
    answer.n_new_from = 0;
    if (result) *result = answer;
    return leave(handle, error);
}

int lipc_classic_request(lipc_classic *handle, const char *system_prompt, const char *user_prompt, int timeout_ms,
                         lipc_classic_result *result) {
    return run_request(handle, system_prompt, user_prompt, false, timeout_ms, NULL, NULL, result);
}

int lipc_classic_stream(lipc_classic *handle, const char *system_prompt, const char *user_prompt, int timeout_ms,
                        lipc_classic_update_fn on_update, void *user_data, lipc_classic_result *result) {
    return run_request(handle, system_prompt, user_prompt, true, timeout_ms, on_update, user_data, result);
}

/* ---- shutdown ------------------------------------------------------------------------------------------------------ */

static int wait_until_gone(lipc_classic *handle, uint64_t deadline_ns) {
    int pid = host_pid(handle);
    int slice_ms = handle->watch ? SLICE_MS : UNWATCHED_SLICE_MS;
    for (;;) {
        uint32_t seen = plat_doorbell_arm(&handle->death_bell, PLAT_BELL_ALL);
        if (plat_segment_owner_pid(handle->segment) != pid) break;
        if (is_cancelled(handle)) return lipc_fail(LIPC_E_CANCELLED, "cancelled by lipc_classic_cancel");
        if (plat_clock_ns() >= deadline_ns)
            return lipc_fail(LIPC_E_TIMEOUT, "the host of '%s', process %d, did not end in time", handle->name, pid);
        plat_doorbell_wait(&handle->death_bell, seen, earlier(deadline_ns, plat_deadline_ns(slice_ms)));
    }
    close_objects(handle);
    return LIPC_E_OK;
}

int lipc_classic_shutdown(lipc_classic *handle, int timeout_ms) {
    uint64_t deadline_ns = plat_deadline_ns(timeout_ms);
    int result = enter(handle);
    if (result < 0) return result;
    if (!handle->segment) result = open_objects(handle);
    if (result == LIPC_E_OK && !has_live_host(handle)) {
        close_objects(handle);
        result = lipc_fail(LIPC_E_NO_HOST, "no host is running as '%s'", handle->name);
    }
    if (result == LIPC_E_OK) {
        classic_block_request_shutdown(handle->block);
        plat_semaphore_post(handle->prompts_written);
        FAILPOINT("classic_client.shutdown.posted");
        result = wait_until_gone(handle, deadline_ns);
    }
    return leave(handle, result);
}
