/* commands.c - llamaipc without a terminal: answers on standard output and all else on standard error, JSON, exit codes,
 * messages that help; with a host, without one, with one that dies. */
#include "cli_test.h"

static char instance[64];
static script story;

static void help(void) {
    static const char *const commands[] = {"ask", "chat", "status", "top", "load", "cancel", "doctor", "bench", "stop"};
    cli cli;
    test_step("help fits a screen; mistakes are answered with what to do");
    for (size_t i = 0; i <= sizeof commands / sizeof commands[0]; i++) {
        if (i == sizeof commands / sizeof commands[0])
            RUN(&cli, CLI_EXIT_OK, NULL, "--help");
        else
            RUN(&cli, CLI_EXIT_OK, NULL, commands[i], "--help");
        int n_lines = 0;
        for (const char *line = cli.out; *line; line = strchr(line, '\n') + 1, n_lines++)
            CHECK_SAY(strcspn(line, "\n") <= 80, "wider than 80 columns: %.*s", (int)strcspn(line, "\n"), line);
        CHECK_SAY(n_lines <= 24, "%d lines:\n%s", n_lines, cli.out);
        cli_free(&cli);
    }
    RUN(&cli, CLI_EXIT_USAGE, NULL, NULL);
    CHECK(strstr(cli.err, "usage: llamaipc") == cli.err);
    cli_free(&cli);
    FAILS(CLI_EXIT_USAGE, "did you mean status", "statsu");
    FAILS(CLI_EXIT_USAGE, "llamaipc chat -m FILE", "run", "model.gguf");
    FAILS(CLI_EXIT_USAGE, "to ask that: llamaipc ask", "What is C++?");
    FAILS(CLI_EXIT_USAGE, "did you mean --temp", "ask", "--tmep", "1", "hello");
    FAILS(CLI_EXIT_USAGE, "--temp is 'hot': expected a number from 0 to 100", "ask", "--temp", "hot", "hello");
    FAILS(CLI_EXIT_USAGE, "unknown option '--temp'", "status", "--temp", "1");
    FAILS(CLI_EXIT_USAGE, "--name is 'a/b'", "--name", "a/b", "status");
    FAILS(CLI_EXIT_USAGE, "stop does not take 'now'", "stop", "now");
    FAILS(CLI_EXIT_USAGE, "--stop is 'q': expected a text, at most 16 times", "ask", "x", "-r", "a", "-r", "b", "-r", "c",
          "-r", "d", "-r", "e", "-r", "f", "--stop=g", "--stop=h", "--stop=i", "--stop=j", "--stop=k", "--stop=l",
          "--stop=m", "--stop=n", "--stop=o", "--stop=p", "--stop=q");
    FAILS(CLI_EXIT_USAGE, "cancel needs STREAM", "cancel");
    FAILS(CLI_EXIT_USAGE, "load needs FILE", "load");
    FAILS(CLI_EXIT_USAGE, "no question", "ask");
    FAILS(CLI_EXIT_USAGE, "no question", "ask", " ");
    FAILS(CLI_EXIT_USAGE, "cannot read /no/such/file", "ask", "-f", "/no/such/file");
    FAILS(CLI_EXIT_USAGE, "cannot read /no/such/file", "ask", "--grammar-file", "/no/such/file", "hello");
}

static bool has_written(const cli *cli) {
    struct stat status;
    return fstat(cli->out_fd, &status) == 0 && status.st_size > 0;
}

static bool has_queued(const segment *segment) {
    return NOW(hub_in(segment)->n_queued) == 1;
}

