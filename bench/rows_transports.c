/* rows_transports.c - the same tokens by the modern channel, a pipe, a unix socket and HTTP with server-sent events: as
 * fast as they go, and at a pace.
 *
 * Writer and reader are two processes that keep to one core each; the transports take turns. The reader compares every
 * byte with what was sent.
 */
#include "rows.h"

#include "transports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_FAST 20000
#define N_PACED 2000
#define PACE_NS 500000

/* What writer and reader share. */
typedef struct passage {
    uint32_t n_tokens;
    uint32_t end[N_FAST]; /* of each token, in the text */
    char text[8 * N_FAST];
    uint32_t is_ready, n_bytes_read, n_tokens_read, n_pieces;
    int64_t reader_cpu_ns;
    int64_t sent_ns[N_FAST], seen_ns[N_FAST];
} passage;

typedef struct passage_cost {
    double tokens_per_s;
    double median_us, late_us; /* from before the sending to the reader's having it */
    double writer_us, reader_us; /* processor time per token */
} passage_cost;

/* Words, some with what JSON must escape. */
static void fill(passage *passage, uint32_t n_tokens) {
    static const char *const words[] = {" the", " word", "ing", " of", "\n", " \"to", "ken\"", " a"};
    uint32_t n = 0;
    passage->n_tokens = n_tokens;
    for (uint32_t i = 0; i < n_tokens; i++) {
        const char *word = words[i * 7 % 8];
        memcpy(passage->text + n, word, strlen(word));
        passage->end[i] = n += (uint32_t)strlen(word);
    }
}

/* ---- the reader ------------------------------------------------------------------------------------------------- */

static void on_ready(void *user_data) {
    passage *passage = user_data;
    passage->reader_cpu_ns = process_cpu_ns(getpid());
    __atomic_store_n(&passage->is_ready, 1, __ATOMIC_RELEASE);
}

static void on_text(void *user_data, const char *text, size_t n_bytes) {
    passage *passage = user_data;
    const int64_t now = now_ns();
    if (memcmp(passage->text + passage->n_bytes_read, text, n_bytes) != 0)
        fail("a transport changed the text");
    passage->n_bytes_read += (uint32_t)n_bytes;
    passage->n_pieces++;
    while (passage->n_tokens_read < passage->n_tokens && passage->end[passage->n_tokens_read] <= passage->n_bytes_read)
        passage->seen_ns[passage->n_tokens_read++] = now;
}

static pid_t start_reader(const transport *transport, transport_link *link, passage *passage) {
    const pid_t pid = process_fork();
    if (pid > 0)
        return pid;
    pin_to_core(1);
    transport->read(link, on_ready, on_text, passage);
    passage->reader_cpu_ns = process_cpu_ns(getpid()) - passage->reader_cpu_ns;
    _exit(0);
}

/* ---- the writer ------------------------------------------------------------------------------------------------- */

static void send_tokens(const transport *transport, transport_link *link, passage *passage, int64_t pace_ns) {
    const int64_t start = now_ns();
    uint32_t begin = 0;
    for (uint32_t i = 0; i < passage->n_tokens; i++) {
        if (pace_ns > 0)
            sleep_until_ns(start + (int64_t)(i + 1) * pace_ns);
        passage->sent_ns[i] = now_ns();
        transport->send(link, passage->text + begin, passage->end[i] - begin);
        begin = passage->end[i];
    }
}

static passage_cost cost_of(const passage *passage, int64_t writer_cpu_ns) {
    static samples ways;
    const uint32_t n = passage->n_tokens;
    ways.n = 0;
    if (passage->n_tokens_read != n)
        fail("%u of %u tokens arrived", passage->n_tokens_read, n);
    for (uint32_t i = 0; i < n; i++)
        samples_add(&ways, (double)(passage->seen_ns[i] - passage->sent_ns[i]) / 1e3);
    return (passage_cost){.tokens_per_s = n * 1e9 / (double)(passage->seen_ns[n - 1] - passage->sent_ns[0]),
                          .median_us = samples_median(&ways),
                          .late_us = samples_quantile(&ways, 0.99),
                          .writer_us = (double)writer_cpu_ns / 1e3 / n,
                          .reader_us = (double)passage->reader_cpu_ns / 1e3 / n};
}

static passage_cost transport_passage(const transport *transport, uint32_t n_tokens, int64_t pace_ns) {
    transport_link link = {.to_reader = -1, .from_writer = -1};
    passage *passage = mmap(NULL, sizeof *passage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
                            -1, 0);
    if (passage == MAP_FAILED)
        fail("not enough memory");
    fill(passage, n_tokens);
    transport->open(&link, 1u << 18);
    const pid_t reader = start_reader(transport, &link, passage);
    transport->start(&link);
    while (__atomic_load_n(&passage->is_ready, __ATOMIC_ACQUIRE) == 0)
        sleep_ns(100000);
    pin_to_core(0);
    sleep_ns(3000000);
    const int64_t cpu = process_cpu_ns(getpid());
    send_tokens(transport, &link, passage, pace_ns);
    const int64_t writer_cpu = process_cpu_ns(getpid()) - cpu;
    unpin();
    transport->end(&link);
    waitpid(reader, NULL, 0);
    if (transport == &transports[TRANSPORT_CHANNEL])
        stand_in_close(&link.host);
    const passage_cost cost = cost_of(passage, writer_cpu);
    munmap(passage, sizeof *passage);
    return cost;
}

