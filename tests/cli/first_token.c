/* first_token.c - with a warm host, the first token of `llamaipc ask` is on standard output at most 5 ms after the program
 * was started, and what the host itself takes for its first token.
 */
#include "cli_test.h"

#include <poll.h>

enum { ROUNDS = 40, PROMISED_MS = 5 };

/* Milliseconds from the start of the program to its first byte; the rest is read to its end. Returns all of it. */
static char *ask_once(double *first_ms) {
    cli cli;
    size_t n_bytes = 0, room = 1 << 20;
    ssize_t n;
    char *text = calloc(1, room);
    CHECK(text != NULL);
    cli_start(&cli, NULL, true, (const char *const[]){"ask", "--json", "What is C++?", NULL});
    while ((n = read(cli.out_fd, text + n_bytes, room - n_bytes - 1)) > 0) {
        if (n_bytes == 0)
            *first_ms = test_now_ms() - cli.started_ms;
        n_bytes += (size_t)n;
    }
    cli_expect(&cli, CLI_EXIT_OK);
    cli_free(&cli);
    return text;
}

/* What the host says of itself: from the request to the first token. */
static double host_ms(const char *text) {
    double ms = -1;
    for (json_t *line; (line = json_line(&text)); json_decref(line))
        if (strcmp(json_text(line, "type"), "end") == 0)
            ms = json_figure(line, "queued_ms") + json_figure(line, "prompt_ms");
    CHECK(ms >= 0);
    return ms;
}

int main(void) {
    char instance[64];
    test_host host;
    double more[ROUNDS], hosts[ROUNDS];
    test_begin("first_token", 60);
    test_instance(instance, "first");
    setenv("LIPC_NAME", instance, 1);
    test_step("a warm host");
    segment segment = host_ready(&host, instance, EMBEDDED("-n", "8"));
    for (int i = -5; i < ROUNDS; i++) { /* the first ones warm it */
        double first_ms = 0;
        char *text = ask_once(&first_ms);
        if (i >= 0) {
            hosts[i] = host_ms(text);
            more[i] = first_ms - hosts[i];
        }
        free(text);
    }
    double median = quantile(more, ROUNDS, 0.5), best = quantile(more, ROUNDS, 0.25);
    printf("  the host's first token: median %.2f ms; with llamaipc ask %.2f ms more, the best quarter at most %.2f ms "
           "(promised: %d)\n",
           quantile(hosts, ROUNDS, 0.5), median, best, PROMISED_MS);
    /* Starting a program costs more on a busy machine, and that is not what is judged. */
    CHECK_SAY(best <= test_scaled(PROMISED_MS * GENEROUS), "a quarter takes more than %.1f ms", best);
    end_host(&host, &segment);
    return test_end();
}
