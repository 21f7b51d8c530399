/* record.c - see record.h. */
#include "record.h"

#include "../engine/replay_tape.h"
#include "../text/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shorter ones are how long an evaluation takes on a machine that does something else besides. */
#define PAUSE_LEAST_MS 0.5

typedef struct recorded {
    json_writer lines;   /* of the answer so far */
    json_writer rest;    /* what came behind the last token */
    uint64_t last_ns;    /* when the last line was added */
    int32_t n_prompt_done;
    bool has_prompt;     /* its line is there */
    bool was_resumed;    /* the last token was one that a dead worker had made */
} recorded;

struct recorder {
    FILE *file;
    recorded *answers;   /* by sequence */
    int n_answers;
};

int recorder_open(const char *path, recorder **result) {
    static const char first_line[] = REPLAY_TAPE_MAGIC "\n";
    *result = calloc(1, sizeof **result);
    if (!*result) return ENOMEM;
    (*result)->file = plat_file_open(path, "a");
    int error = (*result)->file ? 0 : errno;
    if (error == 0) setvbuf((*result)->file, NULL, _IONBF, 0); /* what is written goes out at once, in one piece */
    if (error == 0 && fseek((*result)->file, 0, SEEK_END) == 0 && ftell((*result)->file) == 0 &&
        fwrite(first_line, 1, sizeof first_line - 1, (*result)->file) != sizeof first_line - 1)
        error = errno ? errno : EIO;
    if (error == 0) return 0;
    recorder_close(*result);
    *result = NULL;
    return error;
}

static void put_line(json_writer *lines, const char *word, const char *text, size_t n_bytes) {
    json_puts(lines, word);
    json_puts(lines, " ");
    json_put_string(lines, text, n_bytes);
    json_puts(lines, "\n");
}

static recorded *find(recorder *recorder, int sequence) {
    return recorder && sequence >= 0 && sequence < recorder->n_answers ? &recorder->answers[sequence] : NULL;
}

void recorder_begin(recorder *recorder, int sequence) {
    if (!recorder || sequence < 0) return;
    if (sequence >= recorder->n_answers) {
        recorded *answers = realloc(recorder->answers, ((size_t)sequence + 1) * sizeof *answers);
        if (!answers) return; /* it is then not kept */
        memset(answers + recorder->n_answers, 0, ((size_t)sequence + 1 - (size_t)recorder->n_answers) * sizeof *answers);
        recorder->answers = answers;
        recorder->n_answers = sequence + 1;
    }
    recorded *answer = &recorder->answers[sequence];
    free(answer->lines.text);
    free(answer->rest.text);
    *answer = (recorded){.last_ns = plat_clock_ns()};
    json_puts(&answer->lines, "answer\n");
}

static void put_pause(recorded *answer, uint64_t now_ns) {
    char line[48];
    double pause_ms = now_ns > answer->last_ns ? (double)(now_ns - answer->last_ns) / 1e6 : 0;
    answer->last_ns = now_ns;
    if (pause_ms < PAUSE_LEAST_MS) return;
    snprintf(line, sizeof line, "pause %.1f\n", pause_ms);
    json_puts(&answer->lines, line);
}

static void put_prompt(recorded *answer, const engine_progress *progress) {
    char line[64];
    if (answer->has_prompt || progress->n_prompt == 0) return;
    snprintf(line, sizeof line, "prompt %d %d\n", progress->n_prompt, progress->n_cached);
    json_puts(&answer->lines, line);
    answer->has_prompt = true;
}

void recorder_prompt(recorder *recorder, int sequence, const engine_progress *progress, uint64_t now_ns) {
    char line[32];
    recorded *answer = find(recorder, sequence);
    if (!answer) return;
    put_prompt(answer, progress);
    if (progress->n_prompt_done <= answer->n_prompt_done || progress->n_prompt_done >= progress->n_prompt) return;
    answer->n_prompt_done = progress->n_prompt_done;
    put_pause(answer, now_ns);
    snprintf(line, sizeof line, "read %d\n", progress->n_prompt_done);
    json_puts(&answer->lines, line);
}

