/* crash_points.c - a host's supervisor, its worker and clients of both channels are killed, stopped and continued, and
 * made to crash, behind every single store that they make to shared memory (src/platform/failpoint.h). Whoever is left, and
 * whoever comes then, is served; nobody gets a wrong byte; nothing is left behind.
 *
 * Promised: the other side is served within a second.
 *
 * The list of steps comes out of the code. First each kind of victim lives a whole life, in which its steps are
 * counted; a step that none of them comes to fails the test. Then each step has its rounds: with a host of its own, a
 * bystander whose answer never ends, the victim, and newcomers behind the death.
 *
 * crash_points PATH-OF-failpoints.sh [short|all [PART-OF-A-ROUND'S-NAME]]
 *     short   each step once, killed, by each kind of victim; every fourth also stopped, or made to crash
 *     all     each step the first time that it is come to, in the middle, and the last time, with everything; by the
 *             special kinds of victims only the last time, where it is not theirs alone
 */
#include "scenarios.h"

#include "platform/failpoint.h"

enum {
    HEARD_MS = 2000, /* a host that was asked to end without being rung looks within a second */
    ROUND_SECONDS = 60,
    ROUNDS_MOST = 8192,
    FAILPOINTS_MOST = FAILPOINT_COUNTS,
    COUNT_TRIES = 5,
    REACH_TRIES = 40
};

/* ---- Rounds ---- */

/* Small: many hosts run at a time, and reserve their memory. */
#define RESPONSE_SIZE "256K"
enum { RESPONSE_BYTES = 256 * 1024 };

typedef enum side {
    MODERN,
    MODERN_SHUTDOWN,
    CLASSIC,
    CLASSIC_SHUTDOWN,
    ORPHAN,    /* a classic client whose host has just been killed */
    HOST,      /* from its start to its end; who of the two processes comes to the step */
    RECOVERING,/* likewise, but the first worker is killed on the way */
    SUCCESSOR, /* a host that takes over from one that was killed on the way */
    PLAGUED,   /* a host with a rude client of the classic channel */
    N_SIDES
} side;

static const struct {
    const char *name;
    scenario_fn life; /* of a client that is the victim */
    bool ends_host, is_host;
    const char *rate, *streams; /* of the host: tokens per second that it plays back, room for streams */
} sides[N_SIDES] = {
    [MODERN] = {"modern", scenario_modern, false, false, "4000", "4"},
    [MODERN_SHUTDOWN] = {"modern-shutdown", scenario_modern_shutdown, true, false, "4000", "4"},
    [CLASSIC] = {"classic", scenario_classic, false, false, "4000", "4"},
    [CLASSIC_SHUTDOWN] = {"classic-shutdown", scenario_classic_shutdown, true, false, "4000", "4"},
    [ORPHAN] = {"orphan", scenario_classic, false, false, "100", "4"},
    [HOST] = {"host", NULL, false, true, "4000", "4"},
    [RECOVERING] = {"recovering", NULL, false, true, "4000", "4"},
    /* So much room that the answer which is left behind never has to make room for others. */
    [SUCCESSOR] = {"successor", NULL, false, true, "2000", "24"},
    [PLAGUED] = {"plagued", NULL, false, true, "4000", "4"},
};

typedef enum action { COUNT, KILL, STOP, CRASH } action;
static const char *const action_names[] = {"count", "kill", "stop", "segv"};

typedef struct round {
    side side;
    const char *step;
    uint32_t nth;
    action action;
} crash_round;

/* How rounds went; in memory that all share. */
typedef struct outcome {
    bool was_reached;
    double modern_ms, classic_ms; /* from the death, or the continuation, to the newcomers' first texts */
} outcome;

static script text, played; /* the same, with a call in it */

static const char *name_of(const crash_round *round, char name[128]) {
    snprintf(name, 128, "%s:%s:%u:%s", sides[round->side].name, round->step, round->nth, action_names[round->action]);
    return name;
}

/* ---- The victim's orders ---- */

typedef struct orders {
    const crash_round *round;
    char instance[64];
    char mark[128];   /* created by the victim, with its pid in it */
    char counts[128]; /* "": nothing is counted */
} orders;

