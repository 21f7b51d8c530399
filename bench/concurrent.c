/* concurrent.c - see concurrent.h. */
#include "concurrent.h"

#include "peer.h"
#include "subjects.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LIMIT_NS 60000000000LL
#define ANSWER_MS 300000
#define TEXT_SIZE (1200 * 1024)

/* The random models have each syllable as a token that begins a word. */
static char *add_word(char *at, unsigned index) {
    static const char consonants[] = "bcdfghjklmnprstvwxyz", vowels[] = "aeiou";
    *at++ = ' ';
    *at++ = consonants[index % 100 / 5];
    *at++ = vowels[index % 5];
    return at;
}

const char *concurrent_text(int number, int n_words) {
    static char text[TEXT_SIZE];
    char *at = text;
    unsigned state = (unsigned)number * 2654435761u + 1;
    unsigned head = (unsigned)number;
    if (n_words < 4 || (size_t)n_words * 3 >= sizeof text)
        fail("a text of %d words", n_words);
    for (int i = 0; i < n_words; i++) {
        state = state * 1664525u + 1013904223u;
        at = add_word(at, i < 4 ? head : state >> 16);
        head /= 100;
    }
    *at = '\0';
    return text;
}

/* ---- notes ------------------------------------------------------------------------------------------------------ */

concurrent_notes *concurrent_notes_new(int n) {
    concurrent_notes *notes = mmap(NULL, (size_t)n * sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                              0);
    if (notes == MAP_FAILED)
        fail("not enough memory");
    return notes;
}

void concurrent_notes_free(concurrent_notes *notes, int n) {
    munmap(notes, (size_t)n * sizeof *notes);
}

static void wait_for(const uint32_t *word) {
    const int64_t deadline = now_ns() + LIMIT_NS;
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0) {
        if (now_ns() > deadline)
            fail("a client did not come so far");
        sleep_ns(100000);
    }
}

void concurrent_client_wait_ready(const concurrent_notes *notes) {
    wait_for(&notes->is_ready);
}

void concurrent_client_go(concurrent_notes *notes) {
    __atomic_store_n(&notes->may_go, 1, __ATOMIC_RELEASE);
}

uint32_t concurrent_arrivals(const concurrent_notes *notes) {
    return __atomic_load_n(&notes->n_arrivals, __ATOMIC_ACQUIRE);
}

void concurrent_wait_arrivals(const concurrent_notes *notes, uint32_t n) {
    const int64_t deadline = now_ns() + LIMIT_NS;
    while (concurrent_arrivals(notes) < n) {
        if (now_ns() > deadline)
            fail("tokens do not come");
        sleep_ns(1000000);
    }
}

static void note_arrival(concurrent_notes *notes, int n_tokens) {
    const uint32_t n = notes->n_arrivals;
    if (n == CONCURRENT_ARRIVALS_MAX || (n > 0 && notes->arrivals[n - 1].n_tokens >= n_tokens) || n_tokens == 0)
        return;
    notes->arrivals[n] = (concurrent_arrival){now_ns(), n_tokens};
    __atomic_store_n(&notes->n_arrivals, n + 1, __ATOMIC_RELEASE);
}

/* ---- the clients ------------------------------------------------------------------------------------------------ */

static void begin(concurrent_notes *notes) {
    __atomic_store_n(&notes->is_ready, 1, __ATOMIC_RELEASE);
    wait_for(&notes->may_go);
    notes->start_ns = now_ns();
}

