/* guide_client.h - a client of the classic channel as programs in the field have it, written from the guide alone.
 *
 * It shares no header and no line of code with the host or with liblipc: names and offsets are the guide's, as literal
 * numbers. What it does and in which order is what existing clients do; nothing in it is more careful than they are.
 * Only its waits have time-outs, so that a test ends when a promise is broken.
 */
#ifndef LIPC_TESTS_GUIDE_CLIENT_H
#define LIPC_TESTS_GUIDE_CLIENT_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct guide_client {
    unsigned char *block; /* 45,000 bytes */
    sem_t *ready, *prompts_written, *response_written, *chunk_ready;
} guide_client;

/* One look at the block. */
typedef struct guide_update {
    char text[32769]; /* the 32,768 bytes copied, with a zero behind them */
    size_t n_bytes;   /* up to the first zero byte */
    int32_t update_counter;
    int32_t tokens_generated;
    bool complete;
} guide_update;

/* Opens the objects of an instance ("llama_cpp" by default). False if one of them does not exist (yet). */
bool guide_open(guide_client *client, const char *instance);
/* Tries until they exist. */
bool guide_open_within(guide_client *client, const char *instance, int timeout_ms);
void guide_close(guide_client *client);

/* Takes the sem_ready that a dead host left behind. Until its successor has taken the objects over, it would let a
 * client in whose request the successor then resets. */
void guide_take_ready_of_dead(const char *instance);

bool guide_take(sem_t *semaphore, int timeout_ms);
int guide_value(sem_t *semaphore);

/* Copies the block as clients do: all response bytes at once. */
void guide_read(const guide_client *client, guide_update *update);
/* The same for clients that read byte by byte until the zero. */
void guide_read_bytewise(const guide_client *client, guide_update *update);

/* Writes a request into the block, without waiting for sem_ready and without the post. Texts are cut at 4,095 bytes. */
void guide_write(guide_client *client, const char *system_prompt, const char *user_prompt, bool stream);
/* sem_ready, the request, the post. False if sem_ready did not come in time. */
bool guide_send(guide_client *client, const char *system_prompt, const char *user_prompt, bool stream, int timeout_ms);
/* What follows it in normal mode, and in streaming mode. False if a semaphore did not come within the time-out, which
 * runs anew for each wait. `on_update` (may be NULL) is called whenever update_counter grew. */
bool guide_receive(guide_client *client, int timeout_ms, guide_update *last);
typedef void (*guide_update_fn)(const guide_update *update, void *data);
bool guide_receive_stream(guide_client *client, int timeout_ms, guide_update_fn on_update, void *data,
                          guide_update *last);
/* Both together. */
bool guide_request(guide_client *client, const char *system_prompt, const char *user_prompt, int timeout_ms,
                   guide_update *last);
bool guide_stream(guide_client *client, const char *system_prompt, const char *user_prompt, int timeout_ms,
                  guide_update *last);

/* The two forms of ending the host. */
bool guide_shutdown_politely(guide_client *client, int timeout_ms);
void guide_shutdown_at_once(guide_client *client);

/* Newer than the guide: byte 40971 asks the host to complete the answer as it is. */
void guide_cancel(guide_client *client);
bool guide_cancel_pending(const guide_client *client);

#endif