static void give_orders(void *data) {
    const orders *orders = data;
    char reservation[160];
    const crash_round *round = orders->round;
    snprintf(reservation, sizeof reservation, "%s:%u:%s", round->step, round->nth, action_names[round->action]);
    setenv("LIPC_FAILPOINT_MARK", orders->mark, 1);
    if (round->action != COUNT)
        setenv("LIPC_FAILPOINT", reservation, 1);
    else
        setenv("LIPC_FAILPOINT_COUNTS", orders->counts, 1);
}

/* The pid of who has done it; 0: nobody yet. */
static pid_t marked(const orders *orders) {
    int pid = 0;
    FILE *file = fopen(orders->mark, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    fclose(file);
    return pid;
}

/* ---- The bystander ---- */

typedef struct board {
    const char *instance;
    int may_end;
    size_t n_read; /* by the bystander */
} board;

/* Exit codes of companions and victims: how the library said it ended. */
static int exit_code_of(int result) {
    return result == LIPC_E_OK ? 0 : 100 - result;
}

/* Reads an answer that only ends when there is no more room for it. Returns how the reading ended. */
static int look_on_once(board *board, lipc_client *client) {
    lipc_stream *stream;
    lipc_request request = request_of("look on");
    request.ignore_eos = 1;
    request.n_predict = -1;
    request.priority = 100;
    int result = lipc_stream_open(client, &request, &stream);
    for (size_t n_read = 0; result == LIPC_E_OK && !NOW(board->may_end);) {
        lipc_delta delta;
        result = lipc_stream_read(stream, 20, &delta);
        if (result == LIPC_E_TIMEOUT) {
            result = LIPC_E_OK;
            continue;
        }
        if (result < 0)
            break;
        if (delta.n_bytes == 0) {
            CHECK_INT(n_read, >, RESPONSE_BYTES - 64);
            break;
        }
        CHECK_INT(delta.offset, ==, n_read);
        CHECK_SAY(script_has(&text, delta.offset, delta.text, delta.n_bytes), "wrong text at %zu", n_read);
        n_read += delta.n_bytes;
        __atomic_store_n(&board->n_read, n_read, __ATOMIC_RELEASE);
    }
    lipc_stream_close(stream);
    return result;
}

static int look_on(board *board) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = board->instance;
    options.timeout_ms = soon();
    int result = lipc_client_open(&options, &client);
    while (result == LIPC_E_OK && !NOW(board->may_end))
        result = look_on_once(board, client);
    lipc_client_close(client);
    return result;
}

static void be_bystander(void *data, int number) {
    (void)number;
    _exit(exit_code_of(look_on(data)));
}

typedef struct companion {
    const char *instance;
    scenario_fn life;
} companion;

static void be_companion(void *data, int number) {
    (void)number;
    const companion *companion = data;
    _exit(exit_code_of(companion->life(companion->instance, &text)));
}

/* How a companion ended: 0 or a lipc_error. It must not have been killed, or have found anything wrong. */
static int companion_wait(pid_t pid, const char *who) {
    int status;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    CHECK_SAY(code == 0 || code > 100, "%s, process %d, ended with status %x: see above", who, (int)pid,
              (unsigned)status);
    return code == 0 ? LIPC_E_OK : 100 - code;
}

static bool moves_on(const board *board) {
    size_t before = NOW(board->n_read);
    return WAITED(SOON_MS, NOW(board->n_read) != before);
}

/* ---- What both kinds of rounds share ---- */

static void start_host(test_host *host, const char *instance, const crash_round *round, orders *orders) {
    const test_host_setup setup = {.before_exec = orders ? give_orders : NULL, .data = orders};
    const char *rate = sides[round->side].rate, *streams = sides[round->side].streams;
    host_start_with(host, instance, &setup,
                    REPLAY(played, "--rate", rate, "--streams", streams, "-np", "3", "--response-size", RESPONSE_SIZE));
}

/* One of each channel. The first one's time counts from the death. */
static void serve_newcomers(const char *instance, outcome *outcome, double since_ms) {
    outcome->modern_ms = test_now_ms() - since_ms;
    outcome->modern_ms += serve_modern_newcomer(instance, &text);
    outcome->classic_ms = serve_classic_newcomer(instance, &text);
}

