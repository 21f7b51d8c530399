/* cancel_streams.c - a stream that is cancelled while it waits, while its prompt is read, or while it generates ends
 * with CANCELLED after the text there is; nobody else notices.
 * How soon is the benchmark's (clients.cancel: a step and 1 ms); here it is only printed. */
#include "modern_test.h"

enum { ROUNDS = 50 };

/* Milliseconds from the call to the read that returns CANCELLED. */
static double cancel(lipc_stream *stream, reading *text) {
    double begin = test_now_ms();
    lipc_stream_cancel(stream);
    while (read_some(stream, soon(), text))
        ;
    double end = test_now_ms();
    CHECK_SAY(text->code == LIPC_E_CANCELLED, "%s (%s), expected LIPC_E_CANCELLED", lipc_error_name(text->code),
              lipc_error_message());
    lipc_progress progress = progress_of(stream);
    CHECK_INT(progress.state, ==, LIPC_STREAM_ENDED);
    CHECK_INT(progress.end, ==, LIPC_END_CANCELLED);
    CHECK_INT(progress.n_bytes, ==, text->n_bytes);
    return end - begin;
}

static void report(const char *what, double *times, int n, double step_ms) {
    double median = quantile(times, n, 0.5), most = maximum(times, n);
    printf("  %s: median %.2f ms, most %.2f ms; a step takes %.2f ms\n", what, median, most, step_ms);
}

static void queued_and_running(const script *script) {
    char instance[64];
    test_host host;
    double queued[ROUNDS], running[ROUNDS];
    reading neighbour_text = {0};
    test_step("waiting and generating, a text that is played back");
    test_instance(instance, "cancel");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "50", "-np", "2"));
    lipc_client *client = client_of(instance);
    lipc_stream *neighbour = ask_endless(client);
    read_until(neighbour, &neighbour_text, 1);
    for (int i = 0; i < ROUNDS; i++) {
        reading first_text = {0}, second_text = {0};
        /* One after the other: of two that the host finds in the same look, it takes the one in the lower stream first. */
        lipc_stream *first = ask_endless(client);
        read_until(first, &first_text, 1);
        lipc_stream *second = ask_endless(client);
        CHECK_INT(progress_of(second).state, ==, LIPC_STREAM_QUEUED);
        queued[i] = cancel(second, &second_text);
        CHECK_INT(second_text.n_bytes, ==, 0);
        running[i] = cancel(first, &first_text);
        CHECK(script_has(script, 0, first_text.text, first_text.n_bytes));
        lipc_stream_cancel(first); /* once more: nothing */
        lipc_stream_close(first);
        lipc_stream_close(second);
        free(first_text.text);
    }
    /* Between two tokens nothing is evaluated: a step takes no time. */
    report("waiting for its turn", queued, ROUNDS, 0);
    report("generating", running, ROUNDS, 0);
    size_t before = neighbour_text.n_bytes;
    read_until(neighbour, &neighbour_text, before + 100);
    CHECK(script_has(script, 0, neighbour_text.text, neighbour_text.n_bytes));
    free(neighbour_text.text);
    lipc_stream_close(neighbour);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void waiting_for_a_stream(const script *script) {
    char instance[64];
    test_host host;
    reading text = {0};
    test_step("waiting for a stream; after the end; twice");
    test_instance(instance, "nostream");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "50", "--streams", "1"));
    lipc_client *client = client_of(instance), *other = client_of(instance);
    lipc_stream *first = ask_endless(client), *same = ask_endless(client), *others = ask_endless(other);
    read_until(first, &text, 1);
    CHECK(WAITED(SOON_MS, progress_of(others).queue_position == 1 || progress_of(same).queue_position == 1));
    reading nothing = {0};
    cancel(same, &nothing);
    cancel(others, &nothing);
    CHECK_INT(nothing.n_bytes, ==, 0);
    lipc_stream_close(same);
    lipc_stream_close(others);
    /* Neither stands in the way of the next. */
    lipc_request request = request_of("next");
    request.n_predict = 5;
    others = submit(other, &request);
    lipc_stream_close(first);
    check_answer(others, script->text, tokens_end(script, 5));
    lipc_stream_cancel(others);
    CHECK_INT(progress_of(others).end, ==, LIPC_END_LIMIT);
    lipc_delta delta;
    CHECK_LIPC(lipc_stream_read(others, 0, &delta), LIPC_E_OK);
    CHECK_INT(delta.n_bytes, ==, 0);
    lipc_stream_close(others);
    lipc_client_close(client);
    lipc_client_close(other);
    free(text.text);
    end_host(&host, &segment);
}

