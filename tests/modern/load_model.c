/* load_model.c - a running host changes its model: what had arrived before is answered by the old one, to its last byte,
 * what came after by the new one; clients of both channels stay attached. Whatever goes wrong, the host has one of the two
 * models: a file that is missing or damaged, a cancel, a client or a worker that is killed. */
#include "../death/worker_test.h"
#include "../support/test_model.h"

enum { TUTOR_VOCABULARY = 1376, SMALL_WORDS = 50, SMALL_VOCABULARY = 259 + SMALL_WORDS, SLOW_WORDS = 6000,
       SLOW_VOCABULARY = 259 + SLOW_WORDS, LONG_ANSWER = 400, SHORT_ANSWER = 40 };

static char tutor[4096], small[64], slow[64], cut[64], unusable[64], text_file[64], lost[64];
static reading tutor_long, tutor_says; /* what it says to QUESTION, without an end, and to its end */

/* ---- files --------------------------------------------------------------------------------------------------------- */

static void name_file(char path[64], const char *name) {
    snprintf(path, 64, "/tmp/load_model-%d-%s", (int)getpid(), name);
}

static char *read_file(const char *path, size_t *n_bytes) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    char *bytes = malloc((size_t)status.st_size);
    *n_bytes = (size_t)status.st_size;
    CHECK(bytes && read(fd, bytes, *n_bytes) == status.st_size);
    close(fd);
    return bytes;
}

static void write_file(const char *path, const char *bytes, size_t n_bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, bytes, n_bytes), ==, n_bytes);
    close(fd);
}

static void make_files(void) {
    size_t n_bytes;
    test_model_path(tutor, "tutor.gguf");
    name_file(small, "small.gguf");
    name_file(slow, "slow.gguf");
    name_file(cut, "cut.gguf");
    name_file(unusable, "unusable.gguf");
    name_file(text_file, "text.gguf");
    name_file(lost, "lost.gguf");
    test_model_write(small, SMALL_WORDS);
    test_model_write(slow, SLOW_WORDS);
    test_model_write(lost, 0);
    write_file(text_file, "no model", 8);
    char *bytes = read_file(small, &n_bytes);
    write_file(cut, bytes, n_bytes / 2);
    /* Whole, as far as a quick look can tell: one of its tensors is not called what the library wants. */
    char *name = memmem(bytes, n_bytes, "ffn_gate", 8);
    CHECK(name != NULL);
    memcpy(name, "ffn_GATE", 8);
    write_file(unusable, bytes, n_bytes);
    free(bytes);
}

static void remove_files(void) {
    const char *const paths[] = {small, slow, cut, unusable, text_file, lost};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) unlink(paths[i]);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static lipc_stream *submit_long(lipc_client *client, int n_predict, int priority) {
    lipc_request request = request_of(QUESTION);
    request.ignore_eos = 1;
    request.n_predict = n_predict;
    request.priority = priority;
    return submit(client, &request);
}

static lipc_stream *load(lipc_client *client, const char *path) {
    lipc_stream *stream;
    CHECK_LIPC(lipc_client_load(client, path, &stream), LIPC_E_OK);
    return stream;
}

/* It ends without a text, with this code; closes it. */
static void check_load_ends(lipc_stream *stream, int code) {
    lipc_delta delta;
    CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), code);
    CHECK_INT(delta.n_bytes, ==, 0);
    lipc_stream_close(stream);
}

static lipc_host_status status_of(lipc_client *client) {
    lipc_host_status status;
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    return status;
}

static void check_model(lipc_client *client, int n_vocab) {
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
    CHECK_INT(status_of(client).n_vocab, ==, n_vocab);
}

/* The beginning of what the tutor says. */
static void check_short(lipc_stream *stream) {
    reading text = read_to_end(stream);
    CHECK_INT(text.code, ==, 0);
    CHECK_INT(text.n_bytes, >, 0);
    CHECK(text.n_bytes <= tutor_long.n_bytes && memcmp(text.text, tutor_long.text, text.n_bytes) == 0);
    free(text.text);
}