/* Nothing runs, nobody is there; of the streams, only those that were let go on purpose are kept. */
static bool is_at_rest(const segment *segment) {
    const lipc_hub *hub = hub_in(segment);
    for (uint32_t i = 0; i < hub->n_streams; i++) {
        uint32_t phase = NOW(stream_in(segment, i)->claim) & 0xF;
        if (phase != LIPC_CLAIM_FREE && phase != LIPC_CLAIM_DETACHED)
            return false;
    }
    return clients_in_use(segment) == 0 && NOW(hub->n_attached) == 0 && NOW(hub->n_running) == 0 &&
           NOW(hub->n_queued) == 0;
}

static void check_at_rest(const char *instance) {
    segment segment = segment_open(instance);
    CHECK(segment.base != NULL);
    bool rests = WAITED(SOON_MS, is_at_rest(&segment));
    CHECK_SAY(rests, "left over: %d streams, %d client records; the hub says %u attached, %u running, %u queued",
              streams_in_use(&segment), clients_in_use(&segment), hub_in(&segment)->n_attached,
              hub_in(&segment)->n_running, hub_in(&segment)->n_queued);
    segment_close(&segment);
}

/* ---- A client is the victim ---- */

static pid_t start_victim(orders *orders) {
    fflush(NULL);
    pid_t pid = fork();
    CHECK_SAY(pid >= 0, "fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    give_orders(orders);
    char side[16];
    snprintf(side, sizeof side, "%d", orders->round->side);
    execl("/proc/self/exe", "crash_points", "--victim", side, orders->instance, text.path, (char *)NULL);
    _exit(126);
}

static int be_victim(char *argv[]) {
    text = script_load(argv[4]);
    return exit_code_of(sides[atoi(argv[2])].life(argv[3], &text));
}

/* The last words of a victim that went on after a stop, or never came to the step. */
static void check_words(const crash_round *round, int status) {
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    CHECK_SAY(code == 0 || code > 100, "the victim ended with status %x: see above", (unsigned)status);
    int error = code == 0 ? LIPC_E_OK : 100 - code;
    /* There is one block for all: a classic client that was stopped may find its turn gone. An orphan has lost its
     * host. */
    bool may_fail = (round->side == CLASSIC && round->action == STOP && error == LIPC_E_TIMEOUT) ||
                    (round->side == ORPHAN && (error == LIPC_E_HOST_GONE || error == LIPC_E_NO_HOST));
    CHECK_SAY(error == LIPC_E_OK || may_fail, "the victim ended with %s", lipc_error_name(error));
}

static bool has_answer_at_hand(const char *instance) {
    segment segment = segment_open(instance);
    bool has = segment.base && NOW(hub_in(&segment)->n_running) > 0;
    segment_close(&segment);
    return has;
}

/* A client that is stopped keeps what it has. If that is every place, the others wait for it. */
static bool is_full(const char *instance) {
    segment segment = segment_open(instance);
    bool full = segment.base && streams_in_use(&segment) == (int)hub_in(&segment)->n_streams;
    segment_close(&segment);
    return full;
}

/* The victim has died, stopped or come to its end; returns its status. An orphan's host dies while it has an answer at
 * hand, and another takes its place. */
static int wait_for_victim(const crash_round *round, pid_t victim, const orders *orders, test_host *host) {
    int status;
    if (round->side == ORPHAN) {
        CHECK(WAITED(SOON_MS, has_answer_at_hand(host->instance) || marked(orders) != 0));
        host_kill(host);
    }
    CHECK_INT(waitpid(victim, &status, WUNTRACED), ==, victim);
    CHECK_SAY(!WIFSIGNALED(status) || WTERMSIG(status) == SIGKILL, "the victim ended with status %x", (unsigned)status);
    if (WIFEXITED(status))
        check_words(round, status);
    if (round->side == ORPHAN)
        start_host(host, orders->instance, round, NULL);
    return status;
}

static void continue_victim(const crash_round *round, pid_t victim) {
    int status;
    kill(victim, SIGCONT);
    CHECK_INT(waitpid(victim, &status, 0), ==, victim);
    check_words(round, status);
}

/* With a host that goes on. */
static void client_round(const crash_round *round, orders *orders, outcome *outcome) {
    const char *instance = orders->instance;
    test_host host;
    board *board = shared_new(sizeof *board);
    *board = (struct board){.instance = instance};
    start_host(&host, instance, round, NULL);
    segment segment = segment_of(instance, host.pid, LIPC_HUB_READY);
    segment_close(&segment);
    pid_t bystander = round->side == ORPHAN ? 0 : worker_start(be_bystander, board, 0);
    CHECK(!bystander || WAITED(SOON_MS, NOW(board->n_read) > 0));
    pid_t victim = start_victim(orders);
    int status = wait_for_victim(round, victim, orders, &host);
    double since_ms = test_now_ms();
    outcome->was_reached = marked(orders) == victim;
    bool is_late = WIFSTOPPED(status) && is_full(instance);
    if (!is_late)
        serve_newcomers(instance, outcome, since_ms);
    if (WIFSTOPPED(status))
        continue_victim(round, victim);
    if (is_late)
        serve_newcomers(instance, outcome, test_now_ms());
    if (bystander) {
        CHECK_SAY(moves_on(board), "the bystander's answer stands still at %zu bytes", NOW(board->n_read));
        __atomic_store_n(&board->may_end, 1, __ATOMIC_RELEASE);
        CHECK_INT(companion_wait(bystander, "the bystander"), ==, LIPC_E_OK);
    }
    check_at_rest(instance);
    host_stop(&host);
}

/* With a host that is asked to end. A client that dies on the way has asked for it, or has not. */
static void shutdown_round(const crash_round *round, orders *orders, outcome *outcome) {
    const char *instance = orders->instance;
    test_host host;
    start_host(&host, instance, round, NULL);
    segment segment = segment_of(instance, host.pid, LIPC_HUB_READY);
    segment_close(&segment);
    pid_t victim = start_victim(orders);
    int status = wait_for_victim(round, victim, orders, &host);
    outcome->was_reached = marked(orders) == victim;
    if (WIFSTOPPED(status))
        continue_victim(round, victim);
    if (host_ended(&host, WIFSIGNALED(status) ? HEARD_MS : SOON_MS)) {
        CHECK_INT(host.exit_code, ==, 0);
        CHECK_INT(objects_count(instance), ==, 0);
        return;
    }
    CHECK_SAY(WIFSIGNALED(status), "the host was asked to end and does not");
    serve_newcomers(instance, outcome, test_now_ms());
    check_at_rest(instance);
    host_stop(&host);
}

/* ---- The host is the victim ---- */

typedef struct house {
    const crash_round *round;
    const char *instance;
    orders *orders;
    outcome *outcome;
    test_host host;
    board *board;
    pid_t bystander, modern, classic, finder;
    char left_id[LIPC_STREAM_ID_SIZE]; /* of the answer that the host before has left behind; "": none */
    ino_t left_in;
    bool is_host_lost; /* the supervisor died: whoever was there sees that */
} house;

static void companions_start(house *house) {
    static companion modern, classic;
    modern = (companion){house->instance, scenario_modern};
    classic = (companion){house->instance, house->round->side == PLAGUED ? scenario_rudely : scenario_classic};
    house->modern = worker_start(be_companion, &modern, 0);
    house->classic = worker_start(be_companion, &classic, 0);
}

static void bystander_start(house *house) {
    house->board = shared_new(sizeof *house->board);
    *house->board = (board){.instance = house->instance};
    house->bystander = worker_start(be_bystander, house->board, 0);
}

static void check_companion(const house *house, const char *who, int error) {
    CHECK_SAY(error == LIPC_E_OK || (house->is_host_lost && error == LIPC_E_HOST_GONE), "%s ended with %s", who,
              lipc_error_name(error));
}

/* Ended by itself; whoever it was is waited for only once. */
static bool has_left(pid_t pid) {
    siginfo_t info = {0};
    CHECK_INT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), ==, 0);
    return info.si_pid == pid;
}

