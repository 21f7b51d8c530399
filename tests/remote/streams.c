/* streams.c - answers of a server, through a host with --remote, as clients see them: text, thoughts, calls, counts and ends, in the
 * ways in which servers send them; and what the server is asked. */
#include "remote_test.h"

/* ---- what the server says -------------------------------------------------------------------------------------------- */

static void say_greeting(exchange *exchange) {
    say_start(exchange);
    say_delta(exchange, "\"content\":\"Gr\xC3\xBC\xC3\x9F\"");
    say_delta(exchange, "\"content\":\"e, \\ud83d\\ude80\"");
    say_delta(exchange, "\"content\":\"\"");
    say_delta(exchange, "\"content\":\" zero \\u0000 half \\ud83d.\"");
    say_finish(exchange, "stop");
    say_event(exchange, "{\"choices\":[],\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":9,"
                        "\"prompt_tokens_details\":{\"cached_tokens\":5}}}");
    say_done(exchange);
}
static const char greeting[] = "Gr\xC3\xBC\xC3\x9F" "e, \xF0\x9F\x9A\x80 zero \xEF\xBF\xBD half \xEF\xBF\xBD.";

static void say_parts(exchange *exchange) {
    say_start(exchange);
    say_delta(exchange, "\"reasoning_content\":\"Let me \"");
    say_delta(exchange, "\"reasoning_content\":\"see.\"");
    say_delta(exchange, "\"content\":\"So: \"");
    say_delta(exchange, "\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"clock\",\"arguments\":\"\"}}]");
    say_delta(exchange, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"zone\\\":\"}}]");
    say_delta(exchange, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"UTC\\\"}\"}}]");
    say_delta(exchange, "\"tool_calls\":[{\"index\":1,\"id\":\"c2\",\"function\":{\"name\":\"now\",\"arguments\":\"\"}}]");
    say_finish(exchange, "tool_calls");
    say_done(exchange);
}
static const char parts[] = "[0:Let me see.@0.0]So: {1:0:clock c1 {\"zone\":\"UTC\"}@4.3}{2:1:now c2 {}@4.6}";

/* Whole calls in one event, all with the number 0, the arguments an object; thoughts under their other name, and both in one event. */
static void say_parts_otherwise(exchange *exchange) {
    say_start(exchange);
    say_delta(exchange, "\"reasoning\":\"Hm.\",\"content\":\"Well\"");
    say_delta(exchange, "\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\": [1]}}},"
                        "{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]");
    say_finish(exchange, "stop");
    say_done(exchange);
}
static const char parts_otherwise[] = "[0:Hm.@0.0]Well{1:0:f a {\"x\": [1]}@4.1}{2:1:f b {}@4.1}";

/* In the smallest pieces, with all ends of lines, comments, names, an event in two lines, and one byte too few for a character. */
static void say_crumbs(exchange *exchange) {
    static const char stream[] = "\xEF\xBB\xBF: hello\r\nevent: x\r\ndata: {\"choices\":[{\"delta\":\r\ndata:{\"content\":\"\xC3\xA4\"}}]}\r\n\r\n"
                                 "\n\n:\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"\xE2\x82\xAC\"}}]}\n\n"
                                 "id: 7\rdata: {\"choices\":[{\"delta\":{\"content\":\".\"},\"finish_reason\":\"stop\"}]}\r\r";
    say_head(exchange, "200 OK", "text/event-stream");
    for (size_t i = 0; i + 1 < sizeof stream; i++) say_piece(exchange, stream + i, 1);
    say_end(exchange); /* and no [DONE], which some leave out */
}

static void say_length(exchange *exchange) {
    say_start(exchange);
    say_delta(exchange, "\"content\":\"cut\"");
    say_delta(exchange, "\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"clock\",\"arguments\":\"{\\\"zo\"}}]");
    say_finish(exchange, "length");
    say_done(exchange);
}

