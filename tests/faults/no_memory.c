/* no_memory.c - the N-th call for memory fails, for every N, through start, requests and the end of a host or a client:
 * once, or from then on for good. Either it works in spite of that, or there is a clear error; nobody crashes or hangs,
 * nothing is left, and the next one works. And the N-th call that a signal may interrupt is interrupted: nobody notices.
 *
 * no_memory all: every N, also where by default only some are tried */
#include "fault_board.h"
#include "faults_test.h"

#include <limits.h>

enum { LAST_DOCUMENTED_CODE = 8, ONCE = 0, FOR_GOOD = INT_MAX, EXIT_REFUSED = 3 };

static const char *const kind_names[] = {"the heap", "the system", "what a signal may interrupt"};
static fault_board *board;
static char board_path[64], preloaded[4200], own_path[4200];

static void arm(fault_kind kind, bool is_program_only, int first, int n_more) {
    *board = (fault_board){.kind = (int)kind, .is_program_only = is_program_only, .first = first, .n_more = n_more};
}

static void preload(void *nothing) {
    (void)nothing;
    setenv("LD_PRELOAD", preloaded, 1);
    setenv(FAULT_BOARD_VARIABLE, board_path, 1);
}

/* ---- the client, a program of its own -----------------------------------------------------------------------------
 * In one that fails once, each call that failed is made again, and then succeeds. */

static bool fails_for_good; /* nothing is tried again */

static bool is_memory(int error) {
    return error == LIPC_E_NO_MEMORY || error == LIPC_E_SYSTEM;
}

static _Noreturn void complain(const char *what, int error) {
    fprintf(stderr, "%s: %s (%s)\n", what, lipc_error_name(error), lipc_error_message());
    _exit(1);
}

