/* bench.c - llamaipc bench is not for this system yet: it measures with copies of its own process. */
#include "../commands.h"
#include "../terminal.h"

cli_exit cli_bench(const struct cli_options *options) {
    (void)options;
    terminal_fail("there is no bench for Windows yet");
    return CLI_EXIT_FAILURE;
}
