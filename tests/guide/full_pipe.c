/* full_pipe.c - clients redirect the host's output and never read it: a pipe that is full, or whose reader has died,
 * neither stops the host nor ends it. */
#include "guide_test.h"

#include <errno.h>
#include <fcntl.h>

static void fill_pipe(int fd) {
    static const char block[4096];
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (write(fd, block, sizeof block) > 0)
        ;
    while (write(fd, block, 1) > 0)
        ;
    CHECK_INT(errno, ==, EAGAIN);
    fcntl(fd, F_SETFL, 0); /* the host inherits the description, and must not depend on its being non-blocking */
}

static void serve(const char *instance, int requests) {
    test_host host = {0};
    guide_client client;
    guide_update update;
    snprintf(host.instance, sizeof host.instance, "%s", instance);
    attach(&client, &host);
    for (int i = 0; i < requests; i++)
        CHECK(i % 2 ? guide_request(&client, NULL, QUESTION, soon(), &update)
                    : guide_stream(&client, NULL, QUESTION, soon(), &update));
    CHECK_INT(update.n_bytes, >, 0);
    guide_close(&client);
}

int main(void) {
    test_begin("full_pipe", 120);
    for (int closed = 0; closed < 2; closed++) {
        char instance[64];
        int out[2], err[2];
        test_host host;
        test_step("%s", closed ? "the reader has died" : "full from the start");
        CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
        test_host_setup setup = {.out_fd = out[1], .err_fd = err[1]};
        if (closed) { /* with room in it, so that a write would raise SIGPIPE */
            close(out[0]);
            close(err[0]);
        } else {
            fill_pipe(out[1]);
            fill_pipe(err[1]);
        }
        test_instance(instance, "pipe");
        static const char *const arguments[] = {"-n", "5", "--log-level", "debug", NULL};
        host_start_with(&host, instance, &setup, arguments);
        serve(instance, 30);
        /* Others share the description: a terminal left non-blocking breaks the programs that come after. */
        CHECK_INT(fcntl(out[1], F_GETFL) & O_NONBLOCK, ==, 0);
        CHECK_INT(fcntl(err[1], F_GETFL) & O_NONBLOCK, ==, 0);
        host_stop(&host);
        for (int i = closed; i < 2; i++) {
            close(out[i]);
            close(err[i]);
        }
    }

    test_step("full after a while");
    char instance[64];
    int both[2];
    test_host host;
    CHECK(pipe2(both, O_CLOEXEC) == 0);
    fcntl(both[1], F_SETPIPE_SZ, 4096);
    test_host_setup setup = {.out_fd = both[1], .err_fd = both[1]};
    static const char *const arguments[] = {"-n", "5", "--log-level", "debug", NULL};
    test_instance(instance, "fills");
    host_start_with(&host, instance, &setup, arguments);
    serve(instance, 300);
    host_stop(&host);

    test_step("no output at all");
    int null = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK(null >= 0);
    test_host_setup nowhere = {.out_fd = null, .err_fd = null};
    host_start_with(&host, instance, &nowhere, arguments);
    serve(instance, 10);
    host_stop(&host);
    return test_end();
}
