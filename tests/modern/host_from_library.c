/* host_from_library.c - the library starts a host where none runs: one that ends with the client, or with its process,
 * however that ends; or one that stays. What keeps the host from starting is said in its own words; two that start one
 * at the same time share it. */
#include "modern_test.h"

typedef struct board {
    const char *instance;
    const char *const *arguments;
    const script *script;
    int start, host_pid, is_ready, n_ready, may_end;
    double open_ms;
} board;

static const char *host_program(void) {
    static char path[4200];
    const char *program = getenv("LIPC_CHATBOT");
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (program && *program)
        return program;
    path[n > 0 ? n : 0] = 0;
    strcpy(strrchr(path, '/'), "/../chatbot");
    return path;
}

static lipc_client_options options_for(const char *instance, int start, const char *const *arguments) {
    lipc_client_options options;
    lipc_client_options_init(&options);
    options.start = start;
    options.name = instance;
    options.host_path = host_program();
    options.host_arguments = arguments;
    options.timeout_ms = soon();
    return options;
}

static lipc_host_status status_of(lipc_client *client) {
    lipc_host_status status;
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    return status;
}

static bool is_gone(int pid) {
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* The host has ended and has removed its objects. Its starter reaps it; where that has died it is this program's
 * child. */
static void check_host_ends(const char *instance, int pid) {
    CHECK_SAY(WAITED(SOON_MS, (waitpid(pid, NULL, WNOHANG), is_gone(pid))), "the host %d goes on", pid);
    CHECK_SAY(objects_count(instance) == 0, "%d objects are left", objects_count(instance));
}

static void check_serves(lipc_client *client, const script *script) {
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
}

static void with_me(const char *instance, const char *const *arguments, const script *script) {
    lipc_client *client, *second;
    test_step("it ends with the client");
    lipc_client_options options = options_for(instance, LIPC_START_WITH_ME, arguments);
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    int pid = status_of(client).host_pid;
    check_serves(client, script);
    /* Another finds it running, starts none, and its close ends nothing. */
    CHECK_LIPC(lipc_client_open(&options, &second), LIPC_E_OK);
    CHECK_INT(status_of(second).host_pid, ==, pid);
    check_serves(second, script);
    lipc_client_close(second);
    check_serves(client, script);
    double begin = test_now_ms();
    lipc_client_close(client);
    printf("  close took %.1f ms\n", test_now_ms() - begin);
    check_host_ends(instance, pid);

    test_step("the client asks for its end");
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    pid = status_of(client).host_pid;
    CHECK_LIPC(lipc_client_shutdown(client, soon()), LIPC_E_OK);
    CHECK_INT(status_of(client).state, ==, LIPC_HOST_GONE);
    check_host_ends(instance, pid);
    CHECK_LIPC(lipc_client_shutdown(client, soon()), LIPC_E_NO_HOST);
    lipc_client_close(client);
}

static void start_and_stop(void *data, int number) {
    (void)number;
    board *board = data;
    lipc_client *client;
    lipc_client_options options = options_for(board->instance, board->start, board->arguments);
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    check_serves(client, board->script);
    board->host_pid = status_of(client).host_pid;
    __atomic_store_n(&board->is_ready, 1, __ATOMIC_RELEASE);
    raise(SIGSTOP);
    _exit(0); /* without a close */
}

static void client_is_killed(const char *instance, const char *const *arguments, const script *script, int start) {
    board *board = shared_new(sizeof *board);
    for (int way = 0; way < 2; way++) {
        test_step("the client's process %s, its host %s", way ? "leaves" : "is killed",
                  start == LIPC_START_WITH_ME ? "ends with it" : "stays");
        *board = (struct board){.instance = instance, .arguments = arguments, .script = script, .start = start};
        pid_t worker = worker_start(start_and_stop, board, 0);
        CHECK(WAITED(SOON_MS, NOW(board->is_ready)));
        worker_wait_stopped(worker);
        if (way) {
            kill(worker, SIGCONT);
            worker_wait(worker);
        } else {
            worker_kill(worker);
        }
        if (start == LIPC_START_WITH_ME) {
            check_host_ends(instance, board->host_pid);
            continue;
        }
        /* It stays, for others and for later. */
        segment segment = segment_of(instance, board->host_pid, LIPC_HUB_READY);
        CHECK(WAITED(SOON_MS, clients_in_use(&segment) == 0));
        lipc_client *client = client_of(instance);
        CHECK_INT(status_of(client).host_pid, ==, board->host_pid);
        check_serves(client, script);
        lipc_client_close(client);
        check_nothing_left(&segment);
        segment_close(&segment);
        client = client_of(instance);
        CHECK_LIPC(lipc_client_shutdown(client, soon()), LIPC_E_OK);
        lipc_client_close(client);
        check_host_ends(instance, board->host_pid);
    }
}

static void cannot_start(const char *instance) {
    lipc_client *client;
    test_step("a host that cannot start");
    static const char *const no_model[] = {"-m", "/nonexistent/model.gguf", NULL};
    static const char *const no_option[] = {"--no-such-option", NULL};
    lipc_client_options options = options_for(instance, LIPC_START_WITH_ME, no_model);
    int code = lipc_client_open(&options, &client);
    if (code == LIPC_E_OK) {
        /* It was there for a moment: then its readiness is what fails. */
        CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_HOST_GONE);
        CHECK_SAY(strstr(lipc_error_message(), "/nonexistent/model.gguf"), "the host's words are missing: %s",
                  lipc_error_message());
        lipc_client_close(client);
    } else {
        CHECK_SAY(code == LIPC_E_HOST_GONE, "%s: %s", lipc_error_name(code), lipc_error_message());
        CHECK(client == NULL);
    }
    printf("  %s\n", lipc_error_message());
    CHECK_SAY(strstr(lipc_error_message(), "/nonexistent/model.gguf"), "the host's words are missing: %s",
              lipc_error_message());
    options = options_for(instance, LIPC_START_DETACHED, no_option);
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_HOST_GONE);
    CHECK_SAY(strstr(lipc_error_message(), "--no-such-option"), "the host's words are missing: %s",
              lipc_error_message());
    printf("  %s\n", lipc_error_message());
    options = options_for(instance, LIPC_START_WITH_ME, NULL);
    options.host_path = "/nonexistent/chatbot";
    code = lipc_client_open(&options, &client);
    CHECK_SAY(code < 0 && client == NULL, "a host that does not exist was started");
    printf("  %s: %s\n", lipc_error_name(code), lipc_error_message());
    CHECK(strstr(lipc_error_message(), "/nonexistent/chatbot") != NULL);
    CHECK_INT(objects_count(instance), ==, 0);
    options = options_for(instance, LIPC_START_NEVER, NULL);
    options.timeout_ms = 0;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_NO_HOST);
    options.name = "not/a/name";
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_INVALID);
}

