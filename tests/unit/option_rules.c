/* option_rules.c - src/host/options.h without a process: defaults, spellings, environment below command line, bounds,
 * and messages that fit their buffer. */
#include "../support/harness.h"

#include "channel/hub.h"
#include "host/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static host_options options;
static char message[256];

static bool parse(const char *const *words) {
    char *argv[32] = {(char *)(uintptr_t) "chatbot"};
    int argc = 1;
    while (words[argc - 1]) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argc++;
    }
    memset(message, 0, sizeof message);
    return host_options_parse(argc, argv, NULL, &options, message, sizeof message);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

int main(void) {
    test_begin("option_rules", 20);
    static const char *const variables[] = {"LLAMA_ARG_MODEL", "LLAMA_ARG_CTX_SIZE", "LLAMA_ARG_THREADS",
                                            "LLAMA_ARG_N_GPU_LAYERS", "LLAMA_ARG_N_PREDICT", "LLAMA_ARG_TEMPERATURE",
                                            "LLAMA_ARG_MIN_P", "LLAMA_ARG_TOP_P", "LLAMA_ARG_TOP_K", "LIPC_NAME",
                                            "LIPC_LOG_LEVEL"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);

    test_step("no arguments: the guide's start");
    CHECK_SAY(parse((const char *const[]){NULL}), "%s", message);
    CHECK(options.model_path == NULL);
    CHECK_TEXT(options.name, "llama_cpp");
    CHECK_INT(options.n_predict, ==, -1);
    CHECK_INT(options.n_threads, ==, 0);
    CHECK(options.seed < 0);
    CHECK(!options.exit_with_parent && !options.ignore_eos && !options.show_help && !options.show_version);
    CHECK_INT(options.log_level, ==, LOG_LEVEL_INFO);
    /* What llamaipc doctor takes a host for. */
    CHECK(options.n_streams == HUB_STREAMS_DEFAULT && options.request_size == HUB_REQUEST_SIZE_DEFAULT &&
          options.response_size == HUB_LOG_SIZE_DEFAULT);

    test_step("both spellings, with and without '='");
    CHECK_SAY(PARSE("-m", "a.gguf", "-c", "100", "-t", "3", "-ngl", "7", "-n", "9", "-s", "11"), "%s", message);
    CHECK_TEXT(options.model_path, "a.gguf");
    CHECK_INT(options.n_ctx, ==, 100);
    CHECK_INT(options.n_threads, ==, 3);
    CHECK_TEXT(options.n_gpu_layers, "7");
    CHECK_INT(options.n_predict, ==, 9);
    CHECK_INT(options.seed, ==, 11);
    CHECK_SAY(PARSE("--model=b=c.gguf", "--ctx-size=200", "--threads", "4", "--gpu-layers=8", "--predict", "10",
                    "--seed=4294967294", "--temp=0.25", "--min-p=0", "--top-p", "0.5", "--top-k=40", "--name=x.y-z_1",
                    "--log-level=debug", "--exit-with-parent", "--ignore-eos"),
              "%s", message);
    CHECK_TEXT(options.model_path, "b=c.gguf");
    CHECK_INT(options.n_ctx, ==, 200);
    CHECK_INT(options.seed, ==, 4294967294);
    CHECK(options.temperature == 0.25f && options.min_p == 0 && options.top_p == 0.5f);
    CHECK_INT(options.top_k, ==, 40);
    CHECK_TEXT(options.name, "x.y-z_1");
    CHECK_INT(options.log_level, ==, LOG_LEVEL_DEBUG);
    CHECK(options.exit_with_parent && options.ignore_eos);
    CHECK(PARSE("-n", "1", "-n", "2"));
    CHECK_INT(options.n_predict, ==, 2);

    test_step("the environment, and the command line over it");
    setenv("LLAMA_ARG_MODEL", "env.gguf", 1);
    setenv("LLAMA_ARG_CTX_SIZE", "300", 1);
    setenv("LLAMA_ARG_TEMPERATURE", "1.5", 1);
    setenv("LIPC_NAME", "from_env", 1);
    setenv("LIPC_LOG_LEVEL", "", 1); /* empty is unset */
    CHECK_SAY(PARSE("--name", "from_line"), "%s", message);
    CHECK_TEXT(options.model_path, "env.gguf");
    CHECK_INT(options.n_ctx, ==, 300);
    CHECK(options.temperature == 1.5f);
    CHECK_TEXT(options.name, "from_line");
    CHECK_INT(options.log_level, ==, LOG_LEVEL_INFO);
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);

    test_step("servers of the environment, or those of the command line, in their order");
    setenv("LIPC_REMOTE", "http://env", 1);
    CHECK_SAY(PARSE("--seed", "1"), "%s", message);
    CHECK_INT(options.remote.n_items, ==, 1);
    CHECK_TEXT(options.remote.items[0], "http://env");
    CHECK_SAY(PARSE("--remote", "http://a", "--remote=http://b"), "%s", message);
    CHECK_INT(options.remote.n_items, ==, 2);
    CHECK_TEXT(options.remote.items[0], "http://a");
    CHECK_TEXT(options.remote.items[1], "http://b");
    unsetenv("LIPC_REMOTE");

    test_step("a variable by its old name; by its new one first");
    setenv("LIPC_SLOTS", "3", 1);
    CHECK(PARSE("--seed", "1"));
    CHECK_INT(options.n_streams, ==, 3);
    setenv("LIPC_STREAMS", "5", 1);
    CHECK(PARSE("--seed", "1"));
    CHECK_INT(options.n_streams, ==, 5);
    setenv("LIPC_STREAMS", "", 1);
    setenv("LIPC_SLOTS", "none", 1);
    CHECK(!PARSE("--seed", "1") && strstr(message, "LIPC_SLOTS is 'none'"));
    unsetenv("LIPC_STREAMS");
    unsetenv("LIPC_SLOTS");

    test_step("sizes");
    CHECK(PARSE("--request-size", "5000", "--response-size", "2M"));
    CHECK_INT(options.request_size, ==, 5000);
    CHECK_INT(options.response_size, ==, 2 << 20);
    CHECK(PARSE("--request-size=64k"));
    CHECK_INT(options.request_size, ==, 64 << 10);
    CHECK_INT(options.response_size, ==, 1 << 20);

    test_step("bounds");
    CHECK(PARSE("--name", "012345678901234567890123456789012345678901234567890123456789012"));
    CHECK(!PARSE("--name", "0123456789012345678901234567890123456789012345678901234567890123"));
    static const char *const wrong[][2] = {{"-n", "2147483648"}, {"-n", "-2"}, {"-n", "1e3"}, {"-n", "0x10"},
                                           {"-c", "9223372036854775808"}, {"--seed", "4294967295"}, {"--temp", "-0.1"},
                                           {"--temp", "1,5"}, {"--top-p", "1.01"}, {"--name", "/x"}, {"--name", "\n"},
                                           {"--log-level", "INFO"}, {"--streams", "0"}, {"--streams", "1025"}, {"-np", "257"},
                                           {"--request-size", "4095"}, {"--request-size", "257M"},
                                           {"--response-size", "K"}, {"--response-size", "1MB"},
                                           {"--response-size", "-1M"}, {"--rate", "-1"}, {"--repeat-penalty", "0"}, {"--version", "--no"}, {"--helpme", NULL},
                                           {"--model", NULL}, {"-mfile", NULL}, {"--predic", "3"}, {"", NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_SAY(!PARSE(wrong[i][0], wrong[i][1]), "%s %s was accepted", wrong[i][0], wrong[i][1]);
        CHECK_SAY(message[0] != 0 && !strchr(message, '\n') , "the message of %s %s is \"%s\"", wrong[i][0],
                  wrong[i][1], message);
    }
    static char endless[5000];
    memset(endless, 'y', sizeof endless - 1);
    CHECK(!PARSE(endless));
    CHECK_INT(strlen(message), <, sizeof message);
    CHECK(!PARSE("--name", endless));
    CHECK_INT(strlen(message), <, sizeof message);

    test_step("help and manual tell the same options");
    char *help = NULL, *manual = NULL;
    size_t n_help, n_manual;
    FILE *file = open_memstream(&help, &n_help);
    host_options_print_help(file);
    fclose(file);
    file = open_memstream(&manual, &n_manual);
    host_options_print_manual(file);
    fclose(file);
    CHECK(strstr(help, "--ignore-eos") && strstr(manual, "\\-\\-ignore\\-eos"));
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        CHECK_SAY(strstr(manual, variables[i]) != NULL, "the manual does not tell %s", variables[i]);
    free(help);
    free(manual);
    return test_end();
}
