/* hostile_clients.c - a client that does its worst, in each of seven ways, while four honest ones stream and one works with
 * the classic block: the host lives, answers, does not grow and comes to rest, and nobody is given another's text.
 *
 *     a  scribbles over all that a client may write, but for the places of the honest ones: they notice nothing
 *     b  scribbles over everything: who was hit gets an error; once it has stopped, a new client is served at once
 *     m  the same against the embedded model, where everybody has an answer of his own
 *     r  the same, and kills the worker, time and again, whose successors have to go by what they find
 *     c  lies in each length, offset, state and index, one after another
 *     d  claims and abandons: streams and records, by processes that die
 *     e  floods: requests and cancels, as fast as they can be made
 *
 * The speed of the honest ones is printed beside what it is next to a process that merely computes.
 *
 * hostile_clients [seconds for each] [which: letters] [seed]
 */
#include "../modern/modern_test.h"

#include "channel/hub.h"
#include "channel/request.h"
#include "channel/reservation.h"
#include "channel/stream.h"

#include <dirent.h>
#include <pthread.h>

enum {
    HONEST = 4,
    CLASSIC = HONEST,
    GROWTH_KIB = 8192,
    IDLE_WATCHED_MS = 1000,
    IDLE_ALLOWED_MS = 50,
    SHOWN_BYTES = 24,
    KILL_PAUSE_MS = 400,
    GENERATIONS_MOST = 50000000
};
#define STREAMS "12"

typedef struct board board;

/* One way of being hostile. */
typedef struct manner {
    char letter;
    const char *name;
    void (*attack)(board *board, uint64_t seed); /* until board->is_over */
    bool is_endless;     /* the honest ones keep one stream, whose place can be spared */
    bool may_fail;       /* their streams may end with an error */
    bool may_be_damaged; /* and may have shown wrong text before */
    bool has_classic;
    bool has_model;
    bool kills_workers;
    const char *rate;       /* of the answers played back, tokens a second; NULL: what a log holds for that long */
    const char *n_parallel; /* answers at a time; NULL: all */
} manner;

struct board { /* shared by all processes */
    char instance[64];
    const manner *manner;
    script script;           /* of the replay engine; the same text for all */
    char *answers[HONEST];   /* whole, as they are when nobody disturbs */
    hub_view view;           /* with the geometry as it was at first */
    lipc_hub hub;            /* likewise */
    bool is_spared_record[LIPC_CLIENTS_MAX], is_spared_stream[LIPC_STREAMS_MAX];
    uint32_t record_generations[LIPC_CLIENTS_MAX], stream_generations[LIPC_STREAMS_MAX]; /* likewise */
    pid_t host_pid, honest_pids[HONEST];
    int is_quiet; /* the honest ones are to end */
    int is_classic_quiet;
    int is_over;  /* the attack is to end */
    uint64_t n_bytes[HONEST + 1], n_answers[HONEST + 1], n_errors[HONEST];
};

static const char *const questions[HONEST] = {"What is C++?", "What is UTF-8?", "What is a pointer?", "Who are you?"};

static void add(uint64_t *count, uint64_t n) {
    __atomic_fetch_add(count, n, __ATOMIC_RELAXED);
}

/* ---- The honest ones --------------------------------------------------------------------------------------------- */

/* What the honest client `number` must read: the byte at an offset of its answer. */
static char right_byte(const board *board, int number, uint64_t offset) {
    if (board->manner->has_model)
        return offset < strlen(board->answers[number]) ? board->answers[number][offset] : 0;
    return board->script.text[offset % board->script.n_bytes];
}

/* Whether text that is not the right one is what somebody else was to read there. */
static bool is_of_another(const board *board, int number, uint64_t offset, const char *text, size_t n_bytes) {
    if (!board->manner->has_model || n_bytes < SHOWN_BYTES)
        return false;
    for (int i = 0; i < HONEST; i++) {
        const char *other = board->answers[i];
        if (i != number && offset + SHOWN_BYTES < strlen(other) && memcmp(other + offset, text, SHOWN_BYTES) == 0)
            return true;
    }
    return false;
}

/* Compares a piece with what it should be. False: it is damaged. */
static bool check_piece(const board *board, int number, const lipc_delta *delta) {
    for (size_t i = 0; i < delta->n_bytes; i++) {
        if (delta->text[i] == right_byte(board, number, delta->offset + i))
            continue;
        CHECK_SAY(board->manner->may_be_damaged, "wrong text at %llu: '%.*s'", (unsigned long long)(delta->offset + i),
                  (int)(delta->n_bytes - i), delta->text + i);
        CHECK_SAY(!is_of_another(board, number, delta->offset + i, delta->text + i, delta->n_bytes - i),
                  "text of another at %llu: '%.*s'", (unsigned long long)(delta->offset + i), SHOWN_BYTES,
                  delta->text + i);
        return false;
    }
    return true;
}

