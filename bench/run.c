/* run.c - the benchmark program: facts about the machine, groups of rows, the table and the file.
 *
 * README.md tells what each row means. A timing never makes this program fail; it ends with 1 only if something could
 * not be run.
 */
#include "rows.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct group {
    const char *family; /* another name, of several groups; NULL: none */
    const char *name;
    const char *heading;
    void (*run)(results *list, const bench_options *options);
} group;

static const group groups[] = {
    {NULL, "stream", "answers through the host, against the bare loop", rows_stream},
    {NULL, "first", "time to the first token, from rest", rows_first},
    {NULL, "start", "start", rows_start},
    {NULL, "death", "death of the host", rows_death},
    {NULL, "idle", "when nothing is to be done", rows_idle},
    {NULL, "sampler", "choosing a token", rows_sampler},
    {NULL, "wake", "publishing and waking", rows_wake},
    {NULL, "channel", "the modern channel by itself", rows_channel},
    {NULL, "transports", "the same tokens by other ways", rows_transports},
    {NULL, "clients", "clients of the modern channel", rows_clients},
    {NULL, "ask", "llamaipc ask", rows_ask},
    {"engine", "throughput", "tokens per second against evaluation alone and llama-server", rows_engine},
    {"engine", "prompt", "a prompt of 2,000 tokens alone", rows_prompt},
    {"engine", "beside", "a prompt of 2,000 tokens beside 4 answers", rows_beside},
    {"engine", "text", "1 MB of text beside 4 answers", rows_text},
    {"engine", "turn", "the second turn of a conversation", rows_second_turn},
    {"engine", "killed", "the worker is killed behind 1,000 tokens", rows_killed},
    {"engine", "ready", "from start to serving", rows_ready},
    {"engine", "cancel", "cancelling while a prompt is read", rows_cancel},
    {"engine", "draft", "a draft model, against the same in llama-server", rows_draft},
    {"engine", "lookup", "drafts from repetitive text", rows_lookup},
    {"engine", "memory", "memory after many requests", rows_memory},
    {NULL, "top", "what it costs to be watched", rows_top},
};

#define N_GROUPS (sizeof groups / sizeof *groups)

/* Whether `name` is in a list with commas; a list that is not there holds everything. */
static bool is_listed(const char *list, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == '\0' || at[length] == ','))
            return true;
    }
    return list == NULL;
}

static bool is_wanted(const bench_options *options, const group *group) {
    return is_listed(options->only, group->name) || (group->family && is_listed(options->only, group->family));
}

bool uses_model(const bench_options *options, const bench_model *model) {
    return is_listed(options->model, model->name);
}

/* ---- facts ------------------------------------------------------------------------------------------------------ */

static void print_cpu_model(void) {
    char line[512] = "";
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            printf("processor  %s", colon + 2);
            break;
        }
    }
    if (file != NULL)
        fclose(file);
}

static void print_load(void) {
    double load[3];
    if (getloadavg(load, 3) == 3)
        printf("load       %.2f %.2f %.2f (another program on a core spoils ratios and times)\n", load[0], load[1],
               load[2]);
}

