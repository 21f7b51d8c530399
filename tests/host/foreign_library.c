/* foreign_library.c - a library of the same name as one of the inference library's lies on LD_LIBRARY_PATH, as after an
 * installation of another program: the host works with the one that it was built with. */
#include "host_test.h"

/* LIPC_DECOY_FOLDER holds a libggml-base.so without any function. */
static void look_there_first(void *nothing) {
    (void)nothing;
    setenv("LD_LIBRARY_PATH", LIPC_DECOY_FOLDER, 1);
}

int main(void) {
    char instance[64];
    test_host host;
    test_host_setup setup = {.before_exec = look_there_first};
    guide_client client;
    test_begin("foreign_library", 60);
    test_instance(instance, "library");

    test_step("its version");
    host_start_with(&host, instance, &setup, (const char *const[]){"--version", NULL});
    host_expect_exit(&host, 0, SOON_MS);
    char *out = host_out(&host);
    CHECK_SAY(strstr(out, "libllama") != NULL, "no version in: %s", out);
    free(out);

    test_step("an answer");
    host_start_with(&host, instance, &setup, (const char *const[]){NULL});
    attach(&client, &host);
    check_serves(&client);
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