/* The longest time between two tokens of a stream. */
static double longest_step_ms(lipc_stream *stream) {
    static lipc_token tokens[4096];
    size_t n;
    double longest = 0;
    CHECK_LIPC(lipc_stream_tokens(stream, 0, tokens, 4096, &n), LIPC_E_OK);
    for (size_t i = 1; i < n; i++)
        longest = fmax(longest, (double)(tokens[i].time_ns - tokens[i - 1].time_ns) / 1e6);
    return longest;
}

static void model_generating(lipc_client *client, const char *neighbours_answer) {
    double times[ROUNDS], step_ms = 0;
    test_step("generating, the embedded model");
    lipc_stream *neighbour = ask(client, QUESTION);
    for (int i = 0; i < ROUNDS; i++) {
        reading text = {0};
        lipc_stream *stream = ask_endless(client);
        read_until(stream, &text, 20);
        times[i] = cancel(stream, &text);
        step_ms = fmax(step_ms, longest_step_ms(stream));
        lipc_stream_close(stream);
        free(text.text);
    }
    report("generating", times, ROUNDS, step_ms);
    check_answer(neighbour, neighbours_answer, strlen(neighbours_answer));
    lipc_stream_close(neighbour);
}

/* How long the slices of a prompt took. */
enum { STEPS_MOST = 1000 };
typedef struct steps {
    double ms[STEPS_MOST];
    int n;
} steps;

/* Watches the prompt being read up to its middle, then cancels. Returns false if it was too fast for that. */
static bool cancel_in_prompt(lipc_client *client, const char *prompt, double *time_ms, steps *steps) {
    reading text = {0};
    lipc_stream *stream = ask(client, prompt);
    lipc_progress progress;
    int32_t n_done = 0;
    double since = test_now_ms();
    do {
        progress = progress_of(stream);
        if (progress.n_prompt_done != n_done) {
            double now = test_now_ms();
            if (n_done > 0 && steps->n < STEPS_MOST)
                steps->ms[steps->n++] = now - since;
            n_done = progress.n_prompt_done;
            since = now;
        }
    } while (progress.state <= LIPC_STREAM_READING && progress.n_prompt_done <= progress.n_prompt / 3);
    bool in_time = progress.state == LIPC_STREAM_READING && progress.n_prompt_done < progress.n_prompt;
    *time_ms = cancel(stream, &text);
    progress = progress_of(stream);
    in_time = in_time && progress.n_prompt_done < progress.n_prompt;
    if (in_time)
        CHECK_INT(text.n_bytes, ==, 0);
    lipc_stream_close(stream);
    free(text.text);
    return in_time;
}