/* The tokens that are there now, from `first` on, are those of the text. Returns how many there are. */
static size_t check_tokens(const board *board, lipc_stream *stream, size_t first, int n_of_text) {
    lipc_token tokens[256];
    size_t n;
    while (lipc_stream_tokens(stream, first, tokens, 256, &n) == 0 && n > 0) {
        for (size_t i = 0; i < n && !board->manner->may_be_damaged; i++)
            CHECK_SAY(tokens[i].id == (int)((first + i) % (size_t)n_of_text), "token %zu is %d", first + i, tokens[i].id);
        first += n;
    }
    return first;
}

static bool is_proper_error(int code) {
    return code == LIPC_E_HOST_GONE || code == LIPC_E_GONE || code == LIPC_E_FAILED || code == LIPC_E_REFUSED ||
           code == LIPC_E_CANCELLED || code == LIPC_E_FULL || code == LIPC_E_LAYOUT || code == LIPC_E_TIMEOUT ||
           code == LIPC_E_NO_HOST;
}

static void count_error(board *board, int number, int code) {
    CHECK_SAY(board->manner->may_fail && is_proper_error(code), "honest client %d: %s (%s)", number,
              lipc_error_name(code), lipc_error_message());
    CHECK(lipc_error_message()[0] != 0);
    add(&board->n_errors[number], 1);
}

/* Reads one answer to its end, or until all is quiet. False: the client had better attach again. */
static bool read_answer(board *board, int number, lipc_stream *stream, int n_of_text) {
    lipc_delta delta;
    bool is_whole = true;
    size_t n_tokens = 0, n_read = 0;
    double stuck_at = test_now_ms() + test_scaled(SOON_MS);
    for (;;) {
        int code = lipc_stream_read(stream, 100, &delta);
        if (NOW(board->is_quiet))
            return true;
        if (code == LIPC_E_TIMEOUT) {
            if (test_now_ms() < stuck_at)
                continue;
            CHECK_SAY(board->manner->may_be_damaged, "honest client %d hears nothing", number);
            return false;
        }
        if (code < 0) {
            count_error(board, number, code);
            return code != LIPC_E_HOST_GONE;
        }
        stuck_at = test_now_ms() + test_scaled(SOON_MS);
        if (delta.n_bytes == 0)
            break;
        is_whole = check_piece(board, number, &delta) && is_whole;
        n_read += delta.n_bytes;
        add(&board->n_bytes[number], is_whole ? delta.n_bytes : 0);
        if (n_of_text > 0)
            n_tokens = check_tokens(board, stream, n_tokens, n_of_text);
    }
    CHECK_SAY(is_whole, "honest client %d: damaged text, and the stream ends as if nothing had happened", number);
    if (right_byte(board, number, n_read) != (board->manner->has_model ? 0 : board->script.text[0]))
        CHECK_SAY(false, "honest client %d: only %zu bytes, and the stream ends as if that were all", number, n_read);
    if (n_of_text > 0 && !board->manner->may_be_damaged)
        CHECK_INT(check_tokens(board, stream, n_tokens, n_of_text), ==, n_of_text);
    add(&board->n_answers[number], 1);
    return true;
}

static lipc_client *open_honest(board *board, int number) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = board->instance;
    options.timeout_ms = (int)test_scaled(1000);
    int code = lipc_client_open(&options, &client);
    if (code < 0)
        count_error(board, number, code);
    return client;
}

static void be_honest(void *data, int number) {
    board *board = data;
    int n_of_text = board->manner->has_model ? 0 : count_tokens(board->script.text);
    while (!NOW(board->is_quiet)) {
        lipc_client *client = open_honest(board, number);
        for (bool goes_on = client != NULL; goes_on && !NOW(board->is_quiet);) {
            lipc_request request = request_of(questions[number]);
            lipc_stream *stream;
            request.ignore_eos = board->manner->is_endless;
            request.n_predict = board->manner->is_endless ? -1 : request.n_predict;
            int code = lipc_stream_open(client, &request, &stream);
            if (code < 0)
                count_error(board, number, code);
            goes_on = code == 0 && read_answer(board, number, stream, n_of_text);
            lipc_stream_close(stream);
        }
        lipc_client_close(client);
    }
}