static void companions_wait(house *house) {
    check_companion(house, "the modern companion", companion_wait(house->modern, "the modern companion"));
    check_companion(house, "the classic companion", companion_wait(house->classic, "the classic companion"));
}

static void bystander_end(house *house) {
    __atomic_store_n(&house->board->may_end, 1, __ATOMIC_RELEASE);
    check_companion(house, "the bystander", companion_wait(house->bystander, "the bystander"));
}

static char state_of_process(pid_t pid) {
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    fclose(file);
    return state;
}

static pid_t worker_of(const char *instance) {
    segment segment = segment_open(instance);
    pid_t pid = segment.base ? (pid_t)NOW(hub_in(&segment)->worker_pid) : 0;
    segment_close(&segment);
    return pid;
}

/* While the worker is stopped nothing comes, and nobody hangs: a call with a time-out returns. */
static void call_stopped(const char *instance) {
    lipc_client_options options;
    lipc_client *client;
    lipc_stream *stream;
    lipc_delta delta;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = 50;
    if (lipc_client_open(&options, &client) < 0)
        return; /* it was stopped before it could be attached to */
    if (lipc_stream_ask(client, "are you there?", &stream) == LIPC_E_OK) {
        double begin = test_now_ms();
        int result = lipc_stream_read(stream, 20, &delta);
        CHECK_SAY(result == LIPC_E_TIMEOUT || result == LIPC_E_OK || result == LIPC_E_HOST_GONE, "%s",
                  lipc_error_name(result));
        CHECK_INT(test_now_ms() - begin, <, soon());
        lipc_stream_close(stream);
    }
    lipc_client_close(client);
}

