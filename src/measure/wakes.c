/* wakes.c - see wakes.h. */
#define _GNU_SOURCE
#include "wakes.h"

#include "answers.h"
#include "stand_in.h"

#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_NS 500000 /* before each wake */
#define N_PUBLISH 50000
#define TOKEN " word"
#define TOKEN_BYTES 5
#define LOG_SIZE (1u << 20)

typedef struct board {
    uint32_t futex __attribute__((aligned(64)));
    uint32_t n_ready __attribute__((aligned(64)));
    uint32_t has_polled;
    uint32_t n_wakes;
    int64_t sent_ns[N_WAKE_KINDS][WAKES_MOST];
    int64_t seen_ns[N_WAKE_KINDS][WAKES_MOST];
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
    for (uint32_t i = 0; i < board->n_wakes; i++) {
        while (__atomic_load_n(&board->futex, __ATOMIC_ACQUIRE) == i)
            syscall(SYS_futex, &board->futex, FUTEX_WAIT, i, NULL, NULL, 0);
        board->seen_ns[WAKE_FUTEX][i] = now_ns();
    }
}

/* As a reader of the channel sleeps: arm, look, sleep. */
static void read_bell(board *board, const stand_in *host) {
    stream_reader reader;
    stream_snapshot snapshot;
    plat_doorbell *bell = hub_bell(&hub_client(&host->view, 0)->bell);
    stream_reader_begin(&reader, &host->view, 0, host->writer.generation);
    tell_ready(board);
    for (uint32_t i = 0; i < board->n_wakes; i++) {
        for (;;) {
            const uint32_t seen = plat_doorbell_arm(bell, PLAT_BELL_ALL);
            stream_read_snapshot(&reader, &snapshot);
            if (snapshot.n_tokens > i)
                break;
            plat_doorbell_wait(bell, seen, PLAT_NEVER);
        }
        board->seen_ns[WAKE_BELL][i] = now_ns();
    }
}

static void read_library(board *board, const stand_in *host) {
    lipc_client *client = modern_open(host->name, 0);
    lipc_stream *stream = modern_ask(client, false);
    lipc_delta delta;
    tell_ready(board);
    for (size_t i = 0; i < board->n_wakes;) {
        if (lipc_stream_read(stream, -1, &delta) < 0)
            fail("a reader: %s", lipc_error_message());
        const int64_t now = now_ns();
        for (const size_t n = (delta.offset + delta.n_bytes) / TOKEN_BYTES; i < n; i++)
            board->seen_ns[WAKE_LIBRARY][i] = now;
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
    case WAKE_FUTEX: read_futex(board); break;
    case WAKE_BELL: read_bell(board, host); break;
    default: read_library(board, host);
    }
    _exit(0);
}

/* ---- waking ----------------------------------------------------------------------------------------------------- */

static void wake(board *board, int kind, stand_in *host, uint32_t i) {
    board->sent_ns[kind][i] = now_ns();
    if (kind == WAKE_FUTEX) {
        __atomic_store_n(&board->futex, i + 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &board->futex, FUTEX_WAKE, 1, NULL, NULL, 0);
        return;
    }
    stand_in_publish(host, TOKEN, TOKEN_BYTES);
}

void wakes_measure(uint32_t n_wakes, samples way_us[N_WAKE_KINDS], samples writer_us[N_WAKE_KINDS]) {
    for (int kind = 0; kind < N_WAKE_KINDS; kind++)
        way_us[kind].n = writer_us[kind].n = 0;
    board *board = new_board();
    board->n_wakes = n_wakes;
    stand_in hosts[N_WAKE_KINDS];
    pid_t readers[N_WAKE_KINDS];
    stand_in_open(&hosts[WAKE_BELL], false, LOG_SIZE);
    stand_in_open(&hosts[WAKE_LIBRARY], true, LOG_SIZE);
    for (int kind = 0; kind < N_WAKE_KINDS; kind++)
        readers[kind] = start_reader(board, kind, &hosts[kind]);
    wait_ready(board, N_WAKE_KINDS);
    stand_in_take(&hosts[WAKE_LIBRARY]);
    pin_to_core(0);
    sleep_ns(5000000);
    for (uint32_t i = 0; i < board->n_wakes; i++) {
        for (int turn = 0; turn < N_WAKE_KINDS; turn++) {
            const int kind = (turn + (int)i) % N_WAKE_KINDS;
            sleep_ns(PAUSE_NS);
            wake(board, kind, &hosts[kind], i);
            samples_add(&writer_us[kind], (double)(now_ns() - board->sent_ns[kind][i]) / 1e3);
        }
    }
    stand_in_end(&hosts[WAKE_LIBRARY]);
    unpin();
    for (int kind = 0; kind < N_WAKE_KINDS; kind++) {
        waitpid(readers[kind], NULL, 0);
        for (uint32_t i = 0; i < board->n_wakes; i++)
            samples_add(&way_us[kind], (double)(board->seen_ns[kind][i] - board->sent_ns[kind][i]) / 1e3);
    }
    stand_in_close(&hosts[WAKE_BELL]);
    stand_in_close(&hosts[WAKE_LIBRARY]);
    munmap(board, sizeof *board);
}

/* ---- publishing ------------------------------------------------------------------------------------------------- */

/* A reader that looks without a pause, as close as one can be. */
static pid_t start_poller(board *board, const stand_in *host) {
    const pid_t pid = process_fork();
    if (pid > 0)
        return pid;
    pin_to_core(1);
    stream_reader reader;
    stream_snapshot snapshot = {0};
    stream_reader_begin(&reader, &host->view, 0, host->writer.generation);
    tell_ready(board);
    while (snapshot.state != LIPC_STREAM_ENDED)
        stream_read_snapshot(&reader, &snapshot);
    _exit(0);
}

/* In processor time: a program that shares the core for a while is not counted, and nothing here sleeps. */
double publish_cost_ns(bool has_reader) {
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

