/* part_kills.c - the worker dies behind each single token of an answer with thoughts, and of one with two calls: its
 * readers get the same parts as without, whether they read from the beginning or come when all is over.
 *
 * The worker dies where the script says so: behind everything that the token before has published, and before the next. The
 * moments between two stores of one token are those of tests/crash, and of tests/channel/parts_rules.c.
 */
#include "../modern/parts_test.h"
#include "worker_test.h"

static const char *const thinking[] = {
    "thought \"Let\"", "thought \" me\"", "token", "thought \" sé\"", "thought \"e.\"", "thought \" 🚀\"\n& text \"The\"", "text \" ans\"",
    "token", "text \"wer → \"", "thought \"or\"", "thought \" not\"", "text \"42\"", NULL,
};
static const char *const calling[] = {
    "thought \"Two\"", "text \"I ask. \"", "token", "call \"call_1\" \"weather\"", "arguments \"{\\\"city\\\"\"", "arguments \": \\\"K\"",
    "arguments \"öln\\\", \\\"d\\\": {\\\"a\\\"\"", "arguments \": [1]}}\"\n& call \"\" \"time\"", "arguments \"{\"", "token", "arguments \"}\"", NULL,
};

static int count(const char *const *tokens) {
    int n = 0;
    while (tokens[n]) n++;
    return n;
}

/* Answer k dies behind token k, the last not at all. Requests choose by the number of the assistant's messages. */
static script crashing_script(const char *const *tokens) {
    char *text = calloc(1, 1 << 20);
    int n_tokens = count(tokens);
    size_t n = (size_t)sprintf(text, "lipc replay 1\n");
    for (int k = 0; k <= n_tokens; k++) {
        n += (size_t)sprintf(text + n, "answer\n");
        for (int i = 0; i < n_tokens; i++)
            n += (size_t)sprintf(text + n, "%s\n%s", tokens[i], i == k ? "crash\n" : "");
        n += (size_t)sprintf(text + n, "end\n& text \"!\"\n");
    }
    script made = script_of(text);
    free(text);
    return made;
}

static lipc_stream *ask_for(lipc_client *client, int answer) {
    static lipc_message messages[64];
    lipc_request request = request_of("x");
    for (int i = 0; i < answer; i++) messages[i] = (lipc_message){"assistant", ""};
    messages[answer] = (lipc_message){"user", "go on"};
    request.messages = messages;
    request.n_messages = answer + 1;
    request.seed = 7;
    return submit(client, &request);
}

/* Ids that are made depend on the request: as the last answer's, but for them. */
static char *without_ids(char *text) {
    for (char *at = text; (at = strstr(at, "time ")); at += 5) memset(at + 5, '#', 9);
    return text;
}

static void check_each(const char *what, const char *const *tokens) {
    test_host host;
    script script = crashing_script(tokens);
    int n_tokens = count(tokens);
    segment segment = host_ready(&host, what, REPLAY(script, "--rate", "2000"));
    lipc_client *client = client_of(what);
    lipc_stream *stream = ask_for(client, n_tokens);
    parts_read *read = read_parts(stream);
    CHECK_INT(read->code, ==, LIPC_E_OK);
    char *expected = without_ids(parts_text(read));
    free(read);
    lipc_stream_close(stream);
    test_step("%s: %s", what, expected);
    for (int k = 0; k < n_tokens; k++) {
        test_step("%s: the worker dies behind token %d of %d", what, k + 1, n_tokens);
        uint32_t n_before = NOW(hub_in(&segment)->n_recoveries);
        char id[LIPC_STREAM_ID_SIZE];
        lipc_stream *late;
        stream = ask_for(client, k);
        CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
        read = read_parts(stream);
        CHECK_SAY(read->code == LIPC_E_OK, "%s", lipc_error_message());
        CHECK_INT(NOW(hub_in(&segment)->n_recoveries), ==, n_before + 1);
        char *raw = parts_text(read), *seen = without_ids(strdup(raw));
        CHECK_SAY(strcmp(seen, expected) == 0, "read     %s\n    expected %s", seen, expected);
        CHECK_LIPC(lipc_stream_attach(client, id, 0, 1, &late), LIPC_E_OK);
        check_parts(late, raw); /* the id is the same, too */
        free(raw);
        free(seen);
        free(read);
        lipc_stream_close(stream);
    }
    free(expected);
    free(script.text);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(void) {
    test_begin("part_kills", 300);
    expect_crashes();
    check_each("thinking", thinking);
    check_each("calling", calling);
    return test_end();
}
