/* rows_channel.c - the modern channel by itself: what publishing a token costs while nobody sleeps, and how long a
 * sleeping reader takes to have it.
 *
 * The yardstick of waking is a futex with a time stamp and nothing else. The readers are processes of their own and are
 * woken by turns, one wake of each kind after the other, so that whatever the machine does hits all of them; writer and
 * readers keep to one core each.
 */
#include "rows.h"

#include "stand_in.h"

#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_WAKES 2000
#define PAUSE_NS 500000 /* before each wake */
#define N_PUBLISH 50000
#define N_PUBLISH_TURNS 21
#define TOKEN " word"
#define TOKEN_BYTES 5
#define LOG_SIZE (1u << 20)

enum { KIND_FUTEX, KIND_BELL, KIND_LIBRARY, N_KINDS };

typedef struct board {
    uint32_t futex __attribute__((aligned(64)));
    uint32_t n_ready __attribute__((aligned(64)));
    uint32_t has_polled;
    int64_t sent_ns[N_KINDS][N_WAKES];
    int64_t seen_ns[N_KINDS][N_WAKES];
} board;

static board *new_board(void) {
    board *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (made == MAP_FAILED)
        fail("not enough memory");
    return made;
}

/* ---- readers ---------------------------------------------------------------------------------------------------- */

static void tell_ready(board *board) {
    __atomic_fetch_add(&board->n_ready, 1, __ATOMIC_RELEASE);
}

static void wait_ready(const board *board, uint32_t n) {
    while (__atomic_load_n(&board->n_ready, __ATOMIC_ACQUIRE) < n)
        sleep_ns(200000);
}

static void read_futex(board *board) {
    tell_ready(board);
    for (uint32_t i = 0; i < N_WAKES; i++) {
        while (__atomic_load_n(&board->futex, __ATOMIC_ACQUIRE) == i)
            syscall(SYS_futex, &board->futex, FUTEX_WAIT, i, NULL, NULL, 0);
        board->seen_ns[KIND_FUTEX][i] = now_ns();
    }
}

/* As a reader of the channel sleeps: arm, look, sleep. */
static void read_bell(board *board, const stand_in *host) {
    stream_reader reader;
    stream_sight sight;
    plat_doorbell *bell = hub_bell(&hub_client(&host->view, 0)->bell);
    stream_reader_begin(&reader, &host->view, 0, host->writer.generation);
    tell_ready(board);
    for (uint32_t i = 0; i < N_WAKES; i++) {
        for (;;) {
            const uint32_t seen = plat_doorbell_arm(bell, PLAT_BELL_ALL);
            stream_look(&reader, &sight);
            if (sight.n_tokens > i)
                break;
            plat_doorbell_wait(bell, seen, PLAT_NEVER);
        }
        board->seen_ns[KIND_BELL][i] = now_ns();
    }
}