static void start_together(void *data, int number) {
    (void)number;
    board *board = data;
    lipc_client *client;
    lipc_client_options options = options_for(board->instance, LIPC_START_WITH_ME, board->arguments);
    while (!NOW(board->is_ready))
        sched_yield();
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    check_serves(client, board->script);
    int pid = status_of(client).host_pid, first = 0;
    if (!__atomic_compare_exchange_n(&board->host_pid, &first, pid, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        CHECK_INT(first, ==, pid);
    __atomic_add_fetch(&board->n_ready, 1, __ATOMIC_SEQ_CST);
    CHECK(WAITED(SOON_MS, NOW(board->may_end)));
    lipc_client_close(client);
}

static void two_at_once(const char *instance, const char *const *arguments, const script *script) {
    enum { TOGETHER = 2, ROUNDS = 10 };
    board *board = shared_new(sizeof *board);
    test_step("%d processes start one at the same time, %d times", TOGETHER, ROUNDS);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t workers[TOGETHER];
        *board = (struct board){.instance = instance, .arguments = arguments, .script = script};
        for (int i = 0; i < TOGETHER; i++)
            workers[i] = worker_start(start_together, board, i);
        __atomic_store_n(&board->is_ready, 1, __ATOMIC_RELEASE);
        CHECK_SAY(WAITED(SOON_MS, NOW(board->n_ready) == TOGETHER), "round %d: %d of %d are served", round,
                  board->n_ready, TOGETHER);
        __atomic_store_n(&board->may_end, 1, __ATOMIC_RELEASE);
        for (int i = 0; i < TOGETHER; i++)
            worker_wait(workers[i]);
        check_host_ends(instance, board->host_pid);
    }
}

int main(void) {
    char instance[64];
    test_begin("host_from_library", 90);
    script script = script_new(1500);
    const char *const arguments[] = {"--replay", script.path, "--rate", "0", NULL};
    test_instance(instance, "started");
    with_me(instance, arguments, &script);
    client_is_killed(instance, arguments, &script, LIPC_START_WITH_ME);
    client_is_killed(instance, arguments, &script, LIPC_START_DETACHED);
    cannot_start(instance);
    two_at_once(instance, arguments, &script);
    free(script.text);
    return test_end();
}
