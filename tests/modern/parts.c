/* parts.c - answers with thoughts and calls through the real host: in their order for who reads parts, the text alone for
 * who does not, be that a modern client, a follower or one of the guide; what cuts them; documents as the C functions write
 * them; what a request becomes; and what --record keeps. */
#include "parts_test.h"

#include <unistd.h>

static const char parts_script[] = "lipc replay 1\n"
                                   "answer\n"
                                   "thought \"Let me \"\n"
                                   "thought \"see.\"\n"
                                   "text \"Grüße: \"\n"
                                   "& call \"c1\" \"clock\"\n"
                                   "arguments \"{\\\"zone\\\":\"\n"
                                   "token\n"
                                   "arguments \"\\\"UTC\\\"}\"\n"
                                   "text \"noon,\"\n"
                                   "thought \"Or?\"\n"
                                   "text \" I think\"\n"
                                   "end\n"
                                   "& text \".\"\n"
                                   "answer\n"
                                   "text \"second\"\n"
                                   "end failed \"no luck\"\n";
static const char whole[] = "[0:Let me see.@0.0]Grüße: {1:0:clock c1 {\"zone\":\"UTC\"}@9.2}noon,[2:Or?@14.7] I think.";
static const char text_alone[] = "Grüße: noon, I think.";

/* ---- reading ---- */

static void check_readers(const char *instance, lipc_client *client) {
    char id[LIPC_STREAM_ID_SIZE];
    lipc_stream *follower;
    test_step("all parts, in their order");
    check_parts(ask(client, "x"), whole);
    test_step("the text alone, for who reads that");
    lipc_stream *stream = ask(client, "x");
    check_answer(stream, text_alone, strlen(text_alone));
    CHECK_INT(progress_of(stream).n_tokens, ==, 9);
    test_step("somebody who follows, from the beginning and from within");
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_attach(client, id, 0, 1, &follower), LIPC_E_OK);
    check_parts(follower, whole);
    CHECK_LIPC(lipc_stream_attach(client, id, 9, 1, &follower), LIPC_E_OK);
    check_parts(follower, "[0:Let me see.@0.0]{1:0:clock c1 {\"zone\":\"UTC\"}@9.2}noon,[2:Or?@14.7] I think.");
    lipc_stream_close(stream);

    test_step("a client of the guide");
    lipc_classic *classic;
    lipc_classic_result result;
    CHECK_LIPC(lipc_classic_open(instance, &classic), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(classic, soon()), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_request(classic, NULL, "x", soon(), &result), LIPC_E_OK);
    CHECK_TEXT(result.text, text_alone);
    lipc_classic_close(classic);
}

static void check_waiting(lipc_client *client) {
    size_t index;
    test_step("waiting for any of several hears of thoughts, once parts were asked for");
    lipc_stream *streams[] = {ask(client, "x"), ask(client, "x")};
    parts_read *read = calloc(2, sizeof *read);
    CHECK(read != NULL);
    for (int i = 0; i < 2; i++) read_delta(streams[i], 0, &read[i]);
    for (;;) {
        CHECK_LIPC(lipc_stream_wait_any(streams, 2, soon(), &index), LIPC_E_OK);
        while (read_delta(streams[index], 0, &read[index])) {}
        if (read[index].code == LIPC_E_TIMEOUT) continue;
        CHECK_INT(read[index].code, ==, LIPC_E_OK);
        break; /* the other is read below */
    }
    for (int i = 0; i < 2; i++) {
        while (read_delta(streams[i], soon(), &read[i])) {}
        char *text = parts_text(&read[i]);
        CHECK_TEXT(text, whole);
        free(text);
        lipc_stream_close(streams[i]);
    }
    free(read);
}

