/* rows_clients.c - clients of the modern channel on a real host that plays a text: what reading costs, many at once,
 * deaths and cancelling, and doing nothing.
 *
 * Every client is a process of its own and uses liblipc as an application does. This program looks at the segment.
 */
#include "rows.h"

#include "../src/channel/names.h"
#include "../src/channel/stream.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_RATE 1000
#define READ_TOKENS 4000
#define PACED_RATE 2000
#define PACED_TOKENS 8000
#define PACED_WAKES 60
#define N_MANY 64
#define MANY_RATE 50
#define MANY_TOKENS 200
#define N_KILLS 200
#define N_CANCELS 200
#define N_HOST_KILLS 50
#define N_IDLE 16
#define IDLE_S 5
#define NOTES_MAX 16384
#define LIMIT_NS 10000000000LL

/* ---- clients in processes of their own -------------------------------------------------------------------------- */

/* What a client tells this program. */
typedef struct client_notes {
    uint32_t is_ready, may_go; /* attached; told to begin */
    int64_t first_ns, last_ns; /* text */
    int64_t cpu_ns;            /* of its process, from the first text to the end */
    int64_t wall_ns;
    uint32_t n_tokens, n_bytes, is_whole;
    uint32_t n_wakes; /* returns with text; the times of the first NOTES_MAX */
    int64_t woken_ns[NOTES_MAX];
} client_notes;

typedef struct work {
    const char *instance;
    const char *text; /* that the host plays */
    int wakes_per_second;
} work;

typedef void (*client_fn)(const work *work, client_notes *notes);

static client_notes *new_notes(int n) {
    client_notes *notes = mmap(NULL, (size_t)n * sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                               0);
    if (notes == MAP_FAILED)
        fail("not enough memory");
    return notes;
}

static void free_notes(client_notes *notes, int n) {
    munmap(notes, (size_t)n * sizeof *notes);
}

static pid_t client_start(client_fn run, const work *work, client_notes *notes) {
    const pid_t pid = process_fork();
    if (pid > 0)
        return pid;
    run(work, notes);
    _exit(0);
}

static void set(uint32_t *word) {
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
}

static void wait_for(const uint32_t *word) {
    const int64_t deadline = now_ns() + LIMIT_NS;
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0) {
        if (now_ns() > deadline)
            fail("a client did not come so far");
        sleep_ns(100000);
    }
}

static void reap(pid_t pid) {
    if (process_end(pid) != 0)
        fail("a client did not end well");
}

/* ---- the segment, as this program sees it ----------------------------------------------------------------------- */

static hub_view look_into(const char *instance) {
    char object[NAMES_OBJECT_SIZE];
    struct stat status;
    hub_view view;
    hub_identity identity;
    names_object(object, instance, LIPC_SUFFIX_SEGMENT);
    const int descriptor = shm_open(object, O_RDWR, 0);
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        fail("the segment of %s cannot be opened", instance);
    char *base = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (base == MAP_FAILED || hub_read(base, (uint64_t)status.st_size, &view, &identity) != HUB_OK)
        fail("the segment of %s cannot be read", instance);
    return view;
}

