/* cancel.c - llamaipc cancel: ends one answer, whoever asked for it. */
#include "host.h"
#include "inspect.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER_DIGITS 5 /* more than LIPC_STREAMS_MAX has */

/* Whether the word is a stream's number, as status and top show it: 1 and up. */
static bool is_number(const char *word, uint32_t *number) {
    size_t n_digits = strspn(word, "0123456789");
    *number = n_digits <= NUMBER_DIGITS ? (uint32_t)strtoul(word, NULL, 10) : 0;
    return n_digits > 0 && n_digits <= NUMBER_DIGITS && word[n_digits] == 0;
}

/* The id of what is in a place now. False: it has been said that there is nothing to cancel; *code says with which. */
static bool find_id(const inspection *inspection, uint32_t number, char id[LIPC_STREAM_ID_SIZE], cli_exit *code) {
    inspected_stream stream;
    *code = CLI_EXIT_USAGE;
    if (number == 0 || number > inspection->view.at.n_streams) {
        terminal_fail("there is no stream %u: this host has 1 to %u", number, inspection->view.at.n_streams);
        return false;
    }
    if (!inspect_stream(inspection, number - 1, &stream)) {
        terminal_fail("stream %u is free: nothing is answered there", number);
        return false;
    }
    if (stream.progress.state == LIPC_STREAM_ENDED || stream.phase == LIPC_CLAIM_RELEASED) {
        terminal_say("stream %u has ended already", number);
        *code = CLI_EXIT_OK;
        return false;
    }
    memcpy(id, stream.id, LIPC_STREAM_ID_SIZE);
    return true;
}

static cli_exit cancel(const cli_options *options, const char *id) {
    lipc_client *client;
    cli_exit code = cli_host_find(options, &client);
    if (code != CLI_EXIT_OK) return code;
    if (!client) {
        terminal_fail("no host runs as '%s'", options->name);
        return CLI_EXIT_NO_HOST;
    }
    int error = lipc_client_cancel(client, id);
    code = CLI_EXIT_OK;
    if (error == LIPC_E_INVALID || error == LIPC_E_GONE) {
        terminal_fail("%s", error == LIPC_E_GONE ? lipc_error_message()
                                                 : "a stream is named by its number or by its id of 32 digits");
        code = CLI_EXIT_USAGE;
    } else if (error < 0) {
        code = cli_fail(error);
    }
    lipc_client_close(client);
    return code;
}

cli_exit cli_cancel(const cli_options *options) {
    char message[INSPECT_MESSAGE_SIZE], id[LIPC_STREAM_ID_SIZE];
    inspection inspection;
    uint32_t number;
    cli_exit code;
    if (!is_number(options->words[0], &number)) return cancel(options, options->words[0]);
    int error = inspect_open(&inspection, options->name, message);
    if (error < 0) {
        terminal_fail("%s", message);
        return cli_exit_for(error);
    }
    bool is_found = find_id(&inspection, number, id, &code);
    inspect_close(&inspection);
    return is_found ? cancel(options, id) : code;
}
