/* rows_wake.c - what publishing a token costs, and how long it takes to wake the reader.
 *
 * The writer is the host's own (classic_writer_prepare and _show without the pause between them, and a post of
 * sem_chunk_ready); the yardstick is a futex with a time stamp and nothing else. Writer and reader are two processes; a
 * reader is woken after it has slept for INTERVAL_US, the time of a token on a small model.
 */
#include "rows.h"

#include "../src/channel/classic_block.h"

#include <errno.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_WAKES 2000
#define N_PUBLISH 4000 /* updates of 5 bytes: they fit one answer */
#define INTERVAL_US 500

enum { KIND_FUTEX, KIND_SEMAPHORE, KIND_CLASSIC, N_KINDS };

/* What writer and reader share. */
typedef struct shared {
    lipc_classic_block block;
    sem_t posted;
    uint32_t futex __attribute__((aligned(64)));
    int64_t sent_ns[N_WAKES];
    int64_t seen_ns[N_WAKES];
} shared;

/* Both halves of publishing at once: the readers here read in order. */
static void append(classic_writer *writer, const char *text, size_t n_bytes, int32_t n_tokens) {
    classic_writer_prepare(writer, text, n_bytes);
    classic_writer_show(writer, n_tokens);
}

static void futex_wait(uint32_t *word, uint32_t seen) {
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == seen)
        syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void futex_wake(uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* The other process: sleeps, is woken, notes the time. */
static void read_all(shared *shared, int kind) {
    static char text[LIPC_RESPONSE_SIZE];
    size_t n_bytes = 0;
    for (uint32_t i = 0; i < N_WAKES; i++) {
        if (kind == KIND_FUTEX) {
            futex_wait(&shared->futex, i);
        } else {
            while (sem_wait(&shared->posted) != 0 && errno == EINTR) {
            }
        }
        if (kind == KIND_CLASSIC)
            n_bytes = classic_block_read_text(&shared->block, text, n_bytes);
        shared->seen_ns[i] = now_ns();
    }
}

/* Wakes the reader once per interval; times the way there and the writer's own part. */
static void measure_wakes(shared *shared, int kind, samples *way_us, samples *writer_us) {
    memset(shared, 0, sizeof *shared);
    if (sem_init(&shared->posted, 1, 0) != 0)
        fail("cannot make a semaphore: %s", strerror(errno));
    classic_writer writer;
    classic_writer_begin(&writer, &shared->block);
    const pid_t reader = fork();
    if (reader < 0)
        fail("cannot start a process: %s", strerror(errno));
    if (reader == 0) {
        read_all(shared, kind);
        _exit(0);
    }
    for (uint32_t i = 0; i < N_WAKES; i++) {
        sleep_ns(INTERVAL_US * 1000);
        const int64_t start = now_ns();
        shared->sent_ns[i] = start;
        if (kind == KIND_FUTEX) {
            __atomic_store_n(&shared->futex, i + 1, __ATOMIC_RELEASE);
            futex_wake(&shared->futex);
        } else {
            if (kind == KIND_CLASSIC)
                append(&writer, " word", 5, (int32_t)i + 1);
            sem_post(&shared->posted);
        }
        samples_add(writer_us, (double)(now_ns() - start) / 1e3);
    }
    waitpid(reader, NULL, 0);
    for (int i = 0; i < N_WAKES; i++)
        samples_add(way_us, (double)(shared->seen_ns[i] - shared->sent_ns[i]) / 1e3);
    sem_destroy(&shared->posted);
}

/* Nobody waits: the cost of the memory operations and of a post without a system call. */
static double measure_publish_ns(shared *shared) {
    memset(shared, 0, sizeof *shared);
    sem_init(&shared->posted, 1, 0);
    classic_writer writer;
    classic_writer_begin(&writer, &shared->block);
    const int64_t start = now_ns();
    for (int i = 0; i < N_PUBLISH; i++) {
        append(&writer, " word", 5, i + 1);
        sem_post(&shared->posted);
    }
    const double ns = (double)(now_ns() - start) / N_PUBLISH;
    sem_destroy(&shared->posted);
    return ns;
}

void rows_wake(results *list, const bench_options *options) {
    (void)options;
    static samples way[N_KINDS], writer[N_KINDS], publish;
    shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("not enough memory");
    publish.n = 0;
    for (int i = 0; i < 21; i++)
        samples_add(&publish, measure_publish_ns(shared));
    for (int kind = 0; kind < N_KINDS; kind++) {
        way[kind].n = writer[kind].n = 0;
        measure_wakes(shared, kind, &way[kind], &writer[kind]);
    }
    munmap(shared, sizeof *shared);

    results_add(list, "publish.nobody_waits", samples_median(&publish), "ns", results_no_bar(),
                "publish 5 bytes and post, no reader");
    results_add(list, "publish.reader_waits", samples_median(&writer[KIND_CLASSIC]), "us", results_no_bar(),
                "the same, waking a sleeping reader");
    results_add(list, "wake.futex", samples_median(&way[KIND_FUTEX]), "us", results_no_bar(),
                "bare futex, from the writer to the reader");
    results_add(list, "wake.semaphore", samples_median(&way[KIND_SEMAPHORE]), "us", results_no_bar(),
                "bare semaphore");
    results_add(list, "wake.token", samples_median(&way[KIND_CLASSIC]), "us", results_no_bar(),
                "a token: published, posted, woken, read");
}