/* The victim has done it. Sees to it that the others can go on; returns since when they can. */
static double follow_up(house *house, pid_t victim) {
    house->outcome->was_reached = true;
    if (house->round->action == STOP) {
        CHECK_SAY(WAITED(SOON_MS, state_of_process(victim) == 'T'), "process %d does not stop", (int)victim);
        if (victim != house->host.pid)
            call_stopped(house->instance);
        kill(victim, SIGCONT);
        return test_now_ms();
    }
    double since_ms = test_now_ms();
    if (victim != house->host.pid)
        return since_ms;
    house->is_host_lost = true;
    CHECK_SAY(host_ended(&house->host, SOON_MS), "the supervisor survived");
    CHECK_INT(house->host.exit_code, ==, 128 + (house->round->action == KILL ? SIGKILL : SIGSEGV));
    return since_ms;
}

static bool companions_have_left(const house *house) {
    return has_left(house->modern) && has_left(house->classic);
}

static void end_house(house *house) {
    pid_t victim = 0;
    kill(house->host.pid, SIGTERM);
    bool has_ended = WAITED(SOON_MS, host_ended(&house->host, 0) ||
                                         (!house->outcome->was_reached && (victim = marked(house->orders)) != 0));
    CHECK_SAY(has_ended, "the host does not end");
    if (victim)
        follow_up(house, victim);
    CHECK_SAY(host_ended(&house->host, SOON_MS), "the host does not end");
    if (!house->is_host_lost) {
        CHECK_INT(house->host.exit_code, ==, 0);
        CHECK_INT(objects_count(house->instance), ==, 0);
        return;
    }
    start_host(&house->host, house->instance, house->round, NULL);
    serve_newcomers(house->instance, house->outcome, test_now_ms());
    check_at_rest(house->instance);
    host_stop(&house->host);
}

/* The first worker dies in its middle, unless the victim has come to the step before. */
static void kill_worker(const house *house) {
    pid_t worker = 0;
    CHECK(WAITED(SOON_MS, marked(house->orders) != 0 ||
                              (NOW(house->board->n_read) > 100 && (worker = worker_of(house->instance)) != 0)));
    if (worker)
        kill(worker, SIGKILL);
}

/* What has happened when the companions come: nothing, or another host was killed in its middle. */
static void open_house(house *house) {
    if (house->round->side == SUCCESSOR) {
        start_host(&house->host, house->instance, house->round, NULL);
        bystander_start(house);
        CHECK(WAITED(SOON_MS, NOW(house->board->n_read) > 100));
        leave_answer(house->instance, &text, house->left_id);
        house->left_in = object_inode(house->instance, OBJECT_SEGMENT);
        host_kill(&house->host);
        house->is_host_lost = true;
        bystander_end(house);
        house->is_host_lost = false;
    }
    start_host(&house->host, house->instance, house->round, house->orders);
    bystander_start(house);
    companions_start(house);
}

/* Until it is over, or the victim has come to the step: then the others go on, with another host if need be. */
static void watch_house(house *house, bool (*is_over)(const struct house *)) {
    pid_t victim = 0;
    if (house->outcome->was_reached)
        return;
    CHECK(WAITED(SOON_MS * 2, (victim = marked(house->orders)) != 0 || is_over(house)));
    if (!victim)
        return;
    double since_ms = follow_up(house, victim);
    if (house->is_host_lost)
        start_host(&house->host, house->instance, house->round, NULL);
    if (house->round->side == PLAGUED) { /* nobody is served beside somebody who does not wait for his turn */
        CHECK(WAITED(SOON_MS * 2, companions_have_left(house)));
        since_ms = test_now_ms();
    }
    serve_newcomers(house->instance, house->outcome, since_ms);
}