static void print_facts(const bench_options *options) {
    print_cpu_model();
    printf("cores      %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    printf("threads    %d\n", options->n_threads);
    printf("rounds     %d\n", options->n_rounds);
    print_load();
    const char *const argv[] = {options->bare_loop, "--version", NULL};
    printf("library    ");
    fflush(stdout);
    if (process_end(process_start(argv, -1, STDOUT_FILENO, STDERR_FILENO)) != 0)
        fail("cannot run %s", options->bare_loop);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static void print_usage(void) {
    puts("usage: bench [options]\n"
         "  --only GROUP[,GROUP]  only these groups of rows; the results file is then left alone unless it is named:");
    for (size_t i = 0; i < N_GROUPS; i++)
        printf("                          %-11s%s\n", groups[i].name, groups[i].heading);
    puts("                          engine     all from throughput to memory\n"
         "  --model NAME          only this model: 134m, 374m, 1.1b, 152k, gemma3, lfm2, 134m-loop or 0.3m\n"
         "  --rounds N            interleaved rounds (5)\n"
         "  --quick               two rounds, and nothing is measured again\n"
         "  --threads N           threads of host and bare loop (the number of cores)\n"
         "  --retry-seconds N          seconds to spend, all in all, on waiting and measuring again because other\n"
         "                        programs use the cores (60)\n"
         "  --results FILE        where the rows go as JSON (results.json beside this program)\n"
         "  --chatbot FILE        the host (../chatbot beside this program)\n"
         "  --peer FOLDER         llama-server and its like (where scripts/fetch-libllama.sh peer puts them)\n"
         "  --models FOLDER       where the random models are kept (models beside this program)\n"
         "  -v, --verbose         show the hosts' log");
}

static const char *beside_program(const char *name) {
    static char folder[4096];
    char *path = NULL;
    if (folder[0] == '\0') {
        char program[4096];
        const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
        if (length < 0)
            fail("cannot find out where this program lies: %s", strerror(errno));
        program[length] = '\0';
        snprintf(folder, sizeof folder, "%s", dirname(program));
    }
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        fail("not enough memory");
    return path; /* lives as long as the program */
}

static int parse_count(const char *option, const char *text) {
    char *end;
    const long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 0 || value > 100000) {
        fprintf(stderr, "bench: %s: '%s' is not a number from 0 to 100000\n", option, text);
        exit(2);
    }
    return (int)value;
}

/* A misspelt name would measure nothing and look like success. */
static void check_names(const bench_options *options) {
    bool any_group = false, any_model = false;
    for (size_t i = 0; i < N_GROUPS; i++)
        any_group |= is_wanted(options, &groups[i]);
    for (int i = 0; i < N_BENCH_MODELS; i++)
        any_model |= uses_model(options, &bench_models[i]);
    const bench_model *const others[] = {&bench_model_374m, &bench_model_1_1b, &bench_model_152k, &bench_model_gemma3,
                                         &bench_model_lfm2, &bench_model_loop};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        any_model |= uses_model(options, others[i]);
    if (any_group && any_model)
        return;
    fprintf(stderr, "bench: there is no %s '%s'; see --help\n", any_group ? "model" : "group",
            any_group ? options->model : options->only);
    exit(2);
}

static bench_options parse_options(int argc, char **argv) {
    const long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    bench_options options = {.chatbot = beside_program("../chatbot"),
                             .bare_loop = beside_program("bare_loop"),
                             .random_model = beside_program("random_model"),
                             .models = beside_program("models"),
                             .peer = BENCH_PEER,
                             .n_rounds = 5,
                             .retry_s = 60,
                             .n_threads = n_cores > 0 ? (int)n_cores : 1};
    const struct {
        const char *name;
        const char **text;
        int *count;
    } known[] = {
        {"--only", &options.only, NULL},       {"--model", &options.model, NULL},
        {"--results", &options.results, NULL}, {"--chatbot", &options.chatbot, NULL},
        {"--models", &options.models, NULL},   {"--rounds", NULL, &options.n_rounds},
        {"--peer", &options.peer, NULL},
        {"--threads", NULL, &options.n_threads}, {"--retry-seconds", NULL, &options.retry_s},
    };
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            print_usage();
            exit(0);
        }
        if (strcmp(argv[i], "-v") == 0 || strcmp(argv[i], "--verbose") == 0) {
            options.is_verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--quick") == 0) {
            options.n_rounds = 2;
            options.retry_s = 0;
            continue;
        }
        size_t k = 0;
        while (k < sizeof known / sizeof *known && strcmp(argv[i], known[k].name) != 0)
            k++;
        if (k == sizeof known / sizeof *known || i + 1 == argc) {
            fprintf(stderr, "bench: unknown option, or no value for it: %s; see --help\n", argv[i]);
            exit(2);
        }
        if (known[k].text != NULL)
            *known[k].text = argv[++i];
        else
            *known[k].count = parse_count(argv[i], argv[i + 1]), i++;
    }
    if (options.n_rounds < 1 || options.n_threads < 1) {
        fputs("bench: rounds and threads are at least 1\n", stderr);
        exit(2);
    }
    check_names(&options);
    if (options.results == NULL && options.only == NULL && options.model == NULL)
        options.results = beside_program("results.json");
    return options;
}

int main(int argc, char **argv) {
    const bench_options options = parse_options(argc, argv);
    results list = {0};
    retries_set(options.retry_s);
    print_facts(&options);
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (!is_wanted(&options, &groups[i]))
            continue;
        const size_t n_before = list.n_rows;
        results_heading(&list, groups[i].heading);
        groups[i].run(&list, &options);
        results_print(&list, n_before);
    }
    if (options.results != NULL && results_write(&list, options.results) != 0)
        fail("cannot write %s: %s", options.results, strerror(errno));
    if (options.results != NULL)
        printf("\nrows written to %s\n", options.results);
    results_free(&list);
    return 0;
}