static void ask_host(const char *instance, const concurrent_request *wanted, concurrent_notes *notes) {
    const lipc_message message = {"user", concurrent_text(wanted->number, wanted->n_words)};
    lipc_client *client = modern_open(instance, 0);
    lipc_stream *stream;
    lipc_request request;
    lipc_delta delta;
    lipc_progress progress;
    int result;
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = 1;
    request.n_predict = wanted->n_predict;
    request.ignore_eos = 1;
    begin(notes);
    if (lipc_stream_open(client, &request, &stream) < 0)
        fail("a request failed: %s", lipc_error_message());
    do {
        if ((result = lipc_stream_read(stream, ANSWER_MS, &delta)) < 0 || lipc_stream_progress(stream, &progress) < 0)
            fail("a request failed: %s", lipc_error_message());
        note_arrival(notes, progress.n_tokens);
    } while (delta.n_bytes > 0);
    notes->n_prompt = progress.n_prompt;
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void ask_server(int port, const concurrent_request *wanted, concurrent_notes *notes) {
    peer_stream stream;
    peer_connect(&stream, port);
    begin(notes);
    peer_send(&stream, concurrent_text(wanted->number, wanted->n_words), wanted->n_predict);
    while (peer_read(&stream)) {
        /* The last event carries figures, and no token. */
        const int n_tokens = stream.n_events;
        note_arrival(notes, wanted->n_predict > 0 && n_tokens > wanted->n_predict ? wanted->n_predict : n_tokens);
    }
    peer_disconnect(&stream);
}

pid_t concurrent_client_start(const concurrent_subject *subject, const concurrent_request *request, concurrent_notes *notes) {
    const pid_t pid = process_fork();
    if (pid > 0)
        return pid;
    if (subject->instance != NULL)
        ask_host(subject->instance, request, notes);
    else
        ask_server(subject->port, request, notes);
    _exit(0);
}

/* ---- what they saw ---------------------------------------------------------------------------------------------- */

static int tokens_at(const concurrent_notes *notes, int64_t at_ns) {
    int n_tokens = 0;
    for (uint32_t i = 0; i < notes->n_arrivals && notes->arrivals[i].at_ns <= at_ns; i++)
        n_tokens = notes->arrivals[i].n_tokens;
    return n_tokens;
}

static concurrent_cost cost_of(const concurrent_notes *notes, int n_clients) {
    static samples first;
    int64_t begin_ns = 0, end_ns = INT64_MAX;
    int n_tokens = 0;
    first.n = 0;
    for (int i = 0; i < n_clients; i++) {
        const concurrent_arrival *arrivals = notes[i].arrivals, *last = &arrivals[notes[i].n_arrivals - 1];
        samples_add(&first, (double)(arrivals[0].at_ns - notes[i].start_ns) / 1e6);
        begin_ns = arrivals[0].at_ns > begin_ns ? arrivals[0].at_ns : begin_ns;
        end_ns = last->at_ns < end_ns ? last->at_ns : end_ns;
    }
    for (int i = 0; i < n_clients; i++)
        n_tokens += tokens_at(&notes[i], end_ns) - tokens_at(&notes[i], begin_ns);
    return (concurrent_cost){.tokens_per_s = n_tokens * 1e9 / (double)(end_ns - begin_ns),
                        .first_ms = samples_median(&first),
                        .n_prompt = notes[0].n_prompt};
}

concurrent_cost concurrent_ask(const concurrent_subject *subject, int n_clients, int n_words, int n_tokens) {
    static int number;
    concurrent_notes *notes = concurrent_notes_new(n_clients);
    pid_t *pids = calloc((size_t)n_clients, sizeof *pids);
    if (pids == NULL)
        fail("not enough memory");
    for (int i = 0; i < n_clients; i++) {
        const concurrent_request request = {number++, n_words, n_tokens};
        pids[i] = concurrent_client_start(subject, &request, &notes[i]);
    }
    for (int i = 0; i < n_clients; i++)
        concurrent_client_wait_ready(&notes[i]);
    for (int i = 0; i < n_clients; i++)
        concurrent_client_go(&notes[i]);
    for (int i = 0; i < n_clients; i++) {
        if (process_wait(pids[i]) != 0)
            fail("a client did not end well");
        const uint32_t n = notes[i].n_arrivals;
        if (n == 0 || notes[i].arrivals[n - 1].n_tokens != n_tokens)
            fail("an answer has %d tokens instead of %d", n > 0 ? notes[i].arrivals[n - 1].n_tokens : 0, n_tokens);
    }
    const concurrent_cost cost = cost_of(notes, n_clients);
    free(pids);
    concurrent_notes_free(notes, n_clients);
    return cost;
}