static void be_classic(void *data, int number) {
    static guide_update update;
    board *board = data;
    guide_client client;
    CHECK(guide_open(&client, board->instance));
    while (!NOW(board->is_classic_quiet)) {
        CHECK_SAY(guide_stream(&client, NULL, "hello", soon(), &update), "the classic client is not served");
        CHECK_TEXT(update.text, board->script.text);
        add(&board->n_answers[number], 1);
        add(&board->n_bytes[number], update.n_bytes);
    }
    guide_close(&client);
}

/* ---- Scribbling -------------------------------------------------------------------------------------------------- */

static uint64_t any_bits(uint64_t *seed) {
    return (uint64_t)test_random(seed, UINT32_MAX) << 32 ^ (uint64_t)test_random(seed, UINT32_MAX) << 1 ^
           test_random(seed, 2);
}

static const uint64_t edges[] = {
    0, 1, 2, 3, 4, 5, 0xF, 0xFF, 0xFFF, 0xFFFF, INT32_MAX, (uint64_t)INT32_MAX + 1, UINT32_MAX, UINT32_MAX - 1,
    (uint64_t)UINT32_MAX + 1, (uint64_t)UINT32_MAX << 32, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX, UINT64_MAX - 1,
    0x0000000100000001, 0x4000000000000000, 0xFFFFFFFFFFFF0000,
};
enum { N_EDGES = sizeof edges / sizeof edges[0] };

/* A value that looks as if it might be right, or like nothing at all. */
static uint64_t any_value(const board *board, uint64_t *seed, uint64_t before) {
    const pid_t pids[] = {1, getpid(), board->host_pid, board->honest_pids[test_random(seed, HONEST)]};
    switch (test_random(seed, 6)) {
    case 0:
        return any_bits(seed);
    case 1:
        return test_random(seed, 9);
    case 2:
        return edges[test_random(seed, N_EDGES)];
    case 3:
        return client_claim(test_random(seed, 6), test_random(seed, 9), (uint32_t)pids[test_random(seed, 4)]);
    case 4:
        return stream_claim(test_random(seed, 7), test_random(seed, 10) ? test_random(seed, 9) : LIPC_NO_OWNER,
                            stream_claim_generation(before) + test_random(seed, 3) - 1);
    default:
        return before ^ UINT64_C(1) << test_random(seed, 64);
    }
}

static void scribble_word(const board *board, uint64_t *seed, void *address) {
    uint64_t *word = address, before = __atomic_load_n(word, __ATOMIC_RELAXED);
    __atomic_store_n(word, any_value(board, seed, before), __ATOMIC_SEQ_CST);
}

static void scribble_words(const board *board, uint64_t *seed, void *from, size_t n_bytes) {
    scribble_word(board, seed, (char *)from + (size_t)test_random(seed, (uint32_t)(n_bytes / 8)) * 8);
}

/* Any record or stream but those of the honest ones. */
static uint32_t unspared(const bool *is_spared, uint32_t n, uint64_t *seed) {
    uint32_t i;
    do i = test_random(seed, n);
    while (is_spared[i]);
    return i;
}

/* In the words that clients write, and nowhere else. */
static void scribble_as_client(const board *board, uint64_t *seed) {
    const hub_view *view = &board->view;
    uint32_t stream = unspared(board->is_spared_stream, view->at.n_streams, seed);
    lipc_client_record *record = hub_client(view, unspared(board->is_spared_record, view->at.n_clients, seed));
    lipc_stream_header *header = hub_stream(view, stream);
    switch (test_random(seed, 12)) {
    case 0: scribble_word(board, seed, &record->claim); break;
    case 1: scribble_word(board, seed, &record->start_time); break;
    case 2: scribble_word(board, seed, &record->reservation); break;
    case 3: scribble_word(board, seed, &record->bell); break;
    case 4: case 5: scribble_word(board, seed, &header->claim); break;
    case 6: scribble_word(board, seed, &header->cancel); break;
    case 7: scribble_words(board, seed, header->id, 24); break; /* and request_bytes */
    case 8: scribble_words(board, seed, header->watchers, sizeof header->watchers); break;
    case 9: scribble_words(board, seed, stream_request(view, stream), 256); break;
    case 10: scribble_word(board, seed, &hub_of(view)->next_ticket); break;
    default: scribble_word(board, seed, &hub_of(view)->bell); break;
    }
}