/* It answers, as the tutor does. */
static void check_tutor(lipc_client *client) {
    check_model(client, TUTOR_VOCABULARY);
    lipc_stream *stream = submit_long(client, SHORT_ANSWER, 0);
    check_short(stream);
    lipc_stream_close(stream);
}

/* The small model takes all tokens for equally likely: always the same one. */
static void check_small(lipc_stream *stream) {
    lipc_token tokens[LONG_ANSWER];
    size_t n;
    CHECK_LIPC(lipc_stream_tokens(stream, 0, tokens, LONG_ANSWER, &n), LIPC_E_OK);
    CHECK_INT(n, >, 1);
    for (size_t i = 1; i < n; i++)
        CHECK_INT(tokens[i].id, ==, tokens[0].id);
}

static bool is_loading(const segment *segment) {
    return hub_state(segment) == LIPC_HUB_LOADING;
}

/* Asks for the slow model, and returns when it is being loaded. */
static lipc_stream *load_slow(const segment *segment, lipc_client *client) {
    lipc_stream *stream = load(client, slow);
    CHECK(WAITED(SOON_MS, is_loading(segment)));
    return stream;
}

/* ---- what has to hold ---------------------------------------------------------------------------------------------- */

static void find_out_what_they_say(const segment *segment, lipc_client *client) {
    lipc_stream *stream = submit_long(client, LONG_ANSWER, 0);
    tutor_long = read_to_end(stream);
    CHECK_INT(tutor_long.code, ==, 0);
    lipc_stream_close(stream);
    stream = ask(client, QUESTION);
    tutor_says = read_to_end(stream);
    CHECK_INT(tutor_says.code, ==, 0);
    lipc_stream_close(stream);
    CHECK_INT(NOW(hub_in(segment)->n_vocab), ==, TUTOR_VOCABULARY);
}

/* Two run, one waits, then comes the other model, then two more, one of them in a hurry. */
static void in_flight(const segment *segment, const char *instance, lipc_client *client, lipc_client *other) {
    guide_client classic;
    static guide_update update;
    lipc_delta delta;
    test_step("streams in flight finish first, what comes later waits");
    CHECK(guide_open_within(&classic, instance, soon()));
    lipc_stream *running[2] = {submit_long(client, LONG_ANSWER, 0), submit_long(other, LONG_ANSWER, 0)};
    CHECK(WAITED(SOON_MS, NOW(hub_in(segment)->n_running) == 2));
    lipc_stream *before = submit_long(client, LONG_ANSWER, -5);
    CHECK(WAITED(SOON_MS, NOW(hub_in(segment)->n_queued) == 1));
    lipc_stream *change = load(client, small);
    CHECK(WAITED(SOON_MS, NOW(hub_in(segment)->n_queued) == 2));
    CHECK_LIPC(lipc_stream_read(change, 0, &delta), LIPC_E_TIMEOUT);
    CHECK_INT(progress_of(change).queue_position, ==, 1);
    lipc_stream *after = submit_long(other, 5, 100);
    CHECK(guide_send(&classic, NULL, QUESTION, false, soon()));
    CHECK(WAITED(SOON_MS, NOW(hub_in(segment)->n_queued) == 4));
    CHECK_INT(NOW(hub_in(segment)->n_running), ==, 2);
    CHECK_INT(progress_of(after).queue_position, >, progress_of(change).queue_position);

    for (int i = 0; i < 2; i++) {
        check_answer(running[i], tutor_long.text, tutor_long.n_bytes);
        lipc_stream_close(running[i]);
    }
    check_answer(before, tutor_long.text, tutor_long.n_bytes);
    check_load_ends(change, LIPC_E_OK);
    lipc_stream_close(before);
    check_model(client, SMALL_VOCABULARY);
    lipc_host_status status = status_of(other);
    CHECK_INT(status.n_clients, ==, 2);
    CHECK_INT(status.n_ctx, ==, 1024); /* the host's options are applied to it */
    CHECK_INT(status.n_parallel, ==, 2);
    CHECK_INT(status.load_per_mille, ==, 1000);
    CHECK(strcmp(status.model, "") != 0);

    reading text = read_to_end(after);
    CHECK_INT(text.code, ==, 0);
    check_small(after);
    lipc_stream_close(after);
    /* What the small one says to the classic client's options. */
    lipc_stream *stream = ask(client, QUESTION);
    reading said = read_to_end(stream);
    lipc_stream_close(stream);
    CHECK(guide_receive(&classic, soon(), &update));
    CHECK_TEXT(update.text, said.text);
    CHECK(guide_request(&classic, NULL, QUESTION, soon(), &update));
    CHECK_TEXT(update.text, said.text);
    CHECK(strcmp(said.text, tutor_says.text) != 0);
    free(text.text);
    free(said.text);
    guide_close(&classic);

    test_step("and back, by a path that is relative");
    char folder[4096], *name = strrchr(tutor, '/');
    snprintf(folder, sizeof folder, "%.*s", (int)(name - tutor), tutor);
    CHECK_INT(chdir(folder), ==, 0);
    check_load_ends(load(client, "tutor.gguf"), LIPC_E_OK);
    check_tutor(other);
}

