/* rows_processes.c - starting, dying and idling: what the host costs when it is not answering. */
#include "rows.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define N_STARTS 20
#define N_DEATHS 50
#define N_EMPTY 200
#define IDLE_S 3
#define START_LIMIT_S 30

/* The small model: what is measured here does not depend on the model. */
static const char *small_model(const bench_options *options) {
    return model_path(options, &bench_models[N_BENCH_MODELS - 1]);
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

/* From asking a host that answers to end until it is gone, as `kill` and service managers ask. */
static double stop_ms(const bench_options *options) {
    host_subject host;
    lipc_delta delta;
    replay_start(&host, options, replay_text(1000, NULL), 100, 4);
    lipc_client *client = modern_open(host.name, 0);
    lipc_stream *stream = modern_ask(client, true);
    if (lipc_stream_read(stream, -1, &delta) < 0)
        fail("an answer failed: %s", lipc_error_message());
    lipc_stream_cancel(stream); /* answers at hand are finished first */
    const int64_t start = now_ns();
    host_stop(&host);
    const double ms = (double)(now_ns() - start) / 1e6;
    lipc_stream_close(stream);
    lipc_client_close(client);
    return ms;
}

void rows_start(results *list, const bench_options *options) {
    static samples objects, ready, gone;
    objects.n = ready.n = gone.n = 0;
    for (int i = 0; i < N_STARTS; i++) {
        host_subject host;
        const int64_t start = now_ns();
        host_start(&host, options, small_model(options), -1);
        while (!host_open_objects(&host)) {
            if (now_ns() - start > START_LIMIT_S * 1000000000LL)
                fail("the host's objects did not appear within %d s", START_LIMIT_S);
            sleep_ns(20000);
        }
        samples_add(&objects, (double)(now_ns() - start) / 1e6);
        host_close_objects(&host);
        host_connect(&host);
        samples_add(&ready, (double)(now_ns() - start) / 1e6);
        host_stop(&host);
        samples_add(&gone, stop_ms(options));
    }
    results_add(list, "start.objects.median", samples_median(&objects), "ms", results_at_most(50),
                "start of the host to its five objects");
    results_add(list, "start.objects.max", samples_max(&objects), "ms", results_at_most(50), "the slowest of 20");
    results_add(list, "start.ready.median", samples_median(&ready), "ms", results_no_bar(),
                "start of the host to a connected client, model 0.3m");
    results_add(list, "stop.gone.median", samples_median(&gone), "ms", results_no_bar(),
                "SIGTERM to a host whose answer was just cancelled, until it is gone");
    results_add(list, "stop.gone.max", samples_max(&gone), "ms", results_at_most(1000), "the slowest of 20");
}

/* ---- death ------------------------------------------------------------------------------------------------------ */

/* A client that waits in a call of its own thread. */
typedef struct waiting_client {
    pthread_t thread;
    host_subject *host;
    bool streams;
    int result;
    int64_t returned_ns;
    int64_t cpu_ns;
} waiting_client;

static int ignore_update(void *user_data, const lipc_classic_result *update) {
    (void)user_data, (void)update;
    return 0;
}

static void *wait_for_answer(void *argument) {
    waiting_client *client = argument;
    const prompts prompts = make_prompts(0);
    lipc_classic *library = client->host->library;
    client->result = client->streams
                         ? lipc_classic_stream(library, prompts.system, prompts.user, -1, ignore_update, NULL, NULL)
                         : lipc_classic_request(library, prompts.system, prompts.user, -1, NULL);
    client->returned_ns = now_ns();
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    client->cpu_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    return NULL;
}

static void client_start(waiting_client *client, host_subject *host, bool streams) {
    *client = (waiting_client){.host = host, .streams = streams};
    if (pthread_create(&client->thread, NULL, wait_for_answer, client) != 0)
        fail("cannot start a thread");
}

void rows_death(results *list, const bench_options *options) {
    static samples request, stream, all;
    request.n = stream.n = all.n = 0;
    for (int i = 0; i < N_DEATHS; i++) {
        host_subject host;
        waiting_client client;
        host_start(&host, options, small_model(options), -1);
        host_connect(&host);
        wait_for_quiet(host.pid, 0);
        client_start(&client, &host, i % 2 == 1);
        sleep_ns(20000000 + i * 1137000LL); /* another phase of the client's wait each time */
        const int64_t killed = now_ns();
        kill(host.pid, SIGKILL);
        pthread_join(client.thread, NULL);
        if (client.result != LIPC_E_HOST_GONE)
            fail("a client whose host was killed got %s", lipc_error_name(client.result));
        const double ms = (double)(client.returned_ns - killed) / 1e6;
        samples_add(&all, ms);
        samples_add(client.streams ? &stream : &request, ms);
        host_bury(&host);
    }
    results_add(list, "death.median", samples_median(&all), "ms", results_at_most(10),
                "kill -9 of the host to the return of the waiting call");
    results_add(list, "death.max", samples_max(&all), "ms", results_at_most(10), "the slowest of 50");
    results_add(list, "death.request.median", samples_median(&request), "ms", results_no_bar(),
                "those in lipc_classic_request");
    results_add(list, "death.stream.median", samples_median(&stream), "ms", results_no_bar(),
                "those in lipc_classic_stream");
}

/* ---- idling ----------------------------------------------------------------------------------------------------- */

void rows_idle(results *list, const bench_options *options) {
    host_subject host;
    host_start(&host, options, model_path(options, &bench_models[0]), 512);
    host_connect(&host);

    static samples empty;
    empty.n = 0;
    for (int i = 0; i < N_EMPTY; i++) {
        const int64_t start = now_ns();
        if (lipc_classic_request(host.library, "", "", 10000, NULL) < 0)
            fail("an empty request failed: %s", lipc_error_message());
        samples_add(&empty, (double)(now_ns() - start) / 1e3);
        sleep_ns(1000000);
    }

    family_settle(host.pid);
    const int64_t before = family_cpu_ns(host.pid);
    sleep_ns(IDLE_S * 1000000000LL);
    const double idle_us = (double)(family_cpu_ns(host.pid) - before) / 1e3 / IDLE_S;

    waiting_client client;
    const int64_t start = now_ns();
    client_start(&client, &host, false);
    pthread_join(client.thread, NULL);
    if (client.result != LIPC_E_OK)
        fail("a request failed: %s", lipc_error_message());
    const double wait_us = (double)client.cpu_ns / 1e3 / ((double)(client.returned_ns - start) / 1e9);
    host_stop(&host);

    results_add(list, "idle.host_cpu", idle_us, "us/s", results_no_bar(),
                "processor time of an idle host in a second");
    results_add(list, "idle.client_cpu", wait_us, "us/s", results_no_bar(),
                "of a client in lipc_classic_request while it waits");
    results_add(list, "idle.empty_request", samples_median(&empty), "us", results_no_bar(),
                "round trip of a request with an empty prompt");
}