static void another_model(void) {
    cli cli, answer;
    char path[4096];
    test_model_path(path, "tutor.gguf");
    test_step("load");
    segment segment = segment_open(instance);
    RUN(&cli, CLI_EXIT_OK, NULL, "load", path);
    check_said(&cli, "loaded: ");
    CHECK_TEXT(cli.out, "");
    cli_free(&cli);
    FAILS(CLI_EXIT_REFUSED, "/no/such/model.gguf", "load", "/no/such/model.gguf");
    FAILS(CLI_EXIT_REFUSED, "GGUF", "load", cli_program());

    test_step("Ctrl-C while it waits for an answer to be finished");
    cli_start(&answer, NULL, false, (const char *const[]){"ask", "--ignore-eos", "go on", NULL});
    CHECK(WAITED(SOON_MS, has_written(&answer)));
    cli_start(&cli, NULL, false, (const char *const[]){"load", path, NULL});
    CHECK(WAITED(SOON_MS, has_queued(&segment)));
    kill(cli.pid, SIGINT);
    cli_expect(&cli, CLI_EXIT_CANCELLED);
    CHECK_TEXT(cli.err, "llamaipc: cancelled: the host keeps the model that it had\n");
    cli_free(&cli);
    FAILS(CLI_EXIT_TIMEOUT, "keeps the model", "load", "--timeout", "0", path);
    CHECK(!cli_has_ended(&answer));
    kill(answer.pid, SIGINT);
    cli_expect(&answer, CLI_EXIT_CANCELLED);
    cli_free(&answer);
    CHECK(WAITED(SOON_MS, NOW(hub_in(&segment)->n_running) == 0)); /* the next command says what it would wait for */
    segment_close(&segment);
}

static void thoughts_and_calls(void) {
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"calculate\",\"parameters\":{\"type\":\"object\","
                                "\"properties\":{\"expression\":{\"type\":\"string\"}},\"required\":[\"expression\"]}}}]";
    cli cli;
    test_step("a thought where one is asked for, and the calls of tools");
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "--temp", "0", "What is C++?");
    char *plain = strdup(cli.out);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "--temp", "0", "--think", "-v", "What is C++?");
    CHECK_TEXT(cli.out, plain);
    check_said(&cli, "(thought for ");
    cli_free(&cli);
    free(plain);
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "--temp", "0", "--think", "--json", "What is C++?");
    CHECK_SAY(strncmp(cli.out, "{\"type\":\"thought\",\"text\":\"", 26) == 0, "%.200s", cli.out);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, tools, "ask", "--temp", "0", "--tools", "/dev/stdin", "What is 12*7 and 9+4?");
    check_said(&cli, "the model calls calculate {\"expression\": \"12*7\"} (id ");
    check_said(&cli, "the model calls calculate {\"expression\": \"9+4\"} (id ");
    cli_free(&cli);
}

static void without_host(void) {
    cli cli;
    test_step("no host");
    FAILS(CLI_EXIT_NO_HOST, "no host runs as", "status");
    FAILS(CLI_EXIT_NO_HOST, "no host runs as", "stop");
    FAILS(CLI_EXIT_NO_HOST, "no host runs as", "cancel", "1");
    FAILS(CLI_EXIT_NO_HOST, "no host runs as", "load", "model.gguf");
    FAILS(CLI_EXIT_NO_HOST, "/no/such/model.gguf", "ask", "-m", "/no/such/model.gguf", "hello");
    FAILS(CLI_EXIT_NO_HOST, "no host is running", "status", "--wait", "--timeout", "0");
    CHECK_INT(objects_count(instance), ==, 0);

    test_step("ask starts one, says so, and leaves it there for the next");
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "--temp", "0", "What", "is", "C++?");
    check_said(&cli, "started a host, process");
    check_said(&cli, "llamaipc stop --name");
    CHECK_SAY(strstr(cli.out, "programming language"), "the answer is: %s", cli.out);
    CHECK(cli.out[strlen(cli.out) - 1] == '\n');
    char *first = strdup(cli.out);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, "What is C++?\n", "ask", "--temp", "0");
    CHECK_TEXT(cli.err, "");
    CHECK_TEXT(cli.out, first);
    free(first);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "-m", "other.gguf", "-n", "1", "hello");
    check_said(&cli, "--model does not change it");
    cli_free(&cli);
    thoughts_and_calls();
    another_model();
    RUN(&cli, CLI_EXIT_OK, NULL, "stop");
    CHECK_TEXT(cli.err, "");
    cli_free(&cli);
    CHECK_INT(objects_count(instance), ==, 0);
}

