/* top_rows.c - see top_rows.h. */
#include "top_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void top_rows_free(top_rows *rows) {
    free(rows->rows);
    free(rows->marks);
    *rows = (top_rows){0};
}

/* Room for what the host may have at the same time. */
static bool make_room(top_rows *rows, const inspection *inspection) {
    size_t n_streams = inspection->view.at.n_streams, n_rows = n_streams + inspection->view.at.n_clients + 1;
    top_row *more = realloc(rows->rows, n_rows * sizeof *more);
    if (more) rows->rows = more;
    bool is_same = rows->n_marks == n_streams + 1 && rows->host_start_time == inspection->identity.host_start_time;
    if (more && is_same) return true;
    rows->host_start_time = inspection->identity.host_start_time;
    free(rows->marks);
    rows->n_marks = n_streams + 1;
    rows->marks = calloc(rows->n_marks, sizeof *rows->marks);
    return more && rows->marks;
}

/* Tokens per second since the last look at the same answer; `whole` if there was none. */
static double rate_since(top_mark *mark, uint32_t generation, int n_tokens, double whole) {
    uint64_t now_ns = plat_clock_ns();
    top_mark last = *mark;
    *mark = (top_mark){generation, n_tokens, now_ns};
    if (last.at_ns == 0 || last.generation != generation || last.n_tokens == 0 || n_tokens < last.n_tokens) return whole;
    return (n_tokens - last.n_tokens) * 1e9 / (double)(now_ns - last.at_ns);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static const char *end_word(int end) {
    switch (end) {
    case LIPC_END_LIMIT: return "limit";
    case LIPC_END_CONTEXT:
    case LIPC_END_FULL: return "full";
    case LIPC_END_CANCELLED: return "cancelled";
    case LIPC_END_REFUSED: return "refused";
    case LIPC_END_FAILED:
    case LIPC_END_HOST_ENDED: return "failed";
    default: return "done";
    }
}

static void write_state(const inspected_stream *stream, char text[16]) {
    const lipc_progress *progress = &stream->progress;
    const char *word = "queued";
    switch (progress->state) {
    case LIPC_STREAM_READING: word = "reading"; break;
    case LIPC_STREAM_GENERATING: word = "generating"; break;
    case LIPC_STREAM_RECOVERING: word = "recovering"; break;
    case LIPC_STREAM_ENDED: word = end_word(progress->end); break;
    }
    if (progress->state == LIPC_STREAM_READING && progress->n_prompt > 0)
        snprintf(text, 16, "reading %d%%", (int)(100.0 * progress->n_prompt_done / progress->n_prompt) % 101);
    else
        snprintf(text, 16, "%s", word);
}

static const char *without_owner(const inspected_stream *stream) {
    return stream->phase == LIPC_CLAIM_RELEASED ? "(let go)" : "(runs alone)";
}

static void add_stream(top_rows *rows, const inspection *inspection, const inspected_stream *stream, bool *has_stream) {
    const lipc_progress *progress = &stream->progress;
    inspected_client client;
    top_row row = {.pid = stream->owner_pid, .stream = (int)stream->place + 1, .n_prompt = progress->n_prompt,
                   .n_cached = (int)stream->n_cached, .n_tokens = progress->n_tokens, .first_s = -1};
    bool is_queued = progress->state == LIPC_STREAM_QUEUED, has_first = progress->n_tokens > 0;
    double whole = inspect_speed(progress);
    double rate = rate_since(&rows->marks[stream->place], stream->generation, row.n_tokens, whole);
    row.is_at_work = inspection->is_alive && !is_queued && progress->state != LIPC_STREAM_ENDED;
    row.rate = !has_first ? -1 : row.is_at_work ? rate : whole;
    if (is_queued) row.queue = progress->queue_position + 1;
    if (has_first) row.first_s = (double)(progress->queued_ns + progress->prompt_ns) / 1e9;
    write_state(stream, row.state);
    if (!inspection->is_alive && progress->state != LIPC_STREAM_ENDED) snprintf(row.state, sizeof row.state, "cut off");
    snprintf(row.program, sizeof row.program, "%s", without_owner(stream));
    if (stream->owner != LIPC_NO_OWNER && inspect_client(inspection, stream->owner, &client)) {
        memcpy(row.program, client.program, sizeof row.program);
        has_stream[stream->owner] = true;
    }
    if (row.is_at_work && row.rate > 0) rows->rate += row.rate;
    rows->n_detached += stream->phase == LIPC_CLAIM_DETACHED;
    rows->rows[rows->n_rows++] = row;
}

static void add_client(top_rows *rows, const inspected_client *client) {
    top_row row = {.pid = client->pid, .n_prompt = -1, .n_cached = -1, .n_tokens = -1, .rate = -1, .first_s = -1};
    snprintf(row.state, sizeof row.state, "%s", client->is_waiting ? "waiting" : "idle");
    if (client->is_waiting) row.queue = client->n_ahead < INT32_MAX ? (int)client->n_ahead + 1 : INT32_MAX;
    memcpy(row.program, client->program, sizeof row.program);
    rows->rows[rows->n_rows++] = row;
}

/* The classic channel names no client. It is at work if the host makes more answers than there are in the streams. */
static void add_classic(top_rows *rows, const inspection *inspection, int n_running) {
    if (!inspection->is_alive || rows->host.status.n_running <= n_running) return;
    top_row row = {.n_prompt = -1, .n_cached = -1, .n_tokens = inspect_classic(inspection), .first_s = -1, .is_at_work = true};
    row.rate = rate_since(&rows->marks[rows->n_marks - 1], 1, row.n_tokens, 0);
    snprintf(row.state, sizeof row.state, "%s", row.n_tokens > 0 ? "generating" : "reading");
    snprintf(row.program, sizeof row.program, "(classic channel)");
    rows->rate += row.rate;
    rows->rows[rows->n_rows++] = row;
}

bool top_rows_look(top_rows *rows, const inspection *inspection) {
    inspected_stream stream;
    inspected_client client;
    bool has_stream[LIPC_CLIENTS_MAX] = {false};
    int n_running = 0;
    if (!make_room(rows, inspection)) return false;
    inspect_host(inspection, &rows->host);
    rows->n_records = inspection->view.at.n_clients;
    rows->n_rows = 0;
    rows->n_detached = 0;
    rows->rate = 0;
    for (uint32_t i = 0; i < inspection->view.at.n_streams; i++) {
        if (!inspect_stream(inspection, i, &stream)) continue;
        add_stream(rows, inspection, &stream, has_stream);
        n_running += rows->rows[rows->n_rows - 1].is_at_work;
    }
    add_classic(rows, inspection, n_running);
    for (uint32_t i = 0; i < inspection->view.at.n_clients; i++)
        if (!has_stream[i] && inspect_client(inspection, i, &client)) add_client(rows, &client);
    return true;
}

/* ---- order --------------------------------------------------------------------------------------------------------- */

static top_column sorted_by;
static bool is_backwards;

static int compare_numbers(double a, double b) {
    return (a > b) - (a < b);
}

static int compare_by(const top_row *a, const top_row *b, top_column column) {
    switch (column) {
    case TOP_PID: return compare_numbers(a->pid, b->pid);
    case TOP_STREAM: return compare_numbers(a->stream ? a->stream : INT32_MAX, b->stream ? b->stream : INT32_MAX);
    case TOP_STATE: return strcmp(a->state, b->state);
    case TOP_QUEUE: return compare_numbers(b->queue, a->queue);
    case TOP_PROMPT: return compare_numbers(b->n_prompt, a->n_prompt);
    case TOP_CACHED: return compare_numbers(b->n_cached, a->n_cached);
    case TOP_TOKENS: return compare_numbers(b->n_tokens, a->n_tokens);
    case TOP_RATE: return compare_numbers(b->rate, a->rate);
    case TOP_FIRST: return compare_numbers(b->first_s, a->first_s);
    case TOP_PROGRAM: return strcmp(a->program, b->program);
    case TOP_N_COLUMNS: break;
    }
    return 0;
}

static int compare(const void *first, const void *second) {
    const top_row *a = first, *b = second;
    int order = compare_by(a, b, sorted_by);
    if (is_backwards) order = -order;
    /* The same every time, or rows would dance. */
    if (order == 0) order = compare_by(a, b, TOP_STREAM);
    return order != 0 ? order : compare_by(a, b, TOP_PID);
}

void top_rows_sort(top_rows *rows, top_column column, bool is_reversed) {
    sorted_by = column;
    is_backwards = is_reversed;
    if (rows->n_rows > 0) qsort(rows->rows, rows->n_rows, sizeof *rows->rows, compare);
}
