/* top.c - llamaipc top in a real terminal: what it shows of clients and streams, keys, sizes, hosts that come, die and go,
 * and the terminal as it was when it leaves. */
#include "screen.h"

#include "cli/terminal.h"

#include <locale.h>

static char instance[64];
static script story;

/* Somebody with two answers, of which one has its turn, and who waits for the place of a third. */
static void ask_thrice(void *data, int number) {
    (void)data, (void)number;
    prctl(PR_SET_NAME, "試験試験試"); /* 15 bytes, 10 columns */
    lipc_client *client = client_of(instance);
    for (int i = 0; i < 3; i++)
        ask_endless(client);
    pause();
}

static void attach_only(void *data, int number) {
    (void)data, (void)number;
    prctl(PR_SET_NAME, "watcher\033[31m\xE8");
    client_of(instance);
    pause();
}

/* The line of the screen that holds this; owned by the caller. */
static char *line_with(const char *text) {
    char *now = screen_now(), *at = strstr(now, text);
    CHECK_SAY(at != NULL, "nothing with \"%s\":\n%s", text, now);
    while (at > now && at[-1] != '\n')
        at--;
    char *line = strndup(at, strcspn(at, "\n"));
    free(now);
    return line;
}

static bool is_before(const char *first, const char *second) {
    char *now = screen_now(), *a = strstr(now, first), *b = strstr(now, second);
    bool is = a && b && a < b;
    free(now);
    return is;
}

static void check_terminal_restored(void) {
    char *state = tmux((const char *const[]){"display-message", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}", NULL});
    CHECK_TEXT(state, "0 1 1\n");
    free(state);
    screen_enter("stty -a >after; cmp before after && echo as be\"\"fore"); /* not as it is typed: a shell may show that late */
    SHOWS("as before\n");
    screen_clear();
}

static void check_field(const char *text, size_t n_columns, terminal_side side, const char *expected) {
    char *written = NULL;
    size_t n_bytes;
    FILE *file = open_memstream(&written, &n_bytes);
    CHECK(file != NULL);
    terminal_field(file, text, n_columns, side);
    fclose(file);
    CHECK_TEXT(written, expected);
    free(written);
}

static void fields(void) {
    test_step("fields of so many columns, whatever is in them");
    CHECK(setlocale(LC_CTYPE, "C.UTF-8"));
    check_field("word", 6, SIDE_LEFT, "word  ");
    check_field("word", 6, SIDE_RIGHT, "  word");
    check_field("word", 2, SIDE_RIGHT, "wo");
    check_field("", 2, SIDE_LEFT, "  ");
    check_field("試験試験試", 8, SIDE_LEFT, "試験試験");
    check_field("試験試験試", 7, SIDE_LEFT, "試験試 ");
    check_field("試", 1, SIDE_RIGHT, " ");
    check_field("e\u0301e\u0301", 3, SIDE_LEFT, "e\u0301e\u0301 ");
    check_field("a\033[31m\nb", 8, SIDE_LEFT, "a?[31m?b");
    check_field("\xE8\xA9", 3, SIDE_LEFT, "\xE8\xA9 "); /* not of this locale: a column for each byte */
}

#define START(options) screen_enter("$CLI top " options "; echo code $?")

static void clients_and_streams(void) {
    test_host host;
    test_step("clients and streams, wide characters, no column broken");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "200", "--streams", "2", "-np", "1"));
    pid_t asker = worker_start(ask_thrice, NULL, 0), watcher = worker_start(attach_only, NULL, 0);
    START("--interval 0.2");
    SHOWS("試験試験試");
    SHOWS("watcher?[31m");
    SHOWS("generating");
    SHOWS("queued           1");
    SHOWS("ready, up");
    SHOWS("clients  2 of 256");
    SHOWS("1 running of 1 at a time");
    char *titles = line_with("PROGRAM"), *row = line_with("generating");
    CHECK_INT(strstr(titles, "PROGRAM") - titles, ==, strstr(row, "試験") - row);
    free(row);
    row = line_with("watcher");
    CHECK_INT(strstr(titles, "PROGRAM") - titles, ==, strstr(row, "watcher") - row);
    free(row);
    free(titles);

    test_step("sizes");
    screen_resize("78");
    SHOWS("試験試験\n"); /* not half a character */
    CHECK(!screen_has("試験試験試"));
    screen_resize("20");
    SHOWS("    PID  STR STATE");
    CHECK(!screen_has("QUEUE"));
    TMUX("resize-window", "-x", "100", "-y", "10");
    SHOWS("up down: 1 more");
    CHECK(!screen_has("watcher"));
    screen_key("Down");
    SHOWS("watcher");
    CHECK(!screen_has("generating"));
    TMUX("resize-window", "-x", "100", "-y", "3");
    SHOWS("host     '");
    TMUX("resize-window", "-x", "100", "-y", "24");
    SHOWS("q quit");

    test_step("keys");
    CHECK(WAITED(SOON_MS, is_before("generating", "watcher")));
    screen_key("r");
    CHECK(WAITED(SOON_MS, is_before("watcher", "generating")));
    screen_key("t");
    CHECK(WAITED(SOON_MS, is_before("generating", "watcher")));
    screen_key("Space");
    SHOWS("(paused)");
    screen_key("Space");
    screen_key("-");
    SHOWS("interval 0.1 s");
    screen_key("+");
    SHOWS("interval 0.2 s");
    screen_key("Escape");
    screen_key("F5");
    screen_key("C-z");
    SHOWS("Stopped");
    screen_enter("fg");
    SHOWS("q quit");
    screen_key("q");
    SHOWS("code 148"); /* of the stop; what is shown again was there before */
    check_terminal_restored();

    test_step("Ctrl-C; a signal that ends it");
    screen_resize("60");
    START("--interval 60");
    SHOWS("generating");
    CHECK(!screen_has("PROGRAM"));
    screen_resize("100"); /* it is drawn anew although nothing else happens */
    SHOWS("PROGRAM");
    screen_key("C-c");
    SHOWS("code 0");
    check_terminal_restored();
    screen_enter("sh -c 'echo $$ >pid; exec $CLI top'; echo code $?");
    SHOWS("generating");
    CHECK_INT(system("kill $(cat pid); rm pid"), ==, 0);
    SHOWS("code 143");
    check_terminal_restored();

    test_step("colours, and none");
    START("");
    SHOWS("generating");
    char *coloured = tmux((const char *const[]){"capture-pane", "-e", "-p", NULL});
    CHECK(strstr(coloured, "\033[32m"));
    free(coloured);
    screen_key("q");
    SHOWS("code 0");
    screen_clear();
    screen_enter("NO_COLOR=1 $CLI top; echo code $?");
    SHOWS("generating");
    coloured = tmux((const char *const[]){"capture-pane", "-e", "-p", NULL});
    CHECK_SAY(!strstr(coloured, "\033[3"), "colours:\n%s", coloured);
    free(coloured);
    screen_key("q");
    SHOWS("code 0");
    screen_clear();

    test_step("a plain table, also where there is no screen");
    screen_enter("TERM=dumb $CLI top; echo code $?");
    SHOWS("code 0");
    CHECK(screen_has("generating"));
    screen_clear();
    cli cli;
    RUN(&cli, CLI_EXIT_OK, NULL, "top", "--sort", "state");
    CHECK(strstr(cli.out, "generating") && strstr(cli.out, "試験試験試\n"));
    for (const char *at = cli.out; *at; at++)
        CHECK_SAY(*at == '\n' || (unsigned char)*at >= ' ', "a control character %d in: %s", *at, cli.out);
    cli_free(&cli);
    worker_kill(asker);
    worker_kill(watcher);
    end_host(&host, &segment);
}

