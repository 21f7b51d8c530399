/* stop.c - llamaipc stop: ends the host, after the answers that it is making. */
#include "host.h"
#include "inspect.h"
#include "terminal.h"

cli_exit cli_stop(const cli_options *options) {
    inspection inspection;
    inspected_host host;
    char message[INSPECT_MESSAGE_SIZE];
    lipc_client *client;
    int n_running = 0;
    if (inspect_open(&inspection, options->name, message) == LIPC_E_OK) {
        inspect_host(&inspection, &host);
        n_running = host.status.n_running;
        inspect_close(&inspection);
    }
    cli_exit code = cli_host_find(options, &client);
    if (code != CLI_EXIT_OK) return code;
    if (!client) {
        terminal_fail("no host runs as '%s'", options->name);
        return CLI_EXIT_NO_HOST;
    }
    if (n_running > 0)
        terminal_say("waiting for %d answer%s to be finished; the host ends then, also if you do not wait", n_running,
                     n_running == 1 ? "" : "s");
    int error = lipc_client_shutdown(client, options->timeout_s < 0 ? -1 : options->timeout_s * 1000);
    if (error == LIPC_E_NO_HOST) error = LIPC_E_OK; /* it went by itself */
    code = error < 0 ? cli_fail(error) : CLI_EXIT_OK;
    lipc_client_close(client);
    return code;
}