/* Calls it once more if it failed for want of memory. False: it failed for good. */
#define TRIED(call)                                                                                                    \
    __extension__({                                                                                                    \
        int error_ = (call);                                                                                           \
        if (is_memory(error_) && !fails_for_good)                                                                      \
            error_ = (call);                                                                                           \
        if (error_ != LIPC_E_OK && !(fails_for_good && is_memory(error_)))                                             \
            complain(#call, error_);                                                                                   \
        if (error_ != LIPC_E_OK && lipc_error_message()[0] == 0)                                                       \
            complain(#call " without a message", error_);                                                              \
        error_ == LIPC_E_OK;                                                                                           \
    })

static bool read_all(lipc_stream *stream, const char *text, size_t n_text) {
    lipc_delta delta;
    size_t n = 0;
    do {
        if (!TRIED(lipc_stream_read(stream, 20000, &delta)))
            return false;
        if (n + delta.n_bytes > n_text || memcmp(text + n, delta.text, delta.n_bytes) != 0)
            complain("another text", 0);
        n += delta.n_bytes;
    } while (delta.n_bytes > 0);
    if (n != n_text)
        complain("only a part of the text", 0);
    return true;
}

static bool use_streams(lipc_client *client, const char *text, size_t n_text) {
    lipc_stream *stream = NULL, *follower = NULL;
    char id[LIPC_STREAM_ID_SIZE];
    bool works = TRIED(lipc_stream_ask(client, "hello", &stream)) && TRIED(lipc_stream_id(stream, id)) &&
                 TRIED(lipc_stream_attach(client, id, 0, 1, &follower)) && read_all(follower, text, n_text) &&
                 read_all(stream, text, n_text);
    lipc_stream_close(follower);
    lipc_stream_close(stream);
    return works;
}

static bool be_modern(const char *instance, const char *host_path, const char *script_path, const char *text,
                      size_t n_text) {
    const char *const arguments[] = {"--replay", script_path, "--rate", "0", "--log-level", "error", NULL};
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = 20000;
    options.host_path = host_path;
    options.host_arguments = arguments;
    options.start = host_path ? LIPC_START_WITH_ME : LIPC_START_NEVER;
    if (!TRIED(lipc_client_open(&options, &client)))
        return false;
    int error = lipc_client_wait_ready(client, 20000, NULL, NULL);
    if (host_path && error == LIPC_E_HOST_GONE) { /* one that an open that failed had started, and that is slow to end */
        lipc_client_close(client);
        return be_modern(instance, host_path, script_path, text, n_text);
    }
    bool works = TRIED(error) && use_streams(client, text, n_text);
    lipc_client_close(client);
    return works;
}

static bool be_classic(const char *instance, const char *text) {
    lipc_classic *handle;
    static lipc_classic_result result;
    if (!TRIED(lipc_classic_open(instance, &handle)))
        return false;
    bool works = TRIED(lipc_classic_connect(handle, 20000)) &&
                 TRIED(lipc_classic_stream(handle, NULL, "hello", 20000, NULL, NULL, &result)) &&
                 TRIED(lipc_classic_request(handle, NULL, "hello", 20000, &result));
    if (works && strcmp(result.text, text) != 0)
        complain("another text", 0);
    lipc_classic_close(handle);
    return works;
}

/* no_memory client WAY INSTANCE SCRIPT HOST FOR_GOOD */
static int be_client(char *argv[]) {
    static char text[65536];
    const char *way = argv[2], *instance = argv[3], *script_path = argv[4], *host_path = argv[5];
    fails_for_good = atoi(argv[6]) != 0;
    unsetenv("LD_PRELOAD"); /* not for the host that it starts */
    alarm(60);
    int fd = open(script_path, O_RDONLY | O_CLOEXEC);
    ssize_t n_text;
    while ((n_text = read(fd, text, sizeof text - 1)) < 0 && errno == EINTR)
        ;
    close(fd);
    bool works = strcmp(way, "classic") == 0
                     ? be_classic(instance, text)
                     : be_modern(instance, strcmp(way, "start") == 0 ? host_path : NULL, script_path, text, (size_t)n_text);
    return works ? 0 : EXIT_REFUSED;
}

static int run_client(const char *way, const char *instance, const script *script) {
    const char *host = getenv("LIPC_CHATBOT");
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        preload(NULL);
        execl(own_path, own_path, "client", way, instance, script->path, host ? host : "", board->n_more || board->kind == FAULT_SIGNAL ? "1" : "0",
              (char *)NULL);
        _exit(126);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_SAY(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == EXIT_REFUSED),
              "the client ended with status %x: see above", (unsigned)status);
    return WEXITSTATUS(status);
}

static void client_sweep(const char *way, fault_kind kind, int n_more, int stride, const char *instance, const script *script) {
    int n_refused = 0, n_runs = 0;
    test_step("a client, %s: %s fails %s", way, kind_names[kind],
              n_more ? "for good" : "once");
    for (int first = 1;; first += stride) {
        arm(kind, false, first, n_more);
        n_refused += run_client(way, instance, script) != 0;
        if (strcmp(way, "start") == 0)
            CHECK_SAY(WAITED(SOON_MS, is_childless() && objects_count(instance) == 0), "call %d: a host is left", first);
        if (board->n_failed == 0)
            break;
        n_runs++;
    }
    printf("    %d calls failed, %d of them for the caller to see\n", n_runs, n_refused);
    CHECK_INT(n_runs, >, 0);
    CHECK(n_more || n_refused == 0);
}

static void all_clients(fault_kind kind, int n_more, const char *instance, const script *script) {
    client_sweep("modern", kind, n_more, 1, instance, script);
    client_sweep("classic", kind, n_more, 1, instance, script);
}

static void clients(int stride, const char *instance, const script *script) {
    test_host host;
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0"));
    for (int kind = FAULT_HEAP; kind <= FAULT_SIGNAL; kind++)
        all_clients((fault_kind)kind, ONCE, instance, script);
    for (int kind = FAULT_HEAP; kind <= FAULT_SYSTEM; kind++)
        all_clients((fault_kind)kind, FOR_GOOD, instance, script);
    end_undisturbed_host(&host, &segment);
    if (!getenv("LIPC_CHATBOT"))
        return;
    for (int kind = FAULT_HEAP; kind <= FAULT_SIGNAL; kind++)
        client_sweep("start", (fault_kind)kind, ONCE, stride, instance, script);
}

/* ---- the host ---------------------------------------------------------------------------------------------------- */

/* What a host without memory may do to a client: fail its request, or end. */
static bool is_excused(int error) {
    /* A grammar that memory runs out for is refused. */
    return error == LIPC_E_FAILED || (error == LIPC_E_REFUSED && board->is_program_only) || error == LIPC_E_HOST_GONE || error == LIPC_E_NO_HOST;
}

static void ask_modern(const char *instance, const script *script, bool must_work) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = soon();
    int error = lipc_client_open(&options, &client);
    CHECK_SAY(error == 0 || !must_work, "%s (%s)", lipc_error_name(error), lipc_error_message());
    if (error == 0) {
        const char *const stops[] = {"no such words"};
        lipc_request request = request_of("hello");
        request.n_stops = 1;
        request.stops = stops;
        /* Any text, so that it is the same as without; a text that is played back knows no grammars. */
        if (board->is_program_only)
            request.grammar = "root ::= [^\\x00]*";
        lipc_stream *stream = NULL;
        error = lipc_stream_open(client, &request, &stream);
        if (error == 0) {
            reading reading = read_to_end(stream);
            error = reading.code;
            CHECK_SAY(test_is_prefix(reading.text, reading.n_bytes, script->text), "call %d: \"%s\" instead of \"%s\"",
                      board->first, reading.text, script->text);
            CHECK(error != 0 || reading.n_bytes == script->n_bytes);
            free(reading.text);
        }
        CHECK_SAY(error == 0 || lipc_error_message()[0] != 0, "%s without a message", lipc_error_name(error));
        lipc_stream_close(stream);
        lipc_client_close(client);
    }
    CHECK_SAY(error == 0 || (!must_work && is_excused(error)), "%s (%s)", lipc_error_name(error), lipc_error_message());
}

