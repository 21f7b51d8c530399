/* eintr_storm.c - signals without a pause. Every thread of a client gets ones with a handler that does not restart what it
 * interrupts, those of the host ones that are ignored by default, and stops: all calls of the library work, texts are whole,
 * time-outs are not early; a host in its start is not held up by them.
 *
 * eintr_storm [ANSWERS of each client] [STARTS] */
#include "faults_test.h"

#include <dirent.h>
#include <sys/syscall.h>

typedef struct board {
    const char *instance;
    const script *script;
    const char *host_path;
    int n_answers;
    int n_signals;  /* that the client took; atomic */
    int may_end;    /* atomic */
    pid_t targets[2]; /* the client; the host, if it is to be hit */
} board;

static board *shared;

/* ---- the storm ---------------------------------------------------------------------------------------------------- */

/* Each thread of a process gets the signal. */
static void hit(pid_t pid, int number) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    struct dirent *entry;
    while (threads && (entry = readdir(threads)))
        if (entry->d_name[0] != '.')
            syscall(SYS_tgkill, pid, atoi(entry->d_name), number);
    if (threads)
        closedir(threads);
}

static void hit_host(pid_t pid, unsigned round) {
    static const int ignored[] = {SIGWINCH, SIGCHLD, SIGURG, SIGCONT};
    pid_t family[FAMILY_MOST];
    int n = family_of(pid, family);
    for (int i = 0; i < n; i++) {
        hit(family[i], ignored[round % 4]);
        if (round % 16 != 0)
            continue;
        kill(family[i], SIGSTOP);
        kill(family[i], SIGCONT);
    }
}

static void storm(void *data, int number) {
    board *board = data;
    (void)number;
    for (unsigned round = 0; !NOW(board->may_end); round++) {
        if (board->targets[1])
            hit_host(board->targets[1], round);
        for (int i = 0; i < 8; i++)
            hit(board->targets[0], SIGUSR1);
    }
}

static void on_signal(int number) {
    (void)number;
    __atomic_add_fetch(&shared->n_signals, 1, __ATOMIC_RELAXED);
}

/* ---- clients in it ------------------------------------------------------------------------------------------------ */

static void use_modern(board *board) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = board->instance;
    options.timeout_ms = soon();
    options.start = board->host_path ? LIPC_START_WITH_ME : LIPC_START_NEVER;
    options.host_path = board->host_path;
    const char *const arguments[] = {"--replay", board->script->path, "--rate", "0", "--log-level", "error", NULL};
    options.host_arguments = arguments;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_OK);
    CHECK_LIPC(lipc_client_wait_ready(client, soon(), NULL, NULL), LIPC_E_OK);
    for (int i = 0; i < board->n_answers; i++) {
        size_t index;
        lipc_stream *streams[2] = {ask(client, "hello"), ask(client, "hello")};
        CHECK_LIPC(lipc_stream_wait_any(streams, 2, soon(), &index), LIPC_E_OK);
        check_whole(streams[!index], board->script);
        check_whole(streams[index], board->script);
        lipc_stream_close(streams[0]);
        lipc_stream_close(streams[1]);
    }
    if (board->host_path)
        CHECK_LIPC(lipc_client_shutdown(client, soon()), LIPC_E_OK);
    lipc_client_close(client);
}

static void use_classic(board *board) {
    lipc_classic *handle;
    CHECK_LIPC(lipc_classic_open(board->instance, &handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(handle, soon()), LIPC_E_OK);
    for (int i = 0; i < board->n_answers; i++)
        check_classic_answer(handle, i % 2 == 0, soon(), board->script);
    lipc_classic_close(handle);
}

/* What waits for something that does not come ends when it was asked to, not at a signal. */
static void wait_in_vain(board *board) {
    enum { TIMEOUT_MS = 100 };
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = board->instance;
    options.timeout_ms = TIMEOUT_MS;
    double begin = test_now_ms();
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_NO_HOST);
    CHECK_INT(test_now_ms() - begin, >=, TIMEOUT_MS - 1);
}