/* Anywhere. Only the words that ask the host to end are left out: to ask that is everybody's right. */
static void scribble_anywhere(const board *board, uint64_t *seed) {
    const hub_view *view = &board->view;
    uint32_t stream = test_random(seed, view->at.n_streams);
    lipc_hub *hub = hub_of(view);
    switch (test_random(seed, 8)) {
    case 0: scribble_words(board, seed, view->base, offsetof(lipc_classic_block, shutdown_requested)); break;
    case 1: scribble_words(board, seed, hub, offsetof(lipc_hub, shutdown)); break;
    case 2: scribble_words(board, seed, &hub->next_ticket, 64); break;
    case 3: scribble_words(board, seed, hub_client(view, 0), (size_t)view->at.client_size * view->at.n_clients); break;
    case 4: scribble_words(board, seed, hub_stream(view, stream), sizeof(lipc_stream_header)); break;
    case 5: scribble_words(board, seed, stream_request(view, stream), 256); break;
    case 6: scribble_words(board, seed, stream_log(view, stream), 4096); break;
    default: scribble_words(board, seed, stream_index(view, stream), 4096); break;
    }
}

static void ring_host(const board *board) {
    plat_doorbell_ring(hub_bell(&hub_of(&board->view)->bell), PLAT_BELL_ALL);
}

enum { WORDS_AT_ONCE = 64, FAST_ROUNDS = 20000, SLOW_ROUNDS = 500 };

/* At full speed, and then so slowly that the honest ones come some way before they are hit. */
static void scribble(board *board, uint64_t seed, void (*once)(const struct board *, uint64_t *)) {
    for (int round = 0; !NOW(board->is_over); round++) {
        bool is_slow = round % (FAST_ROUNDS + SLOW_ROUNDS) >= FAST_ROUNDS;
        for (int i = is_slow ? WORDS_AT_ONCE - 1 : 0; i < WORDS_AT_ONCE; i++)
            once(board, &seed);
        ring_host(board);
        if (is_slow)
            test_pause_ms(1);
    }
}

static void attack_as_client(board *board, uint64_t seed) {
    scribble(board, seed, scribble_as_client);
}

static void attack_everything(board *board, uint64_t seed) {
    scribble(board, seed, scribble_anywhere);
}

/* A process that the host has started; 0: none. */
static pid_t child_of(pid_t host);

static void *kill_workers(void *data) {
    board *board = data;
    for (; !NOW(board->is_over); test_pause_ms(KILL_PAUSE_MS)) {
        pid_t worker = child_of(board->host_pid);
        if (worker > 0)
            kill(worker, SIGKILL);
    }
    return NULL;
}

static void attack_successors(board *board, uint64_t seed) {
    pthread_t killer;
    CHECK(pthread_create(&killer, NULL, kill_workers, board) == 0);
    attack_everything(board, seed);
    pthread_join(killer, NULL);
}

/* ---- Lies -------------------------------------------------------------------------------------------------------- */

typedef struct raw {
    uint32_t client, stream;
    uint64_t client_claim, claim;
} raw;

static bool raw_attach(const board *board, raw *raw) {
    uint64_t start_time;
    CHECK_INT(plat_process_start_time((int)getpid(), &start_time), ==, 0);
    bool is_attached =
        hub_client_attach(&board->view, (uint32_t)getpid(), start_time, &raw->client, &raw->client_claim);
    ring_host(board);
    return is_attached;
}

/* A stream with a request in it, handed over. */
static bool raw_submit(const board *board, raw *raw) {
    char message[REQUEST_MESSAGE_SIZE];
    size_t n_bytes;
    lipc_request request = request_of("lies");
    request.n_predict = 4;
    if (!stream_claim_free(&board->view, raw->client, &raw->stream, &raw->claim))
        return false;
    CHECK_INT(request_measure(&request, &n_bytes, message), ==, 0);
    request_write(&request, n_bytes, stream_request(&board->view, raw->stream));
    lipc_stream_header *header = hub_stream(&board->view, raw->stream);
    header->request_bytes = (uint32_t)n_bytes;
    uint64_t submitted = stream_claim(LIPC_CLAIM_SUBMITTED, raw->client, stream_claim_generation(raw->claim));
    stream_change_claim(header, raw->claim, submitted);
    raw->claim = submitted;
    return true;
}

static void raw_release(const board *board, const raw *raw) {
    stream_change_claim(hub_stream(&board->view, raw->stream), raw->claim,
                        stream_claim(LIPC_CLAIM_RELEASED, raw->client, stream_claim_generation(raw->claim)));
    ring_host(board);
}

/* Writes each edge into a word of `size` bytes, with a ring after each, and puts back what was there. */
static void lie_in(const board *board, void *address, size_t size) {
    uint64_t before = 0;
    memcpy(&before, address, size);
    for (int i = 0; i < N_EDGES; i++) {
        memcpy(address, &edges[i], size);
        ring_host(board);
        sched_yield();
    }
    memcpy(address, &before, size);
    ring_host(board);
}