static void check_cuts(lipc_client *client) {
    static const char *const stops[] = {"noon, I", ": noon", "on,"};
    test_step("stop strings are looked for in the text between two parts");
    lipc_request request = request_of("x");
    request.stops = stops;
    request.n_stops = 2;
    check_parts(submit(client, &request), whole); /* a part stands between */
    request.stops = stops + 2;
    request.n_stops = 1;
    lipc_stream *stream = submit(client, &request);
    parts_read *read = read_parts(stream);
    CHECK_INT(progress_of(stream).end, ==, LIPC_END_STOP);
    char *text = parts_text(read);
    CHECK_TEXT(text, "[0:Let me see.@0.0]Grüße: {1:0:clock c1 {\"zone\":\"UTC\"}@9.2}no");
    free(text);
    free(read);
    lipc_stream_close(stream);

    test_step("an answer that is cut in the middle of a call says so");
    request = request_of("x");
    request.n_predict = 4;
    stream = submit(client, &request);
    read = read_parts(stream);
    text = parts_text(read);
    CHECK_TEXT(text, "[0:Let me see.@0.0]Grüße: {1:0:clock c1 {\"zone\":@9.2}");
    CHECK_INT(progress_of(stream).end, ==, LIPC_END_LIMIT);
    free(text);
    free(read);
    lipc_stream_close(stream);
}

/* ---- documents ---- */

static const char *json_of(lipc_document *document) {
    const char *json = lipc_document_json(document);
    CHECK(json != NULL);
    return json;
}