static void ask_classic(const char *instance, const script *script, bool must_work) {
    lipc_classic *handle;
    lipc_classic_result result = {0};
    CHECK_LIPC(lipc_classic_open(instance, &handle), LIPC_E_OK);
    int error = lipc_classic_connect(handle, soon());
    if (error == 0)
        error = lipc_classic_stream(handle, NULL, "hello", soon(), NULL, NULL, &result);
    CHECK_SAY(error == 0 || (!must_work && is_excused(error)), "%s (%s)", lipc_error_name(error), lipc_error_message());
    if (must_work)
        CHECK_TEXT(result.text, script->text);
    else if (error == 0) /* it tells old clients in the text itself */
        CHECK_SAY(test_is_prefix(result.text, strcspn(result.text, "["), script->text) &&
                      (!strchr(result.text, '[') || strstr(result.text, "[error: not enough memory")),
                  "another text: %s", result.text);
    lipc_classic_close(handle);
}

static bool is_ready(const char *instance, pid_t pid) {
    segment segment = segment_open(instance);
    bool ready = segment.size > LIPC_HUB_END && NOW(hub_in(&segment)->magic) == LIPC_HUB_MAGIC &&
                 hub_in(&segment)->host_pid == (uint32_t)pid && hub_state(&segment) == LIPC_HUB_READY;
    segment_close(&segment);
    return ready;
}

static void use_host(test_host *host, const script *script) {
    ask_classic(host->instance, script, board->kind == FAULT_SIGNAL);
    ask_modern(host->instance, script, board->kind == FAULT_SIGNAL);
    if (board->n_more || host_ended(host, 0))
        return;
    /* It failed once, and lives: from now on everything works. */
    ask_modern(host->instance, script, board->n_failed > 0);
    ask_classic(host->instance, script, board->n_failed > 0);
}

