/* readiness.c - a client attaches while the host is still loading: it sees how far, its requests wait and are then
 * served; a host that is told to end finishes what it has and takes nothing new. */
#include "modern_test.h"

typedef struct seen {
    int n_calls, n_loading, last_per_mille, last_state, stop_after;
} seen;

static int on_status(void *user_data, const lipc_host_status *status) {
    seen *seen = user_data;
    seen->n_calls++;
    CHECK_INT(status->load_per_mille, >=, 0);
    CHECK_INT(status->load_per_mille, <=, 1000);
    CHECK_SAY(status->state > seen->last_state || status->load_per_mille >= seen->last_per_mille,
              "state %d, %d after state %d, %d", status->state, status->load_per_mille, seen->last_state,
              seen->last_per_mille);
    CHECK_SAY(status->state != seen->last_state || status->load_per_mille != seen->last_per_mille,
              "called without a change: state %d, %d", status->state, status->load_per_mille);
    seen->n_loading += status->state == LIPC_HOST_LOADING;
    seen->last_per_mille = status->load_per_mille;
    seen->last_state = status->state;
    return seen->n_calls == seen->stop_after;
}

static void loading(const char *instance) {
    test_host host;
    segment segment;
    seen seen = {.last_per_mille = -1};
    bool is_caught = false;
    lipc_delta delta;
    lipc_host_status status;
    test_step("attached while it loads");
    for (int i = 0; i < 100 && !is_caught; i++)
        is_caught = catch_loading(&host, instance, EMBEDDED("-np", "1", "-n", "100"), &segment);
    CHECK_SAY(is_caught, "the host is never seen loading");
    lipc_client *client = client_of(instance);
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    CHECK_INT(status.state, ==, LIPC_HOST_LOADING);
    CHECK_INT(status.host_pid, ==, host.pid);
    CHECK_INT(status.n_ctx, ==, 0);
    CHECK_INT(status.request_size, ==, 256 * 1024);
    CHECK_INT(status.response_size, ==, 1024 * 1024);
    CHECK_LIPC(lipc_client_wait_ready(client, 20, NULL, NULL), LIPC_E_TIMEOUT);
    lipc_stream *first = ask(client, QUESTION), *second = ask(client, QUESTION);
    CHECK_LIPC(lipc_stream_read(first, 20, &delta), LIPC_E_TIMEOUT);
    CHECK_INT(progress_of(first).state, ==, LIPC_STREAM_QUEUED);
    host_resume(&host);
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), on_status, &seen), LIPC_E_OK);
    printf("  %d changes seen, %d of them while loading\n", seen.n_calls, seen.n_loading);
    CHECK_INT(seen.n_calls, >, 0);
    CHECK_INT(seen.last_state, ==, LIPC_HOST_READY);
    reading one = read_to_end(first);
    CHECK_INT(one.code, ==, 0);
    CHECK_INT(one.n_bytes, >, 0);
    check_answer(second, one.text, one.n_bytes);
    free(one.text);

    /* Once ready it stays so, and the facts are there. */
    CHECK_LIPC(lipc_client_wait_ready(client, 0, NULL, NULL), LIPC_E_OK);
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    CHECK_SAY((status.model_path[0] == '/' || status.model_path[1] == ':') && strstr(status.model_path, ".gguf"), "'%s'", status.model_path);
    /* A program that knows less of the structure, and one that knows more. */
    struct { lipc_host_status status; char more[8]; } larger = {.more = "1234567"};
    lipc_host_status smaller = {.host_version = "old"};
    CHECK_LIPC(lipc_client_status_sized(client, &smaller, offsetof(lipc_host_status, host_version)), LIPC_E_OK);
    CHECK_INT(smaller.n_ctx, ==, status.n_ctx);
    CHECK_TEXT(smaller.host_version, "old");
    CHECK_LIPC(lipc_client_status_sized(client, &larger.status, sizeof larger), LIPC_E_OK);
    CHECK_TEXT(larger.status.model_path, status.model_path);
    CHECK_INT(larger.more[0], ==, 0);
    CHECK_INT(status.load_per_mille, ==, 1000);
    CHECK_INT(status.n_ctx, >, 0);
    CHECK_INT(status.n_vocab, ==, 1376);
    CHECK_INT(status.n_parallel, ==, 1);
    CHECK_INT(status.n_streams, ==, 8);
    CHECK_INT(status.n_clients, ==, 1);
    CHECK_INT(status.n_parameters, ==, 1029248);
    CHECK_INT(strlen(status.model), >, 0);
    CHECK_INT(strlen(status.host_version), >, 0);
    lipc_stream_close(first);
    lipc_stream_close(second);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* At once, not when the model is there. A host that is ready before we look is started again. */
