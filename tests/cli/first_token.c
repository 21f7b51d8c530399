/* first_token.c - llamaipc ask hands each token on when it comes: the first one is on standard output while the host stands
 * still behind it. How soon is the benchmark's (ask.first).
 */
#include "cli_test.h"

#include <poll.h>

static void first_of(const char *instance, const script *script, const char *format) {
    cli cli;
    char byte;
    test_host host;
    test_step("ask %s", format);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "5"));
    cli_start(&cli, NULL, true, (const char *const[]){"ask", "What is C++?", format, NULL});
    CHECK(WAITED(SOON_MS, n_published(stream_in(&segment, 0)) > 0));
    host_pause(&host);
    CHECK_SAY(state_of(stream_in(&segment, 0)) == LIPC_STREAM_GENERATING, "the answer has ended");
    struct pollfd output = {.fd = cli.out_fd, .events = POLLIN};
    CHECK_SAY(poll(&output, 1, soon()) == 1, "nothing on standard output, though the host has published text");
    CHECK_INT(read(cli.out_fd, &byte, 1), ==, 1);
    host_resume(&host);
    kill(cli.pid, SIGTERM);
    CHECK(WAITED(SOON_MS, cli_has_ended(&cli)));
    close(cli.in_fd);
    close(cli.out_fd);
    close(cli.err_fd);
    CHECK(WAITED(SOON_MS, streams_in_use(&segment) == 0));
    end_host(&host, &segment);
}

int main(void) {
    char instance[64];
    test_begin("first_token", 60);
    test_instance(instance, "first");
    setenv("LIPC_NAME", instance, 1);
    script script = script_new(3000);
    first_of(instance, &script, "-q");
    first_of(instance, &script, "--json");
    free(script.text);
    return test_end();
}
