/* terminal.c - llamaipc in a real terminal: what a person sees, and what each key does in each state. */
#include "screen.h"

#include "cli/inspect.h"

#define SENTENCE "Tokens go into the log, and whoever waits for them is woken at most sixty times a second; größer, 日本語."

/* Columns of the line that begins with these words; 0: there is none. */
static size_t width_of(const char *words) {
    char *now = screen_now(), *line = strstr(now, words);
    size_t n_columns = line ? strcspn(line, "\n") : 0;
    free(now);
    return n_columns;
}

static char instance[64];
static script story;

static script script_of(const char *text) {
    script made = script_new(100);
    free(made.text);
    made.text = strdup(text);
    made.n_bytes = strlen(text);
    int fd = open(made.path, O_WRONLY | O_TRUNC);
    CHECK_INT(write(fd, text, made.n_bytes), ==, made.n_bytes);
    close(fd);
    return made;
}

/* ---- ask: Ctrl-C in each state --------------------------------------------------------------------------------------- */

static void ask_while_loading(void) {
    test_host host;
    segment segment;
    bool is_caught = false;
    test_step("ask: the model is loaded");
    for (int i = 0; i < 100 && !is_caught; i++)
        is_caught = catch_loading(&host, instance, EMBEDDED("-n", "5"), &segment);
    CHECK_SAY(is_caught, "the host is never seen loading");
    screen_enter("$CLI ask hello; echo code $?");
    SHOWS("loading the model: ");
    screen_key("C-c");
    SHOWS("cancelled while the host was loading");
    SHOWS("code 130");
    screen_clear();
    screen_enter("$CLI ask hello; echo code $?");
    SHOWS("loading the model: ");
    host_resume(&host);
    SHOWS("code 0");
    CHECK(!screen_has("loading the model")); /* it was taken away */
    segment_close(&segment);
    host_stop(&host);
    screen_clear();
}

static void ask_while_waiting(void) {
    test_host host;
    test_step("ask: its turn has not come");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "100", "-np", "1"));
    lipc_client *client = client_of(instance);
    lipc_stream *first = ask_endless(client);
    reading text = {0};
    read_until(first, &text, 1);
    screen_enter("$CLI ask hello; echo code $?");
    SHOWS("waiting for a turn");
    screen_key("C-c");
    SHOWS("code 130");
    SHOWS("llamaipc: cancelled");
    lipc_stream_close(first);
    free(text.text);
    lipc_client_close(client);
    end_host(&host, &segment);
    screen_clear();
}

/* Whether the one stream reads its prompt, and has not come to its end. */
static bool is_reading(void) {
    char message[INSPECT_MESSAGE_SIZE];
    inspection inspection;
    inspected_stream stream;
    if (inspect_open(&inspection, instance, message) < 0)
        return false;
    bool is_so = inspect_stream(&inspection, 0, &stream) && stream.progress.state == LIPC_STREAM_READING &&
                 stream.progress.n_prompt_done < stream.progress.n_prompt;
    inspect_close(&inspection);
    return is_so;
}

static void ask_while_reading(void) {
    test_host host;
    bool is_caught = false;
    test_step("ask: the prompt is read");
    char *words = malloc(80001);
    CHECK(words != NULL);
    for (int i = 0; i < 80000; i += 8)
        memcpy(words + i, "pointer ", 8);
    words[80000] = 0;
    script prompt = script_of(words);
    free(words);
    segment segment = host_ready(&host, instance, EMBEDDED("-c", "65536"));
    char line[320];
    snprintf(line, sizeof line, "$CLI ask <%s; echo code $?", prompt.path);
    screen_enter(line);
    for (int i = 0; i < 50000 && !is_caught; i++) {
        test_breathe();
        if (!is_reading())
            continue;
        host_pause(&host);
        is_caught = is_reading();
        if (!is_caught)
            host_resume(&host);
    }
    CHECK_SAY(is_caught, "the prompt is never seen being read");
    SHOWS("reading the prompt: ");
    screen_key("C-c");
    test_pause_ms(30);
    host_resume(&host);
    SHOWS("code 130");
    end_host(&host, &segment);
    free(prompt.text);
    screen_clear();
}

static void ask_while_generating(void) {
    test_host host;
    test_step("ask: text comes; a second Ctrl-C does not wait for the host");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "100"));
    screen_enter("$CLI ask --ignore-eos hello; echo code $?");
    SHOWS("whoever waits");
    screen_key("C-c");
    SHOWS("llamaipc: cancelled");
    SHOWS("code 130");
    screen_clear();
    screen_enter("$CLI ask --ignore-eos hello; echo code $?");
    SHOWS("whoever waits");
    host_pause(&host);
    screen_key("C-c");
    test_pause_ms(30);
    screen_key("C-c");
    SHOWS("code 130");
    host_resume(&host);
    screen_clear();

    test_step("words are not broken at the edge; a pipe gets the bytes as they are");
    screen_resize("30");
    screen_enter("$CLI ask hello");
    SHOWS("日本語.");
    SHOWS("Tokens go into the log, and\nwhoever waits for them is\nwoken at most sixty times a\nsecond; größer, 日本語.\n");
    screen_resize("80");
    screen_clear();
    screen_enter("$CLI ask hello | tr ' ' '#'");
    SHOWS("Tokens#go#into#the#log,#and#whoever");
    screen_clear();
    screen_enter("$CLI ask --json --no-stream hello"); /* no word is taken to the next line */
    SHOWS("{\"type\":\"end\",\"end\":\"turn\",");
    CHECK_SAY(WAITED(SOON_MS, width_of("{\"type") == 80), "%zu columns", width_of("{\"type"));
    screen_clear();
    screen_enter("echo my notes | $CLI ask sum this up");
    SHOWS("standard input was not read");
    screen_clear();
    end_host(&host, &segment);
}

