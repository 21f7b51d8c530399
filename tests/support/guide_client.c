/* guide_client.c - see guide_client.h. Includes nothing of this project. */
#include "guide_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct timespec time_in(int milliseconds) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += milliseconds / 1000;
    at.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

bool guide_take(sem_t *semaphore, int timeout_ms) {
    struct timespec end = time_in(timeout_ms);
    int result;
    while ((result = sem_clockwait(semaphore, CLOCK_MONOTONIC, &end)) != 0 && errno == EINTR)
        ;
    return result == 0;
}

int guide_value(sem_t *semaphore) {
    int value = -1;
    sem_getvalue(semaphore, &value);
    return value;
}

static sem_t *open_semaphore(const char *instance, const char *suffix) {
    char name[128];
    snprintf(name, sizeof name, "/%s%s", instance, suffix);
    sem_t *semaphore = sem_open(name, 0);
    return semaphore == SEM_FAILED ? NULL : semaphore;
}

bool guide_open(guide_client *client, const char *instance) {
    char name[128];
    memset(client, 0, sizeof *client);
    snprintf(name, sizeof name, "/%s_shared_mem", instance);
    int fd = shm_open(name, O_RDWR, 0);
    if (fd < 0)
        return false;
    void *block = mmap(NULL, 45000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (block == MAP_FAILED)
        return false;
    client->block = block;
    client->ready = open_semaphore(instance, "_sem_ready");
    client->prompts_written = open_semaphore(instance, "_sem_prompts_written");
    client->response_written = open_semaphore(instance, "_sem_response_written");
    client->chunk_ready = open_semaphore(instance, "_sem_chunk_ready");
    if (client->ready && client->prompts_written && client->response_written && client->chunk_ready)
        return true;
    guide_close(client);
    return false;
}

bool guide_open_within(guide_client *client, const char *instance, int timeout_ms) {
    struct timespec end = time_in(timeout_ms), now, pause = {0, 100000};
    while (!guide_open(client, instance)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec > end.tv_nsec))
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void guide_close(guide_client *client) {
    sem_t *semaphores[] = {client->ready, client->prompts_written, client->response_written, client->chunk_ready};
    for (int i = 0; i < 4; i++)
        if (semaphores[i])
            sem_close(semaphores[i]);
    if (client->block)
        munmap(client->block, 45000);
    memset(client, 0, sizeof *client);
}

void guide_take_ready_of_dead(const char *instance) {
    sem_t *ready = open_semaphore(instance, "_sem_ready");
    if (!ready)
        return;
    while (sem_trywait(ready) == 0)
        ;
    sem_close(ready);
}

static int32_t read_int(const guide_client *client, size_t offset) {
    int32_t value;
    memcpy(&value, client->block + offset, 4);
    return value;
}

void guide_read(const guide_client *client, guide_update *update) {
    memcpy(update->text, client->block + 8192, 32768);
    update->text[32768] = 0;
    update->n_bytes = strlen(update->text);
    update->update_counter = read_int(client, 40962);
    update->tokens_generated = read_int(client, 40967);
    update->complete = client->block[40966] != 0;
}

void guide_read_bytewise(const guide_client *client, guide_update *update) {
    const volatile unsigned char *response = client->block + 8192;
    size_t n = 0;
    while (n < 32768 && (update->text[n] = (char)response[n]) != 0)
        n++;
    update->text[n] = 0;
    update->n_bytes = n;
    update->update_counter = read_int(client, 40962);
    update->tokens_generated = read_int(client, 40967);
    update->complete = client->block[40966] != 0;
}

static void write_prompt(guide_client *client, size_t offset, const char *text) {
    size_t n = text ? strlen(text) : 0;
    memset(client->block + offset, 0, 4096);
    memcpy(client->block + offset, text ? text : "", n < 4095 ? n : 4095);
}

void guide_write(guide_client *client, const char *system_prompt, const char *user_prompt, bool stream) {
    static const int32_t zero;
    write_prompt(client, 0, system_prompt);
    write_prompt(client, 4096, user_prompt);
    memset(client->block + 8192, 0, 32768);
    client->block[40960] = 0;
    client->block[40961] = stream;
    memcpy(client->block + 40962, &zero, 4);
    client->block[40966] = 0;
    memcpy(client->block + 40967, &zero, 4);
}

bool guide_send(guide_client *client, const char *system_prompt, const char *user_prompt, bool stream,
                int timeout_ms) {
    if (!guide_take(client->ready, timeout_ms))
        return false;
    guide_write(client, system_prompt, user_prompt, stream);
    sem_post(client->prompts_written);
    return true;
}

bool guide_receive(guide_client *client, int timeout_ms, guide_update *last) {
    if (!guide_take(client->response_written, timeout_ms))
        return false;
    guide_read(client, last);
    return true;
}

bool guide_receive_stream(guide_client *client, int timeout_ms, guide_update_fn on_update, void *data,
                          guide_update *last) {
    int32_t seen = 0;
    for (;;) {
        if (!guide_take(client->chunk_ready, timeout_ms))
            return false;
        guide_read(client, last);
        if (last->update_counter > seen) {
            seen = last->update_counter;
            if (on_update)
                on_update(last, data);
        }
        if (last->complete)
            break;
    }
    if (!guide_take(client->response_written, timeout_ms))
        return false;
    /* The text above was copied before generation_complete was read, so it may be one update old. */
    guide_read(client, last);
    return true;
}

bool guide_request(guide_client *client, const char *system_prompt, const char *user_prompt, int timeout_ms,
                   guide_update *last) {
    return guide_send(client, system_prompt, user_prompt, false, timeout_ms) &&
           guide_receive(client, timeout_ms, last);
}

bool guide_stream(guide_client *client, const char *system_prompt, const char *user_prompt, int timeout_ms,
                  guide_update *last) {
    return guide_send(client, system_prompt, user_prompt, true, timeout_ms) &&
           guide_receive_stream(client, timeout_ms, NULL, NULL, last);
}

bool guide_shutdown_politely(guide_client *client, int timeout_ms) {
    if (!guide_take(client->ready, timeout_ms))
        return false;
    client->block[40960] = 1;
    sem_post(client->prompts_written);
    return true;
}

void guide_shutdown_at_once(guide_client *client) {
    client->block[40960] = 1;
    sem_post(client->prompts_written);
}

void guide_cancel(guide_client *client) {
    client->block[40971] = 1;
}

bool guide_cancel_pending(const guide_client *client) {
    return *(const volatile unsigned char *)(client->block + 40971) != 0;
}