/* A client that sees a host of layout 1.4 asks in the form of that layout; hosts go on accepting it. */
static void old_form(const test_host *host, const segment *segment, const char *instance) {
    lipc_hub *hub = hub_in(segment);
    test_step("a client of layout 1.4 asks for another model");
    host_pause(host); /* it would mend the hub within a second */
    hub->layout_minor = 4;
    lipc_client *client = client_of(instance);
    lipc_stream *change = load(client, small);
    uint32_t n_old = 0;
    for (uint32_t i = 0; i < hub->n_streams; i++) {
        const char *stream = segment->base + hub->streams_offset + i * hub->stream_size;
        n_old += (((const lipc_request_header *)(const void *)(stream + hub->request_offset))->flags & LIPC_FLAG_LOAD) != 0;
    }
    CHECK_INT(n_old, ==, 1);
    hub->layout_minor = LIPC_LAYOUT_MINOR;
    host_resume(host);
    check_load_ends(change, LIPC_E_OK);
    check_model(client, SMALL_VOCABULARY);
    check_load_ends(load(client, tutor), LIPC_E_OK);
    check_tutor(client);
    lipc_client_close(client);
}

/* Nothing is closed for those. */
static void cannot_be_used(const segment *segment, lipc_client *client) {
    lipc_stream *stream = submit_long(client, 20, 0);
    test_step("a file that cannot be used: the old model serves on");
    check_short(stream);
    uint32_t version = NOW(hub_in(segment)->facts_version);
    check_load_ends(load(client, "/no/such/model.gguf"), LIPC_E_REFUSED);
    CHECK(strstr(lipc_error_message(), "/no/such/model.gguf"));
    check_load_ends(load(client, "/tmp"), LIPC_E_REFUSED);
    check_load_ends(load(client, "/dev/null"), LIPC_E_REFUSED);
    check_load_ends(load(client, text_file), LIPC_E_REFUSED);
    CHECK(strstr(lipc_error_message(), "GGUF"));
    check_load_ends(load(client, cut), LIPC_E_FAILED);
    CHECK(strstr(lipc_error_message(), "damaged"));
    CHECK_INT(NOW(hub_in(segment)->facts_version), ==, version);
    lipc_stream_close(stream);

    /* This is found out when the old one is closed already. */
    check_load_ends(load(client, unusable), LIPC_E_FAILED);
    CHECK(strstr(lipc_error_message(), "ffn_gate"));
    check_tutor(client);
    CHECK_INT(NOW(hub_in(segment)->facts_version), ==, version + 1);
    CHECK_LIPC(lipc_client_load(client, "", &stream), LIPC_E_INVALID);
    CHECK_LIPC(lipc_client_load(client, NULL, &stream), LIPC_E_INVALID);
    CHECK_LIPC(lipc_client_load(client, "/\xff", &stream), LIPC_E_INVALID);
    char endless[5000];
    memset(endless, 'x', sizeof endless);
    endless[0] = '/';
    endless[sizeof endless - 1] = 0;
    CHECK_LIPC(lipc_client_load(client, endless, &stream), LIPC_E_INVALID);
}