/* ---- chat ---------------------------------------------------------------------------------------------------------- */

static int messages_in(const char *path) {
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    CHECK_SAY(json != NULL, "%s: %s", path, error.text);
    int n = (int)json_array_size(json_object_get(json, "messages"));
    json_decref(json);
    return n;
}

static void check_content(const char *path, size_t place, const char *content) {
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    CHECK_SAY(json != NULL, "%s: %s", path, error.text);
    CHECK_TEXT(json_text(json_array_get(json_object_get(json, "messages"), place), "content"), content);
    json_decref(json);
}

static void save(const char *folder, const char *name, char path[4096]) {
    char line[4200];
    snprintf(path, 4096, "%s/%s", folder, name);
    snprintf(line, sizeof line, "/save %s", path);
    screen_enter(line);
    SHOWS(name);
    CHECK(WAITED(SOON_MS, access(path, R_OK) == 0));
    SHOWS("is not saved: this host has no model"); /* a replay */
}

static void chat_keys(const char *folder) {
    char path[4096];
    test_host host;
    test_step("chat: an answer, Ctrl-C, the conversation goes on");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "100"));
    screen_enter("$CLI chat; echo code $?");
    SHOWS("Ctrl-D quits");
    screen_enter("hello");
    SHOWS("日本語.\n\n>>>");
    save(folder, "one.json", path);
    CHECK_INT(messages_in(path), ==, 2);
    check_content(path, 1, SENTENCE);
    screen_key("C-d");
    SHOWS("code 0");
    screen_clear();
    screen_enter("$CLI chat --ignore-eos; echo code $?");
    SHOWS("Ctrl-D quits");
    snprintf(path, sizeof path, "/load %s/one.json", folder);
    screen_enter(path);
    SHOWS("loaded 2 messages");
    screen_enter("hello again");
    SHOWS(">>> hello again\nTokens go into");
    screen_key("C-c");
    SHOWS("stopped; the conversation goes on\n>>>");
    save(folder, "two.json", path);
    CHECK_INT(messages_in(path), ==, 4);
    screen_key("C-d");
    SHOWS("code 0");
    screen_clear();
    screen_enter("$CLI chat; echo code $?");
    SHOWS("Ctrl-D quits");

    test_step("chat: what is typed while an answer comes is not shown, and not lost");
    screen_key("C-l");
    screen_enter("third");
    SHOWS("Tokens");
    screen_type("kept for later");
    SHOWS("日本語.\n\n>>> kept for later");
    char *now = screen_now();
    const char *first = strstr(now, "kept for later");
    CHECK_SAY(strstr(first + 1, "kept for later") == NULL, "it stands there twice:\n%s", now);
    free(now);
    screen_key("C-c");
    SHOWS("kept for later^C\n>>>");

    test_step("chat: wide characters, and lines that are pasted together");
    screen_type("日本語 größer");
    for (int i = 0; i < 7; i++)
        screen_key("Left");
    screen_key("BSpace");
    screen_type("x");
    SHOWS(">>> 日本x größer");
    screen_key("C-u");
    screen_key("C-k");
    TMUX("set-buffer", "first line\nsecond größer\n\tthird\n");
    TMUX("paste-buffer", "-p");
    SHOWS(">>> first line\nsecond größer\n third");
    screen_type("!");
    screen_key("Enter");
    SHOWS(" third!\nTokens");
    SHOWS("日本語.\n\n>>>");
    save(folder, "three.json", path);
    check_content(path, messages_in(path) - 2, "first line\nsecond größer\n third!");

    test_step("chat: history, Tab, resizing, commands that are not");
    screen_key("C-l"); /* what is to be shown must not stand there already */
    CHECK(WAITED(SOON_MS, width_of("second größer") == 0));
    screen_key("Up");
    screen_key("Up");
    SHOWS(">>> first line\nsecond größer\n third!");
    screen_key("C-c");
    SHOWS("third!^C\n>>>"); /* what is typed before that may be lost with the line */
    screen_type("/sta");
    screen_key("Tab");
    SHOWS(">>> /stats");
    screen_key("Enter");
    SHOWS("last answer: ");
    screen_enter("/rset");
    SHOWS("did you mean /reset");
    screen_enter("/load /no/such/file");
    SHOWS("cannot read /no/such/file");
    screen_key("C-l");
    screen_type("a line that is rather long for a narrow window");
    screen_resize("30");
    screen_type("!");
    SHOWS(">>> a line that is rather long\n for a narrow window!");
    screen_resize("80");
    screen_type("?");
    SHOWS(">>> a line that is rather long for a narrow window!?");
    screen_key("C-c");

    test_step("chat: help and exit, as people type them");
    SHOWS("window!?^C\n>>>");
    screen_enter("help");
    SHOWS("/reset");
    screen_enter("exit");
    SHOWS("code 0");
    screen_clear();
    screen_enter("$CLI chat; echo code $?");
    SHOWS(">>>");
    screen_type("a window!?");
    SHOWS(">>> a window!?");
    screen_key("C-c");

    test_step("chat: Ctrl-C at an empty prompt leaves; the history is this user's alone");
    SHOWS("window!?^C\n>>>");
    screen_key("C-c");
    SHOWS("code 0");
    struct stat status;
    snprintf(path, sizeof path, "%s/llamaipc/history", folder);
    CHECK_INT(stat(path, &status), ==, 0);
    CHECK_INT(status.st_mode & 0777, ==, 0600);
    screen_clear();
    screen_enter("stty -a | grep -o ' echo '; $CLI chat; echo code $?");
    SHOWS(" echo\n");
    SHOWS(">>>");
    screen_key("Up");
    SHOWS(">>> exit");
    screen_key("C-u");
    screen_key("C-d");
    SHOWS("code 0");
    screen_clear();
    end_host(&host, &segment);
}

