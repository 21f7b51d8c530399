/* options_and_help.c - --help fits a terminal of 80 x 24, --version says versions, and wrong options or values end with
 * code 2 and one line that names them; the environment counts, the command line wins over it. */
#include "host_test.h"

#include <sys/stat.h>

static char *run(const char *instance, bool no_instance, int exit_code, const char *const *arguments) {
    test_host host;
    test_host_setup setup = {.no_instance = no_instance};
    host_start_with(&host, instance, &setup, arguments);
    host_expect_exit(&host, exit_code, SOON_MS);
    CHECK_INT(objects_count(instance), ==, 0);
    return exit_code == 0 ? host_out(&host) : host_err(&host);
}

static void check_usage(const char *instance, const char *option, const char *value, const char *reason) {
    char *err = run(instance, true, 2, (const char *const[]){option, value, NULL});
    CHECK_SAY(count_lines(err) == 1 && strncmp(err, "chatbot: ", 9) == 0, "not one line: %s", err);
    CHECK_SAY(strstr(err, reason) != NULL, "the message does not say \"%s\": %s", reason, err);
    free(err);
}

int main(void) {
    test_begin("options_and_help", 120);
    char instance[64], other[64];
    test_host host;
    guide_client client;
    guide_update update;
    test_instance(instance, "options");
    test_instance(other, "environment");

    test_step("--help");
    char *help = run(instance, true, 0, (const char *const[]){"--help", NULL});
    CHECK_INT(count_lines(help), <=, 24);
    for (char *line = help; *line; line = strchr(line, '\n') + 1) {
        CHECK_SAY(strcspn(line, "\n") <= 80, "wider than 80 columns: %.*s", (int)strcspn(line, "\n"), line);
        CHECK(strchr(line, '\n') != NULL);
    }
    static const char *const options[] = {"-m, --model", "-c, --ctx-size", "-t, --threads", "-ngl, --gpu-layers",
                                          "-n, --predict", "--temp", "--min-p", "--top-p", "--top-k", "-s, --seed",
                                          "--name", "--log-level", "--exit-with-parent", "--version", "-h, --help"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        CHECK_SAY(strstr(help, options[i]) != NULL, "--help does not tell %s:\n%s", options[i], help);
    char *brief = run(instance, true, 0, (const char *const[]){"-h", NULL});
    CHECK_TEXT(brief, help);
    free(brief);
    free(help);

    test_step("--version");
    char *version = run(instance, true, 0, (const char *const[]){"--version", NULL});
    int major, minor;
    CHECK_SAY(sscanf(version, "%*[^0-9]%d.%d", &major, &minor) == 2, "no version in: %s", version);
    free(version);

    test_step("unknown options and bad values");
    check_usage(instance, "--colour", NULL, "--colour");
    check_usage(instance, "model.gguf", NULL, "model.gguf");
    check_usage(instance, "-x", NULL, "-x");
    check_usage(instance, "--", NULL, "--");
    check_usage(instance, "", NULL, "''");
    check_usage(instance, "--help=yes", NULL, "--help");
    static const char *const needing[] = {"-m", "--model", "-c", "-t", "-ngl", "-n", "--temp", "--min-p", "--top-p",
                                          "--top-k", "-s", "--name", "--log-level"};
    for (size_t i = 0; i < sizeof needing / sizeof needing[0]; i++)
        check_usage(instance, needing[i], NULL, needing[i]);
    static const char *const bad[][2] = {
        {"-c", "many"}, {"-c", "-7"}, {"-c", "99999999999999"}, {"-t", "-1"}, {"-t", "1.5"}, {"-t", "4x"},
        {"-n", ""}, {"-n", "-2"}, {"--temp", "-1"}, {"--temp", "nan"}, {"--temp", "hot"}, {"--temp", "inf"},
        {"--min-p", "1.5"}, {"--top-p", "-0.1"}, {"--top-k", "-1"}, {"--seed", "0x10"}, {"--name", ""},
        {"--name", "a/b"}, {"--name", ".hidden"}, {"--name", "with space"}, {"--name", "n\xc3\xa4me"},
        {"--name", "0123456789012345678901234567890123456789012345678901234567890123"}, {"--log-level", "loud"},
        {"-m", ""}, {"-ngl", "some"}, {"-ctk", "q9"}, {"-fa", "perhaps"}, {"-tb", "two"}, {"--override-kv", "x"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_usage(instance, bad[i][0], bad[i][1], bad[i][1]);

    check_usage(instance, "--port", "8080", "no meaning here");
    check_usage(instance, "--hf-token", "hf_secret", "no meaning here");
    check_usage(instance, "-hf", "../b", "no name of a model");
    check_usage(instance, "-m", "hf://a/..", "no name of a model");
    check_usage(instance, "-mu", "file:///a/b.gguf", "no name of a model");
    char *both = run(instance, true, 2, (const char *const[]){"-m", "a.gguf", "-hf", "a/b", NULL});
    CHECK_SAY(strstr(both, "only one of them") != NULL, "%s", both);
    free(both);

    test_step("what does not fit, and an adapter that is not there");
    char *reason = run(instance, false, 5, (const char *const[]){"--log-level", "error", "-c", "100000000", "-ctk", "q8_0", NULL});
    CHECK_SAY(strstr(reason, "beside the weights") && strstr(reason, "-np N") && count_lines(reason) == 1, "%s", reason);
    free(reason);
    reason = run(instance, false, 3, (const char *const[]){"--log-level", "error", "--lora", "/no/such.gguf", NULL});
    CHECK_SAY(strstr(reason, "/no/such.gguf") != NULL, "%s", reason);
    free(reason);

    char pipe_path[64];
    snprintf(pipe_path, sizeof pipe_path, "/tmp/lipctest.pipe.%d", (int)getpid());
    CHECK(mkfifo(pipe_path, 0600) == 0);
    reason = run(instance, false, 3, (const char *const[]){"--log-level", "error", "-md", pipe_path, NULL});
    CHECK_SAY(strstr(reason, "is not a file") != NULL, "%s", reason);
    free(reason);
    unlink(pipe_path);

    test_step("sampling that this model cannot use, or no server");
    reason = run(instance, false, 2, (const char *const[]){"--log-level", "error", "--remote", "http://127.0.0.1:1", "--n-probs", "5", NULL});
    CHECK_SAY(strstr(reason, "n_probs") != NULL, "%s", reason);
    free(reason);
    static const char *const unusable[][2] = {{"--samplers", "foo"}, {"--logit-bias", "foo"}, {"--lora-scales", "0:1"}};
    for (size_t i = 0; i < sizeof unusable / sizeof unusable[0]; i++) {
        reason = run(instance, false, 2, (const char *const[]){"--log-level", "error", unusable[i][0], unusable[i][1], NULL});
        CHECK_SAY(count_lines(reason) == 1, "%s %s: %s", unusable[i][0], unusable[i][1], reason);
        free(reason);
    }

    test_step("bad values in the environment");
    static const char *const variables[] = {"LLAMA_ARG_CTX_SIZE", "LLAMA_ARG_THREADS", "LLAMA_ARG_N_GPU_LAYERS",
                                            "LLAMA_ARG_N_PREDICT", "LLAMA_ARG_TEMPERATURE", "LLAMA_ARG_MIN_P",
                                            "LLAMA_ARG_TOP_P", "LLAMA_ARG_TOP_K", "LLAMA_ARG_CACHE_TYPE_K", "LIPC_NAME", "LIPC_LOG_LEVEL"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        setenv(variables[i], "no/good", 1);
        char *err = run(instance, true, 2, (const char *const[]){NULL});
        CHECK_SAY(strstr(err, variables[i]) && strstr(err, "no/good"), "the message does not name %s: %s",
                  variables[i], err);
        CHECK_INT(count_lines(err), ==, 1);
        free(err);
        unsetenv(variables[i]);
    }
    setenv("LLAMA_ARG_MODEL", "/no/such/model.gguf", 1);
    char *err = run(instance, false, 3, (const char *const[]){NULL});
    CHECK_SAY(strstr(err, "/no/such/model.gguf") != NULL, "the message is: %s", err);
    free(err);

    test_step("the environment counts, the command line wins");
    char model[4096];
    test_model_path(model, "tutor.gguf");
    setenv("LIPC_NAME", other, 1);
    setenv("LLAMA_ARG_N_PREDICT", "3", 1);
    setenv("LLAMA_ARG_TEMPERATURE", "0", 1);
    test_host_setup setup = {.no_instance = true};
    host_start_with(&host, other, &setup, (const char *const[]){"--model", model, NULL});
    attach(&client, &host);
    CHECK(guide_request(&client, NULL, "What is C++?", SOON_MS, &update));
    CHECK_INT(update.tokens_generated, ==, 3);
    guide_close(&client);
    host_stop(&host);
    host_start(&host, instance, "-m", model, "--predict", "2", NULL);
    attach(&client, &host);
    CHECK_INT(objects_count(other), ==, 0);
    CHECK(guide_request(&client, NULL, "What is C++?", SOON_MS, &update));
    CHECK_INT(update.tokens_generated, ==, 2);
    guide_close(&client);
    host_stop(&host);
    unsetenv("LLAMA_ARG_MODEL");
    unsetenv("LIPC_NAME");
    unsetenv("LLAMA_ARG_N_PREDICT");
    unsetenv("LLAMA_ARG_TEMPERATURE");

    test_step("a seed makes answers repeatable");
    char *texts[3];
    for (int i = 0; i < 3; i++) {
        host_start(&host, instance, "--temp", "5", "--min-p", "0", "--repeatable", "--seed", i == 2 ? "43" : "42", "-n", "64",
                   "--ignore-eos", NULL);
        attach(&client, &host);
        CHECK(guide_request(&client, NULL, "What is C++?", SOON_MS, &update));
        texts[i] = strdup(update.text);
        CHECK(guide_request(&client, NULL, "What is C++?", SOON_MS, &update));
        CHECK_TEXT(update.text, texts[i]);
        guide_close(&client);
        host_stop(&host);
    }
    CHECK_TEXT(texts[1], texts[0]);
    CHECK_SAY(strcmp(texts[2], texts[0]) != 0, "another seed gives the same text: %s", texts[0]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    return test_end();
}
