/* answer_kills.c - the worker is killed behind each single token of an answer that follows a schema, of one with a thought, and
 * of one with a thought and two calls of a tool, all by the embedded model: the same parts as without, every time.
 *
 *     answer_kills [EACH [TRIES]]     behind each EACH-th token, with so many tries for each
 *
 * The killer watches the stream. Where the worker was faster, the token that it came to counts, and the killer tries again. A
 * machine may be too busy for it to hit each one: the test says how many it hit. It goes on until it has hit one.
 */
#include "../modern/parts_test.h"
#include "worker_test.h"

enum { TOKENS_MOST = 128 };

static int each_token = 1, n_tries_most = 2;

#define USER "{\"role\":\"user\",\"content\":\"What is a pointer?\"}"

static const char schema[] =
    "{\"messages\":[" USER "],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{\"type\":\"object\","
    "\"properties\":{\"kind\":{\"enum\":[\"C\",\"C++\",\"C#\"]},\"words\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":7},"
    "\"minItems\":1,\"maxItems\":2},\"n\":{\"type\":\"integer\",\"minimum\":10,\"maximum\":500}},\"required\":[\"kind\",\"words\",\"n\"],"
    "\"additionalProperties\":false}}}}";

static const char thinking[] = "{\"messages\":[" USER "],\"enable_thinking\":true}";

static const char calling[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"What is 12*7 and 9+4?\"}],\"enable_thinking\":true,\"parallel_tool_calls\":true,"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"calculate\",\"description\":\"Works out an arithmetic expression.\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"expression\":{\"type\":\"string\"}},\"required\":[\"expression\"]}}}]}";

static lipc_stream *ask_for(lipc_client *client, const char *document) {
    lipc_request request;
    lipc_request_init(&request);
    request.document = document;
    request.n_predict = 110;
    request.temperature = 0;
    request.seed = 7;
    return submit(client, &request);
}

/* Ids that are made depend on the request. */
static char *without_ids(char *text) {
    for (char *at = text; (at = strstr(at, "calculate ")); at += 10)
        for (char *id = at + 10; *id && *id != ' '; id++) *id = '#';
    return text;
}

/* Of the answer at hand: until the host has seen the request, its words are about the stream's last one. */
static int n_tokens_of(const lipc_stream_header *header) {
    bool is_seen = NOW(header->status) >> 32 == NOW(header->claim) >> 32;
    return is_seen ? (int)(NOW(header->published) >> 32) : 0;
}

/* Kills the worker behind token k, which is there, if it can. Returns the token behind which it died; 0: the answer was complete. */
static int kill_behind(const test_host *host, pid_t worker, const lipc_hub *hub, const lipc_stream_header *header, int k) {
    uint32_t n_before = NOW(hub->n_recoveries);
    while (n_tokens_of(header) < k) {
    }
    kill(worker, SIGKILL);
    CHECK_SAY(WAITED(SOON_MS, process_child(host->pid) != worker), "worker %d does not die", (int)worker);
    int n = n_tokens_of(header);
    bool is_exact = NOW(hub->n_recoveries) == n_before && state_of(header) != LIPC_STREAM_ENDED;
    CHECK(WAITED(SOON_MS, NOW(hub->n_recoveries) > n_before));
    return is_exact ? n : 0;
}

/* An answer without a kill: its parts, and how many tokens it has. */
static char *undisturbed(lipc_client *client, const segment *segment, const char *document, int *n_tokens) {
    char id[LIPC_STREAM_ID_SIZE];
    lipc_stream *stream = ask_for(client, document);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    parts_read *read = read_parts(stream);
    CHECK_SAY(read->code == LIPC_E_OK, "%s", lipc_error_message());
    *n_tokens = n_tokens_of(stream_in(segment, (uint32_t)stream_with_id(segment, id)));
    char *text = without_ids(parts_text(read));
    free(read);
    lipc_stream_close(stream);
    return text;
}

/* One answer, and one kill. Returns as kill_behind(). */
static int disturb(lipc_client *client, const test_host *host, const segment *segment, const char *document, int k, const char *expected) {
    char id[LIPC_STREAM_ID_SIZE];
    pid_t worker = worker_awaited(host);
    CHECK(WAITED(SOON_MS, worker_serves(segment, worker)));
    lipc_stream *stream = ask_for(client, document);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    int n = kill_behind(host, worker, hub_in(segment), stream_in(segment, (uint32_t)stream_with_id(segment, id)), k);
    parts_read *read = read_parts(stream);
    CHECK_SAY(read->code == LIPC_E_OK, "%s", lipc_error_message());
    char *seen = without_ids(parts_text(read));
    CHECK_SAY(strcmp(seen, expected) == 0, "killed behind token %d:\n    read     %s\n    expected %s", n, seen, expected);
    free(seen);
    free(read);
    lipc_stream_close(stream);
    return n;
}

static void check_each(const char *what, const char *const *arguments, const char *document, const char *has) {
    test_host host;
    bool is_done[TOKENS_MOST] = {0};
    int n_tokens, n_wanted = 0, n_done = 0, n_kills = 0, n_hits = 0;
    segment segment = host_ready(&host, what, arguments);
    lipc_client *client = client_of(what);
    char *expected = undisturbed(client, &segment, document, &n_tokens);
    test_step("%s: %d tokens: %s", what, n_tokens, expected);
    CHECK_SAY(strstr(expected, has), "there is no '%s'", has);
    CHECK(n_tokens > 10 && n_tokens < TOKENS_MOST);
    for (int k = 1; k < n_tokens; k += each_token) {
        for (int tries = 0; !is_done[k] && tries < n_tries_most; tries++, n_kills++) {
            int n = disturb(client, &host, &segment, document, k, expected);
            CHECK_INT(n, <=, n_tokens);
            is_done[n] = true;
            n_hits += n > 0;
        }
        n_wanted++;
        n_done += is_done[k];
    }
    for (; n_hits == 0; n_kills++) n_hits += disturb(client, &host, &segment, document, 1, expected) > 0;
    test_step("%s: %d kills, %d in mid answer, behind %d of %d tokens: the same parts", what, n_kills, n_hits, n_done, n_wanted);
    free(expected);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(int argc, char **argv) {
    test_begin("answer_kills", 300);
    if (argc > 1) each_token = atoi(argv[1]);
    if (argc > 2) n_tries_most = atoi(argv[2]);
    expect_crashes();
    const char *const *arguments = EMBEDDED("--repeatable");
    check_each("schema", arguments, schema, "\"kind\"");
    check_each("thinking", arguments, thinking, "[0:I know this one: What is a pointer?");
    check_each("calling", arguments, calling, "{2:1:calculate");
    return test_end();
}
