/* interrupt.c - see ../interrupt.h. */
#define _GNU_SOURCE
#include "../interrupt.h"

#include "../exit_codes.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* A signal handler has no argument: what it needs is here. */
static volatile sig_atomic_t is_there;
static lipc_client *waking; /* atomic */
static void (*last_words)(void);

static void on_signal(int number) {
    (void)number;
    int error = errno;
    if (is_there) {
        if (last_words) last_words();
        _exit(CLI_EXIT_CANCELLED);
    }
    is_there = 1;
    lipc_client_interrupt(__atomic_load_n(&waking, __ATOMIC_ACQUIRE));
    errno = error;
}

void interrupt_catch(void) {
    /* Without SA_RESTART: it ends system calls. */
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigaction(SIGINT, NULL, &before);
    if (before.sa_handler != SIG_IGN) sigaction(SIGINT, &action, NULL); /* in a shell's background it stays so */
}

void interrupt_client(lipc_client *client) {
    __atomic_store_n(&waking, client, __ATOMIC_RELEASE);
}

void interrupt_last_words(void (*words)(void)) {
    last_words = words;
}

bool interrupt_is_there(void) {
    return is_there != 0;
}

bool interrupt_take(void) {
    bool was_there = is_there != 0;
    is_there = 0;
    return was_there;
}