static void cancelled_while_loading(const char *instance) {
    bool was_loading = false;
    test_step("cancelled while it loads");
    for (int i = 0; i < 100 && !was_loading; i++) {
        test_host host;
        segment segment;
        lipc_delta delta;
        if (!catch_loading(&host, instance, EMBEDDED("-n", "5"), &segment))
            continue;
        lipc_client *client = client_of(instance);
        lipc_stream *given_up = ask(client, QUESTION), *kept = ask(client, QUESTION), *closed = ask(client, QUESTION);
        lipc_stream_cancel(given_up);
        lipc_stream_close(closed);
        host_resume(&host);
        CHECK_LIPC(lipc_stream_read(given_up, soon(), &delta), LIPC_E_CANCELLED);
        was_loading = WAITED(2, NOW(hub_in(&segment)->n_queued) == 1) && streams_in_use(&segment) == 2 &&
                      hub_state(&segment) == LIPC_HUB_LOADING;
        reading text = read_to_end(kept);
        CHECK_INT(text.code, ==, 0);
        free(text.text);
        lipc_stream_close(given_up);
        lipc_stream_close(kept);
        lipc_client_close(client);
        end_host(&host, &segment);
    }
    CHECK_SAY(was_loading, "it never came before the model");
}

/* There never is a model: who waits is told so, and does not have to find out that the host is gone. */
static void ended_while_loading(const char *instance) {
    test_host host;
    segment segment;
    lipc_delta delta;
    bool is_caught = false;
    test_step("told to end while it loads");
    for (int i = 0; i < 100 && !is_caught; i++)
        is_caught = catch_loading(&host, instance, EMBEDDED("-n", "5"), &segment);
    CHECK_SAY(is_caught, "the host is never seen loading");
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, QUESTION);
    kill(host.pid, SIGTERM);
    host_resume(&host);
    CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), LIPC_E_HOST_GONE);
    CHECK_INT(progress_of(stream).end, ==, LIPC_END_HOST_ENDED);
    host_expect_exit(&host, 0, SOON_MS);
    lipc_stream_close(stream);
    lipc_client_close(client);
    segment_close(&segment);
}

/* All of the way, unless it is too fast for us. */
static void all_the_way(const char *instance) {
    int most = 0;
    test_step("load progress");
    for (int i = 0; i < 5; i++) {
        test_host host;
        seen seen = {.last_per_mille = -1};
        host_start(&host, instance, NULL);
        segment segment = segment_of(instance, host.pid, LIPC_HUB_STARTING);
        segment_close(&segment);
        lipc_client *client = client_of(instance);
        CHECK_LIPC(lipc_client_wait_ready(client, soon(), on_status, &seen), LIPC_E_OK);
        CHECK_INT(seen.last_state, ==, LIPC_HOST_READY);
        CHECK_INT(seen.last_per_mille, ==, 1000);
        most = seen.n_loading > most ? seen.n_loading : most;
        lipc_client_close(client);
        host_stop(&host);
    }
    printf("  %d steps seen at best\n", most); /* a small model may be there before we look */
}

static void cancelled_by_callback(const char *instance) {
    test_host host;
    segment segment;
    seen seen = {.last_per_mille = -1, .stop_after = 1};
    bool is_caught = false;
    test_step("the callback ends the waiting");
    for (int i = 0; i < 100 && !is_caught; i++)
        is_caught = catch_loading(&host, instance, EMBEDDED("-n", "5"), &segment);
    lipc_client *client = client_of(instance);
    host_resume(&host);
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), on_status, &seen), LIPC_E_CANCELLED);
    CHECK_INT(seen.n_calls, ==, 1);
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* SIGTERM and a client's request to end mean the same: what runs is finished, what waits is not, nothing new is taken. */
static void ending(const char *instance, const script *script) {
    for (int way = 0; way < 2; way++) {
        test_host host;
        reading text = {0};
        lipc_delta delta;
        lipc_stream *late;
        lipc_host_status status;
        test_step("told to end by %s", way ? "a signal" : "a client");
        segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "200", "-np", "1"));
        lipc_client *client = client_of(instance), *other = client_of(instance);
        lipc_stream *running = ask(client, "runs"), *queued = ask(client, "waits");
        read_until(running, &text, 1);
        if (way)
            kill(host.pid, SIGTERM);
        else
            CHECK_LIPC(lipc_client_shutdown(other, 0), LIPC_E_TIMEOUT);
        CHECK_LIPC(lipc_stream_read(queued, soon(), &delta), LIPC_E_HOST_GONE);
        CHECK_INT(progress_of(queued).end, ==, LIPC_END_HOST_ENDED);
        CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
        CHECK_INT(status.state, ==, LIPC_HOST_ENDING);
        late = ask(other, "too late");
        CHECK_LIPC(lipc_stream_read(late, soon(), &delta), LIPC_E_HOST_GONE);
        CHECK_INT(text.n_bytes, <, script->n_bytes);
        read_until(running, &text, script->n_bytes);
        CHECK_TEXT(text.text, script->text);
        CHECK(!read_some(running, soon(), &text));
        CHECK_INT(text.code, ==, 0);
        host_expect_exit(&host, 0, SOON_MS);
        if (objects_are_removable)
            CHECK_INT(objects_count(instance), ==, 0);
        lipc_stream_close(late);
        lipc_stream_close(running);
        lipc_stream_close(queued);
        lipc_client_close(client);
        lipc_client_close(other);
        free(text.text);
        segment_close(&segment);
    }
}

int main(void) {
    char instance[64];
    test_begin("readiness", 60);
    script script = script_new(600);
    test_instance(instance, "ready");
    loading(instance);
    cancelled_while_loading(instance);
    ended_while_loading(instance);
    all_the_way(instance);
    cancelled_by_callback(instance);
    ending(instance, &script);
    free(script.text);
    return test_end();
}
