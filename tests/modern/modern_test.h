/* modern_test.h - what the tests of the modern channel share: texts for the host to play back, the segment as the
 * test's own eyes see it, clients in processes of their own, and the look at what is left at the end. */
#ifndef LIPC_TESTS_MODERN_TEST_H
#define LIPC_TESTS_MODERN_TEST_H

#include "../guide/library_test.h"

#include "lipc/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* ---- A text to be played back ---- */

typedef struct script {
    char path[256]; /* for --replay; lives as long as the test program */
    char *text;
    size_t n_bytes;
} script;

/* Words, numbered so that no two places look alike, with characters of one to four bytes. The last byte is a '.'. */
static inline script script_new(size_t n_bytes) {
    static const char *const words[] = {"a", "to", "log", "token", "Größe", "stream", "€uro", "reader", "bell", "🚀"};
    script made = {.n_bytes = n_bytes, .text = malloc(n_bytes + 64)};
    uint64_t seed = n_bytes;
    size_t n = 0;
    CHECK(made.text != NULL && n_bytes > 64);
    for (int number = 0; n + 24 < n_bytes; number++) {
        char numbered[16];
        const char *word = words[test_random(&seed, 10)];
        snprintf(numbered, sizeof numbered, "%d", number);
        n += (size_t)sprintf(made.text + n, "%s%c", test_random(&seed, 4) ? word : numbered,
                             test_random(&seed, 12) ? ' ' : '\n');
    }
    memset(made.text + n, '.', n_bytes - n);
    made.text[n_bytes] = 0;
    test_file(made.path, made.text, n_bytes);
    return made;
}

/* Bytes of the token that begins at `at`: a word with the white space before it, at most 16 bytes, whole characters. */
static inline size_t token_bytes(const char *at) {
    size_t n = strspn(at, " \t\n\v\f\r");
    n += strcspn(at + n, " \t\n\v\f\r");
    if (n > 16)
        for (n = 16; ((unsigned char)at[n] & 0xC0) == 0x80; n--)
            ;
    return n;
}

static inline int count_tokens(const char *text) {
    int n_tokens = 0;
    for (; *text; text += token_bytes(text))
        n_tokens++;
    return n_tokens;
}

/* Where the first n_tokens tokens end. */
static inline size_t tokens_end(const script *script, int n_tokens) {
    size_t end = 0;
    while (n_tokens-- > 0 && script->text[end])
        end += token_bytes(script->text + end);
    return end;
}

/* What an answer with ignore_eos, which plays the text again and again, has at [offset, offset + n_bytes). */
static inline bool script_has(const script *script, uint64_t offset, const char *text, size_t n_bytes) {
    while (n_bytes > 0) {
        size_t at = (size_t)(offset % script->n_bytes), n = script->n_bytes - at;
        if (n > n_bytes)
            n = n_bytes;
        if (memcmp(script->text + at, text, n) != 0)
            return false;
        offset += n;
        text += n;
        n_bytes -= n;
    }
    return true;
}

/* ---- The segment, seen without the library ---- */

typedef struct segment {
    char *base;
    size_t size;
} segment;

