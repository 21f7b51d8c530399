/* load.c - keeps a host busy while another program looks at it.
 *
 *     load --clients 8 --tokens 512 --seconds 5 -- perf record -o FILE -p
 *
 * Starts a host on one of the random models, lets so many clients ask without a pause, runs the command with the process
 * id of the host's worker behind it, and prints how many tokens came while the command ran. The command is ended with
 * SIGINT after so many seconds.
 */
#include "concurrent.h"
#include "subjects.h"

#include <libgen.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_WORDS 32
#define COMMAND_MAX 60

typedef struct load {
    concurrent_subject subject;
    int n_clients, n_tokens;
    uint32_t is_over;
    int64_t n_made; /* in answers that are complete */
} load;

static void *ask_on(void *argument) {
    load *load = argument;
    while (__atomic_load_n(&load->is_over, __ATOMIC_ACQUIRE) == 0) {
        concurrent_ask(&load->subject, load->n_clients, N_WORDS, load->n_tokens);
        __atomic_add_fetch(&load->n_made, load->n_clients * load->n_tokens, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* Runs the command beside the clients. */
static void watch(load *load, const host_subject *host, char **command, int seconds) {
    const char *argv[COMMAND_MAX] = {"/usr/bin/env"}; /* finds it on the PATH */
    char worker[16];
    int n = 1;
    pthread_t thread;
    snprintf(worker, sizeof worker, "%d", (int)process_child(host->pid));
    for (int i = 0; command[i] != NULL && n + 2 < COMMAND_MAX; i++)
        argv[n++] = command[i];
    argv[n++] = worker;
    argv[n] = NULL;
    concurrent_ask(&load->subject, load->n_clients, N_WORDS, load->n_tokens);
    const int64_t start = now_ns(), cpu = family_cpu_ns(host->pid);
    const pid_t pid = process_start(argv, -1, STDERR_FILENO, STDERR_FILENO);
    if (pthread_create(&thread, NULL, ask_on, load) != 0)
        fail("cannot start a thread");
    sleep_ns(seconds * 1000000000LL);
    __atomic_store_n(&load->is_over, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    const double s = (double)(now_ns() - start) / 1e9, cpu_us = (double)(family_cpu_ns(host->pid) - cpu) / 1e3;
    kill(pid, SIGINT);
    process_wait(pid);
    printf("clients %d tokens %lld seconds %.3f tokens_per_s %.0f cpu_us_per_token %.1f\n", load->n_clients,
           (long long)load->n_made, s, (double)load->n_made / s, cpu_us / (double)load->n_made);
}

int main(int argc, char **argv) {
    static char program[4096], chatbot[4200], random_model[4200], models[4200];
    bench_model model = {.name = "0.3m"};
    int n_clients = 1, n_tokens = 512, n_threads = 1, seconds = 5, i = 1;
    for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
        if (strcmp(argv[i], "--model") == 0)
            model.name = argv[i + 1];
        else if (strcmp(argv[i], "--clients") == 0)
            n_clients = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--tokens") == 0)
            n_tokens = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--threads") == 0)
            n_threads = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = atoi(argv[i + 1]);
        else
            break;
    }
    if (i + 1 >= argc || strcmp(argv[i], "--") != 0 || n_clients < 1 || n_tokens < 2) {
        fputs("usage: load [--model 0.3m] [--clients N] [--tokens N] [--threads N] [--seconds N] -- COMMAND...\n", stderr);
        return 2;
    }
    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        fail("cannot find out where this program lies");
    const char *folder = dirname(program);
    snprintf(chatbot, sizeof chatbot, "%s/../chatbot", folder);
    snprintf(random_model, sizeof random_model, "%s/random_model", folder);
    snprintf(models, sizeof models, "%s/models", folder);
    const bench_options options = {.chatbot = chatbot, .random_model = random_model, .models = models};
    host_subject host;
    host_start_for(&host, &options, model_path(&options, &model), n_threads, 1024, n_clients, NULL);
    lipc_client_close(modern_open(host.name, 0));
    load load = {.subject = {host.name, 0}, .n_clients = n_clients, .n_tokens = n_tokens};
    watch(&load, &host, &argv[i + 1], seconds);
    host_stop(&host);
    return 0;
}