static void be_finder(void *data, int number) {
    (void)number;
    const house *house = data;
    _exit(exit_code_of(find_answer(house->instance, &text, house->left_id)));
}

static bool finder_has_left(const house *house) {
    return has_left(house->finder);
}

/* The answer that was left behind is there, and goes on to its end; with whichever host there is. A host that was
 * killed while it wrote its hub leaves a segment that is not taken over. */
static void find_left_answer(house *house) {
    if (!house->left_id[0] || object_inode(house->instance, OBJECT_SEGMENT) != house->left_in)
        return;
    house->finder = worker_start(be_finder, house, 0);
    watch_house(house, finder_has_left);
    int error = companion_wait(house->finder, "who looks for an answer");
    check_companion(house, "who looks for an answer", error);
    if (error < 0 && object_inode(house->instance, OBJECT_SEGMENT) == house->left_in)
        CHECK_LIPC(find_answer(house->instance, &text, house->left_id), LIPC_E_OK);
}

static void host_round(const crash_round *round, orders *orders, outcome *outcome) {
    house house = {.round = round, .instance = orders->instance, .orders = orders, .outcome = outcome};
    open_house(&house);
    if (round->side == RECOVERING)
        kill_worker(&house);
    watch_house(&house, companions_have_left);
    companions_wait(&house);
    find_left_answer(&house);
    bystander_end(&house);
    end_house(&house);
}

/* ---- Running rounds, some at a time ---- */

static void run_round(const crash_round *round, int number, const char *counts, outcome *outcome) {
    char suffix[32];
    orders orders = {.round = round};
    snprintf(suffix, sizeof suffix, "round%d", number);
    test_instance(orders.instance, suffix);
    snprintf(orders.mark, sizeof orders.mark, "/dev/shm/%s_mark", orders.instance);
    if (counts)
        snprintf(orders.counts, sizeof orders.counts, "%s", counts);
    alarm((unsigned)test_scaled(ROUND_SECONDS));
    if (sides[round->side].is_host)
        host_round(round, &orders, outcome);
    else if (sides[round->side].ends_host)
        shutdown_round(round, &orders, outcome);
    else
        client_round(round, &orders, outcome);
    unlink(orders.mark);
}

/* How often a step is come to is not the same each time, and some are only come to at the right moment; what a host does
 * once a second it surely does in its longest life. */
static void run_until_reached(const crash_round *round, int number, const char *counts, outcome *outcome) {
    crash_round again = *round;
    run_round(round, number, counts, outcome);
    again.nth = 1;
    for (int tries = 1; !counts && !outcome->was_reached && tries < REACH_TRIES; tries++) {
        if (sides[round->side].is_host && tries > 1)
            again.side = PLAGUED;
        run_round(&again, number, counts, outcome);
    }
}

/* The rounds, some at a time: most of a round is waiting. Returns how many failed. */
static int run_rounds(const crash_round *rounds, int n_rounds, const char *counts, outcome *outcomes) {
    struct { pid_t pid; int number; } running[64];
    int n_running = 0, n_failed = 0, next = 0;
    long most = 2 * sysconf(_SC_NPROCESSORS_ONLN);
    while (next < n_rounds || n_running > 0) {
        while (next < n_rounds && n_running < (most < 64 ? most : 64)) {
            fflush(NULL);
            pid_t pid = fork();
            CHECK_SAY(pid >= 0, "fork: %s", strerror(errno));
            if (pid == 0) {
                char name[128];
                test_step("round %s", name_of(&rounds[next], name));
                run_until_reached(&rounds[next], next, counts, &outcomes[next]);
                _exit(0);
            }
            running[n_running].pid = pid;
            running[n_running++].number = next++;
        }
        int status;
        pid_t ended = waitpid(-1, &status, 0);
        for (int i = 0; i < n_running; i++) {
            char name[128];
            if (running[i].pid != ended)
                continue;
            if (status != 0) {
                fprintf(stderr, "round %s failed\n", name_of(&rounds[running[i].number], name));
                n_failed++;
            }
            running[i] = running[--n_running];
            break;
        }
    }
    return n_failed;
}

/* ---- The plan ---- */

typedef struct steps {
    int n;
    char names[FAILPOINTS_MOST][56];
    uint32_t counts[FAILPOINTS_MOST][N_SIDES];
} steps;

