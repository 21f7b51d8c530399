/* stop.c - llamaipc stop: ends the host, after the answers that it is making. It needs no place among the host's clients,
 * which may all be taken. */
#include "host.h"
#include "inspect.h"
#include "terminal.h"

#include "../channel/names.h"

#include <string.h>

/* A host that is just beginning is waited for. */
#define BEGIN_MS 10000
/* How often it is looked whether the host is still there. */
#define SLICE_MS 5

static int find(inspection *inspection, const char *name, char message[INSPECT_MESSAGE_SIZE]) {
    uint64_t deadline_ns = plat_deadline_ns(BEGIN_MS);
    int error;
    while ((error = inspect_open(inspection, name, message)) == LIPC_E_TIMEOUT && plat_clock_ns() < deadline_ns)
        plat_pause_ms(SLICE_MS);
    return error;
}

/* Asks the host that was found to end. False: it is there no more. */
static bool ask_to_end(const inspection *inspection, const char *name, plat_segment **segment) {
    char object[NAMES_OBJECT_SIZE];
    hub_view view = inspection->view;
    names_object(object, name, LIPC_SUFFIX_SEGMENT);
    if (plat_segment_open(object, view.at.segment_size, segment) < 0) return false;
    view.base = plat_segment_base(*segment);
    if (plat_segment_owner_pid(*segment) != inspection->identity.host_pid) return false;
    hub_request_shutdown(&view);
    plat_doorbell_ring(hub_bell(&hub_of(&view)->bell), PLAT_BELL_ALL);
    return true;
}

static cli_exit end(const cli_options *options, const inspection *inspection) {
    plat_segment *segment = NULL;
    inspected_host host;
    uint64_t deadline_ns = cli_deadline(options);
    int pid = inspection->identity.host_pid;
    inspect_host(inspection, &host);
    if (!ask_to_end(inspection, options->name, &segment)) {
        plat_segment_close(segment);
        return CLI_EXIT_OK; /* it went by itself */
    }
    if (host.status.n_running > 0)
        terminal_say("waiting for %d answer%s to be finished; the host ends then, also if you do not wait",
                     host.status.n_running, host.status.n_running == 1 ? "" : "s");
    while (plat_segment_owner_pid(segment) == pid && plat_clock_ns() < deadline_ns) plat_pause_ms(SLICE_MS);
    bool is_gone = plat_segment_owner_pid(segment) != pid;
    plat_segment_close(segment);
    if (is_gone) return CLI_EXIT_OK;
    terminal_fail("the host of '%s', process %d, did not end within %d s", options->name, pid, options->timeout_s);
    return CLI_EXIT_TIMEOUT;
}

cli_exit cli_stop(const cli_options *options) {
    inspection inspection;
    char message[INSPECT_MESSAGE_SIZE];
    int error = find(&inspection, options->name, message);
    if (error < 0) {
        terminal_fail("%s", message);
        return cli_exit_for(error);
    }
    if (!inspection.is_alive) terminal_fail("no host runs as '%s'", options->name);
    cli_exit code = inspection.is_alive ? end(options, &inspection) : CLI_EXIT_NO_HOST;
    inspect_close(&inspection);
    return code;
}