/* Tokens of the prompt, as the host counts them. */
static int prompt_of(const char *input, const char *const *words) {
    cli cli;
    cli_run_words(&cli, CLI_EXIT_OK, input, words);
    const char *at = cli.out;
    json_t *line = json_line(&at);
    CHECK(line && !json_line(&at));
    CHECK_TEXT(json_text(line, "type"), "end");
    CHECK_TEXT(json_text(line, "text"), story.text);
    int n_prompt = (int)json_figure(line, "n_prompt");
    json_decref(line);
    cli_free(&cli);
    return n_prompt;
}
#define PROMPT_OF(input, ...) prompt_of((input), (const char *const[]){"ask", "--json", "--no-stream", __VA_ARGS__, NULL})

static void json(void) {
    cli cli;
    json_t *line, *token;
    size_t n_text = 0, n_tokens = 0, i;
    double last_ms = 0;
    test_step("--json");
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "--json", "--n-probs", "2", "tell me");
    const char *at = cli.out;
    while ((line = json_line(&at)) && strcmp(json_text(line, "type"), "delta") == 0) {
        const char *text = json_text(line, "text");
        CHECK_INT(json_figure(line, "offset"), ==, n_text);
        CHECK(test_is_prefix(text, strlen(text), story.text + n_text));
        n_text += strlen(text);
        json_array_foreach(json_object_get(line, "tokens"), i, token) {
            CHECK(json_figure(token, "ms") >= last_ms);
            last_ms = json_figure(token, "ms");
            const json_t *top = json_object_get(token, "top_logprobs"); /* no other than the one that is played */
            CHECK_INT(json_array_size(top), ==, 1);
            top = json_array_get(top, 0);
            CHECK(json_figure(top, "id") == json_figure(token, "id") && json_figure(top, "logprob") == 0);
            CHECK(json_text(top, "token")[0] && json_array_size(json_object_get(top, "bytes")) > 0);
            n_tokens++;
        }
        json_decref(line);
    }
    CHECK_INT(n_text, ==, story.n_bytes);
    CHECK_INT(n_tokens, ==, count_tokens(story.text));
    CHECK_TEXT(json_text(line, "type"), "end");
    CHECK_TEXT(json_text(line, "end"), "turn");
    CHECK_INT(json_figure(line, "n_tokens"), ==, n_tokens);
    CHECK_INT(strlen(json_text(line, "id")), ==, 32);
    CHECK(json_figure(line, "prompt_ms") >= 0 && json_figure(line, "tokens_per_second") > 0);
    json_decref(line);
    CHECK(!json_line(&at));
    CHECK_TEXT(cli.err, "");
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_REFUSED, NULL, "ask", "--json", "--grammar", "root ::= \"a\"", "hello");
    at = cli.out;
    line = json_line(&at);
    CHECK_TEXT(json_text(line, "end"), "refused");
    CHECK_TEXT(json_text(line, "error"), "LIPC_E_REFUSED");
    CHECK(strstr(cli.err, json_text(line, "message")));
    json_decref(line);
    cli_free(&cli);
}

