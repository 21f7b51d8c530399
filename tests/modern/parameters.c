/* parameters.c - what a request says arrives: limits, sampling, seeds, stop strings, grammars, log probabilities,
 * token records, priorities. */
#include "modern_test.h"

#include "channel/hub.h"
#include "channel/stream.h"

/* ---- The embedded model ---- */

static reading answer_to(lipc_client *client, const lipc_request *request, lipc_progress *progress) {
    lipc_stream *stream = submit(client, request);
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == 0, "%s: %s", lipc_error_name(text.code), lipc_error_message());
    *progress = progress_of(stream);
    CHECK_INT(progress->n_bytes, ==, text.n_bytes);
    lipc_stream_close(stream);
    return text;
}

static void limits(lipc_client *client) {
    lipc_progress progress;
    static const int32_t counts[] = {0, 1, 7, 30};
    test_step("n_predict, ignore_eos, the context");
    for (size_t i = 0; i < 4; i++) {
        lipc_request request = request_of(QUESTION);
        request.n_predict = counts[i];
        free(answer_to(client, &request, &progress).text);
        CHECK_INT(progress.n_tokens, ==, counts[i]);
        CHECK_INT(progress.end, ==, LIPC_END_LIMIT);
    }
    lipc_request request = request_of(QUESTION);
    free(answer_to(client, &request, &progress).text);
    int n_usual = progress.n_tokens;
    CHECK_INT(progress.end, ==, LIPC_END_TURN);
    CHECK_INT(progress.n_prompt, >, 0);
    CHECK_INT(progress.n_prompt_done, ==, progress.n_prompt);
    request.n_predict = n_usual + 20;
    request.ignore_eos = 1;
    free(answer_to(client, &request, &progress).text);
    CHECK_INT(progress.n_tokens, ==, n_usual + 20);
    CHECK_INT(progress.end, ==, LIPC_END_LIMIT);
    request.n_predict = -1;
    free(answer_to(client, &request, &progress).text);
    CHECK_INT(progress.end, ==, LIPC_END_CONTEXT);
}

static void check_same(const char *what, const reading *left, const reading *right, bool is_same) {
    bool equal = left->n_bytes == right->n_bytes && memcmp(left->text, right->text, left->n_bytes) == 0;
    CHECK_SAY(equal == is_same, "%s: \"%s\" and \"%s\"", what, left->text, right->text);
}

static void sampling(lipc_client *client) {
    lipc_progress progress, again;
    reading first, second, third;
    test_step("temperature and seed");
    lipc_request request = request_of("Tell me a story about a dragon");
    request.n_predict = 60;
    request.ignore_eos = 1;
    request.temperature = 0;
    request.seed = 1;
    first = answer_to(client, &request, &progress);
    request.seed = 2;
    second = answer_to(client, &request, &progress);
    check_same("temperature 0", &first, &second, true);
    free(second.text);

    request.temperature = 3;
    request.min_p = 0;
    request.top_p = 1;
    request.top_k = 0;
    request.seed = 4294967294;
    second = answer_to(client, &request, &progress);
    CHECK_INT(progress.seed, ==, 4294967294u);
    third = answer_to(client, &request, &progress);
    check_same("the same seed", &second, &third, true);
    check_same("a high temperature", &first, &second, false);
    free(third.text);
    request.seed = 5;
    third = answer_to(client, &request, &progress);
    check_same("another seed", &second, &third, false);
    free(third.text);
    request.seed = LIPC_SEED_RANDOM;
    third = answer_to(client, &request, &progress);
    free(third.text);
    free(answer_to(client, &request, &again).text);
    CHECK_INT(progress.seed, !=, again.seed);
    request.seed = progress.seed;
    third = answer_to(client, &request, &again);
    CHECK_INT(again.seed, ==, progress.seed);
    free(third.text);

    /* Only the likeliest token is left: the temperature no longer matters. */
    request.top_k = 1;
    third = answer_to(client, &request, &progress);
    check_same("top_k 1", &first, &third, true);
    free(third.text);
    request.top_k = 0;
    request.min_p = 1;
    third = answer_to(client, &request, &progress);
    check_same("min_p 1", &first, &third, true);
    free(third.text);
    request.min_p = 0;
    request.top_p = 0;
    third = answer_to(client, &request, &progress);
    check_same("top_p 0", &first, &third, true);
    free(third.text);
    request.top_p = 1;
    request.temperature = 0;
    request.frequency_penalty = 100;
    request.repeat_last_n = -1;
    third = answer_to(client, &request, &progress);
    check_same("a frequency penalty", &first, &third, false);
    free(third.text);
    free(first.text);
    free(second.text);
}

