/* fetch.c - see fetch.h: the side that waits for the model. */
#include "fetch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAUSES_MOST 1000 /* of a millisecond */
#define STARTS_MOST 3

static void say(const fetch *fetch, bool is_trouble, const char *line) {
    if (fetch->say) fetch->say(is_trouble, line);
}

static void start(fetch *fetch) {
    fetch->state = FETCH_FAILED;
    fetch->said = FETCH_RUNS;
    fetch->n_line = 0;
    fetch->n_starts++;
    const char *offline = fetch->is_offline ? "--offline" : NULL;
    const char *arguments[] = {"chatbot", "--pull", "--report", "--model", fetch->name, offline, NULL};
    if (plat_child_start(fetch->program, arguments, PLAT_CHILD_UNHEARD, &fetch->child) == PLAT_OK)
        fetch->state = FETCH_RUNS;
    else
        snprintf(fetch->message, sizeof fetch->message, "cannot start %.300s to fetch the model: %s", fetch->program, plat_os_error());
}

void fetch_start(fetch *fetch, const char *program, const char *name, bool is_offline, fetch_say say) {
    *fetch = (struct fetch){.is_offline = is_offline, .say = say};
    snprintf(fetch->program, sizeof fetch->program, "%s", program);
    snprintf(fetch->name, sizeof fetch->name, "%s", name);
    start(fetch);
}

/* Whether the line begins with the word; *rest is what stands behind it. */
static bool says(const char *line, const char *word, const char **rest) {
    size_t length = strlen(word);
    *rest = line + length + 1;
    return strncmp(line, word, length) == 0 && line[length] == ' ';
}

static void take_line(fetch *fetch, const char *line) {
    const char *rest;
    if (says(line, "progress", &rest)) {
        sscanf(rest, "%" SCNu64 " %" SCNu64 " %" SCNu64, &fetch->n_done, &fetch->n_total, &fetch->per_second);
    } else if (says(line, "say", &rest)) {
        say(fetch, false, rest);
    } else if (says(line, "path", &rest)) {
        snprintf(fetch->path, sizeof fetch->path, "%s", rest);
        fetch->said = FETCH_DONE;
    } else if (says(line, "missing", &rest) || says(line, "failed", &rest)) {
        snprintf(fetch->message, sizeof fetch->message, "%s", rest);
        fetch->said = line[0] == 'm' ? FETCH_MISSING : FETCH_FAILED;
    } else if (line[0]) {
        say(fetch, true, line); /* of a library */
    }
}

static bool read_lines(fetch *fetch) {
    char bytes[4096];
    bool is_new = false;
    for (size_t n; (n = plat_child_read(fetch->child, bytes, sizeof bytes)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            if (bytes[i] != '\n' && fetch->n_line < sizeof fetch->line - 1) fetch->line[fetch->n_line++] = bytes[i];
            if (bytes[i] != '\n') continue;
            fetch->line[fetch->n_line] = 0;
            fetch->n_line = 0;
            take_line(fetch, fetch->line);
            is_new = true;
        }
    }
    return is_new;
}

bool fetch_look(fetch *fetch) {
    int code;
    if (!fetch->child) return false;
    bool has_ended = plat_child_ended(fetch->child, &code); /* before the reading: nothing comes after it */
    bool is_new = read_lines(fetch);
    if (!has_ended) return is_new;
    plat_child_close(fetch->child);
    fetch->child = NULL;
    fetch->state = fetch->said;
    if (fetch->said != FETCH_RUNS) return true;
    if (fetch->n_starts < STARTS_MOST) {
        say(fetch, true, "the process that fetched the model was killed: another goes on with what has come");
        start(fetch);
        return true;
    }
    fetch->state = FETCH_FAILED;
    snprintf(fetch->message, sizeof fetch->message, "the process that fetched the model ended %d times without a word", STARTS_MOST);
    return true;
}

void fetch_end(fetch *fetch) {
    int code;
    if (!fetch->child) return;
    if (!plat_child_ended(fetch->child, &code)) plat_child_kill(fetch->child);
    /* Not for ever: it may wait for a disk. */
    for (int i = 0; i < PAUSES_MOST && !plat_child_ended(fetch->child, &code); i++)
        plat_pause_ms(1);
    plat_child_close(fetch->child);
    fetch->child = NULL;
}