static void read_failpoints(steps *steps, const char *script_path) {
    char command[4200];
    snprintf(command, sizeof command, "sh '%s'", script_path);
    FILE *list = popen(command, "r");
    CHECK(list != NULL);
    while (steps->n < FAILPOINTS_MOST && fscanf(list, "%*s %55s", steps->names[steps->n]) == 1) {
        const char *name = steps->names[steps->n];
        steps->n += strncmp(name, "journal.model.", 14) != 0 && strncmp(name, "model.show.", 11) != 0; /* those are load_points' */
    }
    CHECK_SAY(pclose(list) == 0 && steps->n > 0, "%s gives no list", script_path);
}

static uint32_t counted(const failpoint_count *counts, const char *name) {
    for (int i = 0; i < FAILPOINT_COUNTS; i++)
        if (strcmp(counts[i].name, name) == 0)
            return counts[i].n;
    return 0;
}

/* Each kind of victim lives once, unharmed. */
static void count_failpoints(steps *steps) {
    char marker[64];
    outcome *outcomes = shared_new(N_SIDES * sizeof *outcomes);
    test_instance(marker, "counts");
    for (int side = 0; side < N_SIDES; side++) {
        char path[128];
        crash_round round = {.side = (enum side)side, .step = "none", .nth = 1, .action = COUNT};
        snprintf(path, sizeof path, "/dev/shm/%s%d", marker, side);
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_INT(ftruncate(fd, FAILPOINT_COUNTS * sizeof(failpoint_count)), ==, 0);
        failpoint_count *counts = mmap(NULL, FAILPOINT_COUNTS * sizeof(failpoint_count), PROT_READ, MAP_SHARED, fd, 0);
        CHECK(counts != MAP_FAILED);
        CHECK_INT(run_rounds(&round, 1, path, &outcomes[side]), ==, 0);
        for (int i = 0; i < steps->n; i++) {
            uint32_t n = counted(counts, steps->names[i]);
            if (n > steps->counts[i][side])
                steps->counts[i][side] = n;
        }
        munmap(counts, FAILPOINT_COUNTS * sizeof(failpoint_count));
        close(fd);
        unlink(path);
    }
}

static int count_unreached(const steps *steps, bool says_which) {
    int n_unreached = 0;
    for (int i = 0; i < steps->n; i++) {
        uint32_t n = 0;
        for (int side = 0; side < N_SIDES; side++)
            n += steps->counts[i][side];
        if (n > 0)
            continue;
        if (says_which)
            fprintf(stderr, "nobody comes to the step %s\n", steps->names[i]);
        n_unreached++;
    }
    return n_unreached;
}

typedef struct plan {
    int n;
    crash_round *rounds;
    const char *only; /* rounds with this in their names; NULL: all */
} plan;

static void add(plan *plan, side side, const char *step, uint32_t nth, action action) {
    char name[128];
    crash_round round = {side, step, nth, action};
    CHECK_INT(plan->n, <, ROUNDS_MOST);
    if (!plan->only || strstr(name_of(&round, name), plan->only))
        plan->rounds[plan->n++] = round;
}

/* In the short form the special kinds of victims only have what is theirs alone. */
static bool is_special(side side) {
    return side != MODERN && side != CLASSIC && side != HOST;
}

static bool is_plain(const steps *steps, int i) {
    return steps->counts[i][MODERN] || steps->counts[i][CLASSIC] || steps->counts[i][HOST];
}

static void add_short(plan *plan, const steps *steps, int i, side side) {
    static const action others[] = {STOP, CRASH};
    uint32_t n = steps->counts[i][side];
    if (is_special(side) && is_plain(steps, i))
        return;
    add(plan, side, steps->names[i], i % 3 == 0 ? 1 : i % 3 == 1 ? (n + 1) / 2 : n, KILL);
    action other = others[i / 4 % (sides[side].is_host ? 2 : 1)];
    if (i % 4 == 0)
        add(plan, side, steps->names[i], 1, other);
}

static void add_all(plan *plan, const steps *steps, int i, side side) {
    uint32_t n = steps->counts[i][side];
    const uint32_t nths[] = {1, (n + 1) / 2, n};
    for (int k = is_special(side) && is_plain(steps, i) ? 2 : 0; k < 3; k++) {
        if (k > 0 && nths[k] <= nths[k - 1])
            continue;
        add(plan, side, steps->names[i], nths[k], KILL);
        add(plan, side, steps->names[i], nths[k], STOP);
        if (sides[side].is_host)
            add(plan, side, steps->names[i], nths[k], CRASH);
    }
}

