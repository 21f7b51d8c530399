/* client.c - asks a chatbot one question over the modern channel, starting one if none runs.
 *
 *     client [question [instance name]]
 *
 * The answer goes to standard output as it is made, everything else to standard error. Ctrl-C cancels the answer; what
 * has arrived by then has been shown.
 */
#include <lipc/lipc.h>

#include <signal.h>
#include <stdio.h>

#define SECOND_NS 1e9
#define LOOK_MS 50 /* how soon Ctrl-C is seen while nothing arrives */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static int fail(const char *what) {
    fprintf(stderr, "\n%s: %s\n", what, lipc_error_message());
    return 1;
}

/* Returning 1 ends the wait. */
static int on_status(void *user_data, const lipc_host_status *status) {
    (void)user_data;
    const char *what = status->state == LIPC_HOST_LOADING      ? "loading the model"
                       : status->state == LIPC_HOST_RECOVERING ? "its worker died; loading the model again"
                                                               : NULL;
    if (what) fprintf(stderr, "\r%s: %d %%", what, status->load_per_mille / 10);
    return interrupted;
}

/* Shows the answer as it grows. 0: it is complete. */
static int show_answer(lipc_stream *stream) {
    int is_cancelled = 0;
    for (;;) {
        lipc_delta delta;
        int error = lipc_stream_read(stream, LOOK_MS, &delta);
        if (error == LIPC_E_OK && delta.n_bytes == 0) return LIPC_E_OK;
        if (error < 0 && error != LIPC_E_TIMEOUT) return error;
        fwrite(delta.text, 1, delta.n_bytes, stdout);
        fflush(stdout);
        if (interrupted && !is_cancelled) {
            is_cancelled = 1;
            lipc_stream_cancel(stream); /* the read that follows says so, after all text there is */
        }
    }
}

static void show_summary(lipc_stream *stream) {
    lipc_progress progress;
    if (lipc_stream_progress(stream, &progress) < 0) return;
    double seconds = (double)progress.generate_ns / SECOND_NS;
    fprintf(stderr, "\n(%s: %d tokens of prompt in %.3f s, %d of answer in %.3f s)\n", lipc_end_text(progress.end),
            progress.n_prompt, (double)progress.prompt_ns / SECOND_NS, progress.n_tokens, seconds);
}

static int ask(lipc_client *client, const char *question) {
    const lipc_message messages[] = {{"system", "You are a helpful tutor"}, {"user", question}};
    lipc_request request;
    lipc_stream *stream;
    lipc_request_init(&request);
    request.messages = messages;
    request.n_messages = 2;
    if (lipc_stream_open(client, &request, &stream) < 0) return fail("request");
    int failed = show_answer(stream) < 0 ? fail("answer") : 0;
    putchar('\n');
    show_summary(stream);
    lipc_stream_close(stream);
    return failed;
}

int main(int argc, char *argv[]) {
    const char *question = argc > 1 ? argv[1] : "Explain C++ pointers in detail";
    lipc_client_options options;
    lipc_client *client;
    signal(SIGINT, on_interrupt);
    lipc_client_options_init(&options);
    options.name = argc > 2 ? argv[2] : NULL;
    options.start = LIPC_START_WITH_ME;
    if (lipc_client_open(&options, &client) < 0) return fail("open");
    int failed;
    if (lipc_client_wait_ready(client, -1, on_status, NULL) < 0) {
        failed = fail("wait");
    } else {
        lipc_host_status status;
        lipc_client_status(client, &status);
        fprintf(stderr, "\rattached to process %d: %s\n\n> %s\n", status.host_pid, status.model, question);
        failed = ask(client, question);
    }
    lipc_client_close(client);
    return failed;
}