/* Returns whether the host came so far that it served. */
static bool run_host(const char *instance, const char *const *arguments, const script *script) {
    test_host host;
    test_host_setup setup = {.before_exec = preload};
    host_start_with(&host, instance, &setup, arguments);
    CHECK_SAY(WAITED(SOON_MS, host_ended(&host, 0) || is_ready(instance, host.pid)), "call %d: it hangs", board->first);
    bool has_served = host.running;
    if (has_served)
        use_host(&host, script);
    kill(host.pid, SIGTERM);
    CHECK_SAY(host_ended(&host, SOON_MS), "call %d: it does not end", board->first);
    char *err = host_err(&host);
    CHECK_SAY(host.exit_code >= 0 && host.exit_code <= LAST_DOCUMENTED_CODE, "call %d: code %d: %s", board->first,
              host.exit_code, err);
    CHECK_SAY(host.exit_code == 0 || strstr(err, "error: "), "call %d: code %d and no word: %s", board->first,
              host.exit_code, err);
    CHECK_SAY(strstr(err, "was killed by signal") == NULL, "call %d: a worker crashed: %s", board->first, err);
    free(err);
    close(host.out_fd);
    close(host.err_fd);
    check_host_left_nothing(&host);
    return has_served;
}

static void host_sweep(const char *what, fault_kind kind, bool is_program_only, int n_more, int stride,
                       const char *instance, const char *const *arguments, const script *script) {
    int n_served = 0, n_runs = 0, first = 1;
    test_step("a host with %s: %s fails %s", what, kind_names[kind],
              n_more ? "for good" : "once");
    for (;; first += stride) {
        arm(kind, is_program_only, first, n_more);
        n_served += run_host(instance, arguments, script);
        if (board->n_failed == 0)
            break;
        n_runs++;
    }
    printf("    %d of about %d calls failed, the host served %d times\n", n_runs, first - 1, n_served);
    CHECK_INT(n_runs, >, 0);
    CHECK(kind != FAULT_SIGNAL || n_served == n_runs + 1);
}

/* What the embedded model says when nothing fails. */
static script answer_of_model(const char *instance, const char *const *arguments) {
    test_host host;
    segment segment = host_ready(&host, instance, arguments);
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    reading reading = read_to_end(stream);
    CHECK_SAY(reading.code == 0 && reading.n_bytes > 0, "%s (%s)", lipc_error_name(reading.code), lipc_error_message());
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
    return (script){.text = reading.text, .n_bytes = reading.n_bytes};
}

int main(int argc, char *argv[]) {
    if (argc > 6 && strcmp(argv[1], "client") == 0)
        return be_client(argv);
    bool is_full = argc > 1 && strcmp(argv[1], "all") == 0;
    char instance[64];
    test_begin("no_memory", is_full ? 1200 : 110);
    script script = script_new(1500);
    test_instance(instance, "memory");
    ssize_t n = readlink("/proc/self/exe", own_path, sizeof own_path - 1);
    own_path[n > 0 ? n : 0] = 0;
    snprintf(preloaded, sizeof preloaded, "%.*s/libfailing_calls.so", (int)(strrchr(own_path, '/') - own_path), own_path);
    if (access(preloaded, R_OK) != 0)
        test_skip("%s is not built: a sanitizer has an allocator of its own", preloaded);
    int fd = memfd_create("faults", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, sizeof *board) == 0);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(board != MAP_FAILED);
    snprintf(board_path, sizeof board_path, "/proc/%d/fd/%d", (int)getpid(), fd);

    const char *const replay[] = {"--replay", script.path, "--rate", "0", "--log-level", "error", NULL};
    const char *const embedded[] = {"--temp", "0", "-n", "24", "-t", "1", "--log-level", "error", NULL};
    clients(is_full ? 1 : 3, instance, &script);
    struct script answer = answer_of_model(instance, embedded);
    for (int kind = FAULT_HEAP; kind <= FAULT_SYSTEM; kind++) {
        host_sweep("a text", (fault_kind)kind, false, ONCE, 1, instance, replay, &script);
        host_sweep("a text", (fault_kind)kind, false, FOR_GOOD, is_full ? 1 : 3, instance, replay, &script);
        host_sweep("a model", (fault_kind)kind, true, ONCE, is_full ? 1 : 5, instance, embedded, &answer);
    }
    host_sweep("a text", FAULT_SIGNAL, false, ONCE, 1, instance, replay, &script);
    free(answer.text);
    free(script.text);
    return test_end();
}
