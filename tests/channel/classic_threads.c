/* classic_threads.c - one thread publishes through src/channel/classic_block.h while others read, as host and
 * clients do in two processes: made for the sanitizer that finds data races, which sees only threads of one program.
 * What readers see is checked as well.
 *
 * classic_threads [answers]
 */
#include "../support/harness.h"

#include "channel/classic_block.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READERS = 3, MAX_BYTES = 3000 };

static lipc_classic_block block;
static sem_t prompts_written, response_written, chunk_ready;
static char final_text[MAX_BYTES + 1];
static int is_over;
static pthread_barrier_t round_begins, round_ends;

/* Both halves of publishing at once: the readers here read in order. */
static void append(classic_writer *writer, const char *text, size_t n_bytes, int32_t n_tokens) {
    classic_writer_prepare(writer, text, n_bytes);
    classic_writer_show(writer, n_tokens);
}

/* The text of an answer: every round another mix of character sizes. */
static size_t make_text(unsigned round) {
    static const char *const characters[] = {"a", "ü", "→", "🚀"};
    uint64_t random = round;
    size_t n = 0;
    while (n < MAX_BYTES - 4) {
        const char *character = characters[test_random(&random, 4)];
        memcpy(final_text + n, character, strlen(character));
        n += strlen(character);
    }
    final_text[n] = 0;
    return n;
}

static void *publish(void *data) {
    static classic_request request;
    unsigned n_answers = *(unsigned *)data;
    classic_writer writer;
    uint64_t random = 3;
    for (unsigned round = 0; round < n_answers; round++) {
        sem_wait(&prompts_written);
        classic_block_take(&block, &request);
        CHECK_TEXT(request.user_prompt, "question");
        classic_writer_begin(&writer, &block);
        size_t n_bytes = strlen(final_text), at = 0;
        int32_t n_tokens = 0;
        while (at < n_bytes && !classic_block_cancel_requested(&block) && !classic_block_shutdown_requested(&block)) {
            size_t step = 1 + test_random(&random, 12);
            while (at + step < n_bytes && ((unsigned char)final_text[at + step] & 0xc0) == 0x80)
                step++;
            if (at + step > n_bytes)
                step = n_bytes - at;
            append(&writer, final_text + at, step, ++n_tokens);
            sem_post(&chunk_ready);
            at += step;
        }
        classic_block_clear_cancel(&block);
        classic_writer_complete(&writer, n_tokens);
        sem_post(&chunk_ready);
        sem_post(&response_written);
    }
    return NULL;
}

/* Somebody who only looks, without waiting for any post. */
static void *look_on(void *unused) {
    static _Thread_local char text[LIPC_RESPONSE_SIZE];
    (void)unused;
    for (;;) {
        pthread_barrier_wait(&round_begins);
        if (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE))
            return NULL;
        size_t n = 0;
        int32_t counter = 0;
        bool complete;
        do {
            complete = classic_block_is_complete(&block);
            int32_t now = classic_block_update_counter(&block);
            CHECK_INT(now, >=, counter);
            counter = now;
            size_t from = n;
            n = classic_block_read_text(&block, text, n);
            CHECK_INT(n, >=, from);
            CHECK_SAY(test_is_utf8(text, n), "half a character at %zu", n);
            CHECK_SAY(test_is_prefix(text, n, final_text), "no beginning of the final text, at %zu bytes", n);
        } while (!complete);
        pthread_barrier_wait(&round_ends);
    }
}

int main(int argc, char *argv[]) {
    unsigned n_answers = argc > 1 ? (unsigned)atoi(argv[1]) : 60;
    pthread_t publisher, readers[READERS];
    char text[LIPC_RESPONSE_SIZE];
    test_begin("classic_threads", 120);
    sem_init(&prompts_written, 0, 0);
    sem_init(&response_written, 0, 0);
    sem_init(&chunk_ready, 0, 0);
    pthread_barrier_init(&round_begins, NULL, READERS + 1);
    pthread_barrier_init(&round_ends, NULL, READERS + 1);
    pthread_create(&publisher, NULL, publish, &n_answers);
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, look_on, NULL);
    for (unsigned round = 0; round < n_answers; round++) {
        size_t n_bytes = make_text(round);
        classic_block_write_request(&block, 7, "", 0, "question", 8, true);
        pthread_barrier_wait(&round_begins);
        sem_post(&prompts_written);
        if (round % 5 == 4)
            classic_block_request_cancel(&block, true);
        size_t n = 0;
        bool complete;
        do {
            sem_wait(&chunk_ready);
            complete = classic_block_is_complete(&block);
            n = classic_block_read_text(&block, text, n);
            CHECK(test_is_prefix(text, n, final_text));
        } while (!complete);
        sem_wait(&response_written);
        if (round % 5 != 4)
            CHECK_INT(n, ==, n_bytes);
        CHECK(test_is_utf8(text, n));
        while (sem_trywait(&chunk_ready) == 0)
            ;
        pthread_barrier_wait(&round_ends);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    pthread_barrier_wait(&round_begins);
    pthread_join(publisher, NULL);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    return test_end();
}