/* One lie in one word of a request before the host can have seen it. */
static bool lie_in_request(const board *board, raw *raw, size_t at, uint64_t lie) {
    uint64_t seen;
    if (!raw_submit(board, raw))
        return false;
    memcpy(stream_request(&board->view, raw->stream) + at, &lie, 4);
    ring_host(board);
    lipc_stream_header *header = hub_stream(&board->view, raw->stream);
    uint32_t generation = stream_claim_generation(raw->claim);
    /* Until it is refused or answered; not longer if the host has been told lies about the stream, too. */
    WAITED(100, (seen = NOW(header->status), seen >> 32 == generation && (seen & 0xFF) == LIPC_STREAM_ENDED));
    raw_release(board, raw);
    return true;
}

/* Each word of the request, of what surrounds it, and of its own record, while the request is there. */
static void lie_in_own_words(const board *board, raw *raw) {
    lipc_client_record *record = hub_client(&board->view, raw->client);
    for (size_t at = 0; at < 160 && !NOW(board->is_over); at += 4)
        for (int i = 0; i < N_EDGES && !NOW(board->is_over); i++)
            if (!lie_in_request(board, raw, at, edges[i]))
                return;
    lie_in(board, &record->reservation, 8);
    if (!raw_submit(board, raw))
        return;
    lipc_stream_header *header = hub_stream(&board->view, raw->stream);
    lie_in(board, &header->request_bytes, 4);
    lie_in(board, &header->cancel, 8);
    for (int i = 0; i < 4; i++)
        lie_in(board, &header->watchers[i], 8);
    lie_in(board, &header->claim, 8);
    raw_release(board, raw);
}

/* All that the host says in the hub, but for the words that ask it to end. */
static void lie_in_hub(const board *board) {
    lipc_hub *hub = hub_of(&board->view);
    for (size_t at = 0; at < offsetof(lipc_hub, shutdown) && !NOW(board->is_over); at += 4)
        lie_in(board, (char *)hub + at, 4);
    lie_in(board, &hub->next_ticket, 8);
}

static void attack_with_lies(board *board, uint64_t seed) {
    int n_rounds = 0;
    (void)seed;
    for (; !NOW(board->is_over); n_rounds++) {
        raw raw;
        if (!raw_attach(board, &raw))
            continue;
        lie_in_own_words(board, &raw);
        lie_in_hub(board);
        lipc_client_record *record = hub_client(&board->view, raw.client);
        lie_in(board, &record->start_time, 8);
        lie_in(board, &record->bell, 8);
        lie_in(board, &record->claim, 8);
        hub_client_leave(&board->view, raw.client, raw.client_claim);
        ring_host(board);
    }
    printf("  %d rounds of lies\n", n_rounds);
}

/* ---- Claiming and abandoning, flooding --------------------------------------------------------------------------- */

/* Takes what it can get, and dies at one step or another. */
static void abandon(void *data, int number) {
    board *board = data;
    uint64_t seed = (uint64_t)number, claim;
    raw raw;
    uint32_t n = test_random(&seed, 5);
    if (!raw_attach(board, &raw))
        return;
    for (uint32_t i = 0; i < n; i++)
        if (!stream_claim_free(&board->view, raw.client, &raw.stream, &claim))
            break;
    if (test_random(&seed, 4) == 0)
        reservation_request(&board->view, raw.client);
    if (test_random(&seed, 4) == 0)
        raw_submit(board, &raw);
    if (test_random(&seed, 3) == 0)
        hub_client_leave(&board->view, raw.client, raw.client_claim);
    ring_host(board);
}

static void attack_by_abandoning(board *board, uint64_t seed) {
    int n = 0;
    for (; !NOW(board->is_over); n++)
        waitpid(worker_start(abandon, board, (int)seed * 1000000 + n), NULL, 0);
    printf("  %d came and went\n", n);
}

/* From one at a time to more than there is room for. */
static void attack_by_flooding(board *board, uint64_t seed) {
    lipc_client *client = client_of(board->instance);
    int n_requests = 0;
    while (!NOW(board->is_over)) {
        lipc_stream *streams[16];
        int n = (int)test_random(&seed, 16) + 1;
        for (int i = 0; i < n; i++) {
            streams[i] = test_random(&seed, 2) ? ask_endless(client) : ask(client, "flood");
            if (test_random(&seed, 2))
                lipc_stream_cancel(streams[i]);
        }
        for (int i = 0; i < n; i++) {
            lipc_delta delta;
            if (test_random(&seed, 4) == 0)
                lipc_stream_read(streams[i], 1, &delta);
            lipc_stream_close(streams[i]);
        }
        n_requests += n;
    }
    lipc_client_close(client);
    printf("  %d requests\n", n_requests);
}

