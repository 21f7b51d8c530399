/* pull.c - llamaipc pull, models and rm: models by name. The host program does it, in this terminal; no host has to run. */
#include "commands.h"
#include "options.h"
#include "system.h"
#include "terminal.h"

#include "../platform/platform.h"
#include "../text/model_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PROGRAM "chatbot"

/* Runs the host program in the place of this one. */
static cli_exit become(const char *const *arguments) {
    char path[4096];
    if (plat_program_find(PROGRAM, path, sizeof path) < 0) {
        terminal_fail("there is no %s beside llamaipc or on the PATH: install it, or add its folder to PATH", PROGRAM);
        return CLI_EXIT_NO_HOST;
    }
    int code = system_become(path, arguments);
    if (code >= 0) return (cli_exit)code;
    terminal_fail("cannot start %s: %s", path, strerror(errno));
    return CLI_EXIT_FAILURE;
}

bool cli_model_name(const cli_options *options, char name[CLI_MODEL_NAME_SIZE]) {
    const char *word = options->hf_repo ? options->hf_repo : options->model_url ? options->model_url : options->words[0];
    bool is_hub = options->hf_repo || (word && !options->model_url && !model_name_is_one(word));
    model_name read;
    const char *wrong;
    int n_given = options->n_words + (options->hf_repo != NULL) + (options->model_url != NULL);
    if (n_given != 1) {
        terminal_fail(n_given == 0 ? "which model? Give USER/MODEL[:QUANT] or an address" : "give one model, not several");
        return false;
    }
    int length = snprintf(name, CLI_MODEL_NAME_SIZE, "%s%s", is_hub ? MODEL_NAME_HUB : "", word);
    if (length < CLI_MODEL_NAME_SIZE && model_name_read(name, &read, &wrong)) return true;
    char shown[OPTIONS_SHOWN_SIZE];
    terminal_fail("'%s' is no name of a model: %s", options_shown(word, shown), length < CLI_MODEL_NAME_SIZE ? wrong : "it is too long");
    return false;
}

cli_exit cli_pull(const cli_options *options) {
    char name[CLI_MODEL_NAME_SIZE];
    if (!cli_model_name(options, name)) return CLI_EXIT_USAGE;
    return become((const char *const[]){PROGRAM, "--pull", "--model", name, NULL});
}

cli_exit cli_models(const cli_options *options) {
    (void)options;
    return become((const char *const[]){PROGRAM, "--cache-list", NULL});
}

cli_exit cli_rm(const cli_options *options) {
    char name[CLI_MODEL_NAME_SIZE];
    if (!cli_model_name(options, name)) return CLI_EXIT_USAGE;
    return become((const char *const[]){PROGRAM, "--cache-remove", name, NULL});
}