static void say_logprobs(exchange *exchange) {
    say_start(exchange);
    say_event(exchange, "{\"choices\":[{\"delta\":{\"content\":\"ab\"},\"logprobs\":{\"content\":[{\"logprob\":-0.5},{\"logprob\":-0.25}]}}]}");
    say_event(exchange, "{\"choices\":[{\"delta\":{\"content\":\"c\"},\"finish_reason\":\"stop\"}]}");
    say_done(exchange);
}

/* More than any buffer on the way has room for. */
enum { LONG_PIECES = 6000 };
static void say_much(exchange *exchange) {
    char members[128];
    say_start(exchange);
    for (int i = 0; i < LONG_PIECES; i++) {
        snprintf(members, sizeof members, "\"content\":\"%08d and so on, on and on and on and on and on and on...\\n\"", i);
        if (!say_delta(exchange, members)) return;
    }
    say_finish(exchange, "stop");
    say_done(exchange);
}

/* Says what it was asked, and how. */
static void say_request(exchange *exchange) {
    char *data, *escaped = calloc(2, strlen(exchange->body) + 1), *to = escaped;
    CHECK(escaped != NULL);
    for (const char *from = exchange->body; *from; from++) {
        if (*from == '"' || *from == '\\') *to++ = '\\';
        *to++ = *from;
    }
    CHECK(asprintf(&data, "\"content\":\"%s\"", escaped) > 0);
    CHECK(strstr(exchange->request, "POST /v1/chat/completions HTTP/1.1\r\n") == exchange->request);
    CHECK(strstr(exchange->request, "\r\nContent-Type: application/json\r\n") != NULL);
    say_start(exchange);
    say_delta(exchange, data);
    say_finish(exchange, "stop");
    say_done(exchange);
    free(data);
    free(escaped);
}

/* Not a byte before all of them are there. */
enum { GATHERED = 8 };
static atomic_int n_gathered;
static void say_gathered(exchange *exchange) {
    CHECK(WAITED(SOON_MS, atomic_load(&n_gathered) >= GATHERED));
    say_start(exchange);
    say_delta(exchange, "\"content\":\"all\"");
    say_finish(exchange, "stop");
    say_done(exchange);
}

static const play plays[] = {
    {"GATHER", say_gathered, &n_gathered},
    {"PARTS", say_parts, NULL},       {"OTHERWISE", say_parts_otherwise, NULL}, {"CRUMBS", say_crumbs, NULL},
    {"LENGTH", say_length, NULL},     {"LOGPROBS", say_logprobs, NULL},         {"MUCH", say_much, NULL},
    {"ECHO", say_request, NULL},      {"hello", say_greeting, NULL},            {NULL, NULL, NULL},
};

/* ---- what clients see --------------------------------------------------------------------------------------------------- */

static void check_texts(const char *instance, lipc_client *client) {
    test_step("a text, and what it has cost");
    lipc_stream *stream = ask(client, "hello");
    check_answer(stream, greeting, strlen(greeting));
    lipc_progress progress = progress_of(stream);
    CHECK_INT(progress.end, ==, LIPC_END_TURN);
    CHECK_INT(progress.n_tokens, ==, 3);
    CHECK_INT(progress.n_prompt, ==, 21);
    CHECK_INT(progress.n_cached, ==, 5);
    lipc_stream_close(stream);

    test_step("a client of the guide");
    lipc_classic *classic;
    lipc_classic_result result;
    CHECK_LIPC(lipc_classic_open(instance, &classic), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(classic, soon()), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_request(classic, "Be kind.", "hello", soon(), &result), LIPC_E_OK);
    CHECK_TEXT(result.text, greeting);
    lipc_classic_close(classic);

    test_step("a stream in crumbs, without [DONE]");
    check_text(ask(client, "CRUMBS"), "\xC3\xA4\xE2\x82\xAC.", LIPC_END_TURN);

    test_step("a stop string, which the host looks for");
    static const char *const stops[] = {"\xF0\x9F\x9A\x80"};
    lipc_request request = request_of("hello");
    request.stops = stops;
    request.n_stops = 1;
    check_text(submit(client, &request), "Gr\xC3\xBC\xC3\x9F" "e, ", LIPC_END_STOP);

    test_step("a long one");
    stream = ask(client, "MUCH");
    reading reading = read_to_end(stream);
    CHECK_LIPC(reading.code, LIPC_E_OK);
    CHECK_INT(count_of(reading.text, " and so on, "), ==, LONG_PIECES);
    CHECK_INT(progress_of(stream).n_tokens, ==, LONG_PIECES);
    free(reading.text);
    lipc_stream_close(stream);
}