static void read_library(board *board, const stand_in *host) {
    lipc_client *client = modern_open(host->name, 0);
    lipc_stream *stream = modern_ask(client, false);
    lipc_delta delta;
    tell_ready(board);
    for (size_t i = 0; i < N_WAKES;) {
        if (lipc_stream_read(stream, -1, &delta) < 0)
            fail("a reader: %s", lipc_error_message());
        const int64_t now = now_ns();
        for (const size_t n = (delta.offset + delta.n_bytes) / TOKEN_BYTES; i < n; i++)
            board->seen_ns[KIND_LIBRARY][i] = now;
    }
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static pid_t start_reader(board *board, int kind, const stand_in *host) {
    const pid_t pid = process_fork();
    if (pid > 0)
        return pid;
    pin_to_core(1);
    switch (kind) {
    case KIND_FUTEX: read_futex(board); break;
    case KIND_BELL: read_bell(board, host); break;
    default: read_library(board, host);
    }
    _exit(0);
}

/* ---- waking ----------------------------------------------------------------------------------------------------- */

static void wake(board *board, int kind, stand_in *host, uint32_t i) {
    board->sent_ns[kind][i] = now_ns();
    if (kind == KIND_FUTEX) {
        __atomic_store_n(&board->futex, i + 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &board->futex, FUTEX_WAKE, 1, NULL, NULL, 0);
        return;
    }
    stand_in_publish(host, TOKEN, TOKEN_BYTES);
}

/* One round: N_WAKES of each kind, by turns. */
static void measure_wakes(samples way_us[N_KINDS], samples writer_us[N_KINDS]) {
    for (int kind = 0; kind < N_KINDS; kind++)
        way_us[kind].n = writer_us[kind].n = 0;
    board *board = new_board();
    stand_in hosts[N_KINDS];
    pid_t readers[N_KINDS];
    stand_in_open(&hosts[KIND_BELL], false, LOG_SIZE);
    stand_in_open(&hosts[KIND_LIBRARY], true, LOG_SIZE);
    for (int kind = 0; kind < N_KINDS; kind++)
        readers[kind] = start_reader(board, kind, &hosts[kind]);
    wait_ready(board, N_KINDS);
    stand_in_take(&hosts[KIND_LIBRARY]);
    pin_to_core(0);
    sleep_ns(5000000);
    for (uint32_t i = 0; i < N_WAKES; i++) {
        for (int turn = 0; turn < N_KINDS; turn++) {
            const int kind = (turn + (int)i) % N_KINDS;
            sleep_ns(PAUSE_NS);
            wake(board, kind, &hosts[kind], i);
            samples_add(&writer_us[kind], (double)(now_ns() - board->sent_ns[kind][i]) / 1e3);
        }
    }
    stand_in_end(&hosts[KIND_LIBRARY]);
    unpin();
    for (int kind = 0; kind < N_KINDS; kind++) {
        waitpid(readers[kind], NULL, 0);
        for (int i = 0; i < N_WAKES; i++)
            samples_add(&way_us[kind], (double)(board->seen_ns[kind][i] - board->sent_ns[kind][i]) / 1e3);
    }
    stand_in_close(&hosts[KIND_BELL]);
    stand_in_close(&hosts[KIND_LIBRARY]);
    munmap(board, sizeof *board);
}

/* The same, again while other programs were using the cores and there is patience. Returns how much they used. */
static double measure_quiet_wakes(samples way_us[N_KINDS], samples writer_us[N_KINDS]) {
    for (;;) {
        wait_for_quiet(0, 0);
        const company company = company_begin(0, 0);
        measure_wakes(way_us, writer_us);
        const double cores = company_cores(&company);
        if (cores <= COMPANY_MOST || !patience_left())
            return cores;
        patience_spend(now_ns() - company.at_ns);
    }
}

static void add_wakes(results *list, const bench_options *options) {
    static samples way[N_KINDS], writer[N_KINDS], median[N_KINDS], late[N_KINDS], ratio[N_KINDS], late_ratio[N_KINDS];
    static samples publish[N_KINDS], company;
    company.n = 0;
    for (int kind = 0; kind < N_KINDS; kind++)
        median[kind].n = late[kind].n = ratio[kind].n = late_ratio[kind].n = publish[kind].n = 0;
    for (int round = 0; round < options->n_rounds; round++) {
        samples_add(&company, measure_quiet_wakes(way, writer));
        const double futex_median = samples_median(&way[KIND_FUTEX]);
        const double futex_late = samples_quantile(&way[KIND_FUTEX], 0.99);
        for (int kind = 0; kind < N_KINDS; kind++) {
            samples_add(&median[kind], samples_median(&way[kind]));
            samples_add(&late[kind], samples_quantile(&way[kind], 0.99));
            samples_add(&ratio[kind], samples_median(&way[kind]) / futex_median);
            samples_add(&late_ratio[kind], samples_quantile(&way[kind], 0.99) / futex_late);
            samples_add(&publish[kind], samples_median(&writer[kind]));
        }
    }
    results_add(list, "channel.wake.bell_ratio", samples_median(&ratio[KIND_BELL]), "ratio", results_at_most(1.15),
                "publish to a sleeping reader's return / bare futex, median");
    results_add(list, "channel.wake.bell_p99_ratio", samples_median(&late_ratio[KIND_BELL]), "ratio",
                results_at_most(1.5), "the same of the 99th percentiles");
    results_add(list, "channel.wake.library_ratio", samples_median(&ratio[KIND_LIBRARY]), "ratio", results_no_bar(),
                "to the return of lipc_stream_read / bare futex, median");
    results_add(list, "channel.wake.library_p99_ratio", samples_median(&late_ratio[KIND_LIBRARY]), "ratio",
                results_no_bar(), "the same of the 99th percentiles");
    results_add(list, "channel.wake.company", samples_max(&company), "cores", results_no_bar(),
                "used by other programs in the worst round");
    static const char *const names[N_KINDS] = {"futex", "bell", "library"};
    for (int kind = 0; kind < N_KINDS; kind++) {
        char name[64];
        snprintf(name, sizeof name, "channel.wake.%s", names[kind]);
        results_add(list, name, samples_median(&median[kind]), "us", results_no_bar(), "the way itself, median");
        snprintf(name, sizeof name, "channel.wake.%s_p99", names[kind]);
        results_add(list, name, samples_median(&late[kind]), "us", results_no_bar(), "99th percentile");
        snprintf(name, sizeof name, "channel.wake.%s_writer", names[kind]);
        results_add(list, name, samples_median(&publish[kind]), "us", results_no_bar(), "the writer's own part of it");
    }
}

/* ---- publishing ------------------------------------------------------------------------------------------------- */

/* A reader that looks without a pause, as close as one can be. */
static pid_t start_poller(board *board, const stand_in *host) {
    const pid_t pid = process_fork();
    if (pid > 0)
        return pid;
    pin_to_core(1);
    stream_reader reader;
    stream_sight sight = {0};
    stream_reader_begin(&reader, &host->view, 0, host->writer.generation);
    tell_ready(board);
    while (sight.state != LIPC_STREAM_ENDED)
        stream_look(&reader, &sight);
    _exit(0);
}

/* In processor time: a program that shares the core for a while is not counted, and nothing here sleeps. */
static double measure_publish_ns(bool has_reader) {
    board *board = new_board();
    stand_in host;
    stand_in_open(&host, false, LOG_SIZE);
    pid_t reader = has_reader ? start_poller(board, &host) : 0;
    wait_ready(board, has_reader);
    pin_to_core(0);
    const int64_t start = process_cpu_ns(getpid());
    for (int i = 0; i < N_PUBLISH; i++)
        stand_in_publish(&host, TOKEN, TOKEN_BYTES);
    const double ns = (double)(process_cpu_ns(getpid()) - start) / N_PUBLISH;
    unpin();
    stand_in_end(&host);
    if (reader > 0)
        waitpid(reader, NULL, 0);
    stand_in_close(&host);
    munmap(board, sizeof *board);
    return ns;
}

static double measure_clock_ns(void) {
    const int64_t start = now_ns();
    for (int i = 0; i < N_PUBLISH; i++)
        plat_clock_ns();
    return (double)(now_ns() - start) / N_PUBLISH;
}

static void add_publish(results *list) {
    static samples alone, polled, clock;
    alone.n = polled.n = clock.n = 0;
    for (int i = 0; i < N_PUBLISH_TURNS; i++) {
        samples_add(&alone, measure_publish_ns(false));
        samples_add(&polled, measure_publish_ns(true));
        samples_add(&clock, measure_clock_ns());
    }
    results_add(list, "channel.publish.nobody", samples_median(&alone), "ns", results_at_most(100),
                "publish a token of 5 bytes, nobody reads");
    results_add(list, "channel.publish.polled", samples_median(&polled), "ns", results_at_most(100),
                "the same while another process looks without a pause");
    results_add(list, "channel.publish.clock", samples_median(&clock), "ns", results_no_bar(),
                "of that: reading the clock, once for each token");
}

void rows_channel(results *list, const bench_options *options) {
    add_publish(list);
    add_wakes(list, options);
}