static void cancelled(const segment *segment, lipc_client *client) {
    reading text = {0};
    lipc_delta delta;
    test_step("cancelled while it waits, and those behind it go on");
    lipc_stream *running = ask_endless(client);
    read_until(running, &text, 1);
    lipc_stream *change = load(client, slow);
    CHECK(WAITED(SOON_MS, NOW(hub_in(segment)->n_queued) == 1));
    lipc_stream *next = submit_long(client, SHORT_ANSWER, 0);
    CHECK(WAITED(SOON_MS, NOW(hub_in(segment)->n_queued) == 2));
    lipc_stream_cancel(change);
    check_load_ends(change, LIPC_E_CANCELLED);
    check_short(next);
    CHECK_LIPC(lipc_stream_read(running, 0, &delta), LIPC_E_OK);
    lipc_stream_close(running);
    lipc_stream_close(next);
    free(text.text);

    test_step("cancelled while it is loaded: before the old one is closed, and when the new one is nearly there");
    for (int i = 0; i < 2; i++) {
        change = load_slow(segment, client);
        next = submit_long(client, SHORT_ANSWER, 0);
        CHECK(i == 0 || WAITED(SOON_MS, NOW(hub_in(segment)->load_per_mille) > 0));
        lipc_stream_cancel(change);
        check_load_ends(change, LIPC_E_CANCELLED);
        check_short(next);
        lipc_stream_close(next);
        check_tutor(client);
    }
}

/* At once, not when the model is there. If that was faster than we look it is loaded again. */
static void others_cancelled(const segment *segment, lipc_client *client) {
    bool was_loading = false;
    test_step("cancelled while another's model is loaded: a request, and one for a third model");
    for (int i = 0; i < 20 && !was_loading; i++) {
        lipc_delta delta;
        lipc_stream *change = load_slow(segment, client);
        lipc_stream *given_up = submit_long(client, SHORT_ANSWER, 0), *third = load(client, small);
        lipc_stream_cancel(given_up);
        lipc_stream_cancel(third);
        CHECK_LIPC(lipc_stream_read(given_up, soon(), &delta), LIPC_E_CANCELLED);
        check_load_ends(third, LIPC_E_CANCELLED);
        was_loading = is_loading(segment);
        lipc_stream_close(given_up);
        check_load_ends(change, LIPC_E_OK);
        check_model(client, SLOW_VOCABULARY);
        check_load_ends(load(client, tutor), LIPC_E_OK);
        check_tutor(client);
    }
    CHECK(was_loading);
}

/* In a process of its own, which is then killed. */
static void load_and_wait(void *data, int is_detachable) {
    const char *instance = data;
    lipc_client *client = client_of(instance);
    lipc_request request;
    lipc_request_init(&request);
    request.load_path = slow;
    request.detachable = is_detachable;
    lipc_stream *stream = submit(client, &request);
    lipc_delta delta;
    lipc_stream_read(stream, -1, &delta);
    pause();
}

static void client_killed(const segment *segment, char *instance, lipc_client *client) {
    test_step("the client that asked for it is killed: the old model comes back");
    bool is_back = false;
    for (int i = 0; i < 20 && !is_back; i++) { /* again if the model was there before the host knew */
        pid_t asking = worker_start(load_and_wait, instance, 0);
        CHECK(WAITED(SOON_MS, is_loading(segment)));
        worker_kill(asking);
        CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
        is_back = status_of(client).n_vocab != SLOW_VOCABULARY;
        if (!is_back)
            check_load_ends(load(client, tutor), LIPC_E_OK);
    }
    CHECK(is_back);
    check_tutor(client);

    test_step("... unless it was detachable");
    pid_t asking = worker_start(load_and_wait, instance, 1);
    CHECK(WAITED(SOON_MS, is_loading(segment)));
    worker_kill(asking);
    check_model(client, SLOW_VOCABULARY);
    check_load_ends(load(client, tutor), LIPC_E_OK);
    check_tutor(client);
}

/* Kills the worker while it loads. */
static void kill_loading(const test_host *host, const segment *segment, int signal) {
    pid_t worker = worker_awaited(host);
    CHECK(WAITED(SOON_MS, is_loading(segment) && NOW(hub_in(segment)->worker_pid) == (uint32_t)worker));
    worker_killed(host, worker, signal);
}

