/* rows_top.c - whether it costs a stream anything that somebody watches: answers with `llamaipc top` attached to the host,
 * in a terminal of its own, and while that is stopped, by turns. Whenever it goes on it looks at once, so that it looks
 * more often here than it does by itself.
 */
#include "rows.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define WINDOW_NS 500000000LL
#define N_PAIRS 12 /* in each round */
#define REPLAY_TOKENS 100000

/* ---- top, and somebody who looks at it --------------------------------------------------------------------------- */

typedef struct watcher {
    pid_t pid;
    int terminal;
    pthread_t reader;
} watcher;

static void *read_terminal(void *data) {
    char text[4096];
    const watcher *watcher = data;
    while (read(watcher->terminal, text, sizeof text) > 0) {
    }
    return NULL;
}

static void become_top(const char *program, const char *instance, const char *terminal) {
    const struct winsize size = {.ws_row = 40, .ws_col = 120};
    setsid();
    const int fd = open(terminal, O_RDWR);
    if (fd < 0 || ioctl(fd, TIOCSWINSZ, &size) != 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(127);
    setenv("TERM", "xterm-256color", 1);
    execl(program, program, "top", "--name", instance, (char *)NULL);
    _exit(127);
}

static void watcher_start(watcher *watcher, const char *program, const char *instance) {
    char terminal[128];
    watcher->terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (watcher->terminal < 0 || grantpt(watcher->terminal) != 0 || unlockpt(watcher->terminal) != 0 ||
        ptsname_r(watcher->terminal, terminal, sizeof terminal) != 0)
        fail("cannot make a terminal: %s", strerror(errno));
    watcher->pid = process_fork();
    if (watcher->pid == 0)
        become_top(program, instance, terminal);
    if (pthread_create(&watcher->reader, NULL, read_terminal, watcher) != 0)
        fail("cannot start a thread");
    sleep_ns(300000000); /* its start is no part of it */
    if (waitpid(watcher->pid, NULL, WNOHANG) != 0)
        fail("%s top does not run", program);
}

static void watcher_stop(watcher *watcher) {
    kill(watcher->pid, SIGCONT);
    kill(watcher->pid, SIGTERM);
    process_end(watcher->pid);
    pthread_join(watcher->reader, NULL); /* the last one at the terminal has gone */
    close(watcher->terminal);
}

/* ---- speed ------------------------------------------------------------------------------------------------------ */

typedef struct pace {
    double tokens_per_s;
    double host_us; /* processor time of the host for each token */
} pace;

/* Answers, one behind the other, for a while. */
static pace answer_for_a_while(host_subject *host) {
    static int number;
    double n_tokens = 0, seconds = 0;
    const int64_t cpu_ns = family_cpu_ns(host->pid);
    for (const int64_t end = now_ns() + WINDOW_NS; now_ns() < end;) {
        const prompts prompts = make_prompts(number++);
        const answer_cost cost = host_stream_modern(host, &prompts);
        if (cost.tokens_per_s <= 0)
            continue; /* one token, or all of them at once */
        n_tokens += cost.n_tokens;
        seconds += cost.n_tokens / cost.tokens_per_s;
    }
    return (pace){n_tokens / seconds, (double)(family_cpu_ns(host->pid) - cpu_ns) / 1e3 / n_tokens};
}

typedef struct watching {
    samples alone, watched, ratio, cpu_ratio, top_share;
} watching;

static void measure_pair(host_subject *host, const watcher *watcher, watching *figures) {
    pace paces[2];
    static int n_turns;
    const int first = n_turns++ % 2; /* which comes first, by turns: the machine may become slower or faster */
    for (int turn = 0; turn < 2; turn++) {
        const int is_watched = turn ^ first;
        kill(watcher->pid, is_watched ? SIGCONT : SIGSTOP);
        const int64_t cpu_ns = process_cpu_ns(watcher->pid), start_ns = now_ns();
        paces[is_watched] = answer_for_a_while(host);
        if (is_watched)
            samples_add(&figures->top_share,
                        100.0 * (double)(process_cpu_ns(watcher->pid) - cpu_ns) / (double)(now_ns() - start_ns));
    }
    samples_add(&figures->alone, paces[0].tokens_per_s);
    samples_add(&figures->watched, paces[1].tokens_per_s);
    samples_add(&figures->ratio, paces[1].tokens_per_s / paces[0].tokens_per_s);
    samples_add(&figures->cpu_ratio, paces[1].host_us / paces[0].host_us);
}

static void measure(host_subject *host, const char *program, int n_pairs, watching *figures) {
    watcher watcher;
    host_connect(host);
    watcher_start(&watcher, program, host->name);
    answer_for_a_while(host);
    for (int i = 0; i < n_pairs; i++)
        measure_pair(host, &watcher, figures);
    watcher_stop(&watcher);
    host_stop(host);
}

/* By how much a median of these can be off, with 95 % (as for a normal distribution). */
static double uncertainty(const samples *s) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < s->n; i++) {
        sum += s->values[i];
        squares += s->values[i] * s->values[i];
    }
    const double mean = sum / (double)s->n, variance = squares / (double)s->n - mean * mean;
    return 1.96 * 1.2533 * sqrt(fmax(variance, 0) / (double)s->n);
}

static void add(results *list, const char *kind, const watching *figures) {
    char name[64];
    snprintf(name, sizeof name, "top.%s.ratio", kind);
    results_add(list, name, samples_median(&figures->ratio), "ratio", results_at_least(0.99),
                "an answer's speed with llamaipc top attached / without");
    snprintf(name, sizeof name, "top.%s.ratio_uncertainty", kind);
    results_add(list, name, uncertainty(&figures->ratio), "ratio", results_no_bar(),
                "how far off that can be (95 %): other programs make it large");
    snprintf(name, sizeof name, "top.%s.alone", kind);
    results_add(list, name, samples_median(&figures->alone), "tok/s", results_no_bar(), "without");
    snprintf(name, sizeof name, "top.%s.watched", kind);
    results_add(list, name, samples_median(&figures->watched), "tok/s", results_no_bar(), "with it");
    snprintf(name, sizeof name, "top.%s.host_cpu_ratio", kind);
    results_add(list, name, samples_median(&figures->cpu_ratio), "ratio", results_at_most(1.01),
                "the host's processor time for each token, likewise");
    snprintf(name, sizeof name, "top.%s.share", kind);
    results_add(list, name, samples_median(&figures->top_share), "%", results_no_bar(),
                "of a core, for llamaipc top");
}

void rows_top(results *list, const bench_options *options) {
    static watching replay, model;
    host_subject host;
    char program[4096], folder[4096];
    snprintf(folder, sizeof folder, "%s", options->chatbot);
    snprintf(program, sizeof program, "%.4000s/llamaipc", dirname(folder));
    if (access(program, X_OK) != 0)
        fail("%s is not there: build it, or leave the group top out", program);
    replay_start(&host, options, replay_text(REPLAY_TOKENS, NULL), 0, 4);
    measure(&host, program, options->n_rounds * N_PAIRS, &replay);
    embedded_start(&host, options);
    measure(&host, program, options->n_rounds * N_PAIRS, &model);
    add(list, "replay", &replay);
    add(list, "model", &model);
}
