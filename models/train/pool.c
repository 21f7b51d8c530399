/* pool.c - see pool.h. The threads meet at a barrier before and behind each task. */
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct member {
    struct pool *pool;
    pthread_t thread;
    int number;
};

struct pool {
    int n_threads;
    struct member *members; /* the first one is the caller, and has no thread */
    pthread_barrier_t barrier;
    pool_task *task; /* NULL: the threads are to end */
    void *context;
    int n_items;
    atomic_int next;
};

static void take_items(struct pool *pool, int number) {
    int item;
    while ((item = atomic_fetch_add(&pool->next, 1)) < pool->n_items) pool->task(pool->context, item, number);
}

static void *work(void *context) {
    struct member *member = context;
    for (;;) {
        pthread_barrier_wait(&member->pool->barrier);
        if (!member->pool->task) return NULL;
        take_items(member->pool, member->number);
        pthread_barrier_wait(&member->pool->barrier);
    }
}

struct pool *pool_new(int n_threads) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pool->n_threads = n_threads;
    pool->members = calloc((size_t)n_threads, sizeof *pool->members);
    if (!pool->members || pthread_barrier_init(&pool->barrier, NULL, (unsigned)n_threads) != 0) abort();
    for (int i = 1; i < n_threads; ++i) {
        pool->members[i] = (struct member){.pool = pool, .number = i};
        /* Those that have started wait for all: there is no way back. */
        if (pthread_create(&pool->members[i].thread, NULL, work, &pool->members[i]) != 0) abort();
    }
    return pool;
}

void pool_run(struct pool *pool, pool_task *task, void *context, int n_items) {
    pool->task = task;
    pool->context = context;
    pool->n_items = n_items;
    atomic_store(&pool->next, 0);
    pthread_barrier_wait(&pool->barrier);
    take_items(pool, 0);
    pthread_barrier_wait(&pool->barrier);
}

void pool_free(struct pool *pool) {
    if (!pool) return;
    pool->task = NULL;
    pthread_barrier_wait(&pool->barrier);
    for (int i = 1; i < pool->n_threads; ++i) pthread_join(pool->members[i].thread, NULL);
    pthread_barrier_destroy(&pool->barrier);
    free(pool->members);
    free(pool);
}
