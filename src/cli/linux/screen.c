/* screen.c - see ../screen.h. */
#define _GNU_SOURCE
#include "../screen.h"

#include "../../platform/platform.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, no cursor, lines do not wrap; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[H\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
/* A frame is shown whole where the terminal knows how (mode 2026); each line clears what is behind it. */
#define FRAME_BEGIN "\033[?2026h\033[H"
#define LINE_END "\033[K\r\n"
#define FRAME_END "\033[K\033[J\033[?2026l"
#define ROWS_DEFAULT 24
#define COLUMNS_DEFAULT 80

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
enum { N_NUMBERS = sizeof numbers / sizeof numbers[0] };

static volatile sig_atomic_t has_come[NSIG];
static sigset_t outside; /* the signals that were blocked before; while we wait, too */
static struct sigaction before[N_NUMBERS];
static struct termios modes;
static bool is_open, has_keys, has_modes;

static void on_signal(int number) {
    has_come[number] = 1;
}

static void write_all(const char *text, size_t n_bytes) {
    while (n_bytes > 0) {
        ssize_t n = write(STDOUT_FILENO, text, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return; /* the terminal is gone: the next wait finds out */
        text += n;
        n_bytes -= (size_t)n;
    }
}

/* ---- taking it over, giving it back -------------------------------------------------------------------------------- */

static void enter(void) {
    struct termios raw = modes;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (has_modes) tcsetattr(STDOUT_FILENO, TCSAFLUSH, &raw);
    write_all(ENTER, strlen(ENTER));
}

static void leave(void) {
    write_all(LEAVE, strlen(LEAVE));
    if (has_modes) tcsetattr(STDOUT_FILENO, TCSAFLUSH, &modes);
}

/* Signals come only while we wait, so that none is lost between a look and the wait. */
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t ours;
    sigemptyset(&ours);
    for (int i = 0; i < N_NUMBERS; i++) {
        sigaddset(&ours, numbers[i]);
        sigaction(numbers[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(numbers[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &ours, &outside);
}

static void give_signals_back(void) {
    for (int i = 0; i < N_NUMBERS; i++) sigaction(numbers[i], &before[i], NULL);
    sigprocmask(SIG_SETMASK, &outside, NULL);
}

void screen_open(void) {
    static bool is_registered;
    if (!is_registered) atexit(screen_close);
    is_registered = true;
    has_keys = isatty(STDIN_FILENO) == 1;
    has_modes = tcgetattr(STDOUT_FILENO, &modes) == 0;
    memset((void *)(uintptr_t)has_come, 0, sizeof has_come);
    catch_signals();
    is_open = true;
    enter();
}

void screen_close(void) {
    if (!is_open) return;
    is_open = false;
    leave();
    give_signals_back();
}

/* ---- size and content ---------------------------------------------------------------------------------------------- */

int screen_rows(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : ROWS_DEFAULT;
}

int screen_columns(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
}

void screen_show(const char *text, size_t n_bytes) {
    write_all(FRAME_BEGIN, strlen(FRAME_BEGIN));
    for (;;) {
        const char *end = memchr(text, '\n', n_bytes);
        size_t n = end ? (size_t)(end - text) : n_bytes;
        write_all(text, n);
        if (!end || n + 1 == n_bytes) break;
        write_all(LINE_END, strlen(LINE_END));
        text += n + 1;
        n_bytes -= n + 1;
    }
    write_all(FRAME_END, strlen(FRAME_END));
}

/* ---- what happens -------------------------------------------------------------------------------------------------- */

/* Ends the program as the signal does when nobody catches it. */
static void end_by(int number) {
    screen_close();
    signal(number, SIG_DFL);
    raise(number);
}

static void stop(void) {
    leave();
    give_signals_back();
    signal(SIGTSTP, SIG_DFL);
    raise(SIGTSTP); /* returns when the program goes on */
    catch_signals();
    enter();
}

/* NOTHING if there was no signal. */
static int take_signal(void) {
    static const int ending[] = {SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++)
        if (has_come[ending[i]]) end_by(ending[i]);
    if (has_come[SIGINT]) return SCREEN_END;
    bool is_to_stop = has_come[SIGTSTP], was_stopped = has_come[SIGCONT], was_resized = has_come[SIGWINCH];
    has_come[SIGTSTP] = has_come[SIGCONT] = has_come[SIGWINCH] = 0;
    if (is_to_stop) stop();
    else if (was_stopped) enter(); /* by a SIGSTOP: whoever had the terminal meanwhile has set its own modes */
    return is_to_stop || was_stopped || was_resized ? SCREEN_RESIZED : SCREEN_NOTHING;
}

/* The rest of a key that sends more than one byte, as far as it means something here. */
static int read_sequence(void) {
    char rest[8] = "";
    ssize_t n = read(STDIN_FILENO, rest, sizeof rest - 1);
    if (n < 2 || (rest[0] != '[' && rest[0] != 'O')) return SCREEN_NOTHING;
    switch (rest[1]) {
    case 'A': return SCREEN_UP;
    case 'B': return SCREEN_DOWN;
    case 'C': return SCREEN_RIGHT;
    case 'D': return SCREEN_LEFT;
    default: return SCREEN_NOTHING;
    }
}

static int read_key(void) {
    unsigned char key;
    ssize_t n = read(STDIN_FILENO, &key, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return SCREEN_NOTHING;
    if (n <= 0) return SCREEN_END;
    return key == '\033' ? read_sequence() : key == 3 ? SCREEN_END : key;
}

int screen_wait(uint64_t deadline_ns) {
    struct pollfd keys = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
    for (;;) {
        int event = take_signal();
        if (event != SCREEN_NOTHING) return event;
        uint64_t now_ns = plat_clock_ns(), left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        struct timespec left = {(time_t)(left_ns / 1000000000), (long)(left_ns % 1000000000)};
        int n = ppoll(&keys, 1, deadline_ns == PLAT_NEVER ? NULL : &left, &outside);
        if (n < 0) continue; /* a signal */
        if (n == 0) return SCREEN_NOTHING;
        if ((event = read_key()) != SCREEN_NOTHING) return event;
    }
}