static void by_name(lipc_client *client) {
    static const lipc_parameter first[] = {{"logit_bias", 0, "[[\"Z\", 1000]]"}, {"temperature", 0, NULL}};
    static const lipc_parameter refused[] = {{"samplers", 0, "top_k;foo"}};
    lipc_progress progress;
    test_step("by name");
    lipc_request request = request_of(QUESTION);
    request.n_predict = 10;
    request.parameters = first;
    request.n_parameters = 2;
    reading text = answer_to(client, &request, &progress);
    CHECK_SAY(strspn(text.text, "Z ") == text.n_bytes && text.n_bytes >= 10, "%s", text.text);
    free(text.text);
    request.parameters = refused;
    request.n_parameters = 1;
    lipc_stream *stream = submit(client, &request);
    text = read_to_end(stream);
    CHECK_INT(text.code, ==, LIPC_E_REFUSED);
    CHECK_SAY(strstr(lipc_error_message(), "'foo'"), "%s", lipc_error_message());
    free(text.text);
    lipc_stream_close(stream);
}

static void system_prompt(lipc_client *client) {
    static const lipc_message chat[] = {
        {"system", "You are a helpful tutor"},
        {"user", "What is C++?"},
        {"assistant", "A language."},
        {"user", QUESTION_MULTIBYTE},
    };
    lipc_progress one, all;
    test_step("several messages");
    lipc_request request = request_of(QUESTION_MULTIBYTE);
    reading expected = answer_to(client, &request, &one);
    request.messages = chat;
    request.n_messages = 4;
    reading text = answer_to(client, &request, &all);
    CHECK_INT(all.n_prompt, >, one.n_prompt + 8);
    check_same("the last message", &text, &expected, true);
    free(text.text);
    free(expected.text);
}

static void grammars(lipc_client *client) {
    static const struct {
        const char *grammar, *allowed;
    } cases[] = {
        {"root ::= \"yes\" | \"no\"", "yes|no"},
        {"root ::= \"Grüße\"", "Grüße"},
        {"root ::= digit digit digit\ndigit ::= [7-8]", NULL},
    };
    test_step("grammars");
    for (size_t i = 0; i < 3; i++) {
        lipc_progress progress;
        lipc_request request = request_of("Is C++ a language?");
        request.grammar = cases[i].grammar;
        request.n_predict = 40;
        reading text = answer_to(client, &request, &progress);
        printf("  %s: %s\n", cases[i].grammar, text.text);
        CHECK_INT(progress.end, ==, LIPC_END_TURN);
        if (cases[i].allowed)
            CHECK_SAY(strstr(cases[i].allowed, text.text) && text.n_bytes > 1, "the answer is \"%s\"", text.text);
        else
            CHECK_SAY(text.n_bytes == 3 && strspn(text.text, "78") == 3, "the answer is \"%s\"", text.text);
        free(text.text);
    }
}

static void check_tokens(lipc_stream *stream, bool has_logprobs, size_t n_bytes, int n_tokens) {
    lipc_token *tokens = calloc((size_t)n_tokens + 10, sizeof *tokens);
    size_t n = 0;
    CHECK(tokens != NULL);
    CHECK_LIPC(lipc_stream_tokens(stream, 0, tokens, (size_t)n_tokens + 10, &n), LIPC_E_OK);
    CHECK_INT(n, ==, n_tokens);
    for (size_t i = 0; i < n; i++) {
        CHECK_INT(tokens[i].id, >=, 0);
        CHECK_INT(tokens[i].end, <=, n_bytes);
        if (i > 0) {
            CHECK_INT(tokens[i].end, >=, tokens[i - 1].end);
            CHECK_INT(tokens[i].time_ns, >=, tokens[i - 1].time_ns);
        }
        CHECK_INT(tokens[i].time_ns % 1000, ==, 0);
        if (has_logprobs)
            CHECK_SAY(tokens[i].logprob <= 0, "token %zu: log probability %g", i, (double)tokens[i].logprob);
        else
            CHECK_SAY(isnan(tokens[i].logprob), "token %zu: log probability %g", i, (double)tokens[i].logprob);
    }
    /* From the middle, and from beyond the end. */
    lipc_token some[3];
    CHECK_LIPC(lipc_stream_tokens(stream, (size_t)n_tokens - 2, some, 3, &n), LIPC_E_OK);
    CHECK_INT(n, ==, 2);
    CHECK_INT(some[1].time_ns, ==, tokens[n_tokens - 1].time_ns);
    CHECK_LIPC(lipc_stream_tokens(stream, (size_t)n_tokens + 5, some, 3, &n), LIPC_E_OK);
    CHECK_INT(n, ==, 0);
    free(tokens);
}

