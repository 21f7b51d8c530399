/* pool.h - threads that share the items of a task among them. */
#ifndef TUTOR_POOL_H
#define TUTOR_POOL_H

struct pool;

/* Does one item; `thread` counts from 0. */
typedef void pool_task(void *context, int item, int thread);

/* n_threads includes the caller's. Returns NULL if they cannot be had. End it with pool_free; NULL is allowed. */
struct pool *pool_new(int n_threads);
void pool_free(struct pool *pool);

/* Does the items 0 to n_items - 1, in whatever order, and returns when all are done. */
void pool_run(struct pool *pool, pool_task *task, void *context, int n_items);

#endif