static void check_parts_and_ends(lipc_client *client) {
    test_step("thoughts and calls");
    check_parts(ask(client, "PARTS"), parts);
    check_parts(ask(client, "OTHERWISE"), parts_otherwise);

    test_step("cut by a limit: ours, or the server's");
    lipc_request request = request_of("LENGTH");
    request.n_predict = 2;
    lipc_stream *stream = submit(client, &request);
    parts_read *read = read_parts(stream);
    char *text = parts_text(read);
    CHECK_TEXT(text, "cut{0:0:clock c1 {\"zo@3.1}");
    CHECK_INT(progress_of(stream).end, ==, LIPC_END_LIMIT);
    lipc_stream_close(stream);
    free(text);
    free(read);
    check_text(ask(client, "LENGTH"), "cut", LIPC_END_CONTEXT);
    request = request_of("hello");
    request.n_predict = 0;
    check_text(submit(client, &request), "", LIPC_END_LIMIT);

    test_step("log probabilities");
    request = request_of("LOGPROBS");
    request.logprobs = 1;
    stream = submit(client, &request);
    check_answer(stream, "abc", 3);
    lipc_token tokens[4];
    size_t n_tokens = 0;
    CHECK_LIPC(lipc_stream_tokens(stream, 0, tokens, 4, &n_tokens), LIPC_E_OK);
    CHECK(n_tokens == 2 && tokens[0].logprob == -0.75f && isnan(tokens[1].logprob) && tokens[0].id == -1);
    lipc_stream_close(stream);
}

static void check_at_once(lipc_client *client) {
    lipc_stream *streams[GATHERED];
    test_step("%d requests at once: none waits for the head of another's reply", GATHERED);
    for (int i = 0; i < GATHERED; i++) streams[i] = ask(client, "GATHER");
    for (int i = 0; i < GATHERED; i++) check_text(streams[i], "all", LIPC_END_TURN);
}

/* ---- what the server is asked ------------------------------------------------------------------------------------------- */

static void check_asks(lipc_client *client, const lipc_request *request, const char *expected) {
    check_text(submit(client, request), expected, LIPC_END_TURN);
}

