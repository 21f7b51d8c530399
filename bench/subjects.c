/* subjects.c - see subjects.h. */
#include "subjects.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 60000
#define ANSWER_MS 300000

/* ---- models ----------------------------------------------------------------------------------------------------- */

const bench_model bench_models[N_BENCH_MODELS] = {
    {.name = "134m", .least_ratio = 0.95, .n_repeats_128 = 1, .n_repeats_512 = 1},
    {.name = "0.3m", .least_ratio = 0.80, .n_repeats_128 = 9, .n_repeats_512 = 3},
};
const bench_model bench_model_374m = {.name = "374m"}, bench_model_1_1b = {.name = "1.1b"},
                  bench_model_152k = {.name = "152k", .vocabulary = BENCH_VOCABULARIES "/ggml-vocab-qwen2.gguf"},
                  bench_model_gemma3 = {.name = "gemma3"}, bench_model_lfm2 = {.name = "lfm2"},
                  bench_model_loop = {.name = "134m-loop"};

const char *model_path(const bench_options *options, const bench_model *model) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/random-%s.gguf", options->models, model->name);
    if (access(path, R_OK) == 0)
        return path;
    const char *const argv[] = {options->random_model, "--preset", model->name, path,
                                model->vocabulary ? "--vocab" : NULL, model->vocabulary, NULL};
    mkdir(options->models, 0777);
    const int status = process_end(process_start(argv, -1, STDERR_FILENO, STDERR_FILENO));
    if (status != 0 || access(path, R_OK) != 0)
        fail("%s could not make %s", options->random_model, path);
    return path;
}

/* ---- host: starting and ending ---------------------------------------------------------------------------------- */

static void object_name(const host_subject *host, const char *suffix, char *name, size_t size) {
    snprintf(name, size, "/%s%s", host->name, suffix);
}

#define ARGUMENTS_MAX 40

static void start_host(host_subject *host, const bench_options *options, const char *model_path, int n_threads,
                       const char *const further[]) {
    static int n_started;
    char threads[16];
    const char *argv[ARGUMENTS_MAX] = {options->chatbot, "-m", model_path, "--name", host->name, "-t", threads, "-s", ANSWER_SEED,
                                       "--temp", "0.7", "--min-p", "0.05", "-ngl", "0"};
    int n = 0;
    *host = (host_subject){0};
    snprintf(host->name, sizeof host->name, "bench_%ld_%d", (long)getpid(), n_started++);
    snprintf(threads, sizeof threads, "%d", n_threads);
    while (argv[n] != NULL)
        n++;
    for (int i = 0; further[i] != NULL && n + 1 < ARGUMENTS_MAX; i++)
        argv[n++] = further[i];
    host->pid = process_start(argv, -1, -1, options->is_verbose ? STDERR_FILENO : -1);
}

void host_start(host_subject *host, const bench_options *options, const char *model_path, int n_predict) {
    char predict[16];
    snprintf(predict, sizeof predict, "%d", n_predict);
    const char *const further[] = {"-c", ANSWER_CONTEXT, "-n", predict, NULL};
    start_host(host, options, model_path, options->n_threads, further);
}

void host_start_for(host_subject *host, const bench_options *options, const char *model_path, int n_threads, int n_ctx,
                    int n_parallel, const char *const further[]) {
    char ctx[16], parallel[16];
    const char *arguments[16] = {"-c", ctx, "-np", parallel};
    int n = 4;
    snprintf(ctx, sizeof ctx, "%d", n_ctx);
    snprintf(parallel, sizeof parallel, "%d", n_parallel);
    for (int i = 0; further != NULL && further[i] != NULL && n < 15; i++)
        arguments[n++] = further[i];
    start_host(host, options, model_path, n_threads, arguments);
}

