/* small_shm.c - a /dev/shm of 64 MB, as Docker gives a container: one host fits, and serves also when the rest is full. That
 * a second one does not fit is said before it is started, and by itself. Needs a private mount namespace (root). */
#include "../cli/cli_test.h"
#include "faults_test.h"

static char instance[64];
static script story;

static void check_served(void) {
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, &story);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

/* The doctor, about the host that is there and about one of another name that is not. */
static void check_doctor(void) {
    cli cli;
    RUN(&cli, CLI_EXIT_OK, NULL, "doctor");
    CHECK_SAY(strstr(cli.out, "a second one reserves") && strstr(cli.out, "--shm-size") && strstr(cli.out, "--streams"),
              "it says: %s", cli.out);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_WRONG, NULL, "doctor", "--name", "lipctest_second");
    CHECK_SAY(strstr(cli.out, "memory-full") && strstr(cli.out, "--shm-size") && strstr(cli.out, "--streams"),
              "it says: %s", cli.out);
    cli_free(&cli);
}

static void check_second_host(void) {
    test_host second;
    host_start_with(&second, "lipctest_second", NULL, REPLAY(story, "--rate", "0"));
    host_expect_exit(&second, 6, SOON_MS);
    char *err = host_err(&second);
    CHECK_SAY(strstr(err, "--streams") && strstr(err, "--shm-size"), "it says: %s", err);
    free(err);
    CHECK_INT(objects_count("lipctest_second"), ==, 0);
}

int main(void) {
    test_host host;
    test_begin("small_shm", 60);
    if (geteuid() != 0 || !test_private_shm("mode=1777,size=64m"))
        test_skip("a /dev/shm of one's own is not allowed here");
    test_instance(instance, "small");
    setenv("LIPC_NAME", instance, 1);
    story = script_new(1500);
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "0"));
    test_step("one host has its memory");
    check_doctor();
    check_second_host();
    check_served();
    test_step("the rest is full");
    char block[65536] = {0};
    int fd = open("/dev/shm/ballast", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    close(fd);
    check_doctor();
    check_second_host();
    check_served();
    CHECK(unlink("/dev/shm/ballast") == 0);
    test_step("a smaller one fits beside it");
    test_host second;
    segment_close(&segment);
    segment = host_ready(&second, "lipctest_second", REPLAY(story, "--rate", "0", "--streams", "2"));
    end_host(&second, &segment);
    check_served();
    host_stop(&host);
    free(story.text);
    return test_end();
}