static void with_host(void) {
    cli cli;
    test_step("the answer, and nothing else, on standard output");
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "hello");
    CHECK_INT(strlen(cli.out), ==, story.n_bytes + 1);
    CHECK(strncmp(cli.out, story.text, story.n_bytes) == 0 && cli.out[story.n_bytes] == '\n');
    CHECK_TEXT(cli.err, "");
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "--no-stream", "-n", "3", "-v", "hello");
    CHECK_INT(strlen(cli.out), ==, tokens_end(&story, 3) + 1);
    check_said(&cli, "3 tokens");
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "hello", "--stop", "log", "--stop=Größe");
    CHECK_SAY(strlen(cli.out) < story.n_bytes && !strstr(cli.out, "log") && !strstr(cli.out, "Größe"), "%s", cli.out);
    cli_free(&cli);

    test_step("the question from everywhere");
    int n_prompt = PROMPT_OF(NULL, "one two three four");
    CHECK_INT(PROMPT_OF(NULL, "one", "two", "three", "four"), ==, n_prompt);
    CHECK_INT(PROMPT_OF("one two three four\n", "--quiet"), ==, n_prompt);
    CHECK_INT(PROMPT_OF("three four", "one", "two", "-"), ==, n_prompt);
    CHECK_INT(PROMPT_OF(NULL, "-p", "one two three four"), ==, n_prompt);
    CHECK_INT(PROMPT_OF("three four", "-p", "one two", "-f", "/dev/stdin"), ==, n_prompt);
    CHECK_INT(PROMPT_OF("nobody reads this", "--", "one two three four"), ==, n_prompt);
    CHECK_INT(PROMPT_OF(NULL, "one two three four", "--system", "be brief"), >, n_prompt);
    json();

    test_step("refused");
    FAILS(CLI_EXIT_REFUSED, "UTF-8", "ask", "\xff");
    char *endless = malloc(300001);
    CHECK(endless != NULL);
    memset(endless, 'a', 300000);
    endless[300000] = 0;
    RUN(&cli, CLI_EXIT_REFUSED, endless, "ask");
    check_said(&cli, "--request-size");
    cli_free(&cli);
    free(endless);
}

static json_t *status_now(int code) {
    cli cli;
    RUN(&cli, code, NULL, "status", "--json");
    const char *at = cli.out;
    json_t *status = json_line(&at);
    CHECK(status != NULL);
    cli_free(&cli);
    return status;
}

static bool is_running(int n) {
    json_t *status = status_now(CLI_EXIT_OK);
    bool is_so = json_figure(status, "running") == n;
    json_decref(status);
    return is_so;
}

/* Starts an endless answer, and waits until text comes. */
static void begin_answer(cli *cli) {
    cli_start(cli, NULL, false, (const char *const[]){"ask", "--ignore-eos", "go on", NULL});
    CHECK(WAITED(SOON_MS, has_written(cli)));
}

static void check_part(const cli *cli) {
    size_t n = strlen(cli->out);
    CHECK_INT(n, >, 1);
    CHECK(script_has(&story, 0, cli->out, n - 1)); /* behind it a newline */
}

static void cut_short(test_host *host) {
    cli cli, other;
    char bytes[16];
    test_step("time-out, Ctrl-C, cancel, a pipe that nobody reads");
    FAILS(CLI_EXIT_TIMEOUT, "time-out", "ask", "--timeout", "0", "--no-stream", "--ignore-eos", "go on");
    begin_answer(&cli);
    kill(cli.pid, SIGINT);
    cli_expect(&cli, CLI_EXIT_CANCELLED);
    CHECK_TEXT(cli.err, "llamaipc: cancelled\n");
    check_part(&cli);
    cli_free(&cli);

    begin_answer(&cli);
    FAILS(CLI_EXIT_USAGE, "stream 2 is free", "cancel", "2");
    FAILS(CLI_EXIT_USAGE, "there is no stream 99", "cancel", "99");
    FAILS(CLI_EXIT_USAGE, "by its number or by its id", "cancel", "mine");
    RUN(&other, CLI_EXIT_OK, NULL, "cancel", "1");
    cli_free(&other);
    cli_expect(&cli, CLI_EXIT_CANCELLED);
    check_part(&cli);
    cli_free(&cli);

    cli_start(&cli, NULL, true, (const char *const[]){"ask", "--ignore-eos", "go on", NULL});
    CHECK_INT(read(cli.out_fd, bytes, sizeof bytes), >, 0);
    close(cli.out_fd);
    cli.out_fd = cli_file("", 0);
    cli_expect(&cli, 128 + SIGPIPE);
    CHECK_TEXT(cli.err, "");
    cli_free(&cli);
    CHECK(WAITED(SOON_MS, is_running(0)));

    test_step("stop lets the answer be finished; a host that is killed is gone");
    cli_start(&cli, NULL, false, (const char *const[]){"ask", "hello", NULL});
    CHECK(WAITED(SOON_MS, has_written(&cli)));
    RUN(&other, CLI_EXIT_OK, NULL, "stop");
    cli_free(&other);
    cli_expect(&cli, CLI_EXIT_OK);
    CHECK_INT(strlen(cli.out), ==, story.n_bytes + 1);
    cli_free(&cli);
    host_expect_exit(host, 0, SOON_MS);
    segment segment = host_ready(host, instance, REPLAY(story, "--rate", "2000"));
    begin_answer(&cli);
    host_kill(host);
    cli_expect(&cli, CLI_EXIT_HOST_GONE);
    check_said(&cli, "ended or was killed");
    check_part(&cli);
    cli_free(&cli);
    segment_close(&segment);
    json_t *status = status_now(CLI_EXIT_NO_HOST);
    CHECK_TEXT(json_text(status, "state"), "dead");
    json_decref(status);
}

