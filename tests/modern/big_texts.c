/* big_texts.c - an answer of 900 KB and a prompt of 200 KB pass whole; a reader that sleeps in between misses nothing;
 * other processes follow the same stream from any byte on and get the same bytes. What does not fit says so.
 *
 * big_texts [seconds that the reader sleeps]
 */
#include "modern_test.h"

enum { ANSWER_BYTES = 900 * 1024, PROMPT_BYTES = 200 * 1024, BEFORE_SLEEP = 100 * 1024 };

typedef struct board {
    const char *instance;
    const script *answer, *prompt;
    char id[LIPC_STREAM_ID_SIZE];
    int has_id, may_close;
    size_t n_read;
} board;

static void own(void *data, int number) {
    (void)number;
    board *board = data;
    reading text = {0};
    lipc_client *client = client_of(board->instance);
    lipc_stream *stream = ask(client, board->prompt->text);
    CHECK_LIPC(lipc_stream_id(stream, board->id), LIPC_E_OK);
    __atomic_store_n(&board->has_id, 1, __ATOMIC_RELEASE);
    while (read_some(stream, soon(), &text))
        __atomic_store_n(&board->n_read, text.n_bytes, __ATOMIC_RELEASE);
    CHECK_SAY(text.code == 0, "%s: %s", lipc_error_name(text.code), lipc_error_message());
    CHECK_INT(text.n_bytes, ==, board->answer->n_bytes);
    CHECK(memcmp(text.text, board->answer->text, text.n_bytes) == 0);
    lipc_progress progress = progress_of(stream);
    CHECK_INT(progress.n_prompt, ==, count_tokens(board->prompt->text));
    CHECK_INT(progress.n_prompt_done, ==, progress.n_prompt);
    CHECK_INT(progress.n_tokens, ==, count_tokens(board->answer->text));
    CHECK_INT(progress.n_bytes, ==, board->answer->n_bytes);
    CHECK(WAITED(SOON_MS, NOW(board->may_close)));
    lipc_stream_close(stream);
    lipc_client_close(client);
}

/* Odd numbers begin in the middle, also inside a character. */
static void follow(void *data, int number) {
    board *board = data;
    lipc_stream *stream;
    uint64_t from = 0;
    lipc_client *client = client_of(board->instance);
    CHECK(WAITED(SOON_MS, NOW(board->has_id)));
    if (number % 2) {
        const char *character = strstr(board->answer->text + ANSWER_BYTES / 2, "🚀");
        from = (uint64_t)(character - board->answer->text);
        /* An offset is moved back to the beginning of its character once that is there. */
        CHECK(WAITED(SOON_MS, NOW(board->n_read) > 0));
    }
    CHECK_LIPC(lipc_stream_attach(client, board->id, from, 1, &stream), LIPC_E_OK);
    lipc_stream_cancel(stream); /* not its own: does nothing */
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == 0, "%s: %s", lipc_error_name(text.code), lipc_error_message());
    CHECK_INT(text.from, ==, from);
    CHECK_INT(text.n_bytes, ==, board->answer->n_bytes - from);
    CHECK(memcmp(text.text, board->answer->text + from, text.n_bytes) == 0);
    lipc_stream_close(stream);
    /* Now that it is all there, inside a character. */
    CHECK_LIPC(lipc_stream_attach(client, board->id, from + (number % 2) * 2, 1, &stream), LIPC_E_OK);
    check_answer(stream, board->answer->text + from, board->answer->n_bytes - from);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void sleeper_and_followers(const script *answer, const script *prompt, double sleep_s) {
    enum { FOLLOWERS = 2 };
    char instance[64];
    test_host host;
    pid_t followers[FOLLOWERS];
    board *board = shared_new(sizeof *board);
    test_instance(instance, "big");
    *board = (struct board){.instance = instance, .answer = answer, .prompt = prompt};
    segment segment = host_ready(&host, instance, REPLAY(*answer, "--rate", "50000"));
    pid_t owner = worker_start(own, board, 0);
    for (int i = 0; i < FOLLOWERS; i++)
        followers[i] = worker_start(follow, board, i);
    CHECK(WAITED(SOON_MS, NOW(board->n_read) >= BEFORE_SLEEP));
    process_stop(owner);
    size_t n_read = NOW(board->n_read);
    test_step("the reader sleeps for %.0f s after %zu bytes", sleep_s, n_read);
    CHECK_INT(n_read, <, ANSWER_BYTES);
    test_pause_ms(sleep_s * 1e3);
    for (int i = 0; i < FOLLOWERS; i++)
        worker_wait(followers[i]);
    int index = stream_with_id(&segment, board->id);
    CHECK_SAY(index >= 0, "the sleeping reader's stream was taken away");
    CHECK_INT(state_of(stream_in(&segment, (uint32_t)index)), ==, LIPC_STREAM_ENDED);
    CHECK_INT(NOW(board->n_read), ==, n_read);
    kill(owner, SIGCONT);
    __atomic_store_n(&board->may_close, 1, __ATOMIC_RELEASE);
    worker_wait(owner);
    end_host(&host, &segment);
}