bool host_open_objects(host_subject *host) {
    char name[128];
    const struct {
        const char *suffix;
        sem_t **semaphore;
    } semaphores[] = {{LIPC_SUFFIX_READY, &host->ready},
                      {LIPC_SUFFIX_PROMPTS_WRITTEN, &host->prompts_written},
                      {LIPC_SUFFIX_RESPONSE_WRITTEN, &host->response_written},
                      {LIPC_SUFFIX_CHUNK_READY, &host->chunk_ready}};
    object_name(host, LIPC_SUFFIX_SEGMENT, name, sizeof name);
    const int descriptor = shm_open(name, O_RDWR, 0);
    struct stat status;
    if (descriptor < 0)
        return false;
    void *base = MAP_FAILED;
    if (fstat(descriptor, &status) == 0 && status.st_size >= LIPC_CLASSIC_MAP_SIZE)
        base = mmap(NULL, LIPC_CLASSIC_MAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (base == MAP_FAILED)
        return false;
    host->block = base;
    for (size_t i = 0; i < sizeof semaphores / sizeof *semaphores; i++) {
        object_name(host, semaphores[i].suffix, name, sizeof name);
        sem_t *semaphore = sem_open(name, 0);
        if (semaphore == SEM_FAILED) {
            host_close_objects(host);
            return false;
        }
        *semaphores[i].semaphore = semaphore;
    }
    return true;
}

void host_close_objects(host_subject *host) {
    sem_t **const semaphores[] = {&host->ready, &host->prompts_written, &host->response_written, &host->chunk_ready};
    for (size_t i = 0; i < sizeof semaphores / sizeof *semaphores; i++) {
        if (*semaphores[i] != NULL)
            sem_close(*semaphores[i]);
        *semaphores[i] = NULL;
    }
    if (host->block != NULL)
        munmap(host->block, LIPC_CLASSIC_MAP_SIZE);
    host->block = NULL;
}

void host_connect(host_subject *host) {
    if (lipc_classic_open(host->name, &host->library) < 0)
        fail("%s", lipc_error_message());
    if (lipc_classic_connect(host->library, CONNECT_MS) < 0)
        fail("the host does not serve: %s", lipc_error_message());
    host->modern = modern_open(host->name, 0);
    if (!host_open_objects(host))
        fail("the objects of the host '%s' cannot be opened: %s", host->name, strerror(errno));
}

static void close_clients(host_subject *host) {
    lipc_classic_close(host->library);
    lipc_client_close(host->modern);
    host->library = NULL;
    host->modern = NULL;
}

void host_stop(host_subject *host) {
    host_close_objects(host);
    close_clients(host);
    kill(host->pid, SIGTERM);
    const int status = process_end(host->pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail("the host did not end as asked (wait status %#x)", (unsigned)status);
}

void host_bury(host_subject *host) {
    const char *const semaphores[] = {LIPC_SUFFIX_READY, LIPC_SUFFIX_PROMPTS_WRITTEN, LIPC_SUFFIX_RESPONSE_WRITTEN,
                                      LIPC_SUFFIX_CHUNK_READY};
    char name[128];
    host_close_objects(host);
    close_clients(host);
    kill(host->pid, SIGKILL);
    process_end(host->pid);
    for (size_t i = 0; i < sizeof semaphores / sizeof *semaphores; i++) {
        object_name(host, semaphores[i], name, sizeof name);
        sem_unlink(name);
    }
    object_name(host, LIPC_SUFFIX_SEGMENT, name, sizeof name);
    shm_unlink(name);
}

/* ---- host: asking ----------------------------------------------------------------------------------------------- */

static int64_t thread_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What a client notes down while an answer grows. */
typedef struct stopwatch {
    int64_t start_ns, first_ns, last_ns;
    int64_t cpu_ns;
    int n_first, n_last; /* tokens there were at first_ns and last_ns */
} stopwatch;

static void note_tokens(stopwatch *watch, int n_tokens) {
    if (n_tokens <= watch->n_last)
        return;
    watch->last_ns = now_ns();
    watch->n_last = n_tokens;
    if (watch->n_first == 0) {
        watch->first_ns = watch->last_ns;
        watch->n_first = n_tokens;
    }
}

static answer_cost cost_of(const stopwatch *watch) {
    answer_cost cost = {.n_tokens = watch->n_last};
    if (watch->n_last == 0)
        fail("an answer came without a token");
    cost.first_ms = (double)(watch->first_ns - watch->start_ns) / 1e6;
    if (watch->last_ns > watch->first_ns)
        cost.tokens_per_s = (watch->n_last - watch->n_first) * 1e9 / (double)(watch->last_ns - watch->first_ns);
    cost.cpu_us = (double)(thread_cpu_ns() - watch->cpu_ns) / 1e3 / watch->n_last;
    return cost;
}

static void wait_semaphore(sem_t *semaphore, const char *what) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += ANSWER_MS / 1000;
    while (sem_timedwait(semaphore, &deadline) != 0) {
        if (errno != EINTR)
            fail("waiting for %s: %s", what, strerror(errno));
    }
}

static void write_prompt(char field[LIPC_PROMPT_SIZE], const char *text) {
    const size_t length = strlen(text);
    memset(field, 0, LIPC_PROMPT_SIZE);
    memcpy(field, text, length < LIPC_PROMPT_SIZE ? length : LIPC_PROMPT_SIZE - 1);
}

answer_cost host_stream_raw(host_subject *host, const prompts *prompts) {
    static char text[LIPC_RESPONSE_SIZE];
    lipc_classic_block *block = host->block;
    stopwatch watch = {.cpu_ns = thread_cpu_ns()};

    wait_semaphore(host->ready, "sem_ready");
    write_prompt(block->system_prompt, prompts->system);
    write_prompt(block->user_prompt, prompts->user);
    memset(block->response, 0, sizeof block->response);
    block->shutdown_requested = 0;
    block->stream_mode = 1;
    block->update_counter = 0;
    block->generation_complete = 0;
    block->tokens_generated = 0;
    watch.start_ns = now_ns();
    sem_post(host->prompts_written);

    int32_t n_updates = 0;
    bool is_complete = false;
    while (!is_complete) {
        wait_semaphore(host->chunk_ready, "sem_chunk_ready");
        memcpy(text, block->response, sizeof text);
        text[strnlen(text, sizeof text - 1)] = '\0';
        const int32_t n_now = __atomic_load_n(&block->update_counter, __ATOMIC_ACQUIRE);
        if (n_now <= n_updates)
            continue;
        n_updates = n_now;
        is_complete = __atomic_load_n(&block->generation_complete, __ATOMIC_ACQUIRE) != 0;
        note_tokens(&watch, __atomic_load_n(&block->tokens_generated, __ATOMIC_ACQUIRE));
    }
    wait_semaphore(host->response_written, "sem_response_written");
    return cost_of(&watch);
}

static int on_update(void *user_data, const lipc_classic_result *update) {
    note_tokens(user_data, update->n_tokens);
    return 0;
}

answer_cost host_stream_library(host_subject *host, const prompts *prompts) {
    stopwatch watch = {.start_ns = now_ns(), .cpu_ns = thread_cpu_ns()};
    if (lipc_classic_stream(host->library, prompts->system, prompts->user, ANSWER_MS, on_update, &watch, NULL) < 0)
        fail("a request failed: %s", lipc_error_message());
    return cost_of(&watch);
}

answer_cost host_stream_modern(host_subject *host, const prompts *prompts) {
    const lipc_message messages[] = {{"system", prompts->system}, {"user", prompts->user}};
    stopwatch watch = {.start_ns = now_ns(), .cpu_ns = thread_cpu_ns()};
    lipc_stream *stream;
    lipc_request request;
    lipc_delta delta;
    lipc_progress progress;
    int result;
    lipc_request_init(&request);
    request.messages = messages;
    request.n_messages = 2;
    if (lipc_stream_open(host->modern, &request, &stream) < 0)
        fail("a request failed: %s", lipc_error_message());
    while ((result = lipc_stream_read(stream, ANSWER_MS, &delta)) == 0 && delta.n_bytes > 0) {
        if (lipc_stream_progress(stream, &progress) == 0)
            note_tokens(&watch, progress.n_tokens);
    }
    if (result < 0 || lipc_stream_progress(stream, &progress) < 0)
        fail("a request failed: %s", lipc_error_message());
    note_tokens(&watch, progress.n_tokens);
    lipc_stream_close(stream);
    return cost_of(&watch);
}

/* ---- the modern channel ----------------------------------------------------------------------------------------- */

void replay_start(host_subject *host, const bench_options *options, const char *text_path, int rate, int n_streams) {
    static int n_started;
    char rate_text[16], streams[16];
    *host = (host_subject){0};
    snprintf(host->name, sizeof host->name, "bench_%ld_r%d", (long)getpid(), n_started++);
    snprintf(rate_text, sizeof rate_text, "%d", rate);
    snprintf(streams, sizeof streams, "%d", n_streams);
    const char *const argv[] = {options->chatbot, "--replay", text_path, "--rate", rate_text, "--streams", streams,
                                "--name", host->name, NULL};
    host->pid = process_start(argv, -1, -1, options->is_verbose ? STDERR_FILENO : -1);
}

void embedded_start(host_subject *host, const bench_options *options) {
    static int n_started;
    char threads[16];
    *host = (host_subject){0};
    snprintf(host->name, sizeof host->name, "bench_%ld_e%d", (long)getpid(), n_started++);
    snprintf(threads, sizeof threads, "%d", options->n_threads);
    const char *const argv[] = {options->chatbot, "--name", host->name, "-t", threads, "-s", ANSWER_SEED, NULL};
    host->pid = process_start(argv, -1, -1, options->is_verbose ? STDERR_FILENO : -1);
}

const char *replay_text(int n_tokens, char **text) {
    char *made = NULL, *path = NULL;
    size_t n_bytes = 0;
    FILE *out = open_memstream(&made, &n_bytes);
    const int fd = memfd_create("text", MFD_CLOEXEC);
    if (out == NULL || fd < 0)
        fail("not enough memory");
    for (int i = 0; i < n_tokens; i++)
        fprintf(out, "%sw%d", i > 0 ? " " : "", i % 1000);
    fclose(out);
    if (write(fd, made, n_bytes) != (ssize_t)n_bytes || asprintf(&path, "/proc/%ld/fd/%d", (long)getpid(), fd) < 0)
        fail("not enough memory for a text");
    if (text != NULL)
        *text = made;
    else
        free(made);
    return path;
}

/* ---- bare loop -------------------------------------------------------------------------------------------------- */

void bare_start(bare_subject *bare, const bench_options *options, const char *model_path) {
    bare_start_for(bare, options, model_path, options->n_threads, atoi(ANSWER_CONTEXT), 1);
}

void bare_start_for(bare_subject *bare, const bench_options *options, const char *model_path, int n_threads, int n_ctx,
                    int n_sequences) {
    bare_open(bare, options->bare_loop, model_path, n_threads, n_ctx, n_sequences);
}