static bool is_said_to_sleep(void) {
    json_t *status = status_now(CLI_EXIT_OK);
    bool is_asleep = json_is_true(json_object_get(status, "asleep"));
    json_decref(status);
    return is_asleep;
}

static void asleep(void) {
    cli cli;
    test_host host;
    test_step("asleep");
    segment segment = host_ready(&host, instance, REPLAY(story, "--sleep-idle", "1"));
    CHECK(WAITED(SOON_MS, is_said_to_sleep()));
    RUN(&cli, CLI_EXIT_OK, NULL, "status");
    CHECK(strstr(cli.out, "asleep"));
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "doctor");
    CHECK(strstr(cli.out, "in order, and asleep"));
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "ask", "-q", "wake up");
    CHECK(strstr(cli.out, story.text));
    cli_free(&cli);
    segment_close(&segment);
    host_stop(&host);
}

static double clients_now(void) {
    json_t *status = status_now(CLI_EXIT_OK);
    double n_clients = json_figure(status, "clients");
    json_decref(status);
    return n_clients;
}

static void status(const test_host *host) {
    cli cli;
    test_step("status");
    CHECK(WAITED(SOON_MS, clients_now() == 0)); /* the host learns a moment later that the last one has gone */
    json_t *status = status_now(CLI_EXIT_OK);
    CHECK_TEXT(json_text(status, "state"), "ready");
    CHECK_TEXT(json_text(status, "name"), instance);
    CHECK_INT(json_figure(status, "pid"), ==, host->pid);
    CHECK_INT(json_figure(status, "clients"), ==, 0);
    CHECK_INT(json_figure(status, "streams"), ==, 8);
    CHECK(json_figure(status, "uptime_s") >= 0 && json_figure(status, "uptime_s") < 100);
    json_decref(status);
    RUN(&cli, CLI_EXIT_OK, NULL, "status");
    CHECK(strstr(cli.out, "ready") && strstr(cli.out, instance) && !strchr(cli.out, '\033'));
    cli_free(&cli);
}

static void waiting_status(test_host *host) {
    cli cli;
    test_step("status --wait");
    cli_start(&cli, NULL, false, (const char *const[]){"status", "--wait", NULL});
    test_pause_ms(30);
    CHECK(!cli_has_ended(&cli));
    segment segment = host_ready(host, instance, REPLAY(story, "--rate", "2000"));
    segment_close(&segment);
    cli_expect(&cli, CLI_EXIT_OK);
    CHECK(strstr(cli.out, "ready"));
    cli_free(&cli);
}

int main(void) {
    test_host host;
    test_begin("commands", 60);
    test_instance(instance, "cli");
    setenv("LIPC_NAME", instance, 1);
    story = script_new(1500);
    help();
    without_host();
    waiting_status(&host);
    status(&host);
    with_host();
    cut_short(&host);
    asleep();
    objects_remove(instance);
    free(story.text);
    CHECK(WAITED(SOON_MS, waitpid(-1, NULL, WNOHANG) < 0)); /* what the hosts leave, who are nobody's children */
    return test_end();
}