static void look_away(hub_view *view) {
    munmap(view->base, view->at.segment_size);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* Reads one answer to its end. */
static void read_answer(const work *work, client_notes *notes) {
    lipc_delta delta;
    lipc_progress progress;
    lipc_client *client = modern_open(work->instance, work->wakes_per_second);
    set(&notes->is_ready);
    wait_for(&notes->may_go);
    lipc_stream *stream = modern_ask(client, false);
    notes->is_whole = 1;
    for (;;) {
        if (lipc_stream_read(stream, 20000, &delta) < 0)
            fail("a client: %s", lipc_error_message());
        const int64_t now = now_ns();
        if (delta.n_bytes == 0)
            break;
        if (notes->n_wakes == 0) {
            notes->first_ns = now;
            notes->cpu_ns = process_cpu_ns(getpid());
        }
        notes->last_ns = now;
        if (notes->n_wakes < NOTES_MAX)
            notes->woken_ns[notes->n_wakes] = now;
        notes->n_wakes++;
        notes->is_whole &= memcmp(work->text + delta.offset, delta.text, delta.n_bytes) == 0;
        notes->n_bytes += (uint32_t)delta.n_bytes;
    }
    notes->cpu_ns = process_cpu_ns(getpid()) - notes->cpu_ns;
    notes->wall_ns = now_ns() - notes->first_ns;
    notes->is_whole &= notes->n_bytes == strlen(work->text);
    if (lipc_stream_progress(stream, &progress) == 0)
        notes->n_tokens = (uint32_t)progress.n_tokens;
    lipc_stream_close(stream);
    lipc_client_close(client);
}

/* The most wakes in any second. */
static uint32_t busiest_second(const client_notes *notes) {
    uint32_t most = 0;
    const uint32_t n = notes->n_wakes < NOTES_MAX ? notes->n_wakes : NOTES_MAX;
    for (uint32_t begin = 0, end = 0; end < n; end++) {
        while (notes->woken_ns[end] - notes->woken_ns[begin] >= 1000000000)
            begin++;
        most = end - begin + 1 > most ? end - begin + 1 : most;
    }
    return most;
}

/* From the publication of the last token to its reader. */
static double last_delay_ms(const hub_view *view, const client_notes *notes) {
    const lipc_stream_header *header = hub_stream(view, 0);
    const uint32_t n_tokens = (uint32_t)(header->published >> 32);
    const int64_t at = (int64_t)(header->started_ns + stream_index(view, 0)[n_tokens - 1].time_us * UINT64_C(1000));
    return (double)(notes->last_ns - at) / 1e6;
}

typedef struct reading {
    samples reader_share, host_share, per_token, host_per_token, wakes, delay;
} reading;

/* One answer, read by one client. */
static void measure_reading(const bench_options *options, int rate, int n_tokens, int wakes_per_second,
                            reading *found) {
    host_subject host;
    char *text;
    const char *path = replay_text(n_tokens, &text);
    client_notes *notes = new_notes(1);
    replay_start(&host, options, path, rate, 8);
    const work work = {host.name, text, wakes_per_second};
    const pid_t client = client_start(read_answer, &work, notes);
    wait_for(&notes->is_ready);
    hub_view view = look_into(host.name);
    sleep_ns(50000000);
    const int64_t cpu = family_cpu_ns(host.pid), start = now_ns();
    set(&notes->may_go);
    reap(client);
    const double host_ns = (double)(family_cpu_ns(host.pid) - cpu);
    if (!notes->is_whole)
        fail("an answer is not whole");
    samples_add(&found->reader_share, 100.0 * (double)notes->cpu_ns / (double)notes->wall_ns);
    samples_add(&found->host_share, 100.0 * host_ns / (double)(now_ns() - start));
    samples_add(&found->per_token, (double)notes->cpu_ns / 1e3 / n_tokens);
    samples_add(&found->host_per_token, host_ns / 1e3 / n_tokens);
    samples_add(&found->wakes, busiest_second(notes));
    samples_add(&found->delay, last_delay_ms(&view, notes));
    look_away(&view);
    host_stop(&host);
    free_notes(notes, 1);
    free(text);
}

/* Sleeping as the host does between two tokens, and doing nothing else: share of a core. */
static double measure_pauses(int rate) {
    plat_doorbell bell = {0};
    const int64_t cpu = process_cpu_ns(getpid()), start = now_ns();
    for (int i = 1; i <= rate; i++)
        plat_doorbell_wait(&bell, bell.rings, (uint64_t)start + (uint64_t)i * 1000000000 / (uint64_t)rate);
    return 100.0 * (double)(process_cpu_ns(getpid()) - cpu) / (double)(now_ns() - start);
}

static void clear(reading *found) {
    found->reader_share.n = found->host_share.n = found->per_token.n = found->host_per_token.n = 0;
    found->wakes.n = found->delay.n = 0;
}

static void add_reading(results *list, const bench_options *options) {
    static reading each, paced;
    static samples pauses, above, other_load;
    pauses.n = above.n = other_load.n = 0;
    clear(&each);
    clear(&paced);
    for (int round = 0; round < options->n_rounds; round++) {
        wait_for_quiet(0, 0);
        const struct other_load here = other_load_begin(0, 0);
        const double pause_share = measure_pauses(READ_RATE);
        measure_reading(options, READ_RATE, READ_TOKENS, 0, &each);
        measure_reading(options, PACED_RATE, PACED_TOKENS, PACED_WAKES, &paced);
        samples_add(&pauses, pause_share);
        samples_add(&above, each.host_share.values[round] - pause_share);
        samples_add(&other_load, other_load_cores(&here));
    }
    results_add(list, "clients.read.reader_cpu", samples_median(&each.reader_share), "%", results_at_most(1),
                "of a core: a reader woken for each of 1,000 tokens/s");
    results_add(list, "clients.read.host_cpu", samples_median(&each.host_share), "%", results_at_most(1),
                "of a core: its host");
    results_add(list, "clients.read.pauses_cpu", samples_median(&pauses), "%", results_no_bar(),
                "of a core: a program that sleeps 1,000 times a second");
    results_add(list, "clients.read.host_above_pauses", samples_median(&above), "%", results_no_bar(),
                "the host's less that: what publishing and waking cost");
    results_add(list, "clients.read.other_load", samples_max(&other_load), "cores", results_no_bar(),
                "used by other programs in the worst round");
    results_add(list, "clients.read.reader_cpu_token", samples_median(&each.per_token), "us/token", results_no_bar(),
                "the reader's for each token");
    results_add(list, "clients.read.host_cpu_token", samples_median(&each.host_per_token), "us/token", results_no_bar(),
                "the host's for each token");
    results_add(list, "clients.paced.wakes", samples_max(&paced.wakes), "1/s", results_at_most(62),
                "wakes in the busiest second, 2,000 tokens/s, paced to 60");
    results_add(list, "clients.paced.last_delay", samples_max(&paced.delay), "ms", results_no_bar(),
                "from the last token's publication to the paced reader, worst");
    results_add(list, "clients.paced.reader_cpu", samples_median(&paced.reader_share), "%", results_at_most(1),
                "of a core: the paced reader");
    results_add(list, "clients.paced.host_cpu", samples_median(&paced.host_share), "%", results_no_bar(),
                "of a core: its host");
}

/* ---- many ------------------------------------------------------------------------------------------------------- */

/* 64 answers at once: the spread of their rates in percent. */
static double measure_many(const bench_options *options, double *host_share) {
    host_subject host;
    pid_t pids[N_MANY];
    char *text;
    double least = 1e9, most = 0, sum = 0;
    client_notes *notes = new_notes(N_MANY);
    replay_start(&host, options, replay_text(MANY_TOKENS, &text), MANY_RATE, N_MANY);
    const work work = {host.name, text, 0};
    for (int i = 0; i < N_MANY; i++)
        pids[i] = client_start(read_answer, &work, &notes[i]);
    for (int i = 0; i < N_MANY; i++)
        wait_for(&notes[i].is_ready);
    const int64_t cpu = family_cpu_ns(host.pid), start = now_ns();
    for (int i = 0; i < N_MANY; i++)
        set(&notes[i].may_go);
    for (int i = 0; i < N_MANY; i++)
        reap(pids[i]);
    *host_share = 100.0 * (double)(family_cpu_ns(host.pid) - cpu) / (double)(now_ns() - start);
    for (int i = 0; i < N_MANY; i++) {
        const double rate = (MANY_TOKENS - 1) * 1e9 / (double)(notes[i].last_ns - notes[i].first_ns);
        if (!notes[i].is_whole)
            fail("an answer of %d is not whole", N_MANY);
        least = rate < least ? rate : least;
        most = rate > most ? rate : most;
        sum += rate;
    }
    host_stop(&host);
    free_notes(notes, N_MANY);
    free(text);
    return 100 * (most - least) / (sum / N_MANY);
}

static void add_many(results *list, const bench_options *options) {
    static samples spread, share;
    spread.n = share.n = 0;
    for (int round = 0; round < options->n_rounds; round++) {
        double host_share;
        wait_for_quiet(0, 0);
        samples_add(&spread, measure_many(options, &host_share));
        samples_add(&share, host_share);
    }
    results_add(list, "clients.many.spread", samples_max(&spread), "%", results_at_most(10),
                "fastest - slowest of 64 at 50 tokens/s, of the mean; worst round");
    results_add(list, "clients.many.host_cpu", samples_median(&share), "%", results_no_bar(),
                "of a core: the host of the 64, 3,200 tokens/s");
}

/* ---- deaths and cancelling -------------------------------------------------------------------------------------- */

/* Reads until it is killed. */
static void read_for_ever(const work *work, client_notes *notes) {
    lipc_delta delta;
    lipc_client *client = modern_open(work->instance, 0);
    lipc_stream *stream = modern_ask(client, true);
    while (lipc_stream_read(stream, -1, &delta) == 0)
        set(&notes->is_ready);
    fail("a client: %s", lipc_error_message());
}

/* From kill -9 of a client to the end of the work on its stream, which its host works on. */
static double measure_client_death(const host_subject *host, const hub_view *view, int number) {
    client_notes *notes = new_notes(1);
    const work work = {host->name, NULL, 0};
    const lipc_stream_header *header = hub_stream(view, 0);
    const pid_t client = client_start(read_for_ever, &work, notes);
    wait_for(&notes->is_ready);
    const uint32_t generation = stream_claim_generation(stream_claim_now(header));
    stream_reader reader;
    stream_snapshot snapshot = {0};
    stream_reader_begin(&reader, view, 0, generation);
    sleep_ns(1000000 + number % 20 * 50000LL); /* another phase of the step each time */
    const int64_t killed = now_ns();
    kill(client, SIGKILL);
    while (snapshot.state != LIPC_STREAM_ENDED && stream_is_current(&reader)) {
        if (now_ns() - killed > LIMIT_NS)
            fail("the work for a dead client goes on");
        sleep_ns(20000);
        stream_read_snapshot(&reader, &snapshot);
    }
    const double ms = (double)(now_ns() - killed) / 1e6;
    waitpid(client, NULL, 0);
    while (stream_is_current(&reader))
        sleep_ns(50000);
    free_notes(notes, 1);
    return ms;
}

/* The times from cancelling to the read's return, in woken_ns. */
static void cancel_often(const work *work, client_notes *notes) {
    lipc_client *client = modern_open(work->instance, 0);
    for (int i = 0; i < N_CANCELS; i++) {
        lipc_delta delta;
        int result;
        lipc_stream *stream = modern_ask(client, true);
        for (int n = 0; n < 3; n++)
            lipc_stream_read(stream, -1, &delta);
        sleep_ns(i % 20 * 50000LL); /* another phase of the step each time */
        const int64_t start = now_ns();
        lipc_stream_cancel(stream);
        while ((result = lipc_stream_read(stream, 10000, &delta)) == 0) {
        }
        notes->woken_ns[i] = now_ns() - start;
        if (result != LIPC_E_CANCELLED)
            fail("a cancelled stream: %s", lipc_error_message());
        lipc_stream_close(stream);
    }
    lipc_client_close(client);
}

static void add_client_ends(results *list, const bench_options *options) {
    static samples deaths, cancels;
    deaths.n = cancels.n = 0;
    host_subject host;
    replay_start(&host, options, replay_text(1000, NULL), READ_RATE, 8);
    lipc_client_close(modern_open(host.name, 0));
    hub_view view = look_into(host.name);
    wait_for_quiet(0, 0);
    for (int i = 0; i < N_KILLS; i++)
        samples_add(&deaths, measure_client_death(&host, &view, i));
    client_notes *notes = new_notes(1);
    const work work = {host.name, NULL, 0};
    reap(client_start(cancel_often, &work, notes));
    for (int i = 0; i < N_CANCELS; i++)
        samples_add(&cancels, (double)notes->woken_ns[i] / 1e6);
    free_notes(notes, 1);
    look_away(&view);
    host_stop(&host);
    results_add(list, "clients.death.median", samples_median(&deaths), "ms", results_no_bar(),
                "kill -9 of a client to the end of its work, 1 ms for a token");
    results_add(list, "clients.death.p99", samples_quantile(&deaths, 0.99), "ms", results_at_most(5),
                "99th percentile of 200");
    results_add(list, "clients.cancel.median", samples_median(&cancels), "ms", results_no_bar(),
                "lipc_stream_cancel to the read's return, 1 ms for a token");
    results_add(list, "clients.cancel.p99", samples_quantile(&cancels, 0.99), "ms", results_at_most(2),
                "99th percentile of 200; bar: a step and 1 ms");
}

/* A client that is in lipc_stream_read when its host is killed. */
typedef struct waiting_reader {
    const char *instance;
    uint32_t has_begun;
    int result;
    int64_t returned_ns;
} waiting_reader;

static void *read_until_gone(void *argument) {
    waiting_reader *reader = argument;
    lipc_delta delta;
    lipc_client *client = modern_open(reader->instance, 0);
    lipc_stream *stream = modern_ask(client, true);
    while ((reader->result = lipc_stream_read(stream, -1, &delta)) == 0)
        set(&reader->has_begun);
    reader->returned_ns = now_ns();
    lipc_stream_close(stream);
    lipc_client_close(client);
    return NULL;
}

static void add_host_deaths(results *list, const bench_options *options) {
    static samples deaths;
    const char *path = replay_text(1000, NULL);
    deaths.n = 0;
    for (int i = 0; i < N_HOST_KILLS; i++) {
        host_subject host;
        pthread_t thread;
        replay_start(&host, options, path, 5, 8);
        waiting_reader reader = {.instance = host.name};
        if (pthread_create(&thread, NULL, read_until_gone, &reader) != 0)
            fail("cannot start a thread");
        wait_for(&reader.has_begun);
        sleep_ns(5000000 + i * 1137000LL);
        const int64_t killed = now_ns();
        kill(host.pid, SIGKILL);
        pthread_join(thread, NULL);
        if (reader.result != LIPC_E_HOST_GONE)
            fail("a reader whose host was killed got %s", lipc_error_name(reader.result));
        samples_add(&deaths, (double)(reader.returned_ns - killed) / 1e6);
        host_bury(&host);
    }
    results_add(list, "clients.host_death.median", samples_median(&deaths), "ms", results_at_most(10),
                "kill -9 of the host to lipc_stream_read's return");
    results_add(list, "clients.host_death.max", samples_max(&deaths), "ms", results_at_most(10), "the slowest of 50");
}

/* ---- idling ----------------------------------------------------------------------------------------------------- */

/* Is attached and does nothing. */
static void stay(const work *work, client_notes *notes) {
    lipc_client *client = modern_open(work->instance, 0);
    const int64_t cpu = process_cpu_ns(getpid());
    set(&notes->is_ready);
    sleep_ns(IDLE_S * 1000000000LL);
    notes->cpu_ns = process_cpu_ns(getpid()) - cpu;
    lipc_client_close(client);
}

static void add_idling(results *list, const bench_options *options) {
    host_subject host;
    pid_t pids[N_IDLE];
    client_notes *notes = new_notes(N_IDLE);
    replay_start(&host, options, replay_text(1000, NULL), 0, 8);
    const work work = {host.name, NULL, 0};
    for (int i = 0; i < N_IDLE; i++)
        pids[i] = client_start(stay, &work, &notes[i]);
    for (int i = 0; i < N_IDLE; i++)
        wait_for(&notes[i].is_ready);
    sleep_ns(100000000);
    const int64_t cpu = family_cpu_ns(host.pid), start = now_ns();
    sleep_ns((IDLE_S * 1000 - 500) * 1000000LL);
    const double us_per_s = (double)(family_cpu_ns(host.pid) - cpu) / 1e3 / ((double)(now_ns() - start) / 1e9);
    int64_t client_ns = 0;
    for (int i = 0; i < N_IDLE; i++) {
        reap(pids[i]);
        client_ns += notes[i].cpu_ns;
    }
    host_stop(&host);
    free_notes(notes, N_IDLE);
    results_add(list, "clients.idle.host_cpu", us_per_s, "us/s", results_at_most(1000),
                "of an idle host with 16 attached clients");
    results_add(list, "clients.idle.client_cpu", (double)client_ns / 1e3 / N_IDLE / IDLE_S, "us/s", results_no_bar(),
                "of one of them");
}

void rows_clients(results *list, const bench_options *options) {
    add_reading(list, options);
    add_many(list, options);
    add_client_ends(list, options);
    add_host_deaths(list, options);
    rows_recovery(list, options);
    add_idling(list, options);
}