static void model_reading(lipc_client *client, const char *answer) {
    enum { TIMES = 20 };
    static steps steps;
    double times[TIMES];
    int n = 0;
    char *prompt = calloc(1, 64 * 1024);
    test_step("reading a prompt, the embedded model");
    CHECK(prompt != NULL);
    while (strlen(prompt) < 20000)
        strcat(prompt, "What is a semaphore, and what is shared memory? ");
    for (int i = 0; i < TIMES * 20 && n < TIMES; i++) {
        /* Each time another beginning: what was read once is not read again. */
        prompt[0] = (char)('a' + i % 26);
        prompt[1] = (char)('a' + i / 26);
        n += cancel_in_prompt(client, prompt, &times[n], &steps);
    }
    CHECK_SAY(n == TIMES, "the prompt was read too fast to be cancelled: %d times of %d", n, TIMES * 20);
    CHECK_INT(steps.n, >, 0);
    report("reading the prompt", times, n, quantile(steps.ms, steps.n, 0.5));
    lipc_stream *stream = ask(client, QUESTION);
    check_answer(stream, answer, strlen(answer));
    lipc_stream_close(stream);
    free(prompt);
}

/* A client that looks after the host ends another's answer, by its id; nobody else's. */
static void by_another(const script *script) {
    char instance[64], id[LIPC_STREAM_ID_SIZE];
    test_host host;
    reading text = {0}, neighbour_text = {0};
    test_step("another client's stream");
    test_instance(instance, "another");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "100"));
    lipc_client *client = client_of(instance), *other = client_of(instance);
    lipc_stream *stream = ask_endless(client), *neighbour = ask_endless(client);
    read_until(stream, &text, 1);
    read_until(neighbour, &neighbour_text, 1);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    CHECK_LIPC(lipc_client_cancel(other, id), LIPC_E_OK);
    while (read_some(stream, soon(), &text))
        ;
    CHECK_INT(text.code, ==, LIPC_E_CANCELLED);
    CHECK(script_has(script, 0, text.text, text.n_bytes));
    CHECK_INT(progress_of(stream).end, ==, LIPC_END_CANCELLED);
    CHECK_LIPC(lipc_client_cancel(other, id), LIPC_E_GONE); /* it has ended */
    lipc_stream_close(stream);
    CHECK_LIPC(lipc_client_cancel(other, id), LIPC_E_GONE);
    CHECK_LIPC(lipc_client_cancel(other, "01234567890123456789012345678901"), LIPC_E_GONE);
    CHECK_LIPC(lipc_client_cancel(other, "1"), LIPC_E_INVALID);
    CHECK_LIPC(lipc_client_cancel(NULL, id), LIPC_E_INVALID);
    read_until(neighbour, &neighbour_text, neighbour_text.n_bytes + 1);
    CHECK(script_has(script, 0, neighbour_text.text, neighbour_text.n_bytes));
    /* One that nobody owns. */
    lipc_request request;
    lipc_message message = {"user", "go on"};
    lipc_request_init(&request);
    request.messages = &message;
    request.n_messages = request.detachable = request.ignore_eos = 1;
    CHECK_LIPC(lipc_stream_open(client, &request, &stream), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    lipc_stream_detach(stream);
    CHECK_LIPC(lipc_client_cancel(other, id), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_attach(client, id, 0, 0, &stream), LIPC_E_OK);
    free(text.text);
    text = (reading){0};
    while (read_some(stream, soon(), &text))
        ;
    CHECK_INT(text.code, ==, LIPC_E_CANCELLED);
    lipc_stream_close(stream);
    lipc_stream_close(neighbour);
    free(text.text);
    free(neighbour_text.text);
    lipc_client_close(other);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(void) {
    char instance[64];
    test_host host;
    test_begin("cancel_streams", 120);
    script script = script_new(4000);
    queued_and_running(&script);
    waiting_for_a_stream(&script);
    by_another(&script);
    free(script.text);
    test_instance(instance, "model");
    segment segment = host_ready(&host, instance, EMBEDDED("-c", "16384"));
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, QUESTION);
    reading answer = read_to_end(stream);
    lipc_stream_close(stream);
    CHECK_INT(answer.n_bytes, >, 0);
    model_generating(client, answer.text);
    model_reading(client, answer.text);
    free(answer.text);
    lipc_client_close(client);
    end_host(&host, &segment);
    return test_end();
}