static void token_records(lipc_client *client) {
    test_step("token records and log probabilities");
    for (int logprobs = 0; logprobs < 2; logprobs++) {
        lipc_request request = request_of(QUESTION_MULTIBYTE);
        request.logprobs = logprobs;
        lipc_stream *stream = submit(client, &request);
        reading text = read_to_end(stream);
        CHECK_INT(text.code, ==, 0);
        check_tokens(stream, logprobs, text.n_bytes, progress_of(stream).n_tokens);
        free(text.text);
        lipc_stream_close(stream);
    }
}

static void with_the_model(void) {
    char instance[64];
    test_host host;
    test_instance(instance, "model");
    /* Requests that want any choice at all must say so. */
    segment segment = host_ready(&host, instance, EMBEDDED("-c", "1024", "--min-p", "1", "--repeatable"));
    lipc_client *client = client_of(instance);
    limits(client);
    sampling(client);
    by_name(client);
    system_prompt(client);
    grammars(client);
    token_records(client);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* What a request leaves open is the host's own option. */
static void the_hosts_options(void) {
    char instance[64];
    test_host host;
    lipc_progress progress;
    test_step("what the request leaves to the host");
    test_instance(instance, "options");
    segment segment = host_ready(&host, instance, EMBEDDED("-n", "9", "--seed", "77", "--ignore-eos"));
    lipc_client *client = client_of(instance);
    lipc_request request = request_of(QUESTION);
    free(answer_to(client, &request, &progress).text);
    CHECK_INT(progress.n_tokens, ==, 9);
    CHECK_INT(progress.seed, ==, 77);
    request.n_predict = 11;
    request.seed = 78;
    free(answer_to(client, &request, &progress).text);
    CHECK_INT(progress.n_tokens, ==, 11);
    CHECK_INT(progress.seed, ==, 78);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* ---- A text that is played back ---- */

/* Stop strings that lie across the borders of tokens, at the text's beginning, at its end, and not in it at all. */
static void stop_strings(lipc_client *client, const char *text) {
    static const struct {
        const char *stops[3];
        const char *ends_before; /* NULL: not found */
    } cases[] = {
        {{"lazy dog"}, "lazy dog"},
        {{"azy dog, and"}, "azy dog, and"},
        {{"x jumps over t", "nowhere"}, "x jumps over t"},
        {{"and on, it", "over"}, "over"},
        {{"The qu"}, "The qu"},
        {{"its end."}, "its end."},
        {{"its end. And"}, NULL},
        {{"Größenwahn"}, "Größenwahn"},
        {{"ößen", "enwahn"}, "ößen"},
        {{"dog, and on, and on, it"}, NULL},
        {{"quick", "T"}, "T"},
    };
    test_step("stop strings");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lipc_progress progress;
        lipc_request request = request_of("go on");
        request.stops = cases[i].stops;
        while (request.n_stops < 3 && cases[i].stops[request.n_stops])
            request.n_stops++;
        const char *found = cases[i].ends_before ? strstr(text, cases[i].ends_before) : text + strlen(text);
        CHECK(found != NULL);
        reading answer = answer_to(client, &request, &progress);
        CHECK_SAY(answer.n_bytes == (size_t)(found - text) && strncmp(answer.text, text, answer.n_bytes) == 0,
                  "stopped by '%s': \"%s\"", cases[i].stops[0], answer.text);
        CHECK_INT(progress.end, ==, cases[i].ends_before ? LIPC_END_STOP : LIPC_END_TURN);
        free(answer.text);
    }
}

static void replay_records(lipc_client *client, const char *text) {
    lipc_token tokens[64];
    size_t n;
    test_step("the records of a text that is played back");
    lipc_request request = request_of("go on");
    request.logprobs = 1;
    lipc_stream *stream = submit(client, &request);
    check_answer(stream, text, strlen(text));
    CHECK_LIPC(lipc_stream_tokens(stream, 0, tokens, 64, &n), LIPC_E_OK);
    CHECK_INT(n, ==, count_tokens(text));
    size_t end = 0;
    for (size_t i = 0; i < n; i++) {
        end += token_bytes(text + end);
        CHECK_INT(tokens[i].end, ==, end);
        CHECK_INT(tokens[i].id, ==, i);
        CHECK(tokens[i].logprob == 0);
    }
    lipc_stream_close(stream);
}

/* The stream in which a text was played back. */
static uint32_t stream_of(const segment *segment, const char *text, hub_view *view) {
    hub_identity identity;
    uint32_t index = 0;
    CHECK_INT(hub_read(segment->base, segment->size, view, &identity), ==, HUB_OK);
    while (memcmp(stream_log(view, index), text, strlen(text)) != 0) index++;
    return index;
}

/* Records that are not the host's any more are not taken for them. */
static void damaged_records(lipc_client *client, const segment *segment, const char *text) {
    lipc_token tokens[64];
    size_t n;
    test_step("a record that somebody has written over");
    lipc_request request = request_of("go on");
    request.logprobs = 1;
    lipc_stream *stream = submit(client, &request);
    check_answer(stream, text, strlen(text));
    hub_view view;
    uint32_t index = stream_of(segment, text, &view);
    stream_index(&view, index)[1].logprob = -1;
    CHECK_LIPC(lipc_stream_tokens(stream, 0, tokens, 1, &n), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_tokens(stream, 1, tokens, 64, &n), LIPC_E_FAILED);
    CHECK_INT(n, ==, 0);
    lipc_stream_close(stream);
}

static lipc_stream *ask_for_probs(lipc_client *client, const char *text) {
    static const lipc_parameter n_probs = {"n_probs", 3, NULL};
    lipc_request request = request_of("go on");
    request.parameters = &n_probs;
    request.n_parameters = 1;
    lipc_stream *stream = submit(client, &request);
    check_answer(stream, text, strlen(text));
    return stream;
}

static void probabilities(lipc_client *client, const segment *segment, const char *text) {
    lipc_prob probs[LIPC_PROBS_MAX];
    lipc_token token;
    size_t n, end = 0, count = count_tokens(text);
    hub_view view;
    test_step("the likeliest tokens of a text that is played back: no other is possible");
    lipc_stream *stream = ask_for_probs(client, text);
    for (size_t i = 0; i < count; i++) {
        size_t n_bytes = token_bytes(text + end);
        CHECK_LIPC(lipc_stream_probs(stream, i, probs, LIPC_PROBS_MAX, &n), LIPC_E_OK);
        CHECK(n == 1 && probs[0].id == (int32_t)i && probs[0].logprob == 0 && probs[0].n_bytes == n_bytes);
        CHECK(memcmp(probs[0].text, text + end, n_bytes < 23 ? n_bytes : 23) == 0);
        end += n_bytes;
    }
    CHECK_LIPC(lipc_stream_tokens(stream, 0, &token, 1, &n), LIPC_E_OK);
    CHECK(token.logprob == 0); /* implied */
    CHECK_LIPC(lipc_stream_probs(stream, count, probs, LIPC_PROBS_MAX, &n), LIPC_E_OK);
    CHECK_INT(n, ==, 0);
    CHECK_LIPC(lipc_stream_probs(stream, 0, NULL, 0, &n), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_probs(stream, 0, NULL, 1, &n), LIPC_E_INVALID);
    CHECK_LIPC(lipc_stream_probs(NULL, 0, probs, 1, &n), LIPC_E_INVALID);
    uint32_t index = stream_of(segment, text, &view);
    lipc_stream_close(stream);
    CHECK(WAITED(SOON_MS, stream_claim_phase(stream_claim_now(hub_stream(&view, index))) == LIPC_CLAIM_FREE));
    CHECK(WAITED(SOON_MS, stream_probs(&view, index)[3 * (count - 1)].text[0] == 0)); /* for the next one there */

    test_step("probabilities that somebody has written over");
    stream = ask_for_probs(client, text);
    index = stream_of(segment, text, &view);
    stream_probs(&view, index)[3].logprob = -1;
    int code = LIPC_E_OK;
    for (size_t i = 0; i < count && code == LIPC_E_OK; i++) code = lipc_stream_probs(stream, i, probs, LIPC_PROBS_MAX, &n);
    CHECK_LIPC(code, LIPC_E_FAILED);
    CHECK_INT(n, ==, 0);
    lipc_stream_close(stream);
    stream = ask_for_probs(client, text);
    index = stream_of(segment, text, &view);
    memset(stream_probs(&view, index), 0xFF, stream_probs_room(&view.at) * sizeof(lipc_prob_record));
    CHECK_LIPC(lipc_stream_probs(stream, 1, probs, LIPC_PROBS_MAX, &n), LIPC_E_OK);
    CHECK_INT(n, ==, 0); /* all of it is NaN */
    hub_stream(&view, index)->n_probs = UINT32_MAX; /* until the host shows it again */
    while ((code = lipc_stream_probs(stream, 0, probs, LIPC_PROBS_MAX, &n)) == LIPC_E_OK)
        hub_stream(&view, index)->n_probs = UINT32_MAX;
    CHECK_LIPC(code, LIPC_E_FAILED);
    lipc_stream_close(stream);
}

static script script_of(const char *text) {
    script made = {.n_bytes = strlen(text), .text = strdup(text)};
    test_file(made.path, text, made.n_bytes);
    return made;
}

/* While one answer is made, requests of different priorities arrive; they are served by priority, then in order. */
static void priorities(const char *instance, const script *script) {
    enum { N = 5 };
    static const int32_t given[N] = {-5, 0, 7, 0, 100};
    static const int expected[N] = {4, 2, 1, 3, 0};
    test_host host;
    reading text = {0};
    lipc_client *clients[N];
    lipc_stream *streams[N];
    test_step("priorities");
    segment segment = host_ready(&host, instance, REPLAY(*script, "-np", "1", "--rate", "1000"));
    lipc_client *first = client_of(instance);
    lipc_stream *running = ask_endless(first);
    read_until(running, &text, 1);
    for (int i = 0; i < N; i++) {
        lipc_request request = request_of("later");
        request.priority = given[i];
        clients[i] = client_of(instance);
        streams[i] = submit(clients[i], &request);
        CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->n_queued) == (uint32_t)i + 1));
    }
    for (int place = 0; place < N; place++)
        CHECK_SAY(WAITED(SOON_MS, progress_of(streams[expected[place]]).queue_position == place),
                  "the request of priority %d is at position %d, expected %d", given[expected[place]],
                  progress_of(streams[expected[place]]).queue_position, place);
    lipc_stream_close(running);
    uint64_t before = 0;
    for (int place = 0; place < N; place++) {
        char id[LIPC_STREAM_ID_SIZE];
        check_whole(streams[expected[place]], script);
        CHECK_LIPC(lipc_stream_id(streams[expected[place]], id), LIPC_E_OK);
        uint64_t started = stream_in(&segment, (uint32_t)stream_with_id(&segment, id))->started_ns;
        CHECK_SAY(started > before, "place %d was served before the one before it", place);
        before = started;
    }
    for (int i = 0; i < N; i++) {
        lipc_stream_close(streams[i]);
        lipc_client_close(clients[i]);
    }
    lipc_client_close(first);
    free(text.text);
    end_host(&host, &segment);
}

int main(void) {
    static const char text[] = "The quick brown fox jumps over the lazy dog, and on, and on, without a pause, in "
                               "a kind of Größenwahn, up to its end.";
    char instance[64];
    test_host host;
    test_begin("parameters", 60);
    with_the_model();
    the_hosts_options();
    script script = script_of(text);
    test_instance(instance, "text");
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "0"));
    lipc_client *client = client_of(instance);
    stop_strings(client, text);
    replay_records(client, text);
    damaged_records(client, &segment, text);
    probabilities(client, &segment, text);
    lipc_client_close(client);
    end_host(&host, &segment);
    priorities(instance, &script);
    free(script.text);
    return test_end();
}
