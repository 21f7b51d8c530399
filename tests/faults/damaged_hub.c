/* damaged_hub.c - somebody writes over one word of a running host's hub. Until the host has mended it, within a second,
 * nobody says that the host is damaged, of another version, or dead: those who come wait for that. */
#include "../cli/cli_test.h"
#include "faults_test.h"

static const struct { const char *what; size_t offset, n_bytes; } words[] = {
    {"magic", offsetof(lipc_hub, magic), 8},
    {"layout_major", offsetof(lipc_hub, layout_major), 2},
    {"layout_minor", offsetof(lipc_hub, layout_minor), 2},
    {"host_pid", offsetof(lipc_hub, host_pid), 4},
    {"host_start_time", offsetof(lipc_hub, host_start_time), 8},
    {"segment_size", offsetof(lipc_hub, segment_size), 8},
    {"n_clients", offsetof(lipc_hub, n_clients), 4},
    {"streams_offset", offsetof(lipc_hub, streams_offset), 8},
    {"state", offsetof(lipc_hub, state), 4},
};

static void scribble(const segment *segment, size_t i) {
    memset((char *)hub_in(segment) + words[i].offset, 0xFF, words[i].n_bytes);
}

int main(void) {
    char instance[64];
    test_host host;
    cli cli;
    test_begin("damaged_hub", 100);
    test_instance(instance, "damaged");
    setenv("LIPC_NAME", instance, 1);
    script script = script_new(200);
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "0"));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        test_step("%s: attaching", words[i].what);
        scribble(&segment, i);
        lipc_client *client = client_of(instance);
        lipc_stream *stream = ask(client, "hello");
        check_whole(stream, &script);
        lipc_stream_close(stream);
        lipc_client_close(client);
        test_step("%s: llamaipc", words[i].what);
        scribble(&segment, i);
        RUN(&cli, CLI_EXIT_OK, NULL, "ask", "hello");
        CHECK_SAY(!strstr(cli.err, "started"), "another host was started: %s", cli.err);
        cli_free(&cli);
        scribble(&segment, i);
        RUN(&cli, CLI_EXIT_OK, NULL, "status");
        cli_free(&cli);
        scribble(&segment, i);
        RUN(&cli, CLI_EXIT_OK, NULL, "doctor");
        cli_free(&cli);
    }
    end_host(&host, &segment);
    free(script.text);
    return test_end();
}
