/* pull.c - see pull.h. */
#include "pull.h"

#include "log.h"

#include "../engine/llama/common/models.h"
#include "../text/model_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_NS 200000000u
#define SHOW_NS 1000000000u

typedef struct pull {
    const host_options *options;
    int parent_pid;      /* whoever reads the report; 0: nobody */
    uint64_t shown_ns;
    uint64_t n_shown;
} pull;

/* ---- for this host -------------------------------------------------------------------------------------------------- */

static void log_what_it_says(bool is_trouble, const char *line) {
    if (is_trouble) log_line(LOG_LEVEL_WARN, "fetching: %s", line);
    else log_line(LOG_LEVEL_INFO, "%s", line);
}

void pull_start(fetch *fetch, const char *name, bool is_offline) {
    char program[FETCH_PATH_SIZE], folder[FETCH_PATH_SIZE - 16];
    if (plat_program_folder(folder, sizeof folder) < 0) {
        *fetch = (struct fetch){.state = FETCH_FAILED};
        snprintf(fetch->message, sizeof fetch->message, "cannot tell where this program lies: %s", plat_os_error());
        return;
    }
    snprintf(program, sizeof program, "%s/chatbot", folder);
    fetch_start(fetch, program, name, is_offline, log_what_it_says);
}

/* ---- the process that fetches --------------------------------------------------------------------------------------- */

static volatile int stop_code; /* what asked the program to end; 0: nothing has. Written by on_stop alone */

static void on_stop(int exit_code) {
    stop_code = exit_code;
}

static void report(const char *word, const char *text) {
    char line[FETCH_PATH_SIZE + 64];
    int length = snprintf(line, sizeof line, "%s %s", word, text);
    if (length < 0 || length >= (int)sizeof line) length = (int)sizeof line - 2;
    for (int i = 0; i < length; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F) line[i] = '?';
    line[length++] = '\n';
    fwrite(line, 1, (size_t)length, stderr);
}

/* Lost lines do no harm: the next one says more. */
static void report_progress(const models_progress *progress) {
    char line[96];
    int length = snprintf(line, sizeof line, "progress %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", progress->n_done,
                          progress->n_total, progress->per_second);
    plat_stream_try_write(2, line, (size_t)length);
}

static void show_progress(const models_progress *progress) {
    double done_mb = (double)progress->n_done / 1e6, total_mb = (double)progress->n_total / 1e6;
    double speed_mb = (double)progress->per_second / 1e6;
    if (progress->n_total == 0 || progress->n_done == 0) return;
    log_line(LOG_LEVEL_INFO, "fetching: %.0f of %.0f MB, %.0f %%, %.1f MB/s", done_mb, total_mb, 100 * done_mb / total_mb, speed_mb);
}

static bool go_on(void *user_data, const models_progress *progress) {
    pull *pull = user_data;
    uint64_t now_ns = plat_clock_ns(), pause_ns = pull->options->report ? REPORT_NS : SHOW_NS;
    if (now_ns - pull->shown_ns >= pause_ns && progress->n_done != pull->n_shown) {
        pull->shown_ns = now_ns;
        pull->n_shown = progress->n_done;
        pull->options->report ? report_progress(progress) : show_progress(progress);
    }
    bool is_alone = pull->parent_pid != 0 && plat_parent_pid() != pull->parent_pid;
    return !is_alone && stop_code == 0;
}

static void say(void *user_data, const char *line) {
    const pull *pull = user_data;
    if (pull->options->report) report("say", line);
    else log_line(LOG_LEVEL_INFO, "%s", line);
}

static host_exit end(const host_options *options, int result, const char *path, const char *message) {
    if (options->report) {
        report(result == MODELS_OK ? "path" : result == MODELS_E_MISSING ? "missing" : "failed", result == MODELS_OK ? path : message);
        return result == MODELS_OK ? HOST_EXIT_OK : HOST_EXIT_FAILURE;
    }
    if (result == MODELS_OK) printf("%s\n", path);
    else log_line(LOG_LEVEL_ERROR, "%s", message);
    switch (result) {
    case MODELS_OK: return HOST_EXIT_OK;
    case MODELS_E_NAME: return HOST_EXIT_USAGE;
    case MODELS_E_MISSING: return HOST_EXIT_MODEL_MISSING;
    case MODELS_E_CANCELLED: return (host_exit)stop_code;
    default: return HOST_EXIT_FAILURE;
    }
}

static host_exit fetch_one(const host_options *options) {
    char path[FETCH_PATH_SIZE] = "", message[FETCH_MESSAGE_SIZE];
    const char *parent = plat_environment(PLAT_PARENT_VARIABLE);
    pull pull = {.options = options, .parent_pid = options->report && parent ? (int)strtol(parent, NULL, 10) : 0};
    const models_options how = {.is_offline = options->offline, .go_on = go_on, .say = say, .user_data = &pull};
    if (!options->model_path || !model_name_is_one(options->model_path)) {
        log_line(LOG_LEVEL_ERROR, "nothing to fetch: give a model with -hf USER/MODEL[:QUANT] or -mu URL");
        return HOST_EXIT_USAGE;
    }
    plat_stop_watch(on_stop);
    int result = models_fetch(options->model_path, &how, path, sizeof path, message, sizeof message);
    return end(options, result, path, message);
}

host_exit pull_run(const host_options *options) {
    char message[FETCH_MESSAGE_SIZE];
    if (options->cache_list) {
        if (models_list(stdout) == 0) log_line(LOG_LEVEL_INFO, "no models in the cache");
        return HOST_EXIT_OK;
    }
    if (options->pull) return fetch_one(options);
    int result = models_remove(options->cache_remove, message, sizeof message);
    return result == MODELS_OK ? HOST_EXIT_OK : end(options, result, "", message);
}