static plan make_plan(const steps *steps, bool is_long, const char *only) {
    plan plan = {.rounds = calloc(ROUNDS_MOST, sizeof *plan.rounds), .only = only};
    CHECK(plan.rounds != NULL);
    for (int i = 0; i < steps->n; i++)
        for (int side = 0; side < N_SIDES; side++)
            if (steps->counts[i][side] > 0)
                (is_long ? add_all : add_short)(&plan, steps, i, (enum side)side);
    return plan;
}

/* ---- What came of it ---- */

static void print_figures(const plan *plan, const outcome *outcomes) {
    printf("  %-17s %-5s %7s %7s   time to the newcomers' first text, ms: median, most\n", "victim", "", "rounds",
           "reached");
    for (int side = 0; side < N_SIDES; side++)
        for (int action = KILL; action <= CRASH; action++) {
            static double modern[ROUNDS_MOST], classic[ROUNDS_MOST];
            int n = 0, n_reached = 0, slowest = 0;
            double slowest_ms = 0;
            for (int i = 0; i < plan->n; i++) {
                if ((int)plan->rounds[i].side != side || (int)plan->rounds[i].action != action)
                    continue;
                n++;
                if (!outcomes[i].was_reached)
                    continue;
                if (outcomes[i].modern_ms + outcomes[i].classic_ms > slowest_ms) {
                    slowest_ms = outcomes[i].modern_ms + outcomes[i].classic_ms;
                    slowest = i;
                }
                modern[n_reached] = outcomes[i].modern_ms;
                classic[n_reached++] = outcomes[i].classic_ms;
            }
            if (n_reached > 0)
                printf("  %-17s %-5s %7d %7d   modern %.1f, %.1f; classic %.1f, %.1f (%s:%u)\n", sides[side].name,
                       action_names[action], n, n_reached, quantile(modern, n_reached, 0.5), maximum(modern, n_reached),
                       quantile(classic, n_reached, 0.5), maximum(classic, n_reached), plan->rounds[slowest].step,
                       plan->rounds[slowest].nth);
        }
}

static void check_outcomes(const steps *steps, const plan *plan, const outcome *outcomes) {
    for (int k = 0; k < steps->n && !plan->only; k++) {
        bool was_reached = false;
        for (int i = 0; i < plan->n; i++)
            was_reached |= plan->rounds[i].step == steps->names[k] && outcomes[i].was_reached;
        CHECK_SAY(was_reached, "in no round did anybody come to the step %s", steps->names[k]);
    }
}

int main(int argc, char *argv[]) {
    if (argc == 5 && strcmp(argv[1], "--victim") == 0)
        return be_victim(argv);
    CHECK_SAY(argc > 1, "usage: crash_points PATH-OF-failpoints.sh [short|all [PART-OF-A-ROUND'S-NAME]]");
    bool is_long = argc > 2 && strcmp(argv[2], "all") == 0;
    static steps steps;
    test_begin("crash_points", is_long ? 7200 : 600);
    text = script_new(1200);
    played = script_with_parts(&text);
    read_failpoints(&steps, argv[1]);
    test_step("%d steps: who comes to which", steps.n);
    /* Some steps are only come to at the right moment. */
    for (int tries = 0; tries < COUNT_TRIES && (tries == 0 || count_unreached(&steps, false) > 0); tries++)
        count_failpoints(&steps);
    int n_unreached = count_unreached(&steps, true);
    CHECK_SAY(n_unreached == 0, "%d steps are not reached: give scenarios.c a life that does", n_unreached);
    plan plan = make_plan(&steps, is_long, argc > 3 ? argv[3] : NULL);
    outcome *outcomes = shared_new((size_t)(plan.n + 1) * sizeof *outcomes);
    test_step("%d rounds", plan.n);
    int n_failed = run_rounds(plan.rounds, plan.n, NULL, outcomes);
    print_figures(&plan, outcomes);
    CHECK_SAY(n_failed == 0, "%d of %d rounds failed: see above", n_failed, plan.n);
    check_outcomes(&steps, &plan, outcomes);
    free(plan.rounds);
    free(text.text);
    return test_end();
}