static inline segment segment_open(const char *instance) {
    char path[256];
    struct stat status;
    segment opened = {0};
    int fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return opened; /* it was just removed */
    CHECK_INT(fstat(fd, &status), ==, 0);
    opened.size = (size_t)status.st_size;
    if (opened.size == 0) { /* cut off by a test, and not yet adopted */
        close(fd);
        return opened;
    }
    opened.base = mmap(NULL, opened.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(opened.base != MAP_FAILED);
    close(fd);
    return opened;
}

static inline void segment_close(segment *segment) {
    if (!segment->base)
        return;
    munmap(segment->base, segment->size);
    segment->base = NULL;
}

static inline lipc_hub *hub_in(const segment *segment) {
    return (lipc_hub *)(segment->base + LIPC_HUB_OFFSET);
}

static inline lipc_client_record *record_in(const segment *segment, uint32_t index) {
    const lipc_hub *hub = hub_in(segment);
    return (lipc_client_record *)(segment->base + hub->clients_offset + (size_t)hub->client_size * index);
}

static inline lipc_stream_header *stream_in(const segment *segment, uint32_t index) {
    const lipc_hub *hub = hub_in(segment);
    return (lipc_stream_header *)(segment->base + hub->streams_offset + hub->stream_size * index);
}

#define NOW(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)

static inline uint32_t hub_state(const segment *segment) {
    return NOW(hub_in(segment)->state);
}

/* Streams and client records that are not free. */
static inline int streams_in_use(const segment *segment) {
    int n = 0;
    for (uint32_t i = 0; i < hub_in(segment)->n_streams; i++)
        n += (NOW(stream_in(segment, i)->claim) & 0xF) != LIPC_CLAIM_FREE;
    return n;
}

static inline int clients_in_use(const segment *segment) {
    int n = 0;
    for (uint32_t i = 0; i < hub_in(segment)->n_clients; i++)
        n += (NOW(record_in(segment, i)->claim) & 0xF) != LIPC_CLIENT_FREE;
    return n;
}

/* The stream whose id is this text; -1 if there is none in use. */
static inline int stream_with_id(const segment *segment, const char *id) {
    for (uint32_t i = 0; i < hub_in(segment)->n_streams; i++) {
        char text[LIPC_STREAM_ID_SIZE];
        const lipc_stream_header *header = stream_in(segment, i);
        for (int k = 0; k < 16; k++)
            sprintf(text + 2 * k, "%02x", header->id[k]);
        if ((NOW(header->claim) & 0xF) != LIPC_CLAIM_FREE && strcasecmp(text, id) == 0)
            return (int)i;
    }
    return -1;
}

static inline uint32_t state_of(const lipc_stream_header *header) {
    return NOW(header->status) & 0xFF;
}

static inline uint32_t end_of(const lipc_stream_header *header) {
    return NOW(header->status) >> 8 & 0xFF;
}

static inline uint32_t n_published(const lipc_stream_header *header) {
    return (uint32_t)NOW(header->published);
}

/* ---- The host ---- */

/* Starts a host that plays a text back, waits until it serves, and opens its segment. Further arguments up to NULL. */
#define REPLAY(script_, ...) \
    ((const char *const[]){"--replay", (script_).path, "--log-level", "warn", __VA_ARGS__, NULL})
#define EMBEDDED(...) ((const char *const[]){"--temp", "0", "-t", "1", "--log-level", "warn", __VA_ARGS__, NULL})

static inline bool has_come_to(segment *opened, const char *instance, pid_t pid, uint32_t state) {
    segment_close(opened);
    *opened = segment_open(instance);
    return opened->size > LIPC_HUB_END && NOW(hub_in(opened)->magic) == LIPC_HUB_MAGIC &&
           hub_in(opened)->host_pid == (uint32_t)pid && hub_state(opened) >= state;
}

/* The segment of the host `pid`, which may first have to take over or replace what a dead one left, once it is in a
 * state or beyond it. */
static inline segment segment_of(const char *instance, pid_t pid, uint32_t state) {
    segment opened = {0};
    CHECK_SAY(WAITED(SOON_MS, has_come_to(&opened, instance, pid, state)), "the host does not come to state %u", state);
    return opened;
}

static inline segment host_ready(test_host *host, const char *instance, const char *const *arguments) {
    host_start_with(host, instance, NULL, arguments);
    return segment_of(instance, host->pid, LIPC_HUB_READY);
}

/* Everything was given back: no stream, no record, no work. */
static inline void check_nothing_left(const segment *segment) {
    const lipc_hub *hub = hub_in(segment);
    bool is_free = WAITED(SOON_MS, streams_in_use(segment) == 0 && clients_in_use(segment) == 0 &&
                                       NOW(hub->n_attached) == 0 && NOW(hub->n_running) == 0 &&
                                       NOW(hub->n_queued) == 0);
    CHECK_SAY(is_free, "left over: %d streams, %d client records; the hub says %u attached, %u running, %u queued",
              streams_in_use(segment), clients_in_use(segment), hub->n_attached, hub->n_running, hub->n_queued);
    for (uint32_t i = 0; i < hub->n_streams; i++)
        for (int k = 0; k < 4; k++)
            CHECK_SAY(NOW(stream_in(segment, i)->watchers[k]) == 0, "somebody still watches stream %u", i);
}

/* Starts a host and stops it while it loads. Returns false if it was too fast. */
static inline bool catch_loading(test_host *host, const char *instance, const char *const *arguments, segment *segment) {
    host_start_with(host, instance, NULL, arguments);
    *segment = segment_of(instance, host->pid, LIPC_HUB_LOADING);
    host_pause(host);
    if (hub_state(segment) == LIPC_HUB_LOADING && hub_in(segment)->load_per_mille < 1000)
        return true;
    host_resume(host);
    segment_close(segment);
    host_kill(host);
    return false;
}

static inline void end_host(test_host *host, segment *segment) {
    CHECK_SAY(!host_ended(host, 0), "the host ended with code %d", host->exit_code);
    check_nothing_left(segment);
    segment_close(segment);
    host_stop(host);
}

/* ---- Clients ---- */

static inline lipc_client *client_of(const char *instance) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = soon();
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    return client;
}

static inline lipc_stream *ask(lipc_client *client, const char *text) {
    lipc_stream *stream;
    CHECK_LIPC(lipc_stream_ask(client, text, &stream), LIPC_E_OK);
    return stream;
}

/* A request of one message, for the test to change. */
static inline lipc_request request_of(const char *text) {
    static _Thread_local lipc_message message;
    lipc_request request;
    message = (lipc_message){"user", text};
    lipc_request_init(&request);
    request.n_messages = 1;
    request.messages = &message;
    return request;
}

