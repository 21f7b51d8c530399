/* classic_client.c - asks a running chatbot one question, twice: streaming, then in one piece.
 *
 *     classic_client [question [instance name]]
 *
 * The answer goes to standard output, everything else to standard error. Ctrl-C cancels the answer.
 */
#include <lipc/lipc.h>

#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

/* Prints what is new. Returning 1 cancels. */
static int on_update(void *user_data, const lipc_classic_result *update) {
    int *n_updates = user_data;
    ++*n_updates;
    fwrite(update->text + update->n_new_from, 1, update->n_bytes - update->n_new_from, stdout);
    fflush(stdout);
    return interrupted;
}

static int fail(const char *what) {
    fprintf(stderr, "\n%s: %s\n", what, lipc_error_message());
    return 1;
}

int main(int argc, char *argv[]) {
    const char *question = argc > 1 ? argv[1] : "Explain C++ pointers in detail";
    const char *name = argc > 2 ? argv[2] : NULL;
    int failed = 0, n_updates = 0;
    lipc_classic *host;
    lipc_classic_result answer;

    signal(SIGINT, on_interrupt);
    if (lipc_classic_open(name, &host) < 0) return fail("open");
    fprintf(stderr, "waiting for the host ...\n");
    if (lipc_classic_connect(host, 60000) < 0) {
        failed = fail("connect");
    } else {
        fprintf(stderr, "connected to process %d\n\n> %s\n", lipc_classic_host_pid(host), question);
        if (lipc_classic_stream(host, "You are a helpful tutor", question, -1, on_update, &n_updates, &answer) < 0)
            failed = fail("stream");
        else
            fprintf(stderr, "\n(%d tokens in %d updates)\n", answer.n_tokens, n_updates);
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