/* ---- What the host needs ----------------------------------------------------------------------------------------- */

typedef struct needs {
    long memory_kib; /* of its own, not the segment's */
    int n_descriptors;
    double cpu_ms;
} needs;

static int count_entries(const char *path) {
    int n = 0;
    DIR *folder = opendir(path);
    while (folder && readdir(folder))
        n++;
    if (folder)
        closedir(folder);
    return n;
}

static long number_in(const char *path, const char *key) {
    char line[256];
    long number = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            number = strtol(line + strlen(key), NULL, 10);
    if (file)
        fclose(file);
    return number;
}

static void add_needs(needs *sum, pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    sum->memory_kib += number_in(path, "RssAnon:");
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    sum->n_descriptors += count_entries(path);
    sum->cpu_ms += process_cpu_ms(pid);
}

static pid_t child_of(pid_t host) {
    struct dirent *entry;
    pid_t child = 0;
    DIR *processes = opendir("/proc");
    CHECK(processes != NULL);
    while (child == 0 && (entry = readdir(processes))) {
        char path[300];
        snprintf(path, sizeof path, "/proc/%s/status", entry->d_name);
        if (number_in(path, "PPid:") == host)
            child = (pid_t)atoi(entry->d_name);
    }
    closedir(processes);
    return child;
}

/* Of the host and of its worker. */
static needs needs_of(pid_t host) {
    needs sum = {0};
    pid_t worker = child_of(host);
    add_needs(&sum, host);
    if (worker > 0)
        add_needs(&sum, worker);
    return sum;
}

/* ---- One manner -------------------------------------------------------------------------------------------------- */

static void compute(void *data, int number) {
    (void)number;
    board *board = data;
    uint64_t seed = 1;
    while (!NOW(board->is_over))
        for (int i = 0; i < 1000; i++)
            any_bits(&seed);
}

static void be_hostile(void *data, int number) {
    board *board = data;
    board->manner->attack(board, (uint64_t)number);
}

static uint64_t bytes_read(const board *board) {
    uint64_t n = 0;
    for (int i = 0; i < HONEST; i++)
        n += NOW(board->n_bytes[i]);
    return n;
}

static bool all_have_read_since(const board *board, const uint64_t n_bytes[HONEST]) {
    bool all = true;
    for (int i = 0; i < HONEST; i++)
        all = all && NOW(board->n_bytes[i]) > n_bytes[i];
    return all;
}

/* Bytes a second that the honest ones read beside such a worker. */
static double speed_beside(board *board, test_host *host, worker_fn work, int number, double seconds) {
    __atomic_store_n(&board->is_over, 0, __ATOMIC_RELEASE);
    uint64_t before = bytes_read(board), n_bytes[HONEST];
    for (int i = 0; i < HONEST; i++)
        n_bytes[i] = NOW(board->n_bytes[i]);
    double began = test_now_ms();
    pid_t worker = worker_start(work, board, number);
    if (host_ended(host, (int)(seconds * 1e3 / test_scaled(1))))
        CHECK_SAY(false, "the host ended with %d", host->exit_code);
    double speed = (double)(bytes_read(board) - before) * 1e3 / (test_now_ms() - began);
    if (!board->manner->may_fail)
        CHECK_SAY(WAITED(SOON_MS, all_have_read_since(board, n_bytes)), "an honest client gets nothing beside it");
    __atomic_store_n(&board->is_over, 1, __ATOMIC_RELEASE);
    worker_wait(worker);
    return speed;
}

/* Notes the places of the honest ones, each of which has one stream. */
static void spare_honest(board *board) {
    for (uint32_t i = 0; i < board->view.at.n_clients; i++) {
        uint32_t pid = client_claim_pid(NOW(hub_client(&board->view, i)->claim));
        for (int k = 0; k < HONEST; k++)
            board->is_spared_record[i] |= pid == (uint32_t)board->honest_pids[k];
    }
    for (uint32_t i = 0; i < board->view.at.n_streams; i++) {
        uint64_t claim = NOW(hub_stream(&board->view, i)->claim);
        uint32_t owner = stream_claim_owner(claim);
        board->is_spared_stream[i] =
            stream_claim_phase(claim) != LIPC_CLAIM_FREE && owner < LIPC_CLIENTS_MAX && board->is_spared_record[owner];
    }
}