/* One part of what a token adds. *is_first: it begins the token's lines. */
static void put_delta(json_writer *lines, const part_delta *delta, bool *is_first) {
    bool is_call = delta->kind == LIPC_PART_CALL;
    if (!*is_first) json_puts(lines, "& ");
    *is_first = false;
    if (is_call && delta->begins) {
        json_puts(lines, "call ");
        json_put_string(lines, delta->id ? delta->id : "", delta->id ? strlen(delta->id) : 0);
        put_line(lines, "", delta->name ? delta->name : "", delta->name ? strlen(delta->name) : 0);
        if (delta->n_bytes == 0) return;
        json_puts(lines, "& ");
    }
    put_line(lines, is_call ? "arguments" : "thought", delta->bytes, delta->n_bytes);
}

/* A token has one text in a script: its pieces stand before the parts that they come before, as far as there is one. */
static void put_addition(json_writer *lines, const answer_addition *added, bool is_first) {
    bool has_text = false;
    for (size_t i = 0; i < added->n_deltas; i++) {
        if (!has_text && added->deltas[i].n_before > 0) {
            if (!is_first) json_puts(lines, "& ");
            put_line(lines, "text", added->text, added->n_bytes);
            has_text = true;
            is_first = false;
        }
        put_delta(lines, &added->deltas[i], &is_first);
    }
    if (has_text || added->n_bytes == 0) return;
    if (!is_first) json_puts(lines, "& ");
    put_line(lines, "text", added->text, added->n_bytes);
}

void recorder_token(recorder *recorder, int sequence, const engine_progress *progress, const answer_addition *added,
                    uint64_t now_ns) {
    recorded *answer = find(recorder, sequence);
    if (!answer) return;
    put_prompt(answer, progress);
    if (answer->was_resumed && !progress->is_resumed) json_puts(&answer->lines, "crash\n");
    answer->was_resumed = progress->is_resumed;
    if (progress->is_resumed) answer->last_ns = now_ns;
    else put_pause(answer, now_ns);
    if (added->n_bytes == 0 && added->n_deltas == 0) json_puts(&answer->lines, "token\n");
    put_addition(&answer->lines, added, true);
}

void recorder_rest(recorder *recorder, int sequence, const answer_addition *added) {
    recorded *answer = find(recorder, sequence);
    if (answer) put_addition(&answer->rest, added, false);
}

static void put_end(recorded *answer, lipc_end end, const char *reason) {
    switch (end) {
    case LIPC_END_LIMIT: json_puts(&answer->lines, "end limit\n"); break;
    case LIPC_END_CONTEXT:
    case LIPC_END_FULL: json_puts(&answer->lines, "end context\n"); break;
    case LIPC_END_CANCELLED:
    case LIPC_END_HOST_ENDED: json_puts(&answer->lines, "end cancelled\n"); break;
    case LIPC_END_FAILED: put_line(&answer->lines, "end failed", reason, strlen(reason)); break;
    default: json_puts(&answer->lines, "end\n");
    }
    if (answer->rest.n_bytes > 0) json_put(&answer->lines, answer->rest.text, answer->rest.n_bytes);
}

int recorder_end(recorder *recorder, int sequence, lipc_end end, const char *reason, uint64_t now_ns) {
    recorded *answer = find(recorder, sequence);
    if (!answer || !answer->lines.text) return 0;
    put_pause(answer, now_ns);
    put_end(answer, end, reason);
    int error = answer->lines.has_failed || answer->rest.has_failed ? ENOMEM : 0;
    /* One write: two hosts with one file, or one that is killed, leave whole answers. */
    if (error == 0 && fwrite(answer->lines.text, 1, answer->lines.n_bytes, recorder->file) != answer->lines.n_bytes)
        error = errno ? errno : EIO;
    free(answer->lines.text);
    free(answer->rest.text);
    *answer = (recorded){0};
    return error;
}

void recorder_close(recorder *recorder) {
    if (!recorder) return;
    for (int i = 0; i < recorder->n_answers; i++) {
        free(recorder->answers[i].lines.text);
        free(recorder->answers[i].rest.text);
    }
    free(recorder->answers);
    if (recorder->file) fclose(recorder->file);
    free(recorder);
}