static inline lipc_stream *submit(lipc_client *client, const lipc_request *request) {
    lipc_stream *stream;
    CHECK_LIPC(lipc_stream_open(client, request, &stream), LIPC_E_OK);
    return stream;
}

/* One that answers until it is ended. */
static inline lipc_stream *ask_endless(lipc_client *client) {
    lipc_request request = request_of("go on");
    request.ignore_eos = 1;
    request.n_predict = -1;
    return submit(client, &request);
}

static inline lipc_progress progress_of(lipc_stream *stream) {
    lipc_progress progress;
    CHECK_LIPC(lipc_stream_progress(stream, &progress), LIPC_E_OK);
    return progress;
}

/* An answer as it was read. */
typedef struct reading {
    char *text; /* zero-terminated */
    size_t n_bytes, room;
    uint64_t from; /* where in the answer it begins */
    int code;      /* of the read that ended it */
} reading;

static inline void reading_add(reading *reading, const lipc_delta *delta) {
    if (reading->n_bytes == 0)
        reading->from = delta->offset;
    CHECK_INT(delta->offset, ==, reading->from + reading->n_bytes);
    CHECK_SAY(test_is_utf8(delta->text, delta->n_bytes), "half a character at %zu", reading->n_bytes);
    if (reading->n_bytes + delta->n_bytes >= reading->room) {
        reading->room = (reading->n_bytes + delta->n_bytes) * 2 + 4096;
        reading->text = realloc(reading->text, reading->room);
        CHECK(reading->text != NULL);
    }
    memcpy(reading->text + reading->n_bytes, delta->text, delta->n_bytes);
    reading->n_bytes += delta->n_bytes;
    reading->text[reading->n_bytes] = 0;
}

/* Reads one piece. True if there was text. */
static inline bool read_some(lipc_stream *stream, int timeout_ms, reading *reading) {
    lipc_delta delta;
    reading->code = lipc_stream_read(stream, timeout_ms, &delta);
    if (reading->code == 0 && delta.n_bytes > 0)
        reading_add(reading, &delta);
    return reading->code == 0 && delta.n_bytes > 0;
}

/* Reads until there is no more, or at least n_bytes. */
static inline void read_until(lipc_stream *stream, reading *reading, size_t n_bytes) {
    while (reading->n_bytes < n_bytes && read_some(stream, soon(), reading))
        ;
    CHECK_SAY(reading->n_bytes >= n_bytes, "%zu of %zu bytes, then %s (%s)", reading->n_bytes, n_bytes,
              lipc_error_name(reading->code), lipc_error_message());
}

static inline reading read_to_end(lipc_stream *stream) {
    reading reading = {.text = calloc(1, 1), .room = 1};
    while (read_some(stream, soon(), &reading))
        ;
    return reading;
}

/* The answer is complete, and this text. */
static inline void check_answer(lipc_stream *stream, const char *text, size_t n_bytes) {
    reading reading = read_to_end(stream);
    CHECK_SAY(reading.code == 0, "%s (%s) after %zu bytes", lipc_error_name(reading.code), lipc_error_message(),
              reading.n_bytes);
    CHECK_INT(reading.n_bytes, ==, n_bytes);
    CHECK(memcmp(reading.text, text, n_bytes) == 0);
    free(reading.text);
}

static inline void check_whole(lipc_stream *stream, const script *script) {
    check_answer(stream, script->text, script->n_bytes);
}

/* ---- Processes ---- */

/* Memory that this program shares with the workers it forks from now on. Never given back. */
static inline void *shared_new(size_t size) {
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    return shared;
}

typedef void (*worker_fn)(void *data, int number);

static inline pid_t worker_start(worker_fn work, void *data, int number) {
    fflush(NULL);
    pid_t pid = fork();
    CHECK_SAY(pid >= 0, "fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    work(data, number);
    fflush(NULL);
    _exit(0);
}

static inline void worker_wait(pid_t pid) {
    int status = 0;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_SAY(WIFEXITED(status) && WEXITSTATUS(status) == 0, "worker %d ended with status %x: see above", (int)pid,
              (unsigned)status);
}

/* One that stops itself, with raise(SIGSTOP), has done so. */
static inline void worker_wait_stopped(pid_t pid) {
    int status;
    CHECK_INT(waitpid(pid, &status, WUNTRACED), ==, pid);
    CHECK_SAY(WIFSTOPPED(status), "worker %d ended with status %x: see above", (int)pid, (unsigned)status);
}

static inline void worker_kill(pid_t pid) {
    int status;
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_SAY(WIFSIGNALED(status), "worker %d ended by itself with %x", (int)pid, (unsigned)status);
}

/* ---- Figures ---- */

static inline int compare_figures(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* The value that the given part (0 to 1) of them does not exceed. Sorts. */
static inline double quantile(double *values, int n, double part) {
    qsort(values, (size_t)n, sizeof *values, compare_figures);
    int index = (int)ceil(part * n) - 1;
    return values[index < 0 ? 0 : index];
}

static inline double maximum(double *values, int n) {
    return quantile(values, n, 1);
}

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
