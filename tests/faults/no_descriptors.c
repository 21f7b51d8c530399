/* no_descriptors.c - too few file descriptors, for every number from none at all to enough: a host or a client then works,
 * or fails with a sentence; it never hangs or crashes, and leaves nothing. */
#include "faults_test.h"

#include <sys/resource.h>

enum { ENOUGH_FOR_ALL = 40, EXIT_LOADER = 127, LAST_DOCUMENTED_CODE = 8 };

static void limit_descriptors(void *data) {
    const struct rlimit limit = {*(const rlim_t *)data, *(const rlim_t *)data};
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- the host ---------------------------------------------------------------------------------------------------- */

/* A host that cannot start ends with a code and a sentence of its own, or of the system's loader. */
static void check_refuses(test_host *host) {
    char *err = host_err(host);
    CHECK_SAY(host->exit_code == EXIT_LOADER || (host->exit_code > 0 && host->exit_code <= LAST_DOCUMENTED_CODE),
              "ended with code %d: %s", host->exit_code, err);
    CHECK_SAY(err[0] != 0, "ended with code %d and no word", host->exit_code);
    CHECK_SAY(strstr(err, "worker, process") == NULL, "its worker crashed: %s", err);
    printf("    code %d: %s", host->exit_code, strstr(err, "error") ? strstr(err, "error") : err);
    free(err);
}

static bool is_classic_ready(guide_client *client, const char *instance) {
    if (!client->block && !guide_open(client, instance))
        return false;
    return guide_value(client->ready) > 0;
}

static void die_attached(void *data, int number) {
    (void)number;
    client_of(data);
    raise(SIGSTOP);
}

/* Modern clients of a host that may be unable to watch them are served, and it finds out that one has died. */
static void use_modern(const char *instance, const script *script, pid_t host_pid) {
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
    lipc_client_close(client);
    segment segment = segment_of(instance, host_pid, LIPC_HUB_READY);
    pid_t dying = worker_start(die_attached, (void *)(uintptr_t)instance, 0);
    worker_wait_stopped(dying);
    CHECK_INT(clients_in_use(&segment), >, 0);
    worker_kill(dying);
    CHECK_SAY(WAITED(SOON_MS, clients_in_use(&segment) == 0), "a dead client's record is not freed");
    segment_close(&segment);
}

static bool host_with(rlim_t n_descriptors, const char *instance, const char *const *arguments, const script *script) {
    test_host host;
    guide_client classic = {0};
    guide_update update;
    test_host_setup setup = {.before_exec = limit_descriptors, .data = &n_descriptors};
    test_step("a host with %d descriptors", (int)n_descriptors);
    host_start_with(&host, instance, &setup, arguments);
    CHECK_SAY(WAITED(SOON_MS, host_ended(&host, 0) || is_classic_ready(&classic, instance)), "it hangs");
    bool serves = host.running;
    if (serves) {
        CHECK(guide_stream(&classic, NULL, "hello", soon(), &update));
        CHECK(update.complete);
        if (script) {
            CHECK_TEXT(update.text, script->text);
            use_modern(instance, script, host.pid);
        }
        kill(host.pid, SIGTERM);
        host_expect_exit(&host, 0, SOON_MS);
    } else {
        check_refuses(&host);
    }
    if (classic.block)
        guide_close(&classic);
    check_host_left_nothing(&host);
    return serves;
}

static void host_with_few(const char *instance, const char *const *arguments, const script *script) {
    int first_that_serves = 0, n;
    for (n = 0; n <= ENOUGH_FOR_ALL && (first_that_serves == 0 || n < first_that_serves + 6); n++)
        if (host_with((rlim_t)n, instance, arguments, script) && first_that_serves == 0)
            first_that_serves = n;
    CHECK_SAY(first_that_serves > 0, "it does not serve with %d descriptors", n);
    CHECK(host_with(ENOUGH_FOR_ALL, instance, arguments, script));
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

typedef struct board {
    const char *instance;
    const script *script;
    const char *host_path; /* to start one; NULL: one runs */
    const char *const *arguments;
    int n_works[2];
} board;

static int descriptors_open(void) {
    int n = 0;
    for (int i = 0; i < 1024; i++)
        n += fcntl(i, F_GETFD) >= 0;
    return n;
}

/* What a call may say to somebody without descriptors: that it was the system, with the system's reason. */
static void check_says_why(int error) {
    CHECK_SAY(error == LIPC_E_SYSTEM || error == LIPC_E_NO_MEMORY, "%s (%s)", lipc_error_name(error),
              lipc_error_message());
    CHECK_SAY(strstr(lipc_error_message(), "Too many open files"), "no reason in: %s", lipc_error_message());
}

static bool try_modern(const board *board) {
    lipc_client_options options;
    lipc_client *client;
    lipc_stream *stream, *follower;
    char id[LIPC_STREAM_ID_SIZE];
    lipc_client_options_init(&options);
    options.name = board->instance;
    options.timeout_ms = soon();
    options.start = board->host_path ? LIPC_START_WITH_ME : LIPC_START_NEVER;
    options.host_path = board->host_path;
    options.host_arguments = board->arguments;
    int error = lipc_client_open(&options, &client);
    if (error < 0) {
        check_says_why(error);
        return false;
    }
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_ask(client, "hello", &stream), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    CHECK_LIPC(lipc_stream_attach(client, id, 0, 1, &follower), LIPC_E_OK);
    check_whole(follower, board->script);
    check_whole(stream, board->script);
    lipc_stream_close(follower);
    lipc_stream_close(stream);
    lipc_client_close(client);
    return true;
}

static bool try_classic(const board *board) {
    lipc_classic *handle;
    CHECK_LIPC(lipc_classic_open(board->instance, &handle), LIPC_E_OK);
    int error = lipc_classic_connect(handle, soon());
    if (error < 0)
        check_says_why(error);
    else
        check_classic_answer(handle, true, soon(), board->script);
    lipc_classic_close(handle);
    return error == 0;
}

/* A call that finds no host. */
static void open_nobody(void) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = "lipctest_nobody";
    options.timeout_ms = 0;
    CHECK(lipc_client_open(&options, &client) < 0);
}

static void use_few(void *data, int number) {
    board *board = data;
    rlim_t n_free = (rlim_t)number;
    int before = descriptors_open(), fd;
    /* The numbers below are all in use: so many are free. */
    struct rlimit limit = {n_free, 1024};
    CHECK((fd = fcntl(0, F_DUPFD, 0)) >= 0);
    close(fd);
    limit.rlim_cur = (rlim_t)fd + n_free;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    bool works[2] = {try_modern(board), board->host_path || try_classic(board)};
    /* Of a host that was asked to end and has not done so yet, the library keeps two, until it is called after its end. */
    CHECK_SAY(WAITED(SOON_MS, (open_nobody(), descriptors_open() == before)), "%d descriptors are open, there were %d",
              descriptors_open(), before);
    /* Once there are enough again, the same process works. */
    limit.rlim_cur = 256;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(try_modern(board));
    for (int i = 0; i < 2; i++)
        board->n_works[i] += works[i];
}

static void client_with_few(board *board) {
    for (int n_free = 0; n_free < 12; n_free++) {
        test_step("a client with %d free descriptors%s", n_free, board->host_path ? " that starts a host" : "");
        worker_wait(worker_start(use_few, board, n_free));
        if (board->host_path)
            CHECK_SAY(WAITED(SOON_MS, is_childless() && objects_count(board->instance) == 0), "a host is left");
    }
    printf("  works with %d modern, %d classic of them\n", board->n_works[0], board->n_works[1]);
    CHECK_INT(board->n_works[0], >, 0);
    CHECK_INT(board->n_works[1], >, 0);
}

int main(void) {
    char instance[64];
    test_host host;
    test_begin("no_descriptors", 120);
    script script = script_new(1500);
    test_instance(instance, "few");
    const char *const replay[] = {"--replay", script.path, "--rate", "0", "--log-level", "error", NULL};
    const char *const embedded[] = {"--temp", "0", "-n", "8", "-t", "1", "--log-level", "error", NULL};
    host_with_few(instance, replay, &script);
    host_with_few(instance, embedded, NULL);

    board *board = shared_new(sizeof *board);
    *board = (struct board){.instance = instance, .script = &script, .arguments = replay};
    segment segment = host_ready(&host, instance, replay);
    client_with_few(board);
    end_undisturbed_host(&host, &segment);
    board->host_path = getenv("LIPC_CHATBOT");
    memset(board->n_works, 0, sizeof board->n_works);
    if (board->host_path)
        client_with_few(board);
    free(script.text);
    return test_end();
}
