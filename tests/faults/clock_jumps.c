/* clock_jumps.c - a wall clock that jumps by hours at each look, for hosts and clients (jumping_clock.c): texts are whole,
 * and no wait ends early, nor later than it was asked to. */
#include "faults_test.h"

#include <semaphore.h>

enum { TIMEOUT_MS = 150, MUCH_LATER_MS = 10000 };

/* The call times out, and neither early nor hours later. */
#define CHECK_TIMES_OUT(call, code)                                                                                    \
    do {                                                                                                               \
        double begin_ = test_now_ms();                                                                                 \
        CHECK_LIPC(call, code);                                                                                        \
        double took_ = test_now_ms() - begin_;                                                                         \
        printf("  %.40s: %.0f ms\n", #call, took_);                                                                    \
        CHECK_SAY(took_ >= TIMEOUT_MS - 1, "%s ended %.1f ms early", #call, TIMEOUT_MS - took_);                       \
        CHECK_SAY(took_ < test_scaled(MUCH_LATER_MS), "%s took %.0f ms", #call, took_);                                \
    } while (0)

static void begin_again_with(const char *library, char *argv[]) {
    static char path[4200];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    path[n > 0 ? n : 0] = 0;
    strcpy(strrchr(path, '/') + 1, library);
    if (access(path, R_OK) != 0)
        test_skip("%s is not built: sanitizers do not like to be preloaded", path);
    setenv("LD_PRELOAD", path, 1);
    execv("/proc/self/exe", argv);
}

static void without_a_host(const char *instance) {
    lipc_client_options options;
    lipc_client *client;
    lipc_classic *handle;
    test_step("waiting for a host");
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = TIMEOUT_MS;
    CHECK_TIMES_OUT(lipc_client_open(&options, &client), LIPC_E_NO_HOST);
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_TIMES_OUT(lipc_classic_connect(handle, TIMEOUT_MS), LIPC_E_NO_HOST);
    lipc_classic_close(handle);
}

static void whole_texts(const char *instance, const script *script) {
    test_host host;
    lipc_classic *handle;
    test_step("whole texts at a rate");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "1000"));
    lipc_client *client = client_of(instance);
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    double begin = test_now_ms();
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    double least_ms = count_tokens(script->text) - 2.0, took_ms = test_now_ms() - begin;
    CHECK_SAY(took_ms >= least_ms, "%.0f ms for an answer of %.0f", took_ms, least_ms);
    CHECK_INT(progress_of(stream).generate_ns, <, 60000000000);
    check_classic_answer(handle, true, soon(), script);
    check_classic_answer(handle, false, soon(), script);
    lipc_stream_close(stream);
    lipc_classic_close(handle);
    lipc_client_close(client);
    end_undisturbed_host(&host, &segment);
}

static void time_outs(const char *instance, const script *script) {
    test_host host;
    lipc_classic *handle;
    lipc_classic_result result;
    lipc_delta delta;
    guide_client guide;
    size_t index;
    test_step("time-outs");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0.01"));
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), LIPC_E_OK);
    CHECK_TIMES_OUT(lipc_stream_read(stream, TIMEOUT_MS, &delta), LIPC_E_TIMEOUT);
    CHECK_TIMES_OUT(lipc_stream_wait_any(&stream, 1, TIMEOUT_MS, &index), LIPC_E_TIMEOUT);
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    CHECK_TIMES_OUT(lipc_classic_request(handle, NULL, "hello", TIMEOUT_MS, &result), LIPC_E_TIMEOUT);
    lipc_classic_close(handle);
    lipc_stream_close(stream);
    lipc_client_close(client);

    test_step("a turn that is taken and not used comes back after about a second");
    CHECK(guide_open(&guide, instance));
    CHECK(WAITED(SOON_MS, guide_value(guide.ready) > 0));
    double begin = test_now_ms();
    CHECK_INT(sem_trywait(guide.ready), ==, 0);
    CHECK(WAITED(SOON_MS, guide_value(guide.ready) > 0));
    printf("  %.0f ms\n", test_now_ms() - begin);
    CHECK(test_now_ms() - begin > 500);
    guide_close(&guide);
    kill(host.pid, SIGTERM);
    host_expect_exit(&host, 0, SOON_MS);
    segment_close(&segment);
    check_host_left_nothing(&host);
}

int main(int argc, char *argv[]) {
    char instance[64];
    (void)argc;
    const char *preloaded = getenv("LD_PRELOAD");
    if (!preloaded || !strstr(preloaded, "jumping_clock"))
        begin_again_with("libjumping_clock.so", argv);
    test_begin("clock_jumps", 60);
    CHECK_SAY(labs((long)(time(NULL) - time(NULL))) > 3600, "the clock does not jump");
    script script = script_new(1500);
    test_instance(instance, "clock");
    without_a_host(instance);
    whole_texts(instance, &script);
    time_outs(instance, &script);
    free(script.text);
    return test_end();
}
