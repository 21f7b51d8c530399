/* busy_neighbours.c - a host evaluates with fewer threads while other programs use the processors, with all of them afterwards, and
 * with one less while it turns a long text into tokens beside answers; it looks at nobody where the number was given, or where
 * bytes must not depend on it. What other programs use is a file of this test's, in place of the system's. */
#include "../modern/modern_test.h"

#include "platform/platform.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char stat_path[256];

/* Each processor has worked for so long. */
static void write_stat(unsigned long long n_ticks) {
    FILE *file = fopen(stat_path, "we");
    CHECK(file != NULL);
    fprintf(file, "cpu  1 0 0 0 0 0 0 0 0 0\n");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) fprintf(file, "cpu%d %llu 0 0 0 0 0 0 0 0 0\n", cpu, n_ticks);
    CHECK(fclose(file) == 0);
}

static bool has_said(const test_host *host, const char *words) {
    char *said = host_err(host);
    bool found = strstr(said, words) != NULL;
    free(said);
    return found;
}

static void follows(const char *instance, const char *model, int n_cores) {
    test_host host;
    char all[64];
    reading text = {0};
    test_step("neighbours come and go");
    snprintf(all, sizeof all, "evaluating with %d threads", n_cores);
    write_stat(1000);
    segment segment = host_ready(&host, instance, (const char *const[]){"-m", model, "--context-shift", "--log-level", "debug", NULL});
    CHECK_INT(hub_in(&segment)->n_threads, ==, n_cores);
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask_endless(client);
    read_until(stream, &text, 1);
    CHECK(!has_said(&host, "evaluating with"));
    /* They go on: the host leaves out what it was kept from looking at in time. */
    for (unsigned long long n_ticks = 1000000000ull; !has_said(&host, "evaluating with 1 thread\n"); n_ticks += 1000000000ull) {
        write_stat(n_ticks);
        read_until(stream, &text, text.n_bytes + 1);
    }
    CHECK(WAITED(SOON_MS, (read_until(stream, &text, text.n_bytes + 1), has_said(&host, all))));
    free(text.text);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* As a prompt: refused in the end, since no prompt may be so long. */
static void gives_the_tokenizer_one(const char *instance, const char *model, int n_cores) {
    enum { N_BYTES = 1 << 20 };
    test_host host;
    char fewer[64], all[64];
    reading text = {0};
    lipc_delta delta;
    test_step("a long text becomes tokens beside an answer");
    snprintf(fewer, sizeof fewer, "long texts become tokens: evaluating with %d thread%s\n", n_cores - 1, n_cores == 2 ? "" : "s");
    snprintf(all, sizeof all, "any more: evaluating with %d threads\n", n_cores);
    write_stat(1000);
    segment segment = host_ready(&host, instance, (const char *const[]){"-m", model, "--context-shift", "-np", "2", "--request-size", "2M",
                                                                        "--log-level", "debug", NULL});
    lipc_client *client = client_of(instance);
    char *long_text = malloc(N_BYTES + 1);
    CHECK(long_text != NULL);
    for (int i = 0; i < N_BYTES; i++) long_text[i] = "a word "[i % 7];
    long_text[N_BYTES] = 0;
    lipc_stream *alone = ask(client, long_text);
    CHECK_INT(lipc_stream_read(alone, SOON_MS, &delta), ==, LIPC_E_REFUSED);
    lipc_stream_close(alone);
    CHECK(!has_said(&host, "become tokens"));
    lipc_stream *running = ask_endless(client);
    read_until(running, &text, 1);
    lipc_stream *refused = ask(client, long_text);
    free(long_text);
    CHECK(WAITED(SOON_MS, (read_until(running, &text, text.n_bytes + 1), has_said(&host, fewer))));
    CHECK(WAITED(SOON_MS, (read_until(running, &text, text.n_bytes + 1), has_said(&host, all))));
    CHECK_INT(lipc_stream_read(refused, SOON_MS, &delta), ==, LIPC_E_REFUSED);
    free(text.text);
    lipc_stream_close(refused);
    lipc_stream_close(running);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* Whoever opens a pipe to read from it waits until somebody writes. */
static void looks_at_nobody(const char *instance, const char *model, const char *option, const char *value) {
    test_host host;
    test_step("%s: it does not look", option);
    segment segment = host_ready(&host, instance, (const char *const[]){"-m", model, option, value, NULL});
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "What is C++?");
    reading text = read_to_end(stream);
    CHECK_INT(text.n_bytes, >, 0);
    free(text.text);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

int main(void) {
    char instance[64], model[4096];
    test_begin("busy_neighbours", 100);
    int n_cores = plat_core_count();
    if (n_cores < 2)
        test_skip("this machine, or this test, has one core");
    if (!test_private_shm("mode=1777"))
        test_skip("a mount namespace of one's own is not allowed here");
    test_instance(instance, "neighbours");
    test_model_path(model, "tutor.gguf");
    snprintf(stat_path, sizeof stat_path, "/dev/shm/stat");
    write_stat(0);
    if (mount(stat_path, "/proc/stat", NULL, MS_BIND, NULL) != 0)
        test_skip("nothing can be put in place of /proc/stat here");
    follows(instance, model, n_cores);
    gives_the_tokenizer_one(instance, model, n_cores);
    CHECK(umount("/proc/stat") == 0 && mkfifo("/dev/shm/nobody_writes", 0600) == 0);
    CHECK(mount("/dev/shm/nobody_writes", "/proc/stat", NULL, MS_BIND, NULL) == 0);
    looks_at_nobody(instance, model, "--threads", "2");
    looks_at_nobody(instance, model, "--repeatable", NULL);
    CHECK(umount("/proc/stat") == 0 && unlink("/dev/shm/nobody_writes") == 0 && unlink(stat_path) == 0);
    return test_end();
}