static void learn_answers(board *board) {
    lipc_client *client = client_of(board->instance);
    for (int i = 0; i < HONEST; i++) {
        lipc_stream *stream = ask(client, questions[i]);
        reading reading = read_to_end(stream);
        CHECK_INT(reading.code, ==, 0);
        board->answers[i] = reading.text;
        lipc_stream_close(stream);
    }
    lipc_client_close(client);
}

/* All that a new client needs is as it was, and it is served. */
static void check_served(board *board) {
    double began = test_now_ms();
    lipc_hub *hub = hub_of(&board->view);
    CHECK_SAY(WAITED(SOON_MS, memcmp(hub, &board->hub, offsetof(lipc_hub, state)) == 0 &&
                                                     NOW(hub->state) == LIPC_HUB_READY),
              "the hub does not come back");
    if (!board->manner->kills_workers)
        CHECK_SAY(NOW(hub->worker_pid) == board->hub.worker_pid && NOW(hub->n_recoveries) == 0, "the worker has died");
    /* As if that had been the last word: nobody seems to sleep on the host's bell. */
    __atomic_store_n(&hub->bell.armed, 0, __ATOMIC_SEQ_CST);
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream = ask(client, questions[0]);
    check_answer(stream, board->answers[0], strlen(board->answers[0]));
    lipc_stream_close(stream);
    lipc_client_close(client);
    printf("  a new client has its answer after %.0f ms\n", test_now_ms() - began);
}

/* Each stream can be used again. */
static void check_all_places(board *board) {
    enum { PLACES = 12 };
    lipc_stream *streams[PLACES];
    CHECK_INT(board->view.at.n_streams, ==, PLACES);
    lipc_client *client = client_of(board->instance);
    for (int i = 0; i < PLACES; i++)
        streams[i] = ask(client, questions[0]);
    for (int i = 0; i < PLACES; i++)
        check_answer(streams[i], board->answers[0], strlen(board->answers[0]));
    for (int i = 0; i < PLACES; i++)
        lipc_stream_close(streams[i]);
    lipc_client_close(client);
}

static void note_generations(board *board) {
    for (uint32_t i = 0; i < board->view.at.n_clients; i++)
        board->record_generations[i] = client_claim_generation(NOW(hub_client(&board->view, i)->claim));
    for (uint32_t i = 0; i < board->view.at.n_streams; i++)
        board->stream_generations[i] = stream_claim_generation(NOW(hub_stream(&board->view, i)->claim));
}

/* They have grown by ones, and are not what somebody wrote: no old handle can be valid again. */
static void check_generations(board *board) {
    for (uint32_t i = 0; i < board->view.at.n_clients && !board->manner->kills_workers; i++) {
        uint32_t now = client_claim_generation(NOW(hub_client(&board->view, i)->claim));
        CHECK_SAY(((now - board->record_generations[i]) & 0x0FFFFFFF) < GENERATIONS_MOST, "record %u: generation %u -> %u",
                  i, board->record_generations[i], now);
    }
    for (uint32_t i = 0; i < board->view.at.n_streams; i++) {
        uint32_t now = stream_claim_generation(NOW(hub_stream(&board->view, i)->claim));
        CHECK_SAY(now - board->stream_generations[i] < GENERATIONS_MOST, "stream %u: generation %u -> %u", i,
                  board->stream_generations[i], now);
    }
}

static void check_at_rest(test_host *host, const needs *before) {
    needs now, later;
    /* Whoever seems to be attaching is believed for some seconds. */
    CHECK_SAY(WAITED(SOON_MS, needs_of(host->pid).n_descriptors <= before->n_descriptors), "the host keeps descriptors");
    CHECK(WAITED(SOON_MS, (now = needs_of(host->pid), test_pause_ms(100), needs_of(host->pid).cpu_ms - now.cpu_ms < 10)));
    now = needs_of(host->pid);
    test_pause_ms(IDLE_WATCHED_MS);
    later = needs_of(host->pid);
    printf("  memory %ld -> %ld KiB, descriptors %d -> %d, at rest %.0f ms of CPU a second\n", before->memory_kib,
           later.memory_kib, before->n_descriptors, later.n_descriptors, later.cpu_ms - now.cpu_ms);
    CHECK_SAY(later.memory_kib - before->memory_kib < test_scaled(GROWTH_KIB), "the host has grown");
    CHECK_SAY(later.cpu_ms - now.cpu_ms <= test_scaled(IDLE_ALLOWED_MS), "the host does not come to rest");
}