static void hosts(void) {
    test_host host;
    test_step("no host yet, one that loads, one that is killed, the next, one that ends");
    START("--interval 0.1");
    SHOWS("no host runs as");
    segment segment;
    bool is_caught = false;
    for (int i = 0; i < 100 && !is_caught; i++)
        is_caught = catch_loading(&host, instance, EMBEDDED("-n", "5"), &segment);
    CHECK_SAY(is_caught, "the host is never seen loading");
    SHOWS("loading [");
    host_resume(&host);
    SHOWS("ready, up");
    segment_close(&segment);
    host_stop(&host);
    SHOWS("no host runs as");
    segment = host_ready(&host, instance, REPLAY(story, "--rate", "50"));
    pid_t asker = worker_start(ask_thrice, NULL, 0);
    SHOWS("generating");
    host_kill(&host);
    SHOWS("is DEAD");
    SHOWS("cut off");
    worker_kill(asker);
    SHOWS("(ended)");
    segment_close(&segment);
    screen_key("q");
    SHOWS("code 0");
    screen_clear();

    test_step("what a dead host left");
    cli cli;
    RUN(&cli, CLI_EXIT_NO_HOST, NULL, "top", "--once");
    CHECK_SAY(strstr(cli.out, "is DEAD; this is what it left") && strstr(cli.out, "cut off"), "it says: %s", cli.out);
    cli_free(&cli);
    START("--interval 0.1");
    SHOWS("is DEAD");
    segment = host_ready(&host, instance, REPLAY(story, "--rate", "50"));
    SHOWS("ready, up");
    end_host(&host, &segment);
    SHOWS("no host runs as");
    screen_key("q");
    SHOWS("code 0");
    FAILS(CLI_EXIT_NO_HOST, "no host runs as", "top", "--once");
    FAILS(CLI_EXIT_USAGE, "--sort is 'speed': expected pid, stream", "top", "--sort", "speed");
}

int main(void) {
    char folder[64];
    test_begin("top", 90);
    if (!screen_is_possible())
        test_skip("there is no tmux");
    test_instance(instance, "top");
    setenv("LIPC_NAME", instance, 1);
    snprintf(folder, sizeof folder, "/tmp/lipctest%d.top", (int)getpid());
    CHECK_INT(mkdir(folder, 0700), ==, 0);
    CHECK_INT(chdir(folder), ==, 0);
    story = script_new(1500);
    fields();
    screen_open("100", "24");
    SHOWS("ready>");
    screen_enter("stty -a >before");
    screen_clear();
    clients_and_streams();
    hosts();
    screen_close();
    CHECK(unlink("before") == 0 && unlink("after") == 0);
    rmdir(folder);
    free(story.text);
    CHECK(WAITED(SOON_MS, waitpid(-1, NULL, WNOHANG) < 0)); /* the shell, and what the hosts leave */
    return test_end();
}
