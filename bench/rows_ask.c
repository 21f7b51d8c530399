/* rows_ask.c - llamaipc ask as people and scripts use it: a process for each question. How much later than the host's own
 * first token its first byte is on standard output.
 */
#include "rows.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_ASKED 100
#define N_WARM 5
#define ANSWER_MAX (1 << 20)

/* From starting the program to its first byte; the rest goes to `text`, with a zero behind it. */
static double first_byte_ms(const char *program, const char *instance, char *text) {
    const char *const argv[] = {program, "ask", "--name", instance, "--json", "What is C++?", NULL};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("cannot make a pipe: %s", strerror(errno));
    const int64_t begin = now_ns();
    int64_t first = 0;
    const pid_t pid = process_start(argv, -1, ends[1], STDERR_FILENO);
    close(ends[1]);
    size_t n_bytes = 0;
    ssize_t n;
    while ((n = read(ends[0], text + n_bytes, ANSWER_MAX - n_bytes - 1)) > 0) {
        first = first ? first : now_ns();
        n_bytes += (size_t)n;
    }
    close(ends[0]);
    text[n_bytes] = '\0';
    if (process_end(pid) != 0 || first == 0)
        fail("%s ask failed", program);
    return (double)(first - begin) / 1e6;
}

/* A number of the last line, which tells the end. */
static double figure(const char *text, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(text, quoted);
    if (at == NULL)
        fail("llamaipc ask --json does not say %s", key);
    return strtod(at + strlen(quoted), NULL);
}

void rows_ask(results *list, const bench_options *options) {
    static samples above, hosts;
    host_subject host;
    char program[4096], folder[4096];
    char *text = malloc(ANSWER_MAX);
    snprintf(folder, sizeof folder, "%s", options->chatbot);
    snprintf(program, sizeof program, "%.4000s/llamaipc", dirname(folder));
    if (text == NULL || access(program, X_OK) != 0)
        fail("%s is not there: build it, or leave the group ask out", program);
    above.n = hosts.n = 0;
    embedded_start(&host, options);
    host_connect(&host);
    for (int i = -N_WARM; i < N_ASKED; i++) {
        const double ms = first_byte_ms(program, host.name, text);
        const double host_ms = figure(text, "queued_ms") + figure(text, "prompt_ms");
        if (i < 0)
            continue;
        samples_add(&hosts, host_ms);
        samples_add(&above, ms - host_ms);
    }
    host_stop(&host);
    free(text);
    results_add(list, "ask.first.above", samples_median(&above), "ms", results_at_most(5),
                "start of llamaipc ask to its first byte, less the host's own");
    results_add(list, "ask.first.above_p99", samples_quantile(&above, 0.99), "ms", results_no_bar(),
                "99th percentile of 100");
    results_add(list, "ask.first.host", samples_median(&hosts), "ms", results_no_bar(),
                "the host's own: queue and prompt, by llamaipc ask --json");
}
