/* windows_kills.c - clients, workers and hosts killed at random moments, as often as the arguments say: what a killed client held
 * is free again, a killed worker costs a pause and not a byte, a killed host takes its worker along and the next one serves.
 *
 *     windows_kills CLIENTS WORKERS HOSTS        windows_kills --client INSTANCE: a client that reads until it is killed
 */
#include "../modern/modern_test.h"

#define WIN32_LEAN_AND_MEAN
#undef open
#undef close
#include <windows.h>

_Noreturn static void be_client(const char *instance) {
    for (;;) {
        lipc_client *client = client_of(instance);
        lipc_stream *stream = ask(client, "go on");
        lipc_delta delta;
        while (lipc_stream_read(stream, 1000, &delta) == 0 && delta.n_bytes > 0) {
        }
        lipc_stream_close(stream);
        lipc_client_close(client);
    }
}

static HANDLE start_client(const char *program, const char *instance) {
    char line[4096];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION started;
    snprintf(line, sizeof line, "\"%s\" --client %s", program, instance);
    CHECK(CreateProcessA(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &started));
    CloseHandle(started.hThread);
    return started.hProcess;
}

static void kill_clients(const char *program, const char *instance, const script *script, int n, uint64_t *seed) {
    test_host host;
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "2000"));
    test_step("%d kills of clients", n);
    for (int i = 0; i < n; i++) {
        HANDLE client = start_client(program, instance);
        test_pause_ms(test_random(seed, 60));
        TerminateProcess(client, 137);
        WaitForSingleObject(client, INFINITE);
        CloseHandle(client);
    }
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "whole");
    check_whole(stream, script);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void kill_workers(const char *instance, const script *script, int n, uint64_t *seed) {
    test_host host;
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "3000"));
    lipc_client *client = client_of(instance);
    int n_answers = 0;
    test_step("%d kills of workers", n);
    for (int i = 0; i < n; n_answers++) {
        lipc_stream *stream = ask(client, "whole");
        reading reading = {0};
        for (bool is_over = false; !is_over && i < n; i++) {
            size_t wanted = reading.n_bytes + 1 + test_random(seed, 400);
            while (reading.n_bytes < wanted && !(is_over = !read_some(stream, soon(), &reading))) {
            }
            pid_t worker = host_worker(&host);
            if (worker != host.pid) kill(worker, SIGKILL);
        }
        while (read_some(stream, soon(), &reading)) {
        }
        CHECK_SAY(reading.code == 0, "%s (%s) after %zu bytes", lipc_error_name(reading.code), lipc_error_message(),
                  reading.n_bytes);
        CHECK_INT(reading.n_bytes, ==, script->n_bytes);
        CHECK(memcmp(reading.text, script->text, script->n_bytes) == 0);
        free(reading.text);
        lipc_stream_close(stream);
    }
    lipc_client_close(client);
    end_host(&host, &segment);
    printf("%d answers, all whole\n", n_answers);
}

/* With a client that stays, so that the next host finds what the killed one left, and without one. */
static void kill_hosts(const char *instance, const script *script, int n, uint64_t *seed) {
    test_step("%d kills of hosts", n);
    for (int i = 0; i < n; i++) {
        test_host host;
        segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "300"));
        pid_t worker = host_worker(&host);
        lipc_client *client = client_of(instance);
        lipc_stream *stream = ask(client, "whole");
        reading reading = {0};
        read_until(stream, &reading, 1 + test_random(seed, 400));
        host_kill(&host);
        while (read_some(stream, soon(), &reading)) {
        }
        CHECK_INT(reading.code, ==, LIPC_E_HOST_GONE);
        CHECK(memcmp(reading.text, script->text, reading.n_bytes) == 0);
        free(reading.text);
        CHECK_SAY(WAITED(5000, kill(worker, SIGCONT) != 0), "the worker outlives its host");
        if (i % 2) {
            test_host next;
            struct segment found = host_ready(&next, instance, REPLAY(*script, "--rate", "0"));
            segment_close(&found);
            host_stop(&next);
        }
        lipc_stream_close(stream);
        lipc_client_close(client);
        segment_close(&segment);
    }
}

int main(int argc, char *argv[]) {
    char instance[64];
    uint64_t seed = 16;
    if (argc == 3 && strcmp(argv[1], "--client") == 0) be_client(argv[2]);
    test_begin("windows_kills", 600);
    script script = script_new(3000);
    test_instance(instance, "clients");
    kill_clients(argv[0], instance, &script, argc > 1 ? atoi(argv[1]) : 10, &seed);
    test_instance(instance, "workers");
    kill_workers(instance, &script, argc > 2 ? atoi(argv[2]) : 5, &seed);
    test_instance(instance, "hosts");
    kill_hosts(instance, &script, argc > 3 ? atoi(argv[3]) : 5, &seed);
    free(script.text);
    return test_end();
}