static void check_documents(lipc_client *client) {
    lipc_document *document, *parsed;
    const int32_t tokens[] = {1, -2, 3};
    test_step("documents as the functions write them");
    CHECK_LIPC(lipc_document_new(&document), LIPC_E_OK);
    CHECK_TEXT(json_of(document), "{}");
    CHECK_LIPC(lipc_document_add_message(document, "user", "6 \"x\" 7?\n"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_add_thought(document, "too early"), LIPC_E_INVALID);
    CHECK_LIPC(lipc_document_add_message(document, "assistant", ""), LIPC_E_OK);
    CHECK_LIPC(lipc_document_add_thought(document, "Hm"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_add_call(document, "c1", "calc", "{\"x\":1}"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_add_call(document, "c2", "calc", "{"), LIPC_E_INVALID);
    CHECK_LIPC(lipc_document_add_call(document, "c2", "calc", "{}"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_add_result(document, "c1", "calc", "42"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_add_tool(document, "calc", "Counts.", "{\"type\":\"object\"}"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_add_tool(document, "now", NULL, NULL), LIPC_E_OK);
    CHECK_LIPC(lipc_document_set_tool_choice(document, "calc"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_set_parallel_calls(document, 1), LIPC_E_OK);
    CHECK_LIPC(lipc_document_set_schema(document, "{\"type\":\"string\"}"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_set_schema(document, "[]"), LIPC_E_INVALID);
    CHECK_LIPC(lipc_document_set_thinking(document, 0), LIPC_E_OK);
    CHECK_LIPC(lipc_document_set(document, "chat_template_kwargs", "{\"a\": 1}"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_set_effort(document, "low"), LIPC_E_OK);
    CHECK_LIPC(lipc_document_set_thinking_budget(document, 100), LIPC_E_OK);
    static const char expected[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"6 \\\"x\\\" 7?\\n\"},{\"role\":\"assistant\",\"content\":\"\","
        "\"reasoning_content\":\"Hm\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"calc\","
        "\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"calc\",\"arguments\":"
        "\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"calc\",\"content\":\"42\"}],\"tools\":[{\"type\":"
        "\"function\",\"function\":{\"name\":\"calc\",\"description\":\"Counts.\",\"parameters\":{\"type\":\"object\"}}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}],"
        "\"chat_template_kwargs\":{\"a\": 1,\"enable_thinking\":false},\"tool_choice\":{\"type\":\"function\",\"function\":"
        "{\"name\":\"calc\"}},\"parallel_tool_calls\":true,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
        "{\"name\":\"answer\",\"schema\":{\"type\":\"string\"}}},\"reasoning_effort\":\"low\",\"reasoning_budget_tokens\":100}";
    CHECK_TEXT(json_of(document), expected);
    CHECK_LIPC(lipc_document_parse(expected, &parsed), LIPC_E_OK);
    CHECK_TEXT(json_of(parsed), expected);
    CHECK_LIPC(lipc_document_add_message(parsed, "user", "and?"), LIPC_E_OK);
    CHECK(strstr(json_of(parsed), "\"42\"},{\"role\":\"user\",\"content\":\"and?\"}],\"tools\""));
    CHECK_LIPC(lipc_document_set(parsed, "messages", NULL), LIPC_E_OK);
    CHECK_LIPC(lipc_document_set_prompt_tokens(parsed, tokens, 3), LIPC_E_OK);
    CHECK(strstr(json_of(parsed), "\"prompt\":[1,-2,3]") && !strstr(json_of(parsed), "messages"));
    CHECK_LIPC(lipc_document_set_prompt(parsed, "raw"), LIPC_E_OK);
    CHECK(strstr(json_of(parsed), "\"prompt\":\"raw\""));
    lipc_document_free(parsed);
    CHECK_LIPC(lipc_document_parse("[]", &parsed), LIPC_E_INVALID);
    CHECK(parsed == NULL);

    test_step("a document is asked with; the answer depends on how many the assistant has given");
    lipc_request request = request_of("x");
    request.document = json_of(document);
    lipc_stream *stream;
    CHECK_LIPC(lipc_stream_open(client, &request, &stream), LIPC_E_INVALID); /* messages beside it */
    request.n_messages = 0;
    stream = submit(client, &request);
    reading reading = read_to_end(stream);
    CHECK_TEXT(reading.text, "second");
    CHECK_INT(reading.code, ==, LIPC_E_FAILED);
    CHECK_SAY(strstr(lipc_error_message(), "no luck"), "%s", lipc_error_message());
    free(reading.text);
    lipc_stream_close(stream);
    lipc_document_free(document);
    lipc_document_free(NULL);
}

static void check_rendering(lipc_client *client) {
    test_step("what a request becomes");
    lipc_request request = request_of("one <|im_start|>");
    request.render = 1;
    lipc_stream *stream = submit(client, &request);
    static const char expected[] = "{\"text\":\"one <|im_start|>\",\"tokens\":[{\"id\":0,\"text\":\"one\",\"is_control\":false,"
                                   "\"is_input\":true},{\"id\":1,\"text\":\" <|im_start|>\",\"is_control\":false,\"is_input\":true}]}";
    check_answer(stream, expected, strlen(expected));
    CHECK(progress_of(stream).n_tokens == 0 && progress_of(stream).end == LIPC_END_TURN);
    lipc_stream_close(stream);
}

/* ---- keeping what was shown ---- */

static void check_record(void) {
    char path[] = "/tmp/lipc-record-XXXXXX";
    test_host host;
    script script = script_of(parts_script);
    test_step("what is recorded is played again");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    for (int round = 0; round < 3; round++) { /* the script, its recording, the recording of that */
        const char *from = round == 0 ? script.path : path;
        segment segment = host_ready(&host, "record", (const char *const[]){"--replay", from, "--log-level", "warn", "--record",
                                                                            path, NULL});
        lipc_client *client = client_of("record");
        check_parts(ask(client, "x"), whole);
        lipc_client_close(client);
        end_host(&host, &segment);
    }
    unlink(path);
    free(script.text);
}

int main(void) {
    test_host host;
    test_begin("parts", 120);
    script script = script_of(parts_script);
    segment segment = host_ready(&host, "parts", REPLAY(script, "--rate", "0"));
    lipc_client *client = client_of("parts");
    check_readers("parts", client);
    check_waiting(client);
    check_cuts(client);
    check_documents(client);
    check_rendering(client);
    lipc_client_close(client);
    end_host(&host, &segment);
    check_record();
    free(script.text);
    return test_end();
}