static void worker_dies(const test_host *host, const segment *segment, lipc_client *client) {
    test_step("the worker crashes over it: tried once more, then the old model serves on");
    lipc_stream *change = load(client, slow);
    kill_loading(host, segment, SIGSEGV);
    lipc_stream *waits = submit_long(client, SHORT_ANSWER, 0);
    kill_loading(host, segment, SIGSEGV);
    check_load_ends(change, LIPC_E_FAILED);
    CHECK_SAY(strstr(lipc_error_message(), "crashed 2 times"), "it says: %s", lipc_error_message());
    check_short(waits);
    lipc_stream_close(waits);
    check_tutor(client);

    test_step("the worker is killed while it loads: the next one does it");
    change = load(client, slow);
    kill_loading(host, segment, SIGKILL);
    check_load_ends(change, LIPC_E_OK);
    check_model(client, SLOW_VOCABULARY);

    test_step("the worker is killed afterwards: the next one has the new model");
    pid_t worker = worker_awaited(host);
    worker_killed(host, worker, SIGKILL);
    CHECK(WAITED(SOON_MS, worker_serves(segment, worker_awaited(host))));
    check_model(client, SLOW_VOCABULARY);
    lipc_stream *stream = submit_long(client, 5, 0);
    reading text = read_to_end(stream);
    CHECK_INT(text.code, ==, 0);
    free(text.text);
    lipc_stream_close(stream);
}

static void host_ends(test_host *host, const segment *segment, lipc_client *client) {
    lipc_delta delta;
    test_step("told to end while it loads");
    lipc_stream *change = load_slow(segment, client), *waits = submit_long(client, 5, 0);
    kill(host->pid, SIGTERM);
    CHECK_LIPC(lipc_stream_read(change, soon(), &delta), LIPC_E_HOST_GONE);
    CHECK_LIPC(lipc_stream_read(waits, soon(), &delta), LIPC_E_HOST_GONE);
    host_expect_exit(host, 0, SOON_MS);
    lipc_stream_close(change);
    lipc_stream_close(waits);
}

static void no_way_back(const char *instance) {
    test_host host;
    lipc_delta delta;
    test_step("neither model can be opened: the host ends, and its code says why");
    segment segment = host_ready(&host, instance, EMBEDDED("-m", lost));
    lipc_client *client = client_of(instance);
    CHECK_INT(unlink(lost), ==, 0);
    lipc_stream *change = load(client, unusable);
    CHECK_LIPC(lipc_stream_read(change, soon(), &delta), LIPC_E_FAILED);
    lipc_stream_close(change);
    host_expect_exit(&host, 3, SOON_MS);
    CHECK_INT(objects_count(instance), ==, 0);
    lipc_client_close(client);
    segment_close(&segment);
}

static void replay(const char *instance) {
    test_host host;
    script script = script_new(500);
    test_step("a host that plays a text back has no model to change");
    segment segment = host_ready(&host, instance, REPLAY(script, NULL));
    lipc_client *client = client_of(instance);
    check_load_ends(load(client, small), LIPC_E_REFUSED);
    CHECK(strstr(lipc_error_message(), "--replay"));
    lipc_stream *stream = ask(client, "go on");
    check_whole(stream, &script);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
    free(script.text);
}

int main(void) {
    char instance[64];
    test_host host;
    test_begin("load_model", 60);
    expect_crashes();
    make_files();
    atexit(remove_files);
    test_instance(instance, "load");
    segment segment = host_ready(&host, instance, EMBEDDED("-np", "2", "-c", "1024", "-n", "300"));
    lipc_client *client = client_of(instance), *other = client_of(instance);
    find_out_what_they_say(&segment, client);
    in_flight(&segment, instance, client, other);
    old_form(&host, &segment, instance);
    cannot_be_used(&segment, client);
    cancelled(&segment, client);
    others_cancelled(&segment, client);
    client_killed(&segment, instance, client);
    worker_dies(&host, &segment, client);
    CHECK_INT(status_of(other).n_clients, ==, 2);
    host_ends(&host, &segment, client);
    segment_close(&segment);
    lipc_client_close(client);
    lipc_client_close(other);
    no_way_back(instance);
    replay(instance);
    free(tutor_long.text);
    free(tutor_says.text);
    return test_end();
}
