/* default_names.c - the guide's own start: no arguments at all, the exact object names, and its debugging section: both
 * `ls` commands show the objects, and the host's output shows the lines it promises. */
#include "guide_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

static void run(const char *command, char output[4096]) {
    FILE *pipe = popen(command, "r");
    CHECK(pipe != NULL);
    size_t n = fread(output, 1, 4095, pipe);
    output[n] = 0;
    CHECK_SAY(pclose(pipe) == 0, "`%s` failed: %s", command, output);
}

int main(void) {
    test_begin("default_names", 60);
    /* The default names may be in use by a host of the person who runs the tests. */
    if (!test_private_shm("mode=1777") && objects_count("llama_cpp"))
        test_skip("objects of the default instance exist, and a private /dev/shm is not allowed here");

    test_step("start without arguments");
    test_host host;
    test_host_setup setup = {.no_instance = true};
    host_start_with(&host, "llama_cpp", &setup, NULL);
    guide_client client;
    guide_update update;
    attach(&client, &host);

    test_step("the exact names");
    static const char *const semaphores[] = {"/llama_cpp_sem_ready", "/llama_cpp_sem_prompts_written",
                                             "/llama_cpp_sem_response_written", "/llama_cpp_sem_chunk_ready"};
    for (int i = 0; i < 4; i++) {
        sem_t *semaphore = sem_open(semaphores[i], 0);
        CHECK_SAY(semaphore != SEM_FAILED, "%s: %s", semaphores[i], strerror(errno));
        sem_close(semaphore);
    }
    int fd = shm_open("/llama_cpp_shared_mem", O_RDWR, 0);
    CHECK(fd >= 0);
    close(fd);

    test_step("the debugging section: ls");
    char output[4096];
    run("ls -lh /dev/shm/llama_cpp_shared_mem", output);
    CHECK_SAY(strstr(output, "/dev/shm/llama_cpp_shared_mem"), "ls -lh shows: %s", output);
    run("ls -la /dev/shm/sem.llama_cpp_*", output);
    for (int i = 0; i < 4; i++)
        CHECK_SAY(strstr(output, semaphores[i] + 1) != NULL, "%s is missing in: %s", semaphores[i] + 1, output);

    test_step("the debugging section: the lines of a streaming request");
    CHECK(guide_stream(&client, "You are a helpful tutor", "Explain C++ pointers in detail", soon(), &update));
    CHECK_INT(update.n_bytes, >, 0);
    char *out = host_out(&host);
    const char *mode = strstr(out, "Stream Mode: Enabled\n");
    CHECK_SAY(mode && strstr(mode, "\nProcessing with streaming...\n"), "the output is: %s", out);
    CHECK_SAY(!strstr(out, "Stream Mode: Disabled"), "the output is: %s", out);
    free(out);

    test_step("the lines of a normal request");
    CHECK(guide_request(&client, NULL, QUESTION, soon(), &update));
    CHECK_INT(update.n_bytes, >, 0);
    out = host_out(&host);
    mode = strstr(out, "Stream Mode: Disabled\n");
    CHECK_SAY(mode && strstr(mode, "\nProcessing...\n"), "the output is: %s", out);
    free(out);

    test_step("shutdown removes the names");
    CHECK(guide_shutdown_politely(&client, soon()));
    host_expect_exit(&host, 0, SOON_MS);
    CHECK_INT(objects_count("llama_cpp"), ==, 0);
    guide_close(&client);
    return test_end();
}