/* What the pauses of the pace cost the writer without any transport. */
static double measure_pauses_us(void) {
    pin_to_core(0);
    const int64_t cpu = process_cpu_ns(getpid()), start = now_ns();
    for (int i = 0; i < N_PACED; i++)
        sleep_until_ns(start + (int64_t)(i + 1) * PACE_NS);
    const double us = (double)(process_cpu_ns(getpid()) - cpu) / 1e3 / N_PACED;
    unpin();
    return us;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

typedef struct transport_samples {
    samples rate, fast_writer, fast_reader, median, late, writer, reader, rate_ratio, median_ratio, cpu_ratio;
} transport_samples;

static void add_row(results *list, const char *transport, const char *rest, const samples *s, const char *unit,
                    const char *what) {
    char name[64];
    snprintf(name, sizeof name, "transports.%s.%s", transport, rest);
    results_add(list, name, samples_median(s), unit, results_no_bar(), what);
}

/* One round: everything by every transport, by turns. Returns what the pauses of the pace cost. */
static double transport_all(int round, passage_cost fast[N_TRANSPORTS], passage_cost paced[N_TRANSPORTS]) {
    for (int turn = 0; turn < N_TRANSPORTS; turn++) {
        const int i = (turn + round) % N_TRANSPORTS;
        fast[i] = transport_passage(&transports[i], N_FAST, 0);
        paced[i] = transport_passage(&transports[i], N_PACED, PACE_NS);
    }
    return measure_pauses_us();
}

/* The same, again while other programs were using the cores and there is time for it. Returns how much they used. */
static double transport_all_quietly(int round, passage_cost fast[N_TRANSPORTS], passage_cost paced[N_TRANSPORTS],
                                double *pause_us) {
    for (;;) {
        wait_for_quiet(0, 0);
        const other_load other_load = other_load_begin(0, 0);
        *pause_us = transport_all(round, fast, paced);
        const double cores = other_load_cores(&other_load);
        if (cores <= OTHER_LOAD_MOST || !retries_left())
            return cores;
        retries_spend(now_ns() - other_load.at_ns);
    }
}

void rows_transports(results *list, const bench_options *options) {
    static samples pauses, other_load;
    transport_samples *all = calloc(N_TRANSPORTS, sizeof *all);
    if (all == NULL)
        fail("not enough memory");
    pauses.n = other_load.n = 0;
    for (int round = 0; round < options->n_rounds; round++) {
        passage_cost fast[N_TRANSPORTS], paced[N_TRANSPORTS];
        double pause_us;
        samples_add(&other_load, transport_all_quietly(round, fast, paced, &pause_us));
        samples_add(&pauses, pause_us);
        const passage_cost *channel_fast = &fast[TRANSPORT_CHANNEL], *channel = &paced[TRANSPORT_CHANNEL];
        for (int i = 0; i < N_TRANSPORTS; i++) {
            samples_add(&all[i].rate, fast[i].tokens_per_s);
            samples_add(&all[i].fast_writer, fast[i].writer_us);
            samples_add(&all[i].fast_reader, fast[i].reader_us);
            samples_add(&all[i].median, paced[i].median_us);
            samples_add(&all[i].late, paced[i].late_us);
            samples_add(&all[i].writer, paced[i].writer_us - pause_us);
            samples_add(&all[i].reader, paced[i].reader_us);
            samples_add(&all[i].rate_ratio, channel_fast->tokens_per_s / fast[i].tokens_per_s);
            samples_add(&all[i].median_ratio, channel->median_us / paced[i].median_us);
            samples_add(&all[i].cpu_ratio, (channel->writer_us - pause_us + channel->reader_us) /
                                               (paced[i].writer_us - pause_us + paced[i].reader_us));
        }
    }
    for (int i = 0; i < N_TRANSPORTS; i++) {
        const char *name = transports[i].name;
        add_row(list, name, "rate", &all[i].rate, "tokens/s", transports[i].what);
        add_row(list, name, "fast_writer_cpu", &all[i].fast_writer, "us/token", "processor time at that rate: writer");
        add_row(list, name, "fast_reader_cpu", &all[i].fast_reader, "us/token", "reader");
        add_row(list, name, "latency", &all[i].median, "us", "2,000 tokens/s: from sending to reading, median");
        add_row(list, name, "latency_p99", &all[i].late, "us", "99th percentile");
        add_row(list, name, "writer_cpu", &all[i].writer, "us/token", "processor time at that pace, less the pauses");
        add_row(list, name, "reader_cpu", &all[i].reader, "us/token", "reader");
        if (i == TRANSPORT_CHANNEL)
            continue;
        add_row(list, name, "rate_ratio", &all[i].rate_ratio, "ratio", "tokens/s of the channel / of this");
        add_row(list, name, "latency_ratio", &all[i].median_ratio, "ratio", "latency of the channel / of this");
        add_row(list, name, "cpu_ratio", &all[i].cpu_ratio, "ratio", "both sides' processor time, channel / this");
    }
    results_add(list, "transports.pauses_cpu", samples_median(&pauses), "us/token", results_no_bar(),
                "what the writer's pauses cost");
    results_add(list, "transports.other_load", samples_max(&other_load), "cores", results_no_bar(),
                "used by other programs in the worst round");
    free(all);
}
