/* classic_client.c - asks a running chatbot one question, twice: streaming, then in one piece.
 *
 *     classic_client [--watch] [question [instance name]]
 *
 * The answer goes to standard output, everything else to standard error. Ctrl-C cancels the answer. With --watch it is
 * shown at the pace of a fast reader: a small model is otherwise done before an eye can follow. The host does not wait
 * for a slow client.
 */
#include <lipc/lipc.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WATCH_PAUSE_NS 40000000 /* after each word: 25 words a second */

typedef struct display {
    int is_watched;
    int n_updates;
} display;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

/* Prints what is new. Returning 1 cancels. */
static int on_update(void *user_data, const lipc_classic_result *update) {
    display *display = user_data;
    const char *text = update->text + update->n_new_from;
    display->n_updates++;
    while (*text && !interrupted) {
        size_t n_bytes = display->is_watched ? 1 + strcspn(text + 1, " ") : strlen(text);
        fwrite(text, 1, n_bytes, stdout);
        fflush(stdout);
        text += n_bytes;
        if (display->is_watched) nanosleep(&(struct timespec){.tv_nsec = WATCH_PAUSE_NS}, NULL);
    }
    return interrupted;
}

static int fail(const char *what) {
    fprintf(stderr, "\n%s: %s\n", what, lipc_error_message());
    return 1;
}

int main(int argc, char *argv[]) {
    display display = {0};
    if (argc > 1 && strcmp(argv[1], "--watch") == 0) {
        display.is_watched = 1;
        argc--, argv++;
    }
    const char *question = argc > 1 ? argv[1] : "Explain C++ pointers in detail";
    const char *name = argc > 2 ? argv[2] : NULL;
    int failed = 0;
    lipc_classic *host;
    lipc_classic_result answer;

    signal(SIGINT, on_interrupt);
    if (lipc_classic_open(name, &host) < 0) return fail("open");
    fprintf(stderr, "waiting for the host ...\n");
    if (lipc_classic_connect(host, 60000) < 0) {
        failed = fail("connect");
    } else {
        fprintf(stderr, "connected to process %d\n\n> %s\n", lipc_classic_host_pid(host), question);
        if (lipc_classic_stream(host, "You are a helpful tutor", question, -1, on_update, &display, &answer) < 0)
            failed = fail("stream");
        else
            fprintf(stderr, "\n(%d tokens in %d updates)\n", answer.n_tokens, display.n_updates);
    }
    if (!failed) {
        fprintf(stderr, "\n> What is C++?\n");
        if (lipc_classic_request(host, NULL, "What is C++?", -1, &answer) < 0)
            failed = fail("request");
        else
            printf("%s\n", answer.text);
    }
    lipc_classic_close(host);
    return failed;
}