static void as_fast_as_possible(const script *answer, const script *prompt) {
    char instance[64];
    test_host host;
    test_step("900 KB as fast as possible, and the longest request");
    test_instance(instance, "fast");
    segment segment = host_ready(&host, instance, REPLAY(*answer, "--rate", "0"));
    lipc_client *client = client_of(instance);
    lipc_host_status status;
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    double begin = test_now_ms();
    lipc_stream *stream = ask(client, prompt->text);
    check_whole(stream, answer);
    printf("  %.0f ms\n", test_now_ms() - begin);
    lipc_stream_close(stream);

    /* The header, an item's header, and one to eight zero bytes. */
    CHECK_INT(status.request_size, ==, 256 * 1024);
    size_t longest = status.request_size - 64 - 24 - 1;
    char *text = malloc(longest + 2);
    CHECK(text != NULL);
    memset(text, 'x', longest + 1);
    text[longest] = 0;
    stream = ask(client, text);
    check_whole(stream, answer);
    CHECK_INT(progress_of(stream).n_prompt, ==, count_tokens(text));
    lipc_stream_close(stream);
    text[longest] = 'x';
    text[longest + 1] = 0;
    CHECK_LIPC(lipc_stream_ask(client, text, &stream), LIPC_E_REFUSED);
    CHECK(stream == NULL);
    CHECK_SAY(strstr(lipc_error_message(), "262144") != NULL, "the limit is not named: %s", lipc_error_message());
    free(text);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void full_log(const script *answer) {
    char instance[64];
    test_host host;
    test_step("an answer that is longer than its room");
    test_instance(instance, "small");
    segment segment = host_ready(&host, instance, REPLAY(*answer, "--response-size", "8K", "--request-size", "4K"));
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "go on");
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == 0, "%s: %s", lipc_error_name(text.code), lipc_error_message());
    CHECK_INT(progress_of(stream).end, ==, LIPC_END_FULL);
    CHECK_INT(text.n_bytes, <=, 8192);
    CHECK_INT(text.n_bytes, >, 8192 - 4);
    CHECK(test_is_prefix(text.text, text.n_bytes, answer->text));
    free(text.text);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(int argc, char *argv[]) {
    test_begin("big_texts", argc > 1 ? 60 + (unsigned)atoi(argv[1]) : 60);
    script answer = script_new(ANSWER_BYTES), prompt = script_new(PROMPT_BYTES);
    sleeper_and_followers(&answer, &prompt, argc > 1 ? atof(argv[1]) : 3);
    as_fast_as_possible(&answer, &prompt);
    full_log(&answer);
    free(answer.text);
    free(prompt.text);
    return test_end();
}