static void check_requests(lipc_client *client) {
    test_step("a seed that nobody asked for is not sent");
    lipc_request request = request_of("ECHO");
    check_asks(client, &request,
               "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"some model\",\"messages\":[{\"role\":\"user\","
               "\"content\":\"ECHO\"}]}");
    test_step("parameters by their names");
    request = request_of("ECHO \"1\"");
    request.seed = 7;
    check_asks(client, &request,
               "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"some model\",\"messages\":[{\"role\":\"user\","
               "\"content\":\"ECHO \\\"1\\\"\"}],\"seed\":7}");
    request.temperature = 0.7f;
    request.top_p = 0.9f;
    request.top_k = 40;
    request.min_p = 0.05f;
    request.frequency_penalty = -1.5f;
    request.presence_penalty = 0.25f;
    request.repeat_penalty = 1.1f;
    request.n_predict = 12;
    request.ignore_eos = 1;
    check_asks(client, &request,
               "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"some model\",\"messages\":[{\"role\":\"user\","
               "\"content\":\"ECHO \\\"1\\\"\"}],\"temperature\":0.7,\"top_p\":0.9,\"min_p\":0.05,\"frequency_penalty\":-1.5,"
               "\"presence_penalty\":0.25,\"repeat_penalty\":1.1,\"repetition_penalty\":1.1,\"top_k\":40,\"max_tokens\":12,"
               "\"ignore_eos\":true,\"seed\":7}");

    test_step("documents");
    request = request_of("");
    request.n_messages = 0;
    request.seed = 0;
    request.document = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"ECHO\"}]}],\"json_schema\":{\"type\":"
                       "\"string\"},\"tools\":[1],\"tool_choice\":\"auto\",\"enable_thinking\":false,\"chat_template_kwargs\":{\"a\":1,"
                       "\"enable_thinking\":true},\"reasoning_format\":\"auto\",\"parallel_tool_calls\":null}";
    check_asks(client, &request,
               "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"some model\",\"messages\":[{\"role\":\"user\","
               "\"content\":[{\"type\":\"text\",\"text\":\"ECHO\"}]}],\"tools\":[1],\"tool_choice\":\"auto\",\"response_format\":{\"type\":"
               "\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true,\"schema\":{\"type\":\"string\"}}},"
               "\"chat_template_kwargs\":{\"a\":1,\"enable_thinking\":false},\"seed\":0}");
}

static void check_refused(lipc_client *client, const char *document, const char *words) {
    lipc_request request = request_of("");
    request.n_messages = 0;
    request.document = document;
    check_fails(submit(client, &request), LIPC_E_REFUSED, "", words);
}

static void check_refusals(lipc_client *client) {
    test_step("what the protocol has no place for is refused by its name");
    lipc_request request = request_of("hello");
    const lipc_parameter mirostat = {.name = "mirostat", .number = 2};
    request.parameters = &mirostat;
    request.n_parameters = 1;
    check_fails(submit(client, &request), LIPC_E_REFUSED, "", "'mirostat'");
    request = request_of("hello");
    request.repeat_last_n = 3;
    check_fails(submit(client, &request), LIPC_E_REFUSED, "", "'repeat_last_n'");
    request = request_of("hello");
    request.grammar = "root ::= \"a\"";
    check_fails(submit(client, &request), LIPC_E_REFUSED, "", "a grammar");
    request = request_of("hello");
    request.render = 1;
    check_fails(submit(client, &request), LIPC_E_REFUSED, "", "does not tell");
    check_refused(client, "{\"prompt\":\"x\"}", "\"prompt\"");
    check_refused(client, "{\"messages\":[{}],\"reasoning_budget_tokens\":5}", "'reasoning_budget_tokens'");
    check_refused(client, "{\"messages\":[]}", "'messages'");
    check_refused(client, "{}", "no messages");
    request = request_of("hello");
    request.save_path = "/tmp/lipc-no-state";
    check_fails(submit(client, &request), LIPC_E_REFUSED, "", "");
    lipc_stream *stream;
    CHECK_LIPC(lipc_client_load(client, "/nowhere/model.gguf", &stream), LIPC_E_OK);
    check_fails(stream, LIPC_E_REFUSED, "", "--remote");
}

int main(void) {
    test_host host;
    test_server *server = calloc(1, sizeof *server);
    test_begin("remote_streams", 120);
    CHECK(server != NULL);
    server_start(server, plays);
    segment segment = host_ready(&host, "remote", (const char *const[]){"--remote", server->address, "--remote-model", "some model", NULL});
    lipc_client *client = client_of("remote");
    check_at_once(client); /* first: libcurl does not know yet what the server speaks */
    check_texts("remote", client);
    check_parts_and_ends(client);
    check_requests(client);
    check_refusals(client);
    CHECK_TEXT(hub_in(&segment)->model_path, "");
    lipc_client_close(client);
    end_host(&host, &segment);
    server_stop(server);
    free(server);
    return test_end();
}
