/* screen.c - see ../screen.h. */
#define _GNU_SOURCE
#include "../screen.h"

#include "../frame.h"

#include "../../platform/platform.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

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

/* ---- taking it over, giving it back -------------------------------------------------------------------------------- */

static void enter(void) {
    struct termios raw = modes;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (has_modes) tcsetattr(STDOUT_FILENO, TCSAFLUSH, &raw);
    frame_enter();
}

static void leave(void) {
    frame_leave();
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
