/* screen.h - a terminal with a shell in it, as a person has one: tmux, without anybody attached. */
#ifndef LIPC_TESTS_SCREEN_H
#define LIPC_TESTS_SCREEN_H

#include "cli_test.h"

#include <sys/ioctl.h>

static char screen_socket[64];

/* Runs tmux and returns what it wrote. */
static inline char *tmux(const char *const *words) {
    const char *arguments[24] = {"tmux", "-u", "-S", screen_socket, "-f", "/dev/null"};
    int n = 6, status, out = cli_file("", 0);
    for (int i = 0; words[i]; i++)
        arguments[n++] = words[i];
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        dup2(out, 1);
        execvp("tmux", (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_SAY(status == 0, "tmux %s failed", words[0]);
    char *text = cli_text(out);
    close(out);
    return text;
}
#define TMUX(...) free(tmux((const char *const[]){__VA_ARGS__, NULL}))

static inline bool screen_is_possible(void) {
    return system("tmux -V >/dev/null 2>&1") == 0;
}

static inline void screen_open(const char *columns, const char *rows) {
    snprintf(screen_socket, sizeof screen_socket, "/tmp/lipctest%d.tmux", (int)getpid());
    unsetenv("TMUX");
    unsetenv("ENV");
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("CLI", cli_program(), 1);
    TMUX("new-session", "-d", "-x", columns, "-y", rows, "sh");
    TMUX("send-keys", "-l", "PS1='ready> '; clear");
    TMUX("send-keys", "Enter");
}

static inline void screen_close(void) {
    TMUX("kill-server");
    unlink(screen_socket);
}

/* What stands on it. Owned by the caller. */
static inline char *screen_now(void) {
    return tmux((const char *const[]){"capture-pane", "-p", NULL});
}

static inline bool screen_has(const char *text) {
    test_pause_ms(5);
    char *now = screen_now();
    bool has = strstr(now, text) != NULL;
    free(now);
    return has;
}

/* Waits until it stands there. */
#define SHOWS(text)                                                                                                    \
    do {                                                                                                               \
        bool shows_ = WAITED(SOON_MS, screen_has(text));                                                               \
        char *now_ = screen_now();                                                                                     \
        CHECK_SAY(shows_, "the screen does not show \"%s\":\n%s", (text), now_);                                       \
        free(now_);                                                                                                    \
    } while (0)

static inline void screen_type(const char *text) {
    TMUX("send-keys", "-l", text);
}

static inline void screen_key(const char *key) {
    TMUX("send-keys", key);
}

/* Types a line and sends it. */
static inline void screen_enter(const char *text) {
    screen_type(text);
    screen_key("Enter");
}

/* Makes it wider or narrower. tmux tells the programs in it a while later. */
static inline void screen_resize(const char *columns) {
    struct winsize size = {0};
    TMUX("resize-window", "-x", columns, "-y", "24");
    char *path = tmux((const char *const[]){"display-message", "-p", "#{pane_tty}", NULL});
    path[strcspn(path, "\n")] = 0;
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(WAITED(SOON_MS, ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col == atoi(columns)));
    close(fd);
    free(path);
}

/* An empty screen before the next thing. */
static inline void screen_clear(void) {
    screen_enter("clear");
    CHECK(WAITED(SOON_MS, !screen_has("clear")));
    SHOWS("ready>");
}

#endif
