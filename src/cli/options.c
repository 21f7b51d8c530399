/* options.c - see options.h. */
#include "options.h"

#include "commands.h"

#include "lipc/layout.h"

#define FIELD(name) offsetof(cli_options, name)
#define EVERYWHERE 0u

static const option_spec specs[] = {
    {NULL, "--wait", NULL, NULL, NULL, OPTION_FLAG, FIELD(wait), 0, 0, NULL,
     "wait until there is a host that has loaded its model", false, CLI_BIT(STATUS), NULL},
    {NULL, "--json", NULL, NULL, NULL, OPTION_FLAG, FIELD(json), 0, 0, NULL, "JSON, for programs", false,
     CLI_BIT(STATUS), NULL},
    {NULL, "--timeout", NULL, "S", NULL, OPTION_INTEGER, FIELD(timeout_s), -1, 1000000, "-1",
     "seconds that it may take at most; -1: any time", false, CLI_BIT(STATUS) | CLI_BIT(STOP), NULL},
    {NULL, "--name", NULL, "X", "LIPC_NAME", OPTION_NAME, FIELD(name), 0, 0, LIPC_DEFAULT_NAME,
     "instance: which host", false, EVERYWHERE, NULL},
    {NULL, "--version", NULL, NULL, NULL, OPTION_FLAG, FIELD(show_version), 0, 0, NULL, "the version, and end", true,
     EVERYWHERE, NULL},
    {"-h", "--help", NULL, NULL, NULL, OPTION_FLAG, FIELD(show_help), 0, 0, NULL, "this text, and end", false,
     EVERYWHERE, NULL},
};

option_table cli_option_table(const char *program) {
    return (option_table){program, specs, sizeof specs / sizeof specs[0]};
}

void cli_options_init(cli_options *options) {
    *options = (cli_options){
        .n_ctx = LIPC_INT_DEFAULT, .n_threads = LIPC_INT_DEFAULT, .n_gpu_layers = LIPC_INT_DEFAULT};
    lipc_request_init(&options->request);
}