static bool screen_has_colour(void) {
    char *now = tmux((const char *const[]){"capture-pane", "-p", "-e", NULL});
    bool has = strstr(now, "\033[3") != NULL;
    free(now);
    return has;
}

static void chat_looks(const char *folder) {
    test_host host;
    char path[128], line[256];
    int pid;
    test_step("chat: colours, none with NO_COLOR");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "500"));
    screen_enter("$CLI chat; echo code $?");
    SHOWS(">>>");
    CHECK(WAITED(SOON_MS, screen_has_colour()));
    screen_key("C-d");
    SHOWS("code 0");
    screen_clear();
    screen_enter("NO_COLOR=1 $CLI chat first words; echo code $?");
    SHOWS("first words; echo code $?\n");
    SHOWS("日本語.\n\n>>>");
    CHECK(!screen_has_colour());
    screen_key("C-d");
    SHOWS("code 0");
    screen_clear();

    test_step("chat: a pipe instead of a person");
    screen_enter("printf 'one\\ntwo\\n' | $CLI chat | grep -c Tokens; echo code $?");
    SHOWS("2\ncode 0");
    screen_clear();

    test_step("chat: whoever ends it gets the terminal back");
    snprintf(path, sizeof path, "%s/pid", folder);
    snprintf(line, sizeof line, "sh -c 'echo $$ >%s; exec $CLI chat'; stty -a | grep -o ' echo '", path);
    screen_enter(line);
    SHOWS(">>>");
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fscanf(file, "%d", &pid) == 1);
    fclose(file);
    CHECK_INT(kill(pid, SIGTERM), ==, 0);
    SHOWS(" echo\n");
    screen_clear();
    end_host(&host, &segment);
}

static void chat_without_host(void) {
    test_host host;
    test_step("chat: the host is killed in the middle; the next message starts another");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "50"));
    screen_enter("$CLI chat; echo code $?");
    SHOWS(">>>");
    screen_enter("hello");
    SHOWS("Tokens");
    host_kill(&host);
    SHOWS("ended or was killed before the answer was complete");
    segment_close(&segment);
    screen_enter("What is C++?");
    SHOWS("started a host, process");
    SHOWS("another model answers from here on");
    SHOWS(".\n\n>>>"); /* some answer: what it is depends on how much of the first one had come */
    screen_key("C-d");
    SHOWS("code 0");
    screen_enter("$CLI stop; echo stopped $?");
    SHOWS("stopped 0");
    CHECK_INT(objects_count(instance), ==, 0);
}

int main(void) {
    char folder[64];
    test_begin("terminal", 90);
    if (!screen_is_possible())
        test_skip("there is no tmux");
    test_instance(instance, "terminal");
    setenv("LIPC_NAME", instance, 1);
    snprintf(folder, sizeof folder, "/tmp/lipctest%d.state", (int)getpid());
    CHECK_INT(mkdir(folder, 0700), ==, 0);
    setenv("XDG_STATE_HOME", folder, 1);
    story = script_of(SENTENCE);
    screen_open("80", "24");
    SHOWS("ready>");
    ask_while_loading();
    ask_while_waiting();
    ask_while_reading();
    ask_while_generating();
    chat_keys(folder);
    chat_looks(folder);
    chat_without_host();
    screen_close();
    char line[128];
    snprintf(line, sizeof line, "rm -r %s", folder);
    CHECK_INT(system(line), ==, 0);
    free(story.text);
    CHECK(WAITED(SOON_MS, waitpid(-1, NULL, WNOHANG) < 0)); /* the shell, and what the host leaves */
    return test_end();
}