static void be_client(void *data, int number) {
    static void (*const ways[])(board *) = {use_modern, use_classic, wait_in_vain};
    const struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGSTOP);
    ways[number](data);
}

static void in_a_storm(board *board, const char *what, int way, pid_t host) {
    test_step("%s", what);
    board->n_signals = board->may_end = 0;
    pid_t client = worker_start(be_client, board, way);
    worker_wait_stopped(client);
    board->targets[0] = client;
    board->targets[1] = host;
    pid_t stormer = worker_start(storm, board, 0);
    kill(client, SIGCONT);
    worker_wait(client);
    __atomic_store_n(&board->may_end, 1, __ATOMIC_RELEASE);
    worker_wait(stormer);
    printf("  %d signals\n", board->n_signals);
    CHECK_INT(board->n_signals, >, 0);
}

/* ---- a host in its start ------------------------------------------------------------------------------------------ */

/* Reserving so much takes a moment, in which signals come. */
#define LARGE "--streams", "8", "--response-size", "8M"

static void stopped_in_its_start(const char *instance, const script *script, int n_starts) {
    test_host host;
    test_step("%d hosts that are stopped and continued in their start", n_starts);
    for (int i = 0; i < n_starts; i++) {
        host_start_with(&host, instance, NULL, REPLAY(*script, "--rate", "0", LARGE));
        segment segment = {0};
        while (!host_ended(&host, 0) && !has_come_to(&segment, instance, host.pid, LIPC_HUB_READY)) {
            kill(host.pid, SIGSTOP);
            kill(host.pid, SIGCONT);
            test_pause_ms(3);
        }
        end_undisturbed_host(&host, &segment);
    }
}

static void ended_in_its_start(const char *instance, const script *script, int n_starts) {
    test_host host;
    uint64_t random = 3;
    test_step("%d hosts that are told to end in their start", n_starts);
    for (int i = 0; i < n_starts; i++) {
        host_start_with(&host, instance, NULL, REPLAY(*script, "--rate", "0", LARGE));
        test_pause_ms(test_random(&random, 40));
        kill(host.pid, SIGTERM);
        CHECK_SAY(host_ended(&host, SOON_MS), "it goes on");
        char *err = host_err(&host);
        /* Before there is a handler the signal itself ends it. */
        CHECK_SAY(host.exit_code == 0 || host.exit_code == 128 + SIGTERM, "ended with code %d: %s", host.exit_code, err);
        free(err);
        close(host.out_fd);
        close(host.err_fd);
        check_host_left_nothing(&host);
    }
}

int main(int argc, char *argv[]) {
    int n_answers = argc > 1 ? atoi(argv[1]) : 30, n_starts = argc > 2 ? atoi(argv[2]) : 12;
    char instance[64];
    test_host host;
    test_begin("eintr_storm", 100 + (unsigned)(n_answers + n_starts));
    script script = script_new(1500);
    test_instance(instance, "storm");
    shared = shared_new(sizeof *shared);
    *shared = (board){.instance = instance, .script = &script, .n_answers = n_answers};

    in_a_storm(shared, "waiting for a host that does not come", 2, 0);
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "5000"));
    in_a_storm(shared, "the modern channel", 0, host.pid);
    in_a_storm(shared, "the classic channel", 1, host.pid);
    end_undisturbed_host(&host, &segment);
    shared->host_path = getenv("LIPC_CHATBOT");
    shared->n_answers = 3;
    if (shared->host_path)
        in_a_storm(shared, "starting a host and ending it", 0, 0);
    CHECK_SAY(WAITED(SOON_MS, is_childless() && objects_count(instance) == 0), "a host is left");

    stopped_in_its_start(instance, &script, n_starts);
    ended_in_its_start(instance, &script, n_starts);
    free(script.text);
    return test_end();
}