static void start_host(board *board, test_host *host, double seconds, segment *segment) {
    const manner *manner = board->manner;
    const char *n_parallel = manner->n_parallel ? manner->n_parallel : "13";
    char rate[16];
    /* Endless answers must fit into a log. */
    snprintf(rate, sizeof rate, "%.0f", manner->is_endless && seconds > 40 ? 200000 / seconds : 5000.0);
    if (manner->has_model)
        *segment = host_ready(host, board->instance, EMBEDDED("--streams", STREAMS, "-n", "100", "--log-level", "error"));
    else
        *segment = host_ready(host, board->instance,
                              REPLAY(board->script, "--rate", manner->rate ? manner->rate : rate, "-np", n_parallel,
                                     "--streams", STREAMS, "--response-size", "2M", "--log-level", "error"));
    hub_identity identity;
    CHECK_INT(hub_read(segment->base, segment->size, &board->view, &identity), ==, HUB_OK);
    memcpy(&board->hub, hub_of(&board->view), sizeof board->hub);
    board->host_pid = host->pid;
}

static void print_counts(const board *board) {
    uint64_t n_answers = 0, n_errors = 0;
    for (int i = 0; i < HONEST; i++) {
        n_answers += board->n_answers[i];
        n_errors += board->n_errors[i];
    }
    printf("  honest ones: %llu whole answers, %llu errors; classic: %llu answers\n", (unsigned long long)n_answers,
           (unsigned long long)n_errors, (unsigned long long)board->n_answers[CLASSIC]);
}

static void stand(const manner *manner, double seconds, int seed) {
    board *board = shared_new(sizeof *board);
    test_host host;
    segment segment;
    pid_t classic = 0;
    test_step("%c: %s", manner->letter, manner->name);
    board->manner = manner;
    board->script = script_new(3000);
    test_instance(board->instance, "hostile");
    start_host(board, &host, seconds, &segment);
    note_generations(board);
    learn_answers(board);
    if (manner->has_classic)
        classic = worker_start(be_classic, board, CLASSIC);
    for (int i = 0; i < HONEST; i++)
        board->honest_pids[i] = worker_start(be_honest, board, i);
    CHECK(WAITED(SOON_MS, board->n_bytes[0] && board->n_bytes[1] && board->n_bytes[2] && board->n_bytes[3]));
    spare_honest(board);
    double alone = speed_beside(board, &host, compute, 0, seconds / 5);
    needs before = needs_of(host.pid);
    double beside = speed_beside(board, &host, be_hostile, seed, seconds * 4 / 5);
    __atomic_store_n(&board->is_classic_quiet, 1, __ATOMIC_RELEASE);
    if (classic)
        worker_wait(classic);
    check_served(board);
    print_counts(board);
    printf("  honest ones read %.0f KB/s beside it, %.0f beside one that computes: %.2f\n", beside / 1e3, alone / 1e3,
           beside / alone);
    __atomic_store_n(&board->is_quiet, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < HONEST; i++)
        worker_wait(board->honest_pids[i]);
    check_all_places(board);
    check_at_rest(&host, &before);
    check_generations(board);
    end_host(&host, &segment);
    free(board->script.text);
    for (int i = 0; i < HONEST; i++)
        free(board->answers[i]);
}

static const manner manners[] = {
    {'a', "scribbles as a client", attack_as_client, .is_endless = true, .has_classic = true},
    {'b', "scribbles over everything", attack_everything, .may_fail = true, .may_be_damaged = true},
    {'m', "scribbles over everything, with the embedded model", attack_everything, .may_fail = true,
     .may_be_damaged = true, .has_model = true},
    {'r', "scribbles over everything and kills the worker", attack_successors, .may_fail = true,
     .may_be_damaged = true, .kills_workers = true},
    {'c', "lies", attack_with_lies, .may_fail = true, .has_classic = true, .rate = "0"},
    {'d', "claims and abandons", attack_by_abandoning, .has_classic = true, .rate = "0"},
    {'e', "floods", attack_by_flooding, .has_classic = true, .n_parallel = "2"},
};

int main(int argc, char *argv[]) {
    double seconds = argc > 1 ? atof(argv[1]) : 6;
    const char *which = argc > 2 ? argv[2] : "abmrcde";
    int seed = argc > 3 ? atoi(argv[3]) : 1;
    test_begin("hostile_clients", (unsigned)(strlen(which) * (seconds + 60)));
    for (size_t i = 0; i < sizeof manners / sizeof manners[0]; i++)
        if (strchr(which, manners[i].letter))
            stand(&manners[i], seconds, seed);
    return test_end();
}
